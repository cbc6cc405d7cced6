//! Evidence in parts: each holds by itself, all together come to what the whole comes to, and one that is missing, changed or of
//! another export is found.

use lingqu_app::{EvidenceOptions, EvidenceParts, EvidenceReport, part_number, verify_evidence};
use lingqu_crypto::{Sha256Hasher, sha256};
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, SettlementId};
use lingqu_tests::scenario::Who;
use lingqu_tests::{StoreFactory, both};
use lingqu_transparency::{Evidence, EvidenceRecord, EvidenceTrust, RecordKind};
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
    let mut line = line_of(&held[1..]);
    line["windows"] = lines["parts"][1]["windows"].clone();
    lines["parts"][1] = line;
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
    // One part alone, which nobody would recount.
    let alone = json!({ "version": 2, "number": 1, "parts": [lines["parts"][0]] });
    let strange = node.with_item(&parts[0], "part.json", alone.to_string().as_bytes());
    must_find(&verify_evidence(&strange, None), "part.json", "it names one part alone");
    lines["version"] = json!(3);
    let strange = node.with_item(&parts[0], "part.json", lines.to_string().as_bytes());
    must_find(&verify_evidence(&strange, None), "part.json", "a version that is not known");
    let whole = node.app().export_evidence(order).await.unwrap();
    must_find(&together(&[&whole]), "part 1", "no part of anything");
}

/// Making parts takes long, and the node goes on meanwhile: what they say is what was decided when they were begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_decided_while_parts_are_made_is_in_none_of_them() {
    let node = Tampered::open(StoreFactory::sqlite()).await;
    let close = Command::CloseSettlement { period: "第一期".to_owned() };
    let settlement: SettlementId =
        node.scenario.give(node.scenario.chief(Who::Operator), close, "settlement.closed").await;
    let (mut parts, mut confirm) = (Vec::new(), Some(Command::ConfirmSettlement { settlement }));
    let mut put = |_, _, bundle| {
        parts.push(bundle);
        if let Some(confirm) = confirm.take() {
            let confirmed = node.scenario.act(node.scenario.chief(Who::Implementer), confirm);
            tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(confirmed));
        }
        Ok(())
    };
    let order = &node.check.id;
    node.app().evidence_in_parts(order, &EvidenceOptions::default(), 2, &mut put).await.unwrap();
    assert!(parts.len() >= 3, "{}", parts.len());
    let report = together(&parts.iter().collect::<Vec<_>>());
    assert!(report.verified, "{:?}", report.findings);
    assert!(!report.settlements[0].is_confirmed);
    let later = verify_evidence(&node.app().export_evidence(order).await.unwrap(), None);
    assert!(later.verified && later.settlements[0].is_confirmed, "{:?}", later.findings);
}

