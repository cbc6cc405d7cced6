//! Verification of a trace's evidence, by anybody, offline: the commitments stood in the log, the disclosed keys are what was
//! committed to, and by them the observations accuse as it is claimed. What can't be checked without the originals and the key
//! of positions is that the observations are the fragment's: that is the expert's, who gets both under seal.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lingqu_crypto::{DigestPair, Salt};
use lingqu_domain::event::Event;
use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_domain::order::OrderEvent;
use lingqu_domain::product::{ProductDetails, ProductEvent};
use lingqu_domain::trace::{TestedCodes, TraceDetails, TraceEvent};
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{
    Commitment, DECODER_NAMES, DECODER_VERSION, KeyUse, MarkKey, Marking, Observation, Opening, Profile, RecipientCode,
    Settings, Source, Verdict, accuse, score_each,
};
use lingqu_transparency::{Evidence, EvidenceTrust, NoteVerifier, RecordKind, verify_evidence_with};
use serde::Serialize;

use super::accusation::{Judged, Plan, in_whole_case, marks_trace, support};
use super::borne_out::{Known, unproven};
use super::claimed::unlike;
use super::evidence::{ABOUT, CASE, CaseFile, CaseProduct, CaseSettings, DisclosedKey, FORMAT, KEYS, decode};
use super::report::{MarksTrace, Support, TraceReport, TraceVerdict, TriesTrace};
use super::sealed::{Expert, ObservedAgain};
use super::told::accusing_words;
use super::tries::share_after;
use super::witnessed::{CommitmentSeen, seen};
use crate::fingerprint::marking_of;

/// By how much, relatively, bounds and shares may differ that are the same: they were written and read.
const NUMBER_DIFFERENCE_MAX: f64 = 1e-9;
/// The longest from when codes were taken until the trace was recorded.
const TEST_TIME_MAX: SignedDuration = SignedDuration::from_hours(24);
/// By how much the clocks of a node's processes may differ, or one be set back while codes are tested.
const CLOCKS_DIFFER_MAX: SignedDuration = SignedDuration::from_mins(1);

/// How far a case was held against the journal's record of its trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HeldAgainst {
    /// No record: there is none in the bundle, or it says otherwise. What was tested, how often the file was tried and what the
    /// report says are the accuser's word from after he looked.
    #[default]
    Nothing,
    /// A record from before records committed to the report that is handed out: bound, tries and totals are the same, and
    /// another report may have them too.
    Totals,
    /// The report itself, letter by letter, and how many codes of each product were tested.
    Report,
}

/// What the verification of a trace's evidence found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceCheck {
    /// True when nothing is wrong and the report is the one that the journal's record of the trace commits to.
    pub verified: bool,
    /// How far the case was held against that record.
    pub held: HeldAgainst,
    /// The node.
    pub node: Option<String>,
    /// Whether the key of its log came from the reader; else the bundle's own was used.
    pub key_is_trusted: bool,
    /// Size of the log under whose checkpoint the entries are proven.
    pub log_size: u64,
    /// Witnesses that cosigned the checkpoint.
    pub witnesses: usize,
    /// SHA-256 of the fragment, hexadecimal.
    pub fragment_digest: Option<String>,
    /// The bound that was stated.
    pub bound: Option<f64>,
    /// Traces of the same file that came before, and which part of the bound they left.
    pub tries: Option<TriesTrace>,
    /// The journal's record of the trace, where it is among the proven records and says the same as the case.
    pub recorded: Option<String>,
    /// Position in the journal up to which commitments are counted: so many codes were tested. None in a report from before they had
    /// it, by whose time they are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub journal_position: Option<u64>,
    /// Records of the journal between that position and the record of the trace: as many commitments may have been left out by the
    /// choice of the position, and none where none lies between.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records_between: Option<u64>,
    /// What the file shows, looked at by the sealed annex; none where that was not given, or shows otherwise.
    pub observed: Option<ObservedAgain>,
    /// The report in the bundle, where it can be read.
    #[serde(skip)]
    pub report: Option<TraceReport>,
    /// The accusations, computed again.
    pub accused: Vec<CheckedAccusation>,
    /// What is wrong: where, and what.
    pub findings: Vec<(String, String)>,
}

