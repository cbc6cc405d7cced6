//! Which rows decoys are made of.
//!
//! Every row lies at a secret place on a circle, by its key alone; a decoy takes what it needs from the first row at or after a
//! place that was drawn for it. So a decoy changes from snapshot to snapshot only where that row went, or one came before it.

use std::collections::BTreeMap;

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use lingqu_fingerprint::{FingerprintError, Originals};

use super::assembly;

/// Places on the circle, in their order, each with the nearest row that was met so far.
pub(super) struct Circle {
    /// The place, and which of the draws it is.
    places: Vec<(u64, usize)>,
    nearest: Vec<Option<(u64, u64)>>,
}

impl Circle {
    pub(super) fn new(drawn: &[u64]) -> Circle {
        let mut places: Vec<(u64, usize)> = drawn.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let nearest = vec![None; places.len()];
        Circle { places, nearest }
    }

    /// Meets a row that lies at a place.
    pub(super) fn meet(&mut self, at: u64, row: u64) {
        if self.places.is_empty() {
            return;
        }
        let after = self.places.partition_point(|(place, _)| *place <= at);
        let before = if after == 0 { self.places.len() - 1 } else { after - 1 };
        let distance = at.wrapping_sub(self.places[before].0);
        let nearest = &mut self.nearest[before];
        if nearest.is_none_or(|(least, _)| distance < least) {
            *nearest = Some((distance, row));
        }
    }

    /// The rows of the draws, in the order in which they were given; none where no row was met.
    pub(super) fn rows(self) -> Option<Vec<u64>> {
        let count = self.places.len();
        let mut rows = vec![0; count];
        // A place that no row follows before the next place has the next place's row: twice round, and each has its own.
        let mut following = None;
        for turn in (0..2 * count).rev() {
            let place = turn % count;
            if let Some((_, row)) = self.nearest[place] {
                following = Some(row);
            }
            if turn < count {
                rows[self.places[place].1] = following?;
            }
        }
        Some(rows)
    }
}

/// Rows of a table by their numbers.
pub(super) struct Donors {
    pub(super) rows: RecordBatch,
    places: BTreeMap<u64, usize>,
}

impl Donors {
    /// Reads them out of the table.
    pub(super) fn read(
        originals: &dyn Originals,
        schema: &SchemaRef,
        wanted: &[u64],
    ) -> Result<Donors, FingerprintError> {
        let mut places: BTreeMap<u64, usize> = wanted.iter().map(|row| (*row, 0)).collect();
        let (mut pieces, mut from, mut count) = (Vec::new(), 0_u64, 0_usize);
        originals.visit(&mut |batch: &RecordBatch| {
            let to = from + batch.num_rows() as u64;
            let mut rows = Vec::new();
            for (row, place) in places.range_mut(from..to) {
                rows.push(row - from);
                *place = count;
                count += 1;
            }
            if !rows.is_empty() {
                pieces.push(take_record_batch(batch, &UInt64Array::from(rows)).map_err(|_| assembly())?);
            }
            from = to;
            Ok(())
        })?;
        let first = pieces.first().map_or_else(|| SchemaRef::clone(schema), RecordBatch::schema);
        let rows = concat_batches(&first, &pieces).map_err(|_| assembly())?;
        Ok(Donors { rows, places })
    }

    /// Where a row stands among them.
    pub(super) fn place(&self, row: u64) -> usize {
        self.places.get(&row).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rows_of(drawn: &[u64], rows: &[u64]) -> Option<Vec<u64>> {
        let mut circle = Circle::new(drawn);
        for (number, at) in rows.iter().enumerate() {
            circle.meet(*at, number as u64);
        }
        circle.rows()
    }

    proptest! {
        /// The definition: of all rows the one whose place is nearest after the draw, round the circle.
        #[test]
        fn each_draw_has_the_next_row(
            drawn in proptest::collection::vec(any::<u64>(), 0..20),
            rows in proptest::collection::hash_set(any::<u64>(), 1..40),
        ) {
            let rows: Vec<u64> = rows.into_iter().collect();
            let expected: Vec<u64> = drawn
                .iter()
                .map(|place| (0..rows.len() as u64).min_by_key(|row| rows[*row as usize].wrapping_sub(*place)).unwrap())
                .collect();
            prop_assert_eq!(rows_of(&drawn, &rows), Some(expected));
        }

        /// A row that comes or goes changes only the draws that fall to it.
        #[test]
        fn a_row_that_goes_moves_nobody_else(
            drawn in proptest::collection::vec(any::<u64>(), 1..20),
            rows in proptest::collection::hash_set(any::<u64>(), 2..40),
        ) {
            let rows: Vec<u64> = rows.into_iter().collect();
            let before = rows_of(&drawn, &rows).unwrap();
            let gone = rows.len() as u64 - 1;
            let after = rows_of(&drawn, &rows[..rows.len() - 1]).unwrap();
            for (before, after) in before.iter().zip(&after) {
                prop_assert!(before == after || *before == gone);
            }
        }
    }

    #[test]
    fn without_rows_there_is_no_donor() {
        assert_eq!(rows_of(&[1, 2], &[]), None);
        assert_eq!(rows_of(&[], &[]), Some(Vec::new()));
    }
}
