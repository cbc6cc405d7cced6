//! Exports: the receipt first, then the bytes; and nothing in a file but what was granted.

use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use bytes::Bytes;
use futures::StreamExt;
use lingqu_engine::export::{ExportError, ExportFormat, export};
use lingqu_engine::session::GovernedSession;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::data::{Place, batches, tenant_a, text_rows};

const SQL: &str = "select * from people order by id";

async fn exported(session: &GovernedSession, sql: &str, format: ExportFormat) -> Vec<u8> {
    let answer = session.query(sql).await.expect("an answer");
    let stream = export(answer, format, |_| async { Ok::<(), std::convert::Infallible>(()) });
    let mut bytes = Vec::new();
    futures::pin_mut!(stream);
    while let Some(chunk) = stream.next().await {
        bytes.extend_from_slice(&chunk.expect("bytes").bytes);
    }
    bytes
}

async fn session(place: &Place) -> GovernedSession {
    let people = place.people().await;
    place.session(&[tenant_a(
        &people,
        &[("id", "exact"), ("code", "pseudonym:order"), ("born", "month"), ("balance", "exact")],
    )])
}

#[tokio::test]
async fn a_parquet_file_holds_the_answer_and_nothing_else() {
    let place = Place::new();
    let session = session(&place).await;
    let bytes = Bytes::from(exported(&session, SQL, ExportFormat::Parquet).await);
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes.clone()).expect("a Parquet file");
    let metadata = reader.metadata().file_metadata().clone();
    assert_eq!(metadata.created_by(), Some("lingqu"));
    assert!(metadata.key_value_metadata().is_none_or(|pairs| pairs.is_empty()), "{:?}", metadata.key_value_metadata());
    let read: Vec<RecordBatch> = reader.build().expect("a reader").map(|batch| batch.expect("a batch")).collect();
    let answered = batches(&session, SQL).await.expect("an answer");
    assert_eq!(text_rows(&read), text_rows(&answered));
    for secret in ["__row", "tenant", "secret", "snapshots", "part-"] {
        assert!(!contains(&bytes, secret.as_bytes()), "the file tells of {secret}");
    }
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack.windows(needle.len()).any(|window| window == needle)
}

#[tokio::test]
async fn text_files_hold_the_answer() {
    let place = Place::new();
    let session = session(&place).await;
    let sql = "select id, born, balance from people where id < 4 order by id";
    let csv = String::from_utf8(exported(&session, sql, ExportFormat::Csv).await).expect("text");
    assert_eq!(csv, "id,born,balance\n1,1961-02-01,1.01\n2,1962-03-01,2.02\n3,1963-04-01,3.03\n");
    let lines = String::from_utf8(exported(&session, sql, ExportFormat::Ndjson).await).expect("text");
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON");
    assert_eq!(first["id"], 1);
    assert_eq!(first["born"], "1961-02-01");
    assert_eq!(lines.lines().count(), 3);
    let empty = exported(&session, "select id from people where false", ExportFormat::Csv).await;
    assert_eq!(String::from_utf8(empty).expect("text"), "id\n");
}

#[tokio::test]
async fn no_byte_leaves_before_its_receipt_is_durable() {
    let place = Place::new();
    // Enough rows for several batches.
    let mut csv = String::from("id\n");
    for id in 0..100_000 {
        csv.push_str(&format!("{id}\n"));
    }
    let snapshot = place.snapshot("res_many", &csv).await;
    let governed = crate::data::governance("people", &[("id", "exact")], vec![], None);
    let table = lingqu_engine::governed::GovernedTable::new(snapshot.files, &governed).expect("a table");
    let session = place.session(&[table]);
    let durable_rows = Arc::new(Mutex::new(0_u64));
    let recorded = Arc::clone(&durable_rows);
    let answer = session.query("select id from people").await.expect("an answer");
    let stream = export(answer, ExportFormat::Csv, move |part| {
        let rows: u64 = part.rows.values().map(|rows| rows.len()).sum();
        let recorded = Arc::clone(&recorded);
        async move {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            *recorded.lock().expect("not poisoned") += rows;
            Ok::<(), std::convert::Infallible>(())
        }
    });
    futures::pin_mut!(stream);
    let mut lines = 0;
    let mut chunks = 0;
    let mut rows_told = 0;
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("bytes");
        lines += chunk.bytes.iter().filter(|byte| **byte == b'\n').count() as u64;
        rows_told += chunk.rows;
        assert_eq!(rows_told, lines - 1, "a chunk says how many rows it completes");
        chunks += 1;
        let durable = *durable_rows.lock().expect("not poisoned");
        assert!(lines - 1 <= durable, "{lines} lines left, {durable} rows are in durable receipts");
    }
    assert_eq!(lines, 100_001);
    assert!(chunks > 1, "the export was streamed");
}

