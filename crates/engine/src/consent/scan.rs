//! Consent in the scan: the rows of subjects who did not consent do not leave it.
//!
//! A filter of DataFusion copies what it keeps into new batches. Here a batch all of whose subjects consented is passed on as it
//! is, so where everybody consents the scan costs a look at one bit for each row, and where some do not, one copy.

use std::fmt;
use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::buffer::BooleanBuffer;
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::config::ConfigOptions;
use datafusion::common::internal_err;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{
    DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, Partitioning, PlanProperties,
};
use futures::TryStreamExt;

use super::ConsentSet;

/// A raw table whose rows are those of consenting subjects.
#[derive(Debug)]
pub(crate) struct ConsentedRows {
    raw: Arc<dyn TableProvider>,
    subjects: Arc<ConsentSet>,
    /// Places of the columns that name a row's subjects, each of whom must have consented.
    columns: Vec<usize>,
}

impl ConsentedRows {
    /// The rows of a raw table; `columns` are its hidden columns that name subjects. Error: it lacks one of them.
    pub(crate) fn of(
        raw: Arc<dyn TableProvider>,
        subjects: &Arc<ConsentSet>,
        columns: &[String],
    ) -> DataFusionResult<Arc<dyn TableProvider>> {
        let schema = raw.schema();
        let columns = columns.iter().map(|name| schema.index_of(name)).collect::<Result<Vec<_>, _>>()?;
        Ok(Arc::new(ConsentedRows { raw, subjects: Arc::clone(subjects), columns }))
    }
}

#[async_trait]
impl TableProvider for ConsentedRows {
    fn schema(&self) -> SchemaRef {
        self.raw.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        self.raw.supports_filters_pushdown(filters)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut read: Vec<usize> = match projection {
            Some(columns) => columns.clone(),
            None => (0..self.raw.schema().fields().len()).collect(),
        };
        let shown = read.len();
        let mut subject_places = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            let place = read.iter().position(|found| found == column).unwrap_or(read.len());
            if place == read.len() {
                read.push(*column);
            }
            subject_places.push(place);
        }
        // So many rows of the raw table may be fewer that exist, so no limit goes down.
        let input = self.raw.scan(state, Some(&read), filters, None).await?;
        Ok(Arc::new(ConsentExec::new(input, Arc::clone(&self.subjects), subject_places, shown)?))
    }
}

/// Leaves out rows by their subjects, and the subjects' columns unless they were asked for.
struct ConsentExec {
    input: Arc<dyn ExecutionPlan>,
    subjects: Arc<ConsentSet>,
    subject_places: Vec<usize>,
    /// The first columns of the input, as many as this, are passed on.
    shown: usize,
    properties: Arc<PlanProperties>,
}

impl ConsentExec {
    fn new(
        input: Arc<dyn ExecutionPlan>,
        subjects: Arc<ConsentSet>,
        subject_places: Vec<usize>,
        shown: usize,
    ) -> DataFusionResult<ConsentExec> {
        let schema = Arc::new(input.schema().project(&(0..shown).collect::<Vec<_>>())?);
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema),
            Partitioning::UnknownPartitioning(input.output_partitioning().partition_count()),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Ok(ConsentExec { input, subjects, subject_places, shown, properties: Arc::new(properties) })
    }
}

impl fmt::Debug for ConsentExec {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ConsentExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for ConsentExec {
    fn fmt_as(&self, _format: DisplayFormatType, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("ConsentExec")
    }
}

impl ExecutionPlan for ConsentExec {
    fn name(&self) -> &'static str {
        "ConsentExec"
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
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> DataFusionResult<TreeNodeRecursion>,
    ) -> DataFusionResult<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => {
                let (subjects, places) = (Arc::clone(&self.subjects), self.subject_places.clone());
                Ok(Arc::new(ConsentExec::new(input, subjects, places, self.shown)?))
            }
            _ => internal_err!("consent is asked of one input"),
        }
    }

    /// Conditions go on to the scan, which skips by them what can't meet them. All of them can't fail: those of the grant, and
    /// those of a consumer that may cross the barrier.
    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        conditions: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> DataFusionResult<FilterDescription> {
        FilterDescription::from_children(conditions, &self.children())
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> DataFusionResult<SendableRecordBatchStream> {
        let (subjects, places) = (Arc::clone(&self.subjects), self.subject_places.clone());
        let shown: Vec<usize> = (0..self.shown).collect();
        let batches = self.input.execute(partition, context)?.try_filter_map(move |batch| {
            let covered = covered(&batch, &subjects, &places, &shown);
            futures::future::ready(covered)
        });
        let schema = Arc::clone(self.properties.eq_properties.schema());
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, batches)))
    }
}

