//! The node's clock: the machine's, or one that runs behind it by a distance that can only shrink.
//!
//! A demonstration starts in the past and steps forward, so that publicity periods and deadlines really pass, and ends
//! at the machine's time. Neither clock runs back: a step only ever goes forward.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// Where a node takes its time from. Cheap to clone; clones share a behind-running clock's distance.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    behind_us: Arc<AtomicI64>,
}

impl Clock {
    /// The machine's clock.
    pub fn system() -> Self {
        Self::default()
    }

    /// A clock that runs behind the machine's by a distance (negative: taken as zero).
    pub fn behind(distance: SignedDuration) -> Self {
        let behind_us = i64::try_from(distance.as_micros()).unwrap_or(i64::MAX).max(0);
        Self { behind_us: Arc::new(AtomicI64::new(behind_us)) }
    }

    /// Now, to the microsecond.
    pub fn now(&self) -> Timestamp {
        let now_us = Timestamp::now().as_microsecond() - self.behind_us.load(Ordering::SeqCst);
        Timestamp::from_microsecond(now_us).unwrap_or(Timestamp::MAX)
    }

    /// Steps forward, at most to the machine's time. Answers how far it still runs behind.
    pub fn advance(&self, step: SignedDuration) -> SignedDuration {
        let step_us = i64::try_from(step.as_micros()).unwrap_or(i64::MAX).max(0);
        let before = self
            .behind_us
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |behind| Some((behind - step_us).max(0)))
            .unwrap_or(0);
        SignedDuration::from_micros((before - step_us).max(0))
    }

    /// Counts the time from now on.
    pub(crate) fn stopwatch(&self) -> Stopwatch {
        Stopwatch { clock: self.clone(), begun: Instant::now(), behind_us: self.behind_us.load(Ordering::SeqCst) }
    }
}

/// The time since a moment. The machine's clock being set does not change it; a step of a clock that runs behind counts as
/// time that has passed.
#[derive(Debug)]
pub(crate) struct Stopwatch {
    clock: Clock,
    begun: Instant,
    behind_us: i64,
}

impl Stopwatch {
    /// How long it has been.
    pub(crate) fn elapsed(&self) -> Duration {
        let stepped_us = self.behind_us - self.clock.behind_us.load(Ordering::SeqCst);
        self.begun.elapsed() + Duration::from_micros(u64::try_from(stepped_us).unwrap_or(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stopwatch_counts_the_steps_of_its_clock() {
        let clock = Clock::behind(SignedDuration::from_hours(2));
        let (before, hour) = (clock.stopwatch(), Duration::from_secs(3_600));
        assert!(before.elapsed() < hour);
        clock.advance(SignedDuration::from_hours(1));
        let between = clock.stopwatch();
        assert!(before.elapsed() >= hour && between.elapsed() < hour);
        // It steps no further than to the machine's time.
        clock.advance(SignedDuration::from_hours(9));
        assert!(before.elapsed() >= 2 * hour && before.elapsed() < 3 * hour);
        assert!(between.elapsed() >= hour && between.elapsed() < 2 * hour);
    }
}
