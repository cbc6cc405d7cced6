//! The twin log: both logs over the same entries, crashes between any two writes, a log that was there before its twin, and
//! what a check finds.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::TryStreamExt;
use lingqu_crypto::{SigningKey, Suite};
use lingqu_store::Store;
use lingqu_store::log::{Heads, LogError, LogFiles, LogKeys, LogPublisher, LogReader, check_log};
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{
    Checkpoint, LogEntry, NoteSigner, OUTGROWN_BUNDLES_MAX, RootsEntry, TILE_WIDTH, TransparencyError, TreeHasher,
    TwinAudit, twin_origin,
};
use object_store::memory::InMemory;
use object_store::path::Path as ObjectPath;
use object_store::{ObjectStore, ObjectStoreExt};
use sea_orm::ConnectionTrait;

use crate::log::{files_of, write_files};
use crate::sample::{append, append_new};

pub const ORIGIN: &str = "lingqu.example/450100";

/// The keys of both logs, or of the first alone.
pub fn keys(has_twin: bool) -> LogKeys {
    let national = || {
        let key = SigningKey::national_from_seed([7; 32]).unwrap();
        NoteSigner::new(&twin_origin(ORIGIN), key).unwrap()
    };
    LogKeys {
        international: NoteSigner::new(ORIGIN, SigningKey::from_seed([5; 32])).unwrap(),
        national: has_twin.then(national),
    }
}

pub async fn open(store: &Store, directory: &Path, has_twin: bool) -> Result<LogPublisher, LogError> {
    LogPublisher::open(store, LogFiles::Directory(directory.to_owned()), keys(has_twin)).await
}

/// Appends `count` records, each with an entry of its own.
pub async fn grow(store: &Store, count: u64) {
    let head = store.head().await.unwrap();
    for number in head..head + count {
        append_new(store, append(&format!("tkt_{number}"), 0, "ticket_opened")).await;
    }
}

async fn publish(publisher: &LogPublisher) -> Heads {
    let heads = publisher.sign().await.unwrap();
    publisher.release(heads.clone()).await.unwrap();
    publisher.tidied().await;
    heads
}

/// All entries of the database.
async fn entries(store: &Store) -> Vec<Vec<u8>> {
    let mut entries = Vec::new();
    while let Some(entry) = store.log_entry(entries.len() as u64).await.unwrap() {
        entries.push(entry);
    }
    entries
}

