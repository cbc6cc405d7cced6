//! Verification of evidence: the records are folded again, the receipts recounted, and each held against the other.

use std::collections::BTreeSet;
use std::io::Read;

use jiff::Timestamp;
use lingqu_crypto::Sha256Hasher;
use lingqu_domain::answer::{AnswerDigest, AnswerForm, AnswerSalt};
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::grant::Grant;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_domain::registration::Registrable;
use lingqu_domain::state::State;
use lingqu_store::journal::Record;
use lingqu_transparency::{Evidence, EvidenceRecord, EvidenceTrust, NoteVerifier, RecordKind, SignedNote};
use serde::Serialize;

use super::parts::{PART_ITEM, Part};
use super::report::REPORT_ITEM;
use super::settled::{self, Settled};
use super::{CERTIFICATES_PREFIX, CONTRACT_ITEM, contract_of, in_force};
use crate::app::recorded;
use crate::certificate::certificate_body;
use crate::recount::{Deliveries, Windows, windows_of};

/// Bytes of an answer that are read at a time.
const PIECE_BYTES: usize = 256 * 1024;

/// What the verification of a bundle found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EvidenceReport {
    /// True when nothing is wrong.
    pub verified: bool,
    /// The order.
    pub order: Option<String>,
    /// The node's log.
    pub node: Option<String>,
    /// Which part of the order's evidence the bundle is; none where it is all of it, or where all parts were verified together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<PartReport>,
    /// How many parts were verified together; 0 of a bundle that is whole.
    #[serde(skip_serializing_if = "is_zero")]
    pub parts: u64,
    /// When the bundle was made, as it says itself.
    pub created_at: Option<String>,
    /// SHA-256 over the names, lengths and digests of everything in the bundle but the report for people.
    pub contents_digest: Option<String>,
    /// The key that everything was checked with.
    pub key: Option<String>,
    /// Whether the key came from the reader; else the bundle's own key was used.
    pub key_is_trusted: bool,
    /// Size of the log under whose checkpoint the entries are proven.
    pub log_size: u64,
    /// Log entries proven.
    pub log_entries: usize,
    /// The twin log over SM3, where the bundle has it.
    pub twin: Option<TwinLogReport>,
    /// Witnesses that cosigned a checkpoint, as far as their keys are known.
    pub cosigned: Vec<CosignedReport>,
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
    /// Settlements that took windows of the order, each with its fee computed again.
    pub settlements: Vec<SettledReport>,
    /// Consents and batches of consents in the bundle.
    pub consents: usize,
    /// Links of the chain of rights, from resource to order.
    pub links: Vec<String>,
    /// REAL or SYNTHETIC.
    pub nature: Option<String>,
    /// What is wrong: where, and what.
    pub findings: Vec<(String, String)>,
    /// The deliveries whose receipts have a digest of the answer.
    #[serde(skip)]
    pub answers: Vec<(ReceiptId, AnswerDigest)>,
}

impl EvidenceReport {
    /// The delivery whose answer were the bytes of a file, by the salt that came with them; the file is read piece by piece. Of
    /// evidence that does not verify there is none. Error: it can't be read.
    pub fn receipt_of_answer(&self, salt: &AnswerSalt, file: &mut dyn Read) -> std::io::Result<Option<&ReceiptId>> {
        let (mut hasher, mut piece) = (Sha256Hasher::default(), vec![0; PIECE_BYTES]);
        loop {
            match file.read(&mut piece)? {
                0 => break,
                count => hasher.update(&piece[..count]),
            }
        }
        let digest = salt.digest(AnswerForm::Bytes, &hasher.finish());
        let found = self.answers.iter().find(|(_, answer)| *answer == digest);
        Ok(found.filter(|_| self.verified).map(|(receipt, _)| receipt))
    }
}

/// Which part of an order's evidence a bundle is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct PartReport {
    /// Its number, from 1.
    pub number: u64,
    /// How many there are.
    pub of: usize,
    /// Whether it has the metering windows that begin among its receipts alone; parts of the first form have all of the order.
    #[serde(skip)]
    pub has_own_windows: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What was found about the twin log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TwinLogReport {
    /// Its key.
    pub key: String,
    /// Whether the key came from the reader.
    pub key_is_trusted: bool,
    /// Its size.
    pub log_size: u64,
    /// Log entries proven in it.
    pub log_entries: usize,
}

