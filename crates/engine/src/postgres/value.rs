//! Values in PostgreSQL's binary form (the `send` functions of its types), brought to the engine's types.
//!
//! Each is kept exactly or refused; nothing is rounded, cut or replaced. What a column may be brought to is fixed by the
//! two types, not by its values.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringBuilder,
    TimestampMicrosecondBuilder,
};

use crate::columns::ColumnType;
use crate::source::RECORD_BYTES_MAX;

/// Days from 1970-01-01 to 2000-01-01, where PostgreSQL counts from.
pub(crate) const EPOCH_DAYS: i32 = 10_957;
/// The same in microseconds.
pub(crate) const EPOCH_MICROSECONDS: i64 = 946_684_800_000_000;
/// What a `numeric` without stated precision is taken as: what a catalogue entry's decimal is.
const PLAIN_DECIMAL: ColumnType = ColumnType::Decimal { precision: 38, scale: 6 };
/// Most digits of a decimal of the engine.
const DECIMAL_DIGITS_MAX: i32 = 38;

/// A type of PostgreSQL whose values can be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireType {
    Boolean,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    /// `numeric(precision, scale)`; none: any number of digits.
    Numeric(Option<(u8, i8)>),
    /// `text`, `varchar`.
    Text,
    /// `character(n)`, which is compared without the blanks at its end.
    BlankPadded,
    /// An enumeration, `name`, `"char"` or `json`: text, but compared by rules of its own.
    Label,
    Jsonb,
    Uuid,
    Date,
    Timestamp,
    TimestampTz,
}

impl WireType {
    /// The type of an object id, its modifier and kind (`pg_type.typtype`); none when governed data can't have it.
    pub(crate) fn of(oid: u32, modifier: i32, kind: &str) -> Option<WireType> {
        if kind == "e" {
            return Some(WireType::Label);
        }
        Some(match oid {
            16 => WireType::Boolean,
            21 => WireType::Int2,
            23 => WireType::Int4,
            20 => WireType::Int8,
            700 => WireType::Float4,
            701 => WireType::Float8,
            1700 => WireType::Numeric(numeric_of(modifier)?),
            25 | 1043 => WireType::Text,
            1042 => WireType::BlankPadded,
            18 | 19 | 114 => WireType::Label,
            3802 => WireType::Jsonb,
            2950 => WireType::Uuid,
            1082 => WireType::Date,
            1114 => WireType::Timestamp,
            1184 => WireType::TimestampTz,
            _ => return None,
        })
    }

    /// What it is brought to when nothing else is asked for.
    pub(crate) fn natural(self) -> ColumnType {
        match self {
            WireType::Boolean => ColumnType::Boolean,
            WireType::Int2 | WireType::Int4 | WireType::Int8 => ColumnType::Integer,
            WireType::Float4 | WireType::Float8 => ColumnType::Float,
            WireType::Numeric(Some((precision, scale))) => ColumnType::Decimal { precision, scale },
            WireType::Numeric(None) => PLAIN_DECIMAL,
            WireType::Text | WireType::BlankPadded | WireType::Label | WireType::Jsonb | WireType::Uuid => {
                ColumnType::Text
            }
            WireType::Date => ColumnType::Date,
            WireType::Timestamp => ColumnType::LocalTimestamp,
            WireType::TimestampTz => ColumnType::Timestamp,
        }
    }

    /// True when values of this type come under an object id, as a statement's answer announces it.
    pub(crate) fn is_sent_as(self, oid: u32) -> bool {
        match self {
            WireType::Label => matches!(oid, 18 | 19 | 114) || oid >= FIRST_OWN_OID,
            // An answer announces no precision.
            WireType::Numeric(_) => WireType::of(oid, -1, "b") == Some(WireType::Numeric(None)),
            other => WireType::of(oid, -1, "b") == Some(other),
        }
    }

    /// True when its values can be brought to a type: to its own, whole numbers and decimals also to each other, each
    /// value checked.
    pub(crate) fn fits(self, wanted: ColumnType) -> bool {
        match (self, wanted) {
            (WireType::Int2 | WireType::Int4 | WireType::Int8, ColumnType::Decimal { .. }) => true,
            (WireType::Numeric(_), ColumnType::Decimal { .. }) => true,
            (WireType::Numeric(Some((_, 0))), ColumnType::Integer) => true,
            _ => self.natural() == wanted,
        }
    }
}

