//! Answers drawn batch by batch: an opening record, a part before each batch, a closing record.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use futures::{Stream, StreamExt};
use lingqu_app::{App, AppError, Problem};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::receipt::{Outcome, ReceiptBody, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::export::ExportError;
use lingqu_engine::session::AnswerPart;
use lingqu_engine::{ColumnView, Limits, RowsExactness, SchemaView};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::place::Place;
use super::reservation::Reservation;
use super::{Admission, Deliveries, receipt, task_lost};
use crate::encode::{Format, JsonFrame, JsonHead, answer_bytes};
use crate::error::GatewayError;

/// What the closing record says when the client hung up.
const CANCELLED: &str = "cancelled";

/// An answer to draw.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// The mode: rows, statistics or file.
    pub mode: Mode,
    /// The statement over the product's table.
    pub sql: String,
    /// What was asked, for the vault.
    pub request: String,
    /// How the answer is written.
    pub format: Format,
    /// What it may use.
    pub limits: Limits,
    /// What stands around the rows where the format is JSON.
    pub frame: JsonFrame,
}

/// The bytes of an answer. An error ends them and says by its code why; what came before it is incomplete.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes, Cut>> + Send>>;

/// Why an answer was cut off after bytes had left.
#[derive(Debug, thiserror::Error)]
#[error("the delivery was stopped: {}", .problem.code)]
pub struct Cut {
    /// As the client would have got it, had no byte left.
    pub problem: Box<Problem>,
}

/// An answer whose opening record is durable and whose first bytes are there.
pub struct Streamed {
    /// The receipt.
    pub receipt: ReceiptId,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// Whether the receipt names exactly the rows of the answer.
    pub exactness: RowsExactness,
    /// Groups that were left out because they were smaller than the cohort floor.
    pub groups_suppressed: u64,
    /// The bytes.
    pub body: Body,
}

impl Deliveries {
    /// The columns of the product as a mode shows them: a mask may change a type. Error: `mode_not_granted`.
    pub async fn columns(&self, admission: &Admission, mode: Mode) -> Result<Vec<ColumnView>, GatewayError> {
        let session = admission.serving.session(mode, Admission::limits(mode))?;
        // The engine's own answer tells, and no row leaves for it.
        let sql = format!("SELECT * FROM \"{}\" LIMIT 0", admission.serving.details.table);
        let schema = session.query(&sql).await?.schema();
        let view = SchemaView::of_arrow(&schema);
        Ok(view.ok_or_else(|| AppError::Fault("a governed table has a column that can't be".to_owned()))?.columns)
    }

    /// Begins an answer. The statement is planned, and a refusal of it leaves no receipt; then the opening record is made
    /// durable and the first bytes are drawn, so that what fails at once still gets a problem document.
    ///
    /// An answer costs one call, a file one data set. Quota comes back when no byte left; fees are due for a whole answer
    /// alone.
    pub async fn stream(&self, admission: &Admission, request: StreamRequest) -> Result<Streamed, GatewayError> {
        let session = admission.serving.session(request.mode, request.limits)?;
        let place = self.streams.take(&admission.order)?;
        let (calls, data_sets) = if request.mode == Mode::File { (0, 1) } else { (1, 0) };
        let reservation = Reservation::make(&self.app, &admission.serving, calls, data_sets).await?;
        let answer = session.query(&request.sql).await?;
        let exactness = answer.rows_exactness();
        let groups_suppressed = answer.groups_suppressed();
        let delivery = Arc::new(Delivery {
            app: Arc::clone(&self.app),
            admission: admission.clone(),
            receipt: self.app.new_receipt_id()?,
            price: Totals { calls, data_sets, ..Totals::default() },
            parts: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            answer_rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        });
        let opened = tokio::spawn(open(Arc::clone(&delivery), request.mode, request.request, place, reservation));
        let ending = opened.await.map_err(|error| task_lost(&error))??;

        let named = Arc::clone(&delivery);
        let hook = move |part: &AnswerPart| {
            let delivery = Arc::clone(&named);
            let rows = receipt::rows_of(part.rows.clone());
            let answer_rows = part.batch.num_rows() as u64;
            async move { delivery.name(rows, answer_rows).await }
        };
        let nature = admission.serving.grant.nature;
        let head = JsonHead { receipt: delivery.receipt.as_str(), nature, groups_suppressed };
        let frame = request.frame.begun(&head, &answer.schema());
        let mut body = drawn(answer_bytes(answer, request.format, frame, hook), ending);
        let first = match body.next().await {
            Some(Err(cut)) => return Err(GatewayError::Stopped(cut.problem)),
            Some(Ok(bytes)) => Some(Ok(bytes)),
            None => None,
        };
        let body = Box::pin(futures::stream::iter(first).chain(body));
        let receipt = delivery.receipt.clone();
        Ok(Streamed { receipt, nature, exactness, groups_suppressed, body })
    }
}

/// A delivery that has been opened.
struct Delivery {
    app: Arc<App>,
    admission: Admission,
    receipt: ReceiptId,
    /// Calls and data sets of the whole answer.
    price: Totals,
    parts: AtomicU64,
    rows: AtomicU64,
    answer_rows: AtomicU64,
    bytes: AtomicU64,
}

