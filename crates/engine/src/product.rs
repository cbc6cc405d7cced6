//! Products: SQL over the permitted part of some snapshots, materialised as a keyed table.
//!
//! The inputs are governed tables of the resource segment, so that the product holds nothing that its permit does not
//! allow. Rows are sorted by the declared key, which must be unique and without missing values, and numbered; the
//! subjects, where a subject column is declared, get ordinals without gaps. Everything that depends on an order
//! (lookup index, receipts, consent sets, files) hangs on these numbers.

use std::collections::HashMap;
use std::fs;
use std::iter::Peekable;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, Int64Builder, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef};
use arrow::row::{OwnedRow, RowConverter, SortField};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlanBuilder;
use lingqu_domain::scope::ColumnName;
use lingqu_fingerprint::FingerprintError;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReaderBuilder, RowSelection};
use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::BATCH_ROWS;
use crate::allow::{self, Granted};
use crate::attempts;
use crate::columns::{SchemaView, row_field, subject_column, subject_columns};
use crate::engine::{Engine, register};
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise, timed_out};
use crate::files::{DataFile, DataFileWriter, StorageError, TableFiles, write_durably};
use crate::governed::{GovernedTable, HiddenColumns};
use crate::lineage::{ProductShape, shape_of};

/// Most subjects of a product; their names are held in memory while it is made.
pub const SUBJECTS_MAX: usize = 20_000_000;
const MANIFEST: &str = "manifest.json";

/// How a product is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductSpec {
    /// The SQL over the inputs.
    pub sql: String,
    /// The columns that together are unique and never missing, in their order.
    pub key: Vec<ColumnName>,
    /// The column that names the data subject of a row.
    pub subject: Option<ColumnName>,
    /// Columns that name further subjects, where a row is about several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_subjects: Vec<ColumnName>,
}

impl ProductSpec {
    /// The columns that name subjects, the main one first.
    fn subjects(&self) -> impl Iterator<Item = &ColumnName> {
        self.subject.iter().chain(&self.further_subjects)
    }
}

/// Why a product can't be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum ProductError {
    /// The engine refused or failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Not an id that can name a directory.
    #[error("`{0}` can't name a product's directory: use letters, digits, `_` and `-`")]
    BadId(String),
    /// A declared key or subject column is not among the output columns.
    #[error(
        "the declared {role} column `{column}` is not an output column of the product; correct the declaration or the SQL"
    )]
    ColumnMissing {
        /// `key` or `subject`.
        role: &'static str,
        /// The column.
        column: ColumnName,
    },
    /// No key is declared.
    #[error("the product declares no key; name the columns that are unique together")]
    KeyMissing,
    /// The declared key is not unique or has missing values.
    #[error(
        "the declared key ({}) is not a key: {duplicates} of {rows} rows repeat an earlier key and {missing} miss a part of it; declare more columns or filter these rows",
        names(key)
    )]
    NotAKey {
        /// The declared key.
        key: Vec<ColumnName>,
        /// Rows whose key occurred before.
        duplicates: u64,
        /// Rows that miss a part of the key.
        missing: u64,
        /// Rows in all.
        rows: u64,
    },
    /// Too many subjects.
    #[error("the product has more than {SUBJECTS_MAX} subjects; split it")]
    TooManySubjects,
    /// Its decoys can't be made.
    #[error("the decoys of the product can't be made: {0}")]
    Decoys(#[from] FingerprintError),
    /// Decoys of a product that names subjects.
    #[error(
        "a product that names subjects has no decoys, since none of them exists; take the decoys out of its marking"
    )]
    DecoysOfSubjects,
    /// The product was never made from these inputs.
    #[error("product version {version} was not made from snapshot set {inputs}")]
    NotMade {
        /// The product version.
        version: String,
        /// The snapshot set.
        inputs: String,
    },
}

fn names(key: &[ColumnName]) -> String {
    key.iter().map(ColumnName::as_str).collect::<Vec<_>>().join(", ")
}

/// A product made from one set of snapshots.
#[derive(Clone, Debug)]
pub struct Product {
    /// The output columns and their lineage.
    pub shape: ProductShape,
    /// The visible schema.
    pub schema: SchemaView,
    /// The key columns.
    pub key: Vec<ColumnName>,
    /// The subject column.
    pub subject: Option<ColumnName>,
    /// Rows.
    pub rows: u64,
    /// Distinct subjects; 0 without a subject column.
    pub subjects: u64,
    /// SHA-256 over the SHA-256 of the files in order, in hex.
    pub digest: String,
    /// The files.
    pub files: Arc<TableFiles>,
    subject_file: Option<PathBuf>,
}

