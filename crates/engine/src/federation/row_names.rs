//! Names of the rows of a live table: digests of their keys under a secret.
//!
//! A name is the first 63 bits of HMAC-SHA256 over the values of the key's columns. Without the secret it tells nothing,
//! even of keys that can be guessed; whoever has the secret and a key can say whether a receipt names the row, and is
//! wrong by chance once in 2^63 for each row that it names.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Int64Type, TimeUnit, TimestampMicrosecondType};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// What a name begins with, so that the secret's other uses can't be confused with this one.
const PURPOSE: &[u8] = b"lingqu live row v1";

/// The secret under which a resource's rows are named.
#[derive(Clone)]
pub struct RowNames {
    secret: [u8; 32],
}

impl std::fmt::Debug for RowNames {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RowNames")
    }
}

impl RowNames {
    /// Names under a secret.
    pub fn new(secret: [u8; 32]) -> Self {
        Self { secret }
    }

    /// The name of the row whose key is one text.
    pub fn of_text(&self, text: &str) -> u64 {
        let mut bytes = Vec::with_capacity(text.len() + 9);
        append_text(text, &mut bytes);
        self.of_bytes(&bytes)
    }

    /// The name of the row whose key is one whole number.
    pub fn of_integer(&self, number: i64) -> u64 {
        let mut bytes = Vec::with_capacity(9);
        append_integer(number, &mut bytes);
        self.of_bytes(&bytes)
    }

    /// The names of rows by the columns of their key. None where a part of a key is missing, or of a type that can't be
    /// part of a key.
    pub fn of(&self, key: &[ArrayRef], rows: usize) -> Option<Int64Array> {
        let mut names = Vec::with_capacity(rows);
        let mut bytes = Vec::new();
        for row in 0..rows {
            bytes.clear();
            for column in key {
                append(column, row, &mut bytes)?;
            }
            names.push(self.of_bytes(&bytes).cast_signed());
        }
        Some(Int64Array::from(names))
    }

    fn of_bytes(&self, bytes: &[u8]) -> u64 {
        let mut digest = Hmac::<Sha256>::new_from_slice(&self.secret).expect("HMAC takes a key of any length");
        digest.update(PURPOSE);
        digest.update(bytes);
        let digest = digest.finalize().into_bytes();
        let mut first = [0; 8];
        first.copy_from_slice(&digest[..8]);
        // The sign is no part of a row's number.
        u64::from_be_bytes(first) >> 1
    }
}

/// A mark of the type, then the value; texts with their length before them, so that no two keys run into each other.
fn append(column: &ArrayRef, row: usize, bytes: &mut Vec<u8>) -> Option<()> {
    if column.is_null(row) {
        return None;
    }
    match column.data_type() {
        DataType::Int64 => {
            append_integer(column.as_primitive::<Int64Type>().value(row), bytes);
        }
        DataType::Decimal128(_, scale) => {
            bytes.push(3);
            bytes.push(scale.cast_unsigned());
            bytes.extend_from_slice(&column.as_primitive::<Decimal128Type>().value(row).to_be_bytes());
        }
        DataType::Date32 => {
            bytes.push(4);
            bytes.extend_from_slice(&column.as_primitive::<Date32Type>().value(row).to_be_bytes());
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            bytes.push(5);
            bytes.extend_from_slice(&column.as_primitive::<TimestampMicrosecondType>().value(row).to_be_bytes());
        }
        DataType::Boolean => {
            bytes.push(6);
            bytes.push(u8::from(column.as_boolean().value(row)));
        }
        DataType::Utf8 => {
            append_text(column.as_string::<i32>().value(row), bytes);
        }
        // Equality of floating-point numbers is no identity.
        _ => return None,
    }
    Some(())
}

fn append_integer(number: i64, bytes: &mut Vec<u8>) {
    bytes.push(1);
    bytes.extend_from_slice(&number.to_be_bytes());
}

fn append_text(text: &str, bytes: &mut Vec<u8>) {
    bytes.push(7);
    bytes.extend_from_slice(&(text.len() as u64).to_be_bytes());
    bytes.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;

    use super::*;

    fn texts(values: &[Option<&str>]) -> ArrayRef {
        Arc::new(StringArray::from(values.to_vec()))
    }

    /// Receipts hold these names: they may never change.
    #[test]
    fn names_never_change() {
        let names = RowNames::new([7; 32]);
        let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
        let found = names.of(&[ids, texts(&[Some("南宁"), Some("")])], 2).unwrap();
        assert_eq!(found.values().to_vec(), KEPT);
    }

    #[test]
    fn a_key_of_one_value_has_its_row_s_name() {
        let names = RowNames::new([7; 32]);
        let of_key = |key: ArrayRef| names.of(&[key], 1).unwrap().value(0).cast_unsigned();
        assert_eq!(names.of_integer(-3), of_key(Arc::new(Int64Array::from(vec![-3]))));
        assert_eq!(names.of_text("-3"), of_key(texts(&[Some("-3")])));
        assert_ne!(names.of_text("-3"), names.of_integer(-3));
    }

    const KEPT: [i64; 2] = [0x5d26_687c_f007_e24d, 0x4c0d_78ce_614d_643e];

    #[test]
    fn names_are_of_the_key_and_the_secret() {
        let (one, other) = (RowNames::new([1; 32]), RowNames::new([2; 32]));
        let name = |names: &RowNames, key: &[ArrayRef]| names.of(key, 1).map(|found| found.value(0));
        let (a, b) = (texts(&[Some("ab")]), texts(&[Some("c")]));
        let (c, d) = (texts(&[Some("a")]), texts(&[Some("bc")]));
        assert_ne!(name(&one, &[a.clone(), b]), name(&one, &[c, d]));
        let same = std::slice::from_ref(&a);
        assert_ne!(name(&one, same), name(&other, same));
        assert_eq!(name(&one, same).map(i64::cast_unsigned), Some(one.of_text("ab")));
        assert!(name(&one, &[a]).unwrap() >= 0);
        assert_eq!(name(&one, &[texts(&[None])]), None);
    }
}
