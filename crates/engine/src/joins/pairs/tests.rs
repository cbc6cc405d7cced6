//! The join of pairs beside DataFusion's own, with memory for all of a side and for a small part of it.

use std::sync::Arc;

use arrow::array::{Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use arrow::util::pretty::pretty_format_batches;
use datafusion::common::{DataFusionError, JoinSide, JoinType};
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::execution::TaskContext;
use datafusion::execution::memory_pool::{GreedyMemoryPool, MemoryPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::expressions::{binary, col};
use datafusion::physical_plan::joins::utils::{ColumnIndex, JoinFilter};
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::{ExecutionPlan, collect};

use super::PairsExec;

const KINDS: [JoinType; 10] = [
    JoinType::Inner,
    JoinType::Left,
    JoinType::Right,
    JoinType::Full,
    JoinType::LeftSemi,
    JoinType::RightSemi,
    JoinType::LeftAnti,
    JoinType::RightAnti,
    JoinType::LeftMark,
    JoinType::RightMark,
];
/// Room for two or three batches of the left side.
const LITTLE: usize = 5_000;
const MUCH: usize = 64 << 20;

/// Batches of a number, missing in one row of seven, and a long text.
fn side(rows: usize, batch_rows: usize, step: usize) -> Arc<dyn ExecutionPlan> {
    let fields = vec![Field::new("number", DataType::Int64, true), Field::new("text", DataType::Utf8, false)];
    let schema = Arc::new(Schema::new(fields));
    let rows: Vec<usize> = (0..rows).collect();
    let batches = rows.chunks(batch_rows).map(|rows| {
        let number = |row: &usize| (row % 7 != 3).then(|| i64::try_from(row * step % 97).expect("it is small"));
        let numbers: Int64Array = rows.iter().map(number).collect();
        let texts = StringArray::from_iter_values(rows.iter().map(|row| format!("{row:0>100}")));
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers), Arc::new(texts)]).expect("a batch")
    });
    MemorySourceConfig::try_new_exec(&[batches.collect()], Arc::clone(&schema), None).expect("a source")
}

/// The left number is the right one and seven, or is greater by more than ninety.
fn condition() -> JoinFilter {
    let fields = vec![Field::new("left", DataType::Int64, true), Field::new("right", DataType::Int64, true)];
    let schema = Arc::new(Schema::new(fields));
    let number = |value: i64| datafusion::physical_expr::expressions::lit(value);
    let of = |name: &str| col(name, &schema).expect("a column");
    let joined = |left, op, right| binary(left, op, right, &schema).expect("an expression");
    let between = joined(of("left"), Operator::Minus, of("right"));
    let is_seven = joined(Arc::clone(&between), Operator::Eq, number(7));
    let is_far = joined(between, Operator::Gt, number(90));
    let either = joined(is_seven, Operator::Or, is_far);
    let columns = vec![ColumnIndex { index: 0, side: JoinSide::Left }, ColumnIndex { index: 0, side: JoinSide::Right }];
    JoinFilter::new(either, columns, schema)
}

fn task(bytes: usize) -> (Arc<TaskContext>, Arc<dyn MemoryPool>) {
    let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(bytes));
    let runtime = RuntimeEnvBuilder::new().with_memory_pool(Arc::clone(&pool)).build_arc().expect("a runtime");
    (Arc::new(TaskContext::default().with_runtime(runtime)), pool)
}

/// The rows as sorted text, with how many they are.
async fn rows(plan: Arc<dyn ExecutionPlan>, bytes: usize) -> (usize, Vec<String>) {
    let (task, pool) = task(bytes);
    let batches = collect(plan, task).await.expect("an answer");
    assert_eq!(pool.reserved(), 0, "memory is given back");
    let count = batches.iter().map(RecordBatch::num_rows).sum();
    let text = pretty_format_batches(&batches).expect("it prints").to_string();
    let mut lines: Vec<String> = text.lines().filter(|line| line.starts_with('|')).skip(1).map(str::to_owned).collect();
    lines.sort();
    (count, lines)
}

#[tokio::test]
async fn each_kind_of_join_gives_what_it_gives_where_a_side_fits() {
    let sides = [(120, 90), (120, 1), (1, 120), (0, 90), (120, 0), (0, 0)];
    for kind in KINDS {
        for (left, right) in sides {
            let theirs = || {
                NestedLoopJoinExec::try_new(side(left, 16, 1), side(right, 13, 5), Some(condition()), &kind, None)
                    .expect("a join")
            };
            let expected = rows(Arc::new(theirs()), MUCH).await;
            for bytes in [MUCH, LITTLE] {
                let ours = PairsExec::compared(&theirs());
                assert_eq!(ours.schema(), theirs().schema());
                assert_eq!(rows(Arc::new(ours), bytes).await, expected, "{kind} of {left} and {right}, {bytes} bytes");
            }
        }
    }
}

#[tokio::test]
async fn columns_may_be_chosen_and_conditions_missing() {
    let chosen = |columns: Vec<usize>| {
        NestedLoopJoinExec::try_new(
            side(120, 16, 1),
            side(90, 13, 5),
            Some(condition()),
            &JoinType::Full,
            Some(columns),
        )
        .expect("a join")
    };
    for columns in [vec![3, 0], vec![2], vec![]] {
        let expected = rows(Arc::new(chosen(columns.clone())), MUCH).await;
        let ours = PairsExec::compared(&chosen(columns));
        assert_eq!(rows(Arc::new(ours), LITTLE).await, expected);
    }
    let crossed = || CrossJoinExec::new(side(60, 16, 1), side(30, 13, 5));
    let expected = rows(Arc::new(crossed()), MUCH).await;
    assert_eq!(expected.0, 1_800);
    assert_eq!(rows(Arc::new(PairsExec::crossed(&crossed())), LITTLE).await, expected);
}

#[tokio::test]
async fn a_batch_that_does_not_fit_is_cut_and_a_row_that_does_not_ends_the_join() {
    let join = || {
        NestedLoopJoinExec::try_new(side(120, 100, 1), side(9, 9, 5), Some(condition()), &JoinType::Left, None)
            .expect("a join")
    };
    let expected = rows(Arc::new(join()), MUCH).await;
    for bytes in [LITTLE, 600] {
        assert_eq!(rows(Arc::new(PairsExec::compared(&join())), bytes).await, expected, "{bytes} bytes");
    }
    let (task, pool) = task(100);
    let ended = collect(Arc::new(PairsExec::compared(&join())), task).await.expect_err("it does not fit");
    assert!(matches!(ended.find_root(), DataFusionError::ResourcesExhausted(_)), "{ended}");
    assert_eq!(pool.reserved(), 0);
}
