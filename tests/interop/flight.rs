//! Arrow Flight SQL by pip's ADBC driver, and by pyarrow for the calls that the JDBC driver makes and for those that no
//! honest client makes.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_gateway::flight;
use lingqu_tests::quota::differing_accounts;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_CHECK, TRIP_RECORDS, TRIP_STATISTICS, Trip, Who};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clients::{python, script};
use crate::node::played;

const RECORDS: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];

/// A scenario that answers Flight SQL.
struct Served {
    scenario: Scenario,
    url: String,
    python: std::path::PathBuf,
    _stop: watch::Sender<bool>,
}

impl Served {
    /// None where the clients are missing.
    async fn open(trips: usize) -> Option<Served> {
        Some(Served::open_with(python()?, trips, None).await)
    }

    async fn open_with(python: std::path::PathBuf, trips: usize, tls: Option<Arc<ServerConfig>>) -> Served {
        let scenario = Scenario::open(None, trips).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("grpc://{}", listener.local_addr().unwrap());
        let (stop, stopped) = watch::channel(false);
        let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
        tokio::spawn(async move { flight::serve(deliveries, listener, tls, 64, stopped).await.unwrap() });
        Served { scenario, url, python, _stop: stop }
    }

    /// What a check of the script says, for an order.
    async fn run(&self, check: &'static str, order: &Ordered, more: Value) -> Value {
        let mut arguments = json!({"url": self.url, "key": order.key, "table": order.product});
        for (name, value) in more.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        let (python, arguments) = (self.python.clone(), arguments.to_string());
        let ended = tokio::task::spawn_blocking(move || script(&python, "flight.py", &[check, &arguments]));
        serde_json::from_str(&ended.await.unwrap().stdout).unwrap()
    }

    async fn head(&self) -> u64 {
        self.scenario.app.receipts().head().await.unwrap()
    }

    /// The deliveries whose first record is after a position, once all of them are closed, in their order.
    async fn since(&self, position: u64) -> Vec<Delivery> {
        for _ in 0..200 {
            let deliveries = self.deliveries(position).await;
            if deliveries.iter().all(|delivery| delivery.outcome.is_some()) {
                return deliveries;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!("a delivery was not closed within ten seconds");
    }

    async fn deliveries(&self, position: u64) -> Vec<Delivery> {
        let log = self.scenario.app.receipts();
        let mut deliveries: Vec<Delivery> = Vec::new();
        for position in position + 1..=self.head().await {
            let stored = log.read(position).await.unwrap().unwrap();
            let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record).unwrap();
            let receipt = record.receipt.to_string();
            match record.body {
                ReceiptBody::Opened(opening) => deliveries.push(Delivery {
                    receipt,
                    mode: opening.mode,
                    protocol: opening.protocol,
                    named: 0,
                    outcome: None,
                    totals: Totals::default(),
                }),
                ReceiptBody::Single { opening, totals, .. } => deliveries.push(Delivery {
                    receipt,
                    mode: opening.mode,
                    protocol: opening.protocol,
                    named: totals.rows,
                    outcome: Some(Outcome::Delivered),
                    totals,
                }),
                ReceiptBody::Part { rows, .. } => Delivery::of(&mut deliveries, &receipt).named += rows,
                ReceiptBody::Closed { outcome, totals } => {
                    let delivery = Delivery::of(&mut deliveries, &receipt);
                    delivery.outcome = Some(outcome);
                    delivery.totals = totals;
                }
            }
        }
        deliveries
    }
}

/// What the receipts say of one delivery.
#[derive(Debug)]
struct Delivery {
    receipt: String,
    mode: Mode,
    protocol: String,
    named: u64,
    outcome: Option<Outcome>,
    totals: Totals,
}

impl Delivery {
    fn of<'a>(deliveries: &'a mut [Delivery], receipt: &str) -> &'a mut Delivery {
        deliveries.iter_mut().find(|delivery| delivery.receipt == receipt).expect("a delivery is opened first")
    }
}

/// The text of an error that a client showed.
fn text(result: &Value) -> &str {
    result["text"].as_str().unwrap_or_else(|| panic!("it was not refused: {result}"))
}

