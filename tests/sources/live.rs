//! Live tables: the same answers as over a copy, what reaches the database, and what a source that lies can do.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{Float64Type, Int64Type};
use arrow::util::display::array_value_to_string;
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use lingqu_domain::scope::{ColumnName, Precision};
use lingqu_engine::federation::{LiveProduct, LiveProductUnfit, LiveTable, RowNames};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::postgres::TableAddress;
use lingqu_engine::session::{AnswerShape, GovernedSession};
use lingqu_engine::snapshot::SnapshotStore;
use lingqu_engine::{ColumnType, Engine, EngineError, EngineSettings, Limits, PseudonymKeys, RawTable};
use lingqu_tests::{PrivatePostgres, until_waiting};
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use tempfile::TempDir;

use crate::{Department, civil, connections, read, view};

const DECIMAL: ColumnType = ColumnType::Decimal { precision: 38, scale: 6 };
const COLUMNS: [(&str, ColumnType); 8] = [
    ("id", ColumnType::Integer),
    ("tenant", ColumnType::Text),
    ("code", ColumnType::Text),
    ("divisor", ColumnType::Integer),
    ("balance", DECIMAL),
    ("born", ColumnType::Date),
    ("score", ColumnType::Float),
    ("active", ColumnType::Boolean),
];
/// Every tenth row is of tenant `b`: its code is no number and its divisor is 0, so that any evaluation on it shows.
const PEOPLE: &str = "CREATE TABLE public.people (id int PRIMARY KEY, tenant text, code varchar(40), divisor smallint,
      balance numeric(12,2), born date, score double precision, active boolean);
    INSERT INTO public.people SELECT i, CASE WHEN i % 10 = 0 THEN 'b' ELSE 'a' END,
      CASE WHEN i % 10 = 0 THEN 'S' || i || '-secret' ELSE i::text END, CASE WHEN i % 10 = 0 THEN 0 ELSE 1 + i % 7 END,
      i + (i % 100) / 100.0, date '1960-01-01' + i, CASE WHEN i % 9 = 0 THEN NULL ELSE i / 2.0 END, i % 2 = 0
    FROM generate_series(0, 999) i";

struct Place {
    _directory: TempDir,
    engine: Arc<Engine>,
    snapshots: SnapshotStore,
}

impl Place {
    fn new() -> Place {
        let directory = TempDir::new().unwrap();
        let engine = Arc::new(Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).unwrap());
        let snapshots = SnapshotStore::open(&directory.path().join("snapshots")).unwrap();
        Place { _directory: directory, engine, snapshots }
    }

    fn session(&self, table: Arc<GovernedTable>) -> GovernedSession {
        GovernedSession::new(&self.engine, &[table], Limits::default(), AnswerShape::Rows).unwrap()
    }
}

fn name(text: &str) -> ColumnName {
    ColumnName::new(text).unwrap()
}

fn names() -> RowNames {
    RowNames::new([9; 32])
}

async fn live(url: &str, table: &str) -> Arc<LiveTable> {
    let address = TableAddress::new("public", table).unwrap();
    LiveTable::open(&connections(url), &civil(), &address, &view(&COLUMNS), &[name("id")], names()).await.unwrap()
}

fn compare(column: &str, comparison: Comparison, value: Literal) -> Predicate {
    Predicate::Compare { column: name(column), comparison, value }
}

fn tenant_a() -> Predicate {
    compare("tenant", Comparison::Equal, Literal::Text("a".to_owned()))
}

fn governed(raw: impl Into<RawTable>, columns: &[(&str, &str)], rows: Vec<Predicate>) -> Arc<GovernedTable> {
    let columns = columns.iter().map(|(column, precision)| (name(column), precision.parse::<Precision>().unwrap()));
    let keys = PseudonymKeys { permit: Some([1; 32]), consumer: Some([2; 32]), order: Some([3; 32]) };
    let governance =
        Governance { name: "people".to_owned(), columns: columns.collect(), rows, consent: None, keys, marks: None };
    GovernedTable::new(raw, &governance).unwrap()
}

