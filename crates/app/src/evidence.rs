//! Evidence of an order: certificates, chain of authorisations, contract, receipts, consents and money in one file that
//! proves itself.
//!
//! A bundle holds every journal record of every stream that the order's grant was computed from, of who acted in them, of
//! the order's metering windows, settlements and (where asked for) consents, and every receipt of the order, each with the
//! proof that the log, and its twin, commits to it. Verification needs no node: the records are folded again, so the chain
//! of rights is not only signed but holds; each receipt names an order, a product and snapshots of that chain; each window
//! is recounted from the receipts, so one that was left out is missed; each fee is computed again from the windows and the
//! contract's price.
//!
//! More receipts than one bundle holds make several ([`parts`]).
//!
//! A settlement tells what others used as well. Where it does, its record stays with the node and the bundle says what it
//! says of this order, and which entry of the log commits to the whole ([`settled`]).

mod check;
mod gather;
mod in_force;
mod parts;
mod report;
mod settled;
mod streams;
pub(crate) mod words;

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Actor;
use lingqu_domain::id::OrderId;
use lingqu_domain::order::Order;
use lingqu_domain::state::State;
use lingqu_report::ReportFont;
use lingqu_store::journal::{READ_LIMIT_MAX, Record, committed_bytes};
use lingqu_store::log::LogReader;
use lingqu_store::receipt::{Receipt, ReceiptLog};
use lingqu_transparency::{
    EVIDENCE_ITEMS_MAX, EvidenceBuilder, EvidenceRecord, EvidenceTrust, NoteVerifier, RecordKind, TransparencyError,
};

use crate::app::App;
use crate::certificate::certificate_text;
use crate::error::AppError;
use crate::log::CheckpointView;
use parts::{PART_ITEM, PARTS_MAX, Part};
use streams::Settlements;

pub use check::{
    CosignedReport, EvidenceReport, PartReport, SettledReport, TwinLogReport, verify_evidence, verify_evidence_files,
    verify_evidence_with,
};
pub use parts::{EvidenceParts, part_number, part_number_of};
pub(crate) use report::made_at;
pub use report::{REPORT_ITEM, evidence_report};

/// Most records of one bundle.
const RECORDS_MAX: usize = 50_000;
/// Receipts of one part of evidence in parts, when nothing else is said.
pub const PART_RECEIPTS: usize = 20_000;
/// Items that a record may need: itself, its entry, and the entry's proofs in both logs.
const RECORD_ITEMS: usize = 4;
/// Items that no record needs: keys, checkpoints, certificates, what a caller adds.
const OTHER_ITEMS_MAX: usize = 4_000;

/// Items that a caller adds stand below this name.
const EXTRA_PREFIX: &str = "trace/";

/// The item that shows the contract.
const CONTRACT_ITEM: &str = "contract.json";

/// Certificates stand below this name.
const CERTIFICATES_PREFIX: &str = "certificates/";

/// How to check the files without our program.
const README: &str = include_str!("evidence/readme.txt");

/// What a bundle holds beyond what every bundle does. The default is what a party of the order may see.
#[derive(Clone, Debug, Default)]
pub struct EvidenceOptions {
    /// Bytes of a font with Chinese characters: the bundle then has a report for people.
    pub report_font: Option<Vec<u8>>,
    /// Whether the records of consents are in it. They name subjects by ids of this node, and when each consented.
    pub has_consents: bool,
    /// Whether settlements are in it whole, though they tell what others used.
    pub has_whole_settlements: bool,
    /// Further items; their names begin with `trace/`.
    pub extra: Vec<(String, Vec<u8>)>,
}

/// What every part of an order's evidence has, and how its receipts are found.
struct Frame {
    checkpoint: CheckpointView,
    streams: BTreeSet<String>,
    settled: Settlements,
    /// What was decided, in the order of positions.
    records: Vec<Record>,
}

/// What proves entries of the log, and of its twin, under the checkpoints of one bundle.
pub(crate) struct Provers<'a> {
    pub(crate) checkpoint: &'a CheckpointView,
    pub(crate) log: LogReader,
    pub(crate) twin: Option<LogReader>,
}

impl App {
    /// The evidence of an order as a party of it may see it. Error: its receipts do not come to what was metered; it would
    /// be too large.
    pub async fn export_evidence(&self, order: &OrderId) -> Result<Vec<u8>, AppError> {
        self.evidence_of(order, EvidenceOptions::default()).await
    }

