//! Shares of keys are written with the record that commits to them, once, and the database itself keeps them.

use std::collections::BTreeSet;

use lingqu_store::journal::Append;
use lingqu_store::mark_share::{MarkShare, SHARES_MAX};
use lingqu_store::{Backend, StoreError};
use lingqu_tests::{StoreFactory, both};
use sea_orm::ConnectionTrait;

use crate::sample::{append, append_new};

fn share(key_use: &str, byte: u8) -> MarkShare {
    MarkShare { key_use: key_use.to_owned(), sealed: vec![byte; 60] }
}

fn given(order: &str, shares: Vec<MarkShare>) -> Append {
    Append { mark_shares: shares, ..append(order, 0, "order.mark_keys_committed") }
}

#[tokio::test]
async fn a_share_is_written_once_and_found_by_its_use() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let (positions, recipient) = (share("aes/positions/prd_1/0", 1), share("aes/recipient/prd_1/pty_1", 2));
        append_new(&store, given("ord_1", vec![positions.clone(), recipient.clone()])).await;
        // The second order brings its own key; what is there stays as it is.
        let second = share("aes/order/prd_1/ord_2", 4);
        append_new(&store, given("ord_2", vec![share("aes/positions/prd_1/0", 3), second.clone()])).await;
        let wanted = ["aes/positions/prd_1/0", "aes/order/prd_1/ord_2", "aes/order/prd_1/nobody"].map(str::to_owned);
        let found = store.mark_shares(&BTreeSet::from(wanted)).await.unwrap();
        assert_eq!(found.into_values().collect::<Vec<_>>(), [second.clone(), positions.clone()]);
        let view = store.snapshot().await.unwrap();
        assert_eq!(view.mark_shares(None).await.unwrap(), [second.clone(), positions.clone(), recipient.clone()]);
        assert_eq!(view.mark_shares(Some(&positions.key_use)).await.unwrap(), [recipient]);
    })
    .await;
}

#[tokio::test]
async fn a_refused_append_leaves_no_share() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        append_new(&store, append("ord_1", 0, "order.placed")).await;
        let late = given("ord_1", vec![share("aes/positions/prd_1/0", 1)]);
        store.append(late).await.unwrap_err();
        let many = (0..=SHARES_MAX).map(|number| share(&format!("aes/order/prd_1/{number}"), 1)).collect();
        let error = store.append(given("ord_2", many)).await.unwrap_err();
        assert!(matches!(error, lingqu_store::AppendError::Store(StoreError::Invalid { .. })), "{error}");
        assert_eq!(store.snapshot().await.unwrap().mark_shares(None).await.unwrap(), []);
    })
    .await;
}

#[tokio::test]
async fn the_database_refuses_to_change_or_lose_a_share() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        append_new(&store, given("ord_1", vec![share("aes/positions/prd_1/0", 1)])).await;
        let raw = factory.raw().await;
        for statement in ["UPDATE mark_share SET given_at = '2000-01-01T00:00:00Z'", "DELETE FROM mark_share"] {
            let error = raw.execute_unprepared(statement).await.unwrap_err().to_string();
            assert!(error.contains("mark_share"), "{statement}: {error}");
        }
        if factory.backend() == Backend::Sqlite {
            let replace = "INSERT OR REPLACE INTO mark_share SELECT key_use, x'00', given_at FROM mark_share";
            let error = raw.execute_unprepared(replace).await.unwrap_err().to_string();
            assert!(error.contains("mark_share_append_only"), "{error}");
        }
        assert_eq!(store.snapshot().await.unwrap().mark_shares(None).await.unwrap().len(), 1);
    })
    .await;
}
