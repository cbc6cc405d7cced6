//! Which leaked column is which original one: by values, not by names. For each pair the sampled leaked cells get the
//! likelihood that they have under the original column; the most clearly told columns are assigned first.

use std::collections::HashMap;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::compute::take;

use super::Sampled;
use super::by_digest::ByDigest;
use super::cell::{Cells, EMPTY, Reading};
use super::sketch::Sketch;
use crate::error::FingerprintError;
use crate::rounding::Rounding;

/// Rows of the fragment that columns are told by.
const SAMPLE_ROWS_MAX: usize = 1_024;

/// The most cells of them: of a wide fragment fewer rows are looked at, since each cell is asked for in every unit.
const SAMPLE_CELLS_MAX: usize = 32_768;

/// Bins by which columns are compared whose values were moved, and how many leaked values are in one at least, down to the fewest
/// bins: shares of bins with one value each are as far from any original's as those of another column.
const BINS: usize = 32;
const BIN_VALUES_MIN: usize = 4;
const BINS_MIN: usize = 3;

/// Units that numbers are converted between: by how much a leaked number may have been divided.
pub(crate) const FACTORS: [f64; 19] = [
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

/// By how much seconds of a length of time may have to be divided.
const OF_SECONDS: [f64; 3] = [1.0, 1.0 / 60.0, 1.0 / 3_600.0];

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

/// A leaked column is another one's rival when it fits what the other took by at most so many nats a cell less.
const RIVAL_NATS: f64 = 1.0;

/// A pair is possible when so many of the cells are found, or the distributions are so near (Kullback-Leibler, in nats).
const FOUND_MIN: f64 = 0.5;
const DIVERGENCE_MAX: f64 = 0.5;

/// The share of cells that must be read by a reading other than plain.
pub(crate) const READ_SHARE_MIN: f64 = 0.3;

/// Columns are told by sampled rows of which so many cells are known, of what the best rows have; of all, where these are too few.
const KNOWN_SHARE_MIN: f64 = 0.5;
const BEST_ROWS_SHARE: f64 = 0.95;
const LIKELY_ROWS_MIN: usize = 8;

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
    /// What is added to them then.
    pub offset: f64,
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
    /// The number that each cell's value has among those that the originals are asked for.
    asked: Vec<u32>,
}

/// All ways to read all columns, and a number for each value that the originals are asked for.
pub(crate) fn variants(
    fragment: &RecordBatch,
    sampled: &Sampled,
) -> Result<(Vec<Variant>, ByDigest<u32>), FingerprintError> {
    let rows = sampled.places(SAMPLE_ROWS_MAX.min(SAMPLE_CELLS_MAX / fragment.num_columns().max(1)).max(1));
    let (mut out, mut asked) = (Vec::new(), ByDigest::default());
    for (column, (array, field)) in fragment.columns().iter().zip(fragment.schema_ref().fields()).enumerate() {
        let sample: ArrayRef =
            take(array, &rows, None).map_err(|_| FingerprintError::Assembly { column: field.name().clone() })?;
        let plain = Cells::read(&sample, Reading::Plain, 1.0);
        let present = plain.digests.iter().filter(|digest| **digest != EMPTY).count();
        let is_number = plain.numbers.iter().any(|number| number.is_finite());
        // In other units are only read what are most of its numbers.
        let numbers = Reading::of_numbers(&sample, READ_SHARE_MIN);
        let factors = if is_number && numbers == Reading::Plain { &FACTORS[..] } else { &FACTORS[..1] };
        let mut push = |reading, factor, cells: Cells| {
            let mut number = |digest: &u64| {
                let next = asked.len() as u32;
                *asked.entry(*digest).or_insert(next)
            };
            let asked = cells.digests.iter().map(&mut number).collect();
            out.push(Variant { column, reading, factor, cells, asked });
        };
        for factor in factors {
            push(Reading::Plain, *factor, Cells::read(&sample, Reading::Plain, *factor));
        }
        for factor in FACTORS.iter().filter(|_| numbers != Reading::Plain) {
            push(numbers, *factor, Cells::read(&sample, numbers, *factor));
        }
        for (reading, factors) in [
            (Reading::DayFirst, &FACTORS[..1]),
            (Reading::MonthFirst, &FACTORS[..1]),
            (Reading::Digits, &FACTORS[..1]),
            (Reading::Clock, &FACTORS[..1]),
            (Reading::Duration, &OF_SECONDS[..]),
        ] {
            for factor in factors {
                let cells = Cells::read(&sample, reading, *factor);
                let read = cells.numbers.iter().filter(|number| number.is_finite()).count();
                if present > 0 && read as f64 >= READ_SHARE_MIN * present as f64 {
                    push(reading, *factor, cells);
                }
            }
        }
    }
    Ok((out, asked))
}

