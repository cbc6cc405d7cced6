//! Answers as batches of Arrow, for the protocols that carry typed values: Flight SQL and PostgreSQL.
//!
//! They take the same path as bytes. A statement may have parameters, and it can be described before it is asked.

use std::pin::Pin;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::scalar::ScalarValue;
use futures::{Stream, StreamExt};
use lingqu_app::AppError;
use lingqu_domain::answer::AnswerSalt;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::export::ExportError;
use lingqu_engine::session::{Answer, named, told};
use lingqu_engine::{Limits, RowsExactness};

use super::digest::ValuesHasher;
use super::privacy::PrivacyTold;
use super::stream::{Begun, Drawn, Hook, Piece, Pieces, Question};
use super::{Admission, Cut, Deliveries};
use crate::encode::JsonHead;
use crate::error::GatewayError;

pub use lingqu_engine::session::Described;

/// Most bytes of a batch that is handed over, so that a slow client still takes one before patience ends and no message
/// grows past what clients take. Batches are cut by rows, so one row may be larger.
const BATCH_BYTES_MAX: u64 = 1024 * 1024;

/// An answer to draw as batches.
#[derive(Clone, Debug)]
pub struct BatchRequest {
    /// The mode: rows, statistics, lookup or file.
    pub mode: Mode,
    /// The statement over the product's table.
    pub sql: String,
    /// Values of its parameters.
    pub parameters: Vec<ScalarValue>,
    /// What was asked, for the vault.
    pub request: String,
    /// What it may use.
    pub limits: Limits,
}

/// The batches of an answer. An error ends them and says by its code why; what came before it is incomplete.
pub type Batches = Pin<Box<dyn Stream<Item = Result<RecordBatch, Cut>> + Send>>;

/// An answer whose opening record is durable and whose first batch is there.
pub struct StreamedBatches {
    /// The receipt.
    pub receipt: ReceiptId,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// The schema of every batch: exactly what [`Deliveries::describe`] tells of the same statement.
    pub schema: SchemaRef,
    /// Whether the receipt names exactly the rows of the answer.
    pub exactness: RowsExactness,
    /// Groups that were left out because they were smaller than the cohort floor.
    pub groups_suppressed: u64,
    /// For statistics with noise, their price.
    pub privacy: Option<PrivacyTold>,
    /// The salt of the digest that its receipt will have of the values.
    pub answer_salt: AnswerSalt,
    /// The batches, none of them without rows.
    pub batches: Batches,
}

impl std::fmt::Debug for StreamedBatches {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("StreamedBatches").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl Piece for RecordBatch {
    type Hasher = ValuesHasher;

    /// The bytes of the values in Arrow's form; of a slice its own part alone.
    fn bytes(&self) -> u64 {
        let mut bytes = 0;
        for column in self.columns() {
            bytes += column.to_data().get_slice_memory_size().unwrap_or(0) as u64;
        }
        bytes
    }
}

impl Deliveries {
    /// Begins an answer in batches. Everything is as for [`Deliveries::stream`]; the bytes of its receipt are those of the
    /// batches' values in Arrow's form, whatever the protocol makes of them. In lookup mode the statement must ask for the
    /// row of one key ([`Deliveries::keyed_batches`]). Errors: `mode_not_granted`, the refusals of statements.
    pub async fn batches(&self, admission: &Admission, request: BatchRequest) -> Result<StreamedBatches, GatewayError> {
        if request.mode == Mode::Lookup {
            return self.keyed_batches(admission, request).await;
        }
        let BatchRequest { mode, sql, parameters, request, limits } = request;
        let question = Question { mode, sql, parameters, request, limits, pays_for: None };
        let mut schema = None;
        let written = |answer: Answer, _head: &JsonHead<'_>, hook: Hook| -> Pieces<RecordBatch> {
            let told = told(&answer.schema());
            schema = Some(SchemaRef::clone(&told));
            Box::pin(drawn(answer, told, hook))
        };
        let Begun { receipt, nature, exactness, groups_suppressed, privacy, answer_salt, pieces } =
            self.begin(admission, question, written).await?;
        let schema = schema.expect("what has begun was written");
        let batches = pieces;
        Ok(StreamedBatches { receipt, nature, schema, exactness, groups_suppressed, privacy, answer_salt, batches })
    }

    /// What a statement would answer: its columns and the types of its parameters. It is planned and checked; nothing is
    /// read, nothing is charged and no receipt is left. Errors: `mode_not_granted`, the refusals of statements.
    pub async fn describe(&self, admission: &Admission, mode: Mode, sql: &str) -> Result<Described, GatewayError> {
        let session = admission.serving.session(mode, Admission::limits(mode))?;
        Ok(session.describe(sql, None).await?)
    }

