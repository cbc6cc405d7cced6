//! What a statement asks of statistics with noise, in a form that is the same for all ways to ask it.
//!
//! A question is a set of conditions, a set of groupings and a set of measured [`Part`]s. Names of tables, the order in which
//! things are written, projections, HAVING, sorting and limits are no part of it: they are applied to the noised parts
//! afterwards. So whoever asks the same in other words gets the same noise, for nothing, and can't average it away.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::utils::split_conjunction_owned;
use datafusion::logical_expr::{Expr, LogicalPlan};
use lingqu_domain::privacy::NoiseRules;
use lingqu_domain::scope::ColumnName;
use sha2::{Digest, Sha256};

use super::NoisedRules;
use super::mechanism::Quantile;
use super::units::UnitBounds;
use crate::allow::{Refusal, RefusalCode};
use crate::guard::shape::{
    DIMENSIONS_MAX, check_dimensions, check_filters_total, check_input, find_aggregate, groups_of, not_an_aggregate,
};
use crate::guard::total::check_total;
use crate::predicate::column;

/// Most measured parts of a question: its price is divided among them.
pub(crate) const PARTS_MAX: usize = 16;

/// Something that is measured with noise of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Part {
    /// Rows of a group.
    Rows,
    /// Rows that have a value of a column.
    Values(ColumnName),
    /// Distinct values of a column.
    Distinct(ColumnName),
    /// The sum of a column, in its steps.
    Sum(ColumnName),
    /// A quantile of a column, in its steps.
    Quantile(ColumnName, Quantile),
}

/// How an aggregate of the statement is made of parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Output {
    /// A count, as it stands.
    Count(Part),
    /// A number of steps of a column.
    Steps(Part, ColumnName),
    /// A sum of steps of a column by a count of its values.
    Mean(ColumnName),
}

/// What a statement asks.
#[derive(Debug)]
pub(crate) struct Question {
    /// What lies below the aggregate: the table, under its aliases and conditions, with types written out.
    pub(crate) input: LogicalPlan,
    /// The groupings by their canonical text, in its order, without doubles.
    pub(crate) groups: BTreeMap<String, Expr>,
    /// For each grouping of the statement, in its order, the canonical text.
    pub(crate) group_texts: Vec<String>,
    /// The conditions by their canonical text.
    pub(crate) conditions: BTreeMap<String, Expr>,
    /// What is measured, in order.
    pub(crate) parts: BTreeSet<Part>,
    /// What the statement's aggregates are made of, in their order.
    pub(crate) outputs: Vec<Output>,
    /// The bounds of the measured columns.
    pub(crate) bounds: BTreeMap<ColumnName, UnitBounds>,
}

impl Question {
    /// Checks a statement's form and reads it. Nothing of the data is looked at.
    pub(crate) fn of(state: &SessionState, plan: &LogicalPlan, rules: &NoisedRules) -> Result<Question, Refusal> {
        let aggregate = find_aggregate(plan)?;
        let (written_groups, is_rollup) = groups_of(aggregate)?;
        if is_rollup {
            let what = "ROLLUP is not needed with noise: add up the groups, which costs nothing, or ask for the total by itself";
            return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
        }
        if written_groups.len() > DIMENSIONS_MAX {
            let what = format!("at most {DIMENSIONS_MAX} dimensions may be grouped by");
            return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
        }
        for group in written_groups {
            check_dimensions(group, &rules.dimensions)?;
        }
        let mut reading = Reading { noise: &rules.noise, parts: BTreeSet::new(), bounds: BTreeMap::new() };
        let mut outputs = Vec::with_capacity(aggregate.aggr_expr.len());
        for expression in &aggregate.aggr_expr {
            outputs.push(reading.output(expression)?);
        }
        let Reading { parts, bounds, .. } = reading;
        if parts.len() > PARTS_MAX {
            let what = format!(
                "the statement measures {} things, at most {PARTS_MAX} are noised at a time; ask for fewer",
                parts.len()
            );
            return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
        }
        check_input(&aggregate.input, &rules.dimensions)?;
        // The types decide what can fail, so the plan is looked at with every cast written out.
        let analysed = state.analyzer().execute_and_check(plan.clone(), state.config_options(), |_, _| {});
        let analysed = analysed.map_err(|_| not_an_aggregate())?;
        let analysed = find_aggregate(&analysed)?;
        let mut groups = BTreeMap::new();
        let mut group_texts = Vec::new();
        for group in groups_of(analysed)?.0 {
            check_total(group, analysed.input.schema())?;
            let text = canonical(group).map_err(|_| not_an_aggregate())?;
            groups.entry(text.clone()).or_insert_with(|| group.clone());
            group_texts.push(text);
        }
        check_filters_total(&analysed.input)?;
        let mut conditions = BTreeMap::new();
        for condition in conditions_of(&analysed.input) {
            let text = canonical(&condition).map_err(|_| not_an_aggregate())?;
            conditions.insert(text, condition);
        }
        let input = analysed.input.as_ref().clone();
        Ok(Question { input, groups, group_texts, conditions, parts, outputs, bounds })
    }

