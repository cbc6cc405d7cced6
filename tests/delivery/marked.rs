//! Copies that name their recipient, as clients get them: the same by every way to ask, another for everybody else.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use lingqu_domain::receipt::{Opening, ReceiptBody};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_MARKED, TRIP_MARKED_OMITTED, Trip, Who};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Reply, Served};

const TRIPS: usize = 8_000;
const MODES: [Mode; 4] = [Mode::Verification, Mode::Lookup, Mode::Rows, Mode::File];

/// Delays by trip.
pub type Copy = BTreeMap<usize, Option<i64>>;

async fn served() -> Served {
    Served::of(Scenario::open_marked(TRIPS).await, Settings::default()).await
}

/// Delays in a file whose first column is the trip.
pub fn of_csv(text: &str, delay: usize) -> Copy {
    let mut copy = Copy::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        copy.insert(cells[0].parse().unwrap(), cells[delay].parse().ok());
    }
    copy
}

/// The same of a Parquet file.
pub fn of_parquet(bytes: &[u8]) -> Copy {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::copy_from_slice(bytes)).unwrap();
    let mut copy = Copy::new();
    for batch in reader.build().unwrap() {
        let batch = batch.unwrap();
        let integers = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
        for (trip, delay) in integers("trip_id").iter().zip(integers("delay").iter()) {
            copy.insert(usize::try_from(trip.unwrap()).unwrap(), delay);
        }
    }
    copy
}

/// The same of rows in JSON.
pub fn of_rows(rows: &Value) -> Copy {
    let cell = |row: &Value, name: &str| row[name].as_i64();
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| (usize::try_from(cell(row, "trip_id").unwrap()).unwrap(), cell(row, "delay"))).collect()
}

/// An order's whole file in a format, with its delivery closed.
pub async fn file(served: &Served, order: &Ordered, format: &str) -> Reply {
    let reply = served.get(order, &format!("/export?format={format}")).await.ok();
    served.closed(reply.header("delivery-receipt").unwrap()).await;
    reply
}

/// The file that Delta Sharing tells of.
pub async fn shared_file(served: &Served, order: &Ordered) -> (Value, Vec<u8>) {
    let url = format!("{}/shares/{}/schemas/data/tables/{}/query", served.sharing, order.id, order.product);
    let request = served.client.post(url).bearer_auth(&order.key).header("content-type", "application/json").body("{}");
    let told = Reply::of(request).await.ok().text();
    let lines: Vec<Value> = told.split('\n').map(|line| serde_json::from_str(line).unwrap()).collect();
    let address = lines[2]["file"]["url"].as_str().unwrap();
    let taken = Reply::of(served.client.request(Method::GET, address)).await.ok();
    (lines[1]["metaData"].clone(), taken.body)
}

async fn opening(served: &Served, reply: &Reply) -> Opening {
    let receipt = reply.header("delivery-receipt").unwrap();
    served.closed_or_single(receipt).await;
    match served.records(receipt).await.swap_remove(0).body {
        ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening,
        other => panic!("{other:?}"),
    }
}

