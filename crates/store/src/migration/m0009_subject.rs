//! Which deliveries reserve which distinct subjects: a subject of a quota account that no delivery holds is used for good, one
//! that some hold is given back when none of them lets out an answer. And which processes are taken for dead, found without
//! looking at all that there ever were.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, Index, Table, TableCreateStatement};
use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates the table and both indexes.
pub struct Subject;

impl MigrationName for Subject {
    fn name(&self) -> &str {
        "m0009_subject"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Subject {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(quota_hold(manager.get_database_backend())).await?;
        for (name, table, column) in [
            ("quota_hold_receipt_id_index", "quota_hold", "receipt_id"),
            ("quota_process_seen_at_unix_index", "quota_process", "seen_at_unix"),
        ] {
            manager.create_index(Index::create().name(name).table(table).col(column).take()).await?;
        }
        Ok(())
    }
}

/// `part` is the part of the delivery's receipt that lets the answer with the subject out. `process` is who serves it, where a node
/// has several.
fn quota_hold(backend: DbBackend) -> TableCreateStatement {
    let text = |name: &'static str| {
        let mut column = ColumnDef::new(name).text().take();
        if backend == DbBackend::Postgres {
            column.extra("COLLATE \"C\"");
        }
        column
    };
    Table::create()
        .table("quota_hold")
        .col(text("account").not_null().take())
        .col(ColumnDef::new("digest").blob().not_null())
        .col(text("receipt_id").not_null().take())
        .col(ColumnDef::new("part").big_integer().not_null())
        .col(text("process"))
        .primary_key(Index::create().name("quota_hold_pkey").col("account").col("digest").col("receipt_id"))
        .check(("quota_hold_part_check", Expr::col("part").gte(0)))
        .take()
}
