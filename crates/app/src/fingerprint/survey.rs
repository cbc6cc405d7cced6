//! All rows of a table, looked at for what its marks would do: read twice in batches, of the same snapshots. Of a product they are
//! what its permits allow: what a draft is told of rows and columns beyond them would be told to whoever drafts.

use std::sync::Arc;
use std::time::Duration;

use lingqu_domain::chain;
use lingqu_domain::decide::Reader;
use lingqu_domain::product::ProductDetails;
use lingqu_domain::refusal::Refusal;
use lingqu_domain::scope::{Mode, Scope};
use lingqu_engine::governed::{Governance, GovernedTable};
use lingqu_engine::internal::{Batches, InternalSession, internal_session, permitted_session};
use lingqu_engine::{EngineError, Limits, PseudonymKeys};
use lingqu_fingerprint::{
    Effect, Finding, FingerprintError, Found, Marking, MomentBounds, RowKeys, Survey, SwapEffect, ToldApart,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::error::AppError;
use crate::fingerprint::propose::must_be_of_few;

/// Most rows that are kept as a sample.
const SAMPLE_ROWS_MAX: usize = 400_000;
/// Most rows of a table that are read.
const ROWS_MAX: u64 = 100_000_000;
/// Most bytes of them in memory's form, and the longest that one reading takes.
const BYTES_MAX: u64 = 1 << 40;
const TIME_MAX: Duration = Duration::from_secs(600);
/// How long a request waits for another one's reading before it is refused.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(30);
/// Batches that are read ahead of what is taken in.
const BATCHES_AHEAD: usize = 4;

/// A marking that is held against the rows.
pub(super) struct Drawn<'m> {
    pub(super) marking: &'m Marking,
    pub(super) moments: MomentBounds,
    /// How far the share of a text may be off, of all rows.
    pub(super) share_change: f64,
}

/// What was seen.
pub(super) struct Seen {
    /// Rows that there are.
    pub(super) rows: u64,
    pub(super) findings: Vec<Finding>,
    /// Dependencies that were seen in a sample alone, being too many.
    pub(super) sampled_only: usize,
    pub(super) effects: Vec<Effect>,
    pub(super) swaps: Vec<SwapEffect>,
    pub(super) told_apart: Vec<ToldApart>,
    /// Columns that have a value in every row.
    pub(super) whole: Vec<String>,
}

/// Which readings are under way: one at a time, since each works on every row and keeps what it saw of many.
pub(crate) struct Surveys {
    place: Arc<Semaphore>,
}

/// A reading that may go on. Its workers have it too, so that none goes on beside the next one after its request was given up.
type Turn = Arc<OwnedSemaphorePermit>;

impl Surveys {
    pub(crate) fn new() -> Surveys {
        Surveys { place: Arc::new(Semaphore::new(1)) }
    }

    /// Waits for the reading that is under way. Error: it goes on for longer.
    pub(super) async fn turn(&self, wait_max: Duration) -> Result<Turn, AppError> {
        let turn = tokio::time::timeout(wait_max, Arc::clone(&self.place).acquire_owned()).await;
        turn.ok().and_then(Result::ok).map(Arc::new).ok_or(AppError::TooManySurveys)
    }
}

/// Works on a thread that answers no requests, for as long as its turn lasts.
async fn on_worker<T: Send + 'static>(
    turn: &Turn,
    work: impl FnOnce() -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    let turn = Arc::clone(turn);
    let working = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        work()
    });
    working.await.map_err(|error| AppError::Fault(format!("the look at a table's rows ended early: {error}")))?
}

/// Reads a statement's rows, which a worker takes in. Where the reading fails nothing of what was taken in is told.
pub(super) async fn taken_in<T: Send + 'static>(
    session: &InternalSession,
    sql: &str,
    turn: &Turn,
    take: impl FnOnce(Batches) -> Result<T, AppError> + Send + 'static,
) -> Result<T, AppError> {
    let (sender, batches) = session.batches(BATCHES_AHEAD);
    let (reading, taken) = tokio::join!(session.query_into(sql, sender), on_worker(turn, move || take(batches)));
    reading.map_err(|error| bounded(error.into()))?;
    taken
}

impl App {
    /// All rows and columns of a resource's newest snapshot; none where it is not here.
    pub(super) async fn rows_of_resource(&self, table: &str) -> Result<Option<InternalSession>, AppError> {
        let tables = self.tables_with_snapshots(|resource| resource.details.table.as_str() == table).await?;
        let Some(files) = tables.get(table) else { return Ok(None) };
        Ok(Some(internal_session(&self.engine, &[(table, Arc::clone(files))], limits())?))
    }

    /// What the permits of a product allow of its inputs' newest snapshots, as it is made of them; none where one is not here.
    /// Error: the refusal of a right that is not in force.
    pub(super) async fn rows_of_inputs(&self, details: &ProductDetails) -> Result<Option<InternalSession>, AppError> {
        let now = self.clock.now();
        let inputs = self.read(|state| -> Result<_, Refusal> {
            let mut reader = Reader::new(state, now);
            let mut inputs = Vec::new();
            for (id, scope) in chain::input_scopes(&mut reader, details)? {
                let resource = reader.resource(&id)?;
                let stored = resource.snapshot.as_ref().filter(|snapshot| snapshot.live.is_none());
                let Some(snapshot) = stored else { return Ok(None) };
                inputs.push((id, resource.details.table.clone(), snapshot.version, scope));
            }
            Ok(Some(inputs))
        })?;
        let Some(inputs) = inputs else { return Ok(None) };
        let mut tables = Vec::new();
        for (id, table, version, scope) in inputs {
            let files = self.snapshots.version(id.as_str(), version).await?.files;
            let in_domain = Scope { consent_required: false, ..scope };
            let keys = PseudonymKeys::default();
            let governance = Governance::of_scope(table.as_str(), &in_domain, Mode::Compute, keys, None);
            let governance = governance.map_err(EngineError::from)?;
            tables.push(GovernedTable::new(files, &governance).map_err(EngineError::from)?);
        }
        Ok(Some(permitted_session(&self.engine, &tables, limits())?))
    }

