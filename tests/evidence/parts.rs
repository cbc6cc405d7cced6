//! Evidence in parts: each holds by itself, all together come to what the whole comes to, and one that is missing, changed or of
//! another export is found.

use lingqu_app::{EvidenceOptions, EvidenceParts, EvidenceReport, part_number, verify_evidence};
use lingqu_crypto::{Sha256Hasher, sha256};
use lingqu_domain::id::OrderId;
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{Evidence, EvidenceTrust, RecordKind};
use serde_json::{Value, json};

use crate::tampered::Tampered;

async fn parted(node: &Tampered, order: &OrderId, receipts_max: usize) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    let count = node
        .app()
        .evidence_in_parts(order, &EvidenceOptions::default(), receipts_max, &mut |number, of, bundle| {
            if of > 1 {
                assert_eq!(part_number(&bundle), Some((number as u64, of)));
            }
            parts.push(bundle);
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(count, parts.len());
    parts
}

fn together(parts: &[&Vec<u8>]) -> EvidenceReport {
    let mut set = EvidenceParts::default();
    for part in parts {
        set.add(part, &EvidenceTrust::default());
    }
    set.finish().unwrap()
}

fn must_find(report: &EvidenceReport, place: &str, words: &str) {
    let is_named = report.findings.iter().any(|(item, problem)| item.contains(place) && problem.contains(words));
    assert!(!report.verified && is_named, "{place}, {words}: {:?}", report.findings);
}

fn receipts(bundle: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let records = Evidence::parse(bundle).unwrap().records().unwrap();
    let receipts = records.into_iter().filter(|record| record.kind == RecordKind::Receipt);
    receipts.map(|record| (record.position, record.bytes)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_hold_alone_and_come_together_to_the_whole() {
    both(async |factory: StoreFactory| {
        let node = Tampered::open(factory).await;
        for order in [&node.records.id, &node.check.id] {
            let whole_bundle = node.app().export_evidence(order).await.unwrap();
            let whole = verify_evidence(&whole_bundle, None);
            let all = receipts(&whole_bundle);
            assert!(whole.verified && whole.part.is_none());
            for receipts_max in [3, all.len()] {
                let parts = parted(&node, order, receipts_max).await;
                assert_eq!(parts.len(), all.len().div_ceil(receipts_max));
                let joined: Vec<(u64, Vec<u8>)> = parts.iter().flat_map(|part| receipts(part)).collect();
                assert_eq!(joined, all, "each receipt once and in order");
                if parts.len() == 1 {
                    assert!(verify_evidence(&parts[0], None).part.is_none(), "one part is a whole bundle");
                    continue;
                }
                for (place, part) in parts.iter().enumerate() {
                    let alone = verify_evidence(part, None);
                    assert!(alone.verified, "{:?}", alone.findings);
                    let told = alone.part.unwrap();
                    assert_eq!((told.number, told.of), (place as u64 + 1, parts.len()));
                    assert_eq!(alone.links, whole.links);
                }
                let set = together(&parts.iter().collect::<Vec<_>>());
                assert!(set.verified, "{:?}", set.findings);
                assert_eq!(set.parts, parts.len() as u64);
                assert_eq!(
                    (set.receipt_records, set.journal_records, set.metering_windows, set.receipts_not_yet_metered),
                    (
                        whole.receipt_records,
                        whole.journal_records,
                        whole.metering_windows,
                        whole.receipts_not_yet_metered
                    )
                );
                assert_eq!((set.deliveries_open, set.answers), (whole.deliveries_open, whole.answers.clone()));
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_that_is_missing_changed_or_of_another_export_is_found() {
    let node = Tampered::open(StoreFactory::sqlite()).await;
    let order = &node.check.id;
    let parts = parted(&node, order, 2).await;
    assert!(parts.len() >= 3, "{}", parts.len());
    // Any of them missing, twice, or in another's place.
    for missing in 0..parts.len() {
        let left: Vec<&Vec<u8>> =
            parts.iter().enumerate().filter(|(at, _)| *at != missing).map(|(_, part)| part).collect();
        let report = together(&left);
        assert!(!report.verified, "without part {}", missing + 1);
    }
    must_find(&together(&parts.iter().take(1).collect::<Vec<_>>()), "part 2", "was not given");
    let mut twice: Vec<&Vec<u8>> = parts.iter().collect();
    twice.insert(1, &parts[0]);
    assert!(!together(&twice).verified);
    // A receipt left out of one, signed by the node: the part itself says so.
    let held = receipts(&parts[1]);
    let shorter = node.without(&parts[1], |record| record.kind == RecordKind::Receipt && record.position == held[0].0);
    must_find(&verify_evidence(&shorter, None), "part.json", "not those of this part");
    // Left out of one, and the lines of all parts written to fit: what was metered misses it.
    let mut lines: Value =
        serde_json::from_slice(&Evidence::parse(&parts[0]).unwrap().item("part.json").unwrap().bytes).unwrap();
    lines["parts"][1] = line_of(&held[1..]);
    let forged: Vec<Vec<u8>> = parts
        .iter()
        .zip([None, Some(held[0].0)].into_iter().chain(std::iter::repeat(None)))
        .enumerate()
        .map(|(at, (part, left_out))| {
            lines["number"] = json!(at + 1);
            let fitted = node.with_item(part, "part.json", lines.to_string().as_bytes());
            node.without(&fitted, |record| record.kind == RecordKind::Receipt && Some(record.position) == left_out)
        })
        .collect();
    for part in &forged {
        assert!(verify_evidence(part, None).verified, "{:?}", verify_evidence(part, None).findings);
    }
    must_find(&together(&forged.iter().collect::<Vec<_>>()), "metering window", "the receipts come to");
    // Parts of two exports do not go together, even of one order.
    let others = parted(&node, order, 1).await;
    let mut mixed: Vec<&Vec<u8>> = parts.iter().collect();
    mixed[1] = &others[1];
    must_find(&together(&mixed), "part 2", "another export");
    // A number that there is not, and what is no part.
    let strange = node.with_item(&parts[0], "part.json", b"{\"number\":9,\"parts\":[]}");
    must_find(&verify_evidence(&strange, None), "part.json", "a number that there is not");
    let whole = node.app().export_evidence(order).await.unwrap();
    must_find(&together(&[&whole]), "part 1", "no part of anything");
}

/// A line of `part.json`, made by the manual's words.
fn line_of(receipts: &[(u64, Vec<u8>)]) -> Value {
    let mut hasher = Sha256Hasher::default();
    for (position, bytes) in receipts {
        hasher.update(&position.to_be_bytes());
        hasher.update(&sha256(bytes).0);
    }
    json!({
        "count": receipts.len(),
        "first": receipts.first().unwrap().0,
        "last": receipts.last().unwrap().0,
        "sha256": hasher.finish().to_string(),
    })
}
