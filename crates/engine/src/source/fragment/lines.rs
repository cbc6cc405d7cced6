//! Tables that were pasted: lines with bars between the cells, or with blanks below each other; and separated values of which a quote
//! is not closed.

use std::io::{BufRead, BufReader, Read};

use csv::ReaderBuilder;

use super::super::file::SourceFile;
use super::super::typed::Cell;
use super::super::{RECORD_BYTES_MAX, Records, SourceError, Step};

/// Lines of the beginning by which a form is told.
const LINES_LOOKED_AT: usize = 200;
/// The share of lines with the same number of cells that a form must have.
const EVEN_MIN: f64 = 0.8;
/// Bars of tables that are drawn.
const BARS: [char; 3] = ['|', '│', '┃'];

/// How the cells of a line are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LineForm {
    /// By bars.
    Bars,
    /// By two blanks or more.
    Blanks,
    /// By this character, quotes respected where they are closed in their line.
    Separated(char),
}

/// Whether a text is a pasted table. A text whose lines agree on a separator is not.
pub(super) fn form_of(head: &str, separators: &[char]) -> Option<LineForm> {
    let (separated, _) = best_separator(head, separators);
    let bars = evenness(head, |line| if is_rule(line) { 0 } else { cells_of(line, LineForm::Bars).len() });
    let blanks = evenness(head, |line| if is_rule(line) { 0 } else { cells_of(line, LineForm::Blanks).len() });
    if bars >= EVEN_MIN && bars > separated {
        return Some(LineForm::Bars);
    }
    (blanks >= EVEN_MIN && separated < EVEN_MIN).then_some(LineForm::Blanks)
}

/// The separator that the lines of a text agree on best; a comma when none does.
pub(super) fn separator_of(head: &str, separators: &[char]) -> char {
    match best_separator(head, separators) {
        (evenness, separator) if evenness > 0.0 => separator,
        _ => ',',
    }
}

/// How many records of a separated text stand above the one that names its columns, or is its first row: titles, a word for the
/// spreadsheet program, or names of which one is missing. None unless nearly all that follow have the same number of cells.
pub(super) fn records_above_names(head: &str, separator: char) -> usize {
    let mut reader = ReaderBuilder::new();
    reader.has_headers(false).flexible(true).delimiter(separator as u8);
    let records = reader.from_reader(head.as_bytes()).into_byte_records().take(LINES_LOOKED_AT + 1);
    let mut cells: Vec<usize> = records.map_while(|record| Some(record.ok()?.len())).collect();
    // The last one of the beginning may be cut.
    if cells.len() > 1 && !head.ends_with('\n') {
        cells.pop();
    }
    first_usual(&cells)
}

/// The same where each line is a record, of the lines that have more than one cell: the others above the names are none anyway.
pub(super) fn lines_above_names(head: &str, separator: char) -> usize {
    let head = head.trim_start_matches('\u{feff}');
    let mut lines: Vec<&str> =
        head.lines().filter(|line| !line.trim().is_empty() && !is_rule(line)).take(LINES_LOOKED_AT + 1).collect();
    if lines.len() > 1 && !head.ends_with('\n') {
        lines.pop();
    }
    let cells: Vec<usize> = lines.iter().map(|line| cells_of(line, LineForm::Separated(separator)).len()).collect();
    cells[..first_usual(&cells)].iter().filter(|count| **count >= 2).count()
}

/// The place of the first record that has as many cells as nearly all that follow it; the first one's where they don't agree.
fn first_usual(cells: &[usize]) -> usize {
    let times = |count: usize| cells.iter().filter(|other| **other == count).count();
    let usual = cells.iter().copied().filter(|count| *count >= 2).max_by_key(|count| (times(*count), *count));
    let Some(first) = usual.and_then(|usual| cells.iter().position(|count| *count == usual)) else { return 0 };
    let even = cells[first..].iter().filter(|count| **count == cells[first]).count();
    if are_even(even as u64, (cells.len() - first) as u64) { first } else { 0 }
}

/// Whether so many of these lines are nearly all.
pub(super) fn are_even(some: u64, all: u64) -> bool {
    some as f64 >= EVEN_MIN * all as f64
}

fn best_separator(head: &str, separators: &[char]) -> (f64, char) {
    let mut best = (0.0, ',');
    for separator in separators {
        let evenness = evenness(head, |line| separated_cells(line, *separator));
        if evenness > best.0 {
            best = (evenness, *separator);
        }
    }
    best
}

/// How many cells a line has with a separator, quotes respected.
fn separated_cells(line: &str, separator: char) -> usize {
    let (mut cells, mut is_quoted) = (1, false);
    for character in line.chars() {
        match character {
            '"' => is_quoted = !is_quoted,
            character if character == separator && !is_quoted => cells += 1,
            _ => {}
        }
    }
    cells
}

