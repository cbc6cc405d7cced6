//! Rejected rows: those that an ingestion leaves out because a value does not fit, instead of refusing the whole source.
//!
//! The rejects file tells each with line, column and reason, one JSON object a line. The value itself never stands in it:
//! it may be personal, and whoever mends the source has it there.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::error::{FoundKind, SourceError};
use super::progress::ReadProgress;
use crate::postgres::PostgresError;

/// Most rows that an ingestion may allow to be rejected: what is wrong with more is the source, not its rows.
pub const REJECTED_ROWS_MAX: u64 = 100_000;
/// Most cells of one rejected row that are told.
pub(crate) const CELLS_MAX: usize = 16;
/// A share of one, in thousandths.
const WHOLE_PER_MILLE: u16 = 1_000;

/// How many rows may be rejected. Both bounds hold; without any allowance the first bad row refuses the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RejectLimit {
    /// Rows at most, up to [`REJECTED_ROWS_MAX`].
    pub rows_max: u64,
    /// Of a thousand rows read at most so many, counted at the end.
    pub per_mille_max: u16,
}

impl Default for RejectLimit {
    fn default() -> Self {
        Self { rows_max: 0, per_mille_max: WHOLE_PER_MILLE }
    }
}

impl RejectLimit {
    /// Refuses limits that can't be kept.
    pub fn check(self) -> Result<(), SourceError> {
        let bad = |reason: String| Err(SourceError::BadOptions { reason });
        if self.rows_max > REJECTED_ROWS_MAX {
            return bad(format!("at most {REJECTED_ROWS_MAX} rows may be rejected; mend the source"));
        }
        if self.per_mille_max > WHOLE_PER_MILLE {
            return bad(format!("the share of rejected rows is in thousandths, at most {WHOLE_PER_MILLE}"));
        }
        Ok(())
    }

    fn allowed(self) -> String {
        match self.per_mille_max {
            WHOLE_PER_MILLE => format!("at most {} are allowed", self.rows_max),
            share => format!("at most {} and {share} of 1000 are allowed", self.rows_max),
        }
    }
}

/// Why a row was rejected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// A value that does not fit its column.
    WrongType,
    /// Too few or too many fields.
    FieldCount,
    /// Bytes that are not of the file's encoding.
    WrongEncoding,
    /// A line that is not one JSON object, or one with a name twice.
    NotJson,
}

/// One line of the rejects file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// The line of a text file, the row of a sheet or Parquet file or of a table in the order in which it was read, from 1.
    pub line: u64,
    /// The column in Lingqu's name where one can be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// Why.
    pub reason: RejectReason,
    /// What was expected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What kind of value was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<FoundKind>,
    /// How long it was in characters; of a record, how many fields it has; of a line that is no JSON, where.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
}

impl Reject {
    /// What is told of an error of one row; nothing for an error of the whole source.
    fn of(error: &SourceError) -> Option<Reject> {
        let reject = |line: u64, column: Option<&str>, reason| Reject {
            line,
            column: column.map(str::to_owned),
            reason,
            expected: None,
            found: None,
            length: None,
        };
        Some(match error {
            SourceError::BadValue { line, column, expected, found_kind, found_length, .. } => Reject {
                expected: Some(expected.describe().to_owned()),
                found: Some(*found_kind),
                // Of a typed value nobody counted characters.
                length: Some(*found_length as u64).filter(|length| *length > 0),
                ..reject(*line, Some(column.as_str()), RejectReason::WrongType)
            },
            SourceError::Database(PostgresError::BadValue { row, column, expected, .. }) => Reject {
                expected: Some(expected.describe().to_owned()),
                ..reject(*row, Some(column), RejectReason::WrongType)
            },
            SourceError::RaggedRecord { line, found, expected, .. } => Reject {
                expected: Some(format!("{expected} fields")),
                length: Some(*found as u64),
                ..reject(*line, None, RejectReason::FieldCount)
            },
            SourceError::BadBytes { line, column, encoding, .. } => Reject {
                expected: Some(encoding.to_string()),
                ..reject(*line, Some(column), RejectReason::WrongEncoding)
            },
            SourceError::BadJson { line, character, .. } => {
                Reject { length: Some(*character), ..reject(*line, None, RejectReason::NotJson) }
            }
            SourceError::RepeatedName { line, column, .. } => {
                reject(*line, Some(column.as_str()), RejectReason::NotJson)
            }
            _ => return None,
        })
    }
}

/// Takes the rejected rows of one reading.
pub(super) struct Rejects {
    source: String,
    limit: RejectLimit,
    file: Option<(PathBuf, BufWriter<File>)>,
    progress: Arc<ReadProgress>,
}

impl Rejects {
    /// Begins the rejects file anew where one is wanted.
    pub(super) fn begin(
        source: String,
        limit: RejectLimit,
        path: Option<&Path>,
        progress: Arc<ReadProgress>,
    ) -> Result<Self, SourceError> {
        let file = match path {
            None => None,
            Some(path) => {
                let file = File::create(path).map_err(|error| unwritten(path, &error))?;
                Some((path.to_owned(), BufWriter::new(file)))
            }
        };
        Ok(Self { source, limit, file, progress })
    }

    /// Takes a row that can't be read, with what is wrong with its cells. Error: the first of them where nothing may be
    /// rejected; too many; the rejects file can't be written.
    pub(super) fn take(&mut self, errors: Vec<SourceError>) -> Result<(), SourceError> {
        if let Some((path, file)) = &mut self.file {
            for reject in errors.iter().filter_map(Reject::of).take(CELLS_MAX) {
                let mut text = serde_json::to_vec(&reject).map_err(|error| unwritten(path, &error.into()))?;
                text.push(b'\n');
                file.write_all(&text).map_err(|error| unwritten(path, &error))?;
            }
        }
        self.progress.add_rejected(1);
        if self.limit.rows_max == 0 {
            self.flush()?;
            return errors.into_iter().next().map_or(Ok(()), Err);
        }
        if self.progress.rejected() > self.limit.rows_max {
            self.flush()?;
            return Err(self.too_many());
        }
        Ok(())
    }

    /// Ends the reading: the share of rejected rows is known now, and the rejects file is made durable.
    pub(super) fn finish(&mut self) -> Result<(), SourceError> {
        self.flush()?;
        let (rejected, read) = (self.progress.rejected(), self.progress.rows());
        let is_within = u128::from(rejected) * u128::from(WHOLE_PER_MILLE)
            <= u128::from(read) * u128::from(self.limit.per_mille_max);
        if is_within { Ok(()) } else { Err(self.too_many()) }
    }

    fn too_many(&self) -> SourceError {
        SourceError::TooManyRejects {
            file: self.source.clone(),
            rejected: self.progress.rejected(),
            read: self.progress.rows(),
            allowed: self.limit.allowed(),
        }
    }

    fn flush(&mut self) -> Result<(), SourceError> {
        let Some((path, file)) = &mut self.file else { return Ok(()) };
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let written = file.flush().and_then(|()| file.get_ref().sync_all());
        // Its name too, which the folder has.
        let named = written.and_then(|()| File::open(directory)?.sync_all());
        named.map_err(|error| unwritten(path, &error))
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> SourceError {
    let file = path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    SourceError::RejectsUnwritten { file, reason: error.to_string() }
}
