use thiserror::Error;

use crate::Fen;

/// Why money could not be read, computed or posted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LedgerError {
    /// The text is no amount of money.
    #[error("`{text}` is not an amount in yuan: write it like 123.45, with at most two decimals")]
    NotAnAmount {
        /// What was read, cut to 40 characters.
        text: String,
    },
    /// The text or number is no unit price.
    #[error("`{text}` is not a unit price: write non-negative yuan below 1,000,000,000 with at most six decimals")]
    NotAUnitPrice {
        /// What was read, cut to 40 characters.
        text: String,
    },
    /// A sum or product is larger than the ledger can hold (about 92 quadrillion yuan).
    #[error("the amount is too large for the ledger")]
    TooLarge,
    /// Shares that can't divide anything.
    #[error("the shares are refused: {reason}")]
    SharesRefused {
        /// What is wrong and what is expected.
        reason: &'static str,
    },
    /// A transaction without postings, with one, or with too many.
    #[error("a transaction needs between 2 and {posting_count_max} postings, this one has {posting_count}")]
    PostingCount {
        /// How many were given.
        posting_count: usize,
        /// How many are allowed.
        posting_count_max: usize,
    },
    /// A posting of nothing or of less than nothing.
    #[error("a posting to {account} has the amount {amount}; post a positive amount on the other side instead")]
    AmountNotPositive {
        /// The account, as owner and code.
        account: String,
        /// The refused amount.
        amount: Fen,
    },
    /// The postings of one owner do not balance.
    #[error("the postings of {owner} do not balance: debits {debit}, credits {credit}")]
    Unbalanced {
        /// The owner whose books would be wrong.
        owner: String,
        /// Sum of the owner's debits.
        debit: Fen,
        /// Sum of the owner's credits.
        credit: Fen,
    },
    /// A text field is empty or too long.
    #[error("{field} must have between 1 and {chars_max} characters")]
    TextLength {
        /// Which field.
        field: &'static str,
        /// Largest number of characters.
        chars_max: usize,
    },
    /// The ledger holds a transaction of this id.
    #[error("the transaction {id} is already in the ledger")]
    AlreadyApplied {
        /// The id.
        id: String,
    },
    /// A fee below zero in a settlement; a refund is a reversal.
    #[error("the fee of order {order} is {fee}; give money back by reversing the transaction that took it")]
    NegativeFee {
        /// The order.
        order: String,
        /// The refused fee.
        fee: Fen,
    },
    /// Two parties of a revenue split are the same.
    #[error("{owner} stands twice in the revenue split; add its shares together")]
    PartyTwice {
        /// The owner.
        owner: String,
    },
    /// A profit rate that is negative or above its ceiling.
    #[error("the profit rate {rate} must lie between 0 and the ceiling {ceiling}")]
    ProfitRate {
        /// The rate, as a fraction.
        rate: String,
        /// The ceiling, as a fraction.
        ceiling: String,
    },
    /// Cost or tax below zero in a permitted revenue.
    #[error("{field} of a permitted revenue must not be negative")]
    NegativePart {
        /// Which part.
        field: &'static str,
    },
}

/// Cuts refused text so that an error never repeats an unbounded input.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(40).collect()
}
