//! Receipts in segment files `receipts/NNNNNNNN.seg`, numbered from 1. All numbers are big-endian.
//!
//! ```text
//! segment := "LQRSEG02" · first_position u64 · crc32c u32 of the 16 bytes before · frame*
//!          | "LQRSEG01" · first_position u64 · crc32c u32 of the 16 bytes before · plain frame*
//! ```
//!
//! What a frame is stands in [`super::frame`]. A frame is written only after the one before it was synced. So a bad frame
//! with no good one after it is the torn end of a group that nobody was told about, and is cut off; a bad frame anywhere else
//! is damage, and is named by file and offset. What a frame keeps for requests is asked only of the last one, and there only
//! where no log entry commits to its receipts: those that others follow, or that are committed to, were whole once, and a
//! request that can't be opened any more must not take receipts with it. Records are canonical JSON and hold no zero byte, which every frame's lengths
//! do, and sealed requests are bytes that nobody can choose: none can look like a frame.
//!
//! A segment is made longer ahead of its frames, by zeros that are written ([`AHEAD_BYTES`]): a sync that need not make a new length
//! durable costs the disk and the processor half. So a segment ends with zeros while it is appended to, and after a crash; whoever
//! appends next, begins another segment or ends in good order cuts them off. Behind a large frame ([`AHEAD_FRAME_BYTES_MAX`]) no zeros
//! are written: they would cost more than they save. No frame begins with a zero, so zeros up to the end are no
//! torn end; the frame before them may be one, as that at the end of the file.
//!
//! Segments with the first name are from before requests stood in them. They are read and not written to: a node that opens
//! such a directory for appending begins a new segment, which an older program refuses instead of cutting it off.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::mpsc;

use super::frame::{self, Form, checksum};
use super::group::Record;
use super::request::{NewRequest, RequestPlace};
use super::{Receipt, Waiting, gather, group, salts};
use crate::error::StoreError;

/// A segment takes no further group once it has so many bytes.
const SEGMENT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// So far a segment is written ahead of its frames when it has to be made longer.
const AHEAD_BYTES: usize = 512 * 1024;
/// A frame with more bytes makes the file longer by itself: beside what it takes to write it, the new length costs little, and zeros as
/// many as the next such frame overwrites would double what is written.
const AHEAD_FRAME_BYTES_MAX: usize = AHEAD_BYTES / 8;
/// How often a segment that looks damaged is read, and the pause between two looks.
const LOOKS_MAX: usize = 3;
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(2);
/// Most segments of a node: 100 million of 64 MiB each, beyond any disk.
const SEGMENTS_MAX: u64 = 99_999_999;
/// How often the writer lets others run before it takes a group.
const YIELDS_MAX: usize = 8;
/// A read stops after a group when it holds so many bytes.
const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// How a segment begins, by what its frames are.
const SEGMENT_MAGICS: [(&[u8; 8], Form); 2] = [(b"LQRSEG01", Form::Plain), (b"LQRSEG02", Form::WithRequests)];
/// How a new segment begins.
const SEGMENT_MAGIC: &[u8; 8] = b"LQRSEG02";
const SEGMENT_HEADER_BYTES: usize = 8 + 8 + 4;

/// What can be read. Shared by the writer, which extends it after each sync, and all readers.
#[derive(Clone)]
pub(super) struct Segments {
    set: Arc<RwLock<Set>>,
}

struct Set {
    /// In order; the places of a segment's groups are found when it is first read.
    files: Vec<SegmentFile>,
    /// Position of the last durable receipt.
    head: u64,
}

struct SegmentFile {
    path: PathBuf,
    form: Form,
    first_position: u64,
    groups: Option<Vec<GroupPlace>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct GroupPlace {
    first_position: u64,
    offset: u64,
    /// Bytes of the whole frame.
    frame_bytes: usize,
}

/// Where a group stands on the disk.
struct FramePlace {
    path: PathBuf,
    form: Form,
    group: GroupPlace,
}

/// A frame that was read and whose checksum holds.
pub(super) struct ReadFrame {
    path: PathBuf,
    offset: u64,
    bytes: Vec<u8>,
    /// Where in the bytes the encoded group stands.
    group: Range<usize>,
    last_position: u64,
}

impl ReadFrame {
    /// Its receipts.
    pub(super) fn records(&self) -> Result<Vec<Record<'_>>, StoreError> {
        group::decode(&self.bytes[self.group.clone()]).ok_or_else(|| damaged(&self.path, self.offset))
    }
}

