//! The mechanisms, all of them OpenDP's: noise of the discrete Gaussian distribution on whole numbers (Canonne, Kamath and
//! Steinke, 2020), and the selection of a quantile among candidates by the exponential mechanism. Floating-point noise is
//! the classic hole (Mironov, 2012); there is none here.
//!
//! The scale of each is chosen by a formula and then proved by OpenDP's own privacy map: what it can't show to cost no more
//! than was paid is not run. This is the one file that knows OpenDP's types; each of its constructors is used with one set
//! of types, since they compile slowly.

use lingqu_domain::privacy::Rho;
use opendp::combinators::ConcentratedMeasure;
use opendp::core::{Measurement, StabilityMap};
use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::{make_gaussian, make_noisy_max};
use opendp::measures::ZeroConcentratedDivergence;
use opendp::metrics::{L2Distance, LInfDistance, SymmetricDistance};
use opendp::transformations::make_quantile_score_candidates;

/// The probability, in the reading of zCDP as (ε, δ), that ε does not hold.
pub const DELTA: f64 = 1e-6;

/// How often a scale is widened before it is given up: rounding asks for one time at most.
const WIDENINGS_MAX: u32 = 32;
/// By how much: far above the rounding of the formula, far below what is noticed.
const WIDENING: f64 = 1.0 + 1e-12;

/// OpenDP did not do what was asked. Its text names no data: it speaks of constructors and maps.
#[derive(Debug, thiserror::Error)]
#[error("OpenDP: {0}")]
pub(crate) struct MechanismError(String);

impl From<opendp::error::Error> for MechanismError {
    fn from(error: opendp::error::Error) -> Self {
        MechanismError(format!("{:?}", error.variant))
    }
}

type Numbers = VectorDomain<AtomDomain<i64>>;
type Scores = VectorDomain<AtomDomain<u64>>;

/// Adds noise to each of some numbers which, between neighbouring tables, are at most `sensitivity` apart in the Euclidean
/// norm, at a cost of at most `rho` for all of them together.
pub(crate) fn gaussian(numbers: Vec<i64>, sensitivity: u64, rho: f64) -> Result<Vec<i64>, MechanismError> {
    let distance = exactly(sensitivity)?;
    let made = |scale: f64| {
        make_gaussian::<Numbers, L2Distance<f64>, ZeroConcentratedDivergence>(
            VectorDomain::new(AtomDomain::default()),
            L2Distance::default(),
            scale,
            None,
        )
    };
    let mut scale = distance / (2.0 * rho).sqrt();
    for _ in 0..WIDENINGS_MAX {
        let measurement = made(scale)?;
        if measurement.map(&distance)? <= rho {
            return Ok(measurement.invoke(&numbers)?);
        }
        scale *= WIDENING;
    }
    Err(MechanismError("no scale of noise is affordable".to_owned()))
}

/// Which of some candidates is taken for a quantile. One for each column and quantile, used for every group.
pub(crate) struct QuantileChoice {
    measurement: Measurement<Scores, LInfDistance<u64>, ZeroConcentratedDivergence, usize>,
}

impl QuantileChoice {
    /// A choice among candidates in ascending order, for a quantile in ten-thousandths, at a cost of at most `rho` for a
    /// subject with at most `rows` rows in all groups together: the cost grows with the square of the rows of a group, so
    /// all of them in one group is the dearest.
    pub(crate) fn new(
        candidates: &[i64],
        quantile: Quantile,
        rows: u32,
        rho: f64,
    ) -> Result<QuantileChoice, MechanismError> {
        // Of the transformation only its proof is used: how far the scores of neighbours are apart. The scores
        // themselves are worked out from counts by position, see [`scores`].
        let scoring = make_quantile_score_candidates(
            VectorDomain::<AtomDomain<i64>>::default(),
            SymmetricDistance,
            candidates.to_vec(),
            quantile.fraction(),
        )?;
        let stability: &StabilityMap<SymmetricDistance, LInfDistance<u64>> = &scoring.stability_map;
        let distance = stability.eval(&rows)?;
        let mut scale = exactly(distance)? / (2.0 * rho).sqrt();
        for _ in 0..WIDENINGS_MAX {
            let measurement = make_noisy_max(
                scoring.output_domain.clone(),
                scoring.output_metric.clone(),
                ZeroConcentratedDivergence,
                scale,
                true,
            )?;
            if measurement.map(&distance)? <= rho {
                return Ok(QuantileChoice { measurement });
            }
            scale *= WIDENING;
        }
        Err(MechanismError("no scale of noise is affordable".to_owned()))
    }

