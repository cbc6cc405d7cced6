//! What a use of an order debits: an account for each unit that its quota limits, over the whole term and over the day.
//!
//! Calls and data sets are reserved before a question is answered and settled when it was; rows, bytes and subjects are
//! debited as an answer is about to leave, so that nothing leaves that was not debited. Receipts tell afterwards what was
//! used; distinct subjects alone are counted in rows of their own, since no receipt can tell who was new.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Mutex, PoisonError};

use jiff::civil::Date;
use lingqu_crypto::IndexKey;
use lingqu_domain::calendar::day_of;
use lingqu_domain::id::OrderId;
use lingqu_domain::order::{Quota, QuotaUnit};
use lingqu_engine::product::Product;
use lingqu_store::quota::{CHUNK_MAX, Debit, QuotaError, SUBJECTS_AT_ONCE_MAX, SubjectAccount, SubjectDigest};
use roaring::RoaringTreemap;

use crate::app::App;
use crate::error::AppError;
use crate::serving::Serving;

/// The largest chunk of one lease of rows.
const CHUNK_ROWS_MAX: u64 = 100_000;
/// The largest chunk of one lease of bytes.
const CHUNK_BYTES_MAX: u64 = 64 << 20;
/// Subjects of which it is remembered that they were counted; beyond that the memory starts afresh.
const REMEMBERED_MAX: usize = 1_000_000;

/// What is used at a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Use {
    /// Calls.
    pub calls: u64,
    /// Data sets.
    pub data_sets: u64,
    /// Rows of answers.
    pub rows: u64,
    /// Bytes of answers.
    pub bytes: u64,
}

impl Use {
    fn amount(&self, unit: QuotaUnit) -> u64 {
        match unit {
            QuotaUnit::Calls => self.calls,
            QuotaUnit::DataSets => self.data_sets,
            QuotaUnit::Rows => self.rows,
            QuotaUnit::Bytes => self.bytes,
            // They are counted, not added up.
            QuotaUnit::Subjects => 0,
        }
    }
}

/// A quota account of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotaPlace {
    /// What it counts.
    pub unit: QuotaUnit,
    /// The day that it is for; none: the whole term.
    pub day: Option<Date>,
    /// Its name.
    pub account: String,
    /// Its limit.
    pub limit: u64,
}

/// The name of an order's account.
pub(crate) fn quota_account(order: &OrderId, unit: QuotaUnit, day: Option<Date>) -> String {
    match day {
        None => format!("{order}/{}", unit.code()),
        Some(day) => format!("{order}/{}/{day}", unit.code()),
    }
}

/// Order, unit and day of an account's name.
pub(crate) fn parts_of(account: &str) -> Option<(OrderId, QuotaUnit, Option<Date>)> {
    let (order, rest) = account.split_once('/')?;
    let (unit, day) = match rest.split_once('/') {
        Some((unit, day)) => (unit, Some(day.parse().ok()?)),
        None => (rest, None),
    };
    let unit = QuotaUnit::ALL.into_iter().find(|known| known.code() == unit)?;
    Some((order.parse().ok()?, unit, day))
}

/// The limit of an account of an order with this quota; none where the quota has none.
pub(crate) fn limit_of(quota: &Quota, unit: QuotaUnit, day: Option<Date>) -> Option<u64> {
    if day.is_some() { quota.limit_per_day(unit) } else { quota.limit(unit) }
}

impl App {
    /// The day on which a delivery counts that begins now; none where the order has no quota per day.
    pub fn quota_day(&self, serving: &Serving) -> Option<Date> {
        serving.grant.quota.per_day.is_some().then(|| day_of(self.now()))
    }

    /// The accounts of an order, with those of a day.
    pub fn quota_places(&self, serving: &Serving, day: Option<Date>) -> Vec<QuotaPlace> {
        let (order, quota) = (&serving.grant.order, &serving.grant.quota);
        let mut places = Vec::new();
        for unit in QuotaUnit::ALL {
            let periods: &[Option<Date>] = if day.is_some() { &[None, day] } else { &[None] };
            for day in periods {
                if let Some(limit) = limit_of(quota, unit, *day) {
                    places.push(QuotaPlace { unit, day: *day, account: quota_account(order, unit, *day), limit });
                }
            }
        }
        places
    }

    /// The quota accounts that a use of an order debits.
    pub fn quota_debits(&self, serving: &Serving, day: Option<Date>, used: &Use) -> Vec<Debit> {
        let mut debits = Vec::new();
        for QuotaPlace { unit, account, limit, .. } in self.quota_places(serving, day) {
            let amount = used.amount(unit);
            if amount == 0 {
                continue;
            }
            let chunk_max = match unit {
                QuotaUnit::Rows => CHUNK_ROWS_MAX,
                QuotaUnit::Bytes => CHUNK_BYTES_MAX,
                QuotaUnit::Calls | QuotaUnit::DataSets | QuotaUnit::Subjects => CHUNK_MAX,
            };
            debits.push(Debit { account, limit, amount, chunk_max });
        }
        debits
    }

