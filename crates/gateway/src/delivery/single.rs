//! Verification and lookup: a few keys, one record.
//!
//! The answer is found and written in full, then its record is made durable, and only then is it handed out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::datatypes::SchemaRef;
use lingqu_app::{App, AppError, Use};
use lingqu_crypto::{Sha256Digest, sha256};
use lingqu_domain::answer::{AnswerForm, AnswerSalt};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::lineage::{AnswerColumn, AnswerLineage};
use lingqu_domain::predicate::Literal;
use lingqu_domain::receipt::{ReceiptBody, Totals};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_engine::federation::LiveLookup;
use lingqu_engine::lookup::{Found, KEYS_MAX, LookupError, LookupTable, Verdict};
use lingqu_engine::{ColumnView, EngineError};
use lingqu_store::receipt::Appending;
use roaring::RoaringTreemap;
use serde::Serialize;
use tokio::runtime::Handle;

use super::reservation::{Kept, Reservation};
use super::stream::Piece;
use super::{Admission, Deliveries, receipt, task_lost};
use crate::error::GatewayError;

/// An answer that takes so long is asked again whether there is a right to it.
const ASKED_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A claim about the row of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The parts of the key in their order.
    pub key: Vec<Literal>,
    /// Claimed values by column; none states that the value is missing.
    pub values: BTreeMap<String, Option<Literal>>,
}

/// The rows of some keys.
#[derive(Debug)]
pub struct LookedUp {
    /// The schema of each row: the granted columns.
    pub schema: SchemaRef,
    /// The rows in the order of the keys; none for a key that the grant does not cover.
    pub rows: Vec<Option<Found>>,
}

/// What an answer says of itself.
#[derive(Clone, Debug)]
pub struct Label {
    /// The receipt.
    pub receipt: ReceiptId,
    /// REAL or SYNTHETIC.
    pub nature: Nature,
}

/// An answer whose record is durable.
#[derive(Debug)]
pub struct Recorded {
    /// What it says of itself.
    pub label: Label,
    /// The salt of the digest that its receipt has of it.
    pub answer_salt: AnswerSalt,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// An answer that was written, and what its receipt's digest is made of.
pub(super) struct Encoded {
    pub(super) bytes: Vec<u8>,
    pub(super) digest: (AnswerForm, Sha256Digest),
}

impl From<Vec<u8>> for Encoded {
    /// One that leaves as the bytes that it was written in.
    fn from(bytes: Vec<u8>) -> Encoded {
        let digest = (AnswerForm::Bytes, sha256(&bytes));
        Encoded { bytes, digest }
    }
}

/// What was asked of single keys: as it was sent, in its canonical form, and where its answer comes from.
struct Asked {
    sent: String,
    canonical: String,
    lineage: AnswerLineage,
}

/// The canonical form of a verification or a lookup: the same keys, claims and columns by whatever protocol.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum KeyedQuery<'a> {
    Verify(Vec<VerifyQuery<'a>>),
    Lookup { columns: Option<&'a [ColumnName]>, keys: &'a [Vec<Literal>] },
}

impl KeyedQuery<'_> {
    /// Its text, written at once: fields are declared in the order of their names.
    fn canonical(&self) -> Result<String, AppError> {
        serde_json::to_string(self).map_err(|error| AppError::Fault(format!("a question can't be written: {error}")))
    }
}

#[derive(Serialize)]
struct VerifyQuery<'a> {
    claim: &'a BTreeMap<String, Option<Literal>>,
    key: &'a [Literal],
}

/// An admission to keyed access: what an order may ask of single keys.
pub struct Keyed {
    admission: Admission,
    mode: Mode,
    /// Of live data the columns alone.
    table: Arc<LookupTable>,
    /// Of live data, who reads the rows of keys.
    live: Option<LiveLookup>,
    /// The columns that are handed out of what is found; none: all that are granted.
    shown: Option<Vec<ColumnName>>,
}

