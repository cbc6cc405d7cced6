use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;

use crate::CryptoError;
use crate::national::{PUBLIC_KEY_BYTES, PrivateKey, PublicForm};
use crate::sm3_lanes;
use crate::text::{bytes_from_hex, serde_as_text};

/// A family of algorithms that are used together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// Ed25519 signatures (RFC 8032), SHA-256, AES-256-GCM.
    International,
    /// SM2 signatures (GB/T 32918), SM3 (GB/T 32905), SM4 (GB/T 32907).
    National,
}

impl Suite {
    /// The name of the signature algorithm, which opens the text form of keys and signatures.
    pub fn signature_name(self) -> &'static str {
        match self {
            Suite::International => "ed25519",
            Suite::National => "sm2",
        }
    }

    /// The suite's digest of the parts one after the other, of 32 bytes: SHA-256 (FIPS 180-4) or SM3 (GB/T 32905).
    ///
    /// Nothing marks where a part ends; the caller makes sure that no two inputs read the same.
    pub fn digest(self, parts: &[&[u8]]) -> [u8; 32] {
        match self {
            Suite::International => digest_of::<sha2::Sha256>(parts),
            Suite::National => digest_of::<sm3::Sm3>(parts),
        }
    }

    /// The digests of messages that are given in two parts each, as [`Suite::digest`] gives them one by one. SM3 takes a third of the
    /// time so.
    pub fn digest_all(self, messages: &[[&[u8]; 2]]) -> Vec<[u8; 32]> {
        match self {
            Suite::International => messages.iter().map(|parts| self.digest(parts)).collect(),
            Suite::National => sm3_lanes::digest_all(messages),
        }
    }

    fn forms(self) -> TextForms {
        match self {
            Suite::International => TextForms {
                key: "`ed25519:` and 64 lower-case hexadecimal digits",
                signature: "`ed25519:` and 128 lower-case hexadecimal digits",
            },
            Suite::National => TextForms {
                key: "`sm2:` and 130 lower-case hexadecimal digits",
                signature: "`sm2:` and 128 lower-case hexadecimal digits",
            },
        }
    }

    /// The suite that the text form of a key or signature names, and what follows the name.
    fn of_text(text: &str) -> Option<(Suite, &str)> {
        [Suite::International, Suite::National]
            .into_iter()
            .find_map(|suite| Some((suite, text.strip_prefix(suite.signature_name())?.strip_prefix(':')?)))
    }
}

/// What the text forms of a suite look like, for errors.
struct TextForms {
    key: &'static str,
    signature: &'static str,
}

fn digest_of<D: sha2::Digest>(parts: &[&[u8]]) -> [u8; 32]
where
    [u8; 32]: From<sha2::digest::Output<D>>,
{
    let mut digest = D::new();
    for part in parts {
        digest.update(part);
    }
    digest.finalize().into()
}

/// A private signing key. It never appears in text: `Debug` names only its public half.
pub struct SigningKey(SigningKeyForm);

enum SigningKeyForm {
    /// Boxed, as it is much larger than a key of the other suite.
    International(Box<ed25519_dalek::SigningKey>),
    National(PrivateKey),
}

impl SigningKey {
    /// The key of the international suite that belongs to a seed of 32 random bytes (RFC 8032 section 5.1.5).
    pub fn from_seed(seed: [u8; 32]) -> Self {
        let seed = zeroize::Zeroizing::new(seed);
        Self(SigningKeyForm::International(Box::new(ed25519_dalek::SigningKey::from_bytes(&seed))))
    }

    /// The key of the national suite that belongs to a seed of 32 random bytes: the number that HKDF with SM3 gives for it.
    ///
    /// # Errors
    /// [`CryptoError::NotAPrivateKey`] for one seed in 2^256.
    pub fn national_from_seed(seed: [u8; 32]) -> Result<Self, CryptoError> {
        let seed = zeroize::Zeroizing::new(seed);
        Ok(Self(SigningKeyForm::National(PrivateKey::from_seed(&seed)?)))
    }

    /// The SM2 key with this number, big-endian, as other programs and the standard's examples state it.
    ///
    /// # Errors
    /// [`CryptoError::NotAPrivateKey`] when it is not between 1 and the group's order less 2 (GB/T 32918.1 section 6.1).
    pub fn from_sm2_scalar(scalar: [u8; 32]) -> Result<Self, CryptoError> {
        let scalar = zeroize::Zeroizing::new(scalar);
        Ok(Self(SigningKeyForm::National(PrivateKey::from_scalar(&scalar)?)))
    }