    /// A bundle about something, with the log's heads under which everything in it is proven, the keys that check them, and
    /// what proves its entries.
    pub(crate) fn begin_bundle<'a>(
        &self,
        about: &str,
        checkpoint: &'a CheckpointView,
    ) -> Result<(EvidenceBuilder, Provers<'a>), AppError> {
        let mut builder = EvidenceBuilder::new(about, &self.now().to_string(), &self.log_origin()?);
        builder.checkpoint(&checkpoint.note).map_err(bundle_fault)?;
        builder.vkey(self.log_signer()?.verifier()).map_err(bundle_fault)?;
        if let Some(twin) = &checkpoint.twin {
            let key: NoteVerifier = twin.vkey.parse().map_err(bundle_fault)?;
            builder.twin(&twin.note, &key).map_err(bundle_fault)?;
        }
        for witness in self.witness_keys() {
            builder.witness(&witness).map_err(bundle_fault)?;
        }
        let twin = if checkpoint.twin.is_some() { self.twin_reader()? } else { None };
        Ok((builder, Provers { checkpoint, log: self.log_reader()?, twin }))
    }

    /// The evidence of an order with what the options ask for, in one bundle. Errors: those of [`App::export_evidence`]; a font that
    /// can't be read; an item outside of `trace/`.
    pub async fn evidence_of(&self, order: &OrderId, options: EvidenceOptions) -> Result<Vec<u8>, AppError> {
        let frame = self.evidence_frame(order, &options).await?;
        let log = self.receipts_now().await?;
        // Receipts written since the checkpoint are for the next bundle.
        let committed = log.committed_under(frame.checkpoint.size).await?;
        let receipts_max = RECORDS_MAX - frame.records.len();
        let plan = self.plan_receipts(&log, order, committed, (receipts_max, 1)).await?;
        let receipts = plan.receipts(&log, order, committed).take(receipts_max as u64).await?;
        self.bundle_of(order, &frame, (&log, receipts), None, &options).await
    }

    /// The same in as many parts as it takes, with at most so many receipts each; `put` gets each part's number, how many there
    /// are and the bundle. One part is a whole bundle. Answers how many there are.
    pub async fn evidence_in_parts(
        &self,
        order: &OrderId,
        options: &EvidenceOptions,
        receipts_max: usize,
        put: &mut (dyn FnMut(usize, usize, Vec<u8>) -> Result<(), AppError> + Send),
    ) -> Result<usize, AppError> {
        let frame = self.evidence_frame(order, options).await?;
        let log = self.receipts_now().await?;
        let committed = log.committed_under(frame.checkpoint.size).await?;
        let room = ((EVIDENCE_ITEMS_MAX - OTHER_ITEMS_MAX) / RECORD_ITEMS).saturating_sub(frame.records.len());
        if room == 0 {
            return Err(AppError::Invalid(
                "what was decided about this order is more than a bundle holds; leave the consents out (`--no-consents`)"
                    .to_owned(),
            ));
        }
        let plan = self.plan_receipts(&log, order, committed, (receipts_max.clamp(1, room), PARTS_MAX)).await?;
        let mut receipts = plan.receipts(&log, order, committed);
        let of = plan.parts.len().max(1);
        for number in 1..=of {
            let count = plan.parts.get(number - 1).map_or(0, |part| part.count);
            let part = (of > 1).then(|| Part { number: number as u64, parts: plan.parts.clone() });
            let taken = receipts.take(count).await?;
            let bundle = self.bundle_of(order, &frame, (&log, taken), part.as_ref(), options).await?;
            put(number, of, bundle)?;
        }
        Ok(of)
    }

    /// What was decided about an order, under the newest heads of the log.
    async fn evidence_frame(&self, order: &OrderId, options: &EvidenceOptions) -> Result<Frame, AppError> {
        // First what was decided, then the log's head, which holds all of that.
        self.catch_up().await?;
        let checkpoint = self.published_head().await?;
        let streams = self.read(|state| streams::of_order(state, order))?;
        let consents = self.read(|state| streams::consents_of(state, order, options.has_consents))?;
        let settled = self.read(|state| streams::settlements_of(state, order, options.has_whole_settlements));
        let whole = settled.whole.iter().map(ToString::to_string);
        let mut all: BTreeSet<String> = streams.iter().cloned().chain(consents).chain(whole).collect();
        let mut records = self.journal_records(&all).await?;
        let mut actors = actors_of(&records);
        self.read(|state| streams::add_parties_of(state, &mut actors));
        records.extend(self.journal_records(&actors.difference(&all).cloned().collect()).await?);
        all.extend(actors);
        records.sort_by_key(|record| record.position);
        // Decisions taken since the checkpoint are for the next bundle.
        records.retain(|record| record.log_entry < checkpoint.size);
        if records.len() >= RECORDS_MAX {
            return Err(too_many());
        }
        Ok(Frame { checkpoint, streams, settled, records })
    }

    /// One bundle: what was decided, and some receipts with the log that they are from.
    async fn bundle_of(
        &self,
        order: &OrderId,
        frame: &Frame,
        (log, receipts): (&ReceiptLog, Vec<Receipt>),
        part: Option<&Part>,
        options: &EvidenceOptions,
    ) -> Result<Vec<u8>, AppError> {
        let font = options.report_font.clone().map(ReportFont::new).transpose().map_err(report_fault)?;
        let signer = self.log_signer()?;
        let (mut builder, provers) = self.begin_bundle(order.as_str(), &frame.checkpoint)?;
        for record in &frame.records {
            let evidence = EvidenceRecord {
                kind: RecordKind::Journal,
                position: record.position,
                salt: record.salt,
                entry_index: record.log_entry,
                bytes: committed_bytes(record),
            };
            provers.add_record(&mut builder, &evidence).await?;
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
            provers.add_record(&mut builder, &evidence).await?;
        }
        self.add_settled(&mut builder, &frame.settled.in_part, order, &provers).await?;
        for (name, text) in self.documents(order, &frame.streams)? {
            builder.item(&name, text.as_bytes()).map_err(bundle_fault)?;
        }
        builder.item("readme.txt", README.as_bytes()).map_err(bundle_fault)?;
        if let Some(part) = part {
            let text = serde_json::to_vec(part).map_err(|error| AppError::Fault(error.to_string()))?;
            builder.item(PART_ITEM, &text).map_err(bundle_fault)?;
        }
        for (name, bytes) in &options.extra {
            if !name.starts_with(EXTRA_PREFIX) {
                return Err(AppError::Invalid(format!("the item {name} must be named {EXTRA_PREFIX}…")));
            }
            builder.item(name, bytes).map_err(bundle_fault)?;
        }
        if let Some(font) = font {
            // The report says what a reader of the bundle finds, so it is made as that reader would make it.
            let bundle = builder.build(&signer).map_err(bundle_fault)?;
            let pdf = report::write(&bundle, &EvidenceTrust::default(), &font).map_err(report_fault)?;
            builder.item(REPORT_ITEM, &pdf).map_err(bundle_fault)?;
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
        Ok(records)
    }

    /// Certificates and contract, for people to read; the signature of the bundle covers them.
    fn documents(&self, order: &OrderId, streams: &BTreeSet<String>) -> Result<Vec<(String, String)>, AppError> {
        let mut documents = Vec::new();
        let signer = self.log_signer()?;
        for view in self.read(|state| certificates_of(state, streams)) {
            let name = format!("{CERTIFICATES_PREFIX}{}.note", view.0.to_lowercase());
            documents.push((name, certificate_text(&view.1, &signer)?));
        }
        let contract = self.read(|state| state.orders.get(order).map(|order| contract_of(&order.value)));
        if let Some(contract) = contract {
            documents.push((CONTRACT_ITEM.to_owned(), contract.to_string()));
        }
        Ok(documents)
    }
}

