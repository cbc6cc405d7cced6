//! The node's transparency log and its twin: receipts are committed, tiles grown, the checkpoints signed.

use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use lingqu_engine::object_place::ObjectPlace;
use lingqu_store::log::{LogError, LogFiles, LogKeys, LogPublisher, LogReader, Published, check_without_twin};
use lingqu_store::store::Backend;
use lingqu_transparency::{Checkpoint, NoteSigner, twin_origin};
use serde::Serialize;

use crate::app::App;
use crate::cosign::Release;
use crate::error::AppError;

/// How long a node that was opened to look waits for the running one to publish: so often, with this pause.
const HEAD_POLLS_MAX: u32 = 100;
const HEAD_POLL_PAUSE: Duration = Duration::from_millis(50);
/// The file in the node's directory whose lock lets one process publish into an object store, where the database does not say who does.
const OBJECTS_LOCK: &str = "log-objects.lock";
/// Where the twin stands below the log's prefix.
const TWIN_PREFIX: &str = "sm3/";

/// What is decided about a node's log outside its journal.
#[derive(Clone, Debug)]
pub struct LogSettings {
    /// Where its files are. Processes on one database share one place.
    pub place: LogPlace,
    /// Whether the twin over SM3 is published too. Once it was, it can't end.
    pub has_twin: bool,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { place: LogPlace::default(), has_twin: true }
    }
}

/// Where the files of a node's log are.
#[derive(Clone, Debug, Default)]
pub enum LogPlace {
    /// In `log` in the node's directory.
    #[default]
    Node,
    /// In a directory.
    Directory(PathBuf),
    /// In an object store.
    Objects(ObjectPlace),
}

/// What a process knows of its log beside the publisher.
pub(crate) struct LogRole {
    settings: OnceLock<LogSettings>,
    /// Heads of journal and receipts when the log was last seen to hold everything, and when that was.
    complete: Mutex<(Option<(u64, u64)>, Instant)>,
}

impl LogRole {
    pub(crate) fn new() -> LogRole {
        LogRole { settings: OnceLock::new(), complete: Mutex::new((None, Instant::now())) }
    }

    fn settings(&self) -> LogSettings {
        self.settings.get().cloned().unwrap_or_default()
    }

    /// Everything up to these heads is published, as of an instant.
    fn set_complete(&self, heads: (u64, u64), at: Instant) {
        *self.complete.lock().unwrap_or_else(PoisonError::into_inner) = (Some(heads), at);
    }

    fn complete(&self) -> (Option<(u64, u64)>, Instant) {
        *self.complete.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The published head of the twin log over SM3.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TwinView {
    /// The twin's origin, which is also the name of its key.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root hash over SM3, base64 as in the note.
    pub root: String,
    /// The note, signed with SM2.
    pub note: String,
    /// The key that verifies it, in the form of C2SP signed-note.
    pub vkey: String,
}

/// The published head of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointView {
    /// The log's origin, which is also the name of its key.
    pub origin: String,
    /// Entries.
    pub size: u64,
    /// Root hash, base64 as in the note.
    pub root: String,
    /// The signed note.
    pub note: String,
    /// The key that verifies it, in the form of C2SP signed-note.
    pub vkey: String,
    /// The head of the twin, where one is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub twin: Option<TwinView>,
}

/// How far the published log is behind the node's records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogLag {
    /// Receipt records that no entry of the log commits to yet.
    pub receipts_uncommitted: u64,
    /// Entries that no published checkpoint covers yet.
    pub entries_unpublished: u64,
    /// Milliseconds since the published log held everything that was recorded; 0 while it does.
    pub behind_ms: u64,
}

impl From<LogError> for AppError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Store(error) => AppError::Store(error),
            other => AppError::Log(other),
        }
    }
}

/// Whether another process publishes.
fn is_elsewhere(error: &AppError) -> bool {
    matches!(error, AppError::Log(LogError::InUse { .. } | LogError::NotSequencer { .. } | LogError::SequencerLost))
}

impl App {
    /// Tells the node, once, where its log is and which suites it has; without it both, in the node's directory.
    ///
    /// # Errors
    /// A fault when the log was told of before.
    pub fn set_log(&self, settings: LogSettings) -> Result<(), AppError> {
        self.log.settings.set(settings).map_err(|_| AppError::Fault("the log is set up already".to_owned()))
    }

    /// Whether the log may be as it is set up: a twin that was published can't end.
    ///
    /// # Errors
    /// The log's, with what to change; faults of database and disk.
    pub async fn check_log_settings(&self) -> Result<(), AppError> {
        if self.log.settings().has_twin {
            return Ok(());
        }
        Ok(check_without_twin(&self.store, &self.log_files()).await?)
    }

