//! Permits (场景授权): one scenario, one permit. The provider of every resource confirms, the competent department gives
//! its opinion, then the implementer approves (SEED: Shanghai, Hangzhou).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::chain;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{MandateId, PartyId, PermitId, ResourceId};
use crate::party::Role;
use crate::refusal::{Refusal, RefusalCode};
use crate::resource::Openness;
use crate::scope::{Mode, Narrowing, Purpose};
use crate::state::{Listed, Meta};

/// What a permit is for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PermitDetails {
    /// The mandate above it.
    pub mandate: MandateId,
    /// 应用场景
    pub scenario: String,
    /// The competent department of the scenario's field.
    pub competent: PartyId,
    /// Purposes of the scenario.
    pub purposes: BTreeSet<Purpose>,
    /// What of the mandate's resources.
    pub items: BTreeMap<ResourceId, Narrowing>,
    /// Why the data is needed and what leaves.
    pub justification: String,
}

impl PermitDetails {
    /// An item's narrowing within the scenario's purposes, which bound every item.
    pub fn narrowing(&self, resource: &ResourceId) -> Option<Narrowing> {
        let item = self.items.get(resource)?;
        Some(item.within_purposes(&self.purposes))
    }
}

/// A permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Permit {
    /// Its id.
    pub id: PermitId,
    /// The operator that applied.
    pub operator: PartyId,
    /// The implementer that decides.
    pub implementer: PartyId,
    /// What it is for.
    pub details: PermitDetails,
    /// Who applied.
    pub applied_by: Actor,
    /// Providers that must confirm, each with who did.
    #[cfg_attr(feature = "openapi", schema(schema_with = crate::scope::map_of_nullable::<Actor>))]
    pub confirmations: BTreeMap<PartyId, Option<Actor>>,
    /// The competent department's opinion.
    pub opinion: Option<Opinion>,
    /// Where it stands.
    pub stage: PermitStage,
}

/// The competent department's opinion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Opinion {
    /// Whether it agrees.
    pub agrees: bool,
    /// Its words.
    pub text: String,
    /// Who signed.
    pub by: Actor,
}

/// Where a permit stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PermitStage {
    /// Under way.
    Applied,
    /// Approved.
    Approved {
        /// Who.
        by: Actor,
    },
    /// Refused.
    Refused {
        /// Why.
        reason: String,
        /// Who.
        by: Actor,
    },
    /// Suspended.
    Suspended {
        /// Why.
        reason: String,
        /// Who.
        by: Actor,
    },
}

/// What happened to a permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PermitEvent {
    /// It was applied for.
    Applied {
        /// The operator.
        operator: PartyId,
        /// The implementer.
        implementer: PartyId,
        /// Providers that must confirm.
        providers: BTreeSet<PartyId>,
        /// What it is for.
        details: Box<PermitDetails>,
    },
    /// A provider confirmed.
    Confirmed {
        /// The provider.
        provider: PartyId,
    },
    /// The competent department gave its opinion.
    OpinionGiven {
        /// Whether it agrees.
        agrees: bool,
        /// Its words.
        text: String,
    },
    /// It was approved.
    Approved,
    /// It was refused.
    Refused {
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
}

impl Permit {
    pub(crate) fn fold(previous: Option<Self>, id: PermitId, event: &PermitEvent, meta: &Meta) -> Option<Self> {
        let by = meta.actor.clone();
        let mut permit = match (previous, event) {
            (None, PermitEvent::Applied { operator, implementer, providers, details }) => {
                return Some(Self {
                    id,
                    operator: operator.clone(),
                    implementer: implementer.clone(),
                    details: (**details).clone(),
                    applied_by: by,
                    confirmations: providers.iter().map(|provider| (provider.clone(), None)).collect(),
                    opinion: None,
                    stage: PermitStage::Applied,
                });
            }
            (Some(permit), _) => permit,
            (None, _) => return None,
        };
        match (&permit.stage, event) {
            (PermitStage::Applied, PermitEvent::Confirmed { provider })
                if permit.confirmations.get(provider) == Some(&None) =>
            {
                permit.confirmations.insert(provider.clone(), Some(by));
            }
            (PermitStage::Applied, PermitEvent::OpinionGiven { agrees, text }) if permit.is_confirmed() => {
                permit.opinion = Some(Opinion { agrees: *agrees, text: text.clone(), by });
            }
            (PermitStage::Applied, PermitEvent::Approved) if permit.is_agreed() => {
                permit.stage = PermitStage::Approved { by };
            }
            (PermitStage::Applied, PermitEvent::Refused { reason }) => {
                permit.stage = PermitStage::Refused { reason: reason.clone(), by };
            }
            (PermitStage::Approved { .. }, PermitEvent::Suspended { reason }) => {
                permit.stage = PermitStage::Suspended { reason: reason.clone(), by };
            }
            (PermitStage::Suspended { .. }, PermitEvent::Resumed { .. }) => permit.stage = PermitStage::Approved { by },
            _ => return None,
        }
        Some(permit)
    }

