//! What a marking does to the columns of a table: how far it moves values, means and deviations, before anybody has a copy.

use std::collections::HashMap;

use arrow::array::RecordBatch;

use crate::bounds::{Lumps, MomentBounds, Spread};
use crate::error::FingerprintError;
use crate::laid::Laid;
use crate::marking::{Carrier, Mark, Marking, rate_to_share};
use crate::row_key::RowKeys;

/// What one mark does to one of its columns, which holds numbers, times or coordinates.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// The mark's name.
    pub mark: String,
    /// The column.
    pub column: String,
    /// Cells that can bear the mark.
    pub cells: u64,
    /// Standard deviation of the values, in units of the mark's encoding.
    pub deviation: f64,
    /// How far a mark moves a value at most, in the same units.
    pub reach: f64,
    /// The smallest distance between two different values, in the same units; none of fewer than two.
    pub gap: Option<f64>,
    /// How far mean and deviation are off at the mark's rate, in all but one of ten thousand copies.
    pub moments: MomentBounds,
    /// The largest rate, as a share, that keeps the bounds that were asked for.
    pub rate_within: f64,
}

impl Effect {
    /// Whether every row that is before another by this column stays before it in every copy.
    pub fn keeps_order(&self) -> bool {
        // What floating point adds to a distance is far below a step.
        self.gap.is_none_or(|gap| 2.0 * self.reach < gap * (1.0 - 1e-9))
    }
}

/// What the marks of a marking do to a table, or a large sample of it, in one batch: an [`Effect`] for each column that they move.
/// Categories have neither a mean nor an order and are left out.
///
/// # Errors
/// [`FingerprintError::Declaration`], [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`].
pub fn effects(marking: &Marking, batch: &RecordBatch, bounds: MomentBounds) -> Result<Vec<Effect>, FingerprintError> {
    marking.check()?;
    let mut effects = Vec::new();
    for mark in &marking.marks {
        if matches!(mark.carrier, Carrier::Category { .. }) {
            continue;
        }
        let laid = Laid::over(mark, batch)?;
        let bearing: Vec<usize> = (0..batch.num_rows()).filter(|row| laid.bears(*row)).collect();
        let alike = if mark.by.is_empty() { None } else { Some(marked_alike(mark, &laid, &bearing, batch)?) };
        for (member, column) in laid.columns.iter().enumerate() {
            let Some(units) = &column.units else { continue };
            // Values off the lattice are never marked; mean and deviation are of all.
            let mut values = units.read_leaked(column.array);
            values.retain(|value| value.is_finite());
            let mean = values.iter().sum::<f64>() / (values.len() as f64).max(1.0);
            let (deviation, gap) = (deviation(&values), smallest_gap(&mut values));
            let reaches = bearing.iter().map(|row| laid.reach_square(*row, member));
            let (squares, farthest) =
                reaches.fold((0.0, 0.0_f64), |(sum, most), (mean, greatest)| (sum + mean, most.max(greatest)));
            let lumps = alike.as_ref().map(|alike| lumps(alike, &laid, member, mean, deviation));
            let spread = Spread { rows: values.len() as f64, deviation, squares, lumps };
            effects.push(Effect {
                mark: mark.name.clone(),
                column: column.name.to_string(),
                cells: bearing.len() as u64,
                deviation,
                reach: farthest.sqrt(),
                gap,
                moments: spread.at(rate_to_share(mark.rate)),
                rate_within: spread.rate_within(bounds),
            });
        }
    }
    Ok(effects)
}

/// Rows that one bit moves, for each bit of a mark that hangs on other columns than the key.
fn marked_alike(
    mark: &Mark,
    laid: &Laid<'_>,
    bearing: &[usize],
    batch: &RecordBatch,
) -> Result<Vec<Vec<usize>>, FingerprintError> {
    let keys = RowKeys::of_columns(batch, &mark.by)?;
    let keys: Vec<&[u8]> = keys.iter().collect();
    let mut alike: HashMap<(&[u8], Option<u128>), Vec<usize>> = HashMap::new();
    for row in bearing {
        alike.entry((keys[*row], laid.version(*row))).or_default().push(*row);
    }
    Ok(alike.into_values().collect())
}

/// What those bits do to a member's sum, and to the sum of its products with how far values are off the mean.
fn lumps(alike: &[Vec<usize>], laid: &Laid<'_>, member: usize, mean: f64, deviation: f64) -> (Lumps, Lumps) {
    let mut lumps = (Lumps::default(), Lumps::default());
    for rows in alike {
        // Rows that are marked alike reach equally far.
        let (square, most) = rows.first().map_or((0.0, 0.0), |row| laid.reach_square(*row, member));
        let off: f64 = rows.iter().map(|row| (laid.columns[member].values[*row] as f64 - mean) / deviation).sum();
        lumps.0.add(rows.len() as f64, square, most);
        lumps.1.add(off.abs(), square, most);
    }
    lumps
}

fn deviation(values: &[f64]) -> f64 {
    let count = (values.len() as f64).max(1.0);
    let mean = values.iter().sum::<f64>() / count;
    (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count).sqrt()
}

fn smallest_gap(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let gaps = values.windows(2).map(|pair| pair[1] - pair[0]).filter(|gap| *gap > 0.0);
    gaps.min_by(f64::total_cmp)
}
