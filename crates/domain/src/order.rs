//! Orders (订单) and contracts (合同): a consumer's request for a product, the terms both sides sign, and service keys.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_crypto::{Sha256Digest, sha256};
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::chain;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{OrderId, PartyId, ProductId, ServiceKeyId};
use crate::marking::{self, KeyCommitments, MarkKeys, Marking};
use crate::price::{self, Price};
use crate::product::{self, Product};
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::{Mode, Narrowing, Purpose, Term};
use crate::state::{Listed, Meta};

/// Most service keys of one order that are not revoked.
pub const SERVICE_KEYS_MAX: usize = 10;

/// The largest quota of an order: what JSON numbers hold exactly (RFC 8785) is far above it.
pub const QUOTA_MAX: u64 = 1_000_000_000_000;

/// What may be used under an order; the quota accounts of the order. A limit that is not given is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Calls: verifications, lookups, queries, pages of rows.
    pub calls: u64,
    /// Files.
    pub data_sets: u64,
    /// Rows of all answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of all answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Distinct subjects whose rows any answer was made of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<u64>,
    /// What of it may be used on one day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_day: Option<DayQuota>,
}

/// What may be used on one day in Beijing. A delivery counts on the day on which it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DayQuota {
    /// Calls.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_sets: Option<u64>,
    /// Rows of answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Distinct subjects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subjects: Option<u64>,
}

/// What a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum QuotaUnit {
    /// Calls.
    Calls,
    /// Files.
    DataSets,
    /// Rows of answers.
    Rows,
    /// Bytes of answers.
    Bytes,
    /// Distinct subjects.
    Subjects,
}

impl QuotaUnit {
    /// Every unit.
    pub const ALL: [QuotaUnit; 5] =
        [QuotaUnit::Calls, QuotaUnit::DataSets, QuotaUnit::Rows, QuotaUnit::Bytes, QuotaUnit::Subjects];

    /// The stable code, as in JSON.
    pub fn code(self) -> &'static str {
        match self {
            QuotaUnit::Calls => "calls",
            QuotaUnit::DataSets => "data_sets",
            QuotaUnit::Rows => "rows",
            QuotaUnit::Bytes => "bytes",
            QuotaUnit::Subjects => "subjects",
        }
    }
}

impl Quota {
    /// The limit of a unit for the whole term; none: unlimited.
    pub fn limit(&self, unit: QuotaUnit) -> Option<u64> {
        match unit {
            QuotaUnit::Calls => Some(self.calls),
            QuotaUnit::DataSets => Some(self.data_sets),
            QuotaUnit::Rows => self.rows,
            QuotaUnit::Bytes => self.bytes,
            QuotaUnit::Subjects => self.subjects,
        }
    }

    /// The limit of a unit for one day; none: unlimited.
    pub fn limit_per_day(&self, unit: QuotaUnit) -> Option<u64> {
        self.per_day.as_ref()?.limit(unit)
    }
}

impl DayQuota {
    /// The limit of a unit; none: unlimited.
    pub fn limit(&self, unit: QuotaUnit) -> Option<u64> {
        match unit {
            QuotaUnit::Calls => self.calls,
            QuotaUnit::DataSets => self.data_sets,
            QuotaUnit::Rows => self.rows,
            QuotaUnit::Bytes => self.bytes,
            QuotaUnit::Subjects => self.subjects,
        }
    }
}

/// What is ordered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct OrderDetails {
    /// The product.
    pub product: ProductId,
    /// What it is for.
    pub purpose: Purpose,
    /// By which modes.
    pub modes: BTreeSet<Mode>,
    /// From when until when.
    pub term: Term,
    /// How much.
    pub quota: Quota,
}

impl OrderDetails {
    /// What the order keeps of the product's scope.
    pub fn narrowing(&self) -> Narrowing {
        Narrowing {
            purposes: Some(BTreeSet::from([self.purpose.clone()])),
            modes: Some(self.modes.clone()),
            term: Some(self.term),
            ..Narrowing::default()
        }
    }
}

