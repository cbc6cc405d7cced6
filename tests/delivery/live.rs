//! A product over data that stays in its department's PostgreSQL, as a client sees it, as the database sees it, and as the
//! receipts tell of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_domain::command::Command;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord, RowNaming};
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{FLEET_NOW, FLEET_SQL, Scenario, Who};
use roaring::RoaringTreemap;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};
use serde_json::{Value, json};

use crate::served::Served;

const MODES: [Mode; 4] = [Mode::Rows, Mode::Statistics, Mode::Lookup, Mode::File];

/// A served node whose product reads the table of a department's server, which writes down every statement.
struct Department {
    served: Served,
    server: PrivatePostgres,
    admin: DatabaseConnection,
}

impl Department {
    async fn open() -> Option<Department> {
        let Some(server) = PrivatePostgres::start() else {
            assert!(std::env::var_os("CI").is_none(), "continuous integration has a PostgreSQL");
            return None;
        };
        let url = server.create_database().await;
        let admin = Database::connect(&url).await.unwrap();
        admin.execute_unprepared(FLEET_SQL).await.unwrap();
        let name = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        admin.execute_unprepared(&format!("ALTER DATABASE {name} SET log_statement = 'all'")).await.unwrap();
        let scenario = Scenario::open_live(None, &url).await;
        Some(Department { served: Served::of(scenario, Settings::default()).await, server, admin })
    }

    /// The statements over the table since a place in the log.
    fn statements(&self, begin: usize) -> (String, Vec<String>) {
        let log = self.server.log().unwrap()[begin..].to_owned();
        let statements = log.lines().filter(|line| line.contains("\"fleet\"")).map(str::to_owned).collect();
        (log, statements)
    }
}

fn names(records: &[ReceiptRecord]) -> RoaringTreemap {
    let mut names = RoaringTreemap::new();
    for record in records {
        if let ReceiptBody::Part { row_set, .. } = &record.body {
            names |= RoaringTreemap::deserialize_from(&STANDARD.decode(row_set).unwrap()[..]).unwrap();
        }
    }
    names
}

