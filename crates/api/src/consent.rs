//! Consents, as their subjects give, narrow and withdraw them before a consent agent (个人授权受理机构): a party whose front end
//! knows which person is before it. It vouches for that, and the journal names its user beside the subject.
//!
//! A person is named by his identity, such as an id number. It stands in bodies alone, never in an address that would be
//! logged on its way, and so reading a person's consents is a POST too. Everybody else is refused before anything is looked
//! up, for what is found would tell who consented. Consents are listed to nobody else: whose they are is personal. They are
//! counted, so that supervision sees that the condition is kept.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use lingqu_app::{ConsentRef, TakenBy};
use lingqu_domain::command::Command;
use lingqu_domain::consent::{ConsentDetails, ConsentLimits};
use lingqu_domain::consent_batch::MEMBERS_MAX;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::command::options;
use crate::problem::{Body, ProblemDocument};
use crate::session::{Changing, Viewer};
use crate::visibility::{OVERSIGHT, Sight};
use crate::{Api, Shared};

/// Longest identity, in bytes.
const IDENTITY_BYTES_MAX: usize = 256;

/// A consent that a person gives.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentForm {
    /// What names the person in the data, such as his id number; it goes into the sealed vault and nowhere else.
    identity: String,
    /// What he permits.
    details: ConsentDetails,
}

/// Consents in the same words that many persons gave, each of them himself.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ConsentsForm {
    /// What names the persons, 1 to 10,000, each once.
    identities: Vec<String>,
    /// What each of them permits.
    details: ConsentDetails,
}

/// A person.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdentityForm {
    /// What names him in the data.
    pub(crate) identity: String,
}

/// A consent that a person withdraws.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct WithdrawalForm {
    /// What names the person in the data.
    identity: String,
    /// The consent, as it was named when it was given.
    consent: String,
}

/// A consent of which a person leaves less.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NarrowingForm {
    /// What names the person in the data.
    identity: String,
    /// The consent, as it was named when it was given.
    consent: String,
    /// What is left of it.
    limits: ConsentLimits,
}

/// A consent by its name.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamedConsent {
    /// Its name: an id, or the id of a batch and the place in it (`csb_…/7`).
    consent: String,
}

/// Consents by their names.
#[derive(Serialize, ToSchema)]
pub(crate) struct NamedConsents {
    /// Their names, in the order of the identities.
    consents: Vec<String>,
}

/// A person's consent.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonalConsent {
    /// Its name.
    consent: String,
    /// What it permits.
    details: ConsentDetails,
    /// When it was given.
    #[schema(value_type = String)]
    given_at: Timestamp,
    /// Whether it is withdrawn, or lives on as a narrower one.
    is_withdrawn: bool,
}

/// A person's consents.
#[derive(Serialize, ToSchema)]
pub(crate) struct PersonalConsents {
    /// Those of batches first, each kind as it was given.
    items: Vec<PersonalConsent>,
}

