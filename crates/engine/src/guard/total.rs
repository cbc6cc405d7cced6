//! Expressions that can't fail. A filter that fails on one row tells that the row is there, however many others are: `WHERE
//! 1 / (age - 93) > 0` fails exactly when somebody is 93. So dimensions go only through what has a value for every row.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

use crate::allow::{Refusal, RefusalCode};

/// Functions of any number of arguments that have a value for all of them.
const TOTAL_FUNCTIONS: &[&str] = &[
    "btrim",
    "ceil",
    "character_length",
    "coalesce",
    "concat",
    "floor",
    "greatest",
    "least",
    "lower",
    "ltrim",
    "nullif",
    "nvl",
    "reverse",
    "rtrim",
    "signum",
    "starts_with",
    "strpos",
    "upper",
];
/// Parts of a time that `date_part` and `date_trunc` know.
const TIME_UNITS: &[&str] =
    &["year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow", "doy", "isodow", "isoyear"];
/// Most characters that `left`, `right` and `substr` may be asked for.
const CHARACTERS_MAX: i64 = 10_000;

/// Refuses what may fail on some row.
pub(crate) fn check_total(expression: &Expr, schema: &DFSchema) -> Result<(), Refusal> {
    if is_total(expression, schema) {
        return Ok(());
    }
    let what = "dimensions may be compared, matched, cut to a part (left, substr, date_trunc, extract) and divided by a constant; an expression that \
                can fail on a single row would tell of that row";
    Err(Refusal::new(RefusalCode::ClauseNotAllowed, what))
}

fn is_total(expression: &Expr, schema: &DFSchema) -> bool {
    let total = |part: &Expr| is_total(part, schema);
    match expression {
        Expr::Column(_) | Expr::Literal(..) => true,
        Expr::Alias(alias) => total(&alias.expr),
        Expr::Not(part)
        | Expr::IsNull(part)
        | Expr::IsNotNull(part)
        | Expr::IsTrue(part)
        | Expr::IsFalse(part)
        | Expr::IsUnknown(part)
        | Expr::IsNotTrue(part)
        | Expr::IsNotFalse(part)
        | Expr::IsNotUnknown(part) => total(part),
        Expr::Between(between) => total(&between.expr) && total(&between.low) && total(&between.high),
        Expr::InList(list) => total(&list.expr) && list.list.iter().all(total),
        Expr::Like(like) => total(&like.expr) && matches!(like.pattern.as_ref(), Expr::Literal(..)),
        Expr::Case(case) => {
            case.expr.as_deref().is_none_or(total)
                && case.when_then_expr.iter().all(|(when, then)| total(when) && total(then))
                && case.else_expr.as_deref().is_none_or(total)
        }
        Expr::BinaryExpr(binary) => is_total_operation(binary, schema),
        Expr::Cast(cast) => total(&cast.expr) && is_total_cast(&cast.expr, cast.field.data_type(), schema),
        // What can't be brought to the type is NULL.
        Expr::TryCast(cast) => total(&cast.expr),
        Expr::ScalarFunction(call) => call.args.iter().all(total) && is_total_call(call),
        _ => false,
    }
}

fn is_total_operation(BinaryExpr { left, op, right }: &BinaryExpr, schema: &DFSchema) -> bool {
    if !is_total(left, schema) || !is_total(right, schema) {
        return false;
    }
    let is_number = |part: &Expr| {
        part.get_type(schema).is_ok_and(|found| matches!(found, DataType::Int32 | DataType::Int64 | DataType::Float64))
    };
    match op {
        Operator::Eq
        | Operator::NotEq
        | Operator::Lt
        | Operator::LtEq
        | Operator::Gt
        | Operator::GtEq
        | Operator::And
        | Operator::Or
        | Operator::IsDistinctFrom
        | Operator::IsNotDistinctFrom
        | Operator::StringConcat => true,
        // Whole numbers wrap around; decimals and times would overflow.
        Operator::Plus | Operator::Minus | Operator::Multiply => is_number(left) && is_number(right),
        // The least whole number can't be divided by -1.
        Operator::Divide | Operator::Modulo => is_number(left) && is_positive(right),
        _ => false,
    }
}

fn is_positive(expression: &Expr) -> bool {
    match expression {
        Expr::Literal(ScalarValue::Int64(Some(number)), _) => *number > 0,
        Expr::Literal(ScalarValue::Int32(Some(number)), _) => *number > 0,
        Expr::Literal(ScalarValue::Float64(Some(number)), _) => *number > 0.0,
        Expr::Cast(cast) if matches!(cast.field.data_type(), DataType::Int32 | DataType::Int64 | DataType::Float64) => {
            is_positive(&cast.expr)
        }
        _ => false,
    }
}

/// A constant that can't be brought to its type is no total expression either: it would fail only where it is reached.
fn is_total_cast(from: &Expr, to: &DataType, schema: &DFSchema) -> bool {
    if let Expr::Literal(value, _) = from {
        return value.cast_to(to).is_ok();
    }
    let Ok(from) = from.get_type(schema) else { return false };
    match (&from, to) {
        (_, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => true,
        (DataType::Int32, DataType::Int64) | (DataType::Int32 | DataType::Int64, DataType::Float64) => true,
        (DataType::Int32 | DataType::Int64, DataType::Decimal128(precision, scale)) => {
            i32::from(*precision) - i32::from(*scale) >= 19
        }
        (DataType::Decimal128(..), DataType::Float64) => true,
        (DataType::Decimal128(had, scaled), DataType::Decimal128(precision, scale)) => {
            scale >= scaled && i32::from(*precision) - i32::from(*scale) >= i32::from(*had) - i32::from(*scaled)
        }
        // Days reach further than microseconds do; the same year is the limit whatever is asked.
        (DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, _)) => true,
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp(TimeUnit::Microsecond, _)) => true,
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Date32) => true,
        (from, to) => from == to,
    }
}

fn is_total_call(call: &ScalarFunction) -> bool {
    let name = call.func.name();
    if TOTAL_FUNCTIONS.contains(&name) {
        return true;
    }
    let is_count = |argument: &Expr| match argument {
        Expr::Literal(ScalarValue::Int64(Some(count)), _) => (0..=CHARACTERS_MAX).contains(count),
        _ => false,
    };
    let is_unit = |argument: &Expr| match argument {
        Expr::Literal(unit, _) => unit
            .try_as_str()
            .flatten()
            .is_some_and(|unit| TIME_UNITS.iter().any(|known| known.eq_ignore_ascii_case(unit))),
        _ => false,
    };
    match (name, call.args.as_slice()) {
        ("date_part" | "date_trunc", [unit, _]) => is_unit(unit),
        ("left" | "right", [_, count]) => is_count(count),
        ("substr", [_, start]) => is_count(start),
        ("substr", [_, start, count]) => is_count(start) && is_count(count),
        ("replace", [_, Expr::Literal(..), Expr::Literal(..)]) => true,
        ("round" | "trunc", [_]) => true,
        _ => false,
    }
}
