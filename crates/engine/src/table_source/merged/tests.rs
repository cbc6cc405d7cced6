//! Merging compared with a model, and the sort of a version that is not in order.

use std::collections::BTreeMap;

use arrow::array::{AsArray, Int64Array, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;

use super::*;
use crate::columns::{ColumnType, ColumnView};
use crate::files::{DataFileWriter, TableFiles};
use crate::source::{FoundKind, REJECTED_CELLS_MAX};

fn name(text: &str) -> ColumnName {
    ColumnName::new(text).unwrap()
}

fn schema() -> SchemaView {
    let column = |text: &str, column_type| ColumnView { name: name(text), column_type };
    SchemaView { columns: vec![column("note", ColumnType::Text), column("id", ColumnType::Integer)] }
}

/// Rows as note and id.
type Row = (String, i64);

fn batch(rows: &[Row]) -> RecordBatch {
    let notes: ArrayRef = Arc::new(StringArray::from_iter_values(rows.iter().map(|(note, _)| note)));
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(rows.iter().map(|(_, id)| *id)));
    RecordBatch::try_new(schema().arrow(), vec![notes, ids]).unwrap()
}

/// Files of some rows as a version holds them, with the hidden number of each row behind its columns.
fn files(directory: &std::path::Path, parts: &[Vec<Row>]) -> Arc<TableFiles> {
    let mut fields = schema().arrow().fields().to_vec();
    fields.push(Arc::new(crate::columns::row_field()));
    let stored = Arc::new(arrow::datatypes::Schema::new(fields));
    let mut files = Vec::new();
    for (place, rows) in parts.iter().enumerate() {
        let mut writer = DataFileWriter::create(directory, &format!("p{place:05}"), Arc::clone(&stored)).unwrap();
        for rows in rows.chunks(1_000) {
            let mut columns = batch(rows).columns().to_vec();
            columns.push(Arc::new(Int64Array::from_iter_values(0..rows.len() as i64)));
            writer.write(&RecordBatch::try_new(Arc::clone(&stored), columns).unwrap()).unwrap();
        }
        files.push(writer.finish().unwrap());
    }
    Arc::new(TableFiles::new(directory.to_owned(), files, stored))
}

fn stream(batches: Vec<RecordBatch>) -> BatchStream {
    Box::pin(futures::stream::iter(batches.into_iter().map(|rows| Ok(TableBatch::of(rows)))))
}

async fn all(mut stream: BatchStream) -> Result<Vec<Row>, SourceError> {
    let mut rows = Vec::new();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        let (notes, ids) =
            (batch.rows().column(0).as_string::<i32>(), batch.rows().column(1).as_primitive::<Int64Type>());
        rows.extend((0..batch.rows().num_rows()).map(|row| (notes.value(row).to_owned(), ids.value(row))));
    }
    Ok(rows)
}

fn merged(key: &[&str], older: Option<Older>) -> Merged {
    let key: Vec<ColumnName> = key.iter().map(|part| name(part)).collect();
    Merged::new("t", &schema(), &key, older).unwrap()
}

