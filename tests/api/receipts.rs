//! Receipts as a table: supervision asks about all, a party about those of orders that he may open, nobody about more.

use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Claim, Deliveries, Settings};
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_CHECK, Who};
use serde_json::{Value, json};

use crate::client::{Client, Served};

const COUNT: &str = "SELECT order_id, count(*) AS deliveries, sum(rows_left) AS rows FROM receipts GROUP BY order_id";

/// A delivery that asks about these trips.
pub async fn verify(served: &Served, order: &Ordered, trips: &[i64]) {
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit(Some(&order.key), order.product, "rest").await.unwrap();
    let keyed = deliveries.keyed(admission, Mode::Verification).await.unwrap();
    let late = lingqu_domain::predicate::Literal::Boolean(true);
    let claim = |trip: &i64| Claim {
        key: vec![lingqu_domain::predicate::Literal::Integer(*trip)],
        values: [("late".to_owned(), Some(late.clone()))].into(),
    };
    let claims: Vec<Claim> = trips.iter().map(claim).collect();
    deliveries.verify(&keyed, &claims, "asked in a test".to_owned(), |_, _| Ok(Vec::new())).await.unwrap();
}

async fn ask(client: &Client, sql: &str) -> Vec<Value> {
    let reply = client.post("/api/v1/receipts/query", &json!({ "sql": sql })).await;
    assert_eq!(reply.status, 200, "{sql}: {}", reply.text);
    let answer = reply.json();
    assert_eq!(answer["position"], answer["head"], "everything that ended is in it");
    answer["rows"].as_array().unwrap().clone()
}

async fn each_sees_what_concerns_it(database_url: Option<String>) {
    let served = Served::of(Scenario::open(database_url, 200).await).await;
    let second = served.scenario.order(Who::Second, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let authority = served.sign_in("clerk0").await;
    assert_eq!(ask(&authority, COUNT).await, Vec::<Value>::new());
    verify(&served, &served.order, &[1, 2, 3]).await;
    verify(&served, &served.order, &[4]).await;
    verify(&served, &second, &[5]).await;

    let of = |order: &Ordered, deliveries: u64, rows: u64| json!({"order_id": order.id.as_str(), "deliveries": deliveries, "rows": rows});
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(ToString::to_string);
        rows
    };
    let all = sorted(vec![of(&served.order, 2, 4), of(&second, 1, 1)]);
    assert_eq!(sorted(ask(&authority, COUNT).await), all);
    // The first consumer, the second, the operator of both, the department that supplies them, a registrar without part in it.
    for (login, expected) in [
        ("clerk8", vec![of(&served.order, 2, 4)]),
        ("clerk9", vec![of(&second, 1, 1)]),
        ("clerk3", all.clone()),
        ("clerk4", all.clone()),
        ("clerk2", Vec::new()),
    ] {
        let client = served.sign_in(login).await;
        assert_eq!(sorted(ask(&client, COUNT).await), sorted(expected), "{login}");
        // Nor by naming the other's.
        if login == "clerk8" {
            let other = format!("SELECT receipt FROM receipts WHERE order_id = '{}'", second.id);
            assert_eq!(ask(&client, &other).await, Vec::<Value>::new());
            let oracle = format!(
                "SELECT 1 / (CASE WHEN order_id = '{}' THEN 0 ELSE 1 END) AS x FROM receipts LIMIT 5",
                second.id
            );
            assert_eq!(ask(&client, &oracle).await.len(), 2);
        }
    }
    let whole = ask(&authority, "SELECT * FROM receipts WHERE rows_left = 3").await;
    assert_eq!(whole.len(), 1);
    for (column, value) in [
        ("mode", json!("verification")),
        ("outcome", json!("delivered")),
        ("nature", json!("REAL")),
        ("columns", json!("late")),
        ("calls", json!(3)),
        ("operator", json!(served.scenario.party(Who::Operator).as_str())),
        ("consumer", json!(served.scenario.party(Who::First).as_str())),
    ] {
        assert_eq!(whole[0][column], value, "{column}");
    }
    assert!(
        whole[0]["log_entry"].is_u64() && whole[0]["permits"].as_str().unwrap().starts_with("pmt_"),
        "{}",
        whole[0]
    );
    assert!(!whole[0].to_string().contains("asked in a test"));
    // Kept by the background job and opened again they are the same.
    served.scenario.app.keep_receipt_table().await.unwrap();
    verify(&served, &second, &[6, 7]).await;
    let later =
        ask(&authority, "SELECT sum(rows_left) AS rows, count(DISTINCT receipt) AS receipts FROM receipts").await;
    assert_eq!(later, [json!({"rows": 7, "receipts": 4})]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_party_asks_about_what_concerns_it_and_supervision_about_all() {
    each_sees_what_concerns_it(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_on_postgresql() {
    let Some(server) = PrivatePostgres::needed("receipts on PostgreSQL") else { return };
    each_sees_what_concerns_it(Some(server.create_database().await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_does_nothing_but_read_the_table() {
    let served = Served::open().await;
    verify(&served, &served.order, &[1]).await;
    let authority = served.sign_in("clerk0").await;
    for sql in [
        "SELECT row_set FROM receipts",
        "SELECT * FROM receipt_index",
        "SELECT * FROM information_schema.tables",
        "INSERT INTO receipts SELECT * FROM receipts",
        "CREATE TABLE x AS SELECT 1",
        "COPY receipts TO '/tmp/receipts.csv'",
        "SELECT 1; SELECT 2",
        "not a statement",
        &format!("SELECT '{}' FROM receipts", "x".repeat(30_000)),
    ] {
        let reply = authority.post("/api/v1/receipts/query", &json!({ "sql": sql })).await;
        assert!((400..500).contains(&reply.status), "{sql}: {reply:?}");
        reply.problem();
    }
    assert_eq!(served.stranger().post("/api/v1/receipts/query", &json!({ "sql": COUNT })).await.status, 401);
    let mut without_token = served.sign_in("clerk0").await;
    without_token.csrf = None;
    assert_eq!(without_token.post("/api/v1/receipts/query", &json!({ "sql": COUNT })).await.status, 403);
}
