//! One moment of the database: everything read through a [`Snapshot`] belongs to the same journal position, whatever is
//! written meanwhile. The replay check compares journal and tables through it.

use sea_orm::DatabaseTransaction;

use crate::error::StoreError;
use crate::journal::{self, Record};
use crate::mark_share::{self, MarkShare};
use crate::posting::{self, Posting, PostingFilter};
use crate::row::{self, Row, RowFilter};
use crate::store::Store;

/// A read transaction. Keep it short: it holds a connection, and SQLite can't shrink its log meanwhile.
pub struct Snapshot {
    transaction: DatabaseTransaction,
}

impl Store {
    /// Takes a snapshot of this moment.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { transaction: self.begin_read("taking a snapshot").await? })
    }
}

impl Snapshot {
    pub(crate) fn db(&self) -> &DatabaseTransaction {
        &self.transaction
    }

    /// Position of the last record.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn head(&self) -> Result<u64, StoreError> {
        journal::head(&self.transaction).await
    }

    /// Like [`Store::read_after`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn read_after(&self, position: u64, limit: u32) -> Result<Vec<Record>, StoreError> {
        journal::read_after(&self.transaction, position, limit).await
    }

    /// Like [`Store::rows`].
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when `table` is no read table; faults of the database.
    pub async fn rows(&self, table: &str, filter: &RowFilter) -> Result<Vec<Row>, StoreError> {
        row::page(&self.transaction, table, filter).await
    }

    /// Shares of keys after a use, in the order of uses, at most [`mark_share::PAGE_SHARES_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn mark_shares(&self, after: Option<&str>) -> Result<Vec<MarkShare>, StoreError> {
        mark_share::page(&self.transaction, after).await
    }

    /// Like [`Store::postings`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn postings(&self, filter: &PostingFilter) -> Result<Vec<Posting>, StoreError> {
        posting::page(&self.transaction, filter).await
    }
}
