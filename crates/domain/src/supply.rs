//! Supply (供数确认): an implementer's demand (数据需求) for a resource, and the provider's answer.
//!
//! What the provider's chief data officer confirms is a narrowing of the resource's ceiling and the upper bound of every
//! plan that lists it. Withdrawing it recalls the data set from every right below in the same instant.

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::calendar::Deadline;
use crate::chain;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, ResourceId, SupplyId};
use crate::privacy::{PrivacyBudget, Rho};
use crate::refusal::Refusal;
use crate::right::{self, RightKind};
use crate::scope::{Narrowing, ScopeError};
use crate::shared_quota;
use crate::state::{Listed, Meta};

/// A demand and its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Supply {
    /// Its id.
    pub id: SupplyId,
    /// The resource.
    pub resource: ResourceId,
    /// Its provider.
    pub provider: PartyId,
    /// Who asks.
    pub implementer: PartyId,
    /// What for.
    pub need: String,
    /// Who asked.
    pub requested_by: Actor,
    /// Where it stands.
    pub stage: SupplyStage,
}

/// Where a supply stands.
#[expect(clippy::large_enum_variant, reason = "there are few supplies, and each is moved a few times")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum SupplyStage {
    /// The provider must answer.
    Requested {
        /// By when.
        deadline: Deadline,
    },
    /// Confirmed.
    Confirmed {
        /// What of the resource.
        narrowing: Narrowing,
        /// Who signed.
        by: Actor,
    },
    /// Refused.
    Refused {
        /// The legal basis.
        basis: String,
        /// Who signed.
        by: Actor,
    },
    /// Withdrawn after confirmation.
    Withdrawn {
        /// Why.
        reason: String,
        /// Who signed.
        by: Actor,
    },
}

/// What happened to a supply.
#[expect(clippy::large_enum_variant, reason = "there are few supplies, and each is moved a few times")]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SupplyEvent {
    /// It was asked for.
    Requested {
        /// The resource.
        resource: ResourceId,
        /// Its provider.
        provider: PartyId,
        /// Who asks.
        implementer: PartyId,
        /// What for.
        need: String,
        /// By when it must be answered.
        deadline: Deadline,
    },
    /// It was confirmed.
    Confirmed {
        /// What of the resource.
        narrowing: Narrowing,
    },
    /// It was refused.
    Refused {
        /// The legal basis.
        basis: String,
    },
    /// It was withdrawn.
    Withdrawn {
        /// Why.
        reason: String,
    },
    /// Its privacy budget was set anew.
    BudgetSet {
        /// The budget from now on; what was spent stays spent.
        budget: PrivacyBudget,
        /// Why.
        reason: String,
    },
}

