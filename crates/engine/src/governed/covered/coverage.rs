//! Which rows of a table have everybody's consent, remembered by row number.
//!
//! Scans that decide on rows by their subjects leave here what they found; once they have seen every row, the columns of subjects
//! need not be read, decoded and looked up again.

use std::sync::Arc;

use arrow::array::{Array, Int64Array};
use arrow::buffer::BooleanBuffer;

use crate::blocks::{BLOCK_ROWS, Blocks, run_from};

/// Whether each row of a table exists by consent, as far as it is known.
#[derive(Debug)]
pub(crate) struct Coverage {
    blocks: Blocks<BooleanBuffer>,
}

impl Coverage {
    /// Room for so many rows, numbered from 0; none where all room is taken.
    pub(crate) fn of_rows(rows: usize) -> Option<Arc<Coverage>> {
        Some(Arc::new(Coverage { blocks: Blocks::of_rows(rows, 1)? }))
    }

    /// Whether every row is known.
    pub(super) fn is_whole(&self) -> bool {
        self.blocks.are_whole()
    }

    /// Remembers which rows of a batch exist, where the batch is one block.
    pub(super) fn learn(&self, numbers: &Int64Array, existing: &BooleanBuffer) {
        if existing.len() == numbers.len()
            && let Some(block) = self.blocks.block_of(numbers)
        {
            self.blocks.set(block, existing.clone());
        }
    }

    /// Which of some rows exist. A row that is not known does not, nor does one without a number.
    pub(super) fn existing(&self, numbers: &Int64Array) -> BooleanBuffer {
        if let Some(first) = run_from(numbers)
            && let Some(block) = self.blocks.get(first / BLOCK_ROWS)
            && first % BLOCK_ROWS + numbers.len() <= block.len()
        {
            return block.slice(first % BLOCK_ROWS, numbers.len());
        }
        BooleanBuffer::collect_bool(numbers.len(), |row| numbers.is_valid(row) && self.exists(numbers.value(row)))
    }

    fn exists(&self, number: i64) -> bool {
        let Ok(number) = usize::try_from(number) else { return false };
        let block = self.blocks.get(number / BLOCK_ROWS);
        block.is_some_and(|block| number % BLOCK_ROWS < block.len() && block.value(number % BLOCK_ROWS))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers(from: usize, count: usize) -> Int64Array {
        Int64Array::from_iter_values((from..from + count).map(|number| i64::try_from(number).expect("few")))
    }

    /// Bits by chance that the seed tells.
    fn chosen(row: usize, seed: usize) -> bool {
        (row ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 3 != 0
    }

    fn bits(from: usize, count: usize, seed: usize) -> BooleanBuffer {
        BooleanBuffer::collect_bool(count, |row| chosen(from + row, seed))
    }

    #[test]
    fn it_is_whole_when_every_block_was_seen() {
        let rows = 2 * BLOCK_ROWS + 10;
        let coverage = Coverage::of_rows(rows).expect("room");
        // Parts of a block, what goes over one, and what lies beyond the table are not remembered.
        for (from, count) in [(0, 100), (1, BLOCK_ROWS), (2 * BLOCK_ROWS, 9), (3 * BLOCK_ROWS, 10)] {
            coverage.learn(&numbers(from, count), &bits(from, count, 1));
            assert!(!coverage.existing(&numbers(from, count)).has_true(), "what is not known does not exist");
        }
        // Nor is a batch that misses a row.
        let holes = Int64Array::from_iter_values((0..BLOCK_ROWS as i64).map(|row| row + i64::from(row > 5)));
        coverage.learn(&holes, &bits(0, BLOCK_ROWS, 1));
        for (from, count) in [(BLOCK_ROWS, BLOCK_ROWS), (2 * BLOCK_ROWS, 10), (0, BLOCK_ROWS)] {
            assert!(!coverage.is_whole());
            coverage.learn(&numbers(from, count), &bits(from, count, 1));
            // What was found first stays.
            coverage.learn(&numbers(from, count), &bits(from, count, 2));
        }
        assert!(coverage.is_whole());
        assert_eq!(coverage.existing(&numbers(0, rows)), bits(0, rows, 1));
        let beyond = Int64Array::from(vec![Some(-1), None, Some(i64::MAX), Some(i64::try_from(rows).expect("few"))]);
        assert!(!coverage.existing(&beyond).has_true());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Whatever batches come, of each row is told what was learnt of it.
        #[test]
        fn each_row_is_told_as_it_was_learnt(
            seed: usize,
            asked in proptest::collection::vec((0_usize..3 * BLOCK_ROWS, 1_usize..300, 1_usize..4), 1..20),
        ) {
            let rows = 2 * BLOCK_ROWS + 4_000;
            let coverage = Coverage::of_rows(rows).expect("room");
            for from in [0, BLOCK_ROWS, 2 * BLOCK_ROWS] {
                let count = BLOCK_ROWS.min(rows - from);
                coverage.learn(&numbers(from, count), &bits(from, count, seed));
            }
            for (from, count, step) in asked {
                let asked: Vec<usize> = (from..).step_by(step).take(count).collect();
                let numbers = Int64Array::from_iter_values(asked.iter().map(|row| i64::try_from(*row).expect("few")));
                let expected: Vec<bool> = asked.iter().map(|row| *row < rows && chosen(*row, seed)).collect();
                prop_assert_eq!(coverage.existing(&numbers).iter().collect::<Vec<_>>(), expected);
            }
        }
    }
}
