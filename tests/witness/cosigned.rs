//! A node as a witness, asked over HTTP: every status of the specification with its body, one memory across restarts, and a
//! log that lies is refused and convicted.

use std::path::Path;
use std::time::{Duration, Instant};

use lingqu_app::{App, AppSettings, WitnessSetting, WitnessedLogSetting};
use lingqu_crypto::{Suite, sha256};
use lingqu_tests::scenario::Scenario;
use lingqu_transparency::{
    AddCheckpoint, Checkpoint, CosignerPolicy, Misconduct, NoteVerifier, SignedNote, monitoring_path, twin_origin,
};
use reqwest::header::HeaderMap;

use crate::made::{MadeLog, serve};

const ORIGIN: &str = "log.example/cosigned";

/// A node that is a witness of the made logs of both suites.
struct WitnessNode {
    scenario: Scenario,
    url: String,
    keys: Vec<NoteVerifier>,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    text: String,
}

fn witnessed() -> WitnessSetting {
    let logs = [MadeLog::new(ORIGIN, 0, 0, 0), MadeLog::of(Suite::National, &twin_origin(ORIGIN), 0, 0, 0)];
    let named =
        |log: &MadeLog| WitnessedLogSetting { origin: log.key().name().to_owned(), keys: vec![log.key().clone()] };
    WitnessSetting { name: None, logs: logs.iter().map(named).collect() }
}

impl WitnessNode {
    async fn open() -> WitnessNode {
        let scenario = Scenario::open(None, 5).await;
        scenario.app.be_witness(witnessed()).unwrap();
        let url = serve(lingqu_api::router(scenario.app.clone(), lingqu_api::ApiSettings::default()), "/witness").await;
        let keys = scenario.app.own_witness_keys(None).unwrap();
        WitnessNode { scenario, url, keys }
    }

    async fn send(&self, body: impl Into<reqwest::Body>) -> Reply {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        reply(client.post(format!("{}/add-checkpoint", self.url)).body(body).send().await.unwrap()).await
    }

    async fn ask(&self, request: &AddCheckpoint) -> Reply {
        self.send(request.to_text()).await
    }

    async fn monitor(&self, path: &str) -> Reply {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        reply(client.get(format!("{}/{path}", self.url)).send().await.unwrap()).await
    }

    fn proofs(&self) -> Vec<Misconduct> {
        let directory = self.scenario.app.directory().join("misconduct");
        let Ok(listed) = std::fs::read_dir(directory) else { return Vec::new() };
        let files = listed.map(|entry| std::fs::read_to_string(entry.unwrap().path()).unwrap());
        files.map(|text| Misconduct::from_text(&text).unwrap()).collect()
    }
}

async fn reply(response: reqwest::Response) -> Reply {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, text: response.text().await.unwrap() }
}

impl Reply {
    fn content_type(&self) -> &str {
        self.headers["content-type"].to_str().unwrap()
    }
}

