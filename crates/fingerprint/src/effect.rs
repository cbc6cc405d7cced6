//! What a marking does to the columns of a table: how far it moves values, means, deviations and shares, before anybody has a
//! copy.
//!
//! The table is read batch by batch and never held: what is kept hangs on the number of different values and not on that of the
//! rows, and is bounded.

mod moments;
mod swaps;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use arrow::array::RecordBatch;

use crate::bounds::{Lumps, MomentBounds, Spread};
use crate::error::FingerprintError;
use crate::laid::Laid;
use crate::marking::{Carrier, Mark, Marking, rate_to_share};
use crate::row_key::RowKeys;
pub(crate) use moments::{Distinct, Moments};
pub use swaps::SwapEffect;
use swaps::Swapped;

/// Most different values of the columns that one mark hangs on.
const ALIKE_MAX: usize = 4_000_000;
/// Most different values of which the smallest distance is sought.
const DISTINCT_MAX: usize = 4_000_000;

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
    /// The smallest distance between two different values, in the same units; none of fewer than two, and zero of more than four
    /// million, between which it is not sought.
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

/// What the marks of a marking do to a table that is read batch by batch.
pub struct Effects<'m> {
    moved: Vec<Moved<'m>>,
    swapped: Vec<Swapped<'m>>,
}

impl<'m> Effects<'m> {
    /// Of a marking; nothing has been read yet.
    ///
    /// # Errors
    /// [`FingerprintError::Declaration`].
    pub fn of(marking: &'m Marking) -> Result<Self, FingerprintError> {
        marking.check()?;
        let (mut moved, mut swapped) = (Vec::new(), Vec::new());
        for mark in &marking.marks {
            match &mark.carrier {
                Carrier::Category { column, sets } => swapped.push(Swapped::of(mark, column, sets)),
                _ => moved.push(Moved::of(mark)),
            }
        }
        Ok(Self { moved, swapped })
    }

    /// Takes in further rows of the table.
    ///
    /// # Errors
    /// [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`], [`FingerprintError::RowKeyTooLong`];
    /// [`FingerprintError::Declaration`] for a mark that hangs on columns with too many different values.
    pub fn add(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        for moved in &mut self.moved {
            moved.add(batch)?;
        }
        for swapped in &mut self.swapped {
            swapped.add(batch)?;
        }
        Ok(())
    }

    /// For each column that marks move what they do to it, within these bounds of mean and deviation; and for each column of
    /// texts, with this bound of a text's share of the rows.
    pub fn finish(self, bounds: MomentBounds, share_change: f64) -> (Vec<Effect>, Vec<SwapEffect>) {
        let moved = self.moved.into_iter().flat_map(|moved| moved.finish(bounds)).collect();
        let swapped = self.swapped.into_iter().map(|swapped| swapped.finish(share_change)).collect();
        (moved, swapped)
    }
}

/// What the marks of a marking do to a table in one batch: an [`Effect`] for each column that they move. Categories have neither a
/// mean nor an order and are left out.
///
/// # Errors
/// As [`Effects::of`] and [`Effects::add`].
pub fn effects(marking: &Marking, batch: &RecordBatch, bounds: MomentBounds) -> Result<Vec<Effect>, FingerprintError> {
    let mut effects = Effects::of(marking)?;
    effects.add(batch)?;
    Ok(effects.finish(bounds, 1.0).0)
}

/// One number for what each row has in the columns that a mark hangs on; none where it hangs on the row.
fn hung_on(mark: &Mark, batch: &RecordBatch) -> Result<Option<Vec<u64>>, FingerprintError> {
    if mark.by.is_empty() {
        return Ok(None);
    }
    let number = |key: &[u8]| {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        hasher.finish()
    };
    Ok(Some(RowKeys::of_columns(batch, &mark.by)?.iter().map(number).collect()))
}

fn too_many(mark: &Mark) -> FingerprintError {
    FingerprintError::Declaration {
        subject: mark.name.clone(),
        reason: "it hangs on columns with more than 4,000,000 different values; hang it on others, or on the row",
    }
}

/// A mark that moves values.
struct Moved<'m> {
    mark: &'m Mark,
    cells: u64,
    members: Vec<Member>,
    /// Rows that one bit moves, by what they hang on and the value's version; of a mark that hangs on the row none.
    alike: HashMap<(u64, u128), Alike>,
}

