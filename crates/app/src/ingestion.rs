//! Ingestions: reading sources into snapshots, as jobs that are looked at, cancelled and gone on with after a crash.
//!
//! A job is durable before it begins and names a source that stays within reach until it ends: a file that was uploaded
//! lies in the node's directory ([`spool`]), any other where it was named. It is read and written by the engine in parts
//! ([`run`]); its end is one command, by which the journal learns of the snapshot. The same source read in the same way, when its
//! snapshot is still the resource's newest, is not read again.

mod declared_key;
mod request;
mod run;
mod shares;
mod spool;
mod table;
mod turns;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use lingqu_crypto::sha256;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::event::canonical;
use lingqu_domain::id::{CommandId, IdSource, IngestionId, PartyId, ResourceId, SnapshotId};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::{Resource, Snapshot};
use lingqu_engine::SchemaView;
use lingqu_engine::snapshot::IngestControl;
use lingqu_engine::source::{DeclaredColumn, FoundEncoding, SchemaDrift, Source, SourceFormat, SourceOptions};
use lingqu_store::ingestion::{
    CANCELLED, COMMITTED, IngestionBegun, IngestionCounts, IngestionFilter, NewIngestion, QUEUED, RUNNING,
    StoredIngestion,
};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::app::App;
use crate::data::column_type_of;
use crate::error::AppError;
use crate::keys::random;

use request::JobRequest;
pub use request::JobSource;
use shares::Shares;
use spool::Room;
pub use spool::{Spool, Spooled};
pub use table::TableOptions;
use turns::Turns;

/// Jobs that run at the same time, of which one provider has at most half ([`shares`]). Each takes a thread and the memory of
/// some batches.
const RUNNING_MAX: u64 = 4;
/// Open jobs of the node: running, waiting, or interrupted. One provider has at most half ([`shares`]).
const OPEN_MAX: u64 = 64;
/// Pause between two looks at a job that somebody else runs.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Longest name of a source that is kept, in characters.
const NAME_CHARS_MAX: usize = 200;

/// A job as people see it.
#[derive(Clone, Debug, PartialEq)]
pub struct IngestionView {
    /// Its id.
    pub id: IngestionId,
    /// The resource.
    pub resource: ResourceId,
    /// Who asked for it.
    pub actor: String,
    /// What the source is called.
    pub source_name: String,
    /// SHA-256 of the source in hex; empty where there is none.
    pub source_digest: String,
    /// `queued`, `running`, `committed`, `failed` or `cancelled`.
    pub state: String,
    /// Rows read so far, with the rejected ones.
    pub rows_read: u64,
    /// About how many rows there are to read, while they are read here; 0 where that is not known.
    pub rows_expected: u64,
    /// Rows rejected so far.
    pub rows_rejected: u64,
    /// Bytes of the source read so far.
    pub bytes_read: u64,
    /// Bytes of the source; 0 when they are not known.
    pub bytes_total: u64,
    /// How often it was begun: more than once after an interruption.
    pub attempts: u64,
    /// When it was asked for, RFC 3339.
    pub created_at: String,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
    /// The snapshot, once it is committed.
    pub snapshot: Option<Snapshot>,
    /// What was found out about the source.
    pub outcome: IngestionOutcome,
}

/// What was found out about a source on the way, and why the job failed if it did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IngestionOutcome {
    /// The encoding of a text and how it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub encoding: Option<FoundEncoding>,
    /// How the source's columns differ from the catalogue entry's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift: Option<SchemaDrift>,
    /// How the columns differ from those of the resource's last snapshot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drift_since_last: Option<SchemaDrift>,
    /// Where the next incremental reading of a table goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// True when a database's table held the same as the resource's newest snapshot: that is the job's snapshot then, and no new
    /// one was made.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub is_unchanged: bool,
    /// What became of the rows that an interrupted reading of a database's table had finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumption: Option<Resumption>,
    /// Why a job waits to be gone on with, and until when. Of a job that is queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<IngestionFailure>,
}

/// How far a reading that goes on after an interruption could be gone on from. All rows are read again; where they differ from what
/// had been read before, everything from there on is written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumption {
    /// Rows that had been finished.
    pub finished_rows: u64,
    /// Those of them that were kept, since the table still holds the same there.
    pub kept_rows: u64,
}

