//! Everything that is refused before data leaves: the problem the client gets, and that it leaves no receipt and costs
//! nothing.

use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{TRIP_CHECK, TRIP_RECORDS, TRIP_STATISTICS, Who, id_number};
use reqwest::{Method, Version};
use serde_json::json;

use crate::served::{Reply, Served};

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal() {
    let served = Served::open(None, 2_000).await;
    let records = [Mode::Lookup, Mode::Rows, Mode::File];
    let check = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (1, 0)).await;
    let statistics = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (2, 0)).await;
    let set = served.scenario.order(Who::First, TRIP_RECORDS, &records, (1, 1)).await;
    let head = served.receipt_head().await;
    let refused = |status: u16, code: &str| (status, code.to_owned());

    // Who asks.
    let url = format!("{}/{}/rows", served.base, TRIP_RECORDS);
    let anonymous = Reply::of(served.client.get(&url)).await;
    assert_eq!(anonymous.problem(), refused(401, "service_key_missing"));
    assert_eq!(anonymous.header("www-authenticate"), Some("Bearer realm=\"lingqu\""));
    for key in ["lqk_x", "lqk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"] {
        let reply = Reply::of(served.client.get(&url).bearer_auth(key)).await;
        assert_eq!(reply.problem(), refused(401, "bad_service_key"));
    }
    // What for: a key of another product, a product that is not there, and the product by its id.
    let other = Reply::of(served.client.get(&url).bearer_auth(&check.key)).await;
    assert_eq!(other.problem(), refused(403, "order_product_mismatch"));
    let absent = format!("{}/no_such_product/rows", served.base);
    let absent = Reply::of(served.client.get(absent).bearer_auth(&check.key)).await;
    assert_eq!((absent.problem(), &absent.body), (refused(403, "order_product_mismatch"), &other.body));

    // Modes, columns, statements, groups.
    let claim = json!({"key": {"trip_id": 60}, "claim": {"late": true}});
    for (reply, expected) in [
        (served.get(&check, "/rows").await, refused(403, "mode_not_granted")),
        (served.get(&check, "/export").await, refused(403, "mode_not_granted")),
        (served.get(&check, "/lookup/60").await, refused(403, "mode_not_granted")),
        (
            served.post(&check, "/query", json!({"sql": "SELECT * FROM trip_check"})).await,
            refused(403, "mode_not_granted"),
        ),
        (served.post(&set, "/verify", claim.clone()).await, refused(403, "mode_not_granted")),
        (
            served.post(&set, "/query", json!({"sql": "SELECT 1", "mode": "statistics"})).await,
            refused(403, "mode_not_granted"),
        ),
        (
            served.post(&set, "/query", json!({"sql": "SELECT secret FROM trip_records"})).await,
            refused(403, "column_not_granted"),
        ),
        (served.post(&set, "/query", json!({"sql": "SELECT * FROM people"})).await, refused(403, "table_not_granted")),
        (
            served.post(&set, "/query", json!({"sql": "DROP TABLE trip_records"})).await,
            refused(422, "statement_not_allowed"),
        ),
        (served.post(&set, "/query", json!({"sql": "SELECT"})).await, refused(422, "statement_not_understood")),
        (served.get(&set, "/rows?columns=secret").await, refused(403, "column_not_granted")),
        (served.get(&set, "/rows?filter=secret:eq:1").await, refused(403, "column_not_granted")),
        (served.get(&set, "/rows?filter=delay:eq:abc").await, refused(422, "invalid")),
        (
            served
                .post(
                    &statistics,
                    "/query",
                    json!({"sql": "SELECT line, count(*) FROM trip_statistics WHERE line = 'L9' GROUP BY line"}),
                )
                .await,
            refused(403, "cohort_too_small"),
        ),
        (
            served.post(&statistics, "/query", json!({"sql": "SELECT * FROM trip_statistics"})).await,
            refused(422, "not_an_aggregate"),
        ),
        (
            served.post(&check, "/verify", json!({"key": {"trip_id": 60}, "claim": {"vehicle": "x"}})).await,
            refused(403, "column_not_granted"),
        ),
    ] {
        assert_eq!(reply.problem(), expected, "{}", reply.text());
    }

    // Forms.
    let too_many: Vec<_> = (0..1_001).map(|trip| json!({"key": {"trip_id": trip}, "claim": {"late": true}})).collect();
    let too_many_keys: Vec<_> = (0..1_001).map(|trip| json!({"trip_id": trip})).collect();
    for (reply, expected) in [
        (served.post(&set, "/lookup", json!({"keys": too_many_keys})).await, refused(422, "invalid")),
        (
            served.post(&check, "/verify", json!({"key": {"trip_id": "60"}, "claim": {"late": true}})).await,
            refused(422, "invalid"),
        ),
        (served.post(&check, "/verify", json!({"key": {}, "claim": {"late": true}})).await, refused(422, "invalid")),
        (
            served
                .post(&check, "/verify", json!({"key": {"trip_id": 60, "line": "L0"}, "claim": {"late": true}}))
                .await,
            refused(422, "invalid"),
        ),
        (served.post(&check, "/verify", json!({"key": {"trip_id": 60}, "claim": {}})).await, refused(422, "invalid")),
        (served.post(&check, "/verify", json!({"key": {"trip_id": 60}})).await, refused(400, "malformed_request")),
        (served.post(&check, "/verify", json!({"claims": []})).await, refused(400, "malformed_request")),
        (served.post(&check, "/verify", json!({"claims": too_many})).await, refused(422, "invalid")),
        (
            served.post(&check, "/verify", json!({"key": {"trip_id": 60}, "claim": {"late": true}, "more": 1})).await,
            refused(400, "malformed_request"),
        ),
        (served.get(&set, "/lookup/60,61").await, refused(422, "invalid")),
        (served.get(&set, "/lookup?trip=60").await, refused(422, "invalid")),
        (served.get(&set, "/rows?limit=0").await, refused(400, "malformed_request")),
        (served.get(&set, "/rows?limit=10001").await, refused(400, "malformed_request")),
        (served.get(&set, "/rows?filtre=trip_id:eq:1").await, refused(400, "malformed_request")),
        (served.get(&set, "/rows?filter=trip_id:like:1").await, refused(400, "malformed_request")),
        (served.get(&set, "/rows?cursor=abc").await, refused(400, "cursor_not_valid")),
        (served.get(&set, "/rows?format=xml").await, refused(406, "not_acceptable")),
        (served.get(&set, "/export?format=json").await, refused(406, "not_acceptable")),
        (served.get(&set, "/no_such_address").await, refused(404, "no_such_address")),
        (served.get(&set, "/query").await, refused(405, "method_not_allowed")),
    ] {
        assert_eq!(reply.problem(), expected, "{}", reply.text());
    }
    let large = served.request(Method::POST, &set, "/query").body("x".repeat(1024 * 1024 + 1));
    assert_eq!(Reply::of(large).await.problem(), refused(413, "request_too_large"));
    let long =
        served.request(Method::POST, &set, "/query").body(format!("SELECT {} FROM trip_records", "1, ".repeat(9_000)));
    assert_eq!(Reply::of(long).await.problem(), refused(422, "statement_too_large"));
    let html = served.request(Method::GET, &set, "/rows").header("accept", "text/html");
    assert_eq!(Reply::of(html).await.problem(), refused(406, "not_acceptable"));
    // HEAD would be a delivery whose body is thrown away.
    for (method, path, allowed) in [
        (Method::HEAD, "/rows", "GET"),
        (Method::DELETE, "/rows", "GET"),
        (Method::HEAD, "/lookup", "GET, POST"),
        (Method::GET, "/query", "POST"),
        (Method::PUT, "/openapi.json", "GET, HEAD"),
    ] {
        let reply = Reply::of(served.request(method.clone(), &set, path)).await;
        assert_eq!((reply.status, reply.header("allow")), (405, Some(allowed)), "{method} {path}");
    }

    // None of it left a receipt or cost anything: the one call and the one data set of each order are still there.
    assert_eq!(served.receipt_head().await, head);
    served.post(&check, "/verify", claim.clone()).await.ok();
    assert_eq!(served.post(&check, "/verify", claim).await.problem(), refused(403, "quota_exceeded"));
    let by_id = format!("{}/{}/rows?limit=1", served.base, served.scenario.product(TRIP_RECORDS));
    Reply::of(served.client.get(by_id).bearer_auth(&set.key)).await.ok();
    assert_eq!(served.get(&set, "/lookup/60").await.problem(), refused(403, "quota_exceeded"));
    served.get(&set, "/export?columns=trip_id").await.ok();
    assert_eq!(served.get(&set, "/export?columns=trip_id").await.problem(), refused(403, "quota_exceeded"));
}

