//! Values of a statement's parameters, in text or binary, as typed constants. A refusal names the parameter and its type, never
//! the value.

use std::str::FromStr;

use arrow::datatypes::DataType;
use arrow_pg::datatypes::into_pg_type;
use datafusion::scalar::ScalarValue;
use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::Offset;
use pgwire::api::Type;
use pgwire::api::results::FieldFormat;

use super::numeric::Numeric;
use super::refusal::Refused;
use super::rows::EPOCH_MICROSECONDS;

/// Days from 1970-01-01 to 2000-01-01.
const EPOCH_DAYS: i32 = 10_957;

/// What a parameter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Boolean,
    /// With its bytes in the binary format.
    Integer(usize),
    Object,
    Float,
    Double,
    Numeric,
    Text,
    Date,
    LocalTimestamp,
    Timestamp,
}

impl Kind {
    fn of(oid: u32) -> Option<Kind> {
        Some(match Type::from_oid(oid)? {
            Type::BOOL => Kind::Boolean,
            Type::INT2 => Kind::Integer(2),
            Type::INT4 => Kind::Integer(4),
            Type::INT8 => Kind::Integer(8),
            Type::OID => Kind::Object,
            Type::FLOAT4 => Kind::Float,
            Type::FLOAT8 => Kind::Double,
            Type::NUMERIC => Kind::Numeric,
            Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::UNKNOWN => Kind::Text,
            Type::DATE => Kind::Date,
            Type::TIMESTAMP => Kind::LocalTimestamp,
            Type::TIMESTAMPTZ => Kind::Timestamp,
            _ => return None,
        })
    }
}

/// The type of a parameter: what the client says, or else what the statement makes of it, or else text.
pub(super) fn type_of(declared: u32, inferred: Option<&DataType>) -> u32 {
    if declared != 0 {
        return declared;
    }
    let inferred = inferred.and_then(|data_type| into_pg_type(data_type).ok());
    match inferred {
        Some(known) if Kind::of(known.oid()).is_some() && known != Type::UNKNOWN => known.oid(),
        _ => Type::TEXT.oid(),
    }
}

/// The value of the `number`th parameter, counted from 1.
pub(super) fn read(number: usize, oid: u32, format: FieldFormat, value: Option<&[u8]>) -> Result<ScalarValue, Refused> {
    let name = Type::from_oid(oid).map_or_else(|| oid.to_string(), |known| known.name().to_owned());
    let Some(kind) = Kind::of(oid) else {
        return Err(Refused::unsupported(
            format!("参数 ${number} 的类型 {name} 不受支持，请改用文本、数值、日期或时间"),
            format!(
                "the parameter ${number} is of the type {name}, which is not taken; use text, a number, a date or a time"
            ),
        ));
    };
    let Some(bytes) = value else { return Ok(null(kind)) };
    let read = match format {
        FieldFormat::Text => std::str::from_utf8(bytes).ok().and_then(|text| from_text(kind, text)),
        FieldFormat::Binary => from_binary(kind, bytes),
    };
    read.ok_or_else(|| {
        Refused::malformed(
            "22P02",
            format!("参数 ${number} 的值不是有效的 {name}"),
            format!("the value of the parameter ${number} is no {name}"),
        )
    })
}

fn null(kind: Kind) -> ScalarValue {
    match kind {
        Kind::Boolean => ScalarValue::Boolean(None),
        Kind::Integer(_) | Kind::Object => ScalarValue::Int64(None),
        Kind::Float | Kind::Double => ScalarValue::Float64(None),
        Kind::Numeric => ScalarValue::Decimal128(None, 38, 0),
        Kind::Text => ScalarValue::Utf8(None),
        Kind::Date => ScalarValue::Date32(None),
        Kind::LocalTimestamp => ScalarValue::TimestampMicrosecond(None, None),
        Kind::Timestamp => ScalarValue::TimestampMicrosecond(None, Some("UTC".into())),
    }
}

