//! Verification of evidence bundles, offline and by anyone.

use lingqu_crypto::{DigestPair, sha256};

use crate::evidence::{CHECKPOINT, ENTRY, PROOF, RECORD, TWIN_CHECKPOINT, TWIN_PROOF, TWIN_VKEY, VKEY, WITNESS};
use crate::{
    COSIGNERS_MAX, Checkpoint, CosignerPolicy, Evidence, EvidenceItem, EvidenceRecord, LogEntry, LogPolicy, LogProof,
    NoteVerifier, SignedNote, TransparencyError, TreeHasher, twin_origin,
};

/// The most keys of witnesses of a bundle: those of the log's cosigners, and those of its twin's.
const WITNESS_KEYS_MAX: usize = 2 * COSIGNERS_MAX;

/// What a reader brings along: keys and rules from elsewhere than the bundle. The default brings nothing.
#[derive(Debug, Clone, Default)]
pub struct EvidenceTrust {
    /// Keys that must have signed: the log's, its twin's, witnesses'. Each one that is named is insisted on.
    pub keys: Vec<NoteVerifier>,
    /// Which logs are trusted and which witnesses must have seen the checkpoint.
    pub policy: Option<LogPolicy>,
}

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
    /// The twin log, where the bundle has one.
    pub twin: Option<TwinReport>,
    /// Who cosigned the checkpoint of the log or of its twin, as far as their keys are known.
    pub cosigned: Vec<Cosigned>,
}

/// What was found about the twin log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TwinReport {
    /// Its key.
    pub key: NoteVerifier,
    /// Whether that key came from the reader.
    pub key_is_trusted: bool,
    /// Its checkpoint.
    pub checkpoint: Checkpoint,
    /// Entries that were proven to be in it.
    pub entry_count: usize,
}

/// A witness that saw a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cosigned {
    /// Its key.
    pub key: NoteVerifier,
    /// Whether that key came from the reader.
    pub key_is_trusted: bool,
    /// Whether it saw the twin log's checkpoint.
    pub is_of_twin: bool,
    /// When, in seconds since 1970.
    pub at: u64,
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
    /// Where: an item's name, `manifest line N`, `manifest`, `manifest signature`, `end of file`, `policy` or `key`.
    pub item: String,
    /// What is wrong there.
    pub problem: String,
}

/// Checks a bundle completely: signature of the manifest, bytes of every item, checkpoint, and for each record that its
/// salted digest pair stands at its place in an entry that is in the log, and in the twin log where there is one.
///
/// With `trusted` the bundle must be by that key; without it the key in the bundle is used, see
/// [`Report::key_is_trusted`]. Never panics, whatever the bytes.
pub fn verify_evidence(file: &[u8], trusted: Option<&NoteVerifier>) -> Report {
    verify_evidence_with(file, &EvidenceTrust { keys: trusted.cloned().into_iter().collect(), policy: None })
}

/// As [`verify_evidence`], with whatever the reader brings along.
pub fn verify_evidence_with(file: &[u8], trust: &EvidenceTrust) -> Report {
    verify_read(Evidence::parse(file), trust)
}

/// Checks evidence that was read from wherever it lies.
pub(crate) fn verify_read(read: Result<Evidence, TransparencyError>, trust: &EvidenceTrust) -> Report {
    let mut report = Report {
        findings: Vec::new(),
        evidence: None,
        key: None,
        key_is_trusted: false,
        checkpoint: None,
        record_count: 0,
        entry_count: 0,
        twin: None,
        cosigned: Vec::new(),
    };
    match read {
        Ok(evidence) => {
            report.check(&evidence, trust);
            report.evidence = Some(evidence);
        }
        Err(error) => {
            report.container_finding(&error);
            report.key = trust.keys.first().cloned();
            report.key_is_trusted = report.key.is_some();
        }
    }
    report
}

