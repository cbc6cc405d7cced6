//! Metering and settlement (计量、结算): from closed receipts to fees, shares and vouchers.
//!
//! The node closes metering windows: each names the receipts it counted by range and digest, so the ledger replays
//! without the receipts and every fen can be walked back to them. A settlement takes the windows of an operator that are
//! not yet settled, makes one fee per order, and splits it by the mandate's terms into balanced postings. Where there are more
//! than one journal append has room for, it takes the oldest, and another settlement of the same period takes what is left.
//! Every implementer whose permits its orders stand on confirms it; then what is due to the treasury is paid in against a
//! voucher.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lingqu_ledger::{Fen, RevenueSplit, SettlementLine, SettlementSummary, Transaction, settle, treasury_voucher};
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::correction::{MeterCorrection, Reversal};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{MeterId, OrderId, PartyId, PermittedRevenueId, SettlementId};
use crate::price::PermittedRevenueEvent;
use crate::product;
use crate::refusal::{Refusal, RefusalCode};
use crate::state::{Listed, Meta};

/// Most metering windows that one command closes, and that one settlement takes: their events fit into one journal append,
/// beside the settlement's own.
pub const METERS_MAX: usize = 9_000;

/// Most postings that one settlement makes of several orders: with them its event fits into one journal record.
pub const SETTLEMENT_POSTINGS_MAX: usize = 10_000;

/// What one order used in one window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MeterReading {
    /// The order.
    pub order: OrderId,
    /// Position of the first receipt record that the window looked at.
    pub first_position: u64,
    /// Position after the last.
    pub end_position: u64,
    /// Chargeable calls.
    pub calls: u64,
    /// Chargeable data sets.
    pub data_sets: u64,
    /// Rows that left.
    pub rows: u64,
    /// Closed deliveries.
    pub deliveries: u64,
    /// Deliveries that were refused or interrupted, free of charge.
    pub free_deliveries: u64,
    /// SHA-256 over the ids of the counted receipts in order, hexadecimal.
    pub receipts_digest: String,
}

/// A closed metering window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Meter {
    /// Its id.
    pub id: MeterId,
    /// What was used.
    pub reading: MeterReading,
    /// When it was closed.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub closed_at: Timestamp,
    /// The settlement that took it.
    pub settlement: Option<SettlementId>,
    /// What it is charged instead of what it read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction: Option<MeterCorrection>,
    /// A correction that the implementers have yet to agree to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proposal: Option<MeterCorrection>,
}

/// One order's line of a settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StatementLine {
    /// The order.
    pub order: OrderId,
    /// The windows it sums up.
    pub meters: Vec<MeterId>,
    /// Calls.
    pub calls: u64,
    /// Data sets.
    pub data_sets: u64,
    /// The fee.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub fee: Fen,
}

/// A settlement of an operator's period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Settlement {
    /// Its id.
    pub id: SettlementId,
    /// Whose.
    pub operator: PartyId,
    /// Name of the period.
    pub period: String,
    /// One line per order.
    pub lines: Vec<StatementLine>,
    /// Totals.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub summary: SettlementSummary,
    /// Postings of fees, shares and vouchers.
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<Object>))]
    pub transactions: Vec<Transaction>,
    /// Paid in to each treasury so far.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<PartyId, String>))]
    pub paid_in: BTreeMap<PartyId, Fen>,
    /// Due to each treasury.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<PartyId, String>))]
    pub due: BTreeMap<PartyId, Fen>,
    /// Numbers of the vouchers.
    pub vouchers: Vec<String>,
    /// Who closed it.
    pub closed_by: Actor,
    /// Which of several implementers have confirmed it, each with who did. Empty with one implementer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agreements: BTreeMap<PartyId, Actor>,
    /// Who confirmed it: of several implementers the last.
    pub confirmed_by: Option<Actor>,
    /// The permitted revenue that its income counts against.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permitted_revenue: Option<PermittedRevenueId>,
    /// How it was reversed, if it was: nothing is then due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reversal: Option<Reversal>,
}

/// What happened to a metering window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MeterEvent {
    /// It was closed.
    Closed(MeterReading),
    /// A settlement took it.
    Settled {
        /// The settlement.
        settlement: SettlementId,
    },
    /// A correction was proposed.
    CorrectionProposed {
        /// Chargeable calls.
        calls: u64,
        /// Chargeable data sets.
        data_sets: u64,
        /// Why.
        reason: String,
    },
    /// One of several implementers agreed to the correction.
    CorrectionAgreed {
        /// The implementer.
        implementer: PartyId,
    },
    /// Every implementer has agreed: it is charged as corrected.
    Corrected,
    /// Its settlement was reversed.
    Released {
        /// The settlement.
        settlement: SettlementId,
    },
}

