//! Delta tables, read by the Delta kernel: partition columns, column mapping and deletion vectors are its affair, and a
//! table that needs a reader feature which it does not have is refused by that feature's name.
//!
//! The kernel reads through a store that is confined to the connection's folder ([`ConfinedStore`]), and a table that names
//! files by addresses is refused before ([`named`]).

mod named;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::datatypes::Schema;
use deltalake::kernel::Snapshot;
use deltalake::kernel::engine::arrow_conversion::TryIntoArrow;
use deltalake::kernel::engine::arrow_data::ArrowEngineData;
use deltalake::logstore::LogStoreRef;
use deltalake::{DeltaTableBuilder, DeltaTableError};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;
use url::Url;

use super::Wanted;
use super::confined::ConfinedStore;
use super::folder::Place;
use super::reading::{on_thread, open_regular};
use super::typed::{BadRows, Typing};
use crate::columns::SchemaView;
use crate::source::{BatchStream, SchemaDrift, SourceError, SourceIdentity, TableBatch, TableSource, pages};
use named::{check_checkpoints, is_vector_inside};

/// Batches that wait for whoever takes them.
const BATCHES_AHEAD: usize = 2;
/// Most data files of a table.
const FILES_MAX: usize = 1_000_000;

/// A Delta table at a version.
#[derive(Debug)]
pub(super) struct DeltaTable {
    place: Place,
    typing: Typing,
    view: SchemaView,
    snapshot: Snapshot,
    logs: LogStoreRef,
    files: Vec<PathBuf>,
    identity: String,
    rows: Option<u64>,
    was_left: Arc<AtomicBool>,
}

impl DeltaTable {
    pub(super) async fn open(place: Place, version: Option<u64>, wanted: Wanted<'_>) -> Result<Self, SourceError> {
        let at = place.clone();
        // Looking through checkpoints may take longer than one reading; the whole of opening has its own bound.
        let looked = tokio::task::spawn_blocking(move || {
            if !at.path.join("_delta_log").is_dir() {
                return Err(at.unreadable("it has no _delta_log, so it is no Delta table"));
            }
            check_checkpoints(&at)
        });
        looked.await.map_err(|error| fault(&place, "found", &error))??;
        let url = Url::from_directory_path(&place.path).map_err(|()| place.unreadable("its path is no URL"))?;
        let store = ConfinedStore::new(place.folder.clone());
        let was_left = store.was_left();
        let builder = DeltaTableBuilder::from_url(url.clone()).map_err(|error| fault(&place, "found", &error))?;
        let builder = builder.with_storage_backend(Arc::new(store), url);
        let logs = builder.build_storage().map_err(|error| fault(&place, "found", &error))?;
        let snapshot = match Snapshot::try_new(logs.as_ref(), version).await {
            Ok(snapshot) => snapshot,
            Err(_) if was_left.load(Ordering::SeqCst) => return Err(outside(&place)),
            Err(error) => {
                let at = place.clone();
                let explained = on_thread(&place.folder, move || log_fault(&at, version, &error)).await;
                return Err(explained.unwrap_or_else(|none| place.unreadable(&none.to_string())));
            }
        };
        let schema: Schema =
            snapshot.schema().as_ref().try_into_arrow().map_err(|error| fault(&place, "described", &error))?;
        let typing = Typing::between(&place.name, &schema, wanted)?;
        let (listed, at) = ((snapshot.clone(), Arc::clone(&logs)), place.clone());
        // The kernel waits for its input and must not do so on a thread that serves requests.
        let listed = tokio::task::spawn_blocking(move || list_files(&at, &listed.0, &listed.1))
            .await
            .map_err(|error| fault(&place, "listed", &error))?;
        let Listed { files, digest: identity, rows } = told(&place, &was_left, listed)?;
        Ok(Self { view: typing.view(), typing, snapshot, logs, files, identity, rows, was_left, place })
    }
}

/// An error told by its cause, where that is a file outside of the folder.
fn told<T>(place: &Place, was_left: &AtomicBool, done: Result<T, SourceError>) -> Result<T, SourceError> {
    done.map_err(|error| if was_left.load(Ordering::SeqCst) { outside(place) } else { error })
}

fn outside(place: &Place) -> SourceError {
    place.unreadable("its log names a file outside of the connection's folder")
}

/// What a version consists of.
struct Listed {
    files: Vec<PathBuf>,
    digest: String,
    rows: Option<u64>,
}

