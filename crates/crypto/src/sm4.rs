use std::fmt;

use sm4::cipher::{BlockCipherEncrypt as _, KeyInit as _};

/// Length of an SM4 block in bytes.
pub const SM4_BLOCK_BYTES: usize = 16;

/// A key of SM4 (GB/T 32907), used forward only: as a keyed permutation of blocks from which nobody without the key can
/// tell one input from another. It is no way of sealing anything; that is [`crate::SealKey`]. Wiped when dropped.
#[derive(Clone)]
pub struct Sm4Key(sm4::Sm4);

impl Sm4Key {
    /// The key with these bytes, which must be random or derived.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let bytes = zeroize::Zeroizing::new(bytes);
        Self(sm4::Sm4::new((&*bytes).into()))
    }

    /// The image of a block.
    pub fn encrypt(&self, block: [u8; SM4_BLOCK_BYTES]) -> [u8; SM4_BLOCK_BYTES] {
        let mut block = block.into();
        self.0.encrypt_block(&mut block);
        block.into()
    }
}

impl fmt::Debug for Sm4Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sm4Key(hidden)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(digits: &str) -> [u8; 16] {
        hex::decode(digits).unwrap().try_into().unwrap()
    }

    #[test]
    fn known_answers() {
        // GB/T 32907-2016 appendix A: example 1, and example 2 with 1,000,000 rounds.
        let start = bytes("0123456789abcdeffedcba9876543210");
        let key = Sm4Key::from_bytes(start);
        assert_eq!(hex::encode(key.encrypt(start)), "681edf34d206965e86b3e94f536e4246");
        let many = (0..1_000_000).fold(start, |block, _| key.encrypt(block));
        assert_eq!(hex::encode(many), "595298c7c6fd271f0402f804c33d3f66");
    }

    #[test]
    fn debug_does_not_show_the_key() {
        assert_eq!(format!("{:?}", Sm4Key::from_bytes([7; 16])), "Sm4Key(hidden)");
    }
}
