//! Consents (个人/企业授权): a subject's permission for a purpose and a consumer; withdrawn as easily as given (PIPL
//! art. 14, 15). Who the subject is stands in the erasable vault alone; here he is an id.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::access::Acting;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{ConsentId, PartyId, ResourceId, SubjectId};
use crate::party::Role;
use crate::product::ProductDetails;
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::{ColumnName, Purpose, Scope, Term};
use crate::state::{Listed, Meta};

/// Columns by resource: what a delivery needs of each, or what a consent is limited to.
pub type Fields = BTreeMap<ResourceId, BTreeSet<ColumnName>>;

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
    /// Which columns of a resource. A resource that is not named here: all of its columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<ResourceId, BTreeSet<ColumnName>>,
    /// From when until when.
    pub term: Term,
    /// The words that were shown to him: informed, in plain language.
    pub statement: String,
}

/// What a subject leaves of a consent. It lies within what he gave; consumer, purpose and statement stay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct ConsentLimits {
    /// About which resources.
    pub resources: BTreeSet<ResourceId>,
    /// Which columns of a resource. A resource that is not named here: all of its columns.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub fields: BTreeMap<ResourceId, BTreeSet<ColumnName>>,
    /// From when until when.
    pub term: Term,
}

impl ConsentDetails {
    /// True when it permits a consumer to get these columns for a purpose, while its term runs. One consent permits all of
    /// them or does not count: what several say is never put together.
    pub fn permits(&self, consumer: &PartyId, purpose: &Purpose, needed: &Fields) -> bool {
        self.consumer == *consumer
            && purpose.is_within(&self.purpose)
            && needed.iter().all(|(resource, columns)| {
                self.resources.contains(resource)
                    && self.fields.get(resource).is_none_or(|given| given.is_superset(columns))
            })
    }

    /// What is left under limits. Errors: `scope_too_wide` when they are not within what was given, `invalid` when they
    /// leave nothing or change nothing.
    pub(crate) fn narrowed(&self, limits: &ConsentLimits) -> Result<ConsentDetails, Refusal> {
        let ConsentLimits { resources, fields, term } = limits;
        let kept = |resource: &ResourceId| match (self.fields.get(resource), fields.get(resource)) {
            (None, _) => true,
            (Some(given), Some(left)) => given.is_superset(left),
            (Some(_), None) => false,
        };
        if !self.resources.is_superset(resources) || !term.is_within(&self.term) || !resources.iter().all(kept) {
            return Err(Refusal::new(
                RefusalCode::ScopeTooWide,
                "limits",
                "缩小后的同意不得超出原同意的资源、字段和期限；要扩大请另行作出同意",
                "what is left lies within the resources, columns and term that were given; give another consent for more",
            ));
        }
        let details =
            ConsentDetails { resources: resources.clone(), fields: fields.clone(), term: *term, ..self.clone() };
        details.check_form()?;
        if details == *self {
            return Err(Refusal::invalid("limits", "没有任何缩小", "this narrows nothing"));
        }
        Ok(details)
    }

    /// Resources, columns and term are there and belong together. Error: `invalid`.
    fn check_form(&self) -> Result<(), Refusal> {
        if self.resources.is_empty() || self.term.from >= self.term.until {
            return Err(Refusal::invalid("term", "须写明数据资源和期限", "name the resources and a term"));
        }
        if self.fields.iter().any(|(resource, columns)| columns.is_empty() || !self.resources.contains(resource)) {
            return Err(Refusal::invalid(
                "fields",
                "字段须属于所列数据资源，且每项资源至少一个字段",
                "columns are of the named resources, at least one of each",
            ));
        }
        Ok(())
    }

    /// Everything that a consent must say, whoever takes it. Errors: `invalid`, `not_found`.
    pub(crate) fn check(&self, deciding: &mut Deciding<'_>) -> Result<(), Refusal> {
        if !deciding.party(&self.consumer)?.roles.contains(&Role::Consumer) {
            return Err(Refusal::invalid("consumer", "该主体不是使用方", "this party is not a consumer"));
        }
        self.check_form()?;
        for resource in &self.resources {
            let columns = &deciding.resource(resource)?.details.columns;
            for field in self.fields.get(resource).into_iter().flatten() {
                if !columns.iter().any(|column| column.name == *field) {
                    return Err(Refusal::invalid(
                        "fields",
                        format!("数据资源没有字段 {field}"),
                        format!("the resource has no column {field}"),
                    ));
                }
            }
        }
        if self.purpose == Purpose::any() {
            return Err(Refusal::invalid(
                "purpose",
                "同意须针对具体用途（个人信息保护法第十四条）",
                "a consent is bound to a stated purpose (PIPL art. 14)",
            ));
        }
        deciding.text("statement", &self.statement)?;
        Ok(())
    }
}

