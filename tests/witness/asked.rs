//! A node that asks others to cosign its logs: nothing counts as published before the quorum has seen it, lines that come later
//! are added, and a node that was set back or forked gets no cosignature and is convicted.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use lingqu_api::ApiSettings;
use lingqu_app::{
    App, AppError, AppSettings, AskedWitnessSetting, CosigningSetting, EvidenceOptions, WitnessSetting,
    WitnessedLogSetting,
};
use lingqu_crypto::SigningKey;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{Scenario, TRIP_CHECK, Who};
use lingqu_transparency::{Checkpoint, Misconduct, NoteVerifier, SignedNote};
use serde_json::{Value, json};

use crate::logged::{Copy, Logged, copy_files};
use crate::made::serve;

/// How long a test waits for what must happen.
const PATIENCE: Duration = Duration::from_secs(90);
/// Where nobody answers.
const NOWHERE: &str = "http://127.0.0.1:9/witness";

/// A node that witnesses the logs of others, and where it answers.
pub struct Neighbour {
    scenario: Scenario,
    url: String,
    pub keys: Vec<NoteVerifier>,
}

impl Neighbour {
    pub async fn of(logs: Vec<NoteVerifier>) -> Neighbour {
        let scenario = Scenario::open(None, 5).await;
        let logs = logs.into_iter().map(|key| WitnessedLogSetting { origin: key.name().to_owned(), keys: vec![key] });
        scenario.app.be_witness(WitnessSetting { name: None, logs: logs.collect() }).unwrap();
        let url = serve(lingqu_api::router(scenario.app.clone(), ApiSettings::default()), "/witness").await;
        let keys = scenario.app.own_witness_keys(None).unwrap();
        Neighbour { scenario, url, keys }
    }

    pub fn asked(&self) -> AskedWitnessSetting {
        AskedWitnessSetting { url: self.url.clone(), keys: self.keys.clone() }
    }

    /// The same witness, where it can't be reached.
    fn away(&self) -> AskedWitnessSetting {
        AskedWitnessSetting { url: NOWHERE.to_owned(), keys: self.keys.clone() }
    }

    fn proofs(&self) -> Vec<PathBuf> {
        let listed = std::fs::read_dir(self.scenario.app.directory().join("misconduct"));
        listed.map(|listed| listed.map(|entry| entry.unwrap().path()).collect()).unwrap_or_default()
    }
}

pub fn asking(witnesses: Vec<AskedWitnessSetting>, quorum: usize) -> CosigningSetting {
    CosigningSetting { witnesses, quorum, twin_quorum: None }
}

/// How many of these keys signed a checkpoint.
fn lines(note: &str, keys: &[NoteVerifier]) -> usize {
    SignedNote::parse(note).unwrap().verify(keys).map_or(0, |signed| signed.len())
}

fn signed(directory: &Path) -> Vec<String> {
    ["log/signed", "log/sm3/signed"].map(|path| std::fs::read_to_string(directory.join(path)).unwrap()).to_vec()
}

#[tokio::test]
async fn a_checkpoint_is_published_with_the_lines_of_its_quorum() {
    let logged = Logged::open().await;
    let (one, other) = (Neighbour::of(logged.keys.clone()).await, Neighbour::of(logged.keys.clone()).await);
    let app = &logged.scenario.app;
    app.ask_witnesses(asking(vec![one.asked(), other.asked()], 2)).unwrap();
    let mut size = 0;
    for round in 0..3 {
        let published = app.publish_log().await.unwrap();
        assert!(published.size > size);
        size = published.size;
        let twin = published.twin.unwrap();
        for neighbour in [&one, &other] {
            assert_eq!(lines(&published.note, &neighbour.keys), 1);
            assert_eq!(lines(&twin.note, &neighbour.keys), 1);
        }
        logged.record(app, round % 2 == 1).await;
    }
    let standings = app.witness_standings();
    assert_eq!(standings.len(), 4);
    for standing in standings {
        assert_eq!((standing.size, standing.behind, standing.answer.as_deref()), (Some(size), 0, Some("cosigned")));
        assert!(standing.cosigned_at.is_some());
    }
    // The same is told to whoever is signed in, and to nobody else.
    let base = serve(lingqu_api::router(app.clone(), ApiSettings::default()), "/api/v1").await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    assert_eq!(client.get(format!("{base}/witnesses")).send().await.unwrap().status(), 401);
    let sign_in = json!({ "login": "clerk8", "password": "scenario-password-1" }).to_string();
    let session = client.post(format!("{base}/session")).header("content-type", "application/json").body(sign_in);
    let session = session.send().await.unwrap();
    let cookie = session.headers()["set-cookie"].to_str().unwrap().split(';').next().unwrap().to_owned();
    let told = client.get(format!("{base}/witnesses")).header("cookie", cookie).send().await.unwrap();
    let told: Value = serde_json::from_str(&told.text().await.unwrap()).unwrap();
    assert_eq!(told["asked"].as_array().unwrap().len(), 4);
    for asked in told["asked"].as_array().unwrap() {
        assert_eq!(
            (&asked["outcome"], &asked["size"], &asked["behind"]),
            (&"cosigned".into(), &size.into(), &0.into())
        );
    }
    assert_eq!(told["watched"], json!([]));
}

