//! Values of text sources: working out a column's type, and building its array.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};

use super::error::FoundKind;
use crate::BATCH_ROWS;
use crate::columns::ColumnType;

/// One value as the file gives it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    /// Text that may mean anything (CSV).
    Raw(&'a str),
    /// Text that is meant as text (a JSON string); it may still be a date.
    Text(&'a str),
    /// A number as it is written (JSON): it may have more digits than a float keeps.
    Number(&'a str),
    Integer(i64),
    /// A number of a spreadsheet. One that was written with more digits than it keeps is another one by now.
    Float(f64),
    Boolean(bool),
    /// A day, or a time on a day: microseconds since 1970-01-01, without an offset.
    Moment(i64),
    /// An object or array.
    Nested,
    /// What is no value at all, such as an error of a spreadsheet.
    Fault(FoundKind),
}

impl Cell<'_> {
    /// What a text takes; other values are small.
    pub(super) fn text_bytes(&self) -> u64 {
        match self {
            Cell::Raw(text) | Cell::Text(text) | Cell::Number(text) => text.len() as u64,
            _ => 0,
        }
    }
}

/// The largest whole number that a spreadsheet holds exactly, and that no other comes to be in it: its programs keep 15 digits of a
/// number and make the rest zeros.
pub(super) const EXACT_WHOLE_MAX: f64 = 999_999_999_999_999.0;
/// Digits that a floating-point number keeps whatever they are.
const EXACT_DIGITS_MAX: usize = 15;

/// Microseconds of a day.
const DAY_MICROSECONDS: i64 = 86_400_000_000;

/// Most fractional digits of a column that is taken for an exact decimal.
const DECIMAL_SCALE_MAX: usize = 4;
/// Most digits of a column that is taken for an exact decimal.
const DECIMAL_DIGITS_MAX: usize = 18;
/// Digits of the largest integer.
const INTEGER_DIGITS_MAX: usize = 19;
/// No decimal needs a larger exponent, and none makes room for so many zeros.
const EXPONENT_MAX: isize = 100;

/// The types that all values of a column seen so far would fit.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    seen: bool,
    integer: bool,
    float: bool,
    /// A whole number was seen that an integer can't hold and of which a float would lose digits: a code, not a measure.
    has_long_whole: bool,
    /// An exact decimal is assumed only where every value has the same number of fractional digits, as amounts of
    /// money do; measured numbers do not.
    decimal: bool,
    decimal_scale: Option<usize>,
    decimal_digits: usize,
    date: bool,
    local_timestamp: bool,
    timestamp: bool,
    boolean: bool,
}

impl Default for Candidate {
    fn default() -> Self {
        Self {
            seen: false,
            integer: true,
            float: true,
            has_long_whole: false,
            decimal: true,
            decimal_scale: None,
            decimal_digits: 0,
            date: true,
            local_timestamp: true,
            timestamp: true,
            boolean: true,
        }
    }
}

impl Candidate {
    /// Narrows the types by one more value.
    pub(super) fn observe(&mut self, cell: Cell<'_>) {
        let none = Candidate {
            seen: true,
            integer: false,
            float: false,
            decimal: false,
            date: false,
            local_timestamp: false,
            timestamp: false,
            boolean: false,
            ..self.clone()
        };
        match cell {
            // A fault tells nothing of the column's type; it is refused or rejected where the value is read.
            Cell::Null | Cell::Fault(_) => {}
            Cell::Nested => *self = none,
            Cell::Moment(value) => {
                let is_day = value.rem_euclid(DAY_MICROSECONDS) == 0;
                *self = Candidate { date: self.date && is_day, local_timestamp: self.local_timestamp, ..none };
            }
            Cell::Integer(_) => *self = Candidate { integer: self.integer, float: self.float, ..none },
            Cell::Float(value) => {
                let has_long_whole = self.has_long_whole || is_rounded_whole(value);
                *self = Candidate { float: self.float, has_long_whole, ..none };
            }
            Cell::Number(text) => {
                let integer = self.integer && parse_integer(text).is_some();
                let has_long_whole = self.has_long_whole || is_long_whole(text);
                *self = Candidate { integer, float: self.float && parse_float(text).is_some(), has_long_whole, ..none };
            }
            Cell::Boolean(_) => *self = Candidate { boolean: self.boolean, ..none },
            Cell::Text(text) => {
                self.observe_text(text);
                self.integer = false;
                self.float = false;
                self.decimal = false;
                self.boolean = false;
            }
            Cell::Raw(text) => self.observe_text(text),
        }
    }

