//! What was reserved for an answer is settled by its receipt: whatever ends it, each account then holds what the receipts say, while
//! the node goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::StreamExt;
use lingqu_app::{App, AppSettings, Clock, Use, lets_out};
use lingqu_crypto::ServiceKey;
use lingqu_domain::order::{DayQuota, Quota};
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use lingqu_domain::scope::Mode;
use lingqu_gateway::delivery::{Admission, BatchRequest, Deliveries, FileRequest, Settings, StreamRequest};
use lingqu_gateway::encode::{Format, JsonFrame};
use lingqu_tests::quota::{differing_accounts, totals_of};
use lingqu_tests::scenario::{Ordered, Scenario, TRIP_RECORDS, TRIP_VEHICLES, VEHICLES, Who, vehicle_of_row};
use lingqu_tests::{Dice, PrivatePostgres};
use roaring::RoaringTreemap;
use sea_orm::{ConnectionTrait, Database};

use crate::served::{Served, receipt_of};

/// Far more than the buffers between server and client hold.
const TRIPS: usize = 60_000;
/// Names the seed of an earlier run.
const SEED_VARIABLE: &str = "LINGQU_SEED";

/// Waits until the order's accounts hold what its receipts say: the last delivery may still be closed.
pub async fn is_exact(app: &App, order: &Ordered) {
    for _ in 0..200 {
        if differing_accounts(app, &order.id).await.is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(differing_accounts(app, &order.id).await, Vec::<String>::new());
}

fn rows(limit: usize) -> BatchRequest {
    BatchRequest {
        mode: Mode::Rows,
        sql: format!("SELECT * FROM {TRIP_RECORDS} LIMIT {limit}"),
        parameters: Vec::new(),
        request: "test".to_owned(),
        limits: Admission::limits(Mode::Rows),
    }
}

/// Whoever hangs up before half of a file has left has his data set back with the closing record, and can have the file.
#[tokio::test(flavor = "multi_thread")]
async fn who_hangs_up_has_his_data_set_back() {
    let served = Served::open(None, TRIPS).await;
    let per_day = Some(DayQuota { data_sets: Some(1), ..DayQuota::default() });
    let quota = Quota { calls: 0, data_sets: 1, per_day, rows: Some(1 << 30), ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::File], quota).await;
    for _ in 0..4 {
        let mut response = served.begun(&order, "/export?format=ndjson").await;
        assert!(response.chunk().await.unwrap().is_some_and(|piece| !piece.is_empty()));
        let receipt = receipt_of(&response);
        drop(response);
        let (_, outcome, totals) = served.closed(&receipt).await;
        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() });
        assert!(totals.data_sets == 0 && totals.bytes > 0 && totals.answer_rows > 0, "{totals:?}");
        is_exact(&served.scenario.app, &order).await;
    }
    served.ok_soon(&order, "/export?format=ndjson").await;
    is_exact(&served.scenario.app, &order).await;
    assert_eq!(served.get(&order, "/export?format=csv").await.problem(), (403, "quota_exceeded".to_owned()));
    let report = served.scenario.app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// The same of a call, by batches, which Flight SQL and PostgreSQL hand on.
#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_from_his_batches_has_his_call_back() {
    let served = Served::open(None, TRIPS).await;
    let quota = Quota { calls: 1, rows: Some(1 << 30), bytes: Some(1 << 39), ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], quota).await;
    let deliveries = Deliveries::new(Arc::clone(&served.scenario.app), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight-sql").await.unwrap();
    for _ in 0..4 {
        let mut begun = deliveries.batches(&admission, rows(10_000)).await.unwrap();
        begun.batches.next().await.unwrap().unwrap();
        drop(begun.batches);
        let (_, outcome, totals) = served.closed(begun.receipt.as_str()).await;
        assert_eq!(outcome, Outcome::Stopped { code: "cancelled".to_owned() });
        assert!(totals.calls == 0 && totals.bytes > 0, "{totals:?}");
        is_exact(&served.scenario.app, &order).await;
    }
    let whole = deliveries.batches(&admission, rows(10_000)).await.unwrap();
    let pieces: Vec<_> = whole.batches.collect().await;
    assert!(pieces.len() > 1 && pieces.iter().all(Result::is_ok));
    is_exact(&served.scenario.app, &order).await;
    let refused = deliveries.batches(&admission, rows(1)).await.unwrap_err();
    assert_eq!(refused.problem().code, "quota_exceeded");
}

