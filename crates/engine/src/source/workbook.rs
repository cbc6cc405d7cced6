//! Makes a workbook safe to read: an XLSX file is an archive of XML files, and its library believes what the archive says.
//!
//! Before it is handed over, the archive is read here within bounds: each part that matters is expanded once, measured,
//! and looked through for what would make a reader take memory without end (a text that never ends, a count that is a lie,
//! an encoding that hides both). What was looked at is put into a new archive with the measured sizes, so that the library
//! sees exactly the parts that were checked and stops at their ends.
//!
//! Form: PKWARE APPNOTE 6.3, sections 4.3.6 to 4.3.16 and 4.5.3; ECMA-376 part 1, section 18.

use std::collections::BTreeSet;
use std::io::Read;

use super::error::SourceError;
use super::file::SourceFile;

/// Largest workbook, in bytes. It is held in memory.
const FILE_BYTES_MAX: u64 = 128 << 20;
/// Most parts of an archive.
const PARTS_MAX: usize = 4_096;
/// What a sheet may expand to. It is read as a stream.
const SHEET_BYTES_MAX: u64 = 1 << 30;
/// What the table of texts may expand to. It is held in memory.
const TEXTS_BYTES_MAX: u64 = 64 << 20;
/// What any other part may expand to.
const PART_BYTES_MAX: u64 = 8 << 20;
/// What the text of a cell, its value or its formula may take with the tags in it, of which one of many runs has many. It is held
/// in memory.
const VALUE_BYTES_MAX: usize = 16 << 20;
/// Longest text between two tags; a cell has at most 32,767 characters.
const TEXT_BYTES_MAX: usize = 1 << 20;
/// Longest tag.
const TAG_BYTES_MAX: usize = 64 << 10;
/// Most merged areas of a sheet; they are held in memory.
const MERGED_MAX: u64 = 65_536;
/// An entry of the table of texts takes at least so many bytes: `<si/>`.
const TEXT_ENTRY_BYTES_MIN: u64 = 5;

const LOCAL_HEADER: u32 = 0x0403_4b50;
const CENTRAL_HEADER: u32 = 0x0201_4b50;
const END_RECORD: u32 = 0x0605_4b50;
const END_RECORD_BYTES: usize = 22;
const COMMENT_BYTES_MAX: usize = 65_535;
/// Stands for a size that the extra field has.
const IN_EXTRA_FIELD: u32 = 0xffff_ffff;
const STORED: u16 = 0;
const DEFLATED: u16 = 8;

/// The workbook as an archive of checked parts.
pub(super) fn checked(file: &SourceFile) -> Result<Vec<u8>, SourceError> {
    let bad = |reason: String| SourceError::BadWorkbook { file: file.name(), reason };
    let handle = file.handle()?;
    let length = handle.metadata().map_err(|error| file.unreadable(&error))?.len();
    if length > FILE_BYTES_MAX {
        return Err(bad(format!("it is larger than {FILE_BYTES_MAX} bytes; split it, or save it as CSV")));
    }
    let mut bytes = Vec::new();
    handle.take(FILE_BYTES_MAX).read_to_end(&mut bytes).map_err(|error| file.unreadable(&error))?;
    file.progress.add_bytes(bytes.len() as u64);
    let parts = directory(&bytes).map_err(&bad)?;
    let mut archive = Archive::default();
    let mut names = BTreeSet::new();
    for part in parts {
        let name = part.name.to_ascii_lowercase();
        if !is_needed(&name) {
            continue;
        }
        if !names.insert(name.clone()) {
            return Err(bad("two parts of it have the same name; save it anew in its spreadsheet program".to_owned()));
        }
        let contents = part.contents(&bytes).map_err(&bad)?;
        let size = measure(&part, contents, &name, file.expanded_bytes_max).map_err(|fault| match fault {
            PartFault::Large(bytes_max) => SourceError::Expands { file: file.name(), bytes_max },
            PartFault::Bad(reason) => bad(reason),
        })?;
        archive.add(&part, contents, size);
    }
    Ok(archive.finish())
}

/// The parts that hold cells, their texts, number formats, and the way to them.
fn is_needed(name: &str) -> bool {
    let is_xml = name.ends_with(".xml");
    name == "[content_types].xml"
        || name == "_rels/.rels"
        || (name.ends_with(".rels") && name.contains("_rels/workbook"))
        || (is_xml && name.contains("workbook"))
        || is_texts(name)
        || (is_xml && name.ends_with("styles.xml"))
        || is_sheet(name)
}

fn is_sheet(name: &str) -> bool {
    name.ends_with(".xml") && name.contains("worksheets/")
}

