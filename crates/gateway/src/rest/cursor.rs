//! Cursors of pages: where the next page begins, bound to the order, its rights and the question.
//!
//! A cursor tells nothing and opens nothing; it is an offset and a digest that says what the offset is of. One of another
//! order, or of a question or rights that have changed since, is refused, because the same offset would be another place.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use lingqu_crypto::sha256;

use crate::delivery::Admission;
use crate::error::GatewayError;

const OFFSET_BYTES: usize = 8;
const DIGEST_BYTES: usize = 16;

/// What a cursor is of.
pub(super) struct CursorBinding([u8; DIGEST_BYTES]);

impl CursorBinding {
    /// `question`: the columns, filters and order of the pages.
    pub(super) fn of(admission: &Admission, question: &str) -> Self {
        Self::of_parts(&[admission.order.as_str(), &admission.serving.policy_digest, question])
    }

    fn of_parts(parts: &[&str]) -> Self {
        let mut bound = b"lingqu cursor v1".to_vec();
        for part in parts {
            bound.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bound.extend_from_slice(part.as_bytes());
        }
        let mut digest = [0; DIGEST_BYTES];
        digest.copy_from_slice(&sha256(&bound).0[..DIGEST_BYTES]);
        Self(digest)
    }

    /// The cursor of an offset.
    pub(super) fn cursor(&self, offset: u64) -> String {
        let mut bytes = offset.to_be_bytes().to_vec();
        bytes.extend_from_slice(&self.0);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The offset of a cursor. Error: `cursor_not_valid`.
    pub(super) fn offset(&self, cursor: &str) -> Result<u64, GatewayError> {
        let bytes = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| GatewayError::CursorNotValid)?;
        let Some((offset, digest)) = bytes.split_first_chunk::<OFFSET_BYTES>() else {
            return Err(GatewayError::CursorNotValid);
        };
        let offset = u64::from_be_bytes(*offset);
        // More would not fit into SQL's whole numbers.
        if digest != self.0 || i64::try_from(offset).is_err() {
            return Err(GatewayError::CursorNotValid);
        }
        Ok(offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_good_for_its_own_question_alone() {
        let mine = CursorBinding::of_parts(&["ord_a", "rights", "question"]);
        let cursor = mine.cursor(100);
        assert_eq!(mine.offset(&cursor).unwrap(), 100);
        for other in [["ord_b", "rights", "question"], ["ord_a", "other", "question"], ["ord_a", "rights", "other"]] {
            assert!(matches!(CursorBinding::of_parts(&other).offset(&cursor), Err(GatewayError::CursorNotValid)));
        }
        // Where one part ends and the next begins is bound too.
        assert!(CursorBinding::of_parts(&["ord_", "arights", "question"]).offset(&cursor).is_err());
        for broken in ["", "AAAA", "!", &cursor[..cursor.len() - 1], &format!("{cursor}A")] {
            assert!(mine.offset(broken).is_err(), "{broken}");
        }
        assert!(mine.offset(&mine.cursor(u64::MAX)).is_err());
    }
}
