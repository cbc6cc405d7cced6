//! What marks do to a column's mean and standard deviation, and how many marks keep both within stated bounds.

/// Bounds of a column's moments, stated in the contract.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MomentBounds {
    /// How far the mean may move, in standard deviations of the column.
    pub mean_shift: f64,
    /// By which share the standard deviation may change.
    pub deviation_change: f64,
}

impl Default for MomentBounds {
    /// A ten-thousandth of a standard deviation, and a thousandth of it.
    fn default() -> Self {
        Self { mean_shift: 1e-4, deviation_change: 1e-3 }
    }
}

/// How sure one wants to be: normal quantile of one in ten thousand copies, two-sided.
const QUANTILE: f64 = 3.9;

/// The natural logarithm of twenty thousand: one in ten thousand, two-sided.
const TAIL_NATS: f64 = 9.903_487_552_536_127;
/// Halvings by which a rate is sought.
const HALVINGS: u32 = 60;

/// What bits that move many rows alike do to a sum.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Lumps {
    /// The sum over the bits of the square of how far each moves it.
    pub(crate) squares: f64,
    /// The farthest that one does.
    pub(crate) most: f64,
}

/// What marks do to a column, at a rate of one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spread {
    /// Values that there are.
    pub(crate) rows: f64,
    /// Their standard deviation.
    pub(crate) deviation: f64,
    /// The sum of the squares of how far each of them can move.
    pub(crate) squares: f64,
    /// Of bits that move many rows alike: what they do to the sum of the values, and to the sum of the products of moves and
    /// of how many deviations values are off the mean. None where each cell moves by itself.
    pub(crate) lumps: Option<(Lumps, Lumps)>,
}

impl Spread {
    fn is_usable(&self) -> bool {
        let is_above = |value: f64| value.is_finite() && value > 0.0;
        is_above(self.rows) && is_above(self.deviation) && is_above(self.squares)
    }

    /// How far all but one of ten thousand copies move the mean at a rate of one, in deviations; with the root of the rate.
    fn shift(&self) -> f64 {
        QUANTILE * self.squares.sqrt() / (self.rows * self.deviation)
    }

    /// By which share the deviation grows at a rate of one by the marks' own variance; with the rate.
    fn growth(&self) -> f64 {
        self.squares / (2.0 * self.rows * self.deviation * self.deviation)
    }

    /// What all but one of ten thousand copies keep at a rate.
    ///
    /// A marked cell moves with a sign that is fair and secret, so the mean's shift is normal with the variance rate · Σ reach² /
    /// rows²; the variance grows by rate · Σ reach² / rows and by twice the covariance of values and moves, which changes the
    /// deviation by as much as the mean moves.
    pub(crate) fn at(&self, rate: f64) -> MomentBounds {
        if !self.is_usable() {
            return MomentBounds { mean_shift: 0.0, deviation_change: 0.0 };
        }
        if let Some((sum, product)) = self.lumps {
            let scale = self.rows * self.deviation;
            // Of few bits all may be drawn, whatever the rate.
            let deviation_change = self.growth() + product.shift(rate) / scale;
            return MomentBounds { mean_shift: sum.shift(rate) / scale, deviation_change };
        }
        let mean_shift = self.shift() * rate.sqrt();
        MomentBounds { mean_shift, deviation_change: self.growth() * rate + mean_shift }
    }

    /// The same by halving: both are the wider the larger the rate.
    fn sought_within(&self, bounds: MomentBounds) -> f64 {
        largest_rate(|rate| {
            let at = self.at(rate);
            at.mean_shift <= bounds.mean_shift && at.deviation_change <= bounds.deviation_change
        })
    }

    /// The largest rate that keeps the bounds.
    pub(crate) fn rate_within(&self, bounds: MomentBounds) -> f64 {
        if !self.is_usable() {
            return 0.0;
        }
        if self.lumps.is_some() {
            return self.sought_within(bounds);
        }
        let (shift, growth) = (self.shift(), self.growth());
        let by_mean = bounds.mean_shift.max(0.0) / shift;
        // The root of the rate at which growth · rate + shift · √rate is the bound.
        let root = (shift * shift + 4.0 * growth * bounds.deviation_change.max(0.0)).sqrt();
        let by_deviation = (root - shift) / (2.0 * growth);
        by_mean.min(by_deviation).powi(2).clamp(0.0, 1.0)
    }
}

