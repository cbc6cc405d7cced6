//! The shape of a statement that statistics accept: one aggregate over declared dimensions, with filters on them.

use std::collections::BTreeSet;

use arrow::datatypes::DataType;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{Aggregate, Expr, ExprSchemable, LogicalPlan};
use lingqu_domain::scope::ColumnName;

use super::total::check_total;
use crate::allow::{Refusal, RefusalCode};
use crate::session::{StatisticsRules, first_refused};

/// What is given of a group. The smallest, largest and middle value are those of one subject, and the guards of sums were not
/// made for squares or for distinct values (decision 0052).
const AGGREGATES: &[&str] = &["avg", "count", "sum"];
/// Most dimensions of an answer: the sums over each choice of them are guarded too.
pub(crate) const DIMENSIONS_MAX: usize = 6;

/// A column that is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Measure {
    /// The column as the statement names it.
    pub(crate) column: Expr,
    /// Its name in the table.
    pub(crate) name: String,
    /// True when its values are added up, so that one of them may dominate; false when it is only counted.
    pub(crate) is_added: bool,
}

/// What a statement asks.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Its aggregate.
    pub(crate) aggregate: &'a Aggregate,
    /// The measured columns.
    pub(crate) measures: Vec<Measure>,
    /// How many expressions it groups by.
    pub(crate) dimensions: usize,
    /// Whether totals stand beside their parts.
    pub(crate) is_rollup: bool,
}

/// Checks the shape of a statement.
pub(crate) fn question<'a>(
    state: &SessionState,
    plan: &'a LogicalPlan,
    rules: &StatisticsRules,
) -> Result<Question<'a>, Refusal> {
    let aggregate = find_aggregate(plan)?;
    let (groups, is_rollup) = groups_of(aggregate)?;
    for group in groups {
        check_dimensions(group, &rules.dimensions)?;
    }
    if is_rollup && groups.iter().enumerate().any(|(index, group)| groups[..index].contains(group)) {
        let what = "a ROLLUP names each dimension once";
        return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
    }
    if groups.len() > DIMENSIONS_MAX {
        let what = format!("at most {DIMENSIONS_MAX} dimensions may be grouped by");
        return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
    }
    let mut measures: Vec<Measure> = Vec::new();
    for expression in &aggregate.aggr_expr {
        for measure in measures_of(expression)? {
            check_added(&measure, aggregate)?;
            match measures.iter_mut().find(|known| known.name == measure.name) {
                Some(known) => known.is_added |= measure.is_added,
                None => measures.push(measure),
            }
        }
    }
    check_input(&aggregate.input, &rules.dimensions)?;
    // The types decide what can fail, so the plan is looked at with every cast written out.
    let analysed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
    let analysed = analysed.map_err(|_| not_an_aggregate())?;
    let written_out = find_aggregate(&analysed)?;
    for group in groups_of(written_out)?.0 {
        check_total(group, written_out.input.schema())?;
    }
    check_filters_total(&written_out.input)?;
    Ok(Question { aggregate, measures, dimensions: groups.len(), is_rollup })
}

pub(crate) fn not_an_aggregate() -> Refusal {
    let what = "only statistics are granted: ask for aggregates of one table, grouped and filtered by its dimensions";
    Refusal::new(RefusalCode::NotAnAggregate, what)
}

/// The aggregate below projections, filters, sorts, limits and aliases.
pub(crate) fn find_aggregate(plan: &LogicalPlan) -> Result<&Aggregate, Refusal> {
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

/// The grouping expressions, and whether they are a ROLLUP: one hierarchy, of which each total has its parts beside it.
pub(crate) fn groups_of(aggregate: &Aggregate) -> Result<(&[Expr], bool), Refusal> {
    match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(GroupingSet::Rollup(groups))] => Ok((groups, true)),
        groups if groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) => {
            let what = "of totals beside their parts only one ROLLUP over all dimensions is allowed, no CUBE and no GROUPING SETS: \
                        where totals cross, parts that were left out can be worked out from them";
            Err(Refusal::new(RefusalCode::AggregateNotAllowed, what))
        }
        groups => Ok((groups, false)),
    }
}

