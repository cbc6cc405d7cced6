//! Quotas under many clients at once: used up to the last call and never beyond.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::SignedDuration;
use lingqu_app::{App, AppSettings, Clock};
use lingqu_domain::order::{DayQuota, Quota, QuotaUnit};
use lingqu_domain::predicate::Literal;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Claim, Deliveries, Settings};
use lingqu_tests::scenario::{Ordered, PERSON_CHECK, Scenario, TRIP_CHECK, TRIP_RECORDS, Who, id_number};
use lingqu_tests::{PrivatePostgres, until_waiting};
use sea_orm::{ConnectionTrait, Database, TransactionTrait};
use serde_json::json;

use crate::changes::given_up_after;
use crate::per_day::begin_a_day;
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

/// Whoever hangs up, at whatever moment, is charged for what the receipts say and for nothing else: a record that was handed
/// in is written though nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_is_charged_for_what_the_receipts_say() {
    const QUOTA: u64 = 1_000;
    const ATTEMPTS: usize = 60;
    /// More than a verification needs.
    const POLLS_MAX: usize = 4;
    let served = Served::open(None, 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (QUOTA, 0)).await;
    let app = &served.scenario.app;
    let deliveries = Deliveries::new(Arc::clone(app), Settings::default());
    let claim = Claim {
        key: vec![Literal::Integer(60)],
        values: BTreeMap::from([("late".to_owned(), Some(Literal::Boolean(true)))]),
    };
    let ask = async || {
        let admission = deliveries.admit_order(Some(&order.key), "rest").await.unwrap();
        let keyed = deliveries.keyed(admission, Mode::Verification).await.unwrap();
        let claims = [claim.clone()];
        deliveries.verify(&keyed, &claims, "asked".to_owned(), |_, _| Ok(b"answer".to_vec())).await.unwrap();
    };
    // What the product is opened with takes its time once.
    ask().await;
    let mut answered = 1;
    for attempt in 0..ATTEMPTS {
        answered += u64::from(given_up_after(1 + attempt % POLLS_MAX, ask()).await.is_some());
    }
    // Whatever was handed in before it is durable with this one.
    ask().await;
    answered += 1;
    let mut calls = 0;
    for (_, record) in app.order_receipts(&order.id, 0, 1_000).await.unwrap() {
        let ReceiptBody::Single { totals, .. } = record.body else { panic!("{record:?}") };
        calls += totals.calls;
    }
    assert!(calls > answered, "nobody hung up between the handing in and the answer: {calls} of {answered}");
    let serving = deliveries.admit_order(Some(&order.key), "rest").await.unwrap().serving;
    let places = app.quota_places(&serving, None);
    let account = &places.iter().find(|place| place.unit == QuotaUnit::Calls).unwrap().account;
    // What never got so far comes back by a task of its own.
    for _ in 0..200 {
        if app.quota().left(account).await == Some(QUOTA - calls) {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("{calls} calls by the receipts, and {:?} of {QUOTA} are left", app.quota().left(account).await);
}

/// Whoever hangs up while his record is on its way leaves it to others: the use stays open until it is known whether the record is
/// there. Where it could not be written what was debited comes back, and the receipts are counted by whoever comes next.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_nobody_waits_for_is_heard_of() {
    /// The lock of whoever writes receipts, among PostgreSQL's advisory locks.
    const RECEIPTS_LOCK: i64 = 0x4c51_0002;
    let Some(server) = PrivatePostgres::needed("records that nobody waits for") else { return };
    let url = server.create_database().await;
    let served = Served::open(Some(url.clone()), 100).await;
    let order = served.scenario.order(Who::First, TRIP_CHECK, &[Mode::Verification], (1_000, 0)).await;
    let app = &served.scenario.app;
    let deliveries = Deliveries::new(Arc::clone(app), Settings::default());
    let ask = || {
        let (deliveries, key) = (deliveries.clone(), order.key.clone());
        let values = BTreeMap::from([("late".to_owned(), Some(Literal::Boolean(true)))]);
        let claims = [Claim { key: vec![Literal::Integer(60)], values }];
        async move {
            let admission = deliveries.admit_order(Some(&key), "rest").await.unwrap();
            let keyed = deliveries.keyed(admission, Mode::Verification).await.unwrap();
            drop(deliveries.verify(&keyed, &claims, "asked".to_owned(), |_, _| Ok(b"answer".to_vec())).await);
        }
    };
    ask().await;
    let serving = deliveries.admit_order(Some(&order.key), "rest").await.unwrap().serving;
    let places = app.quota_places(&serving, None);
    let account = &places.iter().find(|place| place.unit == QuotaUnit::Calls).unwrap().account;
    let database = Database::connect(url).await.unwrap();
    for is_refused in [false, true] {
        let before = app.quota().left(account).await.unwrap();
        let lock = database.begin().await.unwrap();
        lock.execute_unprepared(&format!("SELECT pg_advisory_xact_lock({RECEIPTS_LOCK})")).await.unwrap();
        let asking = tokio::spawn(ask());
        until_waiting(&database, 1).await;
        asking.abort();
        assert!(asking.await.unwrap_err().is_cancelled());
        assert_eq!(app.quota().open_uses(), 1, "nobody waits, and it is not known what became of it");
        if is_refused {
            // Who was taken for dead writes no record any more.
            database.execute_unprepared("UPDATE quota_process SET seen_at_unix = 0").await.unwrap();
        }
        lock.commit().await.unwrap();
        for _ in 0..500 {
            if app.quota().open_uses() == 0 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert_eq!(app.quota().open_uses(), 0);
        assert_eq!(app.quota().is_left_to_receipts(), is_refused);
        assert_eq!(app.quota().left(account).await, Some(before - u64::from(!is_refused)));
    }
    assert_eq!(app.order_receipts(&order.id, 0, 10).await.unwrap().len(), 2);
}

/// Quota of rows and bytes beside calls that are no limit.
fn limited(rows: Option<u64>, bytes: Option<u64>) -> Quota {
    Quota { calls: 100_000, data_sets: 1_000, rows, bytes, ..Quota::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_clients_get_exactly_the_rows_of_the_quota() {
    const ROWS: u64 = 100;
    let served = Arc::new(Served::open(None, 2_000).await);
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], limited(Some(ROWS), None)).await;
    let order = Arc::new(order);
    let mut clients = Vec::new();
    for _ in 0..4 {
        let (served, order) = (Arc::clone(&served), Arc::clone(&order));
        clients.push(tokio::spawn(async move {
            let mut rows = 0;
            for _ in 0..10 {
                let reply = served.get(&order, "/rows?limit=7").await;
                match reply.status {
                    200 => rows += reply.json()["rows"].as_array().unwrap().len() as u64,
                    429 => {}
                    _ => assert_eq!(reply.problem(), (403, "quota_exceeded".to_owned())),
                }
            }
            rows
        }));
    }
    let mut rows = 0;
    for client in clients {
        rows += client.await.unwrap();
    }
    // Pages of seven fill the hundred but for two.
    assert_eq!(rows, 98);
    let rest = served.ok_soon(&order, "/rows?limit=2").await;
    assert!(rest.header("ratelimit").unwrap().contains("\"rows\";r=0"), "{rest:?}");
    assert_eq!(served.get(&order, "/rows?limit=1").await.problem(), (403, "quota_exceeded".to_owned()));
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// What has left when the quota ends is what the receipt says, and no more than the quota.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_stops_when_the_quota_ends() {
    let served = Served::open(None, 60_000).await;
    for (quota, limit) in [(limited(Some(20_000), None), 20_000), (limited(None, Some(1_000_000)), 1_000_000)] {
        let is_rows = quota.rows.is_some();
        let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::File], quota).await;
        let response = served.request(reqwest::Method::GET, &order, "/export?format=ndjson").send().await.unwrap();
        let mut left = 0;
        let receipt = if response.status() == 200 {
            let receipt = crate::served::receipt_of(&response);
            let mut response = response;
            // An error ends it: it is not whole.
            let ended = loop {
                match response.chunk().await {
                    Ok(Some(chunk)) => left += chunk.len() as u64,
                    Ok(None) => break true,
                    Err(_) => break false,
                }
            };
            assert!(!ended, "the answer was whole");
            receipt
        } else {
            let records = served.scenario.app.order_receipts(&order.id, 0, 10).await.unwrap();
            records[0].1.receipt.to_string()
        };
        let (_, outcome, totals) = served.closed(&receipt).await;
        assert_eq!(outcome, Outcome::Stopped { code: "quota_exceeded".to_owned() });
        let used = if is_rows { totals.answer_rows } else { totals.bytes };
        assert!(used <= limit, "{used} of {limit}");
        assert!(left <= totals.bytes, "{left} bytes came and the receipt says {}", totals.bytes);
        assert_eq!((totals.calls, totals.data_sets), (0, 0), "what was cut off is free");
    }
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// An answer of several pieces that is there before the first of them leaves is refused whole when the quota has bytes for a part of
/// it, and costs nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_answer_leaves_whole_or_not_at_all() {
    const PAGE: &str = "/rows?limit=1500";
    let served = Served::open(None, 60_000).await;
    let generous =
        served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], limited(None, Some(1 << 30))).await;
    let bytes = served.ok_soon(&generous, PAGE).await.body.len() as u64;
    assert!((300_000..1_000_000).contains(&bytes), "{bytes} bytes are several pieces, and held back");
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], limited(None, Some(bytes))).await;
    let small = served.ok_soon(&order, "/rows?limit=1").await.body.len() as u64;
    assert_eq!(served.get(&order, PAGE).await.problem(), (403, "quota_exceeded".to_owned()));
    assert_eq!(
        rows_and_bytes_left_soon(&served, &order, (None, Some(bytes - small))).await,
        (None, Some(bytes - small))
    );
    let again = served.ok_soon(&order, "/rows?limit=1").await.body.len() as u64;
    let left = (None, Some(bytes - small - again));
    assert_eq!(rows_and_bytes_left_soon(&served, &order, left).await, left, "what is left can be asked for");
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// What the parts of a delivery let out: rows of the answer and bytes.
fn let_out(records: &[ReceiptRecord]) -> (u64, u64) {
    records.iter().fold((0, 0), |(rows, bytes), record| match record.body {
        ReceiptBody::Part { answer_rows, bytes_reserved, .. } => (rows + answer_rows, bytes + bytes_reserved),
        _ => (rows, bytes),
    })
}

