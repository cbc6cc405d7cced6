//! Quota accounts that are never exceeded. A process leases a chunk of an account durably, spends it in memory, and gives
//! back what it did not spend. A process that dies keeps its lease until another one folds it back with the true use,
//! which the receipts tell.
//!
//! Who is alive: each process shows itself in the database, by the database's clock. A process that has not shown itself
//! for [`RENEW_AFTER`] by its own clocks spends nothing before it did so again, and one unseen for [`DEAD_AFTER`] is taken
//! for dead; the gap between the two is what clocks may differ in speed. One that was taken for dead ([`Quota::bury`]) stays so:
//! when it comes back it is another process.
//!
//! A row keeps of each process what it gave back as used of each account, also when it holds nothing of it any more. So a process
//! whose giving back was cut off knows whether it happened, what it takes back later is found by whoever comes after it, and where
//! several processes serve one node, what a dead one used and nobody counted is what its receipts come to less that, whatever
//! others do meanwhile ([`Quota::fold`]).

mod subject;

use std::cmp::{max, min};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DatabaseTransaction};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::StoreError;
use crate::receipt::head_in_database;
use crate::store::{Backend, Store, WriterLock, from_sql, random, to_sql};
use crate::vault::hex_text;

pub use subject::{HOLDERS_MAX, Holder, SUBJECTS_AT_ONCE_MAX, SubjectAccount, SubjectDigest, SubjectSettlement};

/// After so long without showing itself a process spends nothing until it has.
pub const RENEW_AFTER: Duration = Duration::from_secs(20);
/// After so long unseen a process is taken for dead.
pub const DEAD_AFTER: Duration = Duration::from_secs(60);
/// A lease takes at most this part of what is free, so that one process can't starve the others.
const FREE_SHARE: u64 = 16;
/// The largest chunk of one lease beyond what is needed at once, for things that are counted one by one.
pub const CHUNK_MAX: u64 = 10_000;
/// Most accounts that one use debits.
pub const DEBITS_MAX: usize = 1_024;
/// Most accounts that [`Quota::dead_accounts`] returns.
pub const DEAD_ACCOUNTS_MAX: u64 = 10_000;
/// Most processes that [`Quota::bury`] returns.
pub const DEAD_PROCESSES_MAX: u64 = 1_000;

/// One account's part of a use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Debit {
    /// The account; a period belongs to its name.
    pub account: String,
    /// The account's limit now.
    pub limit: u64,
    /// How much is used.
    pub amount: u64,
    /// The largest chunk of one lease beyond what is needed at once.
    pub chunk_max: u64,
}

