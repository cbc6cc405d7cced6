//! Answers drawn piece by piece: an opening record, a part before each batch, a closing record.
//!
//! An answer is drawn by a task of its own that hands it over one piece at a time: bytes of a format
//! ([`Deliveries::stream`]) or batches of Arrow ([`Deliveries::batches`]). The task notices a client who hangs up, and gives
//! up on one who does not take a piece for too long: until then the answer holds one of the engine's few places. The last
//! thing the client learns is whether he has the whole answer, and he learns it after the closing record is durable.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use lingqu_app::{App, AppError, Problem, Use};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::privacy::Rho;
use lingqu_domain::receipt::{Outcome, ReceiptBody, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::export::ExportError;
use lingqu_engine::session::{Answer, AnswerPart};
use lingqu_engine::{ColumnView, Limits, RowsExactness, SchemaView};
use roaring::RoaringTreemap;
use tokio::sync::{mpsc, oneshot};

use super::place::Place;
use super::privacy::PrivacyTold;
use super::reservation::{Reservation, leaving};
use super::{Admission, Deliveries, Settings, receipt, task_lost};
use crate::encode::{Format, JsonFrame, JsonHead, answer_bytes};
use crate::error::GatewayError;

/// What the closing record says when the client hung up.
const CANCELLED: &str = "cancelled";
/// Most bytes that are handed over at a time, so that a slow client still takes one before patience ends.
const PIECE_BYTES_MAX: usize = 256 * 1024;
/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 1;

/// An answer to draw as bytes.
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

/// Why an answer was cut off after something of it had left.
#[derive(Debug, thiserror::Error)]
#[error("the delivery was stopped: {}", .problem.code)]
pub struct Cut {
    /// As the client would have got it, had nothing left.
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
    /// For statistics with noise, their price.
    pub privacy: Option<PrivacyTold>,
    /// The bytes.
    pub body: Body,
}

/// What is asked, whatever form the answer has.
pub(super) struct Question {
    pub(super) mode: Mode,
    pub(super) sql: String,
    /// Values of the statement's parameters.
    pub(super) parameters: Vec<ScalarValue>,
    /// What was asked, for the vault.
    pub(super) request: String,
    pub(super) limits: Limits,
}

/// What is handed over at a time.
pub(super) trait Piece: Send + 'static {
    /// What the receipt counts for it.
    fn bytes(&self) -> u64;
}

impl Piece for Bytes {
    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// Gets each part of an answer before anything of it is handed over, and says by returning that its rows are named.
pub(super) type Hook = Box<dyn FnMut(&AnswerPart) -> BoxFuture<'static, Result<(), AppError>> + Send>;
/// An answer in pieces.
pub(super) type Pieces<P> = Pin<Box<dyn Stream<Item = Result<P, ExportError<AppError>>> + Send>>;

/// An answer that has begun.
pub(super) struct Begun<P> {
    pub(super) receipt: ReceiptId,
    pub(super) nature: Nature,
    pub(super) exactness: RowsExactness,
    pub(super) groups_suppressed: u64,
    pub(super) privacy: Option<PrivacyTold>,
    pub(super) pieces: Pin<Box<dyn Stream<Item = Result<P, Cut>> + Send>>,
}

impl Deliveries {
    /// The schema of the product's table as a mode shows it. Error: `mode_not_granted`.
    pub async fn table_schema(&self, admission: &Admission, mode: Mode) -> Result<SchemaRef, GatewayError> {
        Ok(admission.serving.table_described(mode).await?.schema)
    }

    /// The columns of the product as a mode shows them: a mask may change a type. Error: `mode_not_granted`.
    pub async fn columns(&self, admission: &Admission, mode: Mode) -> Result<Vec<ColumnView>, GatewayError> {
        let schema = self.table_schema(admission, mode).await?;
        let view = SchemaView::of_arrow(&schema);
        Ok(view.ok_or_else(|| AppError::Fault("a governed table has a column that can't be".to_owned()))?.columns)
    }

