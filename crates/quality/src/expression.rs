//! SQL expressions of single rules. Everything is total: a value that cannot be read as what a rule needs gives NULL
//! by TRY_CAST, and NULL counts as failing, so no row can stop the statement.

use jiff::Timestamp;
use lingqu_domain::calendar::day_of;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::{ColumnType, SchemaView};

use crate::QualityError;
use crate::rule::{Bound, Condition, Demand, Operator, Rule, Scheme, Test, ValueType, whole_text};

/// A quoted identifier.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text literal.
pub(crate) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// What a table's columns are, with the errors of the rule that asks.
pub(crate) struct Columns<'a> {
    pub rule: &'a Rule,
    pub table: &'a str,
    pub schema: &'a SchemaView,
}

impl Columns<'_> {
    pub(crate) fn type_of(&self, column: &ColumnName) -> Result<ColumnType, QualityError> {
        let found = self.schema.column(column).ok_or_else(|| QualityError::NoSuchColumn {
            rule: self.rule.id.clone(),
            table: self.table.to_owned(),
            column: column.to_string(),
        })?;
        Ok(found.column_type)
    }

    /// The column as text.
    pub(crate) fn text(&self, column: &ColumnName) -> Result<String, QualityError> {
        let name = identifier(column.as_str());
        Ok(match self.type_of(column)? {
            ColumnType::Text => name,
            _ => format!("CAST({name} AS VARCHAR)"),
        })
    }

    /// The column as a number, NULL where it is none.
    fn number(&self, column: &ColumnName) -> Result<String, QualityError> {
        let name = identifier(column.as_str());
        match self.type_of(column)? {
            ColumnType::Integer | ColumnType::Float | ColumnType::Decimal { .. } => Ok(name),
            ColumnType::Text => Ok(format!("CASE WHEN {} THEN TRY_CAST({name} AS DOUBLE) END", is_finite(&name))),
            other => Err(self.unfit(column, other, "a number")),
        }
    }

    /// The column as a time without offset, NULL where it is none.
    fn time(&self, column: &ColumnName) -> Result<String, QualityError> {
        let name = identifier(column.as_str());
        match self.type_of(column)? {
            ColumnType::Date | ColumnType::LocalTimestamp | ColumnType::Timestamp | ColumnType::Text => {
                Ok(format!("TRY_CAST({name} AS TIMESTAMP)"))
            }
            other => Err(self.unfit(column, other, "a time")),
        }
    }

    fn unfit(&self, column: &ColumnName, found: ColumnType, wanted: &str) -> QualityError {
        self.rule.wrong(&format!("its column {column} is {}, and the demand needs {wanted}", found.describe()))
    }
}

/// Which rows a rule looks at: its conditions, and values in all its columns where the demand needs them.
pub(crate) fn applicable(columns: &Columns<'_>) -> Result<String, QualityError> {
    let rule = columns.rule;
    let mut parts = conditions(columns, &rule.only_where)?;
    let looks_at_missing = matches!(rule.demand, Demand::NotNull | Demand::RowsAtLeast { .. });
    if !looks_at_missing {
        for column in &rule.columns {
            columns.type_of(column)?;
            parts.push(format!("{} IS NOT NULL", identifier(column.as_str())));
        }
        if let Demand::Compares { to, .. } = &rule.demand {
            columns.type_of(to)?;
            parts.push(format!("{} IS NOT NULL", identifier(to.as_str())));
        }
    }
    if parts.is_empty() { Ok("TRUE".to_owned()) } else { Ok(format!("({})", parts.join(" AND "))) }
}

/// Each condition on the rows of a table; none of them is ever NULL.
pub(crate) fn conditions(columns: &Columns<'_>, conditions: &[Condition]) -> Result<Vec<String>, QualityError> {
    conditions.iter().map(|condition| condition_sql(columns, condition)).collect()
}

fn condition_sql(columns: &Columns<'_>, condition: &Condition) -> Result<String, QualityError> {
    let text = columns.text(&condition.column)?;
    Ok(match &condition.is {
        Test::Null => format!("{text} IS NULL"),
        Test::NotNull => format!("{text} IS NOT NULL"),
        Test::OneOf(values) => format!("coalesce({text} IN ({}), FALSE)", literals(values)),
        Test::NoneOf(values) => format!("coalesce({text} NOT IN ({}), TRUE)", literals(values)),
        Test::Matches(pattern) => format!("coalesce({}, FALSE)", matches(&text, pattern)),
    })
}

fn matches(text: &str, pattern: &str) -> String {
    format!("{text} ~ {}", literal(&whole_text(pattern)))
}

fn literals(values: &[String]) -> String {
    let values: Vec<String> = values.iter().map(|value| literal(value)).collect();
    values.join(", ")
}

/// Whether a text is a number: NaN, which stands above all numbers where they are compared, is none, and neither is an infinity.
fn is_finite(text: &str) -> String {
    let limit = |sign: &str| format!("CAST('{sign}{:e}' AS DOUBLE)", f64::MAX);
    format!("TRY_CAST({text} AS DOUBLE) BETWEEN {} AND {}", limit("-"), limit(""))
}

