//! A log and its twin of the other suite, grown together over the same entries.

use lingqu_crypto::Suite;

use crate::edge::HashEdge;
use crate::merkle::TreeHasher;
use crate::{Growth, Hash, RootsEntry, TileRead, TransparencyError, TreeState};

/// The right edges of both logs. The entry bundles are the first log's and are stored once; the twin has tiles of hashes
/// only, below a prefix of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinLog {
    international: TreeState,
    national: HashEdge,
}

/// What an append to both logs leads to. All files must be durable before a checkpoint of either is signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinGrowth {
    /// The logs to go on with once the files are written.
    pub log: TwinLog,
    /// Entry bundles and tiles of the log over SHA-256, with their paths below its prefix.
    pub international: Vec<(String, Vec<u8>)>,
    /// Tiles of the log over SM3, with their paths below the twin's prefix.
    pub national: Vec<(String, Vec<u8>)>,
}

impl TwinLog {
    /// Both logs without entries.
    pub fn empty() -> TwinLog {
        TwinLog { international: TreeState::empty(), national: HashEdge::empty(TreeHasher::SM3) }
    }

    /// Rebuilds both from the unfinished tiles of `size` entries, read below each log's prefix. Compare both roots with
    /// the last checkpoints before appending; see [`TreeState::load`].
    ///
    /// # Errors
    /// Those of [`TreeState::load`]; and [`TransparencyError::TileDamaged`] when the twin's last leaves are not those of
    /// the entries in the last bundle.
    pub fn load(international: TileRead<'_>, national: TileRead<'_>, size: u64) -> Result<TwinLog, TransparencyError> {
        let log = TwinLog {
            international: TreeState::load(international, size)?,
            national: HashEdge::load(TreeHasher::SM3, national, size)?,
        };
        let entries = log.international.last_entries()?;
        let leaves = log.national.last_leaves();
        let same = entries.len() == leaves.len()
            && entries.iter().zip(leaves).all(|(entry, leaf)| TreeHasher::SM3.leaf_hash(entry) == *leaf);
        if same {
            return Ok(log);
        }
        Err(TransparencyError::TileDamaged {
            path: log.national.last_path(),
            problem: "its hashes over SM3 are not those of the last entries".to_owned(),
        })
    }

    /// How many entries both logs have.
    pub fn size(&self) -> u64 {
        self.international.size()
    }

    /// The root of one of them.
    pub fn root(&self, suite: Suite) -> Hash {
        match suite {
            Suite::International => self.international.root(),
            Suite::National => self.national.root(),
        }
    }

    /// The entry that holds both roots as they are now. It belongs behind the entries of a published size and before the
    /// next checkpoint; see [`RootsEntry`].
    ///
    /// # Errors
    /// Those of [`RootsEntry::new`].
    pub fn roots_entry(&self, origin: &str) -> Result<RootsEntry, TransparencyError> {
        RootsEntry::new(origin, self.size(), self.root(Suite::International), self.root(Suite::National))
    }

    /// Appends entries to both.
    ///
    /// # Errors
    /// Those of [`TreeState::append`].
    pub fn append(&self, entries: &[Vec<u8>]) -> Result<TwinGrowth, TransparencyError> {
        let Growth { state, files, .. } = self.international.append(entries)?;
        let mut twin = self.national.clone();
        let mut tiles = Vec::new();
        for entry in entries {
            twin.push(TreeHasher::SM3.leaf_hash(entry), &mut tiles);
        }
        twin.partial_files(self.size(), &mut tiles);
        let log = TwinLog { international: state, national: twin };
        Ok(TwinGrowth { log, international: files, national: tiles })
    }

    /// The unfinished tiles of the twin, and those of the first log with its unfinished bundle; see
    /// [`TreeState::edge_files`].
    pub fn edge_files(&self, suite: Suite) -> Vec<(String, Vec<u8>)> {
        match suite {
            Suite::International => self.international.edge_files(),
            Suite::National => {
                let mut files = Vec::new();
                self.national.partial_files(0, &mut files);
                files
            }
        }
    }
}

