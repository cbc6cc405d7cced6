//! Running jobs: waiting for a place, reading, recording, clearing up; and going on with what an earlier process left open.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::id::{IngestionId, ResourceId};
use lingqu_domain::refusal::{Refusal, RefusalCode};
use lingqu_domain::resource::Snapshot;
use lingqu_engine::SchemaView;
use lingqu_engine::snapshot::{Ingest, IngestControl, Snapshot as StoredSnapshot, SnapshotError};
use lingqu_engine::source::{SchemaDrift, Source, SourceError, SourceIdentity};
use lingqu_store::ingestion::{
    CANCELLED, COMMITTED, FAILED, IngestionCounts, IngestionEnd, IngestionFilter, StoredIngestion,
};
use tokio::sync::oneshot;

use super::request::{JobRequest, JobSource};
use super::{App, Ended, IngestionFailure, IngestionOutcome, Resumption, counts_of, is_cancelled, spool, waiting};
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::storage;

/// Pause between two notes of how far a job has come.
const NOTE_EVERY: Duration = Duration::from_secs(2);
/// How often a job is begun, without the times when its source was away: a source over which the node dies again and again is not
/// tried for ever.
const ATTEMPTS_MAX: u64 = 8;
/// In a job's folder from its reading until its parts are cleared up. No upload is named so: theirs have endings.
const READING: &str = "reading";
/// Ended jobs of a resource whose rejected rows are kept.
const REJECTS_KEPT: usize = 20;

impl App {
    /// Takes up the jobs that an earlier process of this node left open, and removes what no job owns. Called when the node
    /// begins to serve, and now and then after: a job whose snapshot could not be recorded is tried again, and one whose source
    /// was away when it is time for that. The number of jobs taken up.
    pub async fn resume_ingestions(self: &Arc<Self>) -> Result<usize, AppError> {
        let mut resumed = 0;
        for job in self.store.open_ingestions().await? {
            let Ok(id) = job.new.id.parse::<IngestionId>() else { continue };
            // Another process of the node has the files of its own jobs.
            let is_here = self.ingestions.folder(&id).is_dir();
            if !is_here || self.ingestions.running().contains_key(&id) || self.ingestions.spooling().contains(&id) {
                continue;
            }
            if waiting::until(&job)?.is_some_and(|retry_at| retry_at > self.clock.now()) {
                continue;
            }
            if self.start_task(id).is_some() {
                resumed += 1;
            }
        }
        Ok(resumed)
    }

    /// Removes the folders of uploads that never became a job and what jobs that have ended left, and counts what the others
    /// take. Called once, before [`App::resume_ingestions`].
    pub async fn sweep_uploads(&self) -> Result<(), AppError> {
        for entry in std::fs::read_dir(&self.ingestions.directory).into_iter().flatten().flatten() {
            let Some(id) = entry.file_name().to_str().and_then(|name| name.parse::<IngestionId>().ok()) else {
                continue;
            };
            if self.ingestions.spooling().contains(&id) {
                continue;
            }
            match self.store.ingestion(id.as_str()).await? {
                None => drop(std::fs::remove_dir_all(entry.path())),
                // A process died before it had cleared up.
                Some(job) if job.ended_at.is_some() => {
                    if entry.path().join(READING).exists() {
                        self.clear_up(&resource_of(&job)?, &id).await;
                    }
                    self.ingestions.remove_source(&id);
                }
                Some(job) => {
                    let resource = self.resource(&resource_of(&job)?)?;
                    self.ingestions.count_source(&id, &resource.provider);
                }
            }
        }
        Ok(())
    }

