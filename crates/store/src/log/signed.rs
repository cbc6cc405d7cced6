//! Checkpoints that were signed and wait for the witnesses. Others may have seen them, so they are kept before anybody is asked:
//! whatever crashes, no later checkpoint contradicts one that was shown.
//!
//! Where no database says what was published last, the checkpoint that is about to be published is kept too, before the one that is
//! served is replaced: whoever opens the log next finds out that an earlier one was put back.

use lingqu_transparency::{Hash, TiledTree};

use super::{LogError, LogReader, Published, blocking};

/// Where the checkpoint that was signed last stands, below the log's prefix. It is never served.
const SIGNED_PATH: &str = "signed";
/// Where the checkpoint stands that was about to be published last, below the log's prefix. It is never served.
const ANNOUNCED_PATH: &str = "announced";

impl LogReader {
    /// Keeps a checkpoint that was signed and not published yet, durably, and gives the note to show: the same one again
    /// where one of this size was kept before. The one kept before must be a beginning of this one.
    ///
    /// # Errors
    /// [`LogError::DatabaseBehind`] when more entries were signed before; [`LogError::RootDiffers`] when the log's entries are
    /// others than those; [`LogError::Log`] with the file's name; faults of the disk.
    pub async fn keep_signed(&self, signed: Published) -> Result<Published, LogError> {
        let reader = self.clone();
        blocking(move || {
            if let Some(before) = reader.signed_before(signed.checkpoint.size)?
                && before.checkpoint.size == signed.checkpoint.size
            {
                return Ok(before);
            }
            reader.files.write_note(SIGNED_PATH, &signed.note)?;
            Ok(signed)
        })
        .await
    }

    /// Checks that a checkpoint of this size, which is to be published at once, continues the one that was kept last, if any was.
    ///
    /// # Errors
    /// Those of [`LogReader::keep_signed`].
    pub async fn check_signed(&self, size: u64) -> Result<(), LogError> {
        let reader = self.clone();
        blocking(move || reader.signed_before(size).map(|_| ())).await
    }

    /// The size of the checkpoint that was kept last; none where none was. Beyond what is published it waits for its witnesses.
    ///
    /// # Errors
    /// [`LogError::Log`] with the file's name when it is damaged; faults of the disk.
    pub async fn signed_size(&self) -> Result<Option<u64>, LogError> {
        let reader = self.clone();
        blocking(move || Ok(reader.read_note(SIGNED_PATH)?.map(|signed| signed.checkpoint.size))).await
    }

    /// The checkpoint that was kept last, which the log of this size has to continue.
    fn signed_before(&self, size: u64) -> Result<Option<Published>, LogError> {
        let Some(before) = self.read_note(SIGNED_PATH)? else { return Ok(None) };
        let earlier = before.checkpoint.size;
        if earlier > size {
            return Err(LogError::DatabaseBehind { published: earlier, database: size });
        }
        if self.root_at(size, earlier)? != before.checkpoint.root {
            return Err(LogError::RootDiffers { size: earlier });
        }
        Ok(Some(before))
    }

    /// Says durably which checkpoint is about to be published. Its tiles are durable before.
    pub(super) async fn announce(&self, head: &Published) -> Result<(), LogError> {
        let (files, note) = (self.files.clone(), head.note.clone());
        blocking(move || files.write_note(ANNOUNCED_PATH, &note)).await
    }

    /// The checkpoint that was published last, or may have been; none where nobody said it.
    pub(super) async fn announced(&self) -> Result<Option<Published>, LogError> {
        let reader = self.clone();
        blocking(move || reader.read_note(ANNOUNCED_PATH)).await
    }

    /// The hashes that prove a log of `new_size` entries, whose tiles are written, to continue the one of `old_size` entries:
    /// also before a checkpoint of it is published.
    ///
    /// # Errors
    /// [`LogError::Log`] names a missing or damaged file, or sizes that don't fit.
    pub async fn consistency(&self, old_size: u64, new_size: u64) -> Result<Vec<Hash>, LogError> {
        let reader = self.clone();
        blocking(move || {
            reader.with_tiles(|read| TiledTree::new(reader.hasher(), read, new_size).consistency_proof(old_size))
        })
        .await
    }
}
