//! The cryptographic primitives of Lingqu, each behind a small type with one use.
//!
//! This room is for digests ([`DigestPair`], [`Salt`], [`Sha256Digest`]), signatures of two suites ([`SigningKey`],
//! [`VerifyingKey`], [`Suite`]), sealing of personal data ([`SealKey`]), blind indexes ([`IndexKey`]), SM4 as a keyed
//! function ([`Sm4Key`]), passwords ([`password`]), service keys ([`ServiceKey`]) and what verifies one without holding it
//! ([`ScramVerifier`]). It is not for key storage, formats of notes or logs, or any decision about who may do what. It
//! performs no I/O and draws no randomness: seeds, nonces and salts come in as arguments, bytes and text go out, and secrets
//! are wiped from memory when they are dropped.

mod digest;
mod error;
mod keyed;
mod national;
pub mod password;
mod scram;
mod seal;
mod service_key;
mod signing;
mod sm3_lanes;
mod sm4;
mod text;

pub use digest::{DigestPair, Salt, Sha256Digest, Sha256Hasher, sha256};
pub use error::CryptoError;
pub use keyed::{IndexKey, KeyedDigest, constant_time_equal};
pub use national::SM2_DISTINGUISHING_ID;
pub use scram::{SCRAM_ITERATIONS, ScramVerifier};
pub use seal::{SEAL_NONCE_BYTES, SEAL_OVERHEAD_BYTES, SealKey};
pub use service_key::{SERVICE_KEY_PREFIX, ServiceKey};
pub use signing::{Signature, SigningKey, Suite, VerifyingKey};
pub use sm4::{SM4_BLOCK_BYTES, Sm4Key};
