//! The keys of an order's marks: the node's half is derived from its secret, the other half's shares come from the auditor.

use std::collections::BTreeSet;

use lingqu_crypto::{DigestPair, Salt};
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_domain::marking::{KeyCommitments, MarkKeys, MarkProfile, Marking, code_epoch};
use lingqu_domain::order::Order;
use lingqu_domain::product::Product;
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::state::State;
use lingqu_fingerprint::{Commitment, HalfKey, KeyShare, KeyUse, Opening, Profile};
use lingqu_store::mark_share::MarkShare;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::keys::{NodeKeys, random};

/// The epoch of keys of positions: one for a product. Copies of one consumer by two of them would tell each other's marks, so after
/// a case that disclosed it the product is drafted anew.
const EPOCH: u32 = 0;
/// Bytes of a share.
const SHARE_BYTES: usize = 32;

/// What the node asks of the half-holder for one order: whose keys, and for what. It holds no secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRequest {
    /// The order.
    pub order: OrderId,
    /// Its product: the table that is marked.
    pub product: ProductId,
    /// Its consumer: the recipient.
    pub consumer: PartyId,
    /// Which replacement of the key of positions.
    pub epoch: u32,
    /// Which replacement of the consumer's code and of its orders' codes; the first one is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code_epoch: u32,
    /// The profile of the product's marking.
    pub profile: MarkProfile,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// What the half-holder gives for one order: its shares of the three keys, hexadecimal, of 32 bytes each. Secret; `Debug` shows
/// none of them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyShares {
    /// What was asked.
    pub request: KeyRequest,
    /// Of the key of positions.
    pub positions: String,
    /// Of the consumer's key.
    pub recipient: String,
    /// Of the order's key.
    pub order: String,
}

impl std::fmt::Debug for KeyShares {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("KeyShares").field("request", &self.request).finish_non_exhaustive()
    }
}

impl Drop for KeyShares {
    fn drop(&mut self) {
        self.positions.zeroize();
        self.recipient.zeroize();
        self.order.zeroize();
    }
}

impl KeyRequest {
    /// What is asked for an order's keys of an epoch of its consumer's code.
    fn of(order: &Order, profile: MarkProfile, code_epoch: u32) -> Self {
        Self {
            order: order.id.clone(),
            product: order.details.product.clone(),
            consumer: order.consumer.clone(),
            epoch: EPOCH,
            code_epoch,
            profile,
        }
    }

    /// What was asked for keys that were committed to.
    pub(super) fn committed(order: &Order, commitments: &KeyCommitments) -> Self {
        let KeyCommitments { epoch, code_epoch, profile, .. } = commitments;
        Self { epoch: *epoch, ..Self::of(order, *profile, *code_epoch) }
    }

    /// The shares of a half for what is asked: the half-holder's part, done where its half lies.
    pub(super) fn answer(self, half: &HalfKey) -> KeyShares {
        let profile = profile_of(self.profile);
        let [positions, recipient, order] =
            self.uses().map(|key_use| hex::encode(half.share(profile, &key_use.as_use()).as_bytes()));
        KeyShares { request: self, positions, recipient, order }
    }

    /// The uses of the three keys: positions, recipient, order.
    pub(super) fn uses(&self) -> [OwnedUse; 3] {
        let table = self.product.to_string();
        [
            OwnedUse::Positions { table: table.clone(), epoch: self.epoch },
            OwnedUse::Recipient { table: table.clone(), recipient: self.consumer.to_string(), epoch: self.code_epoch },
            OwnedUse::Order { table, order: self.order.to_string(), epoch: self.code_epoch },
        ]
    }
}

/// What a key is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnedUse {
    Positions { table: String, epoch: u32 },
    Recipient { table: String, recipient: String, epoch: u32 },
    Order { table: String, order: String, epoch: u32 },
}

impl OwnedUse {
    pub(super) fn as_use(&self) -> KeyUse<'_> {
        match self {
            OwnedUse::Positions { table, epoch } => KeyUse::Positions { table, epoch: *epoch },
            OwnedUse::Recipient { table, recipient, epoch } => KeyUse::recipient(table, recipient, *epoch),
            OwnedUse::Order { table, order, epoch } => KeyUse::order(table, order, *epoch),
        }
    }

    /// The use under a profile as the store names it. Ids hold no slash.
    pub(crate) fn name(&self, profile: MarkProfile) -> String {
        let profile = profile_of(profile).name();
        // The names of the first epoch are from before there were others.
        let renewed = |name: String, epoch: u32| if epoch == 0 { name } else { format!("{name}/{epoch}") };
        match self {
            OwnedUse::Positions { table, epoch } => format!("{profile}/positions/{table}/{epoch}"),
            OwnedUse::Recipient { table, recipient, epoch } => {
                renewed(format!("{profile}/recipient/{table}/{recipient}"), *epoch)
            }
            OwnedUse::Order { table, order, epoch } => renewed(format!("{profile}/order/{table}/{order}"), *epoch),
        }
    }
}

