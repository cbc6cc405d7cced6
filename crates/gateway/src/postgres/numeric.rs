//! Decimals as PostgreSQL's `numeric` (`src/backend/utils/adt/numeric.c`, `numeric_send` and `numeric_recv`): binary groups of
//! four decimal digits with the weight of the first, or plain text. All 38 digits of a decimal are kept.

use bytes::{BufMut, BytesMut};

/// Digits of the largest decimal.
const DIGITS_MAX: u32 = 38;
const SIGN_POSITIVE: u16 = 0x0000;
const SIGN_NEGATIVE: u16 = 0x4000;

/// A decimal: `unscaled` × 10^-`scale`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Numeric {
    pub(super) unscaled: i128,
    /// Digits after the point, at most 38; below zero there are zeros before it.
    pub(super) scale: i8,
}

impl Numeric {
    /// Its digits with the point, every digit after the point included.
    pub(super) fn to_text(self) -> String {
        let mut digits = self.unscaled.unsigned_abs().to_string();
        let sign = if self.unscaled < 0 { "-" } else { "" };
        let Ok(scale) = usize::try_from(self.scale) else {
            if self.unscaled != 0 {
                digits.extend(std::iter::repeat_n('0', usize::from(self.scale.unsigned_abs())));
            }
            return format!("{sign}{digits}");
        };
        if scale == 0 {
            return format!("{sign}{digits}");
        }
        if digits.len() <= scale {
            digits.insert_str(0, &"0".repeat(scale + 1 - digits.len()));
        }
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        format!("{sign}{whole}.{fraction}")
    }

    /// The form of the binary format.
    pub(super) fn put(self, bytes: &mut BytesMut) {
        let text = self.to_text();
        let unsigned = text.trim_start_matches('-');
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        let mut groups = Vec::new();
        let padded = format!("{}{whole}", "0".repeat((4 - whole.len() % 4) % 4));
        let weight = (padded.len() / 4) as i16 - 1;
        let fraction_padded = format!("{fraction}{}", "0".repeat((4 - fraction.len() % 4) % 4));
        for group in padded.as_bytes().chunks(4).chain(fraction_padded.as_bytes().chunks(4)) {
            groups.push(group.iter().fold(0_i16, |sum, digit| sum * 10 + i16::from(digit - b'0')));
        }
        let leading = groups.iter().take_while(|group| **group == 0).count();
        let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
        let groups = if leading == groups.len() { &[][..] } else { &groups[leading..groups.len() - trailing] };
        bytes.put_i16(groups.len() as i16);
        bytes.put_i16(if groups.is_empty() { 0 } else { weight - leading as i16 });
        bytes.put_u16(if self.unscaled < 0 { SIGN_NEGATIVE } else { SIGN_POSITIVE });
        bytes.put_i16(fraction.len() as i16);
        for group in groups {
            bytes.put_i16(*group);
        }
    }

    /// Reads digits with an optional sign, point and exponent. Nothing for anything else, or when 38 digits do not hold it.
    pub(super) fn from_text(text: &str) -> Option<Numeric> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (is_negative, unsigned) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let mut unscaled: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            if !digit.is_ascii_digit() {
                return None;
            }
            unscaled = unscaled.checked_mul(10)?.checked_add(i128::from(digit - b'0'))?;
        }
        if is_negative {
            unscaled = -unscaled;
        }
        scaled(unscaled, i32::try_from(fraction.len()).ok()?.checked_sub(exponent)?)
    }

    /// Reads the form of the binary format. Nothing for anything else, for what is no number, or when 38 digits do not hold
    /// it.
    pub(super) fn from_binary(bytes: &[u8]) -> Option<Numeric> {
        let word = |at: usize| Some(u16::from_be_bytes(bytes.get(at * 2..at * 2 + 2)?.try_into().ok()?));
        let (count, weight, sign, scale) = (word(0)?, word(1)? as i16, word(2)?, word(3)? as i16);
        if bytes.len() != 8 + usize::from(count) * 2 || ![SIGN_POSITIVE, SIGN_NEGATIVE].contains(&sign) {
            return None;
        }
        // The last group stands for 10,000^(weight + 1 - count); its digits after the scale are zeros that fill it.
        let mut places = (i32::from(count) - 1 - i32::from(weight)) * 4;
        let filling = (places - i32::from(scale)).clamp(0, 3);
        let mut unscaled: i128 = 0;
        for at in 0..usize::from(count) {
            let group = i128::from(word(4 + at).filter(|group| *group < 10_000)?);
            let is_last = at + 1 == usize::from(count);
            let filler = 10_i128.pow(filling as u32);
            if is_last && group % filler == 0 {
                unscaled = unscaled.checked_mul(10_000 / filler)?.checked_add(group / filler)?;
                places -= filling;
            } else {
                unscaled = unscaled.checked_mul(10_000)?.checked_add(group)?;
            }
        }
        if sign == SIGN_NEGATIVE {
            unscaled = -unscaled;
        }
        scaled(unscaled, places)
    }
}

