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

/// The largest share of cells that may be marked so that all but one in ten thousand copies keep the bounds.
///
/// `rows` is the number of rows, `deviation` the column's standard deviation and `reach` how far a mark moves a value, both in
/// the same unit. A marked cell moves by its reach with a sign that is fair and secret: over the copies the mean's shift
/// has standard deviation reach √(share/rows), the variance grows by share · reach², give or take twice the deviation times
/// the mean's shift.
pub fn rate_within_moments(rows: u64, deviation: f64, reach: f64, bounds: MomentBounds) -> f64 {
    let usable = deviation.is_finite() && deviation > 0.0 && reach.is_finite() && reach > 0.0;
    if rows == 0 || !usable {
        return 0.0;
    }
    let relative = reach / deviation;
    let by_mean = rows as f64 * (bounds.mean_shift / (QUANTILE * relative)).powi(2);
    let left = (bounds.deviation_change - bounds.mean_shift).max(0.0);
    let by_deviation = 2.0 * left / (relative * relative);
    by_mean.min(by_deviation).clamp(0.0, 1.0)
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
}
