//! Spreadsheets: one that another library wrote, and archives that no honest program writes.

use std::io::Write;
use std::path::{Path, PathBuf};

use lingqu_engine::ColumnType;
use lingqu_engine::source::{
    DeclaredColumn, FoundKind, Fragment, FragmentForm, FragmentOptions, RejectLimit, Source, SourceError, SourceFormat,
    SourceOptions,
};

use crate::data::{Place, name, text_rows};

fn workbook() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/fixtures/workbook/workbook.xlsx")
}

fn rows(path: &Path, options: &SourceOptions) -> Result<Vec<String>, SourceError> {
    let batches: Result<Vec<_>, _> = Source::open(path, options.clone())?.batches()?.collect();
    Ok(text_rows(&batches?))
}

#[test]
fn the_first_sheet_is_read_with_its_types() {
    let source = Source::open(&workbook(), SourceOptions::default()).expect("a good sheet");
    assert_eq!(source.format(), SourceFormat::Xlsx);
    let types: Vec<_> =
        source.schema().columns.iter().map(|column| (column.name.to_string(), column.column_type)).collect();
    let expected = [
        ("trip_no", ColumnType::Integer),
        ("line", ColumnType::Text),
        ("day", ColumnType::Date),
        ("seen_at", ColumnType::LocalTimestamp),
        ("ratio", ColumnType::Float),
        ("late", ColumnType::Boolean),
        ("note", ColumnType::Text),
        ("departs", ColumnType::Text),
    ];
    assert_eq!(types, expected.map(|(column, column_type)| (column.to_owned(), column_type)));
    assert_eq!(
        rows(&workbook(), &SourceOptions::default()).expect("a good sheet"),
        [
            "1|L0|2025-03-01|2025-03-01T05:30:15|0.5|true|正点|08:30:00",
            "2|L1|2025-03-02|2025-03-02T00:00:00|3.0|false||",
            "3||||||末班 & <晚点>|",
        ]
    );
}

fn drivers(rows_max: u64) -> SourceOptions {
    let declared = |header: &str, column: &str, column_type| DeclaredColumn {
        header: header.to_owned(),
        aliases: Vec::new(),
        name: name(column),
        column_type,
    };
    SourceOptions {
        sheet: Some("驾驶员".to_owned()),
        header_row: Some(2),
        declared: Some(vec![
            declared("编号", "id", ColumnType::Integer),
            declared("姓名", "name", ColumnType::Text),
            declared("分数", "score", ColumnType::Integer),
        ]),
        rejects: RejectLimit { rows_max, per_mille_max: 1_000 },
        ..SourceOptions::default()
    }
}

/// Merged cells, an error, a formula without its result, a length of time and a stray cell are no values.
#[test]
fn what_is_no_value_is_rejected_where_it_stands() {
    let place = Place::new();
    let rejects = place.directory.path().join("rejects.ndjson");
    let source = Source::open(&workbook(), drivers(5)).expect("a good sheet");
    let batches = source.batches_told(std::sync::Arc::default(), Some(rejects.clone())).expect("good");
    let read = text_rows(&batches.collect::<Result<Vec<_>, _>>().expect("five may be rejected"));
    assert_eq!(read, ["1|韦一|90", "2|黄二|80", "8|农八|50"]);
    let told = std::fs::read_to_string(rejects).expect("written");
    let told: Vec<serde_json::Value> = told.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let places: Vec<_> = told.iter().map(|one| (one["line"].as_u64(), one["found"].as_str())).collect();
    assert_eq!(
        places,
        [
            (Some(5), Some("merged")),
            (Some(6), Some("cell_error")),
            (Some(7), Some("formula")),
            (Some(8), Some("duration")),
            (Some(9), None),
        ]
    );
    let strict = rows(&workbook(), &drivers(0)).expect_err("the first of them refuses the sheet");
    assert!(matches!(&strict, SourceError::BadValue { line: 5, .. }), "{strict}");
    assert!(strict.to_string().contains("merged"), "{strict}");
    let filled = SourceOptions { fill_merged_cells: true, ..drivers(4) };
    assert_eq!(
        rows(&workbook(), &filled).expect("four may be rejected"),
        ["1|韦一|90", "2|黄二|80", "3|黄二|70", "8|农八|50"]
    );
}

