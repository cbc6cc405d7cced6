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
//! More receipts and windows than one bundle holds make several ([`parts`]).
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
use std::sync::Arc;

use lingqu_domain::access::Actor;
use lingqu_domain::id::OrderId;
use lingqu_domain::order::Order;
use lingqu_domain::state::{EntityKind, State};
use lingqu_report::ReportFont;
use lingqu_store::journal::{READ_LIMIT_MAX, Record, committed_bytes};
use lingqu_store::log::LogReader;
use lingqu_store::receipt::{Receipt, ReceiptLog};
use lingqu_transparency::{
    EVIDENCE_ITEMS_MAX, EvidenceBuilder, EvidenceRecord, EvidenceTrust, NoteVerifier, RecordKind, TransparencyError,
};

use crate::app::{App, recorded};
use crate::certificate::certificate_text;
use crate::error::AppError;
use crate::log::CheckpointView;
use parts::{PART_ITEM, PARTS_MAX, Part, Room, WindowRecords, windows_in_order};
use settled::InPart;

pub use check::{
    CosignedReport, EvidenceReport, PartReport, SettledReport, TwinLogReport, verify_evidence, verify_evidence_files,
    verify_evidence_with,
};
pub use parts::{EvidenceParts, part_number, part_number_of};
pub(crate) use report::made_at;
pub use report::{REPORT_ITEM, evidence_report};

