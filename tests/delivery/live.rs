//! A product over data that stays in its department's PostgreSQL, as a client sees it, as the database sees it, and as the
//! receipts tell of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_domain::command::Command;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord, RowNaming};
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{FLEET_NOW, FLEET_SQL, RESIDENT_NOW, Scenario, Who, id_number};
use lingqu_tests::{PrivatePostgres, until_waiting};
use roaring::RoaringTreemap;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, TransactionTrait};
use serde_json::{Value, json};

use crate::served::{Reply, Served};

const MODES: [Mode; 4] = [Mode::Rows, Mode::Statistics, Mode::Lookup, Mode::File];

/// A served node whose product reads the table of a department's server, which writes down every statement.
struct Department {
    served: Served,
    server: PrivatePostgres,
    admin: DatabaseConnection,
}

impl Department {
    async fn open() -> Option<Department> {
        Department::open_with(FLEET_SQL).await
    }

    /// The same with tables that these statements make.
    async fn open_with(tables: &str) -> Option<Department> {
        let server = PrivatePostgres::needed_alone("live tables")?;
        let url = server.create_database().await;
        let admin = Database::connect(&url).await.unwrap();
        admin.execute_unprepared(tables).await.unwrap();
        let name = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
        admin.execute_unprepared(&format!("ALTER DATABASE {name} SET log_statement = 'all'")).await.unwrap();
        let scenario = Scenario::open_live(None, &url).await;
        Some(Department { served: Served::of(scenario, Settings::default()).await, server, admin })
    }