/// Which of the values that the originals were asked for occur in any of their columns.
fn anywhere(sketch: &Sketch) -> Vec<bool> {
    let mut anywhere = vec![false; sketch.counts.first().map_or(0, Vec::len)];
    for counts in &sketch.counts {
        anywhere.iter_mut().zip(counts).for_each(|(anywhere, count)| *anywhere |= *count > 0);
    }
    anywhere
}

/// Whether most of the cells that are read otherwise than plainly stand in the originals as they plainly are: a code that has a
/// number in it is no number.
fn is_known_plainly(variant: &Variant, plain: &Variant, anywhere: &[bool]) -> bool {
    let read = variant.asked.iter().zip(&plain.asked).filter(|(read, plain)| read != plain);
    let known: Vec<bool> = read.map(|(_, plain)| anywhere.get(*plain as usize).copied().unwrap_or_default()).collect();
    let count = known.iter().filter(|known| **known).count();
    count > 0 && count as f64 >= FOUND_MIN * known.len() as f64
}

/// Which sampled rows look as if they were from here: those with enough cells whose value occurs anywhere in the originals. Rows that
/// somebody made up would else hide every column, one cell in ten that is none being enough.
fn likely(variants: &[Variant], sketch: &Sketch) -> Vec<bool> {
    let rows = variants.first().map_or(0, |variant| variant.cells.digests.len());
    let anywhere = anywhere(sketch);
    let occurs = |variant: &Variant, row: usize| {
        let id = variant.asked.get(row).and_then(|id| anywhere.get(*id as usize));
        variant.cells.digests.get(row).is_some_and(|digest| *digest != EMPTY) && id.is_some_and(|anywhere| *anywhere)
    };
    let mut known = vec![0usize; rows];
    for of_column in variants.chunk_by(|a, b| a.column == b.column) {
        for (row, known) in known.iter_mut().enumerate() {
            let is_known = of_column.iter().any(|variant| occurs(variant, row));
            *known += usize::from(is_known);
        }
    }
    let mut ordered = known.clone();
    ordered.sort_unstable();
    let best = ordered.get((rows as f64 * BEST_ROWS_SHARE) as usize).copied().unwrap_or_default();
    let likely: Vec<bool> = known.into_iter().map(|known| known as f64 >= KNOWN_SHARE_MIN * best as f64).collect();
    let are_enough = likely.iter().filter(|likely| **likely).count() >= LIKELY_ROWS_MIN.min(rows);
    if are_enough { likely } else { vec![true; rows] }
}

/// Variants with some of their rows.
fn with_rows(variants: &[Variant], rows: &[bool]) -> Vec<Variant> {
    let kept = |variant: &Variant| {
        let (mut cells, mut asked) = (Cells::default(), Vec::new());
        for (row, _) in rows.iter().enumerate().filter(|(_, kept)| **kept) {
            cells.numbers.extend(variant.cells.numbers.get(row));
            cells.digests.extend(variant.cells.digests.get(row));
            asked.extend(variant.asked.get(row));
        }
        Variant { column: variant.column, reading: variant.reading, factor: variant.factor, cells, asked }
    };
    variants.iter().map(kept).collect()
}

#[derive(Clone, Copy)]
struct Fit {
    variant: usize,
    nats: f64,
    found: f64,
}

/// A leaked column, by its place, that was taken for an original one, by its place.
pub(crate) struct Taken {
    pub(crate) leaked: usize,
    pub(crate) original: usize,
    pub(crate) column: MatchedColumn,
}

