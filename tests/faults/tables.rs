//! `kill -9` while a table is read: a Delta table, an Iceberg table, a table of a department's database. The next start goes on
//! after the finished part, and what is taken in is the whole table, each row once.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use lingqu_tests::PrivatePostgres;
use lingqu_tests::node::{self, Node};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::ingest::{Clerk, PART_ROWS, WAIT_MAX, parts};
use crate::prepared::Prepared;

/// Rows of the tables `many`: two parts and some more, so that half of the work is left when the first is finished.
const LAKE_ROWS: u64 = 2_300_000;
/// Rows of the database's table, which takes longer to read.
const DATABASE_ROWS: u64 = 1_500_000;
/// How often one looks whether a part is there.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Tables that other programs wrote.
fn lake() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/engine/tests/engine/fixtures/tables");
    folder.canonicalize().expect("the tables are there").display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delta_table_is_gone_on_with_after_a_kill() {
    let table = json!({"format": "delta", "connection": "source", "directory": "delta/many"});
    killed(&format!("folder = {:?}", lake()), &table, LAKE_ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_iceberg_table_is_gone_on_with_after_a_kill() {
    let table = json!({"format": "iceberg", "connection": "source", "directory": "iceberg/many"});
    killed(&format!("folder = {:?}", lake()), &table, LAKE_ROWS).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_a_database_is_gone_on_with_after_a_kill() {
    let Some(server) = PrivatePostgres::needed("a kill while a database is read") else { return };
    let url = server.create_database().await;
    let admin = Database::connect(&url).await.expect("the database was made");
    let filled = format!(
        "CREATE TABLE public.many (trip_id bigint PRIMARY KEY, line text, day date, delay bigint, vehicle text, note text);
         INSERT INTO public.many SELECT i, 'L' || i % 5, '2025-03-01', NULL, 'GX', 'n' FROM generate_series(0, {}) i;
         ANALYZE public.many",
        DATABASE_ROWS - 1
    );
    admin.execute_unprepared(&filled).await.expect("the statements are right");
    let table = json!({"format": "postgres", "connection": "source", "schema": "public", "table": "many"});
    let job = killed(&format!("url = {url:?}"), &table, DATABASE_ROWS).await;
    // All rows were read again, since they could have changed; those of the part were the same.
    assert_eq!(job["resumption"], json!({"finished_rows": PART_ROWS, "kept_rows": PART_ROWS}), "{job}");
}

/// Kills a node when the first part of a table is finished, and gives the job as its next process ended it.
async fn killed(connection: &str, table: &Value, rows: u64) -> Value {
    let prepared = Prepared::make(None, 20).await;
    let configured = format!("[connections.source]\nprovider = \"{}\"\n{connection}\n", prepared.provider);
    fs::write(prepared.node().join("lingqu.toml"), configured).expect("the node's directory is writable");
    let node = Node::serve(&prepared.node());
    let clerk = Clerk::of(&node).await;
    let trips = clerk.trips().await;
    let snapshots = prepared.node().join("snapshots").join(&trips);
    let path = format!("/api/v1/resources/{trips}/table-ingestions");
    let job = clerk.post(&path, &json!({ "table": table })).await;
    let id = job["id"].as_str().unwrap_or_else(|| panic!("{job}")).to_owned();
    let begun = Instant::now();
    let kept = loop {
        if let Some(first) = parts(&snapshots, &id).first() {
            break first.clone();
        }
        assert!(begun.elapsed() < WAIT_MAX, "no part was finished: {}", node.log());
        tokio::time::sleep(LOOK_EVERY).await;
    };
    node.kill();

    let node = Node::serve(&prepared.node());
    let clerk = Clerk::of(&node).await;
    let job = clerk.until(&id, &node, |job| job["ended_at"].is_string()).await;
    // It was killed in the middle: the second process had to go on.
    assert_eq!((job["state"].as_str(), job["attempts"].as_u64()), (Some("committed"), Some(2)), "{job}");
    assert_eq!((job["snapshot"]["rows"].as_u64(), job["rows_read"].as_u64()), (Some(rows), Some(rows)), "{job}");
    assert_eq!(job["rows_rejected"].as_u64(), Some(0), "{job}");
    let written = parts_cleared(&snapshots, &id, rows.div_ceil(PART_ROWS)).await;
    let digest = |name: &str| name.rsplit('-').next().map(str::to_owned);
    assert_eq!(digest(&written[0].0), digest(&kept.0), "the finished part is the first one");
    assert_eq!(written[0].1, kept.1, "the finished part was not written again");
    let names: Vec<&str> = written.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(rows_in_order(&snapshots, &names), rows);
    let entry = clerk.get(&format!("/api/v1/resources/{trips}")).await;
    assert_eq!(entry["body"]["snapshot"], job["snapshot"]);
    assert_eq!(node.stop().code(), Some(0));
    let replay = node::run(&["replay", "--check", "--dir", &prepared.node().display().to_string()]);
    assert_eq!(replay.code, Some(0), "{replay:?}");
    job
}

/// The parts of a job once nothing of its earlier attempt is left.
async fn parts_cleared(snapshots: &Path, id: &str, count: u64) -> Vec<(String, std::time::SystemTime)> {
    let begun = Instant::now();
    loop {
        let found = parts(snapshots, id);
        if found.len() as u64 == count {
            return found;
        }
        assert!(begun.elapsed() < WAIT_MAX, "{count} parts are expected: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Rows of files whose trips are 0, 1, 2 and so on without a gap.
fn rows_in_order(folder: &Path, names: &[&str]) -> u64 {
    let mut next = 0_i64;
    for name in names {
        let file = fs::File::open(folder.join(name)).expect("it was just seen");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is a Parquet file");
        let mask = ProjectionMask::columns(builder.parquet_schema(), ["trip_id"]);
        for batch in builder.with_projection(mask).build().expect("it can be read") {
            for trip in batch.expect("it can be read").column(0).as_primitive::<Int64Type>().values() {
                assert_eq!(*trip, next, "{name}");
                next += 1;
            }
        }
    }
    u64::try_from(next).expect("it counts")
}
