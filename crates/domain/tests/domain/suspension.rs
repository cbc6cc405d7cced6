//! The kill switch: suspending a link shuts every right below it at once, and resuming opens the same rights again.

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::OrderId;
use lingqu_domain::refusal::RefusalCode;
use proptest::prelude::*;

use crate::life::Life;
use crate::scopes::seeded;
use crate::sequences::live_on;

const REASON: &str = "发现安全风险";

fn suspended(life: &Life, order: &str, link: &str) {
    let refusal = life.grant(order).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::GrantSuspended);
    assert_eq!(refusal.subject, life.link(link));
    assert!(refusal.en.contains(REASON) && refusal.zh.contains(REASON), "{refusal}");
}

#[test]
fn a_suspended_mandate_shuts_every_order_under_it_and_resumes_them_as_they_were() {
    let mut life = Life::whole();
    let orders = ["insurer's order", "platform's order"];
    let before = orders.map(|order| life.grant(order).unwrap());
    let mandate = life.id("mandate");
    let suspend = Command::SuspendMandate { mandate, reason: REASON.to_owned() };
    life.world.done(&life.approver("implementer"), suspend);
    for order in orders {
        suspended(&life, order, "mandate");
    }
    // Nothing new comes into being under it either.
    let order = crate::details::order(life.id("punctuality"), "insurance/claim", &[lingqu_domain::scope::Mode::Rows]);
    let place = Command::PlaceOrder { details: Box::new(order) };
    assert_eq!(life.world.refused(&life.handler("insurer"), &place).code, RefusalCode::GrantSuspended);
    let permit = Command::ApplyPermit { details: Box::new(crate::details::insurance_permit(&life)) };
    assert_eq!(life.world.refused(&life.handler("operator"), &permit).code, RefusalCode::GrantSuspended);

    let resume = Command::ResumeMandate { mandate: life.id("mandate"), reason: "已排除".to_owned() };
    life.world.done(&life.approver("implementer"), resume);
    for (order, before) in orders.iter().zip(before) {
        let after = life.grant(order).unwrap();
        assert_eq!(after.scope, before.scope);
        assert_eq!(after.inputs, before.inputs);
        assert_ne!(after.digest(), before.digest(), "the grant names the version of each link");
    }
}

#[test]
fn a_suspended_permit_or_order_shuts_what_is_below_and_nothing_beside() {
    let mut life = Life::whole();
    let permit = life.id("insurance permit");
    life.world.done(&life.approver("implementer"), Command::SuspendPermit { permit, reason: REASON.to_owned() });
    suspended(&life, "insurer's order", "insurance permit");
    assert!(life.grant("platform's order").is_ok());

    let mut life = Life::whole();
    let order = life.id("insurer's order");
    life.world.done(&life.approver("operator"), Command::SuspendOrder { order, reason: REASON.to_owned() });
    suspended(&life, "insurer's order", "insurer's order");
    assert!(life.grant("platform's order").is_ok());
}

#[test]
fn what_the_data_authority_suspends_it_alone_resumes() {
    let mut life = Life::whole();
    let mandate: lingqu_domain::id::MandateId = life.id("mandate");
    let suspend = Command::SuspendMandate { mandate: mandate.clone(), reason: REASON.to_owned() };
    life.world.done(&life.approver("authority"), suspend);
    let resume = Command::ResumeMandate { mandate, reason: "已排除".to_owned() };
    assert_eq!(life.world.refused(&life.approver("implementer"), &resume).code, RefusalCode::NotPermitted);
    suspended(&life, "insurer's order", "mandate");
    life.world.done(&life.approver("authority"), resume);
    assert!(life.grant("insurer's order").is_ok());
}

