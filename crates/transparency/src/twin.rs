//! A log and its twin of the other suite, grown together over the same entries.

use lingqu_crypto::Suite;

use crate::edge::HashEdge;
use crate::merkle::TreeHasher;
use crate::{Checkpoint, Growth, Hash, RootsEntry, TileRead, TransparencyError, TreeState, twin_origin};

/// The right edges of both logs, and what was published last. The entry bundles are the first log's and are stored once;
/// the twin has tiles of hashes only, below a prefix of its own.
///
/// In its life a published size is followed by an entry with both roots at that size ([`TwinLog::roots_entry`]), that by
/// other entries, and they by the next checkpoints ([`TwinLog::checkpoints`], then [`TwinLog::publish`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinLog {
    international: TreeState,
    national: HashEdge,
    rule: RootsRule,
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
    /// Both logs without entries; `origin` is the name of the log over SHA-256.
    ///
    /// # Errors
    /// Refused when the name is empty, longer than 255 bytes, or holds a newline.
    pub fn empty(origin: &str) -> Result<TwinLog, TransparencyError> {
        Ok(TwinLog {
            international: TreeState::empty(),
            national: HashEdge::empty(TreeHasher::SM3),
            rule: RootsRule::new(origin)?,
        })
    }

    /// Rebuilds both from the unfinished tiles of the `size` entries that were published last, read below each log's
    /// prefix. Compare both roots with the last checkpoints before appending; see [`TreeState::load`].
    ///
    /// # Errors
    /// Those of [`TwinLog::empty`] and [`TreeState::load`]; and [`TransparencyError::TileDamaged`] when the twin's last leaves
    /// are not those of the entries in the last bundle.
    pub fn load(
        origin: &str,
        international: TileRead<'_>,
        national: TileRead<'_>,
        size: u64,
    ) -> Result<TwinLog, TransparencyError> {
        let mut log = TwinLog {
            international: TreeState::load(international, size)?,
            national: HashEdge::load(TreeHasher::SM3, national, size)?,
            rule: RootsRule::new(origin)?,
        };
        let entries = log.international.last_entries()?;
        let leaves = log.national.last_leaves();
        let same = entries.len() == leaves.len()
            && entries.iter().zip(leaves).all(|(entry, leaf)| TreeHasher::SM3.leaf_hash(entry) == *leaf);
        if same {
            log.publish()?;
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

    /// The entry that must come before the next checkpoints: both roots at the size published last. `None` before anything
    /// was published, and when the entry is there already.
    pub fn roots_entry(&self) -> Option<&RootsEntry> {
        self.rule.missing()
    }

    /// Appends entries to both. An entry of both roots among them is held against what was published.
    ///
    /// # Errors
    /// Those of [`TreeState::append`]; [`TransparencyError::RootsDiffer`] for an entry of both roots that is not
    /// [`TwinLog::roots_entry`]; [`TransparencyError::Malformed`] for one that can't be read.
    pub fn append(&self, entries: &[Vec<u8>]) -> Result<TwinGrowth, TransparencyError> {
        let Growth { state, files, .. } = self.international.append(entries)?;
        let mut log = TwinLog { international: state, national: self.national.clone(), rule: self.rule.clone() };
        let mut tiles = Vec::new();
        for (entry, leaf) in entries.iter().zip(TreeHasher::SM3.leaf_hashes(entries)) {
            log.rule.read(entry, log.national.size())?;
            log.national.push(leaf, &mut tiles);
        }
        log.national.partial_files(self.size(), &mut tiles);
        Ok(TwinGrowth { log, international: files, national: tiles })
    }

    /// The checkpoints of both as they are now, to be signed once all files are durable.
    ///
    /// # Errors
    /// [`TransparencyError::RootsMissing`] when no entry holds the roots published before: without it the next checkpoint
    /// would let one of the logs fork unseen.
    pub fn checkpoints(&self) -> Result<[Checkpoint; 2], TransparencyError> {
        self.rule.check(self.size())?;
        let checkpoint = |origin, suite| Checkpoint { origin, size: self.size(), root: self.root(suite) };
        Ok([
            checkpoint(self.rule.origin.clone(), Suite::International),
            checkpoint(twin_origin(&self.rule.origin), Suite::National),
        ])
    }

    /// Says that both checkpoints are published: from now on the next ones need an entry with these roots.
    ///
    /// # Errors
    /// As [`TwinLog::checkpoints`].
    pub fn publish(&mut self) -> Result<(), TransparencyError> {
        let [international, national] = self.checkpoints()?;
        self.rule.publish(international.size, international.root, national.root)
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

/// What ties the logs together: after a published size and before the next an entry holds both roots at the first.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RootsRule {
    origin: String,
    /// The entry that is due or was read since the last published size; `None` before anything was published.
    due: Option<RootsEntry>,
    held: bool,
}

impl RootsRule {
    fn new(origin: &str) -> Result<RootsRule, TransparencyError> {
        // The name is checked now, so that no entry is refused for it later.
        RootsEntry::new(origin, 0, Hash::default(), Hash::default())?;
        Ok(RootsRule { origin: origin.to_owned(), due: None, held: false })
    }

    fn missing(&self) -> Option<&RootsEntry> {
        self.due.as_ref().filter(|_| !self.held)
    }

    /// Takes note of the entry at an index.
    fn read(&mut self, entry: &[u8], index: u64) -> Result<(), TransparencyError> {
        if !RootsEntry::is_named_by(entry) {
            return Ok(());
        }
        if self.due.as_ref() != Some(&RootsEntry::decode(entry)?) {
            return Err(TransparencyError::RootsDiffer { index });
        }
        self.held = true;
        Ok(())
    }

    /// Whether checkpoints of a size may be published.
    fn check(&self, next: u64) -> Result<(), TransparencyError> {
        match self.missing() {
            Some(due) if due.size() != next => Err(TransparencyError::RootsMissing { size: due.size(), next }),
            _ => Ok(()),
        }
    }

    fn publish(&mut self, size: u64, international: Hash, national: Hash) -> Result<(), TransparencyError> {
        self.check(size)?;
        if self.due.as_ref().is_none_or(|due| due.size() != size) {
            self.due = Some(RootsEntry::new(&self.origin, size, international, national)?);
            self.held = false;
        }
        Ok(())
    }
}

/// Reads the entries of a log in order and holds every entry of both roots against the trees that the entries make: what
/// an auditor does who has all entries. It holds the right edges of both trees and nothing else.
#[derive(Debug, Clone)]
pub struct TwinAudit {
    international: HashEdge,
    national: HashEdge,
    rule: RootsRule,
}

impl TwinAudit {
    /// Begins at the first entry of the log named `origin`.
    ///
    /// # Errors
    /// Those of [`TwinLog::empty`].
    pub fn begin(origin: &str) -> Result<TwinAudit, TransparencyError> {
        Ok(TwinAudit {
            international: HashEdge::empty(TreeHasher::SHA256),
            national: HashEdge::empty(TreeHasher::SM3),
            rule: RootsRule::new(origin)?,
        })
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
        // The full tiles are not kept: only the roots matter here.
        self.read_growing(entry, &mut Vec::new())
    }

    /// As [`TwinAudit::read`]; tiles of the twin that the entry fills up go to `tiles`, with their paths below its prefix.
    ///
    /// # Errors
    /// As [`TwinAudit::read`].
    pub fn read_growing(&mut self, entry: &[u8], tiles: &mut Vec<(String, Vec<u8>)>) -> Result<(), TransparencyError> {
        self.rule.read(entry, self.size())?;
        self.international.push(TreeHasher::SHA256.leaf_hash(entry), &mut Vec::new());
        self.national.push(TreeHasher::SM3.leaf_hash(entry), tiles);
        Ok(())
    }

    /// The unfinished tiles that the twin has at the size read so far.
    pub fn twin_edge_files(&self) -> Vec<(String, Vec<u8>)> {
        let mut files = Vec::new();
        self.national.partial_files(0, &mut files);
        files
    }

    /// Says that both logs published checkpoints of the size read so far.
    ///
    /// # Errors
    /// [`TransparencyError::RootsMissing`] when no entry held the roots of the size published before.
    pub fn check_published(&mut self) -> Result<(), TransparencyError> {
        let (international, national) = (self.root(Suite::International), self.root(Suite::National));
        self.rule.publish(self.size(), international, national)
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
        let growth = TwinLog::empty(ORIGIN).unwrap().append(&entries).unwrap();
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
        let mut audit = TwinAudit::begin(ORIGIN).unwrap();
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
        assert!(TwinAudit::begin(ORIGIN).unwrap().read(&early.encode()).is_err());
    }

    #[test]
    fn no_checkpoint_without_the_roots_before_it() {
        let mut log = TwinLog::empty(ORIGIN).unwrap();
        assert_eq!(log.roots_entry(), None);
        log = log.append(&[b"one".to_vec()]).unwrap().log;
        let [international, national] = log.checkpoints().unwrap();
        assert_eq!((international.origin.as_str(), national.origin.as_str()), (ORIGIN, "node.example/log/sm3"));
        assert_ne!(international.root, national.root);
        log.publish().unwrap();
        // The same size may be published again; a larger one needs the entry, wherever it stands among the others.
        assert!(log.checkpoints().is_ok());
        let bare = log.append(&[b"two".to_vec()]).unwrap().log;
        assert_eq!(bare.checkpoints(), Err(TransparencyError::RootsMissing { size: 1, next: 2 }));
        let roots = log.roots_entry().unwrap().clone();
        assert_eq!(
            (roots.root_of(Suite::International), roots.root_of(Suite::National)),
            (&international.root, &national.root)
        );
        let held = bare.append(&[roots.encode(), b"three".to_vec()]).unwrap().log;
        assert_eq!((held.checkpoints().unwrap()[1].size, held.roots_entry()), (4, None));
        // No other roots get in, whoever hands them over, nor those of an earlier size once a later one is published.
        let false_roots = RootsEntry::new(ORIGIN, 1, [0; 32], national.root).unwrap().encode();
        assert_eq!(log.append(&[false_roots]).unwrap_err(), TransparencyError::RootsDiffer { index: 1 });
        let mut later = held.clone();
        later.publish().unwrap();
        assert!(later.append(&[roots.encode()]).is_err());
        assert!(TwinLog::empty("two\nlines").is_err());
    }

    #[test]
    fn a_twin_of_other_entries_is_not_loaded() {
        let growth =
            |salt: u8| TwinLog::empty(ORIGIN).unwrap().append(&[vec![salt, 1], vec![salt, 2], vec![salt, 3]]).unwrap();
        let (one, other) = (growth(1), growth(2));
        let reader = |files: Vec<(String, Vec<u8>)>| {
            let mut stored = Files::default();
            stored.put(files);
            move |path: &str| stored.read(path)
        };
        let first = reader(one.international);
        assert!(TwinLog::load(ORIGIN, &first, &reader(one.national), 3).is_ok());
        let wrong = TwinLog::load(ORIGIN, &first, &reader(other.national), 3);
        assert!(matches!(wrong, Err(TransparencyError::TileDamaged { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn both_grow_over_the_same_entries(steps in proptest::collection::vec(0..300_usize, 1..5)) {
            let (mut first, mut twin) = (Files::default(), Files::default());
            let mut log = TwinLog::empty(ORIGIN).unwrap();
            let mut audit = TwinAudit::begin(ORIGIN).unwrap();
            for step in steps {
                let mut entries: Vec<Vec<u8>> = (0..step).map(|number| vec![number as u8; number % 7]).collect();
                if let Some(roots) = log.roots_entry() {
                    entries.insert(0, roots.encode());
                }
                let growth = log.append(&entries).unwrap();
                first.put(growth.international);
                twin.put(growth.national);
                log = growth.log;
                log.publish().unwrap();
                for entry in &entries {
                    audit.read(entry).unwrap();
                }
                audit.check_published().unwrap();
                let (size, read, read_twin) = (log.size(), |path: &str| first.read(path), |path: &str| twin.read(path));
                prop_assert_eq!(&TwinLog::load(ORIGIN, &read, &read_twin, size).unwrap(), &log);
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
