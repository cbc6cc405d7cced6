//! The consents of the consumers who are served now, loaded when one is served first and followed from then on.
//!
//! The durable rows are the truth: whose index was given up for want of room is loaded again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use lingqu_domain::consent::{ConsentDetails, ConsentEvent};
use lingqu_domain::consent_batch::ConsentBatchEvent;
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::id::{ConsentBatchId, ConsentId, PartyId};
use lingqu_domain::state::State;
use lingqu_store::consent::SETS_AT_ONCE_MAX;

use super::index::ConsumerConsents;
use crate::app::App;
use crate::error::AppError;

/// Most bytes that the consumers' consents take together; one of them is kept in any case.
const BYTES_MAX: usize = 512 << 20;

/// Ordinals that were read for what is to be taken in.
#[derive(Default)]
pub(crate) struct Fed {
    /// By the subjects' ids.
    ordinals: BTreeMap<String, u32>,
    /// Members by the batches' ids.
    sets: BTreeMap<String, Vec<u32>>,
}

/// Consents by consumer.
#[derive(Default)]
pub(crate) struct ConsentIndex {
    consumers: Mutex<Consumers>,
    /// Held while one is loaded.
    loading: tokio::sync::Mutex<()>,
}

struct Consumers {
    loaded: BTreeMap<PartyId, Loaded>,
    generations: u64,
    uses: u64,
    bytes_max: usize,
}

impl Default for Consumers {
    fn default() -> Self {
        Self { loaded: BTreeMap::new(), generations: 0, uses: 0, bytes_max: BYTES_MAX }
    }
}

struct Loaded {
    consents: ConsumerConsents,
    generation: u64,
    used: u64,
}

impl ConsentIndex {
    fn lock(&self) -> MutexGuard<'_, Consumers> {
        self.consumers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the consents of a consumer as of a moment, and at the number under which they were loaded. None: they are
    /// not loaded.
    pub(crate) fn look<R>(
        &self,
        consumer: &PartyId,
        now: Timestamp,
        look: impl FnOnce(&ConsumerConsents, u64) -> R,
    ) -> Option<R> {
        let mut consumers = self.lock();
        consumers.uses += 1;
        let used = consumers.uses;
        let loaded = consumers.loaded.get_mut(consumer)?;
        loaded.used = used;
        loaded.consents.advance(now);
        Some(look(&loaded.consents, loaded.generation))
    }

    fn is_loaded(&self, consumer: &PartyId) -> bool {
        self.lock().loaded.contains_key(consumer)
    }

    fn is_empty(&self) -> bool {
        self.lock().loaded.is_empty()
    }

    fn put(&self, consumer: PartyId, consents: ConsumerConsents) {
        let mut consumers = self.lock();
        consumers.generations += 1;
        consumers.uses += 1;
        let loaded = Loaded { consents, generation: consumers.generations, used: consumers.uses };
        consumers.loaded.insert(consumer, loaded);
        let bytes = |consumers: &Consumers| -> usize {
            consumers.loaded.values().map(|loaded| loaded.consents.memory_bytes()).sum()
        };
        while consumers.loaded.len() > 1 && bytes(&consumers) > consumers.bytes_max {
            let oldest = consumers.loaded.iter().min_by_key(|(_, loaded)| loaded.used);
            let Some(oldest) = oldest.map(|(consumer, _)| consumer.clone()) else { break };
            consumers.loaded.remove(&oldest);
        }
    }

    /// Takes in an event, before the state does.
    pub(crate) fn follow(&self, state: &State, recorded: &Recorded, fed: &Fed, now: Timestamp) {
        let Some(consumer) = consumer_of(state, recorded) else { return };
        let mut consumers = self.lock();
        let Some(loaded) = consumers.loaded.get_mut(&consumer) else { return };
        loaded.consents.advance(now);
        if take_in(&mut loaded.consents, state, recorded, fed).is_none() {
            // Its ordinals are not at hand; it is loaded again when it is wanted.
            tracing::warn!(position = recorded.position, "consents could not be followed and will be loaded anew");
            consumers.loaded.remove(&consumer);
            return;
        }
        loaded.consents.reached(recorded.position);
    }
}

/// The consumer whose consents an event is about.
fn consumer_of(state: &State, recorded: &Recorded) -> Option<PartyId> {
    let details = match &recorded.event {
        Event::Consent(ConsentEvent::Given { details, .. })
        | Event::ConsentBatch(ConsentBatchEvent::Recorded { details, .. }) => &**details,
        Event::Consent(ConsentEvent::Withdrawn | ConsentEvent::Narrowed { .. }) => details_of(state, recorded)?,
        Event::ConsentBatch(ConsentBatchEvent::MemberWithdrawn { .. }) => {
            let id: ConsentBatchId = recorded.stream.parse().ok()?;
            &state.consent_batches.get(&id)?.value.details
        }
        _ => return None,
    };
    Some(details.consumer.clone())
}

/// A consent as it was before an event.
fn details_of<'a>(state: &'a State, recorded: &Recorded) -> Option<&'a ConsentDetails> {
    let id: ConsentId = recorded.stream.parse().ok()?;
    Some(&state.consents.get(&id)?.value.details)
}

