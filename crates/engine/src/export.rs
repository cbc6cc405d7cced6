//! Exports: an answer as the bytes of a file.
//!
//! Every part of the answer is handed to the caller's hook before any of its bytes leave; while the hook makes the
//! receipt durable, the engine computes the next part. A file holds the granted, masked columns and nothing of where
//! they come from.

use std::future::Future;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use bytes::Bytes;
use futures::Stream;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::BATCH_ROWS;
use crate::execution::{EngineError, sanitise};
use crate::files::CREATED_BY;
use crate::session::{Answer, AnswerPart};

/// Rows of a row group of a delivered Parquet file. Its bytes are held in memory until it is full.
const ROW_GROUP_ROWS: usize = 131_072;
/// Bytes of text gathered before they are handed on.
const TEXT_CHUNK_BYTES: usize = 256 * 1024;

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

/// The bytes of an answer in a format. `hook` gets each part before any of its bytes are yielded and says, by
/// returning, that the part's receipt is durable; its error ends the stream.
pub fn export<H, F, E>(
    mut answer: Answer,
    format: ExportFormat,
    mut hook: H,
) -> impl Stream<Item = Result<Bytes, ExportError<E>>> + Send
where
    H: FnMut(&AnswerPart) -> F + Send,
    F: Future<Output = Result<(), E>> + Send,
    E: Send,
{
    async_stream::try_stream! {
        let mut encoder = Encoder::new(format, &answer.schema())?;
        let mut pending = answer.next().await.transpose()?;
        while let Some(part) = pending.take() {
            // The receipt of this part is synced while the next one is computed.
            let durable = hook(&part);
            let (durable, next) = futures::future::join(durable, answer.next()).await;
            durable.map_err(ExportError::Hook)?;
            encoder.write(&part.batch)?;
            let ready = encoder.take(false);
            if !ready.is_empty() {
                yield ready;
            }
            pending = next.transpose()?;
        }
        encoder.finish()?;
        let ready = encoder.take(true);
        if !ready.is_empty() {
            yield ready;
        }
    }
}

/// One batch as a whole file.
pub fn file_of(batch: &RecordBatch, format: ExportFormat) -> Result<Bytes, EngineError> {
    let mut encoder = Encoder::new(format, &batch.schema())?;
    encoder.write(batch)?;
    encoder.finish()?;
    Ok(encoder.take(true))
}

/// Bytes that an encoder has written and nobody has taken yet.
#[derive(Clone, Default)]
struct Outbox {
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Write for Outbox {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.bytes.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(buffer);
        Ok(buffer.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Encoder {
    outbox: Outbox,
    schema: SchemaRef,
    kind: EncoderKind,
}

enum EncoderKind {
    Parquet(Option<Box<ArrowWriter<Outbox>>>),
    Csv(Box<arrow::csv::Writer<Outbox>>),
    Ndjson(Box<arrow::json::LineDelimitedWriter<Outbox>>),
}

impl Encoder {
    fn new(format: ExportFormat, schema: &SchemaRef) -> Result<Encoder, EngineError> {
        let outbox = Outbox::default();
        // Metadata of the schema would travel with the file.
        let mut fields = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            fields.push(Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
        }
        let schema = Arc::new(Schema::new(fields));
        let kind = match format {
            ExportFormat::Parquet => {
                let properties = WriterProperties::builder()
                    .set_created_by(CREATED_BY.to_owned())
                    .set_compression(Compression::ZSTD(ZstdLevel::default()))
                    .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
                    .set_write_batch_size(BATCH_ROWS)
                    .build();
                let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
                let writer = ArrowWriter::try_new_with_options(outbox.clone(), Arc::clone(&schema), options)
                    .map_err(|error| sanitise(&error.into()))?;
                EncoderKind::Parquet(Some(Box::new(writer)))
            }
            ExportFormat::Csv => {
                let mut writer = arrow::csv::WriterBuilder::new().with_header(true).build(outbox.clone());
                // An empty answer still has its header.
                writer.write(&RecordBatch::new_empty(Arc::clone(&schema))).map_err(|error| sanitise(&error.into()))?;
                EncoderKind::Csv(Box::new(writer))
            }
            ExportFormat::Ndjson => {
                EncoderKind::Ndjson(Box::new(arrow::json::LineDelimitedWriter::new(outbox.clone())))
            }
        };
        Ok(Encoder { outbox, schema, kind })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), EngineError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec())
            .expect("the parts of an answer have its schema");
        match &mut self.kind {
            EncoderKind::Parquet(Some(writer)) => writer.write(&batch).map_err(|error| sanitise(&error.into())),
            EncoderKind::Parquet(None) => Ok(()),
            EncoderKind::Csv(writer) => writer.write(&batch).map_err(|error| sanitise(&error.into())),
            EncoderKind::Ndjson(writer) => writer.write(&batch).map_err(|error| sanitise(&error.into())),
        }
    }

    fn finish(&mut self) -> Result<(), EngineError> {
        match &mut self.kind {
            EncoderKind::Parquet(writer) => {
                if let Some(writer) = writer.take() {
                    writer.close().map_err(|error| sanitise(&error.into()))?;
                }
                Ok(())
            }
            EncoderKind::Ndjson(writer) => writer.finish().map_err(|error| sanitise(&error.into())),
            EncoderKind::Csv(_) => Ok(()),
        }
    }

    /// The bytes written so far, once there are enough of them.
    fn take(&mut self, all: bool) -> Bytes {
        let mut bytes = self.outbox.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if all || bytes.len() >= TEXT_CHUNK_BYTES { Bytes::from(std::mem::take(&mut *bytes)) } else { Bytes::new() }
    }
}
