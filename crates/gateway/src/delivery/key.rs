//! The service key that something was asked with: it may be revoked while the answer leaves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lingqu_app::{App, AppError};
use lingqu_crypto::Sha256Digest;
use lingqu_domain::id::OrderId;

/// A key that its holder has proved.
#[derive(Clone, Debug)]
pub(super) struct Key {
    hash: Sha256Digest,
    /// The journal position as of which it was last found in force: it is looked for only once something was written since. 0
    /// before it was; there is no order then.
    in_force_at: Arc<AtomicU64>,
}

impl Key {
    pub(super) fn new(hash: Sha256Digest) -> Key {
        Key { hash, in_force_at: Arc::default() }
    }

    /// Refuses when it is not in force any more. Error: `bad_service_key`.
    pub(super) fn must_be_in_force(&self, app: &App, order: &OrderId) -> Result<(), AppError> {
        app.read(|state| {
            if self.in_force_at.load(Ordering::Acquire) == state.position {
                return Ok(());
            }
            let hash = self.hash.to_string();
            let is_in_force = state
                .orders
                .get(order)
                .is_some_and(|order| order.value.service_keys.iter().any(|key| key.hash == hash && !key.revoked));
            if !is_in_force {
                return Err(AppError::BadKey);
            }
            self.in_force_at.store(state.position, Ordering::Release);
            Ok(())
        })
    }
}
