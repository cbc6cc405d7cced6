//! How many rows a part of a plan is expected to yield, by how many are visible in its tables and by its form.
//!
//! A join on equal keys is taken for one of a key with what refers to it: each row of the larger table finds its one row of the
//! smaller, unless conditions took that away. So it yields the product of what its sides yield, divided by the rows of the smaller
//! of their tables (P. G. Selinger et al., "Access Path Selection in a Relational Database Management System", SIGMOD 1979, with that
//! for the number of keys).

use datafusion::common::JoinType;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::aggregates::AggregateExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{CrossJoinExec, HashJoinExec, NestedLoopJoinExec};
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::union::UnionExec;

use crate::barrier::BarrierExec;

/// What is expected of a part of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Expected {
    /// Rows that it yields.
    pub(super) rows: f64,
    /// Rows of the largest table that it reads, before any condition.
    table: f64,
    /// Whether the conditions upon it are counted already.
    is_asked: bool,
}

/// None where a table's visible rows are not known.
pub(super) fn expected(plan: &dyn ExecutionPlan) -> Option<Expected> {
    if let Some(barrier) = plan.downcast_ref::<BarrierExec>() {
        let (visible, share) = (rows(barrier.rows_visible()?), barrier.share());
        return Some(Expected { rows: visible * share, table: visible.max(1.0), is_asked: share < 1.0 });
    }
    let below = |at: usize| expected(plan.children().get(at)?.as_ref());
    if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        let input = below(0)?;
        let share = if input.is_asked { 1.0 } else { f64::from(filter.default_selectivity()) / 100.0 };
        return Some(Expected { rows: input.rows * share, ..input });
    }
    if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        let input = below(0)?;
        let rows = if aggregate.group_expr().is_empty() { 1.0 } else { input.rows };
        return Some(Expected { rows, is_asked: false, ..input });
    }
    if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        return Some(joined(*join.join_type(), below(0)?, below(1)?));
    }
    if plan.downcast_ref::<CrossJoinExec>().is_some() || plan.downcast_ref::<NestedLoopJoinExec>().is_some() {
        let (left, right) = (below(0)?, below(1)?);
        return Some(Expected { rows: left.rows * right.rows, table: left.table * right.table, is_asked: false });
    }
    if plan.downcast_ref::<UnionExec>().is_some() {
        let together = |sum: Expected, part: Expected| Expected {
            rows: sum.rows + part.rows,
            table: sum.table + part.table,
            is_asked: false,
        };
        let parts: Option<Vec<Expected>> = plan.children().iter().map(|part| expected(part.as_ref())).collect();
        return parts?.into_iter().reduce(together);
    }
    match plan.children().len() {
        0 => {
            let told = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
            let rows = rows(*told.num_rows.get_value()?);
            Some(Expected { rows, table: rows.max(1.0), is_asked: false })
        }
        1 => {
            let input = below(0)?;
            Some(Expected { rows: plan.fetch().map_or(input.rows, |most| input.rows.min(rows(most))), ..input })
        }
        _ => None,
    }
}

fn joined(kind: JoinType, left: Expected, right: Expected) -> Expected {
    let keys = left.table.min(right.table);
    let matching = left.rows * right.rows / keys;
    let rows = match kind {
        JoinType::Inner => matching,
        JoinType::Left => matching.max(left.rows),
        JoinType::Right => matching.max(right.rows),
        JoinType::Full => matching.max(left.rows).max(right.rows),
        JoinType::LeftSemi => matching.min(left.rows),
        JoinType::RightSemi => matching.min(right.rows),
        JoinType::LeftAnti | JoinType::LeftMark => left.rows,
        JoinType::RightAnti | JoinType::RightMark => right.rows,
    };
    Expected { rows, table: left.table.max(right.table), is_asked: false }
}

/// A number of rows as one to reckon with.
#[expect(clippy::cast_precision_loss, reason = "an expectation")]
pub(super) fn rows(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn of(rows: f64, table: f64) -> Expected {
        Expected { rows, table, is_asked: false }
    }

    #[test]
    fn a_join_yields_a_row_for_each_that_refers_to_one_which_is_left() {
        let (customers, orders, lines) = (of(150.0, 150.0), of(1_500.0, 1_500.0), of(6_000.0, 6_000.0));
        let ordered = joined(JoinType::Inner, customers, orders);
        assert_eq!(ordered, of(1_500.0, 1_500.0));
        assert_eq!(joined(JoinType::Inner, ordered, lines), of(6_000.0, 6_000.0));
        // A tenth of the customers is left, and so is a tenth of what is theirs, whichever side they stand on.
        let few = joined(JoinType::Inner, of(15.0, 150.0), orders);
        assert_eq!((few.rows, joined(JoinType::Inner, lines, few).rows), (150.0, 600.0));
    }

    #[test]
    fn what_is_kept_of_a_side_is_never_more_than_the_side_and_what_is_filled_up_never_less() {
        let (left, right) = (of(10.0, 100.0), of(400.0, 400.0));
        let rows = |kind| joined(kind, left, right).rows;
        assert_eq!((rows(JoinType::LeftSemi), rows(JoinType::RightSemi)), (10.0, 40.0));
        assert_eq!((rows(JoinType::LeftAnti), rows(JoinType::RightMark)), (10.0, 400.0));
        assert_eq!((rows(JoinType::Left), rows(JoinType::Right), rows(JoinType::Full)), (40.0, 400.0, 400.0));
    }
}
