//! Service keys get what verifies them by SCRAM, for protocols that never send the key. Keys that were issued before have
//! none.

use sea_orm::DbErr;
use sea_orm::sea_query::{ColumnDef, Table};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Adds the column `scram_sealed`.
pub struct Scram;

impl MigrationName for Scram {
    fn name(&self) -> &str {
        "m0002_scram"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Scram {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let column = ColumnDef::new("scram_sealed").blob().take();
        manager.alter_table(Table::alter().table("service_key").add_column(column).take()).await
    }
}
