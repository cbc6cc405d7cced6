//! The erasable vault.

use std::sync::Arc;

use lingqu_crypto::{IndexKey, SealKey};
use lingqu_store::vault::{GROUP_ITEMS_MAX, QUEUE_MAX, VaultItem, VaultRead, VaultWriter};
use lingqu_store::{AppendError, Backend, Store, StoreConfig, StoreError};
use lingqu_tests::{StoreFactory, both};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, Statement, TransactionTrait};

use crate::sample::{append, append_new};

const SECRET: &str = "申请人张三的姓名-NOT-TO-BE-FOUND";

#[tokio::test]
async fn an_erased_subject_is_gone_and_reads_as_erased() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let index = IndexKey::from_bytes([3; 32]).digest("driver", b"45010019800101000X");
        let mut with_item = append("csn_1", 0, "consent_given");
        with_item.vault.push(VaultItem {
            id: "vlt_1".into(),
            subject: "sub_1".into(),
            kind: "name".into(),
            plaintext: SECRET.as_bytes().to_vec().into(),
            index: Some(index),
        });
        append_new(&store, with_item).await;
        let writer = VaultWriter::start(&store);
        let second = writer.put("sub_1", "contact", b"phone").await.unwrap();
        let other = writer.put("sub_2", "contact", b"kept").await.unwrap();

        assert_eq!(
            store.vault_get("sub_1", "vlt_1").await.unwrap(),
            VaultRead::Present(SECRET.as_bytes().to_vec().into())
        );
        assert_eq!(store.vault_get("sub_2", "vlt_1").await.unwrap(), VaultRead::Unknown);
        assert_eq!(store.vault_get("sub_1", "vlt_none").await.unwrap(), VaultRead::Unknown);
        assert_eq!(store.vault_subject(&index).await.unwrap().as_deref(), Some("sub_1"));
        assert_eq!(store.vault_items("sub_1").await.unwrap().len(), 2);

        store.vault_erase("sub_1", "2026-03-02T10:00:00+08:00").await.unwrap();
        store.vault_erase("sub_1", "2026-03-05T10:00:00+08:00").await.unwrap();
        let erased = VaultRead::Erased { erased_at: "2026-03-02T10:00:00+08:00".into() };
        assert_eq!(store.vault_get("sub_1", "vlt_1").await.unwrap(), erased);
        assert_eq!(store.vault_get("sub_1", &second).await.unwrap(), erased);
        assert_eq!(store.vault_subject(&index).await.unwrap(), None);
        assert_eq!(store.vault_get("sub_2", &other).await.unwrap(), VaultRead::Present(b"kept".to_vec().into()));
        match writer.put("sub_1", "name", b"again").await {
            Err(AppendError::Erased { subject }) => assert_eq!(subject, "sub_1"),
            other => panic!("{other:?}"),
        }
        // The journal stands as it was.
        assert_eq!(store.read_after(0, 10).await.unwrap().len(), 1);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_stored_in_the_clear_and_erased_bytes_are_overwritten() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let writer = VaultWriter::start(&store);
    writer.put("sub_1", "name", SECRET.as_bytes()).await.unwrap();
    let raw = factory.raw().await;
    let row = raw
        .query_one_raw(Statement::from_string(DbBackend::Sqlite, "SELECT sealed FROM vault_item"))
        .await
        .unwrap()
        .unwrap();
    let sealed: Vec<u8> = row.try_get_by_index(0).unwrap();
    raw.close().await.unwrap();
    assert!(on_disk(&factory, &sealed), "the sealed item should be on the disk before it is erased");
    assert!(!on_disk(&factory, SECRET.as_bytes()));
    store.vault_erase("sub_1", "2026-03-02T10:00:00+08:00").await.unwrap();
    assert!(!on_disk(&factory, &sealed), "the sealed bytes are still in the database's files");
}

fn on_disk(factory: &StoreFactory, bytes: &[u8]) -> bool {
    let mut found = false;
    for entry in std::fs::read_dir(factory.directory()).unwrap() {
        let content = std::fs::read(entry.unwrap().path()).unwrap();
        found |= content.windows(bytes.len()).any(|window| window == bytes);
    }
    found
}

