//! What is written to the journal is in force at the next request: by the node itself, by another node, and by a client who
//! hung up before he had his answer.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use lingqu_app::{App, AppSettings};
use lingqu_crypto::sha256;
use lingqu_domain::command::Command;
use lingqu_domain::id::{ReceiptId, ServiceKeyId};
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_store::vault::VaultRead;
use lingqu_tests::PrivatePostgres;
use lingqu_tests::scenario::{Ordered, TRIP_CHECK, Who};
use sea_orm::{ConnectionTrait, Database};
use serde_json::{Value, json};

use crate::served::{Reply, Served};

fn claim() -> Value {
    json!({"key": {"trip_id": 60}, "claim": {"late": true}})
}

async fn verified(served: &Served, order: &Ordered) -> Reply {
    served.post(order, "/verify", claim()).await
}

/// Ids of an order's keys in the order of issue.
fn keys_of(served: &Served, order: &Ordered) -> Vec<ServiceKeyId> {
    served
        .scenario
        .app
        .read(|state| state.orders[&order.id].value.service_keys.iter().map(|key| key.id.clone()).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_is_refused_at_the_next_request() {
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let clerk = served.scenario.clerk(Who::First);
    let issued = served.scenario.app.issue_service_key(clerk, &order.id, Default::default()).await.unwrap();
    let other = Ordered { key: issued.key.to_string(), ..order.clone() };
    for _ in 0..2 {
        verified(&served, &order).await.ok();
        verified(&served, &other).await.ok();
    }
    let revoke = Command::RevokeServiceKey { order: order.id.clone(), key: keys_of(&served, &order)[0].clone() };
    served.scenario.act(clerk, revoke).await;
    for _ in 0..2 {
        assert_eq!(verified(&served, &order).await.problem(), (401, "bad_service_key".to_owned()));
        verified(&served, &other).await.ok();
    }
    let end = Command::EndOrder { order: order.id.clone(), reason: "不再需要".to_owned() };
    served.scenario.act(served.scenario.chief(Who::First), end).await;
    assert_eq!(verified(&served, &other).await.problem(), (401, "bad_service_key".to_owned()));
}

/// Between being admitted and being answered a minute may pass: the index of a large product is opened meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_while_an_index_is_opened_is_not_answered() {
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let deliveries = Deliveries::new(Arc::clone(&served.scenario.app), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "rest").await.unwrap();
    served.scenario.suspend_mandate("数据召回").await;
    let refused = deliveries.keyed(admission, Mode::Verification).await.unwrap_err();
    assert_eq!(refused.problem().code, "grant_suspended");
    served.scenario.resume_mandate().await;
    let other = served.scenario.order(Who::Second, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let admission = deliveries.admit_order(Some(&other.key), "rest").await.unwrap();
    let revoke = Command::RevokeServiceKey { order: other.id.clone(), key: keys_of(&served, &other)[0].clone() };
    served.scenario.act(served.scenario.clerk(Who::Second), revoke).await;
    let refused = deliveries.keyed(admission, Mode::Verification).await.unwrap_err();
    assert_eq!(refused.problem().code, "bad_service_key");
    verified(&served, &order).await.ok();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_node_writes_is_in_force_at_the_next_request() {
    let Some(server) = PrivatePostgres::needed("several nodes on one database") else { return };
    let url = server.create_database().await;
    let served = Served::open(Some(url.clone()), 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (1_000, 0)).await;
    let directory = tempfile::tempdir().unwrap();
    let settings = AppSettings { database_url: Some(url), ..AppSettings::of(directory.path().to_owned()) };
    let other = App::open(settings).await.unwrap();
    let (mandate, chief) = (served.scenario.mandate(), served.scenario.chief(Who::Implementer));
    for round in 0..5 {
        // A crowd, so that requests share what they read of the journal.
        for reply in crowd(&served, &order).await {
            reply.ok();
        }
        let suspend = Command::SuspendMandate { mandate: mandate.clone(), reason: format!("第 {round} 次") };
        other.execute(chief, suspend, Default::default()).await.unwrap();
        for reply in crowd(&served, &order).await {
            assert_eq!(reply.problem(), (403, "grant_suspended".to_owned()));
        }
        let resume = Command::ResumeMandate { mandate: mandate.clone(), reason: "已整改".to_owned() };
        other.execute(chief, resume, Default::default()).await.unwrap();
    }
    verified(&served, &order).await.ok();
    let revoke = Command::RevokeServiceKey { order: order.id.clone(), key: keys_of(&served, &order)[0].clone() };
    other.execute(served.scenario.clerk(Who::First), revoke, Default::default()).await.unwrap();
    for reply in crowd(&served, &order).await {
        assert_eq!(reply.problem(), (401, "bad_service_key".to_owned()));
    }
    other.close().await.unwrap();
}

async fn crowd(served: &Served, order: &Ordered) -> Vec<Reply> {
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..24 {
        let request = served.request(reqwest::Method::POST, order, "/verify");
        let request = request.header("content-type", "application/json").body(claim().to_string());
        asked.spawn(Reply::of(request));
    }
    asked.join_all().await
}

/// A future that is dropped when it has been polled so many times and isn't ready.
pub async fn given_up_after<F: Future>(polls: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        future.as_mut().poll(context).map(Some)
    })
    .await
}

/// A client who hangs up drops the command wherever it stands. If its event got into the journal, it is in force.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_that_nobody_waited_for_is_in_force() {
    const ATTEMPTS_MAX: usize = 400;
    /// More than a command needs.
    const POLLS_MAX: usize = 20;
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (1_000, 0)).await;
    let (app, mandate) = (&served.scenario.app, served.scenario.mandate());
    let chief = served.scenario.chief(Who::Implementer);
    let mut written_and_not_folded = 0;
    for attempt in 0..ATTEMPTS_MAX {
        let suspend = Command::SuspendMandate { mandate: mandate.clone(), reason: format!("{attempt}") };
        let command = app.execute(chief, suspend, Default::default());
        let answered = given_up_after(1 + attempt % POLLS_MAX, command).await;
        let folded_position = app.read(|state| state.position);
        let reply = verified(&served, &order).await;
        let records = app.store().read_stream(mandate.as_str(), 0, 1_000).await.unwrap();
        let last = records.last().unwrap();
        if last.kind == "mandate.suspended" {
            assert_eq!(reply.problem(), (403, "grant_suspended".to_owned()), "attempt {attempt}");
            served.scenario.resume_mandate().await;
            written_and_not_folded += usize::from(folded_position < last.position);
        } else {
            reply.ok();
            assert!(answered.is_none(), "attempt {attempt} was acknowledged");
        }
        // Where a command stands at its last poll depends on the database; a few times it has just been written.
        if written_and_not_folded == 3 {
            return;
        }
    }
    panic!("no command was given up between the writing of its event and the folding");
}

