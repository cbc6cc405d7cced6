//! What is new by a watermark.
//!
//! With a key the reading begins at the last watermark (less the overlap) and includes it, so that a row which was
//! committed later with the same watermark is not lost; rows that are read a second time replace themselves. Without a
//! key rows can't be told apart, so the rows of the highest watermark are left for the next reading: none of them is ever
//! taken twice, and none is lost. How it is put together with what the resource has is in [`super::merged`]. What no watermark can show is not seen: rows that were deleted, changes that do not move
//! the watermark, and rows that become visible with a watermark further back than the overlap.

use sqlx::{AssertSqlSafe, Row, ValueRef};

use super::Increment;
use crate::postgres::{Parameter, PostgresError, Reading, WireType};

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// What a watermark counts: the integer that stands for it in the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Watermark {
    /// Itself.
    Integer,
    /// Days since 1970.
    Date,
    /// Microseconds since 1970, without and with an offset.
    Time { has_zone: bool },
}

/// One end of a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    pub(super) operator: &'static str,
    pub(super) value: i64,
}

/// From where to where a reading goes, and where the next goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bounds {
    pub(super) lower: Option<Bound>,
    /// None: there is nothing to read.
    pub(super) upper: Option<Bound>,
    pub(super) position: Option<i64>,
}

impl Watermark {
    /// None for a type that has no order one could go on from.
    pub(super) fn of(wire: WireType) -> Option<Watermark> {
        Some(match wire {
            WireType::Int2 | WireType::Int4 | WireType::Int8 => Watermark::Integer,
            WireType::Date => Watermark::Date,
            WireType::Timestamp => Watermark::Time { has_zone: false },
            WireType::TimestampTz => Watermark::Time { has_zone: true },
            _ => return None,
        })
    }

    pub(super) fn has_infinity(self) -> bool {
        self != Watermark::Integer
    }

    /// As it is kept with an ingestion: the kind and the integer.
    pub(super) fn print(self, value: i64) -> String {
        format!("{}:{value}", self.kind())
    }

    pub(super) fn parse(self, position: &str) -> Option<i64> {
        position.strip_prefix(self.kind())?.strip_prefix(':')?.parse().ok()
    }

    fn kind(self) -> &'static str {
        match self {
            Watermark::Integer => "integer",
            Watermark::Date => "date",
            Watermark::Time { has_zone: false } => "local_timestamp",
            Watermark::Time { has_zone: true } => "timestamp",
        }
    }

    pub(super) fn parameter(self, value: i64) -> Option<Parameter> {
        match self {
            Watermark::Integer => Some(Parameter::integer(value)),
            Watermark::Date => Parameter::date(i32::try_from(value).ok()?),
            Watermark::Time { has_zone } => Parameter::timestamp(value, has_zone),
        }
    }

    /// The bounds of the next reading. `last`: where the one before stopped. `highest`: the highest watermark there is.
    pub(super) fn bounds(self, last: Option<i64>, highest: Option<i64>, increment: &Increment) -> Bounds {
        // A highest watermark below the last one: rows were deleted, or nothing is there any more.
        let Some(highest) = highest.filter(|highest| last.is_none_or(|last| last <= *highest)) else {
            return Bounds { lower: None, upper: None, position: last };
        };
        if increment.key.is_empty() {
            // Everything below the highest has been read up to `last`, which was itself left out then.
            let lower = last.map(|value| Bound { operator: ">=", value });
            return Bounds { lower, upper: Some(Bound { operator: "<", value: highest }), position: Some(highest) };
        }
        let behind = match self {
            Watermark::Integer => i64::try_from(increment.overlap).unwrap_or(i64::MAX),
            Watermark::Date => i64::try_from(increment.overlap.div_ceil(SECONDS_PER_DAY)).unwrap_or(i64::MAX),
            Watermark::Time { .. } => {
                i64::try_from(increment.overlap).unwrap_or(i64::MAX).saturating_mul(MICROSECONDS_PER_SECOND)
            }
        };
        let lower = last.map(|last| Bound { operator: ">=", value: self.lowest().max(last.saturating_sub(behind)) });
        Bounds { lower, upper: Some(Bound { operator: "<=", value: highest }), position: Some(highest) }
    }

    /// The first value that PostgreSQL has: 4714-11-24 BC, or any whole number.
    fn lowest(self) -> i64 {
        match self {
            Watermark::Integer => i64::MIN,
            Watermark::Date => -2_440_588,
            Watermark::Time { .. } => -210_866_803_200_000_000,
        }
    }

    /// Reads the one value of a statement made of fixed words and quoted names.
    pub(super) async fn read_one(self, reading: &mut Reading, text: String) -> Result<Option<i64>, PostgresError> {
        let connection = reading.name().clone();
        let fault = |error: sqlx::Error| PostgresError::of(&connection, &error);
        let row =
            sqlx::query(AssertSqlSafe(text)).persistent(false).fetch_one(reading.connection()).await.map_err(fault)?;
        let value = row.try_get_raw(0).map_err(fault)?;
        if value.is_null() {
            return Ok(None);
        }
        let bytes = value.as_bytes().map_err(|_| PostgresError::Settings {
            reason: "the watermark column has no value that can be read".to_owned(),
        })?;
        let out_of_range = || PostgresError::Settings {
            reason: "the watermark column has a value out of range; correct it in the database".to_owned(),
        };
        Ok(Some(self.of_wire(bytes).ok_or_else(out_of_range)?))
    }

    /// The integer of a value in binary form. `max` of a whole number has the type of the column.
    fn of_wire(self, bytes: &[u8]) -> Option<i64> {
        let value = match *bytes {
            [a, b] => i64::from(i16::from_be_bytes([a, b])),
            [a, b, c, d] => i64::from(i32::from_be_bytes([a, b, c, d])),
            [a, b, c, d, e, f, g, h] => i64::from_be_bytes([a, b, c, d, e, f, g, h]),
            _ => return None,
        };
        match self {
            Watermark::Integer => Some(value),
            Watermark::Date => value.checked_add(crate::postgres::EPOCH_DAYS.into()),
            Watermark::Time { .. } => value.checked_add(crate::postgres::EPOCH_MICROSECONDS),
        }
    }
}