/// The source columns that an order's answers show or depend on: the lineage of every column that any of its modes
/// shows, and the columns that decide which rows there are. A resource of which nothing is shown is needed all the same.
pub fn needed(details: &ProductDetails, scope: &Scope) -> Fields {
    let mut needed: Fields = details.inputs.keys().map(|resource| (resource.clone(), BTreeSet::new())).collect();
    let shown: BTreeSet<&ColumnName> =
        scope.modes.iter().flat_map(|mode| scope.visible_in(*mode)).map(|(column, _)| column).collect();
    let lineage = details.shape.columns.iter().filter(|column| shown.contains(&column.name));
    for source in lineage.flat_map(|column| &column.lineage).chain(&details.shape.conditions) {
        needed.entry(source.resource.clone()).or_default().insert(source.column.clone());
    }
    needed
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
    /// It was narrowed.
    Narrowed {
        /// What is left.
        limits: Box<ConsentLimits>,
    },
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
            (Some(consent), ConsentEvent::Narrowed { limits }) if consent.withdrawn_at.is_none() => {
                Some(Self { details: consent.details.narrowed(limits).ok()?, ..consent })
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

/// The subject who gives a command for himself. Error: `not_permitted`.
pub(crate) fn subject_of(acting: &Acting) -> Result<SubjectId, Refusal> {
    acting.actor.subject().cloned().ok_or_else(|| {
        Refusal::not_permitted(
            &acting.actor,
            "同意只能由数据主体本人作出、缩小或撤回",
            "consent is given, narrowed and withdrawn by the subject himself",
        )
    })
}

/// Refuses a consent agent who is tied to the consumer of the consent: he would vouch for it in a matter of his own. Error:
/// `not_permitted`.
pub(crate) fn must_be_disinterested(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    consumer: &PartyId,
) -> Result<(), Refusal> {
    let Some(user) = acting.actor.user() else { return Ok(()) };
    let agent = deciding.user(user)?.party.clone();
    let agent = deciding.party(&agent)?;
    if agent.is_tied_to(deciding.party(consumer)?) {
        return Err(Refusal::not_permitted(
            &agent.id,
            "受理机构与使用方有关联关系，不得受理对该使用方的同意",
            "a consent agent takes no consents to a consumer that it is tied to",
        ));
    }
    Ok(())
}

pub(crate) fn give(deciding: &mut Deciding<'_>, acting: &Acting, details: &ConsentDetails) -> Result<(), Refusal> {
    let subject = subject_of(acting)?;
    details.check(deciding)?;
    must_be_disinterested(deciding, acting, &details.consumer)?;
    let id = ConsentId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Consent(ConsentEvent::Given { subject, details: Box::new(details.clone()) }));
    Ok(())
}

pub(crate) fn withdraw(deciding: &mut Deciding<'_>, acting: &Acting, id: &ConsentId) -> Result<(), Refusal> {
    own(deciding, acting, id)?;
    deciding.emit(id, Event::Consent(ConsentEvent::Withdrawn));
    Ok(())
}

pub(crate) fn narrow(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ConsentId,
    limits: &ConsentLimits,
) -> Result<(), Refusal> {
    own(deciding, acting, id)?.details.narrowed(limits)?;
    deciding.emit(id, Event::Consent(ConsentEvent::Narrowed { limits: Box::new(limits.clone()) }));
    Ok(())
}

/// The actor's own consent that he has not withdrawn.
fn own<'a>(deciding: &mut Deciding<'a>, acting: &Acting, id: &ConsentId) -> Result<&'a Consent, Refusal> {
    let subject = subject_of(acting)?;
    let consent = deciding.consent(id)?;
    if consent.subject != subject {
        // Whether another's consent exists is nobody's business.
        return Err(Refusal::not_found(id));
    }
    if consent.withdrawn_at.is_some() {
        return Err(Refusal::wrong_state(id, "withdrawn", "given"));
    }
    Ok(consent)
}
