//! The settlement, computed anew from the receipts with prices written down here.

use std::collections::BTreeMap;

use lingqu_demo::{DemoReport, OrderShown};
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{Outcome, ReceiptBody};
use lingqu_ledger::Fen;

use crate::Played;

/// Prices in millionths of a yuan: per call, per data set. The licence check is for a public purpose and free.
const PRICES: [(&str, i64, i64); 5] = [
    ("flight_delay_check", 500_000, 0),
    ("flight_punctuality", 2_000_000, 0),
    ("flight_records", 32_500, 2_999_990_000),
    ("flight_times", 40_000, 1_200_000_000),
    ("taxi_licence_check", 0, 0),
];

/// Each order's fee follows from its receipts, the fees add up to the settlement, and its three parts to the fees.
pub async fn follow_from_the_receipts(played: &Played) {
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for order in &played.report.orders {
        let (calls, data_sets) = used_until_metered(played, order).await;
        let (_, per_call, per_data_set) =
            PRICES.into_iter().find(|(product, ..)| *product == order.product).expect("every product has a price");
        let fee = fen(calls * per_call) + fen(data_sets * per_data_set);
        expected.insert(order.id.clone(), fee);
    }
    let settled: BTreeMap<String, i64> = played.app.read(|state| {
        let settlement = state.settlements.values().next().expect("the demo settles once");
        settlement.value.lines.iter().map(|line| (line.order.to_string(), line.fee.0)).collect()
    });
    for (order, fee) in &expected {
        assert_eq!(settled.get(order).copied().unwrap_or(0), *fee, "{order}");
    }
    let total: i64 = expected.values().sum();
    assert_eq!(total_of(&played.report, "fees"), total);
    // Two data sets of 2,999.99, three of 1,200, and what the calls come to.
    assert_eq!(total, 961_258);

    let parts = ["operator", "treasury", "enterprise_provider"].map(|name| total_of(&played.report, name));
    assert_eq!(parts.iter().sum::<i64>(), total);
    // 60 of 100 to the operator, 15 to the treasury, 25 to the airports.
    assert_eq!(parts, split(total, [60, 15, 25]));
    assert_eq!(total_of(&played.report, "paid_in"), parts[1]);
    assert!(played.report.ledger.balanced);
}

/// Calls and data sets of the delivered answers that the metering window holds.
async fn used_until_metered(played: &Played, order: &OrderShown) -> (i64, i64) {
    let id: OrderId = order.id.parse().expect("the report holds ids");
    let end_position = played.app.read(|state| {
        let meters = state.meters.values().map(|meter| &meter.value.reading);
        meters.filter(|reading| reading.order == id).map(|reading| reading.end_position).max().unwrap_or(0)
    });
    let receipts = played.app.order_receipts(&id, 0, 1_000).await.expect("receipts can be read");
    let (mut calls, mut data_sets) = (0, 0);
    for (_, record) in receipts.iter().filter(|(position, _)| *position < end_position) {
        if let ReceiptBody::Single { totals, .. } | ReceiptBody::Closed { outcome: Outcome::Delivered, totals } =
            &record.body
        {
            calls += totals.calls;
            data_sets += totals.data_sets;
        }
    }
    let money = |count: u64| i64::try_from(count).expect("the demo's counts are small");
    (money(calls), money(data_sets))
}

fn total_of(report: &DemoReport, name: &str) -> i64 {
    let text = report.ledger.totals.get(name).unwrap_or_else(|| panic!("no total {name}"));
    Fen::from_yuan(text.parse().expect("an amount is a decimal")).expect("an amount is exact to the fen").0
}

/// Splits by hundredths: whole fen first, then one fen each to the parts with the largest remainders.
fn split(total: i64, hundredths: [i64; 3]) -> [i64; 3] {
    let mut parts = hundredths.map(|share| total * share / 100);
    let mut places = [0, 1, 2];
    places.sort_by_key(|place| std::cmp::Reverse(total * hundredths[*place] % 100));
    let rest = total - parts.iter().sum::<i64>();
    for place in places.into_iter().take(usize::try_from(rest).expect("floors leave something or nothing")) {
        parts[place] += 1;
    }
    parts
}

/// Millionths of a yuan as fen, halves up.
fn fen(micro_yuan: i64) -> i64 {
    (micro_yuan + 5_000) / 10_000
}
