//! The schema of both databases, as golden files: a change is a visible difference in review. Write them anew with
//! `LINGQU_GOLDEN=write` after a migration was added.

use std::fmt::Write;

use lingqu_store::Backend;
use lingqu_tests::{StoreFactory, both};
use sea_orm::{ConnectionTrait, DatabaseConnection, Statement};

const SQLITE: &str = "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name <> 'seaql_migrations' ORDER BY tbl_name, type DESC, name";
const POSTGRES: [&str; 4] = [
    "SELECT 'column ' || table_name || '.' || column_name || ' ' || data_type || CASE is_nullable WHEN 'NO' THEN ' not null' ELSE '' END
        || COALESCE(' collate ' || collation_name, '')
     FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'seaql_migrations' ORDER BY table_name, ordinal_position",
    "SELECT 'constraint ' || conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
     FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND contype <> 'n' AND conrelid::regclass::text <> 'seaql_migrations'
     ORDER BY conrelid::regclass::text COLLATE \"C\", conname",
    "SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename <> 'seaql_migrations' ORDER BY tablename COLLATE \"C\", indexname",
    "SELECT pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY tgrelid::regclass::text COLLATE \"C\", tgname",
];

#[tokio::test]
async fn the_schema_is_the_golden_one() {
    both(async |factory: StoreFactory| {
        factory.open().await.close().await.unwrap();
        let raw = factory.raw().await;
        match factory.backend() {
            Backend::Sqlite => compare("schema_sqlite.sql", &lines(&raw, &[SQLITE]).await),
            Backend::Postgres => compare("schema_postgres.txt", &lines(&raw, &POSTGRES).await),
        }
    })
    .await;
}

async fn lines(raw: &DatabaseConnection, queries: &[&str]) -> String {
    let mut text = String::new();
    for query in queries {
        for row in raw.query_all_raw(Statement::from_string(raw.get_database_backend(), *query)).await.unwrap() {
            writeln!(text, "{}", row.try_get_by_index::<String>(0).unwrap()).unwrap();
        }
    }
    text
}

fn compare(name: &str, found: &str) {
    let path = format!("{}/store/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var("LINGQU_GOLDEN").is_ok_and(|mode| mode == "write") {
        std::fs::write(&path, found).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, golden, "the schema differs from {path}");
}

/// Every kind of entity that the domain projects has its table, and no table is without a kind.
#[test]
fn every_kind_of_entity_has_a_table() {
    let kinds: Vec<&str> = lingqu_domain::state::EntityKind::ALL.iter().map(|kind| kind.table()).collect();
    assert_eq!(kinds, lingqu_store::row::READ_TABLES);
}
