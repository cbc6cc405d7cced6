//! Joins that compare each row with each, where the rows of one side do not fit into memory.
//!
//! The left side is taken in blocks, each as large as memory allows, and for each of them the right side is gone over: the first
//! time as it comes, written to disk on the way, and from there afterwards. So each side is executed once, which DataFusion's own join of this
//! kind (55.2) does not promise: where its left side does not fit it executes the plan of that side a second time, and joins that keep rows
//! without a partner may give such a row more than once. Here what met is remembered, of a block while it is there and of the right
//! side to the end, and a row without a partner is given when nothing is left that it could meet.

mod blocks;
mod compared;

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{JoinType, internal_datafusion_err, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::joins::utils::build_join_schema;
use datafusion::physical_plan::joins::{CrossJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::metrics::{ExecutionPlanMetricsSet, SpillMetrics};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, Distribution, EmptyRecordBatchStream, ExecutionPlan, InputDistributionRequirements,
    Partitioning, PlanProperties, SpillManager,
};
use futures::{Stream, StreamExt};

use blocks::{Blocks, Met};
use compared::Comparison;

/// A join of each row with each.
#[derive(Debug)]
pub(super) struct PairsExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    comparison: Arc<Comparison>,
    properties: Arc<PlanProperties>,
}

impl PairsExec {
    pub(super) fn compared(join: &NestedLoopJoinExec) -> Self {
        let kind = *join.join_type();
        let (_, mut columns) = build_join_schema(&join.left().schema(), &join.right().schema(), &kind);
        if let Some(chosen) = join.projection() {
            columns = chosen.iter().filter_map(|at| columns.get(*at).cloned()).collect();
        }
        let comparison = Comparison { kind, filter: join.filter().cloned(), columns, schema: join.schema() };
        Self::new(Arc::clone(join.left()), Arc::clone(join.right()), Arc::new(comparison))
    }

    pub(super) fn crossed(join: &CrossJoinExec) -> Self {
        let kind = JoinType::Inner;
        let (_, columns) = build_join_schema(&join.left().schema(), &join.right().schema(), &kind);
        let comparison = Comparison { kind, filter: None, columns, schema: join.schema() };
        Self::new(Arc::clone(join.left()), Arc::clone(join.right()), Arc::new(comparison))
    }

    fn new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, comparison: Arc<Comparison>) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&comparison.schema)),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { left, right, comparison, properties: Arc::new(properties) }
    }
}

impl DisplayAs for PairsExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PairsExec: {}", self.comparison.kind)
    }
}

impl ExecutionPlan for PairsExec {
    fn name(&self) -> &'static str {
        "PairsExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn input_distribution_requirements(&self) -> InputDistributionRequirements {
        InputDistributionRequirements::new(vec![Distribution::SinglePartition, Distribution::SinglePartition])
    }

    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false, false]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        match &self.comparison.filter {
            Some(filter) => visit(filter.expression()),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop(), children.is_empty()) {
            (Some(right), Some(left), true) => Ok(Arc::new(PairsExec::new(left, right, Arc::clone(&self.comparison)))),
            _ => internal_err!("two sides are compared"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        if partition > 0 {
            return internal_err!("pairs have no partition {partition}");
        }
        let left = self.left.execute(0, Arc::clone(&context))?;
        let right = self.right.execute(0, Arc::clone(&context))?;
        let memory = MemoryConsumer::new("PairsExec").with_can_spill(true).register(context.memory_pool());
        let metrics = SpillMetrics::new(&ExecutionPlanMetricsSet::new(), 0);
        let spill = SpillManager::new(context.runtime_env(), metrics, self.right.schema())
            .with_compression_type(context.session_config().spill_compression());
        let remembered = memory.new_empty();
        let schema = Arc::clone(&self.comparison.schema);
        let pairs = pairs(Arc::clone(&self.comparison), Blocks::new(left, memory), right, remembered, spill);
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, pairs)))
    }
}

/// Compares block after block with the right side. Between two comparisons it lets others have their turn, and whoever drops it stops it.
fn pairs(
    comparison: Arc<Comparison>,
    mut blocks: Blocks,
    right: SendableRecordBatchStream,
    remembered: MemoryReservation,
    spill: SpillManager,
) -> impl Stream<Item = DataFusionResult<RecordBatch>> + Send {
    async_stream::try_stream! {
        let mut block = blocks.next().await?;
        // What each row of the right side has met so far, batch by batch.
        let mut right_met: Vec<Met> = Vec::new();
        let mut writing = if block.is_last { None } else { Some(spill.create_in_progress_file("a side of a join")?) };
        let mut written = None;
        let is_for_nothing = block.batches.is_empty() && !comparison.keeps_right();
        let mut source: SendableRecordBatchStream = if is_for_nothing { nothing(spill.schema()) } else { right };
        loop {
            let mut number = 0;
            while let Some(batch) = source.next().await {
                let batch = batch?;
                if batch.num_rows() == 0 {
                    continue;
                }
                if let Some(file) = writing.as_mut() {
                    file.append_batch(&batch)?;
                }
                if right_met.len() == number {
                    let met = Met::of(batch.num_rows());
                    remembered.try_grow(met.bytes())?;
                    right_met.push(met);
                }
                let met = right_met.get_mut(number);
                let met = met.ok_or_else(|| internal_datafusion_err!("a batch of a join is not the one that was written"))?;
                for left in &mut block.batches {
                    let mut next = 0;
                    while let Some(from) = comparison.pairs_left(left, &batch, next) {
                        let (found, until) = comparison.compare(left, &batch, met, from)?;
                        next = until;
                        if let Some(found) = found {
                            yield found;
                        }
                        tokio::task::yield_now().await;
                    }
                }
                let rest = if block.is_last { comparison.rest_of_right(&batch, met)? } else { None };
                if let Some(rest) = rest {
                    yield rest;
                }
                number += 1;
            }
            for left in &block.batches {
                if let Some(rest) = comparison.rest_of_left(left)? {
                    yield rest;
                }
            }
            if block.is_last {
                break;
            }
            if let Some(mut file) = writing.take() {
                written = file.finish()?;
            }
            // Its memory is the next one's.
            block.batches = Vec::new();
            block = blocks.next().await?;
            source = match &written {
                Some(file) => spill.read_spill_as_stream_unbuffered(Arc::clone(file), None)?,
                None => nothing(spill.schema()),
            };
        }
    }
}

fn nothing(schema: &SchemaRef) -> SendableRecordBatchStream {
    Box::pin(EmptyRecordBatchStream::new(Arc::clone(schema)))
}

#[cfg(test)]
mod tests;