#[test]
fn a_sheet_that_is_not_there_is_named_with_those_that_are() {
    let options = |sheet: &str| SourceOptions { sheet: Some(sheet.to_owned()), ..SourceOptions::default() };
    let error = Source::open(&workbook(), options("drivers")).expect_err("no such sheet");
    assert!(matches!(&error, SourceError::NoSuchSheet { .. }), "{error}");
    assert!(error.to_string().contains("`驾驶员`"), "{error}");
    assert!(matches!(Source::open(&workbook(), options("图")), Err(SourceError::BadWorkbook { .. })));
    // The title's row has one cell, which is merged.
    let title = SourceOptions { header_row: Some(1), ..drivers(0) };
    assert!(Source::open(&workbook(), title).is_err());
    let below = SourceOptions { header_row: Some(99), ..drivers(0) };
    assert!(matches!(Source::open(&workbook(), below), Err(SourceError::NoColumns { .. })));
}

const TYPES: &str = r#"<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;
const RELATIONS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#;
const BOOK: &str = r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="s" sheetId="1" r:id="rId1"/></sheets></workbook>"#;
const BOOK_RELATIONS: &str = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#;

/// A workbook of one sheet with these rows.
pub fn workbook_of(path: &Path, rows: &str) {
    archive(
        path,
        &[
            ("[Content_Types].xml", TYPES.as_bytes()),
            ("_rels/.rels", RELATIONS.as_bytes()),
            ("xl/workbook.xml", BOOK.as_bytes()),
            ("xl/_rels/workbook.xml.rels", BOOK_RELATIONS.as_bytes()),
            ("xl/worksheets/sheet1.xml", &sheet(rows)),
        ],
    );
}

