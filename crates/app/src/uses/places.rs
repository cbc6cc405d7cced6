//! Where rows stand in the index: a set of rows falls apart into *places*, each a stretch of row numbers with what is in it.
//!
//! Row numbers of products are dense, and exports name long runs of them. So a place has a width: stretches of 2^32, 2^24 and
//! 2^16 rows that are in a set as a whole are one place each, and what is left are places of 256 rows. A row is then in at
//! most four places, whatever was delivered, and an answer that names a whole table of 100 million rows takes some
//! hundred places. Names of live rows are digests and lie anywhere in 63 bits; their places are the 65,536 stretches that
//! their first bits tell.

use roaring::RoaringTreemap;

/// Rows of the narrowest place.
pub(super) const NARROW_ROWS: u64 = 256;
/// Bits of the row numbers of each width, narrowest first.
const WIDTH_BITS: [u32; 4] = [8, 16, 24, 32];
/// The width of places of live rows, and the bits below it.
const LIVE_WIDTH: u8 = 9;
const LIVE_BITS: u32 = 47;

/// A stretch of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// How wide it is: 0 to 3 for numbers of rows, else for names of live rows.
    pub(super) width: u8,
    /// Which one of that width.
    pub(super) number: u64,
}

impl Place {
    /// The first row of it and the last.
    pub(super) fn bounds(self) -> (u64, u64) {
        let bits = if self.width == LIVE_WIDTH { LIVE_BITS } else { WIDTH_BITS[usize::from(self.width) & 3] };
        let first = self.number.checked_shl(bits).unwrap_or(0);
        (first, first | ((1 << bits) - 1))
    }

    /// The places that a row is in.
    pub(super) fn of_row(row: u64, is_live: bool) -> impl Iterator<Item = Place> {
        let widths: &[(u8, u32)] = if is_live {
            &[(LIVE_WIDTH, LIVE_BITS)]
        } else {
            &[(0, WIDTH_BITS[0]), (1, WIDTH_BITS[1]), (2, WIDTH_BITS[2]), (3, WIDTH_BITS[3])]
        };
        widths.iter().map(move |(width, bits)| Place { width: *width, number: row >> bits })
    }
}

/// What of a place is in a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// All of it.
    Whole,
    /// The rows with these numbers within a narrow place.
    Few(Vec<u8>),
    /// The same as bits.
    Bits([u64; 4]),
    /// Names of live rows.
    Names(Vec<u64>),
}

impl Share {
    /// Whether a row that is in the place is in the set.
    pub(super) fn holds(&self, row: u64) -> bool {
        let within = (row % NARROW_ROWS) as usize;
        match self {
            Share::Whole => true,
            Share::Few(rows) => rows.iter().any(|found| usize::from(*found) == within),
            Share::Bits(bits) => bits[within / 64] >> (within % 64) & 1 == 1,
            Share::Names(names) => names.binary_search(&row).is_ok(),
        }
    }
}

/// Most rows of a narrow place that are written one by one; of more, the bits are shorter.
pub(super) const FEW_MAX: usize = 24;

/// Tells the places of a set, each once and in no order that matters.
pub(super) fn visit_places(rows: &RoaringTreemap, is_live: bool, visit: &mut dyn FnMut(Place, Share)) {
    if is_live {
        visit_live(rows, visit);
        return;
    }
    let mut narrow = Narrow::default();
    let mut run: Option<(u64, u64)> = None;
    for (high, bitmap) in rows.bitmaps() {
        let high = u64::from(high) << 32;
        let mut ranges = bitmap.iter();
        while let Some(range) = ranges.next_range() {
            let (first, last) = (high | u64::from(*range.start()), high | u64::from(*range.end()));
            match &mut run {
                // A run may go on in the next half of the numbers.
                Some((_, end)) if *end + 1 == first => *end = last,
                _ => {
                    if let Some((first, last)) = run.replace((first, last)) {
                        cover(first, last, &mut narrow, visit);
                    }
                }
            }
        }
    }
    if let Some((first, last)) = run {
        cover(first, last, &mut narrow, visit);
    }
    narrow.leave(visit);
}

fn visit_live(rows: &RoaringTreemap, visit: &mut dyn FnMut(Place, Share)) {
    let mut open: Option<(u64, Vec<u64>)> = None;
    for name in rows {
        let number = name >> LIVE_BITS;
        match &mut open {
            Some((at, names)) if *at == number => names.push(name),
            _ => {
                if let Some((at, names)) = open.replace((number, vec![name])) {
                    visit(Place { width: LIVE_WIDTH, number: at }, Share::Names(names));
                }
            }
        }
    }
    if let Some((at, names)) = open {
        visit(Place { width: LIVE_WIDTH, number: at }, Share::Names(names));
    }
}

