//! The state: every entity, folded from the journal.
//!
//! The state is a function of the journal and of nothing else; the read tables are a projection of it ([`State::row`]).
//! Folding an event that does not fit answers a [`FoldError`] that names its position: a journal that was tampered with
//! is found, never papered over.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;

use crate::access::Actor;
use crate::event::{Event, Recorded};
use crate::id::{
    ConsentBatchId, ConsentId, ErasureId, MandateId, MeterId, OrderId, PartyId, PermitId, PermittedRevenueId, PlanId,
    ProductId, QualityReportId, RegistrationId, ResourceId, RightId, SettlementId, SupplyId, TicketId, TraceId, UserId,
};
use crate::node::{NODE_STREAM, Node};
use crate::rulebook::Rulebook;
use crate::{consent, mandate, order, party, permit, plan, price, product, quality, registration, resource, right};
use crate::{consent_batch, erasure, settlement, supply, trace};

/// An entity with what the journal knows of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entity<T> {
    /// The entity.
    pub value: T,
    /// Version of its stream: count of its events.
    pub version: u64,
    /// Time of its first event.
    pub created_at: Timestamp,
    /// Time of its last event.
    pub updated_at: Timestamp,
    /// Journal position of its last event.
    pub position: u64,
}

/// Time and author of an event, for folding.
pub struct Meta {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub actor: Actor,
}

/// What a list shows of an entity.
pub trait Listed {
    /// Name of its state.
    fn state(&self) -> &'static str;
    /// Its title.
    fn title(&self) -> String;
    /// The id of whom or what it belongs to.
    fn owner(&self) -> String;
}

/// A row of a read table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which table.
    pub kind: EntityKind,
    /// The entity's id.
    pub id: String,
    /// Version of its stream.
    pub stream_version: u64,
    /// Name of its state.
    pub state: String,
    /// Its title.
    pub title: String,
    /// Whom or what it belongs to.
    pub owner: String,
    /// Time of its first event.
    pub created_at: Timestamp,
    /// Time of its last event.
    pub updated_at: Timestamp,
    /// Journal position of its last event.
    pub position: u64,
    /// The entity as canonical JSON.
    pub body: String,
}

/// An event that does not fit the events before it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("journal position {position}: {problem}")]
pub struct FoldError {
    /// Its place.
    pub position: u64,
    /// What does not fit.
    pub problem: String,
}

fn row_of<T: Listed + Serialize>(kind: EntityKind, id: &str, entity: &Entity<T>) -> Row {
    Row {
        kind,
        id: id.to_owned(),
        stream_version: entity.version,
        state: entity.value.state().to_owned(),
        title: entity.value.title(),
        owner: entity.value.owner(),
        created_at: entity.created_at,
        updated_at: entity.updated_at,
        position: entity.position,
        body: crate::event::canonical(&entity.value),
    }
}

/// Puts an entity's next value into its map.
fn fold_into<I: Ord, T>(
    map: &mut BTreeMap<I, Entity<T>>,
    id: I,
    recorded: &Recorded,
    fold: impl FnOnce(Option<T>) -> Option<T>,
) -> Result<(), FoldError> {
    let error = |problem: String| FoldError { position: recorded.position, problem };
    let previous = map.remove(&id);
    let version = previous.as_ref().map_or(0, |entity| entity.version);
    if recorded.stream_version != version + 1 {
        return Err(error(format!(
            "{} is at version {version}, the event says {}",
            recorded.stream, recorded.stream_version
        )));
    }
    let created_at = previous.as_ref().map_or(recorded.at, |entity| entity.created_at);
    let value = fold(previous.map(|entity| entity.value))
        .ok_or_else(|| error(format!("{} does not fit the state of {}", recorded.event.kind(), recorded.stream)))?;
    let entity = Entity {
        value,
        version: recorded.stream_version,
        created_at,
        updated_at: recorded.at,
        position: recorded.position,
    };
    map.insert(id, entity);
    Ok(())
}

