//! Conditions that may fail stay where they are written, each behind those before it, and nothing is merged with them. All
//! others are pushed down as ever.
//!
//! A filter of several conditions becomes one filter each for those that may fail, one upon another in the order of the words,
//! above one for those that can't: each is asked of the rows alone that all others below it leave in. Conditions that can't fail
//! go on from there; through one that may they pass, since fewer rows come to it then.

use std::sync::Arc;

use datafusion::common::internal_err;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::utils::{conjunction, merge_schema, split_conjunction, split_conjunction_owned};
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, Join, JoinType, LogicalPlan, Operator, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::fallible::may_fail;
use super::guards::{asks_others, is_guard, when};
use super::links::are_joined;
use super::{FallibleKeys, Rule};

/// Most filters of one condition each, one upon another; what is beyond them shares the uppermost. Plans are walked by recursion.
const FILTERS_MAX: usize = 32;

/// Puts conditions that may fail apart from those that can't, and those upon a join into it, before a rule that makes keys of joins of
/// what it finds upon them. What can't go into the join is written so that it finds no key.
#[derive(Debug)]
pub(super) struct Apart {
    keys: FallibleKeys,
}

impl Apart {
    pub(super) fn before(keys: FallibleKeys) -> Self {
        Self { keys }
    }
}

impl OptimizerRule for Apart {
    fn name(&self) -> &'static str {
        "conditions_apart"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        Ok(match (apart(&plan)?, plan) {
            (Some(apart), _) => Transformed::yes(all_into_join(apart, self.keys).data),
            (None, LogicalPlan::Join(join)) if join.join_type == JoinType::Inner => gathered(join),
            (None, plan) => all_into_join(plan, self.keys),
        })
    }
}

/// The rule that pushes conditions down, without those that may fail.
#[derive(Debug)]
pub(super) struct Conditions {
    rule: Rule,
}

impl Conditions {
    pub(super) fn of(rule: Rule) -> Self {
        Self { rule }
    }

    /// The rule on a plan whose uppermost join, if any, shows none of its conditions that may fail.
    fn pushed(
        &self,
        plan: LogicalPlan,
        config: &dyn OptimizerConfig,
        Hidden { hidden, is_guarded }: Hidden,
    ) -> DataFusionResult<Transformed<LogicalPlan>> {
        if hidden.is_empty() {
            return self.rule.rewrite(plan, config);
        }
        let as_written = plan.clone();
        let pushed = self.rule.rewrite(plan, config)?;
        if let Some(whole) = with_hidden(pushed.data, &hidden) {
            return Ok(Transformed::new_transformed(whole, pushed.transformed || !is_guarded));
        }
        // The rule has put something in the place of the join, where its conditions are not known to be the same.
        match with_hidden(as_written, &hidden) {
            Some(whole) => Ok(Transformed::no(whole)),
            None => internal_err!("a join has lost its conditions"),
        }
    }
}

impl OptimizerRule for Conditions {
    fn name(&self) -> &str {
        self.rule.name()
    }

