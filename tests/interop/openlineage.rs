//! The lineage that the node exports, checked by pip's `jsonschema` against the schemas that OpenLineage publishes.

use lingqu_tests::node::{Ended, run};
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::node::played;

fn export(directory: &str, more: &[&str]) -> Ended {
    let mut arguments = vec!["lineage", "export", "--dir", directory];
    arguments.extend(more);
    let ended = run(&arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    ended
}

#[tokio::test(flavor = "multi_thread")]
async fn exported_lineage_is_valid_and_holds_no_text_of_a_query() {
    let Some(python) = python() else { return };
    let demo = played();
    // Beside the running node, with a delivery whose statement has a literal and an alias of its own.
    let served = demo.serve();
    let order = demo.order_by("rows");
    let asked =
        format!("SELECT count(*) AS alias_kumquat FROM {} WHERE 'literal-kumquat' <> 'other-kumquat'", order.product);
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let request = client.post(format!("{}/data/v1/{}/query", served.node.url, order.product)).bearer_auth(&order.key);
    let body = json!({ "sql": asked }).to_string();
    let reply = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
    assert_eq!(reply.status(), 200, "{}", reply.text().await.expect("a body"));
    reply.bytes().await.expect("the whole answer");
    let directory = served.directory.path().display().to_string();
    let exported = export(&directory, &[]).stdout;
    assert!(!exported.contains("kumquat"), "what a consumer wrote is in the lineage");
    for secret in ["SELECT", "select ", "lqk_"] {
        assert!(!exported.contains(secret), "{secret} is in the lineage");
    }
    let file = served.directory.path().join("events.ndjson");
    std::fs::write(&file, &exported).expect("the copy's directory is writable");
    let ended = script(&python, "openlineage.py", &[&file.display().to_string()]);
    let report: Value = serde_json::from_str(&ended.stdout).expect("the script prints JSON");
    assert_eq!(report["faults"], json!([]), "{report:#}");
    assert_eq!(report["broken_runs"], json!({}), "{report:#}");
    let found = report["found_in_broken"].as_array().expect("a list");
    assert!(
        found.len() == 5 && found.iter().all(|count| count.as_u64() > Some(0)),
        "the check passes anything: {report:#}"
    );
    assert!(report["kinds"]["JOB"].as_u64() > Some(0) && report["kinds"]["COMPLETE"].as_u64() > Some(0), "{report:#}");
    for facet in ["schema", "columnLineage", "documentation", "ownership", "jobType", "outputStatistics", "version"] {
        assert!(
            report["facets"].as_array().is_some_and(|facets| facets.contains(&json!(facet))),
            "{facet}: {report:#}"
        );
    }
    // A range of time: what is before its beginning and after its end adds up to the whole.
    let events: Vec<Value> = exported.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let middle = events[events.len() / 2]["eventTime"].as_str().expect("a time").to_owned();
    let before = export(&directory, &["--to", &middle]).stdout.lines().count();
    let after = export(&directory, &["--from", &middle]).stdout.lines().count();
    assert_eq!(before + after, events.len());
    assert!(before > 0 && after > 0);
}
