//! Sources: types, forms, compression, and errors with their place.

use std::fs;
use std::io::Write;
use std::path::Path;

use lingqu_engine::ColumnType;
use lingqu_engine::source::{DeclaredColumn, FoundKind, Fragment, FragmentOptions, Source, SourceError, SourceOptions};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::data::{Place, name, text_rows};

fn types(source: &Source) -> Vec<(String, ColumnType)> {
    source.schema().columns.iter().map(|column| (column.name.to_string(), column.column_type)).collect()
}

fn read(source: &Source) -> Result<Vec<String>, SourceError> {
    let batches: Result<Vec<_>, _> = source.batches()?.collect();
    Ok(text_rows(&batches?))
}

fn open(path: &Path) -> Result<Source, SourceError> {
    Source::open(path, SourceOptions::default())
}

const CSV: &str = "\u{feff}Flight No,dep time,code,price,day,seen at,late,note\n\
    1,517.5,0450,12.50,2013-01-01,2013-01-01T10:00:00Z,true,\"a, \"\"b\"\"\nc\"\n\
    2,NA,0451,7.00,2013-01-02,2013-01-01T11:00:00+08:00,false,\n\
    3,600,NA,NA,NA,NA,NA,南宁\n";

#[test]
fn types_are_worked_out_over_the_whole_file() {
    let place = Place::new();
    let path = place.file("flights.csv", CSV);
    let options = SourceOptions { null_tokens: vec!["NA".to_owned()], ..SourceOptions::default() };
    let source = Source::open(&path, options).expect("a good file");
    assert_eq!(
        types(&source),
        [
            ("flight_no".to_owned(), ColumnType::Integer),
            ("dep_time".to_owned(), ColumnType::Float),
            ("code".to_owned(), ColumnType::Text),
            ("price".to_owned(), ColumnType::Decimal { precision: 18, scale: 2 }),
            ("day".to_owned(), ColumnType::Date),
            ("seen_at".to_owned(), ColumnType::Timestamp),
            ("late".to_owned(), ColumnType::Boolean),
            ("note".to_owned(), ColumnType::Text),
        ]
    );
    assert_eq!(source.rows_seen(), 3);
    let rows = read(&source).expect("a good file");
    assert_eq!(rows[0], "1|517.5|0450|12.50|2013-01-01|2013-01-01T10:00:00Z|true|a, \"b\"");
    assert!(rows.iter().any(|row| row == "2||0451|7.00|2013-01-02|2013-01-01T03:00:00Z|false|"), "{rows:?}");
    assert!(rows.iter().any(|row| row == "3|600.0|||||".to_owned().as_str() || row == "3|600.0||||||南宁"), "{rows:?}");
}

#[test]
fn compressed_files_read_the_same() {
    let place = Place::new();
    let plain = read(&open(&place.file("plain.csv", CSV)).expect("good")).expect("good");
    let zipped = place.directory.path().join("plain.csv.gz");
    let mut encoder =
        flate2::write::GzEncoder::new(fs::File::create(&zipped).expect("a file"), flate2::Compression::fast());
    encoder.write_all(CSV.as_bytes()).and_then(|()| encoder.finish()).expect("written");
    assert_eq!(read(&open(&zipped).expect("good")).expect("good"), plain);
    let squeezed = place.directory.path().join("plain.csv.zst");
    fs::write(&squeezed, zstd::encode_all(CSV.as_bytes(), 3).expect("squeezed")).expect("written");
    assert_eq!(read(&open(&squeezed).expect("good")).expect("good"), plain);
}

#[test]
fn json_lines_and_arrays_read_the_same() {
    let place = Place::new();
    let lines = "{\"id\": 1, \"name\": \"a, ]\\\"\", \"day\": \"2013-01-01\", \"ratio\": 0.5}\n\n\
        {\"id\": 2, \"ratio\": 3, \"extra\": true}\n";
    let array = "[\n{\"id\": 1, \"name\": \"a, ]\\\"\", \"day\": \"2013-01-01\", \"ratio\": 0.5},\n\
        {\"id\": 2, \"ratio\": 3, \"extra\": true}\n]\n";
    let of_lines = open(&place.file("a.ndjson", lines)).expect("good");
    let of_array = open(&place.file("a.json", array)).expect("good");
    let expected = [
        ("id".to_owned(), ColumnType::Integer),
        ("name".to_owned(), ColumnType::Text),
        ("day".to_owned(), ColumnType::Date),
        ("ratio".to_owned(), ColumnType::Float),
        ("extra".to_owned(), ColumnType::Boolean),
    ];
    assert_eq!(types(&of_lines), expected);
    assert_eq!(types(&of_array), expected);
    assert_eq!(read(&of_lines).expect("good"), read(&of_array).expect("good"));
    assert_eq!(read(&of_lines).expect("good").len(), 2);
}

