//! Answers with noise and what they cost: the privacy accounts of consumers.
//!
//! An answer is stored and all accounts are debited in one transaction, under the writer's lock, before anything of the
//! answer leaves. So neither a crash nor a race gives two answers to one question, and no account is ever overdrawn. What
//! was spent is the sum of rows that the database itself refuses to change; there is no balance that could drift from it.
//! Answers are sealed at rest.

use lingqu_crypto::{SEAL_NONCE_BYTES, SealKey};
use sea_orm::ConnectionTrait;
use sea_orm::sea_query::{Expr, ExprTrait, Query};
use zeroize::Zeroizing;

use crate::error::StoreError;
use crate::release::number;
use crate::store::{Store, WriterLock, random, to_sql};

/// Most bytes of one stored answer.
pub const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Most stored answers of one consumer.
pub const ANSWERS_MAX: u64 = 10_000;
/// Most accounts that one answer debits.
pub const ACCOUNTS_MAX: usize = 64;

/// A question of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyQuestion {
    /// The consumer.
    pub consumer: String,
    /// Consumers that act together with it; it is not among them. Their spending counts as its own.
    pub affiliates: Vec<String>,
    /// Digest of the question: the same digest is the same question over the same data.
    pub question: String,
}

/// An account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrivacyAccount {
    /// The link that set the budget.
    pub link: String,
    /// The resource.
    pub resource: String,
    /// The budget as it stands now, in billionths.
    pub budget_nano: u64,
}

/// What became of an answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Given {
    /// It is stored and paid for.
    Stored,
    /// The question was answered before; this is that answer, and nothing was spent.
    Before(Zeroizing<Vec<u8>>),
    /// An account has too little left; nothing was stored or spent.
    Exhausted {
        /// Which of the accounts: its place among them.
        account: usize,
        /// What is left of it.
        left_nano: u64,
    },
    /// The consumer has as many answers as are kept; nothing was stored or spent.
    Full,
}

impl PrivacyQuestion {
    fn parties(&self) -> Vec<String> {
        let mut parties = self.affiliates.clone();
        parties.push(self.consumer.clone());
        parties
    }

    /// What a sealed answer is bound to.
    fn context(&self) -> String {
        format!("privacy_answer/{}/{}", self.consumer, self.question)
    }
}

