//! The right edge of a tree of hashes: what is needed to grow its tiles, without the entries.

use crate::merkle::{TreeHasher, check_sizes};
use crate::tiles::{level_count, read_hashes, width_at};
use crate::{Hash, TILE_WIDTH, TilePath, TileRead, TransparencyError};

/// The hashes of the unfinished tile of each level, fewer than 256 a level.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HashEdge {
    hasher: TreeHasher,
    size: u64,
    levels: Vec<Vec<Hash>>,
}

impl Default for HashEdge {
    fn default() -> HashEdge {
        HashEdge::empty(TreeHasher::SHA256)
    }
}

impl HashEdge {
    /// The tree without leaves.
    pub(crate) fn empty(hasher: TreeHasher) -> HashEdge {
        HashEdge { hasher, size: 0, levels: Vec::new() }
    }

    /// Rebuilds the edge of a stored tree of `size` leaves from its unfinished tiles, which are checked for their form only.
    pub(crate) fn load(hasher: TreeHasher, read: TileRead<'_>, size: u64) -> Result<HashEdge, TransparencyError> {
        HashEdge::load_within(hasher, read, size, size)
    }

    /// The same from the tiles of a tree that is larger by now: a log need not serve the unfinished tiles of a size that no checkpoint
    /// was of (tlog-tiles, "Partial Tiles").
    pub(crate) fn load_within(
        hasher: TreeHasher,
        read: TileRead<'_>,
        size: u64,
        tree_size: u64,
    ) -> Result<HashEdge, TransparencyError> {
        check_sizes(size, tree_size)?;
        let mut edge = HashEdge { hasher, size, levels: Vec::new() };
        let mut level = 0;
        while level_count(size, level) > 0 {
            let count = level_count(size, level);
            let tile = count / TILE_WIDTH;
            let hashes = match width_at(count, tile) {
                0 => Vec::new(),
                width => {
                    let path = TilePath::hashes(level, tile, width_at(level_count(tree_size, level), tile));
                    let mut hashes = read_hashes(read, path)?;
                    hashes.truncate(usize::from(width));
                    hashes
                }
            };
            edge.levels.push(hashes);
            level += 1;
        }
        Ok(edge)
    }

    pub(crate) fn hasher(&self) -> TreeHasher {
        self.hasher
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// The leaf hashes of the unfinished tile.
    pub(crate) fn last_leaves(&self) -> &[Hash] {
        self.levels.first().map_or(&[], Vec::as_slice)
    }

    /// The path of the unfinished tile of leaf hashes.
    pub(crate) fn last_path(&self) -> String {
        let width = self.last_leaves().len() as u16;
        TilePath::hashes(0, self.size / TILE_WIDTH, width).to_string()
    }

    /// The root over all leaves.
    pub(crate) fn root(&self) -> Hash {
        // From the lowest level up, each complete subtree to the left joins what has been gathered to its right.
        let mut right: Option<Hash> = None;
        for hashes in &self.levels {
            let mut end = hashes.len();
            while end > 0 {
                let count = 1 << end.trailing_zeros();
                let left = self.hasher.root(&hashes[end - count..end]);
                right = Some(match right {
                    Some(right) => self.hasher.node_hash(&left, &right),
                    None => left,
                });
                end -= count;
            }
        }
        right.unwrap_or_else(|| self.hasher.empty_root())
    }

    /// Takes the next leaf; tiles that it fills up go to `files`.
    pub(crate) fn push(&mut self, leaf: Hash, files: &mut Vec<(String, Vec<u8>)>) {
        self.size += 1;
        let mut level = 0;
        let mut hash = leaf;
        loop {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let hashes = &mut self.levels[level];
            hashes.push(hash);
            if (hashes.len() as u64) < TILE_WIDTH {
                return;
            }
            // The tile is full: it is written, and its root becomes a hash of the level above.
            let tile = level_count(self.size, level as u8) / TILE_WIDTH - 1;
            let path = TilePath::hashes(level as u8, tile, TILE_WIDTH as u16);
            files.push((path.to_string(), hashes.concat()));
            hash = self.hasher.root(hashes);
            hashes.clear();
            level += 1;
        }
    }

    /// The unfinished tiles that are new since the tree had `old_size` leaves.
    pub(crate) fn partial_files(&self, old_size: u64, files: &mut Vec<(String, Vec<u8>)>) {
        for (level, hashes) in self.levels.iter().enumerate() {
            let level = level as u8;
            let count = level_count(self.size, level);
            if hashes.is_empty() || count == level_count(old_size, level) {
                continue;
            }
            let path = TilePath::hashes(level, count / TILE_WIDTH, hashes.len() as u16);
            files.push((path.to_string(), hashes.concat()));
        }
    }
}
