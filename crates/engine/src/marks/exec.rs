//! Marks as a step of the governed plan, between its masks and its barrier. Batch by batch, each by itself: a copy does not
//! depend on how its rows were cut into batches, nor on their order or on how many threads read them, nor on what is remembered of
//! statements before.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;
use lingqu_fingerprint::{FingerprintError, Marker};

use super::{Copying, DrawnBefore};
use crate::ahead;

/// Turns the columns of its input into the recipient's. The input yields the columns that are shown, those that are read for
/// the marks alone, and last the row number; what is passed on are the shown ones and the row number.
pub(crate) struct MarkExec {
    input: Arc<dyn ExecutionPlan>,
    copying: Arc<Copying>,
    /// What is remembered of the marks, where anything is.
    before: Option<DrawnBefore>,
    /// Places of the input's columns that are passed on.
    passed: Arc<[usize]>,
    properties: Arc<PlanProperties>,
}

impl MarkExec {
    /// Error: the input has fewer columns than it must.
    pub(crate) fn new(
        input: Arc<dyn ExecutionPlan>,
        copying: Arc<Copying>,
        before: Option<DrawnBefore>,
    ) -> DataFusionResult<MarkExec> {
        let columns = input.schema().fields().len();
        let Some(shown) = columns.checked_sub(copying.read().len() + 1) else {
            return internal_err!("marks need the key of a row and its number");
        };
        let passed: Arc<[usize]> = (0..shown).chain([columns - 1]).collect();
        // Nothing that the input knows of its columns or their order is told: it knows the original values.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::new(input.schema().project(&passed)?)),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(MarkExec { input, copying, before, passed, properties: Arc::new(properties) })
    }
}

impl fmt::Debug for MarkExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("MarkExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for MarkExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("MarkExec")
    }
}

impl ExecutionPlan for MarkExec {
    fn name(&self) -> &'static str {
        "MarkExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
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
            (Some(input), true) => Ok(Arc::new(MarkExec::new(input, Arc::clone(&self.copying), self.before.clone())?)),
            _ => internal_err!("marks are laid into one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let mut input = ahead::of(&self.input, partition, context)?;
        let (copying, before, passed) = (Arc::clone(&self.copying), self.before.clone(), Arc::clone(&self.passed));
        let batches = async_stream::try_stream! {
            let marker = copying.marker().map_err(fault)?;
            while let Some(batch) = input.next().await {
                let copy = copied(&marker, before.as_ref(), &batch?, &passed)?;
                if copy.num_rows() > 0 {
                    yield copy;
                }
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.properties.eq_properties.schema()), batches)))
    }
}

fn copied(
    marker: &Marker<'_>,
    before: Option<&DrawnBefore>,
    batch: &RecordBatch,
    passed: &[usize],
) -> DataFusionResult<RecordBatch> {
    let copy = match before {
        Some(before) => before.marked(marker, batch),
        None => marker.mark(batch),
    };
    Ok(copy.map_err(fault)?.project(passed)?)
}

/// The cause is logged here, where it is still known; it names columns and limits, and no value.
fn fault(error: FingerprintError) -> DataFusionError {
    tracing::warn!(%error, "a copy could not be marked, so nothing of it left");
    DataFusionError::External(Box::new(error))
}
