//! Holding receipts, their index and their commits against the entries of the transparency log, in one pass over all.
//!
//! The entries are what others have proofs of. Between them they must commit to every record of the journal and to every
//! receipt exactly once and in order, so a record that was taken away is missed as much as one that was changed.

use std::cmp::min;
use std::collections::BTreeMap;

use lingqu_crypto::DigestPair;
use lingqu_transparency::{LogEntry, RecordKind, RootsEntry};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Func, Order, Query};

use super::index::{IndexRow, rows_after};
use super::{READ_LIMIT_MAX, Receipt, ReceiptLog, block, committed_head};
use crate::error::StoreError;
use crate::snapshot::Snapshot;
use crate::store::{from_sql, to_sql};

/// Entries that are read at once; each has at most 64 KiB.
const ENTRIES_AT_ONCE: u64 = 64;

/// The largest position that the database can hold.
const POSITION_MAX: u64 = i64::MAX as u64 - 1;

/// What a check comes across.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A receipt, in the order of positions, each once.
    Receipt(&'a Receipt),
    /// Something that does not agree.
    Difference {
        /// The table, or `receipt` for the receipt log.
        table: &'static str,
        /// The row or position.
        id: String,
        /// How it differs.
        problem: String,
    },
}

/// Compares log entries, receipts, `receipt_commit` and `receipt_index`, and gives the number of receipts. Everything but
/// the receipts is read through `view`, so `receipts` must have been opened, or be written to, after it was taken. It
/// holds a page of entries and one of receipts at a time.
///
/// # Errors
/// Faults of the database or the disk. Damage is no error: it is told as a difference.
pub async fn check_receipts(
    view: &Snapshot,
    receipts: &ReceiptLog,
    visit: &mut (dyn FnMut(Seen<'_>) + Send),
) -> Result<u64, StoreError> {
    let indexed_to = match &receipts.inner.segments {
        Some(_) => committed_head(view.db()).await?,
        None => block::head(view.db()).await?,
    };
    let head = receipts.head().await?;
    let mut check = Check {
        view,
        receipts,
        visit,
        head,
        indexed_to,
        next_record: 1,
        next_receipt: 1,
        seen: 0,
        commits: 0,
        is_short: false,
        is_unreadable: false,
    };
    check.entries().await?;
    // Receipts that no entry commits to yet.
    check.pass(check.seen + 1, head, None).await?;
    check.ends().await?;
    Ok(check.seen)
}

struct Check<'a> {
    view: &'a Snapshot,
    receipts: &'a ReceiptLog,
    visit: &'a mut (dyn FnMut(Seen<'_>) + Send),
    /// Position of the last receipt.
    head: u64,
    /// Position up to which every receipt has a row in the index.
    indexed_to: u64,
    /// The journal record that the next entry must begin with.
    next_record: u64,
    /// The receipt that the next entry must begin with.
    next_receipt: u64,
    /// Position of the last receipt that was visited.
    seen: u64,
    /// Rows of `receipt_commit` that belong to an entry.
    commits: u64,
    is_short: bool,
    is_unreadable: bool,
}