#[tokio::test]
async fn what_lacks_its_quorum_is_kept_and_not_published() {
    let logged = Logged::open().await;
    let (there, away) = (Neighbour::of(logged.keys.clone()).await, Neighbour::of(logged.keys.clone()).await);
    let app = &logged.scenario.app;
    let order = logged.scenario.order(Who::Second, TRIP_CHECK, &[Mode::Verification], (10, 0)).await;
    app.ask_witnesses(asking(vec![there.asked(), away.away()], 2)).unwrap();
    let waits = app.publish_log().await.unwrap_err();
    assert!(matches!(waits, AppError::AwaitingWitnesses { found: 1, required: 2 }), "{waits}");
    assert_eq!(waits.problem().status, 503);
    let directory = logged.scenario.app.directory();
    let first = signed(directory);
    // What was recorded since waits behind it: it is the same note that is shown again.
    logged.record(app, false).await;
    assert!(app.publish_log().await.is_err());
    assert!(app.publish_log_if_new().await.unwrap().is_none());
    assert_eq!(signed(directory), first);
    assert_eq!(app.checkpoint().await.unwrap(), None);
    assert!(!directory.join("log/checkpoint").exists() && !directory.join("log/sm3/checkpoint").exists());
    // A process beside it that needs the newest checkpoint says what is waited for.
    let beside = AppSettings { exclusive: false, ..AppSettings::of(directory.to_owned()) };
    let beside = App::open(beside).await.unwrap();
    let refused = beside.evidence_of(&order.id, EvidenceOptions::default()).await.unwrap_err();
    let waiting = Checkpoint::open(&first[0], &logged.keys[0]).unwrap().size;
    assert!(matches!(refused, AppError::AwaitingWitnessesElsewhere { size } if size == waiting), "{refused}");
    assert_eq!(refused.problem().code, "awaiting_witnesses");
    beside.close().await.unwrap();
    // After a crash the log goes on from it, as soon as the witnesses can be reached.
    let copy = Copy::of(logged.close().await).await;
    copy.app.ask_witnesses(asking(vec![there.asked(), away.asked()], 2)).unwrap();
    let published = copy.app.publish_log().await.unwrap();
    let shown = Checkpoint::open(&first[0], &logged.keys[0]).unwrap();
    assert!(published.size > shown.size, "what was recorded meanwhile is published, too");
    for neighbour in [&there, &away] {
        assert_eq!(lines(&published.note, &neighbour.keys), 1);
        assert_eq!(neighbour.proofs(), Vec::<PathBuf>::new());
    }
}

/// A crash after the twin's checkpoint: the lines of the other one are lost, so it is not served before they are there again.
#[tokio::test]
async fn a_checkpoint_that_a_crash_left_out_waits_for_its_quorum() {
    let logged = Logged::open().await;
    let (one, other) = (Neighbour::of(logged.keys.clone()).await, Neighbour::of(logged.keys.clone()).await);
    logged.scenario.app.ask_witnesses(asking(vec![one.asked(), other.asked()], 2)).unwrap();
    let before = logged.scenario.app.publish_log().await.unwrap();
    let directory = logged.close().await;
    std::fs::remove_file(directory.join("log/checkpoint")).unwrap();
    let crashed = Copy::of(directory).await;
    crashed.app.ask_witnesses(asking(vec![one.asked(), other.away()], 2)).unwrap();
    let waits = crashed.app.publish_log().await.unwrap_err();
    assert!(matches!(waits, AppError::AwaitingWitnesses { found: 1, required: 2 }), "{waits}");
    assert!(!crashed.app.directory().join("log/checkpoint").exists());
    crashed.app.close().await.unwrap();
    let copy = Copy::of(crashed.app.directory()).await;
    copy.app.ask_witnesses(asking(vec![one.asked(), other.asked()], 2)).unwrap();
    let published = copy.app.publish_log().await.unwrap();
    assert!(published.size >= before.size);
    for neighbour in [&one, &other] {
        assert_eq!(lines(&published.note, &neighbour.keys), 1);
        assert_eq!(neighbour.proofs(), Vec::<PathBuf>::new());
    }
}

