//! Evidence with a twin log and witnesses, what a reader insists on, and evidence as plain files.

use std::collections::BTreeMap;

use lingqu_crypto::{DigestPair, Salt, SigningKey};
use lingqu_transparency::{
    Checkpoint, Cosigner, Evidence, EvidenceBuilder, EvidenceRecord, EvidenceTrust, LogEntry, LogPolicy, LogProof,
    NoteSigner, NoteVerifier, RecordKind, Report, SignedNote, TiledTree, TreeHasher, TreeState, twin_origin,
    verify_evidence_files, verify_evidence_with,
};
use proptest::prelude::*;

const NODE: &str = "node.example/450000";

struct Sample {
    bundle: Vec<u8>,
    log: NoteSigner,
    twin: NoteSigner,
    witness: Cosigner,
}

fn record(position: u64) -> EvidenceRecord {
    EvidenceRecord {
        kind: RecordKind::Journal,
        position,
        salt: Salt([position as u8; 16]),
        entry_index: position - 1,
        bytes: format!("{{\"n\":{position}}}").into_bytes(),
    }
}

/// One entry a record.
fn entries() -> Vec<Vec<u8>> {
    let pair = |record: &EvidenceRecord| DigestPair::of_salted(&record.salt, &record.bytes);
    (1..=5)
        .map(record)
        .map(|record| LogEntry::new(RecordKind::Journal, record.position, vec![pair(&record)]).unwrap().encode())
        .collect()
}

/// A tree's signed checkpoint and the proofs of its entries.
fn tree(signer: &NoteSigner, witness: Option<&Cosigner>) -> (String, Vec<LogProof>) {
    let hasher = TreeHasher::of(signer.verifier().key_type().suite());
    let growth = TreeState::empty_of(hasher).append(&entries()).unwrap();
    let files: BTreeMap<String, Vec<u8>> = growth.files.into_iter().collect();
    let origin = signer.verifier().name().to_owned();
    let mut note = Checkpoint { origin, size: 5, root: growth.root }.sign(signer).unwrap();
    if let Some(witness) = witness {
        let text = SignedNote::parse(&note).unwrap().text().to_owned();
        note += &witness.cosign(&text, 1_700_000_000).unwrap().to_line();
    }
    let read = |path: &str| files.get(path).cloned();
    let proofs = (0..5).map(|index| LogProof {
        extra: None,
        index,
        path: TiledTree::new(hasher, &read, 5).inclusion_proof(index).unwrap(),
        checkpoint: note.clone(),
    });
    (note.clone(), proofs.collect())
}

/// A bundle; `change` may change what goes in.
fn sample_with(items: &[(&str, &str)], has_twin_proofs: bool) -> Sample {
    let log = NoteSigner::new(NODE, SigningKey::from_seed([1; 32])).unwrap();
    let twin = NoteSigner::new(&twin_origin(NODE), SigningKey::national_from_seed([2; 32]).unwrap()).unwrap();
    let witness = Cosigner::new("witness.example", SigningKey::from_seed([3; 32])).unwrap();
    let (note, proofs) = tree(&log, Some(&witness));
    let (twin_note, twin_proofs) = tree(&twin, None);
    let mut builder = EvidenceBuilder::new("ord_1", "2026-11-24T10:00:00+08:00", NODE);
    builder.checkpoint(&note).unwrap();
    builder.vkey(log.verifier()).unwrap();
    builder.twin(&twin_note, twin.verifier()).unwrap();
    builder.witness(witness.verifier()).unwrap();
    for (index, entry) in entries().iter().enumerate() {
        builder.entry(entry, &proofs[index]).unwrap();
        if has_twin_proofs {
            builder.twin_proof(&twin_proofs[index]).unwrap();
        }
        builder.record(&record(index as u64 + 1)).unwrap();
    }
    for (name, text) in items {
        builder.item(name, text.as_bytes()).unwrap();
    }
    Sample { bundle: builder.build(&log).unwrap(), log, twin, witness }
}

fn sample() -> Sample {
    sample_with(&[("contract.json", "{}"), ("certificates/a.note", "a\n")], true)
}

fn trust(keys: &[&NoteVerifier]) -> EvidenceTrust {
    EvidenceTrust { keys: keys.iter().map(|key| (*key).clone()).collect(), policy: None }
}

