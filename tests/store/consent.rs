//! Ordinals of subjects and the members of batches, on both databases.

use lingqu_store::consent::{Consenting, SUBJECTS_MAX};
use lingqu_store::journal::Append;
use lingqu_store::row::RowChange;
use lingqu_tests::{StoreFactory, both};

use crate::sample::{append, append_new, row};

fn subjects(numbers: &[u32]) -> Vec<String> {
    numbers.iter().map(|number| format!("sub_{number}")).collect()
}

/// A batch with its row, which the members' rows stand on.
fn batch(id: &str, numbers: &[u32]) -> Append {
    let row = RowChange { table: "consent_batch".into(), ..row(id, 1, "given") };
    let consenting = vec![Consenting { batch: Some(id.into()), subjects: subjects(numbers) }];
    Append { rows: vec![row], consenting, ..append(id, 0, "consent_batch.recorded") }
}

#[tokio::test]
async fn a_subject_has_one_ordinal_for_ever_and_there_are_no_gaps() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        let single = vec![Consenting { batch: None, subjects: subjects(&[7]) }];
        append_new(&store, Append { consenting: single, ..append("cst_1", 0, "consent.given") }).await;
        append_new(&store, batch("csb_1", &[9, 7, 8])).await;
        append_new(&store, batch("csb_2", &[8, 6])).await;
        let ordinals = store.consent_ordinals(&subjects(&[6, 7, 8, 9, 5])).await.unwrap();
        let expected = [("sub_6", 3), ("sub_7", 0), ("sub_8", 2), ("sub_9", 1)];
        assert_eq!(ordinals, expected.into_iter().map(|(subject, ordinal)| (subject.to_owned(), ordinal)).collect());
        let sets = store.consent_sets(&["csb_1".into(), "csb_2".into(), "csb_3".into()]).await.unwrap();
        assert_eq!(sets["csb_1"], [1, 0, 2]);
        assert_eq!(sets["csb_2"], [2, 3]);
        assert_eq!(sets.len(), 2);
        assert_eq!(store.consent_place("csb_1", "sub_8").await.unwrap(), Some(2));
        assert_eq!(store.consent_place("csb_1", "sub_6").await.unwrap(), None);
        assert_eq!(store.consent_places("sub_8").await.unwrap(), [("csb_2".to_owned(), 0), ("csb_1".to_owned(), 2)]);
        let view = store.snapshot().await.unwrap();
        assert_eq!(view.consent_subject_count().await.unwrap(), (4, 4));
        let members = view.consent_members("csb_1", 1).await.unwrap();
        let members: Vec<_> =
            members.into_iter().map(|member| (member.member, member.ordinal, member.subject)).collect();
        assert_eq!(members, [(1, 0, "sub_7".to_owned()), (2, 2, "sub_8".to_owned())]);
        // Nobody of them is in the vault's index; the ordinals are counted all the same.
        assert_eq!(store.consent_digests(0).await.unwrap(), (Vec::new(), 4));
    })
    .await;
}

#[tokio::test]
async fn a_batch_is_written_whole_or_not_at_all() {
    both(async |factory: StoreFactory| {
        let store = factory.open().await;
        // Somebody twice.
        assert!(store.append(batch("csb_1", &[1, 2, 1])).await.is_err());
        let many: Vec<u32> = (0..=u32::try_from(SUBJECTS_MAX).unwrap()).collect();
        let refused = store.append(batch("csb_1", &many)).await.unwrap_err();
        assert!(refused.to_string().contains("split it"), "{refused}");
        assert_eq!(store.head().await.unwrap(), 0);
        assert_eq!(store.consent_ordinals(&subjects(&[1, 2])).await.unwrap().len(), 0);
        append_new(&store, batch("csb_1", &many[..SUBJECTS_MAX])).await;
        let sets = store.consent_sets(&["csb_1".into()]).await.unwrap();
        assert_eq!(sets["csb_1"], many[..SUBJECTS_MAX]);
    })
    .await;
}
