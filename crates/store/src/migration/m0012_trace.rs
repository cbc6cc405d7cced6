//! Traces that were run.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::m0001_first::create_read_table;

/// The read table of the kind of entity that came with this migration.
pub(super) const READ_TABLE: &str = "trace";

/// Creates the read table.
pub struct Trace;

impl MigrationName for Trace {
    fn name(&self) -> &str {
        "m0012_trace"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Trace {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_read_table(manager, READ_TABLE).await
    }
}
