//! What runs on a ticket, so that it can be cancelled by the ticket.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::ticket::TicketId;
use crate::error::GatewayError;

/// How long a ticket that was cancelled before it was redeemed is remembered: as long as it could be.
const REMEMBERED_FOR: Duration = Duration::from_secs(10 * 60);
/// Tickets that are remembered so; past them the one that was cancelled first is forgotten.
const REMEMBERED_MAX: usize = 4_096;

/// The tickets on which something runs, and those that were cancelled.
#[derive(Debug, Default)]
pub(super) struct Running {
    tickets: Mutex<Tickets>,
}

#[derive(Debug, Default)]
struct Tickets {
    running: BTreeMap<TicketId, (watch::Sender<bool>, u32)>,
    cancelled: BTreeMap<TicketId, Instant>,
}

/// Something that runs on a ticket, until it is dropped.
#[derive(Debug)]
pub(super) struct Run {
    running: Arc<Running>,
    id: TicketId,
    cancelled: watch::Receiver<bool>,
}

impl Running {
    /// Begins to run on a ticket. Error: `ticket_not_valid` when it was cancelled.
    pub(super) fn begin(self: &Arc<Self>, id: TicketId) -> Result<Run, GatewayError> {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if tickets.cancelled.contains_key(&id) {
            return Err(GatewayError::TicketNotValid);
        }
        let (sender, count) = tickets.running.entry(id).or_insert_with(|| (watch::Sender::new(false), 0));
        *count += 1;
        Ok(Run { running: Arc::clone(self), id, cancelled: sender.subscribe() })
    }

    /// Cancels what runs on a ticket and whatever would be asked with it later.
    pub(super) fn cancel(&self, id: TicketId) {
        let mut tickets = self.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((sender, _)) = tickets.running.get(&id) {
            sender.send_replace(true);
        }
        tickets.cancelled.retain(|_, at| at.elapsed() < REMEMBERED_FOR);
        if tickets.cancelled.len() >= REMEMBERED_MAX
            && let Some(first) = tickets.cancelled.iter().min_by_key(|(_, at)| **at).map(|(id, _)| *id)
        {
            tickets.cancelled.remove(&first);
        }
        tickets.cancelled.insert(id, Instant::now());
    }
}

impl Run {
    /// Returns when the ticket is cancelled.
    pub(super) async fn cancelled(&mut self) {
        if self.cancelled.wait_for(|is_cancelled| *is_cancelled).await.is_err() {
            // The sender lives as long as this.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let mut tickets = self.running.tickets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = tickets.running.get_mut(&self.id) {
            *count -= 1;
            if *count == 0 {
                tickets.running.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn cancelling_stops_what_runs_and_what_comes_later() {
        let running = Arc::new(Running::default());
        let mut first = running.begin([1; 16]).unwrap();
        let second = running.begin([1; 16]).unwrap();
        let other = running.begin([2; 16]).unwrap();
        drop(second);
        running.cancel([1; 16]);
        first.cancelled().await;
        drop(first);
        assert!(matches!(running.begin([1; 16]), Err(GatewayError::TicketNotValid)));
        assert!(!*other.cancelled.borrow());
        drop(other);
        assert!(running.tickets.lock().unwrap().running.is_empty());
    }
}
