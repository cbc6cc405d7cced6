//! A product over one live table, which is never made into files: its statement may only choose columns, rename them and
//! leave out rows by conditions that can't fail.
//!
//! Anything else a statement could compute may fail on a row, and whether it does would depend on which rows a consumer's
//! condition lets through: a question about rows that he may not see. A product that is made into files computes for all
//! rows before anybody asks.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::error::Result as DataFusionResult;
use datafusion::logical_expr::{Expr, LogicalPlan, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use lingqu_domain::scope::ColumnName;

use crate::ROW_COLUMN;
use crate::allow::{self, Granted};
use crate::columns::{SchemaView, row_field, subject_column};
use crate::engine::{Engine, register};
use crate::execution::{EngineError, sanitise};
use crate::federation::condition::conjuncts;
use crate::federation::subjects::{LiveSubjects, subject_number};
use crate::governed::{GovernedTable, HiddenColumns};
use crate::predicate::{column, is_leak_proof};
use crate::raw::RawTable;

/// Why a product can't stand over a live table.
#[derive(Debug, thiserror::Error)]
pub enum LiveProductUnfit {
    /// Its statement can't be planned.
    #[error(transparent)]
    Statement(#[from] EngineError),
    /// It computes something.
    #[error(
        "a product over live data may choose columns, rename them and compare columns with constants in WHERE, nothing more; its statement has {what}: take that out, or take the data in as a snapshot"
    )]
    NotPlain {
        /// What it has too much.
        what: String,
    },
    /// Its table is not live.
    #[error("the table `{table}` is not live")]
    NotLive {
        /// The table.
        table: String,
    },
}

/// A product over one live table.
#[derive(Debug)]
pub struct LiveProduct {
    /// The live table as the product's permit allows it to be seen.
    input: Arc<GovernedTable>,
    /// Name and place among the input's columns.
    columns: Vec<(String, usize)>,
    /// The statement's own conditions, over the input's columns.
    conditions: Vec<Expr>,
    /// Who numbers the subjects, and their columns' places among the input's.
    subjects: Option<(LiveSubjects, Vec<usize>)>,
    /// The columns, the hidden ones of subjects and, last, the name of the row.
    schema: SchemaRef,
}

impl LiveProduct {
    /// Reads a product's statement over its one input. `subjects`: whom the rows are about, if about anybody. Errors: the
    /// statement does more than choose; it lacks a column that names subjects, or shows it masked.
    pub async fn new(
        engine: &Arc<Engine>,
        sql: &str,
        input: Arc<GovernedTable>,
        subjects: Option<LiveSubjects>,
    ) -> Result<Arc<Self>, LiveProductUnfit> {
        if !matches!(input.raw(), RawTable::Live(_)) {
            return Err(LiveProductUnfit::NotLive { table: input.name().to_owned() });
        }
        // A department's table is marked as a product, where its rows are delivered, or not at all.
        if input.marks().is_some() {
            return Err(not_plain("marks in its table; declare them for the product"));
        }
        let state = engine.governed_state(1);
        register(&state, input.name(), input.provider(HiddenColumns::None)).map_err(|error| sanitise(&error))?;
        let granted: Granted = [(input.name().to_owned(), input.column_names())].into();
        let plan = allow::plan(&state, sql, &granted).await.map_err(EngineError::from)?;
        let plan = state.optimize(&plan).map_err(|error| sanitise(&error))?;
        let mut conditions = Vec::new();
        let chosen = chosen(&plan, &mut conditions)?;
        for condition in &conditions {
            if !is_leak_proof(condition, input.exact_columns()) {
                return Err(not_plain("a condition on a masked column, or one that is more than a comparison"));
            }
        }
        let mut columns = Vec::with_capacity(chosen.len());
        let mut fields = Vec::with_capacity(chosen.len() + 1);
        for (name, source) in chosen {
            if ColumnName::new(name.as_str()).is_err() {
                return Err(not_plain("a column whose name is none; give it one with AS"));
            }
            let place = input.columns().iter().position(|column| column.name.as_str() == source);
            let place = place.ok_or_else(|| not_plain("a column that its table does not have"))?;
            fields.push(Field::new(&name, input.columns()[place].data_type.clone(), true));
            columns.push((name, place));
        }
        let mut subject_places = Vec::new();
        for (number, subject) in subjects.iter().flat_map(|subjects| &subjects.columns).enumerate() {
            let named = columns.iter().find(|(name, _)| name == subject.as_str());
            let (_, place) = named.ok_or_else(|| not_plain("no column that names its subject; choose it as well"))?;
            // A consent is given under a whole identity; under a part of one it would be somebody else's too.
            if input.columns()[*place].mask.is_some() {
                return Err(not_plain("a masked column as the name of its subject"));
            }
            subject_places.push(*place);
            fields.push(Field::new(subject_column(number), DataType::Int64, true));
        }
        fields.push(row_field());
        let subjects = subjects.map(|subjects| (subjects, subject_places));
        Ok(Arc::new(Self { input, columns, conditions, subjects, schema: Arc::new(Schema::new(fields)) }))
    }

    /// The columns, the row's name last.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// The visible columns.
    pub fn schema_view(&self) -> SchemaView {
        SchemaView::of_arrow(&self.schema)
            .expect("names were checked and types are those of governed columns when the product was read")
    }

    /// Whom the rows are about, if about anybody.
    pub(super) fn subjects(&self) -> Option<&LiveSubjects> {
        self.subjects.as_ref().map(|(subjects, _)| subjects)
    }

    /// Whether its table was found changed and must be opened again.
    pub fn is_outdated(&self) -> bool {
        matches!(self.input.raw(), RawTable::Live(table) if table.is_outdated())
    }

