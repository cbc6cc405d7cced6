//! What a report claims of its accusations and of the marks, held against what keys and observations come to again: p-values, decoder
//! and pass, channel by channel what supports an accusation, how many positions the file shows, with which power, and what happened
//! to the marks; and that it says what voids it.
//!
//! How many rows of the file were found takes the originals, and is the node's word. So is what it says of the marks of products that
//! accuse nobody, whose observations are in no evidence.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::id::ProductId;

use super::accusation::has_decoys;
use super::report::{Accused, ChannelTrace, MarksTrace, Support, TraceReport};
use super::told::assumptions;
use super::verify::CheckedAccusation;

/// By how much, relatively, what is computed again may differ: machines round sines and exponentials differently.
const DIFFERENCE_MAX: f64 = 1e-6;

/// What a report claims otherwise than it was computed again, of those whom it accuses and of the marks of these products.
pub(super) fn unlike(
    report: &TraceReport,
    again: &[CheckedAccusation],
    marks: &BTreeMap<ProductId, MarksTrace>,
) -> Vec<String> {
    let mut problems: Vec<String> = report.accused.iter().flat_map(|accused| of_accused(accused, again)).collect();
    let mut named = BTreeSet::new();
    for Accused { consumer, product, code_epoch, .. } in &report.accused {
        if !named.insert((consumer, product, code_epoch)) {
            problems.push(format!("{consumer} is accused twice by one code"));
        }
    }
    if again.iter().any(|found| !is_claimed(found, report)) {
        problems.push("a disclosed key accuses somebody whom the case does not name".to_owned());
    }
    for product in &report.products {
        let (Some(claimed), Some(found)) = (&product.marks, marks.get(&product.product)) else { continue };
        let otherwise = of_marks(claimed, found);
        if !otherwise.is_empty() {
            let (product, parts) = (&product.product, otherwise.join(", "));
            problems.push(format!("what the marks of {product} show is told otherwise than the observations: {parts}"));
        }
    }
    // Reports from before they named a position didn't say whose word decoys are.
    let by_decoys = report.journal_position.is_some() && report.accused.iter().any(|found| has_decoys(&found.channels));
    if report.assumptions != assumptions(true, by_decoys) {
        problems.push("it does not say in the words of this version what voids its answer".to_owned());
    }
    problems
}

fn of_accused(accused: &Accused, again: &[CheckedAccusation]) -> Vec<String> {
    let own: Vec<&CheckedAccusation> = again.iter().filter(|found| is_of(found, accused)).collect();
    let consumer = &accused.consumer;
    let mut problems = Vec::new();
    // A consumer may be named by an order's code alone: then by the surest of them, which come first.
    match own.iter().find(|found| found.order.is_none()).or(own.first()) {
        None => problems.push(format!("{consumer} is accused and by its key it would not be")),
        Some(found) => {
            if !is_p_value(accused.p_value, accused.log_p_value, found) {
                problems.push(format!("the p-value of {consumer} is another"));
            }
            let otherwise = of_support(accused, found);
            if !otherwise.is_empty() {
                let parts = otherwise.join(", ");
                problems.push(format!("what supports the accusation of {consumer} is told otherwise: {parts}"));
            }
        }
    }
    for order in &accused.orders {
        let found = own.iter().find(|found| found.order.as_ref() == Some(&order.order));
        let order_id = &order.order;
        match (order.p_value, order.log_p_value, found) {
            (None, None, _) => {}
            (Some(p), Some(log), Some(found)) if is_p_value(p, log, found) => {}
            (_, Some(_), None) => problems.push(format!("{order_id} is accused and by its key it would not be")),
            _ => problems.push(format!("the p-value of {order_id} is another")),
        }
    }
    problems
}

/// In which parts what supports an accusation is told otherwise.
fn of_support(accused: &Accused, found: &CheckedAccusation) -> Vec<String> {
    let parts = [("decoder", accused.decoder == found.decoder), ("pass", accused.pass == found.pass)];
    let is_same = |claimed: &Support, found: &Support| {
        claimed.columns == found.columns && claimed.positions == found.positions && is_near(claimed.score, found.score)
    };
    let channels = differing(&accused.channels, &found.channels, is_same);
    [different(&parts), channels].concat()
}