fn from_text(kind: Kind, text: &str) -> Option<ScalarValue> {
    let word = text.trim();
    Some(match kind {
        Kind::Boolean => ScalarValue::Boolean(Some(match word.to_ascii_lowercase().as_str() {
            "t" | "true" | "y" | "yes" | "on" | "1" => true,
            "f" | "false" | "n" | "no" | "off" | "0" => false,
            _ => return None,
        })),
        Kind::Integer(2) => ScalarValue::Int64(Some(i64::from(word.parse::<i16>().ok()?))),
        Kind::Integer(4) => ScalarValue::Int64(Some(i64::from(word.parse::<i32>().ok()?))),
        Kind::Integer(_) => ScalarValue::Int64(Some(word.parse().ok()?)),
        Kind::Object => ScalarValue::Int64(Some(i64::from(word.parse::<u32>().ok()?))),
        Kind::Float | Kind::Double => ScalarValue::Float64(Some(f64::from_str(word).ok()?)),
        Kind::Numeric => numeric(Numeric::from_text(word)?),
        Kind::Text => ScalarValue::Utf8(Some(text.to_owned())),
        Kind::Date => {
            // Drivers add the zone that a date has none of.
            let date: Date = word.get(..10).filter(|_| is_zone(&word[10..])).unwrap_or(word).parse().ok()?;
            let days = date.duration_since(Date::constant(1970, 1, 1)).as_hours() / 24;
            ScalarValue::Date32(Some(i32::try_from(days).ok()?))
        }
        Kind::LocalTimestamp => ScalarValue::TimestampMicrosecond(Some(local_microseconds(word)?), None),
        Kind::Timestamp => ScalarValue::TimestampMicrosecond(Some(moment_microseconds(word)?), Some("UTC".into())),
    })
}

/// Nothing, or an offset like ` +08`, `+08:00`, `Z`.
fn is_zone(text: &str) -> bool {
    let text = text.trim();
    text.is_empty()
        || text == "Z"
        || (text.starts_with(['+', '-']) && text[1..].bytes().all(|byte| byte.is_ascii_digit() || byte == b':'))
}

/// A time without a zone; one that a driver adds is not looked at, as in PostgreSQL.
fn local_microseconds(text: &str) -> Option<i64> {
    let zone_at = text.get(11..).and_then(|time| time.find(['+', '-', 'Z'])).map_or(text.len(), |at| at + 11);
    let local: DateTime = text[..zone_at].trim().parse().ok()?;
    is_zone(&text[zone_at..]).then_some(())?;
    Some(Offset::UTC.to_timestamp(local).ok()?.as_microsecond())
}

/// A moment; without a zone it is one of UTC, the session's only zone.
fn moment_microseconds(text: &str) -> Option<i64> {
    match text.parse::<Timestamp>() {
        Ok(moment) => Some(moment.as_microsecond()),
        Err(_) => {
            let local: DateTime = text.parse().ok()?;
            Some(Offset::UTC.to_timestamp(local).ok()?.as_microsecond())
        }
    }
}

fn from_binary(kind: Kind, bytes: &[u8]) -> Option<ScalarValue> {
    Some(match kind {
        Kind::Boolean => ScalarValue::Boolean(Some(match bytes {
            [0] => false,
            [1] => true,
            _ => return None,
        })),
        Kind::Integer(2) => ScalarValue::Int64(Some(i64::from(i16::from_be_bytes(bytes.try_into().ok()?)))),
        Kind::Integer(4) => ScalarValue::Int64(Some(i64::from(i32::from_be_bytes(bytes.try_into().ok()?)))),
        Kind::Integer(_) => ScalarValue::Int64(Some(i64::from_be_bytes(bytes.try_into().ok()?))),
        Kind::Object => ScalarValue::Int64(Some(i64::from(u32::from_be_bytes(bytes.try_into().ok()?)))),
        Kind::Float => ScalarValue::Float64(Some(f64::from(f32::from_be_bytes(bytes.try_into().ok()?)))),
        Kind::Double => ScalarValue::Float64(Some(f64::from_be_bytes(bytes.try_into().ok()?))),
        Kind::Numeric => numeric(Numeric::from_binary(bytes)?),
        Kind::Text => ScalarValue::Utf8(Some(std::str::from_utf8(bytes).ok()?.to_owned())),
        Kind::Date => ScalarValue::Date32(Some(i32::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_DAYS)?)),
        Kind::LocalTimestamp | Kind::Timestamp => {
            let microseconds = i64::from_be_bytes(bytes.try_into().ok()?).checked_add(EPOCH_MICROSECONDS)?;
            let zone = (kind == Kind::Timestamp).then(|| "UTC".into());
            ScalarValue::TimestampMicrosecond(Some(microseconds), zone)
        }
    })
}

