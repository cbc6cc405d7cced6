//! What those who are not concerned see: another consumer, a competing operator. Every list is asked, and every id.

use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, ProductId};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::registration::Registrable;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{PERSON_CHECK, TRIP_CHECK, TRIP_RECORDS, Who};
use serde_json::{Value, json};

use crate::client::{Client, PASSWORD, Reply, Served, new_key};

/// Lists of what is between the parties concerned.
const NOT_PUBLIC: [&str; 8] =
    ["supplies", "plans", "mandates", "permits", "permitted-revenues", "orders", "meters", "settlements"];

/// The approver and handler of an operator that has nothing to do with the scenario.
async fn competitor(served: &Served) -> Client {
    let admin = served.sign_in("admin").await;
    let details = json!({
        "name": "另一运营机构", "name_en": "Another operator", "credit_code": "TEST45000000000999",
        "organisation": "enterprise", "roles": ["operator"], "tier": "region", "division": "450000",
    });
    let registered = admin.post("/api/v1/commands", &json!({ "command": "register_party", "details": details })).await;
    assert_eq!(registered.status, 200, "{}", registered.text);
    let party = registered.json()["events"][0]["stream"].clone();
    let user = |login: &str, duties: Value| json!({ "party": party, "duties": duties, "login": login, "display_name": login, "password": PASSWORD });
    let added = admin.post("/api/v1/users", &user("rival.admin", json!(["administrator"]))).await;
    assert_eq!(added.status, 201, "{}", added.text);
    let own = served.sign_in("rival.admin").await;
    let added = own.post("/api/v1/users", &user("rival.chief", json!(["handler", "approver"]))).await;
    assert_eq!(added.status, 201, "{}", added.text);
    served.sign_in("rival.chief").await
}

