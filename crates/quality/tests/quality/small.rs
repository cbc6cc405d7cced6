//! Small tables: what each demand counts, and what it leaves alone.

use std::sync::Arc;

use lingqu_domain::scope::ColumnName;
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::source::{DeclaredColumn, Source, SourceOptions};
use lingqu_engine::{ColumnType, Limits, TableFiles};
use lingqu_quality::{Dimension, QualityError, RuleSet, run};
use serde_json::{Value, json};

use crate::{Bench, by_rule};

const NOW: &str = "2026-11-24T04:00:00Z";

/// Row numbers from 0. `order` is a reserved word; the second name holds a quote.
const PEOPLE: &str = "\
id,name,age,order,born_on,seen_at,low,high,identity,credit,parent
1,Ann,30,x,1990-01-01,2026-11-20T00:00:00Z,1,2,11010519491231002X,91350100M000100Y43,
2,O'Neil,-1,x,2030-01-01,2026-11-21T00:00:00Z,2,2,110105194912310021,91350100M000100Y44,1
3,,200,y,1990-01-01,,3,2,11010519491231002x,91350100I000100Y43,9
4,Ann,,y,,2026-11-22T12:00:00Z,,5,,,2
4,Bob,41,zz,1980-02-30x,2026-11-19T00:00:00Z,7,,123,,
";
const CITIES: &str = "\
code,kind
x,old
y,new
";

fn rule(id: &str, columns: Value, demand: Value) -> Value {
    json!({
        "id": id, "dimension": "accurate", "table": "people", "columns": columns, "severity": "medium",
        "opens_ticket": true, "sentence": "规则", "sentence_en": "a rule", "demand": demand,
    })
}

fn rule_set(rules: Vec<Value>) -> RuleSet {
    RuleSet::from_json(&json!({"name": "small", "version": "1", "rules": rules}).to_string()).unwrap()
}

async fn people() -> Bench {
    let mut bench = Bench::new();
    bench.table("people", PEOPLE).await;
    bench.table("cities", CITIES).await;
    bench
}

/// Checks one rule: rows looked at, failing rows, failing keys, examples.
async fn expect(bench: &Bench, rule: Value, checked: u64, failing: u64, keys: Option<u64>, examples: &[u64]) {
    let report = bench.run(&rule_set(vec![rule.clone()]), NOW).await.unwrap();
    let found = &report.findings[0];
    let counts = (found.checked_count, found.failing_count, found.failing_key_count);
    assert_eq!((counts, found.example_rows.as_slice()), ((checked, failing, keys), examples), "{rule}");
}

