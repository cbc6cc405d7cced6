//! Sources: files and tables of others, read into typed batches.
//!
//! A file is opened once to work out its schema over all of its rows (or to check the declared one) and then read in
//! batches of at most [`BATCH_ROWS`] rows, so that memory does not grow with the file. What does not fit its type is refused
//! with file, line and column, or rejected row by row where that is allowed; the value itself is never repeated, since it may be
//! personal data. A [`TableSource`] knows its columns and gives typed batches by itself.

mod columnar;
mod delimited;
mod drift;
mod encoding;
mod error;
pub(crate) mod exact;
mod file;
mod fragment;
mod json;
pub(crate) mod pages;
mod progress;
mod rejects;
mod sheet;
mod table;
mod typed;
mod workbook;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::SchemaRef;
use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use crate::BATCH_ROWS;
use crate::columns::{ColumnType, ColumnView, SchemaView};
use columnar::ColumnarBatches;
use delimited::DelimitedRecords;
use file::SourceFile;
use json::JsonRecords;
use rejects::Rejects;
use sheet::{SheetChoice, SheetRecords};
use typed::{Candidate, Cell, ColumnBuilder};

pub use drift::{SchemaDrift, TypeChange};
pub use encoding::{EncodingOrigin, FoundEncoding, TextEncoding};
pub use error::{FoundKind, SourceError, WHOLE_LINE};
pub use fragment::{
    FRAGMENT_BYTES_MAX, FRAGMENT_KEPT_BYTES_MAX, Fragment, FragmentError, FragmentForm, FragmentOptions,
};
pub use progress::{ReadProgress, StopSignal};
pub(crate) use rejects::CELLS_MAX as REJECTED_CELLS_MAX;
pub use rejects::{REJECTED_ROWS_MAX, Reject, RejectLimit, RejectReason};
pub(crate) use table::FittingRows;
pub use table::{BatchStream, POSITION_CHARS_MAX, SourceIdentity, TableBatch, TableSource};

/// Most columns of a source.
pub const COLUMNS_MAX: usize = 2_048;
/// Most bytes of one record of a text source (1 MiB).
pub const RECORD_BYTES_MAX: u64 = 1_048_576;
/// Most bytes of the values of one batch (512 MiB).
pub(crate) const BATCH_BYTES_MAX: u64 = 512 << 20;
/// What a compressed source may expand to unless the options say less (64 GiB).
pub const EXPANDED_BYTES_MAX: u64 = 64 << 30;

/// The format of a source file, without its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    /// Separated values with a header line.
    Csv,
    /// The same with tabulators between the values.
    Tsv,
    /// A sheet of a workbook.
    Xlsx,
    /// One JSON object a line, or one array of objects.
    #[serde(alias = "ndjson")]
    Json,
    /// Apache Parquet.
    Parquet,
}

impl SourceFormat {
    /// The format that a file's name tells by its ending; `.gz` and `.zst` may follow the ending of a text format.
    pub fn of_name(name: &str) -> Option<SourceFormat> {
        let name = name.to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst"));
        let is_packed = plain.is_some();
        let format = match plain.unwrap_or(&name).rsplit_once('.').map(|(_, extension)| extension)? {
            "csv" => SourceFormat::Csv,
            "tsv" | "tab" => SourceFormat::Tsv,
            "json" | "ndjson" | "jsonl" => SourceFormat::Json,
            "xlsx" if !is_packed => SourceFormat::Xlsx,
            "parquet" if !is_packed => SourceFormat::Parquet,
            _ => return None,
        };
        Some(format)
    }

    /// Whether a file of the format is text, which has an encoding.
    pub fn is_text(self) -> bool {
        matches!(self, SourceFormat::Csv | SourceFormat::Tsv | SourceFormat::Json)
    }
}

/// A column whose name and type are declared instead of worked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredColumn {
    /// What the file calls it.
    pub header: String,
    /// What else the file may call it; the first that it has counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// What Lingqu calls it.
    pub name: ColumnName,
    /// Its type.
    pub column_type: ColumnType,
}

