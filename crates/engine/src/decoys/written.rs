//! Rows and decoys as files: all in the order of the key, and the decoys alone.

use std::cmp::Ordering;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow::compute::interleave;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::row::{RowConverter, Rows, SortField};
use lingqu_fingerprint::{FingerprintError, Originals};

use super::assembly;
use crate::files::{DataFile, DataFileWriter, StorageError};
use crate::product::ProductError;
use crate::{BATCH_ROWS, ROW_COLUMN};

/// What tells the order of a product's rows: the values of the key, each part rising.
pub(super) fn key_order(schema: &Schema, key: &[String]) -> Result<(RowConverter, Vec<usize>), FingerprintError> {
    let (mut fields, mut places) = (Vec::with_capacity(key.len()), Vec::with_capacity(key.len()));
    for part in key {
        let missing = || FingerprintError::ColumnMissing { column: part.clone() };
        let (place, field) = schema.column_with_name(part).ok_or_else(missing)?;
        fields.push(SortField::new(field.data_type().clone()));
        places.push(place);
    }
    Ok((RowConverter::new(fields).map_err(|_| assembly())?, places))
}

/// Writes both files. `decoys` are in the order of the key. All are numbered as they stand in the file of both: consumers read
/// in receipts by which numbers rows were named, so those of decoys are to look like any other.
pub(super) fn write(
    folder: &Path,
    originals: &dyn Originals,
    decoys: &RecordBatch,
    key: &[String],
    stored: &SchemaRef,
) -> Result<(DataFile, DataFile), ProductError> {
    let count = i64::try_from(decoys.num_rows()).map_err(|_| assembly())?;
    let mut columns = decoys.columns().to_vec();
    columns.push(not_numbered(decoys.num_rows()));
    columns.push(Arc::new(Int64Array::from_iter_values(0..count)));
    let decoys = RecordBatch::try_new(Arc::clone(stored), columns).map_err(|_| assembly())?;
    let mut whole = Whole::new(folder, decoys.clone(), key, stored)?;
    // The visitor's errors are those of the room of fingerprints; that the disk refused is kept beside.
    let mut refused = None;
    let visited = originals.visit(&mut |batch: &RecordBatch| {
        whole.take(batch).map_err(|error| match error {
            WholeError::Storage(error) => {
                refused = Some(error);
                FingerprintError::Stopped
            }
            WholeError::Made(error) => error,
        })
    });
    if let Some(error) = refused {
        return Err(error.into());
    }
    visited?;
    let (whole, numbers) = whole.finish()?;
    let mut alone = DataFileWriter::create(folder, "alone", Arc::clone(stored))?;
    alone.write(&numbered(&decoys, Int64Array::from(numbers))?)?;
    Ok((whole, alone.finish()?))
}

/// The column of numbers before they are known.
fn not_numbered(rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_value(0, rows))
}

/// The same rows with these numbers.
fn numbered(rows: &RecordBatch, numbers: Int64Array) -> Result<RecordBatch, FingerprintError> {
    let mut columns = rows.columns().to_vec();
    let place = rows.schema().index_of(ROW_COLUMN).map_err(|_| assembly())?;
    columns[place] = Arc::new(numbers);
    RecordBatch::try_new(rows.schema(), columns).map_err(|_| assembly())
}

enum WholeError {
    Storage(StorageError),
    Made(FingerprintError),
}

impl From<StorageError> for WholeError {
    fn from(error: StorageError) -> Self {
        WholeError::Storage(error)
    }
}

impl From<FingerprintError> for WholeError {
    fn from(error: FingerprintError) -> Self {
        WholeError::Made(error)
    }
}

/// The file of rows and decoys in the making.
struct Whole {
    stored: SchemaRef,
    decoys: RecordBatch,
    /// The keys of the decoys in their order.
    keys: Rows,
    converter: RowConverter,
    key_places: Vec<usize>,
    /// The decoys that are in the file.
    laid: usize,
    /// Their numbers.
    numbers: Vec<i64>,
    /// Rows and decoys in the file.
    count: i64,
    writer: DataFileWriter,
}

