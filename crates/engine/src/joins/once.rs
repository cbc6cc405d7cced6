//! Joins that compare each row with each, which end where the rows of one side do not fit into memory.
//!
//! DataFusion 55.2 collects the left side of such a join, and where it does not fit executes the plan of that side a second time, to
//! spill it and to go over the other side as often as needed. A plan with an exchange between threads can't be executed twice: it
//! panics. Where it can, joins that keep rows without a partner may give such a row more than once, as the library's own comment
//! says, and rows that leave a governed table would be named by two readings. So the second time is out of memory, and such a join is
//! made by [`super::pairs`] then.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::joins::NestedLoopJoinExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties, replace_children_if_necessary,
};

/// Puts [`OnceExec`] over the left side of each nested-loop join. The last of the rules, since none looks through it.
#[derive(Debug)]
pub(super) struct LeftOnce;

impl PhysicalOptimizerRule for LeftOnce {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let sides = match node.downcast_ref::<NestedLoopJoinExec>() {
                Some(join) if join.left().downcast_ref::<OnceExec>().is_none() => {
                    vec![OnceExec::over(Arc::clone(join.left())), Arc::clone(join.right())]
                }
                _ => return Ok(Transformed::no(node)),
            };
            replace_children_if_necessary(node, sides).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "left_once"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// A plan that is executed once.
#[derive(Debug)]
struct OnceExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    /// Which of its partitions have been executed.
    executed: Vec<AtomicBool>,
}

impl OnceExec {
    fn over(input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        let properties = Arc::clone(input.properties());
        let partitions = input.output_partitioning().partition_count();
        let executed = (0..partitions).map(|_| AtomicBool::new(false)).collect();
        Arc::new(OnceExec { input, properties, executed })
    }
}

impl DisplayAs for OnceExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OnceExec")
    }
}

impl ExecutionPlan for OnceExec {
    fn name(&self) -> &'static str {
        "OnceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(OnceExec::over(input)),
            _ => internal_err!("one plan is executed once"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        match self.executed.get(partition) {
            Some(executed) if !executed.swap(true, Ordering::SeqCst) => self.input.execute(partition, context),
            Some(_) => Err(DataFusionError::ResourcesExhausted("a side of a join does not fit".to_owned())),
            None => internal_err!("a plan has no partition {partition}"),
        }
    }
}
