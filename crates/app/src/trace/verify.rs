//! Verification of a trace's evidence, by anybody, offline: the commitments stood in the log, the disclosed keys are what was
//! committed to, and by them the observations accuse as it is claimed. What can't be checked without the originals and the key
//! of positions is that the observations are the fragment's: that is the expert's, who gets both under seal.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_crypto::{DigestPair, Salt};
use lingqu_domain::event::Event;
use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_domain::order::OrderEvent;
use lingqu_fingerprint::{
    Commitment, DECODER_VERSION, KeyUse, MarkKey, Opening, Profile, RecipientCode, Settings, accuse, score_each,
};
use lingqu_transparency::{Evidence, EvidenceTrust, RecordKind, verify_evidence_with};
use serde::Serialize;

use super::evidence::{ABOUT, CASE, CaseFile, CaseProduct, DisclosedKey, FORMAT, KEYS, decode};
use super::report::TraceVerdict;

/// By how much, relatively, the logarithm of a recomputed p-value may differ from what is claimed: machines round sines and exponentials
/// differently.
const LOG_DIFFERENCE_MAX: f64 = 1e-6;

/// What the verification of a trace's evidence found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceCheck {
    /// True when nothing is wrong.
    pub verified: bool,
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
    /// The order, where it is the order's key.
    pub order: Option<OrderId>,
    /// Natural logarithm of the p-value.
    pub log_p_value: f64,
    /// The p-value.
    pub p_value: f64,
    /// How many had a key for the product, by which the p-value is multiplied: as the accuser states it. It is to be counted
    /// from the commitments that the log holds.
    pub registered: u64,
    /// The bound of this test, as the accuser states it.
    pub bound: f64,
    /// When the commitment was recorded.
    pub committed_at: String,
    /// The log's entry that holds it.
    pub log_entry: u64,
    /// Who held the other half of the key.
    pub holder: PartyId,
}

/// Verifies the evidence of a trace.
pub fn verify_trace(file: &[u8], trust: &EvidenceTrust) -> TraceCheck {
    let checked = verify_evidence_with(file, trust);
    let mut check = TraceCheck {
        verified: false,
        node: checked.evidence.as_ref().map(|evidence| evidence.node.clone()),
        key_is_trusted: checked.key_is_trusted,
        log_size: checked.checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size),
        witnesses: checked.cosigned.len(),
        fragment_digest: None,
        bound: None,
        accused: Vec::new(),
        findings: checked.findings.into_iter().map(|finding| (finding.item, finding.problem)).collect(),
    };
    if let Some(evidence) = &checked.evidence {
        check.case(evidence);
    }
    check.verified = check.findings.is_empty();
    check
}

/// What the log says of an order.
struct Committed {
    consumer: PartyId,
    product: ProductId,
    holder: PartyId,
    epoch: u32,
    recipient: DigestPair,
    order: DigestPair,
    at: String,
    log_entry: u64,
}

impl TraceCheck {
    fn find(&mut self, place: &str, problem: impl Into<String>) {
        self.findings.push((place.to_owned(), problem.into()));
    }

    fn case(&mut self, evidence: &Evidence) {
        let Some(fragment) = evidence.order.strip_prefix(ABOUT) else {
            self.find("manifest line 2", "it is not the evidence of a trace; use `lingqu audit verify`");
            return;
        };
        let item = |name: &str| evidence.item(name).map(|item| item.bytes.as_slice());
        let Some(case) = item(CASE).and_then(|bytes| serde_json::from_slice::<CaseFile>(bytes).ok()) else {
            self.find(CASE, "it is missing or can't be read");
            return;
        };
        let Some(keys) = item(KEYS).and_then(|bytes| serde_json::from_slice::<Vec<DisclosedKey>>(bytes).ok()) else {
            self.find(KEYS, "it is missing or can't be read");
            return;
        };
        self.fragment_digest = Some(case.report.fragment.digest.clone());
        self.bound = Some(case.report.bound);
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
        // The whole case's bound covers every test.
        let stated: f64 = case.products.iter().map(|product| product.recipients.bound + product.orders.bound).sum();
        if stated.is_nan() || stated > case.report.bound * (1.0 + 1e-9) {
            self.find(CASE, "its tests together have a larger bound than is stated");
        }
        let committed = self.committed(evidence);
        for product in &case.products {
            let Some(observations) = item(&product.observations).and_then(decode) else {
                self.find(&product.observations, "it is missing or can't be read");
                continue;
            };
            self.product(product, &observations, &keys, &committed);
        }
        self.claims(&case);
    }

