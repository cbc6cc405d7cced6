//! Which of several leaked columns is an original one, where they look the same by themselves: whoever adds columns with the values of
//! the others in another order hides the rows, if one of these is taken for its original.
//!
//! Columns that belong together bear each other out: rows that a few of them find agree in the others. So few columns at a time find
//! rows of a sample, and the few that are borne out by most say which column of each original's is the one.

use std::collections::{BTreeMap, HashMap};

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::take_record_batch;

use super::blocking::Combination;
use super::columns::{Agreement, Taken};
use super::rows::{Column, borne_out};
use super::sketch::Sketch;
use super::tolerance::Tolerance;
use super::{AGREEMENT_MIN, COMPARED_MAX, Originals, Sampled, Watch};
use crate::error::FingerprintError;
use crate::marking::Marking;

/// Rows of the fragment that are looked for, and of how many the originals are among those that are looked at: every so many-th row.
const SAMPLE_ROWS_MAX: usize = 1_024;
const FOUND_ROWS: usize = 256;

/// A fragment and which of its rows are looked at.
pub(crate) struct Sample<'a> {
    pub(crate) fragment: &'a RecordBatch,
    pub(crate) sampled: &'a Sampled,
}

/// The assignment without those that others refute. Where nothing is borne out it stays as it was.
pub(crate) fn settled(
    marking: &Marking,
    Sample { fragment, sampled }: &Sample<'_>,
    originals: &dyn Originals,
    sketch: &Sketch,
    (matched, rivals): (Vec<Taken>, Vec<Taken>),
    watch: &mut Watch<'_>,
) -> Result<Vec<Taken>, FingerprintError> {
    let whole = |_| FingerprintError::Assembly { column: "*".to_string() };
    let sample = take_record_batch(fragment, &sampled.places(SAMPLE_ROWS_MAX)).map_err(whole)?;
    let tolerances = Tolerance::of_columns(marking);
    let claims: Vec<&Taken> = matched.iter().chain(&rivals).collect();
    let mut by_worth: Vec<(usize, Column)> = claims
        .iter()
        .enumerate()
        .map(|(claim, Taken { original, column, .. })| {
            let tolerance = tolerances.get(&column.original).cloned().unwrap_or_default();
            (claim, Column::read(&sample, column, *original, tolerance, &sketch.sample[*original]))
        })
        .collect();
    by_worth.sort_by(|a, b| b.1.worth.total_cmp(&a.1.worth));
    by_worth.truncate(COMPARED_MAX);
    let (of_claims, mut columns): (Vec<usize>, Vec<Column>) = by_worth.into_iter().unzip();
    let combinations = Combination::few_together(&columns, sketch.rows);
    let every = (sample.num_rows() / FOUND_ROWS).max(1);
    let size = (sample.num_rows(), sketch.rows / every as u64);
    let found = borne_out(&Every { of: originals, every }, &mut columns, combinations, size, watch)?;
    let best = found
        .iter()
        .map(|(combination, agreements)| Bearing::of(combination, agreements, &columns, sample.num_rows() / every))
        .max_by(|a, b| a.score.total_cmp(&b.score));
    let Some(Bearing { of_original, score }) = best else { return Ok(matched) };
    if score < AGREEMENT_MIN {
        return Ok(matched);
    }
    let winners: HashMap<usize, usize> =
        of_original.into_iter().map(|(original, column)| (original, of_claims[column])).collect();
    let first = matched.len();
    let is_kept = |(claim, taken): &(usize, Taken)| match winners.get(&taken.original) {
        Some(winner) => winner == claim,
        None => *claim < first,
    };
    let kept = matched.into_iter().chain(rivals).enumerate().filter(is_kept);
    Ok(once_each(kept.map(|(_, taken)| taken).collect()))
}

/// Every so many-th row of originals' batches.
struct Every<'a> {
    of: &'a dyn Originals,
    every: usize,
}

impl Originals for Every<'_> {
    fn visit(
        &self,
        visitor: &mut dyn FnMut(&RecordBatch) -> Result<(), FingerprintError>,
    ) -> Result<(), FingerprintError> {
        self.of.visit(&mut |batch: &RecordBatch| {
            if self.every == 1 {
                return visitor(batch);
            }
            let rows = UInt64Array::from_iter_values((0..batch.num_rows() as u64).step_by(self.every));
            let whole = |_| FingerprintError::Assembly { column: "*".to_string() };
            visitor(&take_record_batch(batch, &rows).map_err(whole)?)
        })
    }
}

/// What a combination bears out.
struct Bearing {
    /// For each original column the column that belongs to the combination, or agrees best in what it finds.
    of_original: BTreeMap<usize, usize>,
    /// The agreement beyond chance of those that are not of it, in the mean, times the share that it finds of the rows whose originals
    /// are looked at.
    score: f64,
}

impl Bearing {
    fn of(combination: &Combination, agreements: &[Agreement], columns: &[Column], rows: usize) -> Self {
        let own: BTreeMap<usize, usize> = (0..columns.len())
            .filter(|column| combination.has(*column))
            .map(|column| (columns[column].original, column))
            .collect();
        let mut others: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
        for (column, agreement) in agreements.iter().enumerate() {
            let original = columns[column].original;
            let Some(beyond) = agreement.beyond_chance().filter(|_| !own.contains_key(&original)) else { continue };
            let best = others.entry(original).or_insert((column, beyond));
            if beyond > best.1 {
                *best = (column, beyond);
            }
        }
        let found = agreements.iter().map(|agreement| agreement.rows).max().unwrap_or_default() as f64;
        let mean = others.values().map(|(_, beyond)| beyond).sum::<f64>() / (others.len() as f64).max(1.0);
        let agreeing = others.into_iter().filter(|(_, (_, beyond))| *beyond >= AGREEMENT_MIN);
        let of_original = own.into_iter().chain(agreeing.map(|(original, (column, _))| (original, column))).collect();
        Self { of_original, score: mean * (found / (rows as f64).max(1.0)).min(1.0) }
    }
}

/// A leaked column is taken for one original; that of a rival goes before, since it was borne out.
fn once_each(taken: Vec<Taken>) -> Vec<Taken> {
    let last: HashMap<usize, usize> = taken.iter().enumerate().map(|(place, of)| (of.leaked, place)).collect();
    let is_last = |(place, of): &(usize, Taken)| last.get(&of.leaked) == Some(place);
    taken.into_iter().enumerate().filter(is_last).map(|(_, of)| of).collect()
}