/// The twin's checkpoint is lost: it is not served before its quorum has cosigned it again, and the other one keeps its lines.
#[tokio::test]
async fn a_twins_checkpoint_that_was_lost_waits_for_its_quorum() {
    let logged = Logged::open().await;
    let (one, other) = (Neighbour::of(logged.keys.clone()).await, Neighbour::of(logged.keys.clone()).await);
    logged.scenario.app.ask_witnesses(asking(vec![one.asked(), other.asked()], 2)).unwrap();
    let before = logged.scenario.app.publish_log().await.unwrap();
    let directory = logged.close().await;
    std::fs::remove_file(directory.join("log/sm3/checkpoint")).unwrap();
    let lost = Copy::of(directory).await;
    lost.app.ask_witnesses(asking(vec![one.asked(), other.away()], 2)).unwrap();
    let waits = lost.app.publish_log().await.unwrap_err();
    assert!(matches!(waits, AppError::AwaitingWitnesses { found: 1, required: 2 }), "{waits}");
    assert!(!lost.app.directory().join("log/sm3/checkpoint").exists());
    assert_eq!(std::fs::read_to_string(lost.app.directory().join("log/checkpoint")).unwrap(), before.note);
    lost.app.close().await.unwrap();
    let copy = Copy::of(lost.app.directory()).await;
    copy.app.ask_witnesses(asking(vec![one.asked(), other.asked()], 2)).unwrap();
    let published = copy.app.publish_log().await.unwrap();
    assert!(published.size >= before.size);
    for neighbour in [&one, &other] {
        assert_eq!(lines(&published.note, &neighbour.keys), 1);
        assert_eq!(lines(&published.twin.as_ref().unwrap().note, &neighbour.keys), 1);
        assert_eq!(neighbour.proofs(), Vec::<PathBuf>::new());
    }
}

/// The lines that stand under the twin's checkpoint are not asked for again when a crash left the other one out.
#[tokio::test]
async fn lines_that_a_crash_left_there_are_kept() {
    let logged = Logged::open().await;
    let witness = Neighbour::of(logged.keys.clone()).await;
    logged.scenario.app.ask_witnesses(asking(vec![witness.asked()], 1)).unwrap();
    let before = logged.scenario.app.publish_log().await.unwrap();
    let directory = logged.close().await;
    std::fs::remove_file(directory.join("log/checkpoint")).unwrap();
    let crashed = Copy::of(directory).await;
    // It answers for the first log alone now.
    let of_key = |asked: AskedWitnessSetting, place: usize| AskedWitnessSetting {
        keys: vec![witness.keys[place].clone()],
        ..asked
    };
    let asked = vec![of_key(witness.asked(), 0), of_key(witness.away(), 1)];
    crashed.app.ask_witnesses(asking(asked, 1)).unwrap();
    // What was recorded since it was opened waits for the twin's witness.
    if let Err(error) = crashed.app.publish_log().await {
        assert!(matches!(error, AppError::AwaitingWitnesses { found: 0, required: 1 }), "{error}");
    }
    let files = ["log/checkpoint", "log/sm3/checkpoint"];
    let served = files.map(|path| std::fs::read_to_string(crashed.app.directory().join(path)).unwrap_or_default());
    for (note, key) in served.iter().zip(&logged.keys) {
        assert_eq!(Checkpoint::open(note, key).unwrap().size, before.size);
        assert_eq!(lines(note, &witness.keys), 1, "{note}");
    }
    assert_eq!(witness.proofs(), Vec::<PathBuf>::new());
}

