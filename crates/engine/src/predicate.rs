//! Row predicates of scopes as expressions, and which of a consumer's own conditions may cross the barrier.

use std::collections::HashMap;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::common::{Column, ScalarValue};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, Like, Operator, lit};
use lingqu_domain::predicate::{Comparison, Literal, Predicate};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

use crate::governed::GovernError;

/// Most listed values of a consumer's condition that is evaluated below the barrier.
const LISTED_VALUES_MAX: usize = 1_000;

/// A column by its exact name.
pub(crate) fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}

/// The predicate over a table's raw columns. Every literal is of the column's own type, so that evaluation needs no
/// cast and can't fail. Errors: a column that the table lacks, a literal that its type can't hold.
pub(crate) fn compile(predicate: &Predicate, schema: &Schema) -> Result<Expr, GovernError> {
    Ok(match predicate {
        Predicate::Compare { column: name, comparison, value } => {
            let operator = match comparison {
                Comparison::Equal => Operator::Eq,
                Comparison::NotEqual => Operator::NotEq,
                Comparison::Less => Operator::Lt,
                Comparison::LessOrEqual => Operator::LtEq,
                Comparison::Greater => Operator::Gt,
                Comparison::GreaterOrEqual => Operator::GtEq,
            };
            let value = literal_for(value, type_of(name.as_str(), schema)?, name.as_str())?;
            Expr::BinaryExpr(BinaryExpr::new(Box::new(column(name.as_str())), operator, Box::new(lit(value))))
        }
        Predicate::In { column: name, values } => {
            let data_type = type_of(name.as_str(), schema)?;
            if values.is_empty() {
                return Ok(lit(false));
            }
            let mut list = Vec::with_capacity(values.len());
            for value in values {
                list.push(lit(literal_for(value, data_type, name.as_str())?));
            }
            Expr::InList(InList::new(Box::new(column(name.as_str())), list, false))
        }
        Predicate::IsNull { column: name } => {
            type_of(name.as_str(), schema)?;
            Expr::IsNull(Box::new(column(name.as_str())))
        }
        Predicate::And(parts) => combine(parts, schema, Operator::And)?,
        Predicate::Or(parts) => combine(parts, schema, Operator::Or)?,
        Predicate::Not(part) => Expr::Not(Box::new(compile(part, schema)?)),
    })
}

fn combine(parts: &[Predicate], schema: &Schema, operator: Operator) -> Result<Expr, GovernError> {
    let mut combined: Option<Expr> = None;
    for part in parts {
        let part = compile(part, schema)?;
        combined = Some(match combined {
            None => part,
            Some(left) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left), operator, Box::new(part))),
        });
    }
    // No part at all: AND covers every row, OR none.
    Ok(combined.unwrap_or_else(|| lit(operator == Operator::And)))
}

fn type_of<'a>(name: &str, schema: &'a Schema) -> Result<&'a DataType, GovernError> {
    match schema.column_with_name(name) {
        Some((_, field)) => Ok(field.data_type()),
        None => Err(GovernError::SchemaChanged { column: name.to_owned() }),
    }
}

/// A literal as a value of a column's type.
pub(crate) fn literal_for(literal: &Literal, data_type: &DataType, name: &str) -> Result<ScalarValue, GovernError> {
    let fitting = match (literal, data_type) {
        (Literal::Text(text), DataType::Utf8) => Some(ScalarValue::Utf8(Some(text.clone()))),
        (Literal::Integer(value), DataType::Int64) => Some(ScalarValue::Int64(Some(*value))),
        (Literal::Decimal(value), DataType::Int64) if value.fract().is_zero() => {
            value.to_i64().map(|value| ScalarValue::Int64(Some(value)))
        }
        #[expect(clippy::cast_precision_loss, reason = "a float column can only be compared as floats")]
        (Literal::Integer(value), DataType::Float64) => Some(ScalarValue::Float64(Some(*value as f64))),
        (Literal::Decimal(value), DataType::Float64) => {
            value.to_string().parse().ok().map(|value| ScalarValue::Float64(Some(value)))
        }
        (Literal::Integer(value), DataType::Decimal128(precision, scale)) => {
            decimal_for(Decimal::from(*value), *precision, *scale)
        }
        (Literal::Decimal(value), DataType::Decimal128(precision, scale)) => decimal_for(*value, *precision, *scale),
        (Literal::Date(date), DataType::Date32) => {
            let midnight = jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok();
            let days = midnight.and_then(|midnight| i32::try_from(midnight.as_second().div_euclid(86_400)).ok());
            days.map(|days| ScalarValue::Date32(Some(days)))
        }
        // A column without offset is compared as if it were in UTC.
        (Literal::Timestamp(moment), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
            Some(ScalarValue::TimestampMicrosecond(Some(moment.as_microsecond()), zone.clone()))
        }
        (Literal::Boolean(value), DataType::Boolean) => Some(ScalarValue::Boolean(Some(*value))),
        _ => None,
    };
    fitting.ok_or_else(|| GovernError::LiteralUnfit { column: name.to_owned(), data_type: data_type.to_string() })
}

