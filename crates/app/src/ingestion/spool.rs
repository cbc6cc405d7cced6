//! Files that were uploaded, kept in the node's directory until their job has ended. Durable before the job is, bounded all
//! together, and gone when no job comes of them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use lingqu_crypto::Sha256Hasher;
use lingqu_domain::id::IngestionId;
use lingqu_engine::source::SourceFormat;
use tokio::io::AsyncWriteExt;

use super::{App, Ingestions};
use crate::error::AppError;

/// Room for uploaded files of all open jobs together (16 GiB).
const SPOOLED_BYTES_MAX: u64 = 16 << 30;
/// Longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 150;

/// A file that is being uploaded. Dropped, it is removed.
#[derive(Debug)]
pub struct Spool {
    file: tokio::fs::File,
    hasher: Sha256Hasher,
    spooled: Spooled,
}

/// A file that was uploaded and belongs to no job yet. Dropped, it is removed.
pub struct Spooled {
    ingestions: Arc<Ingestions>,
    id: IngestionId,
    name: String,
    path: PathBuf,
    digest: String,
    bytes: u64,
    is_of_job: bool,
}

impl std::fmt::Debug for Spooled {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Spooled").field("id", &self.id).field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl App {
    /// Begins to keep a file. `name` is what whoever sends it calls it; a format that it does not tell by its ending is told by
    /// `format`.
    pub async fn spool(&self, name: &str, format: Option<SourceFormat>) -> Result<Spool, AppError> {
        let id = self.next_ingestion_id()?;
        let folder = self.ingestions.folder(&id);
        let path = folder.join(file_name(name, format));
        self.ingestions.spooling().insert(id.clone());
        // From here on dropping it clears up.
        let spooled = Spooled {
            ingestions: Arc::clone(&self.ingestions),
            id,
            name: name.to_owned(),
            path,
            digest: String::new(),
            bytes: 0,
            is_of_job: false,
        };
        tokio::fs::create_dir_all(&folder).await.map_err(|error| AppError::file("make", &folder, &error))?;
        let file = tokio::fs::File::create_new(&spooled.path).await;
        let file = file.map_err(|error| AppError::file("keep an upload in", &spooled.path, &error))?;
        Ok(Spool { file, hasher: Sha256Hasher::default(), spooled })
    }
}

impl Spool {
    /// Keeps some more bytes. Error: the room for uploads is used up; the disk.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        self.spooled.reserve(bytes.len() as u64)?;
        self.hasher.update(bytes);
        let written = self.file.write_all(bytes).await;
        written.map_err(|error| AppError::file("keep an upload in", &self.spooled.path, &error))
    }

    /// Ends the file. When this returns, it survives a loss of power.
    pub async fn finish(mut self) -> Result<Spooled, AppError> {
        let path = self.spooled.path.clone();
        let fault = |error: std::io::Error| AppError::file("keep an upload in", &path, &error);
        self.file.flush().await.map_err(fault)?;
        self.file.sync_all().await.map_err(fault)?;
        let folders = [self.spooled.folder(), self.spooled.ingestions.directory.clone()];
        tokio::task::spawn_blocking(move || -> Result<(), AppError> {
            for folder in folders {
                let synced = std::fs::File::open(&folder).and_then(|handle| handle.sync_all());
                synced.map_err(|error| AppError::file("sync", &folder, &error))?;
            }
            Ok(())
        })
        .await
        .map_err(|error| AppError::Fault(error.to_string()))??;
        self.spooled.digest = self.hasher.finish().to_string();
        Ok(self.spooled)
    }
}

impl Spooled {
    /// The id of the job that will read it.
    pub(super) fn id(&self) -> &IngestionId {
        &self.id
    }

    /// What whoever sent it calls it.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its name in the job's folder.
    pub(super) fn file_name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// SHA-256, in hex.
    pub(super) fn digest(&self) -> &str {
        &self.digest
    }

    /// Its length.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// A job has it now and removes it when it has ended.
    pub(super) fn belongs_to_job(&mut self) {
        self.is_of_job = true;
    }

    fn folder(&self) -> PathBuf {
        self.ingestions.folder(&self.id)
    }