#[track_caller]
fn assert_refused(result: &Value, code: &str) {
    assert!(text(result).contains(code), "{code} was expected: {result}");
    for foreign in ["DataFusion", "ArrowError", "panicked", "Cannot cast"] {
        assert!(!text(result).contains(foreign), "{result}");
    }
}

/// Catalogue, rows and parameters by bearer and by user and password; each answer has a receipt with exactly its rows.
#[tokio::test(flavor = "multi_thread")]
async fn adbc_reads_what_was_granted() {
    let Some(served) = Served::open(2_000).await else { return };
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (100, 3)).await;
    let head = served.head().await;

    let seen = served.run("catalogue", &order, json!({})).await;
    let columns = ["trip_id", "line", "day", "delay", "vehicle", "note"];
    let object =
        json!({"catalog": "lingqu", "schema": "data", "table": TRIP_RECORDS, "type": "TABLE", "columns": columns});
    assert_eq!(seen["objects"], json!([object]));
    assert_eq!(seen["types"], json!(["TABLE"]));
    assert_eq!(seen["info"]["vendor_name"], "Lingqu");
    let names: Vec<&str> =
        seen["columns"].as_array().unwrap().iter().map(|column| column[0].as_str().unwrap()).collect();
    assert_eq!(names, columns);
    assert_eq!(seen["columns"][0], json!(["trip_id", "int64"]));
    assert_eq!(seen["remarks"], json!(columns.map(|column| format!("{column} 的含义"))));
    assert_eq!(served.head().await, head, "looking around leaves no receipt");

    // The same by statements, prepared as well.
    let views = json!([
        "SELECT table_schema, table_name, table_comment FROM information_schema.tables",
        [
            "SELECT column_name, column_comment, ordinal_position FROM information_schema.columns WHERE column_name = ?",
            ["day"]
        ],
        "SELECT count(*) AS n FROM information_schema.columns",
    ]);
    let told = served.run("query", &order, json!({ "statements": views })).await;
    assert_eq!(told[0]["ok"]["rows"], json!([["data", TRIP_RECORDS, "trip_records：测试产品"]]), "{told}");
    assert_eq!(told[1]["ok"]["rows"], json!([["day", "day 的含义", 3]]), "{told}");
    assert_eq!(told[2]["ok"], json!({"columns": [["n", "int64"]], "rows": [[6]]}), "{told}");
    assert_eq!(served.head().await, head, "asking for it leaves no receipt");

    let statements = json!([
        format!("SELECT trip_id, line, delay FROM {TRIP_RECORDS} WHERE trip_id < 100 ORDER BY trip_id"),
        format!("SELECT t.trip_id FROM \"lingqu\".\"data\".\"{TRIP_RECORDS}\" AS t LIMIT 3"),
        [
            format!("SELECT trip_id, line FROM {TRIP_RECORDS} WHERE trip_id=? OR line = ? AND trip_id < ?"),
            [60, "L9", 1_500]
        ],
        [format!("SELECT trip_id FROM {TRIP_RECORDS} WHERE line = ?"), ["x' OR '1'='1"]],
        [format!("SELECT count(*) AS n FROM {TRIP_RECORDS} WHERE day = ?"), [Trip::of(5).day]],
        [format!("SELECT trip_id FROM {TRIP_RECORDS} ORDER BY trip_id LIMIT ?"), [2]],
        [
            format!(
                "SELECT delay FROM {TRIP_RECORDS} WHERE delay > ? AND delay IS NOT NULL ORDER BY delay DESC LIMIT 1"
            ),
            [117.5]
        ],
    ]);
    for user in [None, Some(order.id.as_str()), Some(TRIP_RECORDS)] {
        let head = served.head().await;
        let mut arguments = json!({"statements": statements});
        if let Some(user) = user {
            arguments["user"] = json!(user);
        }
        let results = served.run("query", &order, arguments).await;
        let rows = |index: usize| {
            let result = &results[index]["ok"]["rows"];
            result.as_array().unwrap_or_else(|| panic!("{}", results[index])).clone()
        };
        let expected: Vec<Value> =
            (0..100).map(Trip::of).map(|trip| json!([trip.trip_id, trip.line, trip.delay])).collect();
        assert_eq!(rows(0), expected);
        assert_eq!(rows(1).len(), 3);
        let mut found = rows(2);
        found.sort_by_key(|row| row[0].as_u64());
        assert_eq!(found, [json!([60, "L0"]), json!([999, "L9"])]);
        assert!(rows(3).is_empty());
        let on_day = (0..2_000).filter(|trip| Trip::of(*trip).day == Trip::of(5).day).count();
        assert_eq!(rows(4), [json!([on_day])]);
        assert_eq!(rows(5), [json!([0]), json!([1])]);
        assert_eq!(rows(6), [json!([119])]);

        let deliveries = served.since(head).await;
        assert_eq!(deliveries.len(), 7);
        for (delivery, index) in deliveries.iter().zip(0..) {
            assert_eq!((delivery.mode, delivery.protocol.as_str()), (Mode::Rows, "flight_sql"));
            assert_eq!(delivery.outcome, Some(Outcome::Delivered));
            assert_eq!(delivery.totals.answer_rows, rows(index).len() as u64);
            assert_eq!(delivery.named, delivery.totals.rows);
            assert_eq!(delivery.totals.calls, 1);
            assert_eq!(delivery.totals.bytes > 0, !rows(index).is_empty());
        }
        assert_eq!((deliveries[0].named, deliveries[2].named, deliveries[4].named), (100, 2, on_day as u64));
    }
    let prepared = format!("SELECT line FROM {TRIP_RECORDS} WHERE trip_id = ?");
    let result = served.run("prepared", &order, json!({"sql": prepared, "values": [[1], [2], [5_000]]})).await;
    assert_eq!(result, json!({"parameters": ["int64"], "rows": [[["L1"]], [["L2"]], []]}));
    let head = served.head().await;
    let sql = format!("SELECT trip_id, line FROM {TRIP_RECORDS}");
    let described = served.run("described", &order, json!({"sql": sql})).await;
    assert_eq!(described["ok"], json!([["trip_id", "int64"], ["line", "string"]]), "{described}");
    let hidden = format!("SELECT secret FROM {TRIP_RECORDS}");
    assert_refused(&served.run("described", &order, json!({"sql": hidden})).await, "column_not_granted");
    assert_eq!(served.head().await, head, "to describe is to deliver nothing");
}

