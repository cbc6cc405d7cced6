//! What passes a limit of the engine: the consumer is told which by each door's own code, a receipt that was opened says the same
//! and charges nothing, and the next question is answered.

use std::time::{Duration, Instant};

use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_domain::scope::Mode;
use lingqu_engine::EngineSettings;
use lingqu_tests::scenario::{Scenario, TRIP_RECORDS, Who};

use crate::doors::{Door, Stage, ask};
use crate::served::{Guarded, large};

/// How long a query may take here. What is asked for after it has as long, while the threads of the first still come to their ends.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Trips there are: more than a batch of them, and far more than the little memory holds.
const TRIPS: usize = 40_000;
/// How much memory all queries have together where it is little, and how much space for spilling, in bytes.
const MEMORY_BYTES_MAX: usize = 4 << 20;
const SPILL_BYTES_MAX: u64 = 1 << 20;
/// How long a delivery may take until it is closed.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two million pairs, each with 40,000 rows: 80 thousand million comparisons over little memory.
const LONG: &str = "SELECT count(*) AS n FROM trip_records a, trip_records b, trip_records c \
    WHERE a.trip_id < 2000 AND b.trip_id < 2000 AND a.trip_id < b.trip_id \
    AND c.trip_id <> a.trip_id AND c.trip_id <> b.trip_id";
/// Many million rows where a call has at most 10,000.
const MANY: &str = "SELECT a.trip_id FROM trip_records a JOIN trip_records b ON a.line = b.line";
/// The same with a text of 342 bytes: more than is held back over HTTP have left before the limit is passed.
const MANY_LONG: &str = "SELECT a.note FROM trip_records a JOIN trip_records b ON a.line = b.line";
/// Texts of 13,680 bytes, where a call has at most 64 MiB. Where texts grow so a batch has few rows, so many have left before.
const LARGE: &str = "SELECT concat(x, x, x, x, x, x, x, x) AS y \
    FROM (SELECT concat(note, note, note, note, note) AS x FROM trip_records) t";
/// As many groups as rows, by a long text.
const GROUPED: &str = "SELECT note, count(*) AS n FROM trip_records GROUP BY note";
/// What each door answers afterwards.
const SMALL: &str = "SELECT trip_id FROM trip_records WHERE trip_id < 3";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn time_rows_and_bytes_end_a_query_by_their_own_codes_at_every_door() {
    passed(|engine| EngineSettings { time_max: TIME_MAX, ..engine }, &[(LONG, "time_limit_exceeded")]).await;
    let passing = [(MANY, "rows_limit_exceeded"), (MANY_LONG, "rows_limit_exceeded"), (LARGE, "bytes_limit_exceeded")];
    passed(|engine| engine, &passing).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_ends_a_query_by_its_own_code_at_every_door() {
    let little = |engine: EngineSettings| EngineSettings {
        memory_bytes_max: MEMORY_BYTES_MAX,
        spill_bytes_max: SPILL_BYTES_MAX,
        ..engine
    };
    passed(little, &[(GROUPED, "memory_limit_exceeded")]).await;
}

/// Asks each door what passes a limit, with what is to come of it.
async fn passed(engine: impl FnOnce(EngineSettings) -> EngineSettings, passing: &[(&str, &'static str)]) {
    let scenario = Scenario::open(None, TRIPS).await;
    let order = scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], large()).await;
    // The product is made while there is enough of everything.
    scenario.app.serving(&order.key).await.expect("the order is in force");
    let guarded = Guarded::of(scenario.reopened(engine).await, order).await;
    for door in Door::ALL {
        for (sql, code) in passing {
            let before = guarded.scenario.app.receipts().head().await.expect("the log can be read");
            let Some(seen) = ask(&guarded, &guarded.order, door, &[*sql, SMALL]).await else { continue };
            // Rows are counted as they come, and over HTTP an answer of which some have left can only break off.
            let breaks_off = door == Door::Http && [MANY_LONG, LARGE].contains(sql);
            let is_right = if breaks_off {
                seen[0].is_cut()
            } else {
                seen[0].code == *code && seen[0].refused_at(door) == Some(Stage::Run)
            };
            assert!(is_right, "{door:?}: {sql}\n  should be {code}, is {}", seen[0].short());
            assert!(!seen[0].said.contains("途经"), "{door:?}: {}", seen[0].short());
            assert_eq!(seen[1].rows.as_ref().map(Vec::len), Some(3), "{door:?}: {}", seen[1].short());
            // What ended before its delivery was opened has no receipt; what an answer over HTTP that broke off could not say has one.
            let mut closed = closed_since(&guarded, before).await;
            let (outcome, totals) = closed.pop().expect("what was answered is closed");
            assert_eq!((outcome, totals.calls), (Outcome::Delivered, 1), "{door:?}: {sql}");
            assert!(closed.len() == 1 || (closed.is_empty() && !breaks_off), "{door:?}: {sql}: {closed:?}");
            for (outcome, totals) in closed {
                assert_eq!(
                    (outcome, totals.calls),
                    (Outcome::Stopped { code: (*code).to_owned() }, 0),
                    "{door:?}: {sql}"
                );
                if door == Door::Http {
                    let has_left = totals.bytes > 0 && totals.answer_rows > 0;
                    let has_not = totals.bytes == 0 && totals.answer_rows == 0 && totals.answer.is_none();
                    assert!(if breaks_off { has_left } else { has_not }, "{sql}: {totals:?}");
                }
            }
        }
    }
}

/// How the deliveries after a position ended, in the order in which they began.
async fn closed_since(guarded: &Guarded, position: u64) -> Vec<(Outcome, Totals)> {
    let log = guarded.scenario.app.receipts();
    let begun = Instant::now();
    loop {
        let mut opened = Vec::new();
        let mut closed = Vec::new();
        for position in position + 1..=log.head().await.expect("the log can be read") {
            let stored = log.read(position).await.expect("the log can be read").expect("it has no gap");
            let record: ReceiptRecord = serde_json::from_slice(&stored.receipt.record).expect("a record is JSON");
            match record.body {
                ReceiptBody::Opened(_) => opened.push(record.receipt),
                ReceiptBody::Closed { outcome, totals } => closed.push((record.receipt, outcome, totals)),
                ReceiptBody::Part { .. } | ReceiptBody::Single { .. } => {}
            }
        }
        if !opened.is_empty() && opened.len() == closed.len() {
            closed.sort_by_key(|(receipt, ..)| opened.iter().position(|known| known == receipt));
            return closed.into_iter().map(|(_, outcome, totals)| (outcome, totals)).collect();
        }
        assert!(begun.elapsed() < PATIENCE, "a delivery is not closed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
