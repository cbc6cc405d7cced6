//! Typed values brought to a wanted type: kept exactly or refused, never rounded, cut or replaced. One rule for Parquet files and
//! for every table.
//!
//! A value is cast there and back and must come back as it was; a decimal that has too many places, a time in nanoseconds, a
//! whole number that a floating-point column can't hold do not. A number column has numbers: what is infinite or no number
//! (`NaN`) has no place in it, as in a text file, where it can't even be written.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::compute::kernels::cmp::not_distinct;
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type};
use arrow::error::ArrowError;
use arrow::util::display::FormatOptions;

use super::error::FoundKind;
use crate::columns::ColumnType;

/// A column of the wanted type.
pub(crate) struct Brought {
    /// Its values. What stands in the rows that do not fit is nothing to go by.
    pub(crate) array: ArrayRef,
    /// The rows whose value does not fit, in order, with what was found there.
    pub(crate) misfits: Vec<(usize, FoundKind)>,
}

/// Brings a column to a type. Error: its type can't be brought to that one at all.
pub(crate) fn bring(array: &ArrayRef, wanted: ColumnType) -> Result<Brought, ArrowError> {
    let target = wanted.arrow();
    let options = CastOptions { safe: true, format_options: FormatOptions::default() };
    let array = match array.data_type() {
        // What is compared below are values, not their places in a dictionary.
        DataType::Dictionary(_, values) => cast_with_options(array, values, &options)?,
        _ => Arc::clone(array),
    };
    if array.data_type() == &target {
        let misfits = not_finite(&array, wanted);
        return Ok(Brought { array, misfits });
    }
    let cast = cast_with_options(&array, &target, &options)?;
    let mut misfits = Vec::new();
    if is_widening(array.data_type(), wanted) {
        // Only a value that became none was lost.
        if cast.null_count() != array.logical_null_count() {
            let kind = kind_of(array.data_type());
            let is_lost = |row: &usize| cast.is_null(*row) && !is_null(&array, *row);
            misfits.extend((0..array.len()).filter(is_lost).map(|row| (row, kind)));
        }
    } else {
        let back = cast_with_options(&cast, array.data_type(), &options)?;
        let same: BooleanArray = not_distinct(&back, &array)?;
        if same.true_count() != same.len() {
            let kind = kind_of(array.data_type());
            misfits.extend((0..same.len()).filter(|row| !same.value(*row)).map(|row| (row, kind)));
        }
    }
    misfits.extend(not_finite(&cast, wanted));
    Ok(Brought { array: cast, misfits })
}

/// The values of a number column that are no numbers.
fn not_finite(array: &ArrayRef, wanted: ColumnType) -> Vec<(usize, FoundKind)> {
    if wanted != ColumnType::Float {
        return Vec::new();
    }
    let values = array.as_primitive::<Float64Type>();
    if values.values().iter().all(|value| value.is_finite()) {
        return Vec::new();
    }
    let is_none = |row: &usize| values.is_valid(*row) && !values.value(*row).is_finite();
    (0..values.len()).filter(is_none).map(|row| (row, FoundKind::NotFinite)).collect()
}

/// Whether a type holds every value of another, as far as it doesn't tell that it does not.
fn is_widening(from: &DataType, to: ColumnType) -> bool {
    match to {
        // A text holds every digit of what is written.
        ColumnType::Text => true,
        // An unsigned number of 64 bits that is too large becomes none.
        ColumnType::Integer => from.is_integer(),
        ColumnType::Float => matches!(from, DataType::Float16 | DataType::Float32),
        _ => false,
    }
}

fn kind_of(found: &DataType) -> FoundKind {
    match found {
        DataType::Boolean => FoundKind::Boolean,
        numeric if numeric.is_numeric() => FoundKind::Number,
        temporal if temporal.is_temporal() => FoundKind::Moment,
        _ => FoundKind::Text,
    }
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}

#[cfg(test)]
mod tests {
    use arrow::array::{
        Date64Array, Decimal128Array, DictionaryArray, Float32Array, Float64Array, Int32Array, Int64Array, StringArray,
        TimestampMillisecondArray, TimestampNanosecondArray, UInt64Array,
    };
    use proptest::prelude::*;

    use super::*;

