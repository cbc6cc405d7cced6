//! Growing the log: which files a new group of entries makes necessary, and the new root.

use crate::edge::HashEdge;
use crate::merkle::TreeHasher;
use crate::tiles::{decode_bundle, push_entry, read_tile, width_at};
use crate::{Hash, TILE_WIDTH, TilePath, TileRead, TransparencyError};

/// How many entries one append may add.
pub const APPEND_ENTRIES_MAX: usize = 65_536;

/// The right edge of the log: all that is needed to append, about 8 KiB a level and the last entry bundle.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TreeState {
    edge: HashEdge,
    /// The unfinished entry bundle, encoded.
    bundle: Vec<u8>,
}

/// What an append leads to. The files must be durable before a checkpoint of the new size is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Growth {
    /// The state to go on with once the files are written; until then the old one stays good.
    pub state: TreeState,
    /// Paths below the log's prefix and contents. None of them replaces a file with other contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// The root of the new tree.
    pub root: Hash,
}

impl TreeState {
    /// The log without entries, over SHA-256.
    pub fn empty() -> TreeState {
        TreeState::default()
    }

    /// The log without entries, over the digest of a suite.
    pub fn empty_of(hasher: TreeHasher) -> TreeState {
        TreeState { edge: HashEdge::empty(hasher), bundle: Vec::new() }
    }

    /// Rebuilds the state of a stored log of `size` entries over SHA-256 from its unfinished tiles.
    ///
    /// Compare [`TreeState::root`] with the last checkpoint before appending: the tiles are checked for their form and
    /// the last bundle against the leaf hashes, the rest only by the root.
    ///
    /// # Errors
    /// [`TransparencyError::TileMissing`] or [`TransparencyError::TileDamaged`] with the file's path.
    pub fn load(read: TileRead<'_>, size: u64) -> Result<TreeState, TransparencyError> {
        TreeState::load_of(TreeHasher::SHA256, read, size)
    }

    /// As [`TreeState::load`], over the digest of a suite.
    ///
    /// # Errors
    /// Those named there.
    pub fn load_of(hasher: TreeHasher, read: TileRead<'_>, size: u64) -> Result<TreeState, TransparencyError> {
        let mut state = TreeState { edge: HashEdge::load(hasher, read, size)?, bundle: Vec::new() };
        let tile = size / TILE_WIDTH;
        let width = width_at(size, tile);
        if width > 0 {
            state.bundle = read_last_bundle(read, TilePath::entries(tile, width), &state.edge)?;
        }
        Ok(state)
    }

    /// How many entries the log has.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The unfinished tiles and the unfinished bundle of this size, with their paths: what a stored log has at its right
    /// edge (tlog-tiles, "Partial Tiles").
    pub fn edge_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        self.partial_files(0, &mut files);
        files
    }

    /// The entries of the unfinished bundle.
    pub(crate) fn last_entries(&self) -> Result<Vec<Vec<u8>>, TransparencyError> {
        decode_bundle(&self.bundle, (self.size() % TILE_WIDTH) as u16)
    }

    /// The root over all entries.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Appends entries and says which files that makes necessary (tlog-tiles: "Merkle Tree", "Log Entries", and
    /// "Partial Tiles"): full tiles as they fill up, partial ones for the new size.
    ///
    /// # Errors
    /// [`TransparencyError::TooLarge`] for an entry above 65,535 bytes, more than [`APPEND_ENTRIES_MAX`] entries, or a
    /// log beyond 2^63 entries.
    pub fn append(&self, entries: &[Vec<u8>]) -> Result<Growth, TransparencyError> {
        if entries.len() > APPEND_ENTRIES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the number of entries of an append",
                limit: APPEND_ENTRIES_MAX as u64,
            });
        }
        if self.size() + entries.len() as u64 > 1 << 63 {
            return Err(TransparencyError::TooLarge { what: "the number of entries of a log", limit: 1 << 63 });
        }
        let mut state = self.clone();
        let mut files = Vec::new();
        for entry in entries {
            state.push(entry, &mut files)?;
        }
        state.partial_files(self.size(), &mut files);
        let root = state.root();
        Ok(Growth { state, files, root })
    }

    fn push(&mut self, entry: &[u8], files: &mut Vec<(String, Vec<u8>)>) -> Result<(), TransparencyError> {
        push_entry(&mut self.bundle, entry)?;
        self.edge.push(self.edge.hasher().leaf_hash(entry), files);
        if self.size().is_multiple_of(TILE_WIDTH) {
            let path = TilePath::entries(self.size() / TILE_WIDTH - 1, TILE_WIDTH as u16);
            files.push((path.to_string(), std::mem::take(&mut self.bundle)));
        }
        Ok(())
    }

    /// The unfinished tiles that are new since the tree had `old_size` entries.
    fn partial_files(&self, old_size: u64, files: &mut Vec<(String, Vec<u8>)>) {
        self.edge.partial_files(old_size, files);
        let width = (self.size() % TILE_WIDTH) as u16;
        if width > 0 && self.size() != old_size {
            let path = TilePath::entries(self.size() / TILE_WIDTH, width);
            files.push((path.to_string(), self.bundle.clone()));
        }
    }
}

