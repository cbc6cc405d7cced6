//! Ingestions: the jobs that read sources into snapshots.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, Index, Table, TableCreateStatement};
use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates the table.
pub struct Ingestion;

impl MigrationName for Ingestion {
    fn name(&self) -> &str {
        "m0004_ingestion"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Ingestion {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(ingestion(manager.get_database_backend())).await?;
        for (name, columns) in
            [("ingestion_resource_index", ["resource", "id"]), ("ingestion_state_index", ["state", "id"])]
        {
            let mut index = Index::create().name(name).table("ingestion").take();
            for column in columns {
                index.col(column);
            }
            manager.create_index(index).await?;
        }
        Ok(())
    }
}

fn ingestion(backend: DbBackend) -> TableCreateStatement {
    let count = |name: &'static str| ColumnDef::new(name).big_integer().not_null().take();
    let text = |name: &'static str| ColumnDef::new(name).text().take();
    let states = ["queued", "running", "committed", "failed", "cancelled"];
    Table::create()
        .table("ingestion")
        .col(key(backend, "id").primary_key())
        .col(key(backend, "resource"))
        .col(key(backend, "actor"))
        .col(text("source_name").not_null())
        .col(key(backend, "source_digest"))
        .col(key(backend, "options_digest"))
        .col(key(backend, "state"))
        .col(text("request").not_null())
        .col(count("rows_read"))
        .col(count("rows_rejected"))
        .col(count("bytes_read"))
        .col(count("bytes_total"))
        .col(count("attempts"))
        .col(text("snapshot"))
        .col(text("outcome"))
        .col(text("created_at").not_null())
        .col(text("started_at"))
        .col(text("ended_at"))
        .check(("ingestion_state_check", Expr::col("state").is_in(states)))
        .check((
            "ingestion_counts_check",
            Expr::col("rows_read").gte(0).and(Expr::col("rows_rejected").gte(0)).and(Expr::col("bytes_read").gte(0)),
        ))
        .check((
            "ingestion_committed_check",
            Expr::col("state").ne("committed").or(Expr::col("snapshot").is_not_null()),
        ))
        .take()
}

/// A text column that is compared by bytes on both databases.
fn key(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name).text().not_null().take();
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}