impl Provers<'_> {
    pub(crate) async fn add_record(
        &self,
        builder: &mut EvidenceBuilder,
        record: &EvidenceRecord,
    ) -> Result<(), AppError> {
        self.add_entry(builder, record.entry_index).await?;
        builder.record(record).map_err(bundle_fault)
    }

    /// Adds an entry with its proofs, unless it is there.
    async fn add_entry(&self, builder: &mut EvidenceBuilder, index: u64) -> Result<(), AppError> {
        if builder.has_entry(index) {
            return Ok(());
        }
        let (entry, proof) = self.log.prove_under(index, &self.checkpoint.note).await?;
        builder.entry(&entry, &proof).map_err(bundle_fault)?;
        if let (Some(twin), Some(view)) = (&self.twin, &self.checkpoint.twin) {
            let (_, proof) = twin.prove_under(index, &view.note).await?;
            builder.twin_proof(&proof).map_err(bundle_fault)?;
        }
        Ok(())
    }
}

/// The streams of the users who acted in some records: they tell for which party and in which post.
fn actors_of(records: &[Record]) -> BTreeSet<String> {
    let actors = records.iter().filter_map(|record| record.actor.parse::<Actor>().ok());
    actors.filter_map(|actor| actor.user().map(ToString::to_string)).collect()
}

fn too_many() -> AppError {
    AppError::Invalid(format!(
        "the evidence would have more than {RECORDS_MAX} records; whoever runs the node exports it in parts by `lingqu audit export`"
    ))
}

fn bundle_fault(error: TransparencyError) -> AppError {
    match error {
        TransparencyError::TooLarge { what, limit } => {
            AppError::Invalid(format!("the evidence would be too large: {what} would be more than {limit}"))
        }
        other => AppError::Fault(format!("the evidence can't be written: {other}")),
    }
}

pub(crate) fn report_fault(error: lingqu_report::ReportError) -> AppError {
    AppError::Invalid(error.to_string())
}

/// The contract as people read it.
fn contract_of(order: &Order) -> serde_json::Value {
    serde_json::json!({
        "order": order.details,
        "consumer": order.consumer,
        "operator": order.operator,
        "contract": order.contract,
    })
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