impl Store {
    /// The answer that a consumer was given to a question, if there is one.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] when the vault key is another one; faults of the database.
    pub async fn privacy_answer(&self, question: &PrivacyQuestion) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        stored(self.db(), &self.answer_key(), question).await
    }

    /// What a consumer and those who act together with it have spent of each account, in billionths and in the accounts'
    /// order.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn privacy_spent(&self, parties: &[String], accounts: &[PrivacyAccount]) -> Result<Vec<u64>, StoreError> {
        let mut spent = Vec::with_capacity(accounts.len());
        for account in accounts {
            spent.push(spent_of(self.db(), parties, account).await?);
        }
        Ok(spent)
    }

    /// Whether a consumer or one who acts together with it has spent anything for one of some resources, of whichever account.
    ///
    /// # Errors
    /// Faults of the database.
    pub async fn privacy_was_spent(&self, parties: &[String], resources: &[String]) -> Result<bool, StoreError> {
        let query = Query::select()
            .expr(Expr::col("question").count())
            .from("privacy_debit")
            .and_where(Expr::col("resource").is_in(resources.to_vec()))
            .and_where(Expr::col("consumer").is_in(parties.to_vec()))
            .take();
        Ok(number(self.db(), &query, "reading whether a privacy budget was spent of").await? > 0)
    }

    /// Stores an answer and debits all accounts, or does neither. Durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Invalid`] for an answer or a list of accounts beyond the limits; faults of the database.
    pub async fn give_privacy_answer(
        &self,
        question: &PrivacyQuestion,
        accounts: &[PrivacyAccount],
        rho_nano: u64,
        answer: &[u8],
        at: &str,
    ) -> Result<Given, StoreError> {
        const DOING: &str = "storing an answer with noise";
        let fault = |error| StoreError::database(DOING, error);
        if answer.len() > ANSWER_BYTES_MAX {
            let problem =
                format!("an answer with noise has {} bytes, at most {ANSWER_BYTES_MAX} are kept", answer.len());
            return Err(StoreError::invalid(problem));
        }
        if accounts.is_empty() || accounts.len() > ACCOUNTS_MAX {
            let problem = format!("an answer with noise debits 1 to {ACCOUNTS_MAX} accounts, not {}", accounts.len());
            return Err(StoreError::invalid(problem));
        }
        let key = self.answer_key();
        let write = self.begin_write(WriterLock::Journal, DOING).await?;
        if let Some(before) = stored(write.db(), &key, question).await? {
            return Ok(Given::Before(before));
        }
        let parties = question.parties();
        for (place, account) in accounts.iter().enumerate() {
            let spent = spent_of(write.db(), &parties, account).await?;
            let left_nano = account.budget_nano.saturating_sub(spent);
            if left_nano < rho_nano {
                return Ok(Given::Exhausted { account: place, left_nano });
            }
        }
        let count = Query::select()
            .expr(Expr::col("question").count())
            .from("privacy_answer")
            .and_where(Expr::col("consumer").eq(question.consumer.as_str()))
            .take();
        if number(write.db(), &count, DOING).await? >= ANSWERS_MAX {
            return Ok(Given::Full);
        }
        let sealed = key.seal(random::<SEAL_NONCE_BYTES>()?, question.context().as_bytes(), answer);
        let insert = Query::insert()
            .into_table("privacy_answer")
            .columns(["consumer", "question", "rho_nano", "answered_at", "sealed"])
            .values_panic([
                question.consumer.as_str().into(),
                question.question.as_str().into(),
                to_sql(rho_nano).into(),
                at.into(),
                sealed.into(),
            ])
            .take();
        write.db().execute(&insert).await.map_err(fault)?;
        let mut debits = Query::insert()
            .into_table("privacy_debit")
            .columns(["consumer", "question", "link", "resource", "rho_nano"])
            .take();
        for account in accounts {
            debits.values_panic([
                question.consumer.as_str().into(),
                question.question.as_str().into(),
                account.link.as_str().into(),
                account.resource.as_str().into(),
                to_sql(rho_nano).into(),
            ]);
        }
        write.db().execute(&debits).await.map_err(fault)?;
        write.commit(DOING).await?;
        Ok(Given::Stored)
    }

    /// The key of stored answers, one of its own.
    fn answer_key(&self) -> SealKey {
        self.vault_key().derive("privacy answers")
    }
}

async fn stored(
    db: &impl ConnectionTrait,
    key: &SealKey,
    question: &PrivacyQuestion,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    const DOING: &str = "reading an answer with noise";
    let fault = |error| StoreError::database(DOING, error);
    let query = Query::select()
        .column("sealed")
        .from("privacy_answer")
        .and_where(Expr::col("consumer").eq(question.consumer.as_str()))
        .and_where(Expr::col("question").eq(question.question.as_str()))
        .take();
    let Some(row) = db.query_one(&query).await.map_err(fault)? else { return Ok(None) };
    let sealed: Vec<u8> = row.try_get_by_index(0).map_err(fault)?;
    let answer = key.open(question.context().as_bytes(), &sealed).map_err(|_| StoreError::Sealed { doing: DOING })?;
    Ok(Some(answer))
}

async fn spent_of(db: &impl ConnectionTrait, parties: &[String], account: &PrivacyAccount) -> Result<u64, StoreError> {
    let query = Query::select()
        .expr(Expr::col("rho_nano").sum().cast_as("bigint"))
        .from("privacy_debit")
        .and_where(Expr::col("link").eq(account.link.as_str()))
        .and_where(Expr::col("resource").eq(account.resource.as_str()))
        .and_where(Expr::col("consumer").is_in(parties.to_vec()))
        .take();
    number(db, &query, "reading what was spent of a privacy budget").await
}
