use lingqu_crypto::DigestPair;

use crate::TransparencyError;
use crate::error::malformed;

/// How many digest pairs one entry may hold, so that it stays below the 65,535 bytes of an entry bundle's element.
pub const ENTRY_PAIRS_MAX: usize = 1_000;

/// Three letters and the version of the canonical encoding.
const MAGIC: [u8; 4] = *b"LQE\x01";
const HEADER_BYTES: usize = MAGIC.len() + 1 + 8 + 2;

/// Which of the node's two records a log entry commits to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecordKind {
    /// The journal: decisions.
    Journal,
    /// The receipts: deliveries.
    Receipt,
}

impl RecordKind {
    /// The word used in evidence.
    pub fn as_str(self) -> &'static str {
        match self {
            RecordKind::Journal => "journal",
            RecordKind::Receipt => "receipt",
        }
    }

    /// The inverse of [`RecordKind::as_str`].
    pub fn from_word(word: &str) -> Option<RecordKind> {
        match word {
            "journal" => Some(RecordKind::Journal),
            "receipt" => Some(RecordKind::Receipt),
            _ => None,
        }
    }

    fn byte(self) -> u8 {
        match self {
            RecordKind::Journal => 1,
            RecordKind::Receipt => 2,
        }
    }
}

/// One entry of the log: the salted digests of the records of one group commit, which are consecutive.
///
/// It holds nothing but kind, first position and digests. As every record is digested with its own random salt, the
/// entry tells nothing about what was recorded to anyone who has neither record nor salt.
///
/// Canonical encoding, fixed for ever for version 1: `LQE`, the byte 1, the kind (1 journal, 2 receipt), the first
/// position (8 bytes), the number of pairs (2 bytes), both big-endian, then for each pair SHA-256 and SM3 (32 bytes each).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    kind: RecordKind,
    first_position: u64,
    pairs: Vec<DigestPair>,
}

impl LogEntry {
    /// An entry for the records at `first_position`, `first_position + 1` and so on.
    ///
    /// # Errors
    /// Refused without pairs, with more than [`ENTRY_PAIRS_MAX`], or when the last position exceeds 64 bits.
    pub fn new(kind: RecordKind, first_position: u64, pairs: Vec<DigestPair>) -> Result<LogEntry, TransparencyError> {
        if pairs.is_empty() || pairs.len() > ENTRY_PAIRS_MAX {
            return Err(malformed(
                "a log entry",
                format!("it has {} digest pairs, expected 1 to {ENTRY_PAIRS_MAX}", pairs.len()),
            ));
        }
        if first_position.checked_add(pairs.len() as u64 - 1).is_none() {
            return Err(malformed("a log entry", "its last position exceeds 64 bits"));
        }
        Ok(LogEntry { kind, first_position, pairs })
    }

    /// Which record it commits to.
    pub fn kind(&self) -> RecordKind {
        self.kind
    }

    /// The position of the first record.
    pub fn first_position(&self) -> u64 {
        self.first_position
    }

    /// The digest pairs in the order of positions.
    pub fn pairs(&self) -> &[DigestPair] {
        &self.pairs
    }

    /// The digest pair of the record at a position, if this entry commits to it.
    pub fn pair_at(&self, position: u64) -> Option<&DigestPair> {
        let offset = usize::try_from(position.checked_sub(self.first_position)?).ok()?;
        self.pairs.get(offset)
    }

    /// The canonical encoding; at most 64,015 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let count = u16::try_from(self.pairs.len()).expect("an entry has at most 1,000 pairs");
        let mut bytes = Vec::with_capacity(HEADER_BYTES + self.pairs.len() * DigestPair::BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.push(self.kind.byte());
        bytes.extend_from_slice(&self.first_position.to_be_bytes());
        bytes.extend_from_slice(&count.to_be_bytes());
        for pair in &self.pairs {
            bytes.extend_from_slice(&pair.to_bytes());
        }
        bytes
    }

    /// Reads the canonical encoding and nothing else: every accepted input is what [`LogEntry::encode`] would write.
    ///
    /// # Errors
    /// [`TransparencyError::Malformed`] for another version, kind, count or length.
    pub fn decode(bytes: &[u8]) -> Result<LogEntry, TransparencyError> {
        let what = "a log entry";
        let Some((header, body)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(malformed(what, format!("it is shorter than its header of {HEADER_BYTES} bytes")));
        };
        if header[..4] != MAGIC {
            return Err(malformed(what, "it does not begin with LQE and the version 1"));
        }
        let kind = match header[4] {
            1 => RecordKind::Journal,
            2 => RecordKind::Receipt,
            other => return Err(malformed(what, format!("the kind {other} is unknown"))),
        };
        let position: [u8; 8] = header[5..13].try_into().expect("the slice has eight bytes");
        let count = usize::from(u16::from_be_bytes([header[13], header[14]]));
        if body.len() != count * DigestPair::BYTES {
            return Err(malformed(what, format!("{count} pairs do not fill its {} bytes", body.len())));
        }
        let mut pairs = Vec::with_capacity(count);
        for chunk in body.as_chunks::<{ DigestPair::BYTES }>().0 {
            pairs.push(DigestPair::from_bytes(chunk));
        }
        LogEntry::new(kind, u64::from_be_bytes(position), pairs)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_encoding_never_changes() {
        let entry = LogEntry::new(RecordKind::Receipt, 258, vec![DigestPair::of(b"abc")]).unwrap();
        let expected = "4c514501\
                        02\
                        0000000000000102\
                        0001\
                        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad\
                        66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0";
        let hex: String = entry.encode().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }

    #[test]
    fn limits() {
        let pair = DigestPair::of(b"");
        assert!(LogEntry::new(RecordKind::Journal, 0, vec![]).is_err());
        assert!(LogEntry::new(RecordKind::Journal, 0, vec![pair; 1001]).is_err());
        assert!(LogEntry::new(RecordKind::Journal, u64::MAX, vec![pair; 2]).is_err());
        let last = LogEntry::new(RecordKind::Journal, u64::MAX, vec![pair]).unwrap();
        assert_eq!(last.pair_at(u64::MAX), Some(&pair));
        assert_eq!(last.pair_at(u64::MAX - 1), None);
        let largest = LogEntry::new(RecordKind::Journal, 7, vec![pair; 1000]).unwrap().encode();
        assert_eq!(largest.len(), 64_015);
        let largest = LogEntry::decode(&largest).unwrap();
        assert_eq!(largest.pair_at(1_006), Some(&pair));
        assert_eq!(largest.pair_at(1_007), None);
    }

    #[test]
    fn other_encodings_are_refused() {
        let good = LogEntry::new(RecordKind::Journal, 1, vec![DigestPair::of(b"a"); 2]).unwrap().encode();
        for length in 0..good.len() {
            assert!(LogEntry::decode(&good[..length]).is_err());
        }
        assert!(LogEntry::decode(&[&good[..], b"x"].concat()).is_err());
        for (at, value) in [(0, b'l'), (3, 2), (4, 0), (4, 3), (14, 1), (14, 3)] {
            let mut bytes = good.clone();
            bytes[at] = value;
            assert!(LogEntry::decode(&bytes).is_err(), "byte {at} as {value}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_is_canonical(mut bytes: Vec<u8>, with_header: bool) {
            if with_header {
                bytes.splice(..0, *b"LQE\x01\x01\0\0\0\0\0\0\0\0\0\x01");
                bytes.resize(15 + 64, 7);
            }
            if let Ok(entry) = LogEntry::decode(&bytes) {
                prop_assert_eq!(entry.encode(), bytes);
            }
        }
    }
}
