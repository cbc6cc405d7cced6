//! Rejected rows and drifted columns: how much is let pass, what is told of it, and that no value is among it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use lingqu_engine::ColumnType;
use lingqu_engine::source::{
    DeclaredColumn, FoundKind, ReadProgress, Reject, RejectLimit, RejectReason, Source, SourceError, SourceOptions,
};
use parquet::arrow::ArrowWriter;

use crate::data::{Place, name, text_rows};

/// Eight rows of which four are bad, each in another way.
const MIXED: &str = "id,age,born\n1,30,1990-01-01\n2,secret-word,1990-01-02\n3,31,1990-01-03\n4,32\n5,33,1990-13-01\n\
    6,34,1990-01-06\n7,secret,secret\n8,36,1990-01-08\n";

fn declared(column: &str, column_type: ColumnType) -> DeclaredColumn {
    DeclaredColumn { header: column.to_owned(), aliases: Vec::new(), name: name(column), column_type }
}

fn people(rows_max: u64, per_mille_max: u16) -> SourceOptions {
    SourceOptions {
        declared: Some(vec![
            declared("id", ColumnType::Integer),
            declared("age", ColumnType::Integer),
            declared("born", ColumnType::Date),
        ]),
        rejects: RejectLimit { rows_max, per_mille_max },
        ..SourceOptions::default()
    }
}

struct Read {
    rows: Result<Vec<String>, SourceError>,
    rejects: Vec<Reject>,
    text: String,
    progress: Arc<ReadProgress>,
}

fn read(place: &Place, path: &Path, options: SourceOptions) -> Read {
    let progress = Arc::new(ReadProgress::default());
    let file = place.directory.path().join("rejects.ndjson");
    let source = Source::open(path, options).expect("its columns are there");
    let batches = source.batches_told(Arc::clone(&progress), Some(file.clone())).expect("it was opened before");
    let rows = batches.collect::<Result<Vec<_>, _>>().map(|batches| text_rows(&batches));
    let text = fs::read_to_string(&file).expect("the rejects file is there");
    let rejects = text.lines().map(|line| serde_json::from_str(line).expect("a line is a reject")).collect();
    Read { rows, rejects, text, progress }
}

fn reject(line: u64, column: &str, expected: &str, found: FoundKind, length: u64) -> Reject {
    Reject {
        line,
        column: Some(column.to_owned()),
        reason: RejectReason::WrongType,
        expected: Some(expected.to_owned()),
        found: Some(found),
        length: Some(length),
    }
}

#[test]
fn rejected_rows_are_left_out_and_told_without_their_values() {
    let place = Place::new();
    let read = read(&place, &place.file("people.csv", MIXED), people(4, 1_000));
    assert_eq!(
        read.rows.expect("four bad rows are allowed"),
        ["1|30|1990-01-01", "3|31|1990-01-03", "6|34|1990-01-06", "8|36|1990-01-08"]
    );
    assert_eq!((read.progress.rows(), read.progress.rejected()), (8, 4));
    assert!(read.progress.bytes() >= MIXED.len() as u64);
    let ragged = Reject {
        line: 5,
        column: None,
        reason: RejectReason::FieldCount,
        expected: Some("3 fields".to_owned()),
        found: None,
        length: Some(2),
    };
    let date = "a date (YYYY-MM-DD)";
    assert_eq!(
        read.rejects,
        [
            reject(3, "age", "a whole number", FoundKind::Text, 11),
            ragged,
            reject(6, "born", date, FoundKind::Text, 10),
            reject(8, "age", "a whole number", FoundKind::Text, 6),
            reject(8, "born", date, FoundKind::Text, 6),
        ]
    );
    for secret in ["secret", "1990", "-13-"] {
        assert!(!read.text.contains(secret), "{}", read.text);
    }
}

