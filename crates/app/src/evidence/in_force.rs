//! Whether each delivery began while its chain of rights was in force, and by these very rights: the journal is folded to the
//! moment of the delivery, and the grant computed as it was then.
//!
//! A receipt has the digest of the grant that it was made under, which covers the versions of every link. So decisions that are
//! left out at the end of a stream, where no gap shows them, are missed as soon as anything was delivered after them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use jiff::{SignedDuration, Timestamp};
use lingqu_domain::chain::order_scope;
use lingqu_domain::decide::Reader;
use lingqu_domain::event::Recorded;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::OrderId;
use lingqu_domain::receipt::{Opening, ReceiptBody, ReceiptRecord};
use lingqu_domain::refusal::Refusal;
use lingqu_domain::state::{EntityKind, State};

use crate::serving::right_digest;

/// A change is in force at the next request. A request that came before it opens its delivery a little after it, and processes
/// on several machines have clocks of their own: by so much a delivery may seem to have begun too late or too early.
const LEEWAY: SignedDuration = SignedDuration::from_secs(60);

/// What a grant is computed from. Nothing that happens in other streams changes it, or gives a delivery any leeway.
const LINKS: [EntityKind; 8] = [
    EntityKind::Node,
    EntityKind::Resource,
    EntityKind::Supply,
    EntityKind::Plan,
    EntityKind::Mandate,
    EntityKind::Permit,
    EntityKind::Product,
    EntityKind::Order,
];

/// By the digest of each grant that the records come to the digest of the rights in it alone.
type Rights = BTreeMap<String, String>;

/// Holds the beginning of every delivery against the chain as it then was; `find` is told what is wrong: where, and what.
pub(super) fn check(
    events: &[Recorded],
    order: &OrderId,
    receipts: &[(u64, ReceiptRecord)],
    find: &mut dyn FnMut(String, String),
) {
    let mut begun: Vec<(Timestamp, u64, &Opening)> = receipts
        .iter()
        .filter_map(|(position, record)| match &record.body {
            ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } => Some((record.at, *position, opening)),
            ReceiptBody::Part { .. } | ReceiptBody::Closed { .. } => None,
        })
        .collect();
    begun.sort_by_key(|(at, position, _)| (*at, *position));
    let mut chain = Chain::new(events, order);
    for (at, position, opening) in begun {
        let earliest = at.checked_sub(LEEWAY).unwrap_or(at);
        let latest = at.checked_add(LEEWAY).unwrap_or(at);
        if !chain.advance(earliest, latest) {
            // The records do not fold, which was told already.
            return;
        }
        if let Err(problem) = chain.allows(opening, earliest, at) {
            find(format!("receipt record {position}"), problem);
        }
    }
}

/// Whether the chain of an order was whole at any time, if not for ever.
pub(super) fn was_ever(events: &[Recorded], order: &OrderId) -> bool {
    let mut state = State::default();
    for event in events {
        if state.apply_selected(event).is_err() {
            return false;
        }
        let is_link = EntityKind::of(&event.stream).is_some_and(|kind| LINKS.contains(&kind));
        let Some(found) = state.orders.get(order).filter(|_| is_link) else { continue };
        // A right is whole also before there are data.
        let mut reader = Reader::new(&state, event.at.max(found.value.details.term.from));
        if order_scope(&mut reader, order).is_ok() {
            return true;
        }
    }
    false
}

/// The chain of rights of an order, about the moment of a delivery.
struct Chain<'e> {
    order: &'e OrderId,
    streams: BTreeSet<&'e str>,
    waiting: std::iter::Peekable<std::slice::Iter<'e, Recorded>>,
    state: State,
    /// As it was from the earliest moment that the delivery may be of, to the latest.
    moments: VecDeque<Moment>,
    rights: Rights,
}

/// The chain from one decision about it to the next.
struct Moment {
    since: Timestamp,
    links: State,
    /// Computed once it was in force, with the digest of its rights; whenever else it is, it is the same, since nothing was decided.
    grant: Option<(Grant, String)>,
}