/// One of its columns.
struct Member {
    column: String,
    /// The first value. Sums are of how far values are off it, since times are large numbers close together.
    origin: Option<f64>,
    values: Moments,
    distinct: Distinct,
    /// The sum of the squares of how far cells that bear the mark are moved, on average; and the largest square.
    squares: f64,
    farthest: f64,
}

/// Rows that one bit moves.
struct Alike {
    rows: f64,
    /// For each column: the sum of the values, and the square of how far the bit moves one, on average and at most.
    members: Vec<(f64, f64, f64)>,
}

impl<'m> Moved<'m> {
    fn of(mark: &'m Mark) -> Self {
        let member = |column: &str| Member {
            column: column.to_owned(),
            origin: None,
            values: Moments::default(),
            distinct: Distinct::up_to(DISTINCT_MAX),
            squares: 0.0,
            farthest: 0.0,
        };
        let members = mark.columns().into_iter().map(member).collect();
        Self { mark, cells: 0, members, alike: HashMap::new() }
    }

    fn add(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        let laid = Laid::over(self.mark, batch)?;
        let bearing: Vec<usize> = (0..batch.num_rows()).filter(|row| laid.bears(*row)).collect();
        self.cells += bearing.len() as u64;
        for (place, (member, column)) in self.members.iter_mut().zip(&laid.columns).enumerate() {
            let Some(units) = &column.units else { continue };
            // Values off the lattice are never marked; mean and deviation are of all.
            let mut values = units.read_leaked(column.array);
            values.retain(|value| value.is_finite());
            member.distinct.add(&values);
            let Some(origin) = member.origin.or_else(|| values.first().copied()) else { continue };
            member.origin = Some(origin);
            values.iter_mut().for_each(|value| *value -= origin);
            member.values.add(&values);
            for row in &bearing {
                let (mean, most) = laid.reach_square(*row, place);
                member.squares += mean;
                member.farthest = member.farthest.max(most);
            }
        }
        if let Some(hung_on) = hung_on(self.mark, batch)? {
            self.add_alike(&laid, &bearing, &hung_on)?;
        }
        Ok(())
    }

    fn add_alike(&mut self, laid: &Laid<'_>, bearing: &[usize], hung_on: &[u64]) -> Result<(), FingerprintError> {
        let origins: Vec<f64> = self.members.iter().map(|member| member.origin.unwrap_or_default()).collect();
        for row in bearing {
            let Some(version) = laid.version(*row) else { continue };
            let alike = self.alike.entry((hung_on[*row], version)).or_insert_with(|| Alike {
                rows: 0.0,
                // Rows that are marked alike reach equally far.
                members: (0..origins.len())
                    .map(|member| {
                        let (square, most) = laid.reach_square(*row, member);
                        (0.0, square, most)
                    })
                    .collect(),
            });
            alike.rows += 1.0;
            for ((sum, _, _), (column, origin)) in alike.members.iter_mut().zip(laid.columns.iter().zip(&origins)) {
                *sum += column.values[*row] as f64 - origin;
            }
        }
        if self.alike.len() > ALIKE_MAX { Err(too_many(self.mark)) } else { Ok(()) }
    }

    fn finish(self, bounds: MomentBounds) -> Vec<Effect> {
        let Self { mark, cells, members, alike } = self;
        let effect = |(place, member): (usize, Member)| {
            let (rows, deviation) = (member.values.count(), member.values.deviation());
            let lumps = (!mark.by.is_empty()).then(|| lumps(alike.values(), place, member.values.mean(), deviation));
            let spread = Spread { rows, deviation, squares: member.squares, lumps };
            Effect {
                mark: mark.name.clone(),
                column: member.column,
                cells,
                deviation,
                reach: member.farthest.sqrt(),
                gap: member.distinct.gap(),
                moments: spread.at(rate_to_share(mark.rate)),
                rate_within: spread.rate_within(bounds),
            }
        };
        members.into_iter().enumerate().map(effect).collect()
    }
}

