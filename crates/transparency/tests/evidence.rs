//! Evidence from records to an offline check: what holds, and that every changed byte is found and named.

use std::collections::BTreeMap;

use lingqu_crypto::{DigestPair, Salt, SigningKey};
use lingqu_transparency::{
    Checkpoint, Evidence, EvidenceBuilder, EvidenceRecord, LogEntry, LogProof, NoteSigner, NoteVerifier, RecordKind,
    TiledTree, TreeHasher, TreeState, verify_evidence,
};
use proptest::prelude::*;

const NODE: &str = "node.example/450000";

fn signer(seed: u8) -> NoteSigner {
    NoteSigner::new(NODE, SigningKey::from_seed([seed; 32])).unwrap()
}

fn record(kind: RecordKind, position: u64, entry_index: u64) -> EvidenceRecord {
    EvidenceRecord {
        kind,
        position,
        salt: Salt([position as u8; 16]),
        entry_index,
        bytes: format!("{{\"{}\":{position}}}\n", kind.as_str()).into_bytes(),
    }
}

/// A log of two journal entries and one receipt entry, and the records in them.
fn records() -> Vec<EvidenceRecord> {
    vec![
        record(RecordKind::Journal, 1, 0),
        record(RecordKind::Journal, 2, 0),
        record(RecordKind::Receipt, 1, 1),
        record(RecordKind::Journal, 3, 2),
    ]
}

fn builder(signer: &NoteSigner) -> EvidenceBuilder {
    let mut entries: Vec<Vec<u8>> = Vec::new();
    for index in 0..3 {
        let committed: Vec<EvidenceRecord> =
            records().into_iter().filter(|record| record.entry_index == index).collect();
        let pairs = committed.iter().map(|record| DigestPair::of_salted(&record.salt, &record.bytes)).collect();
        let first = &committed[0];
        entries.push(LogEntry::new(first.kind, first.position, pairs).unwrap().encode());
    }
    let hasher = TreeHasher::of(signer.verifier().key_type().suite());
    let growth = TreeState::empty_of(hasher).append(&entries).unwrap();
    let files: BTreeMap<String, Vec<u8>> = growth.files.into_iter().collect();
    let read = |path: &str| files.get(path).cloned();
    let checkpoint = Checkpoint { origin: NODE.to_owned(), size: 3, root: growth.root };
    let checkpoint = checkpoint.sign(signer).unwrap();

    let mut builder = EvidenceBuilder::new("ord_1", "2026-11-24T10:00:00+08:00", NODE);
    builder.checkpoint(&checkpoint).unwrap();
    builder.vkey(signer.verifier()).unwrap();
    for record in records() {
        let index = record.entry_index;
        if !builder.has_entry(index) {
            let proof = LogProof {
                extra: None,
                index,
                path: TiledTree::new(hasher, &read, 3).inclusion_proof(index).unwrap(),
                checkpoint: checkpoint.clone(),
            };
            builder.entry(&entries[index as usize], &proof).unwrap();
        }
        builder.record(&record).unwrap();
    }
    builder.item("contract.txt", "合同 contract\n".as_bytes()).unwrap();
    builder.item("empty", b"").unwrap();
    builder
}

fn sample() -> (Vec<u8>, NoteVerifier) {
    let signer = signer(1);
    (builder(&signer).build(&signer).unwrap(), signer.verifier().clone())
}

#[test]
fn a_bundle_of_the_twin_log_holds() {
    let key = SigningKey::national_from_seed([1; 32]).unwrap();
    let signer = NoteSigner::new(NODE, key).unwrap();
    let mut bytes = builder(&signer).build(&signer).unwrap();
    let report = verify_evidence(&bytes, Some(signer.verifier()));
    assert!(report.holds(), "{:?}", report.findings);
    assert_eq!((report.record_count, report.entry_count), (4, 3));
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    assert!(!verify_evidence(&bytes, Some(signer.verifier())).holds());
}

#[test]
fn an_untouched_bundle_holds() {
    let (file, key) = sample();
    let report = verify_evidence(&file, Some(&key));
    assert_eq!(report.findings, []);
    assert!(report.holds() && report.key_is_trusted);
    assert_eq!((report.record_count, report.entry_count), (4, 3));
    assert_eq!(report.checkpoint.unwrap().size, 3);
    let evidence = report.evidence.unwrap();
    assert_eq!((evidence.order.as_str(), evidence.node.as_str()), ("ord_1", NODE));
    assert_eq!(evidence.records().unwrap(), records());
    assert_eq!(evidence.item("contract.txt").unwrap().bytes, "合同 contract\n".as_bytes());

    let alone = verify_evidence(&file, None);
    assert!(alone.holds() && !alone.key_is_trusted);
    assert_eq!(alone.key, Some(key));
}

#[test]
fn the_format_never_changes() {
    // Made by this crate and kept, so that bundles handed out today stay verifiable.
    let (file, key) = sample();
    let kept = include_bytes!("../golden/evidence-v1.lqe");
    assert!(verify_evidence(kept, Some(&key)).holds());
    assert_eq!(file, kept);
}

