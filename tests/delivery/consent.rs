//! Verification with consent: none without it, and no way to learn who is in the register.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use lingqu_app::ConsentRef;
use lingqu_domain::consent::ConsentLimits;
use lingqu_domain::receipt::{ReceiptBody, Totals};
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::scope::{ColumnName, Mode, Term};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, PERSON_CHECK, Scenario, Who, id_number};
use serde_json::{Value, json};

use crate::served::{Reply, Served};

fn claim(identity: &str) -> Value {
    json!({"key": {"id_number": identity}, "claim": {"qualified": true}})
}

/// All of an answer that could tell one asked-for row from another: everything but the receipt's name, its salt and the time.
#[derive(Debug, PartialEq)]
struct Observed {
    status: u16,
    headers: BTreeMap<String, String>,
    answer: Value,
    /// By how much the answer lessened what `RateLimit` tells.
    used: u64,
    /// Records that it left, and the totals of the last of them.
    records: usize,
    totals: Totals,
}

async fn observed(served: &Served, order: &Ordered, claim: Value) -> Observed {
    let left = |reply: &Reply| {
        let told = reply.header("ratelimit").unwrap().split(", ").find(|part| part.starts_with("\"calls\"")).unwrap();
        told.split_once(";r=").unwrap().1.parse::<u64>().unwrap()
    };
    // A claim that is malformed costs nothing, and says what is left.
    let before = left(&served.post(order, "/verify", json!({"claims": []})).await);
    let head = served.receipt_head().await;
    let reply = served.post(order, "/verify", claim).await.ok();
    let receipt = reply.header("delivery-receipt").unwrap().to_owned();
    let records = served.records(&receipt).await;
    assert_eq!(served.receipt_head().await, head + records.len() as u64);
    let ReceiptBody::Single { totals, .. } = records.last().unwrap().body.clone() else { panic!("{records:?}") };
    // A salted digest, with the receipt's name in what it is of.
    let totals = Totals { answer: None, ..totals };
    let mut answer = reply.json();
    assert_eq!(answer.as_object_mut().unwrap().remove("receipt"), Some(json!(receipt)));
    let varying = ["answer-salt", "delivery-receipt", "date", "ratelimit"];
    let headers = reply.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let headers = headers.filter(|(name, _)| !varying.contains(&name.as_str())).collect();
    Observed { status: reply.status, headers, answer, used: before - left(&reply), records: records.len(), totals }
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_asked_before_every_answer() {
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (20, 0)).await;
    let document = served.get(&order, "/openapi.json").await.ok().json();
    assert_eq!(document["info"]["x-consent-required"], true);
    // What is left of a quota is told once something of it was used.
    served.post(&order, "/verify", claim("nobody at all")).await.ok();
    // Who has not consented is as who is not there: in what is answered, counted, charged and recorded.
    let known = observed(&served, &order, claim(&id_number(0))).await;
    let unknown = observed(&served, &order, claim("nobody")).await;
    assert_eq!(known.answer["result"], "not_found");
    assert_eq!(known, unknown);

    let given = served.scenario.consent(&id_number(0)).await;
    served.scenario.consent(&id_number(1)).await;
    let reply = served.post(&order, "/verify", claim(&id_number(0))).await.ok();
    assert_eq!((&reply.json()["result"], reply.header("data-nature")), (&json!("match"), Some("SYNTHETIC")));
    assert_eq!(served.post(&order, "/verify", claim(&id_number(1))).await.ok().json()["result"], "mismatch");

    // In a batch they are told apart from the rest, and not from each other.
    let people = [id_number(0), id_number(2), id_number(1), "nobody".to_owned()];
    let claims: Vec<Value> = people.iter().map(|identity| claim(identity)).collect();
    let batch = served.post(&order, "/verify", json!({"claims": claims})).await.ok();
    assert_eq!(batch.json()["results"], json!(["match", "not_found", "mismatch", "not_found"]));
    let records = served.records(batch.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { totals, opening, .. } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((totals.calls, totals.rows, totals.answer_rows), (4, 2, 2));

    // No identity stands in any receipt.
    assert!(!opening.request_digest.contains(&id_number(0)));
    let stored = served.scenario.app.receipts().read_after(0, 1_000).await.unwrap();
    for receipt in stored {
        let text = String::from_utf8(receipt.receipt.record).unwrap();
        for person in 0..10 {
            assert!(!text.contains(&id_number(person)), "{text}");
        }
    }

    served.scenario.app.withdraw_consent(&id_number(0), &given).await.unwrap();
    assert_eq!(observed(&served, &order, claim(&id_number(0))).await, known);
    // Someone else's consent is untouched.
    assert_eq!(served.post(&order, "/verify", claim(&id_number(1))).await.ok().json()["result"], "mismatch");
}

/// What a consent permits now.
async fn permitted(served: &Served, identity: &str, named: impl Into<ConsentRef>) -> ConsentLimits {
    let named = named.into();
    let own = served.scenario.app.consents_of(identity).await.unwrap();
    let details = own.into_iter().find(|own| own.named == named).unwrap().details;
    ConsentLimits { resources: details.resources, fields: details.fields, term: details.term }
}

/// The columns of the personal resource by name.
fn fields(served: &Served, names: &[&str]) -> lingqu_domain::consent::Fields {
    let columns: BTreeSet<ColumnName> = names.iter().map(|name| ColumnName::new(*name).unwrap()).collect();
    BTreeMap::from([(served.scenario.resource("people").clone(), columns)])
}

async fn result(served: &Served, order: &Ordered, person: usize) -> String {
    let reply = served.post(order, "/verify", claim(&id_number(person))).await.ok();
    reply.json()["result"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_of_a_batch_is_its_subject_s_like_any_other() {
    let served = Served::open(None, 100).await;
    let app = &served.scenario.app;
    let order = served.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (1_000, 0)).await;
    assert_eq!(result(&served, &order, 0).await, "not_found");
    let people: Vec<String> = (0..4).map(id_number).collect();
    let identities: Vec<&str> = people.iter().map(String::as_str).collect();
    let names = app.give_consents(&identities, served.scenario.consent_details()).await.unwrap();
    assert_eq!(names.len(), 4);
    for person in 0..4 {
        let expected = if person % 2 == 0 { "match" } else { "mismatch" };
        assert_eq!(result(&served, &order, person).await, expected);
    }
    assert_eq!(result(&served, &order, 4).await, "not_found");

    // He withdraws his own and nobody else's; who he is not does not exist for him.
    let stranger = app.withdraw_consent(&id_number(1), &names[0]).await.unwrap_err();
    assert_eq!(stranger.problem().status, 404);
    app.withdraw_consent(&id_number(0), &names[0]).await.unwrap();
    assert_eq!(result(&served, &order, 0).await, "not_found");
    assert_eq!(result(&served, &order, 1).await, "mismatch");
    assert_eq!(app.withdraw_consent(&id_number(0), &names[0]).await.unwrap_err().problem().code, "wrong_state");

    // Narrowed, it lives on as one of its own.
    let whole = permitted(&served, &id_number(1), &names[1]).await;
    let some = ConsentLimits { fields: fields(&served, &["id_number"]), ..whole };
    let narrower = app.narrow_consent(&id_number(1), &names[1], some).await.unwrap();
    assert!(matches!(narrower, ConsentRef::Single(_)));
    assert_eq!(result(&served, &order, 1).await, "not_found");
    let own = app.consents_of(&id_number(1)).await.unwrap();
    let states: Vec<(ConsentRef, bool)> = own.into_iter().map(|own| (own.named, own.is_withdrawn)).collect();
    assert_eq!(states, [(names[1].clone(), true), (narrower.clone(), false)]);
    assert_eq!(names[1].to_string().parse::<ConsentRef>().unwrap(), names[1]);

    // Two of one batch, and one who is in it already.
    let twice = [people[2].as_str(), people[2].as_str()];
    let refused = app.give_consents(&twice, served.scenario.consent_details()).await.unwrap_err();
    assert_eq!(refused.problem().code, "invalid");
    let again = app.give_consents(&[&people[0]], served.scenario.consent_details()).await.unwrap();
    assert_eq!(result(&served, &order, 0).await, "match");
    // A second consent of the same kind holds when the first is withdrawn.
    let second = served.scenario.consent(&id_number(0)).await;
    app.withdraw_consent(&id_number(0), &again[0]).await.unwrap();
    assert_eq!(result(&served, &order, 0).await, "match");
    app.withdraw_consent(&id_number(0), &second).await.unwrap();
    assert_eq!(result(&served, &order, 0).await, "not_found");
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_consent_counts_only_where_it_covers_everything_that_is_shown() {
    let served = Served::of(Scenario::open_behind(100, 3).await, Settings::default()).await;
    let app = &served.scenario.app;
    let order = served.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (1_000, 0)).await;
    let given = served.scenario.consent(&id_number(0)).await;
    assert_eq!(result(&served, &order, 0).await, "match");
    // All that the product shows of the resource is still in it.
    let whole = permitted(&served, &id_number(0), &given).await;
    let needed = ConsentLimits { fields: fields(&served, &["id_number", "points"]), ..whole };
    app.narrow_consent(&id_number(0), &given, needed.clone()).await.unwrap();
    assert_eq!(result(&served, &order, 0).await, "match");
    // Two that together cover it are not one that does.
    for names in [["id_number"], ["points"]] {
        let mut half = served.scenario.consent_details();
        half.fields = fields(&served, &names);
        app.give_consent(&id_number(1), half).await.unwrap();
    }
    assert_eq!(result(&served, &order, 1).await, "not_found");
    // An hour from now it is over, without an event.
    let until = app.now().checked_add(SignedDuration::from_hours(1)).unwrap();
    let shorter = ConsentLimits { term: Term { until, ..needed.term }, ..needed };
    app.narrow_consent(&id_number(0), &given, shorter).await.unwrap();
    assert_eq!(result(&served, &order, 0).await, "match");
    app.clock().advance(SignedDuration::from_mins(61));
    assert_eq!(result(&served, &order, 0).await, "not_found");
}

/// A stream goes on while others consent, and stops when somebody of its set does not any more.
#[tokio::test(flavor = "multi_thread")]
async fn what_runs_goes_on_until_somebody_of_it_withdraws() {
    let served = Served::open(None, 100).await;
    let app = &served.scenario.app;
    let order = served.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (1_000, 0)).await;
    let given = served.scenario.consent(&id_number(0)).await;
    let running = app.serving(&order.key).await.unwrap();
    app.still_granted(&running).unwrap();
    let other = served.scenario.consent(&id_number(1)).await;
    app.still_granted(&running).unwrap();
    // New requests see the newcomer: theirs is another answer with another tag.
    let newer = app.serving(&order.key).await.unwrap();
    assert_ne!(newer.policy_digest, running.policy_digest);
    // He was not in the set of the first.
    app.withdraw_consent(&id_number(1), &other).await.unwrap();
    app.still_granted(&running).unwrap();
    assert_eq!(app.still_granted(&newer).unwrap_err().code, RefusalCode::GrantSuspended);
    // Somebody who is in no product of this order.
    let stranger = app.give_consent("somebody else", served.scenario.consent_details()).await.unwrap();
    app.withdraw_consent("somebody else", &stranger).await.unwrap();
    app.still_granted(&running).unwrap();
    app.withdraw_consent(&id_number(0), &given).await.unwrap();
    assert_eq!(app.still_granted(&running).unwrap_err().code, RefusalCode::GrantSuspended);
}
