//! One table in many clothes is one fragment.

use std::fs::File;
use std::io::Write as _;

use arrow::array::AsArray as _;
use arrow::datatypes::Int64Type;
use arrow::util::display::array_value_to_string;
use parquet::arrow::ArrowWriter;
use proptest::prelude::*;

use super::*;

const HEADER: [&str; 3] = ["line", "day", "delay"];
const ROWS: [[&str; 3]; 4] = [
    ["L1", "2025-03-01", "12"],
    ["桂林 2", "2025-03-02", "-3"],
    ["L3", "2025-03-03", "0"],
    ["L4", "2025-03-04", "118"],
];

fn read(name: &str, bytes: &[u8]) -> Result<Fragment, FragmentError> {
    read_with(name, bytes, &FragmentOptions::default())
}

fn read_with(name: &str, bytes: &[u8], options: &FragmentOptions) -> Result<Fragment, FragmentError> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(name);
    File::create(&path).unwrap().write_all(bytes).unwrap();
    Fragment::read(&path, options)
}

fn cells(fragment: &Fragment) -> Vec<Vec<String>> {
    let batch = &fragment.batch;
    let cell = |row, column: &ArrayRef| array_value_to_string(column, row).unwrap();
    (0..batch.num_rows()).map(|row| batch.columns().iter().map(|column| cell(row, column)).collect()).collect()
}

fn assert_whole(what: &str, fragment: &Fragment) {
    assert_eq!(fragment.column_names(), HEADER, "{what}");
    assert_eq!(cells(fragment), ROWS, "{what}");
    assert_eq!((fragment.rows_read, fragment.lines_left_out), (4, 0), "{what}");
}

fn joined(separator: &str) -> String {
    let mut text = HEADER.join(separator) + "\r\n";
    ROWS.iter().for_each(|row| text.push_str(&(row.join(separator) + "\r\n")));
    text
}

#[test]
fn separated_texts_are_told_by_their_lines_in_every_encoding() {
    for separator in [",", "\t", ";"] {
        let text = joined(separator);
        assert_whole(separator, &read("found.txt", text.as_bytes()).unwrap());
        let (gbk, ..) = encoding_rs::GBK.encode(&text);
        assert_whole("GBK", &read("found", &gbk).unwrap());
        let wide = |order: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(order).collect::<Vec<u8>>();
        let (little, big) = (wide(u16::to_le_bytes), wide(u16::to_be_bytes));
        assert_whole("UTF-16LE without a mark", &read("found", &little).unwrap());
        assert_whole("UTF-16BE without a mark", &read("found", &big).unwrap());
        assert_whole("UTF-16LE", &read("found", &[&[0xff, 0xfe], &little[..]].concat()).unwrap());
        assert_whole("UTF-8 with a mark", &read("found", format!("\u{feff}{text}").as_bytes()).unwrap());
        let packed = zstd::encode_all(text.as_bytes(), 3).unwrap();
        assert_whole("packed", &read("found.csv.zst", &packed).unwrap());
    }
}

#[test]
fn pasted_tables_are_read() {
    let markdown = "| line | day | delay |\n|:---|---|--:|\n| L1 | 2025-03-01 | 12 |\n| 桂林 2 | 2025-03-02 | -3 |\n\
                    | L3 | 2025-03-03 | 0 |\n| L4 | 2025-03-04 | 118 |\n";
    let fragment = read("-", markdown.as_bytes()).unwrap();
    assert_whole("Markdown", &fragment);
    assert_eq!(fragment.form, FragmentForm::Bars);
    let shell = "  line   |    day     | delay \n---------+------------+-------\n L1      | 2025-03-01 |    12\n \
                 桂林 2  | 2025-03-02 |    -3\n L3      | 2025-03-03 |     0\n L4      | 2025-03-04 |   118\n";
    assert_whole("a shell's", &read("-", shell.as_bytes()).unwrap());
    let blanks = "line      day         delay\nL1        2025-03-01     12\n桂林 2    2025-03-02     -3\n\
                  L3        2025-03-03      0\nL4        2025-03-04    118\n";
    let fragment = read("-", blanks.as_bytes()).unwrap();
    assert_whole("blanks", &fragment);
    assert_eq!(fragment.form, FragmentForm::Blanks);
}

