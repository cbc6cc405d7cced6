//! The memory of windows over all rows of a part.
//!
//! DataFusion (55.2) keeps all rows that such a window gets until the last one has come, then puts them together, and counts none of it.
//! So they are counted on their way in, and what was counted is kept until the window has ended.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::windows::WindowAggExec;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, replace_children_if_necessary,
};
use futures::{StreamExt, stream};

use crate::execution::slice_bytes;

/// How often a window has its rows at one time: as they came, and put together.
const TIMES_HELD: u64 = 2;

/// A step with what counts around it, where it is such a window; else none.
pub(crate) fn counted(step: &Arc<dyn ExecutionPlan>) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let Some(window) = step.downcast_ref::<WindowAggExec>() else { return Ok(None) };
    let held = Held::default();
    let input = HeldExec::around(Arc::clone(window.input()), &held, Side::Input);
    let window = replace_children_if_necessary(Arc::clone(step), vec![input])?;
    Ok(Some(HeldExec::around(window, &held, Side::Output)))
}

/// What is counted for a window, by partition, until its output has it.
type Held = Arc<Mutex<BTreeMap<usize, Arc<MemoryReservation>>>>;

#[derive(Clone, Copy, Debug)]
enum Side {
    /// Counts what the window gets.
    Input,
    /// Keeps what was counted as long as the window is there.
    Output,
}

/// One side of a window.
#[derive(Debug)]
struct HeldExec {
    input: Arc<dyn ExecutionPlan>,
    held: Held,
    side: Side,
}

impl HeldExec {
    fn around(input: Arc<dyn ExecutionPlan>, held: &Held, side: Side) -> Arc<dyn ExecutionPlan> {
        Arc::new(HeldExec { input, held: Arc::clone(held), side })
    }
}

impl DisplayAs for HeldExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("HeldExec")
    }
}

impl ExecutionPlan for HeldExec {
    fn name(&self) -> &'static str {
        "HeldExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
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
            (Some(input), true) => Ok(HeldExec::around(input, &self.held, self.side)),
            _ => internal_err!("one step is counted"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let held = || self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let schema = self.input.schema();
        match self.side {
            Side::Input => {
                let counted = Arc::new(MemoryConsumer::new("window").register(context.memory_pool()));
                let batches = self.input.execute(partition, context)?;
                held().insert(partition, Arc::clone(&counted));
                let batches = batches.map(move |batch| {
                    let batch = batch?;
                    let bytes = slice_bytes(&batch).saturating_mul(TIMES_HELD);
                    counted.try_grow(usize::try_from(bytes).unwrap_or(usize::MAX))?;
                    Ok(batch)
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
            }
            Side::Output => {
                let batches = self.input.execute(partition, context)?;
                let counted = held().remove(&partition);
                // Given back with the stream.
                let batches = stream::unfold((batches, counted), |(mut batches, counted)| async move {
                    let batch = batches.next().await?;
                    Some((batch, (batches, counted)))
                });
                Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
            }
        }
    }
}
