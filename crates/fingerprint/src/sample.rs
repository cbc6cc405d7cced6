//! Some rows of a table that is read batch by batch, evenly from all of it.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray as _, BooleanArray, RecordBatch};
use arrow::compute::{concat_batches, filter_record_batch};
use arrow::datatypes::DataType;

use crate::error::FingerprintError;

/// Most bytes that are kept: past it, fewer rows are.
const BYTES_MAX: usize = 1 << 30;

/// Rows that are kept: all, until there are too many; then those whose number is below a threshold that is halved. Which they are
/// hangs on a row's place in the order of reading alone.
pub(crate) struct Sample {
    rows_max: usize,
    bytes_max: usize,
    seen: u64,
    threshold: u64,
    batches: Vec<(RecordBatch, Vec<u64>)>,
    rows: usize,
    bytes: usize,
}

impl Sample {
    /// Of at most so many rows.
    pub(crate) fn of(rows_max: usize) -> Self {
        let (seen, threshold, batches) = (0, u64::MAX, Vec::new());
        Self { rows_max, bytes_max: BYTES_MAX, seen, threshold, batches, rows: 0, bytes: 0 }
    }

    /// How many rows were read.
    pub(crate) fn rows_read(&self) -> u64 {
        self.seen
    }

    /// Takes in further rows of the table.
    ///
    /// # Errors
    /// [`FingerprintError::Assembly`].
    pub(crate) fn add(&mut self, batch: &RecordBatch) -> Result<(), FingerprintError> {
        let places: Vec<u64> = (self.seen..).take(batch.num_rows()).collect();
        self.seen += batch.num_rows() as u64;
        let (batch, places) = self.kept(batch, places)?;
        if !places.is_empty() {
            self.rows += batch.num_rows();
            self.bytes += batch.get_array_memory_size();
            self.batches.push((batch, places));
        }
        while self.rows > self.rows_max || (self.bytes > self.bytes_max && self.rows > 1) {
            self.thin()?;
        }
        Ok(())
    }

    fn thin(&mut self) -> Result<(), FingerprintError> {
        self.threshold /= 2;
        let batches = std::mem::take(&mut self.batches);
        (self.rows, self.bytes) = (0, 0);
        for (batch, places) in batches {
            let (batch, places) = self.kept(&batch, places)?;
            if !places.is_empty() {
                self.rows += batch.num_rows();
                self.bytes += batch.get_array_memory_size();
                self.batches.push((batch, places));
            }
        }
        Ok(())
    }

    /// What stays of some rows, in memory of its own.
    fn kept(&self, batch: &RecordBatch, places: Vec<u64>) -> Result<(RecordBatch, Vec<u64>), FingerprintError> {
        let stays: Vec<bool> = places.iter().map(|place| scattered(*place) <= self.threshold).collect();
        let places = places.into_iter().zip(&stays).filter(|(_, stays)| **stays).map(|(place, _)| place).collect();
        let batch = filter_record_batch(batch, &BooleanArray::from(stays)).map_err(|_| assembly())?;
        let columns = batch.columns().iter().map(of_its_own).collect();
        Ok((RecordBatch::try_new(batch.schema(), columns).map_err(|_| assembly())?, places))
    }

    /// The rows, with the share of all rows that they are; none where nothing was read.
    ///
    /// # Errors
    /// [`FingerprintError::Assembly`].
    pub(crate) fn finish(self) -> Result<Option<(RecordBatch, f64)>, FingerprintError> {
        let batches: Vec<RecordBatch> = self.batches.into_iter().map(|(batch, _)| batch).collect();
        let Some(first) = batches.first() else { return Ok(None) };
        let joined = concat_batches(&first.schema(), &batches).map_err(|_| assembly())?;
        let share = joined.num_rows() as f64 / self.seen.max(1) as f64;
        Ok(Some((joined, share)))
    }
}

/// Texts that are seen through a window keep all that it looks into.
fn of_its_own(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        DataType::Utf8View => Arc::new(array.as_string_view().gc()),
        DataType::BinaryView => Arc::new(array.as_binary_view().gc()),
        _ => Arc::clone(array),
    }
}

fn assembly() -> FingerprintError {
    FingerprintError::Assembly { column: "*".to_owned() }
}

/// A number that hangs on a row's place alone and is spread evenly (the finaliser of SplitMix64).
pub(crate) fn scattered(place: u64) -> u64 {
    let mut z = place.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use arrow::array::{Int64Array, StringViewArray};
    use arrow::datatypes::Int64Type;

    use super::*;

    fn part(rows: std::ops::Range<i64>) -> RecordBatch {
        let texts = rows.clone().map(|row| format!("a text of more than twelve bytes {row}"));
        RecordBatch::try_from_iter([
            ("id", Arc::new(Int64Array::from_iter_values(rows)) as ArrayRef),
            ("text", Arc::new(StringViewArray::from_iter_values(texts))),
        ])
        .unwrap()
    }

    fn sampled(rows: i64, at_once: usize, sample: Sample) -> (Vec<i64>, f64) {
        let mut sample = sample;
        for from in (0..rows).step_by(at_once) {
            sample.add(&part(from..rows.min(from + at_once as i64))).unwrap();
        }
        assert_eq!(sample.rows_read(), rows.unsigned_abs());
        let (batch, share) = sample.finish().unwrap().unwrap();
        (batch.column(0).as_primitive::<Int64Type>().values().to_vec(), share)
    }

    #[test]
    fn few_rows_are_all_kept_and_of_many_some_from_everywhere() {
        let (all, share) = sampled(900, 77, Sample::of(1_000));
        assert_eq!((all, share), ((0..900).collect(), 1.0));
        let (some, share) = sampled(20_000, 512, Sample::of(1_000));
        assert!((300..=1_000).contains(&some.len()), "{}", some.len());
        assert_eq!(share, some.len() as f64 / 20_000.0);
        for tenth in 0..10 {
            let there = some.iter().filter(|row| **row / 2_000 == tenth).count();
            assert!((some.len() / 20..some.len() / 5).contains(&there), "{there} of {}", some.len());
        }
        // Whatever batches they come in, they are the same.
        assert_eq!(sampled(20_000, 4_096, Sample::of(1_000)).0, some);
        assert!(Sample::of(9).finish().unwrap().is_none());
    }

    #[test]
    fn rows_of_many_bytes_are_thinned_too() {
        let small = Sample { bytes_max: 64 << 10, ..Sample::of(1_000_000) };
        let (some, _) = sampled(20_000, 512, small);
        assert!((100..2_000).contains(&some.len()), "{}", some.len());
    }
}