impl Lumps {
    /// Adds a bit that moves so many rows (or so many deviations of them), each by the root of a square, on average and at most.
    pub(crate) fn add(&mut self, count: f64, square: f64, most: f64) {
        self.squares += count * count * square;
        self.most = self.most.max(count * most.sqrt());
    }

    /// How far all but one of ten thousand copies move the sum at a rate: Bernstein's inequality, since there may be few bits.
    pub(crate) fn shift(&self, rate: f64) -> f64 {
        let linear = TAIL_NATS * self.most / 3.0;
        linear + (linear * linear + 2.0 * TAIL_NATS * rate * self.squares).sqrt()
    }
}

/// The largest rate that keeps what every smaller one keeps too, by halving.
pub(crate) fn largest_rate(keeps: impl Fn(f64) -> bool) -> f64 {
    if keeps(1.0) {
        return 1.0;
    }
    let (mut within, mut beyond) = (0.0, 1.0);
    for _ in 0..HALVINGS {
        let middle = (within + beyond) / 2.0;
        if keeps(middle) { within = middle } else { beyond = middle }
    }
    within
}

/// The largest share of cells that may be marked so that all but one in ten thousand copies keep the bounds.
///
/// `rows` is the number of rows, `deviation` the column's standard deviation and `reach` how far a mark moves a value, both in
/// the same unit.
pub fn rate_within_moments(rows: u64, deviation: f64, reach: f64, bounds: MomentBounds) -> f64 {
    let rows = rows as f64;
    Spread { rows, deviation, squares: rows * reach * reach, lumps: None }.rate_within(bounds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_rows_bear_more_marks_and_wider_marks_fewer() {
        let rate = |rows, reach| rate_within_moments(rows, 40.0, reach, MomentBounds::default());
        assert!(rate(336_776, 1.0) > 0.3 && rate(336_776, 1.0) < 0.4);
        assert!(rate(336_776, 2.0) < rate(336_776, 1.0));
        assert!(rate(48_000, 1.0) < rate(336_776, 1.0));
        assert_eq!(rate(u64::MAX, 0.1), 1.0);
        assert_eq!(rate_within_moments(10, 0.0, 1.0, MomentBounds::default()), 0.0);
        assert_eq!(rate_within_moments(0, 1.0, f64::NAN, MomentBounds::default()), 0.0);
    }

    #[test]
    fn few_bits_that_move_many_rows_bear_a_smaller_rate() {
        let of = |bits: f64| {
            let most = 1e6 / bits;
            let lumps = Lumps { squares: bits * most * most, most };
            Spread { rows: 1e6, deviation: 40.0, squares: 1e6, lumps: Some((lumps, lumps)) }
        };
        let bounds = MomentBounds { mean_shift: 1e-3, deviation_change: 1e-2 };
        let rate = |bits| of(bits).rate_within(bounds);
        assert_eq!(rate(100.0), 0.0, "the farthest bit alone is too far");
        assert!(rate(1e4) > 0.0 && rate(1e4) < rate(1e5) && rate(1e5) <= rate(1e6));
        let kept = of(1e4).at(rate(1e4));
        assert!((kept.mean_shift / bounds.mean_shift - 1.0).abs() < 1e-9, "{kept:?}");
        // Of a million bits it is little more than what cells by themselves do.
        let alone = Spread { lumps: None, ..of(1e6) };
        let (lumps, alone) = (of(1e6).at(0.5).mean_shift, alone.at(0.5).mean_shift);
        assert!(lumps > alone && lumps < 1.2 * alone, "{lumps} {alone}");
    }

    #[test]
    fn a_rate_that_fits_just_keeps_the_bounds() {
        let spread = Spread { rows: 10_000.0, deviation: 20.0, squares: 10_000.0 * 9.0, lumps: None };
        for (mean_shift, deviation_change) in [(1e-3, 1.0), (1.0, 4e-3), (2e-3, 3e-3)] {
            let bounds = MomentBounds { mean_shift, deviation_change };
            let rate = spread.rate_within(bounds);
            let kept = spread.at(rate);
            let share = (kept.mean_shift / mean_shift).max(kept.deviation_change / deviation_change);
            assert!(rate < 1.0 && (share - 1.0).abs() < 1e-9, "{rate} {kept:?}");
        }
    }
}