/// Covers a run of rows by the widest places that are in it as a whole.
fn cover(first: u64, last: u64, narrow: &mut Narrow, visit: &mut dyn FnMut(Place, Share)) {
    let mut at = first;
    // Each round covers a place or ends, and there are at most 255 of each width at both ends of a run.
    loop {
        let left = last - at;
        let widest = (0..WIDTH_BITS.len()).rev().find(|width| {
            let bits = WIDTH_BITS[*width];
            at & ((1 << bits) - 1) == 0 && left >= (1 << bits) - 1
        });
        let end = match widest {
            Some(width) => {
                let bits = WIDTH_BITS[width];
                visit(Place { width: width as u8, number: at >> bits }, Share::Whole);
                at + ((1 << bits) - 1)
            }
            None => {
                let end = last.min(at | (NARROW_ROWS - 1));
                narrow.add(at, end, visit);
                end
            }
        };
        if end >= last {
            return;
        }
        at = end + 1;
    }
}

/// The narrow place whose rows come one after another.
#[derive(Default)]
struct Narrow {
    number: u64,
    bits: [u64; 4],
}

impl Narrow {
    fn add(&mut self, first: u64, last: u64, visit: &mut dyn FnMut(Place, Share)) {
        let number = first / NARROW_ROWS;
        if number != self.number {
            self.leave(visit);
            self.number = number;
        }
        for row in first..=last {
            let within = (row % NARROW_ROWS) as usize;
            self.bits[within / 64] |= 1 << (within % 64);
        }
    }

    fn leave(&mut self, visit: &mut dyn FnMut(Place, Share)) {
        let bits = std::mem::take(&mut self.bits);
        let count = bits.iter().map(|word| word.count_ones() as usize).sum::<usize>();
        if count == 0 {
            return;
        }
        let share = if count <= FEW_MAX {
            let is_in = |within: &u8| bits[usize::from(*within) / 64] >> (*within % 64) & 1 == 1;
            Share::Few((0..=u8::MAX).filter(is_in).collect())
        } else {
            Share::Bits(bits)
        };
        visit(Place { width: 0, number: self.number }, share);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn places(rows: &RoaringTreemap, is_live: bool) -> BTreeMap<Place, Share> {
        let mut places = BTreeMap::new();
        visit_places(rows, is_live, &mut |place, share| {
            assert_eq!(places.insert(place, share), None, "{place:?} is told once");
        });
        places
    }

    fn holds(places: &BTreeMap<Place, Share>, row: u64, is_live: bool) -> bool {
        Place::of_row(row, is_live).any(|place| places.get(&place).is_some_and(|share| share.holds(row)))
    }

    /// Numbers that follow from a seed (splitmix64).
    fn next(seed: &mut u64) -> u64 {
        *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *seed;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    #[test]
    fn a_row_is_in_the_places_of_a_set_when_it_is_in_the_set() {
        for start in 0..60 {
            let mut seed = start;
            let mut rows = RoaringTreemap::new();
            for _ in 0..next(&mut seed) % 12 {
                let first = next(&mut seed) % (1 << [12, 20, 26, 33][(next(&mut seed) % 4) as usize]);
                let length = next(&mut seed) % (1 << [1, 9, 17, 25][(next(&mut seed) % 4) as usize]);
                rows.insert_range(first..=first + length);
                rows.remove(first + length / 2);
            }
            let places = places(&rows, false);
            let mut asked: Vec<u64> = (0..500).map(|_| next(&mut seed) % (1 << 34)).collect();
            for place in places.keys() {
                let (first, last) = place.bounds();
                asked.extend([first, last, first.saturating_sub(1), last + 1]);
            }
            for row in asked {
                assert_eq!(holds(&places, row, false), rows.contains(row), "row {row}, seed {start}");
            }
        }
    }

    #[test]
    fn a_whole_table_takes_few_places() {
        let rows: RoaringTreemap = (0..100_000_000).collect();
        assert!(places(&rows, false).len() < 520, "{}", places(&rows, false).len());
    }

    #[test]
    fn names_of_live_rows_are_found_by_their_first_bits() {
        let mut seed = 3;
        let names: Vec<u64> = (0..2_000).map(|_| next(&mut seed) >> 1).collect();
        let rows: RoaringTreemap = names.iter().copied().collect();
        let places = places(&rows, true);
        assert!(names.iter().all(|name| holds(&places, *name, true)));
        assert!(names.iter().all(|name| !holds(&places, name ^ 1, true) || rows.contains(name ^ 1)));
    }
}
