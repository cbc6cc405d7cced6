use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{Account, Fen, LedgerError, Side, Transaction};

/// The balances that a set of transactions makes, in whatever order they were applied.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ledger {
    totals: BTreeMap<Account, Totals>,
    applied: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Totals {
    debit: Fen,
    credit: Fen,
}

impl Ledger {
    /// A ledger without transactions.
    pub fn new() -> Ledger {
        Ledger::default()
    }

    /// Adds a transaction, all of it or nothing.
    ///
    /// # Errors
    /// [`LedgerError::AlreadyApplied`] for an id that is in the ledger, [`LedgerError::TooLarge`] when the debits or
    /// credits of an account would outgrow [`Fen`].
    pub fn apply(&mut self, transaction: &Transaction) -> Result<(), LedgerError> {
        if self.applied.contains(transaction.id()) {
            return Err(LedgerError::AlreadyApplied { id: transaction.id().to_owned() });
        }
        // New totals are computed beside the old ones, so a failure half-way leaves no trace.
        let mut changed: BTreeMap<&Account, Totals> = BTreeMap::new();
        for posting in transaction.postings() {
            let totals = changed
                .entry(&posting.account)
                .or_insert_with(|| self.totals.get(&posting.account).copied().unwrap_or_default());
            let side = match posting.side {
                Side::Debit => &mut totals.debit,
                Side::Credit => &mut totals.credit,
            };
            *side = side.checked_add(posting.amount)?;
        }
        for (account, totals) in changed {
            self.totals.insert(account.clone(), totals);
        }
        self.applied.insert(transaction.id().to_owned());
        Ok(())
    }

    /// How many transactions were applied.
    pub fn transaction_count(&self) -> usize {
        self.applied.len()
    }

    /// The balance of an account on the side its kind grows by; zero when nothing was posted to it.
    pub fn balance(&self, account: &Account) -> Fen {
        let totals = self.totals.get(account).copied().unwrap_or_default();
        totals.balance(account)
    }

    /// Every account that was posted to, of one owner or of all, with the sums of both sides.
    ///
    /// # Errors
    /// [`LedgerError::TooLarge`] when the sum over all accounts does not fit into [`Fen`].
    pub fn trial_balance(&self, owner: Option<&str>) -> Result<TrialBalance, LedgerError> {
        let mut rows = Vec::new();
        let mut debits = Fen::ZERO;
        let mut credits = Fen::ZERO;
        for (account, totals) in &self.totals {
            if owner.is_some_and(|owner| owner != account.owner) {
                continue;
            }
            debits = debits.checked_add(totals.debit)?;
            credits = credits.checked_add(totals.credit)?;
            rows.push(TrialBalanceRow {
                account: account.clone(),
                debit: totals.debit,
                credit: totals.credit,
                balance: totals.balance(account),
            });
        }
        Ok(TrialBalance { rows, debits, credits })
    }
}

impl Totals {
    fn balance(self, account: &Account) -> Fen {
        let (grown, shrunk) =
            if account.kind().grows_by_debit() { (self.debit, self.credit) } else { (self.credit, self.debit) };
        grown.checked_sub(shrunk).expect("both totals are sums of positive amounts, so their difference fits")
    }
}

/// All accounts with their sums; in a sound ledger debits equal credits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialBalance {
    /// One row per account, ordered by owner and chart.
    pub rows: Vec<TrialBalanceRow>,
    /// Sum of all debits.
    pub debits: Fen,
    /// Sum of all credits.
    pub credits: Fen,
}

impl TrialBalance {
    /// Whether debits equal credits.
    pub fn is_balanced(&self) -> bool {
        self.debits == self.credits
    }
}

