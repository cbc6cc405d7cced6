//! What is remembered of the rows of a table by their numbers, a block of rows at a time.
//!
//! A governed table has one version of the data and one grant, so some things never change for a row of it: whether it has
//! everybody's consent, which of its cells are marked. Scans that found such a thing out for a block leave it here. What is
//! remembered lives as long as the table, and all tables together have so much room.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use arrow::array::{Array, Int64Array};

use crate::BATCH_ROWS;

/// Rows of a block: those of a batch, so that a scan in the order of the table brings one at a time.
pub(crate) const BLOCK_ROWS: usize = BATCH_ROWS;
/// Most bytes that all tables together remember. What there is no room for is found out each time.
const BYTES_MAX: usize = 128 << 20;
/// What a block takes besides its bits: the place in the list and the memory's own bookkeeping.
const BLOCK_BYTES: usize = 128;

/// Bytes that all tables remember.
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// Something of each block of a table's rows, as far as it is known.
pub(crate) struct Blocks<T> {
    rows: usize,
    blocks: Vec<OnceLock<T>>,
    missing: AtomicUsize,
    bytes: usize,
}

impl<T> Blocks<T> {
    /// Room for so many rows, numbered from 0, of each of which so many bits are remembered; none where all room is taken.
    pub(crate) fn of_rows(rows: usize, bits: usize) -> Option<Blocks<T>> {
        let count = rows.div_ceil(BLOCK_ROWS);
        let bytes = (rows / 8).checked_mul(bits)?.checked_add(count.checked_mul(BLOCK_BYTES)?)?;
        let room = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= BYTES_MAX);
        BYTES.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).ok()?;
        let blocks = (0..count).map(|_| OnceLock::new()).collect();
        Some(Blocks { rows, blocks, missing: AtomicUsize::new(count), bytes })
    }

    /// Whether every block is known.
    pub(crate) fn are_whole(&self) -> bool {
        self.missing.load(Ordering::Acquire) == 0
    }

    /// The block that rows are, all of it and nothing else.
    pub(crate) fn block_of(&self, numbers: &Int64Array) -> Option<usize> {
        let first = run_from(numbers)?;
        let is_block = first % BLOCK_ROWS == 0 && first < self.rows;
        (is_block && numbers.len() == BLOCK_ROWS.min(self.rows - first)).then_some(first / BLOCK_ROWS)
    }

    /// What is known of a block.
    pub(crate) fn get(&self, block: usize) -> Option<&T> {
        self.blocks.get(block).and_then(OnceLock::get)
    }

    /// Remembers it; what was found first stays.
    pub(crate) fn set(&self, block: usize, found: T) {
        if self.blocks.get(block).is_some_and(|block| block.set(found).is_ok()) {
            self.missing.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

impl<T> Drop for Blocks<T> {
    fn drop(&mut self) {
        BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl<T> fmt::Debug for Blocks<T> {
    /// Of how many rows, never what.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Blocks").field("rows", &self.rows).finish_non_exhaustive()
    }
}

/// The first of numbers that follow each other one by one; none of others.
pub(crate) fn run_from(numbers: &Int64Array) -> Option<usize> {
    let first = *numbers.values().first()?;
    if numbers.null_count() > 0 {
        return None;
    }
    // All of them are looked at, whatever the first ones say, so that several are at a time.
    let mut off = 0;
    for (place, number) in (0_i64..).zip(numbers.values().iter()) {
        off |= number ^ first.wrapping_add(place);
    }
    if off == 0 { usize::try_from(first).ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_of_all_tables_has_an_end() {
        assert!(Blocks::<()>::of_rows(BYTES_MAX * 8, 1).is_none() && Blocks::<()>::of_rows(usize::MAX, 1).is_none());
        assert!(Blocks::<()>::of_rows(BYTES_MAX, 8).is_none());
    }

    #[test]
    fn a_block_is_all_of_its_rows_and_nothing_else() {
        let rows = 2 * BLOCK_ROWS + 10;
        let blocks = Blocks::<()>::of_rows(rows, 1).expect("room");
        let block = |from: usize, count: usize| {
            let numbers = (from..from + count).map(|number| i64::try_from(number).expect("few"));
            blocks.block_of(&Int64Array::from_iter_values(numbers))
        };
        assert_eq!([block(0, BLOCK_ROWS), block(BLOCK_ROWS, BLOCK_ROWS)], [Some(0), Some(1)]);
        assert_eq!(block(2 * BLOCK_ROWS, 10), Some(2));
        for (from, count) in
            [(0, 0), (0, 100), (1, BLOCK_ROWS), (0, BLOCK_ROWS + 1), (2 * BLOCK_ROWS, 9), (3 * BLOCK_ROWS, 10)]
        {
            assert_eq!(block(from, count), None, "{count} rows from {from} on");
        }
        let count = i64::try_from(BLOCK_ROWS).expect("few");
        let holes = Int64Array::from_iter_values((0..count).map(|row| row + i64::from(row > 5)));
        let missing = Int64Array::from_iter((0..count).map(|row| (row != 5).then_some(row)));
        let turned = Int64Array::from_iter_values((0..count).rev());
        for numbers in [holes, missing, turned] {
            assert_eq!(blocks.block_of(&numbers), None);
        }
        assert!(!blocks.are_whole() && Blocks::<()>::of_rows(0, 1).expect("room").are_whole());
    }
}