/// The terms that both sides sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Contract {
    /// The price at the time of ordering, which later changes do not touch.
    pub price: Price,
    /// SHA-256 of the terms' canonical JSON (order details, parties and price), hexadecimal: what is signed.
    pub terms_digest: String,
    /// Who signed for which party.
    pub signatures: BTreeMap<PartyId, Actor>,
}

/// A service key, as the journal knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceKeyRecord {
    /// Its id.
    pub id: ServiceKeyId,
    /// SHA-256 of the key, hexadecimal. A key is good only while its hash stands here: one that was slipped into the store
    /// is none.
    pub hash: String,
    /// Whether it is revoked.
    pub revoked: bool,
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// Who orders.
    pub consumer: PartyId,
    /// The product's operator.
    pub operator: PartyId,
    /// What.
    pub details: OrderDetails,
    /// Who placed it.
    pub placed_by: Actor,
    /// The contract.
    pub contract: Contract,
    /// Service keys.
    pub service_keys: Vec<ServiceKeyRecord>,
    /// The keys that its copies are marked with, once they were committed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark_keys: Option<MarkKeys>,
    /// The keys before, that were renewed, the first ones first: copies by them are still about.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mark_keys_before: Vec<MarkKeys>,
    /// Which replacement of the consumer's code for the product it is in; the first one is 0.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub code_epoch: u32,
    /// Where it stands.
    pub stage: OrderStage,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Where an order stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum OrderStage {
    /// Both sides have yet to sign.
    Placed,
    /// Signed by both: there is a grant.
    Active,
    /// Suspended.
    Suspended {
        /// Why.
        reason: String,
    },
    /// Over.
    Ended {
        /// Why.
        reason: String,
    },
}

/// What happened to an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderEvent {
    /// It was placed.
    Placed {
        /// Who orders.
        consumer: PartyId,
        /// The operator.
        operator: PartyId,
        /// What.
        details: Box<OrderDetails>,
        /// The price.
        price: Price,
        /// Digest of the terms.
        terms_digest: String,
    },
    /// The contract was signed for a party.
    Signed {
        /// The party.
        party: PartyId,
    },
    /// Both have signed.
    Activated,
    /// A service key was issued.
    KeyIssued {
        /// The key.
        key: ServiceKeyId,
        /// SHA-256 of it.
        hash: String,
    },
    /// A service key was revoked.
    KeyRevoked {
        /// The key.
        key: ServiceKeyId,
    },
    /// The keys that its copies are marked with were committed to.
    MarkKeysCommitted {
        /// Who holds the half that is not the node's.
        holder: PartyId,
        /// The commitments.
        commitments: Box<KeyCommitments>,
    },
    /// The keys that its copies were marked with were given up: what is delivered next is marked with others.
    MarkKeysRenewed {
        /// The epoch of its next keys.
        code_epoch: u32,
        /// Why.
        reason: String,
    },
    /// It was suspended.
    Suspended {
        /// Why.
        reason: String,
    },
    /// It was resumed.
    Resumed {
        /// Why.
        reason: String,
    },
    /// It ended.
    Ended {
        /// Why.
        reason: String,
    },
}

