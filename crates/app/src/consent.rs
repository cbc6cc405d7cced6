//! Consents of subjects: who a subject is stands sealed in the vault; the journal has his id, which the vault's blind
//! index finds by a keyed digest of his identity.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use lingqu_crypto::KeyedDigest;
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::consent::ConsentDetails;
use lingqu_domain::id::{CommandId, ConsentId, IdSource, SubjectId};
use lingqu_domain::refusal::Refusal;
use lingqu_store::vault::{VaultItem, VaultRead};
use zeroize::Zeroizing;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::error::AppError;
use crate::identity::made;
use crate::keys::random;

/// Kind of the vault item that holds a subject's identity.
const IDENTITY_KIND: &str = "identity";
/// Subjects whose digest is remembered; beyond that the memory starts afresh.
const DIGESTS_MAX: usize = 1_000_000;

/// Digests of subjects' identities that were read from the vault, so that it is opened once per subject.
#[derive(Default)]
pub(crate) struct SubjectDigests(Mutex<BTreeMap<SubjectId, Option<KeyedDigest>>>);

impl App {
    /// Gives a consent for the subject with an identity (such as an id number) that the caller has authenticated.
    pub async fn give_consent(&self, identity: &str, details: ConsentDetails) -> Result<ConsentId, AppError> {
        let digest = self.identity_digest(identity);
        let (subject, vault) = match self.store.vault_subject(&digest).await? {
            Some(known) => (known.parse().map_err(|error| AppError::Fault(format!("{error}")))?, Vec::new()),
            None => {
                let now = self.clock.now();
                let mut ids = IdSource::new(CommandId::of_random(now, random()?), now);
                let subject = SubjectId::next(&mut ids);
                let item = VaultItem {
                    id: identity_item(&subject),
                    subject: subject.to_string(),
                    kind: IDENTITY_KIND.to_owned(),
                    plaintext: Zeroizing::new(identity.as_bytes().to_vec()),
                    index: Some(digest),
                };
                (subject, vec![item])
            }
        };
        let command = Command::GiveConsent { details: Box::new(details) };
        let extras = Extras { vault, ..Extras::default() };
        let executed = self.carry_out(&Actor::Subject(subject), &command, CommandOptions::default(), extras).await?;
        made(&executed, "consent.given")
    }

    /// Withdraws a consent for the subject with an identity that the caller has authenticated.
    pub async fn withdraw_consent(&self, identity: &str, consent: &ConsentId) -> Result<(), AppError> {
        let Some(subject) = self.store.vault_subject(&self.identity_digest(identity)).await? else {
            return Err(Refusal::not_found(consent).into());
        };
        let subject = subject.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
        let command = Command::WithdrawConsent { consent: consent.clone() };
        self.carry_out(&Actor::Subject(subject), &command, CommandOptions::default(), Extras::default()).await?;
        Ok(())
    }

    pub(crate) fn identity_digest(&self, identity: &str) -> KeyedDigest {
        self.keys.identity.digest("subject identity", identity.trim().as_bytes())
    }

    /// The digest of a subject's identity; none once his data is erased.
    pub(crate) async fn digest_of_subject(&self, subject: &SubjectId) -> Result<Option<KeyedDigest>, AppError> {
        let known = &self.serving.subjects.0;
        if let Some(digest) = known.lock().unwrap_or_else(PoisonError::into_inner).get(subject) {
            return Ok(*digest);
        }
        let digest = match self.store.vault_get(subject.as_str(), &identity_item(subject)).await? {
            VaultRead::Present(identity) => {
                let identity = Zeroizing::new(String::from_utf8_lossy(&identity).into_owned());
                Some(self.identity_digest(&identity))
            }
            VaultRead::Erased { .. } | VaultRead::Unknown => None,
        };
        let mut known = known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= DIGESTS_MAX {
            known.clear();
        }
        known.insert(subject.clone(), digest);
        Ok(digest)
    }
}

pub(crate) fn identity_item(subject: &SubjectId) -> String {
    format!("{subject}/{IDENTITY_KIND}")
}