/// What is added up are numbers: a text that is none would make the answer fail, which tells that it is there.
fn check_added(measure: &Measure, aggregate: &Aggregate) -> Result<(), Refusal> {
    let found = measure.column.get_type(aggregate.input.schema());
    let is_number =
        found.is_ok_and(|found| matches!(found, DataType::Int64 | DataType::Float64 | DataType::Decimal128(..)));
    if measure.is_added && !is_number {
        let what = format!("`{}` is no number; it can be counted", measure.name);
        return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
    }
    Ok(())
}

/// Only filters on dimensions stand between the aggregate and the table.
pub(crate) fn check_input(input: &LogicalPlan, dimensions: &BTreeSet<ColumnName>) -> Result<(), Refusal> {
    let mut node = input;
    loop {
        check_no_subquery(node)?;
        node = match node {
            LogicalPlan::Filter(filter) => {
                check_dimensions(&filter.predicate, dimensions)?;
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::TableScan(_) => return Ok(()),
            _ => return Err(not_an_aggregate()),
        };
    }
}

pub(crate) fn check_filters_total(input: &LogicalPlan) -> Result<(), Refusal> {
    let mut node = input;
    loop {
        node = match node {
            LogicalPlan::Filter(filter) => {
                check_total(&filter.predicate, filter.input.schema())?;
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return Ok(()),
        };
    }
}

pub(crate) fn check_dimensions(expression: &Expr, dimensions: &BTreeSet<ColumnName>) -> Result<(), Refusal> {
    for used in expression.column_refs() {
        if !dimensions.iter().any(|dimension| dimension.as_str() == used.name) {
            let dimensions: Vec<String> = dimensions.iter().map(ToString::to_string).collect();
            let what = format!("`{}` is not a dimension; group and filter by {}", used.name, dimensions.join(", "));
            return Err(Refusal::new(RefusalCode::DimensionNotDeclared, what).granting(dimensions));
        }
    }
    Ok(())
}

/// The columns that an aggregate measures. A measure is a column as it stands: an expression such as
/// `sum(CASE WHEN id = 5 THEN salary END)` would single subjects out inside a large group.
fn measures_of(expression: &Expr) -> Result<Vec<Measure>, Refusal> {
    let refuse = |what: String| Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
    let call = match expression {
        Expr::AggregateFunction(call) => call,
        Expr::Alias(alias) => return measures_of(&alias.expr),
        _ => return Err(not_an_aggregate()),
    };
    let name = call.func.name();
    if !AGGREGATES.contains(&name) {
        return refuse(format!(
            "{name} is not given; use {}. Quantiles are given with noise alone",
            AGGREGATES.join(", ")
        ));
    }
    if call.params.filter.is_some() || !call.params.order_by.is_empty() {
        return refuse(
            "FILTER and ORDER BY inside an aggregate are not allowed; filter by dimensions in WHERE".to_owned(),
        );
    }
    if call.params.distinct {
        return refuse(
            "DISTINCT inside an aggregate is not allowed; distinct values are counted with noise alone".to_owned(),
        );
    }
    if call.params.args.len() > 1 {
        // The rows that have a value of each may be few where those of either are many.
        return refuse(format!("{name} takes one column as it stands; ask for each by itself"));
    }
    let mut measures = Vec::new();
    for argument in &call.params.args {
        match argument {
            Expr::Column(column) => measures.push(Measure {
                column: argument.clone(),
                name: column.name.clone(),
                is_added: name != "count",
            }),
            // count(*) is planned as count(1).
            Expr::Literal(..) if name == "count" => {}
            _ => return refuse(format!("{name} takes a column as it stands, not an expression")),
        }
    }
    Ok(measures)
}
