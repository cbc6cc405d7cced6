//! What a serving node does by itself: publish its log, close metering windows, sweep what has lapsed, go on with ingestions
//! that were interrupted. A job that fails is tried again, and the log says why.

use std::sync::Arc;
use std::time::{Duration, Instant};

use lingqu_app::{App, AppError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// From one look whether there is something to publish to the next, however long the first took: what was recorded is to be
/// published within a second. After a failure it is no longer: a cause that was mended is to cost no more than that.
const PUBLISH_EVERY: Duration = Duration::from_millis(500);
/// The shortest pause between two looks, when publishing takes long.
const PUBLISH_PAUSE_MIN: Duration = Duration::from_millis(50);
/// Pause between two looks whether so many receipts have come that an entry of the log is full.
const COMMIT_EVERY: Duration = Duration::from_millis(100);
/// Pause between two looks at what other processes of the node decided, by which answers that run here are stopped too.
const FOLLOW_EVERY: Duration = Duration::from_millis(500);
/// Pause between two looks whether something was delivered, for the index by which persons find where their data went.
const INDEX_USES_EVERY: Duration = Duration::from_secs(10);
/// Pause between two looks whether deliveries ended, for the table of receipts.
const TABULATE_EVERY: Duration = Duration::from_secs(300);
/// Pause between two looks whether marked products have a new version, to hold what they promise against it.
const LOOK_AT_PROMISES_EVERY: Duration = Duration::from_secs(60);
/// Pause between two looks for ingestions that nobody runs.
const RESUME_EVERY: Duration = Duration::from_secs(60);
/// Pause between two looks for cosignatures that are missing, also after a failure; what is published is to be witnessed within a
/// minute.
const COSIGN_EVERY: Duration = Duration::from_secs(1);
/// Pause between two looks for processes that died; shorter than what a process may be unseen.
const TAKE_UP_EVERY: Duration = Duration::from_secs(15);
/// Pause of the index of uses after a failure.
const INDEX_PAUSE_AFTER_FAILURE: Duration = Duration::from_secs(60);
/// A failure that stays the same is said again after so long.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// How often the jobs run.
#[derive(Clone, Copy, Debug)]
pub struct JobSettings {
    /// Pause between metering windows.
    pub meter_every: Duration,
    /// Pause between sweeps.
    pub sweep_every: Duration,
}

/// Starts the jobs; each ends soon after `stopped` says so, and answers its name.
pub fn start(
    tasks: &mut JoinSet<&'static str>,
    app: &Arc<App>,
    settings: JobSettings,
    stopped: &watch::Receiver<bool>,
) {
    tasks.spawn(publish(Arc::clone(app), stopped.clone()));
    tasks.spawn(commit(Arc::clone(app), stopped.clone()));
    tasks.spawn(cosign(Arc::clone(app), stopped.clone()));
    tasks.spawn(follow(Arc::clone(app), stopped.clone()));
    tasks.spawn(meter(Arc::clone(app), settings.meter_every, stopped.clone()));
    tasks.spawn(sweep(Arc::clone(app), settings.sweep_every, stopped.clone()));
    tasks.spawn(resume(Arc::clone(app), stopped.clone()));
    tasks.spawn(take_up(Arc::clone(app), stopped.clone()));
    tasks.spawn(index_uses(Arc::clone(app), stopped.clone()));
    tasks.spawn(tabulate(Arc::clone(app), stopped.clone()));
    tasks.spawn(look_at_promises(Arc::clone(app), stopped.clone()));
}

/// Publishes the log whenever journal or receipts have grown.
async fn publish(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let (mut pause, mut failure) = (PUBLISH_EVERY, Failure::default());
    while !pause_or_stop(pause, &mut stopped).await {
        let begun = Instant::now();
        match app.publish_log_if_new().await {
            Ok(published) => {
                if let Some(checkpoint) = published {
                    tracing::debug!(size = checkpoint.size, "log published");
                }
                failure.is_over();
            }
            Err(error) => {
                if failure.is_to_be_said(&error.to_string(), Instant::now()) {
                    tracing::error!(%error, "the transparency log could not be published; trying again");
                }
            }
        }
        pause = PUBLISH_EVERY.saturating_sub(begun.elapsed()).max(PUBLISH_PAUSE_MIN);
    }
    "log publisher"
}

/// Commits to receipts while they come; what fills no entry is left to the publisher.
async fn commit(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let mut failure = Failure::default();
    while !pause_or_stop(COMMIT_EVERY, &mut stopped).await {
        failure.tell(app.commit_receipts().await, "receipts could not be committed to the log");
    }
    "receipts' commitments"
}

/// Asks the witnesses for the cosignatures that are missing under what is published.
async fn cosign(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let mut failure = Failure::default();
    while !pause_or_stop(COSIGN_EVERY, &mut stopped).await {
        let added = tokio::select! {
            added = app.add_cosignatures() => added,
            // A witness that does not answer holds no node up that is to end.
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
        };
        failure.tell(added, "cosignatures could not be added to the checkpoint");
    }
    "cosignatures"
}

/// Takes in what other processes decided, also while nobody asks this one for anything new: a suspension ends what runs.
async fn follow(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let mut failure = Failure::default();
    while !pause_or_stop(FOLLOW_EVERY, &mut stopped).await {
        failure.tell(app.refresh().await, "what other processes decided could not be taken in");
    }
    "journal"
}

/// A job that is tried again soon says what is wrong once, and again when it has changed or lasts.
#[derive(Debug, Default)]
struct Failure {
    said: Option<(String, Instant)>,
}

impl Failure {
    /// Takes in how a turn of the job ended, and says what is wrong where that is to be said. `problem` says what could not be done.
    fn tell(&mut self, outcome: Result<(), AppError>, problem: &str) {
        match outcome {
            Ok(()) => self.is_over(),
            Err(error) => {
                if self.is_to_be_said(&error.to_string(), Instant::now()) {
                    tracing::error!(%error, "{problem}; trying again");
                }
            }
        }
    }

    fn is_to_be_said(&mut self, problem: &str, now: Instant) -> bool {
        let is_known = self
            .said
            .as_ref()
            .is_some_and(|(said, at)| said == problem && now.saturating_duration_since(*at) < SAID_AGAIN_AFTER);
        if !is_known {
            self.said = Some((problem.to_owned(), now));
        }
        !is_known
    }

    fn is_over(&mut self) {
        self.said = None;
    }
}

async fn meter(app: Arc<App>, every: Duration, mut stopped: watch::Receiver<bool>) -> &'static str {
    while !pause_or_stop(every, &mut stopped).await {
        match app.meter().await {
            Ok(readings) => tracing::info!(orders = readings.len(), "metering window closed"),
            Err(error) => tracing::error!(%error, "the metering window could not be closed; trying again"),
        }
    }
    "metering"
}

