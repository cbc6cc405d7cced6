//! What processes left that died: deliveries without an end, subjects that these held, and leases of quotas. A delivery is closed as
//! interrupted, free of charge; rows, bytes and subjects count as far as its records let them out. A lease is folded back, so that
//! each account holds what the receipts say.
//!
//! Where a node has one process at a time, a start finds everything of the one before. Where it has several, each looks from time
//! to time for one that was not seen for a minute, and whoever comes first takes it for dead; from then on nothing of it is
//! written any more, so its receipts are all that it ever used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use lingqu_domain::id::{OrderId, ReceiptId};
use lingqu_domain::order::QuotaUnit;
use lingqu_domain::receipt::{Outcome, ReceiptBody, ReceiptRecord, Totals};
use lingqu_domain::shared_quota::QuotaLink;
use lingqu_domain::state::State;
use lingqu_store::quota::DeadProcess;
use lingqu_store::receipt::{CLOSED, Fence, READ_LIMIT_MAX};

use crate::app::App;
use crate::error::AppError;
use crate::quota::{accounts_of, parts_of};
use crate::receipts::{parse, stored};
use crate::recount::{Count, INTERRUPTED};

/// How long the end of a process waits for deliveries that nobody waits for to be closed.
const SETTLED_WITHIN: Duration = Duration::from_secs(5);
/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// A delivery without a closing record.
struct Open {
    order: OrderId,
    totals: Totals,
}

/// What the receipts say of a dead process.
#[derive(Default)]
struct Left {
    open: BTreeMap<ReceiptId, Open>,
    /// Its deliveries that are closed.
    closed: BTreeSet<ReceiptId>,
    used: BTreeMap<OrderId, Count>,
}

impl App {
    /// Writes what became of subjects that deliveries held. Where a node has several processes: shows this one to the others, closes
    /// what one left open that died, and folds its leases back. Called several times a minute.
    pub async fn take_up_abandoned(&self) -> Result<(), AppError> {
        self.flush_subjects().await?;
        if self.is_only_writer {
            return Ok(());
        }
        self.quota.show().await?;
        let dead = self.quota.bury().await?;
        if dead.is_empty() {
            return Ok(());
        }
        self.catch_up().await?;
        for (process, left) in self.left_by(&dead).await? {
            let Left { open, mut used, .. } = left;
            for (receipt, Open { order, totals }) in open {
                let body = ReceiptBody::Closed { outcome: Outcome::Stopped { code: INTERRUPTED.to_owned() }, totals };
                let record = self.receipt_record(&receipt, body);
                self.close_once(&order, &record).await?;
                used.entry(order).or_default().add(&record);
            }
            self.settle_held_subjects(Some(&process)).await?;
            let used = self.read(|state| owed(state, &used));
            self.quota.fold(&process, &used).await?;
            tracing::info!(process, "what a dead process left was closed and its leases folded back");
        }
        Ok(())
    }

    /// Writes a closing record unless another process did.
    async fn close_once(&self, order: &OrderId, record: &ReceiptRecord) -> Result<(), AppError> {
        let appending = self.receipts.hand_in_next(stored(order, record), Some(Fence::Open)).await?;
        let Err(error) = appending.durable().await else { return Ok(()) };
        let closings = self.receipts.positions_of_receipt_kinds(record.receipt.as_str(), &[CLOSED]).await?;
        if closings.is_empty() { Err(error.into()) } else { Ok(()) }
    }

    /// What processes left that are dead, each by its name.
    async fn left_by(&self, dead: &[DeadProcess]) -> Result<BTreeMap<String, Left>, AppError> {
        let mut left: BTreeMap<String, Left> =
            dead.iter().map(|dead| (dead.process.clone(), Left::default())).collect();
        let Some(first) = dead.iter().map(|dead| dead.receipts_before).min() else { return Ok(left) };
        // Which of them serves a delivery.
        let mut of: BTreeMap<ReceiptId, String> = BTreeMap::new();
        let mut position = first;
        loop {
            let receipts = self.receipts.read_after(position, READ_LIMIT_MAX).await?;
            let Some(last) = receipts.last() else { return Ok(left) };
            position = last.position;
            for receipt in &receipts {
                let record = parse(receipt)?;
                if let ReceiptBody::Opened(opening) | ReceiptBody::Single { opening, .. } = &record.body {
                    let Some((process, left)) = opening.process.as_ref().and_then(|name| left.get_key_value(name))
                    else {
                        continue;
                    };
                    if left.closed.contains(&record.receipt) {
                        continue;
                    }
                    of.insert(record.receipt.clone(), process.clone());
                }
                if let Some(left) = of.get(&record.receipt).and_then(|process| left.get_mut(process)) {
                    left.add(record);
                }
            }
        }
    }

