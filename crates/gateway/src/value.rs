//! Words of a request as typed constants: the one place that reads a key part, a claimed value or a filter's value.
//!
//! A constant is read by its column's type and by nothing else, so `"450100"` is a text for a column of text and an error
//! for a column of numbers. Messages name the column and what it is, never the value.

use std::borrow::Cow;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use lingqu_domain::predicate::Literal;
use lingqu_engine::lookup::LookupError;
use lingqu_engine::{ColumnType, ColumnView};
use rust_decimal::Decimal;
use serde_json::value::RawValue;

use crate::error::GatewayError;

/// What is said of a number that was not compared because it would have had to be rounded.
const NUMBER_IN_FULL: &str = "a number of at most 28 digits, at most 28 of them after the point";

/// A value of JSON for a column, as it is written; `None` for null. Numbers stand for numbers and decimals (decimals may be
/// written as text), texts for texts, dates and times. Error: `invalid`, naming the column and what it is.
pub fn from_json(column: &ColumnView, value: &RawValue) -> Result<Option<Literal>, GatewayError> {
    let written = value.get();
    let text = match (written.as_bytes(), column.column_type) {
        ([b'n', ..], _) => return Ok(None),
        ([b't' | b'f', ..], ColumnType::Boolean)
        | ([b'-' | b'0'..=b'9', ..], ColumnType::Integer | ColumnType::Float | ColumnType::Decimal { .. }) => {
            Cow::Borrowed(written)
        }
        (
            [b'"', ..],
            ColumnType::Text
            | ColumnType::Decimal { .. }
            | ColumnType::Date
            | ColumnType::LocalTimestamp
            | ColumnType::Timestamp,
        ) => Cow::Owned(serde_json::from_str(written).map_err(|_| wrong_type(column, column.column_type.describe()))?),
        _ => return Err(wrong_type(column, column.column_type.describe())),
    };
    from_text(column, &text).map(Some)
}

/// A value of an address for a column. Error: `invalid`, naming the column and what it is.
pub fn from_text(column: &ColumnView, text: &str) -> Result<Literal, GatewayError> {
    parse(column.column_type, text).ok_or_else(|| {
        let is_number = matches!(column.column_type, ColumnType::Float | ColumnType::Decimal { .. });
        wrong_type(
            column,
            if is_number && text.parse::<f64>().is_ok_and(f64::is_finite) {
                NUMBER_IN_FULL
            } else {
                column.column_type.describe()
            },
        )
    })
}

fn parse(column_type: ColumnType, text: &str) -> Option<Literal> {
    match column_type {
        ColumnType::Integer => text.parse().ok().map(Literal::Integer),
        ColumnType::Float | ColumnType::Decimal { .. } => decimal(text).map(Literal::Decimal),
        ColumnType::Date => text.parse::<Date>().ok().map(Literal::Date),
        // A time without an offset is kept as if it were in UTC.
        ColumnType::LocalTimestamp => {
            let moment = Offset::UTC.to_timestamp(text.parse::<DateTime>().ok()?).ok()?;
            Some(Literal::Timestamp(moment))
        }
        ColumnType::Timestamp => text.parse::<Timestamp>().ok().map(Literal::Timestamp),
        ColumnType::Boolean => text.parse().ok().map(Literal::Boolean),
        ColumnType::Text => Some(Literal::Text(text.to_owned())),
    }
}

/// A number with all its digits, with or without an exponent; none that would have to be rounded.
fn decimal(text: &str) -> Option<Decimal> {
    match text.split_once(['e', 'E']) {
        None => Decimal::from_str_exact(text).ok(),
        Some((digits, _)) => Decimal::from_str_exact(digits).and_then(|_| Decimal::from_scientific(text)).ok(),
    }
}

fn wrong_type(column: &ColumnView, expected: &str) -> GatewayError {
    LookupError::WrongType { column: column.name.to_string(), expected: expected.to_owned() }.into()
}

