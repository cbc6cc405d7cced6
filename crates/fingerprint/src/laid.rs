//! A mark laid over the columns of one batch: which cells can carry it, and where each bit would move them.

use std::borrow::Cow;
use std::collections::HashMap;

use arrow::array::{Array, ArrayRef, AsArray as _, RecordBatch};
use arrow::datatypes::DataType;

use crate::code::Position;
use crate::error::FingerprintError;
use crate::marking::{Carrier, Encoding, Mark, Step};
use crate::prf::{Block, CHUNK_BLOCKS, PositionSecrets, number, xor};
use crate::units::{ABSENT, Units};

/// Metres of a degree of latitude.
pub(crate) const DEGREE_METRES: f64 = 111_320.0;

/// Nearer to a pole a degree of longitude is too short to carry anything.
const LATITUDE_DEGREES_MAX: f64 = 85.0;

/// A column as it was found in the batch.
pub(crate) struct Laid<'a> {
    pub(crate) columns: Vec<LaidColumn<'a>>,
    kind: Kind<'a>,
}

/// One column with its units; a category has none.
pub(crate) struct LaidColumn<'a> {
    pub(crate) name: &'a str,
    pub(crate) array: &'a ArrayRef,
    pub(crate) units: Option<Units>,
    pub(crate) values: Cow<'a, [i64]>,
}

impl LaidColumn<'_> {
    /// The column with cells moved by some units; none of a category.
    pub(crate) fn write(&self, moves: impl Iterator<Item = (usize, i64)>) -> Result<ArrayRef, FingerprintError> {
        match &self.units {
            Some(units) => units.write(self.name, self.array, &self.values, moves),
            None => Ok(self.array.clone()),
        }
    }
}

enum Kind<'a> {
    Number {
        /// How far a bit moves each member, in units, with its sign.
        reach: Vec<i64>,
        /// The least and greatest value of each member that may be marked.
        within: Vec<(i64, i64)>,
    },
    Place {
        per_degree: f64,
        metres: f64,
    },
    Category {
        sets: &'a [Vec<String>],
    },
}

/// A cell that is marked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Selected {
    pub(crate) row: usize,
    pub(crate) point: Block,
    pub(crate) position: Position,
}

/// What a mark's positions are drawn from.
pub(crate) struct Drawing<'a> {
    pub(crate) secrets: &'a PositionSecrets,
    pub(crate) tweak: Block,
    pub(crate) rate: u32,
    pub(crate) row_ids: &'a [Block],
}

/// Memory for one chunk, used again for the next.
pub(crate) struct Scratch {
    rows: [usize; CHUNK_BLOCKS],
    places: [usize; CHUNK_BLOCKS],
    points: [Block; CHUNK_BLOCKS],
    drawn: [Block; CHUNK_BLOCKS],
    /// The marked cells, in the order of their rows.
    pub(crate) selected: Vec<Selected>,
}

impl Scratch {
    /// Row, point and secret of each of the first cells that were drawn.
    pub(crate) fn cells(&self, count: usize) -> impl Iterator<Item = (usize, &Block, &Block)> + Clone {
        self.places[..count].iter().map(|at| (self.rows[*at], &self.points[*at], &self.drawn[*at]))
    }

    pub(crate) fn new() -> Self {
        Self {
            rows: [0; CHUNK_BLOCKS],
            places: [0; CHUNK_BLOCKS],
            points: [Block::default(); CHUNK_BLOCKS],
            drawn: [Block::default(); CHUNK_BLOCKS],
            selected: Vec::with_capacity(CHUNK_BLOCKS),
        }
    }
}

/// Where a cell lies: its row, its mark's name and its value's version, each of them in all 128 bits of a pseudo-random
/// number or added to one, so that no two cells meet but by chance.
fn point(row_id: &Block, tweak: &Block, version: u128) -> Block {
    xor(&xor(row_id, tweak), &Block::from(version.to_le_bytes()))
}

fn column<'a>(batch: &'a RecordBatch, name: &str) -> Result<&'a ArrayRef, FingerprintError> {
    batch.column_by_name(name).ok_or_else(|| FingerprintError::ColumnMissing { column: name.to_string() })
}