/// Many at once, who go away at any moment or stay to the end, until the quota is used up: no account holds otherwise than the
/// receipts say.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_answers_the_accounts_are_what_the_receipts_say() {
    const CLIENTS: u64 = 6;
    const ATTEMPTS: usize = 12;
    let seed = match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64,
    };
    println!("seed {seed}: {SEED_VARIABLE}={seed} draws the same again");
    let scenario = Scenario::open_counted(None, 20_000).await;
    let served = Arc::new(Served::of(scenario, Settings::default()).await);
    let per_day = DayQuota { calls: Some(20), rows: Some(150_000), subjects: Some(VEHICLES), ..DayQuota::default() };
    let quota = Quota {
        calls: 30,
        data_sets: 4,
        rows: Some(200_000),
        bytes: Some(40 << 20),
        subjects: Some(VEHICLES),
        per_day: Some(per_day),
    };
    let modes = [Mode::Rows, Mode::File, Mode::Lookup];
    let order = Arc::new(served.scenario.order_with(Who::First, TRIP_VEHICLES, &modes, quota).await);
    let settings = Settings { streams_per_order_max: 16, ..Settings::default() };
    let deliveries = Deliveries::new(Arc::clone(&served.scenario.app), settings);
    let mut clients = Vec::new();
    for client in 0..CLIENTS {
        let (deliveries, order, served) = (deliveries.clone(), Arc::clone(&order), Arc::clone(&served));
        let mut dice = Dice(seed ^ client);
        clients.push(tokio::spawn(async move {
            let mut stopped = 0;
            for _ in 0..ATTEMPTS {
                if dice.below(4) == 0 {
                    let reply = served.get(&order, &format!("/lookup/{}", dice.below(20_000))).await;
                    assert!(reply.status == 200 || reply.problem().1 == "quota_exceeded");
                    continue;
                }
                let admission = deliveries.admit_order(Some(&order.key), "rest").await.unwrap();
                let mode = if dice.below(3) == 0 { Mode::File } else { Mode::Rows };
                let limit = 1 + dice.below(10_000);
                let taken = dice.below(6) as usize;
                stopped += u64::from(draw(&deliveries, &admission, mode, limit, taken, dice.below(2) == 0).await);
            }
            stopped
        }));
    }
    let mut stopped = 0;
    for client in clients {
        stopped += client.await.unwrap();
    }
    assert!(stopped > 0, "nobody went away in the middle");
    let app = &served.scenario.app;
    is_exact(app, &order).await;
    let totals = totals_of(app, &order.id).await;
    assert!(totals.iter().any(|of_one| of_one.calls == 0 && of_one.data_sets == 0 && of_one.bytes > 0));
    assert_eq!(subjects_used(app, &order).await, vehicles_told(app, &order).await);
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
}

