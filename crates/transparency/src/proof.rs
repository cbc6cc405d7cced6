use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::checkpoint::{parse_decimal, parse_hash};
use crate::error::malformed;
use crate::{
    Checkpoint, CosignerPolicy, Hash, NOTE_BYTES_MAX, NoteVerifier, SignedNote, TransparencyError, TreeHasher,
};

/// The first line of every proof file.
const HEADER: &str = "c2sp.org/tlog-proof@v1";

/// The longest inclusion path of a tree of up to 2^64 entries.
pub(crate) const PATH_HASHES_MAX: usize = 64;

/// A proof that an entry is in a log, checkable offline (C2SP tlog-proof v1, "Format").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogProof {
    /// Data that the proof does not vouch for.
    pub extra: Option<Vec<u8>>,
    /// The entry's index.
    pub index: u64,
    /// The inclusion path, leaf's sibling first.
    pub path: Vec<Hash>,
    /// The signed checkpoint, verbatim.
    pub checkpoint: String,
}

impl LogProof {
    /// The text of a `.tlog-proof` file.
    pub fn to_text(&self) -> String {
        let mut text = format!("{HEADER}\n");
        if let Some(extra) = &self.extra {
            text += &format!("extra {}\n", STANDARD.encode(extra));
        }
        text += &format!("index {}\n", self.index);
        for hash in &self.path {
            text += &STANDARD.encode(hash);
            text.push('\n');
        }
        text.push('\n');
        text += &self.checkpoint;
        text
    }

