//! The keyed functions that draw marks, over whole batches: AES-128 or SM4, never a hash without a key.

use aes::Aes128;
use aes::cipher::{BlockCipherEncrypt as _, KeyInit as _};
use arrow::array::RecordBatch;
use sm4::Sm4;

use crate::error::FingerprintError;
use crate::keys::{MarkKey, Profile};
use crate::row_key::{INTEGER, RowKeys};

/// Sixteen bytes: the input and output of both ciphers, the id of a row, or the point of a position.
pub type Block = aes::Block;

/// How many blocks are worked on at once: few enough to stay in the nearest cache, enough for the widest instructions.
pub(crate) const CHUNK_BLOCKS: usize = 512;

/// A block cipher under one key, as a pseudo-random function.
#[derive(Clone)]
pub(crate) enum Prf {
    Aes(Box<Aes128>),
    Sm4(Box<Sm4>),
}

impl Prf {
    pub(crate) fn new(profile: Profile, key: &[u8; 16]) -> Self {
        match profile {
            Profile::Aes => Prf::Aes(Box::new(Aes128::new(key.into()))),
            Profile::Sm4 => Prf::Sm4(Box::new(Sm4::new(key.into()))),
        }
    }

    pub(crate) fn encrypt(&self, blocks: &mut [Block]) {
        match self {
            Prf::Aes(cipher) => cipher.encrypt_blocks(blocks),
            Prf::Sm4(cipher) => cipher.encrypt_blocks(blocks),
        }
    }
}

/// Exclusive or of two blocks.
pub(crate) fn xor(left: &Block, right: &Block) -> Block {
    (u128::from_ne_bytes((*left).into()) ^ u128::from_ne_bytes((*right).into())).to_ne_bytes().into()
}

/// What the key of positions computes: ids of rows, and what is secret about each cell.
#[derive(Clone)]
pub struct PositionSecrets {
    rows: Prf,
    cells: Prf,
}

impl PositionSecrets {
    /// From the key of use [`crate::KeyUse::Positions`].
    pub fn new(key: &MarkKey) -> Self {
        let (rows, cells) = key.cipher_keys();
        Self { rows: Prf::new(key.profile(), &rows), cells: Prf::new(key.profile(), &cells) }
    }

    /// The ids of a batch's rows by the columns of their key.
    ///
    /// # Errors
    /// Those of [`RowKeys::of_columns`].
    pub fn ids_of_rows(&self, batch: &RecordBatch, key: &[String]) -> Result<Vec<Block>, FingerprintError> {
        match RowKeys::whole_numbers(batch, key) {
            Some(numbers) => Ok(self.ids_of_numbers(numbers)),
            None => Ok(self.row_ids(&RowKeys::of_columns(batch, key)?)),
        }
    }

    /// The ids of keys that are one whole number each, by far the most frequent case: one block, made at once.
    fn ids_of_numbers(&self, numbers: &[i64]) -> Vec<Block> {
        // The length in front, the tag of an integer and its eight bytes.
        let opening = 9 | u128::from(INTEGER) << 32;
        let framed = |number: &i64| Block::from((opening | u128::from(number.cast_unsigned()) << 40).to_le_bytes());
        let mut ids: Vec<Block> = numbers.iter().map(framed).collect();
        for chunk in ids.chunks_mut(CHUNK_BLOCKS) {
            self.rows.encrypt(chunk);
        }
        ids
    }

    /// The id of each row: CBC-MAC of its key with the length in front, a pseudo-random function on strings none of
    /// which begins another (Bellare, Kilian, Rogaway 2000). A key of at most 12 bytes costs one block.
    pub fn row_ids(&self, keys: &RowKeys) -> Vec<Block> {
        const FIRST: usize = 12;
        let mut ids = Vec::with_capacity(keys.len());
        let mut longest = 0;
        for key in keys.iter() {
            let mut block = [0; 16];
            block[..4].copy_from_slice(&u32::try_from(key.len()).unwrap_or(u32::MAX).to_le_bytes());
            let head = key.len().min(FIRST);
            block[4..4 + head].copy_from_slice(&key[..head]);
            longest = longest.max(key.len());
            ids.push(Block::from(block));
        }
        for chunk in ids.chunks_mut(CHUNK_BLOCKS) {
            self.rows.encrypt(chunk);
        }
        // What is left of longer keys, one block of each at a time; `ROW_KEY_BYTES_MAX` bounds the rounds.
        let (mut at, mut places, mut blocks) = (FIRST, Vec::new(), Vec::new());
        while at < longest {
            places.clear();
            blocks.clear();
            for (row, key) in keys.iter().enumerate().filter(|(_, key)| key.len() > at) {
                let mut block = [0; 16];
                let part = &key[at..key.len().min(at + 16)];
                block[..part.len()].copy_from_slice(part);
                places.push(row);
                blocks.push(xor(&ids[row], &Block::from(block)));
            }
            for chunk in blocks.chunks_mut(CHUNK_BLOCKS) {
                self.rows.encrypt(chunk);
            }
            for (row, block) in places.iter().zip(&blocks) {
                ids[*row] = *block;
            }
            at += 16;
        }
        ids
    }

