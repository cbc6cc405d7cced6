//! Cosignatures: another node states that it saw a log grow without rewriting it (C2SP tlog-cosignature v1.0.1).

use lingqu_crypto::SigningKey;

use crate::error::malformed;
use crate::{Checkpoint, NoteSignature, NoteVerifier, SignedNote, TransparencyError};

/// The latest instant that a cosignature may state (tlog-cosignature, "Format").
pub const COSIGNED_AT_MAX: u64 = i64::MAX as u64;

const TIMESTAMP_BYTES: usize = 8;

/// A key that cosigns checkpoints under a name. The Ed25519 form does not sign the name, so a key has one name
/// (tlog-cosignature, "Ed25519 signed message").
#[derive(Debug)]
pub struct Cosigner {
    verifier: NoteVerifier,
    key: SigningKey,
}

impl Cosigner {
    /// A cosigner of this name, which should be a URL without scheme. The key must sign nothing else: not the node's own
    /// log, not for another name.
    ///
    /// # Errors
    /// Refused when the name is empty or has blanks, plus signs or control characters.
    pub fn new(name: &str, key: SigningKey) -> Result<Cosigner, TransparencyError> {
        let verifier = NoteVerifier::cosigner(name, key.verifying_key())?;
        Ok(Cosigner { verifier, key })
    }

    /// The public half.
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    /// States that the checkpoint of this note text is the largest that the cosigner saw of its log, and consistent with
    /// every earlier one. Whoever calls has checked that, and made it durable.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] when the text is no checkpoint; [`TransparencyError::OutOfRange`] for an instant
    /// that is zero or beyond [`COSIGNED_AT_MAX`].
    pub fn cosign(&self, text: &str, at: u64) -> Result<NoteSignature, TransparencyError> {
        Checkpoint::from_text(text)?;
        if at == 0 || at > COSIGNED_AT_MAX {
            return Err(TransparencyError::OutOfRange {
                what: "the instant of a cosignature",
                problem: format!("{at} is not between 1 and {COSIGNED_AT_MAX}; set the clock"),
            });
        }
        let mut bytes = at.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.key.sign(cosigned_message(text, at).as_bytes()).as_bytes());
        Ok(NoteSignature { name: self.verifier.name().to_owned(), key_id: self.verifier.key_id(), bytes })
    }
}

/// What a cosigner signs (tlog-cosignature, "Ed25519 signed message").
pub(crate) fn cosigned_message(text: &str, at: u64) -> String {
    format!("cosignature/v1\ntime {at}\n{text}")
}

/// The instant of a cosignature, and the signature behind it (tlog-cosignature, "Format").
pub(crate) fn split_timestamp(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (time, signature) = bytes.split_first_chunk::<TIMESTAMP_BYTES>()?;
    let time = u64::from_be_bytes(*time);
    (time <= COSIGNED_AT_MAX).then_some((time, signature))
}

/// The most cosigners that one policy names.
pub const COSIGNERS_MAX: usize = 32;

/// Which cosigners must have signed before a checkpoint counts as seen by others: some number out of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CosignerPolicy {
    cosigners: Vec<NoteVerifier>,
    required: usize,
}

