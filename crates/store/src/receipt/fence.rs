//! What must hold when a receipt is written where several processes write: one that was taken for dead writes none any more,
//! and a delivery that it left is closed once. Both are looked at under the lock of receipts, under which processes are taken
//! for dead too, so whoever adds up what a dead process wrote misses nothing.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;
use sea_orm::DatabaseTransaction;
use sea_orm::sea_query::{Expr, ExprTrait, Query};

use super::Waiting;
use crate::error::StoreError;

/// The kind of the record that ends a delivery.
pub const CLOSED: &str = "closed";

/// What must hold when a receipt is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The process that serves the delivery is not taken for dead.
    Alive(String),
    /// The delivery has no record of the kind [`CLOSED`].
    Open,
}

/// Whether each of a group may be written.
pub(super) async fn passed(db: &DatabaseTransaction, waiting: &[Waiting]) -> Result<Vec<bool>, StoreError> {
    let (mut processes, mut deliveries) = (BTreeSet::new(), BTreeSet::new());
    for waiting in waiting {
        match &waiting.fence {
            Some(Fence::Alive(process)) => {
                processes.insert(process.as_str());
            }
            Some(Fence::Open) => {
                deliveries.insert(waiting.receipt.receipt_id.as_str());
            }
            None => {}
        }
    }
    let alive = alive(db, &processes).await?;
    let mut closed = closed(db, &deliveries).await?;
    let mut passed = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let receipt = &waiting.receipt;
        let passes = match &waiting.fence {
            Some(Fence::Alive(process)) => alive.contains(process),
            Some(Fence::Open) => !closed.contains(&receipt.receipt_id),
            None => true,
        };
        if passes && receipt.kind == CLOSED && deliveries.contains(receipt.receipt_id.as_str()) {
            closed.insert(receipt.receipt_id.clone());
        }
        passed.push(passes);
    }
    Ok(passed)
}

/// What is said to who was refused.
pub(super) fn refused(receipt_id: &str) -> StoreError {
    StoreError::invalid(format!(
        "a record of {receipt_id} can't be written: this process was not seen in the database for a minute and was taken for \
         dead, or the delivery was closed already; ask again"
    ))
}

async fn alive(db: &DatabaseTransaction, processes: &BTreeSet<&str>) -> Result<BTreeSet<String>, StoreError> {
    let query = Query::select()
        .column("process")
        .from("quota_process")
        .and_where(Expr::col("process").is_in(processes.iter().copied()))
        .and_where(Expr::col("seen_at_unix").gt(0i64))
        .take();
    if processes.is_empty() { Ok(BTreeSet::new()) } else { names(db, &query).await }
}

async fn closed(db: &DatabaseTransaction, deliveries: &BTreeSet<&str>) -> Result<BTreeSet<String>, StoreError> {
    let query = Query::select()
        .distinct()
        .column("receipt_id")
        .from("receipt_index")
        .and_where(Expr::col("receipt_id").is_in(deliveries.iter().copied()))
        .and_where(Expr::col("kind").eq(CLOSED))
        .take();
    if deliveries.is_empty() { Ok(BTreeSet::new()) } else { names(db, &query).await }
}

async fn names(
    db: &DatabaseTransaction,
    query: &sea_orm::sea_query::SelectStatement,
) -> Result<BTreeSet<String>, StoreError> {
    let fault = |error| StoreError::database("looking who may write receipts", error);
    let rows = db.query_all(query).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get_by_index(0).map_err(fault)).collect()
}
