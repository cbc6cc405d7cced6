//! What the consents given to one consumer come to, kept current event by event.
//!
//! Consents in the same words (purpose, resources, columns) make up a *kind*; of each kind a compressed bitmap says which
//! subjects have one in force now. Terms begin and end by a time-ordered list, so that each consent is touched when it is
//! given, when its term begins and ends, and when it is withdrawn, and never because of others. A subject may have several
//! consents of one kind; he is in the bitmap while one of them is in force.
//!
//! Whoever made something of the bitmaps asks what changed since. Time only moves on here: a moment that was passed stays
//! passed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::Timestamp;
use lingqu_domain::consent::{ConsentDetails, Fields};
use lingqu_domain::id::{ConsentBatchId, PartyId, ResourceId};
use lingqu_domain::scope::{Purpose, Term};
use roaring::RoaringBitmap;

/// Changes that are remembered; who missed more makes his set anew.
const CHANGES_MAX: usize = 4_096;
/// Subjects whom remembered changes may concern together.
const CHANGED_SUBJECTS_MAX: u64 = 1_000_000;
/// About what a consent of its own takes in memory beside the bitmaps.
const SINGLE_BYTES: usize = 48;

/// By what consents are of one kind.
type Kind = (Purpose, BTreeSet<ResourceId>, Fields);

/// Whom a change concerns.
#[derive(Clone, Debug)]
pub(crate) enum Who {
    /// One subject.
    One(u32),
    /// Many.
    Many(RoaringBitmap),
}

/// Subjects who came into force in a kind, or went out of it.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) kind: usize,
    pub(crate) is_loss: bool,
    pub(crate) who: Who,
}

#[derive(Debug)]
struct OfKind {
    /// Consumer, purpose, resources and columns; term and statement are those of whoever came first.
    sample: ConsentDetails,
    held: RoaringBitmap,
    /// Consents in force beyond the first, of subjects who have several.
    more: BTreeMap<u32, u32>,
}

#[derive(Debug)]
struct Batch {
    kind: usize,
    until: Timestamp,
    /// Members in their order.
    ordinals: Vec<u32>,
    /// Those who did not withdraw.
    standing: RoaringBitmap,
    has_begun: bool,
}

/// A consent of its own whose term has not begun: when it does, of which kind, whose, and when it ends.
type Waiting = (Timestamp, usize, u32, Timestamp);
/// One whose term runs: when it ends, of which kind, whose.
type Running = (Timestamp, usize, u32);

/// The consents of one consumer.
#[derive(Debug, Default)]
pub(crate) struct ConsumerConsents {
    kinds: Vec<OfKind>,
    by_kind: BTreeMap<Kind, usize>,
    batches: BTreeMap<ConsentBatchId, Batch>,
    batch_begins: BTreeSet<(Timestamp, ConsentBatchId)>,
    batch_ends: BTreeSet<(Timestamp, ConsentBatchId)>,
    /// Equal ones are counted.
    waiting: BTreeMap<Waiting, u32>,
    running: BTreeMap<Running, u32>,
    changes: VecDeque<Change>,
    changed_subjects: u64,
    /// Number of the first change that is remembered.
    first_change: u64,
    /// Journal position of the last event.
    position: u64,
    /// The last moment at which a term began or ended.
    boundary: Option<Timestamp>,
    now: Timestamp,
    /// One more than the largest ordinal.
    ordinals_end: u32,
}

/// What names a state of a consumer's consents: with the same journal position and the same last boundary the same
/// consents are in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Epoch {
    position: u64,
    boundary: Option<Timestamp>,
}

