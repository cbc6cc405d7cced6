//! Consents of subjects: who a subject is stands sealed in the vault; the journal has his id, which the vault's blind
//! index finds by a keyed digest of his identity.
//!
//! A consent is given by its subject alone: before a front end that is built into the node, or before a user of a consent
//! agent, whom the journal names ([`TakenBy`]). Many that were given in the same words are recorded together by
//! [`App::give_consents`]; each subject withdraws and narrows his own of them as he does one that stands by itself. What
//! they come to for deliveries is kept in the `index`.

mod consumers;
mod held;
mod index;
mod live;
mod subjects;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use lingqu_crypto::{IndexKey, KeyedDigest};
use lingqu_domain::access::Actor;
use lingqu_domain::command::Command;
use lingqu_domain::consent::{ConsentDetails, ConsentLimits};
use lingqu_domain::consent_batch::{MEMBERS_MAX, members_digest};
use lingqu_domain::id::{BadId, CommandId, ConsentBatchId, ConsentId, IdSource, SubjectId, UserId};
use lingqu_domain::refusal::Refusal;
use lingqu_store::StoreError;
use lingqu_store::row::{PAGE_ROWS_MAX, RowFilter};
use lingqu_store::vault::VaultItem;
use zeroize::Zeroizing;

use crate::app::App;
use crate::command::{CommandOptions, Executed, Extras, NewConsenting};
use crate::error::AppError;
use crate::identity::made;
use crate::keys::random;

pub(crate) use consumers::ConsentIndex;
pub(crate) use held::{HeldConsents, Wanted};
pub(crate) use index::Epoch;
pub(crate) use live::LiveIdentities;
pub(crate) use subjects::{ProductSubjects, ServedSubjects};

/// Kind of the vault item that holds a subject's identity.
const IDENTITY_KIND: &str = "identity";
/// How often a consent is recorded anew when its subject consented for the first time elsewhere in the same moment.
const ATTEMPTS_MAX: usize = 4;
/// What the store says then.
const KNOWN_MEANWHILE: &str = "vault_index_digest_unique";

/// Names one subject's consent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsentRef {
    /// One that stands by itself.
    Single(ConsentId),
    /// One of a batch.
    Member {
        /// The batch.
        batch: ConsentBatchId,
        /// The place in it, from 0.
        member: u32,
    },
}

impl From<&ConsentId> for ConsentRef {
    fn from(id: &ConsentId) -> Self {
        ConsentRef::Single(id.clone())
    }
}

impl From<&ConsentRef> for ConsentRef {
    fn from(named: &ConsentRef) -> Self {
        named.clone()
    }
}

impl fmt::Display for ConsentRef {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConsentRef::Single(id) => id.fmt(formatter),
            ConsentRef::Member { batch, member } => write!(formatter, "{batch}/{member}"),
        }
    }
}

impl FromStr for ConsentRef {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let Some((batch, member)) = text.split_once('/') else { return text.parse().map(ConsentRef::Single) };
        let batch = batch.parse()?;
        match member.parse::<u32>() {
            Ok(number) if number.to_string() == member => Ok(ConsentRef::Member { batch, member: number }),
            _ => Err(BadId { text: text.to_owned(), prefix: ConsentBatchId::PREFIX }),
        }
    }
}

/// A consent as its subject sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectConsent {
    /// How it is named.
    pub named: ConsentRef,
    /// What it permits.
    pub details: ConsentDetails,
    /// When it was given.
    pub given_at: Timestamp,
    /// Whether it was withdrawn, or lives on as a narrower one.
    pub is_withdrawn: bool,
}

/// Before whom subjects act, and how their commands are given.
#[derive(Clone, Debug, Default)]
pub struct TakenBy {
    /// The user of a consent agent who has authenticated them; none: a front end that is built into the node has.
    pub user: Option<UserId>,
    /// The same key with the same command is carried out once.
    pub options: CommandOptions,
}

impl TakenBy {
    fn subject(&self, subject: SubjectId) -> Actor {
        match &self.user {
            Some(user) => Actor::SubjectBefore { subject, user: user.clone() },
            None => Actor::Subject(subject),
        }
    }

    fn of_batch(&self) -> Actor {
        self.user.clone().map_or(Actor::Node, Actor::User)
    }
}

impl App {
    /// Gives a consent for the subject with an identity (such as an id number) that the caller has authenticated.
    pub async fn give_consent(&self, identity: &str, details: ConsentDetails) -> Result<ConsentId, AppError> {
        self.take_consent(TakenBy::default(), identity, details).await
    }

    /// The same, before somebody.
    pub async fn take_consent(
        &self,
        taken_by: TakenBy,
        identity: &str,
        details: ConsentDetails,
    ) -> Result<ConsentId, AppError> {
        self.must_take_consents(&taken_by)?;
        let command = Command::GiveConsent { details: Box::new(details) };
        let identities = [identity];
        let given = |subjects: &[SubjectId]| (taken_by.subject(subjects[0].clone()), command.clone(), false);
        let executed = self.for_subjects(&identities, &taken_by.options, given).await?;
        made(&executed, "consent.given")
    }

