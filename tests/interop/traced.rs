//! `lingqu trace --verify`, run as a third party runs it who has files and the program: the evidence of a leak alone, then with the
//! file and the expert's annex, and the report of what was found.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use lingqu_app::{TraceSettings, TraceWatch};
use lingqu_crypto::sha256;
use lingqu_domain::scope::Mode;
use lingqu_engine::source::{Fragment, FragmentOptions, StopSignal};
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::node::{run, run_command};
use lingqu_tests::scenario::{Scenario, TRIP_MARKED, Who};
use lingqu_transparency::Evidence;
use serde_json::Value;

use crate::clients::python;
use crate::doors;

const TRIPS: usize = 3_000;
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_checked_by_the_command_with_file_and_annex() {
    let scenario = Scenario::open_marked(TRIPS).await;
    let order = scenario.order_marked(Who::First, &[Mode::Lookup, Mode::Rows, Mode::File]).await;
    let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
    let http = doors::http(deliveries).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.get(format!("{http}/data/v1/{TRIP_MARKED}/export?format=csv")).bearer_auth(&order.key);
    let copy = request.send().await.unwrap().text().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).display().to_string();
    let [leak, bundle, annex, paper] = ["leak.csv", "case.evidence", "case.annex", "check.pdf"].map(path);
    // Without names and in another order.
    let mut lines: Vec<&str> = copy.lines().skip(1).collect();
    lines.sort_by_key(|line| line.bytes().rev().collect::<Vec<u8>>());
    std::fs::write(&leak, lines.join("\n")).unwrap();

    let fragment = Fragment::read(Path::new(&leak), &FragmentOptions::default()).unwrap();
    let settings = TraceSettings { keeps_originals: true, ..TraceSettings::default() };
    let watch = TraceWatch::new(|_| {}, Arc::new(StopSignal::default()));
    let found = scenario.app.trace(fragment, &settings, &watch).await.unwrap();
    std::fs::write(&bundle, scenario.app.export_trace(&found).await.unwrap()).unwrap();
    std::fs::write(&annex, found.sealed().unwrap().unwrap()).unwrap();

    let ended = run(&["trace", "--verify", &bundle, "--json"]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&told["verified"], &told["observed"]), (&Value::Bool(true), &Value::Null));
    assert_eq!((&told["held"], told["recorded"].as_str()), (&"report".into(), Some(found.recorded.as_str())));

    a_script_without_our_code_accuses_the_same(&bundle);

    let mut arguments = vec!["trace", "--verify", &bundle, &leak, "--sealed", &annex];
    if Path::new(FONT).is_file() {
        arguments.extend(["--report", &paper]);
    }
    let ended = run(&arguments);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("is what the evidence says"), "{}", ended.stdout);
    if Path::new(FONT).is_file() {
        assert!(std::fs::read(&paper).unwrap().starts_with(b"%PDF-"));
    }
    let ended = run(&["trace", "--verify", &bundle, "--sealed", &annex]);
    assert!(ended.code != Some(0) && ended.stderr.contains("give it too"), "{}", ended.stderr);
    // One letter of the annex is another one.
    let mut changed = std::fs::read(&annex).unwrap();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(&annex, changed).unwrap();
    let ended = run(&["trace", "--verify", &bundle, &leak, "--sealed", &annex]);
    assert!(ended.code != Some(0) && ended.stdout.contains("not the annex"), "{}", ended.stdout);
}

/// By a script with Python's hashes, pyca's AES and one textbook score the keys open what the journal commits to, and accuse.
fn a_script_without_our_code_accuses_the_same(bundle: &str) {
    let Some(python) = python() else { return };
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../scripts/trace-evidence.py");
    let scripted = |bundle: &str| {
        let mut command = Command::new(&python);
        command.args([script, bundle]);
        run_command(command)
    };
    let ended = scripted(bundle);
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let accused = told["accused"].as_array().unwrap();
    assert_eq!(
        (accused.len(), &told["held"], told["not_checked"].as_array().unwrap().len()),
        (2, &"report".into(), 3),
        "{told}"
    );
    assert!(accused.iter().all(|one| one["log10_p_value"].as_f64().unwrap() < -7.0), "{told}");
    // A key that was exchanged: the journal commits to another.
    let bytes = std::fs::read(bundle).unwrap();
    let path = format!("{bundle}.forged");
    let digit = |digit: &mut u8| *digit = if *digit == b'0' { b'1' } else { b'0' };
    std::fs::write(&path, exchanged(&bytes, "trace/keys.json", "\"key\": \"", digit)).unwrap();
    let ended = scripted(&path);
    assert!(ended.code == Some(1) && ended.stdout.contains("is not what the journal commits to"), "{}", ended.stderr);
    // Another report, and more who are registered, than the record of the trace has.
    let more = |digit: &mut u8| *digit += 1;
    for (text, told) in [
        ("\"reason_en\":\"", "says otherwise: report"),
        ("\"registered\": ", "do not fit what was tested"),
        ("\"recorded\": \"trc_", "\"held\": \"nothing\""),
    ] {
        std::fs::write(&path, exchanged(&bytes, "trace/case.json", text, more)).unwrap();
        let ended = scripted(&path);
        assert!(ended.code == Some(1) && ended.stdout.contains(told), "{text}: {}{}", ended.stdout, ended.stderr);
    }
}

/// A bundle with the byte after a text of an item changed, under a manifest that was made to fit it.
fn exchanged(bytes: &[u8], item: &str, text: &str, change: impl Fn(&mut u8)) -> Vec<u8> {
    let evidence = Evidence::parse(bytes).unwrap();
    let own = &evidence.item(item).unwrap().bytes;
    let place = |all: &[u8], of: &[u8]| all.windows(of.len()).position(|window| window == of).unwrap();
    let mut changed = own.clone();
    change(&mut changed[place(own, text.as_bytes()) + text.len()]);
    let mut forged = bytes.to_vec();
    let at = place(bytes, own);
    forged[at..at + changed.len()].copy_from_slice(&changed);
    let (old, new) = (sha256(own).to_string(), sha256(&changed).to_string());
    let digest = place(&forged, old.as_bytes());
    forged[digest..digest + new.len()].copy_from_slice(new.as_bytes());
    forged
}
