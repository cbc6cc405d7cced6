//! Every mode that a grant may have, on both databases: what the client gets and what the receipts say.

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::ipc::reader::StreamReader;
use bytes::Bytes;
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{Ordered, TRIP_CHECK, TRIP_RECORDS, TRIP_STATISTICS, Trip, Who};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::Method;
use serde_json::json;

use crate::served::{Reply, Served, rows_named};

const RECORDS: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];

#[tokio::test(flavor = "multi_thread")]
async fn every_mode() {
    lingqu_tests::both(async |factory| {
        let url = Some(factory.config().url);
        let served = Served::open(url, 20_000).await;
        verification(&served).await;
        let records = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (1_000, 20)).await;
        lookup(&served, &records).await;
        query(&served, &records).await;
        pages(&served, &records).await;
        export(&served, &records).await;
        known_answers(&served, &records).await;
        statistics(&served).await;
    })
    .await;
}

async fn verification(served: &Served) {
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let claim = |trip: usize, claim| json!({"key": {"trip_id": trip}, "claim": claim});
    for (body, expected) in [
        (claim(60, json!({"late": true})), "match"),
        (claim(60, json!({"late": true, "line": "L0"})), "match"),
        (claim(60, json!({"late": true, "line": "L1"})), "mismatch"),
        (claim(59, json!({"late": true})), "mismatch"),
        (claim(3, json!({"late": null})), "match"),
        (claim(20_000, json!({"late": true})), "not_found"),
    ] {
        let reply = served.post(&order, "/verify", body).await.ok();
        let receipt = reply.header("delivery-receipt").unwrap().to_owned();
        assert_eq!(reply.json(), json!({"result": expected, "receipt": receipt, "nature": "REAL"}));
        assert_eq!(reply.header("data-nature"), Some("REAL"));
        assert_eq!(reply.header("cache-control"), Some("no-store"));
        let records = served.records(&receipt).await;
        let [record] = &records[..] else { panic!("{records:?}") };
        let ReceiptBody::Single { opening, totals, .. } = &record.body else { panic!("{record:?}") };
        assert_eq!((opening.mode, opening.protocol.as_str()), (Mode::Verification, "rest"));
        assert_eq!(opening.order, order.id);
        assert_eq!((totals.calls, totals.bytes), (1, reply.body.len() as u64));
        assert_eq!(totals.rows, u64::from(expected != "not_found"));
    }
    let claims: Vec<_> = (0..10).map(|trip| claim(trip * 30, json!({"late": true}))).collect();
    let reply = served.post(&order, "/verify", json!({"claims": claims})).await.ok();
    let results = reply.json()["results"].clone();
    // 0, 30, 60, 90, then again from 120; trip 150 has no delay, since 150 is 3 more than a multiple of 7.
    let expected =
        ["mismatch", "mismatch", "match", "match", "mismatch", "mismatch", "match", "match", "mismatch", "mismatch"];
    assert_eq!(results, json!(expected));
    let records = served.records(reply.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { totals, .. } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((totals.calls, totals.rows), (10, 10));
}

async fn lookup(served: &Served, order: &Ordered) {
    let reply = served.get(order, "/lookup/61").await.ok();
    let row = reply.json()["rows"][0].clone();
    let trip = Trip::of(61);
    assert_eq!(row["trip_id"], 61);
    assert_eq!((row["line"].as_str(), row["day"].as_str()), (Some("L1"), Some(trip.day.as_str())));
    assert_eq!(row["delay"], 61);
    let vehicle = row["vehicle"].as_str().unwrap();
    assert!(vehicle.len() == 32 && vehicle != trip.vehicle, "{vehicle}");
    let again = served.get(order, "/lookup?trip_id=61").await.ok();
    assert_eq!(again.json()["rows"][0], row);
    let batch = served
        .post(order, "/lookup", json!({"keys": [{"trip_id": 61}, {"trip_id": 99_999}, {"trip_id": 3}]}))
        .await
        .ok();
    let rows = batch.json()["rows"].clone();
    assert_eq!((&rows[0], rows[1].is_null(), rows[2]["delay"].is_null()), (&row, true, true));
    let records = served.records(batch.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { totals, .. } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((totals.calls, totals.rows, totals.answer_rows), (3, 2, 2));
    let request =
        served.request(Method::GET, order, "/lookup/61").header("accept", "application/vnd.apache.arrow.stream");
    let arrow = Reply::of(request).await.ok();
    let batches = arrow_batches(&arrow.body);
    assert_eq!(batches[0].column(0).as_primitive::<Int64Type>().value(0), 61);
    // The same vehicle has another name for another consumer.
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &RECORDS, (10, 0)).await;
    let elsewhere = served.get(&other, "/lookup/61").await.ok().json()["rows"][0]["vehicle"].clone();
    assert_ne!(elsewhere, row["vehicle"]);
    // A thousand keys are one request and a thousand calls; one more is refused before anything is taken.
    let keys = |count: usize| json!({"keys": (0..count).map(|trip| json!({"trip_id": trip * 20})).collect::<Vec<_>>()});
    let thousand = served.scenario.order(Who::First, TRIP_RECORDS, &RECORDS, (1_000, 0)).await;
    let head = served.receipt_head().await;
    let refused = served.post(&thousand, "/lookup", keys(1_001)).await;
    assert_eq!(refused.problem(), (422, "invalid".to_owned()));
    assert!(refused.text().contains("1000"), "the limit is told: {}", refused.text());
    assert_eq!(served.receipt_head().await, head);
    let most = served.post(&thousand, "/lookup", keys(1_000)).await.ok();
    let found = most.json()["rows"].clone();
    let ids: Vec<_> = found.as_array().unwrap().iter().map(|row| row["trip_id"].as_u64().unwrap()).collect();
    assert_eq!(ids, (0..1_000).map(|trip| trip * 20).collect::<Vec<_>>());
    let records = served.records(most.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { totals, .. } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((totals.calls, totals.rows, totals.answer_rows), (1_000, 1_000, 1_000));
    let more = served.post(&thousand, "/lookup", keys(1)).await;
    assert_eq!(more.problem(), (403, "quota_exceeded".to_owned()));
}

async fn query(served: &Served, order: &Ordered) {
    let sql = "SELECT line, count(*) AS trips, avg(delay) AS mean FROM trip_records GROUP BY line ORDER BY line";
    let reply = served.post(order, "/query", json!({"sql": sql})).await.ok();
    let body = reply.json();
    assert_eq!(body["columns"], json!(["line", "trips", "mean"]));
    assert_eq!(body["row_count"], 6);
    assert_eq!(body["rows"][5]["line"], "L9");
    assert_eq!(body["rows"][5]["trips"], 20);
    assert_eq!(reply.header("receipt-rows"), Some("superset"));
    let receipt = reply.header("delivery-receipt").unwrap();
    assert_eq!(body["receipt"], receipt);
    let (records, outcome, totals) = served.closed(receipt).await;
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!((totals.calls, totals.answer_rows, totals.rows), (1, 6, 20_000));
    assert_eq!(rows_named(&records), 20_000);
    assert_eq!(totals.bytes, reply.body.len() as u64);

    // A bare text is a statement too; the receipt of a filter names exactly its rows.
    let sql = "SELECT trip_id, delay FROM trip_records WHERE delay = 60 AND trip_id < 500 ORDER BY trip_id";
    let request = served.request(Method::POST, order, "/query").header("accept", "text/csv").body(sql);
    let reply = Reply::of(request).await.ok();
    assert_eq!(reply.text(), "trip_id,delay\n60,60\n180,60\n300,60\n420,60\n");
    assert_eq!(reply.header("receipt-rows"), Some("exact"));
    let (_, _, totals) = served.closed(reply.header("delivery-receipt").unwrap()).await;
    assert_eq!((totals.rows, totals.answer_rows), (4, 4));
}

async fn pages(served: &Served, order: &Ordered) {
    let mut cursor = String::new();
    let mut seen = Vec::new();
    loop {
        let path = format!("/rows?columns=trip_id&filter=line:eq:L4&filter=trip_id:lt:1000&limit=70{cursor}");
        let page = served.get(order, &path).await.ok();
        let body = page.json();
        seen.extend(body["rows"].as_array().unwrap().iter().map(|row| row["trip_id"].as_u64().unwrap()));
        match body["next_cursor"].as_str() {
            Some(next) => {
                assert_eq!(page.header("next-cursor"), Some(next));
                cursor = format!("&cursor={next}");
            }
            None => break,
        }
    }
    let expected: Vec<u64> = (0..1_000).filter(|trip| trip % 5 == 4 && trip % 1_000 != 999).collect();
    assert_eq!(seen, expected);

    // Sorting falls back on the key, so pages neither repeat nor lose a row.
    let mut seen = Vec::new();
    let mut cursor = String::new();
    for _ in 0..5 {
        let path = format!(
            "/rows?columns=trip_id,line&filter=day:eq:2025-03-02&filter=trip_id:lt:2800&sort=-line&limit=20{cursor}"
        );
        let body = served.get(order, &path).await.ok().json();
        for row in body["rows"].as_array().unwrap() {
            seen.push((row["line"].as_str().unwrap().to_owned(), row["trip_id"].as_u64().unwrap()));
        }
        cursor = format!("&cursor={}", body["next_cursor"].as_str().unwrap());
    }
    let mut expected = Vec::new();
    for trip in (0..2_800).filter(|trip| trip % 28 == 1) {
        expected.push((Trip::of(trip).line, trip as u64));
    }
    expected.sort_by(|left, right| right.0.cmp(&left.0).then(left.1.cmp(&right.1)));
    assert_eq!(seen, expected);

    let nulls = served.get(order, "/rows?columns=trip_id,delay&filter=delay:null&limit=2").await.ok();
    assert_eq!(nulls.json()["rows"], json!([{"trip_id": 3, "delay": null}, {"trip_id": 10, "delay": null}]));
    let (_, _, totals) = served.closed(nulls.header("delivery-receipt").unwrap()).await;
    assert_eq!((totals.calls, totals.rows), (1, 2));
    let ndjson = served.get(order, "/rows?columns=trip_id&filter=trip_id:in:5,6&format=ndjson").await.ok();
    assert_eq!(ndjson.text(), "{\"trip_id\":5}\n{\"trip_id\":6}\n");
    // Every line has every column.
    let missing = served.get(order, "/rows?columns=trip_id,delay&filter=trip_id:eq:3&format=ndjson").await.ok();
    assert_eq!(missing.text(), "{\"trip_id\":3,\"delay\":null}\n");
}

async fn export(served: &Served, order: &Ordered) {
    let csv = served.get(order, "/export?format=csv&columns=trip_id,line").await.ok();
    assert_eq!(csv.header("content-disposition"), Some("attachment; filename=\"trip_records.csv\""));
    let text = csv.text();
    let mut lines = text.lines();
    assert_eq!(lines.next(), Some("trip_id,line"));
    for (trip_id, line) in lines.by_ref().enumerate() {
        assert_eq!(line, format!("{trip_id},{}", Trip::of(trip_id).line));
    }
    assert_eq!(text.lines().count(), 20_001);

    let file = served.get(order, "/export").await.ok();
    assert_eq!(file.header("content-type"), Some("application/vnd.apache.parquet"));
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file.body.clone())).unwrap().build().unwrap();
    let batches: Vec<RecordBatch> = reader.map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(RecordBatch::num_rows).sum::<usize>(), 20_000);
    let names: Vec<_> = batches[0].schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["trip_id", "line", "day", "delay", "vehicle", "note"]);
    let whole = String::from_utf8_lossy(&file.body);
    assert!(!whole.contains("GX-00001"), "the vehicle's own identifier must not leave");

    let (records, outcome, totals) = served.closed(file.header("delivery-receipt").unwrap()).await;
    assert!(matches!(records[0].body, ReceiptBody::Opened(_)));
    assert_eq!(outcome, Outcome::Delivered);
    assert_eq!((totals.data_sets, totals.calls, totals.rows, totals.answer_rows), (1, 0, 20_000, 20_000));
    assert_eq!((rows_named(&records), totals.bytes), (20_000, file.body.len() as u64));
    for (at, record) in records[1..records.len() - 1].iter().enumerate() {
        let ReceiptBody::Part { number, .. } = record.body else { panic!("{record:?}") };
        assert_eq!(number, at as u64);
    }

    let arrow = served.get(order, "/export?format=arrow&filter=line:eq:L9").await.ok();
    assert_eq!(arrow_batches(&arrow.body).iter().map(RecordBatch::num_rows).sum::<usize>(), 20);
}

