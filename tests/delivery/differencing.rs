//! Statistics that are asked for in order to take one from the other: over two orders, on two nodes, at the same time, and
//! as often as one likes.

use std::path::Path;

use lingqu_app::{App, AppSettings};
use lingqu_domain::scope::Mode;
use lingqu_engine::{EngineError, Limits};
use lingqu_gateway::delivery::Settings;
use lingqu_tests::scenario::{Scenario, TRIP_RENUMBERED, TRIP_STATISTICS, Who};
use lingqu_tests::{StoreFactory, both};
use sea_orm::ConnectionTrait;
use serde_json::json;

use crate::served::Served;

const ALL: &str = "SELECT count(*) AS trips FROM trip_statistics";
/// Without the two trips of the small line.
const ALL_BUT_TWO: &str = "SELECT count(*) AS trips FROM trip_statistics WHERE line <> 'L9'";

fn refused(code: &str) -> (u16, String) {
    (403, code.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_order_of_the_same_consumer_is_no_new_beginning() {
    both(async |factory: StoreFactory| {
        let served = Served::open(Some(factory.config().url), 2_000).await;
        let order = async |who| served.scenario.order(who, TRIP_STATISTICS, &[Mode::Statistics], (20, 0)).await;
        let (first, second, stranger) = (order(Who::First).await, order(Who::First).await, order(Who::Second).await);
        let ask = async |order, sql: &str| served.post(order, "/query", json!({"sql": sql})).await;
        assert_eq!(ask(&first, ALL).await.ok().json()["rows"], json!([{"trips": 2_000}]));
        let head = served.receipt_head().await;
        let reply = ask(&second, ALL_BUT_TWO).await;
        assert_eq!(reply.problem(), refused("difference_too_small"));
        assert_eq!(served.receipt_head().await, head, "a refusal leaves no receipt");
        // Neither by a condition on what was computed, nor as a part of a larger answer.
        let hidden = format!("{ALL_BUT_TWO} HAVING count(*) = 1998");
        assert_eq!(ask(&second, &hidden).await.problem(), refused("difference_too_small"));
        let parts = "SELECT line, count(*) AS trips FROM trip_statistics WHERE line <> 'L9' GROUP BY line";
        assert_eq!(ask(&second, parts).await.problem(), refused("difference_too_small"));
        // What was given is given again, and another consumer is asked by itself.
        ask(&second, ALL).await.ok();
        let without = ask(&stranger, ALL_BUT_TWO).await.ok();
        assert_eq!(without.json()["rows"], json!([{"trips": 1_998}]));
        // Its receipt, which the consumer may read, tells nothing of the condition: all rows are named.
        let (_, _, totals) = served.closed(without.header("delivery-receipt").unwrap()).await;
        assert_eq!(totals.rows, 2_000);
        assert_eq!(ask(&stranger, ALL).await.problem(), refused("difference_too_small"));
    })
    .await;
}

/// By its own numbers no row of the one product is found again among those of the other, so two trips less would look like 3,998
/// others.
#[tokio::test(flavor = "multi_thread")]
async fn products_that_number_rows_otherwise_are_not_asked_in_turn() {
    let served = Served::of(Scenario::open_renumbered(2_000).await, Settings::default()).await;
    let order = async |who, product| served.scenario.order(who, product, &[Mode::Statistics], (20, 0)).await;
    let (first, other) = (order(Who::First, TRIP_STATISTICS).await, order(Who::First, TRIP_RENUMBERED).await);
    let stranger = order(Who::Second, TRIP_RENUMBERED).await;
    let ask = async |order, sql: &str| served.post(order, "/query", json!({"sql": sql})).await;
    let [all, all_but_two] = [ALL, ALL_BUT_TWO].map(|sql| sql.replace(TRIP_STATISTICS, TRIP_RENUMBERED));
    ask(&first, ALL).await.ok();
    let head = served.receipt_head().await;
    for sql in [&all_but_two, &all] {
        let reply = ask(&other, sql).await;
        assert_eq!(reply.problem(), refused("difference_too_small"));
        assert!(reply.json()["detail_en"].as_str().unwrap().contains("ask the operator for one with its key"));
    }
    assert_eq!(served.receipt_head().await, head);
    // The first goes on, and whoever has asked the other one alone is asked by itself, and bound to it.
    ask(&first, ALL).await.ok();
    assert_eq!(ask(&stranger, &all_but_two).await.ok().json()["rows"], json!([{"trips": 1_998}]));
    let second = order(Who::Second, TRIP_STATISTICS).await;
    assert_eq!(ask(&second, ALL).await.problem(), refused("difference_too_small"));
}

#[tokio::test(flavor = "multi_thread")]
async fn totals_less_their_parts_tell_of_no_small_group() {
    let served = Served::open(None, 6_000).await;
    let order = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (20, 0)).await;
    let ask = async |sql: &str| served.post(&order, "/query", json!({"sql": sql})).await;
    let totals = "SELECT line, count(*) AS trips FROM trip_statistics GROUP BY ROLLUP (line) ORDER BY line";
    let reply = ask(totals).await.ok().json();
    // Six trips of L9 would be left of the total, so the smallest of the others is left out with it.
    assert_eq!((reply["row_count"].as_u64(), reply["groups_suppressed"].as_u64()), (Some(5), Some(2)), "{reply}");
    let shown: Vec<&str> = reply["rows"].as_array().unwrap().iter().filter_map(|row| row["line"].as_str()).collect();
    let hidden = ["L0", "L1", "L2", "L3", "L4"].into_iter().find(|line| !shown.contains(line)).unwrap();
    let by_itself = format!("SELECT count(*) AS trips FROM trip_statistics WHERE line = '{hidden}'");
    assert_eq!(ask(&by_itself).await.problem(), refused("difference_too_small"));
    let crossed = "SELECT line, day, count(*) FROM trip_statistics GROUP BY CUBE (line, day)";
    assert_eq!(ask(crossed).await.problem(), (422, "aggregate_not_allowed".to_owned()));
}

/// Of two questions that differ by two trips one is answered, whichever nodes they are put to and however they are timed.
#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_do_not_answer_past_each_other() {
    both(async |factory: StoreFactory| {
        let served = Served::open(Some(factory.config().url), 2_000).await;
        let order = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (20, 0)).await;
        // The nodes of one database have the same secret and the same data.
        let directory = tempfile::tempdir().expect("the temporary directory is writable");
        copy(served.scenario.app.directory(), directory.path());
        let settings =
            AppSettings { database_url: Some(factory.config().url), ..AppSettings::of(directory.path().to_owned()) };
        let other = App::open(settings).await.expect("a second node opens on the same database");
        for round in 0..4 {
            // Each round is about other trips, so that it begins anew.
            let whole = format!("{ALL} WHERE line <> 'L{round}'");
            let part = format!("{whole} AND line <> 'L9'");
            let app = &served.scenario.app;
            let (here, there) = tokio::join!(ask(app, &order.key, &whole), ask(&other, &order.key, &part));
            match (here, there) {
                (Ok(()), Err(code)) | (Err(code), Ok(())) => assert_eq!(code, "difference_too_small"),
                neither => panic!("round {round}: {neither:?}"),
            }
        }
    })
    .await;
}

