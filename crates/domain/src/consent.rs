//! Consents (个人/企业授权): a subject's permission for a purpose and a consumer; withdrawn as easily as given (PIPL
//! art. 14, 15). Who the subject is stands in the erasable vault alone; here he is an id.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{ConsentId, PartyId, ResourceId, SubjectId};
use crate::party::Role;
use crate::refusal::Refusal;
use crate::scope::{Purpose, Term};
use crate::state::{Listed, Meta};

/// What a subject permits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConsentDetails {
    /// To whom.
    pub consumer: PartyId,
    /// What for.
    pub purpose: Purpose,
    /// About which resources.
    pub resources: BTreeSet<ResourceId>,
    /// From when until when.
    pub term: Term,
    /// The words that were shown to him: informed, in plain language.
    pub statement: String,
}

/// A consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Consent {
    /// Its id.
    pub id: ConsentId,
    /// Whose.
    pub subject: SubjectId,
    /// What is permitted.
    pub details: ConsentDetails,
    /// When it was given.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub given_at: Timestamp,
    /// When it was withdrawn, if it was.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub withdrawn_at: Option<Timestamp>,
}

impl Consent {
    /// True when it covers a delivery of these resources to a consumer for a purpose at a moment.
    pub fn covers(
        &self,
        consumer: &PartyId,
        purpose: &Purpose,
        resources: &BTreeSet<ResourceId>,
        moment: Timestamp,
    ) -> bool {
        self.withdrawn_at.is_none()
            && self.details.consumer == *consumer
            && purpose.is_within(&self.details.purpose)
            && self.details.resources.is_superset(resources)
            && self.details.term.covers(moment)
    }
}

/// What happened to a consent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentEvent {
    /// It was given.
    Given {
        /// Whose.
        subject: SubjectId,
        /// What is permitted.
        details: Box<ConsentDetails>,
    },
    /// It was withdrawn.
    Withdrawn,
}

impl Consent {
    pub(crate) fn fold(previous: Option<Self>, id: ConsentId, event: &ConsentEvent, meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, ConsentEvent::Given { subject, details }) => Some(Self {
                id,
                subject: subject.clone(),
                details: (**details).clone(),
                given_at: meta.at,
                withdrawn_at: None,
            }),
            (Some(consent), ConsentEvent::Withdrawn) if consent.withdrawn_at.is_none() => {
                Some(Self { withdrawn_at: Some(meta.at), ..consent })
            }
            _ => None,
        }
    }
}

impl Listed for Consent {
    fn state(&self) -> &'static str {
        if self.withdrawn_at.is_some() { "withdrawn" } else { "given" }
    }
    fn title(&self) -> String {
        self.details.purpose.0.clone()
    }
    fn owner(&self) -> String {
        self.subject.to_string()
    }
}

fn subject_of(acting: &Acting) -> Result<SubjectId, Refusal> {
    match &acting.actor {
        Actor::Subject(subject) => Ok(subject.clone()),
        other => Err(Refusal::not_permitted(
            other,
            "同意只能由数据主体本人作出或撤回",
            "consent is given and withdrawn by the subject himself",
        )),
    }
}

pub(crate) fn give(deciding: &mut Deciding<'_>, acting: &Acting, details: &ConsentDetails) -> Result<(), Refusal> {
    let subject = subject_of(acting)?;
    if !deciding.party(&details.consumer)?.roles.contains(&Role::Consumer) {
        return Err(Refusal::invalid("consumer", "该主体不是使用方", "this party is not a consumer"));
    }
    for resource in &details.resources {
        deciding.resource(resource)?;
    }
    if details.resources.is_empty() || details.term.from >= details.term.until {
        return Err(Refusal::invalid("term", "须写明数据资源和期限", "name the resources and a term"));
    }
    if details.purpose == Purpose::any() {
        return Err(Refusal::invalid(
            "purpose",
            "同意须针对具体用途（个人信息保护法第十四条）",
            "a consent is bound to a stated purpose (PIPL art. 14)",
        ));
    }
    deciding.text("statement", &details.statement)?;
    let id = ConsentId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Consent(ConsentEvent::Given { subject, details: Box::new(details.clone()) }));
    Ok(())
}

pub(crate) fn withdraw(deciding: &mut Deciding<'_>, acting: &Acting, id: &ConsentId) -> Result<(), Refusal> {
    let subject = subject_of(acting)?;
    let consent = deciding.consent(id)?;
    if consent.subject != subject {
        // Whether another's consent exists is nobody's business.
        return Err(Refusal::not_found(id));
    }
    if consent.withdrawn_at.is_some() {
        return Err(Refusal::wrong_state(id, "withdrawn", "given"));
    }
    deciding.emit(id, Event::Consent(ConsentEvent::Withdrawn));
    Ok(())
}
