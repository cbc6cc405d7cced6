//! The parts of a delivery in pieces: records in order, each durable before what it lets out leaves.
//!
//! A part names rows of the governed table and says how many rows of the answer leave with it; the subjects of those rows are held
//! for it. Where a quota counts bytes it also says how many may leave from here on: how many they are is known only as they leave,
//! so they are debited a little ahead and what was too much comes back with the closing record. The next are let out while the last
//! ones leave, so that an answer seldom waits for the disk although little is let out at a time. Whatever stops the node, the parts
//! alone tell what had been let out, and never less than left.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use jiff::civil::Date;
use lingqu_app::{App, AppError, HeldSubjects, Use};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_store::quota::{OpenUse, QuotaError};
use lingqu_store::receipt::Appending;
use roaring::RoaringTreemap;

use super::reservation::Further;
use super::{Admission, receipt};

/// Bytes are let out so many at a time, as long as the quota has them: each time costs a record, and a stop of the node in the
/// middle charges up to two and a half times as many that did not leave (one and a half, and as many again where a batch is being
/// named just when what was let out ends).
const BYTES_AHEAD: u64 = 1 << 20;

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
    subjects: HeldSubjects,
    /// Until it is settled what it used.
    _open: OpenUse,
    /// The number of the next part. Held from when it is given until the record stands in its place before others.
    next: tokio::sync::Mutex<u64>,
    /// What lets the next bytes out and is on its way to the disk. Held by who lets bytes pass.
    ahead: tokio::sync::Mutex<Option<Written>>,
    /// Rows of the governed table that durable parts name.
    rows: AtomicU64,
    /// Rows of the answer that were debited.
    debited_rows: AtomicU64,
    /// Bytes that were debited.
    debited: AtomicU64,
    /// Bytes that durable parts let out.
    let_out: AtomicU64,
    /// Bytes that left.
    bytes: AtomicU64,
    /// Whether anything left: a byte, or a row without one.
    has_left: AtomicBool,
}

/// A part that is on its way to the disk.
struct Written {
    rows: u64,
    bytes_reserved: u64,
    appending: Appending,
}

impl Parts {
    pub(super) fn new(app: &Arc<App>, admission: &Admission, receipt: &ReceiptId, day: Option<Date>) -> Parts {
        let counts = |unit| app.is_counted(&admission.serving, day, unit);
        Parts {
            app: Arc::clone(app),
            // The name under which its records are written or refused: what is debited under another one lets nothing out.
            process: admission.process.as_deref().map_or_else(|| app.quota().process(), Arc::from),
            counts_rows: counts(QuotaUnit::Rows),
            counts_bytes: counts(QuotaUnit::Bytes),
            subjects: app.held_subjects(&admission.serving, day, receipt, admission.process.as_deref()),
            admission: admission.clone(),
            receipt: receipt.clone(),
            day,
            _open: app.quota().open_use(),
            next: tokio::sync::Mutex::default(),
            ahead: tokio::sync::Mutex::default(),
            rows: AtomicU64::new(0),
            debited_rows: AtomicU64::new(0),
            debited: AtomicU64::new(0),
            let_out: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            has_left: AtomicBool::new(false),
        }
    }

    /// Rows of the governed table that were named.
    pub(super) fn rows(&self) -> u64 {
        self.rows.load(Ordering::SeqCst)
    }

    /// Rows of the answer that were let out. Once anything left they are all that were debited, so that the account never holds less
    /// than left; before that none was, whatever was named.
    pub(super) fn answer_rows(&self) -> u64 {
        if self.has_left.load(Ordering::SeqCst) { self.debited_rows.load(Ordering::SeqCst) } else { 0 }
    }

