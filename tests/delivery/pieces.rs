//! Pieces of exports (`Range`), formats of lookups, and the product's document.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use lingqu_crypto::{ServiceKey, sha256};
use lingqu_domain::command::Command;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_domain::scope::Mode;
use lingqu_gateway::GatewayError;
use lingqu_gateway::delivery::{Deliveries, FileRequest, Handed, Settings};
use lingqu_gateway::encode::Format;
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{Ordered, TRIP_CHECK, TRIP_RECORDS, TRIP_STATISTICS, Who};
use reqwest::Method;
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::served::{Reply, Served, receipt_of};

const PATH: &str = "/export?format=csv&columns=trip_id,line";

async fn piece(served: &Served, order: &Ordered, range: &str, if_range: Option<&str>) -> Reply {
    let mut request = served.request(Method::GET, order, PATH).header("range", range);
    if let Some(tag) = if_range {
        request = request.header("if-range", tag);
    }
    Reply::of(request).await
}

/// A download that was paid and broke is gone on with for nothing, with the same bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_download_is_gone_on_with() {
    let served = Served::open(None, 20_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 2)).await;
    let whole = served.get(&order, PATH).await.ok();
    assert_eq!(whole.header("accept-ranges"), Some("bytes"));
    let tag = whole.header("etag").unwrap();
    assert!(tag.starts_with('"'), "the bytes are the same, so the tag is strong: {tag}");
    served.closed(whole.header("delivery-receipt").unwrap()).await;
    let size = whole.body.len();
    let (first, last) = (size / 3, size / 2);

    let rest = piece(&served, &order, &format!("bytes={first}-"), Some(tag)).await;
    assert_eq!((rest.status, rest.header("etag")), (206, Some(tag)));
    assert!(rest.body == whole.body[first..]);
    assert_eq!(rest.header("content-range"), Some(&*format!("bytes {first}-{}/{size}", size - 1)));
    assert_eq!(rest.header("content-disposition"), whole.header("content-disposition"));
    let receipt = rest.header("delivery-receipt").unwrap();
    let (_, outcome, totals) = served.closed(receipt).await;
    assert_eq!((outcome, totals.data_sets, totals.rows), (Outcome::Delivered, 0, 20_000));
    let middle = piece(&served, &order, &format!("bytes={first}-{last}"), None).await;
    assert!(middle.body == whole.body[first..=last]);
    assert_eq!(middle.header("delivery-receipt"), Some(receipt), "the pieces are one delivery");
    let nothing = piece(&served, &order, &format!("bytes={size}-"), None).await;
    assert_eq!((nothing.status, nothing.body.len()), (416, 0));
    assert_eq!(nothing.header("content-range"), Some(&*format!("bytes */{size}")));

    // Under another tag the whole is sent, which is a delivery of its own.
    let other = piece(&served, &order, "bytes=0-9", Some("\"other\"")).await.ok();
    assert!(other.body == whole.body);
    assert_eq!(served.closed(other.header("delivery-receipt").unwrap()).await.2.data_sets, 1);
    let used_up = served.get(&order, PATH).await;
    assert_eq!(used_up.problem(), (403, "quota_exceeded".to_owned()));
    // … and what was paid can still be taken in pieces.
    assert_eq!(piece(&served, &order, "bytes=-5", None).await.body, whole.body[size - 5..]);
}

/// Whoever begins with a piece pays for the data set once.
#[tokio::test(flavor = "multi_thread")]
async fn the_first_piece_pays_for_all() {
    let served = Served::open(None, 2_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 1)).await;
    let mut bytes = Vec::new();
    let mut charged = 0;
    let mut seen = Vec::new();
    loop {
        let reply = piece(&served, &order, &format!("bytes={}-{}", bytes.len(), bytes.len() + 4_999), None).await;
        if reply.status == 416 {
            break;
        }
        assert_eq!(reply.status, 206, "{}", reply.text());
        let receipt = reply.header("delivery-receipt").unwrap().to_owned();
        if !seen.contains(&receipt) {
            charged += served.closed(&receipt).await.2.data_sets;
            seen.push(receipt);
        }
        bytes.extend_from_slice(&reply.body);
    }
    assert_eq!((charged, String::from_utf8(bytes).unwrap().lines().count()), (1, 2_001));
    let without = served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::File], (0, 0)).await;
    assert_eq!(piece(&served, &without, "bytes=0-9", None).await.problem(), (403, "quota_exceeded".to_owned()));
}