async fn ids(client: &Client, list: &str) -> Vec<String> {
    let page = client.get(&format!("/api/v1/{list}?limit=200")).await;
    assert_eq!(page.status, 200, "{list}: {}", page.text);
    let items = page.json()["items"].as_array().unwrap().clone();
    items.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn who_is_not_concerned_sees_nothing_of_it() {
    let served = Served::open().await;
    let authority = served.sign_in("chief0").await;
    let rival = competitor(&served).await;
    let consumer = served.sign_in("clerk9").await;
    for list in NOT_PUBLIC {
        let all = ids(&authority, list).await;
        assert!(!all.is_empty() || ["meters", "settlements"].contains(&list), "the scenario has {list}");
        for client in [&rival, &consumer] {
            assert!(ids(client, list).await.is_empty(), "{list}");
            for id in &all {
                let reply = client.get(&format!("/api/v1/{list}/{id}")).await;
                assert_eq!(reply.problem(), (404, "not_found".to_owned()), "{list} {id}");
            }
        }
    }
    // What is public knowledge they see like everybody.
    for list in ["parties", "resources", "registrations", "rights", "products"] {
        let all = ids(&authority, list).await;
        assert_eq!(ids(&consumer, list).await, all, "{list}");
    }
}

#[tokio::test]
async fn a_consumer_sees_the_chain_above_its_own_order_and_no_other() {
    let served = Served::open().await;
    let permit_of = |product: &str, resource: &str| {
        served.scenario.app.read(|state| {
            let product = &state.products[served.scenario.product(product)].value;
            product.details.inputs[served.scenario.resource(resource)].to_string()
        })
    };
    let (of_trips, of_people) = (permit_of(TRIP_CHECK, "trips"), permit_of(PERSON_CHECK, "people"));
    let consumer = served.sign_in("clerk8").await;
    assert_eq!(ids(&consumer, "permits").await, [of_trips]);
    assert_eq!(ids(&consumer, "mandates").await, [served.scenario.mandate().to_string()]);
    assert_eq!(ids(&consumer, "supplies").await.len(), 1);
    let hidden = consumer.get(&format!("/api/v1/permits/{of_people}")).await;
    assert_eq!(hidden.problem(), (404, "not_found".to_owned()));
    // Its journey says which links it may open.
    let journey = consumer.get(&format!("/api/v1/orders/{}/journey", served.order.id)).await.json();
    for step in journey["steps"].as_array().unwrap() {
        assert_eq!(step["open"], true, "{step}");
    }
    let offer = served.sign_in("clerk9").await;
    let offer = offer.get(&format!("/api/v1/products/{}/offer", served.scenario.product(TRIP_CHECK))).await.json();
    assert_eq!(
        (&offer["permits"][0]["permit_open"], &offer["permits"][0]["mandate_open"]),
        (&json!(false), &json!(false))
    );
}

/// Anybody who may order can place an order: until the operator has signed it too, it opens nothing.
#[tokio::test]
async fn an_order_that_is_not_signed_opens_nothing_above_it() {
    let served = Served::open().await;
    let scenario = &served.scenario;
    let place = Command::PlaceOrder { details: Box::new(scenario.asked(TRIP_CHECK, &[Mode::Verification])) };
    let order: OrderId = scenario.give(scenario.clerk(Who::Second), place, "order.placed").await;
    let consumer = served.sign_in("clerk9").await;
    assert_eq!(ids(&consumer, "orders").await, [order.to_string()]);
    for list in ["permits", "mandates", "plans", "supplies"] {
        assert!(ids(&consumer, list).await.is_empty(), "{list}");
    }
    let product = consumer.get(&format!("/api/v1/products/{}", scenario.product(TRIP_CHECK))).await.json();
    assert_eq!(product["body"]["details"]["sql"], "");
    let evidence = consumer.get(&format!("/api/v1/orders/{order}/evidence")).await;
    assert_eq!(evidence.problem(), (409, "wrong_state".to_owned()));
}

/// Why an official suspended a link is told to those who may open it.
#[tokio::test]
async fn reasons_are_for_those_who_may_know_of_the_link() {
    let served = Served::open().await;
    served.scenario.suspend_mandate("涉案核查").await;
    let mandate = served.scenario.mandate().to_string();
    let refusal_of = |reply: Reply| {
        let items = reply.json()["items"].as_array().unwrap().clone();
        let of_trips = items.into_iter().find(|item| item["product"] == *served.scenario.product(TRIP_CHECK).as_str());
        of_trips.unwrap()["refusal"].as_str().unwrap().to_owned()
    };
    let told = refusal_of(served.sign_in("clerk8").await.get("/api/v1/market").await);
    assert!(told.contains("涉案核查") && told.contains(&mandate), "{told}");
    for reply in
        [served.sign_in("clerk9").await.get("/api/v1/market").await, served.stranger().get("/public/catalogue").await]
    {
        assert!(!reply.text.contains("涉案核查") && !reply.text.contains(&mandate), "{}", reply.text);
        assert_eq!(refusal_of(reply), "其所依据的授权已中止");
    }
}

#[tokio::test]
async fn the_costs_of_an_operator_are_for_those_who_fix_and_supervise_them() {
    let served = Served::open().await;
    for (login, count) in [
        ("chief0", 1),
        ("chief1", 1),
        ("chief3", 1),
        ("chief6", 1),
        ("chief7", 1),
        ("chief2", 0),
        ("clerk4", 0),
        ("clerk8", 0),
    ] {
        let client = served.sign_in(login).await;
        assert_eq!(ids(&client, "permitted-revenues").await.len(), count, "{login}");
    }
    // The price and its ceiling are on the market for everybody, and nothing of what they were made from.
    let market = served.stranger().get("/public/catalogue").await;
    assert_eq!(market.json()["items"][0]["ceiling"]["per_call"], "1");
    assert!(!market.text.contains("prv_") && !market.text.contains("permitted"), "{}", market.text);
}

#[tokio::test]
async fn a_product_that_is_not_listed_is_known_to_those_who_work_on_it() {
    let served = Served::open().await;
    let scenario = &served.scenario;
    let draft = scenario.app.read(|state| state.products[scenario.product(TRIP_CHECK)].value.details.clone());
    let draft = ProductDetails {
        name: "未公开产品".to_owned(),
        table: lingqu_domain::scope::ColumnName::new("unlisted").unwrap(),
        ..draft
    };
    let command = Command::DraftProduct { details: Box::new(draft) };
    let id: ProductId = scenario.give(scenario.clerk(Who::Operator), command, "product.drafted").await;
    let review = Command::ReviewProductOutput { product: id.clone(), findings: "未见问题".to_owned() };
    scenario.act(scenario.chief(Who::Implementer), review).await;
    let apply = Command::ApplyRegistration { object: Registrable::Product(id.clone()) };
    scenario.act(scenario.clerk(Who::Operator), apply).await;
    let rival = competitor(&served).await;
    let consumer = served.sign_in("clerk8").await;
    for client in [&rival, &consumer] {
        for address in [format!("/api/v1/products/{id}"), format!("/api/v1/products/{id}/offer")] {
            assert_eq!(client.get(&address).await.problem(), (404, "not_found".to_owned()), "{address}");
        }
        for list in ["products", "registrations"] {
            let page = client.get(&format!("/api/v1/{list}?limit=200")).await;
            assert!(!page.text.contains("未公开产品"), "{list}");
        }
    }
    for login in ["clerk3", "chief1", "clerk2", "clerk4", "chief0"] {
        let client = served.sign_in(login).await;
        assert_eq!(client.get(&format!("/api/v1/products/{id}/offer")).await.status, 200, "{login}");
    }
}

#[tokio::test]
async fn the_statement_of_a_product_is_for_those_who_work_on_it_or_ordered_it() {
    let served = Served::open().await;
    let address = format!("/api/v1/products/{}", served.scenario.product(TRIP_CHECK));
    let competitor = competitor(&served).await;
    for (client, sees) in [
        (served.sign_in("clerk8").await, true),
        (served.sign_in("clerk3").await, true),
        (served.sign_in("chief1").await, true),
        (served.sign_in("clerk9").await, false),
        (competitor, false),
    ] {
        let product = client.get(&address).await.json();
        assert_eq!(product["body"]["details"]["sql"].as_str().unwrap().is_empty(), !sees, "{product}");
    }
    // What is not shown in the product is not shown in the list either.
    let other = served.sign_in("clerk9").await;
    assert!(!other.get("/api/v1/products").await.text.contains("SELECT"));
}

#[tokio::test]
async fn counts_over_data_that_is_not_open_are_for_those_who_work_with_it() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    for (table, column) in [("trips", "note"), ("people", "name")] {
        let rules = json!({
            "name": "测试规则", "version": "1", "rules": [{
                "id": "present", "table": table, "columns": [column], "dimension": "complete", "severity": "low",
                "opens_ticket": false, "sentence": "不为空", "sentence_en": "is there", "demand": "not_null",
            }],
        });
        let path = format!("/api/v1/resources/{}/quality-reports", served.scenario.resource(table));
        let run = clerk.post(&path, &rules).await;
        assert_eq!(run.status, 201, "{}", run.text);
    }
    assert_eq!(ids(&clerk, "quality-reports").await.len(), 2);
    for (login, count) in [("chief0", 2), ("clerk1", 2), ("clerk2", 2), ("clerk3", 2), ("clerk8", 1), ("clerk9", 1)] {
        let client = served.sign_in(login).await;
        assert_eq!(ids(&client, "quality-reports").await.len(), count, "{login}");
    }
}

