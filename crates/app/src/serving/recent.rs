//! What was asked for last, within a number of entries and a number of bytes.

use std::borrow::Borrow;
use std::collections::BTreeMap;

/// Values by key. When there are too many, or they are too large together, those that nobody has asked for longest go, an
/// eighth at a time, so that looking for them costs little on average.
#[derive(Debug)]
pub(super) struct Recent<K, V> {
    entries: BTreeMap<K, Entry<V>>,
    /// Counts what was asked, to tell what was asked last.
    asked: u64,
    bytes: usize,
    entries_max: usize,
    bytes_max: usize,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: usize,
    asked: u64,
}

impl<K: Ord, V: Clone> Recent<K, V> {
    /// Nothing yet; at most `entries_max` (at least one) values of together `bytes_max` bytes. A single larger one is kept.
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Recent<K, V> {
        Recent { entries: BTreeMap::new(), asked: 0, bytes: 0, entries_max: entries_max.max(1), bytes_max }
    }

    /// The value of a key, which is now the one that was asked for last.
    pub(super) fn get<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        self.asked += 1;
        let entry = self.entries.get_mut(key)?;
        entry.asked = self.asked;
        Some(entry.value.clone())
    }

    /// Keeps a value of so many bytes in place of the one that its key had.
    pub(super) fn insert(&mut self, key: K, value: V, bytes: usize) {
        self.remove(&key);
        while !self.entries.is_empty()
            && (self.entries.len() >= self.entries_max || self.bytes + bytes > self.bytes_max)
        {
            self.forget_oldest();
        }
        self.asked += 1;
        self.bytes += bytes;
        self.entries.insert(key, Entry { value, bytes, asked: self.asked });
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.bytes -= entry.bytes;
        }
    }

    /// Drops the eighth that was not asked for longest, at least one.
    fn forget_oldest(&mut self) {
        let mut asked: Vec<u64> = self.entries.values().map(|entry| entry.asked).collect();
        let count = asked.len().div_ceil(8);
        let (_, &mut last, _) = asked.select_nth_unstable(count - 1);
        let bytes = &mut self.bytes;
        self.entries.retain(|_, entry| {
            let is_kept = entry.asked > last;
            if !is_kept {
                *bytes -= entry.bytes;
            }
            is_kept
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_last_stays() {
        let mut recent = Recent::new(16, usize::MAX);
        for key in 0..16 {
            recent.insert(key, key * 10, 1);
        }
        assert_eq!(recent.get(&0), Some(0));
        recent.insert(16, 160, 1);
        assert_eq!(recent.get(&0), Some(0), "asked for just before");
        assert_eq!((recent.get(&1), recent.get(&2)), (None, None), "the two that nobody asked for longest");
        assert_eq!(recent.get(&3), Some(30));
        assert_eq!(recent.get(&16), Some(160));
        assert_eq!(recent.bytes, 15);
    }

    #[test]
    fn bytes_are_bounded_and_one_large_value_is_kept() {
        let mut recent = Recent::new(100, 10);
        for key in 0..5 {
            recent.insert(key, (), 2);
        }
        recent.insert(0, (), 4);
        assert!(recent.bytes <= 10, "{}", recent.bytes);
        assert_eq!(recent.get(&1), None);
        recent.insert(7, (), 1_000);
        assert_eq!((recent.entries.len(), recent.bytes), (1, 1_000));
    }
}
