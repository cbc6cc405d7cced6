//! Evidence of an order with more receipts and metering windows than one bundle holds: several bundles, each with the whole chain of
//! rights, a stretch of the receipts, and the windows that begin in it.
//!
//! Each part proves what it holds by itself. `part.json` stands in it, covered by the bundle's signature, and names all parts with
//! count, place and digest of their receipts and of their windows' records, so that one that is missing, or of another export, is
//! noticed; and only all of them together are recounted, receipts against windows and windows against settlements.
//!
//! Parts that were made before each had windows of its own have no version and all windows in each; they verify as they did.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use jiff::Timestamp;
use lingqu_crypto::{Sha256Digest, Sha256Hasher, sha256};
use lingqu_domain::event::Event;
use lingqu_domain::id::OrderId;
use lingqu_domain::state::State;
use lingqu_store::journal::{Record, committed_bytes};
use lingqu_transparency::{Evidence, EvidenceRecord, EvidenceTrust, RecordKind};
use serde::{Deserialize, Serialize};

use super::check::{Checked, EvidenceReport, SettledReport, check, metered_until};
use super::settled::Lines;
use super::{too_many, too_many_parts};
use crate::error::AppError;
use crate::recount::{Deliveries, Window, Windows, windows_of};

/// The item that says which part of a whole a bundle is.
pub const PART_ITEM: &str = "part.json";
/// Most parts of a whole.
pub(super) const PARTS_MAX: usize = 10_000;
/// Most bytes of [`PART_ITEM`]: a line is under 400.
const PART_BYTES_MAX: usize = 400 * PARTS_MAX + 1_000;
/// Most records of windows in one part: each window may bring an entry of the log of its own with it, which commits to the windows
/// of a thousand other orders as well.
const PART_WINDOW_RECORDS: usize = 10_000;
/// The form in which each part has windows of its own.
const VERSION: u64 = 2;

/// Some records of one kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartRecords {
    /// How many.
    pub count: u64,
    /// Position of the first.
    pub first: u64,
    /// Position of the last.
    pub last: u64,
    /// SHA-256 over each record's position (8 bytes, the greatest first) and the SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
}

/// The receipts of one part, and the windows that begin among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartReceipts {
    /// How many records.
    pub count: u64,
    /// Position of the first.
    pub first: u64,
    /// Position of the last.
    pub last: u64,
    /// As that of [`PartRecords`].
    pub sha256: String,
    /// The journal records of the windows; none where no window begins in the part, and in parts without a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows: Option<PartRecords>,
}

impl PartReceipts {
    fn of(receipts: PartRecords) -> PartReceipts {
        let PartRecords { count, first, last, sha256 } = receipts;
        PartReceipts { count, first, last, sha256, windows: None }
    }
}

/// Which part of a whole a bundle is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// 2. None in the first form, in which each part has all windows of the order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Its number, from 1.
    pub number: u64,
    /// All parts in their order.
    pub parts: Vec<PartReceipts>,
}

impl Part {
    /// The first of some parts, with the windows of an order that begin in each.
    pub(super) fn first_of(parts: Vec<PartReceipts>, windows: &[WindowRecords]) -> Part {
        let mut part = Part { version: Some(VERSION), number: 1, parts };
        let mut rest = windows;
        for place in 0..part.parts.len() {
            part.number = place as u64 + 1;
            let begins = part.begins();
            let (own, later) = rest.split_at(rest.partition_point(|window| begins.contains(&window.first_position)));
            rest = later;
            let mut records: Vec<&Record> = own.iter().flat_map(|window| &window.records).collect();
            records.sort_by_key(|record| record.position);
            let mut digest = RecordsDigest::default();
            for record in records {
                digest.add(record.position, &committed_bytes(record));
            }
            part.parts[place].windows = digest.finish();
        }
        part.number = 1;
        part
    }

