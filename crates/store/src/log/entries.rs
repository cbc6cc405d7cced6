//! Log entries in the database: written in the transaction of what they commit to, taken by the publisher in order.

use lingqu_transparency::LogEntry;
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, from_sql, to_sql};

impl Store {
    /// How many entries the log has, published or not.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn log_size(&self) -> Result<u64, StoreError> {
        next_entry_index(self.db()).await
    }
}

/// Index of the next entry to write.
pub(crate) async fn next_entry_index<C: ConnectionTrait>(db: &C) -> Result<u64, StoreError> {
    const DOING: &str = "reading the log's size";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select().column("idx").from("log_entry").order_by("idx", Order::Desc).limit(1).take();
    let Some(row) = db.query_one(&query).await.map_err(fault)? else { return Ok(0) };
    Ok(from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)? + 1)
}

pub(crate) async fn insert_entry(db: &DatabaseTransaction, index: u64, entry: &LogEntry) -> Result<(), StoreError> {
    insert_bytes(db, index, entry.encode()).await
}

/// Writes an encoded entry of either kind.
pub(super) async fn insert_bytes(db: &DatabaseTransaction, index: u64, bytes: Vec<u8>) -> Result<(), StoreError> {
    let insert = Query::insert()
        .into_table("log_entry")
        .columns(["idx", "bytes"])
        .values_panic([to_sql(index).into(), bytes.into()])
        .take();
    db.execute(&insert).await.map_err(|error| StoreError::database("writing a log entry", error))?;
    Ok(())
}

impl Store {
    /// The encoded entry at `index`, as the database has it.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn log_entry(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(read_entries(self, index, 1).await?.pop())
    }
}

/// Writes entries that follow each other from an index on, many with each statement.
pub(crate) async fn insert_entries(
    db: &DatabaseTransaction,
    first: u64,
    entries: &[LogEntry],
) -> Result<(), StoreError> {
    let mut index = first;
    for chunk in entries.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("log_entry").columns(["idx", "bytes"]).take();
        for entry in chunk {
            insert.values_panic([to_sql(index).into(), entry.encode().into()]);
            index += 1;
        }
        db.execute(&insert).await.map_err(|error| StoreError::database("writing log entries", error))?;
    }
    Ok(())
}

/// At most `count` encoded entries from `index` on.
pub(super) async fn read_entries(store: &Store, index: u64, count: u64) -> Result<Vec<Vec<u8>>, StoreError> {
    let fault = |error| StoreError::database("reading log entries", error);
    let query = Query::select()
        .column("bytes")
        .from("log_entry")
        .and_where(Expr::col("idx").gte(to_sql(index)))
        .order_by("idx", Order::Asc)
        .limit(count)
        .take();
    let rows = store.db().query_all(&query).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get_by_index(0).map_err(fault)).collect()
}
