//! Keys of rows in one canonical form, so that an integer is the same key in every width and a time in every unit.

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Int64Type, TimeUnit, UInt64Type};

use crate::error::FingerprintError;

/// The longest key of one row in bytes, all its columns together.
pub const ROW_KEY_BYTES_MAX: usize = 4_096;

/// What opens each part of a key. 255 is kept for names (see `PositionSecrets::tweak`).
const NULL: u8 = 0;
pub(crate) const INTEGER: u8 = 1;
const TEXT: u8 = 2;
const TIME: u8 = 3;
const DECIMAL: u8 = 4;
const LARGE: u8 = 5;
const BYTES: u8 = 6;

/// The keys of a batch's rows, one byte string each.
#[derive(Debug, Clone, Default)]
pub struct RowKeys {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl RowKeys {
    /// The keys that these columns make. Integers of all widths, texts of all layouts and times of all units give the
    /// same key for the same value; a column that is no key by nature (floating point, nested) is refused.
    ///
    /// # Errors
    /// [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`], [`FingerprintError::RowKeyTooLong`].
    pub fn of_columns(batch: &RecordBatch, columns: &[String]) -> Result<Self, FingerprintError> {
        let mut parts = Vec::with_capacity(columns.len());
        for column in columns {
            let array = batch
                .column_by_name(column)
                .ok_or_else(|| FingerprintError::ColumnMissing { column: column.clone() })?;
            parts.push(Part::read(column, array)?);
        }
        let mut keys =
            Self { bytes: Vec::with_capacity(batch.num_rows() * 9), ends: Vec::with_capacity(batch.num_rows()) };
        for row in 0..batch.num_rows() {
            for part in &parts {
                part.write(row, &mut keys.bytes);
            }
            keys.close()?;
        }
        Ok(keys)
    }

    /// The numbers of keys that are one whole number each, of which none is missing; none where keys are anything else.
    pub(crate) fn whole_numbers<'a>(batch: &'a RecordBatch, columns: &[String]) -> Option<&'a [i64]> {
        let [column] = columns else { return None };
        let array = batch.column_by_name(column)?.as_primitive_opt::<Int64Type>()?;
        (array.null_count() == 0).then(|| &**array.values())
    }

    /// Keys whose bytes are made elsewhere. Their first byte must not be 255.
    ///
    /// # Errors
    /// [`FingerprintError::RowKeyTooLong`].
    pub fn of_bytes<K: AsRef<[u8]>>(list: &[K]) -> Result<Self, FingerprintError> {
        let mut keys = Self::default();
        for key in list {
            keys.bytes.extend_from_slice(key.as_ref());
            keys.close()?;
        }
        Ok(keys)
    }

    /// The one key that a name makes; names are short.
    pub(crate) fn one(bytes: Vec<u8>) -> Self {
        let ends = vec![bytes.len()];
        Self { bytes, ends }
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Each key, in the order of the rows.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts.zip(&self.ends).map(|(start, end)| &self.bytes[start..*end])
    }

    fn close(&mut self) -> Result<(), FingerprintError> {
        let start = self.ends.last().copied().unwrap_or(0);
        if self.bytes.len() - start > ROW_KEY_BYTES_MAX {
            return Err(FingerprintError::RowKeyTooLong { bytes_max: ROW_KEY_BYTES_MAX });
        }
        self.ends.push(self.bytes.len());
        Ok(())
    }
}

/// One column of the key, with the tag of its kind and its values in the kind's canonical type.
struct Part {
    tag: u8,
    values: ArrayRef,
    /// For times: how many of the column's units make a second.
    per_second: i64,
    /// For decimals: digits after the point.
    scale: i8,
}

impl Part {
    fn read(column: &str, array: &ArrayRef) -> Result<Self, FingerprintError> {
        let (mut per_second, mut scale) = (1, 0);
        let (tag, target) = match array.data_type() {
            kind if kind.is_unsigned_integer() => (LARGE, DataType::UInt64),
            kind if kind.is_signed_integer() => (INTEGER, DataType::Int64),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(_, _) => {
                (TEXT, DataType::LargeUtf8)
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                (BYTES, DataType::LargeBinary)
            }
            DataType::Date32 => {
                // Days, as seconds at midnight.
                (TIME, DataType::Timestamp(TimeUnit::Second, None))
            }
            DataType::Timestamp(unit, _) => {
                per_second = match unit {
                    TimeUnit::Second => 1,
                    TimeUnit::Millisecond => 1_000,
                    TimeUnit::Microsecond => 1_000_000,
                    TimeUnit::Nanosecond => 1_000_000_000,
                };
                (TIME, DataType::Int64)
            }
            DataType::Decimal128(_, digits) => {
                scale = *digits;
                (DECIMAL, array.data_type().clone())
            }
            other => {
                return Err(FingerprintError::ColumnType {
                    column: column.to_string(),
                    found: other.to_string(),
                    expected: "an integer, text, bytes, date, timestamp or decimal; declare another unique key",
                });
            }
        };
        let refused = || FingerprintError::ColumnType {
            column: column.to_string(),
            found: array.data_type().to_string(),
            expected: "a type that has a canonical form as a key; declare another unique key",
        };
        let mut values = cast(array, &target).map_err(|_| refused())?;
        if matches!(target, DataType::Timestamp(..)) {
            values = cast(&values, &DataType::Int64).map_err(|_| refused())?;
        }
        Ok(Self { tag, values, per_second, scale })
    }

