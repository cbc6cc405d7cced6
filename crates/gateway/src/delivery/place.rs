//! How many deliveries of one order may run at a time.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use lingqu_domain::id::OrderId;

use crate::error::GatewayError;

/// Places of orders. Holds an entry only for orders that have a delivery running, so it is bounded by the connections.
#[derive(Debug)]
pub(crate) struct Places {
    limit: u32,
    taken: Mutex<BTreeMap<OrderId, u32>>,
}

impl Places {
    pub(crate) fn new(limit: u32) -> Self {
        Self { limit, taken: Mutex::new(BTreeMap::new()) }
    }

    /// A place for one delivery, free again when it is dropped. Error: `too_many_deliveries`.
    pub(crate) fn take(self: &Arc<Self>, order: &OrderId) -> Result<Place, GatewayError> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(order.clone()).or_insert(0);
        if *count >= self.limit {
            return Err(GatewayError::TooManyDeliveries { limit: self.limit });
        }
        *count += 1;
        Ok(Place { places: Arc::clone(self), order: order.clone() })
    }
}

/// A taken place.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    order: OrderId,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.order) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.order);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(digit: char) -> OrderId {
        format!("{}_{}", OrderId::PREFIX, digit.to_string().repeat(32)).parse().unwrap()
    }

    #[test]
    fn places_are_counted_by_order_and_come_back() {
        let places = Arc::new(Places::new(2));
        let first = places.take(&order('a')).unwrap();
        let _second = places.take(&order('a')).unwrap();
        let _other = places.take(&order('b')).unwrap();
        assert!(matches!(places.take(&order('a')), Err(GatewayError::TooManyDeliveries { limit: 2 })));
        drop(first);
        let again = places.take(&order('a')).unwrap();
        drop(again);
        drop(_second);
        assert_eq!(places.taken.lock().unwrap().len(), 1);
    }
}