    /// The orders whose placing and key commitments are among the proven records.
    fn committed(&mut self, evidence: &Evidence) -> BTreeMap<OrderId, Committed> {
        let Ok(records) = evidence.records() else {
            self.find("record", "the records can't be read");
            return BTreeMap::new();
        };
        let mut placed: BTreeMap<OrderId, (PartyId, ProductId)> = BTreeMap::new();
        let mut found = BTreeMap::new();
        let mut journal: Vec<_> = records.iter().filter(|record| record.kind == RecordKind::Journal).collect();
        journal.sort_by_key(|record| record.position);
        for record in journal {
            let Some((order, at, event)) = read(&record.bytes) else {
                self.find(&format!("journal record {}", record.position), "it can't be read");
                continue;
            };
            match event {
                Event::Order(OrderEvent::Placed { consumer, details, .. }) => {
                    placed.insert(order, (consumer, details.product.clone()));
                }
                Event::Order(OrderEvent::MarkKeysCommitted { holder, commitments }) => {
                    let Some((consumer, product)) = placed.get(&order).cloned() else { continue };
                    found.insert(
                        order,
                        Committed {
                            consumer,
                            product,
                            holder,
                            epoch: commitments.epoch,
                            recipient: commitments.recipient,
                            order: commitments.order,
                            at,
                            log_entry: record.entry_index,
                        },
                    );
                }
                _ => {}
            }
        }
        found
    }

    /// Computes the accusations of one product again.
    fn product(
        &mut self,
        case: &CaseProduct,
        observations: &[lingqu_fingerprint::Observation],
        keys: &[DisclosedKey],
        committed: &BTreeMap<OrderId, Committed>,
    ) {
        for of_orders in [false, true] {
            let (mut codes, mut owners) = (Vec::new(), Vec::new());
            for key in keys.iter().filter(|key| key.product == case.product && key.recipient.is_none() == of_orders) {
                let Some(committed) = committed.get(&key.order) else {
                    self.find(KEYS, format!("no proven record commits to the keys of {}", key.order));
                    continue;
                };
                match opened(key, committed, case) {
                    Ok(code) => {
                        codes.push(code);
                        owners.push((key, committed));
                    }
                    Err(problem) => self.find(KEYS, format!("the key of {}: {problem}", key.order)),
                }
            }
            if codes.is_empty() {
                continue;
            }
            let of = if of_orders { case.orders } else { case.recipients };
            let known = registered_at_least(&case.product, committed, of_orders);
            if of.registered < known {
                self.find(
                    CASE,
                    format!("it states {} registered, and its own records commit to {known} keys", of.registered),
                );
            }
            let settings = Settings { bound: of.bound, registered: of.registered, orders: of_orders };
            let verdict = match accuse(observations, &codes, &settings, &score_each) {
                Ok(verdict) => verdict,
                Err(error) => {
                    self.find(CASE, error.to_string());
                    continue;
                }
            };
            for accusation in verdict.accused {
                let Some((key, committed)) = owners.get(accusation.candidate) else { continue };
                self.accused.push(CheckedAccusation {
                    product: case.product.clone(),
                    consumer: committed.consumer.clone(),
                    order: of_orders.then(|| key.order.clone()),
                    log_p_value: accusation.log_p_value,
                    p_value: accusation.log_p_value.exp(),
                    registered: of.registered,
                    bound: of.bound,
                    committed_at: committed.at.clone(),
                    log_entry: committed.log_entry,
                    holder: committed.holder.clone(),
                });
            }
        }
    }

