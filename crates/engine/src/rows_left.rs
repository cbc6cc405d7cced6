//! Which rows left the governed tables: what a receipt names.
//!
//! A batch's numbers are kept as they come, in a short form each, and put together when somebody asks: a set of millions of
//! rows that is changed batch by batch costs more than the batches themselves.

mod piece;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

use piece::{Piece, Pieces};

/// How the rows named for an answer relate to the rows the answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsExactness {
    /// Exactly the rows of the answer: a query of filter, projection, sort and limit over one table.
    Exact,
    /// Every row that left a governed table into the plan. A row may be named that did not bear on the answer, never
    /// the reverse.
    Superset,
}

/// The numbers of the rows that left the governed tables of one query, by table name. Clones share one record.
#[derive(Clone, Debug)]
pub struct RowsLeft {
    /// None where nobody reads the record.
    state: Option<Arc<Mutex<BTreeMap<String, TableRows>>>>,
}

#[derive(Debug, Default)]
struct TableRows {
    total: RoaringTreemap,
    untold: RoaringTreemap,
    /// Came since, and is in neither of them yet.
    recorded: Pieces,
    /// The same, of rows that were told when they came.
    told: Pieces,
    /// The greatest number that came.
    most: Option<u64>,
}

impl Default for RowsLeft {
    fn default() -> Self {
        RowsLeft { state: Some(Arc::default()) }
    }
}

impl RowsLeft {
    /// A record that nobody reads: of rows that stay in the engine, and where they are named by another record.
    pub(crate) fn unread() -> RowsLeft {
        RowsLeft { state: None }
    }

    /// Records rows of a table. Called before the batch that holds them is passed on.
    pub(crate) fn record(&self, table: &str, numbers: &[i64]) {
        if self.state.is_none() {
            return;
        }
        if let Some(piece) = Piece::of(numbers) {
            self.of_table(table, |rows| rows.take(piece));
        }
    }

    /// The same of rows that are a set already.
    pub(crate) fn record_set(&self, table: &str, rows: &RoaringTreemap) {
        if !rows.is_empty() {
            self.of_table(table, |of_table| of_table.take(Piece::Set(rows.clone())));
        }
    }

    /// Records rows of a table and tells those of them that were not told before.
    pub(crate) fn tell(&self, table: &str, numbers: &[i64]) -> BTreeMap<String, RoaringTreemap> {
        let mut told = BTreeMap::new();
        if let Some(piece) = Piece::of(numbers) {
            self.of_table(table, |rows| {
                let rows = rows.tell(piece);
                if !rows.is_empty() {
                    told.insert(table.to_owned(), rows);
                }
            });
        }
        told
    }

    /// The rows recorded since the last call and not told when they came, each row once.
    pub fn take_untold(&self) -> BTreeMap<String, RoaringTreemap> {
        let Some(mut state) = self.state() else { return BTreeMap::new() };
        let mut untold = BTreeMap::new();
        for (table, rows) in &mut *state {
            rows.settle();
            if !rows.untold.is_empty() {
                untold.insert(table.clone(), std::mem::take(&mut rows.untold));
            }
        }
        untold
    }

    /// All rows recorded so far.
    pub fn total(&self) -> BTreeMap<String, RoaringTreemap> {
        let Some(mut state) = self.state() else { return BTreeMap::new() };
        let mut total = BTreeMap::new();
        for (table, rows) in &mut *state {
            rows.settle();
            total.insert(table.clone(), rows.total.clone());
        }
        total
    }

    fn state(&self) -> Option<MutexGuard<'_, BTreeMap<String, TableRows>>> {
        Some(self.state.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn of_table(&self, table: &str, take: impl FnOnce(&mut TableRows)) {
        let Some(mut state) = self.state() else { return };
        match state.get_mut(table) {
            Some(rows) => take(rows),
            None => take(state.entry(table.to_owned()).or_default()),
        }
    }
}

impl TableRows {
    fn take(&mut self, piece: Piece) {
        self.most = self.most.max(Some(piece.most()));
        self.recorded.push(piece);
        if self.recorded.are_many() {
            self.settle();
        }
    }

