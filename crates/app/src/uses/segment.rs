//! A segment: the index of a stretch of the receipt log, in one file that never changes.
//!
//! ```text
//! file := magic · block{…} · directory entry{…} · footer (JSON) · its length u64 · first 8 bytes of its SHA-256 · magic
//! directory entry := table u32 · width u32 · number u64 · first position u64 · offset u64 · length u32 · 0 u32 ·
//!                    first 8 bytes of the block's SHA-256
//! ```
//!
//! Numbers are little-endian. The directory is in the order of tables (by name), places and positions, so that what is said
//! of a place is found by bisection, with a few reads and no memory. A segment is a hint: what it says is held against the
//! receipts, and a damaged one is removed and made anew.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use lingqu_crypto::sha256;
use serde::{Deserialize, Serialize};

use super::entries::{self, Block, Entry};
use super::places::Place;
use crate::error::AppError;

const MAGIC: &[u8; 8] = b"LQUSES01";
const DIRECTORY_BYTES: usize = 48;
/// What stands behind the footer: its length, its digest, the magic.
const END_BYTES: u64 = 24;
const DIGEST_BYTES: usize = 8;
/// A block is closed when it has so many bytes.
pub(super) const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Longest footer: the names of a few hundred thousand tables.
const FOOTER_BYTES_MAX: u64 = 64 << 20;
/// Directory entries that are read at once where all are.
const ENTRIES_AT_ONCE: u64 = 1_024;

/// What a segment is of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Footer {
    /// Position of its first record.
    pub(super) first: u64,
    /// Position of its last.
    pub(super) last: u64,
    /// The least position at which a delivery in it began.
    pub(super) least_opening: u64,
    /// How often segments were put together to make it.
    pub(super) level: u32,
    /// Records with rows of which is not known what table they are of.
    pub(super) untold: u64,
    /// Digest of its last record: of another log it is no index.
    pub(super) last_digest: String,
    /// The tables, by name.
    pub(super) tables: Vec<String>,
    /// Where the directory begins.
    directory: u64,
    /// Its entries.
    entries: u64,
}

/// Where a block lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockPlace {
    table: u32,
    place: Place,
    first: u64,
    offset: u64,
    length: u32,
    digest: [u8; DIGEST_BYTES],
}

/// An open segment.
#[derive(Debug)]
pub(super) struct Segment {
    path: PathBuf,
    file: File,
    footer: Footer,
}

impl Segment {
    /// Opens a segment and reads its footer.
    pub(super) fn open(path: &Path) -> Result<Segment, AppError> {
        let unreadable = |error: std::io::Error| AppError::file("read", path, &error);
        let file = File::open(path).map_err(unreadable)?;
        let size = file.metadata().map_err(unreadable)?.len();
        let mut end = [0; END_BYTES as usize];
        let at = size.checked_sub(END_BYTES).ok_or_else(|| damaged(path))?;
        file.read_exact_at(&mut end, at).map_err(unreadable)?;
        let length = u64::from_le_bytes(end[..8].try_into().map_err(|_| damaged(path))?);
        if end[16..] != MAGIC[..] || length > FOOTER_BYTES_MAX || length > at {
            return Err(damaged(path));
        }
        let mut footer = vec![0; usize::try_from(length).map_err(|_| damaged(path))?];
        file.read_exact_at(&mut footer, at - length).map_err(unreadable)?;
        if digest_of(&footer)[..] != end[8..16] {
            return Err(damaged(path));
        }
        let footer: Footer = serde_json::from_slice(&footer).map_err(|_| damaged(path))?;
        let directory_bytes = footer.entries.checked_mul(DIRECTORY_BYTES as u64);
        if directory_bytes.and_then(|bytes| bytes.checked_add(footer.directory)) != Some(at - length) {
            return Err(damaged(path));
        }
        Ok(Segment { path: path.to_owned(), file, footer })
    }

    /// What it is of.
    pub(super) fn footer(&self) -> &Footer {
        &self.footer
    }

