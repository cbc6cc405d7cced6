//! Answers drawn piece by piece: an opening record, a part before each batch, a closing record.
//!
//! An answer is drawn by a task of its own that hands it over one piece at a time: bytes of a format
//! ([`Deliveries::stream`]) or batches of Arrow ([`Deliveries::batches`]). The task notices a client who hangs up, and gives
//! up on one who does not take a piece for too long: until then the answer holds one of the engine's few places. The last
//! thing the client learns is whether he has the whole answer, and he learns it after the closing record is durable.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::scalar::ScalarValue;
use futures::future::BoxFuture;
use futures::{FutureExt, Stream, StreamExt};
use lingqu_app::{App, AppError, Problem, SaltedRequest, Use, lets_out};
use lingqu_crypto::{Sha256Digest, Sha256Hasher};
use lingqu_domain::answer::{AnswerDigest, AnswerSalt};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::lineage::AnswerLineage;
use lingqu_domain::privacy::Rho;
use lingqu_domain::receipt::{Outcome, ReceiptBody, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::allow::{Refusal, RefusalCode};
use lingqu_engine::export::ExportError;
use lingqu_engine::session::{Answer, AnswerPart};
use lingqu_engine::{ColumnView, EngineError, Limits, RowsExactness, SchemaView};
use roaring::RoaringTreemap;
use tokio::sync::{mpsc, oneshot};

use super::digest::AnswerHasher;
use super::handed::{HandOuts, name_of};
use super::parts::Parts;
use super::pieces::{cut_small, held_back};
use super::place::Place;
use super::privacy::PrivacyTold;
use super::reservation::Reservation;
use super::{Admission, Deliveries, Settings, paid, receipt, task_lost};
use crate::encode::{Format, JsonFrame, JsonHead, answer_bytes};
use crate::error::GatewayError;

/// What the closing record says when the client hung up.
const CANCELLED: &str = "cancelled";
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
    /// The salt of the digest that its receipt will have of the bytes.
    pub answer_salt: AnswerSalt,
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
    /// The name of the file for which it pays, so that its pieces are not paid for once more.
    pub(super) pays_for: Option<Sha256Digest>,
}

/// What is handed over at a time.
pub(super) trait Piece: Clone + Send + 'static {
    /// Makes the digest of an answer that leaves in such pieces.
    type Hasher: AnswerHasher<Self>;

    /// What the receipt counts for it.
    fn bytes(&self) -> u64;
}

impl Piece for Bytes {
    type Hasher = Sha256Hasher;

    fn bytes(&self) -> u64 {
        self.len() as u64
    }
}

/// Gets each part of an answer before anything of it is handed over, and says by returning that its rows are named.
pub(super) type Hook = Box<dyn FnMut(&AnswerPart) -> BoxFuture<'static, Result<(), AppError>> + Send>;
/// A piece, and the rows of the answer that leave with it.
pub(super) struct Drawn<P> {
    pub(super) piece: P,
    pub(super) rows: u64,
    /// Bytes of the pieces behind it that are there already: a quota has them too, or nothing of it leaves.
    pub(super) behind: u64,
}

/// An answer in pieces.
pub(super) type Pieces<P> = Pin<Box<dyn Stream<Item = Result<Drawn<P>, ExportError<AppError>>> + Send>>;

