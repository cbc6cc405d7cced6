//! Reading a log that is stored as tiles (tlog-tiles): roots, proofs and entries for any size it ever had.

use std::collections::BTreeMap;

use crate::error::malformed;
use crate::merkle::{
    LeafRange, TreeHasher, check_index, check_sizes, consistency_ranges, inclusion_ranges, split_point,
};
use crate::{Hash, TILE_WIDTH, TilePath, TransparencyError};

/// The largest entry in bytes: its length stands in 16 bits (tlog-tiles, "Log Entries").
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// How many tiles a [`TiledTree`] holds, 8 KiB each: more than any one proof needs.
pub const TILES_HELD_MAX: usize = 64;

/// Most bundles among what [`outgrown_tiles`] gives.
pub const OUTGROWN_BUNDLES_MAX: u64 = 64;

/// Reads the file at a path below the log's prefix, `None` when it is not there.
///
/// A reader that fails for another reason keeps its error for itself and answers `None`.
pub type TileRead<'a> = &'a dyn Fn(&str) -> Option<Vec<u8>>;

/// Writes entries as a bundle: each behind its length in two bytes, big-endian (tlog-tiles, "Log Entries").
///
/// # Errors
/// [`TransparencyError::TooLarge`] for an entry above [`ENTRY_BYTES_MAX`] or more than 256 entries.
pub fn encode_bundle(entries: &[Vec<u8>]) -> Result<Vec<u8>, TransparencyError> {
    if entries.len() as u64 > TILE_WIDTH {
        return Err(TransparencyError::TooLarge { what: "the number of entries of a bundle", limit: TILE_WIDTH });
    }
    let mut bundle = Vec::new();
    for entry in entries {
        push_entry(&mut bundle, entry)?;
    }
    Ok(bundle)
}

/// Reads a bundle of exactly `count` entries.
///
/// # Errors
/// [`TransparencyError::Malformed`] when an entry is cut off or bytes are left over.
pub fn decode_bundle(bundle: &[u8], count: u16) -> Result<Vec<Vec<u8>>, TransparencyError> {
    let what = "an entry bundle";
    let mut entries = Vec::new();
    let mut rest = bundle;
    for number in 0..count {
        let cut_off = || malformed(what, format!("entry {number} is cut off"));
        let (length, tail) = rest.split_first_chunk::<2>().ok_or_else(cut_off)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let (entry, tail) = tail.split_at_checked(length).ok_or_else(cut_off)?;
        entries.push(entry.to_vec());
        rest = tail;
    }
    if rest.is_empty() {
        Ok(entries)
    } else {
        Err(malformed(what, format!("{} bytes follow its {count} entries", rest.len())))
    }
}

