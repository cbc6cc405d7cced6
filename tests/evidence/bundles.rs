//! Evidence from which something was left out.

use lingqu_app::{EvidenceReport, verify_evidence};
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_store::Backend;
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{Evidence, RecordKind};

use crate::tampered::{Tampered, rewrite_segment};

fn positions(bundle: &[u8]) -> Vec<u64> {
    let records = Evidence::parse(bundle).unwrap().records().unwrap();
    records.iter().filter(|record| record.kind == RecordKind::Receipt).map(|record| record.position).collect()
}

fn must_find(report: &EvidenceReport, place: &str, words: &str) {
    let is_named = report.findings.iter().any(|(item, problem)| item.contains(place) && problem.contains(words));
    assert!(!report.verified && is_named, "{place}, {words}: {:?}", report.findings);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_are_recounted_and_what_is_left_out_is_missed() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        for order in [&node.records, &node.check] {
            let bundle = node.app().export_evidence(&order.id).await.unwrap();
            let report = verify_evidence(&bundle, None);
            assert!(report.verified, "{:?}", report.findings);
            assert_eq!((report.metering_windows, report.receipts_not_yet_metered, report.deliveries_open), (2, 2, 0));
            assert!(report.metered_until.is_some());
            // Whichever record of a metered delivery is left out, it is missed; the node's own signature does not help.
            let windows = windows(&node, &order.id);
            let last_metered = windows[1].2;
            for left_out in positions(&bundle) {
                let shorter =
                    node.without(&bundle, |record| record.kind == RecordKind::Receipt && record.position == left_out);
                let report = verify_evidence(&shorter, None);
                if left_out >= last_metered {
                    // Nothing says yet how many there are; the report says that these were not metered.
                    assert!(report.receipts_not_yet_metered <= 2);
                    continue;
                }
                let window = windows.iter().find(|(_, first, end)| (*first..*end).contains(&left_out)).unwrap();
                let record = node.receipts().await[left_out as usize - 1].1.clone();
                match record.body {
                    ReceiptBody::Opened(_) => must_find(&report, "receipt record", "opening record"),
                    ReceiptBody::Part { .. } => must_find(&report, "receipt record", "name"),
                    ReceiptBody::Closed { .. } | ReceiptBody::Single { .. } => {
                        must_find(&report, &window.0, "deliveries and the receipts come to");
                    }
                }
            }
        }
    })
    .await;
}

/// Id, first and end position of an order's windows, in order.
fn windows(node: &Tampered, order: &OrderId) -> Vec<(String, u64, u64)> {
    let mut windows: Vec<_> = node.app().read(|state| {
        let meters = state.meters.values().map(|meter| &meter.value);
        let own = meters.filter(|meter| meter.reading.order == *order);
        own.map(|meter| (meter.id.to_string(), meter.reading.first_position, meter.reading.end_position)).collect()
    });
    windows.sort_by_key(|window| window.1);
    windows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_left_out_with_its_receipts_is_missed() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let order = &node.check.id;
        let windows = windows(&node, order);
        assert_eq!((windows[0].1, windows[0].2), (1, windows[1].1), "an order's windows leave no gap");
        let bundle = node.app().export_evidence(order).await.unwrap();
        let without_first = node.without(&bundle, |record| match record.kind {
            RecordKind::Journal => String::from_utf8_lossy(&record.bytes).contains(&windows[0].0),
            RecordKind::Receipt => record.position < windows[0].2,
        });
        must_find(&verify_evidence(&without_first, None), &windows[1].0, "the window before it is missing");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_exporter_does_not_believe_the_index() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let order = &node.records.id;
        let whole = positions(&node.app().export_evidence(order).await.unwrap());
        let other = &node.check.id;
        for kind in ["opened", "part", "closed"] {
            let position = node.position(&node.records, kind, 0).await;
            node.sql(&format!("DELETE FROM receipt_index WHERE position = {position}")).await;
            let bundle = node.app().export_evidence(order).await.unwrap();
            assert_eq!(positions(&bundle), whole, "without the index row of {kind}");
            assert!(verify_evidence(&bundle, None).verified);
        }
        // Rows that name another order, and the receipts that no window counts yet.
        let last = *whole.last().unwrap();
        node.sql(&format!("UPDATE receipt_index SET order_id = '{other}' WHERE position = {last}")).await;
        let position = node.position(&node.check, "single", 0).await;
        node.sql(&format!("UPDATE receipt_index SET order_id = '{order}' WHERE position = {position}")).await;
        let bundle = node.app().export_evidence(order).await.unwrap();
        assert_eq!(positions(&bundle), whole);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_evidence_is_made_of_receipts_that_are_not_what_was_metered() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let order = &node.check.id;
        let position = node.position(&node.check, "single", 0).await;
        assert_eq!(position, 1, "the first thing that the node delivered");
        if node.factory.backend() == Backend::Sqlite {
            rewrite_segment(&node.segment(), b"\"calls\":1", b"\"calls\":0");
        } else {
            node.sql(
                "DELETE FROM receipt_block WHERE first_position = (SELECT min(first_position) FROM receipt_block)",
            )
            .await;
        }
        let refused = node.app().export_evidence(order).await.unwrap_err().to_string();
        assert!(refused.contains("not what was metered") && refused.contains("metering window"), "{refused}");
    })
    .await;
}
