//! What data would bear: ties between columns, lattices and domains, found in the values.
//!
//! A mark on one column of a tie alone would be found and undone by whoever checks the tie, and a mark off the lattice is seen
//! at a glance. What is proposed is a finding about data; the provider decides.

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;

use crate::bounds::{MomentBounds, rate_within_moments};
use crate::carriers::{categories, places};
use crate::dependency::{Shown, dependencies, values};
use crate::error::FingerprintError;
use crate::given_others::left_given_others;
use crate::marking::{Encoding, Step};
use crate::units::{ABSENT, Units};

/// The most numeric columns that are looked at for ties: triples grow with the cube.
const COLUMNS_MAX: usize = 64;

/// A tie must hold in every row where all its columns are there, and there must be so many.
const TIE_ROWS_MIN: usize = 100;

/// Rows that are looked at first: nearly all triples end there.
const SAMPLE_ROWS: usize = 64;

/// A day in minutes, by which clock times are tied.
const DAY_MINUTES: i64 = 1_440;

/// Decimals that are tried for floating-point columns.
const DECIMALS_MAX: u8 = 9;

/// What was found about one column.
#[derive(Debug, Clone, PartialEq)]
pub struct ColumnProposal {
    /// Its name.
    pub column: String,
    /// Rows that have a value.
    pub rows: u64,
    /// How its values are read as numbers.
    pub encoding: Encoding,
    /// The greatest step that all values are multiples of, in units of the encoding.
    pub lattice: i64,
    /// Least and greatest value in units.
    pub domain: (i64, i64),
    /// The smallest distance between two different values, in units: a mark that reaches less than half of it keeps the
    /// order of the rows. Zero for a constant.
    pub gap: i64,
    /// Mean in units.
    pub mean: f64,
    /// Standard deviation in units; zero for a constant, which can't be marked.
    pub deviation: f64,
    /// What is left of the standard deviation when all other columns are known, tied ones left out: by a regression on them or, where
    /// less is left then, of logarithms, by which products and quotients of columns are found. A mark that reaches farther than a fifth of it can be found by whoever knows how the columns hang together.
    pub deviation_given_others: f64,
    /// The share of values that are multiples of five and ten lattice steps, above what chance gives, from 0 to 1. A column
    /// where people round (ages, prices) shows marks of single steps.
    pub heaping: f64,
}

/// What was found.
#[derive(Debug, Clone, PartialEq)]
pub enum Finding {
    /// A column that could carry marks.
    Column(ColumnProposal),
    /// `first` = `second` + `third` + `constant` in every row (modulo the number where there is one): one position.
    Sum {
        /// The column that is the sum.
        first: String,
        /// One part.
        second: String,
        /// The other part.
        third: String,
        /// What is added.
        constant: i64,
        /// For clock times: a day in minutes.
        modulus: Option<i64>,
    },
    /// `first` = `second` + `constant` in every row: one position.
    Copy {
        /// One column.
        first: String,
        /// The other.
        second: String,
        /// What is added.
        constant: i64,
    },
    /// Rows that agree in the first columns agree in this one: a mark moves all of them by one bit or none of them.
    Dependency {
        /// What determines it: one column or two, neither of which does alone.
        by: Vec<String>,
        /// What is determined.
        column: String,
        /// Rows whose determinants stood in a row before; in all of them it held.
        repeated: u64,
    },
    /// So many pairs of columns were not looked at for what they determine, for lack of time.
    PairsLeftOut(u64),
    /// Columns that read as latitude and longitude and could carry a mark of places.
    Place {
        /// Column of the latitude.
        latitude: String,
        /// Column of the longitude.
        longitude: String,
        /// Digits after the point that they have.
        decimals: u8,
        /// The smallest distance that shows in so many digits, in metres.
        metres_least: f64,
    },
    /// A column of texts that could carry a mark of categories, where texts may be taken for each other.
    Category {
        /// The column.
        column: String,
        /// Pairs of texts that are equally frequent and that no other column tells apart: swaps of these would not show. Whether
        /// they may be swapped is for the provider to say.
        sets: Vec<Vec<String>>,
    },
}

