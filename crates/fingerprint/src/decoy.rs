//! Decoys: rows of subjects that do not exist, given to some recipients by the code, where the contract names them.

use std::collections::BTreeMap;

use crate::code::BiasTable;
use crate::error::FingerprintError;
use crate::observe::{Observation, Source};
use crate::prf::{Block, PositionSecrets, RecipientCode, xor};
use crate::row_key::RowKeys;

/// One decoy. Its content is plausible and made elsewhere; here it is known by its key alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoy {
    point: Block,
    threshold: u32,
}

/// The decoys of a table. Kept by the node and nobody else: who has it can take them out.
///
/// Several recipients share a decoy, each with its bias, so that a coalition can't find them all as rows that only one of
/// its members has.
#[derive(Debug, Clone, Default)]
pub struct DecoyRegister(BTreeMap<Vec<u8>, Decoy>);

impl DecoyRegister {
    /// The most decoys of one table.
    pub const DECOYS_MAX: usize = 100_000;

    /// Registers rows with these keys.
    ///
    /// # Errors
    /// [`FingerprintError::TooMany`].
    pub fn register(
        &mut self,
        secrets: &PositionSecrets,
        biases: &BiasTable,
        keys: &RowKeys,
    ) -> Result<(), FingerprintError> {
        if self.0.len() + keys.len() > Self::DECOYS_MAX {
            return Err(FingerprintError::TooMany { what: "decoys of one table", count_max: Self::DECOYS_MAX });
        }
        let tweak = secrets.tweak("decoy", "");
        let points: Vec<Block> = secrets.row_ids(keys).iter().map(|id| xor(id, &tweak)).collect();
        let mut classes = points.clone();
        secrets.secrets(&mut classes);
        for ((key, point), class) in keys.iter().zip(points).zip(classes) {
            self.0.insert(key.to_vec(), Decoy { point, threshold: biases.threshold(class[4]) });
        }
        Ok(())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys of the decoys that this recipient's copy holds.
    pub fn given(&self, recipient: &RecipientCode) -> Vec<&[u8]> {
        let points: Vec<Block> = self.0.values().map(|decoy| decoy.point).collect();
        let thresholds: Vec<u32> = self.0.values().map(|decoy| decoy.threshold).collect();
        let bits = recipient.bits(&points, &thresholds);
        self.0.keys().zip(bits).filter(|(_, bit)| *bit).map(|(key, _)| key.as_slice()).collect()
    }

    /// What a fragment's rows show: each decoy among them, once. One that is absent shows nothing, since fragments are.
    pub fn observe(&self, keys: &RowKeys) -> Vec<Observation> {
        let mut found = BTreeMap::new();
        for (row, key) in keys.iter().enumerate() {
            if let Some((key, decoy)) = self.0.get_key_value(key) {
                found.entry(key).or_insert((row, decoy));
            }
        }
        let observation = |(row, decoy): (usize, &Decoy)| Observation {
            source: Source::Decoy,
            row: u32::try_from(row).unwrap_or(u32::MAX),
            point: decoy.point,
            threshold: decoy.threshold,
            order: false,
            residual: 1.0,
        };
        found.into_values().map(observation).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{MarkKey, Profile};

    #[test]
    fn decoys_are_shared_and_found_again() {
        let secrets = PositionSecrets::new(&MarkKey::from_bytes(Profile::Aes, [1; 32]));
        let keys: Vec<[u8; 4]> = (0..400u32).map(u32::to_be_bytes).collect();
        let mut register = DecoyRegister::default();
        register.register(&secrets, &BiasTable::default(), &RowKeys::of_bytes(&keys).unwrap()).unwrap();
        let codes = [7, 8].map(|byte| RecipientCode::new(&MarkKey::from_bytes(Profile::Aes, [byte; 32])));
        let [left, right] = codes.each_ref().map(|code| register.given(code));
        assert!((150..250).contains(&left.len()) && left != right);
        assert!(left.iter().filter(|key| right.contains(*key)).count() > left.len() / 2);
        // A leaked decoy counts once however often it stands in the fragment.
        let leaked: Vec<&[u8]> = left.iter().chain(&left).copied().chain([&b"real"[..]]).collect();
        let observed = register.observe(&RowKeys::of_bytes(&leaked).unwrap());
        assert_eq!(observed.len(), left.len());
        let points: Vec<Block> = observed.iter().map(|o| o.point).collect();
        let thresholds: Vec<u32> = observed.iter().map(|o| o.threshold).collect();
        assert!(codes[0].bits(&points, &thresholds).iter().all(|bit| *bit));
        assert!(!codes[1].bits(&points, &thresholds).iter().all(|bit| *bit));
    }
}
