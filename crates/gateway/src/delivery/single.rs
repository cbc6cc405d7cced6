//! Verification and lookup: a few keys, one record.
//!
//! The answer is found and written in full, then its record is made durable, and only then is it handed out.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use lingqu_app::{AppError, Use};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::lineage::{AnswerColumn, AnswerLineage};
use lingqu_domain::predicate::Literal;
use lingqu_domain::receipt::{ReceiptBody, Totals};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::Nature;
use lingqu_domain::scope::{ColumnName, Mode};
use lingqu_engine::ColumnView;
use lingqu_engine::federation::LiveLookup;
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
    /// Opens keyed access in verification or lookup mode. Error: `mode_not_granted`.
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
                opened.await.map_err(|error| task_lost(&error))??
            }
        };
        Ok(Keyed { admission, mode, table, live: None, shown: None })
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
        let asked: Vec<&[Literal]> = claims.iter().map(|claim| claim.key.as_slice()).collect();
        let work = |table: &LookupTable| {
            let mut outcome =
                Outcome { answer: Vec::with_capacity(claims.len()), rows: RoaringTreemap::new(), missing: 0 };
            for claim in claims {
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
        let lineage = keyed.lineage(claims.iter().flat_map(|claim| claim.values.keys().map(String::as_str)));
        self.single(keyed, &asked, (request, lineage), work, encode).await
    }

    /// Looks up 1 to [`KEYS_MAX`] keys. Everything else is as for [`Deliveries::verify`].
    pub async fn look_up(
        &self,
        keyed: &Keyed,
        keys: &[Vec<Literal>],
        request: String,
        encode: impl FnOnce(&Label, &LookedUp) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let asked: Vec<&[Literal]> = keys.iter().map(Vec::as_slice).collect();
        let work = |table: &LookupTable| {
            let found = table.lookup_batch(keys)?;
            let mut rows = RoaringTreemap::new();
            rows.extend(found.iter().flatten().map(|found| found.row));
            let missing = found.iter().filter(|found| found.is_none()).count() as u64;
            Ok(Outcome { answer: LookedUp { schema: table.schema(), rows: found }, rows, missing })
        };
        let lineage = keyed.lineage(std::iter::empty());
        self.single(keyed, &asked, (request, lineage), work, encode).await
    }

    /// Reserves, answers, records.
    async fn single<T>(
        &self,
        keyed: &Keyed,
        asked: &[&[Literal]],
        (request, lineage): (String, AnswerLineage),
        work: impl FnOnce(&LookupTable) -> Result<Outcome<T>, GatewayError>,
        encode: impl FnOnce(&Label, &T) -> Result<Vec<u8>, AppError>,
    ) -> Result<Recorded, GatewayError> {
        let Keyed { admission, mode, .. } = keyed;
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
        let (opening, salted) = receipt::opening(&self.app, admission, *mode, &request, Some(lineage))?;
        let record = ReceiptBody::Single { opening, totals, row_set: receipt::encode(&rows) };
        reservation.give_back_part(&admission.serving, Use { calls: uncovered, ..Use::default() }).await;
        let written = match receipt::hand_in(&self.app, admission, &label.receipt, &salted, record).await {
            Ok(written) => written,
            Err(error) => {
                reservation.give_back().await;
                return Err(error.into());
            }
        };
        // The record will be there even if the client hangs up now, and so what it says was used is.
        let kept = reservation.keep();
        if let Err(error) = written.durable().await {
            kept.take_back(&self.app).await;
            return Err(AppError::from(error).into());
        }
        drop(place);
        Ok(Recorded { label, body })
    }
}

impl Deliveries {
    /// Reads the rows of keys from the department's database. That may take long, so the grant is asked again afterwards.
    async fn read_live(
        &self,
        live: &LiveLookup,
        admission: &Admission,
        keys: &[&[Literal]],
    ) -> Result<Arc<LookupTable>, GatewayError> {
        let table = live.fetch(keys).await?;
        self.app.still_granted(&admission.serving)?;
        Ok(Arc::new(table))
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