pub(crate) fn push_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TransparencyError> {
    let length = u16::try_from(entry.len()).map_err(|_| TransparencyError::TooLarge {
        what: "the length of a log entry in bytes",
        limit: ENTRY_BYTES_MAX as u64,
    })?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// The root of the tree of `size` entries, over SHA-256; see [`TiledTree::root`].
///
/// # Errors
/// Those named there.
pub fn root_from_tiles(read: TileRead<'_>, size: u64) -> Result<Hash, TransparencyError> {
    TiledTree::new(TreeHasher::SHA256, read, size).root()
}

/// The inclusion path of the entry at `index` in the tree of `size` entries, over SHA-256; see
/// [`TiledTree::inclusion_proof`].
///
/// # Errors
/// Those named there.
pub fn inclusion_proof_from_tiles(read: TileRead<'_>, index: u64, size: u64) -> Result<Vec<Hash>, TransparencyError> {
    TiledTree::new(TreeHasher::SHA256, read, size).inclusion_proof(index)
}

/// The consistency proof between two sizes of the tree, over SHA-256; see [`TiledTree::consistency_proof`].
///
/// # Errors
/// Those named there.
pub fn consistency_proof_from_tiles(
    read: TileRead<'_>,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Hash>, TransparencyError> {
    TiledTree::new(TreeHasher::SHA256, read, new_size).consistency_proof(old_size)
}

/// The entry at `index` of a log of `size` entries, checked against the leaf hash in the tree over SHA-256; see
/// [`TiledTree::entry`].
///
/// # Errors
/// Those named there.
pub fn entry_from_tiles(read: TileRead<'_>, index: u64, size: u64) -> Result<Vec<u8>, TransparencyError> {
    TiledTree::new(TreeHasher::SHA256, read, size).entry(index)
}

/// How many elements the tile of this index has in a level of `count` elements; 0 when it does not exist.
pub(crate) fn width_at(count: u64, tile: u64) -> u16 {
    let before = tile.saturating_mul(TILE_WIDTH);
    count.saturating_sub(before).min(TILE_WIDTH) as u16
}

/// How many hashes a tile level has in a tree of `size` entries.
pub(crate) fn level_count(size: u64, level: u8) -> u64 {
    size.checked_shr(8 * u32::from(level)).unwrap_or(0)
}

/// The full tiles, with the bundles, that were unfinished at a size from `old` on and are full at the size that is given with them: it
/// is `new`, or where that is more than [`OUTGROWN_BUNDLES_MAX`] bundles further one on the way to it, from which the others
/// follow. What was served of their beginnings may be dropped once a checkpoint of that size is published (tlog-tiles,
/// "Partial Tiles").
pub fn outgrown_tiles(old: u64, new: u64) -> (Vec<TilePath>, u64) {
    let until = new.min((old / TILE_WIDTH).saturating_add(OUTGROWN_BUNDLES_MAX).saturating_mul(TILE_WIDTH));
    let mut outgrown = Vec::new();
    let highest = (0..).take_while(|level| level_count(until, *level) >= TILE_WIDTH).count() as u8;
    for level in 0..highest {
        for index in level_count(old, level) / TILE_WIDTH..level_count(until, level) / TILE_WIDTH {
            outgrown.push(TilePath::hashes(level, index, TILE_WIDTH as u16));
            if level == 0 {
                outgrown.push(TilePath::entries(index, TILE_WIDTH as u16));
            }
        }
    }
    (outgrown, until)
}

/// Reads a tile, or the full tile it is a beginning of: a log may drop partial tiles once the full one exists.
pub(crate) fn read_tile(read: TileRead<'_>, path: TilePath) -> Result<(TilePath, Vec<u8>), TransparencyError> {
    if let Some(bytes) = read(&path.to_string()) {
        return Ok((path, bytes));
    }
    let full = path.to_full();
    match read(&full.to_string()) {
        Some(bytes) => Ok((full, bytes)),
        None => Err(TransparencyError::TileMissing { path: path.to_string() }),
    }
}

/// Reads the hashes of a tile, as many as `path` says.
pub(crate) fn read_hashes(read: TileRead<'_>, path: TilePath) -> Result<Vec<Hash>, TransparencyError> {
    let (found, bytes) = read_tile(read, path)?;
    let (hashes, rest) = bytes.as_chunks::<32>();
    if hashes.len() != usize::from(found.width) || !rest.is_empty() {
        return Err(TransparencyError::TileDamaged {
            path: found.to_string(),
            problem: format!("it has {} bytes instead of {}", bytes.len(), usize::from(found.width) * 32),
        });
    }
    Ok(hashes[..usize::from(path.width)].to_vec())
}

/// The tree of one size, read tile by tile.
///
/// A proof touches few tiles: of each level the one that the path goes through and the last one, 8 KiB each, however long
/// the log is. They are held for the next question, [`TILES_HELD_MAX`] at most.
pub struct TiledTree<'a> {
    hasher: TreeHasher,
    read: TileRead<'a>,
    size: u64,
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<'a> TiledTree<'a> {
    /// The tree of `size` entries whose tiles `read` gives.
    pub fn new(hasher: TreeHasher, read: TileRead<'a>, size: u64) -> TiledTree<'a> {
        TiledTree { hasher, read, size, tiles: BTreeMap::new() }
    }

    /// The root of the tree.
    ///
    /// # Errors
    /// [`TransparencyError::TileMissing`] or [`TransparencyError::TileDamaged`] with the file's path.
    pub fn root(&mut self) -> Result<Hash, TransparencyError> {
        match self.size {
            0 => Ok(self.hasher.empty_root()),
            size => self.range_hash(LeafRange { start: 0, end: size }),
        }
    }

    /// The inclusion path of the entry at `index` (RFC 6962 section 2.1.1).
    ///
    /// # Errors
    /// As [`TiledTree::root`], and [`TransparencyError::OutOfRange`] when `index` is not below the size.
    pub fn inclusion_proof(&mut self, index: u64) -> Result<Vec<Hash>, TransparencyError> {
        inclusion_ranges(index, self.size)?.into_iter().map(|range| self.range_hash(range)).collect()
    }

    /// The proof that this tree continues the one of its first `old_size` entries (RFC 6962 section 2.1.2).
    ///
    /// # Errors
    /// As [`TiledTree::root`], and [`TransparencyError::OutOfRange`] when `old_size` is above the size.
    pub fn consistency_proof(&mut self, old_size: u64) -> Result<Vec<Hash>, TransparencyError> {
        consistency_ranges(old_size, self.size)?.into_iter().map(|range| self.range_hash(range)).collect()
    }

    /// The root that the tree had at an earlier size.
    ///
    /// # Errors
    /// As [`TiledTree::root`], and [`TransparencyError::OutOfRange`] when `old_size` is above the size.
    pub fn root_at(&mut self, old_size: u64) -> Result<Hash, TransparencyError> {
        check_sizes(old_size, self.size)?;
        match old_size {
            0 => Ok(self.hasher.empty_root()),
            end => self.range_hash(LeafRange { start: 0, end }),
        }
    }

    /// The root that the tree had at an earlier size, with the hashes that prove this tree, whose root is `root`, to continue it:
    /// tiles that lead elsewhere are found out.
    ///
    /// # Errors
    /// As [`TiledTree::root_at`], and [`TransparencyError::ProofFailed`] when the tiles don't lead to `root`.
    pub fn proven_root_at(&mut self, old_size: u64, root: &Hash) -> Result<(Hash, Vec<Hash>), TransparencyError> {
        let (old_root, proof) = (self.root_at(old_size)?, self.consistency_proof(old_size)?);
        self.hasher.verify_consistency(old_size, &old_root, self.size, root, &proof)?;
        // The empty tree is proven by nothing, so the tiles are held against the root by themselves.
        if old_size == 0 && self.root()? != *root {
            return Err(TransparencyError::ProofFailed { what: "consistency" });
        }
        Ok((old_root, proof))
    }

    /// The entry at `index`, checked against its leaf hash in the tree.
    ///
    /// # Errors
    /// As [`TiledTree::inclusion_proof`].
    pub fn entry(&mut self, index: u64) -> Result<Vec<u8>, TransparencyError> {
        check_index(index, self.size)?;
        let tile = index / TILE_WIDTH;
        let (path, bytes) = read_tile(self.read, TilePath::entries(tile, width_at(self.size, tile)))?;
        let damaged = |problem: String| TransparencyError::TileDamaged { path: path.to_string(), problem };
        let mut entries = decode_bundle(&bytes, path.width).map_err(|error| damaged(error.to_string()))?;
        let entry = entries.swap_remove((index % TILE_WIDTH) as usize);
        let leaf = self.range_hash(LeafRange { start: index, end: index + 1 })?;
        if self.hasher.leaf_hash(&entry) == leaf {
            Ok(entry)
        } else {
            Err(damaged(format!("entry {index} does not have its leaf's hash")))
        }
    }

    /// The hash over a range that occurs in a proof: it starts at a multiple of the power of two at or above its size.
    fn range_hash(&mut self, range: LeafRange) -> Result<Hash, TransparencyError> {
        if range.size().is_power_of_two() {
            return self.subtree_hash(range);
        }
        let middle = range.start + split_point(range.size());
        let left = self.subtree_hash(LeafRange { start: range.start, end: middle })?;
        let right = self.range_hash(LeafRange { start: middle, end: range.end })?;
        Ok(self.hasher.node_hash(&left, &right))
    }

    /// The hash over a complete subtree, from the tile that holds its lowest stored level.
    fn subtree_hash(&mut self, range: LeafRange) -> Result<Hash, TransparencyError> {
        let height = range.size().trailing_zeros();
        let level = (height / 8) as u8;
        let count = 1_u64 << (height % 8);
        let first = range.start >> (8 * u32::from(level));
        let tile = first / TILE_WIDTH;
        let offset = (first % TILE_WIDTH) as usize;
        if !self.tiles.contains_key(&(level, tile)) {
            let width = width_at(level_count(self.size, level), tile);
            let hashes = read_hashes(self.read, TilePath::hashes(level, tile, width))?;
            if self.tiles.len() == TILES_HELD_MAX {
                self.tiles.clear();
            }
            self.tiles.insert((level, tile), hashes);
        }
        // A complete subtree below the size lies in its tile as a whole.
        let hashes = &self.tiles[&(level, tile)];
        Ok(self.hasher.root(&hashes[offset..offset + count as usize]))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::TileKind;
    use crate::merkle::verify_inclusion;

    /// Whatever was unfinished at a size on the way and is full at its end is named, and nothing else is, in as many steps as it takes.
    #[test]
    fn outgrown_tiles_are_those_that_were_unfinished_on_the_way() {
        let mut named = 0;
        for (old, new) in
            [(0, 0), (0, 255), (0, 256), (255, 257), (256, 511), (300, 300), (65_000, 66_000), (0, 70_000)]
        {
            let mut expected = Vec::new();
            for level in 0..3 {
                for size in old..new {
                    let index = level_count(size, level) / TILE_WIDTH;
                    if level_count(new, level) / TILE_WIDTH > index {
                        expected.push(TilePath::hashes(level, index, TILE_WIDTH as u16).to_string());
                        if level == 0 {
                            expected.push(TilePath::entries(index, TILE_WIDTH as u16).to_string());
                        }
                    }
                }
            }
            expected.sort();
            expected.dedup();
            let (mut found, mut at, mut steps) = (Vec::new(), old, 0);
            while at < new {
                let (tiles, until) = outgrown_tiles(at, new);
                found.extend(tiles.iter().map(TilePath::to_string));
                (at, steps) = (until, steps + 1);
            }
            assert_eq!(outgrown_tiles(new, new), (Vec::new(), new));
            assert!(steps <= (new - old).div_ceil(OUTGROWN_BUNDLES_MAX * TILE_WIDTH) + 1, "{steps} steps");
            found.sort();
            assert_eq!(found, expected, "from {old} to {new}");
            named += found.len();
        }
        assert!(named > 500, "only {named} tiles were outgrown");
        let (bounded, until) = outgrown_tiles(300, u64::MAX);
        assert_eq!((bounded.len() as u64, until), (2 * OUTGROWN_BUNDLES_MAX, (1 + OUTGROWN_BUNDLES_MAX) * TILE_WIDTH));
    }

    /// A log of any size without storing it: all entries are alike but one, so each tile follows from its place.
    struct Made {
        hasher: TreeHasher,
        size: u64,
        odd: u64,
        /// For each level the hash of a complete subtree of like entries, and of the one that holds the odd entry.
        levels: Vec<(Hash, Hash)>,
        reads: Cell<usize>,
    }

    impl Made {
        fn new(hasher: TreeHasher, size: u64, odd: u64) -> Made {
            let mut levels = vec![(hasher.leaf_hash(b"like"), hasher.leaf_hash(b"odd"))];
            for level in 0..7 {
                let (like, odd_one) = levels[level];
                let mut hashes = vec![like; 256];
                let whole = hasher.root(&hashes);
                hashes[(odd >> (8 * level)) as usize % 256] = odd_one;
                levels.push((whole, hasher.root(&hashes)));
            }
            Made { hasher, size, odd, levels, reads: Cell::new(0) }
        }

        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.reads.set(self.reads.get() + 1);
            let path: TilePath = path.parse().ok()?;
            let TileKind::Hashes { level } = path.kind else { return None };
            if u64::from(path.width) != u64::from(width_at(level_count(self.size, level), path.index)) {
                return None;
            }
            let (like, odd) = self.levels[usize::from(level)];
            let first = path.index * TILE_WIDTH;
            let special = self.odd >> (8 * u32::from(level));
            let hashes = (first..first + u64::from(path.width)).map(|at| if at == special { odd } else { like });
            Some(hashes.collect::<Vec<Hash>>().concat())
        }

        fn root(&self) -> Hash {
            TiledTree::new(self.hasher, &|path| self.read(path), self.size).root().unwrap()
        }
    }

    #[test]
    fn proofs_in_a_log_of_a_hundred_million_read_few_tiles() {
        for hasher in [TreeHasher::SHA256, TreeHasher::SM3] {
            let size = 100_000_000 + 77;
            for odd in [0, 255, 256, 16_777_216, 77_777_777, 99_999_999, size - 1] {
                let log = Made::new(hasher, size, odd);
                let root = log.root();
                let read = |path: &str| log.read(path);
                log.reads.set(0);
                let proof = TiledTree::new(hasher, &read, size).inclusion_proof(odd).unwrap();
                // Four levels: the tile on the path and the last one, but the top has a single tile.
                assert!(log.reads.get() <= 7, "{} tiles", log.reads.get());
                hasher.verify_inclusion(&hasher.leaf_hash(b"odd"), odd, size, &proof, &root).unwrap();
                assert!(hasher.verify_inclusion(&hasher.leaf_hash(b"like"), odd, size, &proof, &root).is_err());
                let next = odd ^ 1;
                assert!(hasher.verify_inclusion(&hasher.leaf_hash(b"odd"), next, size, &proof, &root).is_err());

                for old_size in [1, 256, 65_535, 16_777_216, 50_000_001, size - 1] {
                    let old = Made::new(hasher, old_size, odd);
                    let mut tree = TiledTree::new(hasher, &read, size);
                    let proof = tree.consistency_proof(old_size).unwrap();
                    assert_eq!(tree.root_at(old_size).unwrap(), old.root());
                    hasher.verify_consistency(old_size, &old.root(), size, &root, &proof).unwrap();
                    assert!(tree.tiles.len() <= 14);
                }
            }
        }
    }

    #[test]
    fn many_questions_hold_a_bounded_number_of_tiles() {
        let size = 1_000_000;
        let log = Made::new(TreeHasher::SHA256, size, 5);
        let (root, read) = (log.root(), |path: &str| log.read(path));
        let mut tree = TiledTree::new(TreeHasher::SHA256, &read, size);
        for index in (0..size).step_by(1_999) {
            let proof = tree.inclusion_proof(index).unwrap();
            verify_inclusion(&log.levels[0].0, index, size, &proof, &root).unwrap();
            assert!(tree.tiles.len() <= TILES_HELD_MAX);
        }
    }
}
