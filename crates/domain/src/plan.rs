//! Implementation plans (实施方案): what an implementer intends to authorise. Once the data authority approves it, the
//! plan with its list is the ceiling of every mandate (OP-27).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::chain;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, PlanId, ResourceId, SupplyId};
use crate::refusal::Refusal;
use crate::scope::{Narrowing, Term};
use crate::shared_quota;
use crate::state::{Listed, Meta};

/// Most resources of one list.
pub const PLAN_ITEMS_MAX: usize = 500;

/// 授权运营模式: overall, by field or by scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum AuthorisationMode {
    /// 整体授权（区域一体化）
    Overall,
    /// 分领域授权（行业主导）
    ByField,
    /// 依场景授权（场景牵引）
    ByScenario,
}

/// One line of the list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanItem {
    /// The provider's confirmation that bounds the line.
    pub supply: SupplyId,
    /// What of the supply.
    #[serde(default)]
    pub narrowing: Narrowing,
}

/// What a plan says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct PlanDetails {
    /// 名称
    pub name: String,
    /// Need and feasibility.
    pub need: String,
    /// Mode.
    pub mode: AuthorisationMode,
    /// The list.
    pub items: BTreeMap<ResourceId, PlanItem>,
    /// Conditions and procedure for choosing the operator.
    pub operator_selection: String,
    /// Term of what is authorised under it.
    pub term: Term,
    /// Products and services, price and revenue.
    pub products_and_revenue: String,
    /// Security, supervision, evaluation and exit.
    pub security_and_exit: String,
}

/// A plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    /// Its id.
    pub id: PlanId,
    /// Whose.
    pub implementer: PartyId,
    /// What it says.
    pub details: PlanDetails,
    /// Who drafted it.
    pub drafted_by: Actor,
    /// Where it stands.
    pub stage: PlanStage,
}

/// Where a plan stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum PlanStage {
    /// A draft of the implementer.
    Drafted,
    /// Decided as a major matter of the unit (三重一大); the data authority decides next.
    Submitted {
        /// Number of the minutes of the collective decision.
        minutes: String,
        /// Who submitted.
        by: Actor,
    },
    /// Approved.
    Approved {
        /// Number of the approval document.
        document: String,
        /// Who approved.
        by: Actor,
    },
    /// Returned.
    Returned {
        /// Why.
        reason: String,
        /// Who returned it.
        by: Actor,
    },
}

/// What happened to a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PlanEvent {
    /// It was drafted.
    Drafted {
        /// Whose.
        implementer: PartyId,
        /// What it says.
        details: Box<PlanDetails>,
    },
    /// It was submitted.
    Submitted {
        /// Number of the minutes.
        minutes: String,
    },
    /// It was approved.
    Approved {
        /// Number of the document.
        document: String,
    },
    /// It was returned.
    Returned {
        /// Why.
        reason: String,
    },
}

impl Plan {
    pub(crate) fn fold(previous: Option<Self>, id: PlanId, event: &PlanEvent, meta: &Meta) -> Option<Self> {
        let by = meta.actor.clone();
        match (previous, event) {
            (None, PlanEvent::Drafted { implementer, details }) => Some(Self {
                id,
                implementer: implementer.clone(),
                details: (**details).clone(),
                drafted_by: by,
                stage: PlanStage::Drafted,
            }),
            (Some(plan), PlanEvent::Submitted { minutes }) if plan.stage == PlanStage::Drafted => {
                Some(Self { stage: PlanStage::Submitted { minutes: minutes.clone(), by }, ..plan })
            }
            (Some(plan), PlanEvent::Approved { document }) if plan.is_submitted() => {
                Some(Self { stage: PlanStage::Approved { document: document.clone(), by }, ..plan })
            }
            (Some(plan), PlanEvent::Returned { reason }) if plan.is_submitted() => {
                Some(Self { stage: PlanStage::Returned { reason: reason.clone(), by }, ..plan })
            }
            _ => None,
        }
    }