/// Why a use was refused or failed. Nothing of a refused use is debited.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// The account has not enough left.
    #[error("the quota {account} of {limit} is used up")]
    Exhausted {
        /// The first account that had too little.
        account: String,
        /// Its limit.
        limit: u64,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// This process's share of the quota accounts.
pub struct Quota {
    store: Store,
    /// The name under which this process is registered.
    process: RwLock<Arc<str>>,
    local: Mutex<Local>,
    /// Uses of which it is not settled yet what they come to.
    open: Arc<AtomicU64>,
    /// Whether there was one of which that is not to be known here.
    is_unsettled: AtomicBool,
}

/// A use of which it is not settled yet what it comes to. Dropping it says that it is.
#[derive(Debug)]
pub struct OpenUse(Arc<AtomicU64>);

impl Drop for OpenUse {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// A process that was taken for dead and that its receipts name: not one of an earlier version, nor where a node has one process
/// at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadProcess {
    /// The name under which it was registered.
    pub process: String,
    /// The last receipt that was there when it registered.
    pub receipts_before: u64,
}

struct Local {
    leases: BTreeMap<String, Lease>,
    /// When this process last showed itself; `None` when it must do so before it spends, because that is long ago or the
    /// outcome of a commit is not known.
    seen: Option<(Instant, SystemTime)>,
}

#[derive(Clone, Copy)]
struct Lease {
    limit: u64,
    granted: u64,
    /// Negative for what was taken back after it had been given back to the database as used.
    spent: i64,
    /// What was given back as used so far, as the row has it.
    settled: i64,
    /// What nobody had used or leased when this process last leased.
    free: u64,
}

impl Lease {
    /// What may still be spent of it.
    fn left(&self) -> u64 {
        u64::try_from(i128::from(self.granted) - i128::from(self.spent)).unwrap_or(0)
    }
}

impl Quota {
    /// Registers this process. With `alone` the caller states that it holds the node's exclusive lock, so every other
    /// process that is still registered is dead and need not be waited for.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn register(store: &Store, alone: bool) -> Result<Quota, StoreError> {
        const DOING: &str = "registering for quotas";
        let process = new_name()?;
        let write = store.begin_write(WriterLock::Journal, DOING).await?;
        if alone {
            let bury = Query::update().table("quota_process").value("seen_at_unix", 0i64).take();
            write.db().execute(&bury).await.map_err(|error| StoreError::database(DOING, error))?;
        }
        if alone || store.backend() == Backend::Postgres {
            forget_unnamed(write.db(), store.backend()).await?;
        }
        show_first(write.db(), store.backend(), &process).await?;
        write.commit(DOING).await?;
        let local = Local { leases: BTreeMap::new(), seen: Some((Instant::now(), SystemTime::now())) };
        Ok(Quota {
            store: store.clone(),
            process: RwLock::new(process.into()),
            local: Mutex::new(local),
            open: Arc::default(),
            is_unsettled: AtomicBool::new(false),
        })
    }

    /// Notes a use whose debits may be taken back later, or be more than it comes to.
    pub fn open_use(&self) -> OpenUse {
        self.open.fetch_add(1, Ordering::SeqCst);
        OpenUse(Arc::clone(&self.open))
    }

    /// How many uses are open: while there are some, what was spent is not what was used.
    pub fn open_uses(&self) -> u64 {
        self.open.load(Ordering::SeqCst)
    }

    /// Notes a use whose receipt could not be written, or perhaps was: what it comes to only the receipts tell.
    pub fn leave_to_receipts(&self) {
        self.is_unsettled.store(true, Ordering::SeqCst);
    }

    /// Whether there was such a use.
    pub fn is_left_to_receipts(&self) -> bool {
        self.is_unsettled.load(Ordering::SeqCst)
    }

    /// The name under which this process is registered: another one after it was taken for dead.
    pub fn process(&self) -> Arc<str> {
        Arc::clone(&self.process.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Shows this process in the database if it was not seen for a while. A process that serves calls this more often than
    /// every [`DEAD_AFTER`], also while it spends nothing.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn show(&self) -> Result<(), StoreError> {
        let mut local = self.local.lock().await;
        self.renew(&mut local).await
    }

    /// Debits all accounts of one use, or none. Mostly in memory. Whoever stops waiting for it has debited none. Answers the name
    /// under which this process is registered and debited, by which it is taken back ([`Quota::refund`]): it may be another one than
    /// it was before.
    ///
    /// # Errors
    /// [`QuotaError::Exhausted`] names the first account with too little left.
    pub async fn spend(&self, debits: &[Debit]) -> Result<Arc<str>, QuotaError> {
        if debits.len() > DEBITS_MAX {
            return Err(StoreError::invalid(format!(
                "one use debits {} accounts; the most is {DEBITS_MAX}",
                debits.len()
            ))
            .into());
        }
        if debits.is_empty() {
            return Ok(self.process());
        }
        let mut spending = Spending { local: self.local.lock().await, debited: &[] };
        self.renew(&mut spending.local).await?;
        for (index, debit) in debits.iter().enumerate() {
            self.debit(&mut spending.local, debit).await?;
            spending.debited = &debits[..=index];
        }
        // All of them: nothing is awaited between this and its caller.
        spending.debited = &[];
        Ok(self.process())
    }

    /// What is left of an account as far as this process knows: what it has leased and not spent, and what was free in the
    /// database when it last leased. Reservations that still run count as used. Other processes' leases count as used whole
    /// although part of them may come back, and what they leased or gave back since is not known, so the figure is a good
    /// guess to pace oneself by and no promise. `None` while this process holds no lease of the account. Reads memory alone.
    pub async fn left(&self, account: &str) -> Option<u64> {
        let local = self.local.lock().await;
        local.leases.get(account).map(|lease| lease.left().saturating_add(lease.free))
    }

    /// Takes back debits of a use that did not happen, which were debited while this process was registered under a name. What one
    /// debited that was taken for dead is folded back by its receipts, not here.
    pub async fn refund(&self, process: &str, debits: &[Debit]) {
        if debits.is_empty() {
            return;
        }
        let mut local = self.local.lock().await;
        if *self.process() != *process {
            return;
        }
        for debit in debits {
            credit(&mut local, debit);
        }
    }

    /// Leases at least `want` of an account, durably, and gives how much was granted: 0 when less than `want` is free.
    /// [`Quota::spend`] calls this by itself.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn lease(&self, account: &str, limit: u64, want: u64) -> Result<u64, StoreError> {
        let mut local = self.local.lock().await;
        self.renew(&mut local).await?;
        self.lease_more(&mut local, account, limit, want, CHUNK_MAX).await
    }

    /// Gives everything unspent back. Called before a process ends that has settled every use; of one that has not, the leases tell
    /// whoever comes next that the receipts are to be counted.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn give_back(&self) -> Result<(), StoreError> {
        let mut local = self.local.lock().await;
        self.renew(&mut local).await?;
        let accounts: Vec<String> = local.leases.keys().cloned().collect();
        for account in accounts {
            self.give_back_one(&mut local, &account).await?;
        }
        match self.store.backend() {
            Backend::Sqlite => self.forget_leases(&mut local).await,
            Backend::Postgres => Ok(()),
        }
    }

    /// Where a node has one process at a time, the next start counts all receipts when it finds a lease: of one that holds nothing
    /// and was settled it finds none.
    async fn forget_leases(&self, local: &mut Local) -> Result<(), StoreError> {
        const DOING: &str = "forgetting leases that were given back";
        let write = self.store.begin_write(WriterLock::Journal, DOING).await?;
        let forget =
            Query::delete().from_table("quota_lease").and_where(Expr::col("process").eq(&*self.process())).take();
        write.db().execute(&forget).await.map_err(|error| StoreError::database(DOING, error))?;
        let seen = local.seen.take();
        write.commit(DOING).await?;
        local.seen = seen;
        for lease in local.leases.values_mut() {
            lease.settled = 0;
        }
        Ok(())
    }

    /// Accounts in which dead processes hold leases, in order, at most [`DEAD_ACCOUNTS_MAX`]. Of processes that
    /// [`Quota::reconcile`] is for.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn dead_accounts(&self) -> Result<Vec<String>, StoreError> {
        let fault = |error| StoreError::database("finding leases of dead processes", error);
        let query = Query::select()
            .distinct()
            .column(("quota_lease", "account"))
            .from("quota_lease")
            .inner_join("quota_process", Expr::col(("quota_lease", "process")).equals(("quota_process", "process")))
            .and_where(Expr::col(("quota_process", "seen_at_unix")).lt(dead_line(self.store.backend())))
            .and_where(Expr::col(("quota_process", "receipts_before")).is_null())
            .order_by(("quota_lease", "account"), Order::Asc)
            .limit(DEAD_ACCOUNTS_MAX)
            .take();
        let rows = self.store.db().query_all(&query).await.map_err(fault)?;
        rows.iter().map(|row| row.try_get_by_index(0).map_err(fault)).collect()
    }

    /// Folds the leases of dead processes in `account` back, given its true use so far, as the receipts tell it. Where they
    /// don't tell all of it (`is_whole` is false), the account is charged with everything that the dead had leased.
    ///
    /// While other live processes hold leases, part of the true use may be theirs and still uncounted; then the account is
    /// charged for the dead at most what they had leased. That may count a use twice, never not at all; the next call
    /// without live leases sets the account exactly.
    ///
    /// Takes only processes that their receipts do not name: where a node has one process at a time, and those of earlier
    /// versions. Any other may have deliveries that are open: it is left as it is until these are closed ([`Quota::bury`],
    /// [`Quota::fold`]). What such a one, dead or alive, gave back as used may be of a delivery that no receipt tells the end of
    /// yet, so beside it the account is charged with all that the dead had leased.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn reconcile(&self, account: &str, used: u64, is_whole: bool) -> Result<(), StoreError> {
        const DOING: &str = "folding back leases";
        let fault = |error| StoreError::database(DOING, error);
        let mut local = self.local.lock().await;
        self.renew(&mut local).await?;
        self.give_back_one(&mut local, account).await?;
        let write = self.store.begin_write(WriterLock::Journal, DOING).await?;
        let (settled, leased) = account_state(write.db(), account).await?;
        let dead_processes = || {
            Query::select()
                .column("process")
                .from("quota_process")
                .and_where(Expr::col("seen_at_unix").lt(dead_line(self.store.backend())))
                .and_where(Expr::col("receipts_before").is_null())
                .take()
        };
        let query = Query::select()
            .expr(Expr::col("granted").sum().cast_as("bigint"))
            .from("quota_lease")
            .and_where(Expr::col("account").eq(account))
            .and_where(Expr::col("process").in_subquery(dead_processes()))
            .take();
        let row = write.db().query_one(&query).await.map_err(fault)?;
        let dead: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?.flatten();
        let dead = from_sql(DOING, dead.unwrap_or(0))?;
        let named_processes = Query::select()
            .column("process")
            .from("quota_process")
            .and_where(Expr::col("receipts_before").is_not_null())
            .take();
        let query = Query::select()
            .column("process")
            .from("quota_lease")
            .and_where(Expr::col("account").eq(account))
            .and_where(Expr::col("process").in_subquery(named_processes))
            .limit(1)
            .take();
        let is_beside_named = write.db().query_one(&query).await.map_err(fault)?.is_some();
        let settled = match is_whole {
            true if is_beside_named => settled + dead,
            true if leased == dead => used,
            true => max(min(used, settled + dead), settled),
            false => max(used, settled + dead),
        };
        let delete = Query::delete()
            .from_table("quota_lease")
            .and_where(Expr::col("account").eq(account))
            .and_where(Expr::col("process").in_subquery(dead_processes()))
            .take();
        write.db().execute(&delete).await.map_err(fault)?;
        set_used(write.db(), account, settled).await?;
        forget_unnamed(write.db(), self.store.backend()).await?;
        write.commit(DOING).await
    }

    /// Takes processes that were not seen for [`DEAD_AFTER`] for dead, for good: none of their receipts is written after this
    /// ([`crate::receipt::Fence::Alive`]). Answers all that their receipts name and whose leases are not folded back yet, at most
    /// [`DEAD_PROCESSES_MAX`]. Others are for [`Quota::reconcile`]: there may be thousands, and none of them is looked at here.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn bury(&self) -> Result<Vec<DeadProcess>, StoreError> {
        const DOING: &str = "taking processes for dead";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.store.begin_write(WriterLock::Receipts, DOING).await?;
        let bury = Query::update()
            .table("quota_process")
            .value("seen_at_unix", 0i64)
            .and_where(Expr::col("seen_at_unix").gt(0i64))
            .and_where(Expr::col("seen_at_unix").lt(dead_line(self.store.backend())))
            .take();
        write.db().execute(&bury).await.map_err(fault)?;
        let query = Query::select()
            .columns(["process", "receipts_before"])
            .from("quota_process")
            .and_where(Expr::col("seen_at_unix").eq(0i64))
            .and_where(Expr::col("receipts_before").is_not_null())
            .order_by("process", Order::Asc)
            .limit(DEAD_PROCESSES_MAX)
            .take();
        let mut dead = Vec::new();
        for row in write.db().query_all(&query).await.map_err(fault)? {
            let receipts_before = from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?;
            dead.push(DeadProcess { process: row.try_get_by_index(0).map_err(fault)?, receipts_before });
        }
        write.commit(DOING).await?;
        Ok(dead)
    }

    /// Folds the leases of a dead process back, given by account all that it ever used, as its receipts tell it. Exact,
    /// whatever others lease and spend meanwhile; a second time changes nothing.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn fold(&self, process: &str, used: &BTreeMap<String, u64>) -> Result<(), StoreError> {
        const DOING: &str = "folding back the leases of a process";
        let fault = |error| StoreError::database(DOING, error);
        let write = self.store.begin_write(WriterLock::Journal, DOING).await?;
        let query = Query::select()
            .columns(["account", "settled"])
            .from("quota_lease")
            .and_where(Expr::col("process").eq(process))
            .and_where(Expr::col("process").in_subquery(buried()))
            .take();
        for row in write.db().query_all(&query).await.map_err(fault)? {
            let account: String = row.try_get_by_index(0).map_err(fault)?;
            let settled: i64 = row.try_get_by_index(1).map_err(fault)?;
            let (before, _) = account_state(write.db(), &account).await?;
            let of_process = used.get(&account).copied().unwrap_or(0);
            let after = i128::from(before) + i128::from(of_process) - i128::from(settled);
            set_used(write.db(), &account, u64::try_from(after).unwrap_or(0)).await?;
        }
        for table in ["quota_lease", "quota_process"] {
            let delete = Query::delete()
                .from_table(table)
                .and_where(Expr::col("process").eq(process))
                .and_where(Expr::col("process").in_subquery(buried()))
                .take();
            write.db().execute(&delete).await.map_err(fault)?;
        }
        write.commit(DOING).await
    }

    async fn debit(&self, local: &mut Local, debit: &Debit) -> Result<(), QuotaError> {
        if local.leases.get(&debit.account).is_some_and(|lease| lease.limit != debit.limit) {
            // A lease under another limit must not outlive the change.
            self.give_back_one(local, &debit.account).await?;
            if let Some(lease) = local.leases.get_mut(&debit.account) {
                lease.limit = debit.limit;
            }
        }
        let left = local.leases.get(&debit.account).map_or(0, Lease::left);
        if left < debit.amount {
            let want = debit.amount - left;
            let granted = self.lease_more(local, &debit.account, debit.limit, want, debit.chunk_max).await?;
            if granted == 0 {
                return Err(QuotaError::Exhausted { account: debit.account.clone(), limit: debit.limit });
            }
        }
        if let Some(lease) = local.leases.get_mut(&debit.account) {
            lease.spent = lease.spent.saturating_add_unsigned(debit.amount);
        }
        Ok(())
    }

    async fn lease_more(
        &self,
        local: &mut Local,
        account: &str,
        limit: u64,
        want: u64,
        chunk_max: u64,
    ) -> Result<u64, StoreError> {
        const DOING: &str = "leasing quota";
        let write = self.store.begin_write(WriterLock::Journal, DOING).await?;
        let (used, leased) = account_state(write.db(), account).await?;
        let free = limit.saturating_sub(used.saturating_add(leased));
        let unknown = Lease { limit, granted: 0, spent: 0, settled: 0, free };
        let known = local.leases.entry(account.to_owned()).or_insert(unknown);
        known.free = free;
        if want == 0 || free < want {
            return Ok(0);
        }
        let granted = max(want, min(free / FREE_SHARE, chunk_max));
        let held = known.granted;
        set_used(write.db(), account, used).await?;
        set_lease(write.db(), account, &self.process(), held + granted).await?;
        let seen = local.seen.take();
        write.commit(DOING).await?;
        local.seen = seen;
        let lease = local.leases.entry(account.to_owned()).or_insert(unknown);
        lease.limit = limit;
        lease.granted += granted;
        lease.free = free - granted;
        Ok(granted)
    }

    async fn give_back_one(&self, local: &mut Local, account: &str) -> Result<(), StoreError> {
        const DOING: &str = "giving quota back";
        let Some(lease) = local.leases.get(account).copied() else { return Ok(()) };
        if lease.granted == 0 && lease.spent == 0 {
            return Ok(());
        }
        let write = self.store.begin_write(WriterLock::Journal, DOING).await?;
        let fault = |error| StoreError::database(DOING, error);
        let (used, leased) = account_state(write.db(), account).await?;
        let used = used.saturating_add_signed(lease.spent);
        set_used(write.db(), account, used).await?;
        // The row stays and says what was given back as used, so that it is known also where this is cut off.
        let process = self.process();
        let given_back = Query::insert()
            .into_table("quota_lease")
            .columns(["account", "process", "granted", "settled"])
            .values_panic([account.into(), (&*process).into(), 0i64.into(), lease.spent.into()])
            .on_conflict(
                OnConflict::columns(["account", "process"])
                    .value("granted", 0i64)
                    .value("settled", Expr::col(("quota_lease", "settled")).add(lease.spent))
                    .to_owned(),
            )
            .take();
        write.db().execute(&given_back).await.map_err(fault)?;
        let seen = local.seen.take();
        write.commit(DOING).await?;
        local.seen = seen;
        let free = lease.limit.saturating_sub(used.saturating_add(leased.saturating_sub(lease.granted)));
        let settled = lease.settled.saturating_add(lease.spent);
        // What is taken back later was given back as used.
        local.leases.insert(account.to_owned(), Lease { limit: lease.limit, granted: 0, spent: 0, settled, free });
        Ok(())
    }

    /// Shows this process in the database when it hasn't been seen for a while. If it was taken for dead meanwhile, its
    /// leases are folded back by others, what it had in memory is void, and it is registered as another process.
    async fn renew(&self, local: &mut Local) -> Result<(), StoreError> {
        const DOING: &str = "renewing quota leases";
        if let Some((instant, system)) = local.seen {
            // The monotonic clock stands still while a machine sleeps, and the system clock may be set back.
            let by_system = SystemTime::now().duration_since(system).unwrap_or(DEAD_AFTER);
            if instant.elapsed() < RENEW_AFTER && by_system < RENEW_AFTER {
                return Ok(());
            }
        }
        local.seen = None;
        let before = (Instant::now(), SystemTime::now());
        let write = self.store.begin_write(WriterLock::Journal, DOING).await?;
        let fault = |error| StoreError::database(DOING, error);
        let process = self.process();
        let show = Query::update()
            .table("quota_process")
            .value("seen_at_unix", now_unix(self.store.backend()))
            .and_where(Expr::col("process").eq(&*process))
            .and_where(Expr::col("seen_at_unix").gt(0i64))
            .take();
        if write.db().execute(&show).await.map_err(fault)?.rows_affected() == 0 {
            let name = new_name()?;
            show_first(write.db(), self.store.backend(), &name).await?;
            write.commit(DOING).await?;
            tracing::warn!(%process, %name, "this process was not seen for a while and was taken for dead");
            *self.process.write().unwrap_or_else(PoisonError::into_inner) = name.into();
            local.leases.clear();
            local.seen = Some(before);
            return Ok(());
        }
        let mine = Query::select()
            .columns(["account", "granted", "settled"])
            .from("quota_lease")
            .and_where(Expr::col("process").eq(&*process))
            .take();
        let mut held: BTreeMap<String, (u64, i64)> = BTreeMap::new();
        for row in write.db().query_all(&mine).await.map_err(fault)? {
            let account: String = row.try_get_by_index(0).map_err(fault)?;
            let granted = from_sql(DOING, row.try_get_by_index(1).map_err(fault)?)?;
            held.insert(account, (granted, row.try_get_by_index(2).map_err(fault)?));
        }
        write.commit(DOING).await?;
        // What a row says is so, whatever is known here: a commit may have succeeded whose answer was lost. More was leased then, or
        // what was spent is given back as used, and counted, although it may have been taken back a moment ago. Without a row nothing
        // is held; what was taken back of what had been given back as used still is to be taken out of the account.
        local.leases.retain(|account, lease| match held.get(account) {
            Some((granted, settled)) => {
                lease.granted = *granted;
                lease.spent = lease.spent.saturating_sub(settled.saturating_sub(lease.settled));
                lease.settled = *settled;
                true
            }
            None => {
                lease.granted = 0;
                lease.settled = 0;
                lease.spent != 0
            }
        });
        local.seen = Some(before);
        Ok(())
    }
}

