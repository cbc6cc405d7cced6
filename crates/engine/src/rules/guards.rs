//! Guards that hold: the right side of AND and OR, the later arguments of COALESCE and the branches of CASE are computed on those
//! rows alone that are left for them, where they may fail.
//!
//! DataFusion (55.2) computes the right side of AND on each row of a batch unless few rows meet the left side, which depends on
//! how the rows fall into batches; and its simplifier makes AND and OR of a CASE of truth values, whose branches are then computed
//! everywhere. `CASE WHEN d <> 0 THEN 7 / d > 1 ELSE false END` fails where d is 0. A CASE that compares with `true` says the same,
//! is computed row by row of what is left, and no rule takes it apart.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DFSchemaRef};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Case, Expr, ExprSchemable, LogicalPlan, Operator, lit};

use super::fallible::may_fail;

/// Most connectives that are guarded one within another; what is deeper stays as it was written.
const DEPTH_MAX: usize = 32;
/// Most parts of an expression that is guarded at all: what to guard is looked for below each of them.
const PARTS_MAX: usize = 1_000;

/// The node with its own expressions guarded.
pub(super) fn guarded(plan: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
    let mut has_branches = false;
    plan.apply_expressions(|expr| {
        has_branches = branches(expr);
        Ok(if has_branches { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    if !has_branches {
        return Ok(Transformed::no(plan));
    }
    let schema: DFSchemaRef = match plan.inputs().as_slice() {
        [input] => Arc::clone(input.schema()),
        inputs => Arc::new(merge_schema(inputs)),
    };
    match plan {
        // A missing truth value leaves a row out like `false` does where rows are chosen, and nowhere else.
        LogicalPlan::Filter(mut filter) if is_worth_it(&filter.predicate, &schema) => {
            let guarded = condition(filter.predicate, &schema)?;
            filter.predicate = guarded.data;
            Ok(Transformed::new_transformed(LogicalPlan::Filter(filter), guarded.transformed))
        }
        LogicalPlan::Join(mut join) => {
            let guarded = match join.filter.take() {
                Some(filter) if is_worth_it(&filter, &schema) => {
                    condition(filter, &schema)?.map_data(|f| Ok(Some(f)))?
                }
                filter => Transformed::no(filter),
            };
            join.filter = guarded.data;
            Ok(Transformed::new_transformed(LogicalPlan::Join(join), guarded.transformed))
        }
        plan => {
            let names = NamePreserver::new(&plan);
            plan.map_expressions(|expr| {
                if matches!(expr, Expr::GroupingSet(_)) || asks_others(&expr) || !is_worth_it(&expr, &schema) {
                    return Ok(Transformed::no(expr));
                }
                let name = names.save(&expr);
                anywhere(expr, &schema)?.map_data(|expr| Ok(name.restore(expr)))
            })
        }
    }
}

/// A condition `then` that is asked of the rows that meet another.
pub(super) fn when(met: Expr, then: Expr) -> Expr {
    branch(met, then, lit(false))
}

/// Whether this is what [`when`] makes of the rows that meet a condition.
pub(super) fn is_guard(expr: &Expr, of: &Expr) -> bool {
    let Expr::Case(Case { expr: Some(base), when_then_expr, else_expr: Some(other) }) = expr else { return false };
    let is_of = matches!(when_then_expr.as_slice(), [(met, _)] if **met == *of);
    is_of && **base == lit(true) && **other == lit(false)
}

fn branch(met: Expr, then: Expr, other: Expr) -> Expr {
    Expr::Case(Case {
        expr: Some(Box::new(lit(true))),
        when_then_expr: vec![(Box::new(met), Box::new(then))],
        else_expr: Some(Box::new(other)),
    })
}

/// Whether anything in an expression is computed on a part of the rows.
fn branches(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(match part {
            Expr::BinaryExpr(binary) => matches!(binary.op, Operator::And | Operator::Or),
            Expr::Case(_) => true,
            Expr::ScalarFunction(call) => matches!(call.name(), "coalesce" | "nvl"),
            _ => false,
        })
    });
    found.unwrap_or(true)
}

fn is_worth_it(expr: &Expr, schema: &DFSchema) -> bool {
    let mut parts = 0;
    let is_longer = expr.exists(|_| {
        parts += 1;
        Ok(parts > PARTS_MAX)
    });
    matches!(is_longer, Ok(false)) && branches(expr) && may_fail(expr, schema)
}

/// Whether an expression asks a subquery, of which other rules make a join. They must find it as it was written.
pub(super) fn asks_others(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(match part {
            Expr::Exists(_) | Expr::InSubquery(_) | Expr::SetComparison(_) => true,
            Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
            _ => false,
        })
    });
    found.unwrap_or(true)
}

