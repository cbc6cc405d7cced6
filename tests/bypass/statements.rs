//! Every attempt through every door that takes statements: HTTP, Flight SQL through ADBC, and PostgreSQL through psycopg.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::attempts::{ATTEMPTS, Outcome};
use crate::clients::{python, script};
use crate::served::{Guarded, TRIPS, is_visible, told};
use lingqu_tests::scenario::Trip;

/// What came of an attempt at a door: rows, or a code and everything that was said.
#[derive(Debug)]
struct Seen {
    rows: Option<Vec<Vec<String>>>,
    code: String,
    said: String,
}

#[test]
fn there_are_attempts_enough_and_none_twice() {
    let mut known = BTreeMap::new();
    for (statement, outcome) in ATTEMPTS {
        assert!(known.insert(*statement, outcome).is_none(), "{statement} is there twice");
    }
    assert!(known.len() >= 150, "{}", known.len());
    assert_eq!((0..TRIPS).map(Trip::of).filter(is_visible).count(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_over_http_tells_more_than_was_granted() {
    let guarded = Guarded::open().await;
    let url = format!("{}/data/v1/{}/query", guarded.http, guarded.order.product);
    let mut wrong = Vec::new();
    for (statement, outcome) in ATTEMPTS {
        let request = guarded.client.post(&url).bearer_auth(&guarded.order.key);
        let body = json!({ "sql": statement }).to_string();
        let reply = request.header("content-type", "application/json").body(body).send().await.expect("an answer");
        let (status, headers) = (reply.status().as_u16(), format!("{:?}", reply.headers()));
        // A body that breaks off is an answer that failed while it ran.
        let text = reply.text().await.unwrap_or_else(|_| "the body broke off".to_owned());
        let value: Value = serde_json::from_str(&text).unwrap_or_default();
        let rows = value["rows"].as_array().filter(|_| status == 200).map(|rows| rows.iter().map(cells).collect());
        let code = value["code"].as_str().unwrap_or_default().to_owned();
        judge(&mut wrong, "http", statement, *outcome, &Seen { rows, code, said: format!("{headers} {text}") });
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ATTEMPTS.len(), wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_over_flight_sql_tells_more_than_was_granted() {
    let guarded = Guarded::open().await;
    through_a_client("flight", &guarded.flight, &guarded).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_over_postgres_tells_more_than_was_granted() {
    let guarded = Guarded::open().await;
    through_a_client("postgres", &guarded.postgres, &guarded).await;
}

/// A row's cells as text; rows are objects or arrays by the door.
fn cells(row: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match row {
        Value::Object(cells) => cells.values().map(text).collect(),
        Value::Array(cells) => cells.iter().map(text).collect(),
        other => vec![text(other)],
    }
}

async fn through_a_client(door: &'static str, address: &str, guarded: &Guarded) {
    let Some(python) = python() else { return };
    let statements: Vec<&str> = ATTEMPTS.iter().map(|(statement, _)| *statement).collect();
    let asked = json!({
        "door": door,
        "address": address,
        "order": guarded.order.id.to_string(),
        "key": guarded.order.key,
        "statements": statements,
    });
    let file = guarded.scenario.directory().join("statements.json");
    std::fs::write(&file, asked.to_string()).expect("the scenario's directory is writable");
    let path = file.display().to_string();
    let ended = tokio::task::spawn_blocking(move || script(&python, "../bypass/ask.py", &[&path]));
    let ended = ended.await.expect("the client does not panic");
    let answers: Vec<Value> = serde_json::from_str(&ended.stdout).expect("the script prints JSON");
    assert_eq!(answers.len(), ATTEMPTS.len());
    let mut wrong = Vec::new();
    for ((statement, outcome), answer) in ATTEMPTS.iter().zip(&answers) {
        let rows = answer["rows"].as_array().map(|rows| rows.iter().map(cells).collect());
        let code = answer["code"].as_str().unwrap_or_default().to_owned();
        judge(&mut wrong, door, statement, *outcome, &Seen { rows, code, said: answer.to_string() });
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ATTEMPTS.len(), wrong.join("\n"));
}

fn judge(wrong: &mut Vec<String>, door: &str, statement: &str, outcome: Outcome, seen: &Seen) {
    let told = told(&seen.said, statement);
    if !told.is_empty() {
        wrong.push(format!("{door}: {statement}\n  tells {told}  {}", short(&seen.said)));
        return;
    }
    let is_failure = matches!(seen.code.as_str(), "fault" | "query_failed" | "");
    let is_right = match (outcome, &seen.rows) {
        (Outcome::Either, _) => true,
        (Outcome::Rows(count), Some(rows)) => rows.len() == count,
        (Outcome::Cell(text), Some(rows)) => rows.len() == 1 && rows[0].len() == 1 && rows[0][0] == text,
        (Outcome::Refused, None) => !is_failure,
        (Outcome::Failed, None) => true,
        (Outcome::Rows(_) | Outcome::Cell(_), None) | (Outcome::Refused | Outcome::Failed, Some(_)) => false,
    };
    if !is_right {
        wrong.push(format!("{door}: {statement}\n  should be {outcome:?}, is {}", short(&seen.said)));
    }
}

fn short(text: &str) -> String {
    text.chars().take(600).collect()
}
