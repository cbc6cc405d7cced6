//! Some columns of a table turned into the recipient's.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use lingqu_fingerprint::{FingerprintError, Marker, Marking};

use super::Marks;
use crate::DECOY_COLUMN;

/// What is put before the name of a raw column that is read for the marks alone. No column of a consumer begins like this.
const READ_PREFIX: &str = "__mark:";

/// How some columns are turned into the recipient's. A batch holds the columns that are shown, at their precision and
/// under their names, then those of [`Copying::read`] as they are in the raw table.
#[derive(Debug)]
pub(crate) struct Copying {
    marks: Arc<Marks>,
    /// The marks that bear on the shown columns, with the names that a batch has.
    marking: Marking,
    read: Vec<String>,
    /// The name that a batch has for the column that numbers decoys, where the table holds some.
    decoys: Option<String>,
}

impl Copying {
    /// For columns that are shown, of a table that holds decoys or none. None: they are the same for everybody.
    pub(crate) fn of(marks: &Arc<Marks>, shown: &[&str], holds_decoys: bool) -> Option<Copying> {
        let mut marking = marks.marking.clone();
        marking.marks.retain(|mark| mark.columns().iter().any(|column| shown.contains(column)));
        if marking.marks.is_empty() && marking.presence.is_none() && !holds_decoys {
            return None;
        }
        let mut read: Vec<String> = Vec::new();
        let mut renamed = |column: &mut String| {
            if !read.contains(column) {
                read.push(column.clone());
            }
            *column = Copying::read_name(column);
        };
        // The key may be shown masked, so it is always read as it is, and so is what marks hang on instead.
        marking.key.iter_mut().for_each(&mut renamed);
        for mark in &mut marking.marks {
            mark.by.iter_mut().for_each(&mut renamed);
            for column in mark.columns_mut() {
                if !shown.contains(&column.as_str()) {
                    renamed(column);
                }
            }
        }
        let decoys = holds_decoys.then(|| {
            read.push(DECOY_COLUMN.to_owned());
            Copying::read_name(DECOY_COLUMN)
        });
        Some(Copying { marks: Arc::clone(marks), marking, read, decoys })
    }

    /// The raw columns that are read besides those that are shown.
    pub(crate) fn read(&self) -> &[String] {
        &self.read
    }

    /// The names of the marks that bear on the shown columns, in their order.
    pub(crate) fn marks(&self) -> impl Iterator<Item = &str> {
        self.marking.marks.iter().map(|mark| mark.name.as_str())
    }

    /// The name of such a column in a batch.
    pub(crate) fn read_name(column: &str) -> String {
        format!("{READ_PREFIX}{column}")
    }

    pub(crate) fn marker(&self) -> Result<Marker<'_>, FingerprintError> {
        let marker = self.marks.marker(&self.marking)?;
        Ok(match &self.decoys {
            Some(column) => marker.with_decoys(column),
            None => marker,
        })
    }

    /// The recipient's copy of one row, as the first `shown` columns of it; none where his copy lacks the row.
    pub(crate) fn of_row(&self, row: &RecordBatch, shown: usize) -> Result<Option<Vec<ArrayRef>>, FingerprintError> {
        let copied = self.marker()?.mark(row)?;
        Ok((copied.num_rows() > 0).then(|| copied.columns()[..shown].to_vec()))
    }
}
