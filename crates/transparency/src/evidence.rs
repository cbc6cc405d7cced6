//! The evidence container: one file that proves what a node recorded, and shows where it was changed.
//!
//! The file is a signed note with one signature, the *manifest*, followed by the bytes of the items it lists, in its
//! order and without anything between or behind them. Each line of the manifest ends in a blank and the first eight
//! hexadecimal digits of the SHA-256 of the line before that blank:
//!
//! ```text
//! lingqu-evidence v1 3f1c…
//! order ord_01 …
//! created 2026-11-24T10:00:00+08:00 …
//! node node.example/log …
//! item checkpoint 151 <sha256> …
//! item record/0 312 <sha256> …
//!
//! — node.example/log <signature>
//! ```
//!
//! The line digests are no protection, as anyone can recompute them: the signature is. They are there to say *which*
//! line was damaged, since a signature that fails can't.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_crypto::{Salt, Sha256Digest, Sha256Hasher, sha256};

use crate::checkpoint::parse_decimal;
use crate::error::malformed;
use crate::{LogProof, NoteSigner, NoteVerifier, RecordKind, SignedNote, TransparencyError, sign_note};

/// How many items one bundle may hold.
pub const EVIDENCE_ITEMS_MAX: usize = 100_000;

const FORMAT: &str = "lingqu-evidence v1";
const NAME_CHARS_MAX: usize = 200;
const FIELD_CHARS_MAX: usize = 500;
const LINE_DIGEST_CHARS: usize = 8;

/// Names of the items that verification knows.
pub(crate) const CHECKPOINT: &str = "checkpoint";
pub(crate) const VKEY: &str = "vkey";
pub(crate) const ENTRY: &str = "entry/";
pub(crate) const PROOF: &str = "proof/";
pub(crate) const RECORD: &str = "record/";
/// Of the twin log: its checkpoint, its key, and a proof for each entry.
pub(crate) const TWIN_CHECKPOINT: &str = "checkpoint.sm3";
pub(crate) const TWIN_VKEY: &str = "vkey.sm3";
pub(crate) const TWIN_PROOF: &str = "proof.sm3/";
/// Keys of witnesses, by number.
pub(crate) const WITNESS: &str = "witness/";
const WITNESS_END: &str = ".vkey";

const KNOWN_NAMES: [&str; 4] = [CHECKPOINT, VKEY, TWIN_CHECKPOINT, TWIN_VKEY];
const KNOWN_PREFIXES: [&str; 5] = [ENTRY, PROOF, RECORD, TWIN_PROOF, WITNESS];

/// Gathers items and signs them into a bundle.
#[derive(Clone, Debug)]
pub struct EvidenceBuilder {
    order: String,
    created_at: String,
    node: String,
    items: Vec<EvidenceItem>,
    names: BTreeSet<String>,
    record_count: usize,
    witness_count: usize,
}

impl EvidenceBuilder {
    /// Starts a bundle about an order; `created_at` is RFC 3339, `node` the origin of the node's log.
    pub fn new(order: &str, created_at: &str, node: &str) -> EvidenceBuilder {
        EvidenceBuilder {
            order: order.to_owned(),
            created_at: created_at.to_owned(),
            node: node.to_owned(),
            items: Vec::new(),
            names: BTreeSet::new(),
            record_count: 0,
            witness_count: 0,
        }
    }

    /// Adds the signed checkpoint under which all proofs of the bundle are made.
    pub fn checkpoint(&mut self, note: &str) -> Result<(), TransparencyError> {
        self.push(CHECKPOINT.to_owned(), note.as_bytes().to_vec())
    }

    /// Adds the public key of the node's log, for readers who want to compare it with one they have.
    pub fn vkey(&mut self, verifier: &NoteVerifier) -> Result<(), TransparencyError> {
        self.push(VKEY.to_owned(), format!("{verifier}\n").into_bytes())
    }

    /// Adds the twin log's signed checkpoint and its key; every entry then needs a proof in the twin as well.
    pub fn twin(&mut self, note: &str, verifier: &NoteVerifier) -> Result<(), TransparencyError> {
        self.push(TWIN_CHECKPOINT.to_owned(), note.as_bytes().to_vec())?;
        self.push(TWIN_VKEY.to_owned(), format!("{verifier}\n").into_bytes())
    }

    /// Adds the proof that an entry, added before or after, is in the twin log.
    pub fn twin_proof(&mut self, proof: &LogProof) -> Result<(), TransparencyError> {
        self.push(format!("{TWIN_PROOF}{}", proof.index), proof.to_text().into_bytes())
    }