/// What is left of an order's rows and bytes over the term, as far as this process knows.
async fn rows_and_bytes_left(served: &Served, order: &Ordered) -> (Option<u64>, Option<u64>) {
    let app = &served.scenario.app;
    let left = async |unit: &str| app.quota().left(&format!("{}/{unit}", order.id)).await;
    (left("rows").await, left("bytes").await)
}

/// The same, once it is as expected: a delivery is settled a moment after its closing record can be read.
async fn rows_and_bytes_left_soon(
    served: &Served,
    order: &Ordered,
    expected: (Option<u64>, Option<u64>),
) -> (Option<u64>, Option<u64>) {
    for _ in 0..200 {
        if rows_and_bytes_left(served, order).await == expected {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    rows_and_bytes_left(served, order).await
}

/// Rows and bytes are let out by durable records before they leave; what was let out and did not leave comes back.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_let_out_ahead_is_settled_after() {
    const ROWS: u64 = 1 << 30;
    const BYTES: u64 = 1 << 39;
    let served = Served::open(None, 60_000).await;
    let modes = [Mode::Rows, Mode::File];
    let quota = limited(Some(ROWS), Some(BYTES));
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &modes, quota).await;
    let (mut rows, mut bytes) = (0, 0);
    for path in ["/export?format=ndjson", "/export?format=parquet", "/rows?limit=7", "/rows?filter=line:eq:nowhere"] {
        let reply = served.ok_soon(&order, path).await;
        let (records, outcome, totals) = served.closed(reply.header("delivery-receipt").unwrap()).await;
        assert_eq!(outcome, Outcome::Delivered);
        let out = let_out(&records);
        assert_eq!((out.0, totals.bytes), (totals.answer_rows, reply.body.len() as u64), "{path}");
        assert!(out.1 >= totals.bytes, "{path}: {} bytes left and {} were let out", totals.bytes, out.1);
        (rows, bytes) = (rows + totals.answer_rows, bytes + totals.bytes);
    }
    // Rows that are made of none are counted in a part that names none.
    let sql = "EXPLAIN SELECT line FROM trip_records";
    let reply = served.post(&order, "/query", json!({ "sql": sql })).await.ok();
    let (records, _, totals) = served.closed(reply.header("delivery-receipt").unwrap()).await;
    assert!(totals.answer_rows > 0 && totals.rows == 0);
    assert_eq!(let_out(&records).0, totals.answer_rows);
    (rows, bytes) = (rows + totals.answer_rows, bytes + totals.bytes);
    let left = (Some(ROWS - rows), Some(BYTES - bytes));
    assert_eq!(rows_and_bytes_left_soon(&served, &order, left).await, left);
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// Of a delivery that a crash cut off, rows and bytes are counted as far as its records let them out, on the day on which it
/// began; a second crash changes nothing.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_cut_off_is_counted_as_far_as_it_was_let_out() {
    let served = Served::open(None, 60_000).await;
    let per_day = Some(DayQuota { rows: Some(1 << 30), ..DayQuota::default() });
    let quota = Quota { per_day, ..limited(Some(1 << 30), Some(1 << 39)) };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::File], quota).await;
    served.ok_soon(&order, "/export?format=csv&filter=line:eq:L9").await;
    // Its client takes nothing more, so the node stands still.
    let response = served.begun(&order, "/export?format=ndjson").await;
    let receipt = crate::served::receipt_of(&response);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let behind = jiff::Timestamp::now().duration_since(served.scenario.app.now());
    for _ in 0..2 {
        let directory = copy.path().to_owned();
        let clock = Clock::behind(behind);
        let app = App::open(AppSettings { clock, ..AppSettings::of(directory) }).await.unwrap();
        let (mut rows, mut bytes, mut cut) = (0, 0, Vec::new());
        // Midnight may pass between the two.
        let mut rows_by_day = BTreeMap::new();
        for (_, record) in app.order_receipts(&order.id, 0, 1_000).await.unwrap() {
            if let ReceiptBody::Closed { totals, .. } = &record.body {
                (rows, bytes) = (rows + totals.answer_rows, bytes + totals.bytes);
                *rows_by_day.entry(totals.day.expect("rows are counted by the day")).or_insert(0) += totals.answer_rows;
            }
            if record.receipt.as_str() == receipt {
                cut.push(record);
            }
        }
        let Some(ReceiptBody::Closed { outcome, totals }) = cut.last().map(|record| &record.body) else {
            panic!("{cut:?}")
        };
        assert_eq!(*outcome, Outcome::Stopped { code: "interrupted".to_owned() });
        assert_eq!((totals.answer_rows, totals.bytes), let_out(&cut));
        assert!(totals.answer_rows > 0 && totals.bytes > 0 && totals.day.is_some(), "{totals:?}");
        assert_eq!((totals.calls, totals.data_sets), (0, 0), "what was cut off is free");
        let accounts = app.store().snapshot().await.unwrap().quota_accounts(None).await.unwrap();
        let held = |name: &str| {
            let name = format!("{}/{name}", order.id);
            accounts.iter().find(|account| account.account == name).map(|account| (account.used, account.leased))
        };
        assert_eq!(held("rows"), Some((rows, 0)));
        assert_eq!(held("bytes"), Some((bytes, 0)));
        for (day, rows) in rows_by_day {
            assert_eq!(held(&format!("rows/{day}")), Some((rows, 0)));
        }
        let report = app.replay_check().await.unwrap();
        assert!(report.agrees, "{:?}", report.differences);
        // What this one leased, had it leased anything, nobody gives back either.
        app.receipts().close().await;
    }
    drop(response);
}