    /// The log's origin: the node's id, which is known once it is initialised.
    pub fn log_origin(&self) -> Result<String, AppError> {
        let id = self.read(|state| state.node.values().next().map(|node| node.value.id.to_string()));
        let id = id.ok_or_else(|| AppError::NotInitialised(self.directory.clone()))?;
        Ok(format!("lingqu.node/{id}"))
    }

    pub(crate) fn log_signer(&self) -> Result<NoteSigner, AppError> {
        NoteSigner::new(&self.log_origin()?, self.keys.signing()).map_err(|error| AppError::Fault(error.to_string()))
    }

    pub(crate) fn twin_signer(&self) -> Result<Option<NoteSigner>, AppError> {
        if !self.log.settings().has_twin {
            return Ok(None);
        }
        let signer = NoteSigner::new(&twin_origin(&self.log_origin()?), self.keys.signing_sm2()?);
        signer.map(Some).map_err(|error| AppError::Fault(error.to_string()))
    }

    fn log_files(&self) -> LogFiles {
        match self.log.settings().place {
            LogPlace::Node => LogFiles::Directory(self.directory.join("log")),
            LogPlace::Directory(directory) => LogFiles::Directory(directory),
            LogPlace::Objects(ObjectPlace { store, prefix }) => {
                LogFiles::Objects { store, prefix, lock: Some(self.directory.join(OBJECTS_LOCK)) }
            }
        }
    }

    /// Reads the published log, for serving and for proofs.
    pub fn log_reader(&self) -> Result<LogReader, AppError> {
        Ok(LogReader::new(self.log_files(), self.log_signer()?.verifier().clone()))
    }

    /// Reads the published twin; none where the node publishes none.
    pub fn twin_reader(&self) -> Result<Option<LogReader>, AppError> {
        Ok(self.twin_signer()?.map(|signer| LogReader::twin(self.log_files(), signer.verifier().clone())))
    }

    /// A file of the log by its path below the log's prefix, or of the twin by its path below `sm3/`, where the bundles that
    /// both share are found too. Any other path finds nothing.
    pub async fn log_file(&self, path: &str) -> Result<Option<Vec<u8>>, AppError> {
        match path.strip_prefix(TWIN_PREFIX) {
            None => Ok(self.log_reader()?.file(path).await?),
            Some(path) => match self.twin_reader()? {
                Some(twin) => Ok(twin.file(path).await?),
                None => Ok(None),
            },
        }
    }

    /// Commits everything that journal and receipts hold to the log and publishes its signed heads.
    pub async fn publish_log(&self) -> Result<CheckpointView, AppError> {
        let mut publisher = self.publishing.lock().await;
        let begun = Instant::now();
        let records = (self.store.head().await?, self.receipts.head().await?);
        self.receipts.commit_to_log().await?;
        let open = match publisher.take() {
            Some(open) => open,
            None => {
                let keys = LogKeys { international: self.log_signer()?, national: self.twin_signer()? };
                let (open, unfinished) = LogPublisher::take_up(&self.store, self.log_files(), keys).await?;
                if let Err(error) = self.release_unfinished(&open, unfinished).await {
                    give_back(&open).await;
                    return Err(error);
                }
                open
            }
        };
        // A publisher that failed is dropped: the next call takes the log up from its files again. What waits for its witnesses
        // keeps the publisher's place meanwhile.
        let kept = open.keep().await.map_err(AppError::from);
        let released = match kept {
            Ok(()) => self.sign_and_release(&open).await,
            Err(error) => Err(error),
        };
        let heads = match released {
            Ok(Release::Done(heads)) => heads,
            Ok(Release::Waiting { found, required }) => {
                *publisher = Some(open);
                return Err(AppError::AwaitingWitnesses { found, required });
            }
            Err(error) => {
                give_back(&open).await;
                return Err(error);
            }
        };
        *publisher = Some(open);
        self.log.set_complete(records, begun);
        self.checkpoint_view(heads.international, heads.national)
    }

    /// Commits to receipts as far as they fill entries of the log; nothing is published by it.
    pub async fn commit_receipts(&self) -> Result<(), AppError> {
        self.receipts.commit_full_entries().await?;
        Ok(())
    }

    /// As [`App::publish_log`], when journal or receipts have grown since it was done last; none when there was nothing to do, or
    /// when another process on the same database publishes.
    pub async fn publish_log_if_new(&self) -> Result<Option<CheckpointView>, AppError> {
        let begun = Instant::now();
        let records = (self.store.head().await?, self.receipts.head().await?);
        if self.log.complete().0 != Some(records) {
            return match self.publish_log().await {
                Ok(published) => Ok(Some(published)),
                Err(error) if is_elsewhere(&error) => {
                    tracing::debug!(%error, "not published here");
                    Ok(None)
                }
                Err(error @ AppError::AwaitingWitnesses { .. }) => {
                    tracing::debug!(%error, "not published yet");
                    Ok(None)
                }
                Err(error) => Err(error),
            };
        }
        let mut publisher = self.publishing.lock().await;
        if let Some(open) = publisher.as_ref() {
            if let Err(error) = open.keep().await {
                *publisher = None;
                let error = AppError::from(error);
                return if is_elsewhere(&error) { Ok(None) } else { Err(error) };
            }
            self.log.set_complete(records, begun);
        }
        Ok(None)
    }

