//! Iceberg tables of format versions 1 and 2, read by the Iceberg library: partitions, changed schemas, position and
//! equality deletes are its affair. Version 3 is refused: its deletion vectors and default values are not read by it. So are
//! equality deletes by a field that rows lack: it would take such rows for deleted.
//!
//! The metadata of a table names its files by the addresses at which they were written. Here they are looked for at the
//! same places below the table's own directory, so that a table can be copied, and nowhere else.

mod arrow58;
mod storage;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use futures::{StreamExt, TryStreamExt};
use iceberg::arrow::ArrowReaderBuilder;
use iceberg::io::{FileIO, FileIOBuilder};
use iceberg::scan::FileScanTask;
use iceberg::spec::{DataContentType, FormatVersion, PrimitiveType, TableMetadata, Type};
use iceberg::table::StaticTable;
use iceberg::{Runtime, TableIdent};
use sha2::{Digest, Sha256};

use super::Wanted;
use super::folder::Place;
use super::reading::{on_thread, read_whole};
use super::typed::{BadRows, Typing};
use crate::BATCH_ROWS;
use crate::columns::SchemaView;
use crate::source::{BatchStream, SchemaDrift, SourceError, SourceIdentity, TableSource};
use arrow58::bridged;
use storage::FolderStorage;

/// Largest metadata file.
const METADATA_BYTES_MAX: u64 = 256 << 20;
/// Most data files of a snapshot.
const FILES_MAX: usize = 1_000_000;
/// Most files of the directory of metadata that are looked at for the newest.
const ENTRIES_MAX: usize = 1_000_000;

/// An Iceberg table at a snapshot.
pub(super) struct IcebergTable {
    place: Place,
    typing: Typing,
    view: SchemaView,
    /// The columns as the library gives them.
    given: Arc<Schema>,
    files: FileIO,
    storage: FolderStorage,
    tasks: Vec<FileScanTask>,
    identity: String,
    rows: Option<u64>,
}

impl std::fmt::Debug for IcebergTable {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("IcebergTable").field("place", &self.place).finish_non_exhaustive()
    }
}

impl IcebergTable {
    pub(super) async fn open(place: Place, snapshot: Option<i64>, wanted: Wanted<'_>) -> Result<Self, SourceError> {
        let at = place.clone();
        let found = on_thread(&place.folder, move || -> Result<(PathBuf, Option<Vec<u8>>), SourceError> {
            let file = metadata_file(&at)?;
            let bytes = read_whole(&file, METADATA_BYTES_MAX).map_err(|error| at.unreadable(&error.to_string()))?;
            Ok((file, bytes))
        });
        let (metadata_file, bytes) = found.await.map_err(|none| place.unreadable(&none.to_string()))??;
        let bytes =
            bytes.ok_or_else(|| place.unreadable("its metadata file is larger than 256 MiB; expire old snapshots"))?;
        let metadata: TableMetadata = serde_json::from_slice(&bytes)
            .map_err(|_| place.unreadable("its metadata is not that of an Iceberg table"))?;
        if metadata.format_version() == FormatVersion::V3 {
            return Err(place.unreadable(
                "it is of Iceberg's format version 3, which can't be read here without danger of wrong rows; offer a copy of version 2",
            ));
        }
        let table_directory = table_directory(&metadata_file);
        let location = metadata.location().to_owned();
        let storage = FolderStorage::new(place.folder.clone(), table_directory, &location);
        let files = FileIOBuilder::new(Arc::new(storage.clone())).build();
        let name = TableIdent::from_strs(["source", "table"]).map_err(|error| fault(&place, "named", &error))?;
        let table = StaticTable::from_metadata(metadata, name, files.clone())
            .await
            .map_err(|error| fault(&place, "opened", &error))?;
        let metadata = table.metadata();
        let chosen = match snapshot {
            Some(id) => Some(metadata.snapshot_by_id(id).ok_or_else(|| {
                place.unreadable(&format!("it has no snapshot {id} any more; choose one of its metadata"))
            })?),
            None => metadata.current_snapshot(),
        };
        let schema = match chosen {
            Some(snapshot) => snapshot.schema(&metadata).map_err(|error| fault(&place, "described", &error))?,
            None => Arc::clone(metadata.current_schema()),
        };
        if snapshot.is_none() && !are_kept(&schema, metadata.current_schema()) {
            return Err(place.unreadable(
                "columns of it were dropped or renamed since its newest snapshot, which still has them as they were; write rows to it, so that there is a snapshot with its columns of now, or name the snapshot that is to be read",
            ));
        }
        let mut fields = Vec::new();
        for field in schema.as_struct().fields() {
            fields.push(Field::new(&field.name, arrow_type(&field.field_type), true));
        }
        let given = Arc::new(Schema::new(fields));
        let typing = Typing::between(&place.name, &given, wanted)?;
        let mut builder = table.scan().with_batch_size(Some(BATCH_ROWS));
        if let Some(snapshot) = chosen {
            builder = builder.snapshot_id(snapshot.snapshot_id());
        }
        let scan = builder.build().map_err(|error| fault(&place, "planned", &error))?;
        let planned = scan.plan_files().await.map_err(|error| fault(&place, "listed", &error))?;
        let mut tasks: Vec<FileScanTask> =
            planned.take(FILES_MAX + 1).try_collect().await.map_err(|error| fault(&place, "listed", &error))?;
        if tasks.len() > FILES_MAX {
            return Err(place.unreadable("it has more than a million data files; compact it"));
        }
        // The library lists files in the order in which their lists were read, which is not always the same.
        for task in &mut tasks {
            task.deletes.sort_by(|left, right| left.file_path.cmp(&right.file_path));
        }
        tasks.sort_by(|left, right| (&left.data_file_path, left.start).cmp(&(&right.data_file_path, right.start)));
        let (identity, rows) = described(&schema.schema_id(), &tasks);
        Ok(Self { view: typing.view(), typing, given, files, storage, tasks, identity, rows, place })
    }
}

