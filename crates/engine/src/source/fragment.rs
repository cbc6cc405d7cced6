//! Fragments: files of unknown origin, read as far as they can be read, to find out where they come from.
//!
//! A source is refused when it is not what was declared; a fragment has nothing to be held against. Its form is told by its
//! bytes, not by its name; a line that does not fit is left out and counted; all cells of a text form stay text, and those
//! of a Parquet file keep their types. More rows than a trace takes are thinned to a sample that hangs on the rows' places
//! and on the file's digest, so that the same file gives the same sample and nobody can make one whose sample he chose.

mod lines;
mod whole_json;

use std::collections::HashSet;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow::compute::{concat_batches, filter_record_batch, take_record_batch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::row::{RowConverter, SortField};
use lingqu_fingerprint::{COLUMNS_MAX, FRAGMENT_ROWS_MAX};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::columnar;
use super::delimited::DelimitedRecords;
use super::encoding::{self, EncodingOrigin, FoundEncoding, TextEncoding};
use super::error::SourceError;
use super::file::SourceFile;
use super::json::{self, JsonRecords};
use super::progress::ReadProgress;
use super::sheet::{SheetChoice, SheetRecords};
use super::typed::{Cell, ColumnBuilder, parse_date, parse_timestamp};
use super::{Records, Step};
use crate::BATCH_ROWS;
use crate::columns::ColumnType;
use lines::{LineForm, LineRecords};
use whole_json::WholeJson;

/// Most bytes that a fragment's file has, decompressed (8 GiB).
pub const FRAGMENT_BYTES_MAX: u64 = 8 << 30;
/// Most bytes of cells that are kept (1 GiB): past it the rows are thinned.
pub const FRAGMENT_KEPT_BYTES_MAX: usize = 1 << 30;
/// Cells and rows of a Parquet file that are decoded at a time. A few bytes may stand for many long texts, so what a batch
/// expands to is known only once it is there.
const PARQUET_CELLS_AT_ONCE: usize = 4_096;
const PARQUET_ROWS_AT_ONCE: usize = 256;
/// Bytes at the beginning of a text by which its form is told.
const HEAD_BYTES: usize = 256 * 1024;
/// Largest JSON document that is read whole, to find the rows within it.
const WHOLE_JSON_BYTES_MAX: u64 = 64 << 20;
/// Most values that such a document has: in memory each may take a hundred times what it takes in the file.
const WHOLE_JSON_VALUES_MAX: usize = 2_000_000;
/// The characters that may stand between the values of a text, in the order in which they are preferred.
const SEPARATORS: [char; 3] = ['\t', ',', ';'];
/// Texts that a batch takes until it ends (64 MiB), however few rows they are.
const TEXT_BATCH_BYTES: u64 = 64 << 20;
/// Lines that a record of separated values has on average at most, or else it is tried whether more lines than that are one each.
const LINES_OF_RECORD_MAX: u64 = 2;
/// What a UTF-16 text without a mark has: at least this share of zero bytes in one half of its places.
const ZEROS_MIN: f64 = 0.25;

/// What is known of a fragment beforehand; nothing by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FragmentOptions {
    /// The encoding of a text; none: it is found out.
    pub encoding: Option<TextEncoding>,
    /// The sheet of a workbook; none: the first.
    pub sheet: Option<String>,
    /// Whether the first line names the columns; none: it does unless a number, a day or a moment stands in it.
    pub has_header: Option<bool>,
    /// Whether a sample is drawn by the rows' places alone, as programs did before it hung on the file's digest: so are the rows
    /// of a large file numbered in an annex from then.
    pub by_place_alone: bool,
}

/// The form that a fragment was found in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FragmentForm {
    /// Values with a separator between them.
    Separated,
    /// A sheet of a workbook.
    Xlsx,
    /// JSON, whether lines or a document.
    Json,
    /// Apache Parquet.
    Parquet,
    /// A table drawn with bars, such as Markdown or the output of a database's shell.
    Bars,
    /// Columns below each other with blanks between them.
    Blanks,
}

