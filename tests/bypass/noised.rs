//! Statistics with noise: what a consumer might try to have the noise taken away, the budget not spent, or the groups told.

use std::collections::BTreeSet;

use lingqu_domain::privacy::Rho;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{NOISED_LINES, Ordered, Scenario, TRIP_NOISED, Who};
use serde_json::{Value, json};

use crate::doors::{Door, Stage, ask};
use crate::served::{FilesAway, Guarded, TRIPS, large, told};

/// Refused whatever is left of the budget, and without costing anything.
const REFUSED: &[&str] = &[
    "SELECT * FROM trip_noised",
    "SELECT trip_id FROM trip_noised LIMIT 1",
    "SELECT max(delay) FROM trip_noised",
    "SELECT min(delay) FROM trip_noised",
    "SELECT percentile_cont(0.0) WITHIN GROUP (ORDER BY delay) FROM trip_noised",
    "SELECT percentile_cont(1.0) WITHIN GROUP (ORDER BY delay) FROM trip_noised",
    "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY trip_id) FROM trip_noised",
    "SELECT stddev(delay) FROM trip_noised",
    "SELECT sum(trip_id) FROM trip_noised",
    "SELECT sum(delay * 1000000) FROM trip_noised",
    "SELECT sum(CASE WHEN trip_id = 5 THEN delay END) FROM trip_noised",
    "SELECT sum(delay) FILTER (WHERE trip_id = 5) FROM trip_noised",
    "SELECT count(*) FROM trip_noised WHERE trip_id = 5",
    "SELECT count(*) FROM trip_noised WHERE delay = 119",
    "SELECT trip_id, count(*) FROM trip_noised GROUP BY trip_id",
    "SELECT day, count(*) FROM trip_noised GROUP BY day",
    "SELECT line, day, count(*) FROM trip_noised GROUP BY line, day",
    "SELECT extract(day FROM day), count(*) FROM trip_noised GROUP BY 1",
    "SELECT line, count(*) FROM trip_noised GROUP BY ROLLUP (line)",
    "SELECT line, count(*) FROM trip_noised GROUP BY CUBE (line)",
    "SELECT count(*) FROM trip_noised a JOIN trip_noised b ON a.trip_id = b.trip_id",
    "SELECT count(*) FROM (SELECT * FROM trip_noised LIMIT 1) t",
    "SELECT count(*) FROM trip_noised WHERE line IN (SELECT line FROM trip_noised WHERE trip_id = 5)",
    "SELECT count(*) FROM trip_noised WHERE EXISTS (SELECT 1 FROM trip_noised WHERE trip_id = 5)",
    "SELECT count(*) FROM trip_noised UNION ALL SELECT count(*) FROM trip_noised",
    "SELECT count(*) OVER () FROM trip_noised",
    "SELECT count(*) FROM trip_noised WHERE 1 / (length(line) - 2) > 0",
    "SELECT count(*) FROM trip_noised WHERE CAST(substr(line, 2, 1) AS INT) = 1",
    "SELECT count(*) FROM trip_noised WHERE __unit = 5",
    "SELECT count(*) FROM trip_noised WHERE __turn = 5",
    "SELECT count(*) FROM trip_noised WHERE __place = 1",
    "SELECT count(*) FROM trip_noised WHERE __row = 5",
    "SELECT count(*) FROM trip_noised WHERE random() < 0.5",
    "EXPLAIN SELECT count(*) FROM trip_noised WHERE trip_id = 5",
    "EXPLAIN SELECT trip_id FROM trip_noised",
    "EXPLAIN ANALYZE SELECT count(*) FROM trip_noised",
    "SELECT count(*) FROM privacy_answer",
    "SELECT count(*) FROM trips",
];

/// One question in other words.
const SAME: &[&str] = &[
    "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' AND day = DATE '2025-03-02'",
    "select count(1) as n from trip_noised where day = date '2025-03-02' and line = 'L1'",
    "SELECT count(*) AS n FROM trip_noised t WHERE t.line = 'L1' AND t.day = DATE '2025-03-02' AND t.line = 'L1'",
    "SELECT n FROM (SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' AND day = DATE '2025-03-02') x",
    "SELECT n + 0 AS n FROM (SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' AND day = DATE '2025-03-02') x",
    "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' AND day = DATE '2025-03-02' ORDER BY 1 LIMIT 5",
    "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' AND day = DATE '2025-03-02' HAVING count(*) > -1000000",
];

