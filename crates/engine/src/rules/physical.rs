//! The same of plans that are ready to run: a condition that may fail is not merged with others again, and a column that may fail
//! is not computed before the condition or the limit above which it stands.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::common::{JoinType, ScalarValue};
use datafusion::error::Result as DataFusionResult;
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, IsNotNullExpr, IsNullExpr, LikeExpr, Literal, NegativeExpr,
    NotExpr, TryCastExpr,
};
use datafusion::physical_expr::scalar_subquery::ScalarSubqueryExpr;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::coalesce_partitions::CoalescePartitionsExec;
use datafusion::physical_plan::filter::FilterExec;
use datafusion::physical_plan::joins::{HashJoinExec, NestedLoopJoinExec, SortMergeJoinExec};
use datafusion::physical_plan::projection::{ProjectionExec, remove_unnecessary_projections, try_embed_projection};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::sorts::sort_preserving_merge::SortPreservingMergeExec;
use datafusion::physical_plan::union::UnionExec;

use super::fallible::{
    COMPUTED_MAX, is_logical, is_number, is_short, is_total_arithmetic, is_total_cast, is_total_function,
};

/// A physical rule.
type Rule = Arc<dyn PhysicalOptimizerRule + Send + Sync>;

/// The names under which the pinned DataFusion has the rules that are kept from something.
const MERGE_CONDITIONS: &str = "FilterPushdown";
const HAND_ON_WHAT_IS_LEARNED: &str = "FilterPushdown(Post)";
const MOVE_COLUMNS: &str = "ProjectionPushdown";

/// A physical rule as it may be used, in the place of DataFusion's.
pub(crate) fn kept(rule: Rule) -> Rule {
    match rule.name() {
        MERGE_CONDITIONS => Arc::new(Unless { rule, goes_wrong: keeps_its_condition }),
        HAND_ON_WHAT_IS_LEARNED => Arc::new(Unless { rule, goes_wrong: keeps_what_it_learns }),
        MOVE_COLUMNS => Arc::new(Columns { rule }),
        _ => rule,
    }
}

/// A rule that is left out where it would go wrong with a part of the plan.
#[derive(Debug)]
struct Unless {
    rule: Rule,
    goes_wrong: fn(&Arc<dyn ExecutionPlan>) -> DataFusionResult<bool>,
}

impl PhysicalOptimizerRule for Unless {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        if plan.exists(self.goes_wrong)? { Ok(plan) } else { self.rule.optimize(plan, config) }
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

/// Whether this is a filter whose condition had better stay. A filter takes over those that nobody below it takes, and its own come last
/// then: so where one may fail, none is handed on; the logical rules have brought the others where they belong. Nor is one where a column
/// that it is about might be taken for another ([`mistakes_a_column`]).
fn keeps_its_condition(node: &Arc<dyn ExecutionPlan>) -> DataFusionResult<bool> {
    match node.downcast_ref::<FilterExec>() {
        Some(filter) => {
            Ok(may_fail(filter.predicate(), &filter.input().schema()) || mistakes_a_column(filter.input())?)
        }
        None => Ok(false),
    }
}

/// Whether this is a join that had better keep to itself what it learns of its keys on one side while the query runs: a key might be taken
/// for another column on its way down the other side.
fn keeps_what_it_learns(node: &Arc<dyn ExecutionPlan>) -> DataFusionResult<bool> {
    match node.downcast_ref::<HashJoinExec>() {
        Some(join) => mistakes_a_column(join.right()),
        None => Ok(false),
    }
}

/// The rule that moves columns down. A column that may fail stays above what leaves rows out or stops early, and a part of a join's
/// condition stays in it.
#[derive(Debug)]
struct Columns {
    rule: Rule,
}

impl PhysicalOptimizerRule for Columns {
    fn optimize(
        &self,
        plan: Arc<dyn ExecutionPlan>,
        config: &ConfigOptions,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let is_found = plan.exists(|node| {
            Ok(computes_what_may_fail(node)
                || is_conditional_merge(node)
                || node
                    .downcast_ref::<NestedLoopJoinExec>()
                    .and_then(NestedLoopJoinExec::filter)
                    .is_some_and(|condition| may_fail(condition.expression(), condition.schema())))
        })?;
        if !is_found {
            return self.rule.optimize(plan, config);
        }
        plan.transform_down(|node| {
            let Some(projection) = node.downcast_ref::<ProjectionExec>() else { return Ok(Transformed::no(node)) };
            let input = projection.input();
            // DataFusion (55.2) would narrow what is joined, and leave the condition with the columns of before.
            if is_conditional_merge(input) {
                return Ok(Transformed::no(node));
            }
            if !computes_what_may_fail(&node) {
                return remove_unnecessary_projections(node);
            }
            if let Some(filter) = input.downcast_ref::<FilterExec>() {
                // Columns that are not needed any more are left out by the filter all the same.
                let narrowed = try_embed_projection(projection, filter)?;
                return Ok(narrowed.map_or_else(|| Transformed::no(Arc::clone(&node)), Transformed::yes));
            }
            let stops = input.is::<SortExec>() || input.is::<SortPreservingMergeExec>();
            if stops || input.is::<CoalescePartitionsExec>() {
                return Ok(Transformed::no(node));
            }
            remove_unnecessary_projections(node)
        })
        .data()
    }