/// A witness that cosigned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CosignedReport {
    /// Its key.
    pub key: String,
    /// Whether the key came from the reader.
    pub key_is_trusted: bool,
    /// Whether it cosigned the twin log's checkpoint.
    pub is_of_twin: bool,
    /// When, as it says.
    pub at: String,
}

/// What a settlement charged for the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SettledReport {
    /// The settlement.
    pub settlement: String,
    /// Name of the period.
    pub period: String,
    /// Calls charged.
    pub calls: u64,
    /// Data sets charged.
    pub data_sets: u64,
    /// The fee in yuan.
    pub fee_yuan: String,
    /// Whether the order's purpose is free of charge by the contract.
    pub is_free: bool,
    /// Whether the settlement's record is in the bundle; else its line of this order is.
    pub is_whole: bool,
    /// Whether the implementers confirmed it.
    pub is_confirmed: bool,
}

impl SettledReport {
    pub(super) fn of(settled: &Settled) -> SettledReport {
        SettledReport {
            settlement: settled.settlement.to_string(),
            period: settled.period.clone(),
            calls: settled.calls,
            data_sets: settled.data_sets,
            fee_yuan: settled.fee.to_string(),
            is_free: settled.is_free,
            is_whole: settled.is_whole,
            is_confirmed: settled.is_confirmed,
        }
    }
}

/// What was read of a bundle while it was checked.
pub(super) struct Checked {
    pub(super) report: EvidenceReport,
    pub(super) evidence: Option<Evidence>,
    pub(super) order: Option<OrderId>,
    pub(super) state: State,
    /// The journal's records in their order.
    pub(super) events: Vec<Recorded>,
    /// The receipts in their order, with their positions.
    pub(super) receipts: Vec<(u64, ReceiptRecord)>,
    pub(super) settled: Vec<Settled>,
    /// The grant as of the last record; none where a link is not in force.
    pub(super) grant: Option<Grant>,
}

/// Verifies a bundle offline. With a trusted key the bundle must be of that node.
pub fn verify_evidence(file: &[u8], trusted: Option<&NoteVerifier>) -> EvidenceReport {
    verify_evidence_with(file, &EvidenceTrust { keys: trusted.cloned().into_iter().collect(), policy: None })
}

/// As [`verify_evidence`], with whatever keys and policy the reader brings along.
pub fn verify_evidence_with(file: &[u8], trust: &EvidenceTrust) -> EvidenceReport {
    check(lingqu_transparency::verify_evidence_with(file, trust)).report
}

/// As [`verify_evidence_with`], of a bundle that lies in files; `read` answers the bytes of a path.
pub fn verify_evidence_files(read: &dyn Fn(&str) -> Option<Vec<u8>>, trust: &EvidenceTrust) -> EvidenceReport {
    check(lingqu_transparency::verify_evidence_files(read, trust)).report
}

/// Checks what the records mean, after container and proofs were checked.
pub(super) fn check(checked: lingqu_transparency::Report) -> Checked {
    let twin = checked.twin.as_ref().map(|twin| TwinLogReport {
        key: twin.key.to_string(),
        key_is_trusted: twin.key_is_trusted,
        log_size: twin.checkpoint.size,
        log_entries: twin.entry_count,
    });
    let cosigned = checked.cosigned.iter().map(|cosigned| CosignedReport {
        key: cosigned.key.to_string(),
        key_is_trusted: cosigned.key_is_trusted,
        is_of_twin: cosigned.is_of_twin,
        at: instant(cosigned.at),
    });
    let report = EvidenceReport {
        verified: false,
        order: checked.evidence.as_ref().map(|evidence| evidence.order.clone()),
        node: checked.evidence.as_ref().map(|evidence| evidence.node.clone()),
        part: None,
        parts: 0,
        created_at: checked.evidence.as_ref().map(|evidence| evidence.created_at.clone()),
        contents_digest: checked.evidence.as_ref().map(|evidence| evidence.contents_digest(REPORT_ITEM).to_string()),
        key: checked.key.as_ref().map(ToString::to_string),
        key_is_trusted: checked.key_is_trusted,
        log_size: checked.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size),
        log_entries: checked.entry_count,
        twin,
        cosigned: cosigned.collect(),
        journal_records: 0,
        receipt_records: 0,
        metering_windows: 0,
        metered_until: None,
        receipts_not_yet_metered: 0,
        deliveries_open: 0,
        settlements: Vec::new(),
        consents: 0,
        links: Vec::new(),
        nature: None,
        findings: checked.findings.into_iter().map(|finding| (finding.item, finding.problem)).collect(),
        answers: Vec::new(),
    };
    let mut result = Checked {
        report,
        evidence: None,
        order: None,
        state: State::default(),
        events: Vec::new(),
        receipts: Vec::new(),
        settled: Vec::new(),
        grant: None,
    };
    if let Some(evidence) = checked.evidence {
        match evidence.records() {
            Ok(records) => result.check_meaning(&evidence, &records),
            Err(error) => result.report.findings.push(("record".to_owned(), error.to_string())),
        }
        result.evidence = Some(evidence);
    }
    result.report.verified = result.report.findings.is_empty();
    result
}

