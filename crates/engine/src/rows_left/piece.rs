//! The row numbers of one batch in a short form, and many of them as one set.

use std::collections::BTreeMap;

use roaring::{RoaringBitmap, RoaringTreemap};

/// Most bits that may be kept for each row number.
const SPREAD_MAX: u64 = 64;
/// Most pieces that wait to be put together.
const PIECES_MAX: usize = 4_096;
/// Most words of bits that wait: half a mebibyte.
const WORDS_MAX: usize = 1 << 16;

const WORD_BITS: u64 = u64::BITS as u64;
/// Words of bits that a container of a set holds.
const CONTAINER_WORDS: u64 = (1 << 16) / WORD_BITS;
/// A container of so many numbers must be made of numbers: Roaring 0.11 makes one of bits of it that it can't read again once
/// it is written.
const CONTAINER_LISTED: u32 = 4_096;

/// The row numbers of one batch.
#[derive(Debug)]
pub(super) enum Piece {
    /// One after the other, from the first to the last.
    Run { first: u64, last: u64 },
    /// Close together: bits from that of the number `64 * first_word` on.
    Bits { first_word: u64, words: Vec<u64> },
    /// Any others.
    Set(RoaringTreemap),
}

impl Piece {
    /// The piece of some numbers, in any order; none of no numbers.
    pub(super) fn of(numbers: &[i64]) -> Option<Piece> {
        let (first, last) = (*numbers.first()?, *numbers.last()?);
        let are_as_many = last.checked_sub(first).is_some_and(|past| past == numbers.len() as i64 - 1);
        if are_as_many && follow_each_other(numbers, first) {
            return Some(Piece::Run { first: number(first), last: number(last) });
        }
        // In the order of the table the first is the least and the last the greatest.
        let bits = bits_within(numbers, first, last).or_else(|| {
            let (least, most) =
                numbers.iter().fold((first, first), |(least, most), value| (least.min(*value), most.max(*value)));
            bits_within(numbers, least, most)
        });
        Some(bits.unwrap_or_else(|| Piece::Set(in_runs(numbers))))
    }

    /// The least of its numbers.
    pub(super) fn least(&self) -> u64 {
        match self {
            Piece::Run { first, .. } => *first,
            // Its first word is that of its least number.
            Piece::Bits { first_word, words } => {
                first_word * WORD_BITS + words.first().map_or(0, |word| u64::from(word.trailing_zeros()))
            }
            Piece::Set(rows) => rows.min().unwrap_or_default(),
        }
    }

    /// The greatest of its numbers.
    pub(super) fn most(&self) -> u64 {
        match self {
            Piece::Run { last, .. } => *last,
            // Its last word is that of its greatest number.
            Piece::Bits { first_word, words } => {
                let open = words.last().map_or(0, |word| u64::from(word.leading_zeros()));
                (first_word + words.len() as u64) * WORD_BITS - 1 - open
            }
            Piece::Set(rows) => rows.max().unwrap_or_default(),
        }
    }

    /// The numbers as a set.
    pub(super) fn rows(&self) -> RoaringTreemap {
        match self {
            Piece::Run { first, last } => {
                let mut rows = RoaringTreemap::new();
                rows.insert_range(*first..=*last);
                rows
            }
            Piece::Bits { first_word, words } => {
                let mut parts = BTreeMap::new();
                for (word, words) in by_container(*first_word, words) {
                    put(&mut parts, word, words);
                }
                RoaringTreemap::from_bitmaps(parts)
            }
            Piece::Set(rows) => rows.clone(),
        }
    }
}

/// Pieces that wait to be put together.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: Vec<Piece>,
    words: usize,
}

impl Pieces {
    pub(super) fn push(&mut self, piece: Piece) {
        if let (Piece::Run { first, last }, Some(Piece::Run { last: before, .. })) = (&piece, self.pieces.last_mut())
            && *before + 1 == *first
        {
            *before = *last;
            return;
        }
        if let Piece::Bits { words, .. } = &piece {
            self.words += words.len();
        }
        self.pieces.push(piece);
    }

    /// Whether so many wait that they should be put together.
    pub(super) fn are_many(&self) -> bool {
        self.pieces.len() >= PIECES_MAX || self.words >= WORDS_MAX
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.pieces.len()
    }

