//! Requests over HTTP by which a consumer might try to see more than was granted, what the bytes of a file tell beside its
//! rows, and what an answer that fails tells at each door.

use reqwest::Method;

use crate::doors::{Door, Stage, ask};
use crate::served::{Guarded, told, told_in_bytes};
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{TRIP_GUARDED, TRIP_RECORDS, Who};

/// Requests below `/data/v1`, with the status that each must have.
const REQUESTS: &[(&str, &str, u16)] = &[
    ("GET", "trip_guarded/rows?columns=note", 403),
    ("GET", "trip_guarded/rows?columns=trip_id,note", 403),
    ("GET", "trip_guarded/rows?columns=NOTE", 403),
    ("GET", "trip_guarded/rows?columns=__row", 403),
    ("GET", "trip_guarded/rows?columns=%22note%22", 403),
    ("GET", "trip_guarded/rows?columns=trip_id%22%20FROM%20trips%20--", 403),
    ("GET", "trip_guarded/rows?filter=note:eq:x", 403),
    ("GET", "trip_guarded/rows?filter=__row:lt:5", 403),
    ("GET", "trip_guarded/rows?filter=note:null", 403),
    ("GET", "trip_guarded/rows?sort=note", 403),
    ("GET", "trip_guarded/rows?sort=-__subject", 403),
    ("GET", "trip_guarded/rows?filter=line:eq:L0", 200),
    ("GET", "trip_guarded/rows?filter=line:ne:L1", 200),
    ("GET", "trip_guarded/rows?filter=vehicle:eq:GX-00001", 200),
    ("GET", "trip_guarded/rows?filter=vehicle:lt:GX-99999&filter=vehicle:gt:GX-00000", 200),
    ("GET", "trip_guarded/rows?filter=day:eq:2025-03-02", 200),
    ("GET", "trip_guarded/rows?filter=trip_id:in:2,3,4,5", 200),
    ("GET", "trip_guarded/rows?filter=line:eq:L1'%20OR%201=1%20--", 200),
    ("GET", "trip_guarded/rows?limit=10001", 400),
    ("GET", "trip_guarded/rows?limit=-1", 400),
    ("GET", "trip_guarded/rows?cursor=AAAA", 400),
    ("GET", "trip_guarded/rows?cursor=eyJvZmZzZXQiOjB9", 400),
    ("GET", "trip_guarded/rows?offset=0", 400),
    ("GET", "trip_guarded/lookup/2", 200),
    ("GET", "trip_guarded/lookup/1", 200),
    ("GET", "trip_guarded/lookup/1%20OR%201=1", 422),
    ("GET", "trip_guarded/lookup?trip_id=2", 200),
    ("GET", "trip_guarded/lookup?note=x", 422),
    ("GET", "trip_guarded/lookup?line=L0", 422),
    ("GET", "trip_guarded/export?columns=note&format=csv", 403),
    ("GET", "trip_guarded/export?filter=note:eq:x&format=csv", 403),
    ("GET", "trips/rows", 403),
    ("GET", "trip_records/rows", 403),
    ("GET", "trip_check/rows", 403),
    ("GET", "person_check/rows", 403),
    ("GET", "no_such_product/rows", 403),
    ("GET", "trip_guarded%2F..%2Ftrip_records/rows", 403),
    ("GET", "../trip_records/rows", 404),
    ("HEAD", "trip_guarded/rows", 405),
    ("PUT", "trip_guarded/rows", 405),
    ("DELETE", "trip_guarded/rows", 405),
];

