//! Shares of the keys that copies are marked with: what the half-holder gave for one use of a key, sealed by the caller. A
//! share is written once, with the journal's record of the commitment to its key, and never changed.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::Store;

/// Most shares that one page gives.
pub const PAGE_SHARES_MAX: u64 = 1_000;
/// Most shares of one append: an order has three keys.
pub const SHARES_MAX: usize = 3;

/// A share of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkShare {
    /// What the key is for, by ids alone.
    pub key_use: String,
    /// The share, sealed and bound to its use.
    pub sealed: Vec<u8>,
}

impl Store {
    /// The shares of some uses, by use; those that are not there are left out.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn mark_shares(&self, uses: &BTreeSet<String>) -> Result<BTreeMap<String, MarkShare>, StoreError> {
        let fault = |error| StoreError::database("reading shares of keys", error);
        let uses: Vec<&str> = uses.iter().map(String::as_str).collect();
        let mut shares = BTreeMap::new();
        for chunk in uses.chunks(INSERT_ROWS_MAX) {
            let query = Query::select()
                .columns(["key_use", "sealed"])
                .from("mark_share")
                .and_where(Expr::col("key_use").is_in(chunk.iter().copied()))
                .take();
            for row in self.db().query_all(&query).await.map_err(fault)? {
                let key_use: String = row.try_get_by_index(0).map_err(fault)?;
                let sealed = row.try_get_by_index(1).map_err(fault)?;
                shares.insert(key_use.clone(), MarkShare { key_use, sealed });
            }
        }
        Ok(shares)
    }
}

/// Shares after a use, in the order of uses, at most [`PAGE_SHARES_MAX`].
pub(crate) async fn page<C: ConnectionTrait>(db: &C, after: Option<&str>) -> Result<Vec<MarkShare>, StoreError> {
    let fault = |error| StoreError::database("reading shares of keys", error);
    let query = Query::select()
        .columns(["key_use", "sealed"])
        .from("mark_share")
        .and_where_option(after.map(|after| Expr::col("key_use").gt(after)))
        .order_by("key_use", Order::Asc)
        .limit(PAGE_SHARES_MAX)
        .take();
    let mut shares = Vec::new();
    for row in db.query_all(&query).await.map_err(fault)? {
        let (key_use, sealed) = (row.try_get_by_index(0).map_err(fault)?, row.try_get_by_index(1).map_err(fault)?);
        shares.push(MarkShare { key_use, sealed });
    }
    Ok(shares)
}

/// Writes the shares that are not there yet. Whoever gives one that is there has had it compared by its commitment.
pub(crate) async fn insert(db: &DatabaseTransaction, shares: &[MarkShare], at: &str) -> Result<(), StoreError> {
    let fault = |error| StoreError::database("writing shares of keys", error);
    for share in shares {
        let known = Query::select()
            .column("key_use")
            .from("mark_share")
            .and_where(Expr::col("key_use").eq(share.key_use.as_str()))
            .take();
        if db.query_one(&known).await.map_err(fault)?.is_some() {
            continue;
        }
        let insert = Query::insert()
            .into_table("mark_share")
            .columns(["key_use", "sealed", "given_at"])
            .values_panic([share.key_use.as_str().into(), share.sealed.clone().into(), at.into()])
            .take();
        db.execute(&insert).await.map_err(fault)?;
    }
    Ok(())
}
