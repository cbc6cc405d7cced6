//! Where products and deliveries came from, who received what came from a column, and who may know.

use axum::Router;
use lingqu_domain::command::Command;
use lingqu_domain::id::OrderId;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::scenario::{Ordered, TRIP_CHECK, TRIP_RECORDS, Who};
use serde_json::{Value, json};

use crate::client::{Client, Served};

/// A served scenario whose data plane answers too.
struct Delivering {
    served: Served,
    data: String,
    /// The first consumer's rows.
    first: Ordered,
    /// The second consumer's rows.
    second: Ordered,
}

impl Delivering {
    async fn open() -> Delivering {
        let served = Served::open().await;
        let modes = [Mode::Lookup, Mode::Rows, Mode::File];
        let first = served.scenario.order(Who::First, TRIP_RECORDS, &modes, (100, 10)).await;
        let second = served.scenario.order(Who::Second, TRIP_RECORDS, &modes, (100, 10)).await;
        let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
        let router = Router::new().nest("/data/v1", lingqu_gateway::router_on(deliveries));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let data = format!("http://{}/data/v1", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Delivering { served, data, first, second }
    }

    /// Asks a statement; answers the receipt.
    async fn query(&self, order: &Ordered, sql: &str) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/{}/query", self.data, order.product)).bearer_auth(&order.key);
        let request = request.header("content-type", "application/json").body(json!({ "sql": sql }).to_string());
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200, "{sql}");
        let receipt = reply.headers()["delivery-receipt"].to_str().unwrap().to_owned();
        reply.bytes().await.unwrap();
        receipt
    }

    async fn verify(&self, order: &Ordered) -> String {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let request = client.post(format!("{}/{}/verify", self.data, order.product)).bearer_auth(&order.key);
        let claim = json!({"key": {"trip_id": 60}, "claim": {"late": true}});
        let request = request.header("content-type", "application/json").body(claim.to_string());
        let reply = request.send().await.unwrap();
        assert_eq!(reply.status(), 200);
        reply.headers()["delivery-receipt"].to_str().unwrap().to_owned()
    }

    fn of_column(&self, column: &str, what: &str) -> String {
        format!("/api/v1/lineage/resources/{}/columns/{column}/{what}", self.served.scenario.resource("trips"))
    }
}

async fn items(client: &Client, path: &str) -> Vec<Value> {
    let reply = client.get(path).await;
    assert_eq!(reply.status, 200, "{path}: {}", reply.text);
    reply.json()["items"].as_array().unwrap().clone()
}