    /// A filter before what is below it: what the rule moves there is looked at in its turn.
    fn apply_order(&self) -> Option<ApplyOrder> {
        self.rule.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> DataFusionResult<Transformed<LogicalPlan>> {
        if let Some(apart) = apart(&plan)? {
            return Ok(Transformed::yes(apart));
        }
        match plan {
            LogicalPlan::Filter(filter) if may_fail(&filter.predicate, filter.input.schema()) => Ok(into_join(filter)),
            LogicalPlan::Filter(mut filter) => {
                let hidden = match Arc::unwrap_or_clone(filter.input) {
                    LogicalPlan::Join(mut join) => {
                        let hidden = Hidden::of(&mut join);
                        filter.input = Arc::new(LogicalPlan::Join(join));
                        hidden
                    }
                    other => {
                        filter.input = Arc::new(other);
                        Hidden::default()
                    }
                };
                self.pushed(LogicalPlan::Filter(filter), config, hidden)
            }
            LogicalPlan::Join(mut join) => {
                let hidden = Hidden::of(&mut join);
                self.pushed(LogicalPlan::Join(join), config, hidden)
            }
            other => self.rule.rewrite(other, config),
        }
    }
}

/// The filters at the top of a plan with their conditions apart. None where they are so already, and where none may fail.
fn apart(plan: &LogicalPlan) -> DataFusionResult<Option<LogicalPlan>> {
    let (mut below, mut levels) = (plan, Vec::new());
    while let LogicalPlan::Filter(filter) = below {
        levels.push(split_conjunction(&filter.predicate));
        below = &filter.input;
    }
    let schema = below.schema();
    // From below, in the order in which they are asked.
    let in_order = levels.iter().rev().flatten().copied();
    let (fallible, total): (Vec<&Expr>, Vec<&Expr>) = in_order.partition(|part| may_fail(part, schema));
    if fallible.is_empty() {
        return Ok(None);
    }
    let mut wanted: Vec<Vec<&Expr>> = Vec::new();
    if !total.is_empty() {
        wanted.push(total);
    }
    let most = wanted.len() + FILTERS_MAX;
    for part in fallible {
        if wanted.len() < most {
            wanted.push(vec![part]);
        } else if let Some(uppermost) = wanted.last_mut() {
            uppermost.push(part);
        }
    }
    if wanted.iter().rev().eq(levels.iter()) {
        return Ok(None);
    }
    let mut made = below.clone();
    for level in wanted {
        if let Some(predicate) = conjunction(level.into_iter().cloned()) {
            made = LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(made))?);
        }
    }
    Ok(Some(made))
}

/// A join's conditions that may fail, out of it.
#[derive(Default)]
struct Hidden {
    hidden: Vec<Expr>,
    /// Whether they go back as they were, if the others stay what they are.
    is_guarded: bool,
}

impl Hidden {
    fn of(join: &mut Join) -> Self {
        let hidden = hide(join);
        let is_guarded = match (hidden.as_slice(), &join.filter) {
            ([_], None) => true,
            ([only], Some(shown)) => is_guard(only, shown),
            _ => false,
        };
        Self { hidden, is_guarded }
    }
}

/// Takes a join's conditions that may fail out of it.
fn hide(join: &mut Join) -> Vec<Expr> {
    let Some(filter) = join.filter.take() else { return Vec::new() };
    let schema = merge_schema(&[join.left.as_ref(), join.right.as_ref()]);
    let (hidden, shown): (Vec<Expr>, Vec<Expr>) =
        split_conjunction_owned(filter).into_iter().partition(|part| may_fail(part, &schema));
    join.filter = conjunction(shown);
    hidden
}

/// Puts them back into the join at the top of a plan, or below the filters there. None where no join is.
fn with_hidden(plan: LogicalPlan, hidden: &[Expr]) -> Option<LogicalPlan> {
    match plan {
        LogicalPlan::Join(mut join) => {
            join.filter = together(join.filter.take(), hidden.to_vec());
            Some(LogicalPlan::Join(join))
        }
        LogicalPlan::Filter(mut filter) => {
            filter.input = Arc::new(with_hidden(Arc::unwrap_or_clone(filter.input), hidden)?);
            Some(LogicalPlan::Filter(filter))
        }
        _ => None,
    }
}

/// A join's conditions: those that can't fail by themselves, for other rules to see, and one of which each that may is asked of
/// the pairs that meet all before it. The rows of a batch of pairs do not matter to it.
fn together(shown: Option<Expr>, mut hidden: Vec<Expr>) -> Option<Expr> {
    // A guard of other conditions, as a consumer writes them too, is none of these.
    let is_guarded = matches!((hidden.first(), &shown), (Some(first), Some(shown)) if is_guard(first, shown));
    let Some(mut fallible) = hidden.pop() else { return shown };
    while let Some(before) = hidden.pop() {
        fallible = when(before, fallible);
    }
    Some(match shown {
        None => fallible,
        Some(shown) if is_guarded => shown.and(fallible),
        Some(shown) => shown.clone().and(when(shown, fallible)),
    })
}