/// A digest of what will be read, and how many rows that is where no rows were deleted.
fn described(schema: &i32, tasks: &[FileScanTask]) -> (String, Option<u64>) {
    let mut hasher = Sha256::new();
    hasher.update(format!("{schema}\n"));
    let mut rows = Some(0_u64);
    for task in tasks {
        hasher.update(format!("{}\n{}\n{}\n", task.data_file_path, task.file_size_in_bytes, task.start));
        for delete in &task.deletes {
            hasher.update(format!("-{}\n{}\n", delete.file_path, delete.file_size_in_bytes));
        }
        let of_file = if task.deletes.is_empty() { task.record_count } else { None };
        rows = rows.zip(of_file).and_then(|(sum, more)| sum.checked_add(more));
    }
    (hex::encode(hasher.finalize()), rows)
}

/// Whether all columns of a schema are still there under their names.
fn are_kept(schema: &iceberg::spec::Schema, now: &iceberg::spec::Schema) -> bool {
    let is_kept = |id, name: &str| now.field_by_id(id).is_some_and(|kept| kept.name == name);
    schema.as_struct().fields().iter().all(|field| is_kept(field.id, &field.name))
}

/// The fields by whose values rows of a data file are deleted. Error: a list of deleted values that names none.
fn compared(place: &Place, task: &FileScanTask) -> Result<Vec<i32>, SourceError> {
    let mut fields = BTreeSet::new();
    for delete in task.deletes.iter().filter(|delete| delete.file_type == DataContentType::EqualityDeletes) {
        let named = delete.equality_ids.as_deref().unwrap_or_default();
        if named.is_empty() {
            return Err(place.unreadable("it has a file of equality deletes that names no columns; compact the table"));
        }
        fields.extend(named);
    }
    Ok(fields.into_iter().collect())
}

/// The library's condition for such rows is neither true nor false where a row has no value, so they would not be read.
fn not_compared(place: &Place, task: &FileScanTask, field: i32) -> SourceError {
    let column = task.schema().name_by_field_id(field).unwrap_or("(one that was dropped)");
    place.unreadable(&format!(
        "rows of it are deleted by their values in column `{column}`, which other rows may lack, and can't be told from those here; compact the table (rewrite its data files), so that no equality deletes are left"
    ))
}

impl TableSource for IcebergTable {
    fn name(&self) -> &str {
        &self.place.name
    }

    fn schema(&self) -> &SchemaView {
        &self.view
    }

    fn identity(&self) -> SourceIdentity {
        SourceIdentity::Fixed(self.identity.clone())
    }

    fn rows_hint(&self) -> Option<u64> {
        self.rows
    }

    fn drift(&self) -> SchemaDrift {
        self.typing.drift().clone()
    }

