//! Double-entry bookkeeping in exact fen: the place where money is conserved.
//!
//! Prices become fees ([`UnitPrice`] to [`Fen`], rounded once), fees are shared out without losing a fen
//! ([`split`](fn@split), [`settle`]), and what results are [`Transaction`]s that can't be built unbalanced. A [`Ledger`] folds them
//! into balances and a trial balance, a [`statement`](fn@statement) walks one account line by line. Each transaction balances for every
//! owner on its own, so the books of the operator, the treasury, a provider and a consumer each stand alone.
//!
//! It is not the place for rules about who may set a price, for storage, or for time: ids, instants and rates come in
//! as arguments. Data passes through in one direction: fees in, transactions out, balances from transactions.

mod account;
mod error;
mod fen;
mod ledger;
mod payment;
mod permitted_revenue;
mod settlement;
mod split;
mod statement;
mod transaction;
mod unit_price;

pub use account::{Account, AccountCode, AccountKind};
pub use error::LedgerError;
pub use fen::Fen;
pub use ledger::{Ledger, TrialBalance, TrialBalanceRow};
pub use payment::{deposit, fee_payment, provider_payment, treasury_voucher};
pub use permitted_revenue::{PermittedRevenue, profit_rate_ceiling};
pub use settlement::{PartyShare, RevenueSplit, Settlement, SettlementLine, SettlementSummary, settle};
pub use split::{RATE_DECIMALS_MAX, SHARES_MAX, Shares, split};
pub use statement::{Statement, StatementLine, statement};
pub use transaction::{MEMO_CHARS_MAX, POSTINGS_MAX, Posting, Side, Transaction};
pub use unit_price::{UNIT_PRICE_DECIMALS_MAX, UnitPrice};