/// The part of the file that a byte is in: a manifest line, the signature, or an item.
fn place_of(file: &[u8], at: usize) -> String {
    let evidence = Evidence::parse(file).unwrap();
    let item_bytes: usize = evidence.items.iter().map(|item| item.bytes.len()).sum();
    let mut start = file.len() - item_bytes;
    if at < start {
        let number = file[..at].iter().filter(|byte| **byte == b'\n').count() + 1;
        return format!("manifest line {number}");
    }
    for item in &evidence.items {
        if at < start + item.bytes.len() {
            return item.name.clone();
        }
        start += item.bytes.len();
    }
    unreachable!("the byte is in the file");
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let (file, key) = sample();
    let manifest_lines = 4 + Evidence::parse(&file).unwrap().items.len();
    for at in 0..file.len() {
        for flip in [0x01, 0x20, 0x80] {
            let mut changed = file.clone();
            changed[at] ^= flip;
            let report = verify_evidence(&changed, Some(&key));
            let place = place_of(&file, at);
            let named = |name: &str| report.findings.iter().any(|finding| finding.item.starts_with(name));
            let line: Option<usize> = place.strip_prefix("manifest line ").map(|number| number.parse().unwrap());
            // The blank line and the signature line are named as the manifest's end, not by number.
            let good = match line {
                Some(number) if number <= manifest_lines => named(&place) || named("manifest"),
                Some(_) => named("manifest"),
                None => named(&place),
            };
            assert!(good, "byte {at} ({place}) by {flip:#x}: {:?}", report.findings);
            // A line is named by its number unless the change broke the text apart (a newline, a control character).
            if let Some(number) = line
                && number <= manifest_lines
                && file[at] != b'\n'
                && changed[at] >= b' '
            {
                assert!(named(&place), "byte {at} ({place}) by {flip:#x}: {:?}", report.findings);
            }
            assert!(!verify_evidence(&changed, None).holds());
        }
    }
}

#[test]
fn cut_off_and_prolonged_files_are_found() {
    let (file, key) = sample();
    for length in 0..file.len() {
        assert!(!verify_evidence(&file[..length], Some(&key)).holds(), "first {length} bytes");
    }
    let report = verify_evidence(&[&file[..], b"x"].concat(), Some(&key));
    assert_eq!(report.findings[0].item, "end of file");
    let report = verify_evidence(&file[..file.len() - 1], Some(&key));
    assert_eq!(report.findings[0].item, "contract.txt");
}

#[test]
fn a_bundle_by_another_key_is_refused_by_those_who_know_the_key() {
    let forger = signer(2);
    let forged = builder(&forger).build(&forger).unwrap();
    let report = verify_evidence(&forged, Some(signer(1).verifier()));
    let items: Vec<&str> = report.findings.iter().map(|finding| finding.item.as_str()).collect();
    assert!(items.contains(&"vkey") && items.contains(&"manifest signature") && items.contains(&"checkpoint"));
    // Without the key the forgery is consistent, and the report says that the key was not the reader's.
    let alone = verify_evidence(&forged, None);
    assert!(alone.holds() && !alone.key_is_trusted);
}

#[test]
fn the_maker_itself_can_not_slip_in_a_record() {
    // The node signs the bundle, but a record that its log does not hold is still found.
    let signer = signer(1);
    let attempts = [
        (record(RecordKind::Journal, 9, 0), "does not commit to position 9"),
        (record(RecordKind::Receipt, 1, 0), "commits to journal records"),
        (record(RecordKind::Journal, 1, 7), "is not in the bundle"),
        (
            EvidenceRecord { bytes: b"other".to_vec(), ..record(RecordKind::Journal, 1, 0) },
            "it is not what entry/0 commits to at position 1",
        ),
        (
            EvidenceRecord { salt: Salt([9; 16]), ..record(RecordKind::Journal, 2, 0) },
            "it is not what entry/0 commits to at position 2",
        ),
    ];
    for (attempt, problem) in attempts {
        let mut builder = builder(&signer);
        builder.record(&attempt).unwrap();
        let report = verify_evidence(&builder.build(&signer).unwrap(), Some(signer.verifier()));
        assert_eq!(report.findings.len(), 1);
        assert_eq!(report.findings[0].item, "record/4");
        assert!(report.findings[0].problem.contains(problem), "{:?}", report.findings);
    }
}

#[test]
fn builders_refuse_what_can_not_be_read_back() {
    let signer = signer(1);
    let mut builder = builder(&signer);
    for name in ["", "a b", "A", "合同", "checkpoint", "record/9", "entry/1", "contract.txt"] {
        assert!(builder.item(name, b"x").is_err(), "{name}");
    }
    for order in ["", "a\nb"] {
        assert!(EvidenceBuilder::new(order, "t", NODE).build(&signer).is_err());
    }
    let incomplete = EvidenceBuilder::new("ord_1", "t", NODE).build(&signer).unwrap();
    let report = verify_evidence(&incomplete, Some(signer.verifier()));
    let items: Vec<&str> = report.findings.iter().map(|finding| finding.item.as_str()).collect();
    assert_eq!(items, ["vkey", "checkpoint"]);
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic_and_never_hold(bytes: Vec<u8>, text: String) {
        prop_assert!(!verify_evidence(&bytes, None).holds());
        prop_assert!(!verify_evidence(text.as_bytes(), None).holds());
    }

    #[test]
    fn several_changed_bytes_are_found(changes in proptest::collection::vec(any::<(usize, u8)>(), 1..6)) {
        let (file, key) = sample();
        let mut changed = file.clone();
        for (at, value) in changes {
            let at = at % changed.len();
            changed[at] = value;
        }
        prop_assert_eq!(verify_evidence(&changed, Some(&key)).holds(), changed == file);
    }

    #[test]
    fn moved_pieces_are_found(from: usize, to: usize, length in 1..200_usize) {
        let (file, key) = sample();
        let from = from % file.len();
        let piece: Vec<u8> = file[from..].iter().copied().take(length).collect();
        let mut changed = file.clone();
        changed.drain(from..from + piece.len());
        let to = to % (changed.len() + 1);
        changed.splice(to..to, piece);
        prop_assert_eq!(verify_evidence(&changed, Some(&key)).holds(), changed == file);
    }
}
