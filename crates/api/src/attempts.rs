//! Attempts at passwords: after a few wrong ones of a login name from one network the name must wait there, and after many
//! from all networks together it must wait everywhere. So who guesses, or wants to lock somebody out, locks out his own
//! network. What is remembered is bounded; when it is full the names with the fewest wrong passwords are forgotten, so an
//! attacker with many names gains nothing on the one that he is after.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::pace::network_of;

/// Wrong passwords of one name from one network within the window.
const FAILURES_MAX: u32 = 10;
/// … and from all networks together.
const FAILURES_EVERYWHERE_MAX: u32 = 10 * FAILURES_MAX;
/// How long wrong passwords are remembered.
const WINDOW: Duration = Duration::from_secs(300);
/// Most names that are remembered, and most names with a network.
const NAMES_MAX: usize = 10_000;

/// Wrong passwords per login name. Kept in this process alone: a restart forgets, and a replica counts for itself.
pub(crate) struct Attempts {
    failures: Mutex<Failures>,
}

struct Failures {
    of_network: Counts<(String, IpAddr)>,
    everywhere: Counts<String>,
}

impl Default for Attempts {
    fn default() -> Self {
        let (of_network, everywhere) = (Counts::up_to(FAILURES_MAX), Counts::up_to(FAILURES_EVERYWHERE_MAX));
        Self { failures: Mutex::new(Failures { of_network, everywhere }) }
    }
}

impl Attempts {
    /// Counts an attempt. Error: the seconds to wait; such an attempt is not counted.
    pub(crate) fn begin(&self, login: &str, from: IpAddr, now: Instant) -> Result<(), u64> {
        let mut failures = self.lock();
        let (name, named) = (login.to_owned(), (login.to_owned(), network_of(from)));
        failures.of_network.must_have_room(&named, now)?;
        failures.everywhere.must_have_room(&name, now)?;
        // Counted before the password is checked, so that parallel attempts can't slip past.
        failures.of_network.count(named, now);
        failures.everywhere.count(name, now);
        Ok(())
    }

    /// Forgets a name's failures from a network after the right password; those from elsewhere stay.
    pub(crate) fn succeeded(&self, login: &str, from: IpAddr) {
        let mut failures = self.lock();
        let named = (login.to_owned(), network_of(from));
        let forgotten = failures.of_network.counts.remove(&named).map_or(0, |(count, _)| count);
        failures.everywhere.take_back(&named.0, forgotten);
    }

    /// Takes back an attempt whose password was not checked, or was right.
    pub(crate) fn taken_back(&self, login: &str, from: IpAddr) {
        let mut failures = self.lock();
        let named = (login.to_owned(), network_of(from));
        failures.of_network.take_back(&named, 1);
        failures.everywhere.take_back(&named.0, 1);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How often something failed, and since when that is counted.
struct Counts<K> {
    failures_max: u32,
    counts: HashMap<K, (u32, Instant)>,
}

impl<K: Clone + Eq + Hash> Counts<K> {
    fn up_to(failures_max: u32) -> Self {
        Self { failures_max, counts: HashMap::new() }
    }

    /// Error: the seconds until the window of a key at its limit has run.
    fn must_have_room(&self, key: &K, now: Instant) -> Result<(), u64> {
        let Some((count, since)) = self.counts.get(key) else { return Ok(()) };
        let left = WINDOW.saturating_sub(now.duration_since(*since));
        if *count < self.failures_max || left.is_zero() { Ok(()) } else { Err(left.as_secs().max(1)) }
    }

    fn count(&mut self, key: K, now: Instant) {
        if !self.counts.contains_key(&key) {
            self.make_place(now);
        }
        let (count, since) = self.counts.entry(key).or_insert((0, now));
        if now.duration_since(*since) >= WINDOW {
            (*count, *since) = (0, now);
        }
        *count += 1;
    }

    /// Forgets what has run its time; when that is not enough, the oldest of those that failed least.
    fn make_place(&mut self, now: Instant) {
        if self.counts.len() < NAMES_MAX {
            return;
        }
        self.counts.retain(|_, (_, since)| now.duration_since(*since) < WINDOW);
        if self.counts.len() < NAMES_MAX {
            return;
        }
        let least = self.counts.iter().min_by_key(|(_, counted)| **counted).map(|(key, _)| key.clone());
        if let Some(least) = least {
            self.counts.remove(&least);
        }
    }

    fn take_back(&mut self, key: &K, failures: u32) {
        let Some((count, _)) = self.counts.get_mut(key) else { return };
        *count = count.saturating_sub(failures);
        if *count == 0 {
            self.counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + number).to_be_bytes())
    }

    #[test]
    fn a_name_waits_after_too_many_failures_and_no_longer_than_the_window() {
        let attempts = Attempts::default();
        let (start, from) = (Instant::now(), address(1));
        for _ in 0..FAILURES_MAX {
            attempts.begin("li", from, start).unwrap();
        }
        let wait = attempts.begin("li", from, start + Duration::from_secs(10)).unwrap_err();
        assert_eq!(wait, 290);
        attempts.begin("wang", from, start).unwrap();
        attempts.begin("li", from, start + WINDOW).unwrap();
        attempts.succeeded("li", from);
        attempts.begin("li", from, start + WINDOW).unwrap();
    }

    #[test]
    fn who_guesses_locks_out_his_own_network_until_very_many_guess() {
        let attempts = Attempts::default();
        let start = Instant::now();
        let networks = FAILURES_EVERYWHERE_MAX / FAILURES_MAX;
        for number in 0..networks {
            for _ in 0..FAILURES_MAX {
                attempts.begin("li", address(number), start).unwrap();
            }
            // What is refused is not counted anywhere.
            assert!(attempts.begin("li", address(number), start).is_err());
            if number + 1 < networks {
                attempts.begin("li", address(1_000), start).unwrap();
                attempts.succeeded("li", address(1_000));
            }
        }
        assert!(attempts.begin("li", address(1_000), start).is_err(), "a hundred guesses lock the name");
        attempts.begin("wang", address(0), start).unwrap();
    }

    #[test]
    fn an_attempt_whose_password_was_not_checked_counts_nowhere() {
        let attempts = Attempts::default();
        let (start, from) = (Instant::now(), address(1));
        for _ in 0..=FAILURES_EVERYWHERE_MAX {
            attempts.begin("li", from, start).unwrap();
            attempts.taken_back("li", from);
        }
        let failures = attempts.lock();
        assert!(failures.of_network.counts.is_empty() && failures.everywhere.counts.is_empty());
    }

    #[test]
    fn the_maps_stay_bounded_and_keep_who_is_at_his_limit() {
        let attempts = Attempts::default();
        let (start, from) = (Instant::now(), address(1));
        for _ in 0..FAILURES_MAX {
            attempts.begin("li", from, start).unwrap();
        }
        for number in 0..NAMES_MAX + 50 {
            let at = start + Duration::from_micros(number as u64);
            attempts.begin(&format!("name {number}"), from, at).unwrap();
        }
        assert!(attempts.begin("li", from, start + Duration::from_secs(1)).is_err());
        let failures = attempts.lock();
        assert!(failures.of_network.counts.len() <= NAMES_MAX && failures.everywhere.counts.len() <= NAMES_MAX);
    }
}