/// In which parts what the marks show is told otherwise. How many were tested and registered, the record of the trace has.
fn of_marks(claimed: &MarksTrace, found: &MarksTrace) -> Vec<String> {
    let is_needed = match (claimed.needed, found.needed) {
        (Some(claimed), Some(found)) => is_near(claimed, found),
        (claimed, found) => claimed == found,
    };
    let parts = [
        ("epoch", claimed.epoch == found.epoch),
        ("positions", claimed.positions == found.positions),
        ("positions of orders", claimed.order_positions == found.order_positions),
        ("whether an accusation is possible", claimed.possible == found.possible),
        ("power", is_near(claimed.power, found.power)),
        ("how much is needed", is_needed),
    ];
    let is_same = |claimed: &ChannelTrace, found: &ChannelTrace| {
        is_near(claimed.noise, found.noise)
            && is_near(claimed.flipped, found.flipped)
            && is_near(claimed.replaced, found.replaced)
    };
    let channels = differing(&claimed.channels, &found.channels, is_same);
    [different(&parts), channels].concat()
}

/// Of parts those that are not the same.
fn different(parts: &[(&str, bool)]) -> Vec<String> {
    parts.iter().filter(|(_, same)| !same).map(|(name, _)| (*name).to_owned()).collect()
}

/// Channels that are not the same, or only in one of both.
fn differing<T>(
    claimed: &BTreeMap<String, T>,
    found: &BTreeMap<String, T>,
    is_same: impl Fn(&T, &T) -> bool,
) -> Vec<String> {
    let names: BTreeSet<&String> = claimed.keys().chain(found.keys()).collect();
    let differs = |name: &&String| match (claimed.get(*name), found.get(*name)) {
        (Some(claimed), Some(found)) => !is_same(claimed, found),
        _ => true,
    };
    names.into_iter().filter(differs).map(|name| format!("channel {name}")).collect()
}

fn is_claimed(found: &CheckedAccusation, report: &TraceReport) -> bool {
    let mut claims = report.accused.iter().filter(|accused| is_of(found, accused));
    match &found.order {
        None => claims.next().is_some(),
        Some(order) => {
            claims.flat_map(|accused| &accused.orders).any(|claim| claim.order == *order && claim.log_p_value.is_some())
        }
    }
}

fn is_of(found: &CheckedAccusation, accused: &Accused) -> bool {
    found.product == accused.product && found.consumer == accused.consumer && found.code_epoch == accused.code_epoch
}

/// Whether a p-value and its logarithm are those that were computed. One that is too small to be written is zero.
fn is_p_value(p: f64, log: f64, found: &CheckedAccusation) -> bool {
    let of_log = log.exp();
    is_near(log, found.log_p_value) && (p - of_log).abs() <= DIFFERENCE_MAX * of_log + f64::MIN_POSITIVE
}

