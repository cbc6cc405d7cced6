//! `EXPLAIN`: a consumer's statement as the engine understood it.
//!
//! It shows the consumer's own words as a plan that no rule has touched, and of the governed table its name and the columns
//! that the statement needs of it. What the engine would make of it is not told: a plan that rules have worked on says which
//! conditions may be evaluated below the barrier and which side of a join is thought to be the smaller, and what stands below
//! the barrier is not the consumer's at all. Nothing is read. A statement that would be refused is refused here as well.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::common::format::ExplainStatementOptions;
use datafusion::common::tree_node::{TreeNodeRecursion, TreeNodeVisitor};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimizer::Optimizer;
use datafusion::sql::parser::Statement;
use lingqu_domain::lineage::{AnswerColumn, AnswerLineage};

use crate::allow::{Refusal, RefusalCode};
use crate::predicate::column;

/// The one column of the answer, as PostgreSQL names it.
const PLAN_COLUMN: &str = "QUERY PLAN";
/// The name that the planner gives to the only column of a list of rows.
const VALUES_COLUMN: &str = "column1";
/// Most lines of a plan; what is more is not shown.
const LINES_MAX: usize = 1_000;
/// Longest line of a plan, in characters; what is more is not shown.
const LINE_CHARACTERS_MAX: usize = 4_000;
/// What stands for lines and characters that are not shown.
const MORE: &str = "…";

/// The statement that an `EXPLAIN` is of, and true; any other as it is, and false. Refused: what would run the statement, tell
/// more of it, or write it another way.
pub(crate) fn taken_out(statement: Statement) -> Result<(Statement, bool), Refusal> {
    match statement {
        Statement::Explain(explain) if explain.options != ExplainStatementOptions::default() => {
            let what = "EXPLAIN shows how a SELECT statement was understood and nothing else; leave out ANALYZE, VERBOSE, \
                        FORMAT and the other options";
            Err(Refusal::new(RefusalCode::StatementNotAllowed, what))
        }
        Statement::Explain(explain) => Ok((*explain.statement, true)),
        other => Ok((other, false)),
    }
}

/// A plan that answers with the text of another: `plan` is the statement's as it was written, `analysed` the same with its
/// types brought together.
pub(crate) fn told(state: &SessionState, plan: &LogicalPlan, analysed: &LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let rows = lines(plan, columns_needed(state, analysed))?.into_iter().map(|line| vec![lit(line)]).collect();
    LogicalPlanBuilder::values(rows)?.project([column(VALUES_COLUMN).alias(PLAN_COLUMN)])?.build()
}

/// Where the text of a plan comes from: from no column.
pub(crate) fn lineage() -> AnswerLineage {
    let text = AnswerColumn { from: BTreeSet::new(), computed: true };
    AnswerLineage { columns: vec![text], ..AnswerLineage::default() }
}

/// The columns that each scan of a plan needs, in the order in which they stand in it. Nothing where that can't be said:
/// then the scan may need all.
fn columns_needed(state: &SessionState, analysed: &LogicalPlan) -> Vec<Vec<String>> {
    let optimizer = Optimizer::with_rules(vec![Arc::new(OptimizeProjections::new())]);
    let Ok(narrowed) = optimizer.optimize(analysed.clone(), state, |_, _| {}) else { return Vec::new() };
    let mut needed = Vec::new();
    let walked = narrowed.apply_with_subqueries(|node| {
        if let LogicalPlan::TableScan(scan) = node {
            needed.push(scan.projected_schema.fields().iter().map(|field| field.name().clone()).collect());
        }
        Ok(TreeNodeRecursion::Continue)
    });
    if walked.is_err() || needed.len() != scan_count(analysed) {
        return Vec::new();
    }
    needed
}

fn scan_count(plan: &LogicalPlan) -> usize {
    let mut count = 0;
    let walked = plan.apply_with_subqueries(|node| {
        count += usize::from(matches!(node, LogicalPlan::TableScan(_)));
        Ok(TreeNodeRecursion::Continue)
    });
    debug_assert!(walked.is_ok(), "the visit itself does not fail");
    count
}

fn lines(plan: &LogicalPlan, needed: Vec<Vec<String>>) -> DataFusionResult<Vec<String>> {
    let mut writer = Writer { lines: Vec::new(), depth: 0, needed: needed.into_iter() };
    plan.visit_with_subqueries(&mut writer)?;
    Ok(writer.lines)
}

/// Writes a line for each node, two blanks deeper than the node above it.
struct Writer {
    lines: Vec<String>,
    depth: usize,
    needed: std::vec::IntoIter<Vec<String>>,
}

impl TreeNodeVisitor<'_> for Writer {
    type Node = LogicalPlan;

    fn f_down(&mut self, node: &LogicalPlan) -> DataFusionResult<TreeNodeRecursion> {
        if self.lines.len() == LINES_MAX {
            self.lines.push(MORE.to_owned());
            return Ok(TreeNodeRecursion::Stop);
        }
        let text = match node {
            // Written here, not by the scan: what a scan would say of itself is another's to decide.
            LogicalPlan::TableScan(scan) => {
                let all = || scan.projected_schema.fields().iter().map(|field| field.name().clone()).collect();
                let columns = self.needed.next().unwrap_or_else(all);
                format!("Table: {}, columns=[{}]", scan.table_name, columns.join(", "))
            }
            other => other.display().to_string(),
        };
        self.lines.push(format!("{}{}", "  ".repeat(self.depth), bounded(&text)));
        self.depth += 1;
        Ok(TreeNodeRecursion::Continue)
    }

    fn f_up(&mut self, _node: &LogicalPlan) -> DataFusionResult<TreeNodeRecursion> {
        self.depth = self.depth.saturating_sub(1);
        Ok(TreeNodeRecursion::Continue)
    }
}

/// One line of a bounded length. A text of the statement may hold what would begin another.
fn bounded(text: &str) -> String {
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LINE_CHARACTERS_MAX {
            line.push_str(MORE);
            break;
        }
        line.push(if character.is_control() { ' ' } else { character });
    }
    line
}