    /// Stops the jobs of this process and waits for that. They stay open and are gone on with after the next start.
    pub(crate) async fn stop_ingestions(&self) {
        self.ingestions.is_closing.store(true, Ordering::SeqCst);
        for control in self.ingestions.running().values() {
            control.stop.give();
        }
        let mut tasks =
            std::mem::take(&mut *self.ingestions.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }

    /// Starts a job's task. Nothing where it runs already or the node closes.
    pub(super) fn start_task(self: &Arc<Self>, id: IngestionId) -> Option<Ended> {
        let control = IngestControl { rejects: Some(self.ingestions.rejects(&id)), ..IngestControl::default() };
        {
            let mut running = self.ingestions.running();
            if self.ingestions.is_closing.load(Ordering::SeqCst) || running.contains_key(&id) {
                return None;
            }
            running.insert(id.clone(), control.clone());
        }
        let (ended, waiting) = oneshot::channel();
        let app = Arc::clone(self);
        let mut tasks = self.ingestions.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // Ended tasks are taken out, so that the set does not grow with the jobs.
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            let outcome = app.run_ingestion(&id, &control).await;
            app.ingestions.running().remove(&id);
            if let Err(error) = &outcome {
                tracing::info!(ingestion = %id, %error, "an ingestion ended without a snapshot");
            }
            // Whoever asked may have gone.
            drop(ended.send(outcome));
        });
        Some(waiting)
    }

    async fn run_ingestion(&self, id: &IngestionId, control: &IngestControl) -> Result<Snapshot, AppError> {
        let Some(job) = self.store.ingestion(id.as_str()).await? else {
            return Err(AppError::Fault(format!("ingestion {id} is gone")));
        };
        let provider = self.resource(&resource_of(&job)?)?.provider;
        let _turn = tokio::select! {
            turn = self.ingestions.turns.turn(&provider) => turn,
            () = control.stop.wait() => return self.stopped(id).await,
        };
        if !self.store.start_ingestion(id.as_str(), &self.clock.now().to_string()).await? {
            return self.stopped(id).await;
        }
        let job = self.store.ingestion(id.as_str()).await?;
        let job = job.ok_or_else(|| AppError::Fault(format!("ingestion {id} is gone")))?;
        if job.snapshot.is_none() && job.attempts.saturating_sub(waiting::times(&job)?) > ATTEMPTS_MAX {
            return self.failed(&job, job.counts, IngestionOutcome::default(), interrupted_too_often(id)).await;
        }
        let snapshot = match &job.snapshot {
            // Interrupted after the data was stored: only the record may be missing.
            Some(text) => serde_json::from_str(text).map_err(|error| AppError::Fault(error.to_string()))?,
            None => {
                let mut outcome = IngestionOutcome::default();
                let stored = match self.read_noting(&job, control, &mut outcome).await {
                    Ok(stored) => stored,
                    Err(AppError::Snapshot(SnapshotError::Stopped)) => return self.stopped(id).await,
                    Err(error) if waiting::is_for(&error) => return self.put_off(&job, control, outcome, error).await,
                    Err(error) => return self.failed(&job, counts_of(control), outcome, error).await,
                };
                let (finished_rows, kept_rows) = (control.progress.finished(), control.progress.kept());
                outcome.resumption = (finished_rows > 0).then_some(Resumption { finished_rows, kept_rows });
                let resource = self.resource(&resource_of(&job)?)?;
                if let Err(error) = self.must_name_subjects(&resource, stored.version).await {
                    return self.failed(&job, counts_of(control), outcome, error).await;
                }
                let digest = job.new.source_digest.clone();
                let is_stored = |newest: &Snapshot| {
                    newest.live.is_none() && newest.version == stored.version && newest.digest == stored.digest
                };
                let snapshot = match resource.snapshot.clone().filter(is_stored) {
                    Some(newest) => {
                        outcome.is_unchanged = true;
                        newest
                    }
                    None => self.snapshot_of(&resource, stored.version, stored.rows, stored.digest, digest)?,
                };
                let text = serde_json::to_string(&snapshot).map_err(|error| AppError::Fault(error.to_string()))?;
                if !self.settle(id, control, &text, &outcome).await? {
                    return self.stopped(id).await;
                }
                snapshot
            }
        };
        self.record(&job, snapshot).await
    }

    async fn settle(
        &self,
        id: &IngestionId,
        control: &IngestControl,
        snapshot: &str,
        outcome: &IngestionOutcome,
    ) -> Result<bool, AppError> {
        Ok(self.store.settle_ingestion(id.as_str(), counts_of(control), snapshot, &text_of(outcome)?).await?)
    }

    /// Tells the journal of a stored snapshot, unless it knows it, and ends the job.
    async fn record(&self, job: &StoredIngestion, snapshot: Snapshot) -> Result<Snapshot, AppError> {
        let settled = self.store.ingestion(&job.new.id).await?;
        let settled = settled.ok_or_else(|| AppError::Fault(format!("ingestion {} is gone", job.new.id)))?;
        let outcome: IngestionOutcome = match settled.outcome.as_deref() {
            Some(text) => serde_json::from_str(text).map_err(|error| AppError::Fault(error.to_string()))?,
            None => IngestionOutcome::default(),
        };
        let resource = resource_of(job)?;
        self.catch_up().await?;
        let newest = self.resource(&resource)?.snapshot.map(|newest| newest.id);
        let is_recorded = newest.as_ref() == Some(&snapshot.id)
            || self.snapshot_history(&resource).await?.iter().any(|(_, known)| known.id == snapshot.id);
        if !is_recorded {
            let actor: Actor =
                job.new.actor.parse().map_err(|_| AppError::Fault("an ingestion has no actor".to_owned()))?;
            let command = Command::RecordSnapshot { resource, snapshot: snapshot.clone() };
            match self.carry_out(&actor, &command, CommandOptions::default(), Extras::default()).await {
                Ok(_) => {}
                // Tried again with the next look at open jobs, or after the next start.
                Err(error) if storage::is_temporary(&error) => return Err(error),
                Err(error) => return self.failed(job, settled.counts, outcome, error).await,
            }
        }
        self.end(job, settled.counts, COMMITTED, &outcome).await?;
        Ok(snapshot)
    }

    /// Reads the source and notes now and then how far that has come.
    async fn read_noting(
        &self,
        job: &StoredIngestion,
        control: &IngestControl,
        outcome: &mut IngestionOutcome,
    ) -> Result<StoredSnapshot, AppError> {
        let reading = self.read_source(job, control, outcome);
        tokio::pin!(reading);
        loop {
            tokio::select! {
                read = &mut reading => return read,
                () = tokio::time::sleep(NOTE_EVERY) => {
                    match self.store.note_ingestion(&job.new.id, counts_of(control)).await {
                        Ok(true) => {}
                        // Another process of the node cancelled it.
                        Ok(false) => control.stop.give(),
                        Err(error) => tracing::warn!(%error, "an ingestion's progress could not be noted"),
                    }
                }
            }
        }
    }

    async fn read_source(
        &self,
        job: &StoredIngestion,
        control: &IngestControl,
        outcome: &mut IngestionOutcome,
    ) -> Result<StoredSnapshot, AppError> {
        let request = JobRequest::of_text(&job.new.request)?;
        let resource = resource_of(job)?;
        let id: IngestionId = job.new.id.parse().map_err(|_| AppError::Fault("an ingestion has no id".to_owned()))?;
        let folder = self.ingestions.folder(&id);
        tokio::fs::create_dir_all(&folder).await.map_err(|error| AppError::file("make", &folder, &error))?;
        // Rejected rows are told in it for as long as the snapshot is one of the last.
        let folders = self.ingestions.directory.clone();
        blocking(move || {
            let synced = std::fs::File::open(&folders).and_then(|handle| handle.sync_all());
            synced.map_err(|error| AppError::file("sync", &folders, &error))
        })
        .await?;
        let mark = folder.join(READING);
        tokio::fs::write(&mark, []).await.map_err(|error| AppError::file("make", &mark, &error))?;
        let path = match &request.source {
            JobSource::Spooled { file } => folder.join(file),
            JobSource::Path { path } => path.clone(),
            JobSource::Table { reference } => {
                let table = self.table_of_job(job, &request, reference, outcome).await;
                let table = table.inspect_err(|error| outcome.drift = drift_of(error))?;
                outcome.drift = Some(table.drift()).filter(|drift| !drift.is_empty());
                outcome.drift_since_last = self.drift_since_last(&resource, table.schema()).await?;
                let mut control = control.clone();
                // A version of one attempt under the position of another would lose what lies between them.
                let name = match table.identity() {
                    SourceIdentity::Fixed(_) => id.to_string(),
                    SourceIdentity::Live => {
                        control.job = Some(id.to_string());
                        let newest = self.resource(&resource)?.snapshot;
                        control.newest = newest.filter(|newest| newest.live.is_none()).map(|newest| newest.version);
                        format!("{id}-{}", job.attempts)
                    }
                };
                let ingest = Ingest::Table(table, request.options.rejects);
                return Ok(self.snapshots.ingest(resource.as_str(), &name, ingest, control).await?);
            }
        };
        let (is_repeated, expected) = (job.attempts > 1, job.new.source_digest.clone());
        let others = matches!(request.source, JobSource::Path { .. }).then(|| (path.clone(), expected.clone()));
        let options = request.options;
        let source = blocking(move || {
            if is_repeated {
                must_be_unchanged(&path, &expected)?;
            }
            Ok(Source::open(&path, options)?)
        })
        .await;
        let source = source.inspect_err(|error| outcome.drift = drift_of(error))?;
        outcome.encoding = source.encoding();
        outcome.drift = Some(source.drift().clone()).filter(|drift| !drift.is_empty());
        outcome.drift_since_last = self.drift_since_last(&resource, source.schema()).await?;
        let stored = self.ingest(&resource, &id, Ingest::File(source), control).await?;
        // A file that is not the node's own may have been changed while the job waited for its turn, and while it was read.
        if let Some((path, expected)) = others {
            blocking(move || must_be_unchanged(&path, &expected)).await?;
        }
        Ok(stored)
    }

    async fn ingest(
        &self,
        resource: &ResourceId,
        id: &IngestionId,
        ingest: Ingest,
        control: &IngestControl,
    ) -> Result<StoredSnapshot, AppError> {
        Ok(self.snapshots.ingest(resource.as_str(), id.as_str(), ingest, control.clone()).await?)
    }

    async fn drift_since_last(
        &self,
        resource: &ResourceId,
        schema: &SchemaView,
    ) -> Result<Option<SchemaDrift>, AppError> {
        let Some(last) = self.snapshots.latest(resource.as_str()).await? else { return Ok(None) };
        Ok(Some(SchemaDrift::between(&last.schema, schema)).filter(|drift| !drift.is_empty()))
    }

    /// Ends a job that failed and answers why.
    pub(super) async fn failed(
        &self,
        job: &StoredIngestion,
        counts: IngestionCounts,
        mut outcome: IngestionOutcome,
        error: AppError,
    ) -> Result<Snapshot, AppError> {
        if outcome.drift.as_ref().is_none_or(|drift| drift.changed.is_empty()) && is_of_values(&error) {
            outcome.drift = self.drift_of_values(job).await.or(outcome.drift);
        }
        let problem = error.problem();
        outcome.failure =
            Some(IngestionFailure { code: problem.code, detail: problem.detail, detail_en: problem.detail_en });
        self.end(job, counts, FAILED, &outcome).await?;
        Err(error)
    }

    /// Which columns hold values of another type, all at once. What can't be found out is not told.
    async fn drift_of_values(&self, job: &StoredIngestion) -> Option<SchemaDrift> {
        let request = JobRequest::of_text(&job.new.request).ok()?;
        let id: IngestionId = job.new.id.parse().ok()?;
        let path = match request.source {
            JobSource::Spooled { file } => self.ingestions.folder(&id).join(file),
            JobSource::Path { path } => path,
            JobSource::Table { .. } => return None,
        };
        let found = blocking(move || Ok(Source::open(&path, request.options)?.drift_of_values()?)).await;
        found.ok().filter(|drift| !drift.is_empty())
    }

    async fn end(
        &self,
        job: &StoredIngestion,
        counts: IngestionCounts,
        state: &'static str,
        outcome: &IngestionOutcome,
    ) -> Result<(), AppError> {
        let end = IngestionEnd { state, counts, outcome: Some(text_of(outcome)?), at: self.clock.now().to_string() };
        self.store.end_ingestion(&job.new.id, &end).await?;
        let resource = resource_of(job)?;
        if let Ok(id) = job.new.id.parse() {
            self.clear_up(&resource, &id).await;
        }
        Ok(())
    }

    /// A job that was stopped: given up by somebody, or to be gone on with after the next start.
    pub(super) async fn stopped(&self, id: &IngestionId) -> Result<Snapshot, AppError> {
        let Some(job) = self.store.ingestion(id.as_str()).await? else {
            return Err(AppError::Fault(format!("ingestion {id} is gone")));
        };
        if is_cancelled(&job) {
            self.clear_up(&resource_of(&job)?, id).await;
            return Err(Refusal::wrong_state(id, CANCELLED, COMMITTED).into());
        }
        Err(SnapshotError::Stopped.into())
    }

    /// Removes the parts of a job that its recorded snapshot does not have.
    async fn discard_parts(&self, resource: &ResourceId, id: &IngestionId) -> Result<(), AppError> {
        let Some(job) = self.store.ingestion(id.as_str()).await? else { return Ok(()) };
        let recorded = self.view(job)?.snapshot.map(|snapshot| snapshot.version);
        Ok(self.snapshots.discard(resource.as_str(), id.as_str(), recorded).await?)
    }

    /// Removes what a job that has ended needs no more: its uploaded file, parts that no version names, rejected rows of long
    /// ago. What can't be removed only takes space.
    pub(super) async fn clear_up(&self, resource: &ResourceId, id: &IngestionId) {
        if let Err(error) = self.discard_parts(resource, id).await {
            tracing::warn!(%error, ingestion = %id, "the files of an ingestion could not be removed");
        }
        self.ingestions.remove_source(id);
        let filter = IngestionFilter {
            resources: Some(vec![resource.to_string()]),
            limit: lingqu_store::ingestion::PAGE_MAX,
            ..IngestionFilter::default()
        };
        match self.store.ingestions(&filter).await {
            Ok(jobs) => {
                let ended = jobs.iter().filter(|job| job.ended_at.is_some());
                for old in ended.skip(REJECTS_KEPT).filter_map(|job| job.new.id.parse().ok()) {
                    drop(std::fs::remove_dir_all(self.ingestions.folder(&old)));
                }
            }
            Err(error) => tracing::warn!(%error, "the rejected rows of old ingestions could not be removed"),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AppError::Fault(error.to_string()))?
}