/// How a file is to be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceOptions {
    /// The format; none: by the file's extension.
    pub format: Option<SourceFormat>,
    /// The separator of a CSV or TSV file, one ASCII character; none: a comma or a tabulator.
    pub delimiter: Option<char>,
    /// What a CSV or TSV file writes for a missing value, besides nothing at all.
    pub null_tokens: Vec<String>,
    /// The encoding of a text file; none: it is found out.
    pub encoding: Option<TextEncoding>,
    /// The sheet of a workbook; none: the first.
    pub sheet: Option<String>,
    /// The row of a sheet that names the columns, from 1; none: the first that has a value.
    pub header_row: Option<u32>,
    /// Whether every cell of a merged area has its value; otherwise merged cells are bad values.
    pub fill_merged_cells: bool,
    /// Columns that the file calls otherwise than by their names: its header, and the column.
    pub header_names: BTreeMap<String, ColumnName>,
    /// Every column of the file, in the order wanted; none: names and types are worked out.
    pub declared: Option<Vec<DeclaredColumn>>,
    /// Whether columns that are not declared are left out; otherwise they refuse the file.
    pub ignore_extra_columns: bool,
    /// How many rows may be rejected.
    pub rejects: RejectLimit,
    /// What a compressed file may expand to, in bytes.
    pub expanded_bytes_max: u64,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self {
            format: None,
            delimiter: None,
            null_tokens: Vec::new(),
            encoding: None,
            sheet: None,
            header_row: None,
            fill_merged_cells: false,
            header_names: BTreeMap::new(),
            declared: None,
            ignore_extra_columns: false,
            rejects: RejectLimit::default(),
            expanded_bytes_max: EXPANDED_BYTES_MAX,
        }
    }
}

/// A source file whose schema is known.
#[derive(Debug)]
pub struct Source {
    file: SourceFile,
    format: SourceFormat,
    options: SourceOptions,
    encoding: Option<FoundEncoding>,
    headers: Vec<String>,
    /// Place in the file of each column of the schema.
    places: Vec<usize>,
    schema: SchemaView,
    drift: SchemaDrift,
    rows: u64,
}

impl Source {
    /// Opens a file and works out its schema over all of its rows; with declared columns only their presence is
    /// checked here (of a Parquet file also their types), their values when they are read. Reads the whole file (text,
    /// sheet) or its footer (Parquet).
    pub fn open(path: &Path, options: SourceOptions) -> Result<Source, SourceError> {
        check_options(&options)?;
        let mut file = SourceFile {
            path: path.to_owned(),
            encoding: TextEncoding::Utf8,
            expanded_bytes_max: options.expanded_bytes_max,
            progress: Arc::new(ReadProgress::default()),
        };
        let format = match options.format {
            Some(format) => format,
            None => file.format()?,
        };
        let mut encoding = None;
        if format.is_text() {
            let found = match options.encoding {
                Some(encoding) => FoundEncoding { encoding, origin: EncodingOrigin::Declared },
                None => encoding::detect(&mut || file.open_bytes(), &|error| file.io_fault(error))?,
            };
            file.encoding = found.encoding;
            encoding = Some(found);
        }
        let mut source = Source {
            file,
            format,
            options,
            encoding,
            headers: Vec::new(),
            places: Vec::new(),
            schema: SchemaView { columns: Vec::new() },
            drift: SchemaDrift::default(),
            rows: 0,
        };
        let mut types = None;
        match format {
            SourceFormat::Parquet => {
                let inspected = columnar::inspect(&source.file)?;
                source.headers = inspected.headers;
                source.rows = inspected.rows;
                types = Some(inspected.types);
            }
            SourceFormat::Csv | SourceFormat::Tsv => {
                source.headers = source.delimited(&source.file)?.headers().to_vec()
            }
            SourceFormat::Xlsx => source.headers = source.sheet(&source.file)?.headers().to_vec(),
            SourceFormat::Json => source.headers = json::discover_headers(&source.file)?,
        }
        if source.headers.is_empty() {
            return Err(SourceError::NoColumns { file: source.file.name() });
        }
        if source.headers.len() > COLUMNS_MAX {
            return Err(SourceError::TooManyColumns { file: source.file.name(), found: source.headers.len() });
        }
        match source.options.declared.clone() {
            Some(declared) => source.declare(&declared, types.as_deref())?,
            None => {
                let types = match types {
                    Some(types) => source.possible(types)?,
                    None => source.infer()?,
                };
                source.schema = inferred_schema(&source.file, &source.headers, &source.options.header_names, &types)?;
                source.places = (0..source.headers.len()).collect();
            }
        }
        Ok(source)
    }

