use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{Account, Fen, LedgerError};

/// How many postings one transaction may have.
pub const POSTINGS_MAX: usize = 4_096;

/// How many characters a memo may have.
pub const MEMO_CHARS_MAX: usize = 500;

/// How many characters an id or an instant may have.
const ID_CHARS_MAX: usize = 200;

/// The side of an account that a posting goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// 借
    Debit,
    /// 贷
    Credit,
}

impl Side {
    /// The other side.
    pub fn other(self) -> Side {
        match self {
            Side::Debit => Side::Credit,
            Side::Credit => Side::Debit,
        }
    }
}

/// One line of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Posting {
    /// The account it changes.
    pub account: Account,
    /// The party on the other end of the claim or payment, if there is one.
    pub counterparty: Option<String>,
    /// Debit or credit.
    pub side: Side,
    /// How much; positive in every transaction.
    pub amount: Fen,
}

impl Posting {
    /// A debit.
    pub fn debit(account: Account, counterparty: Option<&str>, amount: Fen) -> Posting {
        Posting { account, counterparty: counterparty.map(str::to_owned), side: Side::Debit, amount }
    }

    /// A credit.
    pub fn credit(account: Account, counterparty: Option<&str>, amount: Fen) -> Posting {
        Posting { side: Side::Credit, ..Posting::debit(account, counterparty, amount) }
    }
}

/// Postings that belong together and balance, for every owner on its own. There is no other way to make one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TransactionForm")]
pub struct Transaction {
    id: String,
    at: String,
    memo: String,
    postings: Vec<Posting>,
}

/// A transaction as it is read, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionForm {
    id: String,
    at: String,
    memo: String,
    postings: Vec<Posting>,
}

impl TryFrom<TransactionForm> for Transaction {
    type Error = LedgerError;

    fn try_from(form: TransactionForm) -> Result<Transaction, LedgerError> {
        Transaction::new(form.id, form.at, form.memo, form.postings)
    }
}

impl Transaction {
    /// Checks and makes a transaction. `id` and `at` (RFC 3339) come from outside; the memo says what it is for and
    /// holds no personal data.
    ///
    /// # Errors
    /// Refused with fewer than two postings or more than [`POSTINGS_MAX`], an amount that is not positive, postings of
    /// an owner that do not balance, or a text that is empty or too long.
    pub fn new(
        id: impl Into<String>,
        at: impl Into<String>,
        memo: impl Into<String>,
        postings: Vec<Posting>,
    ) -> Result<Transaction, LedgerError> {
        let transaction = Transaction { id: id.into(), at: at.into(), memo: memo.into(), postings };
        check_text("the id", &transaction.id, ID_CHARS_MAX)?;
        check_text("the instant", &transaction.at, ID_CHARS_MAX)?;
        check_text("the memo", &transaction.memo, MEMO_CHARS_MAX)?;
        check_balance(&transaction.postings)?;
        Ok(transaction)
    }

    /// The id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// When it was posted, RFC 3339.
    pub fn at(&self) -> &str {
        &self.at
    }

    /// What it is for.
    pub fn memo(&self) -> &str {
        &self.memo
    }

    /// The postings, in the order they were given.
    pub fn postings(&self) -> &[Posting] {
        &self.postings
    }

    /// The transaction that undoes this one: the same postings on the other sides. A refund is one of these.
    pub fn reversal(
        &self,
        id: impl Into<String>,
        at: impl Into<String>,
        memo: impl Into<String>,
    ) -> Result<Transaction, LedgerError> {
        let mut postings = self.postings.clone();
        for posting in &mut postings {
            posting.side = posting.side.other();
        }
        Transaction::new(id, at, memo, postings)
    }
}

fn check_text(field: &'static str, text: &str, chars_max: usize) -> Result<(), LedgerError> {
    if text.is_empty() || text.chars().count() > chars_max {
        return Err(LedgerError::TextLength { field, chars_max });
    }
    Ok(())
}

