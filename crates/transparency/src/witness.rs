//! A witness: it remembers the last checkpoint of each log that it watches, and cosigns only what continues it (C2SP
//! tlog-witness v1.0.0).
//!
//! What the witness knows lies in a [`WitnessMemory`], which the caller keeps in its database. A cosignature leaves only
//! after the memory has moved on durably, and the memory moves in one step that compares and replaces, so that two
//! requests that cross can't take it back (the race that the specification describes).

use std::collections::BTreeMap;

use lingqu_crypto::Suite;

use crate::error::malformed;
use crate::{
    AddCheckpoint, Checkpoint, Cosigner, Misconduct, NoteSignature, NoteVerifier, SignedNote, TransparencyError,
    TreeHasher,
};

/// The most logs that one witness watches.
pub const WITNESSED_LOGS_MAX: usize = 10_000;

/// The most keys that one log has.
pub const LOG_KEYS_MAX: usize = 16;

/// How often a request is judged anew because another one moved the memory on meanwhile, before it is told of the conflict.
const RACES_MAX: usize = 3;

/// The last checkpoint of a log that a witness cosigned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// Origin, size and root.
    pub checkpoint: Checkpoint,
    /// The note with the log's signatures that were verified and the witness's own: what monitors get
    /// (tlog-witness, "Monitor Retrieval Mechanism").
    pub note: String,
}

/// Where a witness remembers. An implementation is durable: what [`WitnessMemory::advance`] confirmed is there after any
/// crash, and is never replaced by something older.
pub trait WitnessMemory {
    /// What can fail.
    type Fault;

    /// The last checkpoint of a log.
    ///
    /// # Errors
    /// Faults of the storage.
    fn latest(&self, origin: &str) -> Result<Option<Witnessed>, Self::Fault>;

    /// Replaces the last checkpoint of the log `to.checkpoint.origin` if its size still is `from` (0 when there is none),
    /// in one step, and returns once that is durable. `false` when another size stands there; nothing is changed then.
    ///
    /// # Errors
    /// Faults of the storage. The checkpoint may have been replaced or not.
    fn advance(&self, from: u64, to: &Witnessed) -> Result<bool, Self::Fault>;
}

/// Why a witness can't answer, through no fault of the request.
#[derive(Debug, thiserror::Error)]
pub enum WitnessError<F> {
    /// The memory failed. Nothing was cosigned.
    #[error("the witness's memory failed")]
    Memory(F),
    /// Nothing can be signed at this instant.
    #[error(transparent)]
    CanNotSign(TransparencyError),
}

/// The answer to a request, with the status that the specification gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WitnessAnswer {
    /// 200: the cosignatures.
    Cosigned(Vec<NoteSignature>),
    /// 400: the request is not of the form.
    Malformed(TransparencyError),
    /// 400: the old size is above the checkpoint's.
    OldSizeAbove,
    /// 403: no key that is trusted for this log signed, or its signature fails.
    NotTrusted,
    /// 404: the witness does not watch this log.
    UnknownLog,
    /// 409: the last cosigned checkpoint has another size than the request says.
    Conflict {
        /// The size it has.
        size: u64,
    },
    /// 422: the checkpoint does not continue the last one that was cosigned.
    Inconsistent {
        /// What does not hold.
        problem: &'static str,
        /// Where the request proves that the log rewrote itself: what a third party can check.
        misconduct: Option<Box<Misconduct>>,
    },
}

impl WitnessAnswer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        match self {
            WitnessAnswer::Cosigned(_) => 200,
            WitnessAnswer::Malformed(_) | WitnessAnswer::OldSizeAbove => 400,
            WitnessAnswer::NotTrusted => 403,
            WitnessAnswer::UnknownLog => 404,
            WitnessAnswer::Conflict { .. } => 409,
            WitnessAnswer::Inconsistent { .. } => 422,
        }
    }

    /// The content type of the body.
    pub fn content_type(&self) -> &'static str {
        match self {
            WitnessAnswer::Conflict { .. } => "text/x.tlog.size",
            _ => "text/plain; charset=utf-8",
        }
    }

    /// The body: signature lines, the size, or a sentence for whoever debugs the log.
    pub fn body(&self) -> String {
        match self {
            WitnessAnswer::Cosigned(lines) => lines.iter().map(NoteSignature::to_line).collect(),
            WitnessAnswer::Malformed(error) => format!("{error}\n"),
            WitnessAnswer::OldSizeAbove => "the old size is above the checkpoint's\n".to_owned(),
            WitnessAnswer::NotTrusted => "no key that is trusted for this log signed the checkpoint\n".to_owned(),
            WitnessAnswer::UnknownLog => "this witness does not watch the log; ask its operator to add it\n".to_owned(),
            WitnessAnswer::Conflict { size } => format!("{size}\n"),
            WitnessAnswer::Inconsistent { problem, .. } => format!("{problem}\n"),
        }
    }
}

