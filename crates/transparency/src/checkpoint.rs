use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::error::malformed;
use crate::{Hash, NoteSigner, NoteVerifier, SignedNote, TransparencyError, sign_note};

/// The head of a log: how many entries it has and the root over them (C2SP tlog-checkpoint v1.0.0, "Note text").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The name of the log, which is also the name of its key unless that says otherwise ([`NoteVerifier::of_log`]).
    pub origin: String,
    /// How many entries.
    pub size: u64,
    /// The root hash.
    pub root: Hash,
}

impl Checkpoint {
    /// The note text: three lines and no extension lines, which nobody could audit.
    pub fn to_text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, STANDARD.encode(self.root))
    }

    /// Reads a note text. Extension lines are accepted and not interpreted.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] with the line that is wrong.
    pub fn from_text(text: &str) -> Result<Checkpoint, TransparencyError> {
        let refused = |problem: &str| malformed("a checkpoint", problem);
        let lines: Vec<&str> =
            text.strip_suffix('\n').ok_or_else(|| refused("it does not end in a newline"))?.split('\n').collect();
        let [origin, size, root, extensions @ ..] = &lines[..] else {
            return Err(refused("it has fewer than three lines"));
        };
        if origin.is_empty() {
            return Err(refused("line 1, the origin, is empty"));
        }
        if extensions.iter().any(|line| line.is_empty()) {
            return Err(refused("an extension line is empty"));
        }
        let size = parse_decimal(size).ok_or_else(|| refused("line 2 is not a tree size"))?;
        let root = parse_hash(root).ok_or_else(|| refused("line 3 is not a root hash in base64"))?;
        Ok(Checkpoint { origin: (*origin).to_owned(), size, root })
    }

    /// Signs the checkpoint. The caller makes sure that it is consistent with every one signed before.
    ///
    /// # Errors
    /// [`TransparencyError::OtherLog`] when the signer's name is not the origin.
    pub fn sign(&self, signer: &NoteSigner) -> Result<String, TransparencyError> {
        self.check_origin(signer.verifier().name())?;
        sign_note(&self.to_text(), &[signer])
    }

    /// Reads a signed checkpoint of the log whose key is `log`, whatever witnesses signed it too.
    ///
    /// # Errors
    /// What [`SignedNote::parse`] and [`SignedNote::verify`] refuse, [`TransparencyError::OtherLog`] for another origin.
    pub fn open(note: &str, log: &NoteVerifier) -> Result<Checkpoint, TransparencyError> {
        let note = SignedNote::parse(note)?;
        note.verify(std::slice::from_ref(log))?;
        let checkpoint = Checkpoint::from_text(note.text())?;
        checkpoint.check_origin(log.origin())?;
        Ok(checkpoint)
    }

    fn check_origin(&self, expected: &str) -> Result<(), TransparencyError> {
        if self.origin == expected {
            return Ok(());
        }
        Err(TransparencyError::OtherLog { found: self.origin.clone(), expected: expected.to_owned() })
    }
}

/// A decimal number without sign or leading zeros.
pub(crate) fn parse_decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

/// A hash in standard base64.
pub(crate) fn parse_hash(text: &str) -> Option<Hash> {
    if text.len() != 44 {
        return None;
    }
    STANDARD.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use lingqu_crypto::SigningKey;
    use proptest::prelude::*;

    use super::*;

    fn signer(name: &str, seed: u8) -> NoteSigner {
        NoteSigner::new(name, SigningKey::from_seed([seed; 32])).unwrap()
    }

    #[test]
    fn the_example_of_the_specification() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint = Checkpoint::from_text(text).unwrap();
        assert_eq!(checkpoint.origin, "example.com/behind-the-sofa");
        assert_eq!(checkpoint.size, 20_852_163);
        assert_eq!(checkpoint.to_text(), text);
        assert_eq!(Checkpoint::from_text(&format!("{text}extension\n")).unwrap(), checkpoint);
    }

    #[test]
    fn signed_ones_open_with_the_log_s_key_only() {
        let node = signer("node.example/log", 1);
        let checkpoint = Checkpoint { origin: "node.example/log".to_owned(), size: 0, root: crate::empty_root() };
        // A file made by this crate, kept to notice any change of the format.
        let note = checkpoint.sign(&node).unwrap();
        assert_eq!(note, include_str!("../golden/checkpoint.txt"));
        assert_eq!(Checkpoint::open(&note, node.verifier()).unwrap(), checkpoint);
        assert!(Checkpoint::open(&note, signer("node.example/log", 2).verifier()).is_err());
        assert!(Checkpoint::open(&note.replacen("\n0\n", "\n1\n", 1), node.verifier()).is_err());
        let other = signer("other.example/log", 1);
        assert!(matches!(checkpoint.sign(&other), Err(TransparencyError::OtherLog { .. })));
        // The key of one log does not vouch for another, even when it signed.
        let foreign = sign_note(&checkpoint.to_text(), &[&other]).unwrap();
        assert!(matches!(Checkpoint::open(&foreign, other.verifier()), Err(TransparencyError::OtherLog { .. })));
        // Said to be of that log, the key opens its checkpoints and no others.
        let named = other.verifier().clone().of_log(&checkpoint.origin);
        assert_eq!(Checkpoint::open(&foreign, &named).unwrap(), checkpoint);
        assert_eq!((named.name(), named.to_string()), (other.verifier().name(), other.verifier().to_string()));
        let elsewhere = other.verifier().clone().of_log("log.example/elsewhere");
        assert!(matches!(Checkpoint::open(&foreign, &elsewhere), Err(TransparencyError::OtherLog { .. })));
    }

    #[test]
    fn other_forms_are_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            String::new(),
            "\n".to_owned(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n18446744073709551616\n{root}\n"),
            format!("o\n1\n{}\n", &root[1..]),
            format!("o\n1\n{}\n", root.replace("I=", "J=")),
            format!("o\n1\n{root}\n\n"),
        ] {
            assert!(Checkpoint::from_text(&text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn texts_round_trip(origin in "[^\\x00-\\x1f]{1,30}", size: u64, root: [u8; 32]) {
            let checkpoint = Checkpoint { origin, size, root };
            prop_assert_eq!(Checkpoint::from_text(&checkpoint.to_text()), Ok(checkpoint));
        }

        #[test]
        fn reading_never_panics(text: String, near in "a\n[0-9]{0,25}\n[A-Za-z=]{40,48}\n{0,2}") {
            let _ = Checkpoint::from_text(&text);
            let _ = Checkpoint::from_text(&near);
            let _ = Checkpoint::open(&text, signer("a", 1).verifier());
        }
    }
}
