//! The record of released statistics of one order's consumer: durable, shared by all nodes, kept by consumer and set of
//! resources and seen with every set that has a resource in common, so that neither another order nor another product of a
//! resource nor another protocol nor a newer version of the data begins anew.

use std::collections::BTreeSet;

use async_trait::async_trait;
use jiff::tz::Offset;
use lingqu_crypto::sha256;
use lingqu_domain::event::canonical;
use lingqu_domain::grant::Grant;
use lingqu_domain::id::{PartyId, ResourceId};
use lingqu_domain::state::State;
use lingqu_engine::EngineError;
use lingqu_engine::release::{Added, Cell, CellRange, RecordedCell, ReleaseRecord};
use lingqu_store::Store;
use lingqu_store::release::{Recipient, Release, ReleasedNumber, ReleasedRange};

use crate::clock::Clock;

/// Most released numbers that one consumer may have of one set of resources. Each is compared with each new one of a set that
/// has a resource in common.
const NUMBERS_MAX: u64 = 20_000;
/// Most questions of one consumer about one set of resources, and those that have a resource in common with it, that are
/// refused on one day (UTC) for what their answers would have told. Each such refusal tells that a group or difference is small.
const REFUSALS_PER_DAY_MAX: u64 = 200;

/// The record of one consumer.
#[derive(Clone)]
pub(crate) struct ConsumerRecord {
    store: Store,
    clock: Clock,
    recipient: Recipient,
}

impl std::fmt::Debug for ConsumerRecord {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ConsumerRecord").field("recipient", &self.recipient).finish_non_exhaustive()
    }
}

/// Whose record a grant's statistics belong to: its consumer's, seen together with those of all that are tied to it,
/// directly or through others, and with what they were given of other products that a resource of the grant is in.
pub(crate) fn recipient(state: &State, grant: &Grant) -> Recipient {
    let mut together = BTreeSet::from([&grant.consumer]);
    let mut waiting: Vec<&PartyId> = vec![&grant.consumer];
    while let Some(party) = waiting.pop().and_then(|id| state.parties.get(id)) {
        for other in state.parties.values() {
            if party.value.is_tied_to(&other.value) && together.insert(&other.value.id) {
                waiting.push(&other.value.id);
            }
        }
    }
    let affiliates = together.into_iter().filter(|party| **party != grant.consumer).map(ToString::to_string);
    let resources = grant.resources();
    let of_products = state.products.values().map(|product| &product.value.details.inputs);
    let overlapping: BTreeSet<String> = of_products
        .filter(|inputs| inputs.keys().any(|resource| resources.contains(resource)))
        .map(|inputs| inputs.keys().cloned().collect::<BTreeSet<ResourceId>>())
        .filter(|set| *set != resources)
        .map(|set| digest(&set))
        .collect();
    Recipient {
        resources: digest(&resources),
        overlapping: overlapping.into_iter().collect(),
        consumer: grant.consumer.to_string(),
        affiliates: affiliates.collect(),
    }
}

/// Names a set of resources.
fn digest(resources: &BTreeSet<ResourceId>) -> String {
    sha256(canonical(resources).as_bytes()).to_string()
}

impl ConsumerRecord {
    pub(crate) fn new(store: &Store, clock: &Clock, recipient: Recipient) -> Self {
        Self { store: store.clone(), clock: clock.clone(), recipient }
    }

    pub(crate) fn recipient(&self) -> &Recipient {
        &self.recipient
    }

    fn today(&self) -> String {
        Offset::UTC.to_datetime(self.clock.now()).date().to_string()
    }
}

#[async_trait]
impl ReleaseRecord for ConsumerRecord {
    async fn head(&self) -> Result<u64, EngineError> {
        self.store.released_head(&self.recipient).await.map_err(EngineError::record)
    }

    async fn cells(&self, range: &CellRange) -> Result<Vec<RecordedCell>, EngineError> {
        let range = ReleasedRange {
            family: range.family.clone(),
            contributors: range.contributors.clone(),
            after: range.after,
            until: range.until,
        };
        let released = self.store.released(&self.recipient, &range).await.map_err(EngineError::record)?;
        let recorded = released.into_iter().map(|(position, number)| RecordedCell {
            position,
            cell: Cell {
                family: number.family,
                contributors_min: number.contributors_min,
                contributors_max: number.contributors_max,
                sketch: number.sketch,
            },
        });
        Ok(recorded.collect())
    }

    async fn add(&self, head: u64, cells: &[Cell]) -> Result<Added, EngineError> {
        let numbers: Vec<ReleasedNumber> = cells
            .iter()
            .map(|cell| ReleasedNumber {
                family: cell.family.clone(),
                contributors_min: cell.contributors_min,
                contributors_max: cell.contributors_max,
                sketch: cell.sketch.clone(),
            })
            .collect();
        let release = self.store.release(&self.recipient, head, &numbers, NUMBERS_MAX).await;
        Ok(match release.map_err(EngineError::record)? {
            Release::Recorded => Added::Recorded,
            Release::Moved => Added::Moved,
            Release::Full => Added::Full,
        })
    }

    async fn may_ask(&self) -> Result<bool, EngineError> {
        let refused = self.store.release_refusals(&self.recipient, &self.today()).await;
        Ok(refused.map_err(EngineError::record)? < REFUSALS_PER_DAY_MAX)
    }

    async fn count_refusal(&self) -> Result<(), EngineError> {
        self.store.count_release_refusal(&self.recipient, &self.today()).await.map_err(EngineError::record)
    }
}