/// Asks as a session would, without a protocol. Error: the code of the refusal.
async fn ask(app: &App, key: &str, sql: &str) -> Result<(), &'static str> {
    let serving = app.serving(key).await.expect("the order is in force");
    let session = serving.session(Mode::Statistics, Limits::default()).expect("statistics are granted");
    match session.query(sql).await {
        Ok(_) => Ok(()),
        Err(EngineError::Refused(refusal)) => Err(refusal.code.as_str()),
        Err(other) => panic!("{other}"),
    }
}

/// Copies a node's directory, but for what belongs to one process.
pub fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).expect("the node's directory can be read") {
        let entry = entry.expect("the node's directory can be read");
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            std::fs::create_dir_all(&target).expect("the temporary directory is writable");
            copy(&path, &target);
        } else if entry.file_name() != "node.lock" {
            std::fs::copy(&path, &target).expect("the temporary directory is writable");
        }
    }
}

/// Whoever is refused too often on one day has to wait for the next, on all nodes.
#[tokio::test(flavor = "multi_thread")]
async fn probing_ends() {
    both(async |factory: StoreFactory| {
        let served = Served::open(Some(factory.config().url), 2_000).await;
        let order = served.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (20, 0)).await;
        let ask = async |sql: &str| served.post(&order, "/query", json!({"sql": sql})).await;
        let small = "SELECT count(*) FROM trip_statistics WHERE line = 'L9'";
        assert_eq!(ask(small).await.problem(), refused("cohort_too_small"));
        // A statement of the wrong form tells nothing and is not counted.
        assert_eq!(ask("SELECT * FROM trip_statistics").await.problem().0, 422);
        let raw = factory.raw().await;
        let counted = raw.execute_unprepared("UPDATE release_refusal SET count = 200 WHERE count = 1").await.unwrap();
        assert_eq!(counted.rows_affected(), 1);
        assert_eq!(ask(ALL).await.problem(), refused("refusals_exhausted"));
        // Everybody else asks as before.
        let stranger = served.scenario.order(Who::Second, TRIP_STATISTICS, &[Mode::Statistics], (20, 0)).await;
        served.post(&stranger, "/query", json!({"sql": ALL})).await.ok();
        raw.execute_unprepared("UPDATE release_refusal SET day = '2000-01-01'").await.unwrap();
        ask(ALL).await.ok();
    })
    .await;
}
