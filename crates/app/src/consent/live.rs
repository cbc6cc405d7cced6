//! The subjects of live data beside the subjects of consents.
//!
//! Of data that stays in its department's database the node knows no list of subjects: they come with the rows of an
//! answer, each is known again by the keyed digest of his identity, and is then known by the ordinal that his consents have.
//! One table of these serves all live products; it follows the consents and holds nobody who never consented.

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use lingqu_crypto::{IndexKey, KeyedDigest};
use lingqu_engine::federation::SubjectNumbers;

use super::identity_digest;
use super::subjects::{DIGEST_BYTES, Places, pages, shortened};
use crate::app::App;
use crate::error::AppError;

/// Most subjects that are known; some 40 bytes each.
const KNOWN_MAX: usize = 20_000_000;

/// Subjects of live rows by their identities.
pub(crate) struct LiveIdentities {
    key: IndexKey,
    known: RwLock<Known>,
    /// Held while more of them are read.
    joining: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct Known {
    ordinals: HashMap<[u8; DIGEST_BYTES], u32>,
    /// All consents' subjects below this ordinal were read.
    end: u32,
}

impl LiveIdentities {
    pub(crate) fn new(key: IndexKey) -> LiveIdentities {
        LiveIdentities { key, known: RwLock::default(), joining: tokio::sync::Mutex::default() }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.known.read().unwrap_or_else(PoisonError::into_inner).ordinals.len()
    }

    /// Looks at ordinals of those who consented. None: some of the first `end` were not read yet.
    pub(super) fn joined<R>(&self, end: u32, look: impl FnOnce(Places<'_>) -> R) -> Option<R> {
        let read = self.known.read().unwrap_or_else(PoisonError::into_inner).end;
        (read >= end).then(|| look(Places::Same))
    }

    /// Reads those among the first `end` who were not read yet.
    pub(super) async fn join(&self, app: &App, end: u32) -> Result<(), AppError> {
        let _turn = self.joining.lock().await;
        let first = self.known.read().unwrap_or_else(PoisonError::into_inner).end;
        pages(app, first, end, |page, next| {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            if known.ordinals.len() + page.len() > KNOWN_MAX {
                return Err(AppError::Fault(format!(
                    "more than {KNOWN_MAX} subjects consented; serve data about that many persons from a snapshot"
                )));
            }
            for (ordinal, digest) in page {
                known.ordinals.insert(shortened(&KeyedDigest(digest)), ordinal);
            }
            known.end = next;
            Ok(())
        })
        .await
    }
}

impl SubjectNumbers for LiveIdentities {
    fn numbers(&self, names: &mut dyn Iterator<Item = Option<&str>>) -> Vec<Option<i64>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let number = |name: &str| {
            let digest = shortened(&identity_digest(&self.key, name));
            known.ordinals.get(&digest).map_or_else(|| stranger(&digest), |ordinal| i64::from(*ordinal))
        };
        names.map(|name| name.map(number)).collect()
    }
}

/// The number of somebody who never consented: from 2^62 on, where there are no ordinals.
fn stranger(digest: &[u8; DIGEST_BYTES]) -> i64 {
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    ((u64::from_be_bytes(first) >> 2) | (1 << 62)).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_never_consented_is_nobody_of_any_set_and_always_the_same() {
        let identities = LiveIdentities::new(IndexKey::from_bytes([7; 32]));
        let digest = |name: &str| shortened(&identity_digest(&identities.key, name));
        identities.known.write().unwrap().ordinals.insert(digest("known"), 3);
        let names = [Some("known"), Some(" known "), Some("other"), None, Some("other")];
        let numbers = identities.numbers(&mut names.into_iter());
        assert_eq!(numbers[..2], [Some(3), Some(3)], "blanks around an identity are none of it");
        assert_eq!(numbers[3], None);
        assert_eq!(numbers[2], numbers[4]);
        assert!(numbers[2].is_some_and(|number| number >= 1 << 62));
    }
}
