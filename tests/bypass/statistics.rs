//! Statistics: what a consumer might try in order to learn of one subject from answers about many.

use serde_json::{Value, json};

use crate::doors::{Door, Stage, ask as ask_at};
use crate::served::{Guarded, large, told};
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{Ordered, TRIP_STATISTICS, Who};

/// Questions that are refused by themselves. The floor is 10; line `L9` has two trips.
const REFUSED: &[&str] = &[
    "SELECT * FROM trip_statistics",
    "SELECT trip_id FROM trip_statistics",
    "SELECT delay FROM trip_statistics LIMIT 1",
    "SELECT max(delay) FROM trip_statistics",
    "SELECT min(delay) FROM trip_statistics",
    "SELECT median(delay) FROM trip_statistics",
    "SELECT stddev(delay) FROM trip_statistics",
    "SELECT line, var_pop(delay) FROM trip_statistics GROUP BY line",
    "SELECT count(DISTINCT delay) FROM trip_statistics",
    "SELECT avg(delay) FROM trip_statistics WHERE trip_id = 5",
    "SELECT avg(delay) FROM trip_statistics WHERE delay > 100",
    "SELECT avg(delay) FROM trip_statistics GROUP BY trip_id",
    "SELECT line, avg(delay) FROM trip_statistics GROUP BY line, trip_id % 2",
    "SELECT sum(CASE WHEN trip_id = 5 THEN delay END) FROM trip_statistics",
    "SELECT sum(delay) FILTER (WHERE trip_id = 5) FROM trip_statistics",
    "SELECT sum(delay * trip_id) FROM trip_statistics",
    "SELECT count(DISTINCT delay + trip_id) FROM trip_statistics",
    "SELECT avg(delay) FROM (SELECT * FROM trip_statistics LIMIT 11) t",
    "SELECT avg(delay) FROM (SELECT * FROM trip_statistics ORDER BY trip_id LIMIT 11) t",
    "SELECT avg(a.delay) FROM trip_statistics a JOIN trip_statistics b ON a.trip_id = b.trip_id",
    "SELECT avg(delay) FROM trip_statistics UNION ALL SELECT avg(delay) FROM trip_statistics WHERE line = 'L1'",
    "SELECT avg(delay) OVER () FROM trip_statistics",
    "SELECT avg(delay) FROM trip_statistics WHERE EXISTS (SELECT 1 FROM trip_statistics WHERE trip_id = 5)",
    "SELECT avg(delay) FROM trip_statistics WHERE line IN (SELECT line FROM trip_statistics WHERE trip_id = 5)",
    "SELECT line, day, avg(delay) FROM trip_statistics GROUP BY CUBE (line, day)",
    "SELECT avg(delay) FROM trip_statistics WHERE line = 'L9'",
    "SELECT count(*) FROM trip_statistics WHERE line = 'L9'",
    "SELECT array_agg(delay) FROM trip_statistics",
    "SELECT string_agg(line, ',') FROM trip_statistics",
    "SELECT first_value(delay) FROM trip_statistics",
    "SELECT vehicle FROM trip_statistics",
    "SELECT count(vehicle) FROM trip_statistics",
    "EXPLAIN SELECT * FROM trip_statistics",
    "EXPLAIN SELECT max(delay) FROM trip_statistics",
    "EXPLAIN SELECT avg(delay) FROM trip_statistics WHERE trip_id = 5",
    "EXPLAIN ANALYZE SELECT count(*) FROM trip_statistics",
    "EXPLAIN VERBOSE SELECT count(*) FROM trip_statistics",
];

