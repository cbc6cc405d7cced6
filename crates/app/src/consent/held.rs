//! Who consented, of the subjects of one product, to what one order is served: the set that its scans ask.
//!
//! When consents change, the next set is the last one with the changes; a change costs the same however many consents
//! there are. A stream that runs goes on while nobody of its set has gone out of it: who came into force meanwhile is no
//! reason to stop it.

use std::sync::Arc;

use jiff::Timestamp;
use lingqu_domain::consent::Fields;
use lingqu_domain::id::PartyId;
use lingqu_domain::scope::Purpose;
use lingqu_engine::consent::ConsentSet;

use super::index::{ConsumerConsents, Epoch};
use super::subjects::{Places, ServedSubjects};
use crate::app::App;
use crate::error::AppError;

/// How often a set is tried for when consents are given, or room runs out, meanwhile.
const ATTEMPTS_MAX: usize = 16;

/// What consent is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) consumer: PartyId,
    pub(crate) purpose: Purpose,
    pub(crate) needed: Fields,
}

/// The subjects who consented to what is wanted.
#[derive(Clone, Debug)]
pub(crate) struct HeldConsents {
    pub(crate) wanted: Wanted,
    /// By the product's ordinals.
    pub(crate) set: Arc<ConsentSet>,
    /// What names the state of consents.
    pub(crate) epoch: Epoch,
    /// When terms alone change it next.
    pub(crate) holds_until: Option<Timestamp>,
    generation: u64,
    sequence: u64,
}

impl HeldConsents {
    fn made(
        consents: &ConsumerConsents,
        generation: u64,
        wanted: &Wanted,
        subjects: &ServedSubjects,
        previous: Option<&HeldConsents>,
    ) -> Option<HeldConsents> {
        let kinds = consents.covering(&wanted.consumer, &wanted.purpose, &wanted.needed);
        let set = subjects.joined(consents.ordinals_end(), |places| {
            let previous = previous.filter(|previous| previous.generation == generation && previous.wanted == *wanted);
            previous
                .and_then(|previous| changed(previous, consents, &kinds, places))
                .unwrap_or_else(|| Arc::new(whole(consents, &kinds, places, subjects.len())))
        })?;
        Some(HeldConsents {
            wanted: wanted.clone(),
            set,
            epoch: consents.epoch(),
            holds_until: consents.next_boundary(),
            generation,
            sequence: consents.sequence(),
        })
    }
}

fn whole(consents: &ConsumerConsents, kinds: &[usize], places: Places<'_>, subjects: usize) -> ConsentSet {
    let mut set = ConsentSet::with_room(subjects);
    for ordinal in consents.held(kinds).iter() {
        if let Some(place) = places.of(ordinal) {
            set.set(place, true);
        }
    }
    set
}

/// The last set with what changed since; none when that is forgotten.
fn changed(
    previous: &HeldConsents,
    consents: &ConsumerConsents,
    kinds: &[usize],
    places: Places<'_>,
) -> Option<Arc<ConsentSet>> {
    let mut set = Arc::clone(&previous.set);
    for change in consents.changes_since(previous.sequence)?.filter(|change| kinds.contains(&change.kind)) {
        change.who.any(|ordinal| {
            let is_member = consents.holds(kinds, ordinal);
            if let Some(place) = places.of(ordinal)
                && set.contains(place) != is_member
            {
                Arc::make_mut(&mut set).set(place, is_member);
            }
            false
        });
    }
    Some(set)
}

impl App {
    /// The subjects of a product who consented to what is wanted, as of now. `previous` is what was held for the same
    /// product before.
    pub(crate) async fn hold_consents(
        &self,
        wanted: &Wanted,
        subjects: &ServedSubjects,
        previous: Option<&HeldConsents>,
    ) -> Result<HeldConsents, AppError> {
        for _ in 0..ATTEMPTS_MAX {
            self.load_consents(&wanted.consumer).await?;
            let now = self.delivery_time();
            let Some(end) = self.consents.look(&wanted.consumer, now, |consents, _| consents.ordinals_end()) else {
                continue;
            };
            subjects.join(self, end).await?;
            let made = self.consents.look(&wanted.consumer, now, |consents, generation| {
                HeldConsents::made(consents, generation, wanted, subjects, previous)
            });
            if let Some(Some(held)) = made {
                return Ok(held);
            }
        }
        Err(AppError::Behind)
    }

    /// What names the state of a consumer's consents; none when it is not at hand.
    pub(crate) fn consent_epoch(&self, consumer: &PartyId, now: Timestamp) -> Option<Epoch> {
        self.consents.look(consumer, now, |consents, _| consents.epoch())
    }

    /// Whether somebody of a set has no consent in force any more, and the next moment at which that can change by time.
    pub(crate) fn has_lost(
        &self,
        held: &HeldConsents,
        subjects: &ServedSubjects,
        now: Timestamp,
    ) -> (bool, Option<Timestamp>) {
        let wanted = &held.wanted;
        let looked = self.consents.look(&wanted.consumer, now, |consents, generation| {
            if generation != held.generation {
                return None;
            }
            let kinds = consents.covering(&wanted.consumer, &wanted.purpose, &wanted.needed);
            let mut changes = consents.changes_since(held.sequence)?;
            let lost = subjects.joined(0, |places| {
                changes.any(|change| {
                    change.is_loss
                        && change.who.any(|ordinal| {
                            places.of(ordinal).is_some_and(|place| held.set.contains(place))
                                && !consents.holds(&kinds, ordinal)
                        })
                })
            })?;
            Some((lost, consents.next_boundary()))
        });
        // What can't be told counts as lost.
        looked.flatten().unwrap_or((true, None))
    }
}
