//! Joins that spill beside those that do not: of each statement the same rows come, whatever the keys are.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, Float64Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::SessionState;
use datafusion::physical_plan::{ExecutionPlan, collect, displayable};

use super::by_sorting;
use crate::engine::{Engine, EngineSettings, register};
use crate::rows_left::RowsLeft;

const MEMORY_BYTES: usize = 64 << 20;
const ROWS: i64 = 96;

/// Statements with joins over `t`, of which `f`, `g` and `w` are floating-point numbers, `z` is a moment in a zone, and all but `id` may be
/// missing.
const STATEMENTS: &[&str] = &[
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.f = q.f",
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.f = q.g",
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.w = q.w AND p.id <> q.id",
    // Only keys are selected, so what a condition asks besides is needed below the join alone.
    "SELECT p.n AS a, q.n AS b FROM t p JOIN t q ON p.n = q.n AND p.id < q.id",
    "SELECT q.s AS a, p.n AS b FROM t p JOIN t q ON p.n = q.n AND p.id <= q.id AND p.s < q.s",
    // The second side is the smaller one, so sides are swapped.
    "SELECT p.id AS a, q.id AS b FROM t p JOIN (SELECT * FROM t WHERE id < 30) q ON p.n = q.n AND p.id < q.id",
    "SELECT p.id AS a, q.id AS b FROM t p LEFT JOIN (SELECT * FROM t WHERE id < 30) q ON p.n = q.n AND p.id > q.id + 2 AND p.f < q.g",
    "SELECT p.n AS a, q.s AS b FROM t p JOIN (SELECT * FROM t WHERE id < 30) q ON p.n = q.n AND q.id < p.id AND p.s <> q.s",
    // A zero of either sign is one key, after which the second must be in order.
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.f = q.f AND p.n = q.n",
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.f = q.f AND p.s = q.s AND p.g = q.g",
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.z = q.z",
    "SELECT p.id AS a, q.id AS b FROM t p LEFT JOIN t q ON p.f = q.g AND q.id < 40",
    "SELECT p.id AS a, q.id AS b FROM t p RIGHT JOIN t q ON p.z = q.z AND p.n < q.n",
    "SELECT p.id AS a, q.id AS b FROM t p FULL JOIN t q ON p.f = q.f AND p.id + 1 = q.id",
    "SELECT p.id AS a FROM t p WHERE p.f IN (SELECT g FROM t)",
    "SELECT p.id AS a FROM t p WHERE EXISTS (SELECT 1 FROM t q WHERE q.f = p.g AND q.id > p.id)",
    "SELECT p.id AS a FROM t p WHERE NOT EXISTS (SELECT 1 FROM t q WHERE q.f = p.g AND q.id > p.id)",
    // Of what may be missing: nothing is known beside a missing value, and all is among none.
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n FROM t)",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n FROM t WHERE n > 5)",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n FROM t WHERE n > 1000)",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n + 3 FROM t WHERE n < 9)",
    "SELECT id AS a FROM t WHERE f NOT IN (SELECT g FROM t WHERE g IS NOT NULL)",
    "SELECT id AS a FROM t WHERE f NOT IN (SELECT f FROM t WHERE f > 3 OR f IS NULL)",
    "SELECT id AS a FROM t WHERE s NOT IN (SELECT s FROM t WHERE id < 20 AND s IS NOT NULL)",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT nullif(id, 3) FROM t WHERE id < 5)",
    "SELECT id AS a FROM t p WHERE n NOT IN (SELECT q.n FROM t q WHERE q.n IS NOT NULL AND q.id > p.id)",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n FROM t WHERE n > 5) OR id < 4",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n FROM t WHERE n > 5) OR f IN (SELECT g FROM t WHERE id < 9)",
    "SELECT id AS a FROM t WHERE n NOT IN (SELECT n FROM t WHERE n > 5) AND f NOT IN (SELECT f FROM t WHERE f > 6)",
    // Pairs.
    "SELECT p.id AS a, q.id AS b FROM t p JOIN t q ON p.f < q.g AND p.id % 3 = q.id % 5",
    "SELECT p.id AS a, q.id AS b FROM t p LEFT JOIN t q ON p.n > q.n + 6",
    "SELECT p.id AS a, q.id AS b FROM t p RIGHT JOIN t q ON p.n > q.n + 6",
    "SELECT p.id AS a, q.id AS b FROM t p FULL JOIN t q ON p.n > q.n + 6",
    "SELECT p.id AS a, q.id AS b FROM t p FULL JOIN t q ON false",
    "SELECT count(*) AS a, sum(p.n) AS b FROM t p, t q",
    "SELECT p.id AS a FROM t p WHERE EXISTS (SELECT 1 FROM t q WHERE q.n > p.n + 4 AND q.s < p.s)",
    "SELECT p.id AS a FROM t p WHERE NOT EXISTS (SELECT 1 FROM t q WHERE q.n > p.n + 4 AND q.s < p.s)",
    "SELECT p.id AS a FROM t p WHERE p.f > (SELECT avg(q.n) FROM t q)",
    "SELECT p.id AS a, x.c AS b FROM t p JOIN (SELECT n, count(*) AS c FROM t GROUP BY n UNION ALL SELECT 3, 1) x ON p.n < x.n - 5",
    "SELECT p.id AS a, q.id AS b, r.id AS c FROM t p JOIN t q ON p.f = q.f JOIN t r ON q.n > r.n + 9 WHERE p.id < 12",
];