fn must_find(report: &Report, place: &str, words: &str) {
    let found = report.findings.iter().any(|finding| finding.item == place && finding.problem.contains(words));
    assert!(found, "{place}, {words}: {:?}", report.findings);
}

#[test]
fn a_bundle_may_have_the_keys_of_all_witnesses_of_both_logs() {
    let log = NoteSigner::new(NODE, SigningKey::from_seed([1; 32])).unwrap();
    let (note, proofs) = tree(&log, None);
    let findings = |count: u8| {
        let mut builder = EvidenceBuilder::new("ord_1", "2026-11-24T10:00:00+08:00", NODE);
        builder.checkpoint(&note).unwrap();
        builder.vkey(log.verifier()).unwrap();
        for number in 0..count {
            let witness = Cosigner::new("witness.example", SigningKey::from_seed([100 + number; 32])).unwrap();
            builder.witness(witness.verifier()).unwrap();
        }
        builder.entry(&entries()[0], &proofs[0]).unwrap();
        builder.record(&record(1)).unwrap();
        verify_evidence_with(&builder.build(&log).unwrap(), &EvidenceTrust::default()).findings
    };
    // A node asks 32 for each of its logs at most.
    assert_eq!(findings(64), []);
    assert_eq!(findings(65).len(), 1);
}

#[test]
fn both_logs_and_the_witness_are_checked() {
    let sample = sample();
    let report = verify_evidence_with(&sample.bundle, &EvidenceTrust::default());
    assert_eq!(report.findings, []);
    let twin = report.twin.unwrap();
    assert_eq!((report.entry_count, twin.entry_count, twin.key_is_trusted), (5, 5, false));
    assert_eq!(report.cosigned.len(), 1);
    assert_eq!((report.cosigned[0].at, report.cosigned[0].key_is_trusted), (1_700_000_000, false));

    let keys = [sample.log.verifier(), sample.twin.verifier(), sample.witness.verifier()];
    let report = verify_evidence_with(&sample.bundle, &trust(&keys));
    assert_eq!(report.findings, []);
    assert!(report.key_is_trusted && report.twin.unwrap().key_is_trusted && report.cosigned[0].key_is_trusted);
}

#[test]
fn keys_that_are_named_are_insisted_on() {
    let sample = sample();
    let other = NoteSigner::new(NODE, SigningKey::from_seed([9; 32])).unwrap();
    must_find(&verify_evidence_with(&sample.bundle, &trust(&[other.verifier()])), "vkey", "another key");
    let two = trust(&[sample.log.verifier(), other.verifier()]);
    must_find(&verify_evidence_with(&sample.bundle, &two), "key", "another one as well");
    let other = NoteSigner::new(&twin_origin(NODE), SigningKey::national_from_seed([9; 32]).unwrap()).unwrap();
    must_find(&verify_evidence_with(&sample.bundle, &trust(&[other.verifier()])), "vkey.sm3", "another key");
    let other = Cosigner::new("witness.example", SigningKey::from_seed([9; 32])).unwrap();
    must_find(&verify_evidence_with(&sample.bundle, &trust(&[other.verifier()])), "key", "did not cosign");
}

#[test]
fn a_policy_is_insisted_on() {
    let sample = sample();
    let check = |witness: &NoteVerifier| {
        let (log, name) = (sample.log.verifier(), "w");
        let policy = format!("log {log}\nwitness {name} {witness}\nquorum {name}\n");
        let policy = Some(LogPolicy::parse(&policy).unwrap());
        verify_evidence_with(&sample.bundle, &EvidenceTrust { keys: Vec::new(), policy })
    };
    let report = check(sample.witness.verifier());
    assert_eq!(report.findings, []);
    assert!(report.cosigned[0].key_is_trusted);
    let absent = Cosigner::new("absent.example", SigningKey::from_seed([8; 32])).unwrap();
    must_find(&check(absent.verifier()), "policy", "does not satisfy");
}

