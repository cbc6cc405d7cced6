//! Conditions in PostgreSQL's words, where they mean there what they mean here.
//!
//! A condition may only lose rows that the engine would lose too. Where the two differ it is left out, whole:
//! floating-point numbers (PostgreSQL takes all not-a-numbers as equal and -0 as 0), `character(n)` (compared without the
//! blanks at the end), labels and documents (ordered by rules of their own), texts under a collation that takes different
//! texts as equal; and texts are ordered by their bytes, as here, by saying so.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{Between, BinaryExpr, Expr, Operator};

use crate::columns::{ColumnType, ColumnView};
use crate::postgres::{Parameter, WireType};

/// Most values of one list that are sent along.
const LISTED_VALUES_MAX: usize = 1_000;
/// Most parameters of a statement; PostgreSQL's own limit is 65,535.
const PARAMETERS_MAX: usize = 16_000;
/// How deep connectives may be nested.
const DEPTH_MAX: usize = 64;

/// A column of a live table.
#[derive(Clone, Debug)]
pub(super) struct RemoteColumn {
    /// As it stands in a statement.
    pub(super) quoted: String,
    pub(super) wire: WireType,
    pub(super) view: ColumnView,
    /// Whether equal texts are the same bytes.
    pub(super) is_deterministic: bool,
    /// Its type as the database writes it, for messages.
    pub(super) type_name: String,
    /// Whether the table refuses rows without a value in it.
    pub(super) is_required: bool,
}

/// What conditions are written for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote<'a> {
    pub(super) columns: &'a [RemoteColumn],
    /// Whether the order of bytes is the order of characters, and every text can be asked for.
    pub(super) is_utf8: bool,
}

/// Conditions that all hold, and the values in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Conditions {
    texts: Vec<String>,
    pub(super) parameters: Vec<Parameter>,
}

impl Conditions {
    /// Adds a condition, or leaves everything as it was and answers false.
    pub(super) fn add(&mut self, condition: &Expr, remote: Remote<'_>) -> bool {
        let before = self.parameters.len();
        match written(condition, remote, &mut self.parameters, 0) {
            Some(text) if self.parameters.len() <= PARAMETERS_MAX => {
                self.texts.push(text);
                true
            }
            _ => {
                self.parameters.truncate(before);
                false
            }
        }
    }

    /// The clause, with a blank before it; nothing where there is no condition.
    pub(super) fn clause(&self) -> String {
        if self.texts.is_empty() { String::new() } else { format!(" WHERE {}", self.texts.join(" AND ")) }
    }
}

/// The parts of a conjunction.
pub(super) fn conjuncts(condition: &Expr) -> Vec<&Expr> {
    let mut parts = Vec::new();
    let mut waiting = vec![condition];
    while let Some(part) = waiting.pop() {
        if let Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) = part {
            waiting.push(right);
            waiting.push(left);
        } else {
            parts.push(part);
        }
    }
    parts
}

