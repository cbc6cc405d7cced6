//! The barrier: a leaf of the consumer's plan behind which a governed table's own plan runs.
//!
//! It shows no children, so no rule can push a filter, a projection, a limit or a sort into the governed plan or read
//! its statistics, and `EXPLAIN`, were it allowed, would print a name and columns. Before a batch is passed on, the
//! numbers of its rows are recorded.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;
use roaring::RoaringTreemap;

use crate::rows_left::RowsLeft;

/// A governed table's plan as a leaf. The inner plan yields the columns of `schema` and, last, the row number.
pub(crate) struct BarrierExec {
    table: String,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    rows_at_most: Option<usize>,
}

impl BarrierExec {
    pub(crate) fn new(
        table: String,
        inner: Arc<dyn ExecutionPlan>,
        schema: SchemaRef,
        rows_at_most: Option<usize>,
    ) -> Self {
        let partitions = inner.output_partitioning().partition_count();
        // Neither orderings nor equivalences of the inner plan are told: an equivalence says which rows were kept.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { table, inner, properties: Arc::new(properties), rows_at_most }
    }
}

impl fmt::Debug for BarrierExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BarrierExec({})", self.table)
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.properties.eq_properties.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(formatter, "BarrierExec: table={}, columns=[{}]", self.table, names.join(", "))
    }
}

impl ExecutionPlan for BarrierExec {
    fn name(&self) -> &'static str {
        "BarrierExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a barrier has no children") }
    }

    /// How many rows the raw table has, evenly over the partitions and never as an exact figure: enough to choose the side of
    /// a join by. Of columns nothing is told: a least or greatest value may be that of a row that does not exist here.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(self.properties.eq_properties.schema());
        if let Some(rows) = self.rows_at_most {
            let parts = arguments.partition().map_or(1, |_| self.inner.output_partitioning().partition_count());
            statistics.num_rows = Precision::Inexact(rows.div_ceil(parts.max(1)));
        }
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        // Without a record to write to, nothing leaves.
        let Some(left) = context.session_config().get_extension::<RowsLeft>() else {
            return internal_err!("a governed table was run without a record of the rows that leave it");
        };
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let table = self.table.clone();
        let passed_schema = Arc::clone(&schema);
        let batches = self.inner.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let (rows, columns) = match batch.columns().split_last() {
                Some((rows, columns)) => (rows, columns.to_vec()),
                None => return internal_err!("a governed plan yields its row numbers"),
            };
            left.record(&table, &row_numbers(rows.as_primitive::<Int64Type>().values()));
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&passed_schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A set of row numbers. Scans mostly yield them in runs, which are inserted as ranges.
pub(crate) fn row_numbers(values: &[i64]) -> RoaringTreemap {
    let mut rows = RoaringTreemap::new();
    let mut start = 0;
    while start < values.len() {
        let mut end = start;
        while end + 1 < values.len() && values[end + 1] == values[end] + 1 {
            end += 1;
        }
        let (first, last) = (values[start], values[end]);
        let first = u64::try_from(first).expect("row numbers are counted from 0");
        let last = u64::try_from(last).expect("row numbers are counted from 0");
        rows.insert_range(first..=last);
        start = end + 1;
    }
    rows
}

#[cfg(test)]
mod rules;