/// What happened to a settlement.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SettlementEvent {
    /// It was closed.
    Closed {
        /// Whose.
        operator: PartyId,
        /// Name of the period.
        period: String,
        /// Lines.
        lines: Vec<StatementLine>,
        /// Totals.
        summary: SettlementSummary,
        /// Postings.
        transactions: Vec<Transaction>,
        /// Due to each treasury.
        due: BTreeMap<PartyId, Fen>,
        /// The permitted revenue that the income counts against.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        permitted_revenue: Option<PermittedRevenueId>,
    },
    /// One of several implementers confirmed it.
    Agreed {
        /// The implementer.
        implementer: PartyId,
    },
    /// Every implementer has confirmed it.
    Confirmed,
    /// It was reversed.
    Reversed {
        /// Why.
        reason: String,
        /// Each of its transactions on the other sides.
        transactions: Vec<Transaction>,
    },
    /// Fiscal revenue was paid in against a voucher.
    VoucherRecorded {
        /// The treasury.
        treasury: PartyId,
        /// Number of the voucher.
        number: String,
        /// How much.
        amount: Fen,
        /// Its postings.
        transaction: Transaction,
    },
}

impl Meter {
    pub(crate) fn fold(previous: Option<Self>, id: MeterId, event: &MeterEvent, meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, MeterEvent::Closed(reading)) => Some(Self {
                id,
                reading: reading.clone(),
                closed_at: meta.at,
                settlement: None,
                correction: None,
                proposal: None,
            }),
            (Some(meter), MeterEvent::Settled { settlement }) if meter.settlement.is_none() => {
                Some(Self { settlement: Some(settlement.clone()), ..meter })
            }
            (Some(meter), MeterEvent::Released { settlement }) if meter.settlement.as_ref() == Some(settlement) => {
                Some(Self { settlement: None, ..meter })
            }
            (Some(meter), MeterEvent::CorrectionProposed { calls, data_sets, reason })
                if meter.settlement.is_none()
                    && *calls <= meter.reading.calls
                    && *data_sets <= meter.reading.data_sets =>
            {
                let proposal = MeterCorrection {
                    calls: *calls,
                    data_sets: *data_sets,
                    reason: reason.clone(),
                    proposed_by: meta.actor.clone(),
                    agreements: BTreeMap::new(),
                };
                Some(Self { proposal: Some(proposal), ..meter })
            }
            (Some(mut meter), MeterEvent::CorrectionAgreed { implementer }) if meter.settlement.is_none() => {
                let proposal = meter.proposal.as_mut()?;
                let earlier = proposal.agreements.insert(implementer.clone(), meta.actor.clone());
                earlier.is_none().then_some(meter)
            }
            (Some(mut meter), MeterEvent::Corrected) if meter.settlement.is_none() => {
                meter.correction = Some(meter.proposal.take()?);
                Some(meter)
            }
            _ => None,
        }
    }

    /// What is charged: calls and data sets as corrected, else as read.
    pub fn charged(&self) -> (u64, u64) {
        match &self.correction {
            Some(correction) => (correction.calls, correction.data_sets),
            None => (self.reading.calls, self.reading.data_sets),
        }
    }
}

