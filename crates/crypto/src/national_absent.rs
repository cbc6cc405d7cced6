//! What stands for SM2 in a program that was built without it: keys of which there are none.

use crate::CryptoError;
use crate::signing::VerifyingKeyForm;

pub(crate) const IS_BUILT_IN: bool = false;

/// A public key: 04 and both coordinates (GM/T 0009 section 6.2).
pub(crate) const PUBLIC_KEY_BYTES: usize = 65;

const ABSENT: CryptoError = CryptoError::NotBuiltIn { suite: "sm2" };

pub(crate) enum PrivateKey {}

impl PrivateKey {
    pub(crate) fn from_scalar(_: &[u8; 32]) -> Result<PrivateKey, CryptoError> {
        Err(ABSENT)
    }

    pub(crate) fn from_seed(_: &[u8; 32]) -> Result<PrivateKey, CryptoError> {
        Err(ABSENT)
    }

    pub(crate) fn public(&self) -> VerifyingKeyForm {
        match *self {}
    }

    pub(crate) fn sign(&self, _: &[u8]) -> [u8; 64] {
        match *self {}
    }
}

#[derive(Clone, PartialEq, Eq)]
pub(crate) enum PublicForm {}

impl PublicForm {
    pub(crate) fn from_bytes(_: &[u8]) -> Result<PublicForm, CryptoError> {
        Err(ABSENT)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        match *self {}
    }

    pub(crate) fn verify(&self, _: &[u8], _: &[u8; 64]) -> Result<(), CryptoError> {
        match *self {}
    }
}

#[cfg(test)]
mod tests {
    use super::ABSENT;
    use crate::{SigningKey, Suite, VerifyingKey};

    #[test]
    fn keys_are_refused_by_saying_why() {
        assert_eq!(SigningKey::national_from_seed([1; 32]).err(), Some(ABSENT));
        assert_eq!(SigningKey::from_sm2_scalar([1; 32]).err(), Some(ABSENT));
        assert_eq!(VerifyingKey::from_bytes(Suite::National, &[4; 65]), Err(ABSENT));
        assert!(!Suite::National.is_built_in() && Suite::International.is_built_in());
    }
}
