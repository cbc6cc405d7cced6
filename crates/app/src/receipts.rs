//! Receipts of deliveries: written before bytes leave, read back for metering, evidence and whoever may see them.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lingqu_crypto::{Sha256Hasher, sha256};
use lingqu_domain::answer::AnswerSalt;
use lingqu_domain::id::{CommandId, IdSource, NodeId, OrderId, ReceiptId};
use lingqu_domain::order::OrderStage;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_store::Backend;
use lingqu_store::paid_file::PaidFile;
use lingqu_store::receipt::{Appending, Fence, NewReceipt, READ_LIMIT_MAX, REQUEST_BYTES_MAX, Receipt, ReceiptLog};
use lingqu_store::vault::VaultRead;

use crate::app::App;
use crate::error::AppError;
use crate::keys::random;
use crate::recount::INTERRUPTED;

/// Stands between what was asked as it was sent and its canonical form.
const CANONICAL_BEHIND: u8 = 0x1e;

/// What was asked, salted: for a receipt and for the vault.
#[derive(Clone)]
pub struct SaltedRequest {
    /// SHA-256 of what stands in the vault, hexadecimal.
    pub request_digest: String,
    /// SHA-256 of the salt and the canonical form, hexadecimal.
    pub query_digest: String,
    /// The salt of the answer's digest.
    pub answer_salt: AnswerSalt,
    /// What stands in the vault: 16 bytes of salt, what was asked as it was sent, and where its canonical form is another, a
    /// byte 0x1e and that form.
    pub kept: Vec<u8>,
}

impl std::fmt::Debug for SaltedRequest {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("SaltedRequest").finish_non_exhaustive()
    }
}

impl App {
    /// When a delivery happens: by the node's clock, and never before the journal's last event, as the journal's own events. At
    /// this time its right is asked for, its quota's day is chosen and its records are dated, so that all three agree, and agree
    /// with the journal also while a clock that was set back has not come to its last event again.
    pub fn delivery_time(&self) -> Timestamp {
        let now = self.clock.now();
        self.read(|state| state.last_at).map_or(now, |last_at| now.max(last_at))
    }

    /// A record of a delivery, as of now: every receipt is dated here.
    pub fn receipt_record(&self, receipt: &ReceiptId, body: ReceiptBody) -> ReceiptRecord {
        ReceiptRecord { at: self.delivery_time(), body, receipt: receipt.clone() }
    }

    /// An id for a delivery.
    pub fn new_receipt_id(&self) -> Result<ReceiptId, AppError> {
        let now = self.clock.now();
        Ok(ReceiptId::next(&mut IdSource::new(CommandId::of_random(now, random()?), now)))
    }

    /// Writes one receipt record. When this returns, it is durable.
    pub async fn write_receipt(&self, order: &OrderId, record: &ReceiptRecord) -> Result<u64, AppError> {
        Ok(self.receipts.append(stored(order, record)).await?)
    }

    /// Writes the first record of a delivery with its salted request. When this returns, both are durable; whatever crashes
    /// before, neither is there without the other.
    pub async fn write_first_receipt(
        &self,
        order: &OrderId,
        record: &ReceiptRecord,
        salted: &[u8],
    ) -> Result<u64, AppError> {
        Ok(self.hand_in_receipt(order, record, salted).await?.durable().await?)
    }

    /// The same in two steps: when this returns, the record is on its way to the disk and gets there whoever waits for it.
    pub async fn hand_in_receipt(
        &self,
        order: &OrderId,
        record: &ReceiptRecord,
        salted: &[u8],
    ) -> Result<Appending, AppError> {
        let process = match &record.body {
            ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening.process.clone(),
            ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => None,
        };
        Ok(self.receipts.hand_in(stored(order, record), salted, process.map(Fence::Alive)).await?)
    }

    /// The same for a further record of a delivery that a process serves ([`App::serving_process`]). It is not written once that
    /// process was taken for dead.
    pub async fn hand_in_next_receipt(
        &self,
        order: &OrderId,
        record: &ReceiptRecord,
        process: Option<&str>,
    ) -> Result<Appending, AppError> {
        let fence = process.map(|process| Fence::Alive(process.to_owned()));
        Ok(self.receipts.hand_in_next(stored(order, record), fence).await?)
    }

