//! Ingestions: the jobs that read sources into snapshots, with how far they have come. The journal knows the snapshots they
//! end in; the jobs themselves stand beside it, since how often one was interrupted, and how many rows it has read by now,
//! is no decision and can't be folded from any.
//!
//! A job is open until it is committed, failed or cancelled. Each change says from which states it may be made and answers
//! whether it was: of a cancellation and an end that race, one finds the job ended.

use std::cmp::min;

use sea_orm::sea_query::{Expr, ExprTrait, Func, Order, Query, SelectStatement, UpdateStatement};
use sea_orm::{ConnectionTrait, QueryResult};

use crate::error::StoreError;
use crate::store::{Store, WriterLock, from_sql, to_sql};

/// Most ingestions of one page.
pub const PAGE_MAX: u32 = 500;
/// States of an open job.
const OPEN: [&str; 2] = [QUEUED, RUNNING];
/// Waiting for its turn, or until its source can be reached again.
pub const QUEUED: &str = "queued";
/// Being read, or interrupted and to be gone on with.
pub const RUNNING: &str = "running";
/// Recorded as a snapshot.
pub const COMMITTED: &str = "committed";
/// Ended without a snapshot.
pub const FAILED: &str = "failed";
/// Given up by somebody.
pub const CANCELLED: &str = "cancelled";

/// A job to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewIngestion {
    /// Its id; ids sort in the order of creation.
    pub id: String,
    /// The resource.
    pub resource: String,
    /// Who asked for it.
    pub actor: String,
    /// What the source is called.
    pub source_name: String,
    /// SHA-256 of the source in hex; empty where there is none.
    pub source_digest: String,
    /// SHA-256 of how it is read, in hex.
    pub options_digest: String,
    /// What it takes to begin it again, as JSON.
    pub request: String,
    /// Bytes of the source; 0 when they are not known.
    pub bytes_total: u64,
    /// When, RFC 3339.
    pub created_at: String,
}

/// A job as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredIngestion {
    /// What it was begun with.
    pub new: NewIngestion,
    /// Its state.
    pub state: String,
    /// How far it has come.
    pub counts: IngestionCounts,
    /// How often it was begun.
    pub attempts: u64,
    /// The snapshot that is recorded or about to be, as JSON.
    pub snapshot: Option<String>,
    /// What became of it, as JSON.
    pub outcome: Option<String>,
    /// When it was first begun, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub ended_at: Option<String>,
}

/// How far a job has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IngestionCounts {
    /// Rows read, with the rejected ones.
    pub rows_read: u64,
    /// Rows rejected.
    pub rows_rejected: u64,
    /// Bytes of the source read.
    pub bytes_read: u64,
}

/// What became of a job that was to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngestionBegun {
    /// It is queued.
    Queued,
    /// The resource has an open one already.
    Open(Box<StoredIngestion>),
    /// As many are open as may be.
    Full,
    /// Of those that are open, one more like this may not be.
    Refused,
}

/// How a job ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngestionEnd {
    /// [`COMMITTED`], [`FAILED`] or [`CANCELLED`].
    pub state: &'static str,
    /// How far it had come.
    pub counts: IngestionCounts,
    /// What became of it, as JSON.
    pub outcome: Option<String>,
    /// When, RFC 3339.
    pub at: String,
}

/// Which jobs a list shows, newest first.
#[derive(Clone, Debug, Default)]
pub struct IngestionFilter {
    /// Only those before this id.
    pub before: Option<String>,
    /// Only those of these resources.
    pub resources: Option<Vec<String>>,
    /// Only those in this state.
    pub state: Option<String>,
    /// At most so many, capped at [`PAGE_MAX`].
    pub limit: u32,
}