/// What is refused names its code and quotes no value; it leaves no receipt and costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn refusals_name_a_code_and_no_value() {
    let Some(served) = Served::open(2_000).await else { return };
    let set = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (1, 0)).await;
    let check = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (1, 0)).await;
    let head = served.head().await;
    let refused = [
        (json!(format!("SELECT secret FROM {TRIP_RECORDS}")), "column_not_granted"),
        (json!(format!("SELECT * FROM {TRIP_CHECK}")), "table_not_granted"),
        (json!("SELECT * FROM trips"), "table_not_granted"),
        (json!("SELECT * FROM information_schema.df_settings"), "table_not_granted"),
        (json!(format!("SELECT * FROM information_schema.tables, {TRIP_RECORDS}")), "schema_asked_with_data"),
        (json!("SELECT * FROM pg_catalog.pg_class"), "table_not_granted"),
        (json!(format!("DROP TABLE {TRIP_RECORDS}")), "statement_not_allowed"),
        (json!(format!("SELECT a FROM {TRIP_RECORDS}; SELECT 1")), "statement_not"),
        (json!("SELECT * FROM generate_series(1, 10)"), "_not_"),
        (json!(format!("EXPLAIN ANALYZE SELECT * FROM {TRIP_RECORDS}")), "statement_not_allowed"),
        (json!(format!("SELECT trip_id FROM {TRIP_RECORDS} WHERE trip_id = ?")), "statement_not_understood"),
        (json!(format!("SELECT {} FROM {TRIP_RECORDS}", "1, ".repeat(9_000))), "statement_too_large"),
        // Parameters may not do what a literal may not.
        (json!([format!("SELECT trip_id FROM {TRIP_RECORDS} WHERE trip_id = ?"), [1, 2]]), "statement_not_understood"),
        (
            json!([format!("SELECT replace(note, 'a', ?) FROM {TRIP_RECORDS}"), ["x".repeat(5_000)]]),
            "statement_too_large",
        ),
        (
            json!([format!("SELECT trip_id FROM {TRIP_RECORDS} WHERE note = ?"), ["x".repeat(20_000)]]),
            "statement_too_large",
        ),
        (json!(["SELECT * FROM ?", ["trips"]]), "statement_not_understood"),
    ];
    let statements: Vec<&Value> = refused.iter().map(|(statement, _)| statement).collect();
    let results = served.run("query", &set, json!({"statements": statements})).await;
    for (index, (_, code)) in refused.iter().enumerate() {
        assert_refused(&results[index], code);
    }
    let results = served.run("query", &check, json!({"statements": [format!("SELECT * FROM {TRIP_CHECK}")]})).await;
    assert_refused(&results[0], "statements_not_granted");
    assert!(text(&results[0]).contains("/data/v1/trip_check"), "{results}");
    for mode in ["statistics", "file", "verification"] {
        let arguments = json!({"statements": [format!("SELECT * FROM {TRIP_RECORDS}")], "mode": mode});
        let code = if mode == "verification" { "malformed_request" } else { "mode_not_granted" };
        assert_refused(&served.run("query", &set, arguments).await[0], code);
    }
    let wrote = served.run("writing", &set, json!({})).await;
    for what in ["update", "ingest"] {
        assert!(text(&wrote[what]).contains("not_"), "{wrote}");
    }
    assert_refused(&wrote["many"], "not_offered");
    let stranger = Ordered { key: "lqk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".to_owned(), ..set.clone() };
    assert_refused(&served.run("information", &stranger, json!({"sql": "SELECT 1"})).await, "bad_service_key");
    assert_eq!(served.head().await, head, "a refusal leaves no receipt");

    // What fails while it runs is closed and costs nothing: the one call is still there.
    let cast = format!("SELECT CAST(note AS BIGINT) AS n FROM {TRIP_RECORDS}");
    let results = served.run("query", &set, json!({"statements": [cast]})).await;
    assert_refused(&results[0], "query_failed");
    for value in ["行程", "途经"] {
        assert!(!text(&results[0]).contains(value), "{results}");
    }
    let stopped = served.since(head).await;
    assert_eq!((stopped.len(), stopped[0].named, stopped[0].totals.calls), (1, 0, 0));
    let statement = format!("SELECT count(*) AS n FROM {TRIP_RECORDS}");
    let results = served.run("query", &set, json!({"statements": [statement, statement]})).await;
    assert_eq!(results[0]["ok"]["rows"], json!([[2_000]]));
    assert_refused(&results[1], "quota_exceeded");
}

