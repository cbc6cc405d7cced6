//! The journey of an order: every step from resource to settlement, with its state, date and who took it.

use lingqu_domain::event::Event;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::OrderId;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::state::{EntityKind, State};
use lingqu_store::journal::READ_LIMIT_MAX;
use serde::Serialize;

use crate::app::{App, recorded};
use crate::error::AppError;

/// One event on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JourneyEvent {
    /// Place in the journal.
    pub position: u64,
    /// When, RFC 3339.
    pub at: String,
    /// What, such as `mandate.suspended`.
    pub kind: String,
    /// Who: a user, a subject or the node.
    pub actor: String,
    /// The party he acted for.
    pub party: Option<String>,
}

/// One entity on the way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JourneyStep {
    /// `resource`, `supply`, `plan`, `mandate`, `permit`, `product`, `order`, `settlement` …
    pub kind: String,
    /// Its id.
    pub id: String,
    /// Its title.
    pub title: String,
    /// Its state now.
    pub state: String,
    /// Its events in order.
    pub events: Vec<JourneyEvent>,
}

/// The journey of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Journey {
    /// The order.
    pub order: String,
    /// Whether its grant is in force now.
    pub in_force: bool,
    /// Why not, as the consumer is told, in Chinese and English.
    pub refusal: Option<Refusal>,
    /// The steps, from resources to settlements.
    pub steps: Vec<JourneyStep>,
}

impl App {
    /// The journey of an order. Error: `not_found`.
    pub async fn journey(&self, order: &OrderId) -> Result<Journey, AppError> {
        self.refresh().await?;
        let now = self.clock.now();
        let (streams, granted) = self.read(|state| -> Result<_, Refusal> {
            let streams = steps_of(state, order)?;
            let granted = Grant::of(state, order, now).map(|grant| {
                let product = state.products.get(&grant.product).map(|product| product.value.details.clone());
                (grant, product)
            });
            Ok((streams, granted))
        })?;
        let refusal = match granted {
            Ok((grant, Some(product))) => match self.must_be_by_person(&grant, &product).await {
                Ok(()) => None,
                Err(AppError::Refused(refusal)) => Some(refusal),
                Err(error) => return Err(error),
            },
            Ok((_, None)) => None,
            Err(refusal) => Some(refusal),
        };
        let mut steps = Vec::new();
        for stream in streams {
            let Some(row) = self.read(|state| state.row(&stream)) else { continue };
            let mut events = Vec::new();
            for record in self.store.read_stream(&stream, 0, READ_LIMIT_MAX).await? {
                let recorded = recorded(&record)?;
                let party = self.read(|state| {
                    let user = state.users.get(recorded.actor.user()?)?;
                    Some(state.parties.get(&user.value.party)?.value.name.clone())
                });
                events.push(JourneyEvent {
                    position: record.position,
                    at: record.at,
                    kind: Event::kind(&recorded.event),
                    actor: record.actor,
                    party,
                });
            }
            steps.push(JourneyStep {
                kind: row.kind.table().to_owned(),
                id: stream,
                title: row.title,
                state: row.state,
                events,
            });
        }
        Ok(Journey { order: order.to_string(), in_force: refusal.is_none(), refusal, steps })
    }
}

/// Streams of the journey, in the order of the life of data.
fn steps_of(state: &State, order_id: &OrderId) -> Result<Vec<String>, Refusal> {
    let Some(order) = state.orders.get(order_id) else { return Err(Refusal::not_found(order_id)) };
    let mut streams: Vec<String> = Vec::new();
    let mut add = |stream: String| {
        if !streams.contains(&stream) {
            streams.push(stream);
        }
    };
    let product = state.products.get(&order.value.details.product).map(|product| &product.value);
    let inputs = product.map(|product| &product.details.inputs);
    for resource_id in inputs.into_iter().flat_map(|inputs| inputs.keys()) {
        add(resource_id.to_string());
        if let Some(registration) = state.resources.get(resource_id).and_then(|r| r.value.registration.as_ref()) {
            add(registration.to_string());
        }
    }
    for (resource_id, permit_id) in inputs.into_iter().flatten() {
        let Some(permit) = state.permits.get(permit_id) else { continue };
        let Some(mandate) = state.mandates.get(&permit.value.details.mandate) else { continue };
        if let Some(plan) = state.plans.get(&mandate.value.details.plan) {
            if let Some(item) = plan.value.details.items.get(resource_id) {
                add(item.supply.to_string());
            }
            add(plan.value.id.to_string());
        }
        add(mandate.value.id.to_string());
        add(permit_id.to_string());
    }
    if let Some(product) = product {
        add(product.id.to_string());
        if let Some(registration) = &product.registration {
            add(registration.to_string());
        }
    }
    add(order_id.to_string());
    for meter in state.meters.values().filter(|meter| meter.value.reading.order == *order_id) {
        add(meter.value.id.to_string());
        if let Some(settlement) = &meter.value.settlement {
            add(settlement.to_string());
        }
    }
    streams.retain(|stream| EntityKind::of(stream).is_some());
    Ok(streams)
}
