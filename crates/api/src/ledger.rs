//! The ledger of a period: the lines of its settlements, their postings, and the trial balance that must come out even.

use axum::Json;
use axum::extract::State;
use lingqu_domain::settlement::Settlement;
use lingqu_domain::state::State as Folded;
use lingqu_ledger::{Account, Fen, Ledger, LedgerError, Side, Transaction};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::Shared;
use crate::catalogue::{PartyName, party_name};
use crate::problem::{ProblemDocument, Query};
use crate::session::Viewer;
use crate::settlement::sees_whole;
use crate::visibility::{Sight, Visible};

/// Most settlements of one answer, newest first.
const SETTLEMENTS_MAX: usize = 50;
/// Most transactions of one answer.
const TRANSACTIONS_MAX: usize = 2_000;

/// Which part of the ledger is shown.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct LedgerQuery {
    /// Only this settlement; else the newest ones that the viewer may see, at most 50.
    settlement: Option<String>,
    /// Only the books of this party. Whoever sees no more of a settlement than its own part sees its own books alone.
    owner: Option<String>,
}

/// An account, by name.
#[derive(Serialize, ToSchema)]
pub(crate) struct AccountName {
    /// Whose: a party's id.
    owner: String,
    /// That party's name.
    owner_name: String,
    /// … in English.
    owner_name_en: String,
    /// The account's code.
    code: String,
    /// Its Chinese name.
    name: String,
    /// Its English name.
    name_en: String,
}

/// One line of a transaction. Exactly one of debit and credit is given.
#[derive(Serialize, ToSchema)]
pub(crate) struct PostingLine {
    /// The account.
    account: AccountName,
    /// With whom, a party's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    counterparty: Option<String>,
    /// 借, in yuan with two decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    debit_yuan: Option<String>,
    /// 贷, in yuan with two decimals.
    #[serde(skip_serializing_if = "Option::is_none")]
    credit_yuan: Option<String>,
}

/// A balanced transaction.
#[derive(Serialize, ToSchema)]
pub(crate) struct TransactionView {
    /// Its id.
    id: String,
    /// When.
    at: String,
    /// What for.
    memo: String,
    /// Its lines; of one owner only, when the request says so.
    postings: Vec<PostingLine>,
}

/// One account of the trial balance.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrialBalanceLine {
    /// The account.
    account: AccountName,
    /// Sum of debits, in yuan.
    debit_yuan: String,
    /// Sum of credits, in yuan.
    credit_yuan: String,
    /// The balance on the side its kind grows by, in yuan.
    balance_yuan: String,
}

/// The trial balance over the transactions of the answer.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrialBalanceView {
    /// The accounts.
    lines: Vec<TrialBalanceLine>,
    /// Sum of all debits, in yuan.
    debits_yuan: String,
    /// Sum of all credits, in yuan.
    credits_yuan: String,
    /// Whether they are equal to the fen.
    balanced: bool,
}

/// One order's line of a settlement.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettledOrder {
    /// The order.
    order: String,
    /// Who ordered.
    consumer: PartyName,
    /// The product's name.
    product: String,
    /// … in English.
    product_en: String,
    /// Chargeable calls.
    calls: u64,
    /// Chargeable data sets.
    data_sets: u64,
    /// The fee, in yuan.
    fee_yuan: String,
}

/// What a party receives.
#[derive(Serialize, ToSchema)]
pub(crate) struct SplitPart {
    /// Who.
    party: PartyName,
    /// How much, in yuan.
    amount_yuan: String,
}

/// What is due to a treasury and what was paid in.
#[derive(Serialize, ToSchema)]
pub(crate) struct TreasuryPart {
    /// The treasury.
    treasury: PartyName,
    /// Due, in yuan.
    due_yuan: String,
    /// Paid in, in yuan.
    paid_yuan: String,
}

/// A settlement, walked back to its orders.
#[derive(Serialize, ToSchema)]
pub(crate) struct SettlementView {
    /// Its id.
    id: String,
    /// Name of the period.
    period: String,
    /// Whose.
    operator: PartyName,
    /// Whether the implementer has confirmed it.
    confirmed: bool,
    /// One line per order.
    lines: Vec<SettledOrder>,
    /// All fees, in yuan.
    fees_yuan: String,
    /// Who receives what of them.
    split: Vec<SplitPart>,
    /// What goes to treasuries.
    treasuries: Vec<TreasuryPart>,
    /// Numbers of the vouchers.
    vouchers: Vec<String>,
}

/// The ledger.
#[derive(Serialize, ToSchema)]
pub(crate) struct LedgerView {
    /// The settlements, newest first.
    settlements: Vec<SettlementView>,
    /// Their transactions in order.
    transactions: Vec<TransactionView>,
    /// True when there were more transactions than one answer holds; the balance is over all of them.
    shortened: bool,
    /// The trial balance.
    trial_balance: TrialBalanceView,
}

/// The ledger of one settlement or of the newest ones.
#[utoipa::path(get, path = "/api/v1/ledger", operation_id = "ledger", tag = "ledger", params(LedgerQuery),
    responses((status = 200, body = LedgerView), (status = 401, body = ProblemDocument), (status = 404, body = ProblemDocument)))]
pub(crate) async fn ledger(
    State(api): Shared,
    viewer: Viewer,
    Query(query): Query<LedgerQuery>,
) -> Result<Json<LedgerView>, ProblemDocument> {
    api.app.read(|state| view(state, &viewer, &query)).map(Json)
}