    /// Folds back quota leases of processes that died, by all that the receipts tell, before this process uses anything itself:
    /// where a node has one process at a time, and of processes of earlier versions.
    pub(crate) async fn reconcile_quota(&self) -> Result<(), AppError> {
        let accounts = self.quota.dead_accounts().await?;
        if accounts.is_empty() {
            return Ok(());
        }
        let counts = self.count(1, self.receipts.head().await? + 1).await?;
        for account in accounts {
            let (mut used, mut is_whole) = (0_u64, true);
            if let Some((owner, unit, day)) = parts_of(&account) {
                let of_owner = |order: &OrderId| self.read(|state| is_debited_by(state, owner, order));
                for (_, count) in counts.iter().filter(|(order, _)| of_owner(order)) {
                    used = used.saturating_add(count.used(unit, day).unwrap_or(0));
                    is_whole &= count.is_whole(unit);
                }
            }
            self.quota.reconcile(&account, used, is_whole).await?;
        }
        Ok(())
    }
}

impl App {
    /// Before the process ends: gives back what was leased, once it is settled what every delivery used. Some may go on for whom
    /// nobody waits any more; of those that don't end soon, and of those whose record could not be written, what they reserved is
    /// not known for certain, so leases stay as after a crash, and the receipts are counted by whoever comes next.
    pub(crate) async fn settle_quota(&self) -> Result<(), AppError> {
        let begun = Instant::now();
        while self.quota.open_uses() > 0 && begun.elapsed() < SETTLED_WITHIN {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.flush_subjects().await?;
        let open = self.quota.open_uses();
        if open > 0 {
            tracing::warn!(
                open,
                "deliveries are cut off by the end of this process; the next start settles their quotas"
            );
            return Ok(());
        }
        if self.quota.is_left_to_receipts() {
            tracing::warn!(
                "a record of a delivery could not be written; the next start settles quotas by the receipts"
            );
            return Ok(());
        }
        Ok(self.quota.give_back().await?)
    }
}

impl Left {
    /// Adds a record of a delivery of the process.
    fn add(&mut self, record: ReceiptRecord) {
        match &record.body {
            ReceiptBody::Opened(opening) => {
                let totals = Totals { day: opening.day, ..Totals::default() };
                self.open.insert(record.receipt, Open { order: opening.order.clone(), totals });
            }
            ReceiptBody::Part { answer_rows, bytes_reserved, rows, .. } => {
                let Some(Open { totals, .. }) = self.open.get_mut(&record.receipt) else { return };
                totals.answer_rows = totals.answer_rows.saturating_add(*answer_rows);
                totals.bytes = totals.bytes.saturating_add(*bytes_reserved);
                totals.rows = totals.rows.saturating_add(*rows);
            }
            ReceiptBody::Single { opening, .. } => self.used.entry(opening.order.clone()).or_default().add(&record),
            ReceiptBody::Closed { .. } => {
                let Some(Open { order, .. }) = self.open.remove(&record.receipt) else { return };
                self.used.entry(order).or_default().add(&record);
                self.closed.insert(record.receipt);
            }
        }
    }
}

/// What orders used, by the accounts that they debit. Subjects are counted in rows of their own.
pub(crate) fn owed(state: &State, used: &BTreeMap<OrderId, Count>) -> BTreeMap<String, u64> {
    let mut owed: BTreeMap<String, u64> = BTreeMap::new();
    for (order, count) in used {
        let periods = std::iter::once(None).chain(count.days().map(Some));
        for (day, unit) in periods.flat_map(|day| QuotaUnit::ALL.map(|unit| (day, unit))) {
            let Some(amount) = count.used(unit, day).filter(|amount| *amount > 0) else { continue };
            for account in accounts_of(state, order, unit, day) {
                let sum = owed.entry(account).or_insert(0);
                *sum = sum.saturating_add(amount);
            }
        }
    }
    owed
}

/// Whether an owner of quota accounts is an order or a link above it.
fn is_debited_by(state: &State, owner: &str, order: &OrderId) -> bool {
    owner == order.as_str() || QuotaLink::above_order(state, order).iter().any(|link| link.owner() == owner)
}
