//! Files that a Delta table's log names by addresses, looked at before the reader asks for them.
//!
//! The reader takes an address with the parameters of a signed link (`https://…?X-Amz-Signature=…`) for one and fetches it,
//! past every store that it was given. So whoever writes a table could make the node call any server that it reaches. Data
//! files are looked at where they are listed; here are the other two kinds that a log names: deletion vectors, and the
//! sidecars of checkpoints, which by the protocol are plain names within the table.

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};

use super::super::folder::Place;
use super::super::reading::open_regular;
use crate::BATCH_ROWS;
use crate::source::SourceError;
use crate::source::pages;

/// Most files of a log.
const LOG_FILES_MAX: usize = 1_000_000;
/// Most checkpoints of a log; each is looked through.
const CHECKPOINTS_MAX: usize = 1_000;
/// Longest line of a checkpoint in JSON.
const LINE_BYTES_MAX: u64 = 64 << 20;
/// How the kernel begins to show a deletion vector.
const SHOWN: &str = "DvInfo { deletion_vector: Some(DeletionVectorDescriptor { storage_type: ";
/// Characters of a deletion vector's identifier, the last ones of its path.
const VECTOR_CHARS: usize = 20;

/// Whether a deletion vector is a file of the table or stands in the log, by the text that the kernel shows of it. What is
/// not understood is not.
pub(super) fn is_vector_inside(shown: &str) -> bool {
    // A quote in the path would end it here and not for the kernel; it is shown with a backslash, which no identifier has.
    if shown.contains('\\') {
        return false;
    }
    let Some((kind, rest)) = shown.strip_prefix(SHOWN).and_then(|rest| rest.split_once(", path_or_inline_dv: \""))
    else {
        return false;
    };
    match kind {
        "Inline" => true,
        "PersistedRelative" => rest.split_once('"').is_some_and(|(path, _)| {
            let prefix = path.len().checked_sub(VECTOR_CHARS).and_then(|end| path.get(..end));
            // The directory's name is chance; whatever else stands there would be an address.
            prefix.is_some_and(|prefix| prefix.bytes().all(|byte| byte.is_ascii_alphanumeric()))
        }),
        // An absolute path, which only a copy without its own files needs.
        _ => false,
    }
}

/// Refuses a table of whose checkpoints one names a sidecar by more than a name, or is no ordinary file.
pub(super) fn check_checkpoints(place: &Place) -> Result<(), SourceError> {
    let log = place.confined(&place.path.join("_delta_log"))?;
    let unreadable = |error: std::io::Error| place.unreadable(&format!("its log: {error}"));
    let mut checkpoints = 0;
    for (count, entry) in std::fs::read_dir(&log).map_err(unreadable)?.enumerate() {
        if count >= LOG_FILES_MAX {
            return Err(place.unreadable("its log has more than a million files; let its writer clean it"));
        }
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| name.contains(".checkpoint")) else { continue };
        let is_json = name.ends_with(".json");
        if !is_json && !name.ends_with(".parquet") {
            continue;
        }
        checkpoints += 1;
        if checkpoints > CHECKPOINTS_MAX {
            return Err(place.unreadable("its log has more than a thousand checkpoints; let its writer clean it"));
        }
        let path = place.confined(&entry.path())?;
        let file = open_regular(&path).map_err(unreadable)?;
        let is_plain = if is_json { json_names_are_plain(file) } else { parquet_names_are_plain(&file) };
        match is_plain {
            Some(true) => {}
            Some(false) => {
                return Err(place.unreadable("a checkpoint names a file outside of the table; copy the table"));
            }
            None => return Err(place.unreadable("a checkpoint of it can't be read; let its writer write a new one")),
        }
    }
    Ok(())
}

/// Whether each name is one, in a checkpoint of lines; none where it can't be read.
fn json_names_are_plain(file: File) -> Option<bool> {
    let mut lines = BufReader::new(file);
    loop {
        let mut line = Vec::new();
        let count = lines.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line).ok()?;
        if count == 0 {
            return Some(true);
        }
        if count as u64 >= LINE_BYTES_MAX {
            return None;
        }
        let action: serde_json::Value = serde_json::from_slice(&line).ok()?;
        let Some(sidecar) = action.get("sidecar").filter(|sidecar| !sidecar.is_null()) else { continue };
        if !sidecar.get("path").and_then(serde_json::Value::as_str).is_some_and(is_plain_name) {
            return Some(false);
        }
    }
}

