//! Snapshots: immutable versions of a resource's data.
//!
//! A resource is a Delta table in a directory of its own; each version holds one whole state of the data and names its
//! files, which carry their SHA-256 in their names. Files are only ever added: a version that was written can be read
//! for the life of the node, by Lingqu and by every Delta reader. A row's hidden number is its place in the source.

mod commit_store;
mod parts;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{Action, Add, StructType};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::{StreamExt, TryStreamExt};
use tokio::sync::Mutex;
use url::Url;

use crate::BATCH_ROWS;
use crate::columns::{SchemaView, row_field};
use crate::files::{DataFile, StorageError, TableFiles, sync_directory};
use crate::source::{
    FittingRows, ReadProgress, RejectLimit, Source, SourceError, SourceIdentity, StopSignal, TableSource,
};
use commit_store::CommitStore;
use parts::{PartWriter, Parts, discard, without_first};

/// Rows of one data file at most. A finished file is where an interrupted ingestion goes on.
pub const PART_ROWS_MAX: u64 = 1_048_576;
/// Data files of one version at most.
const FILES_MAX: usize = 4_096;
/// Batches of a table that may wait to be written.
const BATCHES_AHEAD: usize = 4;
/// How long a table may take to give its next batch: a job that waits holds a place that others wait for.
const BATCH_TIME_MAX: Duration = Duration::from_secs(1_800);
/// The same for its first batch where a database sorts the table before it gives one.
const SORTED_TIME_MAX: Duration = Duration::from_secs(7_200);

/// Why a snapshot can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// The source is refused.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Not an id that can name a directory.
    #[error("`{0}` can't name a resource's directory: use letters, digits, `_` and `-`")]
    BadResourceId(String),
    /// No such version.
    #[error("resource {resource} has no snapshot version {version}")]
    NoSuchVersion {
        /// The resource.
        resource: String,
        /// The version asked for.
        version: u64,
    },
    /// The table's log can't be read or written.
    #[error(
        "the table log of resource {resource} can't be used ({reason}); restore it from a backup of the node's directory"
    )]
    TableLog {
        /// The resource.
        resource: String,
        /// What is wrong.
        reason: String,
    },
    /// The writing was told to stop. Its finished parts stay.
    #[error("the ingestion was stopped; it goes on after its last finished part when it is begun again")]
    Stopped,
    /// More data than one version may have.
    #[error("resource {resource} would have more than {FILES_MAX} data files in one version; split it")]
    TooLarge {
        /// The resource.
        resource: String,
    },
}

/// One version of a resource's data.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The resource.
    pub resource: String,
    /// The version, from 0.
    pub version: u64,
    /// Its rows.
    pub rows: u64,
    /// Its visible columns.
    pub schema: SchemaView,
    /// SHA-256 over the SHA-256 of its files in order, in hex.
    pub digest: String,
    /// Its files.
    pub files: Arc<TableFiles>,
}

/// What is read into a snapshot.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one for each ingestion, and it is moved a few times")]
pub enum Ingest {
    /// A file.
    File(Source),
    /// A table, and how many of its rows may be rejected.
    Table(Box<dyn TableSource>, RejectLimit),
}

impl Ingest {
    /// The columns of the snapshot.
    pub fn schema(&self) -> &SchemaView {
        match self {
            Ingest::File(source) => source.schema(),
            Ingest::Table(source, _) => source.schema(),
        }
    }
}

/// How an ingestion is looked at and stopped.
#[derive(Clone, Debug, Default)]
pub struct IngestControl {
    /// Told how far it has come.
    pub progress: Arc<ReadProgress>,
    /// Stops it at the next batch.
    pub stop: Arc<StopSignal>,
    /// Where rejected rows are told; none: nowhere.
    pub rejects: Option<PathBuf>,
    /// What the names of all attempts begin with, for a table that changes under the reader: each of its attempts has a name of
    /// its own, `JOB-NUMBER`, and takes over the parts of earlier ones whose rows come again the same.
    pub job: Option<String>,
    /// The version that is recorded as the resource's newest. A table that changes under the reader and holds the same rows in
    /// the same columns is that version, and no new one is made.
    pub newest: Option<u64>,
}

/// Stops the writing thread when whoever waits for it is dropped.
struct StopWhenDropped(Arc<StopSignal>);

impl Drop for StopWhenDropped {
    fn drop(&mut self) {
        self.0.give();
    }
}

