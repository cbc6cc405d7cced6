//! Registration (登记) of resources and products: application, acceptance, review, publicity, certificate (REG-26).
//!
//! Registration makes a thing public knowledge; it does not create rights. The applicant is the party that holds the
//! resource or operates the product. Publicity starts when review passes and lasts the rulebook's working days; a
//! certificate before its end is refused with the day from which it may be issued.
//!
//! A certificate holds for the rulebook's years and is renewed by the same steps: from [`RENEWAL_DAYS`] before its end on,
//! and after it, the holder applies anew, and the new certificate takes the place of the old one.

use jiff::Timestamp;
use jiff::ToSpan;
use serde::{Deserialize, Serialize};

use crate::access::{Acting, Actor};
use crate::calendar::{Calendar, Deadline, beijing, day_of};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, ProductId, RegistrationId, ResourceId};
use crate::party::Role;
use crate::product::{ProductEvent, ProductStage};
use crate::refusal::{Refusal, RefusalCode};
use crate::resource::ResourceEvent;
use crate::right::{self, RightKind};
use crate::state::{Listed, Meta};

/// How many days before the end of a certificate its renewal may be applied for (REG-26).
pub const RENEWAL_DAYS: i64 = 60;

/// What is registered.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Registrable {
    /// A resource.
    Resource(ResourceId),
    /// A product.
    Product(ProductId),
}

impl Registrable {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Registrable::Resource(id) => id.as_str(),
            Registrable::Product(id) => id.as_str(),
        }
    }
}

/// What a registration ends in: a code that anyone can check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Certificate {
    /// 登记编码: division, kind, year, serial; unique in the node.
    pub code: String,
    /// The registration it came from.
    pub registration: RegistrationId,
    /// When it was issued.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub issued_at: Timestamp,
    /// Until when it holds.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub valid_until: Timestamp,
}

impl Certificate {
    /// The moment from which its renewal may be applied for.
    pub fn renewable_from(&self) -> Timestamp {
        self.valid_until.checked_sub((24 * RENEWAL_DAYS).hours()).unwrap_or(Timestamp::MIN)
    }

    fn may_be_renewed_at(&self, moment: Timestamp) -> bool {
        self.renewable_from() <= moment
    }
}

/// A registration procedure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Registration {
    /// Its id.
    pub id: RegistrationId,
    /// What is registered.
    pub object: Registrable,
    /// Its name, as publicity shows it.
    pub name: String,
    /// Brief content, as publicity shows it.
    pub content: String,
    /// The registering party.
    pub applicant: PartyId,
    /// Who applied.
    pub applied_by: Actor,
    /// The registrar, from acceptance on.
    pub registrar: Option<PartyId>,
    /// Where it stands.
    pub stage: RegistrationStage,
}

/// Where a registration stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RegistrationStage {
    /// The registrar must accept or return it.
    Applied {
        /// By when.
        deadline: Deadline,
    },
    /// Returned: what is missing, told once. A new application starts afresh.
    Returned {
        /// What is missing.
        missing: String,
    },
    /// The registrar must review it.
    Accepted {
        /// By when.
        deadline: Deadline,
        /// Who accepted.
        by: Actor,
    },
    /// In publicity (公示).
    Publicity {
        /// The last day of publicity.
        until: Deadline,
        /// Who reviewed.
        by: Actor,
    },
    /// Certified.
    Certified(Certificate),
}

/// What happened to a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationEvent {
    /// It was applied for.
    Applied {
        /// What is registered.
        object: Registrable,
        /// Name.
        name: String,
        /// Brief content.
        content: String,
        /// The registering party.
        applicant: PartyId,
        /// By when it must be accepted.
        deadline: Deadline,
    },
    /// The registrar accepted it.
    Accepted {
        /// The registrar.
        registrar: PartyId,
        /// By when it must be reviewed.
        deadline: Deadline,
    },
    /// The registrar returned it.
    Returned {
        /// The registrar.
        registrar: PartyId,
        /// What is missing.
        missing: String,
    },
    /// Review passed; publicity began.
    Publicised {
        /// The last day of publicity.
        until: Deadline,
    },
    /// The certificate was issued.
    Certified(Certificate),
}