/// An accusation that was computed again from the disclosed key.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CheckedAccusation {
    /// The product.
    pub product: ProductId,
    /// The consumer whose key it is, or whose order's.
    pub consumer: PartyId,
    /// Which replacement of the consumer's code the key is of; the first one is 0.
    pub code_epoch: u32,
    /// The order, where it is the order's key.
    pub order: Option<OrderId>,
    /// Natural logarithm of the p-value, everything counted that was tried in the case.
    pub log_p_value: f64,
    /// The p-value.
    pub p_value: f64,
    /// Which decoder.
    pub decoder: String,
    /// In which pass, from 0.
    pub pass: u32,
    /// What supports it, channel by channel; nothing where the product's marking is not among the proven records.
    pub channels: BTreeMap<String, Support>,
    /// How many had a key for the product, by which the p-value is multiplied: as the accuser states it. It is to be counted
    /// from the commitments that the journal holds up to [`TraceCheck::journal_position`].
    pub registered: u64,
    /// The bound of this test, as the accuser states it.
    pub bound: f64,
    /// When the commitment was recorded.
    pub committed_at: String,
    /// The log's entry that holds it.
    pub log_entry: u64,
    /// Who saw the commitment in the log first, and when; none where no proof of it is in the bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen: Option<CommitmentSeen>,
    /// Who held the other half of the key.
    pub holder: PartyId,
}

/// Verifies the evidence of a trace.
pub fn verify_trace(file: &[u8], trust: &EvidenceTrust) -> TraceCheck {
    verify_trace_with(file, trust, None)
}

/// Verifies the evidence of a trace and, with the sealed annex and the file that was traced, that its observations are what the
/// file shows, all of it and nothing else.
pub fn verify_trace_with(file: &[u8], trust: &EvidenceTrust, expert: Option<(&[u8], &Fragment)>) -> TraceCheck {
    let checked = verify_evidence_with(file, trust);
    let mut check = TraceCheck {
        verified: false,
        held: HeldAgainst::Nothing,
        node: checked.evidence.as_ref().map(|evidence| evidence.node.clone()),
        key_is_trusted: checked.key_is_trusted,
        log_size: checked.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size),
        witnesses: checked.cosigned.len(),
        fragment_digest: None,
        bound: None,
        tries: None,
        recorded: None,
        journal_position: None,
        records_between: None,
        observed: None,
        report: None,
        accused: Vec::new(),
        findings: checked.findings.into_iter().map(|finding| (finding.item, finding.problem)).collect(),
    };
    if let Some(evidence) = &checked.evidence {
        check.case(evidence, expert);
        if let Some(log) = &checked.key {
            check.seen(evidence, trust, log);
        }
    }
    check.verified = check.findings.is_empty() && check.held == HeldAgainst::Report;
    check
}

/// What the proven records say.
#[derive(Default)]
pub(super) struct Logged {
    /// Of orders, once for each epoch of their keys: what their keys were committed to.
    pub(super) orders: BTreeMap<(OrderId, u32), Committed>,
    /// Of products what they were drafted as.
    pub(super) products: BTreeMap<ProductId, ProductDetails>,
    /// Parties, permits and deliveries.
    pub(super) known: Known,
    /// The traces.
    traces: BTreeMap<String, Recorded>,
    /// Places in the journal, each with its time.
    times: Vec<(u64, Timestamp)>,
    /// When the codes of this trace were taken, if the case names its record. Those that came later were not tested.
    traced: Option<Traced>,
}

/// When the codes were taken that a trace tested, by its report.
#[derive(Clone, Copy)]
struct Traced {
    at: Timestamp,
    /// Position of the journal's last event then; none in a report from before it had that.
    position: Option<u64>,
    /// The place of the trace's record.
    recorded: u64,
}