impl ConsumerConsents {
    /// No consents yet, as of a moment.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self { now, ..Self::default() }
    }

    /// A consent of its own.
    pub(crate) fn give(&mut self, details: &ConsentDetails, ordinal: u32) {
        self.ordinals_end = self.ordinals_end.max(ordinal.saturating_add(1));
        let kind = self.kind_of(details);
        let Term { from, until } = details.term;
        self.pass(details.term);
        if self.now >= until {
            return;
        }
        if self.now < from {
            *self.waiting.entry((from, kind, ordinal, until)).or_default() += 1;
            return;
        }
        *self.running.entry((until, kind, ordinal)).or_default() += 1;
        self.gain(kind, Who::One(ordinal));
    }

    /// A consent of its own is no more: withdrawn, or narrowed to another one.
    pub(crate) fn take_back(&mut self, details: &ConsentDetails, ordinal: u32) {
        let kind = self.kind_of(details);
        let Term { from, until } = details.term;
        // By the time, not by where one is found: of a subject's consents of one kind that end together some may run and others wait.
        if self.now < from {
            take_one(&mut self.waiting, &(from, kind, ordinal, until));
        } else if take_one(&mut self.running, &(until, kind, ordinal)) {
            self.lose(kind, Who::One(ordinal));
        }
    }

    /// A batch, its members in their order, without those at the places `withdrawn`.
    pub(crate) fn give_batch(
        &mut self,
        id: &ConsentBatchId,
        details: &ConsentDetails,
        ordinals: Vec<u32>,
        withdrawn: &BTreeSet<u32>,
    ) {
        let end = ordinals.iter().max().map_or(0, |ordinal| ordinal.saturating_add(1));
        self.ordinals_end = self.ordinals_end.max(end);
        let kind = self.kind_of(details);
        let Term { from, until } = details.term;
        self.pass(details.term);
        if self.now >= until {
            return;
        }
        let is_withdrawn = |place: usize| u32::try_from(place).is_ok_and(|place| withdrawn.contains(&place));
        let places = ordinals.iter().enumerate().filter(|(place, _)| !is_withdrawn(*place));
        let mut standing: RoaringBitmap = places.map(|(_, ordinal)| *ordinal).collect();
        standing.optimize();
        let has_begun = self.now >= from;
        if has_begun {
            self.batch_ends.insert((until, id.clone()));
            self.gain(kind, Who::Many(standing.clone()));
        } else {
            self.batch_begins.insert((from, id.clone()));
        }
        self.batches.insert(id.clone(), Batch { kind, until, ordinals, standing, has_begun });
    }

    /// A member of a batch withdrew.
    pub(crate) fn take_back_member(&mut self, id: &ConsentBatchId, member: u32) {
        // A batch that is over is not kept.
        let Some(batch) = self.batches.get_mut(id) else { return };
        let Some(ordinal) = usize::try_from(member).ok().and_then(|place| batch.ordinals.get(place)).copied() else {
            return;
        };
        let (kind, has_begun) = (batch.kind, batch.has_begun);
        if batch.standing.remove(ordinal) && has_begun {
            self.lose(kind, Who::One(ordinal));
        }
    }

    /// An event was taken in.
    pub(crate) fn reached(&mut self, position: u64) {
        self.position = self.position.max(position);
    }

    /// Lets terms begin and end up to a moment.
    pub(crate) fn advance(&mut self, now: Timestamp) {
        if now <= self.now {
            return;
        }
        while let Some(moment) = self.next_boundary().filter(|moment| *moment <= now) {
            self.boundary = Some(moment);
            self.now = moment;
            self.begin_at(moment);
            self.end_at(moment);
        }
        self.now = now;
    }

    /// The next moment at which a term begins or ends.
    pub(crate) fn next_boundary(&self) -> Option<Timestamp> {
        let moments = [
            self.batch_begins.first().map(|(from, _)| *from),
            self.batch_ends.first().map(|(until, _)| *until),
            self.waiting.first_key_value().map(|((from, ..), _)| *from),
            self.running.first_key_value().map(|((until, ..), _)| *until),
        ];
        moments.into_iter().flatten().min()
    }

    /// The kinds that permit a delivery.
    pub(crate) fn covering(&self, consumer: &PartyId, purpose: &Purpose, needed: &Fields) -> Vec<usize> {
        let permitting = self.kinds.iter().enumerate();
        permitting.filter(|(_, kind)| kind.sample.permits(consumer, purpose, needed)).map(|(at, _)| at).collect()
    }

    /// Everybody with a consent in force of one of some kinds.
    pub(crate) fn held(&self, kinds: &[usize]) -> Cow<'_, RoaringBitmap> {
        match kinds {
            [] => Cow::Owned(RoaringBitmap::new()),
            [kind] => Cow::Borrowed(&self.kinds[*kind].held),
            [first, others @ ..] => {
                let mut held = self.kinds[*first].held.clone();
                for kind in others {
                    held |= &self.kinds[*kind].held;
                }
                Cow::Owned(held)
            }
        }
    }

    /// True when a subject has a consent in force of one of some kinds.
    pub(crate) fn holds(&self, kinds: &[usize], ordinal: u32) -> bool {
        kinds.iter().any(|kind| self.kinds[*kind].held.contains(ordinal))
    }

    /// The number of the next change.
    pub(crate) fn sequence(&self) -> u64 {
        self.first_change + self.changes.len() as u64
    }

    /// What changed from a number on; none when some of it is forgotten.
    pub(crate) fn changes_since(&self, sequence: u64) -> Option<impl Iterator<Item = &Change>> {
        let skipped = usize::try_from(sequence.checked_sub(self.first_change)?).ok()?;
        Some(self.changes.iter().skip(skipped))
    }

    /// What names the present state.
    pub(crate) fn epoch(&self) -> Epoch {
        Epoch { position: self.position, boundary: self.boundary }
    }

    /// One more than the largest ordinal of anybody who ever consented to this consumer, as far as it is known here.
    pub(crate) fn ordinals_end(&self) -> u32 {
        self.ordinals_end
    }

    /// About what it takes in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let mut bytes = (self.waiting.len() + self.running.len()) * SINGLE_BYTES;
        for kind in &self.kinds {
            bytes += kind.held.serialized_size() + kind.more.len() * SINGLE_BYTES;
        }
        for batch in self.batches.values() {
            bytes += batch.ordinals.len() * size_of::<u32>() + batch.standing.serialized_size();
        }
        bytes
    }

    /// Notes the boundaries of a term that have passed already, so that the epoch is the same however a state came about.
    pub(crate) fn pass(&mut self, term: Term) {
        for moment in [term.from, term.until] {
            if moment <= self.now {
                self.boundary = self.boundary.max(Some(moment));
            }
        }
    }

    fn kind_of(&mut self, details: &ConsentDetails) -> usize {
        let key = (details.purpose.clone(), details.resources.clone(), details.fields.clone());
        if let Some(kind) = self.by_kind.get(&key) {
            return *kind;
        }
        let sample = ConsentDetails { statement: String::new(), ..details.clone() };
        self.kinds.push(OfKind { sample, held: RoaringBitmap::new(), more: BTreeMap::new() });
        self.by_kind.insert(key, self.kinds.len() - 1);
        self.kinds.len() - 1
    }

    fn begin_at(&mut self, moment: Timestamp) {
        while let Some(((from, kind, ordinal, until), count)) = self.waiting.pop_first() {
            if from > moment {
                self.waiting.insert((from, kind, ordinal, until), count);
                break;
            }
            *self.running.entry((until, kind, ordinal)).or_default() += count;
            for _ in 0..count {
                self.gain(kind, Who::One(ordinal));
            }
        }
        while self.batch_begins.first().is_some_and(|(from, _)| *from <= moment) {
            let Some((_, id)) = self.batch_begins.pop_first() else { break };
            let Some(batch) = self.batches.get_mut(&id) else { continue };
            batch.has_begun = true;
            let (kind, until, standing) = (batch.kind, batch.until, batch.standing.clone());
            self.batch_ends.insert((until, id));
            self.gain(kind, Who::Many(standing));
        }
    }

    fn end_at(&mut self, moment: Timestamp) {
        while let Some(((until, kind, ordinal), count)) = self.running.pop_first() {
            if until > moment {
                self.running.insert((until, kind, ordinal), count);
                break;
            }
            for _ in 0..count {
                self.lose(kind, Who::One(ordinal));
            }
        }
        while self.batch_ends.first().is_some_and(|(until, _)| *until <= moment) {
            let Some((_, id)) = self.batch_ends.pop_first() else { break };
            if let Some(batch) = self.batches.remove(&id) {
                self.lose(batch.kind, Who::Many(batch.standing));
            }
        }
    }

    fn gain(&mut self, kind: usize, who: Who) {
        let OfKind { held, more, .. } = &mut self.kinds[kind];
        match who {
            Who::One(ordinal) => {
                if held.insert(ordinal) {
                    self.note(kind, false, Who::One(ordinal));
                } else {
                    *more.entry(ordinal).or_default() += 1;
                }
            }
            Who::Many(ordinals) => {
                for ordinal in &*held & &ordinals {
                    *more.entry(ordinal).or_default() += 1;
                }
                let fresh = ordinals - &*held;
                *held |= &fresh;
                self.note(kind, false, Who::Many(fresh));
            }
        }
    }

    fn lose(&mut self, kind: usize, who: Who) {
        let OfKind { held, more, .. } = &mut self.kinds[kind];
        match who {
            Who::One(ordinal) => {
                if !take_one(more, &ordinal) && held.remove(ordinal) {
                    self.note(kind, true, Who::One(ordinal));
                }
            }
            Who::Many(mut ordinals) => {
                let several: Vec<u32> = more.keys().copied().filter(|ordinal| ordinals.contains(*ordinal)).collect();
                for ordinal in several {
                    take_one(more, &ordinal);
                    ordinals.remove(ordinal);
                }
                *held -= &ordinals;
                self.note(kind, true, Who::Many(ordinals));
            }
        }
    }

    fn note(&mut self, kind: usize, is_loss: bool, who: Who) {
        self.changed_subjects += who.count();
        self.changes.push_back(Change { kind, is_loss, who });
        while self.changes.len() > CHANGES_MAX || self.changed_subjects > CHANGED_SUBJECTS_MAX {
            let Some(forgotten) = self.changes.pop_front() else { break };
            self.changed_subjects -= forgotten.who.count();
            self.first_change += 1;
        }
    }
}

impl Who {
    fn count(&self) -> u64 {
        match self {
            Who::One(_) => 1,
            Who::Many(ordinals) => ordinals.len(),
        }
    }

    /// Calls for each ordinal until one answers true.
    pub(crate) fn any(&self, mut found: impl FnMut(u32) -> bool) -> bool {
        match self {
            Who::One(ordinal) => found(*ordinal),
            Who::Many(ordinals) => ordinals.iter().any(found),
        }
    }
}

/// Takes one of several equal entries away; false when there is none.
fn take_one<K: Ord + Clone>(counted: &mut BTreeMap<K, u32>, key: &K) -> bool {
    match counted.get_mut(key) {
        None => false,
        Some(count) if *count > 1 => {
            *count -= 1;
            true
        }
        Some(_) => {
            counted.remove(key);
            true
        }
    }
}

#[cfg(test)]
#[path = "index_tests.rs"]
mod tests;
