//! Sessions of trusted code: plain SQL over snapshots and products, all functions, hidden columns included. For the
//! quality room and the like; nothing that a consumer writes ever comes here.

use std::fmt;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use datafusion::execution::session_state::SessionState;
use tokio::time::Instant;

use crate::engine::{Engine, register};
use crate::execution::{EngineError, LimitedBatches, Limits};
use crate::files::TableFiles;
use crate::rows_left::RowsLeft;
use crate::session::start;

/// A session of trusted code.
pub struct InternalSession {
    engine: Arc<Engine>,
    state: SessionState,
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
    Ok(InternalSession { engine: Arc::clone(engine), state, limits })
}

impl InternalSession {
    /// Runs a query and returns its batches. Errors of planning are [`EngineError::Settings`] with the planner's
    /// message, since the statement is the program's own; errors of running tell no values.
    pub async fn query(&self, sql: &str) -> Result<Vec<RecordBatch>, EngineError> {
        let mut collected = Vec::new();
        self.query_each(sql, |batch| {
            collected.push(batch);
            Ok::<(), EngineError>(())
        })
        .await?;
        Ok(collected)
    }

    /// Runs a query and hands each batch over as it comes, so that no more than one need be in memory. Errors as
    /// [`InternalSession::query`], and whatever `take` says, which ends the query.
    pub async fn query_each<E: From<EngineError>>(
        &self,
        sql: &str,
        mut take: impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let _place = self.engine.place().await?;
        let deadline = Instant::now() + self.limits.time_max;
        let plan = self
            .state
            .create_logical_plan(sql)
            .await
            .map_err(|error| EngineError::Settings { reason: error.strip_backtrace() })?;
        let task = self.engine.task(&self.state, self.limits.memory_bytes_max, &RowsLeft::default())?;
        let mut batches =
            LimitedBatches::new(start(&self.engine, &self.state, &plan, task).await?, self.limits, deadline);
        while let Some(batch) = batches.next().await {
            take(batch?)?;
        }
        Ok(())
    }

    /// Runs a query and returns its rows as one batch; none where it has no batch. Errors as [`InternalSession::query`].
    pub async fn query_whole(&self, sql: &str) -> Result<Option<RecordBatch>, EngineError> {
        let batches = self.query(sql).await?;
        let Some(first) = batches.first() else { return Ok(None) };
        let whole = concat_batches(&first.schema(), &batches);
        // Its message may quote a value.
        whole.map(Some).map_err(|_| EngineError::Settings { reason: "the rows don't fit into one batch".to_owned() })
    }
}

impl fmt::Debug for InternalSession {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("InternalSession")
    }
}