impl Settlement {
    pub(crate) fn fold(previous: Option<Self>, id: SettlementId, event: &SettlementEvent, meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (
                None,
                SettlementEvent::Closed { operator, period, lines, summary, transactions, due, permitted_revenue },
            ) => Some(Self {
                id,
                operator: operator.clone(),
                period: period.clone(),
                lines: lines.clone(),
                summary: summary.clone(),
                transactions: transactions.clone(),
                paid_in: BTreeMap::new(),
                due: due.clone(),
                vouchers: Vec::new(),
                closed_by: meta.actor.clone(),
                agreements: BTreeMap::new(),
                confirmed_by: None,
                permitted_revenue: permitted_revenue.clone(),
                reversal: None,
            }),
            (Some(mut settlement), SettlementEvent::Reversed { reason, transactions })
                if settlement.reversal.is_none() && settlement.vouchers.is_empty() =>
            {
                settlement.reversal = Some(Reversal { reason: reason.clone(), by: meta.actor.clone() });
                settlement.transactions.extend(transactions.iter().cloned());
                Some(settlement)
            }
            (Some(mut settlement), SettlementEvent::Agreed { implementer })
                if settlement.is_open() && !settlement.agreements.contains_key(implementer) =>
            {
                settlement.agreements.insert(implementer.clone(), meta.actor.clone());
                Some(settlement)
            }
            (Some(settlement), SettlementEvent::Confirmed) if settlement.is_open() => {
                Some(Self { confirmed_by: Some(meta.actor.clone()), ..settlement })
            }
            (Some(mut settlement), SettlementEvent::VoucherRecorded { treasury, number, amount, transaction })
                if settlement.confirmed_by.is_some()
                    && *amount > Fen::ZERO
                    && *amount <= settlement.outstanding(treasury) =>
            {
                let paid = settlement.paid_in.entry(treasury.clone()).or_default();
                *paid = paid.checked_add(*amount).ok()?;
                settlement.vouchers.push(number.clone());
                settlement.transactions.push(transaction.clone());
                Some(settlement)
            }
            _ => None,
        }
    }

    /// Whether it may still be confirmed.
    fn is_open(&self) -> bool {
        self.confirmed_by.is_none() && self.reversal.is_none()
    }

    /// What is still to be paid in to a treasury.
    pub fn outstanding(&self, treasury: &PartyId) -> Fen {
        if self.reversal.is_some() {
            return Fen::ZERO;
        }
        let due = self.due.get(treasury).copied().unwrap_or(Fen::ZERO);
        let paid = self.paid_in.get(treasury).copied().unwrap_or(Fen::ZERO);
        due.checked_sub(paid).unwrap_or(Fen::ZERO)
    }
}

impl Listed for Meter {
    fn state(&self) -> &'static str {
        if self.settlement.is_some() { "settled" } else { "closed" }
    }
    fn title(&self) -> String {
        self.reading.order.to_string()
    }
    fn owner(&self) -> String {
        self.reading.order.to_string()
    }
}

impl Listed for Settlement {
    fn state(&self) -> &'static str {
        let paid = self.due.keys().all(|treasury| self.outstanding(treasury) == Fen::ZERO);
        match (&self.confirmed_by, paid) {
            _ if self.reversal.is_some() => "reversed",
            (None, _) => "closed",
            (Some(_), false) => "confirmed",
            (Some(_), true) => "paid_in",
        }
    }
    fn title(&self) -> String {
        self.period.clone()
    }
    fn owner(&self) -> String {
        self.operator.to_string()
    }
}

pub(crate) fn close_meters(deciding: &mut Deciding<'_>, readings: &[MeterReading]) -> Result<(), Refusal> {
    let orders: BTreeSet<&OrderId> = readings.iter().map(|reading| &reading.order).collect();
    if readings.is_empty() || readings.len() > METERS_MAX || orders.len() != readings.len() {
        return Err(Refusal::invalid(
            "readings",
            format!("每个订单一条，共 1 至 {METERS_MAX} 条"),
            format!("1 to {METERS_MAX} readings, one per order"),
        ));
    }
    // Windows of one order never overlap, so no receipt is charged twice.
    deciding.scan();
    let mut closed: BTreeMap<&OrderId, Vec<&MeterReading>> = BTreeMap::new();
    for other in deciding.state.meters.values().map(|meter| &meter.value.reading) {
        if orders.contains(&other.order) {
            closed.entry(&other.order).or_default().push(other);
        }
    }
    for reading in readings {
        let of_order = closed.get(&reading.order).map_or(&[][..], Vec::as_slice);
        close_meter(deciding, reading, of_order)?;
    }
    Ok(())
}

/// Closes a window of an order beside those of it that are closed.
fn close_meter(deciding: &mut Deciding<'_>, reading: &MeterReading, closed: &[&MeterReading]) -> Result<(), Refusal> {
    let order = deciding.order(&reading.order)?;
    if order.contract.signatures.len() < 2 {
        return Err(Refusal::wrong_state(
            &reading.order,
            "without a signed contract",
            "a contract that both sides signed",
        ));
    }
    if reading.first_position >= reading.end_position {
        return Err(Refusal::invalid("first_position", "计量区间为空", "the window is empty"));
    }
    let is_apart = |other: &&MeterReading| {
        reading.first_position >= other.end_position || reading.end_position <= other.first_position
    };
    if !closed.iter().all(is_apart) {
        return Err(Refusal::invalid(
            "first_position",
            "与已关闭的计量区间重叠",
            "the window overlaps one that is closed",
        ));
    }
    let id = MeterId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Meter(MeterEvent::Closed(reading.clone())));
    Ok(())
}

