//! A JSON document whose rows stand somewhere within it, as an interface's answer has them: an array of objects, or an array
//! of arrays beside the names of their columns.

use std::io::Read;

use serde_json::Value;

use super::super::file::SourceFile;
use super::super::typed::Cell;
use super::super::{Records, SourceError, Step};

/// How deep rows may be buried.
const DEPTH_MAX: usize = 4;
/// What names of columns are called beside rows that are arrays.
const NAMES: [&str; 5] = ["columns", "fields", "header", "headers", "names"];

/// The rows of a document.
pub(super) struct WholeJson {
    headers: Vec<String>,
    rows: std::vec::IntoIter<Value>,
    row: Vec<Value>,
    texts: Vec<Option<String>>,
    at: u64,
}

impl WholeJson {
    /// Reads a document; none when it is larger than may be, is no single document, or has no rows.
    pub(super) fn open(file: &SourceFile, bytes_max: u64) -> Result<Option<Self>, SourceError> {
        let mut bytes = Vec::new();
        let read = file.open()?.take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| file.io_fault(&error))?;
        if bytes.len() as u64 > bytes_max {
            return Ok(None);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return Ok(None) };
        Ok(find(document, 0).map(|found| found.opened()))
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }
}

struct Found {
    rows: Vec<Value>,
    names: Option<Vec<String>>,
}

impl Found {
    fn opened(self) -> WholeJson {
        let headers = match self.names {
            Some(names) => names,
            None => {
                let mut headers: Vec<String> = Vec::new();
                let mut known = std::collections::HashSet::new();
                for row in &self.rows {
                    match row {
                        Value::Object(members) => {
                            headers.extend(members.keys().filter(|name| known.insert((*name).clone())).cloned());
                        }
                        Value::Array(cells) => {
                            let names = (headers.len()..cells.len()).map(|place| format!("column_{}", place + 1));
                            headers.extend(names.collect::<Vec<_>>());
                        }
                        _ => {}
                    }
                }
                headers
            }
        };
        WholeJson { headers, rows: self.rows.into_iter(), row: Vec::new(), texts: Vec::new(), at: 0 }
    }
}

/// The longest array of rows in a document.
fn find(value: Value, depth: usize) -> Option<Found> {
    match value {
        Value::Array(rows) => {
            let is_row = |row: &Value| row.is_object() || row.is_array();
            if !rows.is_empty() && rows.iter().all(is_row) { Some(Found { rows, names: None }) } else { None }
        }
        Value::Object(members) if depth < DEPTH_MAX => {
            let names = NAMES.iter().find_map(|name| names_of(members.get(*name)?));
            // An object without rows within it is itself a row.
            let whole = (depth == 0).then(|| Value::Object(members.clone()));
            let inner = members.into_iter().filter(|(name, _)| !NAMES.contains(&name.as_str()));
            let found = inner.filter_map(|(_, inner)| find(inner, depth + 1)).max_by_key(|found| found.rows.len());
            match found {
                Some(mut found) => {
                    if found.rows.first().is_some_and(Value::is_array) && found.names.is_none() {
                        found.names = names;
                    }
                    Some(found)
                }
                None => whole.map(|whole| Found { rows: vec![whole], names: None }),
            }
        }
        _ => None,
    }
}

/// Names, whether given as texts or as objects with a `name`.
fn names_of(value: &Value) -> Option<Vec<String>> {
    let name = |value: &Value| value.as_str().or_else(|| value.get("name")?.as_str()).map(str::to_owned);
    value.as_array()?.iter().map(name).collect()
}

impl Records for WholeJson {
    fn advance(&mut self) -> Result<Step, SourceError> {
        let Some(row) = self.rows.next() else { return Ok(Step::End) };
        self.at += 1;
        self.row = match row {
            Value::Array(cells) => cells,
            Value::Object(mut members) => {
                self.headers.iter().map(|name| members.remove(name).unwrap_or_default()).collect()
            }
            _ => Vec::new(),
        };
        // A number is read as it is written.
        let text = |value: &Value| value.as_number().map(ToString::to_string);
        self.texts = self.row.iter().map(text).collect();
        Ok(Step::Record)
    }

    fn line(&self) -> u64 {
        self.at
    }

    fn cell(&self, index: usize) -> Result<Cell<'_>, SourceError> {
        if let Some(Some(text)) = self.texts.get(index) {
            return Ok(Cell::Raw(text));
        }
        Ok(match self.row.get(index) {
            Some(Value::String(text)) => Cell::Text(text),
            Some(Value::Bool(value)) => Cell::Boolean(*value),
            _ => Cell::Null,
        })
    }
}
