//! A privacy budget, set as the console offers it, and shown with the order.

use serde_json::{Value, json};

use crate::client::Served;

#[tokio::test]
async fn a_budget_is_set_as_offered_and_shown_with_the_order() {
    let served = Served::open().await;
    let address = format!("/api/v1/orders/{}/privacy", served.order.id);
    let consumer = served.sign_in("clerk8").await;
    assert_eq!(consumer.get(&address).await.json()["accounts"], json!([]));

    let officer = served.sign_in("chief4").await;
    let resource = served.scenario.resource("trips").to_string();
    let supplies = officer.get("/api/v1/supplies").await.json();
    let mut supply = None;
    for item in supplies["items"].as_array().unwrap() {
        let whole = officer.get(&format!("/api/v1/supplies/{}", item["id"].as_str().unwrap())).await.json();
        if whole["body"]["resource"] == json!(resource) {
            supply = Some(whole);
        }
    }
    let supply = supply.expect("trips are supplied");
    let offered = choice(&supply);
    assert_eq!((&offered["allowed"], &offered["inputs"][0]["name"]), (&json!(true), &json!("rho")));
    let mut body = offered["form"].clone();
    (body["rho"], body["reason"]) = (json!("0.75"), json!("控制累计披露"));
    let given = officer.post("/api/v1/commands", &body).await;
    assert_eq!(
        (given.status, &given.json()["events"][0]["kind"]),
        (200, &json!("supply.budget_set")),
        "{}",
        given.text
    );
    // The button begins from what stands.
    let again = officer.get(&format!("/api/v1/supplies/{}", supply["id"].as_str().unwrap())).await.json();
    assert_eq!(choice(&again)["inputs"][0]["value"], "0.75");

    let told = consumer.get(&address).await.json();
    let account = &told["accounts"][0];
    assert_eq!((&account["link"], &account["resource"]), (&supply["id"], &json!(resource)));
    assert_eq!(
        (&account["budget"], &account["spent"], &account["left"]),
        (&json!("0.75"), &json!("0"), &json!("0.75"))
    );
    assert!(account["epsilon_budget"].as_f64().is_some_and(|epsilon| (5.0..8.0).contains(&epsilon)), "{account}");
    // The product has no noise to pay for.
    assert!(told.get("rho_per_answer").is_none() && told.get("answers_left").is_none(), "{told}");
    for wrong in ["0", "-1", "1e3", "1001", "viel"] {
        body["rho"] = json!(wrong);
        assert_eq!(officer.post("/api/v1/commands", &body).await.status, 422, "{wrong}");
    }
    let stranger = served.sign_in("chief9").await;
    assert_eq!(stranger.get(&address).await.problem(), (404, "not_found".to_owned()));
}

fn choice(entity: &Value) -> Value {
    let commands = entity["commands"].as_array().unwrap_or_else(|| panic!("{entity}"));
    let offered = commands.iter().find(|choice| choice["command"] == "set_privacy_budget");
    offered.unwrap_or_else(|| panic!("it is not offered: {entity}")).clone()
}
