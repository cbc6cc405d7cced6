//! Delta and Iceberg tables as sources: tables that other programs wrote (`fixtures/tables/PROVENANCE.md`).

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arrow::array::{Array, AsArray, Int64Array, RecordBatch};
use arrow::datatypes::{DataType, Date32Type, Decimal128Type, Field, Int64Type, Schema, TimestampMicrosecondType};
use futures::StreamExt;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::snapshot::{Ingest, IngestControl, SnapshotError, SnapshotStore};
use lingqu_engine::source::{FoundKind, Reject, RejectLimit, RejectReason, SourceError, SourceIdentity, TableSource};
use lingqu_engine::table_source::{Places, TableReference, Wanted, open};
use lingqu_engine::{ColumnType, ColumnView, SchemaView};
use parquet::arrow::ArrowWriter;

const DECIMAL: ColumnType = ColumnType::Decimal { precision: 38, scale: 6 };
const PEOPLE: [(&str, ColumnType); 8] = [
    ("id", ColumnType::Integer),
    ("name", ColumnType::Text),
    ("city", ColumnType::Text),
    ("amount", DECIMAL),
    ("born", ColumnType::Date),
    ("seen", ColumnType::Timestamp),
    ("score", ColumnType::Float),
    ("active", ColumnType::Boolean),
];

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/engine/fixtures/tables")
}

fn view(columns: &[(&str, ColumnType)]) -> SchemaView {
    let columns = columns
        .iter()
        .map(|(name, column_type)| ColumnView { name: ColumnName::new(*name).unwrap(), column_type: *column_type });
    SchemaView { columns: columns.collect() }
}

async fn opened(
    folder: &Path,
    reference: &str,
    columns: &[(&str, ColumnType)],
    ignores_added: bool,
) -> Result<Box<dyn TableSource>, SourceError> {
    let reference: TableReference = serde_json::from_str(reference).unwrap();
    let places = Places { folders: [("lake".parse().unwrap(), folder.to_owned())].into(), ..Places::default() };
    let schema = view(columns);
    open(&reference, &places, Wanted { schema: &schema, ignores_added, key: &[] }, None).await
}

async fn read(source: Box<dyn TableSource>) -> Result<Vec<RecordBatch>, SourceError> {
    let schema = source.schema().arrow();
    let mut batches = Vec::new();
    let mut stream = source.into_batches();
    while let Some(batch) = stream.next().await {
        let batch = batch?;
        assert!(batch.bad().is_empty(), "{:?}", batch.bad());
        assert_eq!(batch.rows().schema(), schema);
        batches.push(batch.rows().clone());
    }
    Ok(batches)
}

fn ids(batches: &[RecordBatch]) -> Vec<i64> {
    let column =
        |batch: &RecordBatch| batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().values().to_vec();
    batches.iter().flat_map(column).collect()
}

fn sorted(mut values: Vec<i64>) -> Vec<i64> {
    values.sort_unstable();
    values
}