/// With a scale of 0 to 38, so that a decimal type has it.
fn scaled(mut unscaled: i128, mut scale: i32) -> Option<Numeric> {
    if unscaled == 0 {
        scale = scale.clamp(0, DIGITS_MAX as i32);
    }
    while scale < 0 {
        unscaled = unscaled.checked_mul(10)?;
        scale += 1;
    }
    let fits = unscaled.unsigned_abs() < 10_u128.pow(DIGITS_MAX) && scale <= DIGITS_MAX as i32;
    fits.then_some(Numeric { unscaled, scale: scale as i8 })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn binary(numeric: Numeric) -> Vec<u8> {
        let mut bytes = BytesMut::new();
        numeric.put(&mut bytes);
        bytes.to_vec()
    }

    #[test]
    fn text_keeps_every_digit() {
        let text = |unscaled, scale| Numeric { unscaled, scale }.to_text();
        assert_eq!(text(-12_345, 2), "-123.45");
        assert_eq!(text(5, 3), "0.005");
        assert_eq!(text(0, 2), "0.00");
        assert_eq!(text(12, -3), "12000");
        assert_eq!(text(10_i128.pow(38) - 1, 0), "9".repeat(38));
    }

    /// As PostgreSQL 15 answers `SELECT numeric_send(…)`.
    #[test]
    fn binary_is_what_postgresql_sends() {
        let sent = |text: &str| hex(&binary(Numeric::from_text(text).unwrap()));
        assert_eq!(sent("-123.45"), "00020000400000020 07b1194".replace(' ', ""));
        assert_eq!(sent("0.00"), "0000000000000002");
        assert_eq!(sent("12000000"), "000100010000000004b0");
        assert_eq!(sent("0.00012"), "0002ffff00000005000103e8".replace("000103e8", "000107d0"));
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn what_is_no_decimal_is_refused() {
        for text in ["", "-", ".", "1.2.3", "1e", "NaN", "١", "1e40", &"9".repeat(39), "0.1e-40"] {
            assert_eq!(Numeric::from_text(text), None, "{text}");
        }
        assert_eq!(Numeric::from_text("1.5e3"), Some(Numeric { unscaled: 1_500, scale: 0 }));
        assert_eq!(Numeric::from_text("+.5"), Some(Numeric { unscaled: 5, scale: 1 }));
        // Not a number.
        assert_eq!(Numeric::from_binary(&[0, 0, 0, 0, 0xc0, 0, 0, 0]), None);
    }

    proptest! {
        #[test]
        fn both_forms_come_back(unscaled in -(10_i128.pow(37))..10_i128.pow(37), scale in 0_i8..=38) {
            let numeric = Numeric { unscaled, scale };
            prop_assert_eq!(Numeric::from_text(&numeric.to_text()), Some(numeric));
            let back = Numeric::from_binary(&binary(numeric)).unwrap();
            // Zeros after the point are told by the scale alone.
            prop_assert!(back.scale <= numeric.scale);
            prop_assert_eq!(back.unscaled * 10_i128.pow((numeric.scale - back.scale) as u32), numeric.unscaled);
        }

        #[test]
        fn reading_never_panics(text: String, bytes: Vec<u8>) {
            let _ = Numeric::from_text(&text);
            let _ = Numeric::from_binary(&bytes);
        }
    }
}