/// Why a fragment can't be traced.
#[derive(Debug, thiserror::Error)]
pub enum FragmentError {
    /// It can't be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Too many columns.
    #[error(
        "{file} has {found} columns, at most {COLUMNS_MAX} can be traced; keep those that look like data and leave out the rest"
    )]
    TooManyColumns {
        /// The file.
        file: String,
        /// How many.
        found: usize,
    },
    /// Texts of such a length that a few rows fill the memory.
    #[error(
        "{file} has rows so long that {rows} of them hold more than {bytes_max} bytes; leave out the columns of long texts"
    )]
    RowsTooLarge {
        /// The file.
        file: String,
        /// How many were read at once.
        rows: usize,
        /// What they may hold.
        bytes_max: usize,
    },
    /// No row was found.
    #[error(
        "{file} holds no row that can be read; give a table of lines and columns (CSV, TSV, XLSX, JSON, Parquet or text)"
    )]
    NoRows {
        /// The file.
        file: String,
    },
}

/// A fragment in memory.
#[derive(Clone, Debug)]
pub struct Fragment {
    /// Its rows, at most [`FRAGMENT_ROWS_MAX`], under the names that it has for them.
    pub batch: RecordBatch,
    /// The form that it was found in.
    pub form: FragmentForm,
    /// The encoding of a text.
    pub encoding: Option<FoundEncoding>,
    /// Rows that were read.
    pub rows_read: u64,
    /// Lines that did not fit the others and were left out.
    pub lines_left_out: u64,
    /// SHA-256 of the file's bytes, hexadecimal.
    pub digest: String,
    /// Whether its sample, if it is one, hangs on that digest: unless [`FragmentOptions::by_place_alone`] was asked for.
    pub seeded: bool,
}

impl Fragment {
    /// SHA-256 of a file's bytes, hexadecimal: what [`Fragment::digest`] is of that file, whatever is read of it.
    pub fn digest_of(path: &Path) -> Result<String, FragmentError> {
        Ok(digest_of(&bounded(path))?)
    }

    /// Reads a fragment. Errors name the file without its folder, and never a value.
    pub fn read(path: &Path, options: &FragmentOptions) -> Result<Fragment, FragmentError> {
        let fragment = read_drawn(path, options)?;
        Ok(Fragment { seeded: !options.by_place_alone, ..fragment })
    }

    /// Some of its rows, by their places in [`Fragment::batch`], in the order given. A place beyond the end is left out.
    pub fn rows(&self, places: &[u32]) -> Fragment {
        let count = self.batch.num_rows();
        let kept = places.iter().copied().filter(|place| (*place as usize) < count);
        let batch = take_record_batch(&self.batch, &UInt32Array::from_iter_values(kept))
            .expect("places within a batch can be taken");
        Fragment { batch, ..self.clone() }
    }

    /// The places of at most so many rows, spread evenly by a number that hangs on the place and on the file's digest: whoever made
    /// the file can't have put rows of his choice there.
    pub fn sample(&self, rows_max: usize) -> Vec<u32> {
        let count = u32::try_from(self.batch.num_rows()).unwrap_or(u32::MAX);
        if count as usize <= rows_max {
            return (0..count).collect();
        }
        let mut places: Vec<u32> = (0..count).collect();
        let seed = seed_of(&self.digest);
        places.sort_unstable_by_key(|place| scattered(seed, u64::from(*place)));
        places.truncate(rows_max);
        places.sort_unstable();
        places
    }

    /// How many of its rows differ from each other, by the columns that can be compared at all.
    pub fn distinct_rows(&self) -> usize {
        let comparable = |field: &SortField| RowConverter::supports_fields(std::slice::from_ref(field));
        let fields = self.batch.columns().iter().map(|column| SortField::new(column.data_type().clone()));
        let (fields, columns): (Vec<SortField>, Vec<ArrayRef>) =
            fields.zip(self.batch.columns().iter().cloned()).filter(|(field, _)| comparable(field)).unzip();
        let rows = RowConverter::new(fields).and_then(|converter| converter.convert_columns(&columns));
        rows.map_or(0, |rows| rows.iter().map(|row| row.data().to_vec()).collect::<HashSet<_>>().len())
    }

