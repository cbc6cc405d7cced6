//! Spreadsheets (XLSX): one sheet, its header row, and typed rows below it.
//!
//! The library hands out the cells of a sheet one after the other from an archive that it holds, so both live on a thread of
//! their own, and rows come over a bounded channel: memory does not grow with the sheet. Cells have types of their own; an
//! error of the spreadsheet, a formula without its result and a merged cell are no values and are refused where they stand.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use calamine::{DataRef, Dimensions, ExcelDateTime, Reader, Xlsx, XlsxError};

use super::error::{FoundKind, SourceError};
use super::file::SourceFile;
use super::typed::{Cell, EXACT_WHOLE_MAX, moment_text};
use super::{COLUMNS_MAX, RECORD_BYTES_MAX, Records, Step, workbook};

/// Rows that the thread hands over at a time, and how many such pieces it may be ahead.
const PIECE_ROWS: usize = 256;
const PIECES_AHEAD: usize = 4;
/// Most characters of a cell, as spreadsheet programs have it. A few bytes of a file may stand for a longer text in many cells.
const CELL_CHARS_MAX: usize = 32_767;
/// Most bytes that a character takes.
const CHAR_BYTES_MAX: usize = 4;
/// Columns that the merged areas of one row may take together: as many as a spreadsheet has.
const MERGED_COLUMNS_MAX: usize = 16_384;
/// Most names of sheets that an error lists.
const SHEETS_NAMED_MAX: usize = 20;

/// Which part of a workbook is read.
#[derive(Clone, Debug, Default)]
pub(super) struct SheetChoice {
    /// The sheet; none: the first.
    pub(super) sheet: Option<String>,
    /// The row of the header, from 1; none: the first that has a value.
    pub(super) header_row: Option<u32>,
    /// Whether the cells of a merged area all have its value.
    pub(super) fills_merged: bool,
    /// Whether the first row may be one of values. It is handed out as texts then, with a column for each that has a value in it or
    /// soon after. Where it is none, titles above the names are passed over, and a column counts without a name too when most rows
    /// have a value in it, such as the rows' numbers that programs put before a table.
    pub(super) names_optional: bool,
}

/// A cell's value.
#[derive(Clone, Debug, PartialEq)]
enum SheetCell {
    Empty,
    Integer(i64),
    Float(f64),
    /// Shared by the cells of a merged area.
    Text(Arc<str>),
    Boolean(bool),
    /// Microseconds since 1970-01-01.
    Moment(i64),
    Fault(FoundKind),
}

impl SheetCell {
    /// Whether it is a value that names no column: anything but a text.
    fn is_no_name(&self) -> bool {
        !matches!(self, SheetCell::Empty | SheetCell::Text(_))
    }

    /// It as a text, as a column of texts has it; nothing of what is none.
    fn text(&self) -> String {
        match self {
            SheetCell::Empty | SheetCell::Fault(_) => String::new(),
            SheetCell::Integer(value) => value.to_string(),
            SheetCell::Float(value) => value.to_string(),
            SheetCell::Text(text) => text.as_ref().to_owned(),
            SheetCell::Boolean(value) => value.to_string(),
            SheetCell::Moment(value) => moment_text(*value),
        }
    }

    /// What a text takes; other values are small.
    fn text_bytes(&self) -> u64 {
        match self {
            SheetCell::Text(text) => text.len() as u64,
            _ => 0,
        }
    }
}

/// The values of one row, by column from 0.
#[derive(Debug, Default)]
struct SheetRow {
    /// From 1, as the spreadsheet shows it.
    number: u64,
    cells: Vec<SheetCell>,
    /// What its texts take; that of a merged area counts in each cell that it fills.
    bytes: u64,
}

impl SheetRow {
    /// How many cells have a value.
    fn filled(&self) -> usize {
        self.cells.iter().filter(|cell| **cell != SheetCell::Empty).count()
    }
}

type Piece = Result<Vec<SheetRow>, SourceError>;

/// The rows of a sheet below its header.
pub(super) struct SheetRecords {
    file: SourceFile,
    pieces: Receiver<Piece>,
    piece: std::vec::IntoIter<SheetRow>,
    has_ended: bool,
    headers: Vec<String>,
    /// The sheet's columns that have a header.
    columns: Vec<usize>,
    row: SheetRow,
}

