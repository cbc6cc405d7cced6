//! Receipts as a table: deliveries that have ended, written into Parquet files by day and asked with SQL by those who supervise
//! or have part in them.
//!
//! The table follows the receipt log. A delivery is in it once it has ended and the transparency log commits to its last
//! record. It can be removed: it is made anew from the receipts.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::predicate::{Literal, Predicate};
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::Limits;
use lingqu_engine::receipt_table::{ReceiptAnswer, ReceiptRow, ReceiptTable, query_receipts};
use lingqu_store::receipt::{READ_LIMIT_MAX, ReceiptLog};
use roaring::RoaringTreemap;

use crate::app::App;
use crate::error::AppError;
use crate::receipts::parse;
use crate::uses::{blocking, digest_of, row_set};

/// Deliveries that are written at once.
const ROWS_AT_ONCE: usize = 50_000;
/// Records that a statement waits for to be taken in; with more of them it is answered up to where the table reaches.
const FOLLOW_ON_QUERY_MAX: u64 = 50_000;
/// Records that the background job takes in at once.
const FOLLOW_AT_ONCE: u64 = 100_000;
/// The largest position that the database can hold.
const POSITION_MAX: u64 = i64::MAX as u64;
/// Largest bitmap that stands in a row of the table, in bytes.
const ROW_SET_BYTES_MAX: usize = 1 << 20;
/// Deliveries that have begun and not ended, of which is known how they began.
const OPEN_MAX: usize = 100_000;
/// Orders that a party's row filter names.
const ORDERS_MAX: usize = 10_000;
/// Longest statement, in bytes.
const SQL_BYTES_MAX: usize = 20_000;
/// What a statement may use.
const ANSWER_ROWS_MAX: u64 = 10_000;
const ANSWER_BYTES_MAX: u64 = 16 << 20;
const ANSWER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// The table of a node; opened when it is first asked for.
pub(crate) struct ReceiptTables {
    directory: PathBuf,
    opened: tokio::sync::Mutex<Option<Opened>>,
}

struct Opened {
    table: Arc<Mutex<ReceiptTable>>,
    begun: HashMap<ReceiptId, Begun>,
}

/// A delivery that has begun.
struct Begun {
    position: u64,
    at: Timestamp,
    opening: Opening,
    rows: RoaringTreemap,
    /// Whether the rows are too many for a row of the table.
    is_large: bool,
}

/// What of the receipts somebody may ask about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReceiptSight {
    /// Everything: who supervises.
    All,
    /// Deliveries of some orders.
    Orders(BTreeSet<OrderId>),
}

/// The answer to a statement over receipts.
#[derive(Clone, Debug)]
pub struct ReceiptTableAnswer {
    /// Columns and rows.
    pub answer: ReceiptAnswer,
    /// Position of the receipt log up to which deliveries that ended are in it.
    pub position: u64,
    /// Position of the log's last record.
    pub head: u64,
}

impl ReceiptTables {
    /// The table in a node's directory. Nothing is read yet.
    pub(crate) fn new(directory: &Path) -> ReceiptTables {
        ReceiptTables { directory: directory.join("receipt-tables"), opened: tokio::sync::Mutex::default() }
    }
}

impl App {
    /// Answers a statement over the table `receipts`, which has deliveries that ended and that the asker may see.
    ///
    /// Errors: `invalid` for a statement that is too long or for a party of too many orders; those of a consumer's statement.
    pub async fn query_receipts(&self, sight: ReceiptSight, sql: &str) -> Result<ReceiptTableAnswer, AppError> {
        self.must_be_exclusive()?;
        if sql.len() > SQL_BYTES_MAX {
            return Err(AppError::Invalid(format!("a statement has at most {SQL_BYTES_MAX} bytes")));
        }
        let rows = match sight {
            ReceiptSight::All => None,
            ReceiptSight::Orders(orders) if orders.len() > ORDERS_MAX => {
                return Err(AppError::Invalid(format!(
                    "you have part in more than {ORDERS_MAX} orders; ask the data authority, whose statements have no filter"
                )));
            }
            ReceiptSight::Orders(orders) => {
                let values = orders.iter().map(|order| Literal::Text(order.to_string())).collect();
                let column = ColumnName::new("order_id").map_err(|error| AppError::Fault(error.to_string()))?;
                Some(Predicate::In { column, values })
            }
        };
        self.follow_receipt_table(FOLLOW_ON_QUERY_MAX).await?;
        let (files, position) = {
            let opened = self.receipt_tables.opened.lock().await;
            let opened = opened.as_ref();
            let opened = opened.ok_or_else(|| AppError::Fault("the table of receipts is not open".to_owned()))?;
            let table = opened.table.lock().unwrap_or_else(PoisonError::into_inner);
            (table.files(), table.position())
        };
        let limits = Limits {
            time_max: ANSWER_TIME_MAX,
            rows_max: ANSWER_ROWS_MAX,
            bytes_max: ANSWER_BYTES_MAX,
            ..Limits::default()
        };
        let answer = query_receipts(&self.engine, files, rows, sql, limits).await?;
        Ok(ReceiptTableAnswer { answer, position, head: self.receipts.head().await? })
    }