impl Store {
    /// Begins a job, unless its resource has an open one, `open_max` are open, or `may_begin` says no to those that are. It is
    /// durable when this returns.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn begin_ingestion(
        &self,
        new: &NewIngestion,
        open_max: u64,
        may_begin: impl Fn(&[StoredIngestion]) -> bool + Send,
    ) -> Result<IngestionBegun, StoreError> {
        const DOING: &str = "queueing an ingestion";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let open = select().and_where(Expr::col("state").is_in(OPEN)).limit(open_max).take();
        let open = jobs_of(write.db(), &open).await?;
        if let Some(same) = open.iter().find(|job| job.new.resource == new.resource) {
            return Ok(IngestionBegun::Open(Box::new(same.clone())));
        }
        if open.len() as u64 >= open_max {
            return Ok(IngestionBegun::Full);
        }
        if !may_begin(&open) {
            return Ok(IngestionBegun::Refused);
        }
        let insert = Query::insert()
            .into_table("ingestion")
            .columns([
                "id",
                "resource",
                "actor",
                "source_name",
                "source_digest",
                "options_digest",
                "state",
                "request",
                "rows_read",
                "rows_rejected",
                "bytes_read",
                "bytes_total",
                "attempts",
                "created_at",
            ])
            .values_panic([
                new.id.as_str().into(),
                new.resource.as_str().into(),
                new.actor.as_str().into(),
                new.source_name.as_str().into(),
                new.source_digest.as_str().into(),
                new.options_digest.as_str().into(),
                QUEUED.into(),
                new.request.as_str().into(),
                0_i64.into(),
                0_i64.into(),
                0_i64.into(),
                to_sql(new.bytes_total).into(),
                0_i64.into(),
                new.created_at.as_str().into(),
            ])
            .take();
        write.db().execute(&insert).await.map_err(fault)?;
        write.commit(DOING).await?;
        Ok(IngestionBegun::Queued)
    }

    /// A job.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn ingestion(&self, id: &str) -> Result<Option<StoredIngestion>, StoreError> {
        let query = select().and_where(Expr::col("id").eq(id)).take();
        Ok(jobs_of(self.db(), &query).await?.into_iter().next())
    }

    /// A page of jobs, newest first.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn ingestions(&self, filter: &IngestionFilter) -> Result<Vec<StoredIngestion>, StoreError> {
        let query = select()
            .and_where_option(filter.before.as_deref().map(|before| Expr::col("id").lt(before)))
            .and_where_option(filter.resources.as_ref().map(|these| Expr::col("resource").is_in(these.iter().cloned())))
            .and_where_option(filter.state.as_deref().map(|state| Expr::col("state").eq(state)))
            .order_by("id", Order::Desc)
            .limit(u64::from(min(filter.limit, PAGE_MAX)))
            .take();
        jobs_of(self.db(), &query).await
    }

    /// The open jobs, oldest first, at most [`PAGE_MAX`].
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn open_ingestions(&self) -> Result<Vec<StoredIngestion>, StoreError> {
        let query = select()
            .and_where(Expr::col("state").is_in(OPEN))
            .order_by("id", Order::Asc)
            .limit(u64::from(PAGE_MAX))
            .take();
        jobs_of(self.db(), &query).await
    }

    /// The last committed job of a resource.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn last_committed_ingestion(&self, resource: &str) -> Result<Option<StoredIngestion>, StoreError> {
        let query = select()
            .and_where(Expr::col("resource").eq(resource))
            .and_where(Expr::col("state").eq(COMMITTED))
            .order_by("id", Order::Desc)
            .limit(1)
            .take();
        Ok(jobs_of(self.db(), &query).await?.into_iter().next())
    }

    /// A job begins, or begins again after an interruption. False when it has ended.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn start_ingestion(&self, id: &str, at: &str) -> Result<bool, StoreError> {
        let update = update(id)
            .value("state", RUNNING)
            .value("attempts", Expr::col("attempts").add(1))
            .value("started_at", Func::coalesce([Expr::col("started_at"), Expr::val(at)]))
            .and_where(Expr::col("state").is_in(OPEN))
            .take();
        self.change_ingestion(&update, "beginning an ingestion").await
    }

    /// Notes how far a running job has come. False when it has ended.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn note_ingestion(&self, id: &str, counts: IngestionCounts) -> Result<bool, StoreError> {
        let update = with_counts(update(id), counts).and_where(Expr::col("state").eq(RUNNING)).take();
        self.change_ingestion(&update, "noting an ingestion's progress").await
    }

    /// Notes the snapshot that is about to be recorded, and what was found out on the way: from here on the job can't be
    /// cancelled. False when it has ended.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn settle_ingestion(
        &self,
        id: &str,
        counts: IngestionCounts,
        snapshot: &str,
        outcome: &str,
    ) -> Result<bool, StoreError> {
        let update = with_counts(update(id), counts)
            .value("snapshot", snapshot)
            .value("outcome", outcome)
            .and_where(Expr::col("state").eq(RUNNING))
            .take();
        self.change_ingestion(&update, "noting an ingestion's snapshot").await
    }

    /// Ends an open job. False when it has ended already.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn end_ingestion(&self, id: &str, end: &IngestionEnd) -> Result<bool, StoreError> {
        let update = with_counts(update(id), end.counts)
            .value("state", end.state)
            .value("outcome", end.outcome.clone())
            .value("ended_at", end.at.as_str())
            .and_where(Expr::col("state").is_in(OPEN))
            .take();
        self.change_ingestion(&update, "ending an ingestion").await
    }

    /// Puts a running job back into the queue, with what is to be known of that: its source can't be reached now. False when it has
    /// ended, or its snapshot is about to be recorded.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn put_ingestion_off(
        &self,
        id: &str,
        counts: IngestionCounts,
        outcome: &str,
    ) -> Result<bool, StoreError> {
        let update = with_counts(update(id), counts)
            .value("state", QUEUED)
            .value("outcome", outcome)
            .and_where(Expr::col("state").eq(RUNNING))
            .and_where(Expr::col("snapshot").is_null())
            .take();
        self.change_ingestion(&update, "putting an ingestion off").await
    }

    /// Cancels an open job whose snapshot is not about to be recorded. False when that is so, or when it has ended.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn cancel_ingestion(&self, id: &str, at: &str) -> Result<bool, StoreError> {
        let update = update(id)
            .value("state", CANCELLED)
            .value("ended_at", at)
            .and_where(Expr::col("state").is_in(OPEN))
            .and_where(Expr::col("snapshot").is_null())
            .take();
        self.change_ingestion(&update, "cancelling an ingestion").await
    }

    async fn change_ingestion(&self, update: &UpdateStatement, doing: &'static str) -> Result<bool, StoreError> {
        let write = self.begin_write(WriterLock::Journal, doing).await?;
        let changed = write.db().execute(update).await.map_err(|error| StoreError::database(doing, error))?;
        write.commit(doing).await?;
        Ok(changed.rows_affected() > 0)
    }
}

