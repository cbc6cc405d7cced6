//! Digests of answers, made while they leave.
//!
//! An answer that leaves as bytes is digested as the bytes that it is. One that leaves as batches reaches clients in other
//! messages with each protocol and each cutting, so what is digested is its values, column by column: `docs/manual/receipts.md`
//! gives the form, for whoever wants to make the digest of what he has.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowPrimitiveType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::Bytes;
use lingqu_crypto::{Sha256Digest, Sha256Hasher};
use lingqu_domain::answer::AnswerForm;

/// What stands before the digests of columns.
const VALUES_CONTEXT: &[u8] = b"lingqu answer values v1\n";

/// Digests an answer whose pieces leave one after another.
pub(super) trait AnswerHasher<P>: Default + Send + 'static {
    /// What the digest is of.
    const FORM: AnswerForm;

    /// Takes the next piece.
    fn take(&mut self, piece: &P);

    /// The digest of all that was taken, however it was cut into pieces.
    fn digest(self) -> Sha256Digest;
}

impl AnswerHasher<Bytes> for Sha256Hasher {
    const FORM: AnswerForm = AnswerForm::Bytes;

    fn take(&mut self, piece: &Bytes) {
        self.update(piece);
    }

    fn digest(self) -> Sha256Digest {
        self.finish()
    }
}

/// The digest of an answer that is one batch.
pub(super) fn values_digest(batch: &RecordBatch) -> Sha256Digest {
    let mut hasher = ValuesHasher::default();
    hasher.take(batch);
    hasher.digest()
}

/// Digests the values of an answer. One without rows has no columns in it.
#[derive(Debug, Default)]
pub(super) struct ValuesHasher {
    rows: u64,
    columns: Vec<(String, Sha256Hasher)>,
    /// The values of a column's piece in their form; kept for the next one.
    written: Vec<u8>,
}

impl AnswerHasher<RecordBatch> for ValuesHasher {
    const FORM: AnswerForm = AnswerForm::Values;

    fn take(&mut self, piece: &RecordBatch) {
        if piece.num_rows() == 0 {
            return;
        }
        if self.rows == 0 {
            let names = piece.schema_ref().fields().iter().map(|field| field.name().clone());
            self.columns = names.map(|name| (name, Sha256Hasher::default())).collect();
        }
        self.rows += piece.num_rows() as u64;
        for ((_, hasher), column) in self.columns.iter_mut().zip(piece.columns()) {
            self.written.clear();
            put_column(column, &mut self.written);
            hasher.update(&self.written);
        }
    }

    fn digest(self) -> Sha256Digest {
        let mut whole = Sha256Hasher::default();
        whole.update(VALUES_CONTEXT);
        whole.update(&self.rows.to_be_bytes());
        whole.update(&(self.columns.len() as u64).to_be_bytes());
        for (name, hasher) in self.columns {
            whole.update(&(name.len() as u64).to_be_bytes());
            whole.update(name.as_bytes());
            whole.update(&hasher.finish().0);
        }
        whole.finish()
    }
}

/// A missing value is one byte of 0; every other begins with the byte of its kind.
const MISSING: u8 = 0;
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const FLOAT: u8 = 3;
const DECIMAL: u8 = 4;
const TEXT: u8 = 5;
const BINARY: u8 = 6;
const DATE: u8 = 7;
const LOCAL_TIME: u8 = 8;
const MOMENT: u8 = 9;
/// As the text that Arrow prints.
const PRINTED: u8 = 10;

