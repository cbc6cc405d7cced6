//! Watching a log from outside: it is followed for as long as it tells the truth, and convicted when it does not.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use lingqu_app::{Audited, LogWatch, TwinSetting, WatchError, WatchSetting};
use lingqu_crypto::{SigningKey, Suite};
use lingqu_tests::node::{Ended, binary, run};
use lingqu_tests::scenario::Scenario;
use lingqu_transparency::{
    Cosigner, LogPolicy, Misconduct, NoteVerifier, Observation, SignedNote, TransparencyError, twin_origin,
};
use serde_json::Value;

use crate::logged::{Copy, Logged, copy_files};
use crate::made::{MadeLog, Shown, serve};

const ORIGIN: &str = "log.example/watched";
/// How long a watch may take for what it does within seconds.
const PATIENCE: Duration = Duration::from_secs(60);
/// Lines of a watch that wait to be read.
const LINES_WAITING_MAX: usize = 16;

fn setting(url: &str, log: &NoteVerifier, state: Option<&Path>) -> WatchSetting {
    WatchSetting { url: url.to_owned(), log: log.clone(), policy: None, state: state.map(Path::to_owned) }
}

fn convicted(seen: Observation, key: &NoteVerifier) -> (u64, Misconduct) {
    let Observation::Misconduct(misconduct) = seen else { panic!("{seen:?}") };
    // As a third party does it: from the file, with the key alone.
    let read = Misconduct::from_text(&misconduct.to_text()).unwrap();
    (read.verify(key, None).unwrap().size, read)
}

#[tokio::test]
async fn a_log_is_followed_across_restarts() {
    for suite in [Suite::International, Suite::National] {
        let directory = tempfile::tempdir().unwrap();
        let state = directory.path().join("state");
        let (log, shown) = (MadeLog::of(suite, ORIGIN, 600, 999, 0), Shown::default());
        shown.show(&log, 0);
        let url = shown.serve().await;
        let mut from = 0;
        for to in [0, 7, 256, 300, 600] {
            shown.show(&log, to);
            // Each look is a watch of its own, as by a timer.
            let mut watch = LogWatch::begin(setting(&url, log.key(), Some(&state))).unwrap();
            assert_eq!(watch.look().await.unwrap(), Observation::Grown { from, to });
            assert_eq!(watch.look().await.unwrap(), Observation::Unchanged);
            from = to;
        }
        shown.show(&log, 300);
        let mut watch = LogWatch::begin(setting(&url, log.key(), Some(&state))).unwrap();
        assert_eq!(watch.look().await.unwrap(), Observation::Older { size: 300 });
        assert_eq!(watch.latest(), Some(log.note(600)));
        // Two watches never remember in one file.
        assert!(matches!(LogWatch::begin(setting(&url, log.key(), Some(&state))), Err(WatchError::State { .. })));
    }
}

#[tokio::test]
async fn forks_and_rewrites_are_proven_and_not_followed() {
    let (honest, other) = (MadeLog::new(ORIGIN, 40, 99, 0), MadeLog::new(ORIGIN, 40, 3, 9));
    for seen in [4, 5, 8, 31] {
        for shown_size in [4, 5, 8, 31, 40] {
            let shown = Shown::default();
            shown.show(&honest, seen);
            let url = shown.serve().await;
            let mut watch = LogWatch::begin(setting(&url, honest.key(), None)).unwrap();
            watch.look().await.unwrap();
            shown.show(&other, shown_size);
            // With a smaller size the tiles of the larger tree are those of the history that was seen.
            if shown_size < seen {
                shown.show_note(&honest, other.note(shown_size));
            }
            let (size, _) = convicted(watch.look().await.unwrap(), honest.key());
            assert_eq!(size, seen.min(shown_size));
            assert_eq!(watch.latest(), Some(honest.note(seen)));
        }
    }
}