impl SheetRecords {
    pub(super) fn open(file: &SourceFile, choice: &SheetChoice) -> Result<Self, SourceError> {
        let archive = workbook::checked(file)?;
        let (sender, pieces) = sync_channel(PIECES_AHEAD);
        let (worker_file, worker_choice) = (file.clone(), choice.clone());
        let thread = std::thread::Builder::new().name("workbook".to_owned());
        let spawned = thread.spawn(move || hand_over(&worker_file, archive, &worker_choice, &sender));
        spawned.map_err(|error| file.unreadable(&error))?;
        let mut records = Self {
            file: file.clone(),
            pieces,
            piece: Vec::new().into_iter(),
            has_ended: false,
            headers: Vec::new(),
            columns: Vec::new(),
            row: SheetRow::default(),
        };
        records.read_headers(choice)?;
        Ok(records)
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }

    /// The next row that has a value.
    fn next_row(&mut self) -> Result<Option<SheetRow>, SourceError> {
        while !self.has_ended {
            if let Some(row) = self.piece.next() {
                return Ok(Some(row));
            }
            match self.pieces.recv() {
                // The end is an empty piece; without it the thread has died over the file.
                Ok(Ok(rows)) if rows.is_empty() => {
                    self.has_ended = true;
                    return Ok(None);
                }
                Ok(Ok(rows)) => self.piece = rows.into_iter(),
                Ok(Err(error)) => return Err(error),
                Err(_) => return Err(bad(&self.file, "it is damaged; save it anew in its spreadsheet program")),
            }
        }
        Ok(None)
    }

    fn read_headers(&mut self, choice: &SheetChoice) -> Result<(), SourceError> {
        let mut row = loop {
            let Some(row) = self.next_row()? else { return Err(self.no_columns()) };
            match choice.header_row {
                Some(wanted) if row.number < u64::from(wanted) => {}
                Some(wanted) if row.number > u64::from(wanted) => return Err(self.no_columns()),
                _ => break row,
            }
        };
        if choice.names_optional {
            row = self.below_titles(row);
        }
        if choice.names_optional && row.cells.iter().any(SheetCell::is_no_name) {
            let following = self.piece.as_slice().iter().map(|row| row.cells.len());
            let width = following.max().unwrap_or_default().max(row.cells.len());
            self.headers =
                (0..width).map(|column| row.cells.get(column).map(SheetCell::text).unwrap_or_default()).collect();
            self.columns = (0..width).collect();
            return Ok(());
        }
        let unnamed = if choice.names_optional { self.mostly_filled() } else { Vec::new() };
        row.cells.resize(row.cells.len().max(unnamed.len()), SheetCell::Empty);
        for (column, cell) in row.cells.into_iter().enumerate() {
            let header = match cell {
                SheetCell::Empty if unnamed.get(column) == Some(&true) => String::new(),
                SheetCell::Empty => continue,
                SheetCell::Text(text) => text.trim().to_owned(),
                SheetCell::Integer(number) => number.to_string(),
                _ => {
                    let reason = "its header is no text".to_owned();
                    return Err(SourceError::BadHeader { file: self.file.name(), position: column + 1, reason });
                }
            };
            self.headers.push(header);
            self.columns.push(column);
        }
        Ok(())
    }

    /// The first row that is no title, as a title has less than half as many cells as most rows that follow, all of them texts.
    fn below_titles(&mut self, mut row: SheetRow) -> SheetRow {
        let mut counts: Vec<usize> = self.piece.as_slice().iter().map(SheetRow::filled).collect();
        counts.sort_unstable();
        let usual = counts.get(counts.len() / 2).copied().unwrap_or_default();
        while 2 * row.filled() < usual && !row.cells.iter().any(SheetCell::is_no_name) {
            let Some(next) = self.piece.next() else { break };
            row = next;
        }
        row
    }

