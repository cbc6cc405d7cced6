//! Deliveries by where their answers came from: read from the receipts, which hold each answer's lineage.
//!
//! Nothing beside the receipts is kept. Whoever asks what came from a column asks for the orders of the products that use
//! it, and looks through their deliveries, a bounded number at a time.

use jiff::Timestamp;
use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord};

use crate::app::App;
use crate::error::AppError;
use crate::receipts::parse;

/// The kinds of records that begin a delivery.
const BEGINNINGS: [&str; 2] = ["opened", "single"];

/// A delivery as its first record tells of it.
#[derive(Clone, Debug)]
pub struct BegunDelivery {
    /// Place of the record in the receipt log.
    pub position: u64,
    /// The delivery.
    pub receipt: ReceiptId,
    /// When it began.
    pub at: Timestamp,
    /// What was known then.
    pub opening: Opening,
}

impl BegunDelivery {
    /// None for a record that begins no delivery.
    fn of(position: u64, record: ReceiptRecord) -> Option<BegunDelivery> {
        let opening = match record.body {
            ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => opening,
            ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => return None,
        };
        Some(BegunDelivery { position, receipt: record.receipt, at: record.at, opening })
    }
}

impl App {
    /// An order's deliveries that began after a position of the receipt log, oldest first, at most `limit`.
    pub async fn deliveries_of(
        &self,
        order: &OrderId,
        after: u64,
        limit: usize,
    ) -> Result<Vec<BegunDelivery>, AppError> {
        let positions = self.receipts.positions_of_kinds(order.as_str(), &BEGINNINGS, after, limit).await?;
        let mut deliveries = Vec::with_capacity(positions.len());
        for position in positions {
            if let Some(receipt) = self.receipts.read(position).await? {
                deliveries.extend(BegunDelivery::of(position, parse(&receipt)?));
            }
        }
        Ok(deliveries)
    }

    /// A delivery by its receipt's id; none when there is none.
    pub async fn delivery(&self, receipt: &ReceiptId) -> Result<Option<BegunDelivery>, AppError> {
        for position in self.receipts.positions_of_receipt(receipt.as_str()).await? {
            let Some(stored) = self.receipts.read(position).await? else { continue };
            if let Some(delivery) = BegunDelivery::of(position, parse(&stored)?) {
                return Ok(Some(delivery));
            }
        }
        Ok(None)
    }
}
