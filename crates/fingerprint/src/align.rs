//! Which rows of the originals a leaked fragment holds, whatever became of its names, types, units, order and keys. What is
//! asked are the fragment and the originals, never a recipient's code: whoever is accused later had no part in it.
//!
//! Columns are told by their values, then rows by their cells: those that share enough columns are compared, and a row
//! is matched when the odds for one original against all others are high. A row that could be several is left out. Last it is
//! asked whether the fragment comes from these originals at all, by columns that had no part in finding the pairs.
//! Mathematics and limits are in `docs/fingerprinting.md`.

mod blocking;
mod by_digest;
mod by_way;
mod cell;
mod columns;
mod rivals;
mod rows;
mod shifted;
mod sketch;
mod tolerance;

use std::collections::{BTreeMap, HashSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float64Array, RecordBatch, RecordBatchOptions, TimestampMicrosecondArray, UInt32Array, UInt64Array,
};
use arrow::compute::{concat_batches, take, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema};

pub use by_way::{OtherWay, align_by_way};
pub use cell::Reading;
use cell::{Cells, mix};
use columns::Taken;
pub use columns::{Agreement, MatchedColumn};
use rows::{Column, Linked};
use sketch::Sketch;
use tolerance::Tolerance;

use crate::error::FingerprintError;
use crate::marking::Marking;

/// The most rows of one fragment.
pub const FRAGMENT_ROWS_MAX: usize = 500_000;

/// The most columns of a fragment, and of originals.
pub const COLUMNS_MAX: usize = 256;

/// The most columns that rows are compared by: those that tell most.
const COMPARED_MAX: usize = 64;

/// Agreement beyond chance below which a column isn't what it seemed.
const AGREEMENT_MIN: f64 = 0.1;

/// Agreement beyond chance in the middle column: what is expected of a fragment that comes from here, and of one that doesn't.
const EXPECTED_INSIDE: f64 = 0.6;
const EXPECTED_OUTSIDE: f64 = 0.1;

/// The share of leaked rows that share a combination of columns with some original: the least of a fragment that comes from
/// here, and the most of one that doesn't.
const FOUND_INSIDE: f64 = 0.5;
const FOUND_OUTSIDE: f64 = 0.1;

/// How sure it has to be that a fragment doesn't come from here, in nats, and how many rows it then has at least where none was
/// found: of a few rows columns may be told wrongly, by which nothing is found.
const OUTSIDE_NATS: f64 = 7.0;
const UNFOUND_ROWS_MIN: u64 = 100;

/// Rows of a table, read as often as is asked, in the same order each time. A row's number is its place in that order.
pub trait Originals {
    /// Hands over all rows, batch by batch, all columns in each. Ends early with the visitor's error.
    ///
    /// # Errors
    /// The visitor's, and [`FingerprintError::Originals`] where they can't be read.
    fn visit(
        &self,
        visitor: &mut dyn FnMut(&RecordBatch) -> Result<(), FingerprintError>,
    ) -> Result<(), FingerprintError>;
}

impl Originals for Vec<RecordBatch> {
    fn visit(
        &self,
        visitor: &mut dyn FnMut(&RecordBatch) -> Result<(), FingerprintError>,
    ) -> Result<(), FingerprintError> {
        self.iter().try_for_each(visitor)
    }
}

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The originals are read to tell columns.
    Columns,
    /// They are read to find rows.
    Rows,
    /// They are read to take out the rows that were found.
    Gathering,
}

/// Who is told after each batch how many originals were read in which stage, and may end it.
pub struct Watch<'a>(pub &'a mut dyn FnMut(Stage, u64) -> ControlFlow<()>);

impl Watch<'_> {
    fn tell(&mut self, stage: Stage, rows: u64) -> Result<(), FingerprintError> {
        match (self.0)(stage, rows) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(FingerprintError::Stopped),
        }
    }
}

/// A leaked row and its original.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MatchedRow {
    /// Its place in the fragment.
    pub leaked: u32,
    /// The original's number.
    pub original: u64,
    /// The logarithm of the odds that it is this original and no other and not none.
    pub log_odds: f64,
}

