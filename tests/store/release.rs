//! The record of released statistics: nothing slips in between a look and an entry, and nothing is kept without bound.

use std::collections::BTreeSet;

use lingqu_store::release::{RELEASED_PAGE_MAX, Recipient, Release, ReleasedNumber, ReleasedRange};
use lingqu_tests::{StoreFactory, both};
use sea_orm::ConnectionTrait;

fn recipient(consumer: &str, affiliates: &[&str]) -> Recipient {
    Recipient {
        resources: "rsc_1".to_owned(),
        overlapping: Vec::new(),
        consumer: consumer.to_owned(),
        affiliates: affiliates.iter().map(|party| (*party).to_owned()).collect(),
        naming: "by trip".to_owned(),
        unnamed: BTreeSet::from([("rsc_1".to_owned(), consumer.to_owned())]),
    }
}

fn number(contributors: u64) -> ReleasedNumber {
    ReleasedNumber {
        family: "*".to_owned(),
        contributors_min: contributors,
        contributors_max: contributors,
        sketch: contributors.to_be_bytes().to_vec(),
    }
}

fn all() -> ReleasedRange {
    ReleasedRange { family: "*".to_owned(), contributors: 0..=u64::MAX, after: 0, until: 1_000_000 }
}

#[tokio::test]
async fn numbers_are_found_again_by_family_and_contributors() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let first = recipient("pty_1", &["pty_2"]);
        assert_eq!(store.released_head(&first).await.unwrap(), 0);
        let numbers: Vec<ReleasedNumber> = (1..=1_200).map(number).collect();
        assert_eq!(store.release(&first, 0, &numbers, 2_000).await.unwrap(), Release::Recorded);
        let other_family = ReleasedNumber { family: "salary".to_owned(), ..number(7) };
        // Another process, and the affiliate: one record.
        let store = factory.open().await;
        let second = recipient("pty_2", &["pty_1"]);
        // After the numbers stands what they know rows by.
        assert_eq!(store.released_head(&second).await.unwrap(), 1_201);
        assert_eq!(
            store.release(&second, 1_201, std::slice::from_ref(&other_family), 2_000).await.unwrap(),
            Release::Recorded
        );

        let page = store.released(&first, &all()).await.unwrap();
        assert_eq!(page.len() as u64, RELEASED_PAGE_MAX);
        let rest = store.released(&first, &ReleasedRange { after: 1_000, ..all() }).await.unwrap();
        assert_eq!(rest.first().unwrap(), &(1_001, number(1_001)));
        assert_eq!(rest.len(), 200);
        let near = ReleasedRange { contributors: 10..=12, ..all() };
        let near = store.released(&first, &near).await.unwrap();
        assert_eq!(
            near.iter().map(|(_, found)| found.clone()).collect::<Vec<_>>(),
            [number(10), number(11), number(12)]
        );
        let family = ReleasedRange { family: "salary".to_owned(), ..all() };
        assert_eq!(store.released(&first, &family).await.unwrap(), [(1_202, other_family)]);

        // Of a set that has a resource in common it is seen too, and what is added to the one moves the other.
        let both = "rsc_1 and rsc_3".to_owned();
        let shared = Recipient { overlapping: vec![both.clone()], ..first.clone() };
        let sharing = Recipient { resources: both, overlapping: vec![first.resources.clone()], ..first.clone() };
        assert_eq!(store.released_head(&sharing).await.unwrap(), 1_203);
        assert_eq!(store.released(&sharing, &family).await.unwrap().len(), 1);
        assert_eq!(store.release(&sharing, 1_203, &[number(9)], 2_000).await.unwrap(), Release::Recorded);
        let last = ReleasedRange { after: 1_203, ..all() };
        assert_eq!(store.released(&shared, &last).await.unwrap(), [(1_204, number(9))]);
        assert_eq!(store.release(&shared, 1_203, &[number(8)], 2_000).await.unwrap(), Release::Moved);
        store.count_release_refusal(&sharing, "2026-01-01").await.unwrap();
        assert_eq!(store.release_refusals(&shared, "2026-01-01").await.unwrap(), 1);
        assert_eq!(store.release_refusals(&first, "2026-01-01").await.unwrap(), 0);

        // A stranger, and the same consumer's other resources, have nothing of it.
        let other_resources = Recipient { resources: "rsc_2".to_owned(), ..first };
        for stranger in [recipient("pty_3", &[]), other_resources] {
            assert_eq!(store.released_head(&stranger).await.unwrap(), 0);
            assert_eq!(store.released(&stranger, &all()).await.unwrap(), []);
        }
    })
    .await;
}

#[tokio::test]
async fn a_moved_head_and_a_full_record_add_nothing() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let (first, second) = (recipient("pty_1", &["pty_2"]), recipient("pty_2", &["pty_1"]));
        assert_eq!(store.release(&first, 0, &[number(1)], 3).await.unwrap(), Release::Recorded);
        assert_eq!(store.release(&second, 0, &[number(2)], 3).await.unwrap(), Release::Moved);
        assert_eq!(store.release(&first, 0, &[number(2)], 3).await.unwrap(), Release::Moved);
        // A stranger's entries move nobody else's head.
        assert_eq!(store.release(&recipient("pty_3", &[]), 0, &[number(2)], 3).await.unwrap(), Release::Recorded);
        assert_eq!(store.release(&first, 2, &[number(2), number(3), number(4)], 3).await.unwrap(), Release::Full);
        assert_eq!(store.release(&first, 2, &[number(2), number(3)], 3).await.unwrap(), Release::Recorded);
        assert_eq!(store.released_head(&first).await.unwrap(), 6);
        assert_eq!(store.released(&first, &all()).await.unwrap().len(), 3);
    })
    .await;
}

