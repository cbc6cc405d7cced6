//! Giving commands, and the choices that are offered.

use lingqu_crypto::ServiceKey;
use lingqu_domain::command::Command;
use lingqu_domain::product::{ProductDetails, ProductShape};
use lingqu_domain::scope::ColumnName;
use lingqu_tests::scenario::{TRIP_CHECK, Who};
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{Client, Reply, Served, new_key};

/// The scenario's mandate, as a client sees it.
async fn mandate(client: &Client) -> Value {
    let page = client.get("/api/v1/mandates").await.json();
    assert_eq!(page["items"].as_array().unwrap().len(), 1);
    page["items"][0].clone()
}

fn choice<'a>(entry: &'a Value, command: &str) -> &'a Value {
    let choices = entry["commands"].as_array().unwrap();
    choices.iter().find(|choice| choice["command"] == command).unwrap_or_else(|| panic!("{command} is not offered"))
}

#[tokio::test]
async fn a_mandate_is_suspended_and_resumed_as_offered() {
    let served = Served::open().await;
    // The chief of the implementer may; its clerk may not, and neither may the consumer.
    let chief = served.sign_in("chief1").await;
    let clerk = served.sign_in("clerk1").await;
    let before = mandate(&chief).await;
    assert_eq!(before["state"], "in_force");
    assert_eq!(choice(&before, "suspend_mandate")["allowed"], true);
    assert_eq!(choice(&before, "resume_mandate")["allowed"], false);
    assert_eq!(choice(&before, "resume_mandate")["code"], "wrong_state");
    let seen_by_clerk = mandate(&clerk).await;
    assert_eq!(choice(&seen_by_clerk, "suspend_mandate")["allowed"], false);
    assert_eq!(choice(&seen_by_clerk, "suspend_mandate")["code"], "not_permitted");

    let mut body = choice(&before, "suspend_mandate")["form"].clone();
    body["reason"] = json!("专项检查");
    assert_eq!(clerk.post("/api/v1/commands", &body).await.problem(), (403, "not_permitted".to_owned()));
    let seen = format!("{}={}", before["id"].as_str().unwrap(), before["stream_version"]);
    let request = chief.posting("/api/v1/commands", &body).header("if-match", &seen);
    let given = Reply::of(request.header("idempotency-key", new_key())).await;
    assert_eq!(given.status, 200, "{}", given.text);
    assert_eq!(given.json()["events"][0]["kind"], "mandate.suspended");

    // The version that was seen has moved.
    let request = chief.posting("/api/v1/commands", &body).header("if-match", &seen);
    let late = Reply::of(request.header("idempotency-key", new_key())).await;
    assert_eq!(late.problem(), (409, "conflict".to_owned()));

    // The consumer's order says which link is not in force, and whose step is due.
    let consumer = served.sign_in("clerk8").await;
    let journey = consumer.get(&format!("/api/v1/orders/{}/journey", served.order.id)).await.json();
    assert_eq!(journey["granted"], false);
    assert_eq!(journey["refused_link"], before["id"]);
    let inbox = chief.get("/api/v1/inbox").await.json();
    let due = inbox["items"].as_array().unwrap().iter().find(|item| item["id"] == before["id"]).unwrap();
    assert_eq!(due["state"], "suspended");

    let after = mandate(&chief).await;
    let mut body = choice(&after, "resume_mandate")["form"].clone();
    body["reason"] = json!("已整改");
    assert_eq!(chief.post("/api/v1/commands", &body).await.status, 200);
    let journey = consumer.get(&format!("/api/v1/orders/{}/journey", served.order.id)).await.json();
    assert_eq!(journey["granted"], true);
}

#[tokio::test]
async fn an_idempotency_key_is_needed_and_holds() {
    let served = Served::open().await;
    let chief = served.sign_in("chief1").await;
    let mandate = mandate(&chief).await["id"].clone();
    let body = json!({ "command": "suspend_mandate", "mandate": mandate, "reason": "一" });
    let without = Reply::of(chief.posting("/api/v1/commands", &body)).await;
    assert_eq!(without.problem(), (422, "invalid".to_owned()));
    let key = new_key();
    let first = Reply::of(chief.posting("/api/v1/commands", &body).header("idempotency-key", &key)).await.json();
    let again = Reply::of(chief.posting("/api/v1/commands", &body).header("idempotency-key", &key)).await.json();
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    assert_eq!(first["command_id"], again["command_id"]);
    let other = json!({ "command": "resume_mandate", "mandate": mandate, "reason": "一" });
    let reused = Reply::of(chief.posting("/api/v1/commands", &other).header("idempotency-key", &key)).await;
    assert_eq!(reused.problem(), (422, "idempotency_key_reused".to_owned()));
}

