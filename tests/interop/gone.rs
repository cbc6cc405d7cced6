//! Clients who go while their question is being worked on: at each door the query's operators are dropped long before it could
//! be answered, and nothing is charged.
//!
//! What is seen is the engine's own count of queries of which an operator is still there. How long that took is printed and
//! never asserted: a limit on it would fail on a busy machine. That work stopped is: the questions would take hours.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_RECORDS, Who};
use serde_json::json;

use crate::clients::python;
use crate::doors::{self, Statements};

/// Triples of 4,000 rows by their texts: 64 thousand million comparisons.
const ENDLESS: &str = "SELECT count(*) AS n FROM trip_records c \
    JOIN (SELECT a.note AS note FROM trip_records a JOIN trip_records b ON a.note < b.note) d ON c.note < d.note";
const TRIPS: usize = 4_000;
/// How long a test waits for what must happen: on a busy machine one look at a batch of pairs takes half a minute without optimisation.
/// That it was not the query's own time that ended it is told by its delivery's record.
const PATIENCE: Duration = Duration::from_secs(150);

struct Doors {
    scenario: Scenario,
    http: String,
    statements: Statements,
}

impl Doors {
    async fn open(trips: usize) -> Doors {
        let scenario = Scenario::open(None, trips).await;
        let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
        let statements = Statements::open(&deliveries).await;
        let http = doors::http(deliveries).await;
        Doors { scenario, http, statements }
    }

    /// Waits until a query works and some of its work is done. What ends in between is a client's look around.
    async fn until_it_works(&self) {
        let begun = Instant::now();
        let mut looks_working = 0;
        while looks_working < 20 {
            assert!(begun.elapsed() < PATIENCE, "the query has not begun");
            tokio::time::sleep(Duration::from_millis(10)).await;
            looks_working = if self.scenario.app.unfinished_queries() > 0 { looks_working + 1 } else { 0 };
        }
    }

    /// Waits until no operator of any query is there any more.
    async fn until_it_stops(&self, door: &str) {
        let gone = Instant::now();
        while self.scenario.app.unfinished_queries() > 0 {
            assert!(gone.elapsed() < PATIENCE, "{door}: the query still works");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        eprintln!("{door}: work stopped {} ms after the client went", gone.elapsed().as_millis());
    }

    /// Waits until every delivery is closed, and holds that none was delivered or charged.
    async fn nothing_was_charged(&self, door: &str) {
        let log = self.scenario.app.receipts();
        let begun = Instant::now();
        loop {
            let (mut opened, mut closed) = (0, 0);
            for position in 1..=log.head().await.unwrap() {
                let stored = log.read(position).await.unwrap().unwrap();
                let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record).unwrap();
                match record.body {
                    ReceiptBody::Opened(_) => opened += 1,
                    ReceiptBody::Closed { outcome, totals } => {
                        closed += 1;
                        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() }, "{door}");
                        assert_eq!((totals.calls, totals.data_sets), (0, 0), "{door}");
                    }
                    other => assert!(!matches!(other, ReceiptBody::Single { .. }), "{door}: {other:?}"),
                }
            }
            if opened == closed {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{door}: a delivery is still open");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn rows_order(&self) -> Ordered {
        self.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await
    }
}

fn begun(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn kill(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rest_client_hangs_up() {
    let doors = Doors::open(TRIPS).await;
    let order = doors.rows_order().await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = client.post(format!("{}/data/v1/{TRIP_RECORDS}/query", doors.http)).bearer_auth(&order.key);
    let request = request.header("content-type", "application/json").body(json!({"sql": ENDLESS}).to_string());
    let asking = tokio::spawn(request.send());
    doors.until_it_works().await;
    asking.abort();
    doors.until_it_stops("REST").await;
    doors.nothing_was_charged("REST").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_delta_sharing_hangs_up_while_its_file_is_made() {
    let doors = Doors::open(60_000).await;
    let order = doors.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 5)).await;
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let shares = client.get(format!("{}/delta-sharing/shares", doors.http)).bearer_auth(&order.key);
    let shares: serde_json::Value =
        serde_json::from_slice(&shares.send().await.unwrap().bytes().await.unwrap()).unwrap();
    let share = shares["items"][0]["name"].as_str().unwrap().to_owned();
    let schemas = client.get(format!("{}/delta-sharing/shares/{share}/schemas", doors.http)).bearer_auth(&order.key);
    let schemas: serde_json::Value =
        serde_json::from_slice(&schemas.send().await.unwrap().bytes().await.unwrap()).unwrap();
    let schema = schemas["items"][0]["name"].as_str().unwrap().to_owned();
    let path = format!("{}/delta-sharing/shares/{share}/schemas/{schema}/tables/{TRIP_RECORDS}/query", doors.http);
    let request = client.post(path).bearer_auth(&order.key).header("content-type", "application/json").body("{}");
    let asking = tokio::spawn(request.send());
    let begun = Instant::now();
    while doors.scenario.app.unfinished_queries() == 0 {
        assert!(begun.elapsed() < PATIENCE && !asking.is_finished(), "the file was made before anybody saw it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    asking.abort();
    doors.until_it_stops("Delta Sharing").await;
    // What was written of it is removed, and nobody was handed it.
    let folder = doors.scenario.app.directory().join("finished");
    let begun = Instant::now();
    while !files_below(&folder).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "{:?}", files_below(&folder));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    doors.nothing_was_charged("Delta Sharing").await;
}

fn files_below(directory: &std::path::Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_flight_sql_is_killed() {
    let Some(python) = python() else { return };
    for client in ["adbc", "pyarrow"] {
        let doors = Doors::open(TRIPS).await;
        let order = doors.rows_order().await;
        let script = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/gone.py");
        let arguments = json!({"url": doors.statements.flight, "key": order.key, "sql": ENDLESS}).to_string();
        let mut command = Command::new(&python);
        command.arg(script).args([client, &arguments]);
        let asking = begun(command);
        doors.until_it_works().await;
        kill(asking);
        doors.until_it_stops(&format!("Flight SQL ({client})")).await;
        doors.nothing_was_charged(client).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_postgresql_is_killed_or_cancels() {
    if Command::new("psql").arg("--version").output().is_err() {
        assert!(std::env::var_os("CI").is_none(), "psql is missing; run make setup");
        return;
    }
    for how in ["killed", "cancel request"] {
        let doors = Doors::open(TRIPS).await;
        let order = doors.rows_order().await;
        let dsn = format!("postgresql://{}:{}@{}/lingqu", order.id, order.key, doors.statements.postgres);
        let mut command = Command::new("psql");
        command.args(["-X", "--no-password", "-d", &dsn, "-c", ENDLESS]);
        let asking = begun(command);
        doors.until_it_works().await;
        let canceled = if how == "killed" {
            kill(asking);
            None
        } else {
            // psql sends a cancel request when it is interrupted, and ends when it is told that it was heard.
            let interrupt = Command::new("kill").args(["-INT", &asking.id().to_string()]).status().unwrap();
            assert!(interrupt.success());
            Some(asking)
        };
        doors.until_it_stops(&format!("PostgreSQL ({how})")).await;
        doors.nothing_was_charged(how).await;
        if let Some(mut psql) = canceled {
            assert!(!psql.wait().unwrap().success(), "psql tells that its query was canceled");
        }
    }
}
