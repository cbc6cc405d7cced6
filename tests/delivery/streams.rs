//! Answers that take a while: the receipt is ahead of the bytes, and whatever ends them is in the closing record.

use futures::StreamExt;
use lingqu_domain::command::Command;
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Admission, BatchRequest, Deliveries, Settings, StreamRequest};
use lingqu_gateway::encode::{Format, JsonFrame};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_GUARDED, TRIP_RECORDS, Trip, Who};

use crate::served::{Served, receipt_of, rows_named};

/// Far more than the buffers between server and client hold: some 25 MB as CSV.
const TRIPS: usize = 60_000;

async fn served() -> (Served, Ordered) {
    let served = Served::open(None, TRIPS).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::Rows, Mode::File], (10, 3)).await;
    (served, order)
}

/// At every moment the durable records name at least the rows that have arrived.
#[tokio::test(flavor = "multi_thread")]
async fn no_byte_arrives_before_its_receipt() {
    let (served, order) = served().await;
    let mut response = served.begun(&order, "/export?format=csv").await;
    let receipt = receipt_of(&response);
    let mut lines = 0u64;
    let mut bytes = 0u64;
    let mut saw_open = false;
    while let Some(chunk) = response.chunk().await.unwrap() {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        bytes += chunk.len() as u64;
        let records = served.records(&receipt).await;
        assert!(matches!(records[0].body, ReceiptBody::Opened(_)));
        // The first line is the header's.
        assert!(rows_named(&records) >= lines.saturating_sub(1), "{lines} lines of {} rows", rows_named(&records));
        saw_open |= !matches!(records.last().unwrap().body, ReceiptBody::Closed { .. });
    }
    assert!(saw_open, "the answer was over before it was looked at");
    assert_eq!(lines, TRIPS as u64 + 1);
    // The body's end is not sent before the closing record is durable.
    let records = served.records(&receipt).await;
    let Some(ReceiptBody::Closed { outcome, totals }) = records.last().map(|record| &record.body) else {
        panic!("{records:?}")
    };
    assert_eq!(*outcome, Outcome::Delivered);
    assert_eq!((totals.rows, totals.answer_rows, totals.bytes), (TRIPS as u64, TRIPS as u64, bytes));
    assert_eq!((totals.calls, totals.data_sets, rows_named(&records)), (0, 1, TRIPS as u64));
}

/// A client that hangs up leaves a closing record that says so, with what had left; it pays nothing, and its data set comes back.
#[tokio::test(flavor = "multi_thread")]
async fn hanging_up_closes_the_receipt() {
    let (served, order) = served().await;
    for _ in 0..3 {
        let mut response = served.begun(&order, "/export?format=csv").await;
        let receipt = receipt_of(&response);
        assert!(!response.chunk().await.unwrap().unwrap().is_empty());
        drop(response);
        let (records, outcome, totals) = served.closed(&receipt).await;
        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() });
        assert_eq!((totals.calls, totals.data_sets), (0, 0));
        assert!(totals.bytes > 0 && totals.rows < TRIPS as u64, "{totals:?}");
        assert_eq!(rows_named(&records), totals.rows, "{records:?}");
        let closings = records.iter().filter(|record| matches!(record.body, ReceiptBody::Closed { .. })).count();
        assert_eq!(closings, 1);
    }
    for _ in 0..3 {
        served.ok_soon(&order, "/export?format=csv").await;
    }
    assert_eq!(served.get(&order, "/export").await.problem(), (403, "quota_exceeded".to_owned()));
}

