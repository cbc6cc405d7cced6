//! Shared quotas: who sets them, and which accounts an order debits.

use lingqu_domain::command::Command;
use lingqu_domain::id::{MandateId, OrderId, PermitId, ProductId, ResourceId};
use lingqu_domain::order::{DayQuota, QUOTA_MAX, QuotaUnit};
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::scope::Narrowing;
use lingqu_domain::shared_quota::{QuotaLink, SharedQuota};

use crate::details;
use crate::life::Life;

fn calls(calls: u64) -> SharedQuota {
    SharedQuota { calls: Some(calls), ..SharedQuota::default() }
}

#[test]
fn every_link_that_sets_a_quota_has_accounts_and_old_grants_keep_their_digest() {
    let mut life = Life::whole();
    let before = life.grant("insurer's order").unwrap();
    assert!(!serde_json::to_string(&before).unwrap().contains("shared_quotas"));
    let flights: ResourceId = life.id("flights");
    let order: OrderId = life.id("insurer's order");
    let (mandate, permit): (MandateId, PermitId) = (life.id("mandate"), life.id("insurance permit"));
    let product: ProductId = before.product.clone();
    let state = &mut life.world.state;
    let item = state.mandates.get_mut(&mandate).unwrap().value.details.items.get_mut(&flights).unwrap();
    item.quota = Some(calls(30));
    let item = state.permits.get_mut(&permit).unwrap().value.details.items.get_mut(&flights).unwrap();
    item.quota = Some(calls(20));
    state.products.get_mut(&product).unwrap().value.details.narrowing.quota = Some(calls(10));
    let grant = life.grant("insurer's order").unwrap();
    let link = |link: String, resource: Option<&ResourceId>, limit| QuotaLink {
        link,
        resource: resource.cloned(),
        quota: calls(limit),
    };
    let expected = [
        link(mandate.to_string(), Some(&flights), 30),
        link(permit.to_string(), Some(&flights), 20),
        link(product.to_string(), None, 10),
    ];
    assert_eq!(grant.shared_quotas, expected);
    assert_eq!(grant.scope, before.scope, "an account is met with nothing");
    assert_ne!(grant.digest(), before.digest());
    // They are found by what their accounts are named after, also while a link is suspended.
    let suspend = Command::SuspendMandate { mandate, reason: "检查".to_owned() };
    life.world.done(&life.approver("implementer"), suspend);
    assert!(life.grant("insurer's order").is_err());
    assert_eq!(QuotaLink::above_order(&life.world.state, &order), expected);
    for link in &expected {
        assert_eq!(QuotaLink::set_by(&life.world.state, &link.owner()), Some(link.quota.clone()), "{}", link.owner());
    }
    for nobody in ["", "prd_1", "ord_1", &format!("{permit}.{permit}"), permit.as_str()] {
        assert_eq!(QuotaLink::set_by(&life.world.state, nobody), None, "{nobody}");
    }
}

#[test]
fn a_quota_is_set_where_its_orders_are_reckoned_up_and_can_be_counted() {
    let life = Life::until("supplies requested");
    let narrowing = Narrowing { quota: Some(calls(5)), ..Narrowing::default() };
    let confirm = Command::ConfirmSupply { supply: life.id("flights supply"), narrowing: Box::new(narrowing) };
    let refusal = life.world.refused(&life.officer("airport"), &confirm);
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "quota"), "{refusal}");

    let life = Life::whole();
    let mut permit = details::insurance_permit(&life);
    let item = permit.items.values_mut().next().unwrap();
    let per_day = Some(DayQuota { rows: Some(QUOTA_MAX + 1), ..DayQuota::default() });
    item.quota = Some(SharedQuota { per_day, ..SharedQuota::default() });
    let operator = life.world.state.permits[&life.id::<PermitId>("insurance permit")].value.applied_by.clone();
    let refusal = life.world.refused(&operator, &Command::ApplyPermit { details: Box::new(permit) });
    assert!(refusal.en.contains("quota"), "{refusal}");
}

/// Where subjects are counted, nobody may draft a product whose rows name none.
#[test]
fn a_product_under_a_quota_of_subjects_names_them() {
    let mut life = Life::whole();
    let permit: PermitId = life.id("insurance permit");
    let operator = life.world.state.permits[&permit].value.applied_by.clone();
    let mut product = details::punctuality(&life);
    product.table = details::name("another_table");
    let draft = Command::DraftProduct { details: Box::new(product) };
    life.world.decide(&operator, &draft).unwrap();
    let flights: ResourceId = life.id("flights");
    for quota in [
        SharedQuota { subjects: Some(10), ..SharedQuota::default() },
        SharedQuota { per_day: Some(DayQuota { subjects: Some(1), ..DayQuota::default() }), ..SharedQuota::default() },
    ] {
        let permit = &mut life.world.state.permits.get_mut(&permit).unwrap().value.details;
        permit.items.get_mut(&flights).unwrap().quota = Some(quota);
        let refusal = life.world.refused(&operator, &draft);
        assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "subject"), "{refusal}");
    }
}

#[test]
fn a_limit_that_is_not_given_is_none() {
    let quota = SharedQuota {
        subjects: Some(0),
        per_day: Some(DayQuota { bytes: Some(7), ..DayQuota::default() }),
        ..SharedQuota::default()
    };
    for unit in QuotaUnit::ALL {
        assert_eq!(quota.limit(unit, false), (unit == QuotaUnit::Subjects).then_some(0), "{unit:?}");
        assert_eq!(quota.limit(unit, true), (unit == QuotaUnit::Bytes).then_some(7), "{unit:?}");
        assert_eq!(SharedQuota::default().limit(unit, true), None);
    }
}