/// Whether a fragment comes from these originals.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Provenance {
    /// It does, with this logarithm of the odds.
    Inside(f64),
    /// It doesn't, with this logarithm of the odds that it did. No row is matched.
    Outside(f64),
    /// No column is left that could tell, or too few rows. Rows that were matched may still be right.
    Unverified,
}

/// What was done to a fragment, as far as it shows.
#[derive(Debug, Clone, PartialEq)]
pub enum Deed {
    /// A column has another name.
    Renamed {
        /// Its name before.
        column: String,
    },
    /// A column is not there.
    Dropped {
        /// Its name.
        column: String,
    },
    /// A column's numbers were put on a coarser lattice.
    Rounded {
        /// Its name in the originals.
        column: String,
        /// The lattice's step in the original's unit.
        step: f64,
    },
    /// A column's numbers are in another unit.
    Scaled {
        /// Its name in the originals.
        column: String,
        /// What they must be multiplied by.
        factor: f64,
    },
    /// To a column's numbers something was added.
    Shifted {
        /// Its name in the originals.
        column: String,
        /// What has to be added to have the originals, in their unit.
        offset: f64,
    },
    /// A column's dates were written otherwise.
    Rewritten {
        /// Its name in the originals.
        column: String,
        /// How.
        reading: Reading,
    },
    /// Rows were left out: so many of the originals are not there.
    Sampled {
        /// How many.
        missing: u64,
    },
    /// Rows don't stand in the originals' order.
    Shuffled,
    /// Rows stand there more than once.
    Duplicated {
        /// How many there are too many.
        rows: u64,
    },
    /// Columns were joined to the rows of another table, by whose originals they were found.
    Joined,
}

impl Deed {
    /// The column that it was done to; none where it was done to rows.
    pub fn column(&self) -> Option<&str> {
        match self {
            Deed::Renamed { column }
            | Deed::Dropped { column }
            | Deed::Rounded { column, .. }
            | Deed::Scaled { column, .. }
            | Deed::Shifted { column, .. }
            | Deed::Rewritten { column, .. } => Some(column),
            Deed::Sampled { .. } | Deed::Shuffled | Deed::Duplicated { .. } | Deed::Joined => None,
        }
    }
}

/// A fragment beside its originals.
#[derive(Debug, Clone)]
pub struct Alignment {
    /// Which columns were recognised, the clearest first.
    pub columns: Vec<MatchedColumn>,
    /// Which rows were, in the fragment's order; one of each kind where a row stands there several times.
    pub rows: Vec<MatchedRow>,
    /// Leaked rows that could be several originals or none, and are left out.
    pub unmatched: u64,
    /// Whether the fragment comes from here.
    pub provenance: Provenance,
    /// What was done to it.
    pub deeds: Vec<Deed>,
    /// How many originals there are.
    pub originals: u64,
}

