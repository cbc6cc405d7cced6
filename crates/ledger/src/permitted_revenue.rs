use rust_decimal::{Decimal, RoundingStrategy};
use serde::{Deserialize, Serialize};

use crate::{Fen, LedgerError};

/// The highest permitted profit rate: the ten-year treasury yield plus the points that the rulebook allows (6 by
/// default). PRICE-65 (发改价格〔2025〕65号).
///
/// `treasury_yield` is a fraction (`0.0175` is 1.75 %), `points_max` percentage points (`6`).
///
/// # Errors
/// [`LedgerError::TooLarge`] for figures that no decimal can hold.
pub fn profit_rate_ceiling(treasury_yield: Decimal, points_max: Decimal) -> Result<Decimal, LedgerError> {
    let points = points_max.checked_mul(Decimal::new(1, 2)).ok_or(LedgerError::TooLarge)?;
    treasury_yield.checked_add(points).ok_or(LedgerError::TooLarge)
}

/// What an operator may earn in a period (最高准许收入): operating cost, permitted profit on it, and taxes (PRICE-65).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PermittedRevenue {
    /// Appraised operating cost of the period.
    pub cost: Fen,
    /// Permitted profit as a fraction of the cost.
    #[serde(with = "rust_decimal::serde::str")]
    pub profit_rate: Decimal,
    /// Taxes of the period.
    pub tax: Fen,
}

impl PermittedRevenue {
    /// Checks the parts and the rate against its ceiling (see [`profit_rate_ceiling`]).
    ///
    /// # Errors
    /// [`LedgerError::NegativePart`], [`LedgerError::ProfitRate`], or [`LedgerError::TooLarge`] when the total is.
    pub fn new(
        cost: Fen,
        profit_rate: Decimal,
        tax: Fen,
        rate_ceiling: Decimal,
    ) -> Result<PermittedRevenue, LedgerError> {
        if cost < Fen::ZERO {
            return Err(LedgerError::NegativePart { field: "the cost" });
        }
        if tax < Fen::ZERO {
            return Err(LedgerError::NegativePart { field: "the tax" });
        }
        if profit_rate < Decimal::ZERO || profit_rate > rate_ceiling {
            return Err(LedgerError::ProfitRate { rate: profit_rate.to_string(), ceiling: rate_ceiling.to_string() });
        }
        let permitted = PermittedRevenue { cost, profit_rate: profit_rate.normalize(), tax };
        permitted.total()?;
        Ok(permitted)
    }

    /// The permitted profit: cost times rate, rounded half up to fen.
    pub fn profit(&self) -> Result<Fen, LedgerError> {
        let profit = self.cost.to_yuan().checked_mul(self.profit_rate).ok_or(LedgerError::TooLarge)?;
        Fen::from_yuan(profit.round_dp_with_strategy(2, RoundingStrategy::MidpointAwayFromZero))
    }

    /// Cost, profit and tax together.
    pub fn total(&self) -> Result<Fen, LedgerError> {
        self.cost.checked_add(self.profit()?)?.checked_add(self.tax)
    }

    /// What may still be earned in the period; negative once more was earned than permitted.
    pub fn remaining(&self, earned: Fen) -> Result<Fen, LedgerError> {
        self.total()?.checked_sub(earned)
    }

    /// What was earned above the permitted revenue and is deducted in the next period.
    pub fn excess(&self, earned: Fen) -> Result<Fen, LedgerError> {
        Ok(self.remaining(earned)?.checked_neg()?.max(Fen::ZERO))
    }

    /// Whether what was earned has reached the share of the permitted revenue at which the rulebook wants an alert.
    pub fn is_near(&self, earned: Fen, alert_share: Decimal) -> Result<bool, LedgerError> {
        let threshold = self.total()?.to_yuan().checked_mul(alert_share).ok_or(LedgerError::TooLarge)?;
        Ok(earned.to_yuan() >= threshold)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn cost_profit_and_tax() {
        let ceiling = profit_rate_ceiling(decimal("0.0175"), decimal("6")).unwrap();
        assert_eq!(ceiling, decimal("0.0775"));
        let permitted = PermittedRevenue::new(Fen(1_000_033), decimal("0.0500"), Fen(60_000), ceiling).unwrap();
        assert_eq!(permitted.profit(), Ok(Fen(50_002))); // 500.0165 yuan
        assert_eq!(permitted.total(), Ok(Fen(1_110_035)));
        assert_eq!(permitted.remaining(Fen(1_110_000)), Ok(Fen(35)));
        assert_eq!(permitted.excess(Fen(1_110_000)), Ok(Fen(0)));
        assert_eq!(permitted.excess(Fen(1_110_135)), Ok(Fen(100)));
        assert_eq!(permitted.is_near(Fen(1_000_000), decimal("0.9")), Ok(true));
        assert_eq!(permitted.is_near(Fen(900_000), decimal("0.9")), Ok(false));
        assert_eq!(
            serde_json::to_string(&permitted).unwrap(),
            r#"{"cost":"10000.33","profit_rate":"0.05","tax":"600.00"}"#
        );
    }

    #[test]
    fn rates_above_the_ceiling_and_negative_parts_are_refused() {
        let ceiling = decimal("0.0775");
        let with_rate = |rate: &str| PermittedRevenue::new(Fen(100), decimal(rate), Fen(0), ceiling);
        assert!(with_rate("0.0775").is_ok());
        assert_eq!(
            with_rate("0.0776").unwrap_err().to_string(),
            "the profit rate 0.0776 must lie between 0 and the ceiling 0.0775"
        );
        assert!(with_rate("-0.01").is_err());
        assert!(PermittedRevenue::new(Fen(-1), decimal("0"), Fen(0), ceiling).is_err());
        assert!(PermittedRevenue::new(Fen(1), decimal("0"), Fen(-1), ceiling).is_err());
        let huge = PermittedRevenue::new(Fen(i64::MAX), decimal("0.01"), Fen(0), ceiling);
        assert_eq!(huge, Err(LedgerError::TooLarge));
    }
}
