//! The rules by which a session's plans are optimised: DataFusion's, of which some are kept from what would make a statement fail
//! that does not fail when it is taken word by word.
//!
//! What is computed may fail: a division by zero, a text that is no number. Taken word by word a statement computes it on the rows
//! that its clauses bring there and on no other. DataFusion (55.2) moves conditions and columns for speed to where there are more
//! rows: below joins, beside or before the condition that kept a row away, out of the branch of a CASE. There a row fails which
//! the statement never reaches. So [`fallible`] tells what can't fail on any row at all, and that alone is moved:
//!
//! | rule | what is kept from it | by |
//! |---|---|---|
//! | `simplify_expressions` | that a constant fails while the statement is planned, that the branches of a CASE become AND and OR | [`constants`], [`guards`] |
//! | `extract_equijoin_predicate` | to compute a key on each row of a side | [`keys`] |
//! | `eliminate_cross_join` | the same for a condition of WHERE, which stands apart by then, and to turn the conditions of several joins around | [`conditions`], [`links`] |
//! | `push_down_filter` | to move a condition, to merge it with another, to change their order | [`conditions`] |
//! | `common_sub_expression_eliminate` | to compute the argument of an aggregate on rows that its FILTER leaves out | [`shared`] |
//! | `FilterPushdown` | to merge conditions again | [`physical`] |
//! | `ProjectionPushdown` | to compute a column before the condition or the LIMIT above which it stands | [`physical`] |
//!
//! Before all of them [`numbers`] writes a constant beside decimals as a decimal (decision 0071): a rule of the analyser's, which brings
//! types together.
//!
//! The other rules of the pinned version only leave rows out earlier, or compute on the same ones. What can't fail, which is nearly
//! everything, is moved as ever. What is promised and what is not stands in decision 0053.

mod conditions;
mod constants;
mod fallible;
mod guards;
mod keys;
mod links;
mod numbers;
mod physical;
mod shared;

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::execution::session_state::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::{Expr, Join, LogicalPlan};
use datafusion::optimizer::{Analyzer, AnalyzerRule, Optimizer, OptimizerRule};

use conditions::{Apart, Conditions};
use constants::Constants;
use keys::Keys;
use numbers::Numbers;
use shared::Shared;

pub(crate) use physical::kept;

/// A logical rule.
type Rule = Arc<dyn OptimizerRule + Send + Sync>;

/// The names under which the pinned DataFusion has the rules that are kept from something.
const SIMPLIFY: &str = "simplify_expressions";
const EXTRACT_KEYS: &str = "extract_equijoin_predicate";
const CROSS_JOIN: &str = "eliminate_cross_join";
const PUSH_DOWN: &str = "push_down_filter";
const SHARE: &str = "common_sub_expression_eliminate";

/// When the key of a join is computed that may fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FallibleKeys {
    /// On each row of its side, where nothing stands before it in the join's condition and no other key joins the two: word by word
    /// it is computed on each of these rows as well, if the other side has any. Such a join is made by hashing.
    Early,
    /// On pairs of rows alone, as the words have it. Such a join compares each row with each.
    Reached,
}

/// The rules by which the types of a plan are brought together: ours before DataFusion's.
pub(crate) fn analyzer_rules() -> Vec<Arc<dyn AnalyzerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn AnalyzerRule + Send + Sync>> = vec![Arc::new(Numbers)];
    rules.extend(Analyzer::new().rules);
    rules
}

/// The rules of a session's logical optimiser, in DataFusion's order.
pub(crate) fn logical_rules(keys: FallibleKeys) -> Vec<Rule> {
    let mut rules: Vec<Rule> = Vec::new();
    for rule in Optimizer::new().rules {
        match rule.name() {
            SIMPLIFY => rules.push(Arc::new(Constants::of(rule))),
            EXTRACT_KEYS => rules.push(Arc::new(Keys::of(rule, keys))),
            CROSS_JOIN => {
                rules.push(Arc::new(Apart::before(keys)));
                rules.push(rule);
            }
            PUSH_DOWN => rules.push(Arc::new(Conditions::of(rule))),
            SHARE => rules.push(Arc::new(Shared::of(rule))),
            _ => rules.push(rule),
        }
    }
    rules
}

/// The same state, in which no key of a join is computed on a row that the statement does not reach.
pub(crate) fn word_by_word(state: &SessionState) -> SessionState {
    // The states share their catalogue. A state that is built with a default catalogue would put an empty one in its place.
    let config = state.config().clone().with_create_default_catalog_and_schema(false);
    SessionStateBuilder::new_from_existing(state.clone())
        .with_config(config)
        .with_optimizer_rules(logical_rules(FallibleKeys::Reached))
        .build()
}

/// Whether a part of an expression can't fail on any row, given that those it is made of don't.
pub(crate) fn is_total(part: &Expr, schema: &DFSchema) -> bool {
    fallible::is_total(part, schema)
}

/// Whether an optimised plan computes a key that may fail on each row of a join's side.
pub(crate) fn has_early_key(plan: &LogicalPlan) -> bool {
    let is_early = |join: &Join| {
        join.on.iter().any(|(left, right)| {
            fallible::may_fail(left, join.left.schema()) || fallible::may_fail(right, join.right.schema())
        })
    };
    let mut is_found = false;
    let walked = plan.apply_with_subqueries(|node| {
        is_found = matches!(node, LogicalPlan::Join(join) if is_early(join));
        Ok(if is_found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    is_found || walked.is_err()
}

#[cfg(test)]
mod tests;