    fn write(&self, row: usize, bytes: &mut Vec<u8>) {
        if self.values.is_null(row) {
            bytes.push(NULL);
            return;
        }
        match self.tag {
            INTEGER => {
                bytes.push(INTEGER);
                bytes.extend_from_slice(&self.values.as_primitive::<Int64Type>().value(row).to_le_bytes());
            }
            LARGE => {
                let value = self.values.as_primitive::<UInt64Type>().value(row);
                bytes.push(if i64::try_from(value).is_ok() { INTEGER } else { LARGE });
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            TIME => {
                let value = self.values.as_primitive::<Int64Type>().value(row);
                bytes.push(TIME);
                bytes.extend_from_slice(&value.div_euclid(self.per_second).to_le_bytes());
                let nanoseconds = value.rem_euclid(self.per_second) * (1_000_000_000 / self.per_second);
                bytes.extend_from_slice(&nanoseconds.to_le_bytes()[..4]);
            }
            DECIMAL => {
                let (mut value, mut scale) = (self.values.as_primitive::<Decimal128Type>().value(row), self.scale);
                // Trailing zeros say nothing; a decimal has at most 38 digits.
                while value != 0 && value % 10 == 0 {
                    value /= 10;
                    scale = scale.saturating_sub(1);
                }
                if value == 0 {
                    scale = 0;
                }
                bytes.push(DECIMAL);
                bytes.extend_from_slice(&scale.to_le_bytes());
                bytes.extend_from_slice(&value.to_le_bytes());
            }
            TEXT => write_counted(TEXT, self.values.as_string::<i64>().value(row).as_bytes(), bytes),
            _ => write_counted(BYTES, self.values.as_binary::<i64>().value(row), bytes),
        }
    }
}

/// Tag, length, content: no part of a key can be taken for the next one.
fn write_counted(tag: u8, content: &[u8], bytes: &mut Vec<u8>) {
    bytes.push(tag);
    bytes.extend_from_slice(&u32::try_from(content.len()).unwrap_or(u32::MAX).to_le_bytes());
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, LargeStringArray, StringArray,
        TimestampMillisecondArray, TimestampSecondArray, UInt64Array,
    };

    use super::*;

    fn keys(columns: Vec<ArrayRef>) -> Vec<Vec<u8>> {
        let names: Vec<String> = (0..columns.len()).map(|i| format!("c{i}")).collect();
        let batch = RecordBatch::try_from_iter(names.iter().zip(columns)).unwrap();
        RowKeys::of_columns(&batch, &names).unwrap().iter().map(<[u8]>::to_vec).collect()
    }

    #[test]
    fn one_value_is_one_key_in_every_type() {
        let numbers = keys(vec![Arc::new(Int32Array::from(vec![Some(5), None]))]);
        assert_eq!(numbers, keys(vec![Arc::new(Int64Array::from(vec![Some(5), None]))]));
        assert_eq!(numbers, keys(vec![Arc::new(UInt64Array::from(vec![Some(5), None]))]));
        let texts = keys(vec![Arc::new(StringArray::from(vec!["灵渠"]))]);
        assert_eq!(texts, keys(vec![Arc::new(LargeStringArray::from(vec!["灵渠"]))]));
        let seconds = keys(vec![Arc::new(TimestampSecondArray::from(vec![-86_400]))]);
        assert_eq!(seconds, keys(vec![Arc::new(TimestampMillisecondArray::from(vec![-86_400_000]))]));
        assert_eq!(seconds, keys(vec![Arc::new(Date32Array::from(vec![-1]))]));
        let decimals = |value, scale| -> Vec<Vec<u8>> {
            let array = Decimal128Array::from(vec![value]).with_precision_and_scale(20, scale).unwrap();
            keys(vec![Arc::new(array)])
        };
        assert_eq!(decimals(1_500, 3), decimals(15, 1));
    }

    #[test]
    fn parts_do_not_flow_into_each_other() {
        let split = |left: &str, right: &str| {
            keys(vec![Arc::new(StringArray::from(vec![left])), Arc::new(StringArray::from(vec![right]))])
        };
        assert_ne!(split("ab", "c"), split("a", "bc"));
        let floats: ArrayRef = Arc::new(Float64Array::from(vec![1.5]));
        let batch = RecordBatch::try_from_iter([("x", floats)]).unwrap();
        assert!(matches!(RowKeys::of_columns(&batch, &["x".to_string()]), Err(FingerprintError::ColumnType { .. })));
    }
}
