//! Delta Sharing as its protocol says, and what it costs.

use std::time::Duration;

use lingqu_domain::command::Command;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_engine::source::SourceOptions;
use lingqu_gateway::delivery::Settings;
use lingqu_store::paid_file::PaidFile;
use lingqu_store::receipt::READ_LIMIT_MAX;
use lingqu_tests::scenario::{Ordered, TRIP_RECORDS, Who};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::served::{Reply, Served, rows_named};

const TRIPS: u64 = 20_000;
const FILE: [Mode; 2] = [Mode::Rows, Mode::File];

impl Served {
    /// A request of Delta Sharing with an order's key.
    fn shared(&self, method: Method, order: &Ordered, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.sharing)).bearer_auth(&order.key)
    }

    pub async fn share_get(&self, order: &Ordered, path: &str) -> Reply {
        Reply::of(self.shared(Method::GET, order, path)).await
    }

    /// A query of the order's table.
    pub async fn share_query(&self, order: &Ordered, body: Value) -> Reply {
        let request = self.shared(Method::POST, order, &format!("{}/query", table(order)));
        Reply::of(request.header("content-type", "application/json").body(body.to_string())).await
    }

    /// The file of the order's table, as a query tells it.
    pub async fn shared_file(&self, order: &Ordered) -> Value {
        file_of(&self.share_query(order, json!({})).await.ok())
    }

    /// A request to a file's address, without a key.
    pub async fn fetch(&self, method: Method, url: &str, range: Option<&str>) -> Reply {
        let request = self.client.request(method, url);
        Reply::of(match range {
            Some(range) => request.header("range", range),
            None => request,
        })
        .await
    }
}

impl Reply {
    /// Status and code of a refusal in the protocol's form.
    pub fn refusal(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some("application/json; charset=utf-8"), "{self:?}");
        let refusal = self.json();
        assert!(!refusal["message"].as_str().unwrap().is_empty());
        assert_eq!(refusal.as_object().unwrap().len(), 2);
        (self.status, refusal["errorCode"].as_str().unwrap().to_owned())
    }
}

pub fn table(order: &Ordered) -> String {
    format!("/shares/{}/schemas/data/tables/{}", order.id, order.product)
}

