use rust_decimal::Decimal;

use crate::{Fen, LedgerError};

/// How many shares a total may be divided into.
pub const SHARES_MAX: usize = 1_000;

/// How many decimals a share may have.
pub const RATE_DECIMALS_MAX: u32 = 9;

/// Rates that together make exactly one, and the place that wins when a fen could go to several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shares {
    /// Each rate in billionths.
    billionths: Vec<i64>,
    remainder_holder: usize,
}

impl Shares {
    /// Takes rates as fractions (`0.25` is a quarter) and the index of the remainder holder, for revenue the treasury.
    ///
    /// # Errors
    /// [`LedgerError::SharesRefused`] unless there are 1 to 1,000 rates, each in 0..=1 with at most nine decimals, that
    /// sum to exactly 1, and the holder is one of them.
    pub fn new(rates: &[Decimal], remainder_holder: usize) -> Result<Shares, LedgerError> {
        let refused = |reason| Err(LedgerError::SharesRefused { reason });
        if rates.is_empty() || rates.len() > SHARES_MAX {
            return refused("give between 1 and 1,000 rates");
        }
        if remainder_holder >= rates.len() {
            return refused("the remainder holder must be one of the shares");
        }
        let mut billionths = Vec::with_capacity(rates.len());
        for rate in rates {
            let exact = rate.normalize();
            if exact.is_sign_negative() || exact > Decimal::ONE || exact.scale() > RATE_DECIMALS_MAX {
                return refused("each rate lies between 0 and 1 and has at most nine decimals");
            }
            let scaled = exact.mantissa() * 10_i128.pow(RATE_DECIMALS_MAX - exact.scale());
            billionths.push(i64::try_from(scaled).expect("a rate of at most one is at most 10^9 billionths"));
        }
        if billionths.iter().sum::<i64>() != ONE_IN_BILLIONTHS {
            return refused("the rates must sum to exactly 1");
        }
        Ok(Shares { billionths, remainder_holder })
    }

    /// How many shares there are.
    pub fn count(&self) -> usize {
        self.billionths.len()
    }
}

const ONE_IN_BILLIONTHS: i64 = 1_000_000_000;

/// Divides a total into one amount per share; the amounts always sum to the total.
///
/// Each share gets the whole fen of its exact part. The fen that are left, fewer than there are shares, go one each to
/// the largest fractions cut off (the method of largest remainder); of equal fractions the remainder holder's comes
/// first, then the earlier share. A negative total is divided as its positive and negated, so a refund mirrors a fee.
pub fn split(total: Fen, shares: &Shares) -> Vec<Fen> {
    let size = i128::from(total.0).abs();
    let mut amounts = Vec::with_capacity(shares.count());
    let mut fractions = Vec::with_capacity(shares.count());
    let mut left = size;
    for (index, billionths) in shares.billionths.iter().enumerate() {
        let exact = size * i128::from(*billionths);
        let whole = exact / i128::from(ONE_IN_BILLIONTHS);
        let fraction = exact % i128::from(ONE_IN_BILLIONTHS);
        left -= whole;
        amounts.push(whole);
        fractions.push((fraction, index));
    }
    fractions.sort_by_key(|&(fraction, index)| {
        let holder_first = index != shares.remainder_holder;
        (std::cmp::Reverse(fraction), holder_first, index)
    });
    let left = usize::try_from(left).expect("each share loses less than one fen, so fewer are left than shares");
    for &(_, index) in fractions.iter().take(left) {
        amounts[index] += 1;
    }
    let sign = i128::from(total.0.signum());
    amounts
        .into_iter()
        .map(|amount| Fen(i64::try_from(sign * amount).expect("no share is larger than the total")))
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shares(rates: &[&str], holder: usize) -> Result<Shares, LedgerError> {
        let rates: Vec<Decimal> = rates.iter().map(|rate| rate.parse().unwrap()).collect();
        Shares::new(&rates, holder)
    }

    #[test]
    fn the_odd_fen_goes_to_the_largest_fraction_then_to_the_holder() {
        let thirds = shares(&["0.333333333", "0.333333333", "0.333333334"], 0).unwrap();
        assert_eq!(split(Fen(100), &thirds), [Fen(33), Fen(33), Fen(34)]);
        let halves = shares(&["0.5", "0.5"], 1).unwrap();
        assert_eq!(split(Fen(1), &halves), [Fen(0), Fen(1)]);
        assert_eq!(split(Fen(-1), &halves), [Fen(0), Fen(-1)]);
        // Exact parts 168,003.5, 48,001 and 24,000.5: the holder has no fraction, so the earlier share gets the fen.
        let revenue = shares(&["0.7", "0.2", "0.1"], 1).unwrap();
        assert_eq!(split(Fen(240_005), &revenue), [Fen(168_004), Fen(48_001), Fen(24_000)]);
    }

    #[test]
    fn shares_that_do_not_make_one_are_refused() {
        for rates in [&["0.5", "0.4"][..], &["0.5", "0.6"], &["-0.5", "1.5"], &["0.9999999999", "0.0000000001"], &[]] {
            assert!(shares(rates, 0).is_err(), "{rates:?}");
        }
        assert!(shares(&["1"], 1).is_err());
    }

    proptest! {
        #[test]
        fn no_fen_is_lost_and_no_share_is_off_by_one(
            total: i64,
            weights in proptest::collection::vec(0..1_000_i64, 1..20),
            holder: usize,
        ) {
            let mut rates: Vec<i64> = weights
                .iter()
                .map(|weight| weight * ONE_IN_BILLIONTHS / (weights.iter().sum::<i64>().max(1)))
                .collect();
            let missing = ONE_IN_BILLIONTHS - rates.iter().sum::<i64>();
            rates[0] += missing;
            let decimals: Vec<Decimal> = rates.iter().map(|rate| Decimal::new(*rate, 9)).collect();
            let holder = holder % rates.len();
            let amounts = split(Fen(total), &Shares::new(&decimals, holder).unwrap());

            prop_assert_eq!(amounts.len(), rates.len());
            let sum: i128 = amounts.iter().map(|fen| i128::from(fen.0)).sum();
            prop_assert_eq!(sum, i128::from(total));
            for (amount, rate) in amounts.iter().zip(&rates) {
                let exact = i128::from(total) * i128::from(*rate);
                let error = i128::from(amount.0) * i128::from(ONE_IN_BILLIONTHS) - exact;
                prop_assert!(error.abs() < i128::from(ONE_IN_BILLIONTHS));
            }
        }
    }
}
