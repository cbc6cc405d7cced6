//! Reading all entries of a log from outside: whether they are those that its checkpoint signs, and whether each entry of both
//! roots states what the log and its twin had.
//!
//! Unlike [`crate::TwinAudit`] it need not know which sizes were published: an entry names its size, and the trees' tiles tell the roots.

use lingqu_crypto::Suite;

use crate::edge::HashEdge;
use crate::error::malformed;
use crate::{
    Checkpoint, Hash, LogProof, Misconduct, NoteVerifier, RootsEntry, TileRead, TiledTree, TransparencyError,
    TreeHasher, twin_origin,
};

/// Takes the entries of a log one by one. It holds the right edge of the tree and nothing else.
#[derive(Debug, Clone)]
pub struct EntryAudit {
    edge: HashEdge,
}

impl EntryAudit {
    /// Begins at the first entry.
    pub fn begin(hasher: TreeHasher) -> EntryAudit {
        EntryAudit { edge: HashEdge::empty(hasher) }
    }

    /// Goes on behind `size` entries, with the tiles of the log that has `log_size` by now; `root` is what is known to be the root at the
    /// smaller size.
    ///
    /// # Errors
    /// [`TransparencyError::TileMissing`], [`TransparencyError::TileDamaged`]; [`TransparencyError::OutOfRange`] when the log is smaller; [`TransparencyError::ProofFailed`] when the tiles don't
    /// lead to the root.
    pub fn resume(
        hasher: TreeHasher,
        read: TileRead<'_>,
        (size, log_size): (u64, u64),
        root: &Hash,
    ) -> Result<EntryAudit, TransparencyError> {
        let edge = HashEdge::load_within(hasher, read, size, log_size)?;
        if edge.root() != *root {
            return Err(TransparencyError::ProofFailed { what: "consistency" });
        }
        Ok(EntryAudit { edge })
    }

    /// How many entries there were.
    pub fn size(&self) -> u64 {
        self.edge.size()
    }

    /// The root that they make.
    pub fn root(&self) -> Hash {
        self.edge.root()
    }

    /// Takes the next entry; what it states, if it is an entry of both roots.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] for an entry of both roots that is damaged, or about a size that is not before it.
    pub fn read(&mut self, entry: &[u8]) -> Result<Option<RootsEntry>, TransparencyError> {
        self.read_growing(entry, &mut Vec::new())
    }

    /// As [`EntryAudit::read`]; what the tiles of hashes that the entry fills up must hold goes to `tiles`, with their paths below
    /// the log's prefix.
    ///
    /// # Errors
    /// Those of [`EntryAudit::read`].
    pub fn read_growing(
        &mut self,
        entry: &[u8],
        tiles: &mut Vec<(String, Vec<u8>)>,
    ) -> Result<Option<RootsEntry>, TransparencyError> {
        let roots = match RootsEntry::is_named_by(entry) {
            true => Some(RootsEntry::decode(entry)?),
            false => None,
        };
        if roots.as_ref().is_some_and(|roots| roots.size() > self.size()) {
            return Err(malformed("an entry of both roots", "it is about a size that the log did not have yet"));
        }
        self.edge.push(self.edge.hasher().leaf_hash(entry), tiles);
        Ok(roots)
    }

    /// What the unfinished tiles of hashes must hold at this size, with their paths below the log's prefix.
    pub fn edge_tiles(&self) -> Vec<(String, Vec<u8>)> {
        let mut tiles = Vec::new();
        self.edge.partial_files(0, &mut tiles);
        tiles
    }
}

/// An entry of both roots as it stands in a log.
#[derive(Debug, Clone)]
pub struct AuditedRoots {
    /// The entry's index.
    pub index: u64,
    /// The entry, encoded.
    pub entry: Vec<u8>,
    /// What it states.
    pub roots: RootsEntry,
}

/// Holds entries of both roots against a signed checkpoint of one of the logs, the log that holds them or its twin, with that
/// log's tiles. The tiles that are asked for again are held, so that many entries in a row cost little each.
pub struct RootsCheck<'a> {
    checkpoint: Checkpoint,
    suite: Suite,
    tree: TiledTree<'a>,
}

