//! Sources in encodings other than UTF-8, and separators other than commas.

use std::fs;
use std::path::Path;

use lingqu_engine::ColumnType;
use lingqu_engine::source::{
    DeclaredColumn, EncodingOrigin, Source, SourceError, SourceFormat, SourceOptions, TextEncoding,
};
use proptest::prelude::*;

use crate::data::{Place, name, text_rows};

fn declared(header: &str, column: &str, column_type: ColumnType) -> DeclaredColumn {
    DeclaredColumn { header: header.to_owned(), aliases: Vec::new(), name: name(column), column_type }
}

fn drivers() -> SourceOptions {
    let columns = vec![
        declared("编号", "id", ColumnType::Integer),
        declared("姓名", "name", ColumnType::Text),
        declared("登记日期", "registered_on", ColumnType::Date),
    ];
    SourceOptions { declared: Some(columns), ..SourceOptions::default() }
}

fn rows(path: &Path, options: &SourceOptions) -> Result<Vec<String>, SourceError> {
    let batches: Result<Vec<_>, _> = Source::open(path, options.clone())?.batches()?.collect();
    Ok(text_rows(&batches?))
}

const DRIVERS: &str = "编号,姓名,登记日期\n1,韦一,2025-03-01\n2,\"黄,二\",2025-03-02\n3,𠀀三,\n";
const DRIVER_ROWS: [&str; 3] = ["1|韦一|2025-03-01", "2|黄,二|2025-03-02", "3|𠀀三|"];

fn utf16(text: &str, is_little: bool) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(text.encode_utf16());
    units.flat_map(|unit: u16| if is_little { unit.to_le_bytes() } else { unit.to_be_bytes() }).collect()
}

#[test]
fn chinese_files_read_the_same_in_every_encoding() {
    let place = Place::new();
    let (gb, _, has_lost) = encoding_rs::GB18030.encode(DRIVERS);
    assert!(!has_lost);
    let marked = format!("\u{feff}{DRIVERS}");
    for (file, bytes, encoding, origin) in [
        ("utf8.csv", DRIVERS.as_bytes().to_vec(), TextEncoding::Utf8, EncodingOrigin::Valid),
        ("marked.csv", marked.into_bytes(), TextEncoding::Utf8, EncodingOrigin::ByteOrderMark),
        ("gb.csv", gb.to_vec(), TextEncoding::Gb18030, EncodingOrigin::Guessed),
        ("little.csv", utf16(DRIVERS, true), TextEncoding::Utf16Le, EncodingOrigin::ByteOrderMark),
        ("big.csv", utf16(DRIVERS, false), TextEncoding::Utf16Be, EncodingOrigin::ByteOrderMark),
    ] {
        let path = place.directory.path().join(file);
        fs::write(&path, &bytes).expect("written");
        let source = Source::open(&path, drivers()).unwrap_or_else(|error| panic!("{file}: {error}"));
        let found = source.encoding().expect("a text has an encoding");
        assert_eq!((found.encoding, found.origin), (encoding, origin), "{file}");
        assert_eq!(rows(&path, &drivers()).expect(file), DRIVER_ROWS, "{file}");
        // Declared instead of found out.
        let options = SourceOptions { encoding: Some(encoding), ..drivers() };
        let source = Source::open(&path, options.clone()).expect(file);
        assert_eq!(source.encoding().map(|found| found.origin), Some(EncodingOrigin::Declared));
        assert_eq!(rows(&path, &options).expect(file), DRIVER_ROWS, "{file}");
        // And compressed.
        let squeezed = place.directory.path().join(format!("{file}.zst"));
        fs::write(&squeezed, zstd::encode_all(&bytes[..], 3).expect("squeezed")).expect("written");
        assert_eq!(rows(&squeezed, &drivers()).expect(file), DRIVER_ROWS, "{file}");
    }
}

#[test]
fn lines_of_json_in_gbk_read_too() {
    let place = Place::new();
    let text = "{\"编号\": 1, \"姓名\": \"韦一\", \"登记日期\": \"2025-03-01\"}\n{\"编号\": 2, \"姓名\": \"黄,二\", \"登记日期\": \"2025-03-02\"}\n";
    let (bytes, _, _) = encoding_rs::GBK.encode(text);
    let path = place.directory.path().join("drivers.ndjson");
    fs::write(&path, &bytes).expect("written");
    assert_eq!(rows(&path, &drivers()).expect("good"), DRIVER_ROWS[..2]);
}

#[test]
fn bytes_that_are_not_of_the_encoding_are_refused_where_they_stand() {
    let place = Place::new();
    let mut bytes = encoding_rs::GBK.encode("编号,姓名,登记日期\n1,韦一,2025-03-01\n2,").0.to_vec();
    bytes.extend(b"\xff\x20,2025-03-02\n");
    let path = place.directory.path().join("broken.csv");
    fs::write(&path, &bytes).expect("written");
    let options = SourceOptions { encoding: Some(TextEncoding::Gb18030), ..drivers() };
    let error = rows(&path, &options).expect_err("0xff begins no character");
    assert!(
        matches!(&error, SourceError::BadBytes { line: 3, column, encoding: TextEncoding::Gb18030, .. } if column == "姓名"),
        "{error}"
    );
    assert!(error.to_string().contains("GB18030"), "{error}");
    // A file in UTF-8 that is declared to be GB18030 is not made to fit.
    fs::write(&path, "编号,姓名,登记日期\n1,韦一,2025-03-01\n").expect("written");
    assert!(rows(&path, &options).is_err());
}

