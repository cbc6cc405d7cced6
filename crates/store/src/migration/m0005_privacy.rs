//! Answers with noise, and what they cost of each privacy account. What was spent is never changed or deleted.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates both tables, the index by account and the triggers.
pub struct Privacy;

impl MigrationName for Privacy {
    fn name(&self) -> &str {
        "m0005_privacy"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Privacy {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        manager.create_table(privacy_answer(backend)).await?;
        manager.create_table(privacy_debit(backend)).await?;
        let mut by_account = Index::create().name("privacy_debit_account_index").table("privacy_debit").take();
        for column in ["link", "resource", "consumer"] {
            by_account.col(column);
        }
        manager.create_index(by_account).await?;
        for statement in triggers(backend) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

fn privacy_answer(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("privacy_answer")
        .col(key(backend, "consumer"))
        .col(key(backend, "question"))
        .col(ColumnDef::new("rho_nano").big_integer().not_null())
        .col(key(backend, "answered_at"))
        .col(ColumnDef::new("sealed").blob().not_null())
        .primary_key(Index::create().name("privacy_answer_pkey").col("consumer").col("question"))
        .check(("privacy_answer_rho_check", Expr::col("rho_nano").gt(0)))
        .take()
}

/// One row for each answer and account. There is no foreign key to the answer: what was spent stays when an answer goes.
fn privacy_debit(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("privacy_debit")
        .col(key(backend, "consumer"))
        .col(key(backend, "question"))
        .col(key(backend, "link"))
        .col(key(backend, "resource"))
        .col(ColumnDef::new("rho_nano").big_integer().not_null())
        .primary_key(
            Index::create().name("privacy_debit_pkey").col("consumer").col("question").col("link").col("resource"),
        )
        .check(("privacy_debit_rho_check", Expr::col("rho_nano").gt(0)))
        .take()
}

fn triggers(backend: DbBackend) -> Vec<String> {
    if backend == DbBackend::Postgres {
        return vec![
            "CREATE TRIGGER privacy_debit_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON privacy_debit \
             FOR EACH STATEMENT EXECUTE FUNCTION lingqu_append_only()"
                .to_owned(),
        ];
    }
    let mut statements = Vec::new();
    for (event, verb) in [("UPDATE", "changed"), ("DELETE", "deleted")] {
        statements.push(format!(
            "CREATE TRIGGER privacy_debit_append_only_{} BEFORE {event} ON privacy_debit \
             BEGIN SELECT RAISE(ABORT, 'privacy_debit_append_only: rows of privacy_debit are never {verb}'); END",
            event.to_lowercase()
        ));
    }
    // INSERT OR REPLACE deletes the row it conflicts with without firing DELETE triggers.
    statements.push(
        "CREATE TRIGGER privacy_debit_append_only_replace BEFORE INSERT ON privacy_debit WHEN EXISTS \
         (SELECT 1 FROM privacy_debit WHERE consumer = NEW.consumer AND question = NEW.question AND link = NEW.link \
         AND resource = NEW.resource) \
         BEGIN SELECT RAISE(ABORT, 'privacy_debit_append_only: rows of privacy_debit are never replaced'); END"
            .to_owned(),
    );
    statements
}

/// A text column that is compared by bytes on both databases.
fn key(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name).text().not_null().take();
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}