    /// What a bundle says of itself; none where it is whole. Error: what is wrong with it.
    pub(super) fn of(evidence: &Evidence) -> Result<Option<Part>, String> {
        let Some(item) = evidence.item(PART_ITEM) else { return Ok(None) };
        if item.bytes.len() > PART_BYTES_MAX {
            return Err(format!("it has more than {PART_BYTES_MAX} bytes"));
        }
        let part: Part = serde_json::from_slice(&item.bytes).map_err(|error| error.to_string())?;
        let has_windows = part.parts.iter().any(|one| one.windows.is_some());
        if part.version.map_or(has_windows, |version| version != VERSION) {
            return Err("it has a version that is not known; use the version of lingqu that wrote it".to_owned());
        }
        if part.parts.len() > PARTS_MAX || part.own().is_none() {
            return Err("it is of a number that there is not".to_owned());
        }
        // Named as a part, it would be recounted by nobody who verifies it alone.
        if part.parts.len() == 1 {
            return Err("it names one part alone, and evidence in one part is whole without it".to_owned());
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

    /// Whether it has the windows that begin in it, and not all of the order.
    pub(super) fn has_own_windows(&self) -> bool {
        self.version.is_some()
    }

    /// Where a window begins that stands in it: behind the last receipt of the part before and not behind its own last one. All
    /// parts together leave no gap.
    pub(super) fn begins(&self) -> RangeInclusive<u64> {
        let place = self.number.checked_sub(1).and_then(|place| usize::try_from(place).ok()).unwrap_or_default();
        let before = place.checked_sub(1).and_then(|before| self.parts.get(before));
        let is_last = place + 1 >= self.parts.len();
        let own = self.parts.get(place).filter(|_| !is_last);
        before.map_or(0, |before| before.last.saturating_add(1))..=own.map_or(u64::MAX, |own| own.last)
    }

    /// Holds the receipts of a bundle, its windows and their records, all in the order of positions, against what it says of itself.
    pub(super) fn check(
        &self,
        receipts: &[&EvidenceRecord],
        (windows, window_records): (&[Window], &[&EvidenceRecord]),
        find: &mut dyn FnMut(String, String),
    ) {
        let Some(own) = self.own() else { return };
        let told = PartReceipts { windows: None, ..own.clone() };
        if digest_of(receipts).map(PartReceipts::of) != Some(told) {
            find(PART_ITEM.to_owned(), "the receipts in the bundle are not those of this part".to_owned());
        }
        if !self.has_own_windows() {
            return;
        }
        if digest_of(window_records) != own.windows {
            find(PART_ITEM.to_owned(), "the metering windows in the bundle are not those of this part".to_owned());
        }
        let begins = self.begins();
        for window in windows.iter().filter(|window| !begins.contains(&window.reading.first_position)) {
            find(window.name(), "it begins among the receipts of another part".to_owned());
        }
    }
}

/// A metering window, and what was recorded of it.
pub(super) struct WindowRecords {
    /// Position of the receipt that it begins with.
    pub(super) first_position: u64,
    /// Its records, in the order of positions.
    pub(super) records: Vec<Record>,
}

/// The windows of an order in the order of receipts, each with its records.
pub(super) fn windows_in_order(state: &State, order: &OrderId, records: Vec<Record>) -> Vec<WindowRecords> {
    let mut by_window: BTreeMap<String, Vec<Record>> = BTreeMap::new();
    for record in records {
        by_window.entry(record.stream.clone()).or_default().push(record);
    }
    let windows = windows_of(state).remove(order).unwrap_or_default().into_iter();
    let with_records = windows.filter_map(|window| {
        let records = by_window.remove(window.id.as_str())?;
        Some(WindowRecords { first_position: window.reading.first_position, records })
    });
    with_records.collect()
}

/// How much there is room for.
#[derive(Clone, Copy)]
pub(super) struct Room<'a> {
    /// Receipts of a part.
    pub(super) receipts: usize,
    /// Receipts of a part and records of the windows that begin in it.
    pub(super) records: usize,
    /// Parts.
    pub(super) parts: usize,
    /// The windows, in the order of receipts; none where they need no room.
    pub(super) windows: &'a [WindowRecords],
}

/// Cuts the receipts of an order, which come in the order of positions, into parts.
pub(super) struct Cutting<'a> {
    room: Room<'a>,
    parts: Vec<PartReceipts>,
    receipts: RecordsDigest,
    /// Records of the windows that begin in the part that is being filled.
    window_records: usize,
}

