//! Tables of a database as sources: types, names, one state, increments.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Decimal128Type, Float64Type, Int64Type, TimestampMicrosecondType};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::ColumnType;
use lingqu_engine::postgres::PostgresError;
use lingqu_engine::snapshot::{Ingest, IngestControl, SnapshotStore};
use lingqu_engine::source::{RejectLimit, SourceError, SourceIdentity};
use lingqu_engine::table_source::{Increment, Previous};
use lingqu_tests::until_waiting;
use sea_orm::{ConnectionTrait, DatabaseTransaction, TransactionTrait};

use crate::{Department, civil, connections, read};

const DECIMAL: ColumnType = ColumnType::Decimal { precision: 38, scale: 6 };
const EVENTS: [(&str, ColumnType); 3] =
    [("id", ColumnType::Integer), ("note", ColumnType::Text), ("changed_at", ColumnType::Timestamp)];

macro_rules! department {
    () => {
        match Department::new().await {
            Some(department) => department,
            None => return,
        }
    };
}

#[tokio::test]
async fn every_type_is_kept_as_it_is() {
    let department = department!();
    department
        .run(
            "CREATE TYPE public.grade AS ENUM ('low', 'high');
             CREATE DOMAIN public.plate AS varchar(12);
             CREATE TABLE public.kinds (b boolean, s smallint, i integer, l bigint, r real, d double precision,
               n numeric, m numeric(10,2), w numeric(12,0), t text, v varchar(40), c char(4), e public.grade, p public.plate,
               u uuid, j json, k jsonb, day date, at timestamp, moment timestamptz);
             INSERT INTO public.kinds VALUES
               (true, -32768, 2147483647, -9223372036854775808, 0.5, -1e300,
                12345678901234567890.000001, -99999999.99, 42, '南宁 ''\"\\', 'v', 'ab', 'high', '桂A12345',
                'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11', '{\"a\":  1}', '{\"a\":  1}',
                '1969-12-31', '1900-01-01 00:00:00.000001', '2024-05-01 08:00:00+08'),
               (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
                NULL, NULL)",
        )
        .await;
    let columns = [
        ("b", ColumnType::Boolean),
        ("s", ColumnType::Integer),
        ("i", ColumnType::Integer),
        ("l", ColumnType::Integer),
        ("r", ColumnType::Float),
        ("d", ColumnType::Float),
        ("n", DECIMAL),
        ("m", DECIMAL),
        ("w", ColumnType::Integer),
        ("t", ColumnType::Text),
        ("v", ColumnType::Text),
        ("c", ColumnType::Text),
        ("e", ColumnType::Text),
        ("p", ColumnType::Text),
        ("u", ColumnType::Text),
        ("j", ColumnType::Text),
        ("k", ColumnType::Text),
        ("day", ColumnType::Date),
        ("at", ColumnType::LocalTimestamp),
        ("moment", ColumnType::Timestamp),
    ];
    let source = department.open(("public", "kinds"), &columns, None, None).await.unwrap();
    assert_eq!(source.identity(), SourceIdentity::Live);
    let batches = read(source).await.unwrap();
    let batch = &batches[0];
    assert_eq!(batch.num_rows(), 2);
    for column in batch.columns() {
        assert!(!column.is_null(0) && column.is_null(1));
    }
    let column = |name: &str| batch.column_by_name(name).unwrap();
    let integer = |name: &str| column(name).as_primitive::<Int64Type>().value(0);
    let text = |name: &str| column(name).as_string::<i32>().value(0).to_owned();
    assert!(column("b").as_boolean().value(0));
    assert_eq!([integer("s"), integer("i"), integer("l"), integer("w")], [-32_768, 2_147_483_647, i64::MIN, 42]);
    assert_eq!(column("r").as_primitive::<Float64Type>().value(0), 0.5);
    assert_eq!(column("d").as_primitive::<Float64Type>().value(0), -1e300);
    let decimal = |name: &str| column(name).as_primitive::<Decimal128Type>().value(0);
    assert_eq!(decimal("n"), 12_345_678_901_234_567_890_000_001);
    assert_eq!(decimal("m"), -99_999_999_990_000);
    assert_eq!(text("t"), "南宁 '\"\\");
    assert_eq!([text("v"), text("c"), text("e"), text("p")], ["v", "ab  ", "high", "桂A12345"]);
    assert_eq!(text("u"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11");
    assert_eq!([text("j"), text("k")], ["{\"a\":  1}", "{\"a\": 1}"]);
    assert_eq!(column("day").as_primitive::<Date32Type>().value(0), -1);
    assert_eq!(column("at").as_primitive::<TimestampMicrosecondType>().value(0), -2_208_988_800_000_000 + 1);
    assert_eq!(column("moment").as_primitive::<TimestampMicrosecondType>().value(0), 1_714_521_600_000_000);
}

#[tokio::test]
async fn names_are_names_whatever_is_in_them() {
    let department = department!();
    department
        .run(
            "CREATE TABLE public.kept (id int); INSERT INTO public.kept VALUES (1);
             CREATE SCHEMA \"a\"\"b; --\";
             CREATE TABLE \"a\"\"b; --\".\"t\"\"; DROP TABLE public.kept; --\" (id int, note text);
             INSERT INTO \"a\"\"b; --\".\"t\"\"; DROP TABLE public.kept; --\" VALUES (7, 'x')",
        )
        .await;
    let columns = [("id", ColumnType::Integer), ("note", ColumnType::Text)];
    let table = ("a\"b; --", "t\"; DROP TABLE public.kept; --");
    let batches = read(department.open(table, &columns, None, None).await.unwrap()).await.unwrap();
    assert_eq!(ids(&batches), [7]);
    department.run("SELECT id FROM public.kept").await;
    // Nothing is searched for along a path, and case matters.
    for missing in [("PUBLIC", "kept"), ("public", "Kept"), ("public", "kept; --"), ("public.kept", "kept")] {
        let error = department.open(missing, &columns, None, None).await.unwrap_err();
        assert!(error.to_string().contains("has no table or view"), "{error}");
    }
}

#[tokio::test]
async fn a_value_without_a_place_ends_the_reading_and_is_not_repeated() {
    let department = department!();
    department
        .run(
            "CREATE TABLE public.n (id int, x numeric); INSERT INTO public.n VALUES (1, 1), (2, 123456.7654321);
             CREATE TABLE public.d (id int, x date); INSERT INTO public.d VALUES (1, 'infinity');
             CREATE TABLE public.a (id int, x int[])",
        )
        .await;
    let of = |x: ColumnType| [("id", ColumnType::Integer), ("x", x)];
    let source = department.open(("public", "n"), &of(DECIMAL), None, None).await.unwrap();
    let error = read(source).await.unwrap_err().to_string();
    assert!(error.contains("row 2") && error.contains("`x`") && !error.contains("7654321"), "{error}");
    let source = department.open(("public", "d"), &of(ColumnType::Date), None, None).await.unwrap();
    assert!(read(source).await.unwrap_err().to_string().contains("row 1"));
    let error = department.open(("public", "a"), &of(ColumnType::Text), None, None).await.unwrap_err();
    assert!(error.to_string().contains("integer[]"), "{error}");
}

#[tokio::test]
async fn all_differences_of_columns_are_told_at_once() {
    let department = department!();
    department.run("CREATE TABLE public.t (id int, extra text, arr int[], \"Odd Name\" int, day date)").await;
    let wanted = [("id", ColumnType::Boolean), ("day", ColumnType::Date), ("missing", ColumnType::Text)];
    let error = department.open(("public", "t"), &wanted, None, None).await.unwrap_err();
    let SourceError::Drift { drift, .. } = error else { panic!("{error}") };
    assert_eq!(drift.missing, ["missing"]);
    assert_eq!(drift.added, ["extra", "arr", "Odd Name"]);
    assert_eq!(drift.changed.len(), 1);
}

#[tokio::test]
async fn what_is_read_is_one_state_of_the_database_and_nothing_is_written() {
    let department = department!();
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, note text, changed_at timestamptz);
             INSERT INTO public.events SELECT i, 'x', '2024-01-01Z' FROM generate_series(1, 20000) i;
             CREATE FUNCTION public.spy() RETURNS int LANGUAGE plpgsql AS
               $$ BEGIN INSERT INTO public.events VALUES (0, 'spied', now()); RETURN 1; END $$;
             CREATE VIEW public.trap AS SELECT public.spy() AS id, 'x'::text AS note, now() AS changed_at",
        )
        .await;
    let source = department.open(("public", "events"), &EVENTS, None, None).await.unwrap();
    department
        .run("DELETE FROM public.events WHERE id > 10; INSERT INTO public.events VALUES (30000, 'y', now())")
        .await;
    let batches = read(source).await.unwrap();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
    let source = department.open(("public", "trap"), &EVENTS, None, None).await.unwrap();
    let error = read(source).await.unwrap_err().to_string();
    assert!(error.contains("25006"), "{error}");
}

