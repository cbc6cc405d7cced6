//! What must hold after every accepted command.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::grant::Grant;
use lingqu_domain::mandate::MandateStage;
use lingqu_domain::order::{Order, OrderStage};
use lingqu_domain::permit::PermitStage;
use lingqu_domain::plan::PlanStage;
use lingqu_domain::product::{Product, ProductStage};
use lingqu_domain::resource::Openness;
use lingqu_domain::scope::{Mode, Narrowing, Precision, Scope};
use lingqu_domain::settlement::Settlement;
use lingqu_domain::state::State;
use lingqu_domain::supply::SupplyStage;
use lingqu_ledger::{Account, AccountCode, Fen, Ledger};

use crate::life::{Life, STEPS};
use crate::world::World;

/// How many grants and settlements were looked at: a run that saw none has shown nothing.
#[derive(Debug, Default, Clone, Copy)]
pub struct Seen {
    pub grants: u64,
    /// Of these, grants whose scope is none of the plain life's.
    pub other_scopes: u64,
    pub settlements: u64,
    pub reversals: u64,
    /// Settled windows that were charged less than they read.
    pub corrected: u64,
    pub accepted: u64,
    pub refused: u64,
}

/// Power: every right in force lies within the rights above it, and every link of it is in force.
pub fn power_only_narrows(world: &World, seen: &mut Seen) {
    let (state, now) = (&world.state, world.now);
    for permit in state.permits.values().map(|permit| &permit.value) {
        for resource in permit.details.items.keys() {
            let mut reader = Reader::new(state, now);
            let Ok(scope) = chain::permit_scope(&mut reader, &permit.id, resource) else { continue };
            let mandate = chain::mandate_scope(&mut reader, &permit.details.mandate, resource).unwrap();
            within(&scope, &mandate, "permit in mandate");
            let plan_id = &state.mandates[&permit.details.mandate].value.details.plan;
            let plan = chain::plan_scope(&mut reader, plan_id, resource).unwrap();
            within(&mandate, &plan, "mandate in plan");
            let supply_id = &state.plans[plan_id].value.details.items[resource].supply;
            let supply = chain::supply_scope(&mut reader, supply_id).unwrap();
            within(&plan, &supply, "plan in supply");
            let ceiling = chain::resource_scope(&mut reader, resource).unwrap();
            within(&supply, &ceiling, "supply in the resource's ceiling");
            let SupplyStage::Confirmed { narrowing, .. } = &state.supplies[supply_id].value.stage else {
                panic!("in force")
            };
            as_written(&supply, narrowing, "supply");
            as_written(&plan, &state.plans[plan_id].value.details.items[resource].narrowing, "plan");
            assert!(plan.term.is_within(&state.plans[plan_id].value.details.term));
            let mandate_details = &state.mandates[&permit.details.mandate].value.details;
            as_written(&mandate, &mandate_details.items[resource], "mandate");
            assert!(mandate.term.is_within(&mandate_details.term));
            as_written(&scope, &permit.details.items[resource], "permit");
            for purpose in &scope.purposes {
                assert!(
                    permit.details.purposes.iter().any(|allowed| purpose.is_within(allowed)),
                    "purposes of the permit"
                );
            }
            let named = permit.details.items[resource].modes.is_some();
            let openness = state.resources[resource].value.details.openness;
            if openness == Openness::NotOpen || (openness == Openness::Conditional && !named) {
                assert!(scope.modes.iter().all(|mode| Mode::IN_DOMAIN.contains(mode)), "rows stay in the domain");
            }
        }
    }
    for order in state.orders.values().map(|order| &order.value) {
        if let Ok(grant) = Grant::of(state, &order.id, now) {
            seen.grants += 1;
            seen.other_scopes += u64::from(is_other(&grant));
            grant_is_covered(state, order, &grant, now);
        }
    }
}

fn is_other(grant: &Grant) -> bool {
    let plain = Life::after(STEPS.len() - 1);
    ["insurer's order", "platform's order"].iter().all(|order| plain.grant(order).unwrap().scope != grant.scope)
}

fn within(child: &Scope, parent: &Scope, link: &str) {
    assert!(child.is_within(parent), "{link}: {child:#?}\nis not within {parent:#?}");
}