#[tokio::test]
async fn every_status_of_the_specification() {
    let witness = WitnessNode::open().await;
    for (suite, origin) in [(Suite::International, ORIGIN.to_owned()), (Suite::National, twin_origin(ORIGIN))] {
        let log = MadeLog::of(suite, &origin, 50, 99, 0);
        assert_eq!(witness.monitor(&monitoring_path(&origin)).await.status, 404);
        // 200: the lines complete the note, by the key of the log's suite.
        let cosigned = witness.ask(&log.request(0, 7)).await;
        assert_eq!((cosigned.status, cosigned.content_type()), (200, "text/plain; charset=utf-8"), "{}", cosigned.text);
        let keys: Vec<_> = witness.keys.iter().filter(|key| key.key_type().suite() == suite).cloned().collect();
        let policy = CosignerPolicy::new(keys, 1).unwrap();
        let note = policy.gather(&SignedNote::parse(log.note(7)).unwrap(), &cosigned.text).unwrap();
        assert_eq!(policy.check(&note).unwrap().len(), 1);
        // Monitors get the same note.
        let monitored = witness.monitor(&monitoring_path(&origin)).await;
        assert_eq!((monitored.status, monitored.text.as_str()), (200, note.to_text().as_str()));
        assert_eq!(Checkpoint::open(&monitored.text, log.key()).unwrap().size, 7);
        // 409: the size, as its own content type.
        let conflict = witness.ask(&log.request(3, 9)).await;
        assert_eq!(
            (conflict.status, conflict.text.as_str(), conflict.content_type()),
            (409, "7\n", "text/x.tlog.size")
        );
        // 400, 403, 404, 422.
        assert_eq!(witness.ask(&log.request(9, 7)).await.status, 400);
        let mut forged = log.request(7, 9);
        forged.note = forged.note.replacen("\n9\n", "\n8\n", 1);
        assert_eq!(witness.ask(&forged).await.status, 403);
        let mut unknown = log.request(0, 7);
        unknown.note = unknown.note.replacen(&origin, "log.example/unknown", 1);
        assert_eq!(witness.ask(&unknown).await.status, 404);
        let mut cut = log.request(7, 9);
        cut.proof.pop();
        assert_eq!(witness.ask(&cut).await.status, 422);
        // Only what was cosigned moved the memory.
        assert_eq!(witness.ask(&log.request(7, 50)).await.status, 200);
    }
    for body in [&b""[..], b"\xff\xfe", b"old 0\n\nno note"] {
        assert_eq!(witness.send(body).await.status, 400);
    }
    assert_eq!(witness.send(vec![b'x'; 256 * 1024 + 1]).await.status, 413);
    assert_eq!(witness.monitor("checkpoint").await.status, 200, "the console answers what is no witness's address");
    assert_eq!(witness.proofs(), [], "an honest log is convicted of nothing");
}

/// Whoever shows a lie and goes away before he is answered has shown it all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_proves_a_lie_is_kept_though_whoever_showed_it_went_away() {
    let witness = WitnessNode::open().await;
    let (honest, other) = (MadeLog::new(ORIGIN, 13, 99, 0), MadeLog::new(ORIGIN, 13, 3, 9));
    assert_eq!(witness.ask(&honest.request(0, 13)).await.status, 200);
    let asked = witness.scenario.app.cosign_checkpoint(other.request(13, 13).to_text().into_bytes());
    drop(tokio::time::timeout(Duration::ZERO, asked).await);
    let directory = witness.scenario.app.directory().join("misconduct");
    let is_kept = || {
        let mut listed = std::fs::read_dir(&directory).into_iter().flatten();
        listed.any(|entry| entry.unwrap().path().extension().is_some_and(|extension| extension == "log-misconduct"))
    };
    let begun = Instant::now();
    while !is_kept() && begun.elapsed() < Duration::from_secs(30) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(witness.proofs().len(), 1);
}

#[tokio::test]
async fn a_log_that_forks_goes_back_or_rewrites_is_refused_and_convicted() {
    let witness = WitnessNode::open().await;
    let (honest, other) = (MadeLog::new(ORIGIN, 40, 99, 0), MadeLog::new(ORIGIN, 40, 3, 9));
    assert_eq!(witness.ask(&honest.request(0, 13)).await.status, 200);
    // Going back: whatever the log says it showed before.
    for old in [0, 5, 9] {
        assert_eq!(witness.ask(&honest.request(old, 9)).await.text, "13\n");
    }
    assert_eq!(witness.proofs(), [], "a smaller size alone is no proof");
    // Fork, then rewrite; each is a file, and the same lie again is no second one.
    for _ in 0..2 {
        assert_eq!(witness.ask(&other.request(13, 13)).await.status, 422);
        assert_eq!(witness.ask(&other.request(13, 40)).await.status, 422);
    }
    let proofs = witness.proofs();
    assert!(!proofs.is_empty() && proofs.len() <= 2, "{proofs:?}");
    for proof in proofs {
        let conviction = proof.verify(honest.key(), None).unwrap();
        assert_eq!((conviction.origin.as_str(), conviction.size), (ORIGIN, 13));
    }
    // The truth is still cosigned.
    assert_eq!(witness.ask(&honest.request(13, 40)).await.status, 200);
}