    /// The schema.
    pub fn schema(&self) -> &SchemaView {
        &self.schema
    }

    /// The format.
    pub fn format(&self) -> SourceFormat {
        self.format
    }

    /// The encoding of a text file and how it is known.
    pub fn encoding(&self) -> Option<FoundEncoding> {
        self.encoding
    }

    /// How the file's columns differ from the declared ones where that does not refuse it: columns that are left out, another
    /// order.
    pub fn drift(&self) -> &SchemaDrift {
        &self.drift
    }

    /// Rows counted while the schema was worked out; 0 for a text file with declared columns.
    pub fn rows_seen(&self) -> u64 {
        self.rows
    }

    /// Works out over all rows which declared columns hold values of another type. Tells more than the error at the first bad
    /// value: it is asked for when there was one. Reads the whole file.
    pub fn drift_of_values(&self) -> Result<SchemaDrift, SourceError> {
        let mut drift = self.drift.clone();
        if self.format == SourceFormat::Parquet {
            return Ok(drift);
        }
        let mut candidates = vec![Candidate::default(); self.headers.len()];
        let mut records = self.records(&self.file)?;
        loop {
            match records.advance()? {
                Step::End => break,
                Step::Bad(_) => {}
                Step::Record => {
                    for (index, candidate) in candidates.iter_mut().enumerate() {
                        if let Ok(cell) = records.cell(index) {
                            candidate.observe(cell);
                        }
                    }
                }
            }
        }
        for (column, place) in self.schema.columns.iter().zip(&self.places) {
            let Some(found) = candidates[*place].decide_seen() else { continue };
            if !drift::fits(column.column_type, found) {
                let (column, expected) = (column.name.to_string(), column.column_type);
                drift.changed.push(TypeChange { column, expected, found });
            }
        }
        Ok(drift)
    }

    /// The batches of the file, from its beginning, in its order, at most [`BATCH_ROWS`] rows each. After an error
    /// nothing more comes.
    pub fn batches(&self) -> Result<SourceBatches, SourceError> {
        self.batches_told(Arc::new(ReadProgress::default()), None)
    }

    /// The same, told to `progress`, with rejected rows written to a file. When the last batch has come, that file is durable.
    pub fn batches_told(
        &self,
        progress: Arc<ReadProgress>,
        rejects: Option<PathBuf>,
    ) -> Result<SourceBatches, SourceError> {
        progress.begin();
        progress.expect(self.rows);
        let limit = self.options.rejects;
        let rejects = Rejects::begin(self.file.name(), limit, rejects.as_deref(), Arc::clone(&progress))?;
        let file = SourceFile { progress, ..self.file.clone() };
        let columns: Vec<(usize, ColumnView)> =
            self.places.iter().copied().zip(self.schema.columns.iter().cloned()).collect();
        let schema = self.schema.arrow();
        let inner = match self.format {
            SourceFormat::Parquet => {
                BatchesInner::Columnar(ColumnarBatches::open(&file, Arc::clone(&schema), columns)?)
            }
            _ => BatchesInner::Text { records: self.records(&file)?, columns },
        };
        Ok(SourceBatches { file, schema, inner, rejects, ended: false })
    }

