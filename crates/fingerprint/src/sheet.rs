//! A fragment ready to be scored: its positions once, with the weights of every decoder. Scoring a recipient reads nothing
//! else, so many recipients can be scored side by side.
//!
//! Positions of one channel and one bias that show the same have the same weights and the same law. They lie together, so that of a
//! recipient only his ones are counted, and laws have as many terms as there are different ones. Of a copy that was not noised
//! these are some hundreds, however large it is.

use std::collections::BTreeMap;

use crate::channel::{Channel, fit_channel};
use crate::code::bias;
use crate::decoder::{DECODERS, Known, LANES, Weights, weights};
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
    runs: Vec<Run>,
    /// What each run shows.
    shown: Vec<Shown>,
    base: [f64; LANES],
}

/// Positions side by side that have one channel and one bias, show the same, and at which as many known sources have a one: what
/// scoring asks of them.
struct Run {
    count: u32,
    threshold: u32,
    /// Weight of a one less weight of a zero.
    span: [f32; LANES],
}

/// What the positions of a run show, and the weight of a zero.
struct Shown {
    source: Source,
    residual: f64,
    zero: [f32; LANES],
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
        Self::laid(&observations, residuals.into_iter().map(fit).collect(), |_| Known::default())
    }

    /// The same fragment, when these are known to be among its sources.
    pub(crate) fn knowing(self, colluders: &[&RecipientCode]) -> Self {
        let mut ones = vec![0u32; self.points.len()];
        for code in colluders {
            for (count, bit) in ones.iter_mut().zip(self.bits(code)) {
                *count += u32::from(bit);
            }
        }
        let count = u32::try_from(colluders.len()).unwrap_or(u32::MAX);
        Self::laid(&self.observations, self.channels, |at| Known { count, ones: ones[at] })
    }

    fn laid(observations: &[Observation], channels: BTreeMap<Source, Channel>, known: impl Fn(usize) -> Known) -> Self {
        let mut order: Vec<(u128, Known, usize)> =
            observations.iter().enumerate().map(|(at, of)| (alike(of), known(at), at)).collect();
        order.sort_unstable_by_key(|(alike, known, _)| (*alike, known.ones));
        let observations: Vec<Observation> = order.iter().map(|(.., at)| observations[*at]).collect();
        let points = observations.iter().map(|observation| observation.point).collect();
        let mut sheet =
            Self { observations, channels, points, runs: Vec::new(), shown: Vec::new(), base: [0.0; LANES] };
        let mut from = 0;
        for run in order.chunk_by(|a, b| (a.0, a.1.ones) == (b.0, b.1.ones)) {
            let Observation { source, threshold, residual, .. } = sheet.observations[from];
            let seen = sheet.channel(source).likelihoods(residual);
            let Weights { one, zero } = weights(bias(threshold), residual, &seen, run[0].1);
            for (base, zero) in sheet.base.iter_mut().zip(zero) {
                *base += run.len() as f64 * f64::from(zero);
            }
            let span = std::array::from_fn(|lane| one[lane] - zero[lane]);
            sheet.runs.push(Run { count: u32::try_from(run.len()).unwrap_or(u32::MAX), threshold, span });
            sheet.shown.push(Shown { source, residual, zero });
            from += run.len();
        }
        sheet
    }

    fn channel(&self, source: Source) -> Channel {
        self.channels.get(&source).copied().unwrap_or(Channel::PRESENCE)
    }

    /// The share of clear observations that these sources don't explain: none of them has the bit that shows.
    pub(crate) fn unexplained(&self, colluders: &[&RecipientCode]) -> f64 {
        let bits: Vec<Vec<bool>> = colluders.iter().map(|code| self.bits(code)).collect();
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
        let (mut sums, ones) = (self.base, self.ones(code));
        for (runs, ones) in self.runs.chunks(CHUNK_BLOCKS).zip(ones.chunks(CHUNK_BLOCKS)) {
            let mut part = [0.0f32; LANES];
            for (run, ones) in runs.iter().zip(ones) {
                let ones = *ones as f32;
                for (part, span) in part.iter_mut().zip(&run.span) {
                    *part += ones * span;
                }
            }
            for (sum, part) in sums.iter_mut().zip(part) {
                *sum += f64::from(part);
            }
        }
        std::array::from_fn(|lane| sums[lane] as f32)
    }

    /// At how many positions of each run a recipient's bit is one.
    pub(crate) fn ones(&self, code: &RecipientCode) -> Vec<u32> {
        let mut ones = Vec::with_capacity(self.runs.len());
        let mut chunks = self.points.chunks(CHUNK_BLOCKS);
        let mut drawn = [Block::default(); CHUNK_BLOCKS];
        let (mut from, mut to) = (0, 0);
        for run in &self.runs {
            let (mut left, mut count) = (run.count as usize, 0);
            while left > 0 {
                if from == to {
                    let Some(points) = chunks.next() else { break };
                    (from, to) = (0, points.len());
                    drawn[..to].copy_from_slice(points);
                    code.draw(&mut drawn[..to]);
                }
                let part = &drawn[from..to.min(from + left)];
                count += part.iter().map(|block| u32::from(number(block) < run.threshold)).sum::<u32>();
                from += part.len();
                left -= part.len();
            }
            ones.push(count);
        }
        ones
    }

    /// A recipient's bits, position by position.
    fn bits(&self, code: &RecipientCode) -> Vec<bool> {
        let thresholds: Vec<u32> = self.observations.iter().map(|observation| observation.threshold).collect();
        code.bits(&self.points, &thresholds)
    }

    /// The exact score by one decoder of who has so many ones in each run.
    pub(crate) fn exact(&self, ones: &[u32], decoder: usize) -> f64 {
        (0..self.runs.len()).map(|run| self.part(run, ones[run], decoder)).sum()
    }

    /// The same source by source, with the number of positions.
    pub(crate) fn support(&self, ones: &[u32], decoder: usize) -> BTreeMap<Source, (u64, f64)> {
        let mut support: BTreeMap<Source, (u64, f64)> = BTreeMap::new();
        for (run, Shown { source, .. }) in self.shown.iter().enumerate() {
            let entry = support.entry(*source).or_default();
            entry.0 += u64::from(self.runs[run].count);
            entry.1 += self.part(run, ones[run], decoder);
        }
        support
    }

    fn part(&self, run: usize, ones: u32, decoder: usize) -> f64 {
        let (one, zero) = self.weights(run, decoder);
        f64::from(ones) * one + f64::from(self.runs[run].count - ones) * zero
    }

    /// The weights of a one and of a zero.
    fn weights(&self, run: usize, decoder: usize) -> (f64, f64) {
        let zero = f64::from(self.shown[run].zero[decoder]);
        (zero + f64::from(self.runs[run].span[decoder]), zero)
    }

    /// The law of an innocent's score by one decoder.
    pub fn innocent(&self, decoder: usize) -> Law {
        self.law(decoder, |_, p| p)
    }

    /// The law of the score of whoever leaked alone, as far as the fitted channel tells.
    pub(crate) fn leaker(&self, decoder: usize) -> Law {
        self.law(decoder, |shown, p| {
            let seen = self.channel(shown.source).likelihoods(shown.residual);
            let (one, zero) = (p * seen.one, (1.0 - p) * seen.zero);
            if one + zero > 0.0 { one / (one + zero) } else { p }
        })
    }

    fn law(&self, decoder: usize, probability: impl Fn(&Shown, f64) -> f64) -> Law {
        Law::of_alike(self.runs.iter().enumerate().map(|(at, run)| {
            let (one, zero) = self.weights(at, decoder);
            (Term { p: probability(&self.shown[at], bias(run.threshold)), one, zero }, run.count)
        }))
    }
}

