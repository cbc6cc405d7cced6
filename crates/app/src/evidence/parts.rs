//! Evidence of an order with more receipts than one bundle holds: several bundles, each with the whole chain of rights and a
//! stretch of the receipts.
//!
//! Each part proves what it holds by itself. `part.json` stands in it, covered by the bundle's signature, and names all parts with
//! count, place and digest of their receipts, so that one that is missing, or of another export, is noticed; and only all of
//! them together are recounted against the order's metering windows.

use std::collections::BTreeSet;

use lingqu_crypto::{Sha256Digest, Sha256Hasher, sha256};
use lingqu_transparency::{Evidence, EvidenceRecord, EvidenceTrust, RecordKind};
use serde::{Deserialize, Serialize};

use super::check::{Checked, EvidenceReport, check};
use crate::recount::{Deliveries, Windows, windows_of};

/// The item that says which part of a whole a bundle is.
pub const PART_ITEM: &str = "part.json";
/// Most parts of a whole.
pub(super) const PARTS_MAX: usize = 10_000;
/// Most bytes of [`PART_ITEM`]: a line is under 200.
const PART_BYTES_MAX: usize = 200 * PARTS_MAX + 1_000;

/// The receipts of one part.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartReceipts {
    /// How many records.
    pub count: u64,
    /// Position of the first.
    pub first: u64,
    /// Position of the last.
    pub last: u64,
    /// SHA-256 over each record's position (8 bytes, the greatest first) and the SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// Which part of a whole a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its number, from 1.
    pub number: u64,
    /// All parts in their order.
    pub parts: Vec<PartReceipts>,
}

impl Part {
    /// What a bundle says of itself; none where it is whole. Error: what is wrong with it.
    pub(super) fn of(evidence: &Evidence) -> Result<Option<Part>, String> {
        let Some(item) = evidence.item(PART_ITEM) else { return Ok(None) };
        if item.bytes.len() > PART_BYTES_MAX {
            return Err(format!("it has more than {PART_BYTES_MAX} bytes"));
        }
        let part: Part = serde_json::from_slice(&item.bytes).map_err(|error| error.to_string())?;
        if part.parts.len() > PARTS_MAX || part.own().is_none() {
            return Err("it is of a number that there is not".to_owned());
        }
        let is_in_order = part.parts.windows(2).all(|pair| pair[0].last < pair[1].first);
        if !is_in_order || part.parts.iter().any(|one| one.count == 0 || one.first > one.last) {
            return Err("its parts do not follow one another".to_owned());
        }
        Ok(Some(part))
    }

    /// Its own line.
    pub(super) fn own(&self) -> Option<&PartReceipts> {
        let place = self.number.checked_sub(1).and_then(|place| usize::try_from(place).ok())?;
        self.parts.get(place)
    }

    /// Holds the receipts of a bundle against what it says of itself.
    pub(super) fn check(&self, receipts: &[&EvidenceRecord], find: &mut dyn FnMut(String, String)) {
        let mut held = ReceiptsDigest::default();
        for record in receipts {
            held.add(record.position, &record.bytes);
        }
        if held.finish().as_ref() != self.own() {
            find(PART_ITEM.to_owned(), "the receipts in the bundle are not those of this part".to_owned());
        }
    }
}

/// Digests the receipts of a part, which come in the order of positions.
#[derive(Default)]
pub(super) struct ReceiptsDigest {
    hasher: Sha256Hasher,
    count: u64,
    first: u64,
    last: u64,
}

impl ReceiptsDigest {
    pub(super) fn add(&mut self, position: u64, record: &[u8]) {
        if self.count == 0 {
            self.first = position;
        }
        self.last = position;
        self.count += 1;
        self.hasher.update(&position.to_be_bytes());
        self.hasher.update(&sha256(record).0);
    }

    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// The line of the part; none without receipts.
    pub(super) fn finish(self) -> Option<PartReceipts> {
        let Self { hasher, count, first, last } = self;
        (count > 0).then(|| PartReceipts { count, first, last, sha256: hasher.finish().to_string() })
    }
}

/// The number of a part and how many there are; none for a bundle that is whole or none at all. Nothing is checked.
pub fn part_number(bundle: &[u8]) -> Option<(u64, usize)> {
    part_number_of(&Evidence::parse(bundle).ok()?)
}

/// The same of evidence that was read.
pub fn part_number_of(evidence: &Evidence) -> Option<(u64, usize)> {
    let part = Part::of(evidence).ok()??;
    Some((part.number, part.parts.len()))
}

/// Checks the parts of one order's evidence together, one after the other in their order, holding one at a time.
#[derive(Default)]
pub struct EvidenceParts {
    whole: Option<Whole>,
}

