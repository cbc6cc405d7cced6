//! One order's copy by three doors at once: HTTP, Arrow Flight SQL by pip's driver and PostgreSQL by psql. The same cell has the
//! same value in each, and none has the original. Files of Delta Sharing are held against exports in `tests/delivery/marked.rs`.

use std::collections::BTreeMap;
use std::process::Command;

use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::node::run_command;
use lingqu_tests::scenario::{Scenario, TRIP_MARKED, TRIP_MARKED_OMITTED, Trip, Who};
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::doors::{self, Statements};

const TRIPS: usize = 400;
const SQL: &str = "SELECT trip_id, delay FROM trip_marked ORDER BY trip_id";

type Copy = BTreeMap<usize, Option<i64>>;

fn of_lines(text: &str) -> Copy {
    let cells = text.lines().filter_map(|line| line.split_once(','));
    cells.filter_map(|(trip, delay)| Some((trip.parse().ok()?, delay.parse().ok()))).collect()
}

/// Whether a comment says what marks do to the copy.
fn tells_of_marks(comment: &str) -> bool {
    comment.contains("marked columns: delay") && comment.contains("sampling weight: 1.0204")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cell_has_one_value_at_every_door() {
    let scenario = Scenario::open_marked(TRIPS).await;
    let order = scenario.order_marked(Who::First, &[Mode::Lookup, Mode::Rows, Mode::File]).await;
    let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
    let statements = Statements::open(&deliveries).await;
    let http = doors::http(deliveries).await;

    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{http}/data/v1/{TRIP_MARKED}/query")).bearer_auth(&order.key);
    let reply = request.header("accept", "text/csv").body(SQL).send().await.unwrap();
    assert_eq!(reply.status(), 200);
    let copy = of_lines(&reply.text().await.unwrap());
    assert!(copy.len() > TRIPS * 9 / 10 && copy.len() < TRIPS, "{}", copy.len());
    for (trip, delay) in &copy {
        let original = Trip::of(*trip).delay;
        assert_eq!(delay.zip(original).map(|(there, here)| (there - here).abs()), original.map(|_| 1), "{trip}");
    }

    let has_psql = Command::new("psql").arg("--version").output().is_ok_and(|output| output.status.success());
    assert!(has_psql || std::env::var_os("CI").is_none(), "psql is missing; run make setup");
    if has_psql {
        let dsn = format!("postgresql://{}:{}@{}/lingqu", order.id, order.key, statements.postgres);
        let mut command = Command::new("psql");
        command.args(["-X", "--no-password", "-A", "-t", "-F", ",", "-d", &dsn, "-c", SQL]);
        command.env("PGCONNECT_TIMEOUT", "20");
        let ended = tokio::task::spawn_blocking(|| run_command(command)).await.unwrap();
        assert_eq!(of_lines(&ended.stdout), copy, "{}", ended.stderr);
        // How much a row weighs is read where a tool looks for what a table is.
        let mut command = Command::new("psql");
        let comment = format!("SELECT obj_description('{TRIP_MARKED}'::regclass, 'pg_class')");
        command.args(["-X", "--no-password", "-A", "-t", "-d", &dsn, "-c", &comment]);
        command.env("PGCONNECT_TIMEOUT", "20");
        let ended = tokio::task::spawn_blocking(|| run_command(command)).await.unwrap();
        assert!(tells_of_marks(&ended.stdout), "{} {}", ended.stdout, ended.stderr);
    }
    if let Some(python) = python() {
        let arguments =
            json!({"url": statements.flight, "key": order.key, "table": TRIP_MARKED, "statements": [SQL]}).to_string();
        let (looking, wanted) = (python.clone(), arguments.clone());
        let ended =
            tokio::task::spawn_blocking(move || script(&looking, "flight.py", &["driver_calls", &wanted])).await;
        let told: Value = serde_json::from_str(&ended.unwrap().stdout).unwrap();
        let told = &told["tables_with_schema"];
        assert!(tells_of_marks(told["comment"].as_str().unwrap()), "{told}");
        assert_eq!(told["marks"]["marked_columns"], "delay");
        let weight: f64 = told["marks"]["sampling_weight"].as_str().unwrap().parse().unwrap();
        assert!((weight - 1.0 / (1.0 - TRIP_MARKED_OMITTED)).abs() < 1e-6, "{told}");
        let ended = tokio::task::spawn_blocking(move || script(&python, "flight.py", &["query", &arguments])).await;
        let told: Value = serde_json::from_str(&ended.unwrap().stdout).unwrap();
        let rows = told[0]["ok"]["rows"].as_array().unwrap_or_else(|| panic!("{told}"));
        let flown: Copy =
            rows.iter().map(|row| (usize::try_from(row[0].as_u64().unwrap()).unwrap(), row[1].as_i64())).collect();
        assert_eq!(flown, copy);
    }
}
