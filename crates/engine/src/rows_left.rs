//! Which rows left the governed tables: what a receipt names.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use roaring::RoaringTreemap;
use serde::{Deserialize, Serialize};

/// How the rows named for an answer relate to the rows the answer was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowsExactness {
    /// Exactly the rows of the answer: a query of filter, projection, sort and limit over one table.
    Exact,
    /// Every row that left a governed table into the plan. A row may be named that did not bear on the answer, never
    /// the reverse.
    Superset,
}

/// The numbers of the rows that left the governed tables of one query, by table name. Clones share one record.
#[derive(Clone, Debug, Default)]
pub struct RowsLeft {
    state: Arc<Mutex<RowsLeftState>>,
}

#[derive(Debug, Default)]
struct RowsLeftState {
    total: BTreeMap<String, RoaringTreemap>,
    untold: BTreeMap<String, RoaringTreemap>,
}

impl RowsLeft {
    /// Records rows of a table. Called before the batch that holds them is passed on.
    pub fn record(&self, table: &str, rows: &RoaringTreemap) {
        if rows.is_empty() {
            return;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let RowsLeftState { total, untold } = &mut *state;
        let known = total.entry(table.to_owned()).or_default();
        let fresh = rows - &*known;
        *known |= &fresh;
        *untold.entry(table.to_owned()).or_default() |= fresh;
    }

    /// The rows recorded since the last call, each row once.
    pub fn take_untold(&self) -> BTreeMap<String, RoaringTreemap> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.untold)
    }

    /// All rows recorded so far.
    pub fn total(&self) -> BTreeMap<String, RoaringTreemap> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).total.clone()
    }
}
