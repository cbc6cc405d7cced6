//! The subjects of a product beside the subjects of consents.
//!
//! A product numbers its subjects by itself, in the order of its key; consents number theirs in the order of first
//! consents. What they have in common is the keyed digest of an identity. The two are joined once when a product is first
//! served with consent, and from then on only those who consent for the first time are looked for.

use std::sync::{Arc, PoisonError, RwLock};

use lingqu_crypto::{IndexKey, KeyedDigest};
use lingqu_engine::product::Product;
use lingqu_store::consent::PAGE_SUBJECTS_MAX;

use super::identity_digest;
use super::live::LiveIdentities;
use crate::app::App;
use crate::error::AppError;

/// Bytes of a digest that are compared. Of 128 bits under a secret key no two of any number of people are the same.
pub(super) const DIGEST_BYTES: usize = 16;
/// The place of whoever is not in the product.
const NOBODY: u32 = u32::MAX;

/// The subjects of what an order is served.
pub(crate) enum ServedSubjects {
    /// Those of a product that was made into files.
    Made(ProductSubjects),
    /// Those of live data, who come with its rows.
    Live(Arc<LiveIdentities>),
}

impl ServedSubjects {
    /// How many there may be, for room.
    pub(crate) fn len(&self) -> usize {
        match self {
            ServedSubjects::Made(subjects) => subjects.len(),
            ServedSubjects::Live(identities) => identities.len(),
        }
    }

    /// Looks at the ordinals, in what is served, of those who consented. None: some of the first `end` were not looked
    /// for yet.
    pub(crate) fn joined<R>(&self, end: u32, look: impl FnOnce(Places<'_>) -> R) -> Option<R> {
        match self {
            ServedSubjects::Made(subjects) => subjects.joined(end, look),
            ServedSubjects::Live(identities) => identities.joined(end, look),
        }
    }

    /// Looks for those among the first `end` who were not looked for yet.
    pub(crate) async fn join(&self, app: &App, end: u32) -> Result<(), AppError> {
        match self {
            ServedSubjects::Made(subjects) => subjects.join(app, end).await,
            ServedSubjects::Live(identities) => identities.join(app, end).await,
        }
    }

    /// Bytes held in memory for this product alone.
    pub(crate) fn memory_bytes(&self) -> usize {
        match self {
            ServedSubjects::Made(subjects) => subjects.memory_bytes(),
            ServedSubjects::Live(_) => 0,
        }
    }
}

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
    fn len(&self) -> usize {
        self.digests.len()
    }

    /// Looks at the product's ordinals of those who consented. None: some of the first `end` were not looked for yet.
    fn joined<R>(&self, end: u32, look: impl FnOnce(Places<'_>) -> R) -> Option<R> {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner);
        (places.len() >= end as usize).then(|| look(Places::Listed(&places)))
    }

    /// Looks for those among the first `end` who were not looked for yet.
    async fn join(&self, app: &App, end: u32) -> Result<(), AppError> {
        let _turn = self.joining.lock().await;
        let first = self.places.read().unwrap_or_else(PoisonError::into_inner).len();
        let mut first = u32::try_from(first).map_err(|_| AppError::Fault("too many subjects".to_owned()))?;
        pages(app, first, end, |page, next| {
            let mut places = vec![NOBODY; (next - first) as usize];
            for (ordinal, digest) in page {
                places[(ordinal - first) as usize] = self.find(&shortened(&KeyedDigest(digest))).unwrap_or(NOBODY);
            }
            self.places.write().unwrap_or_else(PoisonError::into_inner).extend(places);
            first = next;
            Ok(())
        })
        .await
    }

    fn find(&self, digest: &[u8; DIGEST_BYTES]) -> Option<u32> {
        let at = self.sorted.partition_point(|ordinal| self.digests[*ordinal as usize] < *digest);
        self.sorted.get(at).copied().filter(|ordinal| self.digests[*ordinal as usize] == *digest)
    }

    /// Bytes held in memory.
    fn memory_bytes(&self) -> usize {
        let places = self.places.read().unwrap_or_else(PoisonError::into_inner).len();
        self.digests.len() * (DIGEST_BYTES + size_of::<u32>()) + places * size_of::<u32>()
    }
}

/// Reads those who consented, from an ordinal to below another: `take` gets them page by page, each with where the next one
/// begins.
pub(super) async fn pages(
    app: &App,
    first: u32,
    end: u32,
    mut take: impl FnMut(Vec<(u32, [u8; 32])>, u32) -> Result<(), AppError>,
) -> Result<(), AppError> {
    let mut first = first;
    while first < end {
        let (page, count) = app.store.consent_digests(first).await?;
        // Those who are missing on a page were erased.
        let next = match page.last() {
            Some((last, _)) if page.len() as u64 == PAGE_SUBJECTS_MAX => last.saturating_add(1),
            _ => count,
        };
        if next <= first {
            return Err(AppError::Fault("the subjects of consents have gaps; restore the database".to_owned()));
        }
        take(page, next)?;
        first = next;
    }
    Ok(())
}

/// Ordinals of what is served by those of consents.
#[derive(Clone, Copy)]
pub(crate) enum Places<'a> {
    /// Of a product, which numbers its subjects by itself.
    Listed(&'a [u32]),
    /// Of live data, whose subjects have no others.
    Same,
}

impl Places<'_> {
    /// The ordinal of a subject in what is served; none when he is not in it.
    pub(crate) fn of(self, ordinal: u32) -> Option<u32> {
        match self {
            Places::Listed(places) => places.get(ordinal as usize).copied().filter(|place| *place != NOBODY),
            Places::Same => Some(ordinal),
        }
    }
}

pub(super) fn shortened(digest: &KeyedDigest) -> [u8; DIGEST_BYTES] {
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&digest.0[..DIGEST_BYTES]);
    short
}
