//! Subqueries that depend on the row outside, which DataFusion (55.2) would answer wrongly.
//!
//! It answers such a subquery by a join: what the subquery asks of the row outside becomes the join's condition, and is brought up there
//! past all that stands between. That is right past what hands rows on as they are, and past groups, which it makes for each value
//! outside. It is wrong past what looks at several rows, or at none: a window would see the rows of all values, OFFSET would go, a row that
//! an outer join makes up would be asked what no row of the subquery was asked. DataFusion knows some of these places and fails; at the
//! others such a statement is refused here. What is refused can be written with a join of its own.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Distinct, Expr, FetchType, JoinType, LogicalPlan, SkipType, Subquery};

use crate::allow::{Refusal, RefusalCode};

/// What a subquery is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether it has a row.
    Existence,
    /// Whether a value is among its own.
    Membership,
    /// Its value, or its rows beside those outside.
    Rows,
}

/// Refuses a plan with a subquery in which something stands between the row outside and what is asked of it.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut between = None;
    let walked = plan.apply_with_subqueries(|node| {
        if let LogicalPlan::Subquery(lateral) = node {
            look(lateral, Asked::Rows, &mut between)?;
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                match part {
                    Expr::Exists(asked) => look(&asked.subquery, Asked::Existence, &mut between)?,
                    Expr::InSubquery(asked) => look(&asked.subquery, Asked::Membership, &mut between)?,
                    Expr::SetComparison(asked) => look(&asked.subquery, Asked::Membership, &mut between)?,
                    Expr::ScalarSubquery(asked) => look(asked, Asked::Rows, &mut between)?,
                    _ => {}
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })?;
        Ok(if between.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (walked, between) {
        (Ok(_), None) => Ok(()),
        (_, between) => Err(Refusal::new(
            RefusalCode::ClauseNotAllowed,
            format!(
                "a subquery can't ask something of the row outside below {}; ask it outside, or write a join",
                between.unwrap_or("what it is made of")
            ),
        )),
    }
}

fn look(subquery: &Subquery, asked: Asked, between: &mut Option<&'static str>) -> DataFusionResult<()> {
    let mut look = Look { asked, has_asked: false, between: None };
    look.node(&subquery.subquery, true)?;
    *between = between.or(look.between);
    Ok(())
}

struct Look {
    asked: Asked,
    /// Whether a node that was seen before asks something of the row outside.
    has_asked: bool,
    /// What stands where it must not.
    between: Option<&'static str>,
}

impl Look {
    /// Whether a node or one below it asks something of the row outside. `is_last`: what is above it hands on its rows as they are.
    /// Nodes are seen in the order in which DataFusion brings conditions up.
    fn node(&mut self, node: &LogicalPlan, is_last: bool) -> DataFusionResult<bool> {
        // What stands in a query of its own is asked of the rows around that.
        if matches!(node, LogicalPlan::Subquery(_)) {
            return Ok(false);
        }
        let hands_on = matches!(
            node,
            LogicalPlan::Projection(_)
                | LogicalPlan::SubqueryAlias(_)
                | LogicalPlan::Sort(_)
                | LogicalPlan::Limit(_)
                | LogicalPlan::Distinct(Distinct::All(_))
        );
        let mut below = Vec::new();
        for input in node.inputs() {
            below.push(self.node(input, is_last && hands_on)?);
        }
        let has_below = below.contains(&true);
        let between = match node {
            LogicalPlan::Window(_) if has_below => Some("a window function"),
            LogicalPlan::Distinct(Distinct::On(_)) if has_below => Some("DISTINCT ON"),
            LogicalPlan::Aggregate(aggregate) if has_below => {
                let is_of_sets = aggregate.group_expr.iter().any(|by| matches!(by, Expr::GroupingSet(_)));
                // It has a row where no row is left, which a join of the two sides does not have.
                let is_of_all = self.asked != Asked::Rows && aggregate.group_expr.is_empty();
                match (is_of_sets, is_of_all) {
                    (true, _) => Some("GROUPING SETS, ROLLUP or CUBE"),
                    (false, true) => Some("an aggregate without GROUP BY"),
                    (false, false) => None,
                }
            }
            LogicalPlan::Join(join) => {
                let (left, right) = match join.join_type {
                    JoinType::Inner => (false, false),
                    JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => (false, true),
                    JoinType::Right | JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => (true, false),
                    JoinType::Full => (true, true),
                };
                let is_asked = (left && below[0]) || (right && below[1]);
                is_asked.then_some("the side of a join that may have no row")
            }
            LogicalPlan::Limit(limit) if self.asked == Asked::Existence => {
                let skips = !matches!(limit.get_skip_type()?, SkipType::Literal(0));
                // DataFusion leaves it out wherever something was asked before.
                let is_left_out = has_below || self.has_asked;
                let takes = !matches!(limit.get_fetch_type()?, FetchType::Literal(None));
                let matters = skips || (takes && !(is_last && has_below));
                (is_left_out && matters).then_some("LIMIT or OFFSET")
            }
            _ => None,
        };
        self.between = self.between.or(between);
        let asks = node.contains_outer_reference();
        self.has_asked |= asks;
        Ok(asks || has_below)
    }
}