    /// All of them as one set.
    pub(super) fn take(&mut self) -> RoaringTreemap {
        self.words = 0;
        let mut rows = RoaringTreemap::new();
        let (mut runs, mut containers) = (Vec::new(), BTreeMap::<u64, Vec<u64>>::new());
        for piece in std::mem::take(&mut self.pieces) {
            match piece {
                Piece::Run { first, last } => runs.push((first, last)),
                Piece::Set(set) => rows |= set,
                Piece::Bits { first_word, words } => {
                    for (word, words) in by_container(first_word, &words) {
                        let container = containers.entry(word / CONTAINER_WORDS);
                        let container = container.or_insert_with(|| vec![0; usize_of(CONTAINER_WORDS)]);
                        for (held, word) in container[usize_of(word % CONTAINER_WORDS)..].iter_mut().zip(words) {
                            *held |= word;
                        }
                    }
                }
            }
        }
        // Pieces of several threads come in turn, so runs meet only when they are in order.
        runs.sort_unstable();
        let mut open: Option<(u64, u64)> = None;
        for (first, last) in runs {
            open = Some(match open {
                Some((begin, end)) if first <= end.saturating_add(1) => (begin, end.max(last)),
                Some((begin, end)) => {
                    rows.insert_range(begin..=end);
                    (first, last)
                }
                None => (first, last),
            });
        }
        if let Some((begin, end)) = open {
            rows.insert_range(begin..=end);
        }
        let mut parts = BTreeMap::new();
        for (container, words) in containers {
            put(&mut parts, container * CONTAINER_WORDS, &words);
        }
        rows | RoaringTreemap::from_bitmaps(parts)
    }
}

/// Words of bits from a word on, cut where containers end, each part with the number of its first word.
fn by_container(first_word: u64, words: &[u64]) -> impl Iterator<Item = (u64, &[u64])> {
    let (mut word, mut rest) = (first_word, words);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let fit = usize_of(CONTAINER_WORDS - word % CONTAINER_WORDS).min(rest.len());
        let (part, after) = rest.split_at(fit);
        let found = (word, part);
        (word, rest) = (word + fit as u64, after);
        Some(found)
    })
}

/// Puts the bits of one container, of which nothing is there yet, into the parts of a set.
fn put(parts: &mut BTreeMap<u32, RoaringBitmap>, word: u64, words: &[u64]) {
    let first = word * WORD_BITS;
    let (high, low) = ((first >> 32) as u32, (first & u64::from(u32::MAX)) as u32);
    let count: u32 = words.iter().map(|word| word.count_ones()).sum();
    if count == 0 {
        return;
    }
    let rows = if count == CONTAINER_LISTED {
        let bits = (0..).zip(words).flat_map(|(place, word)| {
            (0..u64::BITS).filter(move |bit| word >> bit & 1 == 1).map(move |bit| low + place * u64::BITS + bit)
        });
        bits.collect()
    } else {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        RoaringBitmap::from_lsb0_bytes(low, &bytes)
    };
    *parts.entry(high).or_default() |= rows;
}

/// Whether each number is one more than the number before it. All are looked at, so that several are at a time.
fn follow_each_other(numbers: &[i64], first: i64) -> bool {
    let mut off = 0;
    for (place, number) in (0_i64..).zip(numbers) {
        off |= number ^ first.wrapping_add(place);
    }
    off == 0
}

/// The numbers as bits from that of one of them to that of another; none where these two lie too far apart, or where a number lies
/// outside of them.
fn bits_within(numbers: &[i64], least: i64, most: i64) -> Option<Piece> {
    let (least, most) = (number(least), number(most));
    if most.checked_sub(least)? >= SPREAD_MAX * numbers.len() as u64 {
        return None;
    }
    let first_word = least / WORD_BITS;
    let mut words = vec![0_u64; usize_of(most / WORD_BITS - first_word) + 1];
    // Numbers that lie together mostly come together, so a word is made before it is written.
    let (mut place, mut word) = (0, 0_u64);
    for value in numbers {
        let bit = number(*value).checked_sub(first_word * WORD_BITS)?;
        let own = bit / WORD_BITS;
        if own != place {
            *words.get_mut(usize_of(place))? |= word;
            (place, word) = (own, 0);
        }
        word |= 1 << (bit % WORD_BITS);
    }
    *words.get_mut(usize_of(place))? |= word;
    Some(Piece::Bits { first_word, words })
}

fn in_runs(numbers: &[i64]) -> RoaringTreemap {
    let mut rows = RoaringTreemap::new();
    let mut start = 0;
    while start < numbers.len() {
        let mut end = start;
        while end + 1 < numbers.len() && numbers[end + 1] == numbers[end].wrapping_add(1) {
            end += 1;
        }
        rows.insert_range(number(numbers[start])..=number(numbers[end]));
        start = end + 1;
    }
    rows
}

fn number(value: i64) -> u64 {
    u64::try_from(value).expect("row numbers are counted from 0")
}