/// A draft's shape is found out under its permits: whoever sends it again is answered without.
#[tokio::test]
async fn a_draft_that_is_sent_again_is_answered_although_its_permit_was_suspended() {
    let served = Served::open().await;
    let scenario = &served.scenario;
    let before = scenario.app.read(|state| state.products[scenario.product(TRIP_CHECK)].value.details.clone());
    let permit = before.inputs.values().next().unwrap().clone();
    let table = ColumnName::new("sent_again").unwrap();
    let details = ProductDetails { table, shape: ProductShape::default(), ..before };
    let body = json!({ "command": "draft_product", "details": details });
    let (clerk, key) = (served.sign_in("clerk3").await, new_key());
    let draft = || clerk.posting("/api/v1/commands", &body).header("idempotency-key", &key);
    let first = Reply::of(draft()).await;
    assert_eq!(first.status, 200, "{}", first.text);
    let suspend = Command::SuspendPermit { permit, reason: "核查".to_owned() };
    scenario.act(scenario.chief(Who::Implementer), suspend).await;
    let again = Reply::of(draft()).await;
    assert_eq!(again.status, 200, "{}", again.text);
    let (first, again) = (first.json(), again.json());
    assert_eq!((&first["repeated"], &again["repeated"]), (&json!(false), &json!(true)));
    assert_eq!(first["command_id"], again["command_id"]);
    let late = Reply::of(clerk.posting("/api/v1/commands", &body).header("idempotency-key", new_key())).await;
    assert_eq!(late.problem(), (403, "grant_suspended".to_owned()));
}

#[tokio::test]
async fn what_the_node_establishes_is_not_taken_from_a_client() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk8").await;
    let issue =
        json!({ "command": "issue_service_key", "order": served.order.id.to_string(), "hash": "00".repeat(32) });
    assert_eq!(clerk.post("/api/v1/commands", &issue).await.problem(), (403, "not_permitted".to_owned()));
    let unknown = json!({ "command": "make_it_so" });
    assert_eq!(clerk.post("/api/v1/commands", &unknown).await.problem(), (422, "invalid".to_owned()));
}

#[tokio::test]
async fn a_service_key_is_issued_to_the_consumer_and_shown_once() {
    let served = Served::open().await;
    let path = format!("/api/v1/orders/{}/service-keys", served.order.id);
    let clerk = served.sign_in("clerk8").await;
    let issued = clerk.post(&path, &Value::Null).await;
    assert_eq!(issued.status, 201, "{}", issued.text);
    let key = issued.json()["key"].as_str().unwrap().to_owned();
    assert!(key.ends_with(issued.json()["last_four"].as_str().unwrap()));
    assert_eq!(served.scenario.app.serving(&key).await.unwrap().grant.order, served.order.id);
    let order = clerk.get(&format!("/api/v1/orders/{}", served.order.id)).await;
    assert_eq!(order.json()["body"]["service_keys"].as_array().unwrap().len(), 2);
    assert!(!order.text.contains(&key));
    // Another consumer does not even learn that the order exists; the operator knows of it and may not.
    let other = served.sign_in("clerk9").await;
    assert_eq!(other.post(&path, &Value::Null).await.problem(), (404, "not_found".to_owned()));
    let operator = served.sign_in("clerk3").await;
    assert_eq!(operator.post(&path, &Value::Null).await.problem().0, 403);
}

/// By the id that is shown with a key it is revoked, and not another one.
#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_issued_at_once_have_their_own_ids() {
    let served = Served::open().await;
    let app = &served.scenario.app;
    let clerk = served.scenario.clerk(Who::First);
    let issuing = (0..8).map(|_| app.issue_service_key(clerk, &served.order.id, Default::default()));
    for issued in futures::future::join_all(issuing).await {
        let issued = issued.unwrap();
        let hash = ServiceKey::parse(&issued.key).unwrap().hash().to_string();
        let recorded = app.read(|state| state.orders[&served.order.id].value.service_keys.clone());
        let recorded = recorded.into_iter().find(|recorded| recorded.id == issued.id).unwrap();
        assert_eq!(recorded.hash, hash);
    }
}

