//! What the index says of a place: which records name rows of it. Records stand in the order of their positions, each with
//! where its delivery began and what of the place is in it, in *blocks* of some kilobytes.
//!
//! ```text
//! block := record{…}
//! record := varint(position − the one before) · varint(position − where its delivery began) · share
//! share := 0 (whole) | 1…24 and as many bytes (rows) | 25 and 32 bytes (bits) | 26 · varint count · varint differences (names)
//! ```

use super::places::{FEW_MAX, Share};

const WHOLE: u8 = 0;
const BITS: u8 = 25;
const NAMES: u8 = 26;
/// Bytes of the longest varint.
const VARINT_BYTES_MAX: usize = 10;

/// A record that names rows of a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Its position in the receipt log.
    pub(super) position: u64,
    /// The position of the record that its delivery began with.
    pub(super) opening: u64,
    /// What of the place it names.
    pub(super) share: Share,
}

/// A block that is being written.
#[derive(Clone, Debug, Default)]
pub(super) struct Block {
    /// Position of its first record.
    pub(super) first: u64,
    last: u64,
    /// What is written so far.
    pub(super) bytes: Vec<u8>,
}

impl Block {
    /// Appends a record, whose position is not below the last one's.
    pub(super) fn push(&mut self, entry: &Entry) {
        if self.bytes.is_empty() {
            self.first = entry.position;
            self.last = entry.position;
        }
        put(&mut self.bytes, entry.position - self.last);
        put(&mut self.bytes, entry.position.saturating_sub(entry.opening));
        self.last = entry.position;
        match &entry.share {
            Share::Whole => self.bytes.push(WHOLE),
            Share::Few(rows) => {
                debug_assert!((1..=FEW_MAX).contains(&rows.len()), "of more rows the bits are written");
                self.bytes.push(u8::try_from(rows.len()).unwrap_or(WHOLE));
                self.bytes.extend_from_slice(rows);
            }
            Share::Bits(bits) => {
                self.bytes.push(BITS);
                for word in bits {
                    self.bytes.extend_from_slice(&word.to_le_bytes());
                }
            }
            Share::Names(names) => {
                self.bytes.push(NAMES);
                put(&mut self.bytes, names.len() as u64);
                let mut before = 0;
                for name in names {
                    put(&mut self.bytes, name - before);
                    before = *name;
                }
            }
        }
    }
}

/// Tells the records of a block in their order; none when the bytes are not a block.
pub(super) fn visit(first: u64, mut bytes: &[u8], look: &mut dyn FnMut(Entry)) -> Option<()> {
    let mut position = first;
    while !bytes.is_empty() {
        position = position.checked_add(take(&mut bytes)?)?;
        let opening = position.checked_sub(take(&mut bytes)?)?;
        let (tag, rest) = bytes.split_first()?;
        bytes = rest;
        let share = match *tag {
            WHOLE => Share::Whole,
            BITS => {
                let (words, rest) = bytes.split_at_checked(32)?;
                bytes = rest;
                let mut bits = [0; 4];
                for (word, eight) in bits.iter_mut().zip(words.chunks_exact(8)) {
                    *word = u64::from_le_bytes(eight.try_into().ok()?);
                }
                Share::Bits(bits)
            }
            NAMES => {
                let count = take(&mut bytes)?;
                // Each takes a byte at least.
                let count = usize::try_from(count).ok().filter(|count| *count <= bytes.len())?;
                let mut names = Vec::with_capacity(count);
                let mut before: u64 = 0;
                for _ in 0..count {
                    before = before.checked_add(take(&mut bytes)?)?;
                    names.push(before);
                }
                Share::Names(names)
            }
            few if usize::from(few) <= FEW_MAX => {
                let (rows, rest) = bytes.split_at_checked(usize::from(few))?;
                bytes = rest;
                Share::Few(rows.to_vec())
            }
            _ => return None,
        };
        look(Entry { position, opening, share });
    }
    Some(())
}

/// Seven bits a byte, the least first (LEB128).
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number: u64 = 0;
    for at in 0..VARINT_BYTES_MAX {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(at).ok()?)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        let entry = |position, opening, share| Entry { position, opening, share };
        vec![
            entry(7, 7, Share::Few(vec![0, 255])),
            entry(8, 1, Share::Whole),
            entry(900, 899, Share::Bits([1, u64::MAX, 0, 1 << 63])),
            entry(u64::MAX >> 1, 3, Share::Names(vec![5, 6, u64::MAX >> 1])),
        ]
    }

    #[test]
    fn a_block_reads_back_and_nothing_shorter_does() {
        let mut block = Block::default();
        for entry in entries() {
            block.push(&entry);
        }
        let mut read = Vec::new();
        assert_eq!(visit(block.first, &block.bytes, &mut |entry| read.push(entry)), Some(()));
        assert_eq!(read, entries());
        let mut ends = 0;
        for length in 0..block.bytes.len() {
            // Cut between two records it is a shorter block; anywhere else it is none.
            let mut count = 0;
            match visit(block.first, &block.bytes[..length], &mut |_| count += 1) {
                Some(()) => ends += 1,
                None => assert!(count < entries().len()),
            }
        }
        assert_eq!(ends, entries().len());
    }

    #[test]
    fn damaged_blocks_are_refused() {
        for bytes in [&[0][..], &[0, 0], &[0, 0, 27], &[0, 0, 200], &[0, 0, 26, 0xff, 0xff, 1], &[0x80; 11]] {
            assert_eq!(visit(1, bytes, &mut |_| {}), None, "{bytes:?}");
        }
        assert_eq!(visit(1, &[0, 2, 0], &mut |_| {}), None, "a delivery can't begin before the first record");
    }
}