    /// Refuses a user who takes no consents, before anything is looked up: what is found would tell him who consented.
    /// Error: `not_permitted`.
    pub fn must_take_consents(&self, taken_by: &TakenBy) -> Result<(), Refusal> {
        if taken_by.user.is_none() {
            return Ok(());
        }
        let (subject, consent) = (nobody(), no_consent());
        self.must_be_within_duty(&taken_by.subject(subject), &Command::WithdrawConsent { consent })
    }

    /// Gives consents in the same words for 1 to [`MEMBERS_MAX`] subjects whom the caller has authenticated, each of whom
    /// has given it himself. All of them or none. Answers their names in the order of the identities.
    pub async fn give_consents(
        &self,
        identities: &[&str],
        details: ConsentDetails,
    ) -> Result<Vec<ConsentRef>, AppError> {
        self.take_consents(TakenBy::default(), identities, details).await
    }

    /// The same, before somebody.
    pub async fn take_consents(
        &self,
        taken_by: TakenBy,
        identities: &[&str],
        details: ConsentDetails,
    ) -> Result<Vec<ConsentRef>, AppError> {
        self.must_take_consents(&taken_by)?;
        let digests: BTreeSet<KeyedDigest> = identities.iter().map(|identity| self.identity_digest(identity)).collect();
        let count = u32::try_from(identities.len()).ok().filter(|count| (1..=MEMBERS_MAX).contains(count));
        let Some(count) = count.filter(|_| digests.len() == identities.len()) else {
            return Err(AppError::Invalid(format!(
                "a batch has the consents of 1 to {MEMBERS_MAX} subjects, one of each; send {} in several",
                identities.len()
            )));
        };
        let details = Box::new(details);
        let recorded = |subjects: &[SubjectId]| {
            let digest = members_digest(subjects).to_string();
            (taken_by.of_batch(), Command::RecordConsents { details: details.clone(), count, digest }, true)
        };
        let executed = self.for_subjects(identities, &taken_by.options, recorded).await?;
        let batch: ConsentBatchId = made(&executed, "consent_batch.recorded")?;
        Ok((0..count).map(|member| ConsentRef::Member { batch: batch.clone(), member }).collect())
    }

    /// Withdraws a consent for the subject with an identity that the caller has authenticated.
    pub async fn withdraw_consent(&self, identity: &str, consent: impl Into<ConsentRef>) -> Result<(), AppError> {
        self.take_withdrawal(TakenBy::default(), identity, consent).await
    }

    /// The same, before somebody.
    pub async fn take_withdrawal(
        &self,
        taken_by: TakenBy,
        identity: &str,
        consent: impl Into<ConsentRef>,
    ) -> Result<(), AppError> {
        self.must_take_consents(&taken_by)?;
        let named = consent.into();
        let subject = self.owner(identity, &named).await?;
        let command = match named {
            ConsentRef::Single(consent) => Command::WithdrawConsent { consent },
            ConsentRef::Member { batch, member } => Command::WithdrawBatchedConsent { batch, member },
        };
        self.carry_out(&taken_by.subject(subject), &command, taken_by.options, Extras::default()).await?;
        Ok(())
    }

    /// Narrows a consent for the subject with an identity that the caller has authenticated. Answers the name by which what
    /// is left goes on.
    pub async fn narrow_consent(
        &self,
        identity: &str,
        consent: impl Into<ConsentRef>,
        limits: ConsentLimits,
    ) -> Result<ConsentRef, AppError> {
        self.take_narrowing(TakenBy::default(), identity, consent, limits).await
    }

    /// The same, before somebody.
    pub async fn take_narrowing(
        &self,
        taken_by: TakenBy,
        identity: &str,
        consent: impl Into<ConsentRef>,
        limits: ConsentLimits,
    ) -> Result<ConsentRef, AppError> {
        self.must_take_consents(&taken_by)?;
        let named = consent.into();
        let subject = self.owner(identity, &named).await?;
        let limits = Box::new(limits);
        let command = match named.clone() {
            ConsentRef::Single(consent) => Command::NarrowConsent { consent, limits },
            ConsentRef::Member { batch, member } => Command::NarrowBatchedConsent { batch, member, limits },
        };
        let actor = taken_by.subject(subject);
        let executed = self.carry_out(&actor, &command, taken_by.options, Extras::default()).await?;
        match named {
            ConsentRef::Single(_) => Ok(named),
            ConsentRef::Member { .. } => made(&executed, "consent.given").map(ConsentRef::Single),
        }
    }

