//! What a fragment shows at the secret positions. Rows come aligned: the originals of the snapshot beside the leaked rows,
//! found by whatever linkage, as long as it never asked for a recipient's code.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use crate::channel::RESIDUAL_MAX;
use crate::embed::{ids_of, law_of, tweaks};
use crate::error::FingerprintError;
use crate::laid::{Drawing, Laid, Scratch, Selected, texts};
use crate::marking::Marking;
use crate::presence::Presence;
use crate::prf::{Block, CHUNK_BLOCKS, PositionSecrets};
use crate::rounding::Rounding;
use crate::row_key::RowKeys;

/// The most observations of one case.
pub(crate) const OBSERVATIONS_MAX: usize = 16_000_000;

/// How far off a value is told to be at most. One that is farther says nothing more, and a few characters are enough for numbers of
/// which floating point makes infinity.
const RESIDUAL_FAR: f64 = 1e6;

/// Which channel an observation came by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Source {
    /// The mark with this number in the marking.
    Mark(u16),
    /// A row that is there, though some recipients never had it.
    Presence,
    /// A decoy that is there.
    Decoy,
}

/// One position that the fragment shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Observation {
    /// By which channel.
    pub source: Source,
    /// The row of the aligned fragment.
    pub row: u32,
    /// The position's point, from which a recipient's code draws its bit.
    pub point: Block,
    /// The bias times 2^32: a bit is one with this probability.
    pub threshold: u32,
    /// Whether an order's code drew the bit, instead of the recipient's.
    pub order: bool,
    /// Where the leaked value lies: at 1 where a bit of one would have put it, at -1 where a bit of zero would have, between
    /// them for a mixture, anywhere else for a value that was replaced, up to a million off. It never depends on a recipient's
    /// code.
    pub residual: f64,
}

/// What the leaked values show, one observation per marked cell that says anything. `originals` holds key and marked
/// columns with the snapshot's values and types; `leaked` those of them that leaked, under the same names, in any type that
/// reads as theirs. Row by row they are the same rows; a row may stand there twice. What a mark hangs on instead of the key is
/// among the originals' columns.
///
/// # Errors
/// [`FingerprintError::NotAligned`], [`FingerprintError::TooMany`], and what the columns of `originals` may be refused for.
pub fn observe(
    marking: &Marking,
    secrets: &PositionSecrets,
    originals: &RecordBatch,
    leaked: &RecordBatch,
) -> Result<Vec<Observation>, FingerprintError> {
    marking.check()?;
    let rows = originals.num_rows();
    if rows != leaked.num_rows() {
        return Err(FingerprintError::NotAligned { originals: rows, leaked: leaked.num_rows() });
    }
    let ids = secrets.ids_of_rows(originals, &marking.key)?;
    let mut out = Vec::new();
    for ((number, mark), tweak) in marking.marks.iter().enumerate().zip(tweaks(marking, secrets)) {
        if mark.columns().iter().all(|column| leaked.column_by_name(column).is_none()) {
            continue;
        }
        let laid = Laid::over(mark, originals)?;
        let shown = Shown::read(&laid, leaked);
        let ids = ids_of(mark, secrets, &ids, originals)?;
        let drawing = Drawing { secrets, tweak, rate: mark.rate, row_ids: &ids };
        let mut scratch = Scratch::new();
        for from in (0..rows).step_by(CHUNK_BLOCKS) {
            laid.select(&drawing, from, &mut scratch);
            for cell in &scratch.selected {
                let residual = shown.residual(&laid, cell).clamp(-RESIDUAL_FAR, RESIDUAL_FAR);
                if residual.is_nan() {
                    continue;
                }
                let (threshold, order) = law_of(&cell.position, &marking.biases, marking.order_share);
                out.push(Observation {
                    source: Source::Mark(u16::try_from(number).unwrap_or(u16::MAX)),
                    row: u32::try_from(cell.row).unwrap_or(u32::MAX),
                    point: cell.point,
                    threshold,
                    order,
                    residual,
                });
            }
        }
        if out.len() > OBSERVATIONS_MAX {
            return Err(FingerprintError::TooMany { what: "observed positions", count_max: OBSERVATIONS_MAX });
        }
    }
    Ok(out)
}

/// What it shows that these rows are there at all, given by their keys.
pub fn observe_presence(presence: &Presence, secrets: &PositionSecrets, keys: &RowKeys) -> Vec<Observation> {
    let points = Presence::points(secrets, &secrets.row_ids(keys));
    let observation = |(row, point): (usize, Block)| Observation {
        source: Source::Presence,
        row: u32::try_from(row).unwrap_or(u32::MAX),
        point,
        threshold: presence.threshold(),
        order: false,
        residual: 1.0,
    };
    points.into_iter().enumerate().map(observation).collect()
}

