//! The PostgreSQL protocol by psql, psycopg 3 and the JDBC driver.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::node::{Ended, run_command};
use lingqu_tests::quota::differing_accounts;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_CHECK, TRIP_RECORDS, TRIP_STATISTICS, Who};
use sea_orm::{ConnectionTrait, Database};
use serde_json::Value;
use tokio::sync::watch;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::clients;
use crate::node::played;

const JDBC_DRIVER: &str = "/usr/share/java/postgresql.jar";

/// A scenario whose data plane answers this protocol.
struct Wired {
    scenario: Scenario,
    address: SocketAddr,
    _running: watch::Sender<bool>,
}

impl Wired {
    async fn open(trips: usize) -> Wired {
        Wired::open_with(trips, None).await
    }

    async fn open_with(trips: usize, tls: Option<Arc<ServerConfig>>) -> Wired {
        drop(
            tracing_subscriber::fmt()
                .with_max_level(tracing_subscriber::filter::LevelFilter::WARN)
                .with_test_writer()
                .try_init(),
        );
        let scenario = Scenario::open(None, trips).await;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let deliveries = Deliveries::new(scenario.app.clone(), Settings::default());
        let (running, stopped) = watch::channel(false);
        tokio::spawn(lingqu_gateway::postgres::serve(deliveries, listener, tls, 64, stopped));
        Wired { scenario, address, _running: running }
    }

    /// A connection's address, as libpq takes it.
    fn dsn(&self, order: &Ordered) -> String {
        format!("postgresql://{}:{}@{}/lingqu", order.id, order.key, self.address)
    }

    async fn head(&self) -> u64 {
        self.scenario.app.receipts().head().await.unwrap()
    }

    async fn records(&self, receipt: &str) -> Vec<ReceiptRecord> {
        let log = self.scenario.app.receipts();
        let mut records = Vec::new();
        for position in log.positions_of_receipt(receipt).await.unwrap() {
            let stored = log.read(position).await.unwrap().unwrap();
            records.push(serde_json::from_slice(&stored.receipt.record).unwrap());
        }
        records
    }

