//! The log of delivery receipts: append-only, thousands a second, durable before the call returns.
//!
//! Receipts are written in groups: a writer takes what waits, up to [`GROUP_RECORDS_MAX`] and [`GROUP_BYTES_MAX`], and
//! makes the group durable at once. It never sleeps to gather more, so a lone receipt costs one sync and a crowd shares
//! it. On a SQLite node a group is one frame in a segment file with one fsync; on PostgreSQL it is one compressed row.
//!
//! The first record of a delivery brings the text of its request, which is sealed and made durable with it and can be erased
//! (see [`ReceiptLog::request`]); nothing else of the log ever changes.
//!
//! A follower calls [`ReceiptLog::commit_to_log`], which takes the receipts that no log entry holds yet, in order, and writes
//! entries of at most [`ENTRY_RECEIPTS`] for them, exactly once, whatever crashed in between.

mod block;
mod check;
mod fence;
mod frame;
mod group;
mod index;
mod request;
mod segment;

use std::cmp::min;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use lingqu_crypto::{DigestPair, Salt};
use lingqu_transparency::{ENTRY_PAIRS_MAX, LogEntry, RecordKind};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Order, Query};
use tokio::sync::{mpsc, oneshot};

use crate::error::StoreError;
use crate::log::{insert_entries, next_entry_index};
use crate::store::{Backend, Store, WriterLock, fill_random, from_sql, to_sql};
use index::{IndexRow, insert_index};
use request::NewRequest;
use segment::{ReadFrame, Segments};

pub use check::{Seen, check_receipts};
pub use fence::{CLOSED, Fence};
pub use group::{ID_BYTES_MAX, RECORD_BYTES_MAX};
pub use request::REQUEST_BYTES_MAX;

const SALT_BYTES: usize = 16;
/// Most receipts of one group.
pub const GROUP_RECORDS_MAX: usize = 1_000;
/// A group takes no further receipt once it has so many bytes.
pub const GROUP_BYTES_MAX: usize = 1024 * 1024;
/// Receipts that may wait for the writer; further callers wait for room.
pub const QUEUE_MAX: usize = 4_096;
/// Most receipts that one read returns.
pub const READ_LIMIT_MAX: usize = 1_000;
/// Receipts of one log entry. Fewer than an entry may have: while a bundle of 256 entries fills, it is written again with each
/// checkpoint, and whoever wants the proof of one receipt reads its whole entry.
pub const ENTRY_RECEIPTS: usize = 50;
/// Entries that are written in one transaction, where so many are due: its beginning, its end and its sync cost the same for one as
/// for all, and whoever else writes to the database waits some milliseconds for it.
const GROUP_ENTRIES: usize = 80;
// Each entry is one that the log takes.
const _: () = assert!(ENTRY_RECEIPTS <= ENTRY_PAIRS_MAX);

/// A receipt to append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewReceipt {
    /// Which delivery: opening, parts and closing share it.
    pub receipt_id: String,
    /// The order that the delivery belongs to.
    pub order_id: String,
    /// `opening`, `part`, `closing`, `single`, or what else the caller tells apart.
    pub kind: String,
    /// The canonical record, at most [`RECORD_BYTES_MAX`].
    pub record: Vec<u8>,
}

/// A receipt as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Position, from 1, without gaps.
    pub position: u64,
    /// Salt of its digests in the transparency log.
    pub salt: Salt,
    /// What was appended.
    pub receipt: NewReceipt,
}

/// Where the transparency log commits to a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptCommit {
    /// Index of the log entry.
    pub log_entry: u64,
    /// Place of the receipt's digests within the entry, from 0.
    pub place: u64,
}

/// The receipt log of a node. Cheap to clone; [`ReceiptLog::close`] or dropping the last clone ends the writer.
#[derive(Clone)]
pub struct ReceiptLog {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    /// On a SQLite node; PostgreSQL keeps receipts in the database.
    segments: Option<Segments>,
    /// Up to here receipts were seen to be committed to; there may be more.
    committed: AtomicU64,
    queue: Mutex<Option<mpsc::Sender<Waiting>>>,
    finished: Mutex<Option<oneshot::Receiver<()>>>,
}

/// A receipt that is on its way to the disk. It gets there whether or not somebody waits for it.
#[derive(Debug)]
pub struct Appending {
    answered: oneshot::Receiver<Result<u64, StoreError>>,
}

impl Appending {
    /// Waits until it is durable; gives its position.
    ///
    /// # Errors
    /// As [`ReceiptLog::append`].
    pub async fn durable(mut self) -> Result<u64, StoreError> {
        self.arrives().await
    }

