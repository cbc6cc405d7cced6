//! What a resource has already: the rows of its newest version, in the order of a key.
//!
//! A version that a reading by key has written is in that order and is read as it lies. One of an earlier Lingqu is not: there
//! the rows that were new then stand first. It is sorted once, on disk where it does not fit into memory; what is written from it
//! is in order.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::common::{Column, TableReference};
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use object_store::local::LocalFileSystem;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::sync::mpsc;
use url::Url;

use crate::BATCH_ROWS;
use crate::columns::SchemaView;
use crate::engine::LOCAL_STORE_URL;
use crate::files::TableFiles;
use crate::source::SourceError;

/// Memory for sorting a version; what is above it goes to disk.
const SORT_MEMORY_BYTES: usize = 256 << 20;
/// Most bytes on disk for sorting a version (256 GiB).
const SORT_DISK_BYTES_MAX: u64 = 256 << 30;
/// What is kept free for putting the sorted pieces together.
const SORT_RESERVED_BYTES: usize = 1 << 20;
/// Rows of a batch while it is sorted: some batches of each sorted piece are in memory when the pieces are put together.
const SORT_BATCH_ROWS: usize = 1_024;
/// Batches that wait for whoever takes them.
const BATCHES_AHEAD: usize = 2;
/// In the table's directory while a version is sorted.
const SORTING: &str = ".sorting";

/// The rows that a resource has.
#[derive(Clone, Debug)]
pub(super) struct Older {
    pub(super) files: Arc<TableFiles>,
    /// Whether they lie in the order of the key.
    pub(super) is_in_order: bool,
    sort_memory_bytes: usize,
}

/// Rows on their way.
pub(super) struct OlderRows {
    taken: mpsc::Receiver<Result<RecordBatch, SourceError>>,
    reader: Option<tokio::task::JoinHandle<()>>,
}

impl Older {
    pub(super) fn new(files: Arc<TableFiles>, is_in_order: bool) -> Self {
        Self { files, is_in_order, sort_memory_bytes: SORT_MEMORY_BYTES }
    }

    /// The same with another bound on the memory for sorting.
    #[cfg(test)]
    pub(super) fn with_sort_memory_bytes(self, sort_memory_bytes: usize) -> Self {
        Self { sort_memory_bytes, ..self }
    }

    /// Begins to read the visible columns, on a thread of its own. With a key (the places of its columns) they come in its order,
    /// without one as they lie.
    pub(super) fn read(self, schema: &SchemaView, key: &[usize]) -> OlderRows {
        let (sent, taken) = mpsc::channel(BATCHES_AHEAD);
        let (schema, key) = (schema.clone(), key.to_vec());
        let reader = tokio::task::spawn_blocking(move || {
            let read = if key.is_empty() || self.is_in_order {
                self.as_it_lies(&schema, &sent)
            } else {
                // This thread may wait; the sort itself computes here too.
                tokio::runtime::Handle::current().block_on(self.sorted(&schema, &key, &sent))
            };
            if let Err(error) = read {
                // When nobody is there any more, nobody needs to know.
                drop(sent.blocking_send(Err(error)));
            }
        });
        OlderRows { taken, reader: Some(reader) }
    }

