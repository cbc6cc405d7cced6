//! Corrections (更正、冲销): what puts right a metering window or a settlement that was wrong.
//!
//! A window that is not settled yet may be charged less than it read: the operator proposes the counts, every implementer
//! concerned agrees to them, and the reading with its digest stands beside them as it was. Nothing charges more than was
//! metered. A settlement to which nothing was paid in is reversed as a whole (storno): each of its transactions once more on
//! the other sides, and its windows are free to be corrected and settled again.

use std::collections::BTreeMap;

use lingqu_ledger::Fen;
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{MeterId, PartyId, SettlementId};
use crate::price::PermittedRevenueEvent;
use crate::product;
use crate::refusal::Refusal;
use crate::settlement::{self, Meter, MeterEvent, SettlementEvent};
use crate::state::Listed;

/// What a window is charged instead of what it read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MeterCorrection {
    /// Chargeable calls, at most those read.
    pub calls: u64,
    /// Chargeable data sets, at most those read.
    pub data_sets: u64,
    /// Why.
    pub reason: String,
    /// Who proposed it.
    pub proposed_by: Actor,
    /// Which of several implementers agreed, each with who did. Empty with one implementer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub agreements: BTreeMap<PartyId, Actor>,
}

/// The end of a settlement that was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Reversal {
    /// Why.
    pub reason: String,
    /// Who reversed it.
    pub by: Actor,
}

fn unsettled<'a>(deciding: &mut Deciding<'a>, id: &MeterId) -> Result<&'a Meter, Refusal> {
    let meter = deciding.meter(id)?;
    if meter.settlement.is_some() {
        return Err(Refusal::wrong_state(id, meter.state(), "not settled; have its settlement reversed first"));
    }
    Ok(meter)
}

pub(crate) fn propose(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &MeterId,
    (calls, data_sets): (u64, u64),
    reason: &str,
) -> Result<(), Refusal> {
    let meter = unsettled(deciding, id)?;
    let order = deciding.order(&meter.reading.order)?;
    acting.must_act_for(&order.operator)?;
    for (field, asked, read) in
        [("calls", calls, meter.reading.calls), ("data_sets", data_sets, meter.reading.data_sets)]
    {
        if asked > read {
            return Err(Refusal::invalid(
                field,
                format!("更正只能减少计量，不超过 {read}"),
                format!("a correction only lowers what was metered, at most {read}"),
            ));
        }
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Meter(MeterEvent::CorrectionProposed { calls, data_sets, reason }));
    Ok(())
}

pub(crate) fn agree(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &MeterId,
    counts: (u64, u64),
) -> Result<(), Refusal> {
    let meter = unsettled(deciding, id)?;
    let order = deciding.order(&meter.reading.order)?;
    let product = deciding.product(&order.details.product)?;
    let implementers = product::implementers(deciding, product)?;
    let implementer = acting.must_act_for_one_of(&implementers)?.clone();
    let Some(proposal) = &meter.proposal else {
        return Err(Refusal::wrong_state(id, "without a proposed correction", "a proposed correction"));
    };
    if counts != (proposal.calls, proposal.data_sets) {
        return Err(Refusal::invalid(
            "calls",
            "与所提出的更正不一致，请重新打开核对",
            "these are not the proposed counts; open the correction again",
        ));
    }
    if proposal.proposed_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    if implementers.len() > 1 {
        if proposal.agreements.contains_key(&implementer) {
            return Err(Refusal::wrong_state(id, "agreed to by this implementer", "not yet agreed to"));
        }
        deciding.emit(id, Event::Meter(MeterEvent::CorrectionAgreed { implementer: implementer.clone() }));
        let mut others = implementers.iter().filter(|other| **other != implementer);
        if !others.all(|other| proposal.agreements.contains_key(other)) {
            return Ok(());
        }
    }
    deciding.emit(id, Event::Meter(MeterEvent::Corrected));
    Ok(())
}

/// Any implementer concerned may reverse a settlement, as it takes all to confirm it; but not the person who confirmed it.
pub(crate) fn reverse(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &SettlementId,
    reason: &str,
) -> Result<(), Refusal> {
    let settlement = deciding.settlement(id)?;
    acting.must_act_for_one_of(&settlement::implementers(deciding, settlement)?)?;
    if settlement.reversal.is_some() || !settlement.vouchers.is_empty() {
        return Err(Refusal::wrong_state(id, settlement.state(), "not reversed, with nothing paid in to the treasury"));
    }
    let mut confirmed_by = settlement.confirmed_by.iter().chain(settlement.agreements.values());
    if settlement.closed_by == acting.actor || confirmed_by.any(|actor| *actor == acting.actor) {
        return Err(Refusal::four_eyes(id));
    }
    let reason = deciding.text("reason", reason)?;
    let at = deciding.context.now.to_string();
    let mut transactions = Vec::new();
    for transaction in &settlement.transactions {
        let reversal_id = format!("{}/reversal", transaction.id());
        let reversal = transaction
            .reversal(reversal_id, &at, format!("reversal of {}", transaction.id()))
            .map_err(|error| Refusal::invalid("settlement", &error, &error))?;
        transactions.push(reversal);
    }
    for meter in settlement.lines.iter().flat_map(|line| &line.meters) {
        deciding.emit(meter, Event::Meter(MeterEvent::Released { settlement: id.clone() }));
    }
    let income = settlement.summary.operators;
    if let (Some(revenue), true) = (&settlement.permitted_revenue, income > Fen::ZERO) {
        deciding.emit(revenue, Event::PermittedRevenue(PermittedRevenueEvent::Returned { amount: income }));
    }
    deciding.emit(id, Event::Settlement(SettlementEvent::Reversed { reason, transactions }));
    Ok(())
}
