//! Joins as they are made where memory does not suffice for hashing: by sorting both sides, or, where nothing tells which rows go together,
//! block by block. Either spills.

use std::sync::Arc;

use arrow::compute::SortOptions;
use arrow::datatypes::Schema;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinSide, internal_datafusion_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::utils::collect_columns;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, JoinOn, NestedLoopJoinExec, SortMergeJoinExec};

use super::keys::sortable;
use super::not_in::{AmongExec, NotInExec, Seen};
use super::pairs::PairsExec;

/// Makes joins in the way that spills, whatever their number of partitions. DataFusion 55 itself sorts only where there are several.
#[derive(Debug)]
pub(super) struct SortedJoins;

impl PhysicalOptimizerRule for SortedJoins {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let made: Option<Arc<dyn ExecutionPlan>> = if let Some(join) = node.downcast_ref::<HashJoinExec>() {
                sorted(join)?
            } else if let Some(join) = node.downcast_ref::<NestedLoopJoinExec>() {
                Some(Arc::new(PairsExec::compared(join)))
            } else if let Some(join) = node.downcast_ref::<CrossJoinExec>() {
                Some(Arc::new(PairsExec::crossed(join)))
            } else {
                None
            };
            Ok(made.map_or(Transformed::no(node), Transformed::yes))
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "sorted_joins"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A join by sorting that gives what the join by hashing does; none where there is no such.
fn sorted(join: &HashJoinExec) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(keys) = keys(join) else { return Ok(None) };
    let (left, mut right) = (Arc::clone(join.left()), Arc::clone(join.right()));
    let mut judged = None;
    if join.null_aware {
        // A key that is no column is sorted as it comes, and the join would see it before all is read.
        let [(value, among)] = join.on() else { return Ok(None) };
        if collect_columns(among).is_empty() {
            return Ok(None);
        }
        let seen = Arc::new(Seen::default());
        right = Arc::new(AmongExec::new(right, Arc::clone(among), Arc::clone(&seen)));
        judged = Some((Arc::clone(value), seen));
    }
    let sorting = vec![SortOptions::default(); keys.len()];
    let (filter, kind) = (join.filter().map(left_first).transpose()?, *join.join_type());
    let sorted = SortMergeJoinExec::try_new(left, right, keys, filter, kind, sorting, join.null_equality())?;
    let sorted: Arc<dyn ExecutionPlan> = Arc::new(sorted);
    Ok(Some(match judged {
        Some((value, seen)) => Arc::new(NotInExec::new(sorted, value, seen)),
        None => sorted,
    }))
}

/// A condition that sees the columns of the left side first, as a join by sorting lays them before it whatever it says of them. A join
/// whose sides were swapped says the opposite.
fn left_first(filter: &JoinFilter) -> DataFusionResult<JoinFilter> {
    let columns = filter.column_indices();
    let mut order: Vec<usize> = (0..columns.len()).collect();
    order.sort_by_key(|at| columns[*at].side != JoinSide::Left);
    let expression = Arc::clone(filter.expression()).transform(|part| match part.downcast_ref::<Column>() {
        Some(column) => {
            let at = order.iter().position(|at| *at == column.index());
            let at = at.ok_or_else(|| internal_datafusion_err!("a join's condition sees no column {column}"))?;
            Ok(Transformed::yes(Arc::new(Column::new(column.name(), at)) as Arc<dyn PhysicalExpr>))
        }
        None => Ok(Transformed::no(part)),
    })?;
    // An outer join asks it of rows too of which a side has nothing.
    let fields = order.iter().map(|at| filter.schema().field(*at).clone().with_nullable(true));
    let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
    let columns = order.iter().map(|at| columns[*at].clone()).collect();
    Ok(JoinFilter::new(expression.data, columns, schema))
}

/// The keys of both sides by which they can be sorted.
fn keys(join: &HashJoinExec) -> Option<JoinOn> {
    if join.contains_projection() {
        return None;
    }
    let (left_schema, right_schema) = (join.left().schema(), join.right().schema());
    let pairs = join.on().iter().map(|(left, right)| {
        let is_of_one_type = left.data_type(&left_schema).ok()? == right.data_type(&right_schema).ok()?;
        is_of_one_type.then_some(())?;
        Some((sortable(left, &left_schema)?, sortable(right, &right_schema)?))
    });
    pairs.collect()
}
