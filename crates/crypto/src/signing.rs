use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;

use crate::CryptoError;
use crate::text::{bytes_from_hex, serde_as_text};

/// A family of algorithms that are used together. The national suite (SM2, SM3, SM4) joins as a second variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Ed25519 signatures (RFC 8032), SHA-256, AES-256-GCM.
    International,
}

impl Suite {
    /// The name of the signature algorithm, which opens the text form of keys and signatures.
    pub fn signature_name(self) -> &'static str {
        match self {
            Suite::International => "ed25519",
        }
    }
}

/// A private signing key. It never appears in text: `Debug` names only its public half.
pub struct SigningKey(SigningKeyForm);

enum SigningKeyForm {
    International(ed25519_dalek::SigningKey),
}

impl SigningKey {
    /// The key of the international suite that belongs to a seed of 32 random bytes (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = zeroize::Zeroizing::new(seed);
        Self(SigningKeyForm::International(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The suite this key belongs to.
    pub fn suite(&self) -> Suite {
        match self.0 {
            SigningKeyForm::International(_) => Suite::International,
        }
    }

    /// Signs a message; the same key and message always give the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        match &self.0 {
            SigningKeyForm::International(key) => Signature::International(key.sign(message).to_bytes()),
        }
    }

    /// The public half of this key.
    pub fn verifying_key(&self) -> VerifyingKey {
        match &self.0 {
            SigningKeyForm::International(key) => VerifyingKey(VerifyingKeyForm::International(key.verifying_key())),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifying_key())
    }
}

/// A public key. Text form: `ed25519:` and 64 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(VerifyingKeyForm);

#[derive(Clone, PartialEq, Eq)]
enum VerifyingKeyForm {
    International(ed25519_dalek::VerifyingKey),
}

impl VerifyingKey {
    /// Reads a public key of a suite: 32 bytes for the international one. Refuses bytes that are no key.
    pub fn from_bytes(suite: Suite, bytes: &[u8]) -> Result<Self, CryptoError> {
        let refused = CryptoError::NotAPublicKey { suite: suite.signature_name() };
        match suite {
            Suite::International => {
                let Ok(bytes) = bytes.try_into() else {
                    return Err(refused);
                };
                let key = ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| refused.clone())?;
                // A key of small order accepts signatures for messages that nobody signed.
                if key.is_weak() {
                    return Err(refused);
                }
                Ok(Self(VerifyingKeyForm::International(key)))
            }
        }
    }

    /// The suite this key belongs to.
    pub fn suite(&self) -> Suite {
        match self.0 {
            VerifyingKeyForm::International(_) => Suite::International,
        }
    }

    /// The public key's bytes as its suite encodes them (RFC 8032 section 5.1.5: 32 bytes).
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            VerifyingKeyForm::International(key) => key.as_bytes(),
        }
    }

    /// Checks that the holder of the private half signed exactly this message.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), CryptoError> {
        match (&self.0, signature) {
            (VerifyingKeyForm::International(key), Signature::International(bytes)) => {
                // The strict form leaves no second valid signature for a message, which evidence needs.
                key.verify_strict(message, &ed25519_dalek::Signature::from_bytes(bytes))
                    .map_err(|_| CryptoError::SignatureMismatch)
            }
        }
    }
}

impl fmt::Display for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.suite().signature_name(), hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({self})")
    }
}

impl FromStr for VerifyingKey {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let what = "a public key";
        let expected = "`ed25519:` and 64 lower-case hexadecimal digits";
        let digits = text.strip_prefix("ed25519:").ok_or(CryptoError::Malformed { what, expected })?;
        let bytes: [u8; 32] = bytes_from_hex(digits, what, expected)?;
        Self::from_bytes(Suite::International, &bytes)
    }
}

serde_as_text!(VerifyingKey);

/// A signature. Text form: `ed25519:` and 128 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub enum Signature {
    /// Ed25519, 64 bytes (RFC 8032 section 5.1.6).
    International([u8; 64]),
}

impl Signature {
    /// Reads a signature of a suite: 64 bytes for the international one.
    pub fn from_bytes(suite: Suite, bytes: &[u8]) -> Result<Self, CryptoError> {
        match suite {
            Suite::International => match bytes.try_into() {
                Ok(bytes) => Ok(Signature::International(bytes)),
                Err(_) => Err(CryptoError::Malformed { what: "a signature", expected: "64 bytes" }),
            },
        }
    }

    /// The suite this signature belongs to.
    pub fn suite(&self) -> Suite {
        match self {
            Signature::International(_) => Suite::International,
        }
    }

    /// The signature's bytes as its suite encodes them.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Signature::International(bytes) => bytes,
        }
    }
}

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.suite().signature_name(), hex::encode(self.as_bytes()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signature({self})")
    }
}

impl FromStr for Signature {
    type Err = CryptoError;

    fn from_str(text: &str) -> Result<Self, CryptoError> {
        let what = "a signature";
        let expected = "`ed25519:` and 128 lower-case hexadecimal digits";
        let digits = text.strip_prefix("ed25519:").ok_or(CryptoError::Malformed { what, expected })?;
        bytes_from_hex(digits, what, expected).map(Signature::International)
    }
}

serde_as_text!(Signature);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn seed(digits: &str) -> [u8; 32] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    #[test]
    fn known_answers() {
        // RFC 8032 section 7.1, tests 1 and 2.
        let empty = SigningKey::from_seed(seed("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"));
        assert_eq!(
            empty.verifying_key().to_string(),
            "ed25519:d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        );
        assert_eq!(
            empty.sign(b"").to_string(),
            "ed25519:e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        );
        let one_byte = SigningKey::from_seed(seed("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"));
        assert_eq!(
            one_byte.sign(&[0x72]).to_string(),
            "ed25519:92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        );
    }

    #[test]
    fn weak_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        assert!(VerifyingKey::from_bytes(Suite::International, &identity).is_err());
        assert!(VerifyingKey::from_bytes(Suite::International, &[0; 31]).is_err());
        assert!(Signature::from_bytes(Suite::International, &[0; 63]).is_err());
    }

    #[test]
    fn debug_does_not_show_the_seed() {
        assert!(!format!("{:?}", SigningKey::from_seed([7; 32])).contains("0707"));
    }

    proptest! {
        #[test]
        fn a_signature_fits_one_message(
            seed: [u8; 32],
            message in proptest::collection::vec(any::<u8>(), 1..200),
            at: usize,
            bit in 0..8u8,
        ) {
            let key = SigningKey::from_seed(seed);
            let signature = key.sign(&message);
            let public: VerifyingKey = key.verifying_key().to_string().parse().unwrap();
            let signature: Signature = signature.to_string().parse().unwrap();
            prop_assert!(public.verify(&message, &signature).is_ok());

            let mut other = message.clone();
            other[at % message.len()] ^= 1 << bit;
            prop_assert_eq!(public.verify(&other, &signature), Err(CryptoError::SignatureMismatch));

            let mut bytes: [u8; 64] = signature.as_bytes().try_into().unwrap();
            bytes[at % 64] ^= 1 << bit;
            prop_assert!(public.verify(&message, &Signature::International(bytes)).is_err());
        }

        #[test]
        fn reading_never_panics(text: String, bytes: Vec<u8>, key: [u8; 32]) {
            let _ = text.parse::<VerifyingKey>();
            let _ = text.parse::<Signature>();
            let _ = Signature::from_bytes(Suite::International, &bytes);
            if let Ok(key) = VerifyingKey::from_bytes(Suite::International, &key) {
                prop_assert!(key.verify(&bytes, &Signature::International([0x11; 64])).is_err());
            }
        }
    }
}
