//! Privacy budgets: who sets them, which accounts an order debits, what a product with noise must declare.

use std::collections::BTreeMap;

use lingqu_domain::command::Command;
use lingqu_domain::id::{MandateId, PermitId, PlanId, ResourceId, SupplyId};
use lingqu_domain::predicate::Literal;
use lingqu_domain::privacy::{MeasureBounds, NoiseRules, PrivacyAccount, PrivacyBudget, Rho, accounts};
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::RefusalCode;
use lingqu_domain::scope::Narrowing;

use crate::details::{budget, decimal, driver_check, name, punctuality};
use crate::life::Life;

fn set(life: &Life, rho: &str) -> Command {
    Command::SetPrivacyBudget {
        supply: life.id("flights supply"),
        rho: budget(rho).rho,
        reason: "控制累计披露".to_owned(),
    }
}

fn rho(text: &str) -> Rho {
    text.parse().unwrap()
}

#[test]
fn the_provider_sets_a_budget_and_sets_it_anew() {
    let mut life = Life::whole();
    let supply: SupplyId = life.id("flights supply");
    let resource: ResourceId = life.id("flights");
    let before = life.grant("insurer's order").unwrap();
    assert_eq!(before.privacy_accounts, []);
    assert!(!serde_json::to_string(&before).unwrap().contains("privacy"), "old grants keep their digest");
    for amount in ["0.5", "2", "0.1"] {
        life.world.done(&life.officer("airport"), set(&life, amount));
        let grant = life.grant("insurer's order").unwrap();
        let account = PrivacyAccount { link: supply.to_string(), resource: resource.clone(), budget: rho(amount) };
        assert_eq!(grant.privacy_accounts, [account]);
        assert_ne!(grant.digest(), before.digest());
        assert_eq!(grant.scope, before.scope, "an account is met with nothing");
    }
    // Nobody but the provider's officer, never to nothing, and not without a reason.
    for stranger in ["implementer", "traffic", "authority"] {
        let refusal = life.world.refused(&life.officer(stranger), &set(&life, "5"));
        assert_eq!(refusal.code, RefusalCode::NotPermitted, "{stranger}");
    }
    let refusal = life.world.refused(&life.handler("airport"), &set(&life, "5"));
    assert_eq!(refusal.code, RefusalCode::NotPermitted);
    let refusal = life.world.refused(&life.officer("airport"), &set(&life, "0"));
    assert_eq!(refusal.code, RefusalCode::ScopeTooWide);
    let silent = Command::SetPrivacyBudget { supply, rho: rho("1"), reason: " ".to_owned() };
    assert_eq!(life.world.refused(&life.officer("airport"), &silent).code, RefusalCode::Invalid);
}

#[test]
fn every_link_that_sets_a_budget_has_an_account() {
    let mut life = Life::whole();
    let flights: ResourceId = life.id("flights");
    life.world.done(&life.officer("airport"), set(&life, "4"));
    let (plan, mandate, permit): (PlanId, MandateId, PermitId) =
        (life.id("plan"), life.id("mandate"), life.id("insurance permit"));
    let with = |narrowing: &Narrowing, rho: &str| Narrowing { privacy_budget: Some(budget(rho)), ..narrowing.clone() };
    let state = &mut life.world.state;
    let item = state.plans.get_mut(&plan).unwrap().value.details.items.get_mut(&flights).unwrap();
    item.narrowing = with(&item.narrowing, "3");
    let item = state.mandates.get_mut(&mandate).unwrap().value.details.items.get_mut(&flights).unwrap();
    *item = with(item, "2");
    let item = state.permits.get_mut(&permit).unwrap().value.details.items.get_mut(&flights).unwrap();
    *item = with(item, "1");
    let grant = life.grant("insurer's order").unwrap();
    let found: BTreeMap<String, Rho> =
        grant.privacy_accounts.iter().map(|account| (account.link.clone(), account.budget)).collect();
    let supply: SupplyId = life.id("flights supply");
    let expected = [
        (supply.to_string(), rho("4")),
        (plan.to_string(), rho("3")),
        (mandate.to_string(), rho("2")),
        (permit.to_string(), rho("1")),
    ];
    assert_eq!(found, BTreeMap::from(expected));
    assert!(grant.privacy_accounts.iter().all(|account| account.resource == flights));
    assert!(grant.privacy_accounts.is_sorted(), "the same grant has the same digest");
}

#[test]
fn a_budget_of_nothing_is_refused_at_every_link() {
    let life = Life::until("supplies requested");
    let narrowing = Narrowing { privacy_budget: Some(PrivacyBudget { rho: Rho::ZERO }), ..Narrowing::default() };
    let confirm = Command::ConfirmSupply { supply: life.id("flights supply"), narrowing: Box::new(narrowing) };
    let refusal = life.world.refused(&life.officer("airport"), &confirm);
    assert_eq!(refusal.code, RefusalCode::ScopeTooWide);
    assert!(refusal.en.contains("privacy budget"), "{refusal}");
}