/// Of places within a batch and a container, which are few.
fn usize_of(few: u64) -> usize {
    usize::try_from(few).expect("a batch and a container are far smaller than memory")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Numbers with holes, close together or far apart, within one half of the numbers or across both.
    fn numbers() -> impl Strategy<Value = Vec<i64>> {
        let begin = prop_oneof![0_i64..70_000, (1_i64 << 32) - 5_000..(1_i64 << 32) + 5_000];
        let steps = proptest::collection::vec(prop_oneof![9 => 1_i64..2, 3 => 1_i64..5, 1 => 1_i64..100_000], 0..3_000);
        (begin, steps, any::<bool>()).prop_map(|(begin, steps, is_turned)| {
            let mut values = vec![begin];
            for step in steps {
                values.push(values[values.len() - 1] + step);
            }
            if is_turned {
                values.reverse();
            }
            values
        })
    }

    fn listed(rows: &RoaringTreemap) -> Vec<u64> {
        rows.iter().collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_set_holds_the_numbers_that_were_given_and_no_other(values in numbers()) {
            let plain: RoaringTreemap = values.iter().map(|value| number(*value)).collect();
            let piece = Piece::of(&values).expect("numbers");
            prop_assert_eq!(listed(&piece.rows()), listed(&plain));
            prop_assert_eq!((Some(piece.least()), Some(piece.most())), (plain.min(), plain.max()));
            prop_assert_eq!(listed(&in_runs(&values)), listed(&plain));
            // Where both ways can be gone they come to the same.
            let (first, last) = (values[0], values[values.len() - 1]);
            if let Some(bits) = bits_within(&values, first.min(last), first.max(last)) {
                prop_assert_eq!(listed(&bits.rows()), listed(&plain));
            }
        }

        #[test]
        fn many_pieces_are_the_union_of_each(batches in proptest::collection::vec(numbers(), 0..5)) {
            let (mut pieces, mut plain) = (Pieces::default(), RoaringTreemap::new());
            for values in &batches {
                plain.extend(values.iter().map(|value| number(*value)));
                if let Some(piece) = Piece::of(values) {
                    pieces.push(piece);
                }
            }
            prop_assert_eq!(listed(&pieces.take()), listed(&plain));
            prop_assert!(pieces.take().is_empty(), "each is put together once");
        }
    }

    #[test]
    fn of_no_rows_there_is_no_piece() {
        assert!(Piece::of(&[]).is_none());
        assert_eq!(Piece::of(&[7, 7]).expect("a piece").rows().len(), 1);
    }

    #[test]
    fn numbers_in_no_order_are_bits_between_the_least_and_the_greatest() {
        for values in [vec![5_i64, 900, 3, 64, 700], vec![7, 7, 3, 8], vec![10, 2_000, 1_000, 11]] {
            let piece = Piece::of(&values).expect("a piece");
            let plain: RoaringTreemap = values.iter().map(|value| number(*value)).collect();
            assert_eq!(listed(&piece.rows()), listed(&plain));
            assert_eq!((Some(piece.least()), Some(piece.most())), (plain.min(), plain.max()));
        }
        assert!(matches!(Piece::of(&[5, 3, 64]), Some(Piece::Bits { .. })));
        assert!(matches!(Piece::of(&[1, 3, i64::MAX]), Some(Piece::Set(_))));
    }

    #[test]
    fn runs_that_follow_each_other_are_one() {
        let mut pieces = Pieces::default();
        for first in [0_i64, 100, 200] {
            pieces.push(Piece::of(&(first..first + 100).collect::<Vec<_>>()).expect("a piece"));
        }
        assert_eq!((pieces.len(), pieces.take().len()), (1, 300));
    }

    /// Why a container of so many numbers is listed. Should this fail, Roaring has mended it, and `CONTAINER_LISTED` can go.
    #[test]
    fn roaring_by_itself_does_not_read_what_it_wrote_of_so_many_bits() {
        let rows = RoaringBitmap::from_lsb0_bytes(0, &[0x55; 1_024]);
        assert_eq!(rows.len(), u64::from(CONTAINER_LISTED));
        let mut bytes = Vec::new();
        rows.serialize_into(&mut bytes).expect("written");
        assert_ne!(RoaringBitmap::deserialize_from(&bytes[..]).ok(), Some(rows));
    }

    /// Whatever rows a record names, what is written of them can be read again. Of 4,096 rows that lie apart it could not.
    #[test]
    fn a_set_that_was_written_can_be_read() {
        for count in [4_095_i64, 4_096, 4_097] {
            let values: Vec<i64> = (0..count).map(|row| row * 2).collect();
            let piece = Piece::of(&values).expect("a piece");
            assert!(matches!(piece, Piece::Bits { .. }));
            let mut rows = piece.rows();
            rows.optimize();
            let mut bytes = Vec::new();
            rows.serialize_into(&mut bytes).expect("written");
            let read = RoaringTreemap::deserialize_from(&bytes[..]).expect("it can be read");
            assert_eq!(listed(&read), listed(&rows));
        }
    }
}
