//! Whose job runs next: the providers in turn, each of them his jobs in the order in which they came, and nobody more places
//! than his share.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::{Arc, Mutex, PoisonError};

use lingqu_domain::id::PartyId;
use tokio::sync::oneshot;

use super::shares::Shares;

/// Places to run in, and who waits for one. How many wait is bounded by the queue of jobs.
#[derive(Debug)]
pub(super) struct Turns {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    places: Shares<PartyId>,
    waiting: BTreeMap<PartyId, VecDeque<oneshot::Sender<Turn>>>,
    /// Who had the last turn.
    last: Option<PartyId>,
}

/// A place. Dropped, it is the next one's.
#[derive(Debug)]
pub(super) struct Turn {
    turns: Arc<Turns>,
    provider: PartyId,
}

impl Turns {
    pub(super) fn of(places: u64) -> Arc<Turns> {
        let state = State { places: Shares::of(places), waiting: BTreeMap::new(), last: None };
        Arc::new(Turns { state: Mutex::new(state) })
    }

    /// Waits for a place. Who stops waiting loses nothing but his turn.
    pub(super) async fn turn(self: &Arc<Self>, provider: &PartyId) -> Turn {
        loop {
            let (sender, receiver) = oneshot::channel();
            self.change(|state| state.waiting.entry(provider.clone()).or_default().push_back(sender));
            // A sender leaves the queue by sending.
            if let Ok(turn) = receiver.await {
                return turn;
            }
        }
    }

    /// Changes the state and gives the places that are free then to whose turn it is.
    fn change(self: &Arc<Self>, change: impl FnOnce(&mut State)) {
        // Turns that nobody waits for any more: dropping one locks the state.
        let mut unwanted = Vec::new();
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            change(&mut state);
            while let Some((provider, sender)) = state.next() {
                if let Err(turn) = sender.send(Turn { turns: Arc::clone(self), provider }) {
                    unwanted.push(turn);
                }
            }
        }
        drop(unwanted);
    }
}

impl State {
    /// Takes a place for whose turn it is, if there is one for somebody who waits.
    fn next(&mut self) -> Option<(PartyId, oneshot::Sender<Turn>)> {
        for senders in self.waiting.values_mut() {
            senders.retain(|sender| !sender.is_closed());
        }
        self.waiting.retain(|_, senders| !senders.is_empty());
        let after = match &self.last {
            Some(last) => (Excluded(last.clone()), Unbounded),
            None => (Unbounded, Unbounded),
        };
        let behind = self.waiting.range(after).map(|(provider, _)| provider);
        let mut in_turn = behind.chain(self.waiting.keys());
        let provider = in_turn.find(|provider| self.places.may_take(provider, 1).is_ok())?.clone();
        let sender = self.waiting.get_mut(&provider)?.pop_front()?;
        self.places.take(&provider, 1).ok()?;
        self.last = Some(provider.clone());
        Some((provider, sender))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let provider = self.provider.clone();
        self.turns.change(|state| state.places.give_back(&provider, 1));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn provider(number: u8) -> PartyId {
        format!("pty_{number:032}").parse().unwrap()
    }

    /// Everybody who can run by now runs.
    async fn settle() {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
    }

    type Running = Arc<Mutex<Vec<(u8, usize, Turn)>>>;

    fn wait(turns: &Arc<Turns>, running: &Running, number: u8, job: usize) -> tokio::task::JoinHandle<()> {
        let (turns, running) = (Arc::clone(turns), Arc::clone(running));
        tokio::spawn(async move {
            let turn = turns.turn(&provider(number)).await;
            running.lock().unwrap().push((number, job, turn));
        })
    }

    fn names(running: &Running) -> Vec<(u8, usize)> {
        running.lock().unwrap().iter().map(|(number, job, _)| (*number, *job)).collect()
    }

    #[tokio::test]
    async fn a_provider_with_many_slow_jobs_keeps_nobody_waiting() {
        let (turns, running) = (Turns::of(4), Running::default());
        for job in 0..10 {
            wait(&turns, &running, 1, job);
            settle().await;
        }
        assert_eq!(names(&running), [(1, 0), (1, 1)], "half of the places, whoever waits");
        wait(&turns, &running, 2, 0);
        settle().await;
        assert_eq!(names(&running), [(1, 0), (1, 1), (2, 0)], "the other one's first job runs at once");
    }

    #[tokio::test]
    async fn places_go_round_among_those_who_wait() {
        let (turns, running) = (Turns::of(1), Running::default());
        for (number, jobs) in [(1, 3), (2, 3), (3, 1)] {
            for job in 0..jobs {
                wait(&turns, &running, number, job);
                settle().await;
            }
        }
        let mut order = Vec::new();
        for _ in 0..7 {
            settle().await;
            let (number, job, turn) = running.lock().unwrap().pop().unwrap();
            assert!(running.lock().unwrap().is_empty(), "one place, one job");
            order.push((number, job));
            drop(turn);
        }
        assert_eq!(order, [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
    }

    #[tokio::test]
    async fn who_stops_waiting_leaves_his_place_to_others() {
        let (turns, running) = (Turns::of(1), Running::default());
        wait(&turns, &running, 1, 0);
        settle().await;
        let gone = wait(&turns, &running, 2, 0);
        wait(&turns, &running, 3, 0);
        settle().await;
        gone.abort();
        drop(gone.await);
        drop(running.lock().unwrap().pop());
        settle().await;
        assert_eq!(names(&running), [(3, 0)]);
        // One who goes away in the moment in which he gets the place gives it back too.
        drop(running.lock().unwrap().pop());
        let turn = tokio::time::timeout(Duration::from_secs(10), turns.turn(&provider(4))).await.unwrap();
        let fifth = provider(5);
        let mut next = Box::pin(turns.turn(&fifth));
        tokio::select! {
            biased;
            _ = &mut next => panic!("there is no place"),
            () = std::future::ready(()) => {}
        }
        drop(turn);
        drop(next);
        drop(tokio::time::timeout(Duration::from_secs(10), turns.turn(&provider(6))).await.unwrap());
    }
}