    /// The same for the record that closes a delivery of which an earlier one may still be on its way to the disk: where several
    /// processes serve a node it is not written once there is one.
    pub async fn hand_in_only_closing(
        &self,
        order: &OrderId,
        record: &ReceiptRecord,
        process: Option<&str>,
    ) -> Result<Appending, AppError> {
        let fence = process.map(|process| Fence::AliveAndOpen(process.to_owned()));
        Ok(self.receipts.hand_in_next(stored(order, record), fence).await?)
    }

    /// The same for the record that closes a delivery which pays for a file, for which it is noted
    /// ([`lingqu_store::Store::note_payer`]). Where several processes serve a node it is not written once another delivery that is
    /// noted has ended.
    pub async fn hand_in_paying_receipt(
        &self,
        order: &OrderId,
        record: &ReceiptRecord,
        process: Option<&str>,
        file: PaidFile,
    ) -> Result<Appending, AppError> {
        let fence = process.map(|process| Fence::Paying { process: process.to_owned(), file });
        Ok(self.receipts.hand_in_next(stored(order, record), fence).await?)
    }

    /// Forgets which deliveries may have paid for files of orders that have ended: nothing of these leaves any more.
    pub async fn forget_payers_of_ended_orders(&self) -> Result<(), AppError> {
        for order in self.store.orders_with_payers().await? {
            let Ok(id) = order.parse::<OrderId>() else { continue };
            let stage = self.read(|state| state.orders.get(&id).map(|order| order.value.stage.clone()));
            if matches!(stage, Some(OrderStage::Ended { .. })) {
                self.store.forget_payers(&order).await?;
            }
        }
        Ok(())
    }

    /// What names this process in the records of its deliveries: none where a node has one process at a time. One that was not
    /// seen for a while shows itself first, so that a delivery does not begin under a name that is taken for dead.
    pub async fn serving_process(&self) -> Result<Option<String>, AppError> {
        if self.is_only_writer {
            return Ok(None);
        }
        self.quota.show().await?;
        Ok(Some(self.quota.process().to_string()))
    }

    /// Salts what was asked (claim, key or SQL), as it was sent and in its canonical form. The salt stands in the vault and
    /// nowhere else: a claim holds an identity number, and with the salt at hand the digest could be opened by trying all of them.
    pub fn salt_request(&self, sent: &str, canonical: &str) -> Result<SaltedRequest, AppError> {
        let salt = random::<16>()?;
        let mut kept = Vec::with_capacity(salt.len() + sent.len() + 1 + canonical.len());
        kept.extend_from_slice(&salt);
        kept.extend_from_slice(sent.as_bytes());
        // Where there is no room for both, the form follows from what was sent by the rule that makes it.
        if canonical != sent && kept.len() + 1 + canonical.len() <= REQUEST_BYTES_MAX {
            kept.push(CANONICAL_BEHIND);
            kept.extend_from_slice(canonical.as_bytes());
        }
        let mut query = Sha256Hasher::default();
        query.update(&salt);
        query.update(canonical.as_bytes());
        Ok(SaltedRequest {
            request_digest: sha256(&kept).to_string(),
            query_digest: query.finish().to_string(),
            answer_salt: AnswerSalt::of_request(&salt),
            kept,
        })
    }

    /// The node's id; none before it is initialised.
    pub fn node_id(&self) -> Option<NodeId> {
        self.read(|state| state.node.values().next().map(|node| node.value.id.clone()))
    }

    /// The salted request of a delivery, which its receipt has the digest of: see [`SaltedRequest::kept`].
    pub async fn request(&self, receipt: &ReceiptId) -> Result<VaultRead, AppError> {
        Ok(self.receipts_now().await?.request(receipt.as_str()).await?)
    }

