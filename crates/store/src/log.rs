//! Publishing the transparency log: entries of the database become tiles, and the signed checkpoint is written last.
//!
//! The database is where entries are born, the published files are what others have seen. A publisher that starts reads
//! the files, compares them with the database, and refuses by name when they disagree: a log never forks to please a
//! restored backup. A crash between any two writes is harmless, because files of entries beyond the checkpoint are
//! written again with the same content.

mod check;
mod entries;
mod files;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use lingqu_transparency::{
    Checkpoint, LogProof, NoteSigner, NoteVerifier, TILE_WIDTH, TilePath, TransparencyError, TreeState,
    consistency_proof_from_tiles, entry_from_tiles, inclusion_proof_from_tiles,
};

use crate::error::StoreError;
use crate::store::Store;
use entries::read_entries;
pub(crate) use entries::{insert_entry, next_entry_index};

pub use check::check_log;
pub use files::{CHECKPOINT_PATH, LogFiles};

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

/// Reads a published log: what the `/log` addresses serve and what evidence takes its proofs from.
#[derive(Clone)]
pub struct LogReader {
    files: LogFiles,
    verifier: NoteVerifier,
}

impl LogReader {
    /// A reader of the log in `files` whose checkpoint is signed by the key of `verifier`.
    pub fn new(files: LogFiles, verifier: NoteVerifier) -> LogReader {
        LogReader { files, verifier }
    }

    /// The published checkpoint; `None` before the first one.
    ///
    /// # Errors
    /// [`LogError::Log`] when it isn't a checkpoint of this log; faults of the disk.
    pub async fn published(&self) -> Result<Option<Published>, LogError> {
        let reader = self.clone();
        blocking(move || reader.read_published()).await
    }

    /// A file by its path below the log's prefix: the checkpoint, a tile or a bundle. Any other path finds nothing.
    ///
    /// # Errors
    /// Faults of the disk.
    pub async fn file(&self, path: &str) -> Result<Option<Vec<u8>>, LogError> {
        if path != CHECKPOINT_PATH && path.parse::<TilePath>().is_err() {
            return Ok(None);
        }
        let (reader, path) = (self.clone(), path.to_owned());
        blocking(move || Ok(reader.files.read(&path)?)).await
    }

    /// The encoded entry at `index` and the proof that it is in the log.
    ///
    /// # Errors
    /// [`LogError::NotPublished`]; [`LogError::Log`] names a missing or damaged file.
    pub async fn prove(&self, index: u64) -> Result<(Vec<u8>, LogProof), LogError> {
        let published = self.published().await?.ok_or(LogError::NotPublished { index, size: 0 })?;
        self.prove_under(index, &published.note).await
    }

    /// Like [`LogReader::prove`], under a checkpoint that was published earlier: proofs of one bundle stand under one
    /// checkpoint, however the log grows meanwhile.
    ///
    /// # Errors
    /// As [`LogReader::prove`]; [`LogError::Log`] when the note is no checkpoint of this log.
    pub async fn prove_under(&self, index: u64, note: &str) -> Result<(Vec<u8>, LogProof), LogError> {
        let size = Checkpoint::open(note, &self.verifier)?.size;
        if index >= size {
            return Err(LogError::NotPublished { index, size });
        }
        let (reader, checkpoint) = (self.clone(), note.to_owned());
        blocking(move || {
            let entry = reader.with_tiles(|read| entry_from_tiles(read, index, size))?;
            let path = reader.with_tiles(|read| inclusion_proof_from_tiles(read, index, size))?;
            Ok((entry, LogProof { extra: None, index, path, checkpoint }))
        })
        .await
    }

    /// The hashes that prove the published log to continue the one of `old_size` entries, with the published checkpoint.
    ///
    /// # Errors
    /// [`LogError::NotPublished`] when the log is smaller; [`LogError::Log`] names a missing or damaged file.
    pub async fn prove_consistency(
        &self,
        old_size: u64,
    ) -> Result<(Vec<lingqu_transparency::Hash>, Published), LogError> {
        let reader = self.clone();
        blocking(move || {
            let published = reader.read_published()?;
            let size = published.as_ref().map_or(0, |published| published.checkpoint.size);
            let published = published
                .filter(|_| old_size <= size)
                .ok_or(LogError::NotPublished { index: old_size.saturating_sub(1), size })?;
            let hashes = reader.with_tiles(|read| consistency_proof_from_tiles(read, old_size, size))?;
            Ok((hashes, published))
        })
        .await
    }

    fn read_published(&self) -> Result<Option<Published>, LogError> {
        let Some(bytes) = self.files.read(CHECKPOINT_PATH)? else { return Ok(None) };
        let damaged = |problem: String| TransparencyError::TileDamaged { path: CHECKPOINT_PATH.to_owned(), problem };
        let note = String::from_utf8(bytes).map_err(|_| damaged("it is no text".to_owned()))?;
        let checkpoint = Checkpoint::open(&note, &self.verifier).map_err(|error| damaged(error.to_string()))?;
        Ok(Some(Published { checkpoint, note }))
    }