    fn observe_text(&mut self, text: &str) {
        self.seen = true;
        // Parsing is skipped for a type that is ruled out already: most columns settle within a few rows.
        self.integer = self.integer && parse_integer(text).is_some();
        // What is a whole number is a number.
        self.float = self.integer || (self.float && parse_float(text).is_some());
        self.has_long_whole = self.has_long_whole || (self.float && is_long_whole(text));
        self.decimal = self.decimal && self.fits_decimal(text);
        self.date = self.date && parse_date(text).is_some();
        if self.local_timestamp || self.timestamp {
            let parsed = parse_timestamp(text);
            self.local_timestamp = self.local_timestamp && matches!(parsed, Some((_, false)));
            self.timestamp = self.timestamp && matches!(parsed, Some((_, true)));
        }
        self.boolean = self.boolean && parse_boolean(text).is_some();
    }

    fn fits_decimal(&mut self, text: &str) -> bool {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        let Some((whole, fraction)) = unsigned.split_once('.') else { return false };
        if !is_plain_whole(whole) || fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return false;
        }
        self.decimal_digits = self.decimal_digits.max(whole.len() + fraction.len());
        let scale = *self.decimal_scale.get_or_insert(fraction.len());
        scale == fraction.len() && scale <= DECIMAL_SCALE_MAX && self.decimal_digits <= DECIMAL_DIGITS_MAX
    }

    /// The same, or nothing for a column without values. Long whole numbers are numbers here: a declared column may take them.
    pub(super) fn decide_seen(&self) -> Option<ColumnType> {
        self.seen.then(|| Candidate { has_long_whole: false, ..self.clone() }.decide())
    }

    /// The narrowest type that all values fit; a column without values is text.
    pub(super) fn decide(&self) -> ColumnType {
        if !self.seen {
            ColumnType::Text
        } else if self.boolean {
            ColumnType::Boolean
        } else if self.integer {
            ColumnType::Integer
        } else if self.decimal {
            let scale = i8::try_from(self.decimal_scale.unwrap_or(0)).expect("at most DECIMAL_SCALE_MAX");
            ColumnType::Decimal { precision: 18, scale }
        } else if self.float && !self.has_long_whole {
            ColumnType::Float
        } else if self.date {
            ColumnType::Date
        } else if self.local_timestamp {
            ColumnType::LocalTimestamp
        } else if self.timestamp {
            ColumnType::Timestamp
        } else {
            ColumnType::Text
        }
    }
}

/// A value that does not fit the column.
pub(super) struct Misfit {
    pub(super) kind: FoundKind,
    pub(super) length: usize,
}

impl Misfit {
    fn of(cell: Cell<'_>) -> Misfit {
        let (kind, length) = match cell {
            Cell::Raw(text) | Cell::Text(text) => {
                let is_number = matches!(cell, Cell::Raw(_)) && parse_float(text).is_some();
                (if is_number { FoundKind::Number } else { FoundKind::Text }, text.chars().count())
            }
            Cell::Number(text) if parse_float(text).is_none() => (FoundKind::NotFinite, text.len()),
            Cell::Number(text) => (FoundKind::Number, text.len()),
            Cell::Integer(value) => (FoundKind::Number, value.to_string().len()),
            Cell::Float(value) if !value.is_finite() => (FoundKind::NotFinite, value.to_string().len()),
            Cell::Float(value) if is_rounded(value) => (FoundKind::LongNumber, value.to_string().len()),
            Cell::Float(value) => (FoundKind::Number, value.to_string().len()),
            Cell::Boolean(value) => (FoundKind::Boolean, value.to_string().len()),
            Cell::Moment(value) => (FoundKind::Moment, moment_text(value).len()),
            Cell::Fault(kind) => (kind, 0),
            Cell::Nested | Cell::Null => (FoundKind::Nested, 0),
        };
        Misfit { kind, length }
    }
}

