//! Ingestions of the engine: in one go or in several, the files are the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use lingqu_domain::scope::ColumnName;
use lingqu_engine::snapshot::{Ingest, IngestControl, Snapshot, SnapshotError, SnapshotStore};
use lingqu_engine::source::{
    BatchStream, RejectLimit, Source, SourceError, SourceIdentity, SourceOptions, StopSignal, TableBatch, TableSource,
};
use lingqu_engine::{BATCH_ROWS, ColumnType, ColumnView, SchemaView};
use parquet::arrow::ArrowWriter;

use crate::data::Place;

const PART_ROWS: u64 = 2 * BATCH_ROWS as u64;
const ROWS: usize = 60_000;

/// Every thousandth row is bad, so that batches of good rows do not fall together with batches of rows.
fn csv(place: &Place) -> std::path::PathBuf {
    let mut text = "id,word\n".to_owned();
    for row in 0..ROWS {
        let id = if row % 1_000 == 7 { "bad".to_owned() } else { row.to_string() };
        text.push_str(&format!("{id},word {}\n", row % 77));
    }
    place.file("words.csv", &text)
}

fn open(path: &Path) -> Source {
    let declared = [("id", ColumnType::Integer), ("word", ColumnType::Text)].map(|(column, column_type)| {
        lingqu_engine::source::DeclaredColumn {
            header: column.to_owned(),
            aliases: Vec::new(),
            name: ColumnName::new(column).expect("a name"),
            column_type,
        }
    });
    let options = SourceOptions {
        declared: Some(declared.to_vec()),
        rejects: RejectLimit { rows_max: 100, per_mille_max: 1_000 },
        ..SourceOptions::default()
    };
    Source::open(path, options).expect("a good source")
}

fn store(place: &Place, name: &str) -> SnapshotStore {
    SnapshotStore::open(&place.directory.path().join(name)).expect("opens").with_part_rows(PART_ROWS)
}

async fn whole(place: &Place) -> Snapshot {
    let source = Ingest::File(open(&csv(place)));
    store(place, "whole").ingest("res_1", "ing_1", source, IngestControl::default()).await.expect("good")
}

fn parts(place: &Place, store: &str) -> Vec<(String, Vec<u8>)> {
    let mut parts: Vec<_> = fs::read_dir(place.directory.path().join(store).join("res_1"))
        .expect("read")
        .map(|entry| entry.expect("read").path())
        .filter(|path| path.is_file())
        .map(|path| {
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (name, fs::read(&path).expect("read"))
        })
        .collect();
    parts.sort();
    parts
}