/// A witness of some logs. It holds no state; that is in the memory.
#[derive(Debug)]
pub struct Witness {
    cosigners: Vec<Cosigner>,
    logs: BTreeMap<String, Vec<NoteVerifier>>,
}

impl Witness {
    /// A witness with its keys, at most one for each suite: a log is cosigned with the key of its own suite.
    ///
    /// # Errors
    /// Refused without a key or with two of one suite.
    pub fn new(cosigners: Vec<Cosigner>) -> Result<Witness, TransparencyError> {
        let of = |suite| cosigners.iter().filter(|cosigner| suite_of(cosigner.verifier()) == suite).count();
        if cosigners.is_empty() || of(Suite::International) > 1 || of(Suite::National) > 1 {
            return Err(malformed("a witness", "it needs one key, or one of each suite"));
        }
        Ok(Witness { cosigners, logs: BTreeMap::new() })
    }

    /// Watches a log with this origin whose checkpoints are signed by one of the keys.
    ///
    /// # Errors
    /// Refused when the origin is watched already, without keys, with keys of two suites, of cosigners, or of a suite that
    /// the witness has no key of; [`TransparencyError::TooLarge`] above [`WITNESSED_LOGS_MAX`] logs or [`LOG_KEYS_MAX`] keys.
    pub fn watch(&mut self, origin: &str, keys: Vec<NoteVerifier>) -> Result<(), TransparencyError> {
        let refused = |problem: &str| malformed("a log to be witnessed", format!("`{origin}` {problem}"));
        if keys.len() > LOG_KEYS_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the number of keys of a log",
                limit: LOG_KEYS_MAX as u64,
            });
        }
        if self.logs.len() == WITNESSED_LOGS_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the number of logs of a witness",
                limit: WITNESSED_LOGS_MAX as u64,
            });
        }
        let Some(first) = keys.first() else {
            return Err(refused("has no key"));
        };
        if keys.iter().any(|key| key.key_type().is_cosignature()) {
            return Err(refused("has a key of a cosigner instead of a log's"));
        }
        if keys.iter().any(|key| suite_of(key) != suite_of(first)) {
            return Err(refused("has keys of two suites; a twin is a log of its own"));
        }
        if self.cosigner(suite_of(first)).is_none() {
            return Err(refused("is of a suite that the witness has no key of"));
        }
        if self.logs.contains_key(origin) {
            return Err(refused("is watched already"));
        }
        // What is signed under another name than the key's is this log's all the same, also in what proves that it lied.
        let keys = keys.into_iter().map(|key| key.of_log(origin)).collect();
        self.logs.insert(origin.to_owned(), keys);
        Ok(())
    }

    /// The public keys of the witness.
    pub fn verifiers(&self) -> impl Iterator<Item = &NoteVerifier> {
        self.cosigners.iter().map(Cosigner::verifier)
    }

    /// Answers a request; `at` is the time in seconds since 1970.
    ///
    /// # Errors
    /// Faults of the memory, and an instant at which nothing can be signed. Nothing was cosigned then.
    pub fn add_checkpoint<M: WitnessMemory>(
        &self,
        body: &[u8],
        memory: &M,
        at: u64,
    ) -> Result<WitnessAnswer, WitnessError<M::Fault>> {
        let submission = match self.read(body) {
            Ok(submission) => submission,
            Err(answer) => return Ok(answer),
        };
        let origin = &submission.checkpoint.origin;
        for _ in 0..RACES_MAX {
            let latest = memory.latest(origin).map_err(WitnessError::Memory)?;
            if let Err(answer) = submission.judge(latest.as_ref()) {
                return Ok(answer);
            }
            let line = submission.cosigner.cosign(submission.note.text(), at).map_err(WitnessError::CanNotSign)?;
            let mut lines = submission.lines.clone();
            lines.push(line.clone());
            let note = submission.note.with_signatures(&lines).map_err(WitnessError::CanNotSign)?;
            let to = Witnessed { checkpoint: submission.checkpoint.clone(), note: note.to_text() };
            let from = latest.map_or(0, |latest| latest.checkpoint.size);
            if memory.advance(from, &to).map_err(WitnessError::Memory)? {
                return Ok(WitnessAnswer::Cosigned(vec![line]));
            }
        }
        let latest = memory.latest(origin).map_err(WitnessError::Memory)?;
        Ok(WitnessAnswer::Conflict { size: latest.map_or(0, |latest| latest.checkpoint.size) })
    }

    fn cosigner(&self, suite: Suite) -> Option<&Cosigner> {
        self.cosigners.iter().find(|cosigner| suite_of(cosigner.verifier()) == suite)
    }

    /// Reads a request as far as that needs no memory: its form, the log, the log's signature.
    fn read(&self, body: &[u8]) -> Result<Submission<'_>, WitnessAnswer> {
        let text = std::str::from_utf8(body)
            .map_err(|_| WitnessAnswer::Malformed(malformed("a request for a cosignature", "it is not UTF-8")))?;
        let request = AddCheckpoint::from_text(text).map_err(WitnessAnswer::Malformed)?;
        let note = SignedNote::parse(&request.note).map_err(WitnessAnswer::Malformed)?;
        let checkpoint = Checkpoint::from_text(note.text()).map_err(WitnessAnswer::Malformed)?;
        let keys = self.logs.get(&checkpoint.origin).ok_or(WitnessAnswer::UnknownLog)?;
        let verified = note.verify_signatures(keys).map_err(|_| WitnessAnswer::NotTrusted)?;
        let verifier = verified.first().ok_or(WitnessAnswer::NotTrusted)?.verifier;
        // One line a key: what is kept for monitors is bounded whatever was sent.
        let (mut verifiers, mut lines): (Vec<&NoteVerifier>, Vec<NoteSignature>) = (Vec::new(), Vec::new());
        for found in &verified {
            if !verifiers.contains(&found.verifier) {
                verifiers.push(found.verifier);
                lines.push(found.signature.clone());
            }
        }
        let suite = suite_of(verifier);
        let cosigner = self.cosigner(suite).ok_or(WitnessAnswer::UnknownLog)?;
        Ok(Submission { request, note, checkpoint, suite, verifiers, lines, cosigner })
    }
}