/// An instant in seconds as text; what is out of the calendar's range stays a number.
fn instant(seconds: u64) -> String {
    let timestamp = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    timestamp.map_or_else(|| seconds.to_string(), |timestamp| timestamp.to_string())
}

impl Checked {
    /// Folds the journal records again and holds the receipts against what they come to.
    fn check_meaning(&mut self, evidence: &Evidence, records: &[EvidenceRecord]) {
        let report = &mut self.report;
        let (mut journal, mut receipts): (Vec<&EvidenceRecord>, Vec<&EvidenceRecord>) =
            records.iter().partition(|record| record.kind == RecordKind::Journal);
        journal.sort_by_key(|record| record.position);
        receipts.sort_by_key(|record| record.position);
        let mut window_records = Vec::new();
        for record in &journal {
            let item = format!("journal record {}", record.position);
            match read_committed(&record.bytes) {
                Ok(event) if event.position != record.position => {
                    report.findings.push((item, "it names another position".to_owned()));
                }
                Ok(event) => {
                    if let Err(error) = self.state.apply_selected(&event) {
                        report.findings.push((item, error.to_string()));
                        return;
                    }
                    report.journal_records += 1;
                    if matches!(event.event, Event::Meter(_)) {
                        window_records.push(*record);
                    }
                    self.events.push(event);
                }
                Err(problem) => report.findings.push((item, problem)),
            }
        }
        let Some(order_id) = report.order.as_ref().and_then(|order| order.parse::<OrderId>().ok()) else {
            report.findings.push(("manifest line 2".to_owned(), "it names no order".to_owned()));
            return;
        };
        self.grant = check_chain(report, &self.events, &self.state, &order_id);
        let part = Part::of(evidence).unwrap_or_else(|problem| {
            report.findings.push((PART_ITEM.to_owned(), problem));
            None
        });
        report.part = part.as_ref().map(|part| PartReport {
            number: part.number,
            of: part.parts.len(),
            has_own_windows: part.has_own_windows(),
        });
        let windows = windows_of(&self.state).remove(&order_id).unwrap_or_default();
        report.metering_windows = windows.len();
        report.metered_until = metered_until(&self.state, &order_id).map(|at| at.to_string());
        if let Some(part) = &part {
            part.check(&receipts, (&windows, &window_records), &mut |place, problem| {
                report.findings.push((place, problem));
            });
        }
        // Of a part, whose deliveries may begin or end in another, only all together are recounted.
        let windows = part.is_none().then(|| Windows::new(windows));
        self.receipts = check_deliveries(report, &self.state, &order_id, receipts, windows);
        in_force::check(&self.events, &order_id, &self.receipts, &mut |place, problem| {
            report.findings.push((place, problem));
        });
        report.consents = self.state.consents.len() + self.state.consent_batches.len();
        check_documents(report, evidence, &self.state, &order_id);
        let is_partial = part.as_ref().is_some_and(Part::has_own_windows);
        self.settled = settled::check(evidence, &self.state, &order_id, is_partial, &mut |place, problem| {
            report.findings.push((place, problem));
        });
        report.settlements = self.settled.iter().map(SettledReport::of).collect();
        self.order = Some(order_id);
    }
}

/// When the last window of an order was closed.
pub(super) fn metered_until(state: &State, order: &OrderId) -> Option<Timestamp> {
    let own = state.meters.values().map(|meter| &meter.value).filter(|meter| meter.reading.order == *order);
    own.map(|meter| meter.closed_at).max()
}

