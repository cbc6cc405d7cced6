//! The register of rights (数据产权): who held which legal position in what, on what basis, on any day.
//!
//! Positions are not scopes: they say who may *act*, not what may be read. Holding stays with the provider; the right to
//! use arises with the signed operation agreement and is not exclusive; the right to operate arises with the registered
//! product. Commands check that the actor's party holds the one they need.

use serde::{Deserialize, Serialize};

use crate::decide::Deciding;
use crate::event::Event;
use crate::id::{PartyId, RightId};
use crate::refusal::{Refusal, RefusalCode};
use crate::scope::Term;
use crate::state::{Listed, Meta};

/// The three positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum RightKind {
    /// 持有权
    Hold,
    /// 使用权
    Use,
    /// 经营权
    Operate,
}

/// A legal position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Right {
    /// Its id.
    pub id: RightId,
    /// Which.
    pub kind: RightKind,
    /// In what: a resource or product id.
    pub object: String,
    /// Who.
    pub holder: PartyId,
    /// On what basis: a certificate's code, a mandate's id.
    pub basis: String,
    /// From when until when.
    pub term: Term,
    /// The moment it ended before its term, if it did.
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub ended_at: Option<jiff::Timestamp>,
}

/// What happened to a right.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RightEvent {
    /// It was recorded.
    Recorded {
        /// Which.
        kind: RightKind,
        /// In what.
        object: String,
        /// Who.
        holder: PartyId,
        /// On what basis.
        basis: String,
        /// From when until when.
        term: Term,
    },
    /// It ended before its term.
    Ended,
}

impl Right {
    pub(crate) fn fold(previous: Option<Self>, id: RightId, event: &RightEvent, meta: &Meta) -> Option<Self> {
        match (previous, event) {
            (None, RightEvent::Recorded { kind, object, holder, basis, term }) => Some(Self {
                id,
                kind: *kind,
                object: object.clone(),
                holder: holder.clone(),
                basis: basis.clone(),
                term: *term,
                ended_at: None,
            }),
            (Some(right), RightEvent::Ended) if right.ended_at.is_none() => {
                Some(Self { ended_at: Some(meta.at), ..right })
            }
            _ => None,
        }
    }

    /// True when the position is held at a moment.
    pub fn holds_at(&self, moment: jiff::Timestamp) -> bool {
        self.term.covers(moment) && self.ended_at.is_none_or(|ended| moment < ended)
    }
}

impl Listed for Right {
    fn state(&self) -> &'static str {
        if self.ended_at.is_some() { "ended" } else { "recorded" }
    }
    fn title(&self) -> String {
        self.object.clone()
    }
    fn owner(&self) -> String {
        self.holder.to_string()
    }
}

pub(crate) fn record(
    deciding: &mut Deciding<'_>,
    kind: RightKind,
    object: &str,
    holder: &PartyId,
    basis: &str,
    term: Term,
) {
    let id = RightId::next(&mut deciding.ids);
    let (object, holder, basis) = (object.to_owned(), holder.clone(), basis.to_owned());
    deciding.emit(&id, Event::Right(RightEvent::Recorded { kind, object, holder, basis, term }));
}

/// Ends every position with a basis: those in force, and those whose term has yet to begin.
pub(crate) fn end_by_basis(deciding: &mut Deciding<'_>, basis: &str) {
    deciding.scan();
    let now = deciding.context.now;
    let found: Vec<RightId> = deciding
        .state
        .rights
        .values()
        .filter(|right| right.value.basis == basis && right.value.ended_at.is_none() && now < right.value.term.until)
        .map(|right| right.value.id.clone())
        .collect();
    for id in found {
        deciding.emit(&id, Event::Right(RightEvent::Ended));
    }
}

/// Refuses unless a party holds a position now. Error: `right_missing`.
pub(crate) fn must_hold(
    deciding: &mut Deciding<'_>,
    kind: RightKind,
    object: &str,
    holder: &PartyId,
) -> Result<(), Refusal> {
    let now = deciding.context.now;
    let found = deciding.state.rights.values().find(|right| {
        let right = &right.value;
        right.kind == kind && right.object == object && right.holder == *holder && right.holds_at(now)
    });
    let name = match kind {
        RightKind::Hold => ("持有权", "the right to hold"),
        RightKind::Use => ("使用权", "the right to use"),
        RightKind::Operate => ("经营权", "the right to operate"),
    };
    match found {
        Some(right) => {
            deciding.right(&right.value.id)?;
            Ok(())
        }
        None => Err(Refusal::new(
            RefusalCode::RightMissing,
            object,
            format!("{holder} 现在没有 {object} 的{}", name.0),
            format!("{holder} does not now hold {} {object}", name.1),
        )),
    }
}