/// Writes the opening record. Runs as a task: if the client is gone by then, the returned [`Ending`] is dropped and closes
/// what was opened.
async fn open(
    delivery: Arc<Delivery>,
    mode: Mode,
    request: String,
    place: Place,
    reservation: Reservation,
) -> Result<Ending, AppError> {
    let Delivery { app, admission, receipt, .. } = &*delivery;
    let body = ReceiptBody::Opened(receipt::opening(app, admission, mode, &request)?);
    receipt::begin(app, admission, receipt, &request, body).await?;
    Ok(Ending { delivery, reservation: Some(reservation), _place: place, runtime: Handle::current(), is_closed: false })
}

impl Delivery {
    /// Names the rows of a batch, durably, if the grant still stands. No byte of the batch leaves before this returns.
    async fn name(&self, rows: roaring::RoaringTreemap, answer_rows: u64) -> Result<(), AppError> {
        self.app.still_granted(&self.admission.serving)?;
        for (count, row_set) in receipt::row_sets(rows) {
            let number = self.parts.fetch_add(1, Ordering::SeqCst);
            let body = ReceiptBody::Part { number, rows: count, row_set };
            receipt::write(&self.app, &self.admission, &self.receipt, body).await?;
            self.rows.fetch_add(count, Ordering::SeqCst);
        }
        self.answer_rows.fetch_add(answer_rows, Ordering::SeqCst);
        Ok(())
    }

    /// Writes the closing record and settles the quota.
    async fn close(&self, outcome: Outcome, reservation: Reservation) -> Result<(), AppError> {
        let is_whole = outcome == Outcome::Delivered;
        let bytes = self.bytes.load(Ordering::SeqCst);
        let totals = Totals {
            rows: self.rows.load(Ordering::SeqCst),
            answer_rows: self.answer_rows.load(Ordering::SeqCst),
            bytes,
            calls: if is_whole { self.price.calls } else { 0 },
            data_sets: if is_whole { self.price.data_sets } else { 0 },
        };
        if is_whole || bytes > 0 {
            reservation.keep();
        } else {
            drop(reservation);
        }
        let body = ReceiptBody::Closed { outcome, totals };
        receipt::write(&self.app, &self.admission, &self.receipt, body).await
    }
}

/// Closes a delivery exactly once: by [`Ending::close`], or as cancelled when it is dropped because the client hung up.
struct Ending {
    delivery: Arc<Delivery>,
    reservation: Option<Reservation>,
    _place: Place,
    runtime: Handle,
    is_closed: bool,
}

impl Ending {
    /// Closes in a task of its own, which goes on when nobody waits for it.
    fn close(&mut self, outcome: Outcome) -> Option<JoinHandle<Result<(), AppError>>> {
        if self.is_closed {
            return None;
        }
        self.is_closed = true;
        let delivery = Arc::clone(&self.delivery);
        let reservation = self.reservation.take()?;
        Some(self.runtime.spawn(async move {
            let closed = delivery.close(outcome, reservation).await;
            if let Err(error) = &closed {
                // The next start closes it as interrupted, free of charge.
                tracing::error!(receipt = %delivery.receipt, %error, "a delivery could not be closed");
            }
            closed
        }))
    }

    /// Closes and waits until the record is durable.
    async fn closed(&mut self, outcome: Outcome) -> Result<(), AppError> {
        match self.close(outcome) {
            Some(task) => task.await.map_err(|error| task_lost(&error))?,
            None => Ok(()),
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        drop(self.close(Outcome::Stopped { code: CANCELLED.to_owned() }));
    }
}

/// The bytes with their ending: the closing record is durable before the last word that says "complete" leaves.
fn drawn(
    mut bytes: Pin<Box<dyn Stream<Item = Result<Bytes, ExportError<AppError>>> + Send>>,
    mut ending: Ending,
) -> Body {
    Box::pin(async_stream::stream! {
        let stopped = loop {
            match bytes.next().await {
                Some(Ok(chunk)) => {
                    // Counted before it leaves: never fewer than left.
                    ending.delivery.bytes.fetch_add(chunk.len() as u64, Ordering::SeqCst);
                    yield Ok(chunk);
                }
                Some(Err(ExportError::Engine(error))) => break Some(AppError::Engine(error)),
                Some(Err(ExportError::Hook(error))) => break Some(error),
                None => break None,
            }
        };
        let failed = match stopped {
            None => ending.closed(Outcome::Delivered).await.err().map(|error| error.problem()),
            Some(error) => {
                let problem = error.problem();
                tracing::info!(receipt = %ending.delivery.receipt, code = problem.code, "a delivery was stopped");
                // If this record fails too, the log has said so; the client learns the first cause.
                drop(ending.closed(Outcome::Stopped { code: problem.code.clone() }).await);
                Some(problem)
            }
        };
        if let Some(problem) = failed {
            yield Err(Cut { problem: Box::new(problem) });
        }
    })
}
