//! The keys that sign notes, and their text form (C2SP signed-note, "Signature types" and "Verifier keys").

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lingqu_crypto::{Signature, SigningKey, Suite, VerifyingKey, sha256};

use crate::cosignature::{cosigned_message, split_timestamp};
use crate::error::malformed;
use crate::{NoteSignature, TransparencyError};

/// The type of the cosignatures with ML-DSA-44 (tlog-cosignature). It is kept free for them and not supported yet.
const TYPE_ML_DSA_44: u8 = 0x06;

/// How a signature is made and what it says (signed-note, "Signature types").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NoteKeyType {
    /// Ed25519 over the text; type 0x01.
    Ed25519,
    /// SM2 with SM3 over the text; type 0xff and `lingqu.node/sm2-sm3-v1`.
    Sm2,
    /// Ed25519 over instant and text (tlog-cosignature, "Ed25519 signed message"); type 0x04.
    Ed25519Cosignature,
    /// SM2 with SM3 over the same message as [`NoteKeyType::Ed25519Cosignature`]; type 0xff and
    /// `lingqu.node/sm2-sm3-cosignature-v1`.
    Sm2Cosignature,
}

impl NoteKeyType {
    const ALL: [NoteKeyType; 4] =
        [NoteKeyType::Ed25519, NoteKeyType::Sm2, NoteKeyType::Ed25519Cosignature, NoteKeyType::Sm2Cosignature];

    /// The identifier that stands before the public key. Types without a number of the specification begin with 0xff and
    /// have a longer identifier; no identifier is the beginning of another.
    pub fn identifier(self) -> &'static [u8] {
        match self {
            NoteKeyType::Ed25519 => b"\x01",
            NoteKeyType::Ed25519Cosignature => b"\x04",
            NoteKeyType::Sm2 => b"\xfflingqu.node/sm2-sm3-v1",
            NoteKeyType::Sm2Cosignature => b"\xfflingqu.node/sm2-sm3-cosignature-v1",
        }
    }

    /// The suite of its keys; a log's tree is of the suite of its key.
    pub fn suite(self) -> Suite {
        match self {
            NoteKeyType::Ed25519 | NoteKeyType::Ed25519Cosignature => Suite::International,
            NoteKeyType::Sm2 | NoteKeyType::Sm2Cosignature => Suite::National,
        }
    }

    /// Whether its signatures are a cosigner's, with the instant of signing.
    pub fn is_cosignature(self) -> bool {
        matches!(self, NoteKeyType::Ed25519Cosignature | NoteKeyType::Sm2Cosignature)
    }
}

/// A key that signs notes under a name.
#[derive(Debug)]
pub struct NoteSigner {
    verifier: NoteVerifier,
    key: SigningKey,
}

impl NoteSigner {
    /// A signer of this name, which should be a URL without scheme.
    ///
    /// # Errors
    /// Refused when the name is empty or has blanks, plus signs or control characters.
    pub fn new(name: &str, key: SigningKey) -> Result<NoteSigner, TransparencyError> {
        let verifier = NoteVerifier::new(name, key.verifying_key())?;
        Ok(NoteSigner { verifier, key })
    }

    /// The public half, whose text form is given to those who verify.
    pub fn verifier(&self) -> &NoteVerifier {
        &self.verifier
    }

    pub(crate) fn sign(&self, text: &str) -> NoteSignature {
        NoteSignature {
            name: self.verifier.name.clone(),
            key_id: self.verifier.key_id(),
            bytes: self.key.sign(text.as_bytes()).as_bytes().to_vec(),
        }
    }
}

/// A public key under a name. Text form (vkey): name, key id in hexadecimal, base64 of type and key, joined by `+`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    key_type: NoteKeyType,
    key: VerifyingKey,
    /// The log whose checkpoints it signs, where that has another name than the key.
    origin: Option<String>,
}

impl NoteVerifier {
    /// A verifier of this name for texts signed as they are; see [`NoteSigner::new`] for names.
    pub fn new(name: &str, key: VerifyingKey) -> Result<NoteVerifier, TransparencyError> {
        let key_type = match key.suite() {
            Suite::International => NoteKeyType::Ed25519,
            Suite::National => NoteKeyType::Sm2,
        };
        NoteVerifier::of_type(name, key_type, key)
    }

