//! Pseudonyms: HMAC-SHA256 of a value's text, cut to 128 bits, in hex.
//!
//! Values come again and again: of a third of a million flights there are four thousand aircraft. So what was made is kept for
//! as long as its plan runs, up to a limit, and no longer: it holds values as they are.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::{Array, ArrayRef, AsArray, StringArray};
use arrow::buffer::{Buffer, OffsetBuffer};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use datafusion::common::HashMap;
use datafusion::error::Result as DataFusionResult;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Bytes of a pseudonym before it is written as hex.
const DIGEST_BYTES: usize = 16;
/// Bytes of a pseudonym.
pub(super) const PSEUDONYM_BYTES: usize = 2 * DIGEST_BYTES;
/// Most pseudonyms that are kept at a time, by each of the threads that make them.
const KEPT_MAX: usize = 16_384;
/// Longest text whose pseudonym is kept. With the number above this bounds what is held to about 2 MB a thread.
const KEPT_TEXT_BYTES_MAX: usize = 64;
/// After so many values it is looked at whether keeping is worth its while.
const TRIED: usize = 32_768;
/// It is where at least one value of so many had come before.
const WORTH: usize = 4;
/// Most sets of what was made that wait for a thread to go on with them.
const WAITING_MAX: usize = 16;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// The pseudonyms under one key.
#[derive(Clone)]
pub(super) struct Pseudonyms {
    key: [u8; 32],
    /// What was made, for whichever thread comes next; clones share it. None: nothing is kept.
    made: Option<Arc<Mutex<Vec<Made>>>>,
}

impl Pseudonyms {
    pub(super) fn new(key: [u8; 32]) -> Pseudonyms {
        Pseudonyms { key, made: None }
    }

    /// The same, keeping what was made until it is dropped.
    pub(super) fn keeping(&self) -> Pseudonyms {
        Pseudonyms { key: self.key, made: Some(Arc::default()) }
    }

    /// The pseudonyms of values; what is missing stays missing.
    pub(super) fn of(&self, values: &ArrayRef) -> DataFusionResult<ArrayRef> {
        let keyed = Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of every length");
        let texts = cast(values, &DataType::Utf8)?;
        let texts = texts.as_string::<i32>();
        let mut bytes = Vec::with_capacity(texts.len() * PSEUDONYM_BYTES);
        match &self.made {
            None => {
                for text in texts.iter().flatten() {
                    bytes.extend_from_slice(&pseudonym(&keyed, text));
                }
            }
            Some(shared) => {
                let mut made = waiting(shared).pop().unwrap_or_default();
                for text in texts.iter().flatten() {
                    bytes.extend_from_slice(&made.pseudonym(&keyed, text));
                }
                let mut waiting = waiting(shared);
                if waiting.len() < WAITING_MAX {
                    waiting.push(made);
                }
            }
        }
        let lengths = (0..texts.len()).map(|row| if texts.is_null(row) { 0 } else { PSEUDONYM_BYTES });
        let offsets = OffsetBuffer::from_lengths(lengths);
        Ok(Arc::new(StringArray::try_new(offsets, Buffer::from_vec(bytes), texts.nulls().cloned())?))
    }
}

fn waiting(shared: &Mutex<Vec<Made>>) -> MutexGuard<'_, Vec<Made>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartialEq for Pseudonyms {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl Eq for Pseudonyms {}

impl Hash for Pseudonyms {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

impl fmt::Debug for Pseudonyms {
    /// Neither the key nor a value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Pseudonyms")
    }
}

/// Pseudonyms that were made, by their texts.
#[derive(Default)]
struct Made {
    by_text: HashMap<Box<str>, [u8; PSEUDONYM_BYTES]>,
    asked: usize,
    found: usize,
}

impl Made {
    fn pseudonym(&mut self, keyed: &Hmac<Sha256>, text: &str) -> [u8; PSEUDONYM_BYTES] {
        if text.len() > KEPT_TEXT_BYTES_MAX || !self.is_worth_it() {
            return pseudonym(keyed, text);
        }
        self.asked += 1;
        if let Some(known) = self.by_text.get(text) {
            self.found += 1;
            return *known;
        }
        let made = pseudonym(keyed, text);
        if self.by_text.len() < KEPT_MAX {
            self.by_text.insert(text.into(), made);
        }
        made
    }

    /// False for a column of which nearly every value is a new one; what was kept of it is let go.
    fn is_worth_it(&mut self) -> bool {
        let is_worth_it = self.asked < TRIED || self.found * WORTH >= self.asked;
        if !is_worth_it && !self.by_text.is_empty() {
            self.by_text = HashMap::default();
        }
        is_worth_it
    }
}

fn pseudonym(keyed: &Hmac<Sha256>, text: &str) -> [u8; PSEUDONYM_BYTES] {
    let mut mac = keyed.clone();
    mac.update(text.as_bytes());
    let digest = mac.finalize().into_bytes();
    let mut hex = [0; PSEUDONYM_BYTES];
    for (pair, byte) in hex.chunks_exact_mut(2).zip(digest.iter()) {
        pair[0] = HEX[usize::from(byte >> 4)];
        pair[1] = HEX[usize::from(byte & 15)];
    }
    hex
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As the rule is written, one value at a time.
    fn plainly(key: [u8; 32], text: &str) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(&key).expect("a key");
        mac.update(text.as_bytes());
        hex::encode(&mac.finalize().into_bytes()[..DIGEST_BYTES])
    }

    proptest! {
        #[test]
        fn kept_or_made_anew_a_value_has_one_pseudonym(
            batches in proptest::collection::vec(
                proptest::collection::vec(proptest::option::of("[a-c]{0,2}|x{65}|[桂林]{1,2}"), 0..40),
                1..5,
            ),
            key in any::<[u8; 32]>(),
        ) {
            let (pseudonyms, keeping) = (Pseudonyms::new(key), Pseudonyms::new(key).keeping());
            for batch in batches {
                let texts: ArrayRef = Arc::new(batch.iter().map(Option::as_deref).collect::<StringArray>());
                let made = pseudonyms.of(&texts)?;
                let expected: StringArray =
                    batch.iter().map(|text| text.as_ref().map(|text| plainly(key, text))).collect();
                prop_assert_eq!(made.as_string::<i32>(), &expected);
                prop_assert_eq!(&keeping.of(&texts)?, &made);
            }
        }
    }

    #[test]
    fn what_is_kept_is_bounded_and_let_go_where_values_do_not_come_again() {
        let keyed = Hmac::<Sha256>::new_from_slice(&[7; 32]).expect("a key");
        let mut made = Made::default();
        for number in 0..TRIED {
            made.pseudonym(&keyed, &number.to_string());
            assert!(made.by_text.len() <= KEPT_MAX);
        }
        assert_eq!(made.by_text.len(), KEPT_MAX);
        made.pseudonym(&keyed, "one more");
        assert!(made.by_text.is_empty());

        let mut made = Made::default();
        for number in 0..3 * TRIED {
            made.pseudonym(&keyed, &(number % 1_000).to_string());
        }
        assert_eq!((made.by_text.len(), made.found), (1_000, 3 * TRIED - 1_000));
    }
}
