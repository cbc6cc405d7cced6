//! Mean, deviation and smallest distance of values that come in parts.

/// So many values are gathered before they are sorted in.
const GATHERED_MAX: usize = 1 << 20;

/// Count, mean and deviation.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Moments {
    count: f64,
    mean: f64,
    /// The sum of the squares of how far values are off the mean.
    squares: f64,
}

impl Moments {
    /// Takes in further values: the sums of both parts, and what their means are apart (Chan, Golub and LeVeque 1983).
    pub(crate) fn add(&mut self, values: &[f64]) {
        if values.is_empty() {
            return;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        let (all, off) = (self.count + count, mean - self.mean);
        self.squares += squares + off * off * self.count * count / all;
        self.mean += off * count / all;
        self.count = all;
    }

    pub(crate) fn count(&self) -> f64 {
        self.count
    }

    pub(crate) fn mean(&self) -> f64 {
        self.mean
    }

    pub(crate) fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1.0)).sqrt()
    }
}

/// Different values, up to so many.
#[derive(Debug, Clone)]
pub(crate) struct Distinct {
    sorted: Vec<f64>,
    gathered: Vec<f64>,
    most: usize,
    is_beyond: bool,
}

impl Distinct {
    pub(crate) fn up_to(most: usize) -> Self {
        Self { sorted: Vec::new(), gathered: Vec::new(), most, is_beyond: false }
    }

    pub(crate) fn add(&mut self, values: &[f64]) {
        if self.is_beyond {
            return;
        }
        self.gathered.extend_from_slice(values);
        if self.gathered.len() >= GATHERED_MAX.min(self.most) {
            self.sort_in();
        }
    }

    fn sort_in(&mut self) {
        self.sorted.append(&mut self.gathered);
        // Stable, since that goes along what is sorted already.
        self.sorted.sort_by(f64::total_cmp);
        self.sorted.dedup();
        if self.sorted.len() > self.most {
            self.is_beyond = true;
            self.sorted = Vec::new();
        }
    }

    /// The smallest distance between two of them; none of fewer than two, zero where they were too many.
    pub(crate) fn gap(mut self) -> Option<f64> {
        self.sort_in();
        if self.is_beyond {
            return Some(0.0);
        }
        let gaps = self.sorted.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
        gaps.min_by(f64::total_cmp)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_smallest_distance_is_between_different_values() {
        let gap = |values: &[f64], most| {
            let mut distinct = Distinct::up_to(most);
            values.chunks(2).for_each(|part| distinct.add(part));
            distinct.gap()
        };
        assert_eq!(gap(&[5.0, 1.0, 5.0, 9.0, 1.0, 7.5], 9), Some(1.5));
        assert_eq!((gap(&[3.0, 3.0, 3.0], 9), gap(&[], 9)), (None, None));
        assert_eq!(gap(&[0.0, -0.0, 2.0], 9), Some(2.0));
        // Of more than may be kept nothing is promised.
        assert_eq!((gap(&[1.0, 2.0, 4.0], 3), gap(&[1.0, 2.0, 4.0, 8.0], 3)), (Some(1.0), Some(0.0)));
    }

    proptest! {
        #[test]
        fn parts_make_the_moments_of_the_whole(values in prop::collection::vec(-1e6..1e6f64, 1..60), at in 0..60usize) {
            let (first, second) = values.split_at(at.min(values.len()));
            let mut parts = Moments::default();
            parts.add(first);
            parts.add(second);
            let count = values.len() as f64;
            let mean = values.iter().sum::<f64>() / count;
            let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
            prop_assert_eq!(parts.count(), count);
            prop_assert!((parts.mean() - mean).abs() < 1e-6 && (parts.deviation() - deviation).abs() < 1e-4);
        }
    }
}
