//! Who may read what, in one place.
//!
//! What is public knowledge is shown to everybody who is signed in: parties, the catalogue, registrations from publicity on,
//! the register of rights, what is or was listed on the market. Everything else is shown to those concerned: the parties
//! that an act names, those whose own orders, permits or resources it stands above or below ([`Reach`]), the roles whose
//! duty it is, and oversight, which reads every record of conduct. Whoever may not see an entity is answered as if it did
//! not exist. Consents are shown to nobody, they are only counted. Governed data is never here at all.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::str::FromStr;

use lingqu_domain::command::Command;
use lingqu_domain::erasure::Erasure;
use lingqu_domain::id::{PartyId, ResourceId};
use lingqu_domain::mandate::Mandate;
use lingqu_domain::order::Order;
use lingqu_domain::party::{Party, Role, User};
use lingqu_domain::permit::Permit;
use lingqu_domain::plan::Plan;
use lingqu_domain::price::PermittedRevenue;
use lingqu_domain::product::{Product, ProductStage};
use lingqu_domain::quality::{QualityReport, Ticket};
use lingqu_domain::registration::{Registration, RegistrationStage};
use lingqu_domain::resource::{Openness, Resource};
use lingqu_domain::right::Right;
use lingqu_domain::settlement::Meter;
use lingqu_domain::state::{Entity, EntityKind, Listed, State};
use lingqu_domain::supply::Supply;
use lingqu_domain::trace::Trace;
use serde_json::Value;

use crate::reach::Reach;
use crate::session::Viewer;

/// Roles that supervise: they read every record of conduct.
pub(crate) const OVERSIGHT: [Role; 2] = [Role::DataAuthority, Role::Auditor];

/// What one viewer sees of a state.
pub(crate) struct Sight<'a> {
    pub(crate) viewer: &'a Viewer,
    pub(crate) state: &'a State,
    reach: OnceCell<Reach<'a>>,
}

/// An entity that is shown to some.
pub(crate) trait Visible: Clone {
    /// True when the viewer may know of it.
    fn is_visible(&self, sight: &Sight<'_>) -> bool;

    /// What of it is shown to a viewer who may know of it.
    fn shown(&self, _sight: &Sight<'_>) -> Self {
        self.clone()
    }
}

impl<'a> Sight<'a> {
    pub(crate) fn new(viewer: &'a Viewer, state: &'a State) -> Self {
        Self { viewer, state, reach: OnceCell::new() }
    }

    /// True for those who supervise.
    pub(crate) fn is_oversight(&self) -> bool {
        self.viewer.has_role(&OVERSIGHT)
    }

    pub(crate) fn has_role(&self, role: Role) -> bool {
        self.viewer.has_role(&[role])
    }

    /// True for those to whom revenue, prices and settlements are a matter of duty. A treasury of a division within the node's has
    /// to do with what it collects, and with nothing of the others.
    pub(crate) fn is_about_money(&self) -> bool {
        self.has_role(Role::PriceAuthority) || (self.has_role(Role::Finance) && self.serves_the_node())
    }

    /// True when the viewer's party stands for the node's whole division.
    fn serves_the_node(&self) -> bool {
        let node = self.state.node.values().next().map(|node| &node.value.division);
        let own = self.state.parties.get(&self.viewer.session.party).map(|party| &party.value.division);
        own.zip(node).is_some_and(|(own, node)| own.contains(node))
    }

    pub(crate) fn is_own(&self, party: &PartyId) -> bool {
        *party == self.viewer.session.party
    }

    fn reach(&self) -> &Reach<'a> {
        self.reach.get_or_init(|| Reach::of(self.state, &self.viewer.session.party))
    }