#[tokio::test]
async fn what_can_not_be_seen_or_proven_is_no_misconduct() {
    let (honest, other) = (MadeLog::new(ORIGIN, 40, 99, 0), MadeLog::new(ORIGIN, 40, 3, 9));
    let shown = Shown::default();
    shown.show(&honest, 9);
    let url = shown.serve().await;
    let mut watch = LogWatch::begin(setting(&url, honest.key(), None)).unwrap();
    watch.look().await.unwrap();
    // Tiles of another history under an honest checkpoint: a slanderer in between could do that.
    shown.show_note(&other, honest.note(30));
    assert!(matches!(watch.look().await, Err(WatchError::Log(TransparencyError::ProofFailed { .. }))));
    // Another log's key, no note, no log.
    shown.show_note(&honest, MadeLog::new("log.example/other", 10, 99, 0).note(10));
    assert!(matches!(watch.look().await, Err(WatchError::Log(_))));
    shown.show_note(&honest, "no note");
    assert!(matches!(watch.look().await, Err(WatchError::Log(_))));
    for (wrong, url) in [("status", url.replace("/log", "/nothing")), ("gone", "http://127.0.0.1:9/log".to_owned())] {
        let mut watch = LogWatch::begin(setting(&url, honest.key(), None)).unwrap();
        let looked = watch.look().await.unwrap_err();
        assert!(matches!(looked, WatchError::Status { .. } | WatchError::Unreachable { .. }), "{wrong}: {looked}");
    }
    // It goes on where it was.
    shown.show(&honest, 30);
    assert_eq!(watch.look().await.unwrap(), Observation::Grown { from: 9, to: 30 });
}

/// Answers that never end, or that are far too large, cost the watch a bounded amount of memory.
#[tokio::test]
async fn answers_without_end_are_cut_off() {
    let endless = axum::Router::new().fallback(async || {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::convert::Infallible>(vec![b'x'; 65_536]));
        axum::body::Body::from_stream(pieces)
    });
    let url = serve(endless, "/log").await;
    let log = MadeLog::new(ORIGIN, 1, 99, 0);
    let mut watch = LogWatch::begin(setting(&url, log.key(), None)).unwrap();
    let looked = watch.look().await.unwrap_err();
    assert!(looked.to_string().contains("more than"), "{looked}");
}

#[tokio::test]
async fn a_checkpoint_counts_when_the_witnesses_of_the_policy_saw_it() {
    let (log, shown) = (MadeLog::new(ORIGIN, 40, 99, 0), Shown::default());
    let cosigner = Cosigner::new("w.example/1", SigningKey::from_seed([77; 32])).unwrap();
    let policy = format!("log {}\nwitness one {}\nquorum one\n", log.key(), cosigner.verifier());
    shown.show(&log, 9);
    let url = shown.serve().await;
    let mut setting = setting(&url, log.key(), None);
    setting.policy = Some(LogPolicy::parse(&policy).unwrap());
    let mut watch = LogWatch::begin(setting).unwrap();
    assert!(matches!(watch.look().await, Err(WatchError::Log(TransparencyError::NotWitnessed { .. }))));
    assert_eq!(watch.latest(), None);
    let cosigned = |size: u64| {
        let text = SignedNote::parse(log.note(size)).unwrap().text().to_owned();
        format!("{}{}", log.note(size), cosigner.cosign(&text, 1_700_000_000).unwrap().to_line())
    };
    shown.show_note(&log, &cosigned(9));
    assert_eq!(watch.look().await.unwrap(), Observation::Grown { from: 0, to: 9 });
    // A lie is told though nobody witnessed it.
    shown.show(&MadeLog::new(ORIGIN, 40, 3, 9), 30);
    assert_eq!(convicted(watch.look().await.unwrap(), log.key()).0, 9);
}

#[tokio::test]
async fn a_node_s_own_log_is_followed() {
    let scenario = Scenario::open(None, 20).await;
    let url = serve(lingqu_api::router(scenario.app.clone(), lingqu_api::ApiSettings::default()), "/log").await;
    let published = scenario.app.publish_log().await.unwrap();
    let mut watch = LogWatch::begin(setting(&url, &published.vkey.parse().unwrap(), None)).unwrap();
    assert_eq!(watch.look().await.unwrap(), Observation::Grown { from: 0, to: published.size });
    scenario.suspend_mandate("检查").await;
    let grown = scenario.app.publish_log().await.unwrap();
    assert!(grown.size > published.size);
    assert_eq!(watch.look().await.unwrap(), Observation::Grown { from: published.size, to: grown.size });
}

