//! Columns as whole numbers of small units, and back: the lattice on which number marks move.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, Decimal128Array, Float32Array, Float64Array, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float32Type, Float64Type, Int64Type, TimeUnit};

use crate::error::FingerprintError;
use crate::marking::{Encoding, HOURS_MINUTES_LAST};

/// Stands for a cell that can't be marked: null, not on the lattice, or out of range.
pub(crate) const ABSENT: i64 = i64::MIN;

/// The largest number of units that floating point tells apart with room to spare.
const FLOAT_UNITS_MAX: f64 = 4_503_599_627_370_496.0;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    /// Integers as they are.
    Integer,
    /// Days, times and instants in the column's own unit.
    Time,
    /// Floating point; how many units make one.
    Float(f64),
    /// 128-bit decimals; how many units make one, for reading what leaked.
    Decimal(f64),
    /// Integers that read as hours and minutes.
    HoursMinutes,
}

/// How one column is read as units.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Units {
    kind: Kind,
    data_type: DataType,
    /// Units of one step of the lattice.
    pub(crate) step: i64,
    /// What the type can hold.
    pub(crate) range: (i64, i64),
}

impl Units {
    pub(crate) fn of(column: &str, data_type: &DataType, encoding: Encoding) -> Result<Self, FingerprintError> {
        let wrong = |expected| FingerprintError::ColumnType {
            column: column.to_string(),
            found: data_type.to_string(),
            expected,
        };
        let all = (i64::MIN + 1, i64::MAX);
        let (kind, step, range) = match (encoding, data_type) {
            (Encoding::HoursMinutes, kind)
                if kind.is_integer() && *kind != DataType::Int8 && *kind != DataType::UInt8 =>
            {
                (Kind::HoursMinutes, 1, (1, HOURS_MINUTES_LAST))
            }
            (Encoding::HoursMinutes, _) => return Err(wrong("an integer of 16 bits or more")),
            (Encoding::Lattice(step), kind) if kind.is_integer() => {
                if step.decimals != 0 {
                    return Err(wrong("a step without decimals, since its values are whole numbers"));
                }
                (Kind::Integer, i64::from(step.unscaled), integer_range(kind))
            }
            (Encoding::Lattice(step), DataType::Float32 | DataType::Float64) => {
                (Kind::Float(10f64.powi(i32::from(step.decimals))), i64::from(step.unscaled), all)
            }
            (Encoding::Lattice(step), DataType::Decimal128(precision, scale)) => {
                let more = i32::from(*scale) - i32::from(step.decimals);
                let power = u32::try_from(more).ok().and_then(|more| 10i64.checked_pow(more));
                let Some(step) = power.and_then(|power| power.checked_mul(i64::from(step.unscaled))) else {
                    return Err(wrong("a step that is a whole number of the column's last decimal"));
                };
                let most = 10i64.checked_pow(u32::from(*precision)).map_or(i64::MAX, |power| power - 1);
                (Kind::Decimal(10f64.powi(i32::from(*scale))), step, (-most, most))
            }
            (Encoding::Time { nanoseconds }, kind) => {
                let (unit, range) = match kind {
                    DataType::Date32 => (86_400_000_000_000, (i64::from(i32::MIN), i64::from(i32::MAX))),
                    DataType::Date64 => (1_000_000, all),
                    DataType::Timestamp(unit, _) => (unit_nanoseconds(*unit), all),
                    DataType::Time32(unit) | DataType::Time64(unit) => {
                        let nanoseconds = unit_nanoseconds(*unit);
                        (nanoseconds, (0, 86_400_000_000_000 / nanoseconds - 1))
                    }
                    _ => return Err(wrong("a date, a timestamp or a time of day")),
                };
                if nanoseconds % unit != 0 {
                    return Err(wrong("a step that is a whole number of the column's unit of time"));
                }
                (Kind::Time, nanoseconds / unit, range)
            }
            (Encoding::Lattice(_), _) => return Err(wrong("an integer, floating-point or 128-bit decimal type")),
        };
        Ok(Self { kind, data_type: data_type.clone(), step, range })
    }

