//! What is needed to count exactly what a process used that died beside others: from where on its receipts stand, and what of
//! its leases it has given back as used.

use sea_orm::ConnectionTrait;
use sea_orm::DbErr;
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Adds both columns.
pub struct Quota;

impl MigrationName for Quota {
    fn name(&self) -> &str {
        "m0015_quota"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Quota {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let db = manager.get_connection();
        // None: of a process of an earlier version, or of a node that has one process at a time.
        db.execute_unprepared("ALTER TABLE quota_process ADD COLUMN receipts_before bigint").await?;
        db.execute_unprepared("ALTER TABLE quota_lease ADD COLUMN settled bigint NOT NULL DEFAULT 0").await?;
        Ok(())
    }
}