    fn delimited(&self, file: &SourceFile) -> Result<DelimitedRecords, SourceError> {
        let usual = if self.format == SourceFormat::Tsv { '\t' } else { ',' };
        let delimiter = self.options.delimiter.unwrap_or(usual);
        let delimiter = u8::try_from(delimiter).map_err(|_| bad_delimiter())?;
        DelimitedRecords::open(file, delimiter, &self.options.null_tokens)
    }

    fn sheet(&self, file: &SourceFile) -> Result<SheetRecords, SourceError> {
        let choice = SheetChoice {
            sheet: self.options.sheet.clone(),
            header_row: self.options.header_row,
            fills_merged: self.options.fill_merged_cells,
            names_optional: false,
        };
        SheetRecords::open(file, &choice)
    }

    fn records(&self, file: &SourceFile) -> Result<Box<dyn Records + Send>, SourceError> {
        Ok(match self.format {
            SourceFormat::Csv | SourceFormat::Tsv => Box::new(self.delimited(file)?),
            SourceFormat::Xlsx => Box::new(self.sheet(file)?),
            SourceFormat::Json | SourceFormat::Parquet => Box::new(JsonRecords::open(file, &self.headers)?),
        })
    }

    /// Works out the types of the columns. A bad row refuses the file unless rows may be rejected.
    fn infer(&mut self) -> Result<Vec<ColumnType>, SourceError> {
        let may_reject = self.options.rejects.rows_max > 0;
        let mut candidates = vec![Candidate::default(); self.headers.len()];
        let mut records = self.records(&self.file)?;
        loop {
            match records.advance()? {
                Step::End => break,
                Step::Bad(error) if !may_reject => return Err(error),
                Step::Bad(_) => continue,
                Step::Record => {}
            }
            self.rows += 1;
            for (index, candidate) in candidates.iter_mut().enumerate() {
                let cell = match records.cell(index) {
                    Ok(cell) => cell,
                    Err(_) if may_reject => continue,
                    Err(error) => return Err(error),
                };
                if let Cell::Nested = cell {
                    return Err(self.bad_type(index, "object or array".to_owned()));
                }
                candidate.observe(cell);
            }
        }
        Ok(candidates.iter().map(Candidate::decide).collect())
    }

    fn bad_type(&self, place: usize, found: String) -> SourceError {
        SourceError::BadType { file: self.file.name(), column: self.headers[place].clone(), found }
    }

    /// The types of all columns. Error: one that governed data can't have.
    fn possible(&self, types: Vec<Result<ColumnType, String>>) -> Result<Vec<ColumnType>, SourceError> {
        let mut possible = Vec::with_capacity(types.len());
        for (place, found) in types.into_iter().enumerate() {
            possible.push(found.map_err(|found| self.bad_type(place, found))?);
        }
        Ok(possible)
    }

    /// Finds the declared columns in the file. Error: every difference at once.
    fn declare(
        &mut self,
        declared: &[DeclaredColumn],
        types: Option<&[Result<ColumnType, String>]>,
    ) -> Result<(), SourceError> {
        let mut drift = SchemaDrift::default();
        let mut columns: Vec<ColumnView> = Vec::with_capacity(declared.len());
        for column in declared {
            if columns.iter().any(|known| known.name == column.name) {
                let reason = format!("two declared columns are named `{}`", column.name);
                return Err(SourceError::BadOptions { reason });
            }
            columns.push(ColumnView { name: column.name.clone(), column_type: column.column_type });
            match self.place_of(column, declared)? {
                None => drift.missing.push(column.name.to_string()),
                Some(place) => {
                    self.places.push(place);
                    let found = match types.map(|types| &types[place]) {
                        None => continue,
                        Some(Ok(found)) => *found,
                        Some(Err(found)) => return Err(self.bad_type(place, found.clone())),
                    };
                    if !drift::fits(column.column_type, found) {
                        let (column, expected) = (column.name.to_string(), column.column_type);
                        drift.changed.push(TypeChange { column, expected, found });
                    }
                }
            }
        }
        for (place, header) in self.headers.iter().enumerate() {
            if !self.places.contains(&place) {
                drift.added.push(header.clone());
            }
        }
        drift.reordered = !self.places.is_sorted();
        if drift.is_breaking(self.options.ignore_extra_columns) {
            return Err(SourceError::Drift { file: self.file.name(), drift: Box::new(drift) });
        }
        self.drift = drift;
        self.schema = SchemaView { columns };
        Ok(())
    }
}