    fn as_it_lies(
        &self,
        schema: &SchemaView,
        sent: &mpsc::Sender<Result<RecordBatch, SourceError>>,
    ) -> Result<(), SourceError> {
        for file in self.files.files() {
            let file = File::open(self.files.path_of(file)).map_err(|error| unreadable(&error.kind().to_string()))?;
            let builder =
                ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(&error.to_string()))?;
            // The row numbers stand last and are made anew.
            let mask = ProjectionMask::roots(builder.parquet_schema(), 0..schema.columns.len());
            let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
            for batch in reader.map_err(|error| unreadable(&error.to_string()))? {
                let batch = batch.map_err(|error| unreadable(&error.to_string()))?;
                if sent.blocking_send(Ok(of_schema(schema, &batch)?)).is_err() {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    async fn sorted(
        &self,
        schema: &SchemaView,
        key: &[usize],
        sent: &mpsc::Sender<Result<RecordBatch, SourceError>>,
    ) -> Result<(), SourceError> {
        let space = Space::in_directory(self.files.directory())?;
        let mut batches = self.sorting(&space.0, schema, key).await.map_err(|error| unsorted(&error))?;
        while let Some(batch) = batches.next().await {
            let batch = batch.map_err(|error| unsorted(&error))?;
            if sent.send(of_schema(schema, &batch)).await.is_err() {
                break;
            }
        }
        Ok(())
    }

    async fn sorting(
        &self,
        space: &Path,
        schema: &SchemaView,
        key: &[usize],
    ) -> Result<datafusion::execution::SendableRecordBatchStream, DataFusionError> {
        let disk = DiskManagerBuilder::default()
            .with_mode(DiskManagerMode::Directories(vec![space.to_owned()]))
            .with_max_temp_directory_size(SORT_DISK_BYTES_MAX);
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(FairSpillPool::new(self.sort_memory_bytes)))
            .with_disk_manager_builder(disk)
            .build_arc()?;
        let url = Url::parse(LOCAL_STORE_URL).map_err(|error| DataFusionError::External(Box::new(error)))?;
        drop(runtime.register_object_store(&url, Arc::new(LocalFileSystem::new())));
        let mut config = SessionConfig::new().with_target_partitions(1).with_batch_size(SORT_BATCH_ROWS);
        let options = config.options_mut();
        options.execution.parquet.schema_force_view_types = false;
        options.execution.sort_spill_reservation_bytes = SORT_RESERVED_BYTES;
        let context = SessionContext::new_with_config_rt(config, runtime);
        let table = TableReference::bare("older");
        drop(context.register_table(table.clone(), Arc::clone(&self.files) as _)?);
        let column =
            |place: usize| Expr::Column(Column::new_unqualified(schema.columns[place].name.as_str().to_owned()));
        let columns: Vec<Expr> = (0..schema.columns.len()).map(column).collect();
        let order = key.iter().map(|place| column(*place).sort(true, true)).collect();
        context.table(table).await?.select(columns)?.sort(order)?.execute_stream().await
    }
}

impl OlderRows {
    /// Nothing to read.
    pub(super) fn none() -> Self {
        let (_, taken) = mpsc::channel(1);
        Self { taken, reader: None }
    }

    /// The next rows.
    pub(super) async fn next(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        if let Some(batch) = self.taken.recv().await {
            return batch.map(Some);
        }
        // A reader that ended early would look like the end of the rows.
        if let Some(reader) = self.reader.take() {
            reader.await.map_err(|_| unreadable("its reader ended early"))?;
        }
        Ok(None)
    }
}

/// A batch under the schema that new rows have.
fn of_schema(schema: &SchemaView, batch: &RecordBatch) -> Result<RecordBatch, SourceError> {
    RecordBatch::try_new(schema.arrow(), batch.columns().to_vec())
        .map_err(|_| unreadable("its columns are not those of the resource"))
}

/// A folder to sort in, removed in the end. What a process that died left is removed first; one ingestion of a resource runs at a
/// time.
struct Space(PathBuf);

impl Space {
    fn in_directory(directory: &Path) -> Result<Space, SourceError> {
        let path = directory.join(SORTING);
        let made = match std::fs::remove_dir_all(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => std::fs::create_dir(&path),
        };
        made.map_err(|error| unreadable(&format!("no room to sort it: {error}")))?;
        Ok(Space(path))
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // What stays only takes space until the next time.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

fn unreadable(reason: &str) -> SourceError {
    SourceError::Unreadable { file: "the resource's newest version".to_owned(), reason: reason.to_owned() }
}

/// Of an error of the sort only its kind is told: its text may hold values.
fn unsorted(error: &DataFusionError) -> SourceError {
    let reason = match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => {
            "sorting it takes more memory or disk than there is; read the table whole once"
        }
        DataFusionError::IoError(_) => "the disk failed while it was sorted; see whether it is full",
        _ => "it can't be sorted; read the table whole once",
    };
    unreadable(reason)
}
