//! Asking one witness for its cosignature (C2SP tlog-witness, "add-checkpoint", the client's side).

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lingqu_store::log::{LogError, LogReader};
use lingqu_transparency::{AddCheckpoint, Checkpoint, CosignerPolicy, NoteVerifier, SignedNote, TransparencyError};

use crate::remote::{Remote, RemoteFault};

/// How often a request is sent again with the size that the witness told.
const CONFLICTS_MAX: usize = 3;
/// The largest answer of a witness that is read, in bytes: some signature lines.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// The shortest and the longest pause before a witness that failed is asked again by itself.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15);

/// A witness of one log, and what is known of it.
pub(super) struct AskedWitness {
    /// Its submission prefix.
    pub(super) url: String,
    /// The key with which it cosigns this log.
    pub(super) key: NoteVerifier,
    known: Mutex<Known>,
}

/// What is known of a witness. Kept in this process alone: after a restart the witness itself tells its size.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// The size that it cosigned last, and the instant that it stated, in seconds since 1970.
    pub(super) cosigned: Option<(u64, u64)>,
    /// The size that it said it has.
    size: Option<u64>,
    /// What its last answer came to, as a code and in words; none before it was asked.
    pub(super) answer: Option<(&'static str, String)>,
    failures: u32,
    not_before: Option<Instant>,
}

/// Why a witness did not cosign.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotCosigned {
    #[error("{0}")]
    Remote(#[from] RemoteFault),
    #[error("it did not answer within {seconds} seconds; see that it runs and can be reached from here")]
    TooSlow { seconds: u64 },
    #[error("it does not know this log; give its operator the log's origin and key")]
    UnknownLog,
    #[error("it does not trust the key of this log; give its operator the log's key")]
    NotTrusted,
    #[error(
        "it has seen {size} entries of this log, more than there are: the log was set back; stop publishing and look at database \
         and disk"
    )]
    Ahead { size: u64 },
    #[error("it says that the log contradicts what it cosigned before; stop publishing and look at database and disk")]
    Inconsistent,
    #[error("it answers {status}")]
    Status { status: u16 },
    #[error("its answer is wrong: {0}")]
    Answer(String),
    #[error("no proof can be made for it: {0}")]
    Proof(#[from] LogError),
}

impl NotCosigned {
    fn code(&self) -> &'static str {
        match self {
            NotCosigned::Remote(_) | NotCosigned::TooSlow { .. } => "unreachable",
            NotCosigned::UnknownLog => "unknown_log",
            NotCosigned::NotTrusted => "not_trusted",
            NotCosigned::Ahead { .. } => "ahead",
            NotCosigned::Inconsistent => "inconsistent",
            NotCosigned::Status { .. } | NotCosigned::Answer(_) => "other",
            NotCosigned::Proof(_) => "no_proof",
        }
    }
}

impl AskedWitness {
    pub(super) fn new(url: String, key: NoteVerifier) -> AskedWitness {
        AskedWitness { url, key, known: Mutex::new(Known::default()) }
    }

    pub(super) fn known(&self) -> Known {
        self.lock().clone()
    }