    /// Receipt records of an order after a position, at most `limit`, with their positions.
    pub async fn order_receipts(
        &self,
        order: &OrderId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<(u64, ReceiptRecord)>, AppError> {
        let positions = self.receipts.positions_of_order(order.as_str(), after, limit).await?;
        let mut records = Vec::with_capacity(positions.len());
        for position in positions {
            if let Some(receipt) = self.receipts.read(position).await? {
                records.push((position, parse(&receipt)?));
            }
        }
        Ok(records)
    }

    /// The receipt log as it stands on the disk now. A node that was opened beside a running one has not seen what was
    /// written to its segments since.
    pub(crate) async fn receipts_now(&self) -> Result<ReceiptLog, AppError> {
        if self.is_only_writer || self.store.backend() == Backend::Postgres {
            return Ok(self.receipts.clone());
        }
        Ok(ReceiptLog::open_for_reading(&self.store, &self.directory).await?)
    }

    /// The receipt log.
    pub fn receipts(&self) -> &ReceiptLog {
        &self.receipts
    }

    /// Closes deliveries that were open when the node stopped: as interrupted, free of charge. What quotas count of them is what
    /// their records let out.
    pub(crate) async fn close_interrupted(&self) -> Result<(), AppError> {
        let mut open: BTreeMap<String, Open> = BTreeMap::new();
        let mut position = 0;
        loop {
            let receipts = self.receipts.read_after(position, READ_LIMIT_MAX).await?;
            let Some(last) = receipts.last() else { break };
            position = last.position;
            for receipt in &receipts {
                // Parts are the bulk of the log and say nothing of this.
                match receipt.receipt.kind.as_str() {
                    "opened" => {
                        let record = parse(receipt)?;
                        // Of one with a process it is known whether that is dead.
                        if let ReceiptBody::Opened(opening) = record.body
                            && opening.process.is_none()
                        {
                            let totals = Totals { day: opening.day, ..Totals::default() };
                            let (position, order) = (receipt.position, opening.order);
                            let begun = Open { position, order, receipt: record.receipt, totals };
                            open.insert(receipt.receipt.receipt_id.clone(), begun);
                        }
                    }
                    "closed" => {
                        open.remove(&receipt.receipt.receipt_id);
                    }
                    _ => {}
                }
            }
        }
        if self.is_only_writer {
            self.add_parts(&mut open).await?;
        }
        for Open { order, receipt, totals, .. } in open.into_values() {
            let body = ReceiptBody::Closed { outcome: Outcome::Stopped { code: INTERRUPTED.to_owned() }, totals };
            self.write_receipt(&order, &self.receipt_record(&receipt, body)).await?;
        }
        Ok(())
    }

    /// Adds up what the parts of open deliveries let out. The log is read a second time, from the first of these on: most of its
    /// parts are of deliveries that were closed.
    async fn add_parts(&self, open: &mut BTreeMap<String, Open>) -> Result<(), AppError> {
        let Some(first) = open.values().map(|begun| begun.position).min() else { return Ok(()) };
        let mut position = first;
        loop {
            let receipts = self.receipts.read_after(position, READ_LIMIT_MAX).await?;
            let Some(last) = receipts.last() else { return Ok(()) };
            position = last.position;
            for receipt in receipts.iter().filter(|receipt| receipt.receipt.kind == "part") {
                let Some(begun) = open.get_mut(&receipt.receipt.receipt_id) else { continue };
                if let ReceiptBody::Part { answer_rows, bytes_reserved, rows, .. } = parse(receipt)?.body {
                    begun.totals.answer_rows = begun.totals.answer_rows.saturating_add(answer_rows);
                    begun.totals.bytes = begun.totals.bytes.saturating_add(bytes_reserved);
                    begun.totals.rows = begun.totals.rows.saturating_add(rows);
                }
            }
        }
    }
}

/// A delivery without a closing record.
struct Open {
    /// Of its opening record; its parts stand after it.
    position: u64,
    order: OrderId,
    receipt: ReceiptId,
    totals: Totals,
}

/// A record as it is stored.
pub(crate) fn stored(order: &OrderId, record: &ReceiptRecord) -> NewReceipt {
    NewReceipt {
        receipt_id: record.receipt.to_string(),
        order_id: order.to_string(),
        kind: record.kind().to_owned(),
        record: record.canonical().into_bytes(),
    }
}

/// Reads a stored record back.
pub(crate) fn parse(receipt: &Receipt) -> Result<ReceiptRecord, AppError> {
    serde_json::from_slice(&receipt.receipt.record)
        .map_err(|error| AppError::Fault(format!("receipt record {} can't be read: {error}", receipt.position)))
}
