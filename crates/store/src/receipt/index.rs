//! The index of receipts: which positions belong to an order or a delivery. It only helps to find them; what a receipt is
//! stands in the log itself.

use std::cmp::max;

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::{READ_LIMIT_MAX, ReceiptLog, committed_head};
use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{from_sql, to_sql};

/// A row of the index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IndexRow {
    pub(super) position: u64,
    pub(super) order_id: String,
    pub(super) receipt_id: String,
    pub(super) kind: String,
}

impl ReceiptLog {
    /// Positions after `position` of an order's receipts, in order, at most `limit` (capped at [`READ_LIMIT_MAX`]).
    ///
    /// # Errors
    /// As [`ReceiptLog::read_after`].
    pub async fn positions_of_order(
        &self,
        order_id: &str,
        position: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        self.positions("order_id", order_id, &[], position, limit).await
    }

    /// Positions after `position` of an order's receipts of some kinds, in order, at most `limit` (capped at
    /// [`READ_LIMIT_MAX`]).
    ///
    /// # Errors
    /// As [`ReceiptLog::read_after`].
    pub async fn positions_of_kinds(
        &self,
        order_id: &str,
        kinds: &[&str],
        position: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        self.positions("order_id", order_id, kinds, position, limit).await
    }

    /// Positions of the receipts of one delivery, in order, at most [`READ_LIMIT_MAX`].
    ///
    /// # Errors
    /// As [`ReceiptLog::read_after`].
    pub async fn positions_of_receipt(&self, receipt_id: &str) -> Result<Vec<u64>, StoreError> {
        self.positions("receipt_id", receipt_id, &[], 0, READ_LIMIT_MAX).await
    }

    /// Positions of the receipts of one delivery that are of some kinds, in order, at most [`READ_LIMIT_MAX`]: a delivery has one
    /// opening and, where a stop of the node closed it beside the process that still served it, two closings, but any number of
    /// parts.
    ///
    /// # Errors
    /// As [`ReceiptLog::read_after`].
    pub async fn positions_of_receipt_kinds(&self, receipt_id: &str, kinds: &[&str]) -> Result<Vec<u64>, StoreError> {
        self.positions("receipt_id", receipt_id, kinds, 0, READ_LIMIT_MAX).await
    }

    /// Positions by a column of the index, of some kinds or, where none is named, of all. On a SQLite node the index reaches
    /// as far as the follower; the receipts after that are looked through one by one.
    async fn positions(
        &self,
        column: &'static str,
        id: &str,
        kinds: &[&str],
        position: u64,
        limit: usize,
    ) -> Result<Vec<u64>, StoreError> {
        const DOING: &str = "searching receipts";
        let fault = |error| StoreError::database(DOING, error);
        let limit = limit.min(READ_LIMIT_MAX);
        let mut indexed = match &self.inner.segments {
            Some(_) => committed_head(self.inner.store.db()).await?,
            None => u64::MAX,
        };
        let mut query = Query::select()
            .column("position")
            .from("receipt_index")
            .and_where(Expr::col(column).eq(id))
            .and_where(Expr::col("position").gt(to_sql(position)))
            .order_by("position", Order::Asc)
            .limit(limit as u64)
            .take();
        if !kinds.is_empty() {
            query.and_where(Expr::col("kind").is_in(kinds.iter().copied()));
        }
        let mut positions = Vec::new();
        for row in self.inner.store.db().query_all(&query).await.map_err(fault)? {
            positions.push(from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?);
        }
        if indexed == u64::MAX {
            return Ok(positions);
        }
        // The follower may have gone on between the two reads.
        indexed = max(max(indexed, positions.last().copied().unwrap_or(0)), position);
        while positions.len() < limit {
            let receipts = self.read_after(indexed, READ_LIMIT_MAX).await?;
            let Some(last) = receipts.last() else { break };
            indexed = last.position;
            for found in receipts {
                let value = if column == "order_id" { &found.receipt.order_id } else { &found.receipt.receipt_id };
                let is_of_kind = kinds.is_empty() || kinds.contains(&found.receipt.kind.as_str());
                if value == id && is_of_kind && positions.len() < limit {
                    positions.push(found.position);
                }
            }
        }
        Ok(positions)
    }
}

/// Writes rows, many with each statement.
pub(super) async fn insert_index(db: &DatabaseTransaction, rows: Vec<IndexRow>) -> Result<(), StoreError> {
    let mut rows = rows.into_iter();
    while rows.len() > 0 {
        let chunk = rows.by_ref().take(INSERT_ROWS_MAX);
        let mut insert =
            Query::insert().into_table("receipt_index").columns(["position", "order_id", "receipt_id", "kind"]).take();
        for IndexRow { position, order_id, receipt_id, kind } in chunk {
            insert.values_panic([to_sql(position).into(), order_id.into(), receipt_id.into(), kind.into()]);
        }
        db.execute(&insert).await.map_err(|error| StoreError::database("indexing receipts", error))?;
    }
    Ok(())
}

/// Rows of the index after a position, in order, at most `limit`.
pub(super) async fn rows_after<C: ConnectionTrait>(
    db: &C,
    position: u64,
    limit: u64,
) -> Result<Vec<IndexRow>, StoreError> {
    const DOING: &str = "reading the receipt index";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .columns(["position", "order_id", "receipt_id", "kind"])
        .from("receipt_index")
        .and_where(Expr::col("position").gt(to_sql(position)))
        .order_by("position", Order::Asc)
        .limit(limit)
        .take();
    let mut rows = Vec::new();
    for row in db.query_all(&query).await.map_err(fault)? {
        rows.push(IndexRow {
            position: from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?,
            order_id: row.try_get_by_index(1).map_err(fault)?,
            receipt_id: row.try_get_by_index(2).map_err(fault)?,
            kind: row.try_get_by_index(3).map_err(fault)?,
        });
    }
    Ok(rows)
}
