//! What the marks of one product say about who had a fragment: observations from the alignment, then the test of every code.
//!
//! The order is what the bound rests on: rows are aligned and observed before anybody's code is asked, and what is tested,
//! how, and with which share of the bound is fixed by then.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use lingqu_domain::id::{OrderId, PartyId};
use lingqu_engine::OriginalRows;
use lingqu_engine::source::Fragment;
use lingqu_fingerprint::{
    DECODERS, FingerprintError, Marking, Observation, PositionSecrets, Possibility, RecipientCode, Scores, Settings,
    Sheet, Source, Verdict, Watch, accuse, score_each,
};

use super::TraceWatch;
use super::report::{ChannelTrace, MarksTrace, Support};
use super::sealed::{SealedVersion, columns_looked_at, sealed_version, shown};
use super::search::{Comparable, Matched};
use crate::fingerprint::{MarkedOrder, MarkedProduct};

/// Tests of one product that share its part of the bound: of recipients, and of orders.
const TESTS: f64 = 2.0;
/// Codes that a thread scores at a time, so that a trace can be stopped between.
const CODES_AT_A_TIME: usize = 256;

/// The settings of one product's tests. Fixed before any code is asked, and kept in the evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) recipients: Settings,
    pub(super) orders: Settings,
}

impl Plan {
    /// `bound` is the whole case's, which so many products share evenly.
    pub(super) fn new(bound: f64, products: usize, recipients: u64, orders: u64) -> Plan {
        let each = bound / (products.max(1) as f64 * TESTS);
        let settings = |registered: u64, orders| Settings { bound: each, registered: registered.max(1), orders };
        Plan { recipients: settings(recipients, false), orders: settings(orders, true) }
    }
}

/// What the p-value of one test comes to in the whole case, both by their logarithms: times what the case's bound was
/// divided by for that test, its tests, products and tries of the file. Where a test accuses it is at most the case's bound.
pub(super) fn in_whole_case(log_p_value: f64, case_bound: f64, test: &Settings) -> f64 {
    (log_p_value + (case_bound / test.bound).ln()).min(0.0)
}

/// A code of a recipient: that of one epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Recipient {
    pub(super) consumer: PartyId,
    pub(super) code_epoch: u32,
}

impl Recipient {
    pub(super) fn of(order: &MarkedOrder) -> Recipient {
        Recipient { consumer: order.consumer.clone(), code_epoch: order.code_epoch }
    }
}

/// The distinct recipients of a product, once for each epoch of their codes, with one of their orders each, which has the
/// recipient's key; by id.
pub(super) fn recipients_of(marked: &MarkedProduct) -> Vec<(Recipient, usize)> {
    let mut first: BTreeMap<Recipient, usize> = BTreeMap::new();
    for (place, order) in marked.orders.iter().enumerate() {
        first.entry(Recipient::of(order)).or_insert(place);
    }
    first.into_iter().collect()
}

/// What the fragment's rows show at the secret positions of a product, and, where that is asked, what an expert needs to see it
/// himself. No recipient's code is asked.
pub(super) fn observed(
    marked: &MarkedProduct,
    fragment: &Fragment,
    matched: &[&Matched],
    candidates: &[Comparable],
    keeps_originals: bool,
    watch: &TraceWatch,
) -> Result<(Vec<Observation>, Vec<SealedVersion>), FingerprintError> {
    let secrets = PositionSecrets::new(&marked.positions.key);
    let (mut all, mut kept) = (Vec::new(), Vec::new());
    for matched in matched {
        let Some(candidate) = candidates.get(matched.place) else { continue };
        let mut tell = |_, _| if watch.is_stopped() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) };
        // Of half a million rows with long texts the others would fill the memory, and say nothing.
        let originals = candidate.originals.of_columns(&columns_looked_at(&marked.marking));
        let originals = OriginalRows(matched.alignment.gather(&originals, &mut Watch(&mut tell))?);
        let rows = matched.alignment.rows.iter().enumerate();
        let decoys: Vec<usize> =
            rows.filter(|(_, row)| candidate.decoys.contains(row.original)).map(|(place, _)| place).collect();
        all.extend(shown(&marked.marking, &secrets, fragment, &matched.alignment, &originals, &decoys)?);
        if keeps_originals {
            let (made_from, snapshots) = (&candidate.version.name.1, &candidate.version.snapshots);
            let alignment = &matched.alignment;
            kept.push(sealed_version(&marked.marking, made_from, snapshots, alignment, &originals, &decoys)?);
        }
    }
    Ok((all, kept))
}