impl Supply {
    pub(crate) fn fold(previous: Option<Self>, id: SupplyId, event: &SupplyEvent, meta: &Meta) -> Option<Self> {
        let by = meta.actor.clone();
        match (previous, event) {
            (None, SupplyEvent::Requested { resource, provider, implementer, need, deadline }) => Some(Self {
                id,
                resource: resource.clone(),
                provider: provider.clone(),
                implementer: implementer.clone(),
                need: need.clone(),
                requested_by: by,
                stage: SupplyStage::Requested { deadline: *deadline },
            }),
            (Some(supply), SupplyEvent::Confirmed { narrowing }) if supply.is_requested() => {
                Some(Self { stage: SupplyStage::Confirmed { narrowing: narrowing.clone(), by }, ..supply })
            }
            (Some(supply), SupplyEvent::Refused { basis }) if supply.is_requested() => {
                Some(Self { stage: SupplyStage::Refused { basis: basis.clone(), by }, ..supply })
            }
            (Some(supply), SupplyEvent::Withdrawn { reason })
                if matches!(supply.stage, SupplyStage::Confirmed { .. }) =>
            {
                Some(Self { stage: SupplyStage::Withdrawn { reason: reason.clone(), by }, ..supply })
            }
            (Some(supply), SupplyEvent::BudgetSet { budget, .. }) => match supply.stage {
                // Who confirmed the supply stays its signer; who set the budget stands in the journal.
                SupplyStage::Confirmed { narrowing, by: signer } => {
                    let narrowing = Narrowing { privacy_budget: Some(*budget), ..narrowing };
                    Some(Self { stage: SupplyStage::Confirmed { narrowing, by: signer }, ..supply })
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn is_requested(&self) -> bool {
        matches!(self.stage, SupplyStage::Requested { .. })
    }
}

impl Listed for Supply {
    fn state(&self) -> &'static str {
        match self.stage {
            SupplyStage::Requested { .. } => "requested",
            SupplyStage::Confirmed { .. } => "confirmed",
            SupplyStage::Refused { .. } => "refused",
            SupplyStage::Withdrawn { .. } => "withdrawn",
        }
    }
    fn title(&self) -> String {
        self.need.clone()
    }
    fn owner(&self) -> String {
        self.provider.to_string()
    }
}

pub(crate) fn request(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    resource_id: &ResourceId,
    need: &str,
) -> Result<(), Refusal> {
    let resource = deciding.resource(resource_id)?;
    if resource.certificate.is_none() {
        return Err(Refusal::wrong_state(resource_id, resource.state(), "registered"));
    }
    let need = deciding.text("need", need)?;
    let rulebook = deciding.state.rulebook();
    let deadline = rulebook.calendar.working_days_after(deciding.context.now, rulebook.supply_days);
    let id = SupplyId::next(&mut deciding.ids);
    let requested = SupplyEvent::Requested {
        resource: resource_id.clone(),
        provider: resource.provider.clone(),
        implementer: acting.party()?.clone(),
        need,
        deadline,
    };
    deciding.emit(&id, Event::Supply(requested));
    Ok(())
}

pub(crate) fn confirm(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &SupplyId,
    narrowing: &Narrowing,
) -> Result<(), Refusal> {
    let supply = requested(deciding, acting, id)?;
    right::must_hold(deciding, RightKind::Hold, supply.resource.as_str(), &supply.provider)?;
    shared_quota::must_set_none(narrowing)?;
    chain::resource_scope(deciding, &supply.resource)?.narrow(narrowing)?;
    deciding.emit(id, Event::Supply(SupplyEvent::Confirmed { narrowing: narrowing.clone() }));
    Ok(())
}

pub(crate) fn refuse(deciding: &mut Deciding<'_>, acting: &Acting, id: &SupplyId, basis: &str) -> Result<(), Refusal> {
    requested(deciding, acting, id)?;
    let basis = deciding.text("basis", basis)?;
    deciding.emit(id, Event::Supply(SupplyEvent::Refused { basis }));
    Ok(())
}

pub(crate) fn withdraw(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &SupplyId,
    reason: &str,
) -> Result<(), Refusal> {
    let supply = deciding.supply(id)?;
    acting.must_act_for(&supply.provider)?;
    if !matches!(supply.stage, SupplyStage::Confirmed { .. }) {
        return Err(Refusal::wrong_state(id, supply.state(), "confirmed"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Supply(SupplyEvent::Withdrawn { reason }));
    Ok(())
}

/// Sets or changes the privacy budget of a confirmed supply. A smaller one, or a first one, narrows at once; a larger one is
/// how a budget that is used up is renewed, and nobody but the provider can do that. It can't be taken away: exact
/// statistics beside those with noise would undo them.
pub(crate) fn set_budget(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &SupplyId,
    rho: Rho,
    reason: &str,
) -> Result<(), Refusal> {
    let supply = deciding.supply(id)?;
    acting.must_act_for(&supply.provider)?;
    if !matches!(supply.stage, SupplyStage::Confirmed { .. }) {
        return Err(Refusal::wrong_state(id, supply.state(), "confirmed"));
    }
    if rho.is_zero() {
        return Err(ScopeError::BudgetNotPositive.into());
    }
    let (budget, reason) = (PrivacyBudget { rho }, deciding.text("reason", reason)?);
    deciding.emit(id, Event::Supply(SupplyEvent::BudgetSet { budget, reason }));
    Ok(())
}

fn requested<'a>(deciding: &mut Deciding<'a>, acting: &Acting, id: &SupplyId) -> Result<&'a Supply, Refusal> {
    let supply = deciding.supply(id)?;
    acting.must_act_for(&supply.provider)?;
    if !supply.is_requested() {
        return Err(Refusal::wrong_state(id, supply.state(), "requested"));
    }
    // A department may be implementer and provider at once; then two of its people act.
    if supply.requested_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    Ok(supply)
}