#[tokio::test]
async fn users_are_added_by_administrators_with_a_login() {
    let served = Served::open().await;
    let admin = served.sign_in("admin").await;
    let party = admin.get("/api/v1/session").await.json()["party"].clone();
    let mut form = json!({ "party": party, "duties": ["handler"], "login": "new.user", "display_name": "新用户", "password": "short" });
    assert_eq!(admin.post("/api/v1/users", &form).await.problem(), (422, "invalid".to_owned()));
    form["password"] = json!("scenario-password-1");
    let clerk = served.sign_in("clerk1").await;
    let refused = clerk.post("/api/v1/users", &form).await;
    assert_eq!(refused.problem(), (403, "not_permitted".to_owned()));
    // Nor is he told that a login is taken, or that it could not be one.
    for login in ["clerk2", "No Login"] {
        form["login"] = json!(login);
        assert_eq!(clerk.post("/api/v1/users", &form).await.text, refused.text, "{login}");
    }
    form["login"] = json!("new.user");
    let added = admin.post("/api/v1/users", &form).await;
    assert_eq!(added.status, 201, "{}", added.text);
    served.sign_in("new.user").await;
    // Another party's users are added by its own administrator, and no command makes one without a login.
    form["login"] = json!("stranger");
    form["party"] = json!(served.scenario.party(Who::Operator));
    for duty in ["handler", "approver", "administrator"] {
        form["duties"] = json!([duty]);
        let refused = admin.post("/api/v1/users", &form).await;
        assert_eq!(refused.problem(), (403, "not_permitted".to_owned()), "{duty}");
    }
    let command = json!({ "command": "add_user", "party": form["party"], "duties": ["administrator"] });
    assert_eq!(admin.post("/api/v1/commands", &command).await.problem(), (403, "not_permitted".to_owned()));
    form["duties"] = json!(["handler"]);
    let own = served.sign_in("admin3").await;
    assert_eq!(own.post("/api/v1/users", &form).await.status, 201);
    // The journal knows the user's id and nothing of his name.
    let journal = admin.get("/api/v1/journal?limit=500").await;
    assert!(journal.text.contains(added.json()["user"].as_str().unwrap()));
    assert!(!journal.text.contains("新用户") && !journal.text.contains("new.user"));
}

#[tokio::test]
async fn a_snapshot_is_uploaded_and_a_bad_file_is_refused_with_its_line() {
    let served = Served::open().await;
    let clerk = served.sign_in("clerk4").await;
    let page = clerk.get("/api/v1/resources").await.json();
    let trips =
        page["items"].as_array().unwrap().iter().find(|entry| entry["body"]["details"]["table"] == "trips").unwrap();
    let path = format!("/api/v1/resources/{}/snapshots?format=csv", trips["id"].as_str().unwrap());
    let good = std::fs::read(served.scenario.directory().join("trips.csv")).unwrap();
    let mut bad = good.clone();
    bad.extend_from_slice(b"not,a,trip\n");
    let refused = Reply::of(clerk.request(Method::POST, &path).body(bad)).await;
    assert_eq!(refused.problem(), (422, "bad_source_file".to_owned()));
    assert!(refused.text.contains("line"), "{}", refused.text);
    let taken = Reply::of(clerk.request(Method::POST, &path).body(good)).await;
    assert_eq!(taken.status, 201, "{}", taken.text);
    assert_eq!(taken.json()["rows"], 200);
    let uploads = served.scenario.app.directory().join("ingestions");
    // What was rejected is told there; the files themselves are gone.
    for job in std::fs::read_dir(uploads).unwrap() {
        for file in std::fs::read_dir(job.unwrap().path()).unwrap() {
            assert_eq!(file.unwrap().file_name(), "rejects.ndjson", "no upload stays behind");
        }
    }
    let stranger = served.sign_in("clerk8").await;
    assert_eq!(Reply::of(stranger.request(Method::POST, &path).body("x")).await.problem().0, 403);
}

#[tokio::test]
async fn a_rulebook_is_proposed_seen_and_adopted_by_another() {
    let served = Served::open().await;
    let (clerk, chief) = (served.sign_in("clerk0").await, served.sign_in("chief0").await);
    let mut rulebook = served.scenario.app.read(|state| json!(state.rulebook().into_owned()));
    rulebook["version"] = json!("2027-01");
    rulebook["cohort_floor"] = json!(7);
    let propose = json!({ "command": "propose_rulebook", "rulebook": rulebook });
    assert_eq!(clerk.post("/api/v1/commands", &propose).await.status, 200);
    let shown = chief.get("/api/v1/node").await.json()["rulebook_proposal"]["rulebook"].clone();
    assert_eq!(shown, rulebook);
    let adopt = json!({ "command": "adopt_rulebook", "rulebook": shown });
    assert_eq!(clerk.post("/api/v1/commands", &adopt).await.problem(), (403, "not_permitted".to_owned()));
    assert_eq!(chief.post("/api/v1/commands", &adopt).await.status, 200);
    let node = chief.get("/api/v1/node").await.json();
    assert_eq!((&node["rulebook_version"], &node["rulebook_proposal"]), (&json!("2027-01"), &Value::Null));
}