    /// The same as [`Units::read`], and where values are units already these themselves.
    pub(crate) fn read_in_place<'a>(&self, array: &'a ArrayRef) -> Cow<'a, [i64]> {
        match array.as_primitive_opt::<Int64Type>() {
            Some(integers) if self.kind == Kind::Integer && integers.null_count() == 0 => {
                Cow::Borrowed(integers.values())
            }
            _ => Cow::Owned(self.read(array)),
        }
    }

    /// The values in units, [`ABSENT`] where there is nothing to mark. The array has the type that the units are of.
    pub(crate) fn read(&self, array: &ArrayRef) -> Vec<i64> {
        // A cast that failed shows as a null of the result, so its nulls are asked.
        let mut nulls = array.nulls().cloned();
        let mut units = match self.kind {
            Kind::Integer | Kind::Time | Kind::HoursMinutes => match integers(array) {
                Some(integers) => {
                    nulls = integers.nulls().cloned();
                    integers.as_primitive::<Int64Type>().values().to_vec()
                }
                None => vec![ABSENT; array.len()],
            },
            Kind::Float(per_one) if self.data_type == DataType::Float32 => {
                let on_lattice = |value: &f32| {
                    let units = (f64::from(*value) * per_one).round();
                    let exact = (units / per_one) as f32 == *value && units.abs() < FLOAT_UNITS_MAX;
                    if exact { units as i64 } else { ABSENT }
                };
                array.as_primitive::<Float32Type>().values().iter().map(on_lattice).collect()
            }
            Kind::Float(per_one) => {
                let on_lattice = |value: &f64| {
                    let units = (value * per_one).round();
                    let exact = units / per_one == *value && units.abs() < FLOAT_UNITS_MAX;
                    if exact { units as i64 } else { ABSENT }
                };
                array.as_primitive::<Float64Type>().values().iter().map(on_lattice).collect()
            }
            Kind::Decimal(_) => {
                let values = array.as_primitive::<Decimal128Type>().values();
                values.iter().map(|value| i64::try_from(*value).unwrap_or(ABSENT)).collect()
            }
        };
        if self.kind == Kind::HoursMinutes {
            for value in &mut units {
                *value = minutes(*value);
            }
        }
        if let Some(nulls) = nulls {
            for (row, value) in units.iter_mut().enumerate() {
                if nulls.is_null(row) {
                    *value = ABSENT;
                }
            }
        }
        units
    }

    /// The array with moved cells: `units` as they were read, `moves` the rows of cells with their moves in units. A cell that is
    /// not moved, or by nothing, stays bit for bit.
    pub(crate) fn write(
        &self,
        column: &str,
        array: &ArrayRef,
        units: &[i64],
        moves: impl Iterator<Item = (usize, i64)>,
    ) -> Result<ArrayRef, FingerprintError> {
        let moved = moves.filter(|(_, by)| *by != 0).map(|(row, by)| (row, units[row].wrapping_add(by)));
        let nulls = array.nulls().cloned();
        let failed = || FingerprintError::Assembly { column: column.to_string() };
        match self.kind {
            Kind::Integer | Kind::Time | Kind::HoursMinutes => {
                let integers = integers(array).ok_or_else(failed)?;
                let old = integers.as_primitive::<Int64Type>();
                let new = match self.kind {
                    // Sixty minutes more are a hundred more.
                    Kind::HoursMinutes => written(old.values(), moved.map(|(row, new)| (row, new + new / 60 * 40))),
                    _ => written(old.values(), moved),
                };
                let array: ArrayRef = Arc::new(Int64Array::new(new.into(), old.nulls().cloned()));
                from_integers(&array, &self.data_type).ok_or_else(failed)
            }
            Kind::Float(per_one) if self.data_type == DataType::Float32 => {
                let old = array.as_primitive::<Float32Type>();
                let new = written(old.values(), moved.map(|(row, new)| (row, (new as f64 / per_one) as f32)));
                Ok(Arc::new(Float32Array::new(new.into(), nulls)))
            }
            Kind::Float(per_one) => {
                let old = array.as_primitive::<Float64Type>();
                let new = written(old.values(), moved.map(|(row, new)| (row, new as f64 / per_one)));
                Ok(Arc::new(Float64Array::new(new.into(), nulls)))
            }
            Kind::Decimal(_) => {
                let old = array.as_primitive::<Decimal128Type>();
                let new = written(old.values(), moved.map(|(row, new)| (row, i128::from(new))));
                let array = Decimal128Array::new(new.into(), nulls).with_data_type(self.data_type.clone());
                Ok(Arc::new(array))
            }
        }
    }

    /// What a leaked column shows, in units and not always whole: it may have another type, be rounded or noised. Not a
    /// number where it shows nothing.
    pub(crate) fn read_leaked(&self, array: &ArrayRef) -> Vec<f64> {
        let missing = || vec![f64::NAN; array.len()];
        let is_number = array.data_type().is_numeric();
        if self.kind == Kind::Time && !is_number {
            // A cast of text or of another unit; what doesn't read becomes null.
            let Some(integers) = cast(array, &self.data_type).ok().as_ref().and_then(integers) else {
                return missing();
            };
            let integers = integers.as_primitive::<Int64Type>();
            return integers.iter().map(|value| value.map_or(f64::NAN, |value| value as f64)).collect();
        }
        let Ok(floats) = cast(array, &DataType::Float64) else {
            return missing();
        };
        let read = |value: f64| match self.kind {
            Kind::Integer | Kind::Time => value,
            Kind::Float(per_one) | Kind::Decimal(per_one) => value * per_one,
            Kind::HoursMinutes => (value / 100.0).floor() * 60.0 + value.rem_euclid(100.0).min(60.0),
        };
        floats.as_primitive::<Float64Type>().iter().map(|value| value.map_or(f64::NAN, read)).collect()
    }
}

