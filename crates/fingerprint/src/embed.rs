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
use crate::laid::{Drawing, Laid, Scratch, Selected, texts};
use crate::marking::{Mark, Marking};
use crate::prf::{Block, CHUNK_BLOCKS, PositionSecrets, RecipientCode, number};
use crate::row_key::RowKeys;

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
        let ids = self.secrets.row_ids(&RowKeys::of_columns(batch, &self.marking.key)?);
        let mut columns = batch.columns().to_vec();
        for (mark, tweak) in self.marking.marks.iter().zip(&self.tweaks) {
            let ids = ids_of(mark, self.secrets, &ids, batch)?;
            for (name, array) in self.mark_columns(mark, tweak, &ids, batch)? {
                let index = batch.schema_ref().index_of(name);
                columns[index.map_err(|_| FingerprintError::ColumnMissing { column: name.to_string() })?] = array;
            }
        }
        let whole = || FingerprintError::Assembly { column: "*".to_string() };
        let marked = RecordBatch::try_new(batch.schema(), columns).map_err(|_| whole())?;
        match self.delivered(batch, &ids)? {
            None => Ok(marked),
            Some(delivered) => filter_record_batch(&marked, &delivered).map_err(|_| whole()),
        }
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
        let names = mark.columns();
        let laid = Laid::over(mark, batch)?;
        let mut moves =
            vec![vec![0i64; ids.len()]; if laid.columns[0].units.is_some() { laid.columns.len() } else { 0 }];
        let mut replaced = Vec::new();
        let drawing = Drawing { secrets: self.secrets, tweak: *tweak, rate: mark.rate, row_ids: ids };
        let (mut scratch, mut bits) = (Scratch::new(), Vec::with_capacity(CHUNK_BLOCKS));
        for from in (0..ids.len()).step_by(CHUNK_BLOCKS) {
            laid.select(&drawing, from, &mut scratch);
            self.bits(&scratch.selected, &mut bits);
            let cells = || scratch.selected.iter().zip(&bits);
            for (member, moves) in moves.iter_mut().enumerate() {
                for (cell, bit) in cells() {
                    let reach = laid.reach(cell, member);
                    moves[cell.row] = if *bit { reach } else { -reach };
                }
            }
            for (cell, bit) in cells() {
                let Some((one, zero)) = laid.alternatives(cell) else {
                    break; // No category.
                };
                replaced.push((cell.row, if *bit { one } else { zero }));
            }
        }
        let mut out = Vec::with_capacity(names.len());
        for (member, (column, name)) in laid.columns.iter().zip(names).enumerate() {
            let array = match &column.units {
                Some(units) => units.write(name, column.array, &column.values, &moves[member])?,
                None => replace(name, column.array, &replaced)?,
            };
            out.push((name, array));
        }
        Ok(out)
    }

    /// The bits of selected cells, of the recipient's code or, for a share of them, of the order's.
    fn bits(&self, selected: &[Selected], bits: &mut Vec<bool>) {
        bits.clear();
        let mut points = [Block::default(); CHUNK_BLOCKS];
        let mut orders = [Block::default(); CHUNK_BLOCKS];
        let mut order_count = 0;
        for (at, cell) in selected.iter().enumerate() {
            points[at] = cell.point;
            if cell.position.share < self.marking.order_share {
                orders[order_count] = cell.point;
                order_count += 1;
            }
        }
        self.recipient.draw(&mut points[..selected.len()]);
        self.order.draw(&mut orders[..order_count]);
        let mut orders = orders.iter();
        for (cell, own) in selected.iter().zip(&points) {
            let of_order = cell.position.share < self.marking.order_share;
            let drawn = if of_order { orders.next().unwrap_or(own) } else { own };
            bits.push(number(drawn) < self.marking.biases.threshold(cell.position.class));
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
    Ok(Cow::Owned(secrets.row_ids(&RowKeys::of_columns(batch, &mark.by)?)))
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