fn update(id: &str) -> UpdateStatement {
    Query::update().table("ingestion").and_where(Expr::col("id").eq(id)).take()
}

fn with_counts(mut update: UpdateStatement, counts: IngestionCounts) -> UpdateStatement {
    update
        .value("rows_read", to_sql(counts.rows_read))
        .value("rows_rejected", to_sql(counts.rows_rejected))
        .value("bytes_read", to_sql(counts.bytes_read))
        .take()
}

fn select() -> SelectStatement {
    Query::select()
        .columns([
            "id",
            "resource",
            "actor",
            "source_name",
            "source_digest",
            "options_digest",
            "request",
            "bytes_total",
            "created_at",
            "state",
            "rows_read",
            "rows_rejected",
            "bytes_read",
            "attempts",
            "snapshot",
            "outcome",
            "started_at",
            "ended_at",
        ])
        .from("ingestion")
        .take()
}

async fn jobs_of<C: ConnectionTrait>(db: &C, query: &SelectStatement) -> Result<Vec<StoredIngestion>, StoreError> {
    let rows = db.query_all(query).await.map_err(|error| StoreError::database(READING, error))?;
    rows.iter().map(job_of).collect()
}

const READING: &str = "reading ingestions";

fn job_of(row: &QueryResult) -> Result<StoredIngestion, StoreError> {
    let fault = |error| StoreError::database(READING, error);
    let text = |index: usize| row.try_get_by_index::<String>(index).map_err(fault);
    let maybe = |index: usize| row.try_get_by_index::<Option<String>>(index).map_err(fault);
    let count = |index: usize| from_sql("an ingestion", row.try_get_by_index::<i64>(index).map_err(fault)?);
    Ok(StoredIngestion {
        new: NewIngestion {
            id: text(0)?,
            resource: text(1)?,
            actor: text(2)?,
            source_name: text(3)?,
            source_digest: text(4)?,
            options_digest: text(5)?,
            request: text(6)?,
            bytes_total: count(7)?,
            created_at: text(8)?,
        },
        state: text(9)?,
        counts: IngestionCounts { rows_read: count(10)?, rows_rejected: count(11)?, bytes_read: count(12)? },
        attempts: count(13)?,
        snapshot: maybe(14)?,
        outcome: maybe(15)?,
        started_at: maybe(16)?,
        ended_at: maybe(17)?,
    })
}