    fn reserve(&mut self, bytes: u64) -> Result<(), AppError> {
        self.ingestions.reserve(bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.ingestions.spooling().remove(&self.id);
        if !self.is_of_job {
            self.ingestions.give_back(self.bytes);
            // What stays takes space until the next start, which clears it up.
            drop(std::fs::remove_dir_all(self.folder()));
        }
    }
}

impl Ingestions {
    pub(super) fn spooling(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<IngestionId>> {
        self.spooling.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes room for some bytes. Error: there is not so much left.
    fn reserve(&self, bytes: u64) -> Result<(), AppError> {
        let take = |before: u64| before.checked_add(bytes).filter(|after| *after <= SPOOLED_BYTES_MAX);
        let taken = self.spooled_bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take);
        taken.map(drop).map_err(|_| AppError::UploadsFull)
    }

    /// Removes the uploaded file of a job that has ended; its rejected rows stay, if it has any.
    pub(super) fn remove_source(&self, id: &IngestionId) {
        let (folder, rejects) = (self.folder(id), self.rejects(id));
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_empty = entry.metadata().is_ok_and(|metadata| metadata.len() == 0);
            if entry.path() == rejects && !is_empty {
                continue;
            }
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            if std::fs::remove_file(entry.path()).is_ok() && entry.path() != rejects {
                self.give_back(bytes);
            }
        }
        // Refused while rejected rows are in it, which is meant.
        drop(std::fs::remove_dir(&folder));
    }

    fn give_back(&self, bytes: u64) {
        let give = |before: u64| Some(before.saturating_sub(bytes));
        // The closure never refuses.
        let _before = self.spooled_bytes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, give);
    }

    /// Counts what uploads of an earlier process take.
    pub(super) fn count_source(&self, id: &IngestionId) {
        let rejects = self.rejects(id);
        for entry in std::fs::read_dir(self.folder(id)).into_iter().flatten().flatten() {
            if entry.path() != rejects {
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                self.spooled_bytes.fetch_add(bytes, Ordering::SeqCst);
            }
        }
    }
}

/// The name under which an upload is kept: what its sender calls it, without what is no letter or digit, and with an ending that
/// tells its format.
fn file_name(name: &str, format: Option<SourceFormat>) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let mut kept: String = last
        .chars()
        .map(|character| if character.is_alphanumeric() || ".-_".contains(character) { character } else { '_' })
        .collect();
    // The end tells the format, so what is too long is cut in front.
    while kept.len() > NAME_BYTES_MAX {
        kept.remove(0);
    }
    let kept = kept.trim_start_matches('.').to_owned();
    let kept = if kept.is_empty() || kept == "rejects.ndjson" { format!("upload-{kept}") } else { kept };
    let ending = match format {
        Some(format) if SourceFormat::of_name(&kept) != Some(format) => match format {
            SourceFormat::Csv => ".csv",
            SourceFormat::Tsv => ".tsv",
            SourceFormat::Xlsx => ".xlsx",
            SourceFormat::Json => ".json",
            SourceFormat::Parquet => ".parquet",
        },
        _ => "",
    };
    format!("{kept}{ending}")
}

/// SHA-256 in hex and length of a file, read in pieces.
pub(super) fn digest_of(path: &Path) -> Result<(String, u64), AppError> {
    let fault = |error: std::io::Error| AppError::file("read", path, &error);
    let mut file = std::fs::File::open(path).map_err(fault)?;
    let mut hasher = Sha256Hasher::default();
    let mut buffer = vec![0; 1 << 16];
    let mut bytes = 0;
    loop {
        let count = file.read(&mut buffer).map_err(fault)?;
        if count == 0 {
            return Ok((hasher.finish().to_string(), bytes));
        }
        hasher.update(&buffer[..count]);
        bytes += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_room_for_uploads_is_bounded_and_comes_back() {
        let directory = std::path::Path::new("nowhere");
        let ingestions = Ingestions::new(directory);
        assert!(ingestions.reserve(SPOOLED_BYTES_MAX - 5).is_ok());
        assert!(matches!(ingestions.reserve(6), Err(AppError::UploadsFull)));
        assert!(matches!(ingestions.reserve(u64::MAX), Err(AppError::UploadsFull)));
        assert!(ingestions.reserve(5).is_ok());
        ingestions.give_back(6);
        assert!(ingestions.reserve(6).is_ok() && ingestions.reserve(1).is_err());
        // What was counted twice does not make the room larger than it is.
        ingestions.give_back(u64::MAX);
        assert!(ingestions.reserve(SPOOLED_BYTES_MAX).is_ok() && ingestions.reserve(1).is_err());
    }

    #[test]
    fn a_name_that_was_sent_leads_nowhere_else() {
        for (sent, format, kept) in [
            ("trips.csv", None, "trips.csv"),
            ("../../etc/passwd", Some(SourceFormat::Csv), "passwd.csv"),
            ("C:\\data\\司机 1.xlsx", None, "司机_1.xlsx"),
            ("", Some(SourceFormat::Json), "upload-.json"),
            ("..", Some(SourceFormat::Csv), "upload-.csv"),
            ("rejects.ndjson", None, "upload-rejects.ndjson"),
            ("a.csv.gz", Some(SourceFormat::Csv), "a.csv.gz"),
            ("a\0b/c\n.csv", None, "c_.csv"),
        ] {
            assert_eq!(file_name(sent, format), kept);
        }
        assert!(file_name(&format!("{}.csv", "长".repeat(200)), None).len() <= NAME_BYTES_MAX);
    }
}
