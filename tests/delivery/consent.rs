//! Verification with consent: none without it, and no way to learn who is in the register.

use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{PERSON_CHECK, Who, id_number};
use serde_json::{Value, json};

use crate::served::Served;

fn claim(identity: &str) -> Value {
    json!({"key": {"id_number": identity}, "claim": {"qualified": true}})
}

#[tokio::test(flavor = "multi_thread")]
async fn consent_is_asked_before_every_answer() {
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (20, 0)).await;
    let head = served.receipt_head().await;
    let known = served.post(&order, "/verify", claim(&id_number(0))).await;
    let unknown = served.post(&order, "/verify", claim("nobody")).await;
    assert_eq!(known.problem(), (403, "consent_missing".to_owned()));
    // The same to the byte: the answer does not tell who is in the register.
    assert_eq!((known.status, &known.body), (unknown.status, &unknown.body));
    assert_eq!(served.receipt_head().await, head);

    let given = served.scenario.consent(&id_number(0)).await;
    served.scenario.consent(&id_number(1)).await;
    let reply = served.post(&order, "/verify", claim(&id_number(0))).await.ok();
    assert_eq!((&reply.json()["result"], reply.header("data-nature")), (&json!("match"), Some("SYNTHETIC")));
    assert_eq!(served.post(&order, "/verify", claim(&id_number(1))).await.ok().json()["result"], "mismatch");

    // In a batch those without consent are told apart from the rest, and are not charged.
    let people = [id_number(0), id_number(2), id_number(1), "nobody".to_owned()];
    let claims: Vec<Value> = people.iter().map(|identity| claim(identity)).collect();
    let batch = served.post(&order, "/verify", json!({"claims": claims})).await.ok();
    assert_eq!(batch.json()["results"], json!(["match", "consent_missing", "mismatch", "consent_missing"]));
    let records = served.records(batch.header("delivery-receipt").unwrap()).await;
    let ReceiptBody::Single { totals, opening, .. } = &records[0].body else { panic!("{records:?}") };
    assert_eq!((totals.calls, totals.rows), (2, 2));

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
    let after = served.post(&order, "/verify", claim(&id_number(0))).await;
    assert_eq!(after.body, known.body);
    // Someone else's consent is untouched.
    assert_eq!(served.post(&order, "/verify", claim(&id_number(1))).await.ok().json()["result"], "mismatch");
}
