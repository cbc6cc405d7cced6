//! JSON: one object a line (NDJSON), or one array of objects.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::de::{Deserialize, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::StreamDeserializer;
use serde_json::de::IoRead;
use serde_json::value::RawValue;

use super::error::WHOLE_LINE;
use super::file::SourceFile;
use super::typed::Cell;
use super::{COLUMNS_MAX, RECORD_BYTES_MAX, Records, SourceError, Step};

/// The names that the objects of a file use, in the order in which they first appear.
pub(super) fn discover_headers(file: &SourceFile) -> Result<Vec<String>, SourceError> {
    let mut records = JsonRecords::of_found(file, &[])?;
    let mut headers: Vec<String> = Vec::new();
    loop {
        match records.read()? {
            Next::End => return Ok(headers),
            // Refused or rejected where the records are read; here only the names matter.
            Next::Bad(_) => {}
            Next::Object(object) => {
                for (name, _) in object.0 {
                    if headers.len() <= COLUMNS_MAX && !headers.contains(&name) {
                        headers.push(name);
                    }
                }
            }
        }
    }
}

pub(super) struct JsonRecords {
    file: SourceFile,
    form: Form,
    headers: Vec<String>,
    record: Vec<JsonValue>,
    /// Which columns the record has a value of.
    given: Vec<bool>,
    /// Whether it is what was found of a file: its array may be cut off, and an object have a name twice.
    is_found: bool,
}

/// The two forms of a JSON file.
enum Form {
    /// One array of objects. What is no JSON ends the reading, since nobody can tell where the next object begins.
    Array { objects: Box<StreamDeserializer<'static, IoRead<Unwrapped>, JsonObject>>, progress: Arc<Progress> },
    /// One object a line, so that a bad line is one bad row.
    Lines { bytes: BufReader<Box<dyn Read + Send>>, buffer: Vec<u8>, line: u64 },
}

enum Next {
    Object(JsonObject),
    Bad(SourceError),
    End,
}

impl JsonRecords {
    pub(super) fn open(file: &SourceFile, headers: &[String]) -> Result<Self, SourceError> {
        let form = if is_array(file)? {
            let progress = Arc::new(Progress::default());
            let bytes = Unwrapped::new(file.open()?, Arc::clone(&progress));
            let objects = serde_json::Deserializer::from_reader(bytes).into_iter::<JsonObject>();
            Form::Array { objects: Box::new(objects), progress }
        } else {
            Form::Lines { bytes: BufReader::new(file.open()?), buffer: Vec::new(), line: 0 }
        };
        let (headers, record, given) = (headers.to_vec(), Vec::new(), Vec::new());
        Ok(Self { file: file.clone(), form, headers, record, given, is_found: false })
    }

    /// The same for what was found of a file.
    pub(super) fn of_found(file: &SourceFile, headers: &[String]) -> Result<Self, SourceError> {
        Ok(Self { is_found: true, ..Self::open(file, headers)? })
    }