fn lines_of(reply: &Reply) -> Vec<Value> {
    assert_eq!(reply.header("content-type"), Some("application/x-ndjson; charset=utf-8"));
    // Clients read every line as JSON, an empty one too.
    reply.text().split('\n').map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn file_of(reply: &Reply) -> Value {
    lines_of(reply)[2]["file"].clone()
}

pub fn url_of(file: &Value) -> &str {
    file["url"].as_str().unwrap()
}

/// The receipt's id of a file's address.
fn receipt_of(file: &Value) -> String {
    let path = url_of(file).split('?').next().unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

pub fn refused(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_order_is_a_share_with_one_table() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 5)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &FILE, (10, 5)).await;
    let share = order.id.as_str();
    let listed = json!({
        "name": TRIP_RECORDS, "schema": "data", "share": share, "shareId": share,
        "id": served.scenario.product(TRIP_RECORDS),
    });
    for (path, items) in [
        ("/shares".to_owned(), json!([{"name": share, "id": share}])),
        (format!("/shares/{share}/schemas"), json!([{"name": "data", "share": share}])),
        (format!("/shares/{share}/schemas/data/tables"), json!([listed])),
        (format!("/shares/{share}/all-tables?maxResults=10"), json!([listed])),
        // Names are the same in any case.
        (format!("/shares/{}/schemas/DATA/tables", share.to_uppercase()), json!([listed])),
    ] {
        let reply = served.share_get(&order, &path).await.ok();
        assert_eq!(reply.json(), json!({"items": items}), "{path}");
        assert_eq!(reply.text().lines().count(), 1, "clients read one line");
    }
    let one = served.share_get(&order, &format!("/shares/{share}")).await.ok();
    assert_eq!(one.json(), json!({"share": {"name": share, "id": share}}));
    let empty = served.share_get(&order, "/shares?maxResults=0").await.ok().json();
    assert_eq!(empty["items"], json!([]));
    let token = empty["nextPageToken"].as_str().unwrap();
    let next = served.share_get(&order, &format!("/shares?pageToken={token}")).await.ok().json();
    assert_eq!(next["items"][0]["name"], share);

    // The version in three forms.
    let of_table = table(&order);
    for (method, path) in [
        (Method::GET, format!("{of_table}/version")),
        (Method::GET, of_table.clone()),
        (Method::HEAD, of_table.clone()),
    ] {
        let reply = Reply::of(served.shared(method, &order, &path)).await.ok();
        assert_eq!((reply.header("delta-table-version"), reply.body.len()), (Some("0"), 0));
    }
    let metadata = served.share_get(&order, &format!("{of_table}/metadata")).await.ok();
    assert_eq!(metadata.header("delta-table-version"), Some("0"));
    assert!(metadata.header("delta-sharing-capabilities").is_none(), "it would be read as the delta form");
    let lines = lines_of(&metadata);
    assert_eq!(lines[0], json!({"protocol": {"minReaderVersion": 1}}));
    let schema: Value = serde_json::from_str(lines[1]["metaData"]["schemaString"].as_str().unwrap()).unwrap();
    let columns: Vec<_> =
        schema["fields"].as_array().unwrap().iter().map(|field| (&field["name"], &field["type"])).collect();
    let expected = [
        ("trip_id", "long"),
        ("line", "string"),
        ("day", "date"),
        ("delay", "long"),
        ("vehicle", "string"),
        ("note", "string"),
    ];
    assert!(columns.iter().zip(expected).all(|(found, known)| *found.0 == known.0 && *found.1 == known.1), "{schema}");
    assert_eq!(columns.len(), expected.len());
    for field in schema["fields"].as_array().unwrap() {
        assert_eq!(field["metadata"], json!({"comment": format!("{} 的含义", field["name"].as_str().unwrap())}));
    }
    assert_eq!(lines[1]["metaData"]["description"], format!("{}：测试产品", order.product));

    // The profile leads back here.
    let profile = served.share_get(&order, "/profile").await.ok();
    assert_eq!(profile.header("content-disposition"), Some(&*format!("attachment; filename=\"{share}.share\"")));
    let profile = profile.json();
    assert_eq!(profile["shareCredentialsVersion"], 1);
    assert_eq!((&profile["endpoint"], &profile["bearerToken"]), (&json!(served.sharing), &json!(order.key)));
    let until: jiff::Timestamp = profile["expirationTime"].as_str().unwrap().parse().unwrap();
    let term = served.scenario.app.read(|state| state.orders[&order.id].value.details.term.until);
    assert_eq!(until.as_millisecond(), term.as_millisecond());

    // What is not one's own does not exist, and the past is not kept.
    for path in [
        format!("/shares/{}", other.id),
        format!("/shares/{}/all-tables", other.id),
        format!("/shares/{share}/schemas/other/tables"),
        format!("/shares/{share}/schemas/data/tables/trips/metadata"),
        format!("{}/metadata", table(&other)),
    ] {
        assert_eq!(served.share_get(&order, &path).await.refusal(), refused(404, "not_shared"), "{path}");
    }
    for path in [
        format!("{of_table}/changes?startingVersion=0"),
        format!("{of_table}/version?startingTimestamp=2025-01-01T00:00:00Z"),
        "/shares?maxResults=-1".to_owned(),
        "/shares?pageToken=abc".to_owned(),
    ] {
        assert_eq!(served.share_get(&order, &path).await.refusal(), refused(400, "malformed_request"), "{path}");
    }
    for body in [json!({"version": 7}), json!({"timestamp": "2025-01-01T00:00:00Z"}), json!({"startingVersion": 1})] {
        assert_eq!(served.share_query(&order, body).await.refusal(), refused(400, "malformed_request"));
    }
    for path in ["metadata", "query"] {
        let method = if path == "query" { Method::POST } else { Method::GET };
        let request = served.shared(method, &order, &format!("{of_table}/{path}"));
        let delta = Reply::of(request.header("delta-sharing-capabilities", "responseformat=delta")).await;
        assert_eq!(delta.refusal(), refused(400, "malformed_request"));
    }
    assert_eq!(served.share_get(&order, "/nothing").await.refusal(), refused(404, "no_such_address"));
    assert_eq!(served.share_get(&order, "/shares/%ff").await.refusal(), refused(400, "malformed_request"));
    let anonymous = Reply::of(served.client.get(format!("{}/shares", served.sharing))).await;
    assert_eq!(anonymous.refusal(), refused(401, "service_key_missing"));
}