/// Who hangs up pays for a data set when half of its rows left, however many were named ahead of them. The body is taken by
/// hand, as a connection takes it, so that no buffer of the system stands between.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_is_paid_when_half_of_it_left() {
    const ROWS: usize = 20_000;
    let served = Served::open(None, ROWS).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 9)).await;
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
    // Of 20,000 rows the first part names one batch, and the second all others or another batch at least.
    for (lines_wanted, is_paid) in [(1, false), (8_500, false), (11_500, true)] {
        let request = StreamRequest {
            mode: Mode::File,
            sql: format!("SELECT * FROM {TRIP_RECORDS}"),
            request: "test".to_owned(),
            format: Format::Csv,
            limits: Admission::limits(Mode::File),
            frame: JsonFrame::default(),
        };
        let mut streamed = deliveries.stream(&admission, request).await.unwrap();
        let mut lines = 0;
        while lines < lines_wanted {
            let piece = streamed.body.next().await.unwrap().unwrap();
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
        }
        // One more, so that what came before is taken.
        drop(streamed.body.next().await);
        drop(streamed.body);
        let (records, outcome, totals) = served.closed(streamed.receipt.as_str()).await;
        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() });
        if lines_wanted == 8_500 {
            assert!(rows_named(&records) * 2 >= ROWS as u64, "most of it was named: {}", rows_named(&records));
        }
        assert_eq!(totals.data_sets, u64::from(is_paid), "{lines} lines of {ROWS} left, {totals:?}");
    }
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// The same of an order that sees a fifth of the product's rows: it is half of these that are charged.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_set_of_which_a_part_is_granted_is_paid_when_half_of_that_left() {
    let scenario = Scenario::open_guarded(TRIPS).await;
    let served = Served::of(scenario, Settings::default()).await;
    let granted = (0..TRIPS).filter(|trip| Trip::of(*trip).line == "L1").count();
    assert!(granted * 4 < TRIPS);
    let order = served.scenario.order(Who::First, TRIP_GUARDED, &[Mode::File], (0, 9)).await;
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit(Some(&order.key), TRIP_GUARDED, "rest").await.unwrap();
    // Wide rows, so that there are many pieces.
    let columns: Vec<String> = (0..20).map(|number| format!("vehicle AS vehicle_{number}")).collect();
    for (lines_wanted, is_paid) in [(1, false), (granted / 3, false), (granted * 2 / 3, true)] {
        let request = StreamRequest {
            mode: Mode::File,
            sql: format!("SELECT trip_id, {} FROM {TRIP_GUARDED}", columns.join(", ")),
            request: "test".to_owned(),
            format: Format::Csv,
            limits: Admission::limits(Mode::File),
            frame: JsonFrame::default(),
        };
        let mut streamed = deliveries.stream(&admission, request).await.unwrap();
        let mut lines = 0;
        while lines < lines_wanted {
            let piece = streamed.body.next().await.unwrap().unwrap();
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
        }
        // One more, so that what came before is taken.
        drop(streamed.body.next().await);
        drop(streamed.body);
        let (_, outcome, totals) = served.closed(streamed.receipt.as_str()).await;
        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() });
        assert!(totals.answer_rows as usize <= granted, "{totals:?}");
        assert_eq!(totals.data_sets, u64::from(is_paid), "{lines} lines of {granted} left, {totals:?}");
    }
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// A suspension ends a running answer at its next batch; the body has no end, and the record says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspension_cuts_a_running_answer() {
    let (served, order) = served().await;
    let mut response = served.begun(&order, "/export?format=csv").await;
    let receipt = receipt_of(&response);
    response.chunk().await.unwrap().unwrap();
    served.scenario.suspend_mandate("数据召回").await;
    let mut lines = 0u64;
    let cut = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64,
            Ok(None) => break false,
            Err(_) => break true,
        }
    };
    assert!(cut, "the body must not end as if it were whole");
    assert!(lines < TRIPS as u64);
    let (records, outcome, totals) = served.closed(&receipt).await;
    assert_eq!(outcome, Outcome::Stopped { code: "grant_suspended".to_owned() });
    assert_eq!((totals.calls, totals.data_sets), (0, 0));
    assert_eq!(rows_named(&records), totals.rows);
    assert!(totals.rows < TRIPS as u64);
    assert_eq!(served.get(&order, "/rows?limit=1").await.problem(), (403, "grant_suspended".to_owned()));
    served.scenario.resume_mandate().await;
    served.get(&order, "/rows?limit=1").await.ok();
}

/// The data set as bytes.
fn whole() -> StreamRequest {
    StreamRequest {
        mode: Mode::File,
        sql: format!("SELECT * FROM {TRIP_RECORDS}"),
        request: "test".to_owned(),
        format: Format::Csv,
        limits: Admission::limits(Mode::File),
        frame: JsonFrame::default(),
    }
}

/// The order with another key of its own.
async fn with_another_key(served: &Served, order: &Ordered) -> Ordered {
    let clerk = served.scenario.clerk(Who::First);
    let issued = served.scenario.app.issue_service_key(clerk, &order.id, Default::default()).await.unwrap();
    Ordered { key: issued.key.to_string(), ..order.clone() }
}

