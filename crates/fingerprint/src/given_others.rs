//! What is left of a column when the others are known. A mark that reaches farther than that is found by whoever computes the
//! column from the others, and undone: sums and copies are not all that hangs together. Two ways to compute it are tried, and the
//! better one counts: a weighted sum, and, among columns that are positive, a product of powers, so that products and quotients are
//! found (amount = quantity x price), rounded or not. Columns with gaps may be parts of a product, and hide none.

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

/// Columns with gaps leave few rows in which all have a value, so they are asked some at a time, at most so many times.
const GAPPED_ROUNDS_MAX: usize = 4;

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

    /// The share that is left, by whichever columns tell most. Those without gaps are asked each time, with as many of the others as
    /// leave enough rows, those with the fewest gaps first: what has nothing to do with a column must not hide what it is made of.
    fn left(&self, column: usize, others: &[usize]) -> f64 {
        let own = self.logarithms[column].as_slice();
        let there: Vec<usize> = (0..own.len()).filter(|row| own[*row].is_finite()).collect();
        let gaps = |other: &[f64]| there.iter().filter(|row| !other[**row].is_finite()).count();
        let others = others.iter().map(|other| self.logarithms[*other].as_slice());
        let mut others: Vec<(usize, &[f64])> = others.map(|other| (gaps(other), other)).collect();
        others.retain(|(gaps, _)| (there.len() - gaps) as f64 >= POSITIVE_SHARE_MIN * there.len() as f64);
        others.sort_by_key(|(gaps, _)| *gaps);
        let (whole, mut gapped) = others.split_at(others.partition_point(|(gaps, _)| *gaps == 0));
        let whole: Vec<&[f64]> = whole.iter().map(|(_, other)| *other).collect();
        let mut least = 1.0f64;
        for _ in 0..GAPPED_ROUNDS_MAX {
            let (mut asked, mut rows, before) = (whole.clone(), there.clone(), gapped.len());
            while let Some(((_, next), rest)) = gapped.split_first() {
                let with_next: Vec<usize> = rows.iter().copied().filter(|row| next[*row].is_finite()).collect();
                if with_next.len() < rows_min(asked.len() + 1) {
                    break;
                }
                asked.push(next);
                (rows, gapped) = (with_next, rest);
            }
            least = least.min(left_by(own, &asked, &rows));
            if gapped.is_empty() || gapped.len() == before {
                break;
            }
        }
        least
    }
}

/// The fewest rows in which so many columns tell something.
fn rows_min(columns: usize) -> usize {
    PRODUCT_ROWS_MIN.max(PRODUCT_ROWS_MIN_EACH * columns)
}

/// The share that is left, in the column's unit, of how far a value in the middle is off: of a product that was rounded the smallest
/// values are off by much of themselves, and the largest of a column that is skewed are a deviation by themselves. All columns have a
/// value in these rows.
fn left_by(own: &[f64], others: &[&[f64]], rows: &[usize]) -> f64 {
    if others.is_empty() || rows.len() < rows_min(others.len()) {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers below `below` that have nothing to do with each other (splitmix64).
    fn drawn(column: u64, row: u64, below: u64) -> i64 {
        let mut mixed = (column << 32 | row).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ mixed >> 31) % below).cast_signed()
    }

    /// An amount, its quantity and its price, of which nearly a tenth is missing if it is asked to, and beside them columns that have
    /// nothing to do with it and of each of which a twelfth is.
    fn amounts(rows: u64, unrelated: u64, price_has_gaps: bool) -> Vec<Vec<i64>> {
        let quantity: Vec<i64> = (0..rows).map(|row| 1 + drawn(1, row, 40)).collect();
        let price: Vec<i64> = (0..rows).map(|row| 50 + drawn(2, row, 99_991)).collect();
        let amount = quantity.iter().zip(&price).map(|(quantity, price)| quantity * price).collect();
        let price =
            (0..rows).zip(price).map(|(row, price)| if price_has_gaps && row % 41 < 4 { ABSENT } else { price });
        let mut columns = vec![amount, quantity, price.collect()];
        columns.extend((3..3 + unrelated).map(|column| {
            let is_missing = |row: u64| drawn(1_000 + column, row, 12) == 0;
            let value = |row| if is_missing(row) { ABSENT } else { 100 + drawn(column, row, 5_000) };
            (0..rows).map(value).collect::<Vec<i64>>()
        }));
        columns
    }

    #[test]
    fn columns_with_gaps_hide_no_product() {
        for (rows, unrelated) in [(6_000, 25), (400, 14)] {
            for price_has_gaps in [false, true] {
                let columns = amounts(rows, unrelated, price_has_gaps);
                let columns: Vec<&[i64]> = columns.iter().map(Vec::as_slice).collect();
                let left = left_given_others(&columns, |_, _| true);
                let (known, unknown) = left.split_at(3);
                assert!(known.iter().all(|left| *left < 1e-3), "{rows} rows, {price_has_gaps}: {known:?}");
                assert!(unknown.iter().all(|left| *left > 0.7), "{rows} rows, {price_has_gaps}: {unknown:?}");
                // Without the price there is no product to be found.
                let left = left_given_others(&columns, |_, other| other != 2);
                assert!(left[0] > 0.3, "{rows} rows: {}", left[0]);
            }
        }
    }
}