    /// Takes into the table some of what ended since; once nothing is left, puts the files of finished days together. Answers how
    /// many records are left.
    pub async fn keep_receipt_table(&self) -> Result<u64, AppError> {
        self.must_be_exclusive()?;
        let left = self.follow_receipt_table(FOLLOW_AT_ONCE).await?;
        if left == 0
            && let Some(opened) = self.receipt_tables.opened.lock().await.as_ref()
        {
            opened.work(ReceiptTable::settle).await?;
        }
        Ok(left)
    }

    /// Takes in at most so many records; answers how many are left.
    async fn follow_receipt_table(&self, most: u64) -> Result<u64, AppError> {
        self.receipts.commit_to_log().await?;
        let mut kept = self.receipt_tables.opened.lock().await;
        let opened = match kept.as_mut() {
            Some(opened) => opened,
            None => {
                let directory = self.receipt_tables.directory.clone();
                let mut table = blocking(move || ReceiptTable::open(&directory).map_err(fault)).await?;
                let last = self.receipts.read(table.position()).await?;
                if table.position() > 0 && last.as_ref().map(digest_of).as_deref() != Some(table.last_digest()) {
                    tracing::warn!(
                        "the table of receipts is of another log, such as before a restore; it is made anew"
                    );
                    table.clear().map_err(fault)?;
                }
                kept.insert(Opened { table: Arc::new(Mutex::new(table)), begun: HashMap::new() })
            }
        };
        // What no log entry commits to yet is for the next time.
        let head = self.receipts.committed_under(POSITION_MAX).await?;
        let begin = opened.table.lock().unwrap_or_else(PoisonError::into_inner).position();
        let mut position = begin;
        let (mut rows, mut last_digest) = (Vec::new(), String::new());
        while position < head && position - begin < most {
            let page = self.receipts.read_after(position, READ_LIMIT_MAX).await?;
            if page.is_empty() {
                break;
            }
            let last = page.last().map_or(position, |receipt| receipt.position).min(head);
            let entries = entries_of(&self.receipts, position + 1, last).await?;
            for receipt in page.iter().filter(|receipt| receipt.position <= head) {
                let record = parse(receipt)?;
                let ended = opened.take(&self.receipts, receipt.position, record).await?;
                if let Some((begun, closed_at, outcome, totals)) = ended {
                    let entry = entries.range(..=receipt.position).next_back().and_then(|(_, entry)| *entry);
                    rows.push(self.receipt_row(receipt.position, &begun, closed_at, &outcome, &totals, entry));
                }
                position = receipt.position;
            }
            last_digest = page.iter().rfind(|receipt| receipt.position <= head).map(digest_of).unwrap_or_default();
            if rows.len() >= ROWS_AT_ONCE {
                opened.append(std::mem::take(&mut rows), position, last_digest.clone()).await?;
            }
        }
        if position > begin {
            opened.append(rows, position, last_digest).await?;
        }
        Ok(head.saturating_sub(position))
    }

