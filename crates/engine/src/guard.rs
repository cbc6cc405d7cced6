//! Guarded aggregates: the statistics mode.
//!
//! A statement must be one aggregate over declared dimensions, with filters on those dimensions. The aggregate runs
//! first, with the number of subjects of each group counted beside it; groups below the cohort floor are dropped; only
//! then does the rest of the statement (projection, HAVING, sort, limit) run, on guarded groups alone. A measure that
//! is missing for some subjects counts only those that have it.
//!
//! The floor does not stop differencing between answers; that takes a privacy budget.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Field, Int64Type, Schema, SchemaRef};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion};
use datafusion::datasource::{MemTable, provider_as_source, source_as_provider};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct};
use datafusion::logical_expr::{
    Aggregate, Expr, ExprFunctionExt, Filter, LogicalPlan, LogicalPlanBuilder, SubqueryAlias, lit,
};
use tokio::time::Instant;

use crate::SUBJECT_COLUMN;
use crate::allow::{Refusal, RefusalCode};
use crate::engine::Engine;
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise};
use crate::governed::{GovernedProvider, HiddenColumns};
use crate::predicate::column;
use crate::session::{SmallGroups, StatisticsRules, first_refused, start, with_hidden};

/// Aggregates that describe a group as a whole. The smallest, largest and middle value are those of one subject.
const GROUP_AGGREGATES: &[&str] = &["avg", "count", "stddev", "stddev_pop", "sum", "var", "var_pop"];

/// What is left to run on guarded groups.
pub(crate) struct Guarded {
    pub(crate) plan: LogicalPlan,
    pub(crate) groups_suppressed: u64,
}

/// Checks the shape, runs the aggregate and drops small groups.
pub(crate) async fn answer(
    engine: &Engine,
    state: &SessionState,
    task: &Arc<TaskContext>,
    plan: &LogicalPlan,
    rules: &StatisticsRules,
    limits: &Limits,
    deadline: Instant,
) -> Result<Guarded, EngineError> {
    let aggregate = find_aggregate(plan)?;
    let measures = check_aggregate(aggregate, rules)?;
    let counted = counting_plan(aggregate, &measures).map_err(|error| sanitise(&error))?;
    let stream = start(engine, state, &counted, Arc::clone(task)).await?;
    let counted_limits = Limits { rows_max: limits.groups_max, ..*limits };
    let mut batches = LimitedBatches::new(stream, counted_limits, deadline);
    let kept_schema = kept_schema(aggregate);
    let mut kept = Vec::new();
    let mut groups_suppressed: u64 = 0;
    while let Some(batch) = batches.next().await {
        let batch = batch?;
        let large_enough = large_enough(&batch, kept_schema.fields().len(), rules.cohort_floor);
        groups_suppressed += large_enough.false_count() as u64;
        let columns = batch.columns()[..kept_schema.fields().len()].to_vec();
        let batch = RecordBatch::try_new(Arc::clone(&kept_schema), columns)
            .expect("the aggregate's own columns come first, in its own types");
        kept.push(filter_record_batch(&batch, &large_enough).expect("the selection has one entry a row of the batch"));
    }
    let groups_kept: usize = kept.iter().map(RecordBatch::num_rows).sum();
    if groups_suppressed > 0 && (groups_kept == 0 || rules.small_groups == SmallGroups::Refuse) {
        let what = format!(
            "{} of the groups describe fewer than {} subjects; group by fewer dimensions or filter less",
            if groups_kept == 0 { "all" } else { "some" },
            rules.cohort_floor
        );
        return Err(Refusal::new(RefusalCode::CohortTooSmall, what).into());
    }
    let plan = rest_of_plan(plan, kept_schema, kept).map_err(|error| sanitise(&error))?;
    Ok(Guarded { plan, groups_suppressed })
}

fn not_an_aggregate() -> Refusal {
    let what = "only statistics are granted: ask for aggregates of one table, grouped and filtered by its dimensions";
    Refusal::new(RefusalCode::NotAnAggregate, what)
}

/// The aggregate below projections, filters, sorts, limits and aliases.
fn find_aggregate(plan: &LogicalPlan) -> Result<&Aggregate, Refusal> {
    let mut node = plan;
    loop {
        check_no_subquery(node)?;
        node = match node {
            LogicalPlan::Aggregate(aggregate) => return Ok(aggregate),
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::Sort(sort) => &sort.input,
            LogicalPlan::Limit(limit) => &limit.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return Err(not_an_aggregate()),
        };
    }
}

fn check_no_subquery(node: &LogicalPlan) -> Result<(), Refusal> {
    let refused = first_refused(node, |part| match part {
        Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_) => Err(not_an_aggregate()),
        Expr::WindowFunction(_) => Err(not_an_aggregate()),
        _ => Ok(()),
    });
    refused.map_or(Ok(()), Err)
}

