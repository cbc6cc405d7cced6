//! Lives whose documents are random: every supply, plan, mandate, permit, product and order asks for a random part of what
//! is above it, so that the properties see thousands of different graphs of rights, and not one.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::access::Actor;
use lingqu_domain::chain;
use lingqu_domain::command::Command;
use lingqu_domain::decide::Reader;
use lingqu_domain::id::{MandateId, OrderId, PermitId, PlanId, ProductId, ResourceId};
use lingqu_domain::permit::PermitDetails;
use lingqu_domain::product::{ProductColumn, ProductDetails, ProductShape, SourceColumn};
use lingqu_domain::registration::Registrable;
use lingqu_domain::scope::{ColumnName, Mode, Narrowing, Precision, Precisions, Purpose, Scope, Term};

use crate::details;
use crate::dice::Dice;
use crate::life::{Life, STEPS, apply_registration};
use crate::world::{at, created};

const PURPOSES: [&str; 6] =
    ["insurance", "insurance/claim", "insurance/pricing", "public", "public/licence", "public/study"];
const RESOURCES: [&str; 3] = ["flights", "weather", "drivers"];

/// A narrowing that mostly fits a scope: some of its columns, coarser here and there, some purposes, modes and so on.
fn fitting(dice: &mut Dice, parent: &Scope) -> Narrowing {
    let mut made = Narrowing::default();
    if dice.below(2) == 1 {
        let mut columns = BTreeMap::new();
        for (name, precisions) in &parent.columns {
            if dice.below(6) > 0 {
                columns.insert(name.clone(), if dice.once_in(3) { Some(coarser(dice, precisions)) } else { None });
            }
        }
        made.columns = Some(columns);
    }
    if dice.once_in(4) {
        let exact =
            |precisions: &Precisions| parent.modes.iter().all(|mode| precisions.in_mode(*mode) == Precision::Exact);
        let names: Vec<&ColumnName> =
            parent.columns.iter().filter(|(_, precisions)| exact(precisions)).map(|(name, _)| name).collect();
        if !names.is_empty() {
            let chosen = names[dice.below(names.len())];
            made.rows = vec![details::condition(chosen.as_str(), &format!("value {}", dice.below(3)))];
        }
    }
    if dice.once_in(3) {
        let allowed = purposes_in(parent);
        made.purposes = Some(dice.some_of(&allowed)).filter(|purposes| !purposes.is_empty());
    }
    if dice.once_in(3) {
        let modes: Vec<Mode> = parent.modes.iter().copied().collect();
        made.modes = Some(modes.into_iter().filter(|mode| *mode == Mode::Compute || dice.below(4) > 0).collect());
    }
    if dice.once_in(4) {
        let until = dice.one_of(&["2026-12-20T00:00:00Z", "2027-03-01T00:00:00Z", "2027-12-01T00:00:00Z"]);
        made.term = Some(Term { from: parent.term.from, until: at(until).min(parent.term.until) });
    }
    if dice.once_in(4) {
        made.cohort_floor = Some(parent.cohort_floor + dice.below(20) as u32);
    }
    made.consent_required = dice.once_in(12).then_some(true);
    made
}

fn coarser(dice: &mut Dice, own: &Precisions) -> Precisions {
    let texts = [
        "exact",
        "exact",
        "month",
        "year",
        "rounded:10",
        "rounded:4",
        "pseudonym:consumer",
        "pseudonym:order",
        "hidden",
    ];
    let asked = Mode::ALL.into_iter().map(|mode| {
        let precision = if mode == Mode::Compute { Precision::Exact } else { dice.one_of(&texts).parse().unwrap() };
        (mode, precision)
    });
    own.meet(&Precisions(asked.collect()))
}

fn purposes_in(scope: &Scope) -> Vec<Purpose> {
    PURPOSES.iter().map(|code| details::purpose(code)).filter(|purpose| scope.allows_purpose(purpose)).collect()
}

fn reader(life: &Life) -> Reader<'_> {
    Reader::new(&life.world.state, life.world.now)
}

/// Gives a command whose documents are random; what was refused is left out of the life.
fn offer(life: &mut Life, actor: &Actor, command: Command) -> bool {
    life.world.give(actor, command).is_ok()
}