    /// The statements over a table since a place in the log.
    fn statements(&self, table: &str, begin: usize) -> (String, Vec<String>) {
        let log = self.server.log().unwrap()[begin..].to_owned();
        let is_reading = |line: &&str| line.contains(&format!("\"{table}\"")) && !line.contains("LOCK TABLE");
        let statements = log.lines().filter(is_reading).map(str::to_owned).collect();
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

    // Decimals by the numbers that they are.
    let dear = "UPDATE public.fleet SET cost = 7654321.89 WHERE id = 157";
    department.admin.execute_unprepared(dear).await.unwrap();
    for filter in ["cost:eq:7654321.89", "cost:in:7654321.89,1.005", "cost:gt:7654320.75"] {
        let reply = served.get(&order, &format!("/rows?filter={filter}&columns=id")).await.ok();
        assert_eq!(ids(&reply.json()), [157], "{filter}");
    }
    let sql = "SELECT id FROM fleet_now WHERE cost = 7654321.89";
    let reply = served.post(&order, "/query", json!({"sql": sql, "mode": "rows"})).await.ok();
    assert_eq!(ids(&reply.json()), [157]);

    let (log, statements) = department.statements("fleet", begin);
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
    for gone_along in ["1501", "7654320.75"] {
        assert!(log.contains(gone_along), "a comparison of an unmasked column with a constant goes along: {log}");
    }

    // The journal with the agreement, and receipts that hold digests, fold again to the same.
    served.scenario.app.publish_log().await.unwrap();
    let replayed = served.scenario.app.replay_check().await.unwrap();
    assert!(replayed.agrees, "{:?}", replayed.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_keys_are_asked_for_by_their_keys_and_hidden_ones_are_not_found() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let order = served.scenario.order(Who::First, FLEET_NOW, &MODES, (1_000, 10)).await;
    let begin = department.server.log().unwrap().len();
    let reply = served.get(&order, "/lookup/151").await.ok();
    assert!(reply.header("etag").is_none(), "live data may change at any time");
    let row = reply.json()["rows"][0].clone();
    assert_eq!((&row["id"], &row["mileage"], row["cost"].as_f64()), (&json!(151), &json!(1_510), Some(151.25)));
    assert!(!row["plate"].as_str().unwrap().contains("GX"), "{row}");
    let records = served.records(reply.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { opening, row_set, totals } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((opening.rows_named_by, totals.rows), (RowNaming::KeyDigest, 1));
    let named = RoaringTreemap::deserialize_from(&STANDARD.decode(row_set).unwrap()[..]).unwrap();
    // The row has the name that it has in the receipt of a page.
    let page = served.get(&order, "/rows?filter=id:eq:151&columns=id").await.ok();
    assert_eq!(names(&served.closed(page.header("delivery-receipt").unwrap()).await.0), named);
    // 152 is of the south, and reads as 9999, which there is not.
    let keys = json!({"keys": [{"id": 152}, {"id": 9_999}, {"id": 7}]});
    let rows = served.post(&order, "/lookup", keys).await.ok().json()["rows"].clone();
    assert_eq!((&rows[0], &rows[1], &rows[2]["id"]), (&Value::Null, &Value::Null, &json!(7)));
    let (log, statements) = department.statements("fleet", begin);
    assert!(statements.len() >= 3, "{log}");
    for statement in &statements {
        assert!(statement.contains("(\"region\" = $1)") && statement.contains("\"id\""), "{statement}");
        assert!(statement.contains(" IN (") || statement.contains("\"id\" = "), "all rows were asked for: {statement}");
    }
    // A wrong key is one wherever the data is.
    let wrong = served.post(&order, "/lookup", json!({"keys": [{"id": "x"}]})).await;
    assert_eq!(wrong.status, 422, "{}", wrong.text());
    // A table that is none by its key gives no row by chance.
    department.admin.execute_unprepared("ALTER TABLE public.fleet DROP CONSTRAINT fleet_pkey").await.unwrap();
    department
        .admin
        .execute_unprepared("INSERT INTO public.fleet SELECT * FROM public.fleet WHERE id = 7")
        .await
        .unwrap();
    let twice = served.get(&order, "/lookup/7").await;
    assert_eq!(twice.problem(), (503, "source_changed".to_owned()), "{}", twice.text());
    assert_eq!(served.get(&order, "/lookup/151").await.ok().json()["rows"][0]["id"], 151);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_live_data_about_persons_nobody_exists_without_his_consent() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let app = &served.scenario.app;
    let modes = [Mode::Verification, Mode::Statistics];
    let order = served.scenario.order(Who::First, RESIDENT_NOW, &modes, (1_000, 0)).await;
    let claim = |person: usize| json!({"key": {"id_number": id_number(person)}, "claim": {"points": 3}});
    let begin = department.server.log().unwrap().len();
    for person in [0, 500] {
        let reply = served.post(&order, "/verify", claim(person)).await.ok();
        assert_eq!(reply.json()["result"], "not_found", "nobody learns who is in the register");
    }
    // The department is not even asked about somebody who does not consent.
    assert!(department.statements("residents", begin).1.is_empty());

    let given = app.give_consent(&id_number(0), served.scenario.resident_consent()).await.unwrap();
    app.give_consent(&id_number(1), served.scenario.resident_consent()).await.unwrap();
    let reply = served.post(&order, "/verify", claim(0)).await.ok();
    assert_eq!((&reply.json()["result"], reply.header("data-nature")), (&json!("match"), Some("SYNTHETIC")));
    let claims: Vec<Value> = [0, 1, 2].into_iter().map(claim).collect();
    let batch = served.post(&order, "/verify", json!({"claims": claims})).await.ok();
    assert_eq!(batch.json()["results"], json!(["match", "mismatch", "not_found"]));
    let log = department.statements("residents", begin).0;
    assert!(log.contains(&id_number(1)) && !log.contains(&id_number(2)), "{log}");
    // Receipts name digests of keys, and no identity stands in them.
    let records = served.records(batch.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { opening, totals, .. } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((opening.rows_named_by, totals.rows, totals.calls), (RowNaming::KeyDigest, 2, 3));
    assert!(!serde_json::to_string(&records).unwrap().contains("4500001990"));

    // Statistics count those who consent and nobody else.
    let people: Vec<String> = (2..60).map(id_number).collect();
    let identities: Vec<&str> = people.iter().map(String::as_str).collect();
    app.give_consents(&identities, served.scenario.resident_consent()).await.unwrap();
    let sql = "SELECT district, count(*) AS n FROM resident_now GROUP BY district ORDER BY district";
    let reply = served.post(&order, "/query", json!({"sql": sql, "mode": "statistics"})).await.ok();
    assert_eq!(reply.json()["rows"], json!([{"district": "east", "n": 20}, {"district": "west", "n": 40}]));
    // Each sees where his row went by the digest of his own key.
    for (person, expected) in [
        (0, &[Mode::Statistics, Mode::Verification, Mode::Verification][..]),
        (1, &[Mode::Statistics, Mode::Verification]),
        (2, &[Mode::Statistics]),
        (500, &[]),
    ] {
        let page = app.uses_of(&id_number(person), None, 50).await.unwrap();
        assert_eq!(page.uses.iter().map(|found| found.opening.mode).collect::<Vec<_>>(), expected, "person {person}");
        assert!(page.uses.iter().all(|found| found.rows == 1) && page.not_tied.is_empty() && page.untold == 0);
    }
    // A consent that is withdrawn ends at the next request, whatever was known before.
    app.withdraw_consent(&id_number(0), &given).await.unwrap();
    assert_eq!(served.post(&order, "/verify", claim(0)).await.ok().json()["result"], "not_found");
    assert_eq!(served.post(&order, "/verify", claim(1)).await.ok().json()["result"], "mismatch");
    app.publish_log().await.unwrap();
    let replayed = app.replay_check().await.unwrap();
    assert!(replayed.agrees, "{:?}", replayed.differences);
}

/// A key of type `character(n)` comes with blanks up to its length, and receipts name the row by the text as it came.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_a_key_that_comes_with_blanks_sees_where_his_row_went() {
    const WIDTH: usize = 24;
    let padded = format!("{FLEET_SQL}; ALTER TABLE public.residents ALTER id_number TYPE character({WIDTH})");
    let Some(department) = Department::open_with(&padded).await else { return };
    let served = &department.served;
    let app = &served.scenario.app;
    let modes = [Mode::Verification, Mode::Statistics];
    let order = served.scenario.order(Who::First, RESIDENT_NOW, &modes, (1_000, 0)).await;
    let people: Vec<String> = (0..60).map(id_number).collect();
    let identities: Vec<&str> = people.iter().map(String::as_str).collect();
    app.give_consents(&identities, served.scenario.resident_consent()).await.unwrap();
    let claim = json!({"key": {"id_number": format!("{:<WIDTH$}", id_number(0))}, "claim": {"points": 3}});
    assert_eq!(served.post(&order, "/verify", claim).await.ok().json()["result"], "match");
    let sql = "SELECT district, count(*) AS n FROM resident_now GROUP BY district ORDER BY district";
    let reply = served.post(&order, "/query", json!({"sql": sql, "mode": "statistics"})).await.ok();
    assert_eq!(reply.json()["rows"], json!([{"district": "east", "n": 20}, {"district": "west", "n": 40}]));
    for (person, expected) in
        [(0, &[Mode::Statistics, Mode::Verification][..]), (1, &[Mode::Statistics]), (60, &[]), (500, &[])]
    {
        let page = app.uses_of(&id_number(person), None, 50).await.unwrap();
        assert_eq!(page.uses.iter().map(|found| found.opening.mode).collect::<Vec<_>>(), expected, "person {person}");
        assert!(page.uses.iter().all(|found| found.rows == 1) && page.not_tied.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_needs_a_copy_is_refused_and_a_database_that_is_gone_is_not_described() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let order = served.scenario.order(Who::First, FLEET_NOW, &MODES, (1_000, 10)).await;
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
async fn a_changed_table_is_read_again_only_as_far_as_it_still_is_what_was_registered() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let order = served.scenario.order(Who::First, FLEET_NOW, &MODES, (1_000, 10)).await;
    let path = "/rows?filter=id:eq:151&columns=id,mileage";
    let before = served.get(&order, path).await.ok().json()["rows"].clone();
    // Another width of the same kind of number: noticed once, then read by the new type.
    department.admin.execute_unprepared("ALTER TABLE public.fleet ALTER mileage TYPE bigint").await.unwrap();
    let reply = served.get(&order, path).await;
    assert_eq!(reply.problem(), (503, "source_changed".to_owned()), "{}", reply.text());
    for secret in ["public", "transport", "mileage", "bigint", "fleet\""] {
        assert!(!reply.text().contains(secret), "{secret} in {}", reply.text());
    }
    assert_eq!(served.get(&order, path).await.ok().json()["rows"], before);
    // Another kind: not what was registered, however often it is asked for, until somebody undoes it.
    let change = "ALTER TABLE public.fleet ALTER mileage TYPE date USING date '2000-01-01' + mileage::int";
    department.admin.execute_unprepared(change).await.unwrap();
    for _ in 0..3 {
        assert_eq!(served.get(&order, path).await.problem(), (503, "source_changed".to_owned()));
    }
    let change = "ALTER TABLE public.fleet ALTER mileage TYPE int USING mileage - date '2000-01-01'";
    department.admin.execute_unprepared(change).await.unwrap();
    assert_eq!(served.get(&order, path).await.ok().json()["rows"], before);
}

/// Changes of the fleet under a lock that nobody passes, and what a question is told that begins meanwhile; none: the answer. All
/// but the last leave one more of mileage in every row.
const CHANGES: [(&str, Option<&str>); 5] = [
    // Every row is written anew: to a state that is fixed before, the table would be empty.
    ("ALTER TABLE public.fleet ALTER mileage TYPE int USING mileage + 1", None),
    ("UPDATE public.fleet SET mileage = mileage + 1", None),
    // Another table takes its place.
    (
        "CREATE TABLE public.next (LIKE public.fleet INCLUDING ALL);
         INSERT INTO public.next SELECT id, region, kind, plate, code, mileage + 1, cost FROM public.fleet;
         DROP TABLE public.fleet; ALTER TABLE public.next RENAME TO fleet",
        None,
    ),
    ("ALTER TABLE public.fleet ALTER mileage TYPE bigint USING mileage + 1", Some("source_changed")),
    ("ALTER TABLE public.fleet RENAME TO moved", Some("source_unavailable")),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_question_during_a_change_is_answered_from_after_it_or_told_why_not() {
    let Some(department) = Department::open().await else { return };
    let served = &department.served;
    let order = served.scenario.order(Who::First, FLEET_NOW, &MODES, (1_000, 10)).await;
    let sql = "SELECT id, mileage FROM fleet_now ORDER BY id";
    let ask = || served.post(&order, "/query", json!({"sql": sql, "mode": "rows"}));
    let expected = |added: i64| -> Value {
        (1..=200_i64).filter(|id| id % 4 != 0).map(|id| json!({"id": id, "mileage": id * 10 + added})).collect()
    };
    let must_be_refused = |reply: &Reply, code: &str| {
        assert_eq!(reply.problem(), (503, code.to_owned()), "{}", reply.text());
        assert!(reply.header("retry-after").is_some(), "{reply:?}");
    };
    assert_eq!(ask().await.ok().json()["rows"], expected(0));
    for (added, (statements, refused)) in (1..).zip(CHANGES) {
        let change = department.admin.begin().await.unwrap();
        change.execute_unprepared("LOCK TABLE public.fleet IN ACCESS EXCLUSIVE MODE").await.unwrap();
        change.execute_unprepared(statements).await.unwrap();
        let (reply, ()) = tokio::join!(ask(), async {
            until_waiting(&department.admin, 1).await;
            change.commit().await.unwrap();
        });
        match refused {
            None => assert_eq!(reply.ok().json()["rows"], expected(added), "{statements}"),
            Some(code) => must_be_refused(&reply, code),
        }
        if statements.ends_with("RENAME TO moved") {
            department.admin.execute_unprepared("ALTER TABLE public.moved RENAME TO fleet").await.unwrap();
            assert_eq!(ask().await.ok().json()["rows"], expected(added - 1));
        } else {
            assert_eq!(ask().await.ok().json()["rows"], expected(added), "{statements}");
        }
    }

    // One that does not end is not waited for: the answer comes while the lock is still held.
    let change = department.admin.begin().await.unwrap();
    change.execute_unprepared("LOCK TABLE public.fleet IN ACCESS EXCLUSIVE MODE").await.unwrap();
    must_be_refused(&ask().await, "source_unavailable");
    change.rollback().await.unwrap();
    assert_eq!(ask().await.ok().json()["rows"], expected(4));
    served.scenario.app.publish_log().await.unwrap();
    let replayed = served.scenario.app.replay_check().await.unwrap();
    assert!(replayed.agrees, "{:?}", replayed.differences);
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
    // Stored data stays stored.
    for table in ["people", "trips"] {
        let error =
            scenario.app.declare_live(clerk, scenario.resource(table), Scenario::fleet_source()).await.unwrap_err();
        assert!(error.to_string().contains("live"), "{error}");
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
