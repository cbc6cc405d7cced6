//! The keys that draw an order's marks, as the journal knows them: commitments, and who holds which half.
//!
//! A key is the exclusive or of two shares, one of the node's half and one of a half that a supervising party holds outside
//! the node. When the contract is in force that party gives its shares of the order's three keys; the journal gets a salted
//! commitment to each key, so the log binds the node to every code before the first delivery.

use lingqu_crypto::DigestPair;
use serde::{Deserialize, Serialize};

use super::Marking;
use crate::access::{Acting, Actor};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{OrderId, PartyId, ProductId};
use crate::order::{Order, OrderEvent, OrderStage};
use crate::party::Role;
use crate::refusal::Refusal;
use crate::state::{Listed, State};

/// Most times that a consumer's codes for one product are renewed: each is one more that innocents are counted by.
pub const CODE_EPOCH_MAX: u32 = 1_000;

/// Which ciphers draw marks and which digest derives their keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MarkProfile {
    /// AES-128 and SHA-256.
    #[serde(rename = "aes-sha256")]
    Aes,
    /// SM4 and SM3.
    #[serde(rename = "sm4-sm3")]
    Sm4,
}

/// Salted commitments to the three keys of an order: each a SHA-256 and an SM3 digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct KeyCommitments {
    /// Which replacement of the product's key of positions.
    pub epoch: u32,
    /// Which replacement of the consumer's code for the product and of its orders' codes; the first one is 0.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub code_epoch: u32,
    /// The profile of the product's marking.
    pub profile: MarkProfile,
    /// To the key of positions: one for all orders of the product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub positions: DigestPair,
    /// To the consumer's key: one for all its orders of the product, in one epoch.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub recipient: DigestPair,
    /// To the order's key.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub order: DigestPair,
}

/// The keys of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MarkKeys {
    /// Who holds the half that is not the node's.
    pub holder: PartyId,
    /// Who gave the shares.
    pub given_by: Actor,
    /// What was committed to.
    pub commitments: KeyCommitments,
}

pub(crate) fn give_shares(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &OrderId,
    commitments: &KeyCommitments,
) -> Result<(), Refusal> {
    let holder = acting.party()?.clone();
    let order = deciding.order(id)?;
    let product = deciding.product(&order.details.product)?;
    let marking = product.details.marking.as_ref().filter(|_| Marking::is_seen_by(&order.details.modes));
    let Some(marking) = marking else {
        return Err(Refusal::wrong_state(id, "without marks", "an order whose copies are marked"));
    };
    if commitments.profile != marking.profile {
        return Err(Refusal::invalid(
            "profile",
            "与产品的标记方案不一致",
            "this is not the profile of the product's marking",
        ));
    }
    if !matches!(order.stage, OrderStage::Active) || order.mark_keys.is_some() {
        return Err(Refusal::wrong_state(id, order.state(), "active and without keys"));
    }
    must_stand_apart(deciding, &holder, [&order.consumer, &order.operator])?;
    deciding.scan();
    if commitments.code_epoch != code_epoch(deciding.state, &order.consumer, &order.details.product) {
        return Err(Refusal::invalid(
            "code_epoch",
            "该使用方的密钥已更换，请重新取得请求",
            "the consumer's codes were renewed; fetch the request again",
        ));
    }
    check_shared(deciding, &holder, &order.consumer, &order.details.product, commitments)?;
    let commitments = Box::new(commitments.clone());
    deciding.emit(id, Event::Order(OrderEvent::MarkKeysCommitted { holder, commitments }));
    Ok(())
}

/// Which codes a consumer's next keys for a product are of: the last epoch that any of its orders of the product is in.
pub fn code_epoch(state: &State, consumer: &PartyId, product: &ProductId) -> u32 {
    let orders = state.orders.values().map(|order| &order.value);
    let own = orders.filter(|order| order.consumer == *consumer && order.details.product == *product);
    own.map(|order| order.code_epoch).max().unwrap_or_default()
}