    /// The same for one who may stop waiting and leave it to another. Once it has answered it is not asked again.
    ///
    /// # Errors
    /// As [`ReceiptLog::append`].
    pub async fn arrives(&mut self) -> Result<u64, StoreError> {
        (&mut self.answered).await.map_err(|_| closed())?
    }
}

/// What a log entry and the index hold of receipts that follow each other.
struct Digested {
    digests: Vec<DigestPair>,
    /// On a SQLite node, where the follower writes the index.
    rows: Vec<IndexRow>,
}

/// A receipt that waits for the writer, and the one who waits for it.
struct Waiting {
    receipt: NewReceipt,
    request: Option<NewRequest>,
    /// Looked at where several processes write.
    fence: Option<Fence>,
    answer: oneshot::Sender<Result<u64, StoreError>>,
}

impl ReceiptLog {
    /// Opens the log for appending. On a SQLite node `directory/receipts` holds the segments and one process at a time may
    /// append; a group that a crash tore at the very end is cut off, it was never acknowledged, unless the log commits to it: then
    /// it is damage. On PostgreSQL the
    /// directory isn't used.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when another process appends; [`StoreError::Unreadable`] names file and offset of any damage
    /// but a torn end; faults of the disk.
    pub async fn open(store: &Store, directory: &Path) -> Result<ReceiptLog, StoreError> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        let (finish, finished) = oneshot::channel();
        let segments = match store.backend() {
            Backend::Sqlite => {
                let committed = committed_head(store.db()).await?;
                let open = move |path| segment::open_for_appending(path, committed);
                let (segments, writer) = blocking(segments_path(directory), open).await?;
                std::thread::Builder::new()
                    .name("receipts".to_owned())
                    .spawn(move || {
                        segment::run(writer, receiver);
                        drop(finish);
                    })
                    .map_err(|error| StoreError::file("start the receipt writer of", directory, error))?;
                Some(segments)
            }
            Backend::Postgres => {
                let store = store.clone();
                tokio::spawn(async move {
                    block::run(&store, receiver).await;
                    drop(finish);
                });
                None
            }
        };
        Ok(Self::new(store, segments, Some(sender), Some(finished)))
    }

    /// Opens the log for reading only, beside a process that appends. Receipts appended later aren't seen on a SQLite node.
    ///
    /// # Errors
    /// As [`ReceiptLog::open`], but for the lock.
    pub async fn open_for_reading(store: &Store, directory: &Path) -> Result<ReceiptLog, StoreError> {
        let segments = match store.backend() {
            Backend::Sqlite => {
                let committed = committed_head(store.db()).await?;
                let open = move |path| segment::open_for_reading(path, committed);
                Some(blocking(segments_path(directory), open).await?)
            }
            Backend::Postgres => None,
        };
        Ok(Self::new(store, segments, None, None))
    }

    fn new(
        store: &Store,
        segments: Option<Segments>,
        queue: Option<mpsc::Sender<Waiting>>,
        finished: Option<oneshot::Receiver<()>>,
    ) -> ReceiptLog {
        let (queue, finished) = (Mutex::new(queue), Mutex::new(finished));
        let inner = Inner { store: store.clone(), segments, committed: AtomicU64::new(0), queue, finished };
        ReceiptLog { inner: Arc::new(inner) }
    }

    /// Appends one receipt and gives its position once it is durable.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] when it is beyond a limit or the log is closed or open for reading; [`StoreError::Full`] and
    /// other faults of the disk or database. After a failed sync every further append fails until the log is opened anew,
    /// because what reached the disk is unknown.
    pub async fn append(&self, receipt: NewReceipt) -> Result<u64, StoreError> {
        self.enqueue(receipt, None, None).await?.durable().await
    }

    /// Appends the first receipt of a delivery with the text of what was asked, salted, of which the receipt has the digest.
    /// When it gives the position, both are durable; whatever crashes, neither is there without the other.
    ///
    /// # Errors
    /// As [`ReceiptLog::append`]; [`StoreError::Invalid`] when the request has more than [`REQUEST_BYTES_MAX`] bytes.
    pub async fn append_with_request(&self, receipt: NewReceipt, request: &[u8]) -> Result<u64, StoreError> {
        self.hand_in(receipt, request, None).await?.durable().await
    }

    /// The same in two steps: this waits for room in the queue alone. Who stops waiting before it gives what it gives has left
    /// nothing; after that the receipt is written, whoever waits.
    ///
    /// # Errors
    /// As [`ReceiptLog::append_with_request`].
    pub async fn hand_in(
        &self,
        receipt: NewReceipt,
        request: &[u8],
        fence: Option<Fence>,
    ) -> Result<Appending, StoreError> {
        let request = self.new_request(&receipt.receipt_id, request)?;
        self.enqueue(receipt, Some(request), fence).await
    }

    /// The same for a further receipt of a delivery.
    ///
    /// # Errors
    /// As [`ReceiptLog::append`]; [`StoreError::Invalid`] where the fence does not hold.
    pub async fn hand_in_next(&self, receipt: NewReceipt, fence: Option<Fence>) -> Result<Appending, StoreError> {
        self.enqueue(receipt, None, fence).await
    }

    async fn enqueue(
        &self,
        receipt: NewReceipt,
        request: Option<NewRequest>,
        fence: Option<Fence>,
    ) -> Result<Appending, StoreError> {
        group::check(&receipt)?;
        let sender = self.inner.sender().ok_or_else(closed)?;
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting { receipt, request, fence, answer };
        // The sender is gone after this: kept while waiting for the answer it would keep the queue open after close().
        sender.send(waiting).await.map_err(|_| closed())?;
        Ok(Appending { answered })
    }

    /// Position of the last durable receipt; 0 when there is none.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn head(&self) -> Result<u64, StoreError> {
        match &self.inner.segments {
            Some(segments) => Ok(segments.head()),
            None => block::head(self.inner.store.db()).await,
        }
    }

    /// At most `limit` receipts after `position`, in order; `limit` is capped at [`READ_LIMIT_MAX`].
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] names file and offset of damage; faults of the disk or database.
    pub async fn read_after(&self, position: u64, limit: usize) -> Result<Vec<Receipt>, StoreError> {
        let limit = limit.min(READ_LIMIT_MAX);
        match &self.inner.segments {
            Some(segments) => {
                let segments = segments.clone();
                blocking((), move |()| segments.read_after(position, limit)).await
            }
            None => block::read_after(self.inner.store.db(), position, limit).await,
        }
    }

    /// The receipt at `position`, if there is one.
    ///
    /// # Errors
    /// As [`ReceiptLog::read_after`].
    pub async fn read(&self, position: u64) -> Result<Option<Receipt>, StoreError> {
        let Some(before) = position.checked_sub(1) else { return Ok(None) };
        Ok(self.read_after(before, 1).await?.pop().filter(|receipt| receipt.position == position))
    }

    /// Where the transparency log commits to the receipt at `position`; `None` before the follower has come to it.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn commit_of(&self, position: u64) -> Result<Option<ReceiptCommit>, StoreError> {
        const DOING: &str = "reading receipt commits";
        let fault = |error| StoreError::database(DOING, error);
        let query = Query::select()
            .columns(["first_position", "count", "log_entry"])
            .from("receipt_commit")
            .and_where(Expr::col("first_position").lte(to_sql(position)))
            .order_by("first_position", Order::Desc)
            .limit(1)
            .take();
        let Some(row) = self.inner.store.db().query_one(&query).await.map_err(fault)? else { return Ok(None) };
        let first = from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?;
        let count = from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?;
        let log_entry = from_sql(DOING, row.try_get_by_index(2).map_err(fault)?)?;
        let place = position - first;
        Ok((place < count).then_some(ReceiptCommit { log_entry, place }))
    }

    /// Position up to which the first `entries` entries of the transparency log commit to receipts.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn committed_under(&self, entries: u64) -> Result<u64, StoreError> {
        last_committed(self.inner.store.db(), Expr::col("log_entry").lt(to_sql(entries))).await
    }

    /// Writes log entries for all receipts that were durable when the call began and that no entry holds yet; gives how
    /// many receipts that were. Safe to call from several processes at once.
    ///
    /// # Errors
    /// [`StoreError::Unreadable`] when the database has committed to receipts that the segments lack; faults.
    pub async fn commit_to_log(&self) -> Result<u64, StoreError> {
        self.commit_entries(1).await
    }

    /// The same for as long as entries are full, so that a busy node digests and indexes its receipts while they come and not
    /// thousands of them at once, for which the answers of that moment would wait. Costs nothing where too few have come.
    ///
    /// # Errors
    /// As [`ReceiptLog::commit_to_log`].
    pub async fn commit_full_entries(&self) -> Result<u64, StoreError> {
        let committed = self.inner.committed.load(Ordering::Relaxed);
        if self.head().await?.saturating_sub(committed) < ENTRY_RECEIPTS as u64 {
            return Ok(0);
        }
        self.commit_entries(ENTRY_RECEIPTS as u64).await
    }

    /// Writes entries of at most [`ENTRY_RECEIPTS`] receipts, as long as there are `least`; with as many as an entry has, only full
    /// ones.
    async fn commit_entries(&self, least: u64) -> Result<u64, StoreError> {
        // How many receipts of those that are left a group takes.
        let taken = |left: u64| {
            let most = min(left, (ENTRY_RECEIPTS * GROUP_ENTRIES) as u64);
            usize::try_from(most - most % least).unwrap_or(ENTRY_RECEIPTS)
        };
        // In this order: another follower may commit to receipts that came meanwhile.
        let start = committed_head(self.inner.store.db()).await?;
        let head = self.head().await?;
        if start > head {
            return Err(StoreError::Unreadable {
                what: "the receipt log",
                problem: format!(
                    "the log holds entries for {start} receipts but only {head} are on the disk; restore the segments"
                ),
            });
        }
        if head > start
            && !self.inner.is_open_for_appending()
            && let Some(segments) = &self.inner.segments
        {
            // Another process may have written this and not synced it yet; what is committed to must never be lost.
            let segments = segments.clone();
            blocking((), move |()| segments.sync_last()).await?;
        }
        let (mut position, mut following) = (start, None);
        while head.saturating_sub(position) >= least {
            let group = match following.take() {
                Some((before, group)) if before == position => group,
                // Another process committed to some of them meanwhile.
                _ => self.digested(position, taken(head - position)).await?,
            };
            let next = position + group.digests.len() as u64;
            position = if head.saturating_sub(next) >= least {
                // The next group is read and digested while the database takes this one.
                let digesting = self.digested(next, taken(head - next));
                let (committed, digested) = tokio::join!(self.commit_group(group, position), digesting);
                following = Some((next, digested?));
                committed?
            } else {
                self.commit_group(group, position).await?
            };
        }
        self.inner.committed.fetch_max(position, Ordering::Relaxed);
        Ok(position.saturating_sub(start))
    }

    /// Reads and digests so many receipts after a position, or fewer when they are large, and then those of full entries if there are
    /// any. Error: there is none.
    async fn digested(&self, before: u64, count: usize) -> Result<Digested, StoreError> {
        // Milliseconds of one core, which no async thread is held up for.
        let mut digested = match &self.inner.segments {
            Some(segments) => {
                let segments = segments.clone();
                blocking((), move |()| digested_frames(&segments.frames_after(before, count)?, before, count)).await?
            }
            None => {
                let receipts = block::read_after(self.inner.store.db(), before, count).await?;
                blocking(receipts, move |receipts| Ok(digested_receipts(&receipts, before))).await?
            }
        };
        if digested.digests.is_empty() {
            return Err(StoreError::Unreadable {
                what: "the receipt log",
                problem: format!("there is no receipt at position {}", before + 1),
            });
        }
        let found = digested.digests.len();
        if found < count && found > ENTRY_RECEIPTS {
            digested.digests.truncate(found - found % ENTRY_RECEIPTS);
            digested.rows.truncate(found - found % ENTRY_RECEIPTS);
        }
        Ok(digested)
    }

    /// Commits to a group that follows `before`, in one transaction; gives the position up to which receipts are committed then.
    async fn commit_group(&self, group: Digested, before: u64) -> Result<u64, StoreError> {
        const DOING: &str = "committing receipts to the log";
        let store = &self.inner.store;
        let Digested { digests, rows } = group;
        let mut entries = Vec::with_capacity(GROUP_ENTRIES);
        let mut first = before + 1;
        for pairs in digests.chunks(ENTRY_RECEIPTS) {
            let entry = LogEntry::new(RecordKind::Receipt, first, pairs.to_vec())
                .map_err(|error| StoreError::invalid(format!("a log entry can't be made: {error}")))?;
            entries.push(entry);
            first += pairs.len() as u64;
        }
        let write = store.begin_write(WriterLock::Journal, DOING).await?;
        let committed = committed_head(write.db()).await?;
        if committed != before {
            // Another process was quicker; go on after what it committed.
            return Ok(committed);
        }
        let next = next_entry_index(write.db()).await?;
        insert_entries(write.db(), next, &entries).await?;
        let mut insert =
            Query::insert().into_table("receipt_commit").columns(["first_position", "count", "log_entry"]).take();
        for (index, entry) in (next..).zip(&entries) {
            let (first, count) = (entry.first_position(), entry.pairs().len() as u64);
            insert.values_panic([to_sql(first).into(), to_sql(count).into(), to_sql(index).into()]);
        }
        write.db().execute(&insert).await.map_err(|error| StoreError::database(DOING, error))?;
        insert_index(write.db(), rows).await?;
        write.commit(DOING).await?;
        Ok(before + digests.len() as u64)
    }

    /// Ends the writer after everything that waits has been written. Appends after this are refused.
    pub async fn close(&self) {
        drop(self.inner.queue.lock().unwrap_or_else(PoisonError::into_inner).take());
        let finished = self.inner.finished.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(finished) = finished {
            // The writer drops its end when it is done; nothing is ever sent.
            drop(finished.await);
        }
    }
}