struct View<'a> {
    name: &'a str,
    encoding: Encoding,
    values: Vec<i64>,
}

/// Looks at a table, or a large sample of it, in one batch: ties, dependencies, and which columns could carry what.
///
/// # Errors
/// [`FingerprintError::TooMany`] when it has more numeric columns than ties are looked for among.
pub fn propose(batch: &RecordBatch) -> Result<Vec<Finding>, FingerprintError> {
    propose_from_sample(batch, 1.0)
}

/// The same of a sample that is this share of a table. What it says of ties and dependencies are guesses then, to be held against
/// all rows by [`Holding`](crate::Holding); how many pairs were left out stays as it is.
///
/// # Errors
/// As [`propose`].
pub(crate) fn propose_from_sample(batch: &RecordBatch, share: f64) -> Result<Vec<Finding>, FingerprintError> {
    let schema = batch.schema_ref();
    let (mut views, mut clocks) = (Vec::new(), Vec::new());
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let Some(encoding) = natural_encoding(array) else {
            continue;
        };
        let name = field.name().as_str();
        views.push(View { name, encoding, values: Units::of(name, array.data_type(), encoding)?.read(array) });
        if let Some(values) = as_clock(name, array) {
            clocks.push(View { name, encoding: Encoding::HoursMinutes, values });
        }
    }
    if views.len() > COLUMNS_MAX {
        return Err(FingerprintError::TooMany { what: "numeric columns", count_max: COLUMNS_MAX });
    }
    let mut findings = Vec::new();
    copies(&views, &mut findings);
    sums(&views, None, &mut findings);
    // Clock times are tied to durations in minutes: two clocks and one plain column.
    let durations = views.iter().filter(|view| clocks.iter().all(|clock| clock.name != view.name));
    let mixed: Vec<&View<'_>> = clocks.iter().chain(durations).collect();
    sums_of(&mixed, Some(DAY_MINUTES), clocks.len(), &mut findings);
    let read: Vec<&View<'_>> =
        views.iter().map(|view| clocks.iter().find(|clock| clock.name == view.name).unwrap_or(view)).collect();
    let read_values: Vec<&[i64]> = read.iter().map(|view| view.values.as_slice()).collect();
    // Columns that are tied move together, so none of them is known exactly.
    let is_tied =
        |one: usize, other: usize| findings.iter().any(|finding| finding.ties_all(&[read[one].name, read[other].name]));
    let left = left_given_others(&read_values, |column, other| !is_tied(column, other));
    let mut columns = Vec::new();
    for (view, left) in read.iter().zip(left) {
        if let Some(mut column) = describe(view) {
            column.deviation_given_others = column.deviation * left;
            columns.push(column);
        }
    }
    let places = places(batch, &columns);
    let values = values(batch);
    let (dependencies, left_out) = dependencies(&values, &findings, Shown::in_sample(share));
    findings.extend(dependencies);
    findings.extend((left_out > 0).then_some(Finding::PairsLeftOut(left_out)));
    findings.extend(places);
    findings.extend(categories(batch, &values));
    findings.extend(columns.into_iter().map(Finding::Column));
    Ok(findings)
}

impl ColumnProposal {
    /// The largest move in lattice steps that is below half of the smallest distance between two values, so that every row that is
    /// before another by this column stays before it.
    pub fn steps_in_order(&self) -> u64 {
        (self.gap.saturating_sub(1) / self.lattice.saturating_mul(2).max(1)).unsigned_abs()
    }

    /// The largest share of cells that may be moved by so many lattice steps within the bounds; none of a constant.
    pub fn rate_within(&self, steps: u32, bounds: MomentBounds) -> Option<f64> {
        let reach = f64::from(steps) * self.lattice as f64;
        (self.deviation > 0.0 && steps > 0).then(|| rate_within_moments(self.rows, self.deviation, reach, bounds))
    }
}