    /// Begins an answer in bytes. The statement is planned, and a refusal of it leaves no receipt; then the opening record is
    /// made durable and the first bytes are drawn, so that what fails at once still gets a problem document.
    ///
    /// An answer costs one call, a file one data set. Quota comes back when no byte left; fees are due for a whole answer
    /// alone.
    pub async fn stream(&self, admission: &Admission, request: StreamRequest) -> Result<Streamed, GatewayError> {
        let StreamRequest { mode, sql, request, format, limits, frame } = request;
        let question = Question { mode, sql, parameters: Vec::new(), request, limits };
        let written = move |answer: Answer, head: &JsonHead<'_>, hook: Hook| -> Pieces<Bytes> {
            let frame = frame.begun(head, &answer.schema());
            Box::pin(cut_small(answer_bytes(answer, format, frame, hook)))
        };
        let Begun { receipt, nature, exactness, groups_suppressed, privacy, pieces } =
            self.begin(admission, question, written).await?;
        Ok(Streamed { receipt, nature, exactness, groups_suppressed, privacy, body: pieces })
    }

    /// Begins an answer whose pieces `written` makes of it.
    pub(super) async fn begin<P: Piece>(
        &self,
        admission: &Admission,
        question: Question,
        written: impl FnOnce(Answer, &JsonHead<'_>, Hook) -> Pieces<P> + Send,
    ) -> Result<Begun<P>, GatewayError> {
        let Question { mode, sql, parameters, request, limits } = question;
        let session = admission.serving.session(mode, limits)?;
        let place = self.streams.take(&admission.order)?;
        let (calls, data_sets) = if mode == Mode::File { (0, 1) } else { (1, 0) };
        let asked = Use { calls, data_sets, ..Use::default() };
        let reservation = Reservation::make(&self.app, &admission.serving, asked).await?;
        let answer = match session.query_with(&sql, &parameters).await {
            Ok(answer) => answer,
            Err(error) => {
                // Back before the refusal is known: the next request may need it.
                reservation.give_back().await;
                return Err(error.into());
            }
        };
        let (receipt, nature) = (self.app.new_receipt_id()?, admission.serving.grant.nature);
        let (exactness, groups_suppressed) = (answer.rows_exactness(), answer.groups_suppressed());
        let lineage = answer.lineage().clone();
        let rho_spent = answer.rho_spent();
        let privacy = self.privacy_told(admission, rho_spent).await?;
        let delivery = Arc::new(Delivery {
            app: Arc::clone(&self.app),
            admission: admission.clone(),
            receipt: receipt.clone(),
            settings: self.settings,
            price: Totals { calls, data_sets, day: reservation.day(), ..Totals::default() },
            parts: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            answer_rows: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            naming: Arc::default(),
        });
        let drawn = {
            let head = JsonHead { receipt: receipt.as_str(), nature, groups_suppressed };
            written(answer, &head, delivery.hook())
        };
        let (pieces, mut taken) = mpsc::channel(PIECES_AHEAD);
        let (verdict, whole) = oneshot::channel();
        tokio::spawn(carry(
            delivery,
            Opening { mode, request, lineage, rho_spent },
            drawn,
            reservation,
            place,
            pieces,
            verdict,
        ));

        let first = taken.recv().await;
        let mut rest = Box::pin(handed(taken, whole));
        if let Some(first) = first {
            let pieces = Box::pin(futures::stream::iter([Ok(first)]).chain(rest));
            return Ok(Begun { receipt, nature, exactness, groups_suppressed, privacy, pieces });
        }
        // Nothing was handed over: the answer is empty, or it was stopped.
        if let Some(Err(cut)) = rest.next().await {
            return Err(GatewayError::Stopped(cut.problem));
        }
        Ok(Begun { receipt, nature, exactness, groups_suppressed, privacy, pieces: rest })
    }
}

/// How a delivery begins.
struct Opening {
    mode: Mode,
    request: String,
    lineage: AnswerLineage,
    rho_spent: Option<Rho>,
}

/// A delivery and what has been counted of it.
struct Delivery {
    app: Arc<App>,
    admission: Admission,
    receipt: ReceiptId,
    settings: Settings,
    /// Calls and data sets of the whole answer, and the day on which they count.
    price: Totals,
    parts: AtomicU64,
    rows: AtomicU64,
    answer_rows: AtomicU64,
    bytes: AtomicU64,
    /// Held while a part is being written.
    naming: Arc<tokio::sync::Mutex<()>>,
}

/// The whole life of a delivery: opens it, hands its pieces over, closes it, and says whether all of it was handed over.
/// When the process ends in the middle, the next start closes it as interrupted.
async fn carry<P: Piece>(
    delivery: Arc<Delivery>,
    opening: Opening,
    drawn: Pieces<P>,
    reservation: Reservation,
    place: Place,
    pieces: mpsc::Sender<P>,
    verdict: oneshot::Sender<Result<(), Box<Problem>>>,
) {
    let _place = place;
    let told = match delivery.open(opening).await {
        Err(error) => Err(error.problem()),
        Ok(()) => {
            let stopped = delivery.hand_over(drawn, &pieces).await;
            let (outcome, told) = match stopped {
                Ok(()) => (Outcome::Delivered, Ok(())),
                Err(problem) => (Outcome::Stopped { code: problem.code.clone() }, Err(problem)),
            };
            match delivery.close(outcome, reservation).await {
                Ok(()) => told,
                // Without its closing record an answer is not whole.
                Err(error) => told.and(Err(error.problem())),
            }
        }
    };
    if let Err(problem) = &told {
        tracing::info!(receipt = %delivery.receipt, code = problem.code, "a delivery was stopped");
    }
    // Nobody may be there to hear it.
    drop(verdict.send(told.map_err(Box::new)));
}

/// What was handed over, and after it the verdict.
fn handed<P: Piece>(
    mut taken: mpsc::Receiver<P>,
    whole: oneshot::Receiver<Result<(), Box<Problem>>>,
) -> impl Stream<Item = Result<P, Cut>> + Send {
    async_stream::stream! {
        while let Some(piece) = taken.recv().await {
            yield Ok(piece);
        }
        match whole.await {
            Ok(Ok(())) => {}
            Ok(Err(problem)) => yield Err(Cut { problem }),
            Err(_) => {
                let error = AppError::Fault("a delivery's task ended early".to_owned());
                yield Err(Cut { problem: Box::new(error.problem()) });
            }
        }
    }
}

/// Bytes in pieces of at most [`PIECE_BYTES_MAX`].
fn cut_small(mut bytes: Pieces<Bytes>) -> impl Stream<Item = Result<Bytes, ExportError<AppError>>> + Send {
    async_stream::try_stream! {
        while let Some(chunk) = bytes.next().await {
            let mut chunk = chunk?;
            while !chunk.is_empty() {
                yield chunk.split_to(chunk.len().min(PIECE_BYTES_MAX));
            }
        }
    }
}

impl Delivery {
    async fn open(&self, opening: Opening) -> Result<(), AppError> {
        let Opening { mode, request, lineage, rho_spent } = opening;
        let (opening, salted) = receipt::opening(&self.app, &self.admission, mode, &request, Some(lineage))?;
        let opening = lingqu_domain::receipt::Opening { rho_spent, ..opening };
        receipt::begin(&self.app, &self.admission, &self.receipt, &salted, ReceiptBody::Opened(opening)).await
    }

