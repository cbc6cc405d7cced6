//! Distinct subjects of quota accounts: rows of keyed digests, so that each is counted once however often and by however
//! many processes he is asked for.
//!
//! They are reserved like everything else. A delivery holds those that were not counted before, durably, before an answer about them
//! leaves; they count from then on. Once its records let the answer out they are used for good: nobody holds them. When it ends
//! otherwise, those that it alone held are given back. So one who is in two answers is given back when both failed, and not before.
//! Whom a process that died still held is settled by what its receipts tell ([`Store::holders`], [`Store::settle_subjects`]).
//!
//! The rows are kept for as long as the account's period runs.

use std::collections::BTreeSet;
use std::ops::Range;

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict, Order, Query, SelectStatement};
use sea_orm::{ConnectionTrait, DatabaseTransaction};

use super::{QuotaError, account_state, set_used};
use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, WriterLock, to_sql};

/// Keyed digest of a subject.
pub type SubjectDigest = [u8; 16];
/// Most subjects that one call counts.
pub const SUBJECTS_AT_ONCE_MAX: usize = 1_000_000;
/// Most deliveries that [`Store::holders`] answers.
pub const HOLDERS_MAX: u64 = 1_000;

/// An account that counts subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAccount {
    /// The account; a period belongs to its name.
    pub account: String,
    /// The account's limit now.
    pub limit: u64,
    /// Names of accounts of the same owner's periods that are over: their rows are forgotten with the first subject of this one.
    pub over: Option<Range<String>>,
}

/// A delivery that reserves subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The id of its receipt.
    pub receipt: String,
    /// The process that serves it; none where a node has one process at a time.
    pub process: Option<String>,
    /// The part of its receipt, counted from 0, that lets the answer about them out; 0 where the receipt is one record.
    pub part: u64,
}

/// What the records of a delivery say of the subjects that it reserved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectSettlement {
    /// The id of its receipt.
    pub receipt: String,
    /// So many parts, the first ones, let something out: whom it holds for these is used for good.
    pub parts: u64,
    /// Whether it has ended. Then whom it holds for other parts is given back.
    pub is_ended: bool,
}

/// Subjects that an account is asked for and that are not used for good.
struct Asked<'a> {
    account: &'a SubjectAccount,
    used: u64,
    /// Not counted yet.
    fresh: Vec<&'a SubjectDigest>,
    /// Counted, because a delivery holds them.
    held: Vec<&'a SubjectDigest>,
}

impl Store {
    /// Counts subjects in some accounts for a delivery: in each of them those who were not counted yet, in all of them or in none.
    /// They are durable when this returns, and the delivery holds them with those whom others hold. What is known of other
    /// deliveries by now is settled in the same transaction.
    ///
    /// # Errors
    /// [`QuotaError::Exhausted`] names the first account with too little left; nobody is counted then, and what was to be settled is.
    /// [`StoreError::Invalid`] when the holder's process was taken for dead.
    pub async fn hold_subjects(
        &self,
        holder: &Holder,
        settlements: &[SubjectSettlement],
        accounts: &[SubjectAccount],
        subjects: &BTreeSet<SubjectDigest>,
    ) -> Result<(), QuotaError> {
        const DOING: &str = "counting subjects";
        if subjects.len() > SUBJECTS_AT_ONCE_MAX {
            let problem =
                format!("{} subjects were to be counted at once; the most is {SUBJECTS_AT_ONCE_MAX}", subjects.len());
            return Err(StoreError::invalid(problem).into());
        }
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let db = write.db();
        if let Some(process) = &holder.process {
            must_be_alive(db, process).await?;
        }
        for settlement in settlements {
            settle(db, settlement).await?;
        }
        let mut asked = Vec::with_capacity(accounts.len());
        for account in accounts {
            let of_account = ask(db, account, subjects).await?;
            let used = of_account.used.saturating_add(of_account.fresh.len() as u64);
            if used > account.limit && !of_account.fresh.is_empty() {
                write.commit(DOING).await?;
                return Err(QuotaError::Exhausted { account: account.account.clone(), limit: account.limit });
            }
            asked.push(of_account);
        }
        for of_account in &asked {
            of_account.hold(db, holder).await?;
        }
        Ok(write.commit(DOING).await?)
    }