/// To a state from before a change that fills a table anew it is empty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_filled_anew_meanwhile_is_not_read_as_empty() {
    const FILL: &str = "INSERT INTO public.events SELECT i, 'x', '2024-01-01Z' FROM generate_series(1, 5) i";
    let department = department!();
    let begin = async |change: &str| {
        let writer = department.admin.begin().await.unwrap();
        writer.execute_unprepared(change).await.unwrap();
        writer
    };
    // The change is committed when the reading waits for it.
    let after = async |writer: DatabaseTransaction| {
        until_waiting(&department.admin, 1).await;
        writer.commit().await.unwrap();
    };
    for change in [format!("TRUNCATE public.events; {FILL}").as_str(), "ALTER TABLE public.events ALTER id TYPE bigint"]
    {
        for increment in [None, Some(increment(&["id"], 0))] {
            let made = "DROP TABLE IF EXISTS public.events; CREATE TABLE public.events (id int, note text, changed_at timestamptz)";
            department.run(&format!("{made}; {FILL}")).await;
            let writer = begin(change).await;
            let reading =
                async { read(department.open(("public", "events"), &EVENTS, increment.clone(), None).await?).await };
            let (found, ()) = tokio::join!(reading, after(writer));
            assert_eq!(ids(&found.unwrap()), [1, 2, 3, 4, 5], "{change}, {increment:?}");
        }
    }
    let made = "CREATE MATERIALIZED VIEW public.shown AS SELECT * FROM public.events";
    department.run(made).await;
    let source = department.open(("public", "shown"), &EVENTS, None, None).await.unwrap();
    let writer = begin(&format!("DROP MATERIALIZED VIEW public.shown; {made}")).await;
    match tokio::join!(read(source), after(writer)).0 {
        // PostgreSQL from 17 shows what the new one holds.
        Ok(found) => assert_eq!(ids(&found), [1, 2, 3, 4, 5]),
        Err(SourceError::Database(error)) => {
            assert!(matches!(error, PostgresError::Refilled { .. }) && error.is_unavailable(), "{error}");
        }
        Err(error) => panic!("{error}"),
    }
    department.run("CREATE MATERIALIZED VIEW public.none AS SELECT * FROM public.events WHERE id = 0").await;
    assert!(read(department.open(("public", "none"), &EVENTS, None, None).await.unwrap()).await.unwrap().is_empty());
}

