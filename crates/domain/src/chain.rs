//! The chain of rights from a resource to an order, walked link by link as of now.
//!
//! In the resource segment (resource › supply › plan › mandate › permit) a scope speaks of one source table's columns; in
//! the product segment (product › order) of the product's output columns. The bridge: an output column's ceiling is the
//! meet of the precisions in its lineage; purposes, term, modes, floor and consent are the meet over all inputs. Every
//! function answers the scope that is in force now, or the refusal that names the link that is not.

use std::collections::{BTreeMap, BTreeSet};

use crate::decide::Reader;
use crate::id::{MandateId, OrderId, PermitId, PlanId, ProductId, ResourceId, SupplyId};
use crate::mandate::MandateStage;
use crate::marking::{MarkLimits, Tolerance};
use crate::order::OrderStage;
use crate::permit::PermitStage;
use crate::plan::PlanStage;
use crate::product::{ProductColumn, ProductDetails};
use crate::refusal::{Refusal, RefusalCode};
use crate::resource::Openness;
use crate::scope::{Mode, Narrowing, Precision, Precisions, Scope, ScopeError};
use crate::state::Listed;
use crate::supply::SupplyStage;

fn not_in_force(id: impl std::fmt::Display, is: &str) -> Refusal {
    Refusal::new(RefusalCode::NotInForce, &id, format!("{id} 尚未生效（{is}）"), format!("{id} is not in force ({is})"))
}

fn suspended(id: impl std::fmt::Display, reason: &str) -> Refusal {
    Refusal::new(
        RefusalCode::GrantSuspended,
        &id,
        format!("{id} 已中止：{reason}"),
        format!("{id} is suspended: {reason}"),
    )
}

fn ended(id: impl std::fmt::Display, reason: &str) -> Refusal {
    Refusal::new(RefusalCode::GrantEnded, &id, format!("{id} 已终止：{reason}"), format!("{id} has ended: {reason}"))
}

fn in_term(scope: Scope, id: impl std::fmt::Display, reader: &Reader<'_>) -> Result<Scope, Refusal> {
    if reader.now < scope.term.from {
        return Err(not_in_force(id, &format!("from {}", scope.term.from)));
    }
    if reader.now >= scope.term.until {
        return Err(ended(id, &format!("its term ended at {}", scope.term.until)));
    }
    Ok(scope)
}

/// What a link keeps of its parent now. Refused when a row condition of the link names a column that the parent no
/// longer shows exact (another rulebook may have coarsened it since): kept, the condition would tell what is hidden;
/// dropped, it would widen the right.
fn restricted(parent: &Scope, narrowing: &Narrowing, id: impl std::fmt::Display) -> Result<Scope, Refusal> {
    for predicate in &narrowing.rows {
        if let Err(error) = parent.check_predicate(predicate) {
            return Err(Refusal::new(
                RefusalCode::NotInForce,
                &id,
                format!("{id} 的行条件不再成立，须按现行规则重新办理：{error}"),
                format!("{id} is not in force under the rules of today; apply anew: {error}"),
            ));
        }
    }
    Ok(parent.restrict(narrowing))
}

/// A resource's ceiling, while its certificate holds.
pub fn resource_scope(reader: &mut Reader<'_>, id: &ResourceId) -> Result<Scope, Refusal> {
    let resource = reader.resource(id)?;
    let ceiling = resource.ceiling(&reader.state.rulebook()).ok_or_else(|| not_in_force(id, resource.state()))?;
    in_term(ceiling, id, reader)
}

/// What the provider confirmed.
pub fn supply_scope(reader: &mut Reader<'_>, id: &SupplyId) -> Result<Scope, Refusal> {
    let supply = reader.supply(id)?;
    let narrowing = match &supply.stage {
        SupplyStage::Confirmed { narrowing, .. } => narrowing,
        SupplyStage::Withdrawn { reason, .. } => return Err(ended(id, reason)),
        SupplyStage::Requested { .. } | SupplyStage::Refused { .. } => return Err(not_in_force(id, supply.state())),
    };
    let scope = restricted(&resource_scope(reader, &supply.resource)?, narrowing, id)?;
    in_term(scope, id, reader)
}