/// The one who appends.
pub(super) struct Writer {
    directory: PathBuf,
    number: u64,
    file: File,
    /// Bytes up to the end of the last frame.
    length: u64,
    /// Bytes of the file, zeros included.
    file_bytes: u64,
    /// Whether there was room for zeros when they were written last.
    has_room: bool,
    next_position: u64,
    segments: Segments,
    /// Set when what reached the disk is unknown.
    stopped: bool,
    /// Held for as long as the writer lives.
    _lock: File,
}

/// Opens the directory for appending: takes the lock, cuts a torn end off. The log commits to receipts up to `committed`, so
/// those are no torn end.
pub(super) fn open_for_appending(directory: PathBuf, committed: u64) -> Result<(Segments, Writer), StoreError> {
    std::fs::create_dir_all(&directory).map_err(|error| StoreError::file("create", &directory, error))?;
    if let Some(parent) = directory.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_directory(parent)?;
    }
    let lock = take_lock(&directory)?;
    let mut found = list(&directory)?;
    remove_torn_creation(&directory, &mut found)?;
    let files = read_headers(&found)?;
    let Some((last_number, last_path)) = found.last().cloned() else {
        let segments = Segments::new(Vec::new(), 0);
        let (file, path) = create_segment(&directory, 1, 1)?;
        segments.write().files.push(SegmentFile::new(path, 1));
        let writer = Writer {
            directory,
            number: 1,
            file,
            length: SEGMENT_HEADER_BYTES as u64,
            file_bytes: SEGMENT_HEADER_BYTES as u64,
            has_room: true,
            next_position: 1,
            segments: segments.clone(),
            stopped: false,
            _lock: lock,
        };
        return Ok((segments, writer));
    };
    let form = files.last().map_or(Form::WithRequests, |file| file.form);
    let (segments, good_bytes) = scan_last(files, committed)?;
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&last_path)
        .map_err(|error| StoreError::file("open", &last_path, error))?;
    let bytes = file.metadata().map_err(|error| StoreError::file("read", &last_path, error))?.len();
    if bytes > good_bytes {
        if segments.head() < committed {
            // Cut off, nobody could mend it.
            return Err(damaged(&last_path, good_bytes));
        }
        if !zeros_alone(&file, good_bytes, bytes).map_err(|error| StoreError::file("read", &last_path, error))? {
            tracing::warn!(file = %last_path.display(), offset = good_bytes, cut = bytes - good_bytes, "cut off the torn end of a receipt segment");
        }
        file.set_len(good_bytes).map_err(|error| StoreError::file("cut the torn end of", &last_path, error))?;
    }
    // What a killed process wrote may be in the cache only; from here on others will rely on it.
    file.sync_all().map_err(|error| StoreError::file("sync", &last_path, error))?;
    let next_position = segments.head() + 1;
    let mut writer = Writer {
        directory,
        number: last_number,
        file,
        length: good_bytes,
        file_bytes: good_bytes,
        has_room: true,
        next_position,
        segments: segments.clone(),
        stopped: false,
        _lock: lock,
    };
    if form == Form::Plain {
        writer.leave_plain_segment()?;
    }
    Ok((segments, writer))
}

/// Opens the directory for reading beside a writer: a torn or unfinished end is left alone. `committed` is as for
/// [`open_for_appending`].
pub(super) fn open_for_reading(directory: PathBuf, committed: u64) -> Result<Segments, StoreError> {
    if !directory.is_dir() {
        return Ok(Segments::new(Vec::new(), 0));
    }
    let mut found = list(&directory)?;
    if let Some((_, path)) = found.last()
        && byte_length(path)? < SEGMENT_HEADER_BYTES as u64
    {
        found.pop();
    }
    let files = read_headers(&found)?;
    if files.is_empty() {
        return Ok(Segments::new(Vec::new(), 0));
    }
    Ok(scan_last(files, committed)?.0)
}