fn delta(directory: &str, version: Option<u64>) -> String {
    let version = version.map_or_else(String::new, |version| format!(r#","version":{version}"#));
    format!(r#"{{"format":"delta","connection":"lake","directory":"{directory}"{version}}}"#)
}

fn iceberg(directory: &str, snapshot: Option<&str>) -> String {
    let snapshot = snapshot.map_or_else(String::new, |snapshot| format!(r#","snapshot":{snapshot}"#));
    format!(r#"{{"format":"iceberg","connection":"lake","directory":"{directory}"{snapshot}}}"#)
}

fn snapshot_id(table: &str, name: &str) -> String {
    let text = std::fs::read_to_string(fixtures().join("iceberg/snapshots.json")).unwrap();
    let ids: serde_json::Value = serde_json::from_str(&text).unwrap();
    ids[table][name].to_string()
}

/// Every value of the rows as the generator made them.
fn assert_people(batches: &[RecordBatch]) {
    for batch in batches {
        for row in 0..batch.num_rows() {
            let column = |name: &str| batch.column_by_name(name).unwrap();
            let id = column("id").as_primitive::<Int64Type>().value(row);
            let name = column("name").as_string::<i32>();
            assert_eq!(name.is_null(row), id % 4 == 0, "row {id}");
            if !name.is_null(row) {
                assert_eq!(name.value(row), format!("人员{id}"));
            }
            assert_eq!(column("city").as_string::<i32>().value(row), if id % 2 == 1 { "南宁" } else { "桂林" });
            let amount = column("amount").as_primitive::<Decimal128Type>().value(row);
            assert_eq!(amount, i128::from(id * 100 + 25) * 10_000);
            assert_eq!(i64::from(column("born").as_primitive::<Date32Type>().value(row)), 7_305 + id);
            let seen = column("seen").as_primitive::<TimestampMicrosecondType>().value(row);
            assert_eq!(seen, 1_714_550_400_000_000 + id * 1_000_001);
            assert_eq!(column("active").as_boolean().value(row), id % 3 == 0);
        }
    }
}

#[tokio::test]
async fn a_delta_table_is_read_at_its_newest_and_at_earlier_versions() {
    let folder = fixtures();
    for (version, expected) in
        [(None, vec![1, 2, 4, 5, 6, 7, 8]), (Some(1), vec![1, 2, 4, 5, 6]), (Some(0), vec![1, 2, 3, 4, 5, 6])]
    {
        let source = opened(&folder, &delta("delta/people", version), &PEOPLE, false).await.unwrap();
        assert_eq!(source.rows_hint(), Some(expected.len() as u64));
        let batches = read(source).await.unwrap();
        assert_eq!(sorted(ids(&batches)), expected, "version {version:?}");
        assert_people(&batches);
    }
    let error = opened(&folder, &delta("delta/people", Some(9)), &PEOPLE, false).await.unwrap_err();
    assert!(error.to_string().contains("no version 9"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_a_deletion_vector_deletes_are_not_read() {
    let folder = fixtures();
    let source = opened(&folder, &delta("delta/vectors", None), &PEOPLE, false).await.unwrap();
    assert_eq!(source.rows_hint(), None, "how many rows a vector deletes is not known before it is read");
    let batches = read(source).await.unwrap();
    assert_eq!(ids(&batches), [1, 3, 4]);
    assert_people(&batches);
    let before = opened(&folder, &delta("delta/vectors", Some(0)), &PEOPLE, false).await.unwrap();
    assert_eq!(ids(&read(before).await.unwrap()), [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn the_same_version_has_the_same_identity_and_the_same_rows_in_order() {
    let folder = fixtures();
    let open = |reference: String| {
        let folder = folder.clone();
        async move { opened(&folder, &reference, &PEOPLE, false).await.unwrap() }
    };
    for (one, other) in [
        (delta("delta/people", None), delta("delta/people", Some(1))),
        (delta("delta/vectors", Some(0)), delta("delta/vectors", Some(1))),
        (iceberg("iceberg/deletes", None), iceberg("iceberg/deletes", Some(&snapshot_id("deletes", "before")))),
    ] {
        let (first, second) = (open(one.clone()).await, open(one.clone()).await);
        assert!(matches!(first.identity(), SourceIdentity::Fixed(_)));
        assert_eq!(first.identity(), second.identity());
        assert_ne!(first.identity(), open(other).await.identity());
        let rows = ids(&read(first).await.unwrap());
        assert_eq!(ids(&read(second).await.unwrap()), rows);
    }
}

/// A column is dropped and another one of its name added: no file changes, and the rows do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn columns_that_are_others_under_the_same_names_are_another_version() {
    let (_directory, folder) = given("delta/people");
    let log = folder.join("t/_delta_log");
    let first = std::fs::read_to_string(log.join("00000000000000000000.json")).unwrap();
    let actions = first.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut metadata = actions.into_iter().find(|action| action.get("metaData").is_some()).unwrap();
    let plain: serde_json::Value =
        serde_json::from_str(metadata["metaData"]["schemaString"].as_str().unwrap()).unwrap();
    let mut commit = |version: usize, score: (u64, &str)| {
        let mut schema = plain.clone();
        for (place, field) in schema["fields"].as_array_mut().unwrap().iter_mut().enumerate() {
            let own = (place as u64 + 1, field["name"].as_str().unwrap().to_owned());
            let (id, name) = if own.1 == "score" { (score.0, score.1.to_owned()) } else { own };
            field["metadata"] =
                serde_json::json!({ "delta.columnMapping.id": id, "delta.columnMapping.physicalName": name });
        }
        metadata["metaData"]["schemaString"] = schema.to_string().into();
        metadata["metaData"]["configuration"] =
            serde_json::json!({ "delta.columnMapping.mode": "name", "delta.columnMapping.maxColumnId": "9" });
        let protocol = r#"{"protocol":{"minReaderVersion":2,"minWriterVersion":5}}"#;
        std::fs::write(log.join(format!("{version:020}.json")), format!("{protocol}\n{metadata}\n")).unwrap();
    };
    commit(3, (7, "score"));
    commit(4, (9, "another"));
    let open = async |version| opened(&folder, &delta("t", version), &PEOPLE, false).await.unwrap();
    let (before, after) = (open(Some(3)).await, open(Some(4)).await);
    assert_eq!(before.identity(), open(Some(3)).await.identity());
    assert_ne!(before.identity(), after.identity());
    let scores = |batches: &[RecordBatch]| -> usize {
        batches.iter().map(|batch| batch.num_rows() - batch.column_by_name("score").unwrap().null_count()).sum()
    };
    assert_eq!((scores(&read(before).await.unwrap()), scores(&read(after).await.unwrap())), (7, 0));
}

#[tokio::test]
async fn an_unknown_reader_feature_is_refused_by_name_and_never_read_past() {
    let directory = tempfile::tempdir().unwrap();
    copy(&fixtures().join("delta/people"), &directory.path().join("people"));
    let commit = r#"{"protocol":{"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["rowsTurnedAround"],"writerFeatures":["rowsTurnedAround"]}}"#;
    std::fs::write(directory.path().join("people/_delta_log/00000000000000000003.json"), commit).unwrap();
    let error = opened(directory.path(), &delta("people", None), &PEOPLE, false).await.unwrap_err();
    assert!(error.to_string().contains("rowsTurnedAround"), "{error}");
}

#[tokio::test]
async fn a_table_that_names_files_of_others_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().join("given");
    copy(&fixtures().join("delta/vectors"), &folder.join("t"));
    // The data of somebody else, next to the folder.
    copy(&fixtures().join("delta/people"), &directory.path().join("secret"));
    let log = folder.join("t/_delta_log/00000000000000000000.json");
    let text = std::fs::read_to_string(&log).unwrap();
    let data =
        std::fs::read_dir(folder.join("t")).unwrap().flatten().map(|entry| entry.file_name().into_string().unwrap());
    let data = data.into_iter().find(|name| name.ends_with(".parquet")).unwrap();
    let secret = directory.path().join("secret.parquet");
    std::fs::copy(folder.join("t").join(&data), &secret).unwrap();
    let url = format!("file://{}", secret.display());
    std::fs::write(&log, text.replace(&data, &url)).unwrap();
    let error = opened(&folder, &delta("t", Some(0)), &PEOPLE, false).await.unwrap_err();
    assert!(error.to_string().contains("outside of the connection's folder"), "{error}");
}

/// A table of the folder `given`, beside which lie a table and a file of somebody else.
fn given(fixture: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let folder = directory.path().canonicalize().unwrap().join("given");
    copy(&fixtures().join(fixture), &folder.join("t"));
    copy(&fixtures().join("delta/people"), &directory.path().join("secret"));
    std::fs::write(directory.path().join("secret.parquet"), b"PAR1").unwrap();
    (directory, folder)
}

fn data_files(table: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(table).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            found.extend(data_files(&entry.path()));
        } else if entry.file_name().to_string_lossy().ends_with(".parquet") {
            found.push(entry.path());
        }
    }
    found.sort();
    found
}

fn pipe(path: &Path) {
    assert!(std::process::Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// What comes of opening and reading a table; a pipe that is opened would keep it for ever.
async fn refused(folder: &Path, reference: &str) -> String {
    let read = async {
        let source = opened(folder, reference, &PEOPLE, true).await?;
        read(source).await
    };
    let done =
        tokio::time::timeout(std::time::Duration::from_secs(50), read).await.expect("it does not wait for a pipe");
    done.expect_err("it is refused").to_string()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_leads_out_of_the_folder_is_refused() {
    const OUTSIDE: &str = "outside of the connection's folder";
    let first = "t/_delta_log/00000000000000000000.json";
    // A commit of the log is a link, or the log as a whole.
    let (directory, folder) = given("delta/people");
    let log = directory.path().join("secret/_delta_log");
    std::fs::remove_file(folder.join(first)).unwrap();
    std::os::unix::fs::symlink(log.join("00000000000000000000.json"), folder.join(first)).unwrap();
    let error = refused(&folder, &delta("t", None)).await;
    assert!(error.contains(OUTSIDE), "{error}");
    std::fs::remove_dir_all(folder.join("t/_delta_log")).unwrap();
    std::os::unix::fs::symlink(&log, folder.join("t/_delta_log")).unwrap();
    let error = refused(&folder, &delta("t", None)).await;
    assert!(error.contains(OUTSIDE), "{error}");
    // A data file by a path that leads out, however it is written, and one that is a link.
    for path in ["../../secret.parquet", "%2e%2e/%2e%2e/secret.parquet", "..%2F..%2Fsecret.parquet", "link.parquet"] {
        let (directory, folder) = given("delta/vectors");
        let text = std::fs::read_to_string(folder.join(first)).unwrap();
        let data = data_files(&folder.join("t")).into_iter().find_map(|file| {
            let name = file.file_name().unwrap().to_string_lossy().into_owned();
            text.contains(&name).then_some(name)
        });
        std::fs::write(folder.join(first), text.replace(&data.unwrap(), path)).unwrap();
        std::os::unix::fs::symlink(directory.path().join("secret.parquet"), folder.join("t/link.parquet")).unwrap();
        let error = refused(&folder, &delta("t", Some(0))).await;
        assert!(error.contains(OUTSIDE), "{path}: {error}");
    }
}

/// The kernel fetches an address that looks like a signed link past every store, so none may reach it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_table_makes_the_node_call_a_server() {
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    server.set_nonblocking(true).unwrap();
    let link = format!("http://{}/x?X-Amz-Signature=1&y=", server.local_addr().unwrap());
    let commit = "t/_delta_log/00000000000000000001.json";
    let text = std::fs::read_to_string(fixtures().join("delta").join(commit.replace("t/", "vectors/"))).unwrap();
    let inline = "\"storageType\": \"i\", \"pathOrInlineDv\": \"";
    let (before, after) = text.split_once(inline).expect("the table has a deletion vector");
    let (_, after) = after.split_once('"').unwrap();
    // As it stands, and with a quote in it (escaped in the log, and where it is shown).
    for prefix in [link.clone(), link.replace("x?", "ab\\\"?")] {
        let (_directory, folder) = given("delta/vectors");
        let stored =
            format!("\"storageType\": \"u\", \"offset\": 1, \"pathOrInlineDv\": \"{prefix}vBn[lx{{q8@P<9BNH/isA\"");
        std::fs::write(folder.join(commit), format!("{before}{stored}{after}")).unwrap();
        let error = refused(&folder, &delta("t", None)).await;
        assert!(error.contains("a deletion vector outside of the table"), "{error}");
    }
    let (_directory, folder) = given("delta/people");
    let checkpoint = "00000000000000000002.checkpoint.80a083e8-7026-4e79-81be-64bd76c43a11.json";
    let lines = format!(
        "{{\"checkpointMetadata\":{{\"version\":2}}}}\n{{\"sidecar\":{{\"path\":\"{link}\",\"sizeInBytes\":1,\"modificationTime\":0}}}}\n"
    );
    std::fs::write(folder.join("t/_delta_log").join(checkpoint), lines).unwrap();
    let error = refused(&folder, &delta("t", None)).await;
    assert!(error.contains("a checkpoint names a file outside of the table"), "{error}");
    assert!(server.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock), "nobody called");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pipe_in_place_of_a_file_is_refused() {
    let (_directory, folder) = given("delta/people");
    // What is no file is no commit either.
    pipe(&folder.join("t/_delta_log/00000000000000000003.json"));
    let reading = async { read(opened(&folder, &delta("t", None), &PEOPLE, true).await?).await };
    let batches = tokio::time::timeout(std::time::Duration::from_secs(50), reading).await.expect("it does not wait");
    assert_eq!(sorted(ids(&batches.expect("the table without it"))), [1, 2, 4, 5, 6, 7, 8]);
    let (_directory, folder) = given("delta/people");
    let file = data_files(&folder.join("t")).remove(0);
    std::fs::remove_file(&file).unwrap();
    pipe(&file);
    // One of the versions needs the file.
    for version in [Some(0), None] {
        if let Ok(source) = opened(&folder, &delta("t", version), &PEOPLE, true).await {
            let reading = tokio::time::timeout(std::time::Duration::from_secs(50), read(source));
            drop(reading.await.expect("it does not wait for a pipe"));
        }
    }
    let (_directory, folder) = given("iceberg/people");
    for file in data_files(&folder.join("t")) {
        std::fs::remove_file(&file).unwrap();
        pipe(&file);
    }
    let error = refused(&folder, &iceberg("t", None)).await;
    assert!(error.contains("no regular file") || error.contains("can't be read"), "{error}");
    for entry in std::fs::read_dir(folder.join("t/metadata")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "json") {
            std::fs::remove_file(entry.path()).unwrap();
            pipe(&entry.path());
        }
    }
    let error = refused(&folder, &iceberg("t", None)).await;
    assert!(error.contains("no regular file"), "{error}");
}

#[tokio::test]
async fn an_iceberg_table_is_read_at_its_snapshots() {
    let folder = fixtures();
    let source = opened(&folder, &iceberg("iceberg/people", None), &PEOPLE, true).await.unwrap();
    let batches = read(source).await.unwrap();
    assert_eq!(sorted(ids(&batches)), [1, 2, 3, 4, 5, 6, 7]);
    assert_people(&batches);
    let mut with_note = PEOPLE.to_vec();
    with_note.push(("note", ColumnType::Text));
    let source = opened(&folder, &iceberg("iceberg/people", None), &with_note, false).await.unwrap();
    for batch in read(source).await.unwrap() {
        for row in 0..batch.num_rows() {
            let id = batch.column_by_name("id").unwrap().as_primitive::<Int64Type>().value(row);
            let note = batch.column_by_name("note").unwrap();
            assert_eq!(note.is_null(row), id != 7, "rows from before the column have nothing in it");
        }
    }
    let first = snapshot_id("people", "first");
    let source = opened(&folder, &iceberg("iceberg/people", Some(&first)), &PEOPLE, false).await.unwrap();
    assert_eq!(sorted(ids(&read(source).await.unwrap())), [1, 2, 3, 4, 5, 6]);
    let error = opened(&folder, &iceberg("iceberg/people", Some("1")), &PEOPLE, false).await.unwrap_err();
    assert!(error.to_string().contains("no snapshot 1"), "{error}");
}

#[tokio::test]
async fn rows_that_delete_files_of_iceberg_delete_are_not_read() {
    let folder = fixtures();
    let source = opened(&folder, &iceberg("iceberg/deletes", None), &PEOPLE, false).await.unwrap();
    let batches = read(source).await.unwrap();
    assert_eq!(ids(&batches), [2, 4, 6], "1 and 5 by position, 3 by its id");
    assert_people(&batches);
    let before = snapshot_id("deletes", "before");
    let source = opened(&folder, &iceberg("iceberg/deletes", Some(&before)), &PEOPLE, false).await.unwrap();
    assert_eq!(ids(&read(source).await.unwrap()), [1, 2, 3, 4, 5, 6]);
}

/// The library keeps no row of which it can't say that its value is another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_lack_the_value_by_which_others_are_deleted_are_not_lost() {
    let (_directory, folder) = given("iceberg/deletes");
    let data = data_files(&folder.join("t")).into_iter().find(|file| {
        let name = file.file_name().unwrap().to_string_lossy();
        name != "equality.parquet" && name != "positions.parquet"
    });
    let field = |name: &str, id: &str| {
        let told = [("PARQUET:field_id".to_owned(), id.to_owned())].into();
        Field::new(name, DataType::Int64, true).with_metadata(told)
    };
    let write = |name: &str, id: &str, values: Vec<Option<i64>>| {
        let schema = Arc::new(Schema::new(vec![field(name, id)]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int64Array::from(values))]).unwrap();
        let file = std::fs::File::create(data.as_ref().unwrap()).unwrap();
        let mut writer = ArrowWriter::try_new(file, schema, None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
    };
    // A row without a number; a file from before there were numbers.
    for (name, id, values) in [("id", "1", vec![Some(1), None]), ("age", "9", vec![Some(1)])] {
        write(name, id, values);
        let error = refused(&folder, &iceberg("t", None)).await;
        assert!(error.contains("column `id`") && error.contains("compact the table"), "{error}");
    }
}

/// What is done to the fields of a schema.
type Change<'a> = &'a dyn Fn(&mut Vec<serde_json::Value>);

/// Without a new snapshot the table's data is that of its old columns.
#[tokio::test]
async fn an_iceberg_table_whose_columns_changed_since_its_snapshot_is_refused() {
    let read_at = async |change: Change<'_>, snapshot: Option<&str>| {
        let (_directory, folder) = given("iceberg/people");
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(folder.join("t/metadata")).unwrap().flatten().map(|entry| entry.path()).collect();
        entries.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
        entries.sort();
        let newest = entries.last().unwrap();
        let mut metadata: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(newest).unwrap()).unwrap();
        let mut schema = metadata["schemas"][1].clone();
        schema["schema-id"] = 2.into();
        change(schema["fields"].as_array_mut().unwrap());
        metadata["schemas"].as_array_mut().unwrap().push(schema);
        metadata["current-schema-id"] = 2.into();
        metadata["last-column-id"] = 10.into();
        std::fs::write(newest, metadata.to_string()).unwrap();
        let source =
            opened(&folder, &iceberg("t", snapshot), &PEOPLE, true).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(sorted(ids(&read(source).await.unwrap())))
    };
    let another = serde_json::json!({ "id": 10, "name": "note", "required": false, "type": "string" });
    let second = snapshot_id("people", "second");
    let changes: [Change<'_>; 3] = [&|fields| fields.truncate(8), &|fields| fields[8] = another.clone(), &|fields| {
        fields[8]["name"] = "remark".into()
    }];
    for change in changes {
        let error = read_at(change, None).await.unwrap_err();
        assert!(error.contains("dropped or renamed since its newest snapshot"), "{error}");
        assert_eq!(read_at(change, Some(&second)).await.unwrap(), [1, 2, 3, 4, 5, 6, 7]);
    }
    let mut more = another.clone();
    more["name"] = "remark".into();
    let added = |fields: &mut Vec<serde_json::Value>| fields.push(more.clone());
    assert_eq!(read_at(&added, None).await.unwrap(), [1, 2, 3, 4, 5, 6, 7]);
}

#[tokio::test]
async fn an_iceberg_table_of_version_3_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    copy(&fixtures().join("iceberg/people"), &directory.path().join("t"));
    for entry in std::fs::read_dir(directory.path().join("t/metadata")).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "json") {
            let mut metadata: serde_json::Value =
                serde_json::from_str(&std::fs::read_to_string(entry.path()).unwrap()).unwrap();
            metadata["format-version"] = 3.into();
            metadata["next-row-id"] = 0.into();
            std::fs::write(entry.path(), metadata.to_string()).unwrap();
        }
    }
    let error = opened(directory.path(), &iceberg("t", None), &PEOPLE, true).await.unwrap_err();
    assert!(error.to_string().contains("version 3"), "{error}");
}

#[tokio::test]
async fn all_differences_of_columns_are_told_at_once() {
    let wanted = [("id", ColumnType::Text), ("score", ColumnType::Date), ("missing", ColumnType::Text)];
    for reference in [delta("delta/people", None), iceberg("iceberg/deletes", None)] {
        let error = opened(&fixtures(), &reference, &wanted, true).await.unwrap_err();
        let SourceError::Drift { drift, .. } = error else { panic!("{error}") };
        assert_eq!(drift.missing, ["missing"]);
        assert_eq!(drift.changed.iter().map(|change| change.column.as_str()).collect::<Vec<_>>(), ["score"]);
        assert!(drift.added.contains(&"city".to_owned()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_differs_without_harm_is_told() {
    let mut turned = PEOPLE.to_vec();
    turned.retain(|(name, _)| *name != "city");
    turned.reverse();
    for reference in [delta("delta/people", None), iceberg("iceberg/deletes", None)] {
        let drift = opened(&fixtures(), &reference, &PEOPLE, true).await.unwrap().drift();
        assert!(drift.missing.is_empty() && drift.changed.is_empty() && !drift.reordered, "{drift}");
        let drift = opened(&fixtures(), &reference, &turned, true).await.unwrap().drift();
        assert!(drift.added.contains(&"city".to_owned()) && drift.reordered, "{drift}");
    }
}

/// What a job over a table tells, and what is left of the table.
async fn taken(
    reference: &str,
    limit: RejectLimit,
) -> (Result<lingqu_engine::snapshot::Snapshot, SnapshotError>, Vec<Reject>, String) {
    // Half points: of those of odd rows a whole number would not tell all.
    let mut whole = PEOPLE.to_vec();
    whole[6].1 = ColumnType::Decimal { precision: 38, scale: 0 };
    let source = opened(&fixtures(), reference, &whole, true).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let rejects = directory.path().join("rejects.ndjson");
    let control = IngestControl { rejects: Some(rejects.clone()), ..IngestControl::default() };
    let store = SnapshotStore::open(directory.path()).unwrap();
    let made = store.ingest("res_1", "ing_1", Ingest::Table(source, limit), control.clone()).await;
    let text = std::fs::read_to_string(&rejects).unwrap();
    let told: Vec<Reject> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(control.progress.rejected(), told.len() as u64);
    assert_eq!(control.progress.expected(), 6);
    (made, told, text)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_do_not_fit_are_left_out_and_told() {
    for (reference, read, odd) in [
        (delta("delta/people", Some(0)), 6, 3),
        (iceberg("iceberg/people", Some(&snapshot_id("people", "first"))), 6, 3),
    ] {
        let limit = |rows_max, per_mille_max| RejectLimit { rows_max, per_mille_max };
        let (made, told, text) = taken(&reference, limit(odd, 1_000)).await;
        assert_eq!(made.unwrap().rows, read - odd);
        for reject in &told {
            assert_eq!(reject.column.as_deref(), Some("score"));
            assert_eq!((reject.reason, reject.found), (RejectReason::WrongType, Some(FoundKind::Number)));
            assert!((1..=read).contains(&reject.line));
        }
        assert_eq!(told.len() as u64, odd);
        assert!(!text.contains("0.5") && !text.contains("人员"), "{text}");
        // One more than allowed, none allowed, and a share that is known at the end.
        let (few, told, _) = taken(&reference, limit(odd - 1, 1_000)).await;
        let error = few.unwrap_err();
        assert!(matches!(error, SnapshotError::Source(SourceError::TooManyRejects { rejected: 3, .. })), "{error}");
        assert_eq!(told.len() as u64, odd);
        let (none, told, _) = taken(&reference, RejectLimit::default()).await;
        assert!(matches!(none, Err(SnapshotError::Source(SourceError::BadValue { .. }))));
        assert_eq!(told.len(), 1);
        assert!(taken(&reference, limit(10, 500)).await.0.is_ok());
        let (share, _, _) = taken(&reference, limit(10, 499)).await;
        assert!(matches!(share, Err(SnapshotError::Source(SourceError::TooManyRejects { rejected: 3, read: 6, .. }))));
    }
}

const MANY: [(&str, ColumnType); 6] = [
    ("trip_id", ColumnType::Integer),
    ("line", ColumnType::Text),
    ("day", ColumnType::Date),
    ("delay", ColumnType::Integer),
    ("vehicle", ColumnType::Text),
    ("note", ColumnType::Text),
];
const MANY_ROWS: u64 = 2_300_000;
/// Rows of a part here: 64 batches.
const MANY_PART_ROWS: u64 = 524_288;

/// The files of a folder that begin with a name, with when they were written.
fn written(folder: &Path, beginning: &str) -> Vec<(String, SystemTime)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry));
    let mut found: Vec<_> = named
        .filter(|(name, _)| name.starts_with(beginning))
        .map(|(name, entry)| (name, entry.metadata().unwrap().modified().unwrap()))
        .collect();
    found.sort();
    found
}

/// Stopped when its first part is finished, a reading goes on after it, and makes what one reading would have made. That is the same
/// for both formats, since the rows are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reading_that_was_stopped_goes_on_after_its_finished_parts() {
    let directory = tempfile::tempdir().unwrap();
    let store = |name: &str| SnapshotStore::open(&directory.path().join(name)).unwrap().with_part_rows(MANY_PART_ROWS);
    let source = async |reference: &str| {
        let source = opened(&fixtures(), reference, &MANY, false).await.unwrap();
        assert!(matches!(source.identity(), SourceIdentity::Fixed(_)));
        assert_eq!(source.rows_hint(), Some(MANY_ROWS));
        Ingest::Table(source, RejectLimit::default())
    };
    let whole = source(&delta("delta/many", None)).await;
    let whole = store("whole").ingest("res_1", "ing_0", whole, IngestControl::default()).await.unwrap();
    assert_eq!(whole.rows, MANY_ROWS);
    for (name, reference) in [("delta", delta("delta/many", None)), ("iceberg", iceberg("iceberg/many", None))] {
        let (broken, folder) = (store(name), directory.path().join(name).join("res_1"));
        let control = IngestControl::default();
        let reading = broken.ingest("res_1", "ing_1", source(&reference).await, control.clone());
        let stopping = async {
            let begun = std::time::Instant::now();
            while written(&folder, "ing_1-").is_empty() {
                assert!(begun.elapsed() < Duration::from_secs(120), "{name}: no part was finished");
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            control.stop.give();
        };
        let (stopped, ()) = tokio::join!(reading, stopping);
        assert!(matches!(stopped, Err(SnapshotError::Stopped)), "{name}: {stopped:?}");
        assert!(broken.latest("res_1").await.unwrap().is_none(), "{name}: no version was made");
        let finished = written(&folder, "ing_1-");
        assert!((1..5).contains(&finished.len()), "{name}: {finished:?}");
        let made = broken.ingest("res_1", "ing_1", source(&reference).await, IngestControl::default()).await.unwrap();
        assert_eq!((made.rows, &made.digest), (MANY_ROWS, &whole.digest), "{name}");
        let after = written(&folder, "ing_1-");
        assert_eq!(after.len(), made.files.files().len(), "{name}");
        assert_eq!(after[..finished.len()], finished[..], "{name}: what was finished is not written again");
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
