//! The scan of the rows that exist: those that the row filter, the consent set and the conditions that may be asked below the
//! barrier leave in. Nothing of any other row leaves the scan.
//!
//! The scan is a node of our own, into which no rule of the optimiser looks: what stands above it, masks and marks, can't be
//! moved below it, and it can't be taken apart. A batch all of whose rows exist is passed on as it is, and of one of which some
//! do not, what is kept is copied once; a filter of DataFusion copies always, and the columns that are only asked for as well.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::{BatchCoalescer, filter_record_batch};
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchema, internal_err};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::utils::{expr_to_columns, split_conjunction};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr, split_conjunction as parts_of};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{ChildFilterDescription, FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter};
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

use crate::BATCH_ROWS;
use crate::consent::ConsentSet;

/// Batches that a scan on one thread reads ahead of those that are decided on.
const BATCHES_AHEAD: usize = 2;
/// What is kept of a batch goes on by itself if it is at least one row in so many; less is gathered, since small batches cost
/// everything above.
const GATHERED_BELOW: usize = 2;

/// A raw table whose rows are those that exist.
#[derive(Debug)]
pub(crate) struct CoveredRows {
    raw: Arc<dyn TableProvider>,
    /// Who consented, and the places of the columns that name a row's subjects, each of whom must have.
    consent: Option<(Arc<ConsentSet>, Vec<usize>)>,
    /// What is asked of a row. Its evaluation fails on no row whatever.
    condition: Option<Expr>,
}

impl CoveredRows {
    /// The rows of a raw table. `consent`: who consented, and its hidden columns that name subjects. Error: it lacks one of them.
    pub(crate) fn of(
        raw: Arc<dyn TableProvider>,
        consent: Option<(&Arc<ConsentSet>, &[String])>,
        condition: Option<Expr>,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        let consent = match consent {
            None => None,
            Some((subjects, columns)) => {
                let schema = raw.schema();
                let places = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
                Some((Arc::clone(subjects), places))
            }
        };
        Ok(Arc::new(CoveredRows { raw, consent, condition }))
    }

    /// Those parts of the condition that the raw table can do something with. All of them are asked here all the same.
    fn told(&self) -> DataFusionResult<Vec<Expr>> {
        let parts = self.condition.as_ref().map(split_conjunction).unwrap_or_default();
        let supported = self.raw.supports_filters_pushdown(&parts)?;
        let of_use =
            parts.into_iter().zip(supported).filter(|(_, how)| *how != TableProviderFilterPushDown::Unsupported);
        Ok(of_use.map(|(part, _)| part.clone()).collect())
    }
}

#[async_trait]
impl TableProvider for CoveredRows {
    fn schema(&self) -> SchemaRef {
        self.raw.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let schema = self.raw.schema();
        let mut read: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..schema.fields().len()).collect(),
        };
        let shown = read.len();
        let mut place_of = |column: usize| {
            read.iter().position(|found| *found == column).unwrap_or_else(|| {
                read.push(column);
                read.len() - 1
            })
        };
        let consent = self.consent.as_ref().map(|(subjects, columns)| {
            (Arc::clone(subjects), columns.iter().map(|column| place_of(*column)).collect::<Vec<_>>())
        });
        if let Some(condition) = &self.condition {
            let mut asked = std::collections::HashSet::new();
            expr_to_columns(condition, &mut asked)?;
            // In the order of the table, so that a plan is the same each time.
            let mut asked = asked.iter().map(|column| schema.index_of(&column.name)).collect::<Result<Vec<_>, _>>()?;
            asked.sort_unstable();
            for column in asked {
                place_of(column);
            }
        }
        // So many rows of the raw table may be fewer that exist, so no limit goes down.
        let input = self.raw.scan(state, Some(&read), &self.told()?, None).await?;
        let condition = match &self.condition {
            Some(condition) => {
                let known = DFSchema::try_from(input.schema().as_ref().clone())?;
                Some(state.create_physical_expr(condition.clone(), &known)?)
            }
            None => None,
        };
        Ok(Arc::new(CoveredExec::new(input, Covering { consent, condition, shown })?))
    }
}

/// What decides on a row, over the columns of a scan.
#[derive(Clone)]
struct Covering {
    /// The set, and the places of the columns that name subjects.
    consent: Option<(Arc<ConsentSet>, Vec<usize>)>,
    condition: Option<Arc<dyn PhysicalExpr>>,
    /// The first columns of the input, as many as this, are passed on.
    shown: usize,
}

/// Leaves out the rows that do not exist, and the columns that were only read to know it.
struct CoveredExec {
    input: Arc<dyn ExecutionPlan>,
    covering: Covering,
    properties: Arc<PlanProperties>,
}

impl CoveredExec {
    fn new(input: Arc<dyn ExecutionPlan>, covering: Covering) -> DataFusionResult<CoveredExec> {
        let schema = Arc::new(input.schema().project(&(0..covering.shown).collect::<Vec<_>>())?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(CoveredExec { input, covering, properties: Arc::new(properties) })
    }
}

impl fmt::Debug for CoveredExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("CoveredExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for CoveredExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("CoveredExec")?;
        if self.covering.consent.is_some() {
            formatter.write_str(": with consent")?;
        }
        match &self.covering.condition {
            Some(condition) => write!(formatter, ": {condition}"),
            None => Ok(()),
        }
    }
}

