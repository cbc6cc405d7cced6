//! Metering: what each order used, counted from closed receipts and recorded in the journal as windows.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::settlement::{METERS_MAX, MeterReading};
use lingqu_domain::state::State;
use lingqu_store::idempotency::RESPONSE_BYTES_MAX;
use lingqu_store::journal::{READS_MAX, RECORDS_MAX};
use lingqu_store::receipt::READ_LIMIT_MAX;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::receipts::parse;
use crate::recount::Count;

/// Bytes of an event in the answer that is remembered of a command: a kind and an id, with their names.
const ANSWERED_EVENT_BYTES_MAX: usize = 100;

// Closing windows reads each and its order; a settlement writes an event of each beside two of its own.
const _: () = assert!(
    METERS_MAX + 2 <= RECORDS_MAX
        && 2 * (METERS_MAX + 1) <= READS_MAX
        && (METERS_MAX + 3) * ANSWERED_EVENT_BYTES_MAX <= RESPONSE_BYTES_MAX,
    "as many windows as the domain takes at once must fit into one append"
);

impl App {
    /// Closes metering windows that reach to the receipt log's head, for every order that used something since the last ones
    /// were closed: one of each order, and more where more orders used something than one command has room for. A delivery is
    /// counted in the window that holds its closing record.
    ///
    /// An order's window begins where its own last one ended, or at the log's begin: its windows leave no gap, so one that
    /// is left out of evidence is missed. Every receipt that a window counts is in the transparency log before it.
    pub async fn meter(&self) -> Result<Vec<MeterReading>, AppError> {
        let _turn = self.metering.lock().await;
        let head = self.committed_head().await?;
        let mut readings = Vec::new();
        loop {
            let (closed, end_position) = self.close_windows(head + 1, METERS_MAX).await?;
            readings.extend(closed);
            if end_position > head {
                return Ok(readings);
            }
        }
    }

    /// The first step of [`App::meter`]: closes windows of at most so many orders, and no further ones.
    pub async fn meter_orders(&self, orders_max: usize) -> Result<Vec<MeterReading>, AppError> {
        let _turn = self.metering.lock().await;
        let head = self.committed_head().await?;
        Ok(self.close_windows(head + 1, orders_max).await?.0)
    }

    /// Position of the last receipt, once all up to it are in the transparency log.
    async fn committed_head(&self) -> Result<u64, AppError> {
        self.catch_up().await?;
        let head = self.receipts.head().await?;
        self.receipts.commit_to_log().await?;
        Ok(head)
    }

    /// Closes the windows of all orders that used something since the last ones were closed, up to a position or, where they
    /// would be more orders than so many, to the record that the next one comes with. Answers what they read and where they end.
    async fn close_windows(&self, end_position: u64, orders_max: usize) -> Result<(Vec<MeterReading>, u64), AppError> {
        let ends = self.read(window_ends);
        let counted_to = ends.values().copied().max().unwrap_or(1);
        let (counts, end_position) = self.count_of(counted_to, end_position, orders_max).await?;
        let mut readings = Vec::new();
        for (order, count) in counts {
            let first_position = ends.get(&order).copied().unwrap_or(1);
            readings.push(count.reading(order, first_position, end_position));
        }
        if !readings.is_empty() {
            // One command for all that end together, so that everything before the last end is counted: a stop between two
            // orders would lose what the second used.
            let command = Command::CloseMeter { readings: readings.clone() };
            self.carry_out(&Actor::Node, &command, CommandOptions::default(), Extras::default()).await?;
        }
        Ok((readings, end_position))
    }

    /// What orders used by the records from a position on that close a delivery, up to another one.
    pub(crate) async fn count(
        &self,
        first_position: u64,
        end_position: u64,
    ) -> Result<BTreeMap<OrderId, Count>, AppError> {
        Ok(self.count_of(first_position, end_position, usize::MAX).await?.0)
    }

    /// The same of at most so many orders: where there are more, up to the record that the next one comes with. Answers also up
    /// to where that is.
    async fn count_of(
        &self,
        first_position: u64,
        end_position: u64,
        orders_max: usize,
    ) -> Result<(BTreeMap<OrderId, Count>, u64), AppError> {
        let mut counts: BTreeMap<OrderId, Count> = BTreeMap::new();
        let mut named: BTreeSet<ReceiptId> = BTreeSet::new();
        let mut position = first_position.saturating_sub(1);
        while position + 1 < end_position {
            let receipts = self.receipts.read_after(position, READ_LIMIT_MAX).await?;
            if receipts.is_empty() {
                break;
            }
            for receipt in receipts.iter().filter(|receipt| receipt.position < end_position) {
                let record = parse(receipt)?;
                let order = match &record.body {
                    ReceiptBody::Part { rows, .. } => {
                        if *rows > 0 {
                            named.insert(record.receipt);
                        }
                        continue;
                    }
                    ReceiptBody::Opened(_) => continue,
                    ReceiptBody::Single { opening, .. } => opening.order.clone(),
                    ReceiptBody::Closed { .. } => {
                        receipt.receipt.order_id.parse().map_err(|error| AppError::Fault(format!("{error}")))?
                    }
                };
                if counts.len() >= orders_max && !counts.contains_key(&order) {
                    return Ok((counts, receipt.position));
                }
                let count = counts.entry(order).or_default();
                count.add(&record);
                if named.remove(&record.receipt) {
                    count.add_untold(&record);
                }
            }
            position = receipts.last().map_or(end_position, |last| last.position);
        }
        Ok((counts, end_position))
    }
}

/// Where the last window of each order ended.
pub(crate) fn window_ends(state: &State) -> BTreeMap<OrderId, u64> {
    let mut ends = BTreeMap::new();
    for reading in state.meters.values().map(|meter| &meter.value.reading) {
        let end = ends.entry(reading.order.clone()).or_insert(1);
        *end = reading.end_position.max(*end);
    }
    ends
}
