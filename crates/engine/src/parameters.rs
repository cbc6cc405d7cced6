//! Parameters of a statement: the values that stand where `$1`, `$2`, … or `?` stand.
//!
//! A value is written into the parsed statement as the literal that it is, before anything is planned or checked. What is
//! planned, checked, pushed down and guarded is therefore a statement with literals in it, and a parameter can do nothing
//! that a literal in its place could not.

use std::borrow::Cow;
use std::ops::ControlFlow;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement;
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType as SqlType, ExactNumberInfo, Expr, TimezoneInfo, UnaryOperator, Value, visit_expressions_mut,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::allow::{Refusal, RefusalCode, STATEMENT_BYTES_MAX};

/// Most parameters of a statement.
pub const PARAMETERS_MAX: usize = 256;

/// The statement with its question marks, the parameters of JDBC and ADBC, numbered in their order as `$1`, `$2`, ….
/// Question marks in texts, quoted names and comments stay. No operator with a question mark in it is allowed, so none is
/// lost.
pub(crate) fn numbered(sql: &str) -> Result<Cow<'_, str>, Refusal> {
    if !sql.contains('?') {
        return Ok(Cow::Borrowed(sql));
    }
    let dialect = PostgreSqlDialect {};
    // What is no token is for the parser to name.
    let Ok(tokens) = Tokenizer::new(&dialect, sql).with_unescape(false).tokenize() else {
        return Ok(Cow::Borrowed(sql));
    };
    let (mut text, mut count, mut has_numbers) = (String::with_capacity(sql.len() + 16), 0, false);
    for token in tokens {
        match token {
            Token::Word(_)
            | Token::Whitespace(_)
            | Token::SingleQuotedString(_)
            | Token::DoubleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::NationalStringLiteral(_)
            | Token::HexStringLiteral(_) => text.push_str(&token.to_string()),
            // These two come without their escapes.
            Token::EscapedStringLiteral(content) | Token::UnicodeStringLiteral(content) => {
                let content = content.replace('\\', "\\\\").replace('\'', "\\'");
                text.push_str(&format!("E'{content}'"));
            }
            other => {
                has_numbers |= matches!(other, Token::Placeholder(_));
                // `=?` and `?||` may be read as one operator.
                for (index, part) in other.to_string().split('?').enumerate() {
                    if index > 0 {
                        count += 1;
                        text.push_str(&format!(" ${count} "));
                    }
                    text.push_str(part);
                }
            }
        }
    }
    if count > 0 && has_numbers {
        let what = "the statement has parameters of both forms; write either ? or $1, $2, …";
        return Err(Refusal::new(RefusalCode::StatementNotUnderstood, what));
    }
    Ok(if count == 0 { Cow::Borrowed(sql) } else { Cow::Owned(text) })
}

