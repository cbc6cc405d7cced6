//! How many rows of a table exist for its grant.
//!
//! The optimiser chooses the side of a join by how many rows it expects. How many the data has would be told by that choice:
//! by the order of an answer without ORDER BY, by its time and its memory. So it is told how many are visible, which the
//! consumer may count himself, and nothing before that is known. Where the grant leaves rows out they are counted once for a
//! table, when a statement first reads governed tables in more than one place; the count reads the columns of the row
//! condition alone, and the key where the recipient's copy lacks rows. It is of rows that stay where they are, so no receipt names them.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::datasource::source_as_provider;
use datafusion::execution::session_state::SessionState;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::{LogicalPlan, lit};
use futures::StreamExt;

use super::{GovernedProvider, GovernedTable};
use crate::engine::Engine;
use crate::execution::{EngineError, Limits, sanitise, timed_out};
use crate::rows_left::RowsLeft;
use crate::session::{running, start};

/// Fewest places at which a plan reads governed tables for a choice between them to depend on their sizes.
const PLACES_MIN: usize = 2;

impl GovernedTable {
    /// How many rows a copy of the whole table has under the grant, counted where that is not known yet; none of a live table. For
    /// what the node itself has to know: no receipt names them. Errors: [`EngineError::Busy`] and those of a scan, which may take
    /// a minute.
    pub async fn count_rows(&self, engine: &Engine) -> Result<Option<u64>, EngineError> {
        if self.is_to_be_counted() {
            let limits = Limits::default();
            let _place = engine.place().await?;
            let state = engine.governed_state(engine.partitions());
            let counting = counted(engine, &state, self, limits.memory_bytes_max);
            let rows = tokio::time::timeout(limits.time_max, counting).await.map_err(|_| timed_out(&limits))??;
            // Counted twice at once it is the same.
            self.counted.get_or_init(|| rows);
        }
        Ok(self.rows_visible().map(|rows| rows as u64))
    }

    /// How many rows exist under the grant, where that is known. May be a little behind where consents change.
    pub(crate) fn rows_visible(&self) -> Option<usize> {
        let all = self.raw.rows_at_most()?;
        match self.leaves_out_rows() {
            true => self.counted.get().copied(),
            false => Some(all),
        }
    }

    fn leaves_out_rows(&self) -> bool {
        self.row_filter.is_some() || self.consent.is_some() || self.copy_lacks_rows()
    }

    /// Whether the recipient's copy lacks rows of its own.
    fn copy_lacks_rows(&self) -> bool {
        self.marks.as_ref().is_some_and(|marks| marks.leaves_out_rows())
    }

    /// A live table is not counted: the count would be read from its department's database.
    fn is_to_be_counted(&self) -> bool {
        self.leaves_out_rows() && self.raw.rows_at_most().is_some() && self.counted.get().is_none()
    }
}

/// Counts what is to be known before a plan is optimised. What can't be counted stays unknown.
pub(crate) async fn count_visible(engine: &Engine, state: &SessionState, plan: &LogicalPlan, memory_bytes: usize) {
    for table in tables_to_count(plan) {
        match counted(engine, state, &table, memory_bytes).await {
            // Counted by two statements at once it is the same.
            Ok(rows) => drop(table.counted.set(rows)),
            Err(error) => tracing::debug!(%error, "the visible rows of a table could not be counted"),
        }
    }
}

fn tables_to_count(plan: &LogicalPlan) -> Vec<Arc<GovernedTable>> {
    let (mut places, mut tables): (usize, Vec<Arc<GovernedTable>>) = (0, Vec::new());
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            let provider = source_as_provider(&scan.source)?;
            if let Some(governed) = provider.downcast_ref::<GovernedProvider>() {
                places += 1;
                let table = governed.table();
                if table.is_to_be_counted() && !tables.iter().any(|known| Arc::ptr_eq(known, table)) {
                    tables.push(Arc::clone(table));
                }
            }
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_err() || places < PLACES_MIN { Vec::new() } else { tables }
}

async fn counted(
    engine: &Engine,
    state: &SessionState,
    table: &GovernedTable,
    memory_bytes: usize,
) -> Result<usize, EngineError> {
    let task = engine.task(state, memory_bytes, &RowsLeft::unread())?;
    if table.copy_lacks_rows() {
        // Which rows they are is known only where the copy is made.
        let rows = table.rows(&[], &[]).map_err(|error| sanitise(&error))?;
        let copy = table.planned(state, rows, Vec::new()).await.map_err(|error| sanitise(&error))?;
        let (mut stream, mut rows) = (running(engine, copy, task), 0);
        while let Some(batch) = stream.next().await {
            rows += batch.map_err(|error| sanitise(&error))?.num_rows();
        }
        return Ok(rows);
    }
    let plan = table.rows(&[], &[]).and_then(|rows| {
        let nothing: Vec<datafusion::logical_expr::Expr> = Vec::new();
        rows.aggregate(nothing, [count(lit(1_i64))])?.build()
    });
    let plan = plan.map_err(|error| sanitise(&error))?;
    let mut stream = start(engine, state, &plan, task).await?;
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| sanitise(&error))?;
        rows += batch.column(0).as_primitive::<Int64Type>().values().iter().sum::<i64>();
    }
    Ok(usize::try_from(rows).unwrap_or_default())
}