impl Traced {
    /// How the time can't be that of the position; none where it may be. Times in the journal never fall, so what came until then is
    /// no later, and what came after that no earlier, but for clocks.
    fn unlike(&self, times: &[(u64, Timestamp)]) -> Option<String> {
        let (at, position) = (self.at, self.position?);
        if position >= self.recorded {
            let recorded = self.recorded;
            return Some(format!(
                "it says that codes were counted up to record {position} of the journal, and its own record is {recorded}"
            ));
        }
        let is_unlike = |(place, time): &&(u64, Timestamp)| {
            let (earlier, later) = if *place <= position { (at, *time) } else { (*time, at) };
            later.duration_since(earlier) > CLOCKS_DIFFER_MAX
        };
        let (place, time) = times.iter().find(is_unlike)?;
        Some(format!(
            "it says that codes were taken at {at}, after record {position} of the journal and before the next one, and record {place} is \
             of {time}: see that the clocks of the node's processes agree and trace the file again"
        ))
    }
}

/// The journal's record of a trace.
struct Recorded {
    /// Its place in the journal.
    position: u64,
    at: String,
    details: TraceDetails,
}

/// What the log says of an order.
pub(super) struct Committed {
    pub(super) consumer: PartyId,
    pub(super) product: ProductId,
    pub(super) holder: PartyId,
    epoch: u32,
    pub(super) positions: DigestPair,
    recipient: DigestPair,
    order: DigestPair,
    at: String,
    /// Its place in the journal.
    position: u64,
    log_entry: u64,
}

impl Committed {
    /// Whether it was there when a trace took its codes: at that position, or where the report names none at that time, and before the
    /// place of its record.
    fn was_there(&self, traced: Traced) -> bool {
        match traced.position {
            Some(position) => self.position <= position,
            None => self.position < traced.recorded && self.at.parse::<Timestamp>().is_ok_and(|at| at < traced.at),
        }
    }
}

impl Logged {
    /// Whether the copies of a product may hold decoys, as it was drafted.
    pub(super) fn has_decoys(&self, product: &ProductId) -> bool {
        let marking = self.products.get(product).and_then(|details| details.marking.as_ref());
        marking.is_some_and(|marking| marking.decoys_per_million > 0)
    }

    /// Whether a key was there when the trace took its codes; a recipient's, which all its orders have, by any of them.
    fn was_tested(&self, key: &DisclosedKey, committed: &Committed) -> bool {
        let Some(traced) = self.traced else { return true };
        let is_same = |other: &&Committed| match key.recipient {
            Some(_) => other.recipient == committed.recipient,
            None => other.order == committed.order,
        };
        self.orders.values().filter(is_same).any(|other| other.was_there(traced))
    }

    /// How a product's copies are marked, as it was drafted.
    pub(super) fn marking(&self, product: &ProductId) -> Result<Marking, String> {
        let details = self.products.get(product).ok_or("no proven record holds the product's marking")?;
        let chosen = details.marking.as_ref().ok_or("the product's proven record has no marking")?;
        marking_of(&details.key, chosen).map_err(|refusal| refusal.to_string())
    }

    /// How many codes of a product were there to be tested by the records of the bundle alone: of consumers, or of orders. All were at
    /// least these.
    fn registered_at_least(&self, product: &ProductId, of_orders: bool) -> u64 {
        let is_tested =
            |found: &Committed| found.product == *product && self.traced.is_none_or(|traced| found.was_there(traced));
        let of_product = self.orders.iter().filter(|(_, found)| is_tested(found));
        if of_orders {
            return of_product.count() as u64;
        }
        let codes: BTreeSet<(&PartyId, u32)> =
            of_product.map(|((_, epoch), found)| (&found.consumer, *epoch)).collect();
        codes.len() as u64
    }
}

impl TraceCheck {
    /// Why the evidence is not verified: where, and what; none where it is.
    pub fn problem(&self) -> Option<(&str, &str)> {
        let found = self.findings.first().map(|(place, problem)| (place.as_str(), problem.as_str()));
        let held = match self.held {
            HeldAgainst::Nothing => Some(
                "nothing in it is wrong, and no record of the trace bears it out: how many were tested, how often the file was tried \
                 and what the report says are the accuser's word",
            ),
            HeldAgainst::Totals => Some(
                "nothing in it is wrong, and the record of the trace is from before records committed to the report that is handed \
                 out: another report may have the same numbers",
            ),
            HeldAgainst::Report => None,
        };
        found.or(held.map(|problem| (CASE, problem)))
    }

