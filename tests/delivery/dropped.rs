//! A client who hangs up drops his request wherever it stands: what it had reserved comes back all the same, and what it used stays.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lingqu_domain::order::{Quota, QuotaUnit};
use lingqu_domain::predicate::Literal;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Deliveries, Settings};
use lingqu_tests::scenario::{Scenario, TRIP_VEHICLES, VEHICLES, Who};

use crate::served::Served;
use crate::settled::{is_exact, subjects_used, vehicles_told};

/// A future that is dropped when it has to wait once more than so many times.
async fn dropped_after<F: Future>(waits: usize, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut left = waits;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Dropped at each place where a lookup waits, until some are answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_lookup_that_nobody_waits_for_loses_nothing() {
    /// Far more than a lookup needs, and fewer than there are vehicles.
    const WAITS_MAX: usize = 290;
    const ANSWERED: usize = 3;
    let served = Served::of(Scenario::open_counted(None, 600).await, Settings::default()).await;
    let app = &served.scenario.app;
    let (rows, bytes, subjects) = (Some(1 << 30), Some(1 << 39), Some(VEHICLES));
    let quota = Quota { calls: 100_000, rows, bytes, subjects, ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_VEHICLES, &[Mode::Lookup], quota).await;
    let deliveries = Deliveries::new(Arc::clone(app), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "rest").await.unwrap();
    let keyed = deliveries.keyed(admission, Mode::Lookup).await.unwrap();
    let mut answered = 0;
    for waits in 0..WAITS_MAX {
        // Each is about another subject.
        let keys = [vec![Literal::Integer(i64::try_from(waits).unwrap())]];
        let asked = deliveries.look_up(&keyed, &keys, "asked".to_owned(), |_, _| Ok(b"answer".to_vec()));
        answered += usize::from(dropped_after(waits, asked).await.is_some_and(|told| told.is_ok()));
        // Leases are given back by this, so the next one has to lease again.
        is_exact(app, &order).await;
        if answered == ANSWERED {
            break;
        }
    }
    assert_eq!(answered, ANSWERED);
    for _ in 0..200 {
        app.flush_subjects().await.unwrap();
        // Whoever was answered last may not be settled yet.
        let is_settled = app.store().holders(None).await.unwrap().is_empty();
        if is_settled && subjects_used(app, &order).await == vehicles_told(app, &order).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(subjects_used(app, &order).await, vehicles_told(app, &order).await);
    assert_eq!(app.store().holders(None).await.unwrap(), Vec::<String>::new());
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// The same of one that is refused, while others have the accounts: its call comes back though nobody waits for the refusal.
#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_that_nobody_waits_for_gives_back() {
    const ATTEMPTS: usize = 240;
    /// More than a refused lookup needs.
    const WAITS_MAX: usize = 24;
    let served = Served::of(Scenario::open_counted(None, 600).await, Settings::default()).await;
    let app = &served.scenario.app;
    // No answer has so few bytes.
    let quota = Quota { calls: 100_000, bytes: Some(1), ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_VEHICLES, &[Mode::Lookup], quota).await;
    let deliveries = Deliveries::new(Arc::clone(app), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "rest").await.unwrap();
    let places = app.quota_places(&admission.serving, None);
    let calls = places.into_iter().find(|place| place.unit == QuotaUnit::Calls).unwrap();
    let keyed = deliveries.keyed(admission, Mode::Lookup).await.unwrap();
    let others: tokio::task::JoinHandle<()> = {
        let app = Arc::clone(app);
        tokio::spawn(async move {
            loop {
                app.quota().lease(&calls.account, calls.limit, 0).await.unwrap();
            }
        })
    };
    let mut refused = 0;
    for attempt in 0..ATTEMPTS {
        let keys = [vec![Literal::Integer(7)]];
        let asked = deliveries.look_up(&keyed, &keys, "asked".to_owned(), |_, _| Ok(b"answer".to_vec()));
        if let Some(told) = dropped_after(attempt % WAITS_MAX, asked).await {
            assert_eq!(told.unwrap_err().problem().code, "quota_exceeded");
            refused += 1;
        }
    }
    assert!(0 < refused && refused < ATTEMPTS, "{refused} of {ATTEMPTS} were waited for to the end");
    others.abort();
    drop(others.await);
    is_exact(app, &order).await;
}
