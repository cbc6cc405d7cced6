//! Why a rule set could not be run.

use lingqu_engine::EngineError;

/// Why a rule set is refused or its run has failed. No variant holds a value of the data.
#[derive(Debug, thiserror::Error)]
pub enum QualityError {
    /// The rule set itself is wrong.
    #[error("the rule set {rule_set} is wrong: {reason}")]
    BadRuleSet {
        /// Its name.
        rule_set: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// One rule is wrong.
    #[error("the quality rule {rule} is wrong: {reason}")]
    BadRule {
        /// Its id.
        rule: String,
        /// What is wrong and how to mend it.
        reason: String,
    },
    /// A rule names a table that the session does not have.
    #[error("the quality rule {rule} names the table {table}, which is not there; import it first or correct the rule")]
    NoSuchTable {
        /// The rule's id.
        rule: String,
        /// The table.
        table: String,
    },
    /// A rule names a column that its table does not have.
    #[error("the quality rule {rule} names the column {column}, which {table} does not have; correct the rule")]
    NoSuchColumn {
        /// The rule's id.
        rule: String,
        /// The table.
        table: String,
        /// The column.
        column: String,
    },
    /// The statement of a rule failed in the engine.
    #[error("the quality statement over {table} failed")]
    Engine {
        /// The table.
        table: String,
        /// What the engine said; it tells nothing of the data.
        #[source]
        source: EngineError,
    },
    /// The engine answered in a form that the statement cannot give.
    #[error("the quality statement over {table} was answered in an unexpected form; report this as a defect")]
    Answer {
        /// The table.
        table: String,
    },
}
