//! Files that are handed out: deliveries that a client takes in pieces, when and as often as he likes, by an address that
//! is good for a while.
//!
//! The delivery is opened, with all its rows named, before the client learns that there is a file; its first byte closes
//! it and, unless the order has paid for these same bytes before, charges one data set. Nobody can tell from requests for
//! pieces when a client has the whole, so the closing record says what he could take from then on. One that is not taken
//! before its address ends is closed free of charge. Every request for a piece asks the grant again.

use std::collections::BTreeMap;
use std::io::SeekFrom;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use lingqu_app::{App, AppError, HeldSubjects, Serving, Use};
use lingqu_crypto::{Sha256Digest, sha256};
use lingqu_domain::answer::{AnswerForm, AnswerSalt};
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::export::{ExportError, file_form};
use lingqu_engine::session::AnswerPart;
use roaring::RoaringTreemap;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Take};
use tokio::sync::{mpsc, oneshot};

use super::finished::{Finished, FinishedFiles, Opened};
use super::key::Key;
use super::reservation::Reservation;
use super::stream::{Body, cut_off};
use super::{Admission, Deliveries, paid, receipt, task_lost};
use crate::encode::{Format, JsonFrame, answer_bytes};
use crate::error::GatewayError;

/// What the closing record says of a file that nobody took.
const NOT_TAKEN: &str = "not_taken";
/// Most files that are handed out at a time. Each costs some hundred bytes of memory and its rows' bitmap.
const HANDED_MAX: usize = 20_000;
/// Bytes that are read at a time; the grant is looked at before each.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that wait for the client.
const PIECES_AHEAD: usize = 1;
/// How often the closing of a delivery is tried at once.
const CLOSE_ATTEMPTS: usize = 3;
/// How often a file that was put away between finding and opening it is made again.
const OPEN_ATTEMPTS: usize = 3;

/// A data set to hand out as a file.
#[derive(Clone, Debug)]
pub struct FileRequest {
    /// The statement over the product's table.
    pub sql: String,
    /// How it is written.
    pub format: Format,
    /// What was asked, for the vault.
    pub request: String,
    /// Hash of the service key that it was asked with; while the key is in force the file can be taken.
    pub key: Sha256Digest,
}

/// A file that is handed out.
#[derive(Debug)]
pub struct Handed {
    /// The receipt, by which it is found again.
    pub receipt: ReceiptId,
    /// Whose it is.
    pub order: OrderId,
    /// Digest of all that decides its bytes; the same as long as they are the same.
    pub name: Sha256Digest,
    /// Its size in bytes.
    pub bytes: u64,
    /// Rows in it.
    pub answer_rows: u64,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
    /// How it is written.
    pub format: Format,
    /// The salt of the digest that its receipt has of the whole file, once something of it was taken.
    pub answer_salt: AnswerSalt,
    /// When it stops to be handed out.
    pub until: Timestamp,
    admission: Admission,
    sql: String,
    key: Sha256Digest,
    digest: Sha256Digest,
    rows: u64,
    /// The day on whose quota it counts: that on which it was handed out.
    day: Option<Date>,
    /// The subjects of its rows: they come back when nobody takes it.
    subjects: HeldSubjects,
    stage: tokio::sync::Mutex<Stage>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Opened; no byte left.
    Open,
    /// No byte left either, but the record that closes it may be there: whether it was written is not known.
    Unsure,
    /// Closed as delivered.
    Taken,
    /// Closed as not taken.
    Ended,
}

/// What is handed out at the moment.
#[derive(Debug, Default)]
pub(super) struct HandedFiles {
    by_receipt: BTreeMap<ReceiptId, Arc<Handed>>,
    /// The newest of each order, protocol, file and key.
    newest: BTreeMap<(OrderId, &'static str, Sha256Digest, Sha256Digest), ReceiptId>,
}

/// What the hand-outs of a node share.
#[derive(Debug)]
pub(super) struct HandOuts {
    files: Arc<FinishedFiles>,
    handed: Mutex<HandedFiles>,
    /// Held while it is found out whether a file is paid, and paid if not.
    paying: tokio::sync::Mutex<()>,
}

impl HandOuts {
    pub(super) fn new(files: FinishedFiles) -> Self {
        Self { files: Arc::new(files), handed: Mutex::default(), paying: tokio::sync::Mutex::default() }
    }