/// Writes values into a statement in the places of its parameters. Refused: a parameter without a value, a value without a
/// parameter, a value of a type that no column has, more values than [`PARAMETERS_MAX`] or larger than a statement may be.
pub(crate) fn bind(statement: &mut Statement, values: &[ScalarValue]) -> Result<(), Refusal> {
    if values.len() > PARAMETERS_MAX {
        let what = format!("{} parameters were given, at most {PARAMETERS_MAX} are allowed", values.len());
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    let mut literals = Vec::with_capacity(values.len());
    let mut bytes = 0;
    for (index, value) in values.iter().enumerate() {
        let literal = literal_of(value).ok_or_else(|| {
            let what = format!(
                "the value of ${} has a type that no column has; give a number, text, day, time or truth value",
                index + 1
            );
            Refusal::new(RefusalCode::StatementNotUnderstood, what)
        })?;
        bytes += value.try_as_str().flatten().map_or(0, str::len);
        literals.push(literal);
    }
    // As literals of the statement they would be bounded with it.
    if bytes > STATEMENT_BYTES_MAX {
        let what = format!("the parameters have {bytes} bytes of text, at most {STATEMENT_BYTES_MAX} are allowed");
        return Err(Refusal::new(RefusalCode::StatementTooLarge, what));
    }
    let Statement::Statement(statement) = statement else {
        // Anything else was refused when it was parsed.
        return Ok(());
    };
    let mut highest = 0;
    let replaced = visit_expressions_mut(statement.as_mut(), |expression| {
        let Expr::Value(value) = &expression else { return ControlFlow::Continue(()) };
        let Value::Placeholder(name) = &value.value else { return ControlFlow::Continue(()) };
        let Some(number) = number_of(name) else {
            let what = "a parameter is written as $1, $2, … or ?";
            return ControlFlow::Break(Refusal::new(RefusalCode::StatementNotUnderstood, what));
        };
        let Some(literal) = literals.get(number - 1) else {
            let what = format!("no value was given for the parameter ${number}");
            return ControlFlow::Break(Refusal::new(RefusalCode::StatementNotUnderstood, what));
        };
        highest = highest.max(number);
        // In brackets it is never taken for the number of a column of ORDER BY or GROUP BY.
        *expression = Expr::Nested(Box::new(literal.clone()));
        ControlFlow::Continue(())
    });
    if let ControlFlow::Break(refusal) = replaced {
        return Err(refusal);
    }
    if highest < values.len() {
        let what = format!("{} values were given, and the statement has {highest} parameters", values.len());
        return Err(Refusal::new(RefusalCode::StatementNotUnderstood, what));
    }
    Ok(())
}

/// The types of a plan's parameters in their order, as far as the statement tells them.
pub(crate) fn types_of(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, Refusal> {
    let named = plan.get_parameter_types().map_err(|_| {
        let what = "a parameter stands where one type is needed and where another is; write it as two";
        Refusal::new(RefusalCode::StatementNotUnderstood, what)
    })?;
    let mut types = Vec::new();
    for (name, data_type) in named {
        let Some(number) = number_of(&name) else {
            let what = "a parameter is written as $1, $2, … or ?";
            return Err(Refusal::new(RefusalCode::StatementNotUnderstood, what));
        };
        if types.len() < number {
            types.resize(number, None);
        }
        types[number - 1] = data_type.filter(|data_type| *data_type != DataType::Null);
    }
    Ok(types)
}

/// The number of `$1`, from 1 to [`PARAMETERS_MAX`].
fn number_of(name: &str) -> Option<usize> {
    let digits = name.strip_prefix('$').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))?;
    digits.parse().ok().filter(|number| (1..=PARAMETERS_MAX).contains(number))
}

