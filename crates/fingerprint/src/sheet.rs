//! A fragment ready to be scored: its positions once, with the weights of every decoder. Scoring a recipient reads nothing
//! else, so many recipients can be scored side by side.

use std::collections::BTreeMap;

use crate::channel::{Channel, fit_channel};
use crate::code::bias;
use crate::decoder::{DECODERS, Known, LANES, weights};
use crate::observe::{Observation, Source, once_each};
use crate::prf::{Block, CHUNK_BLOCKS, RecipientCode, number};
use crate::tail::{Law, Term};

/// The scores of one recipient, decoder by decoder, in single precision: for choosing who is looked at exactly.
pub type Scores = [f32; DECODERS];

/// A fragment's positions and weights.
pub struct Sheet {
    observations: Vec<Observation>,
    channels: BTreeMap<Source, Channel>,
    points: Vec<Block>,
    thresholds: Vec<u32>,
    /// Weight of a one less weight of a zero.
    spans: Vec<[f32; LANES]>,
    zeros: Vec<[f32; LANES]>,
    base: [f64; LANES],
}

impl Sheet {
    /// From observations; a point that is there several times counts once.
    pub fn new(observations: impl Iterator<Item = Observation>) -> Self {
        let observations = once_each(observations);
        let mut residuals: BTreeMap<Source, Vec<(f64, f64)>> = BTreeMap::new();
        for observation in &observations {
            let shown = (observation.residual, bias(observation.threshold));
            residuals.entry(observation.source).or_default().push(shown);
        }
        let fit = |(source, residuals): (Source, Vec<(f64, f64)>)| match source {
            Source::Mark(_) => (source, fit_channel(&residuals)),
            Source::Presence | Source::Decoy => (source, Channel::PRESENCE),
        };
        let channels = residuals.into_iter().map(fit).collect();
        let mut sheet = Self {
            points: observations.iter().map(|observation| observation.point).collect(),
            thresholds: observations.iter().map(|observation| observation.threshold).collect(),
            spans: Vec::new(),
            zeros: Vec::new(),
            base: [0.0; LANES],
            observations,
            channels,
        };
        sheet.weigh(|_| Known::default());
        sheet
    }

    /// The same fragment, when these are known to be among its sources.
    pub(crate) fn knowing(mut self, colluders: &[&RecipientCode]) -> Self {
        let mut ones = vec![0u32; self.points.len()];
        for code in colluders {
            for (count, bit) in ones.iter_mut().zip(code.bits(&self.points, &self.thresholds)) {
                *count += u32::from(bit);
            }
        }
        let count = u32::try_from(colluders.len()).unwrap_or(u32::MAX);
        self.weigh(|at| Known { count, ones: ones[at] });
        self
    }

    /// The share of clear observations that these sources don't explain: none of them has the bit that shows.
    pub(crate) fn unexplained(&self, colluders: &[&RecipientCode]) -> f64 {
        let bits: Vec<Vec<bool>> = colluders.iter().map(|code| code.bits(&self.points, &self.thresholds)).collect();
        let (mut clear, mut unexplained) = (0.0, 0.0);
        for (at, observation) in self.observations.iter().enumerate() {
            if observation.residual.abs() > 1.5 || observation.source == Source::Presence {
                continue;
            }
            clear += 1.0;
            let shown = observation.residual > 0.0;
            if observation.residual.abs() < 0.5 || bits.iter().all(|bits| bits[at] != shown) {
                unexplained += 1.0;
            }
        }
        if clear > 0.0 { unexplained / clear } else { 0.0 }
    }

    fn weigh(&mut self, known: impl Fn(usize) -> Known) {
        self.spans.clear();
        self.zeros.clear();
        self.base = [0.0; LANES];
        for (at, observation) in self.observations.iter().enumerate() {
            let channel = self.channels.get(&observation.source).copied().unwrap_or(Channel::PRESENCE);
            let seen = channel.likelihoods(observation.residual);
            let weights = weights(bias(observation.threshold), observation.residual, &seen, known(at));
            for (base, zero) in self.base.iter_mut().zip(weights.zero) {
                *base += f64::from(zero);
            }
            self.spans.push(std::array::from_fn(|lane| weights.one[lane] - weights.zero[lane]));
            self.zeros.push(weights.zero);
        }
    }

    /// How many positions there are.
    pub fn len(&self) -> usize {
        self.points.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.points.is_empty()
    }

    /// The fitted channel of each source.
    pub fn channels(&self) -> &BTreeMap<Source, Channel> {
        &self.channels
    }

    /// The positions, once each.
    pub fn observations(&self) -> &[Observation] {
        &self.observations
    }

    /// One recipient's scores.
    pub fn scores(&self, code: &RecipientCode) -> Scores {
        let mut sums = self.base;
        let mut drawn = [Block::default(); CHUNK_BLOCKS];
        let chunks = self.points.chunks(CHUNK_BLOCKS);
        let rest = self.thresholds.chunks(CHUNK_BLOCKS).zip(self.spans.chunks(CHUNK_BLOCKS));
        for (points, (thresholds, spans)) in chunks.zip(rest) {
            let drawn = &mut drawn[..points.len()];
            drawn.copy_from_slice(points);
            code.draw(drawn);
            let mut part = [0.0f32; LANES];
            for ((block, threshold), span) in drawn.iter().zip(thresholds).zip(spans) {
                let bit = f32::from(u8::from(number(block) < *threshold));
                for lane in 0..LANES {
                    part[lane] += bit * span[lane];
                }
            }
            for lane in 0..LANES {
                sums[lane] += f64::from(part[lane]);
            }
        }
        std::array::from_fn(|lane| sums[lane] as f32)
    }