/// A command on what is hidden is answered, to the letter, as one on what does not exist.
#[tokio::test]
async fn a_command_tells_nothing_of_what_its_giver_may_not_see() {
    let served = Served::open().await;
    let hidden = served.order.id.to_string();
    let nothing = "ord_00000000000000000000000000000000";
    let key = "key_00000000000000000000000000000000";
    let known_key =
        served.scenario.app.read(|state| state.orders[&served.order.id].value.service_keys[0].id.to_string());
    let commands = |order: &str| {
        [
            json!({ "command": "sign_contract", "order": order, "terms_digest": "00".repeat(32) }),
            json!({ "command": "end_order", "order": order, "reason": "不再需要" }),
            json!({ "command": "revoke_service_key", "order": order, "key": key }),
            json!({ "command": "revoke_service_key", "order": order, "key": known_key }),
            json!({ "command": "suspend_order", "order": order, "reason": "检查" }),
            json!({ "command": "resume_order", "order": order, "reason": "检查" }),
            json!({ "command": "issue_service_key", "order": order, "hash": "00".repeat(32) }),
        ]
    };
    let rival = competitor(&served).await;
    for client in [served.sign_in("clerk9").await, served.sign_in("chief9").await, rival] {
        for (of_hidden, of_nothing) in commands(&hidden).into_iter().zip(commands(nothing)) {
            let told = client.post("/api/v1/commands", &of_hidden).await;
            let expected = client.post("/api/v1/commands", &of_nothing).await;
            assert_eq!(told.status, expected.status, "{of_hidden}: {}", told.text);
            assert_eq!(told.text.replace(&hidden, nothing), expected.text, "{of_hidden}");
        }
    }
    // Neither does the version that a client says it saw.
    let chief = served.sign_in("chief9").await;
    for seen in [0, 1, 2, 3, 4, 5, 6] {
        let mut told = Vec::new();
        for order in [hidden.as_str(), nothing] {
            let body = json!({ "command": "end_order", "order": order, "reason": "不再需要" });
            let request = chief.posting("/api/v1/commands", &body).header("if-match", format!("{order}={seen}"));
            let reply = Reply::of(request.header("idempotency-key", new_key())).await;
            told.push((reply.status, reply.text.replace(&hidden, nothing)));
        }
        assert_eq!(told[0], told[1], "version {seen}");
    }
    // Whoever sees the order is told why he may not.
    let operator = served.sign_in("clerk3").await;
    let known = operator.post(&format!("/api/v1/orders/{hidden}/service-keys"), &Value::Null).await;
    assert_eq!(known.problem().0, 403);
}

