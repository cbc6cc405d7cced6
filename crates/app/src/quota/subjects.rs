//! Distinct subjects of a delivery: reserved before an answer about them leaves, settled by what its records say.
//!
//! A delivery holds whom it counts ([`App::hold_subjects`]) until a durable record lets an answer about them out; then they are used
//! for good, and this process need not ask for them again. Of a delivery that let nothing out they come back at once. What the records
//! of a dead process's deliveries say settles the rest ([`App::settle_held_subjects`]).
//!
//! That they are used for good changes no account, so it is written with the next that are counted, or by [`App::flush_subjects`].

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::civil::Date;
use lingqu_domain::id::ReceiptId;
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::receipt::{Outcome, ReceiptBody, Totals};
use lingqu_domain::refusal::Refusal;
use lingqu_store::quota::{Holder, QuotaError, SUBJECTS_AT_ONCE_MAX, SubjectAccount, SubjectDigest, SubjectSettlement};
use lingqu_store::receipt::READ_LIMIT_MAX;
use roaring::RoaringTreemap;

use super::{QuotaPlace, parts_of, places_of, quota_account};
use crate::app::App;
use crate::error::AppError;
use crate::receipts::parse;
use crate::serving::Serving;

/// Subjects of whom it is remembered that they are used for good; beyond that the memory starts afresh.
const REMEMBERED_MAX: usize = 1_000_000;
/// Subjects that a delivery remembers to hold; beyond that it asks the database again.
const HELD_REMEMBERED_MAX: usize = 100_000;
/// Deliveries of which it is not written yet what became of whom they held. What of more is forgotten is settled by their records
/// when this process has ended; until then those subjects count.
const UNSETTLED_MAX: usize = 10_000;

/// What a delivery holds of quotas of subjects.
pub struct HeldSubjects {
    receipt: ReceiptId,
    process: Option<String>,
    /// The accounts that it debits; none where no quota counts subjects.
    places: Vec<QuotaPlace>,
    /// Whether anybody may be held by it.
    is_holding: AtomicBool,
    /// Whom it holds and has not let out yet, as far as it remembers.
    held: Mutex<BTreeSet<SubjectDigest>>,
}

impl std::fmt::Debug for HeldSubjects {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("HeldSubjects").field("receipt", &self.receipt).finish_non_exhaustive()
    }
}

impl HeldSubjects {
    /// Whether anybody may be held by it.
    pub fn is_holding(&self) -> bool {
        self.is_holding.load(Ordering::SeqCst)
    }

    /// Whether a quota counts the subjects of the delivery.
    pub fn is_counted(&self) -> bool {
        !self.places.is_empty()
    }

    /// Forgets whom it holds: not all of them will leave.
    pub fn forget(&self) {
        self.held().clear();
    }

    fn held(&self) -> MutexGuard<'_, BTreeSet<SubjectDigest>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> Vec<SubjectAccount> {
        let account = |place: &QuotaPlace| SubjectAccount {
            account: place.account.clone(),
            limit: place.limit,
            over: place.day.and_then(|day| days_over(place, day)),
        };
        self.places.iter().map(account).collect()
    }
}

/// The accounts of the same owner's days that are over, and of which no delivery is open: all before the day before.
fn days_over(place: &QuotaPlace, day: Date) -> Option<std::ops::Range<String>> {
    let (owner, unit, _) = parts_of(&place.account)?;
    // Accounts of days are named `owner/subjects/day`.
    let first = format!("{}/", quota_account(owner, unit, None));
    Some(first..quota_account(owner, unit, Some(day.yesterday().ok()?)))
}

/// Whether a delivery that ended so let anything out.
pub fn lets_out(outcome: &Outcome, totals: &Totals) -> bool {
    *outcome == Outcome::Delivered || totals.answer_rows > 0 || totals.bytes > 0
}

