//! Whether a value is among others, by three-valued logic wherever it is asked.
//!
//! A value is not among others if it equals none of them. Where one of the two is missing that is not known, unless there are no
//! others; and a row of which a condition is not known is left out. DataFusion (55.2) knows this of one form: `NOT IN` that
//! stands alone in a condition, whose value is a column and whose subquery takes nothing from outside. Of that it makes an anti join
//! that looks at missing values. Elsewhere it asks whether an equal value is there and takes what is not known for false: beside an
//! OR, within a CASE, of a constant, of a subquery that depends on the row outside. There `NOT IN` keeps rows that it must leave out.
//!
//! So before a statement is optimised its conditions are put in other words ([`written_out`]), of which DataFusion makes joins in any
//! form of condition. `x NOT IN (S)` is true where no row of S equals x, and where besides no value of S is missing or, if x is
//! missing itself, S has no row. NOT is brought down to what it is about, so that in nearly every place only this has to be asked.
//! Where what is not known is told from what is false, a CASE has all three. Where neither side can be missing nothing is changed.
//!
//! A subquery that stands for its value has none where it has no row. DataFusion takes what it stands for to be there whenever its
//! column is declared so, and simplifies by that; so such a subquery is put into a function that may give nothing ([`of_no_row`]).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, ExprSchema, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::functions::expr_fn::nullif;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::logical_expr::expr::{Exists, InList, InSubquery};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction_owned};
use datafusion::logical_expr::{
    BinaryExpr, Case, Distinct, Expr, ExprSchemable, Filter, Join, JoinType, LogicalPlan, LogicalPlanBuilder, Operator,
    Subquery, Union, exists, lit, not, not_exists, scalar_subquery,
};

use crate::allow::{Refusal, RefusalCode};
use crate::predicate::column;

/// What the values of a subquery are called while they are looked at. No name of a statement begins like this.
const OTHER: &str = "__other";

