//! Answers as bytes, in the formats that a client may ask for.
//!
//! The engine writes the formats of files (Parquet, CSV, NDJSON); JSON with the receipt in it and Arrow's stream are
//! written here, batch by batch, under the same law: a batch is handed to the hook, and no byte of it goes on before the
//! hook has returned.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use arrow::ipc::writer::StreamWriter;
use arrow::json::writer::{JsonArray, WriterBuilder};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use lingqu_app::AppError;
use lingqu_domain::resource::Nature;
use lingqu_engine::export::{Chunk, ExportError, ExportFormat, export};
use lingqu_engine::session::{Answer, AnswerPart, named};
use serde::Serialize;

/// How an answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object with the receipt, the columns and the rows.
    Json,
    /// One JSON object a row and line.
    Ndjson,
    /// Separated values with a header line.
    Csv,
    /// Arrow's IPC stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// Every format, the one that is given unasked first.
    pub const ALL: [Format; 5] = [Format::Json, Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet];

    /// The word for `?format=`.
    pub fn name(self) -> &'static str {
        match self {
            Format::Json => "json",
            Format::Ndjson => "ndjson",
            Format::Csv => "csv",
            Format::Arrow => "arrow",
            Format::Parquet => "parquet",
        }
    }

    /// The media type, for `Content-Type`.
    pub fn media_type(self) -> &'static str {
        match self {
            Format::Json => "application/json",
            Format::Ndjson => ExportFormat::Ndjson.media_type(),
            Format::Csv => ExportFormat::Csv.media_type(),
            Format::Arrow => "application/vnd.apache.arrow.stream",
            Format::Parquet => ExportFormat::Parquet.media_type(),
        }
    }

    /// The media type without parameters, for `Accept`.
    pub fn essence(self) -> &'static str {
        let media_type = self.media_type();
        media_type.split(';').next().unwrap_or(media_type)
    }
}

/// What stands around the rows of a JSON answer.
#[derive(Clone, Debug, Default)]
pub struct JsonFrame {
    /// For a page: how many rows make it a full one, and the cursor that follows a full one.
    pub page: Option<(u64, String)>,
    head: String,
}

/// What is said before the first row.
#[derive(Debug, Serialize)]
pub struct JsonHead<'a> {
    /// The receipt.
    pub receipt: &'a str,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// Groups that were left out because they were smaller than the cohort floor.
    pub groups_suppressed: u64,
}

impl JsonFrame {
    /// A frame for a page of at most `limit` rows, which `next_cursor` follows when it is full.
    pub fn page(limit: u64, next_cursor: String) -> Self {
        Self { page: Some((limit, next_cursor)), head: String::new() }
    }

    /// The frame of an answer that is made of no governed data, so that there is no receipt of it.
    pub(crate) fn without_receipt(nature: Nature, schema: &SchemaRef) -> Self {
        let nature = serde_json::to_string(&nature).expect("a word is JSON");
        let columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let columns = serde_json::to_string(&columns).expect("a list of texts is JSON");
        let head = format!("{{\"receipt\":null,\"nature\":{nature},\"groups_suppressed\":0,\"columns\":{columns}");
        Self { page: None, head: format!("{head},\"rows\":[") }
    }

    /// The frame of an answer that has begun.
    pub(crate) fn begun(mut self, head: &JsonHead<'_>, schema: &SchemaRef) -> Self {
        #[derive(Serialize)]
        struct Begun<'a> {
            #[serde(flatten)]
            head: &'a JsonHead<'a>,
            columns: Vec<&'a str>,
        }
        let columns = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let object = serde_json::to_string(&Begun { head, columns }).expect("texts, numbers and lists are JSON");
        // The object stays open for the rows.
        self.head = format!("{},\"rows\":[", object.strip_suffix('}').unwrap_or(&object));
        self
    }

    fn tail(&self, rows: u64) -> String {
        let next = match &self.page {
            None => String::new(),
            Some((limit, next)) if rows == *limit => format!(",\"next_cursor\":\"{next}\""),
            Some(_) => ",\"next_cursor\":null".to_owned(),
        };
        format!("],\"row_count\":{rows}{next}}}")
    }
}