    /// Whether a condition, and with it the input's own, is decided by the database as the engine does.
    pub(crate) fn sends_whole(&self, condition: Option<&Expr>) -> bool {
        let RawTable::Live(table) = self.input.raw() else { return false };
        let known: Vec<&Expr> = condition.into_iter().flat_map(conjuncts).collect();
        let mapped: Vec<Option<Expr>> = known.iter().map(|part| self.over_input(part)).collect();
        table.sends_whole(self.input.row_filter())
            && self.conditions.iter().all(|part| table.sends_whole(Some(part)))
            && mapped.iter().all(|part| part.as_ref().is_some_and(|part| table.sends_whole(Some(part))))
    }

    /// The product's rows; `base` is applied to them above and told here.
    pub(crate) fn provider(product: &Arc<Self>, base: Option<&Expr>) -> Arc<dyn TableProvider> {
        let mut known = Vec::new();
        for part in base.into_iter().flat_map(conjuncts) {
            known.extend(product.over_input(part));
        }
        Arc::new(ChosenRows { product: Arc::clone(product), base: known })
    }

    /// A condition over the product's columns as one over the input's, where all of them are exact there.
    fn over_input(&self, condition: &Expr) -> Option<Expr> {
        let mut is_known = true;
        let renamed = condition.clone().transform(|part| {
            let Expr::Column(named) = &part else { return Ok(Transformed::no(part)) };
            let Some((_, place)) = self.columns.iter().find(|(name, _)| *name == named.name) else {
                is_known = false;
                return Ok(Transformed::no(part));
            };
            Ok(Transformed::yes(column(self.input.columns()[*place].name.as_str())))
        });
        let renamed = renamed.data().ok()?;
        (is_known && is_leak_proof(&renamed, self.input.exact_columns())).then_some(renamed)
    }
}

/// The columns that a plan chooses, as its own name and the table's, and the conditions on the way.
fn chosen(plan: &LogicalPlan, conditions: &mut Vec<Expr>) -> Result<Vec<(String, String)>, LiveProductUnfit> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            if scan.fetch.is_some() {
                return Err(not_plain("a LIMIT"));
            }
            for filter in &scan.filters {
                conditions.push(unqualified(filter)?);
            }
            let fields = scan.projected_schema.fields();
            Ok(fields.iter().map(|field| (field.name().clone(), field.name().clone())).collect())
        }
        LogicalPlan::SubqueryAlias(alias) => chosen(&alias.input, conditions),
        LogicalPlan::Projection(projection) => {
            let below = chosen(&projection.input, conditions)?;
            let mut columns = Vec::with_capacity(projection.expr.len());
            for (expression, field) in projection.expr.iter().zip(projection.schema.fields()) {
                let Expr::Column(named) = expression.clone().unalias() else {
                    return Err(not_plain(&format!("a computed column `{}`", field.name())));
                };
                let source = below.iter().find(|(name, _)| *name == named.name);
                let (_, source) = source.ok_or_else(|| not_plain("a column that its table does not have"))?;
                columns.push((field.name().clone(), source.clone()));
            }
            Ok(columns)
        }
        LogicalPlan::Filter(_) => {
            Err(not_plain("a condition that is more than comparisons of unmasked columns with constants"))
        }
        LogicalPlan::Limit(_) => Err(not_plain("a LIMIT")),
        LogicalPlan::Sort(_) => Err(not_plain("an ORDER BY")),
        LogicalPlan::Aggregate(_) | LogicalPlan::Distinct(_) => Err(not_plain("a GROUP BY, DISTINCT or aggregate")),
        LogicalPlan::Join(_) => Err(not_plain("a join")),
        _ => Err(not_plain("a clause that computes")),
    }
}

fn not_plain(what: &str) -> LiveProductUnfit {
    LiveProductUnfit::NotPlain { what: what.to_owned() }
}

fn unqualified(expression: &Expr) -> Result<Expr, LiveProductUnfit> {
    let bare = expression.clone().transform(|part| {
        Ok(match part {
            Expr::Column(named) => Transformed::yes(column(&named.name)),
            other => Transformed::no(other),
        })
    });
    Ok(bare.data().map_err(|error| sanitise(&error))?)
}

/// A product's rows with the row filter of a grant.
#[derive(Debug)]
struct ChosenRows {
    product: Arc<LiveProduct>,
    /// Parts of the filter that can be told to the database, over the input's columns.
    base: Vec<Expr>,
}

#[async_trait]
impl TableProvider for ChosenRows {
    fn schema(&self) -> SchemaRef {
        self.product.arrow_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let mut supported = Vec::with_capacity(filters.len());
        for filter in filters {
            supported.push(if self.product.over_input(filter).is_some() {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            });
        }
        Ok(supported)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let LiveProduct { input, columns, conditions, subjects, .. } = self.product.as_ref();
        let mut base = conditions.clone();
        base.extend(self.base.iter().cloned());
        let mut wanted = base.clone();
        wanted.extend(filters.iter().filter_map(|filter| self.product.over_input(filter)));
        let rows = input.rows(&base, &wanted)?;
        let places: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.product.schema.fields().len()).collect());
        let mut outputs = Vec::with_capacity(places.len());
        for place in places {
            if let Some((name, source)) = columns.get(place) {
                outputs.push(input.shown(*source)?.alias(name));
                continue;
            }
            let number = place - columns.len();
            let subject = subjects.as_ref().and_then(|(subjects, places)| Some((subjects, places.get(number)?)));
            outputs.push(match subject {
                Some((subjects, source)) => {
                    subject_number(&subjects.numbers, input.shown(*source)?).alias(subject_column(number))
                }
                None => column(ROW_COLUMN),
            });
        }
        state.create_physical_plan(&rows.project(outputs)?.build()?).await
    }
}
