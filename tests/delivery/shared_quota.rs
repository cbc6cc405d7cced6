//! Quotas of mandates, permits and products: what all orders below them use together, exact under concurrency, per day and after a
//! crash.

use std::sync::Arc;

use jiff::SignedDuration;
use lingqu_app::{App, AppSettings, Clock};
use lingqu_domain::command::Command;
use lingqu_domain::id::SupplyId;
use lingqu_domain::order::{DayQuota, Quota};
use lingqu_domain::scope::{Mode, Narrowing};
use lingqu_domain::shared_quota::SharedQuota;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{
    Ordered, PERSON_SHARED, Scenario, TRIP_CHECK, TRIP_SHARED, TRIP_SHARED_ROWS, Who, id_number,
};
use serde_json::json;

use crate::per_day::begin_a_day;
use crate::served::{Reply, Served};

/// Weeks enough for the publicity of the products.
const DAYS_BEHIND: u32 = 60;

async fn served(permit: SharedQuota, product: SharedQuota) -> Served {
    let mut scenario = Scenario::open_behind(400, DAYS_BEHIND).await;
    scenario.offer_shared(permit, product).await;
    Served::of(scenario, Settings::default()).await
}

async fn check(served: &Served, order: &Ordered, trip: usize) -> Reply {
    served.post(order, "/verify", json!({"key": {"trip_id": trip}, "claim": {"late": true}})).await
}