/// The first object id that a database gives to what its users make.
const FIRST_OWN_OID: u32 = 16_384;

/// Precision and scale in a modifier: `((precision << 16) | (scale & 0x7ff)) + 4`. None as a whole for a decimal that
/// the engine's can't hold.
fn numeric_of(modifier: i32) -> Option<Option<(u8, i8)>> {
    if modifier < 4 {
        return Some(None);
    }
    let modifier = modifier - 4;
    let precision = (modifier >> 16) & 0xffff;
    // Eleven bits with a sign.
    let scale = ((modifier & 0x7ff) ^ 1_024) - 1_024;
    let fits = (1..=DECIMAL_DIGITS_MAX).contains(&precision) && (0..=precision).contains(&scale);
    if !fits {
        return None;
    }
    Some(Some((u8::try_from(precision).ok()?, i8::try_from(scale).ok()?)))
}

/// Builds one column of a batch from binary values.
pub(super) struct WireColumn {
    wire: WireType,
    builder: Builder,
}

enum Builder {
    Integer(Int64Builder),
    Float(Float64Builder),
    Decimal(Decimal128Builder, u8, i8),
    Date(Date32Builder),
    Timestamp(TimestampMicrosecondBuilder),
    Boolean(BooleanBuilder),
    Text(StringBuilder),
}

/// A value that can't be kept as it is. Deliberately without the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Misfit;

impl WireColumn {
    pub(super) fn new(wire: WireType, wanted: ColumnType) -> Self {
        let builder = match wanted {
            ColumnType::Integer => Builder::Integer(Int64Builder::new()),
            ColumnType::Float => Builder::Float(Float64Builder::new()),
            ColumnType::Decimal { precision, scale } => {
                Builder::Decimal(Decimal128Builder::new().with_data_type(wanted.arrow()), precision, scale)
            }
            ColumnType::Date => Builder::Date(Date32Builder::new()),
            ColumnType::LocalTimestamp | ColumnType::Timestamp => {
                Builder::Timestamp(TimestampMicrosecondBuilder::new().with_data_type(wanted.arrow()))
            }
            ColumnType::Boolean => Builder::Boolean(BooleanBuilder::new()),
            ColumnType::Text => Builder::Text(StringBuilder::new()),
        };
        Self { wire, builder }
    }

    /// Appends a value; `None` is one that is missing.
    pub(super) fn append(&mut self, bytes: Option<&[u8]>) -> Result<(), Misfit> {
        let wire = self.wire;
        match &mut self.builder {
            Builder::Integer(builder) => builder.append_option(match bytes {
                None => None,
                Some(bytes) => Some(integer(wire, bytes)?),
            }),
            Builder::Float(builder) => builder.append_option(match bytes {
                None => None,
                Some(bytes) => Some(match wire {
                    WireType::Float4 => f64::from(f32::from_be_bytes(exactly(bytes)?)),
                    WireType::Float8 => f64::from_be_bytes(exactly(bytes)?),
                    _ => return Err(Misfit),
                }),
            }),
            Builder::Decimal(builder, precision, scale) => builder.append_option(match bytes {
                None => None,
                Some(bytes) => Some(decimal(wire, bytes, *precision, *scale)?),
            }),
            Builder::Date(builder) => builder.append_option(match bytes {
                None => None,
                Some(bytes) => Some(date(wire, bytes)?),
            }),
            Builder::Timestamp(builder) => builder.append_option(match bytes {
                None => None,
                Some(bytes) => Some(timestamp(wire, bytes)?),
            }),
            Builder::Boolean(builder) => builder.append_option(match (bytes, wire) {
                (None, _) => None,
                (Some([value]), WireType::Boolean) => Some(*value != 0),
                _ => return Err(Misfit),
            }),
            Builder::Text(builder) => match bytes {
                None => builder.append_null(),
                Some(bytes) => builder.append_value(text(wire, bytes)?),
            },
        }
        Ok(())
    }

    /// The column, and an empty builder in its place.
    pub(super) fn finish(&mut self) -> ArrayRef {
        match &mut self.builder {
            Builder::Integer(builder) => Arc::new(builder.finish()),
            Builder::Float(builder) => Arc::new(builder.finish()),
            Builder::Decimal(builder, ..) => Arc::new(builder.finish()),
            Builder::Date(builder) => Arc::new(builder.finish()),
            Builder::Timestamp(builder) => Arc::new(builder.finish()),
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Text(builder) => Arc::new(builder.finish()),
        }
    }
}