    const DECIMAL: ColumnType = ColumnType::Decimal { precision: 38, scale: 6 };

    /// The rows that do not fit.
    fn misfits(array: impl Array + 'static, wanted: ColumnType) -> Vec<(usize, FoundKind)> {
        let brought = bring(&(Arc::new(array) as ArrayRef), wanted).unwrap();
        assert_eq!(brought.array.data_type(), &wanted.arrow());
        brought.misfits
    }

    #[test]
    fn what_would_change_does_not_fit() {
        let decimals = Decimal128Array::from(vec![Some(10_000_000), None, Some(1), Some(-10)]);
        let decimals = decimals.with_precision_and_scale(20, 7).unwrap();
        assert_eq!(misfits(decimals, DECIMAL), [(2, FoundKind::Number)]);
        let nanoseconds = TimestampNanosecondArray::from(vec![Some(1_000), Some(1_500), None]);
        assert_eq!(misfits(nanoseconds, ColumnType::LocalTimestamp), [(1, FoundKind::Moment)]);
        // A day of milliseconds that is none.
        let days = Date64Array::from(vec![86_400_000, 86_400_001]);
        assert_eq!(misfits(days, ColumnType::Date), [(1, FoundKind::Moment)]);
        let whole = Int64Array::from(vec![1 << 53, (1 << 53) + 1]);
        assert_eq!(misfits(whole, ColumnType::Float), [(1, FoundKind::Number)]);
        assert_eq!(misfits(UInt64Array::from(vec![7, u64::MAX]), ColumnType::Integer), [(1, FoundKind::Number)]);
        let measured = Float64Array::from(vec![0.1, 0.000_000_1, f64::NAN, f64::INFINITY]);
        let rows: Vec<usize> = misfits(measured, DECIMAL).into_iter().map(|(row, _)| row).collect();
        assert_eq!(rows, [1, 2, 3]);
    }

    #[test]
    fn what_keeps_fits() {
        assert!(misfits(TimestampMillisecondArray::from(vec![Some(5), None]), ColumnType::LocalTimestamp).is_empty());
        assert!(misfits(Float32Array::from(vec![0.1, -0.0]), ColumnType::Float).is_empty());
        assert!(misfits(Int32Array::from(vec![Some(i32::MIN), None]), ColumnType::Integer).is_empty());
        assert!(misfits(Int64Array::from(vec![i64::MAX]), DECIMAL).is_empty());
        assert!(misfits(StringArray::from(vec![Some("x"), None]), ColumnType::Text).is_empty());
        let words: DictionaryArray<arrow::datatypes::Int8Type> = vec![Some("a"), None, Some("a")].into_iter().collect();
        let brought = bring(&(Arc::new(words) as ArrayRef), ColumnType::Text).unwrap();
        assert!(brought.misfits.is_empty() && brought.array.is_null(1));
        assert_eq!(brought.array.as_string::<i32>().value(2), "a");
    }

    #[test]
    fn no_number_and_infinity_have_no_place_in_a_number_column() {
        let values = vec![Some(1.0), Some(f64::NAN), None, Some(f64::NEG_INFINITY)];
        let found = [(1, FoundKind::NotFinite), (3, FoundKind::NotFinite)];
        assert_eq!(misfits(Float64Array::from(values.clone()), ColumnType::Float), found);
        let narrow: Vec<Option<f32>> = values.into_iter().map(|value| value.map(|value: f64| value as f32)).collect();
        assert_eq!(misfits(Float32Array::from(narrow), ColumnType::Float), found);
    }

    proptest! {
        /// A decimal of ten places fits one of six if and only if its last four are zeros.
        #[test]
        fn a_decimal_fits_when_it_has_no_more_places(value in -10_i128.pow(30)..10_i128.pow(30)) {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(38, 10).unwrap();
            prop_assert_eq!(misfits(array, DECIMAL).is_empty(), value % 10_000 == 0);
        }

        #[test]
        fn a_time_fits_when_it_has_whole_microseconds(value in any::<i64>()) {
            let array = TimestampNanosecondArray::from(vec![value]);
            prop_assert_eq!(misfits(array, ColumnType::LocalTimestamp).is_empty(), value % 1_000 == 0);
        }
    }
}
