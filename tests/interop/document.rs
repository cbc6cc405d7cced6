//! The OpenAPI document of a product, checked by pip's `jsonschema` against the published schema, and against what the node
//! answers when it is asked as the document says.

use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::node::played;

#[test]
fn the_node_answers_as_its_documents_say() {
    let Some(python) = python() else { return };
    let demo = played();
    let served = demo.serve();
    let rest = format!("{}/data/v1", served.node.url);
    let orders = ["file", "verification", "statistics"].map(|mode| demo.order_by(mode));
    let mut arguments = vec![rest.as_str()];
    for order in &orders {
        arguments.extend([order.product.as_str(), order.key.as_str()]);
    }
    let ended = script(&python, "document.py", &arguments);
    let told: Value = serde_json::from_str(&ended.stdout).unwrap();
    let [records, check, statistics] = orders.map(|order| told[order.product].clone());
    for report in [&records, &check, &statistics] {
        assert_eq!(report["faults"], json!([]), "{report:#}");
    }
    let nothing: [&str; 0] = [];
    assert_eq!(
        records["answers"],
        json!({
            "export": ["206", nothing], "lookup": ["200", nothing], "lookupBatch": ["200", nothing],
            "query": ["200", nothing], "rows": ["200", nothing],
        })
    );
    assert_eq!(check["answers"], json!({"verify": ["200", nothing]}));
    assert_eq!(statistics["answers"], json!({"query": ["200", nothing]}));
}