/// As many tables as a database gives connections, all of them without a row: each is asked once more over the connection that it has.
#[tokio::test]
async fn views_without_rows_do_not_wait_for_each_other() {
    const CONNECTIONS: usize = 8;
    let department = department!();
    department
        .run("CREATE VIEW public.none AS SELECT 1 AS id, 'x'::text AS note, now() AS changed_at WHERE false")
        .await;
    let increment = increment(&["id"], 0);
    let opened = (0..CONNECTIONS).map(|_| department.open(("public", "none"), &EVENTS, Some(increment.clone()), None));
    let opened: Vec<_> = futures::future::try_join_all(opened).await.unwrap();
    for source in opened {
        assert!(read(source).await.unwrap().is_empty());
    }
}

fn increment(key: &[&str], overlap: u64) -> Increment {
    let name = |name: &str| ColumnName::new(name).unwrap();
    Increment { watermark: name("changed_at"), key: key.iter().map(|part| name(part)).collect(), overlap }
}

/// The rows of the resource's newest version after reading what is new, as `id:note`, and the position.
async fn taken(
    department: &Department,
    snapshots: &SnapshotStore,
    increment: &Increment,
    position: Option<String>,
) -> Result<(Vec<String>, Option<String>), SourceError> {
    let previous = match (position, snapshots.latest("res_events").await.unwrap()) {
        (Some(position), Some(snapshot)) => Some(Previous { position, files: snapshot.files }),
        _ => None,
    };
    let source = department.open(("public", "events"), &EVENTS, Some(increment.clone()), previous).await?;
    let position = source.position();
    let schema = source.schema().clone();
    let batches = read(source).await?;
    let mut rows = Vec::new();
    for batch in &batches {
        for row in 0..batch.num_rows() {
            let note = batch.column(1).as_string::<i32>();
            rows.push(format!("{}:{}", batch.column(0).as_primitive::<Int64Type>().value(row), note.value(row)));
        }
    }
    rows.sort();
    snapshots.write("res_events", &schema, batches.into_iter().map(Ok)).await.expect("the version is written");
    Ok((rows, position))
}