/// A value as the literal that a statement would have in its place; none for a type that no column has.
fn literal_of(value: &ScalarValue) -> Option<Expr> {
    let text = |text: String| Expr::value(Value::SingleQuotedString(text));
    let cast = |text: Expr, data_type: SqlType| Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(text),
        data_type,
        array: false,
        format: None,
    };
    if value.is_null() {
        return Some(Expr::value(Value::Null));
    }
    Some(match value {
        ScalarValue::Boolean(Some(value)) => Expr::value(Value::Boolean(*value)),
        ScalarValue::Int8(Some(value)) => number(i64::from(*value).to_string()),
        ScalarValue::Int16(Some(value)) => number(i64::from(*value).to_string()),
        ScalarValue::Int32(Some(value)) => number(i64::from(*value).to_string()),
        ScalarValue::Int64(Some(value)) => number(value.to_string()),
        ScalarValue::UInt8(Some(value)) => number(value.to_string()),
        ScalarValue::UInt16(Some(value)) => number(value.to_string()),
        ScalarValue::UInt32(Some(value)) => number(value.to_string()),
        ScalarValue::UInt64(Some(value)) => number(value.to_string()),
        // Written so that it is read as a floating-point number again, with every digit.
        ScalarValue::Float32(Some(value)) if value.is_finite() => number(format!("{:?}", f64::from(*value))),
        ScalarValue::Float64(Some(value)) if value.is_finite() => number(format!("{value:?}")),
        ScalarValue::Decimal32(Some(_), precision, scale)
        | ScalarValue::Decimal64(Some(_), precision, scale)
        | ScalarValue::Decimal128(Some(_), precision, scale)
        | ScalarValue::Decimal256(Some(_), precision, scale) => cast(
            text(shown(value)?),
            SqlType::Decimal(ExactNumberInfo::PrecisionAndScale(u64::from(*precision), i64::from(*scale))),
        ),
        ScalarValue::Utf8(Some(value)) | ScalarValue::LargeUtf8(Some(value)) | ScalarValue::Utf8View(Some(value)) => {
            text(value.clone())
        }
        ScalarValue::Date32(Some(_)) => cast(text(shown(value)?), SqlType::Date),
        ScalarValue::Date64(Some(milliseconds)) if milliseconds % 86_400_000 == 0 => {
            let day = ScalarValue::Date32(Some(i32::try_from(milliseconds / 86_400_000).ok()?));
            cast(text(shown(&day)?), SqlType::Date)
        }
        ScalarValue::TimestampSecond(Some(at), zone) => moment(at.checked_mul(1_000_000_000)?, zone.is_some())?,
        ScalarValue::TimestampMillisecond(Some(at), zone) => moment(at.checked_mul(1_000_000)?, zone.is_some())?,
        ScalarValue::TimestampMicrosecond(Some(at), zone) => moment(at.checked_mul(1_000)?, zone.is_some())?,
        ScalarValue::TimestampNanosecond(Some(at), zone) => moment(*at, zone.is_some())?,
        _ => return None,
    })
}

fn number(text: String) -> Expr {
    match text.strip_prefix('-') {
        None => Expr::value(Value::Number(text, false)),
        Some(digits) => Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr: Box::new(Expr::value(Value::Number(digits.to_owned(), false))),
        },
    }
}

/// A time in nanoseconds since 1970, in microseconds where that loses nothing, because columns are kept in those.
fn moment(nanoseconds: i64, has_zone: bool) -> Option<Expr> {
    let (value, precision) = match nanoseconds % 1_000 {
        0 => (ScalarValue::TimestampMicrosecond(Some(nanoseconds / 1_000), None), 6),
        _ => (ScalarValue::TimestampNanosecond(Some(nanoseconds), None), 9),
    };
    let (zone, suffix) = if has_zone { (TimezoneInfo::WithTimeZone, "Z") } else { (TimezoneInfo::None, "") };
    Some(Expr::Cast {
        kind: CastKind::Cast,
        expr: Box::new(Expr::value(Value::SingleQuotedString(format!("{}{suffix}", shown(&value)?)))),
        data_type: SqlType::Timestamp(Some(precision), zone),
        array: false,
        format: None,
    })
}

/// A value as Arrow writes it: days and times as in ISO 8601, decimals with every digit.
fn shown(value: &ScalarValue) -> Option<String> {
    arrow::util::display::array_value_to_string(&value.to_array().ok()?, 0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn question_marks_are_numbered_where_they_are_parameters() {
        for (given, expected) in [
            ("select a from t where a=? and b>=?", "select a from t where a= $1  and b>= $2 "),
            ("select ?||'x?' from t -- why?\n", "select  $1 ||'x?' from t -- why?\n"),
            (
                "select \"a?\", 'it''s ?', E'\\'?' from t where a = ?",
                "select \"a?\", 'it''s ?', E'\\'?' from t where a =  $1 ",
            ),
            ("select U&'\\597D?\\\\', $$ ? $$, ?", "select E'好?\\\\', $$ ? $$,  $1 "),
            ("select '?'", "select '?'"),
            ("select a from t where b = $1", "select a from t where b = $1"),
        ] {
            assert_eq!(numbered(given).unwrap(), expected);
        }
        assert!(numbered("select ? + $1").is_err());
    }
}
