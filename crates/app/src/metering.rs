//! Metering: what each order used, counted from closed receipts and recorded in the journal as windows.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::settlement::MeterReading;
use lingqu_domain::state::State;
use lingqu_store::receipt::READ_LIMIT_MAX;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::receipts::parse;
use crate::recount::Count;

impl App {
    /// Closes a metering window that reaches to the receipt log's head, for every order that used something since the last
    /// ones were closed. A delivery is counted in the window that holds its closing record.
    ///
    /// An order's window begins where its own last one ended, or at the log's begin: its windows leave no gap, so one that
    /// is left out of evidence is missed. Every receipt that a window counts is in the transparency log before it.
    pub async fn meter(&self) -> Result<Vec<MeterReading>, AppError> {
        let _turn = self.metering.lock().await;
        self.catch_up().await?;
        let ends = self.read(window_ends);
        let counted_to = ends.values().copied().max().unwrap_or(1);
        let end_position = self.receipts.head().await? + 1;
        self.receipts.commit_to_log().await?;
        let mut readings = Vec::new();
        for (order, count) in self.count(counted_to, end_position).await? {
            let first_position = ends.get(&order).copied().unwrap_or(1);
            readings.push(count.reading(order, first_position, end_position));
        }
        if !readings.is_empty() {
            // One command for the whole window: a stop between two orders would lose what the second used.
            let command = Command::CloseMeter { readings: readings.clone() };
            self.carry_out(&Actor::Node, &command, CommandOptions::default(), Extras::default()).await?;
        }
        Ok(readings)
    }

    /// What orders used by the records from a position on that close a delivery, up to another one.
    pub(crate) async fn count(
        &self,
        first_position: u64,
        end_position: u64,
    ) -> Result<BTreeMap<OrderId, Count>, AppError> {
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
                let count = counts.entry(order).or_default();
                count.add(&record);
                if named.remove(&record.receipt) {
                    count.add_untold(&record);
                }
            }
            position = receipts.last().map_or(end_position, |last| last.position);
        }
        Ok(counts)
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