fn texts(items: &[Value], field: &str) -> Vec<String> {
    items.iter().map(|item| item[field].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_found_from_the_column_that_it_used_and_from_no_other() {
    let node = Delivering::open().await;
    let by_value =
        node.query(&node.first, "SELECT delay * 2 AS secret_kumquat FROM trip_records WHERE trip_id = 5").await;
    let by_filter = node.query(&node.first, "SELECT line FROM trip_records WHERE delay = 4711").await;
    let without = node.query(&node.first, "SELECT line FROM trip_records LIMIT 3").await;
    let of_second = node.query(&node.second, "SELECT delay FROM trip_records").await;
    let check = node.verify(&node.served.order).await;
    let provider = node.served.sign_in("clerk4").await;

    let path = node.of_column("delay", "deliveries");
    let found = items(&provider, &path).await;
    let mut receipts = texts(&found, "receipt");
    receipts.sort();
    let mut expected = vec![by_value.clone(), by_filter.clone(), of_second.clone(), check.clone()];
    expected.sort();
    assert_eq!(receipts, expected, "all that used `delay`, and not {without}");
    let of = |receipt: &str| found.iter().find(|item| item["receipt"] == receipt).unwrap();
    let how = |receipt: &str| {
        let item = of(receipt);
        (item["values"].as_bool().unwrap(), item["condition"].as_bool().unwrap(), item["at_most"].as_bool().unwrap())
    };
    assert_eq!(how(&by_value), (true, false, false));
    assert_eq!(how(&by_filter), (false, true, false));
    assert_eq!(how(&check), (true, false, false), "`late` is made of it, and the key is not");
    assert_eq!(of(&of_second)["consumer"], node.served.scenario.party(Who::Second).to_string());
    assert!(!of(&of_second)["consumer_name"].as_str().unwrap().is_empty());
    let of_line = items(&provider, &node.of_column("line", "deliveries")).await;
    assert!(texts(&of_line, "receipt").contains(&without));

    // Page by page the same, each once.
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    for _ in 0..20 {
        let reply = provider.get(&format!("{path}?limit=1{cursor}")).await.json();
        paged.extend(texts(reply["items"].as_array().unwrap(), "receipt"));
        match reply["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    paged.sort();
    assert_eq!(paged, expected);
    // By time: from the beginning of one on, and before it.
    let at = of(&of_second)["at"].as_str().unwrap();
    let after = items(&provider, &format!("{path}?from={at}")).await;
    let before = items(&provider, &format!("{path}?to={at}")).await;
    assert_eq!(after.len() + before.len(), expected.len());
    assert!(texts(&after, "receipt").contains(&of_second) && !texts(&before, "receipt").contains(&of_second));
    for wrong in ["cursor=x", "cursor=ord_1:2", "from=yesterday", "limit=0", "limit=201", "more=1"] {
        assert_eq!(provider.get(&format!("{path}?{wrong}")).await.problem().0, 422, "{wrong}");
    }
}

/// Orders without a delivery are looked at too, so a page ends after some hundred of them and says where it goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_looks_at_a_bounded_number_of_orders() {
    /// More than one page looks at.
    const ORDERS: usize = 510;
    let node = Delivering::open().await;
    let scenario = &node.served.scenario;
    let details = scenario.app.read(|state| state.orders[&node.first.id].value.details.clone());
    for _ in 0..ORDERS {
        let place = Command::PlaceOrder { details: Box::new(details.clone()) };
        let _: OrderId = scenario.give(scenario.clerk(Who::First), place, "order.placed").await;
    }
    let last = node.served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows], (10, 0)).await;
    let receipt = node.query(&last, "SELECT delay FROM trip_records").await;
    let provider = node.served.sign_in("clerk4").await;
    let path = node.of_column("delay", "deliveries");
    let (mut found, mut pages, mut cursor) = (Vec::new(), 0, String::new());
    loop {
        let page = provider.get(&format!("{path}?limit=10{cursor}")).await.json();
        found.extend(texts(page["items"].as_array().unwrap(), "receipt"));
        pages += 1;
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
        assert!(pages < 10, "the pages come to an end");
    }
    assert_eq!(found, [receipt]);
    assert!(pages > 1, "one page would have looked at all orders");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receipt_leads_back_to_the_columns_of_the_resource() {
    let node = Delivering::open().await;
    let sql = "SELECT line AS secret_kumquat, count(*) FROM trip_records WHERE delay > 4711471147114711 GROUP BY line";
    let receipt = node.query(&node.first, sql).await;
    let consumer = node.served.sign_in("clerk8").await;
    let reply = consumer.get(&format!("/api/v1/lineage/receipts/{receipt}")).await;
    assert!(
        !reply.text.contains("kumquat") && !reply.text.contains("4711471147"),
        "what the consumer wrote is not in it: {}",
        reply.text
    );
    let told = reply.json();
    assert_eq!((&told["recorded"], &told["at_most"]), (&json!(true), &json!(false)));
    assert_eq!(told["order"], node.first.id.to_string());
    let resource = node.served.scenario.resource("trips").to_string();
    let source = |column: &Value| (column["from"][0]["resource"].clone(), column["from"][0]["column"].clone());
    let columns = told["columns"].as_array().unwrap();
    assert_eq!(columns.len(), 2);
    assert_eq!(source(&columns[0]["from"][0]), (json!(resource), json!("line")));
    assert_eq!((&columns[1]["from"], &columns[1]["computed"]), (&json!([]), &json!(true)));
    assert_eq!(texts(told["conditions"].as_array().unwrap(), "name"), ["delay", "line"]);
    assert!(told["snapshots"][0].as_str().unwrap().starts_with(&resource));

    // A verification tells of what was claimed and of the key, and the order tells what might have been.
    let check = node.verify(&node.served.order).await;
    let told = consumer.get(&format!("/api/v1/lineage/receipts/{check}")).await.json();
    assert_eq!((&told["recorded"], &told["at_most"]), (&json!(true), &json!(false)));
    assert_eq!((told["columns"].as_array().unwrap().len(), &told["columns"][0]["computed"]), (1, &json!(true)));
    assert_eq!(texts(told["columns"][0]["from"].as_array().unwrap(), "name"), ["late"]);
    assert_eq!(texts(told["conditions"].as_array().unwrap(), "name"), ["trip_id"]);
    let told = consumer.get(&format!("/api/v1/lineage/orders/{}", node.served.order.id)).await.json();
    let late = told["columns"].as_array().unwrap().iter().find(|column| column["name"] == "late").unwrap().clone();
    assert_eq!(source(&late), (json!(resource), json!("delay")));
    assert_eq!((&late["computed"], &late["precisions"]), (&json!(true), &json!({"verification": "exact"})));
    let product = consumer.get(&format!("/api/v1/lineage/products/{}", node.served.scenario.product(TRIP_CHECK))).await;
    assert_eq!(texts(product.json()["columns"].as_array().unwrap(), "name"), ["trip_id", "line", "late"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn lineage_is_seen_by_those_who_may_open_the_order() {
    let node = Delivering::open().await;
    let mine = node.query(&node.first, "SELECT delay FROM trip_records").await;
    let others = node.query(&node.second, "SELECT delay FROM trip_records").await;
    let (deliveries, downstream) = (node.of_column("delay", "deliveries"), node.of_column("delay", "downstream"));
    // The provider and those who supervise see every consumer; a consumer sees himself alone.
    for (login, sees) in [
        ("clerk4", vec![&mine, &others]),
        ("chief0", vec![&mine, &others]),
        ("clerk3", vec![&mine, &others]),
        ("clerk8", vec![&mine]),
        ("clerk9", vec![&others]),
        ("clerk2", vec![]),
    ] {
        let client = node.served.sign_in(login).await;
        let mut found = texts(&items(&client, &deliveries).await, "receipt");
        found.sort();
        let mut expected: Vec<String> = sees.iter().map(|receipt| (*receipt).clone()).collect();
        expected.sort();
        assert_eq!(found, expected, "{login}");
        for receipt in [&mine, &others] {
            let status = client.get(&format!("/api/v1/lineage/receipts/{receipt}")).await.status;
            assert_eq!(status, if sees.contains(&receipt) { 200 } else { 404 }, "{login}");
        }
        let page = client.get(&downstream).await;
        let items = page.json()["items"].as_array().unwrap().clone();
        let orders: Vec<String> = texts(&items, "order").into_iter().filter(|order| !order.is_empty()).collect();
        for (order, receipt) in [(&node.first, &mine), (&node.second, &others)] {
            assert_eq!(orders.contains(&order.id.to_string()), sees.contains(&receipt), "{login}");
        }
        // The products are on the market.
        assert!(texts(&items, "product_name").contains(&TRIP_RECORDS.to_owned()), "{login}");
        if login == "clerk9" {
            assert!(!page.text.contains(node.served.scenario.party(Who::First).as_str()), "{}", page.text);
        }
        let order = client.get(&format!("/api/v1/lineage/orders/{}", node.first.id)).await.status;
        assert_eq!(order, if sees.contains(&&mine) { 200 } else { 404 }, "{login}");
    }
    let stranger = node.served.stranger();
    for path in [&deliveries, &downstream, &"/api/v1/lineage/events".to_owned()] {
        assert_eq!(stranger.get(path).await.status, 401, "{path}");
    }
    let provider = node.served.sign_in("clerk4").await;
    for path in [
        node.of_column("no_such_column", "downstream"),
        node.of_column("no_such_column", "deliveries"),
        "/api/v1/lineage/resources/res_00000000000000000000000000000000/columns/delay/downstream".to_owned(),
        "/api/v1/lineage/receipts/rcp_00000000000000000000000000000000".to_owned(),
        "/api/v1/lineage/receipts/x".to_owned(),
    ] {
        assert_eq!(provider.get(&path).await.problem(), (404, "not_found".to_owned()), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_for_those_who_supervise_and_come_page_by_page() {
    let node = Delivering::open().await;
    node.query(&node.first, "SELECT delay AS secret_kumquat FROM trip_records WHERE line = 'secret-kumquat'").await;
    node.verify(&node.served.order).await;
    for login in ["clerk4", "clerk8", "clerk3"] {
        let client = node.served.sign_in(login).await;
        assert_eq!(client.get("/api/v1/lineage/events").await.problem().0, 403, "{login}");
    }
    let authority = node.served.sign_in("chief0").await;
    let whole = authority.get("/api/v1/lineage/events?limit=500").await;
    assert!(!whole.text.contains("kumquat"), "what a consumer wrote is in an event");
    let whole = whole.json()["items"].as_array().unwrap().clone();
    let count = |kind: &str| whole.iter().filter(|event| event["eventType"] == kind).count();
    // Two snapshots and two deliveries; the closing of a stream may be a moment behind.
    assert_eq!(count("START"), 4);
    assert!(count("COMPLETE") >= 3);
    let job = |event: &Value| event["job"]["name"].as_str().unwrap().to_owned();
    assert!(whole.iter().any(|event| job(event) == "ingest/trips"));
    assert!(whole.iter().any(|event| job(event) == format!("product/{TRIP_RECORDS}")));
    assert!(whole.iter().any(|event| job(event) == format!("deliver/{}", node.first.id)));
    let (mut paged, mut cursor) = (Vec::new(), String::new());
    for _ in 0..200 {
        let reply = authority.get(&format!("/api/v1/lineage/events?limit=1{cursor}")).await.json();
        paged.extend(reply["items"].as_array().unwrap().clone());
        match reply["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged[..whole.len().min(paged.len())], whole[..]);
    assert_eq!(authority.get("/api/v1/lineage/events?cursor=1").await.problem().0, 422);
}
