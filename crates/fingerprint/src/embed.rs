//! A recipient's copy of a batch. The same for every size and order of batches: a cell depends on nothing but itself, its
//! row's key and the keys of the marks.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, LargeStringArray, RecordBatch, StringArray, StringViewArray};
use arrow::compute::{and, filter_record_batch};
use arrow::datatypes::DataType;

use crate::code::{BiasTable, Position};
use crate::decoy;
use crate::error::FingerprintError;
use crate::laid::{Drawing, Laid, Scratch, texts};
use crate::marking::{Carrier, Mark, Marking};
use crate::moves::Moves;
use crate::prf::{Block, CHUNK_BLOCKS, PositionSecrets, RecipientCode, number};

/// Marks the batches of one table for one order of one recipient.
pub struct Marker<'a> {
    marking: &'a Marking,
    secrets: &'a PositionSecrets,
    recipient: RecipientCode,
    order: RecipientCode,
    tweaks: Vec<Block>,
    /// The column that numbers the decoys among the rows.
    decoys: Option<&'a str>,
}

impl<'a> Marker<'a> {
    /// A marker by a marking that holds together.
    ///
    /// # Errors
    /// [`FingerprintError::Declaration`].
    pub fn new(
        marking: &'a Marking,
        secrets: &'a PositionSecrets,
        recipient: RecipientCode,
        order: RecipientCode,
    ) -> Result<Self, FingerprintError> {
        marking.check()?;
        let tweaks = tweaks(marking, secrets);
        Ok(Self { marking, secrets, recipient, order, tweaks, decoys: None })
    }

    /// The same for batches that hold decoys: rows with a number in this column. Of them a copy has those that are the
    /// recipient's.
    #[must_use]
    pub fn with_decoys(self, column: &'a str) -> Self {
        Self { decoys: Some(column), ..self }
    }

    /// The recipient's copy of a batch: rows that are not his left out, values marked, everything else as it was. The
    /// batch holds all columns of the key and all that are marked, with the values of the snapshot.
    ///
    /// # Errors
    /// [`FingerprintError::ColumnMissing`], [`FingerprintError::ColumnType`], [`FingerprintError::RowKeyTooLong`].
    pub fn mark(&self, batch: &RecordBatch) -> Result<RecordBatch, FingerprintError> {
        if self.marking.marks.is_empty() && self.marking.presence.is_none() && self.decoys.is_none() {
            return Ok(batch.clone());
        }
        let ids = self.secrets.ids_of_rows(batch, &self.marking.key)?;
        let mut columns = batch.columns().to_vec();
        for (mark, tweak) in self.marking.marks.iter().zip(&self.tweaks) {
            let ids = ids_of(mark, self.secrets, &ids, batch)?;
            for (name, array) in self.mark_columns(mark, tweak, &ids, batch)? {
                put(&mut columns, batch, name, array)?;
            }
        }
        let whole = || FingerprintError::Assembly { column: "*".to_string() };
        let marked = RecordBatch::try_new(batch.schema(), columns).map_err(|_| whole())?;
        match self.delivered(batch, &ids)? {
            None => Ok(marked),
            Some(delivered) => filter_record_batch(&marked, &delivered).map_err(|_| whole()),
        }
    }

    /// Whether a copy is told by [`Moves`]: all marks are in numbers, and no row is left out.
    pub fn is_told_by_moves(&self) -> bool {
        let are_numbers = self.marking.marks.iter().all(|mark| matches!(mark.carrier, Carrier::Number { .. }));
        are_numbers && self.marking.presence.is_none() && self.decoys.is_none()
    }

    /// The recipient's copy of a batch that is told by moves, and these, mark by mark.
    ///
    /// # Errors
    /// Those of [`Marker::mark`].
    pub fn mark_and_tell(&self, batch: &RecordBatch) -> Result<(RecordBatch, Vec<Moves>), FingerprintError> {
        let ids = self.secrets.ids_of_rows(batch, &self.marking.key)?;
        let mut moves = Vec::with_capacity(self.marking.marks.len());
        for (mark, tweak) in self.marking.marks.iter().zip(&self.tweaks) {
            let ids = ids_of(mark, self.secrets, &ids, batch)?;
            let drawing = Drawing { secrets: self.secrets, tweak: *tweak, rate: mark.rate, row_ids: &ids };
            moves.push(Moves::of(&ids, &self.moved(&Laid::over(mark, batch)?, &drawing)));
        }
        Ok((self.laid_by(batch, &moves)?, moves))
    }

