//! The pages of a Parquet file, looked at before a library makes room for them: a file of some kilobytes may say that a page
//! of it becomes gigabytes, and may be right.
//!
//! Each page's header is read (Thrift's compact protocol; `PageHeader` in parquet-format's `parquet.thrift`), from the first to
//! the last of each column of each row group, as a reader goes through them. Codecs that stop at the size that the header
//! tells need no more. GZIP does not: such pages are unpacked once into nothing. LZ4 is bounded by how far it can expand at all,
//! and BROTLI, which has no such bound, is refused.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData, ParquetMetaDataReader};

/// Largest page, packed and unpacked (256 MiB). Writers make pages of about 1 MiB, some of a whole row group's column.
const PAGE_BYTES_MAX: u64 = 256 << 20;
/// Most pages of a file.
const PAGES_MAX: u64 = 10_000_000;
/// Bytes that are read for a header at first, and at most: it may hold the smallest and the largest value of its page.
const HEADER_BYTES: usize = 256;
const HEADER_BYTES_MAX: usize = 16 << 20;
/// Structures within one another in a header.
const DEPTH_MAX: usize = 8;
/// How far LZ4 expands at most: a byte of a length says 255 bytes.
const LZ4_EXPANSION_MAX: u64 = 255;

/// Why a file is not given to a library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    /// The file can't be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The footer or a header is not what it should be.
    #[error("it is damaged: its footer or the header of a page can't be read; write it again")]
    Damaged,
    /// A page is too large.
    #[error("a page of it is larger than 256 MiB when unpacked; write it with smaller pages or row groups")]
    TooLarge,
    /// There are too many pages.
    #[error("it has more than ten million pages; write it with larger pages, or split it")]
    TooMany,
    /// A codec without a bound.
    #[error("it is compressed by {0}, which can't be unpacked here within a bound; write it with ZSTD or SNAPPY")]
    Codec(&'static str),
}

/// Looks through a file. When this is well, no page of it takes more than [`PAGE_BYTES_MAX`].
pub(crate) fn check(file: &File) -> Result<(), PageError> {
    let metadata = ParquetMetaDataReader::new().parse_and_finish(file).map_err(|_| PageError::Damaged)?;
    check_pages(file, &metadata)
}

/// The same with the footer read already.
pub(crate) fn check_pages(file: &File, metadata: &ParquetMetaData) -> Result<(), PageError> {
    let mut pages_left = PAGES_MAX;
    for group in metadata.row_groups() {
        for column in group.columns() {
            check_column(file, column, &mut pages_left)?;
        }
    }
    Ok(())
}

