//! The first schema.

use sea_orm::sea_query::{ColumnDef, Expr, ExprTrait, ForeignKey, Index, Table, TableCreateStatement};
use sea_orm::{ConnectionTrait, DbBackend, DbErr};
use sea_orm_migration::{MigrationName, MigrationTrait, SchemaManager, async_trait};

use super::unique_name;

/// The read tables of the first kinds of entity, all of the same shape.
const READ_TABLES: &[&str] = &[
    "node",
    "party",
    "user",
    "resource",
    "quality_report",
    "ticket",
    "registration",
    "right",
    "supply",
    "plan",
    "mandate",
    "permit",
    "product",
    "permitted_revenue",
    "order",
    "consent",
    "meter",
    "settlement",
];

/// Creates every table, index and trigger.
pub struct First;

impl MigrationName for First {
    fn name(&self) -> &str {
        "m0001_first"
    }
}

#[async_trait::async_trait]
impl MigrationTrait for First {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let backend = manager.get_database_backend();
        for table in [
            stream(backend),
            journal(backend),
            log_entry(backend),
            posting(backend),
            vault_key(backend),
            vault_item(backend),
            vault_index(backend),
            vault_erased(backend),
            login(backend),
            session(backend),
            service_key(backend),
            idempotency(backend),
            receipt_block(backend),
            receipt_commit(backend),
            receipt_index(backend),
            quota_process(backend),
            quota_account(backend),
            quota_lease(backend),
        ] {
            manager.create_table(table).await?;
        }
        for table in READ_TABLES {
            create_read_table(manager, table).await?;
        }
        for (table, columns) in [
            ("journal", &["log_entry"][..]),
            ("posting", &["owner", "account"]),
            ("posting", &["settlement"]),
            ("posting", &["order_id"]),
            ("vault_item", &["subject"]),
            ("vault_index", &["subject"]),
            ("session", &["user_id"]),
            ("service_key", &["order_id"]),
            ("receipt_index", &["order_id", "position"]),
            ("receipt_index", &["receipt_id", "position"]),
        ] {
            let mut index = Index::create().name(format!("{table}_{}_index", columns.join("_"))).table(table).take();
            for column in columns {
                index.col(*column);
            }
            manager.create_index(index).await?;
        }
        for statement in triggers(backend) {
            manager.get_connection().execute_unprepared(&statement).await?;
        }
        Ok(())
    }
}

/// Creates a read table with its indexes.
pub(super) async fn create_read_table(manager: &SchemaManager<'_>, table: &'static str) -> Result<(), DbErr> {
    manager.create_table(read_table(manager.get_database_backend(), table)).await?;
    for columns in [["owner", "id"], ["state", "id"]] {
        let name = format!("{table}_{}_index", columns[0]);
        manager.create_index(Index::create().name(name).table(table).col(columns[0]).col(columns[1]).take()).await?;
    }
    Ok(())
}

fn stream(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("stream")
        .col(key(backend, "stream").primary_key())
        .col(big("version"))
        .check(positive("stream", "version"))
        .take()
}

fn journal(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("journal")
        .col(big("position").primary_key())
        .col(text("at"))
        .col(text("command_id"))
        .col(text("actor"))
        .col(key(backend, "stream"))
        .col(big("stream_version"))
        .col(text("kind"))
        .col(text("body"))
        .col(blob("salt"))
        .col(text("rulebook_version"))
        .col(big("log_entry"))
        .index(
            Index::create()
                .name(unique_name("journal", &["stream", "stream_version"]))
                .unique()
                .col("stream")
                .col("stream_version"),
        )
        .check(positive("journal", "position"))
        .check(positive("journal", "stream_version"))
        .check(not_negative("journal", "log_entry"))
        .take()
}

fn log_entry(_: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("log_entry")
        .col(big("idx").primary_key())
        .col(blob("bytes"))
        .check(not_negative("log_entry", "idx"))
        .take()
}

fn posting(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("posting")
        .col(key(backend, "transaction_id"))
        .col(big("line"))
        .col(key(backend, "account"))
        .col(key(backend, "owner"))
        .col(big("debit_fen"))
        .col(big("credit_fen"))
        .col(text("memo"))
        .col(ColumnDef::new("settlement").text())
        .col(ColumnDef::new("order_id").text())
        .col(big("position"))
        .primary_key(Index::create().name("posting_pkey").col("transaction_id").col("line"))
        .check(not_negative("posting", "debit_fen"))
        .check(not_negative("posting", "credit_fen"))
        // A line moves money one way: exactly one side is more than zero.
        .check(("posting_one_side_check", Expr::cust("(debit_fen = 0) <> (credit_fen = 0)")))
        .foreign_key(
            ForeignKey::create().name("posting_position_fkey").from("posting", "position").to("journal", "position"),
        )
        .take()
}