    /// How many different values a column has, by its place; nothing of one that is not there or can't be compared.
    pub fn distinct_values(&self, place: usize) -> usize {
        let of = |column: &ArrayRef| {
            let converter = RowConverter::new(vec![SortField::new(column.data_type().clone())]).ok()?;
            let rows = converter.convert_columns(std::slice::from_ref(column)).ok()?;
            Some(rows.iter().map(|row| row.data().to_vec()).collect::<HashSet<_>>().len())
        };
        self.batch.columns().get(place).and_then(of).unwrap_or_default()
    }

    /// How many rows it has in memory.
    pub fn row_count(&self) -> usize {
        self.batch.num_rows()
    }

    /// The names that it has for its columns.
    pub fn column_names(&self) -> Vec<String> {
        self.batch.schema().fields().iter().map(|field| field.name().clone()).collect()
    }
}

/// A fragment whose sample is drawn as the options say.
fn read_drawn(path: &Path, options: &FragmentOptions) -> Result<Fragment, FragmentError> {
    let mut file = bounded(path);
    let digest = digest_of(&file)?;
    let seed = if options.by_place_alone { 0 } else { seed_of(&digest) };
    let head = head_of(&file)?;
    if head.starts_with(b"PAR1") {
        let (batch, rows_read) = parquet_rows(&file, FRAGMENT_KEPT_BYTES_MAX, Kept::of(seed))?;
        return finished(&file, batch, FragmentForm::Parquet, None, (rows_read, 0), digest);
    }
    if head.starts_with(b"PK\x03\x04") {
        let names_optional = options.has_header != Some(true);
        let choice = SheetChoice { sheet: options.sheet.clone(), header_row: None, fills_merged: true, names_optional };
        let records = SheetRecords::open(&file, &choice)?;
        let headers = records.headers().to_vec();
        let read = text_rows(&file, Box::new(records), headers, options.has_header, Kept::of(seed))?;
        return finished(&file, read.batch, FragmentForm::Xlsx, None, (read.rows, read.left_out), digest);
    }
    let found = match options.encoding {
        Some(encoding) => FoundEncoding { encoding, origin: EncodingOrigin::Declared },
        None => match unmarked_utf16(&head) {
            Some(encoding) => FoundEncoding { encoding, origin: EncodingOrigin::Guessed },
            None => encoding::detect(&mut || file.open_bytes(), &|error| file.io_fault(error))?,
        },
    };
    file.encoding = found.encoding;
    let read = |is_by_line| -> Result<(FragmentForm, TextRows), FragmentError> {
        let (form, records, headers) = open_text(&file, is_by_line)?;
        Ok((form, text_rows(&file, records, headers, options.has_header, Kept::of(seed))?))
    };
    let (form, read) = match read(false) {
        // One quote that stands for nothing would take all that follows with it.
        Err(error @ FragmentError::Source(SourceError::QuoteNotClosed { .. } | SourceError::RecordTooLong { .. })) => {
            read(true).or(Err(error))?
        }
        // Two of them make one value of all that stands between.
        Ok((FragmentForm::Separated, whole))
            if lines_in(&file)? > LINES_OF_RECORD_MAX * (whole.rows + whole.left_out).max(1) =>
        {
            // Lines of long texts, which a quoted value may have, are mostly none that fit.
            let fits = |lines: &TextRows| {
                lines.rows > LINES_OF_RECORD_MAX * whole.rows
                    && lines::are_even(lines.rows, lines.rows + lines.left_out)
            };
            let by_line = read(true).ok().filter(|(_, by_line)| fits(by_line));
            by_line.unwrap_or((FragmentForm::Separated, whole))
        }
        read => read?,
    };
    finished(&file, read.batch, form, Some(found), (read.rows, read.left_out), digest)
}

fn finished(
    file: &SourceFile,
    batch: Option<RecordBatch>,
    form: FragmentForm,
    encoding: Option<FoundEncoding>,
    (rows_read, lines_left_out): (u64, u64),
    digest: String,
) -> Result<Fragment, FragmentError> {
    match batch {
        Some(batch) if batch.num_rows() > 0 => {
            Ok(Fragment { batch, form, encoding, rows_read, lines_left_out, digest, seeded: true })
        }
        _ => Err(FragmentError::NoRows { file: file.name() }),
    }
}

