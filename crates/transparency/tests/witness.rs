//! The witness: every status of the specification, requests that another implementation was tested with, races, and logs
//! that fork, roll back and rewrite.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use lingqu_crypto::{Signature, SigningKey, Suite, VerifyingKey};
use lingqu_transparency::{
    AddCheckpoint, Checkpoint, Cosigner, CosignerPolicy, Hash, Misconduct, NoteSignature, NoteSigner, NoteVerifier,
    SignedNote, TreeHasher, Witness, WitnessAnswer, WitnessError, WitnessMemory, Witnessed, sign_note, twin_origin,
};
use proptest::prelude::*;

const ORIGIN: &str = "node.example/log";

/// A memory that keeps what it was told, counts, and can let another request slip in before one advance.
#[derive(Default)]
struct Memory {
    records: RefCell<BTreeMap<String, Witnessed>>,
    slips_in: RefCell<Vec<Witnessed>>,
    advances: Cell<usize>,
    broken: Cell<bool>,
}

impl WitnessMemory for Memory {
    type Fault = &'static str;

    fn latest(&self, origin: &str) -> Result<Option<Witnessed>, &'static str> {
        Ok(self.records.borrow().get(origin).cloned())
    }

    fn advance(&self, from: u64, to: &Witnessed) -> Result<bool, &'static str> {
        if self.broken.get() {
            return Err("the disk is full");
        }
        if let Some(other) = self.slips_in.borrow_mut().pop() {
            self.records.borrow_mut().insert(other.checkpoint.origin.clone(), other);
        }
        let mut records = self.records.borrow_mut();
        let size = records.get(&to.checkpoint.origin).map_or(0, |record| record.checkpoint.size);
        if size != from {
            return Ok(false);
        }
        assert!(to.checkpoint.size >= size, "a memory never goes back");
        records.insert(to.checkpoint.origin.clone(), to.clone());
        self.advances.set(self.advances.get() + 1);
        Ok(true)
    }
}

/// A log whose entries are numbers of a history.
struct Log {
    signer: NoteSigner,
    leaves: Vec<Hash>,
}

impl Log {
    fn new(suite: Suite, count: u64, parting: u64, history: u8) -> Log {
        let signer = match suite {
            Suite::International => NoteSigner::new(ORIGIN, SigningKey::from_seed([1; 32])),
            Suite::National => NoteSigner::new(&twin_origin(ORIGIN), SigningKey::national_from_seed([1; 32]).unwrap()),
        };
        let entry = |number: u64| [number as u8, if number < parting { 0 } else { history }];
        let leaves = (0..count).map(|number| TreeHasher::of(suite).leaf_hash(&entry(number))).collect();
        Log { signer: signer.unwrap(), leaves }
    }

    fn hasher(&self) -> TreeHasher {
        TreeHasher::of(self.signer.verifier().key_type().suite())
    }

    fn note(&self, size: u64) -> String {
        let root = self.hasher().root(&self.leaves[..size as usize]);
        let origin = self.signer.verifier().name().to_owned();
        Checkpoint { origin, size, root }.sign(&self.signer).unwrap()
    }

    fn request(&self, old_size: u64, size: u64) -> AddCheckpoint {
        let proof = match old_size <= size {
            true => self.hasher().consistency_proof(&self.leaves[..size as usize], old_size).unwrap(),
            false => Vec::new(),
        };
        AddCheckpoint { old_size, proof, note: self.note(size) }
    }
}

fn suites() -> [Suite; 2] {
    [Suite::International, Suite::National]
}

fn cosigners() -> Vec<Cosigner> {
    let keys = [SigningKey::from_seed([9; 32]), SigningKey::national_from_seed([9; 32]).unwrap()];
    let named = keys.into_iter().zip(["w.example/1", "w.example/2"]);
    named.map(|(key, name)| Cosigner::new(name, key).unwrap()).collect()
}

