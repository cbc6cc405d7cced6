//! Sessions of the node's own code, whose rows it works on itself. Trusted ones: plain SQL over snapshots and products, all
//! functions, hidden columns included, for the quality room and the like; nothing that a consumer writes ever comes there.
//! Permitted ones: the statement of a draft over what its permits allow, as the product is made.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::session_state::SessionState;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::allow::{self, Granted};
use crate::attempts;
use crate::engine::{Engine, register};
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise, timed_out};
use crate::files::TableFiles;
use crate::governed::{GovernedTable, HiddenColumns};
use crate::rows_left::RowsLeft;
use crate::session::start;

/// Rows that a thread takes in between two looks at the time.
const ROWS_AT_A_TIME: usize = 8_192;

/// A session of the node's own code.
pub struct InternalSession {
    engine: Arc<Engine>,
    state: SessionState,
    /// What a statement may name, where it is not the program's own.
    granted: Option<Granted>,
    limits: Limits,
}

/// A trusted session over snapshots and products, by name. Errors: [`EngineError::Settings`] for a name used twice.
pub fn internal_session(
    engine: &Arc<Engine>,
    tables: &[(&str, Arc<TableFiles>)],
    limits: Limits,
) -> Result<InternalSession, EngineError> {
    let state = engine.trusted_state();
    for (name, table) in tables {
        register(&state, name, Arc::clone(table) as Arc<dyn datafusion::catalog::TableProvider>)
            .map_err(|error| EngineError::Settings { reason: error.strip_backtrace() })?;
    }
    Ok(InternalSession { engine: Arc::clone(engine), state, granted: None, limits })
}

/// A session over the permitted part of some snapshots: a statement is held to the allow-list and reads the rows that a product
/// of it would be made of, and no other. Errors: [`EngineError::Settings`] for a name used twice.
pub fn permitted_session(
    engine: &Arc<Engine>,
    tables: &[Arc<GovernedTable>],
    limits: Limits,
) -> Result<InternalSession, EngineError> {
    let state = engine.governed_state(engine.partitions());
    let mut granted = Granted::new();
    for table in tables {
        granted.insert(table.name().to_owned(), table.column_names());
        register(&state, table.name(), table.provider(HiddenColumns::None)).map_err(|error| sanitise(&error))?;
    }
    Ok(InternalSession { engine: Arc::clone(engine), state, granted: Some(granted), limits })
}

/// The batches of a query, for a thread that may work on them for as long as it likes. Once the query's time is over it gets no more.
pub struct Batches {
    batches: mpsc::Receiver<RecordBatch>,
    deadline: std::time::Instant,
    limits: Limits,
}

impl Batches {
    /// Hands over all rows, some thousand at a time, and looks at the time in between. The thread waits for them, so it must be one
    /// that runs no queries. Errors: [`EngineError::TimedOut`], and what `take` says.
    pub fn each<E: From<EngineError>>(mut self, mut take: impl FnMut(&RecordBatch) -> Result<(), E>) -> Result<(), E> {
        while let Some(batch) = self.batches.blocking_recv() {
            let rows = batch.num_rows();
            for from in (0..rows).step_by(ROWS_AT_A_TIME) {
                if std::time::Instant::now() >= self.deadline {
                    return Err(timed_out(&self.limits).into());
                }
                take(&batch.slice(from, ROWS_AT_A_TIME.min(rows - from)))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Batches {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Batches")
    }
}

impl InternalSession {
    /// What a query's batches go through to the thread that takes them, so many ahead of it: for [`InternalSession::query_into`],
    /// which is to begin at once.
    pub fn batches(&self, ahead: usize) -> (mpsc::Sender<RecordBatch>, Batches) {
        let (sender, batches) = mpsc::channel(ahead.max(1));
        let deadline = std::time::Instant::now() + self.limits.time_max;
        (sender, Batches { batches, deadline, limits: self.limits })
    }

    /// Runs a query and returns its batches. Errors of planning are [`EngineError::Settings`] with the planner's
    /// message where the statement is the program's own, and else refusals of the allow-list; errors of running tell no values.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
        let _place = self.engine.place().await?;
        let mut batches = self.started(sql, Instant::now() + self.limits.time_max).await?;
        let mut collected = Vec::new();
        while let Some(batch) = batches.next().await {
            collected.push(batch?);
        }
        Ok(collected)
    }

    /// Runs a query and hands each batch over as it comes, so that no more are in memory than the channel holds. Whoever takes
    /// them does so on another thread: one that runs queries must not work on what comes of them. Ends without an error
    /// where nobody takes any more. Errors as [`InternalSession::query`]; the time to take counts too.
    pub async fn query_into(&self, sql: &str, taker: mpsc::Sender<RecordBatch>) -> Result<(), EngineError> {
        let _place = self.engine.place().await?;
        let deadline = Instant::now() + self.limits.time_max;
        let mut batches = self.started(sql, deadline).await?;
        while let Some(batch) = batches.next().await {
            match tokio::time::timeout_at(deadline, taker.send(batch?)).await {
                Ok(Ok(())) => (),
                Ok(Err(_)) => return Ok(()),
                Err(_) => return Err(timed_out(&self.limits)),
            }
        }
        Ok(())
    }

    async fn started(&self, sql: &str, deadline: Instant) -> Result<LimitedBatches, EngineError> {
        let stream = match &self.granted {
            Some(granted) => {
                let plan = allow::plan(&self.state, sql, granted).await?;
                // No row leaves the node.
                let task = |state: &SessionState| {
                    Ok((self.engine.task(state, self.limits.memory_bytes_max, &RowsLeft::unread())?, ()))
                };
                let started = attempts::started(&self.engine, &self.state, &plan, task);
                let (stream, ()) =
                    tokio::time::timeout_at(deadline, started).await.map_err(|_| timed_out(&self.limits))??;
                stream
            }
            None => {
                let plan = self.state.create_logical_plan(sql).await;
                let plan = plan.map_err(|error| EngineError::Settings { reason: error.strip_backtrace() })?;
                let task = self.engine.task(&self.state, self.limits.memory_bytes_max, &RowsLeft::default())?;
                start(&self.engine, &self.state, &plan, task).await?
            }
        };
        Ok(LimitedBatches::new(stream, self.limits, deadline))
    }
}

impl fmt::Debug for InternalSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InternalSession")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    #[tokio::test]
    async fn rows_are_taken_in_pieces_until_the_time_is_over() {
        let rows = ROWS_AT_A_TIME * 2 + 1;
        let array: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows as i64));
        let batch = RecordBatch::try_from_iter([("a", array)]).unwrap();
        let hour = Duration::from_secs(3_600);
        for (left, expected) in [(hour, vec![ROWS_AT_A_TIME, ROWS_AT_A_TIME, 1]), (Duration::ZERO, Vec::new())] {
            let (sender, batches) = mpsc::channel(1);
            sender.send(batch.clone()).await.unwrap();
            drop(sender);
            let batches = Batches { batches, deadline: std::time::Instant::now() + left, limits: Limits::default() };
            let taking = tokio::task::spawn_blocking(move || {
                let mut pieces = Vec::new();
                let ended = batches.each(|piece| {
                    pieces.push(piece.num_rows());
                    Ok::<(), EngineError>(())
                });
                (pieces, ended)
            });
            let (pieces, ended) = taking.await.unwrap();
            assert_eq!(pieces, expected);
            assert_eq!(matches!(ended, Err(EngineError::TimedOut { .. })), left.is_zero());
        }
    }
}