/// Every entry of a node's log is read once, whatever the watch's restarts, and both roots are held against its twin.
#[tokio::test]
async fn the_entries_of_a_node_s_log_are_those_that_it_signs() {
    let scenario = Scenario::open(None, 20).await;
    let app = &scenario.app;
    let url = serve(lingqu_api::router(app.clone(), lingqu_api::ApiSettings::default()), "/log").await;
    let keys = app.log_keys().unwrap();
    let twin = TwinSetting { url: format!("{url}/sm3"), key: keys[1].clone() };
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let mut stated = 0;
    for round in 0..4 {
        let published = app.publish_log().await.unwrap();
        let mut watch = LogWatch::begin(setting(&url, &keys[0], Some(&state))).unwrap();
        watch.look().await.unwrap();
        let Audited::Whole { size, roots } = watch.audit_entries(Some(&twin)).await.unwrap() else { panic!("no lie") };
        assert_eq!(size, published.size);
        stated += roots;
        // Nothing is read twice.
        let again = watch.audit_entries(Some(&twin)).await.unwrap();
        assert!(matches!(again, Audited::Whole { roots: 0, .. }), "{again:?}");
        if round % 2 == 0 { scenario.suspend_mandate("检查").await } else { scenario.resume_mandate().await }
    }
    assert_eq!(stated, 3, "each published size but the last is stated by one entry");
}

/// A log whose bundles are not what its tree commits to: found out, and remembered as far as it was true.
#[tokio::test]
async fn entries_that_are_not_signed_are_found_out() {
    let (log, other) = (MadeLog::new(ORIGIN, 600, 999, 0), MadeLog::new(ORIGIN, 600, 300, 9));
    let shown = Shown::default();
    shown.show(&log, 600);
    shown.replace(&other, "tile/entries/001");
    let url = shown.serve().await;
    let mut watch = LogWatch::begin(setting(&url, log.key(), None)).unwrap();
    watch.look().await.unwrap();
    let found = watch.audit_entries(None).await.unwrap_err();
    assert!(matches!(found, WatchError::Log(TransparencyError::ProofFailed { .. })), "{found}");
    shown.show(&log, 600);
    assert!(matches!(watch.audit_entries(None).await.unwrap(), Audited::Whole { size: 600, .. }));
}

/// A log whose entries are those that it signs, and one of whose tiles of hashes is not theirs: proofs made with it would fail.
#[tokio::test]
async fn tiles_of_hashes_that_are_not_the_entries_are_found_out() {
    for suite in [Suite::International, Suite::National] {
        let (log, other) = (MadeLog::of(suite, ORIGIN, 600, 999, 0), MadeLog::of(suite, ORIGIN, 600, 300, 9));
        let shown = Shown::default();
        shown.show(&log, 600);
        shown.replace(&other, "tile/0/001");
        let url = shown.serve().await;
        let mut watch = LogWatch::begin(setting(&url, log.key(), None)).unwrap();
        // No checkpoint's root needs this tile, which is full, once the one above it is there.
        watch.look().await.unwrap();
        let found = watch.audit_entries(None).await.unwrap_err();
        let WatchError::Log(TransparencyError::TileDamaged { path, .. }) = &found else { panic!("{found}") };
        assert_eq!(path, "tile/0/001");
        shown.show(&log, 600);
        let mut told = Vec::new();
        let audited = watch.audit_entries_telling(None, &mut |done, of| told.push((done, of))).await.unwrap();
        assert!(matches!(audited, Audited::Whole { size: 600, .. }));
        assert_eq!(told, [(600, 600)]);
    }
}

/// A log that leaves out the entries of both roots has nothing that its twin could contradict: the twin is held against the entries.
#[tokio::test]
async fn a_twin_of_other_entries_is_found_out_though_no_entry_states_its_root() {
    let log = MadeLog::new(ORIGIN, 600, 999, 0);
    let twin_of = |parting| MadeLog::of(Suite::National, &twin_origin(ORIGIN), 600, parting, 9);
    let (honest, other) = (twin_of(999), twin_of(300));
    let (shown, twin_shown) = (Shown::default(), Shown::default());
    shown.show(&log, 290);
    twin_shown.show(&honest, 290);
    let url = shown.serve().await;
    let twin = TwinSetting { url: twin_shown.serve().await, key: honest.key().clone() };
    let mut watch = LogWatch::begin(setting(&url, log.key(), None)).unwrap();
    watch.look().await.unwrap();
    let audited = watch.audit_entries(Some(&twin)).await.unwrap();
    assert!(matches!(audited, Audited::Whole { size: 290, roots: 0 }), "{audited:?}");
    // The twin stays behind, then goes on with other entries.
    shown.show(&log, 600);
    watch.look().await.unwrap();
    let behind = watch.audit_entries(Some(&twin)).await.unwrap_err();
    assert!(matches!(behind, WatchError::TwinBehind { size: 600 }), "{behind}");
    twin_shown.show(&other, 600);
    let found = watch.audit_entries(Some(&twin)).await.unwrap_err();
    assert!(matches!(found, WatchError::TwinOfOthers { size: 600 }), "{found}");
    twin_shown.show(&honest, 600);
    assert!(matches!(watch.audit_entries(Some(&twin)).await.unwrap(), Audited::Whole { size: 600, .. }));
}

