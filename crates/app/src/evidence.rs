//! Evidence of an order: certificates, chain of authorisations, contract and receipts in one file that proves itself.
//!
//! A bundle holds every journal record of every stream that the order's grant was computed from, the order's metering
//! windows, and every receipt of the order, each with the proof that the log commits to it. Verification needs no node:
//! the records are folded again, so the chain of rights is not only signed but holds; each receipt names an order, a
//! product and snapshots of that chain; and each window is recounted from the receipts, so one that was left out is missed.
//!
//! A settlement is no part of it, because its lines tell what others used; the windows name the settlement that took them.

mod check;
mod gather;

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::decide::Reader;
use lingqu_domain::id::OrderId;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::state::State;
use lingqu_store::journal::{READ_LIMIT_MAX, Record, committed_bytes};
use lingqu_transparency::{EvidenceBuilder, EvidenceRecord, RecordKind};

use crate::app::App;
use crate::certificate::certificate_text;
use crate::error::AppError;
use crate::log::CheckpointView;

pub use check::{EvidenceReport, verify_evidence};

/// Most records of one bundle.
const RECORDS_MAX: usize = 50_000;

impl App {
    /// Writes the evidence of an order. Error: its receipts do not come to what was metered; it would be too large.
    pub async fn export_evidence(&self, order: &OrderId) -> Result<Vec<u8>, AppError> {
        // First what was decided, then the log's head, which holds all of that.
        self.catch_up().await?;
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
                    return Err(too_many());
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
        let log = self.receipts_now().await?;
        // Receipts written since the checkpoint are for the next bundle.
        let committed = log.committed_under(checkpoint.size).await?;
        let receipts = self.receipts_of(&log, order, committed).await?;
        if records + receipts.len() > RECORDS_MAX {
            return Err(too_many());
        }
        for receipt in receipts {
            let Some(commit) = log.commit_of(receipt.position).await? else {
                return Err(AppError::Fault(format!("no log entry commits to receipt record {}", receipt.position)));
            };
            let evidence = EvidenceRecord {
                kind: RecordKind::Receipt,
                position: receipt.position,
                salt: receipt.salt,
                entry_index: commit.log_entry,
                bytes: receipt.receipt.record,
            };
            self.add_record(builder, &evidence, &checkpoint.note).await?;
        }
        Ok(())
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

fn too_many() -> AppError {
    AppError::Invalid(format!("the evidence would have more than {RECORDS_MAX} records"))
}

fn bundle_fault(error: lingqu_transparency::TransparencyError) -> AppError {
    AppError::Fault(format!("the evidence can't be written: {error}"))
}

/// Every stream that an order's rights were computed from, the registrations and rights that go with them, and the order's
/// metering windows.
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
    for meter in state.meters.values().map(|entity| &entity.value) {
        if meter.reading.order == order.id {
            reader.meter(&meter.id)?;
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
