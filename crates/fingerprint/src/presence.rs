//! Marks by presence: where no value may change, each recipient's copy lacks a secret share of the rows of its own.

use arrow::array::BooleanArray;

use crate::error::FingerprintError;
use crate::prf::{Block, CHUNK_BLOCKS, PositionSecrets, RecipientCode, number, xor};

/// How many rows are left out of each recipient's copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Presence {
    /// The share of rows that is left out, times 2^32.
    pub omitted: u32,
}

impl Presence {
    /// The largest share: a tenth. More would be another product.
    pub const OMITTED_MAX: u32 = 429_496_729;

    /// From a share between zero and a tenth, for example 0.005.
    pub fn of_share(share: f64) -> Self {
        Self { omitted: crate::marking::share_to_rate(share) }
    }

    /// The weight that each delivered row carries so that totals stay right: one over the share that is delivered.
    pub fn weight(&self) -> f64 {
        1.0 / (1.0 - crate::marking::rate_to_share(self.omitted))
    }

    pub(crate) fn check(&self) -> Result<(), FingerprintError> {
        if self.omitted == 0 || self.omitted > Self::OMITTED_MAX {
            let reason = "the share of rows that is left out must be above zero and at most a tenth";
            return Err(FingerprintError::Declaration { subject: "the presence of rows".to_string(), reason });
        }
        Ok(())
    }

    /// A row is delivered when the recipient's number is below this: as a position, its bias is the delivered share.
    pub(crate) fn threshold(&self) -> u32 {
        u32::MAX - self.omitted + 1
    }

    /// The points of rows for presence.
    pub(crate) fn points(secrets: &PositionSecrets, row_ids: &[Block]) -> Vec<Block> {
        let tweak = secrets.tweak("presence", "");
        row_ids.iter().map(|id| xor(id, &tweak)).collect()
    }

    /// Which of the rows this recipient receives. An order's code is not asked: a recipient has one set of rows.
    pub fn delivered(&self, secrets: &PositionSecrets, row_ids: &[Block], recipient: &RecipientCode) -> BooleanArray {
        let threshold = self.threshold();
        let mut points = Self::points(secrets, row_ids);
        for chunk in points.chunks_mut(CHUNK_BLOCKS) {
            recipient.draw(chunk);
        }
        points.iter().map(|block| Some(number(block) < threshold)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{MarkKey, Profile};
    use crate::row_key::RowKeys;

    #[test]
    fn each_recipient_lacks_his_own_share() {
        let presence = Presence::of_share(0.005);
        presence.check().unwrap();
        assert!((presence.weight() - 1.0 / 0.995).abs() < 1e-9);
        let secrets = PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [1; 32]));
        let keys: Vec<[u8; 4]> = (0..100_000u32).map(u32::to_be_bytes).collect();
        let ids = secrets.row_ids(&RowKeys::of_bytes(&keys).unwrap());
        let copies: Vec<BooleanArray> = [7, 8]
            .map(|byte| RecipientCode::new(&MarkKey::from_bytes(Profile::Aes, [byte; 32])))
            .iter()
            .map(|code| presence.delivered(&secrets, &ids, code))
            .collect();
        for copy in &copies {
            let omitted = ids.len() - copy.true_count();
            // 500 expected, standard deviation 22; the keys are fixed, so this never fails by chance.
            assert!((400..600).contains(&omitted), "{omitted}");
        }
        let both = copies[0].iter().zip(&copies[1]).filter(|pair| *pair == (Some(false), Some(false))).count();
        assert!(both < 20, "{both}");
        assert!(Presence::of_share(0.0).check().is_err());
        assert!(Presence::of_share(0.2).check().is_err());
    }
}
