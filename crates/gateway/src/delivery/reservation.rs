//! Quota that is reserved for a delivery and comes back when nothing left.

use std::sync::Arc;

use jiff::civil::Date;
use lingqu_app::{App, AppError, HeldSubjects, Serving, Use};
use lingqu_store::quota::{Debit, OpenUse, QuotaError};
use roaring::RoaringTreemap;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::GatewayError;

/// What was debited, and the name under which this process did.
struct Debited {
    process: Arc<str>,
    debits: Vec<Debit>,
}

impl Debited {
    async fn make(app: &App, debits: Vec<Debit>) -> Result<Debited, QuotaError> {
        let process = app.quota().spend(&debits).await?;
        Ok(Debited { process, debits })
    }

    async fn take_back(&self, app: &App) {
        app.quota().refund(&self.process, &self.debits).await;
    }
}

/// Reserved quota. Dropping it gives all of it back; [`Reservation::keep`] ends that.
pub(crate) struct Reservation {
    app: Arc<App>,
    day: Option<Date>,
    debited: Vec<Debited>,
    subjects: Option<HeldSubjects>,
    open: Option<OpenUse>,
    runtime: Handle,
}

impl Reservation {
    /// Debits every account of a use that begins now, or none. Error: `quota_exceeded`.
    pub(crate) async fn make(app: &Arc<App>, serving: &Serving, used: Use) -> Result<Reservation, GatewayError> {
        Reservation::make_on(app, serving, app.quota_day(serving), used).await
    }

    /// The same of a use that began on a day.
    pub(crate) async fn make_on(
        app: &Arc<App>,
        serving: &Serving,
        day: Option<Date>,
        used: Use,
    ) -> Result<Reservation, GatewayError> {
        let open = Some(app.quota().open_use());
        let debited = vec![Debited::make(app, app.quota_debits(serving, day, &used)).await?];
        let runtime = Handle::current();
        Ok(Reservation { app: Arc::clone(app), day, debited, subjects: None, open, runtime })
    }

    /// The day on whose quota it counts; none where the order has none.
    pub(crate) fn day(&self) -> Option<Date> {
        self.day
    }

    /// Debits what is about to leave as well, whole, with the one record of its delivery: rows and bytes of the answer, and the
    /// subjects of the rows that it was made of. Error: `quota_exceeded`; what was debited of it comes back with the rest.
    pub(crate) async fn add(
        &mut self,
        serving: &Serving,
        used: Use,
        subjects: HeldSubjects,
        rows: &RoaringTreemap,
    ) -> Result<(), GatewayError> {
        // Given back with the rest whatever becomes of it, so each is noted before anything else is awaited.
        let subjects = self.subjects.insert(subjects);
        let debits = self.app.quota_debits(serving, self.day, &used);
        self.debited.push(Debited::make(&self.app, debits).await?);
        self.app.hold_subjects(serving, subjects, 0, rows).await?;
        Ok(())
    }

    /// The use will not happen now; when this returns, another may have it. Whoever stops waiting for it stops nothing.
    pub(crate) async fn give_back(mut self) {
        let Some(giving_back) = self.start_giving_back() else { return };
        if let Err(error) = giving_back.await {
            tracing::warn!(%error, "giving quota back ended early; the receipts settle it when this process has ended");
            self.app.quota().leave_to_receipts();
        }
    }

    /// Gives back what is reserved, in a task of its own. None where that is nothing.
    fn start_giving_back(&mut self) -> Option<JoinHandle<()>> {
        let debited = std::mem::take(&mut self.debited);
        let (subjects, open) = (self.subjects.take(), self.open.take());
        if debited.iter().all(|debited| debited.debits.is_empty()) && subjects.is_none() {
            return None;
        }
        let app = Arc::clone(&self.app);
        // A process that ends before this runs gives its leases back whole, by what the receipts tell.
        Some(self.runtime.spawn(async move {
            for debited in debited {
                debited.take_back(&app).await;
            }
            if let Some(subjects) = subjects {
                app.end_subjects(&subjects, 0).await;
            }
            drop(open);
        }))
    }

    /// The use happens. When it fails after all, what this gives says what to take back.
    pub(crate) fn keep(mut self) -> Kept {
        let (subjects, open) = (self.subjects.take(), self.open.take());
        Kept { debited: std::mem::take(&mut self.debited), subjects, _open: open }
    }
}

/// Quota that was used. Dropping it changes nothing.
pub(crate) struct Kept {
    debited: Vec<Debited>,
    subjects: Option<HeldSubjects>,
    _open: Option<OpenUse>,
}

impl Kept {
    /// Its record is durable.
    pub(crate) async fn settle(self, app: &App) {
        if let Some(subjects) = &self.subjects {
            app.end_subjects(subjects, 1).await;
        }
    }

    /// Nothing left after all. Subjects stay counted until this process ends: only then it is certain whether there is a record, by
    /// which they are.
    pub(crate) async fn take_back(self, app: &App) {
        app.quota().leave_to_receipts();
        for debited in &self.debited {
            debited.take_back(app).await;
        }
    }
}

/// A further debit of a delivery that has begun: of what is about to leave with one of its parts.
pub(crate) struct Further<'a> {
    pub(crate) app: &'a App,
    pub(crate) serving: &'a Serving,
    /// The name under which this process debits for the delivery.
    pub(crate) process: &'a str,
    pub(crate) day: Option<Date>,
    pub(crate) used: Use,
}

impl Further<'_> {
    /// Error: `quota_exceeded`; then nothing more is debited.
    pub(crate) async fn debit(self) -> Result<(), QuotaError> {
        self.debited().await.map(|_| ())
    }

    /// The same with the subjects of rows. Called in a task that goes on whoever waits for it.
    pub(crate) async fn debit_with(
        self,
        subjects: &HeldSubjects,
        part: u64,
        rows: &RoaringTreemap,
    ) -> Result<(), AppError> {
        let (app, serving) = (self.app, self.serving);
        let debited = self.debited().await?;
        if let Err(error) = app.hold_subjects(serving, subjects, part, rows).await {
            if let Some(debited) = debited {
                debited.take_back(app).await;
            }
            return Err(error);
        }
        Ok(())
    }

    /// None where what was debited is back already: this process was taken for dead since the delivery began and has another name. No
    /// record lets anything more out then, and so what was debited under the new name would be nobody's.
    async fn debited(self) -> Result<Option<Debited>, QuotaError> {
        let debits = self.app.quota_debits(self.serving, self.day, &self.used);
        let debited = Debited::make(self.app, debits).await?;
        if *debited.process == *self.process {
            return Ok(Some(debited));
        }
        debited.take_back(self.app).await;
        Ok(None)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Nobody waits for it.
        drop(self.start_giving_back());
    }
}
