//! Whether a table's keys leave room for rows that do not exist.
//!
//! A few decoys are tried as they would be laid, by a secret that is none. Rows to make them of are an even sample, since any do;
//! the ends between which keys lie, and which keys there are, are those of all rows: of a part of them every table has gaps.

use arrow::array::{RecordBatch, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::SchemaRef;
use lingqu_domain::scope::ColumnName;
use lingqu_fingerprint::FingerprintError;

use super::assembly;
use super::invent::{Taken, Try, asked, chosen};
use super::keys::Twisted;
use super::lots::Lots;

/// Decoys that are tried.
const TRIED: usize = 32;
/// Most rows of the sample.
const SAMPLE_ROWS_MAX: usize = 50_000;
/// Nobody's secret: what is tried is laid nowhere.
const SECRET: [u8; 32] = [0; 32];

/// The first of two readings of a table, which tells between which ends its keys lie.
pub struct Room {
    key: Vec<String>,
    twisted: Option<Twisted>,
    schema: Option<SchemaRef>,
    /// Every so many-th row.
    sample: Vec<RecordBatch>,
    sampled: usize,
    stride: u64,
    rows: u64,
}

impl std::fmt::Debug for Room {
    /// Without a row.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Room").field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl Room {
    /// Begins, for a table with this key.
    pub fn new(key: &[ColumnName]) -> Room {
        let key = key.iter().map(ColumnName::to_string).collect();
        Room { key, twisted: None, schema: None, sample: Vec::new(), sampled: 0, stride: 1, rows: 0 }
    }

    /// Takes in some rows, all columns of the table. Error: its key is none that marks hang on.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), FingerprintError> {
        if self.schema.is_none() {
            let type_of = |column: &str| rows.column_by_name(column).map(|array| array.data_type().clone());
            self.twisted = Twisted::of(&self.key, &type_of);
            self.schema = Some(rows.schema());
        }
        if let Some(twisted) = &mut self.twisted {
            twisted.meet(rows)?;
        }
        self.keep(rows)
    }

    /// Keeps every so many-th row, and every other one of these whenever they are too many.
    fn keep(&mut self, rows: &RecordBatch) -> Result<(), FingerprintError> {
        let (from, to) = (self.rows, self.rows + rows.num_rows() as u64);
        let stride = usize::try_from(self.stride).unwrap_or(usize::MAX);
        let kept: Vec<u64> = (from.next_multiple_of(self.stride)..to).step_by(stride).map(|row| row - from).collect();
        self.rows = to;
        self.sampled += kept.len();
        self.sample.push(take_record_batch(rows, &UInt64Array::from(kept)).map_err(|_| assembly())?);
        while self.sampled > SAMPLE_ROWS_MAX {
            let whole = concat_batches(&rows.schema(), &self.sample).map_err(|_| assembly())?;
            let others = UInt64Array::from_iter_values((0..whole.num_rows() as u64).step_by(2));
            let half = take_record_batch(&whole, &others).map_err(|_| assembly())?;
            self.sampled = half.num_rows();
            self.sample = vec![half];
            self.stride *= 2;
        }
        Ok(())
    }

    /// Tries decoys; none where there is no row. Error: the key is none that marks hang on.
    pub fn finish(self) -> Result<Option<RoomTried>, FingerprintError> {
        let Room { key, twisted, schema, sample, sampled, .. } = self;
        let Some(schema) = schema else { return Ok(None) };
        let lots = Lots::of(&SECRET);
        let asked = asked(&sample, &schema, &key, sampled as u64, TRIED, &lots, twisted)?;
        Ok(asked.map(|(_, tries)| RoomTried { taken: Taken::of(&tries), key, lots, tries }))
    }
}

/// The second reading, which tells which of the keys that were tried a row has.
pub struct RoomTried {
    key: Vec<String>,
    lots: Lots,
    tries: Vec<Try>,
    taken: Taken,
}

impl std::fmt::Debug for RoomTried {
    /// Without a key.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RoomTried").field("key", &self.key).finish_non_exhaustive()
    }
}

impl RoomTried {
    /// Takes in some rows, the columns of the key at least. Error: the key is none that marks hang on.
    pub fn add(&mut self, rows: &RecordBatch) -> Result<(), FingerprintError> {
        self.taken.meet(&self.lots, &self.key, rows)
    }

    /// Whether the keys of all rows leave room for others: of the decoys that were tried most could be laid.
    pub fn leaves_room(self) -> bool {
        2 * chosen(TRIED, &self.tries, self.taken).len() > TRIED
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array};

    use super::*;

    fn leaves_room(ids: impl Iterator<Item = i64>, batch_rows: usize) -> Option<bool> {
        let ids: Vec<i64> = ids.collect();
        let key = [ColumnName::new("id").unwrap()];
        let batches: Vec<RecordBatch> = ids
            .chunks(batch_rows)
            .map(|ids| {
                let id: ArrayRef = Arc::new(Int64Array::from(ids.to_vec()));
                let load: ArrayRef = Arc::new(ids.iter().map(|id| Some(id * 31 % 977)).collect::<Int64Array>());
                RecordBatch::try_from_iter_with_nullable([("id", id, true), ("load", load, true)]).unwrap()
            })
            .collect();
        let mut room = Room::new(&key);
        batches.iter().for_each(|batch| room.add(batch).unwrap());
        assert!(room.sampled <= SAMPLE_ROWS_MAX && room.sampled * 4 >= ids.len().min(SAMPLE_ROWS_MAX));
        let mut tried = room.finish().unwrap()?;
        batches.iter().for_each(|batch| tried.add(&batch.project(&[0]).unwrap()).unwrap());
        Some(tried.leaves_room())
    }

    #[test]
    fn a_full_table_has_no_room_however_large_it_is_and_however_it_comes() {
        let rows = SAMPLE_ROWS_MAX as i64 * 5 / 2;
        for batch_rows in [700, 8_192] {
            // The first rows that come, and every fourth of them, have gaps between that later ones fill.
            let scattered = (0..rows).map(|row| row * 7_919 % rows);
            assert_eq!(leaves_room(scattered, batch_rows), Some(false));
            let sparse = (0..rows).map(|row| row * 7_919 % rows).filter(|id| id % 3 != 0);
            assert_eq!(leaves_room(sparse, batch_rows), Some(true));
            // Full where it begins, and nowhere else.
            let later = (0..rows).map(|row| if row < rows / 4 { row } else { row * 5 });
            assert_eq!(leaves_room(later, batch_rows), Some(true));
        }
        assert_eq!(leaves_room(std::iter::empty(), 10), None);
        assert_eq!(leaves_room(0..300, 10), Some(false));
    }
}