    /// Takes rows and gives those that were not given before. In the order of the table none was, and nothing is to be looked
    /// up.
    fn tell(&mut self, piece: Piece) -> RoaringTreemap {
        if self.most.is_some_and(|most| piece.least() <= most) {
            self.take(piece);
            self.settle();
            return std::mem::take(&mut self.untold);
        }
        self.most = Some(piece.most());
        let rows = piece.rows();
        self.told.push(piece);
        if self.told.are_many() {
            self.settle();
        }
        rows
    }

    /// Puts together what came since.
    fn settle(&mut self) {
        self.total |= self.told.take();
        let fresh = self.recorded.take() - &self.total;
        self.total |= &fresh;
        self.untold |= fresh;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Each row is told once, whatever is asked between, and in the end all of them were.
        #[test]
        fn each_row_is_told_once(
            batches in proptest::collection::vec(
                (0_i64..200_000, proptest::collection::vec(prop_oneof![5 => 1_i64..2, 1 => 1_i64..9], 0..300), any::<bool>()),
                0..60,
            ),
        ) {
            let (left, mut plain, mut told) = (RowsLeft::default(), RoaringTreemap::new(), RoaringTreemap::new());
            for (first, steps, is_asked) in batches {
                let mut numbers = vec![first];
                for step in steps {
                    numbers.push(numbers[numbers.len() - 1] + step);
                }
                left.record("a", &numbers);
                plain.extend(numbers.iter().map(|number| number.unsigned_abs()));
                if is_asked {
                    let rows = left.take_untold().remove("a").unwrap_or_default();
                    prop_assert!(rows.is_disjoint(&told), "a row is told twice");
                    told |= rows;
                    prop_assert_eq!(told.iter().collect::<Vec<_>>(), plain.iter().collect::<Vec<_>>());
                }
            }
            told |= left.take_untold().remove("a").unwrap_or_default();
            prop_assert_eq!(told.iter().collect::<Vec<_>>(), plain.iter().collect::<Vec<_>>());
            let total = left.total().remove("a").unwrap_or_default();
            prop_assert_eq!(total.iter().collect::<Vec<_>>(), plain.iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn what_is_told_when_it_comes_is_not_told_again() {
        let left = RowsLeft::default();
        let listed = |rows: &BTreeMap<String, RoaringTreemap>| rows["a"].iter().collect::<Vec<_>>();
        assert_eq!(listed(&left.tell("a", &[4, 5, 9])), [4, 5, 9]);
        left.record("a", &[5, 6]);
        assert_eq!(listed(&left.take_untold()), [6]);
        assert!(left.take_untold().is_empty() && left.tell("a", &[]).is_empty());
        assert_eq!(listed(&left.tell("a", &[3, 9, 10])), [3, 10]);
        assert!(left.tell("a", &[4, 10]).is_empty(), "each of them was told");
        assert_eq!(listed(&left.tell("a", &[11])), [11]);
        assert_eq!(listed(&left.total()), [3, 4, 5, 6, 9, 10, 11]);
    }

    #[test]
    fn of_many_batches_what_waits_stays_small() {
        let left = RowsLeft::default();
        for batch in 0..20_000_i64 {
            left.record("a", &[batch * 1_000, batch * 1_000 + 2]);
        }
        let waiting = left.state().map(|state| state["a"].recorded.len()).unwrap_or_default();
        assert!(waiting < 5_000, "{waiting}");
        assert_eq!(left.total()["a"].len(), 40_000);
    }

    #[test]
    fn a_record_that_nobody_reads_holds_nothing() {
        let left = RowsLeft::unread();
        left.record("a", &[1, 2, 3]);
        assert!(left.total().is_empty() && left.take_untold().is_empty());
    }
}
