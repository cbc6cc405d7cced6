//! Marks of orders: which keys an order's copies are marked with, and who holds the halves.

mod categories;
mod decoys;
mod half;
mod kept;
mod keys;
mod layings;
mod marking;
mod promises;
mod propose;
mod survey;

use std::collections::BTreeSet;
use std::sync::Arc;

use lingqu_crypto::sha256;
use lingqu_domain::event::canonical;
use lingqu_domain::id::{OrderId, PartyId, ProductId};
use lingqu_domain::marking::{KeyCommitments, Marking as ChosenMarking};
use lingqu_fingerprint::{Marking, Opening, PositionSecrets, RecipientCode};

use crate::app::App;
use crate::error::AppError;
pub use crate::fingerprint::half::RegulatorHalf;
pub use crate::fingerprint::kept::{BrokenPromise, KeptPromises};
pub(crate) use crate::fingerprint::keys::committed_keys;
pub use crate::fingerprint::keys::{KeyRequest, KeyShares};
use crate::fingerprint::keys::{missing, request_of};
pub(crate) use crate::fingerprint::layings::Layings;
pub(crate) use crate::fingerprint::marking::marking_of;
pub use crate::fingerprint::propose::MarkingProposal;
pub(crate) use crate::fingerprint::survey::Surveys;

/// Hexadecimal digits of a code id.
const CODE_ID_DIGITS: usize = 32;

/// What an order's copies are marked with. `Debug` shows no key.
pub struct OrderMarks {
    /// What may change.
    pub marking: Marking,
    /// Where marks lie: the same for every order of the product.
    pub secrets: PositionSecrets,
    /// The consumer's code.
    pub recipient: RecipientCode,
    /// The order's code.
    pub order: RecipientCode,
    /// How many decoys are laid among a million rows, at most.
    pub decoys_per_million: u32,
    /// Which replacement of the consumer's code.
    pub code_epoch: u32,
    /// Names marking, epochs and commitments, hexadecimal: the same copy has the same id. Receipts, ETags and the names of
    /// files that are kept for a recipient carry it; it tells nothing of the keys.
    pub code_id: String,
}

impl std::fmt::Debug for OrderMarks {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("OrderMarks").field("code_id", &self.code_id).finish_non_exhaustive()
    }
}

/// A product whose copies are marked, with the keys of every order that ever had some: what a trace starts from.
#[derive(Debug)]
pub struct MarkedProduct {
    /// The product.
    pub product: ProductId,
    /// What its marks may change.
    pub marking: Marking,
    /// Which replacement of the key of positions.
    pub epoch: u32,
    /// The key of positions with its salt.
    pub positions: Opening,
    /// Its orders, by id.
    pub orders: Vec<MarkedOrder>,
}

/// An order whose copies are marked, by its keys of one epoch: an order whose keys were renewed stands there with each.
#[derive(Debug)]
pub struct MarkedOrder {
    /// The order.
    pub order: OrderId,
    /// The consumer: the recipient.
    pub consumer: PartyId,
    /// Which replacement of the consumer's code and its orders'; the first one is 0.
    pub code_epoch: u32,
    /// What receipts name copies by that are marked with these keys.
    pub code_id: String,
    /// Who holds the other half of the keys.
    pub holder: PartyId,
    /// The recipient's key with its salt; the same in all orders of one consumer for the product in one epoch.
    pub recipient_key: Opening,
    /// The order's key with its salt.
    pub order_key: Opening,
}

impl App {
    /// What an order's copies are marked with; none where its product is exact or the order grants neither rows nor files nor
    /// lookups. The answer is the same until the keys are renewed. Error: `mark_keys_missing` while the half-holder's shares are
    /// not there.
    pub async fn fingerprint_keys(&self, order: &OrderId) -> Result<Option<Arc<OrderMarks>>, AppError> {
        let (request, committed) = self.read(|state| {
            let request = request_of(state, order)?;
            let keys = state.orders.get(order).and_then(|order| order.value.mark_keys.as_ref());
            Ok::<_, AppError>((request, keys.map(|keys| keys.commitments.clone())))
        })?;
        let Some(request) = request else { return Ok(None) };
        let committed = committed.ok_or_else(|| missing(order))?;
        let mut keys = self.order_keys(&[(request.clone(), committed)]).await?;
        let keys = keys.pop().ok_or_else(|| AppError::Fault("an order without keys".to_owned()))?;
        let (marking, chosen) = self.marking_of_product(&request.product)?;
        Ok(Some(Arc::new(OrderMarks {
            marking,
            secrets: PositionSecrets::new(&keys.positions.key),
            recipient: RecipientCode::new(&keys.recipient.key),
            order: RecipientCode::new(&keys.order.key),
            decoys_per_million: chosen.decoys_per_million,
            code_epoch: request.code_epoch,
            code_id: code_id(&chosen, &keys.commitments(&request)),
        })))
    }

    /// Products whose copies are or were marked, by id: those of which an order has keys.
    pub fn marked_products(&self) -> Vec<ProductId> {
        self.read(|state| {
            let orders = state.orders.values().map(|order| &order.value);
            let products: BTreeSet<&ProductId> = orders
                .filter(|order| order.all_mark_keys().next().is_some())
                .map(|order| &order.details.product)
                .collect();
            products.into_iter().cloned().collect()
        })
    }

    /// A marked product with the keys of all its orders; none where no order of it ever had keys.
    pub async fn marked_product(&self, product: &ProductId) -> Result<Option<MarkedProduct>, AppError> {
        let (mut holders, mut requests) = (Vec::new(), Vec::new());
        self.read(|state| {
            let orders = state.orders.values().map(|order| &order.value);
            for order in orders.filter(|order| order.details.product == *product) {
                // By keys that were renewed copies are still about.
                for keys in order.all_mark_keys() {
                    requests.push((KeyRequest::committed(order, &keys.commitments), keys.commitments.clone()));
                    holders.push(keys.holder.clone());
                }
            }
        });
        let keys = self.order_keys(&requests).await?;
        let (Some(first), Some((request, _))) = (keys.first(), requests.first()) else { return Ok(None) };
        let (positions, epoch) = (first.positions.clone(), request.epoch);
        let (marking, chosen) = self.marking_of_product(product)?;
        let each = requests.into_iter().zip(holders).zip(keys);
        let orders = each.map(|(((request, _), holder), keys)| MarkedOrder {
            code_id: code_id(&chosen, &keys.commitments(&request)),
            order: request.order,
            consumer: request.consumer,
            code_epoch: request.code_epoch,
            holder,
            recipient_key: keys.recipient,
            order_key: keys.order,
        });
        Ok(Some(MarkedProduct { product: product.clone(), marking, epoch, positions, orders: orders.collect() }))
    }

    fn marking_of_product(&self, product: &ProductId) -> Result<(Marking, ChosenMarking), AppError> {
        let details = self.read(|state| state.products.get(product).map(|product| product.value.details.clone()));
        let unmarked = || AppError::Fault(format!("{product} has keys and no marking"));
        let details = details.ok_or_else(unmarked)?;
        let chosen = details.marking.ok_or_else(unmarked)?;
        Ok((marking_of(&details.key, &chosen)?, chosen))
    }
}

/// Names how a copy is marked, and with which keys, by what is public about them.
fn code_id(chosen: &ChosenMarking, commitments: &KeyCommitments) -> String {
    let named = serde_json::json!({ "marking": chosen, "commitments": commitments });
    let mut id = sha256(canonical(&named).as_bytes()).to_string();
    id.truncate(CODE_ID_DIGITS);
    id
}
