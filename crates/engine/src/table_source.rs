//! Sources that are tables: Delta and Iceberg tables in a folder, tables and views of a PostgreSQL database.
//!
//! A reference names a table by a connection of the node's configuration and a place within it. Folders and databases
//! are named there alone, each for one provider: a reference comes from a provider's user, and a path or address of his
//! own choice would lead to another department's data or to the node's own. Opening a table compares its columns with
//! those that are wanted (all differences at once) and fixes what will be read: a version, a snapshot, one state of the
//! database. The batches that come are of the engine's types; a row with a value that can't be brought to its type without
//! loss is left out of them and told with its number and column, without the value.

mod confined;
mod delta;
mod folder;
mod iceberg;
mod increment;
mod merged;
mod older;
mod postgres;
mod reading;
mod typed;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use lingqu_domain::scope::ColumnName;
use serde::{Deserialize, Serialize};

use crate::columns::SchemaView;
use crate::files::TableFiles;
use crate::postgres::{ConnectionName, Connections, TableAddress};
use crate::source::{SourceError, TableSource};

/// How long opening a table may take: finding out its version, its columns and its files.
const OPEN_TIME_MAX: Duration = Duration::from_secs(600);

/// A table that a resource's data is taken from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "format", rename_all = "snake_case", deny_unknown_fields)]
pub enum TableReference {
    /// A Delta table in a folder.
    Delta {
        /// The connection that names the folder.
        connection: ConnectionName,
        /// The table's directory within it, the one with `_delta_log`.
        directory: String,
        /// The version; none: the newest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        version: Option<u64>,
    },
    /// An Iceberg table in a folder.
    Iceberg {
        /// The connection that names the folder.
        connection: ConnectionName,
        /// The table's directory within it, the one with `metadata`, or one of its metadata files.
        directory: String,
        /// The snapshot's id; none: the current one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        snapshot: Option<i64>,
    },
    /// A table or view of a PostgreSQL database.
    Postgres {
        /// The connection that names the database.
        connection: ConnectionName,
        /// The table.
        table: TableAddress,
        /// How a newer state is read without reading everything; none: the whole table each time.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        increment: Option<Increment>,
    },
}

/// Reading only what is new, by a column that rises with every change of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Increment {
    /// The column: a whole number, a time or a point in time. Rows without a value in it are never taken.
    pub watermark: ColumnName,
    /// Columns that identify a row. A row with the key of an earlier one replaces it. Empty: rows are only ever added.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub key: Vec<ColumnName>,
    /// How far behind the last watermark the next reading begins, in the column's unit (whole numbers) or in seconds
    /// (times): for changes that become visible later than their watermark says. Needs a key.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub overlap: u64,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl TableReference {
    /// The connection that it goes by.
    pub fn connection(&self) -> &ConnectionName {
        match self {
            TableReference::Delta { connection, .. }
            | TableReference::Iceberg { connection, .. }
            | TableReference::Postgres { connection, .. } => connection,
        }
    }
}

/// What connections lead to: databases, and folders with tables in them.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// Databases.
    pub databases: Connections,
    /// Folders, by absolute path.
    pub folders: BTreeMap<ConnectionName, PathBuf>,
}

/// Where an earlier reading stopped, and what the resource has from it.
#[derive(Clone, Debug)]
pub struct Previous {
    /// What [`TableSource::position`] said then.
    pub position: String,
    /// The files of the resource's newest version.
    pub files: Arc<TableFiles>,
}

/// What is wanted of a table.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The columns.
    pub schema: &'a SchemaView,
    /// Whether columns that are not among them are left out instead of being refused.
    pub ignores_added: bool,
    /// Those by which the resource's catalogue entry tells rows apart: the order in which a database is asked for its rows.
    pub key: &'a [ColumnName],
}

/// Opens a table. Errors: the place is not to be had, or not in time; the columns differ; governed data can't have their
/// types.
pub async fn open(
    reference: &TableReference,
    places: &Places,
    wanted: Wanted<'_>,
    previous: Option<Previous>,
) -> Result<Box<dyn TableSource>, SourceError> {
    let opened = tokio::time::timeout(OPEN_TIME_MAX, opened(reference, places, wanted, previous)).await;
    opened.unwrap_or_else(|_| {
        Err(SourceError::Unreadable {
            file: reference.connection().to_string(),
            reason: format!(
                "opening the table took more than {} seconds; see whether the place answers",
                OPEN_TIME_MAX.as_secs()
            ),
        })
    })
}

async fn opened(
    reference: &TableReference,
    places: &Places,
    wanted: Wanted<'_>,
    previous: Option<Previous>,
) -> Result<Box<dyn TableSource>, SourceError> {
    match reference {
        TableReference::Delta { connection, directory, version } => {
            let place = folder::found(places, connection, directory).await?;
            Ok(Box::new(delta::DeltaTable::open(place, *version, wanted).await?))
        }
        TableReference::Iceberg { connection, directory, snapshot } => {
            let place = folder::found(places, connection, directory).await?;
            Ok(Box::new(iceberg::IcebergTable::open(place, *snapshot, wanted).await?))
        }
        TableReference::Postgres { connection, table, increment } => {
            let opened = postgres::PostgresTable::open(
                &places.databases,
                connection,
                table,
                increment.as_ref(),
                wanted,
                previous,
            );
            Ok(Box::new(opened.await?))
        }
    }
}