/// Writes the values of a column one behind the other.
fn put_column(column: &ArrayRef, into: &mut Vec<u8>) {
    match column.data_type() {
        DataType::Null => into.resize(into.len() + column.len(), MISSING),
        DataType::Boolean => {
            for value in column.as_boolean() {
                match value {
                    Some(value) => into.extend_from_slice(&[BOOLEAN, u8::from(value)]),
                    None => into.push(MISSING),
                }
            }
        }
        DataType::Int8 => put_eight::<Int8Type>(column, INTEGER, into, |value| i64::from(value).to_be_bytes()),
        DataType::Int16 => put_eight::<Int16Type>(column, INTEGER, into, |value| i64::from(value).to_be_bytes()),
        DataType::Int32 => put_eight::<Int32Type>(column, INTEGER, into, |value| i64::from(value).to_be_bytes()),
        DataType::Int64 => put_eight::<Int64Type>(column, INTEGER, into, i64::to_be_bytes),
        DataType::UInt8 => put_eight::<UInt8Type>(column, INTEGER, into, |value| i64::from(value).to_be_bytes()),
        DataType::UInt16 => put_eight::<UInt16Type>(column, INTEGER, into, |value| i64::from(value).to_be_bytes()),
        DataType::UInt32 => put_eight::<UInt32Type>(column, INTEGER, into, |value| i64::from(value).to_be_bytes()),
        DataType::Float32 => put_eight::<Float32Type>(column, FLOAT, into, |value| f64::from(value).to_be_bytes()),
        DataType::Float64 => put_eight::<Float64Type>(column, FLOAT, into, f64::to_be_bytes),
        DataType::Date32 => put_eight::<Date32Type>(column, DATE, into, |days| i64::from(days).to_be_bytes()),
        DataType::Decimal128(_, scale) => put_decimals(column, *scale, into),
        DataType::Utf8 => put_texts(column.as_string::<i32>().iter().map(|text| text.map(str::as_bytes)), TEXT, into),
        DataType::LargeUtf8 => {
            put_texts(column.as_string::<i64>().iter().map(|text| text.map(str::as_bytes)), TEXT, into);
        }
        DataType::Utf8View => {
            put_texts(column.as_string_view().iter().map(|text| text.map(str::as_bytes)), TEXT, into);
        }
        DataType::Binary => put_texts(column.as_binary::<i32>().iter(), BINARY, into),
        DataType::LargeBinary => put_texts(column.as_binary::<i64>().iter(), BINARY, into),
        DataType::BinaryView => put_texts(column.as_binary_view().iter(), BINARY, into),
        DataType::Timestamp(unit, zone) => {
            put_times(column, *unit, if zone.is_some() { MOMENT } else { LOCAL_TIME }, into);
        }
        DataType::Dictionary(_, values) => match cast(column, values) {
            Ok(plain) => put_column(&plain, into),
            Err(_) => put_printed(column, into),
        },
        _ => put_printed(column, into),
    }
}

/// Values of eight bytes, the greatest first.
fn put_eight<T: ArrowPrimitiveType>(
    column: &ArrayRef,
    kind: u8,
    into: &mut Vec<u8>,
    bytes: impl Fn(T::Native) -> [u8; 8],
) {
    let values = column.as_primitive::<T>();
    into.reserve(9 * values.len());
    let written = |value| {
        let mut written = [kind; 9];
        written[1..].copy_from_slice(&bytes(value));
        written
    };
    if values.null_count() == 0 {
        for value in values.values() {
            into.extend_from_slice(&written(*value));
        }
        return;
    }
    for value in values {
        match value {
            Some(value) => into.extend_from_slice(&written(value)),
            None => into.push(MISSING),
        }
    }
}

/// The scale, and the number without its point in sixteen bytes.
fn put_decimals(column: &ArrayRef, scale: i8, into: &mut Vec<u8>) {
    for value in column.as_primitive::<Decimal128Type>() {
        match value {
            Some(value) => {
                into.push(DECIMAL);
                into.extend_from_slice(&scale.to_be_bytes());
                into.extend_from_slice(&value.to_be_bytes());
            }
            None => into.push(MISSING),
        }
    }
}

/// Bytes behind their length.
fn put_texts<'a>(values: impl Iterator<Item = Option<&'a [u8]>>, kind: u8, into: &mut Vec<u8>) {
    for value in values {
        match value {
            Some(value) => {
                into.push(kind);
                into.extend_from_slice(&(value.len() as u64).to_be_bytes());
                into.extend_from_slice(value);
            }
            None => into.push(MISSING),
        }
    }
}

/// Microseconds since 1970, rounded down; at its end where they are more than there can be.
fn put_times(column: &ArrayRef, unit: TimeUnit, kind: u8, into: &mut Vec<u8>) {
    match unit {
        TimeUnit::Second => {
            put_eight::<TimestampSecondType>(column, kind, into, |value| value.saturating_mul(1_000_000).to_be_bytes())
        }
        TimeUnit::Millisecond => {
            put_eight::<TimestampMillisecondType>(column, kind, into, |value| value.saturating_mul(1_000).to_be_bytes())
        }
        TimeUnit::Microsecond => put_eight::<TimestampMicrosecondType>(column, kind, into, i64::to_be_bytes),
        TimeUnit::Nanosecond => {
            put_eight::<TimestampNanosecondType>(column, kind, into, |value| value.div_euclid(1_000).to_be_bytes());
        }
    }
}