impl<'a> RootsCheck<'a> {
    /// A check against the checkpoint in a note.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] refuses.
    pub fn new(note: &str, key: &NoteVerifier, read: TileRead<'a>) -> Result<RootsCheck<'a>, TransparencyError> {
        let checkpoint = Checkpoint::open(note, key)?;
        let suite = key.key_type().suite();
        let tree = TiledTree::new(TreeHasher::of(suite), read, checkpoint.size);
        Ok(RootsCheck { checkpoint, suite, tree })
    }

    /// `None` when the tree had the root that the entry states; else the root that it had, and the hashes that prove it.
    ///
    /// # Errors
    /// [`TransparencyError::OtherLog`] for an entry about other logs; [`TransparencyError::OutOfRange`] when the checkpoint is of a
    /// smaller size than the entry is about; those of [`TiledTree::proven_root_at`].
    pub fn check(&mut self, audited: &AuditedRoots) -> Result<Option<(Hash, Vec<Hash>)>, TransparencyError> {
        let (roots, origin) = (&audited.roots, &self.checkpoint.origin);
        if roots.origin() != origin && twin_origin(roots.origin()) != *origin {
            return Err(TransparencyError::OtherLog { found: roots.origin().to_owned(), expected: origin.clone() });
        }
        let (root, proof) = self.tree.proven_root_at(roots.size(), &self.checkpoint.root)?;
        Ok((root != *roots.root_of(self.suite)).then_some((root, proof)))
    }
}

impl AuditedRoots {
    /// The proof that a log's twin signs another root than this entry of the log states: `root` and `consistency` are what
    /// [`RootsCheck::check`] gave for the twin, `read` reads the log's tiles.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] refuses; those of [`TiledTree::inclusion_proof`].
    pub fn twin_differs(
        &self,
        log: (&str, &NoteVerifier),
        read: TileRead<'_>,
        twin: &str,
        (root, consistency): (Hash, Vec<Hash>),
    ) -> Result<Misconduct, TransparencyError> {
        let (note, key) = log;
        let checkpoint = Checkpoint::open(note, key)?;
        let mut tree = TiledTree::new(TreeHasher::of(key.key_type().suite()), read, checkpoint.size);
        let path = tree.inclusion_proof(self.index)?;
        let proof = LogProof { extra: None, index: self.index, path, checkpoint: note.to_owned() };
        let (entry, twin) = (self.entry.clone(), twin.to_owned());
        Ok(Misconduct::TwinDiffers { entry, proof: Box::new(proof), twin, root, consistency })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lingqu_crypto::SigningKey;

    use super::*;
    use crate::{NoteSigner, TilePath, TreeState, TwinLog};

    const ORIGIN: &str = "node.example/log";

    type Files = BTreeMap<String, Vec<u8>>;

    fn keys() -> [NoteSigner; 2] {
        [
            NoteSigner::new(ORIGIN, SigningKey::from_seed([1; 32])).unwrap(),
            NoteSigner::new(&twin_origin(ORIGIN), SigningKey::national_from_seed([1; 32]).unwrap()).unwrap(),
        ]
    }

    /// Both logs of some sizes that were published one after the other, all entries, and the files of each log.
    fn published(sizes: &[u64]) -> (TwinLog, Vec<Vec<u8>>, [Files; 2]) {
        let mut log = TwinLog::empty(ORIGIN).unwrap();
        let (mut all, mut files) = (Vec::new(), [Files::new(), Files::new()]);
        for size in sizes {
            while log.size() < *size {
                let entry = match log.roots_entry() {
                    Some(roots) => roots.encode(),
                    None => format!("entry {}", log.size()).into_bytes(),
                };
                let grown = log.append(std::slice::from_ref(&entry)).unwrap();
                log = grown.log;
                files[0].extend(grown.international);
                files[1].extend(grown.national);
                all.push(entry);
            }
            log.publish().unwrap();
        }
        (log, all, files)
    }

    fn note(log: &TwinLog, suite: Suite) -> String {
        let place = usize::from(suite == Suite::National);
        let [first, second] = log.checkpoints().unwrap();
        [first, second][place].sign(&keys()[place]).unwrap()
    }

    #[test]
    fn entries_make_the_root_and_state_both_roots() {
        let (log, entries, files) = published(&[3, 9, 300, 520]);
        // A log of which one checkpoint was published: it has no tiles of the sizes on the way.
        let last =
            |path: &str| path.parse::<TilePath>().is_ok_and(|path| path.is_full() || matches!(path.width, 2 | 8));
        let read = |path: &str| files[0].get(path).filter(|_| last(path)).cloned();
        let twin = |path: &str| files[1].get(path).cloned();
        for from in [0_u64, 1, 9, 256, 300, 519] {
            let mut audit = EntryAudit::begin(TreeHasher::SHA256);
            if from > 0 {
                let root = TiledTree::new(TreeHasher::SHA256, &read, 520).root_at(from).unwrap();
                audit = EntryAudit::resume(TreeHasher::SHA256, &read, (from, 520), &root).unwrap();
                assert!(EntryAudit::resume(TreeHasher::SHA256, &read, (from, 520), &[0; 32]).is_err());
                assert!(EntryAudit::resume(TreeHasher::SHA256, &read, (from, from - 1), &root).is_err());
            }
            let mut found = Vec::new();
            for (index, entry) in entries.iter().enumerate().skip(from as usize) {
                let mut tiles = Vec::new();
                if let Some(roots) = audit.read_growing(entry, &mut tiles).unwrap() {
                    found.push(AuditedRoots { index: index as u64, entry: entry.clone(), roots });
                }
                assert!(tiles.iter().all(|(path, tile)| files[0].get(path) == Some(tile)));
                // Each leaf tile is told once, with the entry that fills it up, also where the audit began inside it.
                let leaf = (index % 256 == 255).then(|| format!("tile/0/{:03}", index / 256));
                assert_eq!(tiles.first().map(|(path, _)| path), leaf.as_ref());
            }
            for (path, tile) in audit.edge_tiles() {
                assert_eq!(files[0].get(&path), Some(&tile), "{path}");
            }
            assert_eq!((audit.size(), audit.root()), (520, log.root(Suite::International)));
            let sizes: Vec<u64> = found.iter().map(|audited| audited.roots.size()).collect();
            assert_eq!(sizes, [3_u64, 9, 300].iter().copied().filter(|size| *size >= from).collect::<Vec<_>>());
            for audited in &found {
                for (suite, read) in
                    [(Suite::International, &read as TileRead<'_>), (Suite::National, &twin as TileRead<'_>)]
                {
                    let key = &keys()[usize::from(suite == Suite::National)];
                    let mut check = RootsCheck::new(&note(&log, suite), key.verifier(), read).unwrap();
                    assert_eq!(check.check(audited), Ok(None));
                }
            }
        }
    }

    #[test]
    fn a_twin_that_parted_is_convicted_by_the_entry() {
        let (log, entries, files) = published(&[3, 9, 30]);
        let read = |path: &str| files[0].get(path).cloned();
        // The twin shows another history of the same length.
        let (mut other, mut shown) = (TreeState::empty_of(TreeHasher::SM3), Files::new());
        for number in 0..30_u8 {
            let growth = other.append(&[vec![number]]).unwrap();
            shown.extend(growth.files);
            other = growth.state;
        }
        let twin_note =
            Checkpoint { origin: twin_origin(ORIGIN), size: 30, root: other.root() }.sign(&keys()[1]).unwrap();
        let twin = |path: &str| shown.get(path).cloned();
        let index = entries.iter().rposition(|entry| RootsEntry::is_named_by(entry)).unwrap();
        let entry = entries[index].clone();
        let roots = RootsEntry::decode(&entry).unwrap();
        let audited = AuditedRoots { index: index as u64, entry, roots };
        let [first, second] = keys();
        let check =
            |note: &str, read: TileRead<'_>| RootsCheck::new(note, second.verifier(), read).unwrap().check(&audited);
        let differs = check(&twin_note, &twin).unwrap().expect("the twin parted");
        let note = note(&log, Suite::International);
        let misconduct = audited.twin_differs((note.as_str(), first.verifier()), &read, &twin_note, differs).unwrap();
        let read_again = Misconduct::from_text(&misconduct.to_text()).unwrap();
        assert_eq!(read_again.verify(first.verifier(), Some(second.verifier())).unwrap().size, 9);
        // Tiles that don't belong to the checkpoint prove nothing.
        assert!(check(&twin_note, &read).is_err());
        // A twin that is behind says so.
        let behind = Checkpoint { origin: twin_origin(ORIGIN), size: 5, root: [0; 32] }.sign(&second).unwrap();
        assert!(matches!(check(&behind, &twin), Err(TransparencyError::OutOfRange { .. })));
        // Neither does an entry about other logs.
        let stranger = Checkpoint { origin: "other.example/sm3".to_owned(), size: 30, root: other.root() };
        let key = NoteSigner::new("other.example/sm3", SigningKey::national_from_seed([1; 32]).unwrap()).unwrap();
        let mut check = RootsCheck::new(&stranger.sign(&key).unwrap(), key.verifier(), &twin).unwrap();
        assert!(matches!(check.check(&audited), Err(TransparencyError::OtherLog { .. })));
    }

    #[test]
    fn entries_about_what_is_to_come_are_refused() {
        let mut audit = EntryAudit::begin(TreeHasher::SHA256);
        let ahead = RootsEntry::new(ORIGIN, 1, [0; 32], [0; 32]).unwrap().encode();
        assert!(audit.read(&ahead).is_err());
        assert_eq!(audit.size(), 0);
        assert_eq!(audit.read(b"LQE").unwrap(), None);
        assert!(audit.read(&ahead[..20]).is_err(), "a damaged entry of both roots is no other entry");
        assert_eq!(audit.size(), 1);
        assert!(audit.read(&ahead).unwrap().is_some());
    }
}