/// Reads the entries of a log in order and holds every entry of both roots against the trees that the entries make: what
/// an auditor does who has all entries.
///
/// Between two published sizes there must be an entry with the roots at the first of them
/// ([`TwinAudit::check_published`]).
#[derive(Debug, Clone)]
pub struct TwinAudit {
    origin: String,
    international: HashEdge,
    national: HashEdge,
    /// Sizes with their roots that an entry may still speak of: those since the last published one.
    pending: Option<(u64, Hash, Hash)>,
    held: bool,
}

impl TwinAudit {
    /// Begins at the first entry of the log named `origin`.
    pub fn begin(origin: &str) -> TwinAudit {
        TwinAudit {
            origin: origin.to_owned(),
            international: HashEdge::empty(TreeHasher::SHA256),
            national: HashEdge::empty(TreeHasher::SM3),
            pending: None,
            held: false,
        }
    }

    /// How many entries were read.
    pub fn size(&self) -> u64 {
        self.international.size()
    }

    /// The root that the entries read so far have in a suite's tree.
    pub fn root(&self, suite: Suite) -> Hash {
        match suite {
            Suite::International => self.international.root(),
            Suite::National => self.national.root(),
        }
    }

    /// Takes the next entry.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] for an entry of both roots that is damaged; [`TransparencyError::RootsDiffer`] for
    /// one that states another root than the entries make at the last published size, or another size.
    pub fn read(&mut self, entry: &[u8]) -> Result<(), TransparencyError> {
        if RootsEntry::is_named_by(entry) {
            let held = RootsEntry::decode(entry)?;
            let expected = self
                .pending
                .map(|(size, international, national)| RootsEntry::new(&self.origin, size, international, national));
            if expected.transpose()? != Some(held) {
                return Err(TransparencyError::RootsDiffer { index: self.size() });
            }
            self.held = true;
        }
        // The full tiles are not kept: only the roots matter here.
        let mut tiles = Vec::new();
        self.international.push(TreeHasher::SHA256.leaf_hash(entry), &mut tiles);
        self.national.push(TreeHasher::SM3.leaf_hash(entry), &mut tiles);
        Ok(())
    }