fn read_table(backend: DbBackend, table: &'static str) -> TableCreateStatement {
    Table::create()
        .table(table)
        .col(key(backend, "id").primary_key())
        .col(big("stream_version"))
        .col(key(backend, "state"))
        .col(text("title"))
        .col(key(backend, "owner"))
        .col(text("created_at"))
        .col(text("updated_at"))
        .col(big("position"))
        .col(text("body"))
        .foreign_key(
            ForeignKey::create()
                .name(format!("{table}_position_fkey"))
                .from(table, "position")
                .to("journal", "position"),
        )
        .take()
}

fn vault_key(backend: DbBackend) -> TableCreateStatement {
    Table::create().table("vault_key").col(key(backend, "subject").primary_key()).col(blob("wrapped")).take()
}

fn vault_item(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("vault_item")
        .col(key(backend, "id").primary_key())
        .col(key(backend, "subject"))
        .col(text("kind"))
        .col(blob("sealed"))
        .foreign_key(
            ForeignKey::create()
                .name("vault_item_subject_fkey")
                .from("vault_item", "subject")
                .to("vault_key", "subject"),
        )
        .take()
}

fn vault_index(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("vault_index")
        .col(blob("digest").primary_key())
        .col(key(backend, "subject"))
        .foreign_key(
            ForeignKey::create()
                .name("vault_index_subject_fkey")
                .from("vault_index", "subject")
                .to("vault_key", "subject"),
        )
        .take()
}

fn vault_erased(backend: DbBackend) -> TableCreateStatement {
    Table::create().table("vault_erased").col(key(backend, "subject").primary_key()).col(text("erased_at")).take()
}

fn login(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("login")
        .col(key(backend, "user_id").primary_key())
        .col(key(backend, "login"))
        .col(text("password_phc"))
        .col(blob("display_name_sealed"))
        .col(text("created_at"))
        .index(Index::create().name(unique_name("login", &["login"])).unique().col("login"))
        .take()
}

fn session(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("session")
        .col(blob("token_hash").primary_key())
        .col(key(backend, "user_id"))
        .col(text("csrf"))
        .col(text("created_at"))
        .col(text("expires_at"))
        .col(text("idle_expires_at"))
        .foreign_key(
            ForeignKey::create().name("session_user_id_fkey").from("session", "user_id").to("login", "user_id"),
        )
        .take()
}

fn service_key(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("service_key")
        .col(blob("hash").primary_key())
        .col(key(backend, "order_id"))
        .col(text("last_four"))
        .col(text("created_at"))
        .col(ColumnDef::new("revoked_at").text())
        .take()
}

fn idempotency(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("idempotency")
        .col(key(backend, "key").primary_key())
        .col(blob("request_digest"))
        .col(text("response"))
        .col(text("expires_at"))
        .take()
}

fn receipt_block(_: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("receipt_block")
        .col(big("first_position").primary_key())
        .col(big("count"))
        .col(blob("block"))
        .check(positive("receipt_block", "first_position"))
        .check(positive("receipt_block", "count"))
        .take()
}

fn receipt_commit(_: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("receipt_commit")
        .col(big("first_position").primary_key())
        .col(big("count"))
        .col(big("log_entry"))
        .index(Index::create().name(unique_name("receipt_commit", &["log_entry"])).unique().col("log_entry"))
        .check(positive("receipt_commit", "first_position"))
        .check(positive("receipt_commit", "count"))
        .foreign_key(
            ForeignKey::create()
                .name("receipt_commit_log_entry_fkey")
                .from("receipt_commit", "log_entry")
                .to("log_entry", "idx"),
        )
        .take()
}

fn receipt_index(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("receipt_index")
        .col(big("position").primary_key())
        .col(key(backend, "order_id"))
        .col(key(backend, "receipt_id"))
        .col(text("kind"))
        .take()
}

fn quota_process(backend: DbBackend) -> TableCreateStatement {
    Table::create().table("quota_process").col(key(backend, "process").primary_key()).col(big("seen_at_unix")).take()
}

fn quota_account(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("quota_account")
        .col(key(backend, "account").primary_key())
        .col(big("used"))
        .check(not_negative("quota_account", "used"))
        .take()
}

fn quota_lease(backend: DbBackend) -> TableCreateStatement {
    Table::create()
        .table("quota_lease")
        .col(key(backend, "account"))
        .col(key(backend, "process"))
        .col(big("granted"))
        .primary_key(Index::create().name("quota_lease_pkey").col("account").col("process"))
        .check(not_negative("quota_lease", "granted"))
        .foreign_key(
            ForeignKey::create()
                .name("quota_lease_account_fkey")
                .from("quota_lease", "account")
                .to("quota_account", "account"),
        )
        .foreign_key(
            ForeignKey::create()
                .name("quota_lease_process_fkey")
                .from("quota_lease", "process")
                .to("quota_process", "process"),
        )
        .take()
}