    /// A verifier of a cosigner's signatures over checkpoints; see [`NoteSigner::new`] for names.
    pub fn cosigner(name: &str, key: VerifyingKey) -> Result<NoteVerifier, TransparencyError> {
        let key_type = match key.suite() {
            Suite::International => NoteKeyType::Ed25519Cosignature,
            Suite::National => NoteKeyType::Sm2Cosignature,
        };
        NoteVerifier::of_type(name, key_type, key)
    }

    fn of_type(name: &str, key_type: NoteKeyType, key: VerifyingKey) -> Result<NoteVerifier, TransparencyError> {
        check_name(name)?;
        Ok(NoteVerifier { name: name.to_owned(), key_type, key, origin: None })
    }

    /// The same key for a log of another name: tlog-checkpoint recommends that both are one, and some logs differ. The key's
    /// text form does not tell the log's name, so who gives the key gives that, too.
    #[must_use]
    pub fn of_log(self, origin: &str) -> NoteVerifier {
        NoteVerifier { origin: (origin != self.name).then(|| origin.to_owned()), ..self }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name of the log whose checkpoints it signs: that of the key unless [`NoteVerifier::of_log`] said otherwise.
    pub fn origin(&self) -> &str {
        self.origin.as_deref().unwrap_or(&self.name)
    }

    /// How its signatures are made.
    pub fn key_type(&self) -> NoteKeyType {
        self.key_type
    }

    /// The public key.
    pub fn key(&self) -> &VerifyingKey {
        &self.key
    }

    /// The first four bytes of SHA-256 over name, newline, type and key (signed-note, "Signatures"). It is SHA-256 for keys
    /// of either suite: an identifier, which protects nothing.
    pub fn key_id(&self) -> u32 {
        let mut input = self.name.as_bytes().to_vec();
        input.push(b'\n');
        input.extend_from_slice(&self.typed_key());
        let digest = sha256(&input).0;
        u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
    }

    fn typed_key(&self) -> Vec<u8> {
        let mut typed = self.key_type.identifier().to_vec();
        typed.extend_from_slice(self.key.as_bytes());
        typed
    }

    pub(crate) fn is_of(&self, signature: &NoteSignature) -> bool {
        signature.name == self.name && signature.key_id == self.key_id()
    }

    /// Whether the bytes are this key's signature of the text; the instant inside for a cosigner's.
    pub(crate) fn check(&self, text: &str, bytes: &[u8]) -> Option<Option<u64>> {
        let (cosigned_at, message, bytes) = if self.key_type.is_cosignature() {
            let (time, bytes) = split_timestamp(bytes)?;
            (Some(time), cosigned_message(text, time), bytes)
        } else {
            (None, text.to_owned(), bytes)
        };
        let signature = Signature::from_bytes(self.key_type.suite(), bytes).ok()?;
        self.key.verify(message.as_bytes(), &signature).ok()?;
        Some(cosigned_at)
    }
}

impl fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{:08x}+{}", self.name, self.key_id(), STANDARD.encode(self.typed_key()))
    }
}

impl FromStr for NoteVerifier {
    type Err = TransparencyError;

    fn from_str(text: &str) -> Result<NoteVerifier, TransparencyError> {
        let refused = |problem: &str| malformed("a verifier key", problem);
        let form = "expected name+id+key with an Ed25519 or SM2 key of a log or a cosigner";
        // The key is base64 and may contain plus signs itself.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(refused(form));
        };
        let typed = STANDARD.decode(key).map_err(|_| refused(form))?;
        if typed.first() == Some(&TYPE_ML_DSA_44) {
            return Err(refused("it is of type 6, ML-DSA-44, which this version does not verify; use an Ed25519 key"));
        }
        let found = NoteKeyType::ALL.into_iter().find_map(|kind| Some((kind, typed.strip_prefix(kind.identifier())?)));
        let (key_type, key) = found.ok_or_else(|| refused(form))?;
        let key = VerifyingKey::from_bytes(key_type.suite(), key).map_err(|_| refused(form))?;
        let verifier = NoteVerifier::of_type(name, key_type, key)?;
        if id != format!("{:08x}", verifier.key_id()) {
            return Err(refused("the key id does not belong to name and key"));
        }
        Ok(verifier)
    }
}