/// A right is no wider than its own document says, whatever its parent allows.
fn as_written(scope: &Scope, narrowing: &Narrowing, link: &str) {
    if let Some(named) = &narrowing.columns {
        for (column, own) in &scope.columns {
            let asked = named.get(column).unwrap_or_else(|| panic!("{link}: {column} is not named"));
            for mode in Mode::ALL {
                let allowed = asked.as_ref().map_or(Precision::Exact, |asked| asked.in_mode(mode));
                assert!(own.in_mode(mode).is_within(allowed), "{link}: {column} in {mode:?}");
            }
        }
    }
    assert!(narrowing.rows.iter().all(|row| scope.rows.contains(row)), "{link}: a row condition is lost");
    if let Some(named) = &narrowing.purposes {
        assert!(scope.purposes.iter().all(|own| named.iter().any(|asked| own.is_within(asked))), "{link}: purposes");
    }
    assert!(narrowing.modes.as_ref().is_none_or(|named| scope.modes.is_subset(named)), "{link}: modes");
    assert!(narrowing.term.is_none_or(|term| scope.term.is_within(&term)), "{link}: term");
    assert!(narrowing.cohort_floor.is_none_or(|floor| scope.cohort_floor >= floor), "{link}: floor");
    assert!(scope.consent_required || narrowing.consent_required != Some(true), "{link}: consent");
}

fn grant_is_covered(state: &State, order: &Order, grant: &Grant, now: Timestamp) {
    let product = &state.products[&order.details.product].value;
    let mut reader = Reader::new(state, now);
    let base = chain::product_base_scope(&mut reader, &product.details).unwrap();
    let offered = chain::product_scope(&mut reader, &product.id).unwrap();
    within(&offered, &base, "product in its base");
    within(&grant.scope, &offered, "grant in product");
    as_written(&offered, &product.details.narrowing, "product");
    as_written(&grant.scope, &order.details.narrowing(), "order");

    // Told again without the chain's functions: each link is in force now.
    assert!(matches!(order.stage, OrderStage::Active));
    assert_eq!(order.contract.signatures.len(), 2);
    assert!(!matches!(product.stage, ProductStage::Drafted | ProductStage::Reviewed { .. }), "never listed");
    assert!(grant.scope.term.covers(now) && order.details.term.covers(now));
    assert!(grant.scope.modes.is_subset(&order.details.modes));
    assert!(grant.scope.purposes.iter().all(|purpose| purpose.is_within(&order.details.purpose)));
    for (resource, input) in &grant.inputs {
        let permit = &state.permits[&input.permit].value;
        assert!(matches!(permit.stage, PermitStage::Approved { .. }));
        let mandate = &state.mandates[&permit.details.mandate].value;
        assert!(matches!(mandate.stage, MandateStage::InForce) && mandate.signatures.len() == 2);
        assert!(mandate.details.term.covers(now));
        let plan = &state.plans[&mandate.details.plan].value;
        assert!(matches!(plan.stage, PlanStage::Approved { .. }));
        let supply = &state.supplies[&plan.details.items[resource].supply].value;
        assert!(matches!(supply.stage, SupplyStage::Confirmed { .. }) && supply.resource == *resource);
        let certificate = state.resources[resource].value.certificate.as_ref().unwrap();
        assert!(certificate.issued_at <= now && now < certificate.valid_until);
        // The parts that belong to no table are bounded by every input.
        let scope = &input.scope;
        assert!(grant.scope.modes.is_subset(&scope.modes));
        assert!(grant.scope.term.is_within(&scope.term));
        assert!(grant.scope.cohort_floor >= scope.cohort_floor);
        assert!(grant.scope.consent_required || !scope.consent_required);
        for purpose in &grant.scope.purposes {
            assert!(scope.allows_purpose(purpose), "{purpose:?} is not a purpose of {resource}");
        }
    }
    columns_are_covered(product, grant);
}

/// No output column tells more, in any mode, than each column it was computed from.
fn columns_are_covered(product: &Product, grant: &Grant) {
    for (name, precisions) in &grant.scope.columns {
        let column = product.details.shape.columns.iter().find(|column| column.name == *name).unwrap();
        for mode in Mode::ALL {
            let shown = precisions.in_mode(mode);
            for source in &column.lineage {
                let scope = &grant.inputs[&source.resource].scope;
                let allowed = scope.columns.get(&source.column).map_or(Precision::Hidden, |own| own.in_mode(mode));
                assert!(shown.is_within(allowed), "{name} is {shown} in {mode:?}, its source {allowed}");
                assert!(!column.computed || shown == Precision::Hidden || allowed == Precision::Exact);
            }
        }
    }
    for source in &product.details.shape.conditions {
        let own = &grant.inputs[&source.resource].scope.columns[&source.column];
        assert_eq!(own.in_mode(Mode::Compute), Precision::Exact, "a condition on a coarsened column is an oracle");
    }
}