/// Sweeps remembered answers that have lapsed, and who paid for files of orders that have ended; ended sessions are swept whenever
/// one begins.
async fn sweep(app: Arc<App>, every: Duration, mut stopped: watch::Receiver<bool>) -> &'static str {
    while !pause_or_stop(every, &mut stopped).await {
        match app.store().sweep_idempotency(app.now()).await {
            Ok(count) => tracing::debug!(count, "lapsed idempotency keys swept"),
            Err(error) => tracing::error!(%error, "lapsed idempotency keys could not be swept; trying again"),
        }
        if let Err(error) = app.forget_payers_of_ended_orders().await {
            tracing::error!(%error, "who paid for files of orders that have ended could not be swept; trying again");
        }
    }
    "sweep"
}

/// Takes up the ingestions that an earlier process left open, at once, and those whose snapshot could not be recorded, now and
/// then.
async fn resume(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    if let Err(error) = app.sweep_uploads().await {
        tracing::error!(%error, "uploads that no ingestion has could not be removed");
    }
    loop {
        match app.resume_ingestions().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "ingestions taken up again"),
            Err(error) => tracing::error!(%error, "open ingestions could not be taken up; trying again"),
        }
        if pause_or_stop(RESUME_EVERY, &mut stopped).await {
            return "ingestions";
        }
    }
}

