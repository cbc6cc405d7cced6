//! Questions for membership, answered as three-valued logic has it: by hand, and of random conditions by a reader of conditions that
//! knows no joins.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::datasource::MemTable;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::collect;

use crate::allow::{self, Granted, Refusal, RefusalCode};
use crate::engine::{Engine, EngineSettings, register};
use crate::joins::by_sorting;
use crate::rows_left::RowsLeft;
use crate::rules::word_by_word;

const MEMORY_BYTES: usize = 64 << 20;
const SEEDS: [u64; 3] = [3, 71, 902];
const STATEMENTS: usize = 24;

/// A row of `t`, with `a`, or of `s`, with `b` in the same place.
#[derive(Clone, Copy, Debug)]
struct Row {
    id: i64,
    value: Option<i64>,
    key: Option<i64>,
}

/// Each value beside each key; those of `s` are numbered so that the first have no missing value.
fn rows_of(values: &[(Option<i64>, Option<i64>)]) -> Vec<Row> {
    (0..).zip(values).map(|(id, (value, key))| Row { id, value: *value, key: *key }).collect()
}

fn t() -> Vec<Row> {
    let mut values = Vec::new();
    for value in [Some(1), Some(2), Some(3), None] {
        for key in [Some(1), Some(2), None] {
            values.push((value, key));
        }
    }
    rows_of(&values)
}

fn s() -> Vec<Row> {
    rows_of(&[
        (Some(1), Some(1)),
        (Some(2), Some(2)),
        (Some(2), None),
        (None, Some(2)),
        (Some(1), Some(0)),
        (None, None),
    ])
}

fn table(rows: &[Row], value: &str) -> MemTable {
    let may_be_missing = |name: &str| Field::new(name, DataType::Int64, name != "id");
    let schema = Arc::new(Schema::new(["id", value, "k"].map(may_be_missing).to_vec()));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.id))),
        Arc::new(rows.iter().map(|row| row.value).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.key).collect::<Int64Array>()),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch");
    MemTable::try_new(schema, vec![vec![batch]]).expect("a table")
}

/// The two tables, in sessions that make joins in different ways.
struct Place {
    _directory: tempfile::TempDir,
    engine: Engine,
    states: Vec<SessionState>,
    granted: Granted,
}

impl Place {
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let state = engine.governed_state(2);
        register(&state, "t", Arc::new(table(&t(), "a"))).expect("a new name");
        register(&state, "s", Arc::new(table(&s(), "b"))).expect("a new name");
        let columns = |names: [&str; 3]| names.map(str::to_owned).to_vec();
        let granted =
            Granted::from([("t".to_owned(), columns(["id", "a", "k"])), ("s".to_owned(), columns(["id", "b", "k"]))]);
        let states = vec![by_sorting(&state), word_by_word(&state), state];
        Place { _directory: directory, engine, states, granted }
    }

    /// The first column of an answer, in order.
    async fn answer(&self, state: &SessionState, sql: &str) -> Result<Vec<i64>, Refusal> {
        let plan = allow::plan(state, sql, &self.granted).await?;
        Ok(self.rows(state, &plan).await.unwrap_or_else(|error| panic!("{sql}\n{error}\n{plan}")))
    }

    async fn rows(&self, state: &SessionState, plan: &LogicalPlan) -> DataFusionResult<Vec<i64>> {
        let physical = state.create_physical_plan(plan).await?;
        let task = self.engine.task(state, MEMORY_BYTES, &RowsLeft::default()).expect("a task");
        let mut found = Vec::new();
        for batch in collect(physical, task).await? {
            found.extend(batch.column(0).as_primitive::<Int64Type>().values());
        }
        found.sort_unstable();
        Ok(found)
    }
}

