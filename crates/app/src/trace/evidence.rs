//! The evidence of a trace: what a third party needs to compute the accusation again, and the proofs that the codes stood in
//! the log. Disclosed are the keys of the accused alone, for this case; no value of any table, and not the key of positions.

use std::collections::BTreeSet;

use lingqu_crypto::sha256;
use lingqu_domain::event::canonical;
use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_fingerprint::{Block, Observation, Source};
use lingqu_store::journal::{READ_LIMIT_MAX, committed_bytes};
use lingqu_transparency::{EvidenceBuilder, EvidenceRecord, RecordKind};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::accusation::Recipient;
use super::report::TraceReport;
use super::{Case, Trace};
use crate::app::App;
use crate::error::AppError;
use crate::evidence::Provers;

/// Most observed positions of one bundle.
const OBSERVATIONS_MAX: usize = 16_000_000;
/// Most journal and receipt records of one bundle.
const RECORDS_MAX: usize = 50_000;
/// Most that are receipts' where the journal's leave room: each record may bring an entry of the log of its own with it, and proofs.
const RECEIPT_RECORDS_MAX: usize = 20_000;
/// Records of a delivery that are always there: its opening and its closing.
const ENDS: usize = 2;

/// Format of the case.
pub(super) const FORMAT: &str = "lingqu-trace v1";
/// How a bundle of a trace names what it is about, where evidence of an order names the order.
pub(super) const ABOUT: &str = "trace:";
/// Items of the bundle.
pub(super) const CASE: &str = "trace/case.json";
pub(super) const KEYS: &str = "trace/keys.json";

/// What is claimed, with the settings that were fixed before. The report is written as its canonical JSON, whose digest the record
/// of the trace has: it is held against that letter by letter, since a number that is read and written again may be another.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseFile<R = TraceReport> {
    pub(super) format: String,
    /// The journal's record of the trace, which is among the proven records: what was tested stood there before the report was
    /// shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recorded: Option<String>,
    /// SHA-256 of the sealed annex for an expert, hexadecimal; none where there is no annex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sealed: Option<String>,
    pub(super) report: R,
    pub(super) products: Vec<CaseProduct>,
}

impl CaseFile {
    /// Reads a case; with the SHA-256 of its report as it is written, hexadecimal.
    pub(super) fn read(bytes: &[u8]) -> Option<(CaseFile, String)> {
        let written: CaseFile<&RawValue> = serde_json::from_slice(bytes).ok()?;
        let digest = sha256(written.report.get().as_bytes()).to_string();
        Some((serde_json::from_slice(bytes).ok()?, digest))
    }
}

/// The test of one product's marks.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseProduct {
    pub(super) product: ProductId,
    pub(super) epoch: u32,
    /// The item that holds the observations.
    pub(super) observations: String,
    pub(super) recipients: CaseSettings,
    pub(super) orders: CaseSettings,
}

/// Bound and number of registered candidates of one test.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CaseSettings {
    pub(super) bound: f64,
    pub(super) registered: u64,
}