    /// Says that both logs published checkpoints of the size read so far.
    ///
    /// # Errors
    /// [`TransparencyError::RootsMissing`] when no entry held the roots of the size published before.
    pub fn check_published(&mut self) -> Result<(), TransparencyError> {
        if let Some((size, ..)) = self.pending
            && !self.held
            && size != self.size()
        {
            return Err(TransparencyError::RootsMissing { size, next: self.size() });
        }
        if self.pending.is_none_or(|(size, ..)| size != self.size()) {
            self.pending = Some((self.size(), self.root(Suite::International), self.root(Suite::National)));
            self.held = false;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::{TiledTree, root_from_tiles};

    const ORIGIN: &str = "node.example/log";

    #[derive(Default)]
    struct Files(BTreeMap<String, Vec<u8>>);

    impl Files {
        fn put(&mut self, files: Vec<(String, Vec<u8>)>) {
            for (path, bytes) in files {
                let before = self.0.insert(path, bytes.clone());
                assert!(before.is_none_or(|before| before == bytes));
            }
        }

        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.0.get(path).cloned()
        }
    }

    #[test]
    fn bundles_are_stored_once() {
        let entries: Vec<Vec<u8>> = (0..600_u32).map(|number| number.to_be_bytes().to_vec()).collect();
        let growth = TwinLog::empty().append(&entries).unwrap();
        let bundles = |files: &[(String, Vec<u8>)]| files.iter().filter(|(path, _)| path.contains("entries")).count();
        assert_eq!((bundles(&growth.international), bundles(&growth.national)), (3, 0));
        let (mut first, mut twin) = (Files::default(), Files::default());
        first.put(growth.international);
        twin.put(growth.national);
        // Entries of the twin are read from the bundles of the first log.
        let read = |path: &str| if path.contains("entries") { first.read(path) } else { twin.read(path) };
        let mut tree = TiledTree::new(TreeHasher::SM3, &read, 600);
        assert_eq!(tree.root().unwrap(), growth.log.root(Suite::National));
        assert_eq!(tree.entry(599).unwrap(), entries[599]);
        assert_ne!(growth.log.root(Suite::National), growth.log.root(Suite::International));
    }

    #[test]
    fn an_audit_finds_a_root_that_was_forked_or_left_out() {
        let publish = |audit: &mut TwinAudit, count: u8| {
            for number in 0..count {
                audit.read(&[number]).unwrap();
            }
            audit.check_published()
        };
        let mut audit = TwinAudit::begin(ORIGIN);
        publish(&mut audit, 5).unwrap();
        let (size, international, national) = (5, audit.root(Suite::International), audit.root(Suite::National));
        let good = RootsEntry::new(ORIGIN, size, international, national).unwrap().encode();

        let mut honest = audit.clone();
        honest.read(b"between").unwrap();
        honest.read(&good).unwrap();
        publish(&mut honest, 3).unwrap();

        let mut silent = audit.clone();
        assert_eq!(publish(&mut silent, 3), Err(TransparencyError::RootsMissing { size: 5, next: 8 }));
        // Publishing the same size again needs no entry.
        audit.check_published().unwrap();

        for (size, first, twin) in [
            (5, [0; 32], national),
            (5, international, [0; 32]),
            (4, international, national),
            (5, national, international),
        ] {
            let entry = RootsEntry::new(ORIGIN, size, first, twin).unwrap().encode();
            assert_eq!(audit.clone().read(&entry), Err(TransparencyError::RootsDiffer { index: 5 }));
        }
        let other = RootsEntry::new("other.example", 5, international, national).unwrap().encode();
        assert!(audit.clone().read(&other).is_err());
        assert!(audit.clone().read(b"LQR\x02").is_err());
        // Before anything was published there are no roots to hold.
        let early = RootsEntry::new(ORIGIN, 0, TreeHasher::SHA256.empty_root(), TreeHasher::SM3.empty_root()).unwrap();
        assert!(TwinAudit::begin(ORIGIN).read(&early.encode()).is_err());
    }

    #[test]
    fn a_twin_of_other_entries_is_not_loaded() {
        let growth = |salt: u8| TwinLog::empty().append(&[vec![salt, 1], vec![salt, 2], vec![salt, 3]]).unwrap();
        let (one, other) = (growth(1), growth(2));
        let reader = |files: Vec<(String, Vec<u8>)>| {
            let mut stored = Files::default();
            stored.put(files);
            move |path: &str| stored.read(path)
        };
        let first = reader(one.international);
        assert!(TwinLog::load(&first, &reader(one.national), 3).is_ok());
        let wrong = TwinLog::load(&first, &reader(other.national), 3);
        assert!(matches!(wrong, Err(TransparencyError::TileDamaged { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn both_grow_over_the_same_entries(steps in proptest::collection::vec(0..300_usize, 1..5)) {
            let (mut first, mut twin) = (Files::default(), Files::default());
            let mut log = TwinLog::empty();
            let mut audit = TwinAudit::begin(ORIGIN);
            for step in steps {
                let mut entries: Vec<Vec<u8>> = (0..step).map(|number| vec![number as u8; number % 7]).collect();
                if log.size() > 0 {
                    entries.insert(0, log.roots_entry(ORIGIN).unwrap().encode());
                }
                let growth = log.append(&entries).unwrap();
                first.put(growth.international);
                twin.put(growth.national);
                log = growth.log;
                for entry in &entries {
                    audit.read(entry).unwrap();
                }
                audit.check_published().unwrap();
                let (size, read, read_twin) = (log.size(), |path: &str| first.read(path), |path: &str| twin.read(path));
                prop_assert_eq!(&TwinLog::load(&read, &read_twin, size).unwrap(), &log);
                prop_assert_eq!(root_from_tiles(&read, size).unwrap(), log.root(Suite::International));
                let national = TiledTree::new(TreeHasher::SM3, &read_twin, size).root().unwrap();
                prop_assert_eq!(national, log.root(Suite::National));
                prop_assert_eq!(audit.root(Suite::National), national);
                for (path, bytes) in log.edge_files(Suite::National) {
                    prop_assert_eq!(twin.read(&path), Some(bytes));
                }
            }
        }
    }
}