fn suite_of(key: &NoteVerifier) -> Suite {
    key.key_type().suite()
}

/// A request whose log is known and signed.
struct Submission<'w> {
    request: AddCheckpoint,
    note: SignedNote,
    checkpoint: Checkpoint,
    suite: Suite,
    /// The keys of the log that signed.
    verifiers: Vec<&'w NoteVerifier>,
    /// A signature line of each of them.
    lines: Vec<NoteSignature>,
    cosigner: &'w Cosigner,
}

impl Submission<'_> {
    /// Whether the checkpoint may be cosigned after the latest one (tlog-witness, "add-checkpoint", in its order).
    fn judge(&self, latest: Option<&Witnessed>) -> Result<(), WitnessAnswer> {
        let (old, new) = (self.request.old_size, &self.checkpoint);
        let hasher = TreeHasher::of(self.suite);
        if old > new.size {
            return Err(WitnessAnswer::OldSizeAbove);
        }
        let size = latest.map_or(0, |latest| latest.checkpoint.size);
        if old != size {
            return Err(WitnessAnswer::Conflict { size });
        }
        if new.size == 0 && new.root != hasher.empty_root() {
            return Err(inconsistent("a checkpoint of size 0 does not have the root of the empty tree"));
        }
        if old == 0 {
            // The empty tree is the beginning of every tree, so there is nothing to prove.
            let empty = self.request.proof.is_empty();
            return if empty { Ok(()) } else { Err(inconsistent("the proof from the empty tree is not empty")) };
        }
        let Some(latest) = latest else {
            return Err(WitnessAnswer::Conflict { size });
        };
        let (root, proof) = (&latest.checkpoint.root, &self.request.proof);
        if hasher.verify_consistency(old, root, new.size, &new.root, proof).is_ok() {
            return Ok(());
        }
        let problem = if old == new.size {
            "the checkpoint has another root than the one cosigned at this size, or a proof where none is needed"
        } else {
            "the consistency proof does not verify"
        };
        // The latest note was signed by the log, perhaps with some of its keys only.
        let proven = |key: &&NoteVerifier| Misconduct::between(&latest.note, &self.request.note, proof, key);
        let misconduct = self.verifiers.iter().find_map(proven);
        Err(WitnessAnswer::Inconsistent { problem, misconduct: misconduct.map(Box::new) })
    }
}

fn inconsistent(problem: &'static str) -> WitnessAnswer {
    WitnessAnswer::Inconsistent { problem, misconduct: None }
}
