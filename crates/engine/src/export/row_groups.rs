//! Parquet files whose columns are encoded side by side: a row group is gathered, then each of its columns is encoded by a
//! task on the engine's threads while the next row group is gathered. At most two row groups are in memory.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::{
    ArrowColumnChunk, ArrowColumnWriter, ArrowRowGroupWriterFactory, ArrowWriterOptions, compute_leaves,
};
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::Outbox;
use crate::BATCH_ROWS;
use crate::answer::Answer;
use crate::execution::slice_bytes;
use crate::files::CREATED_BY;

/// Rows of a row group of a delivered file.
const ROW_GROUP_ROWS: usize = 131_072;
/// A row group closes early when its rows have so many bytes in Arrow's form, since nobody counts them in a query's memory: some
/// 190 bytes a row are not cut.
const ROW_GROUP_BYTES_MAX: u64 = 24 << 20;

/// The metadata of a file whose rows stand for more than themselves: how many rows of the whole each stands for.
const SAMPLING_WEIGHT: &str = "lingqu.sampling_weight";

/// What every delivered Parquet file is written with. Metadata of the schema would travel with the file, so there is none but the
/// weight of its rows where they are not all.
pub(super) fn options(sampling_weight: Option<f64>) -> ArrowWriterOptions {
    let told = sampling_weight.map(|weight| vec![KeyValue::new(SAMPLING_WEIGHT.to_owned(), weight.to_string())]);
    let properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_write_batch_size(BATCH_ROWS)
        .set_key_value_metadata(told)
        .build();
    ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true)
}

/// A Parquet file in the making.
pub(super) struct RowGroups {
    schema: SchemaRef,
    threads: Handle,
    file: SerializedFileWriter<Outbox>,
    columns: ArrowRowGroupWriterFactory,
    /// The row group that is being gathered.
    waiting: Vec<RecordBatch>,
    waiting_rows: usize,
    waiting_bytes: u64,
    /// The columns of the row group before it, by their places.
    encoding: JoinSet<ParquetResult<(usize, ArrowColumnChunk)>>,
    encoding_rows: u64,
    /// Rows of the row groups that are in the file.
    appended_rows: u64,
    begun: usize,
}

impl RowGroups {
    /// Begins a file of flat columns.
    pub(super) fn begin(outbox: Outbox, schema: &SchemaRef, answer: &Answer) -> ParquetResult<RowGroups> {
        let options = options(answer.sampling_weight());
        let writer = ArrowWriter::try_new_with_options(outbox, SchemaRef::clone(schema), options)?;
        let (file, columns) = writer.into_serialized_writer()?;
        Ok(RowGroups {
            schema: SchemaRef::clone(schema),
            threads: answer.threads.clone(),
            file,
            columns,
            waiting: Vec::new(),
            waiting_rows: 0,
            waiting_bytes: 0,
            encoding: JoinSet::new(),
            encoding_rows: 0,
            appended_rows: 0,
            begun: 0,
        })
    }

    /// Takes a batch. Where row groups are cut depends on the rows alone.
    pub(super) async fn write(&mut self, batch: &RecordBatch) -> ParquetResult<()> {
        let mut from = 0;
        while from < batch.num_rows() {
            let count = (ROW_GROUP_ROWS - self.waiting_rows).min(batch.num_rows() - from);
            let slice = batch.slice(from, count);
            from += count;
            self.waiting_rows += count;
            self.waiting_bytes += slice_bytes(&slice);
            self.waiting.push(slice);
            if self.waiting_rows == ROW_GROUP_ROWS || self.waiting_bytes >= ROW_GROUP_BYTES_MAX {
                self.encode().await?;
            }
        }
        Ok(())
    }

    /// Rows of the row groups that are in the file; the others wait or are being encoded.
    pub(super) fn rows_appended(&self) -> u64 {
        self.appended_rows
    }

    /// Ends the file.
    pub(super) async fn finish(mut self) -> ParquetResult<()> {
        self.encode().await?;
        self.append().await?;
        self.file.close().map(|_| ())
    }

    /// Appends the row group before this one to the file and begins to encode this one.
    async fn encode(&mut self) -> ParquetResult<()> {
        self.append().await?;
        if self.waiting_rows == 0 {
            return Ok(());
        }
        let writers = self.columns.create_column_writers(self.begun)?;
        self.begun += 1;
        let batches = std::mem::take(&mut self.waiting);
        self.encoding_rows = self.waiting_rows as u64;
        (self.waiting_rows, self.waiting_bytes) = (0, 0);
        for (place, writer) in writers.into_iter().enumerate() {
            let field = SchemaRef::clone(&self.schema);
            let arrays: Vec<_> = batches.iter().map(|batch| std::sync::Arc::clone(batch.column(place))).collect();
            let encoded = move || -> ParquetResult<(usize, ArrowColumnChunk)> {
                let mut writer: ArrowColumnWriter = writer;
                for array in &arrays {
                    for leaf in compute_leaves(field.field(place), array)? {
                        writer.write(&leaf)?;
                    }
                }
                Ok((place, writer.close()?))
            };
            self.encoding.spawn_on(async move { encoded() }, &self.threads);
        }
        Ok(())
    }

    async fn append(&mut self) -> ParquetResult<()> {
        if self.encoding.is_empty() {
            return Ok(());
        }
        let mut chunks = Vec::with_capacity(self.encoding.len());
        while let Some(encoded) = self.encoding.join_next().await {
            chunks.push(encoded.map_err(|error| ParquetError::External(Box::new(error)))??);
        }
        chunks.sort_by_key(|(place, _)| *place);
        let mut group = self.file.next_row_group()?;
        for (_, chunk) in chunks {
            chunk.append_to_row_group(&mut group)?;
        }
        group.close()?;
        self.appended_rows += std::mem::take(&mut self.encoding_rows);
        Ok(())
    }
}
