//! Rule sets as they are read: what is refused and what is said about it.

use lingqu_quality::RuleSet;
use serde_json::{Value, json};

fn read(rule: Value) -> Result<RuleSet, String> {
    let set = json!({"name": "declared", "version": "1", "rules": [rule]});
    RuleSet::from_json(&set.to_string()).map_err(|error| error.to_string())
}

fn good() -> Value {
    json!({
        "id": "a.b-c_1", "dimension": "normative", "table": "t", "columns": ["a"], "severity": "low",
        "opens_ticket": false, "sentence": "句", "sentence_en": "a sentence", "demand": "not_null",
    })
}

#[test]
fn a_rule_set_is_the_same_after_writing_and_reading() {
    for demand in [
        json!("not_null"),
        json!({"in_range": {"min": {"number": 1.5}, "max": {"number": 3}}}),
        json!({"in_range": {"max": "now"}}),
        json!({"exists_in": {"table": "u", "columns": ["b"], "only_where": [{"column": "c", "is": "null"}]}}),
        json!({"compares": {"operator": "less", "to": "b"}}),
    ] {
        let mut rule = good();
        rule["demand"] = demand;
        let set = read(rule).unwrap();
        assert_eq!(RuleSet::from_json(&serde_json::to_string(&set).unwrap()).unwrap(), set);
    }
}

#[test]
fn a_wrong_rule_is_refused_with_what_to_mend() {
    let long = "x".repeat(1_001);
    let cases = [
        ("id", json!("a b"), "its id must be"),
        ("id", json!(""), "its id must be"),
        ("dimension", json!("beautiful"), "unknown variant"),
        ("columns", json!([]), "its number of columns does not fit"),
        ("columns", json!(["A"]), "is not a column name"),
        ("columns", json!(vec!["a"; 17]), "its number of columns does not fit"),
        ("sentence", json!(""), "its Chinese sentence must be text"),
        ("table", json!(long), "its table must be text"),
        ("demand", json!({"in_range": {}}), "needs `min` or `max`"),
        ("demand", json!({"in_range": {"min": {"number": 1}, "max": "now"}}), "must be numbers, or both times"),
        ("demand", json!({"in_range": {"min": {"time": "yesterday"}}}), "a time is written as"),
        ("demand", json!({"matches": {"pattern": "("}}), "not a regular expression"),
        ("demand", json!({"matches": {"pattern": "a)|(?:b"}}), "not a regular expression"),
        ("demand", json!({"one_of": {"values": []}}), "a list of values has 1 to 10000"),
        ("demand", json!({"exists_in": {"table": "u", "columns": ["a", "b"]}}), "as many columns"),
        ("demand", json!({"rows_at_least": {"count": 1}}), "its number of columns does not fit"),
        ("demand", json!({"guess": {}}), "unknown variant"),
        ("only_where", json!([{"column": "a", "is": {"matches": "["}}]), "not a regular expression"),
        ("extra", json!(1), "unknown field"),
    ];
    for (field, value, message) in cases {
        let mut rule = good();
        rule[field] = value.clone();
        let error = read(rule).unwrap_err();
        assert!(error.contains(message), "{field} = {value}: {error}");
    }
}

#[test]
fn two_rules_with_one_id_and_sets_without_rules_are_refused() {
    let set = |rules: Vec<Value>| RuleSet::from_json(&json!({"name": "s", "version": "1", "rules": rules}).to_string());
    assert!(set(vec![good(), good()]).unwrap_err().to_string().contains("two rules have the id a.b-c_1"));
    assert!(set(vec![]).unwrap_err().to_string().contains("declare 1 to 500"));
    assert!(RuleSet::from_json("{").is_err());
}
