//! How joins are made: by hashing the side that is expected to be smaller, and where that does not fit into a query's memory by
//! sorting both sides, which spills ([`sorted`], with [`keys`] that make no difference, and [`not_in`]).
//!
//! Of governed tables nothing is told but how many rows are visible. DataFusion 55 takes each row for another key then, and believes
//! joins of joins to be far smaller than they are. [`SmallerSide`] chooses again, by what [`expected`] makes of the same figure.
//! Joins that compare each row with each end where one side does not fit ([`once`]), and are made again block by block ([`pairs`]).

mod expected;
mod keys;
mod not_in;
mod once;
mod pairs;
mod sorted;

use std::sync::Arc;

use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_optimizer::optimizer::PhysicalOptimizer;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::joins::{HashJoinExec, PartitionMode};

use crate::BATCH_ROWS;
use crate::rules::kept;
use expected::{expected, rows};
use once::LeftOnce;
use sorted::SortedJoins;

/// The rule after which ours run: it chooses sides by statistics, and what follows it puts sorts and partitions where the joins
/// need them.
const CHOOSING: &str = "join_selection";

/// Rows of a batch while joins sort. What is spilled is merged with two batches of each file in memory, which the sort of the other side
/// must leave room for.
const SORTED_BATCH_ROWS: usize = BATCH_ROWS / 8;

/// DataFusion's physical rules with ours among them.
pub(crate) fn physical_rules() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    with_rule(Arc::new(SmallerSide))
}

/// The same state with joins that spill, on one thread: each partition would take a part of the memory for sorts of its own.
pub(crate) fn by_sorting(state: &SessionState) -> SessionState {
    // The states share their catalogue. A state that is built with a default catalogue would put an empty one in its place,
    // and the session's next statement would find no table.
    let mut config = state
        .config()
        .clone()
        .with_target_partitions(1)
        .with_batch_size(SORTED_BATCH_ROWS)
        .with_create_default_catalog_and_schema(false);
    config.options_mut().optimizer.prefer_hash_join = false;
    SessionStateBuilder::new_from_existing(state.clone())
        .with_config(config)
        .with_physical_optimizer_rules(with_rule(Arc::new(SortedJoins)))
        .build()
}

/// DataFusion's physical rules and all of ours, whenever they are used, and of DataFusion's also those that ours stand for.
#[cfg(test)]
pub(crate) fn every_rule() -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules = physical_rules();
    rules.push(Arc::new(SortedJoins));
    let ours: Vec<String> = rules.iter().map(|rule| format!("{rule:?}")).collect();
    rules.extend(PhysicalOptimizer::new().rules.into_iter().filter(|rule| !ours.contains(&format!("{rule:?}"))));
    rules
}

fn with_rule(ours: Arc<dyn PhysicalOptimizerRule + Send + Sync>) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    let mut rules: Vec<_> = PhysicalOptimizer::new().rules.into_iter().map(kept).collect();
    let at = rules.iter().position(|rule| rule.name() == CHOOSING).map_or(rules.len(), |at| at + 1);
    rules.insert(at, ours);
    rules.push(Arc::new(LeftOnce));
    rules
}

/// Builds the table of a hash join of the side that is expected to have fewer rows, whole for all partitions where they are few.
#[derive(Debug)]
struct SmallerSide;

impl PhysicalOptimizerRule for SmallerSide {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let few = match config.execution.target_partitions {
            1 => f64::MAX,
            _ => rows(config.optimizer.hash_join_single_partition_threshold_rows),
        };
        plan.transform_up(|node| match node.downcast_ref::<HashJoinExec>() {
            Some(join) => side_chosen(join, few).map(|chosen| chosen.map_or(Transformed::no(node), Transformed::yes)),
            None => Ok(Transformed::no(node)),
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "smaller_side"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// The join with its sides as they are expected to be best; none where it is so already, and where nothing can be told.
fn side_chosen(join: &HashJoinExec, few: f64) -> DataFusionResult<Option<Arc<dyn ExecutionPlan>>> {
    let sides = (expected(join.left().as_ref()), expected(join.right().as_ref()));
    let (Some(left), Some(right)) = sides else { return Ok(None) };
    if join.null_aware || join.contains_projection() {
        return Ok(None);
    }
    let is_swapped = right.rows < left.rows && join.join_type().supports_swap();
    let built = if is_swapped { right.rows } else { left.rows };
    let mode = if built < few { PartitionMode::CollectLeft } else { PartitionMode::Partitioned };
    if is_swapped {
        return join.swap_inputs(mode).map(Some);
    }
    if mode == *join.partition_mode() {
        return Ok(None);
    }
    Ok(Some(Arc::new(join.builder().with_partition_mode(mode).build()?)))
}

#[cfg(test)]
mod tests;
