//! Keys in two halves: neither the node nor the regulator alone can compute a recipient's code.

use std::fmt;

use hkdf::Hkdf;
use sha2::Sha256;
use sm3::Sm3;
use zeroize::Zeroizing;

/// Opens every derivation, so that a half that serves another purpose elsewhere gives unrelated keys here.
const DOMAIN: &[u8] = b"lingqu/fingerprint/v1";

/// Which block cipher draws the marks and which digest derives the keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Profile {
    /// AES-128 (FIPS 197) and HKDF with SHA-256.
    Aes,
    /// SM4 (GB/T 32907) and HKDF with SM3 (GB/T 32905).
    Sm4,
}

impl Profile {
    /// The profile's name in derivations and commitments.
    pub fn name(self) -> &'static str {
        match self {
            Profile::Aes => "aes-sha256",
            Profile::Sm4 => "sm4-sm3",
        }
    }
}

/// What a key is for. Each use has a key of its own, unrelated to all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyUse<'a> {
    /// Where marks lie in a table: rows, cells, biases, signs. One epoch's key is disclosed in a case and then replaced.
    Positions {
        /// Id of the table that is marked.
        table: &'a str,
        /// Counts the replacements.
        epoch: u32,
    },
    /// The code of a recipient in a table; the same for every order, protocol and day.
    Recipient {
        /// Id of the table that is marked.
        table: &'a str,
        /// Id of the consumer.
        recipient: &'a str,
    },
    /// The code of an order at the positions that tell orders of one recipient apart.
    Order {
        /// Id of the table that is marked.
        table: &'a str,
        /// Id of the order.
        order: &'a str,
    },
    /// A recipient's code after an earlier one was disclosed in a case. Where marks lie stays the same.
    RenewedRecipient {
        /// Id of the table that is marked.
        table: &'a str,
        /// Id of the consumer.
        recipient: &'a str,
        /// Counts the replacements, from 1.
        epoch: u32,
    },
    /// An order's code after an earlier one, or its consumer's, was disclosed.
    RenewedOrder {
        /// Id of the table that is marked.
        table: &'a str,
        /// Id of the order.
        order: &'a str,
        /// Counts the replacements of the consumer's code, from 1.
        epoch: u32,
    },
}

impl<'a> KeyUse<'a> {
    /// The code of a recipient in an epoch; the first one is 0.
    pub fn recipient(table: &'a str, recipient: &'a str, epoch: u32) -> Self {
        match epoch {
            0 => KeyUse::Recipient { table, recipient },
            epoch => KeyUse::RenewedRecipient { table, recipient, epoch },
        }
    }

    /// The code of an order in an epoch of its consumer's code.
    pub fn order(table: &'a str, order: &'a str, epoch: u32) -> Self {
        match epoch {
            0 => KeyUse::Order { table, order },
            epoch => KeyUse::RenewedOrder { table, order, epoch },
        }
    }
}

impl KeyUse<'_> {
    /// The input of the derivation: each part after its length in four bytes, big-endian, so that no two uses meet.
    pub(crate) fn encode(&self, profile: Profile) -> Vec<u8> {
        let (kind, table, name, renewal) = match self {
            KeyUse::Positions { table, epoch } => ("positions", *table, epoch.to_string(), None),
            KeyUse::Recipient { table, recipient } => ("recipient", *table, (*recipient).to_string(), None),
            KeyUse::Order { table, order } => ("order", *table, (*order).to_string(), None),
            KeyUse::RenewedRecipient { table, recipient, epoch } => {
                ("renewed recipient", *table, (*recipient).to_string(), Some(epoch.to_string()))
            }
            KeyUse::RenewedOrder { table, order, epoch } => {
                ("renewed order", *table, (*order).to_string(), Some(epoch.to_string()))
            }
        };
        let mut bytes = Vec::new();
        let parts = [DOMAIN, profile.name().as_bytes(), kind.as_bytes(), table.as_bytes(), name.as_bytes()];
        for part in parts.into_iter().chain(renewal.as_ref().map(String::as_bytes)) {
            bytes.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        bytes
    }
}

/// One party's half of the secret: 32 random bytes that never leave it. Wiped from memory when dropped.
#[derive(Clone)]
pub struct HalfKey(Zeroizing<[u8; 32]>);

impl HalfKey {
    /// The half with these bytes, which must be random.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// This party's share of one key: HKDF-Expand (RFC 5869) of the half, with the use as info.
    ///
    /// A share tells nothing about the half or about any other share; so the regulator answers with shares, order by
    /// order, and its half stays where it is.
    pub fn share(&self, profile: Profile, key_use: &KeyUse<'_>) -> KeyShare {
        let info = key_use.encode(profile);
        let mut bytes = Zeroizing::new([0; 32]);
        let expanded = match profile {
            Profile::Aes => Hkdf::<Sha256>::from_prk(&self.0[..]).map(|hkdf| hkdf.expand(&info, &mut bytes[..])),
            Profile::Sm4 => Hkdf::<Sm3>::from_prk(&self.0[..]).map(|hkdf| hkdf.expand(&info, &mut bytes[..])),
        };
        expanded
            .expect("a half has the digest's 32 bytes, which HKDF asks for at least")
            .expect("HKDF gives up to 8,160 bytes and 32 are asked for");
        KeyShare(bytes)
    }
}

impl fmt::Debug for HalfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HalfKey(hidden)")
    }
}

/// One party's share of one key. Wiped from memory when dropped.
#[derive(Clone)]
pub struct KeyShare(Zeroizing<[u8; 32]>);