    /// Counts the subjects of rows that are about to leave, where the order's quota limits them. They are counted durably
    /// when this returns. Error: `quota_exceeded`; then nobody was counted.
    pub async fn count_subjects(
        &self,
        serving: &Serving,
        day: Option<Date>,
        rows: &RoaringTreemap,
    ) -> Result<(), AppError> {
        let places = self.quota_places(serving, day).into_iter().filter(|place| place.unit == QuotaUnit::Subjects);
        let places: Vec<QuotaPlace> = places.collect();
        if places.is_empty() || rows.is_empty() {
            return Ok(());
        }
        let subjects = self.row_subjects(serving).await?;
        let mut wanted = subjects.of(rows);
        self.serving.counted.forget_known(&places, &mut wanted);
        if wanted.is_empty() {
            return Ok(());
        }
        let order = &serving.grant.order;
        let mut accounts = Vec::with_capacity(places.len());
        for place in &places {
            // Accounts of days are named `order/subjects/day`.
            let earlier = place.day.map(|_| format!("{}/", quota_account(order, place.unit, None)));
            accounts.push(SubjectAccount { account: place.account.clone(), limit: place.limit, earlier });
        }
        if wanted.len() > SUBJECTS_AT_ONCE_MAX {
            let limit = places.first().map_or(0, |place| place.limit);
            return Err(QuotaError::Exhausted { account: accounts[0].account.clone(), limit }.into());
        }
        self.store.count_subjects(&accounts, &wanted).await?;
        self.serving.counted.remember(&places, wanted);
        Ok(())
    }

    /// This process's share of the quota accounts.
    pub fn quota(&self) -> &lingqu_store::quota::Quota {
        &self.quota
    }
}

/// The subjects of a product's rows, by digests that are the same in every version of the product.
pub(crate) struct RowSubjects {
    /// Ordinals by row, a list for each subject column.
    ordinals: Vec<Vec<Option<u32>>>,
    digests: Vec<SubjectDigest>,
}

impl RowSubjects {
    /// Reads a product's subjects; not on a thread that serves others.
    pub(crate) fn read(product: &Product, key: &IndexKey) -> Result<RowSubjects, AppError> {
        let mut digests = Vec::new();
        let ordinals = product.row_subjects().map_err(lingqu_engine::EngineError::from)?;
        product
            .visit_subjects(&mut |name| {
                let digest = key.digest("quota subject", name.trim().as_bytes());
                let mut short = SubjectDigest::default();
                short.copy_from_slice(&digest.0[..size_of::<SubjectDigest>()]);
                digests.push(short);
            })
            .map_err(lingqu_engine::EngineError::from)?;
        Ok(RowSubjects { ordinals, digests })
    }

    /// The subjects of some rows.
    fn of(&self, rows: &RoaringTreemap) -> BTreeSet<SubjectDigest> {
        let mut subjects = BTreeSet::new();
        for row in rows.iter().filter_map(|row| usize::try_from(row).ok()) {
            for ordinals in &self.ordinals {
                let ordinal = ordinals.get(row).copied().flatten();
                subjects.extend(ordinal.and_then(|ordinal| self.digests.get(ordinal as usize)));
            }
        }
        subjects
    }
}

/// Subjects who are counted in an account already, as far as this process knows.
#[derive(Default)]
pub(crate) struct CountedSubjects(Mutex<BTreeMap<String, HashSet<SubjectDigest>>>);

impl CountedSubjects {
    /// Leaves out who is counted in every one of some accounts.
    fn forget_known(&self, places: &[QuotaPlace], subjects: &mut BTreeSet<SubjectDigest>) {
        let counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Option<Vec<_>> = places.iter().map(|place| counted.get(&place.account)).collect();
        if let Some(known) = known {
            subjects.retain(|subject| !known.iter().all(|account| account.contains(subject)));
        }
    }

    fn remember(&self, places: &[QuotaPlace], subjects: BTreeSet<SubjectDigest>) {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered: usize = counted.values().map(HashSet::len).sum();
        if remembered + subjects.len() * places.len() > REMEMBERED_MAX {
            counted.clear();
        }
        for place in places {
            counted.entry(place.account.clone()).or_default().extend(&subjects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_again_by_its_name() {
        let order: OrderId = format!("ord_{}", "a".repeat(32)).parse().unwrap();
        let day = jiff::civil::date(2026, 11, 28);
        for unit in QuotaUnit::ALL {
            for day in [None, Some(day)] {
                let account = quota_account(&order, unit, day);
                assert_eq!(parts_of(&account), Some((order.clone(), unit, day)), "{account}");
            }
        }
        for other in ["ord_1/calls", "calls", &format!("{order}/other"), &format!("{order}/calls/today")] {
            assert_eq!(parts_of(other), None, "{other}");
        }
    }
}
