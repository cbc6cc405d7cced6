//! What may fail on some row, and what can't on any.
//!
//! Told from the form and the types alone. What is not known to be total may fail; that costs speed and nothing else. A batch that
//! outgrows the memory of a text's offsets or of a query is not what is meant here: it depends on how much is asked for, not on a
//! value.

use arrow::datatypes::DataType;
use datafusion::common::tree_node::TreeNode;
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, ExprSchemable, Operator};

/// Most parts of an expression that compute or convert; of one that has more, nothing is known. To tell the type of each part is
/// work that grows with the square of their number.
pub(super) const COMPUTED_MAX: usize = 64;
/// How deep a constant is looked into.
const CONSTANT_DEPTH_MAX: usize = 8;
/// Longest pattern of LIKE that is known to compile.
const PATTERN_BYTES_MAX: usize = 128;
/// Most digits of a decimal, and the most of one of two terms whose sum surely fits into 128 bits: 10^38 and 10^37 together do.
const DECIMAL_DIGITS_MAX: i16 = 38;

/// Whether an expression may fail on a row of this schema.
pub(super) fn may_fail(expr: &Expr, schema: &DFSchema) -> bool {
    let mut computed = 0;
    let failing = expr.exists(|part| {
        computed += usize::from(computes(part));
        Ok(computed > COMPUTED_MAX || !is_total(part, schema))
    });
    failing.unwrap_or(true)
}

fn computes(part: &Expr) -> bool {
    match part {
        Expr::BinaryExpr(binary) => !is_logical(binary.op),
        Expr::Cast(_) | Expr::ScalarFunction(_) | Expr::Negative(_) => true,
        _ => false,
    }
}

/// Whether a part can't fail, given that those it is made of don't.
pub(super) fn is_total(part: &Expr, schema: &DFSchema) -> bool {
    if computes(part) && known(part, CONSTANT_DEPTH_MAX).is_some() {
        return true;
    }
    match part {
        Expr::Alias(_)
        | Expr::Column(_)
        | Expr::OuterReferenceColumn(..)
        | Expr::Literal(..)
        | Expr::Not(_)
        | Expr::IsNull(_)
        | Expr::IsNotNull(_)
        | Expr::IsTrue(_)
        | Expr::IsFalse(_)
        | Expr::IsUnknown(_)
        | Expr::IsNotTrue(_)
        | Expr::IsNotFalse(_)
        | Expr::IsNotUnknown(_)
        | Expr::Between(_)
        | Expr::Case(_)
        | Expr::InList(_)
        // What can't be converted is a missing value.
        | Expr::TryCast(_) => true,
        Expr::BinaryExpr(BinaryExpr { op, .. }) if is_logical(*op) => true,
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (left.get_type(schema), right.get_type(schema)) {
            (Ok(left), Ok(term)) => is_total_arithmetic(*op, &left, &term, constant(right)),
            _ => false,
        },
        // The least whole number has no negative. Of a column it stays what it is, of a constant it is an error.
        Expr::Negative(of) => constant(of).is_none() && of.get_type(schema).is_ok_and(|of| is_number(&of)),
        Expr::Like(like) => {
            !like.case_insensitive && like.escape_char.is_none() && constant(&like.pattern).is_some_and(is_short)
        }
        Expr::Cast(cast) => {
            cast.expr.get_type(schema).is_ok_and(|from| is_total_cast(&from, cast.field.data_type()))
        }
        Expr::ScalarFunction(call) => {
            let constants: Vec<Option<&ScalarValue>> = call.args.iter().map(constant).collect();
            is_total_function(call.name(), &constants, |at| call.args.get(at)?.get_type(schema).ok())
        }
        // It is answered before the first row is read, wherever it stands; only then it may fail.
        Expr::ScalarSubquery(subquery) => subquery.outer_ref_columns.is_empty(),
        _ => false,
    }
}

/// The value of a constant as it is written, before it is worked out: a number or text brought to another type, a day and an
/// interval. None for what is none, and for one that has no value.
fn known(expr: &Expr, depth: usize) -> Option<ScalarValue> {
    let below = depth.checked_sub(1)?;
    match expr {
        Expr::Literal(value, _) => Some(value.clone()),
        Expr::Cast(cast) => known(&cast.expr, below)?.cast_to(cast.field.data_type()).ok(),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Plus, right }) => {
            known(left, below)?.add(&known(right, below)?).ok()
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Minus, right }) => {
            known(left, below)?.sub(&known(right, below)?).ok()
        }
        Expr::Negative(of) => known(of, below)?.arithmetic_negate().ok(),
        _ => None,
    }
}

fn constant(expr: &Expr) -> Option<&ScalarValue> {
    match expr {
        Expr::Literal(value, _) => Some(value),
        _ => None,
    }
}

/// Comparisons and connectives. Both sides of a comparison are of one type when it is evaluated, and any two values of it compare.
pub(super) fn is_logical(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::And
            | Operator::Or
            | Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom
    )
}