fn check_balance(postings: &[Posting]) -> Result<(), LedgerError> {
    if postings.len() < 2 || postings.len() > POSTINGS_MAX {
        return Err(LedgerError::PostingCount { posting_count: postings.len(), posting_count_max: POSTINGS_MAX });
    }
    let mut by_owner: BTreeMap<&str, (Fen, Fen)> = BTreeMap::new();
    for posting in postings {
        if posting.amount <= Fen::ZERO {
            return Err(LedgerError::AmountNotPositive {
                account: posting.account.to_string(),
                amount: posting.amount,
            });
        }
        let (debit, credit) = by_owner.entry(&posting.account.owner).or_default();
        let side = match posting.side {
            Side::Debit => debit,
            Side::Credit => credit,
        };
        *side = side.checked_add(posting.amount)?;
    }
    for (owner, (debit, credit)) in by_owner {
        if debit != credit {
            return Err(LedgerError::Unbalanced { owner: owner.to_owned(), debit, credit });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AccountCode;

    fn bank(owner: &str) -> Account {
        Account::new(owner, AccountCode::Bank)
    }

    fn equity(owner: &str) -> Account {
        Account::new(owner, AccountCode::OpeningEquity)
    }

    fn make(postings: Vec<Posting>) -> Result<Transaction, LedgerError> {
        Transaction::new("txn_1", "2026-11-24T10:00:00+08:00", "test", postings)
    }

    #[test]
    fn only_balanced_transactions_exist() {
        assert!(matches!(make(vec![]), Err(LedgerError::PostingCount { .. })));
        let one_sided = vec![Posting::debit(bank("a"), None, Fen(5)), Posting::credit(equity("a"), None, Fen(4))];
        assert_eq!(
            make(one_sided).unwrap_err().to_string(),
            "the postings of a do not balance: debits 0.05, credits 0.04"
        );
        // Balanced in sum, but money would have moved between two books without a claim in either.
        let across = vec![Posting::debit(bank("a"), Some("b"), Fen(5)), Posting::credit(bank("b"), Some("a"), Fen(5))];
        assert!(matches!(make(across), Err(LedgerError::Unbalanced { .. })));
        for amount in [Fen(0), Fen(-1), Fen(i64::MIN)] {
            let postings = vec![Posting::debit(bank("a"), None, amount), Posting::credit(equity("a"), None, amount)];
            assert!(matches!(make(postings), Err(LedgerError::AmountNotPositive { .. })));
        }
        let huge = vec![Posting::debit(bank("a"), None, Fen(i64::MAX)); 2];
        assert_eq!(make(huge), Err(LedgerError::TooLarge));
    }

    #[test]
    fn reading_checks_as_making_does() {
        let good =
            make(vec![Posting::debit(bank("a"), None, Fen(5)), Posting::credit(equity("a"), None, Fen(5))]).unwrap();
        let json = serde_json::to_string(&good).unwrap();
        assert_eq!(
            json,
            r#"{"id":"txn_1","at":"2026-11-24T10:00:00+08:00","memo":"test","postings":[{"account":{"owner":"a","code":"bank"},"counterparty":null,"side":"debit","amount":"0.05"},{"account":{"owner":"a","code":"opening_equity"},"counterparty":null,"side":"credit","amount":"0.05"}]}"#
        );
        assert_eq!(serde_json::from_str::<Transaction>(&json).unwrap(), good);
        let unbalanced = json.replacen("0.05", "0.06", 1);
        assert!(serde_json::from_str::<Transaction>(&unbalanced).is_err());
        let unknown = json.replacen("\"memo\"", "\"note\":\"x\",\"memo\"", 1);
        assert!(serde_json::from_str::<Transaction>(&unknown).is_err());
    }

    #[test]
    fn texts_are_bounded() {
        let postings = vec![Posting::debit(bank("a"), None, Fen(5)), Posting::credit(equity("a"), None, Fen(5))];
        assert!(Transaction::new("", "t", "m", postings.clone()).is_err());
        assert!(Transaction::new("i", "t", "中".repeat(501), postings.clone()).is_err());
        assert!(Transaction::new("i", "t", "中".repeat(500), postings).is_ok());
    }
}
