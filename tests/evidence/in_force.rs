//! Deliveries that began while no right was in force, or by other rights than the records of the bundle come to.

use jiff::{SignedDuration, Timestamp};
use lingqu_app::verify_evidence;
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord};
use lingqu_store::receipt::NewReceipt;
use lingqu_tests::scenario::Who;
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::RecordKind;

use crate::tampered::Tampered;

/// The last verification that the node answered.
async fn last_single(node: &Tampered) -> ReceiptRecord {
    let records = node.receipts().await.into_iter().map(|(_, record)| record);
    records.rev().find(|record| matches!(record.body, ReceiptBody::Single { .. })).expect("the node has verified")
}

fn opening(record: &mut ReceiptRecord) -> &mut Opening {
    let ReceiptBody::Single { opening, .. } = &mut record.body else { panic!("a verification is a single record") };
    opening
}

/// A delivery that a node slips in so long after a moment; answers where its receipt stands.
async fn slip(node: &Tampered, record: &ReceiptRecord, since: Timestamp, seconds: i64) -> String {
    let number = node.receipts().await.len();
    let mut record = record.clone();
    record.at = since.checked_add(SignedDuration::from_secs(seconds)).unwrap();
    record.receipt = format!("{}_{number:032}", ReceiptId::PREFIX).parse().unwrap();
    let receipt = NewReceipt {
        receipt_id: record.receipt.to_string(),
        order_id: opening(&mut record).order.to_string(),
        kind: "single".to_owned(),
        record: record.canonical().into_bytes(),
    };
    format!("receipt record {}", node.app().receipts().append(receipt).await.unwrap())
}

/// Exactly these receipts are wrong, each for a reason in these words.
async fn must_find(node: &Tampered, expected: &[(&str, &str)]) {
    let report = verify_evidence(&node.app().export_evidence(&node.check.id).await.unwrap(), None);
    let places: Vec<&str> = report.findings.iter().map(|(place, _)| place.as_str()).collect();
    let wanted: Vec<&str> = expected.iter().map(|(place, _)| *place).collect();
    assert_eq!(places, wanted, "{:?}", report.findings);
    for ((_, words), (_, problem)) in expected.iter().zip(&report.findings) {
        assert!(problem.contains(words), "{words}: {:?}", report.findings);
    }
}

fn last_decision(node: &Tampered) -> Timestamp {
    node.app().read(|state| state.last_at).expect("the journal has a last event")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_began_while_no_right_was_in_force_is_found() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        node.scenario.suspend_mandate("检查").await;
        let suspended_at = last_decision(&node);
        // What was delivered before the suspension stays as it was.
        must_find(&node, &[]).await;
        // A delivery that a node slips past the suspension; a moment after it one may have been under way.
        let single = last_single(&node).await;
        slip(&node, &single, suspended_at, 1).await;
        let found = slip(&node, &single, suspended_at, 3_600).await;
        must_find(&node, &[(found.as_str(), "no right was in force")]).await;
    })
    .await;
}

/// A contract may be signed before its term begins, and nothing is wrong with it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_contract_whose_term_has_yet_to_begin_verifies() {
    let node = Tampered::open(StoreFactory::sqlite()).await;
    let mut details = node.app().read(|state| state.orders[&node.check.id].value.details.clone());
    details.term.from = details.term.from.checked_add(SignedDuration::from_hours(48)).unwrap();
    let place = Command::PlaceOrder { details: Box::new(details) };
    let order: OrderId = node.scenario.give(node.scenario.clerk(Who::Second), place, "order.placed").await;
    let terms_digest = node.app().read(|state| state.orders[&order].value.contract.terms_digest.clone());
    for who in [Who::Second, Who::Operator] {
        let sign = Command::SignContract { order: order.clone(), terms_digest: terms_digest.clone() };
        node.scenario.act(node.scenario.chief(who), sign).await;
    }
    let report = verify_evidence(&node.app().export_evidence(&order).await.unwrap(), None);
    assert!(report.verified, "{:?}", report.findings);
    assert!(report.links.contains(&order.to_string()) && report.receipt_records == 0, "{:?}", report.links);
}

/// A node that closes a window each minute, as it may, has a record in the bundle that is younger than any leeway.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_of_something_else_gives_no_leeway() {
    let node = Tampered::open_behind().await;
    let single = last_single(&node).await;
    node.scenario.suspend_mandate("检查").await;
    let suspended_at = last_decision(&node);
    node.app().clock().advance(SignedDuration::from_hours(1));
    assert!(!node.meter().await.is_empty());
    let metered_at = last_decision(&node);
    assert!(metered_at.duration_since(suspended_at) >= SignedDuration::from_hours(1));
    let found = slip(&node, &single, metered_at, 10).await;
    must_find(&node, &[(found.as_str(), "no right was in force")]).await;
}

/// Decisions at the end of a stream leave no gap in it, and the deliveries after them name rights that rest on them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_that_are_left_out_are_missed_by_what_was_delivered_after_them() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        node.scenario.suspend_mandate("检查").await;
        node.scenario.resume_mandate().await;
        node.use_both().await;
        let bundle = node.app().export_evidence(&node.check.id).await.unwrap();
        let report = verify_evidence(&bundle, None);
        assert!(report.verified, "{:?}", report.findings);
        let shorter = node.without(&bundle, |record| {
            let text = String::from_utf8_lossy(&record.bytes);
            let is_decision = ["mandate.suspended", "mandate.resumed"].iter().any(|kind| text.contains(kind));
            record.kind == RecordKind::Journal && is_decision
        });
        let report = verify_evidence(&shorter, None);
        // Two verifications came after them.
        let missing = "a decision about them is missing";
        assert_eq!(report.findings.len(), 2, "{:?}", report.findings);
        assert!(report.findings.iter().all(|(_, problem)| problem.contains(missing)), "{:?}", report.findings);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_names_rights_that_the_records_come_to() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let mut single = last_single(&node).await;
        // Another key of the order changes no right: a delivery that took an hour to begin may be by the grant of before.
        let handler = node.scenario.clerk(Who::Second);
        node.app().issue_service_key(handler, &node.check.id, Default::default()).await.unwrap();
        let issued_at = last_decision(&node);
        let late = slip(&node, &single, issued_at, 3_600).await;
        must_find(&node, &[]).await;
        // Rules that raise a floor within that hour change them.
        let mut rulebook = node.app().read(|state| state.rulebook().into_owned());
        rulebook.version = "another".to_owned();
        rulebook.cohort_floor += 1;
        rulebook.cohort_floor_personal += 1;
        let rulebook = Box::new(rulebook);
        let propose = Command::ProposeRulebook { rulebook: rulebook.clone() };
        node.scenario.act(node.scenario.clerk(Who::Authority), propose).await;
        node.scenario.act(node.scenario.chief(Who::Authority), Command::AdoptRulebook { rulebook }).await;
        opening(&mut single).grant_digest = "0".repeat(64);
        let made_up = slip(&node, &single, issued_at, 3_600).await;
        let no_longer = "no longer in force";
        must_find(&node, &[(late.as_str(), no_longer), (made_up.as_str(), "records do not come to")]).await;
    })
    .await;
}