    /// Digest of the question over the data and under the rules that `context` names. The same digest has one answer for
    /// ever.
    pub(crate) fn digest(&self, rules: &NoisedRules) -> String {
        let mut text = Vec::new();
        let mut add = |part: &str| {
            text.extend((part.len() as u64).to_be_bytes());
            text.extend(part.as_bytes());
        };
        add("lingqu noised question 2");
        add(&rules.context);
        for (name, list) in [("conditions", self.conditions.keys()), ("groups", self.groups.keys())] {
            add(name);
            add(&list.len().to_string());
            list.for_each(|text| add(text));
        }
        add("parts");
        for part in &self.parts {
            add(&match part {
                Part::Rows => "rows".to_owned(),
                Part::Values(column) => format!("values {column}"),
                Part::Distinct(column) => format!("distinct {column}"),
                Part::Sum(column) => format!("sum {column}"),
                Part::Quantile(column, quantile) => format!("quantile {} {column}", quantile.parts()),
            });
        }
        hex::encode(Sha256::digest(&text))
    }

    /// The dimensions that the groupings look at.
    pub(crate) fn grouped_columns(&self) -> BTreeSet<String> {
        let mut columns = BTreeSet::new();
        for group in self.groups.values() {
            columns.extend(group.column_refs().into_iter().map(|used| used.name.clone()));
        }
        columns
    }

    /// The step of a measured column, in billionths, and its bounds.
    pub(crate) fn bounds_of(&self, column: &ColumnName) -> Option<&UnitBounds> {
        self.bounds.get(column)
    }
}

/// The parts that the aggregates of a statement ask for.
struct Reading<'a> {
    noise: &'a NoiseRules,
    parts: BTreeSet<Part>,
    bounds: BTreeMap<ColumnName, UnitBounds>,
}

impl Reading<'_> {
    fn output(&mut self, expression: &Expr) -> Result<Output, Refusal> {
        let call = match expression {
            Expr::AggregateFunction(call) => call,
            Expr::Alias(alias) => return self.output(&alias.expr),
            _ => return Err(not_an_aggregate()),
        };
        let name = call.func.name();
        if call.params.filter.is_some() {
            return refused("FILTER inside an aggregate is not allowed; filter by dimensions in WHERE");
        }
        if call.params.distinct && name != "count" {
            return refused("DISTINCT is allowed in count only");
        }
        match name {
            "count" => self.count(call),
            "sum" => {
                let column = self.measured(call, 1)?;
                let part = self.part(Part::Sum(column.clone()));
                Ok(Output::Steps(part, column))
            }
            "avg" => {
                let column = self.measured(call, 1)?;
                self.part(Part::Sum(column.clone()));
                self.part(Part::Values(column.clone()));
                Ok(Output::Mean(column))
            }
            "median" => self.quantile(call, 1, Quantile::MEDIAN),
            "percentile_cont" => {
                let Some(quantile) = call.params.args.get(1).and_then(literal_fraction).and_then(Quantile::new) else {
                    return refused(
                        "percentile_cont takes a constant between 0 and 1, without these, of at most four decimals: \
                         percentile_cont(0.9) WITHIN GROUP (ORDER BY column)",
                    );
                };
                let is_descending = call.params.order_by.first().is_some_and(|sort| !sort.asc);
                self.quantile(call, 2, if is_descending { quantile.reversed() } else { quantile })
            }
            other => {
                refused(format!("{other} is not given with noise; use count, sum, avg, median or percentile_cont"))
            }
        }
    }

    fn count(&mut self, call: &AggregateFunction) -> Result<Output, Refusal> {
        let part = match call.params.args.as_slice() {
            // count(*) is planned as count(1).
            [Expr::Literal(value, _)] if !value.is_null() && !call.params.distinct => Part::Rows,
            [Expr::Column(column)] => {
                let name = ColumnName::new(column.name.as_str()).map_err(|_| not_an_aggregate())?;
                if let Some(declared) = self.noise.measures.get(&name) {
                    let bounds = UnitBounds::of(declared).ok_or_else(not_an_aggregate)?;
                    self.bounds.insert(name.clone(), bounds);
                }
                if call.params.distinct { Part::Distinct(name) } else { Part::Values(name) }
            }
            _ => return refused("count takes `*` or a column as it stands, not an expression"),
        };
        if !call.params.order_by.is_empty() {
            return refused("ORDER BY inside an aggregate is not allowed");
        }
        Ok(Output::Count(self.part(part)))
    }

    fn quantile(&mut self, call: &AggregateFunction, arguments: usize, of: Quantile) -> Result<Output, Refusal> {
        let column = self.measured(call, arguments)?;
        if self.bounds.get(&column).is_some_and(|bounds| bounds.candidates.is_empty()) {
            return refused(format!("no candidates are declared for quantiles of `{column}`; ask for its average"));
        }
        let part = self.part(Part::Quantile(column.clone(), of));
        Ok(Output::Steps(part, column))
    }

    /// The measured column, which stands as it is and has declared bounds.
    fn measured(&mut self, call: &AggregateFunction, arguments: usize) -> Result<ColumnName, Refusal> {
        let found = match call.params.args.first() {
            Some(Expr::Column(column)) if call.params.args.len() == arguments => column,
            _ => return refused(format!("{} takes a column as it stands, not an expression", call.func.name())),
        };
        let is_ordered_otherwise = call.params.order_by.iter().any(|sort| sort.expr != call.params.args[0]);
        if is_ordered_otherwise || (arguments == 1 && !call.params.order_by.is_empty()) {
            return refused("ORDER BY inside an aggregate is not allowed");
        }
        let name = ColumnName::new(found.name.as_str()).map_err(|_| not_an_aggregate())?;
        let Some(declared) = self.noise.measures.get(&name) else {
            let measures: Vec<String> = self.noise.measures.keys().map(ToString::to_string).collect();
            let what = format!(
                "`{name}` has no declared bounds, so it can't be added up with noise; it can be counted. Bounds are declared for: {}",
                measures.join(", ")
            );
            return Err(Refusal::new(RefusalCode::AggregateNotAllowed, what));
        };
        let bounds = UnitBounds::of(declared).ok_or_else(not_an_aggregate)?;
        self.bounds.insert(name.clone(), bounds);
        Ok(name)
    }

    fn part(&mut self, part: Part) -> Part {
        self.parts.insert(part.clone());
        part
    }
}