/// Why a job waits: its source can't be reached now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// What is wrong with the source.
    pub reason: IngestionFailure,
    /// How often it was put off.
    pub times: u64,
    /// When it is tried again.
    pub retry_at: Timestamp,
}

/// Why a job failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestionFailure {
    /// The stable code.
    pub code: String,
    /// What to do, in Chinese.
    pub detail: String,
    /// … in English.
    pub detail_en: String,
}

/// A job that was asked for.
#[derive(Debug)]
pub struct Submitted {
    /// The job.
    pub job: IngestionView,
    /// False when the same had been asked for before: this is the job of then.
    pub is_new: bool,
}

/// The jobs of this process.
pub(crate) struct Ingestions {
    directory: PathBuf,
    turns: Arc<Turns>,
    /// Jobs that wait here or run, with what stops them.
    running: Mutex<BTreeMap<IngestionId, IngestControl>>,
    tasks: Mutex<JoinSet<()>>,
    is_closing: AtomicBool,
    /// Jobs whose source is being uploaded.
    spooling: Mutex<BTreeSet<IngestionId>>,
    /// What uploaded sources take in the node's directory.
    room: Mutex<Room>,
}

impl Ingestions {
    pub(crate) fn new(node_directory: &Path) -> Arc<Self> {
        Arc::new(Self {
            directory: node_directory.join("ingestions"),
            turns: Turns::of(RUNNING_MAX),
            running: Mutex::default(),
            tasks: Mutex::default(),
            is_closing: AtomicBool::new(false),
            spooling: Mutex::default(),
            room: Mutex::new(Room::new()),
        })
    }

    fn running(&self) -> MutexGuard<'_, BTreeMap<IngestionId, IngestControl>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The folder of a job's files.
    fn folder(&self, id: &IngestionId) -> PathBuf {
        self.directory.join(id.as_str())
    }

    /// Where a job's rejected rows are told.
    fn rejects(&self, id: &IngestionId) -> PathBuf {
        self.folder(id).join("rejects.ndjson")
    }
}

/// What a job begins with.
struct Begin {
    id: IngestionId,
    actor: Actor,
    resource: ResourceId,
    source: JobSource,
    name: String,
    digest: String,
    bytes: u64,
    options: SourceOptions,
}

/// How a job that was asked for is waited for.
type Ended = oneshot::Receiver<Result<Snapshot, AppError>>;

impl App {
    /// The schema of a source file, worked out over all of its rows. Nothing is stored.
    pub fn inspect_source(&self, file: &Path, options: SourceOptions) -> Result<SchemaView, AppError> {
        Ok(Source::open(file, options)?.schema().clone())
    }

    /// Reads a source file into a new snapshot of a resource, records it, and waits for that. The catalogue entry's columns are
    /// demanded of the file by name and type, unless the options declare others. Errors: the refusal of an actor who may not; a
    /// bad file, with line and column; another ingestion of the resource under way.
    pub async fn import_snapshot(
        self: &Arc<Self>,
        actor: &Actor,
        resource: &ResourceId,
        file: &Path,
        options: SourceOptions,
    ) -> Result<Snapshot, AppError> {
        self.may_ingest(actor, resource)?;
        // A resumed job may run in another working directory.
        let file = &std::path::absolute(file).map_err(|error| AppError::file("find", file, &error))?;
        let path = file.to_owned();
        let (digest, bytes) = tokio::task::spawn_blocking(move || spool::digest_of(&path))
            .await
            .map_err(|error| AppError::Fault(error.to_string()))??;
        let begin = Begin {
            id: self.next_ingestion_id()?,
            actor: actor.clone(),
            resource: resource.clone(),
            source: JobSource::Path { path: file.to_owned() },
            name: shown_name(file),
            digest,
            bytes,
            options,
        };
        let (submitted, waiting) = self.begin_ingestion(begin, None).await?;
        self.wait_for(submitted, waiting).await
    }

    /// The same with a file that was uploaded.
    pub async fn import_spooled(
        self: &Arc<Self>,
        actor: &Actor,
        resource: &ResourceId,
        spooled: Spooled,
        options: SourceOptions,
    ) -> Result<Snapshot, AppError> {
        let (submitted, waiting) = self.submit(actor, resource, spooled, options).await?;
        self.wait_for(submitted, waiting).await
    }

