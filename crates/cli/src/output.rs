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
