//! What marks in numbers come to in some rows: which of them a mark moves, and whether upwards. Two bits a row, by which a copy
//! is made again without its keys being asked again.

use arrow::buffer::{BooleanBuffer, Buffer};

use crate::prf::Block;

/// Which rows of a batch a mark in numbers moves.
#[derive(Clone)]
pub struct Moves {
    moved: BooleanBuffer,
    up: BooleanBuffer,
    /// The ids of the first and the last row, by which the rows are known again.
    ends: [Block; 2],
}

impl Moves {
    /// Bits that a row takes.
    pub const BITS: usize = 2;

    /// From the ids of the rows, and the cells that are moved and whether upwards.
    pub(crate) fn of(ids: &[Block], cells: &[(usize, bool)]) -> Self {
        let (rows, end) = (ids.len(), |id: Option<&Block>| id.copied().unwrap_or_default());
        let mut moved = vec![0u64; rows.div_ceil(64)];
        let mut up = moved.clone();
        for (row, is_up) in cells {
            moved[row / 64] |= 1 << (row % 64);
            up[row / 64] |= u64::from(*is_up) << (row % 64);
        }
        let bits = |words: Vec<u64>| BooleanBuffer::new(Buffer::from_vec(words), 0, rows);
        Self { moved: bits(moved), up: bits(up), ends: [end(ids.first()), end(ids.last())] }
    }

    /// The cells, in the order of their rows.
    pub(crate) fn cells(&self) -> impl Iterator<Item = (usize, bool)> {
        self.moved.set_indices().map(|row| (row, self.up.value(row)))
    }

    /// Whether they can be of so many rows with these ids of the first and the last.
    pub(crate) fn are_of(&self, rows: usize, ends: &[Block; 2]) -> bool {
        self.rows() == rows && self.ends == *ends
    }

    /// Of how many rows.
    pub fn rows(&self) -> usize {
        self.moved.len()
    }
}

impl std::fmt::Debug for Moves {
    /// Of how many rows, never which are moved.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Moves").field("rows", &self.rows()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back() {
        let cells = [(0, true), (1, false), (63, true), (64, true), (199, false)];
        let ids: Vec<Block> = (0..200u128).map(|row| row.to_le_bytes().into()).collect();
        let moves = Moves::of(&ids, &cells);
        assert_eq!((moves.cells().collect::<Vec<_>>(), moves.rows()), (cells.to_vec(), 200));
        assert_eq!(Moves::of(&[], &[]).cells().count(), 0);
        assert!(moves.are_of(200, &[ids[0], ids[199]]));
        assert!(!moves.are_of(199, &[ids[0], ids[199]]) && !moves.are_of(200, &[ids[0], ids[198]]));
        assert!(!format!("{moves:?}").contains("63"));
    }
}
