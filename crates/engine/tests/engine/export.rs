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
        bytes.extend_from_slice(&chunk.expect("bytes"));
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
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.expect("bytes");
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        chunks += 1;
        let durable = *durable_rows.lock().expect("not poisoned");
        assert!(lines - 1 <= durable, "{lines} lines left, {durable} rows are in durable receipts");
    }
    assert_eq!(lines, 100_001);
    assert!(chunks > 1, "the export was streamed");
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