#[tokio::test]
async fn with_a_key_changed_rows_are_replaced_and_late_ones_of_the_same_moment_found() {
    let department = department!();
    let directory = tempfile::tempdir().unwrap();
    let snapshots = SnapshotStore::open(directory.path()).unwrap();
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, note text, changed_at timestamptz);
             INSERT INTO public.events VALUES (1, 'a', '2024-01-01Z'), (2, 'b', '2024-01-02Z'), (9, 'never', NULL)",
        )
        .await;
    let increment = increment(&["id"], 0);
    let (rows, position) = taken(&department, &snapshots, &increment, None).await.unwrap();
    assert_eq!(rows, ["1:a", "2:b"]);
    // Late: the same moment as the highest that was read.
    department
        .run(
            "INSERT INTO public.events VALUES (3, 'late', '2024-01-02Z'), (4, 'new', '2024-01-03Z');
              UPDATE public.events SET note = 'a2', changed_at = '2024-01-03Z' WHERE id = 1;
              DELETE FROM public.events WHERE id = 2",
        )
        .await;
    let (rows, position) = taken(&department, &snapshots, &increment, position).await.unwrap();
    // The deleted row stays: no watermark tells of it.
    assert_eq!(rows, ["1:a2", "2:b", "3:late", "4:new"]);
    let (rows, again) = taken(&department, &snapshots, &increment, position.clone()).await.unwrap();
    assert_eq!(rows, ["1:a2", "2:b", "3:late", "4:new"]);
    assert_eq!(again, position);
    // Further back than the last watermark: found only with an overlap that reaches it.
    department.run("INSERT INTO public.events VALUES (5, 'slow', '2024-01-02 23:59:00Z')").await;
    let (rows, position) = taken(&department, &snapshots, &increment, position).await.unwrap();
    assert!(!rows.contains(&"5:slow".to_owned()));
    let wider = Increment { overlap: 60, ..increment };
    let (rows, _) = taken(&department, &snapshots, &wider, position).await.unwrap();
    assert_eq!(rows, ["1:a2", "2:b", "3:late", "4:new", "5:slow"]);
}

#[tokio::test]
async fn without_a_key_no_row_is_taken_twice_and_none_is_lost() {
    let department = department!();
    let directory = tempfile::tempdir().unwrap();
    let snapshots = SnapshotStore::open(directory.path()).unwrap();
    department
        .run(
            "CREATE TABLE public.events (id int, note text, changed_at timestamptz);
             INSERT INTO public.events VALUES (1, 'a', '2024-01-01Z'), (2, 'b', '2024-01-02Z')",
        )
        .await;
    let increment = increment(&[], 0);
    let (rows, position) = taken(&department, &snapshots, &increment, None).await.unwrap();
    assert_eq!(rows, ["1:a"], "those of the highest moment wait");
    department.run("INSERT INTO public.events VALUES (3, 'late', '2024-01-02Z'), (4, 'd', '2024-01-03Z')").await;
    let (rows, position) = taken(&department, &snapshots, &increment, position).await.unwrap();
    assert_eq!(rows, ["1:a", "2:b", "3:late"]);
    let (rows, _) = taken(&department, &snapshots, &increment, position).await.unwrap();
    assert_eq!(rows, ["1:a", "2:b", "3:late"]);
}