/// Of `t` the rows 0 to 2 have 1 for a, 3 to 5 have 2, 6 to 8 have 3, 9 to 11 none; of each three k is 1, 2 and missing.
#[tokio::test]
async fn what_is_not_known_leaves_a_row_out() {
    let place = Place::new();
    let cases: &[(&str, &[i64])] = &[
        // Alone, without a missing value among the others, with one, and with none at all.
        ("SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE id < 3)", &[6, 7, 8]),
        ("SELECT id FROM t WHERE a NOT IN (SELECT b FROM s)", &[]),
        ("SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE id > 99)", &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("SELECT id FROM t WHERE a NOT IN ((SELECT b FROM s WHERE id < 3))", &[6, 7, 8]),
        // A whole has one row, also of nothing.
        (
            "SELECT id FROM t WHERE EXISTS (SELECT count(*) FROM s WHERE s.k = t.id)",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        ("SELECT id FROM t WHERE NOT EXISTS (SELECT max(b) + 1 FROM s WHERE s.k = t.id) OR id = 3", &[3]),
        ("SELECT id FROM t WHERE EXISTS (SELECT DISTINCT b FROM s WHERE s.k = t.id LIMIT 1)", &[0, 1, 2]),
        ("SELECT id FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.k = t.id GROUP BY b HAVING count(*) > 1)", &[]),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM s LEFT JOIN t u ON s.b = u.id WHERE s.k = t.id AND u.id = 2)",
            &[2],
        ),
        ("SELECT id FROM t WHERE 2 = (SELECT count(*) FROM s WHERE s.k = t.id)", &[2]),
        ("SELECT id FROM t WHERE 0 = (SELECT count(*) + 0 FROM s WHERE s.k = t.id)", &[3, 4, 5, 6, 7, 8, 9, 10, 11]),
        ("SELECT t.id FROM t, LATERAL (SELECT count(*) AS c FROM s WHERE s.k = t.id) l WHERE l.c = 1", &[0, 1]),
        (
            "SELECT t.id FROM t, LATERAL (SELECT b, max(s.id) AS m FROM s WHERE s.k = t.id GROUP BY b) l WHERE l.m > 2",
            &[0, 2],
        ),
        // Beside an OR.
        ("SELECT id FROM t WHERE id = 11 OR a NOT IN (SELECT b FROM s WHERE id < 3)", &[6, 7, 8, 11]),
        ("SELECT id FROM t WHERE id = 11 OR a NOT IN (SELECT b FROM s)", &[11]),
        ("SELECT id FROM t WHERE id = 11 OR a NOT IN ((SELECT b FROM s))", &[11]),
        ("SELECT id FROM t WHERE k = 1 AND (id = 1 OR a NOT IN (SELECT b FROM s WHERE id > 99))", &[0, 3, 6, 9]),
        ("SELECT id FROM t WHERE id = 11 OR NOT (a IN (SELECT b FROM s) OR k = 1)", &[11]),
        ("SELECT id FROM t WHERE NOT (a IN (SELECT b FROM s WHERE id < 3) OR k = 1)", &[7]),
        ("SELECT id FROM t WHERE NOT (a IN (SELECT b FROM s WHERE id < 3) AND k = 1)", &[1, 4, 6, 7, 8, 10]),
        ("SELECT id FROM t WHERE NOT (NOT (a NOT IN (SELECT b FROM s WHERE id < 3) OR id = 0))", &[0, 6, 7, 8]),
        ("SELECT id FROM t WHERE id = 0 OR a IN (SELECT b FROM s WHERE b IS NULL OR b = 2)", &[0, 3, 4, 5]),
        // Several at once, of which one is known.
        (
            "SELECT id FROM t WHERE a NOT IN (SELECT b FROM s) OR a NOT IN (SELECT b + 1 FROM s WHERE id < 1)",
            &[0, 1, 2, 6, 7, 8],
        ),
        (
            "SELECT id FROM t WHERE (a NOT IN (SELECT b FROM s WHERE id < 3) OR k NOT IN (SELECT k FROM s WHERE id = 0)) AND id > 3",
            &[4, 6, 7, 8, 10],
        ),
        // Of a constant, and of what may be missing though its column is not.
        ("SELECT id FROM t WHERE id < 2 AND 3 NOT IN (SELECT b FROM s)", &[]),
        ("SELECT id FROM t WHERE id < 2 AND 3 NOT IN (SELECT b FROM s WHERE id < 3)", &[0, 1]),
        ("SELECT id FROM t WHERE id < 2 AND CAST(NULL AS BIGINT) NOT IN (SELECT id FROM s)", &[]),
        ("SELECT id FROM t WHERE nullif(id, 11) NOT IN (SELECT id FROM s)", &[6, 7, 8, 9, 10]),
        ("SELECT id FROM t WHERE id NOT IN (SELECT nullif(id, 4) FROM s)", &[]),
        ("SELECT id FROM t WHERE id > 9 OR id NOT IN (SELECT id FROM s)", &[6, 7, 8, 9, 10, 11]),
        // Of a subquery that depends on the row outside, by equality and by more.
        ("SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE s.k = t.k)", &[2, 3, 5, 6, 8, 11]),
        ("SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE s.k < t.k)", &[2, 3, 4, 5, 6, 7, 8, 11]),
        ("SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE s.k <= t.k AND s.id < 4)", &[2, 3, 5, 6, 8, 11]),
        ("SELECT id FROM t WHERE id = 0 OR a NOT IN (SELECT b FROM s WHERE s.k > t.k)", &[0, 1, 2, 4, 5, 7, 8, 10, 11]),
        ("SELECT id FROM t WHERE id NOT IN (SELECT id FROM s WHERE s.k > t.k)", &[0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11]),
        // Of an aggregate, which has a row also where there is nothing.
        ("SELECT id FROM t WHERE a NOT IN (SELECT max(b) FROM s WHERE s.k = t.k)", &[1, 3, 6, 7]),
        ("SELECT id FROM t WHERE k IN (SELECT count(*) FROM s WHERE s.b = t.a AND s.id > 0)", &[0, 4]),
        ("SELECT id FROM t WHERE a - 3 IN (SELECT count(*) FROM s WHERE s.k = t.k)", &[8]),
        ("SELECT id FROM t WHERE a NOT IN (SELECT DISTINCT max(b) FROM s WHERE s.k = t.k)", &[1, 3, 6, 7]),
        ("SELECT id FROM t WHERE id = 8 OR a NOT IN (SELECT DISTINCT max(b) FROM s WHERE s.k = t.k)", &[1, 3, 6, 7, 8]),
        // Where the truth is looked at.
        ("SELECT id FROM t WHERE (a IN (SELECT b FROM s)) IS NULL", &[6, 7, 8, 9, 10, 11]),
        ("SELECT id FROM t WHERE (a NOT IN (SELECT b FROM s)) IS NOT UNKNOWN", &[0, 1, 2, 3, 4, 5]),
        ("SELECT id FROM t WHERE (a NOT IN (SELECT b FROM s)) IS NOT TRUE AND k = 1", &[0, 3, 6, 9]),
        ("SELECT id FROM t WHERE (a IN (SELECT b FROM s)) IS FALSE", &[]),
        ("SELECT id FROM t WHERE coalesce(a NOT IN (SELECT b FROM s), true) AND k = 1", &[6, 9]),
        ("SELECT id FROM t WHERE (a IN (SELECT b FROM s WHERE id < 3)) = (k = 1)", &[0, 3, 7]),
        ("SELECT id FROM t WHERE CASE WHEN a NOT IN (SELECT b FROM s) THEN true ELSE k = 2 END", &[1, 4, 7, 10]),
        ("SELECT id FROM t WHERE CASE WHEN k = 1 THEN a NOT IN (SELECT b FROM s WHERE id < 3) END", &[6]),
        ("SELECT id FROM t WHERE CASE WHEN a NOT IN (SELECT b FROM s WHERE id < 3) THEN 1 ELSE 2 END = 1", &[6, 7, 8]),
        // In other places.
        ("SELECT a FROM t GROUP BY a HAVING a > 2 OR a NOT IN (SELECT b FROM s)", &[3]),
        ("SELECT max(id) FROM t GROUP BY k HAVING max(id) < 10 OR sum(a) NOT IN (SELECT b FROM s)", &[9]),
        ("SELECT p.id FROM t p JOIN t q ON p.id = q.id AND (p.id = 11 OR q.a NOT IN (SELECT b FROM s))", &[11]),
        (
            "SELECT p.id FROM t p JOIN t q ON p.id = q.id AND p.a NOT IN (SELECT b FROM s WHERE s.k < q.k)",
            &[2, 3, 4, 5, 6, 7, 8, 11],
        ),
        ("SELECT id FROM (SELECT id, a NOT IN (SELECT b FROM s) OR id = 3 AS c FROM t) x WHERE c", &[3]),
        ("SELECT id FROM (SELECT id, a NOT IN (SELECT b FROM s) AS c FROM t) x WHERE c IS NULL", &[6, 7, 8, 9, 10, 11]),
        (
            "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.k = t.k AND (s.id = 3 OR s.b NOT IN (SELECT b FROM s)))",
            &[1, 4, 7, 10],
        ),
        (
            "SELECT id FROM t WHERE id = 11 OR a NOT IN (SELECT b FROM s WHERE id = 9 OR k NOT IN (SELECT k FROM s))",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        ("SELECT id FROM t WHERE id = 11 OR a NOT IN (SELECT b FROM s ORDER BY id LIMIT 1)", &[3, 4, 5, 6, 7, 8, 11]),
        (
            "SELECT id FROM t WHERE id = 11 OR a NOT IN (SELECT b FROM s WHERE id = 0 UNION SELECT k FROM s WHERE id = 1)",
            &[6, 7, 8, 11],
        ),
        (
            "SELECT id FROM t WHERE id = 11 OR (SELECT max(a) FROM t) NOT IN (SELECT b FROM s WHERE id < 1)",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        // Of a subquery that has no row, whose column is never missing.
        ("SELECT id FROM t WHERE (SELECT id FROM s WHERE id > 99) IS NULL AND id < 2", &[0, 1]),
        ("SELECT id FROM t WHERE (SELECT id FROM s WHERE id > 99) IS NOT NULL", &[]),
        ("SELECT coalesce((SELECT id FROM s WHERE id > 99), id) FROM t WHERE id < 3", &[0, 1, 2]),
        ("SELECT max(coalesce((SELECT id FROM s WHERE id > 99), id)) FROM t", &[11]),
        ("SELECT id FROM t WHERE id < 2 ORDER BY (SELECT id FROM s WHERE id > 99), id", &[0, 1]),
        ("SELECT id FROM t GROUP BY id, (SELECT id + 1 FROM s WHERE id > 99) HAVING id < 2", &[0, 1]),
        (
            "SELECT id FROM (SELECT id, (SELECT id FROM s WHERE id > 99) AS n FROM t) x WHERE n IS NULL AND id < 2",
            &[0, 1],
        ),
        (
            "SELECT p.id FROM t p LEFT JOIN t q ON (SELECT id FROM s WHERE id > 99) IS NULL AND p.id = q.id WHERE q.id < 2",
            &[0, 1],
        ),
        (
            "SELECT id FROM t WHERE (SELECT count(*) FROM s WHERE s.id = t.id + 4 HAVING count(*) > 0) IS NULL AND id < 4",
            &[2, 3],
        ),
        ("SELECT id FROM t WHERE (SELECT count(*) FROM s HAVING count(*) > 99) IS NULL AND id < 2", &[0, 1]),
        ("SELECT id FROM t WHERE id = 8 OR (SELECT id FROM s WHERE id > 99) NOT IN (SELECT id FROM s)", &[8]),
        (
            "SELECT id FROM t WHERE id = 8 OR (SELECT id FROM s WHERE id > 99) NOT IN (SELECT id FROM s WHERE id > 99)",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        ("SELECT id FROM t WHERE id = 8 OR id NOT IN (SELECT (SELECT id FROM s WHERE id > 99) FROM s)", &[8]),
        (
            "SELECT id FROM t WHERE id = 8 OR id NOT IN (SELECT n FROM (SELECT (SELECT id FROM s WHERE id > 99) AS n FROM s) x)",
            &[8],
        ),
        (
            "SELECT id FROM t WHERE id = 8 OR id NOT IN (SELECT n FROM (SELECT id AS n FROM s UNION ALL SELECT (SELECT id FROM s WHERE id > 99)) x)",
            &[8],
        ),
        (
            "SELECT n FROM (SELECT id AS n FROM t UNION SELECT (SELECT id FROM s WHERE id > 99)) x WHERE n = 8 OR n NOT IN (SELECT id FROM s)",
            &[6, 7, 8, 9, 10, 11],
        ),
        // What a subquery takes from outside comes of one that has no row.
        (
            "SELECT id FROM (SELECT id, (SELECT id FROM s WHERE id > 99) AS n FROM t) x WHERE EXISTS (SELECT 1 FROM s WHERE s.id = x.id AND x.n IS NULL)",
            &[0, 1, 2, 3, 4, 5],
        ),
        (
            "SELECT id FROM (SELECT id, (SELECT id FROM s WHERE id > 99) AS n FROM t) x WHERE NOT EXISTS (SELECT 1 FROM s WHERE s.id = x.id AND x.n IS NOT NULL)",
            &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11],
        ),
        // In grouping sets.
        ("SELECT count(*) FROM t GROUP BY ROLLUP (k, ((SELECT id AS z FROM s WHERE id = 3)))", &[4, 4, 4, 4, 4, 4, 12]),
        (
            "SELECT count(*) FROM t GROUP BY ROLLUP (k, ((SELECT id AS z FROM s WHERE id > 99)))",
            &[4, 4, 4, 4, 4, 4, 12],
        ),
    ];
    let mut faults = Vec::new();
    for (number, (sql, expected)) in cases.iter().enumerate() {
        for state in [&place.states[number % 2], &place.states[2]] {
            let found = place.answer(state, sql).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
            if found != *expected {
                faults.push(format!("{sql}\n  {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

/// What the pinned DataFusion makes of the words as they stand. Where it answers like this at last, they need no others.
#[tokio::test]
async fn without_other_words_rows_are_kept_of_which_nothing_is_known() {
    let place = Place::new();
    let state = &place.states[2];
    for sql in [
        "SELECT id FROM t WHERE id = 11 OR a NOT IN (SELECT b FROM s)",
        "SELECT id FROM t WHERE CASE WHEN a NOT IN (SELECT b FROM s) THEN true ELSE k = 2 END",
        "SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE s.k < t.k)",
        "SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE s.k = t.k)",
        "SELECT id FROM t WHERE id < 2 AND 3 NOT IN (SELECT b FROM s)",
        "SELECT id FROM t WHERE nullif(id, 11) NOT IN (SELECT id FROM s)",
        "SELECT id FROM t WHERE a - 3 IN (SELECT count(*) FROM s WHERE s.k = t.k)",
        "SELECT id FROM t WHERE (SELECT id FROM s WHERE id > 99) IS NULL AND id < 2",
    ] {
        let expected = place.answer(state, sql).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal}"));
        let plan = state.create_logical_plan(sql).await.expect("it is planned");
        let found = place.rows(state, &plan).await;
        println!("{sql}\n  {found:?} instead of {expected:?}");
        assert_ne!(found.ok(), Some(expected), "{sql}");
    }
}

#[tokio::test]
async fn what_cannot_be_put_in_other_words_is_refused() {
    let place = Place::new();
    let state = &place.states[0];
    for sql in [
        "SELECT id FROM t WHERE id = 1 OR (SELECT max(b) FROM s WHERE s.k = t.k) NOT IN (SELECT b FROM s)",
        "SELECT id FROM t WHERE EXISTS (SELECT 1 FROM s WHERE s.id = 1 OR t.a NOT IN (SELECT b FROM s))",
        "SELECT id FROM t WHERE a NOT IN (SELECT b FROM s WHERE s.k = t.k ORDER BY id LIMIT 1)",
        "SELECT p.id FROM t p LEFT JOIN t q ON p.id = q.id AND (q.id = 1 OR q.a NOT IN (SELECT b FROM s))",
        "SELECT id FROM t WHERE id = 1 OR a NOT IN (SELECT b FROM s LIMIT 3)",
    ] {
        let refusal = place.answer(state, sql).await.expect_err(sql);
        assert_eq!(refusal.code, RefusalCode::ClauseNotAllowed, "{sql}");
        assert!(refusal.what.contains("NOT EXISTS"), "{sql}: {refusal}");
    }
    // What is asked three times for each time that it stands there is bounded by what it comes to.
    let mut sql = "SELECT b FROM s".to_owned();
    for _ in 0..4 {
        sql = format!("SELECT b FROM s WHERE id = 1 OR b NOT IN ({sql})");
    }
    let refusal = place.answer(state, &format!("SELECT id FROM t WHERE a IN ({sql})")).await.expect_err(&sql);
    assert_eq!(refusal.code, RefusalCode::StatementTooLarge);
}

/// A number of a row, or a constant.
#[derive(Clone, Copy, Debug)]
enum Operand {
    Id,
    Value,
    Key,
    Next,
    Except(i64),
    Constant(Option<i64>),
}

impl Operand {
    fn sql(self, column: &str) -> String {
        let table = column.split('.').next().expect("the table's name");
        match self {
            Operand::Id => format!("{table}.id"),
            Operand::Value => column.to_owned(),
            Operand::Key => format!("{table}.k"),
            Operand::Next => format!("{column} + 1"),
            Operand::Except(number) => format!("nullif({column}, {number})"),
            Operand::Constant(Some(number)) => number.to_string(),
            Operand::Constant(None) => "CAST(NULL AS BIGINT)".to_owned(),
        }
    }

    fn of(self, row: &Row) -> Option<i64> {
        match self {
            Operand::Id => Some(row.id),
            Operand::Value => row.value,
            Operand::Key => row.key,
            Operand::Next => row.value.map(|value| value + 1),
            Operand::Except(number) => row.value.filter(|value| *value != number),
            Operand::Constant(constant) => constant,
        }
    }
}

/// The rows of `s` among whose values one is looked for.
#[derive(Clone, Copy, Debug)]
struct Others {
    value: Operand,
    ids_below: i64,
    link: &'static str,
}

const LINKS: [&str; 6] = ["", "", "s.k = t.k", "s.k < t.k", "s.k <> t.k", "s.b <= t.a"];

impl Others {
    fn sql(self) -> String {
        let link = if self.link.is_empty() { String::new() } else { format!(" AND {}", self.link) };
        format!("SELECT {} FROM s WHERE s.id < {}{link}", self.value.sql("s.b"), self.ids_below)
    }

    fn of(self, row: &Row) -> Vec<Option<i64>> {
        let is_linked = |other: &Row| {
            let pair = if self.link == "s.b <= t.a" { (other.value, row.value) } else { (other.key, row.key) };
            match (self.link, pair) {
                ("", _) => true,
                ("s.k = t.k", (Some(left), Some(right))) => left == right,
                ("s.k < t.k", (Some(left), Some(right))) => left < right,
                ("s.k <> t.k", (Some(left), Some(right))) => left != right,
                ("s.b <= t.a", (Some(left), Some(right))) => left <= right,
                _ => false,
            }
        };
        let others = s().into_iter().filter(|other| other.id < self.ids_below && is_linked(other));
        others.map(|other| self.value.of(&other)).collect()
    }
}

#[derive(Clone, Debug)]
enum Condition {
    Among(Operand, Others),
    NotAmong(Operand, Others),
    Less(Operand, Operand),
    Not(Box<Condition>),
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Same(Box<Condition>, Box<Condition>),
    Case(Box<Condition>, Box<Condition>, Box<Condition>),
    /// Whether another is true, false or not known, by the word for it, or is not.
    Is(Box<Condition>, Option<bool>, bool),
}

impl Condition {
    fn sql(&self) -> String {
        match self {
            Condition::Among(value, others) => format!("{} IN ({})", value.sql("t.a"), others.sql()),
            Condition::NotAmong(value, others) => format!("{} NOT IN ({})", value.sql("t.a"), others.sql()),
            Condition::Less(left, right) => format!("{} < {}", left.sql("t.a"), right.sql("t.a")),
            Condition::Not(of) => format!("NOT ({})", of.sql()),
            Condition::And(left, right) => format!("({}) AND ({})", left.sql(), right.sql()),
            Condition::Or(left, right) => format!("({}) OR ({})", left.sql(), right.sql()),
            Condition::Same(left, right) => format!("({}) = ({})", left.sql(), right.sql()),
            Condition::Case(met, then, other) => {
                format!("CASE WHEN {} THEN {} ELSE {} END", met.sql(), then.sql(), other.sql())
            }
            Condition::Is(of, truth, is_negated) => {
                let word = truth.map_or("UNKNOWN", |truth| if truth { "TRUE" } else { "FALSE" });
                format!("({}) IS {}{word}", of.sql(), if *is_negated { "NOT " } else { "" })
            }
        }
    }

    /// True, false or not known.
    fn truth(&self, row: &Row) -> Option<bool> {
        match self {
            Condition::Among(value, others) => {
                let (value, others) = (value.of(row), others.of(row));
                match value {
                    _ if others.is_empty() => Some(false),
                    Some(_) if others.contains(&value) => Some(true),
                    Some(_) if !others.contains(&None) => Some(false),
                    _ => None,
                }
            }
            Condition::NotAmong(value, others) => Condition::Among(*value, *others).truth(row).map(|truth| !truth),
            Condition::Less(left, right) => Some(left.of(row)? < right.of(row)?),
            Condition::Not(of) => of.truth(row).map(|truth| !truth),
            Condition::And(left, right) => match (left.truth(row), right.truth(row)) {
                (Some(false), _) | (_, Some(false)) => Some(false),
                (Some(true), Some(true)) => Some(true),
                _ => None,
            },
            Condition::Or(left, right) => match (left.truth(row), right.truth(row)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            Condition::Same(left, right) => Some(left.truth(row)? == right.truth(row)?),
            Condition::Case(met, then, other) => if met.truth(row) == Some(true) { then } else { other }.truth(row),
            Condition::Is(of, truth, is_negated) => Some((of.truth(row) == *truth) != *is_negated),
        }
    }
}

/// A source of conditions; the same seed gives the same ones.
struct Conditions {
    state: u64,
}

impl Conditions {
    /// Xorshift; good enough to choose by.
    fn below(&mut self, bound: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        usize::try_from(self.state >> 33).expect("31 bits") % bound
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }

    fn operand(&mut self) -> Operand {
        use Operand::{Constant, Except, Id, Key, Next, Value};
        self.pick(&[Value, Value, Value, Value, Id, Key, Next, Except(1), Except(2), Constant(Some(2)), Constant(None)])
    }

    fn membership(&mut self) -> Condition {
        let ids_below = self.pick(&[0, 1, 3, 4, 6]);
        let value = self.pick(&[Operand::Value, Operand::Value, Operand::Id, Operand::Next, Operand::Except(2)]);
        let others = Others { value, ids_below, link: self.pick(&LINKS) };
        let operand = self.operand();
        if self.below(4) == 0 { Condition::Among(operand, others) } else { Condition::NotAmong(operand, others) }
    }

    fn condition(&mut self, depth: usize) -> Condition {
        if depth == 0 {
            return match self.below(3) {
                0 => Condition::Less(self.operand(), self.operand()),
                _ => self.membership(),
            };
        }
        let mut of = || Box::new(self.condition(depth - 1));
        let (first, second, third) = (of(), of(), of());
        match self.below(12) {
            0..3 => Condition::Or(first, second),
            3..5 => Condition::And(first, second),
            5..8 => Condition::Not(first),
            8 => Condition::Same(first, second),
            9 => Condition::Case(first, second, third),
            _ => Condition::Is(first, self.pick(&[Some(true), Some(false), None]), self.below(2) == 0),
        }
    }
}

#[tokio::test]
async fn random_conditions_are_answered_by_three_valued_logic() {
    let place = Place::new();
    let mut faults = Vec::new();
    let mut kept = 0;
    for seed in SEEDS {
        let mut conditions = Conditions { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1 };
        for number in 0..STATEMENTS {
            let condition = conditions.condition(number % 3);
            let sql = format!("SELECT t.id FROM t WHERE {}", condition.sql());
            let expected: Vec<i64> =
                t().iter().filter(|row| condition.truth(row) == Some(true)).map(|row| row.id).collect();
            let state = &place.states[number / 3 % place.states.len()];
            match place.answer(state, &sql).await {
                Ok(found) if found == expected => kept += found.len(),
                found => faults.push(format!("seed {seed}: {sql}\n  {found:?} instead of {expected:?}")),
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(kept > SEEDS.len() * STATEMENTS, "only {kept} rows were kept");
}
