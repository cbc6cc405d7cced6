//! TLS of the listeners for clients: each is reached with a certificate that the client trusts, and by nobody who does not
//! trust it or speaks plaintext.

use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::node::played;

#[test]
fn every_door_is_spoken_to_over_tls() {
    let Some(python) = python() else { return };
    let demo = played();
    let order = demo.order_by("rows");
    let served = demo.serve_with(|directory| {
        let folder = directory.to_str().expect("temporary directories have plain names");
        script(&python, "tls.py", &["certificate", folder]);
        let configuration = "tls_certificate = 'node.pem'\ntls_key = 'node.key'\n";
        std::fs::write(directory.join("lingqu.toml"), configuration).expect("the directory is writable");
    });
    let (http, flight) = (&served.node.url, &served.node.flight_url);
    assert!(http.starts_with("https://") && flight.starts_with("grpc+tls://"), "{http} {flight}");
    let certificate = served.directory.path().join("node.pem").display().to_string();
    let asked = json!({
        "certificate": certificate, "http": http, "flight": flight, "postgres": served.node.postgres_url,
        "order": order.id, "key": order.key, "product": order.product,
    });
    let ended = script(&python, "tls.py", &["ask", &asked.to_string()]);
    let told: Value = serde_json::from_str(ended.stdout.trim_end()).expect("the script prints JSON");
    assert_eq!(told["rows"], json!({ "http": 2, "flight": 2, "postgres": 2 }), "{told}");
    assert_eq!(told["untrusting"], json!({ "http": "refused", "flight": "refused", "postgres": "refused" }), "{told}");
    assert_eq!(told["plaintext"], json!({ "http": "refused", "flight": "refused" }), "{told}");
}
