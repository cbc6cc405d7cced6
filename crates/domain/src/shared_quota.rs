//! Shared quotas (共用配额): what may be used under a mandate, a permit or a product by all orders below it together.
//!
//! A quota is not met with that of a parent or child, as the parts of a scope are: it is an account. Each use debits the
//! order's own accounts and those of every link above it that sets one, and is refused by the first that is empty. So no
//! child can spend more than its parent has, whatever its own limit says.

use serde::{Deserialize, Serialize};

use crate::chain;
use crate::decide::Reader;
use crate::id::{MandateId, OrderId, PermitId, ProductId, ResourceId};
use crate::order::{DayQuota, QUOTA_MAX, QuotaUnit};
use crate::product::ProductDetails;
use crate::refusal::Refusal;
use crate::scope::Narrowing;
use crate::state::State;

/// What may be used under a link by all orders below it together. A limit that is not given is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields, default)]
pub struct SharedQuota {
    /// Calls: verifications, lookups, queries, pages of rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    /// Files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_sets: Option<u64>,
    /// Rows of all answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows: Option<u64>,
    /// Bytes of all answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Distinct subjects whose rows any answer was made of; somebody in answers of two orders is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subjects: Option<u64>,
    /// What of it may be used on one day.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<DayQuota>,
}

impl SharedQuota {
    /// The limit of a unit over the whole term, or over one day; none: unlimited.
    pub fn limit(&self, unit: QuotaUnit, per_day: bool) -> Option<u64> {
        if per_day {
            return self.per_day.as_ref()?.limit(unit);
        }
        match unit {
            QuotaUnit::Calls => self.calls,
            QuotaUnit::DataSets => self.data_sets,
            QuotaUnit::Rows => self.rows,
            QuotaUnit::Bytes => self.bytes,
            QuotaUnit::Subjects => self.subjects,
        }
    }

    /// Whether it limits how many subjects answers may be about.
    pub(crate) fn counts_subjects(&self) -> bool {
        [false, true].iter().any(|day| self.limit(QuotaUnit::Subjects, *day).is_some())
    }

    /// True when every limit is one that an account can have.
    pub(crate) fn is_counted(&self) -> bool {
        let limits = QuotaUnit::ALL.into_iter().flat_map(|unit| [self.limit(unit, false), self.limit(unit, true)]);
        limits.flatten().all(|limit| limit <= QUOTA_MAX)
    }
}

/// The accounts of a link that sets a shared quota.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuotaLink {
    /// The mandate, permit or product.
    pub link: String,
    /// The resource for whose use it is set; none for a product.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<ResourceId>,
    /// What it sets.
    pub quota: SharedQuota,
}

impl QuotaLink {
    /// What the names of its accounts begin with.
    pub fn owner(&self) -> String {
        match &self.resource {
            Some(resource) => format!("{}.{resource}", self.link),
            None => self.link.clone(),
        }
    }

    /// The links above an order that set one, in the order of inputs and then the product. What was set is never changed, so
    /// the links are the same whether they are in force or not. Errors: a link that does not exist.
    pub fn above(reader: &mut Reader<'_>, product: &ProductId) -> Result<Vec<QuotaLink>, Refusal> {
        let mut links: Vec<QuotaLink> = Vec::new();
        let found = reader.product(product)?;
        for (resource, permit) in &found.details.inputs {
            for (link, narrowing) in chain::narrowings(reader, permit, resource)? {
                if let Some(quota) = &narrowing.quota {
                    links.push(QuotaLink { link, resource: Some(resource.clone()), quota: quota.clone() });
                }
            }
        }
        if let Some(quota) = &found.details.narrowing.quota {
            links.push(QuotaLink { link: product.to_string(), resource: None, quota: quota.clone() });
        }
        Ok(links)
    }

    /// The links above an order, by its id; none for an order that does not exist.
    pub fn above_order(state: &State, order: &OrderId) -> Vec<QuotaLink> {
        let Some(order) = state.orders.get(order) else { return Vec::new() };
        let mut reader = Reader::new(state, state.last_at.unwrap_or_default());
        // A product's links are there from its draft on.
        QuotaLink::above(&mut reader, &order.value.details.product).unwrap_or_default()
    }

    /// What the owner of accounts has set; none for one that sets nothing.
    pub fn set_by(state: &State, owner: &str) -> Option<SharedQuota> {
        let Some((link, resource)) = owner.split_once('.') else {
            let product: ProductId = owner.parse().ok()?;
            return state.products.get(&product)?.value.details.narrowing.quota.clone();
        };
        let resource: ResourceId = resource.parse().ok()?;
        let item: Option<&Narrowing> = if let Ok(permit) = link.parse::<PermitId>() {
            state.permits.get(&permit)?.value.details.items.get(&resource)
        } else {
            state.mandates.get(&link.parse::<MandateId>().ok()?)?.value.details.items.get(&resource)
        };
        item?.quota.clone()
    }
}

/// Whether a link above a product, or the product itself, limits how many subjects its answers may be about.
pub(crate) fn counts_subjects(reader: &mut Reader<'_>, details: &ProductDetails) -> Result<bool, Refusal> {
    let counts = |narrowing: &Narrowing| narrowing.quota.as_ref().is_some_and(SharedQuota::counts_subjects);
    for (resource, permit) in &details.inputs {
        if chain::narrowings(reader, permit, resource)?.iter().any(|(_, narrowing)| counts(narrowing)) {
            return Ok(true);
        }
    }
    Ok(counts(&details.narrowing))
}

/// Refuses a quota where none is set: by supply and plan, whose orders nobody reckons up. Error: `invalid`.
pub(crate) fn must_set_none(narrowing: &Narrowing) -> Result<(), Refusal> {
    if narrowing.quota.is_some() {
        return Err(Refusal::invalid(
            "quota",
            "共用配额由授权、场景授权或产品设定，供数与方案不设",
            "a shared quota is set by a mandate, a permit or a product; leave it out of supply and plan",
        ));
    }
    Ok(())
}