/// Writes groups until the queue is closed and empty.
pub(super) fn run(mut writer: Writer, mut queue: mpsc::Receiver<Waiting>) {
    while let Some(first) = queue.blocking_recv() {
        let_others_come(&queue);
        let waiting = gather(first, &mut queue);
        let written = writer.write(&waiting);
        if let Err(error) = &written {
            tracing::error!(%error, receipts = waiting.len(), "receipts could not be written");
        }
        for (index, waiting) in waiting.into_iter().enumerate() {
            // Who no longer waits has gone away; the receipt stays all the same.
            drop(waiting.answer.send(written.clone().map(|first_position| first_position + index as u64)));
        }
    }
    writer.cut_zeros();
}

/// Lets threads that are ready to run hand in what they have, as long as more comes: those who were answered a moment ago are
/// about to ask again, and a sync costs the same for one as for all. On a machine that is not busy this takes no time.
fn let_others_come(queue: &mpsc::Receiver<Waiting>) {
    let mut waiting = queue.len();
    for _ in 0..YIELDS_MAX {
        std::thread::yield_now();
        let before = std::mem::replace(&mut waiting, queue.len());
        if waiting == before {
            return;
        }
    }
}

impl Writer {
    /// Makes one group durable; gives the position of its first receipt.
    fn write(&mut self, waiting: &[Waiting]) -> Result<u64, StoreError> {
        const DOING: &str = "writing receipts";
        if self.stopped {
            return Err(StoreError::Stopped { doing: DOING });
        }
        if self.length >= SEGMENT_BYTES_MAX {
            self.begin_next_segment()?;
        }
        let first_position = self.next_position;
        let salts = salts(waiting.len())?;
        let group = group::encode(first_position, salts.iter().zip(waiting.iter().map(|waiting| &waiting.receipt)));
        let mut requests = Vec::with_capacity(waiting.len());
        for (place, waiting) in (0u16..).zip(waiting) {
            if let Some(NewRequest::Sealed(request)) = &waiting.request {
                requests.push((place, request));
            }
        }
        let frame = frame::encode(self.length, &group, &requests);
        if let Err(error) = self.write_frame(&frame) {
            // A frame that is there in part would be taken for damage once another one follows.
            match self.file.set_len(self.length) {
                Ok(()) => self.file_bytes = self.length,
                Err(_) => self.stopped = true,
            }
            return Err(StoreError::file(DOING, self.segments.last_path(), error));
        }
        if let Err(error) = self.file.sync_data() {
            // After a failed sync the cache may claim what the disk doesn't have; only a restart reads the truth.
            self.stopped = true;
            return Err(StoreError::file("sync", self.segments.last_path(), error));
        }
        let place = GroupPlace { first_position, offset: self.length, frame_bytes: frame.len() };
        self.length += frame.len() as u64;
        self.next_position += waiting.len() as u64;
        self.segments.extend(place, self.next_position - 1);
        Ok(first_position)
    }

