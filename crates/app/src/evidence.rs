//! Evidence of an order: certificates, chain of authorisations, contract and receipts in one file that proves itself.
//!
//! A bundle holds every journal record of every stream that the order's grant was computed from, and every receipt of the
//! order, each with the proof that the log commits to it. Verification needs no node: the records are folded again, so the
//! chain of rights is not only signed but holds, and each receipt names an order, a product and snapshots of that chain.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::decide::Reader;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{ReceiptBody, ReceiptRecord};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::registration::Registrable;
use lingqu_domain::state::State;
use lingqu_store::journal::{READ_LIMIT_MAX, Record, committed_bytes};
use lingqu_store::receipt::READ_LIMIT_MAX as RECEIPTS_AT_ONCE;
use lingqu_transparency::{EvidenceBuilder, EvidenceRecord, NoteVerifier, RecordKind};
use serde::Serialize;

use crate::app::{App, recorded};
use crate::certificate::certificate_text;
use crate::error::AppError;
use crate::log::CheckpointView;

/// Most records of one bundle.
const RECORDS_MAX: usize = 50_000;

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
    /// Links of the chain of rights, from resource to order.
    pub links: Vec<String>,
    /// REAL or SYNTHETIC.
    pub nature: Option<String>,
    /// What is wrong: where, and what.
    pub findings: Vec<(String, String)>,
}

impl App {
    /// Writes the evidence of an order.
    pub async fn export_evidence(&self, order: &OrderId) -> Result<Vec<u8>, AppError> {
        let checkpoint = self.published_head().await?;
        let created_at = self.clock.now().to_string();
        let origin = self.log_origin()?;
        let mut builder = EvidenceBuilder::new(order.as_str(), &created_at, &origin);
        let signer = self.log_signer()?;
        builder.checkpoint(&checkpoint.note).map_err(bundle_fault)?;
        builder.vkey(signer.verifier()).map_err(bundle_fault)?;
        let streams = self.read(|state| streams_of(state, order))?;
        let mut records = self.journal_records(&streams).await?;
        // Decisions taken since the checkpoint are for the next bundle.
        records.retain(|record| record.log_entry < checkpoint.size);
        for record in &records {
            let evidence = EvidenceRecord {
                kind: RecordKind::Journal,
                position: record.position,
                salt: record.salt,
                entry_index: record.log_entry,
                bytes: committed_bytes(record),
            };
            self.add_record(&mut builder, &evidence, &checkpoint.note).await?;
        }
        self.add_receipts(&mut builder, order, records.len(), &checkpoint).await?;
        for (name, text) in self.documents(order, &streams)? {
            builder.item(&name, text.as_bytes()).map_err(bundle_fault)?;
        }
        builder.build(&signer).map_err(bundle_fault)
    }

    async fn journal_records(&self, streams: &BTreeSet<String>) -> Result<Vec<Record>, AppError> {
        let mut records = Vec::new();
        for stream in streams {
            let mut version = 0;
            loop {
                let page = self.store.read_stream(stream, version, READ_LIMIT_MAX).await?;
                let Some(last) = page.last() else { break };
                version = last.stream_version;
                records.extend(page);
                if records.len() > RECORDS_MAX {
                    return Err(AppError::Invalid(format!("the evidence would have more than {RECORDS_MAX} records")));
                }
            }
        }
        records.sort_by_key(|record| record.position);
        Ok(records)
    }

    async fn add_receipts(
        &self,
        builder: &mut EvidenceBuilder,
        order: &OrderId,
        records: usize,
        checkpoint: &CheckpointView,
    ) -> Result<(), AppError> {
        let mut after = 0;
        let mut left = RECORDS_MAX.saturating_sub(records);
        loop {
            let positions = self.receipts.positions_of_order(order.as_str(), after, RECEIPTS_AT_ONCE).await?;
            let Some(last) = positions.last() else { return Ok(()) };
            after = *last;
            left = left
                .checked_sub(positions.len())
                .ok_or_else(|| AppError::Invalid(format!("the evidence would have more than {RECORDS_MAX} records")))?;
            for position in positions {
                let receipt = self.receipts.read(position).await?;
                let commit = self.receipts.commit_of(position).await?;
                // Receipts written since the checkpoint are for the next bundle.
                let (Some(receipt), Some(commit)) = (receipt, commit) else { return Ok(()) };
                if commit.log_entry >= checkpoint.size {
                    return Ok(());
                }
                let evidence = EvidenceRecord {
                    kind: RecordKind::Receipt,
                    position,
                    salt: receipt.salt,
                    entry_index: commit.log_entry,
                    bytes: receipt.receipt.record,
                };
                self.add_record(builder, &evidence, &checkpoint.note).await?;
            }
        }
    }

