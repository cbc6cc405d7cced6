//! Erasures (删除): that somebody had personal data of the vault erased, of which, and why, recorded before it is done.
//!
//! What is erased is named by its id, which is no personal data, so the record stays when the data is gone: who answered a
//! person's demand (PIPL art. 47), when and on what grounds. The log's digests of receipts and events stay as they are.

use serde::{Deserialize, Serialize};

use crate::access::Actor;
use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{ErasureId, ReceiptId, SubjectId};
use crate::refusal::Refusal;
use crate::state::{Entity, Listed, Meta, State};

/// What can be erased, by the id that stays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Erasable {
    /// What was asked of a delivery: claim, key or statement. Its receipt stays.
    Request(ReceiptId),
    /// Who a data subject is.
    Subject(SubjectId),
}

impl Erasable {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        match self {
            Erasable::Request(id) => id.as_str(),
            Erasable::Subject(id) => id.as_str(),
        }
    }
}

/// An erasure that was decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Erasure {
    /// Its id.
    pub id: ErasureId,
    /// Of what.
    pub object: Erasable,
    /// Why.
    pub reason: String,
    /// Who had it erased.
    pub by: Actor,
}

/// What happened to an erasure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErasureEvent {
    /// It was decided; what it is of is erased from then on.
    Recorded {
        /// Of what.
        object: Erasable,
        /// Why.
        reason: String,
    },
}

impl Erasure {
    pub(crate) fn fold(previous: Option<Self>, id: ErasureId, event: &ErasureEvent, meta: &Meta) -> Option<Self> {
        let ErasureEvent::Recorded { object, reason } = event;
        if previous.is_some() {
            return None;
        }
        Some(Self { id, object: object.clone(), reason: reason.clone(), by: meta.actor.clone() })
    }
}

impl Listed for Erasure {
    fn state(&self) -> &'static str {
        "recorded"
    }
    fn title(&self) -> String {
        self.object.as_str().to_owned()
    }
    fn owner(&self) -> String {
        self.by.to_string()
    }
}

/// The erasure of something, once it was decided.
pub fn of<'a>(state: &'a State, object: &Erasable) -> Option<&'a Entity<Erasure>> {
    state.erasures.values().find(|erasure| erasure.value.object == *object)
}

pub(crate) fn record(deciding: &mut Deciding<'_>, object: &Erasable, reason: &str) -> Result<(), Refusal> {
    let reason = deciding.text("reason", reason)?;
    // Of two that are decided side by side the second one reads the first.
    deciding.scan();
    if of(deciding.state, object).is_some() {
        return Err(Refusal::wrong_state(object.as_str(), "erased", "not erased"));
    }
    let id = ErasureId::next(&mut deciding.ids);
    deciding.emit(&id, Event::Erasure(ErasureEvent::Recorded { object: object.clone(), reason }));
    Ok(())
}
