//! Statistics: what a consumer might try in order to learn of one subject from answers about many.

use crate::doors::{Door, Stage, ask};
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

const ALL: &str = "SELECT count(*) FROM trip_statistics";
const TOTAL: &str = "SELECT sum(delay) FROM trip_statistics";
/// All but the two trips of line `L9`: large by itself, and the difference is two.
const COUNT_WITHOUT: &str = "SELECT count(*) FROM trip_statistics WHERE line <> 'L9'";
const TOTAL_WITHOUT: &str = "SELECT sum(delay) FROM trip_statistics WHERE line <> 'L9'";

/// The rows of one question at a door. Nothing where the door's client is missing.
async fn answered(guarded: &Guarded, order: &Ordered, door: Door, sql: &str) -> Option<Vec<Vec<String>>> {
    let seen = ask(guarded, order, door, &[sql]).await?.remove(0);
    Some(seen.rows.clone().unwrap_or_else(|| panic!("{door:?}: {sql}\n  is {}", seen.short())))
}

/// Every door refuses questions when their groups have been counted, by a code, with no receipt and no debit.
async fn refused_everywhere(guarded: &Guarded, order: &Ordered, questions: &[&str], code: &str) {
    // An account is known when something was to be taken out of it.
    ask(guarded, order, Door::Http, &questions[..1]).await;
    let before = guarded.settled_books(order).await;
    for door in Door::ALL {
        let Some(seen) = ask(guarded, order, door, questions).await else { continue };
        for (sql, seen) in questions.iter().zip(&seen) {
            assert_eq!(seen.refused_at(door), Some(Stage::Counted), "{door:?}: {sql}\n  is {}", seen.short());
            assert_eq!(seen.code, code, "{door:?}: {sql}\n  is {}", seen.short());
        }
        assert_eq!(guarded.moved_since(&before, order).await, None, "{door:?}");
    }
}

async fn ordered(guarded: &Guarded, who: Who) -> Ordered {
    guarded.scenario.order_with(who, TRIP_STATISTICS, &[Mode::Statistics], large()).await
}

/// At every door that takes statements, by the code that it has there, and without a receipt or a debit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_question_singles_a_subject_out() {
    let guarded = Guarded::open().await;
    let order = ordered(&guarded, Who::First).await;
    assert!(answered(&guarded, &order, Door::Http, ALL).await.is_some());
    let before = guarded.settled_books(&order).await;
    let mut wrong = Vec::new();
    let mut counted = Vec::new();
    for door in Door::ALL {
        let Some(seen) = ask(&guarded, &order, door, REFUSED).await else { continue };
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
    let order = ordered(&guarded, Who::First).await;
    // Whether it would be refused for its two trips or for its difference from the other is not told, since nobody counted.
    let asked = ["line = 'L9'", "line <> 'L9'", "line <> 'nowhere'"];
    let explain = |condition| format!("EXPLAIN SELECT count(*) FROM trip_statistics WHERE {condition}");
    let statements = asked.map(explain);
    let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
    let mut plans = Vec::new();
    for door in Door::ALL {
        for seen in ask(&guarded, &order, door, &statements).await.into_iter().flatten() {
            assert!(seen.said.contains("QUERY PLAN") || door != Door::Http, "{}", seen.said);
            let rows = seen.rows.as_ref().unwrap_or_else(|| panic!("{door:?}: {}", seen.short()));
            let told: String = rows.iter().flatten().map(String::as_str).collect();
            assert!(told.contains("Table: trip_statistics, columns=[line]"), "{door:?}: {told}");
            plans.push(rows.len());
        }
    }
    assert!(plans.len() >= asked.len() && plans.iter().all(|rows| *rows == plans[0]), "{plans:?}");
    // Nothing was released by it: all may be asked, and then the difference may not.
    assert!(answered(&guarded, &order, Door::Http, ALL).await.is_some());
    refused_everywhere(&guarded, &order, &[COUNT_WITHOUT], "difference_too_small").await;
}