impl Order {
    pub(crate) fn fold(previous: Option<Self>, id: OrderId, event: &OrderEvent, meta: &Meta) -> Option<Self> {
        let mut order = match (previous, event) {
            (None, OrderEvent::Placed { consumer, operator, details, price, terms_digest }) => {
                return Some(Self {
                    id,
                    consumer: consumer.clone(),
                    operator: operator.clone(),
                    details: (**details).clone(),
                    placed_by: meta.actor.clone(),
                    contract: Contract {
                        price: price.clone(),
                        terms_digest: terms_digest.clone(),
                        signatures: BTreeMap::new(),
                    },
                    service_keys: Vec::new(),
                    mark_keys: None,
                    mark_keys_before: Vec::new(),
                    code_epoch: 0,
                    stage: OrderStage::Placed,
                });
            }
            (Some(order), _) => order,
            (None, _) => return None,
        };
        match (&order.stage, event) {
            (OrderStage::Placed, OrderEvent::Signed { party })
                if order.is_side(party) && !order.contract.signatures.contains_key(party) =>
            {
                order.contract.signatures.insert(party.clone(), meta.actor.clone());
            }
            (OrderStage::Placed, OrderEvent::Activated) if order.is_signed() => {
                order.stage = OrderStage::Active;
            }
            (OrderStage::Suspended { .. }, OrderEvent::Resumed { .. }) => order.stage = OrderStage::Active,
            (OrderStage::Active, OrderEvent::KeyIssued { key, hash })
                if order.service_keys.iter().all(|known| known.id != *key) =>
            {
                let (id, hash) = (key.clone(), hash.clone());
                order.service_keys.push(ServiceKeyRecord { id, hash, revoked: false });
            }
            (_, OrderEvent::KeyRevoked { key }) => {
                order.service_keys.iter_mut().find(|known| known.id == *key && !known.revoked)?.revoked = true;
            }
            (OrderStage::Active, OrderEvent::MarkKeysCommitted { holder, commitments })
                if order.mark_keys.is_none() && commitments.code_epoch >= order.code_epoch =>
            {
                let (holder, commitments) = (holder.clone(), (**commitments).clone());
                order.code_epoch = commitments.code_epoch;
                order.mark_keys = Some(MarkKeys { holder, given_by: meta.actor.clone(), commitments });
            }
            (_, OrderEvent::MarkKeysRenewed { code_epoch, .. })
                if order.mark_keys.is_some() && *code_epoch > order.code_epoch =>
            {
                order.mark_keys_before.extend(order.mark_keys.take());
                order.code_epoch = *code_epoch;
            }
            (OrderStage::Active, OrderEvent::Suspended { reason }) => {
                order.stage = OrderStage::Suspended { reason: reason.clone() };
            }
            (OrderStage::Placed | OrderStage::Active | OrderStage::Suspended { .. }, OrderEvent::Ended { reason }) => {
                order.stage = OrderStage::Ended { reason: reason.clone() }
            }
            _ => return None,
        }
        Some(order)
    }

    /// All keys that its copies were ever marked with, the first ones first.
    pub fn all_mark_keys(&self) -> impl Iterator<Item = &MarkKeys> {
        self.mark_keys_before.iter().chain(&self.mark_keys)
    }

    /// True when both sides have signed the contract, whatever became of the order since.
    pub fn is_signed(&self) -> bool {
        self.contract.signatures.len() == 2
    }

    /// Whether a party is one of the two that sign the contract.
    fn is_side(&self, party: &PartyId) -> bool {
        *party == self.consumer || *party == self.operator
    }
}

impl Listed for Order {
    fn state(&self) -> &'static str {
        match self.stage {
            OrderStage::Placed => "placed",
            OrderStage::Active => "active",
            OrderStage::Suspended { .. } => "suspended",
            OrderStage::Ended { .. } => "ended",
        }
    }
    fn title(&self) -> String {
        self.details.product.to_string()
    }
    fn owner(&self) -> String {
        self.consumer.to_string()
    }
}