/// Whether an operation on numbers can't fail. Whole numbers wrap around and floating-point ones have their infinities; a divisor
/// must be a constant that is neither 0 nor -1, by which the least whole number can't be divided. Decimals are checked, so the
/// result must have room.
pub(super) fn is_total_arithmetic(
    operator: Operator,
    left: &DataType,
    right: &DataType,
    term: Option<&ScalarValue>,
) -> bool {
    let is_known =
        matches!(operator, Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo);
    match (left, right) {
        _ if !is_known => false,
        (DataType::Float32, DataType::Float32) | (DataType::Float64, DataType::Float64) => true,
        (left, right) if left == right && left.is_integer() => match operator {
            Operator::Divide | Operator::Modulo => term.is_some_and(divides),
            _ => true,
        },
        (DataType::Decimal128(digits, scale), DataType::Decimal128(other_digits, other_scale)) => {
            let (digits, other_digits) = (i16::from(*digits), i16::from(*other_digits));
            let (scale, other_scale) = (i16::from(*scale), i16::from(*other_scale));
            match operator {
                Operator::Plus | Operator::Minus => {
                    let wider = scale.max(other_scale);
                    let (one, other) = (digits + wider - scale, other_digits + wider - other_scale);
                    one.max(other) <= DECIMAL_DIGITS_MAX && one.min(other) < DECIMAL_DIGITS_MAX
                }
                Operator::Multiply => digits + other_digits <= DECIMAL_DIGITS_MAX,
                _ => false,
            }
        }
        _ => false,
    }
}

fn divides(divisor: &ScalarValue) -> bool {
    match divisor {
        ScalarValue::Int8(Some(value)) => !matches!(value, 0 | -1),
        ScalarValue::Int16(Some(value)) => !matches!(value, 0 | -1),
        ScalarValue::Int32(Some(value)) => !matches!(value, 0 | -1),
        ScalarValue::Int64(Some(value)) => !matches!(value, 0 | -1),
        ScalarValue::UInt8(Some(value)) => *value != 0,
        ScalarValue::UInt16(Some(value)) => *value != 0,
        ScalarValue::UInt32(Some(value)) => *value != 0,
        ScalarValue::UInt64(Some(value)) => *value != 0,
        _ => false,
    }
}

pub(super) fn is_number(data_type: &DataType) -> bool {
    data_type.is_signed_integer() || data_type.is_floating() || matches!(data_type, DataType::Decimal128(..))
}

/// Whether each value of one type has one of another.
pub(super) fn is_total_cast(from: &DataType, to: &DataType) -> bool {
    use DataType::{
        Boolean, Date32, Date64, Decimal128, Float32, Float64, LargeUtf8, Null, Timestamp, UInt64, Utf8, Utf8View,
    };
    use arrow::datatypes::TimeUnit::{Millisecond, Second};
    match (from, to) {
        (from, to) if from == to => true,
        (Null, _)
        | (Utf8, LargeUtf8 | Utf8View)
        | (Float32, Float64)
        | (Decimal128(..), Float64)
        | (Date32, Date64)
        // Microseconds do not reach as far as days.
        | (Date32, Timestamp(Second | Millisecond, None)) => true,
        (from, Utf8 | LargeUtf8 | Utf8View) => {
            from.is_integer() || matches!(from, Boolean | Float32 | Float64 | Decimal128(..))
        }
        (Boolean, to) => to.is_integer(),
        (from, Float32 | Float64) => from.is_integer(),
        (from, Decimal128(digits, scale)) if from.is_integer() => i16::from(*digits) - i16::from(*scale) >= digits_of(from),
        (Decimal128(digits, scale), Decimal128(wider, finer)) => {
            let whole = |digits: u8, scale: i8| i16::from(digits) - i16::from(scale);
            finer >= scale && whole(*wider, *finer) >= whole(*digits, *scale)
        }
        (from, to) if from.is_integer() && to.is_integer() => {
            let is_widened = to.primitive_width() > from.primitive_width();
            is_widened && (to.is_signed_integer() || from.is_unsigned_integer()) && *from != UInt64
        }
        _ => false,
    }
}

/// Digits of the largest value of a type of whole numbers.
fn digits_of(integer: &DataType) -> i16 {
    match integer.primitive_width() {
        Some(1) => 3,
        Some(2) => 5,
        Some(4) => 10,
        _ => 20,
    }
}

/// Whether a pattern is short enough to be known to compile.
pub(super) fn is_short(pattern: &ScalarValue) -> bool {
    text(pattern).is_some_and(|pattern| pattern.len() <= PATTERN_BYTES_MAX)
}

fn text(value: &ScalarValue) -> Option<&str> {
    match value {
        ScalarValue::Utf8(text) | ScalarValue::LargeUtf8(text) | ScalarValue::Utf8View(text) => text.as_deref(),
        _ => None,
    }
}

/// Whether a function can't fail, whatever its arguments are; `constants` are those that are constants. Functions on texts that can
/// grow, on moments and on powers are not among them.
pub(super) fn is_total_function(
    name: &str,
    constants: &[Option<&ScalarValue>],
    type_of: impl Fn(usize) -> Option<DataType>,
) -> bool {
    let is_whole = |at: usize, least: i64| matches!(constants.get(at), Some(Some(ScalarValue::Int64(Some(value)))) if *value >= least);
    match name {
        "btrim" | "character_length" | "coalesce" | "greatest" | "least" | "lower" | "ltrim" | "nullif" | "nvl"
        | "rtrim" | "starts_with" | "strpos" | "upper" => true,
        "left" | "right" => is_whole(1, i64::from(i32::MIN)),
        "substr" => is_whole(1, i64::from(i32::MIN)) && (constants.len() == 2 || is_whole(2, 0)),
        "date_part" => {
            let part = constants.first().copied().flatten().and_then(text).map(str::to_lowercase);
            let is_part = part.is_some_and(|part| {
                matches!(part.as_str(), "year" | "quarter" | "month" | "week" | "day" | "dow" | "doy")
            });
            is_part && type_of(1) == Some(DataType::Date32)
        }
        _ => false,
    }
}