    /// Writes a frame behind the last one and, where the file has to be made longer, zeros behind it. For those there may be no
    /// room: the frame is what counts.
    fn write_frame(&mut self, frame: &[u8]) -> io::Result<()> {
        static ZEROS: [u8; AHEAD_BYTES] = [0; AHEAD_BYTES];
        self.file.write_all_at(frame, self.length)?;
        let end = self.length + frame.len() as u64;
        if end > self.file_bytes {
            self.file_bytes = end;
            if self.has_room && frame.len() <= AHEAD_FRAME_BYTES_MAX {
                self.has_room = self.file.write_all_at(&ZEROS, end).is_ok();
                if self.has_room {
                    self.file_bytes += AHEAD_BYTES as u64;
                } else {
                    // What of them found room is wanted by others, and is not asked for again in this segment.
                    self.file.set_len(end)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the segment with its last frame, durably, so that nobody finds zeros at the end of any but the last one. Where that
    /// fails they stay, which programs as old as decision 0058 read.
    fn cut_zeros(&mut self) {
        if !self.stopped && self.file_bytes > self.length {
            let cut = self.file.set_len(self.length).and_then(|()| self.file.sync_all());
            match cut {
                Ok(()) => self.file_bytes = self.length,
                Err(error) => tracing::warn!(%error, "zeros stay at the end of a receipt segment"),
            }
        }
    }

    fn begin_next_segment(&mut self) -> Result<(), StoreError> {
        self.begin_segment(self.number + 1)
    }

    /// Goes on in a segment that takes requests. A plain one that has no group yet is written anew, because no two segments
    /// begin with the same position.
    fn leave_plain_segment(&mut self) -> Result<(), StoreError> {
        if self.length > SEGMENT_HEADER_BYTES as u64 {
            return self.begin_next_segment();
        }
        drop(self.segments.write().files.pop());
        self.begin_segment(self.number)
    }

    fn begin_segment(&mut self, number: u64) -> Result<(), StoreError> {
        self.cut_zeros();
        let (file, path) = create_segment(&self.directory, number, self.next_position)?;
        self.segments.write().files.push(SegmentFile::new(path, self.next_position));
        self.file = file;
        self.number = number;
        self.length = SEGMENT_HEADER_BYTES as u64;
        self.file_bytes = self.length;
        self.has_room = true;
        Ok(())
    }
}

impl SegmentFile {
    /// A segment that was created a moment ago.
    fn new(path: PathBuf, first_position: u64) -> SegmentFile {
        SegmentFile { path, form: Form::WithRequests, first_position, groups: Some(Vec::new()) }
    }
}

impl Segments {
    fn new(files: Vec<SegmentFile>, head: u64) -> Segments {
        Segments { set: Arc::new(RwLock::new(Set { files, head })) }
    }

    /// Position of the last durable receipt; 0 when there is none.
    pub(super) fn head(&self) -> u64 {
        self.read().head
    }

    /// At most `limit` receipts after `position`, and fewer when they are large, but at least one if there is one.
    pub(super) fn read_after(&self, position: u64, limit: usize) -> Result<Vec<Receipt>, StoreError> {
        let mut receipts: Vec<Receipt> = Vec::new();
        for frame in self.frames_after(position, limit)? {
            for record in frame.records()? {
                if record.position > position && receipts.len() < limit {
                    receipts.push(record.to_receipt());
                }
            }
        }
        Ok(receipts)
    }

    /// The frames that hold those receipts. The first may begin before them, and the last end after them.
    pub(super) fn frames_after(&self, position: u64, limit: usize) -> Result<Vec<ReadFrame>, StoreError> {
        let mut frames = Vec::new();
        let mut after = position;
        let mut bytes = 0;
        let mut open: Option<(PathBuf, File)> = None;
        while after - position < limit as u64 && bytes < READ_BYTES_MAX {
            let Some(place) = self.place_of(after + 1)? else { break };
            // Most groups are few receipts, and all of a read lie in one file or two.
            let file = match open.take() {
                Some((path, file)) if path == place.path => file,
                _ => open_segment(&place.path)?,
            };
            let (_, file) = open.insert((place.path.clone(), file));
            bytes += place.group.frame_bytes;
            let frame = read_frame(file, place)?;
            after = frame.last_position;
            frames.push(frame);
        }
        Ok(frames)
    }

    /// Where the request is kept that came with the receipt at `position`; none where none came with it.
    pub(super) fn request_place(&self, position: u64) -> Result<Option<RequestPlace>, StoreError> {
        let Some(FramePlace { path, form, group }) = self.place_of(position)? else { return Ok(None) };
        let bytes = frame_bytes(&open_segment(&path)?, &path, group)?;
        let frame = frame::read(form, group.offset, &bytes).ok_or_else(|| damaged(&path, group.offset))?;
        let kept = frame.kept.iter().find(|kept| group.first_position + u64::from(kept.place) == position);
        Ok(kept.map(|kept| RequestPlace {
            slot_at: group.offset + kept.slot.start as u64,
            sealed_at: group.offset + kept.sealed.start as u64,
            sealed_bytes: kept.sealed.len(),
            path: path.clone(),
        }))
    }

    /// File and place of the group that holds `position`.
    fn place_of(&self, position: u64) -> Result<Option<FramePlace>, StoreError> {
        let set = self.read();
        if position > set.head {
            return Ok(None);
        }
        let after = set.files.partition_point(|file| file.first_position <= position);
        let Some(index) = after.checked_sub(1) else { return Ok(None) };
        let file = &set.files[index];
        let (path, form, first_position) = (file.path.clone(), file.form, file.first_position);
        if let Some(groups) = &file.groups {
            return Ok(place_in(groups, position).map(|group| FramePlace { path, form, group }));
        }
        let next_first = set.files.get(index + 1).map(|next| next.first_position);
        drop(set);
        // It is not the last one, so each of its frames was whole once.
        let scan = scan(&path, form, first_position, u64::MAX)?;
        let damage = scan.end.or((Some(scan.next_position) != next_first).then_some(scan.good_bytes));
        if let Some(offset) = damage {
            return Err(damaged(&path, offset));
        }
        let place = place_in(&scan.groups, position);
        self.write().files[index].groups = Some(scan.groups);
        Ok(place.map(|group| FramePlace { path, form, group }))
    }

    /// Makes the last segment durable as far as it was read; those before it are.
    pub(super) fn sync_last(&self) -> Result<(), StoreError> {
        let path = self.last_path();
        open_segment(&path)?.sync_data().map_err(|error| StoreError::file("sync", &path, error))
    }

    fn extend(&self, place: GroupPlace, head: u64) {
        let mut set = self.write();
        if let Some(groups) = set.files.last_mut().and_then(|file| file.groups.as_mut()) {
            groups.push(place);
        }
        set.head = head;
    }

    fn last_path(&self) -> PathBuf {
        self.read().files.last().map_or_else(PathBuf::new, |file| file.path.clone())
    }

    fn read(&self) -> RwLockReadGuard<'_, Set> {
        self.set.read().expect("no holder of this lock panics")
    }

    fn write(&self) -> RwLockWriteGuard<'_, Set> {
        self.set.write().expect("no holder of this lock panics")
    }
}

fn place_in(groups: &[GroupPlace], position: u64) -> Option<GroupPlace> {
    let after = groups.partition_point(|group| group.first_position <= position);
    after.checked_sub(1).map(|index| groups[index])
}

/// Scans the last of `files`; gives the set and the number of good bytes in that file.
fn scan_last(mut files: Vec<SegmentFile>, committed: u64) -> Result<(Segments, u64), StoreError> {
    let last = files.last_mut().expect("callers pass at least one file");
    let scan = scan(&last.path, last.form, last.first_position, committed)?;
    if let Some(offset) = scan.end
        && scan.good_frame_follows
    {
        return Err(damaged(&last.path, offset));
    }
    last.groups = Some(scan.groups);
    Ok((Segments::new(files, scan.next_position - 1), scan.good_bytes))
}

struct Scan {
    groups: Vec<GroupPlace>,
    /// Position after the last good group.
    next_position: u64,
    /// Bytes up to the end of the last good frame.
    good_bytes: u64,
    /// Where the first bad frame begins, if there is one.
    end: Option<u64>,
    /// Whether a good frame stands anywhere after the bad one.
    good_frame_follows: bool,
}

/// Reads a segment; receipts up to `committed` are known to have been whole. Further looks tell a torn end from a request that
/// was being erased at the first, and from frames that were being written: a page is read before them, the next one after.
fn scan(path: &Path, form: Form, first_position: u64, committed: u64) -> Result<Scan, StoreError> {
    let mut scan = scan_once(path, form, first_position, committed)?;
    for _ in 1..LOOKS_MAX {
        if scan.end.is_none() {
            break;
        }
        std::thread::sleep(LOOK_AGAIN_AFTER);
        scan = scan_once(path, form, first_position, committed)?;
    }
    Ok(scan)
}

fn scan_once(path: &Path, form: Form, first_position: u64, committed: u64) -> Result<Scan, StoreError> {
    let bytes = std::fs::read(path).map_err(|error| StoreError::file("read", path, error))?;
    let mut scan = Scan {
        groups: Vec::new(),
        next_position: first_position,
        good_bytes: SEGMENT_HEADER_BYTES as u64,
        end: None,
        good_frame_follows: false,
    };
    let mut offset = SEGMENT_HEADER_BYTES;
    while offset < bytes.len() && !is_zero(&bytes[offset..]) {
        match good_frame(form, &bytes, offset, committed) {
            Some((first, count, frame_bytes)) if first == scan.next_position => {
                scan.groups.push(GroupPlace { first_position: first, offset: offset as u64, frame_bytes });
                scan.next_position += u64::from(count);
                offset += frame_bytes;
                scan.good_bytes = offset as u64;
            }
            _ => {
                scan.end = Some(offset as u64);
                scan.good_frame_follows =
                    (offset + 1..bytes.len()).any(|later| frame::read(form, later as u64, &bytes[later..]).is_some());
                break;
            }
        }
    }
    Ok(scan)
}

/// First position, count and bytes of the frame at `offset`, if it is good and, where it may have been torn, has every request
/// that it was written with.
fn good_frame(form: Form, bytes: &[u8], offset: usize, committed: u64) -> Option<(u64, u16, usize)> {
    let bytes = &bytes[offset..];
    let frame = frame::read(form, offset as u64, bytes)?;
    let (first, count) = group::header(frame.group)?;
    let may_be_torn = first > committed && is_zero(&bytes[frame.bytes..]);
    (!may_be_torn || frame.keeps_all(bytes)).then_some((first, count, frame.bytes))
}

/// Whether there is nothing but zeros; at the first other byte it is known.
fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

/// Whether a file has nothing but zeros from one offset to another.
fn zeros_alone(file: &File, mut from: u64, to: u64) -> io::Result<bool> {
    let mut bytes = vec![0; AHEAD_BYTES];
    while from < to {
        let count = usize::try_from(to - from).unwrap_or(AHEAD_BYTES).min(AHEAD_BYTES);
        file.read_exact_at(&mut bytes[..count], from)?;
        if !is_zero(&bytes[..count]) {
            return Ok(false);
        }
        from += count as u64;
    }
    Ok(true)
}

fn read_frame(file: &File, place: FramePlace) -> Result<ReadFrame, StoreError> {
    let FramePlace { path, form, group: GroupPlace { first_position, offset, .. } } = place;
    let bytes = frame_bytes(file, &path, place.group)?;
    let frame = frame::read(form, offset, &bytes);
    let found = frame.and_then(|frame| Some((group::header(frame.group)?, frame.group.len())));
    match found {
        Some(((first, count), group_bytes)) if first == first_position => {
            let group = form.group_at()..form.group_at() + group_bytes;
            Ok(ReadFrame { path, offset, bytes, group, last_position: first + u64::from(count) - 1 })
        }
        _ => Err(damaged(&path, offset)),
    }
}

fn open_segment(path: &Path) -> Result<File, StoreError> {
    File::open(path).map_err(|error| StoreError::file("open", path, error))
}

/// The bytes of a frame of the segment that is open as `file`.
fn frame_bytes(file: &File, path: &Path, place: GroupPlace) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![0; place.frame_bytes];
    file.read_exact_at(&mut bytes, place.offset).map_err(|error| StoreError::file("read", path, error))?;
    Ok(bytes)
}

fn damaged(path: &Path, offset: u64) -> StoreError {
    StoreError::Unreadable {
        what: "the receipt log",
        problem: format!("{} is damaged at offset {offset}; restore the file from a backup", path.display()),
    }
}

fn take_lock(directory: &Path) -> Result<File, StoreError> {
    let path = directory.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(|error| StoreError::file("create", &path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::invalid(format!(
            "another lingqu process appends receipts in {}; end it before starting this one",
            directory.display()
        ))),
        Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &path, error)),
    }
}

