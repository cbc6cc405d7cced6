//! Lineage: from which input columns a product's columns are computed.
//!
//! The walk goes over the unoptimised plan from the tables upwards and knows for every column of every node the input
//! columns its *values* are made of. Columns that only decide which rows there are (filters, join and group keys, sort
//! keys before a limit, subqueries in conditions) are *conditions* of the whole product: they tell of their column too,
//! so they bound every output column. What the walk does not understand is refused.

mod answer;
mod persons;

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchemaRef};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Distinct, Expr, JoinType, LogicalPlan, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use crate::allow::{self, Granted, Refusal, RefusalCode};
use crate::columns::{ColumnType, SchemaView};
use crate::engine::{Engine, register};
use crate::execution::EngineError;

pub(crate) use answer::of_answer;
pub use persons::{PersonColumns, Persons};

/// A column of an input table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InputColumn {
    /// The input, by the name that the product's SQL uses.
    pub table: String,
    /// The column.
    pub column: ColumnName,
}

/// An output column of a product and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductColumn {
    /// Its name.
    pub name: ColumnName,
    /// Its type.
    pub column_type: ColumnType,
    /// The input columns that its values are made of.
    pub lineage: BTreeSet<InputColumn>,
    /// True when its values are not simply those of one input column.
    pub computed: bool,
}

/// What a product's SQL yields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProductShape {
    /// The output columns in order.
    pub columns: Vec<ProductColumn>,
    /// Input columns that decide which rows there are; part of the lineage of every output column.
    pub conditions: BTreeSet<InputColumn>,
    /// Whether each row is made of one row of one input and of nothing else: no joins, aggregates, DISTINCT, windows, unions,
    /// subqueries or limits. False in shapes from before this was worked out.
    #[serde(default)]
    pub row_by_row: bool,
}

impl ProductShape {
    /// The visible schema of the product.
    pub fn schema_view(&self) -> SchemaView {
        let mut columns = Vec::with_capacity(self.columns.len());
        for column in &self.columns {
            columns.push(crate::ColumnView { name: column.name.clone(), column_type: column.column_type });
        }
        SchemaView { columns }
    }
}

/// Works out the columns of a product's SQL over inputs of known schemas. No data is read. Errors:
/// [`EngineError::Refused`] for a statement that is not allowed, an output column without a proper name or type, or a
/// plan that the walk does not understand.
pub async fn describe(
    engine: &Engine,
    sql: &str,
    inputs: &[(String, SchemaView)],
) -> Result<ProductShape, EngineError> {
    Ok(shape_of(&planned(engine, sql, inputs).await?)?)
}

/// The same, and whether every row is made of rows of the persons that it names. Errors: those of [`describe`].
pub async fn describe_with_persons(
    engine: &Engine,
    sql: &str,
    inputs: &[(String, SchemaView)],
    persons: &Persons,
) -> Result<(ProductShape, bool), EngineError> {
    let plan = planned(engine, sql, inputs).await?;
    Ok((shape_of(&plan)?, persons::is_by_person(&plan, persons)))
}

async fn planned(engine: &Engine, sql: &str, inputs: &[(String, SchemaView)]) -> Result<LogicalPlan, EngineError> {
    let state = engine.governed_state(1);
    let mut granted = Granted::new();
    for (name, schema) in inputs {
        granted.insert(name.clone(), schema.columns.iter().map(|column| column.name.to_string()).collect());
        register(&state, name, Arc::new(NamedSchema { schema: schema.arrow() }))
            .map_err(|error| EngineError::Settings { reason: error.strip_backtrace() })?;
    }
    Ok(allow::plan(&state, sql, &granted).await?)
}

/// The shape of a checked, unoptimised plan over tables named as in its scans.
pub(crate) fn shape_of(plan: &LogicalPlan) -> Result<ProductShape, Refusal> {
    let mut walk = Walk { conditions: BTreeSet::new(), outer: Vec::new() };
    let traced = walk.node(plan)?;
    let mut columns: Vec<ProductColumn> = Vec::with_capacity(traced.len());
    for (field, traced) in plan.schema().fields().iter().zip(traced) {
        let Ok(name) = ColumnName::new(field.name().as_str()) else {
            let what = format!("output column `{}` has no proper name; give it one with AS", field.name());
            return Err(Refusal::new(RefusalCode::StatementNotUnderstood, what));
        };
        if columns.iter().any(|column| column.name == name) {
            let what = format!("two output columns are named `{name}`; rename one with AS");
            return Err(Refusal::new(RefusalCode::StatementNotUnderstood, what));
        }
        let Some(column_type) = ColumnType::of_arrow(field.data_type()) else {
            let what = format!("output column `{name}` has a type that can't be delivered; CAST it");
            return Err(Refusal::new(RefusalCode::StatementNotUnderstood, what));
        };
        columns.push(ProductColumn { name, column_type, lineage: traced.sources, computed: traced.computed });
    }
    Ok(ProductShape { columns, conditions: walk.conditions, row_by_row: is_row_by_row(plan) })
}

