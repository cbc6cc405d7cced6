//! Quality: rule sets over the tables of a node, compiled so that a table is read once for all its row-wise rules,
//! and the report of what they found.
//!
//! A [`RuleSet`] is declared as data (in a configuration or a command) and checked when it is read. [`compile`] turns
//! the rules of one table into one aggregate statement, and each rule about keys (uniqueness, existence in another
//! table) into a statement of its own; [`run`] executes them in the engine's internal session and gathers a
//! [`Report`]: exact counts, shares, scores by the dimensions of GB/T 36344-2018 and the numbers of a few rows that
//! fail. No value of the data ever stands in a report or an error, and an example is a row number, to be looked at by
//! who may look at the table.
//!
//! What is not here: tickets and deadlines (domain), reading files (engine), the clock: the caller says what time it
//! is.

pub mod compile;
mod error;
mod expression;
mod report;
mod rule;
mod run;

pub use error::QualityError;
pub use report::{DimensionScore, Finding, Report, TableCount};
pub use rule::{Bound, Condition, Demand, Dimension, Operator, Rule, RuleSet, Scheme, Severity, Test, ValueType};
pub use run::{Progress, run};

/// Most example rows of one rule.
pub const EXAMPLES_MAX: usize = 20;
