//! Verification of evidence bundles, offline and by anyone.

use lingqu_crypto::{DigestPair, sha256};

use crate::evidence::{CHECKPOINT, ENTRY, PROOF, RECORD, VKEY};
use crate::{
    Checkpoint, Evidence, EvidenceItem, EvidenceRecord, LogEntry, LogProof, NoteVerifier, TransparencyError, TreeHasher,
};

/// What the verification of a bundle came to. It holds if and only if there are no findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Everything that is wrong.
    pub findings: Vec<Finding>,
    /// The bundle, when its container could be read.
    pub evidence: Option<Evidence>,
    /// The key that the checks were made with.
    pub key: Option<NoteVerifier>,
    /// Whether that key came from the reader. If not it came from the bundle itself, which then only proves that nothing
    /// was changed since its maker signed it, whoever that is.
    pub key_is_trusted: bool,
    /// The checkpoint under which the entries are proven.
    pub checkpoint: Option<Checkpoint>,
    /// Records that were proven to be in the log.
    pub record_count: usize,
    /// Entries that were proven to be in the log.
    pub entry_count: usize,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that is wrong with a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Where: an item's name, `manifest line N`, `manifest`, `manifest signature` or `end of file`.
    pub item: String,
    /// What is wrong there.
    pub problem: String,
}

/// Checks a bundle completely: signature of the manifest, bytes of every item, checkpoint, and for each record that its
/// salted digest pair stands at its place in an entry that is in the log.
///
/// With `trusted` the bundle must be by that key; without it the key in the bundle is used, see
/// [`Report::key_is_trusted`]. Never panics, whatever the bytes.
pub fn verify_evidence(file: &[u8], trusted: Option<&NoteVerifier>) -> Report {
    let mut report = Report {
        findings: Vec::new(),
        evidence: None,
        key: trusted.cloned(),
        key_is_trusted: trusted.is_some(),
        checkpoint: None,
        record_count: 0,
        entry_count: 0,
    };
    match Evidence::parse(file) {
        Ok(evidence) => {
            report.check(&evidence);
            report.evidence = Some(evidence);
        }
        Err(error) => report.container_finding(&error),
    }
    report
}

impl Report {
    fn find(&mut self, item: &str, problem: impl Into<String>) {
        self.findings.push(Finding { item: item.to_owned(), problem: problem.into() });
    }

    /// Container errors begin with the place, `manifest line 3: …`.
    fn container_finding(&mut self, error: &TransparencyError) {
        let problem = match error {
            TransparencyError::Malformed { problem, .. } => problem.clone(),
            other => other.to_string(),
        };
        match problem.split_once(": ") {
            Some((place, problem)) => {
                let place = place.strip_prefix("item ").unwrap_or(place);
                self.find(place, problem);
            }
            None => self.find("manifest", problem),
        }
    }

    fn check(&mut self, evidence: &Evidence) {
        self.check_digests(evidence);
        self.check_key(evidence);
        let Some(key) = self.key.clone() else {
            return;
        };
        if let Err(error) = evidence.manifest.verify(std::slice::from_ref(&key)) {
            self.find("manifest signature", format!("{error}; no line of the manifest and no item can be vouched for"));
        }
        if evidence.node != key.name() {
            self.find(
                "manifest line 4",
                format!("it names the node `{}` and the key is of `{}`", evidence.node, key.name()),
            );
        }
        self.check_checkpoint(evidence, &key);
        for item in &evidence.items {
            if let Some(index) = item.name.strip_prefix(ENTRY) {
                self.check_entry(evidence, item, index);
            } else if let Some(index) = item.name.strip_prefix(PROOF) {
                if evidence.item(&format!("{ENTRY}{index}")).is_none() {
                    self.find(&item.name, "the entry it proves is not in the bundle");
                }
            } else if item.name.starts_with(RECORD) {
                self.check_record(evidence, item);
            }
        }
    }

    fn check_digests(&mut self, evidence: &Evidence) {
        for (item, digest) in evidence.items.iter().zip(&evidence.digests) {
            if sha256(&item.bytes) != *digest {
                self.find(&item.name, "its bytes were changed: they do not have the digest in the manifest");
            }
        }
    }