    fn receipt_row(
        &self,
        position: u64,
        begun: &(ReceiptId, Begun),
        closed_at: Timestamp,
        outcome: &Outcome,
        totals: &Totals,
        log_entry: Option<u64>,
    ) -> ReceiptRow {
        let (receipt, Begun { position: first_position, at, opening, rows, is_large }) = begun;
        let (operator, permits, node) = self.read(|state| {
            let operator = state.orders.get(&opening.order).map(|order| order.value.operator.to_string());
            let product = state.products.get(&opening.product).map(|product| &product.value.details);
            let permits: BTreeSet<String> =
                product.into_iter().flat_map(|product| product.inputs.values()).map(ToString::to_string).collect();
            let node = state.node.values().next().map(|node| node.value.id.to_string());
            (operator.unwrap_or_default(), permits, node.unwrap_or_default())
        });
        let lineage = opening.lineage.as_ref();
        let columns: BTreeSet<&ColumnName> =
            lineage.into_iter().flat_map(|lineage| lineage.columns.iter().flat_map(|column| &column.from)).collect();
        let names = |columns: &mut dyn Iterator<Item = &ColumnName>| columns.map(ToString::to_string).collect();
        ReceiptRow {
            position,
            first_position: *first_position,
            receipt: receipt.to_string(),
            at: *at,
            closed_at,
            order: opening.order.to_string(),
            consumer: opening.consumer.to_string(),
            operator,
            product: opening.product.to_string(),
            permits: permits.into_iter().collect(),
            purpose: opening.purpose.0.clone(),
            mode: opening.mode.code().to_owned(),
            protocol: opening.protocol.clone(),
            nature: match opening.nature {
                Nature::Real => "REAL".to_owned(),
                Nature::Synthetic => "SYNTHETIC".to_owned(),
            },
            outcome: match outcome {
                Outcome::Delivered => "delivered".to_owned(),
                Outcome::Stopped { code } => code.clone(),
            },
            rows: totals.rows,
            answer_rows: totals.answer_rows,
            bytes: totals.bytes,
            calls: totals.calls,
            data_sets: totals.data_sets,
            columns: names(&mut columns.into_iter()),
            conditions: names(&mut lineage.into_iter().flat_map(|lineage| &lineage.conditions)),
            marked: names(&mut opening.marked.iter()),
            masks: opening.masks.iter().map(|(column, mask)| format!("{column}={mask}")).collect(),
            code_id: opening.code_id.clone(),
            snapshots: opening.snapshots.clone(),
            grant_digest: opening.grant_digest.clone(),
            rulebook_version: opening.rulebook_version.clone(),
            request_digest: opening.request_digest.clone(),
            query_digest: opening.query_digest.clone(),
            answer_form: totals.answer.as_ref().map(|answer| answer.form.name().to_owned()),
            answer_sha256: totals.answer.as_ref().map(|answer| answer.sha256.clone()),
            node: opening.node.as_ref().map_or(node, ToString::to_string),
            log_entry,
            row_set: (!is_large).then(|| serialised(rows)),
        }
    }
}

/// A delivery that ended: what it was, when, how, with which totals.
type Ended = ((ReceiptId, Begun), Timestamp, Outcome, Totals);

impl Opened {
    /// Takes a record; gives the delivery that it ends.
    async fn take(
        &mut self,
        log: &ReceiptLog,
        position: u64,
        record: ReceiptRecord,
    ) -> Result<Option<Ended>, AppError> {
        let ReceiptRecord { at, body, receipt } = record;
        Ok(match body {
            ReceiptBody::Opened(opening) => {
                if self.begun.len() >= OPEN_MAX {
                    self.begun.clear();
                }
                self.begun.insert(receipt, Begun::new(position, at, opening));
                None
            }
            ReceiptBody::Single { opening, row_set, totals } => {
                let mut begun = Begun::new(position, at, opening);
                begun.add(&row_set);
                Some(((receipt, begun), at, Outcome::Delivered, totals))
            }
            ReceiptBody::Part { row_set, .. } => {
                if let Some(begun) = self.begun.get_mut(&receipt) {
                    begun.add(&row_set);
                }
                None
            }
            ReceiptBody::Closed { outcome, totals } => {
                let begun = match self.begun.remove(&receipt) {
                    Some(begun) => Some(begun),
                    // It began before this process followed, or was one of too many.
                    None => begun_of(log, &receipt).await?,
                };
                begun.map(|begun| ((receipt, begun), at, outcome, totals))
            }
        })
    }

    /// Appends deliveries that ended up to a position. Whoever asked for it may have gone away: the work goes on without him, and the
    /// next one, who began before that was done, has the same deliveries once more. Each is taken once.
    async fn append(&self, mut rows: Vec<ReceiptRow>, position: u64, last_digest: String) -> Result<(), AppError> {
        self.work(move |table| {
            if position <= table.position() {
                return Ok(());
            }
            rows.retain(|row| row.position > table.position());
            table.append(&rows, position, &last_digest)
        })
        .await
    }