/// The profile as the room that draws marks names it.
fn profile_of(profile: MarkProfile) -> Profile {
    match profile {
        MarkProfile::Aes => Profile::Aes,
        MarkProfile::Sm4 => Profile::Sm4,
    }
}

/// The keys of one order with the salts of their commitments.
pub(super) struct OrderKeys {
    pub(super) positions: Opening,
    pub(super) recipient: Opening,
    pub(super) order: Opening,
}

impl OrderKeys {
    fn of(keys: &NodeKeys, request: &KeyRequest, shares: [KeyShare; 3]) -> Self {
        let [first, second, third] = request.uses();
        let [positions, recipient, order] = shares;
        Self {
            positions: opening(keys, request.profile, &first, &positions),
            recipient: opening(keys, request.profile, &second, &recipient),
            order: opening(keys, request.profile, &third, &order),
        }
    }

    pub(super) fn commitments(&self, request: &KeyRequest) -> KeyCommitments {
        let [positions, recipient, order] = request.uses();
        let commit =
            |opening: &Opening, key_use: &OwnedUse| Commitment::of(&opening.key, &key_use.as_use(), &opening.salt).0;
        KeyCommitments {
            epoch: request.epoch,
            code_epoch: request.code_epoch,
            profile: request.profile,
            positions: commit(&self.positions, &positions),
            recipient: commit(&self.recipient, &recipient),
            order: commit(&self.order, &order),
        }
    }
}

/// A key from both shares. Its salt is drawn by a keyed function from its use, so the same key has the same commitment in every
/// order, and nobody without the node's secret can tell one from another.
fn opening(keys: &NodeKeys, profile: MarkProfile, key_use: &OwnedUse, other: &KeyShare) -> Opening {
    let share = keys.mark_half.share(profile_of(profile), &key_use.as_use());
    let digest = keys.mark_salt.digest("lingqu mark commitment v1", key_use.name(profile).as_bytes()).0;
    let mut salt = [0; 16];
    salt.copy_from_slice(&digest[..16]);
    Opening { key: share.combine(other, profile_of(profile)), salt: Salt(salt) }
}

fn share_of(field: &'static str, text: &str) -> Result<KeyShare, Refusal> {
    let mut bytes = Zeroizing::new([0; SHARE_BYTES]);
    hex::decode_to_slice(text, &mut bytes[..]).map_err(|_| {
        Refusal::invalid(
            field,
            "须为 64 位十六进制，由 lingqu regulator share 生成",
            "this is 64 hexadecimal digits, as `lingqu regulator share` writes them",
        )
    })?;
    Ok(KeyShare::from_bytes(*bytes))
}

/// What a sealed share is bound to, so that it can't be moved to another use.
fn seal_context(key_use: &str) -> String {
    format!("lingqu mark share\n{key_use}")
}

/// What is asked of the half-holder for an order: what it answered already, else for keys of the epoch that its consumer's code
/// is in now. None where its copies are exact.
pub(super) fn request_of(state: &State, id: &OrderId) -> Result<Option<KeyRequest>, Refusal> {
    let order = &state.orders.get(id).ok_or_else(|| Refusal::not_found(id))?.value;
    let marking = product_of(state, order)?.details.marking.as_ref();
    let Some(marking) = marking.filter(|_| Marking::is_seen_by(&order.details.modes)) else { return Ok(None) };
    Ok(Some(match &order.mark_keys {
        Some(keys) => KeyRequest::committed(order, &keys.commitments),
        None => {
            let epoch = code_epoch(state, &order.consumer, &order.details.product);
            KeyRequest::of(order, marking.profile, epoch)
        }
    }))
}

fn product_of<'s>(state: &'s State, order: &Order) -> Result<&'s Product, Refusal> {
    let product = state.products.get(&order.details.product);
    product.map(|product| &product.value).ok_or_else(|| Refusal::not_found(&order.details.product))
}

pub(super) fn missing(order: &OrderId) -> Refusal {
    Refusal::new(
        RefusalCode::MarkKeysMissing,
        order,
        format!(
            "订单 {order} 的数据须加水印，审计机构尚未给出该订单的密钥份额；请审计机构用 lingqu regulator share 生成并提交"
        ),
        format!(
            "copies of {order} are marked and the auditor has not given its shares of the order's keys yet; the auditor makes them with `lingqu regulator share` and hands them in"
        ),
    )
}

impl App {
    /// What the node asks of the half-holder for an order. Errors: `not_found`; `wrong_state` where copies of the order are
    /// exact.
    pub fn key_request(&self, order: &OrderId) -> Result<KeyRequest, AppError> {
        let request = self.read(|state| request_of(state, order))?;
        Ok(request.ok_or_else(|| Refusal::wrong_state(order, "without marks", "an order whose copies are marked"))?)
    }