    /// What names the rows of each part.
    fn hook(self: &Arc<Self>) -> Hook {
        let named = Arc::clone(self);
        Box::new(move |part: &AnswerPart| {
            let rows = receipt::rows_of(part.rows.clone());
            let answer_rows = part.answer_rows();
            Arc::clone(&named).name(rows, answer_rows).boxed()
        })
    }

    /// Hands the answer over piece by piece. Error: why it was stopped.
    async fn hand_over<P: Piece>(
        self: &Arc<Self>,
        mut drawn: Pieces<P>,
        pieces: &mpsc::Sender<P>,
    ) -> Result<(), Problem> {
        loop {
            let next = tokio::select! {
                next = drawn.next() => next,
                () = pieces.closed() => return Err(cancelled()),
            };
            match next {
                Some(Ok(piece)) => self.hand(piece, pieces).await?,
                Some(Err(ExportError::Engine(error))) => return Err(AppError::Engine(error).problem()),
                Some(Err(ExportError::Hook(error))) => return Err(error.problem()),
                None => return Ok(()),
            }
        }
    }

    async fn hand<P: Piece>(&self, piece: P, pieces: &mpsc::Sender<P>) -> Result<(), Problem> {
        // A part is named as a whole and taken piece by piece, as slowly as its client likes; the grant may end in between.
        self.app.still_granted(&self.admission.serving).map_err(|refusal| AppError::from(refusal).problem())?;
        // Debited and counted before it leaves: never fewer than left.
        let used = Use { bytes: piece.bytes(), ..Use::default() };
        let debits = self.app.quota_debits(&self.admission.serving, self.price.day, &used);
        self.app.quota().spend(&debits).await.map_err(|error| AppError::Quota(error).problem())?;
        self.bytes.fetch_add(used.bytes, Ordering::SeqCst);
        let patience = self.settings.receiver_patience;
        match tokio::time::timeout(patience, pieces.send(piece)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(cancelled()),
            Err(_) => Err(GatewayError::ReceiverTooSlow { seconds: patience.as_secs() }.problem()),
        }
    }

