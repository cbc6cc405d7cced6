//! What tools ask when they connect and look around, put to an order's catalogue and to a PostgreSQL server that has the same
//! table: the answers have the same columns of the same types, and say the same of the table.
//!
//! A tool that reads a column which is not there, or a number where it gets a text, fails or shows nothing. Where the two differ
//! all the same, the difference is listed in `catalogue-known.txt` with its reason; any other fails. Beside another version than the
//! list is of, only what is refused here and answered there fails.

use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{Scenario, TRIP_RECORDS, Who};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::doors::Statements;

/// The questions, as the catalogue's own tests have them.
const QUESTIONS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/gateway/src/postgres/catalogue/clients.sql");
const QUESTIONS_COUNT: usize = 86;

/// The table of the order as a department would have it, with what it and its columns mean.
const TABLE: &str = "CREATE TABLE public.trip_records (
        trip_id bigint, line text, day date, delay bigint, vehicle text, note text, PRIMARY KEY (trip_id));
    COMMENT ON TABLE public.trip_records IS 'trip_records：测试产品'";

/// Differences that stay, each in a line: the question's number, how the difference begins, and why.
const KNOWN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/interop/catalogue-known.txt");
/// The version of PostgreSQL that the differences are told of. Others have other columns in their catalogues.
const COMPARED_VERSION: u64 = 15;

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_answers_as_postgresql_does() {
    let Some(python) = python() else { return };
    let Some(server) = PrivatePostgres::needed("the catalogue beside a real one") else { return };
    let name = server.create_database().await;
    let admin = Database::connect(&name).await.unwrap();
    admin.execute_unprepared(TABLE).await.unwrap();
    for column in ["trip_id", "line", "day", "delay", "vehicle", "note"] {
        let comment = format!("COMMENT ON COLUMN public.{TRIP_RECORDS}.{column} IS '{column} 的含义'");
        admin.execute_unprepared(&comment).await.unwrap();
    }
    let database = name.split('?').next().unwrap().rsplit('/').next().unwrap();
    let theirs = server.loopback_url(database);

    let scenario = Scenario::open(None, 100).await;
    let order = scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (10, 0)).await;
    let head = scenario.app.receipts().head().await.unwrap();
    let statements = Statements::open(&Deliveries::new(scenario.app.clone(), Settings::default())).await;
    let ours = format!("postgresql://{}:{}@{}/lingqu", order.id, order.key, statements.postgres);

    let ended = tokio::task::spawn_blocking(move || {
        script(&python, "catalogue.py", &[&ours, &theirs, TRIP_RECORDS, QUESTIONS])
    });
    let told: Value = serde_json::from_str(&ended.await.unwrap().stdout).unwrap();
    let report = told["report"].as_array().unwrap();
    assert_eq!(report.len(), QUESTIONS_COUNT);
    assert_eq!(scenario.app.receipts().head().await.unwrap(), head, "looking around leaves no receipt");
    if told["version"] != COMPARED_VERSION {
        let refused: Vec<&Value> =
            report.iter().filter(|question| question["differs"]["error"][0].is_string()).collect();
        assert!(refused.is_empty(), "PostgreSQL {} answers what is refused here: {refused:#?}", told["version"]);
        eprintln!(
            "\n*** PASSED OVER: columns, types and rows of the catalogue were not compared, since this machine has PostgreSQL {} and what \
             is known to differ is of {COMPARED_VERSION}. Install PostgreSQL {COMPARED_VERSION} to compare them. ***\n",
            told["version"]
        );
        return;
    }
    let text = std::fs::read_to_string(KNOWN).unwrap();
    let known: Vec<(usize, &str)> = text.lines().filter(|line| !line.starts_with('#')).map(known_of).collect();
    let mut used = vec![false; known.len()];
    let mut wrong = Vec::new();
    for question in report {
        let number = question["number"].as_u64().unwrap() as usize;
        for difference in differences(&question["differs"]) {
            let is_it = |known: &(usize, &str)| known.0 == number && difference.starts_with(known.1);
            match known.iter().position(is_it) {
                Some(at) => used[at] = true,
                None => wrong.push(format!("{number} | {difference}\n    {}", question["sql"])),
            }
        }
    }
    for ((number, begins), _) in known.iter().zip(&used).filter(|(_, used)| !**used) {
        wrong.push(format!("{number} | {begins} | does not differ any more: strike it out"));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A question's number and how its difference begins.
fn known_of(line: &str) -> (usize, &str) {
    let mut parts = line.splitn(3, " | ");
    let (number, begins, reason) = (parts.next(), parts.next(), parts.next());
    assert!(reason.is_some_and(|reason| !reason.is_empty()), "{line}: the reason is missing");
    (number.and_then(|number| number.parse().ok()).expect("a number"), begins.expect("how it begins"))
}

/// Each difference of an answer in a line.
fn differences(differs: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    for (kind, what) in differs.as_object().unwrap() {
        match what.as_object().filter(|_| kind == "types" || kind == "cells") {
            Some(columns) => lines.extend(columns.iter().map(|(name, pair)| format!("{kind} {name} {pair}"))),
            None => lines.push(format!("{kind} {what}")),
        }
    }
    lines.sort();
    lines
}

#[test]
fn each_difference_is_told_by_itself() {
    let differs = json!({"types": {"a": ["text", "int4"], "b": ["bool", "text"]}, "rows": [0, 1]});
    let lines = differences(&differs);
    assert_eq!(lines, ["rows [0,1]", "types a [\"text\",\"int4\"]", "types b [\"bool\",\"text\"]"]);
    assert!(differences(&json!({})).is_empty());
}