impl Inner {
    /// A way into the queue; none where the log is closed or open for reading.
    fn sender(&self) -> Option<mpsc::Sender<Waiting>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn is_open_for_appending(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }
}

impl Waiting {
    /// Bytes that it takes in a group.
    fn bytes(&self) -> usize {
        group::record_bytes(&self.receipt) + self.request.as_ref().map_or(0, NewRequest::bytes)
    }
}

/// Digests of the receipts after a position, at most so many; none where the first is not the next.
fn digested_frames(frames: &[ReadFrame], before: u64, count: usize) -> Result<Digested, StoreError> {
    let (mut digested, mut salted) = (Digested { digests: Vec::new(), rows: Vec::with_capacity(count) }, Vec::new());
    for frame in frames {
        for record in frame.records()? {
            if record.position == before + 1 + salted.len() as u64 && salted.len() < count {
                salted.push((record.salt, record.record));
                digested.rows.push(IndexRow {
                    position: record.position,
                    order_id: record.order_id.to_owned(),
                    receipt_id: record.receipt_id.to_owned(),
                    kind: record.kind.to_owned(),
                });
            }
        }
    }
    digested.digests = DigestPair::of_salted_all(&salted);
    Ok(digested)
}

/// The same of receipts that stand in the database, with their index.
fn digested_receipts(receipts: &[Receipt], before: u64) -> Digested {
    let following = receipts.iter().zip(before + 1..).take_while(|(found, position)| found.position == *position);
    let salted: Vec<_> = following.map(|(found, _)| (found.salt, found.receipt.record.as_slice())).collect();
    Digested { digests: DigestPair::of_salted_all(&salted), rows: Vec::new() }
}

