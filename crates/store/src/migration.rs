//! The schema, one migration per change that was ever released. Each UNIQUE, FOREIGN KEY and CHECK has a name, so that a
//! refusal can be translated; the same names hold on both databases.
//!
//! Tables that only grow (journal, log entries, postings, receipt blocks and commits) are kept so by the database itself:
//! triggers refuse UPDATE, DELETE and, on PostgreSQL, TRUNCATE, and a row whose position isn't the next one.

mod m0001_first;
mod m0002_scram;
mod m0003_release;
mod m0004_ingestion;
mod m0005_privacy;
mod m0006_consent;
mod m0007_witness;
mod m0008_marks;
mod m0009_subject;
mod m0010_sequencer;
mod m0012_trace;
mod m0015_quota;
mod m0016_erasure;
mod m0017_paid_file;

use sea_orm_migration::{MigrationTrait, MigratorTrait};

/// The read tables, one per kind of entity, all of the same shape.
pub const READ_TABLES: &[&str] = &[
    "node",
    "party",
    "user",
    "resource",
    "quality_report",
    "ticket",
    "registration",
    "right",
    "supply",
    "plan",
    "mandate",
    "permit",
    "product",
    "permitted_revenue",
    "order",
    "consent",
    "meter",
    "settlement",
    m0006_consent::READ_TABLE,
    m0012_trace::READ_TABLE,
    m0016_erasure::READ_TABLE,
];

/// Runs the migrations that a database lacks.
pub struct Migrator;

impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m0001_first::First),
            Box::new(m0002_scram::Scram),
            Box::new(m0003_release::Release),
            Box::new(m0004_ingestion::Ingestion),
            Box::new(m0005_privacy::Privacy),
            Box::new(m0006_consent::Consent),
            Box::new(m0007_witness::Witness),
            Box::new(m0008_marks::Marks),
            Box::new(m0009_subject::Subject),
            Box::new(m0010_sequencer::Sequencer),
            Box::new(m0012_trace::Trace),
            Box::new(m0015_quota::Quota),
            Box::new(m0016_erasure::Erasure),
            Box::new(m0017_paid_file::PaidFile),
        ]
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