pub(crate) fn place(deciding: &mut Deciding<'_>, acting: &Acting, details: &OrderDetails) -> Result<(), Refusal> {
    let consumer_id = acting.party()?.clone();
    let product = product::open_to_orders(deciding, &details.product)?;
    let consumer = deciding.party(&consumer_id)?;
    let operator = deciding.party(&product.operator)?;
    if consumer.is_tied_to(operator) {
        return Err(Refusal::new(
            RefusalCode::RelatedParties,
            &consumer_id,
            "运营机构及其关联方不得以使用方身份取得本机构授权形成的产品再行开发",
            "an operator and those tied to it do not order products delivered under its own authorisation",
        ));
    }
    let price = price::in_force(&details.product, product)?.clone();
    check_quota(&details.quota, product)?;
    if details.modes.is_empty() || details.modes.contains(&Mode::Compute) {
        return Err(Refusal::invalid("modes", "至少一种对外交付方式", "at least one mode by which answers leave"));
    }
    let scope = chain::product_scope(deciding, &details.product)?;
    if !scope.allows_purpose(&details.purpose) {
        return Err(Refusal::new(
            RefusalCode::PurposeNotPermitted,
            &details.purpose.0,
            format!("场景授权不包含用途 {}", details.purpose.0),
            format!("the permit does not cover the purpose {}", details.purpose.0),
        ));
    }
    scope.narrow(&details.narrowing())?;
    check_payer(deciding, &consumer_id, product, details, &price)?;
    marking::check_consumer(deciding, &consumer_id, &product.details, details)?;
    let mut terms = serde_json::json!({
        "consumer": consumer_id, "operator": product.operator, "order": details, "price": price,
    });
    if let Some(marking) = product.details.marking.as_ref().filter(|_| Marking::is_seen_by(&details.modes)) {
        // What may be changed in the copies is signed by both sides.
        terms["marking"] = serde_json::json!(marking);
    }
    let terms_digest = sha256(crate::event::canonical(&terms).as_bytes()).to_string();
    let id = OrderId::next(&mut deciding.ids);
    let placed = OrderEvent::Placed {
        consumer: consumer_id,
        operator: product.operator.clone(),
        details: Box::new(details.clone()),
        price,
        terms_digest,
    };
    deciding.emit(&id, Event::Order(placed));
    Ok(())
}

fn check_quota(quota: &Quota, product: &Product) -> Result<(), Refusal> {
    for unit in QuotaUnit::ALL {
        let limits = [quota.limit(unit), quota.limit_per_day(unit)];
        if limits.into_iter().flatten().any(|limit| limit > QUOTA_MAX) {
            return Err(Refusal::invalid("quota", format!("不超过 {QUOTA_MAX}"), format!("at most {QUOTA_MAX}")));
        }
    }
    let unit = QuotaUnit::Subjects;
    if (quota.limit(unit).is_some() || quota.limit_per_day(unit).is_some()) && product.details.subject.is_none() {
        return Err(Refusal::invalid(
            "quota",
            "该产品未指明主体字段，不能按主体数限额",
            "the product names no subject column, so subjects can't be counted; leave this limit out",
        ));
    }
    Ok(())
}

/// Who receives part of a product's fees can't owe them: the settlement of the whole period would be refused.
fn check_payer(
    deciding: &mut Deciding<'_>,
    consumer: &PartyId,
    product: &Product,
    details: &OrderDetails,
    price: &Price,
) -> Result<(), Refusal> {
    if price.is_free_for(&details.purpose) {
        return Ok(());
    }
    for permit in product.details.inputs.values() {
        let permit = deciding.permit(permit)?;
        let revenue = &deciding.mandate(&permit.details.mandate)?.details.revenue;
        if revenue.treasury == *consumer || revenue.provider_rates.contains_key(consumer) {
            return Err(Refusal::new(
                RefusalCode::RelatedParties,
                consumer,
                "该主体参与本产品的收益分配，只能按免费用途订购",
                "this party receives part of the product's fees; it can order only for a purpose that is free of charge",
            ));
        }
    }
    Ok(())
}

