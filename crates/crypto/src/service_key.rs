use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::{CryptoError, Sha256Digest, sha256};

/// What every service key's text starts with, so that scanners of leaked secrets can recognise one.
pub const SERVICE_KEY_PREFIX: &str = "lqk_";

/// The secret by which a program proves that it acts for one order. Shown once, stored only as [`ServiceKey::hash`].
///
/// The key is 256 random bits, so a plain SHA-256 is a safe stored form: nobody can try all keys.
#[derive(Clone)]
pub struct ServiceKey(Zeroizing<[u8; 32]>);

impl ServiceKey {
    /// The key with these bytes, which must be random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The text that the holder keeps: `lqk_` and 43 characters of base64url without padding.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SERVICE_KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(&self.0[..])))
    }

    /// Reads what [`ServiceKey::to_text`] wrote; nothing else, not even surrounding blanks, is accepted.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let refused =
            CryptoError::Malformed { what: "a service key", expected: "`lqk_` and 43 characters of base64url" };
        let Some(encoded) = text.strip_prefix(SERVICE_KEY_PREFIX) else {
            return Err(refused);
        };
        // The length is checked first, so that no more than 32 bytes are ever decoded.
        if encoded.len() != 43 {
            return Err(refused);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut bytes[..]) {
            Ok(32) => Ok(Self(bytes)),
            _ => Err(refused),
        }
    }

    /// The stored form: the SHA-256 digest of the key's 32 bytes.
    pub fn hash(&self) -> Sha256Digest {
        sha256(&self.0[..])
    }
}

impl fmt::Debug for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServiceKey(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answer() {
        let key = ServiceKey::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(&*key.to_text(), "lqk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
        assert_eq!(key.hash().to_string(), "630dcd2966c4336691125448bbb25b4ff412a49c732db2c8abc1b8581bd710dd");
        assert_eq!(format!("{key:?}"), "ServiceKey(hidden)");
    }

    #[test]
    fn other_texts_are_refused() {
        let text = "lqk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
        // The last of 43 characters carries two bits that must be zero, else one key would have four texts.
        let non_canonical = "lqk_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9";
        for other in [non_canonical, &text[4..], &text[..46], "LQK_", "", &format!("{text} ")] {
            assert!(ServiceKey::parse(other).is_err(), "{other}");
        }
    }

    proptest! {
        #[test]
        fn text_round_trips(bytes: [u8; 32]) {
            let key = ServiceKey::from_bytes(bytes);
            let read = ServiceKey::parse(&key.to_text()).unwrap();
            prop_assert_eq!(read.hash(), key.hash());
        }

        #[test]
        fn parsing_never_panics(text: String, tail in "[A-Za-z0-9_=-]{0,60}") {
            let _ = ServiceKey::parse(&text);
            let _ = ServiceKey::parse(&format!("lqk_{tail}"));
        }
    }
}