#[test]
fn the_data_authority_takes_over_a_suspension_of_the_implementer() {
    let mut life = Life::whole();
    let mandate: lingqu_domain::id::MandateId = life.id("mandate");
    let suspend = Command::SuspendMandate { mandate: mandate.clone(), reason: REASON.to_owned() };
    let resume = Command::ResumeMandate { mandate, reason: "已排除".to_owned() };
    life.world.done(&life.approver("implementer"), suspend.clone());
    assert_eq!(life.world.refused(&life.approver("implementer"), &suspend).code, RefusalCode::WrongState);
    life.world.done(&life.approver("authority"), suspend.clone());
    for side in ["implementer", "authority"] {
        assert_eq!(life.world.refused(&life.approver(side), &suspend).code, RefusalCode::WrongState, "{side}");
    }
    assert_eq!(life.world.refused(&life.approver("implementer"), &resume).code, RefusalCode::NotPermitted);
    suspended(&life, "insurer's order", "mandate");
    life.world.done(&life.approver("authority"), resume);
    assert!(life.grant("insurer's order").is_ok());
}

/// Orders with a grant now that stand on a mandate.
fn orders_under(life: &Life, mandate: &lingqu_domain::id::MandateId) -> Vec<OrderId> {
    let state = &life.world.state;
    let mut found = Vec::new();
    for order in state.orders.values().map(|order| &order.value) {
        let product = &state.products[&order.details.product].value;
        let stands =
            product.details.inputs.values().any(|permit| state.permits[permit].value.details.mandate == *mandate);
        if stands && lingqu_domain::grant::Grant::of(state, &order.id, life.world.now).is_ok() {
            found.push(order.id.clone());
        }
    }
    found
}

#[test]
fn suspension_holds_wherever_a_random_life_has_come() {
    let strategy = (crate::sequences::start(), proptest::collection::vec(any::<u64>(), 0..20));
    let shut = std::cell::Cell::new(0);
    let mut runner = proptest::test_runner::TestRunner::new(seeded(90));
    let outcome = runner.run(&strategy, |(start, turns)| {
        let life = live_on(start, &turns, &mut Default::default());
        for mandate in life.world.state.mandates.keys() {
            let orders = orders_under(&life, mandate);
            if orders.is_empty() {
                continue;
            }
            let mut life = life.clone();
            let now = life.world.now;
            let grant = |life: &Life, order| lingqu_domain::grant::Grant::of(&life.world.state, order, now);
            let before: Vec<_> = orders.iter().map(|order| grant(&life, order).unwrap()).collect();
            let authority = approver_of_the_authority(&life);
            let suspend = Command::SuspendMandate { mandate: mandate.clone(), reason: REASON.to_owned() };
            life.world.done(&authority, suspend);
            for order in &orders {
                let refusal = grant(&life, order).unwrap_err();
                prop_assert_eq!(refusal.code, RefusalCode::GrantSuspended);
                prop_assert_eq!(&refusal.subject, mandate.as_str());
                prop_assert!(refusal.en.contains(REASON));
                shut.set(shut.get() + 1);
            }
            let resume = Command::ResumeMandate { mandate: mandate.clone(), reason: "已排除".to_owned() };
            life.world.done(&authority, resume);
            for (order, before) in orders.iter().zip(&before) {
                let after = grant(&life, order).unwrap();
                prop_assert_eq!(&after.scope, &before.scope);
                prop_assert_eq!(&after.inputs, &before.inputs);
            }
        }
        Ok(())
    });
    outcome.unwrap_or_else(|error| panic!("{error}"));
    assert!(shut.get() > 30, "only {} grants were shut", shut.get());
}

/// An approver of the data authority who may still act.
fn approver_of_the_authority(life: &Life) -> Actor {
    let state = &life.world.state;
    let found = state.users.values().map(|user| &user.value).find(|user| {
        let of_authority = state.parties[&user.party].value.roles.contains(&lingqu_domain::party::Role::DataAuthority);
        of_authority && !user.disabled && user.duties.contains(&lingqu_domain::access::Duty::Approver)
    });
    Actor::User(found.expect("a data authority has an approver").id.clone())
}
