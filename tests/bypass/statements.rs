//! Every attempt through every door that takes statements: HTTP, Flight SQL through ADBC, and PostgreSQL through psycopg.

use std::collections::BTreeMap;

use crate::attempts::{ATTEMPTS, Outcome};
use crate::doors::{Door, Seen, Stage, ask};
use crate::served::{FilesAway, Guarded, TRIPS, is_visible, secrets_in, told};
use lingqu_tests::scenario::Trip;

#[test]
fn there_are_attempts_enough_and_none_twice() {
    let mut known = BTreeMap::new();
    for (statement, outcome) in ATTEMPTS {
        assert!(known.insert(*statement, outcome).is_none(), "{statement} is there twice");
    }
    assert!(known.len() >= 150, "{}", known.len());
    assert_eq!((0..TRIPS).map(Trip::of).filter(is_visible).count(), 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_over_http_tells_more_than_was_granted() {
    attempted(Door::Http).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_over_flight_sql_tells_more_than_was_granted() {
    attempted(Door::Flight).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_statement_over_postgres_tells_more_than_was_granted() {
    attempted(Door::Postgres).await;
}

/// Makes every attempt at a door. Those that are to be refused read nothing and leave nothing behind: they come first, between two
/// looks at the books, while the data files are not there.
async fn attempted(door: Door) {
    let guarded = Guarded::open().await;
    let refused = |(statement, outcome): &&(&str, Outcome)| {
        outcome.at(door) == Outcome::Refused && !(door == Door::Postgres && begins_with_an_answer(statement))
    };
    let (refused, others): (Vec<_>, Vec<_>) = ATTEMPTS.iter().partition(refused);
    assert!(refused.len() >= 150, "{}", refused.len());
    // An account is known when something of it was used.
    let first = ask(&guarded, &guarded.order, Door::Http, &["SELECT trip_id FROM trip_guarded"]).await;
    assert!(first.is_some_and(|seen| seen[0].rows.is_some()));
    let before = guarded.settled_books(&guarded.order).await;
    let mut wrong = Vec::new();
    for (attempts, are_refused) in [(&refused, true), (&others, false)] {
        let statements: Vec<&str> = attempts.iter().map(|(statement, _)| *statement).collect();
        let away = are_refused.then(|| FilesAway::of(&guarded.scenario));
        let Some(seen) = ask(&guarded, &guarded.order, door, &statements).await else { return };
        for ((statement, outcome), seen) in attempts.iter().zip(&seen) {
            judge(&mut wrong, door, statement, *outcome, seen);
        }
        if are_refused && let Some(moved) = guarded.moved_since(&before, &guarded.order).await {
            wrong.push(format!("{door:?}: what was refused left something behind: {moved}"));
        }
        // Without them nothing is answered that reads.
        if are_refused {
            let read = ask(&guarded, &guarded.order, door, &["SELECT sum(delay) FROM trip_guarded"]).await;
            assert!(read.is_some_and(|seen| seen[0].rows.is_none()), "{door:?} answers without the files");
        }
        drop(away);
    }
    // The books do tell: what is answered stands in them.
    assert_ne!(guarded.books(&guarded.order).await, before);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), ATTEMPTS.len(), wrong.join("\n"));
}

/// PostgreSQL's simple protocol answers one statement after the other, so the first of two is a delivery before the second is
/// refused.
fn begins_with_an_answer(statement: &str) -> bool {
    statement.split_once("; ").is_some_and(|(first, _)| first.contains("FROM trip_guarded"))
}

/// Notes what is wrong about what came of a statement at a door.
pub fn judge(wrong: &mut Vec<String>, door: Door, statement: &str, outcome: Outcome, seen: &Seen) {
    let mut told = told(&seen.said, statement);
    // Cells hold no secret, not even one that the attempt names, but where it asks what the statement itself means.
    if let Some(rows) = &seen.rows
        && !statement.to_ascii_uppercase().starts_with("EXPLAIN")
    {
        told += &rows.iter().flatten().map(|cell| secrets_in(&format!("\"{cell}\""))).collect::<String>();
    }
    if !told.is_empty() {
        wrong.push(format!("{door:?}: {statement}\n  tells {told}  {}", seen.short()));
        return;
    }
    // ADBC's driver itself refuses a statement that is none.
    let is_drivers = door == Door::Flight && statement.is_empty() && seen.rows.is_none();
    let stage = if is_drivers { Some(Stage::Planned) } else { seen.refused_at(door) };
    let is_right = match (outcome.at(door), &seen.rows) {
        (Outcome::Rows(count), Some(rows)) => rows.len() == count,
        (Outcome::Cell(text), Some(rows)) => rows.len() == 1 && rows[0].len() == 1 && rows[0][0] == text,
        (Outcome::Refused, None) => stage == Some(Stage::Planned),
        (Outcome::Failed, None) => stage == Some(Stage::Run) || seen.is_cut(),
        (Outcome::Rows(_) | Outcome::Cell(_), None) | (Outcome::Refused | Outcome::Failed, Some(_)) => false,
        (Outcome::ByDoor(_), _) => unreachable!("an outcome at a door is one"),
    };
    if !is_right {
        let rows = seen.rows.as_ref().map(|rows| (rows.len(), rows.first().cloned()));
        let should = outcome.at(door);
        wrong.push(format!("{door:?}: {statement}\n  should be {should:?}, is {rows:?} {}", seen.short()));
    }
}