/// An answer that has begun.
pub(super) struct Begun<P> {
    pub(super) receipt: ReceiptId,
    pub(super) nature: Nature,
    pub(super) exactness: RowsExactness,
    pub(super) groups_suppressed: u64,
    pub(super) privacy: Option<PrivacyTold>,
    pub(super) answer_salt: AnswerSalt,
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
    /// made durable and the first bytes are drawn, so that what fails at once still gets a problem document; so does what fails
    /// while the beginning is held back, which that of a file is not.
    ///
    /// An answer costs one call, a file one data set: where its closing record says so. Otherwise the quota comes back with that
    /// record.
    pub async fn stream(&self, admission: &Admission, request: StreamRequest) -> Result<Streamed, GatewayError> {
        let StreamRequest { mode, sql, request, format, limits, frame } = request;
        let pays_for = (mode == Mode::File).then(|| name_of(admission, &sql, format));
        let question = Question { mode, sql, parameters: Vec::new(), request, limits, pays_for };
        let written = move |answer: Answer, head: &JsonHead<'_>, hook: Hook| -> Pieces<Bytes> {
            let frame = frame.begun(head, &answer.schema());
            let pieces = cut_small(answer_bytes(answer, format, frame, hook));
            // Whoever fetches a file waits for no more of it than comes at once.
            if mode == Mode::File { Box::pin(pieces) } else { Box::pin(held_back(pieces)) }
        };
        let Begun { receipt, nature, exactness, groups_suppressed, privacy, answer_salt, pieces } =
            self.begin(admission, question, written).await?;
        Ok(Streamed { receipt, nature, exactness, groups_suppressed, privacy, answer_salt, body: pieces })
    }

    /// Begins an answer whose pieces `written` makes of it.
    pub(super) async fn begin<P: Piece>(
        &self,
        admission: &Admission,
        question: Question,
        written: impl FnOnce(Answer, &JsonHead<'_>, Hook) -> Pieces<P> + Send,
    ) -> Result<Begun<P>, GatewayError> {
        let Question { mode, sql, parameters, request, limits, pays_for } = question;
        let session = admission.serving.session(mode, limits)?;
        let place = self.streams.take(&admission.order)?;
        let untaken = self.untaken.take(&admission.order)?;
        if mode == Mode::File {
            // By it whoever hangs up is charged: an engine that is full by then must not make his copy free.
            admission.serving.rows_of_copy().await?;
        }
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
        if mode == Mode::File && answer.is_explained() {
            reservation.give_back().await;
            return Err(EngineError::Refused(no_plan_for_a_file()).into());
        }
        let (receipt, nature) = (self.app.new_receipt_id()?, admission.serving.grant.nature);
        let (exactness, groups_suppressed) = (answer.rows_exactness(), answer.groups_suppressed());
        let lineage = answer.lineage().clone();
        let salted = self.app.salt_request(&request, answer.canonical())?;
        let answer_salt = salted.answer_salt;
        let rho_spent = answer.rho_spent();
        let privacy = self.privacy_told(admission, rho_spent).await?;
        let delivery = Arc::new(Delivery {
            app: Arc::clone(&self.app),
            admission: admission.clone(),
            receipt: receipt.clone(),
            settings: self.settings,
            hand_outs: Arc::clone(&self.hand_outs),
            pays_for,
            price: Totals { calls, data_sets, day: reservation.day(), ..Totals::default() },
            parts: Parts::new(&self.app, admission, &receipt, reservation.day()),
            rows_taken: Arc::default(),
            naming: Arc::default(),
        });
        let rows_taken = Arc::clone(&delivery.rows_taken);
        let drawn = {
            let head = JsonHead { receipt: receipt.as_str(), nature, groups_suppressed };
            written(answer, &head, delivery.hook())
        };
        let (pieces, mut taken) = mpsc::channel(PIECES_AHEAD);
        let (verdict, whole) = oneshot::channel();
        tokio::spawn(carry(
            delivery,
            Opening { mode, salted, lineage, rho_spent },
            drawn,
            reservation,
            place,
            pieces,
            verdict,
        ));

        let first = taken.recv().await;
        let is_empty = first.is_none();
        let mut pieces = Box::pin(handed(first, taken, whole, rows_taken, untaken));
        // Nothing was handed over: the answer is empty, or it was stopped.
        if is_empty && let Some(Err(cut)) = pieces.next().await {
            return Err(GatewayError::Stopped(cut.problem));
        }
        Ok(Begun { receipt, nature, exactness, groups_suppressed, privacy, answer_salt, pieces })
    }
}

/// Why an answer was stopped.
struct Stop {
    problem: Problem,
    /// Whether it was its receiver: he hung up, took it so slowly that patience or time ended, or had his key revoked. Not the
    /// node, nor the grant.
    is_by_receiver: bool,
}

impl Stop {
    fn by_receiver(problem: Problem) -> Stop {
        Stop { problem, is_by_receiver: true }
    }
}

impl From<AppError> for Stop {
    /// A receiver may revoke his key himself: otherwise copies of all but the last piece would be free.
    fn from(error: AppError) -> Stop {
        Stop { problem: error.problem(), is_by_receiver: matches!(error, AppError::BadKey) }
    }
}