/// A process that is missed as another one starts, too late for the start to take up what it left, is charged what it let out all
/// the same: the start leaves it to those who look several times a minute.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_missed_in_the_middle_of_a_start_is_charged_what_he_let_out() {
    let Some(server) = PrivatePostgres::needed("a start beside a dying process") else { return };
    let url = server.create_database().await;
    let served = Served::open(Some(url.clone()), 60_000).await;
    let quota = limited(Some(1 << 30), Some(1 << 39));
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::File], quota).await;
    // Its client takes nothing more, so the process stands still.
    let response = served.begun(&order, "/export?format=ndjson").await;
    let receipt = crate::served::receipt_of(&response);
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    // Its last sign gets too old when the start has just looked for such.
    let process = served.scenario.app.quota().process();
    let miss = format!(
        "CREATE FUNCTION miss() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         UPDATE quota_process SET seen_at_unix = 1 WHERE process = '{process}' AND seen_at_unix > 1; \
         RETURN NULL; END $$"
    );
    let once_looked = "CREATE TRIGGER miss AFTER UPDATE ON quota_process FOR EACH STATEMENT \
                       WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION miss()";
    let database = Database::connect(url.clone()).await.unwrap();
    database.execute_unprepared(&miss).await.unwrap();
    database.execute_unprepared(once_looked).await.unwrap();

    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let directory = copy.path().to_owned();
    let clock = Clock::behind(jiff::Timestamp::now().duration_since(served.scenario.app.now()));
    let app = App::open(AppSettings { database_url: Some(url), clock, ..AppSettings::of(directory) }).await.unwrap();
    let closings = app.receipts().positions_of_receipt_kinds(&receipt, &["closed"]).await.unwrap();
    assert_eq!(closings, Vec::<u64>::new(), "it was missed before the start looked for such");
    app.take_up_abandoned().await.unwrap();
    let records = app.order_receipts(&order.id, 0, 1_000).await.unwrap();
    let records: Vec<ReceiptRecord> = records.into_iter().map(|(_, record)| record).collect();
    let Some(ReceiptBody::Closed { outcome, totals }) = records.last().map(|record| &record.body) else {
        panic!("{records:?}")
    };
    assert_eq!(*outcome, Outcome::Stopped { code: "interrupted".to_owned() });
    assert_eq!((totals.answer_rows, totals.bytes), let_out(&records));
    assert!(totals.answer_rows > 0 && totals.bytes > 0, "{totals:?}");
    let accounts = app.store().snapshot().await.unwrap().quota_accounts(None).await.unwrap();
    let held = |unit: &str| {
        let name = format!("{}/{unit}", order.id);
        accounts.iter().find(|account| account.account == name).map(|account| (account.used, account.leased))
    };
    assert_eq!(held("rows"), Some((totals.answer_rows, 0)));
    assert_eq!(held("bytes"), Some((totals.bytes, 0)));
    app.close().await.unwrap();
    drop(response);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_s_quota_comes_back_with_the_day() {
    let served = Served::of(Scenario::open_behind(100, 3).await, Settings::default()).await;
    begin_a_day(&served.scenario);
    let per_day = Some(DayQuota { calls: Some(3), ..DayQuota::default() });
    let quota = Quota { calls: 5, per_day, ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_CHECK, &[Mode::Verification], quota).await;
    let claim = || json!({"key": {"trip_id": 60}, "claim": {"late": true}});
    for left in (0..3).rev() {
        let reply = served.post(&order, "/verify", claim()).await.ok();
        let policy = "\"calls\";q=5, \"calls_per_day\";q=3;w=86400, \"data_sets\";q=0";
        assert_eq!(reply.header("ratelimit-policy"), Some(policy));
        assert!(reply.header("ratelimit").unwrap().contains(&format!("\"calls_per_day\";r={left};t=")), "{reply:?}");
    }
    assert_eq!(served.post(&order, "/verify", claim()).await.problem(), (403, "quota_exceeded".to_owned()));
    served.scenario.app.clock().advance(SignedDuration::from_hours(24));
    for _ in 0..2 {
        served.post(&order, "/verify", claim()).await.ok();
    }
    // The term's is used up before the day's.
    assert_eq!(served.post(&order, "/verify", claim()).await.problem(), (403, "quota_exceeded".to_owned()));
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

#[tokio::test(flavor = "multi_thread")]
async fn distinct_subjects_are_counted_once() {
    let served = Served::of(Scenario::open_behind(100, 3).await, Settings::default()).await;
    begin_a_day(&served.scenario);
    for person in 0..4 {
        served.scenario.consent(&id_number(person)).await;
    }
    let per_day = Some(DayQuota { subjects: Some(2), ..DayQuota::default() });
    let quota = Quota { calls: 1_000, subjects: Some(3), per_day, ..Quota::default() };
    let order = served.scenario.order_with(Who::First, PERSON_CHECK, &[Mode::Verification], quota).await;
    let ask = async |people: &[usize]| {
        let claims: Vec<_> = people
            .iter()
            .map(|person| json!({"key": {"id_number": id_number(*person)}, "claim": {"qualified": true}}))
            .collect();
        served.post(&order, "/verify", json!({"claims": claims})).await
    };
    let exceeded = (403, "quota_exceeded".to_owned());
    ask(&[0]).await.ok();
    // One too many for the day: nobody of them is counted, and nothing was said of them.
    let head = served.receipt_head().await;
    assert_eq!(ask(&[1, 2]).await.problem(), exceeded);
    assert_eq!(served.receipt_head().await, head);
    ask(&[0, 1]).await.ok();
    for _ in 0..3 {
        ask(&[1, 0]).await.ok();
    }
    assert_eq!(ask(&[2]).await.problem(), exceeded);
    served.scenario.app.clock().advance(SignedDuration::from_hours(24));
    for person in 0..4 {
        served.scenario.consent(&id_number(person)).await;
    }
    ask(&[2]).await.ok();
    // Three in all, by the term.
    assert_eq!(ask(&[3]).await.problem(), exceeded);
    ask(&[0]).await.ok();
    assert_eq!(ask(&[1]).await.problem(), exceeded, "the day's two are 2 and 0");
}