/// One load asks a dozen times for one file; it costs one data set, and its receipt is whole before the first byte.
#[tokio::test(flavor = "multi_thread")]
async fn a_load_costs_one_data_set() {
    lingqu_tests::both(async |factory| load(Some(factory.config().url)).await).await;
}

async fn load(database_url: Option<String>) {
    let mut served = Served::open(database_url, TRIPS as usize).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 1)).await;
    let file = served.shared_file(&order).await;
    let receipt = receipt_of(&file);
    assert_eq!(file["stats"], json!({"numRecords": TRIPS}).to_string(), "nothing but the number of rows");
    assert_eq!(file["partitionValues"], json!({}));
    let opened = served.records(&receipt).await;
    let ReceiptBody::Opened(opening) = &opened[0].body else { panic!("{opened:?}") };
    assert_eq!((opening.mode, opening.protocol.as_str()), (Mode::File, "delta_sharing"));
    assert_eq!(rows_named(&opened), TRIPS, "every row is named before there is an address");

    // To look at it costs nothing.
    let size = file["size"].as_u64().unwrap();
    let head = served.fetch(Method::HEAD, url_of(&file), None).await.ok();
    assert_eq!(
        (head.header("content-length"), head.header("accept-ranges")),
        (Some(&*size.to_string()), Some("bytes"))
    );
    let nothing = served.fetch(Method::GET, url_of(&file), Some(&format!("bytes={size}-"))).await;
    assert_eq!((nothing.status, nothing.header("content-range")), (416, Some(&*format!("bytes */{size}"))));
    assert_eq!(served.records(&receipt).await.len(), opened.len());

    let piece = served.fetch(Method::GET, url_of(&file), Some("bytes=0-3")).await;
    assert_eq!((piece.status, &piece.body[..]), (206, &b"PAR1"[..]));
    assert_eq!(piece.header("content-range"), Some(&*format!("bytes 0-3/{size}")));
    let closed = served.records(&receipt).await;
    let Some(ReceiptBody::Closed { outcome, totals }) = closed.last().map(|record| &record.body) else {
        panic!("{closed:?}")
    };
    assert_eq!(*outcome, Outcome::Delivered);
    assert_eq!((totals.data_sets, totals.calls, totals.rows, totals.bytes), (1, 0, TRIPS, size));

    let whole = served.fetch(Method::GET, url_of(&file), None).await.ok();
    assert_eq!(whole.body.len() as u64, size);
    assert_eq!(whole.header("delivery-receipt"), Some(&*receipt));
    for start in [0, 1_000, size - 8] {
        let piece = served.fetch(Method::GET, url_of(&file), Some(&format!("bytes={start}-"))).await;
        assert_eq!(piece.body, whole.body[usize::try_from(start).unwrap()..]);
    }
    assert_eq!(served.records(&receipt).await, closed, "pieces of a file that was taken leave no more records");

    // Asked again it is the same delivery; hints change nothing.
    let hints = json!({"limitHint": 1, "predicateHints": ["trip_id = 1"], "jsonPredicateHints": "{\"op\":\"isNull\"}"});
    let again = file_of(&served.share_query(&order, hints).await.ok());
    assert_eq!(again, file);
    // Whoever can read an action at the end gets one.
    let ended = lines_of(&served.share_query(&order, json!({"includeRefreshToken": true})).await.ok());
    assert_eq!(ended.len(), 4);
    assert_eq!(ended[3]["endStreamAction"]["minUrlExpirationTimestamp"], file["expirationTimestamp"]);

    // The next process knows no old addresses, but knows what was paid.
    served.serve_anew(Settings::default()).await;
    let old = url_of(&file).split("/delta-sharing").nth(1).unwrap();
    let old = served.fetch(Method::GET, &format!("{}{old}", served.sharing), None).await;
    assert_eq!(old.refusal(), refused(403, "file_address_not_valid"));
    let second = served.shared_file(&order).await;
    assert_ne!(receipt_of(&second), receipt);
    assert_eq!((&second["id"], &second["size"]), (&file["id"], &file["size"]));
    assert_eq!(served.fetch(Method::GET, url_of(&second), None).await.ok().body, whole.body);
    let (_, outcome, totals) = served.closed(&receipt_of(&second)).await;
    assert_eq!((outcome, totals.data_sets), (Outcome::Delivered, 0));
    let readings = served.scenario.app.meter().await.unwrap();
    assert_eq!((readings[0].data_sets, readings[0].deliveries), (1, 2));
}

