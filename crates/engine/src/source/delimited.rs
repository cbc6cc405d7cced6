//! Separated values (CSV, RFC 4180; TSV) with a header line.

use std::io::{self, Read};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use csv::{ByteRecord, ReaderBuilder};

use super::file::SourceFile;
use super::typed::Cell;
use super::{RECORD_BYTES_MAX, Records, SourceError, Step};

/// Bytes that the reader may have taken ahead of the record it is at.
const READ_AHEAD_BYTES: u64 = 256 * 1024;
/// What the reader finds behind the file, a record of one cell, unless a quote was never closed: then it is part of the cell.
const BEHIND: &[u8] = b"\nend\n";
/// That cell.
const END: &[u8] = b"end";
/// The file has not been read to its end yet.
const NOT_YET: u64 = u64::MAX;

pub(super) struct DelimitedRecords {
    file: SourceFile,
    reader: csv::Reader<BoundedRead>,
    spent: Arc<AtomicU64>,
    /// Bytes of the file, once it was read to its end.
    size: Arc<AtomicU64>,
    latest: Arc<Mutex<Latest>>,
    headers: Vec<String>,
    null_tokens: Vec<Vec<u8>>,
    record: ByteRecord,
}

impl DelimitedRecords {
    pub(super) fn open(file: &SourceFile, delimiter: u8, null_tokens: &[String]) -> Result<Self, SourceError> {
        let spent = Arc::new(AtomicU64::new(0));
        let (size, latest) = (Arc::new(AtomicU64::new(NOT_YET)), Arc::new(Mutex::new(Latest::default())));
        let bounded = BoundedRead {
            inner: file.open()?,
            spent: Arc::clone(&spent),
            read: 0,
            size: Arc::clone(&size),
            latest: Arc::clone(&latest),
            behind: BEHIND,
        };
        // Ragged records are let through by the reader and refused below, where the line is known.
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).delimiter(delimiter).from_reader(bounded);
        let null_tokens = null_tokens.iter().map(|token| token.clone().into_bytes()).collect();
        let mut records = Self {
            file: file.clone(),
            reader,
            spent,
            size,
            latest,
            headers: Vec::new(),
            null_tokens,
            record: ByteRecord::new(),
        };
        records.read_headers()?;
        Ok(records)
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Passes over so many records, the names first: those that follow name the columns instead.
    pub(super) fn pass_over(&mut self, count: usize) -> Result<(), SourceError> {
        (0..count).try_for_each(|_| self.read_headers())
    }

    fn read_headers(&mut self) -> Result<(), SourceError> {
        if !self.read()? {
            return Err(SourceError::NoColumns { file: self.file.name() });
        }
        let mut headers = Vec::with_capacity(self.record.len());
        for (index, field) in self.record.iter().enumerate() {
            let Ok(text) = std::str::from_utf8(field) else {
                return Err(self.bad_bytes(format!("number {}", index + 1)));
            };
            headers.push(text.trim_start_matches('\u{feff}').to_owned());
        }
        self.headers = headers;
        Ok(())
    }

    fn bad_bytes(&self, column: String) -> SourceError {
        SourceError::BadBytes { file: self.file.name(), line: self.line(), column, encoding: self.file.encoding }
    }

    fn read(&mut self) -> Result<bool, SourceError> {
        self.spent.store(0, Ordering::Relaxed);
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => Ok(false),
            Ok(true) => {
                let size = self.size.load(Ordering::Relaxed);
                // The end of a last line that has none is the first byte behind the file.
                let is_past = size != NOT_YET && self.reader.position().byte() > size + 1;
                if is_past && self.record.len() == 1 && self.record.get(0) == Some(END) {
                    return Ok(false);
                }
                if is_past {
                    // All that was read since is part of the cell, to the last byte.
                    let line = self.reader.position().line().saturating_sub(self.lines_within());
                    return Err(SourceError::QuoteNotClosed { file: self.file.name(), line });
                }
                Ok(true)
            }
            Err(error) if is_too_long(&error) => {
                Err(SourceError::RecordTooLong { file: self.file.name(), line: self.reader.position().line() })
            }
            Err(error) => Err(match error.kind() {
                csv::ErrorKind::Io(error) => self.file.io_fault(error),
                _ => self.file.unreadable(&error),
            }),
        }
    }
}

