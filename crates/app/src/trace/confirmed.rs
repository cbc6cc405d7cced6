//! Which columns of a fragment are surely what an alignment takes them for, so that who had them may be concluded.
//!
//! An alignment takes a column for the original's that its values fit best, and keeps it while nothing speaks against
//! it. A year that is the same in all rows fits whatever rows it is put beside, and anybody can put it there.

use std::collections::BTreeSet;

use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{Alignment, MatchedColumn};

use super::search::SAMPLE_ROWS;

/// Agreement beyond chance from which on other columns confirm which one it is.
const CONFIRMED_MIN: f64 = 0.5;

/// Whether a column agrees in rows that were found without it. Where too few rows were, or strangers would agree as
/// well, nothing confirms it.
pub(super) fn is_confirmed(column: &MatchedColumn) -> bool {
    column.agreement.beyond_chance().is_some_and(|agreement| agreement >= CONFIRMED_MIN)
}

/// The columns of a fragment that do not say the same in all of its rows, by their places. What all rows have in common
/// knows whoever chose them by a condition, and no mark is in it.
pub(super) struct Varying(BTreeSet<usize>);

impl Varying {
    /// Looks at a sample of the rows. A cell without a value says nothing.
    pub(super) fn of(fragment: &Fragment) -> Varying {
        let sample = fragment.rows(&fragment.sample(SAMPLE_ROWS));
        let varies = |place: &usize| {
            let has_blanks = sample.batch.column(*place).null_count() > 0;
            sample.distinct_values(*place) > 1 + usize::from(has_blanks)
        };
        Varying((0..sample.batch.num_columns()).filter(varies).collect())
    }

    /// Those of an alignment's columns that are confirmed: who never had their originals does not have them, unless he can
    /// work them out from what he had.
    pub(super) fn confirmed<'a>(&'a self, alignment: &'a Alignment) -> impl Iterator<Item = &'a MatchedColumn> {
        alignment.columns.iter().filter(|column| self.0.contains(&column.place) && is_confirmed(column))
    }

    /// Whether an alignment leaves some of them unconfirmed.
    pub(super) fn exceed(&self, alignment: &Alignment) -> bool {
        self.confirmed(alignment).count() < self.0.len()
    }
}
