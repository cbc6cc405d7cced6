//! Publishing the transparency log and its twin: entries of the database become tiles, and the signed checkpoints are
//! written last.
//!
//! The database is where entries are born, the published files are what others have seen. A publisher that starts reads
//! the files, compares them with the database, and refuses by name when they disagree: a log never forks to please a
//! restored backup. A crash between any two writes is harmless, because files of entries beyond the checkpoint are
//! written again with the same content.
//!
//! The twin over SM3 has the same entries, whose bundles are stored once; its tiles and its checkpoint stand below
//! `sm3/`. Between two published sizes an entry holds the roots of both trees at the first. It goes into the database like any
//! other entry, with a row that the size can have once, so a crash leaves that entry or none.

mod catch_up;
mod check;
mod entries;
mod files;
mod publisher;
mod reader;
mod roots;
mod sequencer;
mod signed;
mod trees;
mod twin_start;
mod witnessed;

use std::path::PathBuf;

use lingqu_transparency::{Checkpoint, TransparencyError};

use crate::error::StoreError;
pub(crate) use entries::{insert_entries, insert_entry, next_entry_index};

pub use check::check_log;
pub use files::{CHECKPOINT_PATH, LogFiles};
pub use publisher::{Heads, LogKeys, LogPublisher, check_without_twin};
pub use reader::LogReader;
pub use sequencer::LEASE;
pub use witnessed::witnessed_day;

/// Why the log can't be published or read.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file of the log is missing or damaged, or the checkpoint is not this node's. The message names it.
    #[error(transparent)]
    Log(#[from] TransparencyError),
    /// The published log has more entries than the database.
    #[error(
        "the published log has {published} entries but the database only {database}: the database is older than the log; \
         restore a newer backup of the database, a published log can't be taken back"
    )]
    DatabaseBehind {
        /// Entries of the published log.
        published: u64,
        /// Entries of the database.
        database: u64,
    },
    /// An entry differs between the published log and the database.
    #[error(
        "entry {index} of the published log is another one than in the database; restore the database or the log directory \
         that belong together"
    )]
    EntryDiffers {
        /// The entry's index.
        index: u64,
    },
    /// The stored tiles don't lead to the root that the checkpoint signs.
    #[error(
        "the log's files don't lead to the root of its checkpoint of size {size}; restore them from a copy of the log's directory"
    )]
    RootDiffers {
        /// The checkpoint's size.
        size: u64,
    },
    /// A file that should never change has another content than the entries give.
    #[error(
        "the log file {path} has another content than the database's entries give; restore the log's directory from a copy"
    )]
    FileDiffers {
        /// Its path below the log's prefix.
        path: String,
    },
    /// Another process publishes.
    #[error("another lingqu process publishes the log in {directory}; end it before starting this one")]
    InUse {
        /// The log's directory.
        directory: PathBuf,
    },
    /// Another process publishes, by the database that both use.
    #[error(
        "another lingqu process publishes the log of this database; it does so until it ends, or {seconds} seconds after it was \
         last heard of"
    )]
    NotSequencer {
        /// How long it may be silent.
        seconds: u64,
    },
    /// Another process has begun to publish since this one did.
    #[error("another lingqu process has taken over publishing the log from this one, which was silent for too long")]
    SequencerLost,
    /// The files are those of an earlier time, or of another place.
    #[error(
        "the log's files end at {published} entries, and {database} were published; give every process of the node the same \
         log directory (`directory` under `[log]`), or restore its newest copy"
    )]
    FilesBehind {
        /// Entries of the files.
        published: u64,
        /// The size that an entry of both roots states, or that a process was about to publish last.
        database: u64,
    },
    /// The twin was published, and this publisher has no key for it.
    #[error(
        "the twin log over SM3 was published with {size} entries and can't end: a log that stops looks like one that hides \
         something; put \"national\" back into `suites` under `[log]`"
    )]
    TwinLeftOut {
        /// Entries of the twin.
        size: u64,
    },
    /// An entry of both roots that the table of them doesn't have, or has elsewhere.
    #[error(
        "entry {index} holds the roots of both logs, and the table log_roots does not name it; restore the database"
    )]
    RootsUnknown {
        /// The entry's index.
        index: u64,
    },
    /// The heads to publish are not those that were signed last.
    #[error("the checkpoint of size {size} is not the one that was signed last; sign again")]
    Superseded {
        /// Its size.
        size: u64,
    },
    /// The entry is not published yet.
    #[error("entry {index} is not published yet, the checkpoint has {size} entries; publish the log first")]
    NotPublished {
        /// The entry's index.
        index: u64,
        /// Entries of the checkpoint.
        size: u64,
    },
    /// The database or the disk failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A signed checkpoint as it was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Origin, size and root.
    pub checkpoint: Checkpoint,
    /// The signed note, verbatim.
    pub note: String,
}

/// Runs file work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, LogError> + Send + 'static,
) -> Result<T, LogError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::invalid("publishing the log was interrupted; the node is shutting down").into()),
    }
}