fn written(expr: &Expr, remote: Remote<'_>, values: &mut Vec<Parameter>, depth: usize) -> Option<String> {
    if depth > DEPTH_MAX {
        return None;
    }
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let left = written(left, remote, values, depth + 1)?;
            let right = written(right, remote, values, depth + 1)?;
            let word = if *op == Operator::And { "AND" } else { "OR" };
            Some(format!("({left} {word} {right})"))
        }
        Expr::Not(part) => Some(format!("(NOT {})", written(part, remote, values, depth + 1)?)),
        Expr::IsNull(part) => Some(format!("({} IS NULL)", column_of(part, remote)?.quoted)),
        Expr::IsNotNull(part) => Some(format!("({} IS NOT NULL)", column_of(part, remote)?.quoted)),
        Expr::Literal(ScalarValue::Boolean(Some(value)), _) => Some(if *value { "TRUE" } else { "FALSE" }.to_owned()),
        // The optimiser writes `flag` for `flag = true`.
        Expr::Column(_) => {
            let column = column_of(expr, remote)?;
            (column.wire == WireType::Boolean).then(|| column.quoted.clone())
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match (&**left, &**right) {
            (Expr::Column(_), Expr::Literal(value, _)) => {
                compared(column_of(left, remote)?, *op, value, remote, values)
            }
            (Expr::Literal(value, _), Expr::Column(_)) => {
                compared(column_of(right, remote)?, op.swap()?, value, remote, values)
            }
            _ => None,
        },
        Expr::Between(Between { expr, negated, low, high }) => {
            let (Expr::Literal(low, _), Expr::Literal(high, _)) = (&**low, &**high) else { return None };
            let column = column_of(expr, remote)?;
            let from = compared(column, Operator::GtEq, low, remote, values)?;
            let to = compared(column, Operator::LtEq, high, remote, values)?;
            let not = if *negated { "NOT " } else { "" };
            Some(format!("({not}({from} AND {to}))"))
        }
        Expr::InList(InList { expr, list, negated }) => {
            let column = column_of(expr, remote)?;
            if list.is_empty() || list.len() > LISTED_VALUES_MAX || !may_compare(column, Operator::Eq, remote) {
                return None;
            }
            let mut places = Vec::with_capacity(list.len());
            for value in list {
                let Expr::Literal(value, _) = value else { return None };
                places.push(place_of(column, value, remote, values)?);
            }
            let not = if *negated { "NOT " } else { "" };
            Some(format!("({} {not}IN ({}))", column.quoted, places.join(", ")))
        }
        _ => None,
    }
}

fn column_of<'a>(expr: &Expr, remote: Remote<'a>) -> Option<&'a RemoteColumn> {
    let Expr::Column(column) = expr else { return None };
    remote.columns.iter().find(|known| known.view.name.as_str() == column.name)
}

fn compared(
    column: &RemoteColumn,
    operator: Operator,
    value: &ScalarValue,
    remote: Remote<'_>,
    values: &mut Vec<Parameter>,
) -> Option<String> {
    if !may_compare(column, operator, remote) {
        return None;
    }
    let word = match operator {
        Operator::Eq => "=",
        Operator::NotEq => "<>",
        Operator::Lt => "<",
        Operator::LtEq => "<=",
        Operator::Gt => ">",
        Operator::GtEq => ">=",
        _ => return None,
    };
    let order = if column.wire == WireType::Text && !is_equality(operator) { " COLLATE \"C\"" } else { "" };
    let place = place_of(column, value, remote, values)?;
    Some(format!("({}{order} {word} {place})", column.quoted))
}

fn is_equality(operator: Operator) -> bool {
    matches!(operator, Operator::Eq | Operator::NotEq)
}

/// Whether PostgreSQL compares such values as the engine does.
fn may_compare(column: &RemoteColumn, operator: Operator, remote: Remote<'_>) -> bool {
    match column.wire {
        WireType::Int2 | WireType::Int4 | WireType::Int8 | WireType::Numeric(_) => true,
        WireType::Date | WireType::Timestamp | WireType::TimestampTz => true,
        WireType::Boolean => is_equality(operator),
        WireType::Text if is_equality(operator) => column.is_deterministic,
        WireType::Text => remote.is_utf8,
        WireType::Float4
        | WireType::Float8
        | WireType::BlankPadded
        | WireType::Label
        | WireType::Jsonb
        | WireType::Uuid => false,
    }
}

