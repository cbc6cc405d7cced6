//! Mandates (授权) and operation agreements (运营协议).
//!
//! A mandate is the act by which an implementer authorises an operator within an approved plan; the agreement is the
//! contract that goes with it, signed by both sides. Only with both is it in force. Suspension shuts every right below
//! in the same instant, because the grant is computed from the chain at each request.

use std::collections::BTreeMap;

use jiff::ToSpan;
use lingqu_ledger::{PartyShare, RevenueSplit};
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::calendar::beijing;
use crate::chain;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{MandateId, PartyId, PlanId, ResourceId};
use crate::party::{Organisation, Role};
use crate::plan::PlanStage;
use crate::refusal::{Refusal, RefusalCode};
use crate::right::{self, RightKind};
use crate::scope::{Narrowing, Term};
use crate::state::{Listed, Meta};

/// Who receives what of the fees under a mandate. What is left is the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct RevenueTerms {
    /// The treasury: a party with the role finance.
    pub treasury: PartyId,
    /// Its part, as a fraction.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub treasury_rate: rust_decimal::Decimal,
    /// Enterprise providers and their parts; never an administrative unit.
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<PartyId, String>))]
    pub provider_rates: BTreeMap<PartyId, rust_decimal::Decimal>,
}

impl RevenueTerms {
    /// The split with the operator's rest. Error: `invalid` when the parts are not within one.
    pub fn split(&self, operator: &PartyId) -> Result<RevenueSplit, Refusal> {
        let too_large = || Refusal::invalid("revenue", "收益分配比例过大", "a rate is too large");
        let mut rest = rust_decimal::Decimal::ONE.checked_sub(self.treasury_rate).ok_or_else(too_large)?;
        let mut providers = Vec::new();
        for (owner, rate) in &self.provider_rates {
            rest = rest.checked_sub(*rate).ok_or_else(too_large)?;
            providers.push(PartyShare { owner: owner.to_string(), rate: *rate });
        }
        let operator = PartyShare { owner: operator.to_string(), rate: rest };
        let treasury = PartyShare { owner: self.treasury.to_string(), rate: self.treasury_rate };
        RevenueSplit::new(operator, treasury, providers)
            .map_err(|error| Refusal::invalid("revenue", format!("收益分配有误：{error}"), error))
    }
}

/// What a mandate and its agreement say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct MandateDetails {
    /// 名称
    pub name: String,
    /// The plan above it.
    pub plan: PlanId,
    /// The operator.
    pub operator: PartyId,
    /// What of the plan's list.
    pub items: BTreeMap<ResourceId, Narrowing>,
    /// Term.
    pub term: Term,
    /// How the operator was chosen: procedure and document.
    pub selection: String,
    /// Revenue.
    pub revenue: RevenueTerms,
    /// The agreement's clauses beyond these.
    pub clauses: String,
}

/// A mandate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Mandate {
    /// Its id.
    pub id: MandateId,
    /// Who authorises.
    pub implementer: PartyId,
    /// What it says.
    pub details: MandateDetails,
    /// Who drafted it.
    pub drafted_by: Actor,
    /// Who approved the act.
    pub approved_by: Option<Actor>,
    /// Who signed the agreement for which party.
    pub signatures: BTreeMap<PartyId, Actor>,
    /// Where it stands.
    pub stage: MandateStage,
}

/// Where a mandate stands. Expiry is computed from the term.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum MandateStage {
    /// A draft.
    Drafted,
    /// Approved; the agreement is not yet signed by both.
    Approved,
    /// Approved and signed by both.
    InForce,
    /// Suspended.
    Suspended {
        /// Why.
        reason: String,
        /// Who.
        by: Actor,
    },
    /// Revoked for good.
    Revoked {
        /// Why.
        reason: String,
        /// Who.
        by: Actor,
    },
}

/// What happened to a mandate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MandateEvent {
    /// It was drafted.
    Drafted {
        /// Who authorises.
        implementer: PartyId,
        /// What it says.
        details: Box<MandateDetails>,
    },
    /// The act was approved.
    Approved,
    /// The agreement was signed for a party.
    Signed {
        /// The party.
        party: PartyId,
    },
    /// It came into force.
    EnteredForce,
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
    /// It was revoked.
    Revoked {
        /// Why.
        reason: String,
    },
}