#[tokio::test]
async fn each_demand_counts_what_it_says_and_leaves_missing_values_alone() {
    let bench = people().await;
    let only = |mut rule: Value, conditions: Value| {
        rule["only_where"] = conditions;
        rule
    };
    let cases = [
        (rule("r", json!(["name"]), json!("not_null")), 5, 1, None, vec![2]),
        (rule("r", json!(["name", "age"]), json!("not_null")), 5, 2, None, vec![2, 3]),
        (rule("r", json!(["id"]), json!("unique")), 5, 2, Some(1), vec![3, 4]),
        (rule("r", json!(["name"]), json!("unique")), 4, 2, Some(1), vec![0, 3]),
        (rule("r", json!(["name", "order"]), json!("unique")), 4, 0, Some(0), vec![]),
        (
            rule("r", json!(["age"]), json!({"in_range": {"min": {"number": 0}, "max": {"number": 150}}})),
            4,
            2,
            None,
            vec![1, 2],
        ),
        (rule("r", json!(["age"]), json!({"in_range": {"min": {"number": 29.5}}})), 4, 1, None, vec![1]),
        // A text column that should hold days: 1980-02-30x can't be read and fails.
        (rule("r", json!(["born_on"]), json!({"in_range": {"max": "now"}})), 4, 2, None, vec![1, 4]),
        (rule("r", json!(["born_on"]), json!({"in_range": {"min": {"time": "1990-01-01"}}})), 4, 1, None, vec![4]),
        (
            rule("r", json!(["seen_at"]), json!({"in_range": {"max": {"time": "2026-11-21T00:00:00Z"}}})),
            4,
            1,
            None,
            vec![3],
        ),
        (rule("r", json!(["seen_at"]), json!({"in_range": {"max": "now"}})), 4, 0, None, vec![]),
        (rule("r", json!(["name"]), json!({"matches": {"pattern": "[A-Z][a-z]+|O'.*"}})), 4, 0, None, vec![]),
        (rule("r", json!(["name"]), json!({"matches": {"pattern": "Ann|B"}})), 4, 2, None, vec![1, 4]),
        (rule("r", json!(["age"]), json!({"matches": {"pattern": "\\d{2}"}})), 4, 2, None, vec![1, 2]),
        (rule("r", json!(["name"]), json!({"one_of": {"values": ["O'Neil", "Ann"]}})), 4, 1, None, vec![4]),
        (rule("r", json!(["age"]), json!({"one_of": {"values": ["30", "41"]}})), 4, 2, None, vec![1, 2]),
        (rule("r", json!(["born_on"]), json!({"of_type": {"of": "date"}})), 4, 1, None, vec![4]),
        (rule("r", json!(["name"]), json!({"of_type": {"of": "number"}})), 4, 4, None, vec![0, 1, 3, 4]),
        (rule("r", json!(["low"]), json!({"compares": {"operator": "at_most", "to": "high"}})), 3, 1, None, vec![2]),
        (rule("r", json!(["low"]), json!({"compares": {"operator": "equal", "to": "high"}})), 3, 2, None, vec![0, 2]),
        (
            rule("r", json!(["identity"]), json!({"check_character": {"scheme": "citizen_identity"}})),
            4,
            2,
            None,
            vec![1, 4],
        ),
        (rule("r", json!(["credit"]), json!({"check_character": {"scheme": "social_credit"}})), 3, 2, None, vec![1, 2]),
        (
            rule("r", json!(["order"]), json!({"exists_in": {"table": "cities", "columns": ["code"]}})),
            5,
            1,
            Some(1),
            vec![4],
        ),
        // Whole numbers against text, within one table.
        (
            rule("r", json!(["parent"]), json!({"exists_in": {"table": "people", "columns": ["id"]}})),
            3,
            1,
            Some(1),
            vec![2],
        ),
        (
            rule("r", json!(["age"]), json!({"exists_in": {"table": "people", "columns": ["name"]}})),
            4,
            4,
            Some(4),
            vec![0, 1, 2, 4],
        ),
        (
            rule(
                "r",
                json!(["order"]),
                json!({"exists_in": {"table": "cities", "columns": ["code"],
                "only_where": [{"column": "kind", "is": {"one_of": ["new"]}}]}}),
            ),
            5,
            3,
            Some(2),
            vec![0, 1, 4],
        ),
        (
            only(rule("r", json!(["age"]), json!("not_null")), json!([{"column": "order", "is": {"one_of": ["y"]}}])),
            2,
            1,
            None,
            vec![3],
        ),
        (
            only(rule("r", json!(["age"]), json!("not_null")), json!([{"column": "name", "is": {"none_of": ["Ann"]}}])),
            3,
            0,
            None,
            vec![],
        ),
        (
            only(rule("r", json!(["id"]), json!("unique")), json!([{"column": "age", "is": "not_null"}])),
            4,
            0,
            Some(0),
            vec![],
        ),
        (
            only(rule("r", json!(["low"]), json!("not_null")), json!([{"column": "born_on", "is": "null"}])),
            1,
            1,
            None,
            vec![3],
        ),
        (
            only(rule("r", json!(["age"]), json!("not_null")), json!([{"column": "order", "is": {"matches": "z+|y"}}])),
            3,
            1,
            None,
            vec![3],
        ),
        (rule("r", json!([]), json!({"rows_at_least": {"count": 5}})), 1, 0, None, vec![]),
        (rule("r", json!([]), json!({"rows_at_least": {"count": 6}})), 1, 1, None, vec![]),
        (rule("r", json!(["seen_at"]), json!({"newest_within": {"days": 1}})), 1, 0, None, vec![]),
        (rule("r", json!(["seen_at"]), json!({"newest_within": {"days": 0}})), 1, 1, None, vec![]),
    ];
    for (rule, checked, failing, keys, examples) in cases {
        expect(&bench, rule, checked, failing, keys, &examples).await;
    }
}

/// What is no number is above all numbers where they are compared, and a text of digits is not what the number is.
#[tokio::test]
async fn a_text_that_is_no_number_is_in_no_range() {
    let mut bench = Bench::new();
    bench.table("people", "amount,least,most\nNaN,9,10\ninf,11,10\n5,5,5\n-1,9,x\n1e400,100,9\n").await;
    let cases = [
        (rule("r", json!(["amount"]), json!({"in_range": {"min": {"number": 0}}})), vec![0, 1, 3, 4]),
        (rule("r", json!(["amount"]), json!({"in_range": {"max": {"number": 9}}})), vec![0, 1, 4]),
        (rule("r", json!(["amount"]), json!({"of_type": {"of": "number"}})), vec![0, 1, 4]),
        (rule("r", json!(["least"]), json!({"compares": {"operator": "at_most", "to": "most"}})), vec![1, 3, 4]),
        (rule("r", json!(["least"]), json!({"compares": {"operator": "equal", "to": "most"}})), vec![0, 1, 3, 4]),
    ];
    for (rule, examples) in cases {
        expect(&bench, rule, 5, examples.len() as u64, None, &examples).await;
    }
}