    /// The same for a statement whose parameters have values: the schema is exactly that of its answer. In lookup mode a
    /// statement that asks for anything but the row of one key is refused here already.
    pub async fn describe_bound(
        &self,
        admission: &Admission,
        mode: Mode,
        sql: &str,
        parameters: &[ScalarValue],
    ) -> Result<SchemaRef, GatewayError> {
        let session = admission.serving.session(mode, Admission::limits(mode))?;
        if mode == Mode::Lookup {
            return Ok(self.keyed_statement(admission, sql, parameters).await?.schema);
        }
        Ok(session.describe(sql, Some(parameters)).await?.schema)
    }
}

impl Admission {
    /// The mode by which a statement of a batch protocol is answered: `wanted`, or else the first of rows, statistics and
    /// lookup that is granted. Errors: `mode_not_granted`; `statements_not_granted` where no granted mode answers one.
    pub fn batch_mode(&self, wanted: Option<Mode>) -> Result<Mode, GatewayError> {
        let granted = &self.serving.grant.scope.modes;
        if let Some(mode) = wanted {
            self.serving.must_allow(mode)?;
            return Ok(mode);
        }
        for mode in [Mode::Rows, Mode::Statistics, Mode::Lookup] {
            if granted.contains(&mode) {
                self.serving.must_allow(mode)?;
                return Ok(mode);
            }
        }
        Err(GatewayError::StatementsNotGranted {
            product: self.serving.details.table.to_string(),
            modes: granted.iter().map(|mode| mode.code().to_owned()).collect(),
        })
    }
}

/// The batches of an answer under the law of exports: none goes on before the hook has named its rows.
fn drawn(
    answer: Answer,
    schema: SchemaRef,
    hook: Hook,
) -> impl Stream<Item = Result<Drawn<RecordBatch>, ExportError<AppError>>> + Send {
    named(answer, hook).flat_map(move |batches| {
        let pieces: Vec<_> = match batches {
            Ok(batches) => batches.iter().flat_map(|batch| cut_small(batch, &schema)).map(counted).map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        futures::stream::iter(pieces)
    })
}

fn counted(piece: RecordBatch) -> Drawn<RecordBatch> {
    Drawn { rows: piece.num_rows() as u64, piece, behind: 0 }
}

/// A batch in pieces of about [`BATCH_BYTES_MAX`], under the schema that is told. Values are shared, not copied.
fn cut_small(batch: &RecordBatch, schema: &SchemaRef) -> Vec<RecordBatch> {
    let rows = batch.num_rows();
    if rows == 0 {
        return Vec::new();
    }
    let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
    let batch = RecordBatch::try_new_with_options(SchemaRef::clone(schema), batch.columns().to_vec(), &options)
        .expect("the schema is the batch's own, with every column nullable");
    let count = usize::try_from(batch.bytes().div_ceil(BATCH_BYTES_MAX)).unwrap_or(rows).clamp(1, rows);
    let rows_each = rows.div_ceil(count);
    (0..rows).step_by(rows_each).map(|from| batch.slice(from, rows_each.min(rows - from))).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    fn batch(rows: usize, text: &str) -> RecordBatch {
        let fields = vec![Field::new("n", DataType::Int64, false), Field::new("t", DataType::Utf8, true)];
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..i64::try_from(rows).unwrap()));
        let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(|_| text)));
        RecordBatch::try_new(Arc::new(Schema::new(fields)), vec![numbers, texts]).unwrap()
    }

    #[test]
    fn a_large_batch_is_cut_by_rows_and_nothing_is_lost() {
        let whole = batch(4_000, &"x".repeat(1_000));
        let schema = told(&whole.schema());
        let pieces = cut_small(&whole, &schema);
        assert!(pieces.len() >= 4, "{}", pieces.len());
        let mut next = 0;
        for piece in &pieces {
            assert!(piece.bytes() <= BATCH_BYTES_MAX + 2_000, "{}", piece.bytes());
            assert_eq!(piece.schema(), schema);
            let numbers = piece.column(0).as_any().downcast_ref::<Int64Array>().unwrap();
            assert_eq!(numbers.value(0), next);
            next += i64::try_from(piece.num_rows()).unwrap();
        }
        assert_eq!(next, 4_000);
        assert_eq!(cut_small(&batch(3, "a"), &schema).len(), 1);
        assert!(cut_small(&batch(0, "a"), &schema).is_empty());
    }
}
