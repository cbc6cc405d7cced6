//! The rules of the logical optimiser, of which the one that works out constants can't fail a statement.
//!
//! DataFusion (55.2) refuses a statement while it is planned when a constant of it can't be cast, `CAST('x' AS BIGINT)`, even where
//! no row ever comes to it: in a branch that is not taken, or behind a condition that nothing meets. A statement that is
//! answered when it is taken word by word would fail for what the optimiser made of it. Here such a constant stays as it was
//! written, and fails the statement when the first row comes to it. (DataFusion's own switch, to skip rules that fail, would hide
//! the faults of all rules, and it logs the error with the statement's constants in it.)

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, Optimizer, OptimizerConfig, OptimizerRule};

/// The rule's name, under which the pinned DataFusion has it.
const SIMPLIFY: &str = "simplify_expressions";

/// The rules of a session's logical optimiser, in DataFusion's order.
pub(crate) fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let rules = Optimizer::new().rules.into_iter().map(|rule| {
        if rule.name() == SIMPLIFY {
            Arc::new(Constants { rule }) as Arc<dyn OptimizerRule + Send + Sync>
        } else {
            rule
        }
    });
    rules.collect()
}

/// The rule, which leaves a node as it is where it fails over a cast.
#[derive(Debug)]
struct Constants {
    rule: Arc<dyn OptimizerRule + Send + Sync>,
}

impl OptimizerRule for Constants {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        // Only a cast is given up on, so only then is the node worth a copy.
        let as_written = if has_cast(&plan)? { Some(plan.clone()) } else { None };
        match (self.rule.rewrite(plan, config), as_written) {
            (Err(_), Some(as_written)) => Ok(Transformed::no(as_written)),
            (rewritten, _) => rewritten,
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_that_works_out_constants_is_there_once_and_in_its_place() {
        let (ours, theirs) = (logical_rules(), Optimizer::new().rules);
        let names = |rules: &[Arc<dyn OptimizerRule + Send + Sync>]| -> Vec<String> {
            rules.iter().map(|rule| rule.name().to_owned()).collect()
        };
        assert_eq!(names(&ours), names(&theirs));
        assert_eq!(names(&ours).iter().filter(|name| *name == SIMPLIFY).count(), 1);
        let replaced = ours.iter().filter(|rule| format!("{rule:?}").starts_with("Constants"));
        assert_eq!(replaced.map(|rule| rule.name()).collect::<Vec<_>>(), [SIMPLIFY]);
    }
}
