//! What is erased on demand: it is gone for good, who did it and why stays, and all that the log commits to still agrees.

use lingqu_app::{AppError, verify_evidence};
use lingqu_domain::id::ReceiptId;
use lingqu_domain::receipt::ReceiptBody;
use lingqu_domain::refusal::RefusalCode;
use lingqu_store::vault::VaultRead;
use lingqu_tests::scenario::{Who, id_number};
use lingqu_tests::{StoreFactory, both};

use crate::tampered::Tampered;

const WHY: &str = "本人依法要求删除";

fn is_refused<T>(outcome: Result<T, AppError>) -> bool {
    matches!(outcome, Err(AppError::Refused(refusal)) if refusal.code == RefusalCode::NotPermitted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_request_is_gone_and_its_evidence_stands() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let (app, chief) = (node.app(), node.scenario.chief(Who::Authority));
        let receipts = node.receipts().await;
        let single = receipts.iter().find(|(_, record)| matches!(record.body, ReceiptBody::Single { .. }));
        let receipt = single.map(|(_, record)| record.receipt.clone()).unwrap();
        let opened = receipts.iter().find(|(_, record)| matches!(record.body, ReceiptBody::Opened(_)));
        let in_parts = opened.map(|(_, record)| record.receipt.clone()).unwrap();
        let evidence = app.export_evidence(&node.check.id).await.unwrap();

        // Who may not erase is not told what there is.
        let nowhere: ReceiptId = format!("rcp_{:032}", 1).parse().unwrap();
        for who in [node.scenario.clerk(Who::Authority), node.scenario.chief(Who::Operator)] {
            assert!(is_refused(app.erase_request(who, &receipt, WHY).await));
            assert!(is_refused(app.erase_request(who, &nowhere, WHY).await));
        }
        let unknown = app.erase_request(chief, &nowhere, WHY).await.unwrap_err().to_string();
        assert!(unknown.contains("no delivery of this node"), "{unknown}");
        let blank = app.erase_request(chief, &receipt, " ").await.unwrap_err().to_string();
        assert!(blank.contains("reason"), "{blank}");
        assert!(matches!(app.request(&receipt).await.unwrap(), VaultRead::Present(_)), "nothing has happened yet");

        let first = app.erase_request(chief, &receipt, WHY).await.unwrap();
        assert_eq!((first.reason.as_str(), first.by.as_str(), first.repeated), (WHY, &*chief.to_string(), false));
        let again = app.erase_request(chief, &receipt, "再次").await.unwrap();
        assert_eq!((again.erasure, again.reason.as_str(), again.repeated), (first.erasure, WHY, true));
        app.erase_request(chief, &in_parts, WHY).await.unwrap();
        for erased in [&receipt, &in_parts] {
            let VaultRead::Erased { .. } = app.request(erased).await.unwrap() else { panic!("{erased} is there") };
        }
        app.read(|state| assert_eq!(state.erasures.len(), 2, "one for each object"));
        let VaultRead::Erased { erased_at } = app.request(&receipt).await.unwrap() else { unreachable!() };
        assert_eq!(erased_at, first.recorded_at);

        // The receipts are what they were, and what was proven before is proven.
        assert_eq!(node.receipts().await, receipts);
        app.publish_log().await.unwrap();
        for bundle in [evidence, app.export_evidence(&node.check.id).await.unwrap()] {
            let report = verify_evidence(&bundle, None);
            assert!(report.verified, "{:?}", report.findings);
        }
        let replay = node.replay().await;
        assert!(replay.agrees, "{:?}", replay.differences);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erased_subject_is_found_by_nothing_and_may_come_again() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let (app, chief) = (node.app(), node.scenario.chief(Who::Authority));
        let (identity, other) = (id_number(0), id_number(1));
        node.scenario.consent(&identity).await;
        let withdrawn = node.scenario.consent(&identity).await;
        app.give_consents(&[&other, &identity], node.scenario.consent_details()).await.unwrap();
        app.withdraw_consent(&identity, &withdrawn).await.unwrap();

        let clerk = node.scenario.clerk(Who::Authority);
        assert!(is_refused(app.subject_of(clerk, &identity).await));
        let subject = app.subject_of(chief, &identity).await.unwrap();
        assert!(is_refused(app.erase_subject(clerk, &subject, WHY).await));
        assert_eq!(app.consents_of(&identity).await.unwrap().iter().filter(|one| !one.is_withdrawn).count(), 2);
        let nobody = format!("sub_{:032}", 1).parse().unwrap();
        let unknown = app.erase_subject(chief, &nobody, WHY).await.unwrap_err().to_string();
        assert!(unknown.contains("never had a subject"), "{unknown}");

        let first = app.erase_subject(chief, &subject, WHY).await.unwrap();
        assert_eq!((first.consents_withdrawn, first.repeated), (2, false));
        let again = app.erase_subject(chief, &subject, WHY).await.unwrap();
        assert_eq!((again.erasure, again.consents_withdrawn, again.repeated), (first.erasure.clone(), 0, true));
        assert!(app.consents_of(&identity).await.unwrap().is_empty());
        assert!(app.store().vault_items(subject.as_str()).await.unwrap().is_empty());
        let gone = app.subject_of(chief, &identity).await.unwrap_err().to_string();
        assert!(gone.contains("is erased already"), "{gone}");
        assert_eq!(app.consents_of(&other).await.unwrap().len(), 1, "another's consent is untouched");
        app.publish_log().await.unwrap();
        let replay = node.replay().await;
        assert!(replay.agrees, "{:?}", replay.differences);

        // He who consents anew is another to the journal.
        node.scenario.consent(&identity).await;
        assert_ne!(app.subject_of(chief, &identity).await.unwrap(), subject);
        assert!(node.replay().await.agrees);
        // An erasure that was recorded and not carried out is found.
        node.sql(&format!("DELETE FROM vault_erased WHERE subject = '{subject}'")).await;
        node.replay_names("erasure", first.erasure.as_str(), "is not erased").await;
    })
    .await;
}
