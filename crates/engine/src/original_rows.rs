//! Rows of originals that were laid beside a fragment, in a form in which an expert can be handed them: the columns that are needed
//! to look at marks, each with its type and its values as texts. Whoever made such a text, it is read without trusting it, which
//! an Arrow stream is not: its reader stops the program at a schema that is none.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{
    Array as _, ArrayRef, AsArray as _, BooleanArray, Decimal128Array, Float64Array, Int64Array, RecordBatch,
    StringArray, UInt64Array,
};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Decimal128Type, Float64Type, Int64Type, TimeUnit, UInt64Type};
use lingqu_fingerprint::{COLUMNS_MAX, FRAGMENT_ROWS_MAX, FingerprintError};
use serde::{Deserialize, Serialize};

/// Rows of originals, in the order of the fragment's rows beside which they were laid.
#[derive(Clone, Debug)]
pub struct OriginalRows(pub RecordBatch);

/// A column as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenColumn {
    name: String,
    kind: Kind,
    /// Numbers in decimals, times as whole numbers of their unit, decimals without their point.
    values: Vec<Option<String>>,
}

/// The type of a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Kind {
    Boolean,
    Int8,
    Int16,
    Int32,
    Int64,
    UInt8,
    UInt16,
    UInt32,
    UInt64,
    Float32,
    Float64,
    Decimal { precision: u8, scale: i8 },
    Date,
    Seconds { zone: Option<String> },
    Milliseconds { zone: Option<String> },
    Microseconds { zone: Option<String> },
    Nanoseconds { zone: Option<String> },
    Text,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Kind> {
        let zone = |zone: &Option<Arc<str>>| zone.as_ref().map(ToString::to_string);
        Some(match data_type {
            DataType::Boolean => Kind::Boolean,
            DataType::Int8 => Kind::Int8,
            DataType::Int16 => Kind::Int16,
            DataType::Int32 => Kind::Int32,
            DataType::Int64 => Kind::Int64,
            DataType::UInt8 => Kind::UInt8,
            DataType::UInt16 => Kind::UInt16,
            DataType::UInt32 => Kind::UInt32,
            DataType::UInt64 => Kind::UInt64,
            DataType::Float32 => Kind::Float32,
            DataType::Float64 => Kind::Float64,
            DataType::Decimal128(precision, scale) => Kind::Decimal { precision: *precision, scale: *scale },
            DataType::Date32 => Kind::Date,
            DataType::Timestamp(TimeUnit::Second, of) => Kind::Seconds { zone: zone(of) },
            DataType::Timestamp(TimeUnit::Millisecond, of) => Kind::Milliseconds { zone: zone(of) },
            DataType::Timestamp(TimeUnit::Microsecond, of) => Kind::Microseconds { zone: zone(of) },
            DataType::Timestamp(TimeUnit::Nanosecond, of) => Kind::Nanoseconds { zone: zone(of) },
            // Marks and keys are the same in all forms of a text.
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Kind::Text,
            DataType::Dictionary(_, values) => return Kind::of(values).filter(|kind| *kind == Kind::Text),
            _ => return None,
        })
    }

    fn data_type(&self) -> DataType {
        let time = |unit, zone: &Option<String>| DataType::Timestamp(unit, zone.as_deref().map(Arc::from));
        match self {
            Kind::Boolean => DataType::Boolean,
            Kind::Int8 => DataType::Int8,
            Kind::Int16 => DataType::Int16,
            Kind::Int32 => DataType::Int32,
            Kind::Int64 => DataType::Int64,
            Kind::UInt8 => DataType::UInt8,
            Kind::UInt16 => DataType::UInt16,
            Kind::UInt32 => DataType::UInt32,
            Kind::UInt64 => DataType::UInt64,
            Kind::Float32 => DataType::Float32,
            Kind::Float64 => DataType::Float64,
            Kind::Decimal { precision, scale } => DataType::Decimal128(*precision, *scale),
            Kind::Date => DataType::Date32,
            Kind::Seconds { zone } => time(TimeUnit::Second, zone),
            Kind::Milliseconds { zone } => time(TimeUnit::Millisecond, zone),
            Kind::Microseconds { zone } => time(TimeUnit::Microsecond, zone),
            Kind::Nanoseconds { zone } => time(TimeUnit::Nanosecond, zone),
            Kind::Text => DataType::Utf8,
        }
    }
}