/// One line of an approved plan. A plan that is drafted or submitted bounds nothing yet.
pub fn plan_scope(reader: &mut Reader<'_>, id: &PlanId, resource: &ResourceId) -> Result<Scope, Refusal> {
    let plan = reader.plan(id)?;
    if !matches!(plan.stage, PlanStage::Approved { .. }) {
        return Err(not_in_force(id, plan.state()));
    }
    let Some(item) = plan.details.items.get(resource) else {
        return Err(Refusal::new(
            RefusalCode::ScopeTooWide,
            resource,
            format!("{resource} 不在实施方案 {id} 的清单内"),
            format!("{resource} is not on the list of plan {id}"),
        ));
    };
    let narrowing = item.narrowing.within_term(plan.details.term);
    // The plan's term bounds what is authorised under it and may begin later than now.
    restricted(&supply_scope(reader, &item.supply)?, &narrowing, id)
}

/// One resource of a mandate.
pub fn mandate_scope(reader: &mut Reader<'_>, id: &MandateId, resource: &ResourceId) -> Result<Scope, Refusal> {
    let mandate = reader.mandate(id)?;
    match &mandate.stage {
        MandateStage::InForce => {}
        MandateStage::Suspended { reason, .. } => return Err(suspended(id, reason)),
        MandateStage::Revoked { reason, .. } => return Err(ended(id, reason)),
        MandateStage::Drafted | MandateStage::Approved => return Err(not_in_force(id, mandate.state())),
    }
    let Some(narrowing) = mandate.details.items.get(resource) else {
        return Err(Refusal::new(
            RefusalCode::ScopeTooWide,
            resource,
            format!("{resource} 不在授权 {id} 的范围内"),
            format!("{resource} is not covered by mandate {id}"),
        ));
    };
    let narrowing = narrowing.within_term(mandate.details.term);
    let scope = restricted(&plan_scope(reader, &mandate.details.plan, resource)?, &narrowing, id)?;
    in_term(scope, id, reader)
}

/// One resource of a permit.
pub fn permit_scope(reader: &mut Reader<'_>, id: &PermitId, resource: &ResourceId) -> Result<Scope, Refusal> {
    let permit = reader.permit(id)?;
    match &permit.stage {
        PermitStage::Approved { .. } => {}
        PermitStage::Suspended { reason, .. } => return Err(suspended(id, reason)),
        PermitStage::Applied | PermitStage::Refused { .. } => return Err(not_in_force(id, permit.state())),
    }
    let Some(mut narrowing) = permit.details.narrowing(resource) else {
        return Err(Refusal::new(
            RefusalCode::ScopeTooWide,
            resource,
            format!("{resource} 不在场景授权 {id} 的范围内"),
            format!("{resource} is not covered by permit {id}"),
        ));
    };
    if narrowing.modes.is_none() && reader.resource(resource)?.details.openness == Openness::Conditional {
        // Rows of a conditionally open resource leave only where the permit names the mode: a rulebook that allows more
        // modes since must not add one to it.
        narrowing.modes = Some(Mode::IN_DOMAIN.into());
    }
    let scope = restricted(&mandate_scope(reader, &permit.details.mandate, resource)?, &narrowing, id)?;
    in_term(scope, id, reader)
}

/// What each link above one resource of a permit keeps of it, from the supply down to the permit, by the link's id. Links that
/// are not in force are answered too: what was set while they were still binds what was given then.
pub fn narrowings<'a>(
    reader: &mut Reader<'a>,
    id: &PermitId,
    resource: &ResourceId,
) -> Result<Vec<(String, &'a Narrowing)>, Refusal> {
    let permit = reader.permit(id)?;
    let mandate = reader.mandate(&permit.details.mandate)?;
    let plan = reader.plan(&mandate.details.plan)?;
    let mut narrowings = Vec::new();
    if let Some(item) = plan.details.items.get(resource) {
        if let SupplyStage::Confirmed { narrowing, .. } = &reader.supply(&item.supply)?.stage {
            narrowings.push((item.supply.to_string(), narrowing));
        }
        narrowings.push((plan.id.to_string(), &item.narrowing));
    }
    let items = [(mandate.id.to_string(), &mandate.details.items), (permit.id.to_string(), &permit.details.items)];
    for (link, items) in items {
        narrowings.extend(items.get(resource).map(|narrowing| (link, narrowing)));
    }
    Ok(narrowings)
}

/// The scopes of a product's inputs, each by its own line of parents.
pub fn input_scopes(reader: &mut Reader<'_>, details: &ProductDetails) -> Result<BTreeMap<ResourceId, Scope>, Refusal> {
    let mut scopes = BTreeMap::new();
    for (resource, permit) in &details.inputs {
        scopes.insert(resource.clone(), permit_scope(reader, permit, resource)?);
    }
    Ok(scopes)
}

