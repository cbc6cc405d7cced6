//! Files that were uploaded, kept in the node's directory until their job has ended. Durable before the job is, bounded all
//! together and for each provider, and gone when no job comes of them.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use lingqu_crypto::Sha256Hasher;
use lingqu_domain::id::{IngestionId, PartyId, ResourceId};
use lingqu_engine::source::SourceFormat;
use tokio::io::AsyncWriteExt;

use super::shares::{NoShare, Shares};
use super::{App, Ingestions};
use crate::clock::Stopwatch;
use crate::error::AppError;

/// Room for uploaded files of all open jobs together (16 GiB), of which one provider has at most half
/// ([`super::shares`]).
const SPOOLED_BYTES_MAX: u64 = 16 << 30;
/// How long an upload may take from its first byte to its last: whoever sends slowly holds room that others wait for.
const UPLOAD_TIME_MAX: Duration = Duration::from_secs(3_600);
/// Longest name of a file, in bytes.
const NAME_BYTES_MAX: usize = 150;

/// A file that is being uploaded. Dropped, it is removed.
#[derive(Debug)]
pub struct Spool {
    file: tokio::fs::File,
    hasher: Sha256Hasher,
    since: Stopwatch,
    spooled: Spooled,
}

/// A file that was uploaded and belongs to no job yet. Dropped, it is removed.
pub struct Spooled {
    ingestions: Arc<Ingestions>,
    id: IngestionId,
    provider: PartyId,
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
    /// Begins to keep a file for a resource, whose provider's share of the room it takes. `name` is what whoever sends it calls
    /// it; a format that it does not tell by its ending is told by `format`.
    pub async fn spool(
        &self,
        resource: &ResourceId,
        name: &str,
        format: Option<SourceFormat>,
    ) -> Result<Spool, AppError> {
        let provider = self.resource(resource)?.provider;
        let id = self.next_ingestion_id()?;
        let folder = self.ingestions.folder(&id);
        let path = folder.join(file_name(name, format));
        self.ingestions.spooling().insert(id.clone());
        // From here on dropping it clears up.
        let spooled = Spooled {
            ingestions: Arc::clone(&self.ingestions),
            id,
            provider,
            name: name.to_owned(),
            path,
            digest: String::new(),
            bytes: 0,
            is_of_job: false,
        };
        tokio::fs::create_dir_all(&folder).await.map_err(|error| AppError::file("make", &folder, &error))?;
        let file = tokio::fs::File::create_new(&spooled.path).await;
        let file = file.map_err(|error| AppError::file("keep an upload in", &spooled.path, &error))?;
        Ok(Spool { file, hasher: Sha256Hasher::default(), since: self.clock().stopwatch(), spooled })
    }
}

impl Spool {
    /// Keeps some more bytes. Error: the room for uploads, or the provider's share of it, is used up; it takes too long; the
    /// disk.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        if self.since.elapsed() > UPLOAD_TIME_MAX {
            return Err(AppError::UploadTooLong { minutes: UPLOAD_TIME_MAX.as_secs() / 60 });
        }
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
        self.ingestions.room().reserve(&self.id, &self.provider, bytes)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Spooled {
    fn drop(&mut self) {
        self.ingestions.spooling().remove(&self.id);
        if !self.is_of_job {
            self.ingestions.room().give_back(&self.id);
            // What stays takes space until the next start, which clears it up.
            drop(std::fs::remove_dir_all(self.folder()));
        }
    }
}

