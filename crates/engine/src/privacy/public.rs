//! The groups of an answer, made from declared values alone.
//!
//! Which groups occur in the data would tell of it, whatever noise their numbers have: so an answer has a row for every group
//! that the declared values of its dimensions make, and for no other. Where the statement groups by expressions (the month
//! of a day), its groups are what the expressions make of the declared values; conditions on nothing but these
//! dimensions leave groups out, since they need no data to be judged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{concat_batches, take};
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::common::ScalarValue;
use datafusion::common::tree_node::{Transformed, TransformedResult, TreeNode};
use datafusion::datasource::{MemTable, provider_as_source};
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::TaskContext;
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, SubqueryAlias};
use lingqu_domain::scope::ColumnName;
use tokio::time::Instant;

use super::NoisedRules;
use super::question::Question;
use crate::allow::{Refusal, RefusalCode};
use crate::engine::Engine;
use crate::execution::{EngineError, LimitedBatches, Limits, sanitise};
use crate::governed::GovernedTable;
use crate::guard::shape::not_an_aggregate;
use crate::guard::values_of;
use crate::predicate::{column, literal_for};
use crate::session::start;

/// Most combinations of declared values that a statement's groups are made from.
const COMBINATIONS_MAX: usize = 1_000_000;
/// Most groups of an answer.
pub(crate) const GROUPS_MAX: usize = 10_000;

/// The groups of an answer, in an order of their own.
#[derive(Debug)]
pub(crate) struct PublicGroups {
    /// A row for each group, a column for each grouping in the order of its canonical text.
    pub(crate) batch: RecordBatch,
    /// The condition that a row's dimensions have declared values. Rows without are left out before anything is added up: so
    /// the rows that are left are of public groups alone, and how many groups they make is bounded by what is public.
    pub(crate) condition: Option<Expr>,
    places: BTreeMap<Vec<Vec<u8>>, usize>,
}

impl PublicGroups {
    /// The one group of a statement that groups by nothing.
    fn whole() -> DataFusionResult<PublicGroups> {
        let options = RecordBatchOptions::new().with_row_count(Some(1));
        let batch = RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options)?;
        Ok(PublicGroups { batch, condition: None, places: BTreeMap::from([(Vec::new(), 0)]) })
    }

    /// Groups of distinct rows, in the order of their values.
    fn of(batches: &[RecordBatch], schema: &SchemaRef, condition: Option<Expr>) -> DataFusionResult<PublicGroups> {
        let batch = concat_batches(schema, batches)?;
        let keys = keys_of(&batch, schema.fields().len())?;
        let mut sorted: BTreeMap<Vec<Vec<u8>>, u64> = BTreeMap::new();
        for (row, key) in keys.into_iter().enumerate() {
            sorted.entry(key).or_insert(row as u64);
        }
        let order = UInt64Array::from_iter_values(sorted.values().copied());
        let columns: Result<Vec<ArrayRef>, _> =
            batch.columns().iter().map(|column| take(column.as_ref(), &order, None)).collect();
        let places = sorted.into_keys().enumerate().map(|(place, key)| (key, place)).collect();
        Ok(PublicGroups { batch: RecordBatch::try_new(Arc::clone(schema), columns?)?, condition, places })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.places.len()
    }

    /// The place of each row's group among them; none for a group that is not public. The first columns of the batch are the
    /// groupings.
    pub(crate) fn places_of(&self, batch: &RecordBatch) -> DataFusionResult<Vec<Option<usize>>> {
        let schema = self.batch.schema();
        let mut columns = Vec::new();
        for (column, field) in batch.columns().iter().zip(schema.fields()) {
            columns.push(arrow::compute::cast(column, field.data_type())?);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let groups = RecordBatch::try_new_with_options(schema, columns, &options)?;
        let keys = keys_of(&groups, groups.num_columns())?;
        Ok(keys.iter().map(|key| self.places.get(key).copied()).collect())
    }
}

fn unaliased(expression: &Expr) -> Expr {
    match expression {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other.clone(),
    }
}

/// Each row of a batch as the values of its first columns, in bytes that sort as they do.
fn keys_of(batch: &RecordBatch, columns: usize) -> DataFusionResult<Vec<Vec<Vec<u8>>>> {
    let mut keys = vec![Vec::with_capacity(columns); batch.num_rows()];
    for column in 0..columns {
        for (key, value) in keys.iter_mut().zip(values_of(std::slice::from_ref(batch), column)?) {
            key.push(value);
        }
    }
    Ok(keys)
}

/// Checks that every dimension that is grouped by has declared values, and not too many of them. Nothing is read.
pub(crate) fn check(question: &Question, rules: &NoisedRules) -> Result<(), Refusal> {
    let mut combinations: usize = 1;
    for name in question.grouped_columns() {
        let declared = ColumnName::new(name.as_str()).ok().and_then(|name| rules.noise.domains.get(&name));
        let Some(values) = declared else {
            let declared: Vec<String> = rules.noise.domains.keys().map(ToString::to_string).collect();
            let what = format!(
                "the product declares no values of `{name}`, and which of them occur would tell of the data; group by {}, and filter by any dimension",
                if declared.is_empty() { "nothing".to_owned() } else { declared.join(", ") }
            );
            return Err(Refusal::new(RefusalCode::DomainNotDeclared, what).granting(declared));
        };
        combinations = combinations.saturating_mul(values.len());
    }
    if combinations > COMBINATIONS_MAX {
        return Err(too_many_groups());
    }
    Ok(())
}

