//! Consents at scale: subjects with their ordinals, the members of batches; and the subjects that a quota has counted.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, ForeignKey, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::m0001_first::create_read_table;
use super::unique_name;

/// Read tables of the kinds of entity that came with this migration.
pub(super) const READ_TABLE: &str = "consent_batch";

/// Creates the tables and gives each subject who consented before an ordinal.
pub struct Consent;

impl MigrationName for Consent {
    fn name(&self) -> &str {
        "m0006_consent"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Consent {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        create_read_table(manager, READ_TABLE).await?;
        for table in [consent_subject(backend), consent_row(backend), consent_set(backend), quota_subject(backend)] {
            manager.create_table(table).await?;
        }
        let by_subject = Index::create().name("consent_row_ordinal_index").table("consent_row").col("ordinal").take();
        manager.create_index(by_subject).await?;
        // The owner of a consent is its subject; ids rise with time.
        manager
            .get_connection()
            .execute_unprepared(
                "INSERT INTO consent_subject (subject, ordinal) \
                 SELECT owner, row_number() OVER (ORDER BY first_id) - 1 \
                 FROM (SELECT owner, MIN(id) AS first_id FROM consent GROUP BY owner) AS subjects",
            )
            .await?;
        Ok(())
    }
}

fn consent_subject(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("consent_subject")
        .col(key(backend, "subject").primary_key())
        .col(big("ordinal"))
        .index(Index::create().name(unique_name("consent_subject", &["ordinal"])).unique().col("ordinal"))
        .check(("consent_subject_ordinal_check", Expr::col("ordinal").gte(0)))
        .take()
}

fn consent_row(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("consent_row")
        .col(key(backend, "batch"))
        .col(big("member"))
        .col(big("ordinal"))
        .primary_key(Index::create().name("consent_row_pkey").col("batch").col("member"))
        .index(
            Index::create()
                .name(unique_name("consent_row", &["batch", "ordinal"]))
                .unique()
                .col("batch")
                .col("ordinal"),
        )
        .check(("consent_row_member_check", Expr::col("member").gte(0)))
        .foreign_key(
            ForeignKey::create().name("consent_row_batch_fkey").from("consent_row", "batch").to("consent_batch", "id"),
        )
        .foreign_key(
            ForeignKey::create()
                .name("consent_row_ordinal_fkey")
                .from("consent_row", "ordinal")
                .to("consent_subject", "ordinal"),
        )
        .take()
}

/// The rows of a batch once more as one value, in the order of members, so that millions are read in a moment.
fn consent_set(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("consent_set")
        .col(key(backend, "batch").primary_key())
        .col(ColumnDef::new("ordinals").blob().not_null())
        .foreign_key(
            ForeignKey::create().name("consent_set_batch_fkey").from("consent_set", "batch").to("consent_batch", "id"),
        )
        .take()
}

fn quota_subject(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("quota_subject")
        .col(key(backend, "account"))
        .col(ColumnDef::new("digest").blob().not_null())
        .primary_key(Index::create().name("quota_subject_pkey").col("account").col("digest"))
        .take()
}

fn key(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name).text().not_null().take();
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}
