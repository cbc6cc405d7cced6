//! Running a rule set over snapshots.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use jiff::Timestamp;
use lingqu_domain::calendar::beijing;
use lingqu_engine::internal::{InternalSession, internal_session};
use lingqu_engine::{Engine, Limits, SchemaView, TableFiles};

use crate::compile::{Failing, RulePlan, TablePlan, compile};
use crate::report::{Finding, Report, TableCount, dimension_scores};
use crate::rule::{Demand, Rule, RuleSet};
use crate::{EXAMPLES_MAX, QualityError};

/// How far a run has come. Given before each statement, and once more at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress<'a> {
    /// Rules that are decided.
    pub rules_done: usize,
    /// Rules of the set.
    pub rules: usize,
    /// The table that is read next; nothing at the end.
    pub table: Option<&'a str>,
    /// The rule that is worked on; nothing for the pass over a table that serves all of its rules.
    pub rule: Option<&'a str>,
}

/// Runs a rule set over named tables and gathers the report. `started_at` is the moment from which ages are measured;
/// say when it ended with [`Report::finished`]. Every rule is compiled before the first row is read, so a wrong rule
/// costs nothing. `limits` hold for each statement. The tables' order does not matter; tables that no rule names may be
/// among them.
///
/// Errors: the rule set is wrong or does not fit the tables; a statement failed or met a limit.
pub async fn run(
    engine: &Arc<Engine>,
    tables: &[(&str, Arc<TableFiles>)],
    limits: Limits,
    rule_set: &RuleSet,
    started_at: Timestamp,
    progress: &mut (dyn FnMut(Progress<'_>) + Send),
) -> Result<Report, QualityError> {
    rule_set.check()?;
    let schemas = schemas(tables);
    let mut plans = Vec::new();
    for table in rule_set.tables() {
        plans.push(compile(rule_set, table, &schemas, started_at)?);
    }
    let session = internal_session(engine, tables, limits)
        .map_err(|source| QualityError::Engine { table: "all tables".to_owned(), source })?;

    let mut counts = Vec::with_capacity(plans.len());
    // By place in the set: rules of one table need not stand together.
    let mut findings: BTreeMap<usize, Finding> = BTreeMap::new();
    for plan in &plans {
        let mut tell = |rules_done: usize, rule: Option<&str>| {
            progress(Progress { rules_done, rules: rule_set.rules.len(), table: Some(&plan.table), rule });
        };
        tell(findings.len(), None);
        let pass = Numbers::of(&session, &plan.table, &plan.statement).await?;
        let row_count = pass.count(0)?;
        counts.push(TableCount { table: plan.table.clone(), row_count });
        for planned in &plan.rules {
            let rule = &rule_set.rules[planned.rule];
            tell(findings.len(), Some(&rule.id));
            let mut finding = judge(&session, plan, planned, rule, &pass, started_at).await?;
            if let (Some(examples), true) = (&planned.examples, finding.failing_count > 0) {
                finding.example_rows = row_numbers(&session, &plan.table, examples).await?;
            }
            findings.insert(planned.rule, finding);
        }
    }
    let findings: Vec<Finding> = findings.into_values().collect();
    progress(Progress { rules_done: findings.len(), rules: rule_set.rules.len(), table: None, rule: None });
    Ok(Report {
        rule_set: rule_set.name.clone(),
        version: rule_set.version.clone(),
        started_at,
        finished_at: None,
        tables: counts,
        dimensions: dimension_scores(&findings),
        findings,
    })
}

/// What the columns of each table are. A table with a column that governed data can't have is left out, and a rule
/// that names it is told that it is not there; no snapshot has one.
fn schemas(tables: &[(&str, Arc<TableFiles>)]) -> BTreeMap<String, SchemaView> {
    let mut schemas = BTreeMap::new();
    for (name, files) in tables {
        if let Some(schema) = SchemaView::of_arrow(&files.arrow_schema()) {
            schemas.insert((*name).to_owned(), schema);
        }
    }
    schemas
}

/// One rule, from the table's pass or its own statement.
async fn judge(
    session: &InternalSession,
    plan: &TablePlan,
    planned: &RulePlan,
    rule: &Rule,
    pass: &Numbers,
    started_at: Timestamp,
) -> Result<Finding, QualityError> {
    let checked_count = pass.count(planned.checked_at)?;
    Ok(match &planned.failing {
        Failing::At(place) => Finding::new(rule, checked_count, pass.count(*place)?),
        Failing::Statement(statement) => {
            let own = Numbers::of(session, &plan.table, statement).await?;
            Finding { failing_key_count: Some(own.count(1)?), ..Finding::new(rule, checked_count, own.count(0)?) }
        }
        Failing::Newest { at, is_zoned } => {
            let age_days = pass.value(*at)?.map(|newest| age_days(newest, *is_zoned, started_at));
            let is_late = match (age_days, &rule.demand) {
                (Some(age), Demand::NewestWithin { days }) => age > i64::from(*days),
                // A table without any time is as late as can be.
                _ => true,
            };
            Finding { age_days, ..Finding::new(rule, 1, u64::from(is_late)) }
        }
        Failing::Rows => {
            let is_short = matches!(rule.demand, Demand::RowsAtLeast { count } if checked_count < count);
            Finding::new(rule, 1, u64::from(is_short))
        }
    })
}

/// Whole days from a moment to the run; negative for a moment that lies ahead.
fn age_days(newest_seconds: i64, is_zoned: bool, started_at: Timestamp) -> i64 {
    let offset = if is_zoned { 0 } else { i64::from(beijing().to_offset(started_at).seconds()) };
    (started_at.as_second() + offset).saturating_sub(newest_seconds).div_euclid(86_400)
}

/// The one row of whole numbers that a counting statement gives.
struct Numbers {
    table: String,
    values: Vec<Option<i64>>,
}

impl Numbers {
    async fn of(session: &InternalSession, table: &str, statement: &str) -> Result<Numbers, QualityError> {
        let batches = query(session, table, statement).await?;
        let mut values = Vec::new();
        let mut rows = 0;
        for batch in &batches {
            rows += batch.num_rows();
            for column in batch.columns() {
                let numbers = column.as_primitive_opt::<Int64Type>().ok_or_else(|| unexpected(table))?;
                values.extend(numbers.iter());
            }
        }
        if rows != 1 {
            return Err(unexpected(table));
        }
        Ok(Numbers { table: table.to_owned(), values })
    }

    fn value(&self, place: usize) -> Result<Option<i64>, QualityError> {
        self.values.get(place).copied().ok_or_else(|| unexpected(&self.table))
    }

    fn count(&self, place: usize) -> Result<u64, QualityError> {
        let value = self.value(place)?.ok_or_else(|| unexpected(&self.table))?;
        u64::try_from(value).map_err(|_| unexpected(&self.table))
    }
}

async fn row_numbers(session: &InternalSession, table: &str, statement: &str) -> Result<Vec<u64>, QualityError> {
    let mut rows = Vec::new();
    for batch in query(session, table, statement).await? {
        let numbers = batch.columns().first().and_then(|column| column.as_primitive_opt::<Int64Type>());
        let numbers = numbers.filter(|numbers| numbers.null_count() == 0).ok_or_else(|| unexpected(table))?;
        for number in numbers.values() {
            rows.push(u64::try_from(*number).map_err(|_| unexpected(table))?);
        }
    }
    if rows.len() > EXAMPLES_MAX {
        return Err(unexpected(table));
    }
    Ok(rows)
}

async fn query(session: &InternalSession, table: &str, statement: &str) -> Result<Vec<RecordBatch>, QualityError> {
    session.query(statement).await.map_err(|source| QualityError::Engine { table: table.to_owned(), source })
}

fn unexpected(table: &str) -> QualityError {
    QualityError::Answer { table: table.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::age_days;

    #[test]
    fn ages_are_whole_days_on_the_clock_of_the_value() {
        let run = "2026-11-24T17:00:00Z".parse().unwrap();
        let seconds = |text: &str| text.parse::<jiff::Timestamp>().unwrap().as_second();
        assert_eq!(age_days(seconds("2026-11-23T17:00:00Z"), true, run), 1);
        assert_eq!(age_days(seconds("2026-11-23T17:00:01Z"), true, run), 0);
        // In Beijing it is 01:00 on the 25th: a value of the 25th is of today, one of the 24th a day old.
        assert_eq!(age_days(seconds("2026-11-25T00:00:00Z"), false, run), 0);
        assert_eq!(age_days(seconds("2026-11-24T00:00:00Z"), false, run), 1);
        assert_eq!(age_days(seconds("2026-11-26T00:00:00Z"), false, run), -1);
    }
}