/// Keys of every type that is sorted here: the database and the engine agree on the order, so that rows are merged and the same rows
/// are the same version, byte for byte.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_type_are_merged_in_order() {
    let department = department!();
    department.run("CREATE TYPE public.grade AS ENUM ('z', 'm', 'a')").await;
    for (number, (kind, column_type, values)) in [
        ("text COLLATE \"und-x-icu\"", ColumnType::Text, "'b', 'B', 'a', 'Z', '中', 'é', '', 'aa'"),
        ("character(3)", ColumnType::Text, "'b', 'B', 'ab', 'Z', 'abc'"),
        ("public.grade", ColumnType::Text, "'z', 'm', 'a'"),
        ("uuid", ColumnType::Text, "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '0000bc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
        ("bigint", ColumnType::Integer, "5, -7, 9223372036854775807, 0"),
        ("numeric(10,2)", DECIMAL, "10, 9.5, -0.01, 0"),
        ("date", ColumnType::Date, "'2024-01-01', '1969-12-31', '1970-01-02'"),
        ("timestamptz", ColumnType::Timestamp, "'2024-01-01Z', '1969-12-31 23:59:59.5Z'"),
        ("boolean", ColumnType::Boolean, "true, false"),
    ]
    .into_iter()
    .enumerate()
    {
        let directory = tempfile::tempdir().unwrap();
        let snapshots = SnapshotStore::open(directory.path()).unwrap();
        department
            .run(&format!(
                "CREATE TABLE public.k{number} (id {kind}, changed_at timestamptz);
                 INSERT INTO public.k{number} SELECT v::{kind}, '2024-01-01Z' FROM unnest(ARRAY[{values}]::{kind_of}[]) v;",
                kind_of = kind.split(" COLLATE").next().unwrap(),
            ))
            .await;
        let columns = [("id", column_type), ("changed_at", ColumnType::Timestamp)];
        let mut previous = None;
        let mut digests = Vec::new();
        for _ in 0..2 {
            let table = format!("k{number}");
            let source = department.open(("public", &table), &columns, Some(increment(&["id"], 0)), previous).await;
            let source = source.unwrap();
            let (position, schema) = (source.position().unwrap(), source.schema().clone());
            let batches = read(source).await.unwrap_or_else(|error| panic!("{kind}: {error}"));
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, values.split(", ").count(), "{kind}");
            let made = snapshots.write("res_events", &schema, batches.into_iter().map(Ok)).await.unwrap();
            digests.push(made.digest);
            previous = Some(Previous { position, files: made.files });
        }
        assert_eq!(digests[0], digests[1], "{kind}: all rows came again, and nothing has changed");
    }
}

/// What an earlier Lingqu wrote has its new rows first, and a position without a mark.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_of_an_earlier_lingqu_is_put_in_order() {
    let department = department!();
    let directory = tempfile::tempdir().unwrap();
    let snapshots = SnapshotStore::open(directory.path()).unwrap();
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, note text, changed_at timestamptz);
             INSERT INTO public.events VALUES (2, 'b', '2024-01-02Z'), (1, 'a', '2024-01-01Z'), (3, 'c', '2024-01-02Z')",
        )
        .await;
    let increment = increment(&["id"], 0);
    let source = department.open(("public", "events"), &EVENTS, Some(increment.clone()), None).await.unwrap();
    let (position, schema) = (source.position().unwrap(), source.schema().clone());
    let batch = read(source).await.unwrap().remove(0);
    assert_eq!(ids(std::slice::from_ref(&batch)), [1, 2, 3]);
    let earlier = position.strip_suffix("/by-key").unwrap().to_owned();
    let disordered = [batch.slice(2, 1), batch.slice(0, 2)].map(Ok);
    let written = snapshots.write("res_events", &schema, disordered.into_iter()).await.unwrap();
    department.run("INSERT INTO public.events VALUES (0, 'new', '2024-01-03Z')").await;
    let open = async |position: String| {
        let previous = Previous { position, files: Arc::clone(&written.files) };
        department.open(("public", "events"), &EVENTS, Some(increment.clone()), Some(previous)).await.unwrap()
    };
    let source = open(earlier).await;
    assert!(source.position().unwrap().ends_with("/by-key"));
    assert_eq!(ids(&read(source).await.unwrap()), [0, 1, 2, 3]);
    // A mark that lies is found out.
    let error = read(open(position).await).await.unwrap_err().to_string();
    assert!(error.contains("not in the order of the key"), "{error}");
}