impl Finding {
    /// The columns that it says something of.
    pub fn columns(&self) -> Vec<&str> {
        match self {
            Finding::Column(column) => vec![&column.column],
            Finding::Sum { first, second, third, .. } => vec![first, second, third],
            Finding::Copy { first, second, .. } => vec![first, second],
            Finding::Dependency { by, column, .. } => by.iter().chain([column]).map(String::as_str).collect(),
            Finding::PairsLeftOut(_) => Vec::new(),
            Finding::Place { latitude, longitude, .. } => vec![latitude, longitude],
            Finding::Category { column, .. } => vec![column],
        }
    }

    /// Whether it is a tie that all these columns are in.
    pub(crate) fn ties_all(&self, columns: &[&str]) -> bool {
        columns.iter().all(|column| match self {
            Finding::Sum { first, second, third, .. } => first == column || second == column || third == column,
            Finding::Copy { first, second, .. } => first == column || second == column,
            _ => false,
        })
    }
}

/// The finest decimal lattice that the values lie on, if there is one.
pub(crate) fn natural_encoding(array: &ArrayRef) -> Option<Encoding> {
    let whole = Encoding::Lattice(Step { unscaled: 1, decimals: 0 });
    match array.data_type() {
        kind if kind.is_integer() => Some(whole),
        DataType::Float32 | DataType::Float64 => (0..=DECIMALS_MAX).find_map(|decimals| {
            let encoding = Encoding::Lattice(Step { unscaled: 1, decimals });
            let units = Units::of("", array.data_type(), encoding).ok()?;
            let off = units.read(array).iter().filter(|value| **value == ABSENT).count();
            let missing = array.null_count() + nan_count(array);
            (off <= missing && missing < array.len()).then_some(encoding)
        }),
        DataType::Decimal128(_, scale) => {
            let decimals = u8::try_from(*scale).ok().filter(|scale| *scale <= Step::DECIMALS_MAX)?;
            Some(Encoding::Lattice(Step { unscaled: 1, decimals }))
        }
        DataType::Timestamp(..) | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            Some(Encoding::Time { nanoseconds: 1_000_000_000 })
        }
        DataType::Date32 => Some(Encoding::Time { nanoseconds: 86_400_000_000_000 }),
        _ => None,
    }
}

fn nan_count(array: &ArrayRef) -> usize {
    use arrow::array::AsArray as _;
    use arrow::datatypes::{Float32Type, Float64Type};
    match array.data_type() {
        DataType::Float32 => array.as_primitive::<Float32Type>().iter().flatten().filter(|v| v.is_nan()).count(),
        DataType::Float64 => array.as_primitive::<Float64Type>().iter().flatten().filter(|v| v.is_nan()).count(),
        _ => 0,
    }
}

/// Minutes, when every value reads as a time of day, the hours are used and the values vary: a year in every row is no time.
fn as_clock(name: &str, array: &ArrayRef) -> Option<Vec<i64>> {
    let units = Units::of(name, array.data_type(), Encoding::HoursMinutes).ok()?;
    let values = units.read(array);
    let missing = values.iter().filter(|value| **value == ABSENT).count();
    let present = || values.iter().copied().filter(|value| *value != ABSENT);
    let (least, greatest) = (present().min()?, present().max()?);
    (missing <= array.null_count() && greatest >= 600 && least < greatest).then_some(values)
}

