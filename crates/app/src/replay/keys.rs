//! Service keys and quota accounts in a replay, as far as journal and receipts determine them.

use std::collections::BTreeMap;

use lingqu_domain::event::{Event, Recorded};
use lingqu_domain::order::{OrderEvent, QuotaUnit};
use lingqu_store::journal::Record;
use lingqu_store::snapshot::Snapshot;

use super::ReplayReport;
use super::receipts::Used;
use crate::abandoned::owed;
use crate::app::App;
use crate::error::AppError;
use crate::quota::{limit_of_account, parts_of};

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
            | OrderEvent::MarkKeysCommitted { .. }
            | OrderEvent::MarkKeysRenewed { .. }
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
    /// Compares the quota accounts with the quotas of orders and of the links above them, and with what the receipts come to. `used` was counted before:
    /// an account with its leases never holds less than the receipts written until it is read.
    pub(super) async fn compare_quota(&self, used: &Used, report: &mut ReplayReport) -> Result<(), AppError> {
        const TABLE: &str = "quota_account";
        let view = self.store.snapshot().await?;
        let mut owed = self.read(|state| owed(state, used));
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
                // Those of days are forgotten.
                if let Some((_, QuotaUnit::Subjects, None)) = parts_of(&account.account) {
                    let counted = view.counted_subjects(&account.account).await?;
                    if counted != account.used {
                        let problem = format!("it holds {} and counts {counted} subjects", account.used);
                        report.add(TABLE, &account.account, problem);
                    }
                }
                match self.read(|state| limit_of_account(state, &account.account)) {
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
}
