//! A client's line while something is done for him: it ends when he leaves, when he cancels, or when his time is over.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::refusal::Refused;
use super::wire::Wire;
use crate::error::GatewayError;

/// Why something was not done to its end.
#[derive(Debug)]
pub(super) enum Stopped {
    /// The client is told.
    Refused(Refused),
    /// There is nobody to be told.
    Gone,
}

impl<E: Into<Refused>> From<E> for Stopped {
    fn from(refused: E) -> Self {
        Stopped::Refused(refused.into())
    }
}

/// The end of a statement's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Deadline(Option<(Instant, Duration)>);

impl Deadline {
    /// From now.
    pub(super) fn after(time: Option<Duration>) -> Deadline {
        Deadline(time.and_then(|time| Some((Instant::now().checked_add(time)?, time))))
    }

    async fn passed(self) -> Refused {
        match self.0 {
            Some((at, time)) => {
                tokio::time::sleep_until(at).await;
                let milliseconds = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
                GatewayError::StatementTimeout { milliseconds }.into()
            }
            None => std::future::pending().await,
        }
    }
}

/// The client's line.
pub(super) struct Line {
    pub(super) wire: Wire,
    /// Changes with each cancel request.
    cancels: watch::Receiver<u64>,
}

impl Line {
    pub(super) fn new(wire: Wire, cancels: watch::Receiver<u64>) -> Line {
        Line { wire, cancels }
    }

    /// A statement begins: what was cancelled before is over.
    pub(super) fn begin(&mut self) {
        self.cancels.mark_unchanged();
    }

    /// Does work to its end, or drops it.
    pub(super) async fn during<T>(&mut self, deadline: Deadline, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            () = cancelled(&mut self.cancels) => Err(GatewayError::Cancelled.into()),
            refused = deadline.passed() => Err(Stopped::Refused(refused)),
            done = work => Ok(done),
            () = self.wire.hung_up() => Err(Stopped::Gone),
        }
    }

    /// Sends what waits, to its end or until the statement's.
    pub(super) async fn flush(&mut self, deadline: Deadline) -> Result<(), Stopped> {
        tokio::select! {
            biased;
            () = cancelled(&mut self.cancels) => Err(GatewayError::Cancelled.into()),
            refused = deadline.passed() => Err(Stopped::Refused(refused)),
            flushed = self.wire.flush() => flushed.map_err(|_| Stopped::Gone),
        }
    }
}

async fn cancelled(cancels: &mut watch::Receiver<u64>) {
    if cancels.changed().await.is_err() {
        // The other side is the connection's own entry; without it nobody cancels.
        std::future::pending().await
    }
}
