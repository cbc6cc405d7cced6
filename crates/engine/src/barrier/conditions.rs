//! Conditions that are made while a query runs, below the barrier: the least and the greatest key of one side of a join, by
//! which the scan on the other side skips what can't meet them.
//!
//! What such a condition will hold is not known when it is handed over, so it is looked at twice. When it is handed over: it
//! may touch nothing but exact columns, as they stand. When it is read ([`Sieve`]): of what it holds by then only those
//! conjuncts pass that can't fail, whatever row they meet; the others stay above the barrier, where the join asks them anyway.
//! Leaving a conjunct out can only leave more rows in. What passes goes to the scan, which skips files, row groups and pages
//! by it and evaluates it on no row; the row filter, the consent set and the masks stay where they are.

use std::collections::HashMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{ScalarValue, internal_err};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{ColumnarValue, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, Column, DynamicFilterPhysicalExpr, InListExpr, IsNotNullExpr, IsNullExpr, Literal,
};
use datafusion::physical_expr::utils::reassign_expr_columns;
use datafusion::physical_expr::{PhysicalExpr, conjunction, split_conjunction};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::filter_pushdown::{ChildFilterPushdownResult, ChildPushdownResult, FilterPushdownPhase};

/// Most listed values of a condition that passes; scans prune by far fewer.
const LISTED_VALUES_MAX: usize = 1_000;

/// Columns by name, with their types.
pub(super) type Columns = HashMap<String, DataType>;

/// Whether a condition of the plan above may go below the barrier: it is made while the query runs, and it touches nothing but
/// exact columns as they stand. `schema` is the barrier's.
pub(super) fn is_let_through(condition: &Arc<dyn PhysicalExpr>, schema: &Schema, exact: &Columns) -> bool {
    let Some(made) = condition.downcast_ref::<DynamicFilterPhysicalExpr>() else { return false };
    let touched = made.children();
    let is_exact = |part: &Arc<dyn PhysicalExpr>| {
        let Some(column) = part.downcast_ref::<Column>() else { return false };
        let field = schema.fields().get(column.index());
        field.is_some_and(|field| field.name() == column.name() && exact.get(column.name()) == Some(field.data_type()))
    };
    !touched.is_empty() && touched.into_iter().all(is_exact)
}

/// The plan below the barrier, with conditions handed to its scan; none where no scan takes one.
pub(super) fn handed_to_scan(
    inner: &Arc<dyn ExecutionPlan>,
    conditions: &[Arc<dyn PhysicalExpr>],
    exact: &Arc<Columns>,
    config: &ConfigOptions,
) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let handed = Arc::clone(inner).transform_down(|node| {
        if !node.is::<DataSourceExec>() {
            return Ok(Transformed::no(node));
        }
        let schema = node.schema();
        let mut parent_filters = Vec::with_capacity(conditions.len());
        for condition in conditions {
            // Exact columns bear the same names below; a scan that lacks one of them, or reads it as another type, takes nothing.
            if let Ok(filter) = reassign_expr_columns(Arc::clone(condition), &schema)
                && is_let_through(&filter, &schema, exact)
            {
                let filter = Arc::new(Sieve { condition: filter, exact: Arc::clone(exact) });
                parent_filters.push(ChildFilterPushdownResult { filter, child_results: Vec::new() });
            }
        }
        let handed = ChildPushdownResult { parent_filters, self_filters: Vec::new() };
        // A scan that can't take them is left as it is: without them it reads more, and that is all.
        let taken = node.handle_child_pushdown_result(FilterPushdownPhase::Post, handed, config);
        Ok(match taken.ok().and_then(|taken| taken.updated_node) {
            Some(taking) => Transformed::yes(taking),
            None => Transformed::no(node),
        })
    })?;
    Ok(handed.transformed.then_some(handed.data))
}

/// A condition that is made while the query runs, as far as it can't fail.
#[derive(Clone, Debug)]
pub(super) struct Sieve {
    condition: Arc<dyn PhysicalExpr>,
    exact: Arc<Columns>,
}

