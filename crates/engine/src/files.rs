//! Immutable Parquet files: writing them so that they last, checking them, and scanning them.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::physical_plan::ExecutionPlan;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::schema::types::ColumnPath;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::engine::LOCAL_STORE_URL;
use crate::{BATCH_ROWS, ROW_COLUMN, SUBJECT_COLUMN};

/// Rows of a row group: the unit in which readers skip.
const ROW_GROUP_ROWS: usize = 131_072;
/// Of the row groups that do not have a text, the share that are read for it all the same.
const BLOOM_FALSE_SHARE: f64 = 0.01;
/// What every file of Lingqu names as its writer.
pub(crate) const CREATED_BY: &str = "lingqu";

/// A fault of the storage below the engine. Names files, never values.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The system refused an operation.
    #[error("{} can't be {doing}: {reason}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// What the system said and, where known, how to mend it.
        reason: String,
    },
    /// A data file is gone.
    #[error("the data file {} is missing; restore it from a backup of the node's directory", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A data file is shorter or longer than when it was written.
    #[error("the data file {} has {found} bytes where {expected} were written; restore it from a backup of the node's directory", path.display())]
    WrongSize {
        /// The file.
        path: PathBuf,
        /// Bytes written.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A data file has other contents than when it was written.
    #[error("the data file {} was changed after it was written; restore it from a backup of the node's directory", path.display())]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// A file that is made from others is not what was written.
    #[error("{} is damaged ({reason}); remove it and start the node again, it is made anew", path.display())]
    MadeDamaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Bytes that should be a Parquet file or a manifest are not.
    #[error("{} is damaged ({reason}); restore it from a backup of the node's directory", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl StorageError {
    pub(crate) fn io(path: &Path, doing: &'static str, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::StorageFull => "; free some space and try again",
            io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::PermissionDenied => {
                "; give the user that runs lingqu the right to write there"
            }
            _ => "",
        };
        StorageError::Io { path: path.to_owned(), doing, reason: format!("{error}{advice}") }
    }
}

/// One data file of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataFile {
    /// Its path within the table's directory.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// SHA-256 of its bytes, in hex.
    pub sha256: String,
    /// Its rows.
    pub rows: u64,
}

/// The files of one version of a table, in order, with their schema (hidden columns included).
#[derive(Clone, Debug)]
pub struct TableFiles {
    directory: PathBuf,
    files: Vec<DataFile>,
    schema: SchemaRef,
}

impl TableFiles {
    /// Names the files of a table. `directory` must be absolute. Nothing is read.
    pub(crate) fn new(directory: PathBuf, files: Vec<DataFile>, schema: SchemaRef) -> Self {
        Self { directory, files, schema }
    }

    /// The table's directory.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// The same files, some columns of whose texts are read as views.
    pub(crate) fn reading_views(&self, columns: &[usize]) -> TableFiles {
        let mut fields = self.schema.fields().to_vec();
        for column in columns {
            fields[*column] = Arc::new(fields[*column].as_ref().clone().with_data_type(DataType::Utf8View));
        }
        let schema = Schema::new_with_metadata(fields, self.schema.metadata().clone());
        TableFiles { schema: Arc::new(schema), ..self.clone() }
    }

    /// The files.
    pub fn files(&self) -> &[DataFile] {
        &self.files
    }

    /// The Arrow schema of the files, hidden columns included.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Rows in all files.
    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    /// SHA-256 over the hashes of the files in order: what names this version's contents in evidence.
    pub fn digest(&self) -> String {
        let mut hasher = Sha256::new();
        for file in &self.files {
            hasher.update(file.sha256.as_bytes());
        }
        hex::encode(hasher.finalize())
    }

    /// Where a file lies.
    pub(crate) fn path_of(&self, file: &DataFile) -> PathBuf {
        self.directory.join(&file.path)
    }

    /// Checks that every file is there with the size it was written with. Reads no data.
    pub fn check_presence(&self) -> Result<(), StorageError> {
        for file in &self.files {
            let path = self.path_of(file);
            let found = match fs::metadata(&path) {
                Ok(metadata) => metadata.len(),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(StorageError::Missing { path }),
                Err(error) => return Err(StorageError::io(&path, "read", &error)),
            };
            if found != file.size {
                return Err(StorageError::WrongSize { path, expected: file.size, found });
            }
        }
        Ok(())
    }

    /// Checks that every file has the contents it was written with. Reads all of them.
    pub fn check_contents(&self) -> Result<(), StorageError> {
        self.check_presence()?;
        for file in &self.files {
            let path = self.path_of(file);
            if hash_of(&path)? != file.sha256 {
                return Err(StorageError::Changed { path });
            }
        }
        Ok(())
    }
}