    /// The consents of the subject with an identity that the caller has authenticated, withdrawn ones among them: those of
    /// batches first, at most [`lingqu_store::consent::PLACES_MAX`], then those that stand by themselves.
    pub async fn consents_of(&self, identity: &str) -> Result<Vec<SubjectConsent>, AppError> {
        let Some(subject) = self.store.vault_subject(&self.identity_digest(identity)).await? else {
            return Ok(Vec::new());
        };
        let mut consents = Vec::new();
        for (batch, member) in self.store.consent_places(&subject).await? {
            let batch: ConsentBatchId = batch.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
            consents.extend(self.read(|state| {
                let found = &state.consent_batches.get(&batch)?.value;
                Some(SubjectConsent {
                    named: ConsentRef::Member { batch: batch.clone(), member },
                    details: found.details.clone(),
                    given_at: found.given_at,
                    is_withdrawn: found.withdrawn.contains(&member),
                })
            }));
        }
        let mut after = None;
        loop {
            let filter =
                RowFilter { owner: Some(subject.clone()), after, limit: PAGE_ROWS_MAX, ..RowFilter::default() };
            let page = self.store.rows("consent", &filter).await?;
            let Some(last) = page.last() else { return Ok(consents) };
            after = Some(last.id.clone());
            for row in page {
                let id: ConsentId = row.id.parse().map_err(|error| AppError::Fault(format!("{error}")))?;
                consents.extend(self.read(|state| {
                    let found = &state.consents.get(&id)?.value;
                    Some(SubjectConsent {
                        named: ConsentRef::Single(id.clone()),
                        details: found.details.clone(),
                        given_at: found.given_at,
                        is_withdrawn: found.withdrawn_at.is_some(),
                    })
                }));
            }
        }
    }

    /// The same, for somebody before whom the subject is. That he looked is in the log, and not at whom.
    pub async fn read_consents(&self, taken_by: &TakenBy, identity: &str) -> Result<Vec<SubjectConsent>, AppError> {
        self.must_take_consents(taken_by)?;
        if let Some(user) = &taken_by.user {
            tracing::info!(%user, "a consent agent reads a person's consents");
        }
        self.consents_of(identity).await
    }

    /// The subject with an identity, whose consent this is. Whether another's consent exists is nobody's business.
    async fn owner(&self, identity: &str, named: &ConsentRef) -> Result<SubjectId, AppError> {
        let Some(subject) = self.store.vault_subject(&self.identity_digest(identity)).await? else {
            return Err(Refusal::not_found(named).into());
        };
        if let ConsentRef::Member { batch, member } = named
            && self.store.consent_place(batch.as_str(), &subject).await? != Some(*member)
        {
            return Err(Refusal::not_found(named).into());
        }
        subject.parse().map_err(|error| AppError::Fault(format!("{error}")))
    }

    /// Carries out a command by which subjects consent; those who never did get an id, and their identities go to the vault.
    /// `command` is told their ids in the order of the identities, and says whether they are the members of a batch.
    async fn for_subjects(
        &self,
        identities: &[&str],
        options: &CommandOptions,
        command: impl Fn(&[SubjectId]) -> (Actor, Command, bool),
    ) -> Result<Executed, AppError> {
        let digests: Vec<KeyedDigest> = identities.iter().map(|identity| self.identity_digest(identity)).collect();
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            attempts_left -= 1;
            let known = self.store.vault_subjects(&digests).await?;
            let now = self.clock.now();
            let mut ids = IdSource::new(CommandId::of_random(now, random()?), now);
            let (mut subjects, mut vault) = (Vec::with_capacity(digests.len()), Vec::new());
            for (digest, identity) in digests.iter().zip(identities) {
                if let Some(subject) = known.get(digest) {
                    subjects.push(subject.parse().map_err(|error| AppError::Fault(format!("{error}")))?);
                    continue;
                }
                let subject = SubjectId::next(&mut ids);
                vault.push(VaultItem {
                    id: identity_item(&subject),
                    subject: subject.to_string(),
                    kind: IDENTITY_KIND.to_owned(),
                    plaintext: Zeroizing::new(identity.as_bytes().to_vec()),
                    index: Some(*digest),
                });
                subjects.push(subject);
            }
            let (actor, command, is_batch) = command(&subjects);
            let consenting = NewConsenting { subjects: subjects.iter().map(ToString::to_string).collect(), is_batch };
            let extras = Extras { vault, consenting: Some(consenting), ..Extras::default() };
            match self.carry_out(&actor, &command, options.clone(), extras).await {
                Err(AppError::Store(StoreError::Constraint { name, .. }))
                    if name == KNOWN_MEANWHILE && attempts_left > 0 => {}
                carried_out => return carried_out,
            }
        }
    }

    pub(crate) fn identity_digest(&self, identity: &str) -> KeyedDigest {
        identity_digest(&self.keys.identity, identity)
    }
}

/// The subject as whom is tried whether somebody takes consents, or may erase a subject.
pub(crate) fn nobody() -> SubjectId {
    "sub_00000000000000000000000000000000".parse().expect("32 hexadecimal digits after the prefix")
}

/// His consent.
fn no_consent() -> ConsentId {
    "cst_00000000000000000000000000000000".parse().expect("32 hexadecimal digits after the prefix")
}

/// The digest by which the blind index finds an identity.
pub(crate) fn identity_digest(key: &IndexKey, identity: &str) -> KeyedDigest {
    key.digest("subject identity", identity.trim().as_bytes())
}

pub(crate) fn identity_item(subject: &SubjectId) -> String {
    format!("{subject}/{IDENTITY_KIND}")
}
