//! Since when the commitments to the keys of an accusation stand in the log, by the time of somebody else: a witness that the node asked
//! before the leak, whose line is kept and handed out with the evidence.

use axum::Router;
use lingqu_api::ApiSettings;
use lingqu_app::{
    AppError, AskedWitnessSetting, CosigningSetting, TraceCheck, WitnessSetting, WitnessedLogSetting, verify_trace,
};
use lingqu_crypto::Suite;
use lingqu_tests::scenario::Scenario;
use lingqu_transparency::{Evidence, EvidenceTrust, NoteVerifier};

use crate::marked_leak::{Leaks, forged_by};
use crate::traced::trace;

const WITNESSED: &str = "trace/witnessed.";

/// Another node, which witnesses the log of one, and how it is asked.
async fn witness_of(app: &lingqu_app::App) -> (Scenario, AskedWitnessSetting) {
    let neighbour = Scenario::open(None, 5).await;
    let logs = app.log_keys().unwrap().into_iter();
    let logs = logs.map(|key| WitnessedLogSetting { origin: key.name().to_owned(), keys: vec![key] }).collect();
    neighbour.app.be_witness(WitnessSetting { name: None, logs }).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/witness", listener.local_addr().unwrap());
    let router: Router = lingqu_api::router(neighbour.app.clone(), ApiSettings::default());
    tokio::spawn(async move { axum::serve(listener, router).await });
    let keys = neighbour.app.own_witness_keys(None).unwrap();
    (neighbour, AskedWitnessSetting { url, keys })
}

/// What comes of it, tried again where the witness has not answered in the time that publishing waits for it.
async fn again<T>(work: impl AsyncFn() -> Result<T, AppError>) -> T {
    let mut told = None;
    for _ in 0..20 {
        match work().await {
            Ok(done) => return done,
            Err(error) => told = Some(error),
        }
    }
    panic!("{told:?}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_witness_shows_since_when_the_keys_were_committed_to() {
    let leaks = Leaks::open().await;
    let app = &leaks.scenario().app;
    let (_neighbour, asked) = witness_of(app).await;
    let keys = asked.keys.clone();
    app.ask_witnesses(CosigningSetting { witnesses: vec![asked], quorum: 1, twin_quorum: None }).unwrap();
    let before = again(async || app.publish_log().await).await;
    let leak = leaks.leak(&leaks.first, 2_000).await;
    let found = trace(leaks.scenario(), &leak).await;
    let bundle = again(async || app.export_trace(&found).await).await;

    let of_log = |key: &&NoteVerifier| key.key_type().suite() == Suite::International;
    let witness = keys.iter().find(of_log).expect("the witness has a key for the log");
    let must_be_seen = |check: TraceCheck, is_trusted: bool| {
        assert!(check.verified && check.accused.len() == 2, "{:?}", check.findings);
        for accused in check.accused {
            let seen = accused.seen.expect("the witness saw the log with the commitments");
            assert_eq!((seen.key, seen.key_is_trusted), (witness.to_string(), is_trusted));
        }
    };
    must_be_seen(verify_trace(&bundle, &EvidenceTrust::default()), false);
    let trust = EvidenceTrust { keys: vec![witness.clone()], policy: None };
    must_be_seen(verify_trace(&bundle, &trust), true);

    // It was proven under the log as it was before the leak, which is not the one that the bundle stands under.
    let evidence = Evidence::parse(&bundle).unwrap();
    let item = evidence.items.iter().find(|item| item.name.starts_with(WITNESSED)).unwrap();
    let text = String::from_utf8(item.bytes.clone()).unwrap();
    assert!(text.ends_with(&before.note) && evidence.item("checkpoint").unwrap().bytes != before.note.as_bytes());
    // A proof of another entry proves nothing.
    let entry = item.name.strip_prefix(WITNESSED).unwrap();
    let other = forged_by(&leaks, &bundle, &item.name, |_| {
        text.replacen(&format!("index {entry}\n"), &format!("index {entry}0\n"), 1).into_bytes()
    });
    let check = verify_trace(&other, &EvidenceTrust::default());
    assert!(check.findings.iter().any(|(place, _)| *place == item.name), "{:?}", check.findings);
}
