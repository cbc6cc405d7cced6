//! Reading a log that is stored as tiles (tlog-tiles): roots, proofs and entries for any size it ever had.

use std::collections::BTreeMap;

use crate::error::malformed;
use crate::merkle::{LeafRange, consistency_ranges, empty_root, inclusion_ranges, leaf_hash, node_hash, split_point};
use crate::{Hash, TILE_WIDTH, TilePath, TransparencyError, root};

/// The largest entry in bytes: its length stands in 16 bits (tlog-tiles, "Log Entries").
pub const ENTRY_BYTES_MAX: usize = 65_535;

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

/// The root of the tree of `size` entries.
///
/// # Errors
/// [`TransparencyError::TileMissing`] or [`TransparencyError::TileDamaged`] with the file's path.
pub fn root_from_tiles(read: TileRead<'_>, size: u64) -> Result<Hash, TransparencyError> {
    if size == 0 {
        return Ok(empty_root());
    }
    TileTree::new(read, size).range_hash(LeafRange { start: 0, end: size })
}

/// The inclusion path of the entry at `index` in the tree of `size` entries (RFC 6962 section 2.1.1).
///
/// # Errors
/// As [`root_from_tiles`], and [`TransparencyError::OutOfRange`] when `index` is not below `size`.
pub fn inclusion_proof_from_tiles(read: TileRead<'_>, index: u64, size: u64) -> Result<Vec<Hash>, TransparencyError> {
    let mut tree = TileTree::new(read, size);
    inclusion_ranges(index, size)?.into_iter().map(|range| tree.range_hash(range)).collect()
}

/// The consistency proof between two sizes of the tree (RFC 6962 section 2.1.2).
///
/// # Errors
/// As [`root_from_tiles`], and [`TransparencyError::OutOfRange`] when `old_size` is above `new_size`.
pub fn consistency_proof_from_tiles(
    read: TileRead<'_>,
    old_size: u64,
    new_size: u64,
) -> Result<Vec<Hash>, TransparencyError> {
    let mut tree = TileTree::new(read, new_size);
    consistency_ranges(old_size, new_size)?.into_iter().map(|range| tree.range_hash(range)).collect()
}

/// The entry at `index` of a log of `size` entries, checked against the leaf hash in the tree.
///
/// # Errors
/// As [`inclusion_proof_from_tiles`].
pub fn entry_from_tiles(read: TileRead<'_>, index: u64, size: u64) -> Result<Vec<u8>, TransparencyError> {
    if index >= size {
        return Err(TransparencyError::OutOfRange {
            what: "the entry",
            problem: format!("index {index} of a tree of {size} entries"),
        });
    }
    let tile = index / TILE_WIDTH;
    let path = TilePath::entries(tile, width_at(size, tile));
    let (path, bytes) = read_tile(read, path)?;
    let damaged = |problem: String| TransparencyError::TileDamaged { path: path.to_string(), problem };
    let mut entries = decode_bundle(&bytes, path.width).map_err(|error| damaged(error.to_string()))?;
    let entry = entries.swap_remove((index % TILE_WIDTH) as usize);
    let leaf = TileTree::new(read, size).range_hash(LeafRange { start: index, end: index + 1 })?;
    if leaf_hash(&entry) == leaf {
        Ok(entry)
    } else {
        Err(damaged(format!("entry {index} does not have its leaf's hash")))
    }
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

/// The tree of one size, read tile by tile; each tile once.
struct TileTree<'a> {
    read: TileRead<'a>,
    size: u64,
    tiles: BTreeMap<(u8, u64), Vec<Hash>>,
}

impl<'a> TileTree<'a> {
    fn new(read: TileRead<'a>, size: u64) -> TileTree<'a> {
        TileTree { read, size, tiles: BTreeMap::new() }
    }

    /// The hash over a range that occurs in a proof: it starts at a multiple of the power of two at or above its size.
    fn range_hash(&mut self, range: LeafRange) -> Result<Hash, TransparencyError> {
        if range.size().is_power_of_two() {
            return self.subtree_hash(range);
        }
        let middle = range.start + split_point(range.size());
        let left = self.subtree_hash(LeafRange { start: range.start, end: middle })?;
        let right = self.range_hash(LeafRange { start: middle, end: range.end })?;
        Ok(node_hash(&left, &right))
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
            self.tiles.insert((level, tile), hashes);
        }
        // A complete subtree below the size lies in its tile as a whole.
        let hashes = &self.tiles[&(level, tile)];
        Ok(root(&hashes[offset..offset + count as usize]))
    }
}
