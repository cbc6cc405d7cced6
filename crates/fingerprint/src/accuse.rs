//! The accusation: who scores so high that an innocent would once in a million such trials, all tests counted.

use std::collections::BTreeMap;

use crate::channel::Channel;
use crate::decoder::{DECODER_VERSION, DECODERS};
use crate::error::FingerprintError;
use crate::observe::{Observation, Source};
use crate::power::{Power, power};
use crate::prf::RecipientCode;
use crate::sheet::{Scores, Sheet};
use crate::tail::Law;

/// How often the fragment is looked at again with those who are accused as known sources. Each pass has half the bound of
/// the one before.
const PASSES_MAX: u32 = 4;

/// A pass is added while known sources leave more than this share of clear observations unexplained.
const UNEXPLAINED_MIN: f64 = 0.02;

/// Scores in single precision choose who is looked at exactly: everybody whose tail would be within this factor (as a
/// logarithm) of the bound, by the law of a sample of terms. Who is missed here costs power and harms no innocent; rounding
/// and sampling are far below the factor.
const CANDIDATE_SLACK: f64 = 12.0;
const CANDIDATE_TERMS_MAX: usize = 8_192;

/// What the accuser states beforehand.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Settings {
    /// The largest probability that anybody innocent is accused by this case; by default one in a million.
    pub bound: f64,
    /// How many recipients (or orders) there are at all, tested or not; at least as many as are tested.
    pub registered: u64,
    /// Whether orders of one recipient are told apart, by the positions that orders' codes drew, instead of recipients.
    pub orders: bool,
}

impl Settings {
    /// One in a million for recipients.
    pub fn of_recipients(registered: u64) -> Self {
        Self { bound: 1e-6, registered, orders: false }
    }
}

/// One who is accused.
#[derive(Debug, Clone, PartialEq)]
pub struct Accusation {
    /// Place in the list of those who were tested.
    pub candidate: usize,
    /// Natural logarithm of an upper bound on the probability that anybody innocent, of all registered, scores that high with
    /// any of the decoders in any pass: the p-value of this test, at most [`Settings::bound`]. Other tests that share a
    /// bound with it are for the caller to count.
    pub log_p_value: f64,
    /// Which decoder (see [`crate::DECODER_NAMES`]).
    pub decoder: usize,
    /// In which pass, from zero on; later ones know those accused before.
    pub pass: u32,
    /// What each channel contributed: number of positions, and part of the score.
    pub support: BTreeMap<Source, (u64, f64)>,
}

/// Whether the fragment can accuse anybody.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Possibility {
    /// Not even a copy that fits at every position could be accused: no accusation is possible.
    None,
    /// It can, with this power against a single leaker.
    Some(Power),
}

/// The outcome.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Those who are accused, the surest first. Who is not in it is not accused, however near.
    pub accused: Vec<Accusation>,
    /// What the fragment could show at all.
    pub possibility: Possibility,
    /// How many positions were used, each once.
    pub positions: usize,
    /// How many were tested.
    pub tested: usize,
    /// The fitted channels.
    pub channels: BTreeMap<Source, Channel>,
    /// Which decoders these were.
    pub decoder_version: &'static str,
}

