//! Batches of consents (个人/企业授权, 批量): up to [`MEMBERS_MAX`] subjects who gave the same consent, recorded by one event.
//!
//! The event has a digest over the members; who they are stands in rows of the same database transaction. A member is
//! named by his place in the batch. A batch is recorded by a consent agent, or by a front end that is built into the node,
//! when it has authenticated each subject and taken his consent; that the members are these and no others is held by the digest whenever the journal is replayed.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lingqu_crypto::{Sha256Digest, Sha256Hasher};
use serde::{Deserialize, Serialize};

use crate::access::Acting;
use crate::consent::{ConsentDetails, ConsentEvent, ConsentLimits, must_be_disinterested, subject_of};
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{ConsentBatchId, ConsentId, SubjectId};
use crate::refusal::Refusal;
use crate::state::{Listed, Meta};

/// Most members of one batch.
pub const MEMBERS_MAX: u32 = 10_000;

/// Consents of many subjects in the same words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ConsentBatch {
    /// Its id.
    pub id: ConsentBatchId,
    /// What each of them permits.
    pub details: ConsentDetails,
    /// How many there are.
    pub count: u32,
    /// SHA-256 over the members in order, hexadecimal: see [`members_digest`].
    pub digest: String,
    /// When they were given.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub given_at: Timestamp,
    /// Places of members whose consent is withdrawn, or lives on as a narrower one.
    #[serde(default)]
    pub withdrawn: BTreeSet<u32>,
}

/// What happened to a batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsentBatchEvent {
    /// The consents were given.
    Recorded {
        /// What each of the members permits.
        details: Box<ConsentDetails>,
        /// How many there are.
        count: u32,
        /// Digest of the members.
        digest: String,
    },
    /// One member withdrew.
    MemberWithdrawn {
        /// His place.
        member: u32,
    },
}

/// The digest of a batch's members: SHA-256 over their ids in order, each followed by a line feed.
pub fn members_digest<'a>(members: impl IntoIterator<Item = &'a SubjectId>) -> Sha256Digest {
    let mut hasher = Sha256Hasher::default();
    for member in members {
        hasher.update(member.as_str().as_bytes());
        hasher.update(b"\n");
    }
    hasher.finish()
}

impl ConsentBatch {
    /// Consents of the batch that were not withdrawn.
    pub fn standing(&self) -> u32 {
        self.count - u32::try_from(self.withdrawn.len()).unwrap_or(self.count)
    }

    pub(crate) fn fold(
        previous: Option<Self>,
        id: ConsentBatchId,
        event: &ConsentBatchEvent,
        meta: &Meta,
    ) -> Option<Self> {
        match (previous, event) {
            (None, ConsentBatchEvent::Recorded { details, count, digest }) => Some(Self {
                id,
                details: (**details).clone(),
                count: *count,
                digest: digest.clone(),
                given_at: meta.at,
                withdrawn: BTreeSet::new(),
            }),
            (Some(mut batch), ConsentBatchEvent::MemberWithdrawn { member }) if *member < batch.count => {
                batch.withdrawn.insert(*member).then_some(batch)
            }
            _ => None,
        }
    }
}

impl Listed for ConsentBatch {
    fn state(&self) -> &'static str {
        if self.standing() == 0 { "withdrawn" } else { "given" }
    }
    fn title(&self) -> String {
        self.details.purpose.0.clone()
    }
    fn owner(&self) -> String {
        self.details.consumer.to_string()
    }
}

pub(crate) fn record(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    details: &ConsentDetails,
    count: u32,
    digest: &str,
) -> Result<(), Refusal> {
    if count == 0 || count > MEMBERS_MAX {
        return Err(Refusal::invalid(
            "count",
            format!("每批 1 至 {MEMBERS_MAX} 份同意"),
            format!("a batch has 1 to {MEMBERS_MAX} consents"),
        ));
    }
    if digest.parse::<Sha256Digest>().is_err() {
        return Err(Refusal::invalid("digest", "须为 SHA-256 的十六进制", "this is a SHA-256, hexadecimal"));
    }
    details.check(deciding)?;
    must_be_disinterested(deciding, acting, &details.consumer)?;
    let id = ConsentBatchId::next(&mut deciding.ids);
    let (details, digest) = (Box::new(details.clone()), digest.to_owned());
    deciding.emit(&id, Event::ConsentBatch(ConsentBatchEvent::Recorded { details, count, digest }));
    Ok(())
}

/// That the actor is the member at this place was found by the node in the rows of the batch.
pub(crate) fn withdraw(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ConsentBatchId,
    member: u32,
) -> Result<(), Refusal> {
    subject_of(acting)?;
    standing(deciding, id, member)?;
    deciding.emit(id, Event::ConsentBatch(ConsentBatchEvent::MemberWithdrawn { member }));
    Ok(())
}

/// The member leaves the batch, and what he leaves of his consent is one of its own.
pub(crate) fn narrow(
    deciding: &mut Deciding<'_>,
    acting: &Acting,
    id: &ConsentBatchId,
    member: u32,
    limits: &ConsentLimits,
) -> Result<(), Refusal> {
    let subject = subject_of(acting)?;
    let details = Box::new(standing(deciding, id, member)?.details.narrowed(limits)?);
    deciding.emit(id, Event::ConsentBatch(ConsentBatchEvent::MemberWithdrawn { member }));
    let narrower = ConsentId::next(&mut deciding.ids);
    deciding.emit(&narrower, Event::Consent(ConsentEvent::Given { subject, details }));
    Ok(())
}

fn standing<'a>(deciding: &mut Deciding<'a>, id: &ConsentBatchId, member: u32) -> Result<&'a ConsentBatch, Refusal> {
    let batch = deciding.consent_batch(id)?;
    if member >= batch.count {
        return Err(Refusal::not_found(id));
    }
    if batch.withdrawn.contains(&member) {
        return Err(Refusal::wrong_state(id, "withdrawn", "given"));
    }
    Ok(batch)
}