    /// How a delivery ended, and the rows that its records name; waits for its closing record.
    async fn closed(&self, receipt: &str) -> (Outcome, u64) {
        for _ in 0..200 {
            let records = self.records(receipt).await;
            let named = records.iter().map(|record| match &record.body {
                ReceiptBody::Part { rows, .. } => *rows,
                _ => 0,
            });
            let named = named.sum();
            match records.last().map(|record| &record.body) {
                Some(ReceiptBody::Closed { outcome, .. }) => return (outcome.clone(), named),
                Some(ReceiptBody::Single { totals, .. }) => return (Outcome::Delivered, totals.rows),
                _ => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
        panic!("{receipt} was not closed within ten seconds");
    }

    /// Every delivery since a position, in order of their first records.
    async fn deliveries_since(&self, head: u64) -> Vec<String> {
        let log = self.scenario.app.receipts();
        let mut receipts: Vec<String> = Vec::new();
        for position in head + 1..=self.head().await {
            let stored = log.read(position).await.unwrap().unwrap();
            let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record).unwrap();
            if !receipts.contains(&record.receipt.to_string()) {
                receipts.push(record.receipt.to_string());
            }
        }
        receipts
    }
}

/// Where a program is missing this protocol is not tested with it, which in CI is a failure.
fn has(program: &str, is_there: bool) -> bool {
    assert!(is_there || std::env::var_os("CI").is_none(), "{program} is missing; run make setup");
    if !is_there {
        eprintln!("\n*** {program} IS MISSING: THE PROTOCOL WAS NOT TESTED WITH IT. Run `make setup`. ***\n");
    }
    is_there
}

fn runs(program: &str, argument: &str) -> bool {
    let status = Command::new(program).arg(argument).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// Runs psql with commands, one after the other.
async fn psql(dsn: &str, commands: &[&str]) -> Ended {
    let mut command = Command::new("psql");
    command.args(["-X", "--no-password", "-v", "VERBOSITY=verbose", "-P", "pager=off", "-d", dsn]);
    for text in commands {
        command.args(["-c", text]);
    }
    command.env("PGCONNECT_TIMEOUT", "20");
    tokio::task::spawn_blocking(|| run_command(command)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn psql_looks_around_and_asks() {
    if !has("psql", runs("psql", "--version")) {
        return;
    }
    let wired = Wired::open(3_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (50, 0)).await;
    let dsn = wired.dsn(&order);
    let head = wired.head().await;

    let looked =
        psql(&dsn, &[r"\d", r"\dt", r"\dt+", r"\d trip_records", r"\d+ trip_records", r"\dn", r"\l", r"\conninfo"])
            .await;
    let index = psql(&dsn, &[r"\d trip_records_pkey", r"\di"]).await;
    assert_eq!(index.code, Some(0), "{index:?}");
    for shown in ["trip_id | bigint | yes  | trip_id", "primary key, btree, for table \"public.trip_records\""] {
        assert!(index.stdout.contains(shown), "{shown}: {index:?}");
    }
    assert_eq!(looked.code, Some(0), "{looked:?}");
    for shown in ["public | trip_records | table", "trip_id | bigint", "day     | date", "vehicle | text"] {
        assert!(looked.stdout.contains(shown), "{shown}: {looked:?}");
    }
    // What identifies a row.
    assert!(looked.stdout.contains("\"trip_records_pkey\" PRIMARY KEY, btree (trip_id)"), "{looked:?}");
    // Comments of the table and of each of its columns.
    for shown in ["trip_records：测试产品", "| trip_id 的含义", "| vehicle 的含义"] {
        assert!(looked.stdout.contains(shown), "{shown}: {looked:?}");
    }
    assert!(!looked.stderr.contains("ERROR"), "{looked:?}");
    // Each list is answered, if only by that there is nothing of the kind.
    let mut lists = Vec::new();
    for letter in ["", "t", "v", "i", "n", "u", "f", "T", "p", "m", "s", "E"] {
        lists.push(format!(r"\d{letter}"));
        lists.push(format!(r"\d{letter}+"));
    }
    lists.extend([r"\l", r"\l+", r"\z", r"\dD"].map(str::to_owned));
    for list in &lists {
        let listed = psql(&dsn, &[list.as_str()]).await;
        assert_eq!((listed.code, listed.stderr.contains("ERROR")), (Some(0), false), "{list}: {listed:?}");
    }
    assert_eq!(wired.head().await, head, "looking around leaves no receipt");

    let sql = "SELECT trip_id, line, day, delay FROM trip_records WHERE trip_id IN (3, 4) ORDER BY trip_id";
    let asked = psql(&dsn, &["-- nothing", sql, "SHOW lingqu.receipt", "SHOW lingqu.receipt_rows"]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.stdout.contains("3 | L3   | 2025-03-04 |      "), "{asked:?}");
    assert!(asked.stdout.contains("4 | L4   | 2025-03-05 |     4"), "{asked:?}");
    assert!(asked.stdout.contains("exact"), "{asked:?}");
    let receipts = wired.deliveries_since(head).await;
    assert_eq!(receipts.len(), 1);
    assert!(asked.stdout.contains(&receipts[0]), "{receipts:?} {asked:?}");
    assert_eq!(wired.closed(&receipts[0]).await, (Outcome::Delivered, 2));

    let head = wired.head().await;
    let refused = psql(&dsn, &["SELECT secret FROM trip_records"]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("ERROR:  42703: column_not_granted: there is no column `secret`"), "{refused:?}");
    assert!(refused.stderr.contains("DETAIL:  查询中的字段不存在或未授权"), "{refused:?}");
    assert_eq!(wired.head().await, head, "a refusal leaves no receipt");
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_lookup_and_verification_answer_what_they_may() {
    if !has("psql", runs("psql", "--version")) {
        return;
    }
    let wired = Wired::open(3_000).await;
    let statistics = wired.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (50, 0)).await;
    let counted = "SELECT line, count(*) AS trips FROM trip_statistics GROUP BY line ORDER BY line";
    let asked = psql(&wired.dsn(&statistics), &[counted, "SELECT line FROM trip_statistics"]).await;
    assert!(asked.stdout.contains("L0   |   600"), "{asked:?}");
    assert!(asked.stderr.contains("groups_suppressed: 2 groups"), "{asked:?}");
    assert!(asked.stderr.contains("not_an_aggregate: "), "{asked:?}");

    let lookup = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Lookup], (50, 0)).await;
    let head = wired.head().await;
    let one = "SELECT line, delay FROM public.trip_records WHERE trip_id = 6";
    let asked = psql(&wired.dsn(&lookup), &[one, "SELECT line FROM trip_records"]).await;
    assert!(asked.stdout.contains("L1   |     6"), "{asked:?}");
    assert!(asked.stderr.contains("key_predicate_needed: "), "{asked:?}");
    assert_eq!(wired.deliveries_since(head).await.len(), 1);

    let verification = wired.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (50, 0)).await;
    let asked = psql(&wired.dsn(&verification), &["SELECT line FROM trip_check"]).await;
    assert!(asked.stderr.contains("statements_not_granted: "), "{asked:?}");
}

async fn python(dsn: &str, part: &'static str) -> Option<Ended> {
    let python = clients::python()?;
    let dsn = dsn.to_owned();
    Some(tokio::task::spawn_blocking(move || clients::script(&python, "postgres.py", &[&dsn, part])).await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_asks_with_parameters_and_cursors() {
    let wired = Wired::open(3_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let head = wired.head().await;
    let Some(ended) = python(&wired.dsn(&order), "rows").await else { return };
    // The client's receipts are all there are, and each is closed as whole. Of two statements in one message the client
    // keeps the last receipt alone.
    let told: Vec<&str> = ended.stdout.lines().collect();
    let receipts = wired.deliveries_since(head).await;
    assert_eq!(receipts.len(), told.len() + 1, "{told:?} {receipts:?}");
    for receipt in told {
        assert!(receipts.contains(&receipt.to_owned()), "{receipt}");
        assert_eq!(wired.closed(receipt).await.0, Outcome::Delivered, "{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn psycopg_cancels_and_sets_a_time() {
    let wired = Wired::open(3_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    if python(&wired.dsn(&order), "stopped").await.is_none() {
        return;
    }
    // Whatever was begun is closed; nothing of it still runs, and what was reserved for it is settled by its receipt.
    for receipt in wired.deliveries_since(0).await {
        wired.closed(&receipt).await;
    }
    let mut differing = differing_accounts(&wired.scenario.app, &order.id).await;
    for _ in 0..100 {
        if differing.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        differing = differing_accounts(&wired.scenario.app, &order.id).await;
    }
    assert_eq!(differing, Vec::<String>::new());
}

/// Plays a part of the protocol written by hand and answers what it told.
async fn by_hand(wired: &Wired, order: &Ordered, part: &'static str) -> Option<Value> {
    let python = clients::python()?;
    let address = wired.address;
    let (order, key) = (order.id.to_string(), order.key.clone());
    let ended = tokio::task::spawn_blocking(move || {
        let (host, port) = (address.ip().to_string(), address.port().to_string());
        clients::script(&python, "wire.py", &[&host, &port, &order, &key, part])
    });
    Some(serde_json::from_str(&ended.await.unwrap().stdout).unwrap())
}

/// Receipts and how many rows of each came, as a script tells them.
fn told(pairs: &Value) -> Vec<(String, u64)> {
    serde_json::from_value(pairs.clone()).unwrap()
}

/// No driver shows how many rows an Execute brought: it would not tell one that is limited from one that is not.
#[tokio::test(flavor = "multi_thread")]
async fn an_execute_brings_as_many_rows_as_it_asks_for() {
    let wired = Wired::open(10_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let Some(found) = by_hand(&wired, &order, "portals").await else { return };
    let whole = told(&found["whole"]);
    assert_eq!(whole.len(), 5);
    for (receipt, rows) in whole {
        assert_eq!(wired.closed(&receipt).await, (Outcome::Delivered, rows), "{receipt}");
    }
    let [(receipt, rows)] = &told(&found["abandoned"])[..] else { panic!("{found}") };
    let (outcome, named) = wired.closed(receipt).await;
    assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() });
    assert!(*rows <= named, "{rows} rows were given and {named} named");
}

/// Asked for the columns of a portal that fetches from itself, the node looked for them in it for ever, until its stack had ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_portal_that_fetches_from_itself_is_no_cursor() {
    let wired = Wired::open(100).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let Some(found) = by_hand(&wired, &order, "circles").await else { return };
    let [(receipt, rows)] = &told(&found)[..] else { panic!("{found}") };
    assert_eq!(wired.closed(receipt).await, (Outcome::Delivered, *rows), "{receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_s_time_passes_while_its_rows_are_on_their_way() {
    let wired = Wired::open(12_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let Some(found) = by_hand(&wired, &order, "slow").await else { return };
    let stopped = told(&found);
    assert_eq!(stopped.len(), 2);
    for (receipt, rows) in stopped {
        let (outcome, named) = wired.closed(&receipt).await;
        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() }, "{receipt}");
        assert!(rows <= named, "{rows} rows were given and {named} named");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_is_met_by_the_next_statement_and_the_next_batch() {
    let Some(python) = clients::python() else { return };
    let wired = Wired::open(12_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/postgres.py");
    let mut command = Command::new(python);
    command.arg(script).args([&wired.dsn(&order), "suspended"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let (line, stdout) = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        (line, stdout)
    })
    .await
    .unwrap();
    assert_eq!(line, "ready\n");
    wired.scenario.suspend_mandate("数据召回").await;
    child.stdin.take().unwrap().write_all(b"\n").unwrap();
    let (said, status) = tokio::task::spawn_blocking(move || {
        let mut said = Vec::new();
        for line in stdout.lines() {
            said.push(line.unwrap());
        }
        (said, child.wait().unwrap())
    })
    .await
    .unwrap();
    assert!(status.success(), "{said:?}");
    let (taken, receipt) = (said[0].parse::<u64>().unwrap(), &said[1]);
    let (outcome, named) = wired.closed(receipt).await;
    assert_eq!(outcome, Outcome::Stopped { code: "grant_suspended".to_owned() });
    assert!(taken < 9_900 && taken <= named, "{taken} rows were given and {named} named");
}

/// Runs the JDBC driver's program with what it is to do.
async fn jdbc(wired: &Wired, order: &Ordered, parts: &[&str]) -> Option<Ended> {
    if !has("the JDBC driver", Path::new(JDBC_DRIVER).is_file() && runs("java", "-version")) {
        return None;
    }
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("interop/Jdbc.java");
    let mut command = Command::new("java");
    command.args(["-cp", JDBC_DRIVER]).arg(source);
    command.args([&format!("jdbc:postgresql://{}/lingqu", wired.address), &order.id.to_string(), &order.key]);
    command.args(parts);
    let ended = tokio::task::spawn_blocking(|| run_command(command)).await.unwrap();
    assert_eq!(ended.code, Some(0), "{ended:?}");
    Some(ended)
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc_is_answered_whatever_its_metadata_can_be_asked() {
    let wired = Wired::open(100).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let head = wired.head().await;
    if jdbc(&wired, &order, &["metadata"]).await.is_some() {
        assert_eq!(wired.head().await, head, "looking around leaves no receipt");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn jdbc_reads_metadata_and_fetches_a_few_rows_at_a_time() {
    let wired = Wired::open(3_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    let head = wired.head().await;
    let Some(ended) = jdbc(&wired, &order, &[]).await else { return };
    let told: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(wired.deliveries_since(head).await, told);
    assert_eq!(told.len(), 4);
    for receipt in told {
        assert_eq!(wired.closed(receipt).await.0, Outcome::Delivered);
    }
}

/// A certificate for this test alone, that nobody vouches for.
fn certificate() -> Arc<ServerConfig> {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("certificate.pem"), directory.path().join("key.pem"));
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-keyout"]).arg(&key).arg("-out").arg(&certificate);
    let made = run_command(command);
    assert_eq!(made.code, Some(0), "{made:?}");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_file(certificate).unwrap()],
            PrivateKeyDer::from_pem_file(key).unwrap(),
        );
    Arc::new(config.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_may_be_encrypted() {
    if !has("psql", runs("psql", "--version")) || !has("openssl", runs("openssl", "version")) {
        return;
    }
    let wired = Wired::open_with(1_000, Some(certificate())).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (50, 0)).await;
    let sql = "SELECT line FROM trip_records WHERE trip_id = 1";
    let asked = psql(&format!("{}?sslmode=require", wired.dsn(&order)), &[sql, r"\conninfo"]).await;
    assert!(asked.stdout.contains(" L1"), "{asked:?}");
    assert!(asked.stdout.contains("SSL connection (protocol: TLSv1.3"), "{asked:?}");
    // From the node's own machine it need not be.
    let asked = psql(&format!("{}?sslmode=disable", wired.dsn(&order)), &[sql]).await;
    assert!(asked.stdout.contains(" L1"), "{asked:?}");
    // Where the listener has no certificate nothing pretends to have one.
    let plain = Wired::open(1_000).await;
    let order = plain.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (50, 0)).await;
    let asked = psql(&format!("{}?sslmode=require", plain.dsn(&order)), &[sql]).await;
    assert_eq!(asked.code, Some(2), "{asked:?}");
}

/// Whoever can write into the store can't let himself in: what verifies a key opens in its own row alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_row_opens_no_door() {
    if !has("psql", runs("psql", "--version")) {
        return;
    }
    let wired = Wired::open(1_000).await;
    let order = wired.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (50, 0)).await;
    let other = wired.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows], (50, 0)).await;
    let with_others_key = Ordered { key: other.key.clone(), ..order.clone() };
    let sql = "SELECT line FROM trip_records WHERE trip_id = 1";
    let refused = async |order: &Ordered| {
        let asked = psql(&wired.dsn(order), &[sql]).await;
        assert_eq!(asked.code, Some(2), "{asked:?}");
        assert!(asked.stderr.contains("bad_service_key: "), "{asked:?}");
    };
    assert!(psql(&wired.dsn(&order), &[sql]).await.stdout.contains(" L1"));
    refused(&with_others_key).await;

    let url = format!("sqlite://{}", wired.scenario.app.directory().join("node.db").display());
    let store = Database::connect(url).await.unwrap();
    let swap = format!(
        "UPDATE service_key SET scram_sealed = (SELECT scram_sealed FROM service_key WHERE order_id = '{}')
         WHERE order_id = '{}'",
        other.id, order.id
    );
    store.execute_unprepared(&swap).await.unwrap();
    refused(&with_others_key).await;
    refused(&order).await;
    assert!(psql(&wired.dsn(&other), &[sql]).await.stdout.contains(" L1"));
    // As a key that was issued before keys had verifiers: it is for the other protocols.
    store.execute_unprepared("UPDATE service_key SET scram_sealed = NULL").await.unwrap();
    refused(&other).await;
    assert!(wired.scenario.app.serving(&other.key).await.is_ok());
}

/// The real binary: an order of the demo, by its key.
#[tokio::test(flavor = "multi_thread")]
async fn a_served_node_answers_psql() {
    if !has("psql", runs("psql", "--version")) {
        return;
    }
    let (order, served) = tokio::task::spawn_blocking(|| (played().order_by("rows"), played().serve())).await.unwrap();
    let host = served.node.postgres_url.strip_prefix("postgres://").unwrap();
    let dsn = format!("postgresql://{}:{}@{host}", order.id, order.key);
    let asked = psql(&dsn, &[r"\dt", "SHOW session_authorization"]).await;
    assert_eq!(asked.code, Some(0), "{asked:?}");
    assert!(asked.stdout.contains(" | table | "), "{asked:?}");
    assert!(asked.stdout.contains(&order.id), "{asked:?}");
    let table = asked.stdout.lines().find_map(|line| line.split(" | ").nth(1).filter(|name| name.trim() != "Name"));
    let table = table.unwrap().trim();
    let counted = psql(&dsn, &[&format!("SELECT count(*) > 0 AS found FROM {table}"), "SHOW lingqu.nature"]).await;
    assert!(counted.stdout.contains("found \n-------\n t"), "{counted:?}");
    assert!(counted.stdout.contains(&order.nature), "{counted:?}");
}
