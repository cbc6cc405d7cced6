//! Evidence of a node that has witnesses: their lines are in the bundle, for our program and for a script without code of ours,
//! and keys from elsewhere than the bundle are insisted on.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use lingqu_app::{EvidenceOptions, verify_evidence_with};
use lingqu_crypto::SigningKey;
use lingqu_domain::scope::Mode;
use lingqu_tests::manual::{commands, run_commands};
use lingqu_tests::node::{Ended, run_command};
use lingqu_tests::scenario::{TRIP_CHECK, Who};
use lingqu_transparency::{Evidence, EvidenceTrust, NoteVerifier};

use crate::asked::{Neighbour, asking};
use crate::logged::Logged;

/// Names the folder of the Python environment that `make setup` makes.
const CLIENTS: &str = "LINGQU_TEST_CLIENTS";

fn script(python: &Path, folder: &Path, keys: &[NoteVerifier]) -> Ended {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/evidence.py")).arg(folder);
    command.args(keys.iter().map(ToString::to_string));
    run_command(command)
}

/// The commands that the manual prints, on a bundle with the lines of two witnesses of each log.
fn by_the_manual(folder: &Path, keys: &[NoteVerifier]) {
    let steps = commands("evidence.md", "### With nothing but openssl and the shell");
    let (log, twin) = (keys[0].to_string(), keys[1].to_string());
    let variables = [("LOG_KEY", log.as_str()), ("TWIN_KEY", twin.as_str())];
    let whole = run_commands(&steps, folder, &variables);
    assert_eq!(whole.code, Some(0), "{}{}", whole.stdout, whole.stderr);
    for name in ["checkpoint", "checkpoint.sm3"] {
        assert_eq!(whole.stdout.matches(&format!(" saw {name} at ")).count(), 2, "{}", whole.stdout);
        let note = fs::read_to_string(folder.join(name)).unwrap();
        fs::write(folder.join(name), forged(&note)).unwrap();
        let ended = run_commands(steps.iter().take(1).chain(steps.last()), folder, &variables);
        assert!(ended.code == Some(1) && ended.stderr.contains("NOT VERIFIED"), "{name}: {}", ended.stdout);
        fs::write(folder.join(name), note).unwrap();
    }
}

/// A note whose last line holds another signature.
fn forged(note: &str) -> String {
    let (head, line) = note.trim_end().rsplit_once('\n').unwrap();
    let (start, blob) = line.rsplit_once(' ').unwrap();
    let at = blob.len() - 8;
    let changed = if &blob[at..=at] == "A" { "B" } else { "A" };
    format!("{head}\n{start} {}{changed}{}\n", &blob[..at], &blob[at + 1..])
}

/// A witness that nobody asked.
fn stranger() -> NoteVerifier {
    NoteVerifier::cosigner("w.example/stranger", SigningKey::from_seed([77; 32]).verifying_key()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_witnesses_are_checked_by_us_and_without_us() {
    let logged = Logged::open().await;
    let order = logged.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (10, 0)).await;
    let (one, other) = (Neighbour::of(logged.keys.clone()).await, Neighbour::of(logged.keys.clone()).await);
    let app = &logged.scenario.app;
    app.ask_witnesses(asking(vec![one.asked(), other.asked()], 2)).unwrap();
    app.publish_log().await.unwrap();
    let bundle = app.evidence_of(&order.id, EvidenceOptions::default()).await.unwrap();
    let witnesses: Vec<NoteVerifier> = one.keys.iter().chain(&other.keys).cloned().collect();

    let own = verify_evidence_with(&bundle, &EvidenceTrust::default());
    assert!(own.verified, "{:?}", own.findings);
    assert_eq!(own.cosigned.len(), 4, "two witnesses of two logs: {:?}", own.cosigned);
    assert!(own.cosigned.iter().all(|line| !line.key_is_trusted));
    assert_eq!(own.cosigned.iter().filter(|line| line.is_of_twin).count(), 2);
    // Log, twin and witnesses by keys that did not come with the bundle.
    let keys: Vec<NoteVerifier> = logged.keys.iter().chain(&witnesses).cloned().collect();
    let trusted = verify_evidence_with(&bundle, &EvidenceTrust { keys: keys.clone(), policy: None });
    assert!(trusted.verified, "{:?}", trusted.findings);
    assert!(trusted.key_is_trusted && trusted.twin.as_ref().unwrap().key_is_trusted);
    assert!(trusted.cosigned.len() == 4 && trusted.cosigned.iter().all(|line| line.key_is_trusted));
    let insisted = EvidenceTrust { keys: vec![logged.keys[0].clone(), stranger()], policy: None };
    assert!(!verify_evidence_with(&bundle, &insisted).verified, "a witness that did not sign");

    let place = tempfile::tempdir().unwrap();
    for (path, bytes) in Evidence::parse(&bundle).unwrap().to_files().unwrap() {
        let file = place.path().join(path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, bytes).unwrap();
    }
    by_the_manual(place.path(), &logged.keys);
    let python = std::env::var_os(CLIENTS).map(|folder| PathBuf::from(folder).join("bin/python"));
    let Some(python) = python.filter(|python| python.is_file()) else {
        assert!(std::env::var_os("CI").is_none(), "{CLIENTS} names no environment with the clients; run make test");
        eprintln!("\n*** THE CLIENTS ARE MISSING: THE SCRIPT WAS NOT RUN. Run it by `make test`. ***\n");
        return;
    };
    for given in [&[][..], &keys] {
        let ended = script(&python, place.path(), given);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let found: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!((&found["cosigned"], &found["twin"]), (&4.into(), &true.into()));
    }
    let log = &logged.keys[0];
    let other_twin = {
        let name = logged.keys[1].name();
        let key = SigningKey::national_from_seed([78; 32]).unwrap();
        NoteVerifier::new(name, key.verifying_key()).unwrap()
    };
    for wrong in [stranger(), other_twin] {
        let ended = script(&python, place.path(), &[log.clone(), wrong]);
        assert!(ended.code == Some(1) && ended.stderr.contains("NOT VERIFIED"), "{}", ended.stderr);
    }
    // A witness's line that was changed is found, in either log.
    for name in ["checkpoint", "checkpoint.sm3"] {
        let note = fs::read_to_string(place.path().join(name)).unwrap();
        let file = place.path().join(name);
        fs::write(&file, forged(&note)).unwrap();
        let ended = script(&python, place.path(), &keys);
        assert_eq!(ended.code, Some(1), "{name}: {}", ended.stdout);
        fs::write(&file, note).unwrap();
    }
}