/// The sizes that entries of both roots are about, with their indexes.
pub async fn roots(store: &Store) -> Vec<(u64, u64)> {
    let entries = entries(store).await;
    let named = (0..).zip(&entries).filter(|(_, entry)| RootsEntry::is_named_by(entry));
    named.map(|(index, entry)| (RootsEntry::decode(entry).unwrap().size(), index)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_logs_have_the_same_entries() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let directory = factory.directory().join("log");
        let publisher = open(&store, &directory, true).await.unwrap();
        let empty = publish(&publisher).await;
        assert_eq!(empty.size(), 0);
        grow(&store, 2).await;
        let second = publish(&publisher).await;
        assert_eq!(second.size(), 3);
        // An idle log stays as it is, and its heads are those that were published.
        assert_eq!(publish(&publisher).await, second);
        assert_eq!(store.log_size().await.unwrap(), 3);
        grow(&store, 600).await;
        let third = publish(&publisher).await;
        assert_eq!(third.size(), 604);
        assert_eq!(roots(&store).await, [(0, 2), (3, 603)]);

        let twin = publisher.twin_reader().unwrap();
        let national = third.national.clone().unwrap();
        assert_eq!(national.checkpoint.origin, twin_origin(ORIGIN));
        assert_eq!(national.checkpoint.size, 604);
        assert_eq!(twin.published().await.unwrap(), Some(national.clone()));
        // The trees of the same entries, made by an auditor.
        let mut audit = TwinAudit::begin(ORIGIN).unwrap();
        for (index, entry) in (0..).zip(entries(&store).await) {
            if index == 0 || index == 3 {
                audit.check_published().unwrap();
            }
            audit.read(&entry).unwrap();
        }
        audit.check_published().unwrap();
        assert_eq!(audit.root(Suite::International), third.international.checkpoint.root);
        assert_eq!(audit.root(Suite::National), national.checkpoint.root);

        // Every entry is proven in both, in each by its own suite alone.
        let keys = keys(true);
        let (key, twin_key) = (keys.international.verifier(), keys.national.as_ref().unwrap().verifier());
        for index in [0, 2, 255, 256, 603] {
            let (entry, proof) = publisher.reader().prove(index).await.unwrap();
            assert_eq!(proof.verify(&entry, key).unwrap(), third.international.checkpoint);
            let (same, twin_proof) = twin.prove(index).await.unwrap();
            assert_eq!(same, entry);
            assert_eq!(twin_proof.verify(&entry, twin_key).unwrap(), national.checkpoint);
            assert!(twin_proof.verify(&entry, key).is_err());
            assert_ne!(twin_proof.path, proof.path);
        }
        let (hashes, _) = twin.prove_consistency(3).await.unwrap();
        let earlier = second.national.unwrap().checkpoint;
        TreeHasher::SM3.verify_consistency(3, &earlier.root, 604, &national.checkpoint.root, &hashes).unwrap();

        // Bundles are stored once and found under both.
        assert!(!directory.join("sm3/tile/entries").exists());
        let bundle = publisher.reader().file("tile/entries/000").await.unwrap();
        assert!(bundle.is_some());
        assert_eq!(twin.file("tile/entries/000").await.unwrap(), bundle);
        assert_ne!(twin.file("tile/0/000").await.unwrap(), publisher.reader().file("tile/0/000").await.unwrap());
        assert_eq!(check_log(&store, publisher.reader(), Some(twin)).await.unwrap(), 604);
        drop(publisher);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_between_any_two_writes_leads_to_the_same_logs() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let directory = factory.directory().join("log");
    let publisher = open(&store, &directory, true).await.unwrap();
    grow(&store, 5).await;
    let early = publish(&publisher).await;
    let early_files = files_of(&directory);
    grow(&store, 295).await;
    let late = publish(&publisher).await;
    let late_files = files_of(&directory);
    drop(publisher);
    assert_eq!(late.size(), 301);

    let is_checkpoint = |path: &Path| path.ends_with("checkpoint");
    let tiles: Vec<_> =
        late_files.iter().filter(|(path, _)| !early_files.contains_key(*path) && !is_checkpoint(path)).collect();
    assert!(tiles.len() >= 8, "{tiles:?}");
    // The process ends after some of the new tiles, and after the entry of both roots or before it: the database has it
    // already, as it has after a crash there. Then after the checkpoint of either log.
    let mut crashes: Vec<Vec<(&PathBuf, &Vec<u8>)>> = Vec::new();
    for kept in 0..=tiles.len() {
        crashes.push(tiles[..kept].to_vec());
        crashes.push(tiles.iter().rev().take(kept).copied().collect());
    }
    for checkpoint in ["checkpoint", "sm3/checkpoint"] {
        let mut written = tiles.clone();
        written.extend(late_files.iter().filter(|(path, _)| *path == Path::new(checkpoint)));
        crashes.push(written);
    }
    for (number, written) in crashes.into_iter().enumerate() {
        let crashed = factory.directory().join(format!("crashed-{number}"));
        write_files(&crashed, &early_files);
        write_files(&crashed, written.iter().copied());
        let publisher = open(&store, &crashed, true).await.unwrap();
        let is_late = written.iter().any(|(path, _)| is_checkpoint(path));
        let found = publisher.reader().published().await.unwrap().unwrap();
        // With one checkpoint written the other follows at once, for a log is never ahead of its twin for long.
        assert_eq!(found, if is_late { late.international.clone() } else { early.international.clone() });
        assert_eq!(publish(&publisher).await, late, "crash {number}");
        assert_eq!(files_of(&crashed), late_files, "crash {number}");
        assert_eq!(check_log(&store, publisher.reader(), publisher.twin_reader()).await.unwrap(), 301);
    }
    assert_eq!(roots(&store).await, [(5, 300)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_there_before_gets_a_twin() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let directory = factory.directory().join("log");
        let alone = open(&store, &directory, false).await.unwrap();
        for count in [3, 510, 87] {
            grow(&store, count).await;
            alone.publish().await.unwrap();
            alone.tidied().await;
        }
        alone.give_back().await.unwrap();
        // A twin that has not begun is no difference.
        let later =
            LogReader::twin(LogFiles::Directory(directory.clone()), keys(true).national.unwrap().verifier().clone());
        assert_eq!(check_log(&store, alone.reader(), Some(&later)).await.unwrap(), 600);
        drop(alone);
        let before = files_of(&directory);
        for attempt in 0..3 {
            let publisher = open(&store, &directory, true).await.unwrap();
            let twin = publisher.twin_reader().unwrap();
            let found = twin.published().await.unwrap().unwrap();
            assert_eq!(found.checkpoint.size, 600);
            assert_eq!(check_log(&store, publisher.reader(), Some(twin)).await.unwrap(), 600);
            let mut files = files_of(&directory);
            files.retain(|path, _| !path.starts_with("sm3"));
            assert_eq!(files, before, "the first log is as it was");
            publisher.give_back().await.unwrap();
            drop(publisher);
            // A process that ended in the middle of this.
            if attempt < 2 {
                std::fs::remove_file(directory.join("sm3/checkpoint")).unwrap();
                std::fs::remove_file(directory.join("sm3/tile/0/001")).unwrap();
            }
        }
        let publisher = open(&store, &directory, true).await.unwrap();
        assert!(roots(&store).await.is_empty());
        grow(&store, 1).await;
        assert_eq!(publish(&publisher).await.size(), 602);
        assert_eq!(roots(&store).await, [(600, 601)]);
        assert_eq!(check_log(&store, publisher.reader(), publisher.twin_reader()).await.unwrap(), 602);
        publisher.give_back().await.unwrap();
        drop(publisher);
        // The twin's checkpoint is lost, after entries of both roots: they are read again on the way.
        std::fs::remove_file(directory.join("sm3/checkpoint")).unwrap();
        let publisher = open(&store, &directory, true).await.unwrap();
        assert_eq!(publisher.twin_reader().unwrap().published().await.unwrap().unwrap().checkpoint.size, 602);
        publisher.give_back().await.unwrap();
        drop(publisher);
        match open(&store, &directory, false).await.err() {
            Some(LogError::TwinLeftOut { size: 602 }) => {}
            other => panic!("{other:?}"),
        }
        // Files of an earlier time, or of a place that another process does not share.
        let elsewhere = factory.directory().join("elsewhere");
        match open(&store, &elsewhere, true).await.err() {
            // The note is not there either: SQLite knows the size that the last entry of both roots is about, PostgreSQL what was
            // published last.
            Some(LogError::FilesBehind { published: 0, database: 600 | 602 }) => {}
            other => panic!("{other:?}"),
        }
    })
    .await;
}

/// Of a log that an earlier version left on SQLite nobody knows what was published last, and of that no entry of both roots may speak
/// yet: an earlier checkpoint is refused.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_checkpoint_is_refused_where_the_last_size_is_not_known() {
    const PATHS: [&str; 2] = ["checkpoint", "sm3/checkpoint"];
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let directory = factory.directory().join("log");
    let publisher = open(&store, &directory, true).await.unwrap();
    grow(&store, 5).await;
    publish(&publisher).await;
    let earlier = PATHS.map(|path| std::fs::read(directory.join(path)).unwrap());
    for count in [300, 40] {
        grow(&store, count).await;
        publish(&publisher).await;
    }
    drop(publisher);
    std::fs::remove_file(directory.join("announced")).unwrap();
    let last = PATHS.map(|path| std::fs::read(directory.join(path)).unwrap());
    grow(&store, 1).await;
    let put = |notes: &[Vec<u8>; 2]| {
        for (path, note) in PATHS.iter().zip(notes) {
            std::fs::write(directory.join(path), note).unwrap();
        }
    };
    put(&earlier);
    let refused = open(&store, &directory, true).await.err();
    assert!(matches!(refused, Some(LogError::FilesBehind { published: 5, database: 306 })), "{refused:?}");
    put(&last);
    let publisher = open(&store, &directory, true).await.unwrap();
    assert_eq!(publish(&publisher).await.size(), 349);
    assert_eq!(check_log(&store, publisher.reader(), publisher.twin_reader()).await.unwrap(), 349);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_and_forks_are_named() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let directory = factory.directory().join("log");
    let publisher = open(&store, &directory, true).await.unwrap();
    for count in [5, 300, 40] {
        grow(&store, count).await;
        publish(&publisher).await;
    }
    let twin = publisher.twin_reader().unwrap();
    assert_eq!(check_log(&store, publisher.reader(), Some(twin)).await.unwrap(), 347);
    for (path, whole) in files_of(&directory) {
        let name = path.to_str().unwrap();
        let file = directory.join(&path);
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        std::fs::write(&file, changed).unwrap();
        let error = check_log(&store, publisher.reader(), Some(twin)).await.err();
        let error = error.unwrap_or_else(|| panic!("{name} was not found"));
        assert!(error.to_string().contains(name) || matches!(error, LogError::EntryDiffers { .. }), "{name}: {error}");
        std::fs::write(&file, whole).unwrap();
    }
    // A twin's checkpoint over other entries, well signed.
    let keys = keys(true);
    let good = twin.published().await.unwrap().unwrap();
    let forged = Checkpoint { root: [9; 32], ..good.checkpoint.clone() };
    let path = directory.join("sm3/checkpoint");
    std::fs::write(&path, forged.sign(keys.national.as_ref().unwrap()).unwrap()).unwrap();
    let found = check_log(&store, publisher.reader(), Some(twin)).await.err();
    assert!(matches!(found, Some(LogError::RootDiffers { size: 347 })), "{found:?}");
    let refused = open(&store, &copy_of(&factory, &directory), true).await.err();
    assert!(matches!(refused, Some(LogError::RootDiffers { size: 347 })), "{refused:?}");
    std::fs::write(&path, &good.note).unwrap();

    // The table names another place, and then none, for an entry that holds the roots.
    let raw = factory.raw().await;
    raw.execute_unprepared("DROP TRIGGER log_roots_append_only_update").await.unwrap();
    raw.execute_unprepared("DROP TRIGGER log_roots_append_only_delete").await.unwrap();
    raw.execute_unprepared("UPDATE log_roots SET log_entry = 7 WHERE size = 5").await.unwrap();
    let found = check_log(&store, publisher.reader(), Some(twin)).await.err();
    assert!(matches!(found, Some(LogError::RootsUnknown { .. })), "{found:?}");
    raw.execute_unprepared("DELETE FROM log_roots WHERE size = 5").await.unwrap();
    let found = check_log(&store, publisher.reader(), Some(twin)).await.err();
    assert!(matches!(found, Some(LogError::RootsUnknown { .. })), "{found:?}");
    raw.execute_unprepared("INSERT INTO log_roots (size, log_entry) VALUES (5, 305), (200, 9)").await.unwrap();
    let found = check_log(&store, publisher.reader(), Some(twin)).await.err();
    assert!(
        matches!(found, Some(LogError::Log(TransparencyError::RootsMissing { .. }) | LogError::RootsUnknown { .. })),
        "{found:?}"
    );
}