/// A file of which at most as much is read as a fragment may have.
fn bounded(path: &Path) -> SourceFile {
    SourceFile {
        path: path.to_owned(),
        encoding: TextEncoding::Utf8,
        expanded_bytes_max: FRAGMENT_BYTES_MAX,
        progress: Arc::new(ReadProgress::default()),
    }
}

/// SHA-256 of the file as it lies there.
fn digest_of(file: &SourceFile) -> Result<String, SourceError> {
    let mut handle = file.handle()?;
    let (mut hasher, mut buffer) = (Sha256::new(), vec![0; 1 << 16]);
    loop {
        match handle.read(&mut buffer).map_err(|error| file.unreadable(&error))? {
            0 => return Ok(hex::encode(hasher.finalize())),
            count => hasher.update(&buffer[..count]),
        }
    }
}

/// The first bytes, decompressed.
fn head_of(file: &SourceFile) -> Result<Vec<u8>, SourceError> {
    let mut head = Vec::new();
    let bytes = file.open_bytes()?;
    bytes.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|error| file.io_fault(&error))?;
    Ok(head)
}

/// How many lines a text has.
fn lines_in(file: &SourceFile) -> Result<u64, SourceError> {
    let (mut text, mut buffer, mut lines) = (file.open()?, vec![0; 1 << 16], 0);
    loop {
        match text.read(&mut buffer).map_err(|error| file.io_fault(&error))? {
            0 => return Ok(lines),
            count => lines += buffer[..count].iter().filter(|byte| **byte == b'\n').count() as u64,
        }
    }
}

/// Texts of mostly Latin letters in UTF-16 have a zero in every other place; no other text has.
fn unmarked_utf16(head: &[u8]) -> Option<TextEncoding> {
    if matches!(head, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
        return None;
    }
    let half = (head.len() / 2).max(1) as f64;
    let zeros = |odd: usize| head.iter().skip(odd).step_by(2).filter(|byte| **byte == 0).count() as f64 / half;
    match (zeros(0), zeros(1)) {
        (even, odd) if odd >= ZEROS_MIN && odd > even => Some(TextEncoding::Utf16Le),
        (even, _) if even >= ZEROS_MIN => Some(TextEncoding::Utf16Be),
        _ => None,
    }
}

type OpenedText = (FragmentForm, Box<dyn Records + Send>, Vec<String>);

/// Tells the form of a text by its beginning. Values with a separator between them are read line by line where that is asked for,
/// so that no quote reaches beyond its line.
fn open_text(file: &SourceFile, is_by_line: bool) -> Result<OpenedText, SourceError> {
    let mut head = Vec::new();
    file.open()?.take(HEAD_BYTES as u64).read_to_end(&mut head).map_err(|error| file.io_fault(&error))?;
    let whole_head = String::from_utf8_lossy(&head);
    let head = whole_head.trim_start_matches('\u{feff}').trim_start();
    if head.starts_with(['{', '[']) {
        if let Some(whole) = WholeJson::open(file, WHOLE_JSON_BYTES_MAX, WHOLE_JSON_VALUES_MAX)? {
            let headers = whole.headers().to_vec();
            return Ok((FragmentForm::Json, Box::new(whole), headers));
        }
        let headers = json::discover_headers(file)?;
        if headers.is_empty() {
            return Err(SourceError::NoColumns { file: file.name() });
        }
        let records = JsonRecords::of_found(file, &headers)?;
        return Ok((FragmentForm::Json, Box::new(records), headers));
    }
    let separator = lines::separator_of(head, &SEPARATORS);
    let by_line = is_by_line.then_some(LineForm::Separated(separator));
    if let Some(form) = lines::form_of(head, &SEPARATORS).or(by_line) {
        let mut records = LineRecords::open(file, form)?;
        if let LineForm::Separated(separator) = form {
            records.pass_over(lines::lines_above_names(&whole_head, separator))?;
        }
        let headers = records.headers().to_vec();
        let form = match form {
            LineForm::Bars => FragmentForm::Bars,
            LineForm::Blanks => FragmentForm::Blanks,
            LineForm::Separated(_) => FragmentForm::Separated,
        };
        return Ok((form, Box::new(records), headers));
    }
    let mut records = DelimitedRecords::open(file, separator as u8, &[])?;
    records.pass_over(lines::records_above_names(&whole_head, separator))?;
    let headers = records.headers().to_vec();
    Ok((FragmentForm::Separated, Box::new(records), headers))
}

