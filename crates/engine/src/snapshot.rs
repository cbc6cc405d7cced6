//! Snapshots: immutable versions of a resource's data.
//!
//! A resource is a Delta table in a directory of its own; each version holds one whole state of the data and names its
//! files, which carry their SHA-256 in their names. Files are only ever added: a version that was written can be read
//! for the life of the node, by Lingqu and by every Delta reader. A row's hidden number is its place in the source.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::datatypes::{Field, Schema, SchemaRef};
use deltalake::kernel::engine::arrow_conversion::TryIntoKernel;
use deltalake::kernel::transaction::CommitProperties;
use deltalake::kernel::{Action, Add, StructType};
use deltalake::operations::create::CreateBuilder;
use deltalake::protocol::SaveMode;
use deltalake::{DeltaTable, DeltaTableBuilder, DeltaTableError};
use futures::TryStreamExt;
use tokio::sync::Mutex;
use url::Url;

use crate::columns::{SchemaView, row_field};
use crate::files::{DataFile, DataFileWriter, StorageError, TableFiles, sync_directory};
use crate::source::{Source, SourceError};

/// Rows of one data file at most.
const FILE_ROWS_MAX: u64 = 4_194_304;
/// Data files of one version at most.
const FILES_MAX: usize = 4_096;

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

/// The snapshots of a node, in one directory.
#[derive(Debug)]
pub struct SnapshotStore {
    directory: PathBuf,
    /// One writer at a time: the next version is decided from the last.
    writing: Mutex<()>,
}

impl SnapshotStore {
    /// Opens the store, making its directory when it is not there.
    pub fn open(directory: &Path) -> Result<SnapshotStore, SnapshotError> {
        std::fs::create_dir_all(directory).map_err(|error| StorageError::io(directory, "made", &error))?;
        let directory = directory.canonicalize().map_err(|error| StorageError::io(directory, "found", &error))?;
        Ok(SnapshotStore { directory, writing: Mutex::new(()) })
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
        let table_directory = self.table_directory(resource)?;
        let _turn = self.writing.lock().await;
        std::fs::create_dir_all(&table_directory)
            .map_err(|error| StorageError::io(&table_directory, "made", &error))?;
        let stored_schema = stored_schema(schema);
        let writer = PartWriter {
            resource: resource.to_owned(),
            directory: table_directory.clone(),
            prefix: uuid::Uuid::now_v7().simple().to_string(),
            schema: Arc::clone(&stored_schema),
        };
        let files = tokio::task::spawn_blocking(move || writer.write_all(batches))
            .await
            .map_err(|error| table_log(resource, &error))??;
        let version = commit(resource, &table_directory, &stored_schema, &files).await?;
        sync_commit(&table_directory, version)?;
        sync_directory(&self.directory)?;
        Ok(snapshot_of(resource, version, table_directory, files, stored_schema, schema.clone()))
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
        let is_name = !resource.is_empty()
            && resource.len() <= 128
            && resource.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
        if is_name { Ok(self.directory.join(resource)) } else { Err(SnapshotError::BadResourceId(resource.to_owned())) }
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

/// Writes the data files of one version.
struct PartWriter {
    resource: String,
    directory: PathBuf,
    prefix: String,
    schema: SchemaRef,
}

impl PartWriter {
    /// Writes all parts; when one fails, those before it are removed again.
    fn write_all<I>(self, batches: I) -> Result<Vec<DataFile>, SnapshotError>
    where
        I: Iterator<Item = Result<RecordBatch, SourceError>>,
    {
        let mut files = Vec::new();
        let written = self.write_parts(batches, &mut files);
        if let Err(error) = written {
            for file in &files {
                // No version names them; one that stays only takes space.
                drop(std::fs::remove_file(self.directory.join(&file.path)));
            }
            return Err(error);
        }
        Ok(files)
    }

    fn write_parts<I>(&self, batches: I, files: &mut Vec<DataFile>) -> Result<(), SnapshotError>
    where
        I: Iterator<Item = Result<RecordBatch, SourceError>>,
    {
        let mut rows: u64 = 0;
        let mut part = self.begin_part(0)?;
        for batch in batches {
            let batch = self.numbered(&batch?, rows);
            if part.rows() + batch.num_rows() as u64 > FILE_ROWS_MAX {
                files.push(part.finish()?);
                if files.len() >= FILES_MAX {
                    return Err(SnapshotError::TooLarge { resource: self.resource.clone() });
                }
                part = self.begin_part(files.len())?;
            }
            part.write(&batch)?;
            rows += batch.num_rows() as u64;
        }
        files.push(part.finish()?);
        Ok(())
    }

    fn begin_part(&self, index: usize) -> Result<DataFileWriter, StorageError> {
        // The unique part keeps a version that repeats an earlier one from sharing its files.
        DataFileWriter::create(&self.directory, &format!("{}-{index:05}", self.prefix), Arc::clone(&self.schema))
    }

    fn numbered(&self, batch: &RecordBatch, rows_before: u64) -> RecordBatch {
        let first = i64::try_from(rows_before).expect("a version has fewer than 2^63 rows");
        let count = i64::try_from(batch.num_rows()).expect("a batch has fewer than 2^63 rows");
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
        let mut columns = batch.columns().to_vec();
        columns.push(numbers);
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("the batches of a source have its schema, and the numbers are as many as the rows")
    }
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
    let table = CreateBuilder::new()
        .with_location(directory_url(resource, table_directory)?)
        .with_save_mode(SaveMode::Overwrite)
        .with_columns(columns.fields().cloned())
        .with_configuration([("delta.enableExpiredLogCleanup", Some("false"))])
        .with_commit_properties(properties)
        .with_actions(actions)
        .await
        .map_err(|error| table_log(resource, &error))?;
    table.version().ok_or_else(|| table_log(resource, &"the commit has no version"))
}

/// Makes a commit durable: its file, and the names that lead to it.
fn sync_commit(table_directory: &Path, version: u64) -> Result<(), StorageError> {
    let path = commit_path(table_directory, version);
    let file = std::fs::File::open(&path).map_err(|error| StorageError::io(&path, "opened", &error))?;
    file.sync_all().map_err(|error| StorageError::io(&path, "synced", &error))?;
    sync_directory(&table_directory.join("_delta_log"))?;
    sync_directory(table_directory)
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
