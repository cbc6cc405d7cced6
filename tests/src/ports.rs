//! Ports for what can't be told to choose one itself.

use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};
use std::time::UNIX_EPOCH;

/// Below those that the system hands out by itself, of which another test might be given one in the meantime.
const PORTS: std::ops::Range<u16> = 10_000..20_000;

/// A loopback port nobody listens on, and another one at each call of this process.
///
/// # Panics
///
/// When none is found.
pub fn free_port() -> u16 {
    static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    let given = given.get_or_insert_with(HashSet::new);
    // Processes begin at different places.
    let now = UNIX_EPOCH.elapsed().expect("a time of today").as_nanos();
    let start = (now ^ (u128::from(std::process::id()) << 20)) % PORTS.len() as u128;
    let start = u16::try_from(start).expect("it is below the number of ports");
    let mut ports = (PORTS.start + start..PORTS.end).chain(PORTS.start..PORTS.start + start);
    let port = ports.find(|port| !given.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok());
    let port = port.expect("a free port");
    given.insert(port);
    port
}