/// Builds one column of a batch.
pub(super) enum ColumnBuilder {
    Integer(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder, bool),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
}

impl ColumnBuilder {
    pub(super) fn new(column_type: ColumnType) -> Self {
        match column_type {
            ColumnType::Integer => ColumnBuilder::Integer(Int64Builder::with_capacity(BATCH_ROWS)),
            ColumnType::Float => ColumnBuilder::Float(Float64Builder::with_capacity(BATCH_ROWS)),
            ColumnType::Decimal { precision, scale } => {
                let builder = Decimal128Builder::with_capacity(BATCH_ROWS).with_data_type(column_type.arrow());
                ColumnBuilder::Decimal(builder, precision, scale)
            }
            ColumnType::Date => ColumnBuilder::Date(Date32Builder::with_capacity(BATCH_ROWS)),
            ColumnType::LocalTimestamp | ColumnType::Timestamp => {
                let builder =
                    TimestampMicrosecondBuilder::with_capacity(BATCH_ROWS).with_data_type(column_type.arrow());
                ColumnBuilder::Timestamp(builder, column_type == ColumnType::Timestamp)
            }
            ColumnType::Boolean => ColumnBuilder::Boolean(BooleanBuilder::with_capacity(BATCH_ROWS)),
            ColumnType::Text => ColumnBuilder::Text(StringBuilder::new()),
        }
    }

    /// Appends a value, or says that it does not fit.
    pub(super) fn append(&mut self, cell: Cell<'_>) -> Result<(), Misfit> {
        let misfit = Misfit::of;
        match self {
            ColumnBuilder::Integer(builder) => builder.append_option(match cell {
                Cell::Null => None,
                Cell::Raw(text) | Cell::Number(text) => Some(parse_integer(text).ok_or_else(|| misfit(cell))?),
                Cell::Integer(value) => Some(value),
                other => return Err(misfit(other)),
            }),
            ColumnBuilder::Float(builder) => builder.append_option(match cell {
                Cell::Null => None,
                Cell::Raw(text) | Cell::Number(text) => Some(parse_float(text).ok_or_else(|| misfit(cell))?),
                #[expect(clippy::cast_precision_loss, reason = "a float column takes whole numbers as floats")]
                Cell::Integer(value) => Some(value as f64),
                Cell::Float(value) if value.is_finite() => Some(value),
                other => return Err(misfit(other)),
            }),
            ColumnBuilder::Decimal(builder, precision, scale) => builder.append_option(match cell {
                Cell::Null => None,
                Cell::Raw(text) => Some(parse_decimal(text, *precision, *scale).ok_or_else(|| misfit(cell))?),
                Cell::Number(text) => Some(decimal_of_number(text, *precision, *scale).ok_or_else(|| misfit(cell))?),
                Cell::Integer(value) => {
                    Some(parse_decimal(&value.to_string(), *precision, *scale).ok_or_else(|| misfit(cell))?)
                }
                Cell::Float(value) if !is_rounded(value) => {
                    Some(parse_decimal(&value.to_string(), *precision, *scale).ok_or_else(|| misfit(cell))?)
                }
                other => return Err(misfit(other)),
            }),
            ColumnBuilder::Date(builder) => builder.append_option(match cell {
                Cell::Null => None,
                Cell::Moment(value) if value.rem_euclid(DAY_MICROSECONDS) == 0 => {
                    Some(i32::try_from(value / DAY_MICROSECONDS).map_err(|_| misfit(cell))?)
                }
                Cell::Raw(text) | Cell::Text(text) => Some(parse_date(text).ok_or_else(|| misfit(cell))?),
                other => return Err(misfit(other)),
            }),
            ColumnBuilder::Timestamp(builder, with_offset) => builder.append_option(match cell {
                Cell::Null => None,
                Cell::Raw(text) | Cell::Text(text) => match parse_timestamp(text) {
                    Some((value, has_offset)) if has_offset == *with_offset => Some(value),
                    _ => return Err(misfit(cell)),
                },
                Cell::Moment(value) if !*with_offset => Some(value),
                other => return Err(misfit(other)),
            }),
            ColumnBuilder::Boolean(builder) => builder.append_option(match cell {
                Cell::Null => None,
                Cell::Raw(text) => Some(parse_boolean(text).ok_or_else(|| misfit(cell))?),
                Cell::Boolean(value) => Some(value),
                other => return Err(misfit(other)),
            }),
            ColumnBuilder::Text(builder) => match cell {
                Cell::Null => builder.append_null(),
                Cell::Raw(text) | Cell::Text(text) | Cell::Number(text) => builder.append_value(text),
                Cell::Integer(value) => builder.append_value(value.to_string()),
                // Codes that differ in their last digits would be one.
                Cell::Float(value) if is_rounded_whole(value) => return Err(misfit(cell)),
                Cell::Float(value) => builder.append_value(value.to_string()),
                Cell::Boolean(value) => builder.append_value(value.to_string()),
                Cell::Moment(value) => builder.append_value(moment_text(value)),
                Cell::Nested | Cell::Fault(_) => return Err(misfit(cell)),
            },
        }
        Ok(())
    }

