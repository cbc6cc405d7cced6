//! Which streams of the journal an order's evidence is made of.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::{OrderId, ResourceId, SettlementId};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::state::State;

use crate::error::AppError;

/// Most consents and batches of consents of one bundle.
const CONSENTS_MAX: usize = 10_000;

/// Every stream that an order's rights were computed from, the registrations and rights that go with them, and the order's
/// metering windows.
pub(super) fn of_order(state: &State, order: &OrderId) -> Result<BTreeSet<String>, Refusal> {
    let mut reader = Reader::new(state, Timestamp::MIN);
    let order = reader.order(order)?;
    let product = reader.product(&order.details.product)?;
    let mut parties = BTreeSet::from([order.consumer.clone(), order.operator.clone()]);
    let mut registered = BTreeSet::from([product.id.to_string()]);
    for (resource_id, permit_id) in &product.details.inputs {
        let resource = reader.resource(resource_id)?;
        registered.insert(resource_id.to_string());
        parties.insert(resource.provider.clone());
        let permit = reader.permit(permit_id)?;
        parties.insert(permit.details.competent.clone());
        parties.extend(permit.confirmations.keys().cloned());
        let mandate = reader.mandate(&permit.details.mandate)?;
        parties.insert(mandate.implementer.clone());
        parties.insert(mandate.details.revenue.treasury.clone());
        parties.extend(mandate.details.revenue.provider_rates.keys().cloned());
        let plan = reader.plan(&mandate.details.plan)?;
        for item in plan.details.items.values() {
            reader.supply(&item.supply)?;
        }
    }
    for registration in state.registrations.values().map(|entity| &entity.value) {
        if registered.contains(registration.object.as_str()) {
            reader.registration(&registration.id)?;
            parties.extend(registration.registrar.clone());
        }
    }
    for right in state.rights.values().map(|entity| &entity.value) {
        if registered.contains(&right.object) {
            reader.right(&right.id)?;
        }
    }
    for meter in state.meters.values().map(|entity| &entity.value) {
        if meter.reading.order == order.id {
            reader.meter(&meter.id)?;
        }
    }
    for party in &parties {
        reader.party(party)?;
    }
    reader.node_if_initialised();
    Ok(reader.into_reads().into_keys().collect())
}

/// Adds the parties that some users act for.
pub(super) fn add_parties_of(state: &State, users: &mut BTreeSet<String>) {
    let found = users.iter().filter_map(|user| state.users.get(&user.parse().ok()?));
    let parties: Vec<String> = found.map(|user| user.value.party.to_string()).collect();
    users.extend(parties);
}

/// The consents that an order's deliveries could rest on: those to its consumer, for its purpose, about a resource of its
/// product, whether they stand or were withdrawn. None when they are not asked for. Error: there are very many.
pub(super) fn consents_of(state: &State, order: &OrderId, is_asked: bool) -> Result<BTreeSet<String>, AppError> {
    let mut streams = BTreeSet::new();
    let Some(order) = state.orders.get(order).map(|order| &order.value).filter(|_| is_asked) else {
        return Ok(streams);
    };
    let inputs: BTreeSet<&ResourceId> = state
        .products
        .get(&order.details.product)
        .map(|product| product.value.details.inputs.keys().collect())
        .unwrap_or_default();
    let concerns = |details: &ConsentDetails| {
        details.consumer == order.consumer
            && order.details.purpose.is_within(&details.purpose)
            && details.resources.iter().any(|resource| inputs.contains(resource))
    };
    let single = state.consents.values().map(|consent| &consent.value).filter(|consent| concerns(&consent.details));
    let batches = state.consent_batches.values().map(|batch| &batch.value).filter(|batch| concerns(&batch.details));
    let names = single.map(|consent| consent.id.to_string()).chain(batches.map(|batch| batch.id.to_string()));
    for name in names {
        if streams.len() == CONSENTS_MAX {
            return Err(AppError::Invalid(format!(
                "more than {CONSENTS_MAX} consents concern this order; leave them out (`--no-consents`)"
            )));
        }
        streams.insert(name);
    }
    Ok(streams)
}

/// Settlements that have a line of an order.
pub(super) struct Settlements {
    /// Those whose records are in the bundle.
    pub(super) whole: BTreeSet<SettlementId>,
    /// Those that tell of other orders as well, of which the bundle has this order's line.
    pub(super) in_part: BTreeSet<SettlementId>,
}

/// Settlements that have a line of an order. Whole are those that tell of no other order, or all if that is asked for.
pub(super) fn settlements_of(state: &State, order: &OrderId, is_whole_asked: bool) -> Settlements {
    let mut found = Settlements { whole: BTreeSet::new(), in_part: BTreeSet::new() };
    for settlement in state.settlements.values().map(|settlement| &settlement.value) {
        if !settlement.lines.iter().any(|line| line.order == *order) {
            continue;
        }
        let is_alone = settlement.lines.iter().all(|line| line.order == *order);
        let into = if is_alone || is_whole_asked { &mut found.whole } else { &mut found.in_part };
        into.insert(settlement.id.clone());
    }
    found
}