/// The share of lines that have the commonest number of cells, where that is two or more. A rule has none and is not counted.
fn evenness(head: &str, cells: impl Fn(&str) -> usize) -> f64 {
    let mut lines: Vec<&str> = head.lines().filter(|line| !line.trim().is_empty()).take(LINES_LOOKED_AT + 1).collect();
    // The last line of the beginning may be cut.
    if lines.len() > 1 && !head.ends_with('\n') {
        lines.pop();
    }
    let counts: Vec<usize> = lines.iter().map(|line| cells(line)).filter(|count| *count > 0).collect();
    let mut commonest = (0, 0);
    for count in &counts {
        let times = counts.iter().filter(|other| *other == count).count();
        if *count >= 2 && (times, *count) > commonest {
            commonest = (times, *count);
        }
    }
    if counts.is_empty() { 0.0 } else { commonest.0 as f64 / counts.len() as f64 }
}

/// A line that draws the table and holds nothing.
fn is_rule(line: &str) -> bool {
    let line = line.trim();
    let draws = |c: char| matches!(c, '-' | '=' | '+' | ':' | ' ' | '|') || ('\u{2500}'..='\u{257f}').contains(&c);
    !line.is_empty() && line.chars().all(draws)
}

fn cells_of(line: &str, form: LineForm) -> Vec<String> {
    match form {
        LineForm::Bars => {
            let line = line.trim();
            if !line.contains(BARS) {
                return vec![line.to_owned()];
            }
            let inner = line.strip_prefix(BARS).unwrap_or(line);
            let inner = inner.strip_suffix(BARS).unwrap_or(inner);
            inner.split(BARS).map(|cell| cell.trim().to_owned()).collect()
        }
        LineForm::Blanks => {
            let line = line.trim_end().replace(['\t', '\u{3000}'], "  ");
            line.trim_start().split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
        }
        LineForm::Separated(separator) => {
            let mut reader = ReaderBuilder::new();
            reader.has_headers(false).delimiter(separator as u8).quoting(line.matches('"').count().is_multiple_of(2));
            let record = reader.from_reader(line.as_bytes()).into_records().next().and_then(Result::ok);
            record.iter().flatten().map(str::to_owned).collect()
        }
    }
}

/// The lines of a pasted table, one record each.
pub(super) struct LineRecords {
    file: SourceFile,
    bytes: BufReader<Box<dyn Read + Send>>,
    form: LineForm,
    headers: Vec<String>,
    cells: Vec<String>,
    line: u64,
}

impl LineRecords {
    pub(super) fn open(file: &SourceFile, form: LineForm) -> Result<Self, SourceError> {
        let bytes = BufReader::new(file.open()?);
        let mut records = Self { file: file.clone(), bytes, form, headers: Vec::new(), cells: Vec::new(), line: 0 };
        records.read_headers()?;
        Ok(records)
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }

    /// Passes over so many lines of several cells, the names first: those that follow name the columns instead.
    pub(super) fn pass_over(&mut self, count: usize) -> Result<(), SourceError> {
        (0..count).try_for_each(|_| self.read_headers())
    }

    /// A title above the table has one cell; the first line with more names the columns.
    fn read_headers(&mut self) -> Result<(), SourceError> {
        self.headers.clear();
        while self.headers.len() < 2 {
            match self.next_cells()? {
                Some(cells) => self.headers = cells,
                None => return Err(SourceError::NoColumns { file: self.file.name() }),
            }
        }
        Ok(())
    }

    fn next_cells(&mut self) -> Result<Option<Vec<String>>, SourceError> {
        let mut buffer = Vec::new();
        loop {
            buffer.clear();
            let limit = RECORD_BYTES_MAX + 1;
            let read = self.bytes.by_ref().take(limit).read_until(b'\n', &mut buffer);
            let count = read.map_err(|error| self.file.io_fault(&error))?;
            if count == 0 {
                return Ok(None);
            }
            self.line += 1;
            if count as u64 == limit && buffer.last() != Some(&b'\n') {
                return Err(SourceError::RecordTooLong { file: self.file.name(), line: self.line });
            }
            let text = String::from_utf8_lossy(&buffer);
            let text = text.trim_start_matches('\u{feff}');
            if text.trim().is_empty() || is_rule(text) {
                continue;
            }
            return Ok(Some(cells_of(text, self.form)));
        }
    }
}

impl Records for LineRecords {
    fn advance(&mut self) -> Result<Step, SourceError> {
        let Some(cells) = self.next_cells()? else { return Ok(Step::End) };
        if cells.len() != self.headers.len() {
            let (found, expected) = (cells.len(), self.headers.len());
            let ragged = SourceError::RaggedRecord { file: self.file.name(), line: self.line, found, expected };
            return Ok(Step::Bad(ragged));
        }
        self.cells = cells;
        Ok(Step::Record)
    }

    fn line(&self) -> u64 {
        self.line
    }

    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError> {
        Ok(match self.cells.get(index).map(String::as_str) {
            None | Some("") => Cell::Null,
            Some(text) => Cell::Raw(text),
        })
    }
}
