//! TLS of the listeners for clients: each is reached with a certificate that the client trusts, and by nobody who does not
//! trust it or speaks plaintext.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::node::{Order, Served, played};

/// How long the node may take until its log tells that a certificate does not fit.
const TOLD_MAX: Duration = Duration::from_secs(60);

/// A served copy of the demo with a certificate, which the script makes.
fn encrypted(python: &Path) -> Served {
    played().serve_with(|directory| {
        let folder = directory.to_str().expect("temporary directories have plain names");
        script(python, "tls.py", &["certificate", folder]);
        let configuration = "tls_certificate = 'node.pem'\ntls_key = 'node.key'\n";
        std::fs::write(directory.join("lingqu.toml"), configuration).expect("the directory is writable");
    })
}

/// Where the doors are, whom they serve, and what is trusted, as the script takes it.
fn asked(served: &Served, order: &Order) -> Value {
    let certificate = served.directory.path().join("node.pem").display().to_string();
    json!({
        "certificate": certificate, "http": served.node.url, "flight": served.node.flight_url,
        "postgres": served.node.postgres_url, "order": order.id, "key": order.key, "product": order.product,
        "file_key": played().order_by("file").key,
    })
}

#[test]
fn every_door_is_spoken_to_over_tls() {
    let Some(python) = python() else { return };
    let order = played().order_by("rows");
    let served = encrypted(&python);
    let (http, flight) = (&served.node.url, &served.node.flight_url);
    assert!(http.starts_with("https://") && flight.starts_with("grpc+tls://"), "{http} {flight}");
    let asked = asked(&served, &order);
    let ended = script(&python, "tls.py", &["ask", &asked.to_string()]);
    let told: Value = serde_json::from_str(ended.stdout.trim_end()).expect("the script prints JSON");
    // A client goes where the profile sends it, with its key: never into the clear.
    assert_eq!(told["endpoint"], json!(format!("{http}/delta-sharing")), "{told}");
    assert_eq!(told["rows"], json!({ "http": 2, "flight": 2, "postgres": 2 }), "{told}");
    assert_eq!(told["untrusting"], json!({ "http": "refused", "flight": "refused", "postgres": "refused" }), "{told}");
    assert_eq!(told["plaintext"], json!({ "http": "refused", "flight": "refused" }), "{told}");
}

/// Nothing is restarted: what handshakes show changes, and what is open does not notice.
#[test]
fn a_renewed_certificate_is_shown_by_every_door_and_a_wrong_one_by_none() {
    let Some(python) = python() else { return };
    let order = played().order_by("rows");
    let served = encrypted(&python);
    let mut command = Command::new(&python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/tls.py"));
    command.args(["renew", &asked(&served, &order).to_string()]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().expect("the script can be run");
    let mut lines = BufReader::new(child.stdout.take().expect("stdout is a pipe")).lines();
    let mut line = || lines.next().expect("the script goes on").expect("it writes text");
    assert_eq!(line(), "wrong");
    let problem = "the certificate is not renewed and stays as it was";
    let until = Instant::now() + TOLD_MAX;
    while !served.node.log().contains(problem) && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(50));
    }
    let log = served.node.log();
    assert!(log.contains(problem) && log.contains("name a certificate chain and the key it was made for"), "{log}");
    child.stdin.take().expect("stdin is a pipe").write_all(b"\n").expect("the script listens");
    let told: Value = serde_json::from_str(&line()).expect("the script prints JSON");
    assert!(child.wait().expect("the script ends").success());
    let everywhere = |value: Value| json!({ "http": value, "flight": value, "postgres": value });
    assert_eq!(told["unchanged"], true, "a wrong certificate is shown: {told}");
    assert_eq!(told["renewed"], everywhere(json!(true)), "{told}");
    assert_eq!(told["open"], everywhere(json!(2)), "{told}");
    assert_eq!(told["new"], everywhere(json!(2)), "{told}");
    assert_eq!(served.node.log().matches(problem).count(), 1, "it is told once: {}", served.node.log());
}
