//! Recipients of a table with their keys: those who are registered, and strangers beyond them, as many as are asked for.

use lingqu_fingerprint::{
    FingerprintError, HalfKey, KeyUse, MarkKey, Marker, Marking, PositionSecrets, Profile, RecipientCode,
};

use crate::chance::Chance;

/// How many recipients a correction counts.
pub const REGISTERED: usize = 10_000;

/// The most draws of codes in each pass of a trial that doesn't test everybody: shorter than the rest of it takes.
const DRAWS_MAX_AES: usize = 1_000_000;
const DRAWS_MAX_SM4: usize = 100_000;

pub struct Registry {
    pub table: &'static str,
    pub secrets: PositionSecrets,
    profile: Profile,
    halves: (HalfKey, HalfKey),
    codes: Vec<RecipientCode>,
}

impl Registry {
    pub fn open(table: &'static str, profile: Profile) -> Self {
        let halves = (HalfKey::from_bytes([1; 32]), HalfKey::from_bytes([2; 32]));
        let positions = KeyUse::Positions { table, epoch: 0 };
        let secrets = PositionSecrets::new(&MarkKey::of_halves(&halves.0, &halves.1, profile, &positions));
        let mut registry = Self { table, secrets, profile, halves, codes: Vec::with_capacity(REGISTERED) };
        registry.codes.extend((0..REGISTERED).map(|number| registry.code(number)).collect::<Vec<_>>());
        registry
    }

    fn key(&self, key_use: &KeyUse<'_>) -> MarkKey {
        MarkKey::of_halves(&self.halves.0, &self.halves.1, self.profile, key_use)
    }

    fn code(&self, number: usize) -> RecipientCode {
        let recipient = format!("recipient {number}");
        RecipientCode::new(&self.key(&KeyUse::Recipient { table: self.table, recipient: &recipient }))
    }

    /// The code of somebody who is not registered, and of whom nobody needs a copy: any key will do.
    pub fn stranger(&self, number: usize) -> RecipientCode {
        let bytes = lingqu_crypto::sha256(format!("{} stranger {number}", self.table).as_bytes());
        RecipientCode::new(&MarkKey::from_bytes(self.profile, bytes.0))
    }

    pub fn registered(&self) -> &[RecipientCode] {
        &self.codes
    }

    /// Who makes a registered recipient's copy.
    pub fn marker<'a>(&'a self, marking: &'a Marking, recipient: usize) -> Result<Marker<'a>, FingerprintError> {
        let order = format!("order of {recipient}");
        let order = RecipientCode::new(&self.key(&KeyUse::Order { table: self.table, order: &order }));
        Marker::new(marking, &self.secrets, self.codes[recipient].clone(), order)
    }

    pub fn colluders(&self, count: usize, chance: &mut Chance) -> Vec<usize> {
        chance.sample(REGISTERED, count)
    }

    pub fn draws_max(&self) -> usize {
        match self.profile {
            Profile::Aes => DRAWS_MAX_AES,
            Profile::Sm4 => DRAWS_MAX_SM4,
        }
    }
}
