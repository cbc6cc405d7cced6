//! Data that stays in its department's PostgreSQL, and statistics with noise, through both doors of statements, by psql,
//! psycopg's library and pip's ADBC driver.

use std::process::Command;

use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord, RowNaming};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::PrivatePostgres;
use lingqu_tests::node::{Ended, run_command};
use lingqu_tests::scenario::{
    FLEET_NOW, FLEET_SQL, NOISED_LINES, Ordered, RESIDENT_NOW, Scenario, TRIP_NOISED, Who, id_number,
};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::clients::{python, script};
use crate::doors::Statements;

/// A scenario behind both doors.
struct Doors {
    scenario: Scenario,
    statements: Statements,
}

impl Doors {
    async fn of(scenario: Scenario) -> Doors {
        drop(
            tracing_subscriber::fmt()
                .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
                .with_test_writer()
                .try_init(),
        );
        let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
        let statements = Statements::open(&deliveries).await;
        Doors { scenario, statements }
    }

    /// Runs psql with commands, one after the other; none where it is missing.
    async fn psql(&self, order: &Ordered, commands: &[&str]) -> Option<Ended> {
        let dsn = format!("postgresql://{}:{}@{}/lingqu", order.id, order.key, self.statements.postgres);
        let mut command = Command::new("psql");
        command.args(["-X", "--no-password", "-A", "-t", "-v", "VERBOSITY=verbose", "-d", &dsn]);
        for text in commands {
            command.args(["-c", text]);
        }
        command.env("PGCONNECT_TIMEOUT", "20");
        if Command::new("psql").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "psql is missing; run make setup");
            return None;
        }
        Some(tokio::task::spawn_blocking(|| run_command(command)).await.unwrap())
    }

    /// What pip's ADBC driver gets for statements; none where it is missing.
    async fn adbc(&self, order: &Ordered, statements: Value) -> Option<Vec<Value>> {
        let python = python()?;
        let arguments = json!({"url": self.statements.flight, "key": order.key, "statements": statements}).to_string();
        let ended = tokio::task::spawn_blocking(move || script(&python, "flight.py", &["query", &arguments]));
        Some(serde_json::from_str(&ended.await.unwrap().stdout).unwrap())
    }

    /// The protocols and the naming of rows of all deliveries.
    async fn openings(&self) -> Vec<(String, Mode, RowNaming)> {
        let log = self.scenario.app.receipts();
        let mut openings = Vec::new();
        for position in 1..=log.head().await.unwrap() {
            let stored = log.read(position).await.unwrap().unwrap();
            let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record).unwrap();
            if let ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } = record.body {
                openings.push((opening.protocol, opening.mode, opening.rows_named_by));
            }
        }
        openings
    }
}

/// A node behind both doors whose products read a department's database.
async fn live() -> Option<(Doors, std::sync::Arc<PrivatePostgres>, sea_orm::DatabaseConnection)> {
    let server = PrivatePostgres::needed("live tables at the doors")?;
    let url = server.create_database().await;
    let admin = Database::connect(&url).await.unwrap();
    admin.execute_unprepared(FLEET_SQL).await.unwrap();
    Some((Doors::of(Scenario::open_live(None, &url).await).await, server, admin))
}

#[tokio::test(flavor = "multi_thread")]
async fn live_data_is_asked_by_psql_and_by_adbc() {
    let Some((doors, _server, admin)) = live().await else { return };
    let rows = doors.scenario.order(Who::First, FLEET_NOW, &[Mode::Rows], (100, 0)).await;
    let lookup = doors.scenario.order(Who::First, FLEET_NOW, &[Mode::Lookup], (100, 0)).await;
    let statistics = doors.scenario.order(Who::First, FLEET_NOW, &[Mode::Statistics], (100, 0)).await;

    let asked = [
        "SELECT id, mileage, cost FROM fleet_now WHERE id IN (151, 152, 153) ORDER BY id",
        "SELECT count(*) FROM fleet_now WHERE CAST(code AS INT) > 0",
        r"\d fleet_now",
    ];
    let counted = "SELECT kind, count(*) AS n FROM fleet_now GROUP BY kind ORDER BY kind";
    let one = "SELECT mileage FROM fleet_now WHERE id = 151";
    let hidden = "SELECT mileage FROM fleet_now WHERE id = 152";
    if let Some(said) = doors.psql(&rows, &asked).await {
        assert_eq!(said.code, Some(0), "{said:?}");
        assert!(said.stdout.starts_with("151|1510|151.25"), "{said:?}");
        assert!(said.stdout.contains("153|1530|153.25") && said.stdout.contains("\n150\n"), "{said:?}");
        assert!(!said.stdout.contains("152|"), "a row of the south: {said:?}");
        assert!(said.stdout.contains("plate|text"), "{said:?}");
        let said = doors.psql(&statistics, &[counted]).await.unwrap();
        assert_eq!(said.stdout, "bus|50\ntaxi|50\ntruck|50\n", "{said:?}");
        let said = doors.psql(&lookup, &[one, hidden, "SELECT mileage FROM fleet_now"]).await.unwrap();
        assert_eq!(said.stdout, "1510\n", "{said:?}");
        assert!(said.stderr.contains("key_predicate_needed: "), "{said:?}");
    }
    let with_parameter = json!(["SELECT id, kind FROM fleet_now WHERE id = ?", [7]]);
    if let Some(said) = doors.adbc(&rows, json!([asked[0], asked[1], with_parameter])).await {
        assert_eq!(said[0]["ok"]["rows"], json!([[151, 1_510, "151.250000"], [153, 1_530, "153.250000"]]), "{said:?}");
        assert_eq!(said[1]["ok"]["rows"], json!([[150]]), "{said:?}");
        assert_eq!(said[2]["ok"]["rows"][0][0], 7, "{said:?}");
        let said = doors.adbc(&statistics, json!([counted])).await.unwrap();
        assert_eq!(said[0]["ok"]["rows"], json!([["bus", 50], ["taxi", 50], ["truck", 50]]), "{said:?}");
        let said = doors.adbc(&lookup, json!([one, hidden])).await.unwrap();
        assert_eq!((&said[0]["ok"]["rows"], &said[1]["ok"]["rows"]), (&json!([[1_510]]), &json!([])), "{said:?}");
    }
    let openings = doors.openings().await;
    assert!(openings.iter().all(|(_, _, named_by)| *named_by == RowNaming::KeyDigest), "{openings:?}");

    // A table that was changed is not read by its old types, whoever asks; and nobody is told what it has become.
    admin.execute_unprepared("ALTER TABLE public.fleet ALTER mileage TYPE real").await.unwrap();
    let sql = "SELECT id, mileage FROM fleet_now WHERE id = 151";
    for _ in 0..2 {
        if let Some(said) = doors.psql(&rows, &[sql]).await {
            assert!(said.stderr.contains("source_changed: ") && said.stdout.is_empty(), "{said:?}");
            assert!(!said.stderr.contains("real") && !said.stderr.contains("public"), "{said:?}");
            assert!(names_its_log(&said.stderr), "{said:?}");
        }
        if let Some(said) = doors.adbc(&rows, json!([sql])).await {
            let text = said[0]["text"].as_str().unwrap();
            assert!(text.contains("source_changed") && names_its_log(text), "{said:?}");
        }
    }
    // Nor is a table that is gone, and who asks learns in both languages what to tell the node's operator.
    admin.execute_unprepared("ALTER TABLE public.fleet RENAME TO moved").await.unwrap();
    if let Some(said) = doors.psql(&rows, &[sql]).await {
        assert!(said.stderr.contains("source_unavailable: ") && names_its_log(&said.stderr), "{said:?}");
    }
    if let Some(said) = doors.adbc(&rows, json!([sql])).await {
        let text = said[0]["text"].as_str().unwrap();
        assert!(text.contains("source_unavailable") && names_its_log(text), "{said:?}");
    }
}

