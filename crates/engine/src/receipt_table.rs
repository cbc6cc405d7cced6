//! Receipts as a table: one Parquet file for each finished day and a few for the day that runs, asked like any other governed
//! table.
//!
//! A row is one closed delivery. The files hold the bitmap of its rows too, as a binary column that no statement can name: it
//! would tell of others than who asks. A manifest names the files and up to which position of the receipt log they reach; it is
//! replaced in one step after the files that it names are durable, so a crash leaves the former state and files that nobody
//! names, which are removed when the table is opened.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Date32Array, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::json::writer::{JsonArray, WriterBuilder};
use jiff::Timestamp;
use jiff::civil::Date;
use lingqu_domain::predicate::Predicate;
use lingqu_domain::scope::{ColumnName, Mode, Precision};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::BATCH_ROWS;
use crate::columns::{ColumnType, row_field};
use crate::engine::Engine;
use crate::execution::{EngineError, Limits};
use crate::files::{DataFile, DataFileWriter, StorageError, TableFiles, write_durably};
use crate::governed::{Governance, GovernedTable};
use crate::mask::PseudonymKeys;
use crate::session::{AnswerShape, GovernedSession};

/// The name that statements use.
pub const RECEIPTS_TABLE: &str = "receipts";
/// Files of the day that runs before they are put together.
const FILES_OF_DAY_MAX: usize = 16;
const MANIFEST: &str = "receipts.json";
/// Which columns the files have. Files of another version are made anew from the receipts.
const COLUMNS_VERSION: u32 = 3;
/// The bitmap of a delivery's rows.
const ROW_SET_COLUMN: &str = "row_set";

/// A closed delivery.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceiptRow {
    /// Position of its last record.
    pub position: u64,
    /// Position of its first.
    pub first_position: u64,
    /// The delivery.
    pub receipt: String,
    /// When it began.
    pub at: Timestamp,
    /// When it ended.
    pub closed_at: Timestamp,
    /// The order.
    pub order: String,
    /// Who received it.
    pub consumer: String,
    /// Who operates the product.
    pub operator: String,
    /// The product.
    pub product: String,
    /// The permits that the product stands on.
    pub permits: Vec<String>,
    /// What for.
    pub purpose: String,
    /// How.
    pub mode: String,
    /// By which protocol.
    pub protocol: String,
    /// REAL or SYNTHETIC.
    pub nature: String,
    /// `delivered`, or why it stopped.
    pub outcome: String,
    /// Rows that left the governed table.
    pub rows: u64,
    /// Rows of the answer.
    pub answer_rows: u64,
    /// Bytes sent.
    pub bytes: u64,
    /// Chargeable calls.
    pub calls: u64,
    /// Chargeable data sets.
    pub data_sets: u64,
    /// Columns of the product that the answer was made of.
    pub columns: Vec<String>,
    /// Columns by which rows were chosen.
    pub conditions: Vec<String>,
    /// Marked columns among them.
    pub marked: Vec<String>,
    /// What the marks are named by.
    pub code_id: Option<String>,
    /// Masks of the columns, each as `column=mask`.
    pub masks: Vec<String>,
    /// Versions of the snapshots.
    pub snapshots: Vec<String>,
    /// Digest of the grant.
    pub grant_digest: String,
    /// Rulebook version.
    pub rulebook_version: String,
    /// Salted digest of what was asked.
    pub request_digest: String,
    /// Salted digest of the canonical form of what was asked.
    pub query_digest: Option<String>,
    /// What the digest of the answer is of.
    pub answer_form: Option<String>,
    /// Salted digest of the answer.
    pub answer_sha256: Option<String>,
    /// The node.
    pub node: String,
    /// The log entry that commits to its last record.
    pub log_entry: Option<u64>,
    /// The rows as a bitmap; none where that is too large for a row of a table.
    pub row_set: Option<Vec<u8>>,
}