/// A twin that can't be read, or stays behind, keeps nothing from being told of the log itself.
#[tokio::test]
async fn a_twin_that_shows_nothing_hides_no_wrong_entries() {
    let (log, other) = (MadeLog::new(ORIGIN, 600, 999, 0), MadeLog::new(ORIGIN, 600, 300, 9));
    let twin_log = MadeLog::of(Suite::National, &twin_origin(ORIGIN), 600, 999, 0);
    let (shown, nothing) = (Shown::default(), Shown::default());
    shown.show(&log, 600);
    shown.replace(&other, "tile/entries/001");
    let url = shown.serve().await;
    let twin = TwinSetting { url: nothing.serve().await, key: twin_log.key().clone() };
    let mut watch = LogWatch::begin(setting(&url, log.key(), None)).unwrap();
    watch.look().await.unwrap();
    let found = watch.audit_entries(Some(&twin)).await.unwrap_err();
    assert!(matches!(found, WatchError::Log(TransparencyError::ProofFailed { .. })), "{found}");
    shown.show(&log, 600);
    let found = watch.audit_entries(Some(&twin)).await.unwrap_err();
    assert!(matches!(found, WatchError::Status { status: 404, .. }), "{found}");
}

/// A log of which not all entries can be read in time is looked at in between, and found out when it lies meanwhile.
#[tokio::test]
async fn a_long_log_is_looked_at_while_its_entries_are_read() {
    let (log, other) = (MadeLog::new(ORIGIN, 600, 999, 0), MadeLog::new(ORIGIN, 600, 300, 9));
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state");
    let shown = Shown::default();
    shown.show(&log, 600);
    let url = shown.serve().await;
    let mut watch = LogWatch::begin(setting(&url, log.key(), Some(&state))).unwrap();
    watch.look().await.unwrap();
    let mut told = Vec::new();
    // With no time at all each call reads one bundle, and what it read is remembered.
    let audited = watch.audit_entries_for(Duration::ZERO, None, &mut |done, of| told.push((done, of))).await.unwrap();
    assert!(matches!(audited, Audited::Part { read: 256, size: 600 }), "{audited:?}");
    shown.show(&other, 600);
    assert_eq!(convicted(watch.look().await.unwrap(), log.key()).0, 600);
    shown.show(&log, 600);
    drop(watch);
    let mut watch = LogWatch::begin(setting(&url, log.key(), Some(&state))).unwrap();
    let audited = watch.audit_entries_for(Duration::ZERO, None, &mut |done, of| told.push((done, of))).await.unwrap();
    assert!(matches!(audited, Audited::Part { read: 512, size: 600 }), "{audited:?}");
    // What is not signed is found out in the last part as well.
    shown.replace(&other, "tile/entries/002.p/88");
    assert!(watch.audit_entries_for(Duration::ZERO, None, &mut |_, _| {}).await.is_err());
    shown.show(&log, 600);
    let audited = watch.audit_entries_for(Duration::ZERO, None, &mut |done, of| told.push((done, of))).await.unwrap();
    assert!(matches!(audited, Audited::Whole { size: 600, .. }), "{audited:?}");
    assert_eq!(told, [(256, 600), (512, 600), (600, 600)]);
}

/// Bundles that are too large to be fetched ahead are read all the same, in their order.
#[tokio::test]
async fn bundles_of_large_entries_are_read() {
    let log = MadeLog::padded(Suite::International, ORIGIN, 20, (999, 0), 60_000);
    let shown = Shown::default();
    shown.show(&log, 20);
    let url = shown.serve().await;
    let mut watch = LogWatch::begin(setting(&url, log.key(), None)).unwrap();
    watch.look().await.unwrap();
    assert!(matches!(watch.audit_entries(None).await.unwrap(), Audited::Whole { size: 20, .. }));
}