/// One observation of each point. A position that stands there several times, in copied rows or in mixed leaks, counts once,
/// with the mean of what it shows: two observations of one bit are not independent. A value that was replaced without a doubt tells
/// neither bit and is left out where there is another, or rows that were added with any values would take theirs from the true ones.
pub(crate) fn once_each(observations: impl Iterator<Item = Observation>) -> Vec<Observation> {
    let is_replaced = |observation: &Observation| observation.residual.abs() > RESIDUAL_MAX;
    let mut places: HashMap<u128, usize> = HashMap::new();
    let mut out: Vec<(Observation, f64)> = Vec::new();
    for observation in observations {
        let place = *places.entry(u128::from_ne_bytes(observation.point.into())).or_insert(out.len());
        match out.get_mut(place) {
            Some(_) if is_replaced(&observation) => {}
            Some((kept, _)) if is_replaced(kept) => *kept = observation,
            Some((kept, count)) => {
                *count += 1.0;
                kept.residual += (observation.residual - kept.residual) / *count;
            }
            None => out.push((observation, 1.0)),
        }
    }
    out.into_iter().map(|(observation, _)| observation).collect()
}

/// The leaked columns of one mark.
struct Shown<'a> {
    /// For each column of a number or place mark that leaked: its values in units, and how they were rounded.
    members: Vec<Option<(Vec<f64>, Rounding)>>,
    /// For a category.
    texts: Vec<Option<&'a str>>,
}

impl<'a> Shown<'a> {
    fn read(laid: &Laid<'_>, leaked: &'a RecordBatch) -> Self {
        let (mut members, mut shown) = (Vec::new(), Vec::new());
        for column in &laid.columns {
            let array = leaked.column_by_name(column.name);
            let member = match (array, &column.units) {
                (Some(array), Some(units)) => {
                    let values = units.read_leaked(array);
                    let is_there = |v: &i64| if *v == crate::units::ABSENT { f64::NAN } else { *v as f64 };
                    let originals: Vec<f64> = column.values.iter().map(is_there).collect();
                    let rounding = Rounding::detect(&values, &originals);
                    Some((values, rounding))
                }
                (Some(array), None) => {
                    shown = texts(column.name, array).unwrap_or_default();
                    None
                }
                (None, _) => None,
            };
            members.push(member);
        }
        Self { members, texts: shown }
    }

    fn residual(&self, laid: &Laid<'_>, cell: &Selected) -> f64 {
        if let Some((one, zero)) = laid.alternatives(cell) {
            return match self.texts.get(cell.row).copied().flatten() {
                Some(text) if text == one => 1.0,
                Some(text) if text == zero => -1.0,
                _ => f64::NAN,
            };
        }
        let (mut best, mut dot, mut square) = (f64::NAN, 0.0, 0.0);
        for (member, shown) in self.members.iter().enumerate() {
            let Some((values, rounding)) = shown else {
                continue;
            };
            let (original, reach) = (laid.columns[member].values[cell.row] as f64, laid.reach(cell, member) as f64);
            let (one, zero) = (rounding.apply(original + reach), rounding.apply(original - reach));
            let value = values[cell.row];
            if one == zero || value.is_nan() {
                continue;
            }
            if laid.is_place() {
                let weight = laid.weight(cell.row, member).powi(2);
                dot += weight * (2.0 * value - one - zero) * (one - zero);
                square += weight * (one - zero).powi(2);
            } else {
                // Tied columns carry the same bit: the one that is kept best is read.
                let residual = (2.0 * value - one - zero) / (one - zero);
                if best.is_nan() || (residual.abs() - 1.0).abs() < (best.abs() - 1.0).abs() {
                    best = residual;
                }
            }
        }
        if square > 0.0 { dot / square } else { best }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of a point that shows these residuals, one after the other.
    fn once(residuals: &[f64]) -> f64 {
        let point = Block::from([7; 16]);
        let of = |residual: &f64| Observation {
            source: Source::Mark(0),
            row: 0,
            point,
            threshold: 1 << 31,
            order: false,
            residual: *residual,
        };
        let once = once_each(residuals.iter().map(of));
        assert_eq!(once.len(), 1, "{residuals:?}");
        once[0].residual
    }

    #[test]
    fn a_replaced_value_takes_nothing_from_the_others_of_its_point() {
        for (residuals, left) in [
            (&[1.0, 1.0, -0.5][..], 0.5),
            (&[1.0, 900.0], 1.0),
            (&[900.0, -1.0], -1.0),
            (&[1.0, -900.0, 0.0, 900.0], 0.5),
            (&[900.0, -900.0, 3.0, -64.0], -30.5),
            // Of values that were all replaced no mean makes a bit.
            (&[900.0, -898.0], 900.0),
            (&[f64::INFINITY, f64::NEG_INFINITY, 1.0], 1.0),
        ] {
            assert_eq!(once(residuals), left, "{residuals:?}");
            // Neither sign is favoured.
            let turned: Vec<f64> = residuals.iter().map(|residual| -residual).collect();
            assert_eq!(once(&turned), -left, "{turned:?}");
        }
    }
}