fn numeric(numeric: Numeric) -> ScalarValue {
    ScalarValue::Decimal128(Some(numeric.unscaled), 38, numeric.scale)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOOL: u32 = 16;
    const INT4: u32 = 23;
    const FLOAT4: u32 = 700;
    const NUMERIC: u32 = 1700;
    const TEXT: u32 = 25;
    const DATE: u32 = 1082;
    const TIMESTAMP: u32 = 1114;
    const TIMESTAMPTZ: u32 = 1184;

    fn text(oid: u32, value: &str) -> Option<ScalarValue> {
        read(1, oid, FieldFormat::Text, Some(value.as_bytes())).ok()
    }

    fn binary(oid: u32, value: &[u8]) -> Option<ScalarValue> {
        read(1, oid, FieldFormat::Binary, Some(value)).ok()
    }

    #[test]
    fn both_formats_give_the_same_value() {
        for (oid, as_text, as_binary) in [
            (BOOL, "t", &[1][..]),
            (INT4, "-7", &(-7_i32).to_be_bytes()[..]),
            (FLOAT4, "1.5", &1.5_f32.to_be_bytes()[..]),
            (NUMERIC, "-123.45", &[0, 2, 0, 0, 0x40, 0, 0, 2, 0, 0x7b, 0x11, 0x94][..]),
            (TEXT, " 灵渠 ", " 灵渠 ".as_bytes()),
            (DATE, "2013-01-01", &4_749_i32.to_be_bytes()[..]),
            (TIMESTAMP, "2013-01-01 05:00:00.25", &410_331_600_250_000_i64.to_be_bytes()[..]),
            (TIMESTAMPTZ, "2013-01-01 13:00:00.25+08", &410_331_600_250_000_i64.to_be_bytes()[..]),
        ] {
            let value = text(oid, as_text).unwrap();
            assert_eq!(Some(&value), binary(oid, as_binary).as_ref(), "{as_text}");
            assert!(read(1, oid, FieldFormat::Text, None).unwrap().is_null());
        }
    }

    /// The JDBC driver writes dates and times so, with no type.
    #[test]
    fn a_zone_that_a_driver_adds_is_left_aside() {
        assert_eq!(text(DATE, "2013-01-01 +08"), text(DATE, "2013-01-01"));
        assert_eq!(text(TIMESTAMP, "2013-01-01 05:00:00+08"), text(TIMESTAMP, "2013-01-01 05:00:00"));
        assert_eq!(text(DATE, "2013-01-01x"), None);
        assert_eq!(text(TIMESTAMP, "2013-01-01 05:00:00+x"), None);
    }

    #[test]
    fn types_are_the_clients_or_the_statements_or_text() {
        assert_eq!(type_of(INT4, Some(&DataType::Utf8)), INT4);
        assert_eq!(type_of(0, Some(&DataType::Date32)), DATE);
        assert_eq!(type_of(0, Some(&DataType::Binary)), TEXT);
        assert_eq!(type_of(0, None), TEXT);
    }

    #[test]
    fn a_refusal_names_the_parameter_and_not_the_value() {
        let mut outbox = super::super::frame::Outbox::default();
        read(2, INT4, FieldFormat::Text, Some(b"a secret")).unwrap_err().put(&mut outbox);
        let said = String::from_utf8_lossy(&outbox.bytes).into_owned();
        assert!(said.contains("C22P02") && said.contains("$2 is no int4") && !said.contains("secret"), "{said}");
        // An array.
        assert!(read(1, 1007, FieldFormat::Text, Some(b"{}")).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(oid in proptest::sample::select(vec![16_u32, 18, 20, 21, 23, 26, 700, 701, 1700, 25, 1082, 1114, 1184, 705, 0]), value: Vec<u8>, word: String) {
            let _ = binary(oid, &value);
            let _ = read(1, oid, FieldFormat::Text, Some(&value));
            let _ = text(oid, &word);
            let _ = text(oid, &format!("2013-01-01 05:00:00{word}"));
        }
    }
}
