//! What a Parquet file tells beside its rows: its footer (who made it, keys and values, schema, statistics, sizes), the order
//! and number of its row groups, its indexes and filters, and the name it is sent under.

use std::collections::BTreeSet;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{Date32Type, Int64Type};
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::statistics::Statistics;

use crate::served::{Guarded, TRIPS, is_visible, told, told_in_bytes};
use lingqu_tests::scenario::Trip;

/// The year of every trip's day, as days since 1970: `day` is granted as its year.
const YEAR_2025: i32 = 20_089;

struct Exported {
    headers: String,
    bytes: Bytes,
}

async fn exported(guarded: &Guarded, query: &str) -> Exported {
    let url = format!("{}/data/v1/trip_guarded/export?format=parquet{query}", guarded.http);
    let reply = guarded.client.get(url).bearer_auth(&guarded.order.key).send().await.expect("an answer");
    assert_eq!(reply.status(), 200);
    let headers = format!("{:?}", reply.headers());
    Exported { headers, bytes: reply.bytes().await.expect("a body") }
}

fn metadata(bytes: &Bytes) -> ParquetMetaData {
    let reader = ParquetMetaDataReader::new().with_page_index_policy(PageIndexPolicy::Optional);
    reader.parse_and_finish(bytes).expect("a Parquet file")
}

/// Everything that is wrong with a file's metadata, given how many rows it may tell of.
fn faults(metadata: &ParquetMetaData, rows: usize) -> Vec<String> {
    let mut faults = Vec::new();
    let file = metadata.file_metadata();
    let columns: Vec<&str> = file.schema_descr().columns().iter().map(|column| column.name()).collect();
    if columns != ["trip_id", "line", "day", "delay", "vehicle"] {
        faults.push(format!("its columns are {columns:?}"));
    }
    if usize::try_from(file.num_rows()).ok() != Some(rows) {
        faults.push(format!("it says {} rows", file.num_rows()));
    }
    if let Some(maker) = file.created_by().filter(|maker| maker.contains('/') || maker.contains(".csv")) {
        faults.push(format!("it is made by {maker}"));
    }
    for pair in file.key_value_metadata().into_iter().flatten() {
        // The schema in Arrow's form is the one pair that readers know; it is searched with the bytes of the file.
        if pair.key != "ARROW:schema" {
            faults.push(format!("it has the key {}", pair.key));
        }
    }
    for (number, group) in metadata.row_groups().iter().enumerate() {
        if group.sorting_columns().is_some() {
            faults.push(format!("row group {number} tells an order"));
        }
        for column in group.columns() {
            if column.bloom_filter_offset().is_some() {
                faults.push(format!("`{}` has a bloom filter", column.column_path()));
            }
            if let Some(statistics) = column.statistics() {
                faults.extend(told_by(&column.column_path().string(), statistics));
            }
        }
    }
    faults
}

/// What the statistics of a column tell of more than the visible rows.
fn told_by(column: &str, statistics: &Statistics) -> Option<String> {
    let text = |bytes: Option<&[u8]>| bytes.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let (least, greatest) = (text(statistics.min_bytes_opt()), text(statistics.max_bytes_opt()));
    let is_fine = match (column, statistics) {
        ("trip_id", Statistics::Int64(values)) => {
            let visible = |value: &i64| value % 5 == 1 && (1..=1_996).contains(value);
            values.min_opt().is_none_or(visible) && values.max_opt().is_none_or(visible)
        }
        ("delay", Statistics::Int64(values)) => {
            let delays: BTreeSet<i64> =
                (0..TRIPS).map(Trip::of).filter(is_visible).filter_map(|trip| trip.delay).collect();
            values.min_opt().is_none_or(|value| delays.contains(value))
                && values.max_opt().is_none_or(|value| delays.contains(value))
        }
        ("day", Statistics::Int32(values)) => {
            values.min_opt().is_none_or(|value| *value == YEAR_2025)
                && values.max_opt().is_none_or(|value| *value == YEAR_2025)
        }
        ("line", Statistics::ByteArray(_)) => {
            [&least, &greatest].iter().all(|value| value.as_deref().is_none_or(|value| value == "L1"))
        }
        ("vehicle", Statistics::ByteArray(_)) => [&least, &greatest]
            .iter()
            .all(|value| value.as_deref().is_none_or(|value| value.bytes().all(|byte| byte.is_ascii_hexdigit()))),
        _ => false,
    };
    (!is_fine).then(|| format!("the statistics of `{column}` tell {least:?} to {greatest:?}"))
}

