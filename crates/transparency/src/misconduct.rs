//! Proof that a log broke its word, as a file that anyone can check with nothing but the log's key.
//!
//! A log signs that its tree only grows. Three things show that it did not, and each is proven by what the log itself
//! signed: two roots for one size; a tree that continues another one than the log signed before; and a twin log whose
//! root is another one than the entry in the first log holds. A consistency proof that merely fails proves nothing to a
//! third party, as anyone can write hashes that lead nowhere; the file therefore holds a proof that *succeeds* and leads to
//! another root than the signed one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{parse_decimal, parse_hash};
use crate::error::malformed;
use crate::proof::PATH_HASHES_MAX;
use crate::{Checkpoint, Hash, LogProof, NoteVerifier, RootsEntry, TransparencyError, TreeHasher};

/// The first line of the file. Files of this kind end in `.log-misconduct`.
const HEADER: &str = "lingqu.node/log-misconduct@v1";

/// The largest file that is read, in bytes: two notes of many signatures and a proof are far below it.
pub const MISCONDUCT_BYTES_MAX: usize = 2 * 1024 * 1024;

/// What a log did, with what proves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Misconduct {
    /// Two signed checkpoints of one size with different roots: the log showed two histories.
    Fork {
        /// A signed checkpoint.
        one: String,
        /// Another one of the same size.
        other: String,
    },
    /// The later tree continues another tree than the earlier checkpoint signs: the log rewrote what it had published.
    Rewrite {
        /// The signed checkpoint of the smaller size.
        earlier: String,
        /// The signed checkpoint of the larger size.
        later: String,
        /// The root that the later tree has at the smaller size.
        root: Hash,
        /// The consistency proof from that root to the later checkpoint.
        proof: Vec<Hash>,
    },
    /// The log holds another root of its twin than the twin signs: one of the two forked.
    TwinDiffers {
        /// The entry that holds both roots at a size, encoded.
        entry: Vec<u8>,
        /// The proof that the log holds it.
        proof: Box<LogProof>,
        /// The signed checkpoint of the twin, of that size or a larger one.
        twin: String,
        /// The root that the twin's tree has at the entry's size.
        root: Hash,
        /// The consistency proof from that root to the twin's checkpoint; empty when the sizes are equal.
        consistency: Vec<Hash>,
    },
}

/// A checked proof of misconduct: what may be said about the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conviction {
    /// The log or the twin log that signed both contradictory statements.
    pub origin: String,
    /// The size at which two roots stand against each other.
    pub size: u64,
    /// The two roots.
    pub roots: [Hash; 2],
}

impl Misconduct {
    /// Two signed checkpoints of one log that can't both be true: of one size, or of different sizes where `proof` is a
    /// consistency proof as a log or its client submitted it. `None` where they prove nothing: a proof that leads nowhere
    /// may be anyone's mistake, and from a smaller size that is a power of two the submitted hashes don't tell the other
    /// root, which must then be read from the log's tiles ([`Misconduct::Rewrite`]).
    pub fn between(earlier: &str, later: &str, proof: &[Hash], log: &NoteVerifier) -> Option<Misconduct> {
        let (one, other) = (Checkpoint::open(earlier, log).ok()?, Checkpoint::open(later, log).ok()?);
        if one.size == other.size {
            return (one.root != other.root)
                .then(|| Misconduct::Fork { one: earlier.to_owned(), other: later.to_owned() });
        }
        if one.size == 0 || one.size > other.size || one.size.is_power_of_two() {
            return None;
        }
        let hasher = TreeHasher::of(log.key_type().suite());
        let (root, reached) = hasher.proven_roots(one.size, &one.root, other.size, proof)?;
        (reached == other.root && root != one.root).then(|| Misconduct::Rewrite {
            earlier: earlier.to_owned(),
            later: later.to_owned(),
            root,
            proof: proof.to_vec(),
        })
    }

