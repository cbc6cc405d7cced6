//! The index of uses: which records of the receipt log name a row, for every table of rows that was ever delivered.
//!
//! It follows the log: the end is in memory ([`Tail`]), and every so many records that becomes a segment, a file that never
//! changes; eight segments of one size become one of the next, so that a log of a hundred million records has some thirty.
//! It is a hint. What it says is held against the receipts, and when it is removed it is made anew from them.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use lingqu_crypto::Sha256Hasher;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::receipt::{Opening, ReceiptBody, RowNaming};
use lingqu_store::receipt::{READ_LIMIT_MAX, Receipt, ReceiptLog};
use roaring::RoaringTreemap;

use super::found::Found;
use super::places::Place;
use super::row_set;
use super::segment::{self, Segment};
use super::tail::{Named, Tail, Taken};
use super::{LIVE_TABLES, table_of};
use crate::error::AppError;
use crate::receipts::parse;

/// Records after which the tail becomes a segment, and bytes in memory.
const TAIL_RECORDS_MAX: u64 = 32_768;
const TAIL_BYTES_MAX: usize = 64 << 20;
/// Segments of one size that become one of the next.
const FAN: usize = 8;
/// Deliveries that are followed at a time: far more than a node has open.
const OPEN_MAX: usize = 1_000_000;

/// The index of a node.
pub(crate) struct UseIndex {
    folder: PathBuf,
    shown: RwLock<Shown>,
    /// Held by whoever takes in what the log has beyond it.
    following: tokio::sync::Mutex<Following>,
    /// Held by whoever makes a file by person.
    making: Mutex<()>,
    /// Held by whoever makes a segment of the tail.
    settling: Mutex<()>,
    tail_records_max: u64,
}

/// What can be asked.
#[derive(Default)]
struct Shown {
    /// In the order of positions, without gaps.
    segments: Vec<Arc<Segment>>,
    tail: Tail,
    is_open: bool,
}

/// Deliveries that have begun and not ended: where they began, and the table that their rows are of.
#[derive(Default)]
struct Following {
    open: HashMap<ReceiptId, (u64, Option<String>)>,
}

/// A table of rows and rows of it.
pub(super) struct Wanted<'a> {
    pub(super) table: &'a str,
    pub(super) rows: &'a RoaringTreemap,
}

/// A stretch of the log that can be asked.
pub(super) enum Stretch {
    /// A file.
    Segment(Arc<Segment>),
    /// The end that is in memory.
    Tail,
}

/// What is known of a stretch before it is asked.
pub(super) struct StretchHead {
    pub(super) stretch: Stretch,
    /// Position of its first record.
    pub(super) first: u64,
    /// The least position at which a delivery in it began.
    pub(super) least_opening: u64,
    /// Position of its last record.
    last: u64,
    /// Records of which is not known what table they are of.
    pub(super) untold: u64,
    /// The tables of which it says something.
    pub(super) tables: Vec<String>,
}

impl StretchHead {
    /// The first position behind it.
    pub(super) fn after(&self) -> u64 {
        self.last + 1
    }
}

impl UseIndex {
    /// The index in a node's directory. Nothing is read yet.
    pub(crate) fn new(directory: &Path) -> UseIndex {
        UseIndex {
            folder: directory.join("uses"),
            shown: RwLock::default(),
            following: tokio::sync::Mutex::default(),
            making: Mutex::default(),
            settling: Mutex::default(),
            tail_records_max: TAIL_RECORDS_MAX,
        }
    }

    /// The same with shorter segments.
    #[cfg(test)]
    pub(super) fn with_segments_of(directory: &Path, records: u64) -> UseIndex {
        UseIndex { tail_records_max: records, ..UseIndex::new(directory) }
    }

    /// The folder of the files by person, beside the segments.
    pub(super) fn rows_folder(&self) -> PathBuf {
        self.folder.join("rows")
    }

    /// Takes in what the log has beyond it, at most `most` records. Answers how many are left.
    pub(super) async fn follow(self: &Arc<Self>, log: &ReceiptLog, most: u64) -> Result<u64, AppError> {
        let mut following = self.following.lock().await;
        self.opened(log).await?;
        let head = log.head().await?;
        let begin = self.last();
        loop {
            let position = self.last();
            // A segment that is made for somebody who went away may set the end back to where it ends.
            let count = position.saturating_sub(begin);
            if position >= head || count >= most {
                return Ok(head.saturating_sub(position));
            }
            let limit = usize::try_from(most - count).unwrap_or(READ_LIMIT_MAX);
            let receipts = log.read_after(position, limit.min(READ_LIMIT_MAX)).await?;
            if receipts.is_empty() {
                return Ok(0);
            }
            let mut taken = Vec::with_capacity(receipts.len());
            for receipt in &receipts {
                taken.push(following.take(log, receipt).await?);
            }
            let is_full = {
                let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
                if shown.tail.last != position {
                    // It was set back since: what was read would leave a hole before it.
                    continue;
                }
                for record in &taken {
                    shown.tail.take(record);
                }
                shown.tail.last_digest = receipts.last().map(digest_of).unwrap_or_default();
                self.is_full(&shown.tail)
            };
            if is_full {
                self.settle().await?;
            }
        }
    }

