//! What must hold when a receipt is written where several processes write: one that was taken for dead writes none any more,
//! and a delivery that it left is closed once; and of those that would pay for one file one pays. All is looked at under the lock
//! of receipts, under which processes are taken for dead too, so whoever adds up what a dead process wrote misses nothing.

use std::collections::{BTreeMap, BTreeSet};

use sea_orm::ConnectionTrait;
use sea_orm::DatabaseTransaction;
use sea_orm::sea_query::{Expr, ExprTrait, Query};

use super::Waiting;
use crate::error::StoreError;
use crate::paid_file::PaidFile;

/// The kind of the record that ends a delivery.
pub const CLOSED: &str = "closed";

/// What must hold when a receipt is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fence {
    /// The process that serves the delivery is not taken for dead.
    Alive(String),
    /// The delivery has no record of the kind [`CLOSED`].
    Open,
    /// Both: the process that serves the delivery is not taken for dead, and the delivery has no record of the kind [`CLOSED`].
    AliveAndOpen(String),
    /// The process is not taken for dead, and no delivery that is noted for the file ([`crate::Store::note_payer`]) has a record of
    /// the kind [`CLOSED`], nor has this one, which is noted too.
    Paying {
        /// The process that serves the delivery.
        process: String,
        /// What the delivery pays for.
        file: PaidFile,
    },
}

/// Whether each of a group may be written. What stands before a receipt in its group counts as written.
pub(super) async fn passed(db: &DatabaseTransaction, waiting: &[Waiting]) -> Result<Vec<bool>, StoreError> {
    let (mut processes, mut deliveries, mut files) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for waiting in waiting {
        match &waiting.fence {
            Some(Fence::Alive(process)) => {
                processes.insert(process.as_str());
            }
            Some(Fence::Open) => {
                deliveries.insert(waiting.receipt.receipt_id.clone());
            }
            Some(Fence::AliveAndOpen(process)) => {
                processes.insert(process.as_str());
                deliveries.insert(waiting.receipt.receipt_id.clone());
            }
            Some(Fence::Paying { process, file }) => {
                processes.insert(process.as_str());
                deliveries.insert(waiting.receipt.receipt_id.clone());
                files.insert(file);
            }
            None => {}
        }
    }
    let mut payers = BTreeMap::new();
    for file in files {
        let noted = noted(db, file).await?;
        deliveries.extend(noted.iter().cloned());
        payers.insert(file, noted);
    }
    let alive = alive(db, &processes).await?;
    let mut closed = closed(db, &deliveries).await?;
    let mut passed = Vec::with_capacity(waiting.len());
    for waiting in waiting {
        let receipt = &waiting.receipt;
        let is_open = !closed.contains(&receipt.receipt_id);
        let passes = match &waiting.fence {
            Some(Fence::Alive(process)) => alive.contains(process),
            Some(Fence::Open) => is_open,
            Some(Fence::AliveAndOpen(process)) => alive.contains(process) && is_open,
            Some(Fence::Paying { process, file }) => {
                let is_paid = payers.get(file).is_some_and(|payers| !payers.is_disjoint(&closed));
                alive.contains(process) && is_open && !is_paid
            }
            None => true,
        };
        if passes && receipt.kind == CLOSED && deliveries.contains(&receipt.receipt_id) {
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
         dead, or the delivery was closed or its file paid for already; ask again"
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

async fn closed(db: &DatabaseTransaction, deliveries: &BTreeSet<String>) -> Result<BTreeSet<String>, StoreError> {
    let query = Query::select()
        .distinct()
        .column("receipt_id")
        .from("receipt_index")
        .and_where(Expr::col("receipt_id").is_in(deliveries.iter().map(String::as_str)))
        .and_where(Expr::col("kind").eq(CLOSED))
        .take();
    if deliveries.is_empty() { Ok(BTreeSet::new()) } else { names(db, &query).await }
}

/// The deliveries that are noted for a file.
async fn noted(db: &DatabaseTransaction, file: &PaidFile) -> Result<BTreeSet<String>, StoreError> {
    let query = Query::select()
        .column("receipt_id")
        .from("paid_file")
        .and_where(Expr::col("order_id").eq(file.order.as_str()))
        .and_where(Expr::col("file").eq(file.file.as_str()))
        .take();
    names(db, &query).await
}

async fn names(
    db: &DatabaseTransaction,
    query: &sea_orm::sea_query::SelectStatement,
) -> Result<BTreeSet<String>, StoreError> {
    let fault = |error| StoreError::database("looking who may write receipts", error);
    let rows = db.query_all(query).await.map_err(fault)?;
    rows.iter().map(|row| row.try_get_by_index(0).map_err(fault)).collect()
}
