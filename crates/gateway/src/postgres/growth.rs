//! How long a text a question to the catalogue can make of those that there are. What text functions make lies outside the pool that
//! bounds the operators, and `a || a` in a subquery of a subquery doubles at each level.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};

/// Longest text of a row, in bytes. A batch has hundreds of them.
const ROW_BYTES_MAX: u64 = 256 << 10;
/// Longest text of the catalogue's tables (a comment), and longest that `array_to_string` makes, in bytes. A question's own texts may be longer.
pub(super) const CELL_BYTES_MAX: u64 = 4 << 10;
/// Functions that put their arguments together.
const JOINING: &[&str] = &["array_to_string", "concat", "concat_ws", "make_array"];

/// Functions that answer a number with a text of up to some thousand bytes, and the most times that they may stand in a plan.
const DESCRIBING: &[&str] = &["col_description", "obj_description", "pg_get_constraintdef", "pg_get_indexdef"];
const DESCRIBING_MAX: usize = 32;

/// Refuses a plan in which a text may grow beyond [`ROW_BYTES_MAX`], or in which too many are made of numbers.
pub(super) fn check(plan: &LogicalPlan) -> DataFusionResult<()> {
    let mut growth: u64 = 1;
    let mut own: u64 = 0;
    let mut describing = 0;
    plan.apply_with_subqueries(|node| {
        let mut largest = 1;
        for expression in node.expressions() {
            largest = largest.max(joined(&expression)?);
            own = own.saturating_add(written(&expression)?);
            describing += described(&expression)?;
        }
        growth = growth.saturating_mul(largest);
        Ok(TreeNodeRecursion::Continue)
    })?;
    if growth.saturating_mul(own.max(CELL_BYTES_MAX)) > ROW_BYTES_MAX || describing > DESCRIBING_MAX {
        return Err(DataFusionError::ResourcesExhausted("texts of a question to the catalogue".to_owned()));
    }
    Ok(())
}

fn described(expression: &Expr) -> DataFusionResult<usize> {
    let mut count = 0;
    expression.apply(|part| {
        count += usize::from(matches!(part, Expr::ScalarFunction(call) if DESCRIBING.contains(&call.name())));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(count)
}

/// How many bytes an expression's own texts have.
fn written(expression: &Expr) -> DataFusionResult<u64> {
    let mut bytes: u64 = 0;
    expression.apply(|part| {
        if let Expr::Literal(value, _) = part {
            bytes = bytes.saturating_add(value.try_as_str().flatten().map_or(0, str::len) as u64);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(bytes)
}

/// How many columns and placeholders an expression puts together, times what its replacements may lengthen them by.
fn joined(expression: &Expr) -> DataFusionResult<u64> {
    let mut count: u64 = 0;
    let mut lengthened: u64 = 1;
    expression.apply(|part| {
        if let Expr::ScalarFunction(function) = part
            && function.name() == "replace"
        {
            let length = match function.args.get(2) {
                Some(Expr::Literal(text, _)) => text.try_as_str().flatten().map_or(0, str::len),
                _ => usize::MAX,
            };
            lengthened = lengthened.saturating_mul(length.max(1) as u64);
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    expression.apply(|part| {
        let is_joining = match part {
            Expr::BinaryExpr(BinaryExpr { op: Operator::StringConcat, .. }) => true,
            Expr::ScalarFunction(function) => JOINING.contains(&function.name()),
            _ => false,
        };
        if !is_joining {
            return Ok(TreeNodeRecursion::Continue);
        }
        part.apply(|inner| {
            count +=
                u64::from(matches!(inner, Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::Placeholder(_)));
            Ok(TreeNodeRecursion::Continue)
        })?;
        // Its parts have been counted.
        Ok(TreeNodeRecursion::Jump)
    })?;
    Ok(count.max(1).saturating_mul(lengthened))
}