/// Of a Parquet file rows are there when their row group is, however many were gathered before.
#[tokio::test]
async fn a_chunk_of_parquet_completes_whole_row_groups() {
    const ROWS: usize = 300_000;
    let place = Place::new();
    let mut csv = String::from("id,word\n");
    for id in 0..ROWS {
        // Texts that hardly compress, so that a row group is more than one chunk waits for.
        let word = (id as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        csv.push_str(&format!("{id},{word:016x}\n"));
    }
    let snapshot = place.snapshot("res_groups", &csv).await;
    let governed = crate::data::governance("people", &[("id", "exact"), ("word", "exact")], vec![], None);
    let table = lingqu_engine::governed::GovernedTable::new(snapshot.files, &governed).expect("a table");
    let session = place.session(&[table]);
    let answer = session.query("select id, word from people").await.expect("an answer");
    let (named, parts) = (Arc::new(Mutex::new(0_u64)), Arc::new(Mutex::new(0)));
    let (counted, counted_parts) = (Arc::clone(&named), Arc::clone(&parts));
    let stream = export(answer, ExportFormat::Parquet, move |part| {
        *counted.lock().expect("not poisoned") += part.answer_rows();
        *counted_parts.lock().expect("not poisoned") += 1;
        async { Ok::<(), std::convert::Infallible>(()) }
    });
    futures::pin_mut!(stream);
    let mut bytes = Vec::new();
    let mut rows = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("bytes");
        bytes.extend_from_slice(&chunk.bytes);
        rows.push(chunk.rows);
        let named = *named.lock().expect("not poisoned");
        let completed: u64 = rows.iter().sum();
        assert!(completed <= named, "{completed} rows are there and {named} are named");
        assert!(rows.len() > 1 || completed < named, "what is gathered is named and not there yet");
    }
    let file = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a Parquet file");
    let groups: Vec<_> = file.metadata().row_groups().iter().map(|group| group.num_rows() as u64).collect();
    assert_eq!(groups.len(), 3);
    assert!(rows.len() > 1, "{rows:?}");
    assert_eq!(rows.iter().sum::<u64>(), ROWS as u64);
    assert_eq!(rows[0], groups[0], "the first chunk is the first row group");
    let parts = *parts.lock().expect("not poisoned");
    assert!(parts <= groups.len() + 1, "{parts} parts were named where nothing can leave before a row group is full");
}

/// Nobody counts the rows of a row group in a query's memory, so they are 24 MiB at most and the batch that ends it.
#[tokio::test]
async fn row_groups_of_wide_rows_have_fewer() {
    const ROWS: usize = 60_000;
    let place = Place::new();
    let csv = (0..ROWS).fold(String::from("id,word\n"), |csv, id| csv + &format!("{id},{id:0>100}\n"));
    let snapshot = place.snapshot("res_wide_rows", &csv).await;
    let governed = crate::data::governance("people", &[("id", "exact"), ("word", "exact")], vec![], None);
    let table = lingqu_engine::governed::GovernedTable::new(snapshot.files, &governed).expect("a table");
    let sql = format!("select concat({}) as w from people", ["word"; 10].join(", "));
    let bytes = exported(&place.session(&[table]), &sql, ExportFormat::Parquet).await;
    let file = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(bytes)).expect("a Parquet file");
    let groups: Vec<_> = file.metadata().row_groups().iter().map(|group| group.num_rows()).collect();
    assert_eq!(groups.iter().sum::<i64>(), ROWS as i64);
    let most = (24 << 20) / 1_000 + 8_192;
    assert!(groups.iter().all(|rows| *rows <= most), "{groups:?}");
}

#[tokio::test]
async fn a_receipt_that_fails_stops_the_export() {
    let place = Place::new();
    let session = session(&place).await;
    let answer = session.query(SQL).await.expect("an answer");
    let stream = export(answer, ExportFormat::Csv, |_| async { Err("suspended") });
    futures::pin_mut!(stream);
    let first = stream.next().await.expect("an end");
    assert!(matches!(first, Err(ExportError::Hook("suspended"))));
    assert!(stream.next().await.is_none());
}