/// Questions that must not pass for one another, though their texts come near.
const DIFFERENT: &[&str] = &[
    "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' OR line = 'L2'",
    "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1\") OR line = Utf8(\"L2'",
    "SELECT count(*) AS n FROM trip_noised WHERE line IN ('L1', 'L3')",
    "SELECT count(*) AS n FROM trip_noised WHERE line IN ('L1,L3')",
    "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1' AND line = 'L2'",
    "SELECT count(delay) AS n FROM trip_noised WHERE line = 'L1' OR line = 'L2'",
];

struct Noised {
    served: Guarded,
}

impl Noised {
    async fn open(budget: &str, rho: &str) -> Noised {
        let scenario = Scenario::open_noised(None, TRIPS, budget, rho).await;
        let order = ordered(&scenario, Who::First).await;
        Noised { served: Guarded::of(scenario, order).await }
    }

    async fn order(&self, who: Who) -> Ordered {
        ordered(&self.served.scenario, who).await
    }

    fn url(&self, order: &Ordered, path: &str) -> String {
        format!("{}/data/v1/{}/{path}", self.served.http, order.product)
    }

    async fn ask(&self, order: &Ordered, body: Value) -> (u16, Value) {
        let request = self
            .served
            .client
            .post(self.url(order, "query"))
            .bearer_auth(&order.key)
            .header("content-type", "application/json");
        let reply = request.body(body.to_string()).send().await.expect("an answer");
        (reply.status().as_u16(), serde_json::from_slice(&reply.bytes().await.expect("a body")).unwrap_or_default())
    }

    async fn number(&self, order: &Ordered, sql: &str) -> i64 {
        let (status, answer) = self.ask(order, json!({ "sql": sql })).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        answer["rows"][0]["n"].as_i64().unwrap_or_else(|| panic!("{sql}: {answer}"))
    }

    /// The numbers that a door answers. Nothing where its client is missing.
    async fn numbers(&self, order: &Ordered, door: Door, statements: &[&str]) -> Option<Vec<i64>> {
        let mut numbers = Vec::with_capacity(statements.len());
        for (sql, seen) in statements.iter().zip(ask(&self.served, order, door, statements).await?) {
            let cell = seen.rows.as_ref().and_then(|rows| rows.first()?.first()?.parse().ok());
            numbers.push(cell.unwrap_or_else(|| panic!("{door:?}: {sql}\n  is {}", seen.short())));
        }
        Some(numbers)
    }

    async fn spent(&self, order: &Ordered) -> Rho {
        self.served.scenario.app.privacy_standing(&order.id).await.expect("the order exists").accounts[0].spent
    }
}

async fn ordered(scenario: &Scenario, who: Who) -> Ordered {
    scenario.order_with(who, TRIP_NOISED, &[Mode::Statistics], large()).await
}