/// A random life up to orders, or as far as it comes.
pub fn life(seed: u64) -> Life {
    let mut dice = Dice::new(seed);
    let mut life = Life::until("supplies requested");
    for name in RESOURCES {
        let scope = chain::resource_scope(&mut reader(&life), &life.id(name)).unwrap();
        let narrowing = fitting(&mut dice, &scope);
        let supply = life.id(&format!("{name} supply"));
        let officer = life.provider_of(name).officer;
        if !offer(&mut life, &officer, Command::ConfirmSupply { supply, narrowing: Box::new(narrowing) }) {
            let supply = life.id(&format!("{name} supply"));
            life.world.done(&officer, Command::ConfirmSupply { supply, narrowing: Box::default() });
        }
    }
    // Publicity of products ends on 1 December; everything before is decided on one day.
    if plan_and_mandate(&mut dice, &mut life).is_some() {
        permits(&mut dice, &mut life);
        products(&mut dice, &mut life);
        orders(&mut dice, &mut life);
    }
    life
}

fn plan_and_mandate(dice: &mut Dice, life: &mut Life) -> Option<()> {
    let mut plan = details::plan(life);
    for (resource, item) in &mut plan.items {
        let supply = chain::supply_scope(&mut reader(life), &item.supply).ok();
        item.narrowing = fitting(dice, &supply?);
        plan.term.until = plan.term.until.min(life_term(life, resource)?.until);
    }
    let recorded =
        life.world.give(&life.handler("implementer"), Command::DraftPlan { details: Box::new(plan) }).ok()?;
    let id: PlanId = created(&recorded);
    life.note("plan", &id);
    walk(life, "plan submitted", "plan approved");

    let mut mandate = details::mandate(life);
    for (resource, item) in &mut mandate.items {
        let scope = chain::plan_scope(&mut reader(life), &id, resource).ok()?;
        *item = fitting(dice, &scope);
        mandate.term.until = mandate.term.until.min(scope.term.until);
    }
    let command = Command::DraftMandate { details: Box::new(mandate) };
    let recorded = life.world.give(&life.handler("implementer"), command).ok()?;
    let id: MandateId = created(&recorded);
    life.note("mandate", id);
    walk(life, "mandate approved", "agreement signed");
    Some(())
}

fn life_term(life: &Life, resource: &ResourceId) -> Option<Term> {
    let supplies = life.world.state.supplies.values().find(|supply| supply.value.resource == *resource)?;
    chain::supply_scope(&mut reader(life), &supplies.value.id).ok().map(|scope| scope.term)
}

fn walk(life: &mut Life, first: &str, last: &str) {
    let place = |wanted: &str| STEPS.iter().position(|(step, _)| *step == wanted).unwrap();
    for (_, step) in &STEPS[place(first)..=place(last)] {
        step(life);
    }
}

fn permits(dice: &mut Dice, life: &mut Life) {
    let names = ["insurance permit", "licence permit"];
    for (name, template) in names.iter().zip([details::insurance_permit(life), details::licence_permit(life)]) {
        let Some(details) = permit(dice, life, template) else { continue };
        let command = Command::ApplyPermit { details: Box::new(details) };
        let Ok(recorded) = life.world.give(&life.handler("operator"), command) else { continue };
        let permit: PermitId = created(&recorded);
        life.note(name, &permit);
        let provider = if *name == "insurance permit" { "airport" } else { "traffic" };
        life.world.done(&life.officer(provider), Command::ConfirmPermit { permit: permit.clone() });
        let opinion = Command::GiveOpinion { permit: permit.clone(), agrees: true, text: "同意".to_owned() };
        life.world.done(&life.approver("competent"), opinion);
        life.world.done(&life.approver("implementer"), Command::ApprovePermit { permit });
    }
}

fn permit(dice: &mut Dice, life: &Life, template: PermitDetails) -> Option<PermitDetails> {
    let mut made = template;
    let mut common: Option<BTreeSet<Purpose>> = None;
    for (resource, item) in &mut made.items {
        let scope = chain::mandate_scope(&mut reader(life), &made.mandate, resource).ok()?;
        let named = scope.modes.clone();
        *item = fitting(dice, &scope);
        item.modes = item.modes.take().or(Some(named));
        let allowed: BTreeSet<Purpose> = purposes_in(&scope).into_iter().collect();
        common = Some(common.map_or(allowed.clone(), |common| common.intersection(&allowed).cloned().collect()));
    }
    let common: Vec<Purpose> = common?.into_iter().collect();
    let chosen = dice.some_of(&common);
    made.purposes = if chosen.is_empty() { common.into_iter().collect() } else { chosen };
    Some(made)
}