impl Source {
    /// Where the file has a declared column; none where it does not. A header that is another column's own is not this one's, whatever
    /// it is called besides. Error: two columns of the file have the header, and nobody can tell which is meant.
    fn place_of(&self, column: &DeclaredColumn, declared: &[DeclaredColumn]) -> Result<Option<usize>, SourceError> {
        let names = &self.options.header_names;
        let named = names.iter().filter(|(_, name)| **name == column.name).map(|(header, _)| header);
        let is_others = |header: &String| match names.get(header) {
            Some(name) => *name != column.name,
            None => declared.iter().any(|other| other.name != column.name && other.header == *header),
        };
        let own = std::iter::once(&column.header).chain(&column.aliases).filter(|header| !is_others(header));
        for name in named.chain(own) {
            let mut places = (0..self.headers.len()).filter(|place| self.headers[*place] == *name);
            let Some(place) = places.next() else { continue };
            if let Some(second) = places.next() {
                let reason = format!("another column has the header `{name}` too, rename one of them in the file");
                return Err(SourceError::BadHeader { file: self.file.name(), position: second + 1, reason });
            }
            return Ok(Some(place));
        }
        Ok(None)
    }
}

fn bad_delimiter() -> SourceError {
    let reason = "the delimiter must be one ASCII character that is neither a quote nor a line end".to_owned();
    SourceError::BadOptions { reason }
}

fn check_options(options: &SourceOptions) -> Result<(), SourceError> {
    if options.delimiter.is_some_and(|delimiter| !delimiter.is_ascii() || matches!(delimiter, '"' | '\n' | '\r')) {
        return Err(bad_delimiter());
    }
    if options.header_row == Some(0) {
        return Err(SourceError::BadOptions { reason: "the rows of a sheet are counted from 1".to_owned() });
    }
    options.rejects.check()
}

/// The batches of one source, in order.
pub struct SourceBatches {
    file: SourceFile,
    schema: SchemaRef,
    inner: BatchesInner,
    rejects: Rejects,
    ended: bool,
}

enum BatchesInner {
    Text { records: Box<dyn Records + Send>, columns: Vec<(usize, ColumnView)> },
    Columnar(ColumnarBatches),
}

impl SourceBatches {
    /// The schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The next batch that has a row.
    fn read(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        loop {
            let read = match &mut self.inner {
                BatchesInner::Columnar(batches) => batches.read(&mut self.rejects)?,
                BatchesInner::Text { records, columns } => {
                    read_text_batch(&self.file, &self.schema, records.as_mut(), columns, &mut self.rejects)?
                }
            };
            match read {
                Some(batch) if batch.num_rows() == 0 => {}
                Some(batch) => return Ok(Some(batch)),
                None => {
                    self.rejects.finish()?;
                    return Ok(None);
                }
            }
        }
    }
}

impl Iterator for SourceBatches {
    type Item = Result<RecordBatch, SourceError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}

