//! Where entries of both roots stand, one for each published size, and which of several processes publishes the log.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, ForeignKey, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::unique_name;

/// Creates both tables and the triggers.
pub struct Sequencer;

impl MigrationName for Sequencer {
    fn name(&self) -> &str {
        "m0010_sequencer"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Sequencer {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        manager.create_table(log_roots()).await?;
        manager.create_table(sequencer()).await?;
        for statement in triggers(manager.get_database_backend()) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

/// A size has one entry of both roots, so two processes never write two.
fn log_roots() -> TableCreateStatement {
    Table::create()
        .table("log_roots")
        .col(big("size").primary_key())
        .col(big("log_entry"))
        .index(Index::create().name(unique_name("log_roots", &["log_entry"])).unique().col("log_entry"))
        .check(("log_roots_size_check", Expr::col("size").gte(0)))
        .foreign_key(
            ForeignKey::create().name("log_roots_log_entry_fkey").from("log_roots", "log_entry").to("log_entry", "idx"),
        )
        .take()
}

/// At most one row: the process that publishes, how often that has changed, and the size that was published last or is about to be.
/// SQLite has the lock of a directory instead.
fn sequencer() -> TableCreateStatement {
    Table::create()
        .table("sequencer")
        .col(big("id").primary_key())
        .col(big("epoch"))
        .col(ColumnDef::new("holder").text().not_null())
        .col(big("seen_at_unix_ms"))
        .col(big("published_size"))
        .check(("sequencer_id_check", Expr::col("id").eq(1)))
        .check(("sequencer_epoch_check", Expr::col("epoch").gt(0)))
        .check(("sequencer_published_size_check", Expr::col("published_size").gte(0)))
        .take()
}

fn triggers(backend: DbBackend) -> Vec<String> {
    if backend == DbBackend::Postgres {
        return vec![
            "CREATE TRIGGER log_roots_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON log_roots \
             FOR EACH STATEMENT EXECUTE FUNCTION lingqu_append_only()"
                .to_owned(),
        ];
    }
    let mut statements = Vec::new();
    for (event, verb) in [("UPDATE", "changed"), ("DELETE", "deleted")] {
        statements.push(format!(
            "CREATE TRIGGER log_roots_append_only_{} BEFORE {event} ON log_roots \
             BEGIN SELECT RAISE(ABORT, 'log_roots_append_only: rows of log_roots are never {verb}'); END",
            event.to_lowercase()
        ));
    }
    // INSERT OR REPLACE deletes the row it conflicts with without firing DELETE triggers.
    statements.push(
        "CREATE TRIGGER log_roots_append_only_replace BEFORE INSERT ON log_roots WHEN EXISTS \
         (SELECT 1 FROM log_roots WHERE size = NEW.size OR log_entry = NEW.log_entry) \
         BEGIN SELECT RAISE(ABORT, 'log_roots_append_only: rows of log_roots are never replaced'); END"
            .to_owned(),
    );
    statements
}

fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}
