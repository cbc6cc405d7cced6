//! What may fail is no key of a join, but for one case: nothing else joins the two sides, so that they would have to be compared row by row.
//!
//! A key is computed on each row of its side, also where no row of the other side meets it, or there is none. A condition of the
//! join that may fail stays one, and is asked of pairs of rows that meet all others.

use datafusion::common::internal_err;
use datafusion::common::tree_node::Transformed;
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::fallible::may_fail;
use super::{FallibleKeys, Rule};

/// The rule that makes keys of a join's conditions.
#[derive(Debug)]
pub(super) struct Keys {
    rule: Rule,
    fallible: FallibleKeys,
}

impl Keys {
    pub(super) fn of(rule: Rule, fallible: FallibleKeys) -> Self {
        Self { rule, fallible }
    }

    fn extracted(
        &self,
        mut join: Join,
        conditions: Vec<Expr>,
        config: &dyn OptimizerConfig,
    ) -> DataFusionResult<Transformed<Join>> {
        join.filter = conjunction(conditions);
        let rewritten = self.rule.rewrite(LogicalPlan::Join(join), config)?;
        match rewritten.data {
            LogicalPlan::Join(join) => Ok(Transformed::new_transformed(join, rewritten.transformed)),
            _ => internal_err!("a join with keys is a join"),
        }
    }
}

impl OptimizerRule for Keys {
    fn name(&self) -> &str {
        self.rule.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        let mut join = match plan {
            // NOT IN of values that may be missing is answered by its key and by nothing else.
            LogicalPlan::Join(join) if !join.null_aware => join,
            other => return self.rule.rewrite(other, config),
        };
        let Some(filter) = join.filter.take() else { return Ok(Transformed::no(LogicalPlan::Join(join))) };
        let schema = merge_schema(&[join.left.as_ref(), join.right.as_ref()]);
        let conditions = split_conjunction_owned(filter);
        let leads = conditions.first().is_some_and(|first| may_fail(first, &schema));
        let (mut fallible, total): (Vec<Expr>, Vec<Expr>) =
            conditions.into_iter().partition(|condition| may_fail(condition, &schema));
        let mut extracted = self.extracted(join, total, config)?;
        if self.fallible == FallibleKeys::Early && leads && extracted.data.on.is_empty() {
            let (others, leading) = (extracted.data.filter.take(), fallible.remove(0));
            let tried = self.extracted(extracted.data, vec![leading], config)?;
            // What was no key is still the condition.
            let (is_made, mut join) = (tried.transformed, tried.data);
            join.filter = conjunction(join.filter.take().into_iter().chain(others));
            extracted = Transformed::new_transformed(join, extracted.transformed || is_made);
        }
        extracted.data.filter = conjunction(extracted.data.filter.take().into_iter().chain(fallible));
        Ok(Transformed::new_transformed(LogicalPlan::Join(extracted.data), extracted.transformed))
    }
}
