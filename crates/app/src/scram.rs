//! Service keys by SCRAM-SHA-256 (RFC 7677), for protocols whose clients prove that they hold the key and never send it.
//!
//! The client names an order before the node can know which of its keys he holds. So the salt belongs to the order: a
//! keyed digest of its id, which an order that does not exist has too, and nobody learns which there are.

use std::sync::Arc;

use lingqu_crypto::{ScramVerifier, ServiceKey, Sha256Digest};
use lingqu_domain::id::OrderId;

use crate::app::App;
use crate::error::AppError;
use crate::keys::random;
use crate::serving::Serving;

/// Bytes of a salt.
const SALT_BYTES: usize = 16;

/// A service key in force, as SCRAM knows it.
#[derive(Clone, Debug)]
pub struct ScramKey {
    /// SHA-256 of the key, by which [`App::serving_of_hash`] finds it.
    pub hash: Sha256Digest,
    /// What verifies it.
    pub verifier: ScramVerifier,
}

impl App {
    /// The salt of an order's keys; of any other text too.
    pub fn scram_salt(&self, order: &str) -> [u8; SALT_BYTES] {
        let digest = self.keys.scram_salt.digest("scram salt", order.as_bytes()).0;
        std::array::from_fn(|at| digest[at])
    }

    /// What verifies a new key, sealed under the key's hash and its order: put into another row it opens no more, so whoever
    /// writes into the store can't let himself in.
    pub(crate) fn seal_scram(&self, order: &OrderId, key: &ServiceKey) -> Result<Vec<u8>, AppError> {
        let verifier = ScramVerifier::of(&key.to_text(), &self.scram_salt(order.as_str()));
        let context = context(order.as_str(), &key.hash());
        Ok(self.keys.scram.seal(random()?, &context, &verifier.to_bytes()[..]))
    }

    /// The keys of an order that are in force in the store; none for a text that is no order's id. A key that was issued
    /// before keys had verifiers is not among them.
    pub async fn scram_keys(&self, order: &str) -> Result<Vec<ScramKey>, AppError> {
        let Ok(order) = order.parse::<OrderId>() else { return Ok(Vec::new()) };
        let mut keys = Vec::new();
        for stored in self.store.service_keys_of(order.as_str()).await? {
            let Some(sealed) = stored.scram_sealed.filter(|_| stored.revoked_at.is_none()) else { continue };
            let hash = Sha256Digest(stored.hash);
            let opened = self.keys.scram.open(&context(order.as_str(), &hash), &sealed);
            match opened.and_then(|bytes| ScramVerifier::from_bytes(&bytes)) {
                Ok(verifier) => keys.push(ScramKey { hash, verifier }),
                Err(_) => tracing::error!(%order, "what verifies a service key was changed in the store; it is void"),
            }
        }
        Ok(keys)
    }

    /// The same as [`App::serving`], by the hash of a key that its holder has proved.
    pub async fn serving_of_hash(&self, hash: Sha256Digest) -> Result<Arc<Serving>, AppError> {
        self.refresh().await?;
        let order = self.order_of_hash(hash).await?;
        self.serving_of(&order).await
    }
}

fn context(order: &str, hash: &Sha256Digest) -> Vec<u8> {
    format!("scram {order} {hash}").into_bytes()
}