    /// The place of the candidate that is taken, by scores (see [`scores`]).
    pub(crate) fn choose(&self, scores: Vec<u64>) -> Result<usize, MechanismError> {
        Ok(self.measurement.invoke(&scores)?)
    }
}

/// A quantile in ten-thousandths, between 0 and 1 without these: they are the smallest and the largest value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Quantile(u16);

/// The denominator of quantiles.
const WHOLE: u16 = 10_000;

impl Quantile {
    /// The middle.
    pub(crate) const MEDIAN: Quantile = Quantile(WHOLE / 2);

    /// A quantile of a fraction. None outside of 0 to 1, at its ends, and finer than ten-thousandths.
    pub(crate) fn new(fraction: f64) -> Option<Quantile> {
        let parts = (fraction * f64::from(WHOLE)).round();
        let is_exact = (fraction - parts / f64::from(WHOLE)).abs() < 1e-12;
        // Checked to lie between 1 and 9,999 before it is cut.
        (is_exact && parts >= 1.0 && parts < f64::from(WHOLE)).then_some(Quantile(parts as u16))
    }

    /// The same from the other end.
    pub(crate) fn reversed(self) -> Quantile {
        Quantile(WHOLE - self.0)
    }

    /// In ten-thousandths.
    pub(crate) fn parts(self) -> u16 {
        self.0
    }

    /// The fraction as OpenDP is given it. Where its denominator is no power of two, OpenDP multiplies it by ten thousand and
    /// cuts the decimals off, which makes 92 of 0.0093: so a little is added, and the numerator is what it was.
    fn fraction(self) -> f64 {
        let (numerator, denominator) = self.ratio();
        if denominator < u64::from(WHOLE) {
            return numerator as f64 / denominator as f64;
        }
        (f64::from(self.0) + 0.3) / f64::from(WHOLE)
    }

    /// Numerator and denominator as OpenDP takes them: the exact fraction where its denominator is a power of two.
    fn ratio(self) -> (u64, u64) {
        let (mut numerator, mut denominator) = (u64::from(self.0), u64::from(WHOLE));
        while numerator.is_multiple_of(2) && denominator.is_multiple_of(2) {
            (numerator, denominator) = (numerator / 2, denominator / 2);
        }
        while numerator.is_multiple_of(5) && denominator.is_multiple_of(5) {
            (numerator, denominator) = (numerator / 5, denominator / 5);
        }
        if denominator.is_power_of_two() { (numerator, denominator) } else { (u64::from(self.0), u64::from(WHOLE)) }
    }
}

/// The scores of candidates for a quantile, lowest best, as OpenDP scores them: how far the values below a candidate and
/// those above it, weighted, are from balancing. `counts` has the values by position: below the first candidate, equal
/// to it, between it and the next, and so on: one more than twice the candidates.
pub(crate) fn scores(counts: &[u64], quantile: Quantile) -> Vec<u64> {
    let (numerator, denominator) = quantile.ratio();
    let total: u64 = counts.iter().fold(0, |sum, count| sum.saturating_add(*count));
    let mut below: u64 = 0;
    let mut scores = Vec::with_capacity(counts.len() / 2);
    for pair in counts.chunks_exact(2) {
        below = below.saturating_add(pair[0]);
        let above = total.saturating_sub(below.saturating_add(pair[1]));
        // As in OpenDP, counts are cut where the products would leave 64 bits, which no table reaches.
        let most = u64::MAX / denominator;
        let (weighted_below, weighted_above) =
            ((denominator - numerator) * below.min(most), numerator * above.min(most));
        scores.push(weighted_below.abs_diff(weighted_above));
        below = below.saturating_add(pair[1]);
    }
    scores
}

