//! Quota that is reserved for a delivery and comes back when nothing left.

use std::sync::Arc;

use lingqu_app::{App, Serving};
use lingqu_store::quota::Debit;
use tokio::runtime::Handle;

use crate::error::GatewayError;

/// Reserved quota. Dropping it gives all of it back; [`Reservation::keep`] ends that.
pub(crate) struct Reservation {
    app: Arc<App>,
    debits: Vec<Debit>,
    runtime: Handle,
}

impl Reservation {
    /// Debits every account of a use, or none. Error: `quota_exceeded`.
    pub(crate) async fn make(
        app: &Arc<App>,
        serving: &Serving,
        calls: u64,
        data_sets: u64,
    ) -> Result<Reservation, GatewayError> {
        let debits = app.quota_debits(serving, calls, data_sets);
        app.quota().spend(&debits).await?;
        Ok(Reservation { app: Arc::clone(app), debits, runtime: Handle::current() })
    }

    /// The use will not happen now; when this returns, another may have it.
    pub(crate) async fn give_back(mut self) {
        let debits = std::mem::take(&mut self.debits);
        self.app.quota().refund(&debits).await;
    }

    /// The use happened.
    pub(crate) fn keep(mut self) {
        self.debits.clear();
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let debits = std::mem::take(&mut self.debits);
        if debits.is_empty() {
            return;
        }
        let app = Arc::clone(&self.app);
        // A process that ends before this runs gives its leases back whole, by what the receipts tell.
        self.runtime.spawn(async move { app.quota().refund(&debits).await });
    }
}
