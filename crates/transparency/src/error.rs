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
    /// A checkpoint that too few of the cosigners saw.
    #[error(
        "the checkpoint is signed by {found} of the cosigners and {required} are required; ask the witnesses for their signatures"
    )]
    NotWitnessed {
        /// How many of the policy's cosigners signed.
        found: usize,
        /// How many must have.
        required: usize,
    },
    /// An entry that holds other roots than the log and its twin have.
    #[error(
        "entry {index} holds other roots than the log and its twin had at the size published before it: one of them was forked"
    )]
    RootsDiffer {
        /// The entry's index.
        index: u64,
    },
    /// Two published sizes without an entry that holds the roots of the first.
    #[error("no entry between the published sizes {size} and {next} holds the roots of the log and its twin at {size}")]
    RootsMissing {
        /// The size whose roots are missing.
        size: u64,
        /// The size published next.
        next: u64,
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