#[tokio::test]
async fn a_bound_beside_decimals_is_the_number_that_it_says() {
    let mut bench = Bench::new();
    let path = bench.directory.path().join("people.csv");
    std::fs::write(&path, "amount\n1234567.88\n1234567.89\n1234567.90\n").unwrap();
    let amount = DeclaredColumn {
        header: "amount".to_owned(),
        aliases: Vec::new(),
        name: ColumnName::new("amount").unwrap(),
        column_type: ColumnType::Decimal { precision: 38, scale: 6 },
    };
    let source =
        Source::open(&path, SourceOptions { declared: Some(vec![amount]), ..SourceOptions::default() }).unwrap();
    let store = SnapshotStore::open(&bench.directory.path().join("snapshots")).unwrap();
    bench.tables.push(("people".to_owned(), store.write_source("people", &source).await.unwrap().files));
    for (range, example) in
        [(json!({"max": {"number": 1_234_567.89}}), 2), (json!({"min": {"number": 1_234_567.89}}), 0)]
    {
        expect(&bench, rule("r", json!(["amount"]), json!({"in_range": range})), 3, 1, None, &[example]).await;
    }
}

#[tokio::test]
async fn an_empty_table_has_nothing_to_fail_but_its_emptiness() {
    let mut bench = Bench::new();
    bench.table("people", "id,name\n").await;
    let report = bench
        .run(
            &rule_set(vec![
                rule("a", json!(["id"]), json!("not_null")),
                rule("b", json!(["id"]), json!("unique")),
                rule("c", json!([]), json!({"rows_at_least": {"count": 1}})),
                rule("d", json!(["name"]), json!({"newest_within": {"days": 10}})),
            ]),
            NOW,
        )
        .await
        .unwrap();
    let counts: Vec<(u64, u64)> =
        report.findings.iter().map(|finding| (finding.checked_count, finding.failing_count)).collect();
    assert_eq!(counts, [(0, 0), (0, 0), (1, 1), (1, 1)]);
    assert_eq!(report.findings[3].age_days, None);
}

#[tokio::test]
async fn examples_are_the_first_rows_and_at_most_twenty() {
    let mut bench = Bench::new();
    let mut text = String::from("id,name\n");
    for row in 0..100 {
        text.push_str(&format!("{row},{}\n", if row % 2 == 1 { "" } else { "a" }));
    }
    bench.table("people", &text).await;
    let report = bench.run(&rule_set(vec![rule("a", json!(["name"]), json!("not_null"))]), NOW).await.unwrap();
    let wanted: Vec<u64> = (0..20).map(|index| index * 2 + 1).collect();
    assert_eq!(report.findings[0].example_rows, wanted);
    assert_eq!(report.findings[0].failing_count, 50);
    assert_eq!(report.findings[0].failing_share_ppm, 500_000);
}