    /// Calls `work` with a function that reads tiles. A fault of the disk is told as such, not as a missing file.
    fn with_tiles<T>(
        &self,
        work: impl FnOnce(lingqu_transparency::TileRead<'_>) -> Result<T, TransparencyError>,
    ) -> Result<T, LogError> {
        let fault = Mutex::new(None);
        let result = work(&|path| {
            self.files.read(path).unwrap_or_else(|error| {
                *fault.lock().expect("this lock's holder can't panic") = Some(error);
                None
            })
        });
        match fault.into_inner().expect("this lock's holder can't panic") {
            Some(error) => Err(error.into()),
            None => Ok(result?),
        }
    }
}

/// Publishes the log of a node. One at a time.
pub struct LogPublisher {
    store: Store,
    reader: LogReader,
    signer: Arc<NoteSigner>,
    state: tokio::sync::Mutex<State>,
    /// Held for as long as the publisher lives; an object store has none.
    _lock: Option<std::fs::File>,
}

#[derive(Clone)]
struct State {
    tree: TreeState,
    published: Option<Published>,
}

impl LogPublisher {
    /// Takes up a published log where it was left, or begins one. The checkpoint's signature, the tiles of the right edge,
    /// and the last published entry are compared with the database.
    ///
    /// # Errors
    /// [`LogError::InUse`], [`LogError::DatabaseBehind`], [`LogError::EntryDiffers`], [`LogError::RootDiffers`],
    /// [`LogError::Log`] with the file's name.
    pub async fn open(store: &Store, files: LogFiles, signer: NoteSigner) -> Result<LogPublisher, LogError> {
        let reader = LogReader::new(files, signer.verifier().clone());
        let opening = reader.clone();
        let (state, last, lock) = blocking(move || {
            let lock = opening.files.lock()?;
            let Some(published) = opening.read_published()? else {
                return Ok((State { tree: TreeState::empty(), published: None }, None, lock));
            };
            let size = published.checkpoint.size;
            let tree = opening.with_tiles(|read| TreeState::load(read, size))?;
            if tree.root() != published.checkpoint.root {
                return Err(LogError::RootDiffers { size });
            }
            let last = match size.checked_sub(1) {
                Some(index) => Some((index, opening.with_tiles(|read| entry_from_tiles(read, index, size))?)),
                None => None,
            };
            Ok((State { tree, published: Some(published) }, last, lock))
        })
        .await?;
        if let Some((index, entry)) = last {
            let database = store.log_size().await?;
            if database <= index {
                return Err(LogError::DatabaseBehind { published: index + 1, database });
            }
            // Each entry holds digests with random salts, so two histories never share one.
            if read_entries(store, index, 1).await?.first() != Some(&entry) {
                return Err(LogError::EntryDiffers { index });
            }
        }
        Ok(LogPublisher {
            store: store.clone(),
            reader,
            signer: Arc::new(signer),
            state: tokio::sync::Mutex::new(state),
            _lock: lock,
        })
    }

    /// The reader of the same log.
    pub fn reader(&self) -> &LogReader {
        &self.reader
    }

    /// Publishes every entry that was in the database when the call began, and gives the checkpoint, which is durable then.
    ///
    /// # Errors
    /// [`LogError::FileDiffers`] when a file of the log has another content; faults. The log stays as it was then, and the
    /// next call tries again.
    pub async fn publish(&self) -> Result<Published, LogError> {
        let mut state = self.state.lock().await;
        let target = self.store.log_size().await?;
        let mut tree = state.tree.clone();
        while tree.size() < target {
            // A step ends where a bundle is full, so that only the last one leaves unfinished bundles behind.
            let count = (TILE_WIDTH - tree.size() % TILE_WIDTH).min(target - tree.size());
            let entries = read_entries(&self.store, tree.size(), count).await?;
            if entries.len() as u64 != count {
                return Err(LogError::DatabaseBehind {
                    published: tree.size(),
                    database: tree.size() + entries.len() as u64,
                });
            }
            let growth = tree.append(&entries)?;
            let files = self.reader.files.clone();
            blocking(move || files.write_tiles(&growth.files)).await?;
            tree = growth.state;
        }
        if let Some(published) = &state.published
            && published.checkpoint.size == tree.size()
        {
            return Ok(published.clone());
        }
        let checkpoint =
            Checkpoint { origin: self.reader.verifier.name().to_owned(), size: tree.size(), root: tree.root() };
        let note = checkpoint.sign(&self.signer)?;
        let (files, text) = (self.reader.files.clone(), note.clone());
        blocking(move || files.write_checkpoint(&text)).await?;
        let published = Published { checkpoint, note };
        *state = State { tree, published: Some(published.clone()) };
        Ok(published)
    }
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