/// Draws some pieces of an answer and goes away; tells whether that was in the middle.
async fn draw(
    deliveries: &Deliveries,
    admission: &Admission,
    mode: Mode,
    limit: u64,
    taken: usize,
    as_bytes: bool,
) -> bool {
    let sql = match mode {
        Mode::File => format!("SELECT * FROM {TRIP_VEHICLES}"),
        _ => format!("SELECT * FROM {TRIP_VEHICLES} LIMIT {limit}"),
    };
    let (request, limits) = ("test".to_owned(), Admission::limits(mode));
    let begun = if as_bytes {
        let request = StreamRequest { mode, sql, request, format: Format::Ndjson, limits, frame: JsonFrame::default() };
        deliveries.stream(admission, request).await.map(|begun| begun.body.map(|piece| piece.map(drop)).boxed())
    } else {
        let request = BatchRequest { mode, sql, parameters: Vec::new(), request, limits };
        deliveries.batches(admission, request).await.map(|begun| begun.batches.map(|piece| piece.map(drop)).boxed())
    };
    let mut pieces = match begun {
        Ok(pieces) => pieces,
        Err(refused) => {
            assert_eq!(refused.problem().code, "quota_exceeded");
            return false;
        }
    };
    for _ in 0..taken {
        match pieces.next().await {
            None => return false,
            Some(Ok(())) => {}
            Some(Err(cut)) => {
                assert_eq!(cut.problem.code, "quota_exceeded");
                return false;
            }
        }
    }
    true
}

/// How many vehicles the answers were about that an order's receipts let out.
pub async fn vehicles_told(app: &App, order: &Ordered) -> u64 {
    let mut named: BTreeMap<String, BTreeSet<u64>> = BTreeMap::new();
    let mut vehicles = BTreeSet::new();
    let mut records = Vec::new();
    loop {
        let after = records.last().map_or(0, |(position, _)| *position);
        let more = app.order_receipts(&order.id, after, 1_000).await.unwrap();
        if more.is_empty() {
            break;
        }
        records.extend(more);
    }
    for (_, record) in records {
        let of_delivery = named.entry(record.receipt.to_string()).or_default();
        if let ReceiptBody::Part { row_set, .. } | ReceiptBody::Single { row_set, .. } = &record.body {
            let bytes = STANDARD.decode(row_set).unwrap();
            let rows = RoaringTreemap::deserialize_from(&bytes[..]).unwrap();
            of_delivery.extend(rows.iter().map(vehicle_of_row));
        }
        let has_left = match &record.body {
            ReceiptBody::Single { .. } => true,
            ReceiptBody::Closed { outcome, totals } => lets_out(outcome, totals),
            ReceiptBody::Opened(_) | ReceiptBody::Part { .. } => false,
        };
        if has_left {
            vehicles.append(of_delivery);
        }
    }
    vehicles.len() as u64
}

/// How many subjects an order's account of the whole term holds.
pub async fn subjects_used(app: &App, order: &Ordered) -> u64 {
    let name = format!("{}/subjects", order.id);
    let accounts = app.store().snapshot().await.unwrap().quota_accounts(None).await.unwrap();
    accounts.iter().find(|account| account.account == name).map_or(0, |account| account.used)
}

/// An order that counts subjects, over the term and the day.
async fn counting(served: &Served, bytes: Option<u64>) -> Ordered {
    let per_day = Some(DayQuota { subjects: Some(VEHICLES), ..DayQuota::default() });
    let quota = Quota { calls: 1_000, data_sets: 10, subjects: Some(VEHICLES), bytes, per_day, ..Quota::default() };
    let modes = [Mode::Lookup, Mode::Rows, Mode::File];
    served.scenario.order_with(Who::First, TRIP_VEHICLES, &modes, quota).await
}

async fn counted(database_url: Option<String>) -> Served {
    Served::of(Scenario::open_counted(database_url, 600).await, Settings::default()).await
}

fn of_vehicles(sql: &str) -> BatchRequest {
    BatchRequest { sql: sql.to_owned(), ..rows(1) }
}