/// Aligns a fragment. A match needs the odds whose logarithm is `log_odds_min`; 7 is one error in a thousand matches by the model.
/// Memory, by calculation: at most some 60 bytes for each cell and 1.5 KiB for each row of the fragment, 32 bytes for each of at
/// most 16 million pairs, and for each column of the originals 1 MiB for a sample of rows and up to 3 MiB for counts.
///
/// # Errors
/// [`FingerprintError::TooMany`], [`FingerprintError::Stopped`], and what the originals answer.
pub fn align(
    marking: &Marking,
    fragment: &RecordBatch,
    originals: &dyn Originals,
    log_odds_min: f64,
    watch: &mut Watch<'_>,
) -> Result<Alignment, FingerprintError> {
    marking.check()?;
    if fragment.num_rows() > FRAGMENT_ROWS_MAX {
        return Err(FingerprintError::TooMany { what: "rows of the fragment", count_max: FRAGMENT_ROWS_MAX });
    }
    if fragment.num_columns() > COLUMNS_MAX {
        return Err(FingerprintError::TooMany { what: "columns of the fragment", count_max: COLUMNS_MAX });
    }
    let contents = contents(fragment);
    let sampled = Sampled::of(&contents);
    let (variants, asked) = columns::variants(fragment, &sampled)?;
    let sketch = Sketch::read(originals, &asked, watch)?;
    let (mut matched, rivals) = columns::assign(fragment, &variants, &sketch);
    drop((variants, asked));
    if !rivals.is_empty() {
        let sample = rivals::Sample { fragment, sampled: &sampled };
        matched = rivals::settled(marking, &sample, originals, &sketch, (matched, rivals), watch)?;
    }
    let mut tolerances = Tolerance::of_columns(marking);
    let mut read = Vec::with_capacity(matched.len());
    for Taken { original, column, .. } in &matched {
        let tolerance = tolerances.remove(&column.original).unwrap_or_default();
        let sample = &sketch.sample[*original];
        read.push(Column::read(fragment, column, *original, tolerance, sample));
    }
    let mut by_worth: Vec<(usize, Column)> = read.into_iter().enumerate().collect();
    by_worth.sort_by(|a, b| b.1.worth.total_cmp(&a.1.worth));
    by_worth.truncate(COMPARED_MAX);
    let (places, mut compared): (Vec<usize>, Vec<Column>) = by_worth.into_iter().unzip();
    let mut linked = rows::link(originals, &mut compared, fragment.num_rows(), sketch.rows, log_odds_min, watch)?;
    // A column that agrees by chance only was taken for another one. Rows hardly asked it: its weights were learned too.
    let is_wrong = |agreement: &Agreement| agreement.beyond_chance().is_some_and(|beyond| beyond < AGREEMENT_MIN);
    let wrong: Vec<bool> = linked.agreements.iter().map(is_wrong).collect();
    for (place, agreement) in places.iter().zip(&linked.agreements) {
        matched[*place].column.agreement = *agreement;
    }
    let kept: Vec<&Taken> = matched.iter().filter(|taken| !is_wrong(&taken.column.agreement)).collect();
    let shifted =
        shifted::found(marking, (fragment, &sampled), originals, &sketch.names, (&kept, &linked.rows), watch)?;
    // What was taken for nothing or another column agrees where it is taken for what it is.
    let agreements: Vec<Agreement> = places
        .iter()
        .zip(&linked.agreements)
        .map(|(place, agreement)| {
            let as_shifted = shifted.iter().find(|taken| taken.leaked == matched[*place].leaked);
            as_shifted.map_or(*agreement, |taken| taken.column.agreement)
        })
        .collect();
    let provenance = match provenance(&agreements) {
        Provenance::Unverified => unfound(linked.found, fragment.num_rows() as u64),
        verified => verified,
    };
    if matches!(provenance, Provenance::Outside(_)) {
        linked = Linked::default();
    }
    let dropped: HashSet<usize> = places.iter().zip(&wrong).filter(|(_, wrong)| **wrong).map(|(p, _)| *p).collect();
    let mut place = 0..;
    matched.retain(|_| place.next().is_some_and(|place| !dropped.contains(&place)));
    if !linked.rows.is_empty() {
        matched.extend(shifted);
    }
    let unmatched = fragment.num_rows() as u64 - linked.rows.len() as u64;
    let (rows, duplicates) = distinct(&contents, linked.rows);
    let columns: Vec<MatchedColumn> = matched.into_iter().map(|taken| taken.column).collect();
    let deeds = deeds(&sketch, &columns, &rows, duplicates);
    Ok(Alignment { columns, rows, unmatched, provenance, deeds, originals: sketch.rows })
}

/// By the column in the middle of those that could be verified: rows are independent, columns need not be.
fn provenance(agreements: &[Agreement]) -> Provenance {
    let mut verified: Vec<(f64, &Agreement)> =
        agreements.iter().filter_map(|agreement| Some((agreement.beyond_chance()?, agreement))).collect();
    verified.sort_by(|a, b| a.0.total_cmp(&b.0));
    let Some((_, middle)) = verified.get(verified.len().saturating_sub(1) / 2) else {
        return Provenance::Unverified;
    };
    let rows = middle.rows as f64;
    let chance = (middle.by_chance / rows).clamp(1e-9, 1.0 - 1e-9);
    let agreeing = |beyond: f64| beyond + (1.0 - beyond) * chance;
    let (inside, outside) = (agreeing(EXPECTED_INSIDE), agreeing(EXPECTED_OUTSIDE));
    let agree = middle.agreeing as f64;
    let log_odds = agree * (inside / outside).ln() + (rows - agree) * ((1.0 - inside) / (1.0 - outside)).ln();
    match log_odds {
        odds if odds > 0.0 => Provenance::Inside(odds),
        odds if odds < -OUTSIDE_NATS => Provenance::Outside(odds),
        _ => Provenance::Unverified,
    }
}