    /// Appends a missing value.
    pub(super) fn append_null(&mut self) {
        match self {
            ColumnBuilder::Integer(builder) => builder.append_null(),
            ColumnBuilder::Float(builder) => builder.append_null(),
            ColumnBuilder::Decimal(builder, ..) => builder.append_null(),
            ColumnBuilder::Date(builder) => builder.append_null(),
            ColumnBuilder::Timestamp(builder, _) => builder.append_null(),
            ColumnBuilder::Boolean(builder) => builder.append_null(),
            ColumnBuilder::Text(builder) => builder.append_null(),
        }
    }

    pub(super) fn finish(self) -> ArrayRef {
        match self {
            ColumnBuilder::Integer(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Float(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Decimal(mut builder, ..) => Arc::new(builder.finish()),
            ColumnBuilder::Date(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Timestamp(mut builder, _) => Arc::new(builder.finish()),
            ColumnBuilder::Boolean(mut builder) => Arc::new(builder.finish()),
            ColumnBuilder::Text(mut builder) => Arc::new(builder.finish()),
        }
    }
}

/// `2013-01-01`, or `2013-01-01 05:00:00.25` where it is not midnight.
pub(super) fn moment_text(microseconds: i64) -> String {
    let Ok(moment) = jiff::Timestamp::from_microsecond(microseconds) else { return String::new() };
    let moment = jiff::tz::Offset::UTC.to_datetime(moment);
    if microseconds.rem_euclid(DAY_MICROSECONDS) == 0 {
        moment.date().to_string()
    } else {
        format!("{} {}", moment.date(), moment.time())
    }
}

/// Digits without a leading zero (but for zero itself): codes such as `0450` must stay text.
fn is_plain_whole(digits: &str) -> bool {
    !digits.is_empty()
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && (digits.len() == 1 || !digits.starts_with('0'))
}

fn parse_integer(text: &str) -> Option<i64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    if is_plain_whole(unsigned) { text.parse().ok() } else { None }
}

/// Whether a text is a whole number, written without point and exponent, that no integer can hold.
fn is_long_whole(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    unsigned.len() >= INTEGER_DIGITS_MAX && is_plain_whole(unsigned) && text.parse::<i64>().is_err()
}

/// Whether a floating-point number stands for more than one whole number.
fn is_rounded_whole(value: f64) -> bool {
    value.fract() == 0.0 && value.abs() > EXACT_WHOLE_MAX
}

/// Whether a floating-point number may have been written with other digits than it is shown with.
fn is_rounded(value: f64) -> bool {
    let text = value.to_string();
    let digits = text.bytes().filter(u8::is_ascii_digit).skip_while(|digit| *digit == b'0').count();
    is_rounded_whole(value) || digits > EXACT_DIGITS_MAX
}

fn parse_float(text: &str) -> Option<f64> {
    if !is_number(text) {
        return None;
    }
    text.parse::<f64>().ok().filter(|value| value.is_finite())
}

/// `-12`, `0.5`, `1e-3`; not `05`, `.5`, `+1`, `NaN`.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let is_digits = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let exponent_fits =
        exponent.is_none_or(|exponent| is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    is_plain_whole(whole) && fraction.is_none_or(is_digits) && exponent_fits
}

/// The unscaled value of a decimal; nothing when it has more digits than the type.
fn parse_decimal(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text),
    };
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let scale = usize::try_from(scale).ok()?;
    if !is_plain_whole(whole) || fraction.len() > scale || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut value: i128 = 0;
    let padding = std::iter::repeat_n(b'0', scale - fraction.len());
    for digit in whole.bytes().chain(fraction.bytes()).chain(padding) {
        value = value.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
    }
    (value < 10_i128.checked_pow(u32::from(precision))?).then_some(sign * value)
}

