//! Sources that are tables and know their columns: Delta and Iceberg tables, tables of a database. They give typed batches
//! instead of text; everything after that is the same as for a file.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use futures::Stream;

use super::SourceError;
use super::drift::SchemaDrift;
use super::progress::{ReadProgress, StopSignal};
use super::rejects::{RejectLimit, Rejects};
use crate::columns::SchemaView;

/// Typed batches of a table, in its order, of [`TableSource::schema`]'s Arrow schema. After an error nothing more comes.
pub type BatchStream = Pin<Box<dyn Stream<Item = Result<TableBatch, SourceError>> + Send>>;

/// Some rows of a table.
#[derive(Debug)]
pub struct TableBatch {
    rows: RecordBatch,
    bad: Vec<Vec<SourceError>>,
    /// The others as far as they are known: a cell that does not fit is missing.
    others: Option<RecordBatch>,
}

impl TableBatch {
    /// Rows that all fit.
    pub fn of(rows: RecordBatch) -> Self {
        Self { rows, bad: Vec::new(), others: None }
    }

    /// Rows of which some do not fit: by their places, what is wrong with each. Those are left out of the rows.
    pub(crate) fn sifted(rows: &RecordBatch, bad: BTreeMap<usize, Vec<SourceError>>) -> Self {
        if bad.is_empty() {
            return Self::of(rows.clone());
        }
        let only = |is_bad: bool| {
            let wanted: BooleanArray = (0..rows.num_rows()).map(|row| Some(bad.contains_key(&row) == is_bad)).collect();
            filter_record_batch(rows, &wanted).expect("the mask has an entry for each row")
        };
        let (rows, others) = (only(false), Some(only(true)));
        Self { rows, bad: bad.into_values().collect(), others }
    }

    /// The rows that fit; there may be none.
    pub fn rows(&self) -> &RecordBatch {
        &self.rows
    }

    /// What is wrong with each of the others.
    pub fn bad(&self) -> &[Vec<SourceError>] {
        &self.bad
    }

    /// The others in that order, the cells that do not fit missing. None where they are not known.
    pub(crate) fn others(&self) -> Option<&RecordBatch> {
        self.others.as_ref()
    }

    /// Both.
    pub fn into_parts(self) -> (RecordBatch, Vec<Vec<SourceError>>) {
        (self.rows, self.bad)
    }

    /// The same with other rows.
    pub(crate) fn bad_alone(rows: RecordBatch, bad: Vec<Vec<SourceError>>) -> Self {
        Self { rows, bad, others: None }
    }
}

/// Whether the same rows can be read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceIdentity {
    /// A digest: while it is the same, so are the rows and their order. An ingestion that was interrupted goes on after the
    /// part files that it had finished.
    Fixed(String),
    /// A table that changes under the reader. It gives its rows in an order that depends on nothing but the rows. An ingestion
    /// that was interrupted reads them anew and keeps the part files whose rows come again the same.
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

    /// How its columns differ from the wanted ones where that does not refuse it: columns that are left out, another order.
    fn drift(&self) -> SchemaDrift {
        SchemaDrift::default()
    }

    /// About how many rows there are, where that is known, to show progress.
    fn rows_hint(&self) -> Option<u64> {
        None
    }

    /// Where the next incremental reading goes on: decided when it was opened, at most [`POSITION_CHARS_MAX`] characters,
    /// kept with the ingestion and given to the next one when it opens the table.
    fn position(&self) -> Option<String> {
        None
    }

    /// The rows, from the first.
    fn into_batches(self: Box<Self>) -> BatchStream;
}

/// Most characters of a position.
pub const POSITION_CHARS_MAX: usize = 256;

/// The rows of a table that fit. The others are counted and told; too many of them are an error, and so is the first where none
/// may be rejected. When the last batch has come, the rejects file is durable.
pub(crate) struct FittingRows<I> {
    batches: I,
    rejects: Rejects,
    progress: Arc<ReadProgress>,
    stop: Arc<StopSignal>,
    has_ended: bool,
}

impl<I: Iterator<Item = Result<TableBatch, SourceError>>> FittingRows<I> {
    /// Begins with a rejects file anew where one is wanted, and with progress at nothing.
    pub(crate) fn begin(
        table: String,
        limit: RejectLimit,
        rejects: Option<&Path>,
        progress: &Arc<ReadProgress>,
        stop: &Arc<StopSignal>,
        batches: I,
    ) -> Result<Self, SourceError> {
        limit.check()?;
        progress.begin();
        let rejects = Rejects::begin(table, limit, rejects, Arc::clone(progress))?;
        Ok(Self { batches, rejects, progress: Arc::clone(progress), stop: Arc::clone(stop), has_ended: false })
    }

    fn read(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            match self.batches.next() {
                Some(batch) => {
                    let (rows, bad) = batch?.into_parts();
                    self.progress.add_rows((rows.num_rows() + bad.len()) as u64);
                    for errors in bad {
                        self.rejects.take(errors)?;
                    }
                    if rows.num_rows() > 0 {
                        return Ok(Some(rows));
                    }
                }
                // Rows that were cut off by a stop say nothing of the share of bad ones.
                None if self.stop.is_given() => return Ok(None),
                None => {
                    self.rejects.finish()?;
                    return Ok(None);
                }
            }
        }
    }
}

impl<I: Iterator<Item = Result<TableBatch, SourceError>>> Iterator for FittingRows<I> {
    type Item = Result<RecordBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.has_ended {
            return None;
        }
        let read = self.read().transpose();
        self.has_ended = !matches!(read, Some(Ok(_)));
        read
    }
}
