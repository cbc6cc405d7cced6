//! Statements that ask for the row of one key: `SELECT columns FROM table WHERE key = …`.
//!
//! An order that is granted lookup alone may ask nothing else, by whatever protocol. The shape is read off the plan, so it
//! does not matter how names are quoted or in which order the parts of the key stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::common::{DFSchema, ScalarValue};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{BinaryExpr, Expr, Limit, LogicalPlan, Operator};
use lingqu_domain::scope::ColumnName;

/// A statement that asks for the row of one key.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyedStatement {
    /// The parts of the key in its order, none of them null.
    pub key: Vec<ScalarValue>,
    /// The columns of the row that are asked for, in the order of the answer.
    pub columns: Vec<String>,
    /// The answer's schema: the columns under the names that the statement gives them.
    pub schema: SchemaRef,
}

/// Reads the shape off an analysed plan: columns of one table, whose filter is nothing but an equality for each part of
/// `key`. A limit of one row or more is allowed, because tools add it. None for any other statement.
pub(crate) fn read(
    state: &SessionState,
    plan: &LogicalPlan,
    key: &[ColumnName],
    schema: SchemaRef,
) -> Option<KeyedStatement> {
    let mut node = plan;
    if let LogicalPlan::Limit(limit) = node {
        if !keeps_a_row(limit) {
            return None;
        }
        node = &limit.input;
    }
    let LogicalPlan::Projection(projection) = node else { return None };
    let columns = projection.expr.iter().map(column_of).collect::<Option<Vec<String>>>()?;
    let LogicalPlan::Filter(filter) = projection.input.as_ref() else { return None };
    let mut below = filter.input.as_ref();
    while let LogicalPlan::SubqueryAlias(alias) = below {
        below = &alias.input;
    }
    let LogicalPlan::TableScan(_) = below else { return None };
    let mut parts: BTreeMap<String, ScalarValue> = BTreeMap::new();
    for condition in split_conjunction(&filter.predicate) {
        let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) = condition else { return None };
        let (name, constant) = match (left.as_ref(), right.as_ref()) {
            (Expr::Column(column), other) | (other, Expr::Column(column)) => (column.name.clone(), other),
            _ => return None,
        };
        if !key.iter().any(|part| part.as_str() == name) {
            return None;
        }
        let value = constant_of(state, constant)?;
        if value.is_null() || parts.insert(name, value).is_some() {
            return None;
        }
    }
    let key = key.iter().map(|part| parts.remove(part.as_str())).collect::<Option<Vec<ScalarValue>>>()?;
    Some(KeyedStatement { key, columns, schema })
}

fn keeps_a_row(limit: &Limit) -> bool {
    let number = |expression: &Option<Box<Expr>>| match expression.as_deref() {
        Some(Expr::Literal(ScalarValue::Int64(value), _)) => *value,
        _ => None,
    };
    let skips = limit.skip.is_some() && number(&limit.skip) != Some(0);
    !skips && (limit.fetch.is_none() || number(&limit.fetch).is_some_and(|fetch| fetch >= 1))
}

fn column_of(expression: &Expr) -> Option<String> {
    match expression {
        Expr::Column(column) => Some(column.name.clone()),
        Expr::Alias(alias) => column_of(&alias.expr),
        _ => None,
    }
}

/// The value of an expression without columns, such as a literal or a cast of one.
fn constant_of(state: &SessionState, expression: &Expr) -> Option<ScalarValue> {
    if let Expr::Literal(value, _) = expression {
        return Some(value.clone());
    }
    let is_constant = matches!(expression, Expr::Cast(cast) if matches!(cast.expr.as_ref(), Expr::Literal(..)));
    if !is_constant {
        return None;
    }
    let physical = state.create_physical_expr(expression.clone(), &DFSchema::empty()).ok()?;
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    let row = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).ok()?;
    let value = physical.evaluate(&row).ok()?.into_array(1).ok()?;
    ScalarValue::try_from_array(&value, 0).ok()
}