impl KeyShare {
    /// A share that came from its holder.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// The bytes, to be handed over in confidence.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key of both shares: their exclusive or, which is random as long as one half is unknown.
    pub fn combine(&self, other: &KeyShare, profile: Profile) -> MarkKey {
        let mut bytes = Zeroizing::new([0; 32]);
        for (out, (left, right)) in bytes.iter_mut().zip(self.0.iter().zip(other.0.iter())) {
            *out = left ^ right;
        }
        MarkKey { profile, bytes }
    }
}

impl fmt::Debug for KeyShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyShare(hidden)")
    }
}

/// A key that draws marks: of positions, of a recipient or of an order. Wiped from memory when dropped; so are AES's round keys
/// made from it, those of SM4 are not (see the root manifest).
#[derive(Clone)]
pub struct MarkKey {
    profile: Profile,
    bytes: Zeroizing<[u8; 32]>,
}

impl MarkKey {
    /// A key that was disclosed for a case.
    pub fn from_bytes(profile: Profile, bytes: [u8; 32]) -> Self {
        Self { profile, bytes: Zeroizing::new(bytes) }
    }

    /// The key of one use, from both halves. Only where both are in one place, as in a test or a node without a regulator.
    pub fn of_halves(node: &HalfKey, regulator: &HalfKey, profile: Profile, key_use: &KeyUse<'_>) -> Self {
        node.share(profile, key_use).combine(&regulator.share(profile, key_use), profile)
    }

    /// The profile that the key belongs to.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// The bytes, to be disclosed for a case.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.bytes
    }

    /// The two block-cipher keys of 16 bytes that the key consists of.
    pub(crate) fn cipher_keys(&self) -> (Zeroizing<[u8; 16]>, Zeroizing<[u8; 16]>) {
        let mut first = Zeroizing::new([0; 16]);
        let mut second = Zeroizing::new([0; 16]);
        first.copy_from_slice(&self.bytes[..16]);
        second.copy_from_slice(&self.bytes[16..]);
        (first, second)
    }
}

impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MarkKey({}, hidden)", self.profile.name())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn known_answers() {
        // RFC 5869 expansion, computed with another implementation (Python's hmac) from the definition above.
        let half = HalfKey::from_bytes([7; 32]);
        let share = half.share(Profile::Aes, &KeyUse::Recipient { table: "t", recipient: "r" });
        assert_eq!(hex::encode(share.as_bytes()), KNOWN_AES);
    }

    const KNOWN_AES: &str = "ef15a49672d79229b5953459ea555e3cd99fc8c9781f6a1c1b18d5685f275f6c";

    proptest! {
        #[test]
        fn uses_halves_and_profiles_separate(node: [u8; 32], regulator: [u8; 32], table in "[a-z]{0,6}", name in "[a-z]{1,6}") {
            let (node, regulator) = (HalfKey::from_bytes(node), HalfKey::from_bytes(regulator));
            let key = |profile, key_use| *MarkKey::of_halves(&node, &regulator, profile, &key_use).as_bytes();
            let recipient = KeyUse::Recipient { table: &table, recipient: &name };
            let joined = format!("{table}{}", &name[..1]);
            let moved = KeyUse::Recipient { table: &joined, recipient: &name[1..] };
            prop_assert_ne!(key(Profile::Aes, recipient), key(Profile::Sm4, recipient));
            prop_assert_ne!(key(Profile::Aes, recipient), key(Profile::Aes, KeyUse::Order { table: &table, order: &name }));
            prop_assert_ne!(key(Profile::Aes, recipient), key(Profile::Aes, moved));
        }

        /// Every epoch of every code is another key; the first is the one that there was before there were epochs.
        #[test]
        fn epochs_separate(node: [u8; 32], regulator: [u8; 32], table in "[a-z]{0,6}", name in "[a-z]{1,6}", epoch in 1u32..1_000) {
            let (node, regulator) = (HalfKey::from_bytes(node), HalfKey::from_bytes(regulator));
            let key = |key_use| *MarkKey::of_halves(&node, &regulator, Profile::Aes, &key_use).as_bytes();
            prop_assert_eq!(KeyUse::recipient(&table, &name, 0), KeyUse::Recipient { table: &table, recipient: &name });
            prop_assert_eq!(KeyUse::order(&table, &name, 0), KeyUse::Order { table: &table, order: &name });
            let all = [
                key(KeyUse::recipient(&table, &name, 0)), key(KeyUse::recipient(&table, &name, epoch)),
                key(KeyUse::recipient(&table, &name, epoch + 1)), key(KeyUse::order(&table, &name, 0)),
                key(KeyUse::order(&table, &name, epoch)), key(KeyUse::order(&table, &name, epoch + 1)),
                key(KeyUse::recipient(&table, &format!("{name}{epoch}"), 0)),
            ];
            for (place, one) in all.iter().enumerate() {
                prop_assert!(all[..place].iter().all(|other| other != one), "{}", place);
            }
        }

        #[test]
        fn either_half_changes_the_key(node: [u8; 32], regulator: [u8; 32], at in 0..32usize) {
            let key_use = KeyUse::Positions { table: "t", epoch: 0 };
            let mut other = regulator;
            other[at] ^= 1;
            let [node, regulator, other] = [node, regulator, other].map(HalfKey::from_bytes);
            let key = MarkKey::of_halves(&node, &regulator, Profile::Aes, &key_use);
            let changed = MarkKey::of_halves(&node, &other, Profile::Aes, &key_use);
            let swapped = MarkKey::of_halves(&other, &node, Profile::Aes, &key_use);
            prop_assert_ne!(key.as_bytes(), changed.as_bytes());
            prop_assert_eq!(changed.as_bytes(), swapped.as_bytes());
        }
    }
}