impl ExecutionPlan for CoveredExec {
    fn name(&self) -> &'static str {
        "CoveredExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        match &self.covering.condition {
            Some(condition) => visit(condition),
            None => Ok(TreeNodeRecursion::Continue),
        }
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(CoveredExec::new(input, self.covering.clone())?)),
            _ => internal_err!("rows are of one input"),
        }
    }

    /// The conditions go on to the scan, which skips by them what can't meet them, and are asked here as well. All of them
    /// can't fail: those of the grant, and those of a consumer that may cross the barrier.
    fn gather_filters_for_pushdown(
        &self,
        phase: FilterPushdownPhase,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterDescription> {
        let mut input = ChildFilterDescription::from_child(&conditions, &self.input)?;
        if let (FilterPushdownPhase::Pre, Some(condition)) = (phase, &self.covering.condition) {
            input = input.with_self_filters(parts_of(condition).into_iter().cloned().collect());
        }
        Ok(FilterDescription::new().with_child(input))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let mut gathered = BatchCoalescer::new(Arc::clone(&schema), BATCH_ROWS);
        let is_alone = context.session_config().target_partitions() == 1;
        let (covering, mut input) = (self.covering.clone(), self.input.execute(partition, context)?);
        if is_alone {
            input = ahead(input);
        }
        let batches = async_stream::try_stream! {
            while let Some(batch) = input.next().await {
                let batch = batch?;
                let rows = covering.covered(&batch)?;
                let kept = rows.as_ref().map_or(batch.num_rows(), BooleanBuffer::count_set_bits);
                if kept == 0 {
                    continue;
                }
                let batch = covering.shown_of(batch)?;
                if kept * GATHERED_BELOW < batch.num_rows() {
                    let rows = rows.map(|rows| BooleanArray::new(rows, None));
                    match &rows {
                        Some(rows) => gathered.push_batch_with_filter(batch, rows)?,
                        None => gathered.push_batch(batch)?,
                    }
                    while let Some(batch) = gathered.next_completed_batch() {
                        yield batch;
                    }
                    continue;
                }
                // What came before it stays before it.
                gathered.finish_buffered_batch()?;
                while let Some(batch) = gathered.next_completed_batch() {
                    yield batch;
                }
                yield match rows {
                    Some(rows) if kept < batch.num_rows() => filter_record_batch(&batch, &BooleanArray::new(rows, None))?,
                    _ => batch,
                };
            }
            gathered.finish_buffered_batch()?;
            while let Some(batch) = gathered.next_completed_batch() {
                yield batch;
            }
        };
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// In the order of the table nothing is read in parts. So that another core has something to do, reading goes on while it is
/// decided on what was read, and while that is masked and marked.
fn ahead(mut input: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let mut ahead = RecordBatchReceiverStream::builder(input.schema(), BATCHES_AHEAD);
    let sender = ahead.tx();
    ahead.spawn(async move {
        while let Some(batch) = input.next().await {
            let is_last = batch.is_err();
            // When the receiver is gone, nobody wants the rest.
            if sender.send(batch).await.is_err() || is_last {
                break;
            }
        }
        Ok(())
    });
    ahead.build()
}

impl Covering {
    /// Which rows of a batch exist: all where nothing is asked. A row without a subject has nobody's consent.
    fn covered(&self, batch: &RecordBatch) -> DataFusionResult<Option<BooleanBuffer>> {
        let consenting = match &self.consent {
            None => None,
            Some((subjects, places)) => Some(consenting(batch, subjects, places)?),
        };
        let Some(condition) = &self.condition else { return Ok(consenting) };
        let met = condition.evaluate(batch)?.into_array(batch.num_rows())?;
        let Some(met) = met.as_boolean_opt() else {
            return internal_err!("a condition is no truth value");
        };
        // What is neither true nor false leaves a row out.
        let met = match met.nulls() {
            Some(known) => met.values() & known.inner(),
            None => met.values().clone(),
        };
        Ok(Some(match consenting {
            Some(consenting) => &consenting & &met,
            None => met,
        }))
    }

    fn shown_of(&self, batch: RecordBatch) -> DataFusionResult<RecordBatch> {
        if self.shown == batch.num_columns() {
            return Ok(batch);
        }
        Ok(batch.project(&(0..self.shown).collect::<Vec<_>>())?)
    }
}

/// The rows all of whose subjects are members. Without a column of subjects nobody has consented.
fn consenting(batch: &RecordBatch, subjects: &ConsentSet, places: &[usize]) -> DataFusionResult<BooleanBuffer> {
    let mut rows: Option<BooleanBuffer> = None;
    for place in places {
        let Some(ordinals) = batch.column(*place).as_primitive_opt::<Int64Type>() else {
            return internal_err!("a column of subjects holds no ordinals");
        };
        let (members, _) = subjects.covered(ordinals).into_parts();
        rows = Some(match rows {
            Some(rows) => &rows & &members,
            None => members,
        });
    }
    Ok(rows.unwrap_or_else(|| BooleanBuffer::new_unset(batch.num_rows())))
}

#[cfg(test)]
mod tests;