/// Statistics are guarded as over HTTP, and their described columns are those that come.
#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_guarded() {
    let Some(served) = Served::open(20_000).await else { return };
    let order = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (100, 0)).await;
    let table = TRIP_STATISTICS;
    let statements = json!([
        format!(
            "SELECT line, count(*) AS n, avg(delay) AS mean, sum(delay) AS total FROM {table} GROUP BY line ORDER BY line"
        ),
        [format!("SELECT count(*) AS n FROM {table} WHERE line = ?"), ["L0"]],
        [format!("SELECT line, count(*) AS n FROM {table} WHERE line = ? GROUP BY line"), ["L9"]],
        format!("SELECT * FROM {table}"),
        [format!("SELECT count(*) AS n FROM {table} WHERE trip_id = ?"), [5]],
        format!("SELECT max(delay) AS m FROM {table}"),
    ]);
    let results = served.run("query", &order, json!({"statements": statements})).await;
    let columns = json!([["line", "string"], ["n", "int64"], ["mean", "double"], ["total", "int64"]]);
    assert_eq!(results[0]["ok"]["columns"], columns, "{results}");
    let lines = results[0]["ok"]["rows"].as_array().unwrap();
    assert_eq!(lines[0][0], "L0");
    let trips_of = |line: &str| (0..20_000).filter(|trip| Trip::of(*trip).line == line).count();
    assert_eq!(lines[0][1], trips_of("L0"));
    assert_eq!(results[1]["ok"]["rows"][0][0], lines[0][1]);
    let names: Vec<&Value> = lines.iter().map(|line| &line[0]).collect();
    assert_eq!(names, ["L0", "L1", "L2", "L3", "L4", "L9"]);
    // The line with fewest trips has twice as many as an answer must be about.
    assert_eq!(trips_of("L9"), 20);
    assert_eq!(results[2]["ok"]["rows"], json!([["L9", 20]]), "{results}");
    assert_refused(&results[3], "not_an_aggregate");
    assert_refused(&results[4], "dimension_not_declared");
    assert_refused(&results[5], "aggregate_not_allowed");
}