#[tokio::test]
async fn everybody_reads_the_history_of_what_he_may_open() {
    let served = Served::open().await;
    let consumer = served.sign_in("clerk8").await;
    let own = consumer.get("/api/v1/journal?limit=500&newest_first=true").await.json();
    let events = own["items"].as_array().unwrap().clone();
    assert!(events.iter().any(|event| event["stream"] == served.order.id.to_string()));
    for event in &events {
        assert_eq!((&event["open"], event.get("body")), (&json!(true), None), "{event}");
        assert!(!event["entity"].as_str().unwrap().is_empty() && !event["title"].as_str().unwrap().is_empty());
    }
    let other = served.sign_in("clerk9").await;
    let theirs = other.get("/api/v1/journal?limit=500").await;
    assert!(!theirs.text.contains("\"order.") && !theirs.text.contains("\"mandate."), "{}", theirs.text);
    let address = format!("/api/v1/journal?stream={}", served.order.id);
    assert_eq!(other.get(&address).await.problem(), (404, "not_found".to_owned()));
    let of_order = consumer.get(&address).await.json();
    let kinds: Vec<&str> =
        of_order["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["order.placed", "order.signed", "order.signed", "order.activated", "order.key_issued"]);
    assert!(of_order["items"][0]["party_en"].as_str().unwrap().starts_with("Party 8"));
}

#[tokio::test]
async fn the_journal_is_walked_in_both_directions_and_by_kind() {
    let served = Served::open().await;
    let authority = served.sign_in("chief0").await;
    let head = authority.get("/api/v1/node").await.json()["position"].as_u64().unwrap();
    let mut before = String::new();
    let mut expected = head;
    loop {
        let page = authority.get(&format!("/api/v1/journal?newest_first=true&limit=20{before}")).await.json();
        for event in page["items"].as_array().unwrap() {
            assert_eq!(event["position"], expected);
            assert!(event["body"].is_object());
            expected -= 1;
        }
        match page["next_before"].as_u64() {
            Some(next) => before = format!("&before={next}"),
            None => break,
        }
    }
    assert_eq!(expected, 0);
    let suspended = authority.get("/api/v1/journal?kind=mandate.suspended").await.json();
    assert!(suspended["items"].as_array().unwrap().is_empty());
    let mandates = authority.get("/api/v1/journal?kind=mandate").await.json();
    let kinds: Vec<&str> =
        mandates["items"].as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds[0], "mandate.drafted");
    assert!(kinds.iter().all(|kind| kind.starts_with("mandate.")));
    for wrong in ["before=3", "newest_first=true&after=3", "limit=501"] {
        let reply = authority.get(&format!("/api/v1/journal?{wrong}")).await;
        assert_eq!(reply.problem(), (422, "invalid".to_owned()), "{wrong}");
    }
}

