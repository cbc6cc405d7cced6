//! Why a source can't be read: one variant for each way, with its place, and never with a value.

use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use super::drift::SchemaDrift;
use super::encoding::TextEncoding;
use super::{BATCH_BYTES_MAX, COLUMNS_MAX, RECORD_BYTES_MAX};
use crate::BATCH_ROWS;
use crate::columns::ColumnType;

/// What was found where a value of another kind was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// A date or time of a spreadsheet or of a typed column.
    Moment,
    /// Infinity, or what is no number.
    NotFinite,
    /// A length of time of a spreadsheet.
    Duration,
    /// An error of a spreadsheet, such as a division by zero.
    CellError,
    /// A formula whose result the spreadsheet does not hold.
    Formula,
    /// A cell that is part of a merged one.
    Merged,
    /// A text that is longer than a cell of a spreadsheet can be.
    LongText,
    /// A number of a spreadsheet with more digits than that keeps.
    LongNumber,
}

impl std::fmt::Display for FoundKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            FoundKind::Number => "a number",
            FoundKind::Text => "text",
            FoundKind::Boolean => "true or false",
            FoundKind::Nested => "a nested value",
            FoundKind::Moment => "a date or time",
            FoundKind::NotFinite => "infinity or what is no number",
            FoundKind::Duration => "a length of time",
            FoundKind::CellError => "an error of the spreadsheet",
            FoundKind::Formula => "a formula without its result (open and save the file in its spreadsheet program)",
            FoundKind::LongText => {
                "a text of more than 32,767 characters (cut it: no cell of a spreadsheet holds more)"
            }
            FoundKind::LongNumber => {
                "a number with more digits than a spreadsheet keeps, which has changed it (have them entered as text, or give a CSV file)"
            }
            FoundKind::Merged => "a merged cell (take the merging out, or ask for merged cells to be filled)",
        })
    }
}

fn found_text(kind: FoundKind, length: usize) -> String {
    if length == 0 { kind.to_string() } else { format!("{kind} of {length} characters") }
}

/// Stands for the column where no column can be told.
pub const WHOLE_LINE: &str = "(the whole line)";

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
        "the format of {file} can't be told from its name; name it .csv, .tsv, .xlsx, .json, .ndjson or .parquet (.gz and .zst may follow the text formats), or state the format"
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
    /// More columns than a source may have.
    #[error("{file} has {found} columns, at most {COLUMNS_MAX} can be taken; split it")]
    TooManyColumns {
        /// The file.
        file: String,
        /// How many.
        found: usize,
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
    /// The columns are not the ones that are wanted. All differences at once.
    #[error("{file}: its columns are not those that are wanted: {drift}")]
    Drift {
        /// The file.
        file: String,
        /// The differences.
        drift: Box<SchemaDrift>,
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
    /// A quote that is never closed: what follows it, to the end of the file, would be one cell.
    #[error(
        "{file}, line {line}: a quote that is opened in this record is never closed; close it, or double it where it belongs to the text"
    )]
    QuoteNotClosed {
        /// The file.
        file: String,
        /// The line on which the record begins.
        line: u64,
    },
    /// Rows that together take more memory than a batch may.
    #[error(
        "{file}, line {line}: the rows before it hold more than {} MiB in one batch of {BATCH_ROWS}; keep long texts out of the table, or cut them",
        BATCH_BYTES_MAX >> 20
    )]
    RowsTooLarge {
        /// The file.
        file: String,
        /// The line of a text file, the row of a sheet or Parquet file.
        line: u64,
    },
    /// A compressed file that becomes too large.
    #[error("{file} expands to more than {bytes_max} bytes; split it")]
    Expands {
        /// The file.
        file: String,
        /// What it may expand to.
        bytes_max: u64,
    },
    /// Bytes that are not of the file's encoding.
    #[error(
        "{file}, line {line}, column `{column}`: not {encoding}; convert the file to UTF-8, or declare its encoding"
    )]
    BadBytes {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The column, or [`WHOLE_LINE`].
        column: String,
        /// The encoding that was declared or found out.
        encoding: TextEncoding,
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
    /// A JSON array that is cut off, or has something behind it.
    #[error(
        "{file}, line {line}: the array that it is has no end, or something stands behind its end; give the whole file: one array, or one object a line"
    )]
    ArrayNotWhole {
        /// The file.
        file: String,
        /// Its last line.
        line: u64,
    },
    /// A JSON object with two values of one name.
    #[error("{file}, line {line}: the object has `{column}` twice; leave one of them")]
    RepeatedName {
        /// The file.
        file: String,
        /// The line.
        line: u64,
        /// The name.
        column: String,
    },
    /// One JSON document of so many values that they fill the memory.
    #[error(
        "{file} is one JSON document of more than {values_max} values; give its rows as newline-delimited JSON (one object a line), or a part of it"
    )]
    JsonTooLarge {
        /// The file.
        file: String,
        /// How many it may have.
        values_max: usize,
    },
    /// A value that does not fit its column.
    #[error("{file}, line {line}, column `{column}`: {} was expected, found {}", expected.describe(), found_text(*found_kind, *found_length))]
    BadValue {
        /// The file.
        file: String,
        /// The line of a text file, the row of a sheet or Parquet file.
        line: u64,
        /// The column.
        column: ColumnName,
        /// What was expected.
        expected: ColumnType,
        /// What kind of value was found.
        found_kind: FoundKind,
        /// How long it was, in characters; 0 where that was not counted.
        found_length: usize,
    },
    /// A column of a type that governed data can't have.
    #[error("{file}, column `{column}`: columns of type {found} can't be taken; flatten or drop it")]
    BadType {
        /// The file.
        file: String,
        /// The column.
        column: String,
        /// The type.
        found: String,
    },
    /// A workbook without the sheet.
    #[error("{file} has no sheet `{sheet}`; it has {known}")]
    NoSuchSheet {
        /// The file.
        file: String,
        /// What was asked for.
        sheet: String,
        /// The names of its sheets.
        known: String,
    },
    /// A file that is no workbook, or one that can't be taken.
    #[error("{file} can't be taken as a workbook: {reason}")]
    BadWorkbook {
        /// The file.
        file: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// The rejects file can't be written.
    #[error("the rejects file {file} can't be written ({reason}); free some space and try again")]
    RejectsUnwritten {
        /// The file.
        file: String,
        /// What the system said.
        reason: String,
    },
    /// More rows were rejected than the ingestion allows.
    #[error(
        "{file}: {rejected} of {read} rows do not fit, and {allowed}; the rejects file names each with its line and column: mend the source, or allow more"
    )]
    TooManyRejects {
        /// The file.
        file: String,
        /// Rows rejected.
        rejected: u64,
        /// Rows read.
        read: u64,
        /// What is allowed, as part of a sentence.
        allowed: String,
    },
    /// A department's database can't be read.
    #[error(transparent)]
    Database(#[from] crate::postgres::PostgresError),
}
