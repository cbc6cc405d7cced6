//! Receipts in a replay: log, index and commits, each delivery from record to record, and every metering window recounted.

use std::collections::BTreeMap;

use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_domain::state::State;
use lingqu_store::receipt::{Receipt, Seen, check_receipts};
use lingqu_store::snapshot::Snapshot;

use super::ReplayReport;
use crate::app::App;
use crate::error::AppError;
use crate::receipts::parse;
use crate::recount::{Count, Deliveries, Windows, windows_of};

/// What orders used, as all receipts tell it.
pub(super) type Used = BTreeMap<OrderId, Count>;

impl App {
    /// Compares everything about receipts with the journal's state and the log's entries as `view` has them.
    pub(super) async fn compare_receipts(
        &self,
        view: &Snapshot,
        state: &State,
        report: &mut ReplayReport,
    ) -> Result<Used, AppError> {
        // Opened after the view was taken, so that it holds every receipt that the view's entries commit to.
        let log = self.receipts_now().await?;
        let windows = windows_of(state);
        report.metering_windows = windows.values().map(|windows| windows.len() as u64).sum();
        let mut recount = Recount {
            deliveries: Deliveries::default(),
            windows: windows.into_iter().map(|(order, windows)| (order, Windows::new(windows))).collect(),
            used: Used::new(),
            report,
        };
        let receipts = check_receipts(view, &log, &mut |seen| match seen {
            Seen::Receipt(receipt) => recount.receipt(receipt),
            Seen::Difference { table, id, problem } => recount.report.add(table, &id, problem),
        })
        .await?;
        let Recount { windows, used, report, .. } = recount;
        for (order, mut windows) in windows {
            windows.finish(&mut |place, problem| report.add("meter", order.as_str(), format!("{place}: {problem}")));
        }
        report.receipts = receipts;
        Ok(used)
    }
}

struct Recount<'a> {
    deliveries: Deliveries,
    windows: BTreeMap<OrderId, Windows>,
    used: Used,
    report: &'a mut ReplayReport,
}

impl Recount<'_> {
    fn receipt(&mut self, receipt: &Receipt) {
        let position = receipt.position.to_string();
        let record = match parse(receipt) {
            Ok(record) => record,
            Err(error) => return self.report.add("receipt", &position, error.to_string()),
        };
        let (order, problem) = self.deliveries.follow(&record);
        if let Some(problem) = problem {
            self.report.add("receipt", &position, problem);
        }
        let Some(order) = order else { return };
        self.names(receipt, &record, &order);
        if matches!(record.body, ReceiptBody::Opened(_) | ReceiptBody::Part { .. }) {
            return;
        }
        self.used.entry(order.clone()).or_default().add(&record);
        if let Some(windows) = self.windows.get_mut(&order) {
            let report = &mut *self.report;
            windows.add(receipt.position, &record, &mut |place, problem| {
                report.add("meter", order.as_str(), format!("{place}: {problem}"));
            });
        }
    }

    /// What stands beside a record, for finding it, is no part of what the log commits to.
    fn names(&mut self, receipt: &Receipt, record: &ReceiptRecord, order: &OrderId) {
        for (what, beside, inside) in [
            ("order", receipt.receipt.order_id.as_str(), order.as_str()),
            ("delivery", receipt.receipt.receipt_id.as_str(), record.receipt.as_str()),
            ("kind", receipt.receipt.kind.as_str(), record.kind()),
        ] {
            if beside != inside {
                let problem = format!("the {what} {beside} that it is kept under is not its own, {inside}");
                self.report.add("receipt", &receipt.position.to_string(), problem);
            }
        }
    }
}