fn witness() -> Witness {
    let mut witness = Witness::new(cosigners()).unwrap();
    for suite in suites() {
        let log = Log::new(suite, 0, 0, 0);
        let verifier = log.signer.verifier();
        witness.watch(verifier.name(), vec![verifier.clone()]).unwrap();
    }
    witness
}

fn ask(witness: &Witness, memory: &Memory, request: &AddCheckpoint) -> WitnessAnswer {
    witness.add_checkpoint(request.to_text().as_bytes(), memory, 1_700_000_000).unwrap()
}

#[test]
fn requests_that_another_witness_was_tested_with() {
    let origin = "sigsum.org/v1/tree/4d6d8825a6bb689d459628312889dfbb0bcd41b5211d9e1ce768b0ff0309e562";
    let key: VerifyingKey = "ed25519:ffdc2d4d98e4124d3feaf788c0c2f9abfd796083d1f0495437f302ec79cf100f".parse().unwrap();
    let mut witness = Witness::new(cosigners()).unwrap();
    witness.watch(origin, vec![NoteVerifier::new(origin, key).unwrap()]).unwrap();
    let memory = Memory::default();
    let mut seen = Vec::new();
    for case in include_str!("data/add-checkpoint.txt").split("=== ").skip(1) {
        let (status, body) = case.split_once('\n').unwrap();
        // One signature has bits behind its last byte in base64, which we refuse before any key is looked at (RFC 4648
        // section 3.5); without them it is the wrong signature that it is meant to be.
        if body.contains("6gx=\n") {
            assert_eq!(witness.add_checkpoint(body.as_bytes(), &memory, 1_700_000_000).unwrap().status(), 400);
        }
        let body = body.replace("6gx=\n", "6gw=\n");
        let answer = witness.add_checkpoint(body.as_bytes(), &memory, 1_700_000_000).unwrap();
        // That version answered 403 for an unknown log, too; the specification of today says 404.
        let expected = if body.contains("e563\n") { 404 } else { status.parse().unwrap() };
        assert_eq!(answer.status(), expected, "{body}");
        if expected == 409 {
            assert_eq!(answer.content_type(), "text/x.tlog.size");
            seen.push(answer.body());
        }
    }
    assert_eq!(seen, ["3\n", "5\n"]);
    assert_eq!(memory.advances.get(), 3);
}

#[test]
fn the_checkpoint_of_the_go_checksum_database() {
    // Recorded in the tests of torchwood at 341dc2f; the key's name is not the log's origin.
    let body = "old 0\n\ngo.sum database tree\n35225469\nvt5T6GaLCXvyHFl9VUvvItR43XZxfLgftEcTyO3eJCQ=\n\n\
                — sum.golang.org Az3grpukl5AXaVfYkLiDGORx/DN2nlcS5kZHR5uYOBV2KA2HgXpD+gu9HHONebHLAyaKbbTM75QTtPydhKCExixSfwQ=\n";
    let key: NoteVerifier = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8".parse().unwrap();
    let mut witness = Witness::new(cosigners()).unwrap();
    witness.watch("go.sum database tree", vec![key]).unwrap();
    let memory = Memory::default();
    let answer = witness.add_checkpoint(body.as_bytes(), &memory, 5).unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.body().starts_with("— w.example/1 "));
}

