//! Publishing the transparency log: crashes between any two writes, damage, and logs that don't belong together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::TryStreamExt;
use lingqu_crypto::{DigestPair, SigningKey};
use lingqu_store::journal::committed_bytes;
use lingqu_store::log::{LogError, LogFiles, LogKeys, LogPublisher, LogReader, Published, check_log};
use lingqu_store::receipt::{NewReceipt, ReceiptLog};
use lingqu_store::{Backend, Store};
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{Checkpoint, LogEntry, NoteSigner, RecordKind, TransparencyError, verify_consistency};
use object_store::memory::InMemory;
use object_store::{ObjectStore, ObjectStoreExt};

use crate::sample::{append, append_new};

const ORIGIN: &str = "lingqu.example/450100";

fn signer() -> NoteSigner {
    NoteSigner::new(ORIGIN, SigningKey::from_seed([5; 32])).unwrap()
}

fn directory(factory: &StoreFactory) -> PathBuf {
    factory.directory().join("log")
}

fn keys() -> LogKeys {
    LogKeys { international: signer(), national: None }
}

async fn open(store: &Store, directory: &Path) -> Result<LogPublisher, LogError> {
    LogPublisher::open(store, LogFiles::Directory(directory.to_owned()), keys()).await
}

/// Appends `count` records, each with an entry of its own.
async fn grow(store: &Store, count: u64) {
    let head = store.head().await.unwrap();
    for number in head..head + count {
        append_new(store, append(&format!("tkt_{number}"), 0, "ticket_opened")).await;
    }
}

#[tokio::test]
async fn records_and_receipts_are_proven_by_the_published_log() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let receipts = ReceiptLog::open(&store, factory.directory()).await.unwrap();
        let publisher = open(&store, &directory(&factory)).await.unwrap();
        assert_eq!(publisher.publish().await.unwrap().checkpoint.size, 0);
        grow(&store, 2).await;
        let receipt = NewReceipt {
            receipt_id: "rcp_1".into(),
            order_id: "ord_1".into(),
            kind: "single".into(),
            record: b"{}".to_vec(),
        };
        let position = receipts.append(receipt).await.unwrap();
        receipts.commit_to_log().await.unwrap();
        grow(&store, 1).await;
        let published = publisher.publish().await.unwrap();
        assert_eq!(published.checkpoint.size, 4);
        assert_eq!(publisher.publish().await.unwrap(), published);

        let reader = publisher.reader();
        let key = signer().verifier().clone();
        for record in store.read_after(0, 10).await.unwrap() {
            let (entry, proof) = reader.prove(record.log_entry).await.unwrap();
            assert_eq!(proof.verify(&entry, &key).unwrap(), published.checkpoint);
            let entry = LogEntry::decode(&entry).unwrap();
            assert_eq!(entry.kind(), RecordKind::Journal);
            assert_eq!(
                entry.pair_at(record.position),
                Some(&DigestPair::of_salted(&record.salt, &committed_bytes(&record)))
            );
        }
        let commit = receipts.commit_of(position).await.unwrap().unwrap();
        let (entry, proof) = reader.prove(commit.log_entry).await.unwrap();
        proof.verify(&entry, &key).unwrap();
        let stored = receipts.read(position).await.unwrap().unwrap();
        let digest = DigestPair::of_salted(&stored.salt, &stored.receipt.record);
        assert_eq!(LogEntry::decode(&entry).unwrap().pairs()[commit.place as usize], digest);

        assert!(matches!(reader.prove(4).await, Err(LogError::NotPublished { index: 4, size: 4 })));
        assert_eq!(reader.file("checkpoint").await.unwrap().unwrap(), published.note.as_bytes());
        assert!(reader.file("tile/0/000.p/4").await.unwrap().is_some());
        assert_eq!(reader.file("../lingqu.db").await.unwrap(), None);
        assert_eq!(reader.file("lock").await.unwrap(), None);
        assert_eq!(check_log(&store, reader, None).await.unwrap(), 4);
    })
    .await;
}

/// Every file of a log below a directory: not the lock, nor the notes of how far it was tidied and of what was announced last.
pub fn files_of(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(next) = waiting.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if !["lock", "tidied", "announced"].map(Some).contains(&path.file_name().unwrap().to_str()) {
                let content = std::fs::read(&path).unwrap();
                files.insert(path.strip_prefix(directory).unwrap().to_owned(), content);
            }
        }
    }
    files
}

/// Writes such files below another directory.
pub fn write_files<'a>(directory: &Path, files: impl IntoIterator<Item = (&'a PathBuf, &'a Vec<u8>)>) {
    for (path, content) in files {
        let path = directory.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
}

