//! Which leaked column is which original one: by values, not by names. For each pair the sampled leaked cells get the
//! likelihood that they have under the original column; the most clearly told columns are assigned first.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch, UInt64Array};
use arrow::compute::take;

use super::cell::{Cells, EMPTY, Reading};
use super::sketch::Sketch;
use crate::error::FingerprintError;
use crate::rounding::Rounding;

/// Rows of the fragment that columns are told by.
const SAMPLE_ROWS_MAX: usize = 1_024;

/// The most cells of them: of a wide fragment fewer rows are looked at, since each cell is asked for in every unit.
const SAMPLE_CELLS_MAX: usize = 32_768;

/// Bins by which columns are compared whose values were moved.
const BINS: usize = 32;

/// Units that numbers are converted between: by how much a leaked number may have been divided.
const FACTORS: [f64; 19] = [
    1.0,
    1_000.0,
    0.001,
    100.0,
    0.01,
    10.0,
    0.1,
    10_000.0,
    0.000_1,
    60.0,
    1.0 / 60.0,
    3_600.0,
    1.0 / 3_600.0,
    86_400.0,
    1.609_344,
    1.0 / 1.609_344,
    0.3048,
    1.0 / 0.3048,
    0.453_592_37,
];

/// What a conversion costs in nats: it must be told by the values.
const FACTOR_PENALTY: f64 = 20.0;

/// What an equal name is worth in nats: a hint, no more than a handful of cells.
const NAME_WORTH: f64 = 4.0;

/// Shares of the mixture by which a leaked value is expected: as it is in the original column, near values of it, anything.
const EXACT_SHARE: f64 = 0.7;
const NEAR_SHARE: f64 = 0.29;
const FOREIGN_DENSITY: f64 = 1e-7;

/// What a cell whose value occurs in the column at all is worth.
const FOUND_WORTH: f64 = 2.0;

/// A pair is possible when so many of the cells are found, or the distributions are so near (Kullback-Leibler, in nats).
const FOUND_MIN: f64 = 0.5;
const DIVERGENCE_MAX: f64 = 0.5;

/// The share of cells that must be read by a reading other than plain.
const READ_SHARE_MIN: f64 = 0.9;

/// Numbers are looked at in thousandths when rounding is looked for.
const THOUSANDTHS: f64 = 1_000.0;

/// A leaked column beside the original one that it seems to be.
#[derive(Debug, Clone, PartialEq)]
pub struct MatchedColumn {
    /// Its place in the fragment, from zero: names there may be missing or the same.
    pub place: usize,
    /// Its name in the fragment.
    pub leaked: String,
    /// Its name in the originals.
    pub original: String,
    /// How its cells are read.
    pub reading: Reading,
    /// What its numbers are multiplied by to have the original's unit.
    pub factor: f64,
    /// The share of the sampled cells whose value occurs in the original column.
    pub found: f64,
    /// By how many nats a sampled cell fits this column better than the next best one that was free.
    pub margin: f64,
    /// The step that it was rounded to, in the original's unit; zero for none.
    pub rounded_to: f64,
    /// Among rows found without looking at this column: how many agree, of how many, and how many would by chance. Filled in
    /// by the matching of rows.
    pub agreement: Agreement,
}

/// How a column fares in rows that were found by others.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Agreement {
    /// Rows that agree in it.
    pub agreeing: u64,
    /// Rows that were looked at.
    pub rows: u64,
    /// Rows that would agree if they were strangers.
    pub by_chance: f64,
}

impl Agreement {
    /// Agreement beyond chance: one for all rows, zero for chance (Cohen 1960). Nothing below twenty rows.
    pub fn beyond_chance(&self) -> Option<f64> {
        let rows = self.rows as f64;
        (self.rows >= 20 && self.by_chance < 0.95 * rows)
            .then(|| (self.agreeing as f64 - self.by_chance) / (rows - self.by_chance))
    }
}

/// One way to read one leaked column, with its sampled cells.
pub(crate) struct Variant {
    column: usize,
    reading: Reading,
    factor: f64,
    cells: Cells,
}