impl Sieve {
    /// What passes of that which the condition holds now; true where nothing does.
    fn passed(&self) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        let held = match self.condition.snapshot()? {
            Some(held) => held,
            None => Arc::clone(&self.condition),
        };
        let passing = split_conjunction(&held).into_iter().filter(|part| cannot_fail(part, &self.exact));
        Ok(conjunction(passing.cloned()))
    }
}

impl fmt::Display for Sieve {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "sieve({})", self.condition)
    }
}

impl PartialEq for Sieve {
    fn eq(&self, other: &Self) -> bool {
        self.condition.as_ref() == other.condition.as_ref() && self.exact == other.exact
    }
}

impl Eq for Sieve {}

impl Hash for Sieve {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.condition.as_ref().hash(state);
    }
}

impl PhysicalExpr for Sieve {
    fn data_type(&self, _schema: &Schema) -> DataFusionResult<DataType> {
        Ok(DataType::Boolean)
    }

    fn nullable(&self, _schema: &Schema) -> DataFusionResult<bool> {
        Ok(true)
    }

    fn evaluate(&self, batch: &RecordBatch) -> DataFusionResult<ColumnarValue> {
        self.passed()?.evaluate(batch)
    }

    fn children(&self) -> Vec<&Arc<dyn PhysicalExpr>> {
        vec![&self.condition]
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn PhysicalExpr>>,
    ) -> DataFusionResult<Arc<dyn PhysicalExpr>> {
        match children.pop() {
            Some(condition) if children.is_empty() => Ok(Arc::new(Sieve { condition, exact: Arc::clone(&self.exact) })),
            _ => internal_err!("a sieve has one condition"),
        }
    }

    fn fmt_sql(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }

    /// What holds no condition that changes any more is asked as it is; before that, what passes of it now.
    fn snapshot(&self) -> DataFusionResult<Option<Arc<dyn PhysicalExpr>>> {
        Ok(Some(self.passed()?))
    }
}

/// Judged like [`crate::predicate::is_leak_proof`], of which it is the physical counterpart: comparisons of an exact column with
/// a constant of its own type, lists of such, tests for a missing value, and their connectives.
fn cannot_fail(part: &Arc<dyn PhysicalExpr>, exact: &Columns) -> bool {
    if let Some(constant) = part.downcast_ref::<Literal>() {
        return matches!(constant.value(), ScalarValue::Boolean(_));
    }
    if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
        let (left, right) = (binary.left(), binary.right());
        return match binary.op() {
            Operator::And | Operator::Or => cannot_fail(left, exact) && cannot_fail(right, exact),
            Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq => {
                is_constant_of(right, left, exact) || is_constant_of(left, right, exact)
            }
            _ => false,
        };
    }
    if let Some(list) = part.downcast_ref::<InListExpr>() {
        return list.list().len() <= LISTED_VALUES_MAX
            && list.list().iter().all(|value| is_constant_of(value, list.expr(), exact))
            && exact_type(list.expr(), exact).is_some();
    }
    if let Some(test) = part.downcast_ref::<IsNullExpr>() {
        return exact_type(test.arg(), exact).is_some();
    }
    part.downcast_ref::<IsNotNullExpr>().is_some_and(|test| exact_type(test.arg(), exact).is_some())
}

fn exact_type<'a>(part: &Arc<dyn PhysicalExpr>, exact: &'a Columns) -> Option<&'a DataType> {
    exact.get(part.downcast_ref::<Column>()?.name())
}

fn is_constant_of(constant: &Arc<dyn PhysicalExpr>, column: &Arc<dyn PhysicalExpr>, exact: &Columns) -> bool {
    let (Some(constant), Some(data_type)) = (constant.downcast_ref::<Literal>(), exact_type(column, exact)) else {
        return false;
    };
    constant.value().data_type() == *data_type
}

#[cfg(test)]
mod tests;
