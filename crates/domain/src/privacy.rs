//! Privacy budgets (隐私预算) and statistics with noise.
//!
//! A budget is an account at each link that sets one, per resource and consumer, in units of ρ of zero-concentrated
//! differential privacy (Bun and Steinke, 2016), where losses simply add. Every answer with noise debits all accounts up
//! the graph and is refused by the first that has too little left. An account is never filled by time: only the provider
//! gives more, by a command of his own, and what was spent stays spent. Where a link sets a budget, statistics over its
//! resource are given with noise alone.
//!
//! Here stand the amounts, what a product declares of its noise, and which accounts an order debits. What was spent is kept
//! by the store; how noise is made is the engine's business.

mod noise;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::chain;
use crate::decide::Reader;
use crate::id::{OrderId, PartyId, PermitId, ResourceId};
use crate::order::OrderStage;
use crate::refusal::Refusal;
use crate::scope::Narrowing;
use crate::state::State;
use crate::supply::SupplyStage;

pub(crate) use noise::check as check_noise;
pub use noise::{
    CANDIDATES_MAX, DOMAIN_VALUES_MAX, MEASURES_MAX, MeasureBounds, NoiseRules, ROWS_PER_SUBJECT_MAX, UNITS_MAX,
};

/// Decimals that an amount of privacy loss may have.
pub const RHO_DECIMALS_MAX: u32 = 9;
/// The largest amount: far above it, noise protects nobody.
pub const RHO_MAX: u64 = 1_000;

const NANO: u64 = 1_000_000_000;

/// An amount of privacy loss: ρ of zero-concentrated differential privacy, from 0 to [`RHO_MAX`], exact to nine decimals.
///
/// Text and serde form: a plain decimal without trailing zeros, `"0.05"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rho(u64);

/// Text that is no amount of privacy loss.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an amount of privacy loss: use a plain decimal from 0 to {RHO_MAX} with at most {RHO_DECIMALS_MAX} decimals"
)]
pub struct BadRho(String);

impl Rho {
    /// No loss at all.
    pub const ZERO: Rho = Rho(0);
    /// The largest amount.
    pub const MAX: Rho = Rho(RHO_MAX * NANO);

    /// An amount of billionths. `None` above [`RHO_MAX`].
    pub fn from_nano(nano: u64) -> Option<Rho> {
        (nano <= RHO_MAX * NANO).then_some(Rho(nano))
    }

    /// The amount in billionths.
    pub fn nano(self) -> u64 {
        self.0
    }

    /// Whether it is no loss.
    pub fn is_zero(&self) -> bool {
        self.0 == 0
    }

    /// What is left of it when an amount is taken; nothing when the amount is larger.
    #[must_use]
    pub fn less(self, taken: Rho) -> Rho {
        Rho(self.0.saturating_sub(taken.0))
    }
}

impl fmt::Display for Rho {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = Decimal::from_i128_with_scale(i128::from(self.0), RHO_DECIMALS_MAX).normalize();
        formatter.pad(&decimal.to_string())
    }
}

impl FromStr for Rho {
    type Err = BadRho;

    fn from_str(text: &str) -> Result<Self, BadRho> {
        let refused = || BadRho(text.chars().take(40).collect());
        // One amount has one spelling but for trailing zeros; the decimal library also reads `_`, `+` and exponents.
        let is_plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if !is_plain || !text.starts_with(|first: char| first.is_ascii_digit()) || text.ends_with('.') {
            return Err(refused());
        }
        let exact = Decimal::from_str_exact(text).map_err(|_| refused())?.normalize();
        if exact.scale() > RHO_DECIMALS_MAX || exact > Decimal::from(RHO_MAX) {
            return Err(refused());
        }
        let nano = exact.mantissa() * 10_i128.pow(RHO_DECIMALS_MAX - exact.scale());
        u64::try_from(nano).ok().and_then(Rho::from_nano).ok_or_else(refused)
    }
}

impl Serialize for Rho {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Rho {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "openapi")]
impl utoipa::PartialSchema for Rho {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        String::schema()
    }
}
#[cfg(feature = "openapi")]
impl utoipa::ToSchema for Rho {}

/// A budget that a link sets for one of its resources, for each consumer, as long as the link holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PrivacyBudget {
    /// How much privacy loss one consumer may cause; more than nothing.
    #[serde(deserialize_with = "positive")]
    pub rho: Rho,
}

fn positive<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Rho, D::Error> {
    let rho = Rho::deserialize(deserializer)?;
    if rho.is_zero() {
        return Err(serde::de::Error::custom("a privacy budget is more than 0; leave it out to set none"));
    }
    Ok(rho)
}

/// An account that answers with noise debit: of one link, resource and consumer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PrivacyAccount {
    /// The link that set the budget: a supply, plan, mandate or permit.
    pub link: String,
    /// The resource.
    pub resource: ResourceId,
    /// The budget as it stands now.
    pub budget: Rho,
}