fn is_texts(name: &str) -> bool {
    name.ends_with("sharedstrings.xml")
}

struct Part {
    name: String,
    method: u16,
    crc: u32,
    packed_size: u64,
    offset: u64,
}

enum PartFault {
    Large(u64),
    Bad(String),
}

fn damaged() -> String {
    "its archive is damaged; save it anew in its spreadsheet program".to_owned()
}

/// The parts that the archive's directory names.
fn directory(bytes: &[u8]) -> Result<Vec<Part>, String> {
    if bytes.starts_with(b"\xd0\xcf\x11\xe0") {
        return Err(
            "it is an older .xls file or protected by a password; save it as .xlsx without a password".to_owned()
        );
    }
    let first = bytes.len().saturating_sub(END_RECORD_BYTES + COMMENT_BYTES_MAX);
    let last = bytes.len().checked_sub(END_RECORD_BYTES).ok_or_else(damaged)?;
    let end = (first..=last).rev().find(|at| u32_at(bytes, *at) == Some(END_RECORD)).ok_or_else(damaged)?;
    let count = usize::from(u16_at(bytes, end + 10).ok_or_else(damaged)?);
    if count > PARTS_MAX {
        return Err(format!("its archive has more than {PARTS_MAX} parts"));
    }
    let mut at = u32_at(bytes, end + 16).ok_or_else(damaged)? as usize;
    let mut parts = Vec::with_capacity(count);
    for _ in 0..count {
        if u32_at(bytes, at) != Some(CENTRAL_HEADER) {
            return Err(damaged());
        }
        let half = |offset: usize| u16_at(bytes, at + offset).ok_or_else(damaged);
        let word = |offset: usize| u32_at(bytes, at + offset).ok_or_else(damaged);
        if half(8)? & 1 != 0 {
            return Err("it is protected by a password; save it without one".to_owned());
        }
        let (name_length, extra_length, comment_length) =
            (usize::from(half(28)?), usize::from(half(30)?), usize::from(half(32)?));
        let name = bytes.get(at + 46..at + 46 + name_length).ok_or_else(damaged)?;
        let extra = bytes.get(at + 46 + name_length..at + 46 + name_length + extra_length).ok_or_else(damaged)?;
        let (packed, size, offset) = (word(20)?, word(24)?, word(42)?);
        let mut large = LargeSizes::of(extra);
        if size == IN_EXTRA_FIELD {
            // Measured here anyway; only its place in the field counts.
            large.next().ok_or_else(damaged)?;
        }
        let packed_size = if packed == IN_EXTRA_FIELD { large.next().ok_or_else(damaged)? } else { u64::from(packed) };
        let offset = if offset == IN_EXTRA_FIELD { large.next().ok_or_else(damaged)? } else { u64::from(offset) };
        let name = String::from_utf8_lossy(name).into_owned();
        parts.push(Part { name, method: half(10)?, crc: word(16)?, packed_size, offset });
        at += 46 + name_length + extra_length + comment_length;
    }
    Ok(parts)
}

/// The sizes of 64 bits in an extra field.
struct LargeSizes<'a> {
    rest: &'a [u8],
}

impl<'a> LargeSizes<'a> {
    fn of(extra: &'a [u8]) -> Self {
        let mut at = 0;
        while let (Some(kind), Some(length)) = (u16_at(extra, at), u16_at(extra, at + 2)) {
            let contents = extra.get(at + 4..at + 4 + usize::from(length)).unwrap_or_default();
            if kind == 1 {
                return Self { rest: contents };
            }
            at += 4 + usize::from(length);
        }
        Self { rest: &[] }
    }

    fn next(&mut self) -> Option<u64> {
        let (size, rest) = self.rest.split_first_chunk::<8>()?;
        self.rest = rest;
        Some(u64::from_le_bytes(*size))
    }
}

impl Part {
    /// The packed bytes.
    fn contents<'a>(&self, bytes: &'a [u8]) -> Result<&'a [u8], String> {
        let at = usize::try_from(self.offset).map_err(|_| damaged())?;
        if u32_at(bytes, at) != Some(LOCAL_HEADER) {
            return Err(damaged());
        }
        let name_length = usize::from(u16_at(bytes, at + 26).ok_or_else(damaged)?);
        let extra_length = usize::from(u16_at(bytes, at + 28).ok_or_else(damaged)?);
        let from = at + 30 + name_length + extra_length;
        let length = usize::try_from(self.packed_size).map_err(|_| damaged())?;
        let to = from.checked_add(length).ok_or_else(damaged)?;
        bytes.get(from..to).ok_or_else(damaged)
    }
}

