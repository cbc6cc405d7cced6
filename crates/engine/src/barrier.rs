//! The barrier: a leaf of the consumer's plan behind which a governed table's own plan runs.
//!
//! It shows no children, so no rule can push a filter, a projection, a limit or a sort into the governed plan or read
//! its statistics, and its text is a name and columns. What a join learns of its keys while it runs may go below, as far as it
//! can't fail ([`conditions`]). Before a batch is passed on, the numbers of its rows are recorded.

mod conditions;

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, SchemaRef};
use datafusion::common::config::ConfigOptions;
use datafusion::common::stats::Precision;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Statistics, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{ChildPushdownResult, FilterPushdownPhase, FilterPushdownPropagation};
use datafusion::physical_plan::statistics::StatisticsArgs;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

use crate::governed::GovernedTable;
use crate::rows_left::RowsLeft;

/// A governed table's plan as a leaf. The inner plan yields the columns of `schema` and, last, the row number.
#[derive(Clone)]
pub(crate) struct BarrierExec {
    table: Arc<GovernedTable>,
    inner: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
    /// How many rows are visible, where that is known.
    rows_visible: Option<usize>,
    /// What share of them the conditions that went below are expected to leave, by their form alone.
    share: f64,
    /// What went below since it was planned, as the plan above made it.
    conditions: Vec<Arc<dyn PhysicalExpr>>,
}

impl BarrierExec {
    pub(crate) fn new(table: &Arc<GovernedTable>, inner: Arc<dyn ExecutionPlan>, schema: SchemaRef) -> Self {
        let partitions = inner.output_partitioning().partition_count();
        // Neither orderings nor equivalences of the inner plan are told: an equivalence says which rows were kept.
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (table, rows_visible) = (Arc::clone(table), table.rows_visible());
        Self { table, inner, properties: Arc::new(properties), rows_visible, share: 1.0, conditions: Vec::new() }
    }

    /// How many rows are visible, where that is known.
    pub(crate) fn rows_visible(&self) -> Option<usize> {
        self.rows_visible
    }

    /// What share of them the conditions that went below are expected to leave.
    pub(crate) fn share(&self) -> f64 {
        self.share
    }

    /// With conditions of the consumer below it that are expected to leave a share of the rows.
    pub(crate) fn asked(self, share: f64) -> Self {
        Self { share, ..self }
    }
}

impl fmt::Debug for BarrierExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "BarrierExec({})", self.table.name())
    }
}

impl DisplayAs for BarrierExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let schema = self.properties.eq_properties.schema();
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        write!(formatter, "BarrierExec: table={}, columns=[{}]", self.table.name(), names.join(", "))
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

    /// What went below, and nothing of the inner plan. A join looks here for whether anybody reads what it learns.
    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        for condition in &self.conditions {
            if visit(condition)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
    }

    /// Every condition stays with the plan above; of those that are made while the query runs the scan below is told what can
    /// be told.
    fn handle_child_pushdown_result(
        &self,
        phase: FilterPushdownPhase,
        handed: ChildPushdownResult,
        config: &ConfigOptions,
    ) -> DataFusionResult<FilterPushdownPropagation<Arc<dyn ExecutionPlan>>> {
        let mut let_through = Vec::new();
        if phase == FilterPushdownPhase::Post && self.table.takes_conditions() {
            let (schema, exact) = (self.properties.eq_properties.schema(), self.table.exact_columns());
            let made = handed.parent_filters.iter().map(|condition| &condition.filter);
            let_through.extend(made.filter(|made| conditions::is_let_through(made, schema, exact)).cloned());
        }
        let answered = FilterPushdownPropagation::all_unsupported(handed);
        if let_through.is_empty() {
            return Ok(answered);
        }
        let exact = Arc::new(self.table.exact_columns().clone());
        Ok(match conditions::handed_to_scan(&self.inner, &let_through, &exact, config)? {
            None => answered,
            Some(inner) => {
                let mut taking = Self { inner, ..self.clone() };
                taking.conditions.extend(let_through);
                answered.with_updated_node(Arc::new(taking))
            }
        })
    }

    fn with_new_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("a barrier has no children") }
    }

    /// How many rows are visible, less what the form of the consumer's conditions is expected to take of them, evenly over the
    /// partitions and never as an exact figure: enough to choose the side of a join by. Of hidden rows nothing is told, not even how many there are, and of columns nothing either: a least or greatest
    /// value may be that of a row that does not exist here.
    fn statistics_from_inputs(
        &self,
        _inputs: &[Arc<Statistics>],
        arguments: &StatisticsArgs,
    ) -> DataFusionResult<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(self.properties.eq_properties.schema());
        if let Some(rows) = self.rows_visible {
            let parts = arguments.partition().map_or(1, |_| self.inner.output_partitioning().partition_count());
            statistics.num_rows = Precision::Inexact(of_share(rows, self.share).div_ceil(parts.max(1)));
        }
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        // Without a record to write to, nothing leaves.
        let Some(left) = context.session_config().get_extension::<RowsLeft>() else {
            return internal_err!("a governed table was run without a record of the rows that leave it");
        };
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let table = self.table.name().to_owned();
        let passed_schema = Arc::clone(&schema);
        let batches = self.inner.execute(partition, context)?.map(move |batch| {
            let batch = batch?;
            let (rows, columns) = match batch.columns().split_last() {
                Some((rows, columns)) => (rows, columns.to_vec()),
                None => return internal_err!("a governed plan yields its row numbers"),
            };
            left.record(&table, rows.as_primitive::<Int64Type>().values());
            let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&passed_schema), columns, &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// A share of a number of rows, at least one of them.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a guess at a size"
)]
fn of_share(rows: usize, share: f64) -> usize {
    ((rows as f64 * share) as usize).clamp(rows.min(1), rows)
}

#[cfg(test)]
mod failures;
#[cfg(test)]
mod pruning;
#[cfg(test)]
mod rules;