/// A log published at 5 and then at 300 entries: the files of both moments and the checkpoints.
async fn two_moments(store: &Store, directory: &Path) -> [(BTreeMap<PathBuf, Vec<u8>>, Published); 2] {
    let publisher = open(store, directory).await.unwrap();
    grow(store, 5).await;
    let early = publisher.publish().await.unwrap();
    let early_files = files_of(directory);
    grow(store, 295).await;
    let late = publisher.publish().await.unwrap();
    publisher.tidied().await;
    [(early_files, early), (files_of(directory), late)]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_writes_leads_to_the_same_log() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let [(early_files, early), (late_files, late)] = two_moments(&store, &directory(&factory)).await;
    let (hashes, _) = LogReader::new(LogFiles::Directory(directory(&factory)), signer().verifier().clone())
        .prove_consistency(5)
        .await
        .unwrap();
    verify_consistency(5, &early.checkpoint.root, 300, &late.checkpoint.root, &hashes).unwrap();

    let new_files: Vec<_> = late_files.iter().filter(|(path, _)| !early_files.contains_key(*path)).collect();
    assert!(new_files.len() >= 5, "{new_files:?}");
    // The process dies after any number of the new files, in any order that the disk may have kept them, with a torn file
    // beside the next one; the checkpoint is still the early one.
    for kept in 0..=new_files.len() {
        for reversed in [false, true] {
            let crashed = factory.directory().join(format!("crashed-{kept}-{reversed}"));
            write_files(&crashed, &early_files);
            let mut order = new_files.clone();
            if reversed {
                order.reverse();
            }
            write_files(&crashed, order[..kept].iter().copied());
            if let Some((path, content)) = order.get(kept) {
                let torn = path.with_file_name(format!("{}.new", path.file_name().unwrap().to_str().unwrap()));
                write_files(&crashed, [(&torn, &content[..content.len() / 2].to_vec())]);
            }
            let publisher = open(&store, &crashed).await.unwrap();
            assert_eq!(publisher.reader().published().await.unwrap(), Some(early.clone()));
            assert_eq!(publisher.publish().await.unwrap(), late);
            publisher.tidied().await;
            let mut files = files_of(&crashed);
            files.retain(|path, _| !path.to_str().unwrap().ends_with(".new"));
            assert_eq!(files, late_files);
        }
    }
    // It dies once it has said what it is about to publish: all tiles are there then.
    let crashed = factory.directory().join("crashed-announced");
    write_files(&crashed, &early_files);
    write_files(&crashed, new_files.iter().copied());
    std::fs::copy(directory(&factory).join("announced"), crashed.join("announced")).unwrap();
    let publisher = open(&store, &crashed).await.unwrap();
    assert_eq!(publisher.reader().published().await.unwrap(), Some(early.clone()));
    assert_eq!(publisher.publish().await.unwrap(), late);
    publisher.tidied().await;
    assert_eq!(files_of(&crashed), late_files);
    // Before the first checkpoint nothing is published, whatever files there are.
    let crashed = factory.directory().join("crashed-first");
    write_files(&crashed, new_files.iter().copied());
    assert_eq!(open(&store, &crashed).await.unwrap().publish().await.unwrap(), late);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_is_named() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let [(early_files, _), (mut files, late)] = two_moments(&store, &directory(&factory)).await;
    // As a publisher leaves them that ends before it removes what is outgrown.
    files.extend(early_files.into_iter().filter(|(path, _)| path.to_str().unwrap().contains(".p/5")));
    for (path, content) in &files {
        for damage in ["truncated", "changed", "missing"] {
            let damaged =
                factory.directory().join(format!("{damage}-{}", path.display().to_string().replace('/', "-")));
            write_files(&damaged, &files);
            let file = damaged.join(path);
            match damage {
                "truncated" => std::fs::write(&file, &content[..content.len() / 2]).unwrap(),
                "changed" => {
                    let mut content = content.clone();
                    let middle = content.len() / 2;
                    content[middle] ^= 1;
                    std::fs::write(&file, content).unwrap();
                }
                _ => std::fs::remove_file(&file).unwrap(),
            }
            let name = path.to_str().unwrap();
            let reader = LogReader::new(LogFiles::Directory(damaged.clone()), signer().verifier().clone());
            let checked = check_log(&store, &reader, None).await;
            let opened = open(&store, &damaged).await;
            if name == "checkpoint" && damage == "missing" {
                // Nothing is published then, and publishing writes the same log again.
                assert_eq!(opened.unwrap().publish().await.unwrap(), late);
                continue;
            } else if name == "checkpoint" {
                let message = opened.err().unwrap().to_string();
                assert!(message.contains("checkpoint"), "{message}");
                continue;
            }
            // What was unfinished at the early size may be gone; while it is there it must be right.
            if damage == "missing" && name.contains(".p/5") {
                assert_eq!(checked.unwrap(), 300, "{name}");
                continue;
            }
            let error = checked.err().unwrap_or_else(|| panic!("{damage} {name} was not found"));
            let named = match &error {
                LogError::Log(
                    TransparencyError::TileMissing { path } | TransparencyError::TileDamaged { path, .. },
                )
                | LogError::FileDiffers { path } => path == name,
                LogError::EntryDiffers { .. } => damage == "changed" && name.starts_with("tile/entries/"),
                _ => false,
            };
            assert!(named, "{damage} {name}: {error}");
            if name == "tile/1/000.p/1" || name == "tile/0/001.p/44" {
                // The right edge is read at the start.
                let message = opened.err().unwrap_or_else(|| panic!("{damage} {name} was not found")).to_string();
                assert!(
                    message.contains("001.p/44")
                        || message.contains(name)
                        || message.contains("checkpoint of size 300"),
                    "{damage} {name}: {message}"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_and_a_database_that_do_not_belong_together_are_refused() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let log = directory(&factory);
        let publisher = open(&store, &log).await.unwrap();
        grow(&store, 3).await;
        publisher.publish().await.unwrap();
        match (open(&store, &log).await.err(), store.backend()) {
            (Some(LogError::InUse { directory }), Backend::Sqlite) => assert_eq!(directory, log),
            (Some(LogError::NotSequencer { .. }), Backend::Postgres) => {}
            other => panic!("{other:?}"),
        }
        publisher.give_back().await.unwrap();
        drop(publisher);

        let older = StoreFactory::sqlite();
        let older_store = older.open().await;
        grow(&older_store, 2).await;
        assert!(matches!(
            open(&older_store, &log).await.err(),
            Some(LogError::DatabaseBehind { published: 3, database: 2 })
        ));
        grow(&older_store, 2).await;
        assert!(matches!(open(&older_store, &log).await.err(), Some(LogError::EntryDiffers { index: 2 })));
        let reader = LogReader::new(LogFiles::Directory(log.clone()), signer().verifier().clone());
        assert!(matches!(check_log(&older_store, &reader, None).await, Err(LogError::EntryDiffers { index: 0 })));

        // Another node's key.
        let other = NoteSigner::new(ORIGIN, SigningKey::from_seed([6; 32])).unwrap();
        let other = LogKeys { international: other, national: None };
        let refused = LogPublisher::open(&store, LogFiles::Directory(log.clone()), other).await.err();
        assert!(matches!(refused, Some(LogError::Log(TransparencyError::TileDamaged { .. }))), "{refused:?}");

        // A tile beyond the checkpoint that the database's entries don't give.
        let publisher = open(&store, &log).await.unwrap();
        grow(&store, 1).await;
        std::fs::write(log.join("tile/0/000.p/4"), [0; 128]).unwrap();
        match publisher.publish().await {
            Err(LogError::FileDiffers { path }) => assert_eq!(path, "tile/0/000.p/4"),
            other => panic!("{other:?}"),
        }
        assert_eq!(publisher.reader().published().await.unwrap().unwrap().checkpoint.size, 3);
        std::fs::remove_file(log.join("tile/0/000.p/4")).unwrap();
        assert_eq!(publisher.publish().await.unwrap().checkpoint.size, 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_store_holds_the_same_log() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let [_, (files, late)] = two_moments(&store, &directory(&factory)).await;
    let objects = LogFiles::Objects { store: Arc::new(InMemory::new()), prefix: "node/log".into(), lock: None };
    let publisher = LogPublisher::open(&store, objects.clone(), keys()).await.unwrap();
    assert_eq!(publisher.publish().await.unwrap(), late);
    drop(publisher);
    let publisher = LogPublisher::open(&store, objects, keys()).await.unwrap();
    for (path, content) in &files {
        assert_eq!(
            publisher.reader().file(path.to_str().unwrap()).await.unwrap().as_ref(),
            Some(content),
            "{}",
            path.display()
        );
    }
    assert_eq!(check_log(&store, publisher.reader(), None).await.unwrap(), 300);
}

/// What was written of a tile while it filled goes once it is published full, in either place and in both logs, also where a
/// process ended before it could remove it. Proofs under the checkpoints of that time stand by the full tiles.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_beginnings_of_full_tiles_are_removed() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let objects = LogFiles::Objects { store: Arc::clone(&memory), prefix: "node/log".into(), lock: None };
    let places = [LogFiles::Directory(directory(&factory)), objects];
    let listed = async || {
        let mut names: Vec<String> =
            files_of(&directory(&factory)).keys().map(|path| path.display().to_string()).collect();
        names.retain(|name| name.contains(".p/"));
        names.sort();
        let objects: Vec<_> = memory.list(None).try_collect().await.unwrap();
        let mut beside: Vec<String> = objects.iter().map(|found| found.location.to_string()).collect();
        beside.retain(|name| name.contains(".p/"));
        beside.sort();
        let beside: Vec<&str> = beside.iter().map(|name| name.strip_prefix("node/log/").unwrap()).collect();
        assert_eq!(names, beside);
        names
    };
    let mut early = Vec::new();
    for count in [5, 195] {
        grow(&store, count).await;
        early.clear();
        for place in &places {
            early.push(LogPublisher::open(&store, place.clone(), keys()).await.unwrap().publish().await.unwrap());
        }
    }
    let while_it_fills =
        ["tile/0/000.p/200", "tile/0/000.p/5", "tile/entries/000.p/200", "tile/entries/000.p/5"].map(str::to_owned);
    assert_eq!(listed().await, while_it_fills);
    let left = std::fs::read(directory(&factory).join("tile/entries/000.p/5")).unwrap();
    for (count, width) in [(100, 44), (6, 50)] {
        grow(&store, count).await;
        for (place, early) in places.iter().zip(&early) {
            let publisher = LogPublisher::open(&store, place.clone(), keys()).await.unwrap();
            publisher.publish().await.unwrap();
            publisher.tidied().await;
            publisher.reader().prove_under(150, &early.note).await.unwrap();
            assert_eq!(check_log(&store, publisher.reader(), None).await.unwrap(), 256 + width);
        }
        let mut at_the_edge: Vec<String> = [44, 50]
            .iter()
            .filter(|known| **known <= width)
            .flat_map(|width| [format!("tile/0/001.p/{width}"), format!("tile/entries/001.p/{width}")])
            .collect();
        at_the_edge.push("tile/1/000.p/1".to_owned());
        at_the_edge.sort();
        assert_eq!(listed().await, at_the_edge);
        // One that a killed process left goes when a publisher takes the log up again.
        std::fs::create_dir(directory(&factory).join("tile/entries/000.p")).unwrap();
        std::fs::write(directory(&factory).join("tile/entries/000.p/5"), &left).unwrap();
        let place = object_store::path::Path::from("node/log/tile/entries/000.p/5");
        memory.put(&place, left.clone().into()).await.unwrap();
    }
}

/// A put that arrives late sets the checkpoint back. Beside SQLite no other process undoes that, so the publisher does, and stops where
/// it is not its own checkpoint.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_put_of_a_checkpoint_is_undone() {
    /// A little longer than a publisher waits between two looks.
    const PAUSE: Duration = Duration::from_millis(3_200);
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let objects: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let files = LogFiles::Objects { store: Arc::clone(&objects), prefix: "node/log".into(), lock: None };
    let publisher = LogPublisher::open(&store, files, keys()).await.unwrap();
    grow(&store, 5).await;
    let early = publisher.publish().await.unwrap();
    grow(&store, 3).await;
    let late = publisher.publish().await.unwrap();
    let place = object_store::path::Path::from("node/log/checkpoint");
    objects.put(&place, early.note.clone().into()).await.unwrap();
    assert_eq!(publisher.reader().published().await.unwrap().unwrap(), early);
    tokio::time::sleep(PAUSE).await;
    publisher.keep().await.unwrap();
    assert_eq!(publisher.reader().published().await.unwrap().unwrap(), late);

    // Another history under the same key, as a copy of the node would publish it.
    for size in [early.checkpoint.size, late.checkpoint.size, late.checkpoint.size + 1] {
        let other = Checkpoint { size, root: [7; 32], ..late.checkpoint.clone() };
        let note = other.sign(&signer()).unwrap();
        objects.put(&place, note.clone().into()).await.unwrap();
        tokio::time::sleep(PAUSE).await;
        match publisher.keep().await {
            Err(LogError::RootDiffers { size: found }) => assert_eq!(found, size),
            other => panic!("{other:?}"),
        }
        assert_eq!(publisher.reader().published().await.unwrap().unwrap().note, note, "it is left as evidence");
    }
}