#[tokio::test]
async fn every_snapshot_of_a_resource_is_listed() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let id = served.scenario.resource("trips");
    let good = std::fs::read_to_string(served.scenario.directory().join("trips.csv")).unwrap();
    // The same rows in another order: the same file would not be read twice.
    let mut lines: Vec<&str> = good.lines().collect();
    lines[1..].reverse();
    let good = lines.join("\n") + "\n";
    let upload =
        clerk.request(reqwest::Method::POST, &format!("/api/v1/resources/{id}/snapshots?format=csv")).body(good);
    assert_eq!(Reply::of(upload).await.status, 201);
    let consumer = served.sign_in("clerk9").await;
    let history = consumer.get(&format!("/api/v1/resources/{id}/snapshots")).await.json();
    let versions: Vec<u64> =
        history["items"].as_array().unwrap().iter().map(|item| item["snapshot"]["version"].as_u64().unwrap()).collect();
    assert_eq!(versions.len(), 2);
    assert!(versions[0] > versions[1], "{versions:?}");
    for item in history["items"].as_array().unwrap() {
        assert_eq!((&item["snapshot"]["rows"], &item["party_en"]), (&json!(200), &json!("Party 4")));
        assert_eq!(item["snapshot"]["digest"].as_str().unwrap().len(), 64);
    }
    let page = consumer.get(&format!("/api/v1/resources/{id}/snapshots?limit=1")).await.json();
    assert_eq!(page["next_before"], versions[0]);
    let rest = consumer.get(&format!("/api/v1/resources/{id}/snapshots?limit=1&before={}", versions[0])).await.json();
    assert_eq!((&rest["items"][0]["snapshot"]["version"], rest.get("next_before")), (&json!(versions[1]), None));
    let missing = consumer.get("/api/v1/resources/res_00000000000000000000000000000000/snapshots").await;
    assert_eq!(missing.problem().0, 404);
}

#[tokio::test]
async fn an_order_is_placed_from_the_draft_that_the_offer_holds() {
    let served = Served::open().await;
    let address = format!("/api/v1/products/{}/offer", served.scenario.product(TRIP_RECORDS));
    let clerk = served.sign_in("clerk9").await;
    let offer = clerk.get(&address).await.json();
    assert_eq!(offer["order"]["allowed"], true, "{}", offer["order"]);
    let placed = clerk.post("/api/v1/commands", &offer["order"]["form"]).await;
    assert_eq!(placed.status, 200, "{}", placed.text);
    assert_eq!(placed.json()["events"][0]["kind"], "order.placed");
    // The operator is told why it may not.
    let operator = served.sign_in("clerk3").await.get(&address).await.json();
    assert_eq!((&operator["order"]["allowed"], &operator["order"]["code"]), (&json!(false), &json!("not_permitted")));
    served.scenario.suspend_mandate("检查").await;
    assert!(clerk.get(&address).await.json().get("order").is_none(), "nothing can be ordered now");
}
