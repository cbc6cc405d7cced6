//! Verification of evidence: the records are folded again, the receipts recounted, and each held against the other.

use std::collections::BTreeSet;

use lingqu_domain::grant::Grant;
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_domain::registration::Registrable;
use lingqu_domain::state::State;
use lingqu_store::journal::Record;
use lingqu_transparency::{EvidenceRecord, NoteVerifier, RecordKind};
use serde::Serialize;

use crate::app::recorded;
use crate::recount::{Deliveries, Windows, windows_of};

/// What the verification of a bundle found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    /// True when nothing is wrong.
    pub verified: bool,
    /// The order.
    pub order: Option<String>,
    /// The node's log.
    pub node: Option<String>,
    /// Whether the key came from the reader; else the bundle's own key was used.
    pub key_is_trusted: bool,
    /// Size of the log under whose checkpoint the entries are proven.
    pub log_size: u64,
    /// Journal records proven.
    pub journal_records: usize,
    /// Receipt records proven.
    pub receipt_records: usize,
    /// Closed metering windows that were recounted from the receipts.
    pub metering_windows: usize,
    /// When the last of them was closed.
    pub metered_until: Option<String>,
    /// Deliveries that no window of this file counts yet.
    pub receipts_not_yet_metered: usize,
    /// Deliveries that have begun and not ended.
    pub deliveries_open: usize,
    /// Links of the chain of rights, from resource to order.
    pub links: Vec<String>,
    /// REAL or SYNTHETIC.
    pub nature: Option<String>,
    /// What is wrong: where, and what.
    pub findings: Vec<(String, String)>,
}

/// Verifies a bundle offline. With a trusted key the bundle must be of that node.
pub fn verify_evidence(file: &[u8], trusted: Option<&NoteVerifier>) -> EvidenceReport {
    let checked = lingqu_transparency::verify_evidence(file, trusted);
    let mut report = EvidenceReport {
        verified: false,
        order: checked.evidence.as_ref().map(|evidence| evidence.order.clone()),
        node: checked.evidence.as_ref().map(|evidence| evidence.node.clone()),
        key_is_trusted: checked.key_is_trusted,
        log_size: checked.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size),
        journal_records: 0,
        receipt_records: 0,
        metering_windows: 0,
        metered_until: None,
        receipts_not_yet_metered: 0,
        deliveries_open: 0,
        links: Vec::new(),
        nature: None,
        findings: checked.findings.into_iter().map(|finding| (finding.item, finding.problem)).collect(),
    };
    if let Some(evidence) = &checked.evidence {
        match evidence.records() {
            Ok(records) => check_meaning(&mut report, &records),
            Err(error) => report.findings.push(("record".to_owned(), error.to_string())),
        }
    }
    report.verified = report.findings.is_empty();
    report
}

/// Folds the journal records again and holds the receipts against what they come to.
fn check_meaning(report: &mut EvidenceReport, records: &[EvidenceRecord]) {
    let mut state = State::default();
    let mut receipts = Vec::new();
    let mut journal: Vec<&EvidenceRecord> = Vec::new();
    for record in records {
        match record.kind {
            RecordKind::Journal => journal.push(record),
            RecordKind::Receipt => receipts.push(record),
        }
    }
    journal.sort_by_key(|record| record.position);
    for record in &journal {
        let item = format!("journal record {}", record.position);
        match read_committed(&record.bytes) {
            Ok(event) if event.position != record.position => {
                report.findings.push((item, "it names another position".to_owned()));
            }
            Ok(event) => {
                if let Err(error) = state.apply_selected(&event) {
                    report.findings.push((item, error.to_string()));
                    return;
                }
                report.journal_records += 1;
            }
            Err(problem) => report.findings.push((item, problem)),
        }
    }
    let Some(order_id) = report.order.as_ref().and_then(|order| order.parse::<OrderId>().ok()) else {
        report.findings.push(("manifest line 2".to_owned(), "it names no order".to_owned()));
        return;
    };
    check_chain(report, &state, &order_id);
    check_deliveries(report, &state, &order_id, receipts);
}