impl<'a> Laid<'a> {
    pub(crate) fn over(mark: &'a Mark, batch: &'a RecordBatch) -> Result<Self, FingerprintError> {
        match &mark.carrier {
            Carrier::Number { members, amplitude, .. } => {
                let (mut columns, mut reach, mut within) = (Vec::new(), Vec::new(), Vec::new());
                for member in members {
                    let array = column(batch, &member.column)?;
                    let units = Units::of(&member.column, array.data_type(), member.encoding)?;
                    let steps = i64::from(*amplitude) * i64::from(member.coefficient);
                    let (least, greatest) = member.domain.unwrap_or(units.range);
                    let (least, greatest) = (least.max(units.range.0), greatest.min(units.range.1));
                    let far = steps.saturating_mul(units.step);
                    reach.push(far);
                    within.push((
                        least.saturating_add(far.saturating_abs()),
                        greatest.saturating_sub(far.saturating_abs()),
                    ));
                    let values = units.read_in_place(array);
                    columns.push(LaidColumn { name: &member.column, array, units: Some(units), values });
                }
                Ok(Self { columns, kind: Kind::Number { reach, within } })
            }
            Carrier::Place { latitude, longitude, decimals, metres } => {
                let encoding = Encoding::Lattice(Step { unscaled: 1, decimals: *decimals });
                let mut columns = Vec::new();
                for name in [latitude, longitude] {
                    let array = column(batch, name)?;
                    if !array.data_type().is_floating() {
                        return Err(FingerprintError::ColumnType {
                            column: name.clone(),
                            found: array.data_type().to_string(),
                            expected: "degrees in floating point",
                        });
                    }
                    let units = Units::of(name, array.data_type(), encoding)?;
                    let values = units.read_in_place(array);
                    columns.push(LaidColumn { name, array, units: Some(units), values });
                }
                let per_degree = 10f64.powi(i32::from(*decimals));
                Ok(Self { columns, kind: Kind::Place { per_degree, metres: *metres } })
            }
            Carrier::Category { column: name, sets } => {
                let array = column(batch, name)?;
                let mut members = HashMap::new();
                for (set, texts) in sets.iter().enumerate() {
                    for (member, text) in texts.iter().enumerate() {
                        members.insert(text.as_str(), ((set as i64) << 32) | member as i64);
                    }
                }
                let values = texts(name, array)?;
                let values = values.iter().map(|text| text.and_then(|text| members.get(text)).copied());
                let values = Cow::Owned(values.map(|member| member.unwrap_or(ABSENT)).collect());
                let columns = vec![LaidColumn { name, array, units: None, values }];
                Ok(Self { columns, kind: Kind::Category { sets } })
            }
        }
    }

    /// The version of a cell's value, which is part of its position; nothing where the cell can't be marked.
    pub(crate) fn version(&self, row: usize) -> Option<u128> {
        match &self.kind {
            Kind::Number { within, .. } => {
                for (column, (least, greatest)) in self.columns.iter().zip(within) {
                    let value = column.values[row];
                    if value == ABSENT || value < *least || value > *greatest {
                        return None;
                    }
                }
                Some(u128::from(self.columns[0].values[row].cast_unsigned()))
            }
            Kind::Place { per_degree, .. } => {
                let (latitude, longitude) = (self.columns[0].values[row], self.columns[1].values[row]);
                let present = latitude != ABSENT && longitude != ABSENT;
                let usable = present && (latitude as f64 / per_degree).abs() <= LATITUDE_DEGREES_MAX;
                usable.then(|| u128::from(latitude.cast_unsigned()) | u128::from(longitude.cast_unsigned()) << 64)
            }
            Kind::Category { .. } => {
                let value = self.columns[0].values[row];
                (value != ABSENT).then(|| u128::from(value.cast_unsigned()))
            }
        }
    }

    /// How far a bit of one moves each column, where it is as far in every row: of numbers.
    pub(crate) fn even_reach(&self) -> Option<&[i64]> {
        match &self.kind {
            Kind::Number { reach, .. } => Some(reach),
            Kind::Place { .. } | Kind::Category { .. } => None,
        }
    }

    /// The marked cells among up to [`CHUNK_BLOCKS`] rows from `from` on.
    pub(crate) fn select(&self, drawing: &Drawing<'_>, from: usize, scratch: &mut Scratch) {
        let count = self.draw(drawing, from, scratch);
        scratch.selected.clear();
        for at in &scratch.places[..count] {
            scratch.selected.push(Selected {
                row: scratch.rows[*at],
                point: scratch.points[*at],
                position: Position::read(&scratch.drawn[*at]),
            });
        }
    }

    /// The same as places among [`Scratch::cells`], of which it answers how many.
    pub(crate) fn draw(&self, drawing: &Drawing<'_>, from: usize, scratch: &mut Scratch) -> usize {
        let to = drawing.row_ids.len().min(from + CHUNK_BLOCKS);
        let count = self.points(drawing, from, to, scratch);
        let drawn = &mut scratch.drawn[..count];
        drawn.copy_from_slice(&scratch.points[..count]);
        drawing.secrets.secrets(drawn);
        // Both loops write first and count after, since a processor guesses such a branch wrong every other time.
        let mut selected = 0;
        for (at, secret) in drawn.iter().enumerate() {
            scratch.places[selected] = at;
            selected += usize::from(number(secret) < drawing.rate);
        }
        selected
    }