    /// Takes the half-holder's shares for an order, seals them, and commits to the keys in the journal. The same shares once
    /// more change nothing. Errors: those of the command `give_key_shares`; `invalid` for shares of something else, or others
    /// than were given before.
    pub async fn give_key_shares(
        &self,
        actor: &Actor,
        shares: &KeyShares,
        options: CommandOptions,
    ) -> Result<KeyCommitments, AppError> {
        let asked = &shares.request;
        let read = [
            share_of("positions", &shares.positions)?,
            share_of("recipient", &shares.recipient)?,
            share_of("order", &shares.order)?,
        ];
        let sealed = asked.uses().into_iter().zip(&read).map(|(key_use, share)| {
            let key_use = key_use.name(asked.profile);
            let context = seal_context(&key_use);
            let sealed = self.keys.mark_shares.seal(random()?, context.as_bytes(), share.as_bytes());
            Ok(MarkShare { key_use, sealed })
        });
        let mark_shares = sealed.collect::<Result<Vec<_>, AppError>>()?;
        let commitments = OrderKeys::of(&self.keys, asked, read).commitments(asked);
        let command = Command::GiveKeyShares { order: asked.order.clone(), commitments: Box::new(commitments.clone()) };
        self.must_be_within_duty(actor, &command)?;
        self.refresh().await?;
        let expected = self.key_request(&asked.order)?;
        if expected != *asked {
            return Err(Refusal::invalid(
                "request",
                "所答与该订单的请求不一致，请重新取得请求",
                "this answers another request than the order's; fetch the request again",
            )
            .into());
        }
        let given = self.read(|state| {
            let order = state.orders.get(&asked.order);
            order.and_then(|order| order.value.mark_keys.clone())
        });
        if let Some(given) = given {
            if given.commitments == commitments {
                return Ok(commitments);
            }
            return Err(Refusal::invalid(
                "shares",
                "该订单的密钥已有承诺，份额不同，不予接受",
                "the order's keys were committed to with other shares; these are refused",
            )
            .into());
        }
        let extras = Extras { mark_shares, ..Extras::default() };
        self.carry_out(actor, &command, options, extras).await?;
        Ok(commitments)
    }

    /// Whether a stored share makes the key that was committed to.
    pub(crate) fn opens(
        &self,
        share: &MarkShare,
        key_use: &OwnedUse,
        profile: MarkProfile,
        commitment: &DigestPair,
    ) -> bool {
        let Ok(share) = opened(&self.keys, share) else { return false };
        let opening = opening(&self.keys, profile, key_use, &share);
        Commitment(*commitment).verify(&opening, &key_use.as_use()).is_ok()
    }

    /// The keys that were committed to for some requests, in their order. Error: a fault where what is stored is not what was
    /// committed to.
    pub(super) async fn order_keys(
        &self,
        requests: &[(KeyRequest, KeyCommitments)],
    ) -> Result<Vec<OrderKeys>, AppError> {
        let names = requests.iter().flat_map(|(request, _)| request.uses().map(|one| one.name(request.profile)));
        let names: BTreeSet<String> = names.collect();
        let stored = self.store.mark_shares(&names).await?;
        let mut all = Vec::with_capacity(requests.len());
        for (request, committed) in requests {
            let mut shares = Vec::with_capacity(3);
            for key_use in request.uses() {
                let name = key_use.name(request.profile);
                let share = stored.get(&name).ok_or_else(|| AppError::Fault(format!("{name} has no share")))?;
                shares.push(opened(&self.keys, share)?);
            }
            let shares: [KeyShare; 3] =
                shares.try_into().map_err(|_| AppError::Fault("an order has three keys".to_owned()))?;
            let keys = OrderKeys::of(&self.keys, request, shares);
            if keys.commitments(request) != *committed {
                // A copy that is marked with other keys than were committed to would accuse nobody, or somebody else.
                return Err(AppError::Fault(format!(
                    "the keys of {} are not those that the journal commits to; was keys/node.secret replaced?",
                    request.order
                )));
            }
            all.push(keys);
        }
        Ok(all)
    }
}

/// What the keys of an order are for, each with the commitment in the journal.
pub(crate) fn committed_keys(order: &Order, keys: &MarkKeys) -> [(OwnedUse, DigestPair); 3] {
    let KeyCommitments { positions, recipient, order: of_order, .. } = &keys.commitments;
    let [first, second, third] = KeyRequest::committed(order, &keys.commitments).uses();
    [(first, *positions), (second, *recipient), (third, *of_order)]
}

/// A stored share.
fn opened(keys: &NodeKeys, share: &MarkShare) -> Result<KeyShare, AppError> {
    let closed = || AppError::Fault(format!("the share for {} does not open with this node's secret", share.key_use));
    let bytes = keys.mark_shares.open(seal_context(&share.key_use).as_bytes(), &share.sealed).map_err(|_| closed())?;
    let bytes: [u8; SHARE_BYTES] = bytes.as_slice().try_into().map_err(|_| closed())?;
    Ok(KeyShare::from_bytes(bytes))
}