    fn find(&mut self, place: &str, problem: impl Into<String>) {
        self.findings.push((place.to_owned(), problem.into()));
    }

    fn case(&mut self, evidence: &Evidence, expert: Option<(&[u8], &Fragment)>) {
        let Some(fragment) = evidence.order.strip_prefix(ABOUT) else {
            self.find("manifest line 2", "it is not the evidence of a trace; use `lingqu audit verify`");
            return;
        };
        let item = |name: &str| evidence.item(name).map(|item| item.bytes.as_slice());
        let Some((case, report_digest)) = item(CASE).and_then(CaseFile::read) else {
            self.find(CASE, "it is missing or can't be read");
            return;
        };
        let Some(keys) = item(KEYS).and_then(|bytes| serde_json::from_slice::<Vec<DisclosedKey>>(bytes).ok()) else {
            self.find(KEYS, "it is missing or can't be read");
            return;
        };
        self.fragment_digest = Some(case.report.fragment.digest.clone());
        self.bound = Some(case.report.bound);
        self.report = Some(case.report.clone());
        if case.report.fragment.digest != fragment {
            self.find(CASE, "it names another fragment than the manifest");
        }
        if case.format != FORMAT || case.report.decoder_version != DECODER_VERSION {
            self.find(
                CASE,
                format!("it was made by another version; verify it with one that has {FORMAT} and {DECODER_VERSION}"),
            );
            return;
        }
        if case.report.verdict != TraceVerdict::Accused {
            self.find(CASE, "its verdict accuses nobody");
        }
        self.tries = case.report.tries;
        self.bounds(&case);
        self.once(&keys);
        let mut logged = self.logged(evidence);
        logged.traced = self.traced(&case, &logged);
        self.numbers(&case);
        self.recorded(&logged, &case, &keys, &report_digest);
        unproven(&case.report, &keys, &logged).into_iter().for_each(|problem| self.find(CASE, problem));
        let expert = expert.and_then(|(sealed, file)| {
            let opened = Expert::open(sealed, case.sealed.as_deref(), &case.report.fragment.digest, file);
            opened.map_err(|problem| self.find("sealed annex", problem)).ok()
        });
        let mut observed = expert.as_ref().map(|_| ObservedAgain::default());
        let mut marks = BTreeMap::new();
        for product in &case.products {
            let Some(observations) = item(&product.observations).and_then(decode) else {
                self.find(&product.observations, "it is missing or can't be read");
                continue;
            };
            if let Some(shown) = self.product(product, &observations, &keys, &logged) {
                marks.insert(product.product.clone(), shown);
            }
            let Some(expert) = &expert else { continue };
            match expert.look(&product.product, product.epoch, &observations, &logged) {
                Ok(found) => {
                    if let Some(observed) = &mut observed {
                        observed.rows += found.rows;
                        observed.rows_traced = found.rows_traced;
                        observed.positions += found.positions;
                    }
                }
                Err(problem) => {
                    self.find(&product.observations, problem);
                    observed = None;
                }
            }
        }
        self.observed = observed;
        unlike(&case.report, &self.accused, &marks).into_iter().for_each(|problem| self.find(CASE, problem));
    }