/// Both verdicts about one product.
pub(super) struct Judged {
    /// Of recipients, in the order of [`recipients_of`].
    pub(super) recipients: Verdict,
    /// Of orders, in the order of the product's.
    pub(super) orders: Verdict,
}

/// Tests recipients and orders. Error: a setting; it was stopped.
pub(super) fn judge(
    observations: &[Observation],
    recipients: &[RecipientCode],
    orders: &[RecipientCode],
    plan: &Plan,
    threads: usize,
    watch: &TraceWatch,
) -> Result<Judged, FingerprintError> {
    let score = |sheet: &Sheet, codes: &[RecipientCode]| score_on(threads, sheet, codes, watch);
    let recipients = accuse(observations, recipients, &plan.recipients, &score)?;
    let orders = accuse(observations, orders, &plan.orders, &score)?;
    // Scores of a run that was stopped are no scores.
    if watch.is_stopped() { Err(FingerprintError::Stopped) } else { Ok(Judged { recipients, orders }) }
}

/// Scores codes on several threads, in their order. After a stop the rest are left without.
pub(super) fn score_on(threads: usize, sheet: &Sheet, codes: &[RecipientCode], watch: &TraceWatch) -> Vec<Scores> {
    let mut scores: Vec<Scores> = vec![[f32::NEG_INFINITY; DECODERS]; codes.len()];
    let share = codes.len().div_ceil(threads.max(1)).max(1);
    let work = |codes: &[RecipientCode], scores: &mut [Scores]| {
        for (codes, scores) in codes.chunks(CODES_AT_A_TIME).zip(scores.chunks_mut(CODES_AT_A_TIME)) {
            if watch.is_stopped() {
                return;
            }
            scores.copy_from_slice(&score_each(sheet, codes));
        }
    };
    std::thread::scope(|scope| {
        for (codes, scores) in codes.chunks(share).zip(scores.chunks_mut(share)) {
            scope.spawn(move || work(codes, scores));
        }
    });
    scores
}

/// How the channel of decoys is named.
const DECOY: &str = "decoy";

/// Whether decoys support an accusation.
pub(super) fn has_decoys(channels: &BTreeMap<String, Support>) -> bool {
    channels.contains_key(DECOY)
}

/// How a channel is named.
fn channel_name(marking: &Marking, source: Source) -> String {
    match source {
        Source::Mark(number) => {
            marking.marks.get(usize::from(number)).map_or_else(|| number.to_string(), |mark| mark.name.clone())
        }
        Source::Presence => "presence".to_owned(),
        Source::Decoy => DECOY.to_owned(),
    }
}

/// Channel by channel what supports an accusation.
pub(super) fn support(marking: &Marking, of: &BTreeMap<Source, (u64, f64)>) -> BTreeMap<String, Support> {
    let columns = |source: Source| match source {
        Source::Mark(number) => marking
            .marks
            .get(usize::from(number))
            .map_or_else(Vec::new, |mark| mark.columns().into_iter().map(str::to_owned).collect()),
        Source::Presence | Source::Decoy => Vec::new(),
    };
    of.iter()
        .map(|(source, (positions, score))| {
            let support = Support { columns: columns(*source), positions: *positions, score: *score };
            (channel_name(marking, *source), support)
        })
        .collect()
}

/// What the marks show, for the report.
pub(super) fn marks_trace(marking: &Marking, epoch: u32, plan: &Plan, judged: &Judged) -> MarksTrace {
    let (power, needed) = match judged.recipients.possibility {
        Possibility::None => (0.0, None),
        Possibility::Some(power) => (power.power, power.needed),
    };
    let channels = judged.recipients.channels.iter().map(|(source, channel)| {
        let shown = ChannelTrace { noise: channel.sigma, flipped: channel.flipped, replaced: channel.replaced };
        (channel_name(marking, *source), shown)
    });
    MarksTrace {
        epoch,
        positions: judged.recipients.positions,
        order_positions: judged.orders.positions,
        tested: judged.recipients.tested,
        registered: plan.recipients.registered,
        possible: judged.recipients.possibility != Possibility::None,
        power,
        needed,
        channels: channels.collect(),
    }
}