    /// Ends publishing, so that another process on the same database need not wait.
    pub(crate) async fn stop_publishing(&self) {
        if let Some(open) = self.publishing.lock().await.take() {
            give_back(&open).await;
        }
    }

    /// How far the published log is behind the node's records.
    pub async fn log_lag(&self) -> Result<LogLag, AppError> {
        let published = self.log_reader()?.published().await?.map_or(0, |published| published.checkpoint.size);
        let entries = self.store.log_size().await?;
        let committed = self.receipts.committed_under(entries).await?;
        let receipts_uncommitted = self.receipts.head().await?.saturating_sub(committed);
        let entries_unpublished = entries.saturating_sub(published);
        let is_behind = receipts_uncommitted > 0 || entries_unpublished > 0;
        let since = self.log.complete().1.elapsed();
        let behind_ms = if is_behind { u64::try_from(since.as_millis()).unwrap_or(u64::MAX) } else { 0 };
        Ok(LogLag { receipts_uncommitted, entries_unpublished, behind_ms })
    }

    /// A published head that holds everything recorded so far: published now, or by the running node beside which this one
    /// was opened, whose publisher is given a moment.
    pub(crate) async fn published_head(&self) -> Result<CheckpointView, AppError> {
        let in_use = match self.publish_log().await {
            Err(error) if is_elsewhere(&error) => error,
            other => return other,
        };
        let recorded = self.store.log_size().await?;
        let receipts = self.receipts.head().await?;
        let before = self.checkpoint().await?;
        for _ in 0..HEAD_POLLS_MAX {
            // What is recorded from now on is not waited for: a node in use records without end.
            let wanted = match receipts {
                0 => Some(recorded),
                receipts => {
                    let commit = self.receipts.commit_of(receipts).await?;
                    commit.map(|commit| recorded.max(commit.log_entry.saturating_add(1)))
                }
            };
            if let (Some(head), Some(wanted)) = (self.checkpoint().await?, wanted)
                && head.size >= wanted
            {
                return Ok(head);
            }
            tokio::time::sleep(HEAD_POLL_PAUSE).await;
        }
        Err(self.signed_beyond(before.as_ref()).await?.unwrap_or(in_use))
    }

    /// That a checkpoint waits for its witnesses: one is signed beyond the published one, which did not change meanwhile.
    async fn signed_beyond(&self, before: Option<&CheckpointView>) -> Result<Option<AppError>, AppError> {
        let published = self.checkpoint().await?;
        if published.as_ref().map(|head| head.size) != before.map(|head| head.size) {
            return Ok(None);
        }
        let size = self.log_reader()?.signed_size().await?;
        let is_beyond = |size: &u64| published.as_ref().is_none_or(|head| *size > head.size);
        Ok(size.filter(is_beyond).map(|size| AppError::AwaitingWitnessesElsewhere { size }))
    }

    /// The published head; `None` before the first.
    pub async fn checkpoint(&self) -> Result<Option<CheckpointView>, AppError> {
        let Some(published) = self.log_reader()?.published().await? else { return Ok(None) };
        let twin = match self.twin_reader()? {
            Some(twin) => twin.published().await?,
            None => None,
        };
        self.checkpoint_view(published, twin).map(Some)
    }

    fn checkpoint_view(&self, published: Published, twin: Option<Published>) -> Result<CheckpointView, AppError> {
        let twin = match (twin, self.twin_signer()?) {
            (Some(twin), Some(signer)) => Some(TwinView {
                root: root_of(&twin.checkpoint),
                origin: twin.checkpoint.origin,
                size: twin.checkpoint.size,
                note: twin.note,
                vkey: signer.verifier().to_string(),
            }),
            _ => None,
        };
        Ok(CheckpointView {
            root: root_of(&published.checkpoint),
            origin: published.checkpoint.origin,
            size: published.checkpoint.size,
            note: published.note,
            vkey: self.log_signer()?.verifier().to_string(),
            twin,
        })
    }

    /// Which database the node runs on.
    pub fn backend(&self) -> Backend {
        self.store.backend()
    }
}

/// The root in base64, as it stands in the note.
fn root_of(checkpoint: &Checkpoint) -> String {
    checkpoint.to_text().lines().nth(2).unwrap_or_default().to_owned()
}

/// Gives a publisher's place up. Where that fails the place is free a little later by itself.
pub(crate) async fn give_back(publisher: &LogPublisher) {
    if let Err(error) = publisher.give_back().await {
        tracing::debug!(%error, "the publisher's place could not be given back");
    }
}
