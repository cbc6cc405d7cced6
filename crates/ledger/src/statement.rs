use serde::Serialize;

use crate::{Account, Fen, LedgerError, Side, Transaction};

/// One account's postings over some transactions, with the balance after each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Statement {
    /// The account.
    pub account: Account,
    /// The balance before the first line.
    pub opening: Fen,
    /// The postings in the order of the transactions.
    pub lines: Vec<StatementLine>,
    /// The balance after the last line.
    pub closing: Fen,
}

/// One posting of a statement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StatementLine {
    /// The transaction it belongs to.
    pub transaction_id: String,
    /// When that was posted, RFC 3339.
    pub at: String,
    /// What for.
    pub memo: String,
    /// The party on the other end.
    pub counterparty: Option<String>,
    /// Debit or credit.
    pub side: Side,
    /// How much.
    pub amount: Fen,
    /// The balance after this line, on the side the account's kind grows by.
    pub balance: Fen,
}

/// Walks `transactions` in their order and lists what touches `account`, starting from its balance before them.
///
/// # Errors
/// [`LedgerError::TooLarge`] when a balance does not fit into [`Fen`].
pub fn statement(account: &Account, opening: Fen, transactions: &[Transaction]) -> Result<Statement, LedgerError> {
    let mut balance = opening;
    let mut lines = Vec::new();
    for transaction in transactions {
        for posting in transaction.postings() {
            if posting.account != *account {
                continue;
            }
            let grows = account.kind().grows_by_debit() == (posting.side == Side::Debit);
            balance = if grows { balance.checked_add(posting.amount)? } else { balance.checked_sub(posting.amount)? };
            lines.push(StatementLine {
                transaction_id: transaction.id().to_owned(),
                at: transaction.at().to_owned(),
                memo: transaction.memo().to_owned(),
                counterparty: posting.counterparty.clone(),
                side: posting.side,
                amount: posting.amount,
                balance,
            });
        }
    }
    Ok(Statement { account: account.clone(), opening, lines, closing: balance })
}