/// The same of a JSON number, which may have an exponent and zeros at its end: writers of JSON choose them, not departments.
fn decimal_of_number(text: &str, precision: u8, scale: i8) -> Option<i128> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (sign, unsigned) = mantissa.strip_prefix('-').map_or(("", mantissa), |unsigned| ("-", unsigned));
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let exponent: isize = exponent.parse().ok().filter(|exponent: &isize| exponent.abs() <= EXPONENT_MAX)?;
    let digits = format!("{whole}{fraction}");
    let point = isize::try_from(whole.len()).ok()? + exponent;
    let padding = "0".repeat(point.min(0).unsigned_abs());
    let plain = match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{digits:0<point$}."),
        Ok(point) => format!("{}.{}", &digits[..point], &digits[point..]),
        Err(_) => format!("0.{padding}{digits}"),
    };
    let (whole, fraction) = plain.split_once('.')?;
    let whole = match whole.trim_start_matches('0') {
        "" => "0",
        whole => whole,
    };
    parse_decimal(&format!("{sign}{whole}.{}", fraction.trim_end_matches('0')), precision, scale)
}

fn parse_boolean(text: &str) -> Option<bool> {
    if text.eq_ignore_ascii_case("true") {
        Some(true)
    } else if text.eq_ignore_ascii_case("false") {
        Some(false)
    } else {
        None
    }
}

fn two_digits(bytes: &[u8], at: usize) -> Option<i8> {
    let tens = bytes.get(at).filter(|byte| byte.is_ascii_digit())?;
    let ones = bytes.get(at + 1).filter(|byte| byte.is_ascii_digit())?;
    i8::try_from((tens - b'0') * 10 + (ones - b'0')).ok()
}

fn civil_date(bytes: &[u8]) -> Option<jiff::civil::Date> {
    if bytes.len() != 10 || bytes[4] != b'-' || bytes[7] != b'-' {
        return None;
    }
    let year = i16::from(two_digits(bytes, 0)?) * 100 + i16::from(two_digits(bytes, 2)?);
    jiff::civil::Date::new(year, two_digits(bytes, 5)?, two_digits(bytes, 8)?).ok()
}

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(super) fn parse_date(text: &str) -> Option<i32> {
    let date = civil_date(text.as_bytes())?;
    let midnight = jiff::tz::Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()?;
    i32::try_from(midnight.as_second() / 86_400).ok()
}

