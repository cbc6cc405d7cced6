//! Comments by every door: those of the granted columns, and of nothing else.
//!
//! A meaning is catalogue text and no secret, but a door that showed one of a column, product or order that is not the
//! client's own would have shown him a name that does not exist for him.

use reqwest::Method;
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::served::{Guarded, told};
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{PERSON_CHECK, TRIP_CHECK, TRIP_GUARDED, TRIP_RECORDS, Who};

/// Views there are.
const VIEWS: &[&str] = &[
    "schemata",
    "tables",
    "columns",
    "views",
    "table_constraints",
    "key_column_usage",
    "constraint_column_usage",
    "referential_constraints",
    "routines",
    "parameters",
    "triggers",
    "sequences",
];

/// Questions for comments beside the views, as tools of PostgreSQL ask them.
const OF_POSTGRES: &[&str] = &[
    "SELECT pg_catalog.obj_description(c.oid, 'pg_class'), c.relname FROM pg_catalog.pg_class c",
    "SELECT a.attname, pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a",
    "SELECT objoid, objsubid, description FROM pg_catalog.pg_description WHERE objoid >= 16384",
    "SELECT col_description(oid, n) FROM pg_catalog.pg_class, generate_series(-20, 40) AS n",
    "SELECT obj_description(n), col_description(n, 1), col_description(n, 6) FROM generate_series(16380, 16440) AS n",
    "SELECT description FROM pg_catalog.pg_description WHERE description LIKE '%含义%'",
];

/// Words of what is not granted: a column of the same resource, columns of another one, other products.
const FOREIGN: &[&str] = &[
    "note 的含义",
    "id_number 的含义",
    "name 的含义",
    "points 的含义",
    TRIP_RECORDS,
    TRIP_CHECK,
    PERSON_CHECK,
    "trip_statistics",
    "测试资源",
    "trips",
    "people",
];

fn look(wrong: &mut Vec<String>, door: &str, asked: &str, said: &str) {
    let told = told(said, asked);
    if !told.is_empty() {
        wrong.push(format!("{door}: {asked}\n  tells {told}"));
    }
    for word in FOREIGN.iter().filter(|word| said.contains(**word) && !asked.contains(**word)) {
        wrong.push(format!("{door}: {asked}\n  tells of `{word}`"));
    }
}

/// What a client of pip says to a list of statements at a door.
async fn through_a_client(
    door: &'static str,
    address: &str,
    guarded: &Guarded,
    statements: &[String],
) -> Option<Vec<Value>> {
    let python = python()?;
    let asked = json!({
        "door": door,
        "address": address,
        "order": guarded.order.id.to_string(),
        "key": guarded.order.key,
        "statements": statements,
    });
    let file = guarded.scenario.directory().join(format!("meanings-{door}.json"));
    std::fs::write(&file, asked.to_string()).expect("the scenario's directory is writable");
    let path = file.display().to_string();
    let ended = tokio::task::spawn_blocking(move || script(&python, "../bypass/ask.py", &[&path])).await;
    Some(serde_json::from_str(&ended.expect("the client does not panic").stdout).expect("the script prints JSON"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_door_tells_a_meaning_of_what_was_not_granted() {
    let guarded = Guarded::open().await;
    // Others whose meanings there would be to tell: of another consumer, and of the same one.
    guarded.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows], (10, 0)).await;
    guarded.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (10, 0)).await;
    let head = guarded.scenario.app.receipts().head().await.expect("the log is there");
    let (mut wrong, mut shown) = (Vec::new(), Vec::new());
    let of_views: Vec<String> = VIEWS.iter().map(|view| format!("SELECT * FROM information_schema.{view}")).collect();

    // HTTP: the views in formats that can be read, and the document.
    let base = format!("{}/data/v1/{TRIP_GUARDED}", guarded.http);
    for sql in &of_views {
        for format in ["json", "csv", "ndjson"] {
            let body = json!({"sql": sql, "format": format}).to_string();
            let request = guarded.client.post(format!("{base}/query")).bearer_auth(&guarded.order.key);
            let reply = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
            assert_eq!(reply.status().as_u16(), 200, "{sql} as {format}");
            let headers = format!("{:?}", reply.headers());
            let said = format!("{headers} {}", reply.text().await.expect("a body"));
            look(&mut wrong, "http", sql, &said);
            shown.push(("http", said));
        }
    }
    let document = guarded.client.get(format!("{base}/openapi.json")).bearer_auth(&guarded.order.key).send().await;
    let said = document.expect("an answer").text().await.expect("a body");
    // The document names a media type that ends like a path of the node.
    look(&mut wrong, "openapi", "application/vnd.apache.parquet", &said);
    shown.push(("openapi", said));

    // Delta Sharing.
    let share = format!("{}/delta-sharing/shares/{}", guarded.http, guarded.order.id);
    for path in ["", "/schemas", "/all-tables", "/schemas/data/tables", "/schemas/data/tables/trip_guarded/metadata"] {
        let request = guarded.client.request(Method::GET, format!("{share}{path}")).bearer_auth(&guarded.order.key);
        let said = request.send().await.expect("an answer").text().await.expect("a body");
        look(&mut wrong, "sharing", path, &said);
        shown.push(("sharing", said));
    }

    // Flight SQL and PostgreSQL by their clients.
    if let Some(answers) = through_a_client("flight", &guarded.flight, &guarded, &of_views).await {
        for (sql, answer) in of_views.iter().zip(answers) {
            assert!(answer["rows"].is_array(), "flight: {sql}: {answer}");
            look(&mut wrong, "flight", sql, &answer.to_string());
            shown.push(("flight", answer.to_string()));
        }
        let python = python().expect("it was there just now");
        let arguments = json!({"url": guarded.flight, "key": guarded.order.key, "table": TRIP_GUARDED}).to_string();
        let ended = tokio::task::spawn_blocking(move || script(&python, "flight.py", &["catalogue", &arguments])).await;
        let said = ended.expect("the client does not panic").stdout;
        look(&mut wrong, "flight catalogue", "", &said);
        shown.push(("flight catalogue", said));
    }
    let mut statements = of_views.clone();
    statements.extend(OF_POSTGRES.iter().map(|sql| (*sql).to_owned()));
    if let Some(answers) = through_a_client("postgres", &guarded.postgres, &guarded, &statements).await {
        for (sql, answer) in statements.iter().zip(answers) {
            assert!(answer["rows"].is_array() || sql.contains("generate_series"), "postgres: {sql}: {answer}");
            look(&mut wrong, "postgres", sql, &answer.to_string());
            shown.push(("postgres", answer.to_string()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));

    // What was granted is told by each of them.
    for door in shown.iter().map(|(door, _)| *door).collect::<std::collections::BTreeSet<_>>() {
        let said: String = shown.iter().filter(|(known, _)| *known == door).map(|(_, said)| plain(said)).collect();
        for meaning in ["trip_id 的含义", "line 的含义", "day 的含义", "delay 的含义", "vehicle 的含义"]
        {
            assert!(said.contains(meaning), "{door} does not tell `{meaning}`");
        }
    }
    let after = guarded.scenario.app.receipts().head().await.expect("the log is there");
    assert_eq!(after, head, "looking around leaves no receipt");
}

/// A text with the escapes that Python's JSON makes of Chinese as what they stand for.
fn plain(said: &str) -> String {
    match serde_json::from_str::<Value>(said) {
        Ok(value) => value.to_string(),
        Err(_) => said.to_owned(),
    }
}