#[test]
fn a_twin_in_part_is_no_twin() {
    let bundle = sample_with(&[], false).bundle;
    let report = verify_evidence_with(&bundle, &EvidenceTrust::default());
    must_find(&report, "entry/0", "proof.sm3/0, the proof that it is in the log, is missing");
    assert_eq!(report.twin.unwrap().entry_count, 0);
    // A reader who insists on the twin is not content with evidence that has none.
    let log = NoteSigner::new(NODE, SigningKey::from_seed([1; 32])).unwrap();
    let twin = NoteSigner::new(&twin_origin(NODE), SigningKey::national_from_seed([2; 32]).unwrap()).unwrap();
    let mut builder = EvidenceBuilder::new("ord_1", "2026-11-24T10:00:00+08:00", NODE);
    builder.checkpoint(&tree(&log, None).0).unwrap();
    builder.vkey(log.verifier()).unwrap();
    let bundle = builder.build(&log).unwrap();
    assert!(verify_evidence_with(&bundle, &EvidenceTrust::default()).holds());
    let report = verify_evidence_with(&bundle, &trust(&[log.verifier(), twin.verifier()]));
    must_find(&report, "checkpoint.sm3", "nothing of the twin log is proven");
}

#[test]
fn files_and_container_are_one_thing() {
    let sample = sample();
    let evidence = Evidence::parse(&sample.bundle).unwrap();
    let files = evidence.to_files().unwrap();
    assert!(
        ["manifest", "checkpoint", "checkpoint.sm3", "keys/log.vkey", "keys/log.sm3.vkey", "keys/witness-0.vkey"]
            .iter()
            .chain(&["entries/4.entry", "proofs/4.tlog-proof", "proofs/4.sm3.tlog-proof", "records/4.json"])
            .chain(&["records/4.opening", "contract.json", "certificates/a.note"])
            .all(|path| files.contains_key(*path))
    );
    let mut paths = evidence.file_paths().unwrap();
    paths.sort();
    assert_eq!(paths, files.keys().cloned().collect::<Vec<_>>());
    assert_eq!(Evidence::from_files(&|path| files.get(path).cloned()).unwrap(), evidence);
    assert_eq!(files["records/4.json"], record(5).bytes);

    // Each file that is changed or taken away is told by the name of its item.
    let trust = EvidenceTrust::default();
    assert!(verify_evidence_files(&|path| files.get(path).cloned(), &trust).holds());
    for changed in files.keys() {
        let report = verify_evidence_files(&|path| files.get(path).filter(|_| path != changed).cloned(), &trust);
        assert!(!report.holds(), "{changed} is missing");
        let report = verify_evidence_files(
            &|path| {
                let mut bytes = files.get(path).cloned()?;
                if path == changed {
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                }
                Some(bytes)
            },
            &trust,
        );
        assert!(!report.holds(), "{changed} was changed");
    }
    let report = verify_evidence_files(&|path| files.get(path).filter(|_| path != "records/3.json").cloned(), &trust);
    must_find(&report, "record/3", "its bytes were changed");
}

#[test]
fn no_name_leads_out_of_the_folder() {
    for name in
        ["../x", "/x", "a/../../x", "a//b", ".hidden", "a/.b", "a.", "keys/log.vkey", "manifest", "records/0.json"]
    {
        let bundle = sample_with(&[(name, "x")], true).bundle;
        let refused = Evidence::parse(&bundle).unwrap().to_files();
        assert!(refused.is_err(), "{name}");
    }
    // A file and a folder of one name, with another name between them in the order of bytes.
    let bundle = sample_with(&[("a", "x"), ("a-b", "x"), ("a/b", "x")], true).bundle;
    assert!(Evidence::parse(&bundle).unwrap().to_files().is_err());
}

#[test]
fn the_contents_digest_leaves_one_item_out_and_covers_the_rest() {
    let digest = |items: &[(&str, &str)]| {
        Evidence::parse(&sample_with(items, true).bundle).unwrap().contents_digest("report.pdf")
    };
    let plain = digest(&[("a", "1")]);
    assert_eq!(plain, digest(&[("a", "1"), ("report.pdf", "%PDF")]));
    assert_ne!(plain, digest(&[("a", "2")]));
    assert_ne!(plain, digest(&[("b", "1")]));
}

proptest! {
    #[test]
    fn whatever_the_files_reading_never_panics(manifest: Vec<u8>, other: Vec<u8>) {
        let read = |path: &str| Some(if path == "manifest" { manifest.clone() } else { other.clone() });
        prop_assert!(!verify_evidence_files(&read, &EvidenceTrust::default()).holds());
    }
}
