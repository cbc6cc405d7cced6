//! Quota that is reserved for a delivery and comes back when nothing left.

use std::sync::Arc;

use jiff::civil::Date;
use lingqu_app::{App, AppError, HeldSubjects, Serving, Use};
use lingqu_store::quota::{Debit, OpenUse};
use roaring::RoaringTreemap;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::GatewayError;

/// Reserved quota. Dropping it gives all of it back; [`Reservation::keep`] ends that.
pub(crate) struct Reservation {
    app: Arc<App>,
    /// The name under which this process debited.
    process: Arc<str>,
    day: Option<Date>,
    debits: Vec<Debit>,
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
        let debits = app.quota_debits(serving, day, &used);
        let process = app.quota().process();
        app.quota().spend(&debits).await?;
        let runtime = Handle::current();
        Ok(Reservation { app: Arc::clone(app), process, day, debits, subjects: None, open, runtime })
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
        self.app.quota().spend(&debits).await?;
        self.debits.extend(debits);
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
        let debits = std::mem::take(&mut self.debits);
        let (subjects, open) = (self.subjects.take(), self.open.take());
        if debits.is_empty() && subjects.is_none() {
            return None;
        }
        let (app, process) = (Arc::clone(&self.app), Arc::clone(&self.process));
        // A process that ends before this runs gives its leases back whole, by what the receipts tell.
        Some(self.runtime.spawn(async move {
            app.quota().refund(&process, &debits).await;
            if let Some(subjects) = subjects {
                app.end_subjects(&subjects, 0).await;
            }
            drop(open);
        }))
    }

    /// The use happens. When it fails after all, what this gives says what to take back.
    pub(crate) fn keep(mut self) -> Kept {
        let (subjects, open) = (self.subjects.take(), self.open.take());
        Kept { process: Arc::clone(&self.process), debits: std::mem::take(&mut self.debits), subjects, _open: open }
    }
}

/// Quota that was used. Dropping it changes nothing.
pub(crate) struct Kept {
    process: Arc<str>,
    debits: Vec<Debit>,
    subjects: Option<HeldSubjects>,
    _open: Option<OpenUse>,
}

impl Kept {
    /// Whether subjects are held for it, which ends when it is known whether its record is durable.
    pub(crate) fn holds_subjects(&self) -> bool {
        self.subjects.as_ref().is_some_and(HeldSubjects::is_holding)
    }

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
        app.quota().refund(&self.process, &self.debits).await;
    }
}

/// Debits what is about to leave with a part of a delivery. Called in a task that goes on whoever waits for it. Error:
/// `quota_exceeded`; then nothing more is debited.
pub(crate) async fn leaving(
    app: &App,
    serving: &Serving,
    day: Option<Date>,
    used: Use,
    subjects: &HeldSubjects,
    part: u64,
    rows: &RoaringTreemap,
) -> Result<(), AppError> {
    let debits = app.quota_debits(serving, day, &used);
    let process = app.quota().process();
    app.quota().spend(&debits).await?;
    if let Err(error) = app.hold_subjects(serving, subjects, part, rows).await {
        app.quota().refund(&process, &debits).await;
        return Err(error);
    }
    Ok(())
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // Nobody waits for it.
        drop(self.start_giving_back());
    }
}