/// The place of a value of the column's own type among the parameters.
fn place_of(
    column: &RemoteColumn,
    value: &ScalarValue,
    remote: Remote<'_>,
    values: &mut Vec<Parameter>,
) -> Option<String> {
    if value.data_type() != column.view.column_type.arrow() {
        return None;
    }
    // The statement would fail over a text that the database's encoding does not have; ASCII is in all of them.
    if matches!(value, ScalarValue::Utf8(Some(text)) if !remote.is_utf8 && !text.is_ascii()) {
        return None;
    }
    // A whole number may be kept as a decimal and the other way round; PostgreSQL compares the two exactly.
    debug_assert!(column.wire.fits(column.view.column_type), "a live table's columns are read as they are");
    debug_assert!(column.view.column_type != ColumnType::Float, "floating-point columns are not compared");
    values.push(Parameter::of(value)?);
    Some(format!("${}", values.len()))
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};
    use lingqu_domain::scope::ColumnName;

    use super::*;

    fn columns() -> Vec<RemoteColumn> {
        let column = |name: &str, wire: WireType, is_deterministic| RemoteColumn {
            quoted: format!("\"{name}\""),
            wire,
            view: ColumnView { name: ColumnName::new(name).unwrap(), column_type: wire.natural() },
            is_deterministic,
            type_name: String::new(),
            is_required: false,
        };
        vec![
            column("id", WireType::Int4, true),
            column("name", WireType::Text, true),
            column("ci", WireType::Text, false),
            column("pad", WireType::BlankPadded, true),
            column("f", WireType::Float8, true),
            column("flag", WireType::Boolean, true),
        ]
    }

    fn clause(condition: &Expr) -> Option<(String, usize)> {
        let columns = columns();
        let mut conditions = Conditions::default();
        let added = conditions.add(condition, Remote { columns: &columns, is_utf8: true });
        added.then(|| (conditions.clause(), conditions.parameters.len()))
    }

    #[test]
    fn what_means_the_same_is_written_with_its_values_beside_it() {
        let (text, values) = clause(&col("id").eq(lit(7_i64)).and(col("name").eq(lit("x' OR 1=1 --")))).unwrap();
        assert_eq!(text, " WHERE ((\"id\" = $1) AND (\"name\" = $2))");
        assert_eq!(values, 2);
        assert_eq!(clause(&lit(7_i64).lt(col("id"))).unwrap().0, " WHERE (\"id\" > $1)");
        assert_eq!(clause(&col("name").gt(lit("m"))).unwrap().0, " WHERE (\"name\" COLLATE \"C\" > $1)");
        assert_eq!(clause(&col("flag")).unwrap().0, " WHERE \"flag\"");
        assert_eq!(
            clause(&col("id").in_list(vec![lit(1_i64), lit(2_i64)], true)).unwrap().0,
            " WHERE (\"id\" NOT IN ($1, $2))"
        );
        assert_eq!(
            clause(&col("id").between(lit(1_i64), lit(2_i64))).unwrap().0,
            " WHERE (((\"id\" >= $1) AND (\"id\" <= $2)))"
        );
    }

    #[test]
    fn what_may_mean_something_else_is_left_out_whole() {
        let left_out = [
            col("f").gt(lit(1.0)),
            col("pad").not_eq(lit("a")),
            col("ci").eq(lit("a")),
            col("id").eq(lit("1")),
            col("id").eq(lit(ScalarValue::Int64(None))),
            col("name").eq(lit("nul\0")),
            col("id").eq(col("id")),
            (col("id") + lit(1_i64)).eq(lit(1_i64)),
            col("name").like(lit("a%")),
            col("unknown").is_null(),
            col("id").eq(lit(1_i64)).or(col("f").gt(lit(1.0))),
            col("name"),
        ];
        for condition in left_out {
            assert_eq!(clause(&condition), None, "{condition}");
        }
        // Values of a condition that is left out do not stay behind.
        let columns = columns();
        let remote = Remote { columns: &columns, is_utf8: false };
        let mut conditions = Conditions::default();
        assert!(!conditions.add(&col("id").eq(lit(1_i64)).and(col("f").gt(lit(1.0))), remote));
        assert!(!conditions.add(&col("name").lt(lit("a")), remote));
        assert!(!conditions.add(&col("name").eq(lit("南宁")), remote));
        assert!(!conditions.add(&col("name").in_list(vec![lit("a"), lit("é")], false), remote));
        assert!(conditions.parameters.is_empty() && conditions.clause().is_empty());
        assert!(conditions.add(&col("name").eq(lit("a")), remote));
    }
}
