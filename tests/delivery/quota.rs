//! Quotas under many clients at once: used up to the last call and never beyond.

use std::collections::BTreeMap;
use std::sync::Arc;

use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{TRIP_CHECK, Who};
use serde_json::json;

use crate::served::Served;

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_clients_use_exactly_the_quota() {
    const QUOTA: u64 = 203;
    let served = Arc::new(Served::open(None, 2_000).await);
    let order = Arc::new(served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (QUOTA, 0)).await);
    let mut clients = Vec::new();
    for client in 0..16 {
        let (served, order) = (Arc::clone(&served), Arc::clone(&order));
        clients.push(tokio::spawn(async move {
            let mut answered = 0;
            let mut refused: BTreeMap<(u16, String), u64> = BTreeMap::new();
            // Enough that all of them together ask for much more than there is.
            for call in 0..20 {
                let trip = client * 100 + call;
                let reply =
                    served.post(&order, "/verify", json!({"key": {"trip_id": trip}, "claim": {"late": true}})).await;
                if reply.status == 200 {
                    answered += 1;
                } else {
                    *refused.entry(reply.problem()).or_default() += 1;
                }
            }
            (answered, refused)
        }));
    }
    let mut answered = 0;
    let mut refused = 0;
    for client in clients {
        let (count, problems) = client.await.unwrap();
        answered += count;
        for (problem, count) in problems {
            assert_eq!(problem, (403, "quota_exceeded".to_owned()));
            refused += count;
        }
    }
    assert_eq!((answered, refused), (QUOTA, 320 - QUOTA));
    let mut calls = 0;
    for receipt in served.scenario.app.order_receipts(&order.id, 0, 1_000).await.unwrap() {
        let ReceiptBody::Single { totals, .. } = receipt.1.body else { panic!("{receipt:?}") };
        calls += totals.calls;
    }
    assert_eq!(calls, QUOTA);
}

/// A batch that is larger than what is left is refused whole and takes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_all_or_nothing() {
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (5, 0)).await;
    let batch = |count: usize| {
        let claims: Vec<_> =
            (0..count).map(|trip| json!({"key": {"trip_id": trip}, "claim": {"late": false}})).collect();
        json!({"claims": claims})
    };
    served.post(&order, "/verify", batch(2)).await.ok();
    assert_eq!(served.post(&order, "/verify", batch(4)).await.problem(), (403, "quota_exceeded".to_owned()));
    served.post(&order, "/verify", batch(3)).await.ok();
    assert_eq!(served.post(&order, "/verify", batch(1)).await.problem(), (403, "quota_exceeded".to_owned()));
}

/// Every answer, a refusal among them, says what the order may use and what is left of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_says_what_is_left() {
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (5, 0)).await;
    let batch = |count: usize| {
        let claims: Vec<_> =
            (0..count).map(|trip| json!({"key": {"trip_id": trip}, "claim": {"late": false}})).collect();
        json!({"claims": claims})
    };
    let first = served.post(&order, "/verify", batch(2)).await.ok();
    assert_eq!(first.header("ratelimit-policy"), Some("\"calls\";q=5, \"data_sets\";q=0"));
    assert_eq!(first.header("ratelimit"), Some("\"calls\";r=3, \"data_sets\";r=0"));
    let refused = served.post(&order, "/verify", batch(4)).await;
    assert_eq!(refused.problem(), (403, "quota_exceeded".to_owned()));
    assert_eq!(refused.header("ratelimit"), Some("\"calls\";r=3, \"data_sets\";r=0"));
    let last = served.post(&order, "/verify", batch(3)).await.ok();
    assert_eq!(last.header("ratelimit"), Some("\"calls\";r=0, \"data_sets\";r=0"));
}
