//! Row predicates: the small total language in which a scope says which rows it covers.
//!
//! A predicate speaks of one table's columns and compares them with literals. It has no functions, casts or
//! arithmetic, so evaluating it can't fail and can't tell anything of a row but whether it is covered. Logic is SQL's
//! three-valued logic: a comparison with a missing value is *unknown*, `NOT` of unknown is unknown, `AND` is the
//! least and `OR` the greatest of false < unknown < true; a row is covered only where the predicate is true.

use std::collections::BTreeSet;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::scope::ColumnName;

/// Deepest nesting a predicate may have.
pub const PREDICATE_DEPTH_MAX: usize = 16;
/// Most nodes (comparisons, connectives and listed values) a predicate may have.
pub const PREDICATE_NODES_MAX: usize = 2_000;

/// A typed constant. Text, dates and timestamps are compared by their own order, never by conversion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Literal {
    /// UTF-8 text, compared byte by byte.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// An exact decimal, written as a string.
    Decimal(Decimal),
    /// A day, `YYYY-MM-DD`.
    Date(jiff::civil::Date),
    /// A point in time, RFC 3339.
    Timestamp(jiff::Timestamp),
    /// True or false.
    Boolean(bool),
}

/// The schema of a literal's wire form: the derive can't be told that a variant's value is written as text.
#[cfg(feature = "openapi")]
mod schema {
    #[expect(dead_code, reason = "only its schema is used")]
    #[derive(utoipa::ToSchema)]
    #[schema(rename_all = "snake_case")]
    enum Literal {
        Text(String),
        Integer(i64),
        /// An exact decimal.
        Decimal(String),
        /// `YYYY-MM-DD`
        Date(String),
        /// RFC 3339
        Timestamp(String),
        Boolean(bool),
    }

    impl utoipa::PartialSchema for super::Literal {
        fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
            <Literal as utoipa::PartialSchema>::schema()
        }
    }

    impl utoipa::ToSchema for super::Literal {}
}

/// How a column is compared with a literal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A condition on the rows of one table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", schema(no_recursion))]
pub enum Predicate {
    /// A column compared with a constant.
    Compare {
        /// The column.
        column: ColumnName,
        /// The comparison.
        comparison: Comparison,
        /// The constant.
        value: Literal,
    },
    /// A column is one of the listed constants.
    In {
        /// The column.
        column: ColumnName,
        /// The constants; an empty list covers no row.
        values: Vec<Literal>,
    },
    /// A column has no value.
    IsNull {
        /// The column.
        column: ColumnName,
    },
    /// Every part holds; with no parts, every row is covered.
    And(Vec<Predicate>),
    /// Some part holds; with no parts, no row is covered.
    Or(Vec<Predicate>),
    /// The part does not hold.
    Not(Box<Predicate>),
}

impl Predicate {
    /// The columns the predicate looks at.
    pub fn columns(&self) -> BTreeSet<&ColumnName> {
        let mut found = BTreeSet::new();
        self.collect_columns(&mut found);
        found
    }

    fn collect_columns<'a>(&'a self, found: &mut BTreeSet<&'a ColumnName>) {
        match self {
            Predicate::Compare { column, .. } | Predicate::In { column, .. } | Predicate::IsNull { column } => {
                found.insert(column);
            }
            Predicate::And(parts) | Predicate::Or(parts) => {
                for part in parts {
                    part.collect_columns(found);
                }
            }
            Predicate::Not(part) => part.collect_columns(found),
        }
    }

    /// True when the predicate is nested no deeper than [`PREDICATE_DEPTH_MAX`] and has no more than
    /// [`PREDICATE_NODES_MAX`] nodes.
    pub fn is_within_limits(&self) -> bool {
        let mut nodes_left = PREDICATE_NODES_MAX;
        self.spend(PREDICATE_DEPTH_MAX, &mut nodes_left)
    }

    fn spend(&self, depth_left: usize, nodes_left: &mut usize) -> bool {
        let cost = match self {
            Predicate::In { values, .. } => 1 + values.len(),
            _ => 1,
        };
        if depth_left == 0 || *nodes_left < cost {
            return false;
        }
        *nodes_left -= cost;
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => {
                parts.iter().all(|part| part.spend(depth_left - 1, nodes_left))
            }
            Predicate::Not(part) => part.spend(depth_left - 1, nodes_left),
            _ => true,
        }
    }
}