    /// Each test has the part of the bound that it was given before anybody looked: all tests of all marked products share evenly what
    /// is left for this try. Who may choose the parts could give nearly all to the one test that accuses whom he likes.
    fn bounds(&mut self, case: &CaseFile) {
        // A case from before tries were counted had all of the bound, and no record.
        let share = case.report.tries.map_or(1.0, |tries| share_after(tries.before));
        let count = case.report.products.iter().filter(|product| product.marks.is_some()).count();
        let plan = Plan::new(case.report.bound * share, count, 1, 1);
        let is_planned =
            |stated: f64, plan: &Settings| (stated - plan.bound).abs() <= NUMBER_DIFFERENCE_MAX * plan.bound;
        let mut tested = BTreeSet::new();
        for CaseProduct { product, recipients, orders, .. } in &case.products {
            if !is_planned(recipients.bound, &plan.recipients) || !is_planned(orders.bound, &plan.orders) {
                self.find(
                    CASE,
                    format!("the tests of {product} don't have an even share of the bound that is left for this try"),
                );
            }
            if !tested.insert(product) {
                self.find(CASE, format!("it tests {product} twice"));
            }
        }
    }

    /// Each key is disclosed once, a recipient's by one of its orders.
    fn once(&mut self, keys: &[DisclosedKey]) {
        let mut disclosed = BTreeSet::new();
        for DisclosedKey { product, order, code_epoch, recipient, .. } in keys {
            let of_order = recipient.is_none().then_some(order);
            if !disclosed.insert((product, recipient, of_order, code_epoch)) {
                self.find(KEYS, format!("the key of {order} is disclosed twice"));
            }
        }
    }

    /// No fewer are registered than were tested, by the report itself.
    fn numbers(&mut self, case: &CaseFile) {
        for product in &case.products {
            let (name, registered) = (&product.product, product.recipients.registered);
            let Some(marks) = marks_of(&case.report, name) else {
                self.find(CASE, format!("its report says nothing of the marks of {name}"));
                continue;
            };
            if marks.registered != registered {
                self.find(CASE, format!("it states two numbers of registered recipients of {name}"));
            }
            if registered < marks.tested as u64 {
                self.find(CASE, format!("it states fewer registered recipients of {name} than were tested"));
            }
            // Each code of a recipient has an order's beside it.
            if product.orders.registered < registered {
                self.find(CASE, format!("it states fewer registered orders of {name} than recipients"));
            }
        }
    }

    /// When the trace took its codes, by its report, and the place of its record. Codes are counted by that, so a report that puts it
    /// back by more than a day, to when fewer were registered, is found, and one that puts it after its record.
    fn traced(&mut self, case: &CaseFile, logged: &Logged) -> Option<Traced> {
        let recorded = logged.traces.get(case.recorded.as_ref()?)?;
        self.journal_position = case.report.journal_position;
        let times = case.report.traced_at.parse::<Timestamp>().ok().zip(recorded.at.parse::<Timestamp>().ok());
        let Some((at, recorded_at)) = times else {
            self.find(CASE, "it doesn't say at which time it took the codes that were tested");
            return None;
        };
        let took = recorded_at.duration_since(at);
        if took > TEST_TIME_MAX {
            self.find(
                CASE,
                format!(
                    "it says that codes were taken at {at}, and not within a day before it was recorded at {recorded_at}: trace the file again"
                ),
            );
            return None;
        }
        if took < -CLOCKS_DIFFER_MAX {
            self.find(
                CASE,
                format!(
                    "it says that codes were taken at {at}, after it was recorded at {recorded_at}: see that the node's clock is right and \
                     trace the file again"
                ),
            );
            return None;
        }
        let traced = Traced { at, position: case.report.journal_position, recorded: recorded.position };
        if let Some(problem) = traced.unlike(&logged.times) {
            self.find(CASE, problem);
            return None;
        }
        self.records_between = traced.position.map(|position| recorded.position - position - 1);
        Some(traced)
    }

    /// Holds the case against the record of the trace that the journal had before the report was shown.
    fn recorded(&mut self, logged: &Logged, case: &CaseFile, keys: &[DisclosedKey], report_digest: &str) {
        let Some(recorded) = &case.recorded else { return };
        let Some(Recorded { position, details, .. }) = logged.traces.get(recorded) else {
            self.find(CASE, format!("the journal's record {recorded} of the trace is not among the proven records"));
            return;
        };
        for order in committed_after(*position, keys, &logged.orders) {
            self.find(KEYS, format!("the keys of {order} were committed to after the trace was recorded"));
        }
        let differs = differs(details, case, report_digest);
        if !differs.is_empty() {
            self.find(CASE, format!("the journal's record {recorded} says otherwise: {}", differs.join(", ")));
            return;
        }
        self.recorded = Some(recorded.clone());
        // A record of marked products that has the one has the other.
        let is_whole = details.shown_report_digest.is_some() && !details.tested.is_empty();
        self.held = if is_whole { HeldAgainst::Report } else { HeldAgainst::Totals };
    }

