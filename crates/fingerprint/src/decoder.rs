//! Weights of the bits: how much a recipient's bit of one or of zero counts at an observed position.
//!
//! Any weights will do for the bound on innocents, as long as they don't depend on the code of who is tested; good ones give
//! power. Several decoders are tried and the bound pays for each. Sources: Tardos 2003; Škorić, Katzenbeisser and Celik 2008
//! (symmetric score); Oosterwijk, Škorić and Doumen 2013 (interleaving defence); Laarhoven 2014 (log-likelihood decoders);
//! Meerwald and Furon 2012 (joint decoding).

use crate::channel::Likelihoods;

/// How many decoders are tried.
pub const DECODERS: usize = 7;

/// Lanes of a weight vector: the decoders and padding, for the width of vector instructions.
pub(crate) const LANES: usize = 8;

/// Which decoders, in the order of the lanes.
pub const DECODER_NAMES: [&str; DECODERS] =
    ["single", "interleaving-2", "interleaving-4", "interleaving-10", "symmetric", "linear", "average"];

/// Named in every report and committed to before any leak: another decoder is another version.
pub const DECODER_VERSION: &str = "lingqu/decoder/v2";

/// Coalition sizes of the likelihood-ratio decoders.
const COALITIONS: [f64; 4] = [1.0, 2.0, 4.0, 10.0];

/// Largest weight: a score is a sum of bounded terms.
const WEIGHT_MAX: f64 = 100.0;

/// Added to the variance of the averaging decoder, so that positions of extreme bias don't rule it.
const VARIANCE_FLOOR: f64 = 0.03;

/// What is known of a position when some of the colluders are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Known {
    /// How many colluders are known.
    pub(crate) count: u32,
    /// How many of them have a bit of one here.
    pub(crate) ones: u32,
}

/// The weights of a bit of one and of a bit of zero, lane by lane.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Weights {
    pub(crate) one: [f32; LANES],
    pub(crate) zero: [f32; LANES],
}

/// The weights at a position with this bias, residual and likelihoods.
pub(crate) fn weights(p: f64, residual: f64, seen: &Likelihoods, known: Known) -> Weights {
    let mut out = Weights { one: [0.0; LANES], zero: [0.0; LANES] };
    let mut set = |lane: usize, one: f64, zero: f64| {
        out.one[lane] = one.clamp(-WEIGHT_MAX, WEIGHT_MAX) as f32;
        out.zero[lane] = zero.clamp(-WEIGHT_MAX, WEIGHT_MAX) as f32;
    };
    let q = 1.0 - p;
    let (count, ones) = (f64::from(known.count), f64::from(known.ones));
    // The share of ones among the colluders as far as it is known: the known bits, and the bias for who is not.
    let share = |coalition: f64, mine: f64| (ones + mine + (coalition - count - 1.0) * p) / coalition;
    for (lane, size) in COALITIONS.iter().enumerate() {
        let coalition = count + size;
        let seen_if = |mine: f64| {
            let share = share(coalition, mine);
            (seen.one * share + seen.zero * (1.0 - share)).max(f64::MIN_POSITIVE)
        };
        let (one, zero) = (seen_if(1.0), seen_if(0.0));
        let mean = p * one + q * zero;
        set(lane, (one / mean).ln(), (zero / mean).ln());
    }
    let lean = (seen.one - seen.zero) / (seen.one + seen.zero).max(f64::MIN_POSITIVE);
    set(4, lean * (q / p).sqrt(), -lean * (p / q).sqrt());
    let prior = share(count + 2.0, p);
    let posterior = prior * seen.one / (prior * seen.one + (1.0 - prior) * seen.zero).max(f64::MIN_POSITIVE) - prior;
    set(5, posterior / p, -posterior / q);
    let shown = (residual.clamp(-2.0, 2.0) + 1.0) / 2.0 - share(count + 4.0, p);
    let scale = (1.0 - seen.replaced).max(0.0) * shown / (p * q + VARIANCE_FLOOR);
    set(6, scale * q, -scale * p);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bit_that_fits_counts_for_and_one_that_does_not_against(
            p in 0.01..0.99f64,
            strong in 0.5..0.99f64,
            up: bool,
        ) {
            let (one, zero) = if up { (strong, 1.0 - strong) } else { (1.0 - strong, strong) };
            let seen = Likelihoods { one, zero, replaced: 0.0 };
            let w = weights(p, if up { 1.0 } else { -1.0 }, &seen, Known::default());
            for (lane, name) in DECODER_NAMES.iter().enumerate() {
                let (fits, not) = if up { (w.one[lane], w.zero[lane]) } else { (w.zero[lane], w.one[lane]) };
                prop_assert!(fits >= -1e-6 && not <= 1e-6, "{name} {fits} {not}");
                // The likelihood ratios have a mean of at most zero over an innocent's bits, the others of exactly zero.
                let mean = p * f64::from(w.one[lane]) + (1.0 - p) * f64::from(w.zero[lane]);
                prop_assert!(mean <= 1e-4, "{name} {mean}");
            }
            let nothing = weights(p, 0.0, &Likelihoods { one: 0.3, zero: 0.3, replaced: 1.0 }, Known::default());
            prop_assert!(nothing.one[..6].iter().chain(&nothing.zero[..6]).all(|w| w.abs() < 1e-6));
        }
    }
}
