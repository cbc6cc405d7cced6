//! Evidence of a node, checked by a script that has no code of ours: Python's hashes, pyca's Ed25519 and the `openssl` command
//! for SM2. The manual shows this script to whoever does not trust the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use lingqu_tests::node::{Ended, binary, run_command};
use serde_json::Value;
use tempfile::TempDir;

use crate::clients::python;
use crate::node::played;

const SCRIPT: &str = "interop/evidence.py";

fn lingqu(arguments: &[&str]) -> Ended {
    let mut command = Command::new(binary());
    command.args(arguments);
    run_command(command)
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the temporary directory has a plain name")
}

/// Runs the script over a folder, with the log's key where it is given.
fn checked(python: &Path, folder: &Path, key: Option<&str>) -> Ended {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT)).arg(folder).args(key);
    run_command(command)
}

/// The evidence of an order as a file and as a folder.
fn exported() -> (TempDir, Value) {
    let served = played().copied();
    let order = &played().orders()[0].id;
    let (file, folder) = (served.path().join("order.evidence"), served.path().join("evidence"));
    let node = served.path().join("node");
    let arguments = ["audit", "export", order, "--dir", path(&node), "-o", path(&file), "--directory", path(&folder)];
    let ended = lingqu(&[&arguments[..], &["--json"]].concat());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    (served, serde_json::from_str(&ended.stdout).expect("one JSON object"))
}

#[test]
fn a_script_without_our_code_checks_a_bundle() {
    let Some(python) = python() else { return };
    let (place, report) = exported();
    let folder = place.path().join("evidence");
    let ended = checked(&python, &folder, report["key"].as_str());
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    let found: Value = serde_json::from_str(&ended.stdout).expect("one JSON object");
    let records = report["journal_records"].as_u64().unwrap() + report["receipt_records"].as_u64().unwrap();
    assert_eq!(found["records"].as_u64(), Some(records));
    assert_eq!(found["size"], report["log_size"]);
    assert_eq!(found["entries"], report["log_entries"]);
    assert_eq!(found["twin"], Value::Bool(true), "SM2 and SM3 were checked by openssl");
    // Somebody else's key is not content with it, and neither is anybody with a changed file.
    let other = "lingqu.node/nod_x+1e0f5b7c+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    assert_eq!(checked(&python, &folder, Some(other)).code, Some(1));
    for changed in ["records/0.json", "checkpoint", "checkpoint.sm3", "keys/log.sm3.vkey", "contract.json"] {
        let file = folder.join(changed);
        let bytes = fs::read(&file).unwrap();
        let mut damaged = bytes.clone();
        let middle = damaged.len() / 2;
        damaged[middle] ^= 1;
        fs::write(&file, damaged).unwrap();
        let ended = checked(&python, &folder, None);
        assert!(ended.code == Some(1) && ended.stderr.contains("NOT VERIFIED"), "{changed}: {}", ended.stderr);
        fs::write(&file, bytes).unwrap();
    }
    assert_eq!(checked(&python, &folder, None).code, Some(0));
}

#[test]
fn file_and_folder_are_verified_alike_and_the_report_can_be_made_again() {
    let (place, report) = exported();
    let (file, folder) = (place.path().join("order.evidence"), place.path().join("evidence"));
    let key = report["key"].as_str().expect("a verified bundle has a key");
    for evidence in [&file, &folder] {
        let ended = lingqu(&["audit", "verify", path(evidence), "--vkey", key, "--json"]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let verified: Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(verified["contents_digest"], report["contents_digest"]);
        assert_eq!(verified["key_is_trusted"], Value::Bool(true));
    }
    // What is not listed is told and is no fault; what is listed and missing is.
    fs::write(folder.join("note.txt"), "x").unwrap();
    let ended = lingqu(&["audit", "verify", path(&folder)]);
    assert!(ended.code == Some(0) && ended.stdout.contains("note.txt"), "{}", ended.stdout);
    fs::remove_file(folder.join("records/0.opening")).unwrap();
    let ended = lingqu(&["audit", "verify", path(&folder)]);
    assert!(ended.code == Some(1) && ended.stderr.contains("record/0"), "{}", ended.stderr);
    // A folder that holds something is left alone.
    let ended = lingqu(&["audit", "unpack", path(&file), path(&folder)]);
    assert!(ended.code == Some(1) && ended.stderr.contains("not empty"), "{}", ended.stderr);
    let unpacked = place.path().join("unpacked");
    assert_eq!(lingqu(&["audit", "unpack", path(&file), path(&unpacked)]).code, Some(0));
    assert_eq!(fs::read(unpacked.join("manifest")).unwrap(), fs::read(folder.join("manifest")).unwrap());
    if report["has_report"] == Value::Bool(true) {
        let again = place.path().join("again.pdf");
        let ended = lingqu(&["audit", "report", path(&file), "-o", path(&again)]);
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert_eq!(fs::read(&again).unwrap(), fs::read(unpacked.join("report.pdf")).unwrap());
    } else {
        assert!(std::env::var_os("CI").is_none(), "no font was found for the report; run make setup");
    }
}

#[test]
fn evidence_in_parts_is_written_and_verified_together() {
    let served = played().copied();
    let order = &played().orders()[0].id;
    let (file, folder, node) =
        (served.path().join("order.evidence"), served.path().join("parts"), served.path().join("node"));
    let arguments = ["audit", "export", order, "--dir", path(&node), "-o", path(&file), "--directory", path(&folder)];
    let ended = lingqu(&[&arguments[..], &["--part-receipts", "2", "--no-report", "--json"]].concat());
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let exported: Value = serde_json::from_str(&ended.stdout).expect("one JSON object");
    let files: Vec<&str> = exported["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
    assert!(files.len() > 1 && !file.exists(), "{exported}");
    assert!(files[0].ends_with(&format!("order.part-1-of-{}.evidence", files.len())), "{files:?}");
    assert_eq!(fs::read_dir(&folder).unwrap().count(), files.len());
    // In any order, and folders as well as files.
    let mut turned: Vec<&str> = files.clone();
    turned.reverse();
    let first = folder.join(format!("part-1-of-{}", files.len()));
    *turned.last_mut().unwrap() = path(&first);
    let together = lingqu(&[&["audit", "verify", "--json"], &turned[..]].concat());
    assert_eq!(together.code, Some(0), "{}{}", together.stdout, together.stderr);
    let together: Value = serde_json::from_str(&together.stdout).unwrap();
    assert_eq!(together["parts"].as_u64(), Some(files.len() as u64));
    assert_eq!(together["receipt_records"], exported["receipt_records"]);
    let alone = lingqu(&["audit", "verify", files[1]]);
    assert!(alone.code == Some(0) && alone.stdout.contains("part             2 of "), "{}", alone.stdout);
    let missing = lingqu(&[&["audit", "verify"], &files[1..]].concat());
    assert!(missing.code == Some(1) && missing.stderr.contains("does not verify"), "{}", missing.stderr);
    let mixed = lingqu(&["audit", "verify", files[0], path(&node)]);
    assert!(mixed.code == Some(1) && mixed.stderr.contains("no part of evidence in parts"), "{}", mixed.stderr);
    let refused = lingqu(&[&arguments[..5], &["-o", path(&file), "--part-receipts", "0"]].concat());
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}