/// How a delivery begins.
struct Opening {
    mode: Mode,
    salted: SaltedRequest,
    lineage: AnswerLineage,
    rho_spent: Option<Rho>,
}

/// A delivery and what has been counted of it.
struct Delivery {
    app: Arc<App>,
    admission: Admission,
    receipt: ReceiptId,
    settings: Settings,
    hand_outs: Arc<HandOuts>,
    /// The name of the file for which it pays.
    pays_for: Option<Sha256Digest>,
    /// Calls and data sets of the whole answer, and the day on which they count.
    price: Totals,
    parts: Parts,
    /// Rows of the answer in pieces that the client's connection has taken.
    rows_taken: Arc<AtomicU64>,
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
    pieces: mpsc::Sender<Drawn<P>>,
    verdict: oneshot::Sender<Result<(), Box<Problem>>>,
) {
    let answer_salt = opening.salted.answer_salt;
    let told = match delivery.open(opening).await {
        Err(error) => {
            reservation.give_back().await;
            Err(error.problem())
        }
        Ok(()) => {
            let mut hasher = P::Hasher::default();
            let stopped = delivery.hand_over(drawn, &pieces, &mut hasher).await;
            let answer = answer_salt.digest(P::Hasher::FORM, &hasher.digest());
            let (outcome, is_by_receiver, told) = match stopped {
                Ok(()) => (Outcome::Delivered, false, Ok(())),
                Err(Stop { problem, is_by_receiver }) => {
                    (Outcome::Stopped { code: problem.code.clone() }, is_by_receiver, Err(problem))
                }
            };
            match delivery.close(outcome, is_by_receiver, answer, reservation).await {
                Ok(()) => told,
                // Without its closing record an answer is not whole.
                Err(error) => told.and(Err(error.problem())),
            }
        }
    };
    if let Err(problem) = &told {
        tracing::info!(receipt = %delivery.receipt, code = problem.code, "a delivery was stopped");
    }
    // Before the client knows: what he asks for next may need it.
    drop(place);
    // Nobody may be there to hear it.
    drop(verdict.send(told.map_err(Box::new)));
}

/// What was handed over, and after it the verdict. A piece is taken when the next one is asked for: until then the
/// connection may have nothing of it. `untaken` is kept until all of this is let go of.
fn handed<P: Piece>(
    first: Option<Drawn<P>>,
    mut taken: mpsc::Receiver<Drawn<P>>,
    whole: oneshot::Receiver<Result<(), Box<Problem>>>,
    rows_taken: Arc<AtomicU64>,
    untaken: Place,
) -> impl Stream<Item = Result<P, Cut>> + Send {
    async_stream::stream! {
        let _untaken = untaken;
        let mut next = first;
        while let Some(Drawn { piece, rows, .. }) = next {
            yield Ok(piece);
            rows_taken.fetch_add(rows, Ordering::SeqCst);
            next = taken.recv().await;
        }
        if let Some(cut) = cut_off(whole).await {
            yield Err(cut);
        }
    }
}

/// Why an answer was cut off, once that is known; none when all of it was handed over.
pub(super) async fn cut_off(whole: oneshot::Receiver<Result<(), Box<Problem>>>) -> Option<Cut> {
    match whole.await {
        Ok(Ok(())) => None,
        Ok(Err(problem)) => Some(Cut { problem }),
        Err(_) => {
            let error = AppError::Fault("a delivery's task ended early".to_owned());
            Some(Cut { problem: Box::new(error.problem()) })
        }
    }
}

