//! Every parser over thousands of damaged inputs, the same on every run: a short fuzzing that needs no special compiler.

mod parsers;

use lingqu_crypto::{DigestPair, Salt, SigningKey};
use lingqu_transparency::{
    AddCheckpoint, COSIGNED_AT_MAX, Checkpoint, Cosigner, EvidenceBuilder, EvidenceRecord, LogEntry, LogProof,
    Misconduct, NoteSigner, RecordKind, RootsEntry, SignedNote, TilePath, encode_bundle,
};

/// How many damaged inputs each parser is given.
const ROUNDS: usize = 6_000;

/// Pieces that the formats are made of: where a parser goes wrong, one of them often stands in the wrong place.
const PIECES: [&[u8]; 22] = [
    b"\n",
    b"\n\n",
    b" ",
    b"\0",
    b"\r\n",
    b"=",
    b"==",
    b"+",
    b"/",
    b"0",
    b"00",
    b"-1",
    b"18446744073709551616",
    b"\xff",
    "— ".as_bytes(),
    "—".as_bytes(),
    "\u{2028}".as_bytes(),
    b"old ",
    b"note ",
    b"index ",
    b".p/",
    b"x000/",
];

/// Numbers that follow from a seed (xorshift64*, Vigna 2016).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit.max(1)
    }

    fn damage(&mut self, samples: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = samples[self.below(samples.len())].clone();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len() + 1);
            let end = (at + self.below(24)).min(bytes.len());
            match self.below(8) {
                0 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                1 if at < bytes.len() => bytes[at] = self.below(256) as u8,
                2 => drop(bytes.drain(at..end)),
                3 => bytes.truncate(at),
                4 => {
                    let piece = bytes[at..end].to_vec();
                    let to = self.below(bytes.len() + 1);
                    bytes.splice(to..to, piece);
                }
                5 => {
                    let other = &samples[self.below(samples.len())];
                    let from = self.below(other.len() + 1);
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[from..]);
                }
                _ => {
                    let piece = PIECES[self.below(PIECES.len())];
                    bytes.splice(at..end.min(at + self.below(2)), piece.iter().copied());
                }
            }
        }
        bytes
    }
}

