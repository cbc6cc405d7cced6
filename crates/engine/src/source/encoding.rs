//! Encodings of text sources: UTF-8, GB18030 (and with it GBK and GB 2312) and UTF-16.
//!
//! An encoding is declared, told by a byte order mark, or found out over the whole file. Bytes that are not of the encoding
//! reach the parsers as a byte that no UTF-8 text has, so that they are refused where they stand, with line and column.

use std::fmt;
use std::io::{self, Read};

use encoding_rs::{Decoder, DecoderResult};
use serde::{Deserialize, Serialize};

/// How many bytes are read and decoded at a time.
const CHUNK_BYTES: usize = 64 * 1024;
/// What stands for bytes that are not of the encoding: UTF-8 has no such byte.
const BAD_BYTE: u8 = 0xff;
/// What a decoder may need beyond the bytes it was given.
const DECODED_SPARE_BYTES: usize = 64;

/// How the characters of a text source are written as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextEncoding {
    /// UTF-8, with or without a byte order mark.
    #[serde(alias = "utf-8")]
    Utf8,
    /// GB 18030, of which GBK and GB 2312 are parts.
    #[serde(alias = "gbk", alias = "gb2312", alias = "gb-18030")]
    Gb18030,
    /// UTF-16, the lower byte first.
    #[serde(alias = "utf-16le", alias = "utf16")]
    Utf16Le,
    /// UTF-16, the higher byte first.
    #[serde(alias = "utf-16be")]
    Utf16Be,
}

impl fmt::Display for TextEncoding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            TextEncoding::Utf8 => "UTF-8",
            TextEncoding::Gb18030 => "GB18030",
            TextEncoding::Utf16Le => "UTF-16LE",
            TextEncoding::Utf16Be => "UTF-16BE",
        })
    }
}

/// How it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EncodingOrigin {
    /// It was declared.
    Declared,
    /// The file begins with its byte order mark.
    ByteOrderMark,
    /// All bytes of the file are of it, and it was tried first.
    Valid,
    /// The bytes are no UTF-8 but could all be of this one. Whoever knows the file should look whether its texts read well.
    Guessed,
}

/// The encoding of a file and how it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FoundEncoding {
    /// The encoding.
    pub encoding: TextEncoding,
    /// How it is known.
    pub origin: EncodingOrigin,
}

/// Finds out the encoding of a text. `open` begins it anew each time; it is read whole once, and a second time when it is
/// no UTF-8. `fault` turns a fault of reading into the caller's error.
pub(super) fn detect<E>(
    open: &mut dyn FnMut() -> Result<Box<dyn Read + Send>, E>,
    fault: &dyn Fn(&io::Error) -> E,
) -> Result<FoundEncoding, E> {
    let mut bytes = open()?;
    let mut head = [0; 3];
    let head_length = read_full(&mut bytes, &mut head).map_err(|error| fault(&error))?;
    let marked = match &head[..head_length] {
        [0xef, 0xbb, 0xbf] => Some(TextEncoding::Utf8),
        [0xff, 0xfe, ..] => Some(TextEncoding::Utf16Le),
        [0xfe, 0xff, ..] => Some(TextEncoding::Utf16Be),
        _ => None,
    };
    if let Some(encoding) = marked {
        return Ok(FoundEncoding { encoding, origin: EncodingOrigin::ByteOrderMark });
    }
    if decodes(TextEncoding::Utf8, open()?).map_err(|error| fault(&error))? {
        return Ok(FoundEncoding { encoding: TextEncoding::Utf8, origin: EncodingOrigin::Valid });
    }
    if decodes(TextEncoding::Gb18030, open()?).map_err(|error| fault(&error))? {
        return Ok(FoundEncoding { encoding: TextEncoding::Gb18030, origin: EncodingOrigin::Guessed });
    }
    // Neither: read as UTF-8, so that the first bad bytes are refused with their place.
    Ok(FoundEncoding { encoding: TextEncoding::Utf8, origin: EncodingOrigin::Guessed })
}

fn decodes(encoding: TextEncoding, bytes: Box<dyn Read + Send>) -> io::Result<bool> {
    let mut decoded = Decoded::new(encoding, bytes);
    while !decoded.is_malformed && !decoded.is_over {
        decoded.refill()?;
    }
    Ok(!decoded.is_malformed)
}

fn read_full(bytes: &mut dyn Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while length < buffer.len() {
        match bytes.read(&mut buffer[length..])? {
            0 => break,
            count => length += count,
        }
    }
    Ok(length)
}

/// The bytes of a text as UTF-8. UTF-8 itself is passed through, since the parsers check it where it stands.
pub(super) fn as_utf8(encoding: TextEncoding, bytes: Box<dyn Read + Send>) -> Box<dyn Read + Send> {
    match encoding {
        TextEncoding::Utf8 => bytes,
        other => Box::new(Decoded::new(other, bytes)),
    }
}

/// Decodes on the way, a chunk at a time.
struct Decoded {
    bytes: Box<dyn Read + Send>,
    decoder: Decoder,
    raw: Vec<u8>,
    raw_at: usize,
    raw_end: usize,
    text: Vec<u8>,
    text_at: usize,
    text_end: usize,
    has_ended: bool,
    is_over: bool,
    is_malformed: bool,
}