/// Reads the unfinished bundle and checks each entry against its leaf hash.
fn read_last_bundle(read: TileRead<'_>, path: TilePath, edge: &HashEdge) -> Result<Vec<u8>, TransparencyError> {
    let (found, bytes) = read_tile(read, path)?;
    let damaged = |problem: String| TransparencyError::TileDamaged { path: found.to_string(), problem };
    let entries = decode_bundle(&bytes, found.width).map_err(|error| damaged(error.to_string()))?;
    let mut bundle = Vec::new();
    for (number, (entry, leaf)) in entries.iter().zip(edge.last_leaves()).enumerate() {
        if edge.hasher().leaf_hash(entry) != *leaf {
            return Err(damaged(format!("its entry {number} does not have its leaf's hash")));
        }
        push_entry(&mut bundle, entry)?;
    }
    Ok(bundle)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{
        consistency_proof, consistency_proof_from_tiles, empty_root, entry_from_tiles, inclusion_proof,
        inclusion_proof_from_tiles, leaf_hash, root, root_from_tiles,
    };

    /// A log in memory that refuses to overwrite a file with other contents.
    #[derive(Default)]
    struct Stored {
        files: BTreeMap<String, Vec<u8>>,
        state: TreeState,
        leaves: Vec<Hash>,
    }

    impl Stored {
        fn append(&mut self, count: usize) {
            let start = self.leaves.len();
            let entries: Vec<Vec<u8>> =
                (start..start + count).map(|number| format!("entry {number}").into_bytes()).collect();
            let growth = self.state.append(&entries).unwrap();
            for (path, bytes) in growth.files {
                let before = self.files.insert(path, bytes.clone());
                assert!(before.is_none_or(|before| before == bytes));
            }
            self.leaves.extend(entries.iter().map(|entry| leaf_hash(entry)));
            assert_eq!(growth.root, root(&self.leaves));
            for (path, bytes) in growth.state.edge_files() {
                assert_eq!(self.files.get(&path), Some(&bytes), "{path}");
            }
            self.state = growth.state;
            assert_eq!(self.state.size(), self.leaves.len() as u64);
        }

        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.files.get(path).cloned()
        }
    }

    #[test]
    fn the_specification_s_example_of_70000() {
        let mut log = Stored::default();
        for _ in 0..7 {
            log.append(10_000);
        }
        let read = |path: &str| log.read(path);
        let present = |path: &str| log.files.contains_key(path);
        for path in ["tile/0/000", "tile/0/272", "tile/0/273.p/112", "tile/1/000", "tile/1/001.p/17", "tile/2/000.p/1"]
        {
            assert!(present(path), "{path}");
        }
        assert!(!present("tile/0/273") && !present("tile/2/000") && !present("tile/3/000.p/1"));
        assert_eq!(log.files["tile/0/000"].len(), 8_192);
        for index in [0, 255, 256, 65_535, 65_536, 69_999] {
            assert_eq!(inclusion_proof_from_tiles(&read, index, 70_000), inclusion_proof(&log.leaves, index));
            assert_eq!(entry_from_tiles(&read, index, 70_000).unwrap(), format!("entry {index}").into_bytes());
        }
        for old in [1, 256, 10_000, 65_536, 69_999] {
            assert_eq!(consistency_proof_from_tiles(&read, old, 70_000), consistency_proof(&log.leaves, old));
        }
        assert_eq!(TreeState::load(&read, 70_000).unwrap(), log.state);
    }

    #[test]
    fn empty_and_too_large() {
        let log = Stored::default();
        assert_eq!(log.state.root(), empty_root());
        assert_eq!(root_from_tiles(&|_| None, 0), Ok(empty_root()));
        assert_eq!(TreeState::load(&|_| None, 0), Ok(TreeState::empty()));
        let growth = log.state.append(&[]).unwrap();
        assert!(growth.files.is_empty());
        assert!(log.state.append(&[vec![0; 65_536]]).is_err());
        assert!(log.state.append(&[vec![0; 65_535]]).is_ok());
    }

    #[test]
    fn missing_and_damaged_files_are_named() {
        let mut log = Stored::default();
        log.append(300);
        let without = |missing: &'static str| {
            let files = log.files.clone();
            move |path: &str| if path == missing { None } else { files.get(path).cloned() }
        };
        assert_eq!(
            TreeState::load(&without("tile/0/001.p/44"), 300),
            Err(TransparencyError::TileMissing { path: "tile/0/001.p/44".to_owned() })
        );
        assert!(inclusion_proof_from_tiles(&without("tile/0/000"), 5, 300).is_err());
        let damaged = |path: &str| {
            let mut bytes = log.read(path)?;
            if path == "tile/entries/001.p/44" {
                bytes[3] ^= 1;
            }
            Some(bytes)
        };
        assert!(matches!(TreeState::load(&damaged, 300), Err(TransparencyError::TileDamaged { .. })));
        assert!(matches!(entry_from_tiles(&damaged, 256, 300), Err(TransparencyError::TileDamaged { .. })));
        let short = |path: &str| log.read(path).map(|bytes| bytes[1..].to_vec());
        assert!(matches!(root_from_tiles(&short, 300), Err(TransparencyError::TileDamaged { .. })));
    }

    #[test]
    fn partial_files_may_go_once_the_full_one_is_there() {
        let mut log = Stored::default();
        log.append(200);
        log.append(100);
        log.files.retain(|path, _| !path.contains("000.p/") || path.starts_with("tile/1/"));
        let read = |path: &str| log.read(path);
        assert_eq!(root_from_tiles(&read, 200), Ok(root(&log.leaves[..200])));
        assert_eq!(entry_from_tiles(&read, 199, 200).unwrap(), b"entry 199");
        assert_eq!(TreeState::load(&read, 200).unwrap().root(), root(&log.leaves[..200]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        #[test]
        fn tiles_and_the_plain_tree_agree(
            steps in proptest::collection::vec(0..400_usize, 1..6),
            picks in proptest::collection::vec(any::<(u64, u64)>(), 10),
        ) {
            let mut log = Stored::default();
            let mut sizes = Vec::new();
            for step in steps {
                log.append(step);
                sizes.push(log.state.size());
                // A state rebuilt from the files at any moment is the state that was kept.
                let rebuilt = TreeState::load(&|path| log.read(path), log.state.size()).unwrap();
                prop_assert_eq!(&rebuilt, &log.state);
            }
            let read = |path: &str| log.read(path);
            for &size in &sizes {
                let leaves = &log.leaves[..size as usize];
                prop_assert_eq!(root_from_tiles(&read, size), Ok(root(leaves)));
                for &(index, old) in &picks {
                    if size == 0 {
                        continue;
                    }
                    let index = index % size;
                    prop_assert_eq!(
                        inclusion_proof_from_tiles(&read, index, size), inclusion_proof(leaves, index)
                    );
                    prop_assert_eq!(
                        entry_from_tiles(&read, index, size).unwrap(), format!("entry {index}").into_bytes()
                    );
                    let old = old % (size + 1);
                    prop_assert_eq!(
                        consistency_proof_from_tiles(&read, old, size), consistency_proof(leaves, old)
                    );
                }
            }
        }

        #[test]
        fn reading_arbitrary_tiles_never_panics(bytes: Vec<u8>, size: u64, index: u64, count in 0..300_u16) {
            let read = |_: &str| Some(bytes.clone());
            let _ = decode_bundle(&bytes, count);
            let _ = TreeState::load(&read, size);
            let _ = TreeState::load(&read, u64::from(count));
            let _ = root_from_tiles(&read, size);
            let _ = inclusion_proof_from_tiles(&read, index, size);
            let _ = consistency_proof_from_tiles(&read, index, size);
            let _ = entry_from_tiles(&read, index, size);
        }
    }
}
