//! Running plans under limits, and errors that tell nothing of the data.

use std::time::Duration;

use arrow::array::{Array, RecordBatch};
use datafusion::error::DataFusionError;
use datafusion::physical_plan::SendableRecordBatchStream;
use futures::StreamExt;
use tokio::time::Instant;

use crate::allow::Refusal;
use crate::files::StorageError;
use crate::governed::GovernError;
use crate::postgres::PostgresError;

/// What one query may use. Every limit ends the query with an error of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory for its operators.
    pub memory_bytes_max: usize,
    /// Time from the start of planning to the last batch, waiting for the receiver included.
    pub time_max: Duration,
    /// Rows of the answer.
    pub rows_max: u64,
    /// Bytes of the answer, in Arrow's form.
    pub bytes_max: u64,
    /// Groups of a guarded aggregate before suppression.
    pub groups_max: u64,
}

impl Default for Limits {
    /// 512 MiB of memory, 60 seconds, 10 million rows, 4 GiB, 100,000 groups.
    fn default() -> Self {
        Self {
            memory_bytes_max: 512 << 20,
            time_max: Duration::from_secs(60),
            rows_max: 10_000_000,
            bytes_max: 4 << 30,
            groups_max: 100_000,
        }
    }
}

/// Why the engine did not answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The statement is not allowed or not understood.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A governed table can't be made as the grant says.
    #[error(transparent)]
    Govern(#[from] GovernError),
    /// The storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The settings of the engine are wrong.
    #[error("{reason}")]
    Settings {
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// Too many queries run.
    #[error("too many queries are running; try again in a moment")]
    Busy,
    /// The query took too long.
    #[error("the query took longer than {seconds} seconds; narrow its filter or ask for fewer columns")]
    TimedOut {
        /// The limit.
        seconds: u64,
    },
    /// The answer has too many rows.
    #[error("the answer has more than {rows_max} rows; narrow the filter, add a LIMIT or use an export")]
    TooManyRows {
        /// The limit.
        rows_max: u64,
    },
    /// The answer is too large.
    #[error(
        "the answer is larger than {bytes_max} bytes; narrow the filter, add a LIMIT or ask for fewer columns or keys"
    )]
    TooManyBytes {
        /// The limit.
        bytes_max: u64,
    },
    /// The query needs too much memory.
    #[error(
        "the query needs more memory or temporary disk space than it may use; group by fewer columns, sort less or narrow the filter"
    )]
    OutOfMemory,
    /// The record of released statistics can't be read or written, so none is given.
    #[error("the record of released statistics failed: {problem}")]
    Record {
        /// What went wrong.
        problem: String,
        /// The cause, for whoever keeps the record.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A department's database, in which the data of a live table stays, can't be read.
    #[error(
        "the data is kept by its department, whose database can't be read now; try again later (correlation id {correlation})"
    )]
    SourceUnavailable {
        /// What to look for in the log.
        correlation: String,
    },
    /// A department's table, in which the data of a live table stays, is not what was agreed on any more.
    #[error(
        "the data is kept by its department, which has changed the table since, so none of it was read; ask again, and if that does not help tell the provider of the data, for whom the node's log says what changed (correlation id {correlation})"
    )]
    SourceChanged {
        /// What to look for in the log.
        correlation: String,
    },
    /// A privacy account has too little left.
    #[error("{0}")]
    PrivacyExhausted(crate::privacy::Exhausted),
    /// Anything else. The log has more under the correlation id, and no values either.
    #[error(
        "the query failed while it ran (for instance a division by zero, a value that can't be converted, or whole numbers whose sum passes 64 bits: cast them to DECIMAL); correlation id {correlation}"
    )]
    Execution {
        /// What to look for in the log.
        correlation: String,
    },
}

/// Turns an error of the query engine into one that tells nothing of the data: messages of cast and arithmetic errors
/// embed values.
pub(crate) fn sanitise(error: &DataFusionError) -> EngineError {
    let root = error.find_root();
    if matches!(root, DataFusionError::ResourcesExhausted(_)) || is_out_of_space(root) {
        return EngineError::OutOfMemory;
    }
    if is_disk_full(root) {
        tracing::error!(
            "the disk on which queries spill is full, so one was ended; free some space in the node's directory"
        );
        return EngineError::OutOfMemory;
    }
    let correlation = uuid::Uuid::now_v7().simple().to_string();
    if let DataFusionError::External(error) = root
        && let Some(fault) = error.downcast_ref::<PostgresError>()
    {
        tracing::warn!(%correlation, %fault, "a live table could not be read");
        return match fault {
            PostgresError::Changed { .. } => EngineError::SourceChanged { correlation },
            _ => EngineError::SourceUnavailable { correlation },
        };
    }
    tracing::warn!(%correlation, kind = kind_of(root), "a query failed");
    EngineError::Execution { correlation }
}