    /// Settles what deliveries reserved. A second time changes nothing.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn settle_subjects(&self, settlements: &[SubjectSettlement]) -> Result<(), StoreError> {
        const DOING: &str = "settling subjects";
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        for settlement in settlements {
            settle(write.db(), settlement).await?;
        }
        write.commit(DOING).await
    }

    /// The receipts of deliveries of a process that still hold subjects, in order, at most [`HOLDERS_MAX`]. Where a node has one
    /// process at a time, of all that were before (none is named). Once a process was taken for dead these are all: it holds
    /// nobody any more ([`Store::hold_subjects`]).
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn holders(&self, process: Option<&str>) -> Result<Vec<String>, StoreError> {
        const DOING: &str = "finding who holds subjects";
        let fault = |error| StoreError::database(DOING, error);
        // Under the lock under which it held some: what it had begun before it was taken for dead is there.
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let is_of_process = match process {
            Some(process) => Expr::col("process").eq(process),
            None => Expr::col("process").is_null(),
        };
        let query = Query::select()
            .distinct()
            .column("receipt_id")
            .from("quota_hold")
            .and_where(is_of_process)
            .order_by("receipt_id", Order::Asc)
            .limit(HOLDERS_MAX)
            .take();
        let mut receipts = Vec::new();
        for row in write.db().query_all(&query).await.map_err(fault)? {
            receipts.push(row.try_get_by_index(0).map_err(fault)?);
        }
        write.commit(DOING).await?;
        Ok(receipts)
    }
}

impl Asked<'_> {
    /// Counts whom nobody counted, and holds everybody.
    async fn hold(&self, db: &DatabaseTransaction, holder: &Holder) -> Result<(), StoreError> {
        let fault = |error| StoreError::database("counting subjects", error);
        let SubjectAccount { account, over, .. } = self.account;
        if let Some(over) = over
            && self.used == 0
        {
            let forget = Query::delete()
                .from_table("quota_subject")
                .and_where(Expr::col("account").gte(over.start.as_str()))
                .and_where(Expr::col("account").lt(over.end.as_str()))
                .take();
            db.execute(&forget).await.map_err(fault)?;
        }
        for chunk in self.fresh.chunks(INSERT_ROWS_MAX) {
            let mut insert = Query::insert().into_table("quota_subject").columns(["account", "digest"]).take();
            for digest in chunk {
                insert.values_panic([account.as_str().into(), digest.to_vec().into()]);
            }
            db.execute(&insert).await.map_err(fault)?;
        }
        if !self.fresh.is_empty() {
            set_used(db, account, self.used + self.fresh.len() as u64).await?;
        }
        let mine: Vec<&SubjectDigest> = self.fresh.iter().chain(&self.held).copied().collect();
        for chunk in mine.chunks(INSERT_ROWS_MAX) {
            let columns = ["account", "digest", "receipt_id", "part", "process"];
            let mut insert = Query::insert().into_table("quota_hold").columns(columns).take();
            for digest in chunk {
                insert.values_panic([
                    account.as_str().into(),
                    digest.to_vec().into(),
                    holder.receipt.as_str().into(),
                    to_sql(holder.part).into(),
                    holder.process.as_deref().into(),
                ]);
            }
            // Whom it holds for an earlier part already leaves with that one.
            insert.on_conflict(OnConflict::columns(["account", "digest", "receipt_id"]).do_nothing().to_owned());
            db.execute(&insert).await.map_err(fault)?;
        }
        Ok(())
    }
}

/// What an account knows of subjects.
async fn ask<'a>(
    db: &DatabaseTransaction,
    account: &'a SubjectAccount,
    subjects: &'a BTreeSet<SubjectDigest>,
) -> Result<Asked<'a>, StoreError> {
    let (used, _) = account_state(db, &account.account).await?;
    let counted = found(db, "quota_subject", account, subjects).await?;
    let held = found(db, "quota_hold", account, &counted).await?;
    let fresh = subjects.iter().filter(|subject| !counted.contains(*subject)).collect();
    let held = subjects.iter().filter(|subject| held.contains(*subject)).collect();
    Ok(Asked { account, used, fresh, held })
}

