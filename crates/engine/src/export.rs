//! Exports: an answer as the bytes of a file.
//!
//! Every part of the answer is handed to the caller's hook before any of its bytes leave; while the hook makes the
//! receipt durable, the engine computes the next part. Of a Parquet file nothing can leave before a row group is full, so its
//! rows are encoded as they come, and named when there are bytes that could leave. A file holds the granted, masked columns and nothing of where
//! they come from.

mod row_groups;

use std::future::Future;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use parquet::arrow::ArrowWriter;
use serde::{Deserialize, Serialize};

use crate::answer::{Answer, AnswerPart, named};
use crate::execution::{EngineError, sanitise};
use row_groups::{RowGroups, options};

/// Raised whenever the same answer would become other bytes than before within a version of the program.
const FILE_FORM: u32 = 2;

/// What writes files, and in which form: part of a file's name and tag, since whoever took a piece of a file and comes back for the
/// next after an upgrade must not get one of another file.
pub fn file_form() -> String {
    format!("{} {FILE_FORM}", env!("CARGO_PKG_VERSION"))
}

/// Bytes that are gathered before they are handed on.
const CHUNK_BYTES: usize = 256 * 1024;

/// The format of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExportFormat {
    /// Apache Parquet.
    Parquet,
    /// Separated values with a header line.
    Csv,
    /// One JSON object a line.
    Ndjson,
}

impl ExportFormat {
    /// The media type, for `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            ExportFormat::Parquet => "application/vnd.apache.parquet",
            ExportFormat::Csv => "text/csv; charset=utf-8",
            ExportFormat::Ndjson => "application/x-ndjson",
        }
    }

    /// The extension of a file's name.
    pub fn extension(self) -> &'static str {
        match self {
            ExportFormat::Parquet => "parquet",
            ExportFormat::Csv => "csv",
            ExportFormat::Ndjson => "ndjson",
        }
    }
}

/// Why an export stopped.
#[derive(Debug, thiserror::Error)]
pub enum ExportError<E> {
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The receipt could not be made durable, or the grant ended; no byte of that part left.
    #[error("the delivery was stopped before its receipt was durable")]
    Hook(#[source] E),
}

/// Some bytes of an export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk {
    /// The bytes.
    pub bytes: Bytes,
    /// Rows of the answer that the export holds once these bytes are there, and did not hold before.
    pub rows: u64,
}

/// The bytes of an answer in a format. `hook` gets each part before any of its bytes are yielded and says, by
/// returning, that the part's receipt is durable; its error ends the stream.
pub fn export<H, F, E>(
    answer: Answer,
    format: ExportFormat,
    hook: H,
) -> impl Stream<Item = Result<Chunk, ExportError<E>>> + Send
where
    H: FnMut(&AnswerPart) -> F + Send,
    F: Future<Output = Result<(), E>> + Send,
    E: Send,
{
    async_stream::try_stream! {
        let mut encoder = Encoder::new(format, &answer)?;
        if format == ExportFormat::Parquet {
            let mut groups = pin!(row_groups(answer, encoder, hook));
            while let Some(ready) = groups.next().await {
                yield ready?;
            }
        } else {
            let mut parts = pin!(named(answer, hook));
            while let Some(batches) = parts.next().await {
                for batch in batches? {
                    encoder.write(&batch).await?;
                    if let Some(ready) = encoder.take() {
                        yield ready;
                    }
                }
            }
            let ready = encoder.finish().await?;
            if !ready.bytes.is_empty() {
                yield ready;
            }
        }
    }
}

/// The bytes of a Parquet file. Before any of them is yielded, every row that was drawn by then is named.
fn row_groups<H, F, E>(
    mut answer: Answer,
    mut encoder: Encoder,
    mut hook: H,
) -> impl Stream<Item = Result<Chunk, ExportError<E>>> + Send
where
    H: FnMut(&AnswerPart) -> F + Send,
    F: Future<Output = Result<(), E>> + Send,
    E: Send,
{
    async_stream::try_stream! {
        let mut unnamed = AnswerPart::default();
        while let Some(part) = answer.next().await {
            let part = part?;
            for batch in &part.batches {
                encoder.write(batch).await?;
            }
            unnamed.append(part);
            let ready = encoder.take();
            if ready.is_some() || unnamed.is_full() {
                hook(&std::mem::take(&mut unnamed)).await.map_err(ExportError::Hook)?;
            }
            if let Some(ready) = ready {
                yield ready;
            }
        }
        let ready = encoder.finish().await?;
        if !unnamed.is_empty() {
            hook(&unnamed).await.map_err(ExportError::Hook)?;
        }
        yield ready;
    }
}

