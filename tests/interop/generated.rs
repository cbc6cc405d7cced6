//! A client that a generator of others makes from a product's OpenAPI document: it is imported, and its typed calls are answered.

use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::scenario::{Scenario, TRIP_CHECK, TRIP_RECORDS, TRIP_STATISTICS, Who};
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::doors;

#[tokio::test(flavor = "multi_thread")]
async fn a_generated_client_asks_by_its_types() {
    let Some(python) = python() else { return };
    let scenario = Scenario::open(None, 2_000).await;
    let orders = [
        scenario.order(Who::First, TRIP_RECORDS, &[Mode::Lookup, Mode::Rows, Mode::File], (100, 10)).await,
        scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await,
        scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (100, 0)).await,
    ];
    let http = doors::http(Deliveries::new(scenario.app.clone(), Settings::default())).await;
    let folder = scenario.directory().join("generated");
    std::fs::create_dir_all(&folder).unwrap();
    let mut arguments = vec![format!("{http}/data/v1"), folder.display().to_string()];
    for order in &orders {
        arguments.extend([order.product.to_owned(), order.key.clone()]);
    }
    let ended = tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        script(&python, "generated.py", &arguments)
    });
    let told: Value = serde_json::from_str(&ended.await.unwrap().stdout).unwrap();

    // The statement by itself, as text, is another body that the generator has no call for; and that is all it lacks.
    let warnings = json!(["Unsupported content type text/plain"]);
    let day = |day: &str| json!({"date": day});
    let expected = json!({
        "rows": [200, "RowsResponse200", ["trip_id", "day", "delay"],
            [[16, day("2025-03-17"), 16], [11, day("2025-03-12"), 11], [6, day("2025-03-07"), 6]]],
        "nature": ["RowsResponse200Nature", "REAL"],
        "next": [200, [1], null],
        "lookup": [200, "LookupRow", "L0", day("2025-03-05")],
        "batch": [200, [[61, "L1"], null, [62, "L2"]]],
        "query": [200, "QueryResponse200", [["L0", 400], ["L1", 400]]],
        "refused": [403, "Problem", "column_not_granted"],
        "export": [200, "str", ["line", "L0", "L1"]],
        "warnings": warnings,
    });
    assert_eq!(told["records"], expected);
    let expected = json!({
        "match": [200, "VerifyResponse200Type0", "match"],
        "mismatch": [200, "VerifyResponse200Type0", "mismatch"],
        "not_found": [200, "VerifyResponse200Type0", "not_found"],
        "several": [200, ["match", "mismatch"]],
        "warnings": [],
    });
    assert_eq!(told["verification"], expected);
    let expected = json!({
        "query": [200, [["L0", 400]], 2],
        "refused": [422, "Problem", "not_an_aggregate"],
        "warnings": warnings,
    });
    assert_eq!(told["statistics"], expected);
}