/// Debits of a use of which not all are made yet. Dropping it takes back those that are.
struct Spending<'a> {
    local: MutexGuard<'a, Local>,
    debited: &'a [Debit],
}

impl Drop for Spending<'_> {
    fn drop(&mut self) {
        for debit in self.debited {
            credit(&mut self.local, debit);
        }
    }
}

/// The names of the processes that were taken for dead.
fn buried() -> SelectStatement {
    let is_buried = Expr::col("seen_at_unix").eq(0i64);
    Query::select().column("process").from("quota_process").and_where(is_buried).take()
}

fn credit(local: &mut Local, debit: &Debit) {
    // One that was given back and forgotten may be gone; the account has as used what is taken back here.
    let forgotten = Lease { limit: debit.limit, granted: 0, spent: 0, settled: 0, free: 0 };
    let lease = local.leases.entry(debit.account.clone()).or_insert(forgotten);
    lease.spent = lease.spent.saturating_sub_unsigned(debit.amount);
}

/// Used and leased amounts of an account; zeros when it doesn't exist yet.
async fn account_state(db: &DatabaseTransaction, account: &str) -> Result<(u64, u64), StoreError> {
    const DOING: &str = "reading a quota account";
    let fault = |error| StoreError::database(DOING, error);
    let used = Query::select().column("used").from("quota_account").and_where(Expr::col("account").eq(account)).take();
    let used: i64 = match db.query_one(&used).await.map_err(fault)? {
        Some(row) => row.try_get_by_index(0).map_err(fault)?,
        None => 0,
    };
    let leased = Query::select()
        .expr(Expr::col("granted").sum().cast_as("bigint"))
        .from("quota_lease")
        .and_where(Expr::col("account").eq(account))
        .take();
    let row = db.query_one(&leased).await.map_err(fault)?;
    let leased: Option<i64> = row.map(|row| row.try_get_by_index(0)).transpose().map_err(fault)?.flatten();
    Ok((from_sql(DOING, used)?, from_sql(DOING, leased.unwrap_or(0))?))
}