    async fn add_record(
        &self,
        builder: &mut EvidenceBuilder,
        record: &EvidenceRecord,
        checkpoint: &str,
    ) -> Result<(), AppError> {
        if !builder.has_entry(record.entry_index) {
            let (entry, proof) = self.log_reader()?.prove_under(record.entry_index, checkpoint).await?;
            builder.entry(&entry, &proof).map_err(bundle_fault)?;
        }
        builder.record(record).map_err(bundle_fault)
    }

    /// Certificates and contract, for people to read; the signature of the bundle covers them.
    fn documents(&self, order: &OrderId, streams: &BTreeSet<String>) -> Result<Vec<(String, String)>, AppError> {
        let mut documents = Vec::new();
        let signer = self.log_signer()?;
        for view in self.read(|state| certificates_of(state, streams)) {
            documents
                .push((format!("certificates/{}.note", view.0.to_lowercase()), certificate_text(&view.1, &signer)?));
        }
        let contract = self.read(|state| {
            state.orders.get(order).map(|order| {
                serde_json::json!({
                    "order": order.value.details,
                    "consumer": order.value.consumer,
                    "operator": order.value.operator,
                    "contract": order.value.contract,
                })
            })
        });
        if let Some(contract) = contract {
            documents.push(("contract.json".to_owned(), contract.to_string()));
        }
        Ok(documents)
    }
}

fn bundle_fault(error: lingqu_transparency::TransparencyError) -> AppError {
    AppError::Fault(format!("the evidence can't be written: {error}"))
}

/// Every stream that an order's rights were computed from, and the registrations and rights that go with them.
fn streams_of(state: &State, order: &OrderId) -> Result<BTreeSet<String>, Refusal> {
    let mut reader = Reader::new(state, jiff::Timestamp::MIN);
    let order = reader.order(order)?;
    let product = reader.product(&order.details.product)?;
    let mut parties = BTreeSet::from([order.consumer.clone(), order.operator.clone()]);
    let mut registered = BTreeSet::from([product.id.to_string()]);
    for (resource_id, permit_id) in &product.details.inputs {
        let resource = reader.resource(resource_id)?;
        registered.insert(resource_id.to_string());
        parties.insert(resource.provider.clone());
        let permit = reader.permit(permit_id)?;
        parties.insert(permit.details.competent.clone());
        let mandate = reader.mandate(&permit.details.mandate)?;
        parties.insert(mandate.implementer.clone());
        let plan = reader.plan(&mandate.details.plan)?;
        for item in plan.details.items.values() {
            reader.supply(&item.supply)?;
        }
    }
    for registration in state.registrations.values().map(|entity| &entity.value) {
        if registered.contains(registration.object.as_str()) {
            reader.registration(&registration.id)?;
            parties.extend(registration.registrar.clone());
        }
    }
    for right in state.rights.values().map(|entity| &entity.value) {
        if registered.contains(&right.object) {
            reader.right(&right.id)?;
        }
    }
    for party in &parties {
        reader.party(party)?;
    }
    reader.node_if_initialised();
    Ok(reader.into_reads().into_keys().collect())
}

/// Certified registrations among some streams, by certificate code.
fn certificates_of(
    state: &State,
    streams: &BTreeSet<String>,
) -> BTreeMap<String, lingqu_domain::registration::Registration> {
    let mut found = BTreeMap::new();
    for registration in state.registrations.values().map(|entity| &entity.value) {
        if let lingqu_domain::registration::RegistrationStage::Certified(certificate) = &registration.stage
            && streams.contains(registration.id.as_str())
        {
            found.insert(certificate.code.clone(), registration.clone());
        }
    }
    found
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
    for record in receipts {
        match serde_json::from_slice::<ReceiptRecord>(&record.bytes) {
            Ok(receipt) => {
                check_receipt(report, &state, &order_id, &receipt, record.position);
                report.receipt_records += 1;
            }
            Err(error) => report.findings.push((format!("receipt record {}", record.position), error.to_string())),
        }
    }
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