#[tokio::test]
async fn a_report_keeps_the_order_of_the_rules_scores_dimensions_and_repeats_itself() {
    let bench = people().await;
    let mut complete = rule("second", json!(["name"]), json!("not_null"));
    complete["dimension"] = json!("complete");
    let mut cities = rule("third", json!(["code"]), json!("unique"));
    cities["table"] = json!("cities");
    cities["opens_ticket"] = json!(false);
    let last = rule("fourth", json!(["age"]), json!({"in_range": {"min": {"number": 0}}}));
    let set = rule_set(vec![rule("first", json!(["id"]), json!("unique")), cities, complete, last]);
    let report = bench.run(&set, NOW).await.unwrap();
    let order: Vec<&str> = report.findings.iter().map(|finding| finding.rule.as_str()).collect();
    assert_eq!(order, ["first", "third", "second", "fourth"]);
    assert_eq!((report.row_count("people"), report.row_count("cities")), (Some(5), Some(2)));

    let scores: Vec<(Dimension, u32, u32, u32)> = report
        .dimensions
        .iter()
        .map(|score| (score.dimension, score.rule_count, score.failing_rule_count, score.score_ppm))
        .collect();
    // Complete: 1 of 5 fails. Accurate: 2 of 5, 0 of 2 and 1 of 4 fail, so (60 + 100 + 75) / 3.
    assert_eq!(scores, [(Dimension::Complete, 1, 1, 800_000), (Dimension::Accurate, 3, 2, 783_333)]);
    assert_eq!(report.dimensions[0].name, "完整性");

    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(text, serde_json::to_string(&bench.run(&set, NOW).await.unwrap()).unwrap());
    assert_eq!(serde_json::from_str::<lingqu_quality::Report>(&text).unwrap(), report);
    assert!(!text.contains("O'Neil") && !text.contains("11010519491231002X"), "no value in a report");

    let results = report.results_of("people");
    assert_eq!(results.len(), 3);
    assert_eq!((results[1].rule.as_str(), results[1].dimension.as_str()), ("second", "complete"));
    assert_eq!((results[1].column.as_str(), results[1].checked_count, results[1].failing_count), ("name", 5, 1));
    assert!(report.results_of("cities").iter().all(|result| !result.opens_ticket));
    let ended = NOW.parse().unwrap();
    assert_eq!(report.finished(ended).finished_at, Some(ended));
}

#[tokio::test]
async fn progress_is_told_before_each_step_and_at_the_end() {
    let bench = people().await;
    let set = rule_set(vec![rule("a", json!(["id"]), json!("unique")), rule("b", json!(["name"]), json!("not_null"))]);
    let tables: Vec<(&str, Arc<TableFiles>)> =
        bench.tables.iter().map(|(name, files)| (name.as_str(), Arc::clone(files))).collect();
    let mut told = Vec::new();
    let mut progress = |step: lingqu_quality::Progress<'_>| {
        told.push((step.rules_done, step.rules, step.table.map(str::to_owned), step.rule.map(str::to_owned)));
    };
    run(&bench.engine, &tables, Limits::default(), &set, NOW.parse().unwrap(), &mut progress).await.unwrap();
    let step = |done: usize, rule: Option<&str>| (done, 2, Some("people".to_owned()), rule.map(str::to_owned));
    assert_eq!(told, [step(0, None), step(0, Some("a")), step(1, Some("b")), (2, 2, None, None)]);
}

#[tokio::test]
async fn a_rule_that_does_not_fit_the_tables_is_named_before_anything_is_read() {
    let bench = people().await;
    let mut lost = rule("lost", json!(["a"]), json!("not_null"));
    lost["table"] = json!("nowhere");
    let cases = [
        (lost, "the quality rule lost names the table nowhere, which is not there"),
        (rule("r", json!(["wealth"]), json!("not_null")), "names the column wealth, which people does not have"),
        (rule("r", json!(["__row"]), json!("unique")), "column"),
        (
            rule("r", json!(["id"]), json!({"exists_in": {"table": "towns", "columns": ["code"]}})),
            "names the table towns, which is not there",
        ),
        (
            rule("r", json!(["id"]), json!({"exists_in": {"table": "cities", "columns": ["town"]}})),
            "names the column town, which cities does not have",
        ),
        (
            rule("r", json!(["seen_at"]), json!({"in_range": {"min": {"number": 1}}})),
            "its column seen_at is a time with offset (YYYY-MM-DDTHH:MM:SSZ), and the demand needs a number",
        ),
        (rule("r", json!(["age"]), json!({"newest_within": {"days": 1}})), "its column must hold days or times"),
    ];
    for (rule, message) in cases {
        let text = json!({"name": "small", "version": "1", "rules": [rule]}).to_string();
        let error = match RuleSet::from_json(&text) {
            Ok(set) => bench.run(&set, NOW).await.unwrap_err(),
            Err(error) => error,
        };
        assert!(error.to_string().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_statement_over_its_limits_is_an_error_of_the_engine() {
    let bench = people().await;
    let tables: Vec<(&str, Arc<TableFiles>)> =
        bench.tables.iter().map(|(name, files)| (name.as_str(), Arc::clone(files))).collect();
    let limits = Limits { bytes_max: 1, ..Limits::default() };
    let set = rule_set(vec![rule("a", json!(["id"]), json!("unique"))]);
    let error = run(&bench.engine, &tables, limits, &set, NOW.parse().unwrap(), &mut |_| {}).await.unwrap_err();
    assert!(matches!(error, QualityError::Engine { ref table, .. } if table == "people"), "{error}");
    assert!(by_rule(&bench.run(&set, NOW).await.unwrap()).contains_key("a"));
}
