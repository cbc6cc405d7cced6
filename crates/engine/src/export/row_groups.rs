//! Parquet files whose columns are encoded side by side: a row group is gathered, then each of its columns is encoded by a
//! task on the engine's threads while the next row group is gathered. At most two row groups are in memory, and one where the query's memory
//! has no room for a second: what a file holds is counted there, from the first row that waits to the bytes that leave.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
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
/// A row group closes early when its rows have so many bytes in Arrow's form.
const ROW_GROUP_BYTES_MAX: u64 = 64 << 20;

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
    /// Their bytes before they are encoded: what comes of them is hardly more.
    encoding_bytes: u64,
    /// Written bytes that nobody has taken yet.
    outbox: Outbox,
    memory: MemoryReservation,
    /// Rows of the row groups that are in the file.
    appended_rows: u64,
    begun: usize,
}

impl RowGroups {
    /// Begins a file of flat columns.
    pub(super) fn begin(outbox: Outbox, schema: &SchemaRef, answer: &Answer) -> ParquetResult<RowGroups> {
        let options = options(answer.sampling_weight());
        let writer = ArrowWriter::try_new_with_options(outbox.clone(), SchemaRef::clone(schema), options)?;
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
            encoding_bytes: 0,
            outbox,
            memory: MemoryConsumer::new("row groups").register(&answer.memory),
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
            let bytes = slice_bytes(&slice);
            self.make_room(bytes).await?;
            self.waiting_rows += count;
            self.waiting_bytes += bytes;
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

    /// Ends the file. Its last bytes are counted until it is dropped.
    pub(super) async fn finish(&mut self) -> ParquetResult<()> {
        self.encode().await?;
        self.append().await?;
        self.file.finish()?;
        self.memory.resize(self.held(0));
        Ok(())
    }

    /// Counts what is held with so many bytes more. Where there is no room for them the row group before this one is waited for, and then they
    /// are taken all the same: where a row group ends depends on its rows, and one whose half is held can't wait for a neighbour that does the same.
    async fn make_room(&mut self, bytes: u64) -> ParquetResult<()> {
        if self.memory.try_resize(self.held(bytes)).is_err() {
            self.append().await?;
            self.memory.resize(self.held(bytes));
        }
        Ok(())
    }

    /// Bytes that are held with so many more.
    fn held(&self, more: u64) -> usize {
        let rows = self.waiting_bytes.saturating_add(self.encoding_bytes).saturating_add(more);
        usize::try_from(rows).unwrap_or(usize::MAX).saturating_add(self.outbox.bytes().len())
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
        (self.encoding_rows, self.encoding_bytes) = (self.waiting_rows as u64, self.waiting_bytes);
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
        self.encoding_bytes = 0;
        Ok(())
    }
}