/// A plan whose questions for membership, and whose subqueries that may have no row, are put so that DataFusion answers them rightly.
/// What can't be put so is refused.
pub(crate) fn written_out(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>, Refusal> {
    let mut writer = Writer::default();
    let written =
        writer.outer_columns(plan).and_then(|plan| plan.transform_up_with_subqueries(|node| writer.node(node)));
    match written {
        Ok(written) if !writer.is_refused => Ok(written),
        _ => Err(Refusal::new(
            RefusalCode::ClauseNotAllowed,
            "IN (SELECT …) can't be answered at that place, where a value may be missing; write EXISTS or NOT EXISTS with the tests for NULL that are meant",
        )),
    }
}

#[derive(Default)]
struct Writer {
    /// Whether the node at hand has other words now.
    is_changed: bool,
    /// Whether a subquery may have no row, so that columns may have a missing value where they had none.
    is_nullable: bool,
    is_refused: bool,
}

impl Writer {
    fn node(&mut self, node: LogicalPlan) -> DataFusionResult<Transformed<LogicalPlan>> {
        self.is_changed = false;
        let node = self.one_row(node)?;
        let node = self.no_rows(node)?;
        let written = match node {
            LogicalPlan::Filter(mut filter) if asks(&filter.predicate) => {
                filter.predicate = self.when(filter.predicate, true, true, filter.input.schema())?;
                LogicalPlan::Filter(filter)
            }
            LogicalPlan::Join(join) if join.filter.as_ref().is_some_and(asks) => self.join(join)?,
            // A subquery has no plan in a list of columns. What a condition above makes of such a column has one.
            LogicalPlan::Projection(ref projection) if projection.expr.iter().any(asks) => {
                let input = Arc::clone(projection.input.schema());
                let names = NamePreserver::new(&node);
                let written = node.map_expressions(|expr| {
                    let name = names.save(&expr);
                    Ok(Transformed::yes(name.restore(self.value(expr, &input)?)))
                });
                written?.data
            }
            other => other,
        };
        Ok(Transformed::new_transformed(written, self.is_changed))
    }

    /// A plan with a subquery that may have no row: whatever its subqueries take from outside may come of that one.
    fn outer_columns(&mut self, plan: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let mut may_have_no_row = false;
        plan.apply_with_subqueries(|node| {
            may_have_no_row |=
                node.expressions().iter().any(|expr| expr.exists(|part| Ok(is_of_no_row(part))).unwrap_or(true));
            Ok(if may_have_no_row { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !may_have_no_row {
            return Ok(plan);
        }
        self.is_nullable = true;
        let written = plan.transform_up_with_subqueries(|node| {
            node.map_expressions(|expr| {
                expr.transform(|part| match part {
                    Expr::OuterReferenceColumn(field, column) if !field.is_nullable() => {
                        let field = Arc::new(field.as_ref().clone().with_nullable(true));
                        Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
                    }
                    other => Ok(Transformed::no(other)),
                })
            })
        });
        Ok(written?.data)
    }

    /// Whether there is a row of an aggregate over the whole of something, which there always is. DataFusion looks for one beside each row
    /// outside that the subquery takes something from.
    fn one_row(&mut self, node: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let names = NamePreserver::new(&node);
        let written = node.map_expressions(|expr| {
            let name = names.save(&expr);
            let written = expr.transform(|part| match part {
                Expr::Exists(Exists { ref subquery, negated })
                    if !subquery.outer_ref_columns.is_empty() && has_one_row(&subquery.subquery) =>
                {
                    Ok(Transformed::yes(lit(!negated)))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(written.update_data(|expr| name.restore(expr)))
        })?;
        self.is_changed |= written.transformed;
        Ok(written.data)
    }

    /// Subqueries of a node that stand for values, as what may be missing, and what its columns are then.
    fn no_rows(&mut self, node: LogicalPlan) -> DataFusionResult<LogicalPlan> {
        let names = NamePreserver::new(&node);
        let written = node.map_expressions(|expr| {
            // Of grouping sets every column may be missing already.
            if matches!(expr, Expr::GroupingSet(_)) || !has_scalar_subquery(&expr) {
                return Ok(Transformed::no(expr));
            }
            let name = names.save(&expr);
            Ok(expr.transform_down(of_no_row)?.update_data(|expr| name.restore(expr)))
        })?;
        self.is_changed |= written.transformed;
        match written.data {
            node if !self.is_nullable => Ok(node),
            // As it is made when it is planned. Its schema is not computed again as those of others are.
            LogicalPlan::Union(union) => Ok(LogicalPlan::Union(Union::try_new_with_loose_types(union.inputs)?)),
            node => node.recompute_schema(),
        }
    }

    /// What an inner join asks is asked of its rows. Other joins ask it of pairs that may come to nothing.
    fn join(&mut self, mut join: Join) -> DataFusionResult<LogicalPlan> {
        let schema = merge_schema(&[join.left.as_ref(), join.right.as_ref()]);
        let parts = join.filter.take().map(split_conjunction_owned).unwrap_or_default();
        let (asking, others): (Vec<Expr>, Vec<Expr>) = parts.into_iter().partition(asks);
        let mut written = Vec::with_capacity(asking.len());
        for part in asking.clone() {
            written.push(self.when(part, true, true, &schema)?);
        }
        if !self.is_changed {
            join.filter = conjunction(others.into_iter().chain(asking));
            return Ok(LogicalPlan::Join(join));
        }
        self.is_refused |= join.join_type != JoinType::Inner;
        join.filter = conjunction(others);
        let joined = LogicalPlan::Join(join);
        match conjunction(written) {
            Some(condition) => Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(joined))?)),
            None => Ok(joined),
        }
    }

    /// A condition that is true exactly where another is true, or where it is false if that is asked, and false or not known elsewhere.
    /// Alone is one that leaves a row out by itself.
    fn when(&mut self, expr: Expr, truth: bool, is_alone: bool, schema: &DFSchema) -> DataFusionResult<Expr> {
        if !asks(&expr) {
            return Ok(if truth { expr } else { not(expr) });
        }
        match expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
                let both = (op == Operator::And) == truth;
                let is_alone = is_alone && both;
                let left = self.when(*left, truth, is_alone, schema)?;
                let right = self.when(*right, truth, is_alone, schema)?;
                Ok(if both { left.and(right) } else { left.or(right) })
            }
            Expr::Not(of) => self.when(*of, !truth, is_alone, schema),
            Expr::IsTrue(of) if truth => self.when(*of, true, is_alone, schema),
            Expr::IsNotTrue(of) if !truth => self.when(*of, true, is_alone, schema),
            Expr::IsFalse(of) if truth => self.when(*of, false, is_alone, schema),
            Expr::IsNotFalse(of) if !truth => self.when(*of, false, is_alone, schema),
            Expr::IsTrue(of) | Expr::IsNotTrue(of) => {
                Ok(Expr::IsNotTrue(Box::new(self.when(*of, true, false, schema)?)))
            }
            Expr::IsFalse(of) | Expr::IsNotFalse(of) => {
                Ok(Expr::IsNotTrue(Box::new(self.when(*of, false, false, schema)?)))
            }
            Expr::Case(Case { expr: None, when_then_expr, else_expr }) => {
                let mut branches = Vec::with_capacity(when_then_expr.len());
                for (met, then) in when_then_expr {
                    let met = self.when(*met, true, false, schema)?;
                    branches.push((Box::new(met), Box::new(self.when(*then, truth, false, schema)?)));
                }
                let other = match else_expr {
                    Some(other) => Some(Box::new(self.when(*other, truth, false, schema)?)),
                    None => None,
                };
                Ok(Expr::Case(Case { expr: None, when_then_expr: branches, else_expr: other }))
            }
            other => match Membership::read(other) {
                Ok(membership) => self.membership_when(membership, truth, is_alone, schema),
                Err(other) => {
                    let value = self.value(other, schema)?;
                    Ok(if truth { value } else { not(value) })
                }
            },
        }
    }

    fn membership_when(
        &mut self,
        mut asked: Membership,
        truth: bool,
        is_alone: bool,
        schema: &DFSchema,
    ) -> DataFusionResult<Expr> {
        asked.is_negated ^= !truth;
        if let Some(comparison) = asked.of_one_row() {
            self.is_changed = true;
            return Ok(comparison);
        }
        let may_be_missing = asked.may_be_missing(schema);
        let is_known = may_be_missing == (false, false) || (is_alone && matches!(*asked.value, Expr::Column(_)));
        if !asked.is_negated || (is_known && !asked.is_correlated()) {
            return Ok(asked.into_original());
        }
        let Some(value) = self.outside(&asked, schema)? else { return Ok(asked.into_original()) };
        let none_equal = not_exists(asked.others_that(column(OTHER).eq(value))?);
        Ok(match asked.known(may_be_missing)? {
            Some(known) => none_equal.and(known),
            None => none_equal,
        })
    }

    /// An expression that has the value of another everywhere, true, false or missing.
    fn value(&mut self, expr: Expr, schema: &DFSchema) -> DataFusionResult<Expr> {
        let written = expr.transform_up(|part| match Membership::read(part) {
            Ok(asked) => self.membership_value(asked, schema).map(Transformed::yes),
            Err(other) => Ok(Transformed::no(other)),
        });
        Ok(written?.data)
    }

    fn membership_value(&mut self, asked: Membership, schema: &DFSchema) -> DataFusionResult<Expr> {
        if let Some(comparison) = asked.of_one_row() {
            self.is_changed = true;
            return Ok(comparison);
        }
        let Some(known) = asked.known(asked.may_be_missing(schema))? else { return Ok(asked.into_original()) };
        let Some(value) = self.outside(&asked, schema)? else { return Ok(asked.into_original()) };
        let any_equal = exists(asked.others_that(column(OTHER).eq(value))?);
        let (among, not_among) = (Box::new(lit(!asked.is_negated)), Box::new(lit(asked.is_negated)));
        Ok(Expr::Case(Case {
            expr: None,
            when_then_expr: vec![(Box::new(any_equal), among), (Box::new(known), not_among)],
            else_expr: None,
        }))
    }

    /// The value that is looked for as a subquery sees it. None, and a refusal, where it can't be seen from there: DataFusion knows
    /// the columns of the nearest query around alone, and brings a condition up no LIMIT.
    fn outside(&mut self, asked: &Membership, schema: &DFSchema) -> DataFusionResult<Option<Expr>> {
        let is_out_of_sight = asked.value.exists(|part| {
            Ok(match part {
                Expr::OuterReferenceColumn(..) | Expr::InSubquery(_) | Expr::Exists(_) => true,
                Expr::ScalarSubquery(subquery) => !subquery.outer_ref_columns.is_empty(),
                _ => false,
            })
        })?;
        // The first rows of no order may be others each time that they are asked for.
        let is_correlated = asked.is_correlated();
        let is_limited = asked.others.subquery.exists(|node| {
            Ok(matches!(node, LogicalPlan::Limit(limit) if is_correlated || !is_sorted(&limit.input)))
        })?;
        if is_out_of_sight || is_limited {
            self.is_refused = true;
            return Ok(None);
        }
        self.is_changed = true;
        let value = asked.value.as_ref().clone().transform(|part| match part {
            Expr::Column(column) => {
                let field = Arc::clone(schema.field_from_column(&column)?);
                Ok(Transformed::yes(Expr::OuterReferenceColumn(field, column)))
            }
            other => Ok(Transformed::no(other)),
        })?;
        Ok(Some(value.data))
    }
}

/// A value, and what it may be among.
struct Membership {
    value: Box<Expr>,
    others: Subquery,
    is_negated: bool,
}

impl Membership {
    /// Reads `value IN (SELECT …)`, for which `IN ((SELECT …))` is another spelling. Gives back what is none.
    fn read(expr: Expr) -> Result<Membership, Expr> {
        match expr {
            Expr::InSubquery(InSubquery { expr: value, subquery: others, negated: is_negated })
                if is_of_one(&others) =>
            {
                Ok(Membership { value, others, is_negated })
            }
            Expr::InList(InList { expr: value, mut list, negated: is_negated }) => match list.pop() {
                Some(Expr::ScalarSubquery(others)) if list.is_empty() && is_of_one(&others) => {
                    Ok(Membership { value, others, is_negated })
                }
                last => {
                    list.extend(last);
                    Err(Expr::InList(InList { expr: value, list, negated: is_negated }))
                }
            },
            other => Err(other),
        }
    }

    fn into_original(self) -> Expr {
        Expr::InSubquery(InSubquery::new(self.value, self.others, self.is_negated))
    }

    /// Whether the subquery takes something from the row outside.
    fn is_correlated(&self) -> bool {
        !self.others.outer_ref_columns.is_empty()
    }

    /// Whether the value may be missing, and one of the others.
    fn may_be_missing(&self, schema: &DFSchema) -> (bool, bool) {
        let others = self.others.subquery.schema().fields();
        (self.value.nullable(schema).unwrap_or(true), others.iter().any(|field| field.is_nullable()))
    }

    /// The comparison with the one row that an aggregate over the whole of something has, also where that is nothing: a subquery
    /// that takes something from outside has none there for DataFusion, unless it stands for its value.
    fn of_one_row(&self) -> Option<Expr> {
        // Of one row DISTINCT leaves it.
        let mut others = &self.others.subquery;
        while let LogicalPlan::Distinct(Distinct::All(input)) = &**others {
            others = input;
        }
        if !self.is_correlated() || !has_one_row(others) {
            return None;
        }
        let operator = if self.is_negated { Operator::NotEq } else { Operator::Eq };
        let other = Box::new(Expr::ScalarSubquery(Subquery { subquery: Arc::clone(others), ..self.others.clone() }));
        Some(Expr::BinaryExpr(BinaryExpr::new(self.value.clone(), operator, other)))
    }

    /// True where it is known that the value is not among the others, given that it equals none of them. None if that is always known.
    fn known(&self, may_be_missing: (bool, bool)) -> DataFusionResult<Option<Expr>> {
        let (value_may, others_may) = may_be_missing;
        let none_missing = self.none_that(column(OTHER).is_null())?;
        let none_at_all = self.none_that(lit(true))?;
        let value = self.value.as_ref().clone();
        Ok(match (value_may, others_may) {
            (false, false) => None,
            (false, true) => Some(none_missing),
            (true, false) => Some(value.is_not_null().or(none_at_all)),
            (true, true) => Some(Expr::Case(Case {
                expr: None,
                when_then_expr: vec![(Box::new(value.is_null()), Box::new(none_at_all))],
                else_expr: Some(Box::new(none_missing)),
            })),
        })
    }

    /// Whether none of the others meets a condition. Those that are the same for each row are counted once, before the first.
    fn none_that(&self, condition: Expr) -> DataFusionResult<Expr> {
        let others = self.others_that(condition)?;
        if self.is_correlated() {
            return Ok(not_exists(others));
        }
        let counted = LogicalPlanBuilder::new_from_arc(others).aggregate(Vec::<Expr>::new(), [count(lit(1_i64))])?;
        Ok(scalar_subquery(Arc::new(counted.build()?)).eq(lit(0_i64)))
    }

    fn others_that(&self, condition: Expr) -> DataFusionResult<Arc<LogicalPlan>> {
        let of = Expr::Column(Column::from(self.others.subquery.schema().qualified_field(0)));
        let others = LogicalPlanBuilder::new_from_arc(Arc::clone(&self.others.subquery)).project([of.alias(OTHER)])?;
        Ok(Arc::new(others.filter(condition)?.build()?))
    }
}

fn has_scalar_subquery(expr: &Expr) -> bool {
    expr.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_)))).unwrap_or(true)
}