/// SHA-256 of a file's bytes, in hex.
pub(crate) fn hash_of(path: &Path) -> Result<String, StorageError> {
    let mut file = File::open(path).map_err(|error| StorageError::io(path, "read", &error))?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = file.read(&mut buffer).map_err(|error| StorageError::io(path, "read", &error))?;
        if count == 0 {
            return Ok(hex::encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}

/// The raw table: never registered where a consumer's statement is planned.
#[async_trait]
impl TableProvider for TableFiles {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let mut group = Vec::with_capacity(self.files.len());
        for file in &self.files {
            let path = object_store::path::Path::from_absolute_path(self.path_of(file))
                .map_err(|error| DataFusionError::External(Box::new(error)))?;
            group.push(PartitionedFile::new(String::from(path), file.size));
        }
        let options = state.default_table_options().parquet;
        let url = ObjectStoreUrl::parse(LOCAL_STORE_URL)?;
        // The footers of files that never change are read once; what is kept of them is bounded by DataFusion (50 MB).
        let runtime = state.runtime_env();
        let (store, footers) = (runtime.object_store(&url)?, runtime.cache_manager.get_file_metadata_cache());
        let source = ParquetSource::new(TableSchema::from(Arc::clone(&self.schema)))
            .with_table_parquet_options(options)
            .with_parquet_file_reader_factory(Arc::new(CachedParquetFileReaderFactory::new(store, footers)));
        let config = FileScanConfigBuilder::new(url, Arc::new(source))
            .with_file_groups(vec![FileGroup::new(group)])
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

/// Writes one data file and makes it durable: hashed on the way, synced, named after its hash, its folder synced.
pub(crate) struct DataFileWriter {
    directory: PathBuf,
    prefix: String,
    unfinished: Unfinished,
    writer: ArrowWriter<HashingFile>,
    rows: u64,
}

impl DataFileWriter {
    /// Begins a file in a directory that exists; its name will be `PREFIX-SHA256.parquet`.
    pub(crate) fn create(directory: &Path, prefix: &str, schema: SchemaRef) -> Result<Self, StorageError> {
        let path = directory.join(format!(".{prefix}-{}.unfinished", uuid::Uuid::now_v7().simple()));
        let file = File::create_new(&path).map_err(|error| StorageError::io(&path, "created", &error))?;
        let unfinished = Unfinished { path };
        let hashing = HashingFile { file, hasher: Sha256::new(), bytes: 0 };
        let properties = writer_properties(&schema);
        let writer = ArrowWriter::try_new(hashing, schema, Some(properties))
            .map_err(|error| parquet_fault(&unfinished.path, error))?;
        Ok(Self { directory: directory.to_owned(), prefix: prefix.to_owned(), unfinished, writer, rows: 0 })
    }

    /// Rows written so far.
    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    /// Appends a batch.
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), StorageError> {
        self.rows += batch.num_rows() as u64;
        self.writer.write(batch).map_err(|error| parquet_fault(&self.unfinished.path, error))
    }

    /// Ends the file. When this returns, the file survives a loss of power.
    pub(crate) fn finish(self) -> Result<DataFile, StorageError> {
        let Self { directory, prefix, unfinished, writer, rows } = self;
        let HashingFile { file, hasher, bytes } =
            writer.into_inner().map_err(|error| parquet_fault(&unfinished.path, error))?;
        file.sync_all().map_err(|error| StorageError::io(&unfinished.path, "synced", &error))?;
        let sha256 = hex::encode(hasher.finalize());
        let name = format!("{prefix}-{sha256}.parquet");
        let path = directory.join(&name);
        fs::rename(&unfinished.path, &path).map_err(|error| StorageError::io(&path, "named", &error))?;
        sync_directory(&directory)?;
        Ok(DataFile { path: name, size: bytes, sha256, rows })
    }
}

/// A file that is removed again unless it was given its name.
struct Unfinished {
    path: PathBuf,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After the renaming there is nothing to remove; otherwise a file that stays only takes space.
        drop(fs::remove_file(&self.path));
    }
}

fn parquet_fault(path: &Path, error: ParquetError) -> StorageError {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => StorageError::io(path, "written", &error),
            Err(other) => StorageError::Damaged { path: path.to_owned(), reason: other.to_string() },
        },
        other => StorageError::Damaged { path: path.to_owned(), reason: other.to_string() },
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), StorageError> {
    let handle = File::open(directory).map_err(|error| StorageError::io(directory, "opened", &error))?;
    handle.sync_all().map_err(|error| StorageError::io(directory, "synced", &error))
}

/// Writes a small file so that it is either wholly there or not at all, and durable. Two that write it at once each have a
/// name of their own until the last rename.
pub(crate) fn write_durably(path: &Path, contents: &[u8]) -> Result<(), StorageError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let unfinished = path.with_extension(format!("{}.unfinished", uuid::Uuid::now_v7().simple()));
    let mut file = File::create(&unfinished).map_err(|error| StorageError::io(&unfinished, "created", &error))?;
    file.write_all(contents).map_err(|error| StorageError::io(&unfinished, "written", &error))?;
    file.sync_all().map_err(|error| StorageError::io(&unfinished, "synced", &error))?;
    fs::rename(&unfinished, path).map_err(|error| StorageError::io(path, "named", &error))?;
    sync_directory(directory)
}

/// How the files of snapshots and products are written.
fn writer_properties(schema: &Schema) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(CREATED_BY.to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_write_batch_size(BATCH_ROWS);
    for column in [ROW_COLUMN, SUBJECT_COLUMN] {
        // Numbers that rise by one take next to nothing as differences, and as a dictionary a great deal.
        let path = ColumnPath::from(column);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
    }
    // Texts are asked for one at a time and rarely lie in order, so their least and greatest skip nothing. A filter shrinks to
    // the values there are: of few values it is a few bytes.
    for field in schema.fields().iter().filter(|field| field.data_type() == &DataType::Utf8) {
        let path = ColumnPath::from(field.name().as_str());
        properties = properties
            .set_column_bloom_filter_fpp(path.clone(), BLOOM_FALSE_SHARE)
            .set_column_bloom_filter_max_ndv(path, ROW_GROUP_ROWS as u64);
    }
    properties.build()
}

struct HashingFile {
    file: File,
    hasher: Sha256,
    bytes: u64,
}

impl Write for HashingFile {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let count = self.file.write(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl fmt::Debug for DataFileWriter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DataFileWriter").field("unfinished", &self.unfinished.path).finish_non_exhaustive()
    }
}