#[test]
fn one_row_more_than_allowed_refuses_the_source() {
    let place = Place::new();
    let path = place.file("people.csv", MIXED);
    // Without an allowance the first bad row is the error, and it is told too.
    let strict = read(&place, &path, people(0, 1_000));
    assert!(matches!(strict.rows, Err(SourceError::BadValue { line: 3, .. })));
    assert_eq!(strict.rejects.len(), 1);
    let few = read(&place, &path, people(3, 1_000));
    let error = few.rows.expect_err("four are bad");
    assert!(matches!(&error, SourceError::TooManyRejects { rejected: 4, .. }), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    assert_eq!(few.rejects.len(), 5, "all that was found is told");
    // The share is known at the end: four of eight are 500 of 1000.
    assert!(read(&place, &path, people(100, 500)).rows.is_ok());
    let share = read(&place, &path, people(100, 499)).rows.expect_err("half is too much");
    assert!(matches!(share, SourceError::TooManyRejects { rejected: 4, read: 8, .. }), "{share}");
    // What nobody can mean is refused at once.
    for options in [people(100_001, 1_000), people(1, 1_001)] {
        assert!(matches!(Source::open(&path, options), Err(SourceError::BadOptions { .. })));
    }
}

#[test]
fn lines_that_are_no_json_are_rejected_one_by_one() {
    let place = Place::new();
    let mut bytes = b"{\"id\": 1, \"age\": 30, \"born\": \"1990-01-01\"}\n{\"id\": secret}\n\n".to_vec();
    bytes.extend(b"{\"id\": 3, \"age\": \"\xff\"}\n{\"id\": 4, \"age\": [1]}\n{\"id\": 5, \"age\": 31}\n");
    let path = place.directory.path().join("people.ndjson");
    fs::write(&path, &bytes).expect("written");
    let read_some = read(&place, &path, people(3, 1_000));
    assert_eq!(read_some.rows.expect("three are allowed"), ["1|30|1990-01-01", "5|31|"]);
    let told: Vec<_> = read_some.rejects.iter().map(|reject| (reject.line, reject.reason)).collect();
    assert_eq!(told, [(2, RejectReason::NotJson), (4, RejectReason::WrongEncoding), (5, RejectReason::WrongType)]);
    assert!(!read_some.text.contains("secret"));
    // In an array nobody can tell where the next object begins.
    let path = place.file("people.json", "[{\"id\": 1, \"age\": 2, \"born\": null},\n{\"id\": secret}]");
    let broken = Source::open(&path, people(3, 1_000)).expect_err("it is no JSON");
    assert!(matches!(broken, SourceError::BadJson { line: 2, .. }), "{broken}");
    // A row of several lines is told by the first of them.
    let tall = "[\n  {\n    \"id\": 1,\n    \"age\": \"x\",\n    \"born\": null\n  },\n  {\"id\": 2, \"age\": 3}\n]\n";
    let read_some = read(&place, &place.file("tall.json", tall), people(1, 1_000));
    assert_eq!(read_some.rows.expect("one is allowed"), ["2|3|"]);
    assert_eq!(read_some.rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [2]);
}

#[test]
fn rows_of_a_parquet_file_are_rejected_too() {
    let place = Place::new();
    let numbers = place.file("numbers.csv", "id,age\n1,30.5\n2,40.0\n3,\n");
    let source = Source::open(&numbers, SourceOptions::default()).expect("good");
    let path = place.directory.path().join("numbers.parquet");
    let batches: Vec<_> = source.batches().expect("good").map(|batch| batch.expect("good")).collect();
    let file = fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batches[0].schema(), None).expect("a writer");
    for batch in &batches {
        writer.write(batch).expect("written");
    }
    writer.close().expect("closed");
    // The ages are decimals of one place; a narrower decimal can't hold the first two.
    let narrow = |rows_max| SourceOptions {
        declared: Some(vec![
            declared("id", ColumnType::Integer),
            declared("age", ColumnType::Decimal { precision: 2, scale: 1 }),
        ]),
        rejects: RejectLimit { rows_max, per_mille_max: 1_000 },
        ..SourceOptions::default()
    };
    let some = read(&place, &path, narrow(2));
    assert_eq!(some.rows.expect("two are allowed"), ["3|"]);
    assert_eq!(some.rejects.iter().map(|reject| reject.line).collect::<Vec<_>>(), [1, 2]);
    assert!(matches!(read(&place, &path, narrow(0)).rows, Err(SourceError::BadValue { line: 1, .. })));
}