fn exact() -> Vec<(&'static str, &'static str)> {
    COLUMNS.iter().map(|(column, _)| (*column, "exact")).collect()
}

fn text_rows(batches: &[RecordBatch]) -> Vec<String> {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            let cells = batch.columns().iter().map(|column| array_value_to_string(column, row).unwrap());
            rows.push(cells.collect::<Vec<_>>().join("|"));
        }
    }
    rows.sort();
    rows
}

async fn rows(session: &GovernedSession, sql: &str) -> Result<Vec<String>, EngineError> {
    Ok(text_rows(&session.query(sql).await?.collect().await?.0))
}

macro_rules! department {
    () => {
        match Department::new().await {
            Some(department) => department,
            None => return,
        }
    };
}

const QUERIES: &[&str] = &[
    "SELECT * FROM people",
    "SELECT id, code FROM people WHERE id = 37",
    "SELECT id FROM people WHERE id IN (10, 11, 12) OR code = '99'",
    "SELECT id FROM people WHERE code > '5' AND code <= '77'",
    "SELECT id FROM people WHERE balance >= 500.25 AND balance < 700",
    "SELECT id FROM people WHERE balance IN (137.37, 7.07) OR balance = 991.91 OR balance BETWEEN 3.035 AND 5.05",
    "SELECT id FROM people WHERE balance = score OR balance < 1e300 AND balance > 990.905",
    "SELECT id FROM people WHERE born BETWEEN DATE '1961-01-01' AND DATE '1961-02-01'",
    "SELECT id FROM people WHERE score > 100.5 AND score <= 120",
    "SELECT id FROM people WHERE score IS NULL AND active",
    "SELECT id FROM people WHERE NOT active AND NOT (divisor = 3)",
    "SELECT count(*) FROM people",
    "SELECT divisor, count(*), sum(balance) FROM people GROUP BY divisor",
    "SELECT count(*) FROM people WHERE CAST(code AS INT) >= 0",
    "SELECT sum(100 / divisor) FROM people WHERE 100 / divisor > 20",
    "SELECT a.id FROM people a JOIN people b ON a.id = b.divisor WHERE b.id < 50",
    "SELECT id FROM people WHERE tenant = 'b'",
    "SELECT id FROM people WHERE code LIKE '1%' ORDER BY id LIMIT 5",
    "SELECT DISTINCT active FROM people WHERE id > 995 OR id < 3",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_those_of_a_copy() {
    let department = department!();
    department.run(PEOPLE).await;
    let place = Place::new();
    let source = department.open(("public", "people"), &COLUMNS, None, None).await.unwrap();
    let batches = read(source).await.unwrap();
    let copy = place.snapshots.write("res_people", &view(&COLUMNS), batches.into_iter().map(Ok)).await.unwrap();
    let table = live(&department.url, "people").await;
    let masked =
        vec![("id", "exact"), ("code", "hidden"), ("born", "month"), ("divisor", "exact"), ("balance", "exact")];
    let filters: Vec<Vec<Predicate>> = vec![
        vec![tenant_a()],
        vec![],
        vec![tenant_a(), compare("score", Comparison::Less, Literal::Decimal("300.5".parse().unwrap()))],
        vec![Predicate::Not(Box::new(Predicate::In {
            column: name("code"),
            values: [Literal::Text("12".to_owned()), Literal::Text("13".to_owned())].into(),
        }))],
        vec![Predicate::In { column: name("id"), values: Default::default() }],
    ];
    let mut answered = 0;
    for columns in [exact(), masked] {
        for filter in &filters {
            let over_copy = place.session(governed(Arc::clone(&copy.files), &columns, filter.clone()));
            let over_live = place.session(governed(Arc::clone(&table), &columns, filter.clone()));
            for sql in QUERIES {
                match (rows(&over_copy, sql).await, rows(&over_live, sql).await) {
                    (Ok(expected), Ok(found)) => {
                        assert_eq!(found, expected, "{sql} where {filter:?}");
                        answered += 1;
                    }
                    (Err(expected), Err(found)) => {
                        let code = |error: &EngineError| error.to_string().split(';').next().unwrap_or_default().len();
                        assert_eq!(code(&found), code(&expected), "{sql}: {found} instead of {expected}");
                    }
                    (expected, found) => panic!("{sql} where {filter:?}: {found:?} instead of {expected:?}"),
                }
            }
        }
    }
    assert!(answered > 80, "{answered}");
}

/// Decimals beside numbers that are written plainly, and beside floats: as many rows as the database itself finds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn numbers_mean_what_they_mean_to_the_database() {
    let department = department!();
    department.run(PEOPLE).await;
    department
        .run("UPDATE public.people SET balance = balance + 7654000, score = balance + 7654000 WHERE id % 3 = 0")
        .await;
    department.run("UPDATE public.people SET score = 1e300 WHERE id % 20 = 1").await;
    let place = Place::new();
    let source = department.open(("public", "people"), &COLUMNS, None, None).await.unwrap();
    let batches = read(source).await.unwrap();
    let copy = place.snapshots.write("res_people", &view(&COLUMNS), batches.into_iter().map(Ok)).await.unwrap();
    let over_copy = place.session(governed(Arc::clone(&copy.files), &exact(), vec![]));
    let over_live = place.session(governed(live(&department.url, "people").await, &exact(), vec![]));
    for condition in [
        "balance = 7654321.21",
        "balance <> 7654321.21",
        "7654321.21 <= balance",
        "balance IN (137.37, 7.07, 7654033.33, 0.001)",
        "balance NOT IN (137.37, 7.07, 0.001)",
        "balance BETWEEN 3.035 AND 7654005.055",
        "balance NOT BETWEEN -0.001 AND 7654033.33",
        "balance > 0.06 + 1.01",
        "balance = 0.1 * 30 + 4.07",
        "balance < 1e30 AND balance > -1e30",
        "balance IS DISTINCT FROM 7654033.33",
        "nullif(balance, 7654033.33) IS NULL",
        "CASE balance WHEN 7654033.33 THEN true WHEN 7.07 THEN true ELSE false END",
        "coalesce(nullif(balance, 7.07), 8.125) = 8.125",
        "greatest(balance, 7654033.331) = 7654033.331",
        "balance = score",
        "balance < score",
        "score = CAST(7654033.33 AS NUMERIC(38, 2))",
        "score BETWEEN balance AND 7654500.5",
        "balance IN (score, 7654033.33)",
        "id IN (SELECT p.id FROM people p JOIN people q ON p.balance = q.score)",
        "balance IN (SELECT score FROM people)",
        "score IN (SELECT balance FROM people)",
        "7654033.33 IN (SELECT balance FROM people WHERE id > 30)",
    ] {
        let sql = format!("SELECT count(*) FROM people WHERE {condition}");
        let expected = Statement::from_string(DbBackend::Postgres, &sql);
        let expected = department.admin.query_one_raw(expected).await.unwrap().unwrap();
        let expected = [expected.try_get_by_index::<i64>(0).unwrap().to_string()];
        for session in [&over_copy, &over_live] {
            assert_eq!(rows(session, &sql).await.unwrap(), expected, "{condition}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_columns_the_row_filter_and_safe_conditions_reach_the_database() {
    let Some(server) = PrivatePostgres::needed_alone("what reaches a live database") else { return };
    let url = server.create_database().await;
    let admin = Database::connect(&url).await.unwrap();
    admin.execute_unprepared(PEOPLE).await.unwrap();
    let place = Place::new();
    let database = url.split('?').next().unwrap().rsplit('/').next().unwrap().to_owned();
    admin.execute_unprepared(&format!("ALTER DATABASE {database} SET log_statement = 'all'")).await.unwrap();
    admin.close().await.unwrap();
    let table = live(&url, "people").await;
    let columns = [("id", "exact"), ("code", "exact"), ("divisor", "exact"), ("balance", "exact"), ("born", "month")];
    let session = place.session(governed(table, &columns, vec![tenant_a()]));
    let begin = server.log().unwrap().len();
    for (sql, expected) in [
        ("SELECT id FROM people WHERE id = 424241424", 0),
        ("SELECT count(*) FROM people WHERE CAST(code AS INT) > 515151515 AND id < 616161616", 1),
        ("SELECT divisor, sum(balance) FROM people WHERE balance * 2 > 717171717 GROUP BY divisor", 0),
        (
            "SELECT id FROM people WHERE code LIKE '818181818%' OR born > DATE '2919-01-01' ORDER BY id LIMIT 919191919",
            0,
        ),
        ("SELECT id FROM people ORDER BY code LIMIT 1", 1),
        ("SELECT id FROM people WHERE balance > 424242424.42 AND balance + 1 > 5353535353.53", 0),
    ] {
        assert_eq!(rows(&session, sql).await.unwrap().len(), expected, "{sql}");
    }
    let log = server.log().unwrap()[begin..].to_owned();
    let is_reading = |line: &&str| line.contains("\"people\"") && !line.contains("LOCK TABLE");
    let statements: Vec<&str> = log.lines().filter(is_reading).collect();
    assert_eq!(statements.len(), 6, "{log}");
    for statement in &statements {
        assert!(statement.contains("(\"tenant\" = $1)"), "{statement}");
        let upper = statement.to_uppercase();
        for word in ["LIMIT", "COUNT(", "SUM(", "CAST", "::", "ORDER BY", "GROUP", "LIKE", "OFFSET", "BALANCE\" *"] {
            assert!(!upper.contains(word), "{word} in {statement}");
        }
        assert!(!statement.contains("score") && !statement.contains("active"), "columns nobody needs: {statement}");
    }
    // What could not fail went along, as a value beside the statement; everything else stayed here.
    assert!(log.contains("424241424") && log.contains("616161616") && log.contains("424242424.42"), "{log}");
    for kept_here in ["5353535353", "515151515", "717171717", "818181818", "2919-01-01", "919191919"] {
        assert!(!log.contains(kept_here), "{kept_here} reached the database: {log}");
    }
    assert!(log.contains("READ ONLY"), "{log}");
}

/// Tells the database's own filter `a` for every row and shows the true tenant afterwards.
const LYING: &str = "CREATE FUNCTION public.lie(t text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
      DECLARE n int := coalesce(nullif(current_setting('lie.n', true), ''), '0')::int + 1;
      BEGIN PERFORM set_config('lie.n', n::text, false); RETURN CASE WHEN n % 2 = 1 THEN 'a' ELSE t END; END $$;
    CREATE VIEW public.lying AS SELECT id, public.lie(tenant) AS tenant, code, divisor, balance, born, score, active
      FROM public.people";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_the_database_sends_against_the_filter_do_not_exist() {
    let department = department!();
    department.run(PEOPLE).await;
    department.run(LYING).await;
    // The view does lie: its own filter lets rows of `b` through.
    let lied = department.admin.query_all_raw(sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT tenant FROM (SELECT id, tenant FROM public.lying WHERE tenant = 'a') q WHERE id % 10 = 0",
    ));
    let lied = lied.await.unwrap();
    assert!(lied.iter().any(|row| row.try_get::<String>("", "tenant").unwrap() == "b"), "the view tells the truth");
    let place = Place::new();
    let honest = place.session(governed(live(&department.url, "people").await, &exact(), vec![tenant_a()]));
    let lying = place.session(governed(live(&department.url, "lying").await, &exact(), vec![tenant_a()]));
    for sql in ["SELECT id FROM people WHERE tenant = 'b'", "SELECT id, tenant, code FROM people WHERE id % 10 = 0"] {
        assert_eq!(rows(&lying, sql).await.unwrap(), Vec::<String>::new(), "{sql}");
    }
    for sql in [
        "SELECT count(*) FROM people",
        "SELECT sum(CAST(code AS INT)) FROM people",
        "SELECT sum(10 / divisor) FROM people",
    ] {
        assert_eq!(rows(&lying, sql).await.unwrap(), rows(&honest, sql).await.unwrap(), "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_row_that_cannot_be_read_answers_no_question() {
    let department = department!();
    department.run(PEOPLE).await;
    department.run("ALTER TABLE public.people ALTER balance TYPE numeric; UPDATE public.people SET balance = 'NaN' WHERE id = 500").await;
    let place = Place::new();
    let table = live(&department.url, "people").await;
    // Row 500 is of tenant b. Where the whole filter goes along it never comes.
    let sent = place.session(governed(Arc::clone(&table), &exact(), vec![tenant_a()]));
    assert_eq!(rows(&sent, "SELECT count(balance) FROM people").await.unwrap(), ["900"]);
    // Where it does not, every question about the column fails in the same way, whatever it asks.
    let unsent = compare("score", Comparison::NotEqual, Literal::Decimal("250".parse().unwrap()));
    let kept = place.session(governed(table, &exact(), vec![unsent]));
    for condition in ["id > 499", "id < 499", "id = 500", "id = 1"] {
        let sql = format!("SELECT balance FROM people WHERE {condition}");
        let error = rows(&kept, &sql).await.unwrap_err();
        assert!(matches!(error, EngineError::SourceUnavailable { .. }), "{sql}: {error}");
        // The number for the log is made of random digits.
        let told = error.to_string().split("correlation").next().unwrap_or_default().to_owned();
        assert!(!told.contains("people") && !told.contains("500"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_gone_is_unavailable_and_not_named() {
    let department = department!();
    department.run(PEOPLE).await;
    let place = Place::new();
    let session = place.session(governed(live(&department.url, "people").await, &exact(), vec![tenant_a()]));
    assert_eq!(rows(&session, "SELECT id FROM people WHERE id = 1").await.unwrap(), ["1"]);
    department.run("ALTER TABLE public.people RENAME TO \"Moved\"").await;
    let error = rows(&session, "SELECT id FROM people WHERE id = 1").await.unwrap_err();
    assert!(matches!(error, EngineError::SourceUnavailable { .. }), "{error}");
    assert!(!error.to_string().contains("public") && !error.to_string().contains("42P01"), "{error}");
}

/// Each change between opening and reading ends the query, also where the bytes would do for the old type: a day and a number
/// have four each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_was_changed_since_is_not_read_by_its_old_types() {
    let department = department!();
    let place = Place::new();
    for change in [
        "ALTER id TYPE bigint",
        "ALTER id TYPE real",
        "ALTER born TYPE int USING born - date '1960-01-01'",
        "ALTER born TYPE timestamp",
        "ALTER balance TYPE numeric(14,4)",
        "ALTER active TYPE \"char\" USING CASE WHEN active THEN '1' ELSE '0' END::\"char\"",
        "ALTER code TYPE uuid USING gen_random_uuid()",
        "DROP balance",
        "DROP CONSTRAINT people_pkey, ALTER id DROP NOT NULL",
        "RENAME score TO points",
    ] {
        department.run("DROP TABLE IF EXISTS public.people").await;
        department.run(PEOPLE).await;
        let table = live(&department.url, "people").await;
        let session = place.session(governed(Arc::clone(&table), &exact(), vec![tenant_a()]));
        // Another column than the changed one may be all that is asked for.
        let sql = "SELECT tenant FROM people WHERE divisor = 3";
        assert!(!rows(&session, sql).await.unwrap().is_empty());
        // What nobody wants may change.
        department.run("ALTER TABLE public.people ADD extra bytea, ALTER tenant TYPE varchar(9)").await;
        assert!(!rows(&session, sql).await.unwrap().is_empty());
        assert!(!table.is_outdated());
        department.run(&format!("ALTER TABLE public.people {change}")).await;
        for sql in [sql, "SELECT * FROM people", "SELECT count(*) FROM people"] {
            let error = rows(&session, sql).await.unwrap_err();
            assert!(matches!(error, EngineError::SourceChanged { .. }), "{change}: {error}");
            let told = error.to_string().split("correlation").next().unwrap_or_default().to_owned();
            for secret in ["public", "tenant", "balance", "people", "points"] {
                assert!(!told.contains(secret), "{secret} in {error}");
            }
        }
        assert!(table.is_outdated(), "{change}");
    }
    // Opened anew, a table whose types still fit is read by its new types.
    department.run("DROP TABLE public.people").await;
    department.run(PEOPLE).await;
    department.run("ALTER TABLE public.people ALTER id TYPE bigint").await;
    let session = place.session(governed(live(&department.url, "people").await, &exact(), vec![tenant_a()]));
    assert_eq!(rows(&session, "SELECT id FROM people WHERE id = 1").await.unwrap(), ["1"]);
}

/// A change can't come between looking and reading: it waits for the reading.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_waits_for_the_readings_that_have_begun() {
    let department = department!();
    department.run(PEOPLE).await;
    // More than the node takes ahead, so that the reading lasts as long as nobody takes it.
    department
        .run("INSERT INTO public.people SELECT i, 'a', i::text, 1, 1, date '2000-01-01', 1, true FROM generate_series(1000, 400000) i")
        .await;
    let place = Place::new();
    let session = place.session(governed(live(&department.url, "people").await, &exact(), vec![tenant_a()]));
    let mut answer = session.query("SELECT * FROM people").await.unwrap();
    let mut read = answer.next().await.unwrap().unwrap().answer_rows();
    let refused = department
        .admin
        .execute_unprepared(
            "DO $$ BEGIN SET LOCAL lock_timeout = '200ms'; ALTER TABLE public.people ALTER id TYPE real; END $$",
        )
        .await;
    assert!(refused.unwrap_err().to_string().contains("lock timeout"));
    while let Some(part) = answer.next().await {
        read += part.unwrap().answer_rows();
    }
    assert_eq!(read, 900 + 399_001);
}

/// A change that waits for a reading holds up those that begin after it: the reading sees nothing of it, they see all
/// of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readings_before_and_after_a_change_see_one_state_each() {
    const ROWS: usize = 400_000;
    let department = department!();
    department.run(PEOPLE).await;
    department
        .run(&format!(
            "TRUNCATE public.people; INSERT INTO public.people SELECT i, 'a', i::text, 1, 1, date '2000-01-01', 1, true \
             FROM generate_series(1, {ROWS}) i"
        ))
        .await;
    let place = Place::new();
    let table = live(&department.url, "people").await;
    let before = place.session(governed(Arc::clone(&table), &exact(), vec![tenant_a()]));
    let after = place.session(governed(table, &exact(), vec![tenant_a()]));
    let mut answer = before.query("SELECT * FROM people").await.unwrap();
    let mut batches = answer.next().await.unwrap().unwrap().batches;
    // What the change writes differs in every row.
    let change = department.run(
        "ALTER TABLE public.people ALTER score TYPE double precision USING 2, \
         ALTER divisor TYPE smallint USING 2",
    );
    let asked = "SELECT score, divisor, count(*) FROM people GROUP BY score, divisor";
    let ((), later, ()) = tokio::join!(
        change,
        async {
            until_waiting(&department.admin, 1).await;
            rows(&after, asked).await
        },
        async {
            until_waiting(&department.admin, 2).await;
            while let Some(part) = answer.next().await {
                batches.extend(part.unwrap().batches);
            }
        }
    );
    let whole = [format!("2.0|2|{ROWS}")];
    match later {
        Ok(found) => assert_eq!(found, whole),
        // On a machine that is slow enough the lock does not come in time.
        Err(error) => assert!(matches!(error, EngineError::SourceUnavailable { .. }), "{error}"),
    }
    assert_eq!(rows(&after, asked).await.unwrap(), whole);
    let mut read = 0;
    for batch in &batches {
        read += batch.num_rows();
        let scores = batch.column_by_name("score").unwrap().as_primitive::<Float64Type>();
        let divisors = batch.column_by_name("divisor").unwrap().as_primitive::<Int64Type>();
        assert!(scores.values().iter().all(|score| *score == 1.0));
        assert!(divisors.values().iter().all(|divisor| *divisor == 1));
    }
    assert_eq!(read, ROWS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_stops_when_nobody_wants_the_answer_any_more() {
    let department = department!();
    department.run(PEOPLE).await;
    // Ten minutes of work before the first row.
    department
        .run("CREATE VIEW public.slow AS SELECT p.* FROM (SELECT pg_sleep(600) OFFSET 0) s, public.people p")
        .await;
    department
        .run(
            "CREATE VIEW public.looked AS SELECT id, tenant, \
             current_setting('client_connection_check_interval', true)::varchar(40) AS code, \
             divisor, balance, born, score, active FROM public.people",
        )
        .await;
    let place = Place::new();
    // How often the server looks whether anybody is there. Before version 14 there is no such setting.
    let session = place.session(governed(live(&department.url, "looked").await, &exact(), vec![tenant_a()]));
    let interval = rows(&session, "SELECT DISTINCT code FROM people").await.unwrap();
    assert!(interval == ["50ms"] || interval == [""], "{interval:?}");
    let session = place.session(governed(live(&department.url, "slow").await, &exact(), vec![tenant_a()]));
    let working = async || {
        let sql = "SELECT count(*) AS n FROM pg_stat_activity WHERE application_name = 'lingqu' AND state = 'active' \
                   AND datname = current_database()";
        let statement = sea_orm::Statement::from_string(sea_orm::DbBackend::Postgres, sql);
        let row = department.admin.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get::<i64>("", "n").unwrap()
    };
    let mut answer = session.query("SELECT id FROM people").await.unwrap();
    let mut seen = 0;
    for _ in 0..60 {
        let begun = tokio::time::timeout(std::time::Duration::from_secs(1), answer.next()).await;
        assert!(begun.is_err(), "no row comes");
        seen = working().await;
        if seen > 0 {
            break;
        }
    }
    assert_eq!(seen, 1);
    drop(answer);
    for _ in 0..300 {
        if working().await == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the statement still runs half a minute later");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_named_by_digests_of_their_keys() {
    let department = department!();
    department.run(PEOPLE).await;
    let place = Place::new();
    let session = place.session(governed(live(&department.url, "people").await, &exact(), vec![tenant_a()]));
    let key: ArrayRef = Arc::new(Int64Array::from(vec![7, 11]));
    let expected: Vec<u64> = names().of(&[key], 2).unwrap().values().iter().map(|name| name.cast_unsigned()).collect();
    // A linear statement names the rows of its answer, any other those that left the barrier.
    for sql in ["SELECT code FROM people WHERE id IN (7, 11)", "SELECT count(code) FROM people WHERE id IN (7, 11)"] {
        let (_, left) = session.query(sql).await.unwrap().collect().await.unwrap();
        let left = &left["people"];
        assert_eq!(left.len(), 2, "{sql}");
        assert!(expected.iter().all(|name| left.contains(*name)), "{sql}");
    }
}

/// A database sends rows in any order, and in another each time. Here the second half of the rows is written anew between pages.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_are_together_the_table_once_however_its_rows_come() {
    let department = department!();
    department.run(PEOPLE).await;
    let place = Place::new();
    // Without the key nothing that is granted tells rows apart.
    let columns = [("divisor", "exact"), ("code", "exact")];
    let session = place.session(governed(live(&department.url, "people").await, &columns, vec![tenant_a()]));
    for order in ["", " ORDER BY divisor", " ORDER BY divisor DESC"] {
        let (mut paged, mut named) = (Vec::new(), 0);
        for page in 0..9 {
            let sql = format!("SELECT code, divisor FROM people{order} LIMIT 100 OFFSET {}", page * 100);
            let (batches, left) = session.query(&sql).await.unwrap().collect().await.unwrap();
            paged.extend(text_rows(&batches));
            named += left["people"].len();
            department.run("UPDATE public.people SET score = score WHERE id % 18 > 8").await;
        }
        paged.sort();
        let whole = rows(&session, "SELECT code, divisor FROM people").await.unwrap();
        assert_eq!((paged, named), (whole, 900), "{order}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_product_over_live_data_chooses_and_does_nothing_else() {
    let department = department!();
    department.run(PEOPLE).await;
    let place = Place::new();
    let table = live(&department.url, "people").await;
    let input = governed(Arc::clone(&table), &exact(), vec![tenant_a()]);
    for (sql, what) in [
        ("SELECT id, 10 / divisor AS x FROM people", "computed column"),
        ("SELECT id, CAST(code AS INT) AS x FROM people", "computed column"),
        ("SELECT count(*) AS n FROM people", "aggregate"),
        ("SELECT DISTINCT tenant FROM people", "DISTINCT"),
        ("SELECT a.id FROM people a JOIN people b ON a.id = b.id", "join"),
        ("SELECT id AS \"Odd Name\" FROM people", "name"),
        ("SELECT id FROM people ORDER BY id LIMIT 5", ""),
        ("SELECT id FROM people WHERE CAST(code AS INT) > 5", "condition"),
        ("SELECT id FROM people WHERE id IN (SELECT divisor FROM people)", ""),
    ] {
        let error = LiveProduct::new(&place.engine, sql, Arc::clone(&input), None).await.unwrap_err();
        assert!(matches!(&error, LiveProductUnfit::NotPlain { what: found } if found.contains(what)), "{sql}: {error}");
    }
    let masked = governed(Arc::clone(&table), &[("id", "exact"), ("born", "month")], vec![tenant_a()]);
    let product = LiveProduct::new(&place.engine, "SELECT born AS month, id FROM people", masked, None).await.unwrap();
    let ordered = Governance {
        name: "months".to_owned(),
        columns: vec![(name("month"), Precision::Exact), (name("id"), Precision::Exact)],
        rows: vec![compare("id", Comparison::Less, Literal::Integer(12))],
        consent: None,
        keys: PseudonymKeys::default(),
        marks: None,
    };
    let session = place.session(GovernedTable::new(product, &ordered).unwrap());
    assert_eq!(
        rows(&session, "SELECT id, month FROM months WHERE id > 8").await.unwrap(),
        ["11|1960-01-01", "9|1960-01-01"],
        "10 is of tenant b"
    );
    let plain = "SELECT code AS number, divisor, id FROM people WHERE divisor >= 2 AND id <> 15";
    let product = LiveProduct::new(&place.engine, plain, input, None).await.unwrap();
    let columns = vec![(name("number"), Precision::Exact), (name("divisor"), Precision::Exact)];
    let ordered = Governance {
        name: "numbers".to_owned(),
        columns,
        rows: Vec::new(),
        consent: None,
        keys: PseudonymKeys::default(),
        marks: None,
    };
    let session = place.session(GovernedTable::new(product, &ordered).unwrap());
    let found =
        rows(&session, "SELECT number FROM numbers WHERE CAST(number AS INT) < 17 AND divisor < 4").await.unwrap();
    assert_eq!(found, ["1", "16", "2", "8", "9"]);
}
