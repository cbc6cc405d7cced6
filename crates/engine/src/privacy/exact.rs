//! What the noise is added to: the parts of a question, exactly, each bounded in what one subject can change.
//!
//! Of each subject at most the declared number of rows is used, over all groups together. Which of more is decided by a keyed
//! digest of the rows, so by the subject's own rows alone: a subject that comes or goes moves nobody else's. A measured value
//! is a whole number of steps within its bounds. From these two follows how far the parts of neighbouring tables (those that
//! differ by one subject) can be apart: see [`Exact::sensitivity`].

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Decimal128Type, Field, Int64Type};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::expr_fn::{count, count_distinct, sum};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder, cast, lit};
use lingqu_domain::scope::ColumnName;
use tokio::time::Instant;

use super::NoisedRules;
use super::mechanism::Quantile;
use super::public::{PublicGroups, too_many_groups};
use super::question::{Part, Question};
use crate::allow::{Refusal, RefusalCode};
use crate::engine::Engine;
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise};
use crate::governed::{GovernedTable, HiddenColumns};
use crate::guard::with_columns;
use crate::predicate::column;
use crate::session::start;

/// The subject of a row; none where it has none and stands for itself.
const UNIT_COLUMN: &str = "__unit";
/// Keyed digest of the row, by which those of a subject are put in order.
const TURN_COLUMN: &str = "__turn";
/// The row's place among those of its subject.
const PLACE_COLUMN: &str = "__place";
/// Most counts of values by group and position that a quantile is worked out from.
const POSITIONS_MAX: usize = 2_000_000;

/// The exact parts of a question, for each public group.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Exact {
    /// Counts and sums.
    pub(crate) numbers: BTreeMap<Part, Vec<i64>>,
    /// For each quantile the counts of values by position among the candidates, group after group.
    pub(crate) positions: BTreeMap<Part, Vec<Vec<u64>>>,
}

impl Exact {
    /// How far the numbers of a part are apart, in the Euclidean norm over all groups, between tables that differ by one
    /// subject with at most `rows` rows: all of them may be in one group, and each adds at most the furthest bound.
    pub(crate) fn sensitivity(part: &Part, rows: u32, question: &Question) -> u64 {
        let rows = u64::from(rows);
        match part {
            Part::Rows | Part::Values(_) | Part::Distinct(_) | Part::Quantile(..) => rows,
            Part::Sum(column) => {
                rows.saturating_mul(question.bounds_of(column).map_or(u64::MAX, |bounds| bounds.reach()))
            }
        }
    }
}

/// Refuses what would need more counts than are kept, by what is declared alone.
pub(crate) fn check(question: &Question, groups: usize) -> Result<(), Refusal> {
    for part in &question.parts {
        if let Part::Quantile(column, _) = part
            && positions(question, column).saturating_mul(groups) > POSITIONS_MAX
        {
            let what = format!(
                "quantiles of `{column}` in {groups} groups need more than {POSITIONS_MAX} counts; group by fewer dimensions"
            );
            return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
        }
    }
    Ok(())
}

fn positions(question: &Question, column: &ColumnName) -> usize {
    question.bounds_of(column).map_or(1, |bounds| bounds.candidates.len() * 2 + 1)
}

/// Where and within which limits it runs.
pub(crate) struct Running<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) state: &'a SessionState,
    pub(crate) task: &'a Arc<TaskContext>,
    pub(crate) limits: &'a Limits,
    pub(crate) deadline: Instant,
}

/// Works the exact parts out.
pub(crate) async fn parts(
    running: &Running<'_>,
    question: &Question,
    rules: &NoisedRules,
    table: &GovernedTable,
    groups: &PublicGroups,
) -> Result<Exact, EngineError> {
    check(question, groups.count())?;
    let bounded = bounded(question, rules, table, groups)?;
    let mut exact = Exact::default();
    let numbers: Vec<&Part> = question.parts.iter().filter(|part| !matches!(part, Part::Quantile(..))).collect();
    if !numbers.is_empty() {
        let plan = numbers_plan(&bounded, question, &numbers).map_err(|error| sanitise(&error))?;
        let batches = run(running, &plan, groups.count()).await?;
        exact.numbers = numbers_of(&batches, &numbers, question, groups).map_err(|error| sanitise(&error))?;
    }
    let mut counted: BTreeMap<&ColumnName, Vec<Vec<u64>>> = BTreeMap::new();
    for part in &question.parts {
        let Part::Quantile(column, _) = part else { continue };
        if !counted.contains_key(column) {
            let plan = positions_plan(&bounded, question, column).map_err(|error| sanitise(&error))?;
            let wide = positions(question, column);
            let batches = run(running, &plan, groups.count().saturating_mul(wide)).await?;
            let counts = positions_of(&batches, wide, question, groups).map_err(|error| sanitise(&error))?;
            counted.insert(column, counts);
        }
        exact.positions.insert(part.clone(), counted[column].clone());
    }
    Ok(exact)
}

