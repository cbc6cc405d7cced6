//! A file that somebody holds, shown to be the answer of a receipt by evidence and the salt that came with the file.

use lingqu_app::{EvidenceOptions, EvidenceParts, verify_evidence};
use lingqu_domain::answer::AnswerSalt;
use lingqu_tests::StoreFactory;
use lingqu_transparency::{EvidenceTrust, RecordKind};
use reqwest::Method;

use crate::tampered::Tampered;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_shown_to_be_the_answer_of_a_receipt() {
    let node = Tampered::open(StoreFactory::sqlite()).await;
    let mut held = Vec::new();
    for path in ["/export?format=csv", "/rows?limit=5"] {
        let reply = node.request(Method::GET, &node.records, path).send().await.unwrap();
        let header = |name: &str| reply.headers()[name].to_str().unwrap().to_owned();
        let (receipt, salt): (String, AnswerSalt) =
            (header("delivery-receipt"), header("answer-salt").parse().unwrap());
        held.push((receipt, salt, reply.bytes().await.unwrap().to_vec()));
    }
    node.all_closed().await;
    node.app().publish_log().await.unwrap();
    let order = &node.records.id;
    let bundle = node.app().export_evidence(order).await.unwrap();
    let report = verify_evidence(&bundle, None);
    assert!(report.verified, "{:?}", report.findings);
    let mut set = EvidenceParts::default();
    let mut put = |_: usize, _: usize, part: Vec<u8>| {
        set.add(&part, &EvidenceTrust::default());
        Ok(())
    };
    node.app().evidence_in_parts(order, &EvidenceOptions::default(), 3, &mut put).await.unwrap();
    let parts = set.finish().unwrap();
    for (receipt, salt, body) in &held {
        for report in [&report, &parts] {
            let found = report.receipt_of_answer(salt, &mut &body[..]).unwrap();
            assert_eq!(found.map(ToString::to_string).as_ref(), Some(receipt));
        }
    }
    // With another's salt, or one byte of it changed, it is nobody's.
    let (_, salt, body) = &held[0];
    assert_eq!(report.receipt_of_answer(&held[1].1, &mut &body[..]).unwrap(), None);
    let mut changed = body.clone();
    *changed.last_mut().unwrap() ^= 1;
    assert_eq!(report.receipt_of_answer(salt, &mut &changed[..]).unwrap(), None);
    assert_eq!(report.receipt_of_answer(salt, &mut &body[1..]).unwrap(), None);
    // Of evidence that does not verify nothing is the answer.
    let first = node.receipts().await.into_iter().find(|(_, record)| record.kind() == "opened").unwrap().0;
    let shorter = node.without(&bundle, |record| record.kind == RecordKind::Receipt && record.position == first);
    let report = verify_evidence(&shorter, None);
    assert!(!report.verified && !report.answers.is_empty());
    assert_eq!(report.receipt_of_answer(salt, &mut &body[..]).unwrap(), None);
}
