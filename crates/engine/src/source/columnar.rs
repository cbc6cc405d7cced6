//! Parquet sources.

use std::fs::File;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::SchemaRef;
use arrow::util::display::FormatOptions;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::{FoundKind, SourceError, SourceFile};
use crate::BATCH_ROWS;
use crate::columns::{ColumnType, ColumnView};

/// Names and types of the columns, and the number of rows.
pub(super) fn inspect(file: &SourceFile) -> Result<(Vec<String>, Vec<ColumnType>, u64), SourceError> {
    let builder = open(file)?;
    let mut headers = Vec::new();
    let mut types = Vec::new();
    for field in builder.schema().fields() {
        let Some(column_type) = ColumnType::of_arrow(field.data_type()) else {
            return Err(SourceError::BadType {
                file: file.name(),
                column: field.name().clone(),
                found: field.data_type().to_string(),
            });
        };
        headers.push(field.name().clone());
        types.push(column_type);
    }
    let rows = u64::try_from(builder.metadata().file_metadata().num_rows()).unwrap_or(0);
    Ok((headers, types, rows))
}

fn open(file: &SourceFile) -> Result<ParquetRecordBatchReaderBuilder<File>, SourceError> {
    let handle = File::open(&file.path).map_err(|error| file.unreadable(&error))?;
    ParquetRecordBatchReaderBuilder::try_new(handle).map_err(|error| file.unreadable(&error))
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

    pub(super) fn read(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        let Some(read) = self.reader.next() else { return Ok(None) };
        let batch = read.map_err(|error| self.file.unreadable(&error))?;
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (index, column) in &self.columns {
            arrays.push(self.bring_to_type(batch.column(*index), column)?);
        }
        self.rows_before += batch.num_rows() as u64;
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays)
            .expect("each array was brought to the type of its field");
        Ok(Some(batch))
    }

    /// Casts a column; a value that the type can't hold is refused with its row instead of becoming null.
    fn bring_to_type(&self, array: &ArrayRef, column: &ColumnView) -> Result<ArrayRef, SourceError> {
        let wanted = column.column_type.arrow();
        if array.data_type() == &wanted {
            return Ok(Arc::clone(array));
        }
        let options = CastOptions { safe: true, format_options: FormatOptions::default() };
        let cast = cast_with_options(array, &wanted, &options).map_err(|_| SourceError::BadType {
            file: self.file.name(),
            column: column.name.to_string(),
            found: array.data_type().to_string(),
        })?;
        if cast.null_count() != array.logical_null_count() {
            let lost = (0..array.len()).find(|row| cast.is_null(*row) && !is_null(array, *row));
            return Err(SourceError::BadValue {
                file: self.file.name(),
                line: self.rows_before + lost.unwrap_or(0) as u64 + 1,
                column: column.name.clone(),
                expected: column.column_type,
                found_kind: if array.data_type().is_numeric() { FoundKind::Number } else { FoundKind::Text },
                found_length: 0,
            });
        }
        Ok(cast)
    }
}

fn is_null(array: &ArrayRef, row: usize) -> bool {
    array.logical_nulls().is_some_and(|nulls| nulls.is_null(row))
}
