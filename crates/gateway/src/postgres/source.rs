//! Prepared statements, portals, and where a portal's rows come from.

use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt};
use lingqu_app::Serving;
use pgwire::api::results::FieldInfo;
use tokio::sync::OnceCell;

use super::command::Command;
use super::frame::Outbox;
use super::refusal::Refused;
use super::rows::{Row, put_row};
use super::statement::Statement;
use crate::delivery::Wait;

/// A prepared statement.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) statement: Statement,
    /// The types of its parameters, as far as the client said; 0 where he did not.
    pub(super) declared: Vec<u32>,
    /// Bytes of its text.
    pub(super) bytes: usize,
    /// Made when it is first needed.
    pub(super) shape: OnceCell<Shape>,
}

/// What a prepared statement takes and gives.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    /// Types of its parameters.
    pub(super) parameters: Vec<u32>,
    /// Columns of its result; none where it has no result.
    pub(super) schema: Option<SchemaRef>,
}

impl Prepared {
    pub(super) fn new(statement: Statement, declared: Vec<u32>, bytes: usize) -> Arc<Prepared> {
        Arc::new(Prepared { statement, declared, bytes, shape: OnceCell::new() })
    }
}

/// A statement with the values of its parameters, and how far its rows have been taken.
pub(super) struct Portal {
    pub(super) prepared: Arc<Prepared>,
    pub(super) values: Vec<ScalarValue>,
    /// Formats of the columns.
    pub(super) formats: Vec<i16>,
    /// The columns that the client was told of.
    pub(super) told: Option<SchemaRef>,
    pub(super) progress: Progress,
}

/// How far a portal is.
pub(super) enum Progress {
    /// Nothing has been asked of it.
    Ready,
    /// Some of its rows were taken.
    Begun(Source),
    /// It has ended, or failed.
    Over,
}

impl Portal {
    pub(super) fn new(prepared: Arc<Prepared>, values: Vec<ScalarValue>, formats: Vec<i16>) -> Portal {
        Portal { prepared, values, formats, told: None, progress: Progress::Ready }
    }

    /// Whether FETCH can name it. One that fetches has no rows of its own, and the cursor that it names may be itself.
    pub(super) fn is_cursor(&self) -> bool {
        !matches!(self.prepared.statement, Statement::Command(Command::Fetch { .. }))
    }
}

/// Batches of an answer; an error ends them.
pub(super) type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, Refused>> + Send>>;

/// Rows that are drawn as they are asked for.
pub(super) struct Source {
    pub(super) schema: SchemaRef,
    /// What the rows are drawn by; none where they are no data.
    pub(super) serving: Option<Arc<Serving>>,
    batches: Batches,
    /// The batch that rows are being taken of, and how many were.
    current: Option<(RecordBatch, usize)>,
    /// Kept until they were taken, where they are all there.
    _wait: Option<Wait>,
}

impl Source {
    pub(super) fn new(schema: SchemaRef, batches: Batches) -> Source {
        Source { schema, serving: None, batches, current: None, _wait: None }
    }

    /// Rows of the order's table.
    pub(super) fn governed(serving: Arc<Serving>, schema: SchemaRef, batches: Batches) -> Source {
        Source { serving: Some(serving), ..Source::new(schema, batches) }
    }

    /// Rows that are there already.
    pub(super) fn of(schema: SchemaRef, batches: Vec<RecordBatch>) -> Source {
        Source::new(schema, Box::pin(futures::stream::iter(batches.into_iter().map(Ok))))
    }

    /// The same of the catalogue.
    pub(super) fn waiting(schema: SchemaRef, batches: Vec<RecordBatch>, wait: Wait) -> Source {
        Source { _wait: Some(wait), ..Source::of(schema, batches) }
    }

    /// One row of one text.
    pub(super) fn text(name: &str, value: String) -> Source {
        let schema = text_schema(name);
        let column: ArrayRef = Arc::new(StringArray::from(vec![value]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![column]).expect("a text is a column of text");
        Source::of(schema, vec![batch])
    }

    /// Whether a row is there without waiting for a batch.
    pub(super) fn has_row(&self) -> bool {
        self.current.as_ref().is_some_and(|(batch, taken)| *taken < batch.num_rows())
    }

    /// Waits for the next batch; false at the end.
    pub(super) async fn draw(&mut self) -> Result<bool, Refused> {
        match self.batches.next().await.transpose()? {
            Some(batch) => {
                self.current = Some((batch, 0));
                Ok(true)
            }
            None => {
                self.current = None;
                Ok(false)
            }
        }
    }

    /// Writes rows that are there: at most so many, and no more once the outbox holds so many bytes. Answers how many.
    pub(super) fn put(
        &mut self,
        outbox: &mut Outbox,
        row: &mut Row,
        fields: &[FieldInfo],
        rows_max: u64,
        bytes_max: usize,
    ) -> Result<u64, Refused> {
        let Some((batch, taken)) = &mut self.current else { return Ok(0) };
        let mut written = 0;
        while written < rows_max && *taken < batch.num_rows() && outbox.bytes.len() < bytes_max {
            put_row(outbox, row, fields, batch, *taken)?;
            *taken += 1;
            written += 1;
        }
        Ok(written)
    }
}

/// The columns of [`Source::text`].
pub(super) fn text_schema(name: &str) -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new(name, DataType::Utf8, true)]))
}