    /// Work on the files, off the threads that serve.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ReceiptTable) -> Result<T, lingqu_engine::StorageError> + Send + 'static,
    ) -> Result<T, AppError> {
        let table = Arc::clone(&self.table);
        blocking(move || work(&mut table.lock().unwrap_or_else(PoisonError::into_inner)).map_err(fault)).await
    }
}

impl Begun {
    fn new(position: u64, at: Timestamp, opening: Opening) -> Begun {
        Begun { position, at, opening, rows: RoaringTreemap::new(), is_large: false }
    }

    fn add(&mut self, row_set: &str) {
        if self.is_large {
            return;
        }
        match row_set::rows_of(row_set) {
            Some(rows) => {
                self.rows |= rows;
                if self.rows.serialized_size() > ROW_SET_BYTES_MAX {
                    self.is_large = true;
                    self.rows = RoaringTreemap::new();
                }
            }
            None => self.is_large = true,
        }
    }
}

/// How a delivery began, with the rows of its parts, read back from the log; none where its beginning is missing.
async fn begun_of(log: &ReceiptLog, receipt: &ReceiptId) -> Result<Option<Begun>, AppError> {
    let mut begun: Option<Begun> = None;
    let positions = log.positions_of_receipt(receipt.as_str()).await?;
    let is_cut = positions.len() >= READ_LIMIT_MAX;
    for position in positions {
        let Some(stored) = log.read(position).await? else { continue };
        let record = parse(&stored)?;
        match (record.body, &mut begun) {
            (ReceiptBody::Opened(opening), begun) => *begun = Some(Begun::new(position, record.at, opening)),
            (ReceiptBody::Part { row_set, .. }, Some(begun)) => begun.add(&row_set),
            _ => {}
        }
    }
    if let Some(begun) = &mut begun
        && is_cut
    {
        begun.is_large = true;
    }
    Ok(begun)
}

/// The log entries that commit to the receipts `first` to `last`, each by the first of them that it has.
async fn entries_of(log: &ReceiptLog, first: u64, last: u64) -> Result<BTreeMap<u64, Option<u64>>, AppError> {
    let mut entries = BTreeMap::new();
    let mut position = first;
    // Each round leaves a range that is in one entry, or halves it.
    let mut waiting = vec![last];
    while let Some(end) = waiting.pop() {
        if position > end {
            continue;
        }
        let entry = log.commit_of(position).await?.map(|commit| commit.log_entry);
        let of_end = log.commit_of(end).await?.map(|commit| commit.log_entry);
        if entry == of_end {
            entries.insert(position, entry);
            position = end + 1;
        } else {
            waiting.push(end);
            waiting.push(position + (end - position) / 2);
        }
    }
    Ok(entries)
}

fn serialised(rows: &RoaringTreemap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut bytes).expect("writing into memory can't fail");
    bytes
}

fn fault(error: lingqu_engine::StorageError) -> AppError {
    lingqu_engine::EngineError::from(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(position: u64) -> ReceiptRow {
        ReceiptRow { position, receipt: format!("rcp_{position}"), ..ReceiptRow::default() }
    }

    #[tokio::test]
    async fn what_was_appended_for_somebody_who_went_away_is_not_appended_again() {
        let directory = tempfile::tempdir().unwrap();
        let table = Arc::new(Mutex::new(ReceiptTable::open(directory.path()).unwrap()));
        let opened = Opened { table: Arc::clone(&table), begun: HashMap::new() };
        let state = || {
            let table = table.lock().unwrap();
            (table.rows(), table.position(), table.last_digest().to_owned())
        };
        opened.append(vec![row(1), row(3)], 3, "three".to_owned()).await.unwrap();
        // The same once more, then with what came since, then less than there is.
        opened.append(vec![row(1), row(3)], 3, "three".to_owned()).await.unwrap();
        assert_eq!(state(), (2, 3, "three".to_owned()));
        opened.append(vec![row(1), row(3), row(4)], 5, "five".to_owned()).await.unwrap();
        opened.append(vec![row(1)], 2, "two".to_owned()).await.unwrap();
        assert_eq!(state(), (3, 5, "five".to_owned()));
    }
}
