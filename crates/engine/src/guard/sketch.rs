//! What is kept of the contributors of a released number: enough to tell whether two numbers differ by few of them,
//! and nothing that tells who they are.
//!
//! A sketch has a power of two of buckets. Every row's keyed digest is added to the bucket that its contributor (subject, or
//! row where the table names none) falls into; nobody's rows in a table of subjects are left out. Taken from each other
//! bucket by bucket, two sketches leave what stands in one set of rows and not in the other; each bucket that is not zero
//! then belongs to at least one contributor whose part differs. So the number of such buckets is at most the number of
//! differing contributors: a difference below the floor is always seen as one. The reverse may err: contributors that
//! share a bucket are counted once, so a difference just above the floor may be taken for one below it. With sixteen
//! buckets for each contributor of the floor that happens to about one in sixty pairs of contributors.
//!
//! Sketches of the former kind were XORed, so two rows of one key, which a live table may have, left no trace in them. They are
//! read and compared among themselves ([`former`](super::former)), and no more are recorded.
//!
//! The bitmaps that this stands in for (one of contributors for each released number) are exact on one version of the
//! data only, since ordinals and row numbers are made anew with each version, and take megabytes where this takes one
//! or two kilobytes.

use std::borrow::Cow;

/// Fewest buckets.
const BUCKETS_MIN: u32 = 256;
/// Most buckets: 64 KiB a sketch.
const BUCKETS_MAX: u32 = 16_384;
/// Buckets for each contributor of the floor.
const BUCKETS_PER_CONTRIBUTOR: u32 = 16;
/// A sketch is written as pairs while fewer than this part of its buckets is used.
const FEW_PART: usize = 4;

/// The first byte of a sketch of rows that are added. One of the former kind has none, and is words of four bytes alone.
const ADDED: u8 = 2;

/// How rows come together in a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Their digests are XORed: the former kind.
    Toggled,
    /// Their digests are added up, wrapping around.
    Added,
}

impl Kind {
    fn together(self, one: u32, other: u32) -> u32 {
        match self {
            Kind::Toggled => one ^ other,
            Kind::Added => one.wrapping_add(other),
        }
    }

    /// What a row leaves. Zero would leave no trace.
    fn mark(self, row: u64) -> u32 {
        let mark = low_half(row ^ (row >> 32));
        match self {
            Kind::Toggled => mark.max(1),
            // Nor does any number of rows of one digest add up to zero.
            Kind::Added => mark | 1,
        }
    }
}

/// A sketch of rows by contributor.
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    kind: Kind,
    buckets: u32,
    filled: Filled,
}

#[derive(Clone, Debug)]
enum Filled {
    /// Buckets that are not zero, in order.
    Few(Vec<(u32, u32)>),
    /// Every bucket.
    Many(Vec<u32>),
}

/// How many buckets sketches under a floor have.
pub(crate) fn buckets_for(floor: u32) -> u32 {
    floor.saturating_mul(BUCKETS_PER_CONTRIBUTOR).clamp(BUCKETS_MIN, BUCKETS_MAX).next_power_of_two()
}

impl Sketch {
    /// An empty sketch. `buckets` is a power of two.
    pub(crate) fn new(kind: Kind, buckets: u32) -> Self {
        debug_assert!(buckets.is_power_of_two(), "buckets are chosen by the low bits of a digest");
        Self { kind, buckets, filled: Filled::Few(Vec::new()) }
    }

    /// Of which kind it is. Only sketches of one kind can be compared.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// How many buckets it has.
    pub(crate) fn buckets(&self) -> u32 {
        self.buckets
    }

    /// Adds a row.
    pub(crate) fn add(&mut self, contributor: u64, row: u64) {
        let bucket = low_half(contributor) & (self.buckets - 1);
        self.add_to_bucket(bucket, self.kind.mark(row));
    }

    fn add_to_bucket(&mut self, bucket: u32, mark: u32) {
        if mark == 0 {
            return;
        }
        let kind = self.kind;
        match &mut self.filled {
            Filled::Many(all) => all[bucket as usize] = kind.together(all[bucket as usize], mark),
            Filled::Few(few) => {
                match few.binary_search_by_key(&bucket, |(bucket, _)| *bucket) {
                    Ok(at) => {
                        few[at].1 = kind.together(few[at].1, mark);
                        if few[at].1 == 0 {
                            few.remove(at);
                        }
                    }
                    Err(at) => few.insert(at, (bucket, mark)),
                }
                if few.len() > self.buckets as usize / FEW_PART {
                    self.spread();
                }
            }
        }
    }

    fn spread(&mut self) {
        if let Filled::Few(few) = &self.filled {
            let mut all = vec![0; self.buckets as usize];
            for (bucket, mark) in few {
                all[*bucket as usize] = *mark;
            }
            self.filled = Filled::Many(all);
        }
    }