fn describe(view: &View<'_>) -> Option<ColumnProposal> {
    let mut present: Vec<i64> = view.values.iter().copied().filter(|value| *value != ABSENT).collect();
    present.sort_unstable();
    let (least, greatest) = (*present.first()?, *present.last()?);
    let gaps = present.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).filter(|gap| *gap > 0);
    let gap = gaps.min().unwrap_or(0);
    let lattice = present.iter().fold(0u64, |step, value| gcd(step, value.unsigned_abs()));
    let count = present.len() as f64;
    let mean = present.iter().map(|value| *value as f64).sum::<f64>() / count;
    let variance = present.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / count;
    let step = i64::try_from(lattice.max(1)).ok()?;
    let multiples = |of: i64| {
        let coarse = step.saturating_mul(of);
        let share = present.iter().filter(|value| *value % coarse == 0).count() as f64 / count;
        (share - 1.0 / of as f64) / (1.0 - 1.0 / of as f64)
    };
    let heaping = multiples(5).max(multiples(10)).clamp(0.0, 1.0);
    Some(ColumnProposal {
        column: view.name.to_string(),
        rows: present.len() as u64,
        encoding: view.encoding,
        lattice: step,
        domain: (least, greatest),
        gap,
        mean,
        deviation: variance.sqrt(),
        deviation_given_others: variance.sqrt(),
        heaping,
    })
}

