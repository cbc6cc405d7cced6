//! Several processes on one PostgreSQL database: one publishes, and one that was stopped and goes on later writes nothing.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lingqu_store::Store;
use lingqu_store::log::{LEASE, LogError, LogFiles, LogPublisher, check_log};
use lingqu_tests::{PrivatePostgres, StoreFactory, both};
use lingqu_transparency::verify_consistency;
use object_store::ObjectStore;
use object_store::memory::InMemory;
use object_store::throttle::{ThrottleConfig, ThrottledStore};
use sea_orm::ConnectionTrait;

use crate::sample::{append, append_new};
use crate::twin::{copy_files, grow, keys, open, roots};

/// How often both begin to publish.
const ROUNDS: usize = 20;
/// How often each publishes then.
const PUBLICATIONS: usize = 4;

async fn factory() -> Option<StoreFactory> {
    Some(StoreFactory::postgres(PrivatePostgres::needed("the sequencer")?).await)
}

/// What happens when a holder has been silent for longer than its place is kept.
async fn lapse(store: &Store, factory: &StoreFactory) {
    let raw = factory.raw().await;
    raw.execute_unprepared("UPDATE sequencer SET seen_at_unix_ms = seen_at_unix_ms - 3600000").await.unwrap();
    drop(raw);
    assert!(store.log_size().await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_was_stopped_is_refused_wherever_it_goes_on() {
    let Some(factory) = factory().await else { return };
    let (store, other_store) = (factory.open().await, factory.open().await);
    let directory = factory.directory().join("log");
    grow(&store, 5).await;
    let first = open(&store, &directory, true).await.unwrap();
    let published = first.publish().await.unwrap();
    assert_eq!(published.checkpoint.size, 5);
    assert!(matches!(open(&other_store, &directory, true).await.err(), Some(LogError::NotSequencer { .. })));
    first.keep().await.unwrap();

    // It is stopped with the next heads signed and not published.
    grow(&store, 3).await;
    let signed = first.sign().await.unwrap();
    assert_eq!(signed.size(), 9);
    assert!(matches!(open(&other_store, &directory, true).await.err(), Some(LogError::NotSequencer { .. })));
    lapse(&store, &factory).await;
    grow(&store, 2).await;
    let second = open(&other_store, &directory, true).await.unwrap();
    // The entry of both roots at 5 is there once, whoever wrote it.
    assert_eq!(second.publish().await.unwrap().checkpoint.size, 11);
    assert_eq!(roots(&store).await, [(5, 8)]);

    // It goes on: no checkpoint, no entry, no place.
    let served = second.reader().published().await.unwrap();
    assert!(matches!(first.release(signed).await, Err(LogError::SequencerLost)));
    grow(&store, 1).await;
    assert!(matches!(first.publish().await, Err(LogError::SequencerLost)));
    first.give_back().await.unwrap();
    assert_eq!(second.reader().published().await.unwrap(), served);
    assert_eq!(second.publish().await.unwrap().checkpoint.size, 13);
    assert_eq!(roots(&store).await, [(5, 8), (11, 12)]);
    drop(first);
    assert!(matches!(open(&store, &directory, true).await.err(), Some(LogError::NotSequencer { .. })));
    assert_eq!(check_log(&store, second.reader(), second.twin_reader()).await.unwrap(), 13);

    // One that ends in order leaves its place at once.
    second.give_back().await.unwrap();
    let third = open(&store, &directory, true).await.unwrap();
    grow(&store, 1).await;
    assert_eq!(third.publish().await.unwrap().checkpoint.size, 15);
    assert!(matches!(second.publish().await, Err(LogError::SequencerLost)));
}

/// A holder that died before the database's clock was set back by an hour keeps its place no longer than another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_was_set_back_does_not_keep_the_place() {
    let Some(factory) = factory().await else { return };
    let (store, other_store) = (factory.open().await, factory.open().await);
    let directory = factory.directory().join("log");
    grow(&store, 5).await;
    let first = open(&store, &directory, true).await.unwrap();
    first.publish().await.unwrap();
    let raw = factory.raw().await;
    raw.execute_unprepared("UPDATE sequencer SET seen_at_unix_ms = seen_at_unix_ms + 3600000").await.unwrap();
    drop(raw);
    let second = open(&other_store, &directory, true).await.unwrap();
    grow(&store, 1).await;
    assert!(matches!(first.publish().await, Err(LogError::SequencerLost)));
    assert_eq!(second.publish().await.unwrap().checkpoint.size, 7);
}

/// A backlog that takes longer to publish than a place is kept does not cost it: the place is renewed on the way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_does_not_cost_the_place() {
    let Some(factory) = factory().await else { return };
    let (store, other_store) = (factory.open().await, factory.open().await);
    let directory = factory.directory().join("log");
    let publisher = open(&store, &directory, false).await.unwrap();
    grow(&store, 5).await;
    // Nothing is published yet, so nothing else than the entries' loop renews. It has been silent for long when it comes there.
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    lapse(&store, &factory).await;
    let signed = publisher.sign().await.unwrap();
    assert!(matches!(open(&other_store, &directory, false).await.err(), Some(LogError::NotSequencer { .. })));
    publisher.release(signed).await.unwrap();
    // Once another has taken it, the loop ends at its next renewal.
    grow(&store, 5).await;
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    lapse(&store, &factory).await;
    let second = open(&other_store, &directory, false).await.unwrap();
    assert!(matches!(publisher.sign().await, Err(LogError::SequencerLost)));
    assert_eq!(second.publish().await.unwrap().checkpoint.size, 10);
}