    /// Adds the rows of another sketch.
    pub(crate) fn merge(&mut self, other: &Sketch) {
        debug_assert_eq!(
            (self.kind, self.buckets),
            (other.kind, other.buckets),
            "sketches of one answer are made alike"
        );
        match &other.filled {
            Filled::Few(few) => {
                for (bucket, mark) in few {
                    self.add_to_bucket(*bucket, *mark);
                }
            }
            Filled::Many(marks) => {
                self.spread();
                if let Filled::Many(all) = &mut self.filled {
                    for (mine, theirs) in all.iter_mut().zip(marks) {
                        *mine = self.kind.together(*mine, *theirs);
                    }
                }
            }
        }
    }

    /// Buckets that are not zero: at most as many as there are contributors.
    pub(crate) fn filled(&self) -> u64 {
        let count = match &self.filled {
            Filled::Few(few) => few.len(),
            Filled::Many(all) => all.iter().filter(|mark| **mark != 0).count(),
        };
        count as u64
    }

    /// At least how many contributors have a differing part in two sets; counts no further than `enough`. Zero: none.
    pub(crate) fn difference(&self, other: &Sketch, enough: u64) -> u64 {
        debug_assert_eq!(self.kind, other.kind, "sketches of two kinds differ everywhere");
        let buckets = self.buckets.min(other.buckets);
        let mine = self.folded(buckets);
        let theirs = other.folded(buckets);
        let mut differing = 0;
        for bucket in 0..buckets as usize {
            if mine[bucket] != theirs[bucket] {
                differing += 1;
                if differing >= enough {
                    break;
                }
            }
        }
        differing
    }

    /// The same rows in fewer buckets. Sketches of different floors are compared by the smaller one's.
    fn folded(&self, buckets: u32) -> Cow<'_, [u32]> {
        let mut fewer = vec![0; buckets as usize];
        match &self.filled {
            Filled::Many(all) if self.buckets == buckets => return Cow::Borrowed(all),
            Filled::Many(all) => {
                for (bucket, mark) in all.iter().enumerate() {
                    let place = &mut fewer[bucket & (buckets as usize - 1)];
                    *place = self.kind.together(*place, *mark);
                }
            }
            Filled::Few(few) => {
                for (bucket, mark) in few {
                    let place = &mut fewer[(bucket & (buckets - 1)) as usize];
                    *place = self.kind.together(*place, *mark);
                }
            }
        }
        Cow::Owned(fewer)
    }

    /// Bytes of memory.
    pub(crate) fn size(&self) -> usize {
        match &self.filled {
            Filled::Few(few) => few.capacity() * size_of::<(u32, u32)>(),
            Filled::Many(all) => all.capacity() * size_of::<u32>(),
        }
    }

    /// The sketch as bytes: the same for the same rows. Kept for ever, so the form never changes: a byte of the kind, but for
    /// the former kind, which has none; buckets and number of pairs (little endian), then pairs of bucket and mark; or, where
    /// the number is the largest there is, all marks.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut pairs = Vec::new();
        match &self.filled {
            Filled::Few(few) => pairs.clone_from(few),
            Filled::Many(all) => {
                for (bucket, mark) in (0..).zip(all) {
                    if *mark != 0 {
                        pairs.push((bucket, *mark));
                    }
                }
            }
        }
        let mut bytes = match self.kind {
            Kind::Toggled => Vec::new(),
            Kind::Added => vec![ADDED],
        };
        bytes.extend(self.buckets.to_le_bytes());
        match &self.filled {
            Filled::Many(all) if pairs.len() > self.buckets as usize / FEW_PART => {
                bytes.extend(u32::MAX.to_le_bytes());
                for mark in all {
                    bytes.extend(mark.to_le_bytes());
                }
            }
            _ => {
                bytes.extend(u32::try_from(pairs.len()).expect("at most one pair a bucket").to_le_bytes());
                for (bucket, mark) in pairs {
                    bytes.extend(bucket.to_le_bytes());
                    bytes.extend(mark.to_le_bytes());
                }
            }
        }
        bytes
    }

    /// Reads [`Sketch::to_bytes`]; nothing when the bytes are something else.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Option<Sketch> {
        let (kind, words) = match (bytes.as_chunks::<4>(), bytes.split_first()) {
            ((words, []), _) => (Kind::Toggled, words),
            (_, Some((&ADDED, rest))) => match rest.as_chunks::<4>() {
                (words, []) => (Kind::Added, words),
                _ => return None,
            },
            _ => return None,
        };
        let mut words = words.iter().map(|word| u32::from_le_bytes(*word));
        let (buckets, pairs) = (words.next()?, words.next()?);
        if !buckets.is_power_of_two() || !(BUCKETS_MIN..=BUCKETS_MAX).contains(&buckets) {
            return None;
        }
        let marks: Vec<u32> = words.collect();
        if pairs == u32::MAX {
            return (marks.len() == buckets as usize).then_some(Sketch { kind, buckets, filled: Filled::Many(marks) });
        }
        let mut few = Vec::with_capacity(marks.len() / 2);
        for pair in marks.chunks_exact(2) {
            if pair[0] >= buckets || few.last().is_some_and(|(bucket, _)| *bucket >= pair[0]) {
                return None;
            }
            few.push((pair[0], pair[1]));
        }
        (marks.len() == 2 * pairs as usize).then_some(Sketch { kind, buckets, filled: Filled::Few(few) })
    }
}

