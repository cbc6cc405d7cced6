//! The queue for the engine's places: who waited in vain is told so, and it cost him nothing and left no record.

use std::time::Duration;

use lingqu_app::{App, AppSettings};
use lingqu_domain::scope::Mode;
use lingqu_engine::EngineSettings;
use lingqu_gateway::delivery::{Admission, Settings};
use lingqu_tests::scenario::{TRIP_RECORDS, TRIP_STATISTICS, Who};
use serde_json::json;

use crate::differencing::copy;
use crate::served::Served;

/// How long a query waits here.
const WAIT_MAX: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_a_place_in_vain_is_told_and_pays_nothing() {
    let mut served = Served::open(None, 2_000).await;
    let records = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::File], (1, 1)).await;
    let statistics = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (1, 0)).await;
    // The same node, with one place for queries and little patience.
    let directory = tempfile::tempdir().unwrap();
    copy(served.scenario.app.directory(), directory.path());
    let settings = AppSettings::of(directory.path().to_owned());
    let app = App::open_with(settings, |engine| EngineSettings { queries_max: 1, wait_max: WAIT_MAX, ..engine }).await;
    served.scenario.app = app.unwrap();
    served.serve_anew(Settings::default()).await;
    let app = &served.scenario.app;

    // Asked as a session would, without a protocol: this one leaves no receipt and debits nothing.
    let serving = app.serving(&records.key).await.unwrap();
    let session = serving.session(Mode::Rows, Admission::limits(Mode::Rows)).unwrap();
    let running = session.query("SELECT trip_id FROM trip_records").await.unwrap();
    let head = served.receipt_head().await;
    let rows = json!({"sql": "SELECT trip_id FROM trip_records WHERE trip_id < 3 ORDER BY trip_id"});
    let counted = json!({"sql": "SELECT count(*) AS trips FROM trip_statistics"});
    for reply in [
        served.post(&records, "/query", rows.clone()).await,
        served.get(&records, "/rows?limit=3").await,
        served.get(&records, "/export").await,
        served.post(&statistics, "/query", counted.clone()).await,
    ] {
        assert_eq!(reply.problem(), (503, "busy".to_owned()));
        assert!(reply.text().contains("try again"), "it says what to do: {}", reply.text());
    }
    assert_eq!(served.receipt_head().await, head, "none of them left a receipt");

    // The one call and the one data set of each are still there, and no more than these.
    drop(running);
    let answered = served.post(&records, "/query", rows.clone()).await.ok();
    assert_eq!(answered.json()["row_count"], 3);
    served.get(&records, "/export").await.ok();
    served.post(&statistics, "/query", counted.clone()).await.ok();
    for reply in [
        served.post(&records, "/query", rows).await,
        served.get(&records, "/export").await,
        served.post(&statistics, "/query", counted).await,
    ] {
        assert_eq!(reply.problem(), (403, "quota_exceeded".to_owned()));
    }
}
