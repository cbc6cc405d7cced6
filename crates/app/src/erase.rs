//! Erasing personal data of the vault, as who answers a person's demand does it (PIPL art. 47): the journal says first
//! who, what and why, then the data goes. Asked again, an erasure that was cut off is ended and the record stays the one.
//!
//! A node does it while no other process has its directory, so no receipt is being written that it would miss.

use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::erasure::{self, Erasable};
use lingqu_domain::id::{ErasureId, ReceiptId, SubjectId};
use lingqu_store::vault::VaultRead;
use serde::Serialize;
use zeroize::Zeroizing;

use crate::app::App;
use crate::command::{CommandOptions, Extras};
use crate::consent::{identity_item, nobody};
use crate::error::AppError;

/// An erasure that was carried out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ErasureView {
    /// Its record in the journal.
    pub erasure: ErasureId,
    /// What was erased.
    pub object: Erasable,
    /// Why, as it was recorded.
    pub reason: String,
    /// Who had it erased.
    pub by: String,
    /// When it was recorded, RFC 3339.
    pub recorded_at: String,
    /// Whether it had been recorded before.
    pub repeated: bool,
    /// Consents of the subject that stood and were withdrawn with it.
    pub consents_withdrawn: u64,
}

impl App {
    /// Erases what was asked of a delivery; its receipt, and what the log has of it, stay. Errors: the domain's refusal, also
    /// of who may not; a receipt that this node has not.
    pub async fn erase_request(
        &self,
        actor: &Actor,
        receipt: &ReceiptId,
        reason: &str,
    ) -> Result<ErasureView, AppError> {
        let object = Erasable::Request(receipt.clone());
        self.must_erase(actor, &object, reason).await?;
        if self.receipts.positions_of_receipt(receipt.as_str()).await?.is_empty() {
            return Err(AppError::Invalid(format!(
                "no delivery of this node has the receipt {receipt}; take it from the answer's header `delivery-receipt`, from a \
                 person's uses or from evidence"
            )));
        }
        let erasure = self.recorded_erasure(actor, object, reason).await?;
        self.receipts.erase_request(receipt.as_str(), &erasure.recorded_at).await?;
        Ok(erasure)
    }

    /// Erases who a subject is: his consents that stand are withdrawn for him, and from then on nobody finds him by his
    /// identity. Errors: as [`App::erase_request`]; a subject of whom the vault never had anything.
    pub async fn erase_subject(
        &self,
        actor: &Actor,
        subject: &SubjectId,
        reason: &str,
    ) -> Result<ErasureView, AppError> {
        let object = Erasable::Subject(subject.clone());
        self.must_erase(actor, &object, reason).await?;
        let kept = self.store.vault_get(subject.as_str(), &identity_item(subject)).await?;
        if kept == VaultRead::Unknown {
            return Err(AppError::Invalid(format!(
                "the vault never had a subject {subject}; take his id from the journal, or name him by his identity"
            )));
        }
        let mut erasure = self.recorded_erasure(actor, object, reason).await?;
        if let VaultRead::Present(identity) = kept {
            let identity = Zeroizing::new(String::from_utf8_lossy(&identity).into_owned());
            erasure.consents_withdrawn = self.withdraw_all(&identity).await?;
        }
        self.store.vault_erase(subject.as_str(), &erasure.recorded_at).await?;
        Ok(erasure)
    }

    /// The id of the subject with an identity, such as an id number, for who may erase him. Errors: the domain's refusal; he
    /// never consented at this node, or is erased.
    pub async fn subject_of(&self, actor: &Actor, identity: &str) -> Result<SubjectId, AppError> {
        self.must_erase(actor, &Erasable::Subject(nobody()), "").await?;
        let Some(subject) = self.store.vault_subject(&self.identity_digest(identity)).await? else {
            return Err(AppError::Invalid(
                "nobody is known here by this identity: he never consented at this node, or is erased already; look for the \
                 erasure in the journal and name him by the id that stands there"
                    .to_owned(),
            ));
        };
        subject.parse().map_err(|error| AppError::Fault(format!("{error}")))
    }

    /// Refuses who may not erase, before anything is looked up that would tell him what there is.
    async fn must_erase(&self, actor: &Actor, object: &Erasable, reason: &str) -> Result<(), AppError> {
        self.must_be_exclusive()?;
        self.catch_up().await?;
        Ok(self.must_be_within_duty(actor, &record_of(object.clone(), reason))?)
    }

    /// The record of an erasure: the one that the journal has, else a new one.
    async fn recorded_erasure(&self, actor: &Actor, object: Erasable, reason: &str) -> Result<ErasureView, AppError> {
        let before = self.erasure_of(&object);
        if let Some(before) = before {
            return Ok(ErasureView { repeated: true, ..before });
        }
        let command = record_of(object.clone(), reason);
        self.carry_out(actor, &command, CommandOptions::default(), Extras::default()).await?;
        self.erasure_of(&object).ok_or_else(|| AppError::Fault("an erasure was recorded without an event".to_owned()))
    }

    fn erasure_of(&self, object: &Erasable) -> Option<ErasureView> {
        self.read(|state| {
            let recorded = erasure::of(state, object)?;
            Some(ErasureView {
                erasure: recorded.value.id.clone(),
                object: object.clone(),
                reason: recorded.value.reason.clone(),
                by: recorded.value.by.to_string(),
                recorded_at: recorded.created_at.to_string(),
                repeated: false,
                consents_withdrawn: 0,
            })
        })
    }

    /// Withdraws the consents of a subject that stand; answers how many.
    async fn withdraw_all(&self, identity: &str) -> Result<u64, AppError> {
        let mut withdrawn = 0;
        for consent in self.consents_of(identity).await? {
            if !consent.is_withdrawn {
                self.withdraw_consent(identity, consent.named).await?;
                withdrawn += 1;
            }
        }
        Ok(withdrawn)
    }
}

fn record_of(object: Erasable, reason: &str) -> Command {
    Command::RecordErasure { object, reason: reason.to_owned() }
}
