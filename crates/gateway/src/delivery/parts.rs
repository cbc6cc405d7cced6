//! The parts of a delivery in pieces: records in order, each durable before what it lets out leaves.
//!
//! A part names rows of the governed table and says how many rows of the answer leave with it. Where a quota counts bytes it
//! also says how many may leave from here on: how many they are is known only as they leave, so they are debited some ahead
//! and what was too much comes back with the closing record. Whatever stops the node, the parts alone tell what had been let
//! out, and never less than left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::civil::Date;
use lingqu_app::{App, AppError, Use};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_store::quota::QuotaError;
use roaring::RoaringTreemap;

use super::{Admission, receipt};

/// Bytes are let out so many at a time at least, as long as the quota has them: each time costs a record.
const BYTES_AHEAD_MIN: u64 = 1 << 20;
/// And so many at most: a stop of the node in the middle charges them.
const BYTES_AHEAD_MAX: u64 = 16 << 20;
/// In between it is this part of what has left already.
const BYTES_AHEAD_PART: u64 = 4;

/// What a delivery has let out.
pub(super) struct Parts {
    app: Arc<App>,
    admission: Admission,
    receipt: ReceiptId,
    /// The name under which this process debits.
    process: Arc<str>,
    /// The day on whose quota it counts.
    day: Option<Date>,
    counts_rows: bool,
    counts_bytes: bool,
    /// The number of the next part. Held from when it is given until the record stands in its place before others.
    next: tokio::sync::Mutex<u64>,
    /// Rows of the governed table that durable parts name.
    rows: AtomicU64,
    /// Bytes that were debited.
    debited: AtomicU64,
    /// Bytes that durable parts let out.
    let_out: AtomicU64,
    /// Bytes that left.
    bytes: AtomicU64,
}

impl Parts {
    pub(super) fn new(app: &Arc<App>, admission: &Admission, receipt: &ReceiptId, day: Option<Date>) -> Parts {
        let counts = |unit| app.is_counted(&admission.serving, day, unit);
        Parts {
            app: Arc::clone(app),
            process: app.quota().process(),
            counts_rows: counts(QuotaUnit::Rows),
            counts_bytes: counts(QuotaUnit::Bytes),
            admission: admission.clone(),
            receipt: receipt.clone(),
            day,
            next: tokio::sync::Mutex::default(),
            rows: AtomicU64::new(0),
            debited: AtomicU64::new(0),
            let_out: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// Rows of the governed table that were named.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::SeqCst)
    }

    /// Bytes that left.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Names the rows of a batch and the rows of the answer that leave with it. They are debited already.
    pub(super) async fn name(&self, rows: RoaringTreemap, answer_rows: u64) -> Result<(), AppError> {
        let mut sets = receipt::row_sets(rows);
        if sets.is_empty() && answer_rows > 0 && self.counts_rows {
            // Rows that are made of none, such as those of a plan, are counted too.
            sets.push(no_rows());
        }
        let mut answer_rows = answer_rows;
        for set in sets {
            let bytes = self.debit_ahead().await;
            // All of them with the first record: nothing of the batch leaves before the last one.
            self.write(std::mem::take(&mut answer_rows), bytes, set).await?;
        }
        Ok(())
    }

    /// Lets bytes out. They are debited, and that they may leave is durable, when this returns. Error: `quota_exceeded`.
    pub(super) async fn pass(&self, bytes: u64) -> Result<(), AppError> {
        let needed = (self.bytes() + bytes).saturating_sub(self.let_out.load(Ordering::SeqCst));
        if self.counts_bytes && needed > 0 {
            let ahead = needed.max(self.ahead());
            let debited = match self.debit(ahead).await {
                // The end of the quota is used to the last byte.
                Err(QuotaError::Exhausted { .. }) if needed < ahead => self.debit(needed).await.map(|()| needed),
                other => other.map(|()| ahead),
            };
            self.write(0, debited?, no_rows()).await?;
        }
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        Ok(())
    }

    /// Gives back what was debited and did not leave. The closing record, which says what left, is durable.
    pub(super) async fn settle(&self) {
        let unused = self.debited.swap(0, Ordering::SeqCst).saturating_sub(self.bytes());
        let unused = Use { bytes: unused, ..Use::default() };
        let debits = self.app.quota_debits(&self.admission.serving, self.day, &unused);
        self.app.quota().refund(&self.process, &debits).await;
    }

    /// How many bytes are let out at a time.
    fn ahead(&self) -> u64 {
        (self.bytes() / BYTES_AHEAD_PART).clamp(BYTES_AHEAD_MIN, BYTES_AHEAD_MAX)
    }

    /// Debits bytes for what is being named, unless enough are let out. None where the quota has too little or can't be asked:
    /// then [`Parts::pass`] debits what it needs, and says why it can't.
    async fn debit_ahead(&self) -> u64 {
        let ahead = self.ahead();
        let left = self.let_out.load(Ordering::SeqCst).saturating_sub(self.bytes());
        if !self.counts_bytes || left >= ahead / 2 {
            return 0;
        }
        if self.debit(ahead).await.is_ok() { ahead } else { 0 }
    }

    async fn debit(&self, bytes: u64) -> Result<(), QuotaError> {
        let used = Use { bytes, ..Use::default() };
        self.app.quota().spend(&self.app.quota_debits(&self.admission.serving, self.day, &used)).await?;
        self.debited.fetch_add(bytes, Ordering::SeqCst);
        Ok(())
    }

    /// Writes the next part; it is durable when this returns.
    async fn write(&self, answer_rows: u64, bytes_reserved: u64, set: (u64, String)) -> Result<(), AppError> {
        let (rows, row_set) = set;
        let written = {
            let mut next = self.next.lock().await;
            let body = ReceiptBody::Part { answer_rows, bytes_reserved, number: *next, row_set, rows };
            let written = receipt::hand_in_next(&self.app, &self.admission, &self.receipt, body).await?;
            *next += 1;
            written
        };
        written.durable().await?;
        self.rows.fetch_add(rows, Ordering::SeqCst);
        self.let_out.fetch_add(bytes_reserved, Ordering::SeqCst);
        Ok(())
    }
}

/// The set of a part that names no rows.
fn no_rows() -> (u64, String) {
    (0, receipt::encode(&RoaringTreemap::new()))
}
