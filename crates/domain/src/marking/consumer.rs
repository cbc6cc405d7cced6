//! One consumer does not hold two rights to the same data whose marks would give each other away: one marked and one exact, or two
//! that are marked by different keys.

use std::collections::BTreeSet;

use super::{Marking, chosen};
use crate::decide::{Deciding, Reader};
use crate::id::{OrderId, PartyId, ResourceId};
use crate::order::{Order, OrderDetails, OrderStage};
use crate::product::{ProductDetails, SourceColumn};
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::Mode;

/// What a right to a product tells of source columns and of which rows there are.
struct Sight {
    /// Source columns whose values are marked.
    marked: BTreeSet<SourceColumn>,
    /// Source columns that are shown or computed with as they are, or decide which rows there are.
    exact: BTreeSet<SourceColumn>,
    /// Resources of which rows are left out, or decoys stand among them.
    sampled: BTreeSet<ResourceId>,
    /// Resources of which every row is there and no other.
    whole: BTreeSet<ResourceId>,
}

/// How two sights give the marks of one of them away.
enum Clash {
    /// One shows marked what the other shows exact.
    Exact(String),
    /// Both mark it, each by the positions of its own product.
    Twice(String),
}

impl Sight {
    fn of(reader: &mut Reader<'_>, product: &ProductDetails, modes: &BTreeSet<Mode>) -> Result<Self, Refusal> {
        let marking = product.marking.as_ref().filter(|_| Marking::is_seen_by(modes));
        let changed = marking.map(Marking::columns).unwrap_or_default();
        let (mut marked, mut exact) = (BTreeSet::new(), chosen::conditions(reader, product)?);
        for column in &product.shape.columns {
            let side = if changed.contains(&column.name) { &mut marked } else { &mut exact };
            side.extend(column.lineage.iter().cloned());
        }
        let inputs: BTreeSet<ResourceId> = product.inputs.keys().cloned().collect();
        let (sampled, whole) = match marking {
            Some(marking) if marking.omitted_per_million > 0 || marking.decoys_per_million > 0 => {
                (inputs, BTreeSet::new())
            }
            _ => (BTreeSet::new(), inputs),
        };
        Ok(Self { marked, exact, sampled, whole })
    }

    /// What one of the two has marked and the other exact.
    fn clash(&self, other: &Sight) -> Option<Clash> {
        let column = self.marked.intersection(&other.exact).chain(self.exact.intersection(&other.marked)).next();
        let rows = self.sampled.intersection(&other.whole).chain(self.whole.intersection(&other.sampled)).next();
        column.map(named).or_else(|| rows.map(ToString::to_string)).map(Clash::Exact)
    }

    /// What both have marked. Another product has another key of positions: where the copy of one is marked, that of the other
    /// mostly shows the original, so that the two beside each other tell where both are marked.
    fn clash_of_products(&self, other: &Sight) -> Option<Clash> {
        let column = self.marked.intersection(&other.marked).next().map(named);
        let rows = self.sampled.intersection(&other.sampled).next().map(ToString::to_string);
        column.or(rows).map(Clash::Twice)
    }
}

fn named(source: &SourceColumn) -> String {
    format!("{}.{}", source.resource, source.column)
}

/// Refuses an order that would give a consumer, or those tied to it, marked and exact values of one column, or values of one
/// column that two products mark. Error: `marked_and_exact` with the order that is in the way.
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
    let ours = Sight::of(deciding, product, &details.modes)?;
    // An order that is placed at the same time by another command is then a conflict.
    deciding.scan();
    for (id, other) in &state.orders {
        let other = &other.value;
        if !is_held(other, deciding.now) || !is_same_hand(deciding, consumer, &other.consumer)? {
            continue;
        }
        let Some(theirs) = state.products.get(&other.details.product) else { continue };
        let theirs = Sight::of(deciding, &theirs.value.details, &other.details.modes)?;
        let mut clash = ours.clash(&theirs);
        if clash.is_none() && other.details.product != details.product {
            clash = ours.clash_of_products(&theirs);
        }
        if let Some(clash) = clash {
            return Err(in_the_way(id, &clash));
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

fn in_the_way(order: &OrderId, clash: &Clash) -> Refusal {
    let (zh, en) = match clash {
        Clash::Exact(what) => (
            format!(
                "同一使用方（含其关联方）不得对 {what} 既持有带标记的又持有原值的使用授权；订单 {order} 与此冲突：请先终止该订单，或在同一订单内订购所需方式"
            ),
            format!(
                "one consumer (with those tied to it) does not hold {what} both marked and exact; order {order} is in the way: end it first, or order all modes in one order"
            ),
        ),
        Clash::Twice(what) => (
            format!(
                "同一使用方（含其关联方）不得持有两个产品对 {what} 的不同标记，两份副本对照即可去除标记；订单 {order} 与此冲突：请先终止该订单，或订购同一产品"
            ),
            format!(
                "one consumer (with those tied to it) does not hold {what} marked twice, by two products: the copies side by side tell the marks; order {order} is in the way: end it first, or order the same product"
            ),
        ),
    };
    Refusal::new(RefusalCode::MarkedAndExact, order, zh, en)
}
