//! The erasable vault.

use lingqu_crypto::{IndexKey, SealKey};
use lingqu_store::vault::{ITEM_BYTES_MAX, VaultItem, VaultRead};
use lingqu_store::{AppendError, Backend, Store, StoreConfig, StoreError};
use lingqu_tests::{StoreFactory, both};
use sea_orm::{ConnectionTrait, DbBackend, Statement};

use crate::sample::append;

const SECRET: &str = "申请人张三的姓名-NOT-TO-BE-FOUND";

fn item(id: &str, subject: &str, content: &[u8]) -> VaultItem {
    VaultItem {
        id: id.into(),
        subject: subject.into(),
        kind: "name".into(),
        plaintext: content.to_vec().into(),
        index: None,
    }
}

/// Keeps items with a decision of their own.
async fn keep(store: &Store, stream: &str, items: Vec<VaultItem>) -> Result<(), AppendError> {
    let mut with_items = append(stream, 0, "consent_given");
    with_items.vault = items;
    store.append(with_items).await.map(drop)
}

#[tokio::test]
async fn an_erased_subject_is_gone_and_reads_as_erased() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let index = IndexKey::from_bytes([3; 32]).digest("driver", b"45010019800101000X");
        let first = VaultItem { index: Some(index), ..item("vlt_1", "sub_1", SECRET.as_bytes()) };
        keep(&store, "csn_1", vec![first]).await.unwrap();
        keep(&store, "csn_2", vec![item("vlt_2", "sub_1", b"phone"), item("vlt_3", "sub_2", b"kept")]).await.unwrap();

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
        assert_eq!(store.vault_get("sub_1", "vlt_2").await.unwrap(), erased);
        assert_eq!(store.vault_subject(&index).await.unwrap(), None);
        assert_eq!(store.vault_get("sub_2", "vlt_3").await.unwrap(), VaultRead::Present(b"kept".to_vec().into()));
        match keep(&store, "csn_3", vec![item("vlt_4", "sub_2", b"too"), item("vlt_5", "sub_1", b"again")]).await {
            Err(AppendError::Erased { subject }) => assert_eq!(subject, "sub_1"),
            other => panic!("{other:?}"),
        }
        // The journal stands as it was.
        assert_eq!(store.read_after(0, 10).await.unwrap().len(), 2);
    })
    .await;
}

#[tokio::test]
async fn nothing_is_stored_in_the_clear_and_erased_bytes_are_overwritten() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    keep(&store, "csn_1", vec![item("vlt_1", "sub_1", SECRET.as_bytes())]).await.unwrap();
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
        keep(&store, "csn_1", vec![item("vlt_1", "sub_1", b"one"), item("vlt_2", "sub_2", b"two")]).await.unwrap();
        let other_key =
            Store::open(StoreConfig { vault_key: SealKey::from_bytes([8; 32]), ..factory.config() }).await.unwrap();
        assert!(matches!(other_key.vault_get("sub_1", "vlt_1").await, Err(StoreError::Sealed { .. })));
        let refused = keep(&other_key, "csn_2", vec![item("vlt_3", "sub_1", b"more")]).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Sealed { .. }))), "{refused:?}");
        // Someone with the database but without the key gives the item to another subject.
        let raw = factory.raw().await;
        raw.execute_unprepared("UPDATE vault_item SET subject = 'sub_2' WHERE id = 'vlt_1'").await.unwrap();
        assert!(matches!(store.vault_get("sub_2", "vlt_1").await, Err(StoreError::Sealed { .. })));
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
        let indexed = |id: &str, subject: &str| VaultItem { index: Some(digest), ..item(id, subject, b"x") };
        keep(&store, "csn_1", vec![indexed("vlt_1", "sub_1"), indexed("vlt_2", "sub_1")]).await.unwrap();
        match keep(&store, "csn_2", vec![indexed("vlt_3", "sub_2")]).await {
            Err(AppendError::Store(StoreError::Constraint { name, .. })) => {
                assert_eq!(name, "vault_index_digest_unique")
            }
            other => panic!("{other:?}"),
        }
    })
    .await;
}

#[tokio::test]
async fn an_item_that_is_too_large_is_refused() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let refused = keep(&store, "csn_1", vec![item("vlt_1", "sub_1", &vec![0; ITEM_BYTES_MAX + 1])]).await;
        assert!(matches!(refused, Err(AppendError::Store(StoreError::Invalid { .. }))), "{refused:?}");
        assert_eq!(store.vault_get("sub_1", "vlt_1").await.unwrap(), VaultRead::Unknown);
    })
    .await;
}
