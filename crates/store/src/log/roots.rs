//! Entries of both roots in the database: written under the writer's lock, one for each published size.

use std::collections::VecDeque;

use lingqu_transparency::RootsEntry;
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};

use super::LogError;
use super::entries::{insert_bytes, next_entry_index};
use super::sequencer::Sequencer;
use crate::error::StoreError;
use crate::store::{Store, WriterLock, from_sql, to_sql};

/// Rows that are read at once.
const ROWS_AT_ONCE: u64 = 1_000;

/// Where an entry of both roots stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RootsRow {
    /// The published size that it is about.
    pub size: u64,
    /// Its index.
    pub log_entry: u64,
}

/// Writes the entry of both roots, unless the size has one. Whoever asks must be the one who publishes.
pub(super) async fn insert_roots(store: &Store, sequencer: &Sequencer, entry: &RootsEntry) -> Result<(), LogError> {
    const DOING: &str = "writing the entry of both roots";
    let fault = |error| StoreError::database(DOING, error);
    let write = store.begin_write(WriterLock::Journal, DOING).await?;
    sequencer.check(write.db()).await?;
    let found = Query::select()
        .column("log_entry")
        .from("log_roots")
        .and_where(Expr::col("size").eq(to_sql(entry.size())))
        .take();
    if write.db().query_one(&found).await.map_err(fault)?.is_some() {
        // An earlier process ended between this and the next checkpoints. What the entry says is checked as it is read.
        return Ok(());
    }
    let index = next_entry_index(write.db()).await?;
    insert_bytes(write.db(), index, entry.encode()).await?;
    let row = Query::insert()
        .into_table("log_roots")
        .columns(["size", "log_entry"])
        .values_panic([to_sql(entry.size()).into(), to_sql(index).into()])
        .take();
    write.db().execute(&row).await.map_err(fault)?;
    write.commit(DOING).await?;
    Ok(())
}

/// The largest published size that an entry of both roots is about.
pub(super) async fn last_roots(store: &Store) -> Result<Option<u64>, StoreError> {
    last_of(store, None).await
}

/// The same of the sizes up to one.
pub(super) async fn last_roots_until(store: &Store, size: u64) -> Result<Option<u64>, StoreError> {
    last_of(store, Some(size)).await
}

async fn last_of(store: &Store, until: Option<u64>) -> Result<Option<u64>, StoreError> {
    const DOING: &str = "reading entries of both roots";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .column("size")
        .from("log_roots")
        .and_where_option(until.map(|until| Expr::col("size").lte(to_sql(until))))
        .order_by("size", Order::Desc)
        .limit(1)
        .take();
    match store.db().query_one(&query).await.map_err(fault)? {
        Some(row) => Ok(Some(from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?)),
        None => Ok(None),
    }
}

/// The rows in the order of sizes, a page at a time.
pub(super) struct RootsRows {
    store: Store,
    page: VecDeque<RootsRow>,
    /// The smallest size that is not in a page yet; none when all were read.
    next: Option<u64>,
}

impl RootsRows {
    /// All of them.
    pub(super) fn new(store: &Store) -> RootsRows {
        RootsRows::since(store, 0)
    }

    /// Those of a size and of later ones.
    pub(super) fn since(store: &Store, size: u64) -> RootsRows {
        RootsRows { store: store.clone(), page: VecDeque::new(), next: Some(size) }
    }

    /// The next row, without taking it.
    pub(super) async fn peek(&mut self) -> Result<Option<RootsRow>, StoreError> {
        if self.page.is_empty()
            && let Some(next) = self.next
        {
            self.page = rows_from(&self.store, next).await?;
            self.next = self.page.back().map(|row| row.size + 1);
        }
        Ok(self.page.front().copied())
    }

    /// Takes the row that [`RootsRows::peek`] showed.
    pub(super) fn take(&mut self) {
        self.page.pop_front();
    }
}

async fn rows_from(store: &Store, size: u64) -> Result<VecDeque<RootsRow>, StoreError> {
    const DOING: &str = "reading entries of both roots";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .columns(["size", "log_entry"])
        .from("log_roots")
        .and_where(Expr::col("size").gte(to_sql(size)))
        .order_by("size", Order::Asc)
        .limit(ROWS_AT_ONCE)
        .take();
    let mut rows = VecDeque::new();
    for row in store.db().query_all(&query).await.map_err(fault)? {
        rows.push_back(RootsRow {
            size: from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?,
            log_entry: from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?,
        });
    }
    Ok(rows)
}