/// Money: each owner's books balance, each fee is divided without a rest, each window is charged once.
pub fn money_is_conserved(world: &World, seen: &mut Seen) {
    let state = &world.state;
    let mut ledger = Ledger::new();
    let mut charged = BTreeMap::new();
    let mut outstanding: BTreeMap<String, Fen> = BTreeMap::new();
    let mut earned: BTreeMap<_, Fen> = BTreeMap::new();
    for settlement in state.settlements.values().map(|settlement| &settlement.value) {
        seen.settlements += 1;
        for transaction in &settlement.transactions {
            ledger.apply(transaction).unwrap();
        }
        let summary = &settlement.summary;
        let parts = [summary.operators, summary.treasuries, summary.providers];
        assert_eq!(Fen::checked_sum(parts).unwrap(), summary.fees);
        assert_eq!(Fen::checked_sum(summary.by_party.values().copied()).unwrap(), summary.fees);
        assert_eq!(Fen::checked_sum(settlement.lines.iter().map(|line| line.fee)).unwrap(), summary.fees);
        assert_eq!(Fen::checked_sum(settlement.due.values().copied()).unwrap(), summary.treasuries);
        if settlement.reversal.is_some() {
            seen.reversals += 1;
            is_undone(settlement);
            continue;
        }
        if let Some(revenue) = &settlement.permitted_revenue {
            let entry = earned.entry(revenue.clone()).or_default();
            *entry = entry.checked_add(summary.operators).unwrap();
        }
        for (treasury, due) in &settlement.due {
            let paid = settlement.paid_in.get(treasury).copied().unwrap_or(Fen::ZERO);
            assert!(Fen::ZERO <= paid && paid <= *due, "{paid} paid of {due}");
            let entry = outstanding.entry(settlement.operator.to_string()).or_default();
            *entry = entry.checked_add(settlement.outstanding(treasury)).unwrap();
        }
        for line in &settlement.lines {
            let (mut calls, mut data_sets) = (0, 0);
            for id in &line.meters {
                let meter = &state.meters[id].value;
                assert_eq!(meter.settlement.as_ref(), Some(&settlement.id));
                assert_eq!(meter.reading.order, line.order);
                assert!(charged.insert(id.clone(), settlement.id.clone()).is_none(), "{id} is charged twice");
                let charged = meter.charged();
                assert!(charged.0 <= meter.reading.calls && charged.1 <= meter.reading.data_sets, "more than was read");
                seen.corrected += u64::from(meter.correction.is_some());
                calls += charged.0;
                data_sets += charged.1;
            }
            assert_eq!((calls, data_sets), (line.calls, line.data_sets));
        }
    }
    let settled = state.meters.values().filter(|meter| meter.value.settlement.is_some()).count();
    assert_eq!(settled, charged.len());

    let all = ledger.trial_balance(None).unwrap();
    assert!(all.is_balanced());
    for row in &all.rows {
        assert!(ledger.trial_balance(Some(&row.account.owner)).unwrap().is_balanced(), "{}", row.account.owner);
    }
    // What the books of an operator owe the treasury is what its settlements say is outstanding.
    for (operator, amount) in outstanding {
        assert_eq!(ledger.balance(&Account::new(&operator, AccountCode::FiscalRevenuePayable)), amount);
    }
    for revenue in state.permitted_revenues.values() {
        assert_eq!(revenue.value.earned, earned.get(&revenue.value.id).copied().unwrap_or_default());
    }
}

/// Of a reversed settlement nothing is left in anybody's books, and nothing is due.
fn is_undone(settlement: &Settlement) {
    let mut books = Ledger::new();
    for transaction in &settlement.transactions {
        books.apply(transaction).unwrap();
    }
    assert!(books.trial_balance(None).unwrap().rows.iter().all(|row| row.balance == Fen::ZERO), "not undone");
    assert!(settlement.due.keys().all(|treasury| settlement.outstanding(treasury) == Fen::ZERO));
    assert!(settlement.vouchers.is_empty() && settlement.paid_in.is_empty());
}

/// Metering windows of one order never overlap, so no receipt is charged twice.
pub fn windows_are_apart(world: &World) {
    let mut by_order: BTreeMap<_, Vec<(u64, u64)>> = BTreeMap::new();
    for meter in world.state.meters.values().map(|meter| &meter.value.reading) {
        by_order.entry(meter.order.clone()).or_default().push((meter.first_position, meter.end_position));
    }
    for windows in by_order.values_mut() {
        windows.sort_unstable();
        assert!(windows.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{windows:?}");
    }
}