fn exceeded() -> (u16, String) {
    (403, "quota_exceeded".to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_of_two_consumers_use_one_quota_to_the_last_call() {
    const CALLS: u64 = 61;
    let quota = SharedQuota { calls: Some(CALLS), ..SharedQuota::default() };
    let served = Arc::new(served(quota, SharedQuota::default()).await);
    let mut orders = Vec::new();
    for who in [Who::First, Who::Second] {
        // Each of them alone might use more.
        orders.push(Arc::new(served.scenario.order(who, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await));
    }
    let mut clients = Vec::new();
    for client in 0..8_usize {
        let (served, order) = (Arc::clone(&served), Arc::clone(&orders[client % 2]));
        clients.push(tokio::spawn(async move {
            let mut answered = 0;
            for call in 0..20 {
                let reply = check(&served, &order, client * 20 + call).await;
                if reply.status == 200 {
                    answered += 1;
                } else {
                    assert_eq!(reply.problem(), exceeded());
                }
            }
            answered
        }));
    }
    let mut answered = 0;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert_eq!(answered, CALLS);
    // Another product under the same permit has nothing left either, and what others used is not told.
    let rows = served.scenario.order(Who::First, TRIP_SHARED_ROWS, &[Mode::Lookup], (1_000, 0)).await;
    let refused = served.get(&rows, "/lookup/7").await;
    assert_eq!(refused.problem(), exceeded());
    assert_eq!(refused.header("ratelimit-policy"), Some("\"calls\";q=1000, \"data_sets\";q=0"));
    // A call that was refused by the permit's account was not taken from the order's.
    let left = refused.header("ratelimit").unwrap_or_default().to_owned();
    assert!(left.is_empty() || left.contains("\"calls\";r=1000"), "{left}");
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// A mandate's quota for a resource is used by the orders of all permits below it.
#[tokio::test(flavor = "multi_thread")]
async fn orders_below_two_permits_use_their_mandate_s_quota_to_the_last_call() {
    const CALLS: u64 = 61;
    let quota = SharedQuota { calls: Some(CALLS), ..SharedQuota::default() };
    let mut scenario = Scenario::open_behind(400, DAYS_BEHIND).await;
    scenario.offer_under_mandate(quota).await;
    let served = Arc::new(Served::of(scenario, Settings::default()).await);
    let checks = served.scenario.order(Who::First, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    let rows = served.scenario.order(Who::Second, TRIP_SHARED_ROWS, &[Mode::Lookup], (1_000, 0)).await;
    let permits = |order: &Ordered| {
        let product = served.scenario.product(order.product).clone();
        served.scenario.app.read(|state| state.products[&product].value.details.inputs.clone())
    };
    assert_ne!(permits(&checks), permits(&rows), "two permits");
    // One call of each first: how fast either is does not decide who gets some.
    check(&served, &checks, 0).await.ok();
    served.get(&rows, "/lookup/0").await.ok();
    let (checks, rows) = (Arc::new(checks), Arc::new(rows));
    let mut clients = Vec::new();
    for client in 0..8_usize {
        let (served, checks, rows) = (Arc::clone(&served), Arc::clone(&checks), Arc::clone(&rows));
        clients.push(tokio::spawn(async move {
            let mut answered = 0;
            for call in 0..20 {
                let trip = client * 20 + call;
                let reply = match client % 2 {
                    0 => check(&served, &checks, trip).await,
                    _ => served.get(&rows, &format!("/lookup/{trip}")).await,
                };
                if reply.status == 200 {
                    answered += 1;
                } else {
                    assert_eq!(reply.problem(), exceeded());
                }
            }
            answered
        }));
    }
    let mut answered = 2;
    for client in clients {
        answered += client.await.unwrap();
    }
    assert_eq!(answered, CALLS);
    // Neither permit has anything left, whoever orders; what stands on another mandate is untouched.
    let other = served.scenario.order(Who::Second, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    assert_eq!(check(&served, &other, 1).await.problem(), exceeded());
    let apart = served.scenario.order(Who::Second, TRIP_CHECK, &[Mode::Verification], (1, 0)).await;
    check(&served, &apart, 1).await.ok();
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// A plan and a supply can't set one: no orders are reckoned up below them.
#[tokio::test(flavor = "multi_thread")]
async fn a_supply_sets_no_quota() {
    let scenario = Scenario::open(None, 10).await;
    let request =
        Command::RequestSupply { resource: scenario.resource("trips").clone(), need: "授权运营".to_owned() };
    let supply: SupplyId = scenario.give(scenario.clerk(Who::Implementer), request, "supply.requested").await;
    let quota = SharedQuota { calls: Some(5), ..SharedQuota::default() };
    let narrowing = Narrowing { quota: Some(quota), ..Narrowing::default() };
    let confirm = Command::ConfirmSupply { supply: supply.clone(), narrowing: Box::new(narrowing) };
    let chief = scenario.chief(Who::Provider);
    let error = scenario.app.execute(chief, confirm, Default::default()).await.unwrap_err();
    assert!(error.to_string().contains("a shared quota is set by a mandate, a permit or a product"), "{error}");
    let confirm = Command::ConfirmSupply { supply, narrowing: Box::default() };
    scenario.act(chief, confirm).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_empty_account_refuses_whichever_link_it_is_of() {
    let permit = SharedQuota { calls: Some(5), rows: Some(3), ..SharedQuota::default() };
    let product = SharedQuota { calls: Some(2), ..SharedQuota::default() };
    let served = served(permit, product).await;
    let first = served.scenario.order(Who::First, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    let second = served.scenario.order(Who::Second, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    check(&served, &first, 1).await.ok();
    check(&served, &second, 2).await.ok();
    // The product's two calls are used up, the permit's five are not.
    assert_eq!(check(&served, &first, 3).await.problem(), exceeded());
    let rows = served.scenario.order(Who::First, TRIP_SHARED_ROWS, &[Mode::Lookup, Mode::Rows], (1_000, 0)).await;
    // Two rows were shown by the verifications; a page of two more would be four.
    assert_eq!(served.get(&rows, "/rows?filter=trip_id:lt:2").await.problem(), exceeded());
    served.get(&rows, "/lookup/7").await.ok();
    assert_eq!(served.get(&rows, "/lookup/8").await.problem(), exceeded());
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_s_share_comes_back_and_the_term_s_does_not() {
    let per_day = DayQuota { calls: Some(2), ..DayQuota::default() };
    let permit = SharedQuota { calls: Some(3), per_day: Some(per_day), ..SharedQuota::default() };
    let served = served(permit, SharedQuota::default()).await;
    begin_a_day(&served.scenario);
    let order = served.scenario.order(Who::First, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    let other = served.scenario.order(Who::Second, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    check(&served, &order, 1).await.ok();
    check(&served, &other, 2).await.ok();
    assert_eq!(check(&served, &order, 3).await.problem(), exceeded());
    served.scenario.app.clock().advance(SignedDuration::from_hours(24));
    check(&served, &other, 4).await.ok();
    assert_eq!(check(&served, &order, 5).await.problem(), exceeded());
    served.scenario.app.clock().advance(SignedDuration::from_hours(24));
    assert_eq!(check(&served, &order, 6).await.problem(), exceeded());
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_two_orders_is_one() {
    let permit = SharedQuota { subjects: Some(2), ..SharedQuota::default() };
    let served = served(permit, SharedQuota::default()).await;
    let quota = || Quota { calls: 100, ..Quota::default() };
    let modes = [Mode::Verification];
    let one = served.scenario.order_with(Who::First, PERSON_SHARED, &modes, quota()).await;
    let two = served.scenario.order_with(Who::First, PERSON_SHARED, &modes, quota()).await;
    for person in 0..3 {
        served.scenario.consent(&id_number(person)).await;
    }
    let ask = |order: Ordered, person: usize| {
        let served = &served;
        async move {
            let claim = json!({"key": {"id_number": id_number(person)}, "claim": {"qualified": true}});
            served.post(&order, "/verify", claim).await
        }
    };
    ask(one.clone(), 0).await.ok();
    ask(two.clone(), 0).await.ok();
    ask(two.clone(), 1).await.ok();
    assert_eq!(ask(one.clone(), 2).await.problem(), exceeded());
    ask(one, 1).await.ok();
    assert_eq!(ask(two, 2).await.problem(), exceeded());
}

/// A process that dies keeps what it leased until another one counts the receipts of all orders below the link.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_crash_the_receipts_of_all_orders_tell_what_is_left() {
    let permit = SharedQuota { calls: Some(10), ..SharedQuota::default() };
    let served = served(permit, SharedQuota::default()).await;
    let order = served.scenario.order(Who::First, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    let other = served.scenario.order(Who::Second, TRIP_SHARED, &[Mode::Verification], (1_000, 0)).await;
    check(&served, &order, 1).await.ok();
    for trip in 2..5 {
        check(&served, &other, trip).await.ok();
    }
    // Nothing is given back: as after a kill. The copy is a node of its own.
    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let behind = jiff::Timestamp::now().duration_since(served.scenario.app.now());
    let settings = AppSettings { clock: Clock::behind(behind), ..AppSettings::of(copy.path().to_owned()) };
    let app = App::open(settings).await.unwrap();
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
    let serving = app.serving(&order.key).await.unwrap();
    let debits = |calls: u64| {
        let used = lingqu_app::Use { calls, ..Default::default() };
        app.quota_debits(&serving, None, &used)
    };
    assert!(app.quota().spend(&debits(7)).await.is_err(), "four of ten were used");
    app.quota().spend(&debits(6)).await.unwrap();
    assert!(app.quota().spend(&debits(1)).await.is_err());
}