fn is_near(claimed: f64, found: f64) -> bool {
    (claimed - found).abs() <= DIFFERENCE_MAX * (1.0 + claimed.abs())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn id(prefix: &str, digit: u8) -> String {
        format!("{prefix}_{digit:032x}")
    }

    /// What the code of a consumer or of one of his orders comes to.
    fn computed(consumer: u8, order: Option<u8>, log_p_value: f64) -> CheckedAccusation {
        CheckedAccusation {
            product: id("prd", 1).parse().unwrap(),
            consumer: id("pty", consumer).parse().unwrap(),
            code_epoch: 0,
            order: order.map(|order| id("ord", order).parse().unwrap()),
            log_p_value,
            p_value: log_p_value.exp(),
            decoder: "single".to_owned(),
            pass: 0,
            channels: BTreeMap::new(),
            registered: 2,
            bound: 1e-6,
            committed_at: String::new(),
            log_entry: 0,
            seen: None,
            holder: id("pty", 9).parse().unwrap(),
        }
    }

    /// How a report accuses a consumer with one order, by logarithms.
    fn claimed(consumer: u8, log: f64, order: Option<f64>) -> Value {
        json!({
            "consumer": id("pty", consumer), "name": "", "product": id("prd", 1), "p_value": log.exp(), "log_p_value": log,
            "decoder": "single", "pass": 0, "channels": {}, "deliveries": [], "deliveries_more": 0, "rows_delivered": 0,
            "keys_held_by": [],
            "orders": [{ "order": id("ord", 5), "permits": [], "p_value": order.map(f64::exp), "log_p_value": order }],
        })
    }

    fn report(accused: &[Value]) -> TraceReport {
        let fragment = json!({
            "digest": "", "form": "separated", "rows_read": 9, "rows_traced": 9, "lines_left_out": 0, "columns": 1,
        });
        let report = json!({
            "verdict": "accused", "reason": "", "reason_en": "", "accused": accused, "bound": 1e-6, "tested": 2,
            "decoder_version": "1", "traced_at": "", "node": "", "fragment": fragment, "products": [], "versions_tried": 1,
            "versions_not_tried": 0, "deliveries_not_comparable": 0, "assumptions": assumptions(true, false),
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn claims_are_those_of_the_consumer_s_code_or_of_an_order_that_alone_names_him() {
        let told = |accused: &[Value], again: &[CheckedAccusation]| unlike(&report(accused), again, &BTreeMap::new());
        let (consumer, order) = (computed(1, None, -900.0), computed(1, Some(5), -40.0));
        let both = [consumer.clone(), order.clone()];
        assert_eq!(told(&[claimed(1, -900.0, Some(-40.0))], &both), Vec::<String>::new());
        assert_eq!(told(&[claimed(1, -40.0, Some(-40.0))], std::slice::from_ref(&order)), Vec::<String>::new());
        // Nobody is accused by more than his own code comes to, with an order beside it or without.
        for (claim, again) in [
            (claimed(1, -40.0, Some(-40.0)), both.to_vec()),
            (claimed(1, -900.0, Some(-40.0)), vec![order.clone()]),
            (claimed(1, -900.0, Some(-41.0)), both.to_vec()),
        ] {
            let told = told(std::slice::from_ref(&claim), &again);
            assert!(told.len() == 1 && told[0].contains("p-value"), "{claim}: {told:?}");
        }
        for (claim, again) in [
            (claimed(1, -900.0, Some(-40.0)), vec![consumer]),
            (claimed(1, -40.0, None), vec![]),
            (claimed(2, -900.0, None), vec![computed(2, Some(5), -900.0)]),
            (claimed(1, -900.0, None), vec![computed(1, None, -900.0), computed(2, None, -50.0)]),
        ] {
            let told = told(std::slice::from_ref(&claim), &again);
            let is_told = |one: &String| one.contains("it would not be") || one.contains("does not name");
            assert!(told.len() == 1 && is_told(&told[0]), "{claim}: {told:?}");
        }
    }

    #[test]
    fn a_report_says_that_decoys_are_the_node_s_word() {
        let channels = json!({ "decoy": { "columns": [], "positions": 9, "score": 30.0 } });
        let (mut claim, mut again) = (claimed(1, -900.0, None), computed(1, None, -900.0));
        claim["channels"] = channels.clone();
        again.channels = serde_json::from_value(channels).unwrap();
        let is_whole = |position: Option<u64>, by_decoys: bool| {
            let mut report = report(std::slice::from_ref(&claim));
            (report.journal_position, report.assumptions) = (position, assumptions(true, by_decoys));
            unlike(&report, std::slice::from_ref(&again), &BTreeMap::new()).is_empty()
        };
        assert_eq!([is_whole(Some(7), true), is_whole(Some(7), false)], [true, false]);
        // Reports from before they named a position have no such words.
        assert_eq!([is_whole(None, true), is_whole(None, false)], [false, true]);
    }
}
