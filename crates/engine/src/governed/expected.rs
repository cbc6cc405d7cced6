//! What share of the visible rows a consumer's conditions are expected to leave, for the choice of a join's side.
//!
//! The shares are those of System R (P. G. Selinger et al., "Access Path Selection in a Relational Database Management System",
//! SIGMOD 1979, table 1), for columns of which nothing is known. They are read off the statement alone: what the data holds
//! bears on none of them.

use datafusion::logical_expr::{BinaryExpr, Expr, Operator};

/// `column = constant`, and each value of a list.
const EQUAL: f64 = 1.0 / 10.0;
/// `column < constant`, and the other three.
const OPEN_RANGE: f64 = 1.0 / 3.0;
/// `column BETWEEN constant AND constant`.
const CLOSED_RANGE: f64 = 1.0 / 4.0;
/// Most that a list is expected to leave.
const LIST_MAX: f64 = 1.0 / 2.0;
/// The beginning of a text.
const BEGINNING: f64 = 1.0 / 10.0;
/// A missing value.
const MISSING: f64 = 1.0 / 10.0;
/// A column of truth values.
const TRUE: f64 = 1.0 / 2.0;

/// The share that conditions leave together, above 0 and at most 1.
pub(super) fn share_of(conditions: &[Expr]) -> f64 {
    conditions.iter().map(share).product()
}

fn share(condition: &Expr) -> f64 {
    match condition {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => share(left) * share(right),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            let (left, right) = (share(left), share(right));
            left + right - left * right
        }
        Expr::BinaryExpr(BinaryExpr { op, .. }) => match op {
            Operator::Eq => EQUAL,
            Operator::NotEq => 1.0 - EQUAL,
            _ => OPEN_RANGE,
        },
        Expr::Between(between) => turned(CLOSED_RANGE, between.negated),
        #[expect(clippy::cast_precision_loss, reason = "a list is short, and this is a guess")]
        Expr::InList(list) => turned((EQUAL * list.list.len() as f64).min(LIST_MAX), list.negated),
        Expr::Like(like) => turned(BEGINNING, like.negated),
        Expr::IsNull(_) => MISSING,
        Expr::IsNotNull(_) => 1.0 - MISSING,
        // Of nothing at all the least is still a little, or what it is compared with would not matter.
        Expr::Not(part) => (1.0 - share(part)).max(EQUAL),
        Expr::Column(_) => TRUE,
        _ => 1.0,
    }
}

fn turned(share: f64, is_negated: bool) -> f64 {
    if is_negated { 1.0 - share } else { share }
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    #[test]
    fn each_condition_leaves_less_and_none_leaves_nothing() {
        let equal = col("a").eq(lit(1_i64));
        let range = col("b").gt(lit(1_i64));
        assert!((share_of(&[]) - 1.0).abs() < f64::EPSILON);
        let both = share_of(&[equal.clone(), range.clone()]);
        assert!(both < share_of(std::slice::from_ref(&equal)) && both > 0.0);
        assert!((both - share_of(&[equal.clone().and(range.clone())])).abs() < f64::EPSILON);
        assert!(share_of(&[equal.clone().or(range.clone())]) > share_of(std::slice::from_ref(&range)));
        assert!(share_of(&[col("a").in_list((0..100_i64).map(lit).collect(), false)]) <= LIST_MAX);
        for condition in [equal, range, col("a").is_null(), col("a").is_not_null(), col("a").like(lit("x%"))] {
            let (plain, negated) =
                (share_of(std::slice::from_ref(&condition)), share_of(&[Expr::Not(Box::new(condition))]));
            assert!(plain > 0.0 && plain < 1.0 && negated > 0.0 && negated < 1.0);
        }
    }
}
