//! Events: what happened, in the canonical encoding of the journal.
//!
//! The encoding is JSON in the form of RFC 8785 (keys sorted, no white space, no floats): `{"mandate":{"suspended":{…}}}`.
//! It is a contract: golden files hold an example of every event, and an encoding that was ever written is read for
//! ever. New facts come as new variants or optional fields.

use serde::{Deserialize, Serialize};

use crate::access::Actor;
use crate::consent::ConsentEvent;
use crate::consent_batch::ConsentBatchEvent;
use crate::erasure::ErasureEvent;
use crate::mandate::MandateEvent;
use crate::node::NodeEvent;
use crate::order::OrderEvent;
use crate::party::{PartyEvent, UserEvent};
use crate::permit::PermitEvent;
use crate::plan::PlanEvent;
use crate::price::PermittedRevenueEvent;
use crate::product::ProductEvent;
use crate::quality::{QualityReportEvent, TicketEvent};
use crate::registration::RegistrationEvent;
use crate::resource::ResourceEvent;
use crate::right::RightEvent;
use crate::settlement::{MeterEvent, SettlementEvent};
use crate::supply::SupplyEvent;
use crate::trace::TraceEvent;

/// Something that happened to one entity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// To the node.
    Node(NodeEvent),
    /// To a party.
    Party(PartyEvent),
    /// To a user.
    User(UserEvent),
    /// To a resource.
    Resource(ResourceEvent),
    /// To a quality report.
    QualityReport(QualityReportEvent),
    /// To a ticket.
    Ticket(TicketEvent),
    /// To a registration.
    Registration(RegistrationEvent),
    /// To a right.
    Right(RightEvent),
    /// To a supply.
    Supply(SupplyEvent),
    /// To a plan.
    Plan(PlanEvent),
    /// To a mandate.
    Mandate(MandateEvent),
    /// To a permit.
    Permit(PermitEvent),
    /// To a product.
    Product(ProductEvent),
    /// To a permitted revenue.
    PermittedRevenue(PermittedRevenueEvent),
    /// To an order.
    Order(OrderEvent),
    /// To a consent.
    Consent(ConsentEvent),
    /// To a metering window.
    Meter(MeterEvent),
    /// To a settlement.
    Settlement(SettlementEvent),
    /// To a batch of consents.
    ConsentBatch(ConsentBatchEvent),
    /// To a trace.
    Trace(TraceEvent),
    /// To an erasure.
    Erasure(ErasureEvent),
}

impl Event {
    /// The event's kind, such as `mandate.suspended`.
    pub fn kind(&self) -> String {
        let value = serde_json::to_value(self).unwrap_or_default();
        let (entity, inner) = first_key(&value);
        match inner {
            serde_json::Value::String(name) => format!("{entity}.{name}"),
            other => format!("{entity}.{}", first_key(other).0),
        }
    }
}

fn first_key(value: &serde_json::Value) -> (&str, &serde_json::Value) {
    match value.as_object().and_then(|object| object.iter().next()) {
        Some((key, inner)) => (key, inner),
        None => ("", &serde_json::Value::Null),
    }
}

/// The canonical JSON text of a value (RFC 8785; the domain's types hold no floats).
pub fn canonical<T: Serialize>(value: &T) -> String {
    // A `Value` keeps its keys sorted, and the domain's types always serialise: they are trees of strings, integers,
    // booleans, lists and string-keyed maps.
    let value = serde_json::to_value(value).expect("domain types serialise to JSON");
    value.to_string()
}

/// An event that `decide` made and that is not yet in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEvent {
    /// The entity's id.
    pub stream: String,
    /// What happened.
    pub event: Event,
}

/// An event in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Place in the journal, from 1, without gaps.
    pub position: u64,
    /// When.
    pub at: jiff::Timestamp,
    /// Who gave the command.
    pub actor: Actor,
    /// The entity's id.
    pub stream: String,
    /// Version of the entity after it.
    pub stream_version: u64,
    /// What happened.
    pub event: Event,
}
