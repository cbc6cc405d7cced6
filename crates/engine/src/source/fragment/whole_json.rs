//! A JSON document whose rows stand somewhere within it, as an interface's answer has them: an array of objects, an array of arrays
//! beside the names of their columns, or values column by column.

use std::io::Read;

use serde_json::{Map, Value};

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
    /// Reads a document; none when it is larger than may be, is no single document, or has no rows, and when it is a plain array of
    /// objects with more values than may be, which can be read one by one.
    pub(super) fn open(file: &SourceFile, bytes_max: u64, values_max: usize) -> Result<Option<Self>, SourceError> {
        let mut bytes = Vec::new();
        let read = file.open()?.take(bytes_max + 1).read_to_end(&mut bytes);
        read.map_err(|error| file.io_fault(&error))?;
        if bytes.len() as u64 > bytes_max {
            return Ok(None);
        }
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        if values_in(bytes) > values_max {
            let within = bytes.trim_ascii_start().strip_prefix(b"[");
            if within.is_some_and(|within| within.trim_ascii_start().starts_with(b"{")) {
                return Ok(None);
            }
            return Err(SourceError::JsonTooLarge { file: file.name(), values_max });
        }
        let Ok(document) = serde_json::from_slice::<Value>(bytes) else { return Ok(None) };
        Ok(find(document, 0).map(|found| found.opened()))
    }

    pub(super) fn headers(&self) -> &[String] {
        &self.headers
    }
}

/// How many values the first document of a text has; one more for each array and object that is empty.
fn values_in(text: &[u8]) -> usize {
    let (mut values, mut depth) = (1, 0_usize);
    let (mut is_quoted, mut is_escaped) = (false, false);
    for byte in text {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_quoted,
            b'"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            b',' => values += 1,
            b'[' | b'{' => {
                values += 1;
                depth += 1;
            }
            b']' | b'}' if depth <= 1 => break,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    values
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

/// The longest array of rows in a document, or the longest table that is written column by column.
fn find(value: Value, depth: usize) -> Option<Found> {
    match value {
        Value::Array(rows) => are_rows(&rows).then_some(Found { rows, names: None }),
        Value::Object(members) if table_in(&members).is_some() => table_of(&members),
        // An object without rows within it is itself a row.
        Value::Object(members) if depth == 0 && !holds_rows(&members, depth) => {
            Some(Found { rows: vec![Value::Object(members)], names: None })
        }
        Value::Object(members) if depth < DEPTH_MAX => {
            let names = NAMES.iter().find_map(|name| names_of(members.get(*name)?));
            let inner = members.into_iter().filter(|(name, _)| !NAMES.contains(&name.as_str()));
            let found = inner.filter_map(|(_, inner)| find(inner, depth + 1)).max_by_key(|found| found.rows.len());
            let mut found = found?;
            if found.rows.first().is_some_and(Value::is_array) && found.names.is_none() {
                found.names = names;
            }
            Some(found)
        }
        _ => None,
    }
}

/// How an object is a table without an array of rows.
enum Table {
    /// An array of values under each column's name.
    Arrays(usize),
    /// An object of values under each column's name, with the same names of rows.
    Columns,
    /// An object of values under each row's name, with the same names of columns.
    Rows,
}

/// Whether an object is a table, as programs write one column by column. Of names within names those that are more are the rows'.
fn table_in(members: &Map<String, Value>) -> Option<Table> {
    let is_value = |value: &Value| !value.is_array() && !value.is_object();
    match members.values().next()? {
        Value::Array(first) => {
            let is_column = |column: &Value| {
                column.as_array().is_some_and(|cells| cells.len() == first.len() && cells.iter().all(is_value))
            };
            (first.len() > 1 && members.values().all(is_column)).then_some(Table::Arrays(first.len()))
        }
        Value::Object(first) => {
            let is_alike = |other: &Map<String, Value>| {
                other.len() == first.len()
                    && other.iter().all(|(name, cell)| first.contains_key(name) && is_value(cell))
            };
            let are_alike = members.values().all(|member| member.as_object().is_some_and(is_alike));
            let table = if first.len() < members.len() { Table::Rows } else { Table::Columns };
            (first.len().max(members.len()) > 1 && are_alike).then_some(table)
        }
        _ => None,
    }
}

/// The rows of an object that is a table.
fn table_of(members: &Map<String, Value>) -> Option<Found> {
    let names = || Some(members.keys().cloned().collect());
    Some(match table_in(members)? {
        Table::Arrays(rows) => {
            let row = |place: usize| row_of(members, |column| column.get(place));
            Found { rows: (0..rows).map(row).collect(), names: names() }
        }
        Table::Columns => {
            let rows = members.values().next()?.as_object()?.keys();
            let row = |name: &String| row_of(members, |column| column.get(name));
            Found { rows: rows.map(row).collect(), names: names() }
        }
        Table::Rows => Found { rows: members.values().cloned().collect(), names: None },
    })
}

/// A row of the cells that columns have in it.
fn row_of(columns: &Map<String, Value>, cell: impl Fn(&Value) -> Option<&Value>) -> Value {
    Value::Array(columns.values().map(|column| cell(column).cloned().unwrap_or_default()).collect())
}

fn are_rows(rows: &[Value]) -> bool {
    !rows.is_empty() && rows.iter().all(|row| row.is_object() || row.is_array())
}

/// Whether [`find`] finds rows within an object.
fn holds_rows(members: &Map<String, Value>, depth: usize) -> bool {
    members.iter().filter(|(name, _)| !NAMES.contains(&name.as_str())).any(|(_, inner)| match inner {
        Value::Array(rows) => are_rows(rows),
        Value::Object(members) if table_in(members).is_some() => true,
        Value::Object(members) if depth + 1 < DEPTH_MAX => holds_rows(members, depth + 1),
        _ => false,
    })
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