/// Takes a consent that a person gives. For a handler of a consent agent, before whom the person is; one who is tied to the
/// consumer is refused.
#[utoipa::path(post, path = "/api/v1/consents", operation_id = "take_consent", tag = "consents", request_body = ConsentForm,
    params(("Idempotency-Key" = String, Header, description = "a new one for each change")),
    responses((status = 201, body = NamedConsent), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn take(
    State(api): Shared,
    Changing(viewer): Changing,
    headers: HeaderMap,
    Body(form): Body<ConsentForm>,
) -> Result<(StatusCode, Json<NamedConsent>), ProblemDocument> {
    let taken_by = taken_by(&api, &viewer, Some(&headers))?;
    must_be_identity(&form.identity)?;
    must_know(&api, &viewer, &form.details)?;
    let consent = api.app.take_consent(taken_by, &form.identity, form.details).await?;
    Ok((StatusCode::CREATED, Json(NamedConsent { consent: consent.to_string() })))
}

/// Takes consents in the same words that many persons gave, each of them himself: all of them or none. For a handler of a
/// consent agent. Like a single one, each is withdrawn and narrowed by its person alone.
#[utoipa::path(post, path = "/api/v1/consents/batches", operation_id = "take_consents", tag = "consents", request_body = ConsentsForm,
    params(("Idempotency-Key" = String, Header, description = "a new one for each change")),
    responses((status = 201, body = NamedConsents), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn take_many(
    State(api): Shared,
    Changing(viewer): Changing,
    headers: HeaderMap,
    Body(form): Body<ConsentsForm>,
) -> Result<(StatusCode, Json<NamedConsents>), ProblemDocument> {
    let taken_by = taken_by(&api, &viewer, Some(&headers))?;
    if form.identities.len() > MEMBERS_MAX as usize {
        return Err(ProblemDocument::invalid(
            "identities",
            format!("每批至多 {MEMBERS_MAX} 人"),
            format!("a batch has at most {MEMBERS_MAX} persons; send the rest in another"),
        ));
    }
    let mut identities = Vec::with_capacity(form.identities.len());
    for identity in &form.identities {
        must_be_identity(identity)?;
        identities.push(identity.as_str());
    }
    must_know(&api, &viewer, &form.details)?;
    let named = api.app.take_consents(taken_by, &identities, form.details).await?;
    let consents = named.iter().map(ToString::to_string).collect();
    Ok((StatusCode::CREATED, Json(NamedConsents { consents })))
}

/// The consents of a person who is before a handler of a consent agent, withdrawn ones among them. Nothing is changed; it is a POST
/// so that the person does not stand in an address.
#[utoipa::path(post, path = "/api/v1/consents/of-person", operation_id = "list_consents_of_person", tag = "consents", request_body = IdentityForm,
    responses((status = 200, body = PersonalConsents), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 422, body = ProblemDocument)))]
pub(crate) async fn of_person(
    State(api): Shared,
    Changing(viewer): Changing,
    Body(form): Body<IdentityForm>,
) -> Result<Json<PersonalConsents>, ProblemDocument> {
    let taken_by = taken_by(&api, &viewer, None)?;
    must_be_identity(&form.identity)?;
    let mut items = Vec::new();
    for own in api.app.read_consents(&taken_by, &form.identity).await? {
        items.push(PersonalConsent {
            consent: own.named.to_string(),
            details: own.details,
            given_at: own.given_at,
            is_withdrawn: own.is_withdrawn,
        });
    }
    Ok(Json(PersonalConsents { items }))
}

