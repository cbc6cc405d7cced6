//! How many answers of one order run at a time.

use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::STREAMS_PER_ORDER_MAX;
use lingqu_tests::scenario::{TRIP_RECORDS, Who};

use crate::served::{Served, receipt_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_ninth_stream_waits_for_a_place() {
    let served = Served::open(None, 60_000).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::File], (100, 100)).await;
    let other = served.scenario.order(Who::Second, TRIP_RECORDS, &[Mode::Rows, Mode::File], (100, 100)).await;
    let mut running = Vec::new();
    for _ in 0..STREAMS_PER_ORDER_MAX {
        running.push(served.begun(&order, "/export?format=csv").await);
    }
    let ninth = served.get(&order, "/rows?limit=1").await;
    assert_eq!(ninth.problem(), (429, "too_many_deliveries".to_owned()));
    assert_eq!(ninth.header("retry-after"), Some("1"));
    // Others are not held up.
    served.get(&other, "/rows?limit=1").await.ok();
    let ended = running.pop().unwrap();
    let receipt = receipt_of(&ended);
    drop(ended);
    served.closed(&receipt).await;
    served.get(&order, "/rows?limit=1").await.ok();
}