/// A window stands in the part that holds the receipt it begins with, and what was settled is summed up over all of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_stand_in_one_part_each_and_come_together_to_the_settlement() {
    both(async |factory: StoreFactory| {
        let node = settled(factory).await;
        let order = &node.check.id;
        let whole_bundle = node.app().export_evidence(order).await.unwrap();
        let whole = verify_evidence(&whole_bundle, None);
        assert!(whole.verified && whole.settlements.len() == 1, "{:?} {:?}", whole.findings, whole.settlements);
        let parts = parted(&node, order, 1).await;
        let mut joined: Vec<(u64, Vec<u8>)> = parts.iter().flat_map(|part| windows(part)).collect();
        joined.sort();
        assert_eq!((joined.len(), &joined), (4, &windows(&whole_bundle)), "two windows, each closed and settled");
        assert_eq!(with_windows(&parts), [0, 2]);
        for part in &parts {
            let alone = verify_evidence(part, None);
            assert!(alone.verified, "{:?}", alone.findings);
            assert_eq!(alone.metering_windows, windows(part).len() / 2);
        }
        let set = together(&parts.iter().collect::<Vec<_>>());
        assert!(set.verified, "{:?}", set.findings);
        assert_eq!(set.settlements, whole.settlements);
        assert_eq!(
            (set.metering_windows, &set.metered_until, set.journal_records),
            (2, &whole.metered_until, whole.journal_records)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_that_is_left_out_doubled_or_in_another_part_is_found() {
    let node = settled(StoreFactory::sqlite()).await;
    let parts = parted(&node, &node.check.id, 1).await;
    let [first, second] = with_windows(&parts)[..] else { panic!("two parts have a window each") };
    let all = |parts: &[Vec<u8>]| together(&parts.iter().collect::<Vec<_>>());
    // A part alone says that its windows are not those that it should have.
    let without = node.without(&parts[first], is_of_window);
    must_find(&verify_evidence(&without, None), "part.json", "the metering windows in the bundle are not those");
    // Where the node writes `part.json` to fit, the receipts miss the window, or the settlement does.
    for (place, words) in [(first, "the window before it is missing"), (second, "sums up other metering windows")] {
        let mut changed = parts.clone();
        changed[place] = node.without(&parts[place], is_of_window);
        let changed = fitted(&node, &changed);
        for part in &changed {
            assert!(verify_evidence(part, None).verified, "{:?}", verify_evidence(part, None).findings);
        }
        must_find(&all(&changed), "", words);
    }
    // The settlement's record of a window that was taken is left out.
    let mut changed = parts.clone();
    let is_taken = |record: &EvidenceRecord| {
        is_of_window(record) && String::from_utf8_lossy(&record.bytes).contains("\"stream_version\":2")
    };
    changed[first] = node.without(&parts[first], is_taken);
    must_find(&all(&fitted(&node, &changed)), "", "sums up other metering windows");
    // In two parts, and each in the other's.
    let mut changed = parts.clone();
    changed[second] = node.with_records_of(&parts[second], &parts[first], is_of_window);
    let doubled = fitted(&node, &changed);
    changed[first] = node.with_records_of(&node.without(&parts[first], is_of_window), &parts[second], is_of_window);
    changed[second] = node.with_records_of(&node.without(&parts[second], is_of_window), &parts[first], is_of_window);
    let exchanged = fitted(&node, &changed);
    for (changed, place) in [(&doubled, second), (&exchanged, first), (&exchanged, second)] {
        let words = "it begins among the receipts of another part";
        must_find(&verify_evidence(&changed[place], None), "metering window", words);
        must_find(&all(changed), &format!("part {}: metering window", place + 1), words);
    }
}

/// Parts of the first form have all windows each, and no version.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn parts_of_the_first_form_still_verify() {
    let node = settled(StoreFactory::sqlite()).await;
    let order = &node.check.id;
    let whole = verify_evidence(&node.app().export_evidence(order).await.unwrap(), None);
    let parts = parted(&node, order, 2).await;
    let mut told = told_by(&parts[0]);
    told.as_object_mut().unwrap().remove("version").unwrap();
    for line in told["parts"].as_array_mut().unwrap() {
        line.as_object_mut().unwrap().remove("windows");
    }
    let mut earlier = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        told["number"] = json!(place + 1);
        let mut bundle = node.with_item(part, "part.json", told.to_string().as_bytes());
        for (_, other) in parts.iter().enumerate().filter(|(at, _)| *at != place) {
            bundle = node.with_records_of(&bundle, other, is_of_window);
        }
        let alone = verify_evidence(&bundle, None);
        assert!(alone.verified && alone.metering_windows == 2, "{:?}", alone.findings);
        assert_eq!(alone.settlements, whole.settlements);
        earlier.push(bundle);
    }
    let set = together(&earlier.iter().collect::<Vec<_>>());
    assert!(set.verified, "{:?}", set.findings);
    assert_eq!((set.metering_windows, set.journal_records), (whole.metering_windows, whole.journal_records));
    assert_eq!((&set.settlements, &set.metered_until), (&whole.settlements, &whole.metered_until));
    // Without a window that the receipts miss.
    let shorter: Vec<Vec<u8>> = earlier
        .iter()
        .map(|part| {
            let first = &windows(part)[0].1;
            node.without(part, |record| record.bytes == *first)
        })
        .collect();
    assert!(!together(&shorter.iter().collect::<Vec<_>>()).verified);
}

/// A node whose two windows of each order were settled.
async fn settled(factory: StoreFactory) -> Tampered {
    let node = Tampered::open(factory).await;
    let close = Command::CloseSettlement { period: "第一期".to_owned() };
    let _: SettlementId = node.scenario.give(node.scenario.chief(Who::Operator), close, "settlement.closed").await;
    node
}

fn is_of_window(record: &EvidenceRecord) -> bool {
    record.kind == RecordKind::Journal && String::from_utf8_lossy(&record.bytes).contains("\"stream\":\"mtr_")
}

/// The records of metering windows in a bundle, in the order of positions.
fn windows(bundle: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let records = Evidence::parse(bundle).unwrap().records().unwrap();
    let of_windows = records.into_iter().filter(is_of_window);
    let mut windows: Vec<_> = of_windows.map(|record| (record.position, record.bytes)).collect();
    windows.sort();
    windows
}

/// Which parts have windows.
fn with_windows(parts: &[Vec<u8>]) -> Vec<usize> {
    (0..parts.len()).filter(|place| !windows(&parts[*place]).is_empty()).collect()
}

/// What a part says of itself.
fn told_by(part: &[u8]) -> Value {
    serde_json::from_slice(&Evidence::parse(part).unwrap().item("part.json").unwrap().bytes).unwrap()
}

/// Parts whose `part.json` was written anew, to say of each which windows it has.
fn fitted(node: &Tampered, parts: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut told = told_by(&parts[0]);
    for (place, part) in parts.iter().enumerate() {
        let held = windows(part);
        told["parts"][place]["windows"] = if held.is_empty() { Value::Null } else { line_of(&held) };
    }
    let mut fitted = Vec::new();
    for (place, part) in parts.iter().enumerate() {
        told["number"] = json!(place + 1);
        fitted.push(node.with_item(part, "part.json", told.to_string().as_bytes()));
    }
    fitted
}

/// A line of `part.json`, made by the manual's words.
fn line_of(records: &[(u64, Vec<u8>)]) -> Value {
    let mut hasher = Sha256Hasher::default();
    for (position, bytes) in records {
        hasher.update(&position.to_be_bytes());
        hasher.update(&sha256(bytes).0);
    }
    json!({
        "count": records.len(),
        "first": records.first().unwrap().0,
        "last": records.last().unwrap().0,
        "sha256": hasher.finish().to_string(),
    })
}