/// Numbers and paths of the segments, which must be 1, 2, 3, …
fn list(directory: &Path) -> Result<Vec<(u64, PathBuf)>, StoreError> {
    let fault = |error| StoreError::file("list", directory, error);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(fault)? {
        let path = entry.map_err(fault)?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_suffix(".seg"))
        else {
            continue;
        };
        let number = name.parse::<u64>().ok().filter(|_| name.len() == 8).ok_or_else(|| StoreError::Unreadable {
            what: "the receipt log",
            problem: format!("{} is no segment's name; move the file away", path.display()),
        })?;
        found.push((number, path));
    }
    found.sort();
    for (index, (number, path)) in found.iter().enumerate() {
        if *number != index as u64 + 1 {
            return Err(StoreError::Unreadable {
                what: "the receipt log",
                problem: format!("the segment before {} is missing; restore it from a backup", path.display()),
            });
        }
    }
    Ok(found)
}

/// A crash while a segment was created leaves a file without its header; nothing was ever written to it.
fn remove_torn_creation(directory: &Path, found: &mut Vec<(u64, PathBuf)>) -> Result<(), StoreError> {
    let Some((_, path)) = found.last() else { return Ok(()) };
    let bytes = std::fs::read(path).map_err(|error| StoreError::file("read", path, error))?;
    if bytes.len() <= SEGMENT_HEADER_BYTES && segment_header(&bytes).is_none() {
        std::fs::remove_file(path).map_err(|error| StoreError::file("remove", path, error))?;
        sync_directory(directory)?;
        found.pop();
    }
    Ok(())
}

