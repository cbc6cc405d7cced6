//! What it takes to begin a job again: its source and how that is read. Kept with the job as JSON.

use std::path::PathBuf;

use lingqu_engine::source::SourceOptions;
use lingqu_engine::table_source::TableReference;
use serde::{Deserialize, Serialize};

use crate::error::AppError;

/// Where a job's source is. No secret stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum JobSource {
    /// A file that was uploaded, in the job's folder.
    Spooled {
        /// Its name there.
        file: String,
    },
    /// A file on the node's machine. It must stay there until the job has ended.
    Path {
        /// Where.
        path: PathBuf,
    },
    /// A table. Only its connection's name stands here.
    Table {
        /// Which.
        reference: TableReference,
    },
}

/// A job's source and how it is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JobRequest {
    pub(super) source: JobSource,
    pub(super) options: SourceOptions,
}

impl JobRequest {
    pub(super) fn to_text(&self) -> Result<String, AppError> {
        serde_json::to_string(self)
            .map_err(|error| AppError::Invalid(format!("the source can't be kept with its job ({error}); rename it")))
    }

    pub(super) fn of_text(text: &str) -> Result<Self, AppError> {
        serde_json::from_str(text)
            .map_err(|error| AppError::Fault(format!("an ingestion's request can't be read: {error}")))
    }
}