    /// Queues the reading of a file that was uploaded. Errors: the refusal of an actor who may not; another ingestion of the
    /// resource under way; too many in the queue.
    pub async fn submit_ingestion(
        self: &Arc<Self>,
        actor: &Actor,
        resource: &ResourceId,
        spooled: Spooled,
        options: SourceOptions,
    ) -> Result<Submitted, AppError> {
        Ok(self.submit(actor, resource, spooled, options).await?.0)
    }

    async fn submit(
        self: &Arc<Self>,
        actor: &Actor,
        resource: &ResourceId,
        spooled: Spooled,
        options: SourceOptions,
    ) -> Result<(Submitted, Option<Ended>), AppError> {
        let begin = Begin {
            id: spooled.id().clone(),
            actor: actor.clone(),
            resource: resource.clone(),
            source: JobSource::Spooled { file: spooled.file_name().to_owned() },
            name: spooled.name().to_owned(),
            digest: spooled.digest().to_owned(),
            bytes: spooled.bytes(),
            options,
        };
        self.begin_ingestion(begin, Some(spooled)).await
    }

    /// Refuses who may not bring in data for a resource, before anything is uploaded.
    pub fn may_ingest(&self, actor: &Actor, resource: &ResourceId) -> Result<(), AppError> {
        let resource = self.resource(resource)?;
        let probe = self.snapshot_of(&resource, u64::MAX, 0, String::new(), String::new())?;
        self.must_be_accepted(actor, &Command::RecordSnapshot { resource: resource.id.clone(), snapshot: probe })
    }

    fn snapshot_of(
        &self,
        resource: &Resource,
        version: u64,
        rows: u64,
        digest: String,
        source_digest: String,
    ) -> Result<Snapshot, AppError> {
        let now = self.clock.now();
        let id = SnapshotId::next(&mut IdSource::new(CommandId::of_random(now, random()?), now));
        Ok(Snapshot {
            id,
            version,
            rows,
            digest,
            source_digest,
            nature: resource.details.nature,
            taken_at: now,
            live: None,
        })
    }

    fn next_ingestion_id(&self) -> Result<IngestionId, AppError> {
        let now = self.clock.now();
        Ok(IngestionId::next(&mut IdSource::new(CommandId::of_random(now, random()?), now)))
    }

    /// Begins a job on a task of its own: who asked for it may go away between the job and its file.
    async fn begin_ingestion(
        self: &Arc<Self>,
        begin: Begin,
        spooled: Option<Spooled>,
    ) -> Result<(Submitted, Option<Ended>), AppError> {
        let begun = tokio::spawn(Arc::clone(self).begin_unwatched(begin, spooled));
        begun.await.map_err(|error| AppError::Fault(error.to_string()))?
    }

