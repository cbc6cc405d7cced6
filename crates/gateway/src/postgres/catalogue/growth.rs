//! How long a text a question to the catalogue can make of those that there are. What text functions make lies outside the pool that
//! bounds the operators, and `a || a` in a subquery of a subquery doubles at each level. So does what a join of a long text repeats, and
//! what a recursive query makes of its own rows, and patterns, which are compiled into some MiB each.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::DataType;
use datafusion::common::resources_err;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, Signature, Volatility};

use super::functions::{by_rows, text_at};

/// Longest text of a row, in bytes. A batch has hundreds of them.
const ROW_BYTES_MAX: u64 = 256 << 10;
/// Longest text of the catalogue's tables (a comment), and longest that is made of an array or of several rows, in bytes. A question's
/// own texts may be longer.
pub(super) const CELL_BYTES_MAX: u64 = 4 << 10;
/// Functions that put their arguments together.
const JOINING: &[&str] = &["array_to_string", "concat", "concat_ws", "make_array"];

/// Functions that answer a number with a text of up to some thousand bytes, and the most times that they may stand in a plan.
const DESCRIBING: &[&str] = &["col_description", "obj_description", "pg_get_constraintdef", "pg_get_indexdef"];
const DESCRIBING_MAX: usize = 32;

/// Longest text of a row, in bytes, where patterns of LIKE are made of rows: each is compiled, some KiB in milliseconds, and a batch of them
/// is not broken off.
const LIKE_BYTES_MAX: u64 = 8 << 10;

/// Functions that compile what stands behind their first argument, and the most patterns of a plan.
const MATCHING: &[&str] = &["regexp_like", "regexp_match"];
const PATTERNS_MAX: usize = 64;

/// Functions that make a text or an array of several rows.
const GATHERING: &[&str] = &["array_agg", "string_agg"];

/// Most tables of a question, one for each time that it stands there. To plan many takes the square of their columns.
const TABLES_MAX: usize = 32;

/// Refuses a plan in which a text may grow beyond [`ROW_BYTES_MAX`], in which too many are made of numbers, or whose patterns are too many.
pub(super) fn check(plan: &LogicalPlan) -> DataFusionResult<()> {
    let mut growth: u64 = 1;
    let mut own: u64 = 0;
    let mut describing = 0;
    let mut patterns = 0;
    let mut likens_to_rows = false;
    let mut tables = 0;
    let mut gathers_for_each_row = false;
    plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::RecursiveQuery(_) => return resources_err!("a recursive question to the catalogue"),
            LogicalPlan::TableScan(_) => tables += 1,
            LogicalPlan::Window(window) => gathers_for_each_row |= window.window_expr.iter().any(gathers),
            _ => {}
        }
        let mut largest = 1;
        for expression in node.expressions() {
            largest = largest.max(joined(&expression)?);
            own = own.saturating_add(written(&expression)?);
            describing += described(&expression)?;
            patterns += compiled(&expression)?;
            likens_to_rows |= expression.exists(is_like_of_row)?;
        }
        growth = growth.saturating_mul(largest);
        Ok(TreeNodeRecursion::Continue)
    })?;
    let bytes_max = if likens_to_rows { LIKE_BYTES_MAX } else { ROW_BYTES_MAX };
    let grows = growth.saturating_mul(own.max(CELL_BYTES_MAX)) > bytes_max;
    if grows || describing > DESCRIBING_MAX || gathers_for_each_row {
        return Err(DataFusionError::ResourcesExhausted("texts of a question to the catalogue".to_owned()));
    }
    if patterns > PATTERNS_MAX {
        return Err(DataFusionError::ResourcesExhausted("patterns of a question to the catalogue".to_owned()));
    }
    if tables > TABLES_MAX {
        return Err(DataFusionError::ResourcesExhausted("tables of a question to the catalogue".to_owned()));
    }
    Ok(())
}