    /// Rows and points of the cells that could be marked; answers how many.
    fn points(&self, drawing: &Drawing<'_>, from: usize, to: usize, scratch: &mut Scratch) -> usize {
        let mut count = 0;
        match &self.kind {
            // By far the most frequent case: column by column. An absent cell is below every range.
            Kind::Number { within, .. } => {
                let mut fits = [true; CHUNK_BLOCKS];
                for (column, (least, greatest)) in self.columns.iter().zip(within) {
                    for (fits, value) in fits.iter_mut().zip(&column.values[from..to]) {
                        *fits &= value >= least && value <= greatest;
                    }
                }
                let cells = self.columns[0].values[from..to].iter().zip(&drawing.row_ids[from..to]);
                for (at, ((value, id), fits)) in cells.zip(&fits).enumerate() {
                    scratch.rows[count] = from + at;
                    scratch.points[count] = point(id, &drawing.tweak, u128::from(value.cast_unsigned()));
                    count += usize::from(*fits);
                }
            }
            _ => {
                for row in from..to {
                    if let Some(version) = self.version(row) {
                        scratch.rows[count] = row;
                        scratch.points[count] = point(&drawing.row_ids[row], &drawing.tweak, version);
                        count += 1;
                    }
                }
            }
        }
        count
    }

    /// By how many units a bit of one moves each column; a bit of zero moves it as far the other way. Not for categories.
    pub(crate) fn reach(&self, selected: &Selected, member: usize) -> i64 {
        let sign = if selected.position.reversed { -1 } else { 1 };
        match &self.kind {
            Kind::Number { reach, .. } => sign * reach[member],
            Kind::Place { per_degree, metres } => {
                let angle = f64::from(selected.position.direction) * std::f64::consts::TAU / 16.0;
                let latitude = self.columns[0].values[selected.row] as f64 / per_degree;
                let degrees = if member == 0 {
                    metres * angle.cos() / DEGREE_METRES
                } else {
                    metres * angle.sin() / (DEGREE_METRES * latitude.to_radians().cos())
                };
                // Towards zero, so that it is never farther than declared; a little off a tie, so that it is the same everywhere.
                sign * (degrees * per_degree + degrees.signum() * 1e-6).trunc() as i64
            }
            Kind::Category { .. } => 0,
        }
    }

    /// Whether a row's cells can bear the mark.
    pub(crate) fn bears(&self, row: usize) -> bool {
        self.version(row).is_some()
    }

    /// The square of how far the mark moves a member in a row that can bear it, in units: on average over its secret direction,
    /// and at most.
    pub(crate) fn reach_square(&self, row: usize, member: usize) -> (f64, f64) {
        match &self.kind {
            Kind::Number { reach, .. } => {
                let square = (reach[member] as f64).powi(2);
                (square, square)
            }
            Kind::Place { per_degree, metres } => {
                let most = metres * per_degree / (DEGREE_METRES * self.weight(row, member));
                // The sixteen directions are even, so a half on average.
                (most * most / 2.0, most * most)
            }
            Kind::Category { .. } => (0.0, 0.0),
        }
    }

    /// How much a unit of each column weighs when a place's two columns are read together.
    pub(crate) fn weight(&self, row: usize, member: usize) -> f64 {
        match &self.kind {
            Kind::Place { per_degree, .. } if member == 1 => {
                (self.columns[0].values[row] as f64 / per_degree).to_radians().cos()
            }
            _ => 1.0,
        }
    }

    /// Whether the columns are one quantity in two parts, and not several copies of one bit.
    pub(crate) fn is_place(&self) -> bool {
        matches!(self.kind, Kind::Place { .. })
    }

    /// The texts that a bit of one and a bit of zero give a category.
    pub(crate) fn alternatives(&self, selected: &Selected) -> Option<(&'a str, &'a str)> {
        let Kind::Category { sets } = &self.kind else {
            return None;
        };
        let value = self.columns[0].values[selected.row];
        let set = sets.get(usize::try_from(value >> 32).ok()?)?;
        let own = usize::try_from(value & i64::from(u32::MAX)).ok()?;
        let other = (own + 1 + selected.position.choice as usize % (set.len() - 1)) % set.len();
        let (own, other) = (set.get(own)?.as_str(), set.get(other)?.as_str());
        Some(if selected.position.reversed { (other, own) } else { (own, other) })
    }
}

/// A text column of any layout.
pub(crate) fn texts<'a>(name: &str, array: &'a ArrayRef) -> Result<Vec<Option<&'a str>>, FingerprintError> {
    Ok(match array.data_type() {
        DataType::Utf8 => array.as_string::<i32>().iter().collect(),
        DataType::LargeUtf8 => array.as_string::<i64>().iter().collect(),
        DataType::Utf8View => array.as_string_view().iter().collect(),
        other => {
            return Err(FingerprintError::ColumnType {
                column: name.to_string(),
                found: other.to_string(),
                expected: "a text type (Utf8, LargeUtf8 or Utf8View)",
            });
        }
    })
}
