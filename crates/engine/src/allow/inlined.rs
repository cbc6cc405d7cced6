//! How large conditions are once each column in them is written out as what it is computed of.
//!
//! DataFusion (55.2) moves a condition below the SELECT above which it stands, in terms of that SELECT's expressions, and so on
//! down to the tables: of `WHERE a > 0` above twenty times `SELECT a + a AS a` it makes a million terms, of forty more than there is
//! memory, which no pool bounds. The size is reckoned on the plan as it was written, where each expression stands once. What a
//! subquery is made of counts where it is multiplied by what stands around it.

use std::collections::HashMap;

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Case, Distinct, Expr, JoinType, LogicalPlan, Operator};

use super::{Refusal, RefusalCode};

/// Most parts of all conditions of a statement, written out.
const PARTS_MAX: u64 = 16_384;
/// What a step of a subquery's plan counts as: it is planned, and read, for each time that it stands there.
const STEP_PARTS: u64 = 32;
/// Functions of which a CASE is made that has their arguments twice, but for the last one.
const DOUBLING: &[&str] = &["coalesce", "nvl"];
/// Functions of which a comparison becomes one of their argument with the ends of a range.
const UNDONE: &[&str] = &["floor", "date_part"];
/// A column that is IN so many values at most is compared with each.
const VALUES_TAKEN_APART: usize = 3;
/// A CASE of truth values with fewer branches than this becomes AND and OR.
const BRANCHES_TAKEN_APART: usize = 3;

/// Refuses a plan whose conditions are too large when they are written out.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), Refusal> {
    let mut sizes = Sizes::default();
    let what = match sizes.columns(plan) {
        Ok(_) if sizes.total <= PARTS_MAX => return Ok(()),
        Ok(_) => format!(
            "the conditions of the statement have more than {PARTS_MAX} parts where each column stands for what it is computed of; compute in fewer steps, or ask for a step in a statement of its own"
        ),
        Err(_) => "the statement can't be walked; simplify it".to_owned(),
    };
    Err(Refusal::new(RefusalCode::StatementTooLarge, what))
}

/// How often what stands at a place of an expression stands in what the rules make of it, at most: of COALESCE, and NVL which is the
/// same, a CASE is made that has each argument twice but for the last, of BETWEEN two comparisons, of IN with few values one for each, of a
/// comparison of FLOOR or DATE_PART up to three of what that is of, and of a CASE of truth values a chain of AND and OR that asks a
/// condition for its own branch and for those behind it.
pub(super) fn copied(expr: &Expr, place: usize) -> u64 {
    match expr {
        Expr::Between(between) if place == 0 => 2 * undone(&between.expr),
        Expr::InList(within) if place == 0 && within.list.len() <= VALUES_TAKEN_APART => {
            within.list.len() as u64 * undone(&within.expr)
        }
        Expr::BinaryExpr(pair) if is_comparison(pair.op) => undone(if place == 0 { &pair.left } else { &pair.right }),
        Expr::ScalarFunction(call) if DOUBLING.contains(&call.func.name()) && place + 1 < call.args.len() => 2,
        Expr::Case(case) if is_condition(case, place) && may_be_taken_apart(case) => 3,
        _ => 1,
    }
}

