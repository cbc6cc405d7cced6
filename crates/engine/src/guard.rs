//! Guarded aggregates: the statistics mode.
//!
//! A statement must be one aggregate over declared dimensions, with filters on those dimensions ([`shape`], [`total`]). The
//! aggregate runs first, with a [`tally`] of each group's contributors beside it ([`contributor`], [`sketch`]). Groups that
//! are too small or dominated are left out, and those that would tell of them ([`suppression`], [`dominance`]); what is
//! left is compared with everything that was released before, and recorded ([`differencing`]). Only then does the rest
//! of the statement (projection, HAVING, sort, limit) run, on guarded groups alone.
//!
//! Each of these looks at one or two answers. Combinations of more are bounded by a privacy budget alone, which is not
//! here.

pub(crate) mod contributor;
mod differencing;
pub(crate) mod dominance;
mod former;
pub(crate) mod shape;
mod sketch;
mod suppression;
mod tally;
pub(crate) mod total;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, RecordBatchOptions};
use arrow::compute::{CastOptions, cast, cast_with_options, filter};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, UInt64Type};
use arrow::row::{RowConverter, SortField};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, Filter, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, lit, when,
};
use tokio::time::Instant;

use crate::allow::{Refusal, RefusalCode};
use crate::engine::Engine;
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise};
use crate::governed::{GovernedProvider, GovernedTable, HiddenColumns};
use crate::predicate::column;
use crate::raw::RawTable;
use crate::session::{SmallGroups, StatisticsRules, start, with_hidden};
use contributor::{COUNTED_COLUMN, WHAT_COLUMN, WHO_COLUMN, WRITTEN_COLUMN, what_column};
use differencing::Floor;
use shape::Question;
use suppression::{Fitness, Group};
use tally::Tally;

/// The family of counts of rows; the others bear the name of a measured column, which can't be this.
const ROWS_FAMILY: &str = "*";

/// What is left to run on guarded groups.
pub(crate) struct Guarded {
    pub(crate) plan: LogicalPlan,
    pub(crate) groups_suppressed: u64,
}

/// Checks the shape of a statement. Nothing is read, and nothing counts.
pub(crate) fn check(state: &SessionState, plan: &LogicalPlan, rules: &StatisticsRules) -> Result<(), Refusal> {
    shape::question(state, plan, rules).map(|_| ())
}

/// Checks the shape, runs the aggregate, leaves out what can't be shown and records the rest.
pub(crate) async fn answer(
    engine: &Engine,
    state: &SessionState,
    task: &Arc<TaskContext>,
    plan: &LogicalPlan,
    rules: &StatisticsRules,
    limits: &Limits,
    deadline: Instant,
) -> Result<Guarded, EngineError> {
    let question = shape::question(state, plan, rules)?;
    if !rules.record.may_ask().await? {
        let what = "too many questions were refused today for what their answers would have told; ask again tomorrow";
        return Err(Refusal::new(RefusalCode::RefusalsExhausted, what).into());
    }
    // Told by the products alone, so it is not counted.
    if !rules.record.is_comparable().await? {
        return Err(differencing::incomparable().into());
    }
    let table = governed_table(&question.aggregate.input).map_err(|error| sanitise(&error))?;
    let has_subject = rules.contributors.subject.is_some() || table.has_subject();
    let tallying = tallying_plan(&question, rules, &table, has_subject)?;
    let stream = start(engine, state, &tallying, Arc::clone(task)).await?;
    let mut batches = LimitedBatches::new(stream, Limits { rows_max: limits.groups_max, ..*limits }, deadline);
    let mut answered = Vec::new();
    while let Some(batch) = batches.next().await {
        answered.push(batch?);
    }
    let groups = groups_of(&question, &answered).map_err(|error| sanitise(&error))?;
    let fitness = Fitness {
        floor: u64::from(rules.cohort_floor),
        dominance: rules.dominance,
        is_added: std::iter::once(false).chain(question.measures.iter().map(|measure| measure.is_added)).collect(),
        has_subject,
    };
    // Of a live table nobody has checked that its key names one row.
    let keys_may_repeat = !matches!(table.raw(), RawTable::Files(_));
    match decide(&question, rules, &groups, &fitness, keys_may_repeat).await {
        Ok(shown) => {
            let groups_suppressed = shown.iter().filter(|is_shown| !**is_shown).count() as u64;
            let schema = kept_schema(question.aggregate);
            let kept = kept_batches(&answered, &schema, &groups, &shown).map_err(|error| sanitise(&error))?;
            let plan = rest_of_plan(plan, schema, kept).map_err(|error| sanitise(&error))?;
            Ok(Guarded { plan, groups_suppressed })
        }
        Err(EngineError::Refused(refusal)) => {
            rules.record.count_refusal().await?;
            Err(refusal.into())
        }
        Err(other) => Err(other),
    }
}