    /// A constant block for a name, added to ids of rows: of a column's mark, of presence, of decoys.
    pub(crate) fn tweak(&self, kind: &str, name: &str) -> Block {
        let mut key = Vec::with_capacity(kind.len() + name.len() + 2);
        key.push(u8::MAX); // No row's key begins with this byte: see `row_key`.
        key.extend_from_slice(kind.as_bytes());
        key.push(0);
        key.extend_from_slice(name.as_bytes());
        self.row_ids(&RowKeys::one(key)).pop().unwrap_or_default()
    }

    /// Turns points into what is secret about them (see [`crate::Position`]).
    pub(crate) fn secrets(&self, points: &mut [Block]) {
        self.cells.encrypt(points);
    }
}

/// A recipient's or an order's code: one bit at each position.
#[derive(Clone)]
pub struct RecipientCode(Prf);

impl RecipientCode {
    /// From a key of use [`crate::KeyUse::Recipient`] or [`crate::KeyUse::Order`].
    pub fn new(key: &MarkKey) -> Self {
        Self(Prf::new(key.profile(), &key.cipher_keys().0))
    }

    /// Turns points into uniform numbers (the first four bytes of each, little-endian); the bit at a position is whether
    /// its number is below the position's threshold.
    pub(crate) fn draw(&self, points: &mut [Block]) {
        self.0.encrypt(points);
    }

    /// The bits at points with their thresholds (bias times 2^32). Both slices have the same length.
    pub fn bits(&self, points: &[Block], thresholds: &[u32]) -> Vec<bool> {
        let mut drawn = points.to_vec();
        for chunk in drawn.chunks_mut(CHUNK_BLOCKS) {
            self.draw(chunk);
        }
        drawn.iter().zip(thresholds).map(|(block, threshold)| number(block) < *threshold).collect()
    }
}

/// The first four bytes of a block as a number.
pub(crate) fn number(block: &Block) -> u32 {
    u32::from_le_bytes([block[0], block[1], block[2], block[3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_answers() {
        // FIPS 197 appendix C.1 and GB/T 32907 appendix A.1.
        let key: [u8; 16] = std::array::from_fn(|i| i as u8);
        let plain: [u8; 16] = std::array::from_fn(|i| (i * 0x11) as u8);
        let mut block = [Block::from(plain)];
        Prf::new(Profile::Aes, &key).encrypt(&mut block);
        assert_eq!(hex::encode(block[0]), "69c4e0d86a7b0430d8cdb78070b4c55a");
        let key: [u8; 16] = hex::decode("0123456789abcdeffedcba9876543210").unwrap().try_into().unwrap();
        let mut block = [Block::from(key)];
        Prf::new(Profile::Sm4, &key).encrypt(&mut block);
        assert_eq!(hex::encode(block[0]), "681edf34d206965e86b3e94f536e4246");
    }

    #[test]
    fn a_whole_number_has_the_id_of_its_key() {
        use std::sync::Arc;

        use arrow::array::{ArrayRef, Int32Array, Int64Array};

        let secrets = PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [4; 32]));
        let numbers: Vec<i64> = (-700..700).chain([i64::MIN, i64::MAX, 1 << 40]).collect();
        let missing: Vec<Option<i64>> = numbers.iter().map(|number| (number % 5 != 0).then_some(*number)).collect();
        let narrow: Vec<i32> = (-3..3).collect();
        let columns: [ArrayRef; 3] = [
            Arc::new(Int64Array::from(numbers)),
            Arc::new(Int64Array::from(missing)),
            Arc::new(Int32Array::from(narrow)),
        ];
        for (column, is_plain) in columns.into_iter().zip([true, false, false]) {
            let (batch, key) = (RecordBatch::try_from_iter([("id", column)]).unwrap(), ["id".to_string()]);
            assert_eq!(RowKeys::whole_numbers(&batch, &key).is_some(), is_plain);
            let ids = secrets.ids_of_rows(&batch, &key).unwrap();
            assert_eq!(ids, secrets.row_ids(&RowKeys::of_columns(&batch, &key).unwrap()));
        }
    }

    #[test]
    fn ids_of_rows_are_the_chained_ones_alone_and_together() {
        let secrets = PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [3; 32]));
        let keys: Vec<Vec<u8>> = (0..70).map(|length| vec![5; length]).collect();
        let ids = secrets.row_ids(&RowKeys::of_bytes(&keys).unwrap());
        for (key, id) in keys.iter().zip(&ids) {
            // The definition, one block after the other.
            let mut framed = u32::try_from(key.len()).unwrap().to_le_bytes().to_vec();
            framed.extend_from_slice(key);
            framed.resize(framed.len().div_ceil(16) * 16, 0);
            let mut state = Block::default();
            for part in framed.chunks(16) {
                let mut block = [xor(&state, &Block::from(<[u8; 16]>::try_from(part).unwrap()))];
                secrets.rows.encrypt(&mut block);
                state = block[0];
            }
            assert_eq!(*id, state);
            assert_eq!(secrets.row_ids(&RowKeys::one(key.clone())), [state]);
        }
        let distinct: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(distinct.len(), ids.len());
    }
}