    /// The recipient's copy of a batch by the moves that were told of the same rows; none where they are of other rows or marks.
    ///
    /// # Errors
    /// Those of [`Marker::mark`].
    pub fn mark_by(&self, batch: &RecordBatch, moves: &[Moves]) -> Result<Option<RecordBatch>, FingerprintError> {
        let (ends, rows) = (self.ends(batch)?, batch.num_rows());
        let are_of = ends.len() == moves.len() && ends.iter().zip(moves).all(|(ends, moves)| moves.are_of(rows, ends));
        if are_of { self.laid_by(batch, moves).map(Some) } else { Ok(None) }
    }

    /// What the positions of a batch's first and last rows hang on, mark by mark.
    fn ends(&self, batch: &RecordBatch) -> Result<Vec<[Block; 2]>, FingerprintError> {
        let mut ends = vec![[Block::default(); 2]; self.marking.marks.len()];
        let rows = batch.num_rows();
        for (place, row) in [0, rows.saturating_sub(1)].into_iter().enumerate() {
            let row = batch.slice(row, rows.min(1));
            let ids = self.secrets.ids_of_rows(&row, &self.marking.key)?;
            for (mark, ends) in self.marking.marks.iter().zip(&mut ends) {
                ends[place] = ids_of(mark, self.secrets, &ids, &row)?.first().copied().unwrap_or_default();
            }
        }
        Ok(ends)
    }

    fn laid_by(&self, batch: &RecordBatch, moves: &[Moves]) -> Result<RecordBatch, FingerprintError> {
        let unfit = || FingerprintError::Assembly { column: "*".to_string() };
        let mut columns = batch.columns().to_vec();
        for (mark, moves) in self.marking.marks.iter().zip(moves) {
            let laid = Laid::over(mark, batch)?;
            let reach = laid.even_reach().ok_or_else(unfit)?;
            for (column, reach) in laid.columns.iter().zip(reach) {
                let cells = moves.cells().map(|(row, is_up)| (row, if is_up { *reach } else { -reach }));
                put(&mut columns, batch, column.name, column.write(cells)?)?;
            }
        }
        RecordBatch::try_new(batch.schema(), columns).map_err(|_| unfit())
    }

    /// Which rows are the recipient's; none where all are.
    fn delivered(&self, batch: &RecordBatch, ids: &[Block]) -> Result<Option<BooleanArray>, FingerprintError> {
        let present = self.marking.presence.map(|presence| presence.delivered(self.secrets, ids, &self.recipient));
        let Some(column) = self.decoys else { return Ok(present) };
        let missing = || FingerprintError::ColumnMissing { column: column.to_string() };
        let decoys = batch.column_by_name(column).ok_or_else(missing)?;
        if decoys.null_count() == decoys.len() {
            return Ok(present);
        }
        let own = decoy::delivered(self.secrets, &self.marking.biases, ids, decoys, &self.recipient);
        Ok(Some(match present {
            None => own,
            Some(present) => and(&present, &own).map_err(|_| FingerprintError::Assembly { column: "*".to_string() })?,
        }))
    }

