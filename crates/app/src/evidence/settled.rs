//! What a settlement says of one order. Its record tells of every order of the operator and stays with the node; the bundle
//! holds the order's line, and the log entry that commits to the whole, so that a court can ask for it and compare. The
//! line need not be believed: windows, price and fee are computed again.

use std::collections::BTreeSet;

use lingqu_domain::id::{MeterId, OrderId, PartyId, SettlementId};
use lingqu_domain::settlement::{Meter, StatementLine};
use lingqu_domain::state::State;
use lingqu_ledger::Fen;
use lingqu_transparency::{Evidence, EvidenceBuilder, LogEntry, RecordKind};
use serde::{Deserialize, Serialize};

use super::{Provers, bundle_fault};
use crate::app::App;
use crate::error::AppError;

/// The item that holds the lines.
pub(super) const SETTLEMENTS_ITEM: &str = "settlements.json";

/// A settlement as far as it tells of one order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct InPart {
    /// The settlement.
    pub(super) settlement: SettlementId,
    /// Whose.
    pub(super) operator: PartyId,
    /// Name of the period, as the node states it.
    pub(super) period: String,
    /// Journal position of the record that closed it.
    pub(super) position: u64,
    /// The log entry that commits to that record.
    pub(super) log_entry: u64,
    /// The order's line.
    pub(super) line: StatementLine,
    /// How many orders it settled in all.
    pub(super) orders: usize,
    /// Whether the implementers confirmed it, as the node states it.
    pub(super) is_confirmed: bool,
    /// Whether it was reversed, as the node states it.
    pub(super) is_reversed: bool,
}

/// What was settled of an order, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) settlement: SettlementId,
    pub(super) period: String,
    pub(super) calls: u64,
    pub(super) data_sets: u64,
    pub(super) fee: Fen,
    /// Whether the order's purpose is free of charge by the contract.
    pub(super) is_free: bool,
    /// Whether its record is in the bundle.
    pub(super) is_whole: bool,
    pub(super) is_confirmed: bool,
}

impl App {
    /// Adds what settlements say of an order that tell of others as well, each with the entry that commits to it.
    pub(super) async fn add_settled(
        &self,
        builder: &mut EvidenceBuilder,
        settlements: &BTreeSet<SettlementId>,
        order: &OrderId,
        provers: &Provers<'_>,
    ) -> Result<(), AppError> {
        let mut parts = Vec::new();
        for id in settlements {
            let page = self.store.read_stream(id.as_str(), 0, 1).await?;
            let Some(record) = page.first().filter(|record| record.log_entry < provers.checkpoint.size) else {
                continue;
            };
            let part = self.read(|state| {
                let settlement = &state.settlements.get(id)?.value;
                let line = settlement.lines.iter().find(|line| line.order == *order)?.clone();
                Some(InPart {
                    settlement: id.clone(),
                    operator: settlement.operator.clone(),
                    period: settlement.period.clone(),
                    position: record.position,
                    log_entry: record.log_entry,
                    line,
                    orders: settlement.lines.len(),
                    is_confirmed: settlement.confirmed_by.is_some(),
                    is_reversed: settlement.reversal.is_some(),
                })
            });
            parts.extend(part);
            provers.add_entry(builder, record.log_entry).await?;
        }
        if parts.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string(&parts).map_err(|error| AppError::Fault(error.to_string()))?;
        builder.item(SETTLEMENTS_ITEM, text.as_bytes()).map_err(bundle_fault)
    }
}

/// Holds what was settled of an order against its windows and its price; `find` is told what is wrong: where, and what.
pub(super) fn check(
    evidence: &Evidence,
    state: &State,
    order: &OrderId,
    find: &mut dyn FnMut(String, String),
) -> Vec<Settled> {
    let parts = match evidence.item(SETTLEMENTS_ITEM).map(|item| serde_json::from_slice::<Vec<InPart>>(&item.bytes)) {
        Some(Ok(parts)) => parts,
        Some(Err(error)) => {
            find(SETTLEMENTS_ITEM.to_owned(), error.to_string());
            Vec::new()
        }
        None => Vec::new(),
    };
    for part in &parts {
        let committed = evidence
            .item(&format!("entry/{}", part.log_entry))
            .and_then(|entry| LogEntry::decode(&entry.bytes).ok())
            .is_some_and(|entry| entry.kind() == RecordKind::Journal && entry.pair_at(part.position).is_some());
        if !committed {
            let problem =
                format!("no entry of the bundle commits to journal record {}, which closed it", part.position);
            find(part.settlement.to_string(), problem);
        }
    }
    let own: Vec<&Meter> =
        state.meters.values().map(|meter| &meter.value).filter(|meter| meter.reading.order == *order).collect();
    let named: BTreeSet<&SettlementId> = own.iter().filter_map(|meter| meter.settlement.as_ref()).collect();
    let is_free = state
        .orders
        .get(order)
        .is_some_and(|order| order.value.contract.price.is_free_for(&order.value.details.purpose));
    let mut settled = Vec::new();
    for id in named {
        let whole = state.settlements.get(id).map(|settlement| &settlement.value);
        let part = parts.iter().find(|part| part.settlement == *id);
        let told = match (whole, part) {
            (Some(whole), _) => whole
                .lines
                .iter()
                .find(|line| line.order == *order)
                .map(|line| (line, &whole.period, whole.confirmed_by.is_some())),
            (None, Some(part)) => Some((&part.line, &part.period, part.is_confirmed)),
            (None, None) => None,
        };
        let Some((line, period, is_confirmed)) = told else {
            find(id.to_string(), "metering windows name it, and nothing here says what it charged".to_owned());
            continue;
        };
        let windows: Vec<&Meter> = own.iter().filter(|meter| meter.settlement.as_ref() == Some(id)).copied().collect();
        if let Some(problem) = line_problem(state, order, line, &windows) {
            find(id.to_string(), problem);
        }
        settled.push(Settled {
            settlement: id.clone(),
            period: period.clone(),
            calls: line.calls,
            data_sets: line.data_sets,
            fee: line.fee,
            is_free,
            is_whole: whole.is_some(),
            is_confirmed,
        });
    }
    settled
}

/// How a line differs from what its windows and the contract come to.
fn line_problem(state: &State, order: &OrderId, line: &StatementLine, windows: &[&Meter]) -> Option<String> {
    let of_line: BTreeSet<&MeterId> = line.meters.iter().collect();
    let of_windows: BTreeSet<&MeterId> = windows.iter().map(|meter| &meter.id).collect();
    if of_line != of_windows || line.meters.len() != windows.len() || line.order != *order {
        return Some("it sums up other metering windows than those that name it".to_owned());
    }
    let (mut calls, mut data_sets) = (0_u64, 0_u64);
    for charged in windows.iter().map(|meter| meter.charged()) {
        calls = calls.saturating_add(charged.0);
        data_sets = data_sets.saturating_add(charged.1);
    }
    if (calls, data_sets) != (line.calls, line.data_sets) {
        return Some(format!(
            "it charges {} calls and {} data sets, and the windows come to {calls} and {data_sets}",
            line.calls, line.data_sets
        ));
    }
    let order = &state.orders.get(order)?.value;
    match order.contract.price.fee(&order.details.purpose, calls, data_sets) {
        Ok(fee) if fee == line.fee => None,
        Ok(fee) => Some(format!("it charges {} yuan, and the contract's price comes to {fee}", line.fee)),
        Err(error) => Some(error.to_string()),
    }
}
