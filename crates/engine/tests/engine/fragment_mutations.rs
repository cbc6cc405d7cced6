//! The reader of leaked files over thousands of damaged ones, the same on every run: a short fuzzing that needs no special compiler.
//! Whatever somebody hands in, it is read within its bounds or refused, and no refusal has a value in it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lingqu_engine::source::{Fragment, FragmentForm, FragmentOptions};
use lingqu_fingerprint::{COLUMNS_MAX, FRAGMENT_ROWS_MAX};
use parquet::arrow::ArrowWriter;

use crate::data::Numbers;
use crate::source_sheets::workbook_of;

/// How many damaged files of each form are read.
const ROUNDS: usize = 400;
/// Stands in every sample and in no error.
const SECRET: &str = "韦桂英450102199001011234";

/// Pieces that the forms are made of: where a reader goes wrong, one of them often stands in the wrong place.
const PIECES: [&[u8]; 24] = [
    b"\n",
    b"\r",
    b"\r\n",
    b"\"",
    b"\"\"",
    b",",
    b"\t",
    b";",
    b"|",
    b"  ",
    b"\0",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"null",
    b"1e999",
    b"-0",
    b"\xff\xfe",
    b"\xef\xbb\xbf",
    b"\xff",
    b"PAR1",
    b"PK\x05\x06",
];

fn damage(numbers: &mut Numbers, sample: &[u8], others: &[(FragmentForm, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = sample.to_vec();
    for _ in 0..=numbers.below(3) {
        let at = numbers.below(bytes.len() + 1);
        let end = (at + numbers.below(24)).min(bytes.len());
        match numbers.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << numbers.below(8),
            1 if at < bytes.len() => bytes[at] = u8::try_from(numbers.below(256)).unwrap(),
            2 => drop(bytes.drain(at..end)),
            3 => bytes.truncate(at),
            4 => {
                let piece = bytes[at..end].to_vec();
                let to = numbers.below(bytes.len() + 1);
                bytes.splice(to..to, piece);
            }
            5 => {
                let (_, other) = &others[numbers.below(others.len())];
                let from = numbers.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => {
                let piece = PIECES[numbers.below(PIECES.len())];
                bytes.splice(at..end.min(at + numbers.below(2)), piece.iter().copied());
            }
        }
    }
    bytes
}

/// A small table in every form.
fn samples(directory: &Path) -> Vec<(FragmentForm, Vec<u8>)> {
    let rows: Vec<(String, i64)> = (0..20).map(|row| (format!("{SECRET}-{row}"), row * 7 - 30)).collect();
    let lines = |head: &str, of: &dyn Fn(&(String, i64)) -> String| {
        head.to_owned() + &rows.iter().map(|row| of(row) + "\n").collect::<String>()
    };
    let objects: Vec<String> =
        rows.iter().map(|(name, delay)| format!(r#"{{"name":"{name}","delay":{delay}}}"#)).collect();
    let names: ArrayRef = Arc::new(rows.iter().map(|(name, _)| Some(name.as_str())).collect::<StringArray>());
    let delays: ArrayRef = Arc::new(rows.iter().map(|(_, delay)| Some(*delay)).collect::<Int64Array>());
    let batch = RecordBatch::try_from_iter([("name", names), ("delay", delays)]).unwrap();
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let cells = rows.iter().enumerate().map(|(row, (name, delay))| {
        let row = row + 1;
        format!(r#"<row r="{row}"><c r="A{row}" t="inlineStr"><is><t>{name}</t></is></c><c r="B{row}"><v>{delay}</v></c></row>"#)
    });
    let workbook = directory.join("sample.xlsx");
    workbook_of(&workbook, &cells.collect::<String>());
    let text = |text: String| text.into_bytes();
    vec![
        (FragmentForm::Separated, text(lines("name,delay\n", &|(name, delay)| format!("\"{name}\",{delay}")))),
        (
            FragmentForm::Separated,
            lines("name\tdelay\n", &|(name, delay)| format!("{name}\t{delay}"))
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        (
            FragmentForm::Bars,
            text(lines("| name | delay |\n|---|---|\n", &|(name, delay)| format!("| {name} | {delay} |"))),
        ),
        (FragmentForm::Blanks, text(lines("name        delay\n", &|(name, delay)| format!("{name}    {delay}")))),
        (FragmentForm::Json, text(objects.join("\n"))),
        (FragmentForm::Json, text(format!(r#"{{"next":null,"rows":[{}]}}"#, objects.join(",")))),
        (FragmentForm::Parquet, parquet),
        (FragmentForm::Xlsx, std::fs::read(workbook).unwrap()),
    ]
}

/// What holds of whatever is handed in. Whether it was read.
fn read(path: &Path, bytes: &[u8]) -> bool {
    std::fs::write(path, bytes).unwrap();
    match Fragment::read(path, &FragmentOptions::default()) {
        Ok(fragment) => {
            assert!((1..=FRAGMENT_ROWS_MAX).contains(&fragment.row_count()));
            assert!(fragment.row_count() as u64 <= fragment.rows_read);
            assert!((1..=COLUMNS_MAX).contains(&fragment.column_names().len()));
            // The same bytes are the same fragment.
            let again = Fragment::read(path, &FragmentOptions::default()).unwrap();
            assert_eq!((again.batch, again.digest), (fragment.batch, fragment.digest));
            true
        }
        Err(refused) => {
            let told = refused.to_string();
            // Where a text is cut, a part of the secret would tell as much.
            assert!(!told.contains("韦桂英") && !told.contains("4501021990"), "{told}");
            false
        }
    }
}

#[test]
fn damaged_files_never_bring_the_reader_down_and_no_value_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found");
    let samples = samples(directory.path());
    for (number, (form, sample)) in samples.iter().enumerate() {
        assert!(read(&path, sample), "a sample of {form:?} is refused");
        assert_eq!(Fragment::read(&path, &FragmentOptions::default()).unwrap().form, *form);
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        let (mut taken, mut refused) = (0, 0);
        for _ in 0..ROUNDS {
            match read(&path, &damage(&mut numbers, sample, &samples)) {
                true => taken += 1,
                false => refused += 1,
            }
        }
        // Damage is neither always nor never seen, or the law would be about nothing.
        let is_archive = matches!(form, FragmentForm::Parquet | FragmentForm::Xlsx);
        assert!(
            if is_archive { refused > ROUNDS / 10 } else { taken > ROUNDS / 10 },
            "{form:?}: {taken} and {refused}"
        );
    }
}