/// When no pair could verify a column: a fragment of many rows of which hardly one shares a telling combination of columns with
/// any original doesn't come from here, if a fragment that does has at least half of its rows left in one of them.
fn unfound(found: Option<u64>, rows: u64) -> Provenance {
    let Some(found) = found.filter(|_| rows >= UNFOUND_ROWS_MIN) else {
        return Provenance::Unverified;
    };
    let missing = rows.saturating_sub(found) as f64;
    let log_odds = found as f64 * (FOUND_INSIDE / FOUND_OUTSIDE).ln()
        + missing * ((1.0 - FOUND_INSIDE) / (1.0 - FOUND_OUTSIDE)).ln();
    if log_odds < -OUTSIDE_NATS { Provenance::Outside(log_odds) } else { Provenance::Unverified }
}

/// A number for what each row says in all columns.
fn contents(fragment: &RecordBatch) -> Vec<u64> {
    let mut contents = vec![0u64; fragment.num_rows()];
    for array in fragment.columns() {
        let cells = Cells::read(array, Reading::Plain, 1.0);
        contents.iter_mut().zip(cells.digests).for_each(|(content, digest)| *content = mix(*content, digest));
    }
    contents
}

/// Which rows are looked at where not all are. It hangs on what all of them say, so whoever puts made-up rows where they would be
/// looked at moves that elsewhere.
pub(crate) struct Sampled {
    seed: u64,
    rows: usize,
}

impl Sampled {
    fn of(contents: &[u64]) -> Self {
        Self { seed: contents.iter().fold(0, |seed, content| mix(seed, *content)), rows: contents.len() }
    }

    /// The places of so many rows at most, in their order.
    pub(crate) fn places(&self, rows_max: usize) -> UInt64Array {
        let mut places: Vec<u64> = (0..self.rows as u64).collect();
        if self.rows > rows_max {
            places.sort_by_cached_key(|place| mix(self.seed, *place));
            places.truncate(rows_max);
            places.sort_unstable();
        }
        UInt64Array::from(places)
    }

    /// So many of these rows at most, in their order.
    pub(crate) fn of_rows(&self, rows: &[MatchedRow], rows_max: usize) -> Vec<MatchedRow> {
        let mut drawn: Vec<(usize, MatchedRow)> = rows.iter().copied().enumerate().collect();
        if drawn.len() > rows_max {
            drawn.sort_by_cached_key(|(_, row)| mix(self.seed, u64::from(row.leaked)));
            drawn.truncate(rows_max);
            drawn.sort_unstable_by_key(|(place, _)| *place);
        }
        drawn.into_iter().map(|(_, row)| row).collect()
    }
}

/// Rows of one original that say the same in all columns count once; where they differ they may come of several leaks.
fn distinct(content: &[u64], rows: Vec<MatchedRow>) -> (Vec<MatchedRow>, u64) {
    let (mut seen, before) = (HashSet::new(), rows.len());
    let kept: Vec<MatchedRow> =
        rows.into_iter().filter(|row| seen.insert((row.original, content[row.leaked as usize]))).collect();
    let duplicates = (before - kept.len()) as u64;
    (kept, duplicates)
}

fn deeds(sketch: &Sketch, columns: &[MatchedColumn], rows: &[MatchedRow], duplicates: u64) -> Vec<Deed> {
    let mut out = Vec::new();
    for name in &sketch.names {
        let Some(matched) = columns.iter().find(|matched| matched.original == *name) else {
            out.push(Deed::Dropped { column: name.clone() });
            continue;
        };
        let column = || name.clone();
        if matched.leaked != *name {
            out.push(Deed::Renamed { column: column() });
        }
        if matched.rounded_to > 0.0 {
            out.push(Deed::Rounded { column: column(), step: matched.rounded_to });
        }
        if matched.factor != 1.0 {
            out.push(Deed::Scaled { column: column(), factor: matched.factor });
        }
        if matched.offset != 0.0 {
            out.push(Deed::Shifted { column: column(), offset: matched.offset });
        }
        if matched.reading != Reading::Plain {
            out.push(Deed::Rewritten { column: column(), reading: matched.reading });
        }
    }
    let present: HashSet<u64> = rows.iter().map(|row| row.original).collect();
    let missing = sketch.rows - present.len() as u64;
    if missing > 0 && !rows.is_empty() {
        out.push(Deed::Sampled { missing });
    }
    if rows.windows(2).any(|pair| pair[0].original > pair[1].original) {
        out.push(Deed::Shuffled);
    }
    if duplicates > 0 {
        out.push(Deed::Duplicated { rows: duplicates });
    }
    out
}

