//! Reading a published log: files for those who ask over HTTP, and proofs.

use std::sync::{Mutex, PoisonError};

use lingqu_crypto::Suite;
use lingqu_transparency::{
    Checkpoint, Hash, LogProof, NoteVerifier, TilePath, TiledTree, TransparencyError, TreeHasher,
};

use super::{CHECKPOINT_PATH, LogError, LogFiles, Published, blocking};
use crate::error::StoreError;

/// Where a log's twin has its checkpoint and its tiles of hashes, below the log's prefix.
pub(super) const TWIN_PREFIX: &str = "sm3";
/// How paths of entry bundles begin (tlog-tiles, "Log Entries").
const BUNDLES: &str = "tile/entries/";

/// Reads a published log: what the `/log` addresses serve and what evidence takes its proofs from.
#[derive(Clone)]
pub struct LogReader {
    /// Checkpoint and tiles of hashes.
    pub(super) files: LogFiles,
    /// The entry bundles, which a log and its twin share.
    bundles: LogFiles,
    pub(super) verifier: NoteVerifier,
}

impl LogReader {
    /// A reader of the log in `files` whose checkpoint is signed by the key of `verifier`.
    pub fn new(files: LogFiles, verifier: NoteVerifier) -> LogReader {
        LogReader { bundles: files.clone(), files, verifier }
    }

    /// A reader of the twin of the log in `files`, by the twin's key.
    pub fn twin(files: LogFiles, verifier: NoteVerifier) -> LogReader {
        LogReader { files: files.below(TWIN_PREFIX), bundles: files, verifier }
    }

    /// The suite of the log's key and tree.
    pub(super) fn suite(&self) -> Suite {
        self.verifier.key_type().suite()
    }

    pub(super) fn hasher(&self) -> TreeHasher {
        TreeHasher::of(self.suite())
    }

    /// The file at a path below the log's prefix; bundles are found wherever they are stored.
    pub(super) fn read(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if path.starts_with(BUNDLES) { self.bundles.read(path) } else { self.files.read(path) }
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
        blocking(move || Ok(reader.read(&path)?)).await
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
            let (entry, path) = reader.with_tiles(|read| {
                let mut tree = TiledTree::new(reader.hasher(), read, size);
                Ok((tree.entry(index)?, tree.inclusion_proof(index)?))
            })?;
            Ok((entry, LogProof { extra: None, index, path, checkpoint }))
        })
        .await
    }

    /// The proofs of several entries under a checkpoint that was published earlier, in their order, without the entries
    /// themselves: the checkpoint is opened once, and no bundle of entries is read.
    ///
    /// # Errors
    /// As [`LogReader::prove_under`].
    pub async fn proofs_under(&self, indexes: &[u64], note: &str) -> Result<Vec<LogProof>, LogError> {
        let size = Checkpoint::open(note, &self.verifier)?.size;
        if let Some(index) = indexes.iter().copied().find(|index| *index >= size) {
            return Err(LogError::NotPublished { index, size });
        }
        let (reader, indexes, checkpoint) = (self.clone(), indexes.to_vec(), note.to_owned());
        blocking(move || {
            let mut proofs = Vec::with_capacity(indexes.len());
            for index in indexes {
                let path =
                    reader.with_tiles(|read| TiledTree::new(reader.hasher(), read, size).inclusion_proof(index))?;
                proofs.push(LogProof { extra: None, index, path, checkpoint: checkpoint.clone() });
            }
            Ok(proofs)
        })
        .await
    }

    /// The hashes that prove the published log to continue the one of `old_size` entries, with the published checkpoint.
    ///
    /// # Errors
    /// [`LogError::NotPublished`] when the log is smaller; [`LogError::Log`] names a missing or damaged file.
    pub async fn prove_consistency(&self, old_size: u64) -> Result<(Vec<Hash>, Published), LogError> {
        let reader = self.clone();
        blocking(move || {
            let published = reader.read_published()?;
            let size = published.as_ref().map_or(0, |published| published.checkpoint.size);
            let published = published
                .filter(|_| old_size <= size)
                .ok_or(LogError::NotPublished { index: old_size.saturating_sub(1), size })?;
            let hashes =
                reader.with_tiles(|read| TiledTree::new(reader.hasher(), read, size).consistency_proof(old_size))?;
            Ok((hashes, published))
        })
        .await
    }

    pub(super) fn read_published(&self) -> Result<Option<Published>, LogError> {
        self.read_note(CHECKPOINT_PATH)
    }

    /// A checkpoint of this log at a path below its prefix, if there is one.
    pub(super) fn read_note(&self, path: &str) -> Result<Option<Published>, LogError> {
        let Some(bytes) = self.files.read(path)? else { return Ok(None) };
        let damaged = |problem: String| TransparencyError::TileDamaged { path: path.to_owned(), problem };
        let note = String::from_utf8(bytes).map_err(|_| self.named(damaged("it is no text".to_owned()).into()))?;
        let opened = Checkpoint::open(&note, &self.verifier);
        let checkpoint = opened.map_err(|error| self.named(damaged(error.to_string()).into()))?;
        Ok(Some(Published { checkpoint, note }))
    }

    /// The root that the tiles of a log of `size` entries give for an earlier size.
    pub(super) fn root_at(&self, size: u64, earlier: u64) -> Result<Hash, LogError> {
        self.with_tiles(|read| TiledTree::new(self.hasher(), read, size).root_at(earlier))
    }

    /// A function that reads tiles; a fault of the disk goes to `fault`.
    pub(super) fn tiles<'a>(&'a self, fault: &'a Mutex<Option<StoreError>>) -> impl Fn(&str) -> Option<Vec<u8>> + 'a {
        |path| {
            self.read(path).unwrap_or_else(|error| {
                *fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                None
            })
        }
    }

    /// Calls `work` with a function that reads tiles. A fault of the disk is told as such, not as a missing file.
    pub(super) fn with_tiles<T>(
        &self,
        work: impl FnOnce(lingqu_transparency::TileRead<'_>) -> Result<T, TransparencyError>,
    ) -> Result<T, LogError> {
        let fault = Mutex::new(None);
        let result = work(&self.tiles(&fault));
        match fault.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error.into()),
            None => result.map_err(|error| self.named(error.into())),
        }
    }

    /// An error that names the file by its path below the first log's prefix, whichever of the two it belongs to.
    pub(super) fn named(&self, error: LogError) -> LogError {
        if self.suite() == Suite::International {
            return error;
        }
        let below = |path: String| if path.starts_with(BUNDLES) { path } else { format!("{TWIN_PREFIX}/{path}") };
        match error {
            LogError::FileDiffers { path } => LogError::FileDiffers { path: below(path) },
            LogError::Log(TransparencyError::TileMissing { path }) => {
                LogError::Log(TransparencyError::TileMissing { path: below(path) })
            }
            LogError::Log(TransparencyError::TileDamaged { path, problem }) => {
                LogError::Log(TransparencyError::TileDamaged { path: below(path), problem })
            }
            other => other,
        }
    }
}
