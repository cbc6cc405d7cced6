//! Rows and bytes of one day: used up they are refused, and the next day has them anew, as long as the term has some.

use jiff::SignedDuration;
use lingqu_domain::order::{DayQuota, Quota};
use lingqu_domain::receipt::Totals;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_RECORDS, Who};

use crate::served::Served;
use crate::settled::is_exact;

/// Always the same bytes for the same number of rows.
fn page(rows: u64) -> String {
    format!("/rows?columns=trip_id,line&format=csv&limit={rows}")
}

/// Takes a page; what it used, once it is settled, so that what was let out ahead is there for the next.
async fn taken(served: &Served, order: &Ordered, rows: u64) -> Totals {
    let reply = served.ok_soon(order, &page(rows)).await;
    let (_, _, totals) = served.closed(reply.header("delivery-receipt").unwrap()).await;
    is_exact(&served.scenario.app, order).await;
    totals
}

async fn is_refused(served: &Served, order: &Ordered, rows: u64) {
    let refused = served.get(order, &page(rows)).await;
    assert_eq!(refused.problem(), (403, "quota_exceeded".to_owned()), "{refused:?}");
    is_exact(&served.scenario.app, order).await;
}

fn next_day(served: &Served) {
    served.scenario.app.clock().advance(SignedDuration::from_hours(24));
}

/// Steps the clock of a node that is more than a day behind to early in its next day, so that none passes before the test lets
/// it.
pub fn begin_a_day(scenario: &Scenario) {
    const DAY_SECONDS: i64 = 24 * 3_600;
    // By the time in Beijing.
    let passed = (scenario.app.now().as_second() + 8 * 3_600).rem_euclid(DAY_SECONDS);
    scenario.app.clock().advance(SignedDuration::from_secs(DAY_SECONDS - passed + 3_600));
}

async fn served() -> Served {
    let scenario = Scenario::open_behind(200, 5).await;
    begin_a_day(&scenario);
    Served::of(scenario, Settings::default()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_s_rows_come_back_with_the_day() {
    let served = served().await;
    let per_day = Some(DayQuota { rows: Some(20), ..DayQuota::default() });
    let quota = Quota { calls: 1_000, rows: Some(50), per_day, ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], quota).await;
    for _ in 0..2 {
        assert_eq!(taken(&served, &order, 15).await.answer_rows, 15);
        is_refused(&served, &order, 6).await;
        assert_eq!(taken(&served, &order, 5).await.answer_rows, 5);
        is_refused(&served, &order, 1).await;
        next_day(&served);
    }
    // Of the term there are ten left, and of the day twenty.
    is_refused(&served, &order, 11).await;
    taken(&served, &order, 10).await;
    is_refused(&served, &order, 1).await;
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_s_bytes_come_back_with_the_day() {
    let served = served().await;
    let free = Quota { calls: 1_000, ..Quota::default() };
    let free = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], free).await;
    let bytes = served.ok_soon(&free, &page(100)).await.body.len() as u64;
    let per_day = Some(DayQuota { bytes: Some(2 * bytes + bytes / 2), ..DayQuota::default() });
    let quota = Quota { calls: 1_000, bytes: Some(5 * bytes), per_day, ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], quota).await;
    for _ in 0..2 {
        for _ in 0..2 {
            assert_eq!(taken(&served, &order, 100).await.bytes, bytes);
        }
        is_refused(&served, &order, 100).await;
        next_day(&served);
    }
    // Of the term there is one page left, and of the day more than two.
    taken(&served, &order, 100).await;
    is_refused(&served, &order, 1).await;
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}
