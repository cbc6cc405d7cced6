//! Marks: what makes a governed table the copy of one recipient.
//!
//! They are the last of the four steps: row filter, consent, masks, marks. A marked cell is changed within what the
//! contract allows, and a row that the recipient's copy lacks does not exist for him, whatever he asks and by whatever
//! way: a statement, the row of a key, a claim, a file. What is changed hangs on the original value and the key of the
//! row, or the columns that the mark names, so these are read even where they are not shown, and thrown away below the barrier. Nothing above it ever
//! meets an original value of a marked column: conditions on it stay above, scans skip nothing by it, its statistics are
//! not told. So there is no question by whose answer a marked cell can be told from another.
//!
//! Two things would be such a question, and a table with either is not served: a marked column that is shown masked (its
//! true value rounded, beside its marked value in another mode), and a row condition on a marked column.

mod copy;
mod exec;
mod remembered;

use std::fmt;

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use lingqu_domain::predicate::Predicate;
use lingqu_fingerprint::{FingerprintError, Marker, Marking, PositionSecrets, RecipientCode};

pub(crate) use copy::Copying;
pub(crate) use exec::MarkExec;
pub(crate) use remembered::{DrawnBefore, RememberedMarks};

use crate::governed::GovernError;

/// The marks of one table for one order of one recipient: the declaration and the keys that draw them.
pub struct Marks {
    marking: Marking,
    positions: PositionSecrets,
    recipient: RecipientCode,
    order: RecipientCode,
    decoys: bool,
}

impl Marks {
    /// Marks by a declaration that holds together.
    ///
    /// # Errors
    /// [`FingerprintError::Declaration`].
    pub fn new(
        marking: Marking,
        positions: PositionSecrets,
        recipient: RecipientCode,
        order: RecipientCode,
    ) -> Result<Marks, FingerprintError> {
        marking.check()?;
        Ok(Marks { marking, positions, recipient, order, decoys: false })
    }

    /// The same with decoys, where the table holds some.
    #[must_use]
    pub fn with_decoys(self) -> Marks {
        Marks { decoys: true, ..self }
    }

    /// Whether the recipient's copy has decoys of its own.
    pub fn gives_decoys(&self) -> bool {
        self.decoys
    }

    /// Whether cells of a column may be changed.
    pub fn is_marked(&self, column: &str) -> bool {
        self.marking.marks.iter().any(|mark| mark.columns().contains(&column))
    }

    /// Whether rows are left out: of those that exist, or of the decoys those of others.
    pub fn leaves_out_rows(&self) -> bool {
        self.marking.presence.is_some() || self.decoys
    }

    /// The weight that each row carries so that totals stay right, where rows are left out.
    pub fn sampling_weight(&self) -> Option<f64> {
        self.marking.presence.as_ref().map(lingqu_fingerprint::Presence::weight)
    }

    /// Whether the marks can be laid into a table. `raw` are its columns, `masked` those that are shown at another
    /// precision than exact, `rows` the conditions on its rows.
    pub(crate) fn must_fit<'a>(
        &self,
        table: &str,
        raw: &Schema,
        mut masked: impl Iterator<Item = &'a str>,
        rows: &[Predicate],
    ) -> Result<(), GovernError> {
        if let Some(column) = masked.find(|column| self.is_marked(column)) {
            return Err(GovernError::MarkedNotExact { column: column.to_owned() });
        }
        let mut asked = rows.iter().flat_map(Predicate::columns);
        if let Some(column) = asked.find(|column| self.is_marked(column.as_str())) {
            return Err(GovernError::MarkedInCondition { column: column.to_string() });
        }
        // A batch without rows finds every column that lacks and every type that does not carry.
        let nothing = RecordBatch::new_empty(raw.clone().into());
        let tried = self.marker(&self.marking).and_then(|marker| marker.mark(&nothing));
        tried.map(drop).map_err(|error| GovernError::MarksUnfit { table: table.to_owned(), reason: error.to_string() })
    }

    /// A marker by a part of the marking.
    fn marker<'a>(&'a self, marking: &'a Marking) -> Result<Marker<'a>, FingerprintError> {
        Marker::new(marking, &self.positions, self.recipient.clone(), self.order.clone())
    }
}

impl fmt::Debug for Marks {
    /// What is marked, never a key.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.marking.marks.iter().map(|mark| mark.name.as_str()).collect();
        formatter.debug_struct("Marks").field("marks", &names).finish_non_exhaustive()
    }
}