/// The parts of a condition by themselves: other rules take them apart, and each must see them.
fn condition(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    let mut is_changed = false;
    let mut parts = Vec::new();
    for part in split_conjunction_owned(expr) {
        let part = if asks_others(&part) { Transformed::no(part) } else { chosen(part, schema, DEPTH_MAX)? };
        is_changed |= part.transformed;
        parts.push(part.data);
    }
    let whole = conjunction(parts).unwrap_or_else(|| lit(true));
    Ok(Transformed::new_transformed(whole, is_changed))
}

/// A part of a condition, of which a missing truth value is the same as `false`.
fn chosen(expr: Expr, schema: &DFSchema, depth: usize) -> DataFusionResult<Transformed<Expr>> {
    let (left, op, right) = match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) if depth > 0 => {
            (left, op, right)
        }
        other => return anywhere(other, schema),
    };
    let is_guarded = may_fail(&right, schema);
    let (left, right) = (chosen(*left, schema, depth - 1)?, chosen(*right, schema, depth - 1)?);
    let is_changed = is_guarded || left.transformed || right.transformed;
    let data = match (is_guarded, op) {
        (true, Operator::And) => when(left.data, right.data),
        (true, _) => branch(left.data, lit(true), right.data),
        (false, op) => Expr::BinaryExpr(BinaryExpr::new(Box::new(left.data), op, Box::new(right.data))),
    };
    Ok(Transformed::new_transformed(data, is_changed))
}

/// `(a AND b) AND c` as `a AND (b AND c)` where b and c may fail, so that what can't is asked first, and of both. The same of OR.
fn from_the_left(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    expr.transform_down(|part| {
        let Expr::BinaryExpr(BinaryExpr { mut left, op: op @ (Operator::And | Operator::Or), mut right }) = part else {
            return Ok(Transformed::no(part));
        };
        let mut is_changed = false;
        while may_fail(&left, schema) && may_fail(&right, schema) {
            match *left {
                Expr::BinaryExpr(BinaryExpr { left: first, op: inner, right: second }) if inner == op => {
                    right = Box::new(Expr::BinaryExpr(BinaryExpr::new(second, op, right)));
                    left = first;
                    is_changed = true;
                }
                other => {
                    left = Box::new(other);
                    break;
                }
            }
        }
        Ok(Transformed::new_transformed(Expr::BinaryExpr(BinaryExpr::new(left, op, right)), is_changed))
    })
}

/// An expression wherever it stands.
fn anywhere(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    from_the_left(expr, schema)?.transform_data(|expr| guarded_anywhere(expr, schema))
}

fn guarded_anywhere(expr: Expr, schema: &DFSchema) -> DataFusionResult<Transformed<Expr>> {
    expr.transform_up(|part| {
        Ok(match part {
            Expr::Case(case) if case.expr.is_none() && branches_may_fail(&case, schema) => {
                Transformed::yes(Expr::Case(Case { expr: Some(Box::new(lit(true))), ..case }))
            }
            Expr::ScalarFunction(call) if takes_first_truth(&call, schema) => {
                let mut arguments = call.args;
                let last = arguments.pop().map(Box::new);
                let found = |argument: Expr| (Box::new(argument.clone().is_not_null()), Box::new(argument));
                Transformed::yes(Expr::Case(Case {
                    expr: Some(Box::new(lit(true))),
                    when_then_expr: arguments.into_iter().map(found).collect(),
                    else_expr: last,
                }))
            }
            // The left side stands twice, so one that may fail, and is perhaps made of such itself, stays as it is.
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right })
                if may_fail(&right, schema) && !may_fail(&left, schema) =>
            {
                // `false AND` is false, `true OR` is true; else the right side decides, or it is not known.
                let decided = lit(op == Operator::Or);
                let both = Expr::BinaryExpr(BinaryExpr::new(right, op, left.clone()));
                Transformed::yes(Expr::Case(Case {
                    expr: Some(Box::new(decided.clone())),
                    when_then_expr: vec![(left, Box::new(decided))],
                    else_expr: Some(Box::new(both)),
                }))
            }
            other => Transformed::no(other),
        })
    })
}

fn branches_may_fail(case: &Case, schema: &DFSchema) -> bool {
    let is_of_a_branch = |(when, then): &(Box<Expr>, Box<Expr>)| may_fail(when, schema) || may_fail(then, schema);
    case.when_then_expr.iter().any(is_of_a_branch)
        || case.else_expr.as_ref().is_some_and(|other| may_fail(other, schema))
}

/// COALESCE of truth values, of which the simplifier makes a CASE and then AND and OR.
fn takes_first_truth(call: &ScalarFunction, schema: &DFSchema) -> bool {
    let is_truth = |argument: &Expr| argument.get_type(schema).is_ok_and(|of| of == DataType::Boolean);
    matches!(call.name(), "coalesce" | "nvl")
        && call.args.iter().skip(1).any(|argument| may_fail(argument, schema))
        && call.args.iter().all(is_truth)
}