impl OriginalRows {
    /// These columns of the rows as JSON; columns that are not there are left out. Error: a column of a type that no mark and no
    /// key is of.
    pub fn encode(&self, columns: &BTreeSet<&str>) -> Result<Vec<u8>, FingerprintError> {
        let schema = self.0.schema();
        let mut written = Vec::new();
        for (field, array) in schema.fields().iter().zip(self.0.columns()) {
            if columns.contains(field.name().as_str()) {
                written.push(write(field.name(), array)?);
            }
        }
        serde_json::to_vec(&written).map_err(|_| unreadable("they can't be written"))
    }

    /// What [`OriginalRows::encode`] wrote. Error: anything else; more rows or columns than a fragment has.
    pub fn decode(bytes: &[u8]) -> Result<OriginalRows, FingerprintError> {
        let written: Vec<WrittenColumn> = serde_json::from_slice(bytes)
            .map_err(|_| unreadable("they are not what is written; ask for the file again where it came from"))?;
        if written.len() > COLUMNS_MAX {
            return Err(FingerprintError::TooMany { what: "columns of originals", count_max: COLUMNS_MAX });
        }
        let rows = written.first().map_or(0, |column| column.values.len());
        if rows > FRAGMENT_ROWS_MAX {
            return Err(FingerprintError::TooMany { what: "rows of originals", count_max: FRAGMENT_ROWS_MAX });
        }
        let mut columns: Vec<(&str, ArrayRef)> = Vec::with_capacity(written.len());
        for column in &written {
            if column.values.len() != rows {
                return Err(unreadable("their columns have not the same number of rows"));
            }
            columns.push((&column.name, read(column)?));
        }
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        let batch = RecordBatch::try_from_iter_with_nullable(columns);
        batch.map(OriginalRows).map_err(|_| unreadable("their columns don't make a table"))
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.0.num_rows()
    }
}

fn unreadable(reason: &str) -> FingerprintError {
    FingerprintError::Originals { reason: reason.to_owned() }
}