/// Ends the codes of an order's consumer for the product: of this order, and of all others that may still deliver. From here on
/// nothing marked by them leaves; the half-holder's next shares are for the next epoch. Where marks lie stays the same, so a
/// copy from before and one from after are to each other as the copies of two recipients.
pub(crate) fn renew_keys(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &OrderId,
    reason: &str,
) -> Result<(), Refusal> {
    let reason = deciding.text("reason", reason)?;
    let order = deciding.order(id)?;
    let Some(keys) = order.mark_keys.as_ref() else {
        return Err(Refusal::wrong_state(id, order.state(), "one with keys that were committed to"));
    };
    if *acting.party()? != keys.holder {
        return Err(Refusal::not_permitted(
            id,
            "更换密钥须由持有另一半密钥的机构办理",
            "keys are renewed by the party that holds their other half",
        ));
    }
    // An order of the same consumer that gets its first keys meanwhile is a conflict.
    deciding.scan();
    let next = code_epoch(deciding.state, &order.consumer, &order.details.product) + 1;
    if next > CODE_EPOCH_MAX {
        return Err(Refusal::invalid(
            "order",
            format!("同一使用方对同一产品的密钥至多更换 {CODE_EPOCH_MAX} 次；请另立产品"),
            format!(
                "a consumer's codes for a product are renewed {CODE_EPOCH_MAX} times at most; draft another product"
            ),
        ));
    }
    let is_to_renew = |other: &Order| {
        other.consumer == order.consumer
            && other.details.product == order.details.product
            && other.mark_keys.is_some()
            && (other.id == *id || !matches!(other.stage, OrderStage::Ended { .. }))
    };
    let orders = deciding.state.orders.values().map(|order| &order.value);
    let renewed: Vec<OrderId> = orders.filter(|other| is_to_renew(other)).map(|other| other.id.clone()).collect();
    for other in renewed {
        let event = OrderEvent::MarkKeysRenewed { code_epoch: next, reason: reason.clone() };
        deciding.emit(&other, Event::Order(event));
    }
    Ok(())
}

/// Who holds a half has nothing to win by a false accusation and does not run the node.
fn must_stand_apart(deciding: &mut Deciding<'_>, holder: &PartyId, sides: [&PartyId; 2]) -> Result<(), Refusal> {
    let party = deciding.party(holder)?;
    let mut is_apart = !party.roles.contains(&Role::DataAuthority);
    for side in sides {
        is_apart &= !party.is_tied_to(deciding.party(side)?);
    }
    if is_apart {
        return Ok(());
    }
    Err(Refusal::not_permitted(
        holder,
        "密钥的另一半须由与本订单双方无关联且不运行节点的机构持有",
        "the other half of the keys is held by a party that is tied to neither side of the order and does not run the node",
    ))
}

/// The key of positions is one for the product, a consumer's one for the consumer and product: who would give others has
/// another half.
fn check_shared(
    deciding: &mut Deciding<'_>,
    holder: &PartyId,
    consumer: &PartyId,
    product: &ProductId,
    commitments: &KeyCommitments,
) -> Result<(), Refusal> {
    deciding.scan();
    let of_product = deciding.state.orders.values().map(|order| &order.value);
    let of_product = of_product.filter(|other| other.details.product == *product);
    for (other, keys) in of_product.flat_map(|other| other.all_mark_keys().map(move |keys| (other, keys))) {
        let same_positions = keys.commitments.epoch != commitments.epoch
            || keys.commitments.positions == commitments.positions && keys.holder == *holder;
        let same_recipient = other.consumer != *consumer
            || keys.commitments.code_epoch != commitments.code_epoch
            || keys.commitments.recipient == commitments.recipient;
        if !same_positions || !same_recipient {
            return Err(Refusal::invalid(
                "shares",
                format!("与订单 {} 的密钥承诺不一致：须由同一机构以同一半密钥给出", other.id),
                format!(
                    "these don't agree with the keys of order {}: the same party gives them from the same half",
                    other.id
                ),
            ));
        }
    }
    Ok(())
}