fn table() -> MemTable {
    let zoned = DataType::Timestamp(TimeUnit::Microsecond, Some("Asia/Shanghai".into()));
    let fields = [
        ("id", DataType::Int64),
        ("f", DataType::Float64),
        ("g", DataType::Float64),
        ("w", DataType::Float32),
        ("n", DataType::Int64),
        ("s", DataType::Utf8),
        ("z", zoned.clone()),
    ];
    let fields: Vec<Field> = fields.into_iter().map(|(name, of)| Field::new(name, of, name != "id")).collect();
    let schema = Arc::new(Schema::new(fields));
    let special = [Some(-0.0), Some(0.0), Some(f64::NAN), None, Some(f64::INFINITY), Some(1.5), Some(-7.25)];
    let number = |id: i64, step: i64| -> Option<f64> {
        let at = usize::try_from(id * step % 11).expect("it is small");
        special.get(at).copied().unwrap_or(i32::try_from(id % 8).ok().map(f64::from))
    };
    let single = |id: i64| number(id, 3).map(|number| number.to_string().parse::<f32>().expect("it is a number"));
    let whole = |id: i64| (id % 13 != 4).then_some(id * 5 % 17);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..ROWS)),
        Arc::new((0..ROWS).map(|id| number(id, 1)).collect::<Float64Array>()),
        Arc::new((0..ROWS).map(|id| number(id, 7)).collect::<Float64Array>()),
        Arc::new((0..ROWS).map(single).collect::<Float32Array>()),
        Arc::new((0..ROWS).map(whole).collect::<Int64Array>()),
        Arc::new((0..ROWS).map(|id| (id % 9 != 5).then(|| format!("s{}", id % 6))).collect::<StringArray>()),
        Arc::new(
            (0..ROWS)
                .map(|id| whole(id).map(|n| n * 1_000_003))
                .collect::<TimestampMicrosecondArray>()
                .with_data_type(zoned),
        ),
    ];
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).expect("a batch");
    let (first, second) = (batch.slice(0, 50), batch.slice(50, batch.num_rows() - 50));
    MemTable::try_new(schema, vec![vec![first], vec![second]]).expect("a table")
}

async fn planned(state: &SessionState, sql: &str) -> Arc<dyn ExecutionPlan> {
    let plan = state.create_logical_plan(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    state.create_physical_plan(&plan).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// A statement's rows as sorted text.
async fn rows(engine: &Engine, state: &SessionState, sql: &str) -> Vec<String> {
    let physical = planned(state, sql).await;
    let task = engine.task(state, MEMORY_BYTES, &RowsLeft::default()).expect("a task");
    let batches = collect(physical, task).await.unwrap_or_else(|error| panic!("{sql}: {error}"));
    let printed = pretty_format_batches(&batches).expect("it prints").to_string();
    // The first names the columns, where there are any rows.
    let mut lines: Vec<String> =
        printed.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn joins_that_spill_give_what_others_give() {
    let directory = tempfile::tempdir().expect("a directory");
    let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
    let mut faults = Vec::new();
    let mut answered = 0;
    for partitions in [1, 2] {
        let hashing = engine.governed_state(partitions);
        register(&hashing, "t", Arc::new(table())).expect("a new name");
        let sorting = by_sorting(&hashing);
        for sql in STATEMENTS {
            let plan = displayable(planned(&sorting, sql).await.as_ref()).indent(true).to_string();
            if ["HashJoinExec", "NestedLoopJoinExec", "CrossJoinExec"].iter().any(|join| plan.contains(join)) {
                faults.push(format!("{sql} has a join that does not spill:\n{plan}"));
            }
            let (expected, found) = (rows(&engine, &hashing, sql).await, rows(&engine, &sorting, sql).await);
            answered += usize::from(!expected.is_empty());
            if expected != found {
                faults.push(format!("{sql}, {partitions} partitions\n{expected:?}\n{found:?}\n{plan}"));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
    assert!(answered > STATEMENTS.len(), "only {answered} answers have rows");
}