fn products(dice: &mut Dice, life: &mut Life) {
    let mut drafted = Vec::new();
    for (name, template) in [("punctuality", details::punctuality(life)), ("driver check", details::driver_check(life))]
    {
        let Some(details) = product(dice, life, template) else { continue };
        let command = Command::DraftProduct { details: Box::new(details) };
        let Ok(recorded) = life.world.give(&life.handler("operator"), command) else { continue };
        let product: ProductId = created(&recorded);
        life.note(name, &product);
        let review = Command::ReviewProductOutput { product: product.clone(), findings: "无原始数据".to_owned() };
        life.world.done(&life.approver("implementer"), review);
        let registration = if name == "punctuality" { "punctuality registration" } else { "driver check registration" };
        apply_registration(life, &life.handler("operator"), Registrable::Product(product), registration);
        let registrar = life.member("registrar");
        let id = || life.id(registration);
        let (accept, review) =
            (Command::AcceptRegistration { registration: id() }, Command::ReviewRegistration { registration: id() });
        life.world.done(&registrar.handler, accept);
        life.world.done(&registrar.approver, review);
        drafted.push((name, registration));
    }
    life.world.now = at("2026-12-02T01:00:00Z");
    let fix = Command::FixPermittedRevenue {
        operator: life.party("operator"),
        term: details::term("2026-11-30T16:00:00Z", "2027-12-31T16:00:00Z"),
        cost: "100000".parse().unwrap(),
        profit_rate: details::decimal("0.06"),
        tax: "3000".parse().unwrap(),
        treasury_yield: details::decimal("0.0175"),
    };
    let recorded = life.world.done(&life.approver("price"), fix);
    life.note("revenue", created::<lingqu_domain::id::PermittedRevenueId>(&recorded));
    for (name, registration) in drafted {
        let certify = Command::CertifyRegistration { registration: life.id(registration) };
        life.world.done(&life.approver("registrar"), certify);
        let (product, ceiling) = (life.id(name), details::ceiling(life));
        life.world.done(&life.approver("implementer"), Command::SetCeiling { product, ceiling });
        let price = Command::SetPrice { product: life.id(name), price: details::price() };
        life.world.done(&life.approver("operator"), price);
        let list = Command::ListProduct { product: life.id(name) };
        offer(life, &life.approver("operator"), list);
    }
}

/// A product with random output columns over its inputs, honestly described.
fn product(dice: &mut Dice, life: &Life, template: ProductDetails) -> Option<ProductDetails> {
    let inputs = chain::input_scopes(&mut reader(life), &template).ok()?;
    let mut sources = Vec::new();
    for (resource, scope) in &inputs {
        for column in scope.columns.keys() {
            sources.push(SourceColumn { resource: resource.clone(), column: column.clone() });
        }
    }
    if sources.is_empty() {
        return None;
    }
    let mut shape = ProductShape {
        columns: template.shape.columns[..1].to_vec(),
        by_person: template.shape.by_person,
        ..ProductShape::default()
    };
    for number in 0..=dice.below(6) {
        let mut lineage = BTreeSet::from([dice.one_of(&sources)]);
        if dice.once_in(3) {
            lineage.insert(dice.one_of(&sources));
        }
        let computed = lineage.len() > 1 || dice.once_in(4);
        let name = details::name(&format!("output_{number}"));
        shape.columns.push(ProductColumn { name, data_type: template.shape.columns[0].data_type, lineage, computed });
    }
    for source in &sources {
        let exact = inputs[&source.resource].columns[&source.column].in_mode(Mode::Compute) == Precision::Exact;
        if exact && dice.once_in(5) {
            shape.conditions.insert(source.clone());
        }
    }
    let mut made = ProductDetails { shape, dimensions: Vec::new(), narrowing: Narrowing::default(), ..template };
    let base = chain::product_base_scope(&mut reader(life), &made).ok()?;
    made.narrowing = fitting(dice, &base);
    Some(made)
}

fn orders(dice: &mut Dice, life: &mut Life) {
    for (name, product) in [("insurer's order", "punctuality"), ("platform's order", "driver check")] {
        let Ok(scope) = chain::product_scope(&mut reader(life), &life.id(product)) else { continue };
        let purposes = purposes_in(&scope);
        let modes: Vec<Mode> = scope.modes.iter().copied().filter(|mode| *mode != Mode::Compute).collect();
        if purposes.is_empty() || modes.is_empty() {
            continue;
        }
        let mut order = details::order(life.id(product), &dice.one_of(&purposes).0, &modes);
        let chosen = dice.some_of(&modes);
        if !chosen.is_empty() {
            order.modes = chosen;
        }
        order.term.from = order.term.from.max(scope.term.from);
        order.term.until = order.term.until.min(scope.term.until);
        let consumer = life.consumer_of(name);
        let command = Command::PlaceOrder { details: Box::new(order) };
        let Ok(recorded) = life.world.give(&consumer.handler, command) else { continue };
        let order: OrderId = created(&recorded);
        life.note(name, &order);
        let terms_digest = life.world.state.orders[&order].value.contract.terms_digest.clone();
        let sign = Command::SignContract { order, terms_digest };
        life.world.done(&consumer.approver, sign.clone());
        life.world.done(&life.approver("operator"), sign);
    }
}