/// Most records of one bundle.
const RECORDS_MAX: usize = 50_000;
/// Most records of an order's metering windows in all parts of its evidence: of a window each quarter of an hour for five years they
/// are a third of that. All are in memory while the parts are made.
const WINDOW_RECORDS_MAX: usize = 1_000_000;
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
    /// What settlements say of the order whose records are not in the bundle.
    settled: Vec<InPart>,
    /// What was decided apart from the order's metering windows, in the order of positions.
    records: Vec<Record>,
    /// The order's metering windows, in the order of receipts.
    windows: Vec<WindowRecords>,
    /// What all that comes to, as whoever verifies the bundle will fold it: making evidence takes long, and the journal goes on.
    state: State,
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
    pub async fn export_evidence(self: &Arc<Self>, order: &OrderId) -> Result<Vec<u8>, AppError> {
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
    pub async fn evidence_of(self: &Arc<Self>, order: &OrderId, options: EvidenceOptions) -> Result<Vec<u8>, AppError> {
        let frame = self.evidence_frame(order, &options, RECORDS_MAX).await?;
        let receipts_max = RECORDS_MAX.saturating_sub(frame.decided(None).len());
        if receipts_max == 0 {
            return Err(too_many());
        }
        let log = self.receipts_now().await?;
        // Receipts written since the checkpoint are for the next bundle.
        let committed = log.committed_under(frame.checkpoint.size).await?;
        let room = Room { receipts: receipts_max, records: receipts_max, parts: 1, windows: &[] };
        let plan = self.plan_receipts(&log, order, committed, room).await?;
        let receipts = plan.receipts(&log, order, committed).take(receipts_max as u64).await?;
        self.bundle_of(order, &frame, (&log, receipts), None, &options).await
    }

    /// The same in as many parts as it takes, with at most so many receipts each; `put` gets each part's number, how many there
    /// are and the bundle. One part is a whole bundle. Answers how many there are.
    pub async fn evidence_in_parts(
        self: &Arc<Self>,
        order: &OrderId,
        options: &EvidenceOptions,
        receipts_max: usize,
        put: &mut (dyn FnMut(usize, usize, Vec<u8>) -> Result<(), AppError> + Send),
    ) -> Result<usize, AppError> {
        let frame = self.evidence_frame(order, options, WINDOW_RECORDS_MAX).await?;
        let log = self.receipts_now().await?;
        let committed = log.committed_under(frame.checkpoint.size).await?;
        let records = frame.records_room();
        if records == 0 {
            return Err(too_much_decided());
        }
        let room = Room { receipts: receipts_max.max(1), records, parts: PARTS_MAX, windows: &frame.windows };
        let plan = self.plan_receipts(&log, order, committed, room).await?;
        let mut receipts = plan.receipts(&log, order, committed);
        let of = plan.parts.len().max(1);
        let mut part = (of > 1).then(|| Part::first_of(plan.parts.clone(), &frame.windows));
        for number in 1..=of {
            let count = plan.parts.get(number - 1).map_or(0, |part| part.count);
            if let Some(part) = &mut part {
                part.number = number as u64;
            }
            let taken = receipts.take(count).await?;
            let bundle = self.bundle_of(order, &frame, (&log, taken), part.as_ref(), options).await?;
            put(number, of, bundle)?;
        }
        Ok(of)
    }

    /// What was decided about an order, under the newest heads of the log, with at most so many records of its windows.
    async fn evidence_frame(
        self: &Arc<Self>,
        order: &OrderId,
        options: &EvidenceOptions,
        window_records_max: usize,
    ) -> Result<Frame, AppError> {
        // First what was decided, then the log's head, which holds all of that. Publishing is not broken off when whoever asked
        // goes away: what it writes would go on by itself, beside the next publisher.
        self.catch_up().await?;
        let app = Arc::clone(self);
        let published = tokio::spawn(async move { app.published_head().await }).await;
        let checkpoint = published.map_err(|error| AppError::Fault(format!("publishing ended early: {error}")))??;
        // Another process may have decided something meanwhile that this head holds.
        self.catch_up().await?;
        let streams = self.read(|state| streams::of_order(state, order))?;
        let (of_windows, streams): (BTreeSet<String>, BTreeSet<String>) =
            streams.into_iter().partition(|stream| EntityKind::of(stream) == Some(EntityKind::Meter));
        let consents = self.read(|state| streams::consents_of(state, order, options.has_consents))?;
        let settled = self.read(|state| streams::settlements_of(state, order, options.has_whole_settlements));
        let whole = settled.whole.iter().map(ToString::to_string);
        let mut all: BTreeSet<String> = streams.iter().cloned().chain(consents).chain(whole).collect();
        let is_in_parts = window_records_max > RECORDS_MAX;
        let too_many_decided = || if is_in_parts { too_much_decided() } else { too_many() };
        let too_many_windows = || if is_in_parts { windows_too_many() } else { too_many() };
        let mut records = self.journal_records(&all, RECORDS_MAX).await?.ok_or_else(too_many_decided)?;
        let mut window_records =
            self.journal_records(&of_windows, window_records_max).await?.ok_or_else(too_many_windows)?;
        let mut actors = actors_of(&records);
        actors.extend(actors_of(&window_records));
        self.read(|state| streams::add_parties_of(state, &mut actors));
        let of_actors = self.journal_records(&actors.difference(&all).cloned().collect(), RECORDS_MAX).await?;
        records.extend(of_actors.ok_or_else(too_many_decided)?);
        all.extend(actors);
        records.sort_by_key(|record| record.position);
        // Decisions taken since the checkpoint are for the next bundle.
        records.retain(|record| record.log_entry < checkpoint.size);
        window_records.retain(|record| record.log_entry < checkpoint.size);
        if records.len() >= RECORDS_MAX {
            return Err(too_many_decided());
        }
        let mut state = State::default();
        let mut decided: Vec<&Record> = records.iter().chain(&window_records).collect();
        decided.sort_by_key(|record| record.position);
        for record in decided {
            state.apply_selected(&recorded(record)?)?;
        }
        let windows = windows_in_order(&state, order, window_records);
        let settled = self.settled_in_part(&settled.in_part, order, checkpoint.size).await?;
        Ok(Frame { checkpoint, streams, settled, records, windows, state })
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
        for record in frame.decided(part) {
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
        provers.add_settled(&mut builder, &frame.settled).await?;
        for (name, text) in self.documents(order, frame)? {
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

    /// All records of some streams; none where they are more than so many.
    async fn journal_records(
        &self,
        streams: &BTreeSet<String>,
        records_max: usize,
    ) -> Result<Option<Vec<Record>>, AppError> {
        let mut records = Vec::new();
        for stream in streams {
            let mut version = 0;
            loop {
                let page = self.store.read_stream(stream, version, READ_LIMIT_MAX).await?;
                let Some(last) = page.last() else { break };
                version = last.stream_version;
                let is_all = page.len() < READ_LIMIT_MAX as usize;
                records.extend(page);
                if records.len() > records_max {
                    return Ok(None);
                }
                if is_all {
                    break;
                }
            }
        }
        Ok(Some(records))
    }

    /// Certificates and contract, for people to read; the signature of the bundle covers them.
    fn documents(&self, order: &OrderId, frame: &Frame) -> Result<Vec<(String, String)>, AppError> {
        let mut documents = Vec::new();
        let signer = self.log_signer()?;
        for view in certificates_of(&frame.state, &frame.streams) {
            let name = format!("{CERTIFICATES_PREFIX}{}.note", view.0.to_lowercase());
            documents.push((name, certificate_text(&view.1, &signer)?));
        }
        if let Some(order) = frame.state.orders.get(order) {
            documents.push((CONTRACT_ITEM.to_owned(), contract_of(&order.value).to_string()));
        }
        Ok(documents)
    }
}

impl Frame {
    /// What a bundle has of what was decided, in the order of positions: all of it, but of the windows in a part those that begin in
    /// it.
    fn decided(&self, part: Option<&Part>) -> Vec<&Record> {
        let begins_in_it =
            |window: &&WindowRecords| part.is_none_or(|part| part.begins().contains(&window.first_position));
        let of_windows = self.windows.iter().filter(begins_in_it).flat_map(|window| &window.records);
        let mut records: Vec<&Record> = self.records.iter().chain(of_windows).collect();
        records.sort_by_key(|record| record.position);
        records
    }

    /// How many receipts and records of windows there is room for beside what else was decided: several records of one command
    /// share an entry and its proofs.
    fn records_room(&self) -> usize {
        let settled = self.settled.iter().map(|settled| settled.log_entry);
        let entries: BTreeSet<u64> = self.records.iter().map(|record| record.log_entry).chain(settled).collect();
        let taken = self.records.len() + entries.len() * (RECORD_ITEMS - 1);
        (EVIDENCE_ITEMS_MAX - OTHER_ITEMS_MAX).saturating_sub(taken) / RECORD_ITEMS
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

fn too_many_parts(parts_max: usize) -> AppError {
    AppError::Invalid(format!(
        "the evidence would have more than {parts_max} parts; ask for more receipts in each part (`--part-receipts`)"
    ))
}

fn too_much_decided() -> AppError {
    AppError::Invalid(
        "what was decided about this order is more than a bundle holds; leave the consents out (`--no-consents`)"
            .to_owned(),
    )
}

fn windows_too_many() -> AppError {
    AppError::Invalid(format!(
        "the order's metering windows have more than {WINDOW_RECORDS_MAX} records, which is more than evidence holds; have windows \
         closed less often (`meter_minutes`)"
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
