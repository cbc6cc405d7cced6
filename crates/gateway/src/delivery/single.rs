//! Verification and lookup: a few keys, one record.
//!
//! The answer is found and written in full, then its record is made durable, and only then is it handed out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lingqu_app::{AppError, Use};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::predicate::Literal;
use lingqu_domain::receipt::{ReceiptBody, Totals};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::Mode;
use lingqu_engine::ColumnView;
use lingqu_engine::lookup::{Found, KEYS_MAX, LookupError, LookupTable, Verdict};
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

/// An admission to keyed access: what an order may ask of single keys.
pub struct Keyed {
    admission: Admission,
    mode: Mode,
    table: Arc<LookupTable>,
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
    pub fn key(&self) -> Vec<ColumnView> {
        let serving = &self.admission.serving;
        serving.details.key.iter().filter_map(|name| serving.schema().column(name).cloned()).collect()
    }

    /// The granted columns as this mode shows them.
    pub fn columns(&self) -> Vec<ColumnView> {
        self.table.schema_view().columns
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Keyed").field("order", &self.admission.order).finish_non_exhaustive()
    }
}

impl Deliveries {
    /// Opens keyed access in verification or lookup mode. Error: `mode_not_granted`.
    pub async fn keyed(&self, admission: Admission, mode: Mode) -> Result<Keyed, GatewayError> {
        let table = match admission.serving.opened_lookup(mode) {
            // It was opened because the mode is granted.
            Some(table) => table,
            None => {
                admission.serving.must_allow(mode)?;
                let serving = Arc::clone(&admission.serving);
                // Not on a thread that serves others.
                let opened = tokio::task::spawn_blocking(move || serving.lookup(mode));
                opened.await.map_err(|error| task_lost(&error))??
            }
        };
        Ok(Keyed { admission, mode, table })
    }

    /// Verifies 1 to [`KEYS_MAX`] claims. `request` is what was asked, for the vault; `encode` writes the answer. When this
    /// returns, the record is durable.
    ///
    /// Where consent is required, keys without one are not charged; when no key has one the whole is refused as
    /// `consent_missing`, leaves no receipt and costs nothing.
    pub async fn verify(
        &self,
        keyed: &Keyed,
        claims: &[Claim],
        request: String,
        encode: impl FnOnce(&Label, &[Finding]) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let needs_consent = keyed.admission.serving.needs_consent();
        let work = || {
            let mut outcome =
                Outcome { answer: Vec::with_capacity(claims.len()), rows: RoaringTreemap::new(), missing: 0 };
            for claim in claims {
                let verified = keyed.table.verify(&claim.key, &claim.values)?;
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
        self.single(keyed, claims.len(), request, work, encode).await
    }

    /// Looks up 1 to [`KEYS_MAX`] keys. Everything else is as for [`Deliveries::verify`].
    pub async fn look_up(
        &self,
        keyed: &Keyed,
        keys: &[Vec<Literal>],
        request: String,
        encode: impl FnOnce(&Label, &LookedUp) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let work = || {
            let found = keyed.table.lookup_batch(keys)?;
            let mut rows = RoaringTreemap::new();
            rows.extend(found.iter().flatten().map(|found| found.row));
            let missing = found.iter().filter(|found| found.is_none()).count() as u64;
            Ok(Outcome { answer: LookedUp { schema: keyed.table.schema(), rows: found }, rows, missing })
        };
        self.single(keyed, keys.len(), request, work, encode).await
    }

    /// Reserves, answers, records.
    async fn single<T>(
        &self,
        keyed: &Keyed,
        count: usize,
        request: String,
        work: impl FnOnce() -> Result<Outcome<T>, GatewayError>,
        encode: impl FnOnce(&Label, &T) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let Keyed { admission, mode, .. } = keyed;
        let calls = counted(count)?;
        let place = self.singles.take(&admission.order)?;
        let asked = Use { calls, ..Use::default() };
        let mut reservation = Reservation::make(&self.app, &admission.serving, asked).await?;
        let label = Label { receipt: self.app.new_receipt_id()?, nature: admission.serving.grant.nature };
        let found = work().and_then(|outcome| {
            let uncovered = if admission.serving.needs_consent() { outcome.missing } else { 0 };
            if uncovered == calls {
                return Err(consent_missing());
            }
            Ok((encode(&label, &outcome.answer)?, outcome.rows, outcome.missing, uncovered))
        });
        let (body, rows, missing, uncovered) = match found {
            Ok(found) => found,
            Err(error) => {
                // Back before the refusal is known: the next request may need it.
                reservation.give_back().await;
                return Err(error);
            }
        };
        let leaving = Use { rows: calls - missing, bytes: body.len() as u64, ..Use::default() };
        if let Err(error) = reservation.add(&admission.serving, leaving, &rows).await {
            reservation.give_back().await;
            return Err(error);
        }
        let totals = Totals {
            rows: rows.len(),
            answer_rows: leaving.rows,
            bytes: leaving.bytes,
            calls: calls - uncovered,
            data_sets: 0,
            day: reservation.day(),
        };
        // Order and mode fix where the answer comes from.
        let (opening, salted) = receipt::opening(&self.app, admission, *mode, &request, None)?;
        let record = ReceiptBody::Single { opening, totals, row_set: receipt::encode(&rows) };
        let (app, admission, receipt) = (self.app.clone(), admission.clone(), label.receipt.clone());
        let recorded = tokio::spawn(async move {
            let _place = place;
            receipt::begin(&app, &admission, &receipt, &salted, record).await?;
            let day = reservation.day();
            reservation.keep();
            let free = Use { calls: uncovered, ..Use::default() };
            app.quota().refund(&app.quota_debits(&admission.serving, day, &free)).await;
            Ok::<(), AppError>(())
        });
        recorded.await.map_err(|error| task_lost(&error))??;
        Ok(Recorded { label, body })
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

fn consent_missing() -> GatewayError {
    Refusal::new(
        RefusalCode::ConsentMissing,
        "",
        "没有本人对此用途与使用方的有效同意，请先取得本人同意",
        "the subject has given no consent that is in force for this purpose and consumer; ask the subject for consent",
    )
    .into()
}
