//! Words of a request as typed constants: the one place that reads a key part, a claimed value or a filter's value.
//!
//! A constant is read by its column's type and by nothing else, so `"450100"` is a text for a column of text and an error
//! for a column of numbers. Messages name the column and what it is, never the value.

use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use lingqu_domain::predicate::Literal;
use lingqu_engine::lookup::LookupError;
use lingqu_engine::{ColumnType, ColumnView};
use rust_decimal::Decimal;
use serde_json::Value;

use crate::error::GatewayError;

/// A value of JSON for a column; `None` for null. Numbers stand for numbers and decimals (decimals may be written as text,
/// which keeps every digit), texts for texts, dates and times. Error: `invalid`, naming the column and what it is.
pub fn from_json(column: &ColumnView, value: &Value) -> Result<Option<Literal>, GatewayError> {
    let literal = match (value, column.column_type) {
        (Value::Null, _) => return Ok(None),
        (Value::Bool(value), ColumnType::Boolean) => Some(Literal::Boolean(*value)),
        (Value::Number(number), ColumnType::Integer | ColumnType::Float | ColumnType::Decimal { .. }) => {
            parse(column.column_type, &number.to_string())
        }
        (
            Value::String(text),
            ColumnType::Text
            | ColumnType::Decimal { .. }
            | ColumnType::Date
            | ColumnType::LocalTimestamp
            | ColumnType::Timestamp,
        ) => parse(column.column_type, text),
        _ => None,
    };
    literal.map(Some).ok_or_else(|| wrong_type(column))
}

/// A value of an address for a column. Error: `invalid`, naming the column and what it is.
pub fn from_text(column: &ColumnView, text: &str) -> Result<Literal, GatewayError> {
    parse(column.column_type, text).ok_or_else(|| wrong_type(column))
}

fn parse(column_type: ColumnType, text: &str) -> Option<Literal> {
    match column_type {
        ColumnType::Integer => text.parse().ok().map(Literal::Integer),
        ColumnType::Float | ColumnType::Decimal { .. } => {
            Decimal::from_str(text).or_else(|_| Decimal::from_scientific(text)).ok().map(Literal::Decimal)
        }
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

fn wrong_type(column: &ColumnView) -> GatewayError {
    LookupError::WrongType { column: column.name.to_string(), expected: column.column_type.describe().to_owned() }
        .into()
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

    use super::*;

    fn column(column_type: ColumnType) -> ColumnView {
        ColumnView { name: ColumnName::new("c").unwrap(), column_type }
    }

    fn read(column_type: ColumnType, value: Value) -> Option<Literal> {
        from_json(&column(column_type), &value).ok().flatten()
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
        assert_eq!(from_json(&column(ColumnType::Text), &Value::Null).unwrap(), None);
    }

    #[test]
    fn an_error_names_the_column_and_not_the_value() {
        let error = from_json(&column(ColumnType::Integer), &json!("a secret")).unwrap_err();
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