fn copy_of(factory: &StoreFactory, directory: &Path) -> PathBuf {
    let copy = factory.directory().join("copy");
    copy_files(directory, &copy);
    copy
}

/// Copies a log's files.
pub fn copy_files(from: &Path, to: &Path) {
    write_files(to, &files_of(from));
}

/// Signature lines may be added between signing and publishing, and after it; nothing else may change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_published_with_the_lines_that_they_were_given() {
    let factory = StoreFactory::sqlite();
    let store = factory.open().await;
    let directory = factory.directory().join("log");
    let publisher = open(&store, &directory, true).await.unwrap();
    grow(&store, 3).await;
    let signed = publisher.sign().await.unwrap();
    assert_eq!(publisher.reader().published().await.unwrap(), None);
    let line = "— witness.example AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\n";
    let mut cosigned = signed.clone();
    cosigned.international.note.push_str(line);
    publisher.release(cosigned.clone()).await.unwrap();
    assert_eq!(publisher.reader().published().await.unwrap(), Some(cosigned.international.clone()));
    assert_eq!(publisher.sign().await.unwrap(), cosigned);
    cosigned.national.as_mut().unwrap().note.push_str(line);
    publisher.release(cosigned.clone()).await.unwrap();
    drop(publisher);
    let publisher = open(&store, &directory, true).await.unwrap();
    assert_eq!(publisher.sign().await.unwrap(), cosigned);

    grow(&store, 1).await;
    let later = publisher.sign().await.unwrap();
    // Heads of an earlier size that are not those that were published.
    match publisher.release(signed).await {
        Err(LogError::Superseded { size: 3 }) => {}
        other => panic!("{other:?}"),
    }
    let mut torn = later.clone();
    torn.national = None;
    assert!(publisher.release(torn).await.is_err());
    publisher.release(later).await.unwrap();
    assert!(LogEntry::decode(&store.log_entry(4).await.unwrap().unwrap()).is_err());
}