fn exactly<const BYTES: usize>(bytes: &[u8]) -> Result<[u8; BYTES], Misfit> {
    bytes.try_into().map_err(|_| Misfit)
}

fn integer(wire: WireType, bytes: &[u8]) -> Result<i64, Misfit> {
    Ok(match wire {
        WireType::Int2 => i64::from(i16::from_be_bytes(exactly(bytes)?)),
        WireType::Int4 => i64::from(i32::from_be_bytes(exactly(bytes)?)),
        WireType::Int8 => i64::from_be_bytes(exactly(bytes)?),
        WireType::Numeric(_) => i64::try_from(numeric(bytes, 0)?).map_err(|_| Misfit)?,
        _ => return Err(Misfit),
    })
}

fn decimal(wire: WireType, bytes: &[u8], precision: u8, scale: i8) -> Result<i128, Misfit> {
    let scale = u32::try_from(scale).map_err(|_| Misfit)?;
    let value = match wire {
        WireType::Numeric(_) => numeric(bytes, scale)?,
        _ => {
            let factor = 10_i128.checked_pow(scale).ok_or(Misfit)?;
            i128::from(integer(wire, bytes)?).checked_mul(factor).ok_or(Misfit)?
        }
    };
    let limit = 10_u128.checked_pow(u32::from(precision)).ok_or(Misfit)?;
    if value.unsigned_abs() < limit { Ok(value) } else { Err(Misfit) }
}

/// A `numeric` times 10 to the power of `scale`. Its form (`numeric_send`): count of digits, weight of the first, sign
/// and shown decimals, each in 16 bits, then digits to the base 10,000.
pub(super) fn numeric(bytes: &[u8], scale: u32) -> Result<i128, Misfit> {
    let word = |at: usize| -> Result<u16, Misfit> {
        let bytes = bytes.get(at * 2..at * 2 + 2).ok_or(Misfit)?;
        Ok(u16::from_be_bytes(exactly(bytes)?))
    };
    let count = usize::from(word(0)?);
    let weight = i32::from(word(1)?.cast_signed());
    let negative = match word(2)? {
        0x0000 => false,
        0x4000 => true,
        // Not a number, infinite.
        _ => return Err(Misfit),
    };
    if bytes.len() != 8 + count * 2 {
        return Err(Misfit);
    }
    let mut value: i128 = 0;
    for index in 0..count {
        let digit = i128::from(word(4 + index)?);
        if digit >= 10_000 {
            return Err(Misfit);
        }
        let place = i32::try_from(index).map_err(|_| Misfit)?;
        let exponent = 4 * (weight - place) + i32::try_from(scale).map_err(|_| Misfit)?;
        let part = if exponent >= 0 {
            if digit == 0 {
                continue;
            }
            let factor = 10_i128.checked_pow(exponent.unsigned_abs()).ok_or(Misfit)?;
            digit.checked_mul(factor).ok_or(Misfit)?
        } else {
            // Digits beyond the scale must be zeros.
            let divisor = 10_i128.checked_pow(exponent.unsigned_abs().min(38)).ok_or(Misfit)?;
            if digit % divisor != 0 {
                return Err(Misfit);
            }
            digit / divisor
        };
        value = value.checked_add(part).ok_or(Misfit)?;
    }
    Ok(if negative { -value } else { value })
}

fn date(wire: WireType, bytes: &[u8]) -> Result<i32, Misfit> {
    if wire != WireType::Date {
        return Err(Misfit);
    }
    match i32::from_be_bytes(exactly(bytes)?) {
        // -infinity and infinity.
        i32::MIN | i32::MAX => Err(Misfit),
        days => days.checked_add(EPOCH_DAYS).ok_or(Misfit),
    }
}

fn timestamp(wire: WireType, bytes: &[u8]) -> Result<i64, Misfit> {
    if !matches!(wire, WireType::Timestamp | WireType::TimestampTz) {
        return Err(Misfit);
    }
    match i64::from_be_bytes(exactly(bytes)?) {
        i64::MIN | i64::MAX => Err(Misfit),
        microseconds => microseconds.checked_add(EPOCH_MICROSECONDS).ok_or(Misfit),
    }
}

