//! Whether a leaked column was rounded, found from its values and the originals alone.

/// How many values are looked at.
const SAMPLE_MAX: usize = 4_096;

/// Which share of the leaked values must lie on a coarser lattice, and which share of the originals may at most.
const LEAKED_SHARE_MIN: f64 = 0.97;
const ORIGINAL_SHARE_MAX: f64 = 0.6;

/// How likely it may be at most that so many values lie on the lattice by chance, when each does as often as the originals: a few
/// numbers are all even.
const BY_CHANCE_MAX: f64 = 1e-4;

/// Mantissas of the steps that are tried, times powers of ten: decimal rounding, and minutes of a clock.
const MANTISSAS: [f64; 9] = [1.0, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 1.5, 1.2];

/// The powers of ten that are tried, in units of the column.
const POWERS: std::ops::RangeInclusive<i32> = 0..=9;

/// What was done to a column: the leaked value of `v` is about `v` on a lattice of `step` units, moved by `offset` steps
/// before it was cut (a half for rounding to the nearest, zero for cutting, one for rounding up).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rounding {
    /// Units of the lattice; zero when nothing was rounded.
    pub step: f64,
    /// Steps that are added before a value is cut.
    pub offset: f64,
}

impl Rounding {
    /// Nothing was rounded.
    pub const NONE: Rounding = Rounding { step: 0.0, offset: 0.0 };

    /// Looks at leaked values beside their originals, both in units; what is not a number is left out.
    pub(crate) fn detect(leaked: &[f64], originals: &[f64]) -> Self {
        let stride = leaked.len().div_ceil(SAMPLE_MAX).max(1);
        let pairs = leaked.iter().zip(originals).step_by(stride);
        let pairs: Vec<(f64, f64)> =
            pairs.filter(|(y, v)| y.is_finite() && v.is_finite()).map(|(y, v)| (*y, *v)).collect();
        if pairs.is_empty() {
            return Self::NONE;
        }
        let count = pairs.len() as f64;
        let on_lattice = |step: f64, leaked: bool| {
            let on = |pair: &&(f64, f64)| {
                let value = if leaked { pair.0 } else { pair.1 };
                (value / step - (value / step).round()).abs() * step < 1e-6 * step.max(1.0)
            };
            pairs.iter().filter(on).count() as f64
        };
        let is_rounded = |step: f64| {
            let leaked = on_lattice(step, true);
            if leaked < LEAKED_SHARE_MIN * count {
                return false;
            }
            let originals = on_lattice(step, false);
            let by_chance = (leaked * ((originals + 1.0) / (count + 2.0)).ln()).exp();
            originals <= ORIGINAL_SHARE_MAX * count && by_chance <= BY_CHANCE_MAX
        };
        let mut found = 0.0f64;
        for power in POWERS {
            for mantissa in MANTISSAS {
                let step = mantissa * 10f64.powi(power);
                if step > found && step > 1.0 && is_rounded(step) {
                    found = step;
                }
            }
        }
        if found == 0.0 {
            return Self::NONE;
        }
        let mut shifts: Vec<f64> = pairs.iter().map(|(y, v)| (y - v) / found).collect();
        shifts.sort_by(f64::total_cmp);
        let median = shifts[shifts.len() / 2];
        let offset = if median < -0.25 {
            0.0
        } else if median > 0.25 {
            1.0
        } else {
            0.5
        };
        Self { step: found, offset }
    }

    /// What becomes of a value.
    pub(crate) fn apply(&self, value: f64) -> f64 {
        if self.step > 0.0 { (value / self.step + self.offset).floor() * self.step } else { value }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounding_is_told_from_none() {
        let originals: Vec<f64> = (0..5_000).map(|i| f64::from(i * 7919 % 10_007)).collect();
        let rounded =
            |step: f64, offset| -> Vec<f64> { originals.iter().map(|v| Rounding { step, offset }.apply(*v)).collect() };
        for (step, offset) in [(10.0, 0.5), (5.0, 0.0), (60.0, 0.5), (1_000.0, 0.5)] {
            assert_eq!(Rounding::detect(&rounded(step, offset), &originals), Rounding { step, offset });
        }
        assert_eq!(Rounding::detect(&originals, &originals), Rounding::NONE);
        let heaped: Vec<f64> = originals.iter().map(|v| v * 10.0).collect();
        assert_eq!(Rounding::detect(&heaped, &heaped), Rounding::NONE);
        assert_eq!(Rounding::detect(&[f64::NAN], &[1.0]), Rounding::NONE);
    }

    #[test]
    fn a_few_values_that_happen_to_be_even_are_not_rounded() {
        let originals = [3.0, 8.0, 15.0, 22.0, 41.0, 56.0];
        let even = [4.0, 8.0, 14.0, 22.0, 42.0, 56.0];
        assert_eq!(Rounding::detect(&even, &originals), Rounding::NONE);
        let tens = [0.0, 10.0, 20.0, 20.0, 40.0, 60.0];
        assert_eq!(Rounding::detect(&tens, &originals), Rounding { step: 10.0, offset: 0.5 });
    }
}
