//! Expressions that can't fail. A filter that fails on one row tells that the row is there, however many others are: `WHERE
//! 1 / (age - 93) > 0` fails exactly when somebody is 93. So dimensions go only through what has a value for every row.
//!
//! Which parts of an expression these are is told in one place for the whole engine, [`rules::is_total`], of any value that a type can
//! have. Here some more are taken: those that fail on no day or time but one that microseconds do not reach, 290,000 years from now,
//! where the same year is the limit whatever is asked, and on no text but one so long that no memory holds what is made of it.

use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNode;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator};

use crate::allow::{Refusal, RefusalCode};
use crate::rules;

/// Functions of any number of arguments that have a value for all that is stored.
const TOTAL_FUNCTIONS: &[&str] = &["ceil", "concat", "floor", "reverse", "signum"];
/// Parts of a time that `date_part` and `date_trunc` know.
const TIME_UNITS: &[&str] =
    &["year", "quarter", "month", "week", "day", "hour", "minute", "second", "dow", "doy", "isodow", "isoyear"];

/// Refuses what may fail on some row.
pub(crate) fn check_total(expression: &Expr, schema: &DFSchema) -> Result<(), Refusal> {
    let failing = expression.exists(|part| {
        let asks = matches!(part, Expr::ScalarSubquery(_) | Expr::Exists(_) | Expr::InSubquery(_));
        Ok(asks || !(rules::is_total(part, schema) || is_total_of_what_is_stored(part, schema)))
    });
    if matches!(failing, Ok(false)) {
        return Ok(());
    }
    let what = "dimensions may be compared, matched, cut to a part (left, substr, date_trunc, extract) and divided by a constant; an expression that \
                can fail on a single row would tell of that row";
    Err(Refusal::new(RefusalCode::ClauseNotAllowed, what))
}

/// Whether a part can't fail on what a source lets in, given that those it is made of don't.
fn is_total_of_what_is_stored(part: &Expr, schema: &DFSchema) -> bool {
    match part {
        Expr::Like(like) => matches!(like.pattern.as_ref(), Expr::Literal(..)),
        Expr::BinaryExpr(binary) => binary.op == Operator::StringConcat,
        // A constant that can't be brought to its type would fail where it is reached.
        Expr::Cast(cast) if !matches!(cast.expr.as_ref(), Expr::Literal(..)) => {
            cast.expr.get_type(schema).is_ok_and(|from| is_total_cast(&from, cast.field.data_type()))
        }
        Expr::ScalarFunction(call) => is_total_call(call),
        _ => false,
    }
}

fn is_total_cast(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (_, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => true,
        (DataType::Date32, DataType::Timestamp(TimeUnit::Microsecond, _)) => true,
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp(TimeUnit::Microsecond, _)) => true,
        (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Date32) => true,
        // Whole numbers of nineteen digits.
        (DataType::Int32 | DataType::Int64, DataType::Decimal128(precision, scale)) => {
            i32::from(*precision) - i32::from(*scale) >= 19
        }
        _ => false,
    }
}

fn is_total_call(call: &ScalarFunction) -> bool {
    let is_unit = |argument: &Expr| match argument {
        Expr::Literal(unit, _) => unit
            .try_as_str()
            .flatten()
            .is_some_and(|unit| TIME_UNITS.iter().any(|known| known.eq_ignore_ascii_case(unit))),
        _ => false,
    };
    match (call.func.name(), call.args.as_slice()) {
        (name, _) if TOTAL_FUNCTIONS.contains(&name) => true,
        ("date_part" | "date_trunc", [unit, _]) => is_unit(unit),
        ("replace", [_, Expr::Literal(..), Expr::Literal(..)]) => true,
        ("round" | "trunc", [_]) => true,
        _ => false,
    }
}