#[test]
fn every_status() {
    for suite in suites() {
        let (witness, memory, log) = (witness(), Memory::default(), Log::new(suite, 50, 99, 0));
        let status = |request: &AddCheckpoint| ask(&witness, &memory, request).status();
        // 404 before 403: who asks about an unknown log learns that first.
        let mut other = log.request(0, 5);
        other.note = other.note.replacen(ORIGIN, "other.example/log", 1);
        assert_eq!(status(&other), 404);
        // 403: another key under the log's name, a changed signature, and a signature of nobody known.
        let origin = log.signer.verifier().name();
        let stranger = NoteSigner::new(origin, SigningKey::from_seed([7; 32])).unwrap();
        let mut forged = log.request(0, 5);
        forged.note =
            Checkpoint::from_text(SignedNote::parse(&log.note(5)).unwrap().text()).unwrap().sign(&stranger).unwrap();
        assert_eq!(status(&forged), 403);
        let mut changed = log.request(0, 5);
        changed.note = changed.note.replacen("\n5\n", "\n6\n", 1);
        assert_eq!(status(&changed), 403);
        // 400: old size above the new one, whatever the memory says; and bytes that are no request.
        assert_eq!(status(&log.request(6, 5)), 400);
        assert_eq!(ask(&witness, &memory, &log.request(6, 5)), WitnessAnswer::OldSizeAbove);
        for body in [&b""[..], b"\xff\xfe", b"old 0\n\nno note", b"old 0\n\norigin\n0\nAAAA\n\n"] {
            assert_eq!(witness.add_checkpoint(body, &memory, 5).unwrap().status(), 400);
        }
        // 409: the memory is empty, which counts as size 0.
        assert_eq!(ask(&witness, &memory, &log.request(3, 5)).body(), "0\n");
        // 422: a proof from the empty tree; an empty tree with another root.
        let mut proven = log.request(0, 5);
        proven.proof = vec![[0; 32]];
        assert_eq!(status(&proven), 422);
        let wrong = Checkpoint { origin: origin.to_owned(), size: 0, root: [1; 32] }.sign(&log.signer).unwrap();
        assert_eq!(status(&AddCheckpoint { old_size: 0, proof: vec![], note: wrong }), 422);
        assert_eq!(memory.advances.get(), 0);
        // 200: the empty log, growth, the same size again, growth.
        for (old, new) in [(0, 0), (0, 5), (5, 5), (5, 8), (8, 50)] {
            assert_eq!(status(&log.request(old, new)), 200, "{old} to {new}");
        }
        assert_eq!(memory.advances.get(), 5);
        // 409 with the size; 422 for a proof that is cut short, too long, or superfluous.
        assert_eq!(ask(&witness, &memory, &log.request(8, 50)), WitnessAnswer::Conflict { size: 50 });
        let grown = Log::new(suite, 60, 99, 0);
        for cut in [0, 1, 2] {
            let mut request = grown.request(50, 60);
            match cut {
                0 => drop(request.proof.pop()),
                1 => request.proof.push([0; 32]),
                _ => request.proof[0][0] ^= 1,
            }
            assert!(matches!(ask(&witness, &memory, &request), WitnessAnswer::Inconsistent { misconduct: None, .. }));
        }
        let mut again = grown.request(50, 50);
        again.proof = vec![[0; 32]];
        assert_eq!(status(&again), 422);
        assert_eq!(status(&grown.request(50, 60)), 200);
    }
}

#[test]
fn the_answer_completes_the_note() {
    for suite in suites() {
        let (witness, memory, log) = (witness(), Memory::default(), Log::new(suite, 9, 99, 0));
        let answer = ask(&witness, &memory, &log.request(0, 9));
        let policy = CosignerPolicy::new(
            witness.verifiers().filter(|key| key.key_type().suite() == suite).cloned().collect(),
            1,
        )
        .unwrap();
        let note = SignedNote::parse(&log.note(9)).unwrap();
        assert!(policy.check(&note).is_err());
        let cosigned = policy.gather(&note, &answer.body()).unwrap();
        assert_eq!(policy.check(&cosigned).unwrap()[0].1, 1_700_000_000);
        // Monitors get the same: the log's signature and the witness's.
        let latest = memory.latest(log.signer.verifier().name()).unwrap().unwrap();
        assert_eq!(latest.note, cosigned.to_text());
        assert!(Checkpoint::open(&latest.note, log.signer.verifier()).is_ok());
        // A later answer replaces the earlier line instead of standing beside it.
        let later = witness.add_checkpoint(log.request(9, 9).to_text().as_bytes(), &memory, 1_700_000_099).unwrap();
        let cosigned = policy.gather(&cosigned, &later.body()).unwrap();
        assert_eq!((cosigned.signatures().len(), policy.check(&cosigned).unwrap()[0].1), (2, 1_700_000_099));
        // Lines of strangers are left out; a known cosigner's line over something else is refused.
        let stranger = Cosigner::new("s.example", SigningKey::from_seed([3; 32])).unwrap();
        let line = stranger.cosign(note.text(), 7).unwrap().to_line();
        assert_eq!(policy.gather(&note, &line).unwrap(), note);
        let other = ask(&witness, &Memory::default(), &Log::new(suite, 8, 99, 0).request(0, 8)).body();
        assert!(policy.gather(&note, &other).is_err());
    }
}