fn rows_of(ids: impl IntoIterator<Item = i64>, note: &str) -> Vec<Row> {
    ids.into_iter().map(|id| (format!("{note} {id}"), id)).collect()
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).build().unwrap().block_on(work)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// New rows take the place of older ones with their key, everything is in order, and how rows were cut into batches and files
    /// makes no difference.
    #[test]
    fn merging_is_what_a_map_does(
        new in proptest::collection::btree_set(0_i64..60, 0..40),
        old in proptest::collection::btree_set(0_i64..60, 0..40),
        cut in 1_usize..7,
        part in 1_usize..20,
    ) {
        let (new, old) = (rows_of(new, "new"), rows_of(old, "old"));
        let mut model: BTreeMap<i64, Row> = old.iter().map(|row| (row.1, row.clone())).collect();
        model.extend(new.iter().map(|row| (row.1, row.clone())));
        let directory = tempfile::tempdir().unwrap();
        let parts: Vec<Vec<Row>> = old.chunks(part).map(<[Row]>::to_vec).collect();
        let older = Older::new(files(directory.path(), &parts), true);
        let batches = new.chunks(cut).map(batch).collect();
        let found = block_on(all(merged(&["id"], Some(older)).stream(stream(batches)))).unwrap();
        prop_assert_eq!(found, model.into_values().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_new_rows_stand_before_the_older_ones() {
    let directory = tempfile::tempdir().unwrap();
    let older = Older::new(files(directory.path(), &[rows_of([5, 3], "old"), rows_of([9], "old")]), false);
    let found = all(merged(&[], Some(older)).stream(stream(vec![batch(&rows_of([3, 1], "new"))]))).await.unwrap();
    assert_eq!(found.iter().map(|(_, id)| *id).collect::<Vec<_>>(), [3, 1, 5, 3, 9]);
}

/// A version of an earlier Lingqu is not in order. It is sorted on disk, with far less memory than it takes, and no trace of the
/// sort stays.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_version_out_of_order_is_sorted_within_bounded_memory() {
    const ROWS: i64 = 40_000;
    const MEMORY_BYTES: usize = 6 << 20;
    let directory = tempfile::tempdir().unwrap();
    // Every id once, none where it belongs, 12 MB of notes.
    let ids = (0..ROWS).map(|row| (row * 7_919) % ROWS);
    let long = |id: i64| (format!("{}{id}", "x".repeat(300)), id);
    let rows: Vec<Row> = ids.map(long).collect();
    let parts: Vec<Vec<Row>> = rows.chunks(15_000).map(<[Row]>::to_vec).collect();
    std::fs::create_dir(directory.path().join(".sorting")).unwrap();
    std::fs::write(directory.path().join(".sorting/left"), "left").unwrap();
    let older = Older::new(files(directory.path(), &parts), false).with_sort_memory_bytes(MEMORY_BYTES);
    let new = batch(&[("new".to_owned(), 17), ("new".to_owned(), ROWS)]);
    let found = all(merged(&["id"], Some(older)).stream(stream(vec![new]))).await.unwrap();
    let expected: Vec<Row> =
        (0..=ROWS).map(|id| if id == 17 || id == ROWS { ("new".to_owned(), id) } else { long(id) }).collect();
    assert!(found == expected, "{} rows", found.len());
    assert!(!directory.path().join(".sorting").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_is_none_is_refused_and_so_is_an_order_that_is_another() {
    let (twice, falling) = (rows_of([1, 2, 2], "new"), rows_of([1, 3, 2], "new"));
    let together = |rows: &[Row]| vec![batch(rows)];
    let apart = |rows: &[Row]| rows.chunks(1).map(batch).collect::<Vec<_>>();
    for (rows, expected) in [(&twice, "do not tell rows apart"), (&falling, "sorts the columns of the key otherwise")] {
        for batches in [together(rows), apart(rows)] {
            let error = all(merged(&["id"], None).stream(stream(batches))).await.unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
    let directory = tempfile::tempdir().unwrap();
    let older = Older::new(files(directory.path(), &[falling]), true);
    let error = all(merged(&["id"], Some(older)).stream(stream(vec![]))).await.unwrap_err().to_string();
    assert!(error.contains("not in the order of the key"), "{error}");
}

/// What was superseded is no more, however many cells of its new state do not fit; of a row whose key does not fit nobody knows what it
/// supersedes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_row_goes_whose_new_state_does_not_fit() {
    let bad = |column: &str| {
        let (file, column, expected) = ("t".to_owned(), name(column), ColumnType::Text);
        vec![SourceError::BadValue { file, line: 1, column, expected, found_kind: FoundKind::Number, found_length: 0 }]
    };
    let in_all_that_are_told = || (0..REJECTED_CELLS_MAX).flat_map(|_| bad("note")).collect::<Vec<_>>();
    let bad_column = BTreeMap::from([(2, "note"), (4, "id")]);
    let new = rows_of([1, 2, 4, 5, 7], "new");
    for cut in 1..=new.len() {
        let directory = tempfile::tempdir().unwrap();
        let older = Older::new(files(directory.path(), &[rows_of(0..3, "old"), rows_of(3..9, "old")]), true);
        let batches = new.chunks(cut).map(|rows| {
            let places = rows.iter().enumerate();
            let errors =
                |id: &i64| if *id == 7 { Some(in_all_that_are_told()) } else { Some(bad(bad_column.get(id)?)) };
            let known = places.filter_map(|(place, (_, id))| Some((place, errors(id)?)));
            Ok(TableBatch::sifted(&batch(rows), known.collect()))
        });
        let batches: Vec<Result<TableBatch, SourceError>> = batches.collect();
        let found = all(merged(&["id"], Some(older)).stream(Box::pin(futures::stream::iter(batches)))).await.unwrap();
        let told: Vec<String> = found.into_iter().map(|(note, _)| note).collect();
        assert_eq!(told, ["old 0", "new 1", "old 3", "old 4", "new 5", "old 6", "old 8"], "{cut}");
    }
}

#[tokio::test]
async fn rows_that_do_not_fit_go_through_with_what_is_wrong() {
    let bad = vec![vec![SourceError::NoColumns { file: "t".to_owned() }]];
    let new = TableBatch::bad_alone(batch(&rows_of([1], "new")), bad);
    let mut stream = merged(&["id"], None).stream(Box::pin(futures::stream::iter([Ok(new)])));
    let (mut rows, mut told) = (0, 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.unwrap();
        rows += batch.rows().num_rows();
        told += batch.bad().len();
    }
    assert_eq!((rows, told), (1, 1));
}
