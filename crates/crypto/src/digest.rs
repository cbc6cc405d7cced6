use std::fmt;
use std::str::FromStr;

use sha2::Digest as _;

use crate::CryptoError;
use crate::signing::Suite;
use crate::text::{bytes_from_hex, serde_as_text};

/// The SHA-256 digest of `bytes` (FIPS 180-4).
pub fn sha256(bytes: &[u8]) -> Sha256Digest {
    Sha256Digest(sha2::Sha256::digest(bytes).into())
}

/// Digests bytes that come piece by piece, so that they need not be held together.
#[derive(Clone, Debug, Default)]
pub struct Sha256Hasher(sha2::Sha256);

impl Sha256Hasher {
    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything that was taken.
    pub fn finish(self) -> Sha256Digest {
        Sha256Digest(self.0.finalize().into())
    }
}

/// A SHA-256 digest; its text form is 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sha256Digest(pub [u8; 32]);

impl fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

impl FromStr for Sha256Digest {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        bytes_from_hex(text, "a SHA-256 digest", "64 lower-case hexadecimal digits").map(Self)
    }
}

serde_as_text!(Sha256Digest);

/// Sixteen random bytes put before a record when it is digested, so that the digest hides the record.
///
/// Erasing the salt makes the digest meaningless for anybody who does not hold the record. Text form: 32 lower-case
/// hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Salt(pub [u8; 16]);

impl fmt::Display for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Salt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Salt({self})")
    }
}

impl FromStr for Salt {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        bytes_from_hex(text, "a salt", "32 lower-case hexadecimal digits").map(Self)
    }
}

serde_as_text!(Salt);

/// The SHA-256 and the SM3 digest (GB/T 32905) of the same bytes.
///
/// Every log entry carries both, so that the tree of the national suite can later be built over the entries that the
/// international tree already holds. Text form: 64 hexadecimal digits of SHA-256, a colon, 64 digits of SM3.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DigestPair {
    /// The SHA-256 digest.
    pub sha256: [u8; 32],
    /// The SM3 digest.
    pub sm3: [u8; 32],
}

impl DigestPair {
    /// Length of the binary form in bytes.
    pub const BYTES: usize = 64;

    /// Digests `bytes` as they are. For anything that could be guessed use [`DigestPair::of_salted`].
    pub fn of(bytes: &[u8]) -> Self {
        Self { sha256: sha2::Sha256::digest(bytes).into(), sm3: sm3::Sm3::digest(bytes).into() }
    }

    /// Digests the salt followed by the record. The salt has a fixed length, so no two pairs give the same input.
    pub fn of_salted(salt: &Salt, record: &[u8]) -> Self {
        let sha256 = sha2::Sha256::new().chain_update(salt.0).chain_update(record);
        let sm3 = sm3::Sm3::new().chain_update(salt.0).chain_update(record);
        Self { sha256: sha256.finalize().into(), sm3: sm3.finalize().into() }
    }

    /// As [`DigestPair::of_salted`], of many records at once, which costs half.
    pub fn of_salted_all(records: &[(Salt, &[u8])]) -> Vec<Self> {
        let messages: Vec<[&[u8]; 2]> = records.iter().map(|(salt, record)| [&salt.0[..], *record]).collect();
        let pairs = Suite::International.digest_all(&messages).into_iter().zip(Suite::National.digest_all(&messages));
        pairs.map(|(sha256, sm3)| Self { sha256, sm3 }).collect()
    }

    /// The binary form: SHA-256, then SM3.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.sha256);
        bytes[32..].copy_from_slice(&self.sm3);
        bytes
    }

    /// The inverse of [`DigestPair::to_bytes`].
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        let mut pair = Self { sha256: [0; 32], sm3: [0; 32] };
        pair.sha256.copy_from_slice(&bytes[..32]);
        pair.sm3.copy_from_slice(&bytes[32..]);
        pair
    }
}

impl fmt::Display for DigestPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", hex::encode(self.sha256), hex::encode(self.sm3))
    }
}

impl fmt::Debug for DigestPair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DigestPair({self})")
    }
}

impl FromStr for DigestPair {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let what = "a digest pair";
        let expected = "64 hexadecimal digits of SHA-256, a colon and 64 of SM3, in lower case";
        let (sha256, sm3) = text.split_once(':').ok_or(CryptoError::Malformed { what, expected })?;
        Ok(Self { sha256: bytes_from_hex(sha256, what, expected)?, sm3: bytes_from_hex(sm3, what, expected)? })
    }
}

serde_as_text!(DigestPair);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers() {
        // FIPS 180-4 example and GB/T 32905 example A.1, both of "abc".
        let pair = DigestPair::of(b"abc");
        assert_eq!(
            pair.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad:\
             66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
        );
        assert_eq!(sha256(b"abc").0, pair.sha256);
    }

    #[test]
    fn salted_known_answer() {
        // Computed with OpenSSL 3.0 over salt 00..0f followed by "record".
        let salt: Salt = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        assert_eq!(
            DigestPair::of_salted(&salt, b"record").to_string(),
            "99847e4d59bf0ec59ef9ef80aa60d8adbb64f3c641a9c281104fa92557e1b31c:\
             d646203b01bc9c391aaee4792b00a8689f38338aeb410dc26995844601b38b0d"
        );
    }

    #[test]
    fn text_forms_are_strict() {
        assert!("ABCD".repeat(16).parse::<Sha256Digest>().is_err());
        assert!("00".repeat(31).parse::<Sha256Digest>().is_err());
        assert!("00".repeat(33).parse::<Sha256Digest>().is_err());
        assert!("zz".repeat(16).parse::<Salt>().is_err());
        assert!("00".repeat(64).parse::<DigestPair>().is_err());
        assert!(serde_json::from_str::<Salt>("[0]").is_err());
    }

    proptest! {
        #[test]
        fn forms_round_trip(record: Vec<u8>, salt: [u8; 16]) {
            let salt = Salt(salt);
            let pair = DigestPair::of_salted(&salt, &record);
            prop_assert_eq!(DigestPair::of(&[&salt.0[..], &record[..]].concat()), pair);
            prop_assert_eq!(DigestPair::from_bytes(&pair.to_bytes()), pair);
            let mut hasher = Sha256Hasher::default();
            let (left, right) = record.split_at(record.len() / 2);
            hasher.update(left);
            hasher.update(right);
            prop_assert_eq!(hasher.finish(), sha256(&record));
            prop_assert_eq!(DigestPair::of_salted_all(&[(salt, &record), (salt, b""), (salt, &record)])[2], pair);
            let json = serde_json::to_string(&(pair, salt, sha256(&record))).unwrap();
            let back: (DigestPair, Salt, Sha256Digest) = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(back, (pair, salt, sha256(&record)));
        }

        #[test]
        fn parsing_never_panics(text: String) {
            let _ = text.parse::<DigestPair>();
            let _ = text.parse::<Salt>();
            let _ = text.parse::<Sha256Digest>();
        }
    }
}
