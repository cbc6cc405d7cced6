//! The values of a column in their form: in blocks of so many rows, however the answer was cut into batches.
//!
//! Most of what a digest costs is the hashing, and most numbers are small. So the numbers of a block are written in as few bytes
//! as the largest of them needs; of texts their lengths are such numbers, and their contents are hashed as they lie in memory.
//! A value by itself, with its kind and in eight bytes, as the form before this one had it, is two to four times as much to hash.

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, GenericByteArray};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{
    ArrowNativeType, ArrowPrimitiveType, ByteArrayType, DataType, Date32Type, Decimal128Type, Float32Type, Float64Type,
    Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use lingqu_crypto::{Sha256Digest, Sha256Hasher};

/// Rows of a block; the last one of an answer may have fewer.
const BLOCK_ROWS: usize = 1_024;

/// A block without any value is this one byte; every other begins with the byte of its kind.
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
/// Of unsigned numbers of 64 bits, which are kept as decimals and written as [`INTEGER`]; never written itself.
const UNSIGNED: u8 = u8::MAX;

/// Digests the values of a column.
#[derive(Debug)]
pub(super) struct ColumnHasher {
    blocks: Sha256Hasher,
    /// The contents of texts one behind the other, where there is one.
    contents: Option<Sha256Hasher>,
    /// What the values are; [`MISSING`] as long as there was none.
    kind: u8,
    /// Of decimals, digits behind the point.
    scale: i8,
    /// The numbers of the block that is not full yet: values, or lengths of texts; 0 where a value is missing.
    numbers: Vec<i64>,
    /// The same of decimals.
    decimals: Vec<i128>,
    /// Which values of that block are there.
    present: BooleanBufferBuilder,
    /// How many are not.
    missing: usize,
}

impl Default for ColumnHasher {
    fn default() -> Self {
        Self {
            blocks: Sha256Hasher::default(),
            contents: None,
            kind: MISSING,
            scale: 0,
            numbers: Vec::new(),
            decimals: Vec::new(),
            present: BooleanBufferBuilder::new(0),
            missing: 0,
        }
    }
}

impl ColumnHasher {
    /// Takes the next values. `written` is room to write in, whatever stands there.
    pub(super) fn take(&mut self, column: &ArrayRef, written: &mut Vec<u8>) {
        let plain = match column.data_type() {
            DataType::Dictionary(_, values) => cast(column, values).ok(),
            _ => None,
        };
        let column = plain.as_ref().unwrap_or(column);
        let mut from = 0;
        while from < column.len() {
            let rows = (BLOCK_ROWS - self.present.len()).min(column.len() - from);
            self.put(&column.slice(from, rows), written);
            from += rows;
            if self.present.len() == BLOCK_ROWS {
                self.end_block(written);
            }
        }
    }

    /// The digest of all that was taken.
    pub(super) fn digest(mut self, written: &mut Vec<u8>) -> Sha256Digest {
        if !self.present.is_empty() {
            self.end_block(written);
        }
        if let Some(contents) = self.contents {
            self.blocks.update(&contents.finish().0);
        }
        self.blocks.finish()
    }

    /// Puts values into the block that is not full yet, in which there is room for them.
    fn put(&mut self, column: &ArrayRef, written: &mut Vec<u8>) {
        let nulls = column.logical_nulls();
        let missing = nulls.as_ref().map_or(0, NullBuffer::null_count);
        match &nulls {
            Some(nulls) => self.present.append_buffer(nulls.inner()),
            None => self.present.append_n(column.len(), true),
        }
        self.missing += missing;
        if missing == column.len() {
            // Of a column that has had no value yet it is not known which of the two it is; the other stays empty.
            self.numbers.resize(self.numbers.len() + column.len(), 0);
            self.decimals.resize(self.decimals.len() + column.len(), 0);
            return;
        }
        let nulls = nulls.filter(|_| missing > 0);
        let nulls = nulls.as_ref();
        match column.data_type() {
            DataType::Boolean => self.put_numbers(BOOLEAN, nulls, column.as_boolean().values().iter().map(i64::from)),
            DataType::Int8 => self.put_primitives::<Int8Type>(INTEGER, nulls, column, i64::from),
            DataType::Int16 => self.put_primitives::<Int16Type>(INTEGER, nulls, column, i64::from),
            DataType::Int32 => self.put_primitives::<Int32Type>(INTEGER, nulls, column, i64::from),
            DataType::Int64 => self.put_primitives::<Int64Type>(INTEGER, nulls, column, |value| value),
            DataType::UInt8 => self.put_primitives::<UInt8Type>(INTEGER, nulls, column, i64::from),
            DataType::UInt16 => self.put_primitives::<UInt16Type>(INTEGER, nulls, column, i64::from),
            DataType::UInt32 => self.put_primitives::<UInt32Type>(INTEGER, nulls, column, i64::from),
            DataType::Float32 => self.put_primitives::<Float32Type>(FLOAT, nulls, column, |value| bits(value.into())),
            DataType::Float64 => self.put_primitives::<Float64Type>(FLOAT, nulls, column, bits),
            DataType::Date32 => self.put_primitives::<Date32Type>(DATE, nulls, column, i64::from),
            DataType::UInt64 => {
                let values = column.as_primitive::<UInt64Type>().values();
                self.put_decimals(UNSIGNED, nulls, values.iter().copied().map(i128::from));
            }
            DataType::Decimal128(_, scale) => {
                self.scale = *scale;
                let values = column.as_primitive::<Decimal128Type>().values();
                self.put_decimals(DECIMAL, nulls, values.iter().copied());
            }
            DataType::Timestamp(unit, zone) => {
                self.put_times(*unit, if zone.is_some() { MOMENT } else { LOCAL_TIME }, nulls, column);
            }
            DataType::Utf8 => self.put_bytes(TEXT, nulls, column.as_string::<i32>(), written),
            DataType::LargeUtf8 => self.put_bytes(TEXT, nulls, column.as_string::<i64>(), written),
            DataType::Binary => self.put_bytes(BINARY, nulls, column.as_binary::<i32>(), written),
            DataType::LargeBinary => self.put_bytes(BINARY, nulls, column.as_binary::<i64>(), written),
            DataType::Utf8View => {
                let texts = column.as_string_view();
                self.put_each(TEXT, texts.iter().map(|text| text.map(str::as_bytes)), written);
            }
            DataType::BinaryView => self.put_each(BINARY, column.as_binary_view().iter(), written),
            _ => self.put_printed(nulls, column, written),
        }
    }

    fn put_primitives<T: ArrowPrimitiveType>(
        &mut self,
        kind: u8,
        nulls: Option<&NullBuffer>,
        column: &ArrayRef,
        number: impl Fn(T::Native) -> i64,
    ) {
        let values = column.as_primitive::<T>().values();
        self.put_numbers(kind, nulls, values.iter().map(|value| number(*value)));
    }

    /// Microseconds since 1970, rounded down; at its end where they are more than there can be.
    fn put_times(&mut self, unit: TimeUnit, kind: u8, nulls: Option<&NullBuffer>, column: &ArrayRef) {
        match unit {
            TimeUnit::Second => {
                self.put_primitives::<TimestampSecondType>(kind, nulls, column, |value| value.saturating_mul(1_000_000))
            }
            TimeUnit::Millisecond => self
                .put_primitives::<TimestampMillisecondType>(kind, nulls, column, |value| value.saturating_mul(1_000)),
            TimeUnit::Microsecond => {
                self.put_primitives::<TimestampMicrosecondType>(kind, nulls, column, |value| value);
            }
            TimeUnit::Nanosecond => {
                self.put_primitives::<TimestampNanosecondType>(kind, nulls, column, |value| value.div_euclid(1_000))
            }
        }
    }

    fn put_numbers(&mut self, kind: u8, nulls: Option<&NullBuffer>, numbers: impl Iterator<Item = i64>) {
        self.kind = kind;
        let from = self.numbers.len();
        self.numbers.extend(numbers);
        if let Some(nulls) = nulls {
            for (number, is_there) in self.numbers[from..].iter_mut().zip(nulls.iter()) {
                // All its bits, or none.
                *number &= -i64::from(is_there);
            }
        }
    }

    fn put_decimals(&mut self, kind: u8, nulls: Option<&NullBuffer>, numbers: impl Iterator<Item = i128>) {
        self.kind = kind;
        let from = self.decimals.len();
        self.decimals.extend(numbers);
        if let Some(nulls) = nulls {
            for (number, is_there) in self.decimals[from..].iter_mut().zip(nulls.iter()) {
                *number &= -i128::from(is_there);
            }
        }
    }

    /// Texts that lie one behind the other.
    fn put_bytes<T: ByteArrayType>(
        &mut self,
        kind: u8,
        nulls: Option<&NullBuffer>,
        texts: &GenericByteArray<T>,
        written: &mut Vec<u8>,
    ) {
        let lengths = texts.offsets().lengths();
        // What lies where a value is missing is no value; mostly there is nothing.
        let hides = |nulls: &NullBuffer| lengths.zip(nulls.iter()).any(|(length, is_there)| !is_there && length > 0);
        if nulls.is_some_and(hides) {
            let texts = texts.iter().map(|text| text.map(<T::Native as AsRef<[u8]>>::as_ref));
            self.put_each(kind, texts, written);
            return;
        }
        self.put_numbers(kind, None, texts.offsets().lengths().map(length));
        let offsets = texts.offsets();
        let (begin, end) = (offsets[0].as_usize(), offsets[texts.len()].as_usize());
        self.contents.get_or_insert_default().update(&texts.value_data()[begin..end]);
    }

    /// Texts one by one.
    fn put_each<'a>(&mut self, kind: u8, texts: impl Iterator<Item = Option<&'a [u8]>>, written: &mut Vec<u8>) {
        self.kind = kind;
        written.clear();
        for text in texts {
            let text = text.unwrap_or_default();
            written.extend_from_slice(text);
            self.numbers.push(length(text.len()));
        }
        self.contents.get_or_insert_default().update(written);
    }

    /// Types that no column of a product has and few expressions make: as Arrow prints them.
    fn put_printed(&mut self, nulls: Option<&NullBuffer>, column: &ArrayRef, written: &mut Vec<u8>) {
        let options = FormatOptions::default();
        let formatter = ArrayFormatter::try_new(column.as_ref(), &options).ok();
        let mut printed = Vec::with_capacity(column.len());
        for row in 0..column.len() {
            let is_there = nulls.is_none_or(|nulls| nulls.is_valid(row));
            let text = || formatter.as_ref().and_then(|formatter| formatter.value(row).try_to_string().ok());
            printed.push(is_there.then(|| text().unwrap_or_default()));
        }
        self.put_each(PRINTED, printed.iter().map(|text| text.as_deref().map(str::as_bytes)), written);
    }

    /// Hashes the block and begins the next.
    fn end_block(&mut self, written: &mut Vec<u8>) {
        written.clear();
        if self.missing == self.present.len() {
            written.push(MISSING);
        } else {
            written.push(if self.kind == UNSIGNED { INTEGER } else { self.kind });
            if self.kind == DECIMAL {
                written.extend_from_slice(&self.scale.to_be_bytes());
            }
            written.push(u8::from(self.missing > 0));
            if self.missing > 0 {
                written.extend_from_slice(self.present.as_slice());
            }
            match self.kind {
                DECIMAL | UNSIGNED => put_decimals(&self.decimals, written),
                FLOAT => put_wide::<8>(&self.numbers, written),
                _ => put_narrow(&self.numbers, written),
            }
        }
        self.blocks.update(written);
        self.numbers.clear();
        self.decimals.clear();
        self.present.truncate(0);
        self.missing = 0;
    }
}