#[test]
fn tabulators_and_other_separators() {
    let place = Place::new();
    let text = "id\tname\n1\ta,b\n2\tc\n";
    for file in ["a.tsv", "a.tab", "a.TSV"] {
        let path = place.file(file, text);
        let source = Source::open(&path, SourceOptions::default()).expect(file);
        assert_eq!(source.format(), SourceFormat::Tsv);
        assert_eq!(rows(&path, &SourceOptions::default()).expect(file), ["1|a,b", "2|c"]);
    }
    let path = place.file("a.csv", "id|name\n1|a\n");
    let options = SourceOptions { delimiter: Some('|'), ..SourceOptions::default() };
    assert_eq!(rows(&path, &options).expect("good"), ["1|a"]);
    for delimiter in ['，', '"', '\n'] {
        let options = SourceOptions { delimiter: Some(delimiter), ..SourceOptions::default() };
        assert!(matches!(Source::open(&path, options), Err(SourceError::BadOptions { .. })));
    }
}

#[test]
fn a_file_that_expands_without_end_is_refused() {
    let place = Place::new();
    let mut text = b"id,name\n".to_vec();
    for row in 0..50_000 {
        text.extend(format!("{row},aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n").bytes());
    }
    let squeezed = place.directory.path().join("bomb.csv.zst");
    fs::write(&squeezed, zstd::encode_all(&text[..], 19).expect("squeezed")).expect("written");
    let zipped = place.directory.path().join("bomb.csv.gz");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &text).expect("zipped");
    fs::write(&zipped, encoder.finish().expect("zipped")).expect("written");
    for path in [&squeezed, &zipped] {
        let limit = text.len() as u64 - 1;
        let options = SourceOptions { expanded_bytes_max: limit, ..SourceOptions::default() };
        let error = Source::open(path, options.clone()).expect_err("a byte too many");
        assert!(matches!(error, SourceError::Expands { bytes_max, .. } if bytes_max == limit), "{error}");
        // Found while it is read, too.
        let declared = vec![declared("id", "id", ColumnType::Integer), declared("name", "name", ColumnType::Text)];
        let options = SourceOptions { declared: Some(declared), encoding: Some(TextEncoding::Utf8), ..options };
        assert!(matches!(rows(path, &options), Err(SourceError::Expands { .. })));
        let options = SourceOptions { expanded_bytes_max: text.len() as u64, ..SourceOptions::default() };
        assert_eq!(rows(path, &options).expect("it fits").len(), 50_000);
    }
    // JSON goes another way.
    let path = place.directory.path().join("bomb.json.zst");
    let array = format!("[{}]", "{\"a\": 1},".repeat(50_000).trim_end_matches(','));
    for text in [array.clone(), "{\"a\": 1}\n".repeat(50_000)] {
        fs::write(&path, zstd::encode_all(text.as_bytes(), 19).expect("squeezed")).expect("written");
        let options = SourceOptions {
            expanded_bytes_max: 100_000,
            encoding: Some(TextEncoding::Utf8),
            ..SourceOptions::default()
        };
        let error = Source::open(&path, options).expect_err("too large");
        assert!(matches!(error, SourceError::Expands { .. }), "{error}");
    }
}

fn texts() -> impl Strategy<Value = Vec<(i64, String)>> {
    // Han characters, the four-byte ones of GB 18030, ASCII with separators, quotes and line ends.
    let text =
        proptest::string::string_regex("[\u{4e00}-\u{4fff}\u{20000}-\u{20100}a-z \",\n]{0,12}").expect("a pattern");
    prop::collection::vec((any::<i64>(), text), 1..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The same table in GB 18030 and in UTF-8 gives equal batches, whatever is in it.
    #[test]
    fn encodings_make_no_difference(values in texts()) {
        let place = Place::new();
        let mut text = "编号,姓名\n".to_owned();
        for (id, value) in &values {
            text.push_str(&format!("{id},\"{}\"\n", value.replace('"', "\"\"")));
        }
        let columns = vec![declared("编号", "id", ColumnType::Integer), declared("姓名", "name", ColumnType::Text)];
        let options = SourceOptions { declared: Some(columns), ..SourceOptions::default() };
        let read = |file: &str, bytes: &[u8], encoding| {
            let path = place.directory.path().join(file);
            fs::write(&path, bytes).expect("written");
            let source = Source::open(&path, SourceOptions { encoding, ..options.clone() }).expect("good");
            source.batches().expect("good").collect::<Result<Vec<_>, _>>().expect("good")
        };
        let of_utf8 = read("utf8.csv", text.as_bytes(), None);
        let (bytes, _, has_lost) = encoding_rs::GB18030.encode(&text);
        prop_assert!(!has_lost);
        prop_assert_eq!(&read("gb.csv", &bytes, Some(TextEncoding::Gb18030)), &of_utf8);
        prop_assert_eq!(&read("found.csv", &bytes, None), &of_utf8);
    }

    /// Arbitrary bytes are read or refused in every format and encoding, and nothing else happens.
    #[test]
    fn arbitrary_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..400),
        format in prop::sample::select(vec![
            SourceFormat::Csv, SourceFormat::Tsv, SourceFormat::Json, SourceFormat::Xlsx, SourceFormat::Parquet,
        ]),
        encoding in prop::option::of(prop::sample::select(vec![
            TextEncoding::Utf8, TextEncoding::Gb18030, TextEncoding::Utf16Le, TextEncoding::Utf16Be,
        ])),
    ) {
        let place = Place::new();
        let path = place.directory.path().join("bytes");
        fs::write(&path, &bytes).expect("written");
        let options = SourceOptions { format: Some(format), encoding, ..SourceOptions::default() };
        if let Ok(source) = Source::open(&path, options) {
            for batch in source.batches().expect("it was opened before") {
                drop(batch);
            }
        }
    }
}
