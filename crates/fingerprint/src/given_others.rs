//! What is left of a column when the others are known. A mark that reaches farther than that is found by whoever computes the
//! column from the others, and undone: sums and copies are not all that hangs together. Two ways to compute it are tried, and the
//! better one counts: a weighted sum, and, among columns that are positive, a product of powers, so that products and quotients are
//! found (amount = quantity x price), rounded or not.

use crate::units::ABSENT;

/// Rows that regressions are made from, and what is added to the diagonal.
const REGRESSION_ROWS_MAX: usize = 20_000;
const RIDGE: f64 = 1e-9;

/// Rows that products are looked for in, and the fewest, for each column that is asked: each has weights of its own, so this takes
/// the cube of the columns.
const PRODUCT_ROWS_MAX: usize = 2_000;
const PRODUCT_ROWS_MIN: usize = 100;
/// Fewer rows for each other column show nothing: of the sampled ones, more than 200 columns at once are not asked.
const PRODUCT_ROWS_MIN_EACH: usize = 10;

/// A column is asked in products when it is positive in such a share of the rows in which what is asked for is.
const POSITIVE_SHARE_MIN: f64 = 0.9;

/// For each column the share of its deviation that is left when those of the others are known that it may be computed from.
pub(crate) fn left_given_others(columns: &[&[i64]], may_ask: impl Fn(usize, usize) -> bool) -> Vec<f64> {
    let rows = columns.first().map_or(0, |values| values.len());
    let by_sums = Sums::of(columns, rows);
    let by_products = Products::of(columns, rows);
    (0..columns.len())
        .map(|column| {
            let others: Vec<usize> =
                (0..columns.len()).filter(|other| *other != column && may_ask(column, *other)).collect();
            by_sums.left(column, &others).min(by_products.left(column, &others))
        })
        .collect()
}

/// Every so many-th row.
fn stride(rows: usize, rows_max: usize) -> usize {
    rows.div_ceil(rows_max).max(1)
}

/// Linear regression.
struct Sums {
    /// Correlations.
    table: Vec<Vec<f64>>,
}

impl Sums {
    fn of(columns: &[&[i64]], rows: usize) -> Self {
        let stride = stride(rows, REGRESSION_ROWS_MAX);
        // Centred and scaled; what is missing is taken as the mean.
        let columns: Vec<Vec<f64>> = columns.iter().map(|values| standardised(values, stride)).collect();
        let count = rows.div_ceil(stride).max(1) as f64;
        let correlation =
            |one: &Vec<f64>, other: &Vec<f64>| one.iter().zip(other).map(|(a, b)| a * b).sum::<f64>() / count;
        let table = columns.iter().map(|one| columns.iter().map(|other| correlation(one, other)).collect()).collect();
        Self { table }
    }

    /// The share of a column's standard deviation that is left: what c' R^-1 c of their correlations leaves of its variance.
    fn left(&self, column: usize, others: &[usize]) -> f64 {
        let rows = others.iter().map(|one| {
            let own = others.iter().map(|other| self.table[*one][*other]);
            own.chain([self.table[*one][column]]).collect()
        });
        let system = eliminated(rows.collect());
        // After elimination the explained share is the sum of squares of the right side over the pivots.
        let explained = system.iter().enumerate().map(|(at, row)| row[others.len()].powi(2) / row[at]);
        (1.0 - explained.sum::<f64>()).clamp(0.0, 1.0).sqrt()
    }
}