impl Report {
    pub(crate) fn find(&mut self, item: &str, problem: impl Into<String>) {
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

    fn check(&mut self, evidence: &Evidence, trust: &EvidenceTrust) {
        self.check_digests(evidence);
        self.check_key(evidence, trust);
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
        self.check_twin(evidence, trust, &key);
        self.check_witnesses(evidence, trust);
        if let Some(policy) = &trust.policy
            && let Err(error) = policy.open(item_text(evidence, CHECKPOINT))
        {
            self.find("policy", format!("the checkpoint does not satisfy the policy that was given: {error}"));
        }
        for item in &evidence.items {
            if let Some(index) = item.name.strip_prefix(ENTRY) {
                self.check_entry(evidence, item, index);
                self.check_twin_entry(evidence, item, index);
            } else if let Some(index) = item.name.strip_prefix(PROOF).or(item.name.strip_prefix(TWIN_PROOF)) {
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

    /// The log's key: the one that the reader named for it, or the bundle's own.
    fn check_key(&mut self, evidence: &Evidence, trust: &EvidenceTrust) {
        let of_twin = twin_origin(&evidence.node);
        let mut named = trust.keys.iter().filter(|key| !key.key_type().is_cosignature() && key.name() != of_twin);
        self.key = named.next().cloned();
        self.key_is_trusted = self.key.is_some();
        if let Some(further) = named.next() {
            self.find("key", format!("{further} was given as the key of the log, and another one as well"));
        }
        if evidence.item(VKEY).is_none() {
            self.find(VKEY, "the bundle does not hold the node's key");
            return;
        }
        let Some(own) = item_key(evidence, VKEY) else {
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
        if evidence.item(CHECKPOINT).is_none() {
            self.find(CHECKPOINT, "the bundle does not hold a checkpoint");
            return;
        }
        match Checkpoint::open(item_text(evidence, CHECKPOINT), key) {
            Ok(checkpoint) => self.checkpoint = Some(checkpoint),
            Err(error) => self.find(CHECKPOINT, error.to_string()),
        }
    }

    /// The twin's key and checkpoint, where the bundle has either or the reader insists on the key.
    fn check_twin(&mut self, evidence: &Evidence, trust: &EvidenceTrust, log: &NoteVerifier) {
        let of_twin = twin_origin(&evidence.node);
        let trusted = trust.keys.iter().find(|key| !key.key_type().is_cosignature() && key.name() == of_twin);
        let items = [TWIN_CHECKPOINT, TWIN_VKEY].map(|name| evidence.item(name));
        if trusted.is_none() && items.iter().all(Option::is_none) {
            return;
        }
        for (name, item) in [TWIN_CHECKPOINT, TWIN_VKEY].iter().zip(items) {
            if item.is_none() {
                self.find(name, "the bundle does not hold it, and with it nothing of the twin log is proven");
                return;
            }
        }
        let Some(own) = item_key(evidence, TWIN_VKEY) else {
            self.find(TWIN_VKEY, "it is not a verifier key");
            return;
        };
        if trusted.is_some_and(|trusted| *trusted != own) {
            self.find(TWIN_VKEY, "it is another key than the trusted one");
        }
        if own.name() != of_twin || own.key_type().suite() == log.key_type().suite() {
            self.find(TWIN_VKEY, format!("it is no key of `{of_twin}` in another suite than the log's"));
            return;
        }
        let key = trusted.cloned().unwrap_or(own);
        match Checkpoint::open(item_text(evidence, TWIN_CHECKPOINT), &key) {
            Ok(checkpoint) => {
                let key_is_trusted = trusted.is_some();
                self.twin = Some(TwinReport { key, key_is_trusted, checkpoint, entry_count: 0 });
            }
            Err(error) => self.find(TWIN_CHECKPOINT, error.to_string()),
        }
    }

    /// Who saw the checkpoints. A line of an unknown key says nothing and is passed over; one of a known key must be good.
    fn check_witnesses(&mut self, evidence: &Evidence, trust: &EvidenceTrust) {
        let of_policy = trust.policy.iter().flat_map(LogPolicy::witnesses).map(|witness| witness.verifier.clone());
        let of_reader = trust.keys.iter().filter(|key| key.key_type().is_cosignature());
        let mut known: Vec<NoteVerifier> = Vec::new();
        for key in of_reader.cloned().chain(of_policy) {
            if !known.iter().any(|other| other.key() == key.key()) {
                known.push(key);
            }
        }
        let trusted_count = known.len();
        for item in evidence.items.iter().filter(|item| item.name.starts_with(WITNESS)) {
            match item_key(evidence, &item.name) {
                Some(key) if !key.key_type().is_cosignature() => {
                    self.find(&item.name, "it is a log's key and no witness's");
                }
                Some(key) if known.iter().any(|other| other.key() == key.key()) => {}
                Some(_) if known.len() >= WITNESS_KEYS_MAX + trusted_count => {
                    self.find(&item.name, format!("there are more than {WITNESS_KEYS_MAX} keys of witnesses"));
                }
                Some(key) => known.push(key),
                None => self.find(&item.name, "it is not a verifier key"),
            }
        }
        for (name, is_of_twin) in [(CHECKPOINT, false), (TWIN_CHECKPOINT, true)] {
            let Ok(note) = SignedNote::parse(item_text(evidence, name)) else { continue };
            match CosignerPolicy::none_required(known.clone()).check(&note) {
                Ok(signed) => {
                    for (key, at) in signed {
                        let key_is_trusted = known.iter().position(|known| known == key) < Some(trusted_count);
                        self.cosigned.push(Cosigned { key: key.clone(), key_is_trusted, is_of_twin, at });
                    }
                }
                Err(error) => self.find(name, error.to_string()),
            }
        }
        for key in trust.keys.iter().filter(|key| key.key_type().is_cosignature()) {
            if !self.cosigned.iter().any(|cosigned| cosigned.key.key() == key.key()) {
                self.find("key", format!("the witness {key} did not cosign a checkpoint of this bundle"));
            }
        }
    }

    fn check_entry(&mut self, evidence: &Evidence, item: &EvidenceItem, index: &str) {
        if let Err(error) = LogEntry::decode(&item.bytes) {
            self.find(&item.name, error.to_string());
        }
        let checkpoint = self.checkpoint.clone();
        // The tree is of the suite of the key that signed its checkpoint.
        let hasher = self.key.as_ref().map_or(TreeHasher::SHA256, |key| TreeHasher::of(key.key_type().suite()));
        let names = (PROOF, CHECKPOINT);
        if self.is_proven(evidence, item, index, names, hasher, checkpoint.as_ref()) {
            self.entry_count += 1;
        }
    }

    fn check_twin_entry(&mut self, evidence: &Evidence, item: &EvidenceItem, index: &str) {
        let Some(twin) = &self.twin else { return };
        let (hasher, checkpoint) = (TreeHasher::of(twin.key.key_type().suite()), twin.checkpoint.clone());
        let names = (TWIN_PROOF, TWIN_CHECKPOINT);
        let is_proven = self.is_proven(evidence, item, index, names, hasher, Some(&checkpoint));
        if let Some(twin) = &mut self.twin {
            twin.entry_count += usize::from(is_proven);
        }
    }

    /// Whether an entry is in a tree, by the item of a proof under the item of a checkpoint.
    fn is_proven(
        &mut self,
        evidence: &Evidence,
        item: &EvidenceItem,
        index: &str,
        (proof_prefix, checkpoint_name): (&str, &str),
        hasher: TreeHasher,
        checkpoint: Option<&Checkpoint>,
    ) -> bool {
        let proof_name = format!("{proof_prefix}{index}");
        let Some(proof_item) = evidence.item(&proof_name) else {
            self.find(&item.name, format!("{proof_name}, the proof that it is in the log, is missing"));
            return false;
        };
        let text = std::str::from_utf8(&proof_item.bytes).unwrap_or_default();
        let proof = match LogProof::from_text(text) {
            Ok(proof) => proof,
            Err(error) => {
                self.find(&proof_name, error.to_string());
                return false;
            }
        };
        if proof.index.to_string() != index {
            self.find(&proof_name, format!("it is the proof of entry {}", proof.index));
        }
        let same_checkpoint =
            evidence.item(checkpoint_name).is_some_and(|checkpoint| checkpoint.bytes == proof.checkpoint.as_bytes());
        if !same_checkpoint {
            self.find(&proof_name, "it is made under another checkpoint than the bundle's");
        }
        // Without a good checkpoint there is a finding already, and nothing to prove against.
        let Some(checkpoint) = checkpoint else {
            return false;
        };
        let leaf = hasher.leaf_hash(&item.bytes);
        match hasher.verify_inclusion(&leaf, proof.index, checkpoint.size, &proof.path, &checkpoint.root) {
            Ok(()) => true,
            Err(error) => {
                self.find(&item.name, error.to_string());
                false
            }
        }
    }

    fn check_record(&mut self, evidence: &Evidence, item: &EvidenceItem) {
        match record_problem(evidence, item) {
            Some(problem) => self.find(&item.name, problem),
            None => self.record_count += 1,
        }
    }
}

/// The text of an item; empty when it is missing or none.
fn item_text<'a>(evidence: &'a Evidence, name: &str) -> &'a str {
    evidence.item(name).and_then(|item| std::str::from_utf8(&item.bytes).ok()).unwrap_or_default()
}

/// The key in an item; none when it is missing or holds none.
fn item_key(evidence: &Evidence, name: &str) -> Option<NoteVerifier> {
    let text = item_text(evidence, name);
    text.strip_suffix('\n').unwrap_or(text).parse().ok()
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
