//! One consumer does not hold a marked and an exact right to the same data: beside the exact values the marks would show.

use std::collections::BTreeSet;

use super::Marking;
use crate::decide::Deciding;
use crate::id::{OrderId, PartyId, ResourceId};
use crate::order::{Order, OrderDetails, OrderStage};
use crate::product::{ProductDetails, SourceColumn};
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::Mode;

/// What a right to a product tells of source columns and of which rows there are.
struct Sight<'a> {
    /// Source columns whose values are marked.
    marked: BTreeSet<&'a SourceColumn>,
    /// Source columns that are shown or computed with as they are.
    exact: BTreeSet<&'a SourceColumn>,
    /// Resources of which rows are left out.
    sampled: BTreeSet<&'a ResourceId>,
    /// Resources of which every row is there.
    whole: BTreeSet<&'a ResourceId>,
}

impl<'a> Sight<'a> {
    fn of(product: &'a ProductDetails, modes: &BTreeSet<Mode>) -> Self {
        let marking = product.marking.as_ref().filter(|_| Marking::is_seen_by(modes));
        let changed = marking.map(Marking::columns).unwrap_or_default();
        let (mut marked, mut exact) = (BTreeSet::new(), BTreeSet::new());
        for column in &product.shape.columns {
            let side = if changed.contains(&column.name) { &mut marked } else { &mut exact };
            side.extend(&column.lineage);
        }
        exact.extend(&product.shape.conditions);
        let inputs: BTreeSet<&ResourceId> = product.inputs.keys().collect();
        let (sampled, whole) = match marking {
            Some(marking) if marking.omitted_per_million > 0 => (inputs, BTreeSet::new()),
            _ => (BTreeSet::new(), inputs),
        };
        Self { marked, exact, sampled, whole }
    }

    /// What one of the two has marked and the other exact.
    fn clash(&self, other: &Sight<'_>) -> Option<String> {
        let column = self.marked.intersection(&other.exact).chain(self.exact.intersection(&other.marked)).next();
        let rows = self.sampled.intersection(&other.whole).chain(self.whole.intersection(&other.sampled)).next();
        column.map(|source| format!("{}.{}", source.resource, source.column)).or_else(|| rows.map(ToString::to_string))
    }
}

/// Refuses an order that would give a consumer, or those tied to it, marked and exact values of one column. Error:
/// `marked_and_exact` with the order that is in the way.
pub(crate) fn check_consumer(
    deciding: &mut Deciding<'_>,
    consumer: &PartyId,
    product: &ProductDetails,
    details: &OrderDetails,
) -> Result<(), Refusal> {
    let state = deciding.state;
    if state.products.values().all(|product| product.value.details.marking.is_none()) {
        return Ok(());
    }
    let ours = Sight::of(product, &details.modes);
    // An order that is placed at the same time by another command is then a conflict.
    deciding.scan();
    for (id, other) in &state.orders {
        let other = &other.value;
        if !is_held(other, deciding.now) || !is_same_hand(deciding, consumer, &other.consumer)? {
            continue;
        }
        let Some(theirs) = state.products.get(&other.details.product) else { continue };
        if let Some(what) = ours.clash(&Sight::of(&theirs.value.details, &other.details.modes)) {
            return Err(in_the_way(id, &what));
        }
    }
    Ok(())
}

/// Whether an order is, or may still become, a right to data.
fn is_held(order: &Order, now: jiff::Timestamp) -> bool {
    !matches!(order.stage, OrderStage::Ended { .. }) && now < order.details.term.until
}

fn is_same_hand(deciding: &mut Deciding<'_>, one: &PartyId, other: &PartyId) -> Result<bool, Refusal> {
    Ok(one == other || deciding.party(one)?.is_tied_to(deciding.party(other)?))
}

fn in_the_way(order: &OrderId, what: &str) -> Refusal {
    Refusal::new(
        RefusalCode::MarkedAndExact,
        order,
        format!(
            "同一使用方（含其关联方）不得对 {what} 既持有带标记的又持有原值的使用授权；订单 {order} 与此冲突：请先终止该订单，或在同一订单内订购所需方式"
        ),
        format!(
            "one consumer (with those tied to it) does not hold {what} both marked and exact; order {order} is in the way: end it first, or order all modes in one order"
        ),
    )
}
