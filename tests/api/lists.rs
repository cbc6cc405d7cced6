//! Lists, paging, and who sees what.

use serde_json::Value;

use crate::client::Served;

const LISTS: [&str; 18] = [
    "parties",
    "users",
    "resources",
    "quality-reports",
    "tickets",
    "registrations",
    "rights",
    "supplies",
    "plans",
    "mandates",
    "permits",
    "products",
    "permitted-revenues",
    "orders",
    "meters",
    "settlements",
    "traces",
    "erasures",
];

#[tokio::test]
async fn every_list_needs_a_session_and_pages() {
    let served = Served::open().await;
    let stranger = served.stranger();
    let authority = served.sign_in("chief0").await;
    for list in LISTS {
        let path = format!("/api/v1/{list}");
        assert_eq!(stranger.get(&path).await.problem(), (401, "not_signed_in".to_owned()), "{list}");
        let page = authority.get(&path).await;
        assert_eq!(page.status, 200, "{list}: {}", page.text);
        for entry in page.json()["items"].as_array().unwrap() {
            let one = authority.get(&format!("{path}/{}", entry["id"].as_str().unwrap())).await;
            assert_eq!(one.status, 200);
            assert_eq!(one.json()["body"], entry["body"]);
        }
        for bad in ["limit=0", "limit=201", "limit=x", "cursor=nonsense", "colour=red"] {
            let reply = authority.get(&format!("{path}?{bad}")).await;
            assert_eq!(reply.problem(), (422, "invalid".to_owned()), "{list}?{bad}");
        }
        let missing = authority.get(&format!("{path}/nonsense")).await;
        assert_eq!(missing.problem(), (404, "not_found".to_owned()));
    }
}

#[tokio::test]
async fn pages_join_without_gap_or_repetition_newest_first() {
    let served = Served::open().await;
    let client = served.sign_in("chief0").await;
    let ids = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
    };
    let whole = ids(&client.get("/api/v1/parties?limit=200").await.json());
    assert_eq!(whole.len(), 11);
    assert!(whole.is_sorted_by(|newer, older| newer > older));
    let mut joined = Vec::new();
    let mut cursor = String::new();
    for _ in 0..10 {
        let page = client.get(&format!("/api/v1/parties?limit=3{cursor}")).await.json();
        joined.extend(ids(&page));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(joined, whole);
    // A cursor past the end finds nothing, and a state that is not there neither.
    let past = client.get(&format!("/api/v1/parties?cursor={}", whole.last().unwrap())).await.json();
    assert!(ids(&past).is_empty() && past["next_cursor"].is_null());
    assert!(ids(&client.get("/api/v1/mandates?state=revoked").await.json()).is_empty());
    assert_eq!(ids(&client.get("/api/v1/mandates?state=in_force").await.json()).len(), 1);
}

#[tokio::test]
async fn an_order_is_secret_to_other_consumers() {
    let served = Served::open().await;
    let id = served.order.id.to_string();
    let addresses = [
        format!("/api/v1/orders/{id}"),
        format!("/api/v1/orders/{id}/journey"),
        format!("/api/v1/orders/{id}/receipts"),
        format!("/api/v1/orders/{id}/privacy"),
        format!("/api/v1/orders/{id}/evidence"),
    ];
    // Its consumer, its operator, its implementer, the provider of its data, the treasury and the data authority see it.
    for login in ["clerk8", "chief3", "chief1", "clerk4", "clerk7", "chief0"] {
        let client = served.sign_in(login).await;
        for address in addresses.iter().take(4) {
            assert_eq!(client.get(address).await.status, 200, "{login} {address}");
        }
    }
    let other = served.sign_in("chief9").await;
    for address in &addresses {
        assert_eq!(other.get(address).await.problem(), (404, "not_found".to_owned()), "{address}");
    }
    assert!(other.get("/api/v1/orders").await.json()["items"].as_array().unwrap().is_empty());
    // The registrar has no business with it.
    let registrar = served.sign_in("clerk2").await;
    assert_eq!(registrar.get(&addresses[0]).await.status, 404);
}

#[tokio::test]
async fn users_are_seen_by_their_own_party_and_oversight() {
    let served = Served::open().await;
    let consumer = served.sign_in("clerk8").await;
    let own = consumer.get("/api/v1/users").await.json();
    assert_eq!(own["items"].as_array().unwrap().len(), 3);
    let authority = served.sign_in("chief0").await;
    let all = authority.get("/api/v1/users?limit=200").await.json();
    assert_eq!(all["items"].as_array().unwrap().len(), 33);
    let stranger =
        all["items"].as_array().unwrap().iter().find(|user| user["owner"] != own["items"][0]["owner"]).unwrap();
    let address = format!("/api/v1/users/{}", stranger["id"].as_str().unwrap());
    assert_eq!(consumer.get(&address).await.status, 404);
}

#[tokio::test]
async fn the_journal_has_no_gaps() {
    let served = Served::open().await;
    assert_eq!(served.stranger().get("/api/v1/journal").await.problem(), (401, "not_signed_in".to_owned()));
    let authority = served.sign_in("chief0").await;
    let mut after = 0;
    let mut seen = 0;
    loop {
        let page = authority.get(&format!("/api/v1/journal?after={after}&limit=20")).await.json();
        for event in page["items"].as_array().unwrap() {
            seen += 1;
            assert_eq!(event["position"], seen);
        }
        match page["next_after"].as_u64() {
            Some(next) => after = next,
            None => break,
        }
    }
    let position = authority.get("/api/v1/node").await.json()["position"].as_u64().unwrap();
    assert_eq!(seen, position);
}

#[tokio::test]
async fn consents_are_counted_and_never_listed() {
    let served = Served::open().await;
    served.scenario.consent(&lingqu_tests::scenario::id_number(1)).await;
    let first = served.sign_in("clerk8").await;
    assert_eq!(first.get("/api/v1/consents/counts").await.json()["in_force"], 1);
    let second = served.sign_in("clerk9").await;
    assert_eq!(second.get("/api/v1/consents/counts").await.json()["given"], 0);
    // Only consent agents take them there, by POST.
    assert_eq!(first.get("/api/v1/consents").await.status, 405);
}

#[tokio::test]
async fn the_ledger_of_nothing_balances() {
    let served = Served::open().await;
    let treasury = served.sign_in("clerk7").await;
    let ledger = treasury.get("/api/v1/ledger").await.json();
    assert_eq!(ledger["trial_balance"]["balanced"], true);
    assert_eq!(ledger["trial_balance"]["debits_yuan"], "0.00");
    let missing = treasury.get("/api/v1/ledger?settlement=stl_00000000000000000000000000000000").await;
    assert_eq!(missing.problem(), (404, "not_found".to_owned()));
}
