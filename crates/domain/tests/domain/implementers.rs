//! What stands on permits of several implementers takes each of them: the review of a product's output, its ceiling, and the
//! confirmation of a settlement.

use std::collections::BTreeMap;

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::{
    MandateId, MeterId, OrderId, PermitId, PlanId, ProductId, RegistrationId, ResourceId, SettlementId, SupplyId,
};
use lingqu_domain::party::{Organisation, Role};
use lingqu_domain::plan::PlanItem;
use lingqu_domain::product::ProductStage;
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::registration::Registrable;
use lingqu_domain::scope::{Mode, Narrowing};

use crate::details::{self, name};
use crate::life::{Life, terms};
use crate::world::created;

/// A life with a second implementer, the bureau, and a drafted product `shared` on a permit of each.
fn drafted() -> Life {
    let mut life = Life::until("permits approved");
    let bureau = details::party("bureau", 70, Organisation::PublicInstitution, &[Role::Implementer]);
    life.admit("bureau", bureau);
    let weather: ResourceId = life.id("weather");
    let (handler, approver, officer) = (life.handler("bureau"), life.approver("bureau"), life.officer("airport"));

    let request = Command::RequestSupply { resource: weather.clone(), need: "气象".to_owned() };
    let supply: SupplyId = created(&life.world.done(&handler, request));
    let confirm = Command::ConfirmSupply { supply: supply.clone(), narrowing: Box::default() };
    life.world.done(&officer, confirm);

    let mut plan = details::plan(&life);
    plan.items = BTreeMap::from([(weather.clone(), PlanItem { supply, narrowing: Narrowing::default() })]);
    let plan: PlanId = created(&life.world.done(&handler, Command::DraftPlan { details: Box::new(plan) }));
    life.world.done(&approver, Command::SubmitPlan { plan: plan.clone(), minutes: "纪要".to_owned() });
    let document = "批复 13 号".to_owned();
    life.world.done(&life.approver("authority"), Command::ApprovePlan { plan: plan.clone(), document });

    let mut mandate = details::mandate(&life);
    mandate.plan = plan;
    mandate.items.retain(|resource, _| *resource == weather);
    let draft = Command::DraftMandate { details: Box::new(mandate) };
    let mandate: MandateId = created(&life.world.done(&handler, draft));
    life.world.done(&approver, Command::ApproveMandate { mandate: mandate.clone() });
    for signer in ["bureau", "operator"] {
        life.world.done(&life.approver(signer), Command::SignAgreement { mandate: mandate.clone() });
    }

    let mut permit = details::insurance_permit(&life);
    permit.mandate = mandate;
    permit.items.retain(|resource, _| *resource == weather);
    let apply = Command::ApplyPermit { details: Box::new(permit) };
    let permit: PermitId = created(&life.world.done(&life.handler("operator"), apply));
    life.world.done(&officer, Command::ConfirmPermit { permit: permit.clone() });
    let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
    life.world.done(&life.approver("competent"), opinion);
    life.world.done(&approver, Command::ApprovePermit { permit: permit.clone() });

    let mut product = details::punctuality(&life);
    product.table = name("shared");
    product.inputs.insert(weather, permit);
    let draft = Command::DraftProduct { details: Box::new(product) };
    let product: ProductId = created(&life.world.done(&life.handler("operator"), draft));
    life.note("shared", product);
    life
}

const SIDES: [&str; 2] = ["implementer", "bureau"];

/// Reviewed by both, registered, and come to the day when there is a permitted revenue.
fn certified() -> Life {
    let mut life = drafted();
    for side in SIDES {
        let review = Command::ReviewProductOutput { product: life.id("shared"), findings: "未见问题".to_owned() };
        life.world.done(&life.approver(side), review);
    }
    let apply = Command::ApplyRegistration { object: Registrable::Product(life.id("shared")) };
    let registration: RegistrationId = created(&life.world.done(&life.handler("operator"), apply));
    let registrar = life.member("registrar");
    life.world.done(&registrar.handler, Command::AcceptRegistration { registration: registration.clone() });
    life.world.done(&registrar.approver, Command::ReviewRegistration { registration: registration.clone() });
    // The plain products go the same way beside it, which brings the permitted revenue.
    life.walk("permits approved", "listed");
    life.world.done(&registrar.approver, Command::CertifyRegistration { registration });
    life
}

fn set_ceiling(life: &mut Life, side: &str, per_call: &str) -> Vec<String> {
    let mut ceiling = details::ceiling(life);
    ceiling.per_call = per_call.parse().unwrap();
    let command = Command::SetCeiling { product: life.id("shared"), ceiling };
    life.world.done(&life.approver(side), command).iter().map(|event| event.event.kind()).collect()
}