/// A request whose text can't be kept is not answered: a receipt would name a text that isn't there. On a SQLite node both
/// stand in one frame; on PostgreSQL they are rows of two tables.
#[tokio::test(flavor = "multi_thread")]
async fn no_receipt_names_a_request_that_could_not_be_kept() {
    let Some(server) = PrivatePostgres::needed("a request that can't be kept") else { return };
    let url = server.create_database().await;
    let served = Served::open(Some(url.clone()), 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    verified(&served, &order).await.ok();
    let head = served.receipt_head().await;
    let raw = Database::connect(url).await.unwrap();
    raw.execute_unprepared("ALTER TABLE vault_item RENAME TO vault_away").await.unwrap();
    for reply in crowd(&served, &order).await {
        assert_eq!(reply.problem(), (500, "fault".to_owned()));
    }
    assert_eq!(served.receipt_head().await, head);
    raw.execute_unprepared("ALTER TABLE vault_away RENAME TO vault_item").await.unwrap();
    verified(&served, &order).await.ok();
    assert_eq!(served.receipt_head().await, head + 1);
}

/// What was asked is kept with the receipt of the answer, salted, and nowhere in the clear.
#[tokio::test(flavor = "multi_thread")]
async fn the_request_of_a_receipt_is_kept_sealed() {
    const CLAIM: &str = r#"{"key":{"trip_id":60},"claim":{"late":true},"note":"never"}"#;
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (100, 0)).await;
    let app = &served.scenario.app;
    let reply = verified(&served, &order).await;
    let receipt: ReceiptId = reply.headers["delivery-receipt"].to_str().unwrap().parse().unwrap();
    let VaultRead::Present(salted) = app.request(&receipt).await.unwrap() else { panic!("it is not kept") };
    // As it was sent, and behind it in its canonical form.
    assert!(salted[16..].starts_with(format!("{}\u{1e}{{", claim()).as_bytes()));
    let (_, record) = app.order_receipts(&order.id, 0, 10).await.unwrap().pop().unwrap();
    let ReceiptBody::Single { opening, .. } = &record.body else { panic!("{record:?}") };
    assert_eq!(opening.request_digest, sha256(&salted).to_string());
    app.receipts().erase_request(receipt.as_str(), "2026-03-02T10:00:00+08:00").await.unwrap();
    assert!(matches!(app.request(&receipt).await.unwrap(), VaultRead::Erased { .. }));
    assert!(app.replay_check().await.unwrap().agrees);
    // A request that is refused leaves nothing.
    let head = served.receipt_head().await;
    let refused = served.request(reqwest::Method::POST, &order, "/verify").body(CLAIM);
    Reply::of(refused).await.problem();
    assert_eq!(served.receipt_head().await, head);
}