/// The bits of a floating-point number, as a number.
fn bits(value: f64) -> i64 {
    value.to_bits().cast_signed()
}

fn length(bytes: usize) -> i64 {
    i64::try_from(bytes).expect("nothing in memory is as long")
}

/// Numbers in as few bytes as all of them can be written in, behind how many these are.
fn put_narrow(numbers: &[i64], written: &mut Vec<u8>) {
    // Of a negative number what counts are the bits that are not set.
    let used = numbers.iter().fold(0, |used, number| used | (number ^ (number >> 63)));
    match used.checked_ilog2().map_or(0, |highest| highest + 1) {
        ..8 => put_wide::<1>(numbers, written),
        8..16 => put_wide::<2>(numbers, written),
        16..32 => put_wide::<4>(numbers, written),
        _ => put_wide::<8>(numbers, written),
    }
}

/// Numbers in so many bytes each, which hold all of them, the least first; before them how many these are.
fn put_wide<const BYTES: usize>(numbers: &[i64], written: &mut Vec<u8>) {
    written.push(u8::try_from(BYTES).expect("eight at most"));
    let from = written.len();
    written.resize(from + BYTES * numbers.len(), 0);
    for (place, number) in written[from..].chunks_exact_mut(BYTES).zip(numbers) {
        place.copy_from_slice(&number.to_le_bytes()[..BYTES]);
    }
}

/// The same of decimals, which may need sixteen.
fn put_decimals(numbers: &[i128], written: &mut Vec<u8>) {
    let short: Result<Vec<i64>, _> = numbers.iter().map(|number| i64::try_from(*number)).collect();
    match short {
        Ok(short) => put_narrow(&short, written),
        Err(_) => {
            written.push(16);
            for number in numbers {
                written.extend_from_slice(&number.to_le_bytes());
            }
        }
    }
}