/// An order of lookups asks for one key in SQL and gets its row through keyed access: one record, one call.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_is_a_statement_with_the_whole_key() {
    let Some(served) = Served::open(2_000).await else { return };
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Lookup], (100, 0)).await;
    let rest = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let head = served.head().await;
    let statements = json!([
        format!("SELECT trip_id, line AS route, vehicle FROM {TRIP_RECORDS} WHERE trip_id = 60"),
        [format!("SELECT * FROM {TRIP_RECORDS} AS t WHERE ? = t.trip_id LIMIT 10"), [61]],
        format!("SELECT trip_id FROM {TRIP_RECORDS} WHERE trip_id = 5000"),
    ]);
    let results = served.run("query", &order, json!({"statements": statements})).await;
    let vehicle = served
        .run("query", &rest, json!({"statements": [format!("SELECT vehicle FROM {TRIP_RECORDS} WHERE trip_id = 60")]}))
        .await;
    let row = &results[0]["ok"]["rows"];
    assert_eq!(row, &json!([[60, "L0", vehicle[0]["ok"]["rows"][0][0]]]), "{results}");
    assert_ne!(row[0][2], Trip::of(60).vehicle, "the vehicle is a pseudonym");
    assert_eq!(results[0]["ok"]["columns"][1], json!(["route", "string"]));
    assert_eq!(results[1]["ok"]["rows"][0][0], 61);
    assert_eq!(results[1]["ok"]["rows"][0].as_array().unwrap().len(), 6);
    assert_eq!(results[2]["ok"]["rows"], json!([]));
    let deliveries = served.since(head).await;
    let lookups: Vec<&Delivery> = deliveries.iter().filter(|delivery| delivery.mode == Mode::Lookup).collect();
    assert_eq!(lookups.len(), 3);
    assert_eq!(lookups.iter().map(|lookup| lookup.totals.rows).collect::<Vec<_>>(), [1, 1, 0]);
    assert!(lookups.iter().all(|lookup| lookup.totals.calls == 1 && lookup.protocol == "flight_sql"));

    let head = served.head().await;
    let others = [
        "SELECT * FROM {}",
        "SELECT * FROM {} WHERE trip_id > 60",
        "SELECT * FROM {} WHERE trip_id = 60 AND line = 'L0'",
        "SELECT * FROM {} WHERE trip_id = 60 OR trip_id = 61",
        "SELECT * FROM {} WHERE line = 'L0'",
        "SELECT count(*) FROM {} WHERE trip_id = 60",
        "SELECT upper(line) AS l FROM {} WHERE trip_id = 60",
        "SELECT * FROM {} WHERE trip_id = delay",
        "SELECT * FROM {} WHERE trip_id = (SELECT 60)",
        "SELECT * FROM {} WHERE trip_id = NULL",
        "SELECT * FROM {} WHERE trip_id = 60 LIMIT 0",
        "SELECT 1",
    ];
    let statements: Vec<String> = others.iter().map(|sql| sql.replace("{}", TRIP_RECORDS)).collect();
    let results = served.run("query", &order, json!({"statements": statements})).await;
    for (index, sql) in others.iter().enumerate() {
        assert!(results[index]["error"].is_string(), "{sql}: {}", results[index]);
        assert_refused(&results[index], "key_predicate_needed");
        assert!(text(&results[index]).contains("trip_id = …"), "{results}");
    }
    assert_eq!(served.head().await, head);
}