    /// One recipient's exact score by one decoder, source by source with the number of positions.
    pub(crate) fn support(&self, code: &RecipientCode, decoder: usize) -> BTreeMap<Source, (u64, f64)> {
        let mut support: BTreeMap<Source, (u64, f64)> = BTreeMap::new();
        let bits = code.bits(&self.points, &self.thresholds);
        for (at, observation) in self.observations.iter().enumerate() {
            let entry = support.entry(observation.source).or_default();
            entry.0 += 1;
            entry.1 += self.weight(at, decoder, bits[at]);
        }
        support
    }

    fn weight(&self, at: usize, decoder: usize, bit: bool) -> f64 {
        let zero = f64::from(self.zeros[at][decoder]);
        if bit { zero + f64::from(self.spans[at][decoder]) } else { zero }
    }

    /// The law of an innocent's score by one decoder.
    pub fn innocent(&self, decoder: usize) -> Law {
        self.law(decoder, |_, p| p)
    }

    /// The law of the score of whoever leaked alone, as far as the fitted channel tells.
    pub(crate) fn leaker(&self, decoder: usize) -> Law {
        self.law(decoder, |observation, p| {
            let channel = self.channels.get(&observation.source).copied().unwrap_or(Channel::PRESENCE);
            let seen = channel.likelihoods(observation.residual);
            let (one, zero) = (p * seen.one, (1.0 - p) * seen.zero);
            if one + zero > 0.0 { one / (one + zero) } else { p }
        })
    }

    fn law(&self, decoder: usize, probability: impl Fn(&Observation, f64) -> f64) -> Law {
        let term = |(at, observation): (usize, &Observation)| Term {
            p: probability(observation, bias(observation.threshold)),
            one: self.weight(at, decoder, true),
            zero: self.weight(at, decoder, false),
        };
        Law::new(self.observations.iter().enumerate().map(term).collect())
    }
}

/// Scores recipients one after the other. Who has several processors splits the list and does the same on each.
pub fn score_each(sheet: &Sheet, codes: &[RecipientCode]) -> Vec<Scores> {
    codes.iter().map(|code| sheet.scores(code)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{MarkKey, Profile};

    fn code(seed: u32) -> RecipientCode {
        let mut bytes = [3; 32];
        bytes[..4].copy_from_slice(&seed.to_le_bytes());
        RecipientCode::new(&MarkKey::from_bytes(Profile::Aes, bytes))
    }

    /// A fragment of two sources in turn, drawn directly.
    fn two_sources(count: u32) -> Vec<Observation> {
        let biases = crate::code::BiasTable::default();
        let sources = [code(0), code(1)];
        (0..count)
            .map(|i| {
                let mut point = [0; 16];
                point[..4].copy_from_slice(&i.to_le_bytes());
                let (point, threshold) = (Block::from(point), biases.threshold((i * 97 % 256) as u8));
                let bit = sources[i as usize % 2].bits(&[point], &[threshold])[0];
                let residual = if bit { 1.0 } else { -1.0 };
                Observation { source: Source::Mark(0), row: i, point, threshold, order: false, residual }
            })
            .collect()
    }

    #[test]
    fn knowing_one_source_raises_the_other_and_no_innocent() {
        let observations = two_sources(600);
        let plain = Sheet::new(observations.iter().copied());
        let first = code(0);
        assert!(plain.unexplained(&[&first]) > 0.1 && plain.unexplained(&[&first, &code(1)]) == 0.0);
        let knowing = Sheet::new(observations.iter().copied()).knowing(&[&first]);
        let best = |sheet: &Sheet, code: &RecipientCode| {
            let scores = sheet.scores(code);
            (0..DECODERS).map(|d| sheet.innocent(d).log_tail(f64::from(scores[d]))).fold(0.0, f64::min)
        };
        assert!(best(&knowing, &code(1)) < best(&plain, &code(1)) - 5.0);
        // The bound holds for those who are still tested: at one in a hundred, with three standard deviations of room.
        let thresholds: Vec<f64> = (0..DECODERS).filter_map(|d| knowing.innocent(d).threshold(0.01f64.ln())).collect();
        assert_eq!(thresholds.len(), DECODERS);
        let mut above = [0u32; DECODERS];
        for innocent in 10..5_010 {
            let scores = knowing.scores(&code(innocent));
            for (decoder, threshold) in thresholds.iter().enumerate() {
                above[decoder] += u32::from(f64::from(scores[decoder]) >= *threshold);
            }
        }
        assert!(above.iter().all(|count| *count <= 72), "{above:?}");
        assert!(above.iter().any(|count| *count > 0), "{above:?}");
    }

    #[test]
    fn quick_scores_and_exact_ones_agree() {
        let sheet = Sheet::new(two_sources(3_000).into_iter());
        for seed in 0..5 {
            let (quick, code) = (sheet.scores(&code(seed)), code(seed));
            for (decoder, quick) in quick.into_iter().enumerate() {
                let exact: f64 = sheet.support(&code, decoder).values().map(|(_, part)| part).sum();
                assert!((f64::from(quick) - exact).abs() < 1e-3 * (1.0 + exact.abs()), "{decoder}: {quick} {exact}");
            }
        }
    }
}
