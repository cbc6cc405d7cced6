use thiserror::Error;

/// What can go wrong in this room. No variant carries a value of the data or key material; columns are named.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum FingerprintError {
    /// A declaration of marks contradicts itself or asks for more than it may.
    #[error("the marking of {subject} is refused: {reason}")]
    Declaration {
        /// The mark, column or table that is meant.
        subject: String,
        /// What is wrong and how to mend it.
        reason: &'static str,
    },
    /// A column that the marking names is not in the batch.
    #[error("the batch has no column {column}, which the marking needs; deliver it, or take it out of the marking")]
    ColumnMissing {
        /// Its name.
        column: String,
    },
    /// A column has a type that its declared carrier can't be laid into.
    #[error("column {column} is of type {found}; its mark needs {expected}")]
    ColumnType {
        /// Its name.
        column: String,
        /// The type that was found.
        found: String,
        /// What would do.
        expected: &'static str,
    },
    /// A row's key is too long to be taken in.
    #[error("a row key has more than {bytes_max} bytes; declare a shorter unique key")]
    RowKeyTooLong {
        /// The limit in bytes.
        bytes_max: usize,
    },
    /// Originals and leaked rows don't stand side by side.
    #[error("{originals} original rows stand beside {leaked} leaked ones; align them one to one first")]
    NotAligned {
        /// Number of original rows.
        originals: usize,
        /// Number of leaked rows.
        leaked: usize,
    },
    /// More rows or positions than one case may hold.
    #[error("{what} are more than {count_max}; trace a sample of the fragment")]
    TooMany {
        /// What is counted.
        what: &'static str,
        /// The limit.
        count_max: usize,
    },
    /// A setting of the accusation makes no sense.
    #[error("the setting {setting} is refused: {reason}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What is wrong and how to mend it.
        reason: &'static str,
    },
    /// An opening doesn't fit the commitment that was logged.
    #[error("the disclosed key is not the one that was committed to at delivery")]
    CommitmentMismatch,
    /// The originals could not be read.
    #[error("the originals could not be read: {reason}")]
    Originals {
        /// Why, without a value of the data, and how to mend it.
        reason: String,
    },
    /// Who watched ended it.
    #[error("it was stopped before it was done; nothing was kept")]
    Stopped,
    /// Arrow refused to build a result from parts that this room made.
    #[error("a marked batch could not be put together; column {column}")]
    Assembly {
        /// The column, or `*` for the whole batch.
        column: String,
    },
}
