use std::collections::{BTreeMap, BTreeSet};

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::{Account, AccountCode, Fen, LedgerError, Posting, Shares, Transaction, split};

/// A party and its part of a fee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyShare {
    /// The party's id.
    pub owner: String,
    /// Its part as a fraction: `0.2` is a fifth.
    #[serde(with = "rust_decimal::serde::str")]
    pub rate: Decimal,
}

/// Who receives what of a fee: operator, treasury, and enterprise providers (or a trust's beneficiaries).
///
/// An administrative unit is never among the providers: what is due for its data goes to the treasury.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RevenueSplitForm")]
pub struct RevenueSplit {
    operator: PartyShare,
    treasury: PartyShare,
    providers: Vec<PartyShare>,
}

/// A revenue split as it is read, before it is checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RevenueSplitForm {
    operator: PartyShare,
    treasury: PartyShare,
    providers: Vec<PartyShare>,
}

impl TryFrom<RevenueSplitForm> for RevenueSplit {
    type Error = LedgerError;

    fn try_from(form: RevenueSplitForm) -> Result<RevenueSplit, LedgerError> {
        RevenueSplit::new(form.operator, form.treasury, form.providers)
    }
}

impl RevenueSplit {
    /// Checks that the parties are distinct and the rates make exactly one.
    ///
    /// # Errors
    /// [`LedgerError::PartyTwice`] or [`LedgerError::SharesRefused`].
    pub fn new(
        operator: PartyShare,
        treasury: PartyShare,
        providers: Vec<PartyShare>,
    ) -> Result<RevenueSplit, LedgerError> {
        let split = RevenueSplit { operator, treasury, providers };
        let mut owners = BTreeSet::new();
        for party in split.parties() {
            if !owners.insert(&party.owner) {
                return Err(LedgerError::PartyTwice { owner: party.owner.clone() });
            }
        }
        split.shares()?;
        Ok(split)
    }

    /// The operator and its part.
    pub fn operator(&self) -> &PartyShare {
        &self.operator
    }

    /// The treasury and its part.
    pub fn treasury(&self) -> &PartyShare {
        &self.treasury
    }

    /// The enterprise providers and their parts.
    pub fn providers(&self) -> &[PartyShare] {
        &self.providers
    }

    /// Most postings that a fee with this split comes to.
    pub fn postings_max(&self) -> usize {
        // The fee itself three times, the operator's part once, and the treasury's and each provider's three times.
        3 + 1 + 3 * (1 + self.providers.len())
    }

    fn parties(&self) -> impl Iterator<Item = &PartyShare> {
        [&self.operator, &self.treasury].into_iter().chain(&self.providers)
    }

    fn shares(&self) -> Result<Shares, LedgerError> {
        let rates: Vec<Decimal> = self.parties().map(|party| party.rate).collect();
        // The treasury is the second party and wins when a fen could go to several.
        Shares::new(&rates, 1)
    }
}

/// The fee of one order in a period, already rounded by [`crate::UnitPrice::amount`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementLine {
    /// The id that this line's transaction shall have.
    pub transaction_id: String,
    /// The order.
    pub order: String,
    /// The product ordered.
    pub product: String,
    /// Who owes the fee.
    pub consumer: String,
    /// The fee; zero for what is free of charge.
    pub fee: Fen,
    /// Who receives it.
    pub split: RevenueSplit,
}

/// A settled period: one transaction per order that owes something, and the totals.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Settlement {
    /// One for each line with a fee, in the order of the lines.
    pub transactions: Vec<Transaction>,
    /// The totals.
    pub summary: SettlementSummary,
}

/// Totals of a settled period. `fees` always equals the sum of the three parts, and the sum of `by_party`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettlementSummary {
    /// What all consumers owe.
    pub fees: Fen,
    /// What the operators keep.
    pub operators: Fen,
    /// What is due to the treasuries.
    pub treasuries: Fen,
    /// What is due to enterprise providers.
    pub providers: Fen,
    /// What each receiving party gets.
    pub by_party: BTreeMap<String, Fen>,
    /// Lines with a fee.
    pub charged_count: u64,
    /// Lines free of charge.
    pub free_count: u64,
}