    fn into_batches(self: Box<Self>) -> BatchStream {
        let IcebergTable { place, typing, given, files, storage, tasks, .. } = *self;
        Box::pin(async_stream::try_stream! {
            let damaged = |error: iceberg::Error| place.unreadable(&format!("a data file: {}", error.message()));
            for task in &tasks {
                for delete in &task.deletes {
                    storage.check_pages(&delete.file_path, Vec::new()).await.map_err(damaged)?;
                }
                let lacking = storage.check_pages(&task.data_file_path, compared(&place, task)?).await.map_err(damaged)?;
                lacking.map_or(Ok(()), |field| Err(not_compared(&place, task, field)))?;
            }
            let runtime = Runtime::try_current().map_err(|error| fault(&place, "read", &error))?;
            // One file after the other: the order of the rows is part of what they are.
            let reader = ArrowReaderBuilder::new(files, runtime)
                .with_batch_size(BATCH_ROWS)
                .with_data_file_concurrency_limit(1)
                .build();
            let tasks = futures::stream::iter(tasks.into_iter().map(Ok)).boxed();
            let read = reader.read(tasks).map_err(|error| fault(&place, "read", &error))?;
            let mut batches = read.stream();
            let mut rows_before = 0_u64;
            while let Some(batch) = batches.next().await {
                let batch = batch.map_err(|error| fault(&place, "read", &error))?;
                let rows = batch.num_rows();
                if rows > 0 {
                    let arrays = bridged(&batch, &given).map_err(|reason| place.unreadable(&reason))?;
                    yield typing.bring(&arrays, rows, rows_before, BadRows::new())?;
                }
                rows_before += rows as u64;
            }
        })
    }
}

/// The Arrow type in which the library gives a type's values; for one that governed data can't have, one that is refused.
fn arrow_type(field_type: &Type) -> DataType {
    let Type::Primitive(primitive) = field_type else {
        // Lists, maps and structs.
        return DataType::Struct(Vec::<Field>::new().into());
    };
    match primitive {
        PrimitiveType::Boolean => DataType::Boolean,
        PrimitiveType::Int => DataType::Int32,
        PrimitiveType::Long => DataType::Int64,
        PrimitiveType::Float => DataType::Float32,
        PrimitiveType::Double => DataType::Float64,
        PrimitiveType::Decimal { precision, scale } => match (u8::try_from(*precision), i8::try_from(*scale)) {
            (Ok(precision), Ok(scale)) => DataType::Decimal128(precision, scale),
            _ => DataType::Null,
        },
        PrimitiveType::Date => DataType::Date32,
        PrimitiveType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        PrimitiveType::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("+00:00".into())),
        PrimitiveType::String => DataType::Utf8,
        PrimitiveType::Time => DataType::Time64(TimeUnit::Microsecond),
        _ => DataType::Binary,
    }
}

/// The metadata file: the place itself, or the newest below it.
fn metadata_file(place: &Place) -> Result<PathBuf, SourceError> {
    if place.path.is_file() {
        return Ok(place.path.clone());
    }
    let missing = || place.unreadable("it has no metadata/*.metadata.json, so it is no Iceberg table");
    let directory = place.path.join("metadata");
    let mut newest: Option<(u64, std::time::SystemTime, PathBuf)> = None;
    for entry in std::fs::read_dir(&directory).map_err(|_| missing())?.take(ENTRIES_MAX).flatten() {
        let path = entry.path();
        let Some(number) = metadata_number(&path) else { continue };
        let written = entry.metadata().and_then(|metadata| metadata.modified()).unwrap_or(std::time::UNIX_EPOCH);
        if newest.as_ref().is_none_or(|(known, at, _)| (number, written) > (*known, *at)) {
            newest = Some((number, written, path));
        }
    }
    let (_, _, path) = newest.ok_or_else(missing)?;
    place.confined(&path)
}

/// The number of `v7.metadata.json` or `00007-UUID.metadata.json`.
fn metadata_number(path: &Path) -> Option<u64> {
    let stem = path.file_name()?.to_str()?.strip_suffix(".metadata.json")?;
    let digits: String = stem.strip_prefix('v').unwrap_or(stem).chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// The directory that holds `metadata`.
fn table_directory(metadata_file: &Path) -> PathBuf {
    let above = |path: &Path| path.parent().map_or_else(|| path.to_owned(), Path::to_owned);
    above(&above(metadata_file))
}

/// An error of the Iceberg library: of its text, which may hold values, only its kind is told.
fn fault(place: &Place, doing: &str, error: &iceberg::Error) -> SourceError {
    let hint = if error.kind() == iceberg::ErrorKind::FeatureUnsupported {
        "; it uses something that can't be read here, so offer a rewritten copy"
    } else {
        ""
    };
    place.unreadable(&format!("as an Iceberg table it can't be {doing}: {}{hint}", error.kind()))
}
