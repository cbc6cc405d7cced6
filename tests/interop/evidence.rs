//! Evidence of a node, checked without code of ours: by a script with Python's hashes, pyca's Ed25519 and the `openssl` command
//! for SM2, and by the commands that the manual prints, which are `openssl` and a shell's. The manual shows both to whoever does not
//! trust the program.

use std::fs;
use std::path::Path;
use std::process::Command;

use lingqu_tests::manual::{commands, run_commands};
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

/// What the manual tells a stranger to paste is run as it stands there, on a bundle of a real node.
#[test]
fn the_manual_s_commands_check_a_bundle_by_openssl_alone() {
    let steps = commands("evidence.md", "### With nothing but openssl and the shell");
    let (place, report) = exported();
    let folder = place.path().join("evidence");
    let key = report["key"].as_str().expect("a verified bundle has a key");
    let whole = run_commands(&steps, &folder, &[("LOG_KEY", key)]);
    assert_eq!(whole.code, Some(0), "{}{}", whole.stdout, whole.stderr);
    let records = report["journal_records"].as_u64().unwrap() + report["receipt_records"].as_u64().unwrap();
    let entries = report["log_entries"].as_u64().unwrap();
    let last = whole.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with(&format!("VERIFIED: {records} records in {entries} entries")), "{last}");
    // Each step alone, behind the first one with the tools, says no to what it is about.
    let [tools, manifest, checkpoint, entries, records, twin, _] = &steps[..] else { panic!("{}", steps.len()) };
    let refuse = |step: &String, changed: &str| {
        let file = folder.join(changed);
        let bytes = fs::read(&file).unwrap();
        let mut damaged = bytes.clone();
        // Where the third line begins (a checkpoint's root, a proof's first hash), where there are so many, else in the middle. Not just
        // anywhere: the lines of witnesses are another step's, and the last letter of base64 may stand for itself in several ways.
        let mut lines = (1..bytes.len()).filter(|at| bytes[at - 1] == b'\n');
        let at = lines.nth(1).unwrap_or(bytes.len() / 2);
        damaged[at] = if damaged[at].eq_ignore_ascii_case(&b'A') { b'B' } else { b'A' };
        fs::write(&file, damaged).unwrap();
        let ended = run_commands([tools, step], &folder, &[("LOG_KEY", key)]);
        assert!(ended.code == Some(1) && ended.stderr.contains("NOT VERIFIED"), "{changed}: {}", ended.stderr);
        fs::write(&file, bytes).unwrap();
    };
    refuse(manifest, "manifest");
    refuse(manifest, "contract.json");
    // A shell takes its time for each entry: one record is left, with its entry.
    let opening = "records/0.opening".to_owned();
    let entry = fs::read_to_string(folder.join(&opening)).unwrap().split_whitespace().nth(3).unwrap().to_owned();
    for (within, kept) in [("entries", format!("{entry}.entry")), ("records", "0.".to_owned())] {
        for file in fs::read_dir(folder.join(within)).unwrap().map(Result::unwrap) {
            if !file.file_name().to_str().is_some_and(|name| name.starts_with(&kept)) {
                fs::remove_file(file.path()).unwrap();
            }
        }
    }
    let proof = format!("proofs/{entry}.tlog-proof");
    for (step, files) in [
        (checkpoint, vec!["checkpoint".to_owned()]),
        (entries, vec![format!("entries/{entry}.entry"), proof.clone()]),
        (records, vec!["records/0.json".to_owned(), opening.clone()]),
        (twin, vec!["checkpoint.sm3".to_owned(), format!("proofs/{entry}.sm3.tlog-proof")]),
    ] {
        let ended = run_commands([tools, step], &folder, &[("LOG_KEY", key)]);
        assert_eq!(ended.code, Some(0), "{step}{}", ended.stderr);
        files.iter().for_each(|file| refuse(step, file));
    }
    // Nothing that a bundle says is run: not a record's position, not a proof's index.
    for (step, changed) in [(records, opening), (entries, proof)] {
        let file = folder.join(&changed);
        let text = fs::read_to_string(&file).unwrap();
        let begin = text.find(' ').map(|at| at + 1).expect("the number stands behind the first space");
        let end = begin + text[begin..].find(char::is_whitespace).expect("something follows the number");
        fs::write(&file, format!("{}a[$(touch${{IFS}}owned)]{}", &text[..begin], &text[end..])).unwrap();
        let ended = run_commands([tools, step], &folder, &[("LOG_KEY", key)]);
        assert!(ended.code == Some(1) && ended.stderr.contains("is no number"), "{changed}: {}", ended.stderr);
        assert!(!folder.join("owned").exists(), "{changed}");
        fs::write(&file, text).unwrap();
    }
    let other = "lingqu.node/nod_x+1e0f5b7c+AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let ended = run_commands([tools, manifest], &folder, &[("LOG_KEY", other)]);
    assert!(ended.code == Some(1) && ended.stderr.contains("NOT VERIFIED"), "{}", ended.stderr);
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
    assert!(alone.stdout.contains("still open       not counted: this is a part"), "{}", alone.stdout);
    let missing = lingqu(&[&["audit", "verify"], &files[1..]].concat());
    assert!(missing.code == Some(1) && missing.stderr.contains("does not verify"), "{}", missing.stderr);
    let mixed = lingqu(&["audit", "verify", files[0], path(&node)]);
    assert!(mixed.code == Some(1) && mixed.stderr.contains("no part of evidence in parts"), "{}", mixed.stderr);
    let refused = lingqu(&[&arguments[..5], &["-o", path(&file), "--part-receipts", "0"]].concat());
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
}
