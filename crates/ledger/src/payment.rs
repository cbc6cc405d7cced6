use crate::{Account, AccountCode, Fen, LedgerError, Posting, Transaction};

/// An owner brings money in from its own books: bank against opening equity.
pub fn deposit(id: &str, at: &str, owner: &str, amount: Fen) -> Result<Transaction, LedgerError> {
    let postings = vec![
        Posting::debit(Account::new(owner, AccountCode::Bank), None, amount),
        Posting::credit(Account::new(owner, AccountCode::OpeningEquity), None, amount),
    ];
    Transaction::new(id, at, "deposit", postings)
}

/// A consumer pays fees to an operator: payable and receivable fall, money moves.
pub fn fee_payment(
    id: &str,
    at: &str,
    consumer: &str,
    operator: &str,
    amount: Fen,
) -> Result<Transaction, LedgerError> {
    let debt = Debt {
        debtor: consumer,
        payable: AccountCode::ServiceFeePayable,
        creditor: operator,
        receivable: AccountCode::ServiceFeeReceivable,
    };
    Transaction::new(id, at, "payment of service fees", debt.paid(amount))
}

/// An operator pays the treasury's part in; `voucher` is the number of the collecting unit's voucher (缴款凭证).
pub fn treasury_voucher(
    id: &str,
    at: &str,
    operator: &str,
    treasury: &str,
    voucher: &str,
    amount: Fen,
) -> Result<Transaction, LedgerError> {
    let debt = Debt {
        debtor: operator,
        payable: AccountCode::FiscalRevenuePayable,
        creditor: treasury,
        receivable: AccountCode::FiscalRevenueReceivable,
    };
    Transaction::new(id, at, format!("fiscal revenue paid in, voucher {voucher}"), debt.paid(amount))
}

/// An operator pays an enterprise provider (or a trust's beneficiary) its part in cash.
pub fn provider_payment(
    id: &str,
    at: &str,
    operator: &str,
    provider: &str,
    amount: Fen,
) -> Result<Transaction, LedgerError> {
    let debt = Debt {
        debtor: operator,
        payable: AccountCode::ProviderRevenuePayable,
        creditor: provider,
        receivable: AccountCode::ProviderRevenueReceivable,
    };
    Transaction::new(id, at, "payment of provider revenue", debt.paid(amount))
}

/// The two ends of a claim: what one owes is what the other is owed.
struct Debt<'a> {
    debtor: &'a str,
    payable: AccountCode,
    creditor: &'a str,
    receivable: AccountCode,
}

impl Debt<'_> {
    fn paid(&self, amount: Fen) -> Vec<Posting> {
        let (debtor, creditor) = (Some(self.debtor), Some(self.creditor));
        vec![
            Posting::debit(Account::new(self.debtor, self.payable), creditor, amount),
            Posting::credit(Account::new(self.debtor, AccountCode::Bank), creditor, amount),
            Posting::debit(Account::new(self.creditor, AccountCode::Bank), debtor, amount),
            Posting::credit(Account::new(self.creditor, self.receivable), debtor, amount),
        ]
    }
}