/// Checks the order's receipts and, where its windows are told, follows its deliveries from record to record and recounts the windows
/// from them.
fn check_deliveries(
    report: &mut EvidenceReport,
    state: &State,
    order_id: &OrderId,
    receipts: Vec<&EvidenceRecord>,
    mut windows: Option<Windows>,
) -> Vec<(u64, ReceiptRecord)> {
    let mut read = Vec::new();
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
        if let ReceiptBody::Closed { totals, .. } | ReceiptBody::Single { totals, .. } = &receipt.body
            && let Some(answer) = &totals.answer
        {
            report.answers.push((receipt.receipt.clone(), answer.clone()));
        }
        if let Some(windows) = &mut windows {
            let (_, problem) = deliveries.follow(&receipt);
            report.findings.extend(problem.map(|problem| (item, problem)));
            windows.add(record.position, &receipt, &mut |place, problem| report.findings.push((place, problem)));
        }
        read.push((record.position, receipt));
    }
    if let Some(mut windows) = windows {
        windows.finish(&mut |place, problem| report.findings.push((place, problem)));
        report.receipts_not_yet_metered = windows.not_metered;
        report.deliveries_open = deliveries.open_count();
    }
    read
}

/// The links from resource to order, those of a kind by id.
fn in_order_of_the_chain(grant: &Grant) -> Vec<String> {
    const KINDS: [&str; 7] = ["res_", "sup_", "pln_", "mdt_", "pmt_", "prd_", "ord_"];
    let place = |link: &String| KINDS.iter().position(|kind| link.starts_with(kind)).unwrap_or(KINDS.len());
    let mut links: Vec<String> = grant.links.keys().cloned().collect();
    links.sort_by_key(place);
    links
}

/// The links of the order's chain. What is suspended or over by now, or not in force any more under the rules of today, is told by
/// the records and is no finding; a chain that was never whole is. A contract whose term has yet to begin is looked at as of then.
fn check_chain(report: &mut EvidenceReport, events: &[Recorded], state: &State, order_id: &OrderId) -> Option<Grant> {
    let Some(order) = state.orders.get(order_id).map(|order| &order.value) else {
        report.findings.push(("chain".to_owned(), format!("no record of {order_id}")));
        return None;
    };
    if order.contract.signatures.len() != 2 {
        report.findings.push(("contract".to_owned(), "it is not signed by both sides".to_owned()));
    }
    let now = state.last_at.unwrap_or(order.details.term.from).max(order.details.term.from);
    let grant = match Grant::of(state, order_id, now) {
        Ok(grant) => {
            report.nature =
                serde_json::to_value(grant.nature).ok().and_then(|nature| nature.as_str().map(str::to_owned));
            report.links = in_order_of_the_chain(&grant);
            Some(grant)
        }
        Err(refusal) => {
            use lingqu_domain::refusal::RefusalCode::{GrantEnded, GrantSuspended};
            let is_told = matches!(refusal.code, GrantEnded | GrantSuspended);
            if !is_told && !in_force::was_ever(events, order_id) {
                report.findings.push(("chain".to_owned(), refusal.en));
            }
            None
        }
    };
    for registration in state.registrations.values().map(|entity| &entity.value) {
        let object = match &registration.object {
            Registrable::Resource(id) => state.resources.contains_key(id),
            Registrable::Product(id) => state.products.contains_key(id),
        };
        if !object {
            report.findings.push(("certificate".to_owned(), format!("{} is of nothing in the chain", registration.id)));
        }
    }
    grant
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

/// Holds the documents that people open, contract and certificates, against what the records come to.
fn check_documents(report: &mut EvidenceReport, evidence: &Evidence, state: &State, order_id: &OrderId) {
    let order = state.orders.get(order_id).map(|order| contract_of(&order.value));
    if let (Some(item), Some(expected)) = (evidence.item(CONTRACT_ITEM), order)
        && serde_json::from_slice::<serde_json::Value>(&item.bytes).ok() != Some(expected)
    {
        report.findings.push((CONTRACT_ITEM.to_owned(), "it is not the contract that the records come to".to_owned()));
    }
    let bodies: Vec<String> =
        state.registrations.values().filter_map(|registration| certificate_body(&registration.value)).collect();
    for item in evidence.items.iter().filter(|item| item.name.starts_with(CERTIFICATES_PREFIX)) {
        let note = std::str::from_utf8(&item.bytes).ok().and_then(|text| SignedNote::parse(text).ok());
        if !note.is_some_and(|note| bodies.iter().any(|body| body == note.text())) {
            let problem = "it is no certificate that the records come to".to_owned();
            report.findings.push((item.name.clone(), problem));
        }
    }
}

/// Reads the committed bytes of a journal record.
fn read_committed(bytes: &[u8]) -> Result<Recorded, String> {
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