/// The plan, which ends with an error where a text or an array that it makes of several rows is longer than [`CELL_BYTES_MAX`].
pub(super) fn bounded(plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
    let bounded = plan.transform_up_with_subqueries(|node| {
        if !matches!(&node, LogicalPlan::Aggregate(aggregate) if aggregate.aggr_expr.iter().any(gathers)) {
            return Ok(Transformed::no(node));
        }
        let columns = node.schema().iter().map(|(table, field)| {
            let column = Expr::Column((table, field).into());
            if !is_gathered(field.data_type()) {
                return column;
            }
            let signature = Signature::any(1, Volatility::Immutable);
            let data_type = field.data_type().clone();
            by_rows("within_bounds", signature, data_type, Arc::new(within_bounds))
                .call(vec![column])
                .alias_qualified(table.cloned(), field.name())
        });
        let columns: Vec<Expr> = columns.collect();
        Ok(Transformed::yes(LogicalPlanBuilder::from(node).project(columns)?.build()?))
    })?;
    Ok(bounded.data)
}

/// Whether an expression makes a text or an array of several rows.
fn gathers(expression: &Expr) -> bool {
    let found = expression.exists(|part| {
        Ok(match part {
            Expr::AggregateFunction(call) => GATHERING.contains(&call.func.name()),
            Expr::WindowFunction(call) => GATHERING.contains(&call.fun.name()),
            _ => false,
        })
    });
    found.unwrap_or(true)
}

fn is_gathered(data_type: &DataType) -> bool {
    data_type.is_string() || matches!(data_type, DataType::List(_))
}

/// The values as they are. Error: one is too long.
fn within_bounds(arguments: &[ArrayRef]) -> DataFusionResult<ArrayRef> {
    let [values] = arguments else { return resources_err!("one argument") };
    for row in 0..values.len() {
        let bytes = match values.as_list_opt::<i32>() {
            Some(lists) if lists.is_valid(row) => lists.value(row).to_data().get_slice_memory_size()?,
            Some(_) => 0,
            None => text_at(values, row).map_or(0, |text| text.len()),
        };
        if bytes as u64 > CELL_BYTES_MAX {
            return resources_err!("what a question to the catalogue makes of several rows");
        }
    }
    Ok(Arc::clone(values))
}

fn described(expression: &Expr) -> DataFusionResult<usize> {
    let mut count = 0;
    expression.apply(|part| {
        count += usize::from(matches!(part, Expr::ScalarFunction(call) if DESCRIBING.contains(&call.name())));
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(count)
}

/// How many patterns an expression has. Error: one is made of a row, so that there may be as many as rows. The engine keeps those of a
/// batch until its end, each of up to 10 MiB.
fn compiled(expression: &Expr) -> DataFusionResult<usize> {
    let mut count = 0;
    expression.apply(|part| {
        let patterns = match part {
            Expr::BinaryExpr(BinaryExpr { op, right, .. }) if is_matching(*op) => std::slice::from_ref(right.as_ref()),
            Expr::SimilarTo(like) => std::slice::from_ref(like.pattern.as_ref()),
            Expr::ScalarFunction(call) if MATCHING.contains(&call.name()) => call.args.get(1..).unwrap_or_default(),
            _ => &[],
        };
        for pattern in patterns {
            count += 1;
            if is_of_row(pattern)? {
                return resources_err!("a pattern for each row of a question to the catalogue");
            }
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(count)
}

/// Whether a pattern is another one for each row.
fn is_of_row(pattern: &Expr) -> DataFusionResult<bool> {
    pattern
        .exists(|part| Ok(matches!(part, Expr::Column(_) | Expr::OuterReferenceColumn(..) | Expr::ScalarSubquery(_))))
}

fn is_like_of_row(part: &Expr) -> DataFusionResult<bool> {
    match part {
        Expr::Like(like) => is_of_row(&like.pattern),
        Expr::BinaryExpr(BinaryExpr { op, right, .. }) if is_like(*op) => is_of_row(right),
        _ => Ok(false),
    }
}

fn is_like(operator: Operator) -> bool {
    matches!(operator, Operator::LikeMatch | Operator::ILikeMatch | Operator::NotLikeMatch | Operator::NotILikeMatch)
}

fn is_matching(operator: Operator) -> bool {
    matches!(
        operator,
        Operator::RegexMatch | Operator::RegexIMatch | Operator::RegexNotMatch | Operator::RegexNotIMatch
    )
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