impl ReceiptRow {
    /// The day that it counts to: on which it ended, in UTC.
    fn day(&self) -> Date {
        jiff::tz::Offset::UTC.to_datetime(self.closed_at).date()
    }
}

/// How a column is read out of a row.
enum Cell {
    Text(fn(&ReceiptRow) -> Option<String>),
    Integer(fn(&ReceiptRow) -> Option<u64>),
    Time(fn(&ReceiptRow) -> Timestamp),
    Day(fn(&ReceiptRow) -> Date),
}

/// The columns that statements may name, in their order.
const COLUMNS: [(&str, Cell); 33] = [
    ("receipt", Cell::Text(|row| Some(row.receipt.clone()))),
    ("began_at", Cell::Time(|row| row.at)),
    ("closed_at", Cell::Time(|row| row.closed_at)),
    ("day", Cell::Day(ReceiptRow::day)),
    ("order_id", Cell::Text(|row| Some(row.order.clone()))),
    ("consumer", Cell::Text(|row| Some(row.consumer.clone()))),
    ("operator", Cell::Text(|row| Some(row.operator.clone()))),
    ("product", Cell::Text(|row| Some(row.product.clone()))),
    ("permits", Cell::Text(|row| joined(&row.permits))),
    ("purpose", Cell::Text(|row| Some(row.purpose.clone()))),
    ("mode", Cell::Text(|row| Some(row.mode.clone()))),
    ("protocol", Cell::Text(|row| Some(row.protocol.clone()))),
    ("nature", Cell::Text(|row| Some(row.nature.clone()))),
    ("outcome", Cell::Text(|row| Some(row.outcome.clone()))),
    ("rows_left", Cell::Integer(rows_that_may_be_told)),
    ("answer_rows", Cell::Integer(|row| Some(row.answer_rows))),
    ("bytes", Cell::Integer(|row| Some(row.bytes))),
    ("calls", Cell::Integer(|row| Some(row.calls))),
    ("data_sets", Cell::Integer(|row| Some(row.data_sets))),
    ("columns", Cell::Text(|row| joined(&row.columns))),
    ("conditions", Cell::Text(|row| joined(&row.conditions))),
    ("marked", Cell::Text(|row| joined(&row.marked))),
    ("code_id", Cell::Text(|row| row.code_id.clone())),
    ("masks", Cell::Text(|row| joined(&row.masks))),
    ("snapshots", Cell::Text(|row| joined(&row.snapshots))),
    ("grant_digest", Cell::Text(|row| Some(row.grant_digest.clone()))),
    ("rulebook_version", Cell::Text(|row| Some(row.rulebook_version.clone()))),
    ("request_digest", Cell::Text(|row| Some(row.request_digest.clone()))),
    ("query_digest", Cell::Text(|row| row.query_digest.clone())),
    ("answer_form", Cell::Text(|row| row.answer_form.clone())),
    ("answer_sha256", Cell::Text(|row| row.answer_sha256.clone())),
    ("node", Cell::Text(|row| Some(row.node.clone()))),
    ("log_entry", Cell::Integer(|row| row.log_entry)),
];

/// Rows that left. None of statistics: those of a statistic are all rows that the grant shows, and their exact number is what floors,
/// differences and noise keep from who asks.
fn rows_that_may_be_told(row: &ReceiptRow) -> Option<u64> {
    (row.mode != Mode::Statistics.code()).then_some(row.rows)
}

/// Names with a comma between them; none where there is no name.
fn joined(names: &[String]) -> Option<String> {
    (!names.is_empty()).then(|| names.join(","))
}

impl Cell {
    fn column_type(&self) -> ColumnType {
        match self {
            Cell::Text(_) => ColumnType::Text,
            Cell::Integer(_) => ColumnType::Integer,
            Cell::Time(_) => ColumnType::Timestamp,
            Cell::Day(_) => ColumnType::Date,
        }
    }

