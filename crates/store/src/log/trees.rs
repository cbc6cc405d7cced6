//! What a publisher grows over the entries: one tree, or two with a twin.

use std::sync::{Mutex, PoisonError};

use lingqu_crypto::Suite;
use lingqu_transparency::{Checkpoint, Growth, Hash, RootsEntry, TilePath, TreeState, TwinGrowth, TwinLog};

use super::{LogError, LogReader};

/// Files with their paths below a log's prefix.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// The right edge of a log, with that of its twin where there is one.
#[derive(Clone)]
pub(super) enum Trees {
    /// The log over SHA-256 alone.
    Single(TreeState),
    /// Both logs.
    Twin(Box<TwinLog>),
}

/// What some entries lead to.
pub(super) struct Grown {
    /// The trees to go on with.
    pub trees: Trees,
    /// Full tiles and bundles of the log over SHA-256.
    pub international: Files,
    /// Full tiles of the twin.
    pub national: Files,
}

impl Trees {
    pub(super) fn size(&self) -> u64 {
        match self {
            Trees::Single(tree) => tree.size(),
            Trees::Twin(log) => log.size(),
        }
    }

    pub(super) fn root(&self, suite: Suite) -> Option<Hash> {
        match (self, suite) {
            (Trees::Single(tree), Suite::International) => Some(tree.root()),
            (Trees::Single(_), Suite::National) => None,
            (Trees::Twin(log), _) => Some(log.root(suite)),
        }
    }

    /// The entry of both roots that must come before the next checkpoints.
    pub(super) fn roots_entry(&self) -> Option<&RootsEntry> {
        match self {
            Trees::Single(_) => None,
            Trees::Twin(log) => log.roots_entry(),
        }
    }

    /// Appends entries. What is unfinished is handed out by [`Trees::edge_files`], once, at the size that is signed.
    pub(super) fn append(&self, entries: &[Vec<u8>]) -> Result<Grown, LogError> {
        Ok(match self {
            Trees::Single(tree) => {
                let Growth { state, files, .. } = tree.append(entries)?;
                Grown { trees: Trees::Single(state), international: full(files), national: Vec::new() }
            }
            Trees::Twin(log) => {
                let TwinGrowth { log, international, national } = log.append(entries)?;
                Grown {
                    trees: Trees::Twin(Box::new(log)),
                    international: full(international),
                    national: full(national),
                }
            }
        })
    }

    /// The unfinished tiles of a suite's log, with the unfinished bundle for the one that has bundles.
    pub(super) fn edge_files(&self, suite: Suite) -> Files {
        match (self, suite) {
            (Trees::Single(tree), Suite::International) => tree.edge_files(),
            (Trees::Single(_), Suite::National) => Vec::new(),
            (Trees::Twin(log), _) => log.edge_files(suite),
        }
    }

    /// The checkpoints to sign: of the log named `origin`, and of its twin.
    pub(super) fn checkpoints(&self, origin: &str) -> Result<(Checkpoint, Option<Checkpoint>), LogError> {
        match self {
            Trees::Single(tree) => {
                Ok((Checkpoint { origin: origin.to_owned(), size: tree.size(), root: tree.root() }, None))
            }
            Trees::Twin(log) => {
                let [international, national] = log.checkpoints()?;
                Ok((international, Some(national)))
            }
        }
    }

    /// Says that the checkpoints of this size are published.
    pub(super) fn set_published(&mut self) -> Result<(), LogError> {
        if let Trees::Twin(log) = self {
            log.publish()?;
        }
        Ok(())
    }
}

/// Reads both edges of a stored log and its twin at a size that was published.
pub(super) fn load_twin(first: &LogReader, twin: &LogReader, size: u64) -> Result<TwinLog, LogError> {
    // What is wrong with the first log's edge is told as that; what is left is the twin's.
    first.with_tiles(|read| TreeState::load(read, size))?;
    let fault = Mutex::new(None);
    let loaded = TwinLog::load(first.verifier.name(), &first.tiles(&fault), &twin.tiles(&fault), size);
    match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error.into()),
        None => loaded.map_err(|error| twin.named(error.into())),
    }
}

/// The files that are full.
pub(super) fn full(mut files: Files) -> Files {
    files.retain(|(path, _)| path.parse::<TilePath>().is_ok_and(TilePath::is_full));
    files
}
