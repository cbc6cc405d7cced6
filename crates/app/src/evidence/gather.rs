//! Gathering the receipts of an order. The index finds them quickly and is not believed: what it finds must come to what
//! the order's metering windows counted. Where it does not, and after the last window, the receipt log itself is read.

use std::collections::BTreeSet;

use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_store::receipt::{READ_LIMIT_MAX, Receipt, ReceiptLog};

use super::{RECORDS_MAX, too_many};
use crate::app::App;
use crate::error::AppError;
use crate::metering::window_ends;
use crate::receipts::parse;
use crate::recount::{Deliveries, Window, Windows, windows_of};

/// What belongs to an order, in the order of positions.
struct Gathered<'a> {
    order: &'a OrderId,
    /// Deliveries of the order that have begun.
    begun: BTreeSet<ReceiptId>,
    found: Vec<(Receipt, ReceiptRecord)>,
}

impl App {
    /// The receipts of an order up to a position, all of them. Error: they do not come to what was metered, by the index
    /// or without; there are more than evidence holds.
    pub(super) async fn receipts_of(
        &self,
        log: &ReceiptLog,
        order: &OrderId,
        committed: u64,
    ) -> Result<Vec<Receipt>, AppError> {
        let (windows, counted_to) = self.read(|state| {
            let windows = windows_of(state).remove(order).unwrap_or_default();
            (windows, window_ends(state).into_values().max().unwrap_or(1))
        });
        let mut by_index = Gathered { order, begun: BTreeSet::new(), found: Vec::new() };
        by_index.take_indexed(log, counted_to).await?;
        by_index.take_logged(log, counted_to - 1, committed).await?;
        let Some((place, problem)) = by_index.problem(&windows) else { return Ok(by_index.receipts()) };
        tracing::warn!(%order, place, problem, "the receipt index leaves something out; run `lingqu replay --check`");
        let mut by_log = Gathered { order, begun: BTreeSet::new(), found: Vec::new() };
        by_log.take_logged(log, 0, committed).await?;
        match by_log.problem(&windows) {
            None => Ok(by_log.receipts()),
            Some((place, problem)) => Err(AppError::Fault(format!(
                "the receipts of {order} are not what was metered and no evidence is made of them ({place}: {problem}); \
                 run `lingqu replay --check` and restore the receipts from a backup"
            ))),
        }
    }
}

impl Gathered<'_> {
    /// Takes what the index has of the order before a position.
    async fn take_indexed(&mut self, log: &ReceiptLog, end: u64) -> Result<(), AppError> {
        let mut after = 0;
        loop {
            let positions = log.positions_of_order(self.order.as_str(), after, READ_LIMIT_MAX).await?;
            let Some(last) = positions.last() else { return Ok(()) };
            after = *last;
            for position in positions {
                if position >= end {
                    return Ok(());
                }
                // A row of no receipt leaves the receipt out, which shows when the windows are recounted.
                if let Some(receipt) = log.read(position).await? {
                    let record = parse(&receipt)?;
                    self.take(receipt, record)?;
                }
            }
        }
    }

    /// Takes what the log has of the order after a position and up to another.
    async fn take_logged(&mut self, log: &ReceiptLog, after: u64, last: u64) -> Result<(), AppError> {
        let mut position = after;
        while position < last {
            let page = log.read_after(position, READ_LIMIT_MAX).await?;
            let Some(end) = page.last() else { return Ok(()) };
            position = end.position;
            for receipt in page.into_iter().filter(|receipt| receipt.position <= last) {
                let record = parse(&receipt)?;
                // By what the log commits to; the order's id beside the record is no part of that.
                let is_own = match &record.body {
                    ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening.order == *self.order,
                    ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => self.begun.contains(&record.receipt),
                };
                if is_own {
                    self.take(receipt, record)?;
                }
            }
        }
        Ok(())
    }

    fn take(&mut self, receipt: Receipt, record: ReceiptRecord) -> Result<(), AppError> {
        if self.found.len() >= RECORDS_MAX {
            return Err(too_many());
        }
        if matches!(record.body, ReceiptBody::Opened(_)) {
            self.begun.insert(record.receipt.clone());
        }
        self.found.push((receipt, record));
        Ok(())
    }

    /// The first thing that is wrong with what was gathered: where, and what.
    fn problem(&self, windows: &[Window]) -> Option<(String, String)> {
        let mut problems = Vec::new();
        let mut deliveries = Deliveries::default();
        let mut recount = Windows::new(windows.to_vec());
        for (receipt, record) in &self.found {
            let place = || format!("receipt record {}", receipt.position);
            let (order, problem) = deliveries.follow(record);
            if let Some(problem) = problem {
                problems.push((place(), problem));
            } else if order.as_ref() != Some(self.order) {
                problems.push((place(), "it is of another order".to_owned()));
            }
            recount.add(receipt.position, record, &mut |place, problem| problems.push((place, problem)));
        }
        recount.finish(&mut |place, problem| problems.push((place, problem)));
        problems.into_iter().next()
    }

    fn receipts(self) -> Vec<Receipt> {
        self.found.into_iter().map(|(receipt, _)| receipt).collect()
    }
}