impl Delivery {
    async fn open(&self, opening: Opening) -> Result<(), AppError> {
        let Opening { mode, salted, lineage, rho_spent } = opening;
        if let Some(name) = &self.pays_for {
            // Before anything of it can be charged. Its closing record decides whether it paid.
            paid::note(&self.app, &self.admission.order, name, &self.receipt).await?;
        }
        let opening = receipt::opening(&self.app, &self.admission, mode, &salted, Some(lineage));
        let opening = lingqu_domain::receipt::Opening { day: self.price.day, rho_spent, ..opening };
        let body = ReceiptBody::Opened(opening);
        let begun = receipt::begin(&self.app, &self.admission, &self.receipt, &salted.kept, body).await;
        if begun.is_err()
            && let Some(name) = &self.pays_for
        {
            // Nothing of it leaves, so it is charged by none, and whoever looks who paid would never see its end.
            paid::forget(&self.app, &self.admission.order, name, &self.receipt).await;
        }
        begun
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
        pieces: &mpsc::Sender<Drawn<P>>,
        hasher: &mut P::Hasher,
    ) -> Result<(), Stop> {
        let begun = Instant::now();
        let mut waited = Duration::ZERO;
        loop {
            let next = tokio::select! {
                next = drawn.next() => next,
                () = pieces.closed() => return Err(Stop::by_receiver(cancelled())),
            };
            match next {
                Some(Ok(drawn)) => waited += self.hand(drawn, pieces, hasher).await?,
                Some(Err(ExportError::Engine(error))) => {
                    let is_by_receiver = matches!(error, EngineError::TimedOut { .. })
                        && is_out_of_time_by_receiver(pieces.capacity() == 0, waited, begun.elapsed());
                    return Err(Stop { problem: AppError::Engine(error).problem(), is_by_receiver });
                }
                Some(Err(ExportError::Hook(error))) => return Err(error.into()),
                None => return Ok(()),
            }
        }
    }

    /// Hands a piece over. Answers how long it waited for the receiver to take those before it.
    async fn hand<P: Piece>(
        &self,
        drawn: Drawn<P>,
        pieces: &mpsc::Sender<Drawn<P>>,
        hasher: &mut P::Hasher,
    ) -> Result<Duration, Stop> {
        // A part is named as a whole and taken piece by piece, as slowly as its client likes; grant and key may end in between.
        self.admission.must_stand(&self.app)?;
        // Debited and counted before it leaves: never fewer than left.
        self.parts.pass(drawn.piece.bytes(), drawn.rows, drawn.behind).await?;
        let patience = self.settings.receiver_patience;
        let piece = drawn.piece.clone();
        let begun = Instant::now();
        let sent = tokio::time::timeout(patience, pieces.send(drawn)).await;
        let waited = begun.elapsed();
        // All that is counted is digested, and the client need not wait for it.
        hasher.take(&piece);
        match sent {
            Ok(Ok(())) => Ok(waited),
            Ok(Err(_)) => Err(Stop::by_receiver(cancelled())),
            Err(_) => {
                let too_slow = GatewayError::ReceiverTooSlow { seconds: patience.as_secs() };
                Err(Stop::by_receiver(too_slow.problem()))
            }
        }
    }

    /// Names the rows of a batch, durably, if grant and key still stand. Nothing of the batch leaves before this returns.
    ///
    /// The parts are written by a task: when the client hangs up meanwhile, a part that is on its way is written and counted
    /// all the same, and the closing record waits for it.
    async fn name(self: Arc<Self>, rows: RoaringTreemap, answer_rows: u64) -> Result<(), AppError> {
        self.admission.must_stand(&self.app)?;
        let turn = Arc::clone(&self.naming).lock_owned().await;
        let written = tokio::spawn(async move {
            let _turn = turn;
            self.parts.name(rows, answer_rows).await
        });
        written.await.map_err(|error| task_lost(&error))?
    }

    /// Whether so many rows are half of what is paid for: of a data set the rows that the order's copy of it has, of a call the product's.
    async fn is_half(&self, rows: u64) -> bool {
        let serving = &self.admission.serving;
        let is_half_of = |all: u64| rows >= all.div_ceil(2);
        let Some(of_product) = serving.rows().filter(|_| rows > 0) else { return false };
        if is_half_of(of_product) || self.price.data_sets == 0 {
            return is_half_of(of_product);
        }
        // Counted when the delivery began.
        serving.rows_of_copy().await.ok().flatten().is_some_and(is_half_of)
    }