/// For each group whether it is shown, when the answer may leave. What is shown is recorded when this returns.
async fn decide(
    question: &Question<'_>,
    rules: &StatisticsRules,
    groups: &SortedGroups,
    fitness: &Fitness,
    keys_may_repeat: bool,
) -> Result<Vec<bool>, EngineError> {
    let shown = suppression::shown(&groups.groups, fitness);
    let is_nothing = !shown.contains(&true);
    let is_refused = rules.small_groups == SmallGroups::Refuse && shown.contains(&false);
    // The same for groups that are too small and for groups that are not there: the difference would tell of the few.
    if is_nothing || is_refused {
        let what = format!(
            "{} of the groups describe fewer than {} subjects, or would tell of such a group or of the largest subject of one; group by \
             fewer dimensions or filter less",
            if is_nothing { "all" } else { "some" },
            rules.cohort_floor
        );
        return Err(Refusal::new(RefusalCode::CohortTooSmall, what).into());
    }
    let mut families = vec![ROWS_FAMILY.to_owned()];
    families.extend(question.measures.iter().map(|measure| measure.name.clone()));
    let floor = Floor { contributors: fitness.floor, keys_may_repeat };
    differencing::release(rules.record.as_ref(), &groups.groups, &shown, &families, floor).await?;
    Ok(shown)
}

pub(crate) fn governed_table(plan: &LogicalPlan) -> DataFusionResult<Arc<GovernedTable>> {
    let mut found = None;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            found = provider.downcast_ref::<GovernedProvider>().map(|governed| Arc::clone(governed.table()));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    found.ok_or_else(|| DataFusionError::Internal("statistics are over a governed table".to_owned()))
}

/// The aggregate with the tallies after its own columns: of all rows of the group, then of each measure.
fn tallying_plan(
    question: &Question<'_>,
    rules: &StatisticsRules,
    table: &GovernedTable,
    has_subject: bool,
) -> Result<LogicalPlan, EngineError> {
    let measured: Vec<String> = question.measures.iter().map(|measure| measure.name.clone()).collect();
    let hidden = rules.contributors.columns(table, &measured).map_err(|error| sanitise(&error))??;
    let made = || -> DataFusionResult<LogicalPlan> {
        let input = with_columns(&question.aggregate.input, &hidden)?;
        let buckets = sketch::buckets_for(rules.cohort_floor);
        let tally = |what: Expr, size: Expr| {
            let [who, written, counted] = [WHO_COLUMN, WRITTEN_COLUMN, COUNTED_COLUMN].map(column);
            tally::tally(has_subject, buckets, [who, written, counted, what, size])
        };
        let mut expressions = Vec::with_capacity(question.aggregate.aggr_expr.len() + question.measures.len() + 1);
        for expression in &question.aggregate.aggr_expr {
            expressions.push(summed_widely(expression, input.schema())?);
        }
        expressions.push(tally(column(WHAT_COLUMN), lit(0.0_f64)).alias("__tally"));
        for (index, measure) in question.measures.iter().enumerate() {
            // Rows without a value are no part of what is measured.
            let what = when(measure.column.clone().is_not_null(), column(&what_column(index))).end()?;
            let size = match measure.is_added {
                true => datafusion::logical_expr::cast(measure.column.clone(), DataType::Float64),
                false => lit(0.0_f64),
            };
            expressions.push(tally(what, size).alias(format!("__tally_{index}")));
        }
        LogicalPlanBuilder::from(input).aggregate(question.aggregate.group_expr.clone(), expressions)?.build()
    };
    made().map_err(|error| sanitise(&error))
}

/// The same aggregate, whose sums of whole numbers have room for every table's: that of a group which is left out must not end the
/// answer, which would tell of it.
fn summed_widely(expression: &Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
    let widely = expression.clone().transform_up(|part| {
        let Expr::AggregateFunction(mut call) = part else { return Ok(Transformed::no(part)) };
        if call.func.name() == "sum" {
            for argument in &mut call.params.args {
                if argument.get_type(schema)? == DataType::Int64 {
                    *argument = datafusion::logical_expr::cast(argument.clone(), DataType::Decimal128(19, 0));
                }
            }
        }
        Ok(Transformed::yes(Expr::AggregateFunction(call)))
    });
    widely.data()
}

/// The plan below an aggregate over a table that yields hidden columns too.
pub(crate) fn with_columns(plan: &LogicalPlan, hidden: &HiddenColumns) -> DataFusionResult<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::TableScan(_) => with_hidden(plan, hidden.clone())?,
        LogicalPlan::Filter(filter) => LogicalPlan::Filter(Filter::try_new(
            filter.predicate.clone(),
            Arc::new(with_columns(&filter.input, hidden)?),
        )?),
        LogicalPlan::SubqueryAlias(alias) => LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
            Arc::new(with_columns(&alias.input, hidden)?),
            alias.alias.clone(),
        )?),
        _ => return datafusion::common::internal_err!("the shape below the aggregate was checked"),
    })
}

/// Groups in an order of their own, which depends on their values alone.
struct SortedGroups {
    groups: Vec<Group>,
    /// For each row of the answer, batch after batch, which group it is.
    of_row: Vec<usize>,
}