/// Cut off between two rows, a file would be one with fewer rows. What was found of one may be so.
#[test]
fn an_array_of_json_ends_with_its_file() {
    let place = Place::new();
    let path = |text: &str| place.file("a.json", text);
    let two = "[{\"a\": 1},\n{\"a\": 2}";
    for cut in ["", ",", "\n", ",\n", "]{\"a\": 3}", "] [{\"a\": 3}]", "],"] {
        let text = format!("{two}{cut}");
        let error = open(&path(&text)).and_then(|source| read(&source)).expect_err("not whole");
        assert!(matches!(error, SourceError::ArrayNotWhole { .. } | SourceError::BadJson { .. }), "{text}: {error}");
        let declared = Some(vec![declared("a", "a", ColumnType::Integer)]);
        let options = SourceOptions { declared, ..SourceOptions::default() };
        assert!(Source::open(&path(&text), options).and_then(|source| read(&source)).is_err(), "{text}");
    }
    for whole in [format!("{two}]"), format!(" {two}\n]\r\n \n"), format!("\u{feff}{two}] ")] {
        assert_eq!(read(&open(&path(&whole)).expect("whole")).expect("whole"), ["1", "2"], "{whole}");
    }
}

/// Through a float the amount would be ….00, the code 1.1 and the number of the case 12345678901234567000.
#[test]
fn numbers_of_json_are_kept_as_they_are_written() {
    let place = Place::new();
    let object = "{\"amount\": 12345678901234567.89, \"code\": 1.10, \"case\": 12345678901234567890, \
        \"ratio\": 0.30000000000000004, \"note\": \"\\u5357\\/\"}";
    let decimal = ColumnType::Decimal { precision: 38, scale: 6 };
    let declared = Some(vec![
        declared("amount", "amount", decimal),
        declared("code", "code", ColumnType::Text),
        declared("case", "case", ColumnType::Text),
        declared("ratio", "ratio", ColumnType::Float),
        declared("note", "note", ColumnType::Text),
    ]);
    let options = SourceOptions { declared, ..SourceOptions::default() };
    for (file, text) in [("a.ndjson", format!("{object}\n")), ("a.json", format!("[\n{object}\n]\n"))] {
        let source = Source::open(&place.file(file, &text), options.clone()).expect("good");
        let expected = "12345678901234567.890000|1.10|12345678901234567890|0.30000000000000004|南/";
        assert_eq!(read(&source).expect("good"), [expected], "{file}");
    }
    let repeated = "{\"note\": \"a\"}\n{\"note\": \"b\", \"note\": \"c\"}\n";
    let error =
        open(&place.file("twice.ndjson", repeated)).and_then(|source| read(&source)).expect_err("which of them");
    assert!(matches!(&error, SourceError::RepeatedName { line: 2, column, .. } if column == "note"), "{error}");
    let lone = place.file("lone.ndjson", "{\"note\": \"a\"}\n{\"note\": \"\\ud800\"}\n");
    let error = open(&lone).and_then(|source| read(&source)).expect_err("half of a character");
    assert!(matches!(error, SourceError::BadJson { line: 2, .. }), "{error}");
}

#[test]
fn a_parquet_source_reads_as_the_csv_it_was_made_from() {
    let place = Place::new();
    let csv = open(&place.file("plain.csv", CSV)).expect("good");
    let path = place.directory.path().join("plain.parquet");
    let batches: Vec<_> = csv.batches().expect("good").map(|batch| batch.expect("good")).collect();
    let mut writer =
        parquet::arrow::ArrowWriter::try_new(fs::File::create(&path).expect("a file"), batches[0].schema(), None)
            .expect("a writer");
    for batch in &batches {
        writer.write(batch).expect("written");
    }
    writer.close().expect("closed");
    let source = open(&path).expect("good");
    assert_eq!(source.schema(), csv.schema());
    assert_eq!(read(&source).expect("good"), read(&csv).expect("good"));
    let bytes = fs::read(&path).expect("read");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("cut");
    assert!(matches!(open(&path), Err(SourceError::Unreadable { .. })));
}