async fn set_used(db: &DatabaseTransaction, account: &str, used: u64) -> Result<(), StoreError> {
    let insert = Query::insert()
        .into_table("quota_account")
        .columns(["account", "used"])
        .values_panic([account.into(), to_sql(used).into()])
        .on_conflict(OnConflict::column("account").update_column("used").to_owned())
        .take();
    db.execute(&insert).await.map_err(|error| StoreError::database("writing a quota account", error))?;
    Ok(())
}

async fn set_lease(db: &DatabaseTransaction, account: &str, process: &str, granted: u64) -> Result<(), StoreError> {
    let insert = Query::insert()
        .into_table("quota_lease")
        .columns(["account", "process", "granted"])
        .values_panic([account.into(), process.into(), to_sql(granted).into()])
        .on_conflict(OnConflict::columns(["account", "process"]).update_column("granted").to_owned())
        .take();
    db.execute(&insert).await.map_err(|error| StoreError::database("writing a quota lease", error))?;
    Ok(())
}

/// Forgets processes that are dead, hold no lease, and that no receipt names: nothing is to be learnt of them. A start does it, so
/// that they don't become more with each.
async fn forget_unnamed(db: &DatabaseTransaction, backend: Backend) -> Result<(), StoreError> {
    let forget = Query::delete()
        .from_table("quota_process")
        .and_where(Expr::col("seen_at_unix").lt(dead_line(backend)))
        .and_where(Expr::col("receipts_before").is_null())
        .and_where(Expr::col("process").not_in_subquery(Query::select().column("process").from("quota_lease").take()))
        .take();
    db.execute(&forget).await.map_err(|error| StoreError::database("forgetting processes", error))?;
    Ok(())
}

async fn show_first(db: &DatabaseTransaction, backend: Backend, process: &str) -> Result<(), StoreError> {
    let receipts_before = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(to_sql(head_in_database(db).await?)),
    };
    let insert = Query::insert()
        .into_table("quota_process")
        .columns(["process", "seen_at_unix", "receipts_before"])
        .values_panic([process.into(), now_unix(backend), receipts_before.into()])
        .take();
    db.execute(&insert).await.map_err(|error| StoreError::database("registering for quotas", error))?;
    Ok(())
}

fn new_name() -> Result<String, StoreError> {
    Ok(format!("prc_{}", hex_text(&random::<16>()?)))
}

/// The database's clock in seconds: one clock for all processes, and not the node's, which a demonstration may shift.
fn now_unix(backend: Backend) -> Expr {
    match backend {
        Backend::Sqlite => Expr::cust("unixepoch()"),
        Backend::Postgres => Expr::cust("CAST(extract(epoch FROM clock_timestamp()) AS bigint)"),
    }
}

fn dead_line(backend: Backend) -> Expr {
    now_unix(backend).sub(DEAD_AFTER.as_secs() as i64)
}
