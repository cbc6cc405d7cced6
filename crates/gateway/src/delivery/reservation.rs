//! Quota that is reserved for a delivery and comes back when nothing left.

use std::sync::Arc;

use jiff::civil::Date;
use lingqu_app::{App, AppError, Serving, Use};
use lingqu_store::quota::Debit;
use roaring::RoaringTreemap;
use tokio::runtime::Handle;

use crate::error::GatewayError;

/// Reserved quota. Dropping it gives all of it back; [`Reservation::keep`] ends that.
pub(crate) struct Reservation {
    app: Arc<App>,
    /// The name under which this process debited.
    process: Arc<str>,
    day: Option<Date>,
    debits: Vec<Debit>,
    runtime: Handle,
}

impl Reservation {
    /// Debits every account of a use, or none. Error: `quota_exceeded`.
    pub(crate) async fn make(app: &Arc<App>, serving: &Serving, used: Use) -> Result<Reservation, GatewayError> {
        let day = app.quota_day(serving);
        let debits = app.quota_debits(serving, day, &used);
        let process = app.quota().process();
        app.quota().spend(&debits).await?;
        Ok(Reservation { app: Arc::clone(app), process, day, debits, runtime: Handle::current() })
    }

    /// The day on whose quota it counts; none where the order has none.
    pub(crate) fn day(&self) -> Option<Date> {
        self.day
    }

    /// Debits what is about to leave as well: rows and bytes of an answer, and the subjects of the rows that it was made
    /// of. Error: `quota_exceeded`; then only what was reserved before is.
    pub(crate) async fn add(
        &mut self,
        serving: &Serving,
        used: Use,
        rows: &RoaringTreemap,
    ) -> Result<(), GatewayError> {
        self.debits.extend(leaving(&self.app, serving, self.day, used, rows).await?);
        Ok(())
    }

    /// The use will not happen now; when this returns, another may have it.
    pub(crate) async fn give_back(mut self) {
        let debits = std::mem::take(&mut self.debits);
        self.app.quota().refund(&self.process, &debits).await;
    }

    /// The use happens. When it fails after all, what this gives says what to take back.
    pub(crate) fn keep(mut self) -> Kept {
        Kept { process: Arc::clone(&self.process), debits: std::mem::take(&mut self.debits) }
    }
}

/// Quota that was used. Dropping it changes nothing.
pub(crate) struct Kept {
    process: Arc<str>,
    debits: Vec<Debit>,
}

impl Kept {
    /// Nothing left after all.
    pub(crate) async fn take_back(self, app: &App) {
        app.quota().refund(&self.process, &self.debits).await;
    }
}

/// Debits what is about to leave, and answers what was debited. Error: `quota_exceeded`; then nothing was, but for subjects
/// who were counted.
pub(crate) async fn leaving(
    app: &App,
    serving: &Serving,
    day: Option<Date>,
    used: Use,
    rows: &RoaringTreemap,
) -> Result<Vec<Debit>, AppError> {
    let debits = app.quota_debits(serving, day, &used);
    let process = app.quota().process();
    app.quota().spend(&debits).await?;
    if let Err(error) = app.count_subjects(serving, day, rows).await {
        app.quota().refund(&process, &debits).await;
        return Err(error);
    }
    Ok(debits)
}

impl Drop for Reservation {
    fn drop(&mut self) {
        let debits = std::mem::take(&mut self.debits);
        if debits.is_empty() {
            return;
        }
        let (app, process) = (Arc::clone(&self.app), Arc::clone(&self.process));
        // A process that ends before this runs gives its leases back whole, by what the receipts tell.
        self.runtime.spawn(async move { app.quota().refund(&process, &debits).await });
    }
}