/// What a text form gave.
struct TextRows {
    batch: Option<RecordBatch>,
    rows: u64,
    left_out: u64,
}

/// Reads all records, every cell as text.
fn text_rows(
    file: &SourceFile,
    mut records: Box<dyn Records + Send>,
    headers: Vec<String>,
    has_header: Option<bool>,
    mut kept: Kept,
) -> Result<TextRows, FragmentError> {
    if headers.is_empty() {
        return Err(SourceError::NoColumns { file: file.name() }.into());
    }
    if headers.len() > COLUMNS_MAX {
        return Err(FragmentError::TooManyColumns { file: file.name(), found: headers.len() });
    }
    let has_header = has_header.unwrap_or_else(|| !headers.iter().any(|header| is_value(header)));
    let schema = schema_of(if has_header { Some(&headers) } else { None }, headers.len());
    let mut left_out = 0;
    let mut first = (!has_header).then_some(headers);
    let mut has_ended = false;
    while !has_ended {
        let mut builders: Vec<ColumnBuilder> =
            schema.fields().iter().map(|_| ColumnBuilder::new(ColumnType::Text)).collect();
        let (mut count, mut bytes) = (0, 0);
        // The first line of a table without names is a row.
        if let Some(first) = first.take()
            && kept.takes()
        {
            for (builder, text) in builders.iter_mut().zip(&first) {
                append(builder, if text.is_empty() { Cell::Null } else { Cell::Raw(text) });
            }
            count += 1;
        }
        while count < BATCH_ROWS && bytes < TEXT_BATCH_BYTES {
            match records.advance()? {
                Step::End => {
                    has_ended = true;
                    break;
                }
                Step::Bad(_) => left_out += 1,
                Step::Record if kept.takes() => {
                    for (index, builder) in builders.iter_mut().enumerate() {
                        match records.cell(index) {
                            Ok(cell) => {
                                bytes += cell.text_bytes();
                                append(builder, cell);
                            }
                            // One cell that can't be read says nothing; the row's others may.
                            Err(_) => builder.append_null(),
                        }
                    }
                    count += 1;
                }
                Step::Record => {}
            }
        }
        let arrays: Vec<ArrayRef> = builders.into_iter().map(ColumnBuilder::finish).collect();
        let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).expect("each builder got a value for each row");
        kept.push(batch);
    }
    Ok(TextRows { rows: kept.seen, batch: kept.joined(&schema), left_out })
}

fn append(builder: &mut ColumnBuilder, cell: Cell<'_>) {
    let number;
    let cell = match cell {
        // What was found may have been rounded; it is compared with that in view.
        Cell::Float(value) => {
            number = value.to_string();
            Cell::Number(&number)
        }
        cell => cell,
    };
    if builder.append(cell).is_err() {
        builder.append_null();
    }
}

/// Whether a text is no name of a column but a value: a number, a day or a moment.
fn is_value(text: &str) -> bool {
    let text = text.trim();
    let is_number = text.parse::<f64>().is_ok_and(f64::is_finite);
    is_number || parse_date(text).is_some() || parse_timestamp(text).is_some()
}

/// Text columns under the names of a header; a name that is empty or there already is told by its place.
fn schema_of(headers: Option<&Vec<String>>, count: usize) -> SchemaRef {
    let mut names: Vec<String> = Vec::with_capacity(count);
    for place in 0..count {
        let header = headers.and_then(|headers| headers.get(place)).map_or("", |header| header.trim());
        let is_new = !header.is_empty() && !names.iter().any(|name| name == header);
        names.push(if is_new { header.to_owned() } else { format!("column_{}", place + 1) });
    }
    Arc::new(Schema::new(names.into_iter().map(|name| Field::new(name, DataType::Utf8, true)).collect::<Vec<_>>()))
}