/// A stream that is cut has no end in HTTP/1.1, and in HTTP/1.0 looks whole: there it is refused, before anything is charged.
#[tokio::test(flavor = "multi_thread")]
async fn in_http_1_0_nothing_is_streamed() {
    let served = Served::open(None, 500).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Lookup, Mode::Rows, Mode::File], (1, 0)).await;
    let old = |method, path| Reply::of(served.request(method, &order, path).version(Version::HTTP_10));
    let head = served.receipt_head().await;
    for (method, path) in [(Method::GET, "/rows?limit=1"), (Method::GET, "/export"), (Method::POST, "/query")] {
        assert_eq!(old(method, path).await.problem(), (505, "http_too_old".to_owned()), "{path}");
    }
    assert_eq!(served.receipt_head().await, head);
    let row = old(Method::GET, "/lookup/60").await.ok();
    assert_eq!(row.header("content-length"), Some(row.body.len().to_string().as_str()));
}

/// What fails while it runs tells nothing of the data, is closed as stopped, and costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_fails_is_closed_and_free() {
    let served = Served::open(None, 2_000).await;
    let set = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (1, 0)).await;
    let head = served.receipt_head().await;
    let reply = served.post(&set, "/query", json!({"sql": "SELECT 1 / (trip_id - 60) AS x FROM trip_records"})).await;
    assert_eq!(reply.problem().0, 422);
    assert!(!reply.text().contains("divi") || reply.text().contains("for instance"), "{}", reply.text());
    // An opening and its closing, no part: no byte left.
    for _ in 0..100 {
        if served.receipt_head().await == head + 2 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let first = served.scenario.app.receipts().read(head + 1).await.unwrap().unwrap();
    let (records, outcome, totals) = served.closed(&first.receipt.receipt_id).await;
    assert_eq!(records.len(), 2);
    assert!(matches!(outcome, lingqu_domain::receipt::Outcome::Stopped { .. }), "{outcome:?}");
    assert_eq!((totals.calls, totals.bytes, totals.rows), (0, 0, 0));
    served.post(&set, "/query", json!({"sql": "SELECT count(*) AS n FROM trip_records"})).await.ok();
}