    /// Of each column whether most of the rows that follow soon have a value in it.
    fn mostly_filled(&self) -> Vec<bool> {
        let rows = self.piece.as_slice();
        let width = rows.iter().map(|row| row.cells.len()).max().unwrap_or_default();
        let has_value = |row: &&SheetRow, column| row.cells.get(column).is_some_and(|cell| *cell != SheetCell::Empty);
        (0..width).map(|column| 2 * rows.iter().filter(|row| has_value(row, column)).count() > rows.len()).collect()
    }

    fn no_columns(&self) -> SourceError {
        SourceError::NoColumns { file: self.file.name() }
    }
}

impl Records for SheetRecords {
    fn advance(&mut self) -> Result<Step, SourceError> {
        let Some(row) = self.next_row()? else { return Ok(Step::End) };
        self.row = row;
        let is_stray = |(column, cell): (usize, &SheetCell)| {
            *cell != SheetCell::Empty && self.columns.binary_search(&column).is_err()
        };
        if self.row.cells.iter().enumerate().any(is_stray) {
            return Ok(Step::Bad(SourceError::RaggedRecord {
                file: self.file.name(),
                line: self.row.number,
                found: self.row.cells.iter().filter(|cell| **cell != SheetCell::Empty).count(),
                expected: self.columns.len(),
            }));
        }
        Ok(Step::Record)
    }

    fn line(&self) -> u64 {
        self.row.number
    }

    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError> {
        Ok(match self.row.cells.get(self.columns[index]) {
            None | Some(SheetCell::Empty) => Cell::Null,
            Some(SheetCell::Integer(value)) => Cell::Integer(*value),
            Some(SheetCell::Float(value)) => Cell::Float(*value),
            Some(SheetCell::Text(text)) => Cell::Text(text),
            Some(SheetCell::Boolean(value)) => Cell::Boolean(*value),
            Some(SheetCell::Moment(value)) => Cell::Moment(*value),
            Some(SheetCell::Fault(kind)) => Cell::Fault(*kind),
        })
    }
}

fn bad(file: &SourceFile, reason: &str) -> SourceError {
    SourceError::BadWorkbook { file: file.name(), reason: reason.to_owned() }
}

fn too_much_text(row: u64) -> String {
    format!(
        "row {row} holds more than {RECORD_BYTES_MAX} bytes of text, that of a merged cell counted in each cell that it fills; cut \
         its texts, or leave them out"
    )
}

/// An error of the library in words of our own: its texts may repeat what stands in the file.
fn fault(file: &SourceFile, error: &XlsxError) -> SourceError {
    let reason = match error {
        XlsxError::Password => "it is protected by a password; save it without one",
        XlsxError::NotAWorksheet(_) => "the sheet has no cells (it is a chart or a macro sheet); name another one",
        _ => "it is damaged or not written as spreadsheet programs do; save it anew in one",
    };
    bad(file, reason)
}

/// Sends the rows of the sheet in pieces, then an empty piece; or an error.
fn hand_over(file: &SourceFile, archive: Vec<u8>, choice: &SheetChoice, sender: &SyncSender<Piece>) {
    let last = match send_rows(file, archive, choice, sender) {
        Ok(()) => Ok(Vec::new()),
        Err(error) => Err(error),
    };
    // Nobody listens any more: the reading was given up.
    drop(sender.send(last));
}