/// A subquery that stands for a value, within NULLIF where its column is never missing and it may have no row. One that stands alone
/// in a list is no value: it is asked for membership.
fn of_no_row(expr: Expr) -> DataFusionResult<Transformed<Expr>> {
    Ok(match expr {
        expr if is_of_no_row(&expr) => {
            Transformed::new(nullif(expr, lit(ScalarValue::Null)), true, TreeNodeRecursion::Jump)
        }
        other => match Membership::read(other) {
            Ok(membership) => Transformed::no(membership.into_original()),
            Err(other) => Transformed::no(other),
        },
    })
}

/// Whether a subquery stands for a value that DataFusion takes to be there, and may have no row.
fn is_of_no_row(expr: &Expr) -> bool {
    let Expr::ScalarSubquery(Subquery { subquery, .. }) = expr else { return false };
    subquery.schema().fields().iter().all(|field| !field.is_nullable()) && !has_one_row(subquery)
}

/// Whether an expression asks for membership in a subquery's values.
fn asks(expr: &Expr) -> bool {
    let found = expr.exists(|part| {
        Ok(match part {
            Expr::InSubquery(_) => true,
            Expr::InList(within) => matches!(within.list.as_slice(), [Expr::ScalarSubquery(_)]),
            _ => false,
        })
    });
    found.unwrap_or(true)
}

/// Whether a subquery has one column. What has more is refused elsewhere.
fn is_of_one(others: &Subquery) -> bool {
    others.subquery.schema().fields().len() == 1
}

fn is_sorted(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => is_sorted(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => is_sorted(&alias.input),
        LogicalPlan::Sort(_) => true,
        _ => false,
    }
}

fn has_one_row(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Projection(projection) => has_one_row(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => has_one_row(&alias.input),
        LogicalPlan::Distinct(Distinct::All(input)) => has_one_row(input),
        LogicalPlan::Aggregate(aggregate) => aggregate.group_expr.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
