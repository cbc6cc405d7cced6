//! A permit can't slip past a suspension that commits at the same time.

use std::time::{SystemTime, UNIX_EPOCH};

use lingqu_store::journal::Appended;
use lingqu_store::{AppendError, Store};
use lingqu_tests::{StoreFactory, both};

use crate::sample::{append, append_new};

const ROUNDS: u64 = 12;
const PERMITS_PER_ROUND: u64 = 6;

/// Small, seeded, good enough to vary the order of events.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// In each round permits that read a mandate at its version race the mandate's suspension, through two stores on the same
/// database. A permit that was granted must stand before the suspension; after it, every permit must be a conflict.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_permit_is_granted_after_the_suspension_it_did_not_see() {
    let seed = std::env::var("LINGQU_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_nanos() as u64 | 1));
    println!("seed {seed} (run again with LINGQU_SEED={seed})");
    both(async |factory: StoreFactory| {
        let mut random = Random(seed);
        let stores = [factory.open().await, factory.open().await];
        let mut granted_count = 0;
        let mut refused_count = 0;
        for round in 0..ROUNDS {
            let mandate = format!("mdt_{round}");
            append_new(&stores[0], append(&mandate, 0, "mandate_granted")).await;
            let suspension_place = random.next() % (PERMITS_PER_ROUND + 1);
            let mut tasks = Vec::new();
            for place in 0..=PERMITS_PER_ROUND {
                let store = stores[(random.next() % 2) as usize].clone();
                let mandate = mandate.clone();
                let yields = random.next() % 8;
                tasks.push(tokio::spawn(async move {
                    for _ in 0..yields {
                        tokio::task::yield_now().await;
                    }
                    if place == suspension_place {
                        append_new(&store, append(&mandate, 1, "mandate_suspended")).await;
                        return None;
                    }
                    Some(grant(&store, &mandate, &format!("pmt_{round}_{place}")).await)
                }));
            }
            for task in tasks {
                match task.await.unwrap() {
                    Some(true) => granted_count += 1,
                    Some(false) => refused_count += 1,
                    None => {}
                }
            }
        }
        assert_eq!(granted_count + refused_count, ROUNDS * PERMITS_PER_ROUND);
        println!(
            "{:?}: {granted_count} permits granted before, {refused_count} refused after the suspension",
            factory.backend()
        );

        let records = stores[1].read_after(0, 1_000).await.unwrap();
        let positions: Vec<u64> = records.iter().map(|record| record.position).collect();
        assert_eq!(positions, (1..=records.len() as u64).collect::<Vec<_>>(), "positions have a gap");
        assert_eq!(records.len() as u64, 2 * ROUNDS + granted_count);
        for round in 0..ROUNDS {
            let of_round: Vec<&str> = records
                .iter()
                .filter(|record| {
                    record.stream == format!("mdt_{round}") || record.stream.starts_with(&format!("pmt_{round}_"))
                })
                .map(|record| record.kind.as_str())
                .collect();
            let suspended =
                of_round.iter().position(|kind| *kind == "mandate_suspended").expect("the suspension always commits");
            assert_eq!(
                suspended,
                of_round.len() - 1,
                "round {round}: a permit stands after the suspension: {of_round:?}"
            );
        }
    })
    .await;
}

/// Grants a permit under the mandate as it was before the race; whether that succeeded.
async fn grant(store: &Store, mandate: &str, permit: &str) -> bool {
    let mut grant = append(permit, 0, "permit_granted");
    grant.reads.push((mandate.to_owned(), 1));
    match store.append(grant).await {
        Ok(Appended::New { .. }) => true,
        Err(AppendError::Conflict { stream, expected: 1, found: 2 }) => {
            assert_eq!(stream, mandate);
            false
        }
        other => panic!("{other:?}"),
    }
}

/// A follower that asks for what comes after the last position it saw misses nothing while writers race.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_follower_misses_no_position() {
    const WRITERS: u64 = 4;
    const APPENDS: u64 = 20;
    both(async |factory: StoreFactory| {
        let stores = [factory.open().await, factory.open().await];
        let mut writers = Vec::new();
        for writer in 0..WRITERS {
            let store = stores[(writer % 2) as usize].clone();
            writers.push(tokio::spawn(async move {
                for number in 0..APPENDS {
                    append_new(&store, append(&format!("tkt_{writer}_{number}"), 0, "ticket_opened")).await;
                }
            }));
        }
        let follower = factory.open().await;
        let mut seen = 0;
        while seen < WRITERS * APPENDS {
            for record in follower.read_after(seen, 7).await.unwrap() {
                assert_eq!(record.position, seen + 1, "the follower skipped a position");
                seen = record.position;
            }
        }
        for writer in writers {
            writer.await.unwrap();
        }
    })
    .await;
}
