//! The left side of a join of pairs, in blocks that fit into memory.

use arrow::array::{BooleanArray, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use datafusion::error::Result as DataFusionResult;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryReservation;
use futures::StreamExt;

use crate::execution::slice_bytes;

/// A batch of which the memory is larger than its rows by this factor holds on to rows of others, and is copied.
const SLACK: usize = 2;
const WORD_BITS: usize = 64;
/// Of the memory that a block could have, one part in so many is left to what is remembered of the right side.
const LEFT_OVER: usize = 16;

/// Which rows of a batch have met one of the other side: a bit for each.
#[derive(Debug)]
pub(super) struct Met {
    words: Vec<u64>,
    rows: usize,
}

impl Met {
    pub(super) fn of(rows: usize) -> Self {
        Self { words: vec![0; rows.div_ceil(WORD_BITS)], rows }
    }

    pub(super) fn bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    pub(super) fn has(&self, row: usize) -> bool {
        self.words.get(row / WORD_BITS).is_some_and(|word| (word >> (row % WORD_BITS)) & 1 == 1)
    }

    pub(super) fn set(&mut self, row: usize) {
        if let Some(word) = self.words.get_mut(row / WORD_BITS) {
            *word |= 1 << (row % WORD_BITS);
        }
    }

    /// Whether each row has met one.
    pub(super) fn marks(&self) -> BooleanArray {
        (0..self.rows).map(|row| Some(self.has(row))).collect()
    }

    /// The rows that have, or have not.
    pub(super) fn rows(&self, that_met: bool) -> UInt32Array {
        let rows = (0..self.rows).filter(|row| self.has(*row) == that_met);
        rows.filter_map(|row| u32::try_from(row).ok()).collect::<Vec<u32>>().into()
    }
}

/// Rows of the left side, and which of them have met one of the right.
#[derive(Debug)]
pub(super) struct Left {
    pub(super) batch: RecordBatch,
    pub(super) met: Met,
}

/// As much of the left side as fits.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) batches: Vec<Left>,
    /// Whether nothing of it is left.
    pub(super) is_last: bool,
}

/// The blocks one after another: each takes the memory of the one before.
pub(super) struct Blocks {
    input: SendableRecordBatchStream,
    memory: MemoryReservation,
    /// What did not fit into the block before, the next last.
    ahead: Vec<RecordBatch>,
}

impl Blocks {
    pub(super) fn new(input: SendableRecordBatchStream, memory: MemoryReservation) -> Self {
        Self { input, memory, ahead: Vec::new() }
    }

    /// The next block. Its predecessor is not there any more. A batch that does not fit alone is cut in two. Error: not even one row fits.
    pub(super) async fn next(&mut self) -> DataFusionResult<Block> {
        self.memory.free();
        let mut left_over = 0;
        let block = self.gather(&mut left_over).await?;
        self.memory.shrink(left_over);
        Ok(block)
    }

    async fn gather(&mut self, left_over: &mut usize) -> DataFusionResult<Block> {
        let mut batches = Vec::new();
        loop {
            let batch = match self.ahead.pop() {
                Some(batch) => batch,
                None => match self.input.next().await {
                    Some(batch) => compact(batch?)?,
                    None => return Ok(Block { batches, is_last: true }),
                },
            };
            if batch.num_rows() == 0 {
                continue;
            }
            let met = Met::of(batch.num_rows());
            let size = bytes(&batch).saturating_add(met.bytes());
            match self.memory.try_grow(size.saturating_add(size / LEFT_OVER)) {
                Ok(()) => {
                    *left_over += size / LEFT_OVER;
                    batches.push(Left { batch, met });
                }
                Err(_) if !batches.is_empty() => {
                    self.ahead.push(batch);
                    return Ok(Block { batches, is_last: false });
                }
                Err(_) if batch.num_rows() > 1 => {
                    let half = batch.num_rows() / 2;
                    self.ahead.push(compact(batch.slice(half, batch.num_rows() - half))?);
                    self.ahead.push(compact(batch.slice(0, half))?);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

fn bytes(batch: &RecordBatch) -> usize {
    usize::try_from(slice_bytes(batch)).unwrap_or(usize::MAX)
}

/// The same rows without those of others. No column is of views into the texts of others: none leaves a scan.
fn compact(batch: RecordBatch) -> DataFusionResult<RecordBatch> {
    let holds_others = batch.get_array_memory_size() > bytes(&batch).saturating_mul(SLACK);
    if batch.num_columns() == 0 || !holds_others {
        return Ok(batch);
    }
    let rows = u32::try_from(batch.num_rows()).unwrap_or(u32::MAX);
    Ok(take_record_batch(&batch, &UInt32Array::from_iter_values(0..rows))?)
}