#[test]
fn a_note_full_of_one_signature_is_kept_once() {
    let (witness, memory, log) = (witness(), Memory::default(), Log::new(Suite::International, 9, 99, 0));
    let mut request = log.request(0, 9);
    let line = SignedNote::parse(&request.note).unwrap().signatures()[0].to_line();
    request.note += &line.repeat(99);
    assert_eq!(ask(&witness, &memory, &request).status(), 200);
    let kept = memory.latest(ORIGIN).unwrap().unwrap().note;
    assert_eq!(SignedNote::parse(&kept).unwrap().signatures().len(), 2);
}

#[test]
fn the_answers_of_the_specification_are_read() {
    // C2SP tlog-witness, "add-checkpoint", the example of a response body.
    let body = "— witness.example/w1 CMp+6LWBU0anHGH5aNDTJkH/gj79sG+T6+iP2ThYN5krrDJbR1HDnucjL39QsZTSvVjyQLrdk3DXDqI5G2HgLatVs0pWh6Up69HVOw==\n\
                — witness.example/w1 I7rEps0pvK2UqkS2gSpVUDhrhVtQV9lgF6pRrWAvjJHjyWpW7VcE3SiOlVlbQNt64vWhO+DlkL0+UfzuOBMh9ChdMkP1vi/lCAsmlw==\n\
                — witness.example/w2 AWui8Sk55XjYLOijihBjhqEH6nS1ndDymE0a+6idX7pLcnoB+dhnz0854aLZgrrKbYKA7nC3HNJhm/kWl7oJlqU3rXXvpysAdyP3wQ==\n";
    let lines = NoteSignature::parse_lines(body).unwrap();
    assert_eq!(lines.len(), 3);
    assert!(lines.iter().all(|line| line.bytes.len() == 8 + 64));
    assert_eq!(lines.iter().map(NoteSignature::to_line).collect::<String>(), body);
    assert!(NoteSignature::parse_lines("").is_err());
}

#[test]
fn nothing_is_signed_before_the_memory_is_durable() {
    let (witness, memory, log) = (witness(), Memory::default(), Log::new(Suite::International, 9, 99, 0));
    memory.broken.set(true);
    let body = log.request(0, 9).to_text();
    assert!(matches!(
        witness.add_checkpoint(body.as_bytes(), &memory, 5),
        Err(WitnessError::Memory("the disk is full"))
    ));
    memory.broken.set(false);
    assert!(matches!(witness.add_checkpoint(body.as_bytes(), &memory, 0), Err(WitnessError::CanNotSign(_))));
    assert_eq!(memory.advances.get(), 0);
}

#[test]
fn the_race_of_the_specification_rolls_nothing_back() {
    let (witness, memory, log) = (witness(), Memory::default(), Log::new(Suite::International, 20, 99, 0));
    assert_eq!(ask(&witness, &memory, &log.request(0, 3)).status(), 200);
    // While the request for 5 is judged, one for 9 is answered.
    let checkpoint = Checkpoint::open(&log.note(9), log.signer.verifier()).unwrap();
    memory.slips_in.borrow_mut().push(Witnessed { checkpoint, note: log.note(9) });
    assert_eq!(ask(&witness, &memory, &log.request(3, 5)), WitnessAnswer::Conflict { size: 9 });
    assert_eq!(memory.latest(ORIGIN).unwrap().unwrap().checkpoint.size, 9);
}