impl Registration {
    pub(crate) fn fold(
        previous: Option<Self>,
        id: RegistrationId,
        event: &RegistrationEvent,
        meta: &Meta,
    ) -> Option<Self> {
        let mut registration = match (previous, event) {
            (None, RegistrationEvent::Applied { object, name, content, applicant, deadline }) => {
                return Some(Self {
                    id,
                    object: object.clone(),
                    name: name.clone(),
                    content: content.clone(),
                    applicant: applicant.clone(),
                    applied_by: meta.actor.clone(),
                    registrar: None,
                    stage: RegistrationStage::Applied { deadline: *deadline },
                });
            }
            (Some(registration), _) => registration,
            (None, _) => return None,
        };
        match (&registration.stage, event) {
            (RegistrationStage::Applied { .. }, RegistrationEvent::Accepted { registrar, deadline }) => {
                registration.registrar = Some(registrar.clone());
                registration.stage = RegistrationStage::Accepted { deadline: *deadline, by: meta.actor.clone() };
            }
            (RegistrationStage::Applied { .. }, RegistrationEvent::Returned { registrar, missing }) => {
                registration.registrar = Some(registrar.clone());
                registration.stage = RegistrationStage::Returned { missing: missing.clone() };
            }
            (RegistrationStage::Accepted { .. }, RegistrationEvent::Publicised { until }) => {
                registration.stage = RegistrationStage::Publicity { until: *until, by: meta.actor.clone() };
            }
            (RegistrationStage::Publicity { .. }, RegistrationEvent::Certified(certificate)) => {
                registration.stage = RegistrationStage::Certified(certificate.clone());
            }
            _ => return None,
        }
        Some(registration)
    }
}

impl Listed for Registration {
    fn state(&self) -> &'static str {
        match self.stage {
            RegistrationStage::Applied { .. } => "applied",
            RegistrationStage::Returned { .. } => "returned",
            RegistrationStage::Accepted { .. } => "accepted",
            RegistrationStage::Publicity { .. } => "publicity",
            RegistrationStage::Certified(_) => "certified",
        }
    }
    fn title(&self) -> String {
        self.name.clone()
    }
    fn owner(&self) -> String {
        self.applicant.to_string()
    }
}

pub(crate) fn apply(deciding: &mut Deciding<'_>, acting: &Acting, object: &Registrable) -> Result<(), Refusal> {
    let (name, content, holder, under_way) = match object {
        Registrable::Resource(id) => {
            let resource = deciding.resource(id)?;
            if resource.signed_by.is_none() || resource.snapshot.is_none() {
                return Err(Refusal::wrong_state(id, resource.state(), "signed, with a snapshot"));
            }
            let details = &resource.details;
            (&details.name, &details.summary, &resource.provider, resource.registration.clone())
        }
        Registrable::Product(id) => {
            let product = deciding.product(id)?;
            if matches!(product.stage, ProductStage::Drafted) {
                return Err(Refusal::wrong_state(id, product.state(), "reviewed"));
            }
            (&product.details.name, &product.details.summary, &product.operator, product.registration.clone())
        }
    };
    acting.must_act_for(holder)?;
    if let Some(under_way) = under_way {
        let registration = deciding.registration(&under_way)?;
        match &registration.stage {
            RegistrationStage::Returned { .. } => {}
            RegistrationStage::Certified(certificate) if certificate.may_be_renewed_at(deciding.context.now) => {}
            RegistrationStage::Certified(certificate) => {
                let from = day_of(certificate.renewable_from());
                return Err(Refusal::new(
                    RefusalCode::AlreadyExists,
                    &under_way,
                    format!("{under_way} 已办结，自 {from} 起可申请续展"),
                    format!("{under_way} is done; its renewal may be applied for from {from} on"),
                ));
            }
            RegistrationStage::Applied { .. }
            | RegistrationStage::Accepted { .. }
            | RegistrationStage::Publicity { .. } => {
                return Err(Refusal::new(
                    RefusalCode::AlreadyExists,
                    &under_way,
                    format!("{under_way} 正在办理"),
                    format!("{under_way} is under way"),
                ));
            }
        }
    }
    let rulebook = deciding.state.rulebook();
    let deadline = rulebook.calendar.working_days_after(deciding.context.now, rulebook.acceptance_days);
    let id = RegistrationId::next(&mut deciding.ids);
    let applied = RegistrationEvent::Applied {
        object: object.clone(),
        name: name.clone(),
        content: content.clone(),
        applicant: holder.clone(),
        deadline,
    };
    deciding.emit(&id, Event::Registration(applied));
    match object {
        Registrable::Resource(resource) => {
            deciding.emit(resource, Event::Resource(ResourceEvent::RegistrationApplied(id)));
        }
        Registrable::Product(product) => {
            deciding.emit(product, Event::Product(ProductEvent::RegistrationApplied(id)));
        }
    }
    Ok(())
}

pub(crate) fn accept(deciding: &mut Deciding<'_>, acting: &Acting, id: &RegistrationId) -> Result<(), Refusal> {
    let registration = deciding.registration(id)?;
    if !matches!(registration.stage, RegistrationStage::Applied { .. }) {
        return Err(Refusal::wrong_state(id, registration.state(), "applied"));
    }
    // A registrar may hold resources of its own; then another of its people decides on them.
    if registration.applied_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    let rulebook = deciding.state.rulebook();
    let deadline = rulebook.calendar.working_days_after(deciding.context.now, rulebook.review_days);
    let registrar = acting.party()?.clone();
    deciding.emit(id, Event::Registration(RegistrationEvent::Accepted { registrar, deadline }));
    Ok(())
}

