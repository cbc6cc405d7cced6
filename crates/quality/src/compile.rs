//! Rules to SQL. All row-wise and table-wise rules of a table become one statement with one scan; a rule about keys
//! becomes a statement of its own, because it needs a hash table of the keys.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::{ColumnType, ROW_COLUMN, SchemaView};

use crate::expression::{Columns, applicable, conditions, identifier, satisfied};
use crate::rule::{Demand, Rule, RuleSet};
use crate::{EXAMPLES_MAX, QualityError};

/// The statements of one table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TablePlan {
    /// The table.
    pub table: String,
    /// One row of whole numbers: the rows of the table, then for each rule what [`RulePlan`] says.
    pub statement: String,
    /// One for each rule of the table, in the order of the set.
    pub rules: Vec<RulePlan>,
}

/// Where the counts of one rule come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RulePlan {
    /// Place of the rule in the set.
    pub rule: usize,
    /// Place in the table's statement of the rows that the rule looks at.
    pub checked_at: usize,
    /// Where its failing rows are counted.
    pub failing: Failing,
    /// Gives the numbers of the first failing rows; nothing for rules about the whole table.
    pub examples: Option<String>,
}

/// Where failing rows are counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failing {
    /// In the table's statement, at this place.
    At(usize),
    /// In a statement of its own, whose one row has the failing rows and the distinct keys among them.
    Statement(String),
    /// In the table's statement, at this place, as the newest day or time of a column: seconds since 1970, of a clock
    /// in UTC when `is_zoned`, else of a clock in Beijing. NULL when there is none.
    Newest {
        /// The place.
        at: usize,
        /// Whether the seconds count from 1970 in UTC.
        is_zoned: bool,
    },
    /// It is the number of rows that the rule looks at which counts.
    Rows,
}

/// Compiles the rules of one table of a set. `schemas` has every table of the session; `now` is the moment of the run.
/// Errors: the rule names a table or column that is not there, or a column of a type that its demand can't judge.
pub fn compile(
    rule_set: &RuleSet,
    table: &str,
    schemas: &BTreeMap<String, SchemaView>,
    now: Timestamp,
) -> Result<TablePlan, QualityError> {
    let mut pass = Pass::default();
    let mut rules = Vec::new();
    for (index, rule) in rule_set.rules.iter().enumerate() {
        if rule.table != table {
            continue;
        }
        let columns = Columns { rule, table, schema: schema_of(schemas, table, rule)? };
        let looked_at = applicable(&columns)?;
        let checked_at = pass.count(&looked_at);
        let (failing, examples) = match (&rule.demand, satisfied(&columns, now)?) {
            (_, Some(satisfied)) => {
                let fails = format!("{looked_at} AND NOT coalesce({satisfied}, FALSE)");
                (Failing::At(pass.count(&fails)), Some(rows_where(table, &fails)))
            }
            (Demand::Unique, None) => unique(&columns, &looked_at),
            (Demand::ExistsIn { table: other, columns: named, only_where }, None) => {
                let others = Columns { rule, table: other, schema: schema_of(schemas, other, rule)? };
                let wanted = conditions(&others, only_where)?;
                exists_in(&columns, &looked_at, &others, named, &wanted)?
            }
            (Demand::NewestWithin { .. }, None) => {
                let (expression, is_zoned) = newest(&columns)?;
                // A newest value is looked for among the rows that the rule looks at.
                let at = pass.newest(&format!("CASE WHEN {looked_at} THEN {expression} END"));
                (Failing::Newest { at, is_zoned }, None)
            }
            (_, None) => (Failing::Rows, None),
        };
        rules.push(RulePlan { rule: index, checked_at, failing, examples });
    }
    let statement = pass.statement(table);
    Ok(TablePlan { table: table.to_owned(), statement, rules })
}

fn schema_of<'a>(
    schemas: &'a BTreeMap<String, SchemaView>,
    table: &str,
    rule: &Rule,
) -> Result<&'a SchemaView, QualityError> {
    schemas.get(table).ok_or_else(|| QualityError::NoSuchTable { rule: rule.id.clone(), table: table.to_owned() })
}

/// The one pass over a table. What each row contributes is computed under a name of its own in an inner query and
/// aggregated outside: two rules may count the same rows, and the planner refuses aggregates that turn out to be the
/// same expression after it has simplified them.
#[derive(Default)]
struct Pass {
    of_rows: Vec<String>,
    aggregates: Vec<String>,
}

impl Pass {
    /// Counts the rows for which a condition, which is never NULL, holds. Gives the place in the answer.
    fn count(&mut self, condition: &str) -> usize {
        self.push(&format!("CASE WHEN {condition} THEN 1 ELSE 0 END"), |name| format!("coalesce(sum({name}), 0)"))
    }

    /// The greatest value of an expression. Gives the place in the answer.
    fn newest(&mut self, expression: &str) -> usize {
        self.push(expression, |name| format!("max({name})"))
    }

    fn push(&mut self, expression: &str, aggregate: impl Fn(&str) -> String) -> usize {
        let name = format!("\"v{}\"", self.of_rows.len());
        self.of_rows.push(format!("{expression} AS {name}"));
        self.aggregates.push(aggregate(&name));
        // Place 0 is the number of rows.
        self.aggregates.len()
    }

