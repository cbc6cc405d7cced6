use thiserror::Error;

/// What can go wrong in this room. The texts name what was read, never its contents.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TransparencyError {
    /// Bytes or text that are not in the format they should be in.
    #[error("{what} is not well formed: {problem}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// What is wrong, and what was expected.
        problem: String,
    },
    /// Arguments that no tree can satisfy.
    #[error("{what} is outside the log: {problem}")]
    OutOfRange {
        /// What was asked for.
        what: &'static str,
        /// The figures.
        problem: String,
    },
    /// A tile or bundle that the tree needs can't be had.
    #[error("the log file {path} is missing; restore it from a copy of the log's directory")]
    TileMissing {
        /// Its path below the log's prefix.
        path: String,
    },
    /// A tile or bundle with the wrong contents.
    #[error("the log file {path} is damaged: {problem}; restore it from a copy of the log's directory")]
    TileDamaged {
        /// Its path below the log's prefix.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// A proof that does not lead to the root.
    #[error("the {what} proof does not lead to the root hash")]
    ProofFailed {
        /// `inclusion` or `consistency`.
        what: &'static str,
    },
    /// A note that none of the known keys signed, or a known key's signature that fails.
    #[error("the note is not signed: {problem}")]
    NotSigned {
        /// Which key failed, or that no known key signed.
        problem: String,
    },
    /// A checkpoint of another log than the one expected.
    #[error("the checkpoint is of the log `{found}`, not of `{expected}`")]
    OtherLog {
        /// The origin in the checkpoint.
        found: String,
        /// The origin asked for.
        expected: String,
    },
    /// An entry, append, note or bundle above its limit.
    #[error("{what} is too large: at most {limit} are allowed")]
    TooLarge {
        /// What was too large.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
}

/// Short form for a malformed input.
pub(crate) fn malformed(what: &'static str, problem: impl Into<String>) -> TransparencyError {
    TransparencyError::Malformed { what, problem: problem.into() }
}
