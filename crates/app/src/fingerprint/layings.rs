//! Whose turn it is to lay decoys: of a product's version one at a time, of all of the node few.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use lingqu_engine::product::ProductError;
use tokio::sync::Semaphore;

use crate::error::AppError;

/// Most products whose decoys are laid at once: each is read several times.
const LAYINGS_MAX: usize = 4;

/// Who lays decoys now, and who waits for it.
pub(crate) struct Layings {
    /// Of versions that somebody asks for now: at most one for each request.
    turns: Mutex<BTreeMap<String, Weak<tokio::sync::Mutex<()>>>>,
    places: Arc<Semaphore>,
}

impl Default for Layings {
    fn default() -> Layings {
        Layings { turns: Mutex::default(), places: Arc::new(Semaphore::new(LAYINGS_MAX)) }
    }
}

impl Layings {
    /// What `look` finds, without waiting for anybody. Where it finds nothing, what `lay` makes: by one at a time for a version,
    /// and whoever waited for that looks again. What was begun goes on when nobody waits for it any more, and until it ends
    /// nobody else begins.
    pub(super) async fn found_or_laid<T, Look, Lay>(&self, version: &str, look: Look, lay: Lay) -> Result<T, AppError>
    where
        T: Send + 'static,
        Look: Fn() -> Result<Option<T>, ProductError> + Clone + Send + 'static,
        Lay: FnOnce() -> Result<T, ProductError> + Send + 'static,
    {
        if let Some(found) = aside(look.clone()).await? {
            return Ok(found);
        }
        // The first requests for a product may come all at once; one of them lays them.
        let turn = self.turn(version).lock_owned().await;
        if let Some(found) = aside(look).await? {
            return Ok(found);
        }
        // Who has the turn may wait for a place, and who has a place waits for nothing.
        let place = Arc::clone(&self.places).acquire_owned().await;
        let laying = move || {
            let _held = (turn, place);
            lay()
        };
        aside(laying).await
    }

    /// Held by who lays decoys of a version.
    fn turn(&self, version: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(turn) = turns.get(version).and_then(Weak::upgrade) {
            return turn;
        }
        turns.retain(|_, turn| turn.strong_count() > 0);
        let turn = Arc::default();
        turns.insert(version.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

/// Reads or writes files where that keeps no request waiting.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ProductError> + Send + 'static,
) -> Result<T, AppError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| ended_early(&error))??)
}

pub(super) fn ended_early(error: &tokio::task::JoinError) -> AppError {
    AppError::Fault(format!("the making of decoys ended early: {error}"))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    /// How long a test waits for what comes at once, before it fails.
    const HANGS_AFTER: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn who_finds_what_is_laid_waits_for_nobody() {
        let layings = Layings::default();
        let _turn = layings.turn("prd_1").lock_owned().await;
        let _places = layings.places.acquire_many(u32::try_from(LAYINGS_MAX).unwrap()).await.unwrap();
        let found = layings.found_or_laid("prd_1", || Ok(Some(7)), || unreachable!("it is there"));
        assert_eq!(tokio::time::timeout(HANGS_AFTER, found).await.unwrap().unwrap(), 7);
    }

    #[tokio::test]
    async fn a_version_is_laid_once_and_keeps_no_other_waiting() {
        let layings = Arc::new(Layings::default());
        let laid = Arc::new(AtomicU32::new(0));
        let look = {
            let laid = Arc::clone(&laid);
            move || -> Result<Option<u32>, ProductError> {
                let laid = laid.load(Ordering::SeqCst);
                Ok((laid > 0).then_some(laid))
            }
        };
        let lay = |laid: &Arc<AtomicU32>| {
            let laid = Arc::clone(laid);
            move || -> Result<u32, ProductError> { Ok(laid.fetch_add(1, Ordering::SeqCst) + 1) }
        };
        let (begun, has_begun) = oneshot::channel::<()>();
        let (goes_on, may_go_on) = mpsc::sync_channel::<()>(1);
        let first = tokio::spawn({
            let (layings, look, lay) = (Arc::clone(&layings), look.clone(), lay(&laid));
            let lay_late = move || {
                begun.send(()).unwrap();
                may_go_on.recv().unwrap();
                lay()
            };
            async move { layings.found_or_laid("prd_1", look, lay_late).await }
        });
        tokio::time::timeout(HANGS_AFTER, has_begun).await.unwrap().unwrap();
        // Who asked first goes away, and the laying goes on.
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        assert!(layings.turn("prd_1").try_lock_owned().is_err(), "a version has one laying at a time");
        let other = layings.found_or_laid("prd_2", || Ok(None), || Ok(20));
        assert_eq!(tokio::time::timeout(HANGS_AFTER, other).await.unwrap().unwrap(), 20);
        goes_on.send(()).unwrap();
        let second = layings.found_or_laid("prd_1", look, lay(&laid));
        assert_eq!(tokio::time::timeout(HANGS_AFTER, second).await.unwrap().unwrap(), 1);
        assert_eq!(laid.load(Ordering::SeqCst), 1, "who waited finds what was laid meanwhile");
    }

    /// A laying that failed leaves the turn to the next.
    #[tokio::test]
    async fn what_failed_is_tried_again() {
        let layings = Layings::default();
        let failed = layings.found_or_laid("prd_1", || Ok(None::<u32>), || Err(ProductError::DecoysOfSubjects)).await;
        assert!(matches!(failed, Err(AppError::Product(ProductError::DecoysOfSubjects))), "{failed:?}");
        let again = layings.found_or_laid("prd_1", || Ok(None), || Ok(1));
        assert_eq!(tokio::time::timeout(HANGS_AFTER, again).await.unwrap().unwrap(), 1);
        assert_eq!(layings.places.available_permits(), LAYINGS_MAX);
    }

    #[test]
    fn turns_that_nobody_holds_are_forgotten() {
        let layings = Layings::default();
        let kept = layings.turn("prd_0");
        for number in 0..100 {
            drop(layings.turn(&format!("prd_{number}")));
        }
        assert!(Arc::ptr_eq(&kept, &layings.turn("prd_0")));
        assert!(layings.turns.lock().unwrap().len() <= 2, "the one that is held and the last one");
    }
}