/// At every door that takes statements, by the code that it has there, before anything is counted, and for nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_but_noised_aggregates_is_told() {
    let noised = Noised::open("1", "0.1").await;
    let order = noised.order(Who::First).await;
    noised.number(&order, "SELECT count(*) AS n FROM trip_noised WHERE line = 'L1'").await;
    let spent = noised.spent(&order).await;
    assert_eq!(spent, "0.1".parse().expect("an amount"));
    let before = noised.served.settled_books(&order).await;
    let mut wrong = Vec::new();
    // Nothing of it is read: the files are not there.
    let _away = FilesAway::of(&noised.served.scenario);
    for door in Door::ALL {
        let Some(seen) = ask(&noised.served, &order, door, REFUSED).await else { continue };
        for (sql, seen) in REFUSED.iter().zip(&seen) {
            if seen.refused_at(door) != Some(Stage::Planned) || !told(&seen.said, sql).is_empty() {
                wrong.push(format!("{door:?}: {sql}\n  is {}", seen.short()));
            }
        }
        if let Some(moved) = noised.served.moved_since(&before, &order).await {
            wrong.push(format!("{door:?}: what was refused left something behind: {moved}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for sql in REFUSED {
        let (status, answer) = noised.ask(&order, json!({ "sql": sql, "mode": "statistics" })).await;
        assert!((400..500).contains(&status), "{sql}: {status} {answer}");
        assert!(answer["rows"].is_null(), "{sql}: {answer}");
    }
    let (status, answer) = noised.ask(&order, json!({"sql": "SELECT line FROM trip_noised", "mode": "rows"})).await;
    assert_eq!((status, &answer["code"]), (403, &json!("mode_not_granted")));
    assert_eq!(noised.spent(&order).await, spent, "what is refused costs nothing, and so tells nothing");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_not_averaged_away() {
    let noised = Noised::open("100", "0.001").await;
    let (order, second) = (noised.order(Who::First).await, noised.order(Who::First).await);
    let mut found = BTreeSet::new();
    for door in Door::ALL {
        for order in [&order, &second] {
            found.extend(noised.numbers(order, door, SAME).await.into_iter().flatten());
        }
    }
    assert_eq!(found.len(), 1, "one question has one answer at every door: {found:?}");
    assert_eq!(noised.spent(&order).await, "0.001".parse().expect("an amount"));
    for (asked, sql) in (2_u64..).zip(DIFFERENT) {
        // Each is first put to another door, and is no new question at the others.
        let mut answers = BTreeSet::new();
        for turn in 0..Door::ALL.len() {
            let door = Door::ALL[(turn + sql.len()) % Door::ALL.len()];
            answers.extend(noised.numbers(&second, door, &[sql]).await.into_iter().flatten());
            answers.extend(noised.numbers(&order, door, &[sql]).await.into_iter().flatten());
        }
        assert_eq!(answers.len(), 1, "{sql}: {answers:?}");
        assert_eq!(noised.spent(&order).await.nano(), asked * 1_000_000, "{sql} is a question of its own");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_account_stays_empty() {
    let noised = Noised::open("0.2", "0.1").await;
    let order = noised.order(Who::First).await;
    for line in ["L0", "L1"] {
        noised.number(&order, &format!("SELECT count(*) AS n FROM trip_noised WHERE line = '{line}'")).await;
    }
    let second = noised.order(Who::First).await;
    for order in [&order, &second] {
        for sql in [
            "SELECT count(*) AS n FROM trip_noised",
            "SELECT count(*) AS n FROM trip_noised WHERE line = 'L2'",
            "SELECT count(*) AS n FROM trip_noised WHERE line = 'L0' OR line = 'L1'",
            "SELECT sum(delay) AS n FROM trip_noised WHERE line = 'L0'",
        ] {
            let (status, answer) = noised.ask(order, json!({ "sql": sql })).await;
            assert_eq!((status, &answer["code"]), (403, &json!("privacy_budget_exhausted")), "{sql}");
            assert!(!answer.to_string().contains("rows"), "{answer}");
        }
        for path in ["rows", "lookup/5", "export", "lookup?trip_id=5"] {
            let url = noised.url(order, path);
            let status =
                noised.served.client.get(url).bearer_auth(&order.key).send().await.expect("an answer").status();
            assert!(status.is_client_error(), "{path}: {status}");
        }
    }
    // Nor at another door.
    let before = noised.served.settled_books(&order).await;
    for door in [Door::Flight, Door::Postgres] {
        let asked =
            ["SELECT count(*) AS n FROM trip_noised", "SELECT sum(delay) AS n FROM trip_noised WHERE line = 'L0'"];
        for seen in ask(&noised.served, &order, door, &asked).await.into_iter().flatten() {
            assert_eq!(seen.code, "privacy_budget_exhausted", "{door:?}: {}", seen.short());
            assert_eq!(seen.refused_at(door), Some(Stage::Planned), "{door:?}: {}", seen.short());
        }
        assert_eq!(noised.served.moved_since(&before, &order).await, None, "{door:?}");
    }
    assert_eq!(noised.spent(&order).await, "0.2".parse().expect("an amount"));
}

/// Which lines have trips, and on which days, shows in no answer's rows: `L7` has none, `L9` two.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn which_groups_there_are_is_not_told() {
    let noised = Noised::open("100", "0.001").await;
    let order = noised.order(Who::First).await;
    for condition in ["true", "day = DATE '2025-03-02'", "day = DATE '1900-01-01'", "line LIKE 'L%'"] {
        let sql = format!("SELECT line, count(*) AS n FROM trip_noised WHERE {condition} GROUP BY line ORDER BY line");
        let (status, answer) = noised.ask(&order, json!({ "sql": sql })).await;
        assert_eq!(status, 200, "{sql}: {answer}");
        let rows = answer["rows"].as_array().expect("rows");
        let lines: Vec<&str> = rows.iter().filter_map(|row| row["line"].as_str()).collect();
        assert_eq!(lines, NOISED_LINES, "{condition}");
        assert!(rows.iter().all(|row| row["n"].is_i64()), "{answer}");
        assert_eq!(answer["groups_suppressed"], 0);
        // The same numbers at the other doors.
        let numbers =
            rows.iter().map(|row| vec![row["line"].as_str().unwrap_or_default().to_owned(), row["n"].to_string()]);
        let numbers: Vec<Vec<String>> = numbers.collect();
        for door in [Door::Flight, Door::Postgres] {
            let Some(seen) = ask(&noised.served, &order, door, &[&sql]).await else { continue };
            assert_eq!(seen[0].rows.as_ref(), Some(&numbers), "{door:?}: {condition}: {}", seen[0].short());
        }
    }
}
