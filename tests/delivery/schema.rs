//! `information_schema` over HTTP: what it tells, in every format and in every mode, and that it leaves no receipt and costs
//! nothing.

use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{
    Ordered, TRIP_CHECK, TRIP_GUARDED, TRIP_MARKED, TRIP_MARKED_OMITTED, TRIP_RECORDS, TRIP_STATISTICS, Who,
};
use serde_json::{Value, json};

use crate::served::{Reply, Served};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::Scenario;

const COLUMNS: &str =
    "SELECT column_name, data_type, column_comment FROM information_schema.columns ORDER BY ordinal_position";

fn names(reply: &Reply) -> Vec<String> {
    let body = reply.json();
    body["rows"].as_array().unwrap().iter().map(|row| row["column_name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_views_tell_of_the_orders_table_and_cost_nothing() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (1, 0)).await;
    let head = served.receipt_head().await;
    let ask = async |sql: &str| served.post(&order, "/query", json!({ "sql": sql })).await;

    let reply = ask(COLUMNS).await.ok();
    let body = reply.json();
    assert_eq!((&body["receipt"], &body["nature"], &body["row_count"]), (&Value::Null, &json!("REAL"), &json!(6)));
    assert_eq!(names(&reply), ["trip_id", "line", "day", "delay", "vehicle", "note"]);
    assert_eq!(body["rows"][0]["data_type"], "bigint");
    assert_eq!(body["rows"][2], json!({"column_name": "day", "data_type": "date", "column_comment": "day 的含义"}));
    assert!(reply.header("delivery-receipt").is_none() && reply.header("etag").is_none());
    assert_eq!(reply.header("cache-control"), Some("no-store"));
    let tables = ask("SELECT table_schema, table_name, table_comment FROM INFORMATION_SCHEMA.TABLES").await.ok().json();
    let table = json!({"table_schema": "data", "table_name": TRIP_RECORDS, "table_comment": "trip_records：测试产品"});
    assert_eq!(tables["rows"], json!([table]));
    let key = "SELECT k.column_name FROM information_schema.table_constraints c \
               JOIN lingqu.information_schema.key_column_usage k ON c.constraint_name = k.constraint_name";
    assert_eq!(names(&ask(key).await.ok()), ["trip_id"]);
    let views = ask("SELECT * FROM information_schema.views").await.ok().json();
    assert_eq!(views["rows"], json!([]));

    // In every format.
    for (format, holds) in [
        ("csv", "line,text,line 的含义".as_bytes()),
        ("ndjson", "\"column_comment\":\"line 的含义\"".as_bytes()),
        ("arrow", "line 的含义".as_bytes()),
        ("parquet", b"PAR1"),
    ] {
        let reply = served.post(&order, "/query", json!({"sql": COLUMNS, "format": format})).await.ok();
        assert!(reply.body.windows(holds.len()).any(|part| part == holds), "{format}: {}", reply.text());
    }

    // What they may be asked with is what data may be asked with, and not together with data.
    for (sql, status, code) in [
        ("SELECT * FROM information_schema.tables t JOIN trip_records r ON true", 422, "schema_asked_with_data"),
        (
            "SELECT line FROM trip_records WHERE line IN (SELECT table_name FROM information_schema.tables)",
            422,
            "schema_asked_with_data",
        ),
        (
            "SELECT table_name FROM information_schema.tables UNION SELECT line FROM trips",
            422,
            "schema_asked_with_data",
        ),
        ("SELECT * FROM information_schema.df_settings", 403, "table_not_granted"),
        ("SELECT * FROM information_schema.tables, information_schema.trips", 403, "table_not_granted"),
        ("SELECT secret FROM information_schema.tables", 403, "column_not_granted"),
        ("SELECT repeat(table_name, 9) FROM information_schema.tables", 422, "function_not_allowed"),
        ("SELECT * FROM information_schema.tables, generate_series(1, 9)", 422, "schema_asked_with_data"),
        ("EXPLAIN SELECT * FROM information_schema.tables", 403, "table_not_granted"),
        ("DELETE FROM information_schema.tables", 422, "statement_not_allowed"),
        (
            "SELECT a.column_name FROM information_schema.columns a, information_schema.columns b, information_schema.columns c, information_schema.columns d, information_schema.columns e, information_schema.columns f",
            422,
            "rows_limit_exceeded",
        ),
    ] {
        assert_eq!(ask(sql).await.problem(), (status, code.to_owned()), "{sql}");
    }

    // The one call is still there, and when it is spent the views are still told.
    assert_eq!(served.receipt_head().await, head, "the views leave no receipt");
    ask("SELECT count(*) AS n FROM trip_records").await.ok();
    assert_eq!(ask("SELECT count(*) AS n FROM trip_records").await.problem(), (403, "quota_exceeded".to_owned()));
    assert_eq!(names(&ask(COLUMNS).await.ok()).len(), 6);

    // Not to whom nothing is granted any more.
    served.scenario.suspend_mandate("数据召回").await;
    assert_eq!(ask(COLUMNS).await.problem(), (403, "grant_suspended".to_owned()));
}

/// What marks do to a copy is told where the table is, so that whoever sums it up by any door reads how much a row weighs.
#[tokio::test(flavor = "multi_thread")]
async fn a_marked_copy_tells_what_was_changed_how_much_a_row_weighs_and_how_many_are_none() {
    let comment = async |served: &Served, order: &Ordered| {
        let sql = "SELECT table_comment FROM information_schema.tables";
        let told = served.post(order, "/query", json!({ "sql": sql })).await.ok().json();
        told["rows"][0]["table_comment"].as_str().unwrap().to_owned()
    };
    let served = Served::of(Scenario::open_marked(400).await, Settings::default()).await;
    let order = served.scenario.order_marked(Who::First, &[Mode::Rows]).await;
    let told = comment(&served, &order).await;
    assert!(told.starts_with("trip_marked：测试产品；") && told.contains("marked columns: delay"), "{told}");
    let weight: f64 = told.split("sampling weight: ").nth(1).unwrap().trim_end_matches(')').parse().unwrap();
    assert!((weight - 1.0 / (1.0 - TRIP_MARKED_OMITTED)).abs() < 1e-6 && !told.contains("decoys"), "{told}");
    // Who is given no value but yes and no has the originals, and is told of no mark.
    let checks = served.scenario.order(Who::Second, TRIP_MARKED, &[Mode::Verification], (10, 0)).await;
    assert_eq!(comment(&served, &checks).await, "trip_marked：测试产品");

    let served = Served::of(Scenario::open_decoyed(3_000).await, Settings::default()).await;
    let order = served.scenario.order_decoyed(Who::First).await;
    let told = comment(&served, &order).await;
    assert!(told.ends_with("(每百万行诱饵至多 decoys per million at most: 1000)"), "{told}");
}

/// Each order sees the columns of its own grant, whatever it may do with them, and a computed column without a meaning.
#[tokio::test(flavor = "multi_thread")]
async fn each_order_sees_its_own_columns() {
    let served = Served::of(Scenario::open_guarded(500).await, Settings::default()).await;
    let scenario = &served.scenario;
    let check = scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (1, 0)).await;
    let statistics = scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (1, 0)).await;
    let guarded = scenario.order(Who::Second, TRIP_GUARDED, &[Mode::Lookup, Mode::Rows], (1, 0)).await;
    for (order, expected) in [
        (&check, &["trip_id", "line", "late"][..]),
        (&statistics, &["trip_id", "line", "day", "delay"][..]),
        (&guarded, &["trip_id", "line", "day", "delay", "vehicle"][..]),
    ] {
        let reply = served.post(order, "/query", json!({ "sql": COLUMNS })).await.ok();
        let found = names(&reply);
        assert!(expected.iter().all(|name| found.contains(&(*name).to_owned()) || *name == "trip_id"), "{found:?}");
        let body = reply.json();
        for row in body["rows"].as_array().unwrap() {
            let name = row["column_name"].as_str().unwrap();
            let comment = &row["column_comment"];
            assert!(expected.contains(&name), "{}: {name}", order.product);
            // `late` is computed: nobody has written what it means.
            let meaning = if name == "late" { Value::Null } else { json!(format!("{name} 的含义")) };
            assert_eq!(comment, &meaning, "{}: {name}", order.product);
        }
    }
    // The coarsened day has the type that it is shown with.
    let sql = "SELECT data_type FROM information_schema.columns WHERE column_name = 'day'";
    let body = served.post(&guarded, "/query", json!({ "sql": sql })).await.ok().json();
    let described = served.get(&guarded, "/openapi.json").await.ok().json();
    let day = &described["components"]["schemas"]["Row"]["properties"]["day"];
    assert_eq!(day["description"].as_str().unwrap().split(" (").next(), Some("day 的含义"), "{day}");
    let is_date = day["format"] == "date";
    assert_eq!(body["rows"][0]["data_type"] == "date", is_date, "{body} {day}");
    let late =
        &served.get(&check, "/openapi.json").await.ok().json()["components"]["schemas"]["Claim"]["properties"]["late"];
    assert!(late.is_object() && late.get("description").is_none(), "{late}");
}
