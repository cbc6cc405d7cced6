//! PostgreSQL's tables as the library makes them, with those in their places that tell of the order's table what the library does
//! not know.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::{MemTable, SchemaProvider, TableProvider};
use datafusion::common::internal_err;
use datafusion::error::Result as DataFusionResult;
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;

/// A table by its name.
pub(super) type Named = (&'static str, Arc<dyn TableProvider>);

/// PostgreSQL's tables, some of them replaced or added.
#[derive(Debug)]
pub(super) struct Overlaid {
    of_postgres: Arc<dyn SchemaProvider>,
    own: BTreeMap<&'static str, Arc<dyn TableProvider>>,
}

impl Overlaid {
    pub(super) fn new(of_postgres: Arc<dyn SchemaProvider>, own: Vec<Named>) -> Overlaid {
        Overlaid { of_postgres, own: own.into_iter().collect() }
    }
}

#[async_trait]
impl SchemaProvider for Overlaid {
    fn table_names(&self) -> Vec<String> {
        let mut names = self.of_postgres.table_names();
        names.extend(self.own.keys().filter(|name| !self.of_postgres.table_exist(name)).map(|name| (*name).to_owned()));
        names
    }

    async fn table(&self, name: &str) -> DataFusionResult<Option<Arc<dyn TableProvider>>> {
        if let Some(own) = self.own.get(name.to_ascii_lowercase().as_str()) {
            return Ok(Some(Arc::clone(own)));
        }
        self.of_postgres.table(name).await
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.contains_key(name.to_ascii_lowercase().as_str()) || self.of_postgres.table_exist(name)
    }
}

/// All of a table that the library makes as it is read.
pub(super) async fn read(
    context: &SessionContext,
    of_postgres: &dyn SchemaProvider,
    name: &str,
) -> DataFusionResult<RecordBatch> {
    let Some(table) = of_postgres.table(name).await? else { return internal_err!("there is no table {name}") };
    let schema = table.schema();
    let batches = context.read_table(table)?.collect().await?;
    Ok(concat_batches(&schema, &batches)?)
}

/// A table of these rows.
pub(super) fn table_of(schema: SchemaRef, rows: Vec<RecordBatch>) -> DataFusionResult<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(schema, vec![rows])?))
}

/// One row of a table by the names of its columns. Those that are not named have no value, or nought where they must have one.
pub(super) fn row(schema: &SchemaRef, values: &[(&str, ScalarValue)]) -> DataFusionResult<RecordBatch> {
    let mut columns = Vec::with_capacity(schema.fields().len());
    for field in schema.fields() {
        let value = match values.iter().find(|(name, _)| name == field.name()) {
            Some((_, value)) => value.cast_to(field.data_type())?,
            None if field.is_nullable() => ScalarValue::try_new_null(field.data_type())?,
            None => ScalarValue::new_default(field.data_type())?,
        };
        columns.push(value.to_array()?);
    }
    Ok(RecordBatch::try_new(Arc::clone(schema), columns)?)
}