/// Lists the files of a version in the order in which they are read, and sees that each lies in the folder.
fn list_files(place: &Place, snapshot: &Snapshot, logs: &LogStoreRef) -> Result<Listed, SourceError> {
    let wrapped = snapshot.scan_builder().build().map_err(|error| planning_fault(place, snapshot, &error))?;
    let scan = Arc::clone(wrapped.snapshot())
        .scan_builder()
        .build()
        .map_err(|error| planning_fault(place, snapshot, &error))?;
    let engine = logs.engine(None);
    let mut files: Vec<(String, String, Option<u64>)> = Vec::new();
    let mut vectors_are_inside = true;
    for metadata in scan.scan_metadata(engine.as_ref()).map_err(|error| fault(place, "listed", &error))? {
        let metadata = metadata.map_err(|error| fault(place, "listed", &error))?;
        let visited = (files, vectors_are_inside);
        (files, vectors_are_inside) = metadata
            .visit_scan_files(visited, |(files, vectors_are_inside), file| {
                *vectors_are_inside &= !file.dv_info.has_vector() || is_vector_inside(&format!("{:?}", file.dv_info));
                let mut values: Vec<_> = file.partition_values.iter().collect();
                values.sort();
                let described = format!(
                    "{}\n{}\n{}\n{:?}\n{values:?}\n",
                    file.path, file.size, file.modification_time, file.dv_info
                );
                let rows = file.stats.map(|stats| stats.num_records).filter(|_| !file.dv_info.has_vector());
                files.push((file.path, described, rows));
            })
            .map_err(|error| fault(place, "listed", &error))?;
        if files.len() > FILES_MAX {
            return Err(place.unreadable("it has more than a million data files; compact it"));
        }
    }
    if !vectors_are_inside {
        return Err(place.unreadable("it names a deletion vector outside of the table; copy the table"));
    }
    let root = scan.table_root();
    let mut paths = Vec::with_capacity(files.len());
    let mut hasher = Sha256::new();
    hasher.update(mapped(snapshot).as_bytes());
    let mut rows = Some(0_u64);
    for (path, described, of_file) in &files {
        let location = root.join(path).map_err(|error| fault(place, "listed", &error))?;
        let path =
            location.to_file_path().map_err(|()| place.unreadable("a data file is not on this machine's disk"))?;
        let path = place.confined(&path)?;
        if !path.is_file() {
            return Err(place.unreadable("a data file is no regular file"));
        }
        paths.push(path);
        hasher.update(described.as_bytes());
        rows = rows.zip(*of_file).and_then(|(sum, more)| sum.checked_add(more));
    }
    Ok(Listed { files: paths, digest: hex::encode(hasher.finalize()), rows })
}

/// Which columns of the files the table's columns are, where they may have other names there: without a new file a column may be
/// dropped and another one of its name added. Nothing where they have none.
fn mapped(snapshot: &Snapshot) -> String {
    let mut told = Vec::new();
    for field in snapshot.schema().fields() {
        let [name, id] = ["physicalName", "id"].map(|key| field.metadata().get(&format!("delta.columnMapping.{key}")));
        if name.is_some() || id.is_some() {
            told.push(format!("{}\n{name:?}\n{id:?}\n", field.name()));
        }
    }
    told.concat()
}

impl TableSource for DeltaTable {
    fn name(&self) -> &str {
        &self.place.name
    }

    fn schema(&self) -> &SchemaView {
        &self.view
    }

    fn identity(&self) -> SourceIdentity {
        SourceIdentity::Fixed(self.identity.clone())
    }

    fn rows_hint(&self) -> Option<u64> {
        self.rows
    }

    fn drift(&self) -> SchemaDrift {
        self.typing.drift().clone()
    }

    fn into_batches(self: Box<Self>) -> BatchStream {
        let (batches, mut taken) = mpsc::channel(BATCHES_AHEAD);
        let place = self.place.clone();
        let reader = tokio::task::spawn_blocking(move || {
            if let Err(error) = told(&self.place, &self.was_left, self.read(&batches)) {
                // When nobody is there any more, nobody needs to know.
                drop(batches.blocking_send(Err(error)));
            }
        });
        Box::pin(async_stream::stream! {
            while let Some(batch) = taken.recv().await {
                yield batch;
            }
            // A reader that ended early would look like the end of the rows.
            if let Err(error) = reader.await {
                yield Err(fault(&place, "read", &error));
            }
        })
    }
}

impl DeltaTable {
    /// Reads the rows on a thread of its own, until the end or until nobody takes them any more.
    fn read(&self, batches: &mpsc::Sender<Result<TableBatch, SourceError>>) -> Result<(), SourceError> {
        let place = &self.place;
        for path in &self.files {
            if batches.is_closed() {
                return Ok(());
            }
            let file = open_regular(path).map_err(|error| place.unreadable(&error.to_string()))?;
            pages::check(&file).map_err(|error| place.unreadable(&format!("a data file: {error}")))?;
        }
        let wrapped = self.snapshot.scan_builder().build().map_err(|error| fault(place, "planned", &error))?;
        let scan =
            Arc::clone(wrapped.snapshot()).scan_builder().build().map_err(|error| fault(place, "planned", &error))?;
        let mut rows_before = 0_u64;
        for data in scan.execute(self.logs.engine(None)).map_err(|error| fault(place, "read", &error))? {
            let data = data.map_err(|error| fault(place, "read", &error))?;
            let data = ArrowEngineData::try_from_engine_data(data).map_err(|error| fault(place, "read", &error))?;
            let batch = data.record_batch();
            let rows = batch.num_rows();
            if rows > 0 {
                let brought = self.typing.bring(batch.columns(), rows, rows_before, BadRows::new())?;
                if batches.blocking_send(Ok(brought)).is_err() {
                    return Ok(());
                }
            }
            rows_before += rows as u64;
        }
        Ok(())
    }
}

