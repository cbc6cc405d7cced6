//! The data files of one version, written in parts. A finished part is durable and bears the SHA-256 of its contents in its
//! name, so the parts of a version that was interrupted are found again, checked, and not written a second time.
//!
//! Every part but the last has the same number of rows, and rows are written in batches of one size whatever sizes they came
//! in: the same rows make the same files, byte for byte, in one go or in several.
//!
//! Of a table that changes under the reader a part is gone on from only if each of its rows is what was read now at its place:
//! what is written is always one state of the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
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
            match self.finished_part(&self.prefix, &path, &name, parts.files.len()) {
                Some(file) if self.is_whole(&parts) => parts.files.push(file),
                _ => remove(&path)?,
            }
        }
        Ok(parts)
    }

    /// The finished parts of that earlier attempt of a job that came furthest, in order and checked; files of the other ones are
    /// removed, but for those that are named.
    pub(super) fn earlier(&self, job: &str, named: &BTreeSet<&str>) -> Result<Parts, StorageError> {
        let mut attempts: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for name in files_of(&self.directory, job)? {
            // JOB-ATTEMPT-PLACE-SHA256.parquet
            let attempt = name.rsplitn(3, '-').nth(2).unwrap_or_default().to_owned();
            if attempt != self.prefix && attempt.len() > job.len() {
                attempts.entry(attempt).or_default().push(name);
            }
        }
        let Some(furthest) = attempts.iter().max_by_key(|(_, names)| names.len()).map(|(attempt, _)| attempt.clone())
        else {
            return Ok(Parts::default());
        };
        let mut parts = Parts::default();
        for (attempt, mut names) in attempts {
            names.sort();
            for name in names {
                let path = self.directory.join(&name);
                let found = if attempt == furthest && self.is_whole(&parts) {
                    self.finished_part(&attempt, &path, &name, parts.files.len())
                } else {
                    None
                };
                match found {
                    Some(file) => parts.files.push(file),
                    None if named.contains(name.as_str()) => {}
                    None => remove(&path)?,
                }
            }
        }
        Ok(parts)
    }

    /// Whether another part may follow.
    fn is_whole(&self, parts: &Parts) -> bool {
        parts.files.last().is_none_or(|last| last.rows == self.part_rows)
    }

    /// A part, if it is the one of a place and as it was written.
    fn finished_part(&self, prefix: &str, path: &Path, name: &str, place: usize) -> Option<DataFile> {
        let sha256 = name.strip_prefix(&part_prefix(prefix, place))?.strip_prefix('-')?.strip_suffix(".parquet")?;
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

    /// Writes the rows that `parts` lacks: all that `batches` gives. When it fails, the finished parts stay.
    pub(super) fn write<I>(&self, parts: &mut Parts, batches: I) -> Result<(), SnapshotError>
    where
        I: Iterator<Item = Result<RecordBatch, SourceError>>,
    {
        self.write_even(parts, EvenBatches::of(batches))
    }

    /// Takes the parts of an earlier attempt over as far as `batches` gives their rows again, and writes what comes after them. Tells
    /// how many rows were taken over before it writes any.
    pub(super) fn write_after<I>(
        &self,
        parts: &mut Parts,
        earlier: &Parts,
        batches: I,
        tell_kept: impl FnOnce(u64),
    ) -> Result<(), SnapshotError>
    where
        I: Iterator<Item = Result<RecordBatch, SourceError>>,
    {
        let mut even = EvenBatches::of(batches);
        for file in &earlier.files {
            let (mut same_batches, mut differing) = (0, None);
            for stored in self.stored(file)? {
                if self.stop.is_given() {
                    return Err(SnapshotError::Stopped);
                }
                let stored = stored?;
                match even.next() {
                    Some(Ok(batch)) if batch.columns() == stored.columns() => same_batches += 1,
                    other => {
                        differing = Some(other);
                        break;
                    }
                }
            }
            if differing.is_none() && file.rows < self.part_rows {
                // The last part, unless more comes now.
                differing = even.next().map(Some);
            }
            if self.stop.is_given() {
                return Err(SnapshotError::Stopped);
            }
            let Some(differing) = differing else {
                parts.files.push(self.taken_over(file, parts.files.len())?);
                continue;
            };
            tell_kept(parts.rows());
            // The rows before the difference were read already, and are the same.
            let begun = self.stored(file)?.take(same_batches);
            return self.write_even(parts, begun.chain(differing).chain(even));
        }
        tell_kept(parts.rows());
        self.write_even(parts, even)
    }

    /// The rows of a part as they were given to it: without their numbers, in the same batches.
    fn stored(
        &self,
        file: &DataFile,
    ) -> Result<impl Iterator<Item = Result<RecordBatch, SourceError>> + use<>, SnapshotError> {
        let path = self.directory.join(&file.path);
        let unreadable = |reason: String| StorageError::Damaged { path: path.clone(), reason };
        let opened = fs::File::open(&path).map_err(|error| StorageError::io(&path, "opened", &error))?;
        let builder =
            ParquetRecordBatchReaderBuilder::try_new(opened).map_err(|error| unreadable(error.to_string()))?;
        let visible = self.schema.fields().len() - 1;
        let schema = Arc::new(Schema::new(self.schema.fields()[..visible].to_vec()));
        let mask = ProjectionMask::roots(builder.parquet_schema(), 0..visible);
        let reader = builder.with_projection(mask).with_batch_size(BATCH_ROWS).build();
        let reader = reader.map_err(|error| unreadable(error.to_string()))?;
        let name = file.path.clone();
        let batches = reader.map(move |batch| {
            let batch = batch.and_then(|batch| RecordBatch::try_new(Arc::clone(&schema), batch.columns().to_vec()));
            batch.map_err(|error| SourceError::Unreadable { file: name.clone(), reason: error.to_string() })
        });
        Ok(EvenBatches::of(batches))
    }

    /// A part of an earlier attempt under the name of this one.
    fn taken_over(&self, file: &DataFile, place: usize) -> Result<DataFile, StorageError> {
        let name = format!("{}-{}.parquet", part_prefix(&self.prefix, place), file.sha256);
        let (from, to) = (self.directory.join(&file.path), self.directory.join(&name));
        let fault = |error: &std::io::Error| StorageError::io(&to, "named", error);
        // The same file under two names where the disk has that. Its names are made durable with the version.
        if fs::hard_link(&from, &to).is_err() {
            fs::copy(&from, &to).map_err(|error| fault(&error))?;
            fs::File::open(&to).and_then(|copy| copy.sync_all()).map_err(|error| fault(&error))?;
        }
        Ok(DataFile { path: name, ..file.clone() })
    }

    /// Writes batches of one size.
    fn write_even(
        &self,
        parts: &mut Parts,
        batches: impl Iterator<Item = Result<RecordBatch, SourceError>>,
    ) -> Result<(), SnapshotError> {
        let mut rows = parts.rows();
        let mut open: Option<DataFileWriter> = None;
        for batch in batches {
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
        DataFileWriter::create(&self.directory, &part_prefix(&self.prefix, place), Arc::clone(&self.schema))
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

fn part_prefix(prefix: &str, place: usize) -> String {
    format!("{prefix}-{place:05}")
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
