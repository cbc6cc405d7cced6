//! Marks that were drawn, remembered by row number.
//!
//! Which cells of a row are marked, and which way, never changes for one version of the data and one recipient. Where all marks
//! of a statement are in numbers a copy is told by two bits for each row and mark; a whole block of rows that was marked before is
//! marked again by these, and no cipher is asked. What is remembered tells no more than the keys of the marks, which are in
//! memory beside it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use lingqu_fingerprint::{FingerprintError, Marker, Moves};

use crate::blocks::Blocks;

/// What is remembered of a governed table's marks, by their names.
#[derive(Debug, Default)]
pub(crate) struct RememberedMarks {
    marks: Mutex<BTreeMap<String, Option<Arc<Blocks<Moves>>>>>,
}

impl RememberedMarks {
    /// What is remembered of some marks, of a table of so many rows; none where there is no room for one of them.
    pub(crate) fn of<'a>(&self, names: impl Iterator<Item = &'a str>, rows: usize) -> Option<DrawnBefore> {
        let mut marks = self.marks.lock().unwrap_or_else(PoisonError::into_inner);
        let room = || Blocks::of_rows(rows, Moves::BITS).map(Arc::new);
        let blocks = names.map(|name| marks.entry(name.to_owned()).or_insert_with(room).clone());
        Some(DrawnBefore { marks: blocks.collect::<Option<_>>()? })
    }
}

/// The same of the marks of one statement, in their order.
#[derive(Clone, Debug)]
pub(crate) struct DrawnBefore {
    marks: Vec<Arc<Blocks<Moves>>>,
}

impl DrawnBefore {
    /// The recipient's copy of a batch, whose last column has the rows' numbers.
    pub(super) fn marked(&self, marker: &Marker<'_>, batch: &RecordBatch) -> Result<RecordBatch, FingerprintError> {
        let numbers = batch.columns().last().and_then(|numbers| numbers.as_primitive_opt::<Int64Type>());
        let block = match (self.marks.first(), numbers) {
            (Some(first), Some(numbers)) if marker.is_told_by_moves() => first.block_of(numbers),
            _ => None,
        };
        let Some(block) = block else { return marker.mark(batch) };
        let known: Option<Vec<Moves>> = self.marks.iter().map(|mark| mark.get(block).cloned()).collect();
        // Moves are known to be of these rows by their keys as well; of others they would not be laid into them.
        if let Some(moves) = known
            && let Some(copy) = marker.mark_by(batch, &moves)?
        {
            return Ok(copy);
        }
        let (copy, moves) = marker.mark_and_tell(batch)?;
        for (mark, moves) in self.marks.iter().zip(moves) {
            mark.set(block, moves);
        }
        Ok(copy)
    }
}