/// That a file was paid is known however many parts the delivery had that paid for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_a_long_delivery_paid_is_not_paid_again() {
    let mut served = Served::open(None, 50).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 1)).await;
    let file = served.shared_file(&order).await;
    let whole = served.fetch(Method::GET, url_of(&file), None).await.ok();
    // The same delivery with more parts than one look at the log returns. The order has no data set left.
    let records = served.records(&receipt_of(&file)).await;
    let [opened, part, closed] = &records[..] else { panic!("{records:?}") };
    let app = served.scenario.app.clone();
    let receipt = app.new_receipt_id().unwrap();
    let renamed = |record: &ReceiptRecord| ReceiptRecord { receipt: receipt.clone(), ..record.clone() };
    let (opened, part, closed) = (renamed(opened), renamed(part), renamed(closed));
    app.write_receipt(&order.id, &opened).await.unwrap();
    let parts = (0..=READ_LIMIT_MAX).map(|_| app.write_receipt(&order.id, &part));
    futures::future::try_join_all(parts).await.unwrap();
    app.write_receipt(&order.id, &closed).await.unwrap();
    let paid = PaidFile { order: order.id.to_string(), file: file["id"].as_str().unwrap().to_owned() };
    assert_eq!(app.store().payers(&paid).await.unwrap(), [receipt_of(&file)]);
    app.store().note_payer(&paid, receipt.as_str(), &[receipt_of(&file)]).await.unwrap();
    for is_of_earlier_version in [false, true] {
        if is_of_earlier_version {
            // It named the receipt in a file of its own.
            let nobody = app.new_receipt_id().unwrap();
            app.store().note_payer(&paid, nobody.as_str(), &[receipt.to_string()]).await.unwrap();
            let folder = app.directory().join("paid").join(order.id.as_str());
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(&paid.file), receipt.as_str()).unwrap();
        }
        served.serve_anew(Settings::default()).await;
        let again = served.shared_file(&order).await;
        assert_eq!(served.fetch(Method::GET, url_of(&again), None).await.ok().body, whole.body);
        let (_, outcome, totals) = served.closed(&receipt_of(&again)).await;
        assert_eq!((outcome, totals.data_sets), (Outcome::Delivered, 0));
    }
}