    fn read(&mut self) -> Result<Next, SourceError> {
        let (bytes, buffer, line) = match &mut self.form {
            Form::Array { objects, progress } => {
                let next = next_of_array(&self.file, objects, progress)?;
                if matches!(next, Next::End) && !self.is_found && !progress.is_whole() {
                    return Err(SourceError::ArrayNotWhole { file: self.file.name(), line: progress.line() });
                }
                return Ok(next);
            }
            Form::Lines { bytes, buffer, line } => (bytes, buffer, line),
        };
        loop {
            buffer.clear();
            let limit = RECORD_BYTES_MAX + 1;
            let count = bytes.by_ref().take(limit).read_until(b'\n', buffer);
            let count = count.map_err(|error| self.file.io_fault(&error))?;
            if count == 0 {
                return Ok(Next::End);
            }
            *line += 1;
            if count as u64 == limit && buffer.last() != Some(&b'\n') {
                return Err(SourceError::RecordTooLong { file: self.file.name(), line: *line });
            }
            let mut text = buffer.as_slice();
            if *line == 1 {
                text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
            }
            if text.trim_ascii().is_empty() {
                continue;
            }
            if std::str::from_utf8(text).is_err() {
                return Ok(Next::Bad(SourceError::BadBytes {
                    file: self.file.name(),
                    line: *line,
                    column: WHOLE_LINE.to_owned(),
                    encoding: self.file.encoding,
                }));
            }
            return Ok(match serde_json::from_slice(text) {
                Ok(object) => Next::Object(object),
                // The message of the parser may quote the input; its place is enough.
                Err(error) => Next::Bad(SourceError::BadJson {
                    file: self.file.name(),
                    line: *line,
                    character: error.column() as u64,
                }),
            });
        }
    }
}

/// Whether the first character of a file opens an array.
#[expect(clippy::unbuffered_bytes, reason = "what a source file opens is buffered")]
fn is_array(file: &SourceFile) -> Result<bool, SourceError> {
    for byte in file.open()?.bytes() {
        let byte = byte.map_err(|error| file.io_fault(&error))?;
        if !byte.is_ascii_whitespace() && !matches!(byte, 0xef | 0xbb | 0xbf) {
            return Ok(byte == b'[');
        }
    }
    Ok(false)
}

fn next_of_array(
    file: &SourceFile,
    objects: &mut StreamDeserializer<'static, IoRead<Unwrapped>, JsonObject>,
    progress: &Progress,
) -> Result<Next, SourceError> {
    progress.record_bytes.store(0, Ordering::Relaxed);
    match objects.next() {
        None => Ok(Next::End),
        Some(Ok(object)) => Ok(Next::Object(object)),
        Some(Err(error)) if error.is_io() => {
            if progress.record_bytes.load(Ordering::Relaxed) > RECORD_BYTES_MAX {
                return Err(SourceError::RecordTooLong { file: file.name(), line: progress.line() });
            }
            Err(file.io_fault(&error.into()))
        }
        Some(Err(error)) => {
            Err(SourceError::BadJson { file: file.name(), line: error.line() as u64, character: error.column() as u64 })
        }
    }
}

impl Records for JsonRecords {
    fn advance(&mut self) -> Result<Step, SourceError> {
        let object = match self.read()? {
            Next::Object(object) => object,
            Next::Bad(error) => return Ok(Step::Bad(error)),
            Next::End => return Ok(Step::End),
        };
        self.record.clear();
        self.record.resize(self.headers.len(), JsonValue::Null);
        self.given.clear();
        self.given.resize(self.headers.len(), false);
        for (name, value) in object.0 {
            if let Some(index) = self.headers.iter().position(|header| *header == name) {
                if std::mem::replace(&mut self.given[index], true) && !self.is_found {
                    let (file, line) = (self.file.name(), self.line());
                    return Ok(Step::Bad(SourceError::RepeatedName { file, line, column: name }));
                }
                self.record[index] = value;
            }
        }
        Ok(Step::Record)
    }