/// Requests that cross: whatever is answered, what was cosigned is one history that only grew.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn requests_that_cross_roll_nothing_back() {
    let witness = std::sync::Arc::new(WitnessNode::open().await);
    let log = std::sync::Arc::new(MadeLog::new(ORIGIN, 40, 99, 0));
    assert_eq!(witness.ask(&log.request(0, 2)).await.status, 200);
    let mut tasks = tokio::task::JoinSet::new();
    for size in 3..33 {
        let (witness, log) = (witness.clone(), log.clone());
        tasks.spawn(async move { (size, witness.ask(&log.request(2, size)).await) });
    }
    let mut cosigned = Vec::new();
    while let Some(answered) = tasks.join_next().await {
        let (size, reply) = answered.unwrap();
        match reply.status {
            200 => cosigned.push(size),
            409 => {}
            other => panic!("{other}: {}", reply.text),
        }
    }
    assert_eq!(cosigned.len(), 1, "all were judged against size 2, so one of them wins");
    let kept = witness.monitor(&monitoring_path(ORIGIN)).await.text;
    assert_eq!(Checkpoint::open(&kept, log.key()).unwrap().size, cosigned[0]);
}

async fn opened(directory: &Path) -> std::sync::Arc<App> {
    let settings = AppSettings::of(directory.to_owned());
    App::open(settings).await.unwrap()
}

#[tokio::test]
async fn what_was_cosigned_outlives_the_process() {
    let witness = WitnessNode::open().await;
    let log = MadeLog::new(ORIGIN, 40, 99, 0);
    assert_eq!(witness.ask(&log.request(0, 13)).await.status, 200);
    let directory = witness.scenario.app.directory().to_owned();
    witness.scenario.app.close().await.unwrap();
    // Copied, since the closed node's lock is held for as long as it is in memory.
    let copy = tempfile::tempdir().unwrap();
    for part in ["node.db", "keys/node.secret"] {
        let to = copy.path().join(part);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(directory.join(part), to).unwrap();
    }
    let app = opened(copy.path()).await;
    // A node that is no witness any more answers nobody.
    assert_eq!(app.cosign_checkpoint(log.request(13, 20).to_text().into()).await.unwrap(), None);
    assert_eq!(app.cosigned_checkpoint(&sha256(ORIGIN.as_bytes()).to_string()).await.unwrap(), None);
    app.be_witness(witnessed()).unwrap();
    assert_eq!(app.own_witness_keys(None).unwrap(), witness.keys, "its keys stay the same");
    let answer = app.cosign_checkpoint(log.request(0, 20).to_text().into()).await.unwrap().unwrap();
    assert_eq!((answer.status(), answer.body().as_str()), (409, "13\n"));
    let answer = app.cosign_checkpoint(log.request(13, 20).to_text().into()).await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn keys_and_logs_that_can_not_be() {
    let scenario = Scenario::open(None, 5).await;
    let app = &scenario.app;
    let (ours, named) = (app.own_witness_keys(None).unwrap(), app.own_witness_keys(Some("w.example/1")).unwrap());
    assert_eq!((ours.len(), ours[0].name(), named[0].name()), (2, ours[1].name(), "w.example/1"));
    // A key never stands under two names, because a cosignature with Ed25519 does not sign the name.
    for (one, other) in ours.iter().zip(&named) {
        assert_ne!(one.key(), other.key());
    }
    assert!(app.own_witness_keys(Some("with blank")).is_err());
    let own = app.log_origin().unwrap();
    let key = MadeLog::new(ORIGIN, 0, 0, 0).key().clone();
    for (origin, keys) in [
        (own.clone(), vec![key.clone()]),
        (twin_origin(&own), vec![key.clone()]),
        (ORIGIN.to_owned(), Vec::new()),
        (ORIGIN.to_owned(), vec![ours[0].clone()]),
    ] {
        let logs = vec![WitnessedLogSetting { origin, keys }];
        assert!(app.be_witness(WitnessSetting { name: None, logs }).is_err());
    }
    app.be_witness(witnessed()).unwrap();
    let standing = app.witnessed_logs().await.unwrap();
    assert!(standing.iter().all(|log| log.is_watched && log.size.is_none()));
    assert_eq!(standing.len(), 2);
}