/// An error of the Delta reader. Its text may hold values (of partitions, for instance), so only its kind is told.
fn fault(place: &Place, doing: &str, error: &dyn std::fmt::Debug) -> SourceError {
    place.unreadable(&format!("as a Delta table it can't be {doing}: {}", kind_of(error)))
}

/// The name of an error's variant, innermost of the first two.
fn kind_of(error: &dyn std::fmt::Debug) -> String {
    let text = format!("{error:?}");
    let name: String = text.chars().take_while(char::is_ascii_alphanumeric).take(40).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

fn log_fault(place: &Place, version: Option<u64>, error: &DeltaTableError) -> SourceError {
    match (error, version) {
        (DeltaTableError::NotATable(_), _) => place.unreadable("it has no commit, so it is no Delta table"),
        (_, Some(version)) if !commit(&place.path, version).is_file() => {
            place.unreadable(&format!("it has no version {version} any more"))
        }
        _ => match unsupported_features(&place.path) {
            Some(features) => needs_features(place, &features),
            None => fault(place, "opened", error),
        },
    }
}

fn commit(table: &Path, version: u64) -> std::path::PathBuf {
    table.join("_delta_log").join(format!("{version:020}.json"))
}

/// The reader features that the newest protocol action among the first commits names: for a table that can't be opened at all.
fn unsupported_features(table: &Path) -> Option<String> {
    /// Commits that are looked at: the protocol is mostly written when a table is made.
    const COMMITS_MAX: u64 = 100;
    /// Bytes that are looked at of each: the protocol stands among its first actions.
    const COMMIT_BYTES_MAX: u64 = 1 << 20;
    let mut found = None;
    for version in 0..COMMITS_MAX {
        let Ok(file) = open_regular(&commit(table, version)) else { break };
        let mut bytes = Vec::new();
        if file.take(COMMIT_BYTES_MAX).read_to_end(&mut bytes).is_err() {
            break;
        }
        // The last line may be cut off, and is none then.
        for line in String::from_utf8_lossy(&bytes).lines() {
            let Ok(action) = serde_json::from_str::<serde_json::Value>(line) else { continue };
            if let Some(protocol) = action.get("protocol") {
                found = named_features(protocol);
            }
        }
    }
    found
}

/// The reader features of a protocol action, where it names any.
fn named_features(protocol: &serde_json::Value) -> Option<String> {
    /// Names that are told.
    const NAMES_MAX: usize = 20;
    let is_plain =
        |name: &&str| name.len() <= 60 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let features = protocol["readerFeatures"].as_array()?;
    let names = features.iter().filter_map(serde_json::Value::as_str).filter(is_plain).take(NAMES_MAX);
    let names: Vec<&str> = names.collect();
    (!names.is_empty()).then(|| names.join(", "))
}

fn needs_features(place: &Place, features: &str) -> SourceError {
    place.unreadable(&format!(
        "it needs the reader features {features}, of which at least one is not known here; take the feature away or copy the table"
    ))
}

/// A version that can't be read as it is: by the features that it needs, where it needs any.
fn planning_fault(place: &Place, snapshot: &Snapshot, error: &dyn std::fmt::Debug) -> SourceError {
    let protocol = serde_json::to_value(snapshot.protocol()).unwrap_or_default();
    match named_features(&protocol) {
        Some(features) => needs_features(place, &features),
        None => fault(place, "planned", error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A protocol action is looked for in a bounded part of a commit, and in files alone.
    #[test]
    fn a_commit_without_end_is_not_read_to_its_end() {
        let directory = tempfile::tempdir().unwrap();
        let table = directory.path();
        std::fs::create_dir(table.join("_delta_log")).unwrap();
        let protocol = "{\"protocol\":{\"readerFeatures\":[\"rowsTurnedAround\"]}}\n";
        std::fs::write(commit(table, 0), protocol).unwrap();
        // A sparse file of a terabyte after a line that is looked at.
        let file = std::fs::OpenOptions::new().append(true).open(commit(table, 0)).unwrap();
        file.set_len(1 << 40).unwrap();
        assert_eq!(unsupported_features(table).as_deref(), Some("rowsTurnedAround"));
        std::fs::remove_file(commit(table, 0)).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(commit(table, 0)).status().unwrap().success());
        assert_eq!(unsupported_features(table), None);
    }
}
