//! Sources: files of others, read into typed batches.
//!
//! A file is opened once to work out its schema over all of its rows (or to check the declared one) and then read in
//! batches of [`BATCH_ROWS`] rows, so that memory does not grow with the file. What does not fit its type is refused
//! with file, line and column; the value itself is never repeated, since it may be personal data.

mod columnar;
mod delimited;
mod json;
mod typed;

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use crate::BATCH_ROWS;
use crate::columns::{ColumnType, ColumnView, SchemaView};
use columnar::ColumnarBatches;
use delimited::DelimitedRecords;
use json::JsonRecords;
use typed::{Candidate, Cell, ColumnBuilder};

/// Most columns of a source.
pub const COLUMNS_MAX: usize = 2_048;
/// Most bytes of one record of a text source (1 MiB).
pub const RECORD_BYTES_MAX: u64 = 1_048_576;

/// The format of a source file, without its compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SourceFormat {
    /// Separated values with a header line.
    Csv,
    /// One JSON object a line, or one array of objects.
    Json,
    /// Apache Parquet.
    Parquet,
}

/// A column whose name and type are declared instead of worked out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeclaredColumn {
    /// What the file calls it.
    pub header: String,
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
    /// The separator of a CSV file, one ASCII character.
    pub delimiter: char,
    /// What a CSV file writes for a missing value, besides nothing at all.
    pub null_tokens: Vec<String>,
    /// Every column of the file, in the order wanted; none: names and types are worked out.
    pub declared: Option<Vec<DeclaredColumn>>,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self { format: None, delimiter: ',', null_tokens: Vec::new(), declared: None }
    }
}

/// What was found where a value of another kind was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundKind {
    /// A number.
    Number,
    /// Text that is neither number nor truth value.
    Text,
    /// True or false.
    Boolean,
    /// An object or array.
    Nested,
}

impl std::fmt::Display for FoundKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            FoundKind::Number => "a number",
            FoundKind::Text => "text",
            FoundKind::Boolean => "true or false",
            FoundKind::Nested => "a nested value",
        })
    }
}

/// Why a source can't be read. `file` is the file's name without its folder; `line` counts from 1.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The file can't be opened or read.
    #[error("{file} can't be read ({reason}); check that it exists, is not damaged and may be read")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// The extension tells no format.
    #[error(
        "the format of {file} can't be told from its name; name it .csv, .json, .ndjson or .parquet (.gz and .zst may follow the text formats), or state the format"
    )]
    UnknownFormat {
        /// The file.
        file: String,
    },
    /// The options contradict themselves.
    #[error("the reading options are wrong: {reason}")]
    BadOptions {
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// There is no header or no column.
    #[error("{file} has no columns; the first line must name them")]
    NoColumns {
        /// The file.
        file: String,
    },
    /// A header that can't become a column name, or two that become the same.
    #[error("{file}: column {position} can't be named after its header ({reason}); declare its name")]
    BadHeader {
        /// The file.
        file: String,
        /// Which column, from 1.
        position: usize,
        /// Why.
        reason: String,
    },
    /// A declared column is missing, or one of the file is not declared.
    #[error("{file}: the declared columns are not those of the file: `{column}` is {problem}")]
    DeclarationMismatch {
        /// The file.
        file: String,
        /// The header.
        column: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A record with too few or too many fields.
    #[error(
        "{file}, line {line}: {found} fields where {expected} were expected; look for an unquoted separator or quote"
    )]
    RaggedRecord {
        /// The file.
        file: String,
        /// The line on which the record begins.
        line: u64,
        /// Fields found.
        found: usize,
        /// Fields expected.
        expected: usize,
    },
    /// A record that does not end.
    #[error(
        "{file}, line {line}: the record is longer than {RECORD_BYTES_MAX} bytes; a quote or bracket was probably never closed"
    )]
    RecordTooLong {
        /// The file.
        file: String,
        /// The line on which the record begins.
        line: u64,
    },
    /// Bytes that are not UTF-8.
    #[error("{file}, line {line}, column `{column}`: not UTF-8; convert the file to UTF-8")]
    NotUtf8 {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column.
        column: String,
    },
    /// Not JSON.
    #[error(
        "{file}, line {line}, character {character}: not valid JSON; one object a line or one array of objects is expected"
    )]
    BadJson {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The character in the line.
        character: u64,
    },
    /// A value that does not fit its column.
    #[error("{file}, line {line}, column `{column}`: {} was expected, found {found_kind} of {found_length} characters", expected.describe())]
    BadValue {
        /// The file.
        file: String,
        /// The line of a text file, the row of a Parquet file.
        line: u64,
        /// The column.
        column: ColumnName,
        /// What was expected.
        expected: ColumnType,
        /// What kind of value was found.
        found_kind: FoundKind,
        /// How long it was, in characters.
        found_length: usize,
    },
    /// A Parquet column of a type that governed data can't have.
    #[error("{file}, column `{column}`: columns of type {found} can't be taken; flatten or drop it")]
    BadType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The type.
        found: String,
    },
}