impl Product {
    /// The subjects' names in the order of their ordinals. For resolving consents; never for consumers.
    pub fn subject_names(&self) -> Result<Vec<String>, StorageError> {
        let mut names = Vec::new();
        self.visit_subjects(&mut |name| names.push(name.to_owned()))?;
        Ok(names)
    }

    /// How many subject columns are declared.
    pub fn subject_column_count(&self) -> usize {
        subject_columns(&self.files.arrow_schema()).len()
    }

    /// Tells the ordinals of the subjects of rows, in the order of rows: of some rows, or of all. `visit` gets the place of the
    /// subject column among the declared ones, and no ordinal for a row without a subject.
    pub fn visit_row_subjects(
        &self,
        rows: Option<&RoaringTreemap>,
        visit: &mut dyn FnMut(usize, Option<u32>),
    ) -> Result<(), StorageError> {
        let columns = subject_columns(&self.files.arrow_schema());
        let mut wanted = rows.map(|rows| rows.iter().peekable());
        let mut end = 0;
        for file in self.files.files() {
            let begin = end;
            end += file.rows;
            let selection = wanted.as_mut().map(|wanted| selection(wanted, begin, end));
            if selection.as_ref().is_some_and(|selection| !selection.selects_any()) {
                continue;
            }
            let path = self.files.path_of(file);
            let damaged =
                |error: &dyn std::fmt::Display| StorageError::Damaged { path: path.clone(), reason: error.to_string() };
            let handle = fs::File::open(&path).map_err(|error| StorageError::io(&path, "read", &error))?;
            let reader = ParquetRecordBatchReaderBuilder::try_new(handle).map_err(|error| damaged(&error))?;
            let names = columns.iter().map(String::as_str);
            let wanted_columns = ProjectionMask::columns(reader.parquet_schema(), names);
            let mut reader = reader.with_projection(wanted_columns).with_batch_size(BATCH_ROWS);
            if let Some(selection) = selection {
                reader = reader.with_row_selection(selection);
            }
            for batch in reader.build().map_err(|error| damaged(&error))? {
                let batch = batch.map_err(|error| damaged(&error))?;
                for (place, column) in columns.iter().enumerate() {
                    let ordinals = batch.column_by_name(column).ok_or_else(|| damaged(&"a column is missing"))?;
                    for ordinal in ordinals.as_primitive::<Int64Type>() {
                        visit(place, ordinal.and_then(|ordinal| u32::try_from(ordinal).ok()));
                    }
                }
            }
        }
        Ok(())
    }

    /// Tells the subjects' names one by one in the order of their ordinals, holding a batch of them in memory.
    pub fn visit_subjects(&self, visit: &mut dyn FnMut(&str)) -> Result<(), StorageError> {
        self.visit_some_subjects(None, visit)
    }

    /// The same of some ordinals.
    pub fn visit_subjects_of(
        &self,
        ordinals: &RoaringTreemap,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), StorageError> {
        self.visit_some_subjects(Some(ordinals), visit)
    }

    fn visit_some_subjects(
        &self,
        ordinals: Option<&RoaringTreemap>,
        visit: &mut dyn FnMut(&str),
    ) -> Result<(), StorageError> {
        let Some(path) = &self.subject_file else { return Ok(()) };
        let damaged =
            |error: &dyn std::fmt::Display| StorageError::Damaged { path: path.clone(), reason: error.to_string() };
        let file = fs::File::open(path).map_err(|error| StorageError::io(path, "read", &error))?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| damaged(&error))?;
        let mut reader = reader.with_batch_size(BATCH_ROWS);
        if let Some(ordinals) = ordinals {
            let selection = selection(&mut ordinals.iter().peekable(), 0, self.subjects);
            if !selection.selects_any() {
                return Ok(());
            }
            reader = reader.with_row_selection(selection);
        }
        for batch in reader.build().map_err(|error| damaged(&error))? {
            let batch = batch.map_err(|error| damaged(&error))?;
            for subject in batch.column(0).as_string::<i32>().iter().flatten() {
                visit(subject);
            }
        }
        Ok(())
    }
}