impl Mandate {
    pub(crate) fn fold(previous: Option<Self>, id: MandateId, event: &MandateEvent, meta: &Meta) -> Option<Self> {
        let mut mandate = match (previous, event) {
            (None, MandateEvent::Drafted { implementer, details }) => {
                return Some(Self {
                    id,
                    implementer: implementer.clone(),
                    details: (**details).clone(),
                    drafted_by: meta.actor.clone(),
                    approved_by: None,
                    signatures: BTreeMap::new(),
                    stage: MandateStage::Drafted,
                });
            }
            (Some(mandate), _) => mandate,
            (None, _) => return None,
        };
        let by = meta.actor.clone();
        match (&mandate.stage, event) {
            (MandateStage::Drafted, MandateEvent::Approved) => {
                mandate.approved_by = Some(by);
                mandate.stage = MandateStage::Approved;
            }
            (MandateStage::Approved, MandateEvent::Signed { party })
                if mandate.is_side(party) && !mandate.signatures.contains_key(party) =>
            {
                mandate.signatures.insert(party.clone(), by);
            }
            (MandateStage::Approved, MandateEvent::EnteredForce) if mandate.signatures.len() == 2 => {
                mandate.stage = MandateStage::InForce;
            }
            (MandateStage::Suspended { .. }, MandateEvent::Resumed { .. }) => mandate.stage = MandateStage::InForce,
            // The second of two suspensions is the data authority's, which takes over the implementer's.
            (MandateStage::InForce | MandateStage::Suspended { .. }, MandateEvent::Suspended { reason }) => {
                mandate.stage = MandateStage::Suspended { reason: reason.clone(), by };
            }
            (MandateStage::InForce | MandateStage::Suspended { .. }, MandateEvent::Revoked { reason }) => {
                mandate.stage = MandateStage::Revoked { reason: reason.clone(), by };
            }
            _ => return None,
        }
        Some(mandate)
    }

    /// Whether a party is one of the two that sign the agreement.
    fn is_side(&self, party: &PartyId) -> bool {
        *party == self.implementer || *party == self.details.operator
    }
}

impl Listed for Mandate {
    fn state(&self) -> &'static str {
        match self.stage {
            MandateStage::Drafted => "drafted",
            MandateStage::Approved => "approved",
            MandateStage::InForce => "in_force",
            MandateStage::Suspended { .. } => "suspended",
            MandateStage::Revoked { .. } => "revoked",
        }
    }
    fn title(&self) -> String {
        self.details.name.clone()
    }
    fn owner(&self) -> String {
        self.implementer.to_string()
    }
}

pub(crate) fn draft(deciding: &mut Deciding<'_>, acting: &Acting, details: &MandateDetails) -> Result<(), Refusal> {
    let implementer = acting.party()?.clone();
    check_parties(deciding, &implementer, details)?;
    check_scopes(deciding, &implementer, details)?;
    for (field, text) in [("name", &details.name), ("selection", &details.selection), ("clauses", &details.clauses)] {
        deciding.text(field, text)?;
    }
    let id = MandateId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Mandate(MandateEvent::Drafted { implementer, details: Box::new(details.clone()) }));
    Ok(())
}

fn check_parties(deciding: &mut Deciding<'_>, implementer: &PartyId, details: &MandateDetails) -> Result<(), Refusal> {
    let operator = deciding.party(&details.operator)?;
    if !operator.roles.contains(&Role::Operator) {
        return Err(Refusal::invalid("operator", "该主体不是运营机构", "this party is not an operator"));
    }
    let implementer = deciding.party(implementer)?;
    if implementer.is_tied_to(operator) {
        return Err(Refusal::new(
            RefusalCode::RelatedParties,
            &details.operator,
            "实施机构与运营机构不得有关联关系",
            "implementer and operator may not be tied to each other",
        ));
    }
    let treasury = deciding.party(&details.revenue.treasury)?;
    if !treasury.roles.contains(&Role::Finance) {
        return Err(Refusal::invalid("revenue.treasury", "须为财政部门", "this is the finance department"));
    }
    for provider in details.revenue.provider_rates.keys() {
        if deciding.party(provider)?.organisation != Organisation::Enterprise {
            return Err(Refusal::invalid(
                "revenue.provider_rates",
                format!("{provider} 不是企业，行政事业单位不得取得现金分成"),
                format!("{provider} is not an enterprise: an administrative unit receives no cash share"),
            ));
        }
    }
    for provider in details.revenue.provider_rates.keys() {
        // What is due to a treasury is told by its party alone, so it receives nothing in another quality.
        if deciding.party(provider)?.roles.contains(&Role::Finance) {
            return Err(Refusal::invalid(
                "revenue.provider_rates",
                format!("{provider} 是财政部门，不得同时作为提供方取得分成"),
                format!("{provider} is a finance department and receives no provider's part"),
            ));
        }
    }
    details.revenue.split(&details.operator)?;
    Ok(())
}

fn check_scopes(deciding: &mut Deciding<'_>, implementer: &PartyId, details: &MandateDetails) -> Result<(), Refusal> {
    let plan = deciding.plan(&details.plan)?;
    if plan.implementer != *implementer || !matches!(plan.stage, PlanStage::Approved { .. }) {
        return Err(Refusal::wrong_state(&details.plan, plan.state(), "approved, of this implementer"));
    }
    if details.items.is_empty() {
        return Err(Refusal::invalid("items", "至少一项资源", "at least one resource"));
    }
    let rulebook = deciding.state.rulebook();
    let starts_on = details.term.from.to_zoned_datetime(beijing()).date();
    let last_day = starts_on.saturating_add(i64::from(rulebook.mandate_years_max).years());
    if details.term.until.to_zoned_datetime(beijing()).date() > last_day {
        return Err(Refusal::invalid(
            "term",
            format!("授权期限不超过 {} 年", rulebook.mandate_years_max),
            format!("a mandate lasts at most {} years", rulebook.mandate_years_max),
        ));
    }
    for (resource, narrowing) in &details.items {
        let narrowing = narrowing.within_term(details.term);
        chain::plan_scope(deciding, &details.plan, resource)?.narrow(&narrowing)?;
    }
    Ok(())
}