fn send_rows(
    file: &SourceFile,
    archive: Vec<u8>,
    choice: &SheetChoice,
    sender: &SyncSender<Piece>,
) -> Result<(), SourceError> {
    let of_library = |error: XlsxError| fault(file, &error);
    let mut workbook = Xlsx::new(Cursor::new(archive)).map_err(of_library)?;
    let names = workbook.sheet_names();
    let sheet = match &choice.sheet {
        None => names.first().cloned().ok_or_else(|| bad(file, "it has no sheet"))?,
        Some(sheet) if names.contains(sheet) => sheet.clone(),
        Some(sheet) => {
            let known = names.iter().take(SHEETS_NAMED_MAX).map(|name| format!("`{name}`")).collect::<Vec<_>>();
            let known = known.join(", ");
            return Err(SourceError::NoSuchSheet { file: file.name(), sheet: sheet.clone(), known });
        }
    };
    let mut merged = Merged::of(workbook.merge_cells_by_sheet_name(&sheet).map_err(of_library)?, choice.fills_merged);
    let mut cells = workbook.worksheet_cells_reader(&sheet).map_err(of_library)?;
    let mut row = SheetRow::default();
    let (mut piece, mut piece_bytes) = (Vec::new(), 0);
    while let Some(record) = cells.next_cell_with_formula_metadata().map_err(of_library)? {
        let (number, column) = (u64::from(record.pos.0) + 1, record.pos.1 as usize);
        if number < row.number {
            return Err(bad(file, "its rows are out of order; save it anew in its spreadsheet program"));
        }
        if number > row.number {
            if let Some(finished) = finish_row(&mut row, number, &mut merged, file)? {
                piece_bytes += finished.bytes;
                piece.push(finished);
            }
            if piece.len() >= PIECE_ROWS || piece_bytes >= RECORD_BYTES_MAX {
                piece_bytes = 0;
                if sender.send(Ok(std::mem::take(&mut piece))).is_err() {
                    return Ok(());
                }
            }
        }
        let value = match record.value {
            DataRef::Empty if record.formula.is_some() => SheetCell::Fault(FoundKind::Formula),
            value => cell_of(value),
        };
        if column >= COLUMNS_MAX && value != SheetCell::Empty {
            return Err(SourceError::TooManyColumns { file: file.name(), found: column + 1 });
        }
        if column < COLUMNS_MAX {
            if row.cells.len() <= column {
                row.cells.resize(column + 1, SheetCell::Empty);
            }
            row.bytes += value.text_bytes();
            if row.bytes > RECORD_BYTES_MAX {
                return Err(bad(file, &too_much_text(number)));
            }
            row.cells[column] = value;
        }
    }
    if let Some(finished) = finish_row(&mut row, u64::MAX, &mut merged, file)? {
        piece.push(finished);
    }
    if !piece.is_empty() {
        // As below.
        drop(sender.send(Ok(piece)));
    }
    Ok(())
}

/// Ends a row and begins the next. The row, if it has a value.
fn finish_row(
    row: &mut SheetRow,
    next_number: u64,
    merged: &mut Merged,
    file: &SourceFile,
) -> Result<Option<SheetRow>, SourceError> {
    let mut finished = std::mem::replace(row, SheetRow { number: next_number, ..SheetRow::default() });
    if finished.number == 0 {
        return Ok(None);
    }
    let has_values = finished.cells.iter().any(|cell| *cell != SheetCell::Empty);
    merged.apply(&mut finished).map_err(|reason| bad(file, &reason))?;
    Ok(has_values.then_some(finished))
}

/// A value in our own form.
fn cell_of(value: DataRef<'_>) -> SheetCell {
    match value {
        DataRef::Empty => SheetCell::Empty,
        DataRef::Int(value) => SheetCell::Integer(value),
        DataRef::Float(value) => number_of(value),
        DataRef::String(text) => text_of(&text),
        DataRef::SharedString(text) => text_of(text),
        DataRef::Bool(value) => SheetCell::Boolean(value),
        DataRef::DateTime(moment) => moment_of(&moment),
        DataRef::DateTimeIso(text) => text_of(&text),
        DataRef::DurationIso(_) => SheetCell::Fault(FoundKind::Duration),
        DataRef::Error(_) => SheetCell::Fault(FoundKind::CellError),
    }
}