impl Decoded {
    fn new(encoding: TextEncoding, bytes: Box<dyn Read + Send>) -> Self {
        let decoder = match encoding {
            TextEncoding::Utf8 => encoding_rs::UTF_8.new_decoder_with_bom_removal(),
            TextEncoding::Gb18030 => encoding_rs::GB18030.new_decoder_with_bom_removal(),
            TextEncoding::Utf16Le => encoding_rs::UTF_16LE.new_decoder_with_bom_removal(),
            TextEncoding::Utf16Be => encoding_rs::UTF_16BE.new_decoder_with_bom_removal(),
        };
        Self {
            bytes,
            decoder,
            raw: vec![0; CHUNK_BYTES],
            raw_at: 0,
            raw_end: 0,
            text: vec![0; CHUNK_BYTES + DECODED_SPARE_BYTES],
            text_at: 0,
            text_end: 0,
            has_ended: false,
            is_over: false,
            is_malformed: false,
        }
    }

    /// Decodes the next stretch into `text`, of which everything was taken.
    fn refill(&mut self) -> io::Result<()> {
        if self.raw_at == self.raw_end && !self.has_ended {
            self.raw_at = 0;
            self.raw_end = self.bytes.read(&mut self.raw)?;
            self.has_ended = self.raw_end == 0;
        }
        let room = self.text.len() - 1;
        let (result, read, written) = self.decoder.decode_to_utf8_without_replacement(
            &self.raw[self.raw_at..self.raw_end],
            &mut self.text[..room],
            self.has_ended,
        );
        self.raw_at += read;
        self.text_at = 0;
        self.text_end = written;
        match result {
            DecoderResult::InputEmpty => self.is_over = self.has_ended,
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                self.is_malformed = true;
                self.text[written] = BAD_BYTE;
                self.text_end = written + 1;
            }
        }
        Ok(())
    }
}

impl Read for Decoded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.text_at == self.text_end {
            if self.is_over || buffer.is_empty() {
                return Ok(0);
            }
            self.refill()?;
        }
        let count = buffer.len().min(self.text_end - self.text_at);
        buffer[..count].copy_from_slice(&self.text[self.text_at..self.text_at + count]);
        self.text_at += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(bytes: &'static [u8]) -> FoundEncoding {
        let found = detect(&mut || Ok(Box::new(bytes) as Box<dyn Read + Send>), &|error| error.to_string());
        found.expect("bytes in memory can be read")
    }

    fn read(encoding: TextEncoding, bytes: &[u8]) -> Vec<u8> {
        let mut text = Vec::new();
        let bytes = Box::new(io::Cursor::new(bytes.to_vec()));
        as_utf8(encoding, bytes).read_to_end(&mut text).expect("bytes in memory can be read");
        text
    }

    #[test]
    fn an_encoding_is_told_by_its_mark_or_by_trying() {
        let of = |encoding, origin| FoundEncoding { encoding, origin };
        assert_eq!(found(b""), of(TextEncoding::Utf8, EncodingOrigin::Valid));
        assert_eq!(found("a,姓名".as_bytes()), of(TextEncoding::Utf8, EncodingOrigin::Valid));
        assert_eq!(found(b"\xef\xbb\xbfa"), of(TextEncoding::Utf8, EncodingOrigin::ByteOrderMark));
        assert_eq!(found(b"\xff\xfea\0"), of(TextEncoding::Utf16Le, EncodingOrigin::ByteOrderMark));
        assert_eq!(found(b"\xfe\xff\0a"), of(TextEncoding::Utf16Be, EncodingOrigin::ByteOrderMark));
        // 姓名 in GBK, and 𠀀 in the four bytes that only GB 18030 has.
        assert_eq!(found(b"\xd0\xd5\xc3\xfb"), of(TextEncoding::Gb18030, EncodingOrigin::Guessed));
        assert_eq!(found(b"\x95\x32\x82\x36"), of(TextEncoding::Gb18030, EncodingOrigin::Guessed));
        // A byte that neither has.
        assert_eq!(found(b"a,caf\xe9\n"), of(TextEncoding::Utf8, EncodingOrigin::Guessed));
    }

    #[test]
    fn bad_bytes_are_left_where_they_stand() {
        assert_eq!(
            read(TextEncoding::Gb18030, b"a,\xd0\xd5\xc3\xfb\n\xff,b\n"),
            b"a,\xe5\xa7\x93\xe5\x90\x8d\n\xff,b\n"
        );
        assert_eq!(read(TextEncoding::Utf16Le, b"\xff\xfea\0\xd3\x59"), "a姓".as_bytes());
        // Half a pair at the end.
        assert_eq!(read(TextEncoding::Utf16Le, b"a\0\x00\xd8"), b"a\xff");
    }

    #[test]
    fn characters_that_two_chunks_share_stay_whole() {
        let text = format!("a{}", "姓".repeat(CHUNK_BYTES));
        let (encoded, _, _) = encoding_rs::GBK.encode(&text);
        assert!(read(TextEncoding::Gb18030, &encoded) == text.as_bytes());
    }
}
