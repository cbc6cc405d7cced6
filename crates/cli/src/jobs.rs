//! What a serving node does by itself: publish its log, close metering windows, sweep what has lapsed, go on with ingestions
//! that were interrupted. A job that fails is tried again, and the log says why.

use std::sync::Arc;
use std::time::Duration;

use lingqu_app::{App, AppError};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Pause between two looks at whether there is something to publish.
const PUBLISH_EVERY: Duration = Duration::from_secs(1);
/// Pause between two looks for ingestions that nobody runs.
const RESUME_EVERY: Duration = Duration::from_secs(60);
/// Longest pause after failures.
const PAUSE_MAX: Duration = Duration::from_secs(60);

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
    tasks.spawn(meter(Arc::clone(app), settings.meter_every, stopped.clone()));
    tasks.spawn(sweep(Arc::clone(app), settings.sweep_every, stopped.clone()));
    tasks.spawn(resume(Arc::clone(app), stopped.clone()));
}

/// Publishes the log whenever journal or receipts have grown.
async fn publish(app: Arc<App>, mut stopped: watch::Receiver<bool>) -> &'static str {
    let mut published = None;
    let mut pause = PUBLISH_EVERY;
    while !pause_or_stop(pause, &mut stopped).await {
        match publish_if_new(&app, published).await {
            Ok(heads) => {
                published = Some(heads);
                pause = PUBLISH_EVERY;
            }
            Err(error) => {
                tracing::error!(%error, "the transparency log could not be published; trying again");
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
    }
    "log publisher"
}

async fn publish_if_new(app: &App, published: Option<(u64, u64)>) -> Result<(u64, u64), AppError> {
    let heads = (app.store().head().await?, app.receipts().head().await?);
    if published != Some(heads) {
        let checkpoint = app.publish_log().await?;
        tracing::debug!(size = checkpoint.size, "log published");
    }
    Ok(heads)
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

/// Sweeps remembered answers that have lapsed; ended sessions are swept whenever one begins.
async fn sweep(app: Arc<App>, every: Duration, mut stopped: watch::Receiver<bool>) -> &'static str {
    while !pause_or_stop(every, &mut stopped).await {
        match app.store().sweep_idempotency(app.now()).await {
            Ok(count) => tracing::debug!(count, "lapsed idempotency keys swept"),
            Err(error) => tracing::error!(%error, "lapsed idempotency keys could not be swept; trying again"),
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

/// Waits; true when the node stops meanwhile.
async fn pause_or_stop(pause: Duration, stopped: &mut watch::Receiver<bool>) -> bool {
    tokio::select! {
        () = tokio::time::sleep(pause) => false,
        // An error means that the sender is gone, and with it the server.
        _ = stopped.wait_for(|is_stopped| *is_stopped) => true,
    }
}