/// The snapshots of a node, in one directory.
#[derive(Debug)]
pub struct SnapshotStore {
    directory: PathBuf,
    part_rows: u64,
    /// One commit at a time: the next version is decided from the last.
    committing: Mutex<()>,
}

impl SnapshotStore {
    /// Opens the store, making its directory when it is not there.
    pub fn open(directory: &Path) -> Result<SnapshotStore, SnapshotError> {
        std::fs::create_dir_all(directory).map_err(|error| StorageError::io(directory, "made", &error))?;
        let directory = directory.canonicalize().map_err(|error| StorageError::io(directory, "found", &error))?;
        Ok(SnapshotStore { directory, part_rows: PART_ROWS_MAX, committing: Mutex::new(()) })
    }

    /// The same with files of another number of rows, rounded down to whole batches. Files of different stores then differ
    /// though their rows are the same.
    pub fn with_part_rows(self, rows: u64) -> SnapshotStore {
        let batches = (rows / BATCH_ROWS as u64).max(1);
        SnapshotStore { part_rows: batches * BATCH_ROWS as u64, ..self }
    }

    /// Reads a source into a new version of a resource.
    pub async fn write_source(&self, resource: &str, source: &Source) -> Result<Snapshot, SnapshotError> {
        let schema = source.schema().clone();
        let batches = source.batches()?;
        self.write(resource, &schema, batches).await
    }

    /// Writes batches of a schema as a new version of a resource. When this returns, the version survives a loss of
    /// power; when it fails, no version was made.
    pub async fn write<I>(&self, resource: &str, schema: &SchemaView, batches: I) -> Result<Snapshot, SnapshotError>
    where
        I: Iterator<Item = Result<RecordBatch, SourceError>> + Send + 'static,
    {
        let prefix = uuid::Uuid::now_v7().simple().to_string();
        let stop = Arc::new(StopSignal::default());
        let _stop_when_dropped = StopWhenDropped(Arc::clone(&stop));
        let writer = self.part_writer(resource, &prefix, schema, stop)?;
        let directory = writer.directory.clone();
        let written = tokio::task::spawn_blocking(move || {
            let mut parts = Parts::default();
            writer.write(&mut parts, batches).map(|()| parts)
        });
        let parts = match written.await.map_err(|error| table_log(resource, &error))? {
            Ok(parts) => parts,
            Err(error) => {
                // No version names them; what stays only takes space.
                drop(discard(&directory, &prefix, &BTreeSet::new()));
                return Err(error);
            }
        };
        self.commit_parts(resource, schema, parts).await
    }

    /// Reads a source into a new version of a resource whose files bear `job` in their names. When this returns, the version
    /// survives a loss of power. When it fails or is stopped, no version was made and the finished parts stay: begun again
    /// with the same job and source it goes on after them, and the files are the same as if it had never stopped. Of a table that
    /// changes under the reader all rows are read again, and only those parts are gone on from that hold what is read now. Who
    /// gives a job up calls [`SnapshotStore::discard`].
    pub async fn ingest(
        &self,
        resource: &str,
        job: &str,
        ingest: Ingest,
        control: IngestControl,
    ) -> Result<Snapshot, SnapshotError> {
        check_name(job)?;
        let schema = ingest.schema().clone();
        if let Some(snapshot) = self.committed_by(resource, job).await? {
            return Ok(snapshot);
        }
        let _stop_when_dropped = StopWhenDropped(Arc::clone(&control.stop));
        let writer = self.part_writer(resource, job, &schema, Arc::clone(&control.stop))?;
        let (source, limit) = match ingest {
            Ingest::File(source) => {
                let parts = write_file(resource, writer, source, control).await?;
                return self.commit_parts(resource, &schema, parts).await;
            }
            Ingest::Table(source, limit) => (source, limit),
        };
        if matches!(source.identity(), SourceIdentity::Fixed(_)) {
            let finished = blocking(resource, move || Ok((writer.finished()?, writer))).await?;
            let parts = write_table(resource, finished, None, (source, limit), control).await?;
            return self.commit_parts(resource, &schema, parts).await;
        }
        // A version that an earlier attempt wrote and nobody recorded is what the log ends in.
        let latest = self.latest(resource).await?;
        let (newest, attempts) = (control.newest, control.job.clone());
        let begun = blocking(resource, move || {
            let named: BTreeSet<&str> =
                latest.iter().flat_map(|latest| latest.files.files()).map(|file| file.path.as_str()).collect();
            discard(&writer.directory, &writer.prefix, &named)?;
            let earlier = match attempts {
                Some(job) => writer.earlier(&job, &named)?,
                None => Parts::default(),
            };
            Ok((earlier, writer))
        });
        let (earlier, writer) = begun.await?;
        let parts = write_table(resource, (Parts::default(), writer), Some(earlier), (source, limit), control).await?;
        if let Some(same) = self.same(resource, newest, &schema, &parts).await {
            return Ok(same);
        }
        self.commit_parts(resource, &schema, parts).await
    }

