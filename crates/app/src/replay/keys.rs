//! Service keys, quota accounts and the vault's blind index in a replay, as far as journal and receipts determine them.

use std::collections::{BTreeMap, BTreeSet};

use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::id::{OrderId, SubjectId};
use lingqu_domain::order::OrderEvent;
use lingqu_domain::state::State;
use lingqu_store::StoreError;
use lingqu_store::journal::Record;
use lingqu_store::snapshot::Snapshot;
use lingqu_store::vault::VaultRead;
use zeroize::Zeroizing;

use super::ReplayReport;
use super::receipts::Used;
use crate::app::App;
use crate::consent::identity_item;
use crate::error::AppError;
use crate::serving::quota_account;

/// A service key as the journal has it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    order: String,
    created_at: String,
    revoked_at: Option<String>,
}

/// Every service key that the journal tells of, by the hexadecimal form of its hash.
#[derive(Default)]
pub(super) struct Keys {
    by_hash: BTreeMap<String, Key>,
    /// Hashes by the id of the key.
    ids: BTreeMap<String, String>,
}

impl Keys {
    /// Follows an event.
    pub(super) fn fold(&mut self, record: &Record, recorded: &Recorded) {
        let Event::Order(event) = &recorded.event else { return };
        match event {
            OrderEvent::KeyIssued { key, hash } => {
                self.ids.insert(key.to_string(), hash.clone());
                let key = Key { order: recorded.stream.clone(), created_at: record.at.clone(), revoked_at: None };
                self.by_hash.insert(hash.clone(), key);
            }
            OrderEvent::KeyRevoked { key } => {
                let revoked = self.ids.get(key.as_str()).and_then(|hash| self.by_hash.get_mut(hash));
                if let Some(revoked) = revoked {
                    revoked.revoked_at.get_or_insert_with(|| record.at.clone());
                }
            }
            OrderEvent::Ended { .. } => {
                for key in self.by_hash.values_mut().filter(|key| key.order == recorded.stream) {
                    key.revoked_at.get_or_insert_with(|| record.at.clone());
                }
            }
            OrderEvent::Placed { .. }
            | OrderEvent::Signed { .. }
            | OrderEvent::Activated
            | OrderEvent::Suspended { .. }
            | OrderEvent::Resumed { .. } => {}
        }
    }

    /// Compares the table of service keys.
    pub(super) async fn compare(mut self, view: &Snapshot, report: &mut ReplayReport) -> Result<(), AppError> {
        const TABLE: &str = "service_key";
        let mut after = None;
        loop {
            let page = view.service_keys(after.as_ref()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.hash);
            for stored in page {
                report.service_keys += 1;
                let hash = hex::encode(stored.hash);
                let Some(key) = self.by_hash.remove(&hash) else {
                    report.add(TABLE, &hash, "the journal issued no such key");
                    continue;
                };
                for (column, is_same) in [
                    ("order_id", stored.order_id == key.order),
                    ("created_at", stored.created_at == key.created_at),
                    ("revoked_at", stored.revoked_at == key.revoked_at),
                ] {
                    if !is_same {
                        report.add(TABLE, &hash, format!("{column} is not what the journal leads to"));
                    }
                }
            }
        }
        for (hash, key) in self.by_hash {
            report.add(TABLE, &hash, format!("the row of a key of {} is missing", key.order));
        }
        Ok(())
    }
}

impl App {
    /// Compares the quota accounts with the orders' quotas and with what the receipts come to. `used` was counted before:
    /// an account with its leases never holds less than the receipts written until it is read.
    pub(super) async fn compare_quota(&self, used: &Used, report: &mut ReplayReport) -> Result<(), AppError> {
        const TABLE: &str = "quota_account";
        let view = self.store.snapshot().await?;
        let mut owed: BTreeMap<String, u64> = BTreeMap::new();
        for (order, count) in used {
            for (unit, amount) in [("calls", count.calls()), ("data_sets", count.data_sets())] {
                if amount > 0 {
                    owed.insert(quota_account(order, unit), amount);
                }
            }
        }
        let mut after: Option<String> = None;
        loop {
            let page = view.quota_accounts(after.as_deref()).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.account.clone());
            // Orders are in the journal before anything is used under them.
            self.catch_up().await?;
            for account in page {
                let held = account.used.saturating_add(account.leased);
                let receipts = owed.remove(&account.account).unwrap_or(0);
                if held < receipts {
                    let problem = format!("it holds {held}, and the receipts come to {receipts}");
                    report.add(TABLE, &account.account, problem);
                }
                match self.read(|state| limit_of(state, &account.account)) {
                    None => report.add(TABLE, &account.account, "the journal knows no such order or unit"),
                    Some(limit) if held > limit => {
                        report.add(TABLE, &account.account, format!("it holds {held} of a quota of {limit}"));
                    }
                    Some(_) => {}
                }
            }
        }
        for (account, receipts) in owed {
            report.add(TABLE, &account, format!("the row is missing, and the receipts come to {receipts}"));
        }
        Ok(())
    }

    /// Compares the blind index with the subjects whose consents stand in the journal: each is found by his identity, and
    /// by nothing else, until he is erased. Reports hold his id alone.
    pub(super) async fn compare_vault(
        &self,
        view: &Snapshot,
        state: &State,
        report: &mut ReplayReport,
    ) -> Result<(), AppError> {
        const TABLE: &str = "vault_index";
        let mut expected: BTreeSet<&SubjectId> =
            state.consents.values().map(|consent| &consent.value.subject).collect();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let page = view.vault_index(after.as_deref()).await?;
            let Some((last, _)) = page.last() else { break };
            after = Some(last.clone());
            for (digest, subject) in page {
                let known = subject.parse::<SubjectId>().ok().filter(|subject| expected.contains(subject));
                let Some(known) = known else {
                    report.add(TABLE, &subject, "the journal knows no such subject, or he stands here twice");
                    continue;
                };
                expected.remove(&known);
                if let Some(problem) = self.identity_problem(&known, &digest).await? {
                    report.add(TABLE, &subject, problem);
                }
            }
        }
        for subject in expected {
            let is_erased = matches!(self.identity_of(subject).await?, Ok(VaultRead::Erased { .. }));
            if !is_erased {
                report.add(TABLE, subject.as_str(), "the row is missing: he is not found by his identity");
            }
        }
        Ok(())
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

/// The quota of the order and unit that an account is named after.
fn limit_of(state: &State, account: &str) -> Option<u64> {
    let (order, unit) = account.split_once('/')?;
    let quota = &state.orders.get(&order.parse::<OrderId>().ok()?)?.value.details.quota;
    match unit {
        "calls" => Some(quota.calls),
        "data_sets" => Some(quota.data_sets),
        _ => None,
    }
}
