//! The whole life of data as `lingqu demo` plays it, on SQLite and on PostgreSQL: every step, the exact figures, the money
//! to the fen, and what a consumer really holds in the end, computed anew from the sources. Both databases must come to the
//! same golden report. Write it anew with `LINGQU_GOLDEN=write`.

mod books;
mod copy;
mod figures;
mod marked;

use std::sync::Arc;

use axum::Router;
use jiff::SignedDuration;
use lingqu_api::ApiSettings;
use lingqu_app::{App, AppSettings, Clock, verify_evidence};
use lingqu_demo::{CLOCK_BEHIND_DAYS, DemoReport, Neighbour};
use lingqu_tests::PrivatePostgres;
use tempfile::TempDir;

/// A demo that has been played, still served.
pub struct Played {
    app: Arc<App>,
    base: String,
    report: DemoReport,
    neighbour: Neighbour,
    // Holds the node's directory.
    _directory: TempDir,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_data_on_sqlite() {
    play_and_look(None).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_life_of_data_on_postgres() {
    let Some(server) = PrivatePostgres::needed("the demo on PostgreSQL") else { return };
    play_and_look(Some(server.create_database().await)).await;
}

async fn play_and_look(database_url: Option<String>) {
    let played = Played::begin(database_url).await;
    figures::are_as_known(&played.report);
    figures::are_the_golden_ones(&played.report);
    books::follow_from_the_receipts(&played).await;
    copy::is_what_the_grant_says(&played).await;
    marked::copies_are_what_was_promised(&played).await;
    marked::leak_and_rewriting_are_proven_by_files(&played);
    evidence_stands_alone(&played.report);
    nothing_differs(&played.app).await;
    played.app.close().await.expect("an idle node closes");
    played.neighbour.app.close().await.expect("an idle node closes");
}

impl Played {
    async fn begin(database_url: Option<String>) -> Played {
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        let settings = AppSettings {
            database_url,
            clock: Clock::behind(SignedDuration::from_hours(24 * CLOCK_BEHIND_DAYS)),
            ..AppSettings::of(directory.path().join("node"))
        };
        let app = App::open(settings).await.expect("a fresh node opens");
        let base = serve(&app).await;
        let settings = AppSettings::of(directory.path().join("neighbour"));
        let witness = App::open(settings).await.expect("a fresh node opens");
        let neighbour = Neighbour { base_url: serve(&witness).await, app: witness };
        let played = lingqu_demo::run(Arc::clone(&app), &base, &neighbour, &mut |_| {}).await;
        let report = played.unwrap_or_else(|error| panic!("the demo stopped: {error}"));
        Played { app, base, report, neighbour, _directory: directory }
    }
}

/// Serves a node; answers where.
async fn serve(app: &Arc<App>) -> String {
    let router = Router::new()
        .nest("/data/v1", lingqu_gateway::router(Arc::clone(app)))
        .merge(lingqu_api::router(Arc::clone(app), ApiSettings::default()));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a loopback port is free");
    let base = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    base
}

/// The evidence is in a file that verifies with nothing but itself; every byte that the demo changed was found.
fn evidence_stands_alone(report: &DemoReport) {
    let evidence = &report.evidence;
    assert!(evidence.verified);
    assert_eq!((evidence.changes_tried, evidence.changes_found), (48, 48));
    let bundle = std::fs::read(&evidence.file).expect("the demo keeps its evidence");
    let verified = verify_evidence(&bundle, None);
    assert!(verified.verified, "{:?}", verified.findings);
    assert_eq!(verified.journal_records, evidence.journal_records);
    assert_eq!(verified.receipt_records, evidence.receipt_records);
    assert!(verified.journal_records > 0 && verified.receipt_records > 0);
    // The demo meters once; what was delivered after that is told, and nothing stays open.
    assert_eq!((verified.metering_windows, verified.deliveries_open), (1, 0));
    assert!(verified.receipts_not_yet_metered > 0 && verified.metered_until.is_some());
}

/// After all that: journal, tables, postings, keys, receipts, metering and the published log agree.
async fn nothing_differs(app: &Arc<App>) {
    app.publish_log().await.expect("the log can be published");
    let replay = app.replay_check().await.expect("the journal folds");
    assert!(replay.agrees, "{:?}", replay.differences);
    assert_eq!(replay.events, app.store().head().await.expect("the journal has a head"));
    assert_eq!(replay.receipts, app.receipts().head().await.expect("the receipts have a head"));
    let (windows, keys) = app.read(|state| {
        let keys: usize = state.orders.values().map(|order| order.value.service_keys.len()).sum();
        (state.meters.len() as u64, keys as u64)
    });
    assert_eq!((replay.metering_windows, replay.service_keys), (windows, keys));
}
