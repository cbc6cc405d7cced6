//! Consents in a replay: the members of batches against the digests in the journal, the subjects' ordinals, and the vault's
//! blind index by which subjects are found. Reports hold ids and places alone.

use std::collections::BTreeMap;

use lingqu_domain::consent_batch::{ConsentBatch, ConsentBatchEvent, members_digest};
use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::id::SubjectId;
use lingqu_domain::state::State;
use lingqu_store::StoreError;
use lingqu_store::snapshot::Snapshot;
use lingqu_store::vault::VaultRead;
use roaring::RoaringBitmap;
use zeroize::Zeroizing;

use super::ReplayReport;
use crate::app::App;
use crate::consent::identity_item;
use crate::error::AppError;

/// Subjects of consents of their own that are looked up at a time.
const SUBJECTS_AT_ONCE: usize = 10_000;

/// Who withdrew, as the journal has it: by batch and place.
#[derive(Default)]
pub(super) struct Withdrawals(BTreeMap<String, BTreeMap<u32, String>>);

impl Withdrawals {
    /// Follows an event.
    pub(super) fn fold(&mut self, recorded: &Recorded) {
        if let Event::ConsentBatch(ConsentBatchEvent::MemberWithdrawn { member }) = &recorded.event {
            let who = recorded.actor.subject().map_or_else(|| recorded.actor.to_string(), ToString::to_string);
            self.0.entry(recorded.stream.clone()).or_default().insert(*member, who);
        }
    }
}

impl App {
    /// Compares the rows of consents and the blind index with the journal.
    pub(super) async fn compare_consents(
        &self,
        view: &Snapshot,
        state: &State,
        withdrawals: &Withdrawals,
        report: &mut ReplayReport,
    ) -> Result<(), AppError> {
        let mut consented = RoaringBitmap::new();
        for batch in state.consent_batches.values().map(|batch| &batch.value) {
            let withdrawn = withdrawals.0.get(batch.id.as_str());
            compare_batch(view, batch, withdrawn, &mut consented, report).await?;
        }
        let subjects: Vec<String> = state.consents.values().map(|consent| consent.value.subject.to_string()).collect();
        for subjects in subjects.chunks(SUBJECTS_AT_ONCE) {
            let ordinals = view.consent_ordinals(subjects).await?;
            for subject in subjects {
                match ordinals.get(subject) {
                    Some(ordinal) => {
                        consented.insert(*ordinal);
                    }
                    None => report.add("consent_subject", subject, "the row is missing: he consented"),
                }
            }
        }
        let (count, end) = view.consent_subject_count().await?;
        if count != u64::from(end) {
            report.add("consent_subject", "ordinal", format!("{count} subjects have the ordinals below {end}"));
        }
        if consented.len() != count {
            let problem = format!("{count} subjects have ordinals, and {} consented", consented.len());
            report.add("consent_subject", "subject", problem);
        }
        self.compare_vault(view, report).await
    }

    /// Compares the blind index with the subjects who consented: each is found by his identity, and by nothing else, until
    /// he is erased.
    async fn compare_vault(&self, view: &Snapshot, report: &mut ReplayReport) -> Result<(), AppError> {
        const TABLE: &str = "vault_index";
        let mut found = RoaringBitmap::new();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = view.vault_index(after.as_deref()).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            let subjects: Vec<String> = page.iter().map(|(_, subject)| subject.clone()).collect();
            let ordinals = view.consent_ordinals(&subjects).await?;
            for (digest, subject) in page {
                let ordinal = ordinals.get(&subject).filter(|ordinal| found.insert(**ordinal));
                let known = ordinal.and_then(|_| subject.parse::<SubjectId>().ok());
                let Some(known) = known else {
                    report.add(TABLE, &subject, "the journal knows no such subject, or he stands here twice");
                    continue;
                };
                if let Some(problem) = self.identity_problem(&known, &digest).await? {
                    report.add(TABLE, &subject, problem);
                }
            }
        }
        let mut after: Option<String> = None;
        loop {
            let page = view.consent_subjects(after.as_deref()).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(last.clone());
            for (subject, _) in page.into_iter().filter(|(_, ordinal)| !found.contains(*ordinal)) {
                let known = subject.parse::<SubjectId>().ok();
                let is_erased = match &known {
                    Some(known) => matches!(self.identity_of(known).await?, Ok(VaultRead::Erased { .. })),
                    None => false,
                };
                if !is_erased {
                    report.add(TABLE, &subject, "the row is missing: he is not found by his identity");
                }
            }
        }
    }

    async fn identity_problem(&self, subject: &SubjectId, digest: &[u8]) -> Result<Option<&'static str>, AppError> {
        Ok(match self.identity_of(subject).await? {
            Ok(VaultRead::Present(identity)) => {
                let identity = Zeroizing::new(String::from_utf8_lossy(&identity).into_owned());
                let is_same = self.identity_digest(&identity).0[..] == *digest;
                (!is_same).then_some("the digest is not that of his identity")
            }
            // Erased since the view was taken.
            Ok(VaultRead::Erased { .. }) => None,
            Ok(VaultRead::Unknown) => Some("his identity is missing in the vault"),
            Err(()) => Some("his identity in the vault does not open"),
        })
    }

    /// A subject's identity. Error within: it does not open.
    async fn identity_of(&self, subject: &SubjectId) -> Result<Result<VaultRead, ()>, AppError> {
        match self.store.vault_get(subject.as_str(), &identity_item(subject)).await {
            Ok(read) => Ok(Ok(read)),
            Err(StoreError::Sealed { .. }) => Ok(Err(())),
            Err(error) => Err(error.into()),
        }
    }
}

/// Compares the members of a batch with its digest, with the set that deliveries read, and with who withdrew.
async fn compare_batch(
    view: &Snapshot,
    batch: &ConsentBatch,
    withdrawn: Option<&BTreeMap<u32, String>>,
    consented: &mut RoaringBitmap,
    report: &mut ReplayReport,
) -> Result<(), AppError> {
    let id = batch.id.as_str();
    let (mut subjects, mut ordinals) = (Vec::new(), Vec::new());
    loop {
        let page = view.consent_members(id, ordinals.len() as u64).await?;
        if page.is_empty() {
            break;
        }
        for member in page {
            let place = ordinals.len();
            if member.member != place as u64 {
                report.add("consent_row", id, format!("the row of place {place} is missing"));
                return Ok(());
            }
            let by = u32::try_from(place).ok().and_then(|place| withdrawn?.get(&place));
            if by.is_some_and(|by| *by != member.subject) {
                report.add("consent_row", id, format!("another than the member at place {place} withdrew for him"));
            }
            consented.insert(member.ordinal);
            ordinals.push(member.ordinal);
            subjects.extend(member.subject.parse::<SubjectId>());
        }
    }
    report.rows += ordinals.len() as u64;
    if ordinals.len() as u64 != u64::from(batch.count) || members_digest(&subjects).to_string() != batch.digest {
        report.add("consent_row", id, "the members are not those of the digest in the journal");
    }
    let set = match view.consent_set(id).await {
        Ok(set) => set,
        Err(StoreError::Unreadable { .. }) => None,
        Err(error) => return Err(error.into()),
    };
    if set.as_ref() != Some(&ordinals) {
        report.add("consent_set", id, "the set is not that of the members");
    }
    Ok(())
}