/// One account of a trial balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TrialBalanceRow {
    /// The account.
    pub account: Account,
    /// Sum of its debits.
    pub debit: Fen,
    /// Sum of its credits.
    pub credit: Fen,
    /// The balance on the side its kind grows by.
    pub balance: Fen,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{AccountCode, Posting};

    /// Transactions over three owners: each owner touched gets one debit and two credits that balance.
    fn transactions() -> impl Strategy<Value = Vec<Transaction>> {
        let code = (0..AccountCode::ALL.len()).prop_map(|index| AccountCode::ALL[index]);
        let leg = (0..3_u8, code.clone(), code.clone(), code, 1..1_000_000_i64, 1..1_000_000_i64);
        let one = proptest::collection::vec(leg, 1..4);
        proptest::collection::vec(one, 0..20).prop_map(|all| {
            let mut made = Vec::new();
            for (number, legs) in all.into_iter().enumerate() {
                let mut postings = Vec::new();
                for (owner, first, second, third, left, right) in legs {
                    let owner = format!("pty_{owner}");
                    let account = |code| Account::new(&owner, code);
                    postings.push(Posting::debit(account(first), None, Fen(left + right)));
                    postings.push(Posting::credit(account(second), None, Fen(left)));
                    postings.push(Posting::credit(account(third), None, Fen(right)));
                }
                made.push(Transaction::new(format!("txn_{number}"), "t", "m", postings).unwrap());
            }
            made
        })
    }

    proptest! {
        #[test]
        fn no_sequence_unbalances_it(transactions in transactions()) {
            let mut ledger = Ledger::new();
            for transaction in &transactions {
                ledger.apply(transaction).unwrap();
                prop_assert!(ledger.trial_balance(None).unwrap().is_balanced());
                for owner in ["pty_0", "pty_1", "pty_2"] {
                    prop_assert!(ledger.trial_balance(Some(owner)).unwrap().is_balanced());
                }
            }
            prop_assert_eq!(ledger.transaction_count(), transactions.len());
            // Assets and expenses equal liabilities, equity and income.
            let (mut by_debit, mut by_credit) = (0_i64, 0_i64);
            for row in ledger.trial_balance(None).unwrap().rows {
                if row.account.kind().grows_by_debit() {
                    by_debit += row.balance.0;
                } else {
                    by_credit += row.balance.0;
                }
            }
            prop_assert_eq!(by_debit, by_credit);
        }

        #[test]
        fn order_does_not_matter(
            (transactions, shuffled) in transactions().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        ) {
            let mut first = Ledger::new();
            let mut second = Ledger::new();
            for transaction in &transactions {
                first.apply(transaction).unwrap();
            }
            for transaction in &shuffled {
                second.apply(transaction).unwrap();
            }
            prop_assert_eq!(first, second);
        }

        #[test]
        fn a_reversal_undoes(transactions in transactions()) {
            let mut ledger = Ledger::new();
            for transaction in &transactions {
                ledger.apply(transaction).unwrap();
                let id = format!("{}_back", transaction.id());
                ledger.apply(&transaction.reversal(id, "t", "m").unwrap()).unwrap();
            }
            for row in ledger.trial_balance(None).unwrap().rows {
                prop_assert_eq!(row.balance, Fen::ZERO);
            }
        }
    }

    #[test]
    fn a_refused_transaction_leaves_no_trace() {
        let account = |code| Account::new("a", code);
        let transaction = |id: &str, amount| {
            let postings = vec![
                Posting::debit(account(AccountCode::Bank), None, amount),
                Posting::credit(account(AccountCode::OpeningEquity), None, amount),
            ];
            Transaction::new(id, "t", "m", postings).unwrap()
        };
        let mut ledger = Ledger::new();
        ledger.apply(&transaction("1", Fen(i64::MAX))).unwrap();
        let before = ledger.clone();
        assert_eq!(ledger.apply(&transaction("2", Fen(1))), Err(LedgerError::TooLarge));
        assert_eq!(ledger.apply(&transaction("1", Fen(1))), Err(LedgerError::AlreadyApplied { id: "1".to_owned() }));
        assert_eq!(ledger, before);
        assert_eq!(ledger.balance(&account(AccountCode::Bank)), Fen(i64::MAX));
    }
}
