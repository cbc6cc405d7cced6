//! Parquet sources.

use std::collections::BTreeMap;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::BATCH_BYTES_MAX;
use super::error::SourceError;
use super::exact;
use super::file::SourceFile;
use super::pages::check_pages;
use super::rejects::Rejects;
use super::table::TableBatch;
use crate::BATCH_ROWS;
use crate::columns::{ColumnType, ColumnView};

/// What a Parquet file says of itself.
pub(super) struct Inspected {
    /// The names of its columns.
    pub(super) headers: Vec<String>,
    /// Their types; a type that governed data can't have in its own words.
    pub(super) types: Vec<Result<ColumnType, String>>,
    /// The number of its rows.
    pub(super) rows: u64,
}

/// Reads the file's footer, and looks through its pages: none is larger than a page may be.
pub(super) fn inspect(file: &SourceFile) -> Result<Inspected, SourceError> {
    let builder = open(file)?;
    check_pages(&file.handle()?, builder.metadata()).map_err(|error| file.unreadable(&error))?;
    let mut headers = Vec::new();
    let mut types = Vec::new();
    for field in builder.schema().fields() {
        headers.push(field.name().clone());
        types.push(ColumnType::of_arrow(field.data_type()).ok_or_else(|| field.data_type().to_string()));
    }
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok(Inspected { headers, types, rows })
}

/// Opens a Parquet file. What Arrow types its columns had is read by a reader that panics over some bytes (arrow-ipc 59.3), and they
/// are of whoever wrote the file.
pub(super) fn open(file: &SourceFile) -> Result<ParquetRecordBatchReaderBuilder<File>, SourceError> {
    let handle = file.handle()?;
    match catch_unwind(AssertUnwindSafe(|| ParquetRecordBatchReaderBuilder::try_new(handle))) {
        Ok(opened) => opened.map_err(|error| file.unreadable(&error)),
        Err(_) => Err(file.unreadable(&"the Arrow schema that it names can't be read; write it without, or anew")),
    }
}

pub(super) struct ColumnarBatches {
    file: SourceFile,
    schema: SchemaRef,
    columns: Vec<(usize, ColumnView)>,
    reader: ParquetRecordBatchReader,
    rows_before: u64,
}

impl ColumnarBatches {
    pub(super) fn open(
        file: &SourceFile,
        schema: SchemaRef,
        columns: Vec<(usize, ColumnView)>,
    ) -> Result<Self, SourceError> {
        let builder = open(file)?.with_batch_size(BATCH_ROWS);
        let reader = builder.build().map_err(|error| file.unreadable(&error))?;
        Ok(Self { file: file.clone(), schema, columns, reader, rows_before: 0 })
    }

    /// The next batch without its rejected rows; it may be left with none.
    pub(super) fn read(&mut self, rejects: &mut Rejects) -> Result<Option<RecordBatch>, SourceError> {
        let Some(read) = self.reader.next() else { return Ok(None) };
        let batch = read.map_err(|error| self.file.unreadable(&error))?;
        if batch.get_array_memory_size() as u64 > BATCH_BYTES_MAX {
            let line = self.rows_before + batch.num_rows() as u64;
            return Err(SourceError::RowsTooLarge { file: self.file.name(), line });
        }
        let mut arrays = Vec::with_capacity(self.columns.len());
        let mut bad: BTreeMap<usize, Vec<SourceError>> = BTreeMap::new();
        for (index, column) in &self.columns {
            arrays.push(self.bring_to_type(batch.column(*index), column, &mut bad)?);
        }
        self.rows_before += batch.num_rows() as u64;
        self.file.progress.add_rows(batch.num_rows() as u64);
        let whole = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .expect("each array was brought to the type of its field");
        let (kept, bad) = TableBatch::sifted(&whole, bad).into_parts();
        for errors in bad {
            rejects.take(errors)?;
        }
        Ok(Some(kept))
    }

    /// Brings a column to its type; a value that would change by it makes its row a bad one.
    fn bring_to_type(
        &self,
        array: &ArrayRef,
        column: &ColumnView,
        bad: &mut BTreeMap<usize, Vec<SourceError>>,
    ) -> Result<ArrayRef, SourceError> {
        let brought = exact::bring(array, column.column_type).map_err(|_| SourceError::BadType {
            file: self.file.name(),
            column: column.name.to_string(),
            found: array.data_type().to_string(),
        })?;
        for (row, found_kind) in brought.misfits {
            bad.entry(row).or_default().push(SourceError::BadValue {
                file: self.file.name(),
                line: self.rows_before + row as u64 + 1,
                column: column.name.clone(),
                expected: column.column_type,
                found_kind,
                found_length: 0,
            });
        }
        Ok(brought.array)
    }
}