/// The rows of a batch all of whose subjects are members, with the columns that are shown; none where there is no such row.
fn covered(
    batch: &RecordBatch,
    subjects: &ConsentSet,
    places: &[usize],
    shown: &[usize],
) -> DataFusionResult<Option<RecordBatch>> {
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
    // Without a column of subjects nobody has consented.
    let Some(rows) = rows else { return Ok(None) };
    let count = rows.count_set_bits();
    if count == 0 {
        return Ok(None);
    }
    let batch = batch.project(shown)?;
    if count == batch.num_rows() {
        return Ok(Some(batch));
    }
    Ok(Some(filter_record_batch(&batch, &BooleanArray::new(rows, None))?))
}

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};
    use datafusion::logical_expr::Operator;
    use datafusion::physical_expr::expressions::{BinaryExpr, Column, lit};
    use datafusion::physical_plan::empty::EmptyExec;
    use datafusion::physical_plan::filter_pushdown::PushedDown;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// What is passed on are the rows all of whose subjects are members, whole and in their order.
        #[test]
        fn rows_are_those_of_members(
            rows in proptest::collection::vec((proptest::option::of(0_i64..6), proptest::option::of(0_i64..6)), 0..60),
            members in proptest::collection::btree_set(0_u32..6, 0..7),
        ) {
            let set: ConsentSet = members.iter().copied().collect();
            let texts: Vec<String> = (0..rows.len()).map(|row| format!("row {row}")).collect();
            let batch = RecordBatch::try_from_iter([
                ("text", Arc::new(StringArray::from(texts.clone())) as ArrayRef),
                ("first", Arc::new(rows.iter().map(|(first, _)| *first).collect::<Int64Array>()) as ArrayRef),
                ("second", Arc::new(rows.iter().map(|(_, second)| *second).collect::<Int64Array>()) as ArrayRef),
            ])?;
            let is_member = |subject: Option<i64>| subject.is_some_and(|subject| members.contains(&u32::try_from(subject).unwrap_or(u32::MAX)));
            let expected: Vec<&str> = texts
                .iter()
                .zip(&rows)
                .filter(|(_, (first, second))| is_member(*first) && is_member(*second))
                .map(|(text, _)| text.as_str())
                .collect();
            let passed = covered(&batch, &set, &[1, 2], &[0])?;
            let passed: Vec<String> = match &passed {
                Some(batch) => {
                    prop_assert_eq!(batch.num_columns(), 1);
                    batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
                }
                None => Vec::new(),
            };
            prop_assert_eq!(passed, expected);
            let nobody = covered(&batch, &set, &[], &[0])?;
            prop_assert!(nobody.is_none(), "without subjects there is no consent");
        }
    }

    #[test]
    fn conditions_go_on_to_the_scan() -> DataFusionResult<()> {
        let fields = vec![Field::new("number", DataType::Int64, true), Field::new("subject", DataType::Int64, true)];
        let input = Arc::new(EmptyExec::new(Arc::new(Schema::new(fields))));
        let consent = ConsentExec::new(input, Arc::new((0..8).collect()), vec![1], 1)?;
        let number: Arc<dyn PhysicalExpr> = Arc::new(Column::new("number", 0));
        let condition: Arc<dyn PhysicalExpr> = Arc::new(BinaryExpr::new(number, Operator::Lt, lit(3_i64)));
        let phase = FilterPushdownPhase::Pre;
        let passed = consent.gather_filters_for_pushdown(phase, vec![condition], &ConfigOptions::new())?;
        let passed = passed.parent_filters();
        assert!(matches!(passed[0][0].discriminant, PushedDown::Yes), "without it nothing is skipped under consent");
        Ok(())
    }

    #[test]
    fn a_batch_of_members_is_passed_on_as_it_is() -> DataFusionResult<()> {
        let set: ConsentSet = (0..8).collect();
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..8));
        let batch = RecordBatch::try_from_iter([("number", Arc::clone(&numbers)), ("subject", numbers)])?;
        let passed = covered(&batch, &set, &[1], &[0])?;
        let Some(passed) = passed else { return internal_err!("members' rows exist") };
        let pointer = |batch: &RecordBatch| batch.column(0).as_primitive::<Int64Type>().values().as_ptr();
        assert_eq!(pointer(&passed), pointer(&batch), "nothing was copied");
        Ok(())
    }
}
