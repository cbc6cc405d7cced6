//! The subjects who consented, in the form in which a scan asks for them: one bit per ordinal of the product.
//!
//! A scan asks once a row, so the set is a plain array of bits: 1.25 MB for ten million subjects, which stays in a
//! processor's cache. Sets that are kept for long, of whom there may be many, are compressed where they are kept.

use arrow::array::{Array, BooleanArray, Int64Array};
use arrow::buffer::BooleanBuffer;

const BITS: u32 = u64::BITS;

/// Ordinals of subjects of one product.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ConsentSet {
    words: Vec<u64>,
    count: u64,
}

impl ConsentSet {
    /// An empty set with room for the ordinals below `subjects`.
    pub fn with_room(subjects: usize) -> ConsentSet {
        ConsentSet { words: vec![0; subjects.div_ceil(BITS as usize)], count: 0 }
    }

    /// Adds or removes an ordinal.
    pub fn set(&mut self, ordinal: u32, is_member: bool) {
        let (word, bit) = ((ordinal / BITS) as usize, 1_u64 << (ordinal % BITS));
        if word >= self.words.len() {
            if !is_member {
                return;
            }
            self.words.resize(word + 1, 0);
        }
        let was_member = self.words[word] & bit != 0;
        match (was_member, is_member) {
            (false, true) => {
                self.words[word] |= bit;
                self.count += 1;
            }
            (true, false) => {
                self.words[word] &= !bit;
                self.count -= 1;
            }
            _ => {}
        }
    }

    /// True for a member.
    pub fn contains(&self, ordinal: u32) -> bool {
        self.words.get((ordinal / BITS) as usize).is_some_and(|word| word >> (ordinal % BITS) & 1 == 1)
    }

    /// How many members there are.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes held in memory.
    pub fn memory_bytes(&self) -> usize {
        self.words.len() * size_of::<u64>()
    }

    /// True for a member, of the numbers that stand in files; what is no ordinal is no member.
    fn has(&self, number: i64) -> bool {
        // A negative number becomes one far beyond every word.
        #[expect(clippy::cast_sign_loss, reason = "as above")]
        let number = number as u64;
        match usize::try_from(number / u64::from(BITS)).ok().and_then(|word| self.words.get(word)) {
            Some(word) => word >> (number % u64::from(BITS)) & 1 == 1,
            None => false,
        }
    }

    /// Which rows have a member as their subject; a row without a subject has nobody's consent.
    pub(crate) fn covered(&self, ordinals: &Int64Array) -> BooleanArray {
        let values = ordinals.values();
        let mut covered = BooleanBuffer::collect_bool(values.len(), |row| self.has(values[row]));
        if let Some(present) = ordinals.nulls() {
            covered = &covered & present.inner();
        }
        BooleanArray::new(covered, None)
    }
}

impl FromIterator<u32> for ConsentSet {
    fn from_iter<T: IntoIterator<Item = u32>>(ordinals: T) -> Self {
        let mut set = ConsentSet::default();
        for ordinal in ordinals {
            set.set(ordinal, true);
        }
        set
    }
}

impl std::fmt::Debug for ConsentSet {
    /// How many, never who.
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConsentSet").field("len", &self.count).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_ordinal_is_no_member() {
        let set: ConsentSet = [0, 63, 64, 200].into_iter().collect();
        let rows = Int64Array::from(vec![Some(0), None, Some(63), Some(65), Some(-1), Some(i64::MIN), Some(i64::MAX)]);
        let covered = set.covered(&rows);
        assert_eq!(covered.null_count(), 0);
        let covered: Vec<bool> = covered.values().iter().collect();
        assert_eq!(covered, [true, false, true, false, false, false, false]);
        assert!(set.contains(200) && !set.contains(201) && !set.contains(u32::MAX));
        assert!(ConsentSet::with_room(10).is_empty());
    }

    proptest! {
        #[test]
        fn a_set_is_what_was_put_into_it(changes in proptest::collection::vec((0_u32..500, any::<bool>()), 0..200)) {
            let (mut set, mut model) = (ConsentSet::with_room(100), BTreeSet::new());
            for (ordinal, is_member) in changes {
                set.set(ordinal, is_member);
                if is_member { model.insert(ordinal); } else { model.remove(&ordinal); }
            }
            prop_assert_eq!(set.len(), model.len() as u64);
            let rows = Int64Array::from_iter_values(-3..600);
            for (row, covered) in rows.values().iter().zip(set.covered(&rows).values()) {
                let is_member = u32::try_from(*row).is_ok_and(|ordinal| model.contains(&ordinal));
                prop_assert_eq!(covered, is_member);
            }
        }
    }
}