/// Of an answer that failed before anything of it left, rows, subjects and the call come back.
#[tokio::test(flavor = "multi_thread")]
async fn the_subjects_of_an_answer_that_failed_come_back() {
    let served = counted(None).await;
    let app = &served.scenario.app;
    let order = counting(&served, Some(4)).await;
    let deliveries = Deliveries::new(Arc::clone(app), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight-sql").await.unwrap();
    let asked = of_vehicles(&format!("SELECT trip_id, line FROM {TRIP_VEHICLES} LIMIT 7"));
    let failed = deliveries.batches(&admission, asked).await.unwrap_err();
    assert_eq!(failed.problem().code, "quota_exceeded");
    let records = app.order_receipts(&order.id, 0, 100).await.unwrap();
    assert!(records.len() >= 3, "its rows were named: {records:?}");
    let totals = totals_of(app, &order.id).await;
    assert_eq!((totals.len(), totals[0].answer_rows, totals[0].bytes), (1, 0, 0));
    is_exact(app, &order).await;
    assert_eq!(subjects_used(app, &order).await, 0);
    // What left counts.
    let other = counting(&served, None).await;
    served.get(&other, "/lookup/5").await.ok();
    served.get(&other, "/lookup/305").await.ok();
    served.get(&other, "/lookup/6").await.ok();
    assert_eq!(subjects_used(app, &other).await, 2);
    let report = app.replay_check().await.unwrap();
    assert!(report.agrees, "{:?}", report.differences);
    let account = format!("{}/subjects", other.id);
    let file = served.scenario.directory().join("node").join("node.db");
    let database = Database::connect(format!("sqlite:{}", file.display())).await.unwrap();
    database.execute_unprepared(&format!("DELETE FROM quota_subject WHERE account = '{account}'")).await.unwrap();
    let differences = app.replay_check().await.unwrap().differences;
    assert!(
        differences.iter().any(|found| found.id == account && found.problem.contains("counts 0")),
        "{differences:?}"
    );
}

/// Reserves whom rows are about for a delivery of which there is no record, as one that is about to be written.
async fn hold(app: &App, key: &str, rows: &[u64]) -> Result<lingqu_app::HeldSubjects, lingqu_app::AppError> {
    let serving = app.serving(key).await?;
    let process = app.serving_process().await?;
    let day = app.quota_day(&serving);
    let held = app.held_subjects(&serving, day, &app.new_receipt_id()?, process.as_deref());
    let rows: RoaringTreemap = rows.iter().copied().collect();
    app.hold_subjects(&serving, &held, 0, &rows).await?;
    Ok(held)
}

/// Somebody in two answers is given back when both have failed, and stays when one has left, whichever ends first.
#[tokio::test(flavor = "multi_thread")]
async fn a_subject_of_two_open_answers_comes_back_with_the_last() {
    let served = counted(None).await;
    let app = &served.scenario.app;
    let order = counting(&served, None).await;
    let cases = [(0, 0, 0), (0, 1, 2), (1, 0, 2), (1, 1, 3)];
    for (place, (first_left, second_left, kept)) in (0..).zip(cases) {
        let before = subjects_used(app, &order).await;
        let base = 10 * place;
        let first = hold(app, &order.key, &[base, base + 1]).await.unwrap();
        let second = hold(app, &order.key, &[base + 1, base + 2]).await.unwrap();
        assert_eq!(subjects_used(app, &order).await, before + 3);
        app.end_subjects(&first, first_left).await;
        app.end_subjects(&second, second_left).await;
        app.flush_subjects().await.unwrap();
        assert_eq!(subjects_used(app, &order).await, before + kept, "{first_left} {second_left}");
    }
    // Who is used for good stays so though an answer about him fails, and one about him and others gives the others back.
    let used = subjects_used(app, &order).await;
    let known = hold(app, &order.key, &[11, 12, 20]).await.unwrap();
    assert_eq!(subjects_used(app, &order).await, used);
    app.end_subjects(&known, 0).await;
    assert_eq!(subjects_used(app, &order).await, used);
    let all = hold(app, &order.key, &(0..VEHICLES).collect::<Vec<_>>()).await.unwrap();
    assert_eq!(subjects_used(app, &order).await, VEHICLES);
    app.end_subjects(&all, 0).await;
    assert_eq!(subjects_used(app, &order).await, used);
}

/// A file that nobody takes gives its subjects back, and one that is taken keeps them.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_nobody_takes_gives_its_subjects_back() {
    let served = counted(None).await;
    let app = &served.scenario.app;
    let order = counting(&served, None).await;
    let request = FileRequest {
        sql: format!("SELECT trip_id, line FROM {TRIP_VEHICLES} WHERE line = 'L3'"),
        format: Format::Parquet,
        request: "test".to_owned(),
        key: ServiceKey::parse(&order.key).unwrap().hash(),
    };
    let handed = async |life: Duration| {
        let settings = Settings { address_life: life, ..Settings::default() };
        let deliveries = Deliveries::new(Arc::clone(app), settings);
        let admission = deliveries.admit_order(Some(&order.key), "delta-sharing").await.unwrap();
        let handed = deliveries.hand_out(&admission, request.clone()).await.unwrap();
        (deliveries, handed)
    };
    let (_first, not_taken) = handed(Duration::ZERO).await;
    let (_, outcome, _) = served.closed(not_taken.receipt.as_str()).await;
    assert_eq!(outcome, Outcome::Stopped { code: "not_taken".to_owned() });
    for _ in 0..200 {
        if subjects_used(app, &order).await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(subjects_used(app, &order).await, 0);
    let (deliveries, taken) = handed(Duration::from_secs(600)).await;
    let of_line = VEHICLES / 5;
    assert_eq!(subjects_used(app, &order).await, of_line, "they are reserved while it may be taken");
    let serving = deliveries.readmit(&taken).await.unwrap();
    let body = deliveries.take(&taken, serving, 0, taken.bytes).await.unwrap();
    assert!(body.collect::<Vec<_>>().await.iter().all(Result::is_ok));
    app.flush_subjects().await.unwrap();
    assert_eq!(subjects_used(app, &order).await, of_line);
    assert_eq!(app.store().holders(None).await.unwrap(), Vec::<String>::new());
    is_exact(app, &order).await;
}

/// Whom a dead process held its records settle: who was in an answer that they let out counts, and nobody else.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_crash_left_held_its_records_settle() {
    let served = Served::of(Scenario::open_counted(None, TRIPS).await, Settings::default()).await;
    let app = &served.scenario.app;
    let order = counting(&served, None).await;
    served.get(&order, "/lookup/1").await.ok();
    let nobody_s = hold(app, &order.key, &[2, 3]).await.unwrap();
    let deliveries = Deliveries::new(Arc::clone(app), Settings::default());
    let admission = deliveries.admit_order(Some(&order.key), "flight-sql").await.unwrap();
    let asked = BatchRequest {
        mode: Mode::File,
        limits: Admission::limits(Mode::File),
        ..of_vehicles(&format!("SELECT trip_id, note FROM {TRIP_VEHICLES} WHERE line = 'L4'"))
    };
    let mut open = deliveries.batches(&admission, asked).await.unwrap();
    open.batches.next().await.unwrap().unwrap();
    // The last one's record is there, and what became of whom it held is not written.
    served.get(&order, "/lookup/7").await.ok();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let of_line = VEHICLES / 5;
    assert_eq!(subjects_used(app, &order).await, 1 + 2 + of_line + 1);
    assert!(!app.store().holders(None).await.unwrap().is_empty(), "nothing was settled yet");
    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let behind = jiff::Timestamp::now().duration_since(app.now());
    for _ in 0..2 {
        let directory = copy.path().to_owned();
        let clock = Clock::behind(behind);
        let next = App::open(AppSettings { clock, ..AppSettings::of(directory) }).await.unwrap();
        assert_eq!(subjects_used(&next, &order).await, 1 + of_line + 1);
        assert_eq!(next.store().holders(None).await.unwrap(), Vec::<String>::new());
        let report = next.replay_check().await.unwrap();
        assert!(report.agrees, "{:?}", report.differences);
        next.receipts().close().await;
    }
    drop((nobody_s, open));
}

