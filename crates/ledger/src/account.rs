use std::fmt;

use serde::{Deserialize, Serialize};

/// The five kinds of account. Assets and expenses grow by debits, the others by credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountKind {
    /// What the owner has or is owed (资产).
    Asset,
    /// What the owner owes (负债).
    Liability,
    /// What the owner brought in (权益).
    Equity,
    /// What the owner earned (收入).
    Income,
    /// What the owner spent (费用).
    Expense,
}

impl AccountKind {
    /// Whether the balance is debits minus credits; else it is credits minus debits.
    pub fn grows_by_debit(self) -> bool {
        matches!(self, AccountKind::Asset | AccountKind::Expense)
    }

    /// The word used in records.
    pub fn as_str(self) -> &'static str {
        match self {
            AccountKind::Asset => "asset",
            AccountKind::Liability => "liability",
            AccountKind::Equity => "equity",
            AccountKind::Income => "income",
            AccountKind::Expense => "expense",
        }
    }
}

/// The chart of accounts: what an account is for. The code fixes kind and names, so they can't disagree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccountCode {
    /// Money at the bank; of the treasury, its account.
    Bank,
    /// Operator: fees that consumers owe.
    ServiceFeeReceivable,
    /// Treasury: fiscal revenue that operators have yet to pay in.
    FiscalRevenueReceivable,
    /// Enterprise provider or beneficiary: its part that operators have yet to pay.
    ProviderRevenueReceivable,
    /// Consumer: fees it owes to operators.
    ServiceFeePayable,
    /// Operator: the treasury's part of the fees.
    FiscalRevenuePayable,
    /// Operator: the enterprise providers' parts of the fees.
    ProviderRevenuePayable,
    /// What an owner brought in from its own books, such as money deposited.
    OpeningEquity,
    /// Operator: its own part of the fees.
    OperationIncome,
    /// Treasury: government non-tax revenue.
    FiscalRevenue,
    /// Enterprise provider or beneficiary: its part of the fees.
    ProviderRevenue,
    /// Consumer: fees for public data products.
    ServiceFeeExpense,
}

impl AccountCode {
    /// Every code of the chart, in its order.
    pub const ALL: [AccountCode; 12] = [
        AccountCode::Bank,
        AccountCode::ServiceFeeReceivable,
        AccountCode::FiscalRevenueReceivable,
        AccountCode::ProviderRevenueReceivable,
        AccountCode::ServiceFeePayable,
        AccountCode::FiscalRevenuePayable,
        AccountCode::ProviderRevenuePayable,
        AccountCode::OpeningEquity,
        AccountCode::OperationIncome,
        AccountCode::FiscalRevenue,
        AccountCode::ProviderRevenue,
        AccountCode::ServiceFeeExpense,
    ];

    /// The code as it stands in records.
    pub fn as_str(self) -> &'static str {
        self.row().0
    }

    /// What kind of account this is.
    pub fn kind(self) -> AccountKind {
        self.row().1
    }

    /// The Chinese name.
    pub fn name_zh(self) -> &'static str {
        self.row().2
    }

    /// The English name.
    pub fn name_en(self) -> &'static str {
        self.row().3
    }

    /// Finds a code by the text that stands in records.
    pub fn from_code(text: &str) -> Option<AccountCode> {
        AccountCode::ALL.into_iter().find(|code| code.as_str() == text)
    }

    fn row(self) -> (&'static str, AccountKind, &'static str, &'static str) {
        use AccountKind::{Asset, Equity, Expense, Income, Liability};
        match self {
            AccountCode::Bank => ("bank", Asset, "银行存款", "Bank deposits"),
            AccountCode::ServiceFeeReceivable => {
                ("service_fee_receivable", Asset, "应收公共数据运营服务费", "Service fees receivable")
            }
            AccountCode::FiscalRevenueReceivable => {
                ("fiscal_revenue_receivable", Asset, "应收财政收入（非税收入）", "Fiscal revenue receivable")
            }
            AccountCode::ProviderRevenueReceivable => {
                ("provider_revenue_receivable", Asset, "应收数据提供收益", "Provider revenue receivable")
            }
            AccountCode::ServiceFeePayable => {
                ("service_fee_payable", Liability, "应付公共数据运营服务费", "Service fees payable")
            }
            AccountCode::FiscalRevenuePayable => {
                ("fiscal_revenue_payable", Liability, "应缴财政收入（非税收入）", "Fiscal revenue payable")
            }
            AccountCode::ProviderRevenuePayable => {
                ("provider_revenue_payable", Liability, "应付数据提供方收益", "Provider revenue payable")
            }
            AccountCode::OpeningEquity => ("opening_equity", Equity, "期初权益", "Opening equity"),
            AccountCode::OperationIncome => ("operation_income", Income, "运营服务收入", "Operation income"),
            AccountCode::FiscalRevenue => ("fiscal_revenue", Income, "财政收入（非税收入）", "Fiscal revenue"),
            AccountCode::ProviderRevenue => ("provider_revenue", Income, "数据提供收益", "Provider revenue"),
            AccountCode::ServiceFeeExpense => {
                ("service_fee_expense", Expense, "公共数据运营服务费支出", "Service fee expense")
            }
        }
    }
}

/// One account: a line of the chart in the books of one owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Account {
    /// Whose books it is in: the id of a party.
    pub owner: String,
    /// What it is for.
    pub code: AccountCode,
}

impl Account {
    /// The account of this owner and code.
    pub fn new(owner: &str, code: AccountCode) -> Account {
        Account { owner: owner.to_owned(), code }
    }

    /// What kind of account this is.
    pub fn kind(&self) -> AccountKind {
        self.code.kind()
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.code.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_is_complete_and_its_records_are_stable() {
        let mut text = String::new();
        for code in AccountCode::ALL {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.as_str()));
            assert_eq!(AccountCode::from_code(code.as_str()), Some(code));
            text += &format!("{} {} {} {}\n", code.as_str(), code.kind().as_str(), code.name_zh(), code.name_en());
        }
        assert_eq!(text, include_str!("../golden/chart.txt"));
        assert_eq!(AccountCode::from_code("cash"), None);
    }

    #[test]
    fn accounts_refuse_unknown_fields() {
        let json = r#"{"owner":"pty_1","code":"bank","name":"x"}"#;
        assert!(serde_json::from_str::<Account>(json).is_err());
    }
}