pub(crate) fn give_back(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &RegistrationId,
    missing: &str,
) -> Result<(), Refusal> {
    let registration = deciding.registration(id)?;
    if !matches!(registration.stage, RegistrationStage::Applied { .. }) {
        return Err(Refusal::wrong_state(id, registration.state(), "applied"));
    }
    let missing = deciding.text("missing", missing)?;
    let registrar = acting.party()?.clone();
    deciding.emit(id, Event::Registration(RegistrationEvent::Returned { registrar, missing }));
    Ok(())
}

pub(crate) fn review(deciding: &mut Deciding<'_>, acting: &Acting, id: &RegistrationId) -> Result<(), Refusal> {
    let registration = deciding.registration(id)?;
    let RegistrationStage::Accepted { by, .. } = &registration.stage else {
        return Err(Refusal::wrong_state(id, registration.state(), "accepted"));
    };
    must_go_on_with(deciding, acting, registration)?;
    if *by == acting.actor || registration.applied_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    let rulebook = deciding.state.rulebook();
    let until = rulebook.calendar.working_days_after(deciding.context.now, rulebook.publicity_days);
    deciding.emit(id, Event::Registration(RegistrationEvent::Publicised { until }));
    Ok(())
}

/// The last day of publicity. One that lies in a year whose holidays were not published when it began is counted anew, by what
/// is known now; it never becomes an earlier one.
fn last_day_of_publicity(deciding: &Deciding<'_>, id: &RegistrationId, until: Deadline) -> Deadline {
    let Some(registration) = deciding.state.registrations.get(id).filter(|_| until.provisional) else { return until };
    let rulebook = deciding.state.rulebook();
    // Publicity began with the last event that there is of it.
    let anew = rulebook.calendar.working_days_after(registration.updated_at, rulebook.publicity_days);
    if anew.on > until.on { anew } else { until }
}

/// Whoever accepted a registration goes on with it; another registrar does where that one is none of this node.
fn must_go_on_with(deciding: &mut Deciding<'_>, acting: &Acting, registration: &Registration) -> Result<(), Refusal> {
    let Some(registrar) = &registration.registrar else { return Ok(()) };
    let is_registrar = deciding.party(registrar)?.roles_in(deciding.state).contains(&Role::Registrar);
    if is_registrar { acting.must_act_for(registrar) } else { Ok(()) }
}

pub(crate) fn certify(deciding: &mut Deciding<'_>, acting: &Acting, id: &RegistrationId) -> Result<(), Refusal> {
    let registration = deciding.registration(id)?;
    let RegistrationStage::Publicity { until, .. } = &registration.stage else {
        return Err(Refusal::wrong_state(id, registration.state(), "publicity"));
    };
    must_go_on_with(deciding, acting, registration)?;
    if registration.applied_by == acting.actor {
        return Err(Refusal::four_eyes(id));
    }
    let now = deciding.context.now;
    let until = last_day_of_publicity(deciding, id, *until);
    if !Calendar::has_passed(until, now) {
        return Err(Refusal::new(
            RefusalCode::TooEarly,
            id,
            format!("公示期至 {}（含），期满后方可发证", until.on),
            format!("publicity lasts through {}; the certificate may be issued after that day", until.on),
        ));
    }
    // The serial is the count of certificates so far, so any other certificate that slips in is a conflict.
    deciding.scan();
    let issued = |registration: &&crate::state::Entity<Registration>| {
        matches!(registration.value.stage, RegistrationStage::Certified(_))
    };
    let serial = deciding.state.registrations.values().filter(issued).count() + 1;
    let today = now.to_zoned_datetime(beijing()).date();
    let (kind, division) = match &registration.object {
        Registrable::Resource(resource) => ("R", deciding.resource(resource)?.details.division.clone()),
        Registrable::Product(_) => ("P", deciding.party(&registration.applicant)?.division.clone()),
    };
    let rulebook = deciding.state.rulebook();
    let valid_until = today
        .saturating_add(i64::from(rulebook.certificate_years).years())
        .to_zoned_datetime(beijing())
        .map_or(now, |zoned| zoned.timestamp());
    let certificate = Certificate {
        code: format!("{}-{kind}-{}-{serial:06}", division.as_str(), today.year()),
        registration: id.clone(),
        issued_at: now,
        valid_until,
    };
    let holder = registration.applicant.clone();
    let term = crate::scope::Term { from: now, until: valid_until };
    deciding.emit(id, Event::Registration(RegistrationEvent::Certified(certificate.clone())));
    match &registration.object {
        Registrable::Resource(resource) => {
            deciding.emit(resource, Event::Resource(ResourceEvent::Certified(certificate.clone())));
            right::record(deciding, RightKind::Hold, resource.as_str(), &holder, &certificate.code, term);
        }
        Registrable::Product(product) => {
            deciding.emit(product, Event::Product(ProductEvent::Certified(certificate.clone())));
            right::record(deciding, RightKind::Operate, product.as_str(), &holder, &certificate.code, term);
        }
    }
    Ok(())
}