fn rows_of(bytes: &Bytes) -> Vec<RecordBatch> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).expect("a Parquet file");
    reader.build().expect("it is read").map(|batch| batch.expect("a batch")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_metadata_of_an_export_tells_of_the_visible_rows_alone() {
    let guarded = Guarded::open().await;
    for (query, rows) in
        [("", 400), ("&filter=trip_id:lt:100", 20), ("&filter=line:eq:L0", 0), ("&filter=trip_id:eq:2", 0)]
    {
        let file = exported(&guarded, query).await;
        let found = faults(&metadata(&file.bytes), rows);
        assert!(found.is_empty(), "{query}: {found:?}");
        // It is sent under the product's name, with its type.
        let headers = file.headers.replace("trip_guarded.parquet", "").replace("application/vnd.apache.parquet", "");
        let told = told(&headers, query) + &told_in_bytes(&file.bytes);
        assert!(told.is_empty(), "{query}: {told}");
        let batches = rows_of(&file.bytes);
        assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), rows, "{query}");
        for batch in batches {
            for row in 0..batch.num_rows() {
                assert_eq!(batch["trip_id"].as_primitive::<Int64Type>().value(row) % 5, 1, "{query}");
                assert_eq!(batch["line"].as_string::<i32>().value(row), "L1", "{query}");
                assert_eq!(batch["day"].as_primitive::<Date32Type>().value(row), YEAR_2025, "{query}");
                assert!(batch["vehicle"].is_valid(row), "{query}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_row_groups_of_an_export_do_not_tell_where_hidden_rows_stood() {
    // Twice the same question gives the same bytes; the groups are those of the visible rows, in the order of their key.
    let guarded = Guarded::open().await;
    let (first, second) = (exported(&guarded, "").await, exported(&guarded, "").await);
    assert!(first.bytes == second.bytes);
    let found = metadata(&first.bytes);
    assert_eq!(found.row_groups().iter().map(|group| group.num_rows()).collect::<Vec<_>>(), [400]);
    let mut ids = Vec::new();
    for batch in rows_of(&first.bytes) {
        ids.extend(batch["trip_id"].as_primitive::<Int64Type>().values().to_vec());
    }
    assert!(ids.is_sorted());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_look_finds_fault_with_a_file_of_all_rows() {
    // The product's own file, which no door serves: the same look must not let it pass.
    let guarded = Guarded::open().await;
    exported(&guarded, "").await;
    let mut files = Vec::new();
    let mut folders = vec![guarded.scenario.app.directory().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the node's directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "parquet") {
                files.push(path);
            }
        }
    }
    let mut looked_at = 0;
    for file in files {
        let bytes = Bytes::from(std::fs::read(&file).expect("a file"));
        let found = metadata(&bytes);
        let has =
            |name: &str| found.file_metadata().schema_descr().columns().iter().any(|column| column.name() == name);
        if has("trip_id") && has("__row") {
            looked_at += 1;
            let faults = faults(&found, 400);
            assert!(faults.iter().any(|fault| fault.contains("statistics of `trip_id`")), "{faults:?}");
            assert!(faults.iter().any(|fault| fault.contains("columns")), "{faults:?}");
            assert!(!told_in_bytes(&bytes).is_empty());
        }
    }
    assert!(looked_at > 0, "the product has files");
}