    /// Adds the key of a witness, so that its line under a checkpoint can be checked. Whether to trust it is the reader's
    /// business.
    pub fn witness(&mut self, verifier: &NoteVerifier) -> Result<(), TransparencyError> {
        let name = format!("{WITNESS}{}{WITNESS_END}", self.witness_count);
        self.push(name, format!("{verifier}\n").into_bytes())?;
        self.witness_count += 1;
        Ok(())
    }

    /// Adds a log entry with the proof that it is in the log. Several records may point at one entry.
    pub fn entry(&mut self, entry: &[u8], proof: &LogProof) -> Result<(), TransparencyError> {
        self.push(format!("{ENTRY}{}", proof.index), entry.to_vec())?;
        self.push(format!("{PROOF}{}", proof.index), proof.to_text().into_bytes())
    }

    /// Whether the entry of this index was added.
    pub fn has_entry(&self, index: u64) -> bool {
        self.names.contains(&format!("{ENTRY}{index}"))
    }

    /// Adds a record of journal or receipts; it must not hold personal data, as the bundle leaves the node.
    pub fn record(&mut self, record: &EvidenceRecord) -> Result<(), TransparencyError> {
        let name = format!("{RECORD}{}", self.record_count);
        self.push(name, record.encode())?;
        self.record_count += 1;
        Ok(())
    }

    /// Adds any other document: a certificate, a contract, a page for reading. The signature covers it, the log doesn't.
    ///
    /// # Errors
    /// Refused when the name is one of those above, stands twice, or has other characters than `a-z`, `0-9`, `.`, `_`,
    /// `-` and `/`.
    pub fn item(&mut self, name: &str, bytes: &[u8]) -> Result<(), TransparencyError> {
        if KNOWN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || KNOWN_NAMES.contains(&name) {
            return Err(malformed("the name of an evidence item", format!("`{name}` has a meaning of its own")));
        }
        self.push(name.to_owned(), bytes.to_vec())
    }

    /// Signs the manifest and writes the bundle.
    ///
    /// # Errors
    /// Refused when order, instant or node are empty, hold control characters or are longer than 500 characters, or when
    /// the manifest would exceed the largest note.
    pub fn build(&self, signer: &NoteSigner) -> Result<Vec<u8>, TransparencyError> {
        let mut manifest = line(FORMAT);
        for (word, value) in [("order", &self.order), ("created", &self.created_at), ("node", &self.node)] {
            if value.is_empty() || value.chars().count() > FIELD_CHARS_MAX || value.chars().any(char::is_control) {
                return Err(malformed(
                    "an evidence manifest",
                    format!("`{word}` must be one line of 1 to {FIELD_CHARS_MAX} characters"),
                ));
            }
            manifest += &line(&format!("{word} {value}"));
        }
        for item in &self.items {
            let (name, length, digest) = (&item.name, item.bytes.len(), sha256(&item.bytes));
            manifest += &line(&format!("item {name} {length} {digest}"));
        }
        let mut file = sign_note(&manifest, &[signer])?.into_bytes();
        for item in &self.items {
            file.extend_from_slice(&item.bytes);
        }
        Ok(file)
    }

    fn push(&mut self, name: String, bytes: Vec<u8>) -> Result<(), TransparencyError> {
        if !is_item_name(&name) {
            return Err(malformed(
                "the name of an evidence item",
                format!("expected 1 to {NAME_CHARS_MAX} of a-z, 0-9, `.`, `_`, `-` and `/`"),
            ));
        }
        if self.items.len() == EVIDENCE_ITEMS_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the number of items of an evidence bundle",
                limit: EVIDENCE_ITEMS_MAX as u64,
            });
        }
        if !self.names.insert(name.clone()) {
            return Err(malformed("an evidence bundle", format!("the item `{name}` was added twice")));
        }
        self.items.push(EvidenceItem { name, bytes });
        Ok(())
    }
}

/// A named part of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceItem {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// A record as evidence carries it: what was recorded, the salt, and the log entry that commits to it.
///
/// Written as one line, `journal POSITION SALT ENTRY-INDEX`, and the record's canonical bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvidenceRecord {
    /// Journal or receipt.
    pub kind: RecordKind,
    /// Its position in that record.
    pub position: u64,
    /// The salt it was digested with.
    pub salt: Salt,
    /// The index of the log entry that holds its digest pair.
    pub entry_index: u64,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