/// The schema of Arrow that a Parquet file names is base64 of whoever wrote it: what is no schema is refused, as a source and as a
/// leaked file, and brings nobody down.
#[test]
fn a_parquet_file_that_names_no_arrow_schema_is_refused() {
    const ROUNDS: usize = 400;
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let place = Place::new();
    let csv = open(&place.file("plain.csv", CSV)).expect("good");
    let batch = csv.batches().expect("good").next().expect("a batch").expect("good");
    let named = parquet::arrow::encode_arrow_schema(&batch.schema());
    let path = place.directory.path().join("plain.parquet");
    let write = |named: String| {
        let named = KeyValue::new("ARROW:schema".to_owned(), named);
        let properties = WriterProperties::builder().set_key_value_metadata(Some(vec![named])).build();
        let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
        let file = fs::File::create(&path).expect("a file");
        let mut writer = ArrowWriter::try_new_with_options(file, batch.schema(), options).expect("a writer");
        writer.write(&batch).expect("written");
        writer.close().expect("closed");
    };
    write(named.clone());
    assert_eq!(read(&open(&path).expect("good")).expect("good"), read(&csv).expect("good"));
    let mut state: u64 = 0x2545_f491;
    let mut below = |limit: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % limit
    };
    let mut refused = 0;
    for _ in 0..ROUNDS {
        let mut damaged = named.clone().into_bytes();
        for _ in 0..=below(2) {
            let at = below(damaged.len());
            damaged[at] = LETTERS[below(LETTERS.len())];
        }
        write(String::from_utf8(damaged).expect("letters"));
        match open(&path) {
            Ok(source) => drop(read(&source)),
            Err(_) => refused += 1,
        }
        drop(Fragment::read(&path, &FragmentOptions::default()));
    }
    assert!(refused > ROUNDS / 10, "{refused} of {ROUNDS} were refused");
}

fn declared(header: &str, column: &str, column_type: ColumnType) -> DeclaredColumn {
    DeclaredColumn { header: header.to_owned(), aliases: Vec::new(), name: name(column), column_type }
}

#[test]
fn a_value_that_does_not_fit_is_refused_with_line_and_column_but_not_repeated() {
    let place = Place::new();
    let path = place.file("people.csv", "ID,Age\n1,30\n2,\"secret\nthing\"\n3,40\n");
    let options = SourceOptions {
        declared: Some(vec![declared("Age", "age", ColumnType::Integer), declared("ID", "id", ColumnType::Integer)]),
        ..SourceOptions::default()
    };
    let source = Source::open(&path, options).expect("the columns are there");
    let error = read(&source).expect_err("a word is no number");
    let SourceError::BadValue { file, line, column, expected, found_kind, found_length } = &error else {
        panic!("{error}");
    };
    assert_eq!((file.as_str(), *line, column.as_str()), ("people.csv", 3, "age"));
    assert_eq!((*expected, *found_kind, *found_length), (ColumnType::Integer, FoundKind::Text, 12));
    assert!(!error.to_string().contains("secret"));
    let mut batches = source.batches().expect("opened again");
    assert!(batches.next().is_some_and(|batch| batch.is_err()));
    assert!(batches.next().is_none(), "nothing comes after an error");
}

#[test]
fn json_values_are_placed_too() {
    let place = Place::new();
    let path = place.file("people.ndjson", "{\"id\": 1}\n{\"id\": 2}\n\n{\"id\": \"three\"}\n");
    let options =
        SourceOptions { declared: Some(vec![declared("id", "id", ColumnType::Integer)]), ..SourceOptions::default() };
    let error = read(&Source::open(&path, options).expect("good so far")).expect_err("text is no number");
    assert!(matches!(error, SourceError::BadValue { line: 4, found_length: 5, .. }), "{error}");
}