/// The operator proposes, each implementer agrees.
fn correct(life: &mut Life, meter: &MeterId) {
    let (calls, data_sets, reason) = (900, 0, "重复计数".to_owned());
    let propose = Command::ProposeMeterCorrection { meter: meter.clone(), calls, data_sets, reason };
    life.world.done(&life.handler("operator"), propose);
    for side in SIDES {
        assert_eq!(life.world.state.meters[meter].value.charged(), (1_000, 0), "before all have agreed");
        let agree = Command::AgreeMeterCorrection { meter: meter.clone(), calls, data_sets };
        life.world.done(&life.approver(side), agree.clone());
        assert_eq!(life.world.refused(&life.approver(side), &agree).code, RefusalCode::WrongState, "twice");
    }
    assert_eq!(life.world.state.meters[meter].value.charged(), (900, 0));
}

/// An order of the shared product and one of a plain product, metered and settled.
fn settled() -> Life {
    let mut life = certified();
    for side in SIDES {
        set_ceiling(&mut life, side, "0.05");
    }
    let operator = life.approver("operator");
    life.world.done(&operator, Command::SetPrice { product: life.id("shared"), price: details::price() });
    life.world.done(&operator, Command::ListProduct { product: life.id("shared") });
    for (label, product) in [("shared order", "shared"), ("plain order", "punctuality")] {
        let details = details::order(life.id(product), "insurance/claim", &[Mode::Rows]);
        let place = Command::PlaceOrder { details: Box::new(details) };
        let order: OrderId = created(&life.world.done(&life.handler("insurer"), place));
        life.note(label, &order);
        let sign = Command::SignContract { order: order.clone(), terms_digest: terms(&life, label) };
        life.world.done(&life.approver("insurer"), sign.clone());
        life.world.done(&operator, sign);
        let readings = vec![details::reading(order, 0, 1_000, 0)];
        let meter = created(&life.world.done(&Actor::Node, Command::CloseMeter { readings }));
        if label == "shared order" {
            correct(&mut life, &meter);
        }
    }
    assert!(life.grant("shared order").is_ok());
    let close = Command::CloseSettlement { period: "2026-12".to_owned() };
    let settlement: SettlementId = created(&life.world.done(&operator, close));
    life.note("settlement", settlement);
    life
}

fn list(life: &Life) -> Command {
    Command::ListProduct { product: life.id("shared") }
}

fn delist(life: &Life) -> Command {
    Command::DelistProduct { product: life.id("shared"), reason: "情况说明".to_owned() }
}

/// A whole life of a product on permits of two implementers.
pub fn whole() -> Life {
    let mut life = settled();
    for side in SIDES {
        let confirm = Command::ConfirmSettlement { settlement: life.id("settlement") };
        life.world.done(&life.approver(side), confirm);
    }
    for side in ["operator", "implementer"] {
        let delist = delist(&life);
        life.world.done(&life.approver(side), delist);
    }
    for side in ["implementer", "operator"] {
        let list = list(&life);
        life.world.done(&life.approver(side), list);
    }
    life
}

#[test]
fn the_output_is_reviewed_once_every_implementer_has_passed_it() {
    let mut life = drafted();
    let review = Command::ReviewProductOutput { product: life.id("shared"), findings: "未见问题".to_owned() };
    let strange = details::party("strange", 71, Organisation::PublicInstitution, &[Role::Implementer]);
    life.admit("strange", strange);
    let refusal = life.world.refused(&life.approver("strange"), &review);
    assert_eq!(refusal.code, RefusalCode::NotPermitted);
    assert!(refusal.en.contains(life.party("bureau").as_str()), "{refusal}");

    let stage = |life: &Life| life.world.state.products[&life.id("shared")].value.stage.clone();
    life.world.done(&life.approver("bureau"), review.clone());
    assert_eq!(stage(&life), ProductStage::Drafted);
    let register = Command::ApplyRegistration { object: Registrable::Product(life.id("shared")) };
    assert_eq!(life.world.refused(&life.handler("operator"), &register).code, RefusalCode::WrongState);
    assert_eq!(life.world.refused(&life.approver("bureau"), &review).code, RefusalCode::WrongState, "twice");
    life.world.done(&life.approver("implementer"), review);
    assert!(matches!(stage(&life), ProductStage::Reviewed { .. }));
    assert!(life.world.decide(&life.handler("operator"), &register).is_ok());
}

