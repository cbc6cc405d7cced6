//! Lines of the double-entry ledger. The database keeps them unchanged; the sums of each transaction are checked here
//! once more, in whole fen, before they are written.

use std::cmp::min;
use std::collections::BTreeMap;

use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use sea_orm::{ConnectionTrait, DatabaseTransaction, QueryResult};

use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, from_sql, to_sql};

/// Most lines of one page.
pub const PAGE_POSTINGS_MAX: u32 = 1_000;
/// Most accounts of one answer of balances.
pub const BALANCES_MAX: u64 = 10_000;

/// A line to write. Exactly one of debit and credit is more than zero.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPosting {
    /// The balanced transaction it belongs to.
    pub transaction_id: String,
    /// Number of the line within it.
    pub line: u64,
    /// Code of the account.
    pub account: String,
    /// The party whose account it is.
    pub owner: String,
    /// Debit in fen.
    pub debit_fen: i64,
    /// Credit in fen.
    pub credit_fen: i64,
    /// What it is for.
    pub memo: String,
    /// The settlement that made it, if one did.
    pub settlement: Option<String>,
    /// The order it comes from, if it comes from one.
    pub order_id: Option<String>,
}

/// A line as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posting {
    /// The line.
    pub line: NewPosting,
    /// Journal position of the append that wrote it.
    pub position: u64,
}

/// Totals of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balance {
    /// Code of the account.
    pub account: String,
    /// The party whose account it is.
    pub owner: String,
    /// Sum of debits in fen.
    pub debit_fen: i64,
    /// Sum of credits in fen.
    pub credit_fen: i64,
}

/// Which lines a list shows.
#[derive(Clone, Debug, Default)]
pub struct PostingFilter {
    /// Only lines after this transaction and line.
    pub after: Option<(String, u64)>,
    /// Only lines of this owner.
    pub owner: Option<String>,
    /// Only lines of this settlement.
    pub settlement: Option<String>,
    /// Only lines of this order.
    pub order_id: Option<String>,
    /// At most so many, capped at [`PAGE_POSTINGS_MAX`].
    pub limit: u32,
}

impl Store {
    /// Totals per account and owner, of one owner or of all, in the order of account and owner; at most
    /// [`BALANCES_MAX`].
    ///
    /// # Errors
    /// Faults of the database, among them a sum beyond 64 bits.
    pub async fn balances(&self, owner: Option<&str>) -> Result<Vec<Balance>, StoreError> {
        const DOING: &str = "summing postings";
        let fault = |error| StoreError::database(DOING, error);
        // PostgreSQL sums BIGINT to NUMERIC.
        let sum = |column: &'static str| Expr::col(column).sum().cast_as("bigint");
        let query = Query::select()
            .columns(["account", "owner"])
            .expr(sum("debit_fen"))
            .expr(sum("credit_fen"))
            .from("posting")
            .and_where_option(owner.map(|owner| Expr::col("owner").eq(owner)))
            .group_by_columns(["account", "owner"])
            .order_by("account", Order::Asc)
            .order_by("owner", Order::Asc)
            .limit(BALANCES_MAX)
            .take();
        let mut balances = Vec::new();
        for row in self.db().query_all(&query).await.map_err(fault)? {
            balances.push(Balance {
                account: row.try_get_by_index(0).map_err(fault)?,
                owner: row.try_get_by_index(1).map_err(fault)?,
                debit_fen: row.try_get_by_index(2).map_err(fault)?,
                credit_fen: row.try_get_by_index(3).map_err(fault)?,
            });
        }
        Ok(balances)
    }

    /// One page of lines in the order of transaction and line.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn postings(&self, filter: &PostingFilter) -> Result<Vec<Posting>, StoreError> {
        page(self.db(), filter).await
    }
}

const COLUMNS: [&str; 10] = [
    "transaction_id",
    "line",
    "account",
    "owner",
    "debit_fen",
    "credit_fen",
    "memo",
    "settlement",
    "order_id",
    "position",
];