/// A key that is disclosed for this case.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisclosedKey {
    pub(super) product: ProductId,
    /// The order in whose journal records the commitment stands.
    pub(super) order: OrderId,
    /// Which replacement of the consumer's code, and of its orders', the key is of.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) code_epoch: u32,
    /// The recipient, where it is a recipient's key; else it is the order's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) recipient: Option<PartyId>,
    /// The profile, by its name in derivations.
    pub(super) profile: String,
    /// Hexadecimal.
    pub(super) key: String,
    /// Hexadecimal.
    pub(super) salt: String,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl App {
    /// Writes the evidence of a trace that accuses. The keys of the accused are disclosed by it: who gets the file can tell
    /// from any further copy of theirs, at these positions, whose it is. Error: the trace accuses nobody.
    pub async fn export_trace(&self, trace: &Trace) -> Result<Vec<u8>, AppError> {
        if trace.report.accused.is_empty() {
            return Err(AppError::Invalid(
                "the trace accuses nobody, so there is no evidence to write and no key to disclose; read its report"
                    .to_owned(),
            ));
        }
        if accusing(trace).any(|case| case.observations.len() > OBSERVATIONS_MAX) {
            return Err(AppError::Invalid(format!(
                "the evidence would have more than {OBSERVATIONS_MAX} observed positions of one product; trace a part of the fragment"
            )));
        }
        self.catch_up().await?;
        let checkpoint = self.published_head().await?;
        let about = format!("{ABOUT}{}", trace.report.fragment.digest);
        let signer = self.log_signer()?;
        let (mut builder, provers) = self.begin_bundle(&about, &checkpoint)?;
        let keys = disclosed(trace);
        let mut records = self.add_stream(&mut builder, &trace.recorded, 0, &provers).await?;
        // What may be marked, how and how often, as it was drafted.
        for case in accusing(trace) {
            records = self.add_stream(&mut builder, case.marked.product.as_str(), records, &provers).await?;
        }
        for stream in named_in(&trace.report) {
            records = self.add_stream(&mut builder, &stream, records, &provers).await?;
        }
        self.add_deliveries(&mut builder, trace, records, &provers).await?;
        self.add_witnessed(&mut builder, &keys.iter().map(|key| &key.order).collect(), &provers).await?;
        let mut products = Vec::with_capacity(trace.cases.len());
        for (number, case) in accusing(trace).enumerate() {
            let name = format!("trace/observations.{number}");
            builder.item(&name, &encode(&case.observations)).map_err(fault)?;
            products.push(case_product(case, name));
        }
        let report = RawValue::from_string(canonical(&of_the_accused(&trace.report)));
        let report = report.map_err(|error| AppError::Fault(format!("the case can't be written: {error}")))?;
        let case = CaseFile {
            format: FORMAT.to_owned(),
            recorded: Some(trace.recorded.clone()),
            sealed: trace.sealed()?.map(|annex| sha256(&annex).to_string()),
            report,
            products,
        };
        builder.item(CASE, &json(&case)?).map_err(fault)?;
        builder.item(KEYS, &json(&keys)?).map_err(fault)?;
        builder.build(&signer).map_err(fault)
    }

    /// Journal records of an entity, after so many others. Answers how many there are now.
    async fn add_stream(
        &self,
        builder: &mut EvidenceBuilder,
        stream: &str,
        others: usize,
        provers: &Provers<'_>,
    ) -> Result<usize, AppError> {
        let (mut version, mut count) = (0, others);
        loop {
            let page = self.store.read_stream(stream, version, READ_LIMIT_MAX).await?;
            let Some(last) = page.last() else { return Ok(count) };
            version = last.stream_version;
            for record in page.iter().filter(|record| record.log_entry < provers.checkpoint.size) {
                count += 1;
                if count > RECORDS_MAX {
                    return Err(too_many());
                }
                let evidence = EvidenceRecord {
                    kind: RecordKind::Journal,
                    position: record.position,
                    salt: record.salt,
                    entry_index: record.log_entry,
                    bytes: committed_bytes(record),
                };
                provers.add_record(builder, &evidence).await?;
            }
        }
    }

    /// The receipts of deliveries to the accused that name rows of the fragment: who had them, apart from the marks. Of very long
    /// deliveries some of the records that name rows are left out.
    async fn add_deliveries(
        &self,
        builder: &mut EvidenceBuilder,
        trace: &Trace,
        records: usize,
        provers: &Provers<'_>,
    ) -> Result<(), AppError> {
        let log = self.receipts_now().await?;
        let committed = log.committed_under(provers.checkpoint.size).await?;
        let room = RECORDS_MAX.saturating_sub(records).min(RECEIPT_RECORDS_MAX);
        let each_max = room / trace.receipts.len().max(1);
        if each_max < ENDS {
            return Err(too_many());
        }
        let shown = trace.receipts.iter().flat_map(|positions| some_of(positions, each_max));
        for position in shown.filter(|position| *position <= committed) {
            let missing = || AppError::Fault(format!("receipt record {position} is gone; run `lingqu replay --check`"));
            let receipt = log.read(position).await?.ok_or_else(missing)?;
            let commit = log.commit_of(position).await?.ok_or_else(missing)?;
            let evidence = EvidenceRecord {
                kind: RecordKind::Receipt,
                position,
                salt: receipt.salt,
                entry_index: commit.log_entry,
                bytes: receipt.receipt.record,
            };
            provers.add_record(builder, &evidence).await?;
        }
        Ok(())
    }
}