/// The calls that the JDBC driver makes are answered, honestly; substrait, transactions and sessions are refused or empty.
#[tokio::test(flavor = "multi_thread")]
async fn the_calls_of_the_jdbc_driver() {
    let Some(served) = Served::open(500).await else { return };
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let head = served.head().await;
    let result = served.run("driver_calls", &order, json!({})).await;
    let rows = |name: &str| result[name]["rows"].as_u64().unwrap();
    assert!(rows("sql_info") > 40);
    assert_eq!((rows("one_info"), rows("type_info"), rows("one_type")), (1, 7, 1));
    assert_eq!(result["catalogs"]["first"], json!([["lingqu"]]));
    assert_eq!(result["schemas"]["first"], json!([["lingqu", "data"]]));
    assert_eq!((rows("no_schemas"), rows("no_views")), (0, 0));
    assert_eq!(result["tables"]["first"], json!([["lingqu", "data", TRIP_RECORDS, "TABLE"]]));
    let with_schema = &result["tables_with_schema"];
    assert_eq!(with_schema["columns"], json!(["trip_id", "line", "day", "delay", "vehicle", "note"]));
    assert_eq!((&with_schema["type_name"], &with_schema["nature"]), (&json!("BIGINT"), &json!("REAL")));
    assert_eq!(with_schema["comment"], "trip_records：测试产品");
    // The keys of the specification, and the one that the drivers of Arrow read in its place.
    let expected = [
        ("CATALOG_NAME", "lingqu"),
        ("DB_SCHEMA_NAME", "data"),
        ("SCHEMA_NAME", "data"),
        ("TABLE_NAME", TRIP_RECORDS),
        ("TYPE_NAME", "BIGINT"),
        ("PRECISION", "19"),
        ("SCALE", "0"),
        ("IS_AUTO_INCREMENT", "0"),
        ("IS_CASE_SENSITIVE", "0"),
        ("IS_READ_ONLY", "1"),
        ("IS_SEARCHABLE", "1"),
        ("REMARKS", "trip_id 的含义"),
    ];
    let metadata = with_schema["metadata"].as_object().unwrap();
    assert_eq!(metadata.len(), expected.len(), "{metadata:?}");
    for (key, value) in expected {
        assert_eq!(metadata[key], value, "{key}");
    }
    assert_eq!(result["table_types"]["first"], json!([["TABLE"]]));
    assert_eq!(result["primary_keys"]["first"], json!([["lingqu", "data", TRIP_RECORDS, "trip_id", 1, null]]));
    assert_eq!((rows("exported_keys"), rows("imported_keys"), rows("cross_reference")), (0, 0, 0));
    for action in ["CancelFlightInfo", "CancelQuery", "CloseSession", "CreatePreparedStatement"] {
        assert!(result["actions"].as_array().unwrap().contains(&json!(action)), "{}", result["actions"]);
    }
    assert_eq!(result["close_session"], json!({"ok": "0801"}));
    for refused in ["unknown_action", "transaction", "in_transaction", "substrait", "prepared_substrait"] {
        assert_refused(&result[refused], "not_offered");
    }
    assert_eq!(served.deliveries(head).await.len(), 2, "only the two executions below are deliveries");
    assert_eq!(result["prepared_columns"], json!(["trip_id", "line"]));
    assert_eq!(result["prepared_parameters"], json!(["int64"]));
    assert_refused(&result["two_rows"], "malformed_request");
    assert_refused(&result["nested_value"], "statement_not_understood");
    assert_refused(&result["unbound"], "statement_not_understood");
    assert_eq!(result["same_handle"], true);
    assert_eq!((&result["bound"], &result["unasked"]), (&json!([[60, "L0"]]), &json!([[60, "L0"]])));
    assert_refused(&result["closed"], "prepared_statement_not_known");

    // By user and password: the order's id or its product, and nothing else.
    let token = |user: &str| json!({"user": user});
    assert_eq!(served.run("shake_hands", &order, token(order.id.as_str())).await, json!([{"ok": 1}]));
    let product = served.scenario.product(TRIP_RECORDS).to_string();
    assert_eq!(served.run("shake_hands", &order, token(&product)).await, json!([{"ok": 1}]));
    assert_refused(&served.run("shake_hands", &order, token("somebody")).await[0], "user_not_of_key");
    let wrong = Ordered { key: "lqk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8".to_owned(), ..order.clone() };
    let tries = json!({"user": order.id.as_str(), "times": 31});
    let results = served.run("shake_hands", &wrong, tries).await;
    assert_refused(&results[0], "bad_service_key");
    assert_refused(&results[30], "too_many_attempts");
    // The bearer's way stays open.
    assert_eq!(served.run("information", &order, json!({"sql": "SELECT 1 AS n"})).await["columns"], json!(["n"]));
}