#[cfg(test)]
mod tests {
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn increment(key: &[&str], overlap: u64) -> Increment {
        let key = key.iter().map(|name| ColumnName::new(*name).unwrap()).collect();
        Increment { watermark: ColumnName::new("at").unwrap(), key, overlap }
    }

    #[test]
    fn with_a_key_the_last_watermark_is_read_again() {
        let bounds = Watermark::Integer.bounds(Some(10), Some(15), &increment(&["id"], 0));
        assert_eq!(bounds.lower, Some(Bound { operator: ">=", value: 10 }));
        assert_eq!(bounds.upper, Some(Bound { operator: "<=", value: 15 }));
        assert_eq!(bounds.position, Some(15));
        let bounds =
            Watermark::Time { has_zone: true }.bounds(Some(10_000_000), Some(15_000_000), &increment(&["id"], 3));
        assert_eq!(bounds.lower.unwrap().value, 7_000_000);
        let bounds = Watermark::Integer.bounds(Some(i64::MIN), Some(0), &increment(&["id"], u64::MAX));
        assert_eq!(bounds.lower.unwrap().value, i64::MIN);
    }

    #[test]
    fn without_a_key_the_highest_watermark_waits() {
        let first = Watermark::Integer.bounds(None, Some(10), &increment(&[], 0));
        assert_eq!((first.lower, first.upper), (None, Some(Bound { operator: "<", value: 10 })));
        let second = Watermark::Integer.bounds(first.position, Some(12), &increment(&[], 0));
        assert_eq!(second.lower, Some(Bound { operator: ">=", value: 10 }));
        assert_eq!(second.upper, Some(Bound { operator: "<", value: 12 }));
        // Nothing new: the same rows are left out again.
        let third = Watermark::Integer.bounds(second.position, Some(12), &increment(&[], 0));
        assert_eq!((third.lower.unwrap().value, third.upper.unwrap().value), (12, 12));
    }

    #[test]
    fn a_table_that_shrank_gives_nothing_and_keeps_the_position() {
        for highest in [None, Some(9)] {
            let bounds = Watermark::Integer.bounds(Some(10), highest, &increment(&["id"], 0));
            assert_eq!((bounds.upper, bounds.position), (None, Some(10)));
        }
    }

    #[test]
    fn a_position_belongs_to_its_kind_of_column() {
        let time = Watermark::Time { has_zone: true };
        assert_eq!(time.parse(&time.print(-5)), Some(-5));
        assert_eq!(Watermark::Integer.parse(&time.print(7)), None);
        assert_eq!(Watermark::Time { has_zone: false }.parse("timestamp:1"), None);
    }
}