/// The rows of public groups, at most so many of each subject.
fn bounded(
    question: &Question,
    rules: &NoisedRules,
    table: &GovernedTable,
    groups: &PublicGroups,
) -> Result<LogicalPlan, EngineError> {
    let unit = rules.contributors.subject(table)?;
    let made = || -> DataFusionResult<LogicalPlan> {
        let mut plan = question.input.clone();
        if let Some(unit) = &unit {
            let turn = rules.contributors.digest("turn of a noised row", rules.contributors.row_key());
            let hidden = vec![
                (Field::new(UNIT_COLUMN, unit.data_type.clone(), true), unit.person.clone()),
                (Field::new(TURN_COLUMN, DataType::Int64, true), turn),
            ];
            plan = with_columns(&plan, &HiddenColumns::Made(Arc::new(hidden)))?;
        }
        let mut plan = LogicalPlanBuilder::from(plan);
        if let Some(condition) = &groups.condition {
            plan = plan.filter(condition.clone())?;
        }
        if unit.is_some() {
            let place = row_number()
                .partition_by(vec![column(UNIT_COLUMN)])
                .order_by(vec![column(TURN_COLUMN).sort(true, false)])
                .build()?
                .alias(PLACE_COLUMN);
            let most = u64::from(rules.noise.rows_per_subject_max);
            let kept = column(PLACE_COLUMN).lt_eq(lit(most)).or(column(UNIT_COLUMN).is_null());
            plan = plan.window(vec![place])?.filter(kept)?;
        }
        plan.build()
    };
    made().map_err(|error| sanitise(&error))
}

fn group_columns(question: &Question) -> Vec<Expr> {
    let named = question.groups.values().enumerate();
    named.map(|(place, group)| group.clone().unalias_nested().data.alias(format!("g{place}"))).collect()
}

fn numbers_plan(bounded: &LogicalPlan, question: &Question, parts: &[&Part]) -> DataFusionResult<LogicalPlan> {
    let mut expressions = Vec::with_capacity(parts.len());
    for (place, part) in parts.iter().enumerate() {
        let units = |name: &ColumnName| {
            let shown = column(name.as_str());
            question.bounds_of(name).map_or_else(|| shown.clone(), |bounds| bounds.units(shown.clone()))
        };
        let expression = match part {
            Part::Rows => count(lit(1_i64)),
            // Of a column with bounds only what can be added up counts as a value.
            Part::Values(name) => count(units(name)),
            Part::Distinct(name) => count_distinct(column(name.as_str())),
            // In 128 bits, where no table is large enough to make a sum wrap around.
            Part::Sum(name) => sum(cast(units(name), DataType::Decimal128(19, 0))),
            Part::Quantile(..) => continue,
        };
        expressions.push(expression.alias(format!("p{place}")));
    }
    LogicalPlanBuilder::from(bounded.clone()).aggregate(group_columns(question), expressions)?.build()
}

fn positions_plan(bounded: &LogicalPlan, question: &Question, name: &ColumnName) -> DataFusionResult<LogicalPlan> {
    let shown = column(name.as_str());
    let position = question.bounds_of(name).map_or_else(|| lit(0_i64), |bounds| bounds.position(shown));
    let mut groups = group_columns(question);
    groups.push(position.alias("position"));
    LogicalPlanBuilder::from(bounded.clone()).aggregate(groups, vec![count(lit(1_i64)).alias("count")])?.build()
}

/// Runs a plan that has at most so many rows, by what is declared.
async fn run(running: &Running<'_>, plan: &LogicalPlan, rows: usize) -> Result<Vec<RecordBatch>, EngineError> {
    let stream = start(running.engine, running.state, plan, Arc::clone(running.task)).await?;
    // One group more for values that are none, in each.
    let limits = Limits { rows_max: (rows as u64).saturating_mul(2).saturating_add(1), ..*running.limits };
    let mut batches = LimitedBatches::new(stream, limits, running.deadline);
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        found.push(match batch {
            Ok(batch) => batch,
            // Rows of other than public groups were left out, so there are no more.
            Err(EngineError::TooManyRows { .. }) => return Err(too_many_groups().into()),
            Err(other) => return Err(other),
        });
    }
    Ok(found)
}

fn numbers_of(
    batches: &[RecordBatch],
    parts: &[&Part],
    question: &Question,
    groups: &PublicGroups,
) -> DataFusionResult<BTreeMap<Part, Vec<i64>>> {
    let mut numbers: BTreeMap<Part, Vec<i64>> =
        parts.iter().map(|part| ((*part).clone(), vec![0; groups.count()])).collect();
    for batch in batches {
        let places = groups.places_of(batch)?;
        for (index, part) in parts.iter().enumerate() {
            let found = batch.column(question.groups.len() + index);
            let numbers = numbers.entry((*part).clone()).or_default();
            for (row, place) in places.iter().enumerate() {
                if let Some(place) = place
                    && found.is_valid(row)
                {
                    numbers[*place] = match found.data_type() {
                        DataType::Decimal128(..) => saturated(found.as_primitive::<Decimal128Type>().value(row)),
                        _ => found.as_primitive::<Int64Type>().value(row),
                    };
                }
            }
        }
    }
    Ok(numbers)
}

/// A sum in 64 bits. Cutting it off there moves no two sums further apart than they were.
fn saturated(sum: i128) -> i64 {
    i64::try_from(sum).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

fn positions_of(
    batches: &[RecordBatch],
    wide: usize,
    question: &Question,
    groups: &PublicGroups,
) -> DataFusionResult<Vec<Vec<u64>>> {
    let mut counts = vec![vec![0; wide]; groups.count()];
    for batch in batches {
        let places = groups.places_of(batch)?;
        let positions = batch.column(question.groups.len()).as_primitive::<Int64Type>();
        let found = batch.column(question.groups.len() + 1).as_primitive::<Int64Type>();
        for (row, place) in places.iter().enumerate() {
            if positions.is_null(row) {
                continue;
            }
            let position = usize::try_from(positions.value(row)).ok().filter(|position| *position < wide);
            if let (Some(place), Some(position)) = (place, position) {
                counts[*place][position] = u64::try_from(found.value(row)).unwrap_or(0);
            }
        }
    }
    Ok(counts)
}

/// The quantile of a part.
pub(crate) fn quantile_of(part: &Part) -> Option<(&ColumnName, Quantile)> {
    match part {
        Part::Quantile(column, quantile) => Some((column, *quantile)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
