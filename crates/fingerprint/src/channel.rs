//! What happened to the marks on their way: noise, flips and replaced values, fitted to what the fragment shows and to the
//! secret biases alone. No recipient's code is ever asked, so whatever the fit, an innocent's score keeps its law.

use std::f64::consts::TAU;

/// Residuals beyond this are replaced values without a doubt.
pub(crate) const RESIDUAL_MAX: f64 = 64.0;

/// Density of the residual of a replaced value.
const REPLACED_DENSITY: f64 = 0.5 / RESIDUAL_MAX;

const ROUNDS: usize = 60;
const SAMPLE_MAX: usize = 20_000;

/// Bounds of the fit: nothing is ever taken for certain.
const SIGMA: (f64, f64) = (0.02, 32.0);
const FLIPPED: (f64, f64) = (0.002, 0.5);
const REPLACED: (f64, f64) = (0.001, 0.999);

/// Observations that stand for what is believed beforehand: flips and replacements are rare.
const PRIOR_COUNT: f64 = 40.0;

/// One channel, as it was fitted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Channel {
    /// Standard deviation of the noise, in units of the mark's reach.
    pub sigma: f64,
    /// Share of bits that show as the other one.
    pub flipped: f64,
    /// Share of values that have nothing to do with what was delivered.
    pub replaced: f64,
}

/// The likelihoods of an observation.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Likelihoods {
    /// That the copy's bit is one.
    pub(crate) one: f64,
    /// That it is zero.
    pub(crate) zero: f64,
    /// Which share of the density is a replaced value.
    pub(crate) replaced: f64,
}

impl Channel {
    /// The channel of rows and decoys that are there: one in fifty may come from elsewhere.
    pub(crate) const PRESENCE: Channel = Channel { sigma: SIGMA.0, flipped: 0.02, replaced: REPLACED.0 };

    pub(crate) fn likelihoods(&self, residual: f64) -> Likelihoods {
        let background = self.replaced * REPLACED_DENSITY;
        if residual.abs() > RESIDUAL_MAX {
            return Likelihoods { one: background, zero: background, replaced: 1.0 };
        }
        let (up, down) = (self.density(residual - 1.0), self.density(residual + 1.0));
        let kept = 1.0 - self.replaced;
        let one = kept * ((1.0 - self.flipped) * up + self.flipped * down) + background;
        let zero = kept * ((1.0 - self.flipped) * down + self.flipped * up) + background;
        Likelihoods { one, zero, replaced: background / (0.5 * (one + zero)).max(f64::MIN_POSITIVE) }
    }

    fn density(&self, deviation: f64) -> f64 {
        (-0.5 * (deviation / self.sigma).powi(2)).exp() / (self.sigma * TAU.sqrt())
    }
}

/// Fits a channel to residuals with their biases by expectation and maximisation (Dempster, Laird, Rubin 1977).
pub fn fit_channel(observed: &[(f64, f64)]) -> Channel {
    let alike = alike(observed.iter().step_by(observed.len().div_ceil(SAMPLE_MAX).max(1)));
    let mut channel = Channel { sigma: 0.3, flipped: 0.02, replaced: 0.1 };
    for _ in 0..ROUNDS {
        let (mut count, mut replaced, mut flipped, mut square) = (0.0, 0.0, 0.0, 0.0);
        for ((residual, bias), times) in &alike {
            count += times;
            if residual.abs() > RESIDUAL_MAX {
                replaced += times;
                continue;
            }
            let kept = 1.0 - channel.replaced;
            let (up, down) = (channel.density(residual - 1.0), channel.density(residual + 1.0));
            let (right_up, right_down) =
                (kept * bias * (1.0 - channel.flipped) * up, kept * (1.0 - bias) * (1.0 - channel.flipped) * down);
            let (wrong_down, wrong_up) =
                (kept * bias * channel.flipped * down, kept * (1.0 - bias) * channel.flipped * up);
            let background = channel.replaced * REPLACED_DENSITY;
            let each = times / (right_up + right_down + wrong_down + wrong_up + background);
            replaced += background * each;
            flipped += (wrong_down + wrong_up) * each;
            square += ((right_up + wrong_up) * (residual - 1.0).powi(2)
                + (right_down + wrong_down) * (residual + 1.0).powi(2))
                * each;
        }
        let kept = (count - replaced).max(1e-9);
        let before = channel;
        channel = Channel {
            sigma: (square / kept).sqrt().clamp(SIGMA.0, SIGMA.1),
            flipped: ((flipped + 0.02 * PRIOR_COUNT) / (kept + PRIOR_COUNT)).clamp(FLIPPED.0, FLIPPED.1),
            replaced: ((replaced + 0.02 * PRIOR_COUNT) / (count + PRIOR_COUNT)).clamp(REPLACED.0, REPLACED.1),
        };
        if channel == before {
            break;
        }
    }
    channel
}

/// Different observations, each with how often it is there.
fn alike<'o>(observed: impl Iterator<Item = &'o (f64, f64)>) -> Vec<((f64, f64), f64)> {
    let mut bits: Vec<(u64, u64)> = observed.map(|(residual, bias)| (residual.to_bits(), bias.to_bits())).collect();
    bits.sort_unstable();
    let runs = bits.chunk_by(|a, b| a == b);
    runs.map(|run| ((f64::from_bits(run[0].0), f64::from_bits(run[0].1)), run.len() as f64)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fixed sequence of uniform numbers (Weyl), good enough to fill a histogram.
    fn uniform(i: usize, step: f64) -> f64 {
        (i as f64 * step).fract()
    }

    #[test]
    fn what_was_done_is_found() {
        let observed: Vec<(f64, f64)> = (0..20_000)
            .map(|i| {
                let bias = 0.02 + 0.96 * uniform(i, 0.754_877_666);
                let bit = uniform(i, 0.569_840_291) < bias;
                let bit = bit != (uniform(i, 0.324_717_957) < 0.1);
                let noise = (uniform(i, 0.618_033_989) + uniform(i, 0.414_213_562) - 1.0) * 0.4;
                let residual = if bit { 1.0 } else { -1.0 } + noise;
                let replaced = uniform(i, 0.732_050_808) < 0.3;
                (if replaced { 60.0 * uniform(i, 0.236_067_977) - 30.0 } else { residual }, bias)
            })
            .collect();
        let channel = fit_channel(&observed);
        // The sum of two uniform numbers has a standard deviation of 0.408.
        assert!((channel.sigma - 0.163).abs() < 0.03, "{channel:?}");
        assert!((channel.flipped - 0.1).abs() < 0.03, "{channel:?}");
        assert!((channel.replaced - 0.3).abs() < 0.04, "{channel:?}");
    }

    #[test]
    fn nothing_is_certain_and_a_restored_value_says_nothing() {
        let clean: Vec<(f64, f64)> = (0..200).map(|i| (if i % 2 == 0 { 1.0 } else { -1.0 }, 0.5)).collect();
        let channel = fit_channel(&clean);
        let seen = channel.likelihoods(1.0);
        assert!(seen.one > 10.0 * seen.zero && seen.zero > 0.0);
        let restored = channel.likelihoods(0.0);
        assert_eq!(restored.one, restored.zero);
        let far = channel.likelihoods(1e9);
        assert_eq!((far.one, far.replaced), (far.zero, 1.0));
        assert!(fit_channel(&[]).sigma >= SIGMA.0);
    }
}