fn write(name: &str, array: &ArrayRef) -> Result<WrittenColumn, FingerprintError> {
    let kind = Kind::of(array.data_type());
    let kind = kind.ok_or_else(|| unreadable("a column is of a type that can't be handed over"))?;
    let as_type = |to: &DataType| cast(array, to).map_err(|_| unreadable("a column can't be written"));
    let values: Vec<Option<String>> = match &kind {
        Kind::Boolean => array.as_boolean().iter().map(|value| value.map(|value| value.to_string())).collect(),
        Kind::Float32 | Kind::Float64 => {
            let array = as_type(&DataType::Float64)?;
            array.as_primitive::<Float64Type>().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        Kind::UInt64 => {
            array.as_primitive::<UInt64Type>().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        Kind::Decimal { .. } => {
            array.as_primitive::<Decimal128Type>().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        Kind::Text => {
            let array = as_type(&DataType::Utf8)?;
            array.as_string::<i32>().iter().map(|value| value.map(str::to_owned)).collect()
        }
        Kind::Date => {
            let days = as_type(&DataType::Int32)?;
            let days = cast(&days, &DataType::Int64).map_err(|_| unreadable("a column can't be written"))?;
            days.as_primitive::<Int64Type>().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
        _ => {
            let array = as_type(&DataType::Int64)?;
            array.as_primitive::<Int64Type>().iter().map(|value| value.map(|value| value.to_string())).collect()
        }
    };
    Ok(WrittenColumn { name: name.to_owned(), kind, values })
}

/// The values of a column, each read as what it must be.
fn values<T: std::str::FromStr>(column: &WrittenColumn) -> Result<Vec<Option<T>>, FingerprintError> {
    let read = |text: &Option<String>| text.as_ref().map(|text| text.parse::<T>()).transpose();
    let values: Result<Vec<Option<T>>, T::Err> = column.values.iter().map(read).collect();
    values.map_err(|_| unreadable("a value is not of its column's type"))
}

fn read(column: &WrittenColumn) -> Result<ArrayRef, FingerprintError> {
    let misfit = |_| unreadable("values don't fit their column's type");
    let array: ArrayRef = match &column.kind {
        Kind::Boolean => Arc::new(BooleanArray::from(values::<bool>(column)?)),
        Kind::Float32 | Kind::Float64 => Arc::new(Float64Array::from(values::<f64>(column)?)),
        Kind::UInt64 => Arc::new(UInt64Array::from(values::<u64>(column)?)),
        Kind::Decimal { precision, scale } => {
            let array = Decimal128Array::from(values::<i128>(column)?);
            Arc::new(array.with_precision_and_scale(*precision, *scale).map_err(misfit)?)
        }
        Kind::Text => Arc::new(StringArray::from(values::<String>(column)?)),
        Kind::Date => cast(&Int64Array::from(values::<i64>(column)?), &DataType::Int32).map_err(misfit)?,
        _ => Arc::new(Int64Array::from(values::<i64>(column)?)),
    };
    let nulls = column.values.iter().filter(|value| value.is_none()).count();
    let array = cast(&array, &column.kind.data_type()).map_err(misfit)?;
    // What is too large for the type would become nothing.
    if array.null_count() == nulls { Ok(array) } else { Err(unreadable("values don't fit their column's type")) }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Date32Array, Float32Array, Int16Array, LargeStringArray, TimestampMicrosecondArray};

    use super::*;

    fn rows() -> OriginalRows {
        let decimals = Decimal128Array::from(vec![Some(12_345), None]).with_precision_and_scale(10, 2).unwrap();
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("key", Arc::new(StringArray::from(vec![Some("a\n\"b\""), None]))),
            ("delay", Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(7)]))),
            ("small", Arc::new(Int16Array::from(vec![Some(-3), None]))),
            ("large", Arc::new(UInt64Array::from(vec![Some(u64::MAX), Some(0)]))),
            ("ratio", Arc::new(Float64Array::from(vec![Some(0.1 + 0.2), Some(f64::MIN_POSITIVE)]))),
            ("short", Arc::new(Float32Array::from(vec![Some(0.1_f32), Some(-0.0)]))),
            ("amount", Arc::new(decimals)),
            ("day", Arc::new(Date32Array::from(vec![Some(20_000), Some(-1)]))),
            ("at", Arc::new(TimestampMicrosecondArray::from(vec![Some(1), None]).with_timezone("UTC"))),
            ("is", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("other", Arc::new(Int64Array::from(vec![1, 2]))),
        ];
        let columns = columns.into_iter().map(|(name, array)| (name, array, true));
        OriginalRows(RecordBatch::try_from_iter_with_nullable(columns).unwrap())
    }

    fn all(rows: &OriginalRows) -> Vec<u8> {
        let schema = rows.0.schema();
        rows.encode(&schema.fields().iter().map(|field| field.name().as_str()).collect()).unwrap()
    }

    #[test]
    fn what_is_written_is_read_to_the_last_bit() {
        let rows = rows();
        assert_eq!(OriginalRows::decode(&all(&rows)).unwrap().0, rows.0);
        let some = rows.encode(&BTreeSet::from(["delay", "key", "nothing"])).unwrap();
        let read = OriginalRows::decode(&some).unwrap();
        assert_eq!((read.row_count(), &read.0), (2, &rows.0.project(&[0, 1]).unwrap()));
        // Another form of a text is the same text.
        let large: ArrayRef = Arc::new(LargeStringArray::from(vec![Some("a\n\"b\""), None]));
        let large = OriginalRows(RecordBatch::try_from_iter([("key", large)]).unwrap());
        assert_eq!(OriginalRows::decode(&all(&large)).unwrap().0.column(0), rows.0.column(0));
    }

    /// Whoever made the bytes, they are rows or refused.
    #[test]
    fn changed_bytes_are_rows_or_refused() {
        let written = all(&rows());
        let mut refused = 0;
        for place in 0..written.len() {
            for change in [1, 0x10, 0x80] {
                let mut changed = written.clone();
                changed[place] ^= change;
                match OriginalRows::decode(&changed) {
                    Ok(read) => assert_eq!(read.row_count(), 2),
                    Err(_) => refused += 1,
                }
            }
            assert!(OriginalRows::decode(&written[..place]).is_err(), "{place}");
        }
        assert!(refused > written.len(), "{refused}");
        let column = |kind: &str, value: &str| format!(r#"[{{"name":"c","kind":{kind},"values":["{value}"]}}]"#);
        for (kind, value) in [
            (r#""int8""#, "128"),
            (r#""u_int8""#, "-1"),
            (r#""int64""#, "9223372036854775808"),
            (r#""date""#, "2147483648"),
            (r#""boolean""#, "yes"),
            (r#""float64""#, "one"),
            (r#"{"decimal":{"precision":77,"scale":2}}"#, "1"),
        ] {
            assert!(OriginalRows::decode(column(kind, value).as_bytes()).is_err(), "{kind} {value}");
        }
        let uneven = r#"[{"name":"a","kind":"text","values":["x"]},{"name":"b","kind":"text","values":[]}]"#;
        assert!(OriginalRows::decode(uneven.as_bytes()).is_err());
    }
}
