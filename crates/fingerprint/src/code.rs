//! The code: at each position a bias, and for each recipient a bit that is one with that probability.
//!
//! Tardos (STOC 2003) with biases drawn from the arcsine density with a cut-off; the density is laid out in equal parts, so
//! that a position's bias is one of [`BIAS_CLASSES`] and exact in binary.

use crate::prf::{Block, number};

/// How many biases there are.
pub const BIAS_CLASSES: usize = 256;

/// The biases of a code as thresholds: bias times 2^32, a multiple of 2^16.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BiasTable([u32; BIAS_CLASSES]);

impl BiasTable {
    /// The cut-off that notes and simulations of this code use: no bias below one in a hundred or above 99 in a hundred.
    pub const CUT_OFF: f64 = 0.01;

    /// The biases between `cut_off` and one minus it: the midpoints of equal shares of the arcsine distribution, whose
    /// distribution function is (2/π) arcsin √p.
    ///
    /// A smaller cut-off carries more against large coalitions and makes the tails of scores heavier. Out of the range from
    /// 2^-12 to one quarter it is taken as the nearer end.
    pub fn new(cut_off: f64) -> Self {
        let cut_off = if cut_off.is_nan() { Self::CUT_OFF } else { cut_off.clamp(1.0 / 4_096.0, 0.25) };
        let from = cut_off.sqrt().asin();
        let to = std::f64::consts::FRAC_PI_2 - from;
        let mut thresholds = [0; BIAS_CLASSES];
        for (class, threshold) in thresholds.iter_mut().enumerate() {
            let angle = from + (to - from) * (class as f64 + 0.5) / BIAS_CLASSES as f64;
            // Rounded to 16 bits, so that it is the same where a sine is rounded otherwise.
            let bias = (angle.sin().powi(2) * 65_536.0).round().clamp(1.0, 65_535.0);
            *threshold = (bias as u32) << 16;
        }
        Self(thresholds)
    }

    /// The threshold of a class.
    pub fn threshold(&self, class: u8) -> u32 {
        self.0[usize::from(class)]
    }
}

impl Default for BiasTable {
    fn default() -> Self {
        Self::new(Self::CUT_OFF)
    }
}

/// The probability that a threshold stands for.
pub(crate) fn bias(threshold: u32) -> f64 {
    f64::from(threshold) / 4_294_967_296.0
}

/// What the key of positions says about one cell, whoever receives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Uniform; the cell is marked when it is below the mark's rate (times 2^32).
    pub selector: u32,
    /// The class of its bias.
    pub class: u8,
    /// Whether a bit of one moves the value downwards.
    pub reversed: bool,
    /// One of sixteen directions, for places.
    pub direction: u8,
    /// Uniform; the order's code is used instead of the recipient's when it is below the marking's share (times 2^16).
    pub share: u16,
    /// Uniform; which other member of a confusion set.
    pub choice: u32,
}

impl Position {
    /// Reads the block that the key makes of the position's point.
    pub fn read(secret: &Block) -> Self {
        Self {
            selector: number(secret),
            class: secret[4],
            reversed: secret[5] & 1 == 1,
            direction: (secret[5] >> 1) & 15,
            share: u16::from_le_bytes([secret[6], secret[7]]),
            choice: u32::from_le_bytes([secret[8], secret[9], secret[10], secret[11]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn biases_are_symmetric_within_the_cut_off_and_never_change() {
        let table = BiasTable::default();
        for class in 0..=255u8 {
            let (p, mirrored) = (bias(table.threshold(class)), bias(table.threshold(255 - class)));
            assert!((0.01..=0.99).contains(&p), "{p}");
            assert!((p + mirrored - 1.0).abs() <= 2.0 / 65_536.0);
        }
        // Copies that are out there were marked with these: a change would make them untraceable.
        let bytes: Vec<u8> = table.0.iter().flat_map(|threshold| threshold.to_le_bytes()).collect();
        assert_eq!(
            lingqu_crypto::sha256(&bytes).to_string(),
            "18887ac62033adb246edf9ef2652af6c5dc2855eec4660b402c0a480ef2029ab"
        );
    }
}