    async fn begin_unwatched(
        self: Arc<Self>,
        begin: Begin,
        spooled: Option<Spooled>,
    ) -> Result<(Submitted, Option<Ended>), AppError> {
        self.may_ingest(&begin.actor, &begin.resource)?;
        let resource = self.resource(&begin.resource)?;
        let mut options = begin.options;
        options.format = options.format.or_else(|| SourceFormat::of_name(&begin.name));
        if options.declared.is_none() {
            options.declared = Some(declared_columns(&resource));
        }
        let options_digest = sha256(canonical(&options).as_bytes()).to_string();
        let is_same =
            |job: &StoredIngestion| job.new.source_digest == begin.digest && job.new.options_digest == options_digest;
        if let Some(earlier) = self.store.last_committed_ingestion(resource.id.as_str()).await?.filter(is_same) {
            let job = self.view(earlier)?;
            let newest = resource.snapshot.as_ref().map(|snapshot| &snapshot.id);
            if job.snapshot.as_ref().map(|snapshot| &snapshot.id) == newest {
                return Ok((Submitted { job, is_new: false }, None));
            }
        }
        let is_table = matches!(begin.source, JobSource::Table { .. });
        let request = JobRequest { source: begin.source, options };
        let new = NewIngestion {
            id: begin.id.to_string(),
            resource: resource.id.to_string(),
            actor: begin.actor.to_string(),
            source_name: begin.name.chars().take(NAME_CHARS_MAX).collect(),
            source_digest: begin.digest.clone(),
            options_digest: options_digest.clone(),
            request: request.to_text()?,
            bytes_total: begin.bytes,
            created_at: self.clock.now().to_string(),
        };
        // By its folder a process of the node knows the job for one of its own.
        let folder = self.ingestions.folder(&begin.id);
        std::fs::create_dir_all(&folder).map_err(|error| AppError::file("make", &folder, &error))?;
        let may_begin = |open: &[StoredIngestion]| self.has_share_of_queue(&resource.provider, open);
        let begun = self.store.begin_ingestion(&new, OPEN_MAX, may_begin).await;
        if !matches!(begun, Ok(IngestionBegun::Queued)) {
            // Refused while an upload is in it, which goes with its folder.
            drop(std::fs::remove_dir(&folder));
        }
        match begun? {
            IngestionBegun::Queued => {}
            IngestionBegun::Open(open) if is_same(&open) || (is_table && open.new.request == new.request) => {
                let job = self.view(*open)?;
                // Who asks again need not wait until a job that was put off is tried again.
                let is_here = self.ingestions.folder(&job.id).is_dir();
                let ended = if is_here { self.start_task(job.id.clone()) } else { None };
                return Ok((Submitted { job, is_new: false }, ended));
            }
            IngestionBegun::Open(open) => {
                let id = &open.new.id;
                return Err(Refusal::new(
                    RefusalCode::AlreadyExists,
                    id,
                    format!("该资源已有汇入作业 {id} 正在办理，请等待其完成或取消后再提交"),
                    format!("the ingestion {id} of this resource is under way; wait until it ends, or cancel it"),
                )
                .into());
            }
            IngestionBegun::Full => return Err(AppError::TooManyIngestions),
            IngestionBegun::Refused => return Err(AppError::TooManyOwnIngestions),
        }
        if let Some(mut spooled) = spooled {
            spooled.belongs_to_job();
        }
        let waiting = self.start_task(begin.id.clone());
        Ok((Submitted { job: self.ingestion(&begin.id).await?, is_new: true }, waiting))
    }

    /// Whether one more job of a provider leaves others their part of the queue.
    fn has_share_of_queue(&self, provider: &PartyId, open: &[StoredIngestion]) -> bool {
        let mut queue = Shares::of(OPEN_MAX);
        for job in open {
            // Of a resource that is gone nobody holds the job; it ends by itself.
            let resource = job.new.resource.parse().ok().and_then(|id| self.resource(&id).ok());
            if let Some(resource) = resource {
                queue.hold(&resource.provider, 1);
            }
        }
        queue.may_take(provider, 1).is_ok()
    }

    /// Waits until a job has ended.
    async fn wait_for(&self, submitted: Submitted, waiting: Option<Ended>) -> Result<Snapshot, AppError> {
        if let Some(waiting) = waiting {
            return waiting.await.unwrap_or_else(|_| Err(AppError::Fault("the ingestion's task was lost".to_owned())));
        }
        let mut job = submitted.job;
        while [QUEUED, RUNNING].contains(&job.state.as_str()) && job.outcome.waiting.is_none() {
            tokio::time::sleep(LOOK_EVERY).await;
            job = self.ingestion(&job.id).await?;
        }
        let why = job.outcome.failure.or(job.outcome.waiting.map(|waiting| waiting.reason));
        match (job.snapshot, why) {
            (Some(snapshot), _) if job.state == COMMITTED => Ok(snapshot),
            (_, Some(failure)) => {
                Err(Refusal::new(RefusalCode::Invalid, &job.id, failure.detail, failure.detail_en).into())
            }
            _ => Err(Refusal::wrong_state(&job.id, &job.state, COMMITTED).into()),
        }
    }

    /// A job. Error: `not_found`.
    pub async fn ingestion(&self, id: &IngestionId) -> Result<IngestionView, AppError> {
        let found = self.store.ingestion(id.as_str()).await?;
        self.view(found.ok_or_else(|| AppError::from(Refusal::not_found(id)))?)
    }

    /// A page of jobs, newest first; of some resources, or of all.
    pub async fn ingestions(
        &self,
        resources: Option<&BTreeSet<ResourceId>>,
        state: Option<&str>,
        before: Option<&IngestionId>,
        limit: u32,
    ) -> Result<Vec<IngestionView>, AppError> {
        let filter = IngestionFilter {
            before: before.map(ToString::to_string),
            resources: resources.map(|these| these.iter().map(ToString::to_string).collect()),
            state: state.map(str::to_owned),
            limit,
        };
        let found = self.store.ingestions(&filter).await?;
        found.into_iter().map(|job| self.view(job)).collect()
    }

