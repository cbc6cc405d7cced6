//! Signed notes (C2SP signed-note v1.0.0).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::malformed;
use crate::note_key::check_name;
use crate::{NoteSigner, NoteVerifier, TransparencyError};

/// The largest note that is read, in bytes.
pub const NOTE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many signature lines are read; the specification asks for at least 16.
pub const SIGNATURES_MAX: usize = 100;

/// Signs a text; the result is text, blank line, one line per signer.
///
/// # Errors
/// Refused when the text is empty, does not end in a newline or has other control characters, without signers or with
/// more than [`SIGNATURES_MAX`], or above [`NOTE_BYTES_MAX`].
pub fn sign_note(text: &str, signers: &[&NoteSigner]) -> Result<String, TransparencyError> {
    let mut note = format!("{text}\n");
    for signer in signers {
        note += &signer.sign(text).to_line();
    }
    // Reading it back applies the rules of the format once, for writers and readers alike.
    SignedNote::parse(&note)?;
    Ok(note)
}

/// A note as read; nothing in it may be believed before [`SignedNote::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedNote {
    text: String,
    signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// Its id.
    pub key_id: u32,
    /// The signature's bytes, as the key's type defines them.
    pub bytes: Vec<u8>,
}

impl SignedNote {
    /// Reads a note (signed-note, "Format").
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] with the line that is wrong, [`TransparencyError::TooLarge`].
    pub fn parse(note: &str) -> Result<SignedNote, TransparencyError> {
        let what = "a signed note";
        if note.len() > NOTE_BYTES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the length of a signed note in bytes",
                limit: NOTE_BYTES_MAX as u64,
            });
        }
        if note.bytes().any(|byte| byte < b' ' && byte != b'\n') {
            return Err(malformed(what, "it has control characters other than newline"));
        }
        // The last blank line separates, as the text may have blank lines of its own.
        let Some(at) = note.rfind("\n\n") else {
            return Err(malformed(what, "no blank line separates text and signatures"));
        };
        let (text, lines) = (&note[..=at], &note[at + 2..]);
        let Some(lines) = lines.strip_suffix('\n') else {
            return Err(malformed(what, "it does not end in a signature line and a newline"));
        };
        let signatures = parse_lines(what, lines)?;
        Ok(SignedNote { text: text.to_owned(), signatures })
    }

    /// The signed text with its final newline.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The note again, with these signatures instead of its own.
    ///
    /// # Errors
    /// As [`SignedNote::parse`].
    pub fn with_signatures(&self, signatures: &[NoteSignature]) -> Result<SignedNote, TransparencyError> {
        let note = SignedNote { text: self.text.clone(), signatures: signatures.to_vec() };
        SignedNote::parse(&note.to_text())
    }

    /// The note as it is handed on.
    pub fn to_text(&self) -> String {
        let mut note = format!("{}\n", self.text);
        for signature in &self.signatures {
            note += &signature.to_line();
        }
        note
    }

    /// The signature lines in their order, of known and unknown keys.
    pub fn signatures(&self) -> &[NoteSignature] {
        &self.signatures
    }

    /// Checks every signature of a known key and returns those keys; lines of unknown keys are ignored.
    ///
    /// # Errors
    /// [`TransparencyError::NotSigned`] when a known key's signature fails or no known key signed.
    pub fn verify<'k>(&self, known: &'k [NoteVerifier]) -> Result<Vec<&'k NoteVerifier>, TransparencyError> {
        let mut verified: Vec<&NoteVerifier> = Vec::new();
        for signature in self.verify_signatures(known)? {
            if !verified.contains(&signature.verifier) {
                verified.push(signature.verifier);
            }
        }
        Ok(verified)
    }

    /// Checks every signature of a known key and returns those signatures in the note's order, with what they state beside
    /// the text; lines of unknown keys are ignored.
    ///
    /// # Errors
    /// [`TransparencyError::NotSigned`] when a known key's signature fails or no known key signed.
    pub fn verify_signatures<'k>(
        &self,
        known: &'k [NoteVerifier],
    ) -> Result<Vec<VerifiedSignature<'k, '_>>, TransparencyError> {
        let mut verified = Vec::new();
        for signature in &self.signatures {
            let Some(verifier) = known.iter().find(|verifier| verifier.is_of(signature)) else {
                continue;
            };
            let Some(cosigned_at) = verifier.check(&self.text, &signature.bytes) else {
                return Err(TransparencyError::NotSigned {
                    problem: format!("the signature of `{}` does not fit the text", verifier.name()),
                });
            };
            verified.push(VerifiedSignature { verifier, signature, cosigned_at });
        }
        if verified.is_empty() {
            return Err(TransparencyError::NotSigned {
                problem: "none of its signatures is by a known key".to_owned(),
            });
        }
        Ok(verified)
    }
}