/// What uploaded files take, by job.
#[derive(Debug)]
pub(super) struct Room {
    bytes: Shares<PartyId>,
    by_job: BTreeMap<IngestionId, (PartyId, u64)>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self { bytes: Shares::of(SPOOLED_BYTES_MAX), by_job: BTreeMap::new() }
    }

    /// Takes room for some bytes of a job's file. Error: there is not so much left, for anybody or for this provider.
    fn reserve(&mut self, id: &IngestionId, provider: &PartyId, bytes: u64) -> Result<(), AppError> {
        self.bytes.take(provider, bytes).map_err(|none| match none {
            NoShare::Full => AppError::UploadsFull,
            NoShare::Own => AppError::OwnUploadsFull,
        })?;
        self.note(id, provider, bytes);
        Ok(())
    }

    /// Counts what an earlier process kept.
    fn hold(&mut self, id: &IngestionId, provider: &PartyId, bytes: u64) {
        self.bytes.hold(provider, bytes);
        self.note(id, provider, bytes);
    }

    fn note(&mut self, id: &IngestionId, provider: &PartyId, bytes: u64) {
        let held = self.by_job.entry(id.clone()).or_insert_with(|| (provider.clone(), 0));
        held.1 = held.1.saturating_add(bytes);
    }

    /// Gives back all that a job's file takes, once.
    fn give_back(&mut self, id: &IngestionId) {
        if let Some((provider, bytes)) = self.by_job.remove(id) {
            self.bytes.give_back(&provider, bytes);
        }
    }
}

impl Ingestions {
    fn room(&self) -> MutexGuard<'_, Room> {
        self.room.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn spooling(&self) -> std::sync::MutexGuard<'_, std::collections::BTreeSet<IngestionId>> {
        self.spooling.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Removes the uploaded file of a job that has ended; its rejected rows stay, if it has any.
    pub(super) fn remove_source(&self, id: &IngestionId) {
        let (folder, rejects) = (self.folder(id), self.rejects(id));
        let mut is_gone = true;
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let is_empty = entry.metadata().is_ok_and(|metadata| metadata.len() == 0);
            if entry.path() == rejects && !is_empty {
                continue;
            }
            is_gone &= std::fs::remove_file(entry.path()).is_ok();
        }
        // What can't be removed takes its room until the next start.
        if is_gone {
            self.room().give_back(id);
        }
        // Refused while rejected rows are in it, which is meant.
        drop(std::fs::remove_dir(&folder));
    }

    /// Counts what an upload to an earlier process takes.
    pub(super) fn count_source(&self, id: &IngestionId, provider: &PartyId) {
        let rejects = self.rejects(id);
        for entry in std::fs::read_dir(self.folder(id)).into_iter().flatten().flatten() {
            if entry.path() != rejects {
                let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
                self.room().hold(id, provider, bytes);
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

    fn job(number: u8) -> IngestionId {
        format!("ing_{number:032}").parse().unwrap()
    }

    fn provider(number: u8) -> PartyId {
        format!("pty_{number:032}").parse().unwrap()
    }

    #[test]
    fn the_room_for_uploads_is_shared_and_comes_back() {
        const HALF: u64 = SPOOLED_BYTES_MAX / 2;
        let mut room = Room::new();
        assert!(room.reserve(&job(1), &provider(1), HALF - 5).is_ok());
        assert!(room.reserve(&job(2), &provider(1), 5).is_ok());
        assert!(matches!(room.reserve(&job(2), &provider(1), 1), Err(AppError::OwnUploadsFull)));
        // Another provider finds room, whatever the first one sends.
        assert!(room.reserve(&job(3), &provider(2), HALF / 2).is_ok());
        assert!(matches!(room.reserve(&job(3), &provider(2), 1), Err(AppError::OwnUploadsFull)));
        assert!(matches!(room.reserve(&job(4), &provider(3), HALF), Err(AppError::UploadsFull)));
        assert!(matches!(room.reserve(&job(4), &provider(3), u64::MAX), Err(AppError::UploadsFull)));
        room.give_back(&job(1));
        // Once.
        room.give_back(&job(1));
        assert!(room.reserve(&job(5), &provider(1), HALF / 2).is_ok());
        assert!(matches!(room.reserve(&job(5), &provider(1), HALF), Err(AppError::UploadsFull)));
        // What an earlier process kept counts, be it more than a share.
        let mut after = Room::new();
        after.hold(&job(1), &provider(1), SPOOLED_BYTES_MAX);
        assert!(matches!(after.reserve(&job(2), &provider(2), 1), Err(AppError::UploadsFull)));
        after.give_back(&job(1));
        assert!(after.reserve(&job(2), &provider(2), 1).is_ok());
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