fn ids(reply: &Value) -> Vec<i64> {
    reply["rows"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_statistics_of_live_data_are_governed_and_receipted() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let order = served.scenario.order(Who::First, FLEET_NOW, &MODES, (1_000, 10)).await;
    let begin = department.server.log().unwrap().len();

    // Pages, sorted by the key; the department's data may change, so no tag stands for an answer.
    let reply = served.get(&order, "/rows?filter=mileage:gt:1501&limit=3&columns=id,plate,cost").await.ok();
    assert!(reply.header("etag").is_none(), "{reply:?}");
    let page = reply.json();
    assert_eq!(ids(&page), [151, 153, 154], "152 is of the south");
    assert_eq!(page["rows"][0]["cost"].as_f64(), Some(151.25));
    let plate = page["rows"][0]["plate"].as_str().unwrap();
    assert!(!plate.contains("GX"), "{plate}");
    let receipt = reply.header("delivery-receipt").unwrap().to_owned();
    let (records, _, totals) = served.closed(&receipt).await;
    let ReceiptBody::Opened(opening) = &records[0].body else { panic!("{records:?}") };
    assert_eq!(opening.rows_named_by, RowNaming::KeyDigest);
    assert_eq!((names(&records).len(), totals.rows), (3, 3));
    let next = page["next_cursor"].as_str().unwrap();
    let path = format!("/rows?filter=mileage:gt:1501&limit=3&columns=id,plate,cost&cursor={next}");
    assert_eq!(ids(&served.get(&order, &path).await.ok().json()), [155, 157, 158]);

    // The same row has the same name in every receipt, and another row another one.
    let one = |id: i64| {
        let order = &order;
        async move {
            let reply = served.get(order, &format!("/rows?filter=id:eq:{id}&columns=id")).await.ok();
            let receipt = reply.header("delivery-receipt").unwrap().to_owned();
            names(&served.closed(&receipt).await.0)
        }
    };
    let (first, again, other) = (one(151).await, one(151).await, one(153).await);
    assert_eq!((first.len(), &first), (1, &again));
    assert!(first.is_subset(&names(&records)) && first.is_disjoint(&other));
    assert!(!first.contains(151), "a number tells nothing of the key");

    // The consumer's own statements: a cast that would fail on every row of the south.
    let sql = "SELECT count(*) AS n FROM fleet_now WHERE CAST(code AS INT) > 424242424 - 424242424";
    let reply = served.post(&order, "/query", json!({"sql": sql, "mode": "rows"})).await.ok();
    assert_eq!(reply.json()["rows"], json!([{"n": 150}]));
    let sql = "SELECT id FROM fleet_now WHERE mileage % 515151515 = 70 ORDER BY cost DESC LIMIT 919191919";
    let reply = served.post(&order, "/query", json!({"sql": sql, "mode": "rows"})).await.ok();
    assert_eq!(ids(&reply.json()), [7]);
    let sql = "SELECT kind, count(*) AS n, sum(cost) AS c FROM fleet_now GROUP BY kind ORDER BY kind";
    let reply = served.post(&order, "/query", json!({"sql": sql, "mode": "statistics"})).await.ok();
    let counts: Vec<_> = reply.json()["rows"].as_array().unwrap().iter().map(|row| row["n"].clone()).collect();
    assert_eq!(counts, [50, 50, 50]);

    let (log, statements) = department.statements(begin);
    assert!(statements.len() >= 6, "{log}");
    for statement in &statements {
        assert!(statement.contains("(\"region\" = $1)"), "no row filter in {statement}");
        for word in ["LIMIT", "COUNT(", "SUM(", "CAST", "::", "ORDER BY", "GROUP BY", "OFFSET", " % "] {
            assert!(!statement.to_uppercase().contains(word), "{word} in {statement}");
        }
    }
    for kept_here in ["424242424", "515151515", "919191919"] {
        assert!(!log.contains(kept_here), "{kept_here} reached the database: {log}");
    }
    assert!(log.contains("1501"), "a comparison of an unmasked column with a constant goes along");

    // The journal with the agreement, and receipts that hold digests, fold again to the same.
    served.scenario.app.publish_log().await.unwrap();
    let replayed = served.scenario.app.replay_check().await.unwrap();
    assert!(replayed.agrees, "{:?}", replayed.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_copy_is_refused_and_a_database_that_is_gone_is_not_described() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let order = served.scenario.order(Who::First, FLEET_NOW, &MODES, (1_000, 10)).await;
    let lookup = served.post(&order, "/lookup", json!({"key": {"id": 151}})).await;
    assert_eq!(lookup.problem(), (403, "mode_not_granted".to_owned()));
    let export = served.get(&order, "/export?format=csv").await;
    assert_eq!(export.problem(), (403, "mode_not_granted".to_owned()));
    assert!(served.get(&order, "/rows?filter=id:eq:151").await.ok().text().contains("151"));

    department.admin.execute_unprepared("ALTER TABLE public.fleet RENAME TO moved").await.unwrap();
    for path in ["/rows?filter=id:eq:151", "/rows"] {
        let reply = served.get(&order, path).await;
        assert_eq!(reply.problem(), (503, "source_unavailable".to_owned()), "{}", reply.text());
        for secret in ["public", "transport", "42P01", "fleet\""] {
            assert!(!reply.text().contains(secret), "{secret} in {}", reply.text());
        }
    }
    // It comes back without anybody doing anything here.
    department.admin.execute_unprepared("ALTER TABLE public.moved RENAME TO fleet").await.unwrap();
    assert!(served.get(&order, "/rows?filter=id:eq:151").await.ok().text().contains("151"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_its_own_provider_and_a_live_resource_stays_live() {
    let Some(department) = Department::open().await else { return };
    let scenario = &department.served.scenario;
    let clerk = scenario.clerk(Who::Provider);
    let fleet = scenario.resource("fleet").clone();
    // Another party's connection, and one that does not exist, read the same.
    for connection in ["elsewhere", "nowhere"] {
        let mut source = Scenario::fleet_source();
        source.connection = connection.to_owned();
        let problem = scenario.app.declare_live(clerk, &fleet, source).await.unwrap_err().problem();
        assert_eq!((problem.code.as_str(), problem.status), ("not_found", 404), "{problem:?}");
    }
    // Of a table with other columns all differences are told to the provider.
    department.admin.execute_unprepared("CREATE TABLE public.odd (id text, region text)").await.unwrap();
    let mut source = Scenario::fleet_source();
    source.table = "odd".to_owned();
    let error = scenario.app.declare_live(clerk, &fleet, source).await.unwrap_err().to_string();
    assert!(error.contains("missing") && error.contains("`plate`") && error.contains("of another type: id"), "{error}");
    // Data about persons is taken in, so that consent can be applied; stored data stays stored.
    for (table, reason) in [("people", "about persons"), ("trips", "live")] {
        let error =
            scenario.app.declare_live(clerk, scenario.resource(table), Scenario::fleet_source()).await.unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
    // A product over it that computes is refused when it is drafted.
    let product = scenario.app.read(|state| state.products[scenario.product(FLEET_NOW)].value.details.clone());
    for sql in ["SELECT id, mileage / 2 AS half FROM fleet", "SELECT kind, count(*) AS id FROM fleet GROUP BY kind"] {
        let details =
            ProductDetails { sql: sql.to_owned(), table: ColumnName::new("fleet_half").unwrap(), ..product.clone() };
        let draft = Command::DraftProduct { details: Box::new(details) };
        let error = scenario.app.execute(scenario.clerk(Who::Operator), draft, Default::default()).await.unwrap_err();
        assert!(error.to_string().contains("computes nothing"), "{sql}: {error}");
    }
    let again = scenario.app.declare_live(clerk, &fleet, Scenario::fleet_source()).await.unwrap();
    assert_eq!((again.version, again.rows), (1, 0));
}
