//! Metering: what each order used, counted from closed receipts and recorded in the journal as windows.

use std::collections::BTreeMap;

use lingqu_crypto::sha256;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use lingqu_domain::settlement::MeterReading;
use lingqu_store::receipt::READ_LIMIT_MAX;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::receipts::parse;
use crate::serving::quota_account;

/// What is counted of one order.
#[derive(Default)]
struct Count {
    calls: u64,
    data_sets: u64,
    rows: u64,
    deliveries: u64,
    free_deliveries: u64,
    receipt_ids: String,
}

impl App {
    /// Closes the metering window that reaches from the last one's end to the receipt log's head, for every order that
    /// used something in it. A delivery is counted in the window that holds its closing record.
    pub async fn meter(&self) -> Result<Vec<MeterReading>, AppError> {
        let _turn = self.metering.lock().await;
        self.catch_up().await?;
        let first_position =
            self.read(|state| state.meters.values().map(|meter| meter.value.reading.end_position).max().unwrap_or(1));
        let end_position = self.receipts.head().await? + 1;
        let mut readings = Vec::new();
        for (order, count) in self.count(first_position, end_position).await? {
            let reading = MeterReading {
                order,
                first_position,
                end_position,
                calls: count.calls,
                data_sets: count.data_sets,
                rows: count.rows,
                deliveries: count.deliveries,
                free_deliveries: count.free_deliveries,
                receipts_digest: sha256(count.receipt_ids.as_bytes()).to_string(),
            };
            readings.push(reading);
        }
        if !readings.is_empty() {
            // One command for the whole window: a stop between two orders would lose what the second used.
            let command = Command::CloseMeter { readings: readings.clone() };
            self.carry_out(&Actor::Node, &command, CommandOptions::default(), Extras::default()).await?;
        }
        Ok(readings)
    }

    async fn count(&self, first_position: u64, end_position: u64) -> Result<BTreeMap<OrderId, Count>, AppError> {
        let mut counts: BTreeMap<OrderId, Count> = BTreeMap::new();
        let mut position = first_position.saturating_sub(1);
        while position + 1 < end_position {
            let receipts = self.receipts.read_after(position, READ_LIMIT_MAX).await?;
            if receipts.is_empty() {
                break;
            }
            for receipt in receipts.iter().filter(|receipt| receipt.position < end_position) {
                let record = parse(receipt)?;
                // What is charged was decided when the delivery was closed.
                let (is_delivered, totals) = match &record.body {
                    ReceiptBody::Single { totals, .. } => (true, totals),
                    ReceiptBody::Closed { outcome, totals } => (*outcome == Outcome::Delivered, totals),
                    ReceiptBody::Opened(_) | ReceiptBody::Part { .. } => continue,
                };
                let order = receipt.receipt.order_id.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
                let count = counts.entry(order).or_default();
                count.receipt_ids.push_str(record.receipt.as_str());
                count.receipt_ids.push('\n');
                count.rows += totals.rows;
                count.calls += totals.calls;
                count.data_sets += totals.data_sets;
                if is_delivered {
                    count.deliveries += 1;
                } else {
                    count.free_deliveries += 1;
                }
            }
            position = receipts.last().map_or(end_position, |last| last.position);
        }
        Ok(counts)
    }

    /// Folds back quota leases of processes that died, by the true use as the receipts tell it.
    pub(crate) async fn reconcile_quota(&self) -> Result<(), AppError> {
        let accounts = self.quota.dead_accounts().await?;
        if accounts.is_empty() {
            return Ok(());
        }
        let counts = self.count(1, self.receipts.head().await? + 1).await?;
        for account in accounts {
            let mut used = 0;
            for (order, count) in &counts {
                for (unit, amount) in [("calls", count.calls), ("data_sets", count.data_sets)] {
                    if quota_account(order, unit) == account {
                        used = amount;
                    }
                }
            }
            self.quota.reconcile(&account, used).await?;
        }
        Ok(())
    }
}
