//! Data taken from departments' PostgreSQL databases, and read from there live, with a real server.

mod ingestion;
mod jobs;
mod live;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use futures::StreamExt;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::postgres::{ConnectionName, Connections, TableAddress};
use lingqu_engine::source::{SourceError, TableSource};
use lingqu_engine::table_source::{Increment, Places, Previous, TableReference, Wanted, open};
use lingqu_engine::{ColumnType, ColumnView, SchemaView};
use lingqu_tests::PrivatePostgres;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection};

/// A database of a department.
pub(crate) struct Department {
    pub(crate) admin: DatabaseConnection,
    pub(crate) url: String,
    _server: Arc<PrivatePostgres>,
}

impl Department {
    /// A new, empty database; none where the machine has no PostgreSQL.
    pub(crate) async fn new() -> Option<Department> {
        let server = PrivatePostgres::needed("tables of departments")?;
        let url = server.create_database().await;
        let admin = Database::connect(&url).await.expect("the database was made");
        Some(Department { admin, url, _server: server })
    }

    pub(crate) async fn run(&self, sql: &str) {
        self.admin.execute_unprepared(sql).await.expect("the statement is right");
    }

    pub(crate) fn places(&self) -> Places {
        Places { databases: connections(&self.url), ..Places::default() }
    }

    pub(crate) async fn open(
        &self,
        table: (&str, &str),
        columns: &[(&str, ColumnType)],
        increment: Option<Increment>,
        previous: Option<Previous>,
    ) -> Result<Box<dyn TableSource>, SourceError> {
        let table = TableAddress::new(table.0, table.1).unwrap();
        let reference = TableReference::Postgres { connection: civil(), table, increment };
        let schema = view(columns);
        open(&reference, &self.places(), Wanted { schema: &schema, ignores_added: false, key: &[] }, previous).await
    }
}

pub(crate) fn civil() -> ConnectionName {
    "civil".parse().unwrap()
}

pub(crate) fn connections(url: &str) -> Connections {
    Connections::new(&BTreeMap::from([(civil(), url.to_owned())])).unwrap()
}

pub(crate) fn view(columns: &[(&str, ColumnType)]) -> SchemaView {
    let columns = columns
        .iter()
        .map(|(name, column_type)| ColumnView { name: ColumnName::new(*name).unwrap(), column_type: *column_type });
    SchemaView { columns: columns.collect() }
}

/// The rows of a table, all of which must fit. Error: also the first thing that is wrong with one.
pub(crate) async fn read(source: Box<dyn TableSource>) -> Result<Vec<RecordBatch>, SourceError> {
    let mut batches = Vec::new();
    let mut stream = source.into_batches();
    while let Some(batch) = stream.next().await {
        let (rows, bad) = batch?.into_parts();
        if let Some(error) = bad.into_iter().flatten().next() {
            return Err(error);
        }
        if rows.num_rows() > 0 {
            batches.push(rows);
        }
    }
    Ok(batches)
}
