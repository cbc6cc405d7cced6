use std::fmt;
use std::str::FromStr;

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::cut;
use crate::{Fen, LedgerError};

/// How many decimals of a yuan a unit price may have.
pub const UNIT_PRICE_DECIMALS_MAX: u32 = 6;

/// Prices stay below this many yuan, which keeps every product with a quantity exact in 128 bits.
const UNIT_PRICE_YUAN_BELOW: i128 = 1_000_000_000;

/// The price of one unit (a call, a data set, a month) in yuan, non-negative, to six decimals.
///
/// Text and serde form: yuan without trailing zeros, `"0.0325"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitPrice(Decimal);

impl UnitPrice {
    /// The price of what is free of charge.
    pub const FREE: UnitPrice = UnitPrice(Decimal::ZERO);

    /// A price of so many yuan; refused when negative, at or above 10^9, or finer than six decimals.
    pub fn new(yuan: Decimal) -> Result<UnitPrice, LedgerError> {
        let exact = yuan.normalize();
        let below = Decimal::from_i128_with_scale(UNIT_PRICE_YUAN_BELOW, 0);
        if exact.is_sign_negative() || exact.scale() > UNIT_PRICE_DECIMALS_MAX || exact >= below {
            return Err(LedgerError::NotAUnitPrice { text: cut(&yuan.to_string()) });
        }
        Ok(UnitPrice(exact))
    }

    /// The price in yuan.
    pub fn yuan(self) -> Decimal {
        self.0
    }

    /// Price times quantity, rounded once, half up, to fen: one line of a statement.
    ///
    /// Multiply the whole quantity of a line; a sum of single rounded amounts would be another sum.
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`] when the product does not fit into [`Fen`].
    pub fn amount(self, quantity: u64) -> Result<Fen, LedgerError> {
        // In millionths of a yuan: below 10^15 times below 2^64 is below 2^114, so 128 bits hold it exactly.
        let micro_yuan = self.0.mantissa() * 10_i128.pow(UNIT_PRICE_DECIMALS_MAX - self.0.scale());
        let product = micro_yuan * i128::from(quantity);
        // One fen is 10,000 millionths; both factors are non-negative, so adding half rounds half up.
        i64::try_from((product + 5_000) / 10_000).map(Fen).map_err(|_| LedgerError::TooLarge)
    }
}

impl fmt::Display for UnitPrice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for UnitPrice {
    type Err = LedgerError;

    fn from_str(text: &str) -> Result<UnitPrice, LedgerError> {
        let refused = || LedgerError::NotAUnitPrice { text: cut(text) };
        // The decimal library also reads `_` and `+`; one price has one spelling but for trailing zeros.
        let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !plain || !text.starts_with(|c: char| c.is_ascii_digit()) || text.ends_with('.') {
            return Err(refused());
        }
        UnitPrice::new(Decimal::from_str_exact(text).map_err(|_| refused())?)
    }
}

impl Serialize for UnitPrice {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for UnitPrice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn price(text: &str) -> UnitPrice {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_rounded_once_half_up() {
        assert_eq!(price("0.005").amount(1), Ok(Fen(1)));
        assert_eq!(price("0.004999").amount(1), Ok(Fen(0)));
        assert_eq!(price("0.000001").amount(5_000), Ok(Fen(1)));
        assert_eq!(price("0.0325").amount(1_234), Ok(Fen(4_011))); // 40.105 yuan
        assert_eq!(price("2400").amount(1), Ok(Fen(240_000)));
        assert_eq!(UnitPrice::FREE.amount(u64::MAX), Ok(Fen::ZERO));
        assert_eq!(price("999999999.999999").amount(u64::MAX), Err(LedgerError::TooLarge));
    }

    #[test]
    fn other_prices_are_refused() {
        for text in ["-1", "0.0000001", "1000000000", "", ".", "1.", ".5", "1_0", "+1", "1e3", "NaN"] {
            assert!(text.parse::<UnitPrice>().is_err(), "{text}");
        }
        assert_eq!(price("1.500000").to_string(), "1.5");
        assert_eq!(price("0.0000010").to_string(), "0.000001");
    }

    proptest! {
        #[test]
        fn forms_round_trip(micro in 0..1_000_000_000_000_000_i64) {
            let unit = UnitPrice::new(Decimal::new(micro, 6)).unwrap();
            prop_assert_eq!(unit.to_string().parse(), Ok(unit));
            let json = serde_json::to_string(&unit).unwrap();
            prop_assert_eq!(serde_json::from_str::<UnitPrice>(&json).unwrap(), unit);
        }

        #[test]
        fn an_amount_is_within_half_a_fen(micro in 0..1_000_000_000_000_i64, quantity in 0..1_000_000_u64) {
            let fen = UnitPrice::new(Decimal::new(micro, 6)).unwrap().amount(quantity).unwrap();
            let exact = i128::from(micro) * i128::from(quantity);
            let error = i128::from(fen.0) * 10_000 - exact;
            prop_assert!((-4_999..=5_000).contains(&error));
        }

        #[test]
        fn parsing_never_panics(text: String, near in "[0-9]{0,40}[.]?[0-9]{0,40}") {
            let _ = text.parse::<UnitPrice>();
            let _ = near.parse::<UnitPrice>();
        }
    }
}
