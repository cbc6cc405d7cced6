//! What needs no login: catalogue, certificates, the log, the console's pages; and the headers of all.

use serde_json::{Value, json};

use crate::client::Served;
use crate::receipts::verify;

#[tokio::test]
async fn the_catalogue_and_certificates_are_public() {
    let served = Served::open().await;
    let stranger = served.stranger();
    let catalogue = stranger.get("/public/catalogue").await;
    assert_eq!(catalogue.status, 200);
    let items = catalogue.json()["items"].as_array().unwrap().clone();
    assert_eq!(items.len(), 4);
    for item in &items {
        assert!(["REAL", "SYNTHETIC"].contains(&item["nature"].as_str().unwrap()));
        assert!(item["refusal"].is_null(), "{item}");
        assert!(!item["modes"].as_array().unwrap().is_empty());
    }
    let signed_in = served.sign_in("clerk8").await;
    assert_eq!(signed_in.get("/api/v1/market").await.json()["items"].as_array().unwrap(), &items);

    let resources = signed_in.get("/api/v1/resources").await.json();
    let code = resources["items"][0]["body"]["certificate"]["code"].as_str().unwrap().to_owned();
    let page = stranger.get(&format!("/public/certificates/{code}")).await;
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(page.text.contains("登记凭证") && page.text.contains("<svg") && page.text.contains(&code));
    assert!(!page.text.contains("<script"));
    let json = stranger.get(&format!("/public/certificates/{code}/certificate.json")).await.json();
    assert_eq!(json["valid"], true);
    assert!(json["note"].as_str().unwrap().contains(&code));
    let unknown = stranger.get("/public/certificates/%3Cscript%3E").await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.text.contains("<script>"));
}

#[tokio::test]
async fn an_offer_shows_precision_and_lineage() {
    let served = Served::open().await;
    let client = served.sign_in("clerk8").await;
    let product = served.scenario.product(lingqu_tests::scenario::TRIP_RECORDS);
    let offer = client.get(&format!("/api/v1/products/{product}/offer")).await.json();
    let vehicle = offer["columns"].as_array().unwrap().iter().find(|column| column["name"] == "vehicle").unwrap();
    assert_eq!(vehicle["precisions"]["rows"], "pseudonym:consumer");
    assert_eq!(vehicle["lineage"][0]["column"], "vehicle");
    assert!(!offer["permits"].as_array().unwrap().is_empty());
    served.scenario.suspend_mandate("检查").await;
    let offer = client.get(&format!("/api/v1/products/{product}/offer")).await.json();
    assert!(offer["item"]["refusal"].as_str().unwrap().contains("检查"));
}

#[tokio::test]
async fn the_log_is_served_as_tiles() {
    let served = Served::open().await;
    let stranger = served.stranger();
    let clerk = served.sign_in("clerk8").await;
    let lag = async || clerk.get("/api/v1/node").await.json()["log_lag"].clone();
    assert_eq!(stranger.get("/log/checkpoint").await.status, 404);
    // All that the scenario recorded is in entries that nobody can see yet.
    let is_behind = |lag: &Value, part: &str| lag[part].as_u64().unwrap() > 0;
    let behind = lag().await;
    assert!(is_behind(&behind, "entries_unpublished") && is_behind(&behind, "behind_ms"), "{behind}");
    let published = served.scenario.app.publish_log().await.unwrap();
    let checkpoint = stranger.get("/log/checkpoint").await;
    assert_eq!((checkpoint.status, checkpoint.text.as_str()), (200, published.note.as_str()));
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    assert_eq!(checkpoint.header("content-type"), Some("text/plain; charset=utf-8"));
    let tile = served.stranger().get(&format!("/log/tile/0/000.p/{}", published.size)).await;
    assert_eq!(tile.status, 200);
    assert!(tile.header("cache-control").unwrap().contains("immutable"));
    // The twin in the same form, with the bundles that both share.
    let twin = published.twin.clone().unwrap();
    let checkpoint = stranger.get("/log/sm3/checkpoint").await;
    assert_eq!((checkpoint.status, checkpoint.text.as_str()), (200, twin.note.as_str()));
    assert_eq!(checkpoint.header("cache-control"), Some("no-cache"));
    let twin_tile = stranger.get(&format!("/log/sm3/tile/0/000.p/{}", twin.size)).await;
    assert_eq!(twin_tile.status, 200);
    assert!(twin_tile.header("cache-control").unwrap().contains("immutable"));
    assert_ne!(twin_tile.text, tile.text);
    let bundle = stranger.get(&format!("/log/tile/entries/000.p/{}", published.size)).await;
    assert_eq!(bundle.header("content-type"), Some("application/octet-stream"));
    assert_eq!(stranger.get(&format!("/log/sm3/tile/entries/000.p/{}", twin.size)).await.text, bundle.text);
    for path in [
        "/log/tile/0/999",
        "/log/..%2Fnode.db",
        "/log/keys",
        "/log/tile/0/..%2F..%2Fcheckpoint",
        "/log/sm3",
        "/log/sm3/lock",
        "/log/sm3/sm3/checkpoint",
        "/log/sm3/..%2F..%2Fnode.db",
    ] {
        assert_eq!(stranger.get(path).await.status, 404, "{path}");
    }
    let node = clerk.get("/api/v1/node").await.json();
    assert_eq!(node["checkpoint"]["size"], published.size);
    assert_eq!(node["checkpoint"]["twin"]["vkey"], twin.vkey);
    assert!(twin.vkey.starts_with(&format!("{}/sm3+", published.origin)));
    let nothing = json!({ "receipts_uncommitted": 0, "entries_unpublished": 0, "behind_ms": 0 });
    assert_eq!(node["log_lag"], nothing);
    // What is delivered and recorded from then on is told until it is published.
    verify(&served, &served.order, &[1]).await;
    served.scenario.suspend_mandate("检查").await;
    let behind = lag().await;
    assert!(is_behind(&behind, "receipts_uncommitted") && is_behind(&behind, "entries_unpublished"), "{behind}");
    served.scenario.app.publish_log().await.unwrap();
    assert_eq!(lag().await, nothing);
}

#[tokio::test]
async fn every_answer_carries_the_headers_and_pages_find_their_way() {
    let served = Served::open().await;
    let stranger = served.stranger();
    for path in
        ["/", "/orders/ord_x", "/api/v1/session", "/public/catalogue", "/api/v1/nothing", "/api/v1/openapi.json"]
    {
        let reply = stranger.get(path).await;
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert!(reply.header("content-security-policy").unwrap().contains("frame-ancestors 'none'"), "{path}");
    }
    assert!(stranger.get("/orders/ord_x").await.text.contains("灵渠"));
    assert_eq!(stranger.get("/assets/nothing.js").await.status, 404);
    assert_eq!(stranger.get("/data/v1/nothing").await.problem().0, 404);
    assert_eq!(stranger.get("/api/v1/openapi.json").await.json()["openapi"], "3.1.0");
}
