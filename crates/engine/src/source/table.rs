//! Sources that are tables and know their columns: Delta and Iceberg tables, tables of a database. They give typed batches
//! instead of text; everything after that is the same as for a file.

use std::fmt;
use std::pin::Pin;

use arrow::array::RecordBatch;
use futures::Stream;

use super::SourceError;
use crate::columns::SchemaView;

/// Typed batches of a table, in its order, of [`TableSource::schema`]'s Arrow schema. After an error nothing more comes.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<RecordBatch, SourceError>> + Send>>;

/// Whether the same rows can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceIdentity {
    /// A digest: while it is the same, so are the rows and their order. An ingestion that was interrupted goes on after the
    /// part files that it had finished.
    Fixed(String),
    /// A table that changes under the reader. An ingestion that was interrupted begins anew.
    Live,
}

/// A table whose rows are read into a snapshot. Opening it is its own affair; once it is open, its columns and what it will
/// give are decided.
pub trait TableSource: Send + Sync + fmt::Debug {
    /// What messages call it, without addresses and secrets.
    fn name(&self) -> &str;

    /// Its visible columns in Lingqu's types, in the order wanted.
    fn schema(&self) -> &SchemaView;

    /// Whether the same rows can be read again.
    fn identity(&self) -> SourceIdentity;

    /// How many rows there are, where that is known, to show progress.
    fn rows_hint(&self) -> Option<u64> {
        None
    }

    /// Where the next incremental reading goes on: decided when it was opened, at most [`POSITION_CHARS_MAX`] characters,
    /// kept with the ingestion and given to the next one when it opens the table.
    fn position(&self) -> Option<String> {
        None
    }

    /// The rows but for the first `skip_rows`, which is 0 unless the identity is fixed.
    fn into_batches(self: Box<Self>, skip_rows: u64) -> BatchStream;
}

/// Most characters of a position.
pub const POSITION_CHARS_MAX: usize = 256;
