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

/// How near a threshold's λ is found, or its bound in nats; the threshold that is answered keeps its bound whatever this is.
const THRESHOLD_PRECISION: f64 = 1e-4;
const THRESHOLD_NATS: f64 = 1e-3;

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
    /// Different ones, each with how many there are of it.
    terms: Vec<(Term, u32)>,
    /// How many there are of all.
    count: usize,
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

/// The sum that is the mean of the law tilted by a λ, and the logarithm of the bound on its tail by that λ.
#[derive(Debug, Clone, Copy)]
struct Reached {
    lambda: f64,
    sum: f64,
    log: f64,
}

impl Reached {
    /// Nearly a straight line over λ, since the logarithm falls with its square.
    fn root(&self) -> f64 {
        (-self.log).max(0.0).sqrt()
    }
}

impl Law {
    /// The law of the sum of these terms.
    pub fn new(terms: Vec<Term>) -> Self {
        Self::of_alike(terms.into_iter().map(|term| (term, 1)))
    }

    /// The same of terms of which there are so many each: it takes the time of different ones.
    pub(crate) fn of_alike(terms: impl Iterator<Item = (Term, u32)>) -> Self {
        let terms: Vec<(Term, u32)> = terms.collect();
        let count = terms.iter().map(|(_, count)| *count as usize).sum();
        Self { terms, count, copies: 1.0 }
    }

    /// The law of a fragment that is so many times as large.
    pub fn scaled(self, copies: f64) -> Self {
        Self { copies: self.copies * copies, ..self }
    }

    /// About the same law with no more different terms than this, every so manieth of all of them so many times: for planning and
    /// for choosing who is looked at, never for a bound.
    pub(crate) fn thinned(&self, terms_max: usize) -> Self {
        if self.terms.len() <= terms_max {
            return self.clone();
        }
        let stride = self.count.div_ceil(terms_max).max(1);
        let (mut terms, mut before) = (Vec::with_capacity(terms_max), 0usize);
        for (term, count) in &self.terms {
            let after = before + *count as usize;
            let taken = after.div_ceil(stride) - before.div_ceil(stride);
            if taken > 0 {
                terms.push((*term, u32::try_from(taken).unwrap_or(u32::MAX)));
            }
            before = after;
        }
        let thinned = Self::of_alike(terms.into_iter());
        let copies = self.copies * self.count as f64 / thinned.count.max(1) as f64;
        thinned.scaled(copies)
    }

    /// The law of the negative sum.
    pub fn mirrored(&self) -> Self {
        let mirror = |(term, count): &(Term, u32)| (Term { p: term.p, one: -term.one, zero: -term.zero }, *count);
        Self { terms: self.terms.iter().map(mirror).collect(), ..*self }
    }

    /// The mean of the sum.
    pub fn mean(&self) -> f64 {
        let mean = |(t, count): &(Term, u32)| f64::from(*count) * (t.p * t.one + (1.0 - t.p) * t.zero);
        self.copies * self.terms.iter().map(mean).sum::<f64>()
    }

    /// The largest possible sum, and the logarithm of its probability.
    pub fn maximum(&self) -> (f64, f64) {
        let (mut sum, mut log_probability) = (0.0, 0.0);
        for (term, count) in &self.terms {
            let count = f64::from(*count);
            sum += count * term.one.max(term.zero);
            if term.one != term.zero {
                log_probability += count * if term.one > term.zero { term.p } else { 1.0 - term.p }.ln();
            }
        }
        (self.copies * sum, self.copies * log_probability)
    }

    /// Mean and variance of the tilted law: what the search for λ needs, at the cost of one exponential a term.
    fn moments(&self, lambda: f64) -> (f64, f64) {
        let (mut mean, mut variance) = (0.0, 0.0);
        for (Term { p, one, zero }, count) in &self.terms {
            let (span, count) = (one - zero, f64::from(*count));
            let (q, _) = tilted(*p, lambda * span);
            mean += count * (zero + q * span);
            variance += count * q * (1.0 - q) * span * span;
        }
        (mean * self.copies, variance * self.copies)
    }

