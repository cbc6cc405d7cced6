//! Seeded random numbers (SplitMix64, Steele, Lea and Flood 2014): for attackers, never for marks.

pub struct Chance(u64);

impl Chance {
    pub fn new(seed: &str) -> Self {
        let digest = lingqu_crypto::sha256(seed.as_bytes());
        Self(digest.0[..8].iter().fold(0, |seed, byte| seed << 8 | u64::from(*byte)))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn uniform(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    pub fn below(&mut self, count: usize) -> usize {
        (self.uniform() * count as f64) as usize
    }

    /// A standard normal number (Box and Muller 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * (1.0 - self.uniform()).ln()).sqrt() * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Some of `0..count`, in order.
    pub fn sample(&mut self, count: usize, wanted: usize) -> Vec<usize> {
        let (mut left, mut out) = (wanted, Vec::with_capacity(wanted));
        for at in 0..count {
            if self.below(count - at) < left {
                out.push(at);
                left -= 1;
            }
        }
        out
    }
}
