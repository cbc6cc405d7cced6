//! Consents before a consent agent: who may take them, what the journal keeps of it, and what others learn.

use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{PERSON_CHECK, Who, id_number};
use serde_json::{Value, json};

use crate::client::{Client, PASSWORD, Reply, Served, new_key};

/// Registers a party and a handler of it; gives the handler's login and the party's id.
pub async fn party(served: &Served, serial: usize, roles: &[&str], ties: &[String]) -> (String, String) {
    let authority = served.sign_in("admin").await;
    let details = json!({
        "name": format!("受理机构{serial}"), "name_en": format!("Agent {serial}"),
        "credit_code": format!("TEST46000000000{serial:03}"), "organisation": "public_institution",
        "roles": roles, "tier": "region", "division": "450000", "ties": ties,
    });
    let registered =
        authority.post("/api/v1/commands", &json!({"command": "register_party", "details": details})).await;
    assert_eq!(registered.status, 200, "{}", registered.text);
    let party = registered.json()["events"][0]["stream"].as_str().unwrap().to_owned();
    let add = async |client: &Client, login: &str, duty: &str| {
        let form =
            json!({"party": party, "duties": [duty], "login": login, "display_name": login, "password": PASSWORD});
        let added = client.post("/api/v1/users", &form).await;
        assert_eq!(added.status, 201, "{}", added.text);
    };
    let (admin, handler) = (format!("agentadmin{serial}"), format!("agent{serial}"));
    add(&authority, &admin, "administrator").await;
    add(&served.sign_in(&admin).await, &handler, "handler").await;
    (handler, party)
}

fn details(served: &Served) -> Value {
    serde_json::to_value(served.scenario.consent_details()).unwrap()
}

fn person(number: usize) -> Value {
    json!({"identity": id_number(number)})
}

async fn own(agent: &Client, number: usize) -> Vec<Value> {
    let reply = agent.post("/api/v1/consents/of-person", &person(number)).await;
    assert_eq!(reply.status, 200, "{}", reply.text);
    reply.json()["items"].as_array().unwrap().clone()
}

/// Rows of people that exist for the order now.
async fn consenting(served: &Served, order: &lingqu_tests::scenario::Ordered) -> bool {
    let serving = served.scenario.app.serving(&order.key).await.unwrap();
    let table = serving.lookup(Mode::Verification).unwrap();
    let key = [lingqu_domain::predicate::Literal::Text(id_number(0))];
    table.lookup(&key).unwrap().is_some()
}

#[tokio::test]
async fn a_person_gives_narrows_and_withdraws_before_a_consent_agent() {
    let served = Served::open().await;
    let order = served.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (100, 0)).await;
    let (login, _) = party(&served, 1, &["consent_agent"], &[]).await;
    let agent = served.sign_in(&login).await;
    assert!(!consenting(&served, &order).await);

    // Sent twice with one key it is given once.
    let form = json!({"identity": id_number(0), "details": details(&served)});
    let key = new_key();
    let mut names = Vec::new();
    for _ in 0..2 {
        let given = Reply::of(agent.posting("/api/v1/consents", &form).header("idempotency-key", &key)).await;
        assert_eq!(given.status, 201, "{}", given.text);
        names.push(given.json()["consent"].as_str().unwrap().to_owned());
    }
    assert_eq!(names[0], names[1]);
    assert!(consenting(&served, &order).await);
    let items = own(&agent, 0).await;
    assert_eq!(items.len(), 1, "{items:?}");
    assert_eq!((&items[0]["consent"], &items[0]["is_withdrawn"]), (&json!(names[0]), &json!(false)));

    // Less is left; more is refused.
    let mut limits = json!({"resources": items[0]["details"]["resources"], "term": items[0]["details"]["term"]});
    limits["fields"] = json!({served.scenario.resource("people").as_str(): ["id_number"]});
    let narrow = json!({"identity": id_number(0), "consent": names[0], "limits": limits});
    let narrowed = agent.post("/api/v1/consents/narrowings", &narrow).await;
    assert_eq!((narrowed.status, &narrowed.json()["consent"]), (200, &json!(names[0])), "{}", narrowed.text);
    assert!(!consenting(&served, &order).await, "the columns of the product are not all in it any more");
    let mut wider = narrow.clone();
    wider["limits"]["fields"] = json!({});
    assert_eq!(agent.post("/api/v1/consents/narrowings", &wider).await.problem(), (422, "scope_too_wide".to_owned()));

    // Another agent helps as well; somebody else's consent does not exist.
    let (other, _) = party(&served, 2, &["consent_agent"], &[]).await;
    let other = served.sign_in(&other).await;
    let stranger = json!({"identity": id_number(1), "consent": names[0]});
    let withdrawal = json!({"identity": id_number(0), "consent": names[0]});
    assert_eq!(other.post("/api/v1/consents/withdrawals", &stranger).await.problem(), (404, "not_found".to_owned()));
    assert_eq!(other.post("/api/v1/consents/withdrawals", &withdrawal).await.status, 204);
    assert_eq!(own(&other, 0).await[0]["is_withdrawn"], true);
    let again = other.post("/api/v1/consents/withdrawals", &withdrawal).await;
    assert_eq!(again.problem(), (409, "wrong_state".to_owned()));

    // Of many at once each is its person's alone.
    let people: Vec<String> = (0..3).map(id_number).collect();
    let batch =
        agent.post("/api/v1/consents/batches", &json!({"identities": people, "details": details(&served)})).await;
    assert_eq!(batch.status, 201, "{}", batch.text);
    let consents = batch.json()["consents"].clone();
    assert!(consenting(&served, &order).await);
    let wrong = json!({"identity": id_number(1), "consent": consents[0]});
    assert_eq!(agent.post("/api/v1/consents/withdrawals", &wrong).await.status, 404);
    let right = json!({"identity": id_number(0), "consent": consents[0]});
    assert_eq!(agent.post("/api/v1/consents/withdrawals", &right).await.status, 204);
    assert!(!consenting(&served, &order).await);
    assert_eq!(own(&agent, 1).await.len(), 1);

    // The journal names the subject by number and the user who vouched for it, and nobody's identity.
    let journal = served.sign_in("clerk0").await.get("/api/v1/journal?limit=500&newest_first=true").await;
    assert!(!journal.text.contains(&id_number(0)) && !journal.text.contains(&id_number(1)));
    let entries = journal.json()["items"].as_array().unwrap().clone();
    let actor = |kind: &str| {
        let found = entries.iter().find(|entry| entry["kind"] == kind).unwrap_or_else(|| panic!("no {kind}"));
        found["actor"].as_str().unwrap().to_owned()
    };
    for kind in ["consent.given", "consent.narrowed", "consent.withdrawn", "consent_batch.member_withdrawn"] {
        let actor = actor(kind);
        assert!(actor.starts_with("sub_") && actor.contains("/usr_"), "{kind}: {actor}");
    }
    assert!(actor("consent_batch.recorded").starts_with("usr_"));
    served.scenario.app.publish_log().await.unwrap();
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