/// As many salts as a group has receipts. The system is asked once for all of them.
fn salts(count: usize) -> Result<Vec<Salt>, StoreError> {
    let mut bytes = vec![0; count * SALT_BYTES];
    fill_random(&mut bytes)?;
    Ok(bytes.as_chunks().0.iter().map(|salt| Salt(*salt)).collect())
}

fn closed() -> StoreError {
    StoreError::invalid("the receipt log isn't open for appending; restart the node")
}

fn segments_path(directory: &Path) -> PathBuf {
    directory.join("receipts")
}

/// Runs file work off the async threads.
async fn blocking<A, T>(
    argument: A,
    work: impl FnOnce(A) -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError>
where
    A: Send + 'static,
    T: Send + 'static,
{
    match tokio::task::spawn_blocking(move || work(argument)).await {
        Ok(result) => result,
        Err(_) => Err(StoreError::invalid("reading receipts was interrupted; the node is shutting down")),
    }
}

/// Position of the last receipt in a PostgreSQL database; 0 when there is none.
pub(crate) async fn head_in_database<C: ConnectionTrait>(db: &C) -> Result<u64, StoreError> {
    block::head(db).await
}

/// Position up to which the log has entries for receipts.
async fn committed_head<C: ConnectionTrait>(db: &C) -> Result<u64, StoreError> {
    last_committed(db, Expr::col("log_entry").gte(0)).await
}

async fn last_committed<C: ConnectionTrait>(db: &C, condition: Expr) -> Result<u64, StoreError> {
    const DOING: &str = "reading receipt commits";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .columns(["first_position", "count"])
        .from("receipt_commit")
        .and_where(condition)
        .order_by("first_position", Order::Desc)
        .limit(1)
        .take();
    let Some(row) = db.query_one(&query).await.map_err(fault)? else { return Ok(0) };
    let first = from_sql(DOING, row.try_get_by_index(0).map_err(fault)?)?;
    let count = from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?;
    Ok(first + count - 1)
}

/// Takes what waits, without waiting for more, up to the limits of a group. `first` has been received already.
fn gather(first: Waiting, queue: &mut mpsc::Receiver<Waiting>) -> Vec<Waiting> {
    let mut bytes = first.bytes();
    let mut waiting = Vec::with_capacity(min(1 + queue.len(), GROUP_RECORDS_MAX));
    waiting.push(first);
    while waiting.len() < GROUP_RECORDS_MAX && bytes < GROUP_BYTES_MAX {
        let Ok(next) = queue.try_recv() else { break };
        bytes += next.bytes();
        waiting.push(next);
    }
    waiting
}