/// A signature of a known key that fits the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedSignature<'k, 'n> {
    /// The known key.
    pub verifier: &'k NoteVerifier,
    /// The line it stands in.
    pub signature: &'n NoteSignature,
    /// When a cosigner says that it signed, in seconds since 1970; `None` for keys of logs.
    pub cosigned_at: Option<u64>,
}

impl NoteSignature {
    /// The signature line with its newline.
    pub fn to_line(&self) -> String {
        let mut blob = self.key_id.to_be_bytes().to_vec();
        blob.extend_from_slice(&self.bytes);
        format!("— {} {}\n", self.name, STANDARD.encode(blob))
    }

    /// Reads signature lines without a note around them, as a witness answers (tlog-witness, "add-checkpoint").
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] with the line that is wrong, or when there is none; [`TransparencyError::TooLarge`]
    /// above [`SIGNATURES_MAX`] lines.
    pub fn parse_lines(text: &str) -> Result<Vec<NoteSignature>, TransparencyError> {
        let what = "a list of signature lines";
        let Some(lines) = text.strip_suffix('\n') else {
            return Err(malformed(what, "it does not end in a newline"));
        };
        parse_lines(what, lines)
    }

    fn parse(line: &str) -> Option<NoteSignature> {
        let (name, encoded) = line.strip_prefix("— ")?.split_once(' ')?;
        check_name(name).ok()?;
        let blob = STANDARD.decode(encoded).ok()?;
        let (key_id, bytes) = blob.split_first_chunk::<4>()?;
        if bytes.is_empty() {
            return None;
        }
        Some(NoteSignature { name: name.to_owned(), key_id: u32::from_be_bytes(*key_id), bytes: bytes.to_vec() })
    }
}

