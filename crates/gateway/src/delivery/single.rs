//! Verification and lookup: a few keys, one record.
//!
//! The answer is found and written in full, then its record is made durable, and only then is it handed out.

use std::collections::BTreeMap;

use arrow::datatypes::SchemaRef;
use lingqu_app::AppError;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::predicate::Literal;
use lingqu_domain::receipt::{ReceiptBody, Totals};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::lookup::{Found, KEYS_MAX, LookupError, Verdict};
use roaring::RoaringTreemap;
use serde::Serialize;

use super::reservation::Reservation;
use super::{Admission, Deliveries, receipt, task_lost};
use crate::error::GatewayError;

/// A claim about the row of a key.
#[derive(Clone, Debug, PartialEq)]
pub struct Claim {
    /// The parts of the key in their order.
    pub key: Vec<Literal>,
    /// Claimed values by column; none states that the value is missing.
    pub values: BTreeMap<String, Option<Literal>>,
}

/// What comes of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// The row exists and every claimed value is its value.
    Match,
    /// The row exists and a claimed value is not its value.
    Mismatch,
    /// There is no such row for this grant.
    NotFound,
    /// The grant requires consent and there is none for this key; the same is said of a key that does not exist, so that
    /// nobody learns who is in the register. Only beside other findings: where it is all there is, the whole is refused.
    ConsentMissing,
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
    /// Its bytes.
    pub body: Vec<u8>,
}

/// What was found, for the record.
struct Outcome<T> {
    answer: T,
    rows: RoaringTreemap,
    /// Keys without a row.
    missing: u64,
}

impl Deliveries {
    /// Verifies 1 to [`KEYS_MAX`] claims. `request` is what was asked, for the vault; `encode` writes the answer. When this
    /// returns, the record is durable.
    ///
    /// Where consent is required, keys without one are not charged; when no key has one the whole is refused as
    /// `consent_missing`, leaves no receipt and costs nothing.
    pub async fn verify(
        &self,
        admission: &Admission,
        claims: Vec<Claim>,
        request: String,
        encode: impl FnOnce(&Label, &[Finding]) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let needs_consent = admission.serving.needs_consent();
        let serving = admission.serving.clone();
        let count = claims.len();
        let work = move || {
            let table = serving.lookup(Mode::Verification)?;
            let mut outcome = Outcome { answer: Vec::with_capacity(claims.len()), rows: RoaringTreemap::new(), missing: 0 };
            for claim in &claims {
                let verified = table.verify(&claim.key, &claim.values)?;
                outcome.rows.extend(verified.row);
                outcome.answer.push(match verified.verdict {
                    Verdict::Match => Finding::Match,
                    Verdict::Mismatch => Finding::Mismatch,
                    Verdict::NotFound => {
                        outcome.missing += 1;
                        if needs_consent { Finding::ConsentMissing } else { Finding::NotFound }
                    }
                });
            }
            Ok(outcome)
        };
        let encode = |label: &Label, findings: &Vec<Finding>| encode(label, findings);
        self.single(admission, Mode::Verification, count, request, work, encode).await
    }

    /// Looks up 1 to [`KEYS_MAX`] keys. Everything else is as for [`Deliveries::verify`].
    pub async fn look_up(
        &self,
        admission: &Admission,
        keys: Vec<Vec<Literal>>,
        request: String,
        encode: impl FnOnce(&Label, &LookedUp) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let serving = admission.serving.clone();
        let count = keys.len();
        let work = move || {
            let table = serving.lookup(Mode::Lookup)?;
            let found = table.lookup_batch(&keys)?;
            let mut rows = RoaringTreemap::new();
            rows.extend(found.iter().flatten().map(|found| found.row));
            let missing = found.iter().filter(|found| found.is_none()).count() as u64;
            Ok(Outcome { answer: LookedUp { schema: table.schema(), rows: found }, rows, missing })
        };
        self.single(admission, Mode::Lookup, count, request, work, encode).await
    }

    /// Reserves, answers, records.
    async fn single<T, W, E>(
        &self,
        admission: &Admission,
        mode: Mode,
        count: usize,
        request: String,
        work: W,
        encode: E,
    ) -> Result<Recorded, GatewayError>
    where
        T: Send + 'static,
        W: FnOnce() -> Result<Outcome<T>, GatewayError> + Send + 'static,
        E: FnOnce(&Label, &T) -> Result<Vec<u8>, AppError>,
    {
        admission.serving.must_allow(mode)?;
        let calls = counted(count)?;
        let _place = self.singles.take(&admission.order)?;
        let reservation = Reservation::make(&self.app, &admission.serving, calls, 0).await?;
        // The first use reads the product into memory, and a thousand keys take a while: not on a thread that serves others.
        let outcome = tokio::task::spawn_blocking(work).await.map_err(|error| task_lost(&error))??;
        let uncovered = if admission.serving.needs_consent() { outcome.missing } else { 0 };
        if uncovered == calls {
            return Err(consent_missing());
        }
        let label = Label { receipt: self.app.new_receipt_id()?, nature: admission.serving.grant.nature };
        let body = encode(&label, &outcome.answer)?;
        let totals = Totals {
            rows: outcome.rows.len(),
            answer_rows: calls - outcome.missing,
            bytes: body.len() as u64,
            calls: calls - uncovered,
            data_sets: 0,
        };
        let record = ReceiptBody::Single {
            opening: receipt::opening(&self.app, admission, mode, &request)?,
            totals,
            row_set: receipt::encode(&outcome.rows),
        };
        let (app, admission, receipt) = (self.app.clone(), admission.clone(), label.receipt.clone());
        let recorded = tokio::spawn(async move {
            receipt::begin(&app, &admission, &receipt, &request, record).await?;
            reservation.keep();
            if uncovered > 0 {
                app.quota().refund(&app.quota_debits(&admission.serving, uncovered, 0)).await;
            }
            Ok::<(), AppError>(())
        });
        recorded.await.map_err(|error| task_lost(&error))??;
        Ok(Recorded { label, body })
    }
}

/// A batch has something in it and not too much.
fn counted(length: usize) -> Result<u64, GatewayError> {
    if length == 0 {
        return Err(GatewayError::malformed("请求中没有任何条目", "the request asks for nothing; send at least one entry"));
    }
    if length > KEYS_MAX {
        return Err(LookupError::TooManyKeys { found: length }.into());
    }
    Ok(length as u64)
}

fn consent_missing() -> GatewayError {
    Refusal::new(
        RefusalCode::ConsentMissing,
        "",
        "没有本人对此用途与使用方的有效同意，请先取得本人同意",
        "the subject has given no consent that is in force for this purpose and consumer; ask the subject for consent",
    )
    .into()
}
