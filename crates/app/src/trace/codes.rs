//! The codes that a trace tests: those of the journal at one position, which report and record name, so that anybody who has the
//! journal counts as many. A time would not do: two events may have the same, and the clocks of a node's processes differ.
//!
//! They are taken when all else is done, rows laid beside originals, observed, and held against receipts: what takes long comes
//! before, and from the position to the record there is the test alone; where no other code comes during the test, not even that.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lingqu_domain::id::ProductId;
use lingqu_domain::state::State;

use super::accusation::Judged;
use super::{Case, TraceWatch};
use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::MarkedProduct;

/// Codes of products at a position of the journal.
pub(super) struct Codes {
    /// The position of the journal's last event.
    pub(super) position: u64,
    /// When they were taken, which is never before that event.
    pub(super) at: Timestamp,
    /// The products with the keys of all their orders.
    pub(super) marked: BTreeMap<ProductId, MarkedProduct>,
}

impl App {
    /// Takes the codes of some products. Errors: it was stopped; keys can't be had.
    pub(super) async fn codes_of(&self, products: &BTreeSet<ProductId>, watch: &TraceWatch) -> Result<Codes, AppError> {
        loop {
            watch.go_on()?;
            self.catch_up().await?;
            let mut marked = BTreeMap::new();
            for product in products {
                if let Some(found) = self.marked_product(product).await? {
                    marked.insert(product.clone(), found);
                }
            }
            // Keys that were committed to stay so: as many are the same ones. Of a journal that moved on by others they are taken anew.
            let taken = |product: &ProductId| marked.get(product).map_or(0, |found| found.orders.len());
            let now = self.now();
            let at_position = self.read(|state| {
                let is_whole = products.iter().all(|product| committed(state, product) == taken(product));
                is_whole.then(|| (state.position, state.last_at.map_or(now, |last_at| now.max(last_at))))
            });
            if let Some((position, at)) = at_position {
                return Ok(Codes { position, at, marked });
            }
        }
    }

    /// The journal's last position, with its time, while the codes that were tested are all that there are; else that of their
    /// taking. So a test that takes days is dated by its end, and mostly nothing stands between the position and the trace's record.
    pub(super) async fn dated(
        &self,
        tested: &[(Case, Judged)],
        taken: (u64, Timestamp),
    ) -> Result<(u64, Timestamp), AppError> {
        self.catch_up().await?;
        let now = self.now();
        Ok(self.read(|state| {
            let is_whole =
                |(case, _): &(Case, Judged)| committed(state, &case.marked.product) == case.marked.orders.len();
            if tested.iter().all(is_whole) {
                (state.position, state.last_at.map_or(now, |last_at| now.max(last_at)))
            } else {
                taken
            }
        }))
    }
}

/// How many keys of orders of a product were committed to, each epoch of an order's counted.
fn committed(state: &State, product: &ProductId) -> usize {
    let orders = state.orders.values().map(|order| &order.value).filter(|order| order.details.product == *product);
    orders.map(|order| order.all_mark_keys().count()).sum()
}