/// All ways to read all columns, and a number for each value that the originals are asked for.
pub(crate) fn variants(fragment: &RecordBatch) -> Result<(Vec<Variant>, HashMap<u64, u32>), FingerprintError> {
    let sampled = SAMPLE_ROWS_MAX.min(SAMPLE_CELLS_MAX / fragment.num_columns().max(1)).max(1);
    let stride = fragment.num_rows().div_ceil(sampled).max(1);
    let rows = UInt64Array::from_iter_values((0..fragment.num_rows() as u64).step_by(stride));
    let (mut out, mut asked) = (Vec::new(), HashMap::new());
    for (column, (array, field)) in fragment.columns().iter().zip(fragment.schema_ref().fields()).enumerate() {
        let sample: ArrayRef =
            take(array, &rows, None).map_err(|_| FingerprintError::Assembly { column: field.name().clone() })?;
        let plain = Cells::read(&sample, Reading::Plain, 1.0);
        let present = plain.digests.iter().filter(|digest| **digest != EMPTY).count();
        let is_number = plain.numbers.iter().any(|number| number.is_finite());
        let factors = if is_number { &FACTORS[..] } else { &FACTORS[..1] };
        let mut push = |reading, factor, cells: Cells| {
            for digest in &cells.digests {
                let next = asked.len() as u32;
                asked.entry(*digest).or_insert(next);
            }
            out.push(Variant { column, reading, factor, cells });
        };
        for factor in factors {
            push(Reading::Plain, *factor, Cells::read(&sample, Reading::Plain, *factor));
        }
        for reading in [Reading::DayFirst, Reading::MonthFirst, Reading::Digits] {
            let cells = Cells::read(&sample, reading, 1.0);
            let read = cells.numbers.iter().filter(|number| number.is_finite()).count();
            if present > 0 && read as f64 >= READ_SHARE_MIN * present as f64 {
                push(reading, 1.0, cells);
            }
        }
    }
    Ok((out, asked))
}

#[derive(Clone, Copy)]
struct Fit {
    variant: usize,
    nats: f64,
    found: f64,
}

/// The assignment.
pub(crate) fn assign(
    fragment: &RecordBatch,
    variants: &[Variant],
    asked: &HashMap<u64, u32>,
    sketch: &Sketch,
) -> Vec<(usize, usize, MatchedColumn)> {
    let names: Vec<&str> = fragment.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let sorted: Vec<Vec<f64>> = sketch.sample.iter().map(|cells| sorted(&cells.numbers)).collect();
    let mut fits: Vec<Vec<Option<Fit>>> = vec![vec![None; sketch.names.len()]; names.len()];
    for (number, variant) in variants.iter().enumerate() {
        let bins = Bins::of(&variant.cells.numbers);
        for (column, name) in sketch.names.iter().enumerate() {
            let Some((mut nats, found)) = fit(variant, &bins, asked, sketch, column, &sorted[column]) else {
                continue;
            };
            if variant.factor != 1.0 {
                nats -= FACTOR_PENALTY;
            }
            if same_name(names[variant.column], name) {
                nats += NAME_WORTH;
            }
            let best = &mut fits[variant.column][column];
            if best.is_none_or(|best| nats > best.nats) {
                *best = Some(Fit { variant: number, nats, found });
            }
        }
    }
    let mut out = Vec::new();
    let mut left: Vec<usize> = (0..names.len()).collect();
    let mut free = vec![true; sketch.names.len()];
    loop {
        let mut clearest: Option<(f64, usize, usize, Fit)> = None;
        for leaked in &left {
            let possible = fits[*leaked].iter().enumerate().filter(|(column, _)| free[*column]);
            let mut possible: Vec<(usize, Fit)> =
                possible.filter_map(|(column, fit)| fit.map(|f| (column, f))).collect();
            possible.sort_by(|a, b| b.1.nats.total_cmp(&a.1.nats));
            let Some((column, fit)) = possible.first().copied() else {
                continue;
            };
            let next = possible.get(1).map_or(f64::INFINITY, |(_, next)| fit.nats - next.nats);
            if clearest.is_none_or(|(margin, ..)| next > margin) {
                clearest = Some((next, *leaked, column, fit));
            }
        }
        let Some((margin, leaked, column, fit)) = clearest else {
            break;
        };
        left.retain(|other| *other != leaked);
        free[column] = false;
        let variant = &variants[fit.variant];
        out.push((
            leaked,
            column,
            MatchedColumn {
                place: leaked,
                leaked: names[leaked].to_string(),
                original: sketch.names[column].clone(),
                reading: variant.reading,
                factor: variant.factor,
                found: fit.found,
                margin: margin / variant.cells.digests.len().max(1) as f64,
                rounded_to: rounded_to(&variant.cells.numbers, &sketch.sample[column].numbers),
                agreement: Agreement::default(),
            },
        ));
    }
    out
}

