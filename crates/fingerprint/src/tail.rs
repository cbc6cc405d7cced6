//! How probable it is that an innocent scores that high: a rigorous upper bound, from the law of each term.
//!
//! Given what leaked and the secret biases, an innocent's bits are independent and one with the position's bias, whatever the
//! pirates did. So his score is a sum of independent two-point variables, and for every λ > 0, with K the logarithm of the
//! moment generating function, P(S ≥ s) = e^(K(λ) − λs) E_λ[e^(−λ(S − s)); S ≥ s] under the tilted law. Chernoff's bound takes
//! one for the last factor. Here it is bounded by the normal law plus the Berry-Esseen error, which is the saddle-point
//! approximation with its error accounted for.

/// The constant of the Berry-Esseen inequality for independent terms of different laws (Shevtsova 2010: 0.5600).
const BERRY_ESSEEN: f64 = 0.5600;

/// What is added to a logarithm of a bound for rounding in floating point, and more for each term.
const ROUNDING_MARGIN: f64 = 1e-6;
const ROUNDING_MARGIN_PER_TERM: f64 = 1e-12;

/// Rounds of the search for the best λ. Any λ gives a valid bound, so a search that ends early costs power only.
const SEARCH_ROUNDS: usize = 60;

/// How near the tilted mean comes to the score, in standard deviations. The bound's logarithm is off by half of its square.
const LAMBDA_PRECISION: f64 = 1e-3;

/// Terms of the sample on which the search for λ begins.
const SAMPLE_TERMS_MAX: usize = 4_096;

/// How near a threshold's λ is found; the threshold that is answered keeps its bound whatever this is.
const THRESHOLD_PRECISION: f64 = 1e-4;

/// The largest λ: scores are within a few rounding errors of their maximum beyond it.
const LAMBDA_MAX: f64 = 1e6;

/// One term of a score: `one` with probability `p`, else `zero`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Probability of a bit of one.
    pub p: f64,
    /// What a bit of one adds.
    pub one: f64,
    /// What a bit of zero adds.
    pub zero: f64,
}

/// The law of a sum of independent terms, each taken `copies` times (not always a whole number: for planning).
#[derive(Debug, Clone, PartialEq)]
pub struct Law {
    terms: Vec<Term>,
    copies: f64,
}

/// The cumulants of the tilted law.
#[derive(Debug, Clone, Copy, Default)]
struct Tilted {
    /// K(λ).
    log_moment: f64,
    mean: f64,
    variance: f64,
    /// Sum of the third absolute central moments.
    third: f64,
}

impl Law {
    /// The law of the sum of these terms.
    pub fn new(terms: Vec<Term>) -> Self {
        Self { terms, copies: 1.0 }
    }

    /// The law of a fragment that is so many times as large.
    pub fn scaled(self, copies: f64) -> Self {
        Self { copies: self.copies * copies, ..self }
    }

    /// About the same law with fewer terms, every so manieth of them so many times: for planning and for choosing who is looked at,
    /// never for a bound.
    pub(crate) fn thinned(self, terms_max: usize) -> Self {
        let stride = self.terms.len().div_ceil(terms_max).max(1);
        let terms: Vec<Term> = self.terms.iter().step_by(stride).copied().collect();
        let copies = self.copies * self.terms.len() as f64 / terms.len().max(1) as f64;
        Self { terms, copies }
    }

    /// The law of the negative sum.
    pub fn mirrored(&self) -> Self {
        let mirror = |term: &Term| Term { p: term.p, one: -term.one, zero: -term.zero };
        Self { terms: self.terms.iter().map(mirror).collect(), copies: self.copies }
    }

    /// The mean of the sum.
    pub fn mean(&self) -> f64 {
        self.copies * self.terms.iter().map(|t| t.p * t.one + (1.0 - t.p) * t.zero).sum::<f64>()
    }

    /// The largest possible sum, and the logarithm of its probability.
    pub fn maximum(&self) -> (f64, f64) {
        let (mut sum, mut log_probability) = (0.0, 0.0);
        for term in &self.terms {
            sum += term.one.max(term.zero);
            if term.one != term.zero {
                log_probability += if term.one > term.zero { term.p } else { 1.0 - term.p }.ln();
            }
        }
        (self.copies * sum, self.copies * log_probability)
    }