/// Minutes of the day from hours and minutes read as one number.
fn minutes(value: i64) -> i64 {
    if !(0..=2_400).contains(&value) {
        return ABSENT;
    }
    // In 32 bits a division takes a fraction of the time.
    let clock = value as u32;
    let (hours, minutes) = (clock / 100, clock % 100);
    if minutes < 60 { i64::from(hours * 60 + minutes) } else { ABSENT }
}

/// Values with some of them written over.
fn written<T: Copy>(old: &[T], new: impl Iterator<Item = (usize, T)>) -> Vec<T> {
    let mut values = old.to_vec();
    for (row, value) in new {
        values[row] = value;
    }
    values
}

/// Any integer or time column as 64-bit integers of its own unit.
fn integers(array: &ArrayRef) -> Option<ArrayRef> {
    match array.data_type() {
        DataType::Int64 => Some(array.clone()),
        DataType::Date32 | DataType::Time32(_) => {
            let narrow = cast(array, &DataType::Int32).ok()?;
            cast(&narrow, &DataType::Int64).ok()
        }
        _ => cast(array, &DataType::Int64).ok(),
    }
}

/// The inverse of [`integers`].
fn from_integers(array: &ArrayRef, data_type: &DataType) -> Option<ArrayRef> {
    match data_type {
        DataType::Int64 => Some(array.clone()),
        DataType::Date32 | DataType::Time32(_) => {
            let narrow = cast(array, &DataType::Int32).ok()?;
            cast(&narrow, data_type).ok()
        }
        _ => cast(array, data_type).ok(),
    }
}

fn integer_range(data_type: &DataType) -> (i64, i64) {
    match data_type {
        DataType::Int8 => (i64::from(i8::MIN), i64::from(i8::MAX)),
        DataType::Int16 => (i64::from(i16::MIN), i64::from(i16::MAX)),
        DataType::Int32 => (i64::from(i32::MIN), i64::from(i32::MAX)),
        DataType::UInt8 => (0, i64::from(u8::MAX)),
        DataType::UInt16 => (0, i64::from(u16::MAX)),
        DataType::UInt32 => (0, i64::from(u32::MAX)),
        DataType::UInt64 => (0, i64::MAX),
        _ => (i64::MIN + 1, i64::MAX),
    }
}