fn same_name(a: &str, b: &str) -> bool {
    let plain =
        |name: &str| -> String { name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect() };
    plain(a) == plain(b)
}

fn sorted(numbers: &[f64]) -> Vec<f64> {
    let mut out: Vec<f64> = numbers.iter().copied().filter(|number| number.is_finite()).collect();
    out.sort_by(f64::total_cmp);
    out
}

/// The step of a lattice that the leaked values lie on and the originals don't.
fn rounded_to(leaked: &[f64], originals: &[f64]) -> f64 {
    let scale = |numbers: &[f64]| -> Vec<f64> { numbers.iter().map(|number| number * THOUSANDTHS).collect() };
    let mut originals: Vec<f64> = originals.iter().copied().filter(|number| number.is_finite()).collect();
    let leaked: Vec<f64> = leaked.iter().copied().filter(|number| number.is_finite()).collect();
    originals.truncate(leaked.len());
    let distinct = sorted(&leaked);
    if distinct.first() == distinct.last() {
        return 0.0;
    }
    Rounding::detect(&scale(&leaked), &scale(&originals)).step / THOUSANDTHS
}

/// The leaked cells' logarithmic likelihood under one original column, and the share of them that occurs in it. Nothing
/// where the column can't be it.
fn fit(
    variant: &Variant,
    bins: &Bins,
    asked: &HashMap<u64, u32>,
    sketch: &Sketch,
    column: usize,
    originals: &[f64],
) -> Option<(f64, f64)> {
    let present = sketch.present[column] as f64;
    if present == 0.0 {
        return None;
    }
    let near = bins.masses(originals);
    let (mut nats, mut found, mut cells) = (0.0, 0.0, 0.0);
    for (digest, number) in variant.cells.digests.iter().zip(&variant.cells.numbers) {
        if *digest == EMPTY {
            continue;
        }
        let count = asked.get(digest).and_then(|id| sketch.counts[column].get(*id as usize)).copied().unwrap_or(0);
        let density = if number.is_finite() { bins.density(*number, &near) } else { 0.0 };
        nats += (EXACT_SHARE * f64::from(count) / present + NEAR_SHARE * density + FOREIGN_DENSITY).ln();
        found += f64::from(u8::from(count > 0));
        cells += 1.0;
    }
    if cells == 0.0 {
        return None;
    }
    let possible = found / cells >= FOUND_MIN || bins.divergence(&near) <= DIVERGENCE_MAX;
    possible.then_some((nats + FOUND_WORTH * found, found / cells))
}

/// The leaked numbers in bins of about equal share.
struct Bins {
    edges: Vec<f64>,
    shares: Vec<f64>,
    distinct: Vec<f64>,
}

impl Bins {
    fn of(numbers: &[f64]) -> Self {
        let values = sorted(numbers);
        let mut edges: Vec<f64> = (1..BINS).filter_map(|bin| values.get(bin * values.len() / BINS)).copied().collect();
        edges.dedup();
        let mut bins = Self { shares: vec![0.0; edges.len() + 1], distinct: vec![0.0; edges.len() + 1], edges };
        let mut before = f64::NAN;
        for value in &values {
            let bin = bins.bin(*value);
            bins.shares[bin] += 1.0 / values.len() as f64;
            bins.distinct[bin] += f64::from(u8::from(*value != before));
            before = *value;
        }
        bins
    }

    fn bin(&self, value: f64) -> usize {
        self.edges.partition_point(|edge| *edge <= value)
    }

    /// The share of sorted originals in each bin.
    fn masses(&self, originals: &[f64]) -> Vec<f64> {
        let below = self.edges.iter().map(|edge| originals.partition_point(|value| value < edge));
        let ends: Vec<usize> = below.chain([originals.len()]).collect();
        let starts = std::iter::once(0).chain(ends.iter().copied());
        starts.zip(&ends).map(|(start, end)| (end - start) as f64 / originals.len().max(1) as f64).collect()
    }

    fn density(&self, value: f64, masses: &[f64]) -> f64 {
        let bin = self.bin(value);
        masses[bin] / self.distinct[bin].max(1.0)
    }

    fn divergence(&self, masses: &[f64]) -> f64 {
        if self.edges.len() < 2 {
            return f64::INFINITY;
        }
        let terms = self.shares.iter().zip(masses).filter(|(share, _)| **share > 0.0);
        terms.map(|(share, mass)| share * (share / mass.max(1e-9)).ln()).sum()
    }
}