fn view(state: &Folded, viewer: &Viewer, query: &LedgerQuery) -> Result<LedgerView, ProblemDocument> {
    let sight = Sight::new(viewer, state);
    let mut shown: Vec<&Settlement> = Vec::new();
    for settlement in state.settlements.values().rev().map(|entity| &entity.value) {
        let is_asked = query.settlement.as_ref().is_none_or(|id| settlement.id.as_str() == id);
        if is_asked && shown.len() < SETTLEMENTS_MAX && settlement.is_visible(&sight) {
            shown.push(settlement);
        }
    }
    if let (Some(id), true) = (&query.settlement, shown.is_empty()) {
        return Err(ProblemDocument::not_found(id));
    }
    let own_books_alone = shown.iter().any(|settlement| !sees_whole(settlement, &sight));
    let owner = if own_books_alone { Some(viewer.session.party.as_str()) } else { query.owner.as_deref() };
    let mut ledger = Ledger::new();
    let mut transactions = Vec::new();
    let mut shortened = false;
    for transaction in shown.iter().rev().flat_map(|settlement| &settlement.transactions) {
        ledger.apply(transaction).map_err(unsound)?;
        let lines = transaction_view(state, transaction, owner);
        if lines.postings.is_empty() {
            continue;
        }
        if transactions.len() < TRANSACTIONS_MAX {
            transactions.push(lines);
        } else {
            shortened = true;
        }
    }
    let balance = ledger.trial_balance(owner).map_err(unsound)?;
    let mut lines = Vec::new();
    for row in &balance.rows {
        lines.push(TrialBalanceLine {
            account: account_name(state, &row.account),
            debit_yuan: yuan(row.debit),
            credit_yuan: yuan(row.credit),
            balance_yuan: yuan(row.balance),
        });
    }
    Ok(LedgerView {
        settlements: shown.iter().map(|settlement| settlement_view(state, &settlement.shown(&sight))).collect(),
        transactions,
        shortened,
        trial_balance: TrialBalanceView {
            lines,
            debits_yuan: yuan(balance.debits),
            credits_yuan: yuan(balance.credits),
            balanced: balance.is_balanced(),
        },
    })
}

/// The journal only holds transactions that balance, so this means that it was tampered with.
fn unsound(error: LedgerError) -> ProblemDocument {
    ProblemDocument::fault(format!("the ledger is not sound: {error}"))
}

fn settlement_view(state: &Folded, settlement: &Settlement) -> SettlementView {
    let mut lines = Vec::new();
    for line in &settlement.lines {
        let order = state.orders.get(&line.order).map(|order| &order.value);
        let product = order.and_then(|order| state.products.get(&order.details.product));
        let product = product.map(|product| &product.value.details);
        lines.push(SettledOrder {
            order: line.order.to_string(),
            consumer: party_name(state, order.map_or("", |order| order.consumer.as_str())),
            product: product.map(|details| details.name.clone()).unwrap_or_default(),
            product_en: product.map(|details| details.name_en.clone()).unwrap_or_default(),
            calls: line.calls,
            data_sets: line.data_sets,
            fee_yuan: yuan(line.fee),
        });
    }
    let mut split = Vec::new();
    for (party, amount) in &settlement.summary.by_party {
        split.push(SplitPart { party: party_name(state, party), amount_yuan: yuan(*amount) });
    }
    let mut treasuries = Vec::new();
    // Of a reversed settlement nothing is due.
    for (treasury, due) in settlement.due.iter().filter(|_| settlement.reversal.is_none()) {
        let paid = settlement.paid_in.get(treasury).copied().unwrap_or_default();
        treasuries.push(TreasuryPart {
            treasury: party_name(state, treasury.as_str()),
            due_yuan: yuan(*due),
            paid_yuan: yuan(paid),
        });
    }
    SettlementView {
        id: settlement.id.to_string(),
        period: settlement.period.clone(),
        operator: party_name(state, settlement.operator.as_str()),
        confirmed: settlement.confirmed_by.is_some(),
        lines,
        fees_yuan: yuan(settlement.summary.fees),
        split,
        treasuries,
        vouchers: settlement.vouchers.clone(),
    }
}

fn transaction_view(state: &Folded, transaction: &Transaction, owner: Option<&str>) -> TransactionView {
    let mut postings = Vec::new();
    for posting in transaction.postings() {
        if owner.is_some_and(|owner| owner != posting.account.owner) {
            continue;
        }
        let amount = Some(yuan(posting.amount));
        let (debit_yuan, credit_yuan) = match posting.side {
            Side::Debit => (amount, None),
            Side::Credit => (None, amount),
        };
        postings.push(PostingLine {
            account: account_name(state, &posting.account),
            counterparty: posting.counterparty.clone(),
            debit_yuan,
            credit_yuan,
        });
    }
    TransactionView {
        id: transaction.id().to_owned(),
        at: transaction.at().to_owned(),
        memo: transaction.memo().to_owned(),
        postings,
    }
}

fn account_name(state: &Folded, account: &Account) -> AccountName {
    let owner = party_name(state, &account.owner);
    AccountName {
        owner: account.owner.clone(),
        owner_name: owner.name,
        owner_name_en: owner.name_en,
        code: account.code.as_str().to_owned(),
        name: account.code.name_zh().to_owned(),
        name_en: account.code.name_en().to_owned(),
    }
}

/// Yuan with exactly two decimals.
fn yuan(amount: Fen) -> String {
    format!("{:.2}", amount.to_yuan())
}