pub(crate) fn close(deciding: &mut Deciding<'_>, acting: &Acting, period: &str) -> Result<(), Refusal> {
    let operator = acting.party()?.clone();
    let period = deciding.text("period", period)?;
    let by_order = to_be_settled(deciding, &operator)?;
    if by_order.is_empty() {
        return Err(Refusal::invalid(
            "period",
            "没有待结算的计量区间，有新的计量后再结算",
            "no metering window is unsettled; settle once there is another one",
        ));
    }
    let id = SettlementId::next(&mut deciding.ids);
    let mut lines = Vec::new();
    let mut ledger_lines = Vec::new();
    for (order_id, meters) in &by_order {
        let line = statement_line(deciding, order_id, meters)?;
        ledger_lines.push(ledger_line(deciding, &id, &line)?);
        lines.push(line);
    }
    let at = deciding.context.now.to_string();
    let settled = settle(&period, &at, &ledger_lines).map_err(|error| Refusal::invalid("period", &error, &error))?;
    let mut due: BTreeMap<PartyId, Fen> = BTreeMap::new();
    for treasury in ledger_lines.iter().map(|line| line.split.treasury().owner.clone()).collect::<BTreeSet<_>>() {
        let amount = settled.summary.by_party.get(&treasury).copied().unwrap_or(Fen::ZERO);
        let treasury = treasury.parse().map_err(|error| Refusal::invalid("treasury", &error, &error))?;
        due.insert(treasury, amount);
    }
    // What was earned under no permitted revenue is counted against none.
    let income = settled.summary.operators;
    for line in &lines {
        for meter in &line.meters {
            deciding.emit(meter, Event::Meter(MeterEvent::Settled { settlement: id.clone() }));
        }
    }
    let now = deciding.context.now;
    let revenue = deciding
        .state
        .permitted_revenues
        .values()
        .find(|revenue| revenue.value.operator == operator && revenue.value.term.covers(now))
        .map(|revenue| revenue.value.id.clone());
    if let (Some(revenue), true) = (&revenue, income > Fen::ZERO) {
        deciding.emit(revenue, Event::PermittedRevenue(PermittedRevenueEvent::Earned { amount: income }));
    }
    let closed = SettlementEvent::Closed {
        operator,
        period,
        lines,
        summary: settled.summary,
        transactions: settled.transactions,
        due,
        permitted_revenue: revenue,
    };
    deciding.emit(&id, Event::Settlement(closed));
    Ok(())
}

/// The operator's windows that the next settlement takes, by order: all that are unsettled, or the oldest of them, up to the
/// first that there is no room for.
fn to_be_settled<'a>(
    deciding: &mut Deciding<'a>,
    operator: &PartyId,
) -> Result<BTreeMap<OrderId, Vec<&'a Meter>>, Refusal> {
    deciding.scan();
    let state = deciding.state;
    let is_own =
        |meter: &Meter| state.orders.get(&meter.reading.order).is_some_and(|order| order.value.operator == *operator);
    let meters = state.meters.values().map(|meter| &meter.value);
    let mut unsettled: Vec<&Meter> = meters.filter(|meter| meter.settlement.is_none() && is_own(meter)).collect();
    // A stable sort: windows that end together stay in the order of their ids.
    unsettled.sort_by_key(|meter| meter.reading.end_position);
    let mut by_order: BTreeMap<OrderId, Vec<&Meter>> = BTreeMap::new();
    let mut postings = 0;
    for meter in unsettled.into_iter().take(METERS_MAX) {
        let order = &meter.reading.order;
        if !by_order.contains_key(order) {
            postings += split_of(deciding, order)?.postings_max();
            // One order always has room: the ledger bounds the postings of a transaction.
            if postings > SETTLEMENT_POSTINGS_MAX && !by_order.is_empty() {
                break;
            }
        }
        by_order.entry(order.clone()).or_default().push(meter);
    }
    for of_order in by_order.values_mut() {
        of_order.sort_by(|one, other| one.id.cmp(&other.id));
    }
    Ok(by_order)
}

fn statement_line(
    deciding: &mut Deciding<'_>,
    order_id: &OrderId,
    meters: &[&Meter],
) -> Result<StatementLine, Refusal> {
    let order = deciding.order(order_id)?;
    let too_much = || Refusal::invalid("period", "计量数值过大", "the metered quantity is too large");
    let mut calls: u64 = 0;
    let mut data_sets: u64 = 0;
    for meter in meters {
        let charged = meter.charged();
        calls = calls.checked_add(charged.0).ok_or_else(too_much)?;
        data_sets = data_sets.checked_add(charged.1).ok_or_else(too_much)?;
    }
    let fee = order
        .contract
        .price
        .fee(&order.details.purpose, calls, data_sets)
        .map_err(|error| Refusal::invalid("period", &error, &error))?;
    let meters = meters.iter().map(|meter| meter.id.clone()).collect();
    Ok(StatementLine { order: order_id.clone(), meters, calls, data_sets, fee })
}