impl EvidenceRecord {
    /// The bytes of a `record/` item.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let kind = self.kind.as_str();
        let mut bytes = format!("{kind} {} {} {}\n", self.position, self.salt, self.entry_index).into_bytes();
        bytes.extend_from_slice(&self.bytes);
        bytes
    }

    /// Reads the bytes of a `record/` item.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] when its first line is not kind, position, salt and entry index.
    pub fn decode(item: &[u8]) -> Result<EvidenceRecord, TransparencyError> {
        EvidenceRecord::decode_line(item).ok_or_else(|| {
            malformed("an evidence record", "its first line is not kind, position, salt and entry index")
        })
    }

    fn decode_line(item: &[u8]) -> Option<EvidenceRecord> {
        let end = item.iter().position(|byte| *byte == b'\n')?;
        let words: Vec<&str> = std::str::from_utf8(&item[..end]).ok()?.split(' ').collect();
        let [kind, position, salt, entry_index] = words[..] else {
            return None;
        };
        Some(EvidenceRecord {
            kind: RecordKind::from_word(kind)?,
            position: parse_decimal(position)?,
            salt: salt.parse().ok()?,
            entry_index: parse_decimal(entry_index)?,
            bytes: item[end + 1..].to_vec(),
        })
    }
}

/// A bundle as read. Nothing in it may be believed before [`crate::verify_evidence`] found nothing wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The order it is about.
    pub order: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// The origin of the node's log.
    pub node: String,
    /// The items in the order of the manifest.
    pub items: Vec<EvidenceItem>,
    pub(crate) manifest: SignedNote,
    pub(crate) digests: Vec<Sha256Digest>,
    /// Where each item stands in `items`; bundles may have very many.
    places: BTreeMap<String, usize>,
}

impl Evidence {
    /// Reads the container: the manifest's lines, and the items by their lengths. Signature and digests are checked by
    /// [`crate::verify_evidence`].
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] naming the manifest line or the item that is damaged.
    pub fn parse(file: &[u8]) -> Result<Evidence, TransparencyError> {
        let (note, mut rest) = split_manifest(file)?;
        let (mut evidence, lengths) = Evidence::parse_manifest(note)?;
        for (item, length) in evidence.items.iter_mut().zip(lengths) {
            let Some((bytes, tail)) = rest.split_at_checked(length) else {
                let (name, present, short) = (&item.name, rest.len(), length - rest.len());
                return Err(refused(format!(
                    "item {name}: it is cut off, {present} of {length} bytes are there and {short} are missing"
                )));
            };
            item.bytes = bytes.to_vec();
            rest = tail;
        }
        if !rest.is_empty() {
            return Err(refused(format!("end of file: {} bytes follow the last item", rest.len())));
        }
        Ok(evidence)
    }

    /// Reads a manifest alone: the items are there without their bytes, and their lengths beside them.
    pub(crate) fn parse_manifest(note: &str) -> Result<(Evidence, Vec<usize>), TransparencyError> {
        let manifest = SignedNote::parse(note).map_err(|error| refused(format!("manifest: {error}")))?;
        if manifest.signatures().len() != 1 {
            return Err(refused("manifest: it must have one signature".to_owned()));
        }
        let mut fields = ManifestLines::new(manifest.text());
        if fields.next()? != FORMAT {
            return Err(fields.refused(&format!("expected `{FORMAT}`; use the version of lingqu that wrote it")));
        }
        let order = fields.field("order ")?;
        let created_at = fields.field("created ")?;
        let node = fields.field("node ")?;
        // All lines come before any item, so that damage to the manifest is named as such.
        let mut items: Vec<EvidenceItem> = Vec::new();
        let mut lengths = Vec::new();
        let mut digests = Vec::new();
        let mut places = BTreeMap::new();
        while !fields.is_at_end() {
            if items.len() == EVIDENCE_ITEMS_MAX {
                return Err(fields.refused("the bundle has too many items"));
            }
            let (name, length, digest) = fields.item()?;
            if places.insert(name.clone(), items.len()).is_some() {
                return Err(fields.refused(&format!("the item `{name}` stands twice")));
            }
            items.push(EvidenceItem { name, bytes: Vec::new() });
            lengths.push(length);
            digests.push(digest);
        }
        Ok((Evidence { order, created_at, node, items, manifest, digests, places }, lengths))
    }

    /// SHA-256 over the lines `NAME LENGTH DIGEST` of all items but one, in the order of the manifest: what a document says
    /// that is itself an item of the bundle it is about.
    pub fn contents_digest(&self, except: &str) -> Sha256Digest {
        let mut hasher = Sha256Hasher::default();
        for item in self.items.iter().filter(|item| item.name != except) {
            hasher.update(format!("{} {} {}\n", item.name, item.bytes.len(), sha256(&item.bytes)).as_bytes());
        }
        hasher.finish()
    }

    /// The signed manifest.
    pub(crate) fn manifest_text(&self) -> String {
        self.manifest.to_text()
    }

    /// The item of this name.
    pub fn item(&self, name: &str) -> Option<&EvidenceItem> {
        self.places.get(name).map(|place| &self.items[*place])
    }

    /// The records in their order.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] when one can't be read.
    pub fn records(&self) -> Result<Vec<EvidenceRecord>, TransparencyError> {
        let records = self.items.iter().filter(|item| item.name.starts_with(RECORD));
        records.map(|item| EvidenceRecord::decode(&item.bytes)).collect()
    }
}

