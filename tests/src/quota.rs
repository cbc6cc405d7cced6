//! What the quota accounts of an order hold, and what its receipts say that they should.

use std::collections::BTreeMap;

use lingqu_app::App;
use lingqu_domain::id::OrderId;
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::receipt::{ReceiptBody, Totals};

/// Receipts that are read at a time.
const PAGE: usize = 1_000;

/// What the quota accounts of an order hold otherwise than its receipts say, by account: none where the node is idle and exact.
/// The node goes on: what it has leased and not used it gives back first, as it may at any time. Of subjects receipts don't tell
/// who was new, so their accounts are left out.
pub async fn differing_accounts(app: &App, order: &OrderId) -> Vec<String> {
    app.quota().give_back().await.expect("the database can be written");
    let mut expected: BTreeMap<String, u64> = BTreeMap::new();
    let quota = app.read(|state| state.orders[order].value.details.quota.clone());
    for totals in totals_of(app, order).await {
        for day in std::iter::once(None).chain(totals.day.map(Some)) {
            for unit in QuotaUnit::ALL {
                let limit = if day.is_some() { quota.limit_per_day(unit) } else { quota.limit(unit) };
                if let (Some(_), Some(used)) = (limit, used_of(&totals, unit)) {
                    let period = day.map(|day| format!("/{day}")).unwrap_or_default();
                    *expected.entry(format!("{order}/{}{period}", unit.code())).or_default() += used;
                }
            }
        }
    }
    let mut differing = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let view = app.store().snapshot().await.expect("the database can be read");
        let page = view.quota_accounts(after.as_deref()).await.expect("the database can be read");
        let Some(last) = page.last() else { break };
        after = Some(last.account.clone());
        for held in page {
            let is_of_order = held.account.split_once('/').is_some_and(|(owner, _)| owner == order.as_str());
            if !is_of_order || held.account.contains("/subjects") {
                continue;
            }
            let receipts = expected.remove(&held.account).unwrap_or(0);
            if (held.used, held.leased) != (receipts, 0) {
                let (account, used, leased) = (&held.account, held.used, held.leased);
                differing.push(format!("{account} holds {used} and {leased} leased, and the receipts say {receipts}"));
            }
        }
    }
    let missing = expected.into_iter().filter(|(_, receipts)| *receipts > 0);
    differing
        .extend(missing.map(|(account, receipts)| format!("{account} is missing, and the receipts say {receipts}")));
    differing
}

/// What each delivery of an order used, by the record that closes it.
pub async fn totals_of(app: &App, order: &OrderId) -> Vec<Totals> {
    let mut totals = Vec::new();
    let mut after = 0;
    loop {
        let records = app.order_receipts(order, after, PAGE).await.expect("receipts can be read");
        let Some((last, _)) = records.last() else { return totals };
        after = *last;
        for (_, record) in records {
            if let ReceiptBody::Single { totals: of_delivery, .. } | ReceiptBody::Closed { totals: of_delivery, .. } =
                record.body
            {
                totals.push(of_delivery);
            }
        }
    }
}

fn used_of(totals: &Totals, unit: QuotaUnit) -> Option<u64> {
    match unit {
        QuotaUnit::Calls => Some(totals.calls),
        QuotaUnit::DataSets => Some(totals.data_sets),
        QuotaUnit::Rows => Some(totals.answer_rows),
        QuotaUnit::Bytes => Some(totals.bytes),
        QuotaUnit::Subjects => None,
    }
}