/// Valid inputs of a parser.
fn samples(name: &str) -> Vec<Vec<u8>> {
    let log = NoteSigner::new("node.example/log", SigningKey::from_seed([1; 32])).unwrap();
    let national = || SigningKey::national_from_seed([1; 32]).unwrap();
    let twin = NoteSigner::new("node.example/log/sm3", national()).unwrap();
    let cosigner = Cosigner::new("w.example", SigningKey::from_seed([2; 32])).unwrap();
    let origin = || "node.example/log".to_owned();
    let checkpoint = |size: u64, root: u8| Checkpoint { origin: origin(), size, root: [root; 32] };
    let note = |size: u64, root: u8| {
        let note = checkpoint(size, root).sign(&log).unwrap();
        let line = cosigner.cosign(SignedNote::parse(&note).unwrap().text(), 7).unwrap();
        format!("{note}{}", line.to_line())
    };
    let proof = LogProof { extra: Some(vec![1, 2, 3]), index: 5, path: vec![[3; 32]; 4], checkpoint: note(11, 1) };
    let bare = LogProof { extra: None, index: 0, path: vec![], checkpoint: note(1, 1) };
    let entry = LogEntry::new(RecordKind::Receipt, 9, vec![DigestPair::of(b"a"), DigestPair::of(b"b")]).unwrap();
    let roots = RootsEntry::new(&origin(), 7, [1; 32], [2; 32]).unwrap();
    let record = EvidenceRecord {
        kind: RecordKind::Journal,
        position: 4,
        salt: Salt([5; 16]),
        entry_index: 0,
        bytes: b"{\"what\":\"a record\"}".to_vec(),
    };
    let texts = |texts: Vec<String>| texts.into_iter().map(String::into_bytes).collect();
    match name {
        "signed_note" => texts(vec![note(11, 1), note(0, 0)]),
        "signature_lines" => {
            let note = note(11, 1);
            let lines: Vec<String> =
                SignedNote::parse(&note).unwrap().signatures().iter().map(|line| line.to_line()).collect();
            texts(vec![lines.concat(), lines[0].clone()])
        }
        "cosignature" => {
            let text = checkpoint(11, 1).to_text();
            [1, 7, 1_679_315_147, COSIGNED_AT_MAX].map(|at| cosigner.cosign(&text, at).unwrap().bytes).to_vec()
        }
        "vkey" => {
            let keys = [log.verifier(), twin.verifier(), cosigner.verifier()];
            texts(keys.into_iter().map(ToString::to_string).collect())
        }
        "checkpoint" => texts(vec![checkpoint(11, 1).to_text(), checkpoint(0, 9).to_text() + "extension\n"]),
        "log_proof" => texts(vec![proof.to_text(), bare.to_text()]),
        "add_checkpoint" => texts(vec![
            AddCheckpoint { old_size: 5, proof: vec![[4; 32]; 3], note: note(11, 1) }.to_text(),
            AddCheckpoint { old_size: 0, proof: vec![], note: note(1, 1) }.to_text(),
        ]),
        "misconduct" => texts(vec![
            Misconduct::Fork { one: note(5, 1), other: note(5, 2) }.to_text(),
            Misconduct::Rewrite { earlier: note(5, 1), later: note(9, 2), root: [3; 32], proof: vec![[4; 32]; 3] }
                .to_text(),
            Misconduct::TwinDiffers {
                entry: roots.encode(),
                proof: Box::new(proof),
                twin: note(8, 3),
                root: [5; 32],
                consistency: vec![[6; 32]],
            }
            .to_text(),
        ]),
        "policy" => texts(vec![
            format!(
                "# policy\nlog {}\nwitness w {} https://w.example/\ngroup g 1 w\nquorum g\n",
                log.verifier(),
                cosigner.verifier()
            ),
            "quorum none\n".to_owned(),
        ]),
        "tile_path" => texts(vec![
            TilePath::hashes(3, 1_234_067, 17).to_string(),
            TilePath::entries(70_000, 256).to_string(),
            TilePath::hashes(63, u64::MAX, 1).to_string(),
        ]),
        "bundle" => {
            let entries = [b"one".to_vec(), Vec::new(), vec![7; 300]];
            vec![[&[3][..], &encode_bundle(&entries).unwrap()].concat(), vec![0]]
        }
        "log_entry" => vec![entry.encode()],
        "roots_entry" => vec![roots.encode()],
        "evidence" => {
            let mut builder = EvidenceBuilder::new("ord_01", "2026-11-24T10:00:00+08:00", &origin());
            builder.checkpoint(&note(11, 1)).unwrap();
            builder.vkey(log.verifier()).unwrap();
            builder.entry(&entry.encode(), &bare).unwrap();
            builder.record(&record).unwrap();
            builder.item("page.txt", b"words").unwrap();
            vec![builder.build(&log).unwrap()]
        }
        "evidence_files" => {
            let mut builder = EvidenceBuilder::new("ord_01", "2026-11-24T10:00:00+08:00", &origin());
            builder.item("pages/one.txt", b"").unwrap();
            builder.item("two", b"").unwrap();
            vec![builder.build(&log).unwrap()]
        }
        "evidence_record" => vec![
            [format!("journal 4 {} 0\n", record.salt).as_bytes(), b"bytes"].concat(),
            format!("receipt 0 {} 18446744073709551615\n", record.salt).into_bytes(),
        ],
        "public_key" => {
            let keys = [log.verifier(), twin.verifier()];
            texts(keys.into_iter().map(|verifier| verifier.key().to_string()).collect())
        }
        "signature" => {
            let keys = [SigningKey::from_seed([1; 32]), national()];
            texts(keys.into_iter().map(|key| key.sign(b"m").to_string()).collect())
        }
        _ => panic!("{name} has no samples"),
    }
}

#[test]
fn damaged_inputs_never_panic_and_what_is_accepted_is_canonical() {
    for (number, (name, _)) in parsers::PARSERS.into_iter().enumerate() {
        let parse = parsers::named(name);
        let samples = samples(name);
        for sample in &samples {
            assert!(parse(sample), "a sample of {name} is refused");
        }
        let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15 ^ (number as u64 + 1));
        for _ in 0..ROUNDS {
            parse(&numbers.damage(&samples));
        }
        assert!(!parse(b"\xff\xfe"), "{name} accepts anything");
    }
}

#[test]
fn every_parser_has_a_fuzz_target() {
    let manifest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/Cargo.toml")).unwrap();
    for (name, _) in parsers::PARSERS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "fuzz/Cargo.toml has no target {name}");
        let target = format!("{}/../../fuzz/fuzz_targets/{name}.rs", env!("CARGO_MANIFEST_DIR"));
        let source = std::fs::read_to_string(&target).unwrap();
        assert!(source.contains(&format!("parsers::named(\"{name}\")")), "{target} feeds another parser");
    }
}