/// The accounts are found also where a link is suspended or the order has ended: what was spent then counts.
#[test]
fn accounts_outlast_the_force_of_their_links() {
    let mut life = Life::whole();
    life.world.done(&life.officer("airport"), set(&life, "4"));
    let suspend = Command::SuspendMandate { mandate: life.id("mandate"), reason: "检查".to_owned() };
    life.world.done(&life.approver("implementer"), suspend);
    assert!(life.grant("insurer's order").is_err());
    let inputs = BTreeMap::from([(life.id("flights"), life.id("insurance permit"))]);
    let mut reader = lingqu_domain::decide::Reader::new(&life.world.state, life.world.now);
    assert_eq!(accounts(&mut reader, &inputs).unwrap().len(), 1);
}

fn noise() -> NoiseRules {
    NoiseRules { rho: rho("0.05"), rows_per_subject_max: 3, measures: BTreeMap::new(), domains: BTreeMap::new() }
}

/// A product of drivers, row by row, with its subject.
fn drivers(life: &Life) -> ProductDetails {
    let mut details = driver_check(life);
    details.table = name("driver_noise");
    details.shape.row_by_row = true;
    details.dimensions = vec![name("licence")];
    details.noise = Some(noise());
    details
}

fn drafted(life: &Life, details: ProductDetails) -> Result<(), String> {
    let draft = Command::DraftProduct { details: Box::new(details) };
    let decided = life.world.decide(&life.handler("operator"), &draft);
    decided.map(|_| ()).map_err(|refusal| {
        // Where consent is needed the subject is asked for anyway, and first.
        let is_named = refusal.subject == "noise" || refusal.subject == "subject";
        assert!(refusal.code == RefusalCode::Invalid && is_named, "{refusal}");
        refusal.en
    })
}

/// What is wrong with a draft.
type Change<'a> = &'a dyn Fn(&mut ProductDetails, &mut NoiseRules);

#[test]
fn a_product_with_noise_declares_it_whole() {
    let life = Life::whole();
    assert_eq!(drafted(&life, drivers(&life)), Ok(()));
    let with = |change: Change<'_>| {
        let mut details = drivers(&life);
        let mut noise = noise();
        change(&mut details, &mut noise);
        details.noise = Some(noise);
        drafted(&life, details)
    };
    let text = |value: &str| Literal::Text(value.to_owned());
    let domain = |values: Vec<Literal>| BTreeMap::from([(name("licence"), values)]);
    let refused: [(&str, Change<'_>); 13] = [
        ("row by row", &|details, _| details.shape.row_by_row = false),
        ("subject", &|details, _| details.subject = None),
        ("subject", &|details, _| details.subject = Some(name("licence"))),
        ("rho", &|_, noise| noise.rho = Rho::ZERO),
        ("rows_per_subject_max", &|_, noise| noise.rows_per_subject_max = 0),
        ("rows_per_subject_max", &|_, noise| noise.rows_per_subject_max = 1_001),
        ("numeric", &|_, noise| noise.measures = BTreeMap::from([(name("licence"), bounds())])),
        ("numeric", &|_, noise| noise.measures = BTreeMap::from([(name("nowhere"), bounds())])),
        ("dimension", &|_, noise| noise.domains = BTreeMap::from([(name("id_number"), vec![text("x")])])),
        ("values", &|_, noise| noise.domains = domain(Vec::new())),
        ("each once", &|_, noise| noise.domains = domain(vec![text("C1"), text("C1")])),
        ("type", &|_, noise| noise.domains = domain(vec![Literal::Integer(1)])),
        ("type", &|_, noise| noise.domains = domain(vec![text(&"x".repeat(201))])),
    ];
    for (expected, change) in refused {
        let refusal = with(change).expect_err(expected);
        assert!(refusal.contains(expected), "{expected}: {refusal}");
    }
    assert_eq!(with(&|_, noise| noise.domains = domain(vec![text("C1"), text("B2")])), Ok(()));
}

fn bounds() -> MeasureBounds {
    MeasureBounds { lower: decimal("0"), upper: decimal("10"), step: decimal("1"), candidates: Vec::new() }
}

/// Of several resources, or by a join, one person's row can move many: no declared number bounds what he changes.
#[test]
fn a_product_of_several_resources_has_no_noise() {
    let life = Life::whole();
    let mut details = punctuality(&life);
    details.table = name("punctuality_noise");
    details.shape.row_by_row = true;
    details.noise = Some(NoiseRules { rows_per_subject_max: 1, ..noise() });
    assert!(drafted(&life, details).expect_err("two inputs").contains("one resource"));
}

#[test]
fn a_product_sets_no_budget() {
    let life = Life::whole();
    let mut details = drivers(&life);
    details.narrowing.privacy_budget = Some(budget("1"));
    let draft = Command::DraftProduct { details: Box::new(details) };
    let refusal = life.world.refused(&life.handler("operator"), &draft);
    assert_eq!((refusal.code, refusal.subject.as_str()), (RefusalCode::Invalid, "narrowing"));
}

/// What bars exact statistics is another order over the resource; an order's own accounts make its statistics noised instead.
#[test]
fn an_orders_own_accounts_bar_nothing() {
    let mut life = Life::whole();
    assert!(!life.grant("insurer's order").unwrap().exact_statistics_barred);
    life.world.done(&life.officer("airport"), set(&life, "1"));
    let grant = life.grant("insurer's order").unwrap();
    assert!(!grant.privacy_accounts.is_empty() && !grant.exact_statistics_barred);
}