    fn array(&self, rows: &[ReceiptRow]) -> ArrayRef {
        match self {
            Cell::Text(of) => Arc::new(rows.iter().map(of).collect::<StringArray>()),
            Cell::Integer(of) => Arc::new(rows.iter().map(|row| of(row).map(number)).collect::<Int64Array>()),
            Cell::Time(of) => Arc::new(
                TimestampMicrosecondArray::from_iter_values(rows.iter().map(|row| of(row).as_microsecond()))
                    .with_timezone("UTC"),
            ),
            Cell::Day(of) => {
                let epoch = jiff::civil::date(1970, 1, 1);
                let days = |row| (of(row) - epoch).get_days();
                Arc::new(Date32Array::from_iter_values(rows.iter().map(days)))
            }
        }
    }
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The schema of the files, hidden columns included.
fn stored_schema() -> SchemaRef {
    let mut fields = Vec::with_capacity(COLUMNS.len() + 2);
    for (name, cell) in &COLUMNS {
        fields.push(Field::new(*name, cell.column_type().arrow(), true));
    }
    fields.push(Field::new(ROW_SET_COLUMN, DataType::Binary, true));
    fields.push(row_field());
    Arc::new(Schema::new(fields))
}

fn batch_of(rows: &[ReceiptRow], schema: &SchemaRef) -> RecordBatch {
    let mut columns: Vec<ArrayRef> = COLUMNS.iter().map(|(_, cell)| cell.array(rows)).collect();
    columns.push(Arc::new(rows.iter().map(|row| row.row_set.as_deref()).collect::<BinaryArray>()));
    columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| number(row.position)))));
    RecordBatch::try_new(Arc::clone(schema), columns).expect("each column was made for its field")
}

/// What there is; written last.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    /// Position of the receipt log up to which deliveries that ended are in it.
    position: u64,
    /// Digest of the record there: of another log it is no table.
    last_digest: String,
    /// The files in the order of positions.
    files: Vec<DayFile>,
    /// [`COLUMNS_VERSION`] of the program that wrote it.
    #[serde(default)]
    columns_version: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DayFile {
    day: Date,
    file: DataFile,
}

/// The receipts of a node as a table, in one directory.
#[derive(Debug)]
pub struct ReceiptTable {
    directory: PathBuf,
    schema: SchemaRef,
    manifest: Manifest,
    /// Files that were put together; those who still read them may end before they go.
    obsolete: Vec<PathBuf>,
}

/// The answer to a statement over receipts.
#[derive(Clone, Debug, PartialEq)]
pub struct ReceiptAnswer {
    /// Names of its columns.
    pub columns: Vec<String>,
    /// Its rows, each an object by column.
    pub rows: Vec<Value>,
}