#[tokio::test]
async fn items_cannot_be_moved_and_another_key_opens_nothing() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let writer = VaultWriter::start(&store);
        let id = writer.put("sub_1", "name", b"one").await.unwrap();
        writer.put("sub_2", "name", b"two").await.unwrap();
        let other_key =
            Store::open(StoreConfig { vault_key: SealKey::from_bytes([8; 32]), ..factory.config() }).await.unwrap();
        assert!(matches!(other_key.vault_get("sub_1", &id).await, Err(StoreError::Sealed { .. })));
        // Someone with the database but without the key gives the item to another subject.
        let raw = factory.raw().await;
        raw.execute_unprepared(&format!("UPDATE vault_item SET subject = 'sub_2' WHERE id = '{id}'")).await.unwrap();
        assert!(matches!(store.vault_get("sub_2", &id).await, Err(StoreError::Sealed { .. })));
        if factory.backend() == Backend::Sqlite {
            raw.close().await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn one_identity_belongs_to_one_subject() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let digest = IndexKey::from_bytes([3; 32]).digest("driver", b"same");
        let item = |id: &str, subject: &str| VaultItem {
            id: id.into(),
            subject: subject.into(),
            kind: "name".into(),
            plaintext: b"x".to_vec().into(),
            index: Some(digest),
        };
        let mut first = append("csn_1", 0, "consent_given");
        first.vault = vec![item("vlt_1", "sub_1"), item("vlt_2", "sub_1")];
        append_new(&store, first).await;
        let mut second = append("csn_2", 0, "consent_given");
        second.vault = vec![item("vlt_3", "sub_2")];
        match store.append(second).await {
            Err(AppendError::Store(StoreError::Constraint { name, .. })) => {
                assert_eq!(name, "vault_index_digest_unique")
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

/// Keeps everybody from writing to the vault until it is dropped.
async fn hold(raw: &sea_orm::DatabaseConnection) -> DatabaseTransaction {
    let held = raw.begin().await.unwrap();
    let sql = match held.get_database_backend() {
        DbBackend::Sqlite => "UPDATE vault_erased SET erased_at = erased_at",
        // The number of the vault's lock.
        _ => "SELECT pg_advisory_xact_lock(1280376835)",
    };
    held.execute_unprepared(sql).await.unwrap();
    held
}

/// How many transactions have written the items that there are: commit frames of SQLite's log after `wal_bytes` bytes of
/// it (<https://www.sqlite.org/fileformat2.html#the_write_ahead_log>), writing transactions in PostgreSQL.
async fn commits(factory: &StoreFactory, raw: &sea_orm::DatabaseConnection, wal_bytes: usize) -> usize {
    if factory.backend() == Backend::Postgres {
        let sql = "SELECT count(DISTINCT xmin::text) FROM vault_item";
        let row = raw.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await.unwrap().unwrap();
        return usize::try_from(row.try_get_by_index::<i64>(0).unwrap()).unwrap();
    }
    const HEADER_BYTES: usize = 32;
    const FRAME_BYTES: usize = 24 + 4096;
    let wal = wal_of(factory);
    let frames = wal[wal_bytes.max(HEADER_BYTES)..].chunks_exact(FRAME_BYTES);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

fn wal_of(factory: &StoreFactory) -> Vec<u8> {
    std::fs::read(factory.directory().join("lingqu.db-wal")).unwrap()
}

async fn count_items(raw: &sea_orm::DatabaseConnection) -> usize {
    let count = Statement::from_string(raw.get_database_backend(), "SELECT count(*) FROM vault_item");
    let row = raw.query_one_raw(count).await.unwrap().unwrap();
    usize::try_from(row.try_get_by_index::<i64>(0).unwrap()).unwrap()
}

#[tokio::test]
async fn a_crowd_shares_a_commit_and_an_erased_subject_is_refused_alone() {
    const CROWD: usize = 60;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let writer = Arc::new(VaultWriter::start(&store));
        store.vault_erase("sub_7", "2026-03-02T10:00:00+08:00").await.unwrap();
        let raw = factory.raw().await;
        let wal_bytes = if factory.backend() == Backend::Sqlite { wal_of(&factory).len() } else { 0 };
        let held = hold(&raw).await;
        let mut puts = Vec::new();
        for number in 0..CROWD {
            let writer = Arc::clone(&writer);
            // Two of each subject: they share its key.
            let subject = format!("sub_{}", number / 2);
            puts.push(tokio::spawn(async move { (subject.clone(), writer.put(&subject, "request", b"asked").await) }));
        }
        for _ in 0..CROWD {
            tokio::task::yield_now().await;
        }
        held.rollback().await.unwrap();
        for put in puts {
            let (subject, result) = put.await.unwrap();
            match result {
                Ok(id) => {
                    let read = store.vault_get(&subject, &id).await.unwrap();
                    assert_eq!(read, VaultRead::Present(b"asked".to_vec().into()), "{subject}");
                    assert_ne!(subject, "sub_7");
                }
                Err(AppendError::Erased { subject: refused }) => assert_eq!([&refused, &subject], ["sub_7"; 2]),
                Err(other) => panic!("{subject}: {other:?}"),
            }
        }
        assert_eq!(count_items(&raw).await, CROWD - 2);
        // The writer may have begun with the first one alone.
        let commits = commits(&factory, &raw, wal_bytes).await;
        assert!((1..=2).contains(&commits), "{commits} commits for {CROWD} items");
        raw.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_key_that_does_not_open_refuses_its_subject_alone() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        VaultWriter::start(&store).put("sub_1", "request", b"one").await.unwrap();
        let config = StoreConfig { vault_key: SealKey::from_bytes([8; 32]), ..factory.config() };
        let other = Store::open(config).await.unwrap();
        let writer = VaultWriter::start(&other);
        let (first, second) =
            tokio::join!(writer.put("sub_1", "request", b"again"), writer.put("sub_2", "request", b"new"));
        assert!(matches!(first, Err(AppendError::Store(StoreError::Sealed { .. }))), "{first:?}");
        let read = other.vault_get("sub_2", &second.unwrap()).await.unwrap();
        assert_eq!(read, VaultRead::Present(b"new".to_vec().into()));
    })
    .await;
}

#[tokio::test]
async fn the_queue_is_bounded_and_who_goes_away_leaves_a_whole_item_or_none() {
    const CALLERS: usize = GROUP_ITEMS_MAX + QUEUE_MAX + 300;
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let writer = Arc::new(VaultWriter::start(&store));
        let raw = factory.raw().await;
        let held = hold(&raw).await;
        let mut puts = tokio::task::JoinSet::new();
        for number in 0..CALLERS {
            let writer = Arc::clone(&writer);
            puts.spawn(async move { writer.put(&format!("sub_{number}"), "request", b"asked").await });
        }
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        // All callers go away: those whose item was taken, those whose item waits, and those who wait for room.
        puts.shutdown().await;
        held.rollback().await.unwrap();
        writer.close().await;
        let count = count_items(&raw).await;
        assert!((QUEUE_MAX..=GROUP_ITEMS_MAX + QUEUE_MAX).contains(&count), "{count} items of {CALLERS} callers");
        let mut found = 0;
        for number in 0..CALLERS {
            let subject = format!("sub_{number}");
            for (id, kind) in store.vault_items(&subject).await.unwrap() {
                found += 1;
                assert_eq!(kind, "request");
                let read = store.vault_get(&subject, &id).await.unwrap();
                assert_eq!(read, VaultRead::Present(b"asked".to_vec().into()));
            }
        }
        assert_eq!(found, count);
        raw.close().await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn closing_writes_what_waits_and_a_failed_group_tells_everyone() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let writer = VaultWriter::start(&store);
        let raw = factory.raw().await;
        raw.execute_unprepared("ALTER TABLE vault_item RENAME TO vault_away").await.unwrap();
        let (first, second) =
            tokio::join!(writer.put("sub_1", "request", b"one"), writer.put("sub_2", "request", b"two"));
        for result in [first, second] {
            assert!(matches!(result, Err(AppendError::Store(StoreError::Database { .. }))), "{result:?}");
        }
        raw.execute_unprepared("ALTER TABLE vault_away RENAME TO vault_item").await.unwrap();
        // The writer goes on after a failure, and nothing of the failed group was kept.
        let (put, ()) = tokio::join!(writer.put("sub_3", "request", b"three"), writer.close());
        let read = store.vault_get("sub_3", &put.unwrap()).await.unwrap();
        assert_eq!(read, VaultRead::Present(b"three".to_vec().into()));
        assert_eq!(count_items(&raw).await, 1);
        match writer.put("sub_3", "request", b"late").await {
            Err(AppendError::Store(StoreError::Invalid { problem })) => assert!(problem.contains("restart the node")),
            other => panic!("{other:?}"),
        }
        let large = vec![0; lingqu_store::vault::ITEM_BYTES_MAX + 1];
        let refused = VaultWriter::start(&store).put("sub_4", "request", &large).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Invalid { .. }))), "{refused:?}");
        raw.close().await.unwrap();
    })
    .await;
}