impl<'e> Chain<'e> {
    fn new(events: &'e [Recorded], order: &'e OrderId) -> Chain<'e> {
        let streams = events.iter().map(|event| event.stream.as_str());
        let streams = streams.filter(|stream| EntityKind::of(stream).is_some_and(|kind| LINKS.contains(&kind)));
        Chain {
            order,
            streams: streams.collect(),
            waiting: events.iter().peekable(),
            state: State::default(),
            moments: VecDeque::new(),
            rights: Rights::new(),
        }
    }

    /// Goes on to a later delivery. False: the records do not fold.
    fn advance(&mut self, earliest: Timestamp, latest: Timestamp) -> bool {
        while let Some(event) = self.waiting.next_if(|event| event.at <= latest) {
            if self.state.apply_selected(event).is_err() {
                return false;
            }
            if !self.streams.contains(event.stream.as_str()) {
                continue;
            }
            // Each is looked at when it begins and, since a term may have begun meanwhile, when it ends: a delivery that takes long to
            // begin may name its grant.
            let links = self.state.excerpt(self.streams.iter().copied());
            self.moments.push_back(Moment { since: event.at, links, grant: None });
            for moment in self.moments.iter_mut().rev().take(2) {
                moment.in_force(self.order, event.at, &mut self.rights).ok();
            }
            self.forget_before(earliest);
        }
        self.forget_before(earliest);
        true
    }

    fn forget_before(&mut self, earliest: Timestamp) {
        while self.moments.get(1).is_some_and(|next| next.since <= earliest) {
            self.moments.pop_front();
        }
    }

    /// Whether a delivery may have begun so at a time, or as long before as the leeway is. Error: why not.
    fn allows(&mut self, opening: &Opening, earliest: Timestamp, at: Timestamp) -> Result<(), String> {
        let mut refused = None;
        let mut grants = Vec::new();
        for moment in &mut self.moments {
            let mut is_in_force = |time| moment.in_force(self.order, time, &mut self.rights);
            match is_in_force(at).or_else(|refusal| is_in_force(earliest).map_err(|_| refusal)) {
                Ok(()) => grants.extend(&moment.grant),
                Err(refusal) if moment.since <= at => refused = Some(refusal),
                Err(_) => {}
            }
        }
        if grants.is_empty() {
            let reason = refused.map_or_else(|| "nothing was decided before it".to_owned(), |refusal| refusal.en);
            return Err(format!("the delivery began while no right was in force: {reason}"));
        }
        if !grants.iter().any(|(grant, _)| grant.scope.modes.contains(&opening.mode)) {
            return Err(format!("the rights of that moment did not allow {}", opening.mode.code()));
        }
        // A delivery that took long to begin has the digest of an earlier grant, and began only if its rights still were the same.
        match self.rights.get(&opening.grant_digest) {
            None => {
                Err("it was made under rights that the records do not come to: a decision about them is missing"
                    .to_owned())
            }
            Some(right) if grants.iter().all(|(_, of_moment)| of_moment != right) => {
                Err("it was made under rights that were no longer in force".to_owned())
            }
            // Of the rights that it names, not of others that were in force within the leeway.
            Some(right)
                if !grants.iter().any(|(grant, of)| of == right && grant.scope.modes.contains(&opening.mode)) =>
            {
                Err(format!("the rights that it was made under did not allow {}", opening.mode.code()))
            }
            Some(_) => Ok(()),
        }
    }
}

impl Moment {
    /// Whether there was a right at a time, by what was decided before. Error: why not.
    fn in_force(&mut self, order: &OrderId, at: Timestamp, rights: &mut Rights) -> Result<(), Refusal> {
        if self.grant.as_ref().is_some_and(|(grant, _)| grant.scope.term.covers(at)) {
            return Ok(());
        }
        let grant = Grant::of(&self.links, order, at)?;
        if self.grant.is_none() {
            let right = right_digest(&grant);
            // Whether other orders of the consumer bar exact statistics, no record of this order says.
            let barred = Grant { exact_statistics_barred: true, ..grant.clone() };
            rights.extend([grant.digest(), barred.digest()].map(|digest| (digest, right.clone())));
            self.grant = Some((grant, right));
        }
        Ok(())
    }
}