#[test]
fn bad_files_are_refused_with_their_place() {
    let place = Place::new();
    let bad = |file: &str, contents: &[u8]| {
        let path = place.directory.path().join(file);
        fs::write(&path, contents).expect("written");
        open(&path).and_then(|source| read(&source)).expect_err("refused")
    };
    let ragged = bad("ragged.csv", b"a,b\n1,2\n\"x\ny\",2\n3\n");
    assert!(matches!(ragged, SourceError::RaggedRecord { line: 5, found: 1, expected: 2, .. }), "{ragged}");
    let ragged = bad("windows.csv", b"a,b\r\n1,2\r\n\"x\r\ny\",2\r\n3\r\n");
    assert!(matches!(ragged, SourceError::RaggedRecord { line: 5, found: 1, expected: 2, .. }), "{ragged}");
    // Empty lines, and ends of both kinds.
    for (mixed, expected) in [
        ("a,b\n\n\n1,2\n\n3\n", 6),
        ("a,b\r\n\r\n1,2\r\n\r\n3\r\n", 5),
        ("a,b\r\n1,2\n\"x\ny\",2\n3\n", 5),
        ("a,b\n1,2\r\n\"x\ny\",2\r\n3\r\n", 5),
        ("a,b\n1,2\n3", 3),
        ("\u{feff}a,b\r\n1,2\r\n3\r", 3),
    ] {
        let ragged = bad("mixed.csv", mixed.as_bytes());
        assert!(matches!(ragged, SourceError::RaggedRecord { line, .. } if line == expected), "{mixed:?}: {ragged}");
    }
    let encoding = bad("latin.csv", b"a,b\n1,caf\xe9\n");
    assert!(matches!(&encoding, SourceError::BadBytes { line: 2, column, .. } if column == "b"), "{encoding}");
    let json = bad("broken.ndjson", b"{\"a\": 1}\n{\"a\": }\n");
    assert!(matches!(json, SourceError::BadJson { line: 2, .. }), "{json}");
    let nested = bad("nested.ndjson", b"{\"a\": [1]}\n");
    assert!(matches!(nested, SourceError::BadType { .. }), "{nested}");
    assert!(matches!(bad("empty.csv", b""), SourceError::NoColumns { .. }));
    assert!(matches!(bad("header.csv", "姓名\n1\n".as_bytes()), SourceError::BadHeader { position: 1, .. }));
    assert!(matches!(bad("twice.csv", b"A,a\n1,2\n"), SourceError::BadHeader { position: 2, .. }));
    assert!(matches!(bad("data.ods", b"PK"), SourceError::UnknownFormat { .. }));
    assert!(matches!(bad("data.xlsx.gz", b"PK"), SourceError::UnknownFormat { .. }));
    assert!(matches!(bad("data.xlsx", b"PK"), SourceError::BadWorkbook { .. }));
    assert!(matches!(bad("cut.csv.gz", b"\x1f\x8b\x08\x00\x00"), SourceError::Unreadable { .. }));
    let mut endless = b"a,b\n1,\"".to_vec();
    endless.extend(std::iter::repeat_n(b'x', 3 << 20));
    assert!(matches!(bad("endless.csv", &endless), SourceError::RecordTooLong { .. }));
    for open in ["a,b\n1,2\n3,\"x\n4,5\n", "a,b\n1,2\n3,\"", "a,b\r\n1,2\r\n3,\"end\r\n", "a\n1\n\"end"] {
        let refused = bad("open.csv", open.as_bytes());
        assert!(matches!(refused, SourceError::QuoteNotClosed { line: 3, .. }), "{open:?}: {refused}");
    }
    // Closed quotes, lines that end or do not, empty lines, and the word that stands behind a file.
    for closed in
        ["a\n1\nend", "a\n1\nend\n", "a\n1\n\"end\"", "a\n1\nend\n\n\n", "a\r\n1\r\nend\r\n\r\n", "a\n1\nend\r"]
    {
        let path = place.file("closed.csv", closed);
        let rows = read(&open(&path).expect("opened")).expect("read");
        assert_eq!(rows.len(), 2, "{closed:?}");
    }
    let mut endless = b"{\"a\": \"".to_vec();
    endless.extend(std::iter::repeat_n(b'x', 3 << 20));
    assert!(matches!(bad("endless.ndjson", &endless), SourceError::RecordTooLong { .. }));
    let missing = open(&place.directory.path().join("none.csv")).expect_err("missing");
    assert!(matches!(missing, SourceError::Unreadable { .. }));
    let path = place.file("few.csv", "a,b\n1,2\n");
    let options =
        SourceOptions { declared: Some(vec![declared("a", "a", ColumnType::Integer)]), ..SourceOptions::default() };
    let mismatch = Source::open(&path, options).expect_err("b is not declared");
    assert!(matches!(&mismatch, SourceError::Drift { drift, .. } if drift.added == ["b"]), "{mismatch}");
}
