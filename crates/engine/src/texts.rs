//! Statements that build long texts are worked on a few rows at a time.
//!
//! What functions build is outside of the memory that bounds a query's operators, and they build it for a whole batch at once: of texts
//! of a hundred bytes, each four thousand times as long as in the table, a batch has more than three gigabytes. How much longer texts become
//! is reckoned on the plan as it was written, and by it a batch has fewer rows.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use datafusion::common::Column;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{BinaryExpr, Distinct, Expr, LogicalPlan, Operator};

/// Bytes that a text of a table counts as.
const TEXT_BYTES: u64 = 256;
/// Bytes that may be built for each row of a batch before it has fewer rows.
const GROWN_MAX: u64 = 8 * TEXT_BYTES;

/// In what a plan is made and run: what is given, with fewer rows in a batch where the plan builds long texts.
pub(crate) fn narrowed<'a>(
    state: &'a SessionState,
    plan: &LogicalPlan,
    task: Arc<TaskContext>,
) -> (Cow<'a, SessionState>, Arc<TaskContext>) {
    let grown = grown(plan);
    if grown <= GROWN_MAX {
        return (Cow::Borrowed(state), task);
    }
    let fewer = |rows: usize| {
        let rows_max = (rows as u64).saturating_mul(GROWN_MAX) / grown;
        usize::try_from(rows_max).unwrap_or(rows).max(1)
    };
    let of_task = task.session_config().clone();
    let rows = fewer(of_task.batch_size());
    let task =
        TaskContext::default().with_session_config(of_task.with_batch_size(rows)).with_runtime(task.runtime_env());
    // The states share their catalogue, as those with joins that spill do.
    let of_state = state.config().clone().with_create_default_catalog_and_schema(false);
    let rows = fewer(of_state.batch_size());
    let state =
        SessionStateBuilder::new_from_existing(state.clone()).with_config(of_state.with_batch_size(rows)).build();
    (Cow::Owned(state), Arc::new(task))
}

/// How many bytes the expressions of a plan build for each row, beyond a text of a table for each. What can't be walked builds the most.
fn grown(plan: &LogicalPlan) -> u64 {
    let mut widths = Widths::default();
    widths.columns(plan, TEXT_BYTES).map_or(u64::MAX, |_| widths.grown)
}

/// The width of a text is how many bytes it is reckoned to have.
#[derive(Default)]
struct Widths {
    grown: u64,
}

impl Widths {
    /// The width of each column of a plan. `outer` is that of the widest column of the queries around it.
    fn columns(&mut self, plan: &LogicalPlan, outer: u64) -> DataFusionResult<Vec<u64>> {
        let (mut known, mut below) = (HashMap::new(), Vec::new());
        for input in plan.inputs() {
            let widths = self.columns(input, outer)?;
            known.extend(input.schema().columns().into_iter().zip(widths.iter().copied()));
            below.extend(widths);
        }
        let widest_below = below.iter().copied().max().unwrap_or(TEXT_BYTES);
        let mut own = Vec::new();
        plan.apply_expressions(|expression| {
            let width = self.width(expression, &known, outer.max(widest_below))?;
            if !is_column(expression) {
                self.grown = self.grown.saturating_add(width.saturating_sub(TEXT_BYTES));
            }
            own.push(width);
            Ok(TreeNodeRecursion::Continue)
        })?;
        let count = plan.schema().fields().len();
        Ok(match plan {
            LogicalPlan::Projection(_) => own,
            LogicalPlan::SubqueryAlias(_)
            | LogicalPlan::Filter(_)
            | LogicalPlan::Sort(_)
            | LogicalPlan::Limit(_)
            | LogicalPlan::Distinct(Distinct::All(_)) => below,
            // Which column comes from where does not matter so much.
            _ => vec![own.into_iter().fold(widest_below, u64::max); count],
        })
    }

    /// The width of an expression. `widest` is that of a column that is not known.
    fn width(&mut self, expression: &Expr, known: &HashMap<Column, u64>, widest: u64) -> DataFusionResult<u64> {
        let mut parts = Vec::new();
        match expression {
            Expr::Column(column) => return Ok(known.get(column).copied().unwrap_or(widest)),
            Expr::OuterReferenceColumn(..) => return Ok(widest),
            Expr::Literal(..) => return Ok(text_bytes(expression)),
            Expr::ScalarSubquery(subquery) => parts.extend(self.columns(&subquery.subquery, widest)?),
            Expr::Exists(exists) => parts.extend(self.columns(&exists.subquery.subquery, widest)?),
            Expr::InSubquery(within) => parts.extend(self.columns(&within.subquery.subquery, widest)?),
            _ => {}
        }
        expression.apply_children(|child| {
            parts.push(self.width(child, known, widest)?);
            Ok(TreeNodeRecursion::Continue)
        })?;
        let all = parts.iter().copied().fold(0, u64::saturating_add);
        let largest = parts.iter().copied().max().unwrap_or(TEXT_BYTES);
        Ok(match expression {
            Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => all,
            Expr::ScalarFunction(call) => match (call.func.name(), call.args.as_slice()) {
                ("concat", _) => all,
                // Of each sign its text may become all of what is put there.
                ("replace", [_, _, _]) => largest.saturating_mul(parts.last().copied().unwrap_or(TEXT_BYTES).max(1)),
                _ => largest,
            },
            _ => largest,
        })
    }
}

/// Whether an expression is a column by whatever name, whose values are there already.
fn is_column(expression: &Expr) -> bool {
    match expression {
        Expr::Column(_) => true,
        Expr::Alias(alias) => is_column(&alias.expr),
        _ => false,
    }
}

fn text_bytes(expression: &Expr) -> u64 {
    match expression {
        Expr::Literal(value, _) => value.try_as_str().flatten().map_or(0, |text| text.len() as u64),
        _ => 0,
    }
}