/// What bits that move many rows alike do to a member's sum, and to the sum of its products with how far values are off the mean.
fn lumps<'a>(alike: impl Iterator<Item = &'a Alike>, member: usize, mean: f64, deviation: f64) -> (Lumps, Lumps) {
    let mut lumps = (Lumps::default(), Lumps::default());
    for Alike { rows, members } in alike {
        let (sum, square, most) = members[member];
        lumps.0.add(*rows, square, most);
        lumps.1.add(((sum - rows * mean) / deviation).abs(), square, most);
    }
    lumps
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use proptest::prelude::*;

    use super::*;
    use crate::code::BiasTable;
    use crate::marking::{Encoding, Member as MarkedMember, RATE_ONE, Step};

    fn marking(by: &[&str]) -> Marking {
        let member = |column: &str, coefficient| MarkedMember {
            column: column.to_owned(),
            encoding: Encoding::Lattice(Step { unscaled: 1, decimals: 0 }),
            coefficient,
            domain: None,
        };
        let members = vec![member("fare", 1), member("toll", -2)];
        let by: Vec<String> = by.iter().map(|name| (*name).to_owned()).collect();
        let number = Mark {
            name: "fare".to_owned(),
            rate: RATE_ONE / 3,
            by: by.clone(),
            carrier: Carrier::Number { members, amplitude: 2, tolerance: 2 },
        };
        let sets = vec![vec!["甲".to_owned(), "乙".to_owned(), "丙".to_owned()]];
        let kind = Mark {
            name: "kind".to_owned(),
            rate: RATE_ONE / 3,
            by,
            carrier: Carrier::Category { column: "kind".to_owned(), sets },
        };
        Marking {
            key: vec!["id".to_owned()],
            marks: vec![number, kind],
            order_share: 0,
            biases: BiasTable::default(),
            presence: None,
        }
    }

    /// Line, toll and kind of a row.
    type Row = (i64, i64, u8);

    fn table(rows: &[Row]) -> RecordBatch {
        let numbers =
            |of: &dyn Fn(&Row) -> Option<i64>| -> ArrayRef { Arc::new(rows.iter().map(of).collect::<Int64Array>()) };
        let kinds = rows.iter().map(|row| ["甲", "乙", "丙", "丁"][usize::from(row.2 % 4)]);
        RecordBatch::try_from_iter_with_nullable([
            ("id", numbers(&|row| Some(row.0)), true),
            ("line", numbers(&|row| Some(row.0 % 5)), true),
            ("fare", numbers(&|row| (row.0 % 7 != 3).then_some(1_000_000_000_000 + row.0)), true),
            ("toll", numbers(&|row| Some(row.1)), true),
            ("kind", Arc::new(StringArray::from_iter_values(kinds)) as ArrayRef, true),
        ])
        .unwrap()
    }

    fn close(one: f64, other: f64) -> bool {
        (one - other).abs() <= 1e-9 * one.abs().max(other.abs()).max(1e-9)
    }

    proptest! {
        /// What is told hangs on the rows alone and not on the batches that they come in.
        #[test]
        fn batches_of_any_size_say_the_same(
            rows in prop::collection::vec((-500..500i64, -90..90i64, any::<u8>()), 1..120),
            cuts in prop::collection::vec(0..120usize, 0..5),
            hangs in any::<bool>(),
        ) {
            let by: &[&str] = if hangs { &["line"] } else { &[] };
            let (marking, whole) = (marking(by), table(&rows));
            let bounds = MomentBounds { mean_shift: 0.05, deviation_change: 0.05 };
            let mut once = Effects::of(&marking).unwrap();
            once.add(&whole).unwrap();
            let (moved, swapped) = once.finish(bounds, 0.3);
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(rows.len())).chain([0, rows.len()]).collect();
            cuts.sort_unstable();
            let mut parts = Effects::of(&marking).unwrap();
            for pair in cuts.windows(2) {
                parts.add(&whole.slice(pair[0], pair[1] - pair[0])).unwrap();
            }
            let (moved_by_parts, swapped_by_parts) = parts.finish(bounds, 0.3);
            prop_assert_eq!(moved.len(), 2);
            for (one, other) in moved.iter().zip(&moved_by_parts) {
                prop_assert_eq!((&one.column, one.cells, one.gap), (&other.column, other.cells, other.gap));
                prop_assert!(close(one.deviation, other.deviation) && close(one.reach, other.reach), "{:?} {:?}", one, other);
                prop_assert!(close(one.moments.mean_shift, other.moments.mean_shift), "{:?} {:?}", one, other);
                prop_assert!((one.rate_within - other.rate_within).abs() < 1e-6, "{:?} {:?}", one, other);
            }
            prop_assert_eq!(swapped, swapped_by_parts);
        }
    }
}
