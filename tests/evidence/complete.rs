//! What a bundle holds beyond chain and receipts: who acted, consents, money, the twin log.

use std::fs;

use lingqu_app::{EvidenceOptions, REPORT_ITEM, evidence_report, verify_evidence};
use lingqu_domain::command::Command;
use lingqu_domain::id::SettlementId;
use lingqu_domain::scope::Mode;
use lingqu_tests::scenario::{PERSON_CHECK, Who, id_number};
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{Evidence, EvidenceTrust, RecordKind};

use crate::tampered::Tampered;

/// The font that `make setup` installs.
const FONT: &str = "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc";

fn text(bundle: &[u8]) -> String {
    let records = Evidence::parse(bundle).unwrap().records().unwrap();
    records.iter().map(|record| String::from_utf8_lossy(&record.bytes).into_owned() + "\n").collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn money_is_computed_again_and_tells_nothing_of_others() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let close = Command::CloseSettlement { period: "第一期".to_owned() };
        let operator = node.scenario.chief(Who::Operator);
        let settlement: SettlementId = node.scenario.give(operator, close, "settlement.closed").await;
        let (order, other) = (&node.check.id, &node.records.id);
        let bundle = node.app().export_evidence(order).await.unwrap();
        let report = verify_evidence(&bundle, None);
        assert!(report.verified, "{:?}", report.findings);
        assert_eq!(report.settlements.len(), 1);
        assert_eq!(report.settlements[0].settlement, settlement.to_string());
        assert!(!report.settlements[0].is_whole);
        let twin = report.twin.expect("a node publishes both logs");
        assert_eq!((twin.log_size > 0, twin.log_entries), (true, report.log_entries));
        // The line is there, nothing of the other order is.
        let evidence = Evidence::parse(&bundle).unwrap();
        let line = String::from_utf8(evidence.item("settlements.json").unwrap().bytes.clone()).unwrap();
        assert!(line.contains(order.as_str()) && !line.contains(other.as_str()));
        assert!(!text(&bundle).contains(other.as_str()));
        // Everybody who acted is told with the party that he acted for.
        let chief = operator.user().unwrap().to_string();
        assert!(text(&bundle).contains(&format!("\"stream\":\"{chief}\"")), "the approver's own record");

        // Another fee than the price comes to is found, though the node signs it.
        let fee = format!("\"fee\":\"{}\"", report.settlements[0].fee_yuan);
        assert!(line.contains(&fee), "{line}");
        let changed = node.with_item(&bundle, "settlements.json", line.replace(&fee, "\"fee\":\"0.01\"").as_bytes());
        let found = verify_evidence(&changed, None);
        let is_named = |report: &lingqu_app::EvidenceReport, words: &str| {
            report.findings.iter().any(|(place, problem)| *place == settlement.to_string() && problem.contains(words))
        };
        assert!(is_named(&found, "the contract's price comes to"), "{:?}", found.findings);
        let missing = node.with_item(&bundle, "settlements.json", b"[]");
        let found = verify_evidence(&missing, None);
        assert!(is_named(&found, "nothing here says what it charged"), "{:?}", found.findings);

        // So is another contract than the records come to, and a certificate that nobody applied for.
        let contract = String::from_utf8(evidence.item("contract.json").unwrap().bytes.clone()).unwrap();
        let cheaper = contract.replace("\"per_call\":\"0.5\"", "\"per_call\":\"0.1\"");
        assert_ne!(contract, cheaper);
        let found = verify_evidence(&node.with_item(&bundle, "contract.json", cheaper.as_bytes()), None);
        assert_eq!(found.findings[0].0, "contract.json", "{:?}", found.findings);
        let certificate = evidence.items.iter().find(|item| item.name.starts_with("certificates/")).unwrap();
        let other = String::from_utf8(certificate.bytes.clone()).unwrap().replace("name ", "name 另一");
        let found = verify_evidence(&node.with_item(&bundle, &certificate.name, other.as_bytes()), None);
        assert_eq!(found.findings[0].0, certificate.name, "{:?}", found.findings);

        // Whole on demand, and then nothing needs to be said in part.
        let options = EvidenceOptions { has_whole_settlements: true, ..EvidenceOptions::default() };
        let bundle = node.app().evidence_of(order, options).await.unwrap();
        let report = verify_evidence(&bundle, None);
        assert!(report.verified && report.settlements[0].is_whole, "{:?}", report.findings);
        assert!(Evidence::parse(&bundle).unwrap().item("settlements.json").is_none());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consents_are_in_it_when_they_are_asked_for() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        let order = node.scenario.order(Who::First, PERSON_CHECK, &[Mode::Verification], (10, 0)).await.id;
        let consent = node.scenario.consent(&id_number(1)).await.to_string();
        let bundle = node.app().export_evidence(&order).await.unwrap();
        let report = verify_evidence(&bundle, None);
        assert!(report.verified, "{:?}", report.findings);
        assert_eq!(report.consents, 0);
        assert!(!text(&bundle).contains(&consent), "a party of the order is not told who consented");
        let options = EvidenceOptions { has_consents: true, ..EvidenceOptions::default() };
        let bundle = node.app().evidence_of(&order, options.clone()).await.unwrap();
        let report = verify_evidence(&bundle, None);
        assert!(report.verified, "{:?}", report.findings);
        assert_eq!(report.consents, 1);
        assert!(text(&bundle).contains(&consent) && !text(&bundle).contains(&id_number(1)));
        // An order that rests on no consent has none of it.
        let bundle = node.app().evidence_of(&node.records.id, options).await.unwrap();
        assert_eq!(verify_evidence(&bundle, None).consents, 0);
        // Items of a caller have a place of their own.
        let extra = vec![("contract.json".to_owned(), b"{}".to_vec())];
        let refused = node.app().evidence_of(&order, EvidenceOptions { extra, ..EvidenceOptions::default() }).await;
        assert!(refused.unwrap_err().to_string().contains("trace/"));
        let extra = vec![("trace/case.json".to_owned(), b"{}".to_vec())];
        let options = EvidenceOptions { extra, ..EvidenceOptions::default() };
        let bundle = node.app().evidence_of(&order, options).await.unwrap();
        assert!(verify_evidence(&bundle, None).verified);
        assert_eq!(Evidence::parse(&bundle).unwrap().item("trace/case.json").unwrap().bytes, b"{}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_report_is_made_of_the_bundle_alone() {
    both(async |factory: StoreFactory| {
        let Ok(font) = fs::read(FONT) else {
            assert!(std::env::var_os("CI").is_none(), "{FONT} is missing; run make setup");
            return;
        };
        let node = Tampered::open(factory).await;
        let options = EvidenceOptions { report_font: Some(font.clone()), ..EvidenceOptions::default() };
        let bundle = node.app().evidence_of(&node.records.id, options).await.unwrap();
        assert!(verify_evidence(&bundle, None).verified);
        let evidence = Evidence::parse(&bundle).unwrap();
        let inside = &evidence.item(REPORT_ITEM).unwrap().bytes;
        assert!(inside.starts_with(b"%PDF-1.7"));
        let again = evidence_report(&bundle, &EvidenceTrust::default(), font.clone()).unwrap();
        assert!(*inside == again, "the same bundle and font give the same bytes");
        // A bundle that does not verify says so in its report, which is then another.
        let shorter = node.without(&bundle, |record| record.kind == RecordKind::Receipt);
        assert!(!verify_evidence(&shorter, None).verified);
        let bad = evidence_report(&shorter, &EvidenceTrust::default(), font).unwrap();
        assert!(bad.starts_with(b"%PDF-1.7") && bad != again);
        let refused = evidence_report(&bundle, &EvidenceTrust::default(), b"no font".to_vec()).unwrap_err();
        assert!(refused.to_string().contains("font"), "{refused}");
    })
    .await;
}