pub(crate) fn sign_contract(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &OrderId,
    terms_digest: &str,
) -> Result<(), Refusal> {
    let order = deciding.order(id)?;
    let party = acting.party()?.clone();
    if !order.is_side(&party) {
        return Err(Refusal::not_permitted(
            id,
            "合同由使用方和运营机构签署",
            "the contract is signed by consumer and operator",
        ));
    }
    if !matches!(order.stage, OrderStage::Placed) || order.contract.signatures.contains_key(&party) {
        return Err(Refusal::wrong_state(id, order.state(), "placed and not yet signed for this party"));
    }
    if order.placed_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    if terms_digest != order.contract.terms_digest {
        return Err(Refusal::invalid(
            "terms_digest",
            "所签条款与订单条款不一致，请重新打开合同核对",
            "these are not the terms of the order; open the contract again",
        ));
    }
    // What was shut, or is dearer than is allowed now, since the order was placed.
    let product = product::open_to_orders(deciding, &order.details.product)?;
    price::must_be_allowed(&order.contract.price, product)?;
    deciding.emit(id, Event::Order(OrderEvent::Signed { party }));
    if order.contract.signatures.len() == 1 {
        deciding.emit(id, Event::Order(OrderEvent::Activated));
    }
    Ok(())
}

pub(crate) fn issue_key(deciding: &mut Deciding<'_>, acting: &Acting, id: &OrderId, hash: &str) -> Result<(), Refusal> {
    if hash.parse::<Sha256Digest>().is_err() {
        return Err(Refusal::invalid("hash", "须为 SHA-256 的十六进制", "this is the SHA-256 of a key, hexadecimal"));
    }
    let order = deciding.order(id)?;
    acting.must_act_for(&order.consumer)?;
    if !matches!(order.stage, OrderStage::Active) {
        return Err(Refusal::wrong_state(id, order.state(), "active"));
    }
    if order.service_keys.iter().filter(|key| !key.revoked).count() >= SERVICE_KEYS_MAX {
        return Err(Refusal::new(
            RefusalCode::LimitExceeded,
            id,
            format!("每个订单最多 {SERVICE_KEYS_MAX} 个有效密钥，请先注销一个"),
            format!("an order has at most {SERVICE_KEYS_MAX} keys; revoke one first"),
        ));
    }
    let key = ServiceKeyId::next(&mut deciding.ids);
    deciding.emit(id, Event::Order(OrderEvent::KeyIssued { key, hash: hash.to_owned() }));
    Ok(())
}

pub(crate) fn revoke_key(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &OrderId,
    key: &ServiceKeyId,
) -> Result<(), Refusal> {
    let order = of_either_side(deciding, acting, id)?;
    if !order.service_keys.iter().any(|known| known.id == *key && !known.revoked) {
        return Err(Refusal::not_found(key));
    }
    deciding.emit(id, Event::Order(OrderEvent::KeyRevoked { key: key.clone() }));
    Ok(())
}

fn of_either_side<'a>(deciding: &mut Deciding<'a>, acting: &Acting, id: &OrderId) -> Result<&'a Order, Refusal> {
    let order = deciding.order(id)?;
    if acting.party()? != &order.operator {
        acting.must_act_for(&order.consumer)?;
    }
    Ok(order)
}

pub(crate) fn suspend(deciding: &mut Deciding<'_>, acting: &Acting, id: &OrderId, reason: &str) -> Result<(), Refusal> {
    let order = deciding.order(id)?;
    acting.must_act_for(&order.operator)?;
    if !matches!(order.stage, OrderStage::Active) {
        return Err(Refusal::wrong_state(id, order.state(), "active"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Order(OrderEvent::Suspended { reason }));
    Ok(())
}

pub(crate) fn resume(deciding: &mut Deciding<'_>, acting: &Acting, id: &OrderId, reason: &str) -> Result<(), Refusal> {
    let order = deciding.order(id)?;
    acting.must_act_for(&order.operator)?;
    if !matches!(order.stage, OrderStage::Suspended { .. }) {
        return Err(Refusal::wrong_state(id, order.state(), "suspended"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Order(OrderEvent::Resumed { reason }));
    Ok(())
}

pub(crate) fn end(deciding: &mut Deciding<'_>, acting: &Acting, id: &OrderId, reason: &str) -> Result<(), Refusal> {
    let order = of_either_side(deciding, acting, id)?;
    if matches!(order.stage, OrderStage::Ended { .. }) {
        return Err(Refusal::wrong_state(id, order.state(), "not ended"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Order(OrderEvent::Ended { reason }));
    Ok(())
}