/// The rows of a Parquet file, a few at a time, which together hold at most so many bytes.
fn parquet_rows(
    file: &SourceFile,
    bytes_max: usize,
    mut kept: Kept,
) -> Result<(Option<RecordBatch>, u64), FragmentError> {
    let reader = columnar::open(file)?;
    let columns = reader.schema().fields().len();
    if columns > COLUMNS_MAX {
        return Err(FragmentError::TooManyColumns { file: file.name(), found: columns });
    }
    // A nested column is as many as it has within it.
    let leaves = reader.parquet_schema().num_columns().max(1);
    let at_once = (PARQUET_CELLS_AT_ONCE / leaves).clamp(1, PARQUET_ROWS_AT_ONCE);
    let reader = reader.with_batch_size(at_once).build().map_err(|error| file.unreadable(&error))?;
    let mut schema = None;
    for batch in reader {
        let batch = batch.map_err(|error| file.unreadable(&error))?;
        if batch.get_array_memory_size() > bytes_max {
            return Err(FragmentError::RowsTooLarge { file: file.name(), rows: batch.num_rows(), bytes_max });
        }
        schema.get_or_insert_with(|| batch.schema());
        let taken: BooleanArray = (0..batch.num_rows()).map(|_| Some(kept.takes())).collect();
        kept.push(filter_record_batch(&batch, &taken).map_err(|error| file.unreadable(&error))?);
    }
    let rows = kept.seen;
    Ok((schema.and_then(|schema| kept.joined(&schema)), rows))
}

/// The first bits of a file's digest.
fn seed_of(digest: &str) -> u64 {
    digest.get(..16).and_then(|bits| u64::from_str_radix(bits, 16).ok()).unwrap_or_default()
}

/// A number that hangs on a row's place and a seed and is spread evenly (the finaliser of SplitMix64). Seed 0 is the place alone.
fn scattered(seed: u64, place: u64) -> u64 {
    let mut z = (seed ^ place).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Rows that are kept: all, until there are too many; then those whose number is below a threshold that is halved.
struct Kept {
    seed: u64,
    seen: u64,
    threshold: u64,
    /// The places of rows that were taken and are not in a batch yet.
    open: Vec<u64>,
    batches: Vec<(RecordBatch, Vec<u64>)>,
    rows: usize,
    bytes: usize,
}

impl Kept {
    /// Drawn by this seed.
    fn of(seed: u64) -> Self {
        let (open, batches) = (Vec::new(), Vec::new());
        Self { seed, seen: 0, threshold: u64::MAX, open, batches, rows: 0, bytes: 0 }
    }

    /// Whether the next row is kept.
    fn takes(&mut self) -> bool {
        let place = self.seen;
        self.seen += 1;
        let takes = scattered(self.seed, place) <= self.threshold;
        if takes {
            self.open.push(place);
        }
        takes
    }

    /// The rows that were taken since the last batch.
    fn push(&mut self, batch: RecordBatch) {
        let places = std::mem::take(&mut self.open);
        debug_assert_eq!(places.len(), batch.num_rows());
        self.rows += batch.num_rows();
        self.bytes += batch.get_array_memory_size();
        self.batches.push((batch, places));
        while self.rows > FRAGMENT_ROWS_MAX || (self.bytes > FRAGMENT_KEPT_BYTES_MAX && self.rows > 1) {
            self.thin();
        }
    }

    fn thin(&mut self) {
        self.threshold /= 2;
        (self.rows, self.bytes) = (0, 0);
        for (batch, places) in &mut self.batches {
            let stays: Vec<bool> = places.iter().map(|place| scattered(self.seed, *place) <= self.threshold).collect();
            *batch = filter_record_batch(batch, &BooleanArray::from(stays.clone())).expect("an entry for each row");
            let mut stay = stays.iter();
            places.retain(|_| stay.next().is_some_and(|stays| *stays));
            self.rows += batch.num_rows();
            self.bytes += batch.get_array_memory_size();
        }
    }

    fn joined(self, schema: &SchemaRef) -> Option<RecordBatch> {
        let batches: Vec<RecordBatch> = self.batches.into_iter().map(|(batch, _)| batch).collect();
        let joined = concat_batches(schema, &batches).ok()?;
        // Names may stand there twice in a file of others; the places tell them apart.
        let options = RecordBatchOptions::new().with_row_count(Some(joined.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(schema), joined.columns().to_vec(), &options).ok()
    }
}

#[cfg(test)]
mod tests;