impl<'a> Cutting<'a> {
    pub(super) fn new(room: Room<'a>) -> Cutting<'a> {
        Cutting { room, parts: Vec::new(), receipts: RecordsDigest::default(), window_records: 0 }
    }

    /// Takes the next receipt, and with it the windows that begin before it or with it. Error: there would be more parts than may be.
    pub(super) fn add(&mut self, position: u64, record: &[u8]) -> Result<(), AppError> {
        let windows = self.room.windows;
        let (begun, later) = windows.split_at(windows.partition_point(|window| window.first_position <= position));
        self.room.windows = later;
        let begun: usize = begun.iter().map(|window| window.records.len()).sum();
        let window_records = self.window_records + begun;
        let receipts = usize::try_from(self.receipts.count()).unwrap_or(usize::MAX);
        let is_full = receipts >= self.room.receipts
            || receipts + window_records >= self.room.records
            || window_records > PART_WINDOW_RECORDS;
        if is_full && receipts > 0 {
            self.parts.extend(std::mem::take(&mut self.receipts).finish().map(PartReceipts::of));
            if self.parts.len() >= self.room.parts {
                return Err(if self.room.parts > 1 { too_many_parts(self.room.parts) } else { too_many() });
            }
            self.window_records = begun;
        } else {
            self.window_records = window_records;
        }
        self.receipts.add(position, record);
        Ok(())
    }

    /// The receipts of each part; nothing where there were none.
    pub(super) fn finish(mut self) -> Vec<PartReceipts> {
        self.parts.extend(self.receipts.finish().map(PartReceipts::of));
        self.parts
    }
}

/// Digests records, which come in the order of positions.
fn digest_of(records: &[&EvidenceRecord]) -> Option<PartRecords> {
    let mut digest = RecordsDigest::default();
    for record in records {
        digest.add(record.position, &record.bytes);
    }
    digest.finish()
}

/// Digests records of a part, which come in the order of positions.
#[derive(Default)]
struct RecordsDigest {
    hasher: Sha256Hasher,
    count: u64,
    first: u64,
    last: u64,
}

impl RecordsDigest {
    fn add(&mut self, position: u64, record: &[u8]) {
        if self.count == 0 {
            self.first = position;
        }
        self.last = position;
        self.count += 1;
        self.hasher.update(&position.to_be_bytes());
        self.hasher.update(&sha256(record).0);
    }

    fn count(&self) -> u64 {
        self.count
    }

