//! What is drawn by lot: by a secret of the node, so that it is the same each time and nobody else can draw it.

use lingqu_fingerprint::{Block, FingerprintError, MarkKey, PositionSecrets, Profile, RowKeys};

/// Opens the name of each draw. A row's key begins with a smaller byte, so no draw is ever that of a row.
const DRAW: u8 = 200;

/// The draws of one product.
pub(super) struct Lots(PositionSecrets);

/// What is drawn. The numbers are part of every draw and never change: other ones would be other decoys.
#[derive(Clone, Copy)]
pub(super) enum Lot {
    /// Where the row lies that a decoy has a group of columns from.
    Donor = 1,
    /// Where a second row lies, that its key is mixed with.
    Second = 2,
    /// How its key differs from any that is there.
    Twist = 3,
}

impl Lots {
    pub(super) fn of(secret: &[u8; 32]) -> Lots {
        Lots(PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, *secret)))
    }

    /// A number for a decoy: of its `part`, in a try.
    pub(super) fn draw(&self, lot: Lot, decoy: usize, part: usize, attempt: usize) -> Result<u64, FingerprintError> {
        let mut name = vec![DRAW, lot as u8];
        for number in [decoy, part, attempt] {
            name.extend_from_slice(&u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes());
        }
        let drawn = self.0.row_ids(&RowKeys::of_bytes(&[name])?);
        Ok(drawn.first().map_or(0, number))
    }

    /// The ids of rows.
    pub(super) fn ids(&self, keys: &RowKeys) -> Vec<Block> {
        self.0.row_ids(keys)
    }
}

/// The first eight bytes of a block.
pub(super) fn number(block: &Block) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&block[..8]);
    u64::from_le_bytes(bytes)
}
