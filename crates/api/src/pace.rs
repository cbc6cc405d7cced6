//! How many requests one address may send to an address of the node that needs no login, or that checks a password: a bucket
//! of tokens for each, refilled with time. The map is bounded; when it is full the fullest buckets go first, which are those
//! of whom it holds up nobody.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum::http::Extensions;
use axum::http::request::Parts;

/// Requests that may come at once.
const BURST: u32 = 300;
/// How long one request takes to be forgotten.
const ONE_EVERY: Duration = Duration::from_millis(20);
/// Most addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;
/// How long a bucket takes to be full again.
const FULL_AFTER: Duration = Duration::from_millis(ONE_EVERY.as_millis() as u64 * BURST as u64);

/// The pace of each address. Kept in this process alone: a restart forgets, and a replica counts for itself.
#[derive(Default)]
pub(crate) struct Pace {
    /// When the bucket of an address will be full again.
    full_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Pace {
    /// Counts a request. Error: the seconds to wait.
    pub(crate) fn begin(&self, address: IpAddr, now: Instant) -> Result<(), u64> {
        let mut full_at = self.full_at.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if full_at.len() >= ADDRESSES_MAX {
            full_at.retain(|_, full_at| *full_at > now);
        }
        if full_at.len() >= ADDRESSES_MAX
            && let Some(fullest) = full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(address, _)| *address)
        {
            full_at.remove(&fullest);
        }
        let entry = full_at.entry(network_of(address)).or_insert(now);
        let next = (*entry).max(now) + ONE_EVERY;
        if next > now + FULL_AFTER {
            return Err((next - now - FULL_AFTER).as_secs().max(1));
        }
        *entry = next;
        Ok(())
    }
}

/// The address that a request comes from. Without a listener that tells it all are counted as one.
pub(crate) struct Caller(pub(crate) IpAddr);

impl Caller {
    pub(crate) fn of(extensions: &Extensions) -> Caller {
        let known = extensions.get::<ConnectInfo<SocketAddr>>().map(|known| known.0.ip());
        Caller(known.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Caller::of(&parts.extensions))
    }
}

/// Who is counted as one: an IPv4 address, or the 64 bits of IPv6 that one line is given.
pub fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u32) -> IpAddr {
        IpAddr::from(number.to_be_bytes())
    }

    #[test]
    fn an_address_waits_after_a_burst_and_no_longer_than_its_pace() {
        let (pace, start) = (Pace::default(), Instant::now());
        for _ in 0..BURST {
            pace.begin(address(1), start).unwrap();
        }
        assert_eq!(pace.begin(address(1), start), Err(1));
        pace.begin(address(2), start).unwrap();
        pace.begin(address(1), start + ONE_EVERY).unwrap();
        assert!(pace.begin(address(1), start + ONE_EVERY).is_err());
        for _ in 0..BURST {
            pace.begin(address(1), start + 2 * FULL_AFTER).unwrap();
        }
    }

    #[test]
    fn one_line_counts_once_however_many_addresses_it_has() {
        let (pace, start) = (Pace::default(), Instant::now());
        for number in 0..BURST {
            pace.begin(format!("2001:db8:1:2::{number:x}").parse().unwrap(), start).unwrap();
        }
        assert!(pace.begin("2001:db8:1:2:ffff::1".parse().unwrap(), start).is_err());
        assert!(pace.begin("2001:db8:1:3::1".parse().unwrap(), start).is_ok());
        // The same IPv4 address, written both ways.
        for _ in 0..BURST {
            pace.begin("::ffff:192.0.2.1".parse().unwrap(), start).unwrap();
        }
        assert!(pace.begin("192.0.2.1".parse().unwrap(), start).is_err());
    }

    #[test]
    fn the_map_stays_bounded_and_keeps_who_is_held_up() {
        let (pace, start) = (Pace::default(), Instant::now());
        for _ in 0..BURST {
            pace.begin(address(0), start).unwrap();
        }
        for number in 1..ADDRESSES_MAX as u32 + 50 {
            pace.begin(address(number), start).unwrap();
        }
        assert!(pace.full_at.lock().unwrap().len() <= ADDRESSES_MAX);
        assert!(pace.begin(address(0), start).is_err());
    }
}
