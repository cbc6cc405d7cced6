//! How the operating system asks the process to end.

use crate::failure::Failure;

/// SIGTERM and SIGINT, caught from the moment of [`Signals::catch`] on: before that they end the process at once.
pub struct Signals {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    /// Catches them from now on.
    pub fn catch() -> Result<Self, Failure> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            let caught = |kind| {
                signal(kind).map_err(|error| Failure::Mend(format!("the system lets no signal be caught: {error}")))
            };
            Ok(Self { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Waits for one and answers its name.
    pub async fn received(&mut self) -> &'static str {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
        #[cfg(not(unix))]
        {
            // An error means that no Ctrl-C can come; the process ends, as it would without this.
            let _ = tokio::signal::ctrl_c().await;
            "Ctrl-C"
        }
    }
}