/// A publisher that waited for its witnesses while more bundles filled than are tidied at once removes their beginnings all the same,
/// in both logs and in either place: some with each pass, by whichever process, and those that an earlier version left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beginnings_of_more_tiles_than_are_tidied_at_once_go_in_the_end() {
    const PASSES: u64 = 3;
    /// Entries of one signing, of which each ends in another bundle.
    const STEP: u64 = 700;
    const LEFT: &str = "tile/entries/001.p/188";
    let size = (PASSES - 1) * OUTGROWN_BUNDLES_MAX * TILE_WIDTH + 5_000;
    for is_directory in [true, false] {
        let factory = StoreFactory::sqlite();
        let store = factory.open().await;
        let directory = factory.directory().join("log");
        let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let place = match is_directory {
            true => LogFiles::Directory(directory.clone()),
            false => LogFiles::Objects { store: Arc::clone(&memory), prefix: "log".into(), lock: None },
        };
        let beginnings = async || {
            let mut names: Vec<String> = match is_directory {
                true => files_of(&directory).keys().map(|path| path.display().to_string()).collect(),
                false => {
                    let objects: Vec<_> = memory.list(None).try_collect().await.unwrap();
                    let name = |location: &ObjectPath| location.as_ref().strip_prefix("log/").unwrap().to_owned();
                    objects.iter().map(|found| name(&found.location)).collect()
                }
            };
            names.retain(|name| name.contains(".p/"));
            names.sort();
            names
        };
        let opened = async || LogPublisher::open(&store, place.clone(), keys(true)).await.unwrap();

        let publisher = opened().await;
        let raw = factory.raw().await;
        let mut heads = None;
        for first in (0..size).step_by(STEP as usize) {
            let last = (first + STEP).min(size) - 1;
            let grown = format!(
                "WITH RECURSIVE number(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM number WHERE i < {last}) \
                 INSERT INTO log_entry (idx, bytes) SELECT i, CAST('entry ' || i AS BLOB) FROM number"
            );
            raw.execute_unprepared(&grown).await.unwrap();
            heads = Some(publisher.sign().await.unwrap());
        }
        let signings = size.div_ceil(STEP) as usize;
        let waiting = beginnings().await;
        assert!(waiting.len() > 3 * signings, "{} beginnings of {signings} signings", waiting.len());
        let (edge, bundles) = (size % TILE_WIDTH, size / TILE_WIDTH);
        let mut at_the_edge = vec![
            format!("sm3/tile/0/{bundles:03}.p/{edge}"),
            format!("sm3/tile/1/000.p/{bundles}"),
            format!("tile/0/{bundles:03}.p/{edge}"),
            format!("tile/1/000.p/{bundles}"),
            format!("tile/entries/{bundles:03}.p/{edge}"),
        ];
        // Tiles of the upper level are not full yet, so all beginnings of theirs stay.
        at_the_edge.extend(waiting.iter().filter(|name| name.contains("tile/1/")).cloned());
        at_the_edge.sort();
        at_the_edge.dedup();

        publisher.release(heads.unwrap()).await.unwrap();
        publisher.tidied().await;
        let mut left = vec![waiting.len(), beginnings().await.len()];
        drop(publisher);
        let publisher = opened().await;
        publisher.tidied().await;
        left.push(beginnings().await.len());
        publisher.keep().await.unwrap();
        publisher.tidied().await;
        assert_eq!(beginnings().await, at_the_edge, "{left:?} before");
        assert!(left[0] > left[1] && left[1] > left[2] && left[2] > at_the_edge.len(), "{left:?}");

        // What an earlier version left, which noted nothing.
        drop(publisher);
        let bundle: Vec<u8> = (256..256 + 188).flat_map(|index| format!("\0\u{9}entry {index}").into_bytes()).collect();
        match is_directory {
            true => {
                std::fs::remove_file(directory.join("tidied")).unwrap();
                write_files(&directory, [(&PathBuf::from(LEFT), &bundle)]);
            }
            false => {
                memory.delete(&ObjectPath::from("log/tidied")).await.unwrap();
                memory.put(&ObjectPath::from(format!("log/{LEFT}")), bundle.into()).await.unwrap();
            }
        }
        assert_eq!(beginnings().await.len(), at_the_edge.len() + 1);
        let publisher = opened().await;
        publisher.tidied().await;
        assert_eq!(beginnings().await, at_the_edge);
    }
}