fn text_of(text: &str) -> SheetCell {
    // Most texts need no counting.
    let is_long = text.len() > CELL_CHARS_MAX;
    if text.is_empty() {
        SheetCell::Empty
    } else if is_long && (text.len() > CELL_CHARS_MAX * CHAR_BYTES_MAX || text.chars().count() > CELL_CHARS_MAX) {
        SheetCell::Fault(FoundKind::LongText)
    } else {
        SheetCell::Text(text.into())
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the number is whole and within the range of exact ones")]
fn number_of(value: f64) -> SheetCell {
    if value.fract() == 0.0 && value.abs() <= EXACT_WHOLE_MAX {
        SheetCell::Integer(value as i64)
    } else {
        SheetCell::Float(value)
    }
}

/// A date or time. Days are counted from the end of 1899 (or from 1904), times are fractions of a day; a time without a
/// day is a text.
fn moment_of(moment: &ExcelDateTime) -> SheetCell {
    if moment.is_duration() {
        return SheetCell::Fault(FoundKind::Duration);
    }
    let (year, month, day, hour, minute, second, millisecond) = moment.to_ymd_hms_milli();
    let part = |value: u8| i8::try_from(value).ok();
    let civil = || {
        let nanosecond = i32::from(millisecond) * 1_000_000;
        let date = jiff::civil::Date::new(i16::try_from(year).ok()?, part(month)?, part(day)?).ok()?;
        let time = jiff::civil::Time::new(part(hour)?, part(minute)?, part(second)?, nanosecond).ok()?;
        Some((date, time))
    };
    // The spreadsheet's 29 February 1900 never was.
    let Some((date, time)) = civil() else { return SheetCell::Fault(FoundKind::Moment) };
    let serial = moment.as_f64();
    if (0.0..1.0).contains(&serial) {
        return SheetCell::Text(time.to_string().into());
    }
    if serial < 0.0 {
        return SheetCell::Fault(FoundKind::Moment);
    }
    match jiff::tz::Offset::UTC.to_timestamp(date.to_datetime(time)) {
        Ok(instant) => SheetCell::Moment(instant.as_microsecond()),
        Err(_) => SheetCell::Fault(FoundKind::Moment),
    }
}

/// The merged areas of a sheet, in the order of their first rows.
struct Merged {
    areas: Vec<Area>,
    fills: bool,
    /// Areas before this one have ended or are among the open ones.
    next: usize,
    open: Vec<usize>,
}

struct Area {
    dimensions: Dimensions,
    value: SheetCell,
}

impl Merged {
    fn of(dimensions: Vec<Dimensions>, fills: bool) -> Self {
        let mut areas: Vec<Area> =
            dimensions.into_iter().map(|dimensions| Area { dimensions, value: SheetCell::Empty }).collect();
        areas.sort_by_key(|area| area.dimensions.start);
        Self { areas, fills, next: 0, open: Vec::new() }
    }

    /// Gives the cells of merged areas in a row the area's value, or marks them. Rows come in their order. Error: the areas of the
    /// row take more columns than there are, or it has more text with them than a row may hold.
    fn apply(&mut self, row: &mut SheetRow) -> Result<(), String> {
        let number = u32::try_from(row.number - 1).unwrap_or(u32::MAX);
        while let Some(area) = self.areas.get(self.next).filter(|area| area.dimensions.start.0 <= number) {
            if area.dimensions.end.0 >= number {
                self.open.push(self.next);
            }
            self.next += 1;
        }
        let areas = &mut self.areas;
        self.open.retain(|index| {
            let area = &mut areas[*index];
            let is_open = area.dimensions.end.0 >= number;
            if !is_open {
                area.value = SheetCell::Empty;
            }
            is_open
        });
        let mut columns = 0;
        for index in &self.open {
            let area = &mut areas[*index];
            let (first, last) = (area.dimensions.start.1 as usize, area.dimensions.end.1 as usize);
            columns += last.saturating_sub(first) + 1;
            if columns > MERGED_COLUMNS_MAX {
                return Err("its merged cells lie over each other; take the merging out".to_owned());
            }
            let is_first_row = area.dimensions.start.0 == number;
            if is_first_row {
                area.value = match row.cells.get(first) {
                    None | Some(SheetCell::Empty) => SheetCell::Empty,
                    Some(value) if self.fills => value.clone(),
                    Some(_) => SheetCell::Fault(FoundKind::Merged),
                };
            }
            let last = last.min(COLUMNS_MAX - 1);
            for column in first..=last {
                if is_first_row && column == first {
                    continue;
                }
                if row.cells.len() <= column {
                    row.cells.resize(column + 1, SheetCell::Empty);
                }
                row.bytes += area.value.text_bytes();
                if row.bytes > RECORD_BYTES_MAX {
                    return Err(too_much_text(row.number));
                }
                row.cells[column] = area.value.clone();
            }
        }
        Ok(())
    }
}
