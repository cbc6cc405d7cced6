//! Answers that lie in memory whole until their clients have taken them, as slowly as they like: an order has so many bytes of them
//! at a time. They are those about what there is, which cost nothing. Of an answer that is drawn a client has a few pieces.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use lingqu_app::AppError;
use lingqu_engine::EngineError;

use crate::error::GatewayError;

/// Most bytes of one order: the four largest answers that there are, or those of hundreds of connections that look around.
const BYTES_MAX: usize = 128 << 20;

/// Bytes by order. Holds an entry only for orders of which an answer waits.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_order: Mutex<BTreeMap<String, usize>>,
}

/// An answer that waits, until this is dropped.
#[derive(Debug)]
pub(crate) struct Wait {
    waiting: Arc<Waiting>,
    order: String,
    bytes: usize,
}

impl Waiting {
    /// Error: `busy`, when the order's clients leave too much untaken.
    pub(super) fn take(self: &Arc<Self>, order: &str, bytes: usize) -> Result<Wait, GatewayError> {
        let mut by_order = self.by_order.lock().unwrap_or_else(PoisonError::into_inner);
        let in_all = by_order.get(order).copied().unwrap_or_default() + bytes;
        if in_all > BYTES_MAX {
            return Err(AppError::Engine(EngineError::Busy).into());
        }
        by_order.insert(order.to_owned(), in_all);
        Ok(Wait { waiting: Arc::clone(self), order: order.to_owned(), bytes })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        let mut by_order = self.waiting.by_order.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(in_all) = by_order.get_mut(&self.order) {
            *in_all -= self.bytes;
            if *in_all == 0 {
                by_order.remove(&self.order);
            }
        }
    }
}

/// Bytes that batches take in memory.
pub(crate) fn memory_of(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::get_array_memory_size).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_has_so_many_bytes_at_a_time() {
        let waiting: Arc<Waiting> = Arc::default();
        let half = waiting.take("ord_1", BYTES_MAX / 2).unwrap();
        let rest = waiting.take("ord_1", BYTES_MAX / 2).unwrap();
        assert_eq!(waiting.take("ord_1", 1).unwrap_err().problem().code, "busy");
        drop(waiting.take("ord_2", BYTES_MAX).unwrap());
        drop(half);
        drop(waiting.take("ord_1", BYTES_MAX / 2).unwrap());
        drop(rest);
        assert!(waiting.by_order.lock().unwrap().is_empty());
    }
}