/// Two machines from one backup: who followed one of them is shown the other.
#[tokio::test]
async fn a_node_that_forks_is_convicted_by_who_follows_it() {
    let logged = Logged::open().await;
    logged.scenario.app.publish_log().await.unwrap();
    let backup = tempfile::tempdir().unwrap();
    copy_files(logged.close().await, backup.path());
    let state = backup.path().join("watch");
    let mut seen = Vec::new();
    for rounds in [3, 6] {
        let copy = Copy::of(backup.path()).await;
        for round in 0..rounds {
            logged.record(&copy.app, round % 2 == 1).await;
            copy.app.publish_log().await.unwrap();
        }
        let mut of_both = Vec::new();
        for (place, path) in ["/log", "/log/sm3"].into_iter().enumerate() {
            let url = serve(lingqu_api::router(copy.app.clone(), lingqu_api::ApiSettings::default()), path).await;
            let state = state.with_extension(place.to_string());
            let mut watch = LogWatch::begin(setting(&url, &logged.keys[place], Some(&state))).unwrap();
            of_both.push(watch.look().await.unwrap());
        }
        seen.push(of_both);
    }
    let Observation::Grown { to, .. } = seen[0][0] else { panic!("{seen:?}") };
    for (key, shown) in logged.keys.iter().zip(seen.remove(1)) {
        assert_eq!(convicted(shown, key).0, to, "both logs forked");
    }
}

fn lines(ended: &Ended) -> Vec<Value> {
    ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The commands, as an auditor's timer runs them.
#[tokio::test(flavor = "multi_thread")]
async fn the_commands_watch_and_convict() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (honest, other) = (MadeLog::new(ORIGIN, 40, 99, 0), MadeLog::new(ORIGIN, 40, 3, 9));
    let (shown, vkey) = (Shown::default(), honest.key().to_string());
    shown.show(&honest, 12);
    let url = shown.serve().await;
    let (state, proofs, alerts) = (path("state"), path(""), path("alerts"));
    let alert = format!("test \"$LINGQU_ALERT_PROBLEM\" && cat >>'{alerts}'");
    let look = async || {
        let arguments =
            ["audit", "watch", &url, "--vkey", &vkey, "--state", &state, "--once", "--json", "--proof-dir", &proofs];
        let arguments = [&arguments[..], &["--alert-command", &alert]].concat();
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let ended = tokio::task::spawn_blocking(move || run(&arguments.iter().map(String::as_str).collect::<Vec<_>>()));
        ended.await.unwrap()
    };
    let first = look().await;
    assert_eq!(first.code, Some(0), "{first:?}");
    assert_eq!((&lines(&first)[0]["seen"], &lines(&first)[0]["size"]), (&"begun".into(), &12.into()));
    shown.show(&honest, 5);
    let older = look().await;
    assert_eq!((older.code, &lines(&older)[0]["seen"]), (Some(1), &"older".into()), "{older:?}");
    shown.show(&other, 40);
    let lied = look().await;
    assert_eq!(lied.code, Some(1), "{lied:?}");
    let proof = lines(&lied)[0]["proof"].as_str().unwrap().to_owned();
    assert!(proof.starts_with(&path("")) && proof.ends_with("-12.log-misconduct"), "{proof}");
    // Who is to be called was called with the lines that tell of something wrong, and with no other.
    let called = std::fs::read_to_string(&alerts).unwrap();
    let called: Vec<Value> = called.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(called, [lines(&older)[0].clone(), lines(&lied)[0].clone()]);
    // Anybody checks the file, with the key and nothing else; with another key it proves nothing.
    let check = async |file: &str, vkey: &str| {
        let (file, vkey) = (file.to_owned(), vkey.to_owned());
        let ended =
            tokio::task::spawn_blocking(move || run(&["audit", "verify-misconduct", &file, "--vkey", &vkey, "--json"]));
        ended.await.unwrap()
    };
    let checked = check(&proof, &vkey).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let shown_proof: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((&shown_proof["kind"], &shown_proof["size"]), (&"rewrite".into(), &12.into()));
    let stranger = MadeLog::new("log.example/other", 1, 9, 0).key().to_string();
    assert_eq!(check(&proof, &stranger).await.code, Some(1));
    let damaged = path("damaged");
    std::fs::write(&damaged, std::fs::read_to_string(&proof).unwrap().replacen("rewrite", "fork", 1)).unwrap();
    let refused = check(&damaged, &vkey).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("proves nothing"), "{refused:?}");
}

/// The command as it runs for good. Dropping it ends it.
struct Watching {
    child: Child,
    lines: Receiver<String>,
}

