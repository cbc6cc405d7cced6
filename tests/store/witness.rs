//! What the node cosigned as a witness: it only moves on, whoever writes at the same moment, and the database refuses the rest.

use lingqu_store::witness::WITNESSED_NOTE_BYTES_MAX;
use lingqu_store::{Backend, Store};
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{Checkpoint, Witnessed};
use sea_orm::ConnectionTrait;

const ORIGIN: &str = "node.example/log";

fn witnessed(origin: &str, size: u64, history: u8) -> Witnessed {
    Witnessed {
        checkpoint: Checkpoint { origin: origin.to_owned(), size, root: [history; 32] },
        note: format!("{origin}\n{size}\nroot {history}\n\n— signature\n"),
    }
}

async fn size_of(store: &Store) -> Option<u64> {
    store.witnessed(ORIGIN).await.unwrap().map(|found| found.checkpoint.size)
}

#[tokio::test]
async fn a_memory_moves_on_by_the_size_that_stands_there() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        assert_eq!(store.witnessed(ORIGIN).await.unwrap(), None);
        assert!(!store.advance_witnessed(3, &witnessed(ORIGIN, 5, 1)).await.unwrap());
        assert!(store.advance_witnessed(0, &witnessed(ORIGIN, 0, 0)).await.unwrap());
        assert!(store.advance_witnessed(0, &witnessed(ORIGIN, 5, 1)).await.unwrap());
        for from in [0, 4, 6] {
            assert!(!store.advance_witnessed(from, &witnessed(ORIGIN, 9, 2)).await.unwrap(), "from {from}");
        }
        // The same checkpoint again, with lines of another instant.
        let mut again = witnessed(ORIGIN, 5, 1);
        again.note.push_str("— later\n");
        assert!(store.advance_witnessed(5, &again).await.unwrap());
        assert_eq!(store.witnessed(ORIGIN).await.unwrap(), Some(again.clone()));
        // Another root of that size, a smaller size and a note that is too long are refused before anything is written.
        assert!(store.advance_witnessed(5, &witnessed(ORIGIN, 5, 2)).await.is_err());
        assert!(store.advance_witnessed(5, &witnessed(ORIGIN, 4, 2)).await.is_err());
        let mut long = witnessed(ORIGIN, 9, 2);
        long.note = "x".repeat(WITNESSED_NOTE_BYTES_MAX + 1);
        assert!(store.advance_witnessed(5, &long).await.is_err());
        // Another process reads it, by name and by what monitors ask with; logs don't touch each other.
        let store = factory.open().await;
        assert!(store.advance_witnessed(0, &witnessed("other.example/log", 7, 3)).await.unwrap());
        let hash = lingqu_crypto::sha256(ORIGIN.as_bytes()).to_string();
        assert_eq!(store.witnessed_by_hash(&hash).await.unwrap(), Some(again));
        assert_eq!(store.witnessed_by_hash("").await.unwrap(), None);
        let sizes: Vec<u64> = store.witnessed_logs().await.unwrap().iter().map(|found| found.checkpoint.size).collect();
        assert_eq!(sizes, [5, 7]);
    })
    .await;
}

/// The race of the specification: requests for different sizes that were judged against the same one.
#[tokio::test]
async fn of_requests_that_cross_one_is_remembered() {
    both(async |factory: StoreFactory| {
        let stores = [factory.open().await, factory.open().await];
        assert!(stores[0].advance_witnessed(0, &witnessed(ORIGIN, 1, 1)).await.unwrap());
        let mut size = 1;
        for round in 0..6_u64 {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..8_u64 {
                let (store, from) = (stores[(number % 2) as usize].clone(), size);
                let to = size + 1 + (number + round) % 8;
                tasks.spawn(async move {
                    store.advance_witnessed(from, &witnessed(ORIGIN, to, 1)).await.unwrap().then_some(to)
                });
            }
            let won: Vec<u64> = tasks.join_all().await.into_iter().flatten().collect();
            assert_eq!(won.len(), 1, "{won:?}");
            size = won[0];
            assert_eq!(size_of(&stores[1]).await, Some(size));
        }
    })
    .await;
}

#[tokio::test]
async fn the_database_itself_takes_nothing_back() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        assert!(store.advance_witnessed(0, &witnessed(ORIGIN, 9, 1)).await.unwrap());
        let raw = factory.raw().await;
        let mut attempts = vec![
            "UPDATE witnessed SET size = 8",
            "UPDATE witnessed SET origin = 'x'",
            "DELETE FROM witnessed",
            "INSERT INTO witnessed SELECT origin, origin_hash, 1, root, note FROM witnessed",
        ];
        match factory.backend() {
            Backend::Sqlite => attempts.extend([
                "UPDATE witnessed SET root = zeroblob(32)",
                "INSERT OR REPLACE INTO witnessed SELECT origin, origin_hash, 1, root, note FROM witnessed",
            ]),
            Backend::Postgres => {
                attempts.extend(["UPDATE witnessed SET root = decode(repeat('00', 32), 'hex')", "TRUNCATE witnessed"]);
            }
        }
        for attempt in attempts {
            assert!(raw.execute_unprepared(attempt).await.is_err(), "{attempt}");
        }
        raw.execute_unprepared("UPDATE witnessed SET size = 10").await.unwrap();
        assert_eq!(size_of(&store).await, Some(10));
    })
    .await;
}