/// The bytes of an answer. `hook` gets each part before any of its bytes are yielded; its error ends the stream.
pub(crate) fn answer_bytes<H, F>(
    answer: Answer,
    format: Format,
    frame: JsonFrame,
    hook: H,
) -> Pin<Box<dyn Stream<Item = Result<Chunk, ExportError<AppError>>> + Send>>
where
    H: FnMut(&AnswerPart) -> F + Send + 'static,
    F: Future<Output = Result<(), AppError>> + Send + 'static,
{
    match format {
        Format::Ndjson => Box::pin(export(answer, ExportFormat::Ndjson, hook)),
        Format::Csv => Box::pin(export(answer, ExportFormat::Csv, hook)),
        Format::Parquet => Box::pin(export(answer, ExportFormat::Parquet, hook)),
        Format::Json => {
            let writer = Writer::Json { frame, rows: 0, is_begun: false };
            Box::pin(written(answer, writer, hook))
        }
        Format::Arrow => match arrow_writer(&answer.schema()) {
            Ok(writer) => Box::pin(written(answer, Writer::Arrow(Box::new(writer)), hook)),
            Err(error) => Box::pin(futures::stream::iter([Err(ExportError::Hook(error))])),
        },
    }
}

/// The engine's law of exports, for the formats that are written here.
fn written<H, F>(
    answer: Answer,
    mut writer: Writer,
    hook: H,
) -> impl Stream<Item = Result<Chunk, ExportError<AppError>>> + Send
where
    H: FnMut(&AnswerPart) -> F + Send,
    F: Future<Output = Result<(), AppError>> + Send,
{
    async_stream::try_stream! {
        let mut parts = pin!(named(answer, hook));
        while let Some(batches) = parts.next().await {
            for batch in batches? {
                let bytes = writer.write(&batch).map_err(ExportError::Hook)?;
                if !bytes.is_empty() {
                    yield Chunk { bytes, rows: batch.num_rows() as u64 };
                }
            }
        }
        yield Chunk { bytes: writer.finish().map_err(ExportError::Hook)?, rows: 0 };
    }
}

enum Writer {
    Json { frame: JsonFrame, rows: u64, is_begun: bool },
    Arrow(Box<StreamWriter<Vec<u8>>>),
}

impl Writer {
    fn write(&mut self, batch: &RecordBatch) -> Result<Bytes, AppError> {
        if batch.num_rows() == 0 {
            return Ok(Bytes::new());
        }
        match self {
            Writer::Json { frame, rows, is_begun } => {
                let mut text = Vec::new();
                if *is_begun {
                    text.push(b',');
                } else {
                    text.extend_from_slice(frame.head.as_bytes());
                    *is_begun = true;
                }
                text.extend_from_slice(&json_rows(batch)?);
                *rows += batch.num_rows() as u64;
                Ok(Bytes::from(text))
            }
            Writer::Arrow(writer) => {
                let schema = plain(&batch.schema());
                let batch = RecordBatch::try_new(schema, batch.columns().to_vec()).map_err(|_| unwritable("Arrow"))?;
                writer.write(&batch).map_err(|_| unwritable("Arrow"))?;
                Ok(Bytes::from(std::mem::take(writer.get_mut())))
            }
        }
    }

    fn finish(&mut self) -> Result<Bytes, AppError> {
        match self {
            Writer::Json { frame, rows, is_begun } => {
                let head = if *is_begun { "" } else { frame.head.as_str() };
                Ok(Bytes::from(format!("{head}{}", frame.tail(*rows))))
            }
            Writer::Arrow(writer) => {
                writer.finish().map_err(|_| unwritable("Arrow"))?;
                Ok(Bytes::from(std::mem::take(writer.get_mut())))
            }
        }
    }
}

/// The rows of a batch as JSON objects with commas between them, without brackets around them; missing values are null.
pub(crate) fn json_rows(batch: &RecordBatch) -> Result<Vec<u8>, AppError> {
    if batch.num_rows() == 0 {
        return Ok(Vec::new());
    }
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(Vec::new());
    writer.write(batch).map_err(|_| unwritable("JSON"))?;
    writer.finish().map_err(|_| unwritable("JSON"))?;
    let text = writer.into_inner();
    match text.strip_prefix(b"[").and_then(|text| text.strip_suffix(b"]")) {
        Some(rows) => Ok(rows.to_vec()),
        None => Err(unwritable("JSON")),
    }
}