    /// Opens the segments that are there, the first time. Those of another log, such as one that was restored from a backup
    /// since, are left out and made anew.
    async fn opened(self: &Arc<Self>, log: &ReceiptLog) -> Result<(), AppError> {
        if self.shown.read().unwrap_or_else(PoisonError::into_inner).is_open {
            return Ok(());
        }
        let folder = self.folder.clone();
        let mut segments = blocking(move || open_all(&folder)).await?;
        let mut of_log = 0;
        for segment in &segments {
            let last = log.read(segment.footer().last).await?;
            if last.as_ref().map(digest_of).as_ref() != Some(&segment.footer().last_digest) {
                break;
            }
            of_log += 1;
        }
        for other in segments.drain(of_log..) {
            drop(fs::remove_file(other.path()));
        }
        let last = segments.last().map_or(0, |segment| segment.footer().last);
        let mut shown = self.shown.write().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown { segments, tail: Tail::after(last), is_open: true };
        Ok(())
    }

    fn last(&self) -> u64 {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).tail.last
    }

    /// Whether the tail is to become a segment.
    fn is_full(&self, tail: &Tail) -> bool {
        tail.len() >= self.tail_records_max || tail.bytes >= TAIL_BYTES_MAX
    }

    /// Makes a segment of the tail, and of eight segments of one size one. Whoever follows the log may go away meanwhile, and the
    /// next one find the tail as full: then one of them makes the segment and the other finds it made. What was taken in between
    /// is behind the segment, and taken again.
    pub(super) async fn settle(self: &Arc<Self>) -> Result<(), AppError> {
        let index = Arc::clone(self);
        blocking(move || {
            let _turn = index.settling.lock().unwrap_or_else(PoisonError::into_inner);
            let written = {
                let shown = index.shown.read().unwrap_or_else(PoisonError::into_inner);
                if !index.is_full(&shown.tail) {
                    return Ok(());
                }
                shown.tail.write(&index.folder)?
            };
            let last = written.footer().last;
            {
                let mut shown = index.shown.write().unwrap_or_else(PoisonError::into_inner);
                shown.segments.push(Arc::new(written));
                shown.tail = Tail::after(last);
            }
            // Each round leaves fewer segments.
            while let Some(small) = index.mergeable() {
                let merged = segment::merge(&index.folder, &small.iter().map(Arc::as_ref).collect::<Vec<_>>())?;
                let mut shown = index.shown.write().unwrap_or_else(PoisonError::into_inner);
                let kept = shown.segments.len() - small.len();
                shown.segments.truncate(kept);
                shown.segments.push(Arc::new(merged));
                drop(shown);
                for old in &small {
                    // One that stays is covered by the new one and removed when the node starts again.
                    drop(fs::remove_file(old.path()));
                }
            }
            Ok(())
        })
        .await
    }

    /// The last segments, when there are so many of one size.
    fn mergeable(&self) -> Option<Vec<Arc<Segment>>> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let last = shown.segments.last()?.footer().level;
        let begin = shown.segments.len().checked_sub(FAN)?;
        let small = &shown.segments[begin..];
        small.iter().all(|segment| segment.footer().level == last).then(|| small.to_vec())
    }

    /// The stretches of the log, newest first. What they are at this moment; later ones may be merged of them.
    pub(super) fn stretches(&self) -> Vec<StretchHead> {
        let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
        let tail = StretchHead {
            stretch: Stretch::Tail,
            first: shown.tail.first,
            last: shown.tail.last,
            least_opening: shown.tail.least_opening,
            untold: shown.tail.untold,
            tables: shown.tail.tables().to_vec(),
        };
        let of_segment = |segment: &Arc<Segment>| StretchHead {
            stretch: Stretch::Segment(Arc::clone(segment)),
            first: segment.footer().first,
            last: segment.footer().last,
            least_opening: segment.footer().least_opening,
            untold: segment.footer().untold,
            tables: segment.footer().tables.clone(),
        };
        std::iter::once(tail).chain(shown.segments.iter().rev().map(of_segment)).collect()
    }

    /// Looks in a stretch for the records that name some rows of a table. Blocking. Error: `behind` where the tail has become
    /// a segment meanwhile.
    pub(super) fn look(&self, stretch: &StretchHead, wanted: &Wanted<'_>, found: &mut Found) -> Result<(), AppError> {
        let is_live = wanted.table.starts_with(LIVE_TABLES);
        let mut places: Vec<Place> = Vec::new();
        for row in wanted.rows {
            places.extend(Place::of_row(row, is_live));
        }
        places.sort_unstable();
        places.dedup();
        match &stretch.stretch {
            Stretch::Segment(segment) => {
                let Some(table) = segment.table(wanted.table) else { return Ok(()) };
                for place in places {
                    segment.visit(table, place, &mut |entry| found.take(wanted, place, &entry))?;
                }
            }
            Stretch::Tail => {
                let shown = self.shown.read().unwrap_or_else(PoisonError::into_inner);
                if shown.tail.first != stretch.first {
                    return Err(AppError::Behind);
                }
                let Some(table) = shown.tail.table(wanted.table) else { return Ok(()) };
                for place in places {
                    shown.tail.visit(table, place, &mut |entry| found.take(wanted, place, &entry))?;
                }
            }
        }
        Ok(())
    }
}