/// A constant as SQL. Text is quoted and its quotes doubled; nothing that a client wrote reaches SQL in another way.
pub fn to_sql(literal: &Literal) -> String {
    match literal {
        Literal::Text(text) => quoted(text),
        Literal::Integer(value) => value.to_string(),
        Literal::Decimal(value) => value.to_string(),
        Literal::Date(date) => quoted(&date.to_string()),
        Literal::Timestamp(moment) => quoted(&Offset::UTC.to_datetime(*moment).to_string()),
        Literal::Boolean(value) => value.to_string(),
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use lingqu_domain::scope::ColumnName;
    use serde_json::json;
    use serde_json::value::to_raw_value;

    use super::*;

    fn column(column_type: ColumnType) -> ColumnView {
        ColumnView { name: ColumnName::new("c").unwrap(), column_type }
    }

    fn read(column_type: ColumnType, value: serde_json::Value) -> Option<Literal> {
        from_json(&column(column_type), &to_raw_value(&value).unwrap()).ok().flatten()
    }

    #[test]
    fn json_is_read_by_the_column_type_alone() {
        assert_eq!(read(ColumnType::Integer, json!(7)), Some(Literal::Integer(7)));
        assert_eq!(read(ColumnType::Integer, json!("7")), None);
        assert_eq!(read(ColumnType::Integer, json!(7.5)), None);
        assert_eq!(read(ColumnType::Text, json!("7")), Some(Literal::Text("7".to_owned())));
        assert_eq!(read(ColumnType::Text, json!(7)), None);
        assert_eq!(read(ColumnType::Float, json!(0.1)), Some(Literal::Decimal(Decimal::new(1, 1))));
        assert_eq!(read(ColumnType::Float, json!(1e3)), Some(Literal::Decimal(Decimal::new(1000, 0))));
        let decimal = ColumnType::Decimal { precision: 38, scale: 20 };
        let digits = "1.23456789012345678901";
        assert_eq!(read(decimal, json!(digits)), Some(Literal::Decimal(digits.parse().unwrap())));
        assert_eq!(read(ColumnType::Boolean, json!(true)), Some(Literal::Boolean(true)));
        assert_eq!(read(ColumnType::Boolean, json!("true")), None);
        assert_eq!(read(ColumnType::Date, json!("2013-02-30")), None);
        assert_eq!(read(ColumnType::Date, json!("2013-02-28")), Some(Literal::Date("2013-02-28".parse().unwrap())));
        let moment = Literal::Timestamp("2013-01-01T05:00:00Z".parse().unwrap());
        assert_eq!(read(ColumnType::Timestamp, json!("2013-01-01T13:00:00+08:00")), Some(moment.clone()));
        assert_eq!(read(ColumnType::Timestamp, json!("2013-01-01T13:00:00")), None);
        assert_eq!(read(ColumnType::LocalTimestamp, json!("2013-01-01 05:00:00")), Some(moment));
        assert_eq!(read(ColumnType::Text, json!({"a": 1})), None);
        assert_eq!(from_json(&column(ColumnType::Text), &to_raw_value(&()).unwrap()).unwrap(), None);
    }

    #[test]
    fn a_number_keeps_every_digit_or_is_refused() {
        let read = |column_type, written: &str| {
            let raw = RawValue::from_string(written.to_owned()).unwrap();
            from_json(&column(column_type), &raw).map_err(|error| error.problem().detail_en)
        };
        let number = |text: &str| Ok(Some(Literal::Decimal(text.parse().unwrap())));
        let decimal = ColumnType::Decimal { precision: 38, scale: 6 };
        for column_type in [decimal, ColumnType::Float] {
            // As a float it would be 12345678901234568 and 0.30000000000000004.
            assert_eq!(read(column_type, "12345678901234567.89"), number("12345678901234567.89"));
            assert_eq!(read(column_type, "0.3000000000000000444"), number("0.3000000000000000444"));
            assert_eq!(read(column_type, "1.25e2"), number("125"));
            // It would be rounded to one.
            for written in ["0.99999999999999999999999999999", "9.9999999999999999999999999999999e-1", "1e-29"] {
                let told = read(column_type, written).unwrap_err();
                assert!(told.contains("at most 28 digits") && !told.contains("99999"), "{told}");
            }
        }
    }

    #[test]
    fn an_error_names_the_column_and_not_the_value() {
        let error = from_json(&column(ColumnType::Integer), &to_raw_value("a secret").unwrap()).unwrap_err();
        let problem = error.problem();
        assert_eq!((problem.status, problem.code.as_str()), (422, "invalid"));
        assert!(problem.detail_en.contains("`c` is a whole number"), "{}", problem.detail_en);
        assert!(!problem.detail_en.contains("secret"));
    }

    #[test]
    fn text_can_not_leave_its_quotes() {
        assert_eq!(to_sql(&Literal::Text("x' OR '1'='1".to_owned())), "'x'' OR ''1''=''1'");
        assert_eq!(to_sql(&Literal::Integer(-5)), "-5");
        assert_eq!(to_sql(&Literal::Date("2013-02-28".parse().unwrap())), "'2013-02-28'");
        let moment = Literal::Timestamp("2013-01-01T05:00:00.25Z".parse().unwrap());
        assert_eq!(to_sql(&moment), "'2013-01-01T05:00:00.25'");
    }
}