/// The assignment, and columns that fit as well what another one was taken for, of all others the best.
pub(crate) fn assign(fragment: &RecordBatch, variants: &[Variant], sketch: &Sketch) -> (Vec<Taken>, Vec<Taken>) {
    let variants = &with_rows(variants, &likely(variants, sketch));
    let names: Vec<&str> = fragment.schema_ref().fields().iter().map(|field| field.name().as_str()).collect();
    let sorted: Vec<Vec<f64>> = sketch.sample.iter().map(|cells| sorted(&cells.numbers)).collect();
    let mut fits: Vec<Vec<Option<Fit>>> = vec![vec![None; sketch.names.len()]; names.len()];
    let anywhere = anywhere(sketch);
    let mut plain = variants.first();
    for (number, variant) in variants.iter().enumerate() {
        if variant.reading == Reading::Plain && variant.factor == 1.0 {
            plain = Some(variant);
        }
        if variant.reading.is_of_leaks() && plain.is_some_and(|plain| is_known_plainly(variant, plain, &anywhere)) {
            continue;
        }
        let bins = Bins::of(&variant.cells.numbers);
        let in_bins: Vec<Option<usize>> =
            variant.cells.numbers.iter().map(|number| number.is_finite().then(|| bins.bin(*number))).collect();
        for (column, name) in sketch.names.iter().enumerate() {
            let Some((mut nats, found)) = fit(variant, (&bins, &in_bins), sketch, column, &sorted[column]) else {
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
    let taken = |leaked: usize, original: usize, fit: Fit, margin: f64| {
        let variant = &variants[fit.variant];
        let column = MatchedColumn {
            place: leaked,
            leaked: names[leaked].to_string(),
            original: sketch.names[original].clone(),
            reading: variant.reading,
            factor: variant.factor,
            offset: 0.0,
            found: fit.found,
            margin: margin / variant.cells.digests.len().max(1) as f64,
            rounded_to: rounded_to(&variant.cells.numbers, &sketch.sample[original].numbers),
            agreement: Agreement::default(),
        };
        Taken { leaked, original, column }
    };
    let (mut out, mut nats_of) = (Vec::new(), HashMap::new());
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
        nats_of.insert(column, (leaked, fit.nats));
        out.push(taken(leaked, column, fit, margin));
    }
    let mut rivals = Vec::new();
    for (leaked, fits) in fits.iter().enumerate() {
        let possible = fits.iter().enumerate().filter_map(|(column, fit)| fit.map(|fit| (column, fit)));
        let Some((column, fit)) = possible.max_by(|a, b| a.1.nats.total_cmp(&b.1.nats)) else { continue };
        let cells = variants[fit.variant].cells.digests.len() as f64;
        let is_rival = |(other, nats): &(usize, f64)| *other != leaked && fit.nats >= nats - RIVAL_NATS * cells;
        if nats_of.get(&column).is_some_and(is_rival) {
            rivals.push(taken(leaked, column, fit, 0.0));
        }
    }
    (out, rivals)
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
    (bins, in_bins): (&Bins, &[Option<usize>]),
    sketch: &Sketch,
    column: usize,
    originals: &[f64],
) -> Option<(f64, f64)> {
    let present = sketch.present[column] as f64;
    if present == 0.0 {
        return None;
    }
    let near = bins.masses(originals);
    let densities: Vec<f64> = (0..near.len()).map(|bin| bins.density(bin, &near)).collect();
    let (mut nats, mut found, mut cells) = (0.0, 0.0, 0.0);
    for ((digest, id), bin) in variant.cells.digests.iter().zip(&variant.asked).zip(in_bins) {
        if *digest == EMPTY {
            continue;
        }
        let count = sketch.counts[column].get(*id as usize).copied().unwrap_or(0);
        let density = bin.and_then(|bin| densities.get(bin)).copied().unwrap_or(0.0);
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
        let count = (values.len() / BIN_VALUES_MIN).clamp(BINS_MIN, BINS);
        let mut edges: Vec<f64> =
            (1..count).filter_map(|bin| values.get(bin * values.len() / count)).copied().collect();
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

    fn density(&self, bin: usize, masses: &[f64]) -> f64 {
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