/// Expands a part, looks through it and answers its size.
fn measure(part: &Part, contents: &[u8], name: &str, bytes_max: u64) -> Result<u64, PartFault> {
    let part_bytes_max = if is_sheet(name) {
        SHEET_BYTES_MAX
    } else if is_texts(name) {
        TEXTS_BYTES_MAX
    } else {
        PART_BYTES_MAX
    };
    let bytes_max = part_bytes_max.min(bytes_max);
    let mut expanded: Box<dyn Read> = match part.method {
        STORED => Box::new(contents),
        DEFLATED => Box::new(flate2::read::DeflateDecoder::new(contents)),
        _ => return Err(PartFault::Bad("a part of it is packed in an unusual way; save it anew".to_owned())),
    };
    let mut look = Look { counts_texts: is_texts(name), bounds_values: is_sheet(name), ..Look::default() };
    let mut buffer = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let count = expanded.read(&mut buffer).map_err(|_| PartFault::Bad(damaged()))?;
        if count == 0 {
            break;
        }
        size += count as u64;
        if size > bytes_max {
            return Err(PartFault::Large(bytes_max));
        }
        for byte in &buffer[..count] {
            look.at(*byte).map_err(|reason| PartFault::Bad(reason.to_owned()))?;
        }
    }
    match look.texts_counted {
        Some(count) if count > size / TEXT_ENTRY_BYTES_MIN => Err(PartFault::Bad(damaged())),
        _ => Ok(size),
    }
}

const UNUSUAL: &str = "its XML holds what spreadsheet programs do not write (a comment, a CDATA section, a document type, an instruction, \
     a tag without a name); save it anew in one";
const TOO_LONG: &str = "a text or tag of it is longer than any cell can be; save it anew in its spreadsheet program";
const MERGED: &str = "it has too many merged cells; take the merging out";
const MISNESTED: &str = "the values of its cells stand in one another; save it anew in its spreadsheet program";
const NOT_UTF8: &str = "its XML is not in UTF-8; save it anew in its spreadsheet program";

/// Looks through XML a byte at a time, holding no more than one tag.
#[derive(Default)]
struct Look {
    place: Place,
    /// Bytes since the last tag.
    text_length: usize,
    has_begun: bool,
    tag: Vec<u8>,
    counts_texts: bool,
    /// Whether the part has cells.
    bounds_values: bool,
    /// The tag of a cell's text, value or formula that has begun, and the bytes since.
    value: Option<(Vec<u8>, usize)>,
    merged: u64,
    texts_counted: Option<u64>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Text,
    /// After `<`.
    Opened,
    Tag,
    Quoted(u8),
    /// Within `<?xml … ?>`.
    Declaration,
}

