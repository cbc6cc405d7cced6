//! Several processes on one PostgreSQL database: one publishes, and one that was stopped and goes on later writes nothing.

use std::collections::BTreeMap;
use std::time::Duration;

use lingqu_store::Store;
use lingqu_store::log::{LogError, check_log};
use lingqu_tests::{PrivatePostgres, StoreFactory};
use lingqu_transparency::verify_consistency;
use sea_orm::ConnectionTrait;

use crate::sample::{append, append_new};
use crate::twin::{copy_files, grow, open, roots};

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