    /// Mean and variance of the tilted law: what the search for λ needs, at the cost of one exponential a term.
    fn moments(&self, lambda: f64) -> (f64, f64) {
        let (mut mean, mut variance) = (0.0, 0.0);
        for Term { p, one, zero } in &self.terms {
            let span = one - zero;
            let q = tilted_probability(*p, lambda * span);
            mean += zero + q * span;
            variance += q * (1.0 - q) * span * span;
        }
        (mean * self.copies, variance * self.copies)
    }

    fn tilted(&self, lambda: f64) -> Tilted {
        let mut sum = Tilted::default();
        for Term { p, one, zero } in &self.terms {
            let span = one - zero;
            if span == 0.0 {
                sum.log_moment += lambda * zero;
                sum.mean += zero;
                continue;
            }
            // log(1 - p + p e^x), without overflow on either side.
            let x = lambda * span;
            let log = if x <= 0.0 { (p * x.exp_m1()).ln_1p() } else { x + ((1.0 - p) * (-x).exp_m1()).ln_1p() };
            let q = tilted_probability(*p, x);
            let spread = q * (1.0 - q);
            sum.log_moment += lambda * zero + log;
            sum.mean += zero + q * span;
            sum.variance += spread * span * span;
            sum.third += spread * (q * q + (1.0 - q) * (1.0 - q)) * (span * span * span).abs();
        }
        Tilted {
            log_moment: sum.log_moment * self.copies,
            mean: sum.mean * self.copies,
            variance: sum.variance * self.copies,
            third: sum.third * self.copies,
        }
    }

    /// The logarithm of an upper bound on P(S ≥ s) that holds for this λ.
    fn bound_at(&self, tilted: &Tilted, lambda: f64, s: f64) -> f64 {
        let chernoff = tilted.log_moment - lambda * s;
        let sigma = tilted.variance.sqrt();
        let (a, z) = (lambda * sigma, (s - tilted.mean) / sigma);
        let mut factor = 1.0f64;
        if sigma > 0.0 && z + a > 0.0 && z.is_finite() {
            // E[e^(-a(G - z)); G >= z] for a normal G is e^(az + a²/2) times the normal tail at z + a, which is below its
            // density over z + a (Mills). The distribution function of the sum is off by `error` at most, at both ends.
            let normal = (-0.5 * z * z).exp() / ((z + a) * std::f64::consts::TAU.sqrt());
            let error = BERRY_ESSEEN * tilted.third / (tilted.variance * sigma);
            factor = factor.min(normal + 2.0 * error);
        }
        let margin = ROUNDING_MARGIN + ROUNDING_MARGIN_PER_TERM * self.copies * self.terms.len() as f64;
        (chernoff + factor.ln() + margin).min(0.0)
    }

    /// The logarithm of an upper bound on the probability that the sum reaches `s`. Never above zero.
    pub fn log_tail(&self, s: f64) -> f64 {
        if self.terms.is_empty() || s.is_nan() || s <= self.mean() {
            return 0.0;
        }
        // The best λ is about where the tilted mean is `s`. A sample's best is near it.
        let start = match self.terms.len() > SAMPLE_TERMS_MAX {
            true => self.clone().thinned(SAMPLE_TERMS_MAX).best_lambda(s, 1.0),
            false => 1.0,
        };
        let lambda = self.best_lambda(s, start);
        self.bound_at(&self.tilted(lambda), lambda, s)
    }

    /// Where the tilted mean, which grows with λ, is `s`: searched from `start` on.
    fn best_lambda(&self, s: f64, start: f64) -> f64 {
        let (mut low, mut high) = (0.0f64, LAMBDA_MAX);
        let mut lambda = start.clamp(1.0 / LAMBDA_MAX, LAMBDA_MAX);
        for _ in 0..SEARCH_ROUNDS {
            let (mean, variance) = self.moments(lambda);
            let off = mean - s;
            if off.abs() <= LAMBDA_PRECISION * variance.sqrt() {
                break;
            }
            *(if off > 0.0 { &mut high } else { &mut low }) = lambda;
            if high - low <= 1e-12 * high {
                break;
            }
            // Newton's step, at most by a factor of four; a step out of what is left is replaced by the middle.
            let newton = (lambda - off / variance).clamp(0.25 * lambda, 4.0 * lambda);
            lambda = if newton > low && newton < high { newton } else { 0.5 * (low + high.min(4.0 * lambda)) };
        }
        lambda
    }