impl App {
    /// What a delivery that begins holds of quotas of subjects: nobody yet.
    pub fn held_subjects(
        &self,
        serving: &Serving,
        day: Option<Date>,
        receipt: &ReceiptId,
        process: Option<&str>,
    ) -> HeldSubjects {
        HeldSubjects {
            receipt: receipt.clone(),
            process: process.map(str::to_owned),
            places: places_of(serving, day, |unit| unit == QuotaUnit::Subjects),
            is_holding: AtomicBool::new(false),
            held: Mutex::default(),
        }
    }

    /// Reserves the subjects of rows that are about to leave with a part of a delivery, where a quota limits them. They are counted
    /// durably when this returns. Error: `quota_exceeded`; then nobody more was counted.
    pub async fn hold_subjects(
        &self,
        serving: &Serving,
        held: &HeldSubjects,
        part: u64,
        rows: &RoaringTreemap,
    ) -> Result<(), AppError> {
        let Some(first) = held.places.first().filter(|_| !rows.is_empty()) else { return Ok(()) };
        if serving.details.subject.is_none() {
            // Nobody would be counted, and the limit be none.
            return Err(Refusal::invalid(
                "quota",
                "产品未指明主体字段，不能按主体数限额",
                "the product names no subject, so a quota of subjects above it can't be kept; draft it with its subject column",
            )
            .into());
        }
        let counted = &self.serving.counted;
        let mut wanted = self.subjects_of_rows(serving, rows).await?;
        counted.leave_out_used(&held.places, &mut wanted);
        {
            let held = held.held();
            wanted.retain(|subject| !held.contains(subject));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        if wanted.len() > SUBJECTS_AT_ONCE_MAX {
            return Err(QuotaError::Exhausted { account: first.account.clone(), limit: first.limit }.into());
        }
        let holder = Holder { receipt: held.receipt.to_string(), process: held.process.clone(), part };
        let settlements = counted.unsettled();
        // Before it is known: whoever stops waiting for it may leave some behind.
        held.is_holding.store(true, Ordering::SeqCst);
        let told = self.store.hold_subjects(&holder, &settlements, &held.accounts(), &wanted).await;
        if matches!(told, Ok(()) | Err(QuotaError::Exhausted { .. })) {
            counted.settled(&settlements);
        }
        told?;
        let mut held = held.held();
        if held.len() + wanted.len() <= HELD_REMEMBERED_MAX {
            held.append(&mut wanted);
        }
        Ok(())
    }

    /// The first `parts` of a delivery are durable and let something out: whom it holds for them is used for good.
    pub fn subjects_let_out(&self, held: &HeldSubjects, parts: u64) {
        self.note_subjects(held, parts, false);
    }

    /// A delivery has ended, durably. Whom it holds for its first `parts` is used for good; the others have come back when this
    /// returns.
    pub async fn end_subjects(&self, held: &HeldSubjects, parts: u64) {
        if !held.is_holding() {
            return;
        }
        self.note_subjects(held, parts, true);
        if parts > 0 {
            return;
        }
        if let Err(error) = self.flush_subjects().await {
            tracing::warn!(receipt = %held.receipt, %error, "subjects whose answer did not leave come back later");
        }
    }

    fn note_subjects(&self, held: &HeldSubjects, parts: u64, is_ended: bool) {
        if !held.is_holding() {
            return;
        }
        let subjects = std::mem::take(&mut *held.held());
        let counted = &self.serving.counted;
        if parts > 0 {
            counted.remember(&held.places, &subjects);
        }
        counted.note(SubjectSettlement { receipt: held.receipt.to_string(), parts, is_ended });
    }

    /// Writes what became of subjects that deliveries held. A process that serves calls this from time to time, and before it ends.
    pub async fn flush_subjects(&self) -> Result<(), AppError> {
        let counted = &self.serving.counted;
        let settlements = counted.unsettled();
        if settlements.is_empty() {
            return Ok(());
        }
        self.store.settle_subjects(&settlements).await?;
        counted.settled(&settlements);
        Ok(())
    }

    /// Settles whom deliveries of a dead process hold, by their records: all of these are closed, and there will be no more. None:
    /// of the processes that were before this one, where a node has one at a time.
    pub(crate) async fn settle_held_subjects(&self, process: Option<&str>) -> Result<(), AppError> {
        loop {
            let holders = self.store.holders(process).await?;
            if holders.is_empty() {
                return Ok(());
            }
            // Each of them holds nobody afterwards, so this comes to an end.
            let settlements = self.settlements_of(holders).await?;
            self.store.settle_subjects(&settlements).await?;
        }
    }

    /// What the records of deliveries that have ended say of whom they held. One without a record let nothing out.
    async fn settlements_of(&self, receipts: Vec<String>) -> Result<Vec<SubjectSettlement>, AppError> {
        let mut first: Option<u64> = None;
        for receipt in &receipts {
            let begun = self.receipts.positions_of_receipt_kinds(receipt, &["opened", "single"]).await?;
            first = first.into_iter().chain(begun).min();
        }
        let mut told: BTreeMap<String, Told> = receipts.into_iter().map(|receipt| (receipt, Told::default())).collect();
        let mut position = first.map(|first| first.saturating_sub(1));
        while let Some(after) = position {
            let records = self.receipts.read_after(after, READ_LIMIT_MAX).await?;
            position = records.last().map(|last| last.position);
            for record in &records {
                if let Some(told) = told.get_mut(&record.receipt.receipt_id) {
                    told.add(&parse(record)?.body);
                }
            }
        }
        let settlement = |(receipt, told): (String, Told)| SubjectSettlement {
            receipt,
            parts: if told.lets_out { told.parts } else { 0 },
            is_ended: true,
        };
        Ok(told.into_iter().map(settlement).collect())
    }
}

/// What the records of a delivery say.
#[derive(Default)]
struct Told {
    parts: u64,
    lets_out: bool,
}

impl Told {
    fn add(&mut self, body: &ReceiptBody) {
        match body {
            ReceiptBody::Opened(_) => {}
            ReceiptBody::Part { .. } => self.parts += 1,
            ReceiptBody::Single { .. } => (self.parts, self.lets_out) = (1, true),
            ReceiptBody::Closed { outcome, totals } => self.lets_out |= lets_out(outcome, totals),
        }
    }
}

/// Subjects who are used for good in an account, as far as this process knows, and deliveries of which it is not written yet what
/// became of whom they held.
#[derive(Default)]
pub(crate) struct CountedSubjects {
    used: Mutex<BTreeMap<String, HashSet<SubjectDigest>>>,
    unsettled: Mutex<BTreeMap<String, SubjectSettlement>>,
}

impl CountedSubjects {
    /// Leaves out who is used for good in every one of some accounts.
    fn leave_out_used(&self, places: &[QuotaPlace], subjects: &mut BTreeSet<SubjectDigest>) {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let known: Option<Vec<_>> = places.iter().map(|place| used.get(&place.account)).collect();
        if let Some(known) = known {
            subjects.retain(|subject| !known.iter().all(|account| account.contains(subject)));
        }
    }

    fn remember(&self, places: &[QuotaPlace], subjects: &BTreeSet<SubjectDigest>) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered: usize = used.values().map(HashSet::len).sum();
        if remembered + subjects.len() * places.len() > REMEMBERED_MAX {
            used.clear();
        }
        for place in places {
            used.entry(place.account.clone()).or_default().extend(subjects);
        }
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<String, SubjectSettlement>> {
        self.unsettled.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, settlement: SubjectSettlement) {
        let mut unsettled = self.waiting();
        if unsettled.len() < UNSETTLED_MAX || unsettled.contains_key(&settlement.receipt) {
            unsettled.insert(settlement.receipt.clone(), settlement);
        }
    }

    fn unsettled(&self) -> Vec<SubjectSettlement> {
        self.waiting().values().cloned().collect()
    }

    /// Forgets what was written, unless more has become known.
    fn settled(&self, written: &[SubjectSettlement]) {
        let mut unsettled = self.waiting();
        for settlement in written {
            if unsettled.get(&settlement.receipt) == Some(settlement) {
                unsettled.remove(&settlement.receipt);
            }
        }
    }
}