/// Revokes the key of an order that was issued last.
async fn revoke_newest(served: &Served, order: &Ordered) {
    let key = served.scenario.app.read(|state| state.orders[&order.id].value.service_keys.last().unwrap().id.clone());
    let revoke = Command::RevokeServiceKey { order: order.id.clone(), key };
    served.scenario.act(served.scenario.clerk(Who::First), revoke).await;
}

/// A key that is revoked ends what was asked with it at the next piece, as bytes and as batches; what another key of the order asked
/// for goes on to its end.
#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_key_cuts_what_was_asked_with_it() {
    /// The one that is taken, the one that waits, and the one that is on its way between.
    const PIECES_LEFT_MAX: usize = 3;
    let (served, order) = served().await;
    let revoked = with_another_key(&served, &order).await;
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    let admission = deliveries.admit(Some(&order.key), TRIP_RECORDS, "rest").await.unwrap();
    let mut goes_on = deliveries.stream(&admission, whole()).await.unwrap();
    let admission = deliveries.admit(Some(&revoked.key), TRIP_RECORDS, "rest").await.unwrap();
    let mut as_bytes = deliveries.stream(&admission, whole()).await.unwrap();
    let StreamRequest { mode, sql, request, limits, .. } = whole();
    let request = BatchRequest { mode, sql, parameters: Vec::new(), request, limits };
    let mut as_batches = deliveries.batches(&admission, request).await.unwrap();
    goes_on.body.next().await.unwrap().unwrap();
    as_bytes.body.next().await.unwrap().unwrap();
    as_batches.batches.next().await.unwrap().unwrap();
    revoke_newest(&served, &order).await;

    let mut bytes: Vec<_> = as_bytes.body.collect().await;
    assert_eq!(bytes.pop().unwrap().unwrap_err().problem.code, "bad_service_key");
    assert!(bytes.len() <= PIECES_LEFT_MAX && bytes.iter().all(Result::is_ok), "{}", bytes.len());
    let mut batches: Vec<_> = as_batches.batches.collect().await;
    assert_eq!(batches.pop().unwrap().unwrap_err().problem.code, "bad_service_key");
    assert!(batches.len() <= PIECES_LEFT_MAX && batches.iter().all(Result::is_ok), "{}", batches.len());
    for receipt in [as_bytes.receipt, as_batches.receipt] {
        let (records, outcome, totals) = served.closed(receipt.as_str()).await;
        assert_eq!(outcome, Outcome::Stopped { code: "bad_service_key".to_owned() });
        assert_eq!((totals.data_sets, rows_named(&records)), (0, totals.rows));
        assert!(totals.rows < TRIPS as u64);
    }
    assert!(goes_on.body.all(|piece| async move { piece.is_ok() }).await);
    let (_, outcome, totals) = served.closed(goes_on.receipt.as_str()).await;
    assert_eq!((outcome, totals.data_sets, totals.rows), (Outcome::Delivered, 1, TRIPS as u64));
    let refused = deliveries.admit(Some(&revoked.key), TRIP_RECORDS, "rest").await.unwrap_err();
    assert_eq!(refused.problem().code, "bad_service_key");
}

/// A consumer may revoke his key himself, so it is for him as if he hung up: when half of the data set has left he pays for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_his_key_revoked_pays_when_half_of_the_data_set_left() {
    const ROWS: usize = 20_000;
    let served = Served::open(None, ROWS).await;
    let order = served.scenario.order(Who::First, TRIP_RECORDS, &[Mode::File], (0, 9)).await;
    let deliveries = Deliveries::new(served.scenario.app.clone(), Settings::default());
    for (lines_wanted, is_paid) in [(1, false), (12_000, true)] {
        let revoked = with_another_key(&served, &order).await;
        let admission = deliveries.admit(Some(&revoked.key), TRIP_RECORDS, "rest").await.unwrap();
        let mut streamed = deliveries.stream(&admission, whole()).await.unwrap();
        let mut lines = 0;
        while lines < lines_wanted {
            let piece = streamed.body.next().await.unwrap().unwrap();
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
        }
        revoke_newest(&served, &order).await;
        let last = streamed.body.collect::<Vec<_>>().await.pop().unwrap();
        assert_eq!(last.unwrap_err().problem.code, "bad_service_key");
        let (_, outcome, totals) = served.closed(streamed.receipt.as_str()).await;
        assert_eq!(outcome, Outcome::Stopped { code: "bad_service_key".to_owned() });
        assert_eq!(totals.data_sets, u64::from(is_paid), "{lines} lines of {ROWS} left, {totals:?}");
    }
}