/// What a row must be for a row-wise rule; true, false or NULL, which counts as false. Nothing for rules about keys or
/// the whole table.
pub(crate) fn satisfied(columns: &Columns<'_>, now: Timestamp) -> Result<Option<String>, QualityError> {
    let rule = columns.rule;
    let only = rule.columns.first();
    let expression = match (&rule.demand, only) {
        (Demand::NotNull, _) => {
            let mut parts = Vec::new();
            for column in &rule.columns {
                columns.type_of(column)?;
                parts.push(format!("{} IS NOT NULL", identifier(column.as_str())));
            }
            parts.join(" AND ")
        }
        (Demand::InRange { min, max }, Some(column)) => range(columns, column, min.as_ref(), max.as_ref(), now)?,
        (Demand::Matches { pattern }, Some(column)) => matches(&columns.text(column)?, pattern),
        (Demand::OneOf { values }, Some(column)) => format!("{} IN ({})", columns.text(column)?, literals(values)),
        (Demand::OfType { of }, Some(column)) => {
            let text = columns.text(column)?;
            match of {
                ValueType::Integer => format!("TRY_CAST({text} AS BIGINT) IS NOT NULL"),
                ValueType::Number => is_finite(&text),
                ValueType::Date => format!("TRY_CAST({text} AS DATE) IS NOT NULL"),
                ValueType::Timestamp => format!("TRY_CAST({text} AS TIMESTAMP) IS NOT NULL"),
            }
        }
        (Demand::CheckCharacter { scheme }, Some(column)) => {
            let text = columns.text(column)?;
            match scheme {
                Scheme::CitizenIdentity => citizen_identity(&text),
                Scheme::SocialCredit => social_credit(&text),
            }
        }
        (Demand::Compares { operator, to }, Some(column)) => compares(columns, column, *operator, to)?,
        _ => return Ok(None),
    };
    Ok(Some(expression))
}

fn range(
    columns: &Columns<'_>,
    column: &ColumnName,
    min: Option<&Bound>,
    max: Option<&Bound>,
    now: Timestamp,
) -> Result<String, QualityError> {
    let is_of_numbers = matches!(min.or(max), Some(Bound::Number(_)));
    let value = if is_of_numbers { columns.number(column)? } else { columns.time(column)? };
    // A day is compared with the day of a moment: in the database it is the start of the day.
    let is_zoned = columns.type_of(column)? == ColumnType::Timestamp;
    let bound_sql = |bound: &Bound| match bound {
        Bound::Number(number) => number.to_string(),
        Bound::Time(text) => format!("CAST({} AS TIMESTAMP)", literal(text)),
        Bound::Now if is_zoned => format!("CAST({} AS TIMESTAMP)", literal(&now.to_string())),
        // Times without an offset are Beijing time, and any moment of today is not after now.
        Bound::Now => format!("CAST({} AS TIMESTAMP)", literal(&format!("{}T23:59:59", day_of(now)))),
    };
    let mut parts = Vec::new();
    if let Some(min) = min {
        parts.push(format!("{value} >= {}", bound_sql(min)));
    }
    if let Some(max) = max {
        parts.push(format!("{value} <= {}", bound_sql(max)));
    }
    Ok(parts.join(" AND "))
}

fn compares(
    columns: &Columns<'_>,
    left: &ColumnName,
    operator: Operator,
    right: &ColumnName,
) -> Result<String, QualityError> {
    let sign = match operator {
        Operator::Equal => "=",
        Operator::Less => "<",
        Operator::AtMost => "<=",
        Operator::Greater => ">",
        Operator::AtLeast => ">=",
    };
    let is_number = |of: ColumnType| matches!(of, ColumnType::Integer | ColumnType::Float | ColumnType::Decimal { .. });
    let is_time = |of: ColumnType| matches!(of, ColumnType::Date | ColumnType::LocalTimestamp | ColumnType::Timestamp);
    let (of_left, of_right) = (columns.type_of(left)?, columns.type_of(right)?);
    // As text 9 is above 10; equal values are mostly codes, and are compared as they are written.
    let may_be_text = |of: ColumnType| of == ColumnType::Text && operator != Operator::Equal;
    let both = |is: &dyn Fn(ColumnType) -> bool| {
        let fits = |of: ColumnType| is(of) || may_be_text(of);
        (is(of_left) || is(of_right)) && fits(of_left) && fits(of_right)
    };
    let (left, right) = if both(&is_number) {
        (columns.number(left)?, columns.number(right)?)
    } else if both(&is_time) {
        (columns.time(left)?, columns.time(right)?)
    } else {
        (columns.text(left)?, columns.text(right)?)
    };
    Ok(format!("{left} {sign} {right}"))
}

/// GB 11643-1999: seventeen digits by their weights, modulo 11, give the eighteenth character.
fn citizen_identity(text: &str) -> String {
    const WEIGHTS: [u32; 17] = [7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2];
    let mut terms = Vec::with_capacity(WEIGHTS.len());
    for (index, weight) in WEIGHTS.iter().enumerate() {
        terms.push(format!("TRY_CAST(substr({text}, {}, 1) AS BIGINT) * {weight}", index + 1));
    }
    format!(
        "{text} ~ '\\A[0-9]{{17}}[0-9Xx]\\z' AND substr('10X98765432', ({}) % 11 + 1, 1) = upper(substr({text}, 18, 1))",
        terms.join(" + ")
    )
}

/// GB 32100-2015: seventeen characters by powers of 3, modulo 31, give the eighteenth.
fn social_credit(text: &str) -> String {
    const CHARACTERS: &str = "0123456789ABCDEFGHJKLMNPQRTUWXY";
    const WEIGHTS: [u32; 17] = [1, 3, 9, 27, 19, 26, 16, 17, 20, 29, 25, 13, 8, 24, 10, 30, 28];
    let mut terms = Vec::with_capacity(WEIGHTS.len());
    for (index, weight) in WEIGHTS.iter().enumerate() {
        terms.push(format!("(strpos('{CHARACTERS}', substr({text}, {}, 1)) - 1) * {weight}", index + 1));
    }
    format!(
        "{text} ~ '\\A[{CHARACTERS}]{{18}}\\z' AND \
         substr('{CHARACTERS}', (31 - ({}) % 31) % 31 + 1, 1) = substr({text}, 18, 1)",
        terms.join(" + ")
    )
}
