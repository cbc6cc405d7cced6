//! `NOT IN` of values that may be missing, made by sorting.
//!
//! Nothing is among values of which one is missing, nor not among them, and whether a missing value is among others is not known unless
//! there are none. An anti join by keys tells neither. So what it reads on its right side is looked at on the way ([`AmongExec`]), and
//! what it answers is judged by that ([`NotInExec`]). A sort stands between the two, which has read everything before the
//! join sees a row, since this node promises no order.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{Array, RecordBatch};
use arrow::compute::{filter_record_batch, is_not_null};
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, PhysicalExprRef};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, ExecutionPlan, ExecutionPlanProperties, InputDistributionRequirements,
    Partitioning, PlanProperties,
};
use futures::StreamExt;
use futures::future::ready;

/// What was seen of the values among which something is looked for.
#[derive(Debug, Default)]
pub(super) struct Seen {
    any: AtomicBool,
    missing: AtomicBool,
    /// Whether all of them were seen.
    all: AtomicBool,
}

/// Passes rows on and looks at their values.
#[derive(Debug)]
pub(super) struct AmongExec {
    input: Arc<dyn ExecutionPlan>,
    value: PhysicalExprRef,
    seen: Arc<Seen>,
    properties: Arc<PlanProperties>,
}

impl AmongExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, value: PhysicalExprRef, seen: Arc<Seen>) -> Self {
        // No order and no equivalence of the input is told: a sort must stand above.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, value, seen, properties: Arc::new(properties) }
    }
}

impl DisplayAs for AmongExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AmongExec")
    }
}

impl ExecutionPlan for AmongExec {
    fn name(&self) -> &'static str {
        "AmongExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition])
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        visit(&self.value)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(AmongExec::new(input, Arc::clone(&self.value), Arc::clone(&self.seen)))),
            _ => internal_err!("values come from one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let mut input = self.input.execute(partition, context)?;
        let (value, seen) = (Arc::clone(&self.value), Arc::clone(&self.seen));
        let batches = async_stream::try_stream! {
            while let Some(batch) = input.next().await {
                let batch = batch?;
                if batch.num_rows() > 0 {
                    seen.any.store(true, Ordering::SeqCst);
                    if missing(&value, &batch)? {
                        seen.missing.store(true, Ordering::SeqCst);
                    }
                }
                yield batch;
            }
            seen.all.store(true, Ordering::SeqCst);
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

/// Whether a value of a batch is missing.
fn missing(value: &PhysicalExprRef, batch: &RecordBatch) -> DataFusionResult<bool> {
    let values = value.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(values.logical_nulls().is_some_and(|nulls| nulls.null_count() > 0))
}

/// Of the rows whose value met no other, those of which it is known that theirs is not among the others.
#[derive(Debug)]
pub(super) struct NotInExec {
    input: Arc<dyn ExecutionPlan>,
    value: PhysicalExprRef,
    seen: Arc<Seen>,
    properties: Arc<PlanProperties>,
}

impl NotInExec {
    pub(super) fn new(input: Arc<dyn ExecutionPlan>, value: PhysicalExprRef, seen: Arc<Seen>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(input.schema()),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { input, value, seen, properties: Arc::new(properties) }
    }
}

impl DisplayAs for NotInExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("NotInExec")
    }
}

impl ExecutionPlan for NotInExec {
    fn name(&self) -> &'static str {
        "NotInExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        visit(&self.value)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(NotInExec::new(input, Arc::clone(&self.value), Arc::clone(&self.seen)))),
            _ => internal_err!("one join is judged"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let input = self.input.execute(partition, context)?;
        let (value, seen) = (Arc::clone(&self.value), Arc::clone(&self.seen));
        let judged = input.filter_map(move |batch| {
            let judged = batch.and_then(|batch| judged(&batch, &value, &seen));
            ready(Some(judged).filter(|judged| !matches!(judged, Ok(rows) if rows.num_rows() == 0)))
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), judged)))
    }
}

fn judged(batch: &RecordBatch, value: &PhysicalExprRef, seen: &Seen) -> DataFusionResult<RecordBatch> {
    if !seen.all.load(Ordering::SeqCst) {
        return internal_err!("a join answered before all values were seen");
    }
    if seen.missing.load(Ordering::SeqCst) {
        return Ok(batch.slice(0, 0));
    }
    if !seen.any.load(Ordering::SeqCst) {
        return Ok(batch.clone());
    }
    let values = value.evaluate(batch)?.into_array(batch.num_rows())?;
    Ok(filter_record_batch(batch, &is_not_null(&values)?)?)
}