/// A ticket is good for its order, unchanged, while the grant stands; asking for one costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn tickets_open_nothing_by_themselves() {
    let Some(served) = Served::open(500).await else { return };
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (2, 0)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows], (2, 0)).await;
    let head = served.head().await;
    let sql = json!({"sql": format!("SELECT trip_id FROM {TRIP_RECORDS}")});
    let info = served.run("information", &order, sql.clone()).await;
    let ticket = info["ticket"].as_str().unwrap().to_owned();
    for _ in 0..4 {
        served.run("information", &order, sql.clone()).await;
    }
    assert_eq!(served.head().await, head, "asking neither delivers nor charges");

    let redeem = |order: Ordered, more: Value| {
        let mut arguments = json!({"ticket": ticket.clone()});
        for (name, value) in more.as_object().unwrap() {
            arguments[name] = value.clone();
        }
        let served = &served;
        async move { served.run("redeem", &order, arguments).await }
    };
    assert_refused(&redeem(other.clone(), json!({})).await, "ticket_not_valid");
    // The signature, the terms, the last byte: past the envelope of 80 bytes everything is signed.
    for at in [90, 150, -1] {
        assert_refused(&redeem(order.clone(), json!({"change": at})).await, "ticket_not_valid");
    }
    served.scenario.suspend_mandate("安全事件处置").await;
    assert_refused(&redeem(order.clone(), json!({})).await, "grant_suspended");
    assert_refused(&served.run("information", &order, sql.clone()).await, "grant_suspended");
    assert_eq!(served.head().await, head);
    served.scenario.resume_mandate().await;
    let redeemed = redeem(order.clone(), json!({})).await;
    assert_eq!(redeemed["ok"], 500);
    let deliveries = served.since(head).await;
    assert_eq!(deliveries.len(), 1);
    assert_eq!(redeemed["headers"]["delivery-receipt"], deliveries[0].receipt);
    assert_eq!(redeemed["headers"]["data-nature"], "REAL");
    assert_eq!(redeemed["headers"]["receipt-rows"], "exact");
    // Redeemed again it is asked again, and charged again.
    assert_eq!(redeem(order.clone(), json!({})).await["ok"], 500);
    assert_refused(&redeem(order.clone(), json!({})).await, "quota_exceeded");
}

/// Cancelled from beside or by going away, an answer stops, its receipt is closed as cancelled and nothing is charged.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_answer_is_closed_and_free() {
    /// More than twice what the buffers between server and client hold: some 50 MB.
    const ROWS: u64 = 120_000;
    let Some(served) = Served::open(usize::try_from(ROWS).unwrap()).await else { return };
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (2, 10)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &RECORDS, (2, 10)).await;
    let sql = format!("SELECT * FROM {TRIP_RECORDS}");
    let head = served.head().await;
    let whole = served.run("query", &order, json!({"statements": [sql], "mode": "file"})).await;
    assert_eq!(whole[0]["ok"]["rows"].as_array().unwrap().len() as u64, ROWS);
    let deliveries = served.since(head).await;
    let totals = &deliveries[0].totals;
    assert_eq!((deliveries[0].mode, totals.rows, totals.data_sets, totals.calls), (Mode::File, ROWS, 1, 0));
    assert!(totals.bytes > 40_000_000, "{}", totals.bytes);

    let head = served.head().await;
    let result = served.run("cancel", &order, json!({"sql": sql, "mode": "file", "beside_key": other.key})).await;
    assert_refused(&result["cancelled"], "ticket_not_valid");
    assert!(result["rest"]["ok"].as_u64().unwrap() > ROWS / 6 * 5, "another order cancels nothing: {result}");
    let result = served.run("cancel", &order, json!({"sql": sql, "mode": "file"})).await;
    assert_eq!(result["cancelled"], json!({"ok": ["0801"]}));
    assert!(text(&result["rest"]).contains("ancelled"), "{result}");
    assert_refused(&result["again"], "ticket_not_valid");
    let hung_up = served.run("hang_up", &order, json!({"sql": sql, "mode": "file"})).await;
    assert!(hung_up["rest"]["ok"].as_u64().is_none_or(|rows| rows < ROWS), "{hung_up}");

    let deliveries = served.since(head).await;
    // The one that was not cancelled was redeemed twice.
    assert_eq!(deliveries.len(), 4);
    for delivery in &deliveries[2..] {
        assert_eq!(delivery.outcome, Some(Outcome::Stopped { code: "cancelled".to_owned() }));
        assert_eq!((delivery.totals.data_sets, delivery.totals.calls), (0, 0));
        assert!(delivery.totals.rows < ROWS / 2, "{delivery:?}");
        assert_eq!(delivery.named, delivery.totals.rows);
    }
    assert_eq!(deliveries[2].receipt, result["receipt"].as_str().unwrap());
    // What was reserved for them is settled by these receipts, while the node goes on.
    let mut differing = differing_accounts(&served.scenario.app, &order.id).await;
    for _ in 0..100 {
        if differing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        differing = differing_accounts(&served.scenario.app, &order.id).await;
    }
    assert_eq!(differing, Vec::<String>::new());
}