fn read_headers(found: &[(u64, PathBuf)]) -> Result<Vec<SegmentFile>, StoreError> {
    let mut files: Vec<SegmentFile> = Vec::with_capacity(found.len());
    for (_, path) in found {
        let file = File::open(path).map_err(|error| StoreError::file("open", path, error))?;
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let read = file.read_exact_at(&mut header, 0);
        let header = read.ok().and_then(|()| segment_header(&header));
        let (form, first_position) = header.ok_or_else(|| damaged(path, 0))?;
        let before = files.last().map_or(0, |file| file.first_position);
        if first_position <= before || (files.is_empty() && first_position != 1) {
            return Err(damaged(path, 0));
        }
        files.push(SegmentFile { path: path.clone(), form, first_position, groups: None });
    }
    Ok(files)
}

/// What the frames of a segment are, and its first position.
fn segment_header(bytes: &[u8]) -> Option<(Form, u64)> {
    let (_, form) = SEGMENT_MAGICS.into_iter().find(|(magic, _)| bytes.starts_with(*magic))?;
    let first_position = u64::from_be_bytes(bytes.get(8..16)?.try_into().ok()?);
    let crc = u32::from_be_bytes(bytes.get(16..SEGMENT_HEADER_BYTES)?.try_into().ok()?);
    (checksum(&bytes[..16]) == crc).then_some((form, first_position))
}

