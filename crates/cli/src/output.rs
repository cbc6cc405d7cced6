//! What a command prints: tables for people, JSON for programs. stdout carries results alone; progress and problems go to
//! stderr.

use std::io::Write;

use serde::Serialize;

use crate::failure::Failure;

/// Writes text to stdout and flushes it.
pub fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Failure::Output)
}

/// Writes one JSON object on one line.
pub fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    let mut text = serde_json::to_string(value).map_err(|error| Failure::Output(error.into()))?;
    text.push('\n');
    print(&text)
}

/// Writes progress to stderr. Progress that nobody can read is no failure.
pub fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// What others wrote, as one line that can be printed and given to a program: characters that a terminal obeys or that turn a line
/// around are blanks, and of a longer text so many bytes stay.
pub fn plain(text: &str, bytes_max: usize) -> String {
    let is_obeyed = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut plain = String::new();
    for c in text.chars().map(|c| if is_obeyed(c) { ' ' } else { c }) {
        if plain.len() + c.len_utf8() > bytes_max {
            plain.push('…');
            break;
        }
        plain.push(c);
    }
    plain
}

/// Lines of a table: the columns as wide as their widest text, two spaces between. Chinese characters take two places on
/// a screen and are counted as one here, so texts that may be Chinese stand in the last column, which is not padded.
pub fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headers.iter().map(|header| header.chars().count()).collect();
    for row in rows {
        for (place, text) in row.iter().enumerate().take(widths.len()) {
            widths[place] = widths[place].max(text.chars().count());
        }
    }
    let mut lines = String::new();
    let headers = headers.iter().map(|header| (*header).to_owned()).collect();
    for row in std::iter::once(&headers).chain(rows) {
        let mut line = String::new();
        for (place, text) in row.iter().enumerate() {
            let width = widths.get(place).copied().unwrap_or(0);
            line.push_str(&format!("{text:<width$}  "));
        }
        lines.push_str(line.trim_end());
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{plain, table};

    #[test]
    fn columns_are_as_wide_as_their_widest_text() {
        let rows = [vec!["1".to_owned(), "二".to_owned()], vec!["333".to_owned(), String::new()]];
        assert_eq!(table(&["a", "name"], &rows), "a    name\n1    二\n333\n");
    }

    #[test]
    fn what_others_wrote_is_a_line_of_bounded_length() {
        assert_eq!(plain("日志 \"a\"", 100), "日志 \"a\"");
        assert_eq!(plain("a\0b\x1b[2Jc\nd\u{9b}e\u{202e}f", 100), "a b [2Jc d e f");
        assert_eq!(plain("日志", 6), "日志");
        assert_eq!(plain("日志", 5), "日…");
        assert_eq!(plain(&"x".repeat(1_000_000), 4_096).len(), 4_096 + "…".len());
    }
}
