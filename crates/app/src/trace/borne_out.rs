//! What a report says of those whom it accuses, held against the proven records: what the consumer is called, that the orders are
//! its, by which permits the product is made, what was delivered by which receipts, and who held the other half of the keys.
//!
//! How many of the file's rows a delivery had takes the originals, and is the node's word.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lingqu_domain::event::Event;
use lingqu_domain::id::{OrderId, PartyId, PermitId, ReceiptId};
use lingqu_domain::party::PartyEvent;
use lingqu_domain::permit::PermitEvent;
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord};

use super::evidence::DisclosedKey;
use super::report::{Accused, DeliveryTrace, TraceReport};
use super::verify::Logged;

/// What the proven records say of parties, permits and deliveries.
#[derive(Default)]
pub(super) struct Known {
    /// What parties are called.
    parties: BTreeMap<String, String>,
    /// Permits that were approved.
    permits: BTreeSet<String>,
    /// When deliveries began, and what is known of each.
    deliveries: BTreeMap<ReceiptId, (Timestamp, Opening)>,
}

impl Known {
    pub(super) fn add_event(&mut self, stream: &str, event: &Event) {
        match event {
            Event::Party(PartyEvent::Registered(details)) => {
                self.parties.insert(stream.to_owned(), details.name.clone());
            }
            Event::Permit(PermitEvent::Approved) => {
                self.permits.insert(stream.to_owned());
            }
            _ => {}
        }
    }

    /// False where it is no receipt.
    pub(super) fn add_receipt(&mut self, bytes: &[u8]) -> bool {
        let Ok(record) = serde_json::from_slice::<ReceiptRecord>(bytes) else { return false };
        if let ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } = record.body {
            self.deliveries.entry(record.receipt).or_insert((record.at, opening));
        }
        true
    }
}

/// What no proven record bears out of what a report says of the accused.
pub(super) fn unproven(report: &TraceReport, keys: &[DisclosedKey], logged: &Logged) -> Vec<String> {
    let mut problems: Vec<String> = report.accused.iter().flat_map(|accused| of_accused(accused, logged)).collect();
    // With an order it would leave out by which permits it is made and who held the other half of its keys.
    for key in keys.iter().filter(|key| !report.accused.iter().any(|accused| has_order_of(accused, key))) {
        problems.push(format!("the report leaves out {}, whose key is disclosed", key.order));
    }
    for product in &report.products {
        let drafted = logged.products.get(&product.product);
        if drafted.is_some_and(|drafted| drafted.name != product.name || drafted.table.as_str() != product.table) {
            problems.push(format!("{} was drafted under another name than the report gives it", product.product));
        }
        for had in &product.receipts.orders {
            problems.extend(other_consumer(&had.order, &had.consumer, logged));
        }
    }
    for had in report.sources.iter().flat_map(|source| &source.orders) {
        problems.extend(other_consumer(&had.order, &had.consumer, logged));
    }
    problems
}

/// Whether the order by which a key is disclosed is among those of the accused code.
fn has_order_of(accused: &Accused, key: &DisclosedKey) -> bool {
    accused.product == key.product
        && accused.code_epoch == key.code_epoch
        && accused.orders.iter().any(|found| found.order == key.order)
}

fn of_accused(accused: &Accused, logged: &Logged) -> Vec<String> {
    let consumer = &accused.consumer;
    let mut problems = Vec::new();
    match logged.known.parties.get(consumer.as_str()) {
        Some(name) if *name == accused.name => {}
        Some(name) => problems.push(format!("by the proven records {consumer} is {name}, and not {}", accused.name)),
        None => problems.push(format!("no proven record says what {consumer} is called")),
    }
    let drafted = logged.products.get(&accused.product);
    if drafted.is_none() {
        problems.push(format!("no proven record drafts {}", accused.product));
    }
    let inputs: BTreeSet<&PermitId> = drafted.into_iter().flat_map(|drafted| drafted.inputs.values()).collect();
    let mut holders: BTreeSet<&PartyId> = BTreeSet::new();
    for found in &accused.orders {
        let order = &found.order;
        match logged.orders.get(&(order.clone(), accused.code_epoch)) {
            Some(known) if known.consumer == *consumer && known.product == accused.product => {
                holders.insert(&known.holder);
            }
            Some(_) => problems.push(format!("{order} is of another consumer or product")),
            None => problems.push(format!("no proven record commits to the keys of {order}")),
        }
        if found.permits.iter().collect::<BTreeSet<_>>() != inputs {
            problems.push(format!("the product of {order} is made by other permits than are named"));
        }
        let is_approved = |permit: &&PermitId| logged.known.permits.contains(permit.as_str());
        if let Some(permit) = found.permits.iter().find(|permit| !is_approved(permit)) {
            problems.push(format!("no proven record approves {permit}"));
        }
    }
    if accused.keys_held_by.iter().collect::<BTreeSet<_>>() != holders {
        problems.push(format!("the other half of the keys of {consumer} was held by others than are named"));
    }
    let mut told = BTreeSet::new();
    for delivery in &accused.deliveries {
        let receipt = &delivery.receipt;
        if !told.insert(receipt) {
            problems.push(format!("the delivery {receipt} is listed twice"));
        }
        match logged.known.deliveries.get(receipt) {
            None => problems.push(format!("the receipt of the delivery {receipt} is not among the proven records")),
            Some((at, opening)) if !is_delivery(delivery, *at, opening, accused) => {
                problems.push(format!("the receipt {receipt} is of another delivery than is told"));
            }
            Some(_) => {}
        }
    }
    problems
}

/// Whether a delivery is told as its receipt has it, to an order of the accused one.
fn is_delivery(told: &DeliveryTrace, at: Timestamp, opening: &Opening, accused: &Accused) -> bool {
    told.order == opening.order
        && accused.orders.iter().any(|order| order.order == opening.order)
        && accused.consumer == opening.consumer
        && accused.product == opening.product
        && told.at == at.to_string()
        && told.mode == opening.mode.code()
        && told.protocol == opening.protocol
}

/// That an order is another consumer's than is told, or nobody's by the proven records.
fn other_consumer(order: &OrderId, consumer: &PartyId, logged: &Logged) -> Option<String> {
    let mut of_order = logged.orders.iter().filter(|((found, _), _)| found == order).map(|(_, known)| &known.consumer);
    match of_order.next() {
        Some(known) if known == consumer => None,
        Some(_) => Some(format!("{order} is of another consumer")),
        None => Some(format!("no proven record says whose {order} is")),
    }
}