fn text(wire: WireType, bytes: &[u8]) -> Result<String, Misfit> {
    if bytes.len() as u64 > RECORD_BYTES_MAX {
        return Err(Misfit);
    }
    let bytes = match wire {
        WireType::Text | WireType::BlankPadded | WireType::Label => bytes,
        // The first byte is the version of the form, and 1 is the only one.
        WireType::Jsonb => match bytes.split_first() {
            Some((1, text)) => text,
            _ => return Err(Misfit),
        },
        WireType::Uuid => return Ok(uuid::Uuid::from_bytes(exactly(bytes)?).hyphenated().to_string()),
        _ => return Err(Misfit),
    };
    String::from_utf8(bytes.to_vec()).map_err(|_| Misfit)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::postgres::parameter::numeric_bytes;

    #[test]
    fn modifiers_of_numeric_are_read() {
        let modifier = |precision: i32, scale: i32| ((precision << 16) | (scale & 0x7ff)) + 4;
        assert_eq!(numeric_of(-1), Some(None));
        assert_eq!(numeric_of(modifier(10, 2)), Some(Some((10, 2))));
        assert_eq!(numeric_of(modifier(38, 38)), Some(Some((38, 38))));
        assert_eq!(numeric_of(modifier(39, 2)), None);
        assert_eq!(numeric_of(modifier(5, -3)), None);
        assert_eq!(numeric_of(modifier(3, 5)), None);
    }

    #[test]
    fn values_that_have_no_place_are_refused() {
        // NaN, infinity, a broken length, more decimals than the scale.
        assert_eq!(numeric(&[0, 0, 0, 0, 0xC0, 0, 0, 0], 6), Err(Misfit));
        assert_eq!(numeric(&[0, 0, 0, 0, 0xD0, 0, 0, 0], 6), Err(Misfit));
        assert_eq!(numeric(&[0, 1, 0, 0, 0, 0, 0, 0], 6), Err(Misfit));
        assert_eq!(numeric(&numeric_bytes(1_234_567, 7), 6), Err(Misfit));
        assert_eq!(numeric(&numeric_bytes(12_345_670, 7), 6), Ok(1_234_567));
        assert_eq!(date(WireType::Date, &i32::MAX.to_be_bytes()), Err(Misfit));
        assert_eq!(timestamp(WireType::Timestamp, &i64::MIN.to_be_bytes()), Err(Misfit));
        assert_eq!(timestamp(WireType::TimestampTz, &(i64::MAX - 1).to_be_bytes()), Err(Misfit));
        assert_eq!(date(WireType::Date, &0_i32.to_be_bytes()), Ok(EPOCH_DAYS));
        assert_eq!(text(WireType::Text, &[0xff, 0xfe]), Err(Misfit));
        assert_eq!(text(WireType::Jsonb, b"\x02{}"), Err(Misfit));
    }

    #[test]
    fn what_is_announced_as_another_type_is_not_taken_for_this_one() {
        for (wire, fits, others) in [
            (WireType::Int4, vec![23], vec![20, 21, 700, 1082, 16]),
            (WireType::Date, vec![1082], vec![23, 1114]),
            (WireType::Timestamp, vec![1114], vec![1184, 20, 701]),
            (WireType::Numeric(Some((12, 2))), vec![1700], vec![23, 701]),
            (WireType::Text, vec![25, 1043], vec![1042, 19, 3802, 20_000]),
            (WireType::Label, vec![18, 19, 114, 20_000], vec![25, 23]),
        ] {
            assert!(fits.iter().all(|oid| wire.is_sent_as(*oid)), "{wire:?}");
            assert!(!others.iter().any(|oid| wire.is_sent_as(*oid)), "{wire:?}");
        }
    }

    proptest! {
        #[test]
        fn a_number_comes_back_from_its_binary_form(value in any::<i128>(), scale in 0_u32..=38) {
            let value = value % 10_i128.pow(38);
            prop_assert_eq!(numeric(&numeric_bytes(value, scale), scale), Ok(value));
        }

        #[test]
        fn no_bytes_make_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64), scale in 0_u32..=38) {
            let _ = numeric(&bytes, scale);
            for wire in [WireType::Int4, WireType::Numeric(None), WireType::Uuid, WireType::Jsonb, WireType::Date] {
                for wanted in [ColumnType::Integer, ColumnType::Text, ColumnType::Date, PLAIN_DECIMAL] {
                    let _ = WireColumn::new(wire, wanted).append(Some(&bytes));
                }
            }
        }
    }
}