/// A process with a log directory of its own, as it was when another one published last into the shared one, would go on without
/// the entry about the size that the other has published.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_directory_that_is_not_shared_is_refused() {
    let Some(factory) = factory().await else { return };
    let store = factory.open().await;
    let (shared, own) = (factory.directory().join("log"), factory.directory().join("own"));
    grow(&store, 5).await;
    let publisher = open(&store, &shared, true).await.unwrap();
    assert_eq!(publisher.publish().await.unwrap().checkpoint.size, 5);
    copy_files(&shared, &own);
    grow(&store, 1).await;
    assert_eq!(publisher.publish().await.unwrap().checkpoint.size, 7);
    publisher.give_back().await.unwrap();
    match open(&store, &own, true).await.err() {
        Some(LogError::FilesBehind { published: 5, database: 7 }) => {}
        other => panic!("{other:?}"),
    }
    // The refusal has left the place to others.
    assert!(open(&store, &shared, true).await.is_ok());
}

/// An object store that takes its time over each put, once it is told how much.
type SlowStore = ThrottledStore<Arc<dyn ObjectStore>>;

fn slow(store: &Arc<dyn ObjectStore>) -> Arc<SlowStore> {
    Arc::new(ThrottledStore::new(Arc::clone(store), ThrottleConfig::default()))
}

fn in_objects(store: Arc<dyn ObjectStore>) -> LogFiles {
    LogFiles::Objects { store, prefix: "log".into(), lock: None }
}

/// A process that is stopped while it writes a checkpoint holds the row in a transaction. The server ends that after a while, so
/// another takes over; when the first goes on, its write arrives and its transaction can't be committed. Whoever comes next, after the
/// second has died too, goes on from what was published last and not from the checkpoint that was put back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_is_stopped_while_it_writes_keeps_nobody_out() {
    const WRITE: Duration = Duration::from_secs(5);
    let Some(factory) = factory().await else { return };
    let store = factory.open().await;
    grow(&store, 5).await;
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let (config, slow) = (factory.config(), slow(&memory));
    let (stopped, is_stopped) = tokio::sync::oneshot::channel();
    let (go_on, goes_on) = std::sync::mpsc::sync_channel(1);
    // A runtime of one thread, which waits within: nothing of this process goes on meanwhile, neither timers nor connections.
    let process = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(config).await.unwrap();
            let publisher = LogPublisher::open(&store, in_objects(slow.clone()), keys(false)).await.unwrap();
            let signed = publisher.sign().await.unwrap();
            assert_eq!(signed.size(), 5);
            slow.config_mut(|config| config.wait_put_per_call = WRITE);
            let (released, ()) = tokio::join!(publisher.release(signed), async {
                tokio::time::sleep(WRITE / 2).await;
                stopped.send(()).unwrap();
                goes_on.recv_timeout(LEASE * 6).unwrap();
            });
            let served = publisher.reader().published().await.unwrap().unwrap();
            (released, served, publisher.keep().await, publisher.publish().await)
        })
    });
    is_stopped.await.unwrap();
    let begun = Instant::now();
    let second = loop {
        match LogPublisher::open(&store, in_objects(Arc::clone(&memory)), keys(false)).await {
            Ok(second) => break second,
            Err(LogError::NotSequencer { .. }) => tokio::time::sleep(Duration::from_millis(200)).await,
            Err(error) => panic!("{error}"),
        }
        assert!(begun.elapsed() < LEASE * 4, "the row is still held");
    };
    grow(&store, 2).await;
    let published = second.publish().await.unwrap();
    assert_eq!(published.checkpoint.size, 7);

    // It goes on. What it wrote is an earlier checkpoint of the same log, and it finds itself cut off wherever it tries.
    go_on.send(()).unwrap();
    let (released, served, kept, again) = process.join().unwrap();
    assert!(matches!(released, Err(LogError::SequencerLost | LogError::Store(_))), "{released:?}");
    assert_eq!(served.checkpoint.size, 5);
    assert!(matches!(kept, Err(LogError::SequencerLost)), "{kept:?}");
    assert!(matches!(again, Err(LogError::SequencerLost)), "{again:?}");
    assert_eq!(second.reader().published().await.unwrap(), Some(served));

    // The second one dies before it puts that right.
    second.give_back().await.unwrap();
    drop(second);
    let third = LogPublisher::open(&store, in_objects(memory), keys(false)).await.unwrap();
    assert_eq!(third.publish().await.unwrap().checkpoint, published.checkpoint);
    grow(&store, 1).await;
    assert_eq!(third.publish().await.unwrap().checkpoint.size, 8);
    assert_eq!(check_log(&store, third.reader(), None).await.unwrap(), 8);
}