/// Microseconds since 1970-01-01 of `YYYY-MM-DD HH:MM[:SS[.ffffff]]`, with `T` or a space between, and whether an
/// offset (`Z`, `+08:00`) was given; the value is then in UTC.
pub(super) fn parse_timestamp(text: &str) -> Option<(i64, bool)> {
    let bytes = text.as_bytes();
    if bytes.len() < 16 || !matches!(bytes[10], b' ' | b'T') || bytes[13] != b':' {
        return None;
    }
    let date = civil_date(&bytes[..10])?;
    let (hour, minute) = (two_digits(bytes, 11)?, two_digits(bytes, 14)?);
    let mut rest = &bytes[16..];
    let mut second = 0;
    let mut nanoseconds: i32 = 0;
    if rest.first() == Some(&b':') {
        second = two_digits(rest, 1)?;
        rest = &rest[3..];
        if rest.first() == Some(&b'.') {
            let digits = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if digits == 0 || digits > 6 {
                return None;
            }
            for place in 0..9 {
                let digit = if place < digits { i32::from(rest[1 + place] - b'0') } else { 0 };
                nanoseconds = nanoseconds * 10 + digit;
            }
            rest = &rest[1 + digits..];
        }
    }
    let time = jiff::civil::Time::new(hour, minute, second, nanoseconds).ok()?;
    let (offset_minutes, has_offset) = match rest {
        [] => (0, false),
        [b'Z'] => (0, true),
        [sign @ (b'+' | b'-'), _, _, b':', _, _] => {
            let minutes = i64::from(two_digits(rest, 1)?) * 60 + i64::from(two_digits(rest, 4)?);
            (if *sign == b'-' { -minutes } else { minutes }, true)
        }
        _ => return None,
    };
    let local = jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(time)).ok()?;
    Some((local.as_microsecond() - offset_minutes * 60_000_000, has_offset))
}

#[cfg(test)]
mod tests {
    use arrow::array::AsArray as _;

    use super::*;

    fn decide(values: &[&str]) -> ColumnType {
        let mut candidate = Candidate::default();
        for value in values {
            candidate.observe(Cell::Raw(value));
        }
        candidate.decide()
    }

    #[test]
    fn types_are_the_narrowest_that_fit_all_values() {
        assert_eq!(decide(&["1", "-20", "0"]), ColumnType::Integer);
        assert_eq!(decide(&["1", "2.5"]), ColumnType::Float);
        assert_eq!(decide(&["1.50", "20.00"]), ColumnType::Decimal { precision: 18, scale: 2 });
        assert_eq!(decide(&["1.5", "20.00"]), ColumnType::Float);
        assert_eq!(decide(&["1e-3", "4"]), ColumnType::Float);
        assert_eq!(decide(&["0450", "1200"]), ColumnType::Text);
        assert_eq!(decide(&["00.5", "1.0"]), ColumnType::Text);
        assert_eq!(decide(&["9223372036854775807", "-9223372036854775808"]), ColumnType::Integer);
        assert_eq!(decide(&["true", "FALSE"]), ColumnType::Boolean);
        assert_eq!(decide(&["2013-01-01", "2012-02-29"]), ColumnType::Date);
        assert_eq!(decide(&["2013-01-01", "2013-02-29"]), ColumnType::Text);
        assert_eq!(decide(&["2013-01-01 05:00:00", "2013-01-01T05:00"]), ColumnType::LocalTimestamp);
        assert_eq!(decide(&["2013-01-01T10:00:00Z", "2013-01-01T10:00:00.25+08:00"]), ColumnType::Timestamp);
        assert_eq!(decide(&["2013-01-01T10:00:00Z", "2013-01-01T10:00:00"]), ColumnType::Text);
        assert_eq!(decide(&[]), ColumnType::Text);
        assert_eq!(decide(&["NaN"]), ColumnType::Text);
    }

    /// As floats 12345678901234567890 and …891 would be one value.
    #[test]
    fn whole_numbers_that_no_integer_holds_are_texts() {
        for values in [
            &["9223372036854775808"][..],
            &["12345678901234567890", "12345678901234567891"],
            &["7", "-9223372036854775809"],
            &["12345678901234567890", "0.5"],
        ] {
            assert_eq!(decide(values), ColumnType::Text, "{values:?}");
            let mut of_json = Candidate::default();
            values.iter().for_each(|value| of_json.observe(Cell::Number(value)));
            assert_eq!(of_json.decide(), ColumnType::Text, "{values:?}");
            // A column that is declared as one of numbers may take them.
            assert_eq!(of_json.decide_seen(), Some(ColumnType::Float), "{values:?}");
        }
        assert_eq!(decide(&["12345678901234567890.0", "1e19"]), ColumnType::Float);
    }

