//! The data files of one version, written in parts. A finished part is durable and bears the SHA-256 of its contents in its
//! name, so the parts of a version that was interrupted are found again, checked, and not written a second time.
//!
//! Every part but the last has the same number of rows, and rows are written in batches of one size whatever sizes they came
//! in: the same rows make the same files, byte for byte, in one go or in several.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::{FILES_MAX, SnapshotError};
use crate::BATCH_ROWS;
use crate::files::{DataFile, DataFileWriter, StorageError, hash_of};
use crate::source::{SourceError, StopSignal};

/// Writes the data files of one version.
pub(super) struct PartWriter {
    pub(super) resource: String,
    pub(super) directory: PathBuf,
    /// What the files' names begin with. It keeps a version that repeats an earlier one from sharing its files.
    pub(super) prefix: String,
    /// The visible columns and the row number.
    pub(super) schema: SchemaRef,
    /// Rows of a part: a multiple of [`BATCH_ROWS`].
    pub(super) part_rows: u64,
    pub(super) stop: Arc<StopSignal>,
}

/// The parts of a version so far.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) files: Vec<DataFile>,
}

impl Parts {
    pub(super) fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }
}

impl PartWriter {
    /// The finished parts that an interrupted writing left, in order and checked. What can't be gone on from is removed.
    pub(super) fn finished(&self) -> Result<Parts, StorageError> {
        let mut parts = Parts::default();
        let mut found = files_of(&self.directory, &self.prefix)?;
        found.sort();
        for name in found {
            let path = self.directory.join(&name);
            let is_whole = parts.files.last().is_none_or(|last| last.rows == self.part_rows);
            match self.finished_part(&path, &name, parts.files.len()) {
                Some(file) if is_whole => parts.files.push(file),
                _ => remove(&path)?,
            }
        }
        Ok(parts)
    }

    /// A part, if it is the one of a place and as it was written.
    fn finished_part(&self, path: &Path, name: &str, place: usize) -> Option<DataFile> {
        let sha256 = name.strip_prefix(&self.part_prefix(place))?.strip_prefix('-')?.strip_suffix(".parquet")?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(fs::File::open(path).ok()?).ok()?;
        let fields = |schema: &SchemaRef| -> Vec<_> {
            schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone())).collect()
        };
        let rows = u64::try_from(reader.metadata().file_metadata().num_rows()).ok()?;
        let is_ours = fields(reader.schema()) == fields(&self.schema) && rows <= self.part_rows;
        let size = fs::metadata(path).ok()?.len();
        (is_ours && hash_of(path).ok()? == sha256).then(|| DataFile {
            path: name.to_owned(),
            size,
            sha256: sha256.to_owned(),
            rows,
        })
    }

    fn part_prefix(&self, place: usize) -> String {
        format!("{}-{place:05}", self.prefix)
    }

    /// Writes the rows that `parts` lacks: all that `batches` gives. When it fails, the finished parts stay.
    pub(super) fn write<I>(&self, parts: &mut Parts, batches: I) -> Result<(), SnapshotError>
    where
        I: Iterator<Item = Result<RecordBatch, SourceError>>,
    {
        let mut rows = parts.rows();
        let mut open: Option<DataFileWriter> = None;
        for batch in EvenBatches::of(batches) {
            let batch = self.numbered(&batch?, rows);
            if self.stop.is_given() {
                return Err(SnapshotError::Stopped);
            }
            let mut part = match open.take() {
                Some(part) => part,
                None if parts.files.len() >= FILES_MAX => {
                    return Err(SnapshotError::TooLarge { resource: self.resource.clone() });
                }
                None => self.begin_part(parts.files.len())?,
            };
            part.write(&batch)?;
            rows += batch.num_rows() as u64;
            if part.rows() >= self.part_rows {
                parts.files.push(part.finish()?);
            } else {
                open = Some(part);
            }
        }
        if self.stop.is_given() {
            return Err(SnapshotError::Stopped);
        }
        match open {
            Some(part) => parts.files.push(part.finish()?),
            // A version without rows has one file, which holds the columns.
            None if parts.files.is_empty() => parts.files.push(self.begin_part(0)?.finish()?),
            None => {}
        }
        Ok(())
    }

    fn begin_part(&self, place: usize) -> Result<DataFileWriter, StorageError> {
        DataFileWriter::create(&self.directory, &self.part_prefix(place), Arc::clone(&self.schema))
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

/// Removes the files of a prefix from a directory, but for some.
pub(super) fn discard(directory: &Path, prefix: &str, kept: &BTreeSet<&str>) -> Result<(), StorageError> {
    for name in files_of(directory, prefix)? {
        if !kept.contains(name.as_str()) {
            remove(&directory.join(name))?;
        }
    }
    Ok(())
}

/// Names of the finished files of a prefix. Unfinished ones are removed on the way.
fn files_of(directory: &Path, prefix: &str) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(names),
        Err(error) => return Err(StorageError::io(directory, "read", &error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| StorageError::io(directory, "read", &error))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(&format!(".{prefix}-")) {
            remove(&entry.path())?;
        } else if name.starts_with(&format!("{prefix}-")) {
            names.push(name);
        }
    }
    Ok(names)
}