    /// A version, if it has the columns and the rows of some parts. One that can't be opened is taken for another.
    async fn same(&self, resource: &str, version: Option<u64>, schema: &SchemaView, parts: &Parts) -> Option<Snapshot> {
        let known = self.version(resource, version?).await.ok()?;
        let is_same = &known.schema == schema && known.digest == digest_of(&parts.files);
        is_same.then_some(known)
    }

    /// Removes the files of a job that has ended, but for those of the version that was recorded for it. Without one, files stay
    /// that the latest version names: a version that was written and never recorded is still what the table's log ends in.
    /// All other versions of the job can't be read afterwards; nobody knows of them.
    pub async fn discard(&self, resource: &str, job: &str, recorded: Option<u64>) -> Result<(), SnapshotError> {
        check_name(job)?;
        let directory = self.table_directory(resource)?;
        let kept = match recorded {
            Some(version) => Some(self.version(resource, version).await?),
            None => self.latest(resource).await?,
        };
        let kept: BTreeSet<&str> =
            kept.iter().flat_map(|kept| kept.files.files()).map(|file| file.path.as_str()).collect();
        Ok(discard(&directory, job, &kept)?)
    }

    /// The latest version, if it was made by a job.
    async fn committed_by(&self, resource: &str, job: &str) -> Result<Option<Snapshot>, SnapshotError> {
        let latest = self.latest(resource).await?;
        let is_of_job = |file: &DataFile| file.path.strip_prefix(job).is_some_and(|rest| rest.starts_with('-'));
        Ok(latest.filter(|latest| latest.files.files().first().is_some_and(is_of_job)))
    }

    fn part_writer(
        &self,
        resource: &str,
        prefix: &str,
        schema: &SchemaView,
        stop: Arc<StopSignal>,
    ) -> Result<PartWriter, SnapshotError> {
        let directory = self.table_directory(resource)?;
        std::fs::create_dir_all(&directory).map_err(|error| StorageError::io(&directory, "made", &error))?;
        Ok(PartWriter {
            resource: resource.to_owned(),
            directory,
            prefix: prefix.to_owned(),
            schema: stored_schema(schema),
            part_rows: self.part_rows,
            stop,
        })
    }

    async fn commit_parts(&self, resource: &str, schema: &SchemaView, parts: Parts) -> Result<Snapshot, SnapshotError> {
        let table_directory = self.table_directory(resource)?;
        let stored_schema = stored_schema(schema);
        let _turn = self.committing.lock().await;
        // What a commit names lasts before it does: parts that were taken over have their names since just now.
        sync_directory(&table_directory)?;
        let version = commit(resource, &table_directory, &stored_schema, &parts.files).await?;
        // The commit is durable; here are the names that lead to it.
        sync_directory(&table_directory)?;
        sync_directory(&self.directory)?;
        Ok(snapshot_of(resource, version, table_directory, parts.files, stored_schema, schema.clone()))
    }

    /// Opens a version and checks that its files are there with their sizes. Errors name the file.
    pub async fn version(&self, resource: &str, version: u64) -> Result<Snapshot, SnapshotError> {
        let (table, table_directory) = self
            .load(resource, Some(version))
            .await?
            .ok_or_else(|| SnapshotError::NoSuchVersion { resource: resource.to_owned(), version })?;
        read_version(resource, &table, table_directory).await
    }

    /// Opens the latest version; nothing when the resource has none.
    pub async fn latest(&self, resource: &str) -> Result<Option<Snapshot>, SnapshotError> {
        match self.load(resource, None).await? {
            Some((table, table_directory)) => read_version(resource, &table, table_directory).await.map(Some),
            None => Ok(None),
        }
    }

    fn table_directory(&self, resource: &str) -> Result<PathBuf, SnapshotError> {
        check_name(resource)?;
        Ok(self.directory.join(resource))
    }