/// The decimal with the column's scale; nothing when digits would be lost.
fn decimal_for(value: Decimal, precision: u8, scale: i8) -> Option<ScalarValue> {
    let wanted = u32::try_from(scale).ok()?;
    let value = value.normalize();
    let factor = 10_i128.checked_pow(wanted.checked_sub(value.scale())?)?;
    let unscaled = value.mantissa().checked_mul(factor)?;
    let fits = unscaled.unsigned_abs() < 10_u128.checked_pow(u32::from(precision))?;
    fits.then_some(ScalarValue::Decimal128(Some(unscaled), precision, scale))
}

/// True for a condition whose evaluation tells nothing but its truth: comparisons of an exact column with a literal
/// of the column's own type or with another exact column of the same type, lists of such, tests for a missing value and for the beginning of a text, and their
/// connectives. Anything with a cast, a function or arithmetic may fail, and its failure on a row that is not covered would
/// tell of that row.
pub(crate) fn is_leak_proof(expr: &Expr, exact_columns: &HashMap<String, DataType>) -> bool {
    let is_exact = |expr: &Expr| matches!(expr, Expr::Column(column) if exact_columns.contains_key(&column.name));
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And | Operator::Or, right }) => {
            is_leak_proof(left, exact_columns) && is_leak_proof(right, exact_columns)
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
            let is_comparison = matches!(
                op,
                Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq
            );
            is_comparison
                && (is_literal_of(right, left, exact_columns)
                    || is_literal_of(left, right, exact_columns)
                    || are_alike(left, right, exact_columns))
        }
        Expr::Not(part) => is_leak_proof(part, exact_columns),
        // What the simplifier makes of a comparison of a truth value with a constant, also after it was pushed down.
        Expr::Column(column) => exact_columns.get(&column.name) == Some(&DataType::Boolean),
        Expr::IsNull(part) | Expr::IsNotNull(part) => is_exact(part),
        Expr::Between(between) => {
            is_literal_of(&between.low, &between.expr, exact_columns)
                && is_literal_of(&between.high, &between.expr, exact_columns)
        }
        Expr::InList(list) => {
            list.list.len() <= LISTED_VALUES_MAX
                && list.list.iter().all(|value| is_literal_of(value, &list.expr, exact_columns))
        }
        Expr::Like(like) => is_beginning(like, exact_columns),
        _ => false,
    }
}

/// `column LIKE 'text%'` with no other sign of a pattern: a comparison with the first bytes, which scans prune by. Other patterns
/// are compiled to what has limits of its own, so they stay above.
fn is_beginning(like: &Like, exact_columns: &HashMap<String, DataType>) -> bool {
    let Expr::Literal(ScalarValue::Utf8(Some(pattern)), _) = like.pattern.as_ref() else { return false };
    let Some(beginning) = pattern.strip_suffix('%') else { return false };
    !like.case_insensitive
        && like.escape_char.is_none()
        && !beginning.contains(['%', '_', '\\'])
        && is_literal_of(&like.pattern, &like.expr, exact_columns)
}

/// Two exact columns of one type. Values of one type can be compared whatever they are.
fn are_alike(left: &Expr, right: &Expr, exact_columns: &HashMap<String, DataType>) -> bool {
    let (Expr::Column(left), Expr::Column(right)) = (left, right) else { return false };
    exact_columns.get(&left.name).is_some_and(|data_type| exact_columns.get(&right.name) == Some(data_type))
}

fn is_literal_of(literal: &Expr, column: &Expr, exact_columns: &HashMap<String, DataType>) -> bool {
    let (Expr::Literal(value, _), Expr::Column(column)) = (literal, column) else { return false };
    exact_columns.get(&column.name).is_some_and(|data_type| *data_type == value.data_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_compared_below_the_barrier_if_both_are_exact_and_of_one_type() {
        let exact = HashMap::from([
            ("from".to_owned(), DataType::Date32),
            ("until".to_owned(), DataType::Date32),
            ("count".to_owned(), DataType::Int64),
        ]);
        assert!(is_leak_proof(&column("from").lt(column("until")), &exact));
        assert!(is_leak_proof(&column("from").eq(column("from")), &exact));
        // Of another type a column is cast, masked it is computed, and arithmetic may fail.
        assert!(!is_leak_proof(&column("from").lt(column("count")), &exact));
        assert!(!is_leak_proof(&column("from").lt(column("masked")), &exact));
        assert!(!is_leak_proof(&(column("count") + lit(1_i64)).lt(column("count")), &exact));
    }
}
