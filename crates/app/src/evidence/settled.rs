//! What a settlement says of one order. Its record tells of every order of the operator and stays with the node; the bundle
//! holds the order's line, and the log entry that commits to the whole, so that a court can ask for it and compare. The
//! line need not be believed: windows, price and fee are computed again.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::id::{MeterId, OrderId, PartyId, SettlementId};
use lingqu_domain::order::Order;
use lingqu_domain::settlement::StatementLine;
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
    /// What settlements that tell of others as well say of an order, as far as a log of some size holds them.
    pub(super) async fn settled_in_part(
        &self,
        settlements: &BTreeSet<SettlementId>,
        order: &OrderId,
        log_size: u64,
    ) -> Result<Vec<InPart>, AppError> {
        let mut parts = Vec::new();
        for id in settlements {
            let page = self.store.read_stream(id.as_str(), 0, 1).await?;
            let Some(record) = page.first().filter(|record| record.log_entry < log_size) else {
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
        }
        Ok(parts)
    }
}

impl Provers<'_> {
    /// Adds what settlements say of an order, each with the entry that commits to it.
    pub(super) async fn add_settled(&self, builder: &mut EvidenceBuilder, parts: &[InPart]) -> Result<(), AppError> {
        if parts.is_empty() {
            return Ok(());
        }
        for part in parts {
            self.add_entry(builder, part.log_entry).await?;
        }
        let text = serde_json::to_string(parts).map_err(|error| AppError::Fault(error.to_string()))?;
        builder.item(SETTLEMENTS_ITEM, text.as_bytes()).map_err(bundle_fault)
    }
}

/// Holds what was settled of an order against its windows and its price; `find` is told what is wrong: where, and what. Where only
/// some of the windows are there, each must stand in its settlement's line, and the rest is for all parts together.
pub(super) fn check(
    evidence: &Evidence,
    state: &State,
    order: &OrderId,
    is_partial: bool,
    find: &mut dyn FnMut(String, String),
) -> Vec<Settled> {
    let mut lines = Lines::of(evidence, state, order, find);
    lines.add_windows(state, order);
    lines.finish(is_partial, find)
}

/// What settlements say of an order, and what its windows come to that name them.
pub(super) struct Lines {
    order: Option<Order>,
    told: BTreeMap<SettlementId, Told>,
    charged: BTreeMap<SettlementId, Charged>,
}

/// What a settlement says of the order.
struct Told {
    line: StatementLine,
    period: String,
    is_whole: bool,
    is_confirmed: bool,
}

/// What the windows come to that name a settlement.
#[derive(Default)]
struct Charged {
    meters: BTreeSet<MeterId>,
    /// How often a window was told.
    count: usize,
    calls: u64,
    data_sets: u64,
}

impl Lines {
    /// The lines of a bundle, without its windows; `find` is told what is wrong with them: where, and what.
    pub(super) fn of(
        evidence: &Evidence,
        state: &State,
        order: &OrderId,
        find: &mut dyn FnMut(String, String),
    ) -> Lines {
        let mut told = BTreeMap::new();
        for part in in_part(evidence, find) {
            let InPart { line, period, is_confirmed, .. } = part;
            told.entry(part.settlement).or_insert(Told { line, period, is_whole: false, is_confirmed });
        }
        // The record counts, where it is there.
        for whole in state.settlements.values().map(|settlement| &settlement.value) {
            told.remove(&whole.id);
            if let Some(line) = whole.lines.iter().find(|line| line.order == *order) {
                let (line, period) = (line.clone(), whole.period.clone());
                let is_confirmed = whole.confirmed_by.is_some();
                told.insert(whole.id.clone(), Told { line, period, is_whole: true, is_confirmed });
            }
        }
        let order = state.orders.get(order).map(|order| order.value.clone());
        Lines { order, told, charged: BTreeMap::new() }
    }

    /// Adds the order's windows in a state.
    pub(super) fn add_windows(&mut self, state: &State, order: &OrderId) {
        let meters = state.meters.values().map(|meter| &meter.value);
        for meter in meters.filter(|meter| meter.reading.order == *order) {
            let Some(settlement) = &meter.settlement else { continue };
            let charged = self.charged.entry(settlement.clone()).or_default();
            let (calls, data_sets) = meter.charged();
            charged.meters.insert(meter.id.clone());
            charged.count += 1;
            charged.calls = charged.calls.saturating_add(calls);
            charged.data_sets = charged.data_sets.saturating_add(data_sets);
        }
    }

    /// What was settled by the settlements that windows name; `is_partial` where not all windows were added. `find` is told what is
    /// wrong.
    pub(super) fn finish(&self, is_partial: bool, find: &mut dyn FnMut(String, String)) -> Vec<Settled> {
        let price = self.order.as_ref().map(|order| (&order.contract.price, &order.details.purpose));
        let is_free = price.is_some_and(|(price, purpose)| price.is_free_for(purpose));
        let mut settled = Vec::new();
        for (id, charged) in &self.charged {
            let Some(told) = self.told.get(id) else {
                find(id.to_string(), "metering windows name it, and nothing here says what it charged".to_owned());
                continue;
            };
            if let Some(problem) = self.line_problem(&told.line, charged, is_partial) {
                find(id.to_string(), problem);
            }
            settled.push(Settled {
                settlement: id.clone(),
                period: told.period.clone(),
                calls: told.line.calls,
                data_sets: told.line.data_sets,
                fee: told.line.fee,
                is_free,
                is_whole: told.is_whole,
                is_confirmed: told.is_confirmed,
            });
        }
        settled
    }

    /// How a line differs from what its windows, all or some, and the contract come to.
    fn line_problem(&self, line: &StatementLine, charged: &Charged, is_partial: bool) -> Option<String> {
        let order = self.order.as_ref()?;
        let of_line: BTreeSet<&MeterId> = line.meters.iter().collect();
        let is_within = charged.meters.iter().all(|meter| of_line.contains(meter)) && line.order == order.id;
        let counts = [line.meters.len(), of_line.len(), charged.count, charged.meters.len()];
        if !is_within || (!is_partial && counts.iter().any(|count| *count != line.meters.len())) {
            return Some("it sums up other metering windows than those that name it".to_owned());
        }
        let (calls, data_sets) = (charged.calls, charged.data_sets);
        let is_summed_up = if is_partial {
            calls <= line.calls && data_sets <= line.data_sets
        } else {
            (calls, data_sets) == (line.calls, line.data_sets)
        };
        if !is_summed_up {
            return Some(format!(
                "it charges {} calls and {} data sets, and the windows come to {calls} and {data_sets}",
                line.calls, line.data_sets
            ));
        }
        match order.contract.price.fee(&order.details.purpose, line.calls, line.data_sets) {
            Ok(fee) if fee == line.fee => None,
            Ok(fee) => Some(format!("it charges {} yuan, and the contract's price comes to {fee}", line.fee)),
            Err(error) => Some(error.to_string()),
        }
    }
}

/// What a bundle has of settlements that tell of others as well; `find` is told what is wrong with it.
fn in_part(evidence: &Evidence, find: &mut dyn FnMut(String, String)) -> Vec<InPart> {
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
    parts
}
