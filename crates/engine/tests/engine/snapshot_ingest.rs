//! Ingestions of the engine: in one go or in several, the files are the same.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::RecordBatch;
use lingqu_domain::scope::ColumnName;
use lingqu_engine::snapshot::{Ingest, IngestControl, Snapshot, SnapshotError, SnapshotStore};
use lingqu_engine::source::{
    BatchStream, RejectLimit, Source, SourceError, SourceIdentity, SourceOptions, StopSignal, TableSource,
};
use lingqu_engine::{BATCH_ROWS, ColumnType, ColumnView, SchemaView};

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
    broken.discard("res_1", "ing_1").await.expect("discarded");
    assert_eq!(parts(&place, "broken"), []);
    // A version is not a job's to discard.
    let source = Ingest::File(open(&csv(&place)));
    broken.ingest("res_1", "ing_2", source, IngestControl::default()).await.expect("good");
    broken.discard("res_1", "ing_2").await.expect("left alone");
    assert!(broken.version("res_1", 0).await.is_ok());
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

    fn into_batches(self: Box<Self>, skip_rows: u64) -> BatchStream {
        let mut skip = skip_rows as usize;
        let mut items = Vec::new();
        for batch in self.batches {
            let skipped = skip.min(batch.num_rows());
            skip -= skipped;
            if skipped < batch.num_rows() {
                items.push(Ok(batch.slice(skipped, batch.num_rows() - skipped)));
            }
        }
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
        Ingest::Table(Box::new(Batches { schema, batches, identity, fails_at_end }))
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