impl ReceiptTable {
    /// Opens the table, making its directory when it is not there. Removes files that a crash left.
    pub fn open(directory: &Path) -> Result<ReceiptTable, StorageError> {
        fs::create_dir_all(directory).map_err(|error| StorageError::io(directory, "made", &error))?;
        let directory = directory.canonicalize().map_err(|error| StorageError::io(directory, "found", &error))?;
        let path = directory.join(MANIFEST);
        let manifest: Manifest = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
                let reason = error.to_string();
                StorageError::MadeDamaged { path, reason }
            })?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Manifest::default(),
            Err(error) => return Err(StorageError::io(&path, "read", &error)),
        };
        let is_of_other_columns = manifest.columns_version != COLUMNS_VERSION;
        let manifest = if is_of_other_columns { Manifest::default() } else { manifest };
        let named: BTreeSet<&str> = manifest.files.iter().map(|file| file.file.path.as_str()).collect();
        let listed = fs::read_dir(&directory).map_err(|error| StorageError::io(&directory, "read", &error))?;
        for entry in listed {
            let entry = entry.map_err(|error| StorageError::io(&directory, "read", &error))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name != MANIFEST && !named.contains(name.as_ref()) {
                drop(fs::remove_file(entry.path()));
            }
        }
        let table = ReceiptTable { directory, schema: stored_schema(), manifest, obsolete: Vec::new() };
        table.files().check_presence()?;
        Ok(table)
    }

    /// Position of the receipt log up to which deliveries that ended are in the table.
    pub fn position(&self) -> u64 {
        self.manifest.position
    }

    /// Digest of the record there, as whoever appended told it.
    pub fn last_digest(&self) -> &str {
        &self.manifest.last_digest
    }

    /// Empties the table, which is of another log.
    pub fn clear(&mut self) -> Result<(), StorageError> {
        let old = self.manifest.files.iter().map(|file| self.directory.join(&file.file.path));
        self.obsolete.extend(old.collect::<Vec<_>>());
        self.replace(Manifest::default())
    }

    /// Rows in all.
    pub fn rows(&self) -> u64 {
        self.manifest.files.iter().map(|file| file.file.rows).sum()
    }

    /// The days and how many files each has.
    pub fn days(&self) -> BTreeMap<Date, usize> {
        let mut days = BTreeMap::new();
        for file in &self.manifest.files {
            *days.entry(file.day).or_default() += 1;
        }
        days
    }

    /// Appends deliveries in the order of their positions, all that ended up to `position`, whose record has a digest. When this returns they are
    /// durable.
    pub fn append(&mut self, rows: &[ReceiptRow], position: u64, last_digest: &str) -> Result<(), StorageError> {
        let mut manifest = self.manifest.clone();
        let mut start = 0;
        while start < rows.len() {
            // One that ended before midnight and was written after it counts to the day that runs.
            let day = rows[start].day().max(manifest.files.last().map_or(Date::MIN, |file| file.day));
            let end = start + rows[start..].iter().take_while(|row| row.day() <= day).count();
            let mut writer = DataFileWriter::create(&self.directory, &day.to_string(), Arc::clone(&self.schema))?;
            for chunk in rows[start..end].chunks(BATCH_ROWS) {
                writer.write(&batch_of(chunk, &self.schema))?;
            }
            manifest.files.push(DayFile { day, file: writer.finish()? });
            start = end;
        }
        manifest.position = position;
        last_digest.clone_into(&mut manifest.last_digest);
        self.replace(manifest)
    }

    /// Puts the files of each finished day together, and those of the day that runs when they are many. A day is finished when
    /// there is a later one. Answers how many days were put together.
    pub fn settle(&mut self) -> Result<u64, StorageError> {
        // A file's name is the digest of its bytes, so a table that was made anew may name again what was obsolete.
        let named: BTreeSet<PathBuf> =
            self.manifest.files.iter().map(|file| self.directory.join(&file.file.path)).collect();
        for path in std::mem::take(&mut self.obsolete) {
            if !named.contains(&path) {
                // One that stays is removed when the table is opened.
                drop(fs::remove_file(path));
            }
        }
        let running = self.manifest.files.last().map(|file| file.day);
        let many = |day: Date| if Some(day) == running { FILES_OF_DAY_MAX } else { 1 };
        let days: Vec<Date> =
            self.days().into_iter().filter(|(day, files)| *files > many(*day)).map(|(day, _)| day).collect();
        for day in &days {
            let of_day = self.manifest.files.iter().filter(|file| file.day == *day);
            let parts: Vec<DataFile> = of_day.map(|file| file.file.clone()).collect();
            let whole = self.together(*day, &parts)?;
            let mut manifest = self.manifest.clone();
            let at = manifest.files.iter().position(|file| file.day == *day).unwrap_or(0);
            manifest.files.retain(|file| file.day != *day);
            manifest.files.insert(at, DayFile { day: *day, file: whole.clone() });
            self.replace(manifest)?;
            let old = parts.iter().filter(|part| part.path != whole.path);
            self.obsolete.extend(old.map(|part| self.directory.join(&part.path)));
        }
        Ok(days.len() as u64)
    }

    fn together(&self, day: Date, parts: &[DataFile]) -> Result<DataFile, StorageError> {
        let mut writer = DataFileWriter::create(&self.directory, &day.to_string(), Arc::clone(&self.schema))?;
        for part in parts {
            let path = self.directory.join(&part.path);
            let damaged = |error: &dyn std::fmt::Display| StorageError::MadeDamaged {
                path: path.clone(),
                reason: error.to_string(),
            };
            let file = fs::File::open(&path).map_err(|error| StorageError::io(&path, "read", &error))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
            for batch in reader.with_batch_size(BATCH_ROWS).build().map_err(|error| damaged(&error))? {
                let batch = batch.map_err(|error| damaged(&error))?;
                let batch = RecordBatch::try_new(Arc::clone(&self.schema), batch.columns().to_vec());
                writer.write(&batch.map_err(|error| damaged(&error))?)?;
            }
        }
        writer.finish()
    }

    fn replace(&mut self, mut manifest: Manifest) -> Result<(), StorageError> {
        manifest.columns_version = COLUMNS_VERSION;
        let contents = serde_json::to_vec_pretty(&manifest).expect("a manifest has only string keys");
        write_durably(&self.directory.join(MANIFEST), &contents)?;
        self.manifest = manifest;
        Ok(())
    }

    /// The files as they are now.
    pub fn files(&self) -> Arc<TableFiles> {
        let files = self.manifest.files.iter().map(|file| file.file.clone()).collect();
        Arc::new(TableFiles::new(self.directory.clone(), files, Arc::clone(&self.schema)))
    }
}