/// Which share of the delays that both have differ.
fn differing(one: &Copy, other: &Copy) -> f64 {
    let both: Vec<(i64, i64)> =
        one.iter().filter_map(|(trip, delay)| Some(((*delay)?, (*other.get(trip)?)?))).collect();
    let differ = both.iter().filter(|(one, other)| one != other).count();
    assert!(both.len() > TRIPS / 2);
    f64::from(u32::try_from(differ).unwrap()) / f64::from(u32::try_from(both.len()).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_the_same_however_it_is_asked_for() {
    let served = served().await;
    let order = served.scenario.order_marked(Who::First, &MODES).await;
    let csv = file(&served, &order, "csv").await;
    let copy = of_csv(&csv.text(), 3);

    // Each delay is a minute off, rows lack, and nothing else is other than it was.
    let lacks = TRIPS - copy.len();
    let share = f64::from(u32::try_from(lacks).unwrap()) / f64::from(u32::try_from(TRIPS).unwrap());
    assert!((TRIP_MARKED_OMITTED / 2.0..TRIP_MARKED_OMITTED * 2.0).contains(&share), "{lacks} rows lack");
    for line in csv.text().lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let trip = Trip::of(cells[0].parse().unwrap());
        assert_eq!((cells[1], cells[2], cells[5]), (trip.line.as_str(), trip.day.as_str(), trip.note.as_str()));
        let moved = cells[3].parse::<i64>().ok().zip(trip.delay).map(|(there, here)| (there - here).abs());
        assert_eq!(moved, trip.delay.map(|_| 1), "{line}");
    }

    // Every format, every door of HTTP, and again.
    let parquet = file(&served, &order, "parquet").await;
    assert_eq!(of_parquet(&parquet.body), copy);
    let (metadata, shared) = shared_file(&served, &order).await;
    assert_eq!(shared, parquet.body, "the shared file is the exported one");
    assert_eq!(file(&served, &order, "parquet").await.body, parquet.body, "it is the same tomorrow");
    let page = served.get(&order, "/rows?columns=trip_id,delay&filter=trip_id:lt:900&limit=1000").await.ok();
    let first: Copy = copy.range(..900).map(|(trip, delay)| (*trip, *delay)).collect();
    assert_eq!(of_rows(&page.json()["rows"]), first);
    let sql = format!("SELECT trip_id, delay FROM {TRIP_MARKED} WHERE trip_id < 900");
    let request = served.request(Method::POST, &order, "/query").header("accept", "text/csv").body(sql);
    let asked = Reply::of(request).await.ok();
    assert_eq!(of_csv(&asked.text(), 1), first);
    for trip in 0..120 {
        let found = served.post(&order, "/lookup", json!({"keys": [{"trip_id": trip}]})).await.ok();
        let found = found.json()["rows"][0].clone();
        assert_eq!(found.is_null(), !copy.contains_key(&trip), "{trip}");
        let claimed = |delay: Option<i64>| json!({"key": {"trip_id": trip}, "claim": {"delay": delay}});
        let original = served.post(&order, "/verify", claimed(Trip::of(trip).delay)).await.ok().json();
        match copy.get(&trip) {
            None => assert_eq!(original["result"], "not_found"),
            Some(delay) => {
                assert_eq!(found["delay"].as_i64(), *delay);
                let delivered = served.post(&order, "/verify", claimed(*delay)).await.ok().json();
                assert_eq!(delivered["result"], "match");
                assert_eq!(original["result"], if delay.is_some() { "mismatch" } else { "match" });
            }
        }
    }
    // What is told of the rows that lack.
    let weight = 1.0 / (1.0 - TRIP_MARKED_OMITTED);
    let told = |text: Option<&str>| text.unwrap().parse::<f64>().unwrap();
    let document = served.get(&order, "/openapi.json").await.ok().json();
    let footer = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(shared)).unwrap();
    let pairs = footer.metadata().file_metadata().key_value_metadata().unwrap().clone();
    assert_eq!(pairs[0].key, "lingqu.sampling_weight");
    for found in [
        told(csv.header("lingqu-sampling-weight")),
        document["info"]["x-sampling-weight"].as_f64().unwrap(),
        told(metadata["configuration"]["lingqu.samplingWeight"].as_str()),
        told(pairs[0].value.as_deref()),
    ] {
        assert!((found - weight).abs() < 1e-6, "{found} is not {weight}");
    }
    assert_eq!(document["info"]["x-marked-columns"], json!(["delay"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_differ_and_receipts_and_tags_say_which_is_whose() {
    let served = served().await;
    let scenario = &served.scenario;
    let orders = [
        scenario.order_marked(Who::First, &MODES).await,
        scenario.order_marked(Who::First, &MODES).await,
        scenario.order_marked(Who::Second, &MODES).await,
    ];
    let (mut copies, mut tags, mut codes) = (Vec::new(), Vec::new(), Vec::new());
    for order in &orders {
        let csv = file(&served, order, "csv").await;
        let opening = opening(&served, &csv).await;
        assert_eq!(opening.marked.iter().map(|column| column.as_str()).collect::<Vec<_>>(), ["delay"]);
        codes.push(opening.code_id.unwrap());
        copies.push(of_csv(&csv.text(), 3));
        tags.push(csv.header("etag").unwrap().to_owned());
        // Of a column that no mark touches it says so, but not that the order is unmarked.
        let plain = served.get(order, "/rows?columns=trip_id,line&limit=5").await.ok();
        let opening = self::opening(&served, &plain).await;
        assert_eq!((opening.marked.len(), opening.code_id.as_ref()), (0, codes.last()));
    }
    // A tenth of the positions hangs on the order, all others on the consumer; of 100 bits some 29 differ, whichever of the two they
    // hang on. Which rows lack hangs on the consumer alone.
    let (of_order, of_consumer) = (differing(&copies[0], &copies[1]), differing(&copies[0], &copies[2]));
    assert!((0.01..0.045).contains(&of_order), "{of_order}");
    assert!((0.24..0.34).contains(&of_consumer), "{of_consumer}");
    assert!(copies[0].keys().eq(copies[1].keys()));
    assert!(!copies[0].keys().eq(copies[2].keys()));
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        assert_ne!(tags[one], tags[other]);
        assert_ne!(codes[one], codes[other]);
    }
    // A tag of one order is nothing to another, and something to its own.
    for (order, status) in [(&orders[0], 304), (&orders[2], 200)] {
        let request = served.request(Method::GET, order, "/export?format=csv").header("if-none-match", &tags[0]);
        assert_eq!(Reply::of(request).await.status, status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_delivered_before_the_auditor_gave_its_shares_and_verifications_alone_are_exact() {
    let served = served().await;
    let order = served.scenario.order(Who::First, TRIP_MARKED, &MODES, (1_000, 10)).await;
    for path in ["/export?format=csv", "/rows?limit=1", "/lookup/1", "/openapi.json"] {
        assert_eq!(served.get(&order, path).await.problem().1, "mark_keys_missing", "{path}");
    }
    served.scenario.give_key_shares(&order.id).await;
    served.get(&order, "/rows?limit=1").await.ok();

    // Who is given no value but an answer of yes or no has the originals, and no mark.
    let checks = served.scenario.order(Who::Second, TRIP_MARKED, &[Mode::Verification], (1_000, 0)).await;
    for trip in 0..40 {
        let claim = json!({"key": {"trip_id": trip}, "claim": {"delay": Trip::of(trip).delay}});
        let reply = served.post(&checks, "/verify", claim).await.ok();
        assert_eq!(reply.json()["result"], "match", "{trip}");
        assert!(reply.header("lingqu-sampling-weight").is_none());
        let opening = opening(&served, &reply).await;
        assert_eq!((opening.code_id, opening.marked), (None, Vec::new()));
    }
}