    fn mark_columns<'m>(
        &self,
        mark: &'m Mark,
        tweak: &Block,
        ids: &[Block],
        batch: &RecordBatch,
    ) -> Result<Vec<(&'m str, ArrayRef)>, FingerprintError> {
        let (names, laid) = (mark.columns(), Laid::over(mark, batch)?);
        let drawing = Drawing { secrets: self.secrets, tweak: *tweak, rate: mark.rate, row_ids: ids };
        let mut out = Vec::with_capacity(names.len());
        if let Some(reach) = laid.even_reach() {
            let moved = self.moved(&laid, &drawing);
            for ((column, name), reach) in laid.columns.iter().zip(names).zip(reach) {
                let moves = moved.iter().map(|(row, is_up)| (*row, if *is_up { *reach } else { -reach }));
                out.push((name, column.write(moves)?));
            }
            return Ok(out);
        }
        let (mut moves, mut replaced) = (vec![Vec::new(); laid.columns.len()], Vec::new());
        let (mut scratch, mut drawn) = (Scratch::new(), DrawnBits::new());
        for from in (0..ids.len()).step_by(CHUNK_BLOCKS) {
            laid.select(&drawing, from, &mut scratch);
            self.bits(scratch.selected.iter().map(|cell| (&cell.point, cell.position)), &mut drawn);
            for (cell, bit) in scratch.selected.iter().zip(&drawn.bits) {
                if let Some((one, zero)) = laid.alternatives(cell) {
                    replaced.push((cell.row, if *bit { one } else { zero }));
                    continue;
                }
                for (member, moves) in moves.iter_mut().enumerate() {
                    let reach = laid.reach(cell, member);
                    moves.push((cell.row, if *bit { reach } else { -reach }));
                }
            }
        }
        for ((column, name), moves) in laid.columns.iter().zip(names).zip(moves) {
            let array = match &column.units {
                Some(_) => column.write(moves.into_iter())?,
                None => replace(name, column.array, &replaced)?,
            };
            out.push((name, array));
        }
        Ok(out)
    }

    /// The rows of the cells that a mark in numbers moves, and whether upwards.
    fn moved(&self, laid: &Laid<'_>, drawing: &Drawing<'_>) -> Vec<(usize, bool)> {
        let mut moved = Vec::new();
        let (mut scratch, mut drawn) = (Scratch::new(), DrawnBits::new());
        for from in (0..drawing.row_ids.len()).step_by(CHUNK_BLOCKS) {
            let count = laid.draw(drawing, from, &mut scratch);
            self.bits(scratch.cells(count).map(|(_, point, secret)| (point, Position::read(secret))), &mut drawn);
            let cells = scratch.cells(count).zip(&drawn.bits);
            moved.extend(cells.map(|((row, _, secret), bit)| (row, *bit != Position::read(secret).reversed)));
        }
        moved
    }

    /// The bits of up to [`CHUNK_BLOCKS`] cells by their points and positions, of the recipient's code or, for a share of them, of
    /// the order's.
    fn bits<'c>(&self, cells: impl Iterator<Item = (&'c Block, Position)> + Clone, drawn: &mut DrawnBits) {
        let DrawnBits { points, orders, bits } = drawn;
        let is_of_order = |position: &Position| position.share < self.marking.order_share;
        let (mut count, mut order_count) = (0, 0);
        for ((point, position), own) in cells.clone().zip(&mut *points) {
            // Written first and counted after: the share is not to be guessed.
            (*own, orders[order_count]) = (*point, *point);
            order_count += usize::from(is_of_order(&position));
            count += 1;
        }
        self.recipient.draw(&mut points[..count]);
        self.order.draw(&mut orders[..order_count]);
        bits.clear();
        let mut order = 0;
        bits.extend(cells.zip(&*points).map(|((_, position), own)| {
            let of_order = is_of_order(&position);
            let drawn = if of_order { number(&orders[order]) } else { number(own) };
            order += usize::from(of_order);
            drawn < self.marking.biases.threshold(position.class)
        }));
    }
}

/// Puts a column in its place among those of a batch.
fn put(columns: &mut [ArrayRef], batch: &RecordBatch, name: &str, array: ArrayRef) -> Result<(), FingerprintError> {
    let index = batch.schema_ref().index_of(name);
    columns[index.map_err(|_| FingerprintError::ColumnMissing { column: name.to_string() })?] = array;
    Ok(())
}

/// The bits of one chunk's cells, and what they are drawn from: memory that is used again for the next.
struct DrawnBits {
    points: [Block; CHUNK_BLOCKS],
    /// Those of cells whose bit is the order's.
    orders: [Block; CHUNK_BLOCKS],
    bits: Vec<bool>,
}

impl DrawnBits {
    fn new() -> Self {
        Self {
            points: [Block::default(); CHUNK_BLOCKS],
            orders: [Block::default(); CHUNK_BLOCKS],
            bits: Vec::with_capacity(CHUNK_BLOCKS),
        }
    }
}

/// What a mark's positions hang on, row by row: the rows' ids, or those of the values of its columns for that.
pub(crate) fn ids_of<'i>(
    mark: &Mark,
    secrets: &PositionSecrets,
    rows: &'i [Block],
    batch: &RecordBatch,
) -> Result<Cow<'i, [Block]>, FingerprintError> {
    if mark.by.is_empty() {
        return Ok(Cow::Borrowed(rows));
    }
    Ok(Cow::Owned(secrets.ids_of_rows(batch, &mark.by)?))
}

/// One constant per mark, by its name.
pub(crate) fn tweaks(marking: &Marking, secrets: &PositionSecrets) -> Vec<Block> {
    marking.marks.iter().map(|mark| secrets.tweak("mark", &mark.name)).collect()
}

/// The threshold and channel of a position: what an observation needs of it.
pub(crate) fn law_of(position: &Position, biases: &BiasTable, order_share: u16) -> (u32, bool) {
    (biases.threshold(position.class), position.share < order_share)
}

fn replace(name: &str, array: &ArrayRef, cells: &[(usize, &str)]) -> Result<ArrayRef, FingerprintError> {
    let mut values = texts(name, array)?;
    for (row, text) in cells {
        values[*row] = Some(text);
    }
    Ok(match array.data_type() {
        DataType::LargeUtf8 => Arc::new(LargeStringArray::from(values)),
        DataType::Utf8View => Arc::new(StringViewArray::from(values)),
        _ => Arc::new(StringArray::from(values)),
    })
}