pub(crate) fn too_many_groups() -> Refusal {
    let what = format!(
        "the statement has too many groups: {GROUPS_MAX} at most, made from {COMBINATIONS_MAX} combinations of declared values; group by fewer dimensions"
    );
    Refusal::new(RefusalCode::AggregateNotAllowed, what)
}

/// The groups of a question, worked out from the declared values alone.
pub(crate) async fn groups(
    engine: &Engine,
    state: &SessionState,
    task: &Arc<TaskContext>,
    question: &Question,
    rules: &NoisedRules,
    table: &GovernedTable,
    (limits, deadline): (&Limits, Instant),
) -> Result<PublicGroups, EngineError> {
    check(question, rules)?;
    if question.groups.is_empty() {
        return PublicGroups::whole().map_err(|error| sanitise(&error));
    }
    let declared = declared(question, rules, table)?;
    let combined = combined(&declared).map_err(|error| sanitise(&error))?;
    let plan = plan_of(question, combined).map_err(|error| sanitise(&error))?;
    let stream = start(engine, state, &plan, Arc::clone(task)).await?;
    let schema = stream.schema();
    let most = Limits { rows_max: GROUPS_MAX as u64, ..*limits };
    let mut batches = LimitedBatches::new(stream, most, deadline);
    let mut found = Vec::new();
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => found.push(batch),
            Err(EngineError::TooManyRows { .. }) => return Err(too_many_groups().into()),
            Err(other) => return Err(other),
        }
    }
    PublicGroups::of(&found, &schema, condition(&declared)).map_err(|error| sanitise(&error))
}

/// A dimension that is grouped by, with its declared values in the type that it is shown in.
struct Declared {
    field: Field,
    values: Vec<ScalarValue>,
}

fn declared(question: &Question, rules: &NoisedRules, table: &GovernedTable) -> Result<Vec<Declared>, EngineError> {
    let mut dimensions = Vec::new();
    for name in question.grouped_columns() {
        let values = ColumnName::new(name.as_str()).ok().and_then(|name| rules.noise.domains.get(&name));
        let shown = table.columns().iter().find(|column| column.name.as_str() == name);
        let (Some(values), Some(shown)) = (values, shown) else { return Err(not_an_aggregate().into()) };
        let mut literals = Vec::with_capacity(values.len());
        for value in values {
            // A mask may show the column as another type than its values were declared in.
            literals.push(literal_for(value, &shown.data_type, &name)?);
        }
        dimensions.push(Declared { field: Field::new(name, shown.data_type.clone(), true), values: literals });
    }
    Ok(dimensions)
}

fn condition(declared: &[Declared]) -> Option<Expr> {
    let mut condition: Option<Expr> = None;
    for Declared { field, values } in declared {
        let values = values.iter().map(|value| Expr::Literal(value.clone(), None)).collect();
        let listed = column(field.name()).in_list(values, false);
        condition = Some(match condition {
            None => listed,
            Some(others) => others.and(listed),
        });
    }
    condition
}

/// Every combination of the declared values: at most [`COMBINATIONS_MAX`], which [`check`] has seen to.
fn combined(declared: &[Declared]) -> DataFusionResult<RecordBatch> {
    let combinations: usize = declared.iter().map(|dimension| dimension.values.len()).product();
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    let mut repeats = 1;
    for Declared { field, values } in declared {
        let length = values.len();
        let values = ScalarValue::iter_to_array(values.iter().cloned())?;
        let indices = UInt64Array::from_iter_values((0..combinations).map(|row| (row / repeats % length) as u64));
        repeats *= length;
        fields.push(field.clone());
        columns.push(take(values.as_ref(), &indices, None)?);
    }
    // A statement that groups by a constant looks at no dimension.
    let options = RecordBatchOptions::new().with_row_count(Some(combinations));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// The groupings over the declared values, each group once.
fn plan_of(question: &Question, declared: RecordBatch) -> DataFusionResult<LogicalPlan> {
    let grouped = question.grouped_columns();
    let table = MemTable::try_new(declared.schema(), vec![vec![declared]])?;
    let source = provider_as_source(Arc::new(table));
    let mut plan = over(&question.input, &source)?;
    for condition in question.conditions.values() {
        let used: BTreeSet<&str> = condition.column_refs().into_iter().map(|column| column.name.as_str()).collect();
        if !used.is_empty() && used.iter().all(|name| grouped.contains(*name)) {
            plan = LogicalPlanBuilder::from(plan).filter(unqualified(condition.clone())?)?.build()?;
        }
    }
    let mut outputs = Vec::new();
    for (place, group) in question.groups.values().enumerate() {
        outputs.push(unqualified(unaliased(group))?.alias(format!("g{place}")));
    }
    LogicalPlanBuilder::from(plan).project(outputs)?.distinct()?.build()
}

/// A scan of the declared values under the name and aliases of the table.
fn over(input: &LogicalPlan, source: &Arc<dyn datafusion::logical_expr::TableSource>) -> DataFusionResult<LogicalPlan> {
    Ok(match input {
        LogicalPlan::Filter(filter) => over(&filter.input, source)?,
        LogicalPlan::SubqueryAlias(alias) => LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(
            Arc::new(over(&alias.input, source)?),
            alias.alias.clone(),
        )?),
        LogicalPlan::TableScan(scan) => {
            LogicalPlanBuilder::scan(scan.table_name.clone(), Arc::clone(source), None)?.build()?
        }
        _ => return datafusion::common::internal_err!("the shape below the aggregate was checked"),
    })
}

fn unqualified(expression: Expr) -> DataFusionResult<Expr> {
    expression
        .transform(|part| {
            Ok(match part {
                Expr::Column(named) => Transformed::yes(column(&named.name)),
                other => Transformed::no(other),
            })
        })
        .data()
}
