//! The scan of the rows that exist: those that the row filter, the consent set and the conditions that may be asked below the
//! barrier leave in. Nothing of any other row leaves the scan.
//!
//! The scan is a node of our own, into which no rule of the optimiser looks: what stands above it, masks and marks, can't be
//! moved below it, and it can't be taken apart. A batch all of whose rows exist is passed on as it is, and of one of which some
//! do not, what is kept is copied once; a filter of DataFusion copies always, and the columns that are only asked for as well.

mod coverage;
mod kept;
mod viewed;

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, Int64Array, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
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
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::StreamExt;

use crate::consent::ConsentSet;
use crate::files::TableFiles;
use crate::{BATCH_ROWS, ROW_COLUMN, ahead};
pub(crate) use coverage::Coverage;
use kept::Kept;
use viewed::{Viewed, in_texts, texts_among, without_views};

/// What is kept of a batch goes on by itself if it is at least one row in so many; less is gathered, since small batches cost
/// everything above.
const GATHERED_BELOW: usize = 2;

/// A raw table whose rows are those that exist.
#[derive(Debug)]
pub(crate) struct CoveredRows {
    raw: Arc<dyn TableProvider>,
    consent: Option<AskedConsent>,
    /// What is asked of a row. Its evaluation fails on no row whatever.
    condition: Option<Expr>,
    /// What share of the rows the consumer's own part of it is expected to leave.
    share: f64,
}

/// Whose consent is asked for the rows of a raw table.
pub(crate) struct NeededConsent<'a> {
    /// Who consented.
    pub(crate) members: &'a Arc<ConsentSet>,
    /// The hidden columns that name a row's subjects, each of whom must have.
    pub(crate) subjects: &'a [String],
    /// What is remembered of the rows, of this raw table and these members alone.
    pub(crate) coverage: Option<&'a Arc<Coverage>>,
}

/// The same, with the places of columns in the raw table.
#[derive(Debug)]
struct AskedConsent {
    members: Arc<ConsentSet>,
    subjects: Vec<usize>,
    /// With the place of the row's number.
    coverage: Option<(Arc<Coverage>, usize)>,
}

