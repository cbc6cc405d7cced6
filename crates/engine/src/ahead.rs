//! Reading ahead in plans of one thread.
//!
//! In the order of the table nothing is read in parts. So that another core has something to do, a step's input goes on while the
//! step works on what came: reading while rows are decided on, both while they are marked.

use std::sync::Arc;

use datafusion::error::Result as DataFusionResult;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchReceiverStream;
use futures::StreamExt;

/// Batches that an input is ahead of the step that takes them.
const BATCHES_AHEAD: usize = 2;

/// The batches of a partition of a step's input, in their order: made ahead where the plan has one thread.
pub(crate) fn of(
    input: &Arc<dyn ExecutionPlan>,
    partition: usize,
    context: Arc<TaskContext>,
) -> DataFusionResult<SendableRecordBatchStream> {
    let is_alone = context.session_config().target_partitions() == 1;
    let mut input = input.execute(partition, context)?;
    if !is_alone {
        return Ok(input);
    }
    let mut ahead = RecordBatchReceiverStream::builder(input.schema(), BATCHES_AHEAD);
    let sender = ahead.tx();
    ahead.spawn(async move {
        while let Some(batch) = input.next().await {
            let is_last = batch.is_err();
            // When the receiver is gone, nobody wants the rest.
            if sender.send(batch).await.is_err() || is_last {
                break;
            }
        }
        Ok(())
    });
    Ok(ahead.build())
}
