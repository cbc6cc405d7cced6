//! Delta Sharing: requests for what is not shared, hints that would be an oracle, addresses of files that are not one's own, and
//! what is in the bytes of the file that is.

use reqwest::Method;
use serde_json::{Value, json};

use crate::served::{Guarded, told, told_in_bytes};
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{Ordered, TRIP_GUARDED, Who};

const FILE: [Mode; 3] = [Mode::Lookup, Mode::Rows, Mode::File];

/// Requests below `/delta-sharing`, with the status that each must have. `SHARE` is the order's own share, `OTHER` that of
/// another consumer's order of the same product.
const REQUESTS: &[(&str, &str, Option<&str>, u16)] = &[
    ("GET", "shares", None, 200),
    ("GET", "shares?maxResults=1000000", None, 200),
    ("GET", "shares?pageToken=2", None, 400),
    ("GET", "shares/OTHER", None, 404),
    ("GET", "shares/OTHER/schemas", None, 404),
    ("GET", "shares/OTHER/all-tables", None, 404),
    ("GET", "shares/OTHER/schemas/data/tables/trip_guarded/metadata", None, 404),
    ("POST", "shares/OTHER/schemas/data/tables/trip_guarded/query", Some("{}"), 404),
    ("GET", "shares/SHARE/schemas/raw/tables", None, 404),
    ("GET", "shares/SHARE/schemas/data/tables", None, 200),
    ("GET", "shares/SHARE/schemas/data/tables/trips/metadata", None, 404),
    ("GET", "shares/SHARE/schemas/data/tables/trip_records/metadata", None, 404),
    ("GET", "shares/SHARE/schemas/data/tables/TRIPS/version", None, 404),
    ("POST", "shares/SHARE/schemas/data/tables/trips/query", Some("{}"), 404),
    ("POST", "shares/SHARE/schemas/data/tables/people/query", Some("{}"), 404),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded%2F..%2Ftrips/query", Some("{}"), 404),
    ("POST", "shares/SHARE/schemas/data/tables/trip_gu%D0%B0rded/query", Some("{}"), 404),
    ("GET", "shares/SHARE/schemas/data/tables/trip_guarded/metadata", None, 200),
    ("GET", "shares/SHARE/schemas/DATA/tables/Trip_Guarded/metadata", None, 200),
    ("GET", "shares/SHARE/schemas/data/tables/trip_guarded/version", None, 200),
    ("GET", "shares/SHARE/schemas/data/tables/trip_guarded/version?startingTimestamp=2020-01-01T00:00:00Z", None, 400),
    ("GET", "shares/SHARE/schemas/data/tables/trip_guarded/changes?startingVersion=0", None, 400),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded/query", Some("{\"version\":7}"), 400),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded/query", Some("{\"startingVersion\":0}"), 400),
    (
        "POST",
        "shares/SHARE/schemas/data/tables/trip_guarded/query",
        Some("{\"timestamp\":\"2020-01-01T00:00:00Z\"}"),
        400,
    ),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded/query", Some("[{}]"), 400),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded/query", Some("{"), 400),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded/query", Some("{\"maxFiles\":1}"), 200),
    ("POST", "shares/SHARE/schemas/data/tables/trip_guarded/query", Some("{\"columns\":[\"note\"]}"), 200),
    ("GET", "files/rcp_00000000000000000000000000000000?expires=9999999999999&signature=00", None, 403),
    ("GET", "files/..%2F..%2Fnode.db", None, 403),
];

/// Hints that name hidden rows, masked values and columns that are not granted. Each must change nothing.
const HINTS: &[&str] = &[
    r#"{"predicateHints":["line = 'L0'"]}"#,
    r#"{"predicateHints":["note LIKE '%x%'"]}"#,
    r#"{"predicateHints":["vehicle = 'GX-00001'"],"limitHint":1}"#,
    r#"{"predicateHints":["1 / (trip_id - 2) = 1"]}"#,
    r#"{"jsonPredicateHints":"{\"op\":\"equal\",\"children\":[{\"op\":\"column\",\"name\":\"line\",\"valueType\":\"string\"},{\"op\":\"literal\",\"value\":\"L0\",\"valueType\":\"string\"}]}"}"#,
    r#"{"jsonPredicateHints":"{\"op\":\"isNull\",\"children\":[{\"op\":\"column\",\"name\":\"__row\"}]}"}"#,
    r#"{"jsonPredicateHints":"not json"}"#,
    r#"{"limitHint":0}"#,
];