/// Those of some subjects that a table has in an account.
async fn found(
    db: &DatabaseTransaction,
    table: &'static str,
    account: &SubjectAccount,
    subjects: &BTreeSet<SubjectDigest>,
) -> Result<BTreeSet<SubjectDigest>, StoreError> {
    let fault = |error| StoreError::database("looking for subjects", error);
    let of_account = || Query::select().from(table).and_where(Expr::col("account").eq(account.account.as_str())).take();
    let mut found = BTreeSet::new();
    // Mostly nobody is held.
    let any = of_account().column("account").limit(1).take();
    if subjects.is_empty() || db.query_one(&any).await.map_err(fault)?.is_none() {
        return Ok(found);
    }
    let subjects: Vec<&SubjectDigest> = subjects.iter().collect();
    for chunk in subjects.chunks(INSERT_ROWS_MAX) {
        let is_wanted = Expr::col("digest").is_in(chunk.iter().map(|digest| digest.to_vec()));
        let query = of_account().distinct().column("digest").and_where(is_wanted).take();
        for row in db.query_all(&query).await.map_err(fault)? {
            let digest: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
            found.extend(SubjectDigest::try_from(digest).ok());
        }
    }
    Ok(found)
}

async fn settle(db: &DatabaseTransaction, settlement: &SubjectSettlement) -> Result<(), StoreError> {
    let fault = |error| StoreError::database("settling subjects", error);
    let SubjectSettlement { receipt, parts, is_ended } = settlement;
    let accounts = Query::select()
        .distinct()
        .column("account")
        .from("quota_hold")
        .and_where(Expr::col("receipt_id").eq(receipt.as_str()))
        .order_by("account", Order::Asc)
        .take();
    for row in db.query_all(&accounts).await.map_err(fault)? {
        let account: String = row.try_get_by_index(0).map_err(fault)?;
        let held = || -> SelectStatement {
            Query::select()
                .column("digest")
                .from("quota_hold")
                .and_where(Expr::col("account").eq(account.as_str()))
                .take()
        };
        if *parts > 0 {
            let let_out = held()
                .and_where(Expr::col("receipt_id").eq(receipt.as_str()))
                .and_where(Expr::col("part").lt(to_sql(*parts)))
                .take();
            // Nobody else gives them back either.
            let used_for_good = Query::delete()
                .from_table("quota_hold")
                .and_where(Expr::col("account").eq(account.as_str()))
                .and_where(Expr::col("digest").in_subquery(let_out))
                .take();
            db.execute(&used_for_good).await.map_err(fault)?;
        }
        if !is_ended {
            continue;
        }
        let mine = held().and_where(Expr::col("receipt_id").eq(receipt.as_str())).take();
        let of_others = held().and_where(Expr::col("receipt_id").ne(receipt.as_str())).take();
        let give_back = Query::delete()
            .from_table("quota_subject")
            .and_where(Expr::col("account").eq(account.as_str()))
            .and_where(Expr::col("digest").in_subquery(mine))
            .and_where(Expr::col("digest").not_in_subquery(of_others))
            .take();
        let given_back = db.execute(&give_back).await.map_err(fault)?.rows_affected();
        if given_back > 0 {
            let (used, _) = account_state(db, &account).await?;
            set_used(db, &account, used.saturating_sub(given_back)).await?;
        }
    }
    if *is_ended {
        let forget =
            Query::delete().from_table("quota_hold").and_where(Expr::col("receipt_id").eq(receipt.as_str())).take();
        db.execute(&forget).await.map_err(fault)?;
    }
    Ok(())
}

/// One who was taken for dead holds nobody any more: what he holds may have been settled already.
async fn must_be_alive(db: &DatabaseTransaction, process: &str) -> Result<(), StoreError> {
    let query = Query::select()
        .column("process")
        .from("quota_process")
        .and_where(Expr::col("process").eq(process))
        .and_where(Expr::col("seen_at_unix").gt(0i64))
        .take();
    let alive = db.query_one(&query).await.map_err(|error| StoreError::database("counting subjects", error))?;
    match alive {
        Some(_) => Ok(()),
        None => Err(StoreError::invalid(
            "subjects can't be counted: this process was not seen in the database for a minute and was taken for dead; ask again",
        )),
    }
}