/// What was asked at one door is known at the others: no two doors together give what neither gives alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_do_not_tell_by_their_difference() {
    for door in Door::ALL {
        let guarded = Guarded::open().await;
        let order = ordered(&guarded, Who::First).await;
        let Some(all) = answered(&guarded, &order, door, TOTAL).await else { continue };
        refused_everywhere(&guarded, &order, &[TOTAL_WITHOUT], "difference_too_small").await;
        // Nor by another order of the same consumer, or by counting instead, or by a condition on what was computed.
        let second = ordered(&guarded, Who::First).await;
        let hidden = format!("{COUNT_WITHOUT} HAVING count(*) = 1998");
        refused_everywhere(&guarded, &second, &[COUNT_WITHOUT, &hidden], "difference_too_small").await;
        // The same question again is no new knowledge, at whichever door.
        for again in Door::ALL {
            let Some(same) = answered(&guarded, &order, again, TOTAL).await else { continue };
            assert_eq!(same, all, "{door:?} and {again:?}");
        }
        // Other consumers are others, and what is given to them is theirs to compare as well.
        let other = ordered(&guarded, Who::Second).await;
        assert_eq!(answered(&guarded, &other, door, COUNT_WITHOUT).await, Some(vec![vec!["1998".to_owned()]]));
        refused_everywhere(&guarded, &other, &[ALL, TOTAL], "difference_too_small").await;
    }
}

/// A group that is too small stands in no answer of any door, nor can it be had from the total and the other groups.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_group_is_in_no_answer() {
    let guarded = Guarded::open().await;
    let order = ordered(&guarded, Who::First).await;
    let totals = "SELECT line, count(*) AS trips FROM trip_statistics GROUP BY ROLLUP (line) ORDER BY line";
    let by_day = "SELECT day, line, count(*) AS trips FROM trip_statistics GROUP BY day, line ORDER BY line, day";
    let picked = "SELECT line, count(*) AS trips FROM trip_statistics GROUP BY line HAVING count(*) < 10";
    let mut first: Option<[Vec<Vec<String>>; 2]> = None;
    for door in Door::ALL {
        let Some(seen) = ask(&guarded, &order, door, &[totals, picked]).await else { continue };
        let rows: Vec<_> = seen
            .into_iter()
            .map(|seen| seen.rows.clone().unwrap_or_else(|| panic!("{door:?}: {}", seen.short())))
            .collect();
        let mut rows: [Vec<Vec<String>>; 2] = rows.try_into().expect("two were asked");
        for row in rows.iter_mut().flatten() {
            assert!(row.iter().all(|cell| cell != "L9"), "{door:?}: {row:?}");
            // Doors write what there is not in words of their own.
            for cell in row.iter_mut().filter(|cell| *cell == "None") {
                "null".clone_into(cell);
            }
        }
        // Two trips would be left of the total, so the smallest of the other lines is left out with them.
        assert_eq!(rows[0].len(), 5, "{door:?}: {:?}", rows[0]);
        assert!(rows[1].is_empty(), "{door:?}: {rows:?}");
        match &first {
            Some(first) => assert!(rows == *first, "{door:?}: {rows:?} instead of {first:?}"),
            None => first = Some(rows),
        }
    }
    let shown: Vec<String> = first.expect("HTTP needs no client")[0].iter().flatten().cloned().collect();
    let hidden = ["L0", "L1", "L2", "L3", "L4"].into_iter().find(|line| !shown.iter().any(|cell| cell == line));
    let by_itself = format!("{ALL} WHERE line = '{}'", hidden.expect("one is left out"));
    // Nor by finer groups, which would add up to it.
    refused_everywhere(&guarded, &order, &[&by_itself, by_day], "difference_too_small").await;
    refused_everywhere(
        &guarded,
        &order,
        &["SELECT count(*) FROM trip_statistics WHERE line = 'L9'"],
        "cohort_too_small",
    )
    .await;
}