impl Guarded {
    async fn share(&self, order: &Ordered, method: Method, path: &str, body: Option<&str>) -> (u16, String) {
        let request =
            self.client.request(method, format!("{}/delta-sharing/{path}", self.http)).bearer_auth(&order.key);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body.to_owned()),
            None => request,
        };
        let reply = request.send().await.expect("an answer");
        let (status, headers) = (reply.status().as_u16(), format!("{:?}", reply.headers()));
        (status, format!("{headers}\n{}", String::from_utf8_lossy(&reply.bytes().await.expect("a body"))))
    }

    async fn shared_file(&self, order: &Ordered, body: &str) -> Value {
        let path = format!("shares/{}/schemas/data/tables/{TRIP_GUARDED}/query", order.id);
        let (status, said) = self.share(order, Method::POST, &path, Some(body)).await;
        assert_eq!(status, 200, "{body}: {said}");
        let file = said.lines().find(|line| line.starts_with("{\"file\"")).expect("a file");
        serde_json::from_str::<Value>(file).expect("JSON")["file"].clone()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_of_delta_sharing_tells_more_than_was_granted() {
    let guarded = Guarded::open().await;
    let other = guarded.scenario.order(Who::Second, TRIP_GUARDED, &FILE, (100, 10)).await;
    let mut wrong = Vec::new();
    for (method, path, body, status) in REQUESTS {
        let path = path.replace("SHARE", guarded.order.id.as_str()).replace("OTHER", other.id.as_str());
        let method: Method = method.parse().expect("a method");
        let (found, said) = guarded.share(&guarded.order, method.clone(), &path, *body).await;
        // The form of the file is in the answer, its place is not.
        let told = told(&said.replace("\"parquet\"", "").replace("=parquet", ""), &path);
        if found != *status || !told.is_empty() {
            let said: String = said.chars().take(400).collect();
            wrong.push(format!("{method} {path}\n  {found} instead of {status}; tells {told}\n  {said}"));
        }
        let names_another = ["trip_records", "trip_check", "person_check", other.id.as_str()];
        for name in names_another.iter().filter(|name| said.contains(**name) && !path.contains(**name)) {
            wrong.push(format!("{method} {path}\n  tells of {name}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Its columns are those that were granted.
    let metadata = format!("shares/{}/schemas/data/tables/{TRIP_GUARDED}/metadata", guarded.order.id);
    let (_, said) = guarded.share(&guarded.order, Method::GET, &metadata, None).await;
    assert!(said.contains("vehicle") && !said.contains("note"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hints_are_no_oracle() {
    let guarded = Guarded::open().await;
    let plain = guarded.shared_file(&guarded.order, "{}").await;
    assert_eq!(plain["stats"], json!({"numRecords": 400}).to_string());
    for hint in HINTS {
        let hinted = guarded.shared_file(&guarded.order, hint).await;
        for field in ["id", "size", "stats", "partitionValues"] {
            assert_eq!(hinted[field], plain[field], "{hint}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_of_another_or_of_a_shut_grant_opens_nothing() {
    let guarded = Guarded::open().await;
    let other = guarded.scenario.order(Who::Second, TRIP_GUARDED, &FILE, (100, 10)).await;
    let mine = guarded.shared_file(&guarded.order, "{}").await;
    let others = guarded.shared_file(&other, "{}").await;
    // Pseudonyms are a consumer's own, and so are files.
    assert_ne!(mine["id"], others["id"]);
    let url = |file: &Value| file["url"].as_str().expect("an address").to_owned();
    let (path, signed) =
        url(&mine).split_once('?').map(|(path, signed)| (path.to_owned(), signed.to_owned())).expect("signed");
    let (others_path, _) =
        url(&others).split_once('?').map(|(path, signed)| (path.to_owned(), signed.to_owned())).expect("signed");
    for forged in [format!("{others_path}?{signed}"), path.clone(), format!("{path}?{signed}0")] {
        let reply = guarded.client.get(&forged).send().await.expect("an answer");
        assert_eq!(reply.status(), 403, "{forged}");
        let said = reply.text().await.expect("a body");
        assert!(told(&said, "").is_empty(), "{said}");
    }
    let whole = guarded.client.get(url(&mine)).send().await.expect("an answer");
    assert_eq!(whole.status(), 200);
    let bytes = whole.bytes().await.expect("a body");
    assert!(bytes.starts_with(b"PAR1"));
    assert!(told_in_bytes(&bytes).is_empty(), "{}", told_in_bytes(&bytes));
    guarded.scenario.suspend_mandate("数据召回").await;
    for range in [None, Some("bytes=0-100")] {
        let request = guarded.client.get(url(&mine));
        let request = match range {
            Some(range) => request.header("range", range),
            None => request,
        };
        assert_eq!(request.send().await.expect("an answer").status(), 403, "{range:?}");
    }
}