fn create_segment(directory: &Path, number: u64, first_position: u64) -> Result<(File, PathBuf), StoreError> {
    if number > SEGMENTS_MAX {
        return Err(StoreError::invalid("the receipt log has its last segment; move the node to PostgreSQL"));
    }
    let path = directory.join(format!("{number:08}.seg"));
    let fault = |error| StoreError::file("create", &path, error);
    let mut header = Vec::with_capacity(SEGMENT_HEADER_BYTES);
    header.extend(SEGMENT_MAGIC);
    header.extend(first_position.to_be_bytes());
    header.extend(checksum(&header).to_be_bytes());
    // A creation that failed half-way may have left a file without its header.
    let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path).map_err(fault)?;
    let written = file.write_all_at(&header, 0).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Left behind it would be removed at the next start; if this fails too, that is what happens.
        drop(std::fs::remove_file(&path));
        return Err(fault(error));
    }
    sync_directory(directory)?;
    Ok((file, path))
}

fn sync_directory(directory: &Path) -> Result<(), StoreError> {
    File::open(directory)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| StoreError::file("sync", directory, error))
}

fn byte_length(path: &Path) -> Result<u64, StoreError> {
    Ok(std::fs::metadata(path).map_err(|error| StoreError::file("read", path, error))?.len())
}

