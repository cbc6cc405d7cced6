//! What the node cosigned as a witness of other logs: the last checkpoint of each. It only moves on: the database itself refuses
//! to make one smaller, to give a size another root, or to forget a log.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates the table and its triggers.
pub struct Witness;

impl MigrationName for Witness {
    fn name(&self) -> &str {
        "m0007_witness"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Witness {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        manager.create_table(witnessed(backend)).await?;
        for statement in triggers(backend) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

fn witnessed(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("witnessed")
        .col(key(backend, "origin"))
        .col(key(backend, "origin_hash"))
        .col(ColumnDef::new("size").big_integer().not_null())
        .col(ColumnDef::new("root").blob().not_null())
        .col(key(backend, "note"))
        .primary_key(Index::create().name("witnessed_pkey").col("origin"))
        .index(Index::create().name("witnessed_origin_hash_unique").unique().col("origin_hash"))
        .check(("witnessed_size_check", Expr::col("size").gte(0)))
        .take()
}

fn triggers(backend: DbBackend) -> &'static [&'static str] {
    if backend == DbBackend::Postgres {
        return &[
            "CREATE FUNCTION lingqu_witnessed_moves_on() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.origin <> OLD.origin OR NEW.origin_hash <> OLD.origin_hash OR NEW.size < OLD.size \
             OR (NEW.size = OLD.size AND NEW.root <> OLD.root) THEN \
             RAISE EXCEPTION 'witnessed_moves_on: what was cosigned is never taken back'; END IF; \
             RETURN NEW; END $$",
            "CREATE TRIGGER witnessed_moves_on BEFORE UPDATE ON witnessed \
             FOR EACH ROW EXECUTE FUNCTION lingqu_witnessed_moves_on()",
            "CREATE TRIGGER witnessed_stays BEFORE DELETE OR TRUNCATE ON witnessed \
             FOR EACH STATEMENT EXECUTE FUNCTION lingqu_append_only()",
        ];
    }
    &[
        "CREATE TRIGGER witnessed_moves_on BEFORE UPDATE ON witnessed WHEN NEW.origin <> OLD.origin \
         OR NEW.origin_hash <> OLD.origin_hash OR NEW.size < OLD.size OR (NEW.size = OLD.size AND NEW.root <> OLD.root) \
         BEGIN SELECT RAISE(ABORT, 'witnessed_moves_on: what was cosigned is never taken back'); END",
        "CREATE TRIGGER witnessed_stays BEFORE DELETE ON witnessed \
         BEGIN SELECT RAISE(ABORT, 'witnessed_stays: what was cosigned is never forgotten'); END",
        // INSERT OR REPLACE deletes the row it conflicts with without firing DELETE triggers.
        "CREATE TRIGGER witnessed_stays_replace BEFORE INSERT ON witnessed WHEN EXISTS \
         (SELECT 1 FROM witnessed WHERE origin = NEW.origin OR origin_hash = NEW.origin_hash) \
         BEGIN SELECT RAISE(ABORT, 'witnessed_stays: what was cosigned is never replaced'); END",
    ]
}

/// A text column that is compared by bytes on both databases.
fn key(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name).text().not_null().take();
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}
