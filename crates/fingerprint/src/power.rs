//! How much of a leak is needed: the probability that whoever leaked alone is accused, and the fragment that makes it 99 in
//! a hundred.

use crate::decoder::DECODERS;
use crate::sheet::Sheet;

/// The probability to miss the leaker that planning asks for.
const MISS_MAX: f64 = 0.01;

/// Fragments from a thousandth to a million times the one at hand are looked at.
const COPIES: (f64, f64) = (1e-3, 1e6);
const SEARCH_ROUNDS: usize = 24;

/// Terms that planning looks at; of a larger fragment, a sample that is spread evenly.
const TERMS_MAX: usize = 1_024;

/// What a fragment could show.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Power {
    /// The probability that one recipient who leaked alone is accused, by the fitted channel: from bounds on both tails, so
    /// rather too low than too high.
    pub power: f64,
    /// How many times this fragment is needed for a power of 0.99; nothing when no size would do.
    pub needed: Option<f64>,
}

/// The power of the decoder for a single leaker when the natural logarithm of the bound on one test is `log_bound`.
pub fn power(sheet: &Sheet, log_bound: f64) -> Power {
    const SINGLE: usize = 0;
    const { assert!(SINGLE < DECODERS) };
    let innocent = sheet.innocent(SINGLE).thinned(TERMS_MAX);
    let leaker = sheet.leaker(SINGLE).thinned(TERMS_MAX).mirrored();
    // The probability that the leaker's score stays below the threshold is a tail of its negative.
    let miss = |copies: f64| match innocent.clone().scaled(copies).threshold(log_bound) {
        Some(threshold) => leaker.clone().scaled(copies).log_tail(-threshold).exp(),
        None => 1.0,
    };
    let here = miss(1.0);
    let (mut low, mut high) = if here <= MISS_MAX { (COPIES.0, 1.0) } else { (1.0, COPIES.1) };
    let needed = if here > MISS_MAX && miss(high) > MISS_MAX {
        None
    } else {
        for _ in 0..SEARCH_ROUNDS {
            let middle = (low * high).sqrt();
            if miss(middle) <= MISS_MAX {
                high = middle;
            } else {
                low = middle;
            }
            if high / low < 1.02 {
                break;
            }
        }
        Some(high)
    };
    Power { power: 1.0 - here, needed }
}

/// Marked cells that are needed, before anything leaked: (π²/2) c² ln(N/ε) with noise, kept and replaced shares (Škorić,
/// Katzenbeisser and Celik 2008; Laarhoven and de Weger 2014). A plan, not a promise: power is computed from the fragment.
///
/// `sigma` is the noise in units of the mark's reach, `replaced` the share of replaced values, `log_tests` the logarithm of
/// the number of recipients over the bound.
pub fn cells_needed(coalition: u32, log_tests: f64, sigma: f64, replaced: f64) -> f64 {
    let c = f64::from(coalition.max(1));
    let code = std::f64::consts::PI.powi(2) / 2.0 * c * c * log_tests;
    code * (1.0 + sigma * sigma) / (1.0 - replaced.clamp(0.0, 0.999)).powi(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planning_follows_the_published_numbers() {
        // Ten thousand recipients at one in a million: 114 cells for one, 11,400 for ten.
        let log_tests = (1e4f64 / 1e-6).ln();
        assert!((cells_needed(1, log_tests, 0.0, 0.0) - 113.6).abs() < 0.5);
        assert!((cells_needed(10, log_tests, 0.0, 0.0) - 11_363.0).abs() < 20.0);
        assert!((cells_needed(1, log_tests, 1.0, 0.5) - 8.0 * 113.6).abs() < 4.0);
    }
}