    /// Bytes that left.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::SeqCst)
    }

    /// Debits the rows of the answer that leave with a batch and the subjects of the rows that it was made of, and names these.
    /// Error: `quota_exceeded`; nothing of the batch leaves then.
    pub(super) async fn name(&self, rows: RoaringTreemap, answer_rows: u64) -> Result<(), AppError> {
        let named = self.name_next(rows, answer_rows).await;
        if named.is_err() {
            // What it holds for this batch may come back.
            self.subjects.forget();
        }
        let parts = named?;
        if self.has_left.load(Ordering::SeqCst) {
            self.app.subjects_let_out(&self.subjects, parts);
        }
        Ok(())
    }

    /// The same. Answers how many parts there are.
    async fn name_next(&self, rows: RoaringTreemap, answer_rows: u64) -> Result<u64, AppError> {
        let mut next = self.next.lock().await;
        let used = Use { rows: answer_rows, ..Use::default() };
        self.further(used).debit_with(&self.subjects, *next, &rows).await?;
        self.debited_rows.fetch_add(answer_rows, Ordering::SeqCst);
        let mut sets = receipt::row_sets(rows);
        if sets.is_empty() && answer_rows > 0 && (self.counts_rows || self.subjects.is_counted()) {
            // Rows that are made of none, such as those of a plan, are counted too.
            sets.push(no_rows());
        }
        let mut answer_rows = answer_rows;
        let mut written = Vec::with_capacity(sets.len());
        for set in sets {
            let bytes = self.debit_ahead().await;
            // All of them with the first record: nothing of the batch leaves before the last one.
            written.push(self.write(&mut next, std::mem::take(&mut answer_rows), bytes, set).await?);
        }
        let parts = *next;
        drop(next);
        for written in written {
            self.arrived(written).await?;
        }
        Ok(parts)
    }

    /// Lets bytes out, and rows of the answer with them. They are debited, with those that are there behind them, and that they may
    /// leave is durable, when this returns. Error: `quota_exceeded`.
    pub(super) async fn pass(&self, bytes: u64, rows: u64, behind: u64) -> Result<(), AppError> {
        if self.counts_bytes {
            let mut ahead = self.ahead.lock().await;
            let leaving = self.bytes() + bytes + behind;
            if leaving > self.let_out()
                && let Some(written) = ahead.take()
            {
                self.arrived(written).await?;
            }
            let needed = leaving.saturating_sub(self.let_out());
            if needed > 0 {
                let written = self.let_next_out(needed).await?;
                self.arrived(written).await?;
            }
            if ahead.is_none() {
                *ahead = self.let_more_out(leaving).await?;
            }
        }
        if bytes > 0 || rows > 0 {
            self.has_left.store(true, Ordering::SeqCst);
        }
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
        Ok(())
    }

    /// How many parts there are, once nothing more is let out.
    pub(super) async fn end(&self) -> u64 {
        // The closing record stands behind it.
        drop(self.ahead.lock().await.take());
        *self.next.lock().await
    }

    /// Gives back what was debited and not let out. The closing record, which says what was, is durable. Subjects of the first
    /// `parts` are used for good.
    pub(super) async fn settle(&self, parts: u64) {
        let bytes = self.debited.load(Ordering::SeqCst).saturating_sub(self.bytes());
        let rows = self.debited_rows.load(Ordering::SeqCst).saturating_sub(self.answer_rows());
        let unused = Use { rows, bytes, ..Use::default() };
        let debits = self.app.quota_debits(&self.admission.serving, self.day, &unused);
        self.app.quota().refund(&self.process, &debits).await;
        self.app.end_subjects(&self.subjects, parts).await;
    }

    fn let_out(&self) -> u64 {
        self.let_out.load(Ordering::SeqCst)
    }

    /// Bytes that were debited beyond those that left.
    fn debited_ahead_of(&self, left: u64) -> u64 {
        self.debited.load(Ordering::SeqCst).saturating_sub(left)
    }

    /// Debits bytes for what is being named, unless enough are let out. None where the quota has too little or can't be asked:
    /// then [`Parts::pass`] debits what it needs, and says why it can't.
    async fn debit_ahead(&self) -> u64 {
        if !self.counts_bytes || self.debited_ahead_of(self.bytes()) >= BYTES_AHEAD / 2 {
            return 0;
        }
        if self.debit(BYTES_AHEAD).await.is_ok() { BYTES_AHEAD } else { 0 }
    }

    /// Debits what is needed and some ahead, and writes that it may leave.
    async fn let_next_out(&self, needed: u64) -> Result<Written, AppError> {
        let mut next = self.next.lock().await;
        let ahead = needed.max(BYTES_AHEAD);
        let debited = match self.debit(ahead).await {
            // The end of the quota is used to the last byte.
            Err(QuotaError::Exhausted { .. }) if needed < ahead => self.debit(needed).await.map(|()| needed),
            other => other.map(|()| ahead),
        };
        self.write(&mut next, 0, debited?, no_rows()).await
    }

    /// Lets more out when little is left beyond what is leaving, and waits for nothing. None where the quota has too little: then
    /// what is needed is debited when it is.
    async fn let_more_out(&self, leaving: u64) -> Result<Option<Written>, AppError> {
        let mut next = self.next.lock().await;
        if self.debited_ahead_of(leaving) >= BYTES_AHEAD / 2 || self.debit(BYTES_AHEAD).await.is_err() {
            return Ok(None);
        }
        Ok(Some(self.write(&mut next, 0, BYTES_AHEAD, no_rows()).await?))
    }

    fn further(&self, used: Use) -> Further<'_> {
        let (app, serving) = (&*self.app, &*self.admission.serving);
        Further { app, serving, process: &self.process, day: self.day, used }
    }

    async fn debit(&self, bytes: u64) -> Result<(), QuotaError> {
        self.further(Use { bytes, ..Use::default() }).debit().await?;
        self.debited.fetch_add(bytes, Ordering::SeqCst);
        Ok(())
    }

    /// Hands the next part in.
    async fn write(
        &self,
        next: &mut u64,
        answer_rows: u64,
        bytes_reserved: u64,
        set: (u64, String),
    ) -> Result<Written, AppError> {
        let (rows, row_set) = set;
        let body = ReceiptBody::Part { answer_rows, bytes_reserved, number: *next, row_set, rows };
        let appending = receipt::hand_in_next(&self.app, &self.admission, &self.receipt, body).await?;
        *next += 1;
        Ok(Written { rows, bytes_reserved, appending })
    }

    /// Waits until a part is durable. What it lets out may leave when this returns.
    async fn arrived(&self, written: Written) -> Result<(), AppError> {
        written.appending.durable().await?;
        self.rows.fetch_add(written.rows, Ordering::SeqCst);
        self.let_out.fetch_add(written.bytes_reserved, Ordering::SeqCst);
        Ok(())
    }
}

/// The set of a part that names no rows.
fn no_rows() -> (u64, String) {
    (0, receipt::encode(&RoaringTreemap::new()))
}
