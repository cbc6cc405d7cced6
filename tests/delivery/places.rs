//! How much of the node one order may hold.

use std::time::Duration;

use futures::StreamExt;
use lingqu_domain::receipt::Outcome;
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Admission, Deliveries, Settings, StreamRequest};
use lingqu_gateway::encode::{Format, JsonFrame};
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

/// Whoever takes no more of a file when most of it has left pays for it as he who hangs up does, so that nobody has copies without
/// end of all but the last piece. The body is taken by hand, as a connection takes it.
#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_more_of_a_file_pays_when_half_of_it_has_left() {
    const ROWS: usize = 20_000;
    let served = Served::open(None, ROWS).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 1)).await;
    let settings = Settings { receiver_patience: Duration::from_secs(2), ..Settings::default() };
    let deliveries = Deliveries::new(served.scenario.app.clone(), settings);
    let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
    let request = || StreamRequest {
        mode: Mode::File,
        sql: format!("SELECT * FROM {TRIP_RECORDS}"),
        request: "test".to_owned(),
        format: Format::Csv,
        limits: Admission::limits(Mode::File),
        frame: JsonFrame::default(),
    };
    for (lines_wanted, is_paid) in [(1, false), (8_000, false), (12_000, true)] {
        let mut streamed = deliveries.stream(&admission, request()).await.unwrap();
        let mut lines = 0;
        while lines < lines_wanted {
            let piece = streamed.body.next().await.unwrap().unwrap();
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
        }
        let (_, outcome, totals) = served.closed(streamed.receipt.as_str()).await;
        assert_eq!(outcome, Outcome::Stopped { code: "receiver_too_slow".to_owned() });
        assert_eq!(totals.data_sets, u64::from(is_paid), "{lines} lines of {ROWS} left, {totals:?}");
        drop(streamed.body);
    }
    let refused = deliveries.stream(&admission, request()).await.map(drop).unwrap_err();
    assert_eq!(refused.problem().code, "quota_exceeded");
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}