/// Tests every code against what the fragment shows.
///
/// `score` scores all codes by a sheet, in their order: [`crate::score_each`], or the same on several processors.
///
/// # Errors
/// [`FingerprintError::Setting`].
pub fn accuse(
    observations: &[Observation],
    codes: &[RecipientCode],
    settings: &Settings,
    score: &dyn Fn(&Sheet, &[RecipientCode]) -> Vec<Scores>,
) -> Result<Verdict, FingerprintError> {
    check(settings, codes.len())?;
    let mut sheet = Sheet::new(observations.iter().filter(|o| o.order == settings.orders).copied());
    let tests = settings.registered as f64 * DECODERS as f64;
    // Logarithm of the bound of one test in the first pass; each later pass has half of it.
    let log_bound = |pass: u32| settings.bound.ln() - tests.ln() - f64::from(pass + 1) * std::f64::consts::LN_2;
    let channels = sheet.channels().clone();
    let possibility = possibility(&sheet, log_bound(0));
    let positions = sheet.len();
    let mut accused: Vec<Accusation> = Vec::new();
    if possibility != Possibility::None {
        for pass in 0..PASSES_MAX {
            let new = one_pass(&sheet, codes, &accused, log_bound(pass), score, pass);
            let found = !new.is_empty();
            accused.extend(new);
            let known: Vec<&RecipientCode> = accused.iter().map(|accusation| &codes[accusation.candidate]).collect();
            if !found || known.len() == codes.len() || sheet.unexplained(&known) < UNEXPLAINED_MIN {
                break;
            }
            sheet = sheet.knowing(&known);
        }
    }
    for accusation in &mut accused {
        let correction = tests.ln() + f64::from(accusation.pass + 1) * std::f64::consts::LN_2;
        accusation.log_p_value = (accusation.log_p_value + correction).min(0.0);
    }
    accused.sort_by(|left, right| left.log_p_value.total_cmp(&right.log_p_value));
    Ok(Verdict { accused, possibility, positions, tested: codes.len(), channels, decoder_version: DECODER_VERSION })
}

fn check(settings: &Settings, tested: usize) -> Result<(), FingerprintError> {
    let refused = |setting, reason| Err(FingerprintError::Setting { setting, reason });
    if !(settings.bound > 0.0 && settings.bound <= 0.01) {
        return refused("bound", "it must be above zero and at most one in a hundred; one in a million is usual");
    }
    if settings.registered == 0 || (settings.registered as u128) < tested as u128 {
        return refused("registered", "count everybody who ever had a key for the table, not only who is tested");
    }
    Ok(())
}

fn possibility(sheet: &Sheet, log_bound: f64) -> Possibility {
    // A decoder's best case is a copy that fits everywhere; its probability for an innocent is the smallest p-value.
    let best = (0..DECODERS).map(|decoder| sheet.innocent(decoder).maximum().1).fold(0.0, f64::min);
    if best > log_bound { Possibility::None } else { Possibility::Some(power(sheet, log_bound)) }
}

/// Those who reach the bound in one pass and were not accused before, with the tail of one test.
fn one_pass(
    sheet: &Sheet,
    codes: &[RecipientCode],
    before: &[Accusation],
    log_bound: f64,
    score: &dyn Fn(&Sheet, &[RecipientCode]) -> Vec<Scores>,
    pass: u32,
) -> Vec<Accusation> {
    let scores = score(sheet, codes);
    let mut looked_at: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    let laws: [Law; DECODERS] = std::array::from_fn(|decoder| sheet.innocent(decoder));
    for (decoder, law) in laws.iter().enumerate() {
        // A score below this has a tail above the bound, by a wide margin.
        let sample = law.thinned(CANDIDATE_TERMS_MAX);
        let Some(candidate_from) = sample.threshold((log_bound + CANDIDATE_SLACK).min(-0.5)) else {
            continue;
        };
        for (candidate, scores) in scores.iter().enumerate().take(codes.len()) {
            if f64::from(scores[decoder]) >= candidate_from {
                looked_at.entry(candidate).or_default().push(decoder);
            }
        }
    }
    let is_new = |candidate: &usize| before.iter().all(|accusation| accusation.candidate != *candidate);
    let mut reached = Vec::new();
    for (candidate, decoders) in looked_at.into_iter().filter(|(candidate, _)| is_new(candidate)) {
        let ones = sheet.ones(&codes[candidate]);
        let tails = decoders.into_iter().map(|decoder| (laws[decoder].log_tail(sheet.exact(&ones, decoder)), decoder));
        let Some((tail, decoder)) = tails.min_by(|left, right| left.0.total_cmp(&right.0)) else { continue };
        if tail <= log_bound {
            let support = sheet.support(&ones, decoder);
            reached.push(Accusation { candidate, log_p_value: tail, decoder, pass, support });
        }
    }
    reached
}