/// What a product may at most offer, before its own narrowing.
pub fn product_base_scope(reader: &mut Reader<'_>, details: &ProductDetails) -> Result<Scope, Refusal> {
    let inputs = input_scopes(reader, details)?;
    check_conditions(details, &inputs)?;
    let Some(first) = inputs.values().next() else {
        return Err(Refusal::invalid("inputs", "至少一项资源", "at least one resource"));
    };
    // Of two tables only the table-free parts are met: columns and rows speak of different things.
    let bare = |input: &Scope| {
        let marks = MarkLimits { tolerances: BTreeMap::new(), ..input.marks.clone() };
        Scope { columns: BTreeMap::new(), rows: BTreeSet::new(), marks, ..input.clone() }
    };
    let mut scope = bare(first);
    for input in inputs.values() {
        scope = scope.meet(&bare(input));
    }
    scope.modes.retain(|mode| conditions_are_exact(details, &inputs, *mode));
    for column in &details.shape.columns {
        scope.columns.insert(column.name.clone(), column_ceiling(column, &inputs));
        if let Some(tolerance) = column_tolerance(column, &inputs) {
            scope.marks.tolerances.insert(column.name.clone(), tolerance);
        }
    }
    Ok(scope)
}

/// Whether every column that decides which rows there are may be seen exactly in a mode. Where one may not, answers in that
/// mode would tell it by the rows they have, so the product does not offer the mode.
fn conditions_are_exact(details: &ProductDetails, inputs: &BTreeMap<ResourceId, Scope>, mode: Mode) -> bool {
    details.shape.conditions.iter().all(|source| {
        let precisions = inputs.get(&source.resource).and_then(|scope| scope.columns.get(&source.column));
        precisions.is_some_and(|precisions| precisions.in_mode(mode) == Precision::Exact)
    })
}

/// A column that decides which rows there are must be exact for in-domain computing, else the row set would be an
/// oracle for what the permit coarsened.
fn check_conditions(details: &ProductDetails, inputs: &BTreeMap<ResourceId, Scope>) -> Result<(), Refusal> {
    for source in &details.shape.conditions {
        let Some(scope) = inputs.get(&source.resource) else {
            return Err(Refusal::not_found(&source.resource));
        };
        let precision = scope.columns.get(&source.column).map(|precisions| precisions.in_mode(Mode::Compute));
        if precision != Some(Precision::Exact) {
            return Err(Refusal::from(ScopeError::PredicateColumnNotExact(source.column.clone())));
        }
    }
    Ok(())
}

/// Mode by mode the meet of the precisions in a column's lineage. A computed column of anything but exact values is
/// hidden: what is left of a coarsened value after computing with it can't be told.
fn column_ceiling(column: &ProductColumn, inputs: &BTreeMap<ResourceId, Scope>) -> Precisions {
    let mut ceiling = Precisions::all_of(&Mode::ALL, Precision::Exact);
    for source in &column.lineage {
        let of_source = inputs
            .get(&source.resource)
            .and_then(|scope| scope.columns.get(&source.column))
            .cloned()
            .unwrap_or_default();
        ceiling = ceiling.meet(&of_source);
    }
    if column.computed {
        ceiling.0.retain(|_, precision| *precision == Precision::Exact);
    }
    ceiling
}

/// What a column may be off by: what every column in its lineage may. A computed column is exact: by how much it would be off
/// can't be told.
fn column_tolerance(column: &ProductColumn, inputs: &BTreeMap<ResourceId, Scope>) -> Option<Tolerance> {
    if column.computed {
        return None;
    }
    let mut met: Option<Tolerance> = None;
    for source in &column.lineage {
        let of_source = inputs.get(&source.resource)?.marks.tolerances.get(&source.column)?;
        met = Some(match met {
            Some(before) => before.meet(of_source)?,
            None => of_source.clone(),
        });
    }
    met
}

/// What a product offers now. Delisting closes it to new orders only.
pub fn product_scope(reader: &mut Reader<'_>, id: &ProductId) -> Result<Scope, Refusal> {
    let product = reader.product(id)?;
    let base = product_base_scope(reader, &product.details)?;
    let scope = restricted(&base, &product.details.narrowing, id)?;
    in_term(scope, id, reader)
}

/// What an order's grant allows now.
pub fn order_scope(reader: &mut Reader<'_>, id: &OrderId) -> Result<Scope, Refusal> {
    let order = reader.order(id)?;
    match &order.stage {
        OrderStage::Active => {}
        OrderStage::Suspended { reason } => return Err(suspended(id, reason)),
        OrderStage::Ended { reason } => return Err(ended(id, reason)),
        OrderStage::Placed => return Err(not_in_force(id, order.state())),
    }
    let scope = product_scope(reader, &order.details.product)?.restrict(&order.details.narrowing());
    in_term(scope, id, reader)
}