/// Takes the withdrawal of a consent. It is in force at the next request; a delivery with the person in it that is running stops.
/// For a handler of a consent agent, of whichever took the consent.
#[utoipa::path(post, path = "/api/v1/consents/withdrawals", operation_id = "take_withdrawal", tag = "consents", request_body = WithdrawalForm,
    params(("Idempotency-Key" = String, Header, description = "a new one for each change")),
    responses((status = 204), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn withdraw(
    State(api): Shared,
    Changing(viewer): Changing,
    headers: HeaderMap,
    Body(form): Body<WithdrawalForm>,
) -> Result<StatusCode, ProblemDocument> {
    let taken_by = taken_by(&api, &viewer, Some(&headers))?;
    must_be_identity(&form.identity)?;
    api.app.take_withdrawal(taken_by, &form.identity, named(&form.consent)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Takes the narrowing of a consent: fewer resources or columns, a shorter term. Answers the name under which what is left goes
/// on. For a handler of a consent agent, of whichever took the consent.
#[utoipa::path(post, path = "/api/v1/consents/narrowings", operation_id = "take_narrowing", tag = "consents", request_body = NarrowingForm,
    params(("Idempotency-Key" = String, Header, description = "a new one for each change")),
    responses((status = 200, body = NamedConsent), (status = 401, body = ProblemDocument), (status = 403, body = ProblemDocument),
        (status = 404, body = ProblemDocument), (status = 409, body = ProblemDocument), (status = 422, body = ProblemDocument)))]
pub(crate) async fn narrow(
    State(api): Shared,
    Changing(viewer): Changing,
    headers: HeaderMap,
    Body(form): Body<NarrowingForm>,
) -> Result<Json<NamedConsent>, ProblemDocument> {
    let taken_by = taken_by(&api, &viewer, Some(&headers))?;
    must_be_identity(&form.identity)?;
    let consent = api.app.take_narrowing(taken_by, &form.identity, named(&form.consent)?, form.limits).await?;
    Ok(Json(NamedConsent { consent: consent.to_string() }))
}

/// The viewer as somebody before whom persons act. Error: `not_permitted` for everybody who is not.
pub(crate) fn taken_by(api: &Api, viewer: &Viewer, headers: Option<&HeaderMap>) -> Result<TakenBy, ProblemDocument> {
    let options = headers.map(options).transpose()?.unwrap_or_default();
    let taken_by = TakenBy { user: Some(viewer.session.user.clone()), options };
    api.app.must_take_consents(&taken_by)?;
    Ok(taken_by)
}

/// Answers a consent about what the viewer may not know of as if there were no such thing.
fn must_know(api: &Api, viewer: &Viewer, details: &ConsentDetails) -> Result<(), ProblemDocument> {
    let command = Command::GiveConsent { details: Box::new(details.clone()) };
    let hidden = api.app.read(|state| Sight::new(viewer, state).hidden_in(&command));
    hidden.map_or(Ok(()), |id| Err(ProblemDocument::not_found(&id)))
}

pub(crate) fn must_be_identity(identity: &str) -> Result<(), ProblemDocument> {
    if identity.trim().is_empty() || identity.len() > IDENTITY_BYTES_MAX {
        return Err(ProblemDocument::invalid(
            "identity",
            format!("本人标识为 1 至 {IDENTITY_BYTES_MAX} 字节"),
            format!("what names a person has 1 to {IDENTITY_BYTES_MAX} bytes"),
        ));
    }
    Ok(())
}

/// A name that is none is one of a consent that there is not.
fn named(consent: &str) -> Result<ConsentRef, ProblemDocument> {
    consent.parse().map_err(|_| ProblemDocument::not_found(&consent.chars().take(80).collect::<String>()))
}

/// How many consents there are.
#[derive(Serialize, ToSchema)]
pub(crate) struct ConsentCounts {
    /// Ever given.
    given: u64,
    /// In force now.
    in_force: u64,
    /// Withdrawn by their subjects.
    withdrawn: u64,
}

/// Counts of consents: all of them for oversight, those given to the viewer's own party for everybody else.
#[utoipa::path(get, path = "/api/v1/consents/counts", operation_id = "count_consents", tag = "lists",
    responses((status = 200, body = ConsentCounts), (status = 401, body = ProblemDocument)))]
pub(crate) async fn counts(State(api): Shared, viewer: Viewer) -> Json<ConsentCounts> {
    let now = api.app.now();
    let sees_all = viewer.has_role(&OVERSIGHT);
    let mut counts = ConsentCounts { given: 0, in_force: 0, withdrawn: 0 };
    api.app.read(|state| {
        for consent in state.consents.values().map(|consent| &consent.value) {
            if !sees_all && consent.details.consumer != viewer.session.party {
                continue;
            }
            counts.given += 1;
            if consent.withdrawn_at.is_some() {
                counts.withdrawn += 1;
            } else if consent.details.term.covers(now) {
                counts.in_force += 1;
            }
        }
        for batch in state.consent_batches.values().map(|batch| &batch.value) {
            if !sees_all && batch.details.consumer != viewer.session.party {
                continue;
            }
            counts.given += u64::from(batch.count);
            counts.withdrawn += u64::from(batch.count - batch.standing());
            if batch.details.term.covers(now) {
                counts.in_force += u64::from(batch.standing());
            }
        }
    });
    Json(counts)
}