/// Follows the order's deliveries through their records and recounts its metering windows from them.
fn check_deliveries(
    report: &mut EvidenceReport,
    state: &State,
    order_id: &OrderId,
    mut receipts: Vec<&EvidenceRecord>,
) {
    receipts.sort_by_key(|record| record.position);
    let of_order = windows_of(state).remove(order_id).unwrap_or_default();
    report.metering_windows = of_order.len();
    let own = state.meters.values().map(|meter| &meter.value).filter(|meter| meter.reading.order == *order_id);
    report.metered_until = own.map(|meter| meter.closed_at).max().map(|at| at.to_string());
    let mut windows = Windows::new(of_order);
    let mut deliveries = Deliveries::default();
    let mut positions = BTreeSet::new();
    for record in receipts {
        let item = format!("receipt record {}", record.position);
        if !positions.insert(record.position) {
            report.findings.push((item, "it stands twice".to_owned()));
            continue;
        }
        let receipt = match serde_json::from_slice::<ReceiptRecord>(&record.bytes) {
            Ok(receipt) => receipt,
            Err(error) => {
                report.findings.push((item, error.to_string()));
                continue;
            }
        };
        report.receipt_records += 1;
        check_receipt(report, state, order_id, &receipt, record.position);
        let (_, problem) = deliveries.follow(&receipt);
        report.findings.extend(problem.map(|problem| (item, problem)));
        windows.add(record.position, &receipt, &mut |place, problem| report.findings.push((place, problem)));
    }
    windows.finish(&mut |place, problem| report.findings.push((place, problem)));
    report.receipts_not_yet_metered = windows.not_metered;
    report.deliveries_open = deliveries.open_count();
}

/// The links of the order's chain. What is suspended or over by now is told by the records and is no finding; a chain that
/// was never whole is.
fn check_chain(report: &mut EvidenceReport, state: &State, order_id: &OrderId) {
    let Some(order) = state.orders.get(order_id).map(|order| &order.value) else {
        report.findings.push(("chain".to_owned(), format!("no record of {order_id}")));
        return;
    };
    if order.contract.signatures.len() != 2 {
        report.findings.push(("contract".to_owned(), "it is not signed by both sides".to_owned()));
    }
    let now = state.last_at.unwrap_or(order.details.term.from);
    match Grant::of(state, order_id, now) {
        Ok(grant) => {
            report.nature =
                serde_json::to_value(grant.nature).ok().and_then(|nature| nature.as_str().map(str::to_owned));
            report.links = grant.links.into_keys().collect();
        }
        Err(refusal) => {
            use lingqu_domain::refusal::RefusalCode::{GrantEnded, GrantSuspended};
            if !matches!(refusal.code, GrantEnded | GrantSuspended) {
                report.findings.push(("chain".to_owned(), refusal.en));
            }
        }
    }
    for registration in state.registrations.values().map(|entity| &entity.value) {
        let object = match &registration.object {
            Registrable::Resource(id) => state.resources.contains_key(id),
            Registrable::Product(id) => state.products.contains_key(id),
        };
        if !object {
            report.findings.push(("certificate".to_owned(), format!("{} is of nothing in the chain", registration.id)));
        }
    }
}

fn check_receipt(
    report: &mut EvidenceReport,
    state: &State,
    order_id: &OrderId,
    receipt: &ReceiptRecord,
    position: u64,
) {
    let (ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. }) = &receipt.body else { return };
    let item = format!("receipt record {position}");
    let Some(order) = state.orders.get(order_id).map(|order| &order.value) else { return };
    if opening.order != *order_id || opening.product != order.details.product || opening.consumer != order.consumer {
        report.findings.push((item, "it is of another order, product or consumer".to_owned()));
    } else if !order.details.modes.contains(&opening.mode) || opening.purpose != order.details.purpose {
        report.findings.push((item, "its mode or purpose is not the contract's".to_owned()));
    }
}

/// Reads the committed bytes of a journal record.
fn read_committed(bytes: &[u8]) -> Result<lingqu_domain::event::Recorded, String> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let text = |value: &serde_json::Value, name: &str| {
        value.get(name).and_then(serde_json::Value::as_str).map(str::to_owned).ok_or(format!("it has no {name}"))
    };
    let number = |value: &serde_json::Value, name: &str| {
        value.get(name).and_then(serde_json::Value::as_u64).ok_or(format!("it has no {name}"))
    };
    let record = Record {
        position: number(&value, "position")?,
        at: text(&value, "at")?,
        command_id: text(&value, "command_id")?,
        actor: text(&value, "actor")?,
        stream: text(&value, "stream")?,
        stream_version: number(&value, "stream_version")?,
        kind: text(&value, "kind")?,
        rulebook_version: text(&value, "rulebook_version")?,
        body: value.get_mut("body").map(serde_json::Value::take).unwrap_or_default().to_string(),
        salt: lingqu_crypto::Salt([0; 16]),
        log_entry: 0,
    };
    recorded(&record).map_err(|error| error.to_string())
}