    /// Holds what is claimed against what was computed.
    fn claims(&mut self, case: &CaseFile) {
        let mut claimed: BTreeSet<(ProductId, PartyId, Option<OrderId>)> = BTreeSet::new();
        let mut problems = Vec::new();
        for accused in &case.report.accused {
            let orders = accused.orders.iter().filter_map(|order| Some((order.order.clone(), order.log_p_value?)));
            let orders: Vec<(OrderId, f64)> = orders.collect();
            let computed = |order: Option<&OrderId>| {
                self.accused.iter().find(|found| {
                    found.product == accused.product
                        && found.consumer == accused.consumer
                        && found.order.as_ref() == order
                })
            };
            let mut compare = |order: Option<&OrderId>, claim: f64| {
                let of = order.map_or_else(|| accused.consumer.to_string(), ToString::to_string);
                match computed(order) {
                    None => problems.push(format!("{of} is accused and by its key it would not be")),
                    Some(found) if (found.log_p_value - claim).abs() > LOG_DIFFERENCE_MAX * (1.0 + claim.abs()) => {
                        problems.push(format!("the p-value of {of} is another"));
                    }
                    Some(_) => {}
                }
                claimed.insert((accused.product.clone(), accused.consumer.clone(), order.cloned()));
            };
            // A consumer may be named by an order's code alone.
            if computed(None).is_some() || orders.is_empty() {
                compare(None, accused.log_p_value);
            }
            for (order, claim) in &orders {
                compare(Some(order), *claim);
            }
        }
        problems.into_iter().for_each(|problem| self.find(CASE, problem));
        let unclaimed = self
            .accused
            .iter()
            .any(|found| !claimed.contains(&(found.product.clone(), found.consumer.clone(), found.order.clone())));
        if unclaimed {
            self.find(CASE, "a disclosed key accuses somebody whom the case does not name");
        }
    }
}

/// How many had a key for a product by the records of the bundle alone: consumers, or orders. All who had one are at least these.
fn registered_at_least(product: &ProductId, committed: &BTreeMap<OrderId, Committed>, of_orders: bool) -> u64 {
    let of_product = committed.values().filter(|found| found.product == *product);
    if of_orders {
        return of_product.count() as u64;
    }
    of_product.map(|found| &found.consumer).collect::<BTreeSet<_>>().len() as u64
}

/// Stream, time and event of a journal record's committed bytes; none of a stream that is no order's.
fn read(bytes: &[u8]) -> Option<(OrderId, String, Event)> {
    let mut value: serde_json::Value = serde_json::from_slice(bytes).ok()?;
    let order = value.get("stream")?.as_str()?.parse().ok()?;
    let at = value.get("at")?.as_str()?.to_owned();
    let event = serde_json::from_value(value.get_mut("body")?.take()).ok()?;
    Some((order, at, event))
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
        Some(recipient) => (KeyUse::Recipient { table, recipient: recipient.as_str() }, committed.recipient),
        None => (KeyUse::Order { table, order: key.order.as_str() }, committed.order),
    };
    let opening = Opening { key: MarkKey::from_bytes(profile, secret), salt: Salt(salt) };
    Commitment(logged).verify(&opening, &key_use).map_err(|error| error.to_string())?;
    Ok(RecipientCode::new(&opening.key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_fewer_are_registered_than_the_bundle_itself_has_keys_of() {
        let product = |digit: u8| format!("prd_{digit:032x}").parse::<ProductId>().unwrap();
        let party = |digit: u8| format!("pty_{digit:032x}").parse::<PartyId>().unwrap();
        let committed = |consumer: u8, of: u8| Committed {
            consumer: party(consumer),
            product: product(of),
            holder: party(9),
            epoch: 1,
            recipient: DigestPair::of(&[consumer]),
            order: DigestPair::of(&[consumer, of]),
            at: String::new(),
            log_entry: 0,
        };
        let all = [committed(1, 1), committed(1, 1), committed(2, 1), committed(3, 2)];
        let all: BTreeMap<OrderId, Committed> = (0..)
            .zip(all)
            .map(|(order, found): (u8, _)| (format!("ord_{order:032x}").parse().unwrap(), found))
            .collect();
        let least = |of: u8, of_orders| registered_at_least(&product(of), &all, of_orders);
        assert_eq!([least(1, false), least(1, true), least(2, false), least(2, true)], [2, 3, 1, 1]);
        assert_eq!([least(4, false), least(4, true)], [0, 0]);
    }
}