/// Cuts the file behind the one signature line of its manifest: manifests have no blank line before their end.
fn split_manifest(file: &[u8]) -> Result<(&str, &[u8]), TransparencyError> {
    let blank = file
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .ok_or_else(|| refused("manifest: no blank line ends it".to_owned()))?;
    let signature = file[blank + 2..]
        .iter()
        .position(|byte| *byte == b'\n')
        .ok_or_else(|| refused("manifest: its signature line is cut off".to_owned()))?;
    let (note, rest) = file.split_at(blank + 2 + signature + 1);
    let note = match std::str::from_utf8(note) {
        Ok(note) => note,
        Err(error) => {
            let before = &note[..error.valid_up_to()];
            let number = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            return Err(refused(format!("manifest line {number}: it is not UTF-8")));
        }
    };
    Ok((note, rest))
}

/// Walks the manifest's lines and checks the digest at the end of each.
struct ManifestLines<'a> {
    lines: Vec<&'a str>,
    next: usize,
}

impl<'a> ManifestLines<'a> {
    fn new(text: &'a str) -> ManifestLines<'a> {
        ManifestLines { lines: text.strip_suffix('\n').unwrap_or(text).split('\n').collect(), next: 0 }
    }

    fn is_at_end(&self) -> bool {
        self.next == self.lines.len()
    }

    fn next(&mut self) -> Result<&'a str, TransparencyError> {
        let number = self.next;
        self.next += 1;
        let Some(line) = self.lines.get(number) else {
            return Err(self.refused("the manifest ends before it"));
        };
        match line.rsplit_once(' ') {
            Some((content, digest)) if digest == line_digest(content) => Ok(content),
            _ => Err(self.refused("it was changed: it does not have the digest at its end")),
        }
    }

    fn field(&mut self, word: &str) -> Result<String, TransparencyError> {
        let content = self.next()?;
        match content.strip_prefix(word) {
            Some(value) if !value.is_empty() => Ok(value.to_owned()),
            _ => Err(self.refused(&format!("expected `{}`", word.trim_end()))),
        }
    }

    fn item(&mut self) -> Result<(String, usize, Sha256Digest), TransparencyError> {
        let content = self.next()?;
        let words: Vec<&str> = content.split(' ').collect();
        let parsed = match words[..] {
            ["item", name, length, digest] if is_item_name(name) => {
                let length = parse_decimal(length).and_then(|length| usize::try_from(length).ok());
                length.zip(digest.parse().ok()).map(|(length, digest)| (name.to_owned(), length, digest))
            }
            _ => None,
        };
        parsed.ok_or_else(|| self.refused("expected `item`, name, length and digest"))
    }

    /// An error about the line that was read last.
    fn refused(&self, problem: &str) -> TransparencyError {
        refused(format!("manifest line {}: {problem}", self.next))
    }
}

pub(crate) fn refused(problem: String) -> TransparencyError {
    malformed("an evidence bundle", problem)
}

fn line(content: &str) -> String {
    format!("{content} {}\n", line_digest(content))
}

fn line_digest(content: &str) -> String {
    sha256(content.as_bytes()).to_string()[..LINE_DIGEST_CHARS].to_owned()
}

fn is_item_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-/".contains(&byte);
    (1..=NAME_CHARS_MAX).contains(&name.len()) && name.bytes().all(allowed)
}