    async fn load(&self, resource: &str, version: Option<u64>) -> Result<Option<(DeltaTable, PathBuf)>, SnapshotError> {
        let table_directory = self.table_directory(resource)?;
        if !table_directory.join("_delta_log").is_dir() {
            return Ok(None);
        }
        if let Some(version) = version
            && !commit_path(&table_directory, version).is_file()
        {
            return Ok(None);
        }
        let mut builder = DeltaTableBuilder::from_url(directory_url(resource, &table_directory)?)
            .map_err(|error| table_log(resource, &error))?;
        if let Some(version) = version {
            builder = builder.with_version(version);
        }
        match builder.load().await {
            Ok(table) => Ok(Some((table, table_directory))),
            Err(DeltaTableError::NotATable(_)) => Ok(None),
            Err(error) => Err(table_log(resource, &error)),
        }
    }
}

/// What names the contents of files in order.
fn digest_of(files: &[DataFile]) -> String {
    TableFiles::new(PathBuf::new(), files.to_vec(), Arc::new(Schema::empty())).digest()
}

fn table_log(resource: &str, error: &dyn std::fmt::Display) -> SnapshotError {
    SnapshotError::TableLog { resource: resource.to_owned(), reason: error.to_string() }
}

fn directory_url(resource: &str, directory: &Path) -> Result<Url, SnapshotError> {
    Url::from_directory_path(directory).map_err(|()| table_log(resource, &"its path is not absolute"))
}

fn commit_path(table_directory: &Path, version: u64) -> PathBuf {
    table_directory.join("_delta_log").join(format!("{version:020}.json"))
}

/// The visible columns and the row number.
fn stored_schema(schema: &SchemaView) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema.arrow().fields().to_vec();
    fields.push(Arc::new(row_field()));
    Arc::new(Schema::new(fields))
}

/// Reads a file from its beginning and writes what the finished parts lack.
async fn write_file(
    resource: &str,
    writer: PartWriter,
    source: Source,
    control: IngestControl,
) -> Result<Parts, SnapshotError> {
    let written = tokio::task::spawn_blocking(move || -> Result<Parts, SnapshotError> {
        let mut parts = writer.finished()?;
        let batches = source.batches_told(control.progress, control.rejects)?;
        let rows = parts.rows();
        writer.write(&mut parts, without_first(batches, rows))?;
        Ok(parts)
    });
    written.await.map_err(|error| table_log(resource, &error))?
}

/// Does some reading or writing on a thread that may wait.
async fn blocking<T: Send + 'static>(
    resource: &str,
    work: impl FnOnce() -> Result<T, SnapshotError> + Send + 'static,
) -> Result<T, SnapshotError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| table_log(resource, &error))?
}

/// Writes the batches of a table as they come: what the finished parts lack, or, of a table that may have changed, what differs from
/// the parts of an earlier attempt.
async fn write_table(
    resource: &str,
    (mut parts, writer): (Parts, PartWriter),
    earlier: Option<Parts>,
    (source, limit): (Box<dyn TableSource>, RejectLimit),
    control: IngestControl,
) -> Result<Parts, SnapshotError> {
    let name = source.name().to_owned();
    let is_sorted = earlier.is_some();
    let rows_hint = source.rows_hint().unwrap_or(0);
    let mut batches = source.into_batches();
    let (sender, mut receiver) = tokio::sync::mpsc::channel(BATCHES_AHEAD);
    let (table, told) = (name.clone(), control.clone());
    let writing = blocking(resource, move || {
        let read = std::iter::from_fn(|| receiver.blocking_recv());
        let fitting = FittingRows::begin(table, limit, told.rejects.as_deref(), &told.progress, &told.stop, read)?;
        told.progress.expect(rows_hint);
        match earlier {
            None => {
                let rows = parts.rows();
                writer.write(&mut parts, without_first(fitting, rows))?;
            }
            Some(earlier) => {
                let finished = earlier.rows();
                writer.write_after(&mut parts, &earlier, fitting, |kept| told.progress.tell_kept(finished, kept))?;
            }
        }
        Ok(parts)
    });
    let feeding = async {
        let mut time_max = if is_sorted { SORTED_TIME_MAX } else { BATCH_TIME_MAX };
        loop {
            let next = tokio::select! {
                next = tokio::time::timeout(time_max, batches.next()) => next.unwrap_or_else(|_| {
                    let minutes = time_max.as_secs() / 60;
                    let reason =
                        format!("no row came within {minutes} minutes; see whether the place answers, and try again");
                    Some(Err(SourceError::Unreadable { file: name.clone(), reason }))
                }),
                () = control.stop.wait() => None,
            };
            let Some(batch) = next else { break };
            // An error means that the writing has ended, and says why below.
            if sender.send(batch).await.is_err() {
                break;
            }
            time_max = BATCH_TIME_MAX;
        }
        drop(sender);
    };
    let (written, ()) = tokio::join!(writing, feeding);
    written
}