pub(crate) fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn copies(views: &[View<'_>], findings: &mut Vec<Finding>) {
    for (i, first) in views.iter().enumerate() {
        for second in &views[i + 1..] {
            let constant = constant_of(&[&first.values, &second.values], None, |row| row[0].wrapping_sub(row[1]));
            if let Some(constant) = constant.filter(|_| varies(first) && varies(second)) {
                let (first, second) = (first.name.to_string(), second.name.to_string());
                findings.push(Finding::Copy { first, second, constant });
            }
        }
    }
}

fn sums(views: &[View<'_>], modulus: Option<i64>, findings: &mut Vec<Finding>) {
    let views: Vec<&View<'_>> = views.iter().filter(|view| varies(view)).collect();
    let count = views.len();
    sums_of(&views, modulus, count, findings);
}

/// Ties of three among these, the sum being one of the first `sums`; with a modulus one of the parts is too.
fn sums_of(views: &[&View<'_>], modulus: Option<i64>, sums: usize, findings: &mut Vec<Finding>) {
    for (i, first) in views.iter().enumerate().take(sums) {
        for (j, second) in views.iter().enumerate() {
            for (k, third) in views.iter().enumerate().skip(j + 1) {
                // Modulo a day a - b = c also reads b = a - c: of the two clocks the earlier column is not taken as the sum
                // unless the tie is found that way round.
                let mixed = modulus.is_some() && !(j < sums && k >= sums);
                if i == j || i == k || mixed || !varies(first) || !varies(second) || !varies(third) {
                    continue;
                }
                let columns = [&first.values, &second.values, &third.values].map(Vec::as_slice);
                let constant = constant_of(&columns, modulus, |row| row[0].wrapping_sub(row[1]).wrapping_sub(row[2]));
                if let Some(constant) = constant {
                    findings.push(Finding::Sum {
                        first: first.name.to_string(),
                        second: second.name.to_string(),
                        third: third.name.to_string(),
                        constant,
                        modulus,
                    });
                }
            }
        }
    }
}

fn varies(view: &View<'_>) -> bool {
    let mut present = view.values.iter().filter(|value| **value != ABSENT);
    present.next().is_some_and(|first| present.any(|value| value != first))
}

/// The value that an expression has in every row where all columns are there.
fn constant_of<C: AsRef<[i64]>>(
    columns: &[C],
    modulus: Option<i64>,
    expression: impl Fn(&[i64]) -> i64,
) -> Option<i64> {
    let rows = columns.first()?.as_ref().len();
    let (mut constant, mut count) = (None, 0);
    let mut row_values = Vec::with_capacity(columns.len());
    // A spread sample first, then all.
    let stride = (rows / SAMPLE_ROWS).max(1);
    for row in (0..rows).step_by(stride).chain(0..rows) {
        row_values.clear();
        row_values.extend(columns.iter().map(|column| column.as_ref()[row]));
        if row_values.contains(&ABSENT) {
            continue;
        }
        let value = expression(&row_values);
        let value = modulus.map_or(value, |modulus| value.rem_euclid(modulus));
        if *constant.get_or_insert(value) != value {
            return None;
        }
        count += 1;
    }
    constant.filter(|_| count >= TIE_ROWS_MIN)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Float64Array, Int64Array};

    use super::*;

    fn hours_minutes(minutes: i64) -> i64 {
        minutes / 60 * 100 + minutes % 60
    }

    #[test]
    fn ties_lattices_and_domains_are_found() {
        let planned: Vec<i64> = (0..2_000).map(|i| i * 7_919 % 1_440).collect();
        let delay: Vec<i64> = (0..2_000).map(|i| i * 104_729 % 300 - 50).collect();
        let actual = planned.iter().zip(&delay).map(|(p, d)| hours_minutes((p + d).rem_euclid(1_440)));
        let price: Vec<f64> = (0..2_000).map(|i| f64::from(i * 31 % 977) * 0.25).collect();
        let net: Vec<i64> = (0..2_000).map(|i| i * 17 % 601).collect();
        let tax: Vec<i64> = (0..2_000).map(|i| i * 29 % 83).collect();
        let gross: Vec<i64> = net.iter().zip(&tax).map(|(n, t)| n + t).collect();
        let batch = RecordBatch::try_from_iter([
            ("actual", Arc::new(Int64Array::from_iter_values(actual)) as ArrayRef),
            ("planned", Arc::new(Int64Array::from_iter_values(planned.iter().map(|m| hours_minutes(*m))))),
            ("delay", Arc::new(Int64Array::from(delay))),
            ("price", Arc::new(Float64Array::from(price))),
            ("net", Arc::new(Int64Array::from(net))),
            ("tax", Arc::new(Int64Array::from(tax))),
            ("gross", Arc::new(Int64Array::from(gross))),
            ("year", Arc::new(Int64Array::from(vec![2_013; 2_000]))),
        ])
        .unwrap();
        let findings = propose(&batch).unwrap();
        let sum = |first: &str, second: &str, third: &str, modulus| Finding::Sum {
            first: first.to_string(),
            second: second.to_string(),
            third: third.to_string(),
            constant: 0,
            modulus,
        };
        assert!(findings.contains(&sum("gross", "net", "tax", None)), "{findings:?}");
        assert!(findings.contains(&sum("actual", "planned", "delay", Some(1_440))), "{findings:?}");
        let is_tie = |finding: &&Finding| matches!(finding, Finding::Sum { .. } | Finding::Copy { .. });
        let ties = findings.iter().filter(is_tie).count();
        assert_eq!(ties, 2, "{findings:?}");
        let column = |name: &str| {
            let column = findings.iter().find_map(|finding| match finding {
                Finding::Column(column) if column.column == name => Some(column),
                _ => None,
            });
            column.unwrap()
        };
        // The same year in every row is a number, not 20:13.
        assert_eq!(
            (column("year").encoding, column("year").domain),
            (Encoding::Lattice(Step { unscaled: 1, decimals: 0 }), (2_013, 2_013))
        );
        assert_eq!(column("planned").encoding, Encoding::HoursMinutes);
        let price = column("price");
        assert_eq!(price.encoding, Encoding::Lattice(Step { unscaled: 1, decimals: 2 }));
        assert_eq!((price.lattice, price.domain.0, price.gap, price.rows), (25, 0, 25, 2_000));
        // Of neighbours 25 apart none may move by a step of 25; of those 75 apart each may.
        let apart = |gap| ColumnProposal { gap, ..price.clone() }.steps_in_order();
        assert_eq!((apart(0), apart(25), apart(50), apart(75), apart(125)), (0, 0, 0, 1, 2));
        // A step of 25 in a tenth of 2,000 rows moves their mean by a ten-thousandth of their deviation of 7,050.
        let (within, wide) = (MomentBounds::default(), MomentBounds { mean_shift: 1e-3, deviation_change: 1e-3 });
        let rate = price.rate_within(1, within).unwrap();
        assert!((0.05..0.25).contains(&rate) && price.rate_within(1, wide).unwrap() > 0.9, "{rate}");
        assert!(price.rate_within(2, within).unwrap() < rate / 3.9, "four times the square");
        assert_eq!(price.rate_within(0, within), None);
        assert_eq!(column("year").rate_within(1, within), None);
        // Nothing else tells the price; tied columns are not asked.
        assert!(price.deviation_given_others > 0.95 * price.deviation);
    }

    #[test]
    fn what_others_tell_is_measured() {
        let x: Vec<i64> = (0..4_000).map(|i| i * 7_919 % 1_009).collect();
        let noise = (0..4_000i64).map(|i| i * 104_729 % 101 - 50);
        let y: Vec<i64> = x.iter().zip(noise).map(|(x, noise)| 3 * x + noise).collect();
        let batch = RecordBatch::try_from_iter([
            ("x", Arc::new(Int64Array::from(x)) as ArrayRef),
            ("y", Arc::new(Int64Array::from(y))),
        ])
        .unwrap();
        let left = |name: &str| {
            let column = propose(&batch).unwrap().into_iter().find_map(|finding| match finding {
                Finding::Column(column) if column.column == name => Some(column),
                _ => None,
            });
            column.unwrap().deviation_given_others
        };
        // The noise is even from -50 to 50: standard deviation 29.2, and a third of it the other way round.
        assert!((left("y") - 29.2).abs() < 1.0, "{}", left("y"));
        assert!((left("x") - 9.7).abs() < 0.5, "{}", left("x"));
    }

    /// What is a product or a quotient of other columns, rounded or not, can be computed from them again.
    #[test]
    fn products_and_quotients_leave_nothing() {
        let drawn = |row: i64, factor: i64, below: i64| row * factor % below;
        let rows = 0..6_000i64;
        let quantity: Vec<f64> = rows.clone().map(|row| (1 + drawn(row, 7_919, 40)) as f64).collect();
        let price: Vec<f64> = rows.clone().map(|row| (50 + drawn(row, 104_729, 99_991)) as f64 / 100.0).collect();
        let weight: Vec<f64> = rows.map(|row| (200 + drawn(row, 31_337, 1_009)) as f64 / 1_000.0).collect();
        let cents = |value: f64| (value * 100.0).round() / 100.0;
        let of_rows =
            |of: &dyn Fn(usize) -> f64| -> ArrayRef { Arc::new((0..6_000).map(of).collect::<Float64Array>()) };
        let batch = RecordBatch::try_from_iter([
            ("quantity", of_rows(&|row| quantity[row])),
            ("price", of_rows(&|row| price[row])),
            ("amount", of_rows(&|row| cents(quantity[row] * price[row]))),
            ("weight", of_rows(&|row| weight[row])),
        ])
        .unwrap();
        let left = |batch: &RecordBatch, name: &str| {
            let findings = propose(batch).unwrap();
            let column = findings.into_iter().find_map(|finding| match finding {
                Finding::Column(column) if column.column == name => Some(column),
                _ => None,
            });
            let column = column.unwrap();
            column.deviation_given_others / column.deviation
        };
        for name in ["amount", "price", "quantity"] {
            assert!(left(&batch, name) < 1e-3, "{name}: {}", left(&batch, name));
        }
        // What is no part of it is left, and so is an amount of which a part is not there.
        assert!(left(&batch, "weight") > 0.9, "{}", left(&batch, "weight"));
        let without = |place: usize| batch.project(&(0..4).filter(|at| *at != place).collect::<Vec<_>>()).unwrap();
        for place in [0, 1] {
            assert!(left(&without(place), "amount") > 0.3, "{place}: {}", left(&without(place), "amount"));
        }
    }
}