/// A node that is stopped in order while an answer leaves does not take what that reserved for used.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_stop_in_order_cuts_off_is_settled_by_the_next_start() {
    let served = Served::open(None, TRIPS).await;
    let app = &served.scenario.app;
    let quota = Quota { data_sets: 2, rows: Some(1 << 30), bytes: Some(1 << 39), ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::File], quota).await;
    served.ok_soon(&order, "/export?format=csv&filter=line:eq:L9").await;
    // Its client stays and takes nothing.
    let mut open = served.begun(&order, "/export?format=ndjson").await;
    open.chunk().await.unwrap().unwrap();
    app.close().await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let clock = Clock::behind(jiff::Timestamp::now().duration_since(app.now()));
    let directory = copy.path().to_owned();
    let next = App::open(AppSettings { clock, ..AppSettings::of(directory) }).await.unwrap();
    assert_eq!(differing_accounts(&next, &order.id).await, Vec::<String>::new());
    let totals = totals_of(&next, &order.id).await;
    assert_eq!(totals.iter().map(|of_one| of_one.data_sets).sum::<u64>(), 1);
    assert!(totals[1].data_sets == 0 && totals[1].bytes > 0, "{totals:?}");
    next.close().await.unwrap();
    drop(open);
}

/// Of a delivery whose record could not be written only the receipts tell what it used: a node that is stopped in order takes
/// nothing for used that they don't tell.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_record_could_tell_is_settled_by_the_next_start() {
    let served = Served::open(None, 100).await;
    let app = &served.scenario.app;
    let quota = Quota { calls: 10, ..Quota::default() };
    let order = served.scenario.order_with(Who::First, TRIP_RECORDS, &[Mode::Rows], quota).await;
    served.get(&order, "/rows?limit=1").await.ok();
    let serving = app.serving(&order.key).await.unwrap();
    let debits = app.quota_debits(&serving, None, &Use { calls: 1, ..Use::default() });
    app.quota().spend(&debits).await.unwrap();
    app.quota().leave_to_receipts();
    app.close().await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let clock = Clock::behind(jiff::Timestamp::now().duration_since(app.now()));
    let directory = copy.path().to_owned();
    let next = App::open(AppSettings { clock, ..AppSettings::of(directory) }).await.unwrap();
    assert_eq!(totals_of(&next, &order.id).await.iter().map(|of_one| of_one.calls).sum::<u64>(), 1);
    assert_eq!(differing_accounts(&next, &order.id).await, Vec::<String>::new());
    next.close().await.unwrap();
}

