use lingqu_crypto::Suite;

use crate::error::malformed;
use crate::{Hash, TransparencyError};

/// Three letters and the version of the canonical encoding.
const MAGIC: [u8; 4] = *b"LQR\x01";
const HASH_BYTES: usize = 32;

/// What the name of a log's twin over SM3 has behind the log's own name.
const TWIN_SUFFIX: &str = "/sm3";

/// The longest name of a log that an entry holds, in bytes.
const ORIGIN_BYTES_MAX: usize = 255;

/// The name of the twin log over SM3 that belongs to a log over SHA-256.
pub fn twin_origin(origin: &str) -> String {
    format!("{origin}{TWIN_SUFFIX}")
}

/// The entry that ties a log and its twin to each other: the roots of both at a size that was published.
///
/// Both logs have the same entries, so both hold it. It is appended after each published size and before the next, so that
/// whoever holds checkpoints of one log can tell a twin that was forked, and the reverse.
///
/// Canonical encoding, fixed for ever for version 1: `LQR`, the byte 1, the size (8 bytes, big-endian), the root over
/// SHA-256, the root over SM3 (32 bytes each), the length of the log's name (1 byte), the name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RootsEntry {
    origin: String,
    size: u64,
    international: Hash,
    national: Hash,
}

impl RootsEntry {
    /// The roots that the log named `origin` and its twin have at a size.
    ///
    /// # Errors
    /// Refused when the name is empty, longer than 255 bytes, or holds a control character.
    pub fn new(origin: &str, size: u64, international: Hash, national: Hash) -> Result<RootsEntry, TransparencyError> {
        if origin.is_empty() || origin.len() > ORIGIN_BYTES_MAX || origin.contains(char::is_control) {
            let problem =
                format!("the log's name must be one line of 1 to {ORIGIN_BYTES_MAX} bytes without control characters");
            return Err(malformed(WHAT, problem));
        }
        Ok(RootsEntry { origin: origin.to_owned(), size, international, national })
    }

    /// The name of the log over SHA-256.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The size at which the roots stand.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root of the suite's log.
    pub fn root_of(&self, suite: Suite) -> &Hash {
        match suite {
            Suite::International => &self.international,
            Suite::National => &self.national,
        }
    }

    /// Checks that the entry is about these two logs, in either order.
    ///
    /// # Errors
    /// [`TransparencyError::OtherLog`].
    pub fn check_twin(&self, log: &str, other: &str) -> Result<(), TransparencyError> {
        let mut names = [self.origin.clone(), twin_origin(&self.origin)];
        let mut given = [log, other];
        names.sort_unstable();
        given.sort_unstable();
        if names == given {
            return Ok(());
        }
        Err(TransparencyError::OtherLog { found: self.origin.clone(), expected: log.to_owned() })
    }

    /// Whether an entry of a log claims to be of this kind.
    pub fn is_named_by(entry: &[u8]) -> bool {
        entry.starts_with(&MAGIC[..3])
    }

    /// The canonical encoding.
    pub fn encode(&self) -> Vec<u8> {
        let length = u8::try_from(self.origin.len()).expect("the name has at most 255 bytes");
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.international);
        bytes.extend_from_slice(&self.national);
        bytes.push(length);
        bytes.extend_from_slice(self.origin.as_bytes());
        bytes
    }

    /// Reads the canonical encoding and nothing else: every accepted input is what [`RootsEntry::encode`] would write.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] for another version or length.
    pub fn decode(bytes: &[u8]) -> Result<RootsEntry, TransparencyError> {
        let short = || malformed(WHAT, "it is cut off");
        let rest = bytes
            .strip_prefix(&MAGIC)
            .ok_or_else(|| malformed(WHAT, "it does not begin with LQR and the version 1"))?;
        let (size, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
        let (international, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or_else(short)?;
        let (national, rest) = rest.split_first_chunk::<HASH_BYTES>().ok_or_else(short)?;
        let (length, name) = rest.split_first().ok_or_else(short)?;
        if name.len() != usize::from(*length) {
            return Err(malformed(WHAT, format!("the name has {} bytes instead of {length}", name.len())));
        }
        let origin = std::str::from_utf8(name).map_err(|_| malformed(WHAT, "the log's name is no text"))?;
        RootsEntry::new(origin, u64::from_be_bytes(*size), *international, *national)
    }
}

const WHAT: &str = "an entry of both roots";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_encoding_never_changes() {
        let entry = RootsEntry::new("a/b", 258, [0x11; 32], [0x22; 32]).unwrap();
        let hex: String = entry.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, format!("4c515201{}{}{}03612f62", "0000000000000102", "11".repeat(32), "22".repeat(32)));
        assert!(RootsEntry::is_named_by(&entry.encode()));
    }

    #[test]
    fn other_encodings_are_refused() {
        let good = RootsEntry::new("node.example/log", 1, [1; 32], [2; 32]).unwrap().encode();
        for length in 0..good.len() {
            assert!(RootsEntry::decode(&good[..length]).is_err());
        }
        assert!(RootsEntry::decode(&[&good[..], b"x"].concat()).is_err());
        for (at, value) in
            [(0, b'l'), (3, 2), (76, 0), (76, 15), (77, b'\n'), (77, 0), (77, 0x1b), (77, 0x7f), (77, 0xff)]
        {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert!(RootsEntry::decode(&bytes).is_err(), "byte {at} as {value}");
        }
        assert!(RootsEntry::new(&"x".repeat(256), 1, [1; 32], [2; 32]).is_err());
        assert!(RootsEntry::new("", 1, [1; 32], [2; 32]).is_err());
        // A control character of two bytes, which a terminal takes for the beginning of a command.
        assert!(RootsEntry::new("node.example/\u{9b}2J", 1, [1; 32], [2; 32]).is_err());
        // The other kind of entry is not mistaken for this one.
        assert!(!RootsEntry::is_named_by(b"LQE\x01"));
    }

    #[test]
    fn names_of_the_pair() {
        let entry = RootsEntry::new("a.example", 1, [1; 32], [2; 32]).unwrap();
        assert!(entry.check_twin("a.example", "a.example/sm3").is_ok());
        assert!(entry.check_twin("a.example/sm3", "a.example").is_ok());
        assert!(entry.check_twin("a.example", "b.example/sm3").is_err());
        assert!(entry.check_twin("a.example", "a.example").is_err());
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_canonical(mut bytes: Vec<u8>, with_header: bool) {
            if with_header {
                bytes.splice(..0, *b"LQR\x01");
                bytes.resize(4 + 8 + 64, 7);
                bytes.extend_from_slice(b"\x02ab");
            }
            if let Ok(entry) = RootsEntry::decode(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }
}