/// Suspension shuts the next request; resumption opens it again. Nobody's identity stands in a refusal.
#[tokio::test(flavor = "multi_thread")]
async fn suspension_shuts_and_resumption_opens() {
    let served = Served::open(None, 500).await;
    let check = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (10, 0)).await;
    let claim = json!({"key": {"trip_id": 60}, "claim": {"late": true}});
    served.post(&check, "/verify", claim.clone()).await.ok();
    served.scenario.suspend_mandate("安全事件处置").await;
    let reply = served.post(&check, "/verify", claim.clone()).await;
    assert_eq!(reply.problem(), (403, "grant_suspended".to_owned()));
    assert!(reply.text().contains("安全事件处置"), "the reason is told: {}", reply.text());
    assert!(!reply.text().contains(&id_number(0)));
    served.scenario.resume_mandate().await;
    served.post(&check, "/verify", claim).await.ok();
}

/// A page's cursor is good for its own order alone, and for as long as rights and question are the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_order_is_refused() {
    let served = Served::open(None, 500).await;
    let first = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows], (20, 0)).await;
    let second = served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows], (20, 0)).await;
    let page = served.get(&first, "/rows?limit=10").await.ok();
    let cursor = page.json()["next_cursor"].as_str().unwrap().to_owned();
    let refused = (400, "cursor_not_valid".to_owned());
    assert_eq!(served.get(&second, &format!("/rows?limit=10&cursor={cursor}")).await.problem(), refused);
    assert_eq!(served.get(&first, &format!("/rows?limit=10&columns=line&cursor={cursor}")).await.problem(), refused);
    let next = served.get(&first, &format!("/rows?limit=5&cursor={cursor}")).await.ok();
    assert_eq!(next.json()["rows"][0]["trip_id"], 10);
}