    /// Where it lies.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The number of a table; none when nothing is said of it.
    pub(super) fn table(&self, name: &str) -> Option<u32> {
        let at = self.footer.tables.binary_search_by(|table| table.as_str().cmp(name)).ok()?;
        u32::try_from(at).ok()
    }

    /// Tells the records that name rows of a place, in the order of positions.
    pub(super) fn visit(&self, table: u32, place: Place, look: &mut dyn FnMut(Entry)) -> Result<(), AppError> {
        let (mut low, mut high) = (0, self.footer.entries);
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.entry(middle)?;
            if (found.table, found.place).cmp(&(table, place)) == Ordering::Less {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        while low < self.footer.entries {
            let found = self.entry(low)?;
            if (found.table, found.place) != (table, place) {
                return Ok(());
            }
            self.visit_block(&found, look)?;
            low += 1;
        }
        Ok(())
    }

    fn visit_block(&self, block: &BlockPlace, look: &mut dyn FnMut(Entry)) -> Result<(), AppError> {
        let mut bytes = vec![0; block.length as usize];
        self.file
            .read_exact_at(&mut bytes, block.offset)
            .map_err(|error| AppError::file("read", &self.path, &error))?;
        if digest_of(&bytes) != block.digest {
            return Err(damaged(&self.path));
        }
        entries::visit(block.first, &bytes, look).ok_or_else(|| damaged(&self.path))
    }

    fn entry(&self, number: u64) -> Result<BlockPlace, AppError> {
        let mut bytes = [0; DIRECTORY_BYTES];
        self.file
            .read_exact_at(&mut bytes, self.footer.directory + number * DIRECTORY_BYTES as u64)
            .map_err(|error| AppError::file("read", &self.path, &error))?;
        self.parsed(&bytes)
    }

    fn parsed(&self, bytes: &[u8]) -> Result<BlockPlace, AppError> {
        let parsed = parse(bytes).filter(|block| {
            let end = block.offset.checked_add(u64::from(block.length));
            end.is_some_and(|end| end <= self.footer.directory) && (block.table as usize) < self.footer.tables.len()
        });
        parsed.ok_or_else(|| damaged(&self.path))
    }
}

/// Reads the directory of a segment from begin to end, some entries at a time.
struct Walk<'a> {
    segment: &'a Segment,
    next: u64,
    page: Vec<BlockPlace>,
    at: usize,
}

impl<'a> Walk<'a> {
    fn new(segment: &'a Segment) -> Self {
        Self { segment, next: 0, page: Vec::new(), at: 0 }
    }

    /// The entry that it stands at; none at the end.
    fn peek(&mut self) -> Result<Option<BlockPlace>, AppError> {
        if self.at == self.page.len() {
            let count = ENTRIES_AT_ONCE.min(self.segment.footer.entries - self.next);
            let mut bytes = vec![0; count as usize * DIRECTORY_BYTES];
            let offset = self.segment.footer.directory + self.next * DIRECTORY_BYTES as u64;
            let read = self.segment.file.read_exact_at(&mut bytes, offset);
            read.map_err(|error| AppError::file("read", &self.segment.path, &error))?;
            self.page.clear();
            for entry in bytes.chunks_exact(DIRECTORY_BYTES) {
                self.page.push(self.segment.parsed(entry)?);
            }
            self.next += count;
            self.at = 0;
        }
        Ok(self.page.get(self.at).copied())
    }

    fn name(&self, block: &BlockPlace) -> &'a str {
        &self.segment.footer.tables[block.table as usize]
    }
}

fn parse(bytes: &[u8]) -> Option<BlockPlace> {
    let four = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let eight = |at: usize| Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
    Some(BlockPlace {
        table: four(0)?,
        place: Place { width: u8::try_from(four(4)?).ok()?, number: eight(8)? },
        first: eight(16)?,
        offset: eight(24)?,
        length: four(32)?,
        digest: bytes.get(40..48)?.try_into().ok()?,
    })
}