/// The filters at the top of a plan, the lowest first, into the join below them, as far as they go there.
fn all_into_join(plan: LogicalPlan, keys: FallibleKeys) -> Transformed<LogicalPlan> {
    let LogicalPlan::Filter(mut filter) = plan else { return Transformed::no(plan) };
    let below = all_into_join(Arc::unwrap_or_clone(filter.input), keys);
    filter.input = Arc::new(below.data);
    let is_fallible = may_fail(&filter.predicate, filter.input.schema());
    let joined = if is_fallible { into_join(filter) } else { Transformed::no(LogicalPlan::Filter(filter)) };
    let joined = match joined.data {
        LogicalPlan::Filter(mut filter) if is_fallible && may_be_key(&filter, keys) => {
            filter.predicate = when(filter.predicate, lit(true));
            Transformed::yes(LogicalPlan::Filter(filter))
        }
        other => Transformed::new_transformed(other, joined.transformed),
    };
    Transformed::new_transformed(joined.data, joined.transformed || below.transformed)
}

/// Whether DataFusion's rule would make a key of a condition that may fail and stands right upon an inner join, where it should not:
/// for keys that are tried it should where nothing else joins the two sides.
fn may_be_key(filter: &Filter, keys: FallibleKeys) -> bool {
    match (filter.input.as_ref(), &filter.predicate) {
        (LogicalPlan::Join(join), _) if join.join_type != JoinType::Inner => false,
        (LogicalPlan::Join(_), predicate) if asks_others(predicate) => false,
        (LogicalPlan::Join(_), Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right })) => {
            keys == FallibleKeys::Reached || are_joined(left, right, &filter.input)
        }
        (LogicalPlan::Join(_), Expr::BinaryExpr(BinaryExpr { op: Operator::And | Operator::Or, .. })) => true,
        _ => false,
    }
}

/// The conditions that may fail of the inner joins right below an inner join as conditions of it, before its own: DataFusion's rule
/// takes such joins apart, and asks what it finds in them of the rows of all, the uppermost first.
fn gathered(mut join: Join) -> Transformed<LogicalPlan> {
    let mut hidden = taken(&mut join.left);
    hidden.extend(taken(&mut join.right));
    if hidden.is_empty() {
        return Transformed::no(LogicalPlan::Join(join));
    }
    hidden.extend(hide(&mut join));
    join.filter = together(join.filter.take(), hidden);
    Transformed::yes(LogicalPlan::Join(join))
}

/// Takes the conditions that may fail out of a side that is an inner join.
fn taken(side: &mut Arc<LogicalPlan>) -> Vec<Expr> {
    let mut join = match side.as_ref() {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && join.filter.is_some() => join.clone(),
        _ => return Vec::new(),
    };
    let hidden = hide(&mut join);
    if !hidden.is_empty() {
        *side = Arc::new(LogicalPlan::Join(join));
    }
    hidden
}

/// A condition that may fail and stands right upon an inner join, as one of the join: it is asked of the same pairs there, which are
/// not made into rows first.
fn into_join(filter: Filter) -> Transformed<LogicalPlan> {
    match filter.input.as_ref() {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner && is_of_pairs(&filter.predicate, join) => {
            let mut join = join.clone();
            let mut hidden = hide(&mut join);
            hidden.push(filter.predicate);
            join.filter = together(join.filter.take(), hidden);
            Transformed::yes(LogicalPlan::Join(join))
        }
        _ => Transformed::no(LogicalPlan::Filter(filter)),
    }
}

/// Whether a condition asks for columns of both sides, and for nothing that a join can't ask.
fn is_of_pairs(condition: &Expr, join: &Join) -> bool {
    let columns = condition.column_refs();
    let is_of = |side: &LogicalPlan| columns.iter().any(|column| side.schema().has_column(column));
    let has_subquery = condition.exists(|part| {
        Ok(matches!(
            part,
            Expr::Exists(_)
                | Expr::InSubquery(_)
                | Expr::SetComparison(_)
                | Expr::ScalarSubquery(_)
                | Expr::OuterReferenceColumn(..)
        ))
    });
    matches!(has_subquery, Ok(false)) && is_of(&join.left) && is_of(&join.right)
}