    /// True when there is an entity of this id and the viewer may know of it.
    pub(crate) fn sees(&self, id: &str) -> bool {
        let state = self.state;
        match EntityKind::of(id) {
            None | Some(EntityKind::Consent | EntityKind::ConsentBatch) => false,
            Some(EntityKind::Node) => true,
            Some(EntityKind::Party) => self.sees_in(&state.parties, id),
            Some(EntityKind::User) => self.sees_in(&state.users, id),
            Some(EntityKind::Resource) => self.sees_in(&state.resources, id),
            Some(EntityKind::QualityReport) => self.sees_in(&state.quality_reports, id),
            Some(EntityKind::Ticket) => self.sees_in(&state.tickets, id),
            Some(EntityKind::Registration) => self.sees_in(&state.registrations, id),
            Some(EntityKind::Right) => self.sees_in(&state.rights, id),
            Some(EntityKind::Supply) => self.sees_in(&state.supplies, id),
            Some(EntityKind::Plan) => self.sees_in(&state.plans, id),
            Some(EntityKind::Mandate) => self.sees_in(&state.mandates, id),
            Some(EntityKind::Permit) => self.sees_in(&state.permits, id),
            Some(EntityKind::Product) => self.sees_in(&state.products, id),
            Some(EntityKind::PermittedRevenue) => self.sees_in(&state.permitted_revenues, id),
            Some(EntityKind::Order) => self.sees_in(&state.orders, id),
            Some(EntityKind::Meter) => self.sees_in(&state.meters, id),
            Some(EntityKind::Settlement) => self.sees_in(&state.settlements, id),
            Some(EntityKind::Trace) => self.sees_in(&state.traces, id),
            Some(EntityKind::Erasure) => self.sees_in(&state.erasures, id),
        }
    }

    fn sees_in<I: Ord + FromStr, T: Visible>(&self, map: &BTreeMap<I, Entity<T>>, id: &str) -> bool {
        let entity = id.parse::<I>().ok().and_then(|id| map.get(&id));
        entity.is_some_and(|entity| entity.value.is_visible(self))
    }

    /// True when there is an entity of this id of which the viewer may not know.
    pub(crate) fn is_hidden(&self, id: &str) -> bool {
        self.state.version(id) > 0 && !self.sees(id)
    }

    /// The first entity that a command names and of which the viewer may not know.
    pub(crate) fn hidden_in(&self, command: &Command) -> Option<String> {
        let command = serde_json::to_value(command).ok()?;
        self.first_hidden(&command)
    }

    fn first_hidden(&self, value: &Value) -> Option<String> {
        match value {
            Value::String(text) => self.is_hidden(text).then(|| text.clone()),
            Value::Array(values) => values.iter().find_map(|value| self.first_hidden(value)),
            Value::Object(fields) => {
                fields.iter().find_map(
                    |(name, value)| {
                        if self.is_hidden(name) { Some(name.clone()) } else { self.first_hidden(value) }
                    },
                )
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => None,
        }
    }
}

macro_rules! public_knowledge {
    ($($entity:ty),*) => {
        $(impl Visible for $entity {
            fn is_visible(&self, _sight: &Sight<'_>) -> bool {
                true
            }
        })*
    };
}

public_knowledge!(Party, Right);

impl Visible for User {
    /// Users of the viewer's own party; oversight sees those of others.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_own(&self.party) || sight.is_oversight()
    }
}

impl Visible for Resource {
    /// The catalogue holds what a chief data officer has signed; a draft is its provider's.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        self.state() != "drafted" || sight.is_own(&self.provider) || sight.is_oversight()
    }
}

/// What is wrong with the data of an open resource is everybody's business. Counts over other data are made from data that
/// is not open, so they are for those who work with it.
fn sees_quality(sight: &Sight<'_>, resource: &ResourceId) -> bool {
    let Some(resource) = sight.state.resources.get(resource).map(|resource| &resource.value) else { return false };
    let works_with_it = sight.is_own(&resource.provider)
        || sight.is_oversight()
        || sight.has_role(Role::Registrar)
        || sight.has_role(Role::Implementer)
        || sight.reach().resources.contains(&resource.id);
    works_with_it || (resource.is_visible(sight) && resource.details.openness != Openness::NotOpen)
}

impl Visible for QualityReport {
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sees_quality(sight, &self.resource)
    }
}

impl Visible for Ticket {
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sees_quality(sight, &self.resource)
    }
}

impl Visible for Trace {
    /// Whom a trace is about is for the case alone; that there was one is for those who supervise.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_oversight()
    }
}

impl Visible for Erasure {
    /// That a person demanded it is his business; that it was done is looked after by those who supervise.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_oversight()
    }
}

