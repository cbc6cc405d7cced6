//! The subjects of a product beside the subjects of consents.
//!
//! A product numbers its subjects by itself, in the order of its key; consents number theirs in the order of first
//! consents. What they have in common is the keyed digest of an identity. The two are joined once when a product is first
//! served with consent, and from then on only those who consent for the first time are looked for.

use std::sync::{PoisonError, RwLock};

use lingqu_crypto::{IndexKey, KeyedDigest};
use lingqu_engine::product::Product;
use lingqu_store::consent::PAGE_SUBJECTS_MAX;

use super::identity_digest;
use crate::app::App;
use crate::error::AppError;

/// Bytes of a digest that are compared. Of 128 bits under a secret key no two of any number of people are the same.
const DIGEST_BYTES: usize = 16;
/// The place of whoever is not in the product.
const NOBODY: u32 = u32::MAX;

/// The subjects of one product.
pub(crate) struct ProductSubjects {
    /// By the product's ordinals.
    digests: Vec<[u8; DIGEST_BYTES]>,
    /// The product's ordinals in the order of digests.
    sorted: Vec<u32>,
    /// The product's ordinals by those of consents.
    places: RwLock<Vec<u32>>,
    /// Held while more of them are looked for.
    joining: tokio::sync::Mutex<()>,
}

impl ProductSubjects {
    /// Reads the subjects of a product. Reads a file and computes a digest for each; not for a thread that serves others.
    pub(crate) fn read(product: &Product, key: &IndexKey) -> Result<ProductSubjects, AppError> {
        let mut digests = Vec::new();
        product
            .visit_subjects(&mut |name| digests.push(shortened(&identity_digest(key, name))))
            .map_err(lingqu_engine::EngineError::from)?;
        let count = u32::try_from(digests.len())
            .ok()
            .filter(|count| *count < NOBODY)
            .ok_or_else(|| AppError::Fault("a product has more subjects than can be numbered".to_owned()))?;
        let mut sorted: Vec<u32> = (0..count).collect();
        sorted.sort_unstable_by_key(|ordinal| digests[*ordinal as usize]);
        Ok(ProductSubjects { digests, sorted, places: RwLock::default(), joining: tokio::sync::Mutex::default() })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.digests.len()
    }

    /// Looks at the product's ordinals of those who consented. None: some of the first `end` were not looked for yet.
    pub(crate) fn joined<R>(&self, end: u32, look: impl FnOnce(Places<'_>) -> R) -> Option<R> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        (places.len() >= end as usize).then(|| look(Places(&places)))
    }

    /// Looks for those among the first `end` who were not looked for yet.
    pub(crate) async fn join(&self, app: &App, end: u32) -> Result<(), AppError> {
        let _turn = self.joining.lock().await;
        loop {
            let first = self.places.read().unwrap_or_else(PoisonError::into_inner).len();
            if first >= end as usize {
                return Ok(());
            }
            let first = u32::try_from(first).map_err(|_| AppError::Fault("too many subjects".to_owned()))?;
            let (page, count) = app.store.consent_digests(first).await?;
            // Those who are missing on a page were erased.
            let next = match page.last() {
                Some((last, _)) if page.len() as u64 == PAGE_SUBJECTS_MAX => last.saturating_add(1),
                _ => count,
            };
            if next <= first {
                return Err(AppError::Fault("the subjects of consents have gaps; restore the database".to_owned()));
            }
            let mut places = vec![NOBODY; (next - first) as usize];
            for (ordinal, digest) in page {
                places[(ordinal - first) as usize] = self.find(&shortened(&KeyedDigest(digest))).unwrap_or(NOBODY);
            }
            self.places.write().unwrap_or_else(PoisonError::into_inner).extend(places);
        }
    }

    fn find(&self, digest: &[u8; DIGEST_BYTES]) -> Option<u32> {
        let at = self.sorted.partition_point(|ordinal| self.digests[*ordinal as usize] < *digest);
        self.sorted.get(at).copied().filter(|ordinal| self.digests[*ordinal as usize] == *digest)
    }

    /// Bytes held in memory.
    pub(crate) fn memory_bytes(&self) -> usize {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner).len();
        self.digests.len() * (DIGEST_BYTES + size_of::<u32>()) + places * size_of::<u32>()
    }
}

/// Ordinals of a product by those of consents.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a>(&'a [u32]);

impl Places<'_> {
    /// The product's ordinal of a subject; none when he is not in the product.
    pub(crate) fn of(self, ordinal: u32) -> Option<u32> {
        self.0.get(ordinal as usize).copied().filter(|place| *place != NOBODY)
    }
}

fn shortened(digest: &KeyedDigest) -> [u8; DIGEST_BYTES] {
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&digest.0[..DIGEST_BYTES]);
    short
}