/// Where a file ends tells what is in it, so whoever has not paid for it and asks for what is behind it gets the whole.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_file_ends_is_not_told_for_nothing() {
    let served = Served::open(None, 500).await;
    for (who, range) in [(Who::First, "bytes=99999999-"), (Who::Second, "bytes=-0")] {
        let order = served.scenario.order(who, TRIP_RECORDS, &[Mode::File], (0, 1)).await;
        let whole = piece(&served, &order, range, None).await.ok();
        assert_eq!((whole.text().lines().count(), whole.header("content-range")), (501, None));
        assert_eq!(served.closed(whole.header("delivery-receipt").unwrap()).await.2.data_sets, 1);
        let nothing = piece(&served, &order, range, None).await;
        let size = format!("bytes */{}", whole.body.len());
        assert_eq!((nothing.status, nothing.header("content-range")), (416, Some(&*size)));
    }
}

/// Of exports of one file that run at once the one that paid pays for its pieces, whatever becomes of the others.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_that_is_given_up_hides_none_that_paid() {
    let served = Served::open(None, 60_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 2)).await;
    let path = "/export?format=ndjson";
    let paying = served.begun(&order, path).await;
    let mut given_up = served.begun(&order, path).await;
    given_up.chunk().await.unwrap();
    let (paid, free) = (receipt_of(&paying), receipt_of(&given_up));
    paying.bytes().await.unwrap();
    assert_eq!(served.closed(&paid).await.2.data_sets, 1);
    drop(given_up);
    assert_eq!(served.closed(&free).await.2.data_sets, 0);
    let piece = Reply::of(served.request(Method::GET, &order, path).header("range", "bytes=0-99")).await;
    assert_eq!(piece.status, 206, "{}", piece.text());
    assert_eq!(served.closed(piece.header("delivery-receipt").unwrap()).await.2.data_sets, 0);
}

async fn take(deliveries: &Deliveries, handed: &Arc<Handed>) -> Result<(), GatewayError> {
    let serving = deliveries.readmit(handed).await?;
    deliveries.take(handed, serving, 0, 10).await.map(drop)
}

/// Two processes of a node hand out one file, and of those who take it at once one pays.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_charge_one_file_once() {
    let Some(server) = PrivatePostgres::needed("a file that two processes hand out") else { return };
    let served = Served::open(Some(server.create_database().await), 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 9)).await;
    let processes = [(); 2].map(|()| Deliveries::new(served.scenario.app.clone(), Settings::default()));
    for names in ["trip_id", "line", "day", "delay", "trip_id, line", "line, day", "day, delay"] {
        let mut handed = Vec::new();
        for deliveries in &processes {
            let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
            handed.push(deliveries.hand_out(&admission, columns(&order, names)).await.unwrap());
        }
        let taken = tokio::join!(take(&processes[0], &handed[0]), take(&processes[1], &handed[1]));
        taken.0.and(taken.1).unwrap();
        let mut charged = 0;
        for handed in &handed {
            charged += served.closed(handed.receipt.as_str()).await.2.data_sets;
        }
        assert_eq!(charged, 1, "{names}");
    }
    // Who was refused tried again and knows what became of it: leases go back when the process ends.
    assert!(!served.scenario.app.quota().is_left_to_receipts());
}

