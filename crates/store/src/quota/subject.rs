//! Distinct subjects of quota accounts: rows of keyed digests, so that each is counted once however often and by however
//! many processes he is asked for.
//!
//! They are counted durably before an answer leaves and stay counted when it does not: what leaves is never more than what
//! was counted. The rows are kept for as long as the account's period runs.

use std::collections::BTreeSet;

use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Query};

use super::{QuotaError, account_state, set_used};
use crate::error::StoreError;
use crate::journal::INSERT_ROWS_MAX;
use crate::store::{Store, WriterLock};

/// Keyed digest of a subject.
pub type SubjectDigest = [u8; 16];
/// Most subjects that one call counts.
pub const SUBJECTS_AT_ONCE_MAX: usize = 1_000_000;

/// An account that counts subjects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubjectAccount {
    /// The account; a period belongs to its name.
    pub account: String,
    /// The account's limit now.
    pub limit: u64,
    /// What the accounts of the same order's earlier periods begin with; their rows are forgotten with the first subject of
    /// this one.
    pub earlier: Option<String>,
}

impl Store {
    /// Counts subjects in some accounts: in each of them those who were not counted yet, in all of them or in none. They are
    /// durable when this returns.
    ///
    /// # Errors
    /// [`QuotaError::Exhausted`] names the first account with too little left; nobody is counted then.
    pub async fn count_subjects(
        &self,
        accounts: &[SubjectAccount],
        subjects: &BTreeSet<SubjectDigest>,
    ) -> Result<(), QuotaError> {
        const DOING: &str = "counting subjects";
        let fault = |error| StoreError::database(DOING, error);
        if subjects.len() > SUBJECTS_AT_ONCE_MAX {
            let problem =
                format!("{} subjects were to be counted at once; the most is {SUBJECTS_AT_ONCE_MAX}", subjects.len());
            return Err(StoreError::invalid(problem).into());
        }
        let subjects: Vec<&SubjectDigest> = subjects.iter().collect();
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        let db = write.db();
        for SubjectAccount { account, limit, earlier } in accounts {
            let (used, _) = account_state(db, account).await?;
            if let Some(earlier) = earlier
                && used == 0
            {
                let forget = Query::delete()
                    .from_table("quota_subject")
                    .and_where(Expr::col("account").gte(earlier.as_str()))
                    .and_where(Expr::col("account").lt(account.as_str()))
                    .take();
                db.execute(&forget).await.map_err(fault)?;
            }
            let mut fresh: BTreeSet<&SubjectDigest> = subjects.iter().copied().collect();
            for chunk in subjects.chunks(INSERT_ROWS_MAX) {
                let query = Query::select()
                    .column("digest")
                    .from("quota_subject")
                    .and_where(Expr::col("account").eq(account.as_str()))
                    .and_where(Expr::col("digest").is_in(chunk.iter().map(|digest| digest.to_vec())))
                    .take();
                for row in db.query_all(&query).await.map_err(fault)? {
                    let digest: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
                    if let Ok(known) = SubjectDigest::try_from(digest) {
                        fresh.remove(&known);
                    }
                }
            }
            if fresh.is_empty() {
                continue;
            }
            let used = used.saturating_add(fresh.len() as u64);
            if used > *limit {
                return Err(QuotaError::Exhausted { account: account.clone(), limit: *limit });
            }
            let fresh: Vec<&SubjectDigest> = fresh.into_iter().collect();
            for chunk in fresh.chunks(INSERT_ROWS_MAX) {
                let mut insert = Query::insert().into_table("quota_subject").columns(["account", "digest"]).take();
                for digest in chunk {
                    insert.values_panic([account.as_str().into(), digest.to_vec().into()]);
                }
                db.execute(&insert).await.map_err(fault)?;
            }
            set_used(db, account, used).await?;
        }
        Ok(write.commit(DOING).await?)
    }
}