/// The consumer and all that are tied to it, directly or through others: whoever of them asks, the accounts are the same.
pub fn acting_together(state: &State, consumer: &PartyId) -> BTreeSet<PartyId> {
    let mut together = BTreeSet::from([consumer.clone()]);
    let mut waiting = vec![consumer.clone()];
    while let Some(party) = waiting.pop().and_then(|id| state.parties.get(&id)) {
        for other in state.parties.values() {
            if party.value.is_tied_to(&other.value) && together.insert(other.value.id.clone()) {
                waiting.push(other.value.id.clone());
            }
        }
    }
    together
}

/// The accounts that statistics over the inputs of a product debit: those of every link above it that sets a budget, in the
/// order of resources and links. Errors: a link that does not exist.
pub fn accounts(
    reader: &mut Reader<'_>,
    inputs: &BTreeMap<ResourceId, PermitId>,
) -> Result<Vec<PrivacyAccount>, Refusal> {
    let mut accounts = Vec::new();
    for (resource, permit) in inputs {
        for (link, narrowing) in chain::narrowings(reader, permit, resource)? {
            if let Some(budget) = narrowing.privacy_budget {
                accounts.push(PrivacyAccount { link, resource: resource.clone(), budget: budget.rho });
            }
        }
    }
    accounts.sort();
    Ok(accounts)
}

/// Whether a consumer, or one tied to it, has had another order whose statistics over one of these resources are given with
/// noise. Exact statistics over the same resource would then take back what the noise protects.
pub fn is_noised_elsewhere(
    state: &State,
    order: &OrderId,
    consumer: &PartyId,
    resources: &BTreeSet<ResourceId>,
    now: Timestamp,
) -> bool {
    let budgeted: BTreeSet<&ResourceId> = resources.iter().filter(|id| has_budget(state, id)).collect();
    if budgeted.is_empty() {
        return false;
    }
    let together = acting_together(state, consumer);
    let mut reader = Reader::new(state, now);
    state.orders.values().any(|other| {
        let other = &other.value;
        if other.id == *order || !together.contains(&other.consumer) || other.stage == OrderStage::Placed {
            return false;
        }
        let Some(product) = state.products.get(&other.details.product) else { return false };
        let mut inputs = product.value.details.inputs.clone();
        inputs.retain(|resource, _| budgeted.contains(resource));
        accounts(&mut reader, &inputs).is_ok_and(|accounts| !accounts.is_empty())
    })
}

/// Whether any link sets a budget for a resource: a cheap look before anything is walked.
fn has_budget(state: &State, resource: &ResourceId) -> bool {
    let sets = |narrowing: Option<&Narrowing>| narrowing.is_some_and(|narrowing| narrowing.privacy_budget.is_some());
    state.supplies.values().any(|supply| match &supply.value.stage {
        SupplyStage::Confirmed { narrowing, .. } => supply.value.resource == *resource && sets(Some(narrowing)),
        _ => false,
    }) || state.permits.values().any(|permit| sets(permit.value.details.items.get(resource)))
        || state.mandates.values().any(|mandate| sets(mandate.value.details.items.get(resource)))
        || state.plans.values().any(|plan| sets(plan.value.details.items.get(resource).map(|item| &item.narrowing)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn amounts_are_exact_and_bounded() {
        for (text, nano) in [("0", 0), ("0.05", 50_000_000), ("1", NANO), ("0.000000001", 1), ("1000", 1_000 * NANO)] {
            let rho: Rho = text.parse().unwrap();
            assert_eq!((rho.nano(), rho.to_string().as_str()), (nano, text));
        }
        assert_eq!("1.500".parse::<Rho>().unwrap().to_string(), "1.5");
        for text in ["", ".5", "1.", "-1", "+1", "1e2", "1_0", "0.0000000001", "1000.000000001", "NaN", "inf"] {
            assert!(text.parse::<Rho>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_budget_is_more_than_nothing() {
        assert!(serde_json::from_str::<PrivacyBudget>(r#"{"rho":"0"}"#).is_err());
        assert!(serde_json::from_str::<PrivacyBudget>(r#"{"rho":0.5}"#).is_err());
        assert!(serde_json::from_str::<PrivacyBudget>(r#"{"rho":"0.5","per":"day"}"#).is_err());
        let budget: PrivacyBudget = serde_json::from_str(r#"{"rho":"0.50"}"#).unwrap();
        assert_eq!(serde_json::to_string(&budget).unwrap(), r#"{"rho":"0.5"}"#);
    }

    proptest! {
        #[test]
        fn forms_round_trip(nano in 0..=RHO_MAX * NANO) {
            let rho = Rho::from_nano(nano).unwrap();
            prop_assert_eq!(rho.to_string().parse::<Rho>(), Ok(rho));
        }

        #[test]
        fn parsing_never_panics(text: String, near in "[0-9]{0,40}[.]?[0-9]{0,40}") {
            let _ = text.parse::<Rho>();
            let _ = near.parse::<Rho>();
        }
    }
}
