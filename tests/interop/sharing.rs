//! `delta-sharing` from pip: what pandas gets of the demo's data set, and what that leaves in the books.

use lingqu_app::{App, AppSettings};
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::node::{Order, played};

#[tokio::test]
async fn pandas_loads_what_the_export_holds() {
    let Some(python) = python() else { return };
    let demo = played();
    // The one whose consumer has not taken the same file by REST before: that would be free.
    let order = demo.orders().into_iter().rfind(|order| order.modes.iter().any(|mode| mode == "file")).unwrap();
    let without = demo.order_by("verification");
    let served = demo.serve();
    let (sharing, rest) = (format!("{}/delta-sharing", served.node.url), format!("{}/data/v1", served.node.url));
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().to_str().unwrap();
    let ended = script(&python, "sharing.py", &[folder, &sharing, &rest, &order.key, &without.key]);
    let told: Value = serde_json::from_str(ended.stdout.trim_end().lines().last().unwrap()).unwrap();

    assert_eq!(told["shares"], json!([order.id]));
    assert_eq!(told["schemas"], json!(["data"]));
    assert_eq!(told["tables"], json!([[order.id, "data", order.product]]));
    assert_eq!((&told["profile"]["endpoint"], &told["profile"]["bearerToken"]), (&json!(sharing), &json!(order.key)));
    assert_eq!((&told["protocol"], told["version"].as_u64().is_some()), (&json!(1), true));
    let rows = told["rows"].as_u64().unwrap();
    assert!(rows > 300_000 && told["exported"] == rows, "{told}");
    assert_eq!(told["different"], json!([]), "row for row what REST exports");
    assert_eq!(told["columns"], told["declared"]);
    // Each column is one of the catalogue's, and bears its meaning.
    assert_eq!(told["comments"]["carrier"], "承运人代码");
    assert_eq!(told["comments"]["time_hour"], "计划离港整点（UTC）");
    let comments = told["comments"].as_object().unwrap();
    assert!(comments.values().all(Value::is_string), "{comments:?}");
    assert!(told["description"].as_str().unwrap().contains('：'), "{told}");
    assert_eq!(told["empty"], json!([0, told["columns"]]));
    assert_eq!((&told["hinted"], &told["in_batches"]), (&json!(true), &json!(true)));
    assert_eq!(told["without"], json!([403, "mode_not_granted"]));
    // Refused at once: the client asks on for minutes at 429 and 5xx.
    let refused = &told["refused"];
    for wrong in ["delta", "past", "changes"] {
        assert_eq!(refused[wrong], json!([400, "malformed_request", true]), "{wrong}");
    }
    assert_eq!(refused["other"], json!([404, "not_shared", true]));
    assert!(served.node.stop().success());
    charged(&order, served.directory.path(), rows).await;
}

/// Of all that the script did, one data set was charged over Delta Sharing: four loads, some hundred requests for pieces.
async fn charged(order: &Order, directory: &std::path::Path, rows: u64) {
    let settings = AppSettings::of(directory.to_owned());
    let app = App::open(settings).await.unwrap();
    let records = app.order_receipts(&order.id.parse().unwrap(), 0, 100_000).await.unwrap();
    let mut closed = Vec::new();
    for (_, record) in &records {
        let ReceiptBody::Opened(opening) = &record.body else { continue };
        if opening.protocol != "delta_sharing" {
            continue;
        }
        let ending = records.iter().find_map(|(_, other)| match &other.body {
            ReceiptBody::Closed { outcome, totals } if other.receipt == record.receipt => Some((outcome, totals)),
            _ => None,
        });
        let (outcome, totals) = ending.expect("every delivery was closed");
        assert_eq!((outcome, totals.rows), (&Outcome::Delivered, rows));
        closed.push(totals.data_sets);
    }
    assert_eq!(closed, [1]);
    app.close().await.unwrap();
}