    /// What the proven records say: of orders those whose placing and key commitments are among them.
    fn logged(&mut self, evidence: &Evidence) -> Logged {
        let Ok(records) = evidence.records() else {
            self.find("record", "the records can't be read");
            return Logged::default();
        };
        let mut placed: BTreeMap<String, (OrderId, PartyId, ProductId)> = BTreeMap::new();
        let mut logged = Logged::default();
        let (mut journal, receipts): (Vec<_>, Vec<_>) =
            records.iter().partition(|record| record.kind == RecordKind::Journal);
        for record in receipts {
            if !logged.known.add_receipt(&record.bytes) {
                self.find(&format!("receipt record {}", record.position), "it can't be read");
            }
        }
        journal.sort_by_key(|record| record.position);
        for record in journal {
            let Some((stream, at, event)) = read(&record.bytes) else {
                self.find(&format!("journal record {}", record.position), "it can't be read");
                continue;
            };
            logged.known.add_event(&stream, &event);
            logged.times.extend(at.parse::<Timestamp>().ok().map(|at| (record.position, at)));
            match event {
                Event::Order(OrderEvent::Placed { consumer, details, .. }) => {
                    if let Ok(order) = stream.parse() {
                        placed.insert(stream, (order, consumer, details.product.clone()));
                    }
                }
                Event::Product(ProductEvent::Drafted { details, .. }) => {
                    if let Ok(product) = stream.parse() {
                        logged.products.insert(product, *details);
                    }
                }
                Event::Trace(TraceEvent::Recorded { details }) => {
                    logged.traces.insert(stream, Recorded { position: record.position, at, details: *details });
                }
                Event::Order(OrderEvent::MarkKeysCommitted { holder, commitments }) => {
                    let Some((order, consumer, product)) = placed.get(&stream).cloned() else { continue };
                    logged.orders.insert(
                        (order, commitments.code_epoch),
                        Committed {
                            consumer,
                            product,
                            holder,
                            epoch: commitments.epoch,
                            positions: commitments.positions,
                            recipient: commitments.recipient,
                            order: commitments.order,
                            at,
                            position: record.position,
                            log_entry: record.entry_index,
                        },
                    );
                }
                _ => {}
            }
        }
        logged
    }

    /// Computes the accusations of one product again, and what its marks show; none of that where a test can't be made.
    fn product(
        &mut self,
        case: &CaseProduct,
        observations: &[Observation],
        keys: &[DisclosedKey],
        logged: &Logged,
    ) -> Option<MarksTrace> {
        let marking = logged.marking(&case.product).map_err(|problem| self.find(CASE, problem)).ok();
        let has =
            |one: &Observation, marking: &Marking| has_channel(marking, logged.has_decoys(&case.product), one.source);
        if marking.as_ref().is_some_and(|marking| !observations.iter().all(|one| has(one, marking))) {
            self.find(&case.observations, "it shows what the product's marking doesn't have");
        }
        let settings = |of: CaseSettings, orders| Settings { bound: of.bound, registered: of.registered, orders };
        let plan = Plan { recipients: settings(case.recipients, false), orders: settings(case.orders, true) };
        let mut test = |settings| self.test(case, observations, keys, logged, settings, marking.as_ref());
        let (recipients, orders) = (test(&plan.recipients), test(&plan.orders));
        let judged = Judged { recipients: recipients?, orders: orders? };
        Some(marks_trace(&marking?, case.epoch, &plan, &judged))
    }

