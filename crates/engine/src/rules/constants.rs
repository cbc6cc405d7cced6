//! The rule that works out constants can't fail a statement, and can't open a branch that is not taken.
//!
//! DataFusion (55.2) refuses a statement while it is planned when a constant of it can't be cast, `CAST('x' AS BIGINT)`, even where
//! no row ever comes to it: in a branch that is not taken, or behind a condition that nothing meets. Here such a constant stays as
//! it was written, with the rest of its node, and fails the statement when the first row comes to it. (DataFusion's own switch, to
//! skip rules that fail, would hide the faults of all rules, and it logs the error with the statement's constants in it.)

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::{Rule, guards};
use crate::execution::is_of_a_value;

/// The rule, which leaves a node as it is where a constant can't be converted.
#[derive(Debug)]
pub(super) struct Constants {
    rule: Rule,
}

impl Constants {
    pub(super) fn of(rule: Rule) -> Self {
        Self { rule }
    }
}

impl OptimizerRule for Constants {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        let guarded = guards::guarded(plan)?;
        let (plan, is_guarded) = (guarded.data, guarded.transformed);
        // Only a cast is given up on, so only then is the node worth a copy.
        let as_written = if has_cast(&plan)? { Some(plan.clone()) } else { None };
        let mut rewritten = match (self.rule.rewrite(plan, config), as_written) {
            // The fault of a value, as a conversion has it; any other is one of the rule or of the plan.
            (Err(error), Some(as_written)) if is_of_a_value(&error) => Transformed::no(as_written),
            (rewritten, _) => rewritten?,
        };
        rewritten.transformed |= is_guarded;
        Ok(rewritten)
    }
}

/// Whether an expression of a node, not of those below it, casts.
fn has_cast(plan: &LogicalPlan) -> DataFusionResult<bool> {
    let mut is_found = false;
    plan.apply_expressions(|expression| {
        is_found = expression.exists(|part| Ok(matches!(part, Expr::Cast(_) | Expr::TryCast(_))))?;
        Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(is_found)
}