/// The same number for positions of one source and bias that show the same.
fn alike(observation: &Observation) -> u128 {
    let source = match observation.source {
        Source::Mark(number) => u128::from(number),
        Source::Presence => 1 << 16,
        Source::Decoy => 2 << 16,
    };
    source << 96 | u128::from(observation.threshold) << 64 | u128::from(observation.residual.to_bits())
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
    fn runs_say_what_their_positions_say_one_by_one() {
        let sheet = Sheet::new(two_sources(3_000).into_iter());
        assert!(sheet.runs.len() <= 512, "{}", sheet.runs.len());
        let runs = sheet.runs.iter().enumerate();
        let run_of: Vec<usize> = runs.flat_map(|(at, run)| std::iter::repeat_n(at, run.count as usize)).collect();
        let code = code(5);
        let (bits, ones) = (sheet.bits(&code), sheet.ones(&code));
        for decoder in 0..DECODERS {
            let term = |at: usize| {
                let (one, zero) = sheet.weights(run_of[at], decoder);
                Term { p: bias(sheet.observations[at].threshold), one, zero }
            };
            let score: f64 = (0..bits.len()).map(|at| if bits[at] { term(at).one } else { term(at).zero }).sum();
            assert!((sheet.exact(&ones, decoder) - score).abs() < 1e-9 * (1.0 + score.abs()), "{decoder}");
            let (law, alone) = (sheet.innocent(decoder), Law::new((0..bits.len()).map(term).collect()));
            assert!((law.mean() - alone.mean()).abs() < 1e-9 * (1.0 + law.mean().abs()), "{decoder}");
            for share in [0.1, 0.3, 0.6] {
                let score = law.mean() + share * (law.maximum().0 - law.mean());
                let (together, one_by_one) = (law.log_tail(score), alone.log_tail(score));
                assert!(together < -1.0 && (together - one_by_one).abs() < 1e-6, "{decoder}: {together} {one_by_one}");
            }
        }
    }

    #[test]
    fn quick_scores_and_exact_ones_agree() {
        let sheet = Sheet::new(two_sources(3_000).into_iter());
        for seed in 0..5 {
            let (quick, code) = (sheet.scores(&code(seed)), code(seed));
            for (decoder, quick) in quick.into_iter().enumerate() {
                let exact = sheet.exact(&sheet.ones(&code), decoder);
                assert!((f64::from(quick) - exact).abs() < 1e-3 * (1.0 + exact.abs()), "{decoder}: {quick} {exact}");
            }
        }
    }
}
