use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::LedgerError;
use crate::error::cut;

/// An exact amount of money in fen (0.01 yuan), negative allowed. Text and serde form: yuan as `"123.45"`.
///
/// There is no `+`: sums are checked, so that no total can wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Fen(pub i64);

impl Fen {
    /// Nothing.
    pub const ZERO: Fen = Fen(0);

    /// The sum, or [`LedgerError::TooLarge`].
    pub fn checked_add(self, other: Fen) -> Result<Fen, LedgerError> {
        self.0.checked_add(other.0).map(Fen).ok_or(LedgerError::TooLarge)
    }

    /// The difference, or [`LedgerError::TooLarge`].
    pub fn checked_sub(self, other: Fen) -> Result<Fen, LedgerError> {
        self.0.checked_sub(other.0).map(Fen).ok_or(LedgerError::TooLarge)
    }

    /// The amount with the other sign, or [`LedgerError::TooLarge`] for the one amount that has none.
    pub fn checked_neg(self) -> Result<Fen, LedgerError> {
        self.0.checked_neg().map(Fen).ok_or(LedgerError::TooLarge)
    }

    /// The sum of all, or [`LedgerError::TooLarge`].
    pub fn checked_sum(amounts: impl IntoIterator<Item = Fen>) -> Result<Fen, LedgerError> {
        let mut sum = Fen::ZERO;
        for amount in amounts {
            sum = sum.checked_add(amount)?;
        }
        Ok(sum)
    }

    /// The same amount in yuan.
    pub fn to_yuan(self) -> Decimal {
        Decimal::new(self.0, 2)
    }

    /// From yuan that have no fraction of a fen; others are refused, never rounded.
    pub fn from_yuan(yuan: Decimal) -> Result<Fen, LedgerError> {
        let exact = yuan.normalize();
        if exact.scale() > 2 {
            return Err(LedgerError::NotAnAmount { text: cut(&yuan.to_string()) });
        }
        let fen = exact.mantissa().checked_mul(10_i128.pow(2 - exact.scale())).ok_or(LedgerError::TooLarge)?;
        i64::try_from(fen).map(Fen).map_err(|_| LedgerError::TooLarge)
    }
}

impl fmt::Display for Fen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { "-" } else { "" };
        let fen = self.0.unsigned_abs();
        // `pad` lets tables align amounts by the width they ask for.
        f.pad(&format!("{sign}{}.{:02}", fen / 100, fen % 100))
    }
}

impl FromStr for Fen {
    type Err = LedgerError;

    /// Reads `-`, digits, and at most two decimals after a point; no `+`, blanks, exponents or group separators.
    fn from_str(text: &str) -> Result<Fen, LedgerError> {
        let refused = || LedgerError::NotAnAmount { text: cut(text) };
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, fraction) = match digits.split_once('.') {
            Some((whole, fraction)) if (1..=2).contains(&fraction.len()) => (whole, fraction),
            Some(_) => return Err(refused()),
            None => (digits, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) {
            return Err(refused());
        }
        // Eighteen digits of yuan and two of fen fit into i128 with room to spare; longer texts are too large.
        if whole.len() > 18 {
            return Err(LedgerError::TooLarge);
        }
        let mut fen: i128 = 0;
        for digit in format!("{whole}{fraction:0<2}").bytes() {
            fen = fen * 10 + i128::from(digit - b'0');
        }
        let signed = if negative { -fen } else { fen };
        i64::try_from(signed).map(Fen).map_err(|_| LedgerError::TooLarge)
    }
}

impl Serialize for Fen {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts() {
        let amounts = [
            ("0.00", 0),
            ("0.05", 5),
            ("-0.05", -5),
            ("123.45", 12_345),
            ("92233720368547758.07", i64::MAX),
            ("-92233720368547758.08", i64::MIN),
        ];
        for (text, fen) in amounts {
            assert_eq!(Fen(fen).to_string(), text);
            assert_eq!(text.parse(), Ok(Fen(fen)));
        }
        assert_eq!("7".parse(), Ok(Fen(700)));
        assert_eq!("7.5".parse(), Ok(Fen(750)));
        assert_eq!(format!("{:>8}", Fen(5)), "    0.05");
        for text in ["", "-", ".5", "5.", "1.234", "+1", "1e3", "1,000", " 1", "--1", "1.-5", "１"] {
            assert!(text.parse::<Fen>().is_err(), "{text}");
        }
        assert_eq!("92233720368547758.08".parse::<Fen>(), Err(LedgerError::TooLarge));
        assert_eq!("9".repeat(500).parse::<Fen>(), Err(LedgerError::TooLarge));
    }

    #[test]
    fn arithmetic_is_checked() {
        assert_eq!(Fen(i64::MAX).checked_add(Fen(1)), Err(LedgerError::TooLarge));
        assert_eq!(Fen(i64::MIN).checked_sub(Fen(1)), Err(LedgerError::TooLarge));
        assert_eq!(Fen(i64::MIN).checked_neg(), Err(LedgerError::TooLarge));
        assert_eq!(Fen::from_yuan("1.230".parse().unwrap()), Ok(Fen(123)));
        assert!(Fen::from_yuan("1.234".parse().unwrap()).is_err());
        assert_eq!(Fen::from_yuan(Decimal::MAX), Err(LedgerError::TooLarge));
    }

    proptest! {
        #[test]
        fn forms_round_trip(fen: i64) {
            prop_assert_eq!(Fen(fen).to_string().parse(), Ok(Fen(fen)));
            prop_assert_eq!(Fen::from_yuan(Fen(fen).to_yuan()), Ok(Fen(fen)));
            let json = serde_json::to_string(&Fen(fen)).unwrap();
            prop_assert_eq!(serde_json::from_str::<Fen>(&json).unwrap(), Fen(fen));
        }

        #[test]
        fn parsing_never_panics(text: String, near in "-?[0-9]{0,25}[.]?[0-9]{0,3}") {
            let _ = text.parse::<Fen>();
            let _ = near.parse::<Fen>();
        }
    }
}
