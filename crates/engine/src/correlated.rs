//! Subqueries that depend on the row outside, which DataFusion (55.2) would answer wrongly.
//!
//! It answers such a subquery by a join: what the subquery asks of the row outside becomes the join's condition, and is brought up there
//! past all that stands between. That is right past what hands rows on as they are, and past groups, which it makes by the columns that are
//! asked to equal what is outside. It is wrong past what looks at several rows, or at none: a window would see the rows of all values,
//! OFFSET would go, a row that an outer join makes up would be asked what no row of the subquery was asked. Groups by a column are too many
//! where not the column is compared but what is computed of it. And the row of nothing, which an aggregate over the whole has, is made up by
//! an outer join at the end, so nothing but names may come between. DataFusion knows some of these places and fails; at the others such a
//! statement is refused here. What is refused can be written with a join of its own.

use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{
    BinaryExpr, Distinct, Expr, ExprSchemable, FetchType, JoinType, LogicalPlan, Operator, SkipType, Subquery,
};

use crate::allow::{Refusal, RefusalCode};

/// A group or DISTINCT of which not a column is compared, but something else.
const COMPUTED: &str = "groups or DISTINCT, but that a column as it is equals a value of its own type";

/// What a subquery is asked for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// Whether it has a row.
    Existence,
    /// Whether a value is among its own.
    Membership,
    /// Its only value.
    Value,
    /// Its rows, beside those outside.
    Rows,
}

/// Refuses a plan with a subquery in which something stands between the row outside and what is asked of it.
pub(crate) fn check(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut between = None;
    let walked = plan.apply_with_subqueries(|node| {
        for input in node.inputs() {
            let input = if let LogicalPlan::SubqueryAlias(alias) = input { &*alias.input } else { input };
            if let LogicalPlan::Subquery(lateral) = input {
                look(lateral, Asked::Rows, &mut between)?;
            }
        }
        node.apply_expressions(|expr| {
            expr.apply(|part| {
                match part {
                    Expr::Exists(asked) => look(&asked.subquery, Asked::Existence, &mut between)?,
                    Expr::InSubquery(asked) => look(&asked.subquery, Asked::Membership, &mut between)?,
                    Expr::SetComparison(asked) => look(&asked.subquery, Asked::Membership, &mut between)?,
                    Expr::ScalarSubquery(asked) => look(asked, Asked::Value, &mut between)?,
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
    let mut look = Look { asked, has_asked: false, asks_columns: true, between: None };
    look.node(&subquery.subquery, Above { hands_on: true, names: true })?;
    *between = between.or(look.between);
    Ok(())
}

/// What all that stands above a node does with its rows.
#[derive(Clone, Copy)]
struct Above {
    /// It hands them on as they are.
    hands_on: bool,
    /// It only names them; for a value, it may leave one out as well.
    names: bool,
}

struct Look {
    asked: Asked,
    /// Whether a node that was seen before asks something of the row outside.
    has_asked: bool,
    /// Whether all that was asked is that columns equal what is outside.
    asks_columns: bool,
    /// What stands where it must not.
    between: Option<&'static str>,
}

impl Look {
    /// Whether a node or one below it asks something of the row outside. Nodes are seen in the order in which DataFusion brings conditions up.
    fn node(&mut self, node: &LogicalPlan, above: Above) -> DataFusionResult<bool> {
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
        let names = matches!(node, LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_))
            || (self.asked == Asked::Value
                && matches!(node, LogicalPlan::Filter(_))
                && !node.contains_outer_reference());
        let to_below = Above { hands_on: above.hands_on && hands_on, names: above.names && names };
        let mut below = Vec::new();
        for input in node.inputs() {
            below.push(self.node(input, to_below)?);
        }
        let has_below = below.contains(&true);
        let between = match node {
            LogicalPlan::Window(_) if has_below => Some("a window function"),
            LogicalPlan::Distinct(Distinct::On(_)) if has_below => Some("DISTINCT ON"),
            LogicalPlan::Aggregate(aggregate) if has_below => {
                let is_of_sets = aggregate.group_expr.iter().any(|by| matches!(by, Expr::GroupingSet(_)));
                // It has a row where no row is left, which a join of the two sides does not have.
                let has_row_of_nothing = match self.asked {
                    Asked::Existence | Asked::Membership => true,
                    Asked::Value | Asked::Rows => !above.names,
                };
                // Its groups are made by the columns that are asked about. Whether there are any is told by more of them as well.
                let needs_columns = !aggregate.aggr_expr.is_empty() || matches!(self.asked, Asked::Value | Asked::Rows);
                if is_of_sets {
                    Some("GROUPING SETS, ROLLUP or CUBE")
                } else if aggregate.group_expr.is_empty() && has_row_of_nothing {
                    Some("an aggregate without GROUP BY")
                } else if needs_columns && !self.asks_columns {
                    Some(COMPUTED)
                } else {
                    None
                }
            }
            // DataFusion makes the whole beside the rows outside of any aggregate that comes after something was asked.
            LogicalPlan::Aggregate(aggregate) if self.asked == Asked::Rows && self.has_asked => {
                aggregate.group_expr.is_empty().then_some("an aggregate without GROUP BY")
            }
            LogicalPlan::Distinct(Distinct::All(_))
                if has_below && !self.asks_columns && matches!(self.asked, Asked::Value | Asked::Rows) =>
            {
                Some(COMPUTED)
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
                let matters = skips || (takes && !(above.hands_on && has_below));
                (is_left_out && matters).then_some("LIMIT or OFFSET")
            }
            _ => None,
        };
        self.between = self.between.or(between);
        let asks = node.contains_outer_reference();
        if let LogicalPlan::Filter(filter) = node {
            let parts = split_conjunction(&filter.predicate);
            let mut asking = parts.into_iter().filter(|part| part.contains_outer());
            self.asks_columns &= asking.all(|part| asks_a_column(part, filter.input.schema()));
        }
        self.has_asked |= asks;
        Ok(asks || has_below)
    }
}

/// Whether a condition is that a column equals what is outside, so that equal values of the column are one group and others are not.
fn asks_a_column(condition: &Expr, schema: &DFSchema) -> bool {
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return false };
    let (column, other) = match (&**left, &**right) {
        (Expr::Column(_), other) if !other.any_column_refs() => (left, right),
        (other, Expr::Column(_)) if !other.any_column_refs() => (right, left),
        _ => return false,
    };
    let (Ok(column), Ok(other)) = (column.get_type(schema), other.get_type(schema)) else { return false };
    // Where types differ one side is cast: of these no two values of a column become one.
    let is_exact = |of: &DataType| of.is_integer() || of.is_decimal();
    column == other
        || other.is_null()
        || (is_exact(&column) && is_exact(&other))
        || (column.is_string() && other.is_string())
        || (column.is_temporal() && other.is_temporal())
}
