//! How far the reading of a source has come, and whether it is to stop: told by the reader, looked at by others.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use tokio::sync::Notify;

/// Counts of one reading. A reading that begins anew sets them back.
#[derive(Debug, Default)]
pub struct ReadProgress {
    bytes: AtomicU64,
    rows: AtomicU64,
    rejected: AtomicU64,
    expected: AtomicU64,
    finished: AtomicU64,
    kept: AtomicU64,
}

impl ReadProgress {
    /// Bytes of the file read so far; of a compressed file, compressed ones. Zero for sources that are no text.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Rows read so far, with the rejected ones.
    pub fn rows(&self) -> u64 {
        self.rows.load(Ordering::Relaxed)
    }

    /// Rows rejected so far.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }

    /// About how many rows there are to read; 0 where that is not known.
    pub fn expected(&self) -> u64 {
        self.expected.load(Ordering::Relaxed)
    }

    pub(crate) fn expect(&self, rows: u64) {
        self.expected.store(rows, Ordering::Relaxed);
    }

    /// Rows in the finished parts that an earlier attempt left of a table that changes under the reader.
    pub fn finished(&self) -> u64 {
        self.finished.load(Ordering::Relaxed)
    }

    /// How many of those were taken over: the rows before the first part that holds something else than the table does now.
    pub fn kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    pub(crate) fn tell_kept(&self, finished: u64, kept: u64) {
        self.finished.store(finished, Ordering::Relaxed);
        self.kept.store(kept, Ordering::Relaxed);
    }

    pub(crate) fn begin(&self) {
        for count in [&self.bytes, &self.rows, &self.rejected, &self.expected, &self.finished, &self.kept] {
            count.store(0, Ordering::Relaxed);
        }
    }

    pub(super) fn add_bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn add_rows(&self, count: u64) {
        self.rows.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn add_rejected(&self, count: u64) {
        self.rejected.fetch_add(count, Ordering::Relaxed);
    }
}

/// Tells a reading to stop at its next batch.
#[derive(Debug, Default)]
pub struct StopSignal {
    is_given: AtomicBool,
    given: Notify,
}

impl StopSignal {
    /// Gives the signal, for good.
    pub fn give(&self) {
        self.is_given.store(true, Ordering::SeqCst);
        self.given.notify_waiters();
    }

    /// Whether it was given.
    pub fn is_given(&self) -> bool {
        self.is_given.load(Ordering::SeqCst)
    }

    /// Waits until it is given.
    pub async fn wait(&self) {
        loop {
            let given = self.given.notified();
            if self.is_given() {
                return;
            }
            given.await;
        }
    }
}