    /// What is found in the rows of a statement of a session, and what a marking would do to them; none where there is no row.
    /// One statement is looked at at a time. Error: `invalid` for a table that marks can't be drawn in or that is too large;
    /// another one is looked at for too long.
    pub(super) async fn surveyed(
        &self,
        session: &InternalSession,
        sql: &str,
        drawn: Option<Drawn<'_>>,
    ) -> Result<Option<Seen>, AppError> {
        let turn = self.surveys.turn(WAIT_MAX).await?;
        let bounds = drawn.as_ref().map(|drawn| (drawn.moments, drawn.share_change));
        let marking: Option<Arc<Marking>> = drawn.map(|drawn| Arc::new(drawn.marking.clone()));

        let of_first = marking.clone();
        let first = taken_in(session, sql, &turn, move |batches| {
            let mut survey = Survey::of(of_first.as_deref(), SAMPLE_ROWS_MAX).map_err(unfit)?;
            batches.each(|rows| {
                must_be_of_few(rows.num_columns())?;
                // Marks hang on these, so a copy would not be made where one of them can't be read.
                if let Some(marking) = &of_first {
                    RowKeys::of_columns(rows, &marking.key).map_err(unfit)?;
                }
                survey.add(rows).map_err(unfit)
            })?;
            let Some(surveyed) = survey.finish().map_err(unfit)? else { return Ok(None) };
            let effects = match (surveyed.effects, bounds) {
                (Some(effects), Some((moments, share_change))) => effects.finish(moments, share_change),
                _ => (Vec::new(), Vec::new()),
            };
            Ok(Some((surveyed.rows, surveyed.whole, surveyed.sampled, effects)))
        });
        let Some((rows, whole, sampled, (effects, swaps))) = first.await? else { return Ok(None) };
        let found = on_worker(&turn, move || {
            let mut found = sampled.find(marking.as_deref()).map_err(unfit)?;
            let holding = found.holding(marking.as_deref());
            Ok((found, holding))
        });
        let (Found { mut findings, told_apart, .. }, holding) = found.await?;
        let mut sampled_only = 0;
        if let Some(mut holding) = holding {
            sampled_only = holding.unheld();
            let held = taken_in(session, sql, &turn, move |batches| {
                batches.each(|rows| holding.add(rows).map_err(unfit))?;
                Ok(holding.finish())
            });
            findings = held.await?;
        }
        Ok(Some(Seen { rows, findings, sampled_only, effects, swaps, told_apart, whole }))
    }
}

/// What one reading of a table may take.
pub(super) fn limits() -> Limits {
    Limits { rows_max: ROWS_MAX, bytes_max: BYTES_MAX, time_max: TIME_MAX, ..Limits::default() }
}

pub(super) fn unfit(error: FingerprintError) -> AppError {
    Refusal::invalid("marking", &error, &error).into()
}

/// The error of a reading. A table that is too large is somebody's to make smaller.
fn bounded(error: AppError) -> AppError {
    match error {
        AppError::Engine(EngineError::TooManyRows { .. } | EngineError::TooManyBytes { .. }) => too_large().into(),
        other => other,
    }
}

fn too_large() -> Refusal {
    Refusal::invalid(
        "marking",
        format!("产品超过 {ROWS_MAX} 行，标记的承诺无法逐行核对：请以条件或汇总缩小产品，或分成几个产品"),
        format!(
            "the table has more than {ROWS_MAX} rows, so what marks promise can't be held against all of them; narrow the product by a condition, or make several of it"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::AppSettings;

    const TWO_ROWS: &str = "SELECT 1 AS a UNION ALL SELECT 2 AS a";
    /// Nothing that is awaited for so long could ever come.
    const NEVER: Duration = Duration::from_millis(50);

    async fn node(directory: &tempfile::TempDir) -> Arc<App> {
        let directory = directory.path().to_owned();
        let settings = AppSettings::of(directory);
        App::open(settings).await.unwrap()
    }

    #[tokio::test]
    async fn two_tables_are_not_looked_at_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let app = node(&directory).await;
        let session = internal_session(&app.engine, &[], limits()).unwrap();
        let turn = app.surveys.turn(WAIT_MAX).await.unwrap();
        // A worker of a request that was given up has its turn until it ends.
        let of_worker = Arc::clone(&turn);
        drop(turn);
        assert!(tokio::time::timeout(NEVER, app.surveyed(&session, TWO_ROWS, None)).await.is_err());
        assert!(matches!(app.surveys.turn(NEVER).await, Err(AppError::TooManySurveys)));
        assert_eq!(AppError::TooManySurveys.problem().status, 429);
        drop(of_worker);
        let (one, other) = tokio::join!(
            app.surveyed(&session, TWO_ROWS, None),
            app.surveyed(&session, "SELECT 1 AS a WHERE false", None)
        );
        assert_eq!(one.unwrap().map(|seen| (seen.rows, seen.whole)), Some((2, vec!["a".to_owned()])));
        assert!(other.unwrap().is_none());
        assert_eq!(app.surveys.place.available_permits(), 1);
    }
}