    /// Checks the proof with the log's key, and for [`Misconduct::TwinDiffers`] the twin's.
    ///
    /// # Errors
    /// Whatever does not hold: a signature, a proof, or that there is a contradiction at all
    /// ([`TransparencyError::Malformed`]). The log is convicted of nothing then.
    pub fn verify(&self, log: &NoteVerifier, twin: Option<&NoteVerifier>) -> Result<Conviction, TransparencyError> {
        let (origin, size, roots) = match self {
            Misconduct::Fork { one, other } => {
                let (one, other) = (Checkpoint::open(one, log)?, Checkpoint::open(other, log)?);
                if one.size != other.size {
                    return Err(no_contradiction("the checkpoints are of different sizes"));
                }
                (one.origin, one.size, [one.root, other.root])
            }
            Misconduct::Rewrite { earlier, later, root, proof } => {
                let (earlier, later) = (Checkpoint::open(earlier, log)?, Checkpoint::open(later, log)?);
                let hasher = TreeHasher::of(log.key_type().suite());
                hasher.verify_consistency(earlier.size, root, later.size, &later.root, proof)?;
                (earlier.origin, earlier.size, [earlier.root, *root])
            }
            Misconduct::TwinDiffers { entry, proof, twin: note, root, consistency } => {
                let twin = twin.ok_or_else(|| no_contradiction("it is about a twin log, whose key is needed too"))?;
                proof.verify(entry, log)?;
                let held = RootsEntry::decode(entry)?;
                let checkpoint = Checkpoint::open(note, twin)?;
                held.check_twin(log.origin(), &checkpoint.origin)?;
                let suite = twin.key_type().suite();
                if suite == log.key_type().suite() {
                    return Err(no_contradiction("both keys are of one suite, so neither log is the other's twin"));
                }
                let hasher = TreeHasher::of(suite);
                hasher.verify_consistency(held.size(), root, checkpoint.size, &checkpoint.root, consistency)?;
                (checkpoint.origin, held.size(), [*held.root_of(suite), *root])
            }
        };
        if roots[0] == roots[1] {
            return Err(no_contradiction("both roots are equal"));
        }
        Ok(Conviction { origin, size, roots })
    }