    /// Tests the disclosed keys of recipients, or of orders.
    fn test(
        &mut self,
        case: &CaseProduct,
        observations: &[Observation],
        keys: &[DisclosedKey],
        logged: &Logged,
        settings: &Settings,
        marking: Option<&Marking>,
    ) -> Option<Verdict> {
        let (mut codes, mut owners) = (Vec::new(), Vec::new());
        let is_tested = |key: &&DisclosedKey| key.product == case.product && key.recipient.is_none() == settings.orders;
        for key in keys.iter().filter(is_tested) {
            let Some(committed) = logged.orders.get(&(key.order.clone(), key.code_epoch)) else {
                self.find(KEYS, format!("no proven record commits to the keys of {}", key.order));
                continue;
            };
            match opened(key, committed, case) {
                Ok(code) => {
                    if !logged.was_tested(key, committed) {
                        self.find(
                            KEYS,
                            format!("the keys of {} were committed to after the trace had taken its codes", key.order),
                        );
                    }
                    codes.push(code);
                    owners.push((key, committed));
                }
                Err(problem) => self.find(KEYS, format!("the key of {}: {problem}", key.order)),
            }
        }
        let known = logged.registered_at_least(&case.product, settings.orders);
        if !codes.is_empty() && settings.registered < known {
            self.find(
                CASE,
                format!("it states {} registered, and its own records commit to {known} keys", settings.registered),
            );
        }
        let verdict = accuse(observations, &codes, settings, &score_each);
        let verdict = verdict.map_err(|error| self.find(CASE, error.to_string())).ok()?;
        for accusation in &verdict.accused {
            let Some((key, committed)) = owners.get(accusation.candidate) else { continue };
            let log_p_value = in_whole_case(accusation.log_p_value, self.bound.unwrap_or(settings.bound), settings);
            self.accused.push(CheckedAccusation {
                product: case.product.clone(),
                consumer: committed.consumer.clone(),
                code_epoch: key.code_epoch,
                order: settings.orders.then(|| key.order.clone()),
                log_p_value,
                p_value: log_p_value.exp(),
                decoder: DECODER_NAMES.get(accusation.decoder).copied().unwrap_or_default().to_owned(),
                pass: accusation.pass,
                channels: marking.map(|marking| support(marking, &accusation.support)).unwrap_or_default(),
                registered: settings.registered,
                bound: settings.bound,
                committed_at: committed.at.clone(),
                log_entry: committed.log_entry,
                seen: None,
                holder: committed.holder.clone(),
            });
        }
        Some(verdict)
    }

    /// Looks up since when the commitments stand in the log, by the time of somebody else.
    fn seen(&mut self, evidence: &Evidence, trust: &EvidenceTrust, log: &NoteVerifier) {
        for accused in &mut self.accused {
            match seen(evidence, trust, log, accused.log_entry) {
                Ok(found) => accused.seen = found,
                Err(finding) => self.findings.push(finding),
            }
        }
    }
}

/// What the report says of the marks of a product.
fn marks_of<'r>(report: &'r TraceReport, product: &ProductId) -> Option<&'r MarksTrace> {
    report.products.iter().find(|found| found.product == *product)?.marks.as_ref()
}

/// Whether copies that are marked so may show anything by a channel.
fn has_channel(marking: &Marking, has_decoys: bool, source: Source) -> bool {
    match source {
        Source::Mark(number) => usize::from(number) < marking.marks.len(),
        Source::Presence => marking.presence.is_some(),
        Source::Decoy => has_decoys,
    }
}