async fn ask(guarded: &Guarded, order: &Ordered, sql: &str) -> (u16, Value) {
    let url = format!("{}/data/v1/{}/query", guarded.http, order.product);
    let request = guarded.client.post(url).bearer_auth(&order.key).header("content-type", "application/json");
    let reply = request.body(json!({ "sql": sql }).to_string()).send().await.expect("an answer");
    (reply.status().as_u16(), serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
}

/// At every door that takes statements, by the code that it has there, and without a receipt or a debit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_singles_a_subject_out() {
    let guarded = Guarded::open().await;
    let order = guarded.scenario.order_with(Who::First, TRIP_STATISTICS, &[Mode::Statistics], large()).await;
    let (status, answer) = ask(&guarded, &order, "SELECT count(*) FROM trip_statistics").await;
    assert_eq!(status, 200, "{answer}");
    let before = guarded.settled_books(&order).await;
    let mut wrong = Vec::new();
    let mut counted = Vec::new();
    for door in Door::ALL {
        let Some(seen) = ask_at(&guarded, &order, door, REFUSED).await else { continue };
        for (sql, seen) in REFUSED.iter().zip(&seen) {
            let stage = seen.refused_at(door);
            if !matches!(stage, Some(Stage::Planned | Stage::Counted)) || !told(&seen.said, sql).is_empty() {
                wrong.push(format!("{door:?}: {sql}\n  is {}", seen.short()));
            }
            if stage == Some(Stage::Counted) {
                counted.push((door, *sql));
            }
        }
        if let Some(moved) = guarded.moved_since(&before, &order).await {
            wrong.push(format!("{door:?}: what was refused left something behind: {moved}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Only what is refused for its size was counted at all.
    assert!(counted.iter().all(|(_, sql)| sql.ends_with("line = 'L9'")), "{counted:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn explaining_a_question_asks_nothing() {
    let guarded = Guarded::open().await;
    let order = guarded.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (1_000, 0)).await;
    // Whether it would be refused for its two trips or for its difference from the other is not told, since nobody counted.
    let asked = ["line = 'L9'", "line <> 'L9'", "line <> 'nowhere'"];
    let mut plans = Vec::new();
    for condition in asked {
        let sql = format!("EXPLAIN SELECT count(*) FROM trip_statistics WHERE {condition}");
        let (status, answer) = ask(&guarded, &order, &sql).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        let said = answer["rows"].to_string();
        assert!(said.contains("QUERY PLAN") && said.contains("Table: trip_statistics, columns=[line]"), "{said}");
        plans.push(answer["rows"].as_array().map(Vec::len));
    }
    assert_eq!(plans, [plans[0]; 3]);
    // Nothing was released by it: all may be asked, and then the difference may not.
    assert_eq!(ask(&guarded, &order, "SELECT count(*) FROM trip_statistics").await.0, 200);
    let (status, answer) = ask(&guarded, &order, "SELECT count(*) FROM trip_statistics WHERE line <> 'L9'").await;
    assert!((400..500).contains(&status), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_tell_by_their_difference() {
    let guarded = Guarded::open().await;
    let order = guarded.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (1_000, 0)).await;
    let (status, all) = ask(&guarded, &order, "SELECT sum(delay) FROM trip_statistics").await;
    assert_eq!(status, 200, "{all}");
    // All but the two trips of line `L9`: large by itself, and the difference is two.
    let (status, answer) = ask(&guarded, &order, "SELECT sum(delay) FROM trip_statistics WHERE line <> 'L9'").await;
    assert!((400..500).contains(&status), "{answer}");
    // Nor by another order of the same consumer, or by counting instead.
    let second = guarded.scenario.order(Who::First, TRIP_STATISTICS, &[Mode::Statistics], (1_000, 0)).await;
    let (status, answer) = ask(&guarded, &second, "SELECT count(*) FROM trip_statistics WHERE line <> 'L9'").await;
    assert!((400..500).contains(&status), "{answer}");
    // The same question again is no new knowledge, and other consumers are others.
    assert_eq!(ask(&guarded, &order, "SELECT sum(delay) FROM trip_statistics").await.0, 200);
    let other = guarded.scenario.order(Who::Second, TRIP_STATISTICS, &[Mode::Statistics], (1_000, 0)).await;
    let (status, answer) = ask(&guarded, &other, "SELECT count(*) FROM trip_statistics WHERE line <> 'L9'").await;
    assert_eq!(status, 200, "{answer}");
}