    /// Writes the closing record, and when it is durable settles by it what was reserved.
    async fn close(
        &self,
        outcome: Outcome,
        is_by_receiver: bool,
        answer: AnswerDigest,
        reservation: Reservation,
    ) -> Result<(), AppError> {
        let _turn = self.naming.lock().await;
        let parts = self.parts.end().await;
        let is_whole = outcome == Outcome::Delivered;
        let (bytes, rows) = (self.parts.bytes(), self.parts.rows());
        // Whoever ends an answer himself when half of a file has left has taken it, whether he hangs up or takes no more of it;
        // otherwise the last byte would be the price. Rows are named ahead of what leaves, so it is the rows in pieces that the
        // connection took which tell.
        let rows_left = self.rows_taken.load(Ordering::SeqCst).min(rows);
        let is_taken = is_by_receiver && self.is_half(rows_left).await;
        let is_charged = is_whole || is_taken;
        let totals = Totals {
            answer: (is_whole || bytes > 0).then_some(answer),
            rows,
            answer_rows: self.parts.answer_rows(),
            bytes,
            calls: if is_charged { self.price.calls } else { 0 },
            data_sets: if is_charged { self.price.data_sets } else { 0 },
            day: self.price.day,
        };
        let parts = if lets_out(&outcome, &totals) { parts } else { 0 };
        let body = ReceiptBody::Closed { outcome, totals };
        // Of its file nobody finds out meanwhile whether it is paid for, and pays for it too.
        let _paying = match self.pays_for {
            Some(_) => Some(self.hand_outs.paying().await),
            None => None,
        };
        let written = receipt::write(&self.app, &self.admission, &self.receipt, body).await;
        if written.is_err() {
            self.app.quota().leave_to_receipts();
        }
        // A call or a data set that the record does not charge comes back, however much has left. Whether there is a record that
        // charges one is not known when its writing failed: then it stays.
        if is_charged {
            reservation.keep();
        } else {
            reservation.give_back().await;
        }
        written?;
        self.parts.settle(parts).await;
        Ok(())
    }
}

/// A file costs a data set, and a plan is none.
fn no_plan_for_a_file() -> Refusal {
    let what = "EXPLAIN is answered in the modes rows and statistics; a file is the data set itself".to_owned();
    Refusal { code: RefusalCode::StatementNotAllowed, what, granted: Vec::new() }
}

/// Whether it was the receiver because of whom the time for an answer was over: a piece of it waits for him, or he was waited for
/// at least half the time.
fn is_out_of_time_by_receiver(is_piece_waiting: bool, waited: Duration, elapsed: Duration) -> bool {
    is_piece_waiting || waited >= elapsed / 2
}

/// The client hung up. He never sees this; the closing record has its code.
fn cancelled() -> Problem {
    let titles = ("已取消", "Cancelled");
    Problem::new(499, CANCELLED, titles, "使用方中断了连接", "the client closed the connection")
}

#[cfg(test)]
mod tests {
    use lingqu_domain::id::OrderId;

    use super::super::place::Places;
    use super::*;

    #[test]
    fn who_trickles_until_time_is_over_has_ended_it_himself() {
        let (minute, second) = (Duration::from_secs(60), Duration::from_secs(1));
        for (is_piece_waiting, waited, is_by_receiver) in
            [(true, second, true), (false, minute, true), (false, minute / 2, true), (false, second, false)]
        {
            assert_eq!(is_out_of_time_by_receiver(is_piece_waiting, waited, minute), is_by_receiver);
        }
    }

    /// What is handed over is taken when the next piece is asked for, not before.
    #[tokio::test]
    async fn a_piece_is_taken_when_the_next_one_is_asked_for() {
        let (sender, taken) = mpsc::channel(4);
        let (verdict, whole) = oneshot::channel();
        for rows in [20, 30] {
            let drawn = Drawn { piece: Bytes::from_static(b"x"), rows, behind: 0 };
            sender.send(drawn).await.unwrap_or_else(|_| panic!("there is room"));
        }
        drop(sender);
        let rows_taken = Arc::new(AtomicU64::new(0));
        let first = Some(Drawn { piece: Bytes::from_static(b"x"), rows: 10, behind: 0 });
        let places = Arc::new(Places::new(1));
        let order: OrderId = format!("{}_{}", OrderId::PREFIX, "a".repeat(32)).parse().unwrap();
        let untaken = places.take(&order).unwrap();
        let mut pieces = Box::pin(handed(first, taken, whole, Arc::clone(&rows_taken), untaken));
        for before in [0, 10, 30] {
            assert!(matches!(pieces.next().await, Some(Ok(_))));
            assert_eq!(rows_taken.load(Ordering::SeqCst), before);
        }
        assert!(verdict.send(Ok(())).is_ok());
        assert!(pieces.next().await.is_none());
        assert_eq!(rows_taken.load(Ordering::SeqCst), 60);
        drop(pieces);
        places.take(&order).unwrap();
    }
}