/// A process whose object store takes longer over a checkpoint than a place is kept is there all the while, and keeps its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_write_does_not_cost_the_place() {
    let Some(factory) = factory().await else { return };
    let (store, other_store) = (factory.open().await, factory.open().await);
    let memory: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let slow = slow(&memory);
    slow.config_mut(|config| config.wait_put_per_call = LEASE + Duration::from_secs(3));
    let publisher = LogPublisher::open(&store, in_objects(slow), keys(false)).await.unwrap();
    let signed = publisher.sign().await.unwrap();
    let (released, ()) = tokio::join!(publisher.release(signed), async {
        tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
        let refused = LogPublisher::open(&other_store, in_objects(memory), keys(false)).await.err();
        assert!(matches!(refused, Some(LogError::NotSequencer { .. })), "{refused:?}");
    });
    released.unwrap();
    publisher.keep().await.unwrap();
}

/// An earlier checkpoint that was put back, of either log or of both, or one that is lost: publishing goes on from what was published
/// last, with the same roots, and nothing smaller is served. What lies between must be there. Of the last size no entry of both roots
/// speaks: a checkpoint that was set back by that one alone is noticed too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_checkpoint_that_was_put_back_does_not_end_publishing() {
    both(go_on_after_a_checkpoint_that_was_put_back).await;
}

async fn go_on_after_a_checkpoint_that_was_put_back(factory: StoreFactory) {
    const PATHS: [&str; 2] = ["checkpoint", "sm3/checkpoint"];
    let store = factory.open().await;
    let directory = factory.directory().join("log");
    let publisher = open(&store, &directory, true).await.unwrap();
    let mut earlier = Vec::new();
    for count in [5, 300, 40] {
        grow(&store, count).await;
        publisher.publish().await.unwrap();
        earlier.push(PATHS.map(|path| fs::read(directory.join(path)).unwrap()));
    }
    let mut published = publisher.publish().await.unwrap().checkpoint;
    publisher.tidied().await;
    publisher.give_back().await.unwrap();
    drop(publisher);
    for back in earlier[..2].iter().rev() {
        for files in [&[0, 1][..], &[0], &[1]] {
            for file in files {
                fs::write(directory.join(PATHS[*file]), &back[*file]).unwrap();
            }
            let publisher = open(&store, &directory, true).await.unwrap();
            assert_eq!(publisher.publish().await.unwrap().checkpoint, published, "{files:?}");
            grow(&store, 1).await;
            published = publisher.publish().await.unwrap().checkpoint;
            assert_eq!(published.size, store.log_size().await.unwrap());
            let size = check_log(&store, publisher.reader(), publisher.twin_reader()).await.unwrap();
            assert_eq!(size, published.size);
            publisher.give_back().await.unwrap();
        }
    }
    for path in PATHS {
        fs::remove_file(directory.join(path)).unwrap();
    }
    let publisher = open(&store, &directory, true).await.unwrap();
    assert_eq!(publisher.publish().await.unwrap().checkpoint, published);
    publisher.give_back().await.unwrap();
    drop(publisher);

    // The same with a tile that has another content, or is missing.
    let tile = directory.join("tile/0/000");
    let whole = fs::read(&tile).unwrap();
    let mut changed = whole.clone();
    changed[40 * 32] ^= 1;
    for path in [0, 1] {
        fs::write(directory.join(PATHS[path]), &earlier[0][path]).unwrap();
    }
    fs::write(&tile, changed).unwrap();
    let refused = open(&store, &directory, true).await.err();
    assert!(matches!(&refused, Some(LogError::FileDiffers { path }) if path == "tile/0/000"), "{refused:?}");
    let edge = directory.join(format!("tile/0/001.p/{}", published.size - 256));
    fs::write(&tile, whole).unwrap();
    fs::rename(&edge, directory.join("kept")).unwrap();
    let refused = open(&store, &directory, true).await.err();
    assert!(matches!(refused, Some(LogError::FilesBehind { published: 5, .. })), "{refused:?}");
    fs::rename(directory.join("kept"), &edge).unwrap();
    let publisher = open(&store, &directory, true).await.unwrap();
    assert_eq!(publisher.publish().await.unwrap().checkpoint, published);
}

