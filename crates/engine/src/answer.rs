//! Answers: drawn part by part, and the law that a part's rows are named before anything of it goes on.

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, RecordBatchOptions};
use arrow::datatypes::{Int64Type, SchemaRef};
use futures::Stream;
use futures::future::{Either, select};
use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::privacy::Rho;
use roaring::RoaringTreemap;
use tokio::runtime::Handle;

use crate::engine::Place;
use crate::execution::{EngineError, LimitedBatches, slice_bytes};
use crate::export::ExportError;
use crate::rows_left::{RowsExactness, RowsLeft};

/// Most rows of one part, but for what a last batch brings beyond it.
const PART_ROWS_MAX: usize = 131_072;
/// Most bytes of one part in Arrow's form, but for what a last batch brings beyond it.
const PART_BYTES_MAX: u64 = 24 << 20;

/// Batches that may leave once the receipt names their rows.
#[derive(Debug, Default)]
pub struct AnswerPart {
    /// The rows of the answer, in order; the last part may have none.
    pub batches: Vec<RecordBatch>,
    /// Numbers of rows, by table, that no earlier part of this answer named.
    pub rows: BTreeMap<String, RoaringTreemap>,
    /// Bytes of the batches in Arrow's form.
    bytes: u64,
}

impl AnswerPart {
    fn of(batch: RecordBatch, rows: BTreeMap<String, RoaringTreemap>) -> AnswerPart {
        AnswerPart { bytes: slice_bytes(&batch), batches: vec![batch], rows }
    }

    /// How many rows of the answer the part has.
    pub fn answer_rows(&self) -> u64 {
        self.batches.iter().map(|batch| batch.num_rows() as u64).sum()
    }

    /// True of a part that names nothing and has no row of the answer.
    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty() && self.rows.is_empty()
    }

    pub(crate) fn append(&mut self, next: AnswerPart) {
        self.batches.extend(next.batches);
        self.bytes += next.bytes;
        for (table, rows) in next.rows {
            *self.rows.entry(table).or_default() |= rows;
        }
    }

    pub(crate) fn is_full(&self) -> bool {
        self.answer_rows() >= PART_ROWS_MAX as u64 || self.bytes >= PART_BYTES_MAX
    }
}

/// An answer being drawn. Dropping it stops the query.
pub struct Answer {
    pub(crate) schema: SchemaRef,
    pub(crate) exactness: RowsExactness,
    pub(crate) groups_suppressed: u64,
    pub(crate) rho_spent: Option<Rho>,
    pub(crate) lineage: AnswerLineage,
    pub(crate) is_explained: bool,
    pub(crate) canonical: String,
    pub(crate) batches: Option<LimitedBatches>,
    pub(crate) left: RowsLeft,
    /// The table whose row number is the last column of each batch.
    pub(crate) carried_from: Option<String>,
    pub(crate) sampling_weight: Option<f64>,
    /// Where the engine computes.
    pub(crate) threads: Handle,
    pub(crate) _place: Place,
}

impl Answer {
    /// The schema of every batch.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// What the named rows are.
    pub fn rows_exactness(&self) -> RowsExactness {
        self.exactness
    }

    /// Groups left out because they are too small or dominated, or would tell of such a group.
    pub fn groups_suppressed(&self) -> u64 {
        self.groups_suppressed
    }

    /// For statistics with noise what the answer cost of each privacy account: nothing when it was given before.
    pub fn rho_spent(&self) -> Option<Rho> {
        self.rho_spent
    }

    /// From which columns of the session's table its values are made, and by which its rows are chosen.
    pub fn lineage(&self) -> &AnswerLineage {
        &self.lineage
    }

    /// The canonical form of the statement: printed as it was parsed, its parameters written into it.
    pub fn canonical(&self) -> &str {
        &self.canonical
    }

    /// True for the text of a plan, which is no data.
    pub fn is_explained(&self) -> bool {
        self.is_explained
    }

    /// How many rows of the whole each row stands for, where the recipient's copy lacks a share of them.
    pub fn sampling_weight(&self) -> Option<f64> {
        self.sampling_weight
    }

    /// All rows named so far, by table.
    pub fn rows_left(&self) -> BTreeMap<String, RoaringTreemap> {
        self.left.total()
    }