/// The next batch without its rejected rows; it may be left with none.
fn read_text_batch(
    file: &SourceFile,
    schema: &SchemaRef,
    records: &mut dyn Records,
    columns: &[(usize, ColumnView)],
    rejects: &mut Rejects,
) -> Result<Option<RecordBatch>, SourceError> {
    let mut builders: Vec<ColumnBuilder> =
        columns.iter().map(|(_, column)| ColumnBuilder::new(column.column_type)).collect();
    let mut kept = Vec::with_capacity(BATCH_ROWS);
    let mut rows = 0;
    let mut bytes = 0;
    let mut has_ended = false;
    // Bad rows count too, so that a file of nothing else comes to its end in pieces.
    while rows < BATCH_ROWS {
        match records.advance()? {
            Step::Record => {}
            Step::Bad(error) => {
                rows += 1;
                file.progress.add_rows(1);
                rejects.take(vec![error])?;
                continue;
            }
            Step::End => {
                has_ended = true;
                break;
            }
        }
        rows += 1;
        file.progress.add_rows(1);
        let mut errors = Vec::new();
        for ((index, column), builder) in columns.iter().zip(&mut builders) {
            let error = match records.cell(*index) {
                Ok(cell) => match builder.append(cell) {
                    Ok(()) => {
                        bytes += cell.text_bytes();
                        continue;
                    }
                    Err(misfit) => SourceError::BadValue {
                        file: file.name(),
                        line: records.line(),
                        column: column.name.clone(),
                        expected: column.column_type,
                        found_kind: misfit.kind,
                        found_length: misfit.length,
                    },
                },
                Err(error) => error,
            };
            // The row is left out below; the columns stay of one length.
            builder.append_null();
            errors.push(error);
        }
        kept.push(errors.is_empty());
        if !errors.is_empty() {
            rejects.take(errors)?;
        }
        if bytes > BATCH_BYTES_MAX {
            return Err(SourceError::RowsTooLarge { file: file.name(), line: records.line() });
        }
    }
    if has_ended && rows == 0 {
        return Ok(None);
    }
    let arrays = builders.into_iter().map(ColumnBuilder::finish).collect();
    let batch = RecordBatch::try_new(Arc::clone(schema), arrays)
        .expect("the builders were made from the same columns as the schema");
    if kept.iter().all(|is_kept| *is_kept) {
        return Ok(Some(batch));
    }
    let kept = filter_record_batch(&batch, &BooleanArray::from(kept));
    Ok(Some(kept.expect("the mask has an entry for each row")))
}

/// What comes next in a source of records.
enum Step {
    /// A record, whose cells can be looked at.
    Record,
    /// A record that can't be read; after it the next one can.
    Bad(SourceError),
    /// Nothing more.
    End,
}

/// Records of a text source or sheet, one after the other.
trait Records {
    /// Moves to the next record. Errors end the reading.
    fn advance(&mut self) -> Result<Step, SourceError>;
    /// The line of the current record.
    fn line(&self) -> u64;
    /// The value of a column of the current record. An error is one of this record.
    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError>;
}

fn inferred_schema(
    file: &SourceFile,
    headers: &[String],
    names: &BTreeMap<String, ColumnName>,
    types: &[ColumnType],
) -> Result<SchemaView, SourceError> {
    let mut columns: Vec<ColumnView> = Vec::with_capacity(headers.len());
    for (index, (header, column_type)) in headers.iter().zip(types).enumerate() {
        let bad = |reason: String| SourceError::BadHeader { file: file.name(), position: index + 1, reason };
        let name = match names.get(header) {
            Some(name) => name.clone(),
            None => ColumnName::new(name_of_header(header)).map_err(|error| bad(error.to_string()))?,
        };
        if columns.iter().any(|column| column.name == name) {
            return Err(bad(format!("another column is named `{name}` already")));
        }
        columns.push(ColumnView { name, column_type: *column_type });
    }
    Ok(SchemaView { columns })
}

/// `Dep Time` → `dep_time`.
fn name_of_header(header: &str) -> String {
    let mut name = String::with_capacity(header.len());
    for character in header.trim().chars() {
        let lower = character.to_ascii_lowercase();
        name.push(if matches!(lower, ' ' | '-' | '.' | '/') { '_' } else { lower });
    }
    name
}
