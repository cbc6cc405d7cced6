//! Rows and files about persons, by every door that hands them out: somebody who withdrew is in none of them from the next request on,
//! and what was handed out before leads nowhere any more.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use bytes::Bytes;
use jiff::SignedDuration;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, RIDE_RECORDS, RIDES, Scenario, Who, id_number, rider_of};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use reqwest::Method;
use serde_json::Value;

use crate::served::{Reply, Served};
use crate::sharing::{refused, table, url_of};

const PAGE: &str = "/rows?columns=ride_id&sort=ride_id";
const EXPORT: &str = "/export?format=parquet";

/// The rides of some persons.
fn rides_of(persons: &[usize]) -> Vec<u64> {
    (0..RIDES).filter(|ride| persons.contains(&rider_of(*ride))).map(|ride| ride as u64).collect()
}

/// The rides in a page.
fn in_page(reply: &Reply) -> Vec<u64> {
    reply.json()["rows"].as_array().unwrap().iter().map(|row| row["ride_id"].as_u64().unwrap()).collect()
}

/// The rides in a file.
fn in_file(reply: &Reply) -> Vec<u64> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(reply.body.clone())).unwrap().build().unwrap();
    let mut rides = Vec::new();
    for batch in reader.map(Result::unwrap) {
        let column = batch.column_by_name("ride_id").unwrap().as_primitive::<Int64Type>();
        rides.extend(column.values().iter().map(|ride| u64::try_from(*ride).unwrap()));
    }
    rides.sort_unstable();
    rides
}

/// What a client has after it has read everything: the tags of page and export, and the file of Delta Sharing.
struct Read {
    page_tag: String,
    export_tag: String,
    file: Value,
    version: String,
}

/// A page or an export by a client who has the answer of a tag, read whole.
async fn asked(served: &Served, order: &Ordered, path: &str, tag: &str) -> Reply {
    let reply = Reply::of(served.request(Method::GET, order, path).header("if-none-match", tag)).await;
    if let Some(receipt) = reply.header("delivery-receipt") {
        served.closed_or_single(receipt).await;
    }
    reply
}

/// Reads by all doors, which have the rides of these persons and no other, under other tags and another name than before.
async fn read(served: &Served, order: &Ordered, persons: &[usize], before: Option<&Read>) -> Read {
    let expected = rides_of(persons);
    let [page_tag, export_tag] =
        before.map_or(["\"none\""; 2], |before| [before.page_tag.as_str(), before.export_tag.as_str()]);
    let page = asked(served, order, PAGE, page_tag).await.ok();
    assert_eq!(in_page(&page), expected);
    let export = asked(served, order, EXPORT, export_tag).await.ok();
    assert_eq!(in_file(&export), expected);
    let file = served.shared_file(order).await;
    assert_eq!(file["stats"], format!("{{\"numRecords\":{}}}", expected.len()));
    assert_eq!(in_file(&served.fetch(Method::GET, url_of(&file), None).await.ok()), expected);
    for person in 0..6 {
        let ride = served.get(order, &format!("/lookup/{person}")).await.ok().json()["rows"][0].clone();
        assert_eq!(ride.is_null(), !persons.contains(&person), "{person}: {ride}");
    }
    let version = served.share_get(order, &format!("{}/version", table(order))).await.ok();
    let read = Read {
        page_tag: page.header("etag").unwrap().to_owned(),
        export_tag: export.header("etag").unwrap().to_owned(),
        version: version.header("delta-table-version").unwrap().to_owned(),
        file,
    };
    if let Some(before) = before {
        assert_ne!(read.page_tag, before.page_tag);
        assert_ne!(read.export_tag, before.export_tag);
        assert_ne!(read.file["id"], before.file["id"]);
        assert_ne!(url_of(&read.file), url_of(&before.file));
        // It counts versions of the data, which are the same.
        assert_eq!(read.version, before.version);
    }
    read
}

/// What was handed out is good for as long as it is the same.
async fn is_good(served: &Served, order: &Ordered, read: &Read) {
    for (path, tag) in [(PAGE, &read.page_tag), (EXPORT, &read.export_tag)] {
        assert_eq!(asked(served, order, path, tag).await.status, 304, "{path}");
    }
    assert_eq!(served.shared_file(order).await, read.file);
    served.fetch(Method::GET, url_of(&read.file), None).await.ok();
}

/// An address of a file with other persons in it leads nowhere, whatever is asked of it.
async fn leads_nowhere(served: &Served, read: &Read) {
    for range in [None, Some("bytes=0-3"), Some("bytes=-8")] {
        let old = served.fetch(Method::GET, url_of(&read.file), range).await;
        assert_eq!(old.refusal(), refused(403, "file_address_not_valid"), "{range:?}");
    }
    let head = served.fetch(Method::HEAD, url_of(&read.file), None).await;
    assert_eq!((head.status, head.header("content-range")), (403, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_withdrew_is_in_no_page_and_no_file() {
    let served = Served::of(Scenario::open_consented().await, Settings::default()).await;
    let app = &served.scenario.app;
    let modes = [Mode::Lookup, Mode::Rows, Mode::File];
    let order = served.scenario.order(Who::First, RIDE_RECORDS, &modes, (1_000, 50)).await;
    assert_eq!(in_page(&served.get(&order, PAGE).await.ok()), rides_of(&[]), "nobody has consented");

    let mut given = Vec::new();
    for person in 0..3 {
        given.push(app.give_consent(&id_number(person), served.scenario.ride_consent()).await.unwrap());
    }
    let first = read(&served, &order, &[0, 1, 2], None).await;
    is_good(&served, &order, &first).await;

    app.withdraw_consent(&id_number(1), &given[1]).await.unwrap();
    leads_nowhere(&served, &first).await;
    let second = read(&served, &order, &[0, 2], Some(&first)).await;
    is_good(&served, &order, &second).await;
    leads_nowhere(&served, &first).await;

    // Who consents anew is there again, and addresses of before stay shut: they were handed out under another state of consents.
    app.give_consent(&id_number(1), served.scenario.ride_consent()).await.unwrap();
    leads_nowhere(&served, &second).await;
    let third = read(&served, &order, &[0, 1, 2], Some(&second)).await;
    assert_ne!(third.page_tag, first.page_tag);
    leads_nowhere(&served, &first).await;

    // When the consents of all are over by time, nothing is left, and nobody had to say so.
    for person in [3, 4] {
        let mut short = served.scenario.ride_consent();
        short.term.until = app.now().checked_add(SignedDuration::from_hours(1)).unwrap();
        app.give_consent(&id_number(person), short).await.unwrap();
    }
    let fourth = read(&served, &order, &[0, 1, 2, 3, 4], Some(&third)).await;
    app.clock().advance(SignedDuration::from_mins(61));
    leads_nowhere(&served, &fourth).await;
    read(&served, &order, &[0, 1, 2], Some(&fourth)).await;
}
