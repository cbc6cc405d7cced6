//! Receipts in PostgreSQL: one zstd-compressed row per group, with its index rows in the same transaction.

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use tokio::sync::mpsc;

use super::index::{IndexRow, insert_index};
use super::request::NewRequest;
use super::{Receipt, Waiting, fence, gather, group, salts};
use crate::error::{AppendError, StoreError};
use crate::store::{Store, WriteTransaction, WriterLock, from_sql, to_sql};
use crate::vault::{self, VaultItem};

/// Blocks that one read may decompress; each has at least one receipt.
const BLOCKS_PER_READ: u64 = 16;
/// A read takes no further blocks when it holds so many bytes.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Light and fast: receipts are short and alike.
const COMPRESSION_LEVEL: i32 = 3;

/// Writes groups until the queue is closed and empty.
pub(super) async fn run(store: &Store, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.recv().await {
        let waiting = gather(first, &mut queue);
        match write(store, &waiting).await {
            Ok(positions) => {
                for (waiting, position) in waiting.into_iter().zip(positions) {
                    // Who no longer waits has gone away; the receipt stays all the same.
                    drop(waiting.answer.send(position.ok_or_else(|| fence::refused(&waiting.receipt.receipt_id))));
                }
            }
            Err(error) => {
                tracing::error!(%error, receipts = waiting.len(), "receipts could not be written");
                for waiting in waiting {
                    drop(waiting.answer.send(Err(error.clone())));
                }
            }
        }
    }
}

/// Gives the position of each, or none where its fence refused it.
async fn write(store: &Store, waiting: &[Waiting]) -> Result<Vec<Option<u64>>, StoreError> {
    const DOING: &str = "writing receipts";
    let write = store.begin_write(WriterLock::Receipts, DOING).await?;
    let passed = fence::passed(write.db(), waiting).await?;
    let first_position = head(write.db()).await? + 1;
    let mut next_position = first_position;
    let mut positions = Vec::with_capacity(waiting.len());
    for passed in &passed {
        positions.push(passed.then_some(next_position));
        next_position += u64::from(*passed);
    }
    let waiting: Vec<&Waiting> =
        waiting.iter().zip(passed).filter_map(|(waiting, passed)| passed.then_some(waiting)).collect();
    if waiting.is_empty() {
        return Ok(positions);
    }
    let salts = salts(waiting.len())?;
    let encoded = group::encode(first_position, salts.iter().zip(waiting.iter().map(|waiting| &waiting.receipt)));
    let block = zstd::bulk::compress(&encoded, COMPRESSION_LEVEL)
        .map_err(|error| StoreError::invalid(format!("receipts can't be compressed ({error}); restart the node")))?;
    let insert = Query::insert()
        .into_table("receipt_block")
        .columns(["first_position", "count", "block"])
        .values_panic([to_sql(first_position).into(), to_sql(waiting.len() as u64).into(), block.into()])
        .take();
    write.db().execute(&insert).await.map_err(|error| StoreError::database(DOING, error))?;
    let mut rows = Vec::with_capacity(waiting.len());
    for (position, waiting) in (first_position..).zip(&waiting) {
        let receipt = &waiting.receipt;
        rows.push(IndexRow {
            position,
            order_id: receipt.order_id.clone(),
            receipt_id: receipt.receipt_id.clone(),
            kind: receipt.kind.clone(),
        });
    }
    insert_index(write.db(), rows).await?;
    keep_requests(store, &write, &waiting, DOING).await?;
    write.commit(DOING).await?;
    Ok(positions)
}

/// Seals the requests of a group into the vault. Its lock is taken after the receipts', never before.
async fn keep_requests(
    store: &Store,
    write: &WriteTransaction<'_>,
    waiting: &[&Waiting],
    doing: &'static str,
) -> Result<(), StoreError> {
    let mut items: Vec<VaultItem> = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        if let Some(NewRequest::Item(item)) = &waiting.request {
            items.push(item.clone());
        }
    }
    if items.is_empty() {
        return Ok(());
    }
    write.take(WriterLock::Vault, doing).await?;
    match vault::insert(write.db(), store.vault_key(), &items).await {
        Ok(()) => Ok(()),
        Err(AppendError::Store(error)) => Err(error),
        // Each delivery has an id of its own, so nobody can have erased its request before.
        Err(error) => Err(StoreError::invalid(format!("a request can't be kept: {error}"))),
    }
}

/// Position of the last receipt; 0 when there is none.
pub(super) async fn head<C: ConnectionTrait>(db: &C) -> Result<u64, StoreError> {
    const DOING: &str = "reading the receipts' head";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .columns(["first_position", "count"])
        .from("receipt_block")
        .order_by("first_position", Order::Desc)
        .limit(1)
        .take();
    let Some(row) = db.query_one(&query).await.map_err(fault)? else { return Ok(0) };
    let first = from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?;
    let count = from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?;
    Ok(first + count - 1)
}

pub(super) async fn read_after<C: ConnectionTrait>(
    db: &C,
    position: u64,
    limit: usize,
) -> Result<Vec<Receipt>, StoreError> {
    const DOING: &str = "reading receipts";
    let fault = |error| StoreError::database(DOING, error);
    let mut receipts: Vec<Receipt> = Vec::new();
    let mut after = position;
    let mut bytes = 0;
    // Each round yields at least one receipt or ends the loop, so it runs at most `limit` times.
    while receipts.len() < limit {
        let query = Query::select()
            .columns(["first_position", "block"])
            .from("receipt_block")
            .and_where(Expr::cust("first_position + \"count\"").gt(to_sql(after + 1)))
            // A group has at most GROUP_RECORDS_MAX receipts, so the primary key bounds where the scan begins.
            .and_where(Expr::col("first_position").gt(to_sql(after) - super::GROUP_RECORDS_MAX as i64))
            .order_by("first_position", Order::Asc)
            .limit(BLOCKS_PER_READ)
            .take();
        let rows = db.query_all(&query).await.map_err(fault)?;
        if rows.is_empty() || bytes >= READ_BYTES_MAX {
            break;
        }
        for row in rows {
            let first: i64 = row.try_get_by_index(0).map_err(fault)?;
            let block: Vec<u8> = row.try_get_by_index(1).map_err(fault)?;
            let damaged = || StoreError::Unreadable {
                what: "a receipt block",
                problem: format!("the block at {first} doesn't decode"),
            };
            let group = zstd::bulk::decompress(&block, group::ENCODED_BYTES_MAX).map_err(|_| damaged())?;
            bytes += group.len();
            for record in group::decode(&group).ok_or_else(damaged)? {
                if record.position > after && receipts.len() < limit {
                    after = record.position;
                    receipts.push(record.to_receipt());
                }
            }
        }
    }
    Ok(receipts)
}