/// What was found, for the record.
struct Outcome<T> {
    answer: T,
    rows: RoaringTreemap,
    /// Keys without a row.
    missing: u64,
}

impl Keyed {
    /// The columns of the key, in their order.
    pub fn key(&self) -> Vec<&ColumnView> {
        let serving = &self.admission.serving;
        serving.details.key.iter().filter_map(|name| serving.schema().column(name)).collect()
    }

    /// The same, for an answer that has some of the columns alone.
    #[must_use]
    pub fn showing(mut self, columns: Vec<ColumnName>) -> Self {
        self.shown = Some(columns);
        self
    }

    /// Where an answer comes from: a lookup's of each column that it has as it stands, a verification's of the columns that
    /// something is claimed of; its row was chosen by the key.
    fn lineage<'a>(&self, claimed: impl Iterator<Item = &'a str>) -> AnswerLineage {
        let columns = if self.mode == Mode::Verification {
            let from = claimed.filter_map(|name| ColumnName::new(name).ok()).collect();
            vec![AnswerColumn { from, computed: true }]
        } else {
            let all = || self.columns().iter().map(|column| &column.name);
            let one = |name: &ColumnName| AnswerColumn { from: [name.clone()].into(), computed: false };
            self.shown.as_ref().map_or_else(|| all().map(one).collect(), |shown| shown.iter().map(one).collect())
        };
        let conditions = self.admission.serving.details.key.iter().cloned().collect();
        AnswerLineage { columns, conditions, at_most: false }.bounded()
    }

    /// The granted columns as this mode shows them.
    pub fn columns(&self) -> &[ColumnView] {
        &self.table.schema_view().columns
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keyed").field("order", &self.admission.order).finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Opens keyed access in verification or lookup mode. Errors: `mode_not_granted`; what was taken away while it was opened.
    pub async fn keyed(&self, admission: Admission, mode: Mode) -> Result<Keyed, GatewayError> {
        if let Some(live) = admission.serving.live_lookup(mode)? {
            let table = Arc::new(live.empty()?);
            return Ok(Keyed { admission, mode, table, live: Some(live), shown: None });
        }
        let table = match admission.serving.opened_lookup(mode) {
            // It was opened because the mode is granted.
            Some(table) => table,
            None => {
                admission.serving.must_allow(mode)?;
                let serving = Arc::clone(&admission.serving);
                // Not on a thread that serves others.
                let opened = tokio::task::spawn_blocking(move || serving.lookup(mode));
                let opened = opened.await.map_err(|error| task_lost(&error))??;
                // That of a large product takes a minute.
                admission.must_stand(&self.app)?;
                opened
            }
        };
        Ok(Keyed { admission, mode, table, live: None, shown: None })
    }

    /// Verifies 1 to [`KEYS_MAX`] claims. `request` is what was asked, for the vault; `encode` writes the answer. When this
    /// returns, the record is durable.
    ///
    /// A row that the grant does not cover, and so one of a subject without consent, is answered, counted, charged and
    /// recorded as one that is not there is: nothing that leaves tells the two apart.
    pub async fn verify(
        &self,
        keyed: &Keyed,
        claims: &[Claim],
        request: String,
        encode: impl FnOnce(&Label, &[Verdict]) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let asked: Vec<&[Literal]> = claims.iter().map(|claim| claim.key.as_slice()).collect();
        let work = |table: &LookupTable| {
            let mut outcome =
                Outcome { answer: Vec::with_capacity(claims.len()), rows: RoaringTreemap::new(), missing: 0 };
            for claim in claims {
                let verified = table.verify(&claim.key, &claim.values)?;
                outcome.rows.extend(verified.row);
                outcome.missing += u64::from(verified.row.is_none());
                outcome.answer.push(verified.verdict);
            }
            Ok(outcome)
        };
        let encode = |label: &Label, verdicts: &Vec<Verdict>| encode(label, verdicts).map(Encoded::from);
        let lineage = keyed.lineage(claims.iter().flat_map(|claim| claim.values.keys().map(String::as_str)));
        let queries = claims.iter().map(|claim| VerifyQuery { claim: &claim.values, key: &claim.key }).collect();
        let question = Asked { sent: request, canonical: KeyedQuery::Verify(queries).canonical()?, lineage };
        self.single(keyed, &asked, question, work, encode).await
    }

    /// Looks up 1 to [`KEYS_MAX`] keys. Everything else is as for [`Deliveries::verify`].
    pub async fn look_up(
        &self,
        keyed: &Keyed,
        keys: &[Vec<Literal>],
        request: String,
        encode: impl FnOnce(&Label, &LookedUp) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        self.look_up_as(keyed, keys, request, |label, found| encode(label, found).map(Encoded::from)).await
    }

    /// The same for an answer that may leave otherwise than as the bytes that are counted for it.
    pub(super) async fn look_up_as(
        &self,
        keyed: &Keyed,
        keys: &[Vec<Literal>],
        request: String,
        encode: impl FnOnce(&Label, &LookedUp) -> Result<Encoded, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let asked: Vec<&[Literal]> = keys.iter().map(Vec::as_slice).collect();
        let bytes_max = Admission::limits(Mode::Lookup).bytes_max;
        let work = |table: &LookupTable| {
            let (mut found, mut rows, mut bytes) = (Vec::with_capacity(keys.len()), RoaringTreemap::new(), 0);
            for key in keys {
                let row = table.lookup(key)?;
                rows.extend(row.iter().map(|row| row.row));
                // A row may hold long texts, and the answer lies in memory whole.
                bytes += row.as_ref().map_or(0, |row| row.values.bytes());
                if bytes > bytes_max {
                    return Err(EngineError::TooManyBytes { bytes_max }.into());
                }
                found.push(row);
            }
            let missing = found.iter().filter(|found| found.is_none()).count() as u64;
            Ok(Outcome { answer: LookedUp { schema: table.schema(), rows: found }, rows, missing })
        };
        let lineage = keyed.lineage(std::iter::empty());
        let query = KeyedQuery::Lookup { columns: keyed.shown.as_deref(), keys };
        let question = Asked { sent: request, canonical: query.canonical()?, lineage };
        self.single(keyed, &asked, question, work, encode).await
    }

    /// Reserves, answers, records.
    async fn single<T>(
        &self,
        keyed: &Keyed,
        asked: &[&[Literal]],
        question: Asked,
        work: impl FnOnce(&LookupTable) -> Result<Outcome<T>, GatewayError>,
        encode: impl FnOnce(&Label, &T) -> Result<Encoded, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let Keyed { admission, mode, .. } = keyed;
        let begun = Instant::now();
        let calls = counted(asked.len())?;
        let place = self.singles.take(&admission.order)?;
        let reserved = Use { calls, ..Use::default() };
        let mut reservation = Reservation::make(&self.app, &admission.serving, reserved).await?;
        let label = Label { receipt: self.app.new_receipt_id()?, nature: admission.serving.grant.nature };
        let read = match &keyed.live {
            Some(live) => self.read_live(live, admission, asked).await,
            None => Ok(Arc::clone(&keyed.table)),
        };
        let found = read.and_then(|table| work(&table)).and_then(|outcome| {
            let body = encode(&label, &outcome.answer)?;
            Ok((body, outcome.rows, outcome.missing))
        });
        let (Encoded { bytes: body, digest: (form, plain) }, rows, missing) = match found {
            Ok(found) => found,
            Err(error) => {
                // Back before the refusal is known: the next request may need it.
                reservation.give_back().await;
                return Err(error);
            }
        };
        let leaving = Use { rows: calls - missing, bytes: body.len() as u64, ..Use::default() };
        let (serving, process) = (&admission.serving, admission.process.as_deref());
        let subjects = self.app.held_subjects(serving, reservation.day(), &label.receipt, process);
        if let Err(error) = reservation.add(serving, leaving, subjects, &rows).await {
            reservation.give_back().await;
            return Err(error);
        }
        // Reading the subjects of a large product takes its time. Of others it is not asked again whether somebody else's consent was
        // withdrawn in the moment that they take.
        if begun.elapsed() >= ASKED_AGAIN_AFTER
            && let Err(error) = admission.must_stand(&self.app)
        {
            reservation.give_back().await;
            return Err(error.into());
        }
        let salted = self.app.salt_request(&question.sent, &question.canonical)?;
        let totals = Totals {
            answer: Some(salted.answer_salt.digest(form, &plain)),
            rows: rows.len(),
            answer_rows: leaving.rows,
            bytes: leaving.bytes,
            calls,
            data_sets: 0,
            day: reservation.day(),
        };
        let opening = receipt::opening(&self.app, admission, *mode, &salted, Some(question.lineage));
        let record = ReceiptBody::Single { opening, totals, row_set: receipt::encode(&rows) };
        let written = match receipt::hand_in(&self.app, admission, &label.receipt, &salted.kept, record).await {
            Ok(written) => written,
            Err(error) => {
                reservation.give_back().await;
                return Err(error.into());
            }
        };
        // The record will be there even if the client hangs up now, and so what it says was used is.
        let kept = reservation.keep();
        let settling = Settling { app: Arc::clone(&self.app), on_its_way: Some((written, kept)), is_alone: false };
        settling.wait().await?;
        drop(place);
        Ok(Recorded { label, answer_salt: salted.answer_salt, body })
    }
}

