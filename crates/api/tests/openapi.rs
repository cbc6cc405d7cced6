//! The OpenAPI document is a contract: it is committed, and the console's client is generated from it.

use std::path::Path;

/// Fails when the handlers say something else than `golden/openapi.json`. Set `UPDATE_GOLDEN=1` to write it anew, then
/// generate the client with `npm run client` in `web/`.
#[test]
fn the_document_is_the_committed_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/openapi.json");
    let document = lingqu_api::openapi_json();
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some() && std::env::var_os("CI").is_none();
    if is_update {
        std::fs::write(&path, &document).unwrap();
        return;
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == document,
        "crates/api/golden/openapi.json is stale: run UPDATE_GOLDEN=1 cargo test -p lingqu-api, look at the difference, \
         and run `npm run client` in web/"
    );
}

/// Every operation has an id of its own, a tag, and problem documents for its refusals.
#[test]
fn operations_are_complete() {
    let document: serde_json::Value = serde_json::from_str(&lingqu_api::openapi_json()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no id"));
            assert!(ids.insert(id.to_owned()), "{id} is used twice");
            assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{method} {path} has one tag");
            if method != "get" && id != "sign_in" && id != "sign_out" {
                let statuses = operation["responses"].as_object().unwrap();
                assert!(statuses.contains_key("401") && statuses.contains_key("403"), "{id} can be refused");
            }
        }
    }
    assert!(ids.len() > 45, "only {} operations", ids.len());
}

/// Every schema that is named is there, so that any generator can read the document.
#[test]
fn references_are_answered() {
    let document: serde_json::Value = serde_json::from_str(&lingqu_api::openapi_json()).unwrap();
    let mut named = std::collections::BTreeSet::new();
    collect(&document, &mut named);
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let missing: Vec<&String> = named.iter().filter(|name| !schemas.contains_key(*name)).collect();
    assert!(missing.is_empty(), "name these in document.rs: {missing:?}");
}

fn collect(value: &serde_json::Value, named: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(fields) => {
            if let Some(name) = fields.get("$ref").and_then(|name| name.as_str()?.strip_prefix("#/components/schemas/"))
            {
                named.insert(name.to_owned());
            }
            fields.values().for_each(|value| collect(value, named));
        }
        serde_json::Value::Array(items) => items.iter().for_each(|value| collect(value, named)),
        _ => {}
    }
}
