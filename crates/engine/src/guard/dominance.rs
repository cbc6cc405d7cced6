//! When one or two contributors make most of a sum.

/// The dominance rules of statistical offices. A sum or average under one of them is suppressed: the second
/// largest contributor could work out the largest from it.
///
/// Both are stated for the contributions `x1 ≥ x2 ≥ …` and their total `X` in A. Hundepool and others, *Statistical
/// Disclosure Control* (Wiley 2012; the ESSnet SDC handbook), section 4.2.2; contributions are absolute values here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dominance {
    /// The p% rule: suppressed when `X − x1 − x2 < p/100 · x1`, that is when the second largest contributor can estimate
    /// the largest to within p percent.
    pub p_percent: u32,
    /// The (n,k) rule with n = 2: suppressed when `x1 + x2 > k/100 · X`.
    pub k_percent: u32,
}

impl Default for Dominance {
    /// p = 10, and (2, 85), which the R package sdcTable applies unless told otherwise.
    fn default() -> Self {
        Self { p_percent: 10, k_percent: 85 }
    }
}

impl Dominance {
    /// True for a total that its one or two largest parts dominate. What can't be compared is taken for dominated.
    pub(crate) fn is_broken(&self, total: f64, [first, second]: [f64; 2]) -> bool {
        if !total.is_finite() {
            return true;
        }
        let rest = total - first - second;
        rest < f64::from(self.p_percent) / 100.0 * first || first + second > f64::from(self.k_percent) / 100.0 * total
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_the_handbook() {
        let rule = Dominance::default();
        for (parts, is_broken) in [
            (vec![10.0; 20], false),
            // p%: 10 is less than a tenth of 101.
            (vec![101.0, 50.0, 4.0, 3.0, 3.0], true),
            // (2, 85): 86 of 100.
            (vec![50.0, 36.0, 8.0, 6.0], true),
            (vec![50.0, 34.0, 8.0, 8.0], false),
            (vec![7.0], true),
            (vec![7.0, 7.0], true),
            // Nothing is told of anybody by a sum of nothing.
            (vec![0.0; 10], false),
            (vec![f64::NAN, 1.0], true),
            (vec![f64::INFINITY, 1.0, 1.0], true),
        ] {
            let mut sorted = parts.clone();
            sorted.sort_by(|one, other| other.total_cmp(one));
            let largest = [sorted[0], sorted.get(1).copied().unwrap_or(0.0)];
            assert_eq!(rule.is_broken(parts.iter().sum(), largest), is_broken, "{parts:?}");
        }
    }
}