    /// Whether it may be asked by itself: it did not fail a moment ago.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.lock().not_before.is_none_or(|not_before| not_before <= now)
    }

    /// Whether its line stands under the note.
    pub(super) fn signed(&self, note: &SignedNote) -> bool {
        let key = std::slice::from_ref(&self.key);
        note.verify_signatures(key).is_ok()
    }

    /// Asks for a cosignature under a checkpoint of the log that `reader` reads, and answers the witness's lines. What comes
    /// back was verified: it is this witness's signature of this checkpoint.
    pub(super) async fn ask(&self, remote: &Remote, reader: &LogReader, note: &str) -> Option<String> {
        match self.exchange(remote, reader, note).await {
            Ok((lines, size, at)) => {
                *self.lock() = Known {
                    cosigned: Some((size, at)),
                    size: Some(size),
                    answer: Some(("cosigned", "cosigned".to_owned())),
                    failures: 0,
                    not_before: None,
                };
                Some(lines)
            }
            Err(problem) => {
                self.failed(&problem, note);
                None
            }
        }
    }

    /// Takes note that the witness was not waited for any longer, when it was asked to cosign a note.
    pub(super) fn did_not_answer(&self, waited: Duration, note: &str) {
        self.failed(&NotCosigned::TooSlow { seconds: waited.as_secs() }, note);
    }

    /// Says it once for each log and answer, however often the witness is asked again.
    fn failed(&self, problem: &NotCosigned, note: &str) {
        let mut known = self.lock();
        let answer = Some((problem.code(), problem.to_string()));
        if known.answer != answer {
            let (origin, size) = asked_for(note);
            tracing::warn!(
                witness = self.key.name(),
                log = origin,
                size,
                "a witness did not cosign the log {origin} at {size} entries: {problem}"
            );
        }
        let pause = PAUSE_MIN.saturating_mul(1 << known.failures.min(10)).min(PAUSE_MAX);
        known.answer = answer;
        known.failures = known.failures.saturating_add(1);
        known.not_before = Some(Instant::now() + pause);
    }

    async fn exchange(
        &self,
        remote: &Remote,
        reader: &LogReader,
        note: &str,
    ) -> Result<(String, u64, u64), NotCosigned> {
        let wrong = |error: TransparencyError| NotCosigned::Answer(error.to_string());
        let parsed = SignedNote::parse(note).map_err(wrong)?;
        let new_size = Checkpoint::from_text(parsed.text()).map_err(wrong)?.size;
        // A witness of which nothing is known is asked from the beginning, and tells what it has.
        let mut old_size = self.lock().size.filter(|size| *size <= new_size).unwrap_or(0);
        for _ in 0..CONFLICTS_MAX {
            let proof = match old_size {
                0 => Vec::new(),
                old_size => reader.consistency(old_size, new_size).await?,
            };
            let request = AddCheckpoint { old_size, proof, note: note.to_owned() };
            let url = format!("{}/add-checkpoint", self.url);
            let answer = remote.post(&url, request.to_text(), ANSWER_BYTES_MAX).await?;
            match answer.status {
                200 => return self.cosigned(&parsed, new_size, answer.body),
                403 => return Err(NotCosigned::NotTrusted),
                404 => return Err(NotCosigned::UnknownLog),
                409 => {
                    old_size = size_told(&answer.body, old_size, new_size)?;
                    self.lock().size = Some(old_size);
                }
                422 => return Err(NotCosigned::Inconsistent),
                status => return Err(NotCosigned::Status { status }),
            }
        }
        Err(NotCosigned::Answer("it has another size each time; another publisher seems to ask it".to_owned()))
    }

    /// Takes the lines of this witness out of its answer.
    fn cosigned(&self, note: &SignedNote, size: u64, body: Vec<u8>) -> Result<(String, u64, u64), NotCosigned> {
        let wrong = |error: TransparencyError| NotCosigned::Answer(error.to_string());
        let text = String::from_utf8(body).map_err(|_| NotCosigned::Answer("it is no text".to_owned()))?;
        let policy = CosignerPolicy::new(vec![self.key.clone()], 1).map_err(wrong)?;
        // Gathered into a note without other lines, so that only this answer counts.
        let bare = note.with_signatures(&other_lines(note, &self.key)).map_err(wrong)?;
        let gathered = policy.gather(&bare, &text).map_err(wrong)?;
        let (_, at) = policy.check(&gathered).map_err(wrong)?.first().copied().unwrap_or((&self.key, 0));
        Ok((text, size, at))
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lines of a note that are not this key's.
fn other_lines(note: &SignedNote, key: &NoteVerifier) -> Vec<lingqu_transparency::NoteSignature> {
    let of_key = |line: &lingqu_transparency::NoteSignature| line.name == key.name() && line.key_id == key.key_id();
    note.signatures().iter().filter(|line| !of_key(line)).cloned().collect()
}

/// The origin and the size of the checkpoint in a note, as they are written there.
fn asked_for(note: &str) -> (&str, &str) {
    let mut lines = note.lines();
    (lines.next().unwrap_or_default(), lines.next().unwrap_or_default())
}

/// From which size a witness is to be asked that answered a conflict. Some answer so, too, where they have seen another root at the
/// very size that they were asked to cosign.
fn size_told(body: &[u8], old_size: u64, new_size: u64) -> Result<u64, NotCosigned> {
    let told = size_of(body);
    if old_size == new_size && told.is_none_or(|told| told == old_size) {
        return Err(NotCosigned::Inconsistent);
    }
    match told {
        None => Err(NotCosigned::Answer("a conflict without a size".to_owned())),
        Some(size) if size > new_size => Err(NotCosigned::Ahead { size }),
        Some(size) => Ok(size),
    }
}

/// The size in the body of a conflict: a decimal number and a line break, nothing else.
fn size_of(body: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(body).ok()?.strip_suffix('\n')?;
    let size: u64 = text.parse().ok()?;
    (size.to_string() == text).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::{NotCosigned, asked_for, size_of, size_told};

    #[test]
    fn a_warning_names_the_log_and_its_size() {
        let note = "lingqu.node/nod_02/sm3\n272\nAAAA\n\n\u{2014} lingqu.node/nod_02/sm3 BBBB\n";
        assert_eq!(asked_for(note), ("lingqu.node/nod_02/sm3", "272"));
        assert_eq!(asked_for(""), ("", ""));
    }

    #[test]
    fn a_conflict_about_the_very_size_is_another_root() {
        assert_eq!(size_told(b"5\n", 0, 9).unwrap(), 5);
        assert_eq!(size_told(b"9\n", 5, 9).unwrap(), 9);
        assert_eq!(size_told(b"3\n", 9, 9).unwrap(), 3);
        assert!(matches!(size_told(b"12\n", 9, 9), Err(NotCosigned::Ahead { size: 12 })));
        for body in [&b"9\n"[..], b"", b"the roots differ\n"] {
            assert!(matches!(size_told(body, 9, 9), Err(NotCosigned::Inconsistent)));
        }
        assert!(matches!(size_told(b"", 5, 9), Err(NotCosigned::Answer(_))));
    }

    #[test]
    fn a_conflict_holds_one_number() {
        assert_eq!(size_of(b"0\n"), Some(0));
        assert_eq!(size_of(b"20852014\n"), Some(20_852_014));
        for wrong in [&b""[..], b"\n", b"1", b"01\n", b"+1\n", b"1\n\n", b" 1\n", b"18446744073709551616\n", b"\xff\n"]
        {
            assert_eq!(size_of(wrong), None, "{wrong:?}");
        }
    }
}
