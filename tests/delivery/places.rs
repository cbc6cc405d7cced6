//! How much of the node one order may hold.

use std::time::Duration;

use lingqu_domain::receipt::Outcome;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{TRIP_RECORDS, Who};

use crate::served::{Served, receipt_of, rows_named};

#[tokio::test(flavor = "multi_thread")]
async fn one_stream_too_many_waits_for_a_place() {
    let served = Served::open(None, 60_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::File], (100, 100)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows, Mode::File], (100, 100)).await;
    let mut running = Vec::new();
    for _ in 0..Settings::default().streams_per_order_max {
        running.push(served.begun(&order, "/export?format=csv").await);
    }
    let refused = served.get(&order, "/rows?limit=1").await;
    assert_eq!(refused.problem(), (429, "too_many_deliveries".to_owned()));
    assert_eq!(refused.header("retry-after"), Some("1"));
    // Others are not held up.
    served.get(&other, "/rows?limit=1").await.ok();
    let ended = running.pop().unwrap();
    let receipt = receipt_of(&ended);
    drop(ended);
    served.closed(&receipt).await;
    served.ok_soon(&order, "/rows?limit=1").await;
}

/// Who asks and does not read is cut off, so that he does not hold a place of the engine for good.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_read_is_cut_off() {
    let settings = Settings { receiver_patience: Duration::from_millis(400), ..Settings::default() };
    let served = Served::open_with(None, 60_000, settings).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 1)).await;
    let mut response = served.begun(&order, "/export?format=csv").await;
    let receipt = receipt_of(&response);
    let (records, outcome, totals) = served.closed(&receipt).await;
    assert_eq!(outcome, Outcome::Stopped { code: "receiver_too_slow".to_owned() });
    assert_eq!((totals.data_sets, rows_named(&records)), (0, totals.rows));
    // What had been sent can still be read, and it does not end as if it were whole.
    let cut = loop {
        match response.chunk().await {
            Ok(Some(_)) => {}
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut);
}