/// Lets an ingestion run until it has finished some parts, then stops it or drops it.
async fn interrupted(place: &Place, store: &SnapshotStore, at_least: usize, is_dropped: bool) {
    let control = IngestControl::default();
    let ingesting = store.ingest("res_1", "ing_1", Ingest::File(open(&csv(place))), control.clone());
    tokio::pin!(ingesting);
    loop {
        tokio::select! {
            ended = &mut ingesting => {
                // Faster than the look: nothing was interrupted, which the caller sees by its version.
                drop(ended);
                return;
            }
            () = tokio::time::sleep(Duration::from_millis(1)) => {
                let finished = parts(place, "broken").iter().filter(|(name, _)| name.ends_with(".parquet")).count();
                if finished < at_least {
                    continue;
                }
                if is_dropped {
                    return;
                }
                control.stop.give();
                let error = ingesting.await.expect_err("it was told to stop");
                assert!(matches!(error, SnapshotError::Stopped), "{error}");
                return;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_ingestion_goes_on_after_its_finished_parts() {
    let place = Place::new();
    let expected = whole(&place).await;
    assert_eq!(expected.rows, (ROWS - ROWS / 1_000) as u64);
    assert_eq!(expected.files.files().len(), 4);
    fs::create_dir_all(place.directory.path().join("broken/res_1")).expect("made");
    for is_dropped in [false, true] {
        let broken = store(&place, "broken");
        interrupted(&place, &broken, 1, is_dropped).await;
        let kept: Vec<_> = parts(&place, "broken").into_iter().filter(|(name, _)| name.ends_with(".parquet")).collect();
        assert!(!kept.is_empty());
        // As after a crash: another process goes on, which finds what is unfinished.
        let rejects = place.directory.path().join("rejects.ndjson");
        let control = IngestControl { rejects: Some(rejects.clone()), ..IngestControl::default() };
        let source = Ingest::File(open(&csv(&place)));
        let resumed = store(&place, "broken").ingest("res_1", "ing_1", source, control).await.expect("it goes on");
        assert_eq!((resumed.version, resumed.digest.as_str()), (0, expected.digest.as_str()));
        assert_eq!(parts(&place, "broken"), parts(&place, "whole"), "byte for byte, and nothing unfinished is left");
        assert_eq!(fs::read_to_string(&rejects).expect("written").lines().count(), ROWS / 1_000);
        // Asked once more, the job answers the version that it made.
        let source = Ingest::File(open(&csv(&place)));
        let again = store(&place, "broken").ingest("res_1", "ing_1", source, IngestControl::default()).await;
        assert_eq!(again.expect("it is there").version, 0);
        fs::remove_dir_all(place.directory.path().join("broken/res_1")).expect("removed");
        fs::create_dir_all(place.directory.path().join("broken/res_1")).expect("made");
    }
}

/// The same rows in a file of each format; the thousandth ones are bad where a format has room for that.
fn in_every_format(place: &Place) -> Vec<PathBuf> {
    const ROWS: usize = 20_000;
    let is_bad = |row: usize| row % 1_000 == 7;
    let rows = |line: &dyn Fn(usize, &str, &str) -> String| -> String {
        let each = |row: usize| {
            let id = if is_bad(row) { "bad".to_owned() } else { row.to_string() };
            line(row, &id, &format!("词 {}", row % 77))
        };
        (0..ROWS).map(each).collect()
    };
    let csv = "id,word\n".to_owned() + &rows(&|_, id, word| format!("{id},{word}\n"));
    let object = |_: usize, id: &str, word: &str| match id {
        "bad" => format!("{{\"id\": \"bad\", \"word\": \"{word}\"}}\n"),
        _ => format!("{{\"id\": {id}, \"word\": \"{word}\"}}\n"),
    };
    let lines = rows(&object);
    let sheet = rows(&|row, id, word| {
        let cell = if id == "bad" {
            "<c t=\"inlineStr\"><is><t>bad</t></is></c>".to_owned()
        } else {
            format!("<c><v>{id}</v></c>")
        };
        format!("<row r=\"{}\">{cell}<c t=\"inlineStr\"><is><t>{word}</t></is></c></row>", row + 2)
    });
    let head =
        "<row r=\"1\"><c t=\"inlineStr\"><is><t>id</t></is></c><c t=\"inlineStr\"><is><t>word</t></is></c></row>";
    let at = |name: &str| place.directory.path().join(name);
    fs::write(at("gb.csv"), encoding_rs::GB18030.encode(&csv).0).expect("written");
    fs::write(at("packed.csv.zst"), zstd::encode_all(csv.as_bytes(), 3).expect("packed")).expect("written");
    crate::source_sheets::workbook_of(&at("words.xlsx"), &format!("{head}{sheet}"));
    let good: Vec<usize> = (0..ROWS).filter(|row| !is_bad(*row)).collect();
    let ids: ArrayRef = Arc::new(Int64Array::from_iter_values(good.iter().map(|row| *row as i64)));
    let words: ArrayRef = Arc::new(StringArray::from_iter_values(good.iter().map(|row| format!("词 {}", row % 77))));
    let batch = RecordBatch::try_from_iter([("id", ids), ("word", words)]).expect("a batch");
    let mut writer = ArrowWriter::try_new(fs::File::create(at("words.parquet")).expect("made"), batch.schema(), None)
        .expect("a writer");
    writer.write(&batch).expect("written");
    writer.close().expect("written");
    vec![
        place.file("words.csv", &csv),
        at("gb.csv"),
        at("packed.csv.zst"),
        place.file("words.tsv", &csv.replace(',', "\t")),
        place.file("words.ndjson", &lines),
        place.file("words.json", &format!("[{}]", lines.trim_end().replace('\n', ",\n"))),
        at("words.xlsx"),
        at("words.parquet"),
    ]
}

/// Whatever the format, a reading goes on after the part that an earlier one had finished, and comes to the same rows.
#[tokio::test(flavor = "multi_thread")]
async fn every_format_goes_on_after_its_finished_parts() {
    let place = Place::new();
    let mut digests = std::collections::BTreeSet::new();
    for path in in_every_format(&place) {
        let name = path.file_name().expect("a name").to_string_lossy().replace('.', "_");
        let ingest = async |store: &SnapshotStore| {
            store.ingest("res_1", "ing_1", Ingest::File(open(&path)), IngestControl::default()).await
        };
        let (whole, broken) = (format!("whole_{name}"), format!("broken_{name}"));
        let expected = ingest(&store(&place, &whole)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!((expected.rows, expected.files.files().len()), (19_980, 2), "{name}");
        // As after a crash behind the first part.
        let directory = place.directory.path().join(&broken).join("res_1");
        fs::create_dir_all(&directory).expect("made");
        let first = &parts(&place, &whole)[0];
        fs::write(directory.join(&first.0), &first.1).expect("written");
        let written =
            |file: &str| fs::metadata(directory.join(file)).and_then(|file| file.modified()).expect("it is there");
        let before = written(&first.0);
        let resumed = ingest(&store(&place, &broken)).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(resumed.digest, expected.digest, "{name}");
        assert_eq!(written(&first.0), before, "{name}: the finished part was not written again");
        digests.insert(resumed.digest);
    }
    assert_eq!(digests.len(), 1, "the same rows are the same files, whatever format they came in");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_was_damaged_is_written_again() {
    let place = Place::new();
    whole(&place).await;
    let wanted = parts(&place, "whole");
    let broken = place.directory.path().join("broken/res_1");
    fs::create_dir_all(&broken).expect("made");
    // The second part is damaged, so the third can't be gone on from either.
    for (place_of_part, (name, bytes)) in wanted.iter().enumerate().take(3) {
        let mut bytes = bytes.clone();
        if place_of_part == 1 {
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
        }
        fs::write(broken.join(name), bytes).expect("written");
    }
    fs::write(broken.join(".ing_1-00003-0.unfinished"), b"half").expect("written");
    let source = Ingest::File(open(&csv(&place)));
    store(&place, "broken").ingest("res_1", "ing_1", source, IngestControl::default()).await.expect("it goes on");
    assert_eq!(parts(&place, "broken"), wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_given_up_leaves_nothing() {
    let place = Place::new();
    fs::create_dir_all(place.directory.path().join("broken/res_1")).expect("made");
    let broken = store(&place, "broken");
    interrupted(&place, &broken, 1, false).await;
    broken.discard("res_1", "ing_1", None).await.expect("discarded");
    assert_eq!(parts(&place, "broken"), []);
    // A version is not a job's to discard.
    let source = Ingest::File(open(&csv(&place)));
    broken.ingest("res_1", "ing_2", source, IngestControl::default()).await.expect("good");
    broken.discard("res_1", "ing_2", Some(0)).await.expect("left alone");
    assert!(broken.version("res_1", 0).await.is_ok());
    // Nor when another job's version came after it.
    let source = Ingest::File(open(&csv(&place)));
    broken.ingest("res_1", "ing_3", source, IngestControl::default()).await.expect("good");
    broken.discard("res_1", "ing_2", Some(0)).await.expect("left alone");
    assert!(broken.version("res_1", 0).await.is_ok() && broken.version("res_1", 1).await.is_ok());
}

/// A job over a table that changes reads anew after a crash, under another name. When a process died after a version was
/// written and before it was recorded, that version's files go once another is recorded, and not before.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_wrote_and_nobody_recorded_is_removed() {
    let place = Place::new();
    let snapshots = store(&place, "broken");
    let attempt = async |name: &str| {
        let source = Ingest::File(open(&csv(&place)));
        snapshots.ingest("res_1", name, source, IngestControl::default()).await.expect("good")
    };
    let names = || -> Vec<String> {
        let parts = parts(&place, "broken").into_iter().map(|(name, _)| name);
        parts.filter(|name| name.starts_with("ing_1-")).collect()
    };
    let lost = attempt("ing_1-1").await;
    let directory = place.directory.path().join("broken/res_1");
    fs::write(directory.join("ing_1-2-00000-half.parquet"), b"half").expect("written");
    fs::write(directory.join(".ing_1-2-00001.unfinished"), b"half").expect("written");
    // Given up now, the version stays that the log ends in; the parts of the other attempt go.
    snapshots.discard("res_1", "ing_1", None).await.expect("discarded");
    assert_eq!(snapshots.latest("res_1").await.expect("opens").expect("a version").digest, lost.digest);
    assert_eq!(names().len(), lost.files.files().len());
    let recorded = attempt("ing_1-3").await;
    assert_eq!((lost.version, recorded.version), (0, 1));
    snapshots.discard("res_1", "ing_1", Some(recorded.version)).await.expect("discarded");
    let kept: Vec<_> = recorded.files.files().iter().map(|file| file.path.clone()).collect();
    assert_eq!(names(), kept);
    assert_eq!(snapshots.latest("res_1").await.expect("opens").expect("a version").digest, recorded.digest);
    // The next job's version, and then once more: as a start does that finds the job's folder.
    attempt("ing_2").await;
    snapshots.discard("res_1", "ing_1", Some(recorded.version)).await.expect("discarded");
    assert_eq!(names(), kept);
}

/// A table whose batches come in sizes of its own.
#[derive(Debug)]
struct Batches {
    schema: SchemaView,
    batches: Vec<RecordBatch>,
    identity: SourceIdentity,
    fails_at_end: bool,
}

impl TableSource for Batches {
    fn name(&self) -> &str {
        "words"
    }

    fn schema(&self) -> &SchemaView {
        &self.schema
    }

    fn identity(&self) -> SourceIdentity {
        self.identity.clone()
    }

    fn into_batches(self: Box<Self>) -> BatchStream {
        let mut items: Vec<_> = self.batches.into_iter().map(|batch| Ok(TableBatch::of(batch))).collect();
        if self.fails_at_end {
            items.push(Err(SourceError::NoColumns { file: "words".to_owned() }));
        }
        Box::pin(futures::stream::iter(items))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_in_batches_of_any_size_makes_the_same_files() {
    let place = Place::new();
    let expected = whole(&place).await;
    let source = open(&csv(&place));
    let schema = source.schema().clone();
    assert_eq!(
        schema.columns[0],
        ColumnView { name: ColumnName::new("id").expect("a name"), column_type: ColumnType::Integer }
    );
    let all: Vec<_> = source.batches().expect("good").map(|batch| batch.expect("good")).collect();
    let mut uneven = Vec::new();
    for (number, batch) in all.iter().enumerate() {
        let cut = (number * 313 + 1).min(batch.num_rows());
        uneven.extend([batch.slice(0, cut), batch.slice(cut, batch.num_rows() - cut)]);
    }
    let table = |identity, fails_at_end| {
        let (schema, batches) = (schema.clone(), uneven.clone());
        Ingest::Table(Box::new(Batches { schema, batches, identity, fails_at_end }), RejectLimit::default())
    };
    for identity in [SourceIdentity::Fixed("d".to_owned()), SourceIdentity::Live] {
        let tables = store(&place, "tables");
        let failed = tables.ingest("res_1", "ing_1", table(identity.clone(), true), IngestControl::default()).await;
        assert!(matches!(failed, Err(SnapshotError::Source(_))));
        let control = IngestControl::default();
        let made = tables.ingest("res_1", "ing_1", table(identity, false), control.clone()).await.expect("good");
        assert_eq!(made.digest, expected.digest);
        assert_eq!(control.progress.rows(), expected.rows);
        fs::remove_dir_all(place.directory.path().join("tables")).expect("removed");
    }
}

/// A table that changes, with some rows; each has its number and a word.
fn changing(words: &[&str], fails_at_end: bool) -> Ingest {
    let column = |text: &str, column_type| ColumnView { name: ColumnName::new(text).expect("a name"), column_type };
    let schema = SchemaView { columns: vec![column("id", ColumnType::Integer), column("word", ColumnType::Text)] };
    let mut batches = Vec::new();
    for (number, some) in words.chunks(5_000).enumerate() {
        let ids: ArrayRef =
            Arc::new(Int64Array::from_iter_values((0..some.len()).map(|row| (number * 5_000 + row) as i64)));
        let words: ArrayRef = Arc::new(StringArray::from_iter_values(some));
        batches.push(RecordBatch::try_new(schema.arrow(), vec![ids, words]).expect("a batch"));
    }
    let table = Batches { schema, batches, identity: SourceIdentity::Live, fails_at_end };
    Ingest::Table(Box::new(table), RejectLimit::default())
}

/// The parts of a reading that was cut off are kept as far as the table still holds the same, and what is written is always the
/// table as it is now.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_table_that_changes_the_parts_are_kept_that_hold_what_it_holds_now() {
    const PART: usize = PART_ROWS as usize;
    let first = vec!["a"; 3 * PART + 100];
    let mut third_differs = first.clone();
    third_differs[2 * PART + 9_000] = "other";
    let mut first_differs = first.clone();
    first_differs[0] = "other";
    let mut longer = first.clone();
    longer.extend(["more"; 50]);
    let cases = [
        (first.clone(), 3 * PART, 3),
        (third_differs, 2 * PART, 2),
        (first_differs, 0, 0),
        (first[..PART + 5].to_vec(), PART, 1),
        (first[..2 * PART].to_vec(), 2 * PART, 2),
        (vec![], 0, 0),
        (longer, 3 * PART, 3),
    ];
    for (number, (words, kept_rows, kept_parts)) in cases.into_iter().enumerate() {
        let place = Place::new();
        let tables = store(&place, "broken");
        let control = |job: &str| IngestControl { job: Some(job.to_owned()), ..IngestControl::default() };
        let failed = tables.ingest("res_1", "ing_1-1", changing(&first, true), control("ing_1")).await;
        assert!(matches!(failed, Err(SnapshotError::Source(_))), "case {number}");
        let finished: Vec<_> = parts(&place, "broken");
        assert_eq!(finished.len(), 3, "case {number}");
        // Another one that came less far, and whose parts are not needed.
        fs::write(place.directory.path().join("broken/res_1/ing_1-2-00000-half.parquet"), b"half").expect("written");
        let whole = store(&place, "whole").ingest("res_1", "x", changing(&words, false), control("y")).await;
        let again = control("ing_1");
        let made = tables.ingest("res_1", "ing_1-3", changing(&words, false), again.clone()).await.expect("good");
        assert_eq!(made.digest, whole.expect("good").digest, "case {number}");
        assert_eq!(
            (again.progress.finished(), again.progress.kept()),
            (3 * PART as u64, kept_rows as u64),
            "case {number}"
        );
        // A part that was kept is the same file under another name.
        for (place_of_part, file) in made.files.files().iter().enumerate() {
            let links = std::os::unix::fs::MetadataExt::nlink(
                &fs::metadata(place.directory.path().join("broken/res_1").join(&file.path)).expect("it is there"),
            );
            assert_eq!(links, if place_of_part < kept_parts { 2 } else { 1 }, "case {number}, part {place_of_part}");
        }
        tables.discard("res_1", "ing_1", Some(made.version)).await.expect("discarded");
        assert!(tables.version("res_1", made.version).await.expect("it is whole").files.check_contents().is_ok());
        assert_eq!(parts(&place, "broken").len(), made.files.files().len(), "case {number}");
    }
}

/// A last part that is not full is what an attempt leaves that died between writing and recording.
#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_nobody_recorded_is_taken_over_and_stays_whole() {
    let place = Place::new();
    let tables = store(&place, "broken");
    let take = async |name: &str, words: &[&str]| {
        let control = IngestControl { job: Some("ing_1".to_owned()), ..IngestControl::default() };
        let made = tables.ingest("res_1", name, changing(words, false), control.clone()).await.expect("good");
        (made, control.progress.kept())
    };
    let words = vec!["a"; PART_ROWS as usize + 10];
    let (lost, _) = take("ing_1-1", &words).await;
    let mut more = words.clone();
    more.push("b");
    let (made, kept) = take("ing_1-2", &more).await;
    assert_eq!((made.version, made.rows, kept), (1, PART_ROWS + 11, PART_ROWS));
    assert!(lost.files.check_contents().is_ok(), "the log still names it");
    let (same, kept) = take("ing_1-3", &more).await;
    assert_eq!((same.version, same.digest, kept), (2, made.digest, PART_ROWS + 11));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_holds_the_same_is_the_same_version() {
    let place = Place::new();
    let tables = store(&place, "whole");
    let control = |newest| IngestControl { job: Some("ing_2".to_owned()), newest, ..IngestControl::default() };
    let words = vec!["a"; 100];
    let first = tables.ingest("res_1", "ing_1-1", changing(&words, false), control(None)).await.expect("good");
    let same = tables.ingest("res_1", "ing_2-1", changing(&words, false), control(Some(0))).await.expect("good");
    assert_eq!((same.version, &same.digest), (0, &first.digest));
    tables.discard("res_1", "ing_2", Some(0)).await.expect("discarded");
    assert_eq!(parts(&place, "whole").len(), 1);
    assert!(tables.version("res_1", 0).await.is_ok());
    // Other rows, or the same where another version is the newest, are a new one.
    let other = tables.ingest("res_1", "ing_2-2", changing(&words[1..], false), control(Some(0))).await.expect("good");
    assert_eq!(other.version, 1);
    let back = tables.ingest("res_1", "ing_2-3", changing(&words, false), control(Some(1))).await.expect("good");
    assert_eq!(back.version, 2);
}

#[tokio::test]
async fn a_stop_that_was_given_before_stops_at_once() {
    let place = Place::new();
    let stop = Arc::new(StopSignal::default());
    stop.give();
    tokio::time::timeout(Duration::from_secs(10), stop.wait()).await.expect("it was given");
    let control = IngestControl { stop, ..IngestControl::default() };
    let store = store(&place, "whole");
    let stopped = store.ingest("res_1", "ing_1", Ingest::File(open(&csv(&place))), control).await;
    assert!(matches!(stopped, Err(SnapshotError::Stopped)));
    assert!(store.latest("res_1").await.expect("opens").is_none());
    let named = store.ingest("res_1", "../x", Ingest::File(open(&csv(&place))), IngestControl::default()).await;
    assert!(matches!(named, Err(SnapshotError::BadResourceId(_))));
}