/// Answers a statement over receipts. Of what `rows` leaves out nothing exists; none leaves out nothing.
///
/// # Errors
/// As those of a consumer's statement.
pub async fn query_receipts(
    engine: &Arc<Engine>,
    files: Arc<TableFiles>,
    rows: Option<Predicate>,
    sql: &str,
    limits: Limits,
) -> Result<ReceiptAnswer, EngineError> {
    let exact = |(name, _): &(&str, Cell)| (ColumnName::new(*name).expect("a column of the table"), Precision::Exact);
    let governance = Governance {
        name: RECEIPTS_TABLE.to_owned(),
        columns: COLUMNS.iter().map(exact).collect(),
        rows: rows.into_iter().collect(),
        consent: None,
        keys: PseudonymKeys::default(),
        marks: None,
    };
    let table = GovernedTable::new(files, &governance)?;
    let session = GovernedSession::new(engine, &[table], limits, AnswerShape::Rows)?;
    let answer = session.query(sql).await?;
    let columns = answer.schema().fields().iter().map(|field| field.name().clone()).collect();
    let (batches, _) = answer.collect().await?;
    let unwritable = |error: &dyn std::fmt::Display| EngineError::Settings {
        reason: format!("an answer about receipts can't be written as JSON ({error})"),
    };
    let mut bytes = Vec::new();
    let mut writer = WriterBuilder::new().with_explicit_nulls(true).build::<_, JsonArray>(&mut bytes);
    for batch in &batches {
        writer.write(batch).map_err(|error| unwritable(&error))?;
    }
    writer.finish().map_err(|error| unwritable(&error))?;
    drop(writer);
    let rows = if batches.is_empty() {
        Vec::new()
    } else {
        serde_json::from_slice(&bytes).map_err(|error| unwritable(&error))?
    };
    Ok(ReceiptAnswer { columns, rows })
}

/// Names and types of the columns that statements may name.
pub fn receipt_columns() -> Vec<(&'static str, ColumnType)> {
    COLUMNS.iter().map(|(name, cell)| (*name, cell.column_type())).collect()
}

#[cfg(test)]
mod tests;
