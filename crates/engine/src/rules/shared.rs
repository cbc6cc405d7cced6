//! What two aggregates share is not computed ahead of them where one of them is asked to leave rows out.
//!
//! DataFusion (55.2) computes what stands twice in a node once, below it. Of the argument of an aggregate with FILTER it does not
//! see that the rows which FILTER leaves out never come to it. So where such an argument may fail, the rule leaves the plan alone.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Aggregate, Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::Rule;
use super::fallible::may_fail;

/// The rule that computes once what stands twice.
#[derive(Debug)]
pub(super) struct Shared {
    rule: Rule,
}

impl Shared {
    pub(super) fn of(rule: Rule) -> Self {
        Self { rule }
    }
}

impl OptimizerRule for Shared {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        let mut is_found = false;
        plan.apply_with_subqueries(|node| {
            is_found = matches!(node, LogicalPlan::Aggregate(aggregate) if spares_rows(aggregate));
            Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if is_found { Ok(Transformed::no(plan)) } else { self.rule.rewrite(plan, config) }
    }
}

/// Whether an aggregate has a FILTER, and an argument that may fail.
fn spares_rows(aggregate: &Aggregate) -> bool {
    let schema: &DFSchema = aggregate.input.schema();
    aggregate.aggr_expr.iter().any(|expr| {
        let spares = expr.exists(|part| {
            let Expr::AggregateFunction(call) = part else { return Ok(false) };
            let is_filtered = call.params.filter.is_some();
            Ok(is_filtered && call.params.args.iter().any(|argument| may_fail(argument, schema)))
        });
        spares.unwrap_or(true)
    })
}