    fn name(&self) -> &str {
        self.rule.name()
    }

    fn schema_check(&self) -> bool {
        self.rule.schema_check()
    }
}

fn is_conditional_merge(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<SortMergeJoinExec>().is_some_and(|join| join.filter().is_some())
}

/// Whether a condition on the columns of a plan might come to another column on its way down. DataFusion (55.2) looks for a column by its
/// name in what is below, and takes the first. A join asks on which side, so its own columns may share a name.
fn mistakes_a_column(top: &Arc<dyn ExecutionPlan>) -> DataFusionResult<bool> {
    let is_ambiguous = |schema: &Schema| {
        let mut names = HashSet::new();
        schema.fields().iter().any(|field| !names.insert(field.name().as_str()))
    };
    top.exists(|node| {
        let join = node.downcast_ref::<HashJoinExec>();
        if is_ambiguous(&node.schema()) && !(Arc::ptr_eq(node, top) && join.is_some()) {
            return Ok(true);
        }
        if node.is::<UnionExec>() {
            // Of all that it puts together it tells the first names.
            let schema = node.schema();
            let names_others = |input: &&Arc<dyn ExecutionPlan>| {
                !input
                    .schema()
                    .fields()
                    .iter()
                    .map(|field| field.name())
                    .eq(schema.fields().iter().map(|field| field.name()))
            };
            return Ok(node.children().iter().any(names_others));
        }
        // A semi-join hands what is asked of its keys on to the other side too.
        let other_name = |key: &Arc<dyn PhysicalExpr>, other: &Arc<dyn PhysicalExpr>, of: &Arc<dyn ExecutionPlan>| {
            let found = key.downcast_ref::<Column>().and_then(|key| of.schema().index_of(key.name()).ok());
            found.is_some_and(|found| other.downcast_ref::<Column>().is_none_or(|other| other.index() != found))
        };
        Ok(join.is_some_and(|join| match join.join_type() {
            JoinType::LeftSemi => join.on().iter().any(|(left, right)| other_name(left, right, join.right())),
            JoinType::RightSemi => join.on().iter().any(|(left, right)| other_name(right, left, join.left())),
            _ => false,
        }))
    })
}

fn computes_what_may_fail(node: &Arc<dyn ExecutionPlan>) -> bool {
    node.downcast_ref::<ProjectionExec>().is_some_and(|projection| {
        let schema = projection.input().schema();
        projection.expr().iter().any(|column| may_fail(&column.expr, &schema))
    })
}

/// Whether an expression may fail on a row of this schema: the counterpart of [`super::fallible::may_fail`].
fn may_fail(expr: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let (mut parts, mut computed) = (vec![expr], 0);
    while let Some(part) = parts.pop() {
        computed += usize::from(computes(part));
        if computed > COMPUTED_MAX || !is_total(part, schema) {
            return true;
        }
        parts.extend(part.children());
    }
    false
}

fn computes(part: &Arc<dyn PhysicalExpr>) -> bool {
    match part.downcast_ref::<BinaryExpr>() {
        Some(binary) => !is_logical(*binary.op()),
        None => part.is::<CastExpr>() || part.is::<NegativeExpr>() || part.is::<ScalarFunctionExpr>(),
    }
}

/// Whether a part can't fail, given that those it is made of don't.
fn is_total(part: &Arc<dyn PhysicalExpr>, schema: &Schema) -> bool {
    let type_of = |expr: &Arc<dyn PhysicalExpr>| expr.data_type(schema).ok();
    if let Some(binary) = part.downcast_ref::<BinaryExpr>() {
        return is_logical(*binary.op())
            || match (type_of(binary.left()), type_of(binary.right())) {
                (Some(left), Some(right)) => is_total_arithmetic(*binary.op(), &left, &right, constant(binary.right())),
                _ => false,
            };
    }
    if let Some(cast) = part.downcast_ref::<CastExpr>() {
        return type_of(cast.expr()).is_some_and(|from| is_total_cast(&from, cast.cast_type()));
    }
    if let Some(negative) = part.downcast_ref::<NegativeExpr>() {
        return constant(negative.arg()).is_none() && type_of(negative.arg()).is_some_and(|of| is_number(&of));
    }
    if let Some(like) = part.downcast_ref::<LikeExpr>() {
        return !like.case_insensitive() && constant(like.pattern()).is_some_and(is_short);
    }
    if let Some(call) = part.downcast_ref::<ScalarFunctionExpr>() {
        let constants: Vec<Option<&ScalarValue>> = call.args().iter().map(constant).collect();
        let type_at = |at: usize| -> Option<DataType> { type_of(call.args().get(at)?) };
        return is_total_function(call.fun().name(), &constants, type_at);
    }
    part.is::<Column>()
        || part.is::<Literal>()
        || part.is::<NotExpr>()
        || part.is::<IsNullExpr>()
        || part.is::<IsNotNullExpr>()
        || part.is::<CaseExpr>()
        || part.is::<InListExpr>()
        || part.is::<TryCastExpr>()
        || part.is::<ScalarSubqueryExpr>()
}

fn constant(expr: &Arc<dyn PhysicalExpr>) -> Option<&ScalarValue> {
    expr.downcast_ref::<Literal>().map(Literal::value)
}