/// A database that was set back behind what witnesses were shown is found out before anything else is signed.
#[tokio::test]
async fn a_checkpoint_that_was_shown_is_never_contradicted() {
    let logged = Logged::open().await;
    let there = Neighbour::of(logged.keys.clone()).await;
    let before = tempfile::tempdir().unwrap();
    copy_files(logged.close().await, before.path());
    let shown = Copy::of(before.path()).await;
    logged.record(&shown.app, false).await;
    shown.app.ask_witnesses(asking(vec![there.asked(), there_away()], 2)).unwrap();
    assert!(shown.app.publish_log().await.is_err());
    shown.app.close().await.unwrap();
    // The database of before with the log's files of after.
    std::fs::remove_dir_all(before.path().join("log")).ok();
    copy_files(&shown.app.directory().join("log"), &before.path().join("log"));
    let back = Copy::of(before.path()).await;
    back.app.ask_witnesses(asking(vec![there.asked(), there_away()], 2)).unwrap();
    let refused = back.app.publish_log().await.unwrap_err().to_string();
    assert!(refused.contains("restore"), "{refused}");
    // Neither does it help to ask nobody any more.
    back.app.close().await.unwrap();
    let alone = Copy::of(back.app.directory()).await;
    let refused = alone.app.publish_log().await.unwrap_err().to_string();
    assert!(refused.contains("restore"), "{refused}");
    assert_eq!(there.proofs(), Vec::<PathBuf>::new());
}

/// A witness that never answers.
fn there_away() -> AskedWitnessSetting {
    let keys = [SigningKey::from_seed([55; 32]), SigningKey::national_from_seed([55; 32]).unwrap()];
    let keys = keys.map(|key| NoteVerifier::cosigner("w.example/away", key.verifying_key()).unwrap());
    AskedWitnessSetting { url: NOWHERE.to_owned(), keys: keys.to_vec() }
}

#[tokio::test]
async fn lines_that_come_later_are_added() {
    let logged = Logged::open().await;
    let there = Neighbour::of(logged.keys.clone()).await;
    let app = &logged.scenario.app;
    app.ask_witnesses(asking(vec![there.asked(), there_away()], 0)).unwrap();
    app.add_cosignatures().await.unwrap();
    let published = app.publish_log().await.unwrap();
    assert_eq!(lines(&published.note, &there.keys), 0, "without a quorum nobody is waited for");
    app.add_cosignatures().await.unwrap();
    let cosigned = app.checkpoint().await.unwrap().unwrap();
    assert_eq!((cosigned.size, &cosigned.root), (published.size, &published.root));
    assert_eq!(lines(&cosigned.note, &there.keys), 1);
    assert_eq!(lines(&cosigned.twin.as_ref().unwrap().note, &there.keys), 1);
    // Nothing is lost by asking again, nor by publishing with nothing new.
    app.add_cosignatures().await.unwrap();
    assert_eq!(app.publish_log().await.unwrap(), cosigned);
    assert_eq!(app.checkpoint().await.unwrap().unwrap(), cosigned);
    let standings = app.witness_standings();
    let away: Vec<_> = standings.iter().filter(|standing| standing.url == NOWHERE).collect();
    assert!(away.iter().all(|standing| standing.size.is_none() && standing.behind == cosigned.size));
    assert!(away[0].answer.as_ref().unwrap().contains("no answer came"), "{away:?}");
}