#[tokio::test]
async fn nobody_else_takes_consents_or_learns_who_gave_one() {
    let served = Served::open().await;
    served.scenario.consent(&id_number(0)).await;
    let form = json!({"identity": id_number(0), "details": details(&served)});
    let batch = json!({"identities": [id_number(0)], "details": details(&served)});
    let refused = (403, "not_permitted".to_owned());
    // The data authority, an implementer, an operator, a provider, the consumer himself.
    for login in ["clerk0", "clerk1", "clerk3", "clerk4", "clerk8", "chief8"] {
        let client = served.sign_in(login).await;
        let mut said = Vec::new();
        for number in [0, 5] {
            assert_eq!(client.post("/api/v1/consents", &form).await.problem(), refused, "{login}");
            assert_eq!(client.post("/api/v1/consents/batches", &batch).await.problem(), refused, "{login}");
            let listed = client.post("/api/v1/consents/of-person", &person(number)).await;
            assert_eq!(listed.problem(), refused, "{login}");
            let withdrawal = json!({"identity": id_number(number), "consent": format!("cst_{}", "0".repeat(32))});
            let withdrawn = client.post("/api/v1/consents/withdrawals", &withdrawal).await;
            assert_eq!(withdrawn.problem(), refused, "{login}");
            said.push((listed.json()["detail"].clone(), withdrawn.json()["detail"].clone()));
        }
        assert_eq!(said[0], said[1], "who consented and who did not read the same");
        // Nor as a plain command.
        let command = json!({"command": "give_consent", "details": details(&served)});
        assert_eq!(client.post("/api/v1/commands", &command).await.problem(), refused, "{login}");
    }
    let nobody = served.stranger().post("/api/v1/consents", &form).await;
    assert_eq!(nobody.status, 401);
}

#[tokio::test]
async fn an_agent_has_no_interest_of_its_own() {
    let served = Served::open().await;
    let consumer = served.scenario.party(Who::First).to_string();
    let form = json!({"identity": id_number(0), "details": details(&served)});
    let batch = json!({"identities": [id_number(0)], "details": details(&served)});
    let (login, _) = party(&served, 3, &["consent_agent"], &[consumer]).await;
    let tied = served.sign_in(&login).await;
    for (path, body) in [("/api/v1/consents", &form), ("/api/v1/consents/batches", &batch)] {
        let reply = tied.post(path, body).await;
        assert_eq!(reply.problem(), (403, "not_permitted".to_owned()), "{}", reply.text);
        assert!(reply.text.contains("tied"), "{}", reply.text);
    }
    let authority = served.sign_in("admin").await;
    for role in ["consumer", "operator"] {
        let details = json!({
            "name": "两面", "name_en": "Both", "credit_code": "TEST46000000000999", "organisation": "enterprise",
            "roles": ["consent_agent", role], "tier": "region", "division": "450000", "ties": [],
        });
        let reply = authority.post("/api/v1/commands", &json!({"command": "register_party", "details": details})).await;
        assert_eq!(reply.problem().1, "roles_not_distinct", "{}", reply.text);
    }
    // What is no identity, and a draft of somebody's catalogue.
    let (login, _) = party(&served, 4, &["consent_agent"], &[]).await;
    let agent = served.sign_in(&login).await;
    for identity in ["", "   ", &"9".repeat(257)] {
        let form = json!({"identity": identity, "details": details(&served)});
        assert_eq!(agent.post("/api/v1/consents", &form).await.status, 422, "{identity}");
    }
    let twice = json!({"identities": [id_number(0), format!(" {} ", id_number(0))], "details": details(&served)});
    assert_eq!(agent.post("/api/v1/consents/batches", &twice).await.status, 422);
}