/// The file of a query is the export without parameters, to the byte.
#[tokio::test(flavor = "multi_thread")]
async fn the_file_is_the_export() {
    let served = Served::open(None, TRIPS as usize).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 5)).await;
    let file = served.shared_file(&order).await;
    let shared = served.fetch(Method::GET, url_of(&file), None).await.ok();
    let export = served.get(&order, "/export?format=parquet").await.ok();
    assert!(shared.body == export.body, "{} and {} bytes", shared.body.len(), export.body.len());
    assert!(!String::from_utf8_lossy(&shared.body).contains("GX-00001"), "the mask is in the bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mode_or_quota_there_is_no_file() {
    let served = Served::open(None, 500).await;
    let rows = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::Lookup], (10, 5)).await;
    let empty = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 0)).await;
    let head = served.receipt_head().await;
    for path in ["/shares", "/profile", &format!("{}/metadata", table(&rows))] {
        assert_eq!(served.share_get(&rows, path).await.refusal(), refused(403, "mode_not_granted"), "{path}");
    }
    assert_eq!(served.share_query(&rows, json!({})).await.refusal(), refused(403, "mode_not_granted"));
    // 403: at 429 or 5xx the client would ask on for minutes.
    assert_eq!(served.share_query(&empty, json!({})).await.refusal(), refused(403, "quota_exceeded"));
    assert_eq!(served.receipt_head().await, head);
}

/// A suspension between query and file shuts the address; resumption opens it. A key that was revoked shuts it for good.
#[tokio::test(flavor = "multi_thread")]
async fn every_request_for_a_file_asks_the_grant() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 5)).await;
    let file = served.shared_file(&order).await;
    served.scenario.suspend_mandate("数据召回").await;
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(served.fetch(method, url_of(&file), None).await.status, 403);
    }
    let suspended = served.fetch(Method::GET, url_of(&file), None).await;
    assert_eq!(suspended.refusal(), refused(403, "grant_suspended"));
    assert!(suspended.text().contains("数据召回"));
    assert_eq!(served.share_query(&order, json!({})).await.refusal(), refused(403, "grant_suspended"));
    let records = served.records(&receipt_of(&file)).await;
    assert!(records.iter().all(|record| !matches!(record.body, ReceiptBody::Closed { .. })), "{records:?}");
    served.scenario.resume_mandate().await;
    served.fetch(Method::GET, url_of(&file), None).await.ok();

    let key = served.scenario.app.read(|state| state.orders[&order.id].value.service_keys[0].id.clone());
    let revoke = Command::RevokeServiceKey { order: order.id.clone(), key };
    served.scenario.act(served.scenario.clerk(Who::First), revoke).await;
    assert_eq!(served.fetch(Method::GET, url_of(&file), None).await.refusal(), refused(401, "bad_service_key"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_is_good_for_its_file_alone() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 5)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &FILE, (10, 5)).await;
    let (mine, others) = (served.shared_file(&order).await, served.shared_file(&other).await);
    let head = served.receipt_head().await;
    let (url, expires) = (url_of(&mine), mine["expirationTimestamp"].as_u64().unwrap());
    let last = if url.ends_with('0') { '1' } else { '0' };
    let forged = [
        // Another signature, a later end, no signature, none of both.
        format!("{}{last}", &url[..url.len() - 1]),
        url.replace(&expires.to_string(), &(expires + 1).to_string()),
        url.split("&signature").next().unwrap().to_owned(),
        url.split('?').next().unwrap().to_owned(),
        // The other order's file under this one's signature, and one that was never handed out.
        url.replace(&receipt_of(&mine), &receipt_of(&others)),
        url.replace(&receipt_of(&mine), &format!("rcp_{}", "0".repeat(32))),
        url.replace(&receipt_of(&mine), "..%2f..%2fnode.db"),
    ];
    for forged in &forged {
        assert_ne!(forged, url);
        for method in [Method::GET, Method::HEAD] {
            let reply = served.fetch(method.clone(), forged, None).await;
            assert_eq!(reply.status, 403, "{forged}");
            if method == Method::GET {
                assert_eq!(reply.refusal(), refused(403, "file_address_not_valid"), "{forged}");
            }
        }
    }
    assert_eq!(served.receipt_head().await, head);
    served.fetch(Method::GET, url, None).await.ok();
}

