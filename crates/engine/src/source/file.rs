//! A source file: its name for messages, its format by its ending, and its bytes, decompressed within a bound.

use std::error::Error;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::PathBuf;
use std::sync::Arc;

use super::encoding::{TextEncoding, as_utf8};
use super::progress::ReadProgress;
use super::{SourceError, SourceFormat};

/// Where a source lies, and how its bytes are reached.
#[derive(Clone, Debug)]
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    /// The encoding of a text.
    pub(super) encoding: TextEncoding,
    /// What a compressed file may expand to.
    pub(super) expanded_bytes_max: u64,
    /// Told how far the reading has come.
    pub(super) progress: Arc<ReadProgress>,
}

impl SourceFile {
    /// The file's name without its folder, for messages.
    pub(super) fn name(&self) -> String {
        self.path.file_name().map_or_else(|| "the file".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The format that the file's ending tells.
    pub(super) fn format(&self) -> Result<SourceFormat, SourceError> {
        SourceFormat::of_name(&self.name()).ok_or_else(|| SourceError::UnknownFormat { file: self.name() })
    }

    /// A fault while reading, told apart from a file that expands too far.
    pub(super) fn io_fault(&self, error: &io::Error) -> SourceError {
        if error.get_ref().is_some_and(|inner| inner.is::<ExpandsTooFar>()) {
            return SourceError::Expands { file: self.name(), bytes_max: self.expanded_bytes_max };
        }
        self.unreadable(error)
    }

    pub(super) fn unreadable(&self, error: &dyn fmt::Display) -> SourceError {
        SourceError::Unreadable { file: self.name(), reason: error.to_string() }
    }

    /// The file itself.
    pub(super) fn handle(&self) -> Result<File, SourceError> {
        File::open(&self.path).map_err(|error| self.unreadable(&error))
    }

    /// The bytes of a text as UTF-8, decompressed as its ending says. Bytes that are not of the encoding stand in it as bytes
    /// that are no UTF-8.
    pub(super) fn open(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        Ok(Box::new(BufReader::new(as_utf8(self.encoding, self.open_bytes()?))))
    }

    /// The bytes, decompressed as the ending says.
    pub(super) fn open_bytes(&self) -> Result<Box<dyn Read + Send>, SourceError> {
        let counted = Counted { inner: self.handle()?, progress: Arc::clone(&self.progress) };
        let extension = self.path.extension().map(|extension| extension.to_ascii_lowercase());
        let expanding: Box<dyn Read + Send> = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("gz") => Box::new(flate2::read::MultiGzDecoder::new(BufReader::new(counted))),
            Some("zst") => {
                Box::new(zstd::stream::read::Decoder::new(counted).map_err(|error| self.unreadable(&error))?)
            }
            _ => return Ok(Box::new(BufReader::new(counted))),
        };
        Ok(Box::new(BufReader::new(Bounded { inner: expanding, bytes_left: self.expanded_bytes_max })))
    }
}

/// Counts the bytes of the file as they are read.
struct Counted {
    inner: File,
    progress: Arc<ReadProgress>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.progress.add_bytes(count as u64);
        Ok(count)
    }
}

/// Ends a file that expands without end.
struct Bounded {
    inner: Box<dyn Read + Send>,
    bytes_left: u64,
}

#[derive(Debug)]
struct ExpandsTooFar;

impl fmt::Display for ExpandsTooFar {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("it expands too far")
    }
}

impl Error for ExpandsTooFar {}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        match self.bytes_left.checked_sub(count as u64) {
            Some(left) => self.bytes_left = left,
            None => return Err(io::Error::other(ExpandsTooFar)),
        }
        Ok(count)
    }
}