#[test]
fn json_is_read_wherever_its_rows_stand() {
    let object = |row: &[&str; 3]| format!(r#"{{"line":"{}","day":"{}","delay":{}}}"#, row[0], row[1], row[2]);
    let objects: Vec<String> = ROWS.iter().map(object).collect();
    let array = |row: &[&str; 3]| format!(r#"["{}","{}",{}]"#, row[0], row[1], row[2]);
    let arrays: Vec<String> = ROWS.iter().map(array).collect();
    for text in [
        objects.join("\n"),
        format!("[{}]", objects.join(",\n  ")),
        format!(r#"{{"next":null,"rows":[{}]}}"#, objects.join(",")),
        format!(
            r#"{{"columns":[{{"name":"line"}},{{"name":"day"}},{{"name":"delay"}}],"data":{{"rows":[{}]}}}}"#,
            arrays.join(",")
        ),
    ] {
        let fragment = read("found.json", text.as_bytes()).unwrap();
        assert_eq!(fragment.form, FragmentForm::Json);
        assert_eq!(fragment.row_count(), 4, "{text}");
        let names = fragment.column_names();
        // Names within an object have no order.
        let order: Vec<usize> = HEADER.iter().filter_map(|name| names.iter().position(|found| found == name)).collect();
        if order.len() == 3 {
            let sorted = Fragment { batch: fragment.batch.project(&order).unwrap(), ..fragment };
            assert_whole(&text, &sorted);
        } else {
            assert!(names[0].starts_with("column_"), "{names:?}");
            assert_eq!(cells(&fragment), ROWS);
        }
    }
}

#[test]
fn json_is_read_column_by_column_too() {
    let of_column = |place: usize| ROWS.iter().map(move |row| row[place]);
    let value = |text: &str| text.parse::<i64>().map_or_else(|_| format!(r#""{text}""#), |number| number.to_string());
    let joined = |members: Vec<String>| format!("{{{}}}", members.join(","));
    let arrays = HEADER
        .iter()
        .enumerate()
        .map(|(place, name)| format!(r#""{name}":[{}]"#, of_column(place).map(value).collect::<Vec<_>>().join(",")));
    let columns = HEADER.iter().enumerate().map(|(place, name)| {
        let cells = of_column(place).enumerate().map(|(row, text)| format!(r#""{row}":{}"#, value(text)));
        format!(r#""{name}":{}"#, joined(cells.collect()))
    });
    let rows = ROWS.iter().enumerate().map(|(number, row)| {
        let cells = HEADER.iter().zip(row).map(|(name, text)| format!(r#""{name}":{}"#, value(text)));
        format!(r#""{number}":{}"#, joined(cells.collect()))
    });
    let tables: [String; 3] = [arrays.collect(), columns.collect(), rows.collect()].map(joined);
    let within = format!(r#"{{"code":0,"data":{}}}"#, tables[1]);
    for text in tables.iter().chain([&within]) {
        let fragment = read("found.json", text.as_bytes()).unwrap();
        let names = fragment.column_names();
        let order = HEADER.map(|name| names.iter().position(|found| found == name).unwrap());
        assert_whole(text, &Fragment { batch: fragment.batch.project(&order).unwrap(), ..fragment });
    }
}

/// Titles, a word for the spreadsheet program, and names that are fewer than the columns since rows' names have none.
#[test]
fn what_stands_above_a_table_costs_no_row() {
    for above in ["2025 年 3 月晚点统计\r\n", "sep=;\r\n", "晚点统计\r\n\r\n单位：分钟\r\n"] {
        assert_whole(above, &read("found.csv", format!("{above}{}", joined(";")).as_bytes()).unwrap());
    }
    let rows: String = ROWS.iter().map(|row| row.join(",") + "\n").collect();
    let fragment = read("found.csv", format!("day,delay\n{rows}").as_bytes()).unwrap();
    assert_eq!((fragment.rows_read, fragment.lines_left_out), (4, 0));
    assert_eq!(cells(&fragment), ROWS);
}

/// Who adds a quote, or one far from another, hides nothing behind it.
#[test]
fn a_quote_that_is_not_closed_takes_no_other_line_with_it() {
    for separator in [",", "\t"] {
        let quoted = joined(separator).replace("line", "\"line\"");
        assert_whole("closed", &read("found", quoted.as_bytes()).unwrap());
        for (others, last) in [(quoted.clone(), "118"), (quoted.replace("118", "118\""), "118\"")] {
            let fragment = read("found", others.replace("L1", "\"L1").as_bytes()).unwrap();
            let mut expected = ROWS;
            (expected[0][0], expected[3][2]) = ("\"L1", last);
            assert_eq!(cells(&fragment), expected);
            assert_eq!((fragment.form, fragment.lines_left_out), (FragmentForm::Separated, 0));
            assert_eq!(fragment.column_names(), HEADER);
        }
    }
    // Nor does what stands above the names, beside such a quote.
    for above in ["sep=;\r\n", "晚点统计;单位：分钟\r\n"] {
        let fragment = read("found", (above.to_owned() + &joined(";").replace("L1", "\"L1")).as_bytes()).unwrap();
        assert_eq!((fragment.column_names(), fragment.rows_read), (HEADER.map(str::to_owned).to_vec(), 4), "{above}");
    }
    // Texts of many lines stay whole, though some of their lines have as many cells as a row.
    let prose = "\"one, two\nthree\nfour, five\nsix\nseven, eight\nnine\nten, eleven\ntwelve\"";
    let fragment = read("found", format!("a,b\n1,{prose}\n2,{prose}\n").as_bytes()).unwrap();
    assert_eq!((fragment.rows_read, fragment.lines_left_out), (2, 0));
    // A value of several lines is one where it is closed.
    let fragment = read("found", b"a,b\n1,\"x\ny\nz\"\n2,\"x\n\ny\"\n").unwrap();
    assert_eq!(cells(&fragment), [["1", "x\ny\nz"], ["2", "x\n\ny"]]);
}

#[test]
fn a_json_document_of_too_many_values_is_refused_or_read_one_by_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found.json");
    let opened = |text: &str, values_max| {
        std::fs::write(&path, text).unwrap();
        WholeJson::open(&bounded(&path), 1 << 20, values_max)
    };
    let wrapped = r#"{"note": "[1,2,\"]", "rows": [{"a": 1}, {"a": 2}]}"#;
    assert!(opened(wrapped, 7).unwrap().is_some());
    let refused = opened(wrapped, 6).err().unwrap().to_string();
    assert!(refused.contains("newline-delimited"), "{refused}");
    assert!(opened(r#" [ {"a": 1}, {"a": 2}]"#, 4).unwrap().is_none());
    // Of lines only the first is a document.
    assert!(opened("{\"a\": 1}\n{\"a\": 2}\n", 2).unwrap().is_none());
    let object = read("found.json", br#"{"a": 1, "b": {"c": [1]}}"#).unwrap();
    assert_eq!(cells(&object), [["1", ""]], "an object without rows within it is a row");
}

#[test]
fn parquet_keeps_its_types() {
    let delays: ArrayRef = Arc::new(arrow::array::Int64Array::from(vec![12, -3]));
    let batch = RecordBatch::try_from_iter([("delay", delays)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // Whatever it is called.
    let fragment = read("found.csv", &bytes).unwrap();
    assert_eq!(fragment.form, FragmentForm::Parquet);
    assert_eq!(fragment.batch.column(0).as_primitive::<Int64Type>().values(), &[12, -3]);
}

#[test]
fn a_small_parquet_file_that_stands_for_much_is_read_little_by_little_and_refused_past_the_bound() {
    let text = "x".repeat(100_000);
    let texts: ArrayRef = Arc::new(arrow::array::StringArray::from(vec![text.as_str(); 2_000]));
    let batch = RecordBatch::try_from_iter([("note", texts)]).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    assert!(bytes.len() < 1 << 20, "{} bytes for 200 MB", bytes.len());
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("found");
    File::create(&path).unwrap().write_all(&bytes).unwrap();
    let file = bounded(&path);
    let refused = parquet_rows(&file, 1 << 20, Kept::of(0)).unwrap_err();
    assert!(matches!(refused, FragmentError::RowsTooLarge { rows, .. } if rows <= PARQUET_ROWS_AT_ONCE), "{refused}");
    // What is within the bound is taken.
    assert_eq!(parquet_rows(&file, FRAGMENT_KEPT_BYTES_MAX, Kept::of(0)).unwrap().1, 2_000);
}

/// The workbook that another library wrote.
fn workbook() -> Vec<u8> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/fixtures/workbook/workbook.xlsx");
    std::fs::read(path).unwrap()
}

fn of_sheet(sheet: &str) -> Result<Fragment, FragmentError> {
    read_with("found.xlsx", &workbook(), &FragmentOptions { sheet: Some(sheet.to_owned()), ..Default::default() })
}

#[test]
fn the_cells_of_a_sheet_are_read_as_text_whatever_their_types() {
    // Whatever it is called.
    let fragment = read("found.csv", &workbook()).unwrap();
    assert_eq!(fragment.form, FragmentForm::Xlsx);
    assert!(fragment.encoding.is_none());
    assert_eq!(fragment.column_names(), ["Trip No", "line", "day", "seen at", "ratio", "late", "note", "departs"]);
    assert!(fragment.batch.schema().fields().iter().all(|field| *field.data_type() == DataType::Utf8));
    assert_eq!(
        cells(&fragment),
        [
            ["1", "L0", "2025-03-01", "2025-03-01 05:30:15", "0.5", "true", "正点", "08:30:00"],
            ["2", "L1", "2025-03-02", "2025-03-02", "3", "false", "", ""],
            ["3", "", "", "", "", "", "末班 & <晚点>", ""],
        ]
    );
    let missing: Vec<usize> = fragment.batch.columns().iter().map(|column| column.null_count()).collect();
    assert_eq!(missing, [0, 1, 1, 1, 1, 1, 1, 2], "an empty cell is no text");
    assert_eq!((fragment.rows_read, fragment.lines_left_out), (3, 0));
    assert_eq!(of_sheet("trips").unwrap().batch, fragment.batch, "it is the first sheet");
}

#[test]
fn what_a_sheet_does_not_say_is_missing_and_a_row_that_does_not_fit_is_counted() {
    let fragment = of_sheet("驾驶员").unwrap();
    // A title that is merged over all columns is their name, and the names below it are a row.
    assert_eq!(fragment.column_names(), ["驾驶员名册（合成数据）", "column_2", "column_3"]);
    assert_eq!(
        cells(&fragment),
        [
            ["编号", "姓名", "分数"],
            ["1", "韦一", "90"],
            ["2", "黄二", "80"],
            // Of a merged area.
            ["3", "黄二", "70"],
            // An error, a formula without its result, and a length of time.
            ["4", "莫四", ""],
            ["5", "蒙五", ""],
            ["6", "覃六", ""],
            ["8", "农八", "50"],
        ]
    );
    assert_eq!((fragment.rows_read, fragment.lines_left_out), (8, 1), "a cell stands beside the table");
    let told = of_sheet("drivers").unwrap_err().to_string();
    assert!(told.contains("found.xlsx") && told.contains("`驾驶员`") && !told.contains("韦一"), "{told}");
}

#[test]
fn a_table_without_names_loses_no_row_and_bad_lines_are_counted() {
    let fragment = read("found", b"L1,2025-03-01,12\nL2,2025-03-02,-3\n").unwrap();
    assert_eq!(fragment.column_names(), ["column_1", "column_2", "column_3"]);
    assert_eq!(fragment.row_count(), 2);
    let ragged = "a,b\n1,2\n1,2,3\n4\n5,6\n";
    let fragment = read("found", ragged.as_bytes()).unwrap();
    assert_eq!((fragment.row_count(), fragment.lines_left_out), (2, 2));
    let twice = read("found", b"a,a,\nx,y,z\n").unwrap();
    assert_eq!(twice.column_names(), ["a", "column_2", "column_3"]);
    assert_eq!(read("found", b"a,b\n1,2\n1,2\n1,\n").unwrap().distinct_rows(), 2);
}

#[test]
fn what_is_no_table_is_refused_without_a_value() {
    let secret = "450102199001011234";
    for bytes in [&b""[..], b"\n\n", b"PAR1", b"PK\x03\x04", b"[]", b"a,b\n"] {
        let refused = read("found", bytes).unwrap_err().to_string();
        assert!(refused.contains("found") && !refused.contains(secret), "{refused}");
    }
    let wide = format!("{}\n{}\n", vec!["name"; 300].join(","), vec![secret; 300].join(","));
    let refused = read("found", wide.as_bytes()).unwrap_err();
    assert!(matches!(refused, FragmentError::TooManyColumns { found: 300, .. }), "{refused}");
    assert!(!refused.to_string().contains(secret));
}

#[test]
fn too_many_rows_are_thinned_evenly_and_the_same_each_time() {
    let rows = FRAGMENT_ROWS_MAX + 200_000;
    let mut text = "row\tvalue\n".to_owned();
    (0..rows).for_each(|row| text.push_str(&format!("r{row}\t{}\n", row % 2)));
    let [first, second] = [(), ()].map(|()| read("found", text.as_bytes()).unwrap());
    assert_eq!(first.rows_read, rows as u64);
    assert!((rows / 2 - 5_000..rows / 2 + 5_000).contains(&first.row_count()), "{}", first.row_count());
    assert_eq!(first.batch, second.batch);
    let even = first.batch.column(1).as_string::<i32>().iter().filter(|value| *value == Some("0")).count();
    assert!((even as f64 / first.row_count() as f64 - 0.5).abs() < 0.01, "{even}");
    // As before samples hung on the file, for annexes from then: by SplitMix64 of the place, whose first numbers are known.
    assert_eq!([scattered(0, 0), scattered(0, 0x9e37_79b9_7f4a_7c15)], [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4]);
    let by_place_alone = FragmentOptions { by_place_alone: true, ..FragmentOptions::default() };
    let before = read_with("found", text.as_bytes(), &by_place_alone).unwrap();
    let named = |fragment: &Fragment| -> Vec<String> {
        fragment.batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    };
    let places = (0..rows as u64).filter(|place| scattered(0, *place) <= u64::MAX / 2);
    assert_eq!(named(&before), places.map(|place| format!("r{place}")).collect::<Vec<_>>());
    assert_ne!(named(&before), named(&first));
    assert!(first.seeded && !before.seeded);
}

/// Who knows which rows are looked at puts there what he likes: a file with another byte has another sample.
#[test]
fn a_sample_hangs_on_the_whole_file() {
    let text = |last: &str| (0..2_000).map(|n| format!("r{n}\tv\n")).collect::<String>() + last;
    let [one, again, other] = ["x\ty\n", "x\ty\n", "x\tz\n"].map(|last| {
        let fragment = read("found", text(last).as_bytes()).unwrap();
        let mut kept = Kept::of(seed_of(&fragment.digest));
        kept.threshold /= 8;
        let kept: Vec<usize> = (0..2_000).filter(|_| kept.takes()).collect();
        (fragment.sample(200), kept)
    });
    assert_eq!(one, again);
    let common = |one: &[u32], other: &[u32]| one.iter().filter(|place| other.contains(place)).count();
    assert!(common(&one.0, &other.0) < 60, "{}", common(&one.0, &other.0));
    assert!(one.1 != other.1 && (150..350).contains(&one.1.len()), "{}", one.1.len());
}

proptest! {
    #[test]
    fn no_bytes_bring_the_reader_down(bytes: Vec<u8>, head in 0..5usize) {
        let opened: [&[u8]; 5] = [b"", b"{", b"[", b"PAR1", b"a|b\n"];
        let _ = read("found", &[opened[head], &bytes].concat());
    }

    #[test]
    fn a_sample_is_in_order_and_has_its_size(rows in 1..400u32, most in 1..400usize) {
        let text: String = std::iter::once("n\tm\n".to_owned()).chain((0..rows).map(|n| format!("x{n}\ty\n"))).collect();
        let sample = read("found", text.as_bytes()).unwrap().sample(most);
        prop_assert_eq!(sample.len(), most.min(rows as usize));
        prop_assert!(sample.windows(2).all(|pair| pair[0] < pair[1]));
    }
}
