use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::text::{bytes_from_hex, serde_as_text};

/// The key of a blind index: it turns an identity into a digest that only holders of the key can compute.
///
/// A plain digest of an identity number could be reversed by trying all numbers; this one can't without the key.
#[derive(Clone)]
pub struct IndexKey(Zeroizing<[u8; 32]>);

impl IndexKey {
    /// The key with these bytes, which must be random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// HMAC-SHA256 (RFC 2104) over the length of `context` (4 bytes, big-endian), `context`, and `value`.
    ///
    /// The same value in two contexts gives unrelated digests, so indexes of two tables can't be joined.
    pub fn digest(&self, context: &str, value: &[u8]) -> KeyedDigest {
        let length = u32::try_from(context.len()).expect("a context is a short literal of the program");
        KeyedDigest(hmac_sha256(&self.0[..], &[&length.to_be_bytes(), context.as_bytes(), value]))
    }
}

impl fmt::Debug for IndexKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("IndexKey(hidden)")
    }
}

/// A digest under an [`IndexKey`]; compared in constant time. Text form: 64 lower-case hexadecimal digits.
#[expect(clippy::derived_hash_with_manual_eq, reason = "equality is the derived one, only in constant time")]
#[derive(Clone, Copy, PartialOrd, Ord, Hash, Eq)]
pub struct KeyedDigest(pub [u8; 32]);

impl PartialEq for KeyedDigest {
    fn eq(&self, other: &Self) -> bool {
        constant_time_equal(&self.0, &other.0)
    }
}

impl fmt::Display for KeyedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for KeyedDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedDigest({self})")
    }
}

impl FromStr for KeyedDigest {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        bytes_from_hex(text, "a keyed digest", "64 lower-case hexadecimal digits").map(Self)
    }
}

serde_as_text!(KeyedDigest);

/// Whether two byte strings are equal, in a time that depends on their lengths alone.
pub fn constant_time_equal(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes a key of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn hmac_known_answers() {
        // RFC 4231 sections 4.2 and 4.3.
        assert_eq!(
            hex::encode(hmac_sha256(&[0x0b; 20], &[b"Hi There"])),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"
        );
        assert_eq!(
            hex::encode(hmac_sha256(b"Jefe", &[b"what do ya want ", b"for nothing?"])),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }

    #[test]
    fn index_known_answer() {
        // Computed with another implementation from the definition above.
        let digest = IndexKey::from_bytes([7; 32]).digest("subject", b"450100199001011234");
        assert_eq!(digest.to_string(), "3e42358adb9e4ed64a93107e90510943393fdb6f309943135858ad1f3f163606");
        assert_eq!(digest.to_string().parse(), Ok(digest));
    }

    proptest! {
        #[test]
        fn contexts_and_keys_separate(key: [u8; 32], value: Vec<u8>) {
            let index = IndexKey::from_bytes(key);
            let digest = index.digest("subject", &value);
            prop_assert_eq!(digest, index.digest("subject", &value));
            prop_assert_ne!(digest, index.digest("subjec", &[b"t", &value[..]].concat()));
            let mut other = key;
            other[0] ^= 1;
            prop_assert_ne!(digest, IndexKey::from_bytes(other).digest("subject", &value));
        }

        #[test]
        fn equality_is_equality(left: Vec<u8>, right: Vec<u8>) {
            prop_assert_eq!(constant_time_equal(&left, &right), left == right);
            prop_assert!(constant_time_equal(&left, &left.clone()));
        }
    }
}
