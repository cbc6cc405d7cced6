//! Shares of the keys that copies are marked with. A share that was changed or lost would make copies untraceable: the database
//! itself refuses both.

use sea_orm::sea_query::{ColumnDef, Table};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

/// Creates the table and its triggers.
pub struct Marks;

impl MigrationName for Marks {
    fn name(&self) -> &str {
        "m0008_marks"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for Marks {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        let mut key_use = ColumnDef::new("key_use").text().not_null().primary_key().take();
        if backend == DbBackend::Postgres {
            key_use.extra("COLLATE \"C\"");
        }
        let table = Table::create()
            .table("mark_share")
            .col(key_use)
            .col(ColumnDef::new("sealed").blob().not_null())
            .col(ColumnDef::new("given_at").text().not_null())
            .take();
        manager.create_table(table).await?;
        for statement in triggers(backend) {
            manager.get_connection().execute_unprepared(statement).await?;
        }
        Ok(())
    }
}

fn triggers(backend: DbBackend) -> &'static [&'static str] {
    if backend == DbBackend::Postgres {
        return &["CREATE TRIGGER mark_share_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON mark_share \
             FOR EACH STATEMENT EXECUTE FUNCTION lingqu_append_only()"];
    }
    &[
        "CREATE TRIGGER mark_share_append_only_update BEFORE UPDATE ON mark_share \
         BEGIN SELECT RAISE(ABORT, 'mark_share_append_only: rows of mark_share are never changed'); END",
        "CREATE TRIGGER mark_share_append_only_delete BEFORE DELETE ON mark_share \
         BEGIN SELECT RAISE(ABORT, 'mark_share_append_only: rows of mark_share are never deleted'); END",
        // INSERT OR REPLACE deletes the row it conflicts with without firing DELETE triggers. A share that is there already
        // is left out of an insert, so one that meets its own use would replace it.
        "CREATE TRIGGER mark_share_append_only_replace BEFORE INSERT ON mark_share \
         WHEN EXISTS (SELECT 1 FROM mark_share WHERE key_use = NEW.key_use) \
         BEGIN SELECT RAISE(ABORT, 'mark_share_append_only: rows of mark_share are never replaced'); END",
    ]
}