/// Whoever knows rows by something else is told so by every set and party whose record is seen together with his, and adds nothing.
#[tokio::test]
async fn numbers_that_know_rows_by_something_else_are_kept_apart() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let first = recipient("pty_1", &[]);
        let other = Recipient { naming: "by number".to_owned(), ..first.clone() };
        assert!(store.released_comparably(&other).await.unwrap(), "nothing is on record");
        assert_eq!(store.release(&first, 0, &[number(1)], 9).await.unwrap(), Release::Recorded);
        let head = store.released_head(&first).await.unwrap();
        let affiliate = Recipient { naming: "by number".to_owned(), ..recipient("pty_2", &["pty_1"]) };
        let sharing = Recipient {
            resources: "rsc_1 and rsc_3".to_owned(),
            overlapping: vec!["rsc_1".to_owned()],
            ..other.clone()
        };
        for otherwise in [&other, &affiliate, &sharing] {
            assert!(!store.released_comparably(otherwise).await.unwrap());
            let released = store.release(otherwise, head, &[number(2)], 9).await.unwrap();
            assert_eq!(released, Release::Incomparable);
        }
        assert_eq!(store.release(&first, head, &[number(2)], 9).await.unwrap(), Release::Recorded);
        // A stranger, and other resources, may be known by what they like.
        for apart in [
            Recipient { consumer: "pty_3".to_owned(), ..other.clone() },
            Recipient { resources: "rsc_2".to_owned(), ..other },
        ] {
            assert_eq!(store.release(&apart, 0, &[number(2)], 9).await.unwrap(), Release::Recorded);
        }
    })
    .await;
}

/// What earlier versions recorded says nothing: it is taken for what an order of its consumer gives of the same set.
#[tokio::test]
async fn numbers_of_earlier_versions_are_known_by_what_was_ordered() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let first = recipient("pty_1", &[]);
        assert_eq!(store.release(&first, 0, &[number(1)], 9).await.unwrap(), Release::Recorded);
        let raw = factory.raw().await;
        let forgotten = raw.execute_unprepared("DELETE FROM released WHERE family = '*naming'").await.unwrap();
        assert_eq!(forgotten.rows_affected(), 1);
        let affiliate = Recipient { naming: "by number".to_owned(), ..recipient("pty_2", &["pty_1"]) };
        assert!(!store.released_comparably(&affiliate).await.unwrap(), "the other has ordered nothing of the kind");
        let both = [("rsc_1", "pty_1"), ("rsc_1", "pty_2")];
        let unnamed = both.map(|(set, party)| (set.to_owned(), party.to_owned())).into();
        assert!(store.released_comparably(&Recipient { unnamed, ..affiliate.clone() }).await.unwrap());
        // The next number says it for all of them.
        let head = store.released_head(&first).await.unwrap();
        assert_eq!(store.release(&first, head, &[number(2)], 9).await.unwrap(), Release::Recorded);
        assert!(!store.released_comparably(&affiliate).await.unwrap());
    })
    .await;
}

/// Eight processes look and enter at the same time. Whoever enters has seen all that was entered before.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_slips_in_between_a_look_and_an_entry() {
    both(async |factory: StoreFactory| {
        let mut processes = Vec::new();
        for process in 0..8_u64 {
            let store = factory.open().await;
            processes.push(tokio::spawn(async move {
                let mine = recipient("pty_1", &[]);
                for entry in 0..10 {
                    loop {
                        let head = store.released_head(&mine).await.unwrap();
                        let seen = store.released(&mine, &ReleasedRange { until: head, ..all() }).await.unwrap().len();
                        let mut next = number(process * 1_000 + entry);
                        next.sketch = (seen as u64).to_be_bytes().to_vec();
                        match store.release(&mine, head, &[next], 1_000).await.unwrap() {
                            Release::Recorded => break,
                            Release::Moved => {}
                            other => panic!("{other:?}, though there is room and one naming"),
                        }
                    }
                }
            }));
        }
        for process in processes {
            process.await.unwrap();
        }
        let entries = factory.open().await.released(&recipient("pty_1", &[]), &all()).await.unwrap();
        let seen: Vec<u64> =
            entries.iter().map(|(_, entry)| u64::from_be_bytes(entry.sketch[..].try_into().unwrap())).collect();
        assert_eq!(seen, (0..80).collect::<Vec<u64>>());
    })
    .await;
}

#[tokio::test]
async fn refusals_are_counted_by_day_and_with_affiliates() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let (first, second) = (recipient("pty_1", &["pty_2"]), recipient("pty_2", &["pty_1"]));
        for _ in 0..3 {
            store.count_release_refusal(&first, "2026-03-01").await.unwrap();
        }
        store.count_release_refusal(&second, "2026-03-01").await.unwrap();
        let store = factory.open().await;
        assert_eq!(store.release_refusals(&first, "2026-03-01").await.unwrap(), 4);
        assert_eq!(store.release_refusals(&recipient("pty_2", &[]), "2026-03-01").await.unwrap(), 1);
        assert_eq!(store.release_refusals(&first, "2026-03-02").await.unwrap(), 0);
        store.count_release_refusal(&first, "2026-03-02").await.unwrap();
        assert_eq!(store.release_refusals(&first, "2026-03-02").await.unwrap(), 1);
        assert_eq!(store.release_refusals(&recipient("pty_1", &[]), "2026-03-01").await.unwrap(), 0);
    })
    .await;
}
