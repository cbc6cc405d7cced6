//! Snapshots: versions that never change, and damage that is named.

use std::fs;
use std::sync::Arc;

use lingqu_engine::internal::internal_session;
use lingqu_engine::snapshot::{SnapshotError, SnapshotStore};
use lingqu_engine::source::{Source, SourceError, SourceOptions};
use lingqu_engine::{ColumnType, DataFile, Limits, StorageError};

use crate::data::{Place, text_rows};

async fn count(place: &Place, files: &Arc<lingqu_engine::TableFiles>) -> Vec<String> {
    let session = internal_session(&place.engine, &[("t", Arc::clone(files))], Limits::default()).expect("a session");
    let sql = "select count(*), min(__row), max(__row), count(distinct __row) from t";
    text_rows(&session.query(sql).await.expect("an answer"))
}

#[tokio::test]
async fn rows_are_numbered_in_the_order_of_the_source() {
    let place = Place::new();
    let snapshot = place.people().await;
    assert_eq!((snapshot.version, snapshot.rows), (0, 1_000));
    assert_eq!(count(&place, &snapshot.files).await, ["1000|0|999|1000"]);
    let session = internal_session(&place.engine, &[("t", Arc::clone(&snapshot.files))], Limits::default());
    let differing = session.expect("a session").query("select count(*) from t where id <> __row").await;
    assert_eq!(text_rows(&differing.expect("an answer")), ["0"]);
}

#[tokio::test]
async fn versions_stay_as_they_were_written() {
    let place = Place::new();
    let first = place.snapshot("res_1", "a,at\n1,2013-01-01 05:00:00\n2,2013-01-01 06:00:00\n").await;
    let bytes: Vec<Vec<u8>> = contents(&place, first.files.files());
    let second = place.snapshot("res_1", "a,b\nx,1.25\n").await;
    let same = place.snapshot("res_1", "a,b\nx,1.25\n").await;
    assert_eq!((first.version, second.version, same.version), (0, 1, 2));
    assert_eq!(second.digest, same.digest, "equal data has equal digests");
    assert_ne!(first.digest, second.digest);

    let reopened = SnapshotStore::open(&place.directory.path().join("snapshots")).expect("opens");
    for written in [&first, &second, &same] {
        let read = reopened.version("res_1", written.version).await.expect("opens");
        assert_eq!(read.digest, written.digest);
        assert_eq!(read.schema, written.schema);
        assert_eq!(read.rows, written.rows);
        assert_eq!(read.files.files(), written.files.files());
        assert_eq!(read.files.arrow_schema(), written.files.arrow_schema());
        read.files.check_contents().expect("unchanged");
    }
    assert_eq!(first.schema.columns[1].column_type, ColumnType::LocalTimestamp);
    assert_eq!(contents(&place, first.files.files()), bytes);
    assert_eq!(reopened.latest("res_1").await.expect("opens").map(|latest| latest.version), Some(2));
    assert!(reopened.latest("res_2").await.expect("opens").is_none());
    let missing = reopened.version("res_1", 3).await;
    assert!(matches!(missing, Err(SnapshotError::NoSuchVersion { version: 3, .. })));
    assert!(matches!(reopened.version("../x", 0).await, Err(SnapshotError::BadResourceId(_))));
}

fn contents(place: &Place, files: &[DataFile]) -> Vec<Vec<u8>> {
    let directory = place.directory.path().join("snapshots/res_1");
    files.iter().map(|file| fs::read(directory.join(&file.path)).expect("the file is there")).collect()
}

#[tokio::test]
async fn damage_is_named() {
    let place = Place::new();
    let snapshot = place.snapshot("res_1", "a\n1\n2\n").await;
    let path = place.directory.path().join("snapshots/res_1").join(&snapshot.files.files()[0].path);
    let original = fs::read(&path).expect("read");

    let mut changed = original.clone();
    changed[10] ^= 1;
    fs::write(&path, &changed).expect("written");
    let read = place.snapshots.version("res_1", 0).await.expect("the size is right");
    assert!(
        matches!(read.files.check_contents(), Err(StorageError::Changed { path: named }) if named.ends_with(path.file_name().expect("a name")))
    );

    fs::write(&path, &original[..original.len() - 7]).expect("written");
    let error = place.snapshots.version("res_1", 0).await.expect_err("truncated");
    let text = error.to_string();
    assert!(matches!(error, SnapshotError::Storage(StorageError::WrongSize { .. })), "{text}");
    assert!(text.contains("part") || text.contains(".parquet"), "{text}");
    assert!(text.contains("restore it from a backup"), "{text}");

    fs::remove_file(&path).expect("removed");
    let error = place.snapshots.version("res_1", 0).await.expect_err("missing");
    assert!(matches!(error, SnapshotError::Storage(StorageError::Missing { .. })), "{error}");

    fs::write(place.directory.path().join("snapshots/res_1/_delta_log/00000000000000000000.json"), "{\"pro")
        .expect("cut");
    let error = place.snapshots.version("res_1", 0).await.expect_err("a cut log");
    assert!(matches!(&error, SnapshotError::TableLog { resource, .. } if resource == "res_1"), "{error}");
}

#[tokio::test]
async fn a_refused_source_makes_no_version() {
    let place = Place::new();
    place.snapshot("res_1", "a,b\n1,2\n").await;
    let path = place.file("bad.csv", "a,b\n1,2\n3\n");
    let error = Source::open(&path, SourceOptions::default()).expect_err("ragged");
    assert!(matches!(error, SourceError::RaggedRecord { .. }));
    // The same, found while writing.
    let good = Source::open(&place.file("good.csv", "a,b\n1,2\n"), SourceOptions::default()).expect("good");
    let failing = good
        .batches()
        .expect("good")
        .chain(std::iter::once_with(|| Err(SourceError::NoColumns { file: "later.csv".to_owned() })));
    let written = place.snapshots.write("res_1", good.schema(), failing).await;
    assert!(matches!(written, Err(SnapshotError::Source(_))));
    let left: Vec<_> = fs::read_dir(place.directory.path().join("snapshots/res_1")).expect("read").collect();
    assert_eq!(left.len(), 2, "the log and the first version's file, and nothing unfinished: {left:?}");
    assert_eq!(place.snapshots.latest("res_1").await.expect("opens").map(|latest| latest.version), Some(0));
}

#[tokio::test]
async fn an_empty_source_is_an_empty_version() {
    let place = Place::new();
    let snapshot = place.snapshot("res_1", "a,b\n").await;
    assert_eq!(snapshot.rows, 0);
    assert_eq!(count(&place, &snapshot.files).await, ["0|||0"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_cant_be_made_is_one_clear_sentence() {
    let place = Place::new();
    let file = place.file("occupied", "x");
    let error = SnapshotStore::open(&file.join("snapshots")).expect_err("a file is no directory");
    assert!(error.to_string().contains("can't be made"), "{error}");
}