/// With a certificate configured the same is answered over TLS, and nothing without.
#[tokio::test(flavor = "multi_thread")]
async fn with_tls_nothing_is_answered_in_the_clear() {
    let Some(python) = python() else { return };
    let made: Value = serde_json::from_str(&script(&python, "flight.py", &["certificate", "{}"]).stdout).unwrap();
    let bytes = |name: &str| STANDARD.decode(made[name].as_str().unwrap()).unwrap();
    let key = PrivateKeyDer::Pkcs8(bytes("key").into());
    let tls = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![CertificateDer::from(bytes("certificate"))], key)
        .unwrap();
    let served = Served::open_with(python, 100, Some(Arc::new(tls))).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (10, 0)).await;
    let statements = json!([format!("SELECT count(*) AS n FROM {TRIP_RECORDS}")]);
    let over_tls = json!({
        "statements": statements,
        "user": order.id.as_str(),
        "url": served.url.replace("grpc://", "grpc+tls://"),
        "root": made["pem"],
    });
    assert_eq!(served.run("query", &order, over_tls).await[0]["ok"]["rows"], json!([[100]]));
    let arguments = json!({"url": served.url, "key": order.key, "sql": "SELECT 1"});
    let refused = served.run("information", &order, arguments).await;
    assert!(refused["error"].is_string(), "{refused}");
}

/// The binary as it is started by everybody answers on the address that it names.
#[test]
fn the_demo_is_served_to_adbc() {
    let Some(python) = python() else { return };
    let played = played();
    let order = played.order_by("rows");
    let served = played.serve();
    let arguments = json!({
        "url": served.node.flight_url,
        "user": order.id,
        "key": order.key,
        "table": order.product,
        "statements": [format!("SELECT count(*) AS n FROM {}", order.product)],
    });
    let ended = script(&python, "flight.py", &["query", &arguments.to_string()]);
    let results: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert!(results[0]["ok"]["rows"][0][0].as_u64().unwrap() > 100_000, "{results}");
    let statistics = played.order_by("statistics");
    let arguments = json!({"url": served.node.flight_url, "key": statistics.key, "table": statistics.product});
    let ended = script(&python, "flight.py", &["catalogue", &arguments.to_string()]);
    let seen: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(seen["objects"][0]["table"], statistics.product);
}

/// What statistics can't answer is refused when it is asked about, not when the ticket is redeemed.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_statistics_refuse_gets_no_ticket() {
    let Some(served) = Served::open(2_000).await else { return };
    let order = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (1, 0)).await;
    let head = served.head().await;
    for (sql, code) in [
        ("SELECT * FROM trip_statistics", "not_an_aggregate"),
        ("SELECT delay FROM trip_statistics LIMIT 1", "not_an_aggregate"),
        ("SELECT max(delay) FROM trip_statistics", "aggregate_not_allowed"),
        ("SELECT avg(delay) FROM trip_statistics WHERE trip_id = 5", "dimension_not_declared"),
        ("SELECT trip_id, avg(delay) FROM trip_statistics GROUP BY trip_id", "dimension_not_declared"),
    ] {
        assert_refused(&served.run("information", &order, json!({"sql": sql})).await, code);
    }
    let fine = json!({"sql": "SELECT line, avg(delay) AS mean FROM trip_statistics GROUP BY line"});
    assert_eq!(served.run("information", &order, fine.clone()).await["columns"], json!(["line", "mean"]));
    assert_eq!(served.head().await, head, "asking neither delivers nor charges");
}