impl Alignment {
    /// The matched rows of the originals, in the order of [`Alignment::rows`]: what `observe` takes beside
    /// [`Alignment::leaked`].
    ///
    /// # Errors
    /// [`FingerprintError::Stopped`], and what the originals answer.
    pub fn gather(&self, originals: &dyn Originals, watch: &mut Watch<'_>) -> Result<RecordBatch, FingerprintError> {
        let whole = || FingerprintError::Assembly { column: "*".to_string() };
        let mut wanted: BTreeMap<u64, u64> = self.rows.iter().map(|row| (row.original, 0)).collect();
        let (mut pieces, mut from, mut gathered) = (Vec::new(), 0u64, 0u64);
        let mut schema = None;
        originals.visit(&mut |batch: &RecordBatch| {
            let to = from + batch.num_rows() as u64;
            let mut rows = Vec::new();
            for (original, place) in wanted.range_mut(from..to) {
                rows.push(original - from);
                *place = gathered;
                gathered += 1;
            }
            pieces.push(take_record_batch(batch, &UInt64Array::from(rows)).map_err(|_| whole())?);
            schema.get_or_insert_with(|| batch.schema());
            from = to;
            watch.tell(Stage::Gathering, from)
        })?;
        let joined = concat_batches(&schema.ok_or_else(whole)?, &pieces).map_err(|_| whole())?;
        let order = self.rows.iter().map(|row| wanted.get(&row.original).copied().unwrap_or(0));
        take_record_batch(&joined, &UInt64Array::from_iter_values(order)).map_err(|_| whole())
    }

    /// The matched rows of the fragment under the originals' names, numbers in their units and dates as times.
    ///
    /// # Errors
    /// [`FingerprintError::ColumnMissing`] when it is another fragment.
    pub fn leaked(&self, fragment: &RecordBatch, originals: &RecordBatch) -> Result<RecordBatch, FingerprintError> {
        let rows = UInt32Array::from_iter_values(self.rows.iter().map(|row| row.leaked));
        let (mut fields, mut columns): (Vec<Field>, Vec<ArrayRef>) = (Vec::new(), Vec::new());
        for column in &self.columns {
            let missing = || FingerprintError::ColumnMissing { column: column.leaked.clone() };
            let array = fragment.columns().get(column.place).ok_or_else(missing)?;
            let array = take(array, &rows, None).map_err(|_| missing())?;
            let kind = originals.column_by_name(&column.original).map(|array| array.data_type().clone());
            let numbers = || -> Vec<f64> {
                let read = Cells::read(&array, column.reading, column.factor).numbers;
                read.into_iter().map(|number| number + column.offset).collect()
            };
            let array: ArrayRef = match kind {
                Some(kind) if kind.is_numeric() => Arc::new(Float64Array::from(numbers())),
                Some(DataType::Date32 | DataType::Date64 | DataType::Timestamp(..)) => {
                    let stamp = |seconds: f64| seconds.is_finite().then_some((seconds * 1e6) as i64);
                    Arc::new(TimestampMicrosecondArray::from_iter(numbers().into_iter().map(stamp)))
                }
                _ => array,
            };
            fields.push(Field::new(&column.original, array.data_type().clone(), true));
            columns.push(array);
        }
        // Where no column is told there are rows all the same.
        let count = RecordBatchOptions::new().with_row_count(Some(self.rows.len()));
        RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &count)
            .map_err(|_| FingerprintError::Assembly { column: "*".to_string() })
    }
}