/// Bodies that are sent to `/data/v1/trip_guarded/…`, with the status that each must have.
const BODIES: &[(&str, &str, u16)] = &[
    ("verify", r#"{"key":{"trip_id":1},"claim":{"note":"x"}}"#, 403),
    ("verify", r#"{"key":{"trip_id":2},"claim":{"line":"L2"}}"#, 403),
    ("lookup", r#"{"keys":[{"trip_id":2},{"trip_id":3},{"trip_id":4}]}"#, 200),
    ("lookup", r#"{"keys":[{"trip_id":1,"note":"x"}]}"#, 422),
    ("lookup", r#"{"keys":[{"line":"L0"}]}"#, 422),
    ("lookup", r#"{"keys":[],"columns":["note"]}"#, 400),
    ("query", r#"{"sql":"SELECT note FROM trip_guarded","mode":"compute"}"#, 400),
    ("query", r#"{"sql":"SELECT count(note) FROM trip_guarded","mode":"statistics"}"#, 403),
    ("query", r#"{"sql":["SELECT 1"]}"#, 400),
    ("query", r#"{"sql":"SELECT 1","table":"trips"}"#, 400),
    ("query", r#"{"#, 400),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_tells_more_than_was_granted() {
    let guarded = Guarded::open().await;
    let first = guarded.client.get(format!("{}/data/v1/trip_guarded/rows", guarded.http));
    assert_eq!(first.bearer_auth(&guarded.order.key).send().await.expect("an answer").status(), 200);
    let mut wrong = Vec::new();
    let mut ask = async |method: Method, path: String, body: Option<&'static str>, status: u16| {
        let request = guarded.client.request(method.clone(), format!("{}/data/v1/{path}", guarded.http));
        let request = request.bearer_auth(&guarded.order.key);
        let request = match body {
            Some(body) => request.header("content-type", "application/json").body(body),
            None => request,
        };
        // What is refused leaves nothing behind.
        let before = if status == 200 { None } else { Some(guarded.settled_books(&guarded.order).await) };
        let reply = request.send().await.expect("an answer");
        let found = reply.status().as_u16();
        let mut headers = reply.headers().clone();
        // A sealed cursor may have any two letters in it.
        let cursor = headers.remove("next-cursor").map(|cursor| cursor.to_str().expect("text").to_owned());
        let text = String::from_utf8_lossy(&reply.bytes().await.expect("a body")).into_owned();
        let said = format!("{headers:?} {}", text.replace(cursor.as_deref().unwrap_or("\0"), ""));
        let asked = format!("{method} {path} {}", body.unwrap_or_default());
        let told = told(&said, &asked);
        if !told.is_empty() || found != status {
            let said: String = said.chars().take(400).collect();
            wrong.push(format!("{asked}\n  {found} instead of {status}; tells {told}\n  {said}"));
        }
        if let Some(before) = before
            && let Some(moved) = guarded.moved_since(&before, &guarded.order).await
        {
            wrong.push(format!("{asked}\n  left something behind: {moved}"));
        }
    };
    for (method, path, status) in REQUESTS {
        ask(method.parse().expect("a method"), (*path).to_owned(), None, *status).await;
    }
    for (path, body, status) in BODIES {
        ask(Method::POST, format!("trip_guarded/{path}"), Some(body), *status).await;
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hidden_row_looks_like_one_that_is_not_there() {
    let guarded = Guarded::open().await;
    let mut bodies = Vec::new();
    for key in ["2", "999999"] {
        let url = format!("{}/data/v1/trip_guarded/lookup/{key}", guarded.http);
        let reply = guarded.client.get(url).bearer_auth(&guarded.order.key).send().await.expect("an answer");
        let (status, names) = (reply.status(), reply.headers().keys().map(ToString::to_string).collect::<Vec<_>>());
        let text = reply.text().await.expect("a body");
        // What names the delivery differs by nature.
        let text = text.split("rcp_").map(|part| part.get(32..).unwrap_or(part)).collect::<String>();
        bodies.push((status, names, text.replace(key, "KEY")));
    }
    assert_eq!(bodies[0].0, bodies[1].0);
    assert_eq!(bodies[0].1, bodies[1].1);
    assert_eq!(bodies[0].2.len(), bodies[1].2.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_hold_nothing_but_what_was_granted() {
    let guarded = Guarded::open().await;
    for format in ["parquet", "csv", "ndjson", "arrow", "json"] {
        let url = format!("{}/data/v1/trip_guarded/export?format={format}", guarded.http);
        let reply = guarded.client.get(url).bearer_auth(&guarded.order.key).send().await.expect("an answer");
        if reply.status() == 406 || reply.status() == 400 {
            // A format that exports do not have.
            continue;
        }
        assert_eq!(reply.status(), 200, "{format}");
        let bytes = reply.bytes().await.expect("a body");
        assert!(bytes.len() > 1_000, "{format}");
        // Pages of a Parquet file are compressed; its footer, dictionaries' statistics and schema are not.
        let told = match format {
            "parquet" | "arrow" => told_in_bytes(&bytes),
            _ => told(&String::from_utf8_lossy(&bytes), ""),
        };
        assert!(told.is_empty(), "{format}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_opens_its_own_order_alone() {
    let guarded = Guarded::open().await;
    let other = guarded.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows], (100, 0)).await;
    for (key, path) in [(&other.key, "trip_guarded"), (&guarded.order.key, TRIP_RECORDS)] {
        let url = format!("{}/data/v1/{path}/rows", guarded.http);
        let reply = guarded.client.get(url).bearer_auth(key).send().await.expect("an answer");
        assert_eq!(reply.status(), 403);
        assert!(reply.text().await.expect("a body").contains("order_product_mismatch"));
    }
    // A cursor is bound to its order and its question.
    let page = |key: String, product: &'static str, more: String| {
        let url = format!("{}/data/v1/{product}/rows?limit=5{more}", guarded.http);
        guarded.client.get(url).bearer_auth(key).send()
    };
    let first = page(guarded.order.key.clone(), "trip_guarded", String::new()).await.expect("an answer");
    let first: serde_json::Value = serde_json::from_slice(&first.bytes().await.expect("a body")).expect("JSON");
    let cursor = first["next_cursor"].as_str().expect("there are more").to_owned();
    let next = page(guarded.order.key.clone(), "trip_guarded", format!("&cursor={cursor}")).await.expect("an answer");
    assert_eq!(next.status(), 200);
    let stolen = page(other.key.clone(), TRIP_RECORDS, format!("&cursor={cursor}")).await.expect("an answer");
    assert_eq!(stolen.status(), 400);
    let changed = page(guarded.order.key.clone(), "trip_guarded", format!("&filter=line:eq:L1&cursor={cursor}")).await;
    assert_eq!(changed.expect("an answer").status(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cursor_is_good_for_its_own_order_of_the_same_product_alone() {
    let guarded = Guarded::open().await;
    let modes = [Mode::Lookup, Mode::Rows, Mode::File];
    let orders = [
        guarded.order.clone(),
        guarded.scenario.order(Who::First, TRIP_GUARDED, &modes, (100, 10)).await,
        guarded.scenario.order(Who::Second, TRIP_GUARDED, &modes, (100, 10)).await,
    ];
    let page = async |key: &str, cursor: &str| {
        let url = format!("{}/data/v1/trip_guarded/rows?limit=5&cursor={cursor}", guarded.http);
        let reply = guarded.client.get(url).bearer_auth(key).send().await.expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    };
    for (owner, order) in orders.iter().enumerate() {
        let url = format!("{}/data/v1/trip_guarded/rows?limit=5", guarded.http);
        let first = guarded.client.get(url).bearer_auth(&order.key).send().await.expect("an answer");
        let first: serde_json::Value = serde_json::from_slice(&first.bytes().await.expect("a body")).expect("JSON");
        let cursor = first["next_cursor"].as_str().expect("there are more").to_owned();
        for (asking, other) in orders.iter().enumerate() {
            let (status, said) = page(&other.key, &cursor).await;
            assert_eq!(status, if asking == owner { 200 } else { 400 }, "{owner} to {asking}: {said}");
            assert!(asking == owner || told(&said, "").is_empty(), "{said}");
        }
        // The first letters are the place, which is no secret; one changed in the binding opens nothing.
        for at in [cursor.len() / 2, cursor.len() - 2] {
            let mut letters: Vec<char> = cursor.chars().collect();
            letters[at] = if letters[at] == 'A' { 'B' } else { 'A' };
            let (status, said) = page(&order.key, &letters.into_iter().collect::<String>()).await;
            assert_eq!(status, 400, "{said}");
        }
    }
}

/// What fails on a visible row, at the beginning and at the end of the answer.
const FAILING: &[&str] = &[
    "SELECT CAST(line AS BIGINT) AS n FROM trip_guarded",
    "SELECT CAST(vehicle AS DATE) AS n FROM trip_guarded",
    "SELECT CAST(vehicle AS DOUBLE) AS n FROM trip_guarded ORDER BY trip_id DESC",
    "SELECT 1 / (trip_id - 1996) AS n, line, day FROM trip_guarded ORDER BY trip_id",
    "SELECT CAST(concat(line, vehicle) AS BIGINT) AS n FROM trip_guarded",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fails_tells_nothing_in_any_encoding() {
    let guarded = Guarded::open().await;
    let url = format!("{}/data/v1/trip_guarded/query", guarded.http);
    let encodings = [
        "application/json",
        "application/x-ndjson",
        "text/csv",
        "application/vnd.apache.arrow.stream",
        "application/vnd.apache.parquet",
    ];
    for accept in encodings {
        // The encoding is one that answers have.
        let ask = |sql: &str| {
            let request = guarded.client.post(&url).bearer_auth(&guarded.order.key).header("accept", accept);
            let body = serde_json::json!({ "sql": sql }).to_string();
            request.header("content-type", "application/json").body(body).send()
        };
        assert_eq!(ask("SELECT trip_id FROM trip_guarded").await.expect("an answer").status(), 200, "{accept}");
        for sql in FAILING {
            let reply = ask(sql).await.expect("an answer");
            let (status, headers) = (reply.status().as_u16(), format!("{:?}", reply.headers()));
            let body = reply.bytes().await;
            assert!(status != 200 || body.is_err(), "{accept}: {sql} was answered");
            let text = body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
            let told = told(&format!("{headers} {text}"), sql);
            assert!(told.is_empty(), "{accept}: {sql}\n{told}\n{text}");
            // Nor the values of visible rows.
            assert!(!text.contains("L1"), "{accept}: {sql}\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_fails_tells_nothing_at_any_door() {
    let guarded = Guarded::open().await;
    for door in Door::ALL {
        let Some(seen) = ask(&guarded, &guarded.order, door, FAILING).await else { continue };
        for (sql, seen) in FAILING.iter().zip(&seen) {
            assert_eq!(seen.refused_at(door), Some(Stage::Run), "{door:?}: {sql}\n{}", seen.short());
            assert!(seen.names_its_log(), "{door:?}: {sql}\n{}", seen.said);
            let told = told(&seen.said, sql);
            assert!(told.is_empty(), "{door:?}: {sql}\n{told}\n{}", seen.short());
            // Nor the values of visible rows.
            assert!(!seen.said.contains("L1"), "{door:?}: {sql}\n{}", seen.short());
        }
    }
}
