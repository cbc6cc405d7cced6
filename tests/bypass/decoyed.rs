//! A product whose copies hold rows that do not exist: what a consumer might try in order to learn which of his rows these are.
//!
//! He may find out by knowing better (a trip that was never given out is one that there is not), and he may compare with whoever
//! else has the table. What no door may do is tell him: the engine's own columns are refused, an answer of any shape treats the
//! rows alike, and all doors give the same rows.

use lingqu_tests::scenario::{Ordered, Scenario, TRIP_DECOYED, Who};

use crate::attempts::Outcome;
use crate::doors::{Door, ask};
use crate::served::{FilesAway, Guarded};
use crate::statements::judge;

/// Numbers of trips, of which every third was never given out.
const NUMBERS: usize = 13_500;
const TRIPS: usize = NUMBERS / 3 * 2;
/// Of nine decoys a copy has none by one chance in five hundred, and two have the same by one in twenty. Drawn so often, by none.
const DRAWS_MAX: usize = 8;

/// Questions for what only the engine knows. All are refused before anything is read.
const REFUSED: &[&str] = &[
    "SELECT __decoy FROM trip_decoyed",
    "SELECT \"__decoy\" FROM trip_decoyed",
    "SELECT __DECOY FROM trip_decoyed",
    "SELECT t.__decoy FROM trip_decoyed t",
    "SELECT trip_decoyed.\"__decoy\" FROM trip_decoyed",
    "SELECT trip_id FROM trip_decoyed WHERE __decoy IS NULL",
    "SELECT trip_id FROM trip_decoyed WHERE __decoy IS NOT NULL",
    "SELECT trip_id FROM trip_decoyed WHERE NOT __decoy",
    "SELECT trip_id FROM trip_decoyed ORDER BY __decoy",
    "SELECT count(__decoy) FROM trip_decoyed",
    "SELECT count(*) FROM trip_decoyed GROUP BY __decoy",
    "SELECT count(*) FILTER (WHERE __decoy IS NULL) FROM trip_decoyed",
    "SELECT trip_id FROM trip_decoyed GROUP BY trip_id HAVING max(__decoy) IS NULL",
    "SELECT row_number() OVER (PARTITION BY __decoy) FROM trip_decoyed",
    "SELECT coalesce(__decoy, 0) FROM trip_decoyed",
    "SELECT CASE WHEN __decoy IS NULL THEN 1 / 0 ELSE 0 END FROM trip_decoyed",
    "WITH d AS (SELECT __decoy FROM trip_decoyed) SELECT * FROM d",
    "SELECT a.trip_id FROM trip_decoyed a JOIN trip_decoyed b USING (__decoy)",
    "SELECT trip_id FROM trip_decoyed UNION SELECT __decoy FROM trip_decoyed",
    "SELECT trip_id FROM trip_decoyed WHERE EXISTS (SELECT __decoy FROM trip_decoyed)",
    "EXPLAIN SELECT __decoy FROM trip_decoyed",
    "EXPLAIN ANALYZE SELECT trip_id FROM trip_decoyed",
    "EXPLAIN VERBOSE SELECT trip_id FROM trip_decoyed",
    "SELECT __row FROM trip_decoyed",
    "SELECT trip_id FROM trip_decoyed ORDER BY __row",
    "SELECT trip_id FROM trip_decoyed WHERE __row > 9000",
    "SELECT __left_row FROM trip_decoyed",
    "SELECT __mark FROM trip_decoyed",
    "SELECT __subject FROM trip_decoyed",
    "SELECT rowid FROM trip_decoyed",
    "SELECT ctid FROM trip_decoyed",
    // Those without decoys.
    "SELECT trip_id FROM trips",
    "SELECT trip_id FROM trip_records",
    "SELECT d.trip_id FROM trip_decoyed d LEFT JOIN trip_records r ON r.trip_id = d.trip_id WHERE r.trip_id IS NULL",
    "SELECT trip_id FROM trip_decoyed EXCEPT SELECT trip_id FROM trips",
    "SELECT trip_id FROM trip_decoyed AS OF TIMESTAMP '2020-01-01'",
];