/// Whether a refusal says in both languages under which id the node's log has more, and the same id.
fn names_its_log(text: &str) -> bool {
    let behind = |words: &str| {
        let (_, rest) = text.split_once(words)?;
        rest.split(|letter: char| !letter.is_ascii_hexdigit()).next()
    };
    let (english, chinese) = (behind("correlation id "), behind("编号 "));
    english == chinese && english.is_some_and(|id| id.len() >= 16)
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_of_live_persons_need_their_consent_at_every_door() {
    let Some((doors, _server, _admin)) = live().await else { return };
    let order = doors.scenario.order(Who::First, RESIDENT_NOW, &[Mode::Statistics], (100, 0)).await;
    let people: Vec<String> = (0..60).map(id_number).collect();
    let identities: Vec<&str> = people.iter().map(String::as_str).collect();
    doors.scenario.app.give_consents(&identities, doors.scenario.resident_consent()).await.unwrap();
    let sql = "SELECT district, count(*) AS n FROM resident_now GROUP BY district ORDER BY district";
    if let Some(said) = doors.psql(&order, &[sql]).await {
        assert_eq!(said.stdout, "east|20\nwest|40\n", "{said:?}");
    }
    if let Some(said) = doors.adbc(&order, json!([sql])).await {
        assert_eq!(said[0]["ok"]["rows"], json!([["east", 20], ["west", 40]]), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_with_noise_cost_once_and_are_the_same_by_psql_and_by_adbc() {
    let doors = Doors::of(Scenario::open_noised(None, 5_000, "0.5", "0.2").await).await;
    let order = doors.scenario.order(Who::First, TRIP_NOISED, &[Mode::Statistics], (100, 0)).await;
    let by_line = "SELECT line, count(*) AS n FROM trip_noised GROUP BY line ORDER BY line";
    let filtered = "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1'";
    let third = "SELECT count(*) AS n FROM trip_noised WHERE line = 'L2'";
    let mut told = None;
    if let Some(said) = doors.psql(&order, &[by_line]).await {
        let lines: Vec<&str> = said.stdout.lines().filter_map(|line| line.split('|').next()).collect();
        assert_eq!(lines, NOISED_LINES, "{said:?}");
        assert!(said.stderr.contains("privacy: this answer cost 0.2, 0.3 is left"), "{said:?}");
        let again = doors.psql(&order, &[by_line]).await.unwrap();
        assert_eq!(again.stdout, said.stdout, "{again:?}");
        assert!(again.stderr.contains("privacy: this answer cost 0, 0.3 is left"), "{again:?}");
        told = Some(said.stdout);
    }
    if let Some(said) = doors.adbc(&order, json!([by_line, filtered, third])).await {
        let rows = said[0]["ok"]["rows"].as_array().unwrap();
        let rows: String = rows.iter().map(|row| format!("{}|{}\n", row[0].as_str().unwrap(), row[1])).collect();
        if let Some(told) = told {
            assert_eq!(rows, told, "another door, the same noise: {said:?}");
        }
        assert!(said[1]["ok"]["rows"][0][0].is_number(), "{said:?}");
        // 0.1 is left.
        assert!(said[2]["text"].as_str().unwrap().contains("privacy_budget_exhausted"), "{said:?}");
        if let Some(refused) = doors.psql(&order, &[third]).await {
            assert!(refused.stderr.contains("42501: privacy_budget_exhausted: "), "{refused:?}");
        }
    }
}