/// When its closing record can't be written a delivery stays as it was, and the next who asks closes it, once.
#[tokio::test(flavor = "multi_thread")]
async fn what_could_not_be_closed_is_closed_by_the_next_who_asks() {
    let Some(server) = PrivatePostgres::needed("a record that can't be written") else { return };
    let url = server.create_database().await;
    let served = Served::open(Some(url.clone()), 500).await;
    let app = &served.scenario.app;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 2)).await;
    let deliveries = Deliveries::new(app.clone(), Settings::default());
    let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
    let unwritten = deliveries.hand_out(&admission, columns(&order, "line")).await.unwrap();
    let unheard = deliveries.hand_out(&admission, columns(&order, "day")).await.unwrap();
    let raw = Database::connect(&url).await.unwrap();
    raw.execute_unprepared("ALTER TABLE receipt_block RENAME TO receipt_block_away").await.unwrap();
    for handed in [&unwritten, &unheard] {
        assert!(take(&deliveries, handed).await.is_err());
    }
    raw.execute_unprepared("ALTER TABLE receipt_block_away RENAME TO receipt_block").await.unwrap();
    raw.close().await.unwrap();
    // The record of one was written, and the answer that told so was lost.
    let totals =
        Totals { rows: 500, answer_rows: unheard.answer_rows, bytes: unheard.bytes, data_sets: 1, ..Totals::default() };
    let body = ReceiptBody::Closed { outcome: Outcome::Delivered, totals };
    let written = ReceiptRecord { receipt: unheard.receipt.clone(), at: app.now(), body };
    app.write_receipt(&order.id, &written).await.unwrap();
    for handed in [&unwritten, &unheard, &unwritten, &unheard] {
        take(&deliveries, handed).await.unwrap();
    }
    for handed in [&unwritten, &unheard] {
        let (records, outcome, totals) = served.closed(handed.receipt.as_str()).await;
        let closings = records.iter().filter(|record| matches!(record.body, ReceiptBody::Closed { .. })).count();
        assert_eq!((closings, outcome, totals.data_sets), (1, Outcome::Delivered, 1));
    }
}

fn columns(order: &Ordered, columns: &str) -> FileRequest {
    FileRequest {
        sql: format!("SELECT {columns} FROM {TRIP_RECORDS}"),
        format: Format::Csv,
        request: "test".to_owned(),
        key: ServiceKey::parse(&order.key).unwrap().hash(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_leaves_room_for_the_files_of_others() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 9)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::File], (0, 9)).await;
    let settings = Settings { handed_per_order_max: 2, ..Settings::default() };
    let deliveries = Deliveries::new(served.scenario.app.clone(), settings);
    let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
    let first = deliveries.hand_out(&admission, columns(&order, "line")).await.unwrap();
    let by_another_key = FileRequest { key: sha256(b"another key"), ..columns(&order, "line") };
    let second = deliveries.hand_out(&admission, by_another_key.clone()).await.unwrap();
    let refused = deliveries.hand_out(&admission, columns(&order, "day")).await.unwrap_err();
    assert_eq!(refused.problem().code, "too_many_deliveries");
    // Each key goes on with its own.
    for (request, expected) in [(columns(&order, "line"), &first), (by_another_key, &second)] {
        assert_eq!(deliveries.hand_out(&admission, request).await.unwrap().receipt, expected.receipt);
    }
    let admission = deliveries.admit(Some(&other.key), TRIP_RECORDS, "rest").await.unwrap();
    deliveries.hand_out(&admission, columns(&other, "day")).await.unwrap();
}

/// A file of several pieces that an order was handed out.
async fn long_file(served: &Served, order: &Ordered, settings: Settings) -> (Deliveries, Arc<Handed>) {
    let deliveries = Deliveries::new(served.scenario.app.clone(), settings);
    let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
    let handed = deliveries.hand_out(&admission, columns(order, "*")).await.unwrap();
    assert!(handed.bytes > 1 << 20, "{} bytes", handed.bytes);
    (deliveries, handed)
}