/// Whether a plan makes each of its rows of one row of its one table.
fn is_row_by_row(plan: &LogicalPlan) -> bool {
    let has_subquery = |node: &LogicalPlan| {
        node.expressions().iter().any(|expression| {
            let found = expression
                .exists(|part| Ok(matches!(part, Expr::Exists(_) | Expr::InSubquery(_) | Expr::ScalarSubquery(_))));
            found.unwrap_or(true)
        })
    };
    let mut node = plan;
    loop {
        if has_subquery(node) {
            return false;
        }
        node = match node {
            LogicalPlan::TableScan(_) => return true,
            LogicalPlan::Projection(projection) => &projection.input,
            LogicalPlan::Filter(filter) => &filter.input,
            LogicalPlan::SubqueryAlias(alias) => &alias.input,
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => &sort.input,
            _ => return false,
        };
    }
}

#[derive(Clone, Debug, Default)]
struct Traced {
    sources: BTreeSet<InputColumn>,
    computed: bool,
}

struct Walk {
    conditions: BTreeSet<InputColumn>,
    /// The columns of the queries around a correlated subquery, innermost last.
    outer: Vec<(DFSchemaRef, Vec<Traced>)>,
}

fn not_understood(what: &str) -> Refusal {
    let what = format!("the origin of {what} can't be worked out; write the product without it");
    Refusal::new(RefusalCode::ClauseNotAllowed, what)
}

impl Walk {
    /// The trace of every output column of a node, in order.
    fn node(&mut self, plan: &LogicalPlan) -> Result<Vec<Traced>, Refusal> {
        match plan {
            LogicalPlan::TableScan(scan) => {
                let mut traced = Vec::new();
                for field in scan.projected_schema.fields() {
                    let column =
                        ColumnName::new(field.name().as_str()).map_err(|_| not_understood("a hidden column"))?;
                    let input = InputColumn { table: scan.table_name.table().to_owned(), column };
                    traced.push(Traced { sources: BTreeSet::from([input]), computed: false });
                }
                self.conditions_of(&scan.filters, plan.schema(), &traced)?;
                Ok(traced)
            }
            LogicalPlan::EmptyRelation(_) => Ok(vec![Traced::default(); plan.schema().fields().len()]),
            LogicalPlan::Projection(projection) => {
                let input = self.node(&projection.input)?;
                self.expressions(&projection.expr, projection.input.schema(), &input)
            }
            LogicalPlan::Filter(filter) => {
                let input = self.node(&filter.input)?;
                self.condition(&filter.predicate, filter.input.schema(), &input)?;
                Ok(input)
            }
            LogicalPlan::Sort(sort) => {
                let input = self.node(&sort.input)?;
                for key in &sort.expr {
                    self.condition(&key.expr, sort.input.schema(), &input)?;
                }
                Ok(input)
            }
            LogicalPlan::Limit(limit) => self.node(&limit.input),
            LogicalPlan::SubqueryAlias(alias) => self.node(&alias.input),
            LogicalPlan::Subquery(subquery) => self.node(&subquery.subquery),
            LogicalPlan::Window(window) => {
                let mut traced = self.node(&window.input)?;
                let added = self.expressions(&window.window_expr, window.input.schema(), &traced)?;
                traced.extend(added);
                Ok(traced)
            }
            LogicalPlan::Aggregate(aggregate) => {
                let input = self.node(&aggregate.input)?;
                let schema = aggregate.input.schema();
                // The key of a group decides which rows are in it, besides being shown.
                self.conditions_of(&aggregate.group_expr, schema, &input)?;
                let mut traced = self.group_columns(aggregate, &input)?;
                traced.extend(self.expressions(&aggregate.aggr_expr, schema, &input)?);
                Ok(traced)
            }
            LogicalPlan::Join(join) => {
                let left = self.node(&join.left)?;
                let right = self.node(&join.right)?;
                for (left_key, right_key) in &join.on {
                    self.condition(left_key, join.left.schema(), &left)?;
                    self.condition(right_key, join.right.schema(), &right)?;
                }
                let mut both = left.clone();
                both.extend(right.iter().cloned());
                if let Some(condition) = &join.filter {
                    let schema =
                        Arc::new(join.left.schema().join(join.right.schema()).map_err(|_| not_understood("a join"))?);
                    self.condition(condition, &schema, &both)?;
                }
                Ok(match join.join_type {
                    JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => both,
                    JoinType::LeftSemi | JoinType::LeftAnti => left,
                    JoinType::RightSemi | JoinType::RightAnti => right,
                    JoinType::LeftMark | JoinType::RightMark => return Err(not_understood("a mark join")),
                })
            }
            LogicalPlan::Union(union) => {
                let mut merged: Vec<Traced> = Vec::new();
                for input in &union.inputs {
                    let traced = self.node(input)?;
                    if merged.is_empty() {
                        merged = traced;
                    } else {
                        for (merged, traced) in merged.iter_mut().zip(traced) {
                            merged.computed = true;
                            merged.sources.extend(traced.sources);
                        }
                    }
                }
                Ok(merged)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let traced = self.node(input)?;
                for column in &traced {
                    self.conditions.extend(column.sources.iter().cloned());
                }
                Ok(traced)
            }
            LogicalPlan::Distinct(Distinct::On(distinct)) => {
                let input = self.node(&distinct.input)?;
                self.conditions_of(&distinct.on_expr, distinct.input.schema(), &input)?;
                for key in distinct.sort_expr.iter().flatten() {
                    self.condition(&key.expr, distinct.input.schema(), &input)?;
                }
                self.expressions(&distinct.select_expr, distinct.input.schema(), &input)
            }
            other => Err(not_understood(other.display().to_string().split(':').next().unwrap_or("a clause"))),
        }
    }