async fn opened() -> Guarded {
    let scenario = Scenario::open_decoyed(NUMBERS).await;
    let order = scenario.order_decoyed(Who::First).await;
    let guarded = Guarded::of(scenario, order).await;
    for _ in 0..DRAWS_MAX {
        if copy(&guarded, &guarded.order, Door::Http).await.expect("HTTP needs no client").len() > TRIPS {
            break;
        }
        guarded.scenario.redraw_copy(&guarded.order).await;
    }
    guarded
}

/// The numbers of an order's trips in the order in which a door gives them. Nothing where its client is missing.
async fn copy(guarded: &Guarded, order: &Ordered, door: Door) -> Option<Vec<usize>> {
    let seen = ask(guarded, order, door, &["SELECT trip_id FROM trip_decoyed"]).await?;
    let rows = seen[0].rows.as_ref().unwrap_or_else(|| panic!("{door:?}: {}", seen[0].short()));
    Some(rows.iter().map(|row| row[0].parse().expect("a number")).collect())
}

/// What is said of the table without its name, which has the word in it.
fn tells_of_decoys(said: &str, asked: &str) -> bool {
    !asked.to_lowercase().contains("__decoy") && said.replace(TRIP_DECOYED, "").to_lowercase().contains("decoy")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_door_tells_which_rows_there_are_not() {
    let guarded = opened().await;
    let order = &guarded.order;
    let whole = copy(&guarded, order, Door::Http).await.expect("HTTP needs no client");
    let decoys: Vec<usize> = whole.iter().copied().filter(|trip| trip % 3 == 0).collect();
    assert!(!decoys.is_empty() && whole.len() == TRIPS + decoys.len(), "{decoys:?}");
    assert!(whole.windows(2).all(|pair| pair[0] < pair[1]), "a decoy stands where its number puts it");
    let mut wrong = Vec::new();
    let before = guarded.settled_books(order).await;
    let away = FilesAway::of(&guarded.scenario);
    for door in Door::ALL {
        let Some(seen) = ask(&guarded, order, door, REFUSED).await else { continue };
        for (sql, seen) in REFUSED.iter().zip(&seen) {
            judge(&mut wrong, door, sql, Outcome::Refused, seen);
            if tells_of_decoys(&seen.said, sql) {
                wrong.push(format!("{door:?}: {sql}\n  tells of them: {}", seen.short()));
            }
        }
        if let Some(moved) = guarded.moved_since(&before, order).await {
            wrong.push(format!("{door:?}: what was refused left something behind: {moved}"));
        }
    }
    drop(away);
    // A trip that there is and one that there is not are answered alike, and by every door as by the others.
    let (real, decoy) = (whole.iter().find(|trip| *trip % 3 != 0).expect("there are trips"), decoys[0]);
    let questions = |trip: usize| {
        [
            (format!("SELECT count(*) FROM trip_decoyed WHERE trip_id = {trip}"), Some("1")),
            (format!("SELECT count(*) FROM trip_decoyed WHERE trip_id BETWEEN {trip} AND {trip}"), Some("1")),
            (format!("SELECT count(line) FROM trip_decoyed WHERE trip_id IN ({trip}, -1)"), Some("1")),
            (format!("SELECT min(trip_id) - {trip} FROM trip_decoyed WHERE trip_id >= {trip}"), Some("0")),
            (format!("SELECT max(trip_id) - {trip} FROM trip_decoyed WHERE trip_id <= {trip}"), Some("0")),
            (
                format!(
                    "SELECT count(*) FROM trip_decoyed a JOIN trip_decoyed b ON a.trip_id = b.trip_id WHERE a.trip_id = {trip}"
                ),
                Some("1"),
            ),
            (
                format!(
                    "SELECT count(*) FROM (SELECT trip_id FROM trip_decoyed INTERSECT SELECT trip_id FROM trip_decoyed) t WHERE trip_id = {trip}"
                ),
                Some("1"),
            ),
            (format!("SELECT count(*) FROM trip_decoyed WHERE trip_id = {trip} AND vehicle IS NOT NULL"), Some("1")),
            // An error that it brings about is brought about by the row, whether there is such a trip or not.
            (format!("SELECT 1 / (trip_id - {trip}) FROM trip_decoyed WHERE trip_id <= {trip}"), None),
            (format!("SELECT CAST(line AS BIGINT) FROM trip_decoyed WHERE trip_id = {trip}"), None),
        ]
    };
    let all = whole.len().to_string();
    let counted = [
        "SELECT count(*) FROM trip_decoyed",
        "SELECT count(DISTINCT trip_id) FROM trip_decoyed",
        "SELECT count(line) FROM trip_decoyed",
        "SELECT count(*) OVER () FROM trip_decoyed LIMIT 1",
        "SELECT count(*) FROM (SELECT trip_id FROM trip_decoyed LIMIT 100000) t",
        "SELECT count(*) FROM trip_decoyed a JOIN trip_decoyed b ON a.trip_id = b.trip_id",
        "SELECT row_number() OVER (ORDER BY trip_id) FROM trip_decoyed ORDER BY 1 DESC LIMIT 1",
    ];
    for door in Door::ALL {
        let Some(same) = copy(&guarded, order, door).await else { continue };
        assert!(same == whole, "{door:?}: not the rows of the others");
        for trip in [*real, decoy] {
            let asked = questions(trip);
            let statements: Vec<&str> = asked.iter().map(|(sql, _)| sql.as_str()).collect();
            let seen = ask(&guarded, order, door, &statements).await.expect("it answered before");
            for ((sql, cell), seen) in asked.iter().zip(&seen) {
                judge(&mut wrong, door, sql, cell.map_or(Outcome::Failed, Outcome::Cell), seen);
            }
        }
        let seen = ask(&guarded, order, door, &counted).await.expect("it answered before");
        for (sql, seen) in counted.iter().zip(&seen) {
            if seen.rows != Some(vec![vec![all.clone()]]) {
                wrong.push(format!("{door:?}: {sql}\n  should be {all}, is {:?} {}", seen.rows, seen.short()));
            }
        }
        // What is told of the table: his columns, and a plan in which nothing else stands.
        let told = [
            ("SELECT column_name FROM information_schema.columns", 5),
            ("SELECT column_name FROM information_schema.columns WHERE column_name LIKE '%decoy%'", 0),
            ("EXPLAIN SELECT * FROM trip_decoyed", 2),
        ];
        let statements = told.map(|(sql, _)| sql);
        let seen = ask(&guarded, order, door, &statements).await.expect("it answered before");
        for ((sql, rows), seen) in told.iter().zip(&seen) {
            judge(&mut wrong, door, sql, Outcome::Rows(*rows), seen);
            if tells_of_decoys(&seen.said, "") {
                wrong.push(format!("{door:?}: {sql}\n  tells of them: {}", seen.short()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each consumer has rows of his own that there are not, so that one who has two copies would know. Who has one gets no other by
/// another order, at another door or in another shape.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_order_is_no_second_copy() {
    let guarded = opened().await;
    let again = guarded.scenario.order_decoyed(Who::First).await;
    let other = guarded.scenario.order_decoyed(Who::Second).await;
    let whole = copy(&guarded, &guarded.order, Door::Http).await.expect("HTTP needs no client");
    for _ in 0..DRAWS_MAX {
        if copy(&guarded, &other, Door::Http).await.expect("HTTP needs no client") != whole {
            break;
        }
        guarded.scenario.redraw_copy(&other).await;
    }
    for door in Door::ALL {
        let Some(second) = copy(&guarded, &again, door).await else { continue };
        assert!(second == whole, "{door:?}: another order of the consumer has other rows");
        let stranger = copy(&guarded, &other, door).await.expect("it answered before");
        assert!(stranger != whole, "{door:?}: two consumers have the same decoys");
        // Nor does a key tell anything of another's copy.
        let wrong_key = Ordered { key: other.key.clone(), ..again.clone() };
        if door != Door::Postgres {
            let seen = ask(&guarded, &wrong_key, door, &["SELECT trip_id FROM trip_decoyed"]).await;
            let rows = seen.expect("it answered before").remove(0).rows.expect("the key is one");
            assert_eq!(rows.len(), stranger.len(), "{door:?}: the key decides whose copy it is");
        }
    }
}