fn resource_of(job: &StoredIngestion) -> Result<ResourceId, AppError> {
    job.new.resource.parse().map_err(|_| AppError::Fault(format!("ingestion {} has no resource", job.new.id)))
}

pub(super) fn text_of(outcome: &IngestionOutcome) -> Result<String, AppError> {
    serde_json::to_string(outcome).map_err(|error| AppError::Fault(error.to_string()))
}

/// A job reads what was submitted, and goes on with it after an interruption, or not at all.
fn must_be_unchanged(path: &Path, expected: &str) -> Result<(), AppError> {
    if spool::digest_of(path)?.0 == expected {
        return Ok(());
    }
    Err(Refusal::invalid(
        "source",
        "来源文件在提交汇入后被改动，请重新提交汇入",
        "the source file was changed after the ingestion was submitted; submit it anew",
    )
    .into())
}

fn interrupted_too_often(id: &IngestionId) -> AppError {
    Refusal::new(
        RefusalCode::LimitExceeded,
        id,
        format!("汇入 {id} 已中断 {ATTEMPTS_MAX} 次，不再继续；请联系节点运维人员查明原因后重新提交"),
        format!("ingestion {id} was interrupted {ATTEMPTS_MAX} times and is given up; ask the node's operator why, then submit it anew"),
    )
    .into()
}

/// The differences that refused a source.
fn drift_of(error: &AppError) -> Option<SchemaDrift> {
    match error {
        AppError::Source(SourceError::Drift { drift, .. })
        | AppError::Snapshot(SnapshotError::Source(SourceError::Drift { drift, .. })) => Some((**drift).clone()),
        _ => None,
    }
}

/// Whether a source was refused for its values.
fn is_of_values(error: &AppError) -> bool {
    matches!(
        error,
        AppError::Snapshot(SnapshotError::Source(SourceError::BadValue { .. } | SourceError::TooManyRejects { .. }))
    )
}