    /// Reads a `.tlog-proof` file. The checkpoint is not looked into before [`LogProof::verify`].
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] with the line that is wrong, [`TransparencyError::TooLarge`].
    pub fn from_text(text: &str) -> Result<LogProof, TransparencyError> {
        let refused = |problem: String| malformed("a log proof", problem);
        if text.len() > NOTE_BYTES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the length of a log proof in bytes",
                limit: NOTE_BYTES_MAX as u64,
            });
        }
        let Some((head, checkpoint)) = text.split_once("\n\n") else {
            return Err(refused("no blank line precedes the checkpoint".to_owned()));
        };
        let mut lines = head.split('\n').enumerate().peekable();
        if lines.next().is_none_or(|(_, line)| line != HEADER) {
            return Err(refused(format!("line 1 is not {HEADER}")));
        }
        let mut extra = None;
        if let Some((_, encoded)) = lines.next_if(|(_, line)| line.starts_with("extra ")) {
            let encoded = &encoded["extra ".len()..];
            let decoded = STANDARD.decode(encoded).map_err(|_| refused("line 2 is not base64".to_owned()))?;
            extra = Some(decoded);
        }
        let index = lines
            .next()
            .and_then(|(_, line)| parse_decimal(line.strip_prefix("index ")?))
            .ok_or_else(|| refused("the index line is missing or wrong".to_owned()))?;
        let mut path = Vec::new();
        for (number, line) in lines {
            if path.len() == PATH_HASHES_MAX {
                return Err(TransparencyError::TooLarge {
                    what: "the number of hashes of a log proof",
                    limit: PATH_HASHES_MAX as u64,
                });
            }
            let hash = parse_hash(line).ok_or_else(|| refused(format!("line {} is not a hash", number + 1)))?;
            path.push(hash);
        }
        Ok(LogProof { extra, index, path, checkpoint: checkpoint.to_owned() })
    }

    /// Checks that the entry is in the log of this key (tlog-proof, "Verifying a tlog proof") and returns the checkpoint
    /// under which it is.
    ///
    /// # Errors
    /// What [`Checkpoint::open`] and [`TreeHasher::verify_inclusion`] refuse.
    pub fn verify(&self, entry: &[u8], log: &NoteVerifier) -> Result<Checkpoint, TransparencyError> {
        let checkpoint = Checkpoint::open(&self.checkpoint, log)?;
        let hasher = TreeHasher::of(log.key_type().suite());
        let leaf = hasher.leaf_hash(entry);
        hasher.verify_inclusion(&leaf, self.index, checkpoint.size, &self.path, &checkpoint.root)?;
        Ok(checkpoint)
    }

    /// As [`LogProof::verify`], and that enough cosigners saw the checkpoint (tlog-proof, "Verifying a tlog proof", step 3).
    ///
    /// # Errors
    /// Those named there, and what [`CosignerPolicy::check`] refuses.
    pub fn verify_witnessed(
        &self,
        entry: &[u8],
        log: &NoteVerifier,
        policy: &CosignerPolicy,
    ) -> Result<Checkpoint, TransparencyError> {
        let checkpoint = self.verify(entry, log)?;
        policy.check(&SignedNote::parse(&self.checkpoint)?)?;
        Ok(checkpoint)
    }
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::SigningKey;
    use proptest::prelude::*;

    use super::*;
    use crate::{Cosigner, NoteSigner, inclusion_proof, leaf_hash, root};

    fn proof(count: u64, index: u64) -> (LogProof, NoteSigner) {
        let signer = NoteSigner::new("node.example/log", SigningKey::from_seed([1; 32])).unwrap();
        let leaves: Vec<Hash> = (0..count).map(|number| leaf_hash(&number.to_be_bytes())).collect();
        let checkpoint = Checkpoint { origin: "node.example/log".to_owned(), size: count, root: root(&leaves) };
        let proof = LogProof {
            extra: None,
            index,
            path: inclusion_proof(&leaves, index).unwrap(),
            checkpoint: checkpoint.sign(&signer).unwrap(),
        };
        (proof, signer)
    }

    #[test]
    fn a_proof_verifies_for_its_entry_only() {
        let (proof, signer) = proof(11, 5);
        // A file made by this crate, kept to notice any change of the format.
        assert_eq!(proof.to_text(), include_str!("../golden/proof.tlog-proof"));
        let read = LogProof::from_text(&proof.to_text()).unwrap();
        assert_eq!(read, proof);
        assert_eq!(read.verify(&5_u64.to_be_bytes(), signer.verifier()).unwrap().size, 11);
        assert!(read.verify(&6_u64.to_be_bytes(), signer.verifier()).is_err());
        let other = NoteSigner::new("node.example/log", SigningKey::from_seed([2; 32])).unwrap();
        assert!(read.verify(&5_u64.to_be_bytes(), other.verifier()).is_err());
    }

    #[test]
    fn the_examples_of_the_specification() {
        // C2SP tlog-proof, without the signatures and the extra line, which are abridged there.
        let text = "c2sp.org/tlog-proof@v1\nindex 73894\n\
                    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=\n\
                    B95lDa8R83lS8n0eG+o0buTxRKQTYFi//1U8anccXmA=\n\
                    EKNzoDWG8LGC0Yp9o+sv3qllpMP9uHQ9B20KNL+Q1zs=\n\
                    RoopEkOdqkYqMB4MJXrbt/hMjOxsVn0IrWjpz1ZMMes=\n\
                    AHCioX9nLjsrse6YhjRRmk1WUEirVOLLRoOQ6vfO5vk=\n\
                    \n\
                    example.com/fancylog\n109482\nsFodV/vSp5O8n9a8QpW6PRY97tfOSW5bsc2Xl/EQi08=\n";
        let proof = LogProof::from_text(text).unwrap();
        assert_eq!((proof.index, proof.path.len()), (73_894, 5));
        assert_eq!(proof.to_text(), text);
        // Forms in the tests of transparency-dev/formats at 0b850f1: without hashes, and with extra data.
        for (extra, text) in [
            (None, "c2sp.org/tlog-proof@v1\nindex 0\n\ncheckpoint\n"),
            (
                Some(b"extra information".to_vec()),
                "c2sp.org/tlog-proof@v1\nextra ZXh0cmEgaW5mb3JtYXRpb24=\nindex 0\n\ncheckpoint\n",
            ),
        ] {
            let proof = LogProof::from_text(text).unwrap();
            assert_eq!((&proof.extra, proof.path.len()), (&extra, 0));
            assert_eq!(proof.to_text(), text);
        }
    }

    #[test]
    fn proofs_of_the_twin_log_verify_with_its_key() {
        let hasher = TreeHasher::SM3;
        let key = SigningKey::national_from_seed([1; 32]).unwrap();
        let log = NoteSigner::new("node.example/log/sm3", key).unwrap();
        let leaves: Vec<Hash> = (0..9_u64).map(|number| hasher.leaf_hash(&number.to_be_bytes())).collect();
        let origin = "node.example/log/sm3".to_owned();
        let checkpoint = Checkpoint { origin, size: 9, root: hasher.root(&leaves) };
        let path = hasher.inclusion_proof(&leaves, 4).unwrap();
        let proof = LogProof { extra: None, index: 4, path, checkpoint: checkpoint.sign(&log).unwrap() };
        let proof = LogProof::from_text(&proof.to_text()).unwrap();
        assert_eq!(proof.verify(&4_u64.to_be_bytes(), log.verifier()), Ok(checkpoint));
        assert!(proof.verify(&5_u64.to_be_bytes(), log.verifier()).is_err());
    }

    #[test]
    fn a_proof_can_require_cosigners() {
        let (mut proof, log) = proof(11, 5);
        let entry = 5_u64.to_be_bytes();
        let witness = Cosigner::new("w.example", SigningKey::from_seed([8; 32])).unwrap();
        let policy = CosignerPolicy::new(vec![witness.verifier().clone()], 1).unwrap();
        assert_eq!(
            proof.verify_witnessed(&entry, log.verifier(), &policy),
            Err(TransparencyError::NotWitnessed { found: 0, required: 1 })
        );
        let note = SignedNote::parse(&proof.checkpoint).unwrap();
        proof.checkpoint += &witness.cosign(note.text(), 7).unwrap().to_line();
        assert_eq!(proof.verify_witnessed(&entry, log.verifier(), &policy).unwrap().size, 11);
        assert!(proof.verify_witnessed(&[0], log.verifier(), &policy).is_err());
    }

    #[test]
    fn other_forms_are_refused() {
        let (proof, _) = proof(11, 5);
        let good = proof.to_text();
        for (from, to) in [
            ("@v1", "@v2"),
            ("index 5", "index 05"),
            ("index 5", "extra !\nindex 5"),
            ("index 5\n", ""),
            ("\n\n", "\n"),
            ("=\n", "\n"),
        ] {
            assert!(LogProof::from_text(&good.replacen(from, to, 1)).is_err(), "{from:?}");
        }
        let mut long = proof;
        long.path = vec![[0; 32]; 65];
        assert!(matches!(LogProof::from_text(&long.to_text()), Err(TransparencyError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn texts_round_trip(count in 1..40_u64, index: u64, extra: Option<Vec<u8>>) {
            let (mut proof, signer) = proof(count, index % count);
            proof.extra = extra;
            let read = LogProof::from_text(&proof.to_text()).unwrap();
            prop_assert_eq!(&read, &proof);
            prop_assert!(read.verify(&(index % count).to_be_bytes(), signer.verifier()).is_ok());
        }

        #[test]
        fn reading_never_panics(text: String) {
            let _ = LogProof::from_text(&text);
            let _ = LogProof::from_text(&format!("{HEADER}\nindex 1\n{text}\n\n{text}"));
        }
    }
}
