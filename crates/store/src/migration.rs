//! The schema, one migration per change that was ever released. Each UNIQUE, FOREIGN KEY and CHECK has a name, so that a
//! refusal can be translated; the same names hold on both databases.
//!
//! Tables that only grow (journal, log entries, postings, receipt blocks and commits) are kept so by the database itself:
//! triggers refuse UPDATE, DELETE and, on PostgreSQL, TRUNCATE, and a row whose position isn't the next one.

mod m0001_first;
mod m0002_scram;
mod m0003_release;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

pub use m0001_first::READ_TABLES;

/// Runs the migrations that a database lacks.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m0001_first::First), Box::new(m0002_scram::Scram), Box::new(m0003_release::Release)]
    }
}

/// SQLite reports the columns of a UNIQUE constraint instead of its name. `columns` is `table.column, table.column`.
pub(crate) fn sqlite_unique_name(columns: &str) -> Option<String> {
    let (table, _) = columns.split_once('.')?;
    let names: Vec<&str> =
        columns.split(", ").filter_map(|column| column.split_once('.').map(|(_, name)| name)).collect();
    Some(unique_name(table, &names))
}

/// The name that every UNIQUE constraint bears: table, columns, `unique`. Primary keys bear `TABLE_pkey` on PostgreSQL;
/// on SQLite they come out in this form.
pub(crate) fn unique_name(table: &str, columns: &[&str]) -> String {
    format!("{table}_{}_unique", columns.join("_"))
}