    /// The next batch as a part of its own; nothing at the end and after an error. At the end, rows that left a governed
    /// table without bearing on any batch are named by a last part without rows. Who stops waiting loses nothing.
    pub async fn next(&mut self) -> Option<Result<AnswerPart, EngineError>> {
        let batches = self.batches.as_mut()?;
        match batches.next().await {
            Some(Ok(batch)) => Some(Ok(self.part_of(batch))),
            Some(Err(error)) => {
                self.batches = None;
                Some(Err(error))
            }
            None => {
                self.batches = None;
                let rows = self.left.take_untold();
                if rows.is_empty() {
                    return None;
                }
                Some(Ok(AnswerPart { rows, ..AnswerPart::default() }))
            }
        }
    }

    /// Draws the whole answer. For answers known to be small, and for tests.
    pub async fn collect(mut self) -> Result<(Vec<RecordBatch>, BTreeMap<String, RoaringTreemap>), EngineError> {
        let mut batches = Vec::new();
        while let Some(part) = self.next().await {
            batches.extend(part?.batches.into_iter().filter(|batch| batch.num_rows() > 0));
        }
        Ok((batches, self.rows_left()))
    }

    fn part_of(&self, batch: RecordBatch) -> AnswerPart {
        let Some(table) = &self.carried_from else {
            return AnswerPart::of(batch, self.left.take_untold());
        };
        let mut columns = batch.columns().to_vec();
        let numbers = columns.pop().expect("a carrying plan ends in the row number");
        let rows = self.left.tell(table, numbers.as_primitive::<Int64Type>().values());
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let batch = RecordBatch::try_new_with_options(self.schema(), columns, &options)
            .expect("the schema is that of the batch without its last column");
        AnswerPart::of(batch, rows)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Answer").field("exactness", &self.exactness).finish_non_exhaustive()
    }
}

/// The law of every delivery: `hook` gets each part before any of its batches is yielded and says, by returning, that the
/// part's rows are named durably; its error ends the stream.
///
/// While one part is being named the next is gathered: what comes in that time, at most [`PART_ROWS_MAX`] rows or
/// [`PART_BYTES_MAX`] bytes. So a quick answer has few parts, and a slow one never waits for more
/// than its next batch. The first part is the first batch.
pub fn named<H, F, E>(
    mut answer: Answer,
    mut hook: H,
) -> impl Stream<Item = Result<Vec<RecordBatch>, ExportError<E>>> + Send
where
    H: FnMut(&AnswerPart) -> F + Send,
    F: Future<Output = Result<(), E>> + Send,
    E: Send,
{
    async_stream::try_stream! {
        let mut pending = answer.next().await.transpose()?;
        while let Some(part) = pending.take() {
            let naming = hook(&part);
            let (durable, next) = gather_during(naming, &mut answer).await;
            durable.map_err(ExportError::Hook)?;
            yield part.batches;
            pending = next?;
        }
    }
}

/// Gathers the next part until `naming` is done and there is something in it, or until it is full.
async fn gather_during<E>(
    naming: impl Future<Output = Result<(), E>>,
    answer: &mut Answer,
) -> (Result<(), E>, Result<Option<AnswerPart>, EngineError>) {
    let mut naming = pin!(naming);
    let mut durable = None;
    let mut gathered: Option<AnswerPart> = None;
    let next = loop {
        let is_enough = match &gathered {
            Some(part) => part.is_full() || durable.is_some(),
            None => false,
        };
        if is_enough {
            break Ok(gathered);
        }
        let drawn = if durable.is_some() {
            answer.next().await
        } else {
            match select(naming.as_mut(), pin!(answer.next())).await {
                // What can't be named ends the answer at once.
                Either::Left((Err(refused), _)) => return (Err(refused), Ok(None)),
                Either::Left((done, _)) => {
                    durable = Some(done);
                    continue;
                }
                Either::Right((drawn, _)) => drawn,
            }
        };
        match drawn {
            Some(Ok(part)) => match &mut gathered {
                Some(gathered) => gathered.append(part),
                None => gathered = Some(part),
            },
            Some(Err(error)) => break Err(error),
            None => break Ok(gathered),
        }
    };
    let durable = match durable {
        Some(durable) => durable,
        None => naming.await,
    };
    (durable, next)
}