    fn line(&self) -> u64 {
        match &self.form {
            Form::Array { progress, .. } => progress.begun_line(),
            Form::Lines { line, .. } => *line,
        }
    }

    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError> {
        Ok(match &self.record[index] {
            JsonValue::Null => Cell::Null,
            JsonValue::Boolean(value) => Cell::Boolean(*value),
            JsonValue::Number(text) => Cell::Number(text),
            JsonValue::Text(text) => Cell::Text(text),
            JsonValue::Nested => Cell::Nested,
        })
    }
}

/// An object's members in their order. (`serde_json`'s own map sorts them.)
struct JsonObject(Vec<(String, JsonValue)>);

#[derive(Clone)]
enum JsonValue {
    Null,
    Boolean(bool),
    /// As it is written: a float in between would change decimals, and numbers that are kept as text.
    Number(String),
    Text(String),
    Nested,
}

impl JsonValue {
    fn read(raw: &RawValue) -> serde_json::Result<JsonValue> {
        Ok(match raw.get().as_bytes() {
            [b'n', ..] => JsonValue::Null,
            [b't', ..] => JsonValue::Boolean(true),
            [b'f', ..] => JsonValue::Boolean(false),
            [b'"', ..] => JsonValue::Text(serde_json::from_str(raw.get())?),
            [b'{' | b'[', ..] => JsonValue::Nested,
            _ => JsonValue::Number(raw.get().to_owned()),
        })
    }
}

impl<'de> Deserialize<'de> for JsonObject {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = JsonObject;
            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<JsonObject, A::Error> {
                let mut members = Vec::new();
                while let Some((name, raw)) = map.next_entry::<String, Box<RawValue>>()? {
                    members.push((name, JsonValue::read(&raw).map_err(A::Error::custom)?));
                }
                Ok(JsonObject(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

#[derive(Default)]
struct Progress {
    lines: AtomicU64,
    /// The lines before the one on which the last object begins.
    lines_before: AtomicU64,
    record_bytes: AtomicU64,
    is_closed: AtomicBool,
    /// Whether something stood behind the array's end.
    has_more: AtomicBool,
}

impl Progress {
    /// The line that the parser is at.
    fn line(&self) -> u64 {
        self.lines.load(Ordering::Relaxed) + 1
    }

    /// The line on which the last object begins: the parser reads none of the next one.
    fn begun_line(&self) -> u64 {
        self.lines_before.load(Ordering::Relaxed) + 1
    }

    /// Whether the array that was read had an end and nothing stood behind it.
    fn is_whole(&self) -> bool {
        self.is_closed.load(Ordering::Relaxed) && !self.has_more.load(Ordering::Relaxed)
    }
}

/// The bytes of a JSON file with the brackets and commas of its outer array turned into spaces, so that it is a stream of
/// objects and line numbers stay true. A record that is too long ends the reading.
struct Unwrapped {
    inner: Box<dyn Read + Send>,
    progress: Arc<Progress>,
    is_array: Option<bool>,
    depth: u32,
    in_text: bool,
    escaped: bool,
    at_start: bool,
}

impl Unwrapped {
    fn new(inner: Box<dyn Read + Send>, progress: Arc<Progress>) -> Self {
        Self { inner, progress, is_array: None, depth: 0, in_text: false, escaped: false, at_start: true }
    }

    fn unwrap_byte(&mut self, byte: u8) -> u8 {
        if self.is_array.is_none() && !byte.is_ascii_whitespace() && !matches!(byte, 0xef | 0xbb | 0xbf) {
            self.is_array = Some(byte == b'[');
        }
        if self.in_text {
            self.in_text = byte != b'"' || self.escaped;
            self.escaped = byte == b'\\' && !self.escaped;
            return byte;
        }
        if !byte.is_ascii_whitespace() && self.progress.is_closed.load(Ordering::Relaxed) {
            self.progress.has_more.store(true, Ordering::Relaxed);
        }
        match byte {
            b'"' => self.in_text = true,
            b'{' | b'[' => {
                self.depth += 1;
                if self.depth == 1 && self.is_array == Some(true) && byte == b'[' {
                    return b' ';
                }
                if self.depth == 2 {
                    self.progress.lines_before.store(self.progress.lines.load(Ordering::Relaxed), Ordering::Relaxed);
                }
            }
            b'}' | b']' => {
                let is_end = self.depth == 1 && self.is_array == Some(true) && byte == b']';
                self.depth = self.depth.saturating_sub(1);
                if is_end {
                    self.progress.is_closed.store(true, Ordering::Relaxed);
                    return b' ';
                }
            }
            b',' if self.depth == 1 && self.is_array == Some(true) => return b' ',
            _ => {}
        }
        byte
    }
}

impl Read for Unwrapped {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // The parser asks for one byte at a time (`io::Bytes`), which keeps the counts below in step with it.
        if self.progress.record_bytes.load(Ordering::Relaxed) > RECORD_BYTES_MAX {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "record too long"));
        }
        let count = self.inner.read(buffer)?;
        for byte in &mut buffer[..count] {
            let was_start = self.at_start;
            // A byte order mark is no JSON.
            self.at_start = was_start && matches!(*byte, 0xef | 0xbb | 0xbf);
            if self.at_start {
                *byte = b' ';
                continue;
            }
            if *byte == b'\n' {
                self.progress.lines.fetch_add(1, Ordering::Relaxed);
            }
            *byte = self.unwrap_byte(*byte);
        }
        self.progress.record_bytes.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
