//! Arrays of the Iceberg library's version of Arrow as arrays of ours.
//!
//! The two versions lay values out alike, but their types are strangers. Values are copied buffer by buffer and checked
//! by our version as if they came from a file.

use arrow::array::{Array, ArrayData, ArrayRef, AsArray, UInt32Array, make_array};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, Int32Type, Schema};
use futures::Stream;
use iceberg::scan::ArrowRecordBatchStream;

/// The value type of a result: the only way to name a type that another crate does not export.
pub(super) trait Succeeds {
    type Value;
}

impl<T, E> Succeeds for Result<T, E> {
    type Value = T;
}

/// A batch of the library's version of Arrow.
pub(super) type ForeignBatch = <<ArrowRecordBatchStream as Stream>::Item as Succeeds>::Value;

/// An array of a flat type, copied. The types are compared as they are written, since they can't be otherwise.
macro_rules! copied {
    ($foreign:expr, $expected:expr) => {{
        let foreign = $foreign;
        let expected: &DataType = $expected;
        if foreign.data_type().to_string() != expected.to_string() {
            return Err(format!("a column came as {} instead of {expected}", foreign.data_type()));
        }
        let nulls = foreign
            .nulls()
            .map(|nulls| NullBuffer::new((0..foreign.len()).map(|row| nulls.is_valid(row)).collect::<BooleanBuffer>()));
        let data = ArrayData::builder(expected.clone())
            .len(foreign.len())
            .offset(foreign.offset())
            .buffers(foreign.buffers().iter().map(|buffer| Buffer::from(buffer.as_slice())).collect())
            .nulls(nulls)
            .build();
        make_array(data.map_err(|_| "a column's buffers are damaged".to_owned())?)
    }};
}

/// The columns of a batch, of the types of `schema`. Errors: the reason in words, without values.
pub(super) fn bridged(batch: &ForeignBatch, schema: &Schema) -> Result<Vec<ArrayRef>, String> {
    if batch.num_columns() != schema.fields().len() {
        return Err("its files have other columns than its schema".to_owned());
    }
    let mut arrays = Vec::with_capacity(batch.num_columns());
    for (column, field) in batch.columns().iter().zip(schema.fields()) {
        let foreign = column.to_data();
        // A partition's value, which is the same in all rows of a file, comes as one run.
        if foreign.data_type().to_string().starts_with("RunEndEncoded") {
            let [ends, values] = foreign.child_data() else {
                return Err("a column of runs has no ends".to_owned());
            };
            let ends = copied!(ends, &DataType::Int32);
            let values = copied!(values, field.data_type());
            arrays.push(expanded(&ends, &values, foreign.offset(), foreign.len())?);
        } else {
            arrays.push(copied!(&foreign, field.data_type()));
        }
    }
    Ok(arrays)
}

/// The values of rows `offset..offset + len` of runs that end before `ends`.
fn expanded(ends: &ArrayRef, values: &ArrayRef, offset: usize, len: usize) -> Result<ArrayRef, String> {
    let damaged = || "a column of runs is damaged".to_owned();
    let ends = ends.as_primitive_opt::<Int32Type>().ok_or_else(damaged)?.values();
    let mut places = Vec::with_capacity(len);
    for row in offset..offset + len {
        let row = i32::try_from(row).map_err(|_| damaged())?;
        let place = ends.partition_point(|end| *end <= row);
        if place >= values.len() {
            return Err(damaged());
        }
        places.push(u32::try_from(place).map_err(|_| damaged())?);
    }
    take(values, &UInt32Array::from(places), None).map_err(|_| damaged())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Int32Array, StringArray};

    use super::*;

    #[test]
    fn runs_are_expanded_from_the_middle() {
        let ends: ArrayRef = Arc::new(Int32Array::from(vec![2, 5]));
        let values: ArrayRef = Arc::new(StringArray::from(vec![Some("南宁"), None]));
        let rows = expanded(&ends, &values, 1, 3).unwrap();
        let expected: ArrayRef = Arc::new(StringArray::from(vec![Some("南宁"), None, None]));
        assert_eq!(&rows, &expected);
        assert!(expanded(&ends, &values, 4, 2).is_err());
    }
}