pub(crate) async fn page<C: ConnectionTrait>(db: &C, filter: &PostingFilter) -> Result<Vec<Posting>, StoreError> {
    let after = filter.after.as_ref().map(|(transaction, line)| {
        Expr::col("transaction_id")
            .gt(transaction.as_str())
            .or(Expr::col("transaction_id").eq(transaction.as_str()).and(Expr::col("line").gt(to_sql(*line))))
    });
    let query = Query::select()
        .columns(COLUMNS)
        .from("posting")
        .and_where_option(after)
        .and_where_option(filter.owner.as_deref().map(|owner| Expr::col("owner").eq(owner)))
        .and_where_option(filter.settlement.as_deref().map(|settlement| Expr::col("settlement").eq(settlement)))
        .and_where_option(filter.order_id.as_deref().map(|order| Expr::col("order_id").eq(order)))
        .order_by("transaction_id", Order::Asc)
        .order_by("line", Order::Asc)
        .limit(u64::from(min(filter.limit, PAGE_POSTINGS_MAX)))
        .take();
    let rows = db.query_all(&query).await.map_err(|error| StoreError::database("listing postings", error))?;
    rows.iter().map(posting_of).collect()
}

/// Each transaction must balance within the append that writes it.
pub(crate) fn check(postings: &[NewPosting]) -> Result<(), StoreError> {
    let mut sums: BTreeMap<&str, i128> = BTreeMap::new();
    for posting in postings {
        if posting.debit_fen < 0 || posting.credit_fen < 0 || (posting.debit_fen == 0) == (posting.credit_fen == 0) {
            return Err(StoreError::invalid(format!(
                "line {} of {} must have exactly one of debit and credit above zero",
                posting.line, posting.transaction_id
            )));
        }
        *sums.entry(&posting.transaction_id).or_default() +=
            i128::from(posting.debit_fen) - i128::from(posting.credit_fen);
    }
    match sums.iter().find(|(_, sum)| **sum != 0) {
        Some((transaction, sum)) => {
            Err(StoreError::invalid(format!("{transaction} doesn't balance: debits less credits are {sum} fen")))
        }
        None => Ok(()),
    }
}

pub(crate) async fn insert(db: &DatabaseTransaction, postings: &[NewPosting], position: u64) -> Result<(), StoreError> {
    for chunk in postings.chunks(INSERT_ROWS_MAX) {
        let mut insert = Query::insert().into_table("posting").columns(COLUMNS).take();
        for posting in chunk {
            insert.values_panic([
                posting.transaction_id.as_str().into(),
                to_sql(posting.line).into(),
                posting.account.as_str().into(),
                posting.owner.as_str().into(),
                posting.debit_fen.into(),
                posting.credit_fen.into(),
                posting.memo.as_str().into(),
                posting.settlement.clone().into(),
                posting.order_id.clone().into(),
                to_sql(position).into(),
            ]);
        }
        db.execute(&insert).await.map_err(|error| StoreError::database("writing postings", error))?;
    }
    Ok(())
}

fn posting_of(row: &QueryResult) -> Result<Posting, StoreError> {
    const WHAT: &str = "a posting";
    let fault = |error| StoreError::database("reading a posting", error);
    Ok(Posting {
        line: NewPosting {
            transaction_id: row.try_get_by_index(0).map_err(fault)?,
            line: from_sql(WHAT, row.try_get_by_index(1).map_err(fault)?)?,
            account: row.try_get_by_index(2).map_err(fault)?,
            owner: row.try_get_by_index(3).map_err(fault)?,
            debit_fen: row.try_get_by_index(4).map_err(fault)?,
            credit_fen: row.try_get_by_index(5).map_err(fault)?,
            memo: row.try_get_by_index(6).map_err(fault)?,
            settlement: row.try_get_by_index(7).map_err(fault)?,
            order_id: row.try_get_by_index(8).map_err(fault)?,
        },
        position: from_sql(WHAT, row.try_get_by_index(9).map_err(fault)?)?,
    })
}
