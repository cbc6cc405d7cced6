//! Released statistics and refused questions.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, Index, Table, TableCreateStatement};
use sea_orm::{DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates both tables.
pub struct Release;

impl MigrationName for Release {
    fn name(&self) -> &str {
        "m0003_release"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Release {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        manager.create_table(released(backend)).await?;
        manager.create_table(release_refusal(backend)).await?;
        let mut by_family = Index::create().name("released_family_index").table("released").take();
        for column in ["resources", "consumer", "family", "position"] {
            by_family.col(column);
        }
        manager.create_index(by_family).await
    }
}

fn released(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("released")
        .col(ColumnDef::new("position").big_integer().not_null().primary_key())
        .col(key(backend, "resources"))
        .col(key(backend, "consumer"))
        .col(key(backend, "family"))
        .col(ColumnDef::new("contributors_min").big_integer().not_null())
        .col(ColumnDef::new("contributors_max").big_integer().not_null())
        .col(ColumnDef::new("sketch").blob().not_null())
        .check(("released_position_check", Expr::col("position").gt(0)))
        .check(("released_contributors_check", Expr::col("contributors_min").lte(Expr::col("contributors_max"))))
        .take()
}

fn release_refusal(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("release_refusal")
        .col(key(backend, "resources"))
        .col(key(backend, "consumer"))
        .col(key(backend, "day"))
        .col(ColumnDef::new("count").big_integer().not_null())
        .primary_key(Index::create().name("release_refusal_pkey").col("resources").col("consumer").col("day"))
        .check(("release_refusal_count_check", Expr::col("count").gt(0)))
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