/// What is known of a segment before it is written.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// Position of its first record.
    pub(super) first: u64,
    /// Position of its last.
    pub(super) last: u64,
    /// The least position at which a delivery in it began.
    pub(super) least_opening: u64,
    /// How often segments were put together to make it.
    pub(super) level: u32,
    /// Records of which is not known what table they are of.
    pub(super) untold: u64,
    /// Digest of its last record.
    pub(super) last_digest: String,
    /// The tables, by name.
    pub(super) tables: Vec<String>,
}

/// Writes a segment: blocks in the order of tables, places and positions. It appears under its name when it is whole and
/// durable.
pub(super) struct SegmentWriter {
    path: PathBuf,
    unfinished: PathBuf,
    out: BufWriter<File>,
    offset: u64,
    head: Head,
    directory: File,
    directory_path: PathBuf,
    directory_out: Vec<u8>,
    entries: u64,
}

/// Bytes of the directory that are kept before they go to its own file: it does not stay in memory.
const DIRECTORY_BUFFER_BYTES: usize = 1 << 20;

impl SegmentWriter {
    /// Begins a segment in a folder that exists.
    pub(super) fn create(folder: &Path, head: Head) -> Result<SegmentWriter, AppError> {
        let path = folder.join(name_of(head.first, head.last));
        let (unfinished, directory_path) = (path.with_extension("unfinished"), path.with_extension("directory"));
        let file = File::create(&unfinished).map_err(|error| AppError::file("write", &unfinished, &error))?;
        let directory = File::options().create(true).truncate(true).read(true).write(true).open(&directory_path);
        let directory = directory.map_err(|error| AppError::file("write", &directory_path, &error))?;
        let mut writer = SegmentWriter {
            path,
            unfinished,
            out: BufWriter::with_capacity(1 << 20, file),
            offset: 0,
            head,
            directory,
            directory_path,
            directory_out: Vec::new(),
            entries: 0,
        };
        writer.put(MAGIC)?;
        Ok(writer)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), AppError> {
        self.out.write_all(bytes).map_err(|error| AppError::file("write", &self.unfinished, &error))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Appends a block of a place.
    pub(super) fn block(&mut self, table: u32, place: Place, block: &Block) -> Result<(), AppError> {
        let length = u32::try_from(block.bytes.len())
            .map_err(|_| AppError::Fault("a block of the index of uses is too long".to_owned()))?;
        let out = &mut self.directory_out;
        out.extend_from_slice(&table.to_le_bytes());
        out.extend_from_slice(&u32::from(place.width).to_le_bytes());
        for number in [place.number, block.first, self.offset] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&length.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        out.extend_from_slice(&digest_of(&block.bytes));
        self.entries += 1;
        if self.directory_out.len() >= DIRECTORY_BUFFER_BYTES {
            self.spill()?;
        }
        self.put(&block.bytes)
    }

    fn spill(&mut self) -> Result<(), AppError> {
        let written = self.directory.write_all(&self.directory_out);
        written.map_err(|error| AppError::file("write", &self.directory_path, &error))?;
        self.directory_out.clear();
        Ok(())
    }

    /// Ends it; when this returns, it survives a loss of power.
    pub(super) fn finish(mut self) -> Result<Segment, AppError> {
        self.spill()?;
        let directory = self.offset;
        let mut copied: u64 = 0;
        let all = self.entries * DIRECTORY_BYTES as u64;
        let mut buffer = vec![0; DIRECTORY_BUFFER_BYTES];
        while copied < all {
            let count = usize::try_from(all - copied).unwrap_or(buffer.len()).min(buffer.len());
            let read = self.directory.read_exact_at(&mut buffer[..count], copied);
            read.map_err(|error| AppError::file("read", &self.directory_path, &error))?;
            let piece = buffer[..count].to_vec();
            self.put(&piece)?;
            copied += count as u64;
        }
        let Head { first, last, least_opening, level, untold, last_digest, tables } = self.head.clone();
        let entries = self.entries;
        let footer = Footer { first, last, least_opening, level, untold, last_digest, tables, directory, entries };
        let footer = serde_json::to_vec(&footer).expect("a footer has only string keys");
        self.put(&footer)?;
        self.put(&(footer.len() as u64).to_le_bytes())?;
        self.put(&digest_of(&footer))?;
        self.put(MAGIC)?;
        let SegmentWriter { path, unfinished, out, directory_path, .. } = self;
        let write = || -> std::io::Result<()> {
            let file = out.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            file.sync_all()?;
            fs::rename(&unfinished, &path)?;
            fs::remove_file(&directory_path)?;
            sync_folder(&path)
        };
        write().map_err(|error| AppError::file("write", &path, &error))?;
        Segment::open(&path)
    }
}

/// Puts segments that follow one another together into one.
pub(super) fn merge(folder: &Path, segments: &[&Segment]) -> Result<Segment, AppError> {
    let mut tables: Vec<String> = segments.iter().flat_map(|segment| segment.footer.tables.iter().cloned()).collect();
    tables.sort_unstable();
    tables.dedup();
    let of_all = |of: fn(&Footer) -> u64| segments.iter().map(move |segment| of(&segment.footer));
    let head = Head {
        first: of_all(|footer| footer.first).min().unwrap_or(1),
        last: of_all(|footer| footer.last).max().unwrap_or(0),
        least_opening: of_all(|footer| footer.least_opening).min().unwrap_or(1),
        level: segments.iter().map(|segment| segment.footer.level).max().unwrap_or(0) + 1,
        untold: of_all(|footer| footer.untold).sum(),
        last_digest: segments.last().map(|segment| segment.footer.last_digest.clone()).unwrap_or_default(),
        tables: tables.clone(),
    };
    let mut writer = SegmentWriter::create(folder, head)?;
    let mut walks: Vec<Walk<'_>> = segments.iter().map(|segment| Walk::new(segment)).collect();
    loop {
        let mut least: Option<(&str, Place)> = None;
        for walk in &mut walks {
            if let Some(block) = walk.peek()? {
                let key = (walk.name(&block), block.place);
                if least.is_none_or(|least| key < least) {
                    least = Some(key);
                }
            }
        }
        let Some((name, place)) = least else { break };
        let table = tables.binary_search_by(|table| table.as_str().cmp(name)).ok();
        let table = table.and_then(|at| u32::try_from(at).ok()).ok_or_else(|| damaged(folder))?;
        let mut whole: Vec<Block> = Vec::new();
        for walk in &mut walks {
            while let Some(block) = walk.peek()? {
                if (walk.name(&block), block.place) != (name, place) {
                    break;
                }
                walk.segment.visit_block(&block, &mut |entry| append(&mut whole, &entry))?;
                walk.at += 1;
                // All but the last are as long as they get.
                while whole.len() > 1 {
                    writer.block(table, place, &whole.remove(0))?;
                }
            }
        }
        for block in &whole {
            writer.block(table, place, block)?;
        }
    }
    writer.finish()
}

/// Appends a record to the last block, or to a new one when that is as long as it gets.
pub(super) fn append(blocks: &mut Vec<Block>, entry: &Entry) {
    match blocks.last_mut() {
        Some(block) if block.bytes.len() < BLOCK_BYTES_MAX => block.push(entry),
        _ => {
            let mut block = Block::default();
            block.push(entry);
            blocks.push(block);
        }
    }
}

/// The name of a segment's file.
fn name_of(first: u64, last: u64) -> String {
    format!("{first:020}-{last:020}.uses")
}

/// First and last position by a file's name; none for other files.
pub(super) fn positions_of(name: &str) -> Option<(u64, u64)> {
    let (first, last) = name.strip_suffix(".uses")?.split_once('-')?;
    Some((first.parse().ok()?, last.parse().ok()?))
}

fn digest_of(bytes: &[u8]) -> [u8; DIGEST_BYTES] {
    let mut digest = [0; DIGEST_BYTES];
    digest.copy_from_slice(&sha256(bytes).0[..DIGEST_BYTES]);
    digest
}

fn sync_folder(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

pub(super) fn damaged(path: &Path) -> AppError {
    AppError::Damaged {
        path: path.to_owned(),
        hint: "it is an index of the receipts and is made anew: stop the node, remove the folder `uses`, start the node",
    }
}