pub(crate) fn approve(deciding: &mut Deciding<'_>, acting: &Acting, id: &MandateId) -> Result<(), Refusal> {
    let mandate = deciding.mandate(id)?;
    acting.must_act_for(&mandate.implementer)?;
    if !matches!(mandate.stage, MandateStage::Drafted) {
        return Err(Refusal::wrong_state(id, mandate.state(), "drafted"));
    }
    if mandate.drafted_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    check_scopes(deciding, &mandate.implementer, &mandate.details)?;
    deciding.emit(id, Event::Mandate(MandateEvent::Approved));
    Ok(())
}

pub(crate) fn sign_agreement(deciding: &mut Deciding<'_>, acting: &Acting, id: &MandateId) -> Result<(), Refusal> {
    let mandate = deciding.mandate(id)?;
    let party = acting.party()?.clone();
    if !mandate.is_side(&party) {
        return Err(Refusal::not_permitted(
            id,
            "协议由实施机构和运营机构签署",
            "the agreement is signed by its implementer and its operator",
        ));
    }
    if !matches!(mandate.stage, MandateStage::Approved) || mandate.signatures.contains_key(&party) {
        return Err(Refusal::wrong_state(id, mandate.state(), "approved and not yet signed for this party"));
    }
    deciding.emit(id, Event::Mandate(MandateEvent::Signed { party }));
    if mandate.signatures.len() == 1 {
        deciding.emit(id, Event::Mandate(MandateEvent::EnteredForce));
        for resource in mandate.details.items.keys() {
            let (holder, term) = (&mandate.details.operator, mandate.details.term);
            right::record(deciding, RightKind::Use, resource.as_str(), holder, id.as_str(), term);
        }
    }
    Ok(())
}

/// The implementer may suspend and resume its own mandates, the data authority any.
fn supervised<'a>(deciding: &mut Deciding<'a>, acting: &Acting, id: &MandateId) -> Result<&'a Mandate, Refusal> {
    let mandate = deciding.mandate(id)?;
    if !acting.roles.contains(&Role::DataAuthority) {
        acting.must_act_for(&mandate.implementer)?;
    }
    Ok(mandate)
}

pub(crate) fn suspend(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &MandateId,
    reason: &str,
) -> Result<(), Refusal> {
    let mandate = supervised(deciding, acting, id)?;
    let may_be_suspended = match &mandate.stage {
        MandateStage::InForce => true,
        // The implementer could resume what it suspended itself, so the data authority's suspension takes over.
        MandateStage::Suspended { by, .. } => {
            acting.roles.contains(&Role::DataAuthority) && !is_of_data_authority(deciding, by)?
        }
        MandateStage::Drafted | MandateStage::Approved | MandateStage::Revoked { .. } => false,
    };
    if !may_be_suspended {
        return Err(Refusal::wrong_state(id, mandate.state(), "in_force"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Mandate(MandateEvent::Suspended { reason }));
    Ok(())
}

/// Whether somebody acts for a data authority.
fn is_of_data_authority(deciding: &mut Deciding<'_>, actor: &Actor) -> Result<bool, Refusal> {
    let Actor::User(user) = actor else { return Ok(false) };
    let party = deciding.user(user)?.party.clone();
    Ok(deciding.party(&party)?.roles_in(deciding.state).contains(&Role::DataAuthority))
}

pub(crate) fn resume(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &MandateId,
    reason: &str,
) -> Result<(), Refusal> {
    let mandate = supervised(deciding, acting, id)?;
    let MandateStage::Suspended { by, .. } = &mandate.stage else {
        return Err(Refusal::wrong_state(id, mandate.state(), "suspended"));
    };
    // What its supervisor shut, the implementer can't open again.
    if !acting.roles.contains(&Role::DataAuthority) && is_of_data_authority(deciding, by)? {
        return Err(Refusal::not_permitted(
            id,
            "由数据主管部门中止的授权，只能由数据主管部门恢复",
            "a mandate that the data authority suspended is resumed by the data authority alone",
        ));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Mandate(MandateEvent::Resumed { reason }));
    Ok(())
}

pub(crate) fn revoke(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &MandateId,
    reason: &str,
) -> Result<(), Refusal> {
    let mandate = deciding.mandate(id)?;
    acting.must_act_for(&mandate.implementer)?;
    if !matches!(mandate.stage, MandateStage::InForce | MandateStage::Suspended { .. }) {
        return Err(Refusal::wrong_state(id, mandate.state(), "in_force or suspended"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Mandate(MandateEvent::Revoked { reason }));
    right::end_by_basis(deciding, id.as_str());
    Ok(())
}