/// The rows of a file that begins with row `begin` and ends before `end`, out of rising row numbers.
fn selection(wanted: &mut Peekable<impl Iterator<Item = u64>>, begin: u64, end: u64) -> RowSelection {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let place = |row: u64| usize::try_from(row - begin).unwrap_or(usize::MAX);
    while let Some(row) = wanted.next_if(|row| *row < end) {
        if row < begin {
            continue;
        }
        match ranges.last_mut() {
            Some(range) if range.end == place(row) => range.end += 1,
            _ => ranges.push(place(row)..place(row) + 1),
        }
    }
    RowSelection::from_consecutive_ranges(ranges.into_iter(), place(end))
}

/// What makes a product directory complete; written last.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    spec: ProductSpec,
    shape: ProductShape,
    files: Vec<DataFile>,
    subject_file: Option<DataFile>,
    subjects: u64,
}

/// The products of a node, in one directory: `VERSION/INPUTS/`.
#[derive(Clone, Debug)]
pub struct ProductStore {
    directory: PathBuf,
}

impl ProductStore {
    /// Opens the store, making its directory when it is not there.
    pub fn open(directory: &Path) -> Result<ProductStore, ProductError> {
        fs::create_dir_all(directory).map_err(|error| StorageError::io(directory, "made", &error))?;
        let directory = directory.canonicalize().map_err(|error| StorageError::io(directory, "found", &error))?;
        Ok(ProductStore { directory })
    }

    /// Opens a product that was made; checks that its files are there with their sizes.
    pub fn get(&self, version: &str, inputs: &str) -> Result<Product, ProductError> {
        let directory = self.product_directory(version, inputs)?;
        let path = directory.join(MANIFEST);
        let manifest = match fs::read(&path) {
            Ok(manifest) => manifest,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ProductError::NotMade { version: version.to_owned(), inputs: inputs.to_owned() });
            }
            Err(error) => return Err(StorageError::io(&path, "read", &error).into()),
        };
        let manifest: Manifest = serde_json::from_slice(&manifest)
            .map_err(|error| StorageError::Damaged { path, reason: error.to_string() })?;
        let product = product_of(directory, manifest);
        product.files.check_presence()?;
        Ok(product)
    }

    /// Makes a product from governed inputs, or opens it when it was made before: `version` names the product version
    /// and `inputs` the set of snapshots (and of rights to them), and the same two always give the same product. When
    /// this returns, the product survives a loss of power.
    pub async fn materialise(
        &self,
        engine: &Arc<Engine>,
        version: &str,
        inputs: &str,
        spec: &ProductSpec,
        tables: &[Arc<GovernedTable>],
        limits: Limits,
    ) -> Result<Product, ProductError> {
        match self.get(version, inputs) {
            Err(ProductError::NotMade { .. }) => {}
            found => return found,
        }
        let directory = self.product_directory(version, inputs)?;
        fs::create_dir_all(&directory).map_err(|error| StorageError::io(&directory, "made", &error))?;
        let manifest = make(engine, &directory, spec, tables, limits).await?;
        let contents = serde_json::to_vec_pretty(&manifest).expect("a manifest has only string keys");
        write_durably(&directory.join(MANIFEST), &contents)?;
        for parent in [directory.parent(), Some(self.directory.as_path())].into_iter().flatten() {
            crate::files::sync_directory(parent)?;
        }
        Ok(product_of(directory, manifest))
    }

    pub(crate) fn product_directory(&self, version: &str, inputs: &str) -> Result<PathBuf, ProductError> {
        for name in [version, inputs] {
            let is_name = !name.is_empty()
                && name.len() <= 128
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
            if !is_name {
                return Err(ProductError::BadId(name.to_owned()));
            }
        }
        Ok(self.directory.join(version).join(inputs))
    }
}

fn product_of(directory: PathBuf, manifest: Manifest) -> Product {
    let Manifest { spec, shape, files, subject_file, subjects } = manifest;
    let schema = shape.schema_view();
    let stored = stored_schema(&schema, spec.subjects().count());
    let subject_file = subject_file.map(|file| directory.join(file.path));
    let files = Arc::new(TableFiles::new(directory, files, stored));
    Product {
        shape,
        schema,
        key: spec.key,
        subject: spec.subject,
        rows: files.rows(),
        subjects,
        digest: files.digest(),
        files,
        subject_file,
    }
}

fn stored_schema(schema: &SchemaView, subjects: usize) -> SchemaRef {
    let mut fields: Vec<Arc<Field>> = schema.arrow().fields().to_vec();
    fields.push(Arc::new(row_field()));
    for number in 0..subjects {
        fields.push(Arc::new(Field::new(subject_column(number), DataType::Int64, true)));
    }
    Arc::new(Schema::new(fields))
}

