//! Values that travel beside a statement, in PostgreSQL's binary form.

use std::ops::Range;

use datafusion::common::ScalarValue;
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{PgArgumentBuffer, PgTypeInfo, Postgres};
use sqlx::{Encode, Type};

use super::value::{EPOCH_DAYS, EPOCH_MICROSECONDS};

const BOOLEAN: u32 = 16;
const INT8: u32 = 20;
const TEXT: u32 = 25;
const DATE: u32 = 1082;
const TIMESTAMP: u32 = 1114;
const TIMESTAMP_TZ: u32 = 1184;
const NUMERIC: u32 = 1700;

/// The days that PostgreSQL has (4714-11-24 BC to 5874897-12-31), as it counts them.
const DAYS: Range<i32> = -2_451_545..2_145_031_949;
/// The points in time that it has (4714-11-24 BC to 294276-12-31), as it counts them.
const MICROSECONDS: Range<i64> = -211_813_488_000_000_000..9_223_371_331_200_000_000;

/// A value of a statement. It is never a part of the statement's text.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    oid: u32,
    bytes: Vec<u8>,
}

impl std::fmt::Debug for Parameter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The value may be governed.
        formatter.debug_struct("Parameter").field("oid", &self.oid).finish_non_exhaustive()
    }
}

impl Parameter {
    /// A whole number.
    pub(crate) fn integer(value: i64) -> Self {
        Self { oid: INT8, bytes: value.to_be_bytes().to_vec() }
    }

    /// A text. None for one that PostgreSQL has no room for.
    pub(crate) fn text(value: &str) -> Option<Self> {
        if value.contains('\0') { None } else { Some(Self { oid: TEXT, bytes: value.as_bytes().to_vec() }) }
    }

    /// A point in time, in microseconds since 1970, with or without an offset. None for one outside PostgreSQL's range
    /// of finite values.
    pub(crate) fn timestamp(microseconds: i64, has_zone: bool) -> Option<Self> {
        let value = microseconds.checked_sub(EPOCH_MICROSECONDS).filter(|value| MICROSECONDS.contains(value))?;
        let oid = if has_zone { TIMESTAMP_TZ } else { TIMESTAMP };
        Some(Self { oid, bytes: value.to_be_bytes().to_vec() })
    }

    /// A day, in days since 1970. None for one outside PostgreSQL's range of finite values.
    pub(crate) fn date(days: i32) -> Option<Self> {
        let value = days.checked_sub(EPOCH_DAYS).filter(|value| DAYS.contains(value))?;
        Some(Self { oid: DATE, bytes: value.to_be_bytes().to_vec() })
    }

    /// A constant of a condition. None for a missing value, a floating-point number (PostgreSQL orders not-a-number and
    /// negative zero differently than the engine) and whatever has no exact counterpart.
    pub(crate) fn of(value: &ScalarValue) -> Option<Self> {
        match value {
            ScalarValue::Int64(Some(value)) => Some(Self::integer(*value)),
            ScalarValue::Utf8(Some(value)) => Self::text(value),
            ScalarValue::Boolean(Some(value)) => Some(Self { oid: BOOLEAN, bytes: vec![u8::from(*value)] }),
            ScalarValue::Date32(Some(days)) => Self::date(*days),
            ScalarValue::TimestampMicrosecond(Some(value), zone) => Self::timestamp(*value, zone.is_some()),
            ScalarValue::Decimal128(Some(value), _, scale) => {
                let scale = u32::try_from(*scale).ok().filter(|scale| *scale <= 38)?;
                Some(Self { oid: NUMERIC, bytes: numeric_bytes(*value, scale) })
            }
            _ => None,
        }
    }
}

impl Type<Postgres> for Parameter {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(Oid(TEXT))
    }
}

impl Encode<'_, Postgres> for Parameter {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.bytes);
        Ok(IsNull::No)
    }

    fn produces(&self) -> Option<PgTypeInfo> {
        Some(PgTypeInfo::with_oid(Oid(self.oid)))
    }
}

/// The binary form of `value` divided by 10 to the power of `scale` (at most 38), as `numeric_recv` reads it.
pub(super) fn numeric_bytes(value: i128, scale: u32) -> Vec<u8> {
    // Decimals filled up to groups of four, so that the value is a whole number of the base 10,000.
    let groups_after = scale.div_ceil(4);
    let padding = groups_after * 4 - scale;
    let mut magnitude = value.unsigned_abs();
    let mut groups: Vec<u16> = Vec::new();
    // The padding is put into the last group instead of multiplied in, since that could be too large a number.
    let modulus = 10_u128.pow(4 - padding);
    let group = |part: u128| u16::try_from(part).expect("a rest of a division by 10,000 is below it");
    if padding > 0 {
        groups.push(group(magnitude % modulus * 10_u128.pow(padding)));
        magnitude /= modulus;
    }
    while magnitude > 0 {
        groups.push(group(magnitude % 10_000));
        magnitude /= 10_000;
    }
    // How many groups stand before the point, less one.
    let first = i64::try_from(groups.len()).expect("ten groups at most") - 1 - i64::from(groups_after);
    groups.reverse();
    let weight = i16::try_from(first).expect("between -11 and 10");
    let sign: u16 = if value < 0 { 0x4000 } else { 0 };
    let mut bytes = Vec::with_capacity(8 + groups.len() * 2);
    let count = u16::try_from(groups.len()).expect("eleven groups at most");
    let decimals = u16::try_from(scale).expect("38 at most");
    for word in [count, weight.cast_unsigned(), sign, decimals] {
        bytes.extend_from_slice(&word.to_be_bytes());
    }
    for digit in groups {
        bytes.extend_from_slice(&digit.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgresql_does_not_have_is_no_parameter() {
        assert!(Parameter::date(-2_440_588).is_some() && Parameter::date(-2_440_589).is_none());
        assert!(Parameter::date(2_145_042_905).is_some() && Parameter::date(2_145_042_906).is_none());
        for has_zone in [false, true] {
            assert!(Parameter::timestamp(-210_866_803_200_000_000, has_zone).is_some());
            assert!(Parameter::timestamp(-210_866_803_200_000_001, has_zone).is_none());
            assert!(
                Parameter::timestamp(i64::MAX, has_zone).is_some()
                    && Parameter::timestamp(i64::MIN, has_zone).is_none()
            );
        }
    }
}