/// An interrupted reading reads all rows again and keeps the parts in which nothing has changed, however the rows lie in the table.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_reading_keeps_the_parts_that_hold_what_the_table_holds() {
    const PART: u64 = lingqu_engine::BATCH_ROWS as u64;
    let department = department!();
    department
        .run(
            "CREATE TABLE public.events (id int PRIMARY KEY, note text, changed_at timestamptz);
             INSERT INTO public.events SELECT i, 'x', '2024-01-01Z' FROM generate_series(1, 30000) i;
             ANALYZE public.events",
        )
        .await;
    let whole = department.open(("public", "events"), &EVENTS, None, None).await.unwrap();
    assert_eq!(whole.rows_hint(), Some(30_000), "about");
    let directory = tempfile::tempdir().unwrap();
    let store = |name: &str| SnapshotStore::open(&directory.path().join(name)).unwrap().with_part_rows(PART);
    let take = async |store: &SnapshotStore, name: &str| {
        let control = IngestControl { job: Some("ing_1".to_owned()), ..IngestControl::default() };
        let source = department.open(("public", "events"), &EVENTS, None, None).await.unwrap();
        let ingest = Ingest::Table(source, RejectLimit::default());
        let made = store.ingest("res_1", name, ingest, control.clone()).await.unwrap();
        (made, control.progress.finished(), control.progress.kept())
    };
    let broken = store("broken");
    take(&broken, "ing_1-1").await;
    department
        .run("UPDATE public.events SET note = note WHERE id % 3 = 0; UPDATE public.events SET note = 'y' WHERE id = 20000")
        .await;
    let (made, finished, kept) = take(&broken, "ing_1-2").await;
    assert_eq!((finished, kept), (30_000, 2 * PART));
    assert_eq!(made.digest, take(&store("whole"), "ing_1-1").await.0.digest);
}

#[tokio::test]
async fn a_key_that_is_none_and_a_position_of_another_column_are_refused() {
    let department = department!();
    let directory = tempfile::tempdir().unwrap();
    let snapshots = SnapshotStore::open(directory.path()).unwrap();
    department
        .run(
            "CREATE TABLE public.events (id int, note text, changed_at timestamptz);
              INSERT INTO public.events VALUES (1, 'secret', '2024-01-01Z'), (1, 'secret', '2024-01-02Z')",
        )
        .await;
    let error = taken(&department, &snapshots, &increment(&["id"], 0), None).await.unwrap_err().to_string();
    assert!(error.contains("do not tell rows apart") && !error.contains("secret"), "{error}");
    let schema = crate::view(&EVENTS);
    let written = snapshots.write("res_events", &schema, std::iter::empty()).await.unwrap();
    let previous = Previous { position: "integer:5".to_owned(), files: Arc::clone(&written.files) };
    let opened = department.open(("public", "events"), &EVENTS, Some(increment(&["id"], 0)), Some(previous)).await;
    assert!(opened.unwrap_err().to_string().contains("not one of this watermark"));
}

#[tokio::test]
async fn a_database_that_is_not_there_is_told_without_its_secret() {
    let url = "postgres://lingqu:geheim@127.0.0.1:1/civil";
    let error = connections(url).check(&civil()).await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(!format!("{error} {error:?}").contains("geheim"), "{error:?}");
    assert!(!format!("{:?}", connections(url)).contains("geheim"));
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let column =
        |batch: &RecordBatch| batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(column).collect()
}