/// One batch as a whole file.
pub fn file_of(batch: &RecordBatch, format: ExportFormat) -> Result<Bytes, EngineError> {
    let schema = bare(&batch.schema());
    let batch = with_schema(batch, &schema);
    let outbox = Outbox::default();
    if format == ExportFormat::Parquet {
        let written =
            ArrowWriter::try_new_with_options(outbox.clone(), schema, options(None)).and_then(|mut writer| {
                writer.write(&batch)?;
                writer.close()
            });
        written.map_err(|error| sanitise(&error.into()))?;
        return Ok(outbox.take());
    }
    let mut text = TextWriter::new(format, outbox.clone(), &schema)?;
    text.write(&batch)?;
    text.finish()?;
    Ok(outbox.take())
}

/// Bytes that an encoder has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Outbox {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Write for Outbox {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes().extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outbox {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Bytes {
        Bytes::from(std::mem::take(&mut *self.bytes()))
    }
}

struct Encoder {
    outbox: Outbox,
    schema: SchemaRef,
    kind: EncoderKind,
    /// Rows that it was given.
    rows: u64,
    /// Rows that were taken with the bytes that hold them.
    rows_taken: u64,
}

enum EncoderKind {
    Parquet(Box<RowGroups>),
    Text(TextWriter),
}

impl Encoder {
    fn new(format: ExportFormat, answer: &Answer) -> Result<Encoder, EngineError> {
        let outbox = Outbox::default();
        let schema = bare(&answer.schema());
        let kind = if format == ExportFormat::Parquet {
            let file = RowGroups::begin(outbox.clone(), &schema, answer).map_err(|error| sanitise(&error.into()))?;
            EncoderKind::Parquet(Box::new(file))
        } else {
            EncoderKind::Text(TextWriter::new(format, outbox.clone(), &schema)?)
        };
        Ok(Encoder { outbox, schema, kind, rows: 0, rows_taken: 0 })
    }

    async fn write(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        let batch = with_schema(batch, &self.schema);
        self.rows += batch.num_rows() as u64;
        match &mut self.kind {
            EncoderKind::Parquet(file) => file.write(&batch).await.map_err(|error| sanitise(&error.into())),
            EncoderKind::Text(text) => text.write(&batch),
        }
    }

    /// Ends the file and gives what was not taken of it.
    async fn finish(self) -> Result<Chunk, EngineError> {
        match self.kind {
            EncoderKind::Parquet(file) => file.finish().await.map_err(|error| sanitise(&error.into()))?,
            EncoderKind::Text(mut text) => text.finish()?,
        }
        Ok(Chunk { bytes: self.outbox.take(), rows: self.rows - self.rows_taken })
    }

    /// The bytes written so far, once there are enough of them.
    fn take(&mut self) -> Option<Chunk> {
        if self.outbox.bytes().len() < CHUNK_BYTES {
            return None;
        }
        let rows_written = match &self.kind {
            EncoderKind::Parquet(file) => file.rows_appended(),
            EncoderKind::Text(_) => self.rows,
        };
        let rows = rows_written - self.rows_taken;
        self.rows_taken = rows_written;
        Some(Chunk { bytes: self.outbox.take(), rows })
    }
}

/// The formats of text, written row by row.
enum TextWriter {
    Csv(Box<arrow::csv::Writer<Outbox>>),
    Ndjson(Box<arrow::json::LineDelimitedWriter<Outbox>>),
}

impl TextWriter {
    fn new(format: ExportFormat, outbox: Outbox, schema: &SchemaRef) -> Result<TextWriter, EngineError> {
        if format != ExportFormat::Csv {
            // A missing value is null, as in JSON: every line has every column.
            let lines = arrow::json::WriterBuilder::new().with_explicit_nulls(true).build(outbox);
            return Ok(TextWriter::Ndjson(Box::new(lines)));
        }
        let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(outbox);
        // An empty answer still has its header.
        writer.write(&RecordBatch::new_empty(Arc::clone(schema))).map_err(|error| sanitise(&error.into()))?;
        Ok(TextWriter::Csv(Box::new(writer)))
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let written = match self {
            TextWriter::Csv(writer) => writer.write(batch),
            TextWriter::Ndjson(writer) => writer.write(batch),
        };
        written.map_err(|error| sanitise(&error.into()))
    }

    fn finish(&mut self) -> Result<(), EngineError> {
        match self {
            TextWriter::Ndjson(writer) => writer.finish().map_err(|error| sanitise(&error.into())),
            TextWriter::Csv(_) => Ok(()),
        }
    }
}

/// A schema without its metadata, which would travel with the file.
fn bare(schema: &SchemaRef) -> SchemaRef {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        fields.push(Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    }
    Arc::new(Schema::new(fields))
}

fn with_schema(batch: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::clone(schema), batch.columns().to_vec(), &options)
        .expect("the parts of an answer have its schema")
}