    fn tilted(&self, lambda: f64) -> Tilted {
        let mut sum = Tilted::default();
        for (Term { p, one, zero }, count) in &self.terms {
            let (span, count) = (one - zero, f64::from(*count));
            if span == 0.0 {
                sum.log_moment += count * lambda * zero;
                sum.mean += count * zero;
                continue;
            }
            let x = lambda * span;
            let (q, share) = tilted(*p, x);
            // log(1 - p + p e^x), without overflow on either side. It is off by a rounding error of one, for which there is room.
            let log = x.max(0.0) + share.ln();
            let spread = count * q * (1.0 - q);
            sum.log_moment += count * (lambda * zero + log);
            sum.mean += count * (zero + q * span);
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
        let margin = ROUNDING_MARGIN + ROUNDING_MARGIN_PER_TERM * self.copies * self.count as f64;
        (chernoff + factor.ln() + margin).min(0.0)
    }

    /// The logarithm of an upper bound on the probability that the sum reaches `s`. Never above zero.
    pub fn log_tail(&self, s: f64) -> f64 {
        if self.terms.is_empty() || s.is_nan() || s <= self.mean() {
            return 0.0;
        }
        // The best λ is about where the tilted mean is `s`. A sample's best is near it.
        let start = match self.terms.len() > SAMPLE_TERMS_MAX {
            true => self.thinned(SAMPLE_TERMS_MAX).best_lambda(s, 1.0),
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

    /// A sum whose tail is bounded by e^`log_bound`, within a thousandth of a nat or a ten-thousandth of λ the smallest; nothing
    /// when no sum is.
    pub fn threshold(&self, log_bound: f64) -> Option<f64> {
        let reach = |lambda: f64| {
            let tilted = self.tilted(lambda);
            Reached { lambda, sum: tilted.mean, log: self.bound_at(&tilted, lambda, tilted.mean) }
        };
        // By the normal law; from there on twice as far until it is far enough.
        let normal = (-2.0 * log_bound / self.moments(0.0).1).sqrt();
        let mut high = reach(if normal.is_finite() { normal.clamp(1.0 / LAMBDA_MAX, LAMBDA_MAX) } else { 1.0 });
        let mut low = Reached { lambda: 0.0, sum: 0.0, log: 0.0 };
        while high.log > log_bound {
            if high.lambda > LAMBDA_MAX {
                return None;
            }
            low = high;
            high = reach(2.0 * high.lambda);
        }
        // The rule of false position; an end that stays twice counts half (Dowell and Jarratt 1971).
        let aim = (0.5 * THRESHOLD_NATS - log_bound).sqrt();
        let (mut below, mut above, mut was_short) = (aim - low.root(), high.root() - aim, None);
        for _ in 0..SEARCH_ROUNDS {
            let width = high.lambda - low.lambda;
            if log_bound - high.log <= THRESHOLD_NATS || width < THRESHOLD_PRECISION * high.lambda {
                break;
            }
            let share = below / (below + above);
            let middle = reach(low.lambda + if share.is_nan() { 0.5 } else { share.clamp(0.01, 0.99) } * width);
            let is_short = middle.log > log_bound;
            let stays_twice = was_short.replace(is_short) == Some(is_short);
            let weight = if stays_twice { 0.5 } else { 1.0 };
            if is_short {
                (low, below, above) = (middle, (aim - middle.root()).max(0.0), weight * above);
            } else {
                (high, above, below) = (middle, (middle.root() - aim).max(0.0), weight * below);
            }
        }
        Some(high.sum)
    }
}

/// The probability of a one under the tilted law, p e^x / (1 - p + p e^x), without overflow on either side; and what it is divided
/// by, 1 - p + p e^x up to x = 0 and that over e^x beyond.
fn tilted(p: f64, x: f64) -> (f64, f64) {
    let e = (-x.abs()).exp();
    let (one, zero) = if x <= 0.0 { (p * e, 1.0 - p) } else { (p, (1.0 - p) * e) };
    (one / (one + zero), one + zero)
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