/// None when the event can't be taken in.
fn take_in(consents: &mut ConsumerConsents, state: &State, recorded: &Recorded, fed: &Fed) -> Option<()> {
    match &recorded.event {
        Event::Consent(ConsentEvent::Given { subject, details }) => {
            consents.give(details, *fed.ordinals.get(subject.as_str())?);
        }
        Event::Consent(event) => {
            // A consent is its subject's alone to change.
            let subject = recorded.actor.subject()?;
            let ordinal = *fed.ordinals.get(subject.as_str())?;
            let before = details_of(state, recorded)?;
            consents.take_back(before, ordinal);
            if let ConsentEvent::Narrowed { limits } = event {
                let limits = (**limits).clone();
                let after = ConsentDetails {
                    resources: limits.resources,
                    fields: limits.fields,
                    term: limits.term,
                    ..before.clone()
                };
                consents.give(&after, ordinal);
            }
        }
        Event::ConsentBatch(ConsentBatchEvent::Recorded { details, .. }) => {
            let id: ConsentBatchId = recorded.stream.parse().ok()?;
            let ordinals = fed.sets.get(id.as_str())?.clone();
            consents.give_batch(&id, details, ordinals, &BTreeSet::new());
        }
        Event::ConsentBatch(ConsentBatchEvent::MemberWithdrawn { member }) => {
            let id: ConsentBatchId = recorded.stream.parse().ok()?;
            consents.take_back_member(&id, *member);
        }
        _ => {}
    }
    Some(())
}

impl App {
    /// The ordinals that events are taken in with. While no consumer is loaded, none are read.
    pub(crate) async fn feed(&self, events: &[Recorded]) -> Result<Fed, AppError> {
        let mut fed = Fed::default();
        if self.consents.is_empty() {
            return Ok(fed);
        }
        let (mut subjects, mut batches) = (Vec::new(), Vec::new());
        for recorded in events {
            match &recorded.event {
                Event::Consent(_) => {
                    if let Some(subject) = recorded.actor.subject() {
                        subjects.push(subject.to_string());
                    }
                }
                Event::ConsentBatch(ConsentBatchEvent::Recorded { details, .. })
                    if self.consents.is_loaded(&details.consumer) =>
                {
                    batches.push(recorded.stream.clone());
                }
                _ => {}
            }
        }
        self.read_ordinals(&mut fed, subjects, batches).await?;
        Ok(fed)
    }

    /// Loads the consents of a consumer unless they are.
    pub(crate) async fn load_consents(&self, consumer: &PartyId) -> Result<(), AppError> {
        if self.consents.is_loaded(consumer) {
            return Ok(());
        }
        let _turn = self.consents.loading.lock().await;
        if self.consents.is_loaded(consumer) {
            return Ok(());
        }
        // Nearly everything is read while the node goes on; what comes meanwhile is read while nothing is folded.
        let mut fed = Fed::default();
        self.feed_consumer(consumer, &mut fed).await?;
        let _folding = self.catch_up_ended.lock().await;
        self.feed_consumer(consumer, &mut fed).await?;
        let now = self.clock.now();
        let consents = self.read(|state| made(state, consumer, &fed, now))?;
        self.consents.put(consumer.clone(), consents);
        Ok(())
    }

    async fn feed_consumer(&self, consumer: &PartyId, fed: &mut Fed) -> Result<(), AppError> {
        let now = self.clock.now();
        let (subjects, batches) = self.read(|state| {
            let (mut subjects, mut batches) = (Vec::new(), Vec::new());
            for consent in state.consents.values().map(|consent| &consent.value) {
                if consent.details.consumer == *consumer
                    && consent.withdrawn_at.is_none()
                    && now < consent.details.term.until
                    && !fed.ordinals.contains_key(consent.subject.as_str())
                {
                    subjects.push(consent.subject.to_string());
                }
            }
            for batch in state.consent_batches.values().map(|batch| &batch.value) {
                if batch.details.consumer == *consumer
                    && now < batch.details.term.until
                    && !fed.sets.contains_key(batch.id.as_str())
                {
                    batches.push(batch.id.to_string());
                }
            }
            (subjects, batches)
        });
        self.read_ordinals(fed, subjects, batches).await
    }

    async fn read_ordinals(&self, fed: &mut Fed, subjects: Vec<String>, batches: Vec<String>) -> Result<(), AppError> {
        if !subjects.is_empty() {
            fed.ordinals.append(&mut self.store.consent_ordinals(&subjects).await?);
        }
        for batches in batches.chunks(SETS_AT_ONCE_MAX) {
            fed.sets.append(&mut self.store.consent_sets(batches).await?);
        }
        Ok(())
    }
}

/// The consents of a consumer as the state has them.
fn made(state: &State, consumer: &PartyId, fed: &Fed, now: Timestamp) -> Result<ConsumerConsents, AppError> {
    let unknown = |id: &str| AppError::Fault(format!("the subjects of {id} have no ordinals; restore the database"));
    let mut consents = ConsumerConsents::new(now);
    for entity in state.consents.values().filter(|consent| consent.value.details.consumer == *consumer) {
        consents.reached(entity.position);
        let consent = &entity.value;
        if consent.withdrawn_at.is_some() {
            continue;
        }
        if consent.details.term.until <= now {
            consents.pass(consent.details.term);
            continue;
        }
        let ordinal = fed.ordinals.get(consent.subject.as_str()).ok_or_else(|| unknown(consent.id.as_str()))?;
        consents.give(&consent.details, *ordinal);
    }
    for entity in state.consent_batches.values().filter(|batch| batch.value.details.consumer == *consumer) {
        consents.reached(entity.position);
        let batch = &entity.value;
        if batch.details.term.until <= now {
            consents.pass(batch.details.term);
            continue;
        }
        let ordinals = fed.sets.get(batch.id.as_str()).ok_or_else(|| unknown(batch.id.as_str()))?;
        consents.give_batch(&batch.id, &batch.details, ordinals.clone(), &batch.withdrawn);
    }
    Ok(consents)
}

#[cfg(test)]
#[path = "consumers_tests.rs"]
mod tests;