/// A log without a twin whose checkpoint is an earlier one than was announced gets its twin at the announced size.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_begins_at_the_size_that_was_announced() {
    both(begin_a_twin_at_the_size_that_was_announced).await;
}

async fn begin_a_twin_at_the_size_that_was_announced(factory: StoreFactory) {
    let store = factory.open().await;
    let directory = factory.directory().join("log");
    let alone = open(&store, &directory, false).await.unwrap();
    grow(&store, 200).await;
    alone.publish().await.unwrap();
    let earlier = fs::read(directory.join("checkpoint")).unwrap();
    grow(&store, 100).await;
    let announced = alone.publish().await.unwrap().checkpoint;
    alone.tidied().await;
    alone.give_back().await.unwrap();
    drop(alone);
    // It ended before the file was written, and has entries that nobody published.
    fs::write(directory.join("checkpoint"), earlier).unwrap();
    grow(&store, 10).await;
    let publisher = open(&store, &directory, true).await.unwrap();
    assert_eq!(publisher.publish().await.unwrap().checkpoint.size, 311);
    assert_eq!(roots(&store).await, [(300, 310)]);
    assert_eq!(check_log(&store, publisher.reader(), publisher.twin_reader()).await.unwrap(), 311);
    let (hashes, now) = publisher.reader().prove_consistency(300).await.unwrap();
    verify_consistency(300, &announced.root, 311, &now.checkpoint.root, &hashes).unwrap();
}

/// Both publish as fast as they can while the place is taken from whoever has it: every published size has one root.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_place_that_changes_hands_all_the_time_never_forks_the_log() {
    let Some(factory) = factory().await else { return };
    let directory = factory.directory().join("log");
    let stores = [factory.open().await, factory.open().await];
    let (mut seen, mut published, mut lost) = (BTreeMap::new(), [0_u32; 2], 0_u32);
    for round in 0..ROUNDS {
        let [left, right] = [0, 1].map(|side: usize| {
            let (store, directory) = (&stores[side], directory.clone());
            async move {
                let publisher = open(store, &directory, true).await?;
                let mut heads = Vec::new();
                for number in 0..PUBLICATIONS {
                    let stream = format!("tkt_{round}_{side}_{number}");
                    append_new(store, append(&stream, 0, "ticket_opened")).await;
                    heads.push(publisher.publish().await?);
                }
                Ok::<_, LogError>(heads)
            }
        });
        let (left, right, ()) = tokio::join!(left, right, lapse(&stores[0], &factory));
        for (side, ended) in [left, right].into_iter().enumerate() {
            match ended {
                Ok(heads) => {
                    published[side] += 1;
                    for head in heads {
                        let before = seen.insert(head.checkpoint.size, head.checkpoint.root);
                        assert!(before.is_none_or(|root| root == head.checkpoint.root), "round {round}");
                    }
                }
                Err(LogError::NotSequencer { .. } | LogError::SequencerLost) => lost += 1,
                Err(error) => panic!("round {round}: {error}"),
            }
        }
    }
    println!("{published:?} turns came to their end, {lost} were refused or cut off");
    assert!(published.iter().sum::<u32>() > 0 && lost > 0);
    lapse(&stores[0], &factory).await;
    let publisher = open(&stores[0], &directory, true).await.unwrap();
    publisher.publish().await.unwrap();
    let size = check_log(&stores[0], publisher.reader(), publisher.twin_reader()).await.unwrap();
    assert_eq!(size, stores[0].log_size().await.unwrap());
    let sizes: Vec<u64> = roots(&stores[0]).await.into_iter().map(|(size, _)| size).collect();
    assert!(sizes.is_sorted_by(|one, next| one < next), "{sizes:?}");
    // Whatever anybody was shown is a beginning of what is there now.
    for (size, root) in seen {
        let (hashes, now) = publisher.reader().prove_consistency(size).await.unwrap();
        verify_consistency(size, &root, now.checkpoint.size, &now.checkpoint.root, &hashes).unwrap();
    }
}