    fn statement(self, table: &str) -> String {
        let mut aggregates = vec!["count(*)".to_owned()];
        aggregates.extend(self.aggregates);
        let of_rows = self.of_rows.join(", ");
        format!("SELECT {} FROM (SELECT {of_rows} FROM {}) p", aliased(&aggregates), identifier(table))
    }
}

/// Whole numbers under names of their own.
fn aliased(expressions: &[String]) -> String {
    let mut parts = Vec::with_capacity(expressions.len());
    for (index, expression) in expressions.iter().enumerate() {
        parts.push(format!("CAST({expression} AS BIGINT) AS \"c{index}\""));
    }
    parts.join(", ")
}

fn rows_where(table: &str, condition: &str) -> String {
    let row = identifier(ROW_COLUMN);
    format!("SELECT {row} FROM {} WHERE {condition} ORDER BY {row} LIMIT {EXAMPLES_MAX}", identifier(table))
}

/// Rows that share their key with another row.
fn unique(columns: &Columns<'_>, looked_at: &str) -> (Failing, Option<String>) {
    let keys: Vec<String> = columns.rule.columns.iter().map(|column| identifier(column.as_str())).collect();
    let table = identifier(columns.table);
    let named = named_keys(&keys);
    let grouped = keys.join(", ");
    let repeated =
        format!("SELECT {named}, count(*) AS n FROM {table} WHERE {looked_at} GROUP BY {grouped} HAVING count(*) > 1");
    let counts =
        format!("SELECT {} FROM ({repeated}) k", aliased(&["coalesce(sum(k.n), 0)".into(), "count(*)".into()]));
    let row = identifier(ROW_COLUMN);
    let examples = format!(
        "SELECT k.{row} FROM (SELECT {row}, {named} FROM {table} WHERE {looked_at}) k \
         LEFT SEMI JOIN ({repeated}) d ON {} ORDER BY k.{row} LIMIT {EXAMPLES_MAX}",
        equal_keys(keys.len(), "d")
    );
    (Failing::Statement(counts), Some(examples))
}

/// Rows whose key no row of the other table has. Keys are grouped first, so that each is looked for once.
fn exists_in(
    columns: &Columns<'_>,
    looked_at: &str,
    others: &Columns<'_>,
    named: &[ColumnName],
    wanted_where: &[String],
) -> Result<(Failing, Option<String>), QualityError> {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for (left, right) in columns.rule.columns.iter().zip(named) {
        // Codes are numbers in one table and text in another; as text they compare in any case.
        if columns.type_of(left)? == others.type_of(right)? {
            mine.push(identifier(left.as_str()));
            theirs.push(identifier(right.as_str()));
        } else {
            mine.push(columns.text(left)?);
            theirs.push(others.text(right)?);
        }
    }
    let table = identifier(columns.table);
    let wanted_where = if wanted_where.is_empty() { "TRUE".to_owned() } else { wanted_where.join(" AND ") };
    let wanted = format!("(SELECT {} FROM {} WHERE {wanted_where}) r", named_keys(&theirs), identifier(others.table));
    let keys = named_keys(&mine);
    let grouped = mine.join(", ");
    let on = equal_keys(mine.len(), "r");
    let counts = format!(
        "SELECT {} FROM (SELECT {keys}, count(*) AS n FROM {table} WHERE {looked_at} GROUP BY {grouped}) k \
         LEFT ANTI JOIN {wanted} ON {on}",
        aliased(&["coalesce(sum(k.n), 0)".into(), "count(*)".into()])
    );
    let row = identifier(ROW_COLUMN);
    let examples = format!(
        "SELECT k.{row} FROM (SELECT {row}, {keys} FROM {table} WHERE {looked_at}) k \
         LEFT ANTI JOIN {wanted} ON {on} ORDER BY k.{row} LIMIT {EXAMPLES_MAX}"
    );
    Ok((Failing::Statement(counts), Some(examples)))
}

fn named_keys(expressions: &[String]) -> String {
    let mut parts = Vec::with_capacity(expressions.len());
    for (index, expression) in expressions.iter().enumerate() {
        parts.push(format!("{expression} AS \"k{index}\""));
    }
    parts.join(", ")
}

fn equal_keys(count: usize, other: &str) -> String {
    let parts: Vec<String> = (0..count).map(|index| format!("k.\"k{index}\" = {other}.\"k{index}\"")).collect();
    parts.join(" AND ")
}

/// The value of a time column in seconds since 1970, and whether they are of a clock in UTC.
fn newest(columns: &Columns<'_>) -> Result<(String, bool), QualityError> {
    let Some(column) = columns.rule.columns.first() else {
        return Err(columns.rule.wrong("it needs one column"));
    };
    let name = identifier(column.as_str());
    match columns.type_of(column)? {
        ColumnType::Date | ColumnType::LocalTimestamp => Ok((format!("date_part('epoch', {name})"), false)),
        ColumnType::Timestamp => Ok((format!("date_part('epoch', {name})"), true)),
        ColumnType::Text => Ok((format!("date_part('epoch', TRY_CAST({name} AS TIMESTAMP))"), false)),
        _ => Err(columns.rule.wrong("its column must hold days or times")),
    }
}