pub(crate) fn check_name(name: &str) -> Result<(), TransparencyError> {
    // Control characters below the blank stand in no note; others the specification allows.
    let barred = |c: char| c.is_whitespace() || c < ' ' || c == '+';
    if name.is_empty() || name.contains(barred) {
        return Err(malformed("a key name", "it must not be empty or hold blanks, plus signs or control characters"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{SignedNote, sign_note};

    #[test]
    fn identifiers_can_be_told_apart() {
        for one in NoteKeyType::ALL {
            for other in NoteKeyType::ALL {
                assert_eq!(one.identifier().starts_with(other.identifier()), one == other);
            }
            assert_ne!(one.identifier()[0], TYPE_ML_DSA_44);
        }
    }

    #[test]
    fn an_sm2_line_stands_beside_an_ed25519_line() {
        let international = NoteSigner::new("node.example/log", SigningKey::from_seed([1; 32])).unwrap();
        let key = SigningKey::national_from_seed([1; 32]).unwrap();
        let national = NoteSigner::new("node.example/log", key).unwrap();
        let note = sign_note("text\n", &[&international, &national]).unwrap();
        let note = SignedNote::parse(&note).unwrap();
        for verifier in [international.verifier(), national.verifier()] {
            // Who knows one key ignores the other's line.
            assert_eq!(note.verify(std::slice::from_ref(verifier)).unwrap(), [verifier]);
            assert_eq!(&verifier.to_string().parse::<NoteVerifier>().unwrap(), verifier);
        }
        let both = [international.verifier().clone(), national.verifier().clone()];
        assert_eq!(note.verify(&both).unwrap().len(), 2);
        assert_ne!(both[0].key_id(), both[1].key_id());
        // Written down, so that a change of identifier or encoding shows.
        assert_eq!(
            national.verifier().to_string(),
            "node.example/log+25a371be+/2xpbmdxdS5ub2RlL3NtMi1zbTMtdjEEW+oSoOFnZuV7Kp4e0o9Zf2gyLKrPJLKQ2fIZUD1o7hI9OFrND0OG2Jwn\
             viWbrrPC4jGcym0O1OA4SKbruow1ew=="
        );
    }

    #[test]
    fn a_program_without_the_suite_says_so() {
        // The key of the test above, which is on the curve.
        let vkey = "node.example/log+25a371be+/2xpbmdxdS5ub2RlL3NtMi1zbTMtdjEEW+oSoOFnZuV7Kp4e0o9Zf2gyLKrPJLKQ2fIZUD1o7hI9OFrND0OG2Jwn\
                    viWbrrPC4jGcym0O1OA4SKbruow1ew==";
        match vkey.parse::<NoteVerifier>() {
            Ok(verifier) => assert_eq!(verifier.key_type(), NoteKeyType::Sm2),
            Err(error) => assert!(error.to_string().contains("built without"), "{error}"),
        }
    }

    #[test]
    fn one_key_has_an_id_for_each_type() {
        let key = SigningKey::from_seed([1; 32]).verifying_key();
        let log = NoteVerifier::new("a.example", key.clone()).unwrap();
        let cosigner = NoteVerifier::cosigner("a.example", key).unwrap();
        assert_ne!(log.key_id(), cosigner.key_id());
        assert_eq!(cosigner.to_string().parse::<NoteVerifier>().unwrap().key_type(), NoteKeyType::Ed25519Cosignature);
    }

    #[test]
    fn keys_of_other_types_are_refused() {
        for typed in [&[0x02][..], &[0x03], &[0x05], &[0xfa], &[0xff], b"\xffother.example/sig", &[]] {
            let vkey = format!("a.example+00000000+{}", STANDARD.encode([typed, &[7; 32]].concat()));
            assert!(vkey.parse::<NoteVerifier>().is_err());
        }
        let vkey = format!("a.example+00000000+{}", STANDARD.encode([&[6][..], &[7; 1312]].concat()));
        assert!(vkey.parse::<NoteVerifier>().unwrap_err().to_string().contains("ML-DSA-44"));
    }
}
