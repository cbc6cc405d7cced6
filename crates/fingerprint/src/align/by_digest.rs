//! Tables by digest, which rows are looked up in by the million.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};

/// A table by digest.
pub(crate) type ByDigest<V> = HashMap<u64, V, Keyed>;

/// A multiplication by secret numbers, at a fraction of the time that the usual hash takes. Digests are spread already, unless
/// somebody made values whose digests fall together; where they fall here he can't know.
#[derive(Clone)]
pub(crate) struct Keyed {
    added: u64,
    factor: u64,
}

/// The hash of one digest.
pub(crate) struct KeyedHasher {
    keyed: Keyed,
    hash: u64,
}

impl Default for Keyed {
    fn default() -> Self {
        let drawn = RandomState::new();
        Self { added: drawn.hash_one(0), factor: drawn.hash_one(1) | 1 }
    }
}

impl BuildHasher for Keyed {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { keyed: self.clone(), hash: 0 }
    }
}

impl Hasher for KeyedHasher {
    fn finish(&self) -> u64 {
        self.hash
    }

    fn write_u64(&mut self, digest: u64) {
        let product = u128::from(digest ^ self.keyed.added ^ self.hash) * u128::from(self.keyed.factor);
        self.hash = product as u64 ^ (product >> 64) as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_gives_back_what_was_put_in_it() {
        // Digests that hang together in every way that is easily made.
        let digests = (0..40_000u64).flat_map(|at| [at, at << 24, at << 48, at.rotate_right(7)]);
        let table: ByDigest<u64> = digests.clone().map(|digest| (digest, !digest)).collect();
        assert!(digests.clone().all(|digest| table.get(&digest) == Some(&!digest)));
        assert_eq!(table.get(&u64::MAX), None);
    }
}