impl Visible for Registration {
    /// Publicity makes it public; before, and when it is returned, it is between applicant and registrar.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        match self.stage {
            RegistrationStage::Publicity { .. } | RegistrationStage::Certified(_) => true,
            RegistrationStage::Applied { .. }
            | RegistrationStage::Returned { .. }
            | RegistrationStage::Accepted { .. } => {
                sight.is_own(&self.applicant) || sight.has_role(Role::Registrar) || sight.is_oversight()
            }
        }
    }
}

impl Visible for Supply {
    /// Who asks and who answers, and those who build on the answer.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_own(&self.provider)
            || sight.is_own(&self.implementer)
            || sight.is_oversight()
            || sight.reach().supplies.contains(&self.id)
    }
}

impl Visible for Plan {
    /// Its implementer, the providers of what it lists, those who build on it, and the duties of price and treasury.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_own(&self.implementer)
            || sight.is_oversight()
            || sight.is_about_money()
            || sight.reach().plans.contains(&self.id)
    }
}

impl Visible for Mandate {
    /// Both sides of the agreement, the providers of what it covers, those who build on it, and the duties of price and
    /// treasury. To whom what was authorised is told to everybody by the register of rights; the agreement's clauses and
    /// rates are not.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_own(&self.implementer)
            || sight.is_own(&self.details.operator)
            || sight.is_oversight()
            || sight.is_about_money()
            || sight.reach().mandates.contains(&self.id)
    }
}

impl Visible for Permit {
    /// Applicant and implementer, those who are asked about it, and those who build on it.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.is_own(&self.operator)
            || sight.is_own(&self.implementer)
            || sight.is_oversight()
            || sight.reach().permits.contains(&self.id)
    }
}

/// Those who make, review, register, price or supply a product.
fn works_on(sight: &Sight<'_>, product: &Product) -> bool {
    sight.is_own(&product.operator)
        || sight.is_oversight()
        || sight.is_about_money()
        || sight.has_role(Role::Registrar)
        || answers_for(sight, product)
}

/// Those who answer for the authorisation a product stands on: providers of its inputs and implementers of its permits.
fn answers_for(sight: &Sight<'_>, product: &Product) -> bool {
    let state = sight.state;
    product.details.inputs.iter().any(|(resource, permit)| {
        let provides = state.resources.get(resource).is_some_and(|found| sight.is_own(&found.value.provider));
        let implements = state.permits.get(permit).is_some_and(|found| sight.is_own(&found.value.implementer));
        provides || implements
    })
}

impl Visible for Product {
    /// The market's products are public; one that was not listed yet is known to those who work on it.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        match self.stage {
            ProductStage::Listed | ProductStage::Delisted { .. } => true,
            ProductStage::Drafted | ProductStage::Reviewed { .. } => works_on(sight, self),
        }
    }

    /// The statement is the operator's work: it is shown to those who work on the product and to those who ordered it,
    /// whose evidence holds it. Everybody sees columns, precision and lineage.
    fn shown(&self, sight: &Sight<'_>) -> Self {
        let mut shown = self.clone();
        if !works_on(sight, self) && !sight.reach().products.contains(&self.id) {
            shown.details.sql.clear();
        }
        shown
    }
}

impl Visible for PermittedRevenue {
    /// Costs, profit and tax of an operator: its own business, that of its implementers, and that of price and treasury.
    /// Consumers see prices and their ceilings on the market.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        let implements = || {
            let mut mandates = sight.state.mandates.values().map(|mandate| &mandate.value);
            mandates.any(|mandate| mandate.details.operator == self.operator && sight.is_own(&mandate.implementer))
        };
        sight.is_own(&self.operator) || sight.is_oversight() || sight.is_about_money() || implements()
    }
}

impl Visible for Order {
    /// Both sides of the contract, those who answer for the authorisation it stands on, and oversight.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        if sight.is_own(&self.consumer) || sight.is_own(&self.operator) || sight.is_oversight() {
            return true;
        }
        let product = sight.state.products.get(&self.details.product);
        sight.is_about_money() || product.is_some_and(|product| answers_for(sight, &product.value))
    }
}

impl Visible for Meter {
    /// As its order.
    fn is_visible(&self, sight: &Sight<'_>) -> bool {
        sight.state.orders.get(&self.reading.order).is_some_and(|order| order.value.is_visible(sight))
    }
}