/// In what a case says otherwise than the journal's record of its trace.
fn differs(details: &TraceDetails, case: &CaseFile, report_digest: &str) -> Vec<&'static str> {
    let report = &case.report;
    let of_marks = || report.products.iter().filter(|product| product.marks.is_some());
    let tested: u64 = of_marks().filter_map(|product| Some(product.marks.as_ref()?.tested as u64)).sum();
    let orders: u64 = case.products.iter().map(|product| product.orders.registered).sum();
    // Of products that accuse nobody no test is in the bundle.
    let are_all_there = of_marks().all(|of| case.products.iter().any(|product| product.product == of.product));
    let are_all_orders = if are_all_there { orders == details.orders_tested } else { orders <= details.orders_tested };
    let is_bound = |bound: f64| (bound - report.bound).abs() <= NUMBER_DIFFERENCE_MAX * report.bound;
    let is_try = |tries: TriesTrace| {
        let share = share_after(tries.before);
        tries.before == details.tries_before && (tries.share - share).abs() <= NUMBER_DIFFERENCE_MAX * share
    };
    let is_tested = |product: &CaseProduct| {
        let codes = TestedCodes { orders: product.orders.registered, recipients: product.recipients.registered };
        details.tested.get(&product.product) == Some(&codes)
    };
    let words = (report.reason.clone(), report.reason_en.clone());
    let is_reason = |bound: f64| words == accusing_words(report.accused.len(), bound);
    let told = [
        ("report", details.shown_report_digest.as_deref().is_none_or(|digest| digest == report_digest)),
        ("reason", details.bound.parse().is_ok_and(is_reason)),
        ("bound", details.bound.parse().is_ok_and(is_bound)),
        ("tries", report.tries.is_some_and(is_try)),
        ("decoders", details.decoder_version == report.decoder_version),
        ("rows", details.fragment_rows == report.fragment.rows_traced),
        ("position in the journal", details.journal_position == report.journal_position),
        ("number of recipients", details.recipients_tested == tested && tested == report.tested as u64),
        ("number of orders", are_all_orders),
        ("codes of each product", details.tested.is_empty() || case.products.iter().all(is_tested)),
    ];
    told.into_iter().filter(|(_, same)| !same).map(|(name, _)| name).collect()
}

/// The orders among those of disclosed keys whose keys were committed to after a place in the journal: by the file that is traced
/// one can make keys that accuse anybody.
fn committed_after<'k>(
    position: u64,
    keys: &'k [DisclosedKey],
    committed: &BTreeMap<(OrderId, u32), Committed>,
) -> BTreeSet<&'k OrderId> {
    let of_key = |key: &&DisclosedKey| committed.get(&(key.order.clone(), key.code_epoch));
    keys.iter().filter(|key| of_key(key).is_some_and(|found| found.position > position)).map(|key| &key.order).collect()
}

/// Stream, time and event of a journal record's committed bytes.
fn read(bytes: &[u8]) -> Option<(String, String, Event)> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let stream = value.get("stream")?.as_str()?.to_owned();
    let at = value.get("at")?.as_str()?.to_owned();
    let event = serde_json::from_value(value.get_mut("body")?.take()).ok()?;
    Some((stream, at, event))
}

/// The code of a disclosed key that is what was committed to, for this very use.
fn opened(key: &DisclosedKey, committed: &Committed, case: &CaseProduct) -> Result<RecipientCode, String> {
    let profile = [Profile::Aes, Profile::Sm4].into_iter().find(|profile| profile.name() == key.profile);
    let profile = profile.ok_or("its profile is not known")?;
    let bytes = |text: &str| hex::decode(text).ok();
    let secret: [u8; 32] = bytes(&key.key).and_then(|bytes| bytes.try_into().ok()).ok_or("it is not 32 bytes")?;
    let salt: [u8; 16] = bytes(&key.salt).and_then(|bytes| bytes.try_into().ok()).ok_or("its salt is not 16 bytes")?;
    if committed.product != case.product || committed.epoch != case.epoch {
        return Err("it was committed to for another product or epoch".to_owned());
    }
    if key.recipient.as_ref().is_some_and(|recipient| *recipient != committed.consumer) {
        return Err("the order is of another consumer".to_owned());
    }
    let table = case.product.as_str();
    let (key_use, logged) = match &key.recipient {
        Some(recipient) => (KeyUse::recipient(table, recipient.as_str(), key.code_epoch), committed.recipient),
        None => (KeyUse::order(table, key.order.as_str(), key.code_epoch), committed.order),
    };
    let opening = Opening { key: MarkKey::from_bytes(profile, secret), salt: Salt(salt) };
    Commitment(logged).verify(&opening, &key_use).map_err(|error| error.to_string())?;
    Ok(RecipientCode::new(&opening.key))
}

#[cfg(test)]
mod tests;