impl AskedConsent {
    fn of(raw: &SchemaRef, needed: &NeededConsent<'_>) -> DataFusionResult<AskedConsent> {
        let subjects = needed.subjects.iter().map(|name| raw.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        let coverage = match needed.coverage {
            Some(coverage) => Some((Arc::clone(coverage), raw.index_of(ROW_COLUMN)?)),
            None => None,
        };
        Ok(AskedConsent { members: Arc::clone(needed.members), subjects, coverage })
    }

    /// How a scan of some columns decides; it reads more of them for that where it must.
    fn decided(&self, read: &mut Vec<usize>) -> Consent {
        if let Some((coverage, number)) = &self.coverage
            && coverage.is_whole()
        {
            return Consent::ByNumber { coverage: Arc::clone(coverage), number: place_in(read, *number) };
        }
        // A row's number is not read to remember it.
        let learnt = self.coverage.as_ref().and_then(|(coverage, number)| {
            let place = read.iter().position(|column| column == number)?;
            Some((Arc::clone(coverage), place))
        });
        let subjects = self.subjects.iter().map(|column| place_in(read, *column)).collect();
        Consent::BySubjects { members: Arc::clone(&self.members), subjects, learnt }
    }
}

/// The place of a column among those that are read, with which it is from now on.
fn place_in(read: &mut Vec<usize>, column: usize) -> usize {
    read.iter().position(|found| *found == column).unwrap_or_else(|| {
        read.push(column);
        read.len() - 1
    })
}

impl CoveredRows {
    /// The rows of a raw table. `share`: what the consumer's own conditions are expected to leave of them. Error: it lacks a column
    /// that is needed.
    pub(crate) fn of(
        raw: Arc<dyn TableProvider>,
        consent: Option<&NeededConsent<'_>>,
        condition: Option<Expr>,
        share: f64,
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        let schema = raw.schema();
        let consent = consent.map(|needed| AskedConsent::of(&schema, needed)).transpose()?;
        Ok(Arc::new(CoveredRows { raw, consent, condition, share }))
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
        let consent = self.consent.as_ref().map(|consent| consent.decided(&mut read));
        if let Some(condition) = &self.condition {
            let mut asked = std::collections::HashSet::new();
            expr_to_columns(condition, &mut asked)?;
            // In the order of the table, so that a plan is the same each time.
            let mut asked = asked.iter().map(|column| schema.index_of(&column.name)).collect::<Result<Vec<_>, _>>()?;
            asked.sort_unstable();
            for column in asked {
                place_in(&mut read, column);
            }
        }
        // So many rows of the raw table may be fewer that exist, so no limit goes down.
        let (mut raw, mut condition) = (Arc::clone(&self.raw), self.condition.clone());
        // Where consent leaves rows out, texts of their own are made of those that are kept.
        let share = if consent.is_some() { 0.0 } else { self.share };
        match (self.raw.downcast_ref::<TableFiles>(), &self.condition) {
            (Some(files), Some(asked)) => {
                if let Some(viewed) = Viewed::of(asked, &schema, &read, shown, share) {
                    raw = Arc::new(files.reading_views(&viewed.columns));
                    condition = Some(viewed.condition);
                }
            }
            (Some(files), None) => raw = Arc::new(files.reading_views(&texts_among(&schema, &read))),
            (None, _) => {}
        }
        let input = raw.scan(state, Some(&read), &self.told()?, None).await?;
        let condition = match condition {
            Some(condition) => {
                let known = DFSchema::try_from(input.schema().as_ref().clone())?;
                Some(state.create_physical_expr(condition, &known)?)
            }
            None => None,
        };
        Ok(Arc::new(CoveredExec::new(input, Covering { consent, condition, shown })?))
    }
}

/// What decides on a row, over the columns of a scan.
#[derive(Clone)]
struct Covering {
    consent: Option<Consent>,
    condition: Option<Arc<dyn PhysicalExpr>>,
    /// The first columns of the input, as many as this, are passed on.
    shown: usize,
}

/// How consent is asked, with the places of columns among those that are read.
#[derive(Clone)]
enum Consent {
    /// All subjects of a row must be members. What is found is remembered where the row's number is read.
    BySubjects { members: Arc<ConsentSet>, subjects: Vec<usize>, learnt: Option<(Arc<Coverage>, usize)> },
    /// It is remembered of every row.
    ByNumber { coverage: Arc<Coverage>, number: usize },
}

/// Leaves out the rows that do not exist, and the columns that were only read to know it.
struct CoveredExec {
    input: Arc<dyn ExecutionPlan>,
    covering: Covering,
    properties: Arc<PlanProperties>,
}

impl CoveredExec {
    fn new(input: Arc<dyn ExecutionPlan>, covering: Covering) -> DataFusionResult<CoveredExec> {
        let schema = Arc::new(without_views(&covering.shown_schema(&input)?));
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
        // What is asked of texts above is not asked of views.
        let shown = self.covering.shown_schema(&self.input)?;
        let is_told = |place: &usize| shown.field(*place).data_type() != &DataType::Utf8View;
        let told = (0..shown.fields().len()).filter(is_told).collect();
        let mut input = ChildFilterDescription::from_child_with_allowed_indices(&conditions, told, &self.input)?;
        if let (FilterPushdownPhase::Pre, Some(condition)) = (phase, &self.covering.condition) {
            input = input.with_self_filters(parts_of(condition).into_iter().cloned().collect());
        }
        Ok(FilterDescription::new().with_child(input))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let schema = Arc::clone(self.properties.eq_properties.schema());
        let mut gathered = BatchCoalescer::new(Arc::new(self.covering.shown_schema(&self.input)?), BATCH_ROWS);
        let (covering, told) = (self.covering.clone(), Arc::clone(&schema));
        let mut input = ahead::of(&self.input, partition, context)?;
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
                let batch = match rows {
                    Some(rows) if kept < batch.num_rows() => Kept::of(rows).of_batch(&batch, &told)?,
                    _ => batch,
                };
                yield batch;
            }
            gathered.finish_buffered_batch()?;
            while let Some(batch) = gathered.next_completed_batch() {
                yield batch;
            }
        };
        let told = Arc::clone(&schema);
        let batches = batches.map(move |batch: DataFusionResult<RecordBatch>| in_texts(batch?, &told));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

impl Covering {
    /// Which rows of a batch exist: all where nothing is asked. A row without a subject has nobody's consent.
    fn covered(&self, batch: &RecordBatch) -> DataFusionResult<Option<BooleanBuffer>> {
        let consenting = match &self.consent {
            None => None,
            Some(consent) => Some(consent.covered(batch)?),
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

    /// The columns that are passed on, as they are read.
    fn shown_schema(&self, input: &Arc<dyn ExecutionPlan>) -> DataFusionResult<Schema> {
        Ok(input.schema().project(&(0..self.shown).collect::<Vec<_>>())?)
    }

    fn shown_of(&self, batch: RecordBatch) -> DataFusionResult<RecordBatch> {
        if self.shown == batch.num_columns() {
            return Ok(batch);
        }
        Ok(batch.project(&(0..self.shown).collect::<Vec<_>>())?)
    }
}

impl Consent {
    /// Which rows of a batch have it.
    fn covered(&self, batch: &RecordBatch) -> DataFusionResult<BooleanBuffer> {
        match self {
            Consent::BySubjects { members, subjects, learnt } => {
                let rows = consenting(batch, members, subjects)?;
                if let Some((coverage, number)) = learnt {
                    coverage.learn(numbers(batch, *number)?, &rows);
                }
                Ok(rows)
            }
            Consent::ByNumber { coverage, number } => Ok(coverage.existing(numbers(batch, *number)?)),
        }
    }
}

/// A column of row numbers or ordinals.
fn numbers(batch: &RecordBatch, place: usize) -> DataFusionResult<&Int64Array> {
    match batch.column(place).as_primitive_opt::<Int64Type>() {
        Some(numbers) => Ok(numbers),
        None => internal_err!("a column of rows or subjects holds no numbers"),
    }
}

/// The rows all of whose subjects are members. Without a column of subjects nobody has consented.
fn consenting(batch: &RecordBatch, subjects: &ConsentSet, places: &[usize]) -> DataFusionResult<BooleanBuffer> {
    let mut rows: Option<BooleanBuffer> = None;
    for place in places {
        let (members, _) = subjects.covered(numbers(batch, *place)?).into_parts();
        rows = Some(match rows {
            Some(rows) => &rows & &members,
            None => members,
        });
    }
    Ok(rows.unwrap_or_else(|| BooleanBuffer::new_unset(batch.num_rows())))
}

#[cfg(test)]
mod tests;