impl Deliveries {
    /// Reads the rows of keys from the department's database. That may take long, so grant and key are asked again
    /// afterwards.
    async fn read_live(
        &self,
        live: &LiveLookup,
        admission: &Admission,
        keys: &[&[Literal]],
    ) -> Result<Arc<LookupTable>, GatewayError> {
        let table = live.fetch(keys).await?;
        admission.must_stand(&self.app)?;
        Ok(Arc::new(table))
    }
}

/// The record of an answer on its way, and what it says was used. Dropping it, as a client does who hangs up, leaves it to a task:
/// nobody stays held, and that a record could not be written is known whoever waits for it.
struct Settling {
    app: Arc<App>,
    /// None once it has arrived.
    on_its_way: Option<(Appending, Kept)>,
    /// Whether it has been left to a task.
    is_alone: bool,
}

impl Settling {
    /// Waits for the record, and settles what it used.
    async fn wait(mut self) -> Result<(), AppError> {
        let Some((written, _)) = &mut self.on_its_way else { return Ok(()) };
        let arrived = written.arrives().await;
        if let Some((_, kept)) = self.on_its_way.take() {
            match &arrived {
                Ok(_) => kept.settle(&self.app).await,
                Err(_) => kept.take_back(&self.app).await,
            }
        }
        arrived.map(|_| ()).map_err(AppError::from)
    }
}

impl Drop for Settling {
    fn drop(&mut self) {
        let Some(on_its_way) = self.on_its_way.take() else { return };
        match Handle::try_current() {
            Ok(runtime) if !self.is_alone => {
                let alone = Settling { app: Arc::clone(&self.app), on_its_way: Some(on_its_way), is_alone: true };
                drop(runtime.spawn(alone.wait()));
            }
            // The runtime ends: whoever comes next counts the receipts.
            _ => self.app.quota().leave_to_receipts(),
        }
    }
}

/// A batch has something in it and not too much.
fn counted(length: usize) -> Result<u64, GatewayError> {
    if length == 0 {
        return Err(GatewayError::malformed(
            "请求中没有任何条目",
            "the request asks for nothing; send at least one entry",
        ));
    }
    if length > KEYS_MAX {
        return Err(LookupError::TooManyKeys { found: length }.into());
    }
    Ok(length as u64)
}