/// Two nodes from one backup show two histories of one log, as a fork does: the second gets no cosignature and is convicted.
/// The backup itself, alone, is a log that was set back.
/// A log that grows faster than its witness answers shows the witness's line all the same, now and then.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_log_shows_the_lines_of_a_slow_witness() {
    let logged = Logged::open().await;
    let neighbour = Neighbour::of(logged.keys.clone()).await;
    let app = logged.scenario.app.clone();
    // The witness as it is, behind a long way.
    let witness = lingqu_api::router(neighbour.scenario.app.clone(), ApiSettings::default());
    let slow = witness.layer(from_fn(|request: Request, next: Next| async move {
        tokio::time::sleep(Duration::from_millis(400)).await;
        next.run(request).await
    }));
    let asked = AskedWitnessSetting { url: serve(slow, "/witness").await, keys: neighbour.keys.clone() };
    app.ask_witnesses(self::asking(vec![asked], 0)).unwrap();
    let begun = Instant::now();
    let (shown_to, keys) = (app.clone(), neighbour.keys.clone());
    let asking = tokio::spawn(async move {
        while begun.elapsed() < PATIENCE {
            shown_to.add_cosignatures().await.unwrap();
            let shown = shown_to.checkpoint().await.unwrap();
            if shown.is_some_and(|shown| lines(&shown.note, &keys) == 1) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    });
    let (mut round, mut size) = (0, 0);
    while !asking.is_finished() {
        logged.record(&app, round % 2 == 1).await;
        round += 1;
        let published = app.publish_log().await.unwrap();
        assert!(published.size > size, "a checkpoint never goes back");
        size = published.size;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(asking.await.unwrap(), "in {round} rounds no checkpoint was shown with the witness's line");
}

#[tokio::test]
async fn a_node_from_an_old_backup_gets_no_cosignature() {
    let logged = Logged::open().await;
    let there = Neighbour::of(logged.keys.clone()).await;
    logged.scenario.app.publish_log().await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy_files(logged.close().await, backup.path());
    let went_on = Copy::of(backup.path()).await;
    went_on.app.ask_witnesses(asking(vec![there.asked()], 1)).unwrap();
    for round in 0..3 {
        logged.record(&went_on.app, round % 2 == 1).await;
        went_on.app.publish_log().await.unwrap();
    }
    let seen = went_on.app.checkpoint().await.unwrap().unwrap();
    // Set back: the witness has more entries than there are.
    let back = Copy::of(backup.path()).await;
    back.app.ask_witnesses(asking(vec![there.asked()], 1)).unwrap();
    assert!(matches!(back.app.publish_log().await, Err(AppError::AwaitingWitnesses { found: 0, .. })));
    let answer = back.app.witness_standings()[0].answer.clone().unwrap();
    assert!(answer.contains("set back"), "{answer}");
    assert_eq!(there.proofs(), Vec::<PathBuf>::new());
    // It goes on by itself until it has more: a fork. At the size that the witness saw it has another root.
    let forked = Copy::of(backup.path()).await;
    for round in 0..8 {
        logged.record(&forked.app, round % 2 == 1).await;
        forked.app.publish_log().await.unwrap();
    }
    forked.app.close().await.unwrap();
    let forked = Copy::of(forked.app.directory()).await;
    assert!(forked.app.checkpoint().await.unwrap().unwrap().size > seen.size);
    forked.app.ask_witnesses(asking(vec![there.asked()], 1)).unwrap();
    assert!(matches!(forked.app.publish_log().await, Err(AppError::AwaitingWitnesses { found: 0, .. })));
    let answer = forked.app.witness_standings()[0].answer.clone().unwrap();
    assert!(answer.contains("contradicts"), "{answer}");
    // The witness holds what a third party checks, where the request alone proves it.
    if !seen.size.is_power_of_two() {
        let proofs = there.proofs();
        assert!(!proofs.is_empty());
        for proof in proofs {
            let proof = Misconduct::from_text(&std::fs::read_to_string(proof).unwrap()).unwrap();
            let convicted = logged.keys.iter().find_map(|key| proof.verify(key, None).ok()).unwrap();
            assert_eq!(convicted.size, seen.size);
        }
    }
    assert!(lines(&seen.note, &there.keys) == 1);
}

#[tokio::test]
async fn a_quorum_that_can_not_be_is_refused() {
    let logged = Logged::open().await;
    let app = &logged.scenario.app;
    let away = there_away();
    let only_first = AskedWitnessSetting { keys: away.keys[..1].to_vec(), ..away.clone() };
    let log_key = AskedWitnessSetting { keys: logged.keys.clone(), ..away.clone() };
    let no_url = AskedWitnessSetting { url: "witness.example".to_owned(), ..away.clone() };
    for (witnesses, quorum) in [
        (vec![], 1),
        (vec![away.clone()], 2),
        (vec![away.clone(), away.clone()], 1),
        (vec![only_first.clone()], 1),
        (vec![log_key], 0),
        (vec![no_url], 0),
    ] {
        let refused = app.ask_witnesses(asking(witnesses, quorum)).unwrap_err().to_string();
        assert!(refused.contains("lingqu.toml"), "{refused}");
    }
    // A public witness cosigns the first log alone; the twin's quorum is then said by itself.
    let setting = CosigningSetting { witnesses: vec![only_first], quorum: 1, twin_quorum: Some(0) };
    app.ask_witnesses(setting).unwrap();
}