async fn make(
    engine: &Arc<Engine>,
    directory: &Path,
    spec: &ProductSpec,
    tables: &[Arc<GovernedTable>],
    limits: Limits,
) -> Result<Manifest, ProductError> {
    let _place = engine.place().await?;
    let deadline = Instant::now() + limits.time_max;
    let state = engine.governed_state(engine.partitions());
    let mut granted = Granted::new();
    for table in tables {
        granted.insert(table.name().to_owned(), table.column_names());
        register(&state, table.name(), table.provider(HiddenColumns::None)).map_err(|error| sanitise(&error))?;
    }
    let plan = allow::plan(&state, &spec.sql, &granted).await.map_err(EngineError::from)?;
    let shape = shape_of(&plan).map_err(EngineError::from)?;
    let schema = shape.schema_view();
    check_declared(spec, &schema)?;
    // Without this the sort below would be ambiguous where the statement's own columns are qualified.
    let mut keys = Vec::with_capacity(spec.key.len());
    for name in &spec.key {
        let (qualifier, field) =
            plan.schema().qualified_field_with_unqualified_name(name.as_str()).map_err(|error| sanitise(&error))?;
        let key = datafusion::common::Column::from((qualifier, field));
        keys.push(datafusion::logical_expr::Expr::Column(key).sort(true, true));
    }
    let sorted = LogicalPlanBuilder::from(plan).sort(keys).and_then(LogicalPlanBuilder::build);
    let sorted = sorted.map_err(|error| sanitise(&error))?;
    // The sort yields nothing before all is computed, so what fails fails here.
    let task = |state: &SessionState| Ok((engine.making_task(state, limits.memory_bytes_max)?, ()));
    let started = attempts::started(engine, &state, &sorted, task);
    let (stream, ()) = tokio::time::timeout_at(deadline, started).await.map_err(|_| timed_out(&limits))??;
    let mut batches = LimitedBatches::new(stream, limits, deadline);
    let mut maker = Maker::new(directory, spec, &schema)?;
    while let Some(batch) = batches.next().await {
        maker.take(&batch?)?;
    }
    let (files, subject_file, subjects) = maker.finish()?;
    Ok(Manifest { spec: spec.clone(), shape, files, subject_file, subjects })
}

fn check_declared(spec: &ProductSpec, schema: &SchemaView) -> Result<(), ProductError> {
    if spec.key.is_empty() {
        return Err(ProductError::KeyMissing);
    }
    for name in &spec.key {
        if schema.column(name).is_none() {
            return Err(ProductError::ColumnMissing { role: "key", column: name.clone() });
        }
    }
    for subject in spec.subjects() {
        if schema.column(subject).is_none() {
            return Err(ProductError::ColumnMissing { role: "subject", column: subject.clone() });
        }
    }
    Ok(())
}

/// Numbers sorted rows, checks the key and writes the file.
struct Maker {
    directory: PathBuf,
    key: Vec<ColumnName>,
    key_indices: Vec<usize>,
    key_rows: RowConverter,
    last_key: Option<OwnedRow>,
    subject_indices: Vec<usize>,
    subjects: HashMap<String, i64>,
    schema: SchemaRef,
    writer: DataFileWriter,
    rows: u64,
    duplicates: u64,
    missing: u64,
}

impl Maker {
    fn new(directory: &Path, spec: &ProductSpec, schema: &SchemaView) -> Result<Maker, ProductError> {
        let index_of = |name: &ColumnName| {
            schema.columns.iter().position(|column| &column.name == name).expect("declared columns were checked")
        };
        let key_indices: Vec<usize> = spec.key.iter().map(index_of).collect();
        let mut sort_fields = Vec::with_capacity(key_indices.len());
        for index in &key_indices {
            sort_fields.push(SortField::new(schema.columns[*index].column_type.arrow()));
        }
        let stored = stored_schema(schema, spec.subjects().count());
        Ok(Maker {
            directory: directory.to_owned(),
            key: spec.key.clone(),
            key_indices,
            key_rows: RowConverter::new(sort_fields).expect("the engine's column types can be sorted"),
            last_key: None,
            subject_indices: spec.subjects().map(index_of).collect(),
            subjects: HashMap::new(),
            writer: DataFileWriter::create(directory, "part-00000", Arc::clone(&stored))?,
            schema: stored,
            rows: 0,
            duplicates: 0,
            missing: 0,
        })
    }

