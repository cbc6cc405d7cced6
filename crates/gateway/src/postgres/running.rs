//! Connections by the number and secret that a cancel request names.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

/// Every open connection. Bounded by the connections that a server takes.
#[derive(Debug, Default)]
pub(super) struct Running {
    connections: Mutex<Connections>,
}

#[derive(Debug, Default)]
struct Connections {
    last_id: i32,
    by_id: BTreeMap<i32, (i32, watch::Sender<u64>)>,
}

/// A connection's place among the open ones; its statements can be cancelled as long as it is held.
#[derive(Debug)]
pub(super) struct Entry {
    running: Arc<Running>,
    pub(super) id: i32,
    pub(super) secret: i32,
    /// Changes with each cancel request.
    pub(super) cancels: watch::Receiver<u64>,
}

impl Running {
    fn connections(&self) -> MutexGuard<'_, Connections> {
        self.connections.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters a connection under a random secret.
    pub(super) fn enter(self: &Arc<Self>, secret: i32) -> Entry {
        let (sender, cancels) = watch::channel(0);
        let mut connections = self.connections();
        loop {
            connections.last_id = connections.last_id.checked_add(1).unwrap_or(1);
            let id = connections.last_id;
            if let MapEntry::Vacant(place) = connections.by_id.entry(id) {
                place.insert((secret, sender));
                return Entry { running: Arc::clone(self), id, secret, cancels };
            }
        }
    }

    /// Stops the statement that the connection runs now. Nothing tells whether there was one, or the connection at all.
    pub(super) fn cancel(&self, id: i32, secret: i32) {
        let connections = self.connections();
        if let Some((expected, sender)) = connections.by_id.get(&id)
            && lingqu_crypto::constant_time_equal(&expected.to_be_bytes(), &secret.to_be_bytes())
        {
            sender.send_modify(|count| *count += 1);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.running.connections().by_id.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_right_secret_cancels_and_only_while_the_connection_is_open() {
        let running = Arc::new(Running::default());
        let (mut first, second) = (running.enter(7), running.enter(8));
        assert_ne!(first.id, second.id);
        running.cancel(first.id, 8);
        running.cancel(second.id, 8);
        assert!(!first.cancels.has_changed().unwrap());
        running.cancel(first.id, 7);
        assert!(first.cancels.has_changed().unwrap());
        first.cancels.mark_unchanged();
        let id = first.id;
        drop(first);
        running.cancel(id, 7);
        assert_eq!(running.connections().by_id.len(), 1);
    }
}