    /// Names the rows of a batch, durably, if the grant still stands. Nothing of the batch leaves before this returns.
    ///
    /// The parts are written by a task: when the client hangs up meanwhile, a part that is on its way is written and counted
    /// all the same, and the closing record waits for it.
    async fn name(self: Arc<Self>, rows: RoaringTreemap, answer_rows: u64) -> Result<(), AppError> {
        self.app.still_granted(&self.admission.serving)?;
        let turn = Arc::clone(&self.naming).lock_owned().await;
        let written = tokio::spawn(async move {
            let _turn = turn;
            let used = Use { rows: answer_rows, ..Use::default() };
            leaving(&self.app, &self.admission.serving, self.price.day, used, &rows).await?;
            // What is debited is counted, whatever becomes of it: the account never holds less than the receipts say.
            self.answer_rows.fetch_add(answer_rows, Ordering::SeqCst);
            for (count, row_set) in receipt::row_sets(rows) {
                let number = self.parts.fetch_add(1, Ordering::SeqCst);
                let body = ReceiptBody::Part { number, rows: count, row_set };
                receipt::write(&self.app, &self.admission, &self.receipt, body).await?;
                self.rows.fetch_add(count, Ordering::SeqCst);
            }
            Ok(())
        });
        written.await.map_err(|error| task_lost(&error))?
    }

    /// Writes the closing record and settles the quota.
    async fn close(&self, outcome: Outcome, reservation: Reservation) -> Result<(), AppError> {
        let _turn = self.naming.lock().await;
        let is_whole = outcome == Outcome::Delivered;
        let bytes = self.bytes.load(Ordering::SeqCst);
        let rows = self.rows.load(Ordering::SeqCst);
        // Whoever hangs up himself when most of a file has left has taken it; otherwise the last byte would be the price.
        let is_hung_up = outcome == Outcome::Stopped { code: CANCELLED.to_owned() };
        let is_taken = is_hung_up && bytes > 0 && self.admission.serving.rows().is_some_and(|all| rows * 2 >= all);
        let is_charged = is_whole || is_taken;
        let totals = Totals {
            rows,
            answer_rows: self.answer_rows.load(Ordering::SeqCst),
            bytes,
            calls: if is_charged { self.price.calls } else { 0 },
            data_sets: if is_charged { self.price.data_sets } else { 0 },
            day: self.price.day,
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

/// The client hung up. He never sees this; the closing record has its code.
fn cancelled() -> Problem {
    let titles = ("已取消", "Cancelled");
    Problem::new(499, CANCELLED, titles, "使用方中断了连接", "the client closed the connection")
}