/// Shows the others of a node's processes that this one lives, and takes up what one left that does not.
async fn take_up(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    while !pause_or_stop(TAKE_UP_EVERY, &mut stopped).await {
        if let Err(error) = app.take_up_abandoned().await {
            tracing::error!(%error, "what a dead process left could not be taken up; trying again");
        }
    }
    "abandoned"
}

/// Keeps the index current by which persons find where their data went.
async fn index_uses(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let mut pause = INDEX_USES_EVERY;
    while !pause_or_stop(pause, &mut stopped).await {
        match app.follow_uses().await {
            Ok(0) => pause = INDEX_USES_EVERY,
            Ok(left) => {
                tracing::debug!(left, "receipt records are being indexed");
                pause = Duration::ZERO;
            }
            Err(error) => {
                tracing::error!(%error, "the index of uses could not be kept current; trying again");
                pause = INDEX_PAUSE_AFTER_FAILURE;
            }
        }
    }
    "index of uses"
}

/// Keeps the table of receipts current, and each finished day in one file.
async fn tabulate(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let mut pause = TABULATE_EVERY;
    while !pause_or_stop(pause, &mut stopped).await {
        match app.keep_receipt_table().await {
            Ok(0) => pause = TABULATE_EVERY,
            Ok(left) => {
                tracing::debug!(left, "receipt records are being put into their table");
                pause = Duration::ZERO;
            }
            Err(error) => {
                tracing::error!(%error, "the table of receipts could not be kept current; trying again");
                pause = TABULATE_EVERY;
            }
        }
    }
    "table of receipts"
}

/// Holds what marked products promise against their data whenever that is new.
async fn look_at_promises(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    while !pause_or_stop(LOOK_AT_PROMISES_EVERY, &mut stopped).await {
        let looked = tokio::select! {
            looked = app.check_promises() => looked,
            // Many rows may have to be read for it, and no node that is to end waits for that.
            _ = stopped.wait_for(|is_stopped| *is_stopped) => break,
        };
        match looked {
            Ok(count) => tracing::debug!(count, "promises of marked products looked at"),
            Err(error) => tracing::error!(%error, "promises of marked products could not be looked at; trying again"),
        }
    }
    "promises"
}

/// Waits; true when the node stops meanwhile.
async fn pause_or_stop(pause: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        // An error means that the sender is gone, and with it the server.
        _ = stopped.wait_for(|is_stopped| *is_stopped) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_said_once_then_now_and_then_and_anew_after_it_was_over() {
        let (mut failure, begun) = (Failure::default(), Instant::now());
        let half = SAID_AGAIN_AFTER / 2;
        assert!(failure.is_to_be_said("the disk is full", begun));
        assert!(!failure.is_to_be_said("the disk is full", begun + half));
        assert!(failure.is_to_be_said("the disk is gone", begun + half));
        assert!(!failure.is_to_be_said("the disk is gone", begun + half * 2));
        assert!(failure.is_to_be_said("the disk is gone", begun + half * 3));
        failure.is_over();
        assert!(failure.is_to_be_said("the disk is gone", begun + half * 3));
    }

    #[test]
    fn no_failure_puts_publishing_off_beyond_what_is_promised() {
        // Within a second, with as much again for the work; within a minute.
        assert!(PUBLISH_EVERY * 2 <= Duration::from_secs(1) && PUBLISH_PAUSE_MIN < PUBLISH_EVERY);
        assert!(COSIGN_EVERY < Duration::from_secs(10));
    }
}