/// How often what such functions are of stands in a comparison once they are undone, one within another.
fn undone(expr: &Expr) -> u64 {
    match expr {
        Expr::ScalarFunction(call) if UNDONE.contains(&call.func.name()) => {
            call.args.iter().map(undone).fold(3, u64::saturating_mul)
        }
        Expr::Cast(cast) => undone(&cast.expr),
        Expr::TryCast(cast) => undone(&cast.expr),
        _ => 1,
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Whether a WHEN stands at a place of a CASE that compares with nothing.
fn is_condition(case: &Case, place: usize) -> bool {
    case.expr.is_none() && place.is_multiple_of(2) && place / 2 < case.when_then_expr.len()
}

fn may_be_taken_apart(case: &Case) -> bool {
    let is_truth = |then: &Expr| matches!(then, Expr::Literal(ScalarValue::Boolean(_), _));
    let is_other = |then: &Expr| matches!(then, Expr::Literal(..)) && !is_truth(then);
    let mut branches = case.when_then_expr.iter().map(|(_, then)| then.as_ref());
    let is_short = case.when_then_expr.len() < BRANCHES_TAKEN_APART;
    if is_short { !branches.any(is_other) } else { branches.all(is_truth) }
}

#[derive(Default)]
struct Sizes {
    /// Parts of the conditions so far.
    total: u64,
    /// The largest column of the queries around a subquery.
    outer: u64,
    /// How many subqueries stand around.
    depth: usize,
}

/// What the columns are computed of that a node sees.
struct Known {
    columns: HashMap<Column, u64>,
    largest: u64,
}

impl Known {
    fn of(inputs: &[&LogicalPlan], sizes: &[Vec<u64>]) -> Known {
        let mut columns = HashMap::new();
        for (input, sizes) in inputs.iter().zip(sizes) {
            columns.extend(input.schema().columns().into_iter().zip(sizes.iter().copied()));
        }
        let largest = sizes.iter().flatten().copied().max().unwrap_or(1);
        Known { columns, largest }
    }

    fn size(&self, column: &Column) -> u64 {
        self.columns.get(column).copied().unwrap_or(self.largest)
    }
}

impl Sizes {
    /// What each column of a plan is computed of. Each expression is reckoned once.
    fn columns(&mut self, plan: &LogicalPlan) -> DataFusionResult<Vec<u64>> {
        let inputs = plan.inputs();
        let mut below = Vec::with_capacity(inputs.len());
        for input in &inputs {
            below.push(self.columns(input)?);
        }
        if self.depth > 0 {
            self.total = self.total.saturating_add(STEP_PARTS);
        }
        let known = Known::of(&inputs, &below);
        let is_condition = matches!(plan, LogicalPlan::Filter(_) | LogicalPlan::Join(_));
        let mut own = Vec::new();
        plan.apply_expressions(|expr| {
            let (size, asks) = self.size(expr, &known)?;
            if is_condition || asks {
                self.total = self.total.saturating_add(size);
            }
            own.push(size);
            Ok(TreeNodeRecursion::Continue)
        })?;
        let mut columns = match plan {
            LogicalPlan::Projection(_) => own,
            LogicalPlan::Aggregate(aggregate) => {
                let of_sets = own.first().copied().unwrap_or(1);
                let groups = plan.schema().fields().len().saturating_sub(aggregate.aggr_expr.len());
                let is_of_sets = matches!(aggregate.group_expr.as_slice(), [Expr::GroupingSet(_)]);
                own.truncate(groups);
                own.resize(groups, if is_of_sets { of_sets } else { 1 });
                own
            }
            LogicalPlan::Union(_) => {
                let width = plan.schema().fields().len();
                (0..width)
                    .map(|at| below.iter().filter_map(|input| input.get(at)).copied().max().unwrap_or(1))
                    .collect()
            }
            LogicalPlan::Join(join) => match join.join_type {
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => below.pop().unwrap_or_default(),
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => below.swap_remove(0),
                JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => below.concat(),
            },
            LogicalPlan::Distinct(Distinct::On(_)) => vec![known.largest; plan.schema().fields().len()],
            // Tables have their own columns; the functions of a window are computed where they stand.
            _ => below.into_iter().next().unwrap_or_default(),
        };
        columns.resize(plan.schema().fields().len(), 1);
        Ok(columns)
    }

    /// The parts of an expression, and whether it asks a subquery.
    fn size(&mut self, expr: &Expr, known: &Known) -> DataFusionResult<(u64, bool)> {
        let (mut size, mut asks) = match expr {
            Expr::Column(column) => return Ok((known.size(column), false)),
            Expr::OuterReferenceColumn(..) => return Ok((self.outer.max(1), false)),
            Expr::ScalarSubquery(subquery) => (self.subquery(&subquery.subquery, known)?, true),
            Expr::Exists(exists) => (self.subquery(&exists.subquery.subquery, known)?, true),
            Expr::InSubquery(within) => (self.subquery(&within.subquery.subquery, known)?, true),
            Expr::SetComparison(comparison) => (self.subquery(&comparison.subquery.subquery, known)?, true),
            _ => (1, false),
        };
        let mut place = 0;
        expr.apply_children(|child| {
            let (of_child, child_asks) = self.size(child, known)?;
            size = size.saturating_add(of_child.saturating_mul(copied(expr, place)));
            asks |= child_asks;
            place += 1;
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok((size, asks))
    }

    fn subquery(&mut self, plan: &LogicalPlan, known: &Known) -> DataFusionResult<u64> {
        let mut inner = Sizes { total: 1, outer: self.outer.max(known.largest), depth: self.depth + 1 };
        inner.columns(plan)?;
        Ok(inner.total)
    }
}