/// A client that has the answer gets no other, and neither pays nor leaves a receipt.
async fn known_answers(served: &Served, order: &Ordered) {
    for path in ["/lookup/61", "/rows?limit=3", "/export?format=csv&columns=trip_id"] {
        let first = served.get(order, path).await.ok();
        let tag = first.header("etag").unwrap().to_owned();
        let head = served.receipt_head().await;
        let request = served.request(Method::GET, order, path).header("if-none-match", format!("\"other\", {tag}"));
        let known = Reply::of(request).await;
        assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, Some(tag.as_str())), "{path}");
        assert!(known.header("delivery-receipt").is_none());
        let star = Reply::of(served.request(Method::GET, order, path).header("if-none-match", "*")).await.ok();
        assert_eq!(star.header("etag"), Some(tag.as_str()));
        served.closed_or_single(star.header("delivery-receipt").unwrap()).await;
        assert!(served.receipt_head().await > head);
    }
}

async fn statistics(served: &Served) {
    let order = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (50, 0)).await;
    let sql = "SELECT line, day, count(*) AS trips FROM trip_statistics WHERE day <= '2025-03-04' GROUP BY line, day ORDER BY line, day";
    let reply = served.post(&order, "/query", json!({"sql": sql})).await.ok();
    let body = reply.json();
    // L0 to L4 on four days. The few trips of L9 are left out, and with them as many others as it takes to hide them from
    // whoever knows the sums by line and by day.
    assert_eq!(body["row_count"], 14, "{body}");
    let suppressed = body["groups_suppressed"].as_u64().unwrap();
    assert!(suppressed > 0);
    assert_eq!(reply.header("groups-suppressed"), Some(suppressed.to_string().as_str()));
    let (records, _, totals) = served.closed(reply.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Opened(opening) = &records[0].body else { panic!("{records:?}") };
    assert_eq!(opening.mode, Mode::Statistics);
    assert_eq!((totals.calls, totals.answer_rows), (1, 14));
}

fn arrow_batches(bytes: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(bytes, None).unwrap().map(Result::unwrap).collect()
}
