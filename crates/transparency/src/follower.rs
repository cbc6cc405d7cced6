//! Following a log from outside: each checkpoint seen is held against the last one, with the log's own tiles.

use crate::merkle::TreeHasher;
use crate::tiles::TiledTree;
use crate::{Checkpoint, Misconduct, NoteVerifier, TileRead, TransparencyError};

/// What a follower knows of a log: its key, and the last checkpoint that continued all before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    log: NoteVerifier,
    latest: Option<(Checkpoint, String)>,
}

/// What a checkpoint that was fetched came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// The first checkpoint seen, or a larger one that continues the last.
    Grown {
        /// The size before; 0 for the first.
        from: u64,
        /// The size now.
        to: u64,
    },
    /// The checkpoint that is known.
    Unchanged,
    /// An earlier state of the same history: a copy that was kept too long, or a log that was set back.
    Older {
        /// Its size.
        size: u64,
    },
    /// The log contradicts what it signed before; the proof can be given to anyone.
    Misconduct(Box<Misconduct>),
}

impl Follower {
    /// Follows the log of this key, from the checkpoint seen last or from the next one on.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] refuses of the checkpoint seen last.
    pub fn new(log: NoteVerifier, latest: Option<&str>) -> Result<Follower, TransparencyError> {
        let latest = match latest {
            Some(note) => Some((Checkpoint::open(note, &log)?, note.to_owned())),
            None => None,
        };
        Ok(Follower { log, latest })
    }

    /// The last checkpoint that continued all before it, verbatim: what to keep for the next start.
    pub fn latest(&self) -> Option<&str> {
        self.latest.as_ref().map(|(_, note)| note.as_str())
    }

    /// Holds a checkpoint against the last one. `read` fetches the log's tiles; about 16 of them are read.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] refuses; [`TransparencyError::TileMissing`] and [`TransparencyError::TileDamaged`];
    /// [`TransparencyError::ProofFailed`] when the tiles don't lead to the root of the checkpoint, so that nothing can be
    /// proven either way. What is known stays as it was then, and an operator should look.
    pub fn observe(&mut self, note: &str, read: TileRead<'_>) -> Result<Observation, TransparencyError> {
        let seen = Checkpoint::open(note, &self.log)?;
        let Some((latest, latest_note)) = &self.latest else {
            let (from, to) = (0, seen.size);
            if self.tree(read, to).root()? != seen.root {
                return Err(TransparencyError::ProofFailed { what: "consistency" });
            }
            self.latest = Some((seen, note.to_owned()));
            return Ok(Observation::Grown { from, to });
        };
        if seen.size == latest.size {
            if seen.root == latest.root {
                return Ok(Observation::Unchanged);
            }
            let (one, other) = (latest_note.clone(), note.to_owned());
            return Ok(Observation::Misconduct(Box::new(Misconduct::Fork { one, other })));
        }
        let known = (latest, latest_note.as_str());
        let shown = (&seen, note);
        let (earlier, later) = if seen.size < latest.size { (shown, known) } else { (known, shown) };
        if let Some(misconduct) = self.rewrite(earlier, later, read)? {
            return Ok(Observation::Misconduct(Box::new(misconduct)));
        }
        if seen.size < latest.size {
            return Ok(Observation::Older { size: seen.size });
        }
        let (from, to) = (latest.size, seen.size);
        self.latest = Some((seen, note.to_owned()));
        Ok(Observation::Grown { from, to })
    }

    /// The proof that the later tree does not continue the earlier one; `None` when it does.
    fn rewrite(
        &self,
        earlier: (&Checkpoint, &str),
        later: (&Checkpoint, &str),
        read: TileRead<'_>,
    ) -> Result<Option<Misconduct>, TransparencyError> {
        let (old, new) = (earlier.0, later.0);
        let (root, proof) = self.tree(read, new.size).proven_root_at(old.size, &new.root)?;
        if root == old.root {
            return Ok(None);
        }
        let (earlier, later) = (earlier.1.to_owned(), later.1.to_owned());
        Ok(Some(Misconduct::Rewrite { earlier, later, root, proof }))
    }

