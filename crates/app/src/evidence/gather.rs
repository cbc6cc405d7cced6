//! Gathering the receipts of an order, page by page. The index finds them quickly and is not believed: what it finds must come to
//! what the order's metering windows counted. Where it does not, and after the last window, the receipt log itself is read.

use std::collections::{BTreeSet, VecDeque};

use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord};
use lingqu_store::receipt::{READ_LIMIT_MAX, Receipt, ReceiptLog};

use super::parts::{Cutting, PartReceipts, Room};
use crate::app::App;
use crate::error::AppError;
use crate::metering::window_ends;
use crate::receipts::parse;
use crate::recount::{Deliveries, INTERRUPTED, Window, Windows, windows_of};

/// How the receipts of an order are found and how they are parted.
pub(super) struct ReceiptPlan {
    /// Before this position the index says which are the order's.
    indexed_end: u64,
    /// The receipts of each part; nothing where the order has none.
    pub(super) parts: Vec<PartReceipts>,
}

/// What belongs to an order, in the order of positions.
pub(super) struct OrderReceipts<'a> {
    log: &'a ReceiptLog,
    order: &'a OrderId,
    indexed_end: u64,
    /// The last position that belongs to it.
    committed: u64,
    /// The last position that was looked at.
    position: u64,
    /// Deliveries of the order that have begun.
    begun: BTreeSet<ReceiptId>,
    waiting: VecDeque<Receipt>,
}

impl App {
    /// Goes through the receipts of an order up to a position, all of them, and says how they are found and parted. Error: they do
    /// not come to what was metered, by the index or without; there are more than there is room for.
    pub(super) async fn plan_receipts(
        &self,
        log: &ReceiptLog,
        order: &OrderId,
        committed: u64,
        room: Room<'_>,
    ) -> Result<ReceiptPlan, AppError> {
        let (windows, counted_to) = self.read(|state| {
            // A window that was closed since the checkpoint counts receipts that are for the next bundle.
            let end = committed.saturating_add(1);
            let mut windows = windows_of(state).remove(order).unwrap_or_default();
            windows.retain(|window| window.reading.end_position <= end);
            (windows, window_ends(state).into_values().max().unwrap_or(1).min(end))
        });
        let by_index = OrderReceipts::new(log, order, counted_to, committed);
        let (parts, problem) = by_index.recounted(&windows, room).await?;
        let Some((place, problem)) = problem else { return Ok(ReceiptPlan { indexed_end: counted_to, parts }) };
        tracing::warn!(%order, place, problem, "the receipt index leaves something out; run `lingqu replay --check`");
        let by_log = OrderReceipts::new(log, order, 1, committed);
        let (parts, problem) = by_log.recounted(&windows, room).await?;
        match problem {
            None => Ok(ReceiptPlan { indexed_end: 1, parts }),
            Some((place, problem)) => Err(AppError::Fault(format!(
                "the receipts of {order} are not what was metered and no evidence is made of them ({place}: {problem}); \
                 run `lingqu replay --check` and restore the receipts from a backup"
            ))),
        }
    }
}

impl ReceiptPlan {
    /// The receipts that were gone through, once more.
    pub(super) fn receipts<'a>(&self, log: &'a ReceiptLog, order: &'a OrderId, committed: u64) -> OrderReceipts<'a> {
        OrderReceipts::new(log, order, self.indexed_end, committed)
    }
}

