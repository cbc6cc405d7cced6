use thiserror::Error;

/// What can go wrong in this room. No variant carries key material, passwords or the bytes that were refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CryptoError {
    /// A text form of a digest, salt, key or signature could not be read.
    #[error("{what} is not well formed: expected {expected}")]
    Malformed {
        /// Which value was read.
        what: &'static str,
        /// The form it must have.
        expected: &'static str,
    },
    /// The bytes are no point of the curve, so no such public key exists.
    #[error("the bytes are not a public key of the {suite} suite")]
    NotAPublicKey {
        /// Name of the suite.
        suite: &'static str,
    },
    /// The number is no private key of the suite.
    #[error("the number is not a private key of the {suite} suite")]
    NotAPrivateKey {
        /// Name of the suite.
        suite: &'static str,
    },
    /// A signature does not fit message and key.
    #[error("the signature does not match the message and the public key")]
    SignatureMismatch,
    /// Sealed bytes were changed, cut, or sealed under another key or other associated data.
    #[error("the sealed bytes cannot be opened: wrong key, wrong context, or changed bytes")]
    CannotOpen,
    /// A password is empty or longer than [`crate::password::PASSWORD_BYTES_MAX`].
    #[error("a password must have between 1 and {bytes_max} bytes")]
    PasswordLength {
        /// The largest accepted length in bytes.
        bytes_max: usize,
    },
    /// A stored password hash asks for another algorithm or more work than this node would spend.
    #[error("the stored password hash is not an argon2id hash within this node's limits; set the password again")]
    PasswordHashRefused,
}