fn low_half(digest: u64) -> u32 {
    u32::try_from(digest & u64::from(u32::MAX)).expect("the upper half was cut off")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;

    fn digest(number: u64) -> u64 {
        // The finaliser of splitmix64: spread like the keyed digests that sketches are made of.
        let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn sketch_of(rows: &BTreeSet<(u64, u64)>, buckets: u32) -> Sketch {
        let mut sketch = Sketch::new(Kind::Added, buckets);
        for (subject, row) in rows {
            sketch.add(digest(*subject), digest(1_000_000 + *row));
        }
        sketch
    }

    /// Subjects with rows in one of the sets and not in the other.
    fn differing(one: &BTreeSet<(u64, u64)>, other: &BTreeSet<(u64, u64)>) -> u64 {
        one.symmetric_difference(other).map(|(subject, _)| subject).collect::<BTreeSet<_>>().len() as u64
    }

    fn rows() -> impl Strategy<Value = BTreeSet<(u64, u64)>> {
        proptest::collection::btree_set((0..600_u64, 0..4_u64), 0..1_500)
            .prop_map(|rows| rows.into_iter().map(|(subject, row)| (subject, subject * 4 + row)).collect())
    }

    proptest! {
        #[test]
        fn a_small_difference_is_never_taken_for_a_large_one(one in rows(), taken in 0..40_usize, floor in 1..40_u32) {
            let mut other = one.clone();
            for row in one.iter().step_by(7).take(taken) {
                other.remove(row);
            }
            let (mine, theirs) = (sketch_of(&one, buckets_for(floor)), sketch_of(&other, buckets_for(floor)));
            let found = mine.difference(&theirs, u64::MAX);
            prop_assert!(found <= differing(&one, &other));
            prop_assert_eq!(found == 0, one == other);
        }

        #[test]
        fn bytes_come_back_and_are_the_same_for_the_same_rows(one in rows(), other in rows()) {
            let mut mine = sketch_of(&one, 512);
            let bytes = mine.to_bytes();
            prop_assert_eq!(Sketch::of_bytes(&bytes).expect("its own bytes").to_bytes(), bytes.clone());
            // In either order the same bytes, whichever way they were held meanwhile.
            mine.merge(&sketch_of(&other, 512));
            let mut theirs = sketch_of(&other, 512);
            theirs.merge(&sketch_of(&one, 512));
            prop_assert_eq!(mine.to_bytes(), theirs.to_bytes());
        }

        #[test]
        fn other_bytes_are_refused_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(sketch) = Sketch::of_bytes(&bytes) {
                prop_assert!(sketch.filled() <= u64::from(BUCKETS_MAX));
            }
        }
    }

    /// Two rows of one key, or ever so many, are not as if there were none.
    #[test]
    fn rows_of_one_key_leave_a_trace() {
        for copies in [2, 3, 1 << 16] {
            let mut sketch = Sketch::new(Kind::Added, BUCKETS_MIN);
            for _ in 0..copies {
                sketch.add(digest(7), 0x8000_0000);
            }
            assert_eq!(sketch.filled(), 1, "{copies}");
        }
    }

    /// What nodes have recorded has no byte of its kind, and is read as what it is.
    #[test]
    fn the_former_kind_is_read_as_it_was_written() {
        let mut former = vec![0, 1, 0, 0, 2, 0, 0, 0];
        former.extend([3, 0, 0, 0, 9, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0]);
        let sketch = Sketch::of_bytes(&former).expect("two buckets of 256");
        assert_eq!((sketch.kind(), sketch.filled(), sketch.to_bytes()), (Kind::Toggled, 2, former.clone()));
        former.insert(0, ADDED);
        assert_eq!(Sketch::of_bytes(&former).expect("the same, added").kind(), Kind::Added);
        former[0] = ADDED + 1;
        assert!(Sketch::of_bytes(&former).is_none());
    }

    #[test]
    fn sketches_of_different_floors_are_compared_by_the_smaller() {
        let rows: BTreeSet<(u64, u64)> = (0..5_000).map(|row| (row, row)).collect();
        let mut one_less = rows.clone();
        one_less.remove(&(77, 77));
        let (large, small) = (sketch_of(&rows, buckets_for(100)), sketch_of(&one_less, buckets_for(5)));
        assert_eq!(large.difference(&small, u64::MAX), 1);
        assert_eq!(large.difference(&sketch_of(&rows, buckets_for(5)), u64::MAX), 0);
    }

    #[test]
    fn a_difference_of_the_floor_is_mostly_seen_as_such() {
        let floor = 10;
        let mut enough: BTreeMap<bool, u32> = BTreeMap::new();
        for start in 0..200 {
            let rows: BTreeSet<(u64, u64)> = (start * 1_000..start * 1_000 + 10).map(|row| (row, row)).collect();
            let found = sketch_of(&rows, buckets_for(floor)).filled();
            *enough.entry(found >= 10).or_default() += 1;
        }
        assert!(enough[&true] > 150, "{enough:?}");
    }
}
