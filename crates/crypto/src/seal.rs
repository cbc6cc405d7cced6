use std::fmt;

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::CryptoError;

/// Length in bytes of the nonce that opens every sealed value.
pub const SEAL_NONCE_BYTES: usize = 12;

/// How many bytes a sealed value is longer than what it holds: the nonce and the tag of 16 bytes.
pub const SEAL_OVERHEAD_BYTES: usize = SEAL_NONCE_BYTES + 16;

/// A 256-bit key that seals values with AES-256-GCM (NIST SP 800-38D). Wiped from memory when dropped.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// The key with these bytes, which must be random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key of its own for a context, by HKDF-SHA256 (RFC 5869) without salt; the info is `lingqu/v1/` and the context.
    ///
    /// Keys of different contexts tell nothing about each other or about this key, so a subject's sealed data can be
    /// erased by forgetting the one key that opens it.
    pub fn derive(&self, context: &str) -> SealKey {
        let mut derived = Zeroizing::new([0; 32]);
        expand(&self.0[..], &[b"lingqu/v1/", context.as_bytes()], &mut derived[..]);
        SealKey(derived)
    }

    /// Seals `plain`; the result is nonce, ciphertext and tag. `aad` is not in it but must be the same to open it.
    ///
    /// A nonce must never be used twice under one key: draw it at random and keep each key below 2^32 values
    /// (NIST SP 800-38D section 8.3).
    ///
    /// # Panics
    /// When `plain` has 64 GiB or more, the limit of the algorithm; callers bound their values far below it.
    pub fn seal(&self, nonce: [u8; SEAL_NONCE_BYTES], aad: &[u8], plain: &[u8]) -> Vec<u8> {
        let ciphertext = self
            .cipher()
            .encrypt(&Nonce::from(nonce), Payload { msg: plain, aad })
            .expect("AES-GCM fails to encrypt only above its limit of 64 GiB, documented above");
        let mut sealed = Vec::with_capacity(SEAL_NONCE_BYTES + ciphertext.len());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&ciphertext);
        sealed
    }

    /// Opens what [`SealKey::seal`] made with the same key and `aad`.
    ///
    /// # Errors
    /// [`CryptoError::CannotOpen`] for any change, without saying which, as the algorithm cannot know.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
        let Some((nonce, ciphertext)) = sealed.split_first_chunk::<SEAL_NONCE_BYTES>() else {
            return Err(CryptoError::CannotOpen);
        };
        let payload = Payload { msg: ciphertext, aad };
        match self.cipher().decrypt(&Nonce::from(*nonce), payload) {
            Ok(plain) => Ok(Zeroizing::new(plain)),
            Err(_) => Err(CryptoError::CannotOpen),
        }
    }

    fn cipher(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.0).into())
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey(hidden)")
    }
}

fn expand(key: &[u8], info: &[&[u8]], out: &mut [u8]) {
    Hkdf::<Sha256>::new(None, key)
        .expand_multi_info(info, out)
        .expect("HKDF-SHA256 gives up to 8,160 bytes and far fewer are asked for");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn aes_gcm_known_answers() {
        // The GCM specification of McGrew and Viega, test cases 14 and 16; nonce in front as this room stores it.
        let zero = SealKey::from_bytes([0; 32]).seal([0; 12], b"", &[0; 16]);
        assert_eq!(hex::encode(&zero[12..]), "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
        let key = "feffe9928665731c6d6a8f9467308308".repeat(2);
        let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
                     1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
        let aad = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
        let sealed = SealKey::from_bytes(hex::decode(key).unwrap().try_into().unwrap()).seal(
            hex::decode("cafebabefacedbaddecaf888").unwrap().try_into().unwrap(),
            &hex::decode(aad).unwrap(),
            &hex::decode(plain).unwrap(),
        );
        assert_eq!(
            hex::encode(sealed),
            "cafebabefacedbaddecaf888\
             522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa\
             8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b"
        );
    }

    #[test]
    fn hkdf_known_answers() {
        // RFC 5869 appendix A.3 (no salt, no info), and a derived key computed with another implementation.
        let mut out = [0; 42];
        expand(&[0x0b; 22], &[], &mut out);
        assert_eq!(
            hex::encode(out),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
        );
        let key: [u8; 32] = std::array::from_fn(|i| i as u8);
        assert_eq!(
            hex::encode(*SealKey::from_bytes(key).derive("vault").0),
            "c2d6e3db5d9a02c4c9a59cb39078f2cee92b779d02ff7e746da1af434ec201cd"
        );
    }

    proptest! {
        #[test]
        fn only_the_same_key_context_and_bytes_open(
            key: [u8; 32],
            nonce: [u8; 12],
            aad: Vec<u8>,
            plain: Vec<u8>,
            at: usize,
            bit in 0..8u8,
        ) {
            let key = SealKey::from_bytes(key);
            let sealed = key.seal(nonce, &aad, &plain);
            prop_assert_eq!(sealed.len(), plain.len() + SEAL_OVERHEAD_BYTES);
            let opened = key.open(&aad, &sealed);
            prop_assert_eq!(opened.as_deref().map(Vec::as_slice), Ok(&plain[..]));
            prop_assert!(key.derive("other").open(&aad, &sealed).is_err());
            prop_assert!(key.open(&[&aad[..], b"x"].concat(), &sealed).is_err());
            let mut changed = sealed;
            let at = at % changed.len();
            changed[at] ^= 1 << bit;
            prop_assert!(key.open(&aad, &changed).is_err());
        }

        #[test]
        fn opening_never_panics(sealed: Vec<u8>) {
            prop_assert!(SealKey::from_bytes([1; 32]).open(b"", &sealed).is_err());
        }
    }
}
