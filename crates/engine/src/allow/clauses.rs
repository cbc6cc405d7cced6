//! Clauses that the planner passes over in silence or takes for others: an answer without them would be to another question.
//!
//! DataFusion (55.2) keeps equal rows of EXCEPT ALL and INTERSECT ALL together, all of them or none. The common column of a join by
//! USING, or of a NATURAL one, is the left side's for it, also where that side may have no row, and `*` shows that of the table whose
//! name comes first. And a function of single values loses what is only said of aggregates and windows.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use datafusion::logical_expr::ScalarUDF;
use datafusion::sql::sqlparser::ast::{
    DuplicateTreatment, Expr, Function, FunctionArguments, JoinConstraint, JoinOperator, Query, Select, SelectItem,
    SetExpr, SetOperator, SetQuantifier, TableFactor, TableWithJoins, Visitor,
};

use super::written_out::name_of;
use super::{Refusal, RefusalCode};

/// Looks for such clauses.
pub(super) struct Clauses<'a> {
    /// The functions of single values by their names, and by other names that they have.
    pub(super) functions: &'a HashMap<String, Arc<ScalarUDF>>,
}

impl Visitor for Clauses<'_> {
    type Break = Refusal;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refusal> {
        passed_over(&[
            (!query.locks.is_empty(), "FOR UPDATE and FOR SHARE"),
            (query.for_clause.is_some(), "FOR XML, FOR JSON and FOR BROWSE"),
            (query.settings.is_some(), "SETTINGS"),
            (query.format_clause.is_some(), "FORMAT"),
        ])?;
        if keeps_equal_rows(&query.body) {
            return refused(
                "EXCEPT ALL and INTERSECT ALL are not allowed; number equal rows by row_number() on both sides, and leave out ALL",
            );
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refusal> {
        let shows_all = select.projection.iter().any(|item| matches!(item, SelectItem::Wildcard(_)));
        for from in &select.from {
            check_joins(from, shows_all)?;
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refusal> {
        match factor {
            TableFactor::Table { sample, version, with_hints, index_hints, partitions, with_ordinality, .. } => {
                passed_over(&[
                    (sample.is_some(), "TABLESAMPLE"),
                    (version.is_some(), "a version of a table"),
                    (!with_hints.is_empty() || !index_hints.is_empty(), "a hint"),
                    (!partitions.is_empty(), "PARTITION"),
                    (*with_ordinality, "WITH ORDINALITY"),
                ])
            }
            TableFactor::Derived { sample, .. } => passed_over(&[(sample.is_some(), "TABLESAMPLE")]),
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refusal> {
        match expr {
            Expr::Function(call) if self.is_of_single_values(call) => passed_over(&[
                (call.over.is_some(), "OVER behind a function of single values"),
                (call.filter.is_some(), "FILTER behind a function of single values"),
                (call.null_treatment.is_some(), "IGNORE NULLS behind a function of single values"),
                (!call.within_group.is_empty(), "WITHIN GROUP behind a function of single values"),
                (is_of_different(call), "DISTINCT within a function of single values"),
            ]),
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Clauses<'_> {
    fn is_of_single_values(&self, call: &Function) -> bool {
        let [name] = call.name.0.as_slice() else { return false };
        name.as_ident().is_some_and(|name| self.functions.contains_key(&name_of(name)))
    }
}

fn is_of_different(call: &Function) -> bool {
    matches!(&call.args, FunctionArguments::List(list) if list.duplicate_treatment == Some(DuplicateTreatment::Distinct))
}

fn keeps_equal_rows(set: &SetExpr) -> bool {
    let SetExpr::SetOperation { op, set_quantifier, left, right } = set else { return false };
    let is_all = matches!(set_quantifier, SetQuantifier::All | SetQuantifier::AllByName);
    (is_all && *op != SetOperator::Union) || keeps_equal_rows(left) || keeps_equal_rows(right)
}

/// Refuses joins whose common columns would be those of a side that may have no row.
fn check_joins(from: &TableWithJoins, shows_all: bool) -> ControlFlow<Refusal> {
    let mut before = vec![&from.relation];
    for join in &from.joins {
        match &join.join_operator {
            JoinOperator::Right(constraint)
            | JoinOperator::RightOuter(constraint)
            | JoinOperator::FullOuter(constraint)
                if has_common_columns(constraint) =>
            {
                return refused(
                    "a RIGHT or FULL JOIN with USING, or a NATURAL one, is not allowed; join ON the columns, and show COALESCE of both",
                );
            }
            JoinOperator::Left(constraint) | JoinOperator::LeftOuter(constraint)
                if shows_all
                    && has_common_columns(constraint)
                    && !before.iter().all(|left| comes_first(left, &join.relation)) =>
            {
                return refused(
                    "SELECT * is not allowed of this LEFT JOIN with USING, or NATURAL one; name the columns that are to be shown, or join ON them",
                );
            }
            _ => {}
        }
        before.push(&join.relation);
    }
    for factor in before {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            check_joins(table_with_joins, shows_all)?;
        }
    }
    ControlFlow::Continue(())
}

fn has_common_columns(constraint: &JoinConstraint) -> bool {
    matches!(constraint, JoinConstraint::Using(_) | JoinConstraint::Natural)
}

/// Whether it is known that the name of a table comes before that of another.
fn comes_first(left: &TableFactor, right: &TableFactor) -> bool {
    matches!((known_as(left), known_as(right)), (Some(left), Some(right)) if left < right)
}

fn known_as(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. }
        | TableFactor::Derived { alias: Some(alias), .. }
        | TableFactor::NestedJoin { alias: Some(alias), .. } => Some(name_of(&alias.name)),
        TableFactor::Table { name, .. } => name.0.last()?.as_ident().map(name_of),
        _ => None,
    }
}

fn refused(what: &str) -> ControlFlow<Refusal> {
    ControlFlow::Break(Refusal::new(RefusalCode::ClauseNotAllowed, what))
}

fn passed_over(named: &[(bool, &str)]) -> ControlFlow<Refusal> {
    match named.iter().find(|(is_there, _)| *is_there) {
        Some((_, what)) => refused(&format!("{what} is not allowed; leave it out")),
        None => ControlFlow::Continue(()),
    }
}
