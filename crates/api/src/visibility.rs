//! Who may read what, in one place.
//!
//! Records of conduct are open to everybody who is signed in: that is what makes supervision by all sides possible.
//! What one consumer orders, uses and pays is no other consumer's business, so its very existence is secret to them:
//! whoever may not see it is answered as if it did not exist. Consents are shown to nobody, they are only counted.
//! Governed data is never here at all.

use lingqu_domain::mandate::Mandate;
use lingqu_domain::order::Order;
use lingqu_domain::party::{Party, Role, User};
use lingqu_domain::permit::Permit;
use lingqu_domain::plan::Plan;
use lingqu_domain::price::PermittedRevenue;
use lingqu_domain::product::Product;
use lingqu_domain::quality::{QualityReport, Ticket};
use lingqu_domain::registration::Registration;
use lingqu_domain::resource::Resource;
use lingqu_domain::right::Right;
use lingqu_domain::settlement::{Meter, Settlement};
use lingqu_domain::state::State;
use lingqu_domain::supply::Supply;

use crate::session::Viewer;

/// Roles that supervise: they read every record of conduct.
pub(crate) const OVERSIGHT: [Role; 2] = [Role::DataAuthority, Role::Auditor];

/// Roles to which the money of a settlement is a matter of duty.
const MONEY: [Role; 2] = [Role::Finance, Role::PriceAuthority];

/// An entity that is shown to some.
pub(crate) trait Visible {
    /// True when the viewer may know of it.
    fn is_visible(&self, viewer: &Viewer, state: &State) -> bool;
}

macro_rules! open_records {
    ($($entity:ty),*) => {
        $(impl Visible for $entity {
            fn is_visible(&self, _viewer: &Viewer, _state: &State) -> bool {
                true
            }
        })*
    };
}

open_records!(
    Party,
    Resource,
    QualityReport,
    Ticket,
    Registration,
    Right,
    Supply,
    Plan,
    Mandate,
    Permit,
    Product,
    PermittedRevenue
);

impl Visible for User {
    /// Users of the viewer's own party; administrators of the data authority bring up those of others.
    fn is_visible(&self, viewer: &Viewer, _state: &State) -> bool {
        self.party == viewer.session.party || viewer.has_role(&OVERSIGHT)
    }
}

impl Visible for Order {
    /// Both sides of the contract, those who answer for the authorisation it stands on, and oversight.
    fn is_visible(&self, viewer: &Viewer, state: &State) -> bool {
        let party = &viewer.session.party;
        if self.consumer == *party || self.operator == *party || viewer.has_role(&OVERSIGHT) || viewer.has_role(&MONEY)
        {
            return true;
        }
        let Some(product) = state.products.get(&self.details.product) else { return false };
        product.value.details.inputs.iter().any(|(resource, permit)| {
            let provides = state.resources.get(resource).is_some_and(|resource| resource.value.provider == *party);
            let implements = state.permits.get(permit).is_some_and(|permit| permit.value.implementer == *party);
            provides || implements
        })
    }
}

impl Visible for Meter {
    /// As its order.
    fn is_visible(&self, viewer: &Viewer, state: &State) -> bool {
        state.orders.get(&self.reading.order).is_some_and(|order| order.value.is_visible(viewer, state))
    }
}

impl Visible for Settlement {
    /// The operator, those whose money is in it, the implementers of what was sold, and oversight. A consumer sees the
    /// fees of its own orders on the orders.
    fn is_visible(&self, viewer: &Viewer, state: &State) -> bool {
        let party = &viewer.session.party;
        if self.operator == *party || viewer.has_role(&OVERSIGHT) || viewer.has_role(&MONEY) {
            return true;
        }
        let implements =
            self.lines.iter().any(|line| {
                let product =
                    state.orders.get(&line.order).and_then(|order| state.products.get(&order.value.details.product));
                product.is_some_and(|product| {
                    product.value.details.inputs.values().any(|permit| {
                        state.permits.get(permit).is_some_and(|permit| permit.value.implementer == *party)
                    })
                })
            });
        let is_provider = viewer.has_role(&[Role::Provider]) && self.summary.by_party.contains_key(party.as_str());
        implements || is_provider
    }
}
