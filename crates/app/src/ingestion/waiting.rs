//! Jobs whose source is away: a department's database that is down, restarts or closes the connection does not end the job. It
//! goes back into the queue, says why, and is tried again after a while that grows; whoever asks for the same again has it tried at
//! once. Who does not want to wait cancels it.

use jiff::{SignedDuration, Timestamp};
use lingqu_domain::resource::Snapshot;
use lingqu_engine::postgres::PostgresError;
use lingqu_engine::snapshot::{IngestControl, SnapshotError};
use lingqu_engine::source::SourceError;
use lingqu_store::ingestion::{QUEUED, StoredIngestion};

use super::run::text_of;
use super::{App, IngestionFailure, IngestionOutcome, Waiting, counts_of};
use crate::error::AppError;

/// The first pause; each is twice the one before.
const PAUSE_MIN: SignedDuration = SignedDuration::from_secs(60);
/// The longest pause.
const PAUSE_MAX: SignedDuration = SignedDuration::from_secs(3_600);
/// How often a job is put off, for about two weeks: an open job holds a place in the queue that others could have.
const TIMES_MAX: u64 = 350;
/// SQLSTATE of a statement that took too long. It would take as long the next time.
const TOOK_TOO_LONG: &str = "57014";

/// Whether a reading ended because its source is away, so that it can be gone on with when that is back.
pub(super) fn is_for(error: &AppError) -> bool {
    let (AppError::Source(SourceError::Database(error))
    | AppError::Snapshot(SnapshotError::Source(SourceError::Database(error)))) = error
    else {
        return false;
    };
    match error {
        PostgresError::Refused { code, .. } if code == TOOK_TOO_LONG => false,
        error => error.is_unavailable(),
    }
}

/// When a job that was put off is tried again.
pub(super) fn until(job: &StoredIngestion) -> Result<Option<Timestamp>, AppError> {
    // One that was being read again when the node stopped does not wait any more.
    Ok(of(job)?.filter(|_| job.state == QUEUED).map(|waiting| waiting.retry_at))
}

/// How often a job was put off.
pub(super) fn times(job: &StoredIngestion) -> Result<u64, AppError> {
    Ok(of(job)?.map_or(0, |waiting| waiting.times))
}

fn of(job: &StoredIngestion) -> Result<Option<Waiting>, AppError> {
    let Some(text) = job.outcome.as_deref() else { return Ok(None) };
    let outcome: IngestionOutcome =
        serde_json::from_str(text).map_err(|error| AppError::Fault(format!("an outcome can't be read: {error}")))?;
    Ok(outcome.waiting)
}

/// The pause after a job was put off so many times.
fn pause(times: u64) -> SignedDuration {
    let doubled = u32::try_from(times).ok().and_then(|times| 2_i32.checked_pow(times));
    doubled.and_then(|factor| PAUSE_MIN.checked_mul(factor)).map_or(PAUSE_MAX, |pause| pause.min(PAUSE_MAX))
}

impl App {
    /// Puts a job off and answers why. One that was put off too often fails.
    pub(super) async fn put_off(
        &self,
        job: &StoredIngestion,
        control: &IngestControl,
        mut outcome: IngestionOutcome,
        error: AppError,
    ) -> Result<Snapshot, AppError> {
        let times = times(job)?;
        if times >= TIMES_MAX {
            return self.failed(job, counts_of(control), outcome, error).await;
        }
        let problem = error.problem();
        let reason = IngestionFailure { code: problem.code, detail: problem.detail, detail_en: problem.detail_en };
        let retry_at = self.clock.now().checked_add(pause(times)).unwrap_or(Timestamp::MAX);
        outcome.waiting = Some(Waiting { reason, times: times + 1, retry_at });
        let text = text_of(&outcome)?;
        if self.store.put_ingestion_off(&job.new.id, counts_of(control), &text).await? {
            return Err(error);
        }
        // It was cancelled meanwhile.
        let id = job.new.id.parse().map_err(|_| AppError::Fault("an ingestion has no id".to_owned()))?;
        self.stopped(&id).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(code: &str) -> AppError {
        let connection = "civil".parse().unwrap();
        AppError::Source(SourceError::Database(PostgresError::Refused { connection, code: code.to_owned() }))
    }

    #[test]
    fn only_a_source_that_is_away_is_waited_for() {
        for code in ["08006", "57P01", "57P03", "53300"] {
            assert!(is_for(&refused(code)), "{code}");
        }
        for code in [TOOK_TOO_LONG, "42501", "42P01", "22012"] {
            assert!(!is_for(&refused(code)), "{code}");
        }
        assert!(!is_for(&AppError::Source(SourceError::NoColumns { file: "t".to_owned() })));
    }

    #[test]
    fn pauses_grow_to_an_hour() {
        let minutes: Vec<i64> = [0, 1, 2, 5, 6, 40, u64::MAX].map(|times| pause(times).as_secs() / 60).to_vec();
        assert_eq!(minutes, [1, 2, 4, 32, 60, 60, 60]);
    }
}