/// What a cast would round or cut is a bad value with its row, in whichever batch it stands, and so is what is no number.
#[test]
fn a_value_of_a_parquet_file_is_kept_or_refused_and_never_rounded() {
    use arrow::array::{ArrayRef, Decimal128Array, Float64Array, RecordBatch, TimestampNanosecondArray};

    const ROWS: usize = lingqu_engine::BATCH_ROWS + 10;
    let place = Place::new();
    let path = place.directory.path().join("exact.parquet");
    let mut amounts = vec![Some(1_500_000_000_i128); ROWS];
    (amounts[2], amounts[3]) = (Some(1_500_000_001), None);
    let mut times = vec![1_000_i64; ROWS];
    times[ROWS - 1] = 1_001;
    let mut scores = vec![0.5; ROWS];
    (scores[2], scores[5], scores[6]) = (f64::NAN, f64::NAN, f64::NEG_INFINITY);
    let amounts: ArrayRef = Arc::new(Decimal128Array::from(amounts).with_precision_and_scale(20, 9).expect("fits"));
    let times: ArrayRef = Arc::new(TimestampNanosecondArray::from(times));
    let scores: ArrayRef = Arc::new(Float64Array::from(scores));
    let batch = RecordBatch::try_from_iter_with_nullable([
        ("amount", amounts, true),
        ("at", times, true),
        ("score", scores, true),
    ])
    .expect("a batch");
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&path).expect("a file"), batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let options = |rows_max| SourceOptions {
        declared: Some(vec![
            declared("amount", ColumnType::Decimal { precision: 38, scale: 6 }),
            declared("at", ColumnType::LocalTimestamp),
            declared("score", ColumnType::Float),
        ]),
        rejects: RejectLimit { rows_max, per_mille_max: 1_000 },
        ..SourceOptions::default()
    };
    let some = read(&place, &path, options(4));
    assert_eq!(some.rows.expect("four are allowed").len(), ROWS - 4);
    let told: Vec<_> = some
        .rejects
        .iter()
        .map(|reject| (reject.line, reject.column.as_deref().expect("a column"), reject.found.expect("a kind")))
        .collect();
    assert_eq!(
        told,
        [
            (3, "amount", FoundKind::Number),
            (3, "score", FoundKind::NotFinite),
            (6, "score", FoundKind::NotFinite),
            (7, "score", FoundKind::NotFinite),
            (ROWS as u64, "at", FoundKind::Moment),
        ]
    );
    assert!(matches!(read(&place, &path, options(3)).rows, Err(SourceError::TooManyRejects { rejected: 4, .. })));
    let error = read(&place, &path, options(0)).rows.expect_err("nothing is allowed");
    assert!(error.to_string().ends_with("an exact decimal was expected, found a number"), "{error}");
}

/// A column of a type that nobody can take stops only those who want it.
#[test]
fn nested_columns_of_a_parquet_file_may_be_left_out() {
    use arrow::array::{ArrayRef, Int64Array, RecordBatch, StructArray};
    use arrow::datatypes::{DataType, Field};

    let place = Place::new();
    let path = place.directory.path().join("nested.parquet");
    let ids: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let field = Arc::new(Field::new("x", DataType::Int64, false));
    let nested: ArrayRef = Arc::new(StructArray::from(vec![(field, Arc::clone(&ids))]));
    let batch = RecordBatch::try_from_iter([("nested", nested), ("id", ids)]).expect("two columns");
    let file = fs::File::create(&path).expect("a file");
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("closed");
    let wanting = |columns: &[&str], ignore_extra_columns| SourceOptions {
        declared: Some(columns.iter().map(|column| declared(column, ColumnType::Integer)).collect()),
        ignore_extra_columns,
        ..SourceOptions::default()
    };
    assert_eq!(read(&place, &path, wanting(&["id"], true)).rows.expect("good"), ["1", "2"]);
    assert!(matches!(Source::open(&path, wanting(&["id"], false)), Err(SourceError::Drift { .. })));
    for options in [wanting(&["id", "nested"], true), SourceOptions::default()] {
        let error = Source::open(&path, options).expect_err("nobody can take it");
        assert!(matches!(&error, SourceError::BadType { column, .. } if column == "nested"), "{error}");
    }
}