fn remove(path: &Path) -> Result<(), StorageError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StorageError::io(path, "removed", &error)),
        _ => Ok(()),
    }
}

/// The same rows in batches of [`BATCH_ROWS`] rows; only the last is shorter.
struct EvenBatches<I> {
    batches: I,
    coalescer: Option<BatchCoalescer>,
    has_ended: bool,
}

impl<I> EvenBatches<I>
where
    I: Iterator<Item = Result<RecordBatch, SourceError>>,
{
    fn of(batches: I) -> Self {
        Self { batches, coalescer: None, has_ended: false }
    }
}

impl<I> Iterator for EvenBatches<I>
where
    I: Iterator<Item = Result<RecordBatch, SourceError>>,
{
    type Item = Result<RecordBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(whole) = self.coalescer.as_mut().and_then(BatchCoalescer::next_completed_batch) {
                return Some(Ok(whole));
            }
            if self.has_ended {
                return None;
            }
            match self.batches.next() {
                Some(Ok(batch)) => {
                    let is_between = self.coalescer.as_ref().is_none_or(BatchCoalescer::is_empty);
                    if is_between && batch.num_rows() == BATCH_ROWS {
                        return Some(Ok(batch));
                    }
                    let schema = batch.schema();
                    let coalescer = self.coalescer.get_or_insert_with(|| BatchCoalescer::new(schema, BATCH_ROWS));
                    coalescer.push_batch(batch).expect("all batches of a source have one schema");
                }
                Some(Err(error)) => {
                    self.has_ended = true;
                    self.coalescer = None;
                    return Some(Err(error));
                }
                None => {
                    self.has_ended = true;
                    if let Some(coalescer) = &mut self.coalescer {
                        coalescer.finish_buffered_batch().expect("all batches of a source have one schema");
                    }
                }
            }
        }
    }
}

/// The rows of batches but for the first ones.
pub(super) fn without_first<I>(batches: I, rows: u64) -> impl Iterator<Item = Result<RecordBatch, SourceError>> + Send
where
    I: Iterator<Item = Result<RecordBatch, SourceError>> + Send,
{
    let mut left = rows;
    batches.filter_map(move |batch| {
        let batch = match batch {
            Ok(batch) => batch,
            Err(error) => return Some(Err(error)),
        };
        let count = batch.num_rows();
        match usize::try_from(left) {
            Ok(left_here) if left_here < count => {
                left = 0;
                Some(Ok(batch.slice(left_here, count - left_here)))
            }
            _ => {
                left -= count as u64;
                None
            }
        }
    })
}
