//! Receipts of deliveries: written before bytes leave, read back for metering, evidence and whoever may see them.

use std::collections::BTreeMap;

use lingqu_crypto::sha256;
use lingqu_domain::id::{CommandId, IdSource, OrderId, ReceiptId};
use lingqu_domain::receipt::{Opening, Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_store::Backend;
use lingqu_store::receipt::{Appending, NewReceipt, READ_LIMIT_MAX, Receipt, ReceiptLog};
use lingqu_store::vault::VaultRead;

use crate::app::App;
use crate::error::AppError;
use crate::keys::random;
use crate::recount::INTERRUPTED;

impl App {
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
        Ok(self.receipts.append_with_request(stored(order, record), salted).await?)
    }

    /// The same in two steps: when this returns, the record is on its way to the disk and gets there whoever waits for it.
    pub async fn hand_in_receipt(
        &self,
        order: &OrderId,
        record: &ReceiptRecord,
        salted: &[u8],
    ) -> Result<Appending, AppError> {
        Ok(self.receipts.hand_in(stored(order, record), salted).await?)
    }

    /// Salts a request's text (claim, key or SQL). Answers the digest by which the receipt names it, and the salted text for
    /// [`App::write_first_receipt`]. The salt stands nowhere else: a claim holds an identity number, and with the salt at hand
    /// the digest could be opened by trying all of them.
    pub fn salt_request(&self, text: &str) -> Result<(String, Vec<u8>), AppError> {
        let mut salted = random::<16>()?.to_vec();
        salted.extend_from_slice(text.as_bytes());
        Ok((sha256(&salted).to_string(), salted))
    }

    /// The salted request of a delivery, which its receipt has the digest of: 16 bytes of salt and the text.
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

    /// Closes deliveries that were open when the node stopped: as interrupted, free of charge.
    pub(crate) async fn close_interrupted(&self) -> Result<(), AppError> {
        let mut open: BTreeMap<ReceiptId, (OrderId, Opening)> = BTreeMap::new();
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
                        if let ReceiptBody::Opened(opening) = record.body {
                            open.insert(record.receipt, (opening.order.clone(), opening));
                        }
                    }
                    "closed" => {
                        open.remove(&parse(receipt)?.receipt);
                    }
                    _ => {}
                }
            }
        }
        for (receipt, (order, _)) in open {
            let body = ReceiptBody::Closed {
                outcome: Outcome::Stopped { code: INTERRUPTED.to_owned() },
                totals: Totals::default(),
            };
            self.write_receipt(&order, &ReceiptRecord { receipt, at: self.clock.now(), body }).await?;
        }
        Ok(())
    }
}

/// A record as it is stored.
fn stored(order: &OrderId, record: &ReceiptRecord) -> NewReceipt {
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