    fn tree<'a>(&self, read: TileRead<'a>, size: u64) -> TiledTree<'a> {
        TiledTree::new(TreeHasher::of(self.log.key_type().suite()), read, size)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use lingqu_crypto::{SigningKey, Suite};

    use super::*;
    use crate::{NoteSigner, TreeState};

    const ORIGIN: &str = "node.example/log";

    /// A stored log with the checkpoints of all its sizes.
    struct Stored {
        signer: NoteSigner,
        files: BTreeMap<String, Vec<u8>>,
        notes: Vec<String>,
    }

    impl Stored {
        fn new(suite: Suite, count: u64, parting: u64, history: u64) -> Stored {
            let key = match suite {
                Suite::International => SigningKey::from_seed([1; 32]),
                Suite::National => SigningKey::national_from_seed([1; 32]).unwrap(),
            };
            let signer = NoteSigner::new(ORIGIN, key).unwrap();
            let (mut state, mut files, mut notes) =
                (TreeState::empty_of(TreeHasher::of(suite)), BTreeMap::new(), Vec::new());
            for number in 0..=count {
                let checkpoint = Checkpoint { origin: ORIGIN.to_owned(), size: state.size(), root: state.root() };
                notes.push(checkpoint.sign(&signer).unwrap());
                let entry = if number < parting { [number, 0] } else { [number, history] };
                let growth = state.append(&[entry.map(u64::to_be_bytes).concat()]).unwrap();
                if number < count {
                    files.extend(growth.files);
                }
                state = growth.state;
            }
            Stored { signer, files, notes }
        }

        fn read(&self, path: &str) -> Option<Vec<u8>> {
            self.files.get(path).cloned()
        }
    }

    #[test]
    fn an_honest_log_grows_and_is_sometimes_older() {
        for suite in [Suite::International, Suite::National] {
            let log = Stored::new(suite, 300, 999, 0);
            let read = |path: &str| log.read(path);
            let mut follower = Follower::new(log.signer.verifier().clone(), None).unwrap();
            let mut from = 0;
            for to in [0, 1, 2, 7, 8, 255, 256, 257, 300] {
                assert_eq!(follower.observe(&log.notes[to], &read), Ok(Observation::Grown { from, to: to as u64 }));
                assert_eq!(follower.observe(&log.notes[to], &read), Ok(Observation::Unchanged));
                from = to as u64;
            }
            assert_eq!(follower.observe(&log.notes[9], &read), Ok(Observation::Older { size: 9 }));
            // What it kept is enough to go on.
            let again = Follower::new(log.signer.verifier().clone(), follower.latest()).unwrap();
            assert_eq!(again, follower);
        }
    }

    #[test]
    fn forks_and_rewrites_are_proven_at_every_size() {
        let honest = Stored::new(Suite::International, 40, 999, 0);
        let other = Stored::new(Suite::International, 40, 3, 9);
        let key = honest.signer.verifier();
        for seen in [4, 5, 8, 16, 31] {
            for shown in [2, 4, 8, 16, 31, 40] {
                let mut follower = Follower::new(key.clone(), Some(&honest.notes[seen])).unwrap();
                // The log serves the tiles of the history that it shows.
                let read = |path: &str| if shown > seen { other.read(path) } else { honest.read(path) };
                let found = follower.observe(&other.notes[shown], &read).unwrap();
                if shown <= 3 {
                    // The histories have not parted yet.
                    assert_eq!(found, Observation::Older { size: shown as u64 });
                    continue;
                }
                let Observation::Misconduct(misconduct) = found else { panic!("{seen} {shown} {found:?}") };
                assert_eq!(misconduct.verify(key, None).unwrap().size, seen.min(shown) as u64);
                assert_eq!(follower.latest(), Some(honest.notes[seen].as_str()));
            }
        }
    }

    #[test]
    fn tiles_that_lead_elsewhere_prove_nothing() {
        let honest = Stored::new(Suite::International, 40, 999, 0);
        let other = Stored::new(Suite::International, 40, 3, 9);
        let key = honest.signer.verifier();
        let mut follower = Follower::new(key.clone(), Some(&honest.notes[8])).unwrap();
        let wrong = follower.observe(&honest.notes[40], &|path| other.read(path));
        assert_eq!(wrong, Err(TransparencyError::ProofFailed { what: "consistency" }));
        let missing = follower.observe(&honest.notes[40], &|_| None);
        assert!(matches!(missing, Err(TransparencyError::TileMissing { .. })));
        assert_eq!(follower.latest(), Some(honest.notes[8].as_str()));
        // Neither do tiles make a first checkpoint true, or one behind the empty log.
        for latest in [None, Some(honest.notes[0].as_str())] {
            let mut fresh = Follower::new(key.clone(), latest).unwrap();
            assert!(fresh.observe(&honest.notes[40], &|path| other.read(path)).is_err());
            assert!(fresh.observe(&honest.notes[40], &|path| honest.read(path)).is_ok());
        }
        assert!(follower.observe("no note", &|_| None).is_err());
    }
}