/// What the parts that were checked come to.
struct Whole {
    report: EvidenceReport,
    parts: Vec<PartReceipts>,
    checked: u64,
    /// What every part has the same: checkpoints, and what was decided.
    common: Sha256Digest,
    entries: BTreeSet<u64>,
    windows: Windows,
    deliveries: Deliveries,
}

impl EvidenceParts {
    /// Checks the next part.
    pub fn add(&mut self, bundle: &[u8], trust: &EvidenceTrust) {
        self.take(check(lingqu_transparency::verify_evidence_with(bundle, trust)));
    }

    /// The same of a part that lies in files.
    pub fn add_files(&mut self, read: &dyn Fn(&str) -> Option<Vec<u8>>, trust: &EvidenceTrust) {
        self.take(check(lingqu_transparency::verify_evidence_files(read, trust)));
    }

    fn take(&mut self, checked: Checked) {
        let common = common_digest(&checked);
        let part = checked.evidence.as_ref().and_then(|evidence| Part::of(evidence).ok().flatten());
        let Some(whole) = &mut self.whole else {
            let parts = part.as_ref().map(|part| part.parts.clone()).unwrap_or_default();
            let of_order = checked.order.as_ref().and_then(|order| windows_of(&checked.state).remove(order));
            let mut whole = Whole {
                report: checked.report.clone(),
                parts,
                checked: 0,
                common,
                entries: BTreeSet::new(),
                windows: Windows::new(of_order.unwrap_or_default()),
                deliveries: Deliveries::default(),
            };
            whole.report.findings.clear();
            whole.report.answers.clear();
            whole.report.receipt_records = 0;
            whole.take(&checked, part.as_ref());
            self.whole = Some(whole);
            return;
        };
        if common != whole.common || part.as_ref().is_none_or(|part| part.parts != whole.parts) {
            let place = format!("part {}", whole.checked + 1);
            let problem = "it is of another export than the parts before it; verify the parts of one export together";
            whole.report.findings.push((place, problem.to_owned()));
        }
        whole.take(&checked, part.as_ref());
    }

    /// What all parts come to; none where none was given.
    pub fn finish(self) -> Option<EvidenceReport> {
        let mut whole = self.whole?;
        let report = &mut whole.report;
        for missing in whole.parts.iter().enumerate().skip(usize::try_from(whole.checked).unwrap_or(usize::MAX)) {
            let problem = format!("it was not given; it has the receipts {} to {}", missing.1.first, missing.1.last);
            report.findings.push((format!("part {}", missing.0 + 1), problem));
        }
        whole.windows.finish(&mut |place, problem| report.findings.push((place, problem)));
        report.log_entries = whole.entries.len();
        if let Some(twin) = &mut report.twin {
            twin.log_entries = whole.entries.len();
        }
        report.receipts_not_yet_metered = whole.windows.not_metered;
        report.deliveries_open = whole.deliveries.open_count();
        report.part = None;
        report.parts = whole.checked;
        report.verified = report.findings.is_empty();
        Some(whole.report)
    }
}

impl Whole {
    fn take(&mut self, checked: &Checked, part: Option<&Part>) {
        self.checked += 1;
        let place = format!("part {}", self.checked);
        let findings = &mut self.report.findings;
        for (item, problem) in &checked.report.findings {
            findings.push((format!("{place}: {item}"), problem.clone()));
        }
        match part {
            Some(part) if part.number == self.checked => {}
            Some(part) => {
                let problem = format!("part {} stands in its place; give each part once", part.number);
                findings.push((place, problem));
            }
            None => findings.push((place, "it is no part of anything".to_owned())),
        }
        for (position, receipt) in &checked.receipts {
            let (_, problem) = self.deliveries.follow(receipt);
            findings.extend(problem.map(|problem| (format!("receipt record {position}"), problem)));
            self.windows.add(*position, receipt, &mut |place, problem| findings.push((place, problem)));
        }
        self.report.receipt_records += checked.report.receipt_records;
        self.report.answers.extend(checked.report.answers.iter().cloned());
        let records = checked.evidence.as_ref().and_then(|evidence| evidence.records().ok());
        self.entries.extend(records.into_iter().flatten().map(|record| record.entry_index));
    }
}

/// Names what all parts of one export have the same.
fn common_digest(checked: &Checked) -> Sha256Digest {
    let mut hasher = Sha256Hasher::default();
    if let Some(evidence) = &checked.evidence {
        for text in [&evidence.order, &evidence.node] {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        for name in ["checkpoint", "checkpoint.sm3", "contract.json", "settlements.json"] {
            hasher.update(&sha256(evidence.item(name).map_or(&[][..], |item| &item.bytes)).0);
        }
        for record in evidence.records().unwrap_or_default() {
            if record.kind == RecordKind::Journal {
                hasher.update(&record.position.to_be_bytes());
                hasher.update(&sha256(&record.bytes).0);
            }
        }
    }
    hasher.finish()
}