fn standardised(values: &[i64], stride: usize) -> Vec<f64> {
    let sample: Vec<Option<f64>> =
        values.iter().step_by(stride).map(|value| (*value != ABSENT).then_some(*value as f64)).collect();
    let present = || sample.iter().flatten();
    let count = (present().count() as f64).max(1.0);
    let mean = present().sum::<f64>() / count;
    let deviation = (present().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt();
    let scale = if deviation > 0.0 { deviation } else { 1.0 };
    sample.into_iter().map(|value| value.map_or(0.0, |value| (value - mean) / scale)).collect()
}

/// A system of equations, the right side last, with zeros below its diagonal. A ridge keeps ties among the columns that are asked from
/// dividing by zero.
fn eliminated(mut system: Vec<Vec<f64>>) -> Vec<Vec<f64>> {
    for (at, row) in system.iter_mut().enumerate() {
        row[at] += RIDGE;
    }
    for pivot in 0..system.len() {
        let above = system[pivot].clone();
        for below in system.iter_mut().skip(pivot + 1) {
            let factor = below[pivot] / above[pivot];
            for (cell, over) in below.iter_mut().zip(&above).skip(pivot) {
                *cell -= factor * over;
            }
        }
    }
    system
}

/// Regression of logarithms.
struct Products {
    /// For each column the logarithms of sampled rows; not a number where a value is missing or not positive.
    logarithms: Vec<Vec<f64>>,
}

impl Products {
    fn of(columns: &[&[i64]], rows: usize) -> Self {
        let stride = stride(rows, PRODUCT_ROWS_MAX);
        let logarithm = |value: &i64| if *value > 0 { (*value as f64).ln() } else { f64::NAN };
        let logarithms = columns.iter().map(|values| values.iter().step_by(stride).map(logarithm).collect());
        Self { logarithms: logarithms.collect() }
    }

    /// The share that is left, in the column's unit, of how far a value in the middle is off: of a product that was rounded the
    /// smallest values are off by much of themselves, and the largest of a column that is skewed are a deviation by themselves.
    fn left(&self, column: usize, others: &[usize]) -> f64 {
        let own = &self.logarithms[column];
        let there: Vec<usize> = (0..own.len()).filter(|row| own[*row].is_finite()).collect();
        let is_positive = |other: &usize| {
            let count = there.iter().filter(|row| self.logarithms[*other][**row].is_finite()).count();
            count as f64 >= POSITIVE_SHARE_MIN * there.len() as f64
        };
        let others: Vec<&[f64]> =
            others.iter().filter(|other| is_positive(other)).map(|other| self.logarithms[*other].as_slice()).collect();
        let rows: Vec<usize> =
            there.into_iter().filter(|row| others.iter().all(|other| other[*row].is_finite())).collect();
        if others.is_empty() || rows.len() < PRODUCT_ROWS_MIN.max(PRODUCT_ROWS_MIN_EACH * others.len()) {
            return 1.0;
        }
        let own: Vec<f64> = rows.iter().map(|row| own[*row]).collect();
        // A small value of few units is told by its logarithm as badly as it is small.
        let middle = median(own.clone());
        let weights: Vec<f64> = own.iter().map(|logarithm| (2.0 * (logarithm - middle)).min(0.0).exp()).collect();
        let own = Standard::of(own, &weights);
        let asked = others.iter().map(|other| Standard::of(rows.iter().map(|row| other[*row]).collect(), &weights));
        let asked: Vec<Standard> = asked.filter(|asked| asked.scale > 0.0).collect();
        let powers = powers(&own, &asked, &weights);
        let computed = |row: usize| asked.iter().zip(&powers).map(|(asked, power)| power * asked.values[row]).sum();
        let off = |computed: &dyn Fn(usize) -> f64| {
            let value = |standardised: f64| (own.mean + own.scale * standardised).exp();
            let off = own.values.iter().enumerate().map(|(row, own)| (value(*own) - value(computed(row))).abs());
            median(off.collect())
        };
        let (unasked, left) = (off(&|_| 0.0), off(&computed));
        if unasked > 0.0 { (left / unasked).clamp(0.0, 1.0) } else { 1.0 }
    }
}

/// Logarithms, centred and scaled by their weighted mean and deviation.
struct Standard {
    values: Vec<f64>,
    mean: f64,
    /// Zero of a constant.
    scale: f64,
}

impl Standard {
    fn of(mut values: Vec<f64>, weights: &[f64]) -> Self {
        let total = weights.iter().sum::<f64>();
        let weighted = |of: &dyn Fn(f64) -> f64| -> f64 {
            values.iter().zip(weights).map(|(value, weight)| weight * of(*value)).sum::<f64>() / total
        };
        let mean = weighted(&|value| value);
        let deviation = weighted(&|value| (value - mean).powi(2)).sqrt();
        let scale = if deviation > RIDGE { deviation } else { 0.0 };
        values.iter_mut().for_each(|value| *value = (*value - mean) / if scale > 0.0 { scale } else { 1.0 });
        Self { values, mean, scale }
    }
}

/// The powers of a product that is nearest, by weighted least squares.
fn powers(own: &Standard, asked: &[Standard], weights: &[f64]) -> Vec<f64> {
    let total = weights.iter().sum::<f64>();
    let moment = |one: &Standard, other: &Standard| -> f64 {
        let products = one.values.iter().zip(&other.values).zip(weights);
        products.map(|((one, other), weight)| weight * one * other).sum::<f64>() / total
    };
    let mut system = vec![vec![0.0; asked.len() + 1]; asked.len()];
    for at in 0..asked.len() {
        for other in at..asked.len() {
            system[at][other] = moment(&asked[at], &asked[other]);
            system[other][at] = system[at][other];
        }
        system[at][asked.len()] = moment(&asked[at], own);
    }
    let system = eliminated(system);
    let mut powers = vec![0.0; asked.len()];
    for at in (0..asked.len()).rev() {
        let known: f64 = (at + 1..asked.len()).map(|later| system[at][later] * powers[later]).sum();
        powers[at] = (system[at][asked.len()] - known) / system[at][at];
    }
    powers
}

fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() { 0.0 } else { *values.select_nth_unstable_by(middle, f64::total_cmp).1 }
}
