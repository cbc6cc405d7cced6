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
use crate::order::{OrderEvent, OrderStage};
use crate::party::Role;
use crate::refusal::Refusal;
use crate::state::Listed;

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
    /// The profile of the product's marking.
    pub profile: MarkProfile,
    /// To the key of positions: one for all orders of the product.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub positions: DigestPair,
    /// To the consumer's key: one for all its orders of the product.
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
    check_shared(deciding, &holder, &order.consumer, &order.details.product, commitments)?;
    let commitments = Box::new(commitments.clone());
    deciding.emit(id, Event::Order(OrderEvent::MarkKeysCommitted { holder, commitments }));
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
    for other in deciding.state.orders.values().map(|order| &order.value) {
        let Some(keys) = other.mark_keys.as_ref().filter(|_| other.details.product == *product) else { continue };
        let same_positions = keys.commitments.epoch != commitments.epoch
            || keys.commitments.positions == commitments.positions && keys.holder == *holder;
        let same_recipient = other.consumer != *consumer || keys.commitments.recipient == commitments.recipient;
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