    /// Whether every provider has confirmed.
    fn is_confirmed(&self) -> bool {
        self.confirmations.values().all(Option::is_some)
    }

    /// Whether the competent department agrees.
    fn is_agreed(&self) -> bool {
        self.opinion.as_ref().is_some_and(|opinion| opinion.agrees)
    }

    /// Whether a user applied, or confirmed for a provider.
    fn was_touched_by(&self, actor: &Actor) -> bool {
        self.applied_by == *actor || self.confirmations.values().any(|by| by.as_ref() == Some(actor))
    }
}

impl Listed for Permit {
    fn state(&self) -> &'static str {
        match self.stage {
            PermitStage::Applied => "applied",
            PermitStage::Approved { .. } => "approved",
            PermitStage::Refused { .. } => "refused",
            PermitStage::Suspended { .. } => "suspended",
        }
    }
    fn title(&self) -> String {
        self.details.scenario.clone()
    }
    fn owner(&self) -> String {
        self.operator.to_string()
    }
}

pub(crate) fn apply(deciding: &mut Deciding<'_>, acting: &Acting, details: &PermitDetails) -> Result<(), Refusal> {
    let mandate = deciding.mandate(&details.mandate)?;
    acting.must_act_for(&mandate.details.operator)?;
    check_competent(deciding, &details.competent, &mandate.details.operator)?;
    if details.items.is_empty() || details.purposes.is_empty() {
        return Err(Refusal::invalid("items", "至少一项资源和一个用途", "at least one resource and one purpose"));
    }
    deciding.text("scenario", &details.scenario)?;
    deciding.text("justification", &details.justification)?;
    let mut providers = BTreeSet::new();
    for resource in details.items.keys() {
        providers.insert(deciding.resource(resource)?.provider.clone());
    }
    check_scopes(deciding, details)?;
    let id = PermitId::next(&mut deciding.ids);
    let applied = PermitEvent::Applied {
        operator: mandate.details.operator.clone(),
        implementer: mandate.implementer.clone(),
        providers,
        details: Box::new(details.clone()),
    };
    deciding.emit(&id, Event::Permit(applied));
    Ok(())
}

/// The competent department is one, and not the operator itself, whose application it gives its opinion on.
fn check_competent(deciding: &mut Deciding<'_>, competent: &PartyId, operator: &PartyId) -> Result<(), Refusal> {
    if !deciding.party(competent)?.roles.contains(&Role::CompetentDepartment) {
        return Err(Refusal::invalid(
            "competent",
            "该主体不是行业主管部门",
            "this party is not a competent department",
        ));
    }
    must_not_be_the_operator(competent, operator)
}

fn must_not_be_the_operator(competent: &PartyId, operator: &PartyId) -> Result<(), Refusal> {
    if competent != operator {
        return Ok(());
    }
    Err(Refusal::new(
        RefusalCode::RelatedParties,
        competent,
        "运营机构不得对自己的申请出具行业主管意见；请另行申请，并写明其他行业主管部门",
        "an operator gives no opinion on its own application; apply anew and name another competent department",
    ))
}