/// At most so many of a delivery's records, its ends among them.
fn some_of(positions: &[u64], count_max: usize) -> impl Iterator<Item = u64> {
    let left_out = positions.len().saturating_sub(count_max);
    let last = positions.len().saturating_sub(1);
    let is_shown = move |place: &usize| *place + left_out < last || *place == last;
    (0..positions.len()).filter(is_shown).filter_map(|place| positions.get(place).copied())
}

/// The cases that accuse somebody. Observations of any other would show where copies of its product are marked, and bear out nothing.
pub(super) fn accusing(trace: &Trace) -> impl Iterator<Item = &Case> {
    let is_accusing =
        move |case: &&Case| trace.report.accused.iter().any(|accused| accused.product == case.marked.product);
    trace.cases.iter().filter(is_accusing)
}

/// The streams that bear out what the report says of the accused: their orders, with the commitments to the keys; the permits; the
/// consumers, and who held the other half of the keys.
fn named_in(report: &TraceReport) -> BTreeSet<String> {
    let mut streams = BTreeSet::new();
    for accused in &report.accused {
        streams.insert(accused.consumer.to_string());
        streams.extend(accused.keys_held_by.iter().map(ToString::to_string));
        for order in &accused.orders {
            streams.insert(order.order.to_string());
            streams.extend(order.permits.iter().map(ToString::to_string));
        }
    }
    streams
}

/// The report without who else had the rows: that is nobody's business who decides about the accused.
pub(super) fn of_the_accused(report: &TraceReport) -> TraceReport {
    let mut report = report.clone();
    let own: BTreeSet<OrderId> =
        report.accused.iter().flat_map(|accused| &accused.orders).map(|order| order.order.clone()).collect();
    for product in &mut report.products {
        let receipts = &mut product.receipts;
        let listed = receipts.orders.len();
        receipts.orders.retain(|had| own.contains(&had.order));
        receipts.orders_more += (listed - receipts.orders.len()) as u64;
        receipts.explanations.retain(|set| set.orders.iter().all(|order| own.contains(order)));
    }
    for source in &mut report.sources {
        let listed = source.orders.len();
        source.orders.retain(|had| own.contains(&had.order));
        source.orders_more += (listed - source.orders.len()) as u64;
    }
    report
}

fn case_product(case: &Case, observations: String) -> CaseProduct {
    let settings = |settings: &lingqu_fingerprint::Settings| CaseSettings {
        bound: settings.bound,
        registered: settings.registered,
    };
    CaseProduct {
        product: case.marked.product.clone(),
        epoch: case.marked.epoch,
        observations,
        recipients: settings(&case.plan.recipients),
        orders: settings(&case.plan.orders),
    }
}