/// A whole batch as Arrow's stream.
pub(crate) fn arrow_stream(batch: &RecordBatch) -> Result<Vec<u8>, AppError> {
    let mut writer = Writer::Arrow(Box::new(arrow_writer(&batch.schema())?));
    let mut bytes = writer.write(batch)?.to_vec();
    bytes.extend_from_slice(&writer.finish()?);
    Ok(bytes)
}

fn arrow_writer(schema: &SchemaRef) -> Result<StreamWriter<Vec<u8>>, AppError> {
    StreamWriter::try_new(Vec::new(), &plain(schema)).map_err(|_| unwritable("Arrow"))
}

/// The schema without metadata, which would travel with the data.
fn plain(schema: &SchemaRef) -> SchemaRef {
    let mut fields = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        fields.push(Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    }
    Arc::new(Schema::new(fields))
}

/// The cause is left out: it may quote values.
fn unwritable(format: &str) -> AppError {
    AppError::Fault(format!("a batch could not be written as {format}"))
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringArray};
    use arrow::datatypes::DataType;
    use arrow::ipc::reader::StreamReader;

    use super::*;

    fn batch() -> RecordBatch {
        let fields = vec![Field::new("n", DataType::Int64, true), Field::new("t", DataType::Utf8, true)];
        let numbers = Int64Array::from(vec![Some(1), None]);
        let texts = StringArray::from(vec![Some("a\"b"), Some("桂林")]);
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![Arc::new(numbers), Arc::new(texts)]).unwrap()
    }

    fn json(frame: JsonFrame, batches: &[RecordBatch]) -> serde_json::Value {
        let head = JsonHead { receipt: "rcp_1", nature: Nature::Real, groups_suppressed: 2 };
        let mut writer = Writer::Json { frame: frame.begun(&head, &batch().schema()), rows: 0, is_begun: false };
        let mut bytes = Vec::new();
        for batch in batches {
            bytes.extend_from_slice(&writer.write(batch).unwrap());
        }
        bytes.extend_from_slice(&writer.finish().unwrap());
        serde_json::from_slice(&bytes).unwrap()
    }

    #[test]
    fn json_holds_receipt_columns_and_rows() {
        let whole = json(JsonFrame::default(), &[batch(), batch().slice(0, 0), batch()]);
        assert_eq!(whole["receipt"], "rcp_1");
        assert_eq!(whole["groups_suppressed"], 2);
        assert_eq!(whole["columns"], serde_json::json!(["n", "t"]));
        assert_eq!(whole["row_count"], 4);
        assert_eq!(whole["rows"][1], serde_json::json!({"n": null, "t": "桂林"}));
        assert_eq!(whole["rows"][2]["t"], "a\"b");
        assert!(whole.get("next_cursor").is_none());
        assert_eq!(json(JsonFrame::default(), &[])["rows"], serde_json::json!([]));
    }

    #[test]
    fn an_answer_without_governed_data_has_no_receipt() {
        let frame = JsonFrame::without_receipt(Nature::Real, &batch().schema());
        let mut writer = Writer::Json { frame, rows: 0, is_begun: false };
        let mut bytes = writer.write(&batch()).unwrap().to_vec();
        bytes.extend_from_slice(&writer.finish().unwrap());
        let whole: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        let rows = serde_json::json!([{"n": 1, "t": "a\"b"}, {"n": null, "t": "桂林"}]);
        let expected = serde_json::json!({
            "receipt": null, "nature": "REAL", "groups_suppressed": 0, "columns": ["n", "t"], "rows": rows, "row_count": 2,
        });
        assert_eq!(whole, expected);
    }

    #[test]
    fn only_a_full_page_has_a_next_cursor() {
        assert_eq!(json(JsonFrame::page(2, "abc".to_owned()), &[batch()])["next_cursor"], "abc");
        assert_eq!(json(JsonFrame::page(3, "abc".to_owned()), &[batch()])["next_cursor"], serde_json::Value::Null);
    }

    #[test]
    fn arrow_round_trips() {
        let bytes = arrow_stream(&batch()).unwrap();
        let read: Vec<RecordBatch> = StreamReader::try_new(&bytes[..], None).unwrap().map(Result::unwrap).collect();
        assert_eq!(read, [batch()]);
        let empty = arrow_stream(&batch().slice(0, 0)).unwrap();
        assert_eq!(StreamReader::try_new(&empty[..], None).unwrap().count(), 0);
    }
}