    /// Cancels a job. What was read of it is thrown away. Errors: who may not; a job that has ended, or whose snapshot is
    /// being recorded in this moment.
    pub async fn cancel_ingestion(&self, actor: &Actor, id: &IngestionId) -> Result<IngestionView, AppError> {
        let job = self.ingestion(id).await?;
        self.may_ingest(actor, &job.resource)?;
        if !self.store.cancel_ingestion(id.as_str(), &self.clock.now().to_string()).await? {
            let state = self.ingestion(id).await?.state;
            return Err(Refusal::wrong_state(id, &state, "queued or running").into());
        }
        let control = self.ingestions.running().get(id).cloned();
        match control {
            // Its task clears up.
            Some(control) => control.stop.give(),
            None => self.clear_up(&job.resource, id).await,
        }
        self.ingestion(id).await
    }

    /// The file that tells a job's rejected rows, if it has any and still keeps it.
    pub fn rejects_of(&self, id: &IngestionId) -> Option<PathBuf> {
        Some(self.ingestions.rejects(id)).filter(|path| path.is_file())
    }

    /// A job with how far it has come by now.
    fn view(&self, job: StoredIngestion) -> Result<IngestionView, AppError> {
        let unreadable = |what: &str| AppError::Fault(format!("{what} of ingestion {} can't be read", job.new.id));
        let id: IngestionId = job.new.id.parse().map_err(|_| unreadable("the id"))?;
        let (counts, rows_expected) = match self.ingestions.running().get(&id) {
            Some(control) if job.state == RUNNING => (counts_of(control), control.progress.expected()),
            _ => (job.counts, 0),
        };
        let snapshot: Option<Snapshot> = match job.snapshot.as_deref().filter(|_| job.state == COMMITTED) {
            Some(text) => Some(serde_json::from_str(text).map_err(|_| unreadable("the snapshot"))?),
            None => None,
        };
        let mut outcome: IngestionOutcome = match job.outcome.as_deref() {
            Some(text) => serde_json::from_str(text).map_err(|_| unreadable("the outcome"))?,
            None => IngestionOutcome::default(),
        };
        // While it is read once more it does not wait.
        outcome.waiting = outcome.waiting.filter(|_| job.state == QUEUED);
        Ok(IngestionView {
            resource: job.new.resource.parse().map_err(|_| unreadable("the resource"))?,
            id,
            actor: job.new.actor,
            source_name: job.new.source_name,
            source_digest: job.new.source_digest,
            state: job.state,
            rows_read: counts.rows_read,
            rows_expected,
            rows_rejected: counts.rows_rejected,
            bytes_read: counts.bytes_read.min(job.new.bytes_total),
            bytes_total: job.new.bytes_total,
            attempts: job.attempts,
            created_at: job.new.created_at,
            started_at: job.started_at,
            ended_at: job.ended_at,
            snapshot,
            outcome,
        })
    }
}

fn counts_of(control: &IngestControl) -> IngestionCounts {
    IngestionCounts {
        rows_read: control.progress.rows(),
        rows_rejected: control.progress.rejected(),
        bytes_read: control.progress.bytes(),
    }
}

/// True for a job that somebody gave up.
fn is_cancelled(job: &StoredIngestion) -> bool {
    job.state == CANCELLED
}

fn shown_name(file: &Path) -> String {
    file.file_name().map_or_else(|| "source".to_owned(), |name| name.to_string_lossy().into_owned())
}

/// The catalogue entry's columns. A file may call a column by its name in Lingqu or by its meaning, as far as no other column
/// has the same.
fn declared_columns(resource: &Resource) -> Vec<DeclaredColumn> {
    let columns = &resource.details.columns;
    let is_unique = |meaning: &str| columns.iter().filter(|column| column.meaning.trim() == meaning).count() == 1;
    columns
        .iter()
        .map(|column| {
            let meaning = column.meaning.trim();
            let is_alias = !meaning.is_empty() && meaning != column.name.as_str() && is_unique(meaning);
            DeclaredColumn {
                header: column.name.to_string(),
                aliases: is_alias.then(|| meaning.to_owned()).into_iter().collect(),
                name: column.name.clone(),
                column_type: column_type_of(column.data_type),
            }
        })
        .collect()
}