macro_rules! entities {
    ($($variant:ident, $table:literal, $map:ident, $getter:ident, $id:ty, $value:ty;)*) => {
        /// Every kind of entity, each with a read table of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum EntityKind {
            /// The node.
            Node,
            $(
                #[doc = concat!("Entities of the table `", $table, "`.")]
                $variant,
            )*
        }

        impl EntityKind {
            /// Every kind.
            pub const ALL: &'static [EntityKind] = &[EntityKind::Node, $(EntityKind::$variant,)*];

            /// Name of the read table.
            pub fn table(self) -> &'static str {
                match self {
                    EntityKind::Node => "node",
                    $(EntityKind::$variant => $table,)*
                }
            }

            /// The kind that an id belongs to.
            pub fn of(id: &str) -> Option<EntityKind> {
                if id == NODE_STREAM {
                    return Some(EntityKind::Node);
                }
                $(if id.parse::<$id>().is_ok() { return Some(EntityKind::$variant); })*
                None
            }
        }

        /// Everything that the journal says, as of a position.
        #[derive(Clone, Debug, Default, PartialEq, Eq)]
        pub struct State {
            /// Position of the last event; 0 before the first.
            pub position: u64,
            /// Time of the last event.
            pub last_at: Option<Timestamp>,
            /// The node, once initialised.
            pub node: BTreeMap<String, Entity<Node>>,
            $(
                #[doc = concat!("Entities of the table `", $table, "`.")]
                pub $map: BTreeMap<$id, Entity<$value>>,
            )*
        }

        impl State {
            /// Folds the next event. Error: the event does not fit; the state is then unusable.
            pub fn apply(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
                if recorded.position != self.position + 1 {
                    let problem = format!("the event before is at {}", self.position);
                    return Err(FoldError { position: recorded.position, problem });
                }
                self.apply_selected(recorded)
            }

            /// Folds an event of a selection of whole streams, such as evidence holds: in the journal's order, but
            /// without the events of other streams. Error: the event does not fit.
            pub fn apply_selected(&mut self, recorded: &Recorded) -> Result<(), FoldError> {
                let error = |problem: String| FoldError { position: recorded.position, problem };
                if recorded.position <= self.position {
                    return Err(error(format!("the event before is at {}", self.position)));
                }
                if self.last_at.is_some_and(|last| recorded.at < last) {
                    return Err(error("the event is earlier than the one before".to_owned()));
                }
                let meta = Meta { at: recorded.at, actor: recorded.actor.clone() };
                match &recorded.event {
                    Event::Node(event) => {
                        fold_into(&mut self.node, recorded.stream.clone(), recorded, |previous| {
                            Node::fold(previous, event, &meta)
                        })?;
                    }
                    $(Event::$variant(event) => {
                        let id: $id = recorded.stream.parse().map_err(|bad: crate::id::BadId| error(bad.to_string()))?;
                        fold_into(&mut self.$map, id.clone(), recorded, |previous| {
                            <$value>::fold(previous, id, event, &meta)
                        })?;
                    })*
                }
                self.position = recorded.position;
                self.last_at = Some(recorded.at);
                Ok(())
            }

            /// A state that holds nothing but the entities of some streams: enough to fold their next events.
            pub fn excerpt<'s>(&self, streams: impl IntoIterator<Item = &'s str>) -> State {
                let mut excerpt = State { position: self.position, last_at: self.last_at, ..State::default() };
                for stream in streams {
                    match EntityKind::of(stream) {
                        Some(EntityKind::Node) => {
                            if let Some(entity) = self.node.get(stream) {
                                excerpt.node.insert(stream.to_owned(), entity.clone());
                            }
                        }
                        $(Some(EntityKind::$variant) => {
                            let id = stream.parse::<$id>().ok();
                            if let Some((id, entity)) = id.and_then(|id| self.$map.get_key_value(&id)) {
                                excerpt.$map.insert(id.clone(), entity.clone());
                            }
                        })*
                        None => {}
                    }
                }
                excerpt
            }

            /// Version of a stream; 0 when there is none.
            pub fn version(&self, stream: &str) -> u64 {
                match EntityKind::of(stream) {
                    Some(EntityKind::Node) => self.node.get(stream).map_or(0, |entity| entity.version),
                    $(Some(EntityKind::$variant) => stream
                        .parse::<$id>()
                        .ok()
                        .and_then(|id| self.$map.get(&id))
                        .map_or(0, |entity| entity.version),)*
                    None => 0,
                }
            }

            /// The row that shows an entity, if it exists.
            pub fn row(&self, stream: &str) -> Option<Row> {
                match EntityKind::of(stream)? {
                    EntityKind::Node => self.node.get(stream).map(|entity| row_of(EntityKind::Node, stream, entity)),
                    $(EntityKind::$variant => {
                        let id = stream.parse::<$id>().ok()?;
                        self.$map.get(&id).map(|entity| row_of(EntityKind::$variant, stream, entity))
                    })*
                }
            }

            /// The rows of a table, by id.
            pub fn rows(&self, kind: EntityKind) -> Vec<Row> {
                match kind {
                    EntityKind::Node => {
                        self.node.iter().map(|(id, entity)| row_of(EntityKind::Node, id, entity)).collect()
                    }
                    $(EntityKind::$variant => self
                        .$map
                        .iter()
                        .map(|(id, entity)| row_of(EntityKind::$variant, id.as_str(), entity))
                        .collect(),)*
                }
            }
        }

        impl<'a> crate::decide::Reader<'a> {
            $(
                /// Reads an entity and notes the version read. Error: `not_found`.
                pub fn $getter(&mut self, id: &$id) -> Result<&'a $value, crate::refusal::Refusal> {
                    match self.state.$map.get(id) {
                        Some(entity) => {
                            self.note(id.as_str(), entity.version);
                            Ok(&entity.value)
                        }
                        None => Err(crate::refusal::Refusal::not_found(id)),
                    }
                }
            )*
        }
    };
}

