//! Which deliveries may have paid for a finished file of an order. A row only says where to look: whether a delivery paid is what
//! its closing record says. So one that is noted and then pays nothing costs a look, and one that pays was noted before.

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query};

use crate::error::StoreError;
use crate::store::{Store, WriterLock};

/// A finished file of an order.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PaidFile {
    /// The order.
    pub order: String,
    /// The name of the file: the same as long as its bytes are.
    pub file: String,
}

impl Store {
    /// The receipts of the deliveries that may have paid for a file, in order.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn payers(&self, file: &PaidFile) -> Result<Vec<String>, StoreError> {
        let fault = |error| StoreError::database("reading who may have paid for a file", error);
        let query = Query::select()
            .column("receipt_id")
            .from("paid_file")
            .and_where(Expr::col("order_id").eq(file.order.as_str()))
            .and_where(Expr::col("file").eq(file.file.as_str()))
            .order_by("receipt_id", Order::Asc)
            .take();
        let mut receipts = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            receipts.push(row.try_get_by_index(0).map_err(fault)?);
        }
        Ok(receipts)
    }

    /// Notes a delivery that may pay for a file, and forgets those that have ended and did not. Durable when this returns; a second
    /// time changes nothing.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn note_payer(&self, file: &PaidFile, receipt: &str, over: &[String]) -> Result<(), StoreError> {
        const DOING: &str = "noting who may pay for a file";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        if !over.is_empty() {
            let forget = Query::delete()
                .from_table("paid_file")
                .and_where(Expr::col("order_id").eq(file.order.as_str()))
                .and_where(Expr::col("file").eq(file.file.as_str()))
                .and_where(Expr::col("receipt_id").is_in(over.iter().map(String::as_str)))
                .take();
            write.db().execute(&forget).await.map_err(fault)?;
        }
        let columns = ["order_id", "file", "receipt_id"];
        let insert = Query::insert()
            .into_table("paid_file")
            .columns(columns)
            .values_panic([file.order.as_str().into(), file.file.as_str().into(), receipt.into()])
            .on_conflict(OnConflict::columns(columns).do_nothing().to_owned())
            .take();
        write.db().execute(&insert).await.map_err(fault)?;
        write.commit(DOING).await
    }
    /// Forgets a delivery that was noted for a file and can pay for it no more.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn forget_payer(&self, file: &PaidFile, receipt: &str) -> Result<(), StoreError> {
        const DOING: &str = "forgetting who may have paid for a file";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let forget = Query::delete()
            .from_table("paid_file")
            .and_where(Expr::col("order_id").eq(file.order.as_str()))
            .and_where(Expr::col("file").eq(file.file.as_str()))
            .and_where(Expr::col("receipt_id").eq(receipt))
            .take();
        write.db().execute(&forget).await.map_err(|error| StoreError::database(DOING, error))?;
        write.commit(DOING).await
    }
    /// The orders for whose files deliveries are noted.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn orders_with_payers(&self) -> Result<Vec<String>, StoreError> {
        let fault = |error| StoreError::database("reading of which orders files may have been paid for", error);
        let query = Query::select().distinct().column("order_id").from("paid_file").take();
        let rows = self.db().query_all(&query).await.map_err(fault)?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(fault)).collect()
    }

    /// Forgets all that is noted for files of an order, of which nothing leaves any more.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn forget_payers(&self, order: &str) -> Result<(), StoreError> {
        const DOING: &str = "forgetting who may have paid for files of an order";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let forget = Query::delete().from_table("paid_file").and_where(Expr::col("order_id").eq(order)).take();
        write.db().execute(&forget).await.map_err(|error| StoreError::database(DOING, error))?;
        write.commit(DOING).await
    }
}