/// The keys by which somebody is accused: those of recipients whom the test of recipients accuses, and of accused orders. A consumer
/// who is named by an order's code alone keeps his own key.
fn disclosed(trace: &Trace) -> Vec<DisclosedKey> {
    let mut keys = Vec::new();
    for accused in &trace.report.accused {
        let Some(case) = trace.cases.iter().find(|case| case.marked.product == accused.product) else { continue };
        let disclosed = |order: &crate::fingerprint::MarkedOrder, recipient: Option<PartyId>| {
            let opening = if recipient.is_some() { &order.recipient_key } else { &order.order_key };
            DisclosedKey {
                product: accused.product.clone(),
                order: order.order.clone(),
                code_epoch: order.code_epoch,
                recipient,
                profile: opening.key.profile().name().to_owned(),
                key: hex::encode(opening.key.as_bytes()),
                salt: hex::encode(opening.salt.0),
            }
        };
        let recipient = Recipient { consumer: accused.consumer.clone(), code_epoch: accused.code_epoch };
        let own = case.marked.orders.iter().filter(|order| Recipient::of(order) == recipient);
        let mut is_wanted = case.named.contains(&recipient);
        for order in own {
            if is_wanted {
                keys.push(disclosed(order, Some(accused.consumer.clone())));
                is_wanted = false;
            }
            let is_accused =
                |found: &super::report::AccusedOrder| found.order == order.order && found.log_p_value.is_some();
            if accused.orders.iter().any(is_accused) {
                keys.push(disclosed(order, None));
            }
        }
    }
    keys
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec_pretty(value).map_err(|error| AppError::Fault(format!("the case can't be written: {error}")))
}

fn too_many() -> AppError {
    AppError::Invalid(format!(
        "the evidence would have more than {RECORDS_MAX} records; trace a sample of the fragment"
    ))
}

pub(super) fn fault(error: lingqu_transparency::TransparencyError) -> AppError {
    AppError::Fault(format!("the evidence can't be written: {error}"))
}

/// Opens the observations of a bundle.
const OBSERVATIONS_HEAD: &[u8] = b"lingqu-observations v1\n";
/// Source (kind, number), whether an order's, row, threshold, residual, point; numbers with the lowest byte first.
const OBSERVATION_BYTES: usize = 1 + 2 + 1 + 4 + 4 + 8 + 16;

pub(super) fn encode(observations: &[Observation]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OBSERVATIONS_HEAD.len() + observations.len() * OBSERVATION_BYTES);
    bytes.extend_from_slice(OBSERVATIONS_HEAD);
    for observation in observations {
        let (kind, number) = match observation.source {
            Source::Mark(number) => (0, number),
            Source::Presence => (1, 0),
            Source::Decoy => (2, 0),
        };
        bytes.push(kind);
        bytes.extend_from_slice(&u16::to_le_bytes(number));
        bytes.push(u8::from(observation.order));
        bytes.extend_from_slice(&observation.row.to_le_bytes());
        bytes.extend_from_slice(&observation.threshold.to_le_bytes());
        bytes.extend_from_slice(&observation.residual.to_le_bytes());
        bytes.extend_from_slice(&observation.point[..]);
    }
    bytes
}

/// The observations of an item; none where it is not what [`encode`] writes.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Observation>> {
    let bytes = bytes.strip_prefix(OBSERVATIONS_HEAD)?;
    let count = bytes.len() / OBSERVATION_BYTES;
    if !bytes.len().is_multiple_of(OBSERVATION_BYTES) || count > OBSERVATIONS_MAX {
        return None;
    }
    bytes.chunks_exact(OBSERVATION_BYTES).map(decode_one).collect()
}

fn decode_one(bytes: &[u8]) -> Option<Observation> {
    let (kind, rest) = bytes.split_first()?;
    let (number, rest) = rest.split_first_chunk::<2>()?;
    let (order, rest) = rest.split_first()?;
    let (row, rest) = rest.split_first_chunk::<4>()?;
    let (threshold, rest) = rest.split_first_chunk::<4>()?;
    let (residual, rest) = rest.split_first_chunk::<8>()?;
    let point: [u8; 16] = rest.try_into().ok()?;
    let residual = f64::from_le_bytes(*residual);
    let source = match (kind, u16::from_le_bytes(*number)) {
        (0, number) => Source::Mark(number),
        (1, 0) => Source::Presence,
        (2, 0) => Source::Decoy,
        _ => return None,
    };
    let threshold = u32::from_le_bytes(*threshold);
    // A bias of zero or one, or a residual that is no number, is nothing that was observed.
    (*order <= 1 && threshold > 0 && residual.is_finite()).then(|| Observation {
        source,
        row: u32::from_le_bytes(*row),
        point: Block::from(point),
        threshold,
        order: *order == 1,
        residual,
    })
}