/// A log that forks, rolls back or rewrites is caught by any witness, and what can be proven to others is.
#[test]
fn a_log_that_lies_is_caught() {
    for suite in suites() {
        let honest = Log::new(suite, 30, 99, 0);
        let key = honest.signer.verifier();
        let proven = |answer: WitnessAnswer| match answer {
            WitnessAnswer::Inconsistent { misconduct, .. } => {
                let file = misconduct.expect("the request proves it").to_text();
                Misconduct::from_text(&file).unwrap().verify(key, None).unwrap()
            }
            other => panic!("{other:?}"),
        };
        for seen in [1, 7, 12, 16, 29] {
            let (witness, memory) = (witness(), Memory::default());
            assert_eq!(ask(&witness, &memory, &honest.request(0, seen)).status(), 200);
            // Fork: another root at the same size.
            let other = Log::new(suite, 30, 0, 1);
            assert_eq!(proven(ask(&witness, &memory, &other.request(seen, seen))).size, seen);
            // Rewrite: a larger tree that does not continue the one seen.
            let answer = ask(&witness, &memory, &other.request(seen, 30));
            assert_eq!(answer.status(), 422);
            if !seen.is_power_of_two() {
                assert_eq!(proven(answer).size, seen);
            }
            // Roll back: a smaller tree, whatever the log says it last showed.
            for old in 0..=seen {
                let answer = ask(&witness, &memory, &honest.request(old, seen - 1));
                assert!(matches!(answer.status(), 400 | 409), "{answer:?}");
            }
            assert_eq!(memory.latest(key.name()).unwrap().unwrap().checkpoint.size, seen);
        }
    }
}

#[test]
fn a_log_with_another_name_than_its_key_is_convicted_too() {
    let signer = NoteSigner::new("key.example", SigningKey::from_seed([1; 32])).unwrap();
    let mut witness = Witness::new(cosigners()).unwrap();
    witness.watch(ORIGIN, vec![signer.verifier().clone()]).unwrap();
    let memory = Memory::default();
    let shown = |old_size, root| {
        let text = Checkpoint { origin: ORIGIN.to_owned(), size: 5, root }.to_text();
        let note = sign_note(&text, &[&signer]).unwrap();
        ask(&witness, &memory, &AddCheckpoint { old_size, proof: Vec::new(), note })
    };
    assert_eq!(shown(0, [1; 32]).status(), 200);
    let WitnessAnswer::Inconsistent { misconduct: Some(proof), .. } = shown(5, [2; 32]) else { panic!("no proof") };
    let named = signer.verifier().clone().of_log(ORIGIN);
    assert_eq!(proof.verify(&named, None).unwrap().origin, ORIGIN);
    // It is no proof against a log that has the key's name.
    assert!(proof.verify(signer.verifier(), None).is_err());
}

#[test]
fn a_log_of_two_keys_is_convicted_by_the_one_that_signed_both() {
    let signers = [1, 2].map(|seed| NoteSigner::new(ORIGIN, SigningKey::from_seed([seed; 32])).unwrap());
    let mut witness = Witness::new(cosigners()).unwrap();
    witness.watch(ORIGIN, signers.iter().map(|signer| signer.verifier().clone()).collect()).unwrap();
    let memory = Memory::default();
    let shown = |old_size, root, signers: &[&NoteSigner]| {
        let text = Checkpoint { origin: ORIGIN.to_owned(), size: 5, root }.to_text();
        let note = sign_note(&text, signers).unwrap();
        ask(&witness, &memory, &AddCheckpoint { old_size, proof: Vec::new(), note })
    };
    assert_eq!(shown(0, [1; 32], &[&signers[1]]).status(), 200);
    let answer = shown(5, [2; 32], &[&signers[0], &signers[1]]);
    let WitnessAnswer::Inconsistent { misconduct: Some(proof), .. } = answer else { panic!("no proof") };
    assert!(proof.verify(signers[1].verifier(), None).is_ok());
}