/// Settles a period: turns each order's fee into one transaction in the books of everyone concerned.
///
/// | books of | debit | credit |
/// |---|---|---|
/// | consumer | service fee expense: fee | service fee payable: fee |
/// | operator | service fee receivable: fee | operation income, fiscal revenue payable, provider revenue payable: their parts |
/// | treasury | fiscal revenue receivable: its part | fiscal revenue: its part |
/// | each provider | provider revenue receivable: its part | provider revenue: its part |
///
/// A part of zero is not posted, a line of zero gives no transaction. `period` goes into the memos.
///
/// # Errors
/// [`LedgerError::NegativeFee`], [`LedgerError::TooLarge`], [`LedgerError::PartyTwice`] when a consumer is among those
/// who receive its fee, or what [`Transaction::new`] refuses. Nothing is returned for part of the lines.
pub fn settle(period: &str, at: &str, lines: &[SettlementLine]) -> Result<Settlement, LedgerError> {
    let mut transactions = Vec::new();
    let mut summary = SettlementSummary::default();
    for line in lines {
        if line.fee < Fen::ZERO {
            return Err(LedgerError::NegativeFee { order: line.order.clone(), fee: line.fee });
        }
        if line.fee == Fen::ZERO {
            summary.free_count += 1;
            continue;
        }
        let amounts = split(line.fee, &line.split.shares()?);
        let memo = format!("settlement of {period}: order {}, product {}", line.order, line.product);
        let postings = line_postings(line, &amounts)?;
        transactions.push(Transaction::new(line.transaction_id.as_str(), at, memo, postings)?);
        summary.add(line, &amounts)?;
    }
    Ok(Settlement { transactions, summary })
}

/// `amounts` holds the operator's part, the treasury's, then the providers' in their order.
fn line_postings(line: &SettlementLine, amounts: &[Fen]) -> Result<Vec<Posting>, LedgerError> {
    use AccountCode::{
        FiscalRevenue, FiscalRevenuePayable, FiscalRevenueReceivable, OperationIncome, ProviderRevenue,
        ProviderRevenuePayable, ProviderRevenueReceivable, ServiceFeeExpense, ServiceFeePayable, ServiceFeeReceivable,
    };
    let consumer = line.consumer.as_str();
    let operator = line.split.operator.owner.as_str();
    let treasury = line.split.treasury.owner.as_str();
    if line.split.parties().any(|party| party.owner == consumer) {
        return Err(LedgerError::PartyTwice { owner: consumer.to_owned() });
    }
    let (own, due_to_treasury, due_to_providers) = (amounts[0], amounts[1], &amounts[2..]);

    let mut postings = vec![
        Posting::debit(Account::new(consumer, ServiceFeeExpense), Some(operator), line.fee),
        Posting::credit(Account::new(consumer, ServiceFeePayable), Some(operator), line.fee),
        Posting::debit(Account::new(operator, ServiceFeeReceivable), Some(consumer), line.fee),
    ];
    if own > Fen::ZERO {
        postings.push(Posting::credit(Account::new(operator, OperationIncome), Some(consumer), own));
    }
    if due_to_treasury > Fen::ZERO {
        let payable = Account::new(operator, FiscalRevenuePayable);
        let receivable = Account::new(treasury, FiscalRevenueReceivable);
        let revenue = Account::new(treasury, FiscalRevenue);
        postings.push(Posting::credit(payable, Some(treasury), due_to_treasury));
        postings.push(Posting::debit(receivable, Some(operator), due_to_treasury));
        postings.push(Posting::credit(revenue, Some(operator), due_to_treasury));
    }
    for (provider, due) in line.split.providers.iter().zip(due_to_providers) {
        if *due == Fen::ZERO {
            continue;
        }
        let provider = provider.owner.as_str();
        let payable = Account::new(operator, ProviderRevenuePayable);
        let receivable = Account::new(provider, ProviderRevenueReceivable);
        let revenue = Account::new(provider, ProviderRevenue);
        postings.push(Posting::credit(payable, Some(provider), *due));
        postings.push(Posting::debit(receivable, Some(operator), *due));
        postings.push(Posting::credit(revenue, Some(operator), *due));
    }
    Ok(postings)
}

impl SettlementSummary {
    fn add(&mut self, line: &SettlementLine, amounts: &[Fen]) -> Result<(), LedgerError> {
        self.fees = self.fees.checked_add(line.fee)?;
        self.operators = self.operators.checked_add(amounts[0])?;
        self.treasuries = self.treasuries.checked_add(amounts[1])?;
        for due in &amounts[2..] {
            self.providers = self.providers.checked_add(*due)?;
        }
        for (party, amount) in line.split.parties().zip(amounts) {
            let total = self.by_party.entry(party.owner.clone()).or_default();
            *total = total.checked_add(*amount)?;
        }
        self.charged_count += 1;
        Ok(())
    }
}