/// What a loss of ρ in all means as ε at δ = [`DELTA`], rounded up by OpenDP; infinite where it can't be told.
pub fn epsilon(rho: Rho) -> f64 {
    if rho.is_zero() {
        return 0.0;
    }
    let converted = ZeroConcentratedDivergence::convert(rho_up(rho)).and_then(|profile| profile.epsilon(DELTA));
    converted.unwrap_or(f64::INFINITY)
}

/// An amount as a number that is not above it.
pub(crate) fn rho_down(nano: u64) -> f64 {
    // Amounts of up to 10^12 billionths are exact; the quotient is rounded to the nearest and then taken down.
    (nano as f64 / 1e9).next_down()
}

/// An amount as a number that is not below it.
fn rho_up(rho: Rho) -> f64 {
    (rho.nano() as f64 / 1e9).next_up()
}

/// A whole number as a float, exactly.
fn exactly(number: u64) -> Result<f64, MechanismError> {
    if number > 1 << f64::MANTISSA_DIGITS {
        return Err(MechanismError("a sensitivity is too large to be exact".to_owned()));
    }
    Ok(number as f64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Counts of values by position among candidates.
    fn counted(candidates: &[i64], values: &[i64]) -> Vec<u64> {
        let mut counts = vec![0; candidates.len() * 2 + 1];
        for value in values {
            let below = candidates.partition_point(|candidate| candidate < value);
            let is_equal = candidates.get(below) == Some(value);
            counts[below * 2 + usize::from(is_equal)] += 1;
        }
        counts
    }

    fn scored_by_opendp(candidates: &[i64], values: &[i64], quantile: Quantile) -> Vec<u64> {
        let scoring = make_quantile_score_candidates(
            VectorDomain::<AtomDomain<i64>>::default(),
            SymmetricDistance,
            candidates.to_vec(),
            quantile.fraction(),
        );
        scoring.unwrap().invoke(&values.to_vec()).unwrap()
    }

    proptest! {
        #[test]
        fn scores_are_those_of_opendp(
            candidates in proptest::collection::btree_set(-20_i64..20, 1..12),
            values in proptest::collection::vec(-25_i64..25, 0..60),
            parts in 1_u16..WHOLE,
        ) {
            let candidates: Vec<i64> = candidates.into_iter().collect();
            let quantile = Quantile(parts);
            let counts = counted(&candidates, &values);
            prop_assert_eq!(scores(&counts, quantile), scored_by_opendp(&candidates, &values, quantile));
        }
    }

    /// Every quantile is the fraction that OpenDP makes of it: two values tell a numerator from its neighbours.
    #[test]
    fn quantiles_are_the_fractions_that_opendp_takes() {
        let values: Vec<i64> = (0..60).collect();
        for parts in 1..WHOLE {
            let quantile = Quantile(parts);
            assert_eq!(Quantile::new(f64::from(parts) / f64::from(WHOLE)), Some(quantile));
            let counts = counted(&[10, 40], &values);
            assert_eq!(scores(&counts, quantile), scored_by_opendp(&[10, 40], &values, quantile), "{parts}");
        }
        for fraction in [0.0, 1.0, -0.5, 1.5, 0.00001, 0.99999, f64::NAN, f64::INFINITY] {
            assert_eq!(Quantile::new(fraction), None, "{fraction}");
        }
        assert_eq!(Quantile(100).reversed(), Quantile(9_900));
    }

    /// The noise has the spread that its price asks for. With 20,000 draws the sample variance of a Gaussian is within 7 %
    /// of the true one but for a chance of about 10^-11 (seven standard deviations of the estimate, which has one of
    /// sqrt(2/n) = 1 %), the mean within seven of its own.
    #[test]
    fn noise_has_the_spread_that_it_costs() {
        let (count, sensitivity, rho) = (20_000, 5, 0.02);
        let noise = gaussian(vec![1_000; count], sensitivity, rho).unwrap();
        let deviations: Vec<f64> = noise.iter().map(|value| (*value - 1_000) as f64).collect();
        let variance = 25.0 / (2.0 * rho);
        let mean = deviations.iter().sum::<f64>() / count as f64;
        let found = deviations.iter().map(|deviation| deviation * deviation).sum::<f64>() / count as f64;
        assert!(mean.abs() < 7.0 * (variance / count as f64).sqrt(), "{mean}");
        assert!((found / variance - 1.0).abs() < 0.07, "{found} instead of {variance}");
        // A discrete Gaussian of this spread is odd half of the time.
        let odd = noise.iter().filter(|value| *value % 2 != 0).count() as f64 / count as f64;
        assert!((odd - 0.5).abs() < 7.0 * 0.5 / (count as f64).sqrt(), "{odd}");
    }

    /// The mechanism's own map says that no scale undercuts the price; half of the scale would.
    #[test]
    fn what_is_paid_covers_the_loss() {
        for (sensitivity, nano) in [(1, 1), (1, 1_000_000_000), (7, 333_333_333), (1_000_000_000_000, 50_000_000)] {
            let rho = rho_down(nano);
            assert!(rho < nano as f64 / 1e9);
            assert!(gaussian(vec![0], sensitivity, rho).is_ok(), "{sensitivity} {nano}");
        }
        assert!(gaussian(vec![0], u64::MAX, 1.0).is_err());
    }

    #[test]
    fn numbers_at_the_ends_do_not_wrap_around() {
        for value in [i64::MAX, i64::MIN] {
            let noised = gaussian(vec![value; 200], 1_000, 0.5).unwrap();
            assert!(noised.iter().all(|noised| (*noised > 0) == (value > 0)), "saturated, not wrapped");
        }
    }

    /// With many rows and a high price the candidate nearest to the true quantile is taken, nearly always.
    #[test]
    fn a_quantile_is_found_where_the_rows_outweigh_the_noise() {
        let candidates: Vec<i64> = (0..=20).map(|step| step * 5).collect();
        let values: Vec<i64> = (0..10_000).map(|row| row % 100).collect();
        let quantile = Quantile::new(0.9).unwrap();
        let choice = QuantileChoice::new(&candidates, quantile, 1, 1.0).unwrap();
        let scores = scores(&counted(&candidates, &values), quantile);
        for _ in 0..50 {
            assert_eq!(candidates[choice.choose(scores.clone()).unwrap()], 90);
        }
    }

    /// The other way round: with a tiny price the choice is nearly blind. 400 draws among 21 candidates of which each is
    /// about as likely; that any one is drawn more than 80 times has a chance far below 10^-9.
    #[test]
    fn a_quantile_that_costs_nothing_tells_nothing() {
        let candidates: Vec<i64> = (0..=20).collect();
        let values = vec![7; 10];
        let choice = QuantileChoice::new(&candidates, Quantile::MEDIAN, 1, 1e-8).unwrap();
        let scores = scores(&counted(&candidates, &values), Quantile::MEDIAN);
        let mut drawn = [0; 21];
        for _ in 0..400 {
            drawn[choice.choose(scores.clone()).unwrap()] += 1;
        }
        assert!(drawn.iter().all(|count| *count <= 80), "{drawn:?}");
    }

    #[test]
    fn losses_are_told_as_epsilon() {
        assert_eq!(epsilon(Rho::ZERO).to_bits(), 0.0_f64.to_bits());
        let (small, large) = (epsilon("0.1".parse().unwrap()), epsilon("1".parse().unwrap()));
        // Bun and Steinke's simple bound is rho + 2 sqrt(rho ln(1/delta)); the exact conversion is below it.
        assert!(small > 0.5 && small < 0.1 + 2.0 * (0.1 * 1e6_f64.ln()).sqrt(), "{small}");
        assert!(large > small && large < 1.0 + 2.0 * 1e6_f64.ln().sqrt(), "{large}");
    }
}