fn check_name(name: &str) -> Result<(), SnapshotError> {
    let is_name = !name.is_empty()
        && name.len() <= 128
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    if is_name { Ok(()) } else { Err(SnapshotError::BadResourceId(name.to_owned())) }
}

/// Commits the files as the whole state of the next version.
async fn commit(
    resource: &str,
    table_directory: &Path,
    schema: &SchemaRef,
    files: &[DataFile],
) -> Result<u64, SnapshotError> {
    let columns: StructType =
        schema.as_ref().try_into_kernel().map_err(|error: arrow::error::ArrowError| table_log(resource, &error))?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let modification_time = i64::try_from(now).unwrap_or(i64::MAX);
    let mut actions = Vec::with_capacity(files.len());
    for file in files {
        actions.push(Action::Add(Add {
            path: file.path.clone(),
            size: i64::try_from(file.size).expect("file sizes are below 2^63"),
            modification_time,
            data_change: true,
            stats: Some(serde_json::json!({ "numRecords": file.rows }).to_string()),
            ..Add::default()
        }));
    }
    // Neither checkpoints nor clean-up: old versions must stay readable for ever.
    let properties = CommitProperties::default().with_create_checkpoint(false).with_cleanup_expired_logs(Some(false));
    let url = directory_url(resource, table_directory)?;
    let log = DeltaTableBuilder::from_url(url.clone())
        .and_then(|builder| builder.with_storage_backend(Arc::new(CommitStore::default()), url).build_storage())
        .map_err(|error| table_log(resource, &error))?;
    let table = CreateBuilder::new()
        .with_log_store(log)
        .with_save_mode(SaveMode::Overwrite)
        .with_columns(columns.fields().cloned())
        .with_configuration([("delta.enableExpiredLogCleanup", Some("false"))])
        .with_commit_properties(properties)
        .with_actions(actions)
        .await
        .map_err(|error| table_log(resource, &error))?;
    table.version().ok_or_else(|| table_log(resource, &"the commit has no version"))
}

async fn read_version(resource: &str, table: &DeltaTable, table_directory: PathBuf) -> Result<Snapshot, SnapshotError> {
    let state = table.snapshot().map_err(|error| table_log(resource, &error))?;
    let views: Vec<_> = state
        .snapshot()
        .file_views(&table.log_store(), None)
        .try_collect()
        .await
        .map_err(|error| table_log(resource, &error))?;
    let mut files = Vec::with_capacity(views.len());
    for view in &views {
        let path = view.path().to_string();
        let sha256 = path.strip_suffix(".parquet").and_then(|stem| stem.rsplit_once('-')).map(|(_, hash)| hash);
        let Some(sha256) = sha256 else {
            return Err(table_log(resource, &"a data file was not written by lingqu"));
        };
        files.push(DataFile {
            sha256: sha256.to_owned(),
            size: u64::try_from(view.size()).unwrap_or(0),
            rows: view.num_records().unwrap_or(0) as u64,
            path,
        });
    }
    // Parts are numbered in their names, in the order of the rows.
    files.sort_by(|left, right| left.path.cmp(&right.path));
    let version = table.version().ok_or_else(|| table_log(resource, &"the table has no version"))?;
    let mut fields: Vec<Field> = Vec::new();
    for field in state.snapshot().arrow_schema().fields() {
        fields.push(Field::new(field.name(), field.data_type().clone(), field.is_nullable()));
    }
    let stored = Arc::new(Schema::new(fields));
    let view =
        SchemaView::of_arrow(&stored).ok_or_else(|| table_log(resource, &"its schema was not written by lingqu"))?;
    let snapshot = snapshot_of(resource, version, table_directory, files, stored, view);
    snapshot.files.check_presence()?;
    Ok(snapshot)
}

fn snapshot_of(
    resource: &str,
    version: u64,
    table_directory: PathBuf,
    files: Vec<DataFile>,
    stored_schema: SchemaRef,
    schema: SchemaView,
) -> Snapshot {
    let files = Arc::new(TableFiles::new(table_directory, files, stored_schema));
    Snapshot { resource: resource.to_owned(), version, rows: files.rows(), schema, digest: files.digest(), files }
}
