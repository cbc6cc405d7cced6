//! A plan is started in the fastest way, and where that one fails in a surer one.
//!
//! Joins are by hashing, which holds one side in memory; where memory does not suffice they are made in the way that spills
//! ([`joins::by_sorting`]). A key that may fail is computed ahead; where it fails, so that it may have been on a row which its join
//! does not reach, pairs of rows are compared, word by word ([`rules::word_by_word`]). The first batch tells: by then one side of each join has
//! been read, and nothing has left. All attempts are within the same limits, and the last one's answer or failure counts.

use std::sync::Arc;

use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::LogicalPlan;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

use crate::engine::Engine;
use crate::execution::{EngineError, is_of_a_value, sanitise};
use crate::session::start;
use crate::{joins, rules};

/// In which way a plan is made.
#[derive(Clone, Copy, Debug, Default)]
struct Way {
    /// Joins spill.
    spills: bool,
    /// No key is computed on a row that the statement does not reach.
    is_word_by_word: bool,
}

impl Way {
    fn state(self, state: &SessionState) -> SessionState {
        let spilling = if self.spills { joins::by_sorting(state) } else { state.clone() };
        if self.is_word_by_word { rules::word_by_word(&spilling) } else { spilling }
    }

    /// What to try after a failure; none where another way would change nothing.
    fn after(self, error: &DataFusionError, state: &SessionState, plan: &LogicalPlan) -> DataFusionResult<Option<Way>> {
        if matches!(error.find_root(), DataFusionError::ResourcesExhausted(_)) {
            let helps = !self.spills && has_join(&state.optimize(plan)?);
            return Ok(helps.then_some(Way { spills: true, ..self }));
        }
        if is_of_a_value(error) {
            let helps = !self.is_word_by_word && rules::has_early_key(&state.optimize(plan)?);
            return Ok(helps.then_some(Way { is_word_by_word: true, ..self }));
        }
        Ok(None)
    }
}

/// Starts a plan. Each attempt has what `task` makes for it; what that yields beside the task is the last attempt's.
pub(crate) async fn started<T>(
    engine: &Engine,
    state: &SessionState,
    plan: &LogicalPlan,
    task: impl Fn(&SessionState) -> Result<(Arc<TaskContext>, T), EngineError>,
) -> Result<(SendableRecordBatchStream, T), EngineError> {
    let mut way = Way::default();
    loop {
        let state = way.state(state);
        let (task, beside) = task(&state)?;
        let mut stream = start(engine, &state, plan, task).await?;
        let first = stream.next().await;
        if let Some(Err(error)) = &first
            && let Some(next) = way.after(error, &state, plan).map_err(|error| sanitise(&error))?
        {
            tracing::debug!(?next, "a plan failed before its first batch and is tried in another way");
            way = next;
            continue;
        }
        let schema = stream.schema();
        let whole = futures::stream::iter(first).chain(stream);
        return Ok((Box::pin(RecordBatchStreamAdapter::new(schema, whole)), beside));
    }
}

fn has_join(plan: &LogicalPlan) -> bool {
    let mut is_found = false;
    let walked = plan.apply_with_subqueries(|node| {
        is_found = matches!(node, LogicalPlan::Join(_));
        Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    is_found || walked.is_err()
}