/// A source file whose schema is known.
#[derive(Debug)]
pub struct Source {
    file: SourceFile,
    format: SourceFormat,
    options: SourceOptions,
    headers: Vec<String>,
    schema: SchemaView,
    rows: u64,
}

impl Source {
    /// Opens a file and works out its schema over all of its rows; with declared columns only their presence is
    /// checked here, their values when they are read. Reads the whole file (text) or its footer (Parquet).
    pub fn open(path: &Path, options: SourceOptions) -> Result<Source, SourceError> {
        let file = SourceFile { path: path.to_owned() };
        let format = match options.format {
            Some(format) => format,
            None => file.format()?,
        };
        if !options.delimiter.is_ascii() || matches!(options.delimiter, '"' | '\n' | '\r') {
            let reason = "the delimiter must be one ASCII character that is neither a quote nor a line end".to_owned();
            return Err(SourceError::BadOptions { reason });
        }
        if format == SourceFormat::Parquet {
            let (headers, types, rows) = columnar::inspect(&file)?;
            let schema = match &options.declared {
                Some(declared) => declared_schema(&file, declared, &headers)?,
                None => inferred_schema(&file, &headers, &types)?,
            };
            return Ok(Source { file, format, options, headers, schema, rows });
        }
        let headers = match format {
            SourceFormat::Csv => DelimitedRecords::open(&file, &options)?.headers().to_vec(),
            _ => json::discover_headers(&file)?,
        };
        if headers.is_empty() {
            return Err(SourceError::NoColumns { file: file.name() });
        }
        if headers.len() > COLUMNS_MAX {
            let reason = format!("{} has {} columns, at most {COLUMNS_MAX} can be taken", file.name(), headers.len());
            return Err(SourceError::BadOptions { reason });
        }
        let mut source = Source { file, format, options, headers, schema: SchemaView { columns: Vec::new() }, rows: 0 };
        match &source.options.declared {
            Some(declared) => source.schema = declared_schema(&source.file, declared, &source.headers)?,
            None => source.infer()?,
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

    /// The batches of the file, from its beginning, in its order, at most [`BATCH_ROWS`] rows each. After an error
    /// nothing more comes.
    pub fn batches(&self) -> Result<SourceBatches, SourceError> {
        let mut file_columns = Vec::with_capacity(self.schema.columns.len());
        for (position, column) in self.schema.columns.iter().enumerate() {
            let header = match &self.options.declared {
                Some(declared) => &declared[position].header,
                None => &self.headers[position],
            };
            let index = self.headers.iter().position(|known| known == header);
            let index = index.expect("the declaration was checked against the file's headers when it was opened");
            file_columns.push((index, column.clone()));
        }
        let schema = self.schema.arrow();
        let inner = match self.format {
            SourceFormat::Parquet => {
                BatchesInner::Columnar(ColumnarBatches::open(&self.file, Arc::clone(&schema), file_columns)?)
            }
            _ => BatchesInner::Text { records: self.records()?, columns: file_columns },
        };
        Ok(SourceBatches { file: self.file.clone(), schema, inner, ended: false })
    }

    /// Rows counted while the schema was worked out; 0 for a text file with declared columns.
    pub fn rows_seen(&self) -> u64 {
        self.rows
    }

    fn records(&self) -> Result<Box<dyn Records + Send>, SourceError> {
        Ok(match self.format {
            SourceFormat::Csv => Box::new(DelimitedRecords::open(&self.file, &self.options)?),
            _ => Box::new(JsonRecords::open(&self.file, &self.headers)?),
        })
    }

    fn infer(&mut self) -> Result<(), SourceError> {
        let mut candidates = vec![Candidate::default(); self.headers.len()];
        let mut records = self.records()?;
        while records.advance()? {
            self.rows += 1;
            for (index, candidate) in candidates.iter_mut().enumerate() {
                let cell = records.cell(index)?;
                if let Cell::Nested = cell {
                    let found = "object or array".to_owned();
                    return Err(SourceError::BadType {
                        file: self.file.name(),
                        column: self.headers[index].clone(),
                        found,
                    });
                }
                candidate.observe(cell);
            }
        }
        let types: Vec<ColumnType> = candidates.iter().map(Candidate::decide).collect();
        self.schema = inferred_schema(&self.file, &self.headers, &types)?;
        Ok(())
    }
}

/// The batches of one source, in order.
pub struct SourceBatches {
    file: SourceFile,
    schema: SchemaRef,
    inner: BatchesInner,
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

    fn read(&mut self) -> Result<Option<RecordBatch>, SourceError> {
        match &mut self.inner {
            BatchesInner::Columnar(batches) => batches.read(),
            BatchesInner::Text { records, columns } => {
                read_text_batch(&self.file, &self.schema, records.as_mut(), columns)
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

fn read_text_batch(
    file: &SourceFile,
    schema: &SchemaRef,
    records: &mut dyn Records,
    columns: &[(usize, ColumnView)],
) -> Result<Option<RecordBatch>, SourceError> {
    let mut builders: Vec<ColumnBuilder> =
        columns.iter().map(|(_, column)| ColumnBuilder::new(column.column_type)).collect();
    let mut rows = 0;
    while rows < BATCH_ROWS && records.advance()? {
        for ((index, column), builder) in columns.iter().zip(&mut builders) {
            let cell = records.cell(*index)?;
            if let Err(misfit) = builder.append(cell) {
                return Err(SourceError::BadValue {
                    file: file.name(),
                    line: records.line(),
                    column: column.name.clone(),
                    expected: column.column_type,
                    found_kind: misfit.kind,
                    found_length: misfit.length,
                });
            }
        }
        rows += 1;
    }
    if rows == 0 {
        return Ok(None);
    }
    let arrays = builders.into_iter().map(ColumnBuilder::finish).collect();
    let batch = RecordBatch::try_new(Arc::clone(schema), arrays)
        .expect("the builders were made from the same columns as the schema");
    Ok(Some(batch))
}

/// Records of a text source, one after the other.
trait Records {
    /// Moves to the next record; false at the end.
    fn advance(&mut self) -> Result<bool, SourceError>;
    /// The line of the current record.
    fn line(&self) -> u64;
    /// The value of a column of the current record.
    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError>;
}

/// Where a source lies, and how its bytes are reached.
#[derive(Clone, Debug)]
struct SourceFile {
    path: PathBuf,
}

impl SourceFile {
    /// The file's name without its folder, for messages.
    fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "the file".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    fn format(&self) -> Result<SourceFormat, SourceError> {
        let name = self.name().to_ascii_lowercase();
        let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(&name);
        match plain.rsplit_once('.').map(|(_, extension)| extension) {
            Some("csv") => Ok(SourceFormat::Csv),
            Some("json" | "ndjson" | "jsonl") => Ok(SourceFormat::Json),
            Some("parquet") => Ok(SourceFormat::Parquet),
            _ => Err(SourceError::UnknownFormat { file: self.name() }),
        }
    }

    fn unreadable(&self, error: &dyn std::fmt::Display) -> SourceError {
        SourceError::Unreadable { file: self.name(), reason: error.to_string() }
    }

    /// The bytes of the file, decompressed as its extension says.
    fn open(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        let file = File::open(&self.path).map_err(|error| self.unreadable(&error))?;
        let extension = self.path.extension().map(|extension| extension.to_ascii_lowercase());
        Ok(match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(BufReader::new(flate2::read::MultiGzDecoder::new(file))),
            Some("zst") => {
                let decoder = zstd::stream::read::Decoder::new(file).map_err(|error| self.unreadable(&error))?;
                Box::new(BufReader::new(decoder))
            }
            _ => Box::new(BufReader::new(file)),
        })
    }
}

fn inferred_schema(file: &SourceFile, headers: &[String], types: &[ColumnType]) -> Result<SchemaView, SourceError> {
    let mut columns: Vec<ColumnView> = Vec::with_capacity(headers.len());
    for (index, (header, column_type)) in headers.iter().zip(types).enumerate() {
        let bad = |reason: String| SourceError::BadHeader { file: file.name(), position: index + 1, reason };
        let name = ColumnName::new(name_of_header(header)).map_err(|error| bad(error.to_string()))?;
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

fn declared_schema(
    file: &SourceFile,
    declared: &[DeclaredColumn],
    headers: &[String],
) -> Result<SchemaView, SourceError> {
    let mismatch = |column: &str, problem| {
        Err(SourceError::DeclarationMismatch { file: file.name(), column: column.to_owned(), problem })
    };
    let mut columns: Vec<ColumnView> = Vec::with_capacity(declared.len());
    for column in declared {
        if !headers.contains(&column.header) {
            return mismatch(&column.header, "not in the file");
        }
        if columns.iter().any(|known| known.name == column.name) {
            return mismatch(&column.header, "declared with a name that another column has");
        }
        columns.push(ColumnView { name: column.name.clone(), column_type: column.column_type });
    }
    if let Some(header) = headers.iter().find(|header| !declared.iter().any(|column| &column.header == *header)) {
        return mismatch(header, "in the file but not declared");
    }
    Ok(SchemaView { columns })
}