    fn take(&mut self, batch: &RecordBatch) -> Result<(), ProductError> {
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(self.schema.fields().len());
        for (array, field) in batch.columns().iter().zip(self.schema.fields()) {
            let brought = if array.data_type() == field.data_type() {
                Arc::clone(array)
            } else {
                cast(array, field.data_type()).map_err(|error| sanitise(&error.into()))?
            };
            columns.push(brought);
        }
        self.check_key(&columns);
        let first = i64::try_from(self.rows).expect("a product has fewer than 2^63 rows");
        let count = i64::try_from(batch.num_rows()).expect("a batch has fewer than 2^63 rows");
        let mut subjects = Vec::with_capacity(self.subject_indices.len());
        for index in self.subject_indices.clone() {
            subjects.push(self.subject_ordinals(&columns[index])?);
        }
        columns.push(Arc::new(Int64Array::from_iter_values(first..first + count)));
        columns.extend(subjects);
        let numbered = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .expect("each column was brought to the type of its field");
        self.rows += batch.num_rows() as u64;
        Ok(self.writer.write(&numbered)?)
    }

    fn check_key(&mut self, columns: &[ArrayRef]) {
        let keys: Vec<ArrayRef> = self.key_indices.iter().map(|index| Arc::clone(&columns[*index])).collect();
        let rows = self.key_rows.convert_columns(&keys).expect("the converter was made for these types");
        for index in 0..rows.num_rows() {
            if keys.iter().any(|key| key.is_null(index)) {
                self.missing += 1;
            }
            let row = rows.row(index);
            let repeats = match index {
                0 => self.last_key.as_ref().is_some_and(|last| last.row() == row),
                _ => rows.row(index - 1) == row,
            };
            if repeats {
                self.duplicates += 1;
            }
        }
        if rows.num_rows() > 0 {
            self.last_key = Some(rows.row(rows.num_rows() - 1).owned());
        }
    }

    fn subject_ordinals(&mut self, subjects: &ArrayRef) -> Result<ArrayRef, ProductError> {
        let texts = cast(subjects, &DataType::Utf8).map_err(|error| sanitise(&error.into()))?;
        let mut ordinals = Int64Builder::with_capacity(texts.len());
        for text in texts.as_string::<i32>() {
            let Some(text) = text else {
                ordinals.append_null();
                continue;
            };
            let text = person_of(text);
            if let Some(ordinal) = self.subjects.get(text) {
                ordinals.append_value(*ordinal);
                continue;
            }
            if self.subjects.len() >= SUBJECTS_MAX {
                return Err(ProductError::TooManySubjects);
            }
            let ordinal = i64::try_from(self.subjects.len()).expect("at most SUBJECTS_MAX");
            self.subjects.insert(text.to_owned(), ordinal);
            ordinals.append_value(ordinal);
        }
        Ok(Arc::new(ordinals.finish()))
    }

    fn finish(self) -> Result<(Vec<DataFile>, Option<DataFile>, u64), ProductError> {
        if self.duplicates > 0 || self.missing > 0 {
            return Err(ProductError::NotAKey {
                key: self.key,
                duplicates: self.duplicates,
                missing: self.missing,
                rows: self.rows,
            });
        }
        let files = vec![self.writer.finish()?];
        let subjects = self.subjects.len() as u64;
        let subject_file = match self.subject_indices.is_empty() {
            false => Some(write_subjects(&self.directory, self.subjects)?),
            true => None,
        };
        Ok((files, subject_file, subjects))
    }
}

/// Whom a text of a subject column names: with blanks around it or without it is the same person, as of consents.
pub(crate) fn person_of(text: &str) -> &str {
    text.trim()
}

fn write_subjects(directory: &Path, subjects: HashMap<String, i64>) -> Result<DataFile, StorageError> {
    let mut ordered: Vec<(i64, String)> = subjects.into_iter().map(|(subject, ordinal)| (ordinal, subject)).collect();
    ordered.sort_unstable();
    let schema = Arc::new(Schema::new(vec![Field::new("subject", DataType::Utf8, false)]));
    let mut writer = DataFileWriter::create(directory, "subjects", Arc::clone(&schema))?;
    for chunk in ordered.chunks(BATCH_ROWS) {
        let texts: StringArray = chunk.iter().map(|(_, subject)| Some(subject.as_str())).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(texts)]).expect("one text column");
        writer.write(&batch)?;
    }
    writer.finish()
}
