//! Every parser of bytes from outside, with what must hold of whatever it accepts. The fuzz targets below `fuzz/` and the
//! test of mutated inputs share this list, so that a parser is held to one law in both.

use std::sync::OnceLock;

use lingqu_crypto::{Signature, SigningKey, VerifyingKey};
use lingqu_transparency::{
    AddCheckpoint, COSIGNED_AT_MAX, Checkpoint, Cosigner, Evidence, EvidenceRecord, EvidenceTrust, LogEntry, LogPolicy,
    LogProof, Misconduct, NoteSignature, NoteVerifier, RootsEntry, SignedNote, TilePath, decode_bundle, encode_bundle,
    verify_evidence, verify_evidence_files,
};

/// A parser's name, and a function that feeds it, panics where its law is broken, and says whether the bytes were accepted.
pub type Parser = (&'static str, fn(&[u8]) -> bool);

/// All of them; a fuzz target for each.
pub const PARSERS: [Parser; 18] = [
    ("signed_note", signed_note),
    ("signature_lines", signature_lines),
    ("cosignature", cosignature),
    ("vkey", vkey),
    ("checkpoint", checkpoint),
    ("log_proof", log_proof),
    ("add_checkpoint", add_checkpoint),
    ("misconduct", misconduct),
    ("policy", policy),
    ("tile_path", tile_path),
    ("bundle", bundle),
    ("log_entry", log_entry),
    ("roots_entry", roots_entry),
    ("evidence", evidence),
    ("evidence_record", evidence_record),
    ("evidence_files", evidence_files),
    ("public_key", public_key),
    ("signature", signature),
];

/// The parser of a name.
pub fn named(name: &str) -> fn(&[u8]) -> bool {
    let parser = PARSERS.iter().find(|(found, _)| *found == name);
    parser.unwrap_or_else(|| panic!("no parser is named {name}")).1
}

/// Most formats have one text for one meaning: what is accepted is written again as it was.
fn same<T, E>(read: impl FnOnce(&str) -> Result<T, E>, write: impl FnOnce(&T) -> String, bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    match read(text) {
        Ok(value) => {
            assert_eq!(write(&value), text);
            true
        }
        Err(_) => false,
    }
}

fn signed_note(bytes: &[u8]) -> bool {
    same(SignedNote::parse, SignedNote::to_text, bytes)
}

fn signature_lines(bytes: &[u8]) -> bool {
    same(NoteSignature::parse_lines, |lines| lines.iter().map(NoteSignature::to_line).collect(), bytes)
}

/// The bytes in the line of a cosigner whose key is known, beneath a checkpoint that is always the same: what is believed is what he
/// signs at the time that it states, byte for byte.
fn cosignature(bytes: &[u8]) -> bool {
    static COSIGNER: OnceLock<Cosigner> = OnceLock::new();
    let cosigner = COSIGNER
        .get_or_init(|| Cosigner::new("w.example", SigningKey::from_seed([2; 32])).expect("a name without blanks"));
    let (name, key_id) = (cosigner.verifier().name().to_owned(), cosigner.verifier().key_id());
    let line = NoteSignature { name, key_id, bytes: bytes.to_vec() };
    let text = Checkpoint { origin: "node.example/log".to_owned(), size: 11, root: [1; 32] }.to_text();
    let Ok(note) = SignedNote::parse(&format!("{text}\n{}", line.to_line())) else { return false };
    let Ok(verified) = note.verify_signatures(std::slice::from_ref(cosigner.verifier())) else { return false };
    let at = verified[0].cosigned_at.expect("it is a cosigner's");
    assert!(at <= COSIGNED_AT_MAX);
    assert_eq!(cosigner.cosign(&text, at).expect("it signed that").bytes, bytes);
    true
}

fn vkey(bytes: &[u8]) -> bool {
    same(str::parse::<NoteVerifier>, ToString::to_string, bytes)
}

fn checkpoint(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(checkpoint) = Checkpoint::from_text(text) else { return false };
    // Extension lines may follow.
    assert!(text.starts_with(&checkpoint.to_text()));
    true
}

fn log_proof(bytes: &[u8]) -> bool {
    same(LogProof::from_text, LogProof::to_text, bytes)
}

fn add_checkpoint(bytes: &[u8]) -> bool {
    same(AddCheckpoint::from_text, AddCheckpoint::to_text, bytes)
}

fn misconduct(bytes: &[u8]) -> bool {
    same(Misconduct::from_text, Misconduct::to_text, bytes)
}

/// Blanks and comments are free, so a policy has many texts.
fn policy(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| LogPolicy::parse(text).is_ok())
}

fn tile_path(bytes: &[u8]) -> bool {
    same(str::parse::<TilePath>, ToString::to_string, bytes)
}

/// The first byte is the number of entries.
fn bundle(bytes: &[u8]) -> bool {
    let Some((count, bytes)) = bytes.split_first() else { return false };
    let Ok(entries) = decode_bundle(bytes, u16::from(*count)) else { return false };
    assert_eq!(encode_bundle(&entries).expect("what was read fits"), bytes);
    true
}

fn log_entry(bytes: &[u8]) -> bool {
    let Ok(entry) = LogEntry::decode(bytes) else { return false };
    assert_eq!(entry.encode(), bytes);
    true
}

fn roots_entry(bytes: &[u8]) -> bool {
    let Ok(entry) = RootsEntry::decode(bytes) else { return false };
    assert_eq!(entry.encode(), bytes);
    true
}

/// A manifest, and files that all hold it: nothing is written outside the folder, and what is accepted comes back.
fn evidence_files(bytes: &[u8]) -> bool {
    let read = |_: &str| Some(bytes.to_vec());
    let report = verify_evidence_files(&read, &EvidenceTrust::default());
    let Ok(evidence) = Evidence::from_files(&read) else { return false };
    assert!(report.evidence.is_some());
    if let Ok(files) = evidence.to_files() {
        assert!(files.keys().all(|path| path.split('/').all(|part| !part.is_empty() && !part.starts_with('.'))));
        assert_eq!(Evidence::from_files(&|path| files.get(path).cloned()).as_ref(), Ok(&evidence));
    }
    true
}

fn evidence(bytes: &[u8]) -> bool {
    let report = verify_evidence(bytes, None);
    assert_eq!(report.evidence.is_some(), Evidence::parse(bytes).is_ok());
    report.evidence.is_some()
}

fn evidence_record(bytes: &[u8]) -> bool {
    EvidenceRecord::decode(bytes).is_ok()
}

fn public_key(bytes: &[u8]) -> bool {
    same(str::parse::<VerifyingKey>, ToString::to_string, bytes)
}

fn signature(bytes: &[u8]) -> bool {
    same(str::parse::<Signature>, ToString::to_string, bytes)
}