/// Checks groups, aggregates and the filters below; returns the measured columns.
fn check_aggregate(aggregate: &Aggregate, rules: &StatisticsRules) -> Result<Vec<Expr>, Refusal> {
    for group in &aggregate.group_expr {
        if matches!(group, Expr::GroupingSet(_)) {
            let what = "ROLLUP, CUBE and GROUPING SETS are not allowed: totals beside parts tell of suppressed groups";
            return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
        }
        check_dimensions(group, rules)?;
    }
    let mut measures: Vec<Expr> = Vec::new();
    for expression in &aggregate.aggr_expr {
        for measure in measures_of(expression)? {
            if !measures.contains(&measure) {
                measures.push(measure);
            }
        }
    }
    let mut node: &LogicalPlan = &aggregate.input;
    loop {
        check_no_subquery(node)?;
        node = match node {
            LogicalPlan::Filter(filter) => {
                check_dimensions(&filter.predicate, rules)?;
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::TableScan(_) => return Ok(measures),
            _ => return Err(not_an_aggregate()),
        };
    }
}

fn check_dimensions(expression: &Expr, rules: &StatisticsRules) -> Result<(), Refusal> {
    for used in expression.column_refs() {
        if !rules.dimensions.iter().any(|dimension| dimension.as_str() == used.name) {
            let dimensions: Vec<String> = rules.dimensions.iter().map(ToString::to_string).collect();
            let what = format!("`{}` is not a dimension; group and filter by {}", used.name, dimensions.join(", "));
            return Err(Refusal::new(RefusalCode::DimensionNotDeclared, what).granting(dimensions));
        }
    }
    Ok(())
}

/// The columns that an aggregate measures. A measure is a column as it stands: an expression such as
/// `sum(CASE WHEN id = 5 THEN salary END)` would single subjects out inside a large group.
fn measures_of(expression: &Expr) -> Result<Vec<Expr>, Refusal> {
    let refuse = |what: String| Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
    let call = match expression {
        Expr::AggregateFunction(call) => call,
        Expr::Alias(alias) => return measures_of(&alias.expr),
        _ => return Err(not_an_aggregate()),
    };
    let name = call.func.name();
    if !GROUP_AGGREGATES.contains(&name) {
        return refuse(format!("{name} tells of single subjects; use {}", GROUP_AGGREGATES.join(", ")));
    }
    if call.params.filter.is_some() || !call.params.order_by.is_empty() {
        return refuse(
            "FILTER and ORDER BY inside an aggregate are not allowed; filter by dimensions in WHERE".to_owned(),
        );
    }
    if call.params.distinct && name != "count" {
        return refuse("DISTINCT is allowed in count only".to_owned());
    }
    let mut measures = Vec::new();
    for argument in &call.params.args {
        match argument {
            Expr::Column(_) => measures.push(argument.clone()),
            // count(*) is planned as count(1).
            Expr::Literal(..) if name == "count" => {}
            _ => return refuse(format!("{name} takes a column as it stands, not an expression")),
        }
    }
    Ok(measures)
}

/// The aggregate with the counts that the floor is compared with after its own columns: subjects (or rows) of the
/// group, then of each measure those that have it.
fn counting_plan(aggregate: &Aggregate, measures: &[Expr]) -> datafusion::error::Result<LogicalPlan> {
    let has_subject = has_subject(&aggregate.input)?;
    let input = if has_subject { with_subject(&aggregate.input)? } else { aggregate.input.as_ref().clone() };
    let mut expressions = aggregate.aggr_expr.clone();
    let cohort = if has_subject { count_distinct(column(SUBJECT_COLUMN)) } else { count(lit(1_i64)) };
    expressions.push(cohort.alias("__cohort"));
    for (index, measure) in measures.iter().enumerate() {
        let having = if has_subject {
            count_distinct(column(SUBJECT_COLUMN)).filter(measure.clone().is_not_null()).build()?
        } else {
            count(measure.clone())
        };
        expressions.push(having.alias(format!("__cohort_{index}")));
    }
    LogicalPlanBuilder::from(input).aggregate(aggregate.group_expr.clone(), expressions)?.build()
}

fn has_subject(plan: &LogicalPlan) -> datafusion::error::Result<bool> {
    let mut found = false;
    plan.apply(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            found = provider.downcast_ref::<GovernedProvider>().is_some_and(|governed| governed.table().has_subject());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(found)
}

fn with_subject(plan: &LogicalPlan) -> datafusion::error::Result<LogicalPlan> {
    Ok(match plan {
        LogicalPlan::TableScan(_) => with_hidden(plan, HiddenColumns::Subject)?,
        LogicalPlan::Filter(filter) => {
            LogicalPlan::Filter(Filter::try_new(filter.predicate.clone(), Arc::new(with_subject(&filter.input)?))?)
        }
        LogicalPlan::SubqueryAlias(alias) => LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
            Arc::new(with_subject(&alias.input)?),
            alias.alias.clone(),
        )?),
        _ => return datafusion::common::internal_err!("the shape below the aggregate was checked"),
    })
}

/// The aggregate's own columns under plain numbered names.
fn kept_schema(aggregate: &Aggregate) -> SchemaRef {
    let mut fields = Vec::new();
    for (index, field) in aggregate.schema.fields().iter().enumerate() {
        fields.push(Field::new(format!("c{index}"), field.data_type().clone(), true));
    }
    Arc::new(Schema::new(fields))
}

/// True for the groups that describe enough subjects. A measure that no subject of a large group has tells only that.
fn large_enough(batch: &RecordBatch, own_columns: usize, floor: u32) -> BooleanArray {
    let floor = i64::from(floor);
    let mut large = vec![true; batch.num_rows()];
    for (position, counts) in batch.columns()[own_columns..].iter().enumerate() {
        let counts = counts.as_primitive::<Int64Type>();
        for (row, large) in large.iter_mut().enumerate() {
            let count = if counts.is_null(row) { 0 } else { counts.value(row) };
            let is_unmeasured = position > 0 && count == 0;
            *large = *large && (count >= floor || is_unmeasured);
        }
    }
    BooleanArray::from(large)
}

/// The statement with its aggregate replaced by the groups that were kept.
fn rest_of_plan(
    plan: &LogicalPlan,
    schema: SchemaRef,
    kept: Vec<RecordBatch>,
) -> datafusion::error::Result<LogicalPlan> {
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