#[test]
fn the_lowest_ceiling_binds_once_every_implementer_has_set_one() {
    let mut life = certified();
    let price = |per_call: &str| {
        let mut price = details::price();
        price.per_call = per_call.parse().unwrap();
        price
    };
    let set = |life: &Life, per_call| Command::SetPrice { product: life.id("shared"), price: price(per_call) };
    let operator = life.approver("operator");
    assert_eq!(set_ceiling(&mut life, "implementer", "0.05"), ["product.ceiling_agreed"]);
    assert_eq!(life.world.refused(&operator, &set(&life, "0.01")).code, RefusalCode::WrongState);
    assert_eq!(set_ceiling(&mut life, "bureau", "0.04"), ["product.ceiling_agreed", "product.ceiling_set"]);
    assert_eq!(life.world.refused(&operator, &set(&life, "0.05")).code, RefusalCode::PriceAboveCeiling);
    assert!(life.world.decide(&operator, &set(&life, "0.04")).is_ok());
    // Raised by one, it is still bound by the other; lowered by one, it is lower.
    set_ceiling(&mut life, "implementer", "1");
    assert_eq!(life.world.refused(&operator, &set(&life, "0.05")).code, RefusalCode::PriceAboveCeiling);
    set_ceiling(&mut life, "implementer", "0.02");
    assert_eq!(life.world.refused(&operator, &set(&life, "0.04")).code, RefusalCode::PriceAboveCeiling);
}

#[test]
fn any_implementer_may_delist_what_it_takes_all_to_offer() {
    for side in ["implementer", "bureau", "operator"] {
        let mut life = settled();
        let delist = delist(&life);
        life.world.done(&life.approver(side), delist);
    }
}

#[test]
fn what_implementers_delisted_is_listed_again_once_each_of_them_agrees() {
    let mut life = settled();
    let (list, delist) = (list(&life), delist(&life));
    let code = |life: &Life, side: &str, command: &Command| life.world.refused(&life.approver(side), command).code;
    for side in SIDES {
        assert_eq!(code(&life, side, &list), RefusalCode::NotPermitted, "it is the operator that lists");
    }
    life.world.done(&life.approver("implementer"), delist.clone());
    assert_eq!(code(&life, "implementer", &delist), RefusalCode::WrongState, "twice");
    assert_eq!(code(&life, "bureau", &list), RefusalCode::NotPermitted, "it delisted nothing");
    life.world.done(&life.approver("bureau"), delist.clone());
    for side in SIDES {
        let refusal = life.world.refused(&life.approver("operator"), &list);
        assert_eq!(refusal.code, RefusalCode::NotPermitted);
        assert!(refusal.en.contains(life.party(side).as_str()), "{refusal}");
        life.world.done(&life.approver(side), list.clone());
        assert_eq!(code(&life, side, &list), RefusalCode::NotPermitted, "it has agreed already");
    }
    life.world.done(&life.approver("operator"), list.clone());
    // What its operator delisted an implementer may hold as well.
    life.world.done(&life.approver("operator"), delist.clone());
    assert_eq!(code(&life, "operator", &delist), RefusalCode::WrongState);
    life.world.done(&life.approver("bureau"), delist);
    assert_eq!(code(&life, "operator", &list), RefusalCode::NotPermitted);
    life.world.done(&life.approver("bureau"), list.clone());
    life.world.done(&life.approver("operator"), list);
}

#[test]
fn a_settlement_is_confirmed_once_every_implementer_concerned_has() {
    let mut life = settled();
    let confirm = Command::ConfirmSettlement { settlement: life.id("settlement") };
    let voucher = |life: &Life| {
        let settlement: SettlementId = life.id("settlement");
        let amount = life.world.state.settlements[&settlement].value.outstanding(&life.party("finance"));
        Command::RecordVoucher { settlement, number: "非税 7".to_owned(), amount }
    };
    let finance = life.handler("finance");
    assert!(life.world.refused(&life.approver("operator"), &confirm).en.contains("confirm_settlement"));
    life.world.done(&life.approver("implementer"), confirm.clone());
    assert_eq!(life.world.refused(&finance, &voucher(&life)).code, RefusalCode::WrongState);
    assert_eq!(life.world.refused(&life.approver("implementer"), &confirm).code, RefusalCode::WrongState, "twice");
    life.world.done(&life.approver("bureau"), confirm.clone());
    assert_eq!(life.world.refused(&life.approver("bureau"), &confirm).code, RefusalCode::WrongState, "again");
    let paid = voucher(&life);
    life.world.done(&finance, paid);
}