impl Watching {
    fn begin(arguments: &[&str]) -> Watching {
        let mut command = Command::new(binary());
        command.args(["audit", "watch"]).args(arguments).stdin(Stdio::null()).stdout(Stdio::piped());
        command.env_remove("LINGQU_LOG");
        let mut child = command.spawn().unwrap();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = sync_channel(LINES_WAITING_MAX);
        std::thread::spawn(move || stdout.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Watching { child, lines }
    }

    /// What it says next.
    fn line(&self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("the watch goes on and says what it sees");
        serde_json::from_str(&line).unwrap()
    }

    /// What it says next but that nothing changed, which depends on when it looked.
    fn change(&self) -> Value {
        let line = self.line();
        if line["seen"] == "unchanged" { self.line() } else { line }
    }

    /// Waits until it ends, saying nothing more; gives its exit code.
    fn ended(mut self) -> Option<i32> {
        assert_eq!(self.lines.recv_timeout(PATIENCE), Err(RecvTimeoutError::Disconnected));
        // It ends as it closes what it wrote to.
        self.child.wait().unwrap().code()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A watch that is left running follows a log that grows, says once that it went back however often it looks again, goes on with it,
/// and ends with the proof when it forks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_watch_that_is_left_running_follows_alerts_once_and_convicts() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let (honest, other) = (MadeLog::new(ORIGIN, 40, 99, 0), MadeLog::new(ORIGIN, 40, 3, 9));
    let (shown, vkey, proofs) = (Shown::default(), honest.key().to_string(), path(""));
    shown.show(&honest, 12);
    let url = shown.serve().await;
    let alert = format!("cat >>'{}'", path("alerts"));
    let alerts = || -> Vec<Value> {
        let text = std::fs::read_to_string(path("alerts")).unwrap_or_default();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let arguments = ["--vkey", &vkey, "--interval", "1", "--json", &url];
    let further = ["--proof-dir", &proofs, "--alert-command", &alert];
    let watching = Watching::begin(&[&arguments[..], &further].concat());
    let seen = |line: Value| (line["seen"].as_str().unwrap().to_owned(), line["size"].as_u64());
    assert_eq!(seen(watching.line()), ("begun".to_owned(), Some(12)));
    assert_eq!(seen(watching.line()), ("unchanged".to_owned(), None));
    shown.show(&honest, 20);
    assert_eq!(seen(watching.line()), ("grown".to_owned(), Some(20)));
    shown.show(&honest, 5);
    let older = watching.change();
    assert_eq!(seen(older.clone()), ("older".to_owned(), Some(5)));
    let (begun, looks) = (Instant::now(), shown.looks());
    while shown.looks() < looks + 2 {
        assert!(begun.elapsed() < PATIENCE, "the watch looks no more");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(alerts(), std::slice::from_ref(&older), "seen again, it is not told again");
    shown.show(&honest, 30);
    assert_eq!(seen(watching.line()), ("grown".to_owned(), Some(30)), "nothing was said in between");
    shown.show(&other, 40);
    let lied = watching.change();
    assert_eq!(lied["seen"], "misconduct");
    assert_eq!(watching.ended(), Some(1));
    assert_eq!(alerts(), [older, lied.clone()]);
    let proof = std::fs::read_to_string(lied["proof"].as_str().unwrap()).unwrap();
    assert_eq!(Misconduct::from_text(&proof).unwrap().verify(honest.key(), None).unwrap().size, 30);
}

/// A log that calls itself so that no program can be told of it, and that a terminal obeys: who is to be called is called, with a line.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_can_not_mute_the_alert_by_its_name() {
    let directory = tempfile::tempdir().unwrap();
    let (log, shown) = (MadeLog::new(ORIGIN, 1, 99, 0), Shown::default());
    let url = shown.serve().await;
    for (number, name) in ["x".repeat(300_000), "\u{9b}2J\u{7f}".to_owned()].iter().enumerate() {
        shown.show_note(&log, &log.named(name));
        let (state, alerts) = (directory.path().join("state"), directory.path().join(format!("alerts{number}")));
        let alert = format!("printf '%s\n' \"$LINGQU_ALERT_PROBLEM\" >'{}'", alerts.display());
        let (url, vkey, state) = (url.clone(), log.key().to_string(), state.display().to_string());
        let ended = tokio::task::spawn_blocking(move || {
            run(&["audit", "watch", &url, "--vkey", &vkey, "--state", &state, "--once", "--alert-command", &alert])
        });
        let ended = ended.await.unwrap();
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let told = std::fs::read_to_string(&alerts).unwrap();
        assert!(told.contains("does not hold") && told.len() < 5_000, "{} bytes", told.len());
        for text in [&told, &ended.stdout, &ended.stderr] {
            assert!(!text.contains(|c: char| c.is_control() && c != '\n') && text.len() < 10_000);
        }
    }
}