fn unit_nanoseconds(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1_000_000_000,
        TimeUnit::Millisecond => 1_000_000,
        TimeUnit::Microsecond => 1_000,
        TimeUnit::Nanosecond => 1,
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date32Array, Int16Array, StringArray, Time32SecondArray, TimestampMillisecondArray, UInt8Array,
    };

    use super::*;
    use crate::marking::Step;

    fn lattice(unscaled: u32, decimals: u8) -> Encoding {
        Encoding::Lattice(Step { unscaled, decimals })
    }

    /// Reads, moves the second of three cells, writes, and answers units and array.
    fn moved(array: ArrayRef, encoding: Encoding, by: i64) -> (Vec<i64>, ArrayRef) {
        let units = Units::of("c", array.data_type(), encoding).unwrap();
        let read = units.read(&array);
        let written = units.write("c", &array, &read, [(0, 0), (1, by * units.step)].into_iter()).unwrap();
        assert_eq!(written.data_type(), array.data_type());
        (read, written)
    }

    #[test]
    fn every_type_goes_there_and_back() {
        let (read, written) = moved(Arc::new(Float64Array::from(vec![0.1, 0.3, 1.0 / 3.0])), lattice(1, 1), 1);
        assert_eq!(read, [1, 3, ABSENT]);
        assert_eq!(written.as_primitive::<Float64Type>().values(), &[0.1, 0.4, 1.0 / 3.0]);
        let (read, written) = moved(Arc::new(Float32Array::from(vec![Some(2.5), Some(0.7), None])), lattice(1, 1), -2);
        assert_eq!(read, [25, 7, ABSENT]);
        assert_eq!(written.as_primitive::<Float32Type>().value(1), 0.5);
        let (read, written) = moved(Arc::new(Int16Array::from(vec![517, 559, 2_400])), Encoding::HoursMinutes, 1);
        assert_eq!(read, [317, 359, 1_440]);
        let expected: ArrayRef = Arc::new(Int16Array::from(vec![517, 600, 2_400]));
        assert_eq!(&written, &expected);
        let (read, _) = moved(Arc::new(Int16Array::from(vec![-5, 1_261, 9_999])), Encoding::HoursMinutes, 0);
        assert_eq!(read, [ABSENT; 3]);
        let days = Encoding::Time { nanoseconds: 86_400_000_000_000 };
        let (_, written) = moved(Arc::new(Date32Array::from(vec![0, 10, 20])), days, -3);
        let expected: ArrayRef = Arc::new(Date32Array::from(vec![0, 7, 20]));
        assert_eq!(&written, &expected);
        let seconds = Encoding::Time { nanoseconds: 1_000_000_000 };
        let instants = TimestampMillisecondArray::from(vec![1, 2_500, 3]).with_timezone("+08:00");
        let (_, written) = moved(Arc::new(instants), seconds, 2);
        assert_eq!(written.as_primitive::<arrow::datatypes::TimestampMillisecondType>().values(), &[1, 4_500, 3]);
        let (_, written) = moved(Arc::new(Time32SecondArray::from(vec![1, 2, 3])), seconds, 5);
        let expected: ArrayRef = Arc::new(Time32SecondArray::from(vec![1, 7, 3]));
        assert_eq!(&written, &expected);
        let money = Decimal128Array::from(vec![100, 250, 999]).with_precision_and_scale(10, 2).unwrap();
        let (_, written) = moved(Arc::new(money), lattice(5, 1), 1);
        assert_eq!(written.as_primitive::<Decimal128Type>().values(), &[100, 300, 999]);
    }

    #[test]
    fn leaked_columns_are_read_in_other_types() {
        let units = Units::of("c", &DataType::Int64, lattice(1, 0)).unwrap();
        let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("12"), Some("x"), Some("1.5"), None]));
        let read = units.read_leaked(&texts);
        assert_eq!((read[0], read[2]), (12.0, 1.5));
        assert!(read[1].is_nan() && read[3].is_nan());
        let stamps = DataType::Timestamp(TimeUnit::Second, None);
        let units = Units::of("c", &stamps, Encoding::Time { nanoseconds: 1_000_000_000 }).unwrap();
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["1970-01-02 00:00:01"]));
        assert_eq!(units.read_leaked(&texts), [86_401.0]);
    }

    #[test]
    fn a_step_that_does_not_fit_the_type_is_refused() {
        let bytes: ArrayRef = Arc::new(UInt8Array::from(vec![1]));
        for (kind, encoding) in [
            (bytes.data_type(), Encoding::HoursMinutes),
            (bytes.data_type(), lattice(1, 1)),
            (&DataType::Utf8, lattice(1, 0)),
            (&DataType::Date32, Encoding::Time { nanoseconds: 1_000_000_000 }),
            (&DataType::Decimal128(10, 2), lattice(1, 3)),
        ] {
            assert!(matches!(Units::of("c", kind, encoding), Err(FingerprintError::ColumnType { .. })));
        }
    }
}