/// Types that no column of a product has and few expressions make: as Arrow prints them.
fn put_printed(column: &ArrayRef, into: &mut Vec<u8>) {
    let options = FormatOptions::default();
    let formatter = ArrayFormatter::try_new(column.as_ref(), &options).ok();
    for at in 0..column.len() {
        if column.is_null(at) {
            into.push(MISSING);
            continue;
        }
        let text = formatter.as_ref().and_then(|formatter| formatter.value(at).try_to_string().ok());
        put_texts(std::iter::once(Some(text.unwrap_or_default().as_bytes())), PRINTED, into);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{
        BooleanArray, Date32Array, Decimal128Array, DictionaryArray, Float64Array, Int32Array, Int64Array, NullArray,
        StringArray, StringViewArray, TimestampMicrosecondArray, TimestampMillisecondArray, UInt64Array,
    };
    use arrow::datatypes::{Field, Schema};

    use super::*;

    fn batch_of(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        let fields: Vec<Field> =
            columns.iter().map(|(name, column)| Field::new(*name, column.data_type().clone(), true)).collect();
        let columns = columns.into_iter().map(|(_, column)| column).collect();
        RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
    }

    fn batch() -> RecordBatch {
        let decimal = Decimal128Array::from(vec![Some(1_250), None]).with_precision_and_scale(10, 2).unwrap();
        let moment = TimestampMicrosecondArray::from(vec![Some(1_357_016_400_250_000), None]);
        batch_of(vec![
            ("whole", Arc::new(Int64Array::from(vec![Some(-7), None]))),
            ("float", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
            ("decimal", Arc::new(decimal)),
            ("text", Arc::new(StringArray::from(vec![Some("灵渠"), None]))),
            ("flag", Arc::new(BooleanArray::from(vec![Some(true), None]))),
            ("day", Arc::new(Date32Array::from(vec![Some(15_706), None]))),
            ("local", Arc::new(moment.clone())),
            ("moment", Arc::new(moment.with_timezone("UTC"))),
            ("nothing", Arc::new(NullArray::new(2))),
        ])
    }

    /// Made by `scripts/answer-digest.py` from the same values: who has them can make the digest without this program.
    #[test]
    fn the_form_never_changes() {
        assert_eq!(
            values_digest(&batch()).to_string(),
            "78ac581b19263a520dcb5e10f4461f524e5222474ac40246e0e1e66c08f02289"
        );
        assert_eq!(
            values_digest(&batch().slice(0, 0)).to_string(),
            "b209919e6d5634f8e8afb3306f0b0d7fb35c16d9ccb776903380307372b03a7f"
        );
    }

    #[test]
    fn cutting_and_the_types_of_the_engine_do_not_bear_on_it() {
        let whole = batch();
        let mut cut = ValuesHasher::default();
        for piece in [whole.slice(0, 1), whole.slice(1, 0), whole.slice(1, 1)] {
            cut.take(&piece);
        }
        assert_eq!(cut.digest(), values_digest(&whole));
        let one = |column: ArrayRef| values_digest(&batch_of(vec![("c", column)]));
        assert_eq!(one(Arc::new(Int32Array::from(vec![3]))), one(Arc::new(Int64Array::from(vec![3]))));
        let text: ArrayRef = Arc::new(StringArray::from(vec!["a", "b", "a"]));
        assert_eq!(one(Arc::new(StringViewArray::from(vec!["a", "b", "a"]))), one(Arc::clone(&text)));
        assert_eq!(one(Arc::new(vec!["a", "b", "a"].into_iter().collect::<DictionaryArray<Int32Type>>())), one(text));
        assert_eq!(
            one(Arc::new(TimestampMillisecondArray::from(vec![7]))),
            one(Arc::new(TimestampMicrosecondArray::from(vec![7_000])))
        );
    }

    #[test]
    fn every_value_bears_on_it_and_so_do_names_and_order() {
        let of = |columns: Vec<(&str, ArrayRef)>| values_digest(&batch_of(columns));
        let numbers = |values: Vec<Option<i64>>| Arc::new(Int64Array::from(values)) as ArrayRef;
        let texts = |values: Vec<&str>| Arc::new(StringArray::from(values)) as ArrayRef;
        let mut seen = std::collections::BTreeSet::new();
        for columns in [
            vec![("a", numbers(vec![Some(1), Some(2)]))],
            vec![("a", numbers(vec![Some(2), Some(1)]))],
            vec![("a", numbers(vec![Some(1), None]))],
            vec![("a", numbers(vec![None, Some(1)]))],
            vec![("a", numbers(vec![Some(1)]))],
            vec![("b", numbers(vec![Some(1)]))],
            vec![("a", numbers(vec![Some(1)])), ("b", numbers(vec![Some(2)]))],
            vec![("b", numbers(vec![Some(2)])), ("a", numbers(vec![Some(1)]))],
            vec![("a", texts(vec!["1"]))],
            vec![("a", texts(vec!["ab", "c"]))],
            vec![("a", texts(vec!["a", "bc"]))],
            vec![("a", texts(vec!["", "abc"]))],
            vec![("a", Arc::new(UInt64Array::from(vec![u64::MAX])) as ArrayRef)],
            vec![("a", Arc::new(UInt64Array::from(vec![u64::MAX - 1])) as ArrayRef)],
        ] {
            assert!(seen.insert(of(columns.clone())), "{columns:?}");
        }
    }
}