    /// The suite this key belongs to.
    pub fn suite(&self) -> Suite {
        match self.0 {
            SigningKeyForm::International(_) => Suite::International,
            SigningKeyForm::National(_) => Suite::National,
        }
    }

    /// Signs a message; the same key and message always give the same signature.
    pub fn sign(&self, message: &[u8]) -> Signature {
        match &self.0 {
            SigningKeyForm::International(key) => Signature::International(key.sign(message).to_bytes()),
            SigningKeyForm::National(key) => Signature::National(key.sign(message)),
        }
    }

    /// The public half of this key.
    pub fn verifying_key(&self) -> VerifyingKey {
        VerifyingKey(match &self.0 {
            SigningKeyForm::International(key) => VerifyingKeyForm::International(key.verifying_key()),
            SigningKeyForm::National(key) => key.public(),
        })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.verifying_key())
    }
}

/// A public key. Text form: `ed25519:` and 64 lower-case hexadecimal digits, or `sm2:` and 130.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifyingKey(VerifyingKeyForm);

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum VerifyingKeyForm {
    International(ed25519_dalek::VerifyingKey),
    National(PublicForm),
}

impl VerifyingKey {
    /// Reads a public key of a suite: 32 bytes for the international one; 65 for the national one, 04 and both coordinates
    /// (GM/T 0009 section 6.2). Refuses bytes that are no key.
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
            Suite::National => Ok(Self(VerifyingKeyForm::National(PublicForm::from_bytes(bytes)?))),
        }
    }

    /// The suite this key belongs to.
    pub fn suite(&self) -> Suite {
        match self.0 {
            VerifyingKeyForm::International(_) => Suite::International,
            VerifyingKeyForm::National(_) => Suite::National,
        }
    }

    /// The public key's bytes as its suite encodes them (RFC 8032 section 5.1.5: 32 bytes; GM/T 0009 section 6.2: 65).
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            VerifyingKeyForm::International(key) => key.as_bytes(),
            VerifyingKeyForm::National(key) => key.as_bytes(),
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
            (VerifyingKeyForm::National(key), Signature::National(bytes)) => key.verify(message, bytes),
            (VerifyingKeyForm::International(_), Signature::National(_))
            | (VerifyingKeyForm::National(_), Signature::International(_)) => Err(CryptoError::SignatureMismatch),
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
        let expected = "`ed25519:` or `sm2:` and lower-case hexadecimal digits";
        let (suite, digits) = Suite::of_text(text).ok_or(CryptoError::Malformed { what, expected })?;
        let expected = suite.forms().key;
        match suite {
            Suite::International => Self::from_bytes(suite, &bytes_from_hex::<32>(digits, what, expected)?),
            Suite::National => Self::from_bytes(suite, &bytes_from_hex::<PUBLIC_KEY_BYTES>(digits, what, expected)?),
        }
    }
}

serde_as_text!(VerifyingKey);

/// A signature. Text form: `ed25519:` or `sm2:` and 128 lower-case hexadecimal digits.
#[derive(Clone, PartialEq, Eq)]
pub enum Signature {
    /// Ed25519, 64 bytes (RFC 8032 section 5.1.6).
    International([u8; 64]),
    /// SM2, r and s of 32 bytes each, big-endian (GB/T 32918.2 section 6.1; not the DER form of certificates).
    National([u8; 64]),
}

impl Signature {
    /// Reads a signature of a suite: 64 bytes for either.
    pub fn from_bytes(suite: Suite, bytes: &[u8]) -> Result<Self, CryptoError> {
        let refused = |_| CryptoError::Malformed { what: "a signature", expected: "64 bytes" };
        let bytes = bytes.try_into().map_err(refused)?;
        Ok(Self::of(suite, bytes))
    }

    fn of(suite: Suite, bytes: [u8; 64]) -> Self {
        match suite {
            Suite::International => Signature::International(bytes),
            Suite::National => Signature::National(bytes),
        }
    }

    /// The suite this signature belongs to.
    pub fn suite(&self) -> Suite {
        match self {
            Signature::International(_) => Suite::International,
            Signature::National(_) => Suite::National,
        }
    }

    /// The signature's bytes as its suite encodes them.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Signature::International(bytes) | Signature::National(bytes) => bytes,
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
        let expected = "`ed25519:` or `sm2:` and 128 lower-case hexadecimal digits";
        let (suite, digits) = Suite::of_text(text).ok_or(CryptoError::Malformed { what, expected })?;
        Ok(Self::of(suite, bytes_from_hex(digits, what, suite.forms().signature)?))
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