fn check_column(file: &File, column: &ColumnChunkMetaData, pages_left: &mut u64) -> Result<(), PageError> {
    let positive = |number: i64| u64::try_from(number).map_err(|_| PageError::Damaged);
    let mut at = positive(column.dictionary_page_offset().unwrap_or(column.data_page_offset()))?;
    let end = at.checked_add(positive(column.compressed_size())?).ok_or(PageError::Damaged)?;
    if end > file.metadata()?.len() {
        return Err(PageError::Damaged);
    }
    let codec = column.compression();
    if let Compression::BROTLI(_) = codec {
        return Err(PageError::Codec("BROTLI"));
    }
    while at < end {
        *pages_left = pages_left.checked_sub(1).ok_or(PageError::TooMany)?;
        let (header, header_bytes) = header_at(file, at, end)?;
        let packed = positive(i64::from(header.packed))?;
        let unpacked = positive(i64::from(header.unpacked))?;
        if packed > PAGE_BYTES_MAX || unpacked > PAGE_BYTES_MAX {
            return Err(PageError::TooLarge);
        }
        let body = at + header_bytes;
        at = body.checked_add(packed).filter(|next| *next <= end).ok_or(PageError::Damaged)?;
        match codec {
            Compression::GZIP(_) if header.is_packed => {
                let plain = u64::try_from(header.plain).unwrap_or(u64::MAX);
                let begin = body.checked_add(plain).filter(|begin| *begin <= at).ok_or(PageError::Damaged)?;
                check_gzip(file, begin, at, unpacked)?;
            }
            Compression::LZ4 if packed.saturating_mul(LZ4_EXPANSION_MAX) > PAGE_BYTES_MAX => {
                return Err(PageError::Codec("LZ4 (the form of Hadoop)"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Unpacks a page into nothing, and no further than its header says that it goes.
fn check_gzip(file: &File, begin: u64, end: u64, unpacked: u64) -> Result<(), PageError> {
    let packed = Window { file, at: begin, end };
    let mut decoder = MultiGzDecoder::new(io::BufReader::new(packed)).take(unpacked + 1);
    let found = io::copy(&mut decoder, &mut io::sink()).map_err(|_| PageError::Damaged)?;
    if found > unpacked { Err(PageError::TooLarge) } else { Ok(()) }
}

/// A part of a file.
struct Window<'a> {
    file: &'a File,
    at: u64,
    end: u64,
}

impl Read for Window<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let count = self.file.read_at(&mut buffer[..left], self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// What a page says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Header {
    unpacked: i32,
    packed: i32,
    /// Of a page of version 2: bytes before the packed ones, and whether there are packed ones.
    plain: i64,
    is_packed: bool,
}

fn header_at(file: &File, at: u64, end: u64) -> Result<(Header, u64), PageError> {
    let mut wanted = HEADER_BYTES;
    loop {
        let mut bytes = Vec::new();
        let until = at.saturating_add(wanted as u64).min(end);
        Window { file, at, end: until }.read_to_end(&mut bytes)?;
        match Compact::new(&bytes).page_header() {
            Ok((header, length)) => return Ok((header, length as u64)),
            Err(Lack::More) if until < end && wanted < HEADER_BYTES_MAX => wanted *= 16,
            Err(_) => return Err(PageError::Damaged),
        }
    }
}

/// Why a header can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lack {
    /// It goes on beyond the bytes.
    More,
    /// It is none.
    Bad,
}

/// Thrift's compact protocol, as far as a page's header needs it.
struct Compact<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// The types of fields.
mod kind {
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

impl<'a> Compact<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// A page's header and its length.
    fn page_header(mut self) -> Result<(Header, usize), Lack> {
        let mut header = Header { unpacked: -1, packed: -1, plain: 0, is_packed: true };
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (2, kind::I32) => header.unpacked = self.integer()?,
                (3, kind::I32) => header.packed = self.integer()?,
                (8, kind::STRUCT) => self.version_2(&mut header)?,
                (_, kind) => self.skip(kind, DEPTH_MAX)?,
            }
        }
        Ok((header, self.at))
    }

    /// `DataPageHeaderV2`: its levels are never packed, and its values perhaps not.
    fn version_2(&mut self, header: &mut Header) -> Result<(), Lack> {
        let mut field = 0;
        while let Some(kind) = self.field(&mut field)? {
            match (field, kind) {
                (5 | 6, kind::I32) => {
                    let length = i64::from(self.integer()?);
                    if length < 0 {
                        return Err(Lack::Bad);
                    }
                    header.plain += length;
                }
                (7, kind::TRUE) => header.is_packed = true,
                (7, kind::FALSE) => header.is_packed = false,
                (_, kind) => self.skip(kind, DEPTH_MAX)?,
            }
        }
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Lack> {
        let byte = *self.bytes.get(self.at).ok_or(Lack::More)?;
        self.at += 1;
        Ok(byte)
    }

    fn skip_bytes(&mut self, count: u64) -> Result<(), Lack> {
        let count = usize::try_from(count).map_err(|_| Lack::Bad)?;
        let next = self.at.checked_add(count).ok_or(Lack::Bad)?;
        if next > self.bytes.len() {
            return Err(if count > HEADER_BYTES_MAX { Lack::Bad } else { Lack::More });
        }
        self.at = next;
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, Lack> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Lack::Bad)
    }

    fn zigzag(&mut self) -> Result<i64, Lack> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    fn integer(&mut self) -> Result<i32, Lack> {
        i32::try_from(self.zigzag()?).map_err(|_| Lack::Bad)
    }

    /// The type of the next field, whose number `last` becomes; none at the end of the structure.
    fn field(&mut self, last: &mut i64) -> Result<Option<u8>, Lack> {
        let head = self.byte()?;
        if head == 0 {
            return Ok(None);
        }
        let step = i64::from(head >> 4);
        *last = if step == 0 { self.zigzag()? } else { last.saturating_add(step) };
        Ok(Some(head & 0x0f))
    }

    fn skip(&mut self, kind: u8, depth_left: usize) -> Result<(), Lack> {
        let depth_left = depth_left.checked_sub(1).ok_or(Lack::Bad)?;
        match kind {
            kind::TRUE | kind::FALSE => Ok(()),
            kind::BYTE => self.skip_bytes(1),
            kind::I16 | kind::I32 | kind::I64 => self.varint().map(drop),
            kind::DOUBLE => self.skip_bytes(8),
            kind::BINARY => {
                let length = self.varint()?;
                self.skip_bytes(length)
            }
            kind::LIST | kind::SET => {
                let head = self.byte()?;
                let count = if head >> 4 == 15 { self.varint()? } else { u64::from(head >> 4) };
                for _ in 0..count {
                    match head & 0x0f {
                        // In a list a truth value takes a byte.
                        kind::TRUE | kind::FALSE => self.skip_bytes(1)?,
                        kind => self.skip(kind, depth_left)?,
                    }
                }
                Ok(())
            }
            kind::STRUCT => {
                let mut field = 0;
                while let Some(kind) = self.field(&mut field)? {
                    self.skip(kind, depth_left)?;
                }
                Ok(())
            }
            _ => Err(Lack::Bad),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
    use parquet::arrow::ArrowWriter;
    use parquet::basic::{BrotliLevel, GzipLevel, ZstdLevel};
    use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
    use proptest::prelude::*;

    use super::*;

    fn batch(rows: i64, text: &str) -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..rows));
        let texts: ArrayRef =
            Arc::new(StringArray::from_iter((0..rows).map(|row| (row % 3 > 0).then(|| format!("{text}{row}")))));
        RecordBatch::try_from_iter_with_nullable([("n", numbers, false), ("t", texts, true)]).unwrap()
    }

    fn written(properties: WriterProperties, batch: &RecordBatch) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
        bytes
    }

    fn file_of(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn ordinary_files_pass_whatever_their_codec_and_version() {
        let codecs = [
            Compression::UNCOMPRESSED,
            Compression::SNAPPY,
            Compression::GZIP(GzipLevel::default()),
            Compression::ZSTD(ZstdLevel::default()),
            Compression::LZ4_RAW,
            Compression::LZ4,
        ];
        for codec in codecs {
            for version in [WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0] {
                for has_dictionary in [true, false] {
                    let properties = WriterProperties::builder()
                        .set_compression(codec)
                        .set_writer_version(version)
                        .set_dictionary_enabled(has_dictionary)
                        .set_data_page_row_count_limit(700)
                        .set_write_batch_size(100)
                        .set_max_row_group_row_count(Some(4_000))
                        .build();
                    let bytes = written(properties, &batch(10_000, "值"));
                    check(&file_of(&bytes)).unwrap_or_else(|error| panic!("{codec:?} {version:?}: {error}"));
                }
            }
        }
        let brotli = WriterProperties::builder().set_compression(Compression::BROTLI(BrotliLevel::default())).build();
        assert!(matches!(check(&file_of(&written(brotli, &batch(10, "x")))), Err(PageError::Codec("BROTLI"))));
    }

    /// A column of one value of 300 MiB, which is some kilobytes in the file.
    #[test]
    fn a_page_that_becomes_too_large_is_refused_before_it_is_unpacked() {
        let vast = "x".repeat(300 << 20);
        let texts: ArrayRef = Arc::new(StringArray::from(vec![vast.as_str()]));
        let batch = RecordBatch::try_from_iter([("t", texts)]).unwrap();
        drop(vast);
        let properties = WriterProperties::builder()
            .set_compression(Compression::ZSTD(ZstdLevel::default()))
            .set_dictionary_enabled(false)
            .set_statistics_enabled(EnabledStatistics::None)
            .build();
        let bytes = written(properties, &batch);
        assert!(bytes.len() < 1 << 20, "{}", bytes.len());
        assert!(matches!(check(&file_of(&bytes)), Err(PageError::TooLarge)));
    }

    /// A page whose header says less than its stream holds, which the library's own decoder would unpack to its end.
    #[test]
    fn gzip_is_unpacked_no_further_than_the_header_says() {
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packed.write_all(&vec![0; 1 << 20]).unwrap();
        let packed = packed.finish().unwrap();
        let file = file_of(&packed);
        let end = packed.len() as u64;
        assert!(check_gzip(&file, 0, end, 1 << 20).is_ok());
        assert!(matches!(check_gzip(&file, 0, end, (1 << 20) - 1), Err(PageError::TooLarge)));
        assert!(matches!(check_gzip(&file, 0, end / 2, 1 << 20), Err(PageError::Damaged)));
    }

    #[test]
    fn a_header_is_read_as_it_stands_in_the_format() {
        // type 0, uncompressed 300, compressed 17, a version-1 data page header with three integers and an empty structure.
        let bytes = [0x15, 0x00, 0x15, 0xd8, 0x04, 0x15, 0x22, 0x2c, 0x15, 0x02, 0x15, 0x00, 0x15, 0x06, 0x1c, 0, 0, 0];
        let (header, length) = Compact::new(&bytes).page_header().unwrap();
        assert_eq!((header.unpacked, header.packed, length), (300, 17, bytes.len()));
        for cut in 0..bytes.len() {
            assert_eq!(Compact::new(&bytes[..cut]).page_header(), Err(Lack::More), "{cut}");
        }
        // A structure in a structure, without end.
        assert_eq!(Compact::new(&[0x9c; 64]).page_header(), Err(Lack::Bad));
        // A text longer than any header.
        assert_eq!(Compact::new(&[0x98, 0xff, 0xff, 0xff, 0xff, 0x0f]).page_header(), Err(Lack::Bad));
    }

    proptest! {
        /// Any bytes are a header or are none.
        #[test]
        fn no_bytes_make_it_fail_otherwise(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            if let Ok((_, length)) = Compact::new(&bytes).page_header() {
                prop_assert!(length <= bytes.len());
            }
        }

        /// A file in which some bytes are others is refused or passes; it is not gone through without end.
        #[test]
        fn damaged_files_are_refused_or_pass(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
            let mut bytes = written(properties, &batch(200, "x"));
            for (at, byte) in changes {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            drop(check(&file_of(&bytes)));
        }
    }
}