/// Orders that are told apart, each with the epoch of its code, with the logarithms of their p-values.
pub(super) fn orders_accused(marked: &MarkedProduct, verdict: &Verdict) -> BTreeMap<(OrderId, u32), f64> {
    let name = |candidate: usize| marked.orders.get(candidate).map(|order| (order.order.clone(), order.code_epoch));
    verdict.accused.iter().filter_map(|found| Some((name(found.candidate)?, found.log_p_value))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lingqu_engine::source::StopSignal;
    use lingqu_fingerprint::{BiasTable, Block, MarkKey, Profile};

    use super::*;

    fn code(seed: u32) -> RecipientCode {
        let mut bytes = [3; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        RecipientCode::new(&MarkKey::from_bytes(Profile::Aes, bytes))
    }

    /// What the copy of one recipient shows, a tenth of it by his order's code.
    fn copy_of(recipient: &RecipientCode, order: &RecipientCode, count: u32) -> Vec<Observation> {
        let biases = BiasTable::default();
        (0..count)
            .map(|row| {
                let mut point = [0; 16];
                point[..4].copy_from_slice(&row.to_le_bytes());
                let (point, threshold) = (Block::from(point), biases.threshold((row * 97 % 256) as u8));
                let is_order = row % 10 == 0;
                let bit = if is_order { order } else { recipient }.bits(&[point], &[threshold])[0];
                let residual = if bit { 1.0 } else { -1.0 };
                Observation { source: Source::Mark(0), row, point, threshold, order: is_order, residual }
            })
            .collect()
    }

    fn watch(stop: &Arc<StopSignal>) -> TraceWatch {
        TraceWatch::new(|_| {}, Arc::clone(stop))
    }

    #[test]
    fn the_tests_of_a_case_share_its_bound() {
        for products in [1, 2, 7] {
            let plan = Plan::new(1e-6, products, 10_000, 30_000);
            let whole = (plan.recipients.bound + plan.orders.bound) * products as f64;
            assert!((whole - 1e-6).abs() < 1e-18, "{whole}");
            assert_eq!((plan.recipients.registered, plan.orders.registered), (10_000, 30_000));
            assert!(plan.orders.orders && !plan.recipients.orders);
            // Who is just accused by a test is just accused in the case, whichever try of the file it was.
            for tries in [1.0, 2.0, 6.0, 12.0] {
                let just = in_whole_case(plan.orders.bound.ln(), 1e-6 * tries, &plan.orders);
                assert!((just - (1e-6 * tries).ln()).abs() < 1e-9, "{just}");
            }
            assert_eq!(in_whole_case(-0.5, 1e-6, &plan.recipients), 0.0);
        }
    }

    #[test]
    fn one_recipient_and_one_of_his_orders_are_told_on_any_number_of_threads() {
        let stop = Arc::new(StopSignal::default());
        let recipients: Vec<RecipientCode> = (0..300).map(code).collect();
        let orders: Vec<RecipientCode> = (1_000..1_600).map(code).collect();
        let shown = copy_of(&recipients[17], &orders[5], 4_000);
        let plan = Plan::new(1e-6, 1, 300, 600);
        for threads in [1, 2, 3, 1_000] {
            let judged = judge(&shown, &recipients, &orders, &plan, threads, &watch(&stop)).unwrap();
            let accused = |verdict: &Verdict| verdict.accused.iter().map(|found| found.candidate).collect::<Vec<_>>();
            assert_eq!(
                (accused(&judged.recipients), accused(&judged.orders)),
                (vec![17], vec![5]),
                "{threads} threads"
            );
            let sheet = Sheet::new(shown.iter().filter(|shown| !shown.order).copied());
            let alone = score_each(&sheet, &recipients);
            assert_eq!(score_on(threads, &sheet, &recipients, &watch(&stop)), alone);
        }
        // Nobody is named whose code is not in it, and a fragment that is too small names nobody.
        let stranger = copy_of(&code(99_999), &code(99_998), 4_000);
        let judged = judge(&stranger, &recipients, &orders, &plan, 2, &watch(&stop)).unwrap();
        assert!(judged.recipients.accused.is_empty() && judged.orders.accused.is_empty());
        let judged = judge(&shown[..30], &recipients, &orders, &plan, 2, &watch(&stop)).unwrap();
        assert!(judged.recipients.accused.is_empty());
        assert_eq!(judged.recipients.possibility, Possibility::None);
    }

    #[test]
    fn what_was_stopped_has_no_verdict() {
        let stop = Arc::new(StopSignal::default());
        stop.give();
        let recipients: Vec<RecipientCode> = (0..3).map(code).collect();
        let shown = copy_of(&recipients[0], &recipients[1], 2_000);
        let plan = Plan::new(1e-6, 1, 3, 3);
        let stopped = judge(&shown, &recipients, &recipients, &plan, 2, &watch(&stop)).err();
        assert_eq!(stopped, Some(FingerprintError::Stopped));
    }
}
