//! Attempts to sign in, counted per login name: after a few wrong passwords a name must wait. The map is bounded; when it
//! is full the oldest entries go, so an attacker with many names fills it and gains nothing on any one of them.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Wrong passwords of one name within the window.
const FAILURES_MAX: u32 = 10;
/// How long wrong passwords are remembered.
const WINDOW: Duration = Duration::from_secs(300);
/// Most names that are remembered.
const NAMES_MAX: usize = 10_000;

/// Wrong passwords per login name. Kept in this process alone: a restart forgets, and a replica counts for itself.
#[derive(Default)]
pub(crate) struct Attempts {
    failures: Mutex<HashMap<String, (u32, Instant)>>,
}

impl Attempts {
    /// Counts an attempt. Error: the seconds to wait.
    pub(crate) fn begin(&self, login: &str, now: Instant) -> Result<(), u64> {
        let mut failures = self.lock();
        if failures.len() >= NAMES_MAX {
            failures.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
        }
        if failures.len() >= NAMES_MAX {
            let oldest = failures.iter().min_by_key(|(_, (_, since))| *since).map(|(name, _)| name.clone());
            if let Some(oldest) = oldest {
                failures.remove(&oldest);
            }
        }
        let (count, since) = failures.entry(login.to_owned()).or_insert((0, now));
        if now.duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        if *count >= FAILURES_MAX {
            return Err((WINDOW - now.duration_since(*since)).as_secs().max(1));
        }
        // Counted before the password is checked, so that parallel attempts can't slip past.
        *count += 1;
        Ok(())
    }

    /// Forgets a name's failures after the right password.
    pub(crate) fn succeeded(&self, login: &str) {
        self.lock().remove(login);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (u32, Instant)>> {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_waits_after_too_many_failures_and_no_longer_than_the_window() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for _ in 0..FAILURES_MAX {
            attempts.begin("li", start).unwrap();
        }
        let wait = attempts.begin("li", start + Duration::from_secs(10)).unwrap_err();
        assert_eq!(wait, 290);
        attempts.begin("wang", start).unwrap();
        attempts.begin("li", start + WINDOW).unwrap();
        attempts.succeeded("li");
        attempts.begin("li", start + WINDOW).unwrap();
    }

    #[test]
    fn the_map_stays_bounded() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for number in 0..NAMES_MAX + 50 {
            let _ = attempts.begin(&format!("name {number}"), start + Duration::from_micros(number as u64));
        }
        assert!(attempts.lock().len() <= NAMES_MAX);
    }
}
