//! The lineage of an answer: the walk of [`super::Walk`] over a consumer's statement.
//!
//! The statement is over governed tables, so the walk ends at the product's columns. What it does not understand is no
//! reason to refuse an allowed statement: then the answer is said to come from every column that the session shows.

use datafusion::logical_expr::LogicalPlan;
use lingqu_domain::lineage::{AnswerColumn, AnswerLineage};
use lingqu_domain::scope::ColumnName;
use std::collections::BTreeSet;

use super::{InputColumn, Traced, Walk};
use crate::allow::Granted;

/// Where the answer of a checked, unoptimised plan comes from. The plan was just made; walking it once more costs a small
/// part of making it, so nothing is kept for a statement that is asked again.
pub(crate) fn of_answer(plan: &LogicalPlan, granted: &Granted) -> AnswerLineage {
    let mut walk = Walk { conditions: BTreeSet::new(), outer: Vec::new() };
    let Ok(traced) = walk.node(plan) else { return AnswerLineage::at_most(all_of(granted)) };
    let columns = traced.into_iter().map(column_of).collect();
    AnswerLineage { columns, conditions: names_of(walk.conditions), at_most: false }.bounded()
}

fn column_of(traced: Traced) -> AnswerColumn {
    AnswerColumn { from: names_of(traced.sources), computed: traced.computed }
}

/// The columns by name alone: a session has one table.
fn names_of(columns: BTreeSet<InputColumn>) -> BTreeSet<ColumnName> {
    columns.into_iter().map(|column| column.column).collect()
}

fn all_of(granted: &Granted) -> BTreeSet<ColumnName> {
    granted.values().flatten().filter_map(|name| ColumnName::new(name.as_str()).ok()).collect()
}
