//! Which deliveries may have paid for a finished file of an order, for all processes of a node.

use sea_orm::sea_query::{ColumnDef, Index, Table, TableCreateStatement};
use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates the table.
pub struct PaidFile;

impl MigrationName for PaidFile {
    fn name(&self) -> &str {
        "m0017_paid_file"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for PaidFile {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(paid_file(manager.get_database_backend())).await
    }
}

/// `file` is the name of the file, `receipt_id` a delivery that may have paid for it.
fn paid_file(backend: DbBackend) -> TableCreateStatement {
    let text = |name: &'static str| {
        let mut column = ColumnDef::new(name).text().not_null().take();
        if backend == DbBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column
    };
    Table::create()
        .table("paid_file")
        .col(text("order_id"))
        .col(text("file"))
        .col(text("receipt_id"))
        .primary_key(Index::create().name("paid_file_pkey").col("order_id").col("file").col("receipt_id"))
        .take()
}