fn refused<T>(what: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::new(RefusalCode::AggregateNotAllowed, what))
}

fn literal_fraction(expression: &Expr) -> Option<f64> {
    let Expr::Literal(value, _) = expression else { return None };
    match value.cast_to(&DataType::Float64) {
        Ok(ScalarValue::Float64(fraction)) => fraction,
        _ => None,
    }
}

/// The conditions between an aggregate and its table.
fn conditions_of(input: &LogicalPlan) -> Vec<Expr> {
    let mut conditions = Vec::new();
    let mut node = input;
    loop {
        node = match node {
            LogicalPlan::Filter(filter) => {
                conditions.extend(split_conjunction_owned(filter.predicate.clone()));
                &filter.input
            }
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            _ => return conditions,
        };
    }
}

/// An expression as a text that is the same whatever the table is called: columns without qualifiers, no aliases, listed
/// values in order, texts in hexadecimal and every part in brackets, so that no expression can pass for another.
fn canonical(expression: &Expr) -> DataFusionResult<String> {
    let written = expression.clone().transform_up(|part| {
        let plain = match part {
            Expr::Column(named) => column(&named.name),
            Expr::Alias(alias) => return Ok(Transformed::yes(*alias.expr)),
            Expr::Literal(value, _) => Expr::Literal(coded(value), None),
            Expr::InList(mut list) => {
                list.list.sort_by_cached_key(ToString::to_string);
                list.list.dedup();
                Expr::InList(list)
            }
            other => other,
        };
        // A column of that name stands for the part in what it is a part of.
        Ok(Transformed::yes(column(&format!("({plain})"))))
    });
    Ok(written.data()?.to_string())
}

fn coded(value: ScalarValue) -> ScalarValue {
    let hexadecimal = |text: &str| text.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    match value {
        ScalarValue::Utf8(Some(text)) => ScalarValue::Utf8(Some(hexadecimal(&text))),
        ScalarValue::LargeUtf8(Some(text)) => ScalarValue::LargeUtf8(Some(hexadecimal(&text))),
        ScalarValue::Utf8View(Some(text)) => ScalarValue::Utf8View(Some(hexadecimal(&text))),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit, not};

    use super::*;

    fn text(expression: &Expr) -> String {
        canonical(expression).expect("an expression that can be written")
    }

    #[test]
    fn different_questions_have_different_texts() {
        let (a, b) = (|| col("a"), || col("b"));
        for (one, other) in [
            (not(a().or(b())), not(a()).or(b())),
            (a() - (b() - col("c")), a() - b() - col("c")),
            (a().or(b()).is_true(), a().or(b().is_true())),
            (not(a().is_true()), not(a()).is_true()),
            (a().eq(lit("b")), a().eq(b())),
            (a().in_list(vec![b()], false).is_null(), a().in_list(vec![b().is_null()], false)),
        ] {
            assert_ne!(text(&one), text(&other), "{one} and {other}");
        }
    }

    #[test]
    fn the_same_question_has_one_text() {
        let written = col("t.a").in_list(vec![lit("x"), lit("y")], false);
        let otherwise = col("a").alias("z").in_list(vec![lit("y"), lit("x").alias("w"), lit("y")], false).alias("v");
        assert_eq!(text(&written), text(&otherwise));
    }
}