/// Whether an error is the fault of a value from which something was computed: a division by zero, a text that is no number.
pub(crate) fn is_of_a_value(error: &DataFusionError) -> bool {
    use arrow::error::ArrowError;
    match error.find_root() {
        DataFusionError::Execution(_) => true,
        DataFusionError::ArrowError(error, _) => matches!(
            error.as_ref(),
            ArrowError::CastError(_)
                | ArrowError::ParseError(_)
                | ArrowError::DivideByZero
                | ArrowError::ArithmeticOverflow(_)
                | ArrowError::ComputeError(_)
                | ArrowError::InvalidArgumentError(_)
        ),
        _ => false,
    }
}

/// Whether a query used up its part of the space for spilling. DataFusion tells that by the text of a fault of writing, which
/// names the setting.
fn is_out_of_space(error: &DataFusionError) -> bool {
    fault_of(error).is_some_and(|fault| {
        fault.kind() == std::io::ErrorKind::Other && fault.to_string().contains("max_temp_directory_size")
    })
}

/// Whether the disk itself had no space left to spill to. A query writes nothing else.
fn is_disk_full(error: &DataFusionError) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    fault_of(error).is_some_and(|fault| matches!(fault.kind(), StorageFull | QuotaExceeded))
}

/// The fault of reading or writing that an error is.
fn fault_of(error: &DataFusionError) -> Option<&std::io::Error> {
    use arrow::error::ArrowError;
    match error {
        DataFusionError::IoError(fault) => Some(fault),
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::IoError(_, fault) => Some(fault),
            _ => None,
        },
        _ => None,
    }
}

fn kind_of(error: &DataFusionError) -> &'static str {
    use arrow::error::ArrowError;
    match error {
        DataFusionError::ArrowError(error, _) => match error.as_ref() {
            ArrowError::CastError(_) => "cast",
            ArrowError::ParseError(_) => "parse",
            ArrowError::DivideByZero => "divide by zero",
            ArrowError::ArithmeticOverflow(_) => "overflow",
            ArrowError::ComputeError(_) => "compute",
            _ => "arrow",
        },
        DataFusionError::ParquetError(_) => "parquet",
        DataFusionError::ObjectStore(_) => "object store",
        DataFusionError::IoError(_) => "input or output",
        DataFusionError::SQL(..) => "sql",
        DataFusionError::NotImplemented(_) => "not implemented",
        DataFusionError::Internal(_) => "internal",
        DataFusionError::Plan(_) => "plan",
        DataFusionError::SchemaError(..) => "schema",
        DataFusionError::Execution(_) => "execution",
        DataFusionError::ExecutionJoin(_) => "task",
        DataFusionError::External(_) => "external",
        _ => "other",
    }
}

/// A stream of batches that ends with an error when it passes a limit.
pub(crate) struct LimitedBatches {
    inner: SendableRecordBatchStream,
    limits: Limits,
    deadline: Instant,
    rows: u64,
    bytes: u64,
}

impl LimitedBatches {
    pub(crate) fn new(inner: SendableRecordBatchStream, limits: Limits, deadline: Instant) -> Self {
        Self { inner, limits, deadline, rows: 0, bytes: 0 }
    }

    /// The next batch; nothing at the end. After an error the stream must be dropped.
    pub(crate) async fn next(&mut self) -> Option<Result<RecordBatch, EngineError>> {
        match tokio::time::timeout_at(self.deadline, self.inner.next()).await {
            Err(_) => Some(Err(timed_out(&self.limits))),
            Ok(None) => None,
            Ok(Some(Err(error))) => Some(Err(sanitise(&error))),
            Ok(Some(Ok(batch))) => Some(self.count(batch)),
        }
    }

    fn count(&mut self, batch: RecordBatch) -> Result<RecordBatch, EngineError> {
        self.rows += batch.num_rows() as u64;
        self.bytes += slice_bytes(&batch);
        if self.rows > self.limits.rows_max {
            return Err(EngineError::TooManyRows { rows_max: self.limits.rows_max });
        }
        if self.bytes > self.limits.bytes_max {
            return Err(EngineError::TooManyBytes { bytes_max: self.limits.bytes_max });
        }
        Ok(batch)
    }
}

/// Bytes of a batch's values in Arrow's form. Of a slice only its own part counts.
pub(crate) fn slice_bytes(batch: &RecordBatch) -> u64 {
    batch.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or(0) as u64).sum()
}

pub(crate) fn timed_out(limits: &Limits) -> EngineError {
    EngineError::TimedOut { seconds: limits.time_max.as_secs() }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_full_disk_is_told_as_what_it_is() {
        for kind in [ErrorKind::StorageFull, ErrorKind::QuotaExceeded] {
            for error in [DataFusionError::IoError(Error::from(kind)), DataFusionError::from(arrow_fault(kind))] {
                assert!(matches!(sanitise(&error), EngineError::OutOfMemory), "{error}");
            }
        }
        let error = DataFusionError::IoError(Error::from(ErrorKind::NotFound));
        assert!(matches!(sanitise(&error), EngineError::Execution { .. }), "{error}");
    }

    fn arrow_fault(kind: ErrorKind) -> arrow::error::ArrowError {
        Error::from(kind).into()
    }
}