    fn check_key(&mut self, evidence: &Evidence) {
        let Some(item) = evidence.item(VKEY) else {
            self.find(VKEY, "the bundle does not hold the node's key");
            return;
        };
        let text = std::str::from_utf8(&item.bytes).unwrap_or_default();
        let Ok(own) = text.strip_suffix('\n').unwrap_or(text).parse::<NoteVerifier>() else {
            self.find(VKEY, "it is not a verifier key");
            return;
        };
        match &self.key {
            Some(trusted) if *trusted != own => {
                self.find(VKEY, "it is another key than the trusted one");
            }
            Some(_) => {}
            None => self.key = Some(own),
        }
    }

    fn check_checkpoint(&mut self, evidence: &Evidence, key: &NoteVerifier) {
        let Some(item) = evidence.item(CHECKPOINT) else {
            self.find(CHECKPOINT, "the bundle does not hold a checkpoint");
            return;
        };
        let text = std::str::from_utf8(&item.bytes).unwrap_or_default();
        match Checkpoint::open(text, key) {
            Ok(checkpoint) => self.checkpoint = Some(checkpoint),
            Err(error) => self.find(CHECKPOINT, error.to_string()),
        }
    }

    fn check_entry(&mut self, evidence: &Evidence, item: &EvidenceItem, index: &str) {
        if let Err(error) = LogEntry::decode(&item.bytes) {
            self.find(&item.name, error.to_string());
        }
        let proof_name = format!("{PROOF}{index}");
        let Some(proof_item) = evidence.item(&proof_name) else {
            self.find(&item.name, "the proof that it is in the log is missing");
            return;
        };
        let text = std::str::from_utf8(&proof_item.bytes).unwrap_or_default();
        let proof = match LogProof::from_text(text) {
            Ok(proof) => proof,
            Err(error) => {
                self.find(&proof_name, error.to_string());
                return;
            }
        };
        if proof.index.to_string() != index {
            self.find(&proof_name, format!("it is the proof of entry {}", proof.index));
        }
        let same_checkpoint =
            evidence.item(CHECKPOINT).is_some_and(|checkpoint| checkpoint.bytes == proof.checkpoint.as_bytes());
        if !same_checkpoint {
            self.find(&proof_name, "it is made under another checkpoint than the bundle's");
        }
        // Without a good checkpoint there is a finding already, and nothing to prove against.
        let Some(checkpoint) = &self.checkpoint else {
            return;
        };
        // The tree is of the suite of the key that signed its checkpoint.
        let hasher = self.key.as_ref().map_or(TreeHasher::SHA256, |key| TreeHasher::of(key.key_type().suite()));
        let leaf = hasher.leaf_hash(&item.bytes);
        match hasher.verify_inclusion(&leaf, proof.index, checkpoint.size, &proof.path, &checkpoint.root) {
            Ok(()) => self.entry_count += 1,
            Err(error) => self.find(&item.name, error.to_string()),
        }
    }

    fn check_record(&mut self, evidence: &Evidence, item: &EvidenceItem) {
        match record_problem(evidence, item) {
            Some(problem) => self.find(&item.name, problem),
            None => self.record_count += 1,
        }
    }
}

/// What keeps a record from being proven by its entry.
fn record_problem(evidence: &Evidence, item: &EvidenceItem) -> Option<String> {
    let record = match EvidenceRecord::decode(&item.bytes) {
        Ok(record) => record,
        Err(error) => return Some(error.to_string()),
    };
    let name = format!("{ENTRY}{}", record.entry_index);
    let Some(entry) = evidence.item(&name) else {
        return Some(format!("{name}, which should commit to it, is not in the bundle"));
    };
    let Ok(entry) = LogEntry::decode(&entry.bytes) else {
        return Some(format!("{name}, which should commit to it, can't be read"));
    };
    if entry.kind() != record.kind {
        let (expected, found) = (record.kind.as_str(), entry.kind().as_str());
        return Some(format!("it is a {expected} record and {name} commits to {found} records"));
    }
    let Some(pair) = entry.pair_at(record.position) else {
        return Some(format!("{name} does not commit to position {}", record.position));
    };
    if *pair != DigestPair::of_salted(&record.salt, &record.bytes) {
        return Some(format!("it is not what {name} commits to at position {}", record.position));
    }
    None
}