/// Who opens a file and does not read it is cut off, so that he holds neither a place nor anything else for good.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_more_of_a_file_loses_his_place() {
    let served = Served::open(None, 60_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 1)).await;
    let patience = Duration::from_secs(2);
    let settings = Settings { receiver_patience: patience, singles_per_order_max: 1, ..Settings::default() };
    let (deliveries, handed) = long_file(&served, &order, settings).await;
    let holders = Arc::strong_count(&handed);
    let take = async || {
        let serving = deliveries.readmit(&handed).await.unwrap();
        deliveries.take(&handed, serving, 0, handed.bytes).await
    };
    let mut body = take().await.unwrap();
    body.next().await.unwrap().unwrap();
    assert_eq!(take().await.map(drop).unwrap_err().problem().code, "too_many_deliveries");
    let mut tries = 0;
    while take().await.is_err() {
        tries += 1;
        assert!(tries < 1_000, "the place did not come free");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // What hands the file over has ended, though what waits is not read.
    while Arc::strong_count(&handed) > holders {
        tries += 1;
        assert!(tries < 2_000, "it is handed over still");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let last = body.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!(last.unwrap_err().problem.code, "receiver_too_slow");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_piece_on_its_way_stops_when_its_key_is_revoked() {
    let served = Served::open(None, 60_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 1)).await;
    let (deliveries, handed) = long_file(&served, &order, Settings::default()).await;
    let serving = deliveries.readmit(&handed).await.unwrap();
    let mut body = deliveries.take(&handed, serving, 0, handed.bytes).await.unwrap();
    body.next().await.unwrap().unwrap();
    let key = served.scenario.app.read(|state| state.orders[&order.id].value.service_keys[0].id.clone());
    let revoke = Command::RevokeServiceKey { order: order.id.clone(), key };
    served.scenario.act(served.scenario.clerk(Who::First), revoke).await;
    let last = body.collect::<Vec<_>>().await.pop().unwrap();
    assert_eq!(last.unwrap_err().problem.code, "bad_service_key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_comes_in_every_format() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Lookup], (10, 0)).await;
    let keys = json!({"keys": [{"trip_id": 7}, {"trip_id": 9_999}, {"trip_id": 3}]});
    let mut answers = Vec::new();
    for accept in ["application/x-ndjson", "text/csv", "application/vnd.apache.parquet"] {
        let request = served.request(Method::POST, &order, "/lookup").header("content-type", "application/json");
        let reply = Reply::of(request.header("accept", accept).body(keys.to_string())).await.ok();
        assert!(reply.header("content-type").unwrap().starts_with(accept));
        answers.push(reply);
    }
    let lines: Vec<Value> = answers[0].text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["trip_id"], &lines[1]["trip_id"]), (2, &json!(7), &json!(3)));
    let text = answers[1].text();
    let csv: Vec<_> = text.lines().collect();
    assert_eq!((csv.len(), csv[0]), (3, "trip_id,line,day,delay,vehicle,note"));
    assert!(csv[1].starts_with("7,L2,"), "{}", csv[1]);
    assert_eq!(&answers[2].body[..4], b"PAR1");
}

/// The document holds what is granted and nothing else, and costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_tells_what_the_order_may_ask() {
    let served = Served::open(None, 500).await;
    let records =
        served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Lookup, Mode::Rows, Mode::File], (9, 9)).await;
    let check = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (9, 0)).await;
    let statistics = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (9, 0)).await;
    let head = served.receipt_head().await;
    let paths = |document: &Value| document["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let document = served.get(&records, "/openapi.json").await.ok().json();
    assert_eq!(document["openapi"], "3.1.0");
    assert_eq!(document["servers"], json!([{"url": format!("/data/v1/{TRIP_RECORDS}")}]));
    assert_eq!(paths(&document), ["/export", "/lookup", "/query", "/rows"]);
    let row = &document["components"]["schemas"]["Row"];
    let trip_id = json!({"type": ["integer", "null"], "format": "int64", "description": "trip_id 的含义"});
    assert_eq!(row["properties"]["trip_id"], trip_id);
    let day = json!({"type": ["string", "null"], "format": "date", "description": "day 的含义"});
    assert_eq!(row["properties"]["day"], day);
    // `columns` leaves out what it does not name, and a lookup gives all.
    assert!(row.get("required").is_none(), "{row}");
    let found = &document["components"]["schemas"]["LookupRow"];
    assert_eq!(found["required"], json!(["trip_id", "line", "day", "delay", "vehicle", "note"]));
    let key = &document["paths"]["/lookup"]["get"]["parameters"][0];
    assert_eq!((&key["name"], &key["description"]), (&json!("trip_id"), &json!("trip_id 的含义")));

    let document = served.get(&check, "/openapi.json").await.ok().json();
    assert_eq!(paths(&document), ["/verify"]);
    let claim = &document["components"]["schemas"]["Claim"];
    assert_eq!(claim["properties"]["late"], json!({"type": ["boolean", "null"]}));
    assert!(!document.to_string().contains("vehicle"), "the product does not have it");
    let document = served.get(&statistics, "/openapi.json").await.ok().json();
    assert_eq!(paths(&document), ["/query"]);

    let anonymous = Reply::of(served.client.get(format!("{}/{TRIP_RECORDS}/openapi.json", served.base))).await;
    assert_eq!(anonymous.problem(), (401, "service_key_missing".to_owned()));
    let url = format!("{}/{TRIP_RECORDS}/openapi.json", served.base);
    let others = Reply::of(served.client.get(url).bearer_auth(&check.key)).await;
    assert_eq!(others.problem(), (403, "order_product_mismatch".to_owned()));
    assert_eq!(served.receipt_head().await, head);
}