impl Check<'_> {
    fn differ(&mut self, table: &'static str, id: impl ToString, problem: impl Into<String>) {
        (self.visit)(Seen::Difference { table, id: id.to_string(), problem: problem.into() });
    }

    async fn entries(&mut self) -> Result<(), StoreError> {
        let mut next = 0;
        loop {
            let page = entries_from(self.view, next).await?;
            if page.is_empty() {
                return Ok(());
            }
            for (index, bytes) in page {
                if index != next {
                    self.differ("log_entry", next, format!("the entries {next} to {} are missing", index - 1));
                }
                next = index + 1;
                if RootsEntry::is_named_by(&bytes) {
                    // It commits to no record. Its roots are held against the trees where the log's files are checked.
                    if let Err(error) = RootsEntry::decode(&bytes) {
                        self.differ("log_entry", index, error.to_string());
                    }
                    continue;
                }
                match LogEntry::decode(&bytes) {
                    Ok(entry) => self.entry(index, &entry).await?,
                    Err(error) => self.differ("log_entry", index, error.to_string()),
                }
            }
        }
    }

    async fn entry(&mut self, index: u64, entry: &LogEntry) -> Result<(), StoreError> {
        let first = entry.first_position();
        let last = first.saturating_add(entry.pairs().len() as u64 - 1);
        if last > POSITION_MAX {
            self.differ("log_entry", index, format!("it commits to the position {last}, which no record has"));
            return Ok(());
        }
        let (what, expected) = match entry.kind() {
            RecordKind::Journal => ("journal records", self.next_record),
            RecordKind::Receipt => ("receipts", self.next_receipt),
        };
        if first != expected {
            let problem = format!("it commits to {what} from {first} on, and the one before leads to {expected}");
            self.differ("log_entry", index, problem);
        }
        match entry.kind() {
            RecordKind::Journal => self.next_record = last + 1,
            RecordKind::Receipt => {
                self.next_receipt = last + 1;
                self.commit(index, first, entry.pairs().len() as u64).await?;
                if last > self.head && !self.is_short {
                    self.is_short = true;
                    let problem = format!(
                        "log entry {index} commits to receipts up to {last}, and the receipt log ends at {}",
                        self.head
                    );
                    self.differ("receipt", self.head + 1, problem);
                }
                self.pass(self.seen + 1, min(first.saturating_sub(1), self.head), None).await?;
                self.pass(first, min(last, self.head), Some((index, entry))).await?;
            }
        }
        Ok(())
    }

    /// The row of `receipt_commit` that belongs to an entry.
    async fn commit(&mut self, index: u64, first: u64, count: u64) -> Result<(), StoreError> {
        const DOING: &str = "reading receipt commits";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .columns(["first_position", "count"])
            .from("receipt_commit")
            .and_where(Expr::col("log_entry").eq(to_sql(index)))
            .take();
        let Some(row) = self.view.db().query_one(&query).await.map_err(fault)? else {
            self.differ("receipt_commit", first, format!("the row of log entry {index} is missing"));
            return Ok(());
        };
        self.commits += 1;
        let found: (i64, i64) = (row.try_get_by_index(0).map_err(fault)?, row.try_get_by_index(1).map_err(fault)?);
        if found != (to_sql(first), to_sql(count)) {
            let problem = format!(
                "it has {} receipts from {} on, and log entry {index} commits to {count} from {first} on",
                found.1, found.0
            );
            self.differ("receipt_commit", found.0, problem);
        }
        Ok(())
    }

    /// Looks at the receipts `from` to `last`, to which an entry commits or none yet.
    async fn pass(&mut self, from: u64, last: u64, committed: Option<(u64, &LogEntry)>) -> Result<(), StoreError> {
        let mut after = from.saturating_sub(1);
        while after < last && !self.is_unreadable {
            let limit = usize::try_from(last - after).unwrap_or(READ_LIMIT_MAX).min(READ_LIMIT_MAX);
            let page = match self.receipts.read_after(after, limit).await {
                Ok(page) => page,
                Err(error @ StoreError::Unreadable { .. }) => {
                    self.is_unreadable = true;
                    self.differ("receipt", after + 1, error.to_string());
                    return Ok(());
                }
                Err(error) => return Err(error),
            };
            let index = self.index_of(after, &page).await?;
            let before = after;
            for receipt in page.iter().take_while(|receipt| receipt.position <= last) {
                if receipt.position != after + 1 {
                    self.differ("receipt", after + 1, format!("it and all before {} are missing", receipt.position));
                }
                after = receipt.position;
                self.receipt(receipt, committed, index.get(&receipt.position));
            }
            if after == before {
                self.differ("receipt", after + 1, format!("it and all up to {last} are missing"));
                return Ok(());
            }
        }
        Ok(())
    }

    fn receipt(&mut self, receipt: &Receipt, committed: Option<(u64, &LogEntry)>, row: Option<&IndexRow>) {
        let position = receipt.position;
        if let Some((index, entry)) = committed {
            let digests = DigestPair::of_salted(&receipt.salt, &receipt.receipt.record);
            if entry.pair_at(position) != Some(&digests) {
                self.differ("receipt", position, format!("it is not what log entry {index} committed to"));
            }
        }
        if position <= self.seen {
            return;
        }
        self.seen = position;
        let (receipt_id, order_id) = (&receipt.receipt.receipt_id, &receipt.receipt.order_id);
        match row {
            None if position > self.indexed_to => {}
            None => {
                self.differ("receipt_index", position, format!("the row of {receipt_id} of {order_id} is missing"));
            }
            Some(row) => {
                for (column, is_same) in [
                    ("order_id", row.order_id == *order_id),
                    ("receipt_id", row.receipt_id == *receipt_id),
                    ("kind", row.kind == receipt.receipt.kind),
                ] {
                    if !is_same {
                        self.differ("receipt_index", position, format!("{column} is not the receipt's"));
                    }
                }
            }
        }
        (self.visit)(Seen::Receipt(receipt));
    }

    /// The index rows of a page of receipts, by position.
    async fn index_of(&self, after: u64, page: &[Receipt]) -> Result<BTreeMap<u64, IndexRow>, StoreError> {
        let last = page.last().map_or(after, |receipt| receipt.position);
        let rows = rows_after(self.view.db(), after, page.len() as u64).await?;
        Ok(rows.into_iter().filter(|row| row.position <= last).map(|row| (row.position, row)).collect())
    }

    /// Whether journal, commits and index end where the entries and receipts do.
    async fn ends(&mut self) -> Result<(), StoreError> {
        const DOING: &str = "counting receipt commits";
        let fault = |error| StoreError::database(DOING, error);
        let (journal, committed) = (self.view.head().await?, self.next_record - 1);
        if journal < committed {
            let problem = format!("log entries commit to records up to {committed}, and the journal ends at {journal}");
            self.differ("journal", journal + 1, problem);
        }
        let query = Query::select().expr(Func::count(Expr::col("log_entry"))).from("receipt_commit").take();
        let row = self.view.db().query_one(&query).await.map_err(fault)?;
        let count: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0)).map_err(fault)?;
        if from_sql(DOING, count)? != self.commits {
            let problem = format!("{} of {count} rows belong to a log entry of receipts", self.commits);
            self.differ("receipt_commit", "all", problem);
        }
        if !self.is_unreadable {
            for row in rows_after(self.view.db(), self.seen, READ_LIMIT_MAX as u64).await? {
                self.differ("receipt_index", row.position, "there is no such receipt");
            }
        }
        Ok(())
    }
}

/// Indexes and bytes of at most [`ENTRIES_AT_ONCE`] entries from `index` on.
async fn entries_from(view: &Snapshot, index: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
    const DOING: &str = "reading log entries";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .columns(["idx", "bytes"])
        .from("log_entry")
        .and_where(Expr::col("idx").gte(to_sql(index)))
        .order_by("idx", Order::Asc)
        .limit(ENTRIES_AT_ONCE)
        .take();
    let mut entries = Vec::new();
    for row in view.db().query_all(&query).await.map_err(fault)? {
        entries
            .push((from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?, row.try_get_by_index(1).map_err(fault)?));
    }
    Ok(entries)
}
