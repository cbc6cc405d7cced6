//! Digests of answers: by which somebody who holds a file or the values that he was sent can show that they are the answer of
//! a receipt, and nobody can guess from the receipt what the answer was.
//!
//! An answer may be as short as "match", so its digest is salted. The salt is derived from that of the request, which stands
//! sealed in the vault under the receipt's id alone; the recipient is told it with the answer. Once the request is erased
//! and the recipient has lost his salt, the digest tells nothing.

use std::fmt;
use std::str::FromStr;

use lingqu_crypto::{Sha256Digest, Sha256Hasher, sha256};
use serde::{Deserialize, Serialize};

/// What stands before the request's salt in the digest that an answer's salt is the beginning of.
const SALT_CONTEXT: &[u8] = b"lingqu answer salt v1\n";
/// What stands before salt, form and plain digest in the digest of an answer.
const ANSWER_CONTEXT: &[u8] = b"lingqu answer v1\n";
/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// What the digest of an answer is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AnswerForm {
    /// The bytes that were sent, as they are before any compression of the connection: of a file its contents.
    Bytes,
    /// The values that were sent, one by one; in receipts of earlier versions.
    Values,
    /// The values that were sent, in blocks, whatever the protocol makes of them: `docs/manual/receipts.md` has their form.
    ValueBlocks,
}

impl AnswerForm {
    /// As it is written.
    pub fn name(self) -> &'static str {
        match self {
            AnswerForm::Bytes => "bytes",
            AnswerForm::Values => "values",
            AnswerForm::ValueBlocks => "value_blocks",
        }
    }
}

/// The salted digest of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AnswerDigest {
    /// What it is of.
    pub form: AnswerForm,
    /// SHA-256, hexadecimal: see [`AnswerSalt::digest`].
    pub sha256: String,
}

/// The salt of an answer's digest.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AnswerSalt([u8; SALT_BYTES]);

impl AnswerSalt {
    /// The salt of the answer to a request with a salt: the first 16 bytes of SHA-256 over a context and it.
    pub fn of_request(request_salt: &[u8; SALT_BYTES]) -> AnswerSalt {
        let digest = sha256(&[SALT_CONTEXT, request_salt].concat());
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&digest.0[..SALT_BYTES]);
        AnswerSalt(salt)
    }

    /// The digest that a receipt has of an answer whose plain SHA-256 is `plain`: SHA-256 over `lingqu answer v1`, a line feed,
    /// the salt, the form's name, a line feed and the 32 bytes of `plain`.
    pub fn digest(&self, form: AnswerForm, plain: &Sha256Digest) -> AnswerDigest {
        let mut hasher = Sha256Hasher::default();
        for part in [ANSWER_CONTEXT, &self.0, form.name().as_bytes(), b"\n", &plain.0] {
            hasher.update(part);
        }
        AnswerDigest { form, sha256: hasher.finish().to_string() }
    }
}

impl fmt::Display for AnswerSalt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

impl fmt::Debug for AnswerSalt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("AnswerSalt")
    }
}

/// A text that is no salt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the salt of an answer is 32 hexadecimal digits, as its header `Answer-Salt` gives them")]
pub struct NotASalt;

impl FromStr for AnswerSalt {
    type Err = NotASalt;

    fn from_str(text: &str) -> Result<AnswerSalt, NotASalt> {
        if text.len() != 2 * SALT_BYTES || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(NotASalt);
        }
        let mut salt = [0; SALT_BYTES];
        for (byte, digits) in salt.iter_mut().zip(text.as_bytes().chunks(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| NotASalt)?;
            *byte = u8::from_str_radix(digits, 16).map_err(|_| NotASalt)?;
        }
        Ok(AnswerSalt(salt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands in receipts for ever: the same bytes give the same digest in every version.
    #[test]
    fn the_digest_never_changes() {
        let salt = AnswerSalt::of_request(&[7; 16]);
        assert_eq!(salt.to_string(), "e225401c42a6039b6c4a167f0fdffdf8");
        let digest = salt.digest(AnswerForm::Bytes, &sha256(b"id,late\n60,true\n"));
        assert_eq!(digest.sha256, "569f41a64d49f89c099e01103c5a5ecc5f4cf44a927a1d8ab15224108dbee9c5");
        assert_eq!(salt.to_string().parse(), Ok(salt));
    }

    #[test]
    fn salt_form_and_answer_all_bear_on_it() {
        let salt = AnswerSalt::of_request(&[7; 16]);
        let digest = salt.digest(AnswerForm::Bytes, &sha256(b"match"));
        assert_ne!(digest.sha256, salt.digest(AnswerForm::Values, &sha256(b"match")).sha256);
        assert_ne!(digest.sha256, salt.digest(AnswerForm::Bytes, &sha256(b"mismatch")).sha256);
        let other = AnswerSalt::of_request(&[8; 16]);
        assert_ne!(digest.sha256, other.digest(AnswerForm::Bytes, &sha256(b"match")).sha256);
        // Who sees the receipt alone can't open it by trying the few answers that there are.
        assert_ne!(digest.sha256, sha256(b"match").to_string());
    }

    #[test]
    fn what_is_no_salt_is_refused() {
        for text in
            ["", "07", "+7070707070707070707070707070707", "0707070707070707070707070707070g", "桂林桂林桂林桂林桂林桂"]
        {
            assert_eq!(text.parse::<AnswerSalt>(), Err(NotASalt), "{text}");
        }
    }
}