#[test]
fn what_a_witness_does_not_watch() {
    let log = Log::new(Suite::International, 0, 0, 0).signer.verifier().clone();
    let only = |number: usize| vec![cosigners().swap_remove(number)];
    assert!(Witness::new(Vec::new()).is_err());
    assert!(Witness::new(only(0).into_iter().chain(only(0)).collect()).is_err());
    let mut witness = Witness::new(only(0)).unwrap();
    assert!(witness.watch("a", vec![]).is_err());
    let twin = Log::new(Suite::National, 0, 0, 0).signer.verifier().clone();
    assert!(witness.watch("a", vec![twin.clone()]).is_err());
    assert!(witness.watch("a", vec![log.clone(), twin]).is_err());
    assert!(witness.watch("a", vec![cosigners()[0].verifier().clone()]).is_err());
    assert!(witness.watch("a", vec![log.clone(); 17]).is_err());
    assert!(witness.watch("a", vec![log.clone()]).is_ok());
    assert!(witness.watch("a", vec![log]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    /// Whatever two histories of one log submit in whatever order, what was cosigned is one history.
    #[test]
    fn what_is_cosigned_is_one_history(
        parting in 0..20_u64,
        steps in proptest::collection::vec((any::<bool>(), 0..25_u64, 0..25_u64), 1..40),
    ) {
        let (witness, memory) = (witness(), Memory::default());
        let histories = [1, 2].map(|history| Log::new(Suite::International, 25, parting, history));
        let mut cosigned: Vec<(u64, usize)> = Vec::new();
        for (second, old, size) in steps {
            // Half of the requests know what the witness has.
            let latest = memory.latest(ORIGIN).unwrap().map_or(0, |latest| latest.checkpoint.size);
            let old = if old % 2 == 0 { latest.min(size) } else { old };
            let log = &histories[usize::from(second)];
            if ask(&witness, &memory, &log.request(old, size)).status() == 200 {
                cosigned.push((size, usize::from(second)));
            }
        }
        prop_assert!(cosigned.is_sorted_by_key(|(size, _)| *size));
        for (size, one) in &cosigned {
            for (other_size, other) in &cosigned {
                // Where the histories have parted, only one of them was cosigned.
                prop_assert!(one == other || *size.min(other_size) <= parting);
            }
        }
    }

    #[test]
    fn bodies_never_panic(body: Vec<u8>, flips in proptest::collection::vec((any::<usize>(), any::<u8>()), 0..6)) {
        let (witness, memory, log) = (witness(), Memory::default(), Log::new(Suite::International, 9, 99, 0));
        prop_assert_ne!(witness.add_checkpoint(&body, &memory, 5).unwrap().status(), 200);
        let mut near = log.request(0, 9).to_text().into_bytes();
        for (at, byte) in flips {
            let at = at % near.len();
            near[at] = byte;
        }
        let answer = witness.add_checkpoint(&near, &memory, 5).unwrap();
        if answer.status() == 200 {
            // Only what the log signed is cosigned, so the text is the log's own.
            let note = AddCheckpoint::from_text(std::str::from_utf8(&near).unwrap()).unwrap().note;
            prop_assert!(Checkpoint::open(&note, log.signer.verifier()).is_ok());
        }
    }
}

#[test]
fn an_ed25519_cosignature_is_over_the_words_of_the_specification() {
    let (witness, memory, log) = (witness(), Memory::default(), Log::new(Suite::International, 9, 99, 0));
    let WitnessAnswer::Cosigned(lines) = ask(&witness, &memory, &log.request(0, 9)) else { panic!("not cosigned") };
    let note = SignedNote::parse(&log.note(9)).unwrap();
    let message = format!("cosignature/v1\ntime 1700000000\n{}", note.text());
    assert_eq!(lines[0].bytes[..8], 1_700_000_000_u64.to_be_bytes());
    let signature = Signature::from_bytes(Suite::International, &lines[0].bytes[8..]).unwrap();
    let key = SigningKey::from_seed([9; 32]).verifying_key();
    assert!(key.verify(message.as_bytes(), &signature).is_ok());
}