    /// As in a typed source: a sheet may write a number that is too large for one.
    #[test]
    fn a_number_column_has_numbers() {
        let mut column = ColumnBuilder::new(ColumnType::Float);
        assert!(column.append(Cell::Float(1e300)).is_ok());
        for value in [f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            let misfit = column.append(Cell::Float(value)).err().map(|misfit| misfit.kind);
            assert_eq!(misfit, Some(FoundKind::NotFinite));
        }
        assert!(column.append(Cell::Raw("NaN")).is_err() && column.append(Cell::Raw("1e999")).is_err());
    }

    /// 450102199001011234 in a sheet is 450102199001011260, and so is the number of the next person.
    #[test]
    fn a_number_of_a_sheet_that_lost_digits_is_no_text_and_no_decimal() {
        let fits = |column_type, value| ColumnBuilder::new(column_type).append(Cell::Float(value)).is_ok();
        let decimal = ColumnType::Decimal { precision: 38, scale: 6 };
        for text in ["450102199001011234", "-9007199254740993", "1e300"] {
            let value = parse_float(text).unwrap();
            assert!(
                !fits(ColumnType::Text, value) && !fits(decimal, value) && fits(ColumnType::Float, value),
                "{text}"
            );
            let misfit = ColumnBuilder::new(ColumnType::Text).append(Cell::Float(value)).err();
            assert_eq!(misfit.map(|misfit| misfit.kind), Some(FoundKind::LongNumber));
            let mut candidate = Candidate::default();
            candidate.observe(Cell::Float(value));
            assert_eq!(candidate.decide(), ColumnType::Text);
        }
        for text in ["12345678901234567.89", "123456789012345.67"] {
            assert!(!fits(decimal, parse_float(text).unwrap()), "{text}");
        }
        for value in [0.1, 0.000_001, 1_234_567_890.12, 12_345_678_901_234.5, -0.5] {
            assert!(fits(decimal, value) && fits(ColumnType::Text, value), "{value}");
        }
    }

    #[test]
    fn values_keep_their_meaning() {
        assert_eq!(parse_date("1970-01-02"), Some(1));
        assert_eq!(parse_date("1969-12-31"), Some(-1));
        assert_eq!(parse_timestamp("1970-01-01T08:00:01.5+08:00"), Some((1_500_000, true)));
        assert_eq!(parse_timestamp("1970-01-01 00:00:01"), Some((1_000_000, false)));
        assert_eq!(parse_decimal("-12.5", 5, 2), Some(-1250));
        assert_eq!(parse_decimal("1000.00", 5, 2), None);
        assert_eq!(parse_decimal("0.125", 5, 2), None);
    }

    #[test]
    fn numbers_of_json_keep_every_digit() {
        let decimal = |text| decimal_of_number(text, 38, 6);
        assert_eq!(decimal("12345678901234567.89"), Some(12_345_678_901_234_567_890_000));
        assert_eq!(decimal("-1.50e1"), Some(-15_000_000));
        assert_eq!((decimal("1E+3"), decimal("2.5e-6"), decimal("-0.0")), (Some(1_000_000_000), None, Some(0)));
        assert_eq!((decimal("25e-7"), decimal("25E-6"), decimal("0.00000100")), (None, Some(25), Some(1)));
        assert_eq!((decimal("1e99"), decimal("1e-99"), decimal("1e999999999999")), (None, None, None));
        assert_eq!((decimal_of_number("15.0", 5, 0), decimal_of_number("15.5", 5, 0)), (Some(15), None));
        let mut column = ColumnBuilder::new(ColumnType::Text);
        assert!(column.append(Cell::Number("1.10")).is_ok());
        let text = column.finish();
        assert_eq!(text.as_string::<i32>().value(0), "1.10");
        let mut column = ColumnBuilder::new(ColumnType::Float);
        let misfit = column.append(Cell::Number("1e999")).err().map(|misfit| misfit.kind);
        assert_eq!(misfit, Some(FoundKind::NotFinite));
    }
}
