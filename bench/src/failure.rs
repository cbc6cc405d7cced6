//! Why a measurement could not be made.

use std::path::{Path, PathBuf};

/// Why the bench stopped.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file operation failed.
    #[error("can't {doing} {}: {reason}", path.display())]
    File {
        /// The operation as a verb.
        doing: &'static str,
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A program could not be run or failed.
    #[error("{program} failed: {reason}")]
    Program {
        /// Which.
        program: String,
        /// What it said.
        reason: String,
    },
    /// The node did not answer.
    #[error("the node does not answer: {0}")]
    Http(#[from] reqwest::Error),
    /// A connection failed.
    #[error("a connection failed: {0}")]
    Connection(#[from] std::io::Error),
    /// The node answered otherwise than it should.
    #[error("{0}")]
    Unexpected(String),
}

/// A file operation that failed.
pub fn file_error(doing: &'static str, path: &Path, error: &std::io::Error) -> BenchError {
    BenchError::File { doing, path: path.to_owned(), reason: error.to_string() }
}