    /// What they come to; none without records.
    fn finish(self) -> Option<PartRecords> {
        let Self { hasher, count, first, last } = self;
        (count > 0).then(|| PartRecords { count, first, last, sha256: hasher.finish().to_string() })
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
    version: Option<u64>,
    parts: Vec<PartReceipts>,
    checked: u64,
    /// What every part has the same: checkpoints, and what was decided apart from windows.
    common: Sha256Digest,
    entries: BTreeSet<u64>,
    windows: Windows,
    /// When the last window was closed.
    metered_until: Option<Timestamp>,
    /// What was settled, against the windows of all parts.
    settled: Option<Lines>,
    /// Time of the last record of any part.
    last_at: Option<Timestamp>,
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
        let part = checked.evidence.as_ref().and_then(|evidence| Part::of(evidence).ok().flatten());
        let common = common_digest(&checked, part.as_ref());
        let Some(whole) = &mut self.whole else {
            let version = part.as_ref().and_then(|part| part.version);
            let parts = part.as_ref().map(|part| part.parts.clone()).unwrap_or_default();
            let lines = checked.evidence.as_ref().zip(checked.order.as_ref());
            let mut whole = Whole {
                report: checked.report.clone(),
                version,
                parts,
                checked: 0,
                common,
                entries: BTreeSet::new(),
                windows: Windows::new(Vec::new()),
                metered_until: None,
                // What of them can't be read is told by the part itself.
                settled: lines.map(|(evidence, order)| Lines::of(evidence, &checked.state, order, &mut |_, _| {})),
                last_at: None,
                deliveries: Deliveries::default(),
            };
            whole.report.findings.clear();
            whole.report.answers.clear();
            whole.report.receipt_records = 0;
            whole.report.metering_windows = 0;
            whole.report.journal_records -= window_positions(&checked).len();
            whole.take(&checked, part.as_ref());
            self.whole = Some(whole);
            return;
        };
        let is_of_it = |part: &Part| part.version == whole.version && part.parts == whole.parts;
        if common != whole.common || !part.as_ref().is_some_and(is_of_it) {
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
        if let Some(lines) = &whole.settled {
            let settled = lines.finish(false, &mut |place, problem| report.findings.push((place, problem)));
            report.settlements = settled.iter().map(SettledReport::of).collect();
        }
        report.metered_until = whole.metered_until.map(|at| at.to_string());
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
        // In the first form every part has all windows.
        if self.checked == 1 || part.is_some_and(Part::has_own_windows) {
            self.report.journal_records += window_positions(checked).len();
            if let Some(order) = &checked.order {
                let windows = windows_of(&checked.state).remove(order).unwrap_or_default();
                self.report.metering_windows += windows.len();
                self.windows.extend(windows);
                self.metered_until = self.metered_until.max(metered_until(&checked.state, order));
                if let Some(lines) = &mut self.settled {
                    lines.add_windows(&checked.state, order);
                }
            }
        }
        // The rights as of the last record, whichever part has it.
        if checked.state.last_at > self.last_at {
            self.last_at = checked.state.last_at;
            self.report.links.clone_from(&checked.report.links);
            self.report.nature.clone_from(&checked.report.nature);
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

/// Positions of the journal records of metering windows.
fn window_positions(checked: &Checked) -> BTreeSet<u64> {
    let windows = checked.events.iter().filter(|event| matches!(event.event, Event::Meter(_)));
    windows.map(|event| event.position).collect()
}

/// Names what all parts of one export have the same. Windows that stand in one of them are held against `part.json`, which all have.
fn common_digest(checked: &Checked, part: Option<&Part>) -> Sha256Digest {
    let own = part.filter(|part| part.has_own_windows()).map(|_| window_positions(checked)).unwrap_or_default();
    let mut hasher = Sha256Hasher::default();
    if let Some(evidence) = &checked.evidence {
        for text in [&evidence.order, &evidence.node] {
            hasher.update(&(text.len() as u64).to_be_bytes());
            hasher.update(text.as_bytes());
        }
        for name in ["checkpoint", "checkpoint.sm3", "contract.json", "settlements.json"] {
            hasher.update(&sha256(evidence.item(name).map_or(&[][..], |item| &item.bytes)).0);
        }
        // In whatever order a bundle has them.
        let mut records = evidence.records().unwrap_or_default();
        records.retain(|record| record.kind == RecordKind::Journal && !own.contains(&record.position));
        records.sort_by_key(|record| record.position);
        for record in records {
            hasher.update(&record.position.to_be_bytes());
            hasher.update(&sha256(&record.bytes).0);
        }
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::Salt;

    use super::*;

    fn window(first_position: u64) -> WindowRecords {
        let record = |stream_version: u64| Record {
            position: 100 * stream_version + first_position,
            at: "2026-03-02T09:00:00+08:00".to_owned(),
            command_id: "cmd_1".to_owned(),
            actor: "node".to_owned(),
            stream: format!("mtr_{first_position}"),
            stream_version,
            kind: "meter.closed".to_owned(),
            rulebook_version: "1".to_owned(),
            body: "{}".to_owned(),
            salt: Salt([0; 16]),
            log_entry: 0,
        };
        WindowRecords { first_position, records: vec![record(1), record(2)] }
    }

    #[test]
    fn windows_take_room_in_the_part_that_they_begin_in() {
        let windows: Vec<WindowRecords> = [1, 11, 21, 31].map(window).into();
        let cut = |parts: usize| {
            let mut cutting = Cutting::new(Room { receipts: 100, records: 5, parts, windows: &windows });
            for position in [1, 5, 11, 15, 21, 31, 35] {
                cutting.add(position, b"receipt")?;
            }
            Ok::<_, AppError>(cutting.finish())
        };
        assert!(cut(3).is_err());
        let mut part = Part::first_of(cut(4).unwrap(), &windows);
        let lines = part.parts.iter().map(|line| (line.first, line.last, line.windows.as_ref().map(|own| own.count)));
        assert_eq!(
            lines.collect::<Vec<_>>(),
            [(1, 5, Some(2)), (11, 15, Some(2)), (21, 21, Some(2)), (31, 35, Some(2))]
        );
        let mut begins = Vec::new();
        for number in 1..=4 {
            part.number = number;
            begins.push(part.begins());
        }
        assert_eq!(begins, [0..=5, 6..=15, 16..=21, 22..=u64::MAX]);
    }
}
