//! A table of a department's database that is read for each answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::error::{DataFusionError, Result as DataFusionResult};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown, TableType};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::streaming::{PartitionStream, StreamingTableExec};
use lingqu_domain::scope::ColumnName;
use tokio::sync::mpsc;

use super::agreed::changes;
use super::condition::{Conditions, Remote, RemoteColumn, conjuncts};
use super::row_names::RowNames;
use crate::columns::{ColumnType, ColumnView, SchemaView, row_field};
use crate::postgres::{
    ConnectionName, Connections, PostgresError, ReadRows, Reading, ReadingTime, Relation, Statement, TableAddress,
    read_rows,
};
use crate::source::{SchemaDrift, SourceError};

/// Batches that wait for whoever takes them.
const BATCHES_AHEAD: usize = 2;

/// A live table. Cheap to keep: it holds no connection while nothing is read.
#[derive(Debug)]
pub struct LiveTable {
    connections: Connections,
    connection: ConnectionName,
    address: TableAddress,
    columns: Vec<RemoteColumn>,
    is_utf8: bool,
    /// Places of the key's columns.
    key: Vec<usize>,
    names: RowNames,
    /// The columns and, last, the name of the row.
    schema: SchemaRef,
    can_be_held: bool,
    /// Set by the first reading that finds the table changed.
    is_outdated: AtomicBool,
}

impl LiveTable {
    /// Looks a table up and compares its columns with those that are wanted; others are left alone. `key` tells its rows
    /// apart. Errors: the database can't be reached; the columns differ; a key that can't be one.
    pub async fn open(
        connections: &Connections,
        connection: &ConnectionName,
        table: &TableAddress,
        wanted: &SchemaView,
        key: &[ColumnName],
        names: RowNames,
    ) -> Result<Arc<LiveTable>, SourceError> {
        let mut reading = connections.read(connection, ReadingTime::Live).await?;
        let relation = Relation::find(&mut reading, table).await?;
        reading.end().await?;
        let mut columns = Vec::with_capacity(wanted.columns.len());
        let mut found = Vec::new();
        for column in &wanted.columns {
            let Some(known) = relation.column(&column.name) else { continue };
            let Some(wire) = known.wire else { return Err(relation.bad_type(known).into()) };
            let column_type = Relation::type_for(wire, column.column_type);
            found.push(ColumnView { name: column.name.clone(), column_type });
            columns.push(RemoteColumn {
                quoted: known.quoted(),
                wire,
                view: column.clone(),
                is_deterministic: known.is_deterministic,
                type_name: known.type_name.clone(),
                is_required: known.is_required,
            });
        }
        let found = SchemaView { columns: found };
        if &found != wanted {
            let mut drift = SchemaDrift::between(wanted, &found);
            // A type that a copy could be brought to is not enough: conditions are compared where the data is.
            for (column, there) in
                wanted.columns.iter().filter_map(|column| Some((column, found.column(&column.name)?)))
            {
                let is_told = drift.changed.iter().any(|change| change.column == column.name.as_str());
                if column.column_type != there.column_type && !is_told {
                    drift.changed.push(crate::source::TypeChange {
                        column: column.name.to_string(),
                        expected: column.column_type,
                        found: there.column_type,
                    });
                }
            }
            return Err(SourceError::Drift { file: table.to_string(), drift: Box::new(drift) });
        }
        let key = places_of(key, wanted, table)?;
        let mut fields: Vec<Arc<Field>> = wanted.arrow().fields().to_vec();
        fields.push(Arc::new(row_field()));
        Ok(Arc::new(LiveTable {
            connections: connections.clone(),
            connection: connection.clone(),
            address: table.clone(),
            columns,
            is_utf8: relation.is_utf8,
            key,
            names,
            schema: Arc::new(Schema::new(fields)),
            can_be_held: relation.can_be_held,
            is_outdated: AtomicBool::new(false),
        }))
    }

    /// Whether a reading found that the table is not what it was when it was opened. It must be opened again.
    pub fn is_outdated(&self) -> bool {
        self.is_outdated.load(Ordering::Acquire)
    }

    /// Begins a reading in which the table is what it was when it was opened. Errors: the database can't be reached; the
    /// table was changed.
    async fn begin(&self) -> Result<Reading, PostgresError> {
        let held = self.can_be_held.then_some(&self.address);
        let mut reading = self.connections.read_held(&self.connection, ReadingTime::Live, held).await?;
        let now = Relation::find(&mut reading, &self.address).await?;
        let changes = changes(&self.columns, self.is_utf8, &now);
        if changes.is_empty() {
            return Ok(reading);
        }
        Err(self.noticed(PostgresError::Changed { table: self.address.clone(), changes }))
    }

    /// Remembers that the table was changed, where an error says so.
    fn noticed(&self, error: PostgresError) -> PostgresError {
        if matches!(error, PostgresError::Changed { .. }) {
            self.is_outdated.store(true, Ordering::Release);
        }
        error
    }

    /// The columns, the row's name last.
    pub(crate) fn arrow_schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn remote(&self) -> Remote<'_> {
        Remote { columns: &self.columns, is_utf8: self.is_utf8 }
    }

    /// Whether every part of a condition is one that the database decides as the engine does.
    pub(crate) fn sends_whole(&self, condition: Option<&Expr>) -> bool {
        let mut conditions = Conditions::default();
        let remote = self.remote();
        condition.is_none_or(|condition| conjuncts(condition).into_iter().all(|part| conditions.add(part, remote)))
    }

    /// The rows that meet `base` as far as the database can tell.
    pub(crate) fn provider(table: &Arc<LiveTable>, base: Option<&Expr>) -> Arc<dyn TableProvider> {
        Arc::new(LiveScan { table: Arc::clone(table), base: base.cloned() })
    }
}

