//! What a replay reads beside journal and read tables: whole tables, page by page, as of one moment.

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};

use crate::error::StoreError;
use crate::service_key::{self, StoredServiceKey};
use crate::snapshot::Snapshot;
use crate::store::from_sql;

/// Most rows of one page.
pub const PAGE_MAX: u64 = 1_000;

/// A quota account as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaAccount {
    /// Its name.
    pub account: String,
    /// What was used and given back.
    pub used: u64,
    /// What processes hold in leases.
    pub leased: u64,
}

impl Snapshot {
    /// Service keys after a hash, in the order of hashes, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn service_keys(&self, after: Option<&[u8; 32]>) -> Result<Vec<StoredServiceKey>, StoreError> {
        service_key::page(self.db(), after, PAGE_MAX).await
    }

    /// Rows of the vault's blind index after a digest, in the order of digests, at most [`PAGE_MAX`]: digest and subject.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn vault_index(&self, after: Option<&[u8]>) -> Result<Vec<(Vec<u8>, String)>, StoreError> {
        let fault = |error| StoreError::database("reading the blind index", error);
        let query = Query::select()
            .columns(["digest", "subject"])
            .from("vault_index")
            .and_where_option(after.map(|after| Expr::col("digest").gt(after.to_vec())))
            .order_by("digest", Order::Asc)
            .limit(PAGE_MAX)
            .take();
        let rows = self.db().query_all(&query).await.map_err(fault)?;
        rows.iter()
            .map(|row| Ok((row.try_get_by_index(0).map_err(fault)?, row.try_get_by_index(1).map_err(fault)?)))
            .collect()
    }

    /// Quota accounts after one, in order, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn quota_accounts(&self, after: Option<&str>) -> Result<Vec<QuotaAccount>, StoreError> {
        const DOING: &str = "reading quota accounts";
        let fault = |error| StoreError::database(DOING, error);
        let of_account = Expr::col(("quota_lease", "account")).equals(("quota_account", "account"));
        let query = Query::select()
            .column(("quota_account", "account"))
            .column(("quota_account", "used"))
            .expr(Expr::col(("quota_lease", "granted")).sum().cast_as("bigint"))
            .from("quota_account")
            .left_join("quota_lease", of_account)
            .and_where_option(after.map(|after| Expr::col(("quota_account", "account")).gt(after)))
            .group_by_columns([("quota_account", "account"), ("quota_account", "used")])
            .order_by(("quota_account", "account"), Order::Asc)
            .limit(PAGE_MAX)
            .take();
        let mut accounts = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            let leased: Option<i64> = row.try_get_by_index(2).map_err(fault)?;
            accounts.push(QuotaAccount {
                account: row.try_get_by_index(0).map_err(fault)?,
                used: from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?,
                leased: from_sql(DOING, leased.unwrap_or(0))?,
            });
        }
        Ok(accounts)
    }

    /// How many subjects an account counts.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn counted_subjects(&self, account: &str) -> Result<u64, StoreError> {
        const DOING: &str = "counting the subjects of an account";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .expr(Expr::col("digest").count())
            .from("quota_subject")
            .and_where(Expr::col("account").eq(account))
            .take();
        let row = self.db().query_one(&query).await.map_err(fault)?;
        let count: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?;
        from_sql(DOING, count.unwrap_or(0))
    }
}