impl DelimitedRecords {
    /// How many lines end within the cells of the record.
    fn lines_within(&self) -> u64 {
        self.record.as_slice().split(|byte| *byte == b'\n').count() as u64 - 1
    }

    /// Whether the reader has counted the end of the record's last line: between CR and LF it has ended a record, and has not.
    fn has_counted_end(&self) -> bool {
        let latest = self.latest.lock().unwrap_or_else(PoisonError::into_inner);
        let last = self.reader.position().byte().checked_sub(1);
        last.and_then(|last| latest.byte(last)) == Some(b'\n')
    }
}

impl Records for DelimitedRecords {
    fn advance(&mut self) -> Result<Step, SourceError> {
        if !self.read()? {
            return Ok(Step::End);
        }
        if self.record.len() != self.headers.len() {
            return Ok(Step::Bad(SourceError::RaggedRecord {
                file: self.file.name(),
                line: self.line(),
                found: self.record.len(),
                expected: self.headers.len(),
            }));
        }
        Ok(Step::Record)
    }

    /// Counted back from the record's end: where it begins the reader is before the lines that it passes over.
    fn line(&self) -> u64 {
        self.reader.position().line().saturating_sub(self.lines_within() + u64::from(self.has_counted_end()))
    }

    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError> {
        let field = self.record.get(index).unwrap_or_default();
        if field.is_empty() || self.null_tokens.iter().any(|token| token == field) {
            return Ok(Cell::Null);
        }
        match std::str::from_utf8(field) {
            Ok(text) => Ok(Cell::Raw(text)),
            Err(_) => Err(self.bad_bytes(self.headers[index].clone())),
        }
    }
}

const TOO_LONG: &str = "record too long";

fn is_too_long(error: &csv::Error) -> bool {
    matches!(error.kind(), csv::ErrorKind::Io(error) if error.kind() == io::ErrorKind::InvalidData && error.to_string() == TOO_LONG)
}

/// Stops reading when one record takes more bytes than a record may have, so that a quote that is never closed does
/// not bring the whole file into memory.
struct BoundedRead {
    inner: Box<dyn Read + Send>,
    spent: Arc<AtomicU64>,
    /// Bytes of the file that were read.
    read: u64,
    size: Arc<AtomicU64>,
    latest: Arc<Mutex<Latest>>,
    /// What is left of what stands behind the file.
    behind: &'static [u8],
}

/// The bytes that were read last, among which the reader is.
#[derive(Default)]
struct Latest {
    /// How many came before them.
    before: u64,
    /// The last of those.
    previous: u8,
    bytes: Vec<u8>,
}

impl Latest {
    fn keep(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if let Some(last) = self.bytes.last() {
            self.previous = *last;
        }
        self.before += self.bytes.len() as u64;
        self.bytes.clear();
        self.bytes.extend_from_slice(bytes);
    }

    fn byte(&self, place: u64) -> Option<u8> {
        match place.checked_sub(self.before) {
            Some(at) => self.bytes.get(usize::try_from(at).ok()?).copied(),
            None => (place + 1 == self.before).then_some(self.previous),
        }
    }
}

impl Read for BoundedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.spent.load(Ordering::Relaxed) > RECORD_BYTES_MAX + READ_AHEAD_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, TOO_LONG));
        }
        if self.size.load(Ordering::Relaxed) == NOT_YET && !buffer.is_empty() {
            let count = self.inner.read(buffer)?;
            self.spent.fetch_add(count as u64, Ordering::Relaxed);
            self.read += count as u64;
            if count > 0 {
                self.keep(&buffer[..count]);
                return Ok(count);
            }
            self.size.store(self.read, Ordering::Relaxed);
        }
        let count = self.behind.read(buffer)?;
        self.keep(&buffer[..count]);
        Ok(count)
    }
}

impl BoundedRead {
    fn keep(&self, bytes: &[u8]) {
        self.latest.lock().unwrap_or_else(PoisonError::into_inner).keep(bytes);
    }
}