/// The places of the key's columns. Errors: there are none; one is missing or a floating-point number.
fn places_of(key: &[ColumnName], wanted: &SchemaView, table: &TableAddress) -> Result<Vec<usize>, SourceError> {
    let bad = |problem: &str| SourceError::BadOptions {
        reason: format!(
            "{table}: receipts name the rows of live data by their key, and {problem}; correct the catalogue entry's key"
        ),
    };
    if key.is_empty() {
        return Err(bad("the resource declares none"));
    }
    let mut places = Vec::with_capacity(key.len());
    for name in key {
        let place = wanted.columns.iter().position(|column| &column.name == name);
        let place = place.ok_or_else(|| bad(&format!("`{name}` is not one of its columns")))?;
        if wanted.columns[place].column_type == ColumnType::Float {
            return Err(bad(&format!("`{name}` is a floating-point number")));
        }
        places.push(place);
    }
    Ok(places)
}

/// A live table with the row filter of a grant.
#[derive(Debug)]
struct LiveScan {
    table: Arc<LiveTable>,
    base: Option<Expr>,
}

#[async_trait]
impl TableProvider for LiveScan {
    fn schema(&self) -> SchemaRef {
        self.table.arrow_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        let mut supported = Vec::with_capacity(filters.len());
        for filter in filters {
            // Never exact: what the database sends is filtered again.
            supported.push(if Conditions::default().add(filter, self.table.remote()) {
                TableProviderFilterPushDown::Inexact
            } else {
                TableProviderFilterPushDown::Unsupported
            });
        }
        Ok(supported)
    }

    async fn scan(
        &self,
        _state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        // A limit counts rows of the answer, not of the table; it stays here.
        _limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        let table = &self.table;
        let mut conditions = Conditions::default();
        let mut sent: Vec<&Expr> = Vec::new();
        for part in self.base.iter().flat_map(conjuncts).chain(filters) {
            // One that is left out is applied above all the same.
            if !sent.contains(&part) && conditions.add(part, table.remote()) {
                sent.push(part);
            }
        }
        let all = table.schema.fields().len();
        let wanted: Vec<usize> = projection.cloned().unwrap_or_else(|| (0..all).collect());
        let mut read: Vec<usize> = wanted.iter().copied().filter(|place| *place < table.columns.len()).collect();
        for place in &table.key {
            if !read.contains(place) {
                read.push(*place);
            }
        }
        let schema = Arc::new(table.schema.project(&wanted)?);
        let rows = LiveRows {
            statement: statement(table, &read, conditions)?,
            outputs: wanted.iter().map(|place| read.iter().position(|known| known == place)).collect(),
            key: table.key.iter().filter_map(|place| read.iter().position(|known| known == place)).collect(),
            table: Arc::clone(table),
            schema: Arc::clone(&schema),
        };
        let plan = StreamingTableExec::try_new(schema, vec![Arc::new(rows)], None, Vec::new(), false, None)?;
        Ok(Arc::new(plan))
    }
}

fn statement(table: &LiveTable, read: &[usize], conditions: Conditions) -> DataFusionResult<Statement> {
    let columns: Vec<&RemoteColumn> = read.iter().map(|place| &table.columns[*place]).collect();
    let names: Vec<&str> = columns.iter().map(|column| column.quoted.as_str()).collect();
    let text = format!("SELECT {} FROM {}{}", names.join(", "), table.address.quoted(), conditions.clause());
    Ok(Statement {
        table: table.address.clone(),
        text,
        parameters: conditions.parameters,
        columns: columns.iter().map(|column| (column.wire, column.view.clone())).collect(),
        schema: Arc::new(table.schema.project(read)?),
    })
}

/// The rows of one reading.
#[derive(Debug)]
struct LiveRows {
    table: Arc<LiveTable>,
    statement: Statement,
    /// For each column of the schema its place in the statement; none for the row's name.
    outputs: Vec<Option<usize>>,
    /// Places of the key in the statement.
    key: Vec<usize>,
    schema: SchemaRef,
}

impl PartitionStream for LiveRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let (table, statement) = (Arc::clone(&self.table), self.statement.clone());
        let (outputs, key, schema) = (self.outputs.clone(), self.key.clone(), Arc::clone(&self.schema));
        let batches = async_stream::try_stream! {
            let reading = table.begin().await.map_err(fault)?;
            let (sent, mut taken) = mpsc::channel(BATCHES_AHEAD);
            let reader = tokio::spawn(read_rows(reading, statement, sent));
            while let Some(batch) = taken.recv().await {
                let read = batch.and_then(ReadRows::whole);
                let batch = read.map_err(|error| fault(table.noticed(error)))?;
                yield named(&table, &batch, &outputs, &key, &schema)?;
            }
            // A reader that ended early would look like the end of the rows.
            reader.await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?;
        };
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

/// The columns that are wanted of a batch, with the rows' names.
fn named(
    table: &LiveTable,
    batch: &RecordBatch,
    outputs: &[Option<usize>],
    key: &[usize],
    schema: &SchemaRef,
) -> DataFusionResult<RecordBatch> {
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(outputs.len());
    for output in outputs {
        columns.push(match output {
            Some(place) => Arc::clone(batch.column(*place)),
            None => {
                let key: Vec<ArrayRef> = key.iter().map(|place| Arc::clone(batch.column(*place))).collect();
                let names = table.names.of(&key, batch.num_rows());
                let names = names.ok_or_else(|| {
                    let reason = "a row of live data has a key with a missing part; declare columns as the key that are never empty";
                    fault(PostgresError::Settings { reason: reason.to_owned() })
                })?;
                Arc::new(names)
            }
        });
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

fn fault(error: PostgresError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}