impl CosignerPolicy {
    /// The policy that `required` of these cosigners have signed; 0 asks for none.
    ///
    /// # Errors
    /// Refused when a key is no cosigner's, stands twice under whatever name (it would count twice), when more are required
    /// than there are, or above [`COSIGNERS_MAX`].
    pub fn new(cosigners: Vec<NoteVerifier>, required: usize) -> Result<CosignerPolicy, TransparencyError> {
        let refused = |problem: String| Err(malformed("a policy of cosigners", problem));
        if cosigners.len() > COSIGNERS_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the number of cosigners of a policy",
                limit: COSIGNERS_MAX as u64,
            });
        }
        for (number, cosigner) in cosigners.iter().enumerate() {
            if !cosigner.key_type().is_cosignature() {
                return refused(format!("the key of `{}` is a log's, not a cosigner's", cosigner.name()));
            }
            let before = &cosigners[..number];
            if let Some(other) = before.iter().find(|other| other.key() == cosigner.key()) {
                return refused(format!(
                    "`{}` and `{}` have one key; each needs its own",
                    other.name(),
                    cosigner.name()
                ));
            }
        }
        if required > cosigners.len() {
            return refused(format!("{required} of {} cosigners can't sign", cosigners.len()));
        }
        Ok(CosignerPolicy { cosigners, required })
    }

    /// A policy of cosigners that were checked elsewhere, of which none must have signed.
    pub(crate) fn none_required(cosigners: Vec<NoteVerifier>) -> CosignerPolicy {
        CosignerPolicy { cosigners, required: 0 }
    }

    /// How many must have signed.
    pub fn required(&self) -> usize {
        self.required
    }

    /// The cosigners that may count.
    pub fn cosigners(&self) -> &[NoteVerifier] {
        &self.cosigners
    }

    /// Adds to a note what a witness answered about it (tlog-witness, "add-checkpoint"): the lines of this policy's cosigners,
    /// one of each key, with the latest instant, in place of an earlier one of the same key. Lines of others are left out.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] when the answer is no list of signature lines; [`TransparencyError::NotSigned`] when
    /// a known cosigner's line does not fit the note.
    pub fn gather(&self, note: &SignedNote, answer: &str) -> Result<SignedNote, TransparencyError> {
        let mut lines = NoteSignature::parse_lines(answer)?;
        lines.retain(|line| self.cosigners.iter().any(|cosigner| cosigner.is_of(line)));
        if lines.is_empty() {
            return Ok(note.clone());
        }
        note.with_signatures(&lines)?.verify_signatures(&self.cosigners)?;
        // A witness that answers many lines must not fill the note, where others' lines have to find room.
        let latest = |cosigner: &NoteVerifier| {
            let own = lines.iter().filter(|line| cosigner.is_of(line));
            own.max_by_key(|line| split_timestamp(&line.bytes).map(|(at, _)| at)).cloned()
        };
        let lines: Vec<NoteSignature> = self.cosigners.iter().filter_map(latest).collect();
        let replaced =
            |old: &NoteSignature| lines.iter().any(|line| line.name == old.name && line.key_id == old.key_id);
        let mut all: Vec<NoteSignature> = note.signatures().iter().filter(|old| !replaced(old)).cloned().collect();
        all.extend(lines.iter().cloned());
        note.with_signatures(&all)
    }

    /// Which cosigners signed the note, with the latest instant that each states. Whether the log itself signed is
    /// [`Checkpoint::open`]'s to check.
    ///
    /// # Errors
    /// [`TransparencyError::NotSigned`] when a known cosigner's signature fails, [`TransparencyError::NotWitnessed`] when
    /// fewer than required signed.
    pub fn check(&self, note: &SignedNote) -> Result<Vec<(&NoteVerifier, u64)>, TransparencyError> {
        let mut signed: Vec<(&NoteVerifier, u64)> = Vec::new();
        if note.signatures().iter().any(|line| self.cosigners.iter().any(|cosigner| cosigner.is_of(line))) {
            for verified in note.verify_signatures(&self.cosigners)? {
                let at = verified.cosigned_at.unwrap_or_default();
                match signed.iter_mut().find(|(cosigner, _)| *cosigner == verified.verifier) {
                    Some((_, latest)) => *latest = at.max(*latest),
                    None => signed.push((verified.verifier, at)),
                }
            }
        }
        if signed.len() < self.required {
            return Err(TransparencyError::NotWitnessed { found: signed.len(), required: self.required });
        }
        Ok(signed)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::NoteSigner;

    const TEXT: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

    fn cosigner(name: &str, seed: u8) -> Cosigner {
        Cosigner::new(name, SigningKey::from_seed([seed; 32])).unwrap()
    }

    fn note(cosigners: &[&Cosigner], at: u64) -> SignedNote {
        let log = NoteSigner::new("example.com/behind-the-sofa", SigningKey::from_seed([1; 32])).unwrap();
        let note = SignedNote::parse(&crate::sign_note(TEXT, &[&log]).unwrap()).unwrap();
        let mut lines = note.signatures().to_vec();
        lines.extend(cosigners.iter().map(|cosigner| cosigner.cosign(TEXT, at).unwrap()));
        note.with_signatures(&lines).unwrap()
    }

    #[test]
    fn the_signed_message_of_the_specification() {
        // tlog-cosignature, "Ed25519 signed message".
        assert_eq!(
            cosigned_message(TEXT, 1_679_315_147),
            "cosignature/v1\ntime 1679315147\nexample.com/behind-the-sofa\n20852163\n\
             CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        );
        // The example's cosignature states that instant; its key is not given.
        let example = format!(
            "{TEXT}\n\
             — example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n\
             — witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
        );
        let example = SignedNote::parse(&example).unwrap();
        let (time, signature) = split_timestamp(&example.signatures()[1].bytes).unwrap();
        assert_eq!((time, signature.len()), (1_679_315_147, 64));
    }

    #[test]
    fn another_implementation_agrees() {
        // The key of RFC 8032 section 7.1, test 1; key id and cosignature computed with PyCryptodome 3.24 from the
        // specification's text. Ed25519 has one signature for a message, so both must be equal.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let seed: Vec<u8> = (0..32).map(|at| u8::from_str_radix(&seed[2 * at..2 * at + 2], 16).unwrap()).collect();
        let key = SigningKey::from_seed(seed.try_into().unwrap());
        let cosigner = Cosigner::new("witness.example.com/w1", key).unwrap();
        assert_eq!(
            cosigner.verifier().to_string(),
            "witness.example.com/w1+7e6f4aaa+BNdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea"
        );
        assert_eq!(
            cosigner.cosign(TEXT, 1_679_315_147).unwrap().to_line(),
            "— witness.example.com/w1 fm9KqgAAAABkGFDL+TPmh4BYuAjsYRoqMJCWb/gWJaeRF/kmm5tlCr9sJ57DLErur7K0yDXc2ArN+TIuotuB/HbuL3AJsp3bv/aNCQ==\n"
        );
        // Keys in the tests of transparency-dev/formats at 0b850f1, of a log and of a cosigner.
        for vkey in [
            "TEST+7997405c+AQcC+FTVKf0jlTdHDY3rbevmnKxxPjigCXlVtGe6RIr6",
            "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
        ] {
            assert_eq!(vkey.parse::<NoteVerifier>().unwrap().to_string(), vkey);
        }
    }

    #[test]
    fn cosignatures_verify_with_their_instant() {
        for key in [SigningKey::from_seed([3; 32]), SigningKey::national_from_seed([3; 32]).unwrap()] {
            let cosigner = Cosigner::new("w.example", key).unwrap();
            let note = note(&[&cosigner], 77);
            let known = [cosigner.verifier().clone()];
            let verified = note.verify_signatures(&known).unwrap();
            assert_eq!(verified[0].cosigned_at, Some(77));
            for at in 0..verified[0].signature.bytes.len() {
                let mut lines = note.signatures().to_vec();
                lines[1].bytes[at] ^= 1;
                assert!(note.with_signatures(&lines).unwrap().verify(&known).is_err(), "byte {at}");
            }
        }
    }

    #[test]
    fn a_cosignature_is_no_signature_of_the_log_and_the_reverse() {
        let key = || SigningKey::from_seed([3; 32]);
        let cosigner = Cosigner::new("x.example", key()).unwrap();
        let signer = NoteSigner::new("x.example", key()).unwrap();
        // The same key and name, but the type goes into the id: the line of one is unknown to the other.
        let note = note(&[&cosigner], 5);
        assert!(note.verify(std::slice::from_ref(signer.verifier())).is_err());
        // And with the id forged the bytes do not verify.
        let mut lines = note.signatures().to_vec();
        lines[1].key_id = signer.verifier().key_id();
        let forged = note.with_signatures(&lines).unwrap();
        assert!(forged.verify(std::slice::from_ref(signer.verifier())).is_err());
    }

    #[test]
    fn what_can_not_be_cosigned() {
        let cosigner = cosigner("w.example", 3);
        assert!(cosigner.cosign("no checkpoint\n", 1).is_err());
        assert!(cosigner.cosign(TEXT, 0).is_err());
        assert!(cosigner.cosign(TEXT, COSIGNED_AT_MAX + 1).is_err());
        assert!(cosigner.cosign(TEXT, COSIGNED_AT_MAX).is_ok());
        assert_eq!(split_timestamp(&[0xff; 72]), None);
    }

    #[test]
    fn policies_count_keys_not_lines() {
        let (a, b, c) = (cosigner("a.example", 3), cosigner("b.example", 4), cosigner("c.example", 5));
        let known: Vec<NoteVerifier> = [&a, &b, &c].map(|cosigner| cosigner.verifier().clone()).to_vec();
        let two = CosignerPolicy::new(known.clone(), 2).unwrap();
        assert_eq!(two.check(&note(&[&a, &c], 9)).unwrap().len(), 2);
        // The same cosigner twice is one, at its latest instant.
        let twice = note(&[&a], 9);
        let mut lines = twice.signatures().to_vec();
        lines.push(a.cosign(TEXT, 12).unwrap());
        let twice = twice.with_signatures(&lines).unwrap();
        assert_eq!(two.check(&twice), Err(TransparencyError::NotWitnessed { found: 1, required: 2 }));
        let one = CosignerPolicy::new(known.clone(), 1).unwrap();
        assert_eq!(one.check(&twice).unwrap(), [(a.verifier(), 12)]);
        // Cosigners that nobody knows do not count; none required is none.
        let other = cosigner("d.example", 6);
        assert_eq!(one.check(&note(&[&other], 9)), Err(TransparencyError::NotWitnessed { found: 0, required: 1 }));
        assert!(CosignerPolicy::new(Vec::new(), 0).unwrap().check(&note(&[], 9)).is_ok());
        // A known cosigner whose signature fails condemns the note.
        let mut lines = note(&[&a, &b], 9).signatures().to_vec();
        lines[2].bytes[20] ^= 1;
        assert!(one.check(&twice.with_signatures(&lines).unwrap()).is_err());
    }

    #[test]
    fn a_witness_adds_one_line_for_each_key() {
        let (a, b) = (cosigner("a.example", 3), cosigner("b.example", 4));
        let known = [&a, &b].map(|cosigner| cosigner.verifier().clone()).to_vec();
        let policy = CosignerPolicy::new(known, 2).unwrap();
        let many = (1..=crate::SIGNATURES_MAX as u64)
            .rev()
            .map(|at| a.cosign(TEXT, at).unwrap().to_line())
            .collect::<String>();
        let cosigned = policy.gather(&note(&[], 9), &many).unwrap();
        let cosigned = policy.gather(&cosigned, &b.cosign(TEXT, 7).unwrap().to_line()).unwrap();
        assert_eq!(cosigned.signatures().len(), 3);
        assert_eq!(policy.check(&cosigned).unwrap(), [(a.verifier(), 100), (b.verifier(), 7)]);
    }

    #[test]
    fn policies_that_would_count_wrongly_are_refused() {
        let (a, again) = (cosigner("a.example", 3), cosigner("b.example", 3));
        let log = NoteSigner::new("log.example", SigningKey::from_seed([9; 32])).unwrap();
        assert!(CosignerPolicy::new(vec![a.verifier().clone(), again.verifier().clone()], 1).is_err());
        assert!(CosignerPolicy::new(vec![log.verifier().clone()], 1).is_err());
        assert!(CosignerPolicy::new(vec![a.verifier().clone()], 2).is_err());
        let many = (0..33).map(|seed| cosigner("w.example", seed).verifier().clone()).collect();
        assert!(matches!(CosignerPolicy::new(many, 1), Err(TransparencyError::TooLarge { .. })));
    }

    proptest! {
        #[test]
        fn any_checkpoint_and_instant(size: u64, root: [u8; 32], at in 1..=COSIGNED_AT_MAX, seed: u8) {
            let text = Checkpoint { origin: "o.example".to_owned(), size, root }.to_text();
            let cosigner = cosigner("w.example", seed);
            let line = cosigner.cosign(&text, at).unwrap();
            let note = SignedNote::parse(&format!("{text}\n{}", line.to_line())).unwrap();
            let known = [cosigner.verifier().clone()];
            prop_assert_eq!(note.verify_signatures(&known).unwrap()[0].cosigned_at, Some(at));
        }
    }
}
