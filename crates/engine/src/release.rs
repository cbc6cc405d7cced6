//! The record of released statistics: what each recipient was given, so that the next answer can be compared with it.
//!
//! The engine decides by it and does not keep it: whoever serves an order gives its session a record that is durable
//! and shared by all nodes. A number is recorded before it leaves.

use std::error::Error;
use std::fmt;
use std::ops::RangeInclusive;

use async_trait::async_trait;

use crate::execution::EngineError;

/// Most recorded numbers that [`ReleaseRecord::cells`] answers at a time.
pub const CELLS_PAGE_MAX: usize = 1_000;

/// One released number, as far as later ones must be compared with it. It tells neither the number nor who contributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What was counted or measured; numbers of different families don't make up each other's differences.
    pub family: String,
    /// At least so many contributors.
    pub contributors_min: u64,
    /// At most so many.
    pub contributors_max: u64,
    /// A sketch of the contributors; up to 64 KiB, mostly one or two.
    pub sketch: Vec<u8>,
}

/// A recorded number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedCell {
    /// Its position: grows with every number that is recorded.
    pub position: u64,
    /// The number.
    pub cell: Cell,
}

/// Which recorded numbers are wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CellRange {
    /// Their family.
    pub family: String,
    /// Numbers of contributors that theirs may lie in.
    pub contributors: RangeInclusive<u64>,
    /// Only numbers after this position.
    pub after: u64,
    /// Only numbers up to this position.
    pub until: u64,
}

/// What became of numbers that were to be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// They are recorded, durably.
    Recorded,
    /// Others were recorded since the head; compare with those first.
    Moved,
    /// The recipient has been given as many as are kept.
    Full,
    /// Others on record know rows and contributors by something else, so these can't be compared with them.
    Incomparable,
}

/// What was released to one recipient and those who act with it, of a set of resources and of those that have a resource in
/// common with it. Errors: [`EngineError::Record`].
#[async_trait]
pub trait ReleaseRecord: fmt::Debug + Send + Sync {
    /// The position of the last number that was recorded for the recipient or its affiliates; 0 before the first.
    async fn head(&self) -> Result<u64, EngineError>;

    /// Recorded numbers of the recipient and its affiliates in a range, in the order of their positions, at most
    /// [`CELLS_PAGE_MAX`].
    async fn cells(&self, range: &CellRange) -> Result<Vec<RecordedCell>, EngineError>;

    /// Records numbers, all or none, if `head` is still the head. They are durable when this returns.
    async fn add(&self, head: u64, cells: &[Cell]) -> Result<Added, EngineError>;

    /// Whether all that is on record knows rows and contributors by what the recipient's numbers know them by now. Saves work; what
    /// counts is [`ReleaseRecord::add`].
    async fn is_comparable(&self) -> Result<bool, EngineError>;

    /// Whether the recipient may ask: false when too many questions were refused for what their answers would have told.
    async fn may_ask(&self) -> Result<bool, EngineError>;

    /// Counts such a refusal, durably, before the recipient learns of it.
    async fn count_refusal(&self) -> Result<(), EngineError>;
}

impl EngineError {
    /// A record that can't be read or written.
    pub fn record(error: impl Error + Send + Sync + 'static) -> EngineError {
        EngineError::Record { problem: error.to_string(), source: Some(Box::new(error)) }
    }
}