impl Look {
    fn at(&mut self, byte: u8) -> Result<(), &'static str> {
        if byte == 0 {
            // UTF-16, or no text at all.
            return Err(NOT_UTF8);
        }
        if let Some((_, length)) = &mut self.value {
            *length += 1;
            if *length > VALUE_BYTES_MAX {
                return Err(TOO_LONG);
            }
        }
        match self.place {
            Place::Text if byte == b'<' => {
                self.place = Place::Opened;
                self.text_length = 0;
                self.tag.clear();
            }
            Place::Text => {
                self.text_length += 1;
                if self.text_length > TEXT_BYTES_MAX {
                    return Err(TOO_LONG);
                }
            }
            Place::Opened => {
                self.place = match byte {
                    b'?' if !self.has_begun => Place::Declaration,
                    // Where a tag ends that begins so, readers differ on.
                    b'!' | b'?' | b'>' | b'"' | b'\'' => return Err(UNUSUAL),
                    _ => Place::Tag,
                };
                self.has_begun = true;
                self.tag.push(byte);
            }
            Place::Tag => match byte {
                b'>' => {
                    self.place = Place::Text;
                    if self.counts_texts {
                        self.count_texts();
                    }
                    if self.bounds_values {
                        self.follow_value()?;
                    }
                    if self.is_merged_area() {
                        self.merged += 1;
                    }
                    if self.merged > MERGED_MAX {
                        return Err(MERGED);
                    }
                }
                b'"' | b'\'' if self.tag.starts_with(b"/") => return Err(UNUSUAL),
                quote @ (b'"' | b'\'') => {
                    self.place = Place::Quoted(quote);
                    self.push(byte)?;
                }
                other => self.push(other)?,
            },
            Place::Quoted(quote) => {
                if byte == quote {
                    self.place = Place::Tag;
                }
                self.push(byte)?;
            }
            Place::Declaration => {
                self.push(byte)?;
                if byte == b'>' && self.tag.ends_with(b"?>") {
                    self.place = Place::Text;
                    let declaration = self.tag.to_ascii_lowercase();
                    let has = |word: &[u8]| declaration.windows(word.len()).any(|window| window == word);
                    if has(b"encoding") && !has(b"\"utf-8\"") && !has(b"'utf-8'") {
                        return Err(NOT_UTF8);
                    }
                }
            }
        }
        Ok(())
    }

    fn push(&mut self, byte: u8) -> Result<(), &'static str> {
        if self.tag.len() >= TAG_BYTES_MAX {
            return Err(TOO_LONG);
        }
        self.tag.push(byte);
        Ok(())
    }

    /// Whether the tag is `mergeCell`, under whatever prefix.
    fn is_merged_area(&self) -> bool {
        name_of(&self.tag).ends_with(b"mergeCell")
    }

    /// Notes where what a cell holds begins and ends. Its reader puts all of it together until the tag ends that began it, whatever
    /// stands between, so nothing else that could end it for us alone is let pass.
    fn follow_value(&mut self) -> Result<(), &'static str> {
        let (is_end, tag) = match self.tag.strip_prefix(b"/") {
            Some(tag) => (true, tag),
            None => (false, self.tag.as_slice()),
        };
        let name = name_of(tag);
        let local = name.rsplit(|byte| *byte == b':').next().unwrap_or_default();
        if !matches!(local, b"is" | b"v" | b"f") || tag.ends_with(b"/") {
            return Ok(());
        }
        match &self.value {
            None if !is_end => self.value = Some((name.to_owned(), 0)),
            Some((begun, _)) if is_end && begun == name => self.value = None,
            _ => return Err(MISNESTED),
        }
        Ok(())
    }

    /// Reads how many texts the table of texts says it has, for which its reader makes room at once.
    fn count_texts(&mut self) {
        const COUNT: &[u8] = b"uniqueCount";
        let Some(at) = self.tag.windows(COUNT.len()).position(|window| window == COUNT) else { return };
        let digits: Vec<u8> = self.tag[at + COUNT.len()..]
            .iter()
            .copied()
            .skip_while(|byte| !byte.is_ascii_digit())
            .take_while(u8::is_ascii_digit)
            .collect();
        let count = std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX);
        self.texts_counted = Some(self.texts_counted.unwrap_or(0).max(count));
    }
}

/// The name in a tag that is no end.
fn name_of(tag: &[u8]) -> &[u8] {
    tag.split(|byte| byte.is_ascii_whitespace() || *byte == b'/').next().unwrap_or_default()
}

/// A new archive, written in one go.
#[derive(Default)]
struct Archive {
    bytes: Vec<u8>,
    directory: Vec<u8>,
    parts: u16,
}

impl Archive {
    fn add(&mut self, part: &Part, contents: &[u8], size: u64) {
        let offset = self.bytes.len() as u64;
        let name = part.name.as_bytes();
        // A name that is longer was no name of a part that a spreadsheet program writes.
        let Ok(length) = u16::try_from(name.len()) else { return };
        let mut facts = Vec::new();
        // Version 2.0, names in UTF-8, packed as before, the first day that can be written.
        for half in [20, 0x0800, part.method, 0, 0x0021] {
            facts.extend(half.to_le_bytes());
        }
        for word in [u64::from(part.crc), contents.len() as u64, size] {
            facts.extend(word_of(word));
        }
        facts.extend(length.to_le_bytes());
        facts.extend(0u16.to_le_bytes());
        self.bytes.extend(LOCAL_HEADER.to_le_bytes());
        self.bytes.extend(&facts);
        self.bytes.extend(name);
        self.bytes.extend(contents);

        self.directory.extend(CENTRAL_HEADER.to_le_bytes());
        self.directory.extend(20u16.to_le_bytes());
        self.directory.extend(&facts);
        // No comment, first disk, no attributes.
        self.directory.extend([0; 10]);
        self.directory.extend(word_of(offset));
        self.directory.extend(name);
        self.parts += 1;
    }

    fn finish(mut self) -> Vec<u8> {
        let offset = self.bytes.len() as u64;
        self.bytes.extend(&self.directory);
        self.bytes.extend(END_RECORD.to_le_bytes());
        for half in [0, 0, self.parts, self.parts] {
            self.bytes.extend(half.to_le_bytes());
        }
        self.bytes.extend(word_of(self.directory.len() as u64));
        self.bytes.extend(word_of(offset));
        self.bytes.extend(0u16.to_le_bytes());
        self.bytes
    }
}

/// A size in 32 bits.
fn word_of(size: u64) -> [u8; 4] {
    let word = u32::try_from(size).expect("files and parts are bounded far below 4 GiB");
    word.to_le_bytes()
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at.checked_add(2)?)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}