/// A file that nobody took before its address ended is closed free of charge, and its quota is there for the next.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_taken_in_time_is_free() {
    let settings = Settings { address_life: Duration::ZERO, ..Settings::default() };
    let mut served = Served::open_with(None, 500, settings).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 1)).await;
    let file = served.shared_file(&order).await;
    assert_eq!(served.fetch(Method::GET, url_of(&file), None).await.refusal(), refused(403, "file_address_not_valid"));
    let (records, outcome, totals) = served.closed(&receipt_of(&file)).await;
    assert_eq!(outcome, Outcome::Stopped { code: "not_taken".to_owned() });
    assert_eq!((totals.data_sets, totals.bytes, rows_named(&records)), (0, 0, 500));
    served.serve_anew(Settings::default()).await;
    let file = served.shared_file(&order).await;
    served.fetch(Method::GET, url_of(&file), None).await.ok();
    assert_eq!(served.closed(&receipt_of(&file)).await.2.data_sets, 1);
}

/// New data is another version, another file and another data set; the old address leads nowhere.
#[tokio::test(flavor = "multi_thread")]
async fn new_data_is_another_file() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 5)).await;
    let old = served.shared_file(&order).await;
    served.fetch(Method::GET, url_of(&old), None).await.ok();
    let (clerk, trips) = (served.scenario.clerk(Who::Provider), served.scenario.resource("trips"));
    // The same rows in a file of other bytes: the very same file would not be read again.
    let source = served.scenario.directory().join("trips-again.csv");
    let trips_before = std::fs::read_to_string(served.scenario.directory().join("trips.csv")).unwrap();
    std::fs::write(&source, format!("{trips_before}\n")).unwrap();
    let imported = served.scenario.app.import_snapshot(clerk, trips, &source, SourceOptions::default()).await;
    imported.expect("the source is as its catalogue entry says");
    assert_eq!(served.fetch(Method::GET, url_of(&old), None).await.refusal(), refused(403, "file_address_not_valid"));
    let version = served.share_get(&order, &format!("{}/version", table(&order))).await.ok();
    assert_eq!(version.header("delta-table-version"), Some("1"));
    let new = served.shared_file(&order).await;
    assert_ne!(new["id"], old["id"]);
    served.fetch(Method::GET, url_of(&new), None).await.ok();
    assert_eq!(served.closed(&receipt_of(&new)).await.2.data_sets, 1);
}

/// Files make room for each other; one that was put away comes back with the same bytes under the same address.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_put_away_is_made_again_to_the_byte() {
    let mut served = Served::open(None, TRIPS as usize).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &FILE, (10, 5)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &FILE, (10, 5)).await;
    let size = served.shared_file(&order).await["size"].as_u64().unwrap();
    let settings = Settings { finished_bytes_max: size * 3 / 2, ..Settings::default() };
    served.serve_anew(settings).await;
    let folder = served.scenario.app.directory().join("finished");
    let on_disk = || -> Vec<String> {
        let files = std::fs::read_dir(&folder).unwrap();
        files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
    };
    let mine = served.shared_file(&order).await;
    let name = format!("{}.parquet", mine["id"].as_str().unwrap());
    let first = served.fetch(Method::GET, url_of(&mine), None).await.ok();
    assert_eq!(on_disk(), [name.as_str()]);
    let others = served.shared_file(&other).await;
    assert_eq!(on_disk().len(), 1, "the other's file took its place");
    assert_ne!(on_disk(), [name.as_str()]);
    let again = served.fetch(Method::GET, url_of(&mine), Some("bytes=0-")).await;
    assert_eq!(on_disk(), [name.as_str()]);
    assert!(first.body == again.body);
    served.fetch(Method::GET, url_of(&others), None).await.ok();

    let small = Settings { finished_bytes_max: size / 2, ..Settings::default() };
    served.serve_anew(small).await;
    assert_eq!(served.share_query(&order, json!({})).await.refusal(), refused(422, "file_too_large"));
    assert_eq!(on_disk(), Vec::<String>::new(), "nothing of it stays");
    served.get(&order, "/export").await.ok();
}