    /// The smallest sum whose tail is bounded by e^`log_bound`; nothing when no sum is.
    pub fn threshold(&self, log_bound: f64) -> Option<f64> {
        let reach = |lambda: f64| {
            let tilted = self.tilted(lambda);
            (self.bound_at(&tilted, lambda, tilted.mean), tilted.mean)
        };
        let (mut low, mut high) = (0.0f64, 1e-3f64);
        while reach(high).0 > log_bound {
            if high > LAMBDA_MAX {
                return None;
            }
            low = high;
            high *= 2.0;
        }
        for _ in 0..SEARCH_ROUNDS {
            let middle = 0.5 * (low + high);
            if reach(middle).0 > log_bound {
                low = middle;
            } else {
                high = middle;
            }
            if high - low < THRESHOLD_PRECISION * high {
                break;
            }
        }
        Some(reach(high).1)
    }
}

/// The probability of a one under the tilted law, p e^x / (1 - p + p e^x), without overflow on either side.
fn tilted_probability(p: f64, x: f64) -> f64 {
    if x <= 0.0 {
        let e = p * x.exp();
        e / (1.0 - p + e)
    } else {
        let e = (1.0 - p) * (-x).exp();
        p / (p + e)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// P(S ≥ s) by going through all outcomes.
    fn exact(terms: &[Term], s: f64) -> f64 {
        let mut sums = vec![(0.0, 1.0)];
        for term in terms {
            sums = sums
                .iter()
                .flat_map(|(sum, p)| [(sum + term.one, p * term.p), (sum + term.zero, p * (1.0 - term.p))])
                .collect();
        }
        sums.iter().filter(|(sum, _)| *sum >= s - 1e-12).map(|(_, p)| p).sum()
    }

    proptest! {
        #[test]
        fn never_below_the_exact_probability(
            terms in prop::collection::vec((0.01..0.99f64, -10.0..10.0f64, -10.0..10.0f64), 1..12),
            outcome: u16,
        ) {
            let terms: Vec<Term> = terms.into_iter().map(|(p, one, zero)| Term { p, one, zero }).collect();
            let reached: f64 =
                terms.iter().enumerate().map(|(i, t)| if outcome >> i & 1 == 1 { t.one } else { t.zero }).sum();
            let bound = Law::new(terms.clone()).log_tail(reached);
            let exact = exact(&terms, reached).ln();
            prop_assert!(bound >= exact - 1e-12, "{bound} is below {exact}");
            prop_assert!(bound <= 0.0);
        }

        #[test]
        fn a_threshold_keeps_its_bound(
            terms in prop::collection::vec((0.05..0.95f64, 0.1..3.0f64, -3.0..-0.1f64), 20..60),
            log_bound in -6.0..-1.0f64,
        ) {
            let law = Law::new(terms.into_iter().map(|(p, one, zero)| Term { p, one, zero }).collect());
            if let Some(threshold) = law.threshold(log_bound) {
                prop_assert!(law.log_tail(threshold + 1e-9) <= log_bound + 1e-3);
                prop_assert!(threshold <= law.maximum().0 + 1e-9);
            } else {
                prop_assert!(law.maximum().1 > log_bound - 4.0);
            }
        }
    }

    #[test]
    fn far_out_it_is_near_the_truth() {
        // 400 fair coins: P(S ≥ 60) with S the difference of heads and tails, by the binomial law.
        let law = Law::new(vec![Term { p: 0.5, one: 1.0, zero: -1.0 }; 400]);
        let mut probabilities = vec![1.0f64];
        for _ in 0..400 {
            let mut next = vec![0.0; probabilities.len() + 1];
            for (heads, p) in probabilities.iter().enumerate() {
                next[heads] += 0.5 * p;
                next[heads + 1] += 0.5 * p;
            }
            probabilities = next;
        }
        let exact: f64 = probabilities[260..].iter().sum();
        let bound = law.log_tail(120.0);
        assert!(bound >= exact.ln() && bound < exact.ln() + 1.5, "{bound} {}", exact.ln());
        // Chernoff's bound alone is farther off.
        let lambda = 0.3f64.atanh();
        let chernoff = law.tilted(lambda).log_moment - lambda * 120.0;
        assert!(bound < chernoff - 0.5, "{bound} {chernoff}");
    }

    #[test]
    fn what_cannot_be_reached_has_no_threshold() {
        let law = Law::new(vec![Term { p: 0.5, one: 1.0, zero: -1.0 }; 10]);
        assert_eq!(law.threshold(-20.0), None);
        assert!(law.threshold(-5.0).is_some());
        assert_eq!(Law::new(Vec::new()).log_tail(1.0), 0.0);
        assert_eq!(law.log_tail(f64::NAN), 0.0);
        assert_eq!(law.log_tail(-1.0), 0.0);
        assert!(law.log_tail(11.0) < -20.0);
    }
}
