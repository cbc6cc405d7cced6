//! One reading of the originals that keeps what columns are told by: how often the fragment's sampled values occur in each
//! column, and a sample of rows. Memory hangs on the number of columns and on constants, not on the number of rows.

use arrow::array::RecordBatch;

use super::by_digest::ByDigest;
use super::cell::{Cells, EMPTY, mix};
use super::{COLUMNS_MAX, Originals, Stage, Watch};
use crate::align::cell::Reading;
use crate::error::FingerprintError;

/// The most rows of the originals that are kept as a sample.
const SAMPLE_ROWS_MAX: usize = 32_768;

/// What the originals look like.
#[derive(Debug, Default)]
pub(crate) struct Sketch {
    pub(crate) names: Vec<String>,
    pub(crate) rows: u64,
    /// For each column: how many cells are not empty, and how often each asked value occurs.
    pub(crate) present: Vec<u64>,
    pub(crate) counts: Vec<Vec<u32>>,
    /// For each column the sampled rows' cells, the same rows in all.
    pub(crate) sample: Vec<Cells>,
}

impl Sketch {
    /// Reads all originals once.
    pub(crate) fn read(
        originals: &dyn Originals,
        asked: &ByDigest<u32>,
        watch: &mut Watch<'_>,
    ) -> Result<Self, FingerprintError> {
        let mut sketch = Self::default();
        // A row is kept when a number made of its place is below the limit, which halves whenever too many are kept.
        let mut limit = u64::MAX;
        let mut places: Vec<u64> = Vec::new();
        originals.visit(&mut |batch: &RecordBatch| {
            sketch.begin(batch, asked.len())?;
            let from = sketch.rows;
            let kept: Vec<usize> = (0..batch.num_rows()).filter(|row| mix(1, from + *row as u64) <= limit).collect();
            places.extend(kept.iter().map(|row| mix(1, from + *row as u64)));
            for (column, array) in batch.columns().iter().enumerate() {
                let cells = Cells::read(array, Reading::Plain, 1.0);
                let counts = &mut sketch.counts[column];
                for digest in cells.digests.iter().filter(|digest| **digest != EMPTY) {
                    sketch.present[column] += 1;
                    if let Some(count) = asked.get(digest).and_then(|id| counts.get_mut(*id as usize)) {
                        *count = count.saturating_add(1);
                    }
                }
                let sample = &mut sketch.sample[column];
                sample.numbers.extend(kept.iter().map(|row| cells.numbers[*row]));
                sample.digests.extend(kept.iter().map(|row| cells.digests[*row]));
            }
            sketch.rows += batch.num_rows() as u64;
            while places.len() > SAMPLE_ROWS_MAX {
                limit /= 2;
                for sample in &mut sketch.sample {
                    let mut at = places.iter();
                    sample.numbers.retain(|_| at.next().is_some_and(|place| *place <= limit));
                    let mut at = places.iter();
                    sample.digests.retain(|_| at.next().is_some_and(|place| *place <= limit));
                }
                places.retain(|place| *place <= limit);
            }
            watch.tell(Stage::Columns, sketch.rows)
        })?;
        Ok(sketch)
    }

    fn begin(&mut self, batch: &RecordBatch, asked: usize) -> Result<(), FingerprintError> {
        let columns = batch.num_columns();
        if columns > COLUMNS_MAX {
            return Err(FingerprintError::TooMany { what: "columns of the originals", count_max: COLUMNS_MAX });
        }
        if self.names.is_empty() {
            self.names = batch.schema_ref().fields().iter().map(|field| field.name().clone()).collect();
            self.present = vec![0; columns];
            self.counts = vec![vec![0; asked]; columns];
            self.sample = vec![Cells::default(); columns];
        }
        let same = self.names.len() == columns
            && self.names.iter().zip(batch.schema_ref().fields()).all(|(name, field)| name == field.name());
        if same { Ok(()) } else { Err(FingerprintError::Assembly { column: "*".to_string() }) }
    }
}