fn ledger_line(
    deciding: &mut Deciding<'_>,
    settlement: &SettlementId,
    line: &StatementLine,
) -> Result<SettlementLine, Refusal> {
    let order = deciding.order(&line.order)?;
    Ok(SettlementLine {
        transaction_id: format!("{settlement}/{}", line.order),
        order: line.order.to_string(),
        product: order.details.product.to_string(),
        consumer: order.consumer.to_string(),
        fee: line.fee,
        split: split_of(deciding, &line.order)?,
    })
}

/// Who receives what of an order's fees.
fn split_of(deciding: &mut Deciding<'_>, order: &OrderId) -> Result<RevenueSplit, Refusal> {
    let order = deciding.order(order)?;
    let product = deciding.product(&order.details.product)?;
    let Some(permit) = product.details.inputs.values().next() else {
        return Err(Refusal::not_found(&order.details.product));
    };
    let permit = deciding.permit(permit)?;
    let mandate = deciding.mandate(&permit.details.mandate)?;
    mandate.details.revenue.split(&order.operator)
}

pub(crate) fn confirm(deciding: &mut Deciding<'_>, acting: &Acting, id: &SettlementId) -> Result<(), Refusal> {
    let settlement = deciding.settlement(id)?;
    if !settlement.is_open() {
        return Err(Refusal::wrong_state(id, settlement.state(), "closed"));
    }
    let implementers = implementers(deciding, settlement)?;
    let implementer = acting.must_act_for_one_of(&implementers)?.clone();
    if implementers.len() > 1 {
        if settlement.agreements.contains_key(&implementer) {
            return Err(Refusal::wrong_state(
                id,
                "confirmed by this implementer",
                "closed and not yet confirmed by this implementer",
            ));
        }
        deciding.emit(id, Event::Settlement(SettlementEvent::Agreed { implementer: implementer.clone() }));
        let mut others = implementers.iter().filter(|other| **other != implementer);
        if !others.all(|other| settlement.agreements.contains_key(other)) {
            return Ok(());
        }
    }
    deciding.emit(id, Event::Settlement(SettlementEvent::Confirmed));
    Ok(())
}

/// The implementers whose permits the settled orders stand on.
pub(crate) fn implementers(deciding: &mut Deciding<'_>, settlement: &Settlement) -> Result<BTreeSet<PartyId>, Refusal> {
    let mut implementers = BTreeSet::new();
    for line in &settlement.lines {
        let order = deciding.order(&line.order)?;
        let product = deciding.product(&order.details.product)?;
        implementers.extend(product::implementers(deciding, product)?);
    }
    Ok(implementers)
}

pub(crate) fn record_voucher(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &SettlementId,
    number: &str,
    amount: Fen,
) -> Result<(), Refusal> {
    let settlement = deciding.settlement(id)?;
    let treasury = acting.party()?.clone();
    if settlement.confirmed_by.is_none() || settlement.reversal.is_some() {
        return Err(Refusal::wrong_state(id, settlement.state(), "confirmed"));
    }
    let number = deciding.text("number", number)?;
    let outstanding = settlement.outstanding(&treasury);
    if amount <= Fen::ZERO || amount > outstanding {
        return Err(Refusal::invalid(
            "amount",
            format!("应缴余额为 {outstanding} 元"),
            format!("{outstanding} yuan is outstanding"),
        ));
    }
    let transaction_id = format!("{id}/voucher/{}", settlement.vouchers.len() + 1);
    let at = deciding.context.now.to_string();
    let (operator, owner) = (settlement.operator.to_string(), treasury.to_string());
    let transaction = treasury_voucher(&transaction_id, &at, &operator, &owner, &number, amount)
        .map_err(|error| Refusal::invalid("amount", &error, &error))?;
    // A voucher is of one payment: given twice, it would count twice.
    let is_known = settlement.transactions.iter().any(|earlier| {
        earlier.memo() == transaction.memo() && earlier.postings().iter().any(|posting| posting.account.owner == owner)
    });
    if is_known {
        return Err(Refusal::new(
            RefusalCode::AlreadyExists,
            id,
            format!("凭证 {number} 已登记；另一笔缴款请填写其凭证号"),
            format!("voucher {number} is recorded already; another payment has a number of its own"),
        ));
    }
    deciding.emit(id, Event::Settlement(SettlementEvent::VoucherRecorded { treasury, number, amount, transaction }));
    Ok(())
}