fn check_scopes(deciding: &mut Deciding<'_>, details: &PermitDetails) -> Result<(), Refusal> {
    for resource_id in details.items.keys() {
        let Some(narrowing) = details.narrowing(resource_id) else { continue };
        let scope = chain::mandate_scope(deciding, &details.mandate, resource_id)?.narrow(&narrowing)?;
        let resource = deciding.resource(resource_id)?;
        let rows_leave = [Mode::Lookup, Mode::Rows, Mode::File].iter().any(|mode| scope.modes.contains(mode));
        if rows_leave && resource.details.openness == Openness::Conditional && narrowing.modes.is_none() {
            return Err(Refusal::invalid(
                "items",
                format!("{resource_id} 为有条件开放：须逐项写明交付方式"),
                format!("{resource_id} is conditionally open: name the delivery modes"),
            ));
        }
    }
    Ok(())
}

pub(crate) fn confirm(deciding: &mut Deciding<'_>, acting: &Acting, id: &PermitId) -> Result<(), Refusal> {
    let permit = deciding.permit(id)?;
    let provider = acting.party()?.clone();
    if !matches!(permit.stage, PermitStage::Applied) || permit.confirmations.get(&provider) != Some(&None) {
        return Err(Refusal::wrong_state(id, permit.state(), "applied and awaiting this provider's confirmation"));
    }
    if permit.applied_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    deciding.emit(id, Event::Permit(PermitEvent::Confirmed { provider }));
    Ok(())
}

pub(crate) fn give_opinion(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &PermitId,
    agrees: bool,
    text: &str,
) -> Result<(), Refusal> {
    let permit = deciding.permit(id)?;
    acting.must_act_for(&permit.details.competent)?;
    must_not_be_the_operator(&permit.details.competent, &permit.operator)?;
    if !matches!(permit.stage, PermitStage::Applied) || !permit.is_confirmed() {
        return Err(Refusal::wrong_state(id, permit.state(), "applied and confirmed by every provider"));
    }
    // A party may be provider and competent department at once, or implementer too; then others of its people act.
    if permit.was_touched_by(&acting.actor) {
        return Err(Refusal::four_eyes(id));
    }
    let text = deciding.text("text", text)?;
    deciding.emit(id, Event::Permit(PermitEvent::OpinionGiven { agrees, text }));
    Ok(())
}

pub(crate) fn approve(deciding: &mut Deciding<'_>, acting: &Acting, id: &PermitId) -> Result<(), Refusal> {
    let permit = deciding.permit(id)?;
    acting.must_act_for(&permit.implementer)?;
    if !matches!(permit.stage, PermitStage::Applied) || !permit.is_agreed() {
        return Err(Refusal::wrong_state(id, permit.state(), "applied, with the competent department's agreement"));
    }
    let gave_opinion = permit.opinion.as_ref().is_some_and(|opinion| opinion.by == acting.actor);
    if gave_opinion || permit.was_touched_by(&acting.actor) {
        return Err(Refusal::four_eyes(id));
    }
    check_scopes(deciding, &permit.details)?;
    deciding.emit(id, Event::Permit(PermitEvent::Approved));
    Ok(())
}

pub(crate) fn refuse(deciding: &mut Deciding<'_>, acting: &Acting, id: &PermitId, reason: &str) -> Result<(), Refusal> {
    let permit = deciding.permit(id)?;
    acting.must_act_for(&permit.implementer)?;
    if !matches!(permit.stage, PermitStage::Applied) {
        return Err(Refusal::wrong_state(id, permit.state(), "applied"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Permit(PermitEvent::Refused { reason }));
    Ok(())
}

pub(crate) fn suspend(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &PermitId,
    reason: &str,
) -> Result<(), Refusal> {
    let permit = deciding.permit(id)?;
    acting.must_act_for(&permit.implementer)?;
    if !matches!(permit.stage, PermitStage::Approved { .. }) {
        return Err(Refusal::wrong_state(id, permit.state(), "approved"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Permit(PermitEvent::Suspended { reason }));
    Ok(())
}

pub(crate) fn resume(deciding: &mut Deciding<'_>, acting: &Acting, id: &PermitId, reason: &str) -> Result<(), Refusal> {
    let permit = deciding.permit(id)?;
    acting.must_act_for(&permit.implementer)?;
    if !matches!(permit.stage, PermitStage::Suspended { .. }) {
        return Err(Refusal::wrong_state(id, permit.state(), "suspended"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Permit(PermitEvent::Resumed { reason }));
    Ok(())
}
