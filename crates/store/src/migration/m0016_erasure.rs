//! Erasures that were decided.

use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::m0001_first::create_read_table;

/// The read table of the kind of entity that came with this migration.
pub(super) const READ_TABLE: &str = "erasure";

/// Creates the read table.
pub struct Erasure;

impl MigrationName for Erasure {
    fn name(&self) -> &str {
        "m0016_erasure"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Erasure {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        create_read_table(manager, READ_TABLE).await
    }
}
