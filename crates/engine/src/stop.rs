//! Ends the work on an answer that nobody wants any more, also where the work does not pause.
//!
//! Who drops a stream ends what computes it at its next pause, and steps pause where they read. A window over all rows of a part
//! (DataFusion 55.2) reads them all and then computes one row after another without a pause, for minutes where a frame is long. So what
//! a window calls for each row looks whether the stream is still there, and fails where it is not.

mod functions;
#[cfg(test)]
mod tests;

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use datafusion::common::exec_err;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, WindowFunctionDefinition};
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use futures::StreamExt;

/// Whether an answer is still wanted: shared by its stream, which says so, and by what computes it.
#[derive(Clone, Default)]
pub(crate) struct Stop(Arc<AtomicBool>);

impl Stop {
    /// The optimised plan, with windows that look at this.
    pub(crate) fn seen_by_windows(&self, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        plan.transform_up_with_subqueries(|node| match node {
            LogicalPlan::Window(_) => {
                node.map_expressions(|expression| expression.transform_up(|part| Ok(self.seen_by(part))))
            }
            _ => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn seen_by(&self, expression: Expr) -> Transformed<Expr> {
        let Expr::WindowFunction(mut call) = expression else { return Transformed::no(expression) };
        call.fun = match call.fun {
            WindowFunctionDefinition::AggregateUDF(function) => {
                WindowFunctionDefinition::AggregateUDF(functions::aggregate(&function, self))
            }
            WindowFunctionDefinition::WindowUDF(function) => {
                WindowFunctionDefinition::WindowUDF(functions::window(&function, self))
            }
        };
        Transformed::yes(Expr::WindowFunction(call))
    }

    /// The stream, which says that it is not wanted any more when it is dropped.
    pub(crate) fn on_drop(self, batches: SendableRecordBatchStream) -> SendableRecordBatchStream {
        let (schema, dropped) = (batches.schema(), Dropped(self));
        let batches = batches.map(move |batch| {
            let _kept = &dropped;
            batch
        });
        Box::pin(RecordBatchStreamAdapter::new(schema, batches))
    }

    /// An error, which nobody reads, where the answer is not wanted any more.
    fn look(&self) -> DataFusionResult<()> {
        if self.0.load(Ordering::Relaxed) { exec_err!("the answer is not wanted any more") } else { Ok(()) }
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Stop")
    }
}

/// Functions are the same whoever stops them.
impl PartialEq for Stop {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Stop {}

impl Hash for Stop {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

struct Dropped(Stop);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Relaxed);
    }
}