fn parse_lines(what: &'static str, lines: &str) -> Result<Vec<NoteSignature>, TransparencyError> {
    let mut signatures = Vec::new();
    for (number, line) in lines.split('\n').enumerate() {
        if number == SIGNATURES_MAX {
            return Err(TransparencyError::TooLarge {
                what: "the number of signatures of a note",
                limit: SIGNATURES_MAX as u64,
            });
        }
        let signature = NoteSignature::parse(line)
            .ok_or_else(|| malformed(what, format!("signature line {} is wrong", number + 1)))?;
        signatures.push(signature);
    }
    Ok(signatures)
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::SigningKey;
    use proptest::prelude::*;

    use super::*;

    // The example of the documentation of Go's package golang.org/x/mod/sumdb/note.
    const GO_VKEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const GO_SEED: [u8; 32] = [
        0x81, 0x0a, 0x14, 0x02, 0xd5, 0x14, 0x6c, 0x8d, 0x84, 0xf2, 0x44, 0x33, 0x30, 0xf5, 0x40, 0x80, 0xeb, 0xf9,
        0x8e, 0xe1, 0x7d, 0x9c, 0x74, 0xf6, 0x25, 0x2f, 0xc5, 0xd5, 0xc7, 0x28, 0x31, 0x73,
    ];
    const GO_NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\
        \n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";

    #[test]
    fn the_examples_of_the_specification() {
        // C2SP signed-note, "Verifier keys", "Example".
        let vkey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k";
        let note = "This is an example message.\n\n\
                    — example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n";
        let verifier: NoteVerifier = vkey.parse().unwrap();
        assert_eq!(verifier.to_string(), vkey);
        let parsed = SignedNote::parse(note).unwrap();
        assert_eq!(parsed.verify(std::slice::from_ref(&verifier)).unwrap(), [&verifier]);
        assert_eq!(parsed.to_text(), note);
        let other = SignedNote::parse(&note.replacen("This", "That", 1)).unwrap();
        assert!(other.verify(std::slice::from_ref(&verifier)).is_err());
        // The note that opens the specification: its text has a blank line, its key is not given.
        let poem = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n\
                    — quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";
        let parsed = SignedNote::parse(poem).unwrap();
        assert_eq!(parsed.text().lines().count(), 4);
        assert_eq!(parsed.signatures()[0].name, "quasimodo.example/salvatore");
        assert_eq!(parsed.to_text(), poem);
    }

    fn signer(name: &str, seed: u8) -> NoteSigner {
        NoteSigner::new(name, SigningKey::from_seed([seed; 32])).unwrap()
    }

    #[test]
    fn the_example_of_go() {
        let verifier: NoteVerifier = GO_VKEY.parse().unwrap();
        assert_eq!(verifier.to_string(), GO_VKEY);
        let note = SignedNote::parse(GO_NOTE).unwrap();
        assert_eq!(note.verify(std::slice::from_ref(&verifier)).unwrap(), [&verifier]);
        let signer = NoteSigner::new("PeterNeumann", SigningKey::from_seed(GO_SEED)).unwrap();
        assert_eq!(signer.verifier(), &verifier);
        assert_eq!(sign_note(note.text(), &[&signer]).unwrap(), GO_NOTE);
    }

    #[test]
    fn unknown_keys_are_ignored_and_failing_known_ones_are_not() {
        let (node, witness, other) = (signer("node", 1), signer("witness", 2), signer("node", 3));
        let note = sign_note("text\n\nmore\n", &[&node, &witness, &other]).unwrap();
        let note = SignedNote::parse(&note).unwrap();
        assert_eq!(note.text(), "text\n\nmore\n");
        let known = [node.verifier().clone(), witness.verifier().clone()];
        assert_eq!(note.verify(&known).unwrap().len(), 2);
        assert!(note.verify(&[signer("witness", 9).verifier().clone()]).is_err());
        assert!(note.verify(&[]).is_err());

        let mut changed = note.clone();
        changed.signatures[1].bytes[5] ^= 1;
        assert!(changed.verify(&known).is_err());
        assert!(changed.verify(&known[..1]).is_ok());
    }

    #[test]
    fn sixteen_signatures_are_accepted_and_a_flood_is_not() {
        let signers: Vec<NoteSigner> = (0..101).map(|n| signer(&format!("k{n}"), n)).collect();
        let all: Vec<&NoteSigner> = signers.iter().collect();
        let note = sign_note("text\n", &all[..100]).unwrap();
        let note = SignedNote::parse(&note).unwrap();
        assert!(note.verify(&[all[99].verifier().clone()]).is_ok());
        assert!(matches!(sign_note("text\n", &all), Err(TransparencyError::TooLarge { .. })));
    }

    #[test]
    fn other_forms_are_refused() {
        let node = signer("node", 1);
        for text in ["", "text", "te\txt\n", "te\rxt\n"] {
            assert!(sign_note(text, &[&node]).is_err(), "{text:?}");
        }
        assert!(sign_note("text\n", &[]).is_err());
        let good = sign_note("text\n", &[&node]).unwrap();
        for (from, to) in [("\n\n", "\n"), ("— ", "- "), ("node ", "no de "), ("node ", "no+de "), ("=\n", "=")] {
            assert!(SignedNote::parse(&good.replace(from, to)).is_err(), "{from:?}");
        }
        for name in ["", "a b", "a+b", "a\u{3000}b", "a\nb"] {
            assert!(NoteSigner::new(name, SigningKey::from_seed([0; 32])).is_err());
        }
        let vkey = node.verifier().to_string();
        assert!(vkey.replacen("node", "nose", 1).parse::<NoteVerifier>().is_err());
        assert!("node+00000000".parse::<NoteVerifier>().is_err());
    }

    proptest! {
        #[test]
        fn notes_round_trip(text in "[^\\x00-\\x1f]{0,40}(\n[^\\x00-\\x1f]{0,40}){0,5}", seed: u8) {
            let node = signer("node.example/1", seed);
            let text = format!("{text}\n");
            // A text that is one empty line and a text that ends in a blank line are still texts.
            let note = sign_note(&text, &[&node]).unwrap();
            let note = SignedNote::parse(&note).unwrap();
            prop_assert_eq!(note.text(), &text);
            prop_assert!(note.verify(&[node.verifier().clone()]).is_ok());
            let vkey = node.verifier().to_string();
            prop_assert_eq!(&vkey.parse::<NoteVerifier>().unwrap(), node.verifier());
        }

        #[test]
        fn reading_never_panics(text: String, near in "[a\n]{0,5}\n\n(— [a-z]{0,3} [A-Za-z=/+]{0,12}\n?){0,3}") {
            let _ = SignedNote::parse(&text);
            let _ = SignedNote::parse(&near);
            let _ = text.parse::<NoteVerifier>();
            let _ = format!("a+{text}").parse::<NoteVerifier>();
        }
    }
}
