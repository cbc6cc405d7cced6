//! Windows give what DataFusion's own give, by the same plan, and end when their answer is not wanted any more.

use std::sync::Arc;

use arrow::array::{Array, ArrayData, ArrayRef, Float64Array, Int64Array, RecordBatch};
use datafusion::datasource::MemTable;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::{EmptyRecordBatchStream, ExecutionPlan, collect, displayable};

use super::Stop;
use crate::BATCH_ROWS;
use crate::allow::{self, Granted, is_aggregate_allowed, is_window_allowed};
use crate::engine::{Engine, EngineSettings, register};
use crate::rows_left::RowsLeft;

/// More than one piece of what an aggregate is given at once.
const ROWS: i64 = 2 * BATCH_ROWS as i64 + 100;
/// With frames that grow, that slide, that are all of a part, and that wait for its end.
const FRAMES: [&str; 6] = [
    "",
    "partition by k order by id",
    "partition by k order by id rows between 3 preceding and 2 following",
    "partition by k order by id rows between 3 preceding and unbounded following",
    "partition by k order by id desc range between 2 preceding and 5 following",
    "partition by k order by id rows between unbounded preceding and 1 following",
];
const AGGREGATES: [&str; 18] = [
    "avg(x)",
    "bool_and(x > 3)",
    "bool_or(x > 3)",
    "corr(x, id)",
    "count(*)",
    "count(x)",
    "count(distinct k)",
    "max(x)",
    "median(x)",
    "min(x)",
    "percentile_cont(x, 0.9)",
    "stddev(x)",
    "stddev_pop(x)",
    "sum(id)",
    "sum(x) filter (where x > 3)",
    "sum(distinct k)",
    "var(x)",
    "var_pop(x)",
];
const FUNCTIONS: [&str; 11] = [
    "dense_rank()",
    "first_value(x)",
    "first_value(x) ignore nulls",
    "lag(x, 2)",
    "last_value(x)",
    "last_value(x) ignore nulls",
    "lead(x)",
    "ntile(4)",
    "percent_rank()",
    "rank()",
    "row_number()",
];

struct Place {
    _directory: tempfile::TempDir,
    engine: Engine,
    state: SessionState,
}

impl Place {
    /// `t`: a number, one of 61 keys, and a value that is missing in each fifth row.
    fn new() -> Place {
        let directory = tempfile::tempdir().expect("a directory");
        let engine = Engine::new(&EngineSettings::moderate(directory.path().join("spill"))).expect("an engine");
        let state = engine.governed_state(2);
        let value = |row: i64| (row % 5 != 0).then_some((row * 7_919 % 1_009) as f64 / 8.0);
        let columns: [(&str, ArrayRef); 3] = [
            ("id", Arc::new(Int64Array::from_iter_values(0..ROWS))),
            ("k", Arc::new(Int64Array::from_iter_values((0..ROWS).map(|row| row % 61)))),
            ("x", Arc::new((0..ROWS).map(value).collect::<Float64Array>())),
        ];
        let batch = RecordBatch::try_from_iter(columns).expect("a batch");
        let table = MemTable::try_new(batch.schema(), vec![vec![batch]]).expect("a table");
        register(&state, "t", Arc::new(table)).expect("a new name");
        Place { _directory: directory, engine, state }
    }

    async fn plan(&self, sql: &str) -> LogicalPlan {
        let granted = Granted::from([("t".to_owned(), ["id", "k", "x"].map(str::to_owned).to_vec())]);
        allow::plan(&self.state, sql, &granted).await.unwrap_or_else(|refusal| panic!("{sql}: {refusal:?}"))
    }

    async fn answer(&self, physical: Arc<dyn ExecutionPlan>) -> Result<Vec<ArrayData>, String> {
        let task = self.engine.task(&self.state, 256 << 20, &RowsLeft::default()).expect("a task");
        let batches = collect(physical, task).await.map_err(|error| error.to_string())?;
        Ok(batches.iter().flat_map(|batch| batch.columns().iter().map(|column| column.to_data())).collect())
    }

    /// The physical plan without anything that stops it, or with.
    async fn physical(&self, sql: &str, stop: Option<&Stop>) -> Result<Arc<dyn ExecutionPlan>, String> {
        let plan = self.state.optimize(&self.plan(sql).await).expect("an optimised plan");
        let plan = stop.map_or(Ok(plan.clone()), |stop| stop.seen_by_windows(plan)).expect("a plan");
        self.state.query_planner().create_physical_plan(&plan, &self.state).await.map_err(|error| error.to_string())
    }
}

/// All functions, each with each frame.
fn statements() -> Vec<String> {
    let over =
        |function: &&str| FRAMES.map(|frame| format!("select id, {function} over ({frame}) as v from t order by id"));
    AGGREGATES.iter().chain(&FUNCTIONS).flat_map(over).collect()
}

#[test]
fn no_function_of_a_window_is_left_out() {
    let named = |functions: &[&str]| -> Vec<String> {
        functions.iter().map(|function| function.split('(').next().unwrap_or_default().to_owned()).collect()
    };
    assert!(named(&AGGREGATES).iter().all(|name| is_aggregate_allowed(name)));
    assert!(named(&FUNCTIONS).iter().all(|name| is_window_allowed(name)));
    let all = [named(&AGGREGATES), named(&FUNCTIONS)].concat();
    let missing = |name: &&&str| !all.contains(&(**name).to_owned());
    let left: Vec<_> = allow::AGGREGATE_FUNCTIONS.iter().chain(allow::WINDOW_FUNCTIONS).filter(missing).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn windows_that_can_be_stopped_are_as_they_were() {
    let place = Place::new();
    let mut answered = 0;
    for sql in statements() {
        let (own, stopped) = (place.physical(&sql, None).await, place.physical(&sql, Some(&Stop::default())).await);
        let (Ok(own), Ok(stopped)) = (&own, &stopped) else {
            assert_eq!(own.map(|_| ()), stopped.map(|_| ()), "{sql}");
            continue;
        };
        let shown = |plan: &Arc<dyn ExecutionPlan>| displayable(plan.as_ref()).indent(true).to_string();
        assert_eq!(shown(own), shown(stopped), "{sql}");
        let (own, stopped) = (place.answer(Arc::clone(own)).await, place.answer(Arc::clone(stopped)).await);
        assert!(own == stopped, "{sql}: {:?} {:?}", own.as_ref().err(), stopped.as_ref().err());
        answered += usize::from(own.is_ok());
    }
    assert!(answered > 150, "{answered}");
}

#[tokio::test]
async fn each_window_ends_when_its_answer_is_not_wanted_any_more() {
    let place = Place::new();
    let mut ended = 0;
    for sql in statements() {
        let stop = Stop::default();
        let Ok(physical) = place.physical(&sql, Some(&stop)).await else { continue };
        drop(stop.on_drop(Box::pin(EmptyRecordBatchStream::new(physical.schema()))));
        let failed = place.answer(physical).await.expect_err(&sql);
        assert!(failed.contains("not wanted any more") || failed.contains("retract_batch"), "{sql}: {failed}");
        ended += 1;
    }
    assert!(ended > 150, "{ended}");
}
