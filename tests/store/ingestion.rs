//! Ingestions: one open job for a resource, a bounded queue, and ends of which one counts.

use lingqu_store::ingestion::{
    CANCELLED, COMMITTED, FAILED, IngestionBegun, IngestionCounts, IngestionEnd, IngestionFilter, NewIngestion,
};
use lingqu_tests::{StoreFactory, both};

fn job(number: u64, resource: &str) -> NewIngestion {
    NewIngestion {
        id: format!("ing_{number:032x}"),
        resource: resource.to_owned(),
        actor: "usr_1".to_owned(),
        source_name: "行程.csv".to_owned(),
        source_digest: "d".to_owned(),
        options_digest: "o".to_owned(),
        request: "{}".to_owned(),
        bytes_total: 100,
        created_at: "2026-03-01T00:00:00Z".to_owned(),
    }
}

fn end(state: &'static str) -> IngestionEnd {
    let counts = IngestionCounts { rows_read: 5, rows_rejected: 1, bytes_read: 100 };
    IngestionEnd { state, counts, outcome: Some("{}".to_owned()), at: "2026-03-01T00:01:00Z".to_owned() }
}

#[tokio::test]
async fn a_resource_has_one_open_job_and_the_queue_is_bounded() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        assert_eq!(store.begin_ingestion(&job(1, "res_1"), 2, |_| true).await.unwrap(), IngestionBegun::Queued);
        let IngestionBegun::Open(open) = store.begin_ingestion(&job(2, "res_1"), 2, |_| true).await.unwrap() else {
            panic!("the resource has an open job");
        };
        assert_eq!(open.new, job(1, "res_1"));
        assert_eq!(store.begin_ingestion(&job(3, "res_2"), 2, |_| true).await.unwrap(), IngestionBegun::Queued);
        assert_eq!(store.begin_ingestion(&job(4, "res_3"), 2, |_| true).await.unwrap(), IngestionBegun::Full);
        // Asked about those that are open, whoever asks may refuse.
        let refused = store.begin_ingestion(&job(4, "res_3"), 9, |open| open.len() < 2).await.unwrap();
        assert_eq!(refused, IngestionBegun::Refused);
        // Another process of the node sees the same, oldest first.
        let other = factory.open().await;
        let ids: Vec<_> = other.open_ingestions().await.unwrap().into_iter().map(|job| job.new.id).collect();
        assert_eq!(ids, [job(1, "").id, job(3, "").id]);
        assert!(store.end_ingestion(&job(1, "").id, &end(FAILED)).await.unwrap());
        assert_eq!(store.begin_ingestion(&job(4, "res_1"), 2, |_| true).await.unwrap(), IngestionBegun::Queued);
    })
    .await;
}

#[tokio::test]
async fn a_job_ends_once() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let id = &job(1, "res_1").id;
        store.begin_ingestion(&job(1, "res_1"), 9, |_| true).await.unwrap();
        let counts = IngestionCounts { rows_read: 3, rows_rejected: 1, bytes_read: 50 };
        assert!(!store.note_ingestion(id, counts).await.unwrap(), "it has not begun");
        assert!(store.start_ingestion(id, "2026-03-01T00:00:01Z").await.unwrap());
        assert!(store.start_ingestion(id, "2026-03-01T00:00:09Z").await.unwrap(), "after an interruption");
        assert!(store.note_ingestion(id, counts).await.unwrap());
        let found = store.ingestion(id).await.unwrap().unwrap();
        assert_eq!((found.state.as_str(), found.attempts, found.counts), ("running", 2, counts));
        assert_eq!(found.started_at.as_deref(), Some("2026-03-01T00:00:01Z"));
        // From here on the snapshot is being recorded, and nobody cancels that.
        assert!(store.settle_ingestion(id, counts, "{\"version\":1}", "{}").await.unwrap());
        assert!(!store.cancel_ingestion(id, "2026-03-01T00:01:00Z").await.unwrap());
        assert!(store.end_ingestion(id, &end(COMMITTED)).await.unwrap());
        for lost in [
            store.end_ingestion(id, &end(FAILED)).await,
            store.cancel_ingestion(id, "2026-03-01T00:02:00Z").await,
            store.start_ingestion(id, "2026-03-01T00:02:00Z").await,
            store.note_ingestion(id, counts).await,
            store.settle_ingestion(id, counts, "{}", "{}").await,
        ] {
            assert!(!lost.unwrap(), "it has ended");
        }
        let found = store.ingestion(id).await.unwrap().unwrap();
        assert_eq!((found.state.as_str(), found.snapshot.as_deref()), (COMMITTED, Some("{\"version\":1}")));
        assert_eq!(store.last_committed_ingestion("res_1").await.unwrap(), Some(found));
        assert_eq!(store.last_committed_ingestion("res_2").await.unwrap(), None);
        assert!(store.ingestion("ing_none").await.unwrap().is_none());
    })
    .await;
}

/// A cancellation and an end race: one of them finds the job ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_cancellation_and_an_end_one_counts() {
    both(async |factory: StoreFactory| {
        for number in 1..=20 {
            let (one, other) = (factory.open().await, factory.open().await);
            let id = job(number, "res_1").id;
            assert_eq!(one.begin_ingestion(&job(number, "res_1"), 9, |_| true).await.unwrap(), IngestionBegun::Queued);
            one.start_ingestion(&id, "2026-03-01T00:00:01Z").await.unwrap();
            let settling = {
                let id = id.clone();
                tokio::spawn(async move { one.settle_ingestion(&id, IngestionCounts::default(), "{}", "{}").await })
            };
            let cancelled = other.cancel_ingestion(&id, "2026-03-01T00:00:02Z").await.unwrap();
            assert_ne!(settling.await.unwrap().unwrap(), cancelled, "job {number}");
            let found = other.ingestion(&id).await.unwrap().unwrap();
            assert_eq!(found.state == CANCELLED, cancelled);
            other.end_ingestion(&id, &end(FAILED)).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn lists_are_newest_first_and_filtered() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        for number in 1..=5 {
            let resource = if number % 2 == 0 { "res_2" } else { "res_1" };
            store.begin_ingestion(&job(number, resource), 9, |_| true).await.unwrap();
            store.end_ingestion(&job(number, "").id, &end(if number < 3 { FAILED } else { CANCELLED })).await.unwrap();
        }
        let numbers = async |filter: IngestionFilter| -> Vec<u64> {
            let found = store.ingestions(&filter).await.unwrap();
            found.iter().map(|job| u64::from_str_radix(&job.new.id[4..], 16).unwrap()).collect()
        };
        let all = IngestionFilter { limit: 9, ..IngestionFilter::default() };
        assert_eq!(numbers(all.clone()).await, [5, 4, 3, 2, 1]);
        assert_eq!(numbers(IngestionFilter { limit: 2, ..all.clone() }).await, [5, 4]);
        assert_eq!(numbers(IngestionFilter { before: Some(job(4, "").id), ..all.clone() }).await, [3, 2, 1]);
        let resources = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
        assert_eq!(numbers(IngestionFilter { resources: resources(&["res_2"]), ..all.clone() }).await, [4, 2]);
        assert_eq!(numbers(IngestionFilter { resources: resources(&[]), ..all.clone() }).await, [0; 0]);
        assert_eq!(numbers(IngestionFilter { state: Some(FAILED.to_owned()), ..all }).await, [2, 1]);
    })
    .await;
}
