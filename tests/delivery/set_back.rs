//! A node whose clock was set back: what it delivers is dated where the journal stands, and its evidence holds.

use jiff::SignedDuration;
use lingqu_app::{App, AppSettings, Clock, verify_evidence};
use lingqu_domain::calendar::day_of;
use lingqu_domain::order::{DayQuota, Quota};
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{TRIP_RECORDS, Who};

use crate::served::Served;
use crate::settled::is_exact;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_delivered_before_its_order_was_active() {
    let mut served = Served::open(None, 100).await;
    let per_day = Some(DayQuota { calls: Some(2), ..DayQuota::default() });
    let quota = Quota { calls: 10, data_sets: 1, per_day, ..Quota::default() };
    let modes = [Mode::Rows, Mode::File, Mode::Lookup];
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &modes, quota).await;
    let directory = served.scenario.closed_copy().await;
    let clock = Clock::behind(SignedDuration::from_hours(48));
    served.scenario.app = App::open(AppSettings { clock, ..AppSettings::of(directory) }).await.unwrap();
    served.serve_anew(Settings::default()).await;
    let app = &served.scenario.app;
    let last_at = app.read(|state| state.last_at).expect("the journal has a last event");
    assert!(app.now() < last_at);
    for path in ["/rows?limit=3", "/lookup/7", "/export?format=csv"] {
        let reply = served.ok_soon(&order, path).await;
        served.closed_or_single(reply.header("delivery-receipt").unwrap()).await;
    }
    is_exact(app, &order).await;
    // The day's two calls are used up, and it is the journal's day.
    assert_eq!(served.get(&order, "/lookup/8").await.problem(), (403, "quota_exceeded".to_owned()));
    let records = app.order_receipts(&order.id, 0, 1_000).await.unwrap();
    assert!(records.iter().all(|(_, record)| record.at == last_at), "{records:?}");
    for (_, record) in &records {
        if let ReceiptBody::Closed { totals, .. } | ReceiptBody::Single { totals, .. } = &record.body {
            assert_eq!(totals.day, Some(day_of(last_at)));
        }
    }

    app.publish_log().await.unwrap();
    let report = verify_evidence(&app.export_evidence(&order.id).await.unwrap(), None);
    assert!(report.verified, "{:?}", report.findings);
    let replayed = app.replay_check().await.unwrap();
    assert!(replayed.agrees, "{:?}", replayed.differences);
}