impl Following {
    /// A record as the index takes it.
    async fn take(&mut self, log: &ReceiptLog, receipt: &Receipt) -> Result<Taken, AppError> {
        let position = receipt.position;
        // What a closing record says does not matter here, and it is not read.
        if receipt.receipt.kind == "closed" {
            if let Ok(id) = receipt.receipt.receipt_id.parse::<ReceiptId>() {
                self.open.remove(&id);
            }
            return Ok(Taken { position, named: None });
        }
        let record = parse(receipt)?;
        let named = match record.body {
            ReceiptBody::Closed { .. } => None,
            ReceiptBody::Opened(opening) => {
                if self.open.len() >= OPEN_MAX {
                    self.open.clear();
                }
                self.open.insert(record.receipt, (position, table_of(&opening)));
                None
            }
            ReceiptBody::Single { opening, row_set, .. } => named(position, table_of(&opening), &row_set, position)?,
            ReceiptBody::Part { row_set, .. } => {
                let (opening, table) = match self.open.get(&record.receipt) {
                    Some(known) => known.clone(),
                    None => {
                        // It began before this process followed, or is one of too many.
                        let found = opening_of(log, &record.receipt).await?;
                        let known = found.map_or((position, None), |(at, opening)| (at, table_of(&opening)));
                        self.open.insert(record.receipt, known.clone());
                        known
                    }
                };
                named(opening, table, &row_set, position)?
            }
        };
        Ok(Taken { position, named })
    }
}

/// The record that a delivery began with; none where there is none.
pub(super) async fn opening_of(log: &ReceiptLog, receipt: &ReceiptId) -> Result<Option<(u64, Opening)>, AppError> {
    for position in log.positions_of_receipt(receipt.as_str()).await? {
        let Some(stored) = log.read(position).await? else { continue };
        match parse(&stored)?.body {
            ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => return Ok(Some((position, opening))),
            ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => {}
        }
    }
    Ok(None)
}

fn named(opening: u64, table: Option<String>, row_set: &str, position: u64) -> Result<Option<Named>, AppError> {
    let rows = row_set::rows_of(row_set)
        .ok_or_else(|| AppError::Fault(format!("the rows that receipt record {position} names can't be read")))?;
    Ok((!rows.is_empty()).then_some(Named { opening, table, rows }))
}

/// Opens the segments of a folder that follow one another from the first record on; removes what a crash left and what a
/// larger segment covers. The rest of the log is read again.
fn open_all(folder: &Path) -> Result<Vec<Arc<Segment>>, AppError> {
    fs::create_dir_all(folder).map_err(|error| AppError::file("make", folder, &error))?;
    let listed = fs::read_dir(folder).map_err(|error| AppError::file("read", folder, &error))?;
    let mut files: Vec<(u64, u64, PathBuf)> = Vec::new();
    for entry in listed {
        let path = entry.map_err(|error| AppError::file("read", folder, &error))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        match segment::positions_of(name) {
            Some((first, last)) => files.push((first, last, path)),
            None if path.is_file() => drop(fs::remove_file(&path)),
            None => {}
        }
    }
    // Of those that begin together the longest first.
    files.sort_unstable_by(|one, other| (one.0, other.1).cmp(&(other.0, one.1)));
    let mut segments: Vec<Arc<Segment>> = Vec::new();
    let mut next = 1;
    for (first, last, path) in files {
        if first != next {
            drop(fs::remove_file(&path));
            continue;
        }
        let segment = Segment::open(&path)?;
        if (segment.footer().first, segment.footer().last) != (first, last) || last < first {
            return Err(segment::damaged(&path));
        }
        next = last + 1;
        segments.push(Arc::new(segment));
    }
    Ok(segments)
}

/// What names a record of the log.
pub(crate) fn digest_of(receipt: &Receipt) -> String {
    let mut hasher = Sha256Hasher::default();
    hasher.update(&receipt.salt.0);
    hasher.update(&receipt.receipt.record);
    hasher.finish().to_string()
}

/// Waits for the turn to make a file by person. Blocking.
pub(super) fn blocking_turn(index: &UseIndex) -> MutexGuard<'_, ()> {
    index.making.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work on files, off the threads that serve.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| AppError::Fault(format!("work on the index of uses ended early: {error}")))?
}

/// Whether the rows that a record names are numbers of a product's rows or names of live ones.
pub(super) fn is_live(opening: &Opening) -> bool {
    opening.rows_named_by == RowNaming::KeyDigest
}