/// Where others live, whoever takes a dead process up settles whom it held, and it holds nobody any more.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_for_dead_holds_nobody_any_more() {
    let Some(server) = PrivatePostgres::needed("subjects that a dead process held") else { return };
    let url = server.create_database().await;
    let served = counted(Some(url.clone())).await;
    let app = &served.scenario.app;
    let order = counting(&served, None).await;
    served.get(&order, "/lookup/1").await.ok();
    let held = hold(app, &order.key, &[2, 3]).await.unwrap();
    assert_eq!(subjects_used(app, &order).await, 3);
    let process = app.quota().process();
    let database = Database::connect(url.clone()).await.unwrap();
    let missed = format!("UPDATE quota_process SET seen_at_unix = 1 WHERE process = '{process}'");
    database.execute_unprepared(&missed).await.unwrap();
    let copy = tempfile::tempdir().unwrap();
    crate::differencing::copy(&served.scenario.directory().join("node"), copy.path());
    let directory = copy.path().to_owned();
    let clock = Clock::behind(jiff::Timestamp::now().duration_since(app.now()));
    let next = App::open(AppSettings { database_url: Some(url), clock, ..AppSettings::of(directory) }).await.unwrap();
    assert_eq!(subjects_used(&next, &order).await, 1);
    // The dead one may still think that it lives.
    let serving = app.serving(&order.key).await.unwrap();
    let late = app.held_subjects(&serving, None, &app.new_receipt_id().unwrap(), Some(&process));
    let refused = app.hold_subjects(&serving, &late, 0, &(4..6).collect()).await.unwrap_err();
    assert!(refused.to_string().contains("taken for dead"), "{refused}");
    app.end_subjects(&held, 0).await;
    assert_eq!(subjects_used(&next, &order).await, 1);
    next.close().await.unwrap();
}