    /// Held by who finds out whether a file is paid, and by who pays for one.
    pub(super) async fn paying(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.paying.lock().await
    }

    fn look<T>(&self, look: impl FnOnce(&mut HandedFiles) -> T) -> T {
        look(&mut self.handed.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Deliveries {
    /// Hands a data set out as a file: makes the file if it is not there, and opens its delivery. Asked for again soon, it
    /// is the same delivery.
    ///
    /// Errors: `mode_not_granted`; `quota_exceeded` when the file would cost a data set and none is left;
    /// `file_too_large`; `too_many_deliveries` when the order has that many files that may be taken; what making it ran into.
    pub async fn hand_out(&self, admission: &Admission, request: FileRequest) -> Result<Arc<Handed>, GatewayError> {
        admission.serving.must_allow(Mode::File)?;
        let name = name_of(admission, &request.sql, request.format);
        if let Some(handed) = self.handed_already(admission, &name, &request.key) {
            return Ok(handed);
        }
        // Before any work is done for it.
        self.must_have_room(&admission.order)?;
        self.can_pay(admission, &name).await?;
        let file = self.finished(admission, &request.sql, request.format).await?;
        let (deliveries, admission) = (self.clone(), admission.clone());
        // A client that hangs up leaves no delivery half opened.
        let opened = tokio::spawn(async move { deliveries.open(admission, name, request, &file).await });
        opened.await.map_err(|error| task_lost(&error))?
    }

    /// One that was handed out and may still be taken. Error: `file_address_not_valid`.
    pub fn handed(&self, receipt: &ReceiptId) -> Result<Arc<Handed>, GatewayError> {
        let handed = self.hand_outs.look(|handed| handed.by_receipt.get(receipt).cloned());
        handed.filter(|handed| self.app.now() < handed.until).ok_or(GatewayError::FileAddressNotValid)
    }

    /// Asks again for the grant under which a file was handed out. Errors: `file_address_not_valid` when its bytes would be
    /// others by now; the refusal of the link that is not in force any more; `bad_service_key` when its key was revoked.
    pub async fn readmit(&self, handed: &Handed) -> Result<Arc<Serving>, GatewayError> {
        let serving = self.app.serving_of_hash(handed.key).await?;
        serving.must_allow(Mode::File)?;
        if serving.grant.order != handed.order || serving.policy_digest != handed.admission.serving.policy_digest {
            return Err(GatewayError::FileAddressNotValid);
        }
        Ok(serving)
    }

    /// Takes `length` bytes of a file that is handed out from `start` on. The first time this closes its delivery; when it
    /// returns, that is durable. Error: `quota_exceeded`, `file_address_not_valid`, `too_many_deliveries`.
    pub async fn take(
        &self,
        handed: &Arc<Handed>,
        serving: Arc<Serving>,
        start: u64,
        length: u64,
    ) -> Result<Body, GatewayError> {
        let place = self.singles.take(&handed.order)?;
        let Opened { file, held } = self.opened_file(handed).await?;
        let mut file = File::from_std(file);
        file.seek(SeekFrom::Start(start)).await.map_err(|error| unreadable(&error))?;
        // Making the file anew may have taken a while, and what is closed now is charged.
        handed.admission.must_stand(&self.app)?;
        let (deliveries, taken) = (self.clone(), Arc::clone(handed));
        let closed = tokio::spawn(async move { deliveries.close_taken(&taken).await });
        closed.await.map_err(|error| task_lost(&error))??;
        let (pieces, mut taken) = mpsc::channel(PIECES_AHEAD);
        let (verdict, whole) = oneshot::channel();
        let (deliveries, handed) = (self.clone(), Arc::clone(handed));
        tokio::spawn(async move {
            let told = deliveries.hand_over(&handed, &serving, &held, file.take(length), &pieces).await;
            // Not when the client comes to know it: he may never ask.
            drop((place, held));
            drop(verdict.send(told.map_err(|error| Box::new(error.problem()))));
        });
        Ok(Box::pin(async_stream::stream! {
            while let Some(piece) = taken.recv().await {
                yield Ok(piece);
            }
            if let Some(cut) = cut_off(whole).await {
                yield Err(cut);
            }
        }))
    }

    /// Whether the order has paid for a file that is handed out.
    pub async fn is_paid(&self, handed: &Handed) -> Result<bool, GatewayError> {
        Ok(paid::is_paid(&self.app, &handed.order, &handed.name).await?)
    }

    /// Hands a part of an open file over piece by piece, as long as the grant and the key stand, the client takes it and
    /// nobody has waited long for its room. He may have hung up when this returns.
    async fn hand_over(
        &self,
        handed: &Handed,
        serving: &Serving,
        held: &Finished,
        mut part: Take<File>,
        pieces: &mpsc::Sender<Bytes>,
    ) -> Result<(), GatewayError> {
        let patience = self.settings.receiver_patience;
        let key = Key::new(handed.key);
        loop {
            let Ok(room) = tokio::time::timeout(patience, pieces.reserve()).await else {
                return Err(GatewayError::ReceiverTooSlow { seconds: patience.as_secs() });
            };
            let Ok(room) = room else { return Ok(()) };
            held.may_be_read_on()?;
            self.app.still_granted(serving)?;
            key.must_be_in_force(&self.app, &handed.order)?;
            let mut piece = BytesMut::with_capacity(PIECE_BYTES);
            if part.read_buf(&mut piece).await.map_err(|error| unreadable(&error))? == 0 {
                return Ok(());
            }
            room.send(piece.freeze());
            if part.limit() == 0 {
                // The last one is not waited for: whoever has it may ask for a file that needs the room of this one.
                return Ok(());
            }
        }
    }

    /// The newest delivery of the file, while at least half of its time is left.
    fn handed_already(&self, admission: &Admission, name: &Sha256Digest, key: &Sha256Digest) -> Option<Arc<Handed>> {
        let half = self.address_life() / 2;
        let now = self.app.now();
        self.hand_outs.look(|handed| {
            let newest = handed.newest.get(&(admission.order.clone(), admission.protocol, *name, *key))?;
            let found = handed.by_receipt.get(newest)?;
            (now.duration_until(found.until) > half).then(|| Arc::clone(found))
        })
    }

    /// Refuses an order that has as many files handed out as it may, so that it leaves room for others.
    fn must_have_room(&self, order: &OrderId) -> Result<(), GatewayError> {
        let limit = self.settings.handed_per_order_max;
        self.hand_outs.look(|handed| {
            let own = handed.by_receipt.values().filter(|handed| handed.order == *order).count();
            if own >= limit as usize {
                return Err(GatewayError::TooManyDeliveries { limit });
            }
            if handed.by_receipt.len() >= HANDED_MAX {
                return Err(AppError::Engine(lingqu_engine::EngineError::Busy).into());
            }
            Ok(())
        })
    }

    fn address_life(&self) -> SignedDuration {
        SignedDuration::try_from(self.settings.address_life).unwrap_or(SignedDuration::MAX)
    }

    async fn can_pay(&self, admission: &Admission, name: &Sha256Digest) -> Result<(), GatewayError> {
        let _turn = self.hand_outs.paying().await;
        if !paid::is_paid(&self.app, &admission.order, name).await? {
            let one = Use { data_sets: 1, ..Use::default() };
            Reservation::make(&self.app, &admission.serving, one).await?.give_back().await;
        }
        Ok(())
    }

    /// The file, made now if it is not there. Several who ask for the same one wait for the first of them. When he hangs up its
    /// making stops, what is written of it is removed, and the next of those who wait makes it.
    async fn finished(&self, admission: &Admission, sql: &str, format: Format) -> Result<Arc<Finished>, GatewayError> {
        let name = name_of(admission, sql, format);
        if let Some(file) = self.hand_outs.files.find(&name) {
            return Ok(file);
        }
        let turn = self.hand_outs.files.turn(&name);
        let _turn = turn.lock().await;
        match self.hand_outs.files.find(&name) {
            Some(file) => Ok(file),
            None => self.make_file(admission, name, sql, format).await,
        }
    }

    async fn make_file(
        &self,
        admission: &Admission,
        name: Sha256Digest,
        sql: &str,
        format: Format,
    ) -> Result<Arc<Finished>, GatewayError> {
        let _place = self.streams.take(&admission.order)?;
        let session = admission.serving.session(Mode::File, Admission::limits(Mode::File))?;
        let answer = session.query(sql).await?;
        let drawn: Arc<Mutex<(RoaringTreemap, u64)>> = Arc::default();
        let (app, asked_by, counted) = (Arc::clone(&self.app), admission.clone(), Arc::clone(&drawn));
        let hook = move |part: &AnswerPart| {
            let mut counted = counted.lock().unwrap_or_else(PoisonError::into_inner);
            counted.0 |= receipt::rows_of(part.rows.clone());
            counted.1 += part.answer_rows();
            let stands = asked_by.must_stand(&app);
            async move { stands }
        };
        let mut bytes = answer_bytes(answer, format, JsonFrame::default(), hook);
        let files = Arc::clone(&self.hand_outs.files);
        let mut unfinished = on_blocking(move || files.begin(name, format.name())).await??;
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| match error {
                ExportError::Engine(error) => GatewayError::from(error),
                ExportError::Hook(error) => error.into(),
            })?;
            unfinished = on_blocking(move || {
                let written = unfinished.write(&chunk.bytes);
                written.map(|()| unfinished)
            })
            .await??;
        }
        let (rows, answer_rows) = std::mem::take(&mut *drawn.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(on_blocking(move || unfinished.finish(rows, answer_rows)).await??)
    }

    /// Opens the delivery of a file: what it is and all its rows are durable when this returns.
    async fn open(
        &self,
        admission: Admission,
        name: Sha256Digest,
        request: FileRequest,
        file: &Finished,
    ) -> Result<Arc<Handed>, GatewayError> {
        let _turn = self.hand_outs.paying().await;
        if let Some(handed) = self.handed_already(&admission, &name, &request.key) {
            return Ok(handed);
        }
        self.must_have_room(&admission.order)?;
        // Making the file may have taken a while.
        admission.must_stand(&self.app)?;
        let day = self.app.quota_day(&admission.serving);
        let receipt = self.app.new_receipt_id()?;
        let session = admission.serving.session(Mode::File, Admission::limits(Mode::File))?;
        let question = session.question(&request.sql).await?;
        let salted = self.app.salt_request(&request.request, &question.canonical)?;
        let opening = receipt::opening(&self.app, &admission, Mode::File, &salted, Some(question.lineage));
        let opening = lingqu_domain::receipt::Opening { day, ..opening };
        let subjects = self.app.held_subjects(&admission.serving, day, &receipt, admission.process.as_deref());
        if let Err(error) = self.begin_file(&admission, &receipt, &salted.kept, opening, &subjects, file).await {
            // Nothing ever leaves under this receipt, whatever is written of it.
            self.app.end_subjects(&subjects, 0).await;
            return Err(error);
        }
        let until = self.app.now().checked_add(self.address_life()).unwrap_or(Timestamp::MAX);
        let handed = Arc::new(Handed {
            receipt: receipt.clone(),
            order: admission.order.clone(),
            name,
            bytes: file.bytes,
            answer_rows: file.answer_rows,
            nature: admission.serving.grant.nature,
            format: request.format,
            answer_salt: salted.answer_salt,
            until,
            sql: request.sql,
            key: request.key,
            digest: file.digest,
            rows: file.rows.len(),
            day,
            subjects,
            stage: tokio::sync::Mutex::new(Stage::Open),
            admission,
        });
        self.hand_outs.look(|all| {
            let protocol = handed.admission.protocol;
            all.newest.insert((handed.order.clone(), protocol, name, handed.key), receipt.clone());
            all.by_receipt.insert(receipt, Arc::clone(&handed));
        });
        let (app, hand_outs) = (Arc::downgrade(&self.app), Arc::downgrade(&self.hand_outs));
        tokio::spawn(end_in_time(app, hand_outs, Arc::clone(&handed)));
        Ok(handed)
    }

    /// Holds the subjects of a file's rows, and writes the records that open its delivery.
    async fn begin_file(
        &self,
        admission: &Admission,
        receipt: &ReceiptId,
        salted: &[u8],
        opening: Opening,
        subjects: &HeldSubjects,
        file: &Finished,
    ) -> Result<(), GatewayError> {
        self.app.hold_subjects(&admission.serving, subjects, 0, &file.rows).await?;
        // They may be many, and it may be long before they leave.
        subjects.forget();
        receipt::begin(&self.app, admission, receipt, salted, ReceiptBody::Opened(opening)).await?;
        for (number, (rows, row_set)) in (0..).zip(receipt::row_sets(file.rows.clone())) {
            // What else quotas count is debited when it is taken.
            let body = ReceiptBody::Part { answer_rows: 0, bytes_reserved: 0, number, rows, row_set };
            receipt::write(&self.app, admission, receipt, body).await?;
        }
        Ok(())
    }

    /// The file of a delivery, open. It may have been put away and is made again then; its bytes must be the same.
    async fn opened_file(&self, handed: &Handed) -> Result<Opened, GatewayError> {
        for _ in 0..OPEN_ATTEMPTS {
            let file = self.finished(&handed.admission, &handed.sql, handed.format).await?;
            if (file.bytes, file.digest) != (handed.bytes, handed.digest) {
                return Err(AppError::Fault("a file came out otherwise when it was made again".to_owned()).into());
            }
            let found = Arc::clone(&file);
            if let Some(opened) = on_blocking(move || found.open()).await?? {
                return Ok(opened);
            }
            self.hand_outs.files.forget(&handed.name, &file);
        }
        Err(AppError::Engine(lingqu_engine::EngineError::Busy).into())
    }

    /// Closes the delivery of a file of which something is asked for, and charges a data set unless the order has paid for the file:
    /// its record says both, or is not there and nothing happened. Whoever asks again tries again.
    async fn close_taken(&self, handed: &Handed) -> Result<(), GatewayError> {
        let mut stage = handed.stage.lock().await;
        let mut attempts_left = CLOSE_ATTEMPTS;
        loop {
            match *stage {
                Stage::Taken => return Ok(()),
                Stage::Ended => return Err(GatewayError::FileAddressNotValid),
                Stage::Open | Stage::Unsure => {}
            }
            let _turn = self.hand_outs.paying().await;
            attempts_left -= 1;
            match self.try_to_close(handed, &mut stage).await {
                // Another process may have paid for the file meanwhile.
                Err(GatewayError::App(_)) if attempts_left > 0 && *stage == Stage::Unsure => {}
                ended => {
                    if *stage == Stage::Unsure {
                        // What it used came back, and its record may be there yet.
                        self.app.quota().leave_to_receipts();
                    }
                    return ended;
                }
            }
        }
    }

    /// One attempt. When its record could not be written, whether it is there is unsure until the next one has looked.
    async fn try_to_close(&self, handed: &Handed, stage: &mut Stage) -> Result<(), GatewayError> {
        let was_unsure = *stage == Stage::Unsure;
        if was_unsure {
            match stage_told(&self.app, handed).await? {
                Stage::Taken => {
                    // It came back when the attempt that wrote the record was told that there was none.
                    self.app.quota().leave_to_receipts();
                    *stage = Stage::Taken;
                    self.app.end_subjects(&handed.subjects, 1).await;
                    return Ok(());
                }
                Stage::Ended => {
                    *stage = Stage::Ended;
                    return Err(GatewayError::FileAddressNotValid);
                }
                // It may come to be there until another is written.
                Stage::Open | Stage::Unsure => {}
            }
        }
        let is_paid = paid::is_paid(&self.app, &handed.order, &handed.name).await?;
        // Its rows and bytes leave each time, though it is paid for once.
        let data_sets = u64::from(!is_paid);
        let leaving = Use { calls: 0, data_sets, rows: handed.answer_rows, bytes: handed.bytes };
        let reservation = Reservation::make_on(&self.app, &handed.admission.serving, handed.day, leaving).await?;
        let totals = Totals {
            answer: Some(handed.answer_salt.digest(AnswerForm::Bytes, &handed.digest)),
            rows: handed.rows,
            answer_rows: handed.answer_rows,
            bytes: handed.bytes,
            calls: 0,
            data_sets,
            day: reservation.day(),
        };
        let body = ReceiptBody::Closed { outcome: Outcome::Delivered, totals };
        let (admission, receipt) = (&handed.admission, &handed.receipt);
        let written = if is_paid {
            receipt::write_only_closing(&self.app, admission, receipt, body).await
        } else {
            paid::note(&self.app, &handed.order, &handed.name, receipt).await?;
            let file = paid::file_of(&handed.order, &handed.name);
            receipt::write_paying(&self.app, admission, receipt, body, file).await
        };
        if let Err(error) = written {
            *stage = Stage::Unsure;
            let told = stage_told(&self.app, handed).await;
            if !matches!(told, Ok(Stage::Taken)) {
                match told {
                    // Back before the next attempt, which may need it.
                    Ok(_) => reservation.give_back().await,
                    // What may have been used stays used.
                    Err(_) => {
                        self.app.quota().leave_to_receipts();
                        drop(reservation.keep());
                    }
                }
                return Err(error.into());
            }
            if was_unsure {
                // It may be the record of an earlier attempt, which charged otherwise.
                self.app.quota().leave_to_receipts();
            }
        }
        reservation.keep();
        *stage = Stage::Taken;
        self.app.end_subjects(&handed.subjects, 1).await;
        Ok(())
    }
}

/// How far the records say that a delivery has come.
async fn stage_told(app: &App, handed: &Handed) -> Result<Stage, AppError> {
    let mut stage = Stage::Open;
    for (_, record) in receipt::closings(app, handed.receipt.as_str()).await? {
        match record.body {
            ReceiptBody::Closed { outcome: Outcome::Delivered, .. } => return Ok(Stage::Taken),
            _ => stage = Stage::Ended,
        }
    }
    Ok(stage)
}

/// Ends a hand-out when its time is over.
async fn end_in_time(app: Weak<App>, hand_outs: Weak<HandOuts>, handed: Arc<Handed>) {
    loop {
        // The node's clock may run otherwise than the machine's.
        let Some(now) = app.upgrade().map(|app| app.now()) else { return };
        let Ok(left) = std::time::Duration::try_from(now.duration_until(handed.until)) else { break };
        if left.is_zero() {
            break;
        }
        tokio::time::sleep(left).await;
    }
    let (Some(app), Some(hand_outs)) = (app.upgrade(), hand_outs.upgrade()) else { return };
    hand_outs.look(|all| {
        all.by_receipt.remove(&handed.receipt);
        let place = (handed.order.clone(), handed.admission.protocol, handed.name, handed.key);
        if all.newest.get(&place) == Some(&handed.receipt) {
            all.newest.remove(&place);
        }
    });
    let mut stage = handed.stage.lock().await;
    let told = match *stage {
        Stage::Taken | Stage::Ended => return,
        Stage::Open => Ok(Stage::Open),
        Stage::Unsure => stage_told(&app, &handed).await,
    };
    let ended = match told {
        Ok(Stage::Open | Stage::Unsure) => {
            let totals = Totals { rows: handed.rows, day: handed.day, ..Totals::default() };
            let body = ReceiptBody::Closed { outcome: Outcome::Stopped { code: NOT_TAKEN.to_owned() }, totals };
            match receipt::write_only_closing(&app, &handed.admission, &handed.receipt, body).await {
                Ok(()) => Ok(0),
                // The record of a taking may have come to be there meanwhile.
                Err(error) => match stage_told(&app, &handed).await {
                    Ok(Stage::Taken) => Ok(1),
                    _ => Err(error),
                },
            }
        }
        Ok(Stage::Taken) => Ok(1),
        Ok(Stage::Ended) => Ok(0),
        Err(error) => Err(error),
    };
    match ended {
        Ok(parts) => app.end_subjects(&handed.subjects, parts).await,
        // The next start closes it, free of charge too.
        Err(error) => {
            tracing::warn!(receipt = %handed.receipt, %error, "a delivery that was not taken could not be closed");
        }
    }
    *stage = Stage::Ended;
}

fn unreadable(error: &std::io::Error) -> AppError {
    AppError::Fault(format!("a finished file can't be read: {error}"))
}

/// The digest of all that decides a file's bytes. The product's text and permits follow from the order; the program writes
/// the format.
pub(super) fn name_of(admission: &Admission, sql: &str, format: Format) -> Sha256Digest {
    let form = file_form();
    let parts = [form.as_str(), admission.order.as_str(), &admission.serving.policy_digest, format.name(), sql];
    let mut named = b"lingqu finished file v1".to_vec();
    for part in parts {
        named.extend_from_slice(&(part.len() as u64).to_be_bytes());
        named.extend_from_slice(part.as_bytes());
    }
    sha256(&named)
}

async fn on_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| task_lost(&error))
}