#[cfg(test)]
mod tests {
    use super::super::damage::damaged;
    use super::*;

    #[test]
    fn observations_are_read_as_they_were_written_and_nothing_else_is() {
        let observation = |source, order, residual| Observation {
            source,
            row: 7,
            point: Block::from([9; 16]),
            threshold: 1 << 20,
            order,
            residual,
        };
        let observations = vec![
            observation(Source::Mark(513), true, -1.0),
            observation(Source::Presence, false, 1.0),
            observation(Source::Decoy, false, 0.25),
        ];
        let bytes = encode(&observations);
        assert_eq!(decode(&bytes), Some(observations.clone()));
        assert_eq!(decode(&bytes[..bytes.len() - 1]), None);
        assert_eq!(decode(&bytes[1..]), None);
        for (place, byte) in [(23, 3u8), (26, 2)] {
            let mut other = bytes.clone();
            other[place] = byte;
            assert_eq!(decode(&other), None, "byte {place}");
        }
        assert_eq!(decode(&encode(&[observation(Source::Mark(0), false, f64::NAN)])), None);
    }

    #[test]
    fn of_a_long_delivery_the_ends_and_some_between_are_shown() {
        let positions: Vec<u64> = (10..20).collect();
        let shown = |count_max| some_of(&positions, count_max).collect::<Vec<_>>();
        assert_eq!((shown(10), shown(99)), (positions.clone(), positions.clone()));
        assert_eq!([shown(2), shown(4)], [vec![10, 19], vec![10, 11, 12, 19]]);
        assert_eq!((some_of(&[7], 2).collect::<Vec<_>>(), some_of(&[], 2).count()), (vec![7], 0));
    }

    /// Whoever wrote them: nothing of it stops the program, and what is read as observations is written again as it was.
    #[test]
    fn damaged_items_are_read_or_refused() {
        let mark = Observation {
            source: Source::Mark(3),
            row: 7,
            point: Block::from([9; 16]),
            threshold: 1 << 20,
            order: true,
            residual: -1.0,
        };
        let observations = [mark, Observation { source: Source::Presence, residual: 0.5, ..mark }];
        for bytes in damaged(&encode(&observations), 20_000) {
            if let Some(read) = decode(&bytes) {
                assert_eq!(encode(&read), bytes);
            }
        }
        let settings = |registered: u64| serde_json::json!({ "bound": 2.5e-7, "registered": registered });
        let id = |prefix: &str| format!("{prefix}_{:032x}", 1);
        let case = serde_json::json!({
            "format": FORMAT, "recorded": "trc_1", "sealed": "ab", "report": { "verdict": "accused", "bound": 1e-6 },
            "products": [{
                "product": id("prd"), "epoch": 1, "observations": "trace/observations.0", "recipients": settings(2),
                "orders": settings(3),
            }],
        });
        let keys = serde_json::json!([{
            "product": id("prd"), "order": id("ord"), "code_epoch": 2, "recipient": id("pty"), "profile": "aes",
            "key": "00".repeat(32), "salt": "11".repeat(16),
        }]);
        let case = serde_json::to_vec(&case).unwrap();
        assert!(serde_json::from_slice::<CaseFile<&RawValue>>(&case).is_ok());
        for bytes in damaged(&case, 10_000) {
            // The report that is in it is held to its digest as it is written.
            if let Ok(read) = serde_json::from_slice::<CaseFile<&RawValue>>(&bytes) {
                assert!(bytes.windows(read.report.get().len()).any(|written| written == read.report.get().as_bytes()));
            }
            assert!(CaseFile::read(&bytes).is_none(), "a report of two fields was read");
        }
        let keys = serde_json::to_vec(&keys).unwrap();
        let read = |bytes: &[u8]| serde_json::from_slice::<Vec<DisclosedKey>>(bytes).is_ok();
        assert!(read(&keys));
        assert!(damaged(&keys, 10_000).filter(|bytes| !read(bytes)).count() > 5_000);
    }
}
