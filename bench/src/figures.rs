//! What is made of many measured values.

/// The middle of some values; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// The least value that at least this share of the values does not exceed (nearest rank); 0 of none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a length lies within it")]
    let rank = (share.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

/// How much `y` rises for each unit of `x`, by least squares; 0 where `x` does not vary.
pub fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x_mean, y_mean) = (points.iter().map(|(x, _)| x).sum::<f64>() / count, mean(points.iter().map(|(_, y)| *y)));
    let spread: f64 = points.iter().map(|(x, _)| (x - x_mean).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - x_mean) * (y - y_mean)).sum();
    if spread > 0.0 { together / spread } else { 0.0 }
}

/// The mean of some values; 0 of none.
pub fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_u32);
    for value in values {
        sum += value;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}

/// The next number of a generator (xorshift64), told by its seed, which must not be 0.
pub fn rolled(state: &mut u64) -> u64 {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    *state
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let values: Vec<f64> = (1..=1_000).rev().map(f64::from).collect();
        assert_eq!(quantile(&values, 0.99), 990.0);
        assert_eq!(quantile(&values, 1.0), 1_000.0);
        assert_eq!(quantile(&values, 0.0), 1.0);
        assert_eq!(median(&values), 500.0);
        // Of few values the tail is the greatest: nothing is made up between them.
        assert_eq!(quantile(&[3.0, 7.0], 0.99), 7.0);
        assert_eq!(quantile(&[], 0.99), 0.0);
    }

    #[test]
    fn a_slope_is_that_of_the_line() {
        let line: Vec<(f64, f64)> = (0..50).map(|x| (f64::from(x), 3.0 - 0.5 * f64::from(x))).collect();
        assert!((slope(&line) + 0.5).abs() < 1e-9);
        assert_eq!(slope(&[(1.0, 2.0), (1.0, 8.0)]), 0.0);
        assert_eq!(slope(&[]), 0.0);
        assert_eq!(mean([]), 0.0);
    }
}