/// The same of a checkpoint in Parquet.
fn parquet_names_are_plain(file: &File) -> Option<bool> {
    pages::check(file).ok()?;
    // The types of the file itself, whatever another schema in it says.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader = ParquetRecordBatchReaderBuilder::try_new_with_options(file.try_clone().ok()?, options).ok()?;
    let leaves = reader.parquet_schema().columns().iter().enumerate();
    let names = leaves
        .filter(|(_, leaf)| matches!(leaf.path().parts(), [action, path] if action == "sidecar" && path == "path"));
    let names: Vec<usize> = names.map(|(index, _)| index).collect();
    match names.len() {
        0 => return Some(true),
        1 => {}
        // Which of them a reader takes is not known.
        _ => return None,
    }
    let wanted = ProjectionMask::leaves(reader.parquet_schema(), names);
    let reader = reader.with_projection(wanted).with_batch_size(BATCH_ROWS).build().ok()?;
    for batch in reader {
        let batch = batch.ok()?;
        let sidecars = batch.column(0).as_struct_opt()?;
        let paths = cast(sidecars.column(0), &DataType::Utf8).ok()?;
        let paths = paths.as_string_opt::<i32>()?;
        for row in 0..paths.len() {
            if sidecars.is_valid(row) && paths.is_valid(row) && !is_plain_name(paths.value(row)) {
                return Some(false);
            }
        }
    }
    Some(true)
}

/// The name of a file in a directory, which no joining of addresses makes another.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('.')
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(kind: &str, path: &str) -> String {
        format!(
            "DvInfo {{ deletion_vector: Some(DeletionVectorDescriptor {{ storage_type: {kind}, path_or_inline_dv: {path:?}, offset: Some(1), size_in_bytes: 36 }}) }}"
        )
    }

    #[test]
    fn a_deletion_vector_is_a_file_of_its_table() {
        let id = "vBn[lx{q8@P<9BNH/isA";
        for inside in [id.to_owned(), format!("ab{id}"), format!("0Z9{id}")] {
            assert!(is_vector_inside(&shown("PersistedRelative", &inside)), "{inside}");
        }
        for outside in [
            format!("../../other/{id}"),
            format!("https://127.0.0.1/x?X-Amz-Signature=1&y={id}"),
            format!("/etc/{id}"),
            format!("%2e%2e/{id}"),
            format!("file:///secret/{id}"),
            format!("a\"{id}"),
            format!("https://10.0.0.11/ab\"?X-Amz-Signature=1&x={id}"),
            format!("{id}\"/../../x{id}"),
            format!("ab{id}\\"),
            format!("storage_type: Inline, path_or_inline_dv: \"{id}"),
            format!("é{id}"),
            "short".to_owned(),
            String::new(),
        ] {
            assert!(!is_vector_inside(&shown("PersistedRelative", &outside)), "{outside}");
        }
        assert!(!is_vector_inside(&shown("PersistedAbsolute", "file:///lake/t/deletion_vector.bin")));
        assert!(is_vector_inside(&shown("Inline", "wi5b=000010000siXQKl0rr91000f55c8Xg0@@D72lkbi5=-{L")));
        assert!(!is_vector_inside("something else"));
        // Shown in another way, it is not understood.
        assert!(!is_vector_inside(&shown("Inline", id).replace("DvInfo", "Vector")));
        assert!(!is_vector_inside(&format!("path_or_inline_dv: \"storage_type: Inline, {id}\", storage_type: x")));
    }

    #[test]
    fn a_sidecar_is_named_by_a_name() {
        for plain in ["016ae953-37a9-438e-8683-9a9a4a79a395.parquet", "part_1.parquet"] {
            assert!(is_plain_name(plain));
        }
        for other in ["", "..", "../x", "a/b", "/a", "https://h/x?X-Amz-Signature=1", "a%2fb", "a?b", "a:b", ".hidden"]
        {
            assert!(!is_plain_name(other), "{other}");
        }
    }
}