impl<'a> OrderReceipts<'a> {
    fn new(log: &'a ReceiptLog, order: &'a OrderId, indexed_end: u64, committed: u64) -> OrderReceipts<'a> {
        let (begun, waiting) = (BTreeSet::new(), VecDeque::new());
        OrderReceipts { log, order, indexed_end, committed, position: 0, begun, waiting }
    }

    /// The next receipts, at most so many.
    pub(super) async fn take(&mut self, count: u64) -> Result<Vec<Receipt>, AppError> {
        let mut taken = Vec::new();
        while (taken.len() as u64) < count {
            if let Some(receipt) = self.waiting.pop_front() {
                taken.push(receipt);
                continue;
            }
            let Some(page) = self.next_page().await? else { break };
            self.waiting.extend(page.into_iter().map(|(receipt, _)| receipt));
        }
        Ok(taken)
    }

    /// Goes through all: the receipts of each part, and the first thing that is wrong: where, and what.
    async fn recounted(
        mut self,
        windows: &[Window],
        room: Room<'_>,
    ) -> Result<(Vec<PartReceipts>, Option<(String, String)>), AppError> {
        let mut parts = Cutting::new(room);
        let mut first_problem = None;
        let mut find = |place: String, problem: String| {
            first_problem.get_or_insert((place, problem));
        };
        let mut deliveries = Deliveries::default();
        let mut recount = Windows::new(windows.to_vec());
        while let Some(page) = self.next_page().await? {
            for (receipt, record) in page {
                let place = || format!("receipt record {}", receipt.position);
                let (order, problem) = deliveries.follow(&record);
                if let Some(problem) = problem {
                    find(place(), problem);
                } else if order.as_ref() != Some(self.order) {
                    find(place(), "it is of another order".to_owned());
                }
                recount.add(receipt.position, &record, &mut find);
                parts.add(receipt.position, &receipt.receipt.record)?;
            }
        }
        recount.finish(&mut find);
        Ok((parts.finish(), first_problem))
    }

    /// Some of what comes next, perhaps nothing; none at the end.
    async fn next_page(&mut self) -> Result<Option<Vec<(Receipt, ReceiptRecord)>>, AppError> {
        if self.position.saturating_add(1) < self.indexed_end {
            return self.indexed_page().await.map(Some);
        }
        if self.position >= self.committed {
            return Ok(None);
        }
        let page = self.log.read_after(self.position, READ_LIMIT_MAX).await?;
        let Some(end) = page.last() else { return Ok(None) };
        let committed = self.committed;
        self.position = end.position;
        let mut found = Vec::new();
        for receipt in page.into_iter().filter(|receipt| receipt.position <= committed) {
            let record = parse(&receipt)?;
            // By what the log commits to; the order's id beside the record is no part of that.
            let is_own = match &record.body {
                ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening.order == *self.order,
                ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => self.begun.contains(&record.receipt),
            };
            if is_own {
                self.follow(&record);
                found.push((receipt, record));
            }
        }
        Ok(Some(found))
    }

    /// Some of what the index has of the order.
    async fn indexed_page(&mut self) -> Result<Vec<(Receipt, ReceiptRecord)>, AppError> {
        let positions = self.log.positions_of_order(self.order.as_str(), self.position, READ_LIMIT_MAX).await?;
        let mut found = Vec::new();
        for position in &positions {
            if *position >= self.indexed_end {
                break;
            }
            // A row of no receipt leaves the receipt out, which shows when the windows are recounted.
            if let Some(receipt) = self.log.read(*position).await? {
                let record = parse(&receipt)?;
                self.follow(&record);
                found.push((receipt, record));
            }
        }
        self.position = match positions.last() {
            Some(last) => (*last).min(self.indexed_end - 1),
            None => self.indexed_end - 1,
        };
        Ok(found)
    }

    /// Notes what has begun and has not ended. One that was closed as interrupted may still be served by another process.
    fn follow(&mut self, record: &ReceiptRecord) {
        match &record.body {
            ReceiptBody::Opened(_) => {
                self.begun.insert(record.receipt.clone());
            }
            ReceiptBody::Closed { outcome: Outcome::Stopped { code }, .. } if code == INTERRUPTED => {}
            ReceiptBody::Closed { .. } => {
                self.begun.remove(&record.receipt);
            }
            ReceiptBody::Part { .. } | ReceiptBody::Single { .. } => {}
        }
    }
}