#[test]
fn all_differences_of_the_columns_are_told_at_once() {
    let place = Place::new();
    let path = place.file("people.csv", "born,extra one,id,Extra,weight\n1990-01-01,x,1,y,60\n");
    let wanted = vec![
        declared("id", ColumnType::Integer),
        declared("born", ColumnType::Date),
        declared("weight", ColumnType::Float),
        declared("height", ColumnType::Float),
        declared("age", ColumnType::Integer),
    ];
    let options = SourceOptions { declared: Some(wanted), ..SourceOptions::default() };
    let error = Source::open(&path, options).expect_err("two are missing");
    let SourceError::Drift { drift, .. } = &error else { panic!("{error}") };
    assert_eq!(drift.missing, ["height", "age"]);
    assert_eq!(drift.added, ["extra one", "Extra"]);
    assert!(drift.reordered);
    for part in ["`height`", "`age`", "`extra one`", "`Extra`"] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn extra_columns_are_left_out_when_that_is_asked_for() {
    let place = Place::new();
    let path = place.file("people.csv", "extra,age,id,born\nx,30,1,1990-01-01\n");
    assert!(matches!(Source::open(&path, people(0, 1_000)), Err(SourceError::Drift { .. })));
    let options = SourceOptions { ignore_extra_columns: true, ..people(0, 1_000) };
    let source = Source::open(&path, options.clone()).expect("the others are there");
    assert_eq!(source.drift().added, ["extra"]);
    assert!(source.drift().reordered && source.drift().missing.is_empty());
    assert_eq!(read(&place, &path, options).rows.expect("good"), ["1|30|1990-01-01"]);
}

#[test]
fn types_that_changed_are_told_together() {
    let place = Place::new();
    let path = place.file("people.csv", "id,age,born\nA1,30,1990\nA2,old,1991\n");
    let source = Source::open(&path, people(0, 1_000)).expect("its columns are there");
    assert!(matches!(read(&place, &path, people(0, 1_000)).rows, Err(SourceError::BadValue { line: 2, .. })));
    let drift = source.drift_of_values().expect("it can be read");
    let changed: Vec<_> =
        drift.changed.iter().map(|change| (change.column.as_str(), change.expected, change.found)).collect();
    assert_eq!(
        changed,
        [
            ("id", ColumnType::Integer, ColumnType::Text),
            ("age", ColumnType::Integer, ColumnType::Text),
            ("born", ColumnType::Date, ColumnType::Integer),
        ]
    );
    // A Parquet file says so itself, before anything is read.
    let csv = Source::open(&path, SourceOptions::default()).expect("good");
    let parquet = place.directory.path().join("people.parquet");
    let batches: Vec<_> = csv.batches().expect("good").map(|batch| batch.expect("good")).collect();
    let mut writer =
        ArrowWriter::try_new(fs::File::create(&parquet).expect("a file"), batches[0].schema(), None).expect("a writer");
    writer.write(&batches[0]).expect("written");
    writer.close().expect("closed");
    let error = Source::open(&parquet, people(0, 1_000)).expect_err("three types changed");
    assert!(matches!(&error, SourceError::Drift { drift, .. } if drift.changed.len() == 3), "{error}");
}

#[test]
fn a_column_is_known_by_any_of_its_names() {
    let place = Place::new();
    let path = place.file("people.csv", "编号,年龄,出生日期\n1,30,1990-01-01\n");
    let mut options = people(0, 1_000);
    for (column, alias) in options.declared.as_mut().expect("declared").iter_mut().zip(["编号", "岁数", "出生日期"])
    {
        column.aliases.push(alias.to_owned());
    }
    let error = Source::open(&path, options.clone()).expect_err("the age is called otherwise");
    assert!(matches!(&error, SourceError::Drift { drift, .. } if drift.missing == ["age"] && drift.added == ["年龄"]));
    options.header_names.insert("年龄".to_owned(), name("age"));
    assert_eq!(read(&place, &path, options).rows.expect("good"), ["1|30|1990-01-01"]);
    // Without declared columns such a name is how a Chinese header gets one.
    let names = [("编号", "id"), ("年龄", "age"), ("出生日期", "born")];
    let header_names = names.iter().map(|(header, column)| ((*header).to_owned(), name(column))).collect();
    let options = SourceOptions { header_names, ..SourceOptions::default() };
    let source = Source::open(&path, options).expect("good");
    assert_eq!(source.schema().columns[2].name, name("born"));
}

/// A header that two columns of the file have, and one that is another column's own name, fill no column by chance.
#[test]
fn a_column_is_not_taken_for_another() {
    let place = Place::new();
    let twice = place.file("twice.csv", "id,age,born,age\n1,30,1990-01-01,31\n");
    let options = SourceOptions { ignore_extra_columns: true, ..people(0, 1_000) };
    let error = Source::open(&twice, options).expect_err("which age?");
    assert!(matches!(&error, SourceError::BadHeader { position: 4, .. }), "{error}");

    let few = place.file("few.csv", "id,age\n1,30\n");
    let mut options = people(0, 1_000);
    options.declared.as_mut().expect("declared")[2].aliases.push("age".to_owned());
    let error = Source::open(&few, options.clone()).expect_err("nobody was born at an age");
    assert!(matches!(&error, SourceError::Drift { drift, .. } if drift.missing == ["born"]), "{error}");
    // What is named by hand is that column's alone.
    options.header_names.insert("age".to_owned(), name("born"));
    let error = Source::open(&few, options).expect_err("no age is left");
    assert!(matches!(&error, SourceError::Drift { drift, .. } if drift.missing == ["age"]), "{error}");
}