    /// The columns that an aggregate's grouping yields. GROUPING SETS add a column that says which set a row is of.
    fn group_columns(
        &mut self,
        aggregate: &datafusion::logical_expr::Aggregate,
        input: &[Traced],
    ) -> Result<Vec<Traced>, Refusal> {
        let schema = aggregate.input.schema();
        let has_sets = aggregate.group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
        if !has_sets {
            return self.expressions(&aggregate.group_expr, schema, input);
        }
        let all = self.expression(&aggregate.group_expr[0], schema, input)?;
        let count = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
        Ok(vec![Traced { computed: true, ..all }; count])
    }

    fn expressions(
        &mut self,
        expressions: &[Expr],
        schema: &DFSchemaRef,
        input: &[Traced],
    ) -> Result<Vec<Traced>, Refusal> {
        let mut traced = Vec::with_capacity(expressions.len());
        for expression in expressions {
            traced.push(self.expression(expression, schema, input)?);
        }
        Ok(traced)
    }

    fn conditions_of(&mut self, expressions: &[Expr], schema: &DFSchemaRef, input: &[Traced]) -> Result<(), Refusal> {
        for expression in expressions {
            self.condition(expression, schema, input)?;
        }
        Ok(())
    }

    fn condition(&mut self, expression: &Expr, schema: &DFSchemaRef, input: &[Traced]) -> Result<(), Refusal> {
        let traced = self.expression(expression, schema, input)?;
        self.conditions.extend(traced.sources);
        Ok(())
    }

    /// What an expression's value is made of: every column that occurs in it, subqueries included.
    fn expression(&mut self, expression: &Expr, schema: &DFSchemaRef, input: &[Traced]) -> Result<Traced, Refusal> {
        match expression {
            Expr::Alias(alias) => return self.expression(&alias.expr, schema, input),
            Expr::Column(column) => return Self::column(column, schema, input),
            _ => {}
        }
        let mut traced = Traced { sources: BTreeSet::new(), computed: true };
        let mut refusal = None;
        let walked = expression.apply(|part| {
            let found = match part {
                Expr::Column(column) => Self::column(column, schema, input).map(|found| found.sources),
                Expr::OuterReferenceColumn(_, column) => self.outer_column(column),
                Expr::ScalarSubquery(subquery) => self.subquery(&subquery.subquery, schema, input),
                Expr::InSubquery(subquery) => self.subquery(&subquery.subquery.subquery, schema, input),
                Expr::Exists(exists) => self.subquery(&exists.subquery.subquery, schema, input),
                _ => Ok(BTreeSet::new()),
            };
            Ok(match found {
                Ok(sources) => {
                    traced.sources.extend(sources);
                    TreeNodeRecursion::Continue
                }
                Err(found) => {
                    refusal = Some(found);
                    TreeNodeRecursion::Stop
                }
            })
        });
        match (refusal, walked) {
            (Some(refusal), _) => Err(refusal),
            (None, Err(_)) => Err(not_understood("an expression")),
            (None, Ok(_)) => Ok(traced),
        }
    }

    fn column(column: &Column, schema: &DFSchemaRef, input: &[Traced]) -> Result<Traced, Refusal> {
        let index = schema.index_of_column(column).map_err(|_| not_understood("a column"))?;
        input.get(index).cloned().ok_or_else(|| not_understood("a column"))
    }

    fn outer_column(&self, column: &Column) -> Result<BTreeSet<InputColumn>, Refusal> {
        for (schema, traced) in self.outer.iter().rev() {
            if let Some(index) = schema.maybe_index_of_column(column)
                && let Some(traced) = traced.get(index)
            {
                return Ok(traced.sources.clone());
            }
        }
        Err(not_understood("a column of the outer query"))
    }

    /// The columns of a subquery's output; its own conditions join those of the whole.
    fn subquery(
        &mut self,
        plan: &LogicalPlan,
        schema: &DFSchemaRef,
        input: &[Traced],
    ) -> Result<BTreeSet<InputColumn>, Refusal> {
        self.outer.push((Arc::clone(schema), input.to_vec()));
        let traced = self.node(plan);
        self.outer.pop();
        let mut sources = BTreeSet::new();
        for column in traced? {
            sources.extend(column.sources);
        }
        Ok(sources)
    }
}

/// A schema to plan against, without data.
#[derive(Debug)]
struct NamedSchema {
    schema: SchemaRef,
}

#[async_trait]
impl TableProvider for NamedSchema {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        _projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        datafusion::common::internal_err!("lineage reads no data")
    }
}