    fn is_submitted(&self) -> bool {
        matches!(self.stage, PlanStage::Submitted { .. })
    }
}

impl Listed for Plan {
    fn state(&self) -> &'static str {
        match self.stage {
            PlanStage::Drafted => "drafted",
            PlanStage::Submitted { .. } => "submitted",
            PlanStage::Approved { .. } => "approved",
            PlanStage::Returned { .. } => "returned",
        }
    }
    fn title(&self) -> String {
        self.details.name.clone()
    }
    fn owner(&self) -> String {
        self.implementer.to_string()
    }
}

pub(crate) fn draft(deciding: &mut Deciding<'_>, acting: &Acting, details: &PlanDetails) -> Result<(), Refusal> {
    let implementer = acting.party()?.clone();
    if details.items.is_empty() || details.items.len() > PLAN_ITEMS_MAX {
        return Err(Refusal::invalid(
            "items",
            format!("清单为 1 至 {PLAN_ITEMS_MAX} 项"),
            format!("a list has 1 to {PLAN_ITEMS_MAX} items"),
        ));
    }
    for (field, text) in [
        ("name", &details.name),
        ("need", &details.need),
        ("operator_selection", &details.operator_selection),
        ("products_and_revenue", &details.products_and_revenue),
        ("security_and_exit", &details.security_and_exit),
    ] {
        deciding.text(field, text)?;
    }
    for (resource, item) in &details.items {
        let supply = deciding.supply(&item.supply)?;
        if supply.resource != *resource || supply.implementer != implementer {
            return Err(Refusal::invalid(
                "items",
                format!("{} 不是 {resource} 对本实施机构的供数确认", item.supply),
                format!("{} is not a supply of {resource} to this implementer", item.supply),
            ));
        }
        shared_quota::must_set_none(&item.narrowing)?;
        let narrowing = item.narrowing.within_term(details.term);
        chain::supply_scope(deciding, &item.supply)?.narrow(&narrowing)?;
    }
    let id = PlanId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Plan(PlanEvent::Drafted { implementer, details: Box::new(details.clone()) }));
    Ok(())
}

pub(crate) fn submit(deciding: &mut Deciding<'_>, acting: &Acting, id: &PlanId, minutes: &str) -> Result<(), Refusal> {
    let plan = deciding.plan(id)?;
    acting.must_act_for(&plan.implementer)?;
    if !matches!(plan.stage, PlanStage::Drafted) {
        return Err(Refusal::wrong_state(id, plan.state(), "drafted"));
    }
    if plan.drafted_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    let minutes = deciding.text("minutes", minutes)?;
    deciding.emit(id, Event::Plan(PlanEvent::Submitted { minutes }));
    Ok(())
}

pub(crate) fn approve(deciding: &mut Deciding<'_>, id: &PlanId, document: &str) -> Result<(), Refusal> {
    let plan = deciding.plan(id)?;
    if !plan.is_submitted() {
        return Err(Refusal::wrong_state(id, plan.state(), "submitted"));
    }
    // What has shrunk since the draft would be approved wider than its parent: look again.
    for item in plan.details.items.values() {
        let narrowing = item.narrowing.within_term(plan.details.term);
        chain::supply_scope(deciding, &item.supply)?.narrow(&narrowing)?;
    }
    let document = deciding.text("document", document)?;
    deciding.emit(id, Event::Plan(PlanEvent::Approved { document }));
    Ok(())
}

pub(crate) fn give_back(deciding: &mut Deciding<'_>, id: &PlanId, reason: &str) -> Result<(), Refusal> {
    let plan = deciding.plan(id)?;
    if !plan.is_submitted() {
        return Err(Refusal::wrong_state(id, plan.state(), "submitted"));
    }
    let reason = deciding.text("reason", reason)?;
    deciding.emit(id, Event::Plan(PlanEvent::Returned { reason }));
    Ok(())
}