entities! {
    Party, "party", parties, party, PartyId, party::Party;
    User, "user", users, user, UserId, party::User;
    Resource, "resource", resources, resource, ResourceId, resource::Resource;
    QualityReport, "quality_report", quality_reports, quality_report, QualityReportId, quality::QualityReport;
    Ticket, "ticket", tickets, ticket, TicketId, quality::Ticket;
    Registration, "registration", registrations, registration, RegistrationId, registration::Registration;
    Right, "right", rights, right, RightId, right::Right;
    Supply, "supply", supplies, supply, SupplyId, supply::Supply;
    Plan, "plan", plans, plan, PlanId, plan::Plan;
    Mandate, "mandate", mandates, mandate, MandateId, mandate::Mandate;
    Permit, "permit", permits, permit, PermitId, permit::Permit;
    Product, "product", products, product, ProductId, product::Product;
    PermittedRevenue, "permitted_revenue", permitted_revenues, permitted_revenue, PermittedRevenueId, price::PermittedRevenue;
    Order, "order", orders, order, OrderId, order::Order;
    Consent, "consent", consents, consent, ConsentId, consent::Consent;
    Meter, "meter", meters, meter, MeterId, settlement::Meter;
    Settlement, "settlement", settlements, settlement, SettlementId, settlement::Settlement;
    ConsentBatch, "consent_batch", consent_batches, consent_batch, ConsentBatchId, consent_batch::ConsentBatch;
    Trace, "trace", traces, trace, TraceId, trace::Trace;
    Erasure, "erasure", erasures, erasure, ErasureId, erasure::Erasure;
}

impl State {
    /// The rulebook in force; the defaults before the node is initialised.
    pub fn rulebook(&self) -> Cow<'_, Rulebook> {
        match self.node.get(NODE_STREAM) {
            Some(node) => Cow::Borrowed(&node.value.rulebook),
            None => Cow::Owned(Rulebook::initial()),
        }
    }
}