fn groups_of(question: &Question<'_>, batches: &[RecordBatch]) -> DataFusionResult<SortedGroups> {
    let dimensions = question.dimensions;
    let mut values: Vec<Vec<Vec<u8>>> = Vec::with_capacity(dimensions);
    for dimension in 0..dimensions {
        values.push(values_of(batches, dimension)?);
    }
    let mut numbered = Vec::with_capacity(dimensions);
    for of_dimension in &values {
        let distinct: BTreeSet<&Vec<u8>> = of_dimension.iter().collect();
        numbered.push(distinct.into_iter().zip(0_u32..).collect::<BTreeMap<_, _>>());
    }
    let mut rows = Vec::new();
    for batch in batches {
        let totals = match question.is_rollup {
            true => Some(cast(batch.column(dimensions), &DataType::UInt64)?),
            false => None,
        };
        let totals = totals.as_ref().map(|totals| totals.as_primitive::<UInt64Type>());
        let first_tally = question.aggregate.schema.fields().len();
        for row in 0..batch.num_rows() {
            // The lowest bit is the last dimension's; a set bit says that the row is a total over it.
            let total_over = totals.map_or(0, |totals| totals.value(row));
            let number = rows.len();
            let place: Vec<Option<u32>> = (0..dimensions)
                .map(|dimension| {
                    let is_total = total_over & (1 << (dimensions - 1 - dimension)) != 0;
                    if is_total { None } else { numbered[dimension].get(&values[dimension][number]).copied() }
                })
                .collect();
            let mut tallies = Vec::with_capacity(question.measures.len() + 1);
            for tally in &batch.columns()[first_tally..] {
                tallies.push(Tally::of_bytes(tally.as_binary::<i64>().value(row))?);
            }
            rows.push((number, Group { place, tallies }));
        }
    }
    rows.sort_by(|(_, one), (_, other)| one.place.cmp(&other.place));
    let mut of_row = vec![0; rows.len()];
    for (sorted, (number, _)) in rows.iter().enumerate() {
        of_row[*number] = sorted;
    }
    Ok(SortedGroups { groups: rows.into_iter().map(|(_, group)| group).collect(), of_row })
}

/// The values of a column as bytes that sort as they do.
pub(crate) fn values_of(batches: &[RecordBatch], index: usize) -> DataFusionResult<Vec<Vec<u8>>> {
    let mut values = Vec::new();
    for batch in batches {
        let column = batch.column(index);
        let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())])?;
        let rows = converter.convert_columns(std::slice::from_ref(column))?;
        values.extend(rows.iter().map(|row| row.as_ref().to_vec()));
    }
    Ok(values)
}

/// The aggregate's own columns under plain numbered names.
pub(crate) fn kept_schema(aggregate: &Aggregate) -> SchemaRef {
    let mut fields = Vec::new();
    for (index, field) in aggregate.schema.fields().iter().enumerate() {
        fields.push(Field::new(format!("c{index}"), field.data_type().clone(), true));
    }
    Arc::new(Schema::new(fields))
}

/// The aggregate's own columns of the groups that are shown, in its own types. Errors: a sum that its type has no room for.
fn kept_batches(
    batches: &[RecordBatch],
    schema: &SchemaRef,
    groups: &SortedGroups,
    shown: &[bool],
) -> DataFusionResult<Vec<RecordBatch>> {
    let mut row = 0;
    let mut kept = Vec::with_capacity(batches.len());
    for batch in batches {
        let is_kept: BooleanArray =
            groups.of_row[row..row + batch.num_rows()].iter().map(|group| Some(shown[*group])).collect();
        row += batch.num_rows();
        let mut columns = Vec::with_capacity(schema.fields().len());
        for (column, field) in batch.columns().iter().zip(schema.fields()) {
            let shown = filter(column, &is_kept)?;
            columns.push(cast_with_options(
                &shown,
                field.data_type(),
                &CastOptions { safe: false, ..CastOptions::default() },
            )?);
        }
        let rows = RecordBatchOptions::new().with_row_count(Some(is_kept.true_count()));
        kept.push(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &rows)?);
    }
    Ok(kept)
}

/// The statement with its aggregate replaced by the groups that were kept.
pub(crate) fn rest_of_plan(
    plan: &LogicalPlan,
    schema: SchemaRef,
    kept: Vec<RecordBatch>,
) -> DataFusionResult<LogicalPlan> {
    let table = MemTable::try_new(schema, vec![kept])?;
    let source = provider_as_source(Arc::new(table));
    plan.clone()
        .transform_down(|node| {
            let LogicalPlan::Aggregate(aggregate) = &node else { return Ok(Transformed::no(node)) };
            let mut outputs = Vec::new();
            for (index, (qualifier, field)) in aggregate.schema.iter().enumerate() {
                outputs.push(column(&format!("c{index}")).alias_qualified(qualifier.cloned(), field.name()));
            }
            let groups = LogicalPlanBuilder::scan("guarded", Arc::clone(&source), None)?.project(outputs)?.build()?;
            Ok(Transformed::new(groups, true, TreeNodeRecursion::Jump))
        })
        .data()
}
