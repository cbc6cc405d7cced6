//! Commitments to keys: made at delivery and logged, opened for one case only.

use lingqu_crypto::{DigestPair, Salt};

use crate::error::FingerprintError;
use crate::keys::{KeyUse, MarkKey};

/// What is logged at delivery, before anything could leak: a salted digest pair of a key and of what it is for.
///
/// It hides the key and binds to it, so nobody can fit a code to a suspect afterwards. Positions, recipient and order each
/// have their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Commitment(pub DigestPair);

/// What is disclosed for a case: the key and the salt. Everything else of the record is public.
#[derive(Debug, Clone)]
pub struct Opening {
    /// The key that was committed to.
    pub key: MarkKey,
    /// The salt that was drawn at random for this commitment alone.
    pub salt: Salt,
}

impl Commitment {
    /// The commitment to a key and its use under a salt that is random and used once.
    pub fn of(key: &MarkKey, key_use: &KeyUse<'_>, salt: &Salt) -> Self {
        let mut record = b"lingqu/fingerprint/commitment/v1\0".to_vec();
        record.extend_from_slice(&key_use.encode(key.profile()));
        record.extend_from_slice(key.as_bytes());
        Self(DigestPair::of_salted(salt, &record))
    }

    /// Whether a disclosed key is the one that was committed to, for this very use.
    ///
    /// # Errors
    /// [`FingerprintError::CommitmentMismatch`] when it is not.
    pub fn verify(&self, opening: &Opening, key_use: &KeyUse<'_>) -> Result<(), FingerprintError> {
        if Self::of(&opening.key, key_use, &opening.salt) == *self {
            Ok(())
        } else {
            Err(FingerprintError::CommitmentMismatch)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::keys::Profile;

    proptest! {
        #[test]
        fn only_the_committed_key_use_and_salt_open(key: [u8; 32], salt: [u8; 16], at in 0..32usize) {
            let key_use = KeyUse::Recipient { table: "flights", recipient: "pty_a" };
            let opening = |key, salt| Opening { key: MarkKey::from_bytes(Profile::Aes, key), salt: Salt(salt) };
            let honest = opening(key, salt);
            let commitment = Commitment::of(&honest.key, &key_use, &honest.salt);
            prop_assert_eq!(commitment.verify(&honest, &key_use), Ok(()));
            let refused = Err(FingerprintError::CommitmentMismatch);
            let mut other = key;
            other[at] ^= 1;
            prop_assert_eq!(commitment.verify(&opening(other, salt), &key_use), refused.clone());
            let mut other = salt;
            other[at % 16] ^= 1;
            prop_assert_eq!(commitment.verify(&opening(key, other), &key_use), refused.clone());
            let suspect = KeyUse::Recipient { table: "flights", recipient: "pty_b" };
            prop_assert_eq!(commitment.verify(&honest, &suspect), refused.clone());
            let national = Opening { key: MarkKey::from_bytes(Profile::Sm4, key), salt: Salt(salt) };
            prop_assert_eq!(commitment.verify(&national, &key_use), refused);
        }
    }
}
