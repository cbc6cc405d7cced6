//! A record of released statistics in memory: what the node keeps in its database, for the length of a test.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use lingqu_engine::EngineError;
use lingqu_engine::release::{Added, CELLS_PAGE_MAX, Cell, CellRange, RecordedCell, ReleaseRecord};

/// The record of one recipient.
#[derive(Debug)]
pub struct Record {
    cells: Mutex<Vec<Cell>>,
    refusals: AtomicU64,
    cells_max: usize,
    refusals_max: u64,
    is_comparable: AtomicBool,
}

impl Default for Record {
    fn default() -> Self {
        Self::limited(20_000, 1_000)
    }
}

impl Record {
    pub fn limited(cells_max: usize, refusals_max: u64) -> Self {
        Self {
            cells: Mutex::default(),
            refusals: AtomicU64::new(0),
            cells_max,
            refusals_max,
            is_comparable: AtomicBool::new(true),
        }
    }

    pub fn len(&self) -> usize {
        self.cells.lock().expect("no test panics while it holds this").len()
    }

    /// From now on what is on it knows rows by something else than the session's product.
    pub fn make_incomparable(&self) {
        self.is_comparable.store(false, Ordering::SeqCst);
    }

    pub fn refusals(&self) -> u64 {
        self.refusals.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ReleaseRecord for Record {
    async fn head(&self) -> Result<u64, EngineError> {
        Ok(self.len() as u64)
    }

    async fn cells(&self, range: &CellRange) -> Result<Vec<RecordedCell>, EngineError> {
        let cells = self.cells.lock().expect("no test panics while it holds this");
        let mut found = Vec::new();
        for (position, cell) in (1..).zip(cells.iter()) {
            let is_near = cell.contributors_min <= *range.contributors.end()
                && cell.contributors_max >= *range.contributors.start();
            if position > range.after && position <= range.until && cell.family == range.family && is_near {
                found.push(RecordedCell { position, cell: cell.clone() });
            }
        }
        found.truncate(CELLS_PAGE_MAX);
        Ok(found)
    }

    async fn add(&self, head: u64, added: &[Cell]) -> Result<Added, EngineError> {
        let mut cells = self.cells.lock().expect("no test panics while it holds this");
        if cells.len() as u64 != head {
            return Ok(Added::Moved);
        }
        if cells.len() + added.len() > self.cells_max {
            return Ok(Added::Full);
        }
        cells.extend_from_slice(added);
        Ok(Added::Recorded)
    }

    async fn is_comparable(&self) -> Result<bool, EngineError> {
        Ok(self.is_comparable.load(Ordering::SeqCst))
    }

    async fn may_ask(&self) -> Result<bool, EngineError> {
        Ok(self.refusals() < self.refusals_max)
    }

    async fn count_refusal(&self) -> Result<(), EngineError> {
        self.refusals.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}