fn sheet(rows: &str) -> Vec<u8> {
    format!(r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#).into_bytes()
}

fn texts(count: &str, entries: &str) -> Vec<u8> {
    format!(r#"<sst xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" count="1" uniqueCount="{count}">{entries}</sst>"#).into_bytes()
}

const GOOD_ROWS: &str = r#"<row r="1"><c r="A1" t="s"><v>0</v></c></row><row r="2"><c r="A2"><v>7</v></c></row>"#;
const GOOD_TEXTS: &str = "<si><t>id</t></si>";

/// Writes an archive of these parts, packed, with CRCs of its own. (PKWARE APPNOTE 4.3.)
fn archive(path: &Path, parts: &[(&str, &[u8])]) {
    let mut bytes = Vec::new();
    let mut directory = Vec::new();
    for (part, contents) in parts {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(contents).expect("packed");
        let packed = encoder.finish().expect("packed");
        let mut crc = flate2::Crc::new();
        crc.update(contents);
        let mut facts = Vec::new();
        for half in [20u16, 0, 8, 0, 33] {
            facts.extend(half.to_le_bytes());
        }
        for word in [crc.sum(), packed.len() as u32, contents.len() as u32] {
            facts.extend(word.to_le_bytes());
        }
        facts.extend((part.len() as u16).to_le_bytes());
        facts.extend([0, 0]);
        let offset = bytes.len() as u32;
        bytes.extend(0x0403_4b50u32.to_le_bytes());
        bytes.extend(&facts);
        bytes.extend(part.bytes());
        bytes.extend(&packed);
        directory.extend(0x0201_4b50u32.to_le_bytes());
        directory.extend(20u16.to_le_bytes());
        directory.extend(&facts);
        directory.extend([0; 10]);
        directory.extend(offset.to_le_bytes());
        directory.extend(part.bytes());
    }
    let offset = bytes.len() as u32;
    bytes.extend(&directory);
    bytes.extend(0x0605_4b50u32.to_le_bytes());
    for half in [0, 0, parts.len() as u16, parts.len() as u16] {
        bytes.extend(half.to_le_bytes());
    }
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend(offset.to_le_bytes());
    bytes.extend([0, 0]);
    std::fs::write(path, bytes).expect("written");
}

/// The second form of cells is a day, the third a moment.
const STYLES: &str = r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><numFmts count="1"><numFmt numFmtId="165" formatCode="yyyy/m/d hh:mm"/></numFmts><cellXfs count="3"><xf numFmtId="0"/><xf numFmtId="14"/><xf numFmtId="165"/></cellXfs></styleSheet>"#;

/// What a workbook of one sheet refers to, its forms of cells among it.
fn with_styles() -> String {
    BOOK_RELATIONS.replace(
        "</Relationships>",
        r#"<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>"#,
    )
}

fn open_made(place: &Place, sheet: &[u8], texts: &[u8]) -> Result<Vec<String>, SourceError> {
    let path = place.directory.path().join("made.xlsx");
    archive(
        &path,
        &[
            ("[Content_Types].xml", TYPES.as_bytes()),
            ("_rels/.rels", RELATIONS.as_bytes()),
            ("xl/workbook.xml", BOOK.as_bytes()),
            ("xl/_rels/workbook.xml.rels", BOOK_RELATIONS.as_bytes()),
            ("xl/worksheets/sheet1.xml", sheet),
            ("xl/sharedStrings.xml", texts),
        ],
    );
    rows(&path, &SourceOptions::default())
}

#[test]
fn an_honest_archive_is_read() {
    let place = Place::new();
    assert_eq!(open_made(&place, &sheet(GOOD_ROWS), &texts("1", GOOD_TEXTS)).expect("good"), ["7"]);
}

/// Runs are joined to one text, and many cells may name it: a few bytes stand for much.
#[test]
fn a_text_is_no_longer_than_a_cell_and_a_row_no_longer_than_a_record() {
    let place = Place::new();
    let run = |characters: usize| format!("<r><t>{}</t></r>", "字".repeat(characters));
    let (longest, longer) = (run(32_000) + &run(767), run(32_000) + &run(768));
    let shared = texts("3", &format!("{GOOD_TEXTS}<si>{longest}</si><si>{longer}</si>"));
    let cell = |at: &str, text: usize| format!(r#"<c r="{at}" t="s"><v>{text}</v></c>"#);
    let below = |cells: &str| sheet(&format!(r#"<row r="1">{}</row><row r="2">{cells}</row>"#, cell("A1", 0)));
    let read = open_made(&place, &below(&cell("A2", 1)), &shared).expect("as long as a cell may be");
    assert_eq!(read.iter().map(|row| row.chars().count()).collect::<Vec<_>>(), [32_767]);
    let error = open_made(&place, &below(&cell("A2", 2)), &shared).expect_err("a character too many");
    assert!(matches!(error, SourceError::BadValue { line: 2, found_kind: FoundKind::LongText, .. }), "{error}");
    let found = Fragment::read(&place.directory.path().join("made.xlsx"), &FragmentOptions::default());
    assert_eq!(text_rows(&[found.expect("one cell of it can't be read").batch]), [""]);
    let row: String = ('A'..='K').map(|column| cell(&format!("{column}2"), 1)).collect();
    let error = open_made(&place, &below(&row), &shared).expect_err("eleven of them");
    assert!(matches!(&error, SourceError::BadWorkbook { reason, .. } if reason.contains("row 2")), "{error}");
}

/// A merged cell of many columns gives each of them its text, and a row of them is no longer than another.
#[test]
fn the_text_of_a_merged_cell_counts_in_each_cell_that_it_fills() {
    let place = Place::new();
    let path = place.directory.path().join("merged.xlsx");
    let cell = |at: &str, text: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>"#);
    let header: String = ('A'..='Z').map(|column| cell(&format!("{column}1"), &format!("c{column}"))).collect();
    let options = SourceOptions { fill_merged_cells: true, ..SourceOptions::default() };
    let read = |characters: usize, areas: &[&str]| {
        let value = cell("A2", &"x".repeat(characters));
        let cells = format!(r#"<row r="1">{header}</row><row r="2">{value}</row>"#);
        let areas: String = areas.iter().map(|area| format!(r#"<mergeCell ref="{area}"/>"#)).collect();
        let merged = format!("</sheetData><mergeCells>{areas}</mergeCells>");
        let sheet = String::from_utf8(sheet(&cells)).expect("text").replace("</sheetData>", &merged);
        archive(
            &path,
            &[
                ("[Content_Types].xml", TYPES.as_bytes()),
                ("_rels/.rels", RELATIONS.as_bytes()),
                ("xl/workbook.xml", BOOK.as_bytes()),
                ("xl/_rels/workbook.xml.rels", BOOK_RELATIONS.as_bytes()),
                ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
            ],
        );
        rows(&path, &options)
    };
    let filled = read(30_000, &["A2:Z2"]).expect("less than a record");
    assert_eq!(filled[0].len(), 26 * 30_000 + 25);
    let reason = |read: Result<Vec<String>, SourceError>| match read {
        Err(SourceError::BadWorkbook { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    // 32 cells of 32,767 bytes are a record, and one more is too many.
    let long = reason(read(32_767, &["A2:AG2"]));
    assert!(long.contains("row 2") && long.contains("bytes of text"), "{long}");
    let across = reason(read(1, &["A2:XFD2", "A2:B2"]));
    assert!(across.contains("lie over each other"), "{across}");
}

/// Runs of a text that stands in its cell are joined in memory, so all of them are bounded, whatever closes them.
#[test]
fn a_text_in_its_cell_does_not_grow_with_its_runs() {
    const RUN: usize = 1_000_000;
    let place = Place::new();
    let runs = |count: usize| format!("<r><t>{}</t></r>", "x".repeat(RUN)).repeat(count);
    let refused = |cell: &str| {
        let below = format!(r#"{GOOD_ROWS}<row r="3"><c r="A3" t="inlineStr">{cell}</c></row>"#);
        match open_made(&place, &sheet(&below), &texts("1", GOOD_TEXTS)) {
            Err(SourceError::BadWorkbook { reason, .. }) => reason,
            other => panic!("{other:?}"),
        }
    };
    let long = refused(&format!("<is>{}</is>", runs(17)));
    assert!(long.contains("longer than any cell can be"), "{long}");
    for hidden in [
        format!("<is>{}<is>{}</is></is>", runs(1), runs(1)),
        format!("<is>{}</x:is>{}</is>", runs(1), runs(1)),
        format!("<is>{}</v>{}</is>", runs(1), runs(1)),
    ] {
        let reason = refused(&hidden);
        assert!(reason.contains("in one another"), "{reason}");
    }
    for hidden in ["<><is></is>", r#"<is><"></is>"></is>"#, r#"</x "><is></is>"#] {
        let reason = refused(hidden);
        assert!(reason.contains("do not write"), "{reason}");
    }
}

/// A number is a day only where its cell is formatted as one, and which day, the workbook says. (ECMA-376, 18.17.4.1.)
#[test]
fn days_are_counted_as_the_workbook_says() {
    let cells = [
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t>n</t></is></c><c r="B1" t="inlineStr"><is><t>day</t></is></c><c r="C1" t="inlineStr"><is><t>at</t></is></c></row>"#,
        r#"<row r="2"><c r="A2"><v>45000</v></c><c r="B2" s="1"><v>45000</v></c><c r="C2" s="2"><v>45000.75</v></c></row>"#,
        r#"<row r="3"><c r="A3"><v>61</v></c><c r="B3" s="1"><v>61</v></c><c r="C3" s="2"><v>61.5</v></c></row>"#,
    ];
    let place = Place::new();
    let path = place.directory.path().join("days.xlsx");
    let types = r#"<?xml version="1.0" encoding="UTF-8"?><Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#;
    for (property, expected) in [
        ("", ["45000|2023-03-15|2023-03-15T18:00:00", "61|1900-03-01|1900-03-01T12:00:00"]),
        (
            r#"<workbookPr date1904="1"/>"#,
            ["45000|2027-03-16|2027-03-16T18:00:00", "61|1904-03-02|1904-03-02T12:00:00"],
        ),
    ] {
        let book = BOOK.replace("<sheets>", &format!("{property}<sheets>"));
        archive(
            &path,
            &[
                ("[Content_Types].xml", types.as_bytes()),
                ("_rels/.rels", RELATIONS.as_bytes()),
                ("xl/workbook.xml", book.as_bytes()),
                ("xl/_rels/workbook.xml.rels", with_styles().as_bytes()),
                ("xl/styles.xml", STYLES.as_bytes()),
                ("xl/worksheets/sheet1.xml", &sheet(&cells.concat())),
            ],
        );
        assert_eq!(rows(&path, &SourceOptions::default()).expect("a good sheet"), expected);
    }
}

/// A spreadsheet keeps some 16 digits: two numbers of persons would be one, or another person's. In what was found they may be so.
#[test]
fn a_number_that_lost_digits_is_refused_and_yet_found() {
    let place = Place::new();
    let path = place.directory.path().join("long.xlsx");
    let sheet = |value: &str| {
        workbook_of(
            &path,
            &format!(
                r#"<row r="1"><c r="A1" t="inlineStr"><is><t>id</t></is></c></row><row r="2"><c r="A2"><v>{value}</v></c></row>"#
            ),
        );
    };
    let read = |column_type| {
        let (header, aliases) = ("id".to_owned(), Vec::new());
        let declared = vec![DeclaredColumn { header, aliases, name: name("id"), column_type }];
        rows(&path, &SourceOptions { declared: Some(declared), ..SourceOptions::default() })
    };
    let decimal = ColumnType::Decimal { precision: 38, scale: 6 };
    sheet("450102199001011234");
    for column_type in [ColumnType::Text, ColumnType::Integer, decimal] {
        let error = read(column_type).expect_err("another person's");
        assert!(matches!(error, SourceError::BadValue { line: 2, found_kind: FoundKind::LongNumber, .. }), "{error}");
        assert!(error.to_string().contains("entered as text"), "{error}");
    }
    let found = Fragment::read(&path, &FragmentOptions::default()).expect("a good sheet");
    assert_eq!(text_rows(&[found.batch]), ["450102199001011260"]);
    sheet("9007199254740993");
    assert!(read(ColumnType::Integer).is_err(), "it comes as …992");
    sheet("12345678901234567.89");
    assert!(read(decimal).is_err());
    sheet("999999999999999");
    for column_type in [ColumnType::Text, ColumnType::Integer] {
        assert_eq!(read(column_type).expect("exact"), ["999999999999999"]);
    }
    sheet("1234567.89");
    assert_eq!(read(decimal).expect("exact"), ["1234567.890000"]);
}

/// What was found is read under whatever names it has now: others, one name twice, or none.
#[test]
fn a_fragment_in_a_sheet_keeps_its_rows_whatever_became_of_its_names() {
    let place = Place::new();
    let path = place.directory.path().join("found.xlsx");
    let text = |at: String, text: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>"#);
    let trip = |row: usize, line: &str, delay: i64| {
        let (line, day) = (text(format!("A{row}"), line), text(format!("B{row}"), "2025-03-01"));
        format!(r#"<row r="{row}">{line}{day}<c r="C{row}"><v>{delay}</v></c></row>"#)
    };
    let trips = |first: usize| trip(first, "L1", 12) + &trip(first + 1, "桂林 2", -3);
    let header = |names: [&str; 3]| {
        let cells = ["A1", "B1", "C1"].into_iter().zip(names).map(|(at, name)| text(at.to_owned(), name));
        format!(r#"<row r="1">{}</row>"#, cells.collect::<String>())
    };
    for (rows, names) in [
        (header(["线路", "日期", "晚点"]) + &trips(2), ["线路", "日期", "晚点"]),
        (header(["a", "a", "A"]) + &trips(2), ["a", "column_2", "A"]),
        // A number is no name, so the first row is one of the rows.
        (trips(1), ["column_1", "column_2", "column_3"]),
    ] {
        workbook_of(&path, &rows);
        let fragment = Fragment::read(&path, &FragmentOptions::default()).expect("a good sheet");
        assert_eq!((fragment.form, fragment.rows_read), (FragmentForm::Xlsx, 2));
        assert_eq!(fragment.column_names(), names);
        let read = text_rows(std::slice::from_ref(&fragment.batch));
        assert_eq!(read, ["L1|2025-03-01|12", "桂林 2|2025-03-01|-3"], "{names:?}");
    }
}

/// Programs put a title above a table, and a column of numbers without a name before it.
#[test]
fn a_fragment_in_a_sheet_is_read_below_its_title_and_with_columns_that_have_no_name() {
    let place = Place::new();
    let path = place.directory.path().join("found.xlsx");
    let text =
        |at: &str, row: usize, text: &str| format!(r#"<c r="{at}{row}" t="inlineStr"><is><t>{text}</t></is></c>"#);
    let number = |at: &str, row: usize, number: usize| format!(r#"<c r="{at}{row}"><v>{number}</v></c>"#);
    let row = |row: usize, cells: String| format!(r#"<row r="{row}">{cells}</row>"#);
    let names = |at: usize| row(at, text("B", at, "线路") + &text("C", at, "晚点"));
    let trip = |at: usize| row(at, number("A", at, at) + &text("B", at, &format!("L{at}")) + &number("C", at, 7));
    let table = |first: usize| names(first) + &(1..=3).map(|below| trip(first + below)).collect::<String>();
    for (rows, expected) in [
        (table(1), ["2|L2|7", "3|L3|7", "4|L4|7"]),
        (row(1, text("A", 1, "晚点统计")) + &table(2), ["3|L3|7", "4|L4|7", "5|L5|7"]),
    ] {
        workbook_of(&path, &rows);
        let fragment = Fragment::read(&path, &FragmentOptions::default()).expect("a good sheet");
        assert_eq!(fragment.column_names(), ["column_1", "线路", "晚点"]);
        assert_eq!((fragment.rows_read, fragment.lines_left_out), (3, 0));
        assert_eq!(text_rows(std::slice::from_ref(&fragment.batch)), expected);
    }
}

/// A first row of values is a row, whatever types they have, and what it lacks others below it may have.
#[test]
fn a_fragment_in_a_sheet_without_names_begins_with_its_first_row() {
    let place = Place::new();
    let path = place.directory.path().join("found.xlsx");
    let text = |at: &str, text: &str| format!(r#"<c r="{at}" t="inlineStr"><is><t>{text}</t></is></c>"#);
    // A day, a moment and a truth, and nothing in the last column; then something in it.
    let first = [
        text("A1", "L1"),
        r#"<c r="B1" s="1"><v>45000</v></c>"#.to_owned(),
        r#"<c r="C1" s="2"><v>45000.75</v></c>"#.to_owned(),
    ];
    let truth = r#"<c r="D1" t="b"><v>1</v></c>"#;
    let second = [text("A2", "L2"), r#"<c r="B2" s="1"><v>45001</v></c>"#.to_owned(), text("E2", "末班")];
    let rows = format!(r#"<row r="1">{}{truth}</row><row r="2">{}</row>"#, first.concat(), second.concat());
    archive(
        &path,
        &[
            ("[Content_Types].xml", TYPES.as_bytes()),
            ("_rels/.rels", RELATIONS.as_bytes()),
            ("xl/workbook.xml", BOOK.as_bytes()),
            ("xl/_rels/workbook.xml.rels", with_styles().as_bytes()),
            ("xl/styles.xml", STYLES.as_bytes()),
            ("xl/worksheets/sheet1.xml", &sheet(&rows)),
        ],
    );
    let read = |has_header| Fragment::read(&path, &FragmentOptions { has_header, ..FragmentOptions::default() });
    let fragment = read(None).expect("a good sheet");
    assert_eq!(fragment.column_names(), ["column_1", "column_2", "column_3", "column_4", "column_5"]);
    assert_eq!((fragment.rows_read, fragment.lines_left_out), (2, 0));
    assert_eq!(
        text_rows(std::slice::from_ref(&fragment.batch)),
        ["L1|2023-03-15|2023-03-15 18:00:00|true|", "L2|2023-03-16|||末班"]
    );
    // Who says that it names the columns is told why it can't.
    assert!(read(Some(true)).expect_err("a day is no name").to_string().contains("header"));
}

/// Each of these would take memory or time without end, or put values where nobody looks.
#[test]
fn archives_that_no_honest_program_writes_are_refused() {
    let place = Place::new();
    let good_texts = texts("1", GOOD_TEXTS);
    // Ten million texts are announced and one is there.
    let error = open_made(&place, &sheet(GOOD_ROWS), &texts("99999999999999", GOOD_TEXTS)).expect_err("a lie");
    assert!(matches!(error, SourceError::BadWorkbook { .. }), "{error}");
    // Seventy megabytes of texts in seventy kilobytes.
    let bomb = texts("1", &GOOD_TEXTS.replace("id", &"a".repeat(1 << 16)).repeat(1_100));
    let error = open_made(&place, &sheet(GOOD_ROWS), &bomb).expect_err("too large");
    assert!(matches!(error, SourceError::Expands { .. }), "{error}");
    // One cell of two megabytes; a tag of as much.
    let long = "a".repeat(2 << 20);
    for rows in [
        format!(r#"<row r="1"><c r="A1" t="inlineStr"><is><t>{long}</t></is></c></row>"#),
        format!(r#"<row r="1"><c r="A1" t="{long}"><v>1</v></c></row>"#),
    ] {
        let error = open_made(&place, &sheet(&rows), &good_texts).expect_err("too long");
        assert!(matches!(error, SourceError::BadWorkbook { .. }), "{error}");
    }
    // A value that readers pass over in silence, entities that expand, an encoding that hides everything.
    for rows in [
        r#"<row r="1"><c r="A1" t="inlineStr"><is><t><![CDATA[hidden]]></t></is></c></row>"#,
        r#"<!-- <row r="1"></row> -->"#,
        r#"<?php ?>"#,
    ] {
        let error = open_made(&place, &sheet(rows), &good_texts).expect_err("unusual");
        assert!(matches!(error, SourceError::BadWorkbook { .. }), "{error}");
    }
    let declared = [br#"<?xml version="1.0" encoding="UTF-7"?>"#.to_vec(), sheet(GOOD_ROWS)].concat();
    assert!(matches!(open_made(&place, &declared, &good_texts), Err(SourceError::BadWorkbook { .. })));
    let wide: Vec<u8> = sheet(GOOD_ROWS).iter().flat_map(|byte| [*byte, 0]).collect();
    assert!(matches!(open_made(&place, &wide, &good_texts), Err(SourceError::BadWorkbook { .. })));
    // Rows that go back, and a cell beyond every column.
    let back = r#"<row r="5"><c r="A5"><v>1</v></c></row><row r="2"><c r="A2"><v>1</v></c></row>"#;
    assert!(matches!(open_made(&place, &sheet(back), &good_texts), Err(SourceError::BadWorkbook { .. })));
    let beyond = r#"<row r="1"><c r="XFD1"><v>1</v></c></row>"#;
    assert!(matches!(open_made(&place, &sheet(beyond), &good_texts), Err(SourceError::TooManyColumns { .. })));
}

#[test]
fn a_damaged_workbook_is_refused_at_every_length() {
    let place = Place::new();
    let whole = std::fs::read(workbook()).expect("the fixture is there");
    let path = place.directory.path().join("cut.xlsx");
    for length in (0..whole.len()).step_by(97) {
        std::fs::write(&path, &whole[..length]).expect("written");
        assert!(Source::open(&path, SourceOptions::default()).is_err(), "cut to {length} bytes it was taken");
    }
    // A bit that is turned is found by the archive's own checks, or does no harm.
    for place_of_bit in (0..whole.len()).step_by(61) {
        let mut bytes = whole.clone();
        bytes[place_of_bit] ^= 0x10;
        std::fs::write(&path, &bytes).expect("written");
        drop(rows(&path, &SourceOptions::default()));
    }
    std::fs::write(&path, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1 an older file").expect("written");
    let error = Source::open(&path, SourceOptions::default()).expect_err("not that kind");
    assert!(error.to_string().contains("older .xls"), "{error}");
}