impl Whole {
    fn new(folder: &Path, decoys: RecordBatch, key: &[String], stored: &SchemaRef) -> Result<Whole, ProductError> {
        let (converter, key_places) = key_order(stored, key)?;
        let columns: Vec<ArrayRef> = key_places.iter().map(|place| ArrayRef::clone(decoys.column(*place))).collect();
        let keys = converter.convert_columns(&columns).map_err(|_| assembly())?;
        let writer = DataFileWriter::create(folder, "whole", Arc::clone(stored))?;
        let (stored, numbers) = (Arc::clone(stored), Vec::with_capacity(decoys.num_rows()));
        Ok(Whole { stored, decoys, keys, converter, key_places, laid: 0, numbers, count: 0, writer })
    }

    /// Writes rows of the product, and before each of them the decoys whose keys come before its own.
    fn take(&mut self, batch: &RecordBatch) -> Result<(), WholeError> {
        let mut columns = batch.columns().to_vec();
        columns.push(not_numbered(batch.num_rows()));
        columns.push(Arc::new(Int64Array::new_null(batch.num_rows())));
        let rows = RecordBatch::try_new(Arc::clone(&self.stored), columns).map_err(|_| assembly())?;
        let keys: Vec<ArrayRef> = self.key_places.iter().map(|place| ArrayRef::clone(rows.column(*place))).collect();
        let keys = self.converter.convert_columns(&keys).map_err(|_| assembly())?;
        let mut places = Vec::with_capacity(rows.num_rows());
        for row in 0..rows.num_rows() {
            while self.laid < self.keys.num_rows() && self.keys.row(self.laid).cmp(&keys.row(row)) == Ordering::Less {
                places.push((1, self.laid));
                self.laid += 1;
            }
            places.push((0, row));
        }
        self.write(&rows, &places)
    }

    fn write(&mut self, rows: &RecordBatch, places: &[(usize, usize)]) -> Result<(), WholeError> {
        for places in places.chunks(BATCH_ROWS) {
            let columns = rows.columns().iter().zip(self.decoys.columns()).map(|(rows, decoys)| {
                let arrays: [&dyn Array; 2] = [rows.as_ref(), decoys.as_ref()];
                interleave(&arrays, places).map_err(|_| assembly())
            });
            let columns = columns.collect::<Result<Vec<ArrayRef>, FingerprintError>>()?;
            let batch = RecordBatch::try_new(Arc::clone(&self.stored), columns).map_err(|_| assembly())?;
            let first = self.count;
            self.put(&batch)?;
            let laid = (first..).zip(places).filter(|(_, (from, _))| *from == 1);
            self.numbers.extend(laid.map(|(number, _)| number));
        }
        Ok(())
    }

    /// Writes rows or decoys under the next numbers.
    fn put(&mut self, batch: &RecordBatch) -> Result<(), WholeError> {
        let first = self.count;
        self.count += i64::try_from(batch.num_rows()).map_err(|_| assembly())?;
        Ok(self.writer.write(&numbered(batch, Int64Array::from_iter_values(first..self.count))?)?)
    }

    /// Writes the decoys that come after all rows, and ends the file. Gives the numbers of all decoys too.
    fn finish(mut self) -> Result<(DataFile, Vec<i64>), ProductError> {
        let left = self.keys.num_rows() - self.laid;
        if left > 0 {
            let rest = self.decoys.slice(self.laid, left);
            let first = self.count;
            self.put(&rest).map_err(|error| match error {
                WholeError::Storage(error) => ProductError::from(error),
                WholeError::Made(error) => error.into(),
            })?;
            self.numbers.extend(first..self.count);
        }
        Ok((self.writer.finish()?, self.numbers))
    }
}
