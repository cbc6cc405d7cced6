//! The step that is due: random commands that go on with what is under way, so that random sequences come as far as new
//! mandates, permits, products and orders.

use lingqu_domain::command::Command;
use lingqu_domain::mandate::MandateStage;
use lingqu_domain::order::OrderStage;
use lingqu_domain::permit::PermitStage;
use lingqu_domain::plan::PlanStage;
use lingqu_domain::price::{Ceiling, Price};
use lingqu_domain::product::{Product, ProductStage};
use lingqu_domain::registration::{Registrable, RegistrationStage};
use lingqu_domain::scope::Narrowing;
use lingqu_domain::settlement::Settlement;
use lingqu_domain::state::{Entity, State};
use lingqu_domain::supply::SupplyStage;

use crate::dice::{self, Dice};
use crate::life::Life;

/// A command that is due somewhere, if any is.
pub fn command(dice: &mut Dice, life: &Life) -> Option<Command> {
    let state = &life.world.state;
    let mut due = Vec::new();
    registrations(state, &mut due);
    authorisations(dice, state, &mut due);
    for product in state.products.values() {
        due.extend(product_step(dice, &product.value, state));
    }
    for order in state.orders.values().map(|order| &order.value) {
        match order.stage {
            OrderStage::Placed => {
                let terms_digest = order.contract.terms_digest.clone();
                due.push(Command::SignContract { order: order.id.clone(), terms_digest });
            }
            OrderStage::Suspended { .. } => {
                due.push(Command::ResumeOrder { order: order.id.clone(), reason: "已整改".to_owned() });
            }
            OrderStage::Active | OrderStage::Ended { .. } => {}
        }
    }
    for meter in state.meters.values().map(|meter| &meter.value) {
        if let (Some(proposal), None) = (&meter.proposal, &meter.settlement) {
            let (calls, data_sets) = (proposal.calls, proposal.data_sets);
            due.push(Command::AgreeMeterCorrection { meter: meter.id.clone(), calls, data_sets });
        }
    }
    let unconfirmed = |settlement: &&Entity<Settlement>| {
        settlement.value.confirmed_by.is_none() && settlement.value.reversal.is_none()
    };
    for settlement in state.settlements.values().filter(unconfirmed) {
        due.push(Command::ConfirmSettlement { settlement: settlement.value.id.clone() });
        if dice.below(2) == 1 {
            let (settlement, reason) = (settlement.value.id.clone(), "计量有误".to_owned());
            due.push(Command::ReverseSettlement { settlement, reason });
        }
    }
    if due.is_empty() { None } else { Some(dice.one_of(&due)) }
}

fn registrations(state: &State, due: &mut Vec<Command>) {
    for registration in state.registrations.values().map(|registration| &registration.value) {
        let id = registration.id.clone();
        match registration.stage {
            RegistrationStage::Applied { .. } => due.push(Command::AcceptRegistration { registration: id }),
            RegistrationStage::Accepted { .. } => due.push(Command::ReviewRegistration { registration: id }),
            RegistrationStage::Publicity { .. } => due.push(Command::CertifyRegistration { registration: id }),
            RegistrationStage::Returned { .. } | RegistrationStage::Certified(_) => {}
        }
    }
    for resource in state.resources.values().map(|resource| &resource.value) {
        if resource.signed_by.is_none() {
            due.push(Command::SignResource { resource: resource.id.clone() });
        } else if resource.registration.is_none() {
            due.push(Command::ApplyRegistration { object: Registrable::Resource(resource.id.clone()) });
        }
    }
}

fn authorisations(dice: &mut Dice, state: &State, due: &mut Vec<Command>) {
    for supply in state.supplies.values().map(|supply| &supply.value) {
        if matches!(supply.stage, SupplyStage::Requested { .. }) {
            let narrowing = if dice.below(2) == 1 { dice::narrowing(dice) } else { Narrowing::default() };
            due.push(Command::ConfirmSupply { supply: supply.id.clone(), narrowing: Box::new(narrowing) });
        }
    }
    for plan in state.plans.values().map(|plan| &plan.value) {
        match plan.stage {
            PlanStage::Drafted => {
                due.push(Command::SubmitPlan { plan: plan.id.clone(), minutes: "会议纪要".to_owned() })
            }
            PlanStage::Submitted { .. } => {
                due.push(Command::ApprovePlan { plan: plan.id.clone(), document: "批复".to_owned() });
            }
            PlanStage::Approved { .. } | PlanStage::Returned { .. } => {}
        }
    }
    for mandate in state.mandates.values().map(|mandate| &mandate.value) {
        let id = mandate.id.clone();
        match mandate.stage {
            MandateStage::Drafted => due.push(Command::ApproveMandate { mandate: id }),
            MandateStage::Approved => due.push(Command::SignAgreement { mandate: id }),
            MandateStage::Suspended { .. } => {
                due.push(Command::ResumeMandate { mandate: id, reason: "已整改".to_owned() });
            }
            MandateStage::InForce | MandateStage::Revoked { .. } => {}
        }
    }
    for permit in state.permits.values().map(|permit| &permit.value) {
        let id = permit.id.clone();
        match (&permit.stage, &permit.opinion) {
            (PermitStage::Applied, _) if permit.confirmations.values().any(Option::is_none) => {
                due.push(Command::ConfirmPermit { permit: id });
            }
            (PermitStage::Applied, Some(opinion)) if opinion.agrees => due.push(Command::ApprovePermit { permit: id }),
            (PermitStage::Applied, _) => {
                due.push(Command::GiveOpinion { permit: id, agrees: true, text: "同意".to_owned() });
            }
            (PermitStage::Suspended { .. }, _) => {
                due.push(Command::ResumePermit { permit: id, reason: "已整改".to_owned() });
            }
            (PermitStage::Approved { .. } | PermitStage::Refused { .. }, _) => {}
        }
    }
}

fn product_step(dice: &mut Dice, product: &Product, state: &State) -> Option<Command> {
    let id = product.id.clone();
    if product.stage == ProductStage::Drafted {
        return Some(Command::ReviewProductOutput { product: id, findings: "无原始数据".to_owned() });
    }
    if product.registration.is_none() {
        return Some(Command::ApplyRegistration { object: Registrable::Product(id) });
    }
    if product.ceiling.is_none() {
        let revenue = state.permitted_revenues.keys().next()?.clone();
        let ceiling = Ceiling {
            per_call: dice::unit_price(dice),
            per_data_set: dice::unit_price(dice),
            permitted_revenue: revenue,
        };
        return Some(Command::SetCeiling { product: id, ceiling });
    }
    if product.price.is_none() {
        let price = Price {
            per_call: dice::unit_price(dice),
            per_data_set: dice::unit_price(dice),
            free_purposes: Default::default(),
        };
        return Some(Command::SetPrice { product: id, price });
    }
    match product.stage {
        ProductStage::Reviewed { .. } | ProductStage::Delisted { .. } => Some(Command::ListProduct { product: id }),
        ProductStage::Drafted | ProductStage::Listed => None,
    }
}