/// The system's devices stand for a disk: what is written to `/dev/null` is taken, to `/dev/full` it never is, and neither can be
/// synced. So what is answered without having been synced, or is synced before it is written, gives itself away.
#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;
    use crate::receipt::NewReceipt;

    fn writer_on(device: &str) -> Writer {
        Writer {
            directory: PathBuf::from("/dev"),
            number: 1,
            file: OpenOptions::new().read(true).write(true).open(device).unwrap(),
            length: SEGMENT_HEADER_BYTES as u64,
            file_bytes: SEGMENT_HEADER_BYTES as u64,
            has_room: true,
            next_position: 1,
            segments: Segments::new(vec![SegmentFile::new(PathBuf::from(device), 1)], 0),
            stopped: false,
            _lock: File::open(device).unwrap(),
        }
    }

    type Answer = oneshot::Receiver<Result<u64, StoreError>>;

    /// So many receipts with records of so many bytes, and who waits for them.
    fn group(count: usize, record_bytes: usize) -> (Vec<Waiting>, Vec<Answer>) {
        let waiting = |number: usize| {
            let (answer, answered) = oneshot::channel();
            let receipt = NewReceipt {
                receipt_id: format!("rcp_{number}"),
                order_id: "ord_1".to_owned(),
                kind: "single".to_owned(),
                record: vec![b'1'; record_bytes],
            };
            (Waiting { receipt, request: None, fence: None, answer }, answered)
        };
        (0..count).map(waiting).unzip()
    }

    #[test]
    fn a_group_that_is_not_synced_is_not_there() {
        // One that makes the file longer, one within zeros, a crowd, and one behind which no zeros are written.
        for (count, record_bytes, zeros) in [(1, 100, 0), (1, 100, AHEAD_BYTES), (300, 100, 0), (2, AHEAD_BYTES, 0)] {
            let mut writer = writer_on("/dev/null");
            writer.file_bytes += zeros as u64;
            let (waiting, _answers) = group(count, record_bytes);
            let written = writer.write(&waiting);
            assert!(matches!(written, Err(StoreError::File { doing: "sync", .. })), "{count}: {written:?}");
            assert_eq!(writer.segments.head(), 0, "nobody reads it");
            // What of it the disk has is not known, so nothing may follow it.
            let after = writer.write(&waiting);
            assert!(matches!(after, Err(StoreError::Stopped { .. })), "{count}: {after:?}");
        }
    }

    #[test]
    fn a_group_is_written_before_it_is_synced() {
        let written = writer_on("/dev/full").write(&group(3, 100).0);
        assert!(matches!(written, Err(StoreError::Full { .. })), "{written:?}");
    }

    #[test]
    fn nobody_is_answered_before_the_sync() {
        let (waiting, answers) = group(20, 100);
        let (sender, queue) = mpsc::channel(waiting.len());
        for waiting in waiting {
            assert!(sender.try_send(waiting).is_ok());
        }
        drop(sender);
        run(writer_on("/dev/null"), queue);
        for answer in answers {
            let answered = answer.blocking_recv().unwrap();
            assert!(matches!(answered, Err(StoreError::File { .. } | StoreError::Stopped { .. })), "{answered:?}");
        }
    }

    #[test]
    fn a_segment_whose_beginning_is_not_synced_is_none() {
        let directory = std::env::temp_dir().join(format!("lingqu-segment-{}", std::process::id()));
        // One that failed may have left it behind.
        drop(std::fs::remove_dir_all(&directory));
        std::fs::create_dir(&directory).unwrap();
        let path = directory.join("00000001.seg");
        std::os::unix::fs::symlink("/dev/null", &path).unwrap();
        let created = create_segment(&directory, 1, 1);
        assert!(matches!(created, Err(StoreError::File { doing: "create", .. })), "{created:?}");
        assert!(path.symlink_metadata().is_err(), "what was begun is removed");
        std::fs::remove_dir(&directory).unwrap();
    }
}