/// A text column that is compared and sorted by bytes, as SQLite does by itself, whatever the locale of PostgreSQL.
fn key(backend: DbBackend, name: &'static str) -> ColumnDef {
    let mut column = text(name);
    if backend == DbBackend::Postgres {
        column.extra("COLLATE \"C\"");
    }
    column
}

fn text(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).text().not_null().take()
}

fn big(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).big_integer().not_null().take()
}

fn blob(name: &'static str) -> ColumnDef {
    ColumnDef::new(name).blob().not_null().take()
}

fn positive(table: &str, column: &'static str) -> (String, Expr) {
    (format!("{table}_{column}_check"), Expr::col(column).gt(0))
}

fn not_negative(table: &str, column: &'static str) -> (String, Expr) {
    (format!("{table}_{column}_check"), Expr::col(column).gte(0))
}

/// Tables that only grow.
const APPEND_ONLY: &[&str] = &["journal", "log_entry", "posting", "receipt_block", "receipt_commit"];

/// Tables whose key has no gaps: table, key, and the value that the next row must have.
const GAP_FREE: &[(&str, &str, &str)] = &[
    ("journal", "position", "(SELECT COALESCE(MAX(position), 0) + 1 FROM journal)"),
    ("log_entry", "idx", "(SELECT COALESCE(MAX(idx), -1) + 1 FROM log_entry)"),
    (
        "receipt_block",
        "first_position",
        "COALESCE((SELECT first_position + \"count\" FROM receipt_block ORDER BY first_position DESC LIMIT 1), 1)",
    ),
    (
        "receipt_commit",
        "first_position",
        "COALESCE((SELECT first_position + \"count\" FROM receipt_commit ORDER BY first_position DESC LIMIT 1), 1)",
    ),
];

fn triggers(backend: DbBackend) -> Vec<String> {
    if backend == DbBackend::Postgres { postgres_triggers() } else { sqlite_triggers() }
}

fn sqlite_triggers() -> Vec<String> {
    let mut statements = Vec::new();
    for table in APPEND_ONLY {
        for (event, verb) in [("UPDATE", "changed"), ("DELETE", "deleted")] {
            statements.push(format!(
                "CREATE TRIGGER {table}_append_only_{} BEFORE {event} ON {table} \
                 BEGIN SELECT RAISE(ABORT, '{table}_append_only: rows of {table} are never {verb}'); END",
                event.to_lowercase()
            ));
        }
    }
    for (table, column, next) in GAP_FREE {
        statements.push(format!(
            "CREATE TRIGGER {table}_gap_free BEFORE INSERT ON {table} WHEN NEW.{column} <> {next} \
             BEGIN SELECT RAISE(ABORT, '{table}_gap_free: {column} must be the next one'); END"
        ));
    }
    // INSERT OR REPLACE deletes the row it conflicts with without firing DELETE triggers. Keys can't conflict, as they
    // must be the next ones; these are the other UNIQUEs.
    for (table, same) in [
        ("journal", "stream = NEW.stream AND stream_version = NEW.stream_version"),
        ("posting", "transaction_id = NEW.transaction_id AND line = NEW.line"),
        ("receipt_commit", "log_entry = NEW.log_entry"),
    ] {
        statements.push(format!(
            "CREATE TRIGGER {table}_append_only_replace BEFORE INSERT ON {table} WHEN EXISTS (SELECT 1 FROM {table} WHERE {same}) \
             BEGIN SELECT RAISE(ABORT, '{table}_append_only: rows of {table} are never replaced'); END"
        ));
    }
    statements
}

fn postgres_triggers() -> Vec<String> {
    let mut statements = vec![
        "CREATE FUNCTION lingqu_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'rows of % are never changed or deleted', TG_TABLE_NAME \
         USING ERRCODE = 'restrict_violation', CONSTRAINT = TG_TABLE_NAME || '_append_only'; END $$"
            .to_owned(),
    ];
    for table in APPEND_ONLY {
        statements.push(format!(
            "CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} \
             FOR EACH STATEMENT EXECUTE FUNCTION lingqu_append_only()"
        ));
    }
    for (table, column, next) in GAP_FREE {
        statements.push(format!(
            "CREATE FUNCTION {table}_gap_free() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             IF NEW.{column} <> {next} THEN RAISE EXCEPTION '{column} of {table} must be the next one' \
             USING ERRCODE = 'restrict_violation', CONSTRAINT = '{table}_gap_free'; END IF; RETURN NEW; END $$"
        ));
        statements.push(format!(
            "CREATE TRIGGER {table}_gap_free BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {table}_gap_free()"
        ));
    }
    statements
}
