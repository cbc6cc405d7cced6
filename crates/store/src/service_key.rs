//! Service keys of orders. Only the hash of a key is stored; the last four characters let people tell keys apart.

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::error::StoreError;
use crate::store::Store;

/// Most keys that a list of one order returns.
pub const LIST_MAX: u64 = 1_000;

/// A change to the keys, part of an append.
#[derive(Clone, Debug)]
pub enum ServiceKeyChange {
    /// A new key.
    Issue {
        /// SHA-256 of the key.
        hash: [u8; 32],
        /// The order it belongs to.
        order_id: String,
        /// Its last four characters.
        last_four: String,
        /// What verifies it by SCRAM, sealed.
        scram_sealed: Vec<u8>,
    },
    /// The key is void from now on.
    Revoke {
        /// SHA-256 of the key.
        hash: [u8; 32],
    },
    /// All keys of an order are void from now on.
    RevokeAll {
        /// The order.
        order_id: String,
    },
}

/// A key as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredServiceKey {
    /// SHA-256 of the key.
    pub hash: [u8; 32],
    /// The order it belongs to.
    pub order_id: String,
    /// Its last four characters.
    pub last_four: String,
    /// When it was issued, RFC 3339.
    pub created_at: String,
    /// When it was revoked, if it was.
    pub revoked_at: Option<String>,
    /// What verifies it by SCRAM, sealed; keys that were issued before there was such a protocol have none.
    pub scram_sealed: Option<Vec<u8>>,
}

impl Store {
    /// The key with this hash, revoked or not.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn service_key(&self, hash: &[u8; 32]) -> Result<Option<StoredServiceKey>, StoreError> {
        let query = select(LIST_MAX).and_where(Expr::col("hash").eq(hash.to_vec())).take();
        Ok(keys_of(self.db(), &query).await?.into_iter().next())
    }

    /// The keys of an order in the order of issue, at most [`LIST_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn service_keys_of(&self, order_id: &str) -> Result<Vec<StoredServiceKey>, StoreError> {
        let query = select(LIST_MAX)
            .and_where(Expr::col("order_id").eq(order_id))
            .order_by("created_at", Order::Asc)
            .order_by("hash", Order::Asc)
            .take();
        keys_of(self.db(), &query).await
    }
}

fn select(limit: u64) -> SelectStatement {
    Query::select()
        .columns(["hash", "order_id", "last_four", "created_at", "revoked_at", "scram_sealed"])
        .from("service_key")
        .limit(limit)
        .take()
}

/// Keys after a hash, in the order of hashes.
pub(crate) async fn page<C: ConnectionTrait>(
    db: &C,
    after: Option<&[u8; 32]>,
    limit: u64,
) -> Result<Vec<StoredServiceKey>, StoreError> {
    let query = select(limit)
        .and_where_option(after.map(|after| Expr::col("hash").gt(after.to_vec())))
        .order_by("hash", Order::Asc)
        .take();
    keys_of(db, &query).await
}

async fn keys_of<C: ConnectionTrait>(db: &C, query: &SelectStatement) -> Result<Vec<StoredServiceKey>, StoreError> {
    let fault = |error| StoreError::database("reading service keys", error);
    let mut keys = Vec::new();
    for row in db.query_all(query).await.map_err(fault)? {
        let hash: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
        keys.push(StoredServiceKey {
            hash: hash.try_into().map_err(|_| StoreError::Unreadable {
                what: "a service key",
                problem: "its hash isn't 32 bytes".to_owned(),
            })?,
            order_id: row.try_get_by_index(1).map_err(fault)?,
            last_four: row.try_get_by_index(2).map_err(fault)?,
            created_at: row.try_get_by_index(3).map_err(fault)?,
            revoked_at: row.try_get_by_index(4).map_err(fault)?,
            scram_sealed: row.try_get_by_index(5).map_err(fault)?,
        });
    }
    Ok(keys)
}

pub(crate) async fn apply(db: &DatabaseTransaction, changes: &[ServiceKeyChange], at: &str) -> Result<(), StoreError> {
    let fault = |error| StoreError::database("changing service keys", error);
    let revoke = |condition| {
        Query::update()
            .table("service_key")
            .value("revoked_at", at)
            .and_where(condition)
            .and_where(Expr::col("revoked_at").is_null())
            .take()
    };
    for change in changes {
        match change {
            ServiceKeyChange::Issue { hash, order_id, last_four, scram_sealed } => {
                let insert = Query::insert()
                    .into_table("service_key")
                    .columns(["hash", "order_id", "last_four", "created_at", "scram_sealed"])
                    .values_panic([
                        hash.to_vec().into(),
                        order_id.as_str().into(),
                        last_four.as_str().into(),
                        at.into(),
                        scram_sealed.clone().into(),
                    ])
                    .take();
                db.execute(&insert).await.map_err(fault)?;
            }
            ServiceKeyChange::Revoke { hash } => {
                db.execute(&revoke(Expr::col("hash").eq(hash.to_vec()))).await.map_err(fault)?;
            }
            ServiceKeyChange::RevokeAll { order_id } => {
                db.execute(&revoke(Expr::col("order_id").eq(order_id.as_str()))).await.map_err(fault)?;
            }
        }
    }
    Ok(())
}
