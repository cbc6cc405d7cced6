//! How far a party's own affairs reach into the authorisation of data: what stands above its orders, permits and mandates,
//! and what was authorised over its resources. Whoever works under an authorisation may read it; who does not, may not.

use std::collections::BTreeSet;

use lingqu_domain::id::{MandateId, PartyId, PermitId, PlanId, ProductId, ResourceId, SupplyId};
use lingqu_domain::mandate::Mandate;
use lingqu_domain::permit::Permit;
use lingqu_domain::plan::Plan;
use lingqu_domain::state::State;

/// The links of the chains that a party has to do with. Looked for over all orders, permits, mandates and plans, once for a
/// request.
#[derive(Default)]
pub(crate) struct Reach<'a> {
    pub(crate) resources: BTreeSet<&'a ResourceId>,
    pub(crate) supplies: BTreeSet<&'a SupplyId>,
    pub(crate) plans: BTreeSet<&'a PlanId>,
    pub(crate) mandates: BTreeSet<&'a MandateId>,
    pub(crate) permits: BTreeSet<&'a PermitId>,
    /// Products that the party has a contract for, past or present.
    pub(crate) products: BTreeSet<&'a ProductId>,
}

impl<'a> Reach<'a> {
    pub(crate) fn of(state: &'a State, party: &PartyId) -> Self {
        let mut reach = Self::default();
        // An order that one side alone has signed is a wish: anybody can have it.
        let orders = state.orders.values().map(|order| &order.value);
        for order in orders.filter(|order| order.consumer == *party && order.is_signed()) {
            let Some(product) = state.products.get(&order.details.product) else { continue };
            reach.products.insert(&product.value.id);
            for (resource, permit) in &product.value.details.inputs {
                if let Some(permit) = state.permits.get(permit) {
                    reach.add_permit(state, &permit.value, [resource]);
                }
            }
        }
        for permit in state.permits.values().map(|permit| &permit.value) {
            if permit.operator == *party || permit.details.competent == *party {
                reach.add_permit(state, permit, permit.details.items.keys());
            } else if permit.confirmations.contains_key(party) {
                let own = permit.details.items.keys().filter(|resource| provides(state, party, resource));
                reach.add_permit(state, permit, own);
            }
        }
        for mandate in state.mandates.values().map(|mandate| &mandate.value) {
            let (details, revenue) = (&mandate.details, &mandate.details.revenue);
            if details.operator == *party {
                reach.add_mandate(state, mandate, details.items.keys());
                continue;
            }
            let mut own = details.items.keys().filter(|resource| provides(state, party, resource)).peekable();
            if own.peek().is_some() || revenue.treasury == *party || revenue.provider_rates.contains_key(party) {
                reach.add_mandate(state, mandate, own);
            }
        }
        for plan in state.plans.values().map(|plan| &plan.value) {
            let mut own = plan.details.items.keys().filter(|resource| provides(state, party, resource)).peekable();
            if own.peek().is_some() {
                reach.add_plan(plan, own);
            }
        }
        reach
    }

    fn add_permit(
        &mut self,
        state: &'a State,
        permit: &'a Permit,
        resources: impl IntoIterator<Item = &'a ResourceId>,
    ) {
        self.permits.insert(&permit.id);
        if let Some(mandate) = state.mandates.get(&permit.details.mandate) {
            self.add_mandate(state, &mandate.value, resources);
        }
    }

    fn add_mandate(
        &mut self,
        state: &'a State,
        mandate: &'a Mandate,
        resources: impl IntoIterator<Item = &'a ResourceId>,
    ) {
        self.mandates.insert(&mandate.id);
        if let Some(plan) = state.plans.get(&mandate.details.plan) {
            self.add_plan(&plan.value, resources);
        }
    }

    fn add_plan(&mut self, plan: &'a Plan, resources: impl IntoIterator<Item = &'a ResourceId>) {
        self.plans.insert(&plan.id);
        for resource in resources {
            self.resources.insert(resource);
            if let Some(item) = plan.details.items.get(resource) {
                self.supplies.insert(&item.supply);
            }
        }
    }
}

fn provides(state: &State, party: &PartyId, resource: &ResourceId) -> bool {
    state.resources.get(resource).is_some_and(|found| found.value.provider == *party)
}