    /// The file: the header, the kind, then each part as a line with a word and its value. Notes stand behind a line
    /// with their length in bytes.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        match self {
            Misconduct::Fork { one, other } => {
                text += "fork\n";
                put_note(&mut text, one);
                put_note(&mut text, other);
            }
            Misconduct::Rewrite { earlier, later, root, proof } => {
                text += "rewrite\n";
                put_note(&mut text, earlier);
                put_note(&mut text, later);
                put_hashes(&mut text, root, proof);
            }
            Misconduct::TwinDiffers { entry, proof, twin, root, consistency } => {
                text += "twin\n";
                text += &format!("entry {}\n", STANDARD.encode(entry));
                put_note(&mut text, &proof.to_text());
                put_note(&mut text, twin);
                put_hashes(&mut text, root, consistency);
            }
        }
        text
    }

    /// Reads a file. Nothing in it is believed before [`Misconduct::verify`].
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`], [`TransparencyError::TooLarge`].
    pub fn from_text(text: &str) -> Result<Misconduct, TransparencyError> {
        if text.len() > MISCONDUCT_BYTES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the length of a proof of misconduct in bytes",
                limit: MISCONDUCT_BYTES_MAX as u64,
            });
        }
        let mut parts = Parts { rest: text };
        if parts.line()? != HEADER {
            return Err(malformed(WHAT, format!("line 1 is not {HEADER}")));
        }
        let misconduct = match parts.line()? {
            "fork" => Misconduct::Fork { one: parts.note()?, other: parts.note()? },
            "rewrite" => {
                let (earlier, later) = (parts.note()?, parts.note()?);
                let (root, proof) = parts.hashes()?;
                Misconduct::Rewrite { earlier, later, root, proof }
            }
            "twin" => {
                let entry = STANDARD.decode(parts.value("entry")?);
                let entry = entry.map_err(|_| malformed(WHAT, "the entry is not base64"))?;
                let proof = Box::new(LogProof::from_text(&parts.note()?)?);
                let twin = parts.note()?;
                let (root, consistency) = parts.hashes()?;
                Misconduct::TwinDiffers { entry, proof, twin, root, consistency }
            }
            _ => return Err(malformed(WHAT, "its kind is none of fork, rewrite and twin")),
        };
        if parts.rest.is_empty() { Ok(misconduct) } else { Err(malformed(WHAT, "something follows its end")) }
    }
}

const WHAT: &str = "a proof of misconduct";

fn no_contradiction(problem: &str) -> TransparencyError {
    malformed(WHAT, problem)
}

fn put_note(text: &mut String, note: &str) {
    *text += &format!("note {}\n{note}", note.len());
}

fn put_hashes(text: &mut String, root: &Hash, proof: &[Hash]) {
    *text += &format!("root {}\n", STANDARD.encode(root));
    for hash in proof {
        *text += &format!("proof {}\n", STANDARD.encode(hash));
    }
}

/// What is left to read.
struct Parts<'t> {
    rest: &'t str,
}

impl<'t> Parts<'t> {
    fn line(&mut self) -> Result<&'t str, TransparencyError> {
        let (line, rest) = self.rest.split_once('\n').ok_or_else(|| malformed(WHAT, "it ends too early"))?;
        self.rest = rest;
        Ok(line)
    }

    fn value(&mut self, word: &str) -> Result<&'t str, TransparencyError> {
        let line = self.line()?;
        let value = line.strip_prefix(word).and_then(|rest| rest.strip_prefix(' '));
        value.ok_or_else(|| malformed(WHAT, format!("a line does not begin with `{word}`")))
    }

    fn note(&mut self) -> Result<String, TransparencyError> {
        let length = parse_decimal(self.value("note")?).and_then(|length| usize::try_from(length).ok());
        let (note, rest) = length
            .and_then(|length| self.rest.split_at_checked(length))
            .ok_or_else(|| malformed(WHAT, "a note's length is wrong"))?;
        self.rest = rest;
        Ok(note.to_owned())
    }

    fn hashes(&mut self) -> Result<(Hash, Vec<Hash>), TransparencyError> {
        let wrong = || malformed(WHAT, "a hash is not 32 bytes in base64");
        let root = parse_hash(self.value("root")?).ok_or_else(wrong)?;
        let mut proof = Vec::new();
        while !self.rest.is_empty() {
            if proof.len() == PATH_HASHES_MAX {
                return Err(TransparencyError::TooLarge {
                    what: "the number of hashes of a proof",
                    limit: PATH_HASHES_MAX as u64,
                });
            }
            proof.push(parse_hash(self.value("proof")?).ok_or_else(wrong)?);
        }
        Ok((root, proof))
    }
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::{NoteSigner, TwinLog, twin_origin};

    const ORIGIN: &str = "node.example/log";

    fn log() -> NoteSigner {
        NoteSigner::new(ORIGIN, SigningKey::from_seed([1; 32])).unwrap()
    }

    fn twin() -> NoteSigner {
        NoteSigner::new(&twin_origin(ORIGIN), SigningKey::national_from_seed([1; 32]).unwrap()).unwrap()
    }

    /// Leaves of two histories that part at an index.
    fn leaves(hasher: TreeHasher, count: u64, parting: u64, history: u8) -> Vec<Hash> {
        let entry = |number: u64| format!("entry {number} {}", if number < parting { 0 } else { history });
        (0..count).map(|number| hasher.leaf_hash(entry(number).as_bytes())).collect()
    }

    fn signed(signer: &NoteSigner, leaves: &[Hash]) -> String {
        let hasher = TreeHasher::of(signer.verifier().key_type().suite());
        let origin = signer.verifier().name().to_owned();
        Checkpoint { origin, size: leaves.len() as u64, root: hasher.root(leaves) }.sign(signer).unwrap()
    }

    fn survives_writing(misconduct: &Misconduct) {
        assert_eq!(&Misconduct::from_text(&misconduct.to_text()).unwrap(), misconduct);
    }

    #[test]
    fn two_roots_for_one_size() {
        for signer in [log(), twin()] {
            let hasher = TreeHasher::of(signer.verifier().key_type().suite());
            let one = signed(&signer, &leaves(hasher, 9, 4, 1));
            let other = signed(&signer, &leaves(hasher, 9, 4, 2));
            let misconduct = Misconduct::between(&one, &other, &[], signer.verifier()).unwrap();
            survives_writing(&misconduct);
            let conviction = misconduct.verify(signer.verifier(), None).unwrap();
            assert_eq!((conviction.size, conviction.origin.as_str()), (9, signer.verifier().name()));
            // The same root twice convicts nobody, nor do checkpoints that the log did not sign.
            assert_eq!(Misconduct::between(&one, &one, &[], signer.verifier()), None);
            assert!(Misconduct::Fork { one: one.clone(), other: one.clone() }.verify(signer.verifier(), None).is_err());
            let stranger = NoteSigner::new(signer.verifier().name(), SigningKey::from_seed([7; 32])).unwrap();
            let forged = signed(&stranger, &leaves(hasher, 9, 4, 2));
            assert_eq!(Misconduct::between(&one, &forged, &[], signer.verifier()), None);
            assert!(Misconduct::Fork { one, other: forged }.verify(signer.verifier(), None).is_err());
        }
    }

    #[test]
    fn a_tree_that_was_rewritten() {
        let hasher = TreeHasher::SHA256;
        let (signer, key) = (log(), log().verifier().clone());
        for old_size in 5..12 {
            let earlier = signed(&signer, &leaves(hasher, old_size, 4, 1));
            let rewritten = leaves(hasher, 20, 4, 2);
            let later = signed(&signer, &rewritten);
            let proof = hasher.consistency_proof(&rewritten, old_size).unwrap();
            let found = Misconduct::between(&earlier, &later, &proof, &key);
            // With a whole subtree the submitted proof doesn't hold its hash; who reads the tiles can state it.
            assert_eq!(found.is_none(), old_size.is_power_of_two());
            let root = hasher.root(&rewritten[..old_size as usize]);
            let misconduct = found.unwrap_or(Misconduct::Rewrite { earlier, later, root, proof });
            survives_writing(&misconduct);
            assert_eq!(misconduct.verify(&key, None).unwrap().size, old_size);
        }
    }

    #[test]
    fn an_honest_log_can_not_be_convicted() {
        let hasher = TreeHasher::SHA256;
        let (signer, key) = (log(), log().verifier().clone());
        let all = leaves(hasher, 20, 99, 1);
        let (earlier, later) = (signed(&signer, &all[..7]), signed(&signer, &all));
        let good = hasher.consistency_proof(&all, 7).unwrap();
        assert_eq!(Misconduct::between(&earlier, &later, &good, &key), None);
        assert_eq!(Misconduct::between(&later, &earlier, &good, &key), None);
        // Hashes that lead nowhere, as a slanderer would submit them.
        let other = hasher.consistency_proof(&leaves(hasher, 20, 4, 2), 7).unwrap();
        for proof in [&other[..], &good[1..], &[], &[[0; 32]; 64]] {
            assert_eq!(Misconduct::between(&earlier, &later, proof, &key), None);
            for root in [[0; 32], hasher.root(&all[..7]), hasher.root(&leaves(hasher, 7, 4, 2))] {
                let (earlier, later) = (earlier.clone(), later.clone());
                let slander = Misconduct::Rewrite { earlier, later, root, proof: proof.to_vec() };
                assert!(slander.verify(&key, None).is_err());
            }
        }
        let slander = Misconduct::Rewrite { earlier, later, root: hasher.root(&all[..7]), proof: good };
        assert!(slander.verify(&key, None).is_err());
        // The empty tree has one root.
        let empty = signed(&signer, &[]);
        let slander =
            Misconduct::Rewrite { earlier: empty, later: signed(&signer, &all), root: [1; 32], proof: vec![] };
        assert!(slander.verify(&key, None).is_err());
    }

    #[test]
    fn a_twin_that_parted() {
        let twin = twin();
        let mut logs = TwinLog::empty(ORIGIN).unwrap();
        let entries: Vec<Vec<u8>> = (0..13_u8).map(|number| vec![number]).collect();
        logs = logs.append(&entries).unwrap().log;
        logs.publish().unwrap();
        let held = logs.roots_entry().unwrap().encode();
        logs = logs.append(std::slice::from_ref(&held)).unwrap().log;
        let checkpoint =
            Checkpoint { origin: ORIGIN.to_owned(), size: 14, root: logs.root(lingqu_crypto::Suite::International) };
        let hasher = TreeHasher::SHA256;
        let international: Vec<Hash> = entries.iter().chain([&held]).map(|entry| hasher.leaf_hash(entry)).collect();
        let proof = LogProof {
            extra: None,
            index: 13,
            path: hasher.inclusion_proof(&international, 13).unwrap(),
            checkpoint: checkpoint.sign(&log()).unwrap(),
        };
        // The twin signs another history, of the entry's size or grown since.
        for count in [13, 30] {
            let forked = leaves(TreeHasher::SM3, count, 0, 9);
            let misconduct = Misconduct::TwinDiffers {
                entry: held.clone(),
                proof: Box::new(proof.clone()),
                twin: signed(&twin, &forked),
                root: TreeHasher::SM3.root(&forked[..13]),
                consistency: TreeHasher::SM3.consistency_proof(&forked, 13).unwrap(),
            };
            survives_writing(&misconduct);
            let conviction = misconduct.verify(log().verifier(), Some(twin.verifier())).unwrap();
            assert_eq!(conviction.size, 13);
            assert!(misconduct.verify(log().verifier(), None).is_err());
        }
        // The true twin is convicted of nothing.
        let national: Vec<Hash> = entries.iter().chain([&held]).map(|entry| TreeHasher::SM3.leaf_hash(entry)).collect();
        let honest = Misconduct::TwinDiffers {
            entry: held.clone(),
            proof: Box::new(proof),
            twin: signed(&twin, &national),
            root: TreeHasher::SM3.root(&national[..13]),
            consistency: TreeHasher::SM3.consistency_proof(&national, 13).unwrap(),
        };
        assert!(honest.verify(log().verifier(), Some(twin.verifier())).is_err());
    }

    #[test]
    fn other_files_are_refused() {
        let hasher = TreeHasher::SHA256;
        let one = signed(&log(), &leaves(hasher, 9, 4, 1));
        let other = signed(&log(), &leaves(hasher, 9, 4, 2));
        let good = Misconduct::Fork { one, other }.to_text();
        for (from, to) in
            [("@v1", "@v2"), ("fork", "fine"), ("note 1", "note 01"), ("note 1", "note 9"), ("note", "text")]
        {
            assert!(Misconduct::from_text(&good.replacen(from, to, 1)).is_err(), "{from:?}");
        }
        assert!(Misconduct::from_text(&format!("{good}\n")).is_err());
        assert!(Misconduct::from_text(&good[..good.len() - 1]).is_err());
        assert!(Misconduct::from_text(&" ".repeat(MISCONDUCT_BYTES_MAX + 1)).is_err());
    }

    proptest! {
        #[test]
        fn reading_never_panics(text: String, near in "(fork|rewrite|twin)\n((note|root|proof|entry) [0-9A-Za-z=]{0,45}\n?){0,5}") {
            let _ = Misconduct::from_text(&text);
            let _ = Misconduct::from_text(&format!("{HEADER}\n{near}"));
        }
    }
}
